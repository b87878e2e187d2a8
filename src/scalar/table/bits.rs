//! Logic of truth values and of the bits of integers.

use crate::scalar::{Lanes, Value};

macro_rules! bits {
    ($($collected:tt)*) => { table! { $($collected)*
    /// Logical and, bit by bit for integers.
    And {
        name: "and", arity: 2, signature: Logic, commutative: true, cost: Cheap, domain: (0.0, 1.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| match (a[0], a[1]) {
            (M(x), M(y)) => M(l.mand(x, y)),
            (x, y) => x.like(l.iand(x.i(), y.i())),
        },
    }
    /// Logical or, bit by bit for integers.
    Or {
        name: "or", arity: 2, signature: Logic, commutative: true, cost: Cheap, domain: (0.0, 1.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| match (a[0], a[1]) {
            (M(x), M(y)) => M(l.mor(x, y)),
            (x, y) => x.like(l.ior(x.i(), y.i())),
        },
    }
    /// Logical exclusive or, bit by bit for integers.
    Xor {
        name: "xor", arity: 2, signature: Logic, commutative: true, cost: Cheap, domain: (0.0, 1.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| match (a[0], a[1]) {
            (M(x), M(y)) => M(l.mxor(x, y)),
            (x, y) => x.like(l.ixor(x.i(), y.i())),
        },
    }
    /// Logical not, bit by bit for integers.
    Not {
        name: "not", arity: 1, signature: Logic, commutative: false, cost: Cheap, domain: (0.0, 1.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| match a[0] {
            M(x) => M(l.mnot(x)),
            x => {
                let ones = l.iconst(-1);
                x.like(l.ixor(x.i(), ones))
            }
        },
    }
    /// `a << b`: 0 where `b` is negative or not less than the width of the type.
    Shl {
        name: "shl", arity: 2, signature: Int, commutative: false, cost: Cheap, domain: (0.0, 8.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| {
            let (inside, by) = bits::distance(l, a[1]);
            let (shifted, zero) = (l.ishl_by(a[0].i(), by), l.iconst(0));
            a[0].like(l.iselect(inside, shifted, zero))
        },
    }
    /// `a >> b`, with the sign shifted in for signed types and zeros for unsigned ones: where `b` is negative or not less than the width of the type,
    /// nothing else is left.
    Shr {
        name: "shr", arity: 2, signature: Int, commutative: false, cost: Cheap, domain: (0.0, 8.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| {
            let (inside, by) = bits::distance(l, a[1]);
            match a[0] {
                U(x) => {
                    let (shifted, zero) = (l.iushr_by(x, by), l.iconst(0));
                    U(l.iselect(inside, shifted, zero))
                }
                x => {
                    let last = l.bits() - 1;
                    let (shifted, sign) = (l.isshr_by(x.i(), by), l.isshr(x.i(), last));
                    I(l.iselect(inside, shifted, sign))
                }
            }
        },
    }
    } };
}

/// Whether a lane can be shifted so far, and how far.
pub(super) fn distance<L: Lanes>(l: &mut L, by: Value<L>) -> (L::M, L::I) {
    let by = by.i();
    let width = i64::from(l.bits());
    let width = l.iconst(width);
    (l.iult(by, width), by)
}
