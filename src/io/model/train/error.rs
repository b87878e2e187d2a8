//! Why a model cannot be trained on arrays.

use crate::data::DataError;
use crate::io::FileError;
use crate::io::model::{LoadError, ModelError};

/// Why a model cannot be trained on these arrays.
#[derive(thiserror::Error)]
pub enum LearnError {
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A name that the model lacks, or a loss without gradient.
    #[error(transparent)]
    Model(Box<ModelError>),
    /// The arrays are no examples.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// An array that does not fit the model.
    #[error("data `{name}`: {what}")]
    Array {
        /// The array's name.
        name: String,
        /// What was found, and what was expected.
        what: String,
    },
    /// Inputs without data.
    #[error("no data for the inputs: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// More or fewer arrays than one that are no inputs of the model.
    #[error(
        "expected {expected} that is no input of the model, found {}; the inputs are: {}",
        if .found.is_empty() { "none".to_owned() } else { .found.join(", ") },
        .inputs.join(", ")
    )]
    Target {
        /// `one array, the target,` or `no array`.
        expected: &'static str,
        /// The arrays.
        found: Vec<String>,
        /// The names of the inputs.
        inputs: Vec<String>,
    },
    /// A model for batches of one size.
    #[error(
        "the model is made for batches of {fixed} examples, not {given}: train with that, or export it with a symbolic first axis"
    )]
    Batch {
        /// The size that it is made for.
        fixed: usize,
        /// The size asked for.
        given: usize,
    },
    /// The loss depends on nothing that is trained.
    #[error("the loss depends on no parameter that is trained{}", held_hint(.held))]
    NoParameters {
        /// Parameters on which it depends and that are held, each with the reason.
        held: Vec<String>,
    },
    /// A file that is not called like what is written to it.
    #[error("{file}: {what}")]
    Extension {
        /// The file.
        file: String,
        /// What is written.
        what: &'static str,
    },
    /// The trained model cannot be written.
    #[error("{0}")]
    Output(String),
}

crate::error::debug_as_display!(LearnError);

impl LearnError {
    /// True if no file or array is at fault, but what was asked: data that is missing or is for nothing, a batch that the model is not made for, nothing to
    /// train.
    pub fn is_usage(&self) -> bool {
        match self {
            LearnError::Load(error) => error.is_usage(),
            LearnError::Model(error) => error.is_usage(),
            LearnError::File(error) => error.is_usage(),
            LearnError::Missing(_)
            | LearnError::Target { .. }
            | LearnError::Batch { .. }
            | LearnError::Extension { .. }
            | LearnError::NoParameters { .. } => true,
            LearnError::Data(_) | LearnError::Array { .. } | LearnError::Output(_) => false,
        }
    }
}

impl From<ModelError> for LearnError {
    fn from(error: ModelError) -> LearnError {
        LearnError::Model(Box::new(error))
    }
}

pub(super) fn misfit(name: &str, what: impl Into<String>) -> LearnError {
    LearnError::Array { name: name.to_owned(), what: what.into() }
}

fn held_hint(held: &[String]) -> String {
    if held.is_empty() { String::new() } else { format!("; held are: {}", held.join(", ")) }
}
