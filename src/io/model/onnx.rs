//! ONNX models as models: what the command line gives becomes bindings, and errors get the file's name.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::graph::Shape;
use crate::io::onnx::{self, Bindings, ImportError};

use super::{Declaration, Description, Format, Known, LoadError, Model};

/// Reads and imports a model.
pub(super) fn read(path: &Path, known: &Known) -> Result<Model, LoadError> {
    let source = source(path)?;
    import(&source, path, known)
}

/// Reads a model.
pub(super) fn source(path: &Path) -> Result<onnx::Model, LoadError> {
    let file = || path.display().to_string();
    onnx::Model::read(path).map_err(|error| LoadError::Onnx { file: file(), error: Box::new(error) })
}

/// Imports a model for inputs of the shapes that are known.
fn import(source: &onnx::Model, path: &Path, known: &Known) -> Result<Model, LoadError> {
    let imported = bound(source, &path.display().to_string(), &bindings(source, known))?;
    let fixed = imported.fixed().iter();
    let fixed: BTreeMap<_, _> =
        fixed.filter_map(|name| Some((name.clone(), known.arrays.get(name)?.clone()))).collect();
    Ok(Model { program: imported.program(), format: Format::Onnx, fixed, unset: Default::default() })
}

fn bound(source: &onnx::Model, file: &str, bindings: &Bindings) -> Result<onnx::Imported, LoadError> {
    let fail = |error| LoadError::Import { file: file.to_owned(), error: Box::new(error) };
    source.import(bindings).map_err(fail)
}

/// Imports a model for inputs of these shapes.
pub(super) fn for_shapes(
    source: &onnx::Model,
    file: &str,
    dims: &BTreeMap<String, usize>,
    shapes: &BTreeMap<String, Shape>,
) -> Result<Model, LoadError> {
    let mut bindings = Bindings::new();
    for (name, extent) in dims {
        bindings = bindings.dim(name, *extent);
    }
    for input in source.inputs() {
        if let Some(shape) = shapes.get(&input.name) {
            bindings = bindings.shape(&input.name, shape);
        }
    }
    let program = bound(source, file, &bindings)?.program();
    Ok(Model { program, format: Format::Onnx, fixed: BTreeMap::new(), unset: Default::default() })
}

/// What is known of the model's inputs. Arrays may be called like initializers too, which are no inputs.
fn bindings(source: &onnx::Model, known: &Known) -> Bindings {
    let mut bindings = Bindings::new();
    for (name, extent) in &known.dims {
        bindings = bindings.dim(name, *extent);
    }
    let inputs: HashSet<String> = source.inputs().into_iter().map(|input| input.name).collect();
    for (name, array) in known.arrays.iter().filter(|(name, _)| inputs.contains(*name)) {
        bindings = bindings.value(name, array.clone());
    }
    bindings
}

/// Describes a model, imported or not.
pub(super) fn describe(path: &Path, known: &Known) -> Result<Description, LoadError> {
    let source = source(path)?;
    let declarations = |list: Vec<onnx::Declared>| -> Vec<Declaration> {
        list.into_iter().map(|d| Declaration { ty: d.type_text(), name: d.name }).collect()
    };
    let elements = source.initializers().into_iter().map(|declared| {
        let extents = declared.dims.unwrap_or_default().into_iter().map(|dim| match dim {
            onnx::Dim::Extent(n) => n as u64,
            _ => 0,
        });
        extents.fold(1u64, u64::saturating_mul)
    });
    let mut description = Description {
        format: Format::Onnx,
        producer: source.producer().map(str::to_owned),
        opsets: source.opsets(),
        inputs: declarations(source.inputs()),
        outputs: declarations(source.outputs()),
        params: declarations(source.initializers()),
        param_elements: elements.fold(0, u64::saturating_add),
        operations: source.operators(),
        unsupported: Vec::new(),
        memory: Err(String::new()),
    };
    match import(&source, path, known) {
        Ok(model) => description.memory = model.memory().map_err(|e| e.to_string()),
        Err(LoadError::Import { error, .. }) => {
            description.memory = Err(match &*error {
                ImportError::Unsupported(list) => {
                    description.unsupported = list.iter().map(|u| u.to_string()).collect();
                    "the model cannot be imported".to_owned()
                }
                error => error.to_string(),
            });
        }
        Err(error) => return Err(error),
    }
    Ok(description)
}
