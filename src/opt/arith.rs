//! Arithmetic: neutral elements, signs, constant factors, powers.
//!
//! Signs move outwards, where they meet subtractions and other signs; constants move outwards and combine. A rule that needs its operand to go away asks
//! whether the operand has another user, so that nothing is computed twice.

use crate::graph::NodeId;
use crate::prim::{Emit, Op};
use crate::scalar::ScalarFn::{self, Abs, Add, Div, Mul, Neg, Rsqrt, Sqrt, Sub};

use super::rewrite::{Law, Rewriter, Rule};

/// The rules of this family.
pub const RULES: &[Rule] = &[
    Rule {
        name: "stop-gradient",
        law: Law::Exact,
        doc: "stop_gradient(x) is x: differentiation is over.",
        on: &["stop_gradient"],
        apply: |_, _, x| Some(x[0]),
    },
    Rule {
        name: "derivative-rule",
        law: Law::Exact,
        doc: "custom_vjp(x, ..) and checkpoint(x, ..) are x: differentiation is over.",
        on: &["custom_vjp", "checkpoint"],
        apply: |_, _, x| Some(x[0]),
    },
    Rule {
        name: "add-zero",
        law: Law::ZeroSign,
        doc: "x + 0 is x, but for x = -0.",
        on: &["add"],
        apply: |r, _, x| r.with_splat(x[0], x[1]).filter(|&(_, c)| r.is_zero(c)).map(|(x, _)| x),
    },
    Rule {
        name: "sub-zero",
        law: Law::Exact,
        doc: "x - 0 is x, also for x = -0.",
        on: &["sub"],
        apply: |r, _, x| r.is_splat(x[1], 0.0).then_some(x[0]),
    },
    Rule {
        name: "zero-sub",
        law: Law::ZeroSign,
        doc: "0 - x is -x, but for the sign of 0 - 0.",
        on: &["sub"],
        apply: |r, _, x| r.is_zero(x[0]).then(|| r.neg(x[1])),
    },
    Rule { name: "mul-one", law: Law::Exact, doc: "x * 1 and x / 1 are x.", on: &["mul", "div"], apply: mul_one },
    Rule {
        name: "mul-minus-one",
        law: Law::Exact,
        doc: "x * -1 and x / -1 are -x.",
        on: &["mul", "div"],
        apply: mul_minus_one,
    },
    Rule {
        name: "mul-zero",
        law: Law::Finite,
        doc: "x * 0 is 0, but for NaN and infinities.",
        on: &["mul"],
        apply: |r, _, x| r.with_splat(x[0], x[1]).filter(|&(_, c)| r.is_zero(c)).map(|(x, _)| r.full_like(x, 0.0)),
    },
    Rule {
        name: "sub-self",
        law: Law::Finite,
        doc: "x - x is 0, but for NaN and infinities.",
        on: &["sub"],
        apply: |r, _, x| (x[0] == x[1]).then(|| r.full_like(x[0], 0.0)),
    },
    Rule {
        name: "div-self",
        law: Law::Finite,
        doc: "x / x is 1 for floats, but for NaN, infinities and 0.",
        on: &["div"],
        apply: |r, _, x| (x[0] == x[1] && r.is_float(x[0])).then(|| r.full_like(x[0], 1.0)),
    },
    Rule { name: "neg-neg", law: Law::Exact, doc: "-(-x) is x.", on: &["neg"], apply: |r, _, x| r.unary(x[0], Neg) },
    Rule {
        name: "neg-of-difference",
        law: Law::ZeroSign,
        doc: "-(a - b) is b - a, but for the sign of a - a.",
        on: &["neg"],
        apply: |r, _, x| r.binary(x[0], Sub).map(|(a, b)| r.sub(b, a)),
    },
    Rule { name: "add-of-neg", law: Law::Exact, doc: "a + (-b) is a - b.", on: &["add"], apply: add_of_neg },
    Rule {
        name: "sub-of-neg",
        law: Law::Exact,
        doc: "a - (-b) is a + b.",
        on: &["sub"],
        apply: |r, _, x| r.unary(x[1], Neg).map(|b| r.add(x[0], b)),
    },
    Rule {
        name: "neg-into-constant",
        law: Law::Exact,
        doc: "-(x * c) and (-x) * c are x * (-c); likewise quotients with a constant.",
        on: &["neg", "mul", "div"],
        apply: neg_into_constant,
    },
    Rule {
        name: "neg-out-of-product",
        law: Law::Exact,
        doc: "(-a) * (-b) is a * b, and (-a) * b is -(a * b) if -a has no other user; likewise quotients.",
        on: &["mul", "div"],
        apply: neg_out_of_product,
    },
    Rule {
        name: "abs-of-sign",
        law: Law::Exact,
        doc: "|-x| and ||x|| are |x|; an unsigned number is its own magnitude.",
        on: &["abs"],
        apply: |r, _, x| match r.unary(x[0], Neg) {
            _ if r.graph().ty(x[0]).dtype.is_unsigned() => Some(x[0]),
            Some(inner) => Some(r.map(Abs, &[inner])),
            None => r.unary(x[0], Abs).map(|_| x[0]),
        },
    },
    Rule {
        name: "combine-factors",
        law: Law::Rounding,
        doc: "Constant factors and divisors of a chain combine: (x * a) * b is x * (a * b), unless the constant overflows or underflows.",
        on: &["mul", "div"],
        apply: combine_factors,
    },
    Rule {
        name: "combine-addends",
        law: Law::Rounding,
        doc: "Constant addends of a chain combine: (x + a) - b is x + (a - b).",
        on: &["add", "sub"],
        apply: combine_addends,
    },
    Rule {
        name: "div-by-power-of-two",
        law: Law::Exact,
        doc: "x / c is x * (1 / c) for a power of two whose reciprocal is a normal number.",
        on: &["div"],
        apply: |r, _, x| {
            let c = r.splat(x[1])?;
            let power_of_two = c.to_bits() << 12 == 0;
            if power_of_two { times_reciprocal(r, x) } else { None }
        },
    },
    Rule {
        name: "div-by-constant",
        law: Law::Rounding,
        doc: "x / c is x * (1 / c) if the reciprocal is a normal number.",
        on: &["div"],
        apply: |r, _, x| times_reciprocal(r, x),
    },
    Rule {
        name: "product-with-reciprocal",
        law: Law::Rounding,
        doc: "a * (1 / b) is a / b if the reciprocal has no other user.",
        on: &["mul"],
        apply: product_with_reciprocal,
    },
    Rule {
        name: "pow-zero",
        law: Law::Exact,
        doc: "x ^ 0 is 1, also for NaN, as C99 has it.",
        on: &["pow"],
        apply: |r, _, x| r.is_zero(x[1]).then(|| r.full_like(x[0], 1.0)),
    },
    Rule {
        name: "pow-of-integer",
        law: Law::Rounding,
        doc: "x ^ n is a product, for n from 1 to 4, or of floats from -3.",
        on: &["pow"],
        apply: pow_of_integer,
    },
    Rule {
        name: "pow-of-half",
        law: Law::Finite,
        doc: "x ^ 0.5 is sqrt(x) and x ^ -0.5 is rsqrt(x), but for -0 and -inf.",
        on: &["pow"],
        apply: |r, _, x| match r.splat(x[1])? {
            0.5 => Some(r.map(Sqrt, &x[..1])),
            -0.5 => Some(r.map(Rsqrt, &x[..1])),
            _ => None,
        },
    },
];

