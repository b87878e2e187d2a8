//! Powers and roots.

use crate::scalar::{
    Lanes,
    Value::{self, U},
};

macro_rules! power {
    ($($collected:tt)*) => { table! { $($collected)*
    /// `a` to the power `b`, for floats with the special cases of C99's annex F. Integers wrap; a negative power is `1 / a^-b` rounded toward zero: 0 but
    /// for `a` of 1 and -1, also where `a` is 0. The derivative by `b` is 0 where `a` is 0 and `b` is positive; where `a` is negative it is
    /// NaN, and it costs nothing if `b` does not depend on a parameter.
    Pow {
        name: "pow", arity: 2, signature: Number, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, x| {
            let one = e.full_like(x[1], 1.0);
            let zero = e.full_like(x[1], 0.0);
            // b * a^(b - 1), and 0 rather than 0 * inf where b is 0. The exponent is made harmless there too, for the sake of the second derivative.
            let flat = e.map(ScalarFn::Eq, &[x[1], zero]);
            let less = e.sub(x[1], one);
            let less = e.select(flat, one, less);
            let p = e.map(ScalarFn::Pow, &[x[0], less]);
            let slope = e.mul(x[1], p);
            let slope = e.select(flat, zero, slope);
            let da = e.mul(g, slope);
            // y * ln a, and 0 rather than 0 * -inf where a is 0.
            let at_zero = e.map(ScalarFn::Eq, &[x[0], zero]);
            let safe = e.select(at_zero, one, x[0]);
            let ln = e.map(ScalarFn::Log, &[safe]);
            let db = e.mul(y, ln);
            let db = e.mul(g, db);
            all(&[da, db])
        },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(math::pow(l, x, y)),
            (x, y) => power::integer_power(l, x, y),
        },
    }
    /// The square root; NaN below 0.
    Sqrt {
        name: "sqrt", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, _| {
            let half = e.scale(g, 0.5);
            let d = e.div(half, y);
            all(&[d])
        },
        lanes: |l, a| F(l.fsqrt(a[0].f())),
    }
    /// `1 / sqrt(a)`.
    Rsqrt {
        name: "rsqrt", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, x| {
            let slope = e.div(y, x[0]);
            let slope = e.scale(slope, -0.5);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::rsqrt(l, a[0].f())),
    }
    /// The cube root, of negative numbers too. The derivative at 0 is infinite.
    Cbrt {
        name: "cbrt", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, _| {
            let square = e.mul(y, y);
            let square = e.scale(square, 3.0);
            let d = e.div(g, square);
            all(&[d])
        },
        lanes: |l, a| F(math::cbrt(l, a[0].f())),
    }
    /// `sqrt(a^2 + b^2)`, without overflow. The derivatives where both are 0 are 0.
    Hypot {
        name: "hypot", arity: 2, signature: Float, commutative: true, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, x| {
            let zero = e.full_like(y, 0.0);
            let one = e.full_like(y, 1.0);
            let origin = e.map(ScalarFn::Eq, &[y, zero]);
            let length = e.select(origin, one, y);
            let (a, b) = (e.div(x[0], length), e.div(x[1], length));
            let (a, b) = (e.mul(g, a), e.mul(g, b));
            all(&[a, b])
        },
        lanes: |l, a| F(math::hypot(l, a[0].f(), a[1].f())),
    }
    } };
}

/// `a` to the power `b` for integers, by squaring.
pub(super) fn integer_power<L: Lanes>(l: &mut L, a: Value<L>, b: Value<L>) -> Value<L> {
    let (zero, one) = (l.iconst(0), l.iconst(1));
    let (mut power, mut square) = (one, a.i());
    for bit in 0..l.bits() {
        let digit = l.iushr(b.i(), bit);
        let digit = l.iand(digit, one);
        let clear = l.ieq(digit, zero);
        let product = l.imul(power, square);
        power = l.iselect(clear, power, product);
        square = l.imul(square, square);
    }
    if let U(_) = a {
        return U(power);
    }
    // A unit is its own reciprocal, and two's complement has the parity of a negative power in the last bit.
    let reach = l.iadd(a.i(), one);
    let two = l.iconst(2);
    let not_unit = l.iult(two, reach);
    let negative = l.ilt(b.i(), zero);
    let vanishes = l.mand(negative, not_unit);
    a.like(l.iselect(vanishes, zero, power))
}
