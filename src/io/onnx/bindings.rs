//! What is known of a model's inputs when it is imported.

use std::collections::BTreeMap;

use crate::array::Array;
use crate::graph::{DType, Shape, TensorType};

use super::dtype::OnnxType;
use super::error::ImportError;
use super::model::{Declared, Dim, Model};

/// Extents, shapes and values that an import may take as known.
///
/// Shapes are static once a model is imported, so each symbolic extent of its inputs has to be bound, by its name or by the shape of an input that has it. A
/// value need be given only of inputs that decide shapes, such as the target of a `Reshape`; giving more does no harm.
///
/// ```
/// use cotangent::io::onnx::Bindings;
///
/// let bindings = Bindings::new().dim("batch", 32).shape("mask", [32, 10]);
/// # let _ = bindings;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    dims: BTreeMap<String, usize>,
    shapes: BTreeMap<String, Shape>,
    values: BTreeMap<String, Array>,
    seed: Option<u64>,
    holds_integers: bool,
    holds_floats: bool,
}

/// An input as the graph has it.
pub(super) struct InputType {
    pub name: String,
    /// The type; as text if it is not supported.
    pub ty: Result<TensorType, String>,
    /// The element type that the model declares.
    pub own: Option<OnnxType>,
}

impl Bindings {
    /// Nothing is known.
    pub fn new() -> Bindings {
        Bindings::default()
    }

    /// The extent that a symbol stands for.
    pub fn dim(mut self, symbol: &str, extent: usize) -> Bindings {
        self.dims.insert(symbol.to_owned(), extent);
        self
    }

    /// The shape of an input.
    pub fn shape(mut self, input: &str, shape: impl Into<Shape>) -> Bindings {
        self.shapes.insert(input.to_owned(), shape.into());
        self
    }

    /// The value of an input, and with it its shape. The import uses the value only if shapes or the course of the program depend on it; the input is
    /// [fixed](super::Imported::fixed) then.
    pub fn value(mut self, input: &str, value: Array) -> Bindings {
        self.values.insert(input.to_owned(), value);
        self
    }

    /// Lets nodes that are random in training be so, with a key that begins with this seed: see [`Imported::random`](super::Imported::random). Without it, they are
    /// not supported.
    pub fn random(self, seed: u64) -> Bindings {
        Bindings { seed: Some(seed), ..self }
    }

    pub(super) fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// Takes inputs and results of integer types that there are none of here too: int8, int16, uint16 and those of fewer bits as `i32`, uint64 as `i64`, in
    /// which 2^64 is added to negative numbers. What an input is given wraps to its own type, and what a result's own type is,
    /// [`Imported::element_type`](super::Imported::element_type) tells: who writes results to files has to ask. Without this, such inputs and results are not
    /// supported; inside of a model these types need no permission.
    pub fn hold_integers(mut self) -> Bindings {
        self.holds_integers = true;
        self
    }

    /// Takes inputs and results of float types that there are none of here too, those of 4, 6 and 8 bits, as `f32`. What an input is given is rounded to its own
    /// type, in which the range ends with infinities or NaN if it has such: the program's derivative by it is zero. Without this, such inputs and results are
    /// not supported; inside of a model these types need no permission.
    pub fn hold_floats(mut self) -> Bindings {
        self.holds_floats = true;
        self
    }

    /// The element type of an input or result: its own, or one that holds it if that is wished.
    pub(super) fn boundary(&self, own: OnnxType) -> Option<DType> {
        let held = if own.format().is_some() { self.holds_floats } else { self.holds_integers };
        if held { own.holder() } else { own.dtype() }
    }

    pub(super) fn value_of(&self, input: &str) -> Option<&Array> {
        self.values.get(input)
    }

