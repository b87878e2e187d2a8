//! Slices combined in at places chosen by integers.

use crate::array::{Array, ArrayElement};
use crate::graph::{DType, Dims, NodeId, OpErrorKind, Shape, TensorType};
use crate::scalar::{Number, ScalarFn};

use super::attrs::named_variants;
use super::gather::{GatherDims, indices, infer_choices};
use super::{
    AttrError, Attrs, Batch, Cotangents, Emit, Gather, Iota, Jvp, Lowering, Primitive, Reduction, Vjp, arity, array,
    elements, with_element,
};

/// How an update meets the element at its place. Updates come in row-major order, in every engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combine {
    /// It replaces the element; of several, the last stays.
    Set,
    /// It is added to the element.
    Add,
    /// It is multiplied with the element.
    Mul,
    /// The larger of the two stays, NaN if either is; for truth values, whether one holds.
    Max,
    /// The smaller of the two stays, NaN if either is; for truth values, whether both hold.
    Min,
}
named_variants!(Combine { Set = "set", Add = "add", Mul = "mul", Max = "max", Min = "min" });

impl Combine {
    /// The scalar function of an element of this type and an update; `None` where the update replaces the element.
    pub fn function(self, dtype: DType) -> Option<ScalarFn> {
        match self {
            Combine::Set => None,
            Combine::Add => Some(ScalarFn::Add),
            Combine::Mul => Some(ScalarFn::Mul),
            Combine::Max => Some(Reduction::Max.combine(dtype)),
            Combine::Min => Some(Reduction::Min.combine(dtype)),
        }
    }
}

/// More updates of `f32` than this are added up in double precision, in every engine.
pub(crate) const LONG_SUM: usize = 4096;

/// `x` with `update[b, i, r]` combined into the element `[b, index[b, i], r]`, where each letter stands for any number of axes, as in [`Gather`].
///
/// The operands are `x`, the integer indices and the updates. An update whose index is negative or too large is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scatter {
    /// Count of leading axes that all operands share.
    pub batch: usize,
    /// How an update meets the element at its place.
    pub combine: Combine,
}

