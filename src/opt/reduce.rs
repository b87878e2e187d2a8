//! Reductions and broadcasts: compute on the smaller side of both.
//!
//! A factor that is constant along the folded axes is multiplied after the fold, a function of repeated elements is computed before the repetition.

use crate::graph::{Dims, NodeId, Shape};
use crate::prim::{Emit, Op, Reduce, Reduction};
use crate::scalar::ScalarFn::{Div, Mul, Neg};

use super::matchers::without_units;
use super::rewrite::{Law, Rewriter, Rule};

/// The rules of this family.
pub const RULES: &[Rule] = &[
    Rule {
        name: "reduce-extent-one",
        law: Law::ZeroSign,
        doc: "A fold over axes of extent 1 is a reshape of what the fold over the other axes leaves.",
        on: &["reduce"],
        apply: reduce_extent_one,
    },
    Rule {
        name: "extreme-of-broadcast",
        law: Law::Exact,
        doc: "The largest of equal elements is any of them: max over axes along which the operand is repeated goes.",
        on: &["reduce"],
        apply: extreme_of_broadcast,
    },
    Rule {
        name: "sum-of-broadcast",
        law: Law::Rounding,
        doc: "The sum of n equal elements is n times one of them.",
        on: &["reduce"],
        apply: sum_of_broadcast,
    },
    Rule {
        name: "extreme-of-extreme",
        law: Law::Exact,
        doc: "Two folds by max or by min are one, if the inner has no other user.",
        on: &["reduce"],
        apply: |r, op, x| reduce_of_reduce(r, op, x, false),
    },
    Rule {
        name: "sum-of-sum",
        law: Law::Rounding,
        doc: "Two sums or two products are one, if the inner has no other user; but two long ones stay, as rows and their sum.",
        on: &["reduce"],
        apply: |r, op, x| reduce_of_reduce(r, op, x, true),
    },
    Rule {
        name: "reduce-of-transpose",
        law: Law::Rounding,
        doc: "A fold of a transpose is a fold of its operand over the axes meant, then transposed if need be.",
        on: &["reduce"],
        apply: reduce_of_transpose,
    },
    Rule {
        name: "reduce-of-reshape",
        law: Law::Exact,
        doc: "A fold over all axes, or of a reshape that only adds or drops axes of extent 1, is one of the reshape's operand.",
        on: &["reduce"],
        apply: reduce_of_reshape,
    },
    Rule {
        name: "sum-of-neg",
        law: Law::ZeroSign,
        doc: "The sum of -x is minus the sum of x, but for the sign of a sum of 0, if -x has no other user.",
        on: &["reduce"],
        apply: |r, op, x| {
            let axes = sum_axes(op)?;
            let inner = r.unary(x[0], Neg).filter(|_| r.sole_use(x[0]))?;
            let sum = r.sum(inner, axes);
            Some(r.neg(sum))
        },
    },
    Rule {
        name: "sum-of-scaled",
        law: Law::Range,
        doc: "A factor or divisor that is constant along the summed axes comes out of the sum, if the product has no other user.",
        on: &["reduce"],
        apply: sum_of_scaled,
    },
    Rule {
        name: "map-of-broadcasts",
        law: Law::Exact,
        doc: "A function of tensors that are all repeated along an axis is computed before the repetition.",
        on: &[],
        apply: map_of_broadcasts,
    },
    Rule {
        name: "map-of-reshapes",
        law: Law::Exact,
        doc: "A function of tensors to which a reshape added axes of extent 1 is computed before the reshape.",
        on: &[],
        apply: map_of_reshapes,
    },
];

/// Sums of so many elements are long.
const LONG: usize = 64;

fn as_fold(op: &Op) -> Option<&Reduce> {
    match op {
        Op::Reduce(r) => Some(r),
        _ => None,
    }
}

fn sum_axes(op: &Op) -> Option<Dims> {
    as_fold(op).filter(|r| r.reduction == Reduction::Sum).map(|r| r.axes.clone())
}

fn is_extreme(reduction: Reduction) -> bool {
    matches!(reduction, Reduction::Max | Reduction::Min)
}

/// For axes that are left when `gone` are taken out of `rank` axes: the new number of `axis`.
pub(super) fn renumber(axis: usize, gone: &[usize]) -> usize {
    axis - gone.iter().filter(|&&g| g < axis).count()
}

