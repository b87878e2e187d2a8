//! Repetition along new axes. The inverse movement of a reduction: the VJP of one is the other.

use crate::array::Array;
use crate::graph::{Dims, NodeId, OpErrorKind, Shape, TensorType};

use super::rules::behind_batch;
use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Strided, Vjp, arity, ascending};

/// The operand repeated along new axes: `out[i] = in[i without axes]`. NumPy's stretching of an axis of extent 1 is a reshape that drops the axis,
/// followed by this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// Shape of the result.
    pub shape: Shape,
    /// The axes of the result that are new, ascending.
    pub axes: Dims,
}

impl Primitive for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn accepts(name: &str) -> bool {
        name == "broadcast"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().list("axes", &self.axes)
    }

    fn parse(_: &str, attrs: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError> {
        Ok(Broadcast { shape: ty.shape.clone(), axes: attrs.take_list("axes", "a list of axis numbers")? })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        ascending(&self.axes, self.shape.rank())?;
        let expected = self.shape.without(&self.axes);
        if operands[0].shape != expected {
            return Err(OpErrorKind::Shape { position: 0, expected, actual: operands[0].shape.clone() });
        }
        Ok(TensorType { dtype: operands[0].dtype, shape: self.shape.clone() })
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let g = cx.emit.sum(cx.cotangent, self.axes.clone());
        Cotangents::from_slice(&[Some(g)])
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        cx.linear(self.clone())
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Broadcast { shape: cx.shape(&self.shape), axes: behind_batch(&self.axes) })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let view = self.view(&Strided::contiguous(operands[0].shape())).expect("a broadcast is a view");
        view.materialize_array(operands[0], ty)
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::View
    }

    fn view(&self, operand: &Strided) -> Option<Strided> {
        let mut old = operand.strides.iter();
        let strides = (0..self.shape.rank())
            .map(|axis| if self.axes.contains(&axis) { 0 } else { old.next().copied().unwrap_or(0) })
            .collect();
        Some(Strided { shape: self.shape.clone(), strides, offset: operand.offset })
    }
}
