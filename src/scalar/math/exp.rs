//! Exponentials and the logistic function.
//!
//! `e^x = 2^n e^r` with `n = round(x / log 2)` and `r = x - n log 2` in two fma steps. The integer `n` is read from the
//! low bits of a float to which [`magic`] was added, and 2^n is made by a shift. Where the result may be subnormal or
//! the power of two may leave the format, 2^n is the product of two factors, so that exactly one multiplication rounds.

use std::f64::consts::LOG2_E;

use super::double::sum;
use super::{addc, bias, clamp, coef, fma_add, fma_by, fnma, fraction_bits, horner, ln2, ltc, magic, pick};
use crate::scalar::lanes::Lanes;

/// `e^x`.
///
/// Largest error: 0.9 ulp in f32, 0.85 in f64. `exp(-inf) = 0`, `exp(inf) = inf`.
pub fn exp<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (lo, hi) = pick(l, (-105.0, 89.0), (-746.0, 710.0));
    let vanishes = ltc(l, x, pick(l, -104.0, -745.5));
    let x = clamp(l, x, lo, hi);
    let offset = 2.0 * bias(l);
    let (t, n, r) = reduce(l, x, offset);
    let p = exp_poly(l, r);
    let p = unless(l, vanishes, p);
    l.fscale(p, n, t)
}

/// `2^x`: `n = round(x)`, then a polynomial on [-1/2, 1/2].
///
/// Largest error: 0.9 ulp in f32, 0.85 in f64. Exact for integers. `exp2(-inf) = 0`, `exp2(inf) = inf`.
pub fn exp2<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (lo, hi) = pick(l, (-151.0, 129.0), (-1076.0, 1025.0));
    let vanishes = ltc(l, x, pick(l, -150.5, -1075.5));
    let x = clamp(l, x, lo, hi);
    let m = magic(l) + 2.0 * bias(l);
    let t = addc(l, x, m);
    let n = addc(l, t, -m);
    let f = l.fsub(x, n);
    let q = horner(l, f, &coef::EXP2);
    let p = fma_add(l, q, f, 1.0);
    let p = unless(l, vanishes, p);
    l.fscale(p, n, t)
}

/// `p`, or 0 where `vanishes`: what rounds to 0 anyway is not made of subnormal numbers, which take processors many times as long. Softmax of masked scores
/// has many of these.
fn unless<L: Lanes>(l: &mut L, vanishes: L::M, p: L::F) -> L::F {
    let zero = l.fconst(0.0);
    l.fselect(vanishes, zero, p)
}

/// `e^x - 1`, without cancellation near zero: `2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2))`.
///
/// `n` changes from 0 to 1 at log(3/2), where the terms cancel least. Largest error: 1.35 ulp in f32, 1.3 in f64.
/// `expm1(-0) = -0`, `expm1(-inf) = -1`, `expm1(inf) = inf`.
pub fn expm1<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (lo, hi) = pick(l, (-18.0, 89.0), (-40.0, 710.0));
    let z = clamp(l, x, lo, hi);
    // log2(3/2) - 1/2 moves the change of n.
    let shift = l.fconst(-0.084_962_500_721_156_18);
    let t = fma_by(l, z, LOG2_E, shift);
    let m = magic(l) + bias(l) - 1.0;
    let t = addc(l, t, m);
    let n = addc(l, t, -m);
    let r = less_ln2(l, n, z);
    let q = horner(l, r, &coef::EXPM1);
    let rr = l.fmul(r, r);
    let p = l.fma(rr, q, r);
    let h = power(l, t);
    let c = addc(l, h, -0.5);
    let y = l.fma(h, p, c);
    let y = l.fadd(y, y);
    let abs = l.fabs(x);
    let small = ltc(l, abs, pick(l, 2f64.powi(-25), 2f64.powi(-54)));
    l.fselect(small, x, y)
}