/// The axes in `a` that are in `b` also.
fn common(a: &[usize], b: &[usize]) -> Dims {
    a.iter().copied().filter(|x| b.contains(x)).collect()
}

/// The axes in `a` that are not in `b`.
fn minus(a: &[usize], b: &[usize]) -> Dims {
    a.iter().copied().filter(|x| !b.contains(x)).collect()
}

fn reduce_extent_one(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Reduce { reduction, axes } = as_fold(op)?;
    let shape = r.graph().shape(x[0]).clone();
    let units: Dims = axes.iter().copied().filter(|&a| shape[a] == 1).collect();
    if units.is_empty() {
        return None;
    }
    let folded = r.reduce(*reduction, x[0], minus(axes, &units));
    Some(r.reshape(folded, shape.without(axes)))
}

/// The fold of a broadcast without the axes that are both repeated and folded. Returns it with the count of elements along those axes.
fn fold_before_broadcast(r: &mut Rewriter<'_>, fold: &Reduce, operand: NodeId) -> Option<(NodeId, usize, Shape, Dims)> {
    let (source, broadcast) = r.as_broadcast(operand)?;
    let (shape, repeated) = (broadcast.shape.clone(), broadcast.axes.clone());
    let both = common(&fold.axes, &repeated);
    if both.is_empty() {
        return None;
    }
    let count = both.iter().map(|&a| shape[a]).product();
    if count == 0 {
        return None;
    }
    let of_source = minus(&fold.axes, &both).iter().map(|&a| renumber(a, &repeated)).collect();
    let folded = r.reduce(fold.reduction, source, of_source);
    let result_shape = shape.without(&fold.axes);
    let still_repeated = minus(&repeated, &both).iter().map(|&a| renumber(a, &fold.axes)).collect();
    Some((folded, count, result_shape, still_repeated))
}

fn extreme_of_broadcast(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let fold = as_fold(op).filter(|f| is_extreme(f.reduction))?;
    let (folded, _, shape, axes) = fold_before_broadcast(r, fold, x[0])?;
    Some(r.broadcast(folded, shape, axes))
}

fn sum_of_broadcast(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let fold = as_fold(op).filter(|f| f.reduction == Reduction::Sum)?;
    let (folded, count, shape, axes) = fold_before_broadcast(r, fold, x[0])?;
    let scaled = r.scale(folded, count as f64);
    Some(r.broadcast(scaled, shape, axes))
}

fn reduce_of_reduce(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId], sums: bool) -> Option<NodeId> {
    let fold = as_fold(op).filter(|f| is_extreme(f.reduction) != sums)?;
    let (source, inner) = r.as_reduce(x[0], fold.reduction)?;
    if !r.sole_use(x[0]) {
        return None;
    }
    let inner = inner.clone();
    let shape = r.graph().shape(source);
    let kept: Dims = (0..shape.rank()).filter(|a| !inner.contains(a)).collect();
    let count = |axes: &mut dyn Iterator<Item = usize>| axes.map(|a| shape[a]).product::<usize>();
    let [within, across] = [count(&mut inner.iter().copied()), count(&mut fold.axes.iter().map(|&a| kept[a]))];
    if sums && within >= LONG && across >= LONG {
        return None;
    }
    let mut axes: Dims = fold.axes.iter().map(|&a| kept[a]).chain(inner).collect();
    axes.sort_unstable();
    Some(r.reduce(fold.reduction, source, axes))
}

fn reduce_of_transpose(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let fold = as_fold(op)?;
    let (source, transpose) = r.as_transpose(x[0])?;
    let permutation = transpose.permutation.clone();
    let mut axes: Dims = fold.axes.iter().map(|&a| permutation[a]).collect();
    axes.sort_unstable();
    let left: Dims =
        (0..permutation.len()).filter(|a| !fold.axes.contains(a)).map(|a| renumber(permutation[a], &axes)).collect();
    let folded = r.reduce(fold.reduction, source, axes);
    Some(r.transpose(folded, left))
}

