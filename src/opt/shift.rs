//! Numerical stability of sums of exponentials: log-sum-exp and softmax, and their gradients, with the largest element subtracted first.
//!
//! The forms are those of Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions" (2021). They have more nodes than the
//! naive ones. A tensor that is shifted by its largest element already is left alone. That is told from the graph (the subtrahend comes from a maximum of the
//! same elements), so a shift by a bound known otherwise is not recognised, and is shifted again.
//!
//! The softmax has many faces: the quotient itself, and what differentiation makes of it and of the logarithm around it, distributed over several products
//! or not. They have in common that multiplying all exponentials of a row by one number changes nothing, so the rule looks for that: it takes the degree of a
//! formula as a homogeneous function of the exponentials, and where the degrees of two factors cancel, it puts the shifted exponentials in place of the
//! naive ones in both.

use smallvec::SmallVec;

use crate::graph::{Dims, Graph, NodeId, Operands};
use crate::prim::{Emit, Op, Reduction};
use crate::scalar::ScalarFn::{Add, Div, Eq, Exp, Log, Mul, Neg, Select, StopGradient, Sub};

use super::rewrite::{Law, Rewriter, Rule};

/// The rules that shift by a maximum. They run in one pass only, so that a maximum that later rules have disguised is not subtracted again.
pub(super) const SHIFTS: &[&str] = &["shift-logsumexp", "shift-softmax"];

/// The rules of this family.
pub const RULES: &[Rule] = &[
    Rule {
        name: "shift-logsumexp",
        law: Law::Range,
        doc: "log(sum(exp(x))) is m + log(sum(exp(x - m))) with m the largest x.",
        on: &["log"],
        apply: shift_logsumexp,
    },
    Rule {
        name: "shift-softmax",
        law: Law::Range,
        doc: "A product or quotient in which a factor common to all exp(x) of a row cancels, as in exp(x) / sum(exp(x)) and its gradients, has x - m in place of x, with m the largest x.",
        on: &["mul", "div"],
        apply: shift_softmax,
    },
    Rule {
        name: "softmax-gradient",
        law: Law::Range,
        doc: "The gradient of p = exp(x) / sum(exp(x)) as differentiation leaves it is p * (g - sum(g * p)).",
        on: &["mul"],
        apply: softmax_gradient,
    },
];

/// True if `b` comes from the largest elements of `y`: through movements, selections and stopped gradients, a few steps deep.
pub(crate) fn is_maximum_of(graph: &Graph, b: NodeId, y: NodeId) -> bool {
    let is_map = |id: NodeId, f| matches!(graph.op(id), Op::Map(m) if m.f == f);
    let elements_of = |mut id: NodeId| {
        for _ in 0..6 {
            let moves = matches!(graph.op(id), Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_));
            if !moves && !is_map(id, StopGradient) {
                break;
            }
            id = graph.operands(id)[0];
        }
        id
    };
    let mut open: SmallVec<[(NodeId, u32); 8]> = SmallVec::from_slice(&[(b, 0)]);
    while let Some((id, depth)) = open.pop() {
        if matches!(graph.op(id), Op::Reduce(r) if r.reduction == Reduction::Max)
            && elements_of(graph.operands(id)[0]) == elements_of(y)
        {
            return true;
        }
        let goes_on =
            matches!(graph.op(id), Op::Broadcast(_) | Op::Reshape(_)) || is_map(id, StopGradient) || is_map(id, Select);
        if goes_on && depth < 6 {
            open.extend(graph.operands(id).iter().map(|&o| (o, depth + 1)));
        }
    }
    false
}

/// A naive `sum(exp(x))`.
struct NaiveSum {
    x: NodeId,
    exp: NodeId,
    axes: Dims,
}

/// The parts of a naive `sum(exp(x))`. `None` if `x` is shifted by its maximum, or if the sums have no terms or one only.
fn naive_sum(r: &Rewriter<'_>, sum: NodeId) -> Option<NaiveSum> {
    let (exp, axes) = r.as_reduce(sum, Reduction::Sum)?;
    let x = r.unary(exp, Exp)?;
    if let Some((y, b)) = r.binary(x, Sub)
        && is_maximum_of(r.graph(), b, y)
    {
        return None;
    }
    let shape = r.graph().shape(x);
    let axes = axes.clone();
    let terms: usize = axes.iter().map(|&a| shape[a]).product();
    (terms > 1).then_some(NaiveSum { x, exp, axes })
}

