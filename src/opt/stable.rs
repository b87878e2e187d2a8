//! Numerical stability: formulas as mathematicians write them become the forms that keep their digits and do not overflow.
//!
//! They act on forward and gradient graphs alike. A gradient is differentiated from the formula as written, so a stable forward value alone would leave,
//! say, `1/p * p` with `p` underflown to 0 in the gradient; the cancelling rules at the end of the table are for these.
//!
//! The forms are those of Higham, "Accuracy and Stability of Numerical Algorithms" (2002), chapter 1, and of Blanchard, Higham and Higham, "Accurately
//! computing the log-sum-exp and softmax functions" (2021). The shifted forms of log-sum-exp and softmax are larger than the naive ones; a tensor that is
//! shifted by its largest element already is left alone. That is told from the graph (the subtrahend comes from a maximum of the same tensor), so a shift by
//! a bound known otherwise is not recognised, and is shifted again.

use smallvec::SmallVec;

use crate::graph::{Dims, NodeId};
use crate::prim::{Emit, Op, Reduction};
use crate::scalar::ScalarFn::{
    Add, Div, Eq, Exp, Expm1, Log, Log1p, Mul, Neg, Rsqrt, Select, Sigmoid, Softplus, Sqrt, StopGradient, Sub,
};

use super::rewrite::{Law, Rewriter, Rule};

/// The rules of this family.
pub const RULES: &[Rule] = &[
    Rule {
        name: "log-of-exp",
        law: Law::Range,
        doc: "log(exp(x)) is x.",
        on: &["log"],
        apply: |r, _, x| r.unary(x[0], Exp),
    },
    Rule {
        name: "log-of-logsumexp",
        law: Law::Range,
        doc: "log(sum(exp(x))) is m + log(sum(exp(x - m))) with m the largest x.",
        on: &["log"],
        apply: log_of_sum_of_exp,
    },
    Rule {
        name: "softmax",
        law: Law::Range,
        doc: "exp(x) / sum(exp(x)) is exp(x - m) / sum(exp(x - m)) with m the largest x.",
        on: &["div"],
        apply: softmax,
    },
    Rule {
        name: "softmax-scaled",
        law: Law::Range,
        doc: "g / sum(exp(x)) * exp(x), the gradient of log-sum-exp, is g / sum(exp(x - m)) * exp(x - m) with m the largest x.",
        on: &["mul"],
        apply: softmax_scaled,
    },
    Rule {
        name: "softmax-gradient",
        law: Law::Range,
        doc: "The gradient of p = exp(x) / sum(exp(x)) as differentiation leaves it is p * (g - sum(g * p)).",
        on: &["mul"],
        apply: softmax_gradient,
    },
    Rule {
        name: "log-of-softmax",
        law: Law::Range,
        doc: "log(exp(x) / s) is x - log(s).",
        on: &["log"],
        apply: |r, _, x| {
            let (above, s) = r.binary(x[0], Div)?;
            let exponent = r.unary(above, Exp)?;
            let log = r.map(Log, &[s]);
            Some(r.sub(exponent, log))
        },
    },
    Rule {
        name: "log-of-one-plus-exp",
        law: Law::Range,
        doc: "log(1 + exp(x)) and log1p(exp(x)) are softplus(x).",
        on: &["log", "log1p"],
        apply: log_of_one_plus_exp,
    },
    Rule {
        name: "log-of-sigmoid",
        law: Law::Range,
        doc: "log(sigmoid(x)) is -softplus(-x).",
        on: &["log"],
        apply: |r, _, x| {
            let inner = r.unary(x[0], Sigmoid)?;
            let inner = r.neg(inner);
            let softplus = r.map(Softplus, &[inner]);
            Some(r.neg(softplus))
        },
    },
    Rule {
        name: "log-of-one-minus-sigmoid",
        law: Law::Range,
        doc: "log1p(-sigmoid(x)) is -softplus(x).",
        on: &["log1p"],
        apply: |r, _, x| {
            let inner = r.unary(x[0], Neg).and_then(|s| r.unary(s, Sigmoid))?;
            let softplus = r.map(Softplus, &[inner]);
            Some(r.neg(softplus))
        },
    },
    Rule {
        name: "one-minus-sigmoid",
        law: Law::Range,
        doc: "1 - sigmoid(x) is sigmoid(-x).",
        on: &["sub"],
        apply: |r, _, x| {
            let inner = r.unary(x[1], Sigmoid).filter(|_| r.is_splat(x[0], 1.0))?;
            let inner = r.neg(inner);
            Some(r.map(Sigmoid, &[inner]))
        },
    },
    Rule {
        name: "reciprocal-of-one-plus-exp",
        law: Law::Range,
        doc: "1 / (1 + exp(-x)) is sigmoid(x), and exp(x) / (1 + exp(x)) too.",
        on: &["div"],
        apply: reciprocal_of_one_plus_exp,
    },
    Rule {
        name: "log-of-one-plus",
        law: Law::Range,
        doc: "log(1 + x) is log1p(x), and log(1 - x) is log1p(-x).",
        on: &["log"],
        apply: log_of_one_plus,
    },
    Rule {
        name: "exp-minus-one",
        law: Law::Range,
        doc: "exp(x) - 1 is expm1(x), and 1 - exp(x) is -expm1(x).",
        on: &["sub", "add"],
        apply: exp_minus_one,
    },
    Rule {
        name: "division-by-sqrt",
        law: Law::Rounding,
        doc: "1 / sqrt(x) is rsqrt(x), and y / sqrt(x) is y * rsqrt(x) if the root has no other user.",
        on: &["div"],
        apply: |r, _, x| {
            let inner = r.unary(x[1], Sqrt)?;
            if r.is_splat(x[0], 1.0) {
                return Some(r.map(Rsqrt, &[inner]));
            }
            if !r.sole_use(x[1]) {
                return None;
            }
            let root = r.map(Rsqrt, &[inner]);
            Some(r.mul(x[0], root))
        },
    },
    Rule {
        name: "cancel-factors",
        law: Law::Range,
        doc: "A factor that stands above and below the bar of nested products and quotients cancels, if one operation at most, and a sign, is left to do.",
        on: &["mul", "div"],
        apply: cancel_factors,
    },
];