impl Scatter {
    /// True if elements of this type are added up in double precision: a batch has so many updates that sums in single precision would lose digits.
    pub(crate) fn is_long_sum(&self, dtype: DType, index: &Shape) -> bool {
        let choices: usize = index[self.batch..].iter().product();
        self.combine == Combine::Add && dtype == DType::F32 && choices > LONG_SUM
    }
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
            combine: attrs.take_word("combine", "set, add, mul, max or min")?,
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
        if x.dtype == DType::Bool && matches!(self.combine, Combine::Add | Combine::Mul) {
            return Err(OpErrorKind::DType { position: 0, expected: "a number type".to_owned(), actual: x.dtype });
        }
        if update.shape != expected {
            return Err(OpErrorKind::Shape { position: 2, expected, actual: update.shape.clone() });
        }
        Ok(x.clone())
    }

    /// Dropped updates receive nothing. Of replacing ones the last at a place receives its cotangent, and the replaced elements of `x` nothing. The extremes
    /// share the cotangent among all elements and updates that attain them. Factors receive it multiplied with the other factors at the place.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let ty = cx.operand_ty(0);
        if !ty.dtype.is_float() {
            return Cotangents::from_slice(&[None, None, None]);
        }
        let (x, index, update, y, g) = (cx.operands[0], cx.operands[1], cx.operands[2], cx.output, cx.cotangent);
        let e = &mut *cx.emit;
        let (dx, d_update) = match self.combine {
            Combine::Add => (g, self.at_places(e, g, index)),
            Combine::Set => self.set_vjp(e, g, index),
            Combine::Mul => self.mul_vjp(e, g, (x, index, update)),
            Combine::Max | Combine::Min => self.extreme_vjp(e, (g, y), (x, index, update)),
        };
        Cotangents::from_slice(&[Some(dx), None, Some(d_update)])
    }

    /// Replacement and sums are linear in `x` and the updates together. An extreme has the mean of the tangents of all that attain it, a product the sum of
    /// each factor's tangent times the other factors.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        if self.combine == Combine::Add && cx.tangents[2].is_none() {
            return cx.tangents[0];
        }
        let (x, index, update) = (cx.operands[0], cx.operands[1], cx.operands[2]);
        let (dx, d_update, y) = (cx.tangent(0), cx.tangent(2), cx.output);
        let e = &mut *cx.emit;
        let sum = Scatter { combine: Combine::Add, ..self.clone() };
        Some(match self.combine {
            Combine::Set | Combine::Add => e.emit(self.clone().into(), &[dx, index, d_update]),
            Combine::Max | Combine::Min => {
                let [x_attains, update_attains, count] = self.attained(e, y, (x, index, update));
                let (zero_x, zero_update) = (e.full_like(dx, 0.0), e.full_like(d_update, 0.0));
                let dx = e.select(x_attains, dx, zero_x);
                let d_update = e.select(update_attains, d_update, zero_update);
                let total = e.emit(sum.into(), &[dx, index, d_update]);
                e.div(total, count)
            }
            Combine::Mul => {
                let ones = e.full_like(x, 1.0);
                let product = e.emit(self.clone().into(), &[ones, index, update]);
                let through_x = e.mul(dx, product);
                let others = self.other_updates(e, x, index, update);
                let d_update = e.mul(d_update, others);
                let zeros = e.full_like(x, 0.0);
                let through_update = e.emit(sum.into(), &[zeros, index, d_update]);
                let through_update = e.mul(x, through_update);
                e.add(through_x, through_update)
            }
        })
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
        fn run<T: Copy, U: Copy>(
            mut out: Vec<T>,
            update: &[U],
            index: &[Option<usize>],
            dims: &GatherDims,
            f: impl Fn(T, U) -> T,
        ) -> Vec<T> {
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
        fn combined<T: ArrayElement + Into<Number> + TryFrom<Number>>(f: ScalarFn) -> impl Fn(T, T) -> T {
            move |a, b| match f.apply_numbers(&[a.into(), b.into()]).try_into() {
                Ok(v) => v,
                Err(_) => panic!("{} of two numbers is one of their type", f.name()),
            }
        }
        let (x, update) = (operands[0], operands[2]);
        if self.is_long_sum(ty.dtype, operands[1].shape()) {
            let wide = elements::<f32>(x).iter().map(|&v| f64::from(v)).collect();
            let sums = run(wide, elements::<f32>(update), &index, &dims, |a, b| a + f64::from(b));
            return array(ty, sums.into_iter().map(|v| v as f32).collect());
        }
        with_element!(ty.dtype, T => {
            let (x, update) = (elements::<T>(x).to_vec(), elements::<T>(update));
            array(ty, match self.combine.function(ty.dtype) {
                None => run(x, update, &index, &dims, |_, new| new),
                Some(f) => run(x, update, &index, &dims, combined::<T>(f)),
            })
        })
    }

    fn lowering(&self, operands: &[&TensorType], ty: &TensorType) -> Lowering {
        let wide = self.is_long_sum(ty.dtype, &operands[1].shape);
        Lowering::Scatter { batch: self.batch, combine: self.combine, wide }
    }
}

/// The parts of the VJP.
impl Scatter {
    /// What stands in `a`, typed like `x`, at the places of the updates; 0 for dropped ones.
    fn at_places(&self, e: &mut dyn Emit, a: NodeId, index: NodeId) -> NodeId {
        e.emit(Gather { batch: self.batch, fill: 0.0f64.to_bits() }.into(), &[a, index])
    }

    /// The number of each of the first `rank` axes' elements, as `i64`.
    fn numbers(e: &mut dyn Emit, shape: &Shape) -> NodeId {
        let number = e.emit(Iota { ty: TensorType::new(DType::I64, [shape.numel()]), axis: 0 }.into(), &[]);
        e.reshape(number, shape.clone())
    }

    /// `a`, of the index's shape, repeated over the elements of each update.
    fn over_rest(e: &mut dyn Emit, a: NodeId, update: &Shape) -> NodeId {
        let axes: Dims = (e.graph().shape(a).rank()..update.rank()).collect();
        e.broadcast(a, update.clone(), axes)
    }

    fn set_vjp(&self, e: &mut dyn Emit, g: NodeId, index: NodeId) -> (NodeId, NodeId) {
        let d_update = self.at_places(e, g, index);
        let zeros = e.full_like(d_update, 0.0);
        let dx = e.emit(self.clone().into(), &[g, index, zeros]);
        // An update stays if the number scattered from its place is found there afterwards.
        let index_shape = e.graph().shape(index).clone();
        let number = Scatter::numbers(e, &index_shape);
        let chosen_from = e.graph().shape(g)[..=self.batch].iter().copied().collect::<Shape>();
        let nobody = e.full(&TensorType::new(DType::I64, chosen_from), -1.0);
        let last = e.emit(self.clone().into(), &[nobody, index, number]);
        let last = self.at_places(e, last, index);
        let stays = e.map(ScalarFn::Eq, &[last, number]);
        let shape = e.graph().shape(d_update).clone();
        let stays = Scatter::over_rest(e, stays, &shape);
        (dx, e.select(stays, d_update, zeros))
    }

