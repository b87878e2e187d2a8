//! Powers and roots.

use super::double::{Double, add_ordered, constant, mul, product, sum, sum_ordered};
use super::exp::two_powers;
use super::log::split;
use super::{
    addc, bias, clamp, coef, eqc, fma_add, fnma, greater, horner, lesser, ltc, magic, mulc, pick, put, sign_bit, signed,
};
use crate::scalar::lanes::Lanes;

/// The reciprocal square root `1 / sqrt(x)`, by a division.
///
/// Largest error: 1.5 ulp in f32, 1.5 in f64. `rsqrt(±0) = ±inf`, `rsqrt(inf) = 0`, NaN below zero.
pub fn rsqrt<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.fconst(1.0);
    let s = l.fsqrt(x);
    l.fdiv(one, s)
}

/// The cube root.
///
/// `r`, the reciprocal of the root of `|x|`, from a third of the bits and two steps of Householder's iteration; then
/// `|x| r^2` and a correction by its residual. Largest error: 0.85 ulp in f32, 0.8 in f64. `cbrt(-0) = -0`,
/// `cbrt(±inf) = ±inf`.
pub fn cbrt<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);
    let tiny = ltc(l, a, pick(l, f64::from(f32::MIN_POSITIVE), f64::MIN_POSITIVE));
    let up = mulc(l, a, pick(l, 2f64.powi(24), 2f64.powi(54)));
    let z = l.fselect(tiny, up, a);

    let bits = l.to_bits(z);
    let bits = l.i_to_f(bits);
    let third = mulc(l, bits, -1.0 / 3.0);
    let third = l.f_to_i(third);
    let c = l.iconst(pick(l, 0x54a2_fa8c, 0x553e_f0ff_289d_d796));
    let r = l.iadd(third, c);
    let r = l.from_bits(r);
    let h = cube_residual(l, z, r);
    let c = l.fconst(14.0 / 81.0);
    let q = fma_add(l, h, c, 2.0 / 9.0);
    let q = fma_add(l, q, h, 1.0 / 3.0);
    let q = l.fmul(q, h);
    let r = l.fma(q, r, r);
    let h = cube_residual(l, z, r);
    let c = l.fconst(14.0 / 81.0);
    let q = if l.bits() == 32 { l.fconst(2.0 / 9.0) } else { fma_add(l, h, c, 2.0 / 9.0) };
    let q = fma_add(l, q, h, 1.0 / 3.0);
    let q = l.fmul(q, h);
    let r = l.fma(q, r, r);

    let rr = l.fmul(r, r);
    let y = l.fmul(z, rr);
    let yy = l.fmul(y, y);
    let rest = fnma(l, yy, y, z);
    let slope = mulc(l, rr, 1.0 / 3.0);
    let y = l.fma(rest, slope, y);

    let down = mulc(l, y, pick(l, 2f64.powi(-8), 2f64.powi(-18)));
    let y = l.fselect(tiny, down, y);
    let y = signed(l, y, x);
    let finite = ltc(l, a, f64::INFINITY);
    let y = l.fselect(finite, y, x);
    let zero = eqc(l, x, 0.0);
    l.fselect(zero, x, y)
}

/// `sqrt(x^2 + y^2)`, with both scaled by a power of two where a square could leave the format.
///
/// Largest error: 1.05 ulp in f32, 1.05 in f64. Infinite where either is, even beside NaN.
pub fn hypot<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let ax = l.fabs(x);
    let ay = l.fabs(y);
    let a = greater(l, ax, ay);
    let b = lesser(l, ax, ay);
    let (high, low, down, up) = pick(l, (60, -50, -70, 100), (500, -400, -600, 700));
    let top = l.fconst(2f64.powi(high));
    let large = l.flt(top, a);
    let small = ltc(l, a, 2f64.powi(low));
    let one = l.fconst(1.0);
    let scale = put(l, large, 2f64.powi(down), one);
    let scale = put(l, small, 2f64.powi(up), scale);
    let back = put(l, large, 2f64.powi(-down), one);
    let back = put(l, small, 2f64.powi(-up), back);
    let sa = l.fmul(a, scale);
    let sb = l.fmul(b, scale);
    let s = l.fmul(sb, sb);
    let s = l.fma(sa, sa, s);
    let s = l.fsqrt(s);
    let z = l.fmul(s, back);
    // Comparisons lose a NaN; the sum keeps it.
    let sum = l.fadd(ax, ay);
    let nan = l.fne(sum, sum);
    let z = put(l, nan, f64::NAN, z);
    let inf = l.fconst(f64::INFINITY);
    let x_inf = l.feq(ax, inf);
    let y_inf = l.feq(ay, inf);
    let infinite = l.mor(x_inf, y_inf);
    l.fselect(infinite, inf, z)
}

/// `1 - x r^3`.
fn cube_residual<L: Lanes>(l: &mut L, x: L::F, r: L::F) -> L::F {
    let rr = l.fmul(r, r);
    let xr = l.fmul(x, r);
    let one = l.fconst(1.0);
    fnma(l, xr, rr, one)
}