/// The largest elements of `x`, 0 where they are infinite or NaN, and `exp(x - largest)`.
fn shifted(r: &mut Rewriter<'_>, naive: &NaiveSum) -> (NodeId, NodeId) {
    let shape = r.graph().shape(naive.x).clone();
    let largest = r.reduce(Reduction::Max, naive.x, naive.axes.clone());
    // x - x is 0 for finite numbers only.
    let difference = r.sub(largest, largest);
    let zero = r.full_like(largest, 0.0);
    let finite = r.map(Eq, &[difference, zero]);
    let largest = r.select(finite, largest, zero);
    let repeated = r.broadcast(largest, shape, naive.axes.clone());
    let difference = r.sub(naive.x, repeated);
    (largest, r.map(Exp, &[difference]))
}

fn shift_logsumexp(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let naive = naive_sum(r, x[0])?;
    let (largest, exp) = shifted(r, &naive);
    let sum = r.sum(exp, naive.axes);
    let log = r.map(Log, &[sum]);
    Some(r.add(log, largest))
}

/// A part of a formula, seen as homogeneous in the exponentials of a naive sum: if each row's exponentials are multiplied by a number, it is multiplied by
/// the `degree`-th power of that number. What is not seen through has degree 0 and is taken as it is, which is always right.
#[derive(Clone, Copy)]
enum Homogeneous {
    /// Not seen through.
    Opaque,
    /// The exponentials themselves.
    Exp,
    /// A map, a sum over the rows or a repetition along them, of parts one of which at least is seen through.
    Composite(i32),
}

impl Homogeneous {
    fn degree(self) -> i32 {
        match self {
            Homogeneous::Opaque => 0,
            Homogeneous::Exp => 1,
            Homogeneous::Composite(degree) => degree,
        }
    }
}

/// How deep formulas are looked into, and how many nodes of one at most.
const LEVELS: u32 = 8;
const VISITS: u32 = 64;

/// Looks for a naive sum in a formula.
fn find_naive_sum(r: &Rewriter<'_>, roots: &[NodeId]) -> Option<NaiveSum> {
    let mut open: SmallVec<[(NodeId, u32); 8]> = roots.iter().map(|&id| (id, 0)).collect();
    let mut visits = 0;
    while let Some((id, depth)) = open.pop() {
        visits += 1;
        if visits > VISITS {
            return None;
        }
        if let Some(naive) = naive_sum(r, id) {
            return Some(naive);
        }
        let linear = matches!(r.op(id), Op::Map(m) if matches!(m.f, Add | Sub | Mul | Div | Neg));
        let moves = matches!(r.op(id), Op::Broadcast(_)) || r.as_reduce(id, Reduction::Sum).is_some();
        if (linear || moves) && depth < LEVELS {
            open.extend(r.operands(id).iter().map(|&o| (o, depth + 1)));
        }
    }
    None
}

fn homogeneous(r: &Rewriter<'_>, id: NodeId, naive: &NaiveSum, depth: u32, visits: &mut u32) -> Homogeneous {
    use Homogeneous::{Composite, Exp, Opaque};
    if id == naive.exp {
        return Exp;
    }
    if depth == LEVELS || *visits == 0 {
        return Opaque;
    }
    *visits -= 1;
    let mut part = |id: NodeId| homogeneous(r, id, naive, depth + 1, visits);
    let rows = r.graph().shape(naive.x);
    let operand = r.operands(id).first().copied();
    let of_rows = |id: Option<NodeId>| id.is_some_and(|id| r.graph().shape(id) == rows);
    let whole = match r.op(id) {
        Op::Reduce(fold) if fold.reduction == Reduction::Sum && fold.axes == naive.axes && of_rows(operand) => {
            return match part(r.operands(id)[0]) {
                Opaque => Opaque,
                seen => Composite(seen.degree()),
            };
        }
        Op::Broadcast(b) if b.axes == naive.axes && of_rows(Some(id)) => {
            return match part(r.operands(id)[0]) {
                Opaque => Opaque,
                seen => Composite(seen.degree()),
            };
        }
        Op::Map(m) => m.f,
        _ => return Opaque,
    };
    let (a, b) = match (whole, r.operands(id)) {
        (Neg, &[a]) => (part(a), Opaque),
        (Add | Sub | Mul | Div, &[a, b]) => (part(a), part(b)),
        _ => return Opaque,
    };
    let degree = match whole {
        Mul => a.degree() + b.degree(),
        Div => a.degree() - b.degree(),
        Neg => a.degree(),
        _ if a.degree() == b.degree() => a.degree(),
        _ => return Opaque,
    };
    if matches!((a, b), (Opaque, Opaque)) { Opaque } else { Composite(degree) }
}