/// The function of a map node.
pub(super) fn function(op: &Op) -> Option<ScalarFn> {
    match op {
        Op::Map(m) => Some(m.f),
        _ => None,
    }
}

/// The operand besides a splat of `value`, in a product on either side, in a quotient below.
fn beside_factor(r: &Rewriter<'_>, op: &Op, x: &[NodeId], value: f64) -> Option<NodeId> {
    if r.is_splat(x[1], value) {
        return Some(x[0]);
    }
    (function(op) == Some(Mul) && r.is_splat(x[0], value)).then_some(x[1])
}

fn mul_one(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    beside_factor(r, op, x, 1.0)
}

fn mul_minus_one(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    beside_factor(r, op, x, -1.0).map(|x| r.neg(x))
}

fn add_of_neg(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    if let Some(b) = r.unary(x[1], Neg) {
        return Some(r.sub(x[0], b));
    }
    r.unary(x[0], Neg).map(|a| r.sub(x[1], a))
}

fn neg_into_constant(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    // The factors or the quotient that the sign is to go into, and the operands with the sign taken off.
    let (f, a, b) = match function(op)? {
        Neg => match (r.binary(x[0], Mul), r.binary(x[0], Div)) {
            (Some((a, b)), _) => (Mul, a, b),
            (_, Some((a, b))) => (Div, a, b),
            _ => return None,
        },
        f => match (r.unary(x[0], Neg), r.unary(x[1], Neg)) {
            (Some(a), None) => (f, a, x[1]),
            (None, Some(b)) => (f, x[0], b),
            _ => return None,
        },
    };
    // Truncating division of integers is symmetric but for the smallest integer.
    if f == Div && !r.is_float(a) {
        return None;
    }
    let negated = |r: &mut Rewriter<'_>, c: NodeId| {
        let shape = r.graph().shape(c).clone();
        r.fold_splats(Neg, &[c], &shape)
    };
    match (r.splat(a), r.splat(b)) {
        (None, Some(_)) => {
            let c = negated(r, b);
            Some(r.map(f, &[a, c]))
        }
        (Some(_), None) => {
            let c = negated(r, a);
            Some(r.map(f, &[c, b]))
        }
        _ => None,
    }
}