/// The other operand of `1 + y`.
fn one_plus(r: &Rewriter<'_>, id: NodeId) -> Option<NodeId> {
    let (a, b) = r.binary(id, Add)?;
    if r.is_splat(a, 1.0) {
        return Some(b);
    }
    r.is_splat(b, 1.0).then_some(a)
}

fn log_of_one_plus_exp(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let is_log1p = super::arith::function(op) == Some(Log1p);
    let e = if is_log1p { x[0] } else { one_plus(r, x[0])? };
    let inner = r.unary(e, Exp)?;
    Some(r.map(Softplus, &[inner]))
}

fn log_of_one_plus(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    if let Some(y) = one_plus(r, x[0]) {
        return Some(r.map(Log1p, &[y]));
    }
    let (_, y) = r.binary(x[0], Sub).filter(|&(one, _)| r.is_splat(one, 1.0))?;
    let y = r.neg(y);
    Some(r.map(Log1p, &[y]))
}

fn exp_minus_one(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let added = super::arith::function(op) == Some(Add);
    let minus_one = |r: &Rewriter<'_>, id: NodeId| r.is_splat(id, if added { -1.0 } else { 1.0 });
    if let Some(inner) = r.unary(x[0], Exp).filter(|_| minus_one(r, x[1])) {
        return Some(r.map(Expm1, &[inner]));
    }
    let inner = r.unary(x[1], Exp).filter(|_| minus_one(r, x[0]))?;
    let value = r.map(Expm1, &[inner]);
    Some(if added { value } else { r.neg(value) })
}

fn reciprocal_of_one_plus_exp(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let e = one_plus(r, x[1])?;
    let inner = r.unary(e, Exp)?;
    let argument = if x[0] == e {
        inner
    } else if r.is_splat(x[0], 1.0) {
        r.neg(inner)
    } else {
        return None;
    };
    Some(r.map(Sigmoid, &[argument]))
}

