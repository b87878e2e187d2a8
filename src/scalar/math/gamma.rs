//! The logarithm of the gamma function and its derivative.
//!
//! Right of zero both have a polynomial around 2 and an asymptotic series with fitted coefficients from 3 on; a small
//! argument is moved to the right by one. Left of zero the reflection formulas run in a call.

use super::double::{constant, mul, product, sum_ordered};
use super::log::log;
use super::pow::log2;
use super::trig::{sin, tan};
use super::{addc, coef, eqc, horner, ltc, pick, put};
use crate::scalar::lanes::{Lanes, Plain, Slow};

/// The logarithm of the absolute value of the gamma function.
///
/// `(x - 1) (x - 2) P(x)` on [0.85, 3]; Stirling's series above; `lgamma(x + 1) - log x` below. Left of zero the
/// reflection `log(pi / |x sin(pi x)|) - lgamma(-x)`, whose terms cancel near the zeros. Largest error: 1.95 ulp in
/// f32, 2.6 in f64, left of zero in units in the last place of the largest of the result, `lgamma(-x)` and 1. `inf` at
/// zero, at negative integers and at both infinities.
pub fn lgamma<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    // log x in two words
    let e = log2(l, x);
    let ln2 = constant(l, std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);
    let log = mul(l, e, ln2);

    // Around 2.
    let low = ltc(l, x, 0.85);
    let minus_two = l.fconst(-2.0);
    let centre = l.fconst(-1.921_875);
    let centre = put(l, low, -0.921_875, centre);
    let u = l.fadd(x, centre);
    let p = horner(l, u, &coef::LGAMMA);
    let first = l.fconst(-1.0);
    let second = put(l, low, -1.0, minus_two);
    let first = put(l, low, 0.0, first);
    let a = l.fadd(x, first);
    let b = sum_ordered(l, second, x);
    let ab = product(l, a, b.hi);
    let ab_lo = l.fma(a, b.lo, ab.lo);
    let minus = l.fneg(log.hi);
    let zero = l.fconst(0.0);
    let rest = l.fselect(low, minus, zero);
    let minus = l.fneg(log.lo);
    let rest_lo = l.fselect(low, minus, zero);
    let near = l.fma(ab_lo, p, rest_lo);
    let near = l.fma(ab.hi, p, near);
    let near = l.fadd(near, rest);

    // Stirling: (x - 1/2) (log x - 1) + log(2 pi)/2 - 1/2 + P(w)/x
    let one = l.fconst(1.0);
    let r = l.fdiv(one, x);
    let w = l.fmul(r, r);
    let p = horner(l, w, &coef::STIRLING);
    let s = addc(l, x, -0.5);
    let tail = l.fmul(p, r);
    let tail = l.fma(s, log.lo, tail);
    let tail = addc(l, tail, 0.418_938_533_204_672_7);
    let t = addc(l, log.hi, -1.0);
    let far = l.fma(s, t, tail);

    let large = l.fconst(3.0);
    let large = l.flt(large, x);
    let y = l.fselect(large, far, near);
    let inf = eqc(l, x, f64::INFINITY);
    let y = put(l, inf, f64::INFINITY, y);
    let pole = l.feq(x, zero);
    let y = put(l, pole, f64::INFINITY, y);
    let nan = l.fne(x, x);
    let y = l.fselect(nan, x, y);
    let negative = l.flt(x, zero);
    l.rare(negative, Slow { name: "lgamma", f32: lgamma_slow_f32, f64: lgamma_slow_f64 }, x, y)
}

/// The derivative of [`lgamma`].
///
/// `(x - x0) P(x)` with the zero `x0` on [1, 3]; the asymptotic series above; `digamma(x + 1) - 1/x` below. Left of
/// zero the reflection `digamma(1 - x) - pi / tan(pi x)`. Largest error: 2.2 ulp in f32, 4 in f64, left of zero in
/// units in the last place of the largest of the result, `digamma(-x)` and 1. `digamma(0) = -inf`, `digamma(-0) = inf`,
/// NaN at negative integers and at `-inf`, `digamma(inf) = inf`.
pub fn digamma<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.fconst(1.0);
    let r = l.fdiv(one, x);

    // Around 2.
    let low = l.flt(x, one);
    let centre = l.fconst(-2.0);
    let centre = put(l, low, -1.0, centre);
    let u = l.fadd(x, centre);
    let p = horner(l, u, &coef::DIGAMMA);
    let (hi, lo) = pick(
        l,
        (1.461_632_132_530_212_4, 1.243_815_006_546_356e-8),
        (1.461_632_144_968_362_2, 9.549_995_429_965_697e-17),
    );
    let root = l.fconst(-hi);
    let root = put(l, low, 1.0 - hi, root);
    let v = l.fadd(x, root);
    let v = addc(l, v, -lo);
    let zero = l.fconst(0.0);
    let minus = l.fneg(r);
    let rest = l.fselect(low, minus, zero);
    let near = l.fma(v, p, rest);

    // log x - 1/(2 x) - w P(w)
    let w = l.fmul(r, r);
    let p = horner(l, w, &coef::DIGAMMA_FAR);
    let p = l.fmul(p, w);
    let half = l.fconst(0.5);
    let p = l.fma(r, half, p);
    let log = log(l, x);
    let far = l.fsub(log, p);

    let large = l.fconst(3.0);
    let large = l.flt(large, x);
    let y = l.fselect(large, far, near);
    let negative = l.flt(x, zero);
    l.rare(negative, Slow { name: "digamma", f32: digamma_slow_f32, f64: digamma_slow_f64 }, x, y)
}

extern "C" fn lgamma_slow_f32(x: f32) -> f32 {
    lgamma_slow_f64(x.into()) as f32
}

/// For negative `x`: `log(pi / |x sin(pi x)|) - lgamma(-x)`.
extern "C" fn lgamma_slow_f64(x: f64) -> f64 {
    let part = fraction(x);
    if part == 0.0 {
        return f64::INFINITY;
    }
    let l = &mut Plain::<f64>::default();
    let s = sin(l, std::f64::consts::PI * part);
    let mirrored = lgamma(l, -x);
    // Two logarithms, for x sin(pi x) may be subnormal.
    let near = log(l, (s / std::f64::consts::PI).abs());
    let far = log(l, -x);
    -(near + far) - mirrored
}

extern "C" fn digamma_slow_f32(x: f32) -> f32 {
    digamma_slow_f64(x.into()) as f32
}

/// For negative `x`: `digamma(1 - x) - pi / tan(pi x)`.
extern "C" fn digamma_slow_f64(x: f64) -> f64 {
    let part = fraction(x);
    if part == 0.0 {
        return f64::NAN;
    }
    let l = &mut Plain::<f64>::default();
    let t = tan(l, std::f64::consts::PI * part);
    digamma(l, 1.0 - x) - std::f64::consts::PI / t
}

/// `x` less the nearest integer, which is exact; 0 for infinities.
pub(super) fn fraction(x: f64) -> f64 {
    if x.is_infinite() { 0.0 } else { x - x.round_ties_even() }
}