/// The part of a formula with the shifted exponentials in place of the naive ones.
fn substitute(r: &mut Rewriter<'_>, id: NodeId, naive: &NaiveSum, exp: NodeId, depth: u32) -> NodeId {
    match homogeneous(r, id, naive, depth, &mut { VISITS }) {
        Homogeneous::Opaque => return id,
        Homogeneous::Exp => return exp,
        Homogeneous::Composite(_) => {}
    }
    let (op, operands) = (r.op(id).clone(), Operands::from_slice(r.operands(id)));
    let parts: Operands = operands.iter().map(|&o| substitute(r, o, naive, exp, depth + 1)).collect();
    r.emit(op, &parts)
}

fn shift_softmax(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let naive = find_naive_sum(r, x)?;
    let mut visits = VISITS;
    let a = homogeneous(r, x[0], &naive, 1, &mut visits).degree();
    let b = homogeneous(r, x[1], &naive, 1, &mut visits).degree();
    let whole = if super::arith::function(op) == Some(Div) { a - b } else { a + b };
    // A formula that is too large may have been seen in part only.
    if whole != 0 || a == 0 || visits == 0 {
        return None;
    }
    let (_, exp) = shifted(r, &naive);
    let parts = [x[0], x[1]].map(|id| substitute(r, id, &naive, exp, 1));
    Some(r.emit(op.clone(), &parts))
}

/// The source of a broadcast that repeats along exactly these axes.
fn repeated_along(r: &Rewriter<'_>, id: NodeId, axes: &Dims) -> Option<NodeId> {
    r.as_broadcast(id).filter(|(_, b)| b.axes == *axes).map(|(source, _)| source)
}

/// With `e = exp(x)`, `s` the repeated sum of `e` and `p = e / s`, differentiation makes `(g / s + repeated(sum(-(g / s * p)))) * e`.
fn softmax_gradient(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    for (e, factor) in [(x[0], x[1]), (x[1], x[0])] {
        if r.unary(e, Exp).is_none() {
            continue;
        }
        let Some((a, b)) = r.binary(factor, Add) else { continue };
        for (direct, through_sum) in [(a, b), (b, a)] {
            if let Some(found) = softmax_gradient_parts(r, e, direct, through_sum) {
                let (g, p, axes) = found;
                let product = r.mul(g, p);
                let sum = r.sum(product, axes.clone());
                let shape = r.graph().shape(e).clone();
                let sum = r.broadcast(sum, shape, axes);
                let difference = r.sub(g, sum);
                return Some(r.mul(difference, p));
            }
        }
    }
    None
}

/// `g`, `p` and the axes, if `direct` is `g / s` and `through_sum` is `repeated(sum(-(g / s * p)))`.
fn softmax_gradient_parts(
    r: &Rewriter<'_>,
    e: NodeId,
    direct: NodeId,
    through_sum: NodeId,
) -> Option<(NodeId, NodeId, Dims)> {
    let (g, s) = r.binary(direct, Div)?;
    let (sum, broadcast) = r.as_broadcast(s)?;
    let axes = broadcast.axes.clone();
    let (summed, sum_axes) = r.as_reduce(sum, Reduction::Sum)?;
    if summed != e || *sum_axes != axes {
        return None;
    }
    let (inner, inner_axes) = r.as_reduce(repeated_along(r, through_sum, &axes)?, Reduction::Sum)?;
    if *inner_axes != axes {
        return None;
    }
    let (a, b) = r.unary(inner, Neg).and_then(|product| r.binary(product, Mul))?;
    let p = match (a == direct, b == direct) {
        (true, _) => b,
        (_, true) => a,
        _ => return None,
    };
    (r.binary(p, Div) == Some((e, s))).then_some((g, p, axes))
}
