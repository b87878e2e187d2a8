//! Measures and results with the parameters as they are.

use crate::array::Array;
use crate::build::Tensor;
use crate::data::{Examples, Loader, joined};
use crate::train::metrics::Sums;
use crate::train::{Metrics, TrainStep};

use super::programs::{inputs_of, output_name};
use super::{Task, TrainError, Trainer};

impl<M, O> Trainer<M, O>
where
    M: for<'g> Fn(&mut Task<'g>) -> Tensor<'g>,
    O: for<'g> Fn(Tensor<'g>) -> TrainStep<'g>,
{
    /// Measures on examples: means over all of them, whatever the size of batches.
    ///
    /// # Errors
    /// If there are no examples, or they or a restored checkpoint do not fit the model.
    ///
    /// # Panics
    /// As [`Trainer::fit`].
    pub fn evaluate(&mut self, examples: impl Into<Examples>) -> Result<Metrics, TrainError> {
        let examples = examples.into();
        if self.types.is_empty() {
            self.take_types(&examples);
        }
        self.measure(&examples)
    }

    pub(super) fn measure(&mut self, examples: &Examples) -> Result<Metrics, TrainError> {
        if examples.is_empty() {
            return Err(TrainError::NoExamples);
        }
        let mut sums = Sums::default();
        for batch in Loader::new(examples, self.batch).prefetch(self.prefetch).epoch(0) {
            if !self.evaluations.contains_key(&batch.len()) {
                let (evaluation, folds) = self.compile_evaluation(batch.len())?;
                self.take_pending(false)?;
                self.evaluations.insert(batch.len(), evaluation);
                self.evaluation_folds = folds;
            }
            let evaluation = self.evaluations.get_mut(&batch.len()).expect("it was compiled");
            let inputs = inputs_of(evaluation, &batch);
            let outputs = evaluation.run(&inputs)?;
            sums.add(batch.len(), &self.evaluation_folds, |name| {
                outputs.get(&output_name(name)).expect("every measure is an output")
            });
        }
        Ok(sums.finish(&self.evaluation_folds))
    }

    /// The result called `name`, as [`Task::output`] has it, for all examples. Columns that it does not need may be missing.
    ///
    /// # Errors
    /// If there are no examples, the model has no such result, or the examples or a restored checkpoint do not fit the model.
    ///
    /// # Panics
    /// As [`Trainer::fit`].
    pub fn predict(&mut self, name: &str, examples: impl Into<Examples>) -> Result<Array, TrainError> {
        let examples = examples.into();
        if examples.is_empty() {
            return Err(TrainError::NoExamples);
        }
        if self.types.is_empty() {
            self.take_types(&examples);
        }
        let mut parts = Vec::new();
        for batch in Loader::new(&examples, self.batch).prefetch(self.prefetch).epoch(0) {
            let key = (name.to_owned(), batch.len());
            if !self.predictors.contains_key(&key) {
                let predictor = self.compile_predictor(name, batch.len())?;
                self.take_pending(false)?;
                self.predictors.insert(key.clone(), predictor);
            }
            let predictor = self.predictors.get_mut(&key).expect("it was compiled");
            let inputs = inputs_of(predictor, &batch);
            parts.push(predictor.run(&inputs)?.first().clone());
        }
        Ok(joined(&parts))
    }
}