/// True if `b` comes from the largest elements of `y`: through movements, selections and stopped gradients, a few steps deep.
fn is_maximum_of(r: &Rewriter<'_>, b: NodeId, y: NodeId) -> bool {
    let through_stop = |id: NodeId| r.unary(id, StopGradient).unwrap_or(id);
    let mut open: SmallVec<[(NodeId, u32); 8]> = SmallVec::from_slice(&[(b, 0)]);
    while let Some((id, depth)) = open.pop() {
        if let Some((of, _)) = r.as_reduce(id, Reduction::Max)
            && through_stop(of) == through_stop(y)
        {
            return true;
        }
        let goes_on =
            matches!(r.op(id), Op::Broadcast(_) | Op::Reshape(_)) || r.is_map(id, StopGradient) || r.is_map(id, Select);
        if goes_on && depth < 6 {
            open.extend(r.operands(id).iter().map(|&o| (o, depth + 1)));
        }
    }
    false
}

/// The parts of a naive `sum(exp(x))`: `x`, the exponential and the axes. `None` if `x` is shifted by its maximum.
fn naive_sum_of_exp(r: &Rewriter<'_>, sum: NodeId) -> Option<(NodeId, NodeId, Dims)> {
    let (e, axes) = r.as_reduce(sum, Reduction::Sum)?;
    let x = r.unary(e, Exp)?;
    if let Some((y, b)) = r.binary(x, Sub)
        && is_maximum_of(r, b, y)
    {
        return None;
    }
    let shape = r.graph().shape(x);
    // No elements have no largest.
    axes.iter().all(|&a| shape[a] > 0).then(|| (x, e, axes.clone()))
}

/// A naive sum of exponentials made anew: the largest elements, the shifted exponentials and their sum.
struct Shifted {
    largest: NodeId,
    exp: NodeId,
    sum: NodeId,
}

fn shift(r: &mut Rewriter<'_>, x: NodeId, axes: &Dims) -> Shifted {
    let shape = r.graph().shape(x).clone();
    let largest = r.reduce(Reduction::Max, x, axes.clone());
    // Where the largest is infinite or NaN nothing is subtracted: x - x is 0 for finite numbers only.
    let difference = r.sub(largest, largest);
    let zero = r.full_like(largest, 0.0);
    let finite = r.map(Eq, &[difference, zero]);
    let largest = r.select(finite, largest, zero);
    let repeated = r.broadcast(largest, shape, axes.clone());
    let shifted = r.sub(x, repeated);
    let exp = r.map(Exp, &[shifted]);
    let sum = r.sum(exp, axes.clone());
    Shifted { largest, exp, sum }
}

fn log_of_sum_of_exp(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let (source, _, axes) = naive_sum_of_exp(r, x[0])?;
    let shifted = shift(r, source, &axes);
    let log = r.map(Log, &[shifted.sum]);
    Some(r.add(log, shifted.largest))
}

/// The source of a broadcast that repeats along exactly these axes.
fn repeated_along(r: &Rewriter<'_>, id: NodeId, axes: &Dims) -> Option<NodeId> {
    r.as_broadcast(id).filter(|(_, b)| b.axes == *axes).map(|(source, _)| source)
}

fn softmax(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let (sum, _) = r.as_broadcast(x[1])?;
    let (source, e, axes) = naive_sum_of_exp(r, sum)?;
    if e != x[0] || repeated_along(r, x[1], &axes).is_none() {
        return None;
    }
    let shifted = shift(r, source, &axes);
    let shape = r.graph().shape(x[0]).clone();
    let sum = r.broadcast(shifted.sum, shape, axes);
    Some(r.div(shifted.exp, sum))
}

