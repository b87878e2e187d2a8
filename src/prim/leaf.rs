//! Inputs and parameters: tensors whose memory the engines bind.

use crate::array::Array;
use crate::graph::{Name, NodeId, OpErrorKind, TensorType};

use super::attrs::named_variants;
use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Vjp, arity, no_operands};

/// A tensor that every run is given, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// The name, unique among inputs and parameters.
    pub name: Name,
    /// Type of the tensor.
    pub ty: TensorType,
}

/// What a parameter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// Learned: optimizers update it.
    Trainable,
    /// Kept by the program itself: an optimizer's moments, a step count.
    State,
}
named_variants!(ParamKind { Trainable = "trainable", State = "state" });

/// A tensor that lives from run to run and may be updated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Param {
    /// The name, unique among inputs and parameters.
    pub name: Name,
    /// Type of the tensor.
    pub ty: TensorType,
    /// Whether optimizers update it.
    pub kind: ParamKind,
}

impl Primitive for Input {
    fn name(&self) -> &'static str {
        "input"
    }

    fn accepts(name: &str) -> bool {
        name == "input"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().string("name", &self.name)
    }

    fn parse(_: &str, attrs: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError> {
        Ok(Input { name: attrs.take_string("name")?.into(), ty: ty.clone() })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 0)?;
        Ok(self.ty.clone())
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Cotangents {
        Cotangents::new()
    }

    fn jvp(&self, _: &mut Jvp<'_>) -> Option<NodeId> {
        None
    }

    fn batch(&self, _: &mut Batch<'_>) -> NodeId {
        no_operands()
    }

    fn eval(&self, _: &[&Array], _: &TensorType) -> Array {
        panic!("the value of input `{}` is bound by the engine", self.name)
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Leaf
    }

    fn leaf_name(&self) -> Option<&Name> {
        Some(&self.name)
    }
}

impl Primitive for Param {
    fn name(&self) -> &'static str {
        "param"
    }

    fn accepts(name: &str) -> bool {
        name == "param"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().string("name", &self.name).word("kind", self.kind)
    }

    fn parse(_: &str, attrs: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError> {
        let name = attrs.take_string("name")?.into();
        Ok(Param { name, ty: ty.clone(), kind: attrs.take_word("kind", "trainable or state")? })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 0)?;
        Ok(self.ty.clone())
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Cotangents {
        Cotangents::new()
    }

    fn jvp(&self, _: &mut Jvp<'_>) -> Option<NodeId> {
        None
    }

    fn batch(&self, _: &mut Batch<'_>) -> NodeId {
        no_operands()
    }

    fn eval(&self, _: &[&Array], _: &TensorType) -> Array {
        panic!("the value of parameter `{}` is bound by the engine", self.name)
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Leaf
    }

    fn leaf_name(&self) -> Option<&Name> {
        Some(&self.name)
    }
}
