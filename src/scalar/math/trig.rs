//! Trigonometric functions.
//!
//! `x = n pi/2 + r + lo` with `|r|` at most pi/4: three fma steps (Cody and Waite) up to [`limit`], beyond it exact
//! integer arithmetic on the bits of 2/pi (Payne and Hanek) in a call. The quadrant `n` is read from the low bits of a
//! float to which [`magic`] was added; it chooses between the sine's and the cosine's polynomial and gives the sign.

use super::{coef, eqc, fma_by, horner, magic, mulc, pick, sign_bit};
use crate::scalar::lanes::{Lanes, Plain, Slow};

/// The sine.
///
/// Largest error: 0.8 ulp in f32, 0.8 in f64, for every finite argument. `sin(-0) = -0`, `sin(±inf)` is NaN.
pub fn sin<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (n, r, lo) = reduce(l, x);
    let (s, c) = kernels(l, r, lo);
    let y = quadrant(l, n, s, c);
    let zero = eqc(l, x, 0.0);
    let y = l.fselect(zero, x, y);
    let huge = beyond(l, x);
    l.rare(huge, Slow { name: "sin", f32: sin_slow_f32, f64: sin_slow_f64 }, x, y)
}

/// The cosine.
///
/// Largest error: 0.8 ulp in f32, 0.8 in f64, for every finite argument. `cos(±inf)` is NaN.
pub fn cos<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (n, r, lo) = reduce(l, x);
    let (s, c) = kernels(l, r, lo);
    let one = l.iconst(1);
    let n = l.iadd(n, one);
    let y = quadrant(l, n, s, c);
    let huge = beyond(l, x);
    l.rare(huge, Slow { name: "cos", f32: cos_slow_f32, f64: cos_slow_f64 }, x, y)
}

/// The tangent: the quotient of the sine's and the cosine's polynomial.
///
/// Largest error: 2.3 ulp in f32, 2.1 in f64, for every finite argument. `tan(-0) = -0`, `tan(±inf)` is NaN.
pub fn tan<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let (n, r, lo) = reduce(l, x);
    let y = tangent(l, n, r, lo);
    let zero = eqc(l, x, 0.0);
    let y = l.fselect(zero, x, y);
    let huge = beyond(l, x);
    l.rare(huge, Slow { name: "tan", f32: tan_slow_f32, f64: tan_slow_f64 }, x, y)
}

/// The largest argument that three steps of fma reduce.
fn limit<L: Lanes>(l: &L) -> f64 {
    pick(l, 65_536.0, 134_217_728.0)
}

/// Whether `x` is infinite or beyond [`limit`].
fn beyond<L: Lanes>(l: &mut L, x: L::F) -> L::M {
    let a = l.fabs(x);
    let most = l.fconst(limit(l));
    l.flt(most, a)
}

/// `(n, r, lo)`: integers whose low two bits are the quadrant, and the rest in two words.
fn reduce<L: Lanes>(l: &mut L, x: L::F) -> (L::I, L::F, L::F) {
    let m = l.fconst(magic(l));
    let t = fma_by(l, x, std::f64::consts::FRAC_2_PI, m);
    let n = l.fsub(t, m);
    let (p1, p2, p3) = half_pi(l);
    let r1 = fma_by(l, n, -p1, x);
    // The product in two words, lest they cancel r1.
    let w = mulc(l, n, p2);
    let r = l.fsub(r1, w);
    let lo = l.fsub(r1, r);
    let lo = l.fsub(lo, w);
    let rest = fma_by(l, n, -p2, w);
    let lo = l.fadd(lo, rest);
    let lo = fma_by(l, n, -p3, lo);
    (l.to_bits(t), r, lo)
}

/// pi/2 in three words.
pub(super) fn half_pi<L: Lanes>(l: &L) -> (f64, f64, f64) {
    pick(
        l,
        (1.570_796_370_506_286_6, -4.371_138_828_673_793e-8, -1.715_124_510_005_881_9e-15),
        (std::f64::consts::FRAC_PI_2, 6.123_233_995_736_766e-17, -1.497_384_904_859_169_8e-33),
    )
}

