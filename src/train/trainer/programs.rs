//! The programs of a trainer: steps, evaluations and predictors, each compiled once for a size of batch. All share the parameters by name.

use crate::array::Array;
use crate::build::{Builder, Tensor};
use crate::data::{Batch, Examples};
use crate::graph::TensorType;
use crate::runtime::Executable;
use crate::train::TrainStep;
use crate::train::metrics::Fold;

use super::unchanged::trained;
use super::{Task, TrainError, Trainer};

impl<M, O> Trainer<M, O>
where
    M: for<'g> Fn(&mut Task<'g>) -> Tensor<'g>,
    O: for<'g> Fn(Tensor<'g>) -> TrainStep<'g>,
{
    /// Remembers the types of the data; what was compiled for others is dropped.
    pub(super) fn take_types(&mut self, examples: &Examples) {
        let types = types_of(examples);
        if types != self.types {
            self.forget();
            self.types = types;
        }
    }

    pub(super) fn forget(&mut self) {
        self.steps.clear();
        self.evaluations.clear();
        self.predictors.clear();
    }

    /// Compiles the step for a size of batch unless it is there.
    #[track_caller]
    pub(super) fn prepare_step(&mut self, batch: usize) -> Result<(), TrainError> {
        if self.steps.contains_key(&batch) {
            return Ok(());
        }
        let g = Builder::new();
        let mut task = Task::new(&g, self.types.clone(), batch, true, self.seed);
        let loss = (self.model)(&mut task);
        assert!(
            loss.rank() == 0 && loss.dtype().is_float(),
            "Trainer: the model gives the loss as a float scalar, such as the mean over the examples, not {}",
            loss.ty()
        );
        let mut step = (self.optimizer)(loss).update_all(task.context().updates()).output(&output_name("loss"), loss);
        for metric in &task.metrics {
            step = step.output(&output_name(&metric.name), metric.tensor);
        }
        self.trained = trained(&g, &step);
        let step = step.compile_with(&self.options, &self.params)?;
        self.step_folds = folds_of(&task);
        self.steps.insert(batch, step);
        Ok(())
    }

    pub(super) fn compile_evaluation(&self, batch: usize) -> Result<(Executable, Vec<(String, Fold)>), TrainError> {
        let g = Builder::new();
        let mut task = Task::new(&g, self.types.clone(), batch, false, self.seed);
        let loss = (self.model)(&mut task);
        let measures = task.metrics.iter().map(|m| (output_name(&m.name), m.tensor));
        let outputs: Vec<(String, Tensor)> = [(output_name("loss"), loss)].into_iter().chain(measures).collect();
        let outputs: Vec<(&str, Tensor)> = outputs.iter().map(|(name, tensor)| (&**name, *tensor)).collect();
        Ok((g.program(&outputs).compile_with(&self.options, &self.params)?, folds_of(&task)))
    }

    pub(super) fn compile_predictor(&self, name: &str, batch: usize) -> Result<Executable, TrainError> {
        let g = Builder::new();
        let mut task = Task::new(&g, self.types.clone(), batch, false, self.seed);
        (self.model)(&mut task);
        let Some((_, tensor)) = task.outputs.iter().find(|(n, _)| n == name) else {
            let known = task.outputs.iter().map(|(n, _)| n.clone()).collect();
            return Err(TrainError::NoOutput { name: name.to_owned(), known });
        };
        Ok(g.program(&[(name, *tensor)]).compile_with(&self.options, &self.params)?)
    }
}

pub(super) fn types_of(examples: &Examples) -> Vec<(String, TensorType)> {
    examples.types().map(|(name, ty)| (name.to_owned(), ty)).collect()
}

/// What the output of a measure is called.
pub(super) fn output_name(measure: &str) -> String {
    format!("measure.{measure}")
}

/// The loss and the measures of a model.
pub(super) fn folds_of(task: &Task<'_>) -> Vec<(String, Fold)> {
    let measures = task.metrics.iter().map(|m| (m.name.clone(), m.fold));
    [("loss".to_owned(), Fold::Mean)].into_iter().chain(measures).collect()
}

/// Those columns of a batch that a program has as inputs.
pub(super) fn inputs_of<'a>(program: &Executable, batch: &'a Batch) -> Vec<(&'a str, &'a Array)> {
    let mut inputs = batch.inputs();
    inputs.retain(|(name, _)| program.inputs().any(|(input, _)| &**input == *name));
    inputs
}
