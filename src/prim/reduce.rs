//! Folds over axes.

use smallvec::SmallVec;

use crate::array::{Array, ArrayElement};
use crate::graph::{DType, Dims, NodeId, OpErrorKind, Shape, TensorType};
use crate::scalar::ScalarFn;

use super::attrs::named_variants;
use super::rules::behind_batch;
use super::{
    AttrError, Attrs, Batch, Concat, Cotangents, Emit, Jvp, Lowering, Primitive, Slice, Strided, Vjp, arity, array,
    ascending, elements,
};

/// How two elements combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Sum; 0 over no elements.
    Sum,
    /// Product; 1 over no elements.
    Prod,
    /// Largest element, NaN if there is one; for truth values, whether any holds.
    Max,
    /// Smallest element, NaN if there is one; for truth values, whether all hold.
    Min,
}
named_variants!(Reduction { Sum = "sum", Prod = "prod", Max = "max", Min = "min" });

impl Reduction {
    /// The scalar function that combines two elements of this type.
    pub fn combine(self, dtype: DType) -> ScalarFn {
        match (self, dtype) {
            (Reduction::Sum, _) => ScalarFn::Add,
            (Reduction::Prod, _) => ScalarFn::Mul,
            (Reduction::Max, DType::Bool) => ScalarFn::Or,
            (Reduction::Min, DType::Bool) => ScalarFn::And,
            (Reduction::Max, _) => ScalarFn::Max,
            (Reduction::Min, _) => ScalarFn::Min,
        }
    }

    /// The neutral element, as a number that converts to it exactly (for integers by saturation).
    pub fn neutral(self, dtype: DType) -> f64 {
        match self {
            Reduction::Sum => 0.0,
            Reduction::Prod => 1.0,
            Reduction::Max if dtype == DType::Bool => 0.0,
            Reduction::Min if dtype == DType::Bool => 1.0,
            Reduction::Max => f64::NEG_INFINITY,
            Reduction::Min => f64::INFINITY,
        }
    }
}

/// A fold over axes, which the result lacks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How two elements combine.
    pub reduction: Reduction,
    /// The axes folded, ascending.
    pub axes: Dims,
}

impl Reduce {
    /// Which elements of `x` attain the extreme, and, of the result's shape, how many do.
    fn attained(&self, e: &mut dyn Emit, x: NodeId, extreme: NodeId) -> (NodeId, NodeId) {
        let ty = e.ty(x);
        let extreme = e.broadcast(extreme, ty.shape.clone(), self.axes.clone());
        let equal = e.map(ScalarFn::Eq, &[x, extreme]);
        // A NaN is the extreme, though it equals nothing.
        let nan = e.map(ScalarFn::IsNan, &[x]);
        let attained = e.map(ScalarFn::Or, &[equal, nan]);
        let ones = e.cast(attained, ty.dtype);
        (attained, e.sum(ones, self.axes.clone()))
    }

    /// For each element of `x` the product of all others that are folded with it.
    fn products_of_others(&self, e: &mut dyn Emit, x: NodeId) -> NodeId {
        let shape = e.graph().shape(x).clone();
        let order = super::Transpose { permutation: axes_last_permutation(shape.rank(), &self.axes) };
        let moved = e.transpose(x, order.permutation.clone());
        let moved_shape = e.graph().shape(moved).clone();
        let n = self.axes.iter().map(|&a| shape[a]).product();
        let rows: usize = shape.without(&self.axes).numel();
        let flat = e.reshape(moved, [rows, n].into());
        let others = product_of_others(e, flat);
        let others = e.reshape(others, moved_shape);
        e.transpose(others, order.inverse())
    }
}

/// The view of a tensor with `axes` moved behind the others.
fn axes_last(shape: &Shape, axes: &[usize]) -> Strided {
    let kept = (0..shape.rank()).filter(|a| !axes.contains(a));
    let permutation: Dims = kept.chain(axes.iter().copied()).collect();
    let strides = shape.strides();
    Strided {
        shape: permutation.iter().map(|&p| shape[p]).collect(),
        strides: permutation.iter().map(|&p| strides[p]).collect(),
        offset: 0,
    }
}

/// Sum by halves, whose rounding error grows with the logarithm of the count.
fn pairwise(x: &[f64]) -> f64 {
    if x.len() <= 32 {
        // An empty `Iterator::sum` is -0.
        x.iter().fold(0.0, |sum, v| sum + v)
    } else {
        let (a, b) = x.split_at(x.len() / 2);
        pairwise(a) + pairwise(b)
    }
}

