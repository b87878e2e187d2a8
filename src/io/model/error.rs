//! Why a model cannot be loaded, run or differentiated.

use crate::compile::CompileError;
use crate::grad::GradError;
use crate::graph::{Name, ParseError, ParseErrorKind, TensorType};
use crate::prim::AttrError;
use crate::runtime::RunError;

use super::super::FileError;

/// A file that is no model, or none that can be imported.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is empty.
    #[error("{file}: expected an ONNX model or a graph in the text form; the file is empty")]
    Empty {
        /// The file.
        file: String,
    },
    /// The file's text is no graph.
    #[error("{file}: {error}")]
    Parse {
        /// The file.
        file: String,
        /// What is wrong, and where.
        error: Box<ParseError>,
    },
    /// The file is an ONNX model, which this build cannot import.
    #[error(
        "{file}: expected a graph in the text form; to read ONNX models, cotangent must be built with its feature `onnx`"
    )]
    NoOnnx {
        /// The file.
        file: String,
    },
    /// An extent was given by name for a model in the text form, which has no named extents.
    #[error("{file}: the text form has no symbolic extents, so `{name}` cannot be bound")]
    NoSymbols {
        /// The file.
        file: String,
        /// The name.
        name: String,
    },
    /// The ONNX model cannot be read.
    #[cfg(feature = "onnx")]
    #[error("{file}: {error}")]
    Onnx {
        /// The file.
        file: String,
        /// What is wrong.
        error: Box<crate::io::onnx::ModelError>,
    },
    /// The ONNX model cannot be imported.
    #[cfg(feature = "onnx")]
    #[error("{file}: {error}")]
    Import {
        /// The file.
        file: String,
        /// What is wrong.
        error: Box<crate::io::onnx::ImportError>,
    },
}

impl LoadError {
    /// True if the model is well formed as far as it was read, but uses an operation, attribute or type that is not supported.
    pub fn is_unsupported(&self) -> bool {
        match self {
            LoadError::Parse { error, .. } => {
                matches!(error.kind, ParseErrorKind::Attr(AttrError::UnknownOp { .. }))
            }
            #[cfg(feature = "onnx")]
            LoadError::Import { error, .. } => error.is_unsupported(),
            _ => false,
        }
    }
}

/// Why a model cannot be run or differentiated as asked.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A name that nothing has.
    #[error("there is no {what} called `{name}`; there are: {}", List(.known))]
    Unknown {
        /// `output`, `input or parameter` ...
        what: &'static str,
        /// The name given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// An array typed unlike what it is called like.
    #[error("`{name}` is {expected}, the array given is {given}")]
    Type {
        /// The name of an input or parameter.
        name: String,
        /// Its type.
        expected: TensorType,
        /// The array's type.
        given: TensorType,
    },
    /// Inputs without an array.
    #[error("missing inputs: {}", List(&.inputs.iter().map(|(name, ty)| format!("{name} ({ty})")).collect::<Vec<_>>()))]
    Missing {
        /// Their names and types.
        inputs: Vec<(String, TensorType)>,
    },
    /// Parameters without a value.
    #[error("parameters without a value: {}; the text form holds none, so they must be given", List(.names))]
    Unset {
        /// Their names.
        names: Vec<String>,
    },
    /// A loss that is not a scalar.
    #[error("the loss must be a scalar, but output `{name}` is {ty}; sum or average it in the model")]
    NotScalar {
        /// The output's name.
        name: String,
        /// Its type.
        ty: TensorType,
    },
    /// Integers and truth values have no derivatives.
    #[error("the {what} `{name}` is {ty}, and only f32 and f64 have derivatives")]
    NotFloat {
        /// `loss`, `input or parameter`.
        what: &'static str,
        /// The name.
        name: String,
        /// Its type.
        ty: TensorType,
    },
    /// An input that decided shapes when the model was loaded.
    #[error("shapes of the model depend on the value of input `{name}`, so it has no derivative")]
    Fixed {
        /// The input's name.
        name: String,
    },
    /// An operation between loss and input that has no derivative.
    #[error("{error}, at {node}")]
    Grad {
        /// The operation's node in the text form.
        node: String,
        /// What is wrong.
        error: Box<GradError>,
    },
    /// The program cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// An array that the run refuses.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl ModelError {
    pub(super) fn unknown(what: &'static str, name: &str, known: impl Iterator<Item = Name>) -> ModelError {
        ModelError::Unknown { what, name: name.to_owned(), known: known.map(|k| k.to_string()).collect() }
    }
}

/// Prints a list, of many names only the first.
struct List<'a>(&'a [String]);

impl std::fmt::Display for List<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MOST: usize = 40;
        match self.0 {
            [] => f.write_str("none"),
            names if names.len() > MOST => {
                write!(f, "{} and {} more", names[..MOST].join(", "), names.len() - MOST)
            }
            names => f.write_str(&names.join(", ")),
        }
    }
}
