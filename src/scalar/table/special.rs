//! The error function, the gamma function and their kin.

macro_rules! special {
    ($($collected:tt)*) => { table! { $($collected)*
    /// The error function `2/sqrt(pi)` times the integral of `e^(-t^2)` from 0 to `a`.
    Erf {
        name: "erf", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let square = e.mul(x[0], x[0]);
            let square = e.neg(square);
            let slope = e.map(ScalarFn::Exp, &[square]);
            let slope = e.scale(slope, std::f64::consts::FRAC_2_SQRT_PI);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::erf(l, a[0].f())),
    }
    /// The complementary error function `1 - erf(a)`, with relative accuracy for large `a`.
    Erfc {
        name: "erfc", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let square = e.mul(x[0], x[0]);
            let square = e.neg(square);
            let slope = e.map(ScalarFn::Exp, &[square]);
            let slope = e.scale(slope, -std::f64::consts::FRAC_2_SQRT_PI);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::erfc(l, a[0].f())),
    }
    /// The inverse of the error function: infinite at -1 and 1, NaN beyond.
    ErfInv {
        name: "erf_inv", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-0.9, 0.9),
        vjp: |e, g, y, _| {
            let square = e.mul(y, y);
            let slope = e.map(ScalarFn::Exp, &[square]);
            let slope = e.scale(slope, 1.0 / std::f64::consts::FRAC_2_SQRT_PI);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::erf_inv(l, a[0].f())),
    }
    /// The logarithm of the magnitude of the gamma function.
    Lgamma {
        name: "lgamma", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 4.0),
        vjp: |e, g, _, x| {
            let slope = e.map(ScalarFn::Digamma, &[x[0]]);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::lgamma(l, a[0].f())),
    }
    /// The derivative of the logarithm of the gamma function.
    Digamma {
        name: "digamma", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 4.0),
        vjp: |e, g, _, x| {
            let slope = e.map(ScalarFn::Trigamma, &[x[0]]);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::digamma(l, a[0].f())),
    }
    /// The derivative of [`ScalarFn::Digamma`].
    Trigamma {
        name: "trigamma", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 4.0),
        vjp: |e, g, _, x| {
            let two = e.full_like(x[0], 2.0);
            let slope = e.map(ScalarFn::Polygamma, &[two, x[0]]);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::trigamma(l, a[0].f())),
    }
    /// Derivative number `a`, rounded to an integer, of the digamma function at `b`; NaN where `a` is negative. The derivative by `a` is 0.
    Polygamma {
        name: "polygamma", arity: 2, signature: Float, commutative: false, cost: Dear, domain: (0.6, 1.4),
        vjp: |e, g, _, x| {
            let one = e.full_like(x[0], 1.0);
            let order = e.map(ScalarFn::Round, &[x[0]]);
            let order = e.add(order, one);
            let slope = e.map(ScalarFn::Polygamma, &[order, x[1]]);
            let d = e.mul(g, slope);
            Cotangents::from_slice(&[None, Some(d)])
        },
        lanes: |l, a| F(math::polygamma(l, a[0].f(), a[1].f())),
    }
    } };
}
