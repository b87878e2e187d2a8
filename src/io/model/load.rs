//! From files to models: which format a file is of, and what must be known to import it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::array::Array;
use crate::build::Program;
use crate::graph::{Graph, Name, ParseError, Shape, TensorType, parse_file};
use crate::prim::Op;

use super::super::{ElementType, FileError, expect_file, read_typed_arrays};
use super::convert::{convert, expect_held};
use super::{LoadError, Model, ModelError};

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
    /// The element types of those arrays in the files that they are from. What is not in this list is of the type of its array, or of what the model has, if that
    /// is held in the array's type.
    pub types: BTreeMap<String, ElementType>,
}

impl Known {
    /// Adds an array, with the element type that it has in its file.
    pub fn insert(&mut self, name: &str, (array, element): (Array, ElementType)) {
        self.arrays.insert(name.to_owned(), array);
        self.types.insert(name.to_owned(), element);
    }

    /// Checks that an array's numbers are those that an input or parameter of this type takes it for. Arrays of other types than its holder are left to others.
    pub(super) fn expect_numbers(&self, name: &str, element: ElementType) -> Result<(), ModelError> {
        let Some(array) = self.arrays.get(name) else { return Ok(()) };
        let from = match self.types.get(name) {
            Some(&from) => from,
            None if element == ElementType::U64 => element,
            None => array.dtype().into(),
        };
        let fail = |what| ModelError::Values { name: name.to_owned(), what };
        if from == ElementType::U64 && element != from {
            return Err(fail(format!("the array is {from}, the model takes {element}")));
        }
        expect_held(array, from, element).map_err(fail)
    }

    /// Gives these arrays the element types of the inputs and parameters that they are called like, and the axes behind the first where the extents are known:
    /// those of tables of numbers, which have none of their own. Floats are rounded to shorter ones; what else would be lost is an error.
    ///
    /// # Errors
    /// If a number is none of the element type, or an example has another count of elements; also if another array that is called like one of `leaves` is of a
    /// type that has other numbers than the element type's holder.
    pub fn convert(&mut self, names: &[String], leaves: &[Leaf]) -> Result<(), LoadError> {
        for (name, array) in self.arrays.iter_mut().filter(|(name, _)| names.contains(name)) {
            let Some(leaf) = leaves.iter().find(|leaf| leaf.name == *name) else { continue };
            let dims = leaf.dims.as_ref().and_then(|dims| dims.get(1..));
            let example = dims.and_then(|dims| dims.iter().copied().collect::<Option<Shape>>());
            let from = self.types.get(name).copied().unwrap_or(array.dtype().into());
            *array = convert(array.clone(), from, leaf.element, example.as_ref())
                .map_err(|what| LoadError::Given(Box::new(ModelError::Values { name: name.clone(), what })))?;
            self.types.insert(name.clone(), leaf.element.unwrap_or(from));
        }
        for leaf in leaves {
            let Some(element) = leaf.element else { continue };
            self.expect_numbers(&leaf.name, element).map_err(|error| LoadError::Given(Box::new(error)))?;
        }
        Ok(())
    }
}

/// An input or a parameter as a model's file declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The name.
    pub name: String,
    /// True for a parameter.
    pub is_param: bool,
    /// The element type, if it is known.
    pub element: Option<ElementType>,
    /// The extents, as far as they are known.
    pub dims: Option<Vec<Option<usize>>>,
}

impl Leaf {
    /// An input or a parameter of this type.
    pub(super) fn of(name: &str, ty: &TensorType, is_param: bool) -> Leaf {
        let dims = Some(ty.shape.iter().map(|&extent| Some(extent)).collect());
        Leaf { name: name.to_owned(), is_param, element: Some(ty.dtype.into()), dims }
    }
}

/// What a file of arrays gives a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fitting {
    /// Arrays that are called like an input or parameter.
    pub arrays: BTreeMap<String, (Array, ElementType)>,
    /// The names of the others.
    pub others: Vec<String>,
    /// True if the file is a checkpoint of a training run, whose other arrays are the state of the optimizer.
    pub is_checkpoint: bool,
}

