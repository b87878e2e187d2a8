//! Trigonometric functions and their inverses. Angles are in radians.

use crate::graph::NodeId;
use crate::prim::Emit;
use crate::scalar::ScalarFn;

macro_rules! trigonometric {
    ($($collected:tt)*) => { table! { $($collected)*
    /// The sine; the angle is in radians.
    Sin {
        name: "sin", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, _, x| {
            let slope = e.map(ScalarFn::Cos, &[x[0]]);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::sin(l, a[0].f())),
    }
    /// The cosine; the angle is in radians.
    Cos {
        name: "cos", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, _, x| {
            let slope = e.map(ScalarFn::Sin, &[x[0]]);
            let d = e.mul(g, slope);
            let d = e.neg(d);
            all(&[d])
        },
        lanes: |l, a| F(math::cos(l, a[0].f())),
    }
    /// The tangent; the angle is in radians.
    Tan {
        name: "tan", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-1.2, 1.2),
        vjp: |e, g, y, _| {
            let one = e.full_like(y, 1.0);
            let square = e.mul(y, y);
            let slope = e.add(one, square);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::tan(l, a[0].f())),
    }
    /// The inverse sine, from -pi/2 to pi/2; NaN outside of [-1, 1]. The derivative at -1 and 1 is infinite.
    Asin {
        name: "asin", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-0.9, 0.9),
        vjp: |e, g, _, x| {
            let opposite = trigonometric::opposite(e, x[0]);
            let d = e.div(g, opposite);
            all(&[d])
        },
        lanes: |l, a| F(math::asin(l, a[0].f())),
    }
    /// The inverse cosine, from 0 to pi; NaN outside of [-1, 1]. The derivative at -1 and 1 is infinite.
    Acos {
        name: "acos", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-0.9, 0.9),
        vjp: |e, g, _, x| {
            let opposite = trigonometric::opposite(e, x[0]);
            let d = e.div(g, opposite);
            let d = e.neg(d);
            all(&[d])
        },
        lanes: |l, a| F(math::acos(l, a[0].f())),
    }
    /// The inverse tangent, from -pi/2 to pi/2.
    Atan {
        name: "atan", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, _, x| {
            let one = e.full_like(x[0], 1.0);
            let square = e.mul(x[0], x[0]);
            let slope = e.add(one, square);
            let d = e.div(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::atan(l, a[0].f())),
    }
    /// The angle from -pi to pi of the point with ordinate `a` and abscissa `b`, with C99's special cases. The derivatives at the origin are 0.
    Atan2 {
        name: "atan2", arity: 2, signature: Float, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, x| {
            let length = e.map(ScalarFn::Hypot, &[x[0], x[1]]);
            let zero = e.full_like(y, 0.0);
            let one = e.full_like(y, 1.0);
            let origin = e.map(ScalarFn::Eq, &[length, zero]);
            let length = e.select(origin, one, length);
            // Divided twice, because the square may overflow.
            let (a, b) = (e.div(x[1], length), e.div(x[0], length));
            let (a, b) = (e.div(a, length), e.div(b, length));
            let (a, b) = (e.mul(g, a), e.mul(g, b));
            let b = e.neg(b);
            all(&[a, b])
        },
        lanes: |l, a| F(math::atan2(l, a[0].f(), a[1].f())),
    }
    } };
}

/// `sqrt(1 - x^2)`, as `sqrt((1 - x) (1 + x))`, which keeps its digits near -1 and 1.
pub(super) fn opposite(e: &mut dyn Emit, x: NodeId) -> NodeId {
    let one = e.full_like(x, 1.0);
    let (below, above) = (e.sub(one, x), e.add(one, x));
    let square = e.mul(below, above);
    e.map(ScalarFn::Sqrt, &[square])
}
