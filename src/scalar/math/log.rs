//! Logarithms.
//!
//! `x = 2^e (1 + f)` with `1 + f` in [2/3, 4/3), found by integer arithmetic on the bits of `x`; then `log x = e log 2
//! + log(1 + f)` with one polynomial on [-1/3, 1/3]. Where `e` is not zero the last addition is exact or gains digits.

use std::f64::consts::{LOG2_E, LOG10_2, LOG10_E};

use super::double::{sum, sum_ordered};
use super::exp::exp;
use super::{
    addc, coef, const_bits, eqc, fma_add, fma_by, fmax, fmin, fraction_bits, greater, horner, ln2, ltc, magic, mulc,
    pick, put,
};
use crate::scalar::lanes::Lanes;

/// The natural logarithm.
///
/// Largest error: 0.95 ulp in f32, 0.85 in f64. `log(±0) = -inf`, `log(inf) = inf`, NaN below zero.
pub fn log<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (e, f) = split(l, x, 2.0 / 3.0);
    let y = log1p_scaled(l, e, f, None);
    domain(l, x, y)
}

/// `log(1 + x)`, without cancellation near zero: `2^-e` is applied to `x` and to 1 apart, and their sum kept in two
/// words.
///
/// Largest error: 0.96 ulp in f32, 0.95 in f64. `log1p(-0) = -0`, `log1p(-1) = -inf`, `log1p(inf) = inf`, NaN below -1.
pub fn log1p<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let u = addc(l, x, 1.0);
    let bits = l.to_bits(u);
    let third = l.iconst(const_bits(l, 2.0 / 3.0));
    let i = l.isub(bits, third);
    let shift = fraction_bits(l);
    let n = l.isshr(i, shift);
    let scale = l.ishl(n, shift);
    let xbits = l.to_bits(x);
    let m = l.isub(xbits, scale);
    let m = l.from_bits(m);
    // 4 * 2^-e, because 2^-e itself may be subnormal.
    let four = l.iconst(const_bits(l, 4.0));
    let s = l.isub(four, scale);
    let s = l.from_bits(s);
    let minus_one = l.fconst(-1.0);
    let a = fma_by(l, s, 0.25, minus_one);
    // The sum is exact where |m| > |a|.
    let f = sum_ordered(l, a, m);
    // lo / (1 + f), closely enough.
    let one = l.fconst(1.0);
    let slope = l.fsub(one, f.hi);
    let lo = l.fmul(f.lo, slope);
    let back = l.fconst(magic(l));
    let e = small_to_float(l, n, back);
    let y = log1p_scaled(l, e, f.hi, Some(lo));
    let abs = l.fabs(x);
    let inf = l.fconst(f64::INFINITY);
    let zero = l.fconst(0.0);
    let below = l.flt(abs, inf);
    let above = l.flt(zero, abs);
    let inside = l.mand(below, above);
    let y = l.fselect(inside, y, x);
    let nan = ltc(l, x, -1.0);
    let y = put(l, nan, f64::NAN, y);
    let pole = eqc(l, x, -1.0);
    put(l, pole, f64::NEG_INFINITY, y)
}

/// The logarithm to base 2: `e + log(1 + f) / log 2`.
///
/// Largest error: 1.7 ulp in f32, 1.6 in f64. Exact for powers of two. `log2(±0) = -inf`, `log2(inf) = inf`, NaN below
/// zero.
pub fn log2<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (e, f) = split(l, x, 2.0 / 3.0);
    let (w, q) = square_terms(l, f);
    let w = l.fma(w, q, f);
    let y = fma_by(l, w, LOG2_E, e);
    domain(l, x, y)
}

/// The logarithm to base 10: `e log10(2) + log(1 + f) / log 10`.
///
/// Largest error: 1.9 ulp in f32, 1.3 in f64. `log10(±0) = -inf`, `log10(inf) = inf`, NaN below zero.
pub fn log10<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (e, f) = split(l, x, 2.0 / 3.0);
    let (w, q) = square_terms(l, f);
    let w = l.fmul(w, q);
    // log10(2) in two words
    let head = pick(l, f64::from(LOG10_2 as f32), LOG10_2);
    let tail = pick(l, LOG10_2 - head, -2.803_728_127_785_170_4e-18);
    let rest = mulc(l, e, tail);
    let w = fma_by(l, w, LOG10_E, rest);
    let w = fma_by(l, f, LOG10_E, w);
    let y = fma_by(l, e, head, w);
    domain(l, x, y)
}