/// Folds each group of elements that lie one behind the other. The reference sums floats in double precision, by halves.
fn fold(reduction: Reduction, operand: &Array, order: &Strided, ty: &TensorType) -> Array {
    let count = ty.shape.numel();
    let group = order.shape.numel().checked_div(count).unwrap_or(0);
    fn groups<T: ArrayElement, R: ArrayElement>(
        operand: &Array,
        order: &Strided,
        (count, group): (usize, usize),
        ty: &TensorType,
        f: impl Fn(&[T]) -> R,
    ) -> Array {
        let x = order.materialize(elements::<T>(operand));
        array(ty, (0..count).map(|i| f(&x[i * group..(i + 1) * group])).collect())
    }
    let size = (count, group);
    let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    fn extreme<T: Copy + PartialOrd>(x: &[T], largest: bool) -> T {
        // A NaN is the only element that differs from itself, and wins.
        let better = |a: T, b: T| {
            a.partial_cmp(&a).is_some() && (b.partial_cmp(&b).is_none() || if largest { b > a } else { b < a })
        };
        x[1..].iter().fold(x[0], |a, &b| if better(a, b) { b } else { a })
    }
    let largest = reduction == Reduction::Max;
    match (reduction, ty.dtype) {
        (Reduction::Sum, DType::F32) => groups(operand, order, size, ty, |x: &[f32]| pairwise(&wide(x)) as f32),
        (Reduction::Sum, DType::F64) => groups(operand, order, size, ty, pairwise),
        (Reduction::Sum, DType::U8) => {
            groups(operand, order, size, ty, |x: &[u8]| x.iter().fold(0, |a, &b| u8::wrapping_add(a, b)))
        }
        (Reduction::Sum, DType::U32) => {
            groups(operand, order, size, ty, |x: &[u32]| x.iter().fold(0, |a, &b| u32::wrapping_add(a, b)))
        }
        (Reduction::Sum, DType::I32) => {
            groups(operand, order, size, ty, |x: &[i32]| x.iter().fold(0, |a, &b| i32::wrapping_add(a, b)))
        }
        (Reduction::Sum, DType::I64) => {
            groups(operand, order, size, ty, |x: &[i64]| x.iter().fold(0, |a, &b| i64::wrapping_add(a, b)))
        }
        (Reduction::Prod, DType::F32) => {
            groups(operand, order, size, ty, |x: &[f32]| wide(x).iter().product::<f64>() as f32)
        }
        (Reduction::Prod, DType::F64) => groups(operand, order, size, ty, |x: &[f64]| x.iter().product::<f64>()),
        (Reduction::Prod, DType::U8) => {
            groups(operand, order, size, ty, |x: &[u8]| x.iter().fold(1, |a, &b| u8::wrapping_mul(a, b)))
        }
        (Reduction::Prod, DType::U32) => {
            groups(operand, order, size, ty, |x: &[u32]| x.iter().fold(1, |a, &b| u32::wrapping_mul(a, b)))
        }
        (Reduction::Prod, DType::I32) => {
            groups(operand, order, size, ty, |x: &[i32]| x.iter().fold(1, |a, &b| i32::wrapping_mul(a, b)))
        }
        (Reduction::Prod, DType::I64) => {
            groups(operand, order, size, ty, |x: &[i64]| x.iter().fold(1, |a, &b| i64::wrapping_mul(a, b)))
        }
        (Reduction::Max | Reduction::Min, DType::F32) => {
            groups(operand, order, size, ty, |x: &[f32]| extreme(x, largest))
        }
        (Reduction::Max | Reduction::Min, DType::F64) => {
            groups(operand, order, size, ty, |x: &[f64]| extreme(x, largest))
        }
        (Reduction::Max | Reduction::Min, DType::U8) => {
            groups(operand, order, size, ty, |x: &[u8]| extreme(x, largest))
        }
        (Reduction::Max | Reduction::Min, DType::U32) => {
            groups(operand, order, size, ty, |x: &[u32]| extreme(x, largest))
        }
        (Reduction::Max | Reduction::Min, DType::I32) => {
            groups(operand, order, size, ty, |x: &[i32]| extreme(x, largest))
        }
        (Reduction::Max | Reduction::Min, DType::I64) => {
            groups(operand, order, size, ty, |x: &[i64]| extreme(x, largest))
        }
        (Reduction::Max | Reduction::Min, DType::Bool) => {
            groups(operand, order, size, ty, |x: &[bool]| extreme(x, largest))
        }
        (Reduction::Sum | Reduction::Prod, DType::Bool) => panic!("the shape rule refuses sums of truth values"),
        (_, DType::F16 | DType::BF16) => panic!("the shape rule refuses types for storage"),
    }
}

