//! Inverse trigonometric functions.

use super::trig::half_pi;
use super::{addc, coef, eqc, fnma, greater, horner, lesser, ltc, put, signed};
use crate::scalar::lanes::Lanes;

/// The inverse of the sine, in [-pi/2, pi/2].
///
/// A polynomial up to 1/2; above, `pi/2 - 2 asin(sqrt((1 - |x|) / 2))`. Largest error: 2 ulp in f32, 1.8 in f64.
/// `asin(-0) = -0`, NaN outside [-1, 1].
pub fn asin<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (small, r, t) = asin_parts(l, x);
    let p = l.fadd(r, t);
    let (hi, lo, _) = half_pi(l);
    let hi = l.fconst(hi);
    let far = l.fadd(r, r);
    let far = l.fsub(hi, far);
    let t = l.fadd(t, t);
    let t = addc(l, t, -lo);
    let far = l.fsub(far, t);
    let y = l.fselect(small, p, far);
    signed(l, y, x)
}

/// The inverse of the cosine, in [0, pi].
///
/// `pi/2 - asin x` up to 1/2; above, `2 asin(sqrt((1 - |x|) / 2))` or its difference from pi. Largest error: 1.2 ulp in
/// f32, 1.2 in f64. `acos(1) = 0`, NaN outside [-1, 1].
pub fn acos<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (small, r, t) = asin_parts(l, x);
    let p = l.fadd(r, t);
    let (hi, lo, _) = half_pi(l);
    let near = signed(l, p, x);
    let near = addc(l, near, -lo);
    let half = l.fconst(hi);
    let near = l.fsub(half, near);
    let plus = l.fadd(p, p);
    let minus = addc(l, plus, -2.0 * lo);
    let pi = l.fconst(2.0 * hi);
    let minus = l.fsub(pi, minus);
    let negative = ltc(l, x, 0.0);
    let far = l.fselect(negative, minus, plus);
    l.fselect(small, near, far)
}

/// The inverse of the tangent, in [-pi/2, pi/2]: a polynomial up to 1; above, `pi/2 - atan(1 / |x|)`.
///
/// Largest error: 1.4 ulp in f32, 1.5 in f64. `atan(-0) = -0`, `atan(±inf) = ±pi/2`.
pub fn atan<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);
    let one = l.fconst(1.0);
    let above = l.flt(one, a);
    let top = put(l, above, -1.0, a);
    let bottom = l.fselect(above, a, one);
    let t = l.fdiv(top, bottom);
    let p = atan_poly(l, t);
    let (hi, lo, _) = half_pi(l);
    let far = addc(l, p, lo);
    let far = addc(l, far, hi);
    let y = l.fselect(above, far, p);
    signed(l, y, x)
}

/// The angle of the point `(x, y)` from the positive x axis, in [-pi, pi]: [`atan`] of the smaller by the larger
/// magnitude, put in its octant.
///
/// Largest error: 1.6 ulp in f32, 1.4 in f64. The special values are those of C99's annex F: the sign is that of `y`;
/// `atan2(±0, x)` is ±0 for `x` above zero or `+0` and ±pi otherwise; infinities act as the corners of a square.
pub fn atan2<L: Lanes>(l: &mut L, y: L::F, x: L::F) -> L::F {
    let ax = l.fabs(x);
    let ay = l.fabs(y);
    let top = lesser(l, ax, ay);
    let bottom = greater(l, ax, ay);
    let t = l.fdiv(top, bottom);
    let equal = l.feq(top, bottom);
    let t = put(l, equal, 1.0, t);
    let origin = eqc(l, bottom, 0.0);
    let t = put(l, origin, 0.0, t);
    let p = atan_poly(l, t);
    let bits = l.to_bits(x);
    let zero = l.iconst(0);
    let left = l.ilt(bits, zero);
    let steep = l.flt(ax, ay);
    // 0 + p, pi/2 - p, pi/2 + p or pi - p
    let back = l.mxor(left, steep);
    let minus = l.fneg(p);
    let p = l.fselect(back, minus, p);
    let (hi, lo, _) = half_pi(l);
    let none = l.fconst(0.0);
    let base = put(l, left, 2.0 * hi, none);
    let base = put(l, steep, hi, base);
    let rest = put(l, left, 2.0 * lo, none);
    let rest = put(l, steep, lo, rest);
    let p = l.fadd(p, rest);
    let p = l.fadd(base, p);
    let p = signed(l, p, y);
    let x_nan = l.fne(x, x);
    let y_nan = l.fne(y, y);
    let nan = l.mor(x_nan, y_nan);
    put(l, nan, f64::NAN, p)
}

/// `atan(t)` for `|t|` at most 1.
fn atan_poly<L: Lanes>(l: &mut L, t: L::F) -> L::F {
    let s = l.fmul(t, t);
    let q = horner(l, s, &coef::ATAN);
    let w = l.fmul(t, s);
    l.fma(w, q, t)
}

/// `(small, r, t)`: whether `a = |x|` is at most 1/2, and `r + t` the inverse sine of `a` or else of `sqrt((1 - a) /
/// 2)`.
fn asin_parts<L: Lanes>(l: &mut L, x: L::F) -> (L::M, L::F, L::F) {
    let a = l.fabs(x);
    let half = l.fconst(0.5);
    let small = l.fle(a, half);
    let aa = l.fmul(a, a);
    let far = fnma(l, a, half, half);
    let s = l.fselect(small, aa, far);
    let root = l.fsqrt(far);
    let r = l.fselect(small, a, root);
    let q = horner(l, s, &coef::ASIN);
    let w = l.fmul(r, s);
    (small, r, l.fmul(w, q))
}
