//! What is in a model's file, whether or not it can be run.

use std::collections::BTreeMap;
use std::path::Path;

use crate::compile::{CompileError, Options};
use crate::graph::{Name, TensorType};

use super::error::OpenExtents;
use super::load::read_bytes;
use super::role::{Role, roles_of};
use super::{Format, Known, LoadError, Model, operations};

/// A name with its type as text, extents that are not known by their symbols: `f32[batch, 64]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The name.
    pub name: String,
    /// The type.
    pub ty: String,
}

/// What is in a model's file.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The file's format.
    pub format: Format,
    /// The program that wrote the file, if it says so.
    pub producer: Option<String>,
    /// The versions of the operator sets of an ONNX model, by domain.
    pub opsets: BTreeMap<String, i64>,
    /// The inputs.
    pub inputs: Vec<Declaration>,
    /// The outputs.
    pub outputs: Vec<Declaration>,
    /// The parameters, of an ONNX model the floating-point initializers.
    pub params: Vec<Declaration>,
    /// The other initializers of an ONNX model, such as integers, whose values are part of the model.
    pub constants: Vec<Declaration>,
    /// What training does with each of the floating-point parameters if nothing else is asked for.
    pub roles: Vec<(String, Role)>,
    /// Count of all elements of the parameters whose shapes are known.
    pub param_elements: u64,
    /// How many nodes of each operation there are.
    pub operations: BTreeMap<String, usize>,
    /// What the model asks for and is not supported, a line each.
    pub unsupported: Vec<String>,
    /// What a run takes as it is planned, or why that is not known.
    pub memory: Result<Memory, String>,
    /// The extents without which the memory is not known.
    pub open: OpenExtents,
}

/// The memory of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of the arena that holds all intermediate values: the planned peak.
    pub arena_bytes: usize,
    /// Bytes of inputs, outputs, parameters and constants.
    pub external_bytes: usize,
    /// Calls in a run: kernels, matrix products, routines.
    pub kernels: usize,
    /// Bytes of machine code.
    pub code_bytes: usize,
}

/// Describes a model's file. Unlike [`Model::read`] it does not fail if the model uses what is not supported or leaves extents open; the description tells.
///
/// # Errors
/// If the file cannot be read or is malformed, what is known does not fit the model, or the model cannot be compiled: what a run would refuse too.
pub fn describe(path: impl AsRef<Path>, known: &Known) -> Result<Description, LoadError> {
    let path = path.as_ref();
    match Format::of(&read_bytes(path)?) {
        Format::Text => {
            let model = Model::read(path, known)?;
            model.check_arrays(&known.arrays).map_err(|error| LoadError::Given(Box::new(error)))?;
            let memory = compiled_memory(&model, path)?;
            Ok(model.describe_with(Ok(memory)))
        }
        Format::Onnx => describe_onnx(path, known),
    }
}

impl Model {
    /// Describes the model as it was imported.
    pub fn describe(&self) -> Description {
        self.describe_with(self.memory().map_err(|e| e.to_string()))
    }

    fn describe_with(&self, memory: Result<Memory, String>) -> Description {
        let declarations = |list: Vec<(Name, TensorType)>| -> Vec<Declaration> {
            let declaration = |(name, ty): (Name, TensorType)| {
                let ty = self.own(&name, ty).to_string();
                Declaration { name: name.to_string(), ty }
            };
            list.into_iter().map(declaration).collect()
        };
        let count = operations(&self.program().graph);
        Description {
            format: self.format(),
            producer: None,
            opsets: BTreeMap::new(),
            inputs: declarations(self.inputs()),
            outputs: declarations(self.outputs()),
            param_elements: self.params().iter().map(|(_, ty)| ty.shape.numel() as u64).fold(0, u64::saturating_add),
            params: declarations(self.params()),
            constants: Vec::new(),
            roles: roles_of(self),
            operations: count.into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
            unsupported: Vec::new(),
            memory,
            open: OpenExtents::default(),
        }
    }

    /// The memory that a run would take. None is taken.
    ///
    /// # Errors
    /// If the program cannot be compiled.
    pub fn memory(&self) -> Result<Memory, CompileError> {
        let report = self.program().report(&Options::default())?;
        Ok(Memory {
            arena_bytes: report.arena_bytes,
            external_bytes: report.external_bytes,
            kernels: report.kernels,
            code_bytes: report.code_bytes,
        })
    }
}

/// The memory of the model of a file.
pub(super) fn compiled_memory(model: &Model, path: &Path) -> Result<Memory, LoadError> {
    let fail = |error| LoadError::Compile { file: path.display().to_string(), error: Box::new(error) };
    model.memory().map_err(fail)
}

#[cfg(not(feature = "onnx"))]
fn describe_onnx(path: &Path, _: &Known) -> Result<Description, LoadError> {
    Err(LoadError::NoOnnx { file: path.display().to_string() })
}

#[cfg(feature = "onnx")]
fn describe_onnx(path: &Path, known: &Known) -> Result<Description, LoadError> {
    super::onnx::describe(path, known)
}