/// The logistic function `1 / (1 + e^-x)`.
///
/// With `e^-x = 2^(i+j) (1 + p)` it is `2^-j / (2^-j + 2^i + 2^i p)`, in which nothing overflows and only the division
/// makes a subnormal. Largest error: 2.5 ulp in f32, for `x` in [-19, -16] where `2^i + 2^-j` rounds, 1.7 elsewhere; 0.95
/// in f64, where the sum and the quotient are corrected. `sigmoid(-inf) = 0`, `sigmoid(inf) = 1`.
pub fn sigmoid<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let x = l.fneg(x);
    let (lo, hi) = pick(l, (-40.0, 105.0), (-80.0, 746.0));
    let x = clamp(l, x, lo, hi);
    let offset = 2.0 * bias(l);
    let (t, _, r) = reduce(l, x, offset);
    let q = horner(l, r, &coef::EXP);
    let q = fma_add(l, q, r, 1.0);
    let p = l.fmul(q, r);
    let t = l.to_bits(t);
    let i = l.isshr(t, 1);
    let shift = fraction_bits(l);
    let a = l.ishl(i, shift);
    let a = l.from_bits(a);
    let j = l.isub(i, t);
    let two_bias = l.iconst(offset as i64);
    let j = l.iadd(j, two_bias);
    let u = l.ishl(j, shift);
    let u = l.from_bits(u);
    if l.bits() == 32 {
        let d = l.fadd(u, a);
        let d = l.fma(a, p, d);
        return l.fdiv(u, d);
    }
    let d = sum(l, u, a);
    let w = l.fmul(a, p);
    let e = sum(l, d.hi, w);
    let lo = l.fadd(d.lo, e.lo);
    let y = l.fdiv(u, e.hi);
    let rest = fnma(l, y, e.hi, u);
    let rest = fnma(l, y, lo, rest);
    let rest = l.fdiv(rest, e.hi);
    l.fadd(y, rest)
}

/// `t = n + magic + offset`, `n = round(x / log 2)` and `r = x - n log 2`.
pub(super) fn reduce<L: Lanes>(l: &mut L, x: L::F, offset: f64) -> (L::F, L::F, L::F) {
    let m = magic(l) + offset;
    let c = l.fconst(m);
    let t = fma_by(l, x, LOG2_E, c);
    let n = l.fsub(t, c);
    let r = less_ln2(l, n, x);
    (t, n, r)
}

/// `x - n log 2`: the first step is exact.
fn less_ln2<L: Lanes>(l: &mut L, n: L::F, x: L::F) -> L::F {
    let (hi, lo) = ln2(l);
    let r = fma_by(l, n, -hi, x);
    fma_by(l, n, -lo, r)
}

/// `e^r` for `|r| <= log(2) / 2`.
pub(super) fn exp_poly<L: Lanes>(l: &mut L, r: L::F) -> L::F {
    let q = horner(l, r, &coef::EXP);
    let q = fma_add(l, q, r, 1.0);
    fma_add(l, q, r, 1.0)
}

/// The power of two whose biased exponent stands in the low bits of `t`.
pub(super) fn power<L: Lanes>(l: &mut L, t: L::F) -> L::F {
    let t = l.to_bits(t);
    let p = l.ishl(t, fraction_bits(l));
    l.from_bits(p)
}

/// `p` times 2^n, rounded once, by two factors: `t` holds `n + 2 * bias` in its low bits.
pub(crate) fn by_two_powers<L: Lanes>(l: &mut L, p: L::F, t: L::F) -> L::F {
    let (a, b) = two_powers(l, t);
    let y = l.fmul(p, a);
    l.fmul(y, b)
}

/// Two normal powers of two with the product 2^n, for `t` whose low bits hold `n + 2 * bias`.
pub(super) fn two_powers<L: Lanes>(l: &mut L, t: L::F) -> (L::F, L::F) {
    let t = l.to_bits(t);
    let i = l.isshr(t, 1);
    let j = l.isub(t, i);
    let shift = fraction_bits(l);
    let a = l.ishl(i, shift);
    let b = l.ishl(j, shift);
    (l.from_bits(a), l.from_bits(b))
}