fn softmax_scaled(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    for (e, factor) in [(x[0], x[1]), (x[1], x[0])] {
        if r.unary(e, Exp).is_none() {
            continue;
        }
        // The quotient may stand before the broadcast or behind it.
        let found = match (r.as_broadcast(factor), r.binary(factor, Div)) {
            (Some((quotient, _)), _) => r.binary(quotient, Div).map(|(g, sum)| (g, sum, true)),
            (_, Some((g, repeated))) => r.as_broadcast(repeated).map(|(sum, _)| (g, sum, false)),
            _ => None,
        };
        let Some((g, sum, before)) = found else { continue };
        let Some((source, exp, axes)) = naive_sum_of_exp(r, sum) else {
            continue;
        };
        let repeated = if before { factor } else { r.operands(factor)[1] };
        if exp != e || repeated_along(r, repeated, &axes).is_none() {
            continue;
        }
        let shifted = shift(r, source, &axes);
        let shape = r.graph().shape(e).clone();
        let quotient = if before {
            let quotient = r.div(g, shifted.sum);
            r.broadcast(quotient, shape, axes)
        } else {
            let sum = r.broadcast(shifted.sum, shape, axes);
            r.div(g, sum)
        };
        return Some(r.mul(quotient, shifted.exp));
    }
    None
}

/// With `e = exp(x)`, `s` the repeated sum of `e` and `p = e / s`, differentiation makes `(g / s + repeated(sum(-(g / s * p)))) * e`, in which `p` may
/// have become the shifted softmax already.
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
    is_softmax(r, p, e, s, &axes).then_some((g, p, axes))
}

/// True if `p` is `e / s`, or the form with the maximum subtracted that stands for it.
fn is_softmax(r: &Rewriter<'_>, p: NodeId, e: NodeId, s: NodeId, axes: &Dims) -> bool {
    let Some((above, below)) = r.binary(p, Div) else {
        return false;
    };
    if (above, below) == (e, s) {
        return true;
    }
    let shifted_from = || {
        let (x, m) = r.unary(above, Exp).and_then(|shifted| r.binary(shifted, Sub))?;
        let (sum, _) = r.as_broadcast(below)?;
        let (summed, sum_axes) = r.as_reduce(sum, Reduction::Sum)?;
        (summed == above && sum_axes == axes && is_maximum_of(r, m, x)).then_some(x)
    };
    shifted_from().is_some_and(|x| r.unary(e, Exp) == Some(x))
}

/// A product of factors above and below a bar, with a sign.
#[derive(Default)]
struct Fraction {
    negative: bool,
    above: SmallVec<[NodeId; 8]>,
    below: SmallVec<[NodeId; 8]>,
}

/// Factors that a fraction may have, and how deep products are looked into.
const FACTORS: usize = 8;
const NESTING: u32 = 4;

impl Fraction {
    fn multiply(&mut self, r: &Rewriter<'_>, id: NodeId, up: bool, depth: u32) {
        if depth < NESTING {
            if let Some(a) = r.unary(id, Neg) {
                self.negative ^= true;
                return self.multiply(r, a, up, depth + 1);
            }
            if let Some((a, b)) = r.binary(id, Mul) {
                self.multiply(r, a, up, depth + 1);
                return self.multiply(r, b, up, depth + 1);
            }
            if let Some((a, b)) = r.binary(id, Div) {
                self.multiply(r, a, up, depth + 1);
                return self.multiply(r, b, !up, depth + 1);
            }
        }
        let side = if up { &mut self.above } else { &mut self.below };
        side.push(id);
    }

    /// Takes out the factors that are on both sides. Returns whether there are any.
    fn cancel(&mut self) -> bool {
        let before = self.above.len();
        let mut i = 0;
        while i < self.above.len() {
            match self.below.iter().position(|b| *b == self.above[i]) {
                Some(at) => {
                    self.below.remove(at);
                    self.above.remove(i);
                }
                None => i += 1,
            }
        }
        self.above.len() < before
    }
}

fn cancel_factors(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    if !r.is_float(x[0]) {
        return None;
    }
    let divides = super::arith::function(op) == Some(Div);
    let mut fraction = Fraction::default();
    fraction.multiply(r, x[0], true, 1);
    fraction.multiply(r, x[1], !divides, 1);
    if fraction.above.len() + fraction.below.len() > 2 * FACTORS || !fraction.cancel() {
        return None;
    }
    let value = match (&fraction.above[..], &fraction.below[..]) {
        (&[a], []) => a,
        (&[a, b], []) => r.mul(a, b),
        (&[a], &[b]) => r.div(a, b),
        _ => return None,
    };
    Some(if fraction.negative { r.neg(value) } else { value })
}
