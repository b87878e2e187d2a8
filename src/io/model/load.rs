//! From files to models: which format a file is of, and what must be known to import it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::array::Array;
use crate::build::Program;
use crate::graph::{Graph, ParseError};
use crate::prim::Op;

use super::super::{FileError, FileErrorKind};
use super::{LoadError, Model};

/// The format of a model's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The text form of Cotangent's graphs.
    Text,
    /// ONNX.
    Onnx,
}

impl Format {
    /// The format's name.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Onnx => "ONNX",
        }
    }

    /// The format of these bytes. Text begins with `%`, `;` or a word, and has no control characters; the first byte of an ONNX model is one.
    pub(super) fn of(bytes: &[u8]) -> Format {
        let is_text = |text: &str| {
            let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
            !text.contains(control)
                && text.trim_start().starts_with(|c: char| c == '%' || c == ';' || c.is_alphabetic())
        };
        if std::str::from_utf8(bytes).is_ok_and(is_text) { Format::Text } else { Format::Onnx }
    }
}

/// What is known before a model is loaded. Shapes of an ONNX model may be left open, and may depend on the values of inputs.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Extents by their names.
    pub dims: BTreeMap<String, usize>,
    /// Arrays by the names of inputs, or of parameters, whose values they become.
    pub arrays: BTreeMap<String, Array>,
}

impl Model {
    /// Reads a model from a file in either format, told by its content. Arrays that are called like parameters become their values.
    ///
    /// # Errors
    /// If the file cannot be read or is malformed, or what is known does not fit or not suffice.
    pub fn read(path: impl AsRef<Path>, known: &Known) -> Result<Model, LoadError> {
        let (path, bytes) = (path.as_ref(), read_bytes(path.as_ref())?);
        let file = path.display().to_string();
        let mut model = match Format::of(&bytes) {
            Format::Text => {
                if let Some(name) = known.dims.keys().next() {
                    return Err(LoadError::NoSymbols { file, name: name.clone() });
                }
                let text = String::from_utf8_lossy(&bytes);
                Model::from_text(&text).map_err(|error| LoadError::Parse { file, error: Box::new(error) })?
            }
            Format::Onnx => read_onnx(path, known)?,
        };
        for (name, ty) in model.params() {
            // What does not fit is told when the arrays are checked for a run.
            if let Some(value) = known.arrays.get(&*name).filter(|value| value.ty() == ty) {
                model.unset.remove(&name);
                model.program.initial.insert(name, Arc::new(value.clone()));
            }
        }
        Ok(model)
    }

    /// The model that this graph in the text form is. Its parameters have no values yet.
    ///
    /// # Errors
    /// If the text is no graph.
    pub fn from_text(text: &str) -> Result<Model, ParseError> {
        let graph: Graph = text.parse()?;
        let params = graph.ids().filter(|&id| matches!(graph.op(id), Op::Param(_)));
        let unset = params.filter_map(|id| graph.op(id).leaf_name().cloned()).collect();
        Ok(Model { program: Program::new(graph, BTreeMap::new()), format: Format::Text, fixed: BTreeMap::new(), unset })
    }
}

/// The bytes of a file that is not empty, and does not begin like one of another kind.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, LoadError> {
    let bytes = std::fs::read(path).map_err(|e| FileError::new(path, FileErrorKind::Read(e)))?;
    let file = || path.display().to_string();
    if bytes.is_empty() {
        return Err(LoadError::Empty { file: file() });
    }
    match OTHERS.iter().find(|(start, _)| bytes.starts_with(start)) {
        Some((_, found)) => Err(LoadError::NoModel { file: file(), found }),
        None => Ok(bytes),
    }
}

/// How files begin that are given in the place of models. No model begins so: 0x93, 0x50 and 0x89 are no fields of one, nor do they begin a line of text that is a graph.
const OTHERS: [(&[u8], &str); 3] = [
    (super::super::npy::MAGIC, "an array, npy"),
    (b"PK\x03\x04", "a zip archive, such as npz or what torch.save writes: export the model as ONNX"),
    (b"\x89HDF", "an HDF5 file: export the model as ONNX"),
];

#[cfg(not(feature = "onnx"))]
fn read_onnx(path: &Path, _: &Known) -> Result<Model, LoadError> {
    Err(LoadError::NoOnnx { file: path.display().to_string() })
}

#[cfg(feature = "onnx")]
fn read_onnx(path: &Path, known: &Known) -> Result<Model, LoadError> {
    super::onnx::read(path, known)
}
