//! The derivatives of the digamma function.
//!
//! `psi_n(x) = (-1)^(n + 1) n! zeta(n + 1, x)` with Hurwitz's zeta function, the sum of `(x + k)^-(n + 1)` over all `k` from 0. The first derivative is
//! written over lanes, the others run in a call. Formulas: Digital Library of Mathematical Functions, 5.11, 5.15 and 25.11.

use super::gamma::fraction;
use super::pow::pow;
use super::trig::sin;
use super::{digamma, horner, pick};
use crate::scalar::lanes::{Lanes, Plain, Slow, Slow2};
use crate::scalar::math::Poly;

/// Bernoulli's numbers `B_2k` from `k = 1`, the coefficients of the asymptotic series of the trigamma function.
const BERNOULLI: [f64; 9] = [
    1.0 / 6.0,
    -1.0 / 30.0,
    1.0 / 42.0,
    -1.0 / 30.0,
    5.0 / 66.0,
    -691.0 / 2730.0,
    7.0 / 6.0,
    -3617.0 / 510.0,
    43867.0 / 798.0,
];

const SERIES: Poly = Poly { f32: BERNOULLI.split_at(6).0, f64: &BERNOULLI };

/// The derivative of [`digamma`](super::digamma).
///
/// The asymptotic series from 4 on in f32, from 10 on in f64; below, the squares of the reciprocals of `x`, `x + 1` ... are added. Left of zero the
/// reflection `(pi / sin(pi x))^2 - trigamma(1 - x)`. Largest error: 3.1 ulp in f32, 3.3 in f64, left of zero in units in the last place of the larger of
/// the result and `trigamma(1 - x)`. Infinite at 0 and at negative integers, NaN at `-inf`, `trigamma(inf) = 0`.
pub fn trigamma<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let one = l.fconst(1.0);
    let zero = l.fconst(0.0);
    let steps = pick(l, 4, 10);
    let least = l.fconst(f64::from(steps));
    let near = l.flt(x, least);
    let far = l.fadd(x, least);
    let y = l.fselect(near, far, x);
    // 1/y + 1/(2 y^2) + 1/y^3 P(1/y^2)
    let r = l.fdiv(one, y);
    let w = l.fmul(r, r);
    let p = horner(l, w, &SERIES);
    let half = l.fconst(0.5);
    let p = l.fma(r, p, half);
    let tail = l.fma(p, w, r);
    let mut sum = tail;
    for k in (0..steps).rev() {
        let k = l.fconst(f64::from(k));
        let at = l.fadd(x, k);
        let r = l.fdiv(one, at);
        let r = l.fselect(near, r, zero);
        sum = l.fma(r, r, sum);
    }
    let negative = l.flt(x, zero);
    l.rare(negative, Slow { name: "trigamma", f32: trigamma_slow_f32, f64: trigamma_slow_f64 }, x, sum)
}

/// Derivative number `n`, rounded to an integer, of [`digamma`](super::digamma) at `x`.
///
/// Hurwitz's zeta function by the formula of Euler and Maclaurin, in double precision. Largest error: 0.6 ulp in f32 and 12 in f64 for `n` up to 20, left
/// of zero in units in the last place of the larger of the result and the value at the distance from the nearest pole, whose terms cancel. At 0 and at
/// negative integers `inf` for odd `n`, NaN for even; NaN for negative `n`; from `n = 171` on the factorial overflows.
pub fn polygamma<L: Lanes>(l: &mut L, n: L::F, x: L::F) -> L::F {
    let all = l.mconst(true);
    l.rare2(all, Slow2 { name: "polygamma", f32: polygamma_slow_f32, f64: polygamma_slow_f64 }, n, x, x)
}

extern "C" fn trigamma_slow_f32(x: f32) -> f32 {
    trigamma_slow_f64(x.into()) as f32
}

/// For negative `x`: `(pi / sin(pi x))^2 - trigamma(1 - x)`.
extern "C" fn trigamma_slow_f64(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        return f64::NAN;
    }
    let part = fraction(x);
    if part == 0.0 {
        return f64::INFINITY;
    }
    let l = &mut Plain::<f64>::default();
    let cosecant = std::f64::consts::PI / sin(l, std::f64::consts::PI * part);
    cosecant * cosecant - trigamma(l, 1.0 - x)
}

extern "C" fn polygamma_slow_f32(n: f32, x: f32) -> f32 {
    polygamma_slow_f64(n.into(), x.into()) as f32
}

extern "C" fn polygamma_slow_f64(n: f64, x: f64) -> f64 {
    let l = &mut Plain::<f64>::default();
    let n = n.round_ties_even();
    if n == 0.0 {
        return digamma(l, x);
    }
    if n == 1.0 {
        return trigamma(l, x);
    }
    if n.is_nan() || x.is_nan() || n < 0.0 || n.is_infinite() || x == f64::NEG_INFINITY {
        return f64::NAN;
    }
    if x == f64::INFINITY {
        return 0.0;
    }
    let even = n % 2.0 == 0.0;
    let s = n + 1.0;
    let zeta = if x > 0.0 {
        zeta(s, x)
    } else {
        // The sum over all integers, less that over the ones on the left: each is made of sums to the right.
        let part = x - x.floor();
        if part == 0.0 {
            return if even { f64::NAN } else { f64::INFINITY };
        }
        let (right, left) = (zeta(s, part), zeta(s, 1.0 - part) - zeta(s, 1.0 - x));
        if even { right - left } else { right + left }
    };
    let factorial = if n > 170.0 { f64::INFINITY } else { (2..=n as u32).fold(1.0, |f, k| f * f64::from(k)) };
    // Beyond all magnitudes the sum is 0, whatever the factorial.
    let size = if zeta == 0.0 { 0.0 } else { factorial * zeta };
    if even { -size } else { size }
}

/// Hurwitz's zeta function for `s > 1` and `x > 0`: the first terms, then the formula of Euler and Maclaurin.
fn zeta(s: f64, x: f64) -> f64 {
    /// `B_2k / (2 k)!` from `k = 1`.
    const COEFFICIENTS: [f64; 8] = [
        1.0 / 12.0,
        -1.0 / 720.0,
        1.0 / 30_240.0,
        -1.0 / 1_209_600.0,
        1.0 / 47_900_160.0,
        -691.0 / 1_307_674_368_000.0,
        1.0 / 74_724_249_600.0,
        -3_617.0 / 10_670_622_842_880_000.0,
    ];
    let l = &mut Plain::<f64>::default();
    // Far enough for the series; of a steeper sum the rest is nothing beside the first terms.
    let enough = 12.0 + s.min(200.0);
    let terms = if x < enough { (enough - x).ceil() as u32 } else { 0 };
    let a = x + f64::from(terms);
    let power = pow(l, a, -s);
    let mut tail = power * (a / (s - 1.0) + 0.5);
    let mut factor = power * s / a;
    for (k, c) in COEFFICIENTS.into_iter().enumerate() {
        tail += c * factor;
        let at = s + 2.0 * k as f64;
        factor *= (at + 1.0) * (at + 2.0) / (a * a);
    }
    // The smallest terms first.
    (0..terms).rev().fold(tail, |sum, k| sum + pow(l, x + f64::from(k), -s))
}