/// `log(1 + e^x)`, as `max(x, 0) + log1p(e^-|x|)`.
///
/// Largest error: 1.7 ulp in f32, 1.6 in f64. `softplus(-inf) = 0`, `softplus(inf) = inf`.
pub fn softplus<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);
    let a = l.fneg(a);
    let e = exp(l, a);
    let t = log1p(l, e);
    let zero = l.fconst(0.0);
    let m = greater(l, zero, x);
    l.fadd(m, t)
}

/// `log(e^x + e^y)`, as the larger of the two plus `log1p(e^-|x - y|)`.
///
/// Where the two terms cancel the relative error has no bound. In units in the last place of the largest of the result
/// and the two terms, the largest error is 2.8 in f32, 1.6 in f64. `logaddexp(-inf, y) = y`; infinite where either is
/// `inf`.
pub fn logaddexp<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let m = fmax(l, x, y);
    let least = fmin(l, x, y);
    let minus = l.fneg(m);
    let d = sum(l, least, minus);
    // Equal infinities differ by nothing.
    let equal = l.feq(x, y);
    let hi = put(l, equal, 0.0, d.hi);
    let e = exp(l, hi);
    // The low word of the difference matters, and is a number, only where it is small.
    let near = l.fconst(-100.0);
    let near = l.flt(near, d.hi);
    let none = l.fconst(0.0);
    let lo = l.fselect(near, d.lo, none);
    let t = log1p(l, e);
    // Times the derivative e / (1 + e), closely enough.
    let slope = l.fconst(-0.5);
    let slope = fma_add(l, e, slope, 1.0);
    let slope = l.fmul(slope, e);
    let t = l.fma(slope, lo, t);
    l.fadd(m, t)
}

/// `(e, f)` with `x = 2^e (1 + f)` and `1 + f` in `[least, 2 least)`, for positive finite `x`.
pub(super) fn split<L: Lanes>(l: &mut L, x: L::F, least: f64) -> (L::F, L::F) {
    let tiny = ltc(l, x, pick(l, f64::from(f32::MIN_POSITIVE), f64::MIN_POSITIVE));
    let up = pick(l, 24, 54);
    let scaled = mulc(l, x, 2f64.powi(up));
    let x = l.fselect(tiny, scaled, x);
    let bits = l.to_bits(x);
    let least = l.iconst(const_bits(l, least));
    let i = l.isub(bits, least);
    let shift = fraction_bits(l);
    let n = l.isshr(i, shift);
    let scale = l.ishl(n, shift);
    let m = l.isub(bits, scale);
    let m = l.from_bits(m);
    let f = addc(l, m, -1.0);
    let c = magic(l);
    let normal = l.fconst(c);
    let back = put(l, tiny, c + f64::from(up), normal);
    (small_to_float(l, n, back), f)
}

/// The small integer `n` as a float, less what `back` exceeds [`magic`] by; cheaper than a conversion of 64-bit lanes.
fn small_to_float<L: Lanes>(l: &mut L, n: L::I, back: L::F) -> L::F {
    let base = l.iconst(const_bits(l, magic(l)));
    let n = l.iadd(n, base);
    let n = l.from_bits(n);
    l.fsub(n, back)
}

/// `(w, q)` with `log(1 + f) = f + w q`, for `f` in [-1/3, 1/3].
fn square_terms<L: Lanes>(l: &mut L, f: L::F) -> (L::F, L::F) {
    let q = horner(l, f, &coef::LOG1P);
    let q = fma_add(l, q, f, -0.5);
    (l.fmul(f, f), q)
}

/// `e log 2 + log(1 + f + lo)` for `f` in [-1/3, 1/3] and `lo` within its last place.
fn log1p_scaled<L: Lanes>(l: &mut L, e: L::F, f: L::F, lo: Option<L::F>) -> L::F {
    let (ln2, ln2_lo) = ln2(l);
    let (w, q) = square_terms(l, f);
    let tail = if l.bits() == 32 {
        // One word of log(2) is enough.
        lo
    } else {
        let ln2_lo = l.fconst(ln2_lo);
        Some(match lo {
            Some(lo) => l.fma(e, ln2_lo, lo),
            None => l.fmul(e, ln2_lo),
        })
    };
    let r = match tail {
        Some(tail) => {
            let c = l.fma(w, q, tail);
            l.fadd(f, c)
        }
        None => l.fma(w, q, f),
    };
    fma_by(l, e, ln2, r)
}

/// The special values of a logarithm that has `y` at positive finite `x`.
fn domain<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let finite = ltc(l, x, f64::INFINITY);
    let y = l.fselect(finite, y, x);
    let nan = ltc(l, x, 0.0);
    let y = put(l, nan, f64::NAN, y);
    let pole = eqc(l, x, 0.0);
    put(l, pole, f64::NEG_INFINITY, y)
}
