//! Comparisons, tests of special numbers, selection.

use crate::scalar::{
    Lanes,
    Value::{self, F, I, U},
};

macro_rules! compare {
    ($($collected:tt)*) => { table! { $($collected)*
    /// `a == b`; NaN equals nothing.
    Eq {
        name: "eq", arity: 2, signature: Compare, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(match (a[0], a[1]) {
            (F(x), F(y)) => l.feq(x, y),
            (M(x), M(y)) => {
                let differ = l.mxor(x, y);
                l.mnot(differ)
            }
            (x, y) => l.ieq(x.i(), y.i()),
        }),
    }
    /// `a != b`; NaN differs from everything.
    Ne {
        name: "ne", arity: 2, signature: Compare, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(match (a[0], a[1]) {
            (F(x), F(y)) => l.fne(x, y),
            (M(x), M(y)) => l.mxor(x, y),
            (x, y) => {
                let same = l.ieq(x.i(), y.i());
                l.mnot(same)
            }
        }),
    }
    /// `a < b`; false for NaN.
    Lt {
        name: "lt", arity: 2, signature: Compare, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(compare::less(l, a[0], a[1])),
    }
    /// `a <= b`; false for NaN.
    Le {
        name: "le", arity: 2, signature: Compare, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(compare::less_or_equal(l, a[0], a[1])),
    }
    /// `a > b`; false for NaN.
    Gt {
        name: "gt", arity: 2, signature: Compare, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(compare::less(l, a[1], a[0])),
    }
    /// `a >= b`; false for NaN.
    Ge {
        name: "ge", arity: 2, signature: Compare, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(compare::less_or_equal(l, a[1], a[0])),
    }
    /// Whether `a` is NaN.
    IsNan {
        name: "is_nan", arity: 1, signature: Test, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| M(l.fne(a[0].f(), a[0].f())),
    }
    /// Whether `a` is infinite.
    IsInf {
        name: "is_inf", arity: 1, signature: Test, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| {
            let (x, inf) = (l.fabs(a[0].f()), l.fconst(f64::INFINITY));
            M(l.feq(x, inf))
        },
    }
    /// Whether `a` is neither NaN nor infinite.
    IsFinite {
        name: "is_finite", arity: 1, signature: Test, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| {
            let (x, inf) = (l.fabs(a[0].f()), l.fconst(f64::INFINITY));
            M(l.flt(x, inf))
        },
    }
    /// `a` where the condition holds, else `b`. The branch not taken gets the cotangent 0, whatever it holds.
    Select {
        name: "select", arity: 3, signature: Select, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let zero = e.full_like(g, 0.0);
            let (a, b) = (e.select(x[0], g, zero), e.select(x[0], zero, g));
            Cotangents::from_slice(&[None, Some(a), Some(b)])
        },
        lanes: |l, a| {
            let c = a[0].m();
            match (a[1], a[2]) {
                (F(x), F(y)) => F(l.fselect(c, x, y)),
                (M(x), M(y)) => {
                    let n = l.mnot(c);
                    let (x, y) = (l.mand(c, x), l.mand(n, y));
                    M(l.mor(x, y))
                }
                (x, y) => x.like(l.iselect(c, x.i(), y.i())),
            }
        },
    }
    } };
}

/// `a < b` for numbers; for truth values, false before true.
pub(super) fn less<L: Lanes>(l: &mut L, a: Value<L>, b: Value<L>) -> L::M {
    match (a, b) {
        (F(x), F(y)) => l.flt(x, y),
        (I(x), I(y)) => l.ilt(x, y),
        (U(x), U(y)) => l.iult(x, y),
        (x, y) => {
            let n = l.mnot(x.m());
            l.mand(n, y.m())
        }
    }
}

/// `a <= b` for numbers; for truth values, false before true.
pub(super) fn less_or_equal<L: Lanes>(l: &mut L, a: Value<L>, b: Value<L>) -> L::M {
    match (a, b) {
        (F(x), F(y)) => l.fle(x, y),
        (I(_), I(_)) | (U(_), U(_)) => {
            let above = less(l, b, a);
            l.mnot(above)
        }
        (x, y) => {
            let n = l.mnot(x.m());
            l.mor(n, y.m())
        }
    }
}