    /// Which elements of `x` and which updates attain the extremes `y`, and how many do at each place. A NaN is the extreme, though it equals nothing.
    fn attained(&self, e: &mut dyn Emit, y: NodeId, (x, index, update): (NodeId, NodeId, NodeId)) -> [NodeId; 3] {
        let attains = |e: &mut dyn Emit, a: NodeId, extreme: NodeId| {
            let (equal, nan) = (e.map(ScalarFn::Eq, &[a, extreme]), e.map(ScalarFn::IsNan, &[a]));
            e.map(ScalarFn::Or, &[equal, nan])
        };
        let here = self.at_places(e, y, index);
        let (x_attains, update_attains) = (attains(e, x, y), attains(e, update, here));
        let dtype = e.graph().ty(x).dtype;
        let (ones, more) = (e.cast(x_attains, dtype), e.cast(update_attains, dtype));
        let count = Scatter { combine: Combine::Add, ..self.clone() };
        let count = e.emit(count.into(), &[ones, index, more]);
        [x_attains, update_attains, count]
    }

    /// Ties share the cotangent equally.
    fn extreme_vjp(
        &self,
        e: &mut dyn Emit,
        (g, y): (NodeId, NodeId),
        (x, index, update): (NodeId, NodeId, NodeId),
    ) -> (NodeId, NodeId) {
        let [x_attains, update_attains, count] = self.attained(e, y, (x, index, update));
        let share = e.div(g, count);
        let share_here = self.at_places(e, share, index);
        let (zero_x, zero_update) = (e.full_like(g, 0.0), e.full_like(update, 0.0));
        (e.select(x_attains, share, zero_x), e.select(update_attains, share_here, zero_update))
    }

    fn mul_vjp(&self, e: &mut dyn Emit, g: NodeId, (x, index, update): (NodeId, NodeId, NodeId)) -> (NodeId, NodeId) {
        let ones = e.full_like(x, 1.0);
        let product = e.emit(self.clone().into(), &[ones, index, update]);
        let dx = e.mul(g, product);
        let through_x = e.mul(g, x);
        let through_x = self.at_places(e, through_x, index);
        let others = self.other_updates(e, x, index, update);
        (dx, e.mul(through_x, others))
    }

    /// For each update, the product of the other updates of the batch with the same index; 0 for dropped ones, which may hold anything. It is made of
    /// products only, without division, so that it and its own derivatives hold where factors are 0. The price is work that grows with the square of the
    /// count of updates in a batch.
    fn other_updates(&self, e: &mut dyn Emit, x: NodeId, index: NodeId, update: NodeId) -> NodeId {
        let (index_ty, update_ty) = (e.ty(index), e.ty(update));
        let batches: usize = index_ty.shape[..self.batch].iter().product();
        let n: usize = index_ty.shape[self.batch..].iter().product();
        let rest: usize = update_ty.shape[index_ty.shape.rank()..].iter().product();
        let pairs = Shape::from([batches, n, n]);
        // For the update of the second axis, the one of the third.
        let flat = e.reshape(index, [batches, n].into());
        let (this, other) = (
            e.broadcast(flat, pairs.clone(), [2].into_iter().collect()),
            e.broadcast(flat, pairs.clone(), [1].into_iter().collect()),
        );
        let same = e.map(ScalarFn::Eq, &[this, other]);
        let place = |e: &mut dyn Emit, axis: usize| {
            e.emit(Iota { ty: TensorType::new(DType::I64, pairs.clone()), axis }.into(), &[])
        };
        let (i, j) = (place(e, 1), place(e, 2));
        let distinct = e.map(ScalarFn::Ne, &[i, j]);
        let meets = e.map(ScalarFn::And, &[same, distinct]);
        let all = Shape::from([batches, n, n, rest]);
        let meets = e.broadcast(meets, all.clone(), [3].into_iter().collect());
        let factors = e.reshape(update, [batches, n, rest].into());
        let factors = e.broadcast(factors, all.clone(), [1].into_iter().collect());
        let one = e.full(&TensorType::new(update_ty.dtype, all), 1.0);
        let factors = e.select(meets, factors, one);
        let others = e.reduce(Reduction::Prod, factors, [2].into_iter().collect());
        let others = e.reshape(others, update_ty.shape.clone());

        let chosen_from = e.graph().shape(x)[..=self.batch].iter().copied().collect::<Shape>();
        let there = e.full(&TensorType::new(DType::Bool, chosen_from), 1.0);
        let inside = self.at_places(e, there, index);
        let inside = Scatter::over_rest(e, inside, &update_ty.shape);
        let zero = e.full(&update_ty, 0.0);
        e.select(inside, others, zero)
    }
}
