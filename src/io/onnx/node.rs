//! A node as its operator's import function sees it: its operands, its attributes, the version of its operator set.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use crate::array::Array;
use crate::build::{Builder, Tensor};
use crate::graph::{DType, Dims, TensorType};

use super::checked::Made;
use super::dtype::OnnxType;
use super::error::{Fault, Reason, invalid, unsupported};
use super::held::to_held;
use super::import::{Importer, Scope};
use super::proto::{self, kind};
use super::tensor::TensorFault;

/// What a name of an ONNX graph stands for.
#[derive(Clone, Debug)]
pub(super) enum Value<'g> {
    /// A tensor.
    Tensor(Tensor<'g>),
    /// Integers of a type that there is none of here, [held](super::held) in a wider one.
    Held(Tensor<'g>, OnnxType),
    /// Tensors in a list, whose length is known.
    Sequence(Vec<Tensor<'g>>),
    /// Something optional that is not there.
    Nothing,
    /// The result of a node that failed.
    Failed,
}

impl<'g> From<Tensor<'g>> for Value<'g> {
    fn from(tensor: Tensor<'g>) -> Value<'g> {
        Value::Tensor(tensor)
    }
}

/// The results of a node, in order; as many as it has or fewer.
pub(super) type Results<'g> = Result<Vec<Value<'g>>, Fault>;

/// The only result.
pub(super) fn one<'g>(made: Made<'g>) -> Results<'g> {
    Ok(vec![Value::Tensor(made?)])
}

pub(super) struct Node<'n, 'g> {
    pub importer: &'n Importer<'n, 'g>,
    pub scope: &'n Scope<'n, 'g>,
    pub proto: &'n proto::Node,
    /// The version of the operator set that the node belongs to.
    pub version: i64,
    /// The operands; `None` for those that are left out.
    pub operands: Vec<Option<Value<'g>>>,
    /// The type of the operands that are [held](super::held) in a wider one, if the operator's record says that it takes such.
    pub own: Option<OnnxType>,
    /// The attributes that have been asked for.
    pub seen: RefCell<HashSet<&'static str>>,
}

