//! Folds of all beginnings of an axis.

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{DType, Dims, NodeId, OpErrorKind, Operands, TensorType};
use crate::scalar::ScalarFn;

use super::routine::{Lanes, evaluate};
use super::{
    AttrError, Attrs, Batch, Call, Combine, Cotangents, Emit, Gather, Iota, Jvp, Lowering, Op, Pad, Primitive,
    Recurrence, Reduction, Scatter, Slice, Transpose, Vjp, Workspace, arity, moved_axis,
};

/// At each place the fold of the elements up to it along an axis, or from it on if `reverse`.
///
/// Sums and products of `f32` are accumulated in double precision, sums of `f64` with compensation (Neumaier 1974), so that long sums lose no digits.
/// Integers wrap. A NaN is larger and smaller than all numbers, as in [`Reduce`](super::Reduce), and stays from where it stands on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cumulative {
    /// How two elements combine.
    pub reduction: Reduction,
    /// The axis.
    pub axis: usize,
    /// Whether the fold begins at the end.
    pub reverse: bool,
}

/// The tensor moved by one place along an axis; `fill` takes the place that is left free. `up` moves elements to higher indices.
pub(super) fn shift(e: &mut dyn Emit, x: NodeId, axis: usize, up: bool, fill: f64) -> NodeId {
    let shape = e.graph().shape(x).clone();
    if shape[axis] == 0 {
        return x;
    }
    let at_axis = |n: usize| -> Dims { (0..shape.rank()).map(|a| if a == axis { n } else { 0 }).collect() };
    let mut len: Dims = shape.iter().copied().collect();
    len[axis] -= 1;
    let step = SmallVec::from_elem(1, shape.rank());
    let kept = e.emit(Slice { start: at_axis(usize::from(!up)), len, step }.into(), &[x]);
    let (low, high) = (at_axis(usize::from(up)), at_axis(usize::from(!up)));
    e.emit(Pad { low, high, interior: at_axis(0), value: fill.to_bits() }.into(), &[kept])
}

impl Cumulative {
    /// The cotangent of a product: that of element `k` is the product of the elements before it, times `r[k]`, where `r[k] = g[k] + x[k + 1] r[k + 1]`. It
    /// divides by nothing, so it holds where elements are 0.
    fn vjp_prod(&self, cx: &mut Vjp<'_>) -> NodeId {
        let (axis, x, y, g, e) = (self.axis, cx.operands[0], cx.output, cx.cotangent, &mut *cx.emit);
        let before = shift(e, y, axis, !self.reverse, 1.0);
        let next = shift(e, x, axis, self.reverse, 0.0);
        let r = e.emit(Recurrence { axis, reverse: !self.reverse }.into(), &[next, g]);
        e.mul(before, r)
    }

    /// For an extreme, at each place the position of the first element, in the direction of the fold, that attains it.
    fn attaining(&self, e: &mut dyn Emit, x: NodeId, y: NodeId) -> NodeId {
        let (axis, ty) = (self.axis, e.ty(x));
        let largest = self.reduction == Reduction::Max;
        let before = shift(e, y, axis, !self.reverse, self.reduction.neutral(ty.dtype));
        let better = e.map(if largest { ScalarFn::Gt } else { ScalarFn::Lt }, &[x, before]);
        let (nan, nan_before) = (e.map(ScalarFn::IsNan, &[x]), e.map(ScalarFn::IsNan, &[before]));
        let first_nan = e.map(ScalarFn::Gt, &[nan, nan_before]);
        let attains = e.map(ScalarFn::Or, &[better, first_nan]);
        // The place of the last element that improved on those before it.
        let places = TensorType::new(DType::I64, ty.shape.clone());
        let place = e.emit(Iota { ty: places.clone(), axis }.into(), &[]);
        let begin = if self.reverse { ty.shape[axis] as f64 - 1.0 } else { 0.0 };
        let begin = e.full(&places, begin);
        let place = e.select(attains, place, begin);
        let reduction = if self.reverse { Reduction::Min } else { Reduction::Max };
        e.emit(Cumulative { reduction, axis, reverse: self.reverse }.into(), &[place])
    }

    /// `op` of tensors along the axis, which gathers and scatters want to be the last.
    fn along(&self, e: &mut dyn Emit, op: impl FnOnce(usize) -> Op, operands: &[NodeId]) -> NodeId {
        let last = e.graph().shape(operands[0]).rank() - 1;
        let order = Transpose { permutation: moved_axis(last + 1, self.axis, last) };
        let moved: Operands = operands.iter().map(|&o| e.transpose(o, order.permutation.clone())).collect();
        let result = e.emit(op(last), &moved);
        e.transpose(result, order.inverse())
    }
}

