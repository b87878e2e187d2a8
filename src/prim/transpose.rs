//! A permutation of the axes.

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{Dims, NodeId, OpErrorKind, TensorType};

use super::rules::{behind_batch, with_batch};
use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Strided, Vjp, arity};

/// The operand with axis `permutation[i]` as its `i`-th.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transpose {
    /// For each axis of the result, the operand's axis.
    pub permutation: Dims,
}

impl Transpose {
    /// The permutation that undoes this one.
    pub fn inverse(&self) -> Dims {
        let mut inverse: Dims = SmallVec::from_elem(0, self.permutation.len());
        for (i, &p) in self.permutation.iter().enumerate() {
            inverse[p] = i;
        }
        inverse
    }
}

impl Primitive for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn accepts(name: &str) -> bool {
        name == "transpose"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().list("permutation", &self.permutation)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Transpose { permutation: attrs.take_list("permutation", "a list of axis numbers")? })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let shape = &operands[0].shape;
        let rank = shape.rank();
        let mut seen: Dims<bool> = SmallVec::from_elem(false, rank);
        let valid = self.permutation.len() == rank
            && self.permutation.iter().all(|&p| p < rank && !std::mem::replace(&mut seen[p], true));
        if !valid {
            return Err(OpErrorKind::Permutation { permutation: self.permutation.clone(), rank });
        }
        Ok(TensorType { dtype: operands[0].dtype, shape: self.permutation.iter().map(|&p| shape[p]).collect() })
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let g = cx.emit.transpose(cx.cotangent, self.inverse());
        Cotangents::from_slice(&[Some(g)])
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        cx.linear(self.clone())
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Transpose { permutation: with_batch(0, &behind_batch(&self.permutation)) })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let view = self.view(&Strided::contiguous(operands[0].shape())).expect("a transpose is a view");
        view.materialize_array(operands[0], ty)
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::View
    }

    fn view(&self, operand: &Strided) -> Option<Strided> {
        Some(Strided {
            shape: self.permutation.iter().map(|&p| operand.shape[p]).collect(),
            strides: self.permutation.iter().map(|&p| operand.strides[p]).collect(),
            offset: operand.offset,
        })
    }
}
