//! Why a model cannot be loaded, run or differentiated.

use crate::compile::CompileError;
use crate::grad::GradError;
use crate::graph::{DType, Name, ParseError, TensorType};
use crate::runtime::{RunError, Shortage};
use crate::spelling;

use super::super::{ArrayType, ElementType, FileError};

/// A file that is no model, or none that can be imported.
#[derive(thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is a checkpoint of a training run, but a damaged one or of another version.
    #[cfg(feature = "safetensors")]
    #[error(transparent)]
    Checkpoint(Box<crate::train::TrainError>),
    /// The file is empty.
    #[error("{file}: expected an ONNX model or a graph in the text form; the file is empty")]
    Empty {
        /// The file.
        file: String,
    },
    /// The file holds something else than a model.
    #[error("{file}: expected an ONNX model or a graph in the text form; this is {found}")]
    NoModel {
        /// The file.
        file: String,
        /// What it is.
        found: &'static str,
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
    /// An array or extent that is given fits nothing in the model.
    #[error(transparent)]
    Given(Box<ModelError>),
    /// Inputs whose shapes are open have no array, and their extents no numbers.
    #[error("{file}: missing inputs: {}; without them, {open}", List(.inputs))]
    Open {
        /// The file.
        file: String,
        /// The inputs without an array, with their types.
        inputs: Vec<String>,
        /// The extents that are not known.
        open: OpenExtents,
    },
    /// The model cannot be compiled.
    #[error("{file}: {error}")]
    Compile {
        /// The file.
        file: String,
        /// What is wrong.
        error: Box<CompileError>,
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
    /// An extent was given by name, and is another by the shape of an array.
    #[cfg(feature = "onnx")]
    #[error("{file}: {error}")]
    Extents {
        /// The file.
        file: String,
        /// The extent, and both numbers.
        error: Box<crate::io::onnx::ImportError>,
    },
    /// The ONNX model cannot be imported.
    #[cfg(feature = "onnx")]
    #[error("{file}: {error}{}", import_hint(.error))]
    Import {
        /// The file.
        file: String,
        /// What is wrong.
        error: Box<crate::io::onnx::ImportError>,
    },
}

crate::error::debug_as_display!(LoadError);

impl LoadError {
    /// True if the ONNX model is well formed as far as it was read, but uses an operator, attribute or type that is not supported.
    pub fn is_unsupported(&self) -> bool {
        match self {
            #[cfg(feature = "onnx")]
            LoadError::Import { error, .. } => error.is_unsupported(),
            _ => false,
        }
    }

    /// True if no file is at fault, but what was asked: a name that is not there, extents that contradict each other or are missing.
    pub fn is_usage(&self) -> bool {
        match self {
            LoadError::File(error) => error.is_usage(),
            LoadError::Given(error) => error.is_usage(),
            LoadError::NoSymbols { .. } | LoadError::Open { .. } => true,
            #[cfg(feature = "onnx")]
            LoadError::Extents { .. } => true,
            _ => false,
        }
    }
}

/// Extents that are not known, or what decides them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenExtents {
    /// Those that have names, by which they can be bound.
    pub symbols: Vec<String>,
    /// The inputs of the others, whose arrays tell them.
    pub inputs: Vec<String>,
    /// Inputs on whose values shapes inside the model may depend.
    pub values: Vec<String>,
}

impl std::fmt::Display for OpenExtents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let plural = |names: &[String], one: &'static str, several: &'static str| match names.len() {
            1 => one,
            _ => several,
        };
        let mut parts = Vec::new();
        if !self.symbols.is_empty() {
            let (the, is) = (plural(&self.symbols, "extent", "extents"), plural(&self.symbols, "is", "are"));
            parts.push(format!("the {the} {} {is} not known", list(&self.symbols)));
        }
        if !self.inputs.is_empty() {
            let the = plural(&self.inputs, "shape of the input", "shapes of the inputs");
            parts.push(format!("the {the} {} {} not known", list(&self.inputs), plural(&self.inputs, "is", "are")));
        }
        if !self.values.is_empty() {
            let of = plural(&self.values, "value", "values");
            parts.push(format!("shapes that depend on the {of} of {} are not known", list(&self.values)));
        }
        f.write_str(&parts.join(", and "))
    }
}

/// How NumPy makes an array of this element type of one of another, where it has the type.
fn cast_hint(expected: &str, given: DType) -> String {
    let known = [
        "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
        "float64",
    ];
    let name = ElementType::Plain(given).numpy_name();
    match known.contains(&expected) && name != expected {
        true => format!("; in NumPy, .astype(np.{}) converts it", if expected == "bool" { "bool_" } else { expected }),
        false => String::new(),
    }
}

