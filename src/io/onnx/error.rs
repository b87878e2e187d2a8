//! What can be wrong with a model: that it cannot be read, that it is malformed, or that it asks for what is not supported.

use std::fmt;
use std::path::PathBuf;

use crate::graph::{OpError, Shape, TensorType};

use super::Dim;

/// Why a model cannot be read or written.
#[derive(thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bytes are no ONNX model.
    #[error("not an ONNX model: {0}")]
    Decode(String),
    /// A tensor's data do not fit what it declares.
    #[error("tensor `{tensor}`: {what}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        what: String,
    },
    /// A new value of an initializer that the model does not have, or has with another type.
    #[error("initializer `{name}`: {what}")]
    Initializer {
        /// The name.
        name: String,
        /// What is wrong.
        what: String,
    },
}

crate::error::debug_as_display!(ModelError);

/// One thing that a model asks for and that is not supported.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unsupported {
    /// The node's name, or if it has none, that of its first result.
    pub node: String,
    /// The operator, with its domain if that is not ONNX's own.
    pub operator: String,
    /// What of it is not supported.
    pub what: String,
    /// What would help.
    pub reason: Reason,
}

/// Why something is not supported.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is not supported, whatever inputs are bound to.
    Never,
    /// A value has to be known when the model is imported. It depends on these inputs, at least one, that are bound to no value.
    Unbound(Vec<String>),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node `{}` ({}): {}", self.node, self.operator, self.what)
    }
}

/// Why a model cannot be imported.
#[derive(thiserror::Error)]
pub enum ImportError {
    /// Operators, attributes or types that are not supported: all that the model has.
    #[error("the model uses what is not supported:{}", Lines(.0))]
    Unsupported(Vec<Unsupported>),
    /// A node that does not fit its operands, or the specification.
    #[error("node `{node}` ({operator}): {what}")]
    Node {
        /// The node's name, or if it has none, that of its first result.
        node: String,
        /// The operator.
        operator: String,
        /// What is wrong.
        what: String,
    },
    /// The graph is malformed.
    #[error("{0}")]
    Graph(String),
    /// An input whose extents are not known.
    #[error("input `{input}`: the extent of axis {axis} is {dim}: bind it, or the shape of the input")]
    Unbound {
        /// The input.
        input: String,
        /// The axis.
        axis: usize,
        /// Its extent as declared.
        dim: Dim,
    },
    /// An input that is bound to a type other than the declared one.
    #[error("input `{input}` is declared as {declared}, but bound to {given}")]
    Binding {
        /// The input.
        input: String,
        /// The type in the model.
        declared: String,
        /// The type bound.
        given: TensorType,
    },
    /// A symbolic extent that has two values.
    #[error("the extent `{symbol}` is {first} and, by input `{input}` of shape {shape}, {second}")]
    Symbol {
        /// The symbol.
        symbol: String,
        /// The extent that it had.
        first: usize,
        /// The one that it would have.
        second: usize,
        /// The input.
        input: String,
        /// Its shape.
        shape: Shape,
    },
    /// A binding of an input or symbol that the model does not have.
    #[error("the model has no {what} `{name}`")]
    Unknown {
        /// `input`, `symbolic extent`, `result`.
        what: &'static str,
        /// The name given.
        name: String,
    },
    /// A tensor of the model cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
}

crate::error::debug_as_display!(ImportError);

impl ImportError {
    /// True if the model is well formed as far as it was read, but uses what is not supported.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, ImportError::Unsupported(_))
    }
}

struct Lines<'a>(&'a [Unsupported]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|item| write!(f, "\n  {item}"))
    }
}

/// Why one node cannot be imported.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not supported.
    Unsupported(String, Reason),
    /// It is malformed.
    Invalid(String),
    /// An operand is the result of a node that failed, which has been told.
    Follows,
    /// A node of a graph or function inside this one.
    Inside(Box<ImportError>),
}

impl From<ImportError> for Fault {
    fn from(error: ImportError) -> Fault {
        Fault::Inside(Box::new(error))
    }
}

impl From<OpError> for Fault {
    fn from(error: OpError) -> Fault {
        Fault::Invalid(error.to_string())
    }
}

/// A malformed node.
pub(super) fn invalid<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Invalid(what.into()))
}

/// A node that is not supported.
pub(super) fn unsupported<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Unsupported(what.into(), Reason::Never))
}