fn neg_out_of_product(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let f = function(op)?;
    if f == Div && !r.is_float(x[0]) {
        return None;
    }
    match (r.unary(x[0], Neg), r.unary(x[1], Neg)) {
        (Some(a), Some(b)) => Some(r.map(f, &[a, b])),
        (Some(a), None) if r.sole_use(x[0]) => {
            let product = r.map(f, &[a, x[1]]);
            Some(r.neg(product))
        }
        (None, Some(b)) if r.sole_use(x[1]) => {
            let product = r.map(f, &[x[0], b]);
            Some(r.neg(product))
        }
        _ => None,
    }
}

/// True for constants that a factor can be without more loss than a rounding: neither zero nor infinite nor subnormal. Integers always can.
fn good_factor(value: &crate::array::Array) -> bool {
    match value.dtype() {
        crate::graph::DType::F32 => (value.get_f64(0) as f32).is_normal(),
        crate::graph::DType::F64 => value.get_f64(0).is_normal(),
        _ => true,
    }
}

fn times_reciprocal(r: &mut Rewriter<'_>, x: &[NodeId]) -> Option<NodeId> {
    if !r.is_float(x[0]) || r.splat_source(x[0]).is_some() {
        return None;
    }
    let source = r.splat_source(x[1])?;
    let one = r.full_like(source, 1.0);
    let reciprocal = r.eval_splats(Div, &[one, source]);
    if !good_factor(&reciprocal) {
        return None;
    }
    let scalar = r.constant(reciprocal);
    let shape = r.graph().shape(x[1]).clone();
    let c = r.broadcast_new(scalar, &shape);
    Some(r.mul(x[0], c))
}

fn combine_factors(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let outer = function(op)?;
    let float = r.is_float(x[0]);
    // The chain is outer(inner, c) or, for a quotient, outer(c, inner).
    let (inner, c, c_below) = match (r.splat(x[0]), r.splat(x[1])) {
        (None, Some(_)) => (x[0], x[1], true),
        (Some(_), None) => (x[1], x[0], false),
        _ => return None,
    };
    let (inner_fn, (a, b)) = match (r.binary(inner, Mul), r.binary(inner, Div)) {
        (Some(ab), _) => (Mul, ab),
        (_, Some(ab)) => (Div, ab),
        _ => return None,
    };
    if !float && (outer == Div || inner_fn == Div) {
        return None;
    }
    let (y, d, d_below) = match (r.splat(a), r.splat(b)) {
        (None, Some(_)) => (a, b, true),
        (Some(_), None) => (b, a, false),
        _ => return None,
    };
    // Everything as y^(+-1) times a constant: which constants stand above the bar, which way y goes.
    let (inner_up, d_up) = match (inner_fn, d_below) {
        (Mul, _) => (true, true),
        (_, true) => (true, false),
        (_, false) => (false, true),
    };
    let (y_up, constant) = match (outer, c_below) {
        (Mul, _) => (inner_up, if d_up { (Mul, c, d) } else { (Div, c, d) }),
        // (y d) / c
        (_, true) => (inner_up, if d_up { (Div, d, c) } else { (Mul, c, d) }),
        // c / (y d)
        (_, false) => (!inner_up, if d_up { (Div, c, d) } else { (Mul, c, d) }),
    };
    let value = r.eval_splats(constant.0, &[constant.1, constant.2]);
    if !good_factor(&value) {
        return None;
    }
    // y / (c d) rather than y * (1 / (c d)): the reciprocal is for its own rule to take.
    let divides = outer == Div && c_below && !d_up;
    let scalar = r.constant(value);
    let shape = r.graph().shape(x[0]).clone();
    let k = r.broadcast_new(scalar, &shape);
    Some(match (y_up, divides) {
        (true, false) => r.mul(y, k),
        (true, true) => r.div(y, k),
        (false, _) => r.div(k, y),
    })
}

