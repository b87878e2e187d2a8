//! Slices combined in at places chosen by integers.

use crate::array::Array;
use crate::graph::{DType, Dims, NodeId, OpErrorKind, TensorType};
use crate::scalar::ScalarFn;

use super::attrs::named_variants;
use super::gather::{GatherDims, indices, infer_choices};
use super::{
    AttrError, Attrs, Batch, Cotangents, Gather, Iota, Jvp, Lowering, Primitive, Vjp, arity, array, elements,
    with_element,
};

/// How an update meets the element at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combine {
    /// It replaces the element; of several, the last in row-major order stays.
    Set,
    /// It is added to the element, in row-major order of the updates.
    Add,
}
named_variants!(Combine { Set = "set", Add = "add" });

/// `x` with `update[b, i, r]` combined into the element `[b, index[b, i], r]`, where each letter stands for any number of axes, as in [`Gather`].
///
/// The operands are `x`, the `i32` or `i64` indices and the updates. An update whose index is negative or too large is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scatter {
    /// Count of leading axes that all operands share.
    pub batch: usize,
    /// How an update meets the element at its place.
    pub combine: Combine,
}

impl Primitive for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn accepts(name: &str) -> bool {
        name == "scatter"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("combine", self.combine).word("batch", self.batch)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Scatter {
            combine: attrs.take_word("combine", "set or add")?,
            batch: attrs.take_word("batch", "a count of axes")?,
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 3)?;
        let (x, index, update) = (operands[0], operands[1], operands[2]);
        let expected = infer_choices(self.batch, x, index)?;
        if update.dtype != x.dtype {
            return Err(OpErrorKind::DType { position: 2, expected: x.dtype.name().to_owned(), actual: update.dtype });
        }
        if x.dtype == DType::Bool && self.combine == Combine::Add {
            return Err(OpErrorKind::DType { position: 0, expected: "a number type".to_owned(), actual: x.dtype });
        }
        if update.shape != expected {
            return Err(OpErrorKind::Shape { position: 2, expected, actual: update.shape.clone() });
        }
        Ok(x.clone())
    }

    /// Updates receive the cotangent at their places, dropped or replaced updates nothing; replaced elements of `x` receive nothing.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let ty = cx.operand_ty(0);
        if !ty.dtype.is_float() {
            return Cotangents::from_slice(&[None, None, None]);
        }
        let (g, index, e) = (cx.cotangent, cx.operands[1], &mut *cx.emit);
        let at_zero = Gather { batch: self.batch, fill: 0.0f64.to_bits() };
        let d_update = e.emit(at_zero.clone().into(), &[g, index]);
        if self.combine == Combine::Add {
            return Cotangents::from_slice(&[Some(g), None, Some(d_update)]);
        }
        let zeros = e.full_like(d_update, 0.0);
        let d_x = e.emit(self.clone().into(), &[g, index, zeros]);
        // An update stays if the number scattered from its place is found there afterwards.
        let index_shape = e.graph().shape(index).clone();
        let count = index_shape.numel();
        let number = e.emit(Iota { ty: TensorType::new(DType::I64, [count]), axis: 0 }.into(), &[]);
        let number = e.reshape(number, index_shape);
        let choices = TensorType::new(DType::I64, &ty.shape[..=self.batch]);
        let nobody = e.full(&choices, -1.0);
        let last = e.emit(self.clone().into(), &[nobody, index, number]);
        let last = e.emit(at_zero.into(), &[last, index]);
        let stays = e.map(ScalarFn::Eq, &[last, number]);
        let shape = e.graph().shape(d_update).clone();
        let rest: Dims = (e.graph().shape(index).rank()..shape.rank()).collect();
        let stays = e.broadcast(stays, shape, rest);
        let d_update = e.select(stays, d_update, zeros);
        Cotangents::from_slice(&[Some(d_x), None, Some(d_update)])
    }

    /// Linear in `x` and the updates together.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        if self.combine == Combine::Add && cx.tangents[2].is_none() {
            return cx.tangents[0];
        }
        let (x, index, update) = (cx.tangent(0), cx.operands[1], cx.tangent(2));
        Some(cx.emit.emit(self.clone().into(), &[x, index, update]))
    }

    /// With batched indices there is one more shared axis. With the same indices for all examples, the batch axis goes along with what is updated whole.
    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        if cx.batched[1] {
            return cx.apply(Scatter { batch: self.batch + 1, combine: self.combine });
        }
        let (x, update) = (cx.with_batch_axis(0), cx.with_batch_axis(2));
        let choices_end = cx.operand_ty(1).shape.rank();
        let (x, update) = (cx.move_axis(x, 0, self.batch + 1), cx.move_axis(update, 0, choices_end));
        let result = cx.emit.emit(self.clone().into(), &[x, cx.operands[1], update]);
        cx.move_axis(result, self.batch + 1, 0)
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let dims = GatherDims::new(self.batch, operands[0].shape(), operands[1].shape());
        let index = indices(operands[1], dims.extent);
        debug_assert_eq!(index.len(), dims.batch * dims.choices);
        /// Combines the updates into `x` with `f`.
        fn run<T: Copy>(
            x: &[T],
            update: &[T],
            index: &[Option<usize>],
            dims: &GatherDims,
            f: impl Fn(T, T) -> T,
        ) -> Vec<T> {
            let mut out = x.to_vec();
            for (i, choice) in index.iter().enumerate() {
                let Some(k) = choice else { continue };
                let to = (i / dims.choices * dims.extent + k) * dims.rest;
                let from = i * dims.rest;
                for r in 0..dims.rest {
                    out[to + r] = f(out[to + r], update[from + r]);
                }
            }
            out
        }
        let (x, update) = (operands[0], operands[2]);
        match (self.combine, ty.dtype) {
            (Combine::Set, dtype) => with_element!(dtype, T => {
                array(ty, run(elements::<T>(x), elements::<T>(update), &index, &dims, |_, new| new))
            }),
            (Combine::Add, DType::F32) => {
                array(ty, run(elements::<f32>(x), elements(update), &index, &dims, |a, b| a + b))
            }
            (Combine::Add, DType::F64) => {
                array(ty, run(elements::<f64>(x), elements(update), &index, &dims, |a, b| a + b))
            }
            (Combine::Add, DType::I32) => {
                array(ty, run(elements::<i32>(x), elements(update), &index, &dims, i32::wrapping_add))
            }
            (Combine::Add, DType::I64) => {
                array(ty, run(elements::<i64>(x), elements(update), &index, &dims, i64::wrapping_add))
            }
            (Combine::Add, DType::Bool) => panic!("the shape rule refuses sums of truth values"),
        }
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Scatter { batch: self.batch, combine: self.combine }
    }
}
