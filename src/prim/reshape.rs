//! The same elements, in row-major order, in another shape.

use crate::array::Array;
use crate::graph::{NodeId, OpErrorKind, Shape, TensorType};

use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Strided, Vjp, arity};

/// The same elements, in row-major order, in another shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// Shape of the result.
    pub shape: Shape,
}

impl Primitive for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn accepts(name: &str) -> bool {
        name == "reshape"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn parse(_: &str, _: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError> {
        Ok(Reshape { shape: ty.shape.clone() })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        if self.shape.checked_numel() != Some(operands[0].shape.numel()) {
            return Err(OpErrorKind::Reshape { from: operands[0].shape.clone(), to: self.shape.clone() });
        }
        Ok(TensorType { dtype: operands[0].dtype, shape: self.shape.clone() })
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let shape = cx.operand_ty(0).shape;
        let g = cx.emit.reshape(cx.cotangent, shape);
        Cotangents::from_slice(&[Some(g)])
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        cx.linear(self.clone())
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Reshape { shape: cx.shape(&self.shape) })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        operands[0].clone().reshaped(ty.shape.clone()).expect("a reshape keeps the element count")
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::View
    }

    fn view(&self, operand: &Strided) -> Option<Strided> {
        operand.reshape(&self.shape)
    }
}