/// `(sin(r + lo), cos(r + lo))` for `|r|` at most pi/4.
fn kernels<L: Lanes>(l: &mut L, r: L::F, lo: L::F) -> (L::F, L::F) {
    let s = l.fmul(r, r);
    let one = l.fconst(1.0);
    let c = fma_by(l, s, -0.5, one);

    let p = horner(l, s, &coef::SIN);
    let u = l.fmul(r, s);
    let v = l.fmul(lo, c);
    let v = l.fma(u, p, v);
    let sine = l.fadd(r, v);

    let p = horner(l, s, &coef::COS);
    let ss = l.fmul(s, s);
    let e = l.fsub(one, c);
    let e = fma_by(l, s, -0.5, e);
    let minus = l.fneg(r);
    let e = l.fma(minus, lo, e);
    let e = l.fma(ss, p, e);
    let cosine = l.fadd(c, e);
    (sine, cosine)
}

/// `tan(n pi/2 + r + lo)`.
fn tangent<L: Lanes>(l: &mut L, n: L::I, r: L::F, lo: L::F) -> L::F {
    let (s, c) = kernels(l, r, lo);
    let one = l.iconst(1);
    let zero = l.iconst(0);
    let low = l.iand(n, one);
    let even = l.ieq(low, zero);
    let minus = l.fneg(c);
    let top = l.fselect(even, s, minus);
    let bottom = l.fselect(even, c, s);
    l.fdiv(top, bottom)
}

/// `even` or `odd` as the lowest bit of `n` says, negated where the next bit is set.
fn quadrant<L: Lanes>(l: &mut L, n: L::I, even: L::F, odd: L::F) -> L::F {
    let one = l.iconst(1);
    let zero = l.iconst(0);
    let low = l.iand(n, one);
    let is_even = l.ieq(low, zero);
    let y = l.fselect(is_even, even, odd);
    let n = l.ishl(n, l.bits() - 2);
    let n = l.from_bits(n);
    let sign = sign_bit(l, n);
    let y = l.to_bits(y);
    let y = l.ixor(y, sign);
    l.from_bits(y)
}

/// The sine of any number, by Payne and Hanek's reduction; NaN for infinities.
extern "C" fn sin_slow_f64(x: f64) -> f64 {
    slow(x, 0)
}

/// The cosine of any number, by Payne and Hanek's reduction; NaN for infinities.
extern "C" fn cos_slow_f64(x: f64) -> f64 {
    slow(x, 1)
}

/// The tangent of any number, by Payne and Hanek's reduction; NaN for infinities.
extern "C" fn tan_slow_f64(x: f64) -> f64 {
    if !is_huge(x) {
        return f64::NAN;
    }
    let (n, r, lo) = reduce_huge(x);
    tangent(&mut Plain::<f64>::default(), n, r, lo)
}

extern "C" fn tan_slow_f32(x: f32) -> f32 {
    tan_slow_f64(x.into()) as f32
}

extern "C" fn sin_slow_f32(x: f32) -> f32 {
    slow(x.into(), 0) as f32
}

extern "C" fn cos_slow_f32(x: f32) -> f32 {
    slow(x.into(), 1) as f32
}

/// Whether [`reduce_huge`] takes `x`. A lane beside a huge one may hold any number; its result is thrown away.
fn is_huge(x: f64) -> bool {
    (32_768.0..f64::INFINITY).contains(&x.abs())
}

/// `sin(x + turn pi/2)` for `|x|` at least 2^15, NaN for all other numbers.
fn slow(x: f64, turn: i64) -> f64 {
    if !is_huge(x) {
        return f64::NAN;
    }
    let (n, r, lo) = reduce_huge(x);
    let l = &mut Plain::<f64>::default();
    let (s, c) = kernels(l, r, lo);
    quadrant(l, n + turn, s, c)
}