#[cfg(feature = "onnx")]
fn import_hint(error: &crate::io::onnx::ImportError) -> String {
    match error {
        crate::io::onnx::ImportError::Binding { declared, given, .. } => {
            cast_hint(declared.split('[').next().unwrap_or(""), given.dtype)
        }
        _ => String::new(),
    }
}

/// Why a model cannot be run or differentiated as asked.
#[derive(thiserror::Error)]
pub enum ModelError {
    /// A name that nothing has.
    #[error("there is no {what} called `{name}`; there are: {}{}", List(.known), spelling::hint(.name, .known))]
    Unknown {
        /// `output`, `input or parameter` ...
        what: &'static str,
        /// The name given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Numbers that what the array is called like cannot hold, or too many or few of them.
    #[error("`{name}`: {what}")]
    Values {
        /// The name of an input or parameter.
        name: String,
        /// What was found, and what was expected.
        what: String,
    },
    /// An array typed unlike what it is called like.
    #[error("`{name}` is {expected}, the array given is {given}{}", cast_hint(.expected.element.numpy_name(), .given.dtype))]
    Type {
        /// The name of an input or parameter.
        name: String,
        /// Its type.
        expected: ArrayType,
        /// The array's type.
        given: TensorType,
    },
    /// Inputs without an array, and parameters without a value where there are such too.
    #[error("missing inputs: {}{}", List(&typed(.inputs)), also_unset(.params))]
    Missing {
        /// Names and types of the inputs.
        inputs: Vec<(String, ArrayType)>,
        /// Names and types of the parameters.
        params: Vec<(String, ArrayType)>,
    },
    /// Parameters without a value.
    #[error("parameters without a value: {}; the text form holds none, so they must be given", List(&typed(.params)))]
    Unset {
        /// Their names and types.
        params: Vec<(String, ArrayType)>,
    },
    /// There is nothing to compute.
    #[error("the model has no outputs; in the text form, a line `output \"NAME\" = %NODE` names one")]
    NoOutputs,
    /// A loss that is not a scalar.
    #[error("the loss must be a scalar, but output `{name}` is {ty}; sum or average it in the model")]
    NotScalar {
        /// The output's name.
        name: String,
        /// Its type.
        ty: ArrayType,
    },
    /// Integers and truth values have no derivatives.
    #[error("the {what} `{name}` is {ty}, and only f32 and f64 have derivatives")]
    NotFloat {
        /// `loss`, `input or parameter`.
        what: &'static str,
        /// The name.
        name: String,
        /// Its type.
        ty: ArrayType,
    },
    /// An input or initializer that decided shapes when the model was loaded.
    #[error("shapes of the model depend on the value of `{name}`, so it has no derivative")]
    Fixed {
        /// Its name.
        name: String,
    },
    /// Another value for an initializer that decided shapes when the model was loaded.
    #[error("shapes of the model depend on the value of `{name}` in the file, so it cannot be given another")]
    Decided {
        /// Its name.
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
    /// Arrays that are to be made need more memory than there is.
    #[error(transparent)]
    Room(#[from] Shortage),
    /// An array that the run refuses.
    #[error(transparent)]
    Run(#[from] RunError),
}

crate::error::debug_as_display!(ModelError);

impl ModelError {
    /// True if neither the model nor an array is at fault, but who asked: for a name that the model does not have, a derivative that there is not, or a run
    /// without all inputs.
    pub fn is_usage(&self) -> bool {
        match self {
            ModelError::Unknown { .. }
            | ModelError::Missing { .. }
            | ModelError::Unset { .. }
            | ModelError::NotScalar { .. }
            | ModelError::NotFloat { .. }
            | ModelError::Fixed { .. }
            | ModelError::Decided { .. } => true,
            ModelError::Values { .. }
            | ModelError::Type { .. }
            | ModelError::NoOutputs
            | ModelError::Grad { .. }
            | ModelError::Compile(_)
            | ModelError::Room(_)
            | ModelError::Run(_) => false,
        }
    }

    pub(super) fn unknown(what: &'static str, name: &str, known: impl Iterator<Item = Name>) -> ModelError {
        ModelError::Unknown { what, name: name.to_owned(), known: known.map(|k| k.to_string()).collect() }
    }
}

fn typed(list: &[(String, ArrayType)]) -> Vec<String> {
    list.iter().map(|(name, ty)| format!("{name} ({ty})")).collect()
}

fn also_unset(params: &[(String, ArrayType)]) -> String {
    if params.is_empty() { String::new() } else { format!("; parameters without a value: {}", List(&typed(params))) }
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