/// How many lanes are folded side by side: a cache line of single-precision numbers.
const SIDE_BY_SIDE: usize = 16;

/// Runs along all lanes, those that lie side by side together. `step` is given the state of a lane and the place of the next element.
pub(super) fn scan<A: Copy>(lanes: &Lanes, reverse: bool, start: A, mut step: impl FnMut(&mut A, usize, bool)) {
    for block in 0..lanes.blocks {
        for first in (0..lanes.stride).step_by(SIDE_BY_SIDE) {
            let mut states = [start; SIDE_BY_SIDE];
            let states = &mut states[..SIDE_BY_SIDE.min(lanes.stride - first)];
            for i in 0..lanes.extent {
                let k = if reverse { lanes.extent - 1 - i } else { i };
                let at = (block * lanes.extent + k) * lanes.stride + first;
                states.iter_mut().enumerate().for_each(|(j, state)| step(state, at + j, i == 0));
            }
        }
    }
}

/// A sum with the sum of the digits that were rounded away.
#[derive(Clone, Copy)]
struct Compensated {
    sum: f64,
    lost: f64,
}

impl Compensated {
    fn add(&mut self, x: f64) -> f64 {
        let old = self.sum;
        self.sum += x;
        self.lost += if old.abs() >= x.abs() { (old - self.sum) + x } else { (x - self.sum) + old };
        // An infinite sum has lost nothing that counts.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

impl Primitive for Cumulative {
    fn name(&self) -> &'static str {
        "cumulative"
    }

    fn accepts(name: &str) -> bool {
        name == "cumulative"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("kind", self.reduction).word("axis", self.axis).word("reverse", self.reverse)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Cumulative {
            reduction: attrs.take_word("kind", "sum, prod, max or min")?,
            axis: attrs.take_word("axis", "an axis number")?,
            reverse: attrs.take_word("reverse", "true or false")?,
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let TensorType { dtype, shape } = operands[0];
        if self.axis >= shape.rank() {
            return Err(OpErrorKind::Axis { axis: self.axis as isize, rank: shape.rank() });
        }
        if *dtype == DType::Bool && matches!(self.reduction, Reduction::Sum | Reduction::Prod) {
            return Err(OpErrorKind::DType { position: 0, expected: "a number type".to_owned(), actual: *dtype });
        }
        Ok(operands[0].clone())
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        if !cx.operand_ty(0).dtype.is_float() {
            return Cotangents::from_slice(&[None]);
        }
        let dx = match self.reduction {
            Reduction::Sum => {
                let back = Cumulative { reverse: !self.reverse, ..self.clone() };
                cx.emit.emit(back.into(), &[cx.cotangent])
            }
            Reduction::Prod => self.vjp_prod(cx),
            Reduction::Max | Reduction::Min => {
                let place = self.attaining(cx.emit, cx.operands[0], cx.output);
                let zeros = cx.emit.full_like(cx.cotangent, 0.0);
                let add = |batch| Scatter { batch, combine: Combine::Add }.into();
                self.along(cx.emit, add, &[zeros, place, cx.cotangent])
            }
        };
        Cotangents::from_slice(&[Some(dx)])
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let tangent = cx.tangents[0]?;
        let (axis, x, y, e) = (self.axis, cx.operands[0], cx.output, &mut *cx.emit);
        Some(match self.reduction {
            Reduction::Sum => e.emit(self.clone().into(), &[tangent]),
            Reduction::Prod => {
                let before = shift(e, y, axis, !self.reverse, 1.0);
                let own = e.mul(tangent, before);
                e.emit(Recurrence { axis, reverse: self.reverse }.into(), &[x, own])
            }
            Reduction::Max | Reduction::Min => {
                let place = self.attaining(e, x, y);
                self.along(e, |batch| Gather { batch, fill: 0.0f64.to_bits() }.into(), &[tangent, place])
            }
        })
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Cumulative { axis: self.axis + 1, ..self.clone() })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        evaluate(self, operands, ty)
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Routine { workspace: Workspace::NONE }
    }

    fn run(&self, call: Call<'_>) {
        let ty = call.ty();
        let lanes = Lanes::new(&ty.shape, self.axis);
        /// Folds elements of `T` in a state of another type; `next` adds an element and gives the result so far.
        macro_rules! fold {
            ($T:ident, $start:expr, $next:expr) => {{
                let x = call.operand::<$T>(0);
                let out = call.result::<$T>();
                let next = $next;
                scan(&lanes, self.reverse, $start, |state, at, _| out[at] = next(state, x[at]));
            }};
        }
        /// Folds elements by a function of two of them; the first is where the fold begins.
        macro_rules! combine {
            ($T:ident, $f:expr) => {{
                let x = call.operand::<$T>(0);
                let out = call.result::<$T>();
                let f = $f;
                scan(&lanes, self.reverse, $T::default(), |state, at, first| {
                    *state = if first { x[at] } else { f(*state, x[at]) };
                    out[at] = *state;
                });
            }};
        }
        macro_rules! extreme {
            ($T:ident) => {
                if self.reduction == Reduction::Max {
                    // A NaN is the only element that is not equal to itself; it stays.
                    #[allow(clippy::eq_op, reason = "a NaN differs from itself")]
                    let larger = |a: $T, b: $T| if a != a || a >= b { a } else { b };
                    combine!($T, larger)
                } else {
                    #[allow(clippy::eq_op, reason = "a NaN differs from itself")]
                    let smaller = |a: $T, b: $T| if a != a || a <= b { a } else { b };
                    combine!($T, smaller)
                }
            };
        }
        let nothing = Compensated { sum: 0.0, lost: 0.0 };
        match (self.reduction, ty.dtype) {
            (Reduction::Sum, DType::F32) => fold!(f32, 0.0f64, |sum: &mut f64, x: f32| {
                *sum += f64::from(x);
                *sum as f32
            }),
            (Reduction::Sum, DType::F64) => fold!(f64, nothing, Compensated::add),
            (Reduction::Sum, DType::U8) => combine!(u8, u8::wrapping_add),
            (Reduction::Sum, DType::I32) => combine!(i32, i32::wrapping_add),
            (Reduction::Sum, DType::U32) => combine!(u32, u32::wrapping_add),
            (Reduction::Sum, DType::I64) => combine!(i64, i64::wrapping_add),
            (Reduction::Prod, DType::F32) => fold!(f32, 1.0f64, |product: &mut f64, x: f32| {
                *product *= f64::from(x);
                *product as f32
            }),
            (Reduction::Prod, DType::F64) => combine!(f64, |a: f64, b: f64| a * b),
            (Reduction::Prod, DType::U8) => combine!(u8, u8::wrapping_mul),
            (Reduction::Prod, DType::I32) => combine!(i32, i32::wrapping_mul),
            (Reduction::Prod, DType::U32) => combine!(u32, u32::wrapping_mul),
            (Reduction::Prod, DType::I64) => combine!(i64, i64::wrapping_mul),
            (Reduction::Max | Reduction::Min, DType::F32) => extreme!(f32),
            (Reduction::Max | Reduction::Min, DType::F64) => extreme!(f64),
            (Reduction::Max | Reduction::Min, DType::U8) => extreme!(u8),
            (Reduction::Max | Reduction::Min, DType::I32) => extreme!(i32),
            (Reduction::Max | Reduction::Min, DType::U32) => extreme!(u32),
            (Reduction::Max | Reduction::Min, DType::I64) => extreme!(i64),
            (Reduction::Max | Reduction::Min, DType::Bool) => extreme!(bool),
            (Reduction::Sum | Reduction::Prod, DType::Bool) | (_, DType::F16 | DType::BF16) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(x: Array, reduction: Reduction) -> Array {
        let ty = x.ty();
        Cumulative { reduction, axis: 0, reverse: false }.eval(&[&x], &ty)
    }

    #[test]
    fn long_sums_lose_no_digits() {
        const N: usize = 1_000_000;
        // A running sum in single precision is off by a hundredth here.
        let sums = run(Array::new([N], vec![0.1f32; N]).unwrap(), Reduction::Sum);
        for k in [10, 1000, 123_456, N] {
            let exact = k as f64 * f64::from(0.1f32);
            assert_eq!(sums.get_f64(k - 1) as f32, exact as f32, "{k} terms");
        }
        // Terms far below the last place of the sum.
        let mut x = vec![1e-17f64; N];
        x[0] = 1.0;
        let sums = run(Array::new([N], x).unwrap(), Reduction::Sum);
        assert_eq!(sums.get_f64(N - 1), 1.0 + 1e-17 * (N - 1) as f64);
        let sums = run(Array::new([4], vec![1e300, f64::INFINITY, 1.0, f64::NEG_INFINITY]).unwrap(), Reduction::Sum);
        assert!(sums.get_f64(2) == f64::INFINITY && sums.get_f64(3).is_nan());
    }

    #[test]
    fn a_nan_stays_the_extreme() {
        let x = || Array::new([4], vec![1.0f32, f32::NAN, 2.0, 0.0]).unwrap();
        for reduction in [Reduction::Max, Reduction::Min] {
            let y = run(x(), reduction);
            assert_eq!(y.get_f64(0), 1.0);
            assert!((1..4).all(|i| y.get_f64(i).is_nan()));
        }
    }
}