impl<'n, 'g> Node<'n, 'g> {
    /// The builder.
    pub fn g(&self) -> &'g Builder {
        self.importer.g
    }

    /// Operand `i`, which must be there.
    pub fn input(&self, i: usize) -> Made<'g> {
        match self.optional(i)? {
            Some(tensor) => Ok(tensor),
            None => invalid(format!("operand {i} is missing")),
        }
    }

    /// Operand `i`, if it is there.
    pub fn optional(&self, i: usize) -> Result<Option<Tensor<'g>>, Fault> {
        match self.operands.get(i) {
            None | Some(None | Some(Value::Nothing)) => Ok(None),
            Some(Some(Value::Tensor(tensor))) => Ok(Some(*tensor)),
            Some(Some(Value::Held(_, own))) => unsupported(format!("operand {i} of type {own}")),
            Some(Some(Value::Sequence(_))) => invalid(format!("operand {i} is a sequence, not a tensor")),
            Some(Some(Value::Failed)) => Err(Fault::Follows),
        }
    }

    /// Operand `i` with its own element type, which may be [held](super::held) in a wider one; `None` if it is left out.
    pub fn element_optional(&self, i: usize) -> Result<Option<(Tensor<'g>, OnnxType)>, Fault> {
        match self.operands.get(i) {
            Some(Some(Value::Held(tensor, own))) => Ok(Some((*tensor, *own))),
            _ => Ok(self.optional(i)?.map(|tensor| (tensor, OnnxType::of(tensor.dtype())))),
        }
    }

    /// [`Node::element_optional`] of an operand that must be there.
    pub fn element(&self, i: usize) -> Result<(Tensor<'g>, OnnxType), Fault> {
        match self.element_optional(i)? {
            Some(held) => Ok(held),
            None => invalid(format!("operand {i} is missing")),
        }
    }

    /// [`Node::element_optional`], where narrow floats are refused: for whoever computes with integers.
    pub fn held_optional(&self, i: usize) -> Result<Option<(Tensor<'g>, OnnxType)>, Fault> {
        match self.element_optional(i)? {
            Some((_, own)) if own.format().is_some() => unsupported(format!("operand {i} of type {own}")),
            held => Ok(held),
        }
    }

    /// [`Node::held_optional`] of an operand that must be there.
    pub fn held(&self, i: usize) -> Result<(Tensor<'g>, OnnxType), Fault> {
        match self.held_optional(i)? {
            Some(held) => Ok(held),
            None => invalid(format!("operand {i} is missing")),
        }
    }

    /// Operand `i` as the list of tensors that it is.
    pub fn sequence(&self, i: usize) -> Result<Vec<Tensor<'g>>, Fault> {
        match self.operands.get(i) {
            Some(Some(Value::Sequence(list))) => Ok(list.clone()),
            Some(Some(Value::Failed)) => Err(Fault::Follows),
            _ => invalid(format!("operand {i} is no sequence")),
        }
    }

    /// All operands, which must be there.
    pub fn inputs(&self) -> Result<Vec<Tensor<'g>>, Fault> {
        (0..self.operands.len()).map(|i| self.input(i)).collect()
    }

    /// True if result `i` is used by a name.
    pub fn wants(&self, i: usize) -> bool {
        self.proto.output.get(i).is_some_and(|name| !name.is_empty())
    }

    /// Fails unless the first operand's elements are floats.
    pub fn float_input(&self, i: usize) -> Made<'g> {
        let x = self.input(i)?;
        if x.dtype().is_float() { Ok(x) } else { invalid(format!("operand {i} is {}, expected floats", x.ty())) }
    }

    /// The numbers of a tensor, which decide shapes and so must be known when the model is imported.
    pub fn known(&self, i: usize) -> Result<Arc<Array>, Fault> {
        let tensor = self.input(i)?;
        self.known_tensor(tensor, i)
    }

    /// [`Node::known`] of an operand that may be left out.
    pub fn known_optional(&self, i: usize) -> Result<Option<Arc<Array>>, Fault> {
        match self.optional(i)? {
            Some(tensor) => self.known_tensor(tensor, i).map(Some),
            None => Ok(None),
        }
    }

    fn known_tensor(&self, tensor: Tensor<'g>, i: usize) -> Result<Arc<Array>, Fault> {
        match self.importer.known(tensor) {
            Some(array) => Ok(array),
            None => {
                let name = self.proto.input.get(i).map_or("", |name| name);
                Err(self.unknown(tensor, &format!("operand {i}, `{name}`,")))
            }
        }
    }

    /// That a tensor, which `what` says, has a value that has to be known and is not.
    pub fn unknown(&self, tensor: Tensor<'g>, what: &str) -> Fault {
        let inputs = self.importer.unbound(tensor);
        let reason = if inputs.is_empty() { Reason::Never } else { Reason::Unbound(inputs) };
        Fault::Unsupported(format!("{what} is not known before the program runs"), reason)
    }

    /// The integers of operand `i`, which must be known.
    pub fn known_ints(&self, i: usize) -> Result<Vec<i64>, Fault> {
        ints_of(&*self.known(i)?)
    }

    /// The integers of operand `i`, which must be known if it is there.
    pub fn known_ints_optional(&self, i: usize) -> Result<Option<Vec<i64>>, Fault> {
        self.known_optional(i)?.map(|array| ints_of(&array)).transpose()
    }

    fn attribute(&self, name: &'static str, kind: i32) -> Result<Option<&'n proto::Attribute>, Fault> {
        self.seen.borrow_mut().insert(name);
        let Some(attribute) = self.proto.attribute.iter().find(|a| a.name.as_deref() == Some(name)) else {
            return Ok(None);
        };
        // In the body of a function, an attribute may stand for one of the call.
        let attribute = match attribute.ref_attr_name.as_deref().filter(|name| !name.is_empty()) {
            None => attribute,
            Some(of_call) => match self.scope.attributes.get(of_call) {
                Some(given) => given,
                None => return Ok(None),
            },
        };
        match attribute.r#type {
            None | Some(0) => Ok(Some(attribute)),
            Some(actual) if actual == kind => Ok(Some(attribute)),
            Some(actual) => invalid(format!("attribute `{name}` is of kind {actual}, expected {kind}")),
        }
    }

    /// An integer attribute.
    pub fn int_optional(&self, name: &'static str) -> Result<Option<i64>, Fault> {
        Ok(self.attribute(name, kind::INT)?.map(|a| a.i.unwrap_or(0)))
    }

    /// An integer attribute with a default.
    pub fn int(&self, name: &'static str, default: i64) -> Result<i64, Fault> {
        Ok(self.int_optional(name)?.unwrap_or(default))
    }

    /// An integer attribute that is 0 or 1.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, Fault> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    /// A list of integers.
    pub fn ints(&self, name: &'static str) -> Result<Option<Vec<i64>>, Fault> {
        Ok(self.attribute(name, kind::INTS)?.map(|a| a.ints.clone()))
    }

    /// A float attribute.
    pub fn float_optional(&self, name: &'static str) -> Result<Option<f64>, Fault> {
        Ok(self.attribute(name, kind::FLOAT)?.map(|a| f64::from(a.f.unwrap_or(0.0))))
    }

    /// A float attribute with a default.
    pub fn float(&self, name: &'static str, default: f64) -> Result<f64, Fault> {
        Ok(self.float_optional(name)?.unwrap_or(default))
    }

    /// A list of floats.
    pub fn floats(&self, name: &'static str) -> Result<Option<Vec<f32>>, Fault> {
        Ok(self.attribute(name, kind::FLOATS)?.map(|a| a.floats.clone()))
    }

    /// A text.
    pub fn text_optional(&self, name: &'static str) -> Result<Option<&'n str>, Fault> {
        let Some(attribute) = self.attribute(name, kind::STRING)? else { return Ok(None) };
        let bytes = attribute.s.as_deref().unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => invalid(format!("attribute `{name}` is no text")),
        }
    }

    /// A text with a default.
    pub fn text(&self, name: &'static str, default: &'static str) -> Result<&'n str, Fault> {
        Ok(self.text_optional(name)?.unwrap_or(default))
    }

    /// A list of texts.
    pub fn texts(&self, name: &'static str) -> Result<Option<Vec<&'n str>>, Fault> {
        let Some(attribute) = self.attribute(name, kind::STRINGS)? else { return Ok(None) };
        let texts: Result<Vec<&str>, _> = attribute.strings.iter().map(|s| std::str::from_utf8(s)).collect();
        match texts {
            Ok(texts) => Ok(Some(texts)),
            Err(_) => invalid(format!("attribute `{name}` is no text")),
        }
    }

    /// The array of a tensor attribute, with its own element type.
    pub fn array(&self, name: &'static str) -> Result<Option<(Array, OnnxType)>, Fault> {
        let Some(attribute) = self.attribute(name, kind::TENSOR)? else { return Ok(None) };
        let Some(tensor) = &attribute.t else { return invalid(format!("attribute `{name}` has no tensor")) };
        let array = to_held(tensor, &self.importer.model.external, &mut self.importer.budget.borrow_mut());
        array.map(Some).map_err(|fault| match fault {
            TensorFault::ElementType(code) => Fault::Unsupported(format!("element type {code}"), Reason::Never),
            fault => Fault::Invalid(fault.into_error(name).to_string()),
        })
    }

    /// A graph attribute.
    pub fn graph(&self, name: &'static str) -> Result<&'n proto::Graph, Fault> {
        match self.attribute(name, kind::GRAPH)?.and_then(|a| a.g.as_deref()) {
            Some(graph) => Ok(graph),
            None => invalid(format!("the graph `{name}` is missing")),
        }
    }

    /// An attribute that is not supported unless it has this value.
    pub fn expect_int(&self, name: &'static str, value: i64) -> Result<(), Fault> {
        match self.int(name, value)? {
            given if given == value => Ok(()),
            given => unsupported(format!("attribute `{name}` = {given}")),
        }
    }

    /// An element type given as an attribute.
    pub fn dtype(&self, name: &'static str) -> Result<Option<DType>, Fault> {
        self.int_optional(name)?.map(dtype_of).transpose()
    }

    /// An attribute that is an axis of a tensor of this rank.
    pub fn axis(&self, name: &'static str, default: i64, rank: usize) -> Result<usize, Fault> {
        axis_of(self.int(name, default)?, rank)
    }
}

/// The element type of this number, which may be held in a wider one.
pub(super) fn element_of(code: i64) -> Result<OnnxType, Fault> {
    let code = OnnxType(i32::try_from(code).unwrap_or(-1));
    if code.holder().is_some() { Ok(code) } else { unsupported(format!("element type {code}")) }
}

/// The element type of this number.
pub(super) fn dtype_of(code: i64) -> Result<DType, Fault> {
    let code = OnnxType(i32::try_from(code).unwrap_or(-1));
    match code.dtype() {
        Some(dtype) => Ok(dtype),
        None => unsupported(format!("element type {code}")),
    }
}

/// The axis, counted from the first; negative numbers count from the last.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, Fault> {
    let from_front = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    match from_front.and_then(|a| usize::try_from(a).ok()).filter(|&a| a < rank) {
        Some(axis) => Ok(axis),
        None => invalid(format!("axis {axis} is out of range for rank {rank}")),
    }
}