fn reduce_of_reshape(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let fold = as_fold(op)?;
    let source = r.as_reshape(x[0])?;
    let (from, to) = (r.graph().shape(source).clone(), r.graph().shape(x[0]).clone());
    // The axes of other extents than 1: those of extent 1 make no difference.
    let wide = |s: &Shape| (0..s.rank()).filter(|&a| s[a] != 1).collect::<Dims>();
    if fold.axes.len() == to.rank() {
        let axes = Some(wide(&from)).filter(|axes| !axes.is_empty())?;
        let folded = r.reduce(fold.reduction, source, axes);
        return Some(r.reshape(folded, Shape::scalar()));
    }
    if without_units(&from) != without_units(&to) {
        return None;
    }
    // The n-th of them in the one shape is the n-th in the other.
    let folded: Dims =
        wide(&from).into_iter().zip(wide(&to)).filter(|(_, t)| fold.axes.contains(t)).map(|(f, _)| f).collect();
    // The sum of one element -0 is +0, so a fold over axes of extent 1 only is left to its own rule.
    if folded.is_empty() {
        return None;
    }
    let reduced = r.reduce(fold.reduction, source, folded);
    Some(r.reshape(reduced, to.without(&fold.axes)))
}

fn sum_of_scaled(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let axes = sum_axes(op)?;
    // The sum of no elements is 0 whatever the factor.
    if !r.sole_use(x[0]) || axes.iter().any(|&a| r.graph().shape(x[0])[a] == 0) {
        return None;
    }
    let candidates = match (r.binary(x[0], Mul), r.binary(x[0], Div)) {
        (Some((a, b)), _) => [Some((a, b, Mul)), Some((b, a, Mul))],
        (_, Some((a, b))) if r.is_float(a) => [Some((a, b, Div)), None],
        _ => return None,
    };
    for (rest, factor, f) in candidates.into_iter().flatten() {
        let Some((source, broadcast)) = r.as_broadcast(factor) else {
            continue;
        };
        if !axes.iter().all(|a| broadcast.axes.contains(a)) {
            continue;
        }
        let (shape, repeated) = (broadcast.shape.without(&axes), minus(&broadcast.axes, &axes));
        let repeated = repeated.iter().map(|&a| renumber(a, &axes)).collect();
        let sum = r.sum(rest, axes);
        let factor = r.broadcast(source, shape, repeated);
        return Some(r.map(f, &[sum, factor]));
    }
    None
}

/// The axes along which an operand is repeated.
fn repeated_axes(r: &Rewriter<'_>, id: NodeId) -> Dims {
    match r.as_broadcast(id) {
        Some((_, broadcast)) => broadcast.axes.clone(),
        None => Dims::new(),
    }
}

fn map_of_broadcasts(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    if !matches!(op, Op::Map(_) | Op::Cast(_)) {
        return None;
    }
    let mut axes = repeated_axes(r, x[0]);
    for &operand in &x[1..] {
        if axes.is_empty() {
            return None;
        }
        axes = common(&axes, &repeated_axes(r, operand));
    }
    if axes.is_empty() {
        return None;
    }
    let shape = r.graph().shape(x[0]).clone();
    // Of a repetition without elements nothing would be computed.
    if shape.numel() == 0 {
        return None;
    }
    let small_shape = shape.without(&axes);
    let mut small = crate::graph::Operands::new();
    for &operand in x {
        let (source, broadcast) = r.as_broadcast(operand)?;
        let left = minus(&broadcast.axes, &axes).iter().map(|&a| renumber(a, &axes)).collect();
        small.push(r.broadcast(source, small_shape.clone(), left));
    }
    let value = r.emit(op.clone(), &small);
    Some(r.broadcast(value, shape, axes))
}

fn map_of_reshapes(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    if !matches!(op, Op::Map(_) | Op::Cast(_)) {
        return None;
    }
    let shape = r.graph().shape(x[0]);
    let mut small_shape: Option<&Shape> = None;
    for &operand in x {
        if r.splat_source(operand).is_some() {
            continue;
        }
        let source = r.graph().shape(r.as_reshape(operand)?);
        let adds_units = source.rank() < shape.rank() && without_units(source) == without_units(shape);
        if !adds_units || small_shape.is_some_and(|s| s != source) {
            return None;
        }
        small_shape = Some(source);
    }
    let (shape, small_shape) = (shape.clone(), small_shape?.clone());
    let mut small = crate::graph::Operands::new();
    for &operand in x {
        small.push(match r.splat_source(operand) {
            Some(scalar) => r.broadcast_new(scalar, &small_shape),
            None => r.operands(operand)[0],
        });
    }
    let value = r.emit(op.clone(), &small);
    Some(r.reshape(value, shape))
}
