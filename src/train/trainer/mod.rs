//! The training loop: epochs, measures, validation, stopping, checkpoints.
//!
//! ```text
//!   model: Task -> loss      built once for each size of batch, for training and for inference; all share parameters by name
//!   optimizer: loss -> TrainStep
//!   fit: for each epoch
//!          for each batch of the Loader: run the step, tell observers
//!          measure on the validation data, tell observers, lower the rate, stop early
//! ```
//!
//! It is made of parts that work without it: [`Loader`], [`metrics`](crate::train::metrics), [`EarlyStopping`], [`ReduceOnPlateau`], [`Schedule`](super::Schedule).

mod checkpoint;
mod error;
mod report;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use crate::array::Array;
use crate::build::{Builder, Tensor};
use crate::compile::Options;
use crate::data::{Batch, Examples, Loader, joined};
use crate::graph::TensorType;
use crate::runtime::{Executable, Params};
use crate::train::metrics::{Fold, Sums};

use super::{EarlyStopping, Metrics, ReduceOnPlateau, TrainStep};
use checkpoint::{Course, Position};
use report::{OnEpoch, OnStep};

pub use checkpoint::Checkpoint;
pub use error::TrainError;
pub use report::{EpochReport, Observer, StepReport};
pub use task::Task;

/// Trains a model on examples.
///
/// ```
/// use cotangent::data;
/// use cotangent::nn::{Linear, Module};
/// use cotangent::prelude::*;
/// use cotangent::train::Trainer;
///
/// let digits = data::digits();
/// let trainer = Trainer::new(
///     |task| {
///         let (x, y) = (task.input("x"), task.input("y"));
///         let hidden = Linear::new(&task.at("fc1"), 64, 32).forward(x.flatten(1..), task.context()).relu();
///         let logits = Linear::new(&task.at("fc2"), 32, 10).forward(hidden, task.context());
///         task.accuracy(logits, y);
///         logits.cross_entropy(y).mean()
///     },
///     |loss| Adam::new(0.005).minimize(loss),
/// );
/// let mut trainer = trainer.batch(64).epochs(3);
/// let fit = trainer.fit_validated(&digits.train, &digits.test)?;
/// let last = fit.epochs.last().and_then(|epoch| epoch.validation.clone()).expect("there was an epoch");
/// assert!(last.get("accuracy") > Some(0.8), "{last}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The last batch of an epoch holds what examples are left: the model is built and compiled once more for it, with the same parameters, so its loss is the mean over those
/// that are there, as in PyTorch.
pub struct Trainer<M, O> {
    model: M,
    optimizer: O,
    options: Options,
    batch: usize,
    epochs: u64,
    seed: u64,
    shuffle: bool,
    whole_batches: bool,
    prefetch: usize,
    early: Option<(String, EarlyStopping)>,
    /// Parameters and states after the best epoch, if early stopping is to restore them.
    best: BTreeMap<String, Array>,
    plateau: Option<(String, ReduceOnPlateau)>,
    observers: Vec<Box<dyn Observer>>,
    params: Params,
    types: Vec<(String, TensorType)>,
    /// Executables by size of batch.
    steps: BTreeMap<usize, Executable>,
    evaluations: BTreeMap<usize, Executable>,
    predictors: BTreeMap<(String, usize), Executable>,
    /// Names of the measures of steps and of evaluations, which a model may tell apart.
    step_folds: Vec<(String, Fold)>,
    evaluation_folds: Vec<(String, Fold)>,
    position: Position,
    /// Where checkpoints are written, and after how many steps beside those after epochs.
    #[cfg(feature = "safetensors")]
    saving: Option<(std::path::PathBuf, Option<u64>)>,
    /// Values of a checkpoint, until the next fit has compared them with the parameters.
    pending: BTreeMap<String, Array>,
    /// Parameters that have got their values.
    taken: BTreeSet<String>,
    /// The run that a restored position is of.
    restored: Option<Course>,
    course: Course,
}

/// What a fit has brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The epochs that ended in this call.
    pub epochs: Vec<EpochRecord>,
    /// Why it ended.
    pub stop: Stop,
}

/// The measures of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochRecord {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Means over the batches of the epoch, each with the parameters before its update.
    pub train: Metrics,
    /// Measures on the validation data with the parameters after the epoch.
    pub validation: Option<Metrics>,
}

/// Why a fit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All epochs were run.
    Done,
    /// The measure did not improve any more.
    Early,
    /// An observer has stopped it.
    Observer,
}