    /// The type of each input of the model.
    pub(super) fn resolve(&self, model: &Model) -> Result<Vec<InputType>, ImportError> {
        let inputs = model.inputs();
        self.expect_known(&inputs)?;
        let mut symbols = self.dims.clone();
        for input in &inputs {
            let Some(shape) = self.shape_of(&input.name) else { continue };
            let Some(dims) = &input.dims else { continue };
            let fits = |(dim, &extent): (&Dim, &usize)| !matches!(dim, Dim::Extent(n) if *n != extent);
            if dims.len() != shape.rank() || !dims.iter().zip(shape.iter()).all(fits) {
                return Err(self.misfit(input, shape));
            }
            for (dim, &second) in dims.iter().zip(shape.iter()) {
                let Dim::Symbol(symbol) = dim else { continue };
                let first = *symbols.entry(symbol.clone()).or_insert(second);
                if first != second {
                    let (symbol, input, shape) = (symbol.clone(), input.name.clone(), shape.clone());
                    return Err(ImportError::Symbol { symbol, first, second, input, shape });
                }
            }
        }
        let mut types = Vec::with_capacity(inputs.len());
        for input in inputs {
            if input.element.is_none() {
                types.push(InputType { name: input.name, ty: Err("that is no tensor".to_owned()), own: None });
                continue;
            }
            let shape = match self.shape_of(&input.name) {
                Some(shape) => shape.clone(),
                None => declared_shape(&input, &symbols)?,
            };
            let ty = match (input.element.and_then(|e| self.boundary(e)), self.values.get(&input.name)) {
                (Some(dtype), Some(value)) if value.dtype() != dtype => return Err(self.misfit(&input, &shape)),
                (Some(dtype), _) => Ok(TensorType::new(dtype, shape)),
                (None, _) => Err(input.type_text()),
            };
            if let Ok(ty) = &ty
                && !ty.fits_memory()
            {
                return Err(ImportError::Graph(format!("input `{}`: {ty} has too many elements", input.name)));
            }
            types.push(InputType { name: input.name, ty, own: input.element });
        }
        Ok(types)
    }

    fn shape_of(&self, input: &str) -> Option<&Shape> {
        self.values.get(input).map(Array::shape).or_else(|| self.shapes.get(input))
    }

    fn misfit(&self, input: &Declared, shape: &Shape) -> ImportError {
        let dtype = self.values.get(&input.name).map(Array::dtype).or(input.element.and_then(|e| self.boundary(e)));
        ImportError::Binding {
            input: input.name.clone(),
            declared: input.type_text(),
            given: TensorType::new(dtype.unwrap_or(DType::F32), shape.clone()),
        }
    }

    /// Names that are not the model's are mistakes of whoever wrote them.
    fn expect_known(&self, inputs: &[Declared]) -> Result<(), ImportError> {
        let is_input = |name: &&String| inputs.iter().any(|input| input.name == **name);
        if let Some(name) = self.shapes.keys().chain(self.values.keys()).find(|name| !is_input(name)) {
            return Err(ImportError::Unknown { what: "input", name: name.clone() });
        }
        let is_symbol = |name: &&String| {
            let dims = inputs.iter().filter_map(|i| i.dims.as_ref()).flatten();
            dims.into_iter().any(|dim| matches!(dim, Dim::Symbol(symbol) if symbol == *name))
        };
        match self.dims.keys().find(|name| !is_symbol(name)) {
            Some(name) => Err(ImportError::Unknown { what: "symbolic extent", name: name.clone() }),
            None => Ok(()),
        }
    }
}

fn declared_shape(input: &Declared, symbols: &BTreeMap<String, usize>) -> Result<Shape, ImportError> {
    let Some(dims) = &input.dims else {
        return Err(ImportError::Unbound { input: input.name.clone(), axis: 0, dim: Dim::Unknown });
    };
    let extent = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Extent(n) => Ok(*n),
        Dim::Symbol(symbol) if symbols.contains_key(symbol) => Ok(symbols[symbol]),
        dim => Err(ImportError::Unbound { input: input.name.clone(), axis, dim: dim.clone() }),
    };
    dims.iter().enumerate().map(extent).collect()
}
