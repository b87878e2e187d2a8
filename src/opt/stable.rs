//! Numerical stability: formulas as mathematicians write them become the forms that keep their digits and do not overflow.
//!
//! Methods of tensors build these forms themselves (`build/stable`); the rules serve graphs from texts, and formulas that come about by differentiation and
//! by other rules. They act on forward and gradient graphs alike. A gradient of a text is differentiated from the formula as written, so a stable forward
//! value alone would leave, say, `1/p * p` with `p` underflown to 0 in the gradient; the cancelling rules at the end of the table are for these.
//!
//! The forms are those of Higham, "Accuracy and Stability of Numerical Algorithms" (2002), chapter 1. Sums of exponentials are in [`super::shift`].

use smallvec::SmallVec;

use crate::graph::NodeId;
use crate::prim::{Emit, Op};
use crate::scalar::ScalarFn::{Add, Div, Exp, Expm1, Log, Log1p, Mul, Neg, Rsqrt, Sigmoid, Softplus, Sqrt, Sub};

use super::rewrite::{Law, Rewriter, Rule};

/// The rules of this family.
pub const RULES: &[Rule] = &[
    Rule {
        name: "log-of-exp",
        law: Law::Range,
        doc: "log(exp(x)) is x, also with a reshape between the two.",
        on: &["log"],
        apply: |r, _, x| {
            let inner = r.unary(r.as_reshape(x[0]).unwrap_or(x[0]), Exp)?;
            let shape = r.graph().shape(x[0]).clone();
            Some(r.reshape(inner, shape))
        },
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
        name: "logistic-factors",
        law: Law::Range,
        doc: "Among the factors of a product, exp(x) / (1 + exp(x)) and exp(x) * sigmoid(-x) are sigmoid(x).",
        on: &["mul"],
        apply: logistic_factors,
    },
    Rule {
        name: "cancel-factors",
        law: Law::Range,
        doc: "A positive factor, such as an exponential, that stands above and below the bar of nested products and quotients cancels, if one operation at most, and a sign, is left to do.",
        on: &["mul", "div"],
        apply: cancel_factors,
    },
    Rule {
        name: "cancel-in-sum",
        law: Law::Range,
        doc: "(a / c + b) * c is a + b * c for a positive c, such as an exponential, if the sum has no other user; likewise a difference.",
        on: &["mul"],
        apply: cancel_in_sum,
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

/// A product of factors above and below a bar, with a sign.
#[derive(Default)]
struct Fraction {
    negative: bool,
    above: SmallVec<[NodeId; 8]>,
    below: SmallVec<[NodeId; 8]>,
}

/// Factors that a fraction may have, and how deep products are looked into.
const FACTORS: usize = 8;
const NESTING: u32 = 5;

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

    /// Takes out the positive factors that are on both sides: of one that may be 0, the quotient is NaN and stays so. Returns whether there are any.
    fn cancel(&mut self, r: &Rewriter<'_>) -> bool {
        let before = self.above.len();
        let mut i = 0;
        while i < self.above.len() {
            let below = self.below.iter().position(|b| *b == self.above[i]);
            match below.filter(|_| r.is_positive(self.above[i])) {
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
    if fraction.above.len() + fraction.below.len() > 2 * FACTORS || !fraction.cancel(r) {
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

/// The place of a factor `exp(u)` and of the factor that makes it `sigmoid(u)`, which is above or below the bar.
fn find_logistic(r: &Rewriter<'_>, fraction: &Fraction) -> Option<(NodeId, usize, Partner)> {
    for (i, &e) in fraction.above.iter().enumerate() {
        let Some(u) = r.unary(e, Exp) else { continue };
        if let Some(j) = fraction.below.iter().position(|&b| one_plus(r, b) == Some(e)) {
            return Some((u, i, Partner::Below(j)));
        }
        let opposite = |v: NodeId| r.unary(v, Neg) == Some(u) || r.unary(u, Neg) == Some(v);
        let other = |&a: &NodeId| r.unary(a, Sigmoid).is_some_and(opposite);
        if let Some(j) = fraction.above.iter().position(other) {
            return Some((u, i, Partner::Above(j)));
        }
    }
    None
}

fn cancel_in_sum(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    for (sum, c) in [(x[0], x[1]), (x[1], x[0])] {
        let (f, (a, b)) = match (r.binary(sum, Add), r.binary(sum, Sub)) {
            (Some(ab), _) => (Add, ab),
            (_, Some(ab)) => (Sub, ab),
            _ => continue,
        };
        let cancels = |id: NodeId| {
            let mut fraction = Fraction::default();
            fraction.multiply(r, id, true, 1);
            fraction.below.len() == 1 && fraction.below[0] == c && fraction.above.len() == 1
        };
        if r.is_float(c) && r.sole_use(sum) && (cancels(a) || cancels(b)) && r.is_positive(c) {
            let (a, b) = (r.mul(a, c), r.mul(b, c));
            return Some(r.map(f, &[a, b]));
        }
    }
    None
}

/// Where the factor beside an exponential stands.
enum Partner {
    Above(usize),
    Below(usize),
}

fn logistic_factors(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let mut fraction = Fraction::default();
    fraction.multiply(r, x[0], true, 1);
    fraction.multiply(r, x[1], true, 1);
    if fraction.above.len() + fraction.below.len() > FACTORS {
        return None;
    }
    let (u, e, partner) = find_logistic(r, &fraction)?;
    let sigmoid = r.map(Sigmoid, &[u]);
    fraction.above[e] = sigmoid;
    match partner {
        Partner::Above(j) => fraction.above.remove(j),
        Partner::Below(j) => fraction.below.remove(j),
    };
    let product = |r: &mut Rewriter<'_>, factors: &[NodeId]| {
        let (&first, rest) = factors.split_first()?;
        Some(rest.iter().fold(first, |p, &f| r.mul(p, f)))
    };
    let above = product(r, &fraction.above)?;
    let value = match product(r, &fraction.below) {
        Some(below) => r.div(above, below),
        None => above,
    };
    Some(if fraction.negative { r.neg(value) } else { value })
}
