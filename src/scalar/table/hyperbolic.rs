//! Hyperbolic functions and their inverses.

macro_rules! hyperbolic {
    ($($collected:tt)*) => { table! { $($collected)*
    /// The hyperbolic sine.
    Sinh {
        name: "sinh", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let slope = e.map(ScalarFn::Cosh, &[x[0]]);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::sinh(l, a[0].f())),
    }
    /// The hyperbolic cosine.
    Cosh {
        name: "cosh", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let slope = e.map(ScalarFn::Sinh, &[x[0]]);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::cosh(l, a[0].f())),
    }
    /// The hyperbolic tangent.
    Tanh {
        name: "tanh", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, y, _| {
            let one = e.full_like(y, 1.0);
            let square = e.mul(y, y);
            let slope = e.sub(one, square);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::tanh(l, a[0].f())),
    }
    /// The inverse hyperbolic sine.
    Asinh {
        name: "asinh", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, _, x| {
            let one = e.full_like(x[0], 1.0);
            let slope = e.map(ScalarFn::Hypot, &[one, x[0]]);
            let d = e.div(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::asinh(l, a[0].f())),
    }
    /// The inverse hyperbolic cosine; NaN below 1. The derivative at 1 is infinite.
    Acosh {
        name: "acosh", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (1.3, 4.0),
        vjp: |e, g, _, x| {
            // Two roots, because the square may overflow.
            let one = e.full_like(x[0], 1.0);
            let (below, above) = (e.sub(x[0], one), e.add(x[0], one));
            let below = e.map(ScalarFn::Sqrt, &[below]);
            let above = e.map(ScalarFn::Sqrt, &[above]);
            let slope = e.mul(below, above);
            let d = e.div(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::acosh(l, a[0].f())),
    }
    /// The inverse hyperbolic tangent: infinite at -1 and 1, NaN beyond.
    Atanh {
        name: "atanh", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-0.8, 0.8),
        vjp: |e, g, _, x| {
            let one = e.full_like(x[0], 1.0);
            let (below, above) = (e.sub(one, x[0]), e.add(one, x[0]));
            let slope = e.mul(below, above);
            let d = e.div(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::atanh(l, a[0].f())),
    }
    } };
}
