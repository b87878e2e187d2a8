//! Arithmetic and rounding: sums and products, quotients and remainders, signs, extremes, integers near a number.

use crate::graph::{NodeId, Operands};
use crate::prim::{Cotangents, Emit};
use crate::scalar::ScalarFn;

use super::all;

macro_rules! arithmetic {
    ($($collected:tt)*) => { table! { $($collected)*
    /// `a + b`; integers wrap.
    Add {
        name: "add", arity: 2, signature: Number, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, g, _, _| all(&[g, g]),
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(l.fadd(x, y)),
            (x, y) => x.like(l.iadd(x.i(), y.i())),
        },
    }
    /// `a - b`; integers wrap.
    Sub {
        name: "sub", arity: 2, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, _| { let n = e.neg(g); all(&[g, n]) },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(l.fsub(x, y)),
            (x, y) => x.like(l.isub(x.i(), y.i())),
        },
    }
    /// `a * b`; integers wrap.
    Mul {
        name: "mul", arity: 2, signature: Number, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| { let (a, b) = (e.mul(g, x[1]), e.mul(g, x[0])); all(&[a, b]) },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(l.fmul(x, y)),
            (x, y) => x.like(l.imul(x.i(), y.i())),
        },
    }
    /// `a / b`; for integers rounded toward zero, and 0 where `b` is 0.
    Div {
        name: "div", arity: 2, signature: Number, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, x| {
            let a = e.div(g, x[1]);
            let b = e.mul(a, y);
            let b = e.neg(b);
            all(&[a, b])
        },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(l.fdiv(x, y)),
            (U(x), U(y)) => U(l.iudiv(x, y)),
            (x, y) => I(l.idiv(x.i(), y.i())),
        },
    }
    /// The remainder of a division rounded toward zero, with the sign of `a`: `a - trunc(a / b) * b`, exactly, as C99's `fmod` has it. Integers give
    /// `a` where `b` is 0, floats NaN.
    Rem {
        name: "rem", arity: 2, signature: Number, commutative: false, cost: Dear, domain: (0.6, 0.9),
        vjp: |e, g, _, x| {
            let q = e.div(x[0], x[1]);
            let q = e.map(ScalarFn::Trunc, &[q]);
            let b = e.mul(g, q);
            let b = e.neg(b);
            all(&[g, b])
        },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(math::fmod(l, x, y)),
            (U(x), U(y)) => U(l.iurem(x, y)),
            (x, y) => I(l.irem(x.i(), y.i())),
        },
    }
    /// The remainder of a division rounded down, with the sign of `b`: `a - floor(a / b) * b`, as NumPy's `mod` has it. Integers give `a` where `b` is 0,
    /// floats NaN.
    Mod {
        name: "mod", arity: 2, signature: Number, commutative: false, cost: Dear, domain: (0.6, 0.9),
        vjp: |e, g, _, x| {
            let q = e.div(x[0], x[1]);
            let q = e.map(ScalarFn::Floor, &[q]);
            let b = e.mul(g, q);
            let b = e.neg(b);
            all(&[g, b])
        },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(math::floored_mod(l, x, y)),
            (U(x), U(y)) => U(l.iurem(x, y)),
            (x, y) => {
                let (r, y, zero) = (l.irem(x.i(), y.i()), y.i(), l.iconst(0));
                let whole = l.ieq(r, zero);
                let signs = l.ixor(r, y);
                let differ = l.ilt(signs, zero);
                let moved = l.iadd(r, y);
                let moved = l.iselect(differ, moved, r);
                I(l.iselect(whole, r, moved))
            }
        },
    }
    /// `-a`; integers wrap.
    Neg {
        name: "neg", arity: 1, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, _| { let n = e.neg(g); all(&[n]) },
        lanes: |l, a| match a[0] {
            F(x) => F(l.fneg(x)),
            x => {
                let zero = l.iconst(0);
                x.like(l.isub(zero, x.i()))
            }
        },
    }
    /// `|a|`; the derivative at 0 is 0.
    Abs {
        name: "abs", arity: 1, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let s = e.map(ScalarFn::Sign, &[x[0]]);
            let d = e.mul(g, s);
            all(&[d])
        },
        lanes: |l, a| match a[0] {
            F(x) => F(l.fabs(x)),
            U(x) => U(x),
            x => {
                let (x, zero) = (x.i(), l.iconst(0));
                let (n, m) = (l.isub(zero, x), l.ilt(x, zero));
                I(l.iselect(m, n, x))
            }
        },
    }
    /// -1, 0 or 1 as `a` is negative, zero or positive; NaN for NaN. The derivative is 0 everywhere.
    Sign {
        name: "sign", arity: 1, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| match a[0] {
            F(x) => {
                let (zero, one, minus) = (l.fconst(0.0), l.fconst(1.0), l.fconst(-1.0));
                let (above, below, same) = (l.flt(zero, x), l.flt(x, zero), l.feq(x, zero));
                let s = l.fselect(below, minus, x);
                let s = l.fselect(above, one, s);
                F(l.fselect(same, zero, s))
            }
            U(x) => {
                let (zero, one) = (l.iconst(0), l.iconst(1));
                let same = l.ieq(x, zero);
                U(l.iselect(same, zero, one))
            }
            x => {
                let (x, zero, one, minus) = (x.i(), l.iconst(0), l.iconst(1), l.iconst(-1));
                let (above, below) = (l.ilt(zero, x), l.ilt(x, zero));
                let s = l.iselect(below, minus, zero);
                I(l.iselect(above, one, s))
            }
        },
    }
    /// The magnitude of `a` with the sign of `b`, which zeros and NaN have too. The derivative by `a` is 0 where `a` is 0, the one by `b` everywhere.
    Copysign {
        name: "copysign", arity: 2, signature: Float, commutative: false, cost: Cheap, domain: (0.5, 2.0),
        vjp: |e, g, _, x| {
            let own = e.map(ScalarFn::Sign, &[x[0]]);
            let one = e.full_like(x[1], 1.0);
            let given = e.map(ScalarFn::Copysign, &[one, x[1]]);
            let slope = e.mul(own, given);
            let d = e.mul(g, slope);
            Cotangents::from_slice(&[Some(d), None])
        },
        lanes: |l, a| F(math::copysign(l, a[0].f(), a[1].f())),
    }
    /// `a / (1 + |a|)`: -1 and 1 at the infinities.
    Softsign {
        name: "softsign", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.2, 3.0),
        vjp: |e, g, _, x| {
            // 1 / (1 + |a|)^2, which the rule of quotients would find as a difference of nearly equal numbers.
            let one = e.full_like(x[0], 1.0);
            let size = e.map(ScalarFn::Abs, &[x[0]]);
            let size = e.add(one, size);
            let d = e.div(g, size);
            let d = e.div(d, size);
            all(&[d])
        },
        lanes: |l, a| F(math::softsign(l, a[0].f())),
    }
    /// The larger of `a` and `b`; NaN if either is. Where they are equal each gets half of the cotangent.
    Max {
        name: "max", arity: 2, signature: Number, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| arithmetic::extreme_vjp(e, g, x, ScalarFn::Gt),
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(math::fmax(l, x, y)),
            (x, y) => {
                let m = compare::less(l, x, y);
                x.like(l.iselect(m, y.i(), x.i()))
            }
        },
    }
    /// The smaller of `a` and `b`; NaN if either is. Where they are equal each gets half of the cotangent.
    Min {
        name: "min", arity: 2, signature: Number, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| arithmetic::extreme_vjp(e, g, x, ScalarFn::Lt),
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(math::fmin(l, x, y)),
            (x, y) => {
                let m = compare::less(l, y, x);
                x.like(l.iselect(m, y.i(), x.i()))
            }
        },
    }
    /// The largest integer not above `a`. The derivative is 0 everywhere.
    Floor {
        name: "floor", arity: 1, signature: Float, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| F(l.ffloor(a[0].f())),
    }
    /// The smallest integer not below `a`. The derivative is 0 everywhere.
    Ceil {
        name: "ceil", arity: 1, signature: Float, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| F(l.fceil(a[0].f())),
    }
    /// The nearest integer, ties to even. The derivative is 0 everywhere.
    Round {
        name: "round", arity: 1, signature: Float, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| F(l.fround(a[0].f())),
    }
    /// `a` without its fraction. The derivative is 0 everywhere.
    Trunc {
        name: "trunc", arity: 1, signature: Float, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| F(l.ftrunc(a[0].f())),
    }
    /// `a` itself, with the derivative 0: differentiation does not look behind it.
    StopGradient {
        name: "stop_gradient", arity: 1, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |_, a| a[0],
    }
    } };
}

/// The cotangent goes to the operand that wins `beats` against the other, and in halves to both where they are equal. A NaN wins, as it does in the value.
pub(super) fn extreme_vjp(e: &mut dyn Emit, g: NodeId, x: &Operands, beats: ScalarFn) -> Cotangents {
    let zero = e.full_like(g, 0.0);
    let half = e.scale(g, 0.5);
    let nan = [x[0], x[1]].map(|a| e.map(ScalarFn::IsNan, &[a]));
    let equal = e.map(ScalarFn::Eq, &[x[0], x[1]]);
    let both = e.map(ScalarFn::And, &nan);
    let same = e.map(ScalarFn::Or, &[equal, both]);
    let mut share = |a: NodeId, b: NodeId, a_is_nan: NodeId| {
        let wins = e.map(beats, &[a, b]);
        let wins = e.map(ScalarFn::Or, &[wins, a_is_nan]);
        let d = e.select(wins, g, zero);
        e.select(same, half, d)
    };
    let (a, b) = (share(x[0], x[1], nan[0]), share(x[1], x[0], nan[1]));
    all(&[a, b])
}
