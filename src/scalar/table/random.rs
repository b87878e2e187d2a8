//! Random words: the generator Threefry-2x32 of [`math::threefry2x32`](crate::scalar::math::threefry2x32), of a key of two words and a counter below 2^32.

use crate::scalar::{Lanes, Value, math};

macro_rules! random {
    ($($collected:tt)*) => { table! { $($collected)*
    /// The first word that belongs to the key `a`, `b` and the counter `c`.
    ThreefryFirst {
        name: "threefry_first", arity: 3, signature: Words, commutative: false, cost: Dear, domain: (0.0, 1000.0),
        vjp: |_, _, _, _| none(3),
        lanes: |l, a| { let [first, _] = random::words(l, a); U(first) },
    }
    /// The second word that belongs to the key `a`, `b` and the counter `c`.
    ThreefrySecond {
        name: "threefry_second", arity: 3, signature: Words, commutative: false, cost: Dear, domain: (0.0, 1000.0),
        vjp: |_, _, _, _| none(3),
        lanes: |l, a| { let [_, second] = random::words(l, a); U(second) },
    }
    /// Both words that belong to the key `a`, `b` and the counter `c`, in one by exclusive or.
    ThreefryBits {
        name: "threefry_bits", arity: 3, signature: Words, commutative: false, cost: Dear, domain: (0.0, 1000.0),
        vjp: |_, _, _, _| none(3),
        lanes: |l, a| { let [first, second] = random::words(l, a); U(l.ixor(first, second)) },
    }
    } };
}

/// The words that belong to the key `a`, `b` and the counter `c`.
pub(super) fn words<L: Lanes>(l: &mut L, a: &[Value<L>]) -> [L::I; 2] {
    let zero = l.iconst(0);
    math::threefry2x32(l, [a[0].i(), a[1].i()], [zero, a[2].i()])
}
