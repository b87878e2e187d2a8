//! Hyperbolic functions and their inverses.

use std::f64::consts::{LN_2, LOG2_E};

use super::exp::{exp_poly, power, reduce};
use super::log::log1p;
use super::{addc, bias, coef, fma_add, fma_by, horner, lesser, ltc, magic, mulc, pick, put, signed};
use crate::scalar::lanes::Lanes;

/// The hyperbolic tangent.
///
/// `1 - 2 / (1 + e^(2|x|))` from 5/8 on, a polynomial in `x^2` below. Largest error: 1.4 ulp in f32, 1.4 in
/// f64. `tanh(-0) = -0`, `tanh(±inf) = ±1`.
pub fn tanh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);

    let s = l.fmul(a, a);
    let q = horner(l, s, &coef::TANH);
    let w = l.fmul(a, s);
    let small = l.fma(w, q, a);

    // tanh(20) rounds to 1 in both formats.
    let most = l.fconst(20.0);
    let b = lesser(l, most, a);
    let m = magic(l) + bias(l);
    let c = l.fconst(m);
    let t = fma_by(l, b, 2.0 * LOG2_E, c);
    let n = l.fsub(t, c);
    let r = fma_by(l, n, -0.5 * LN_2, b);
    let p = horner(l, r, &coef::EXP_TWICE);
    let p = fma_add(l, p, r, 1.0);
    let e = power(l, t);
    let d = fma_add(l, e, p, 1.0);
    let minus_two = l.fconst(-2.0);
    let q = l.fdiv(minus_two, d);
    let large = addc(l, q, 1.0);

    let below = ltc(l, a, 0.625);
    let y = l.fselect(below, small, large);
    signed(l, y, x)
}

/// The hyperbolic sine: a polynomial in `x^2` below 1; above, with `q = e^|x| / 4`, `2 (q - 1 / (16 q))`, which
/// overflows only with the result.
///
/// Largest error: 1.65 ulp in f32, 1.5 in f64. `sinh(-0) = -0`, `sinh(±inf) = ±inf`.
pub fn sinh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);
    let s = l.fmul(a, a);
    let p = horner(l, s, &coef::SINH);
    let w = l.fmul(a, s);
    let small = l.fma(w, p, a);
    let (q, d) = quarters(l, a);
    let y = l.fsub(q, d);
    let large = l.fadd(y, y);
    let below = ltc(l, a, 1.0);
    let y = l.fselect(below, small, large);
    signed(l, y, x)
}

/// The hyperbolic cosine: with `q = e^|x| / 4` it is `2 (q + 1 / (16 q))`, which overflows only with the result.
///
/// Largest error: 1.35 ulp in f32, 1.3 in f64. `cosh(±0) = 1`, `cosh(±inf) = inf`.
pub fn cosh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);
    let (q, d) = quarters(l, a);
    let y = l.fadd(q, d);
    l.fadd(y, y)
}

/// The inverse of [`sinh`]: `log1p(a + a^2 / (1 + sqrt(1 + a^2)))` with `a = |x|`, and `log a + log 2` for large `a`.
///
/// Largest error: 1.85 ulp in f32, 1.6 in f64. `asinh(-0) = -0`, `asinh(±inf) = ±inf`.
pub fn asinh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);
    let s = fma_add(l, a, a, 1.0);
    let s = l.fsqrt(s);
    let s = addc(l, s, 1.0);
    let aa = l.fmul(a, a);
    let s = l.fdiv(aa, s);
    let u = l.fadd(a, s);
    let less = addc(l, a, -1.0);
    let y = log1p_or_log(l, a, u, less);
    signed(l, y, x)
}

/// The inverse of [`cosh`]: `log1p(t + sqrt(2 t + t^2))` with `t = x - 1`, and `log x + log 2` for large `x`.
///
/// Largest error: 2.05 ulp in f32, 2 in f64. `acosh(1) = 0`, `acosh(inf) = inf`, NaN below 1.
pub fn acosh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let t = addc(l, x, -1.0);
    let s = l.fadd(t, t);
    let s = l.fma(t, t, s);
    let s = l.fsqrt(s);
    let u = l.fadd(t, s);
    let y = log1p_or_log(l, x, u, t);
    let outside = ltc(l, x, 1.0);
    put(l, outside, f64::NAN, y)
}

/// The inverse of [`tanh`]: `log1p(2 a + 2 a^2 / (1 - a)) / 2` with `a = |x|`.
///
/// Largest error: 1.65 ulp in f32, 1.7 in f64. `atanh(-0) = -0`, `atanh(±1) = ±inf`, NaN outside [-1, 1].
pub fn atanh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);
    let one = l.fconst(1.0);
    let d = l.fsub(one, a);
    let q = l.fdiv(a, d);
    let twice = l.fadd(a, a);
    let u = l.fma(twice, q, twice);
    let y = log1p(l, u);
    let y = mulc(l, y, 0.5);
    let outside = l.flt(one, a);
    let y = put(l, outside, f64::NAN, y);
    signed(l, y, x)
}

/// `(e^a / 4, e^-a / 4)` for `a` not negative, held to where twice their sum or difference is just infinite.
fn quarters<L: Lanes>(l: &mut L, a: L::F) -> (L::F, L::F) {
    let most = l.fconst(pick(l, 89.5, 710.6));
    let a = lesser(l, most, a);
    let offset = bias(l) - 2.0;
    let (t, _, r) = reduce(l, a, offset);
    let p = exp_poly(l, r);
    let e = power(l, t);
    let q = l.fmul(p, e);
    let c = l.fconst(0.0625);
    (q, l.fdiv(c, q))
}

/// `log1p(u)`, or for `a` so large that 1 beside `a^2` is nothing `log1p(less) + log 2` with `less = a - 1`.
fn log1p_or_log<L: Lanes>(l: &mut L, a: L::F, u: L::F, less: L::F) -> L::F {
    let large = l.fconst(pick(l, 2f64.powi(13), 2f64.powi(28)));
    let large = l.flt(large, a);
    let u = l.fselect(large, less, u);
    let zero = l.fconst(0.0);
    let c = put(l, large, LN_2, zero);
    let y = log1p(l, u);
    l.fadd(y, c)
}