impl Primitive for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn accepts(name: &str) -> bool {
        name == "reduce"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("kind", self.reduction).list("axes", &self.axes)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Reduce {
            reduction: attrs.take_word("kind", "sum, prod, max or min")?,
            axes: attrs.take_list("axes", "a list of axis numbers")?,
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let TensorType { dtype, shape } = operands[0];
        ascending(&self.axes, shape.rank())?;
        let chooses = matches!(self.reduction, Reduction::Max | Reduction::Min);
        if *dtype == DType::Bool && !chooses {
            return Err(OpErrorKind::DType { position: 0, expected: "a number type".to_owned(), actual: *dtype });
        }
        if chooses && self.axes.iter().any(|&a| shape[a] == 0) {
            let (reduction, axes) = (self.reduction.name(), self.axes.clone());
            return Err(OpErrorKind::EmptyReduction { reduction, axes, shape: shape.clone() });
        }
        Ok(TensorType { dtype: *dtype, shape: shape.without(&self.axes) })
    }

    /// The sum hands its cotangent to every element, the extremes share it among all elements that attain them, the product multiplies it with the
    /// product of the other elements.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let ty = cx.operand_ty(0);
        if !ty.dtype.is_float() {
            return Cotangents::from_slice(&[None]);
        }
        let (x, e) = (cx.operands[0], &mut *cx.emit);
        let g = e.broadcast(cx.cotangent, ty.shape.clone(), self.axes.clone());
        let dx = match self.reduction {
            Reduction::Sum => g,
            Reduction::Max | Reduction::Min => {
                let (attained, count) = self.attained(e, x, cx.output);
                let share = e.div(cx.cotangent, count);
                let share = e.broadcast(share, ty.shape.clone(), self.axes.clone());
                let zero = e.full(&ty, 0.0);
                e.select(attained, share, zero)
            }
            Reduction::Prod => {
                let others = self.products_of_others(e, x);
                e.mul(g, others)
            }
        };
        Cotangents::from_slice(&[Some(dx)])
    }

    /// The sum of the tangents, their mean over all elements that attain the extreme, or their sum weighted with the products of the other elements.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let tangent = cx.tangents[0]?;
        let (ty, x, output, e) = (cx.operand_ty(0), cx.operands[0], cx.output, &mut *cx.emit);
        Some(match self.reduction {
            Reduction::Sum => e.sum(tangent, self.axes.clone()),
            Reduction::Max | Reduction::Min => {
                let (attained, count) = self.attained(e, x, output);
                let zero = e.full(&ty, 0.0);
                let chosen = e.select(attained, tangent, zero);
                let sum = e.sum(chosen, self.axes.clone());
                e.div(sum, count)
            }
            Reduction::Prod => {
                let others = self.products_of_others(e, x);
                let parts = e.mul(tangent, others);
                e.sum(parts, self.axes.clone())
            }
        })
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Reduce { reduction: self.reduction, axes: behind_batch(&self.axes) })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        fold(self.reduction, operands[0], &axes_last(operands[0].shape(), &self.axes), ty)
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Reduce { reduction: self.reduction, axes: self.axes.clone() }
    }
}

fn axes_last_permutation(rank: usize, axes: &[usize]) -> Dims {
    (0..rank).filter(|a| !axes.contains(a)).chain(axes.iter().copied()).collect()
}

/// For `x` of shape `[rows, n]`, the product of all elements of a row but the one at each place. Division-free, so it holds where elements are 0, and
/// made of products only, so its own derivatives hold there too. Takes about `4 log2(n)` nodes: the products of pairs are solved first.
fn product_of_others(e: &mut dyn Emit, x: NodeId) -> NodeId {
    let shape = e.graph().shape(x).clone();
    let (rows, n) = (shape[0], shape[1]);
    if n <= 1 {
        return e.full_like(x, 1.0);
    }
    let half = n / 2;
    let columns = |e: &mut dyn Emit, from: usize, count: usize| {
        let part = Slice {
            start: SmallVec::from_slice(&[0, from]),
            len: SmallVec::from_slice(&[rows, count]),
            step: SmallVec::from_slice(&[1, 1]),
        };
        e.emit(part.into(), &[x])
    };
    let (a, b) = (columns(e, 0, half), columns(e, half, half));
    let pairs = e.mul(a, b);
    let mut others = product_of_others(e, pairs);
    let mut last = None;
    if n % 2 == 1 {
        let odd = columns(e, n - 1, 1);
        let odd = e.reshape(odd, [rows].into());
        let repeated = e.broadcast(odd, [rows, half].into(), SmallVec::from_slice(&[1]));
        others = e.mul(others, repeated);
        let all_pairs = e.reduce(Reduction::Prod, pairs, SmallVec::from_slice(&[1]));
        last = Some(e.reshape(all_pairs, [rows, 1].into()));
    }
    let of_a = e.mul(others, b);
    let of_b = e.mul(others, a);
    let parts: SmallVec<[NodeId; 3]> = [of_a, of_b].into_iter().chain(last).collect();
    e.emit(Concat { axis: 1 }.into(), &parts)
}
