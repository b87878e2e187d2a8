//! A rectangular part, with steps; a negative step reverses.

use crate::array::Array;
use crate::graph::{Dims, NodeId, OpErrorKind, TensorType};

use super::rules::with_batch;
use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Pad, Primitive, Strided, Vjp, arity};

/// `out[i] = in[start + i * step]` on every axis, `len` elements of each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// First index on each axis.
    pub start: Dims,
    /// Count of elements on each axis.
    pub len: Dims,
    /// Step on each axis; not 0.
    pub step: Dims<isize>,
}

impl Slice {
    /// The step on an axis; 1 where at most one element is taken, so that places do not overflow.
    fn effective_step(&self, axis: usize) -> isize {
        if self.len[axis] <= 1 { 1 } else { self.step[axis] }
    }
}

impl Primitive for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn accepts(name: &str) -> bool {
        name == "slice"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().list("start", &self.start).list("step", &self.step)
    }

    fn parse(_: &str, attrs: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError> {
        Ok(Slice {
            start: attrs.take_list("start", "a list of indices")?,
            len: ty.shape.iter().copied().collect(),
            step: attrs.take_list("step", "a list of steps")?,
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let shape = &operands[0].shape;
        for (attribute, given) in [("start", self.start.len()), ("len", self.len.len()), ("step", self.step.len())] {
            if given != shape.rank() {
                return Err(OpErrorKind::AttributeLength { attribute, expected: shape.rank(), given });
            }
        }
        for axis in 0..shape.rank() {
            let (start, len, step, extent) = (self.start[axis], self.len[axis], self.step[axis], shape[axis]);
            // The index of the last element, in a type in which nothing overflows.
            let last = start as i128 + (len as i128 - 1) * step as i128;
            let inside = len == 0 || (start < extent && (0..extent as i128).contains(&last));
            if step == 0 || start > extent || !inside {
                let end = (last + 1).clamp(0, usize::MAX as i128) as usize;
                return Err(OpErrorKind::Slice { axis, start, end, step, extent });
            }
        }
        Ok(TensorType { dtype: operands[0].dtype, shape: self.len.iter().copied().collect() })
    }

    /// The cotangent put back at its places, zeros elsewhere.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let shape = cx.operand_ty(0).shape;
        let rank = shape.rank();
        // A reversed axis is turned first, so that padding has positive steps.
        let mut g = cx.cotangent;
        let turn = |axis: usize| self.effective_step(axis) < 0;
        if (0..rank).any(turn) {
            g = cx.emit.emit(
                Slice {
                    start: (0..rank).map(|a| if turn(a) { self.len[a] - 1 } else { 0 }).collect(),
                    len: self.len.clone(),
                    step: (0..rank).map(|a| if turn(a) { -1 } else { 1 }).collect(),
                }
                .into(),
                &[g],
            );
        }
        let mut pad = Pad { low: Dims::new(), high: Dims::new(), interior: Dims::new(), value: 0.0f64.to_bits() };
        for axis in 0..rank {
            let (start, len, step) = (self.start[axis], self.len[axis], self.effective_step(axis).unsigned_abs());
            let span = if len == 0 { 0 } else { (len - 1) * step + 1 };
            let low = if turn(axis) { start + 1 - span } else { start };
            pad.low.push(low);
            pad.high.push(shape[axis] - low - span);
            pad.interior.push(step - 1);
        }
        let g = cx.emit.emit(pad.into(), &[g]);
        Cotangents::from_slice(&[Some(g)])
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        cx.linear(self.clone())
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Slice {
            start: with_batch(0, &self.start),
            len: with_batch(cx.size, &self.len),
            step: with_batch(1, &self.step),
        })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let view = self.view(&Strided::contiguous(operands[0].shape())).expect("a slice is a view");
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
            shape: self.len.iter().copied().collect(),
            strides: operand
                .strides
                .iter()
                .enumerate()
                .map(|(axis, &stride)| stride * self.effective_step(axis))
                .collect(),
            offset: operand.offset
                + operand.strides.iter().zip(&self.start).map(|(&s, &i)| s * i as isize).sum::<isize>(),
        })
    }
}
