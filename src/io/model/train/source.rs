//! The file of a model that is to be trained, and what it declares of its inputs.

#[cfg(feature = "onnx")]
use std::collections::BTreeMap;
use std::path::Path;

use crate::io::model::load::read_bytes;
use crate::io::model::{Format, Known, Leaf, LoadError, Model};

/// A model's file.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Text(Box<Model>),
    #[cfg(feature = "onnx")]
    Onnx {
        model: Box<crate::io::onnx::Model>,
        /// The same with batch normalizations by running statistics and without dropout, if that is another.
        inference: Option<Box<crate::io::onnx::Model>>,
        file: String,
        dims: BTreeMap<String, usize>,
    },
}

/// Reads a model's file, and what it declares of its inputs.
pub(super) fn open(path: &Path, known: &Known) -> Result<(Source, Vec<Leaf>), LoadError> {
    match Format::of(&read_bytes(path)?) {
        Format::Text => {
            let model = Model::read(path, known)?;
            let inputs = model.inputs().into_iter().map(|(name, ty)| Leaf::of(&name, &ty, false)).collect();
            Ok((Source::Text(Box::new(model)), inputs))
        }
        Format::Onnx => open_onnx(path, known),
    }
}

#[cfg(not(feature = "onnx"))]
fn open_onnx(path: &Path, _: &Known) -> Result<(Source, Vec<Leaf>), LoadError> {
    Err(LoadError::NoOnnx { file: path.display().to_string() })
}

#[cfg(feature = "onnx")]
fn open_onnx(path: &Path, known: &Known) -> Result<(Source, Vec<Leaf>), LoadError> {
    use crate::io::onnx::Dim;
    let model = crate::io::model::onnx::source(path)?;
    crate::io::model::onnx::expect_dims(&model, known).map_err(|error| LoadError::Given(Box::new(error)))?;
    let extent = |dim: Dim| match dim {
        Dim::Extent(n) => Some(n),
        Dim::Symbol(name) => known.dims.get(&name).copied(),
        Dim::Unknown => None,
    };
    let declared = |input: crate::io::onnx::Declared| Leaf {
        name: input.name,
        is_param: false,
        element: input.element.and_then(|element| element.element_type()),
        dims: input.dims.map(|dims| dims.into_iter().map(extent).collect()),
    };
    let inputs = model.inputs().into_iter().map(declared).collect();
    let inference = model.may_train().then(|| Box::new(model.for_inference()));
    let (file, dims) = (path.display().to_string(), known.dims.clone());
    Ok((Source::Onnx { model: Box::new(model), inference, file, dims }, inputs))
}