fn combine_addends(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let outer = function(op)?;
    let (inner, c, inner_first) = match (r.splat(x[0]), r.splat(x[1])) {
        (None, Some(_)) => (x[0], x[1], true),
        (Some(_), None) => (x[1], x[0], false),
        _ => return None,
    };
    let (inner_fn, (a, b)) = match (r.binary(inner, Add), r.binary(inner, Sub)) {
        (Some(ab), _) => (Add, ab),
        (_, Some(ab)) => (Sub, ab),
        _ => return None,
    };
    let (y, d, y_first) = match (r.splat(a), r.splat(b)) {
        (None, Some(_)) => (a, b, true),
        (Some(_), None) => (b, a, false),
        _ => return None,
    };
    // The signs of y, d and c in the whole.
    let inner_sign = outer == Add || inner_first;
    let y_sign = inner_sign == (inner_fn == Add || y_first);
    let d_sign = inner_sign == (inner_fn == Add || !y_first);
    let c_sign = outer == Add || !inner_first;
    let shape = r.graph().shape(x[0]).clone();
    let constant = |r: &mut Rewriter<'_>, d_sign: bool, c_sign: bool| match (d_sign, c_sign) {
        (true, true) => r.fold_splats(Add, &[d, c], &shape),
        (true, false) => r.fold_splats(Sub, &[d, c], &shape),
        (false, true) => r.fold_splats(Sub, &[c, d], &shape),
        (false, false) => {
            let sum = r.fold_splats(Add, &[d, c], &shape);
            r.fold_splats(Neg, &[sum], &shape)
        }
    };
    // y - k rather than y + -k where both constants are taken away.
    Some(match (y_sign, d_sign || c_sign) {
        (true, true) => {
            let k = constant(r, d_sign, c_sign);
            r.add(y, k)
        }
        (true, false) => {
            let k = constant(r, true, true);
            r.sub(y, k)
        }
        (false, _) => {
            let k = constant(r, d_sign, c_sign);
            r.sub(k, y)
        }
    })
}

fn product_with_reciprocal(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let quotient = |r: &mut Rewriter<'_>, a: NodeId, b: NodeId| {
        let (one, below) = r.binary(b, Div)?;
        let fits = r.is_splat(one, 1.0) && r.is_float(b) && r.sole_use(b) && a != b;
        fits.then(|| r.div(a, below))
    };
    quotient(r, x[0], x[1]).or_else(|| quotient(r, x[1], x[0]))
}

fn pow_of_integer(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let n = r.splat(x[1])?;
    let least = if r.is_float(x[0]) { -3.0 } else { 1.0 };
    if n.fract() != 0.0 || !(least..=4.0).contains(&n) || n == 0.0 {
        return None;
    }
    let square = |r: &mut Rewriter<'_>| r.mul(x[0], x[0]);
    let power = match n.abs() as u32 {
        1 => x[0],
        2 => square(r),
        3 => {
            let s = square(r);
            r.mul(s, x[0])
        }
        _ => {
            let s = square(r);
            r.mul(s, s)
        }
    };
    if n > 0.0 {
        return Some(power);
    }
    let one = r.full_like(x[0], 1.0);
    Some(r.div(one, power))
}