/// The arrays of a file for a model with these inputs and parameters, or for its parameters alone.
///
/// # Errors
/// If the file cannot be read, is a checkpoint that is damaged or of another version of the format, or none of its arrays is called like anything that it may be for.
pub fn read_fitting(path: impl AsRef<Path>, leaves: &[Leaf], params_only: bool) -> Result<Fitting, LoadError> {
    let path = path.as_ref();
    let (arrays, is_checkpoint) = read_file_of_arrays(path)?;
    let meant: Vec<&Leaf> = leaves.iter().filter(|leaf| leaf.is_param || !params_only).collect();
    let first = arrays.keys().next().cloned();
    let (kept, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        arrays.into_iter().partition(|(name, _)| meant.iter().any(|leaf| leaf.name == *name));
    match first {
        Some(name) if kept.is_empty() => {
            let what = if params_only { "parameter" } else { "input or parameter" };
            let known = meant.iter().map(|leaf| leaf.name.clone()).collect();
            Err(LoadError::Given(Box::new(ModelError::Unknown { what, name, known })))
        }
        _ => Ok(Fitting { arrays: kept, others: others.into_keys().collect(), is_checkpoint }),
    }
}

/// Arrays by name, with the types of their elements in the file.
type TypedArrays = BTreeMap<String, (Array, ElementType)>;

/// The arrays of a file, of a checkpoint the parameters and states; and whether it is one.
#[cfg(feature = "safetensors")]
fn read_file_of_arrays(path: &Path) -> Result<(TypedArrays, bool), LoadError> {
    use super::super::{is_safetensors, read_file, safetensors};
    use crate::train::Checkpoint;
    if !is_safetensors(path)? {
        return Ok((read_typed_arrays(path)?, false));
    }
    let fail = |kind| FileError::new(path, kind);
    let bytes = read_file(path).map_err(fail)?;
    if !Checkpoint::is_one(&safetensors::metadata(&bytes).map_err(fail)?) {
        return Ok((safetensors::parse_typed(&bytes).map_err(fail)?, false));
    }
    let checkpoint = Checkpoint::parse(path, &bytes).map_err(|error| LoadError::Checkpoint(Box::new(error)))?;
    let typed = |(name, array): (String, Array)| {
        let element = array.dtype().into();
        (name, (array, element))
    };
    Ok((checkpoint.arrays.into_iter().map(typed).collect(), true))
}

#[cfg(not(feature = "safetensors"))]
fn read_file_of_arrays(path: &Path) -> Result<(TypedArrays, bool), LoadError> {
    Ok((read_typed_arrays(path)?, false))
}

/// The inputs of a model, and its parameters, of ONNX the floating-point initializers.
///
/// # Errors
/// If the file cannot be read or is malformed.
pub fn leaves(path: impl AsRef<Path>) -> Result<Vec<Leaf>, LoadError> {
    let path = path.as_ref();
    let bytes = read_bytes(path)?;
    match Format::of(&bytes) {
        Format::Text => {
            let model = read_text(path, &bytes)?;
            let leaf = |is_param| move |(name, ty): (Name, TensorType)| Leaf::of(&name, &ty, is_param);
            Ok(model.inputs().into_iter().map(leaf(false)).chain(model.params().into_iter().map(leaf(true))).collect())
        }
        Format::Onnx => onnx_leaves(path),
    }
}

impl Model {
    /// Reads a model from a file in either format, told by its content. Arrays that are called like parameters become their values.
    ///
    /// # Errors
    /// If the file cannot be read or is malformed, or what is known does not fit or not suffice.
    pub fn read(path: impl AsRef<Path>, known: &Known) -> Result<Model, LoadError> {
        let (path, bytes) = (path.as_ref(), read_bytes(path.as_ref())?);
        let mut model = match Format::of(&bytes) {
            Format::Text => {
                if let Some(name) = known.dims.keys().next() {
                    return Err(LoadError::NoSymbols { file: path.display().to_string(), name: name.clone() });
                }
                let model = read_text(path, &bytes)?;
                for (name, ty) in model.inputs().into_iter().chain(model.params()) {
                    let checked = known.expect_numbers(&name, ty.dtype.into());
                    checked.map_err(|error| LoadError::Given(Box::new(error)))?;
                }
                model
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
        Ok(Model::of_graph(text.parse()?))
    }

    fn of_graph(graph: Graph) -> Model {
        let params = graph.ids().filter(|&id| matches!(graph.op(id), Op::Param(_)));
        let unset = params.filter_map(|id| graph.op(id).leaf_name().cloned()).collect();
        Model {
            program: Program::new(graph, BTreeMap::new()),
            format: Format::Text,
            fixed: BTreeMap::new(),
            unset,
            held: BTreeMap::new(),
        }
    }
}

/// The model of a file in the text form. Its nodes come from the lines of the file.
fn read_text(path: &Path, bytes: &[u8]) -> Result<Model, LoadError> {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let graph = parse_file(&String::from_utf8_lossy(bytes), &name);
    let failed = |error| LoadError::Parse { file: path.display().to_string(), error: Box::new(error) };
    graph.map(Model::of_graph).map_err(failed)
}

/// The bytes of a file that is not empty, and does not begin like one of another kind.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, LoadError> {
    let bytes = expect_file(path).and_then(|()| std::fs::read(path)).map_err(FileError::read(path))?;
    let file = || path.display().to_string();
    if bytes.is_empty() {
        return Err(LoadError::Empty { file: file() });
    }
    if let [_, _, _, _, _, _, 0, 0, b'{', ..] = bytes[..] {
        let found = match is_checkpoint(&bytes) {
            true => {
                "a checkpoint of a training run: with the model that was trained, `cotangent train --resume` goes on from it, and --params takes its parameters"
            }
            false => "arrays, safetensors: with a model they are taken by --params or --inputs",
        };
        return Err(LoadError::NoModel { file: file(), found });
    }
    match OTHERS.iter().find(|(start, _)| bytes.starts_with(start)) {
        Some((_, found)) => Err(LoadError::NoModel { file: file(), found }),
        None => Ok(bytes),
    }
}

/// True if these bytes of a safetensors file are those of a checkpoint.
#[cfg(feature = "safetensors")]
fn is_checkpoint(bytes: &[u8]) -> bool {
    super::super::safetensors::metadata(bytes).is_ok_and(|texts| crate::train::Checkpoint::is_one(&texts))
}

#[cfg(not(feature = "safetensors"))]
fn is_checkpoint(_: &[u8]) -> bool {
    false
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

#[cfg(not(feature = "onnx"))]
fn onnx_leaves(path: &Path) -> Result<Vec<Leaf>, LoadError> {
    Err(LoadError::NoOnnx { file: path.display().to_string() })
}

#[cfg(feature = "onnx")]
fn onnx_leaves(path: &Path) -> Result<Vec<Leaf>, LoadError> {
    super::onnx::leaves(path)
}

#[cfg(feature = "onnx")]
fn read_onnx(path: &Path, known: &Known) -> Result<Model, LoadError> {
    super::onnx::read(path, known)
}
