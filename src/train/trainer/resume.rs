//! Runs that stop and go on: what a checkpoint holds of a trainer, and what has to fit for another to go on with it.

use std::collections::BTreeMap;

use crate::array::Array;
use crate::build::Tensor;
use crate::data::Examples;
use crate::graph::TensorType;
use crate::train::TrainStep;
use crate::train::metrics::Sums;

use super::checkpoint::{Checkpoint, Course};
use super::programs::{output_name, types_of};
use super::{Task, TrainError, Trainer};

impl<M, O> Trainer<M, O>
where
    M: for<'g> Fn(&mut Task<'g>) -> Tensor<'g>,
    O: for<'g> Fn(Tensor<'g>) -> TrainStep<'g>,
{
    /// The state of the run: parameters, the optimizer's state, random keys, and the position in the data. A run that is restored from it goes on exactly
    /// as this one does, to the bit.
    pub fn checkpoint(&self) -> Checkpoint {
        // Until all of a restored checkpoint is taken, parameters that have not got their values hold those of another run.
        let mut names = self.params.names();
        names.retain(|name| self.pending.is_empty() || self.taken.contains(&**name));
        let arrays = names.iter().filter_map(|name| Some((name.to_string(), self.params.get(name).ok()?)));
        let mut checkpoint = Checkpoint::new(self.pending.clone().into_iter().chain(arrays).collect());
        checkpoint.best = self.best.clone();
        checkpoint.put_position(&self.position, self.restored.as_ref().unwrap_or(&self.course));
        checkpoint.put_types(&self.types);
        checkpoint.put_tags(&self.tags);
        if let Some((_, stop)) = &self.early {
            checkpoint.put_early_stopping(stop);
        }
        if let Some((_, plateau)) = &self.plateau {
            checkpoint.put_plateau(plateau);
        }
        checkpoint
    }

    /// Takes the state of a run that had the same model, optimizer and data. What it learned can be used at once, and the next fit goes on with it.
    ///
    /// # Errors
    /// If the checkpoint is malformed, or does not fit what has been compiled. The trainer is as it was then. That it does not fit a model that nothing has
    /// been compiled of is an error of the next fit, evaluation or prediction.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        checkpoint.expect_format()?;
        checkpoint.expect_best()?;
        let (position, course) = checkpoint.position()?;
        let types = checkpoint.types()?;
        let (mut early, mut plateau) = (self.early.clone(), self.plateau.clone());
        if let Some((_, stop)) = &mut early {
            checkpoint.early_stopping(stop)?;
        }
        if let Some((_, plateau)) = &mut plateau {
            checkpoint.plateau(plateau)?;
        }
        let none = self.steps.is_empty() && self.evaluations.is_empty() && self.predictors.is_empty();
        let pending = std::mem::replace(&mut self.pending, checkpoint.arrays.clone());
        let taken = std::mem::take(&mut self.taken);
        if types == self.types
            && !none
            && let Err(error) = self.take_pending(false)
        {
            (self.pending, self.taken) = (pending, taken);
            return Err(error);
        }
        if types != self.types {
            self.forget();
        }
        (self.position, self.restored, self.types) = (position, Some(course), types);
        (self.early, self.plateau) = (early, plateau);
        self.best = checkpoint.best.clone();
        Ok(())
    }

    /// Compares the middle of an epoch, where a run stopped or was restored, with the run that is to begin there.
    pub(super) fn take_course(&mut self, train: &Examples) -> Result<(), TrainError> {
        let course = Course {
            examples: train.len(),
            batch: self.batch,
            seed: self.shuffle.then_some(self.seed),
            whole_batches: self.whole_batches,
        };
        if self.position.batch > 0 {
            let stopped = self.restored.as_ref().unwrap_or(&self.course);
            let differs = |what, saved: String, given: String| Err(TrainError::Position { what, saved, given });
            let order = |seed: Option<u64>| seed.map_or("none".to_owned(), |seed| seed.to_string());
            let columns = |types: Vec<(String, TensorType)>| {
                let mut columns: Vec<String> = types.iter().map(|(name, ty)| format!("{name} {ty}")).collect();
                columns.sort_unstable();
                columns.join(", ")
            };
            let (saved, given) = (columns(self.types.clone()), columns(types_of(train)));
            if saved != given {
                return differs("columns", saved, given);
            }
            if stopped.examples != course.examples {
                return differs("examples:", stopped.examples.to_string(), course.examples.to_string());
            }
            if stopped.batch != course.batch {
                return differs("batches of", stopped.batch.to_string(), course.batch.to_string());
            }
            if stopped.batches() != course.batches() {
                return differs("batches per epoch:", stopped.batches().to_string(), course.batches().to_string());
            }
            if stopped.seed != course.seed {
                return differs("the seed", order(stopped.seed), order(course.seed));
            }
        }
        (self.course, self.restored) = (course, None);
        Ok(())
    }

    /// Sets the parameters that there are from a checkpoint: all of them or, if something does not fit, none.
    ///
    /// # Errors
    /// If the checkpoint lacks one, has one of another type or, in a `whole` comparison, holds what is no parameter.
    pub(super) fn take_pending(&mut self, whole: bool) -> Result<(), TrainError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (mut missing, mut types, mut unexpected) = (Vec::new(), Vec::new(), Vec::new());
        let names = self.params.names();
        let fresh: Vec<&str> = names.iter().map(|name| &**name).filter(|name| !self.taken.contains(*name)).collect();
        for &name in &fresh {
            let ty = self.params.ty(name)?;
            match self.pending.get(name).map(Array::ty) {
                None => missing.push(name.to_owned()),
                Some(given) if given != ty => types.push((name.to_owned(), ty, given)),
                Some(_) => {}
            }
        }
        if whole {
            let is_param = |name: &&String| names.iter().any(|n| **n == ***name);
            unexpected.extend(self.pending.keys().filter(|name| !is_param(name)).cloned());
        }
        if !(missing.is_empty() && types.is_empty() && unexpected.is_empty()) {
            return Err(TrainError::Parameters { missing, unexpected, types });
        }
        for name in fresh {
            self.params.set(name, &self.pending[name])?;
            self.taken.insert(name.to_owned());
        }
        Ok(())
    }

    /// After the step is compiled, all that a checkpoint holds is a parameter, and the other way round.
    pub(super) fn expect_complete(&mut self) -> Result<(), TrainError> {
        self.take_pending(true)?;
        self.pending.clear();
        Ok(())
    }

    /// The sums of the epoch so far are of the measures of the step for batches of this size.
    pub(super) fn expect_sums(&self, batch: usize) -> Result<(), TrainError> {
        if self.position.batch == 0 {
            return Ok(());
        }
        let outputs: BTreeMap<&str, &TensorType> =
            self.steps[&batch].outputs().map(|(name, ty)| (&**name, ty)).collect();
        let given = Sums::measures_of(&self.step_folds, |name| outputs[&*output_name(name)].clone());
        let saved = self.position.sums.measures();
        if saved == given {
            return Ok(());
        }
        Err(TrainError::Position { what: "the measures", saved: saved.join(", "), given: given.join(", ") })
    }
}