/// `x` to the power `y`: `2^(y log2 |x|)` with the logarithm and the product in two words.
///
/// Largest error: 1.1 ulp in f32, 1.1 in f64. The special values are those of C99's annex F: `pow(x, 0) = pow(1, y) =
/// 1` even for NaN; a negative `x` needs an integer `y`, odd ones give the result its sign; `pow(-1, ±inf) = 1`; zeros
/// and infinities of `x` give zeros and infinities, negative for negative `x` and odd `y`.
pub fn pow<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
    let a = l.fabs(x);
    let log = log2(l, a);
    // Beyond this the result is 0, 1 or inf, and the product must not overflow.
    let most = pick(l, 2f64.powi(34), 2f64.powi(66));
    let y_held = clamp(l, y, -most, most);
    let p = product(l, log.hi, y_held);
    let lo = l.fma(log.lo, y_held, p.lo);
    let z = exp2(l, Double { hi: p.hi, lo });

    // A zero or infinite x.
    let zero = l.fconst(0.0);
    let inf = l.fconst(f64::INFINITY);
    let is_zero = l.feq(a, zero);
    let is_inf = l.feq(a, inf);
    let y_neg = l.flt(y, zero);
    let large = l.mxor(is_inf, y_neg);
    let end = l.fselect(large, inf, zero);
    let ends = l.mor(is_zero, is_inf);
    let z = l.fselect(ends, end, z);

    // A negative x.
    let whole = l.ftrunc(y);
    let integer = l.feq(whole, y);
    let half = mulc(l, y, 0.5);
    let half_whole = l.ftrunc(half);
    let uneven = l.fne(half_whole, half);
    let odd = l.mand(integer, uneven);
    let s = sign_bit(l, x);
    let plus = l.iconst(0);
    let s = l.iselect(odd, s, plus);
    let z = l.to_bits(z);
    let z = l.ior(z, s);
    let z = l.from_bits(z);
    let neg = l.flt(x, zero);
    let fraction = l.mnot(integer);
    let bad = l.mand(neg, fraction);
    let bounded = l.flt(a, inf);
    let bad = l.mand(bad, bounded);
    let z = put(l, bad, f64::NAN, z);

    let x_nan = l.fne(x, x);
    let y_nan = l.fne(y, y);
    let nan = l.mor(x_nan, y_nan);
    let z = put(l, nan, f64::NAN, z);
    let x_one = eqc(l, x, 1.0);
    let y_zero = l.feq(y, zero);
    let one = l.mor(x_one, y_zero);
    put(l, one, 1.0, z)
}

/// `log2(x)` for positive finite `x`, relative error about 2^-34 in f32 and 2^-66 in f64.
///
/// With `x = 2^e m`, `m` in [sqrt(1/2), sqrt(2)) and `s = (m - 1) / (m + 1)` it is `e + 2/log(2) atanh(s)`.
pub(super) fn log2<L: Lanes>(l: &mut L, x: L::F) -> Double<L::F> {
    let (e, f) = split(l, x, std::f64::consts::FRAC_1_SQRT_2);
    let a = atanh_ratio(l, f);
    // 2 / log(2)
    let c = constant(l, 2.885_390_081_777_926_8, 4.071_054_748_186_206_6e-17);
    let a = mul(l, a, c);
    let h = sum(l, e, a.hi);
    let lo = l.fadd(h.lo, a.lo);
    sum_ordered(l, h.hi, lo)
}

/// `atanh(f / (2 + f))`, which is `log(1 + f) / 2`.
pub(super) fn atanh_ratio<L: Lanes>(l: &mut L, f: L::F) -> Double<L::F> {
    let d = addc(l, f, 2.0);
    let dl = addc(l, d, -2.0);
    let dl = l.fsub(f, dl);
    let one = l.fconst(1.0);
    let r = l.fdiv(one, d);
    let s = l.fmul(f, r);
    let rest = fnma(l, s, d, f);
    let rest = fnma(l, s, dl, rest);
    let lo = l.fmul(rest, r);
    let s = sum_ordered(l, s, lo);
    let z = mul(l, s, s);

    let q = horner(l, z.hi, &coef::ATANH_TAIL);
    let u = l.fmul(z.hi, q);
    let third = constant(l, 1.0 / 3.0, 1.850_371_707_708_594e-17);
    let zero = l.fconst(0.0);
    let mut u = Double { hi: u, lo: zero };
    if l.bits() == 64 {
        let fifth = constant(l, 0.2, -1.110_223_024_625_156_6e-17);
        u = add_ordered(l, fifth, u);
        u = mul(l, u, z);
    }
    let u = add_ordered(l, third, u);
    let u = mul(l, u, z);
    let u = mul(l, u, s);
    add_ordered(l, s, u)
}

/// `2^(x.hi + x.lo)`.
fn exp2<L: Lanes>(l: &mut L, x: Double<L::F>) -> L::F {
    let (lo, hi) = pick(l, (-160.0, 140.0), (-1100.0, 1040.0));
    let h = clamp(l, x.hi, lo, hi);
    let kept = l.feq(h, x.hi);
    let zero = l.fconst(0.0);
    let low = l.fselect(kept, x.lo, zero);
    let m = magic(l) + 2.0 * bias(l);
    let t = addc(l, h, m);
    let n = addc(l, t, -m);
    let f = l.fsub(h, n);
    let f = sum_ordered(l, f, low);
    let q = horner(l, f.hi, &coef::EXP2);
    let c = mulc(l, f.lo, std::f64::consts::LN_2);
    let q = l.fma(q, f.hi, c);
    let p = addc(l, q, 1.0);
    let (a, b) = two_powers(l, t);
    let y = l.fmul(p, a);
    l.fmul(y, b)
}