/// Axes, counted from the first and all different.
pub(super) fn axes_of(axes: &[i64], rank: usize) -> Result<Dims, Fault> {
    let mut resolved = Dims::new();
    for &axis in axes {
        let axis = axis_of(axis, rank)?;
        if resolved.contains(&axis) {
            return invalid(format!("axis {axis} is given twice"));
        }
        resolved.push(axis);
    }
    Ok(resolved)
}

/// A count, extent or size.
pub(super) fn count_of(n: i64) -> Result<usize, Fault> {
    usize::try_from(n).or_else(|_| invalid(format!("{n} is no count")))
}

/// Counts, extents or sizes.
pub(super) fn counts_of(list: &[i64]) -> Result<Dims, Fault> {
    list.iter().map(|&n| count_of(n)).collect()
}

/// The elements of an integer array.
pub(super) fn ints_of(array: &Array) -> Result<Vec<i64>, Fault> {
    match array.dtype() {
        DType::I64 => Ok(array.as_slice::<i64>().map(<[i64]>::to_vec).unwrap_or_default()),
        dtype if dtype.is_int() => Ok(array.to_f64_vec().into_iter().map(|v| v as i64).collect()),
        dtype => invalid(format!("{dtype} where integers are expected")),
    }
}

/// Integers as a constant.
pub(super) fn constant_ints<'g>(g: &'g Builder, dtype: DType, shape: &[usize], ints: Vec<i64>) -> Made<'g> {
    let array = Array::new(shape, ints).map_err(|e| Fault::Invalid(e.to_string()))?;
    super::checked::Checked::to(g.constant(array), dtype)
}

/// A tensor type that fits the memory.
pub(super) fn tensor_type(dtype: DType, shape: &[usize]) -> Result<TensorType, Fault> {
    let ty = TensorType::new(dtype, shape);
    if ty.fits_memory() { Ok(ty) } else { invalid(format!("{ty} has too many elements")) }
}