/// The bits of 2/pi behind 64 zeros.
const TWO_OVER_PI: [u64; 20] = [
    0,
    0xa2f9_836e_4e44_1529,
    0xfc27_57d1_f534_ddc0,
    0xdb62_9599_3c43_9041,
    0xfe51_63ab_debb_c561,
    0xb724_6e3a_424d_d2e0,
    0x0649_2eea_09d1_921c,
    0xfe1d_eb1c_b129_a73e,
    0xe882_35f5_2ebb_4484,
    0xe99c_7026_b45f_7e41,
    0x3991_d639_8353_39f4,
    0x9c84_5f8b_bdf9_283b,
    0x1ff8_97ff_de05_980f,
    0xef2f_118b_5a0a_6d1f,
    0x6d36_7ecf_27cb_09b7,
    0x4f46_3f66_9e5f_ea2d,
    0x7527_bac7_ebe5_f17b,
    0x3d07_39f7_8a52_92ea,
    0x6bfb_5fb1_1f8d_5d08,
    0x5603_3046_fc7b_6bab,
];

/// `(n, r, lo)` with `x = n pi/2 + r + lo` up to whole turns, `n` in 0..4 and `|r|` at most pi/4, for finite `|x|` at
/// least 2^15.
///
/// `|x| = m 2^k`. Bits of 2/pi above the place 2^(1-k) add whole turns; the 192 bits from there on, times `m` modulo
/// 2^192, are the quadrant in two bits and its fraction in 190, of which at most 63 or so cancel.
fn reduce_huge(x: f64) -> (i64, f64, f64) {
    let bits = x.to_bits();
    let k = ((bits >> 52) & 0x7ff) as i64 - 1075;
    let m = u128::from((bits & ((1 << 52) - 1)) | (1 << 52));
    let first = (k + 62) as usize;
    let word = |i: usize| {
        let (w, by) = (first / 64 + i, first % 64);
        let pair = u128::from(TWO_OVER_PI[w]) << 64 | u128::from(TWO_OVER_PI[w + 1]);
        u128::from((pair >> (64 - by)) as u64)
    };
    let low = m * word(2);
    let mid = m * word(1) + (low >> 64);
    let high = (m * word(0)).wrapping_add(mid >> 64);
    let [a, b, c] = [high as u64, mid as u64, low as u64];

    let mut n = (a >> 62) as i64;
    let mut top = (u128::from(a) << 64 | u128::from(b)) << 2 | u128::from(c >> 62);
    let mut rest = c << 2;
    let mut negative = x < 0.0;
    if top >> 127 == 1 {
        n += 1;
        negative = !negative;
        top = if rest == 0 { top.wrapping_neg() } else { !top };
        rest = rest.wrapping_neg();
    }
    if x < 0.0 {
        n = -n;
    }
    let zeros = top.leading_zeros().min(64);
    top = top << zeros | ((u128::from(rest) << zeros) >> 64);
    let scale = f64::from_bits((1023 - 53 - u64::from(zeros)) << 52);
    let scale = if negative { -scale } else { scale };
    let hi = (top >> 75) as f64 * scale;
    let lo = ((top << 53) >> 75) as f64 * (scale * 2f64.powi(-53));

    let (p1, p2, _) = half_pi(&Plain::<f64>::default());
    let r = hi * p1;
    let e = hi.mul_add(p1, -r) + hi.mul_add(p2, lo * p1);
    let sum = r + e;
    (n & 3, sum, (r - sum) + e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_functions_take_any_number() {
        let numbers = [0.0, 5e-324, 1e-310, 1e-30, 1.0, 3e4, 32_768.0, 1e22, f64::MAX, f64::INFINITY, f64::NAN];
        for x in numbers.into_iter().flat_map(|x| [x, -x]) {
            for f in [sin_slow_f64, cos_slow_f64, tan_slow_f64] {
                assert_eq!(f(x).is_finite(), is_huge(x), "{x:e}");
            }
        }
    }
}
