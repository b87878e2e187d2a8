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
//! | file | what |
//! |---|---|
//! | `fit` | the loop, with early stopping and rates that fall |
//! | `programs` | steps, evaluations and predictors, compiled by the size of the batch |
//! | `evaluate` | measures and predictions |
//! | `resume`, `checkpoint` | runs that go on where they stopped |
//! | `task`, `report` | what the model and observers are told |
//! | `unchanged` | trained parameters that an epoch leaves as they were |
//!
//! It is made of parts that work without it: [`Loader`], [`metrics`](crate::train::metrics), [`EarlyStopping`], [`ReduceOnPlateau`], [`Schedule`](super::Schedule).

mod checkpoint;
mod error;
mod evaluate;
mod fit;
mod programs;
mod report;
mod resume;
mod task;
mod unchanged;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use crate::array::Array;
use crate::build::Tensor;
use crate::compile::Options;
use crate::data::Examples;
use crate::graph::TensorType;
use crate::runtime::{Executable, Params};
use crate::train::metrics::Fold;

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
    /// The parameters that the step trains.
    trained: Vec<String>,
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
    /// What the run is made with, beside what the trainer knows.
    tags: BTreeMap<String, String>,
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
            trained: Vec::new(),
            evaluation_folds: Vec::new(),
            position: Position::default(),
            #[cfg(feature = "safetensors")]
            saving: None,
            pending: BTreeMap::new(),
            taken: BTreeSet::new(),
            restored: None,
            course: Course::default(),
            tags: BTreeMap::new(),
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

    /// Notes what the run is made with, such as where its examples come from. Checkpoints hold it ([`Checkpoint::tags`]); the trainer makes nothing of it.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
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
}

impl<M, O> fmt::Debug for Trainer<M, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { epoch, batch, .. } = self.position;
        write!(f, "Trainer(epoch {epoch} of {}, batch {batch} of {} examples)", self.epochs, self.batch)
    }
}