impl<M, O> Trainer<M, O>
where
    M: for<'g> Fn(&mut Task<'g>) -> Tensor<'g>,
    O: for<'g> Fn(Tensor<'g>) -> TrainStep<'g>,
{
    /// A trainer for 10 epochs in shuffled batches of 32, seed 0.
    ///
    /// The model gives the loss, a scalar that is a mean over the examples of the batch; the optimizer makes a step of it, as
    /// `|loss| Adam::new(1e-3).minimize(loss)` does.
    pub fn new(model: M, optimizer: O) -> Trainer<M, O> {
        Trainer {
            model,
            optimizer,
            options: Options::default(),
            batch: 32,
            epochs: 10,
            seed: 0,
            shuffle: true,
            whole_batches: false,
            prefetch: 0,
            early: None,
            best: BTreeMap::new(),
            plateau: None,
            observers: Vec::new(),
            params: Params::new(),
            types: Vec::new(),
            steps: BTreeMap::new(),
            evaluations: BTreeMap::new(),
            predictors: BTreeMap::new(),
            step_folds: Vec::new(),
            evaluation_folds: Vec::new(),
            position: Position::default(),
            #[cfg(feature = "safetensors")]
            saving: None,
            pending: BTreeMap::new(),
            taken: BTreeSet::new(),
            restored: None,
            course: Course::default(),
        }
    }

    /// How to compile; the defaults unless set.
    pub fn options(self, options: Options) -> Self {
        Trainer { options, ..self }
    }

    /// Examples in a batch; 32 unless set.
    ///
    /// # Panics
    /// If it is 0.
    #[track_caller]
    pub fn batch(self, batch: usize) -> Self {
        assert!(batch > 0, "Trainer: a batch has at least one example");
        Trainer { batch, ..self }
    }

    /// Passes over the training data, those of a restored run included; 10 unless set.
    pub fn epochs(self, epochs: u64) -> Self {
        Trainer { epochs, ..self }
    }

    /// The seed of the order of examples, of first values of parameters from [`Task::at`], and of dropout; 0 unless set.
    pub fn seed(self, seed: u64) -> Self {
        Trainer { seed, ..self }
    }

    /// Takes the training examples in their order.
    pub fn in_order(self) -> Self {
        Trainer { shuffle: false, ..self }
    }

    /// Leaves out a last batch of an epoch that would be smaller.
    pub fn whole_batches(self) -> Self {
        Trainer { whole_batches: true, ..self }
    }

    /// Makes up to so many batches ahead, in a thread; 0 unless set.
    pub fn prefetch(self, ahead: usize) -> Self {
        Trainer { prefetch: ahead, ..self }
    }

    /// Stops where a measure does not improve: that of the validation data, if there is any, else that of the training data. `"loss"` is always there. With
    /// [`EarlyStopping::restore_best`] the parameters are then those of the best epoch.
    pub fn early_stopping(self, measure: &str, stop: EarlyStopping) -> Self {
        Trainer { early: Some((measure.to_owned(), stop)), ..self }
    }

    /// Lowers the learning rate where a measure does not improve. The optimizer has a [`Rate::adjustable`](super::Rate::adjustable), which begins with the
    /// rate given here.
    pub fn reduce_on_plateau(self, measure: &str, plateau: ReduceOnPlateau) -> Self {
        Trainer { plateau: Some((measure.to_owned(), plateau)), ..self }
    }

    /// Tells somebody how training goes: a log or a progress bar.
    pub fn observe(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Calls a closure after each step. If it breaks, the run stops before the next.
    pub fn on_step(self, f: impl FnMut(&StepReport<'_>) -> ControlFlow<()> + 'static) -> Self {
        self.observe(OnStep(f))
    }

    /// Calls a closure after each epoch. If it breaks, the run stops.
    pub fn on_epoch(self, f: impl FnMut(&EpochReport<'_>) -> ControlFlow<()> + 'static) -> Self {
        self.observe(OnEpoch(f))
    }

    /// Writes a checkpoint to a safetensors file after each epoch. [`Trainer::restore`] takes what [`Checkpoint::read`] makes of it.
    #[cfg(feature = "safetensors")]
    pub fn save_to(self, path: impl Into<std::path::PathBuf>) -> Self {
        Trainer { saving: Some((path.into(), None)), ..self }
    }

    /// [`Trainer::save_to`] after every so many steps too.
    ///
    /// # Panics
    /// If `steps` is 0.
    #[cfg(feature = "safetensors")]
    #[track_caller]
    pub fn save_every(self, steps: u64, path: impl Into<std::path::PathBuf>) -> Self {
        assert!(steps > 0, "Trainer::save_every: after at least one step");
        Trainer { saving: Some((path.into(), Some(steps))), ..self }
    }

    /// Writes a checkpoint if it is time.
    #[cfg(feature = "safetensors")]
    fn save(&self, epoch_ended: bool) -> Result<(), TrainError> {
        match &self.saving {
            Some((path, every)) if epoch_ended || every.is_some_and(|n| self.position.step.is_multiple_of(n)) => {
                self.checkpoint().write(path)
            }
            _ => Ok(()),
        }
    }

    #[cfg(not(feature = "safetensors"))]
    fn save(&self, _: bool) -> Result<(), TrainError> {
        Ok(())
    }

    /// The parameters and states by name, empty before the first fit.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The compiled training step for whole batches, once there is one.
    pub fn step(&self) -> Option<&Executable> {
        self.steps.get(&self.batch)
    }

    /// Trains until the epochs are run or something stops it. A second call goes on where the first ended; if that was in the middle of an epoch, with the
    /// rest of it. Of a run that has stopped early, it trains no more, until [`Trainer::early_stopping`] is set anew.
    ///
    /// # Errors
    /// Before the first step: if there are no examples, the step cannot be compiled, a measure that is watched does not exist, a restored checkpoint does not
    /// fit, or the last run stopped in the middle of an epoch of other columns, another count of examples, other batches or another order. Later: if the
    /// loss is not finite, an observer fails, or a checkpoint cannot be written.
    ///
    /// # Panics
    /// If the model makes a mistake or its loss is no float scalar.
    #[track_caller]
    pub fn fit(&mut self, train: impl Into<Examples>) -> Result<Fit, TrainError> {
        self.run(train.into(), None)
    }

    /// [`Trainer::fit`] with measures on validation data after each epoch.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    ///
    /// # Panics
    /// As [`Trainer::fit`].
    #[track_caller]
    pub fn fit_validated(
        &mut self,
        train: impl Into<Examples>,
        validation: impl Into<Examples>,
    ) -> Result<Fit, TrainError> {
        self.run(train.into(), Some(validation.into()))
    }

    #[track_caller]
    fn run(&mut self, train: Examples, validation: Option<Examples>) -> Result<Fit, TrainError> {
        if train.is_empty() {
            return Err(TrainError::NoExamples);
        }
        self.take_course(&train)?;
        self.take_types(&train);
        let loader = Loader::new(&train, self.batch).prefetch(self.prefetch);
        let loader = if self.whole_batches && train.len() >= self.batch { loader.whole_batches() } else { loader };
        let loader = if self.shuffle { loader.shuffle(self.seed) } else { loader };
        self.prepare_step(loader.len_of(0))?;
        self.expect_complete()?;
        self.expect_sums(loader.len_of(0))?;
        self.expect_measures(validation.is_some())?;
        self.set_rate()?;

        let mut fit = Fit { epochs: Vec::new(), stop: Stop::Done };
        if self.position.batch == 0 && self.early.as_ref().is_some_and(|(_, stop)| stop.stops()) {
            fit.stop = Stop::Early;
            return Ok(fit);
        }
        while self.position.epoch < self.epochs {
            let begin = Instant::now();
            let first = self.position.batch;
            for batch in loader.epoch_from(self.position.epoch, first) {
                if self.step_with(&batch, loader.batches_per_epoch())?.is_break() {
                    fit.stop = Stop::Observer;
                    if self.position.batch < loader.batches_per_epoch() {
                        return Ok(fit);
                    }
                }
            }
            let steps = (self.position.batch - first) as f64;
            let stepping = begin.elapsed().as_secs_f64();
            let train = self.position.sums.finish(&self.step_folds);
            let validation = validation.as_ref().map(|v| self.measure(v)).transpose()?;
            let epoch = self.position.epoch;
            self.position = Position { epoch: epoch + 1, batch: 0, step: self.position.step, sums: Sums::default() };

            let report = EpochReport {
                epoch,
                steps: self.position.step,
                train: &train,
                validation: validation.as_ref(),
                rate: self.params.get("learning_rate").ok().map(|rate| rate.get_f64(0)),
                seconds: begin.elapsed().as_secs_f64(),
                steps_per_second: steps / stepping.max(1e-9),
                params: &self.params,
            };
            let watched = validation.as_ref().unwrap_or(&train);
            if let Some((measure, plateau)) = &mut self.plateau {
                plateau.observe(value_of(watched, measure)?);
            }
            if let Some((measure, stop)) = &mut self.early {
                if stop.observe(value_of(watched, measure)?) {
                    fit.stop = Stop::Early;
                }
                if stop.restores && stop.bad == 0 {
                    self.best = all_of(&self.params);
                }
            }
            let told = told(&mut self.observers, |observer| observer.on_epoch(&report));
            self.set_rate()?;
            if fit.stop == Stop::Early || self.position.epoch == self.epochs {
                self.restore_best()?;
            }
            self.save(true)?;
            if told?.is_break() {
                fit.stop = Stop::Observer;
            }
            fit.epochs.push(EpochRecord { epoch, train, validation });
            if fit.stop != Stop::Done {
                break;
            }
        }
        Ok(fit)
    }

    /// Takes back what the parameters were after the best epoch, if that is wanted and known.
    fn restore_best(&self) -> Result<(), TrainError> {
        if self.early.as_ref().is_some_and(|(_, stop)| stop.restores) {
            for (name, value) in &self.best {
                self.params.set(name, value)?;
            }
        }
        Ok(())
    }

    /// One step, and what observers say to it.
    #[track_caller]
    fn step_with(&mut self, batch: &Batch, batches: usize) -> Result<ControlFlow<()>, TrainError> {
        self.prepare_step(batch.len())?;
        let most = || TrainError::Checkpoint("it has made as many steps as can be counted".to_owned());
        let next = self.position.step.checked_add(1).ok_or_else(most)?;
        let step = self.steps.get_mut(&batch.len()).expect("it is prepared");
        let inputs = inputs_of(step, batch);
        let outputs = step.run(&inputs)?;
        let result = |name: &str| outputs.get(&output_name(name)).expect("every measure is an output");
        let loss = result("loss").get_f64(0);
        let Position { epoch, batch: number, step: taken, .. } = self.position;
        self.position.sums.add(batch.len(), &self.step_folds, result);
        self.position.batch += 1;
        self.position.step = next;
        if !loss.is_finite() {
            return Err(TrainError::Diverged { epoch, batch: number, loss });
        }
        let report = StepReport { epoch, batch: number, batches, step: taken, loss, params: &self.params };
        let told = told(&mut self.observers, |observer| observer.on_step(&report));
        self.save(false)?;
        told
    }

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

    fn measure(&mut self, examples: &Examples) -> Result<Metrics, TrainError> {
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

    /// Remembers the types of the data; what was compiled for others is dropped.
    fn take_types(&mut self, examples: &Examples) {
        let types = types_of(examples);
        if types != self.types {
            self.forget();
            self.types = types;
        }
    }

    fn forget(&mut self) {
        self.steps.clear();
        self.evaluations.clear();
        self.predictors.clear();
    }

    /// Compares the middle of an epoch, where a run stopped or was restored, with the run that is to begin there.
    fn take_course(&mut self, train: &Examples) -> Result<(), TrainError> {
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
    fn take_pending(&mut self, whole: bool) -> Result<(), TrainError> {
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

    /// Compiles the step for a size of batch unless it is there.
    #[track_caller]
    fn prepare_step(&mut self, batch: usize) -> Result<(), TrainError> {
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
        let step = step.compile_with(&self.options, &self.params)?;
        self.step_folds = folds_of(&task);
        self.steps.insert(batch, step);
        Ok(())
    }

    /// After the step is compiled, all that a checkpoint holds is a parameter, and the other way round.
    fn expect_complete(&mut self) -> Result<(), TrainError> {
        self.take_pending(true)?;
        self.pending.clear();
        Ok(())
    }

    /// The sums of the epoch so far are of the measures of the step for batches of this size.
    fn expect_sums(&self, batch: usize) -> Result<(), TrainError> {
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

    /// The measures that are watched are there.
    fn expect_measures(&self, validated: bool) -> Result<(), TrainError> {
        let watched = self.early.iter().map(|e| &e.0).chain(self.plateau.iter().map(|p| &p.0));
        let watched: Vec<&String> = watched.filter(|name| *name != "loss").collect();
        if watched.is_empty() {
            return Ok(());
        }
        let folds = if validated {
            let g = Builder::new();
            let mut task = Task::new(&g, self.types.clone(), self.batch, false, self.seed);
            (self.model)(&mut task);
            folds_of(&task)
        } else {
            self.step_folds.clone()
        };
        let mut known: Vec<String> = folds.into_iter().filter(|f| f.1 != Fold::Sum).map(|f| f.0).collect();
        known.sort_unstable();
        match watched.into_iter().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(TrainError::NoMeasure { name: name.clone(), known }),
        }
    }

    fn compile_evaluation(&self, batch: usize) -> Result<(Executable, Vec<(String, Fold)>), TrainError> {
        let g = Builder::new();
        let mut task = Task::new(&g, self.types.clone(), batch, false, self.seed);
        let loss = (self.model)(&mut task);
        let measures = task.metrics.iter().map(|m| (output_name(&m.name), m.tensor));
        let outputs: Vec<(String, Tensor)> = [(output_name("loss"), loss)].into_iter().chain(measures).collect();
        let outputs: Vec<(&str, Tensor)> = outputs.iter().map(|(name, tensor)| (&**name, *tensor)).collect();
        Ok((g.program(&outputs).compile_with(&self.options, &self.params)?, folds_of(&task)))
    }

    fn compile_predictor(&self, name: &str, batch: usize) -> Result<Executable, TrainError> {
        let g = Builder::new();
        let mut task = Task::new(&g, self.types.clone(), batch, false, self.seed);
        (self.model)(&mut task);
        let Some((_, tensor)) = task.outputs.iter().find(|(n, _)| n == name) else {
            let known = task.outputs.iter().map(|(n, _)| n.clone()).collect();
            return Err(TrainError::NoOutput { name: name.to_owned(), known });
        };
        Ok(g.program(&[(name, *tensor)]).compile_with(&self.options, &self.params)?)
    }

    /// Sets the rate that is lowered on plateaus.
    fn set_rate(&self) -> Result<(), TrainError> {
        let Some((_, plateau)) = &self.plateau else { return Ok(()) };
        let rate = Array::scalar(plateau.rate() as f32);
        self.params.set("learning_rate", &rate).map_err(|_| TrainError::NoRate)
    }
}

/// Copies of all parameters and states.
fn all_of(params: &Params) -> BTreeMap<String, Array> {
    params.values().into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// Tells all observers, and whether one of them stops the run or fails.
fn told(
    observers: &mut [Box<dyn Observer>],
    mut tell: impl FnMut(&mut dyn Observer) -> Result<ControlFlow<()>, TrainError>,
) -> Result<ControlFlow<()>, TrainError> {
    let mut flow = Ok(ControlFlow::Continue(()));
    for observer in observers {
        match tell(&mut **observer) {
            Ok(ControlFlow::Break(())) if flow.is_ok() => flow = Ok(ControlFlow::Break(())),
            Err(error) if flow.is_ok() => flow = Err(error),
            _ => {}
        }
    }
    flow
}

fn types_of(examples: &Examples) -> Vec<(String, TensorType)> {
    examples.types().map(|(name, ty)| (name.to_owned(), ty)).collect()
}

/// What the output of a measure is called.
fn output_name(measure: &str) -> String {
    format!("measure.{measure}")
}

/// The loss and the measures of a model.
fn folds_of(task: &Task<'_>) -> Vec<(String, Fold)> {
    let measures = task.metrics.iter().map(|m| (m.name.clone(), m.fold));
    [("loss".to_owned(), Fold::Mean)].into_iter().chain(measures).collect()
}

/// Those columns of a batch that a program has as inputs.
fn inputs_of<'a>(program: &Executable, batch: &'a Batch) -> Vec<(&'a str, &'a Array)> {
    let mut inputs = batch.inputs();
    inputs.retain(|(name, _)| program.inputs().any(|(input, _)| &**input == *name));
    inputs
}

fn value_of(metrics: &Metrics, name: &str) -> Result<f64, TrainError> {
    metrics.get(name).ok_or_else(|| TrainError::NoMeasure {
        name: name.to_owned(),
        known: metrics.iter().map(|(name, _)| name.to_owned()).collect(),
    })
}

impl<M, O> fmt::Debug for Trainer<M, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { epoch, batch, .. } = self.position;
        write!(f, "Trainer(epoch {epoch} of {}, batch {batch} of {} examples)", self.epochs, self.batch)
    }
}
