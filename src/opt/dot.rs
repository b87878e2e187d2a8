//! Products: transposes fold into their axis lists, scalar factors come out, and batch axes along which an operand only repeats are no batch axes.

use crate::graph::{Dims, NodeId};
use crate::prim::{Dot, Emit, Op, Reduction};
use crate::scalar::ScalarFn::{Div, Mul, Neg};

use super::matchers::is_identity;
use super::reduce::renumber;
use super::rewrite::{Law, Rewriter, Rule};

/// The rules of this family.
pub const RULES: &[Rule] = &[
    Rule {
        name: "dot-of-transpose",
        law: Law::Exact,
        doc: "A product of a transpose is one of its operand over the axes meant, where the order of the axes that are left allows it.",
        on: &["dot"],
        apply: dot_of_transpose,
    },
    Rule {
        name: "transpose-of-dot",
        law: Law::Exact,
        doc: "A transpose that exchanges the axes of the two operands of a product, or reorders batch axes, is another product, if the first has no other user.",
        on: &["transpose"],
        apply: transpose_of_dot,
    },
    Rule {
        name: "dot-of-scaled",
        law: Law::Rounding,
        doc: "A sign, constant factor or divisor of an operand comes out of the product, if the result is not larger and the scaled operand has no other user.",
        on: &["dot"],
        apply: dot_of_scaled,
    },
    Rule {
        name: "dot-of-broadcast",
        law: Law::Exact,
        doc: "A batch axis along which one operand only repeats is one more row axis of the other, if the result keeps its order of axes: one large product for many small ones.",
        on: &["dot"],
        apply: dot_of_broadcast,
    },
    Rule {
        name: "sum-of-dot",
        law: Law::Rounding,
        doc: "A sum over batch axes of a product is a product summed over those axes too, if it has no other user.",
        on: &["reduce"],
        apply: sum_of_dot,
    },
];

fn as_dot(op: &Op) -> Option<&Dot> {
    match op {
        Op::Dot(d) => Some(d),
        _ => None,
    }
}

/// The product with its operands exchanged. Its free axes come out in the other order.
fn exchanged(dot: &Dot) -> Dot {
    Dot {
        lhs_batch: dot.rhs_batch.clone(),
        rhs_batch: dot.lhs_batch.clone(),
        lhs_contract: dot.rhs_contract.clone(),
        rhs_contract: dot.lhs_contract.clone(),
    }
}

fn dot_of_transpose(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let mut dot = as_dot(op)?.clone();
    let mut operands = [x[0], x[1]];
    let mut changed = false;
    for (side, operand) in operands.iter_mut().enumerate() {
        let Some((source, transpose)) = r.as_transpose(*operand) else {
            continue;
        };
        let permutation = &transpose.permutation;
        let free = if side == 0 { dot.lhs_free(permutation.len()) } else { dot.rhs_free(permutation.len()) };
        let free_before: Dims = free.iter().map(|&a| permutation[a]).collect();
        if free_before.windows(2).any(|w| w[0] > w[1]) {
            continue;
        }
        let (batch, contract) = if side == 0 {
            (&mut dot.lhs_batch, &mut dot.lhs_contract)
        } else {
            (&mut dot.rhs_batch, &mut dot.rhs_contract)
        };
        batch.iter_mut().chain(contract.iter_mut()).for_each(|a| *a = permutation[*a]);
        *operand = source;
        changed = true;
    }
    changed.then(|| r.dot(dot, operands[0], operands[1]))
}

fn transpose_of_dot(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Transpose(transpose) = op else { return None };
    let dot = as_dot(r.op(x[0]))?.clone();
    if !r.sole_use(x[0]) {
        return None;
    }
    let (a, b) = (r.operands(x[0])[0], r.operands(x[0])[1]);
    let rank = transpose.permutation.len();
    let batch = dot.lhs_batch.len();
    let lhs_free = r.graph().shape(a).rank() - batch - dot.lhs_contract.len();
    let (to_batch, to_free) = transpose.permutation.split_at(batch);
    if to_batch.iter().any(|&p| p >= batch) {
        return None;
    }
    let mut reordered = dot.clone();
    reordered.lhs_batch = to_batch.iter().map(|&p| dot.lhs_batch[p]).collect();
    reordered.rhs_batch = to_batch.iter().map(|&p| dot.rhs_batch[p]).collect();
    if to_free.iter().copied().eq(batch..rank) {
        return Some(r.dot(reordered, a, b));
    }
    let split = batch + lhs_free;
    let exchanges = to_free.iter().copied().eq((split..rank).chain(batch..split));
    exchanges.then(|| r.dot(exchanged(&reordered), b, a))
}

/// `a` without its sign, constant factor or divisor, and a function that puts it on again.
fn scaled(r: &Rewriter<'_>, a: NodeId) -> Option<(NodeId, Scale)> {
    if let Some(inner) = r.unary(a, Neg) {
        return Some((inner, Scale::Neg));
    }
    if let Some((p, q)) = r.binary(a, Mul) {
        let (inner, c) = r.with_splat(p, q)?;
        return Some((inner, Scale::Mul(r.splat_source(c)?)));
    }
    let (p, q) = r.binary(a, Div).filter(|&(p, _)| r.is_float(p))?;
    let c = r.splat_source(q)?;
    r.splat_source(p).is_none().then_some((p, Scale::Div(c)))
}

/// What scales an operand; the constants are scalars.
enum Scale {
    Neg,
    Mul(NodeId),
    Div(NodeId),
}

