//! Why training ends before its end.

use crate::compile::CompileError;
use crate::data::DataError;
use crate::graph::TensorType;
use crate::runtime::{ParamError, RunError};

/// Why a trainer cannot go on.
#[derive(thiserror::Error)]
pub enum TrainError {
    /// There is nothing to learn from.
    #[error("there are no examples")]
    NoExamples,
    /// The step cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The data does not fit the model.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A parameter cannot be set.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A data set is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The loss is not a finite number. The parameters are those after the step.
    #[error(
        "the loss is {loss} in epoch {}, batch {}: a smaller learning rate or clipped gradients may help; if it is the first step, look for NaN in the data",
        .epoch + 1,
        .batch + 1
    )]
    Diverged {
        /// The epoch, from 0.
        epoch: u64,
        /// The batch in the epoch, from 0.
        batch: usize,
        /// The loss.
        loss: f64,
    },
    /// What watches a measure is told one that there is not.
    #[error("there is no measure called `{name}`; there are: {}", .known.join(", "))]
    NoMeasure {
        /// The name.
        name: String,
        /// The names of the measures.
        known: Vec<String>,
    },
    /// [`Trainer::reduce_on_plateau`](super::Trainer::reduce_on_plateau) with a rate that is compiled in.
    #[error(
        "the optimizer has no rate to reduce: give it a `Rate::adjustable(..)`, whose state is called `learning_rate`"
    )]
    NoRate,
    /// The model has no result of this name.
    #[error("the model has no result called `{name}`; {}", Known(.known))]
    NoOutput {
        /// The name.
        name: String,
        /// The results' names.
        known: Vec<String>,
    },
    /// A checkpoint that is not of this model and optimizer.
    #[error("the checkpoint does not fit the model and its optimizer:{}", Differences { missing, unexpected, types })]
    Parameters {
        /// Parameters that it lacks.
        missing: Vec<String>,
        /// Arrays that are no parameters.
        unexpected: Vec<String>,
        /// Parameters that are typed otherwise: their type, then that in the checkpoint.
        types: Vec<(String, TensorType, TensorType)>,
    },
    /// A run that stopped in the middle of an epoch is to go on with other data or batches.
    #[error(
        "the run stopped in the middle of an epoch with {what} {saved}, this one has {given}: it cannot go on exactly"
    )]
    Position {
        /// What is different.
        what: &'static str,
        /// In the run that stopped.
        saved: String,
        /// In this run.
        given: String,
    },
    /// A checkpoint's file cannot be read or written.
    #[cfg(feature = "safetensors")]
    #[error(transparent)]
    CheckpointFile(#[from] crate::io::FileError),
    /// A checkpoint that a trainer has not written.
    #[error("not a checkpoint of a trainer: {0}; parameters alone are loaded by `Params::load_safetensors`")]
    Checkpoint(String),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
}

crate::error::debug_as_display!(TrainError);

/// Prints the results that a model has.
struct Known<'a>(&'a [String]);

impl std::fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => f.write_str("it has none, `Task::output` declares them"),
            known => write!(f, "there are: {}", known.join(", ")),
        }
    }
}

/// Prints what differs, a line each.
struct Differences<'a> {
    missing: &'a [String],
    unexpected: &'a [String],
    types: &'a [(String, TensorType, TensorType)],
}

impl std::fmt::Display for Differences<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (what, names) in [("missing", self.missing), ("not a parameter", self.unexpected)] {
            if !names.is_empty() {
                write!(f, "\n  {what}: {}", names.join(", "))?;
            }
        }
        self.types
            .iter()
            .try_for_each(|(name, ty, given)| write!(f, "\n  `{name}` is {ty}, the checkpoint holds {given}"))
    }
}
