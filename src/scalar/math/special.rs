//! The error function and its kin.

use super::exp::{power, reduce, two_powers};
use super::log::log;
use super::{addc, bias, coef, eqc, fma_add, horner, lesser, ltc, magic, mulc, pick, signed};
use crate::scalar::lanes::Lanes;

/// The error function `2/sqrt(pi)` times the integral of `e^(-t^2)` from 0 to `x`.
///
/// `x + x P(x^2)` below 1; above, `1 - 2^Q(|x| - 1)` with a polynomial `Q` for `log2(erfc)`. Largest error: 0.97 ulp in
/// f32, 0.95 in f64. `erf(-0) = -0`, `erf(±inf) = ±1`.
pub fn erf<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);

    let s = l.fmul(a, a);
    let q = horner(l, s, &coef::ERF);
    let small = l.fma(a, q, a);

    let most = l.fconst(pick(l, 3.925, 5.93));
    let b = lesser(l, most, a);
    let u = addc(l, b, -1.0);
    let t = horner(l, u, &coef::LOG2_ERFC);
    let m = magic(l) + bias(l);
    let k = addc(l, t, m);
    let n = addc(l, k, -m);
    let f = l.fsub(t, n);
    let p = horner(l, f, &coef::EXP2);
    let p = fma_add(l, p, f, 1.0);
    let e = power(l, k);
    let e = l.fneg(e);
    let large = fma_add(l, e, p, 1.0);

    let below = ltc(l, a, 1.0);
    let y = l.fselect(below, small, large);
    signed(l, y, x)
}

/// The complementary error function `1 - erf(x)`, with relative accuracy for large `x`.
///
/// `1 - erf(x)` up to 0.65. For `a = |x|` beyond that it is `e^(-a^2) P(q) / (1 + 2 a)` with `q = (a - k) / (a + k)`
/// (M. Shepherd and J. Laframboise, Math. Comp. 36, 1981), the square in two words; 2 less that for negative `x`.
/// Largest error: 2.65 ulp in f32, 2.6 in f64. `erfc(-inf) = 2`, `erfc(inf) = 0`.
pub fn erfc<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);
    let most = l.fconst(pick(l, 10.1, 27.3));
    let a = lesser(l, most, a);
    let k = pick(l, 2.0, 4.0);
    let top = addc(l, a, -k);
    let bottom = addc(l, a, k);
    let q = l.fdiv(top, bottom);
    let p = horner(l, q, &coef::ERFCX);
    let two = l.fconst(2.0);
    let d = fma_add(l, a, two, 1.0);
    let g = l.fdiv(p, d);

    let minus = l.fneg(a);
    let s = l.fmul(a, minus);
    let lo = l.fneg(s);
    let lo = l.fma(a, minus, lo);
    let offset = 2.0 * bias(l);
    let (t, _, r) = reduce(l, s, offset);
    let p = horner(l, r, &coef::EXP);
    let p = fma_add(l, p, r, 1.0);
    // e^(r + lo) - 1 = e^r - 1 + lo e^r, less the rounding of 1 + 2 a, divided by P(q) so closely as it matters.
    let e = l.fmul(p, r);
    let lo = l.fma(lo, e, lo);
    let c = addc(l, d, -1.0);
    let c = l.fneg(c);
    let c = l.fma(a, two, c);
    let c = mulc(l, c, -0.85);
    let c = l.fma(c, g, lo);
    let e = l.fma(p, r, c);
    let y = l.fma(g, e, g);
    let (m, n) = two_powers(l, t);
    let y = l.fmul(y, m);
    let y = l.fmul(y, n);

    let other = l.fsub(two, y);
    let negative = ltc(l, x, 0.0);
    let y = l.fselect(negative, other, y);

    let xx = l.fmul(x, x);
    let p = horner(l, xx, &coef::ERF);
    let p = l.fma(x, p, x);
    let one = l.fconst(1.0);
    let middle = l.fsub(one, p);
    let inner = ltc(l, a, 0.65);
    l.fselect(inner, middle, y)
}

/// The inverse of [`erf`].
///
/// Polynomials in `w = -log((1 - x) (1 + x))` times `x`: M. Giles, "Approximating the erfinv function", GPU Computing Gems 2, 2011. Largest error: 5 ulp
/// in f32, 3 in f64. `erf_inv(-0) = -0`, `erf_inv(±1) = ±inf`, NaN outside [-1, 1].
pub fn erf_inv<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.fconst(1.0);
    let (below, above) = (l.fsub(one, x), l.fadd(one, x));
    let square = l.fmul(below, above);
    let w = log(l, square);
    let w = l.fneg(w);
    let split = pick(l, 5.0, 6.25);
    let near = ltc(l, w, split);
    let u = addc(l, w, pick(l, -2.5, -3.125));
    let central = horner(l, u, &coef::ERF_INV);
    let root = l.fsqrt(w);
    let v = addc(l, root, pick(l, -3.0, -3.25));
    let tail = horner(l, v, &coef::ERF_INV_TAIL);
    let tail = if l.bits() == 32 {
        tail
    } else {
        let v = addc(l, root, -5.0);
        let far = horner(l, v, &coef::ERF_INV_FAR);
        let near = ltc(l, w, 16.0);
        l.fselect(near, tail, far)
    };
    let p = l.fselect(near, central, tail);
    let y = l.fmul(p, x);
    let a = l.fabs(x);
    let end = eqc(l, a, 1.0);
    let inf = l.fconst(f64::INFINITY);
    let inf = signed(l, inf, x);
    l.fselect(end, inf, y)
}