fn dot_of_scaled(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let dot = as_dot(op)?.clone();
    let result = {
        let types = [r.graph().ty(x[0]), r.graph().ty(x[1])];
        op.infer(&types).ok()?
    };
    for side in 0..2 {
        let operand = x[side];
        if !r.sole_use(operand) || result.shape.numel() > r.graph().shape(operand).numel() || x[0] == x[1] {
            continue;
        }
        let Some((inner, scale)) = scaled(r, operand) else {
            continue;
        };
        let product = if side == 0 { r.dot(dot, inner, x[1]) } else { r.dot(dot, x[0], inner) };
        return Some(match scale {
            Scale::Neg => r.neg(product),
            Scale::Mul(c) => {
                let c = r.broadcast_new(c, &result.shape);
                r.mul(product, c)
            }
            Scale::Div(c) => {
                let c = r.broadcast_new(c, &result.shape);
                r.div(product, c)
            }
        });
    }
    None
}

fn dot_of_broadcast(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let dot = as_dot(op)?;
    for side in 0..2 {
        let own_batch = if side == 0 { &dot.lhs_batch } else { &dot.rhs_batch };
        let Some((source, broadcast)) = r.as_broadcast(x[side]) else {
            continue;
        };
        // Places in the list of batch axes that only repeat here.
        let repeated: Dims = (0..own_batch.len()).filter(|&i| broadcast.axes.contains(&own_batch[i])).collect();
        if repeated.is_empty() {
            continue;
        }
        let gone: Dims = repeated.iter().map(|&i| own_batch[i]).collect();
        let mut gone_sorted = gone.clone();
        gone_sorted.sort_unstable();
        let (shape, axes) = (broadcast.shape.without(&gone_sorted), broadcast.axes.clone());
        let axes = axes.iter().filter(|a| !gone.contains(a)).map(|&a| renumber(a, &gone_sorted)).collect();
        let without = |list: &Dims| {
            let kept = (0..list.len()).filter(|i| !repeated.contains(i));
            kept.map(|i| list[i]).collect::<Dims>()
        };
        let shift = |list: Dims| list.iter().map(|&a| renumber(a, &gone_sorted)).collect::<Dims>();
        let new = if side == 0 {
            Dot {
                lhs_batch: shift(without(&dot.lhs_batch)),
                rhs_batch: without(&dot.rhs_batch),
                lhs_contract: shift(dot.lhs_contract.clone()),
                rhs_contract: dot.rhs_contract.clone(),
            }
        } else {
            Dot {
                lhs_batch: without(&dot.lhs_batch),
                rhs_batch: shift(without(&dot.rhs_batch)),
                lhs_contract: dot.lhs_contract.clone(),
                rhs_contract: shift(dot.rhs_contract.clone()),
            }
        };
        let other = x[1 - side];
        let other_rank = r.graph().shape(other).rank();
        let own_rank = r.graph().shape(x[side]).rank() - gone.len();
        // The axes of the new product, named by whose they are: what was batch axis i is now the other operand's axis.
        let other_batch = if side == 0 { &dot.rhs_batch } else { &dot.lhs_batch };
        #[derive(PartialEq, Clone, Copy)]
        enum Axis {
            Batch(usize),
            Own(usize),
            Other(usize),
        }
        let kept_batch = || (0..own_batch.len()).filter(|i| !repeated.contains(i)).map(Axis::Batch);
        let other_axis = |a: usize| match other_batch.iter().position(|&b| b == a) {
            Some(i) => Axis::Batch(i),
            None => Axis::Other(a),
        };
        let (lhs_rank, rhs_rank) = if side == 0 { (own_rank, other_rank) } else { (other_rank, own_rank) };
        let lhs: Vec<Axis> =
            new.lhs_free(lhs_rank).iter().map(|&a| if side == 0 { Axis::Own(a) } else { other_axis(a) }).collect();
        let rhs: Vec<Axis> =
            new.rhs_free(rhs_rank).iter().map(|&a| if side == 1 { Axis::Own(a) } else { other_axis(a) }).collect();
        let new_order: Vec<Axis> = kept_batch().chain(lhs.iter().copied()).chain(rhs.iter().copied()).collect();
        let is_batch = |a: &Axis| matches!(a, Axis::Batch(_));
        let old_order = (0..own_batch.len())
            .map(Axis::Batch)
            .chain(lhs.iter().copied().filter(|a| !is_batch(a)))
            .chain(rhs.iter().copied().filter(|a| !is_batch(a)));
        let permutation: Dims = old_order
            .map(|a| new_order.iter().position(|&b| a == b).expect("both orders name the same axes"))
            .collect();
        // Another order would be a copy of the result.
        if !is_identity(&permutation) {
            continue;
        }
        let own = r.broadcast(source, shape, axes);
        return Some(if side == 0 { r.dot(new, own, other) } else { r.dot(new, other, own) });
    }
    None
}

fn sum_of_dot(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Reduce(fold) = op else { return None };
    let mut dot = as_dot(r.op(x[0]))?.clone();
    let batch = dot.lhs_batch.len();
    if fold.reduction != Reduction::Sum || !r.sole_use(x[0]) || fold.axes.iter().any(|&a| a >= batch) {
        return None;
    }
    let (a, b) = (r.operands(x[0])[0], r.operands(x[0])[1]);
    for &axis in fold.axes.iter().rev() {
        dot.lhs_contract.insert(0, dot.lhs_batch.remove(axis));
        dot.rhs_contract.insert(0, dot.rhs_batch.remove(axis));
    }
    Some(r.dot(dot, a, b))
}
