//! Remainders of floats, exact.

use super::{copysign, ltc, pick, sign_bit, signed};
use crate::scalar::lanes::{Lanes, Slow2};

/// The remainder of `a / b` rounded toward zero: `a - trunc(a / b) b`, with the sign of `a`, also if it is 0.
///
/// Exact. By a fma where the quotient is small, by long division in a call where it is not. `fmod(a, ±inf) = a` for finite `a`; NaN for infinite `a` and
/// where `b` is 0.
pub fn fmod<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> L::F {
    let q = l.fdiv(a, b);
    let q = l.ftrunc(q);
    let n = l.fneg(q);
    let r = l.fma(n, b, a);
    // A quotient just below an integer is rounded to it: the remainder then has the other sign.
    let zero = l.fconst(0.0);
    let (r_bits, a_bits) = (sign_bit(l, r), sign_bit(l, a));
    let same = l.ieq(r_bits, a_bits);
    let none = l.feq(r, zero);
    let right = l.mor(same, none);
    let size = l.fabs(b);
    let step = signed(l, size, a);
    let moved = l.fadd(r, step);
    let r = l.fselect(right, r, moved);
    let r = copysign(l, r, a);
    let q = l.fabs(q);
    let most = pick(l, 4_194_304.0, 2_251_799_813_685_248.0);
    let near = ltc(l, q, most);
    let finite = ltc(l, size, f64::INFINITY);
    let fast = l.mand(near, finite);
    let rare = l.mnot(fast);
    l.rare2(rare, Slow2 { name: "fmod", f32: fmod_slow_f32, f64: fmod_slow_f64 }, a, b, r)
}

/// The remainder of `a / b` rounded down: `a - floor(a / b) b`, with the sign of `b`, also if it is 0.
///
/// [`fmod`] plus `b` where the signs differ, rounded once. NaN as there; `floored_mod(a, ±inf)` is `a`, or `±inf` where the signs differ.
pub fn floored_mod<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> L::F {
    let r = fmod(l, a, b);
    let zero = l.fconst(0.0);
    let (r_bits, b_bits) = (sign_bit(l, r), sign_bit(l, b));
    let same = l.ieq(r_bits, b_bits);
    let none = l.feq(r, zero);
    let right = l.mor(same, none);
    let moved = l.fadd(r, b);
    let r = l.fselect(right, r, moved);
    let whole = copysign(l, zero, b);
    l.fselect(none, whole, r)
}

// The remainder of floats is exact by definition, in hardware and in every library alike.
extern "C" fn fmod_slow_f32(a: f32, b: f32) -> f32 {
    a % b
}

extern "C" fn fmod_slow_f64(a: f64, b: f64) -> f64 {
    a % b
}
