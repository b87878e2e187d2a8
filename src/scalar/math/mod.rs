//! The elementary functions, each written once over [`Lanes`].
//!
//! ```text
//!  x --> reduce the range --> polynomial of the rest --> put the range back --> select the special values
//!        (n, r) by magic      Horner, one fma a         2^n by integer shifts   inf, NaN, 0, out of domain
//!        numbers and fma      coefficient ([coef])
//! ```
//!
//! The code is straight-line: lanes never branch on a value, so that a vector of any width runs it. `l.bits()` is
//! known when the code is emitted and chooses the coefficients and the constants. The f32 versions use no f64
//! arithmetic. Arguments that a straight line cannot serve (the sine of a huge number, the gamma function left of
//! zero) go through [`Lanes::rare`].
//!
//! The error of each function stands in its documentation: the bound that `tests/accuracy` asserts, in units in the
//! last place of the exact result, over the whole range including subnormal arguments and results. The f32 bounds lie
//! just above the largest error in sweeps of every 67th bit pattern or denser, the f64 bounds above the largest of
//! some 10,000 exact values a function. Every function returns NaN for NaN unless it says otherwise; the sign and
//! payload of a NaN are not specified. Floating-point exceptions are not modelled. Nothing calls the system's
//! mathematical library, so results are the same everywhere.
//!
//! Methods: J.-M. Muller, "Elementary Functions", 3rd ed. (range reduction by Cody and Waite with fma, Payne and
//! Hanek's for huge arguments, minimax polynomials), and "Handbook of Floating-Point Arithmetic", 2nd ed. (double-word
//! arithmetic).

mod arc;
mod coef;
mod double;
mod exp;
mod gamma;
pub mod half;
mod hyperbolic;
mod log;
mod polygamma;
mod pow;
mod remainder;
mod special;
mod threefry;
mod trig;

pub use arc::{acos, asin, atan, atan2};
pub(crate) use exp::by_two_powers;
pub use exp::{exp, exp2, expm1, sigmoid};
pub use gamma::{digamma, lgamma};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use log::{log, log1p, log2, log10, logaddexp, softplus};
pub use polygamma::{polygamma, trigamma};
pub use pow::{cbrt, hypot, pow, rsqrt};
pub use remainder::{floored_mod, fmod};
pub use special::{erf, erf_inv, erfc};
pub use threefry::threefry2x32;
pub use trig::{cos, sin, tan};

use super::lanes::Lanes;

/// A polynomial in both formats, lowest degree first.
struct Poly {
    f32: &'static [f64],
    f64: &'static [f64],
}

/// The larger of `a` and `b`; NaN if either is NaN. Of two zeros it gives `b`.
pub fn fmax<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> L::F {
    let m = greater(l, a, b);
    let nan = l.fne(a, a);
    l.fselect(nan, a, m)
}

/// The smaller of `a` and `b`; NaN if either is NaN. Of two zeros it gives `b`.
pub fn fmin<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> L::F {
    let m = lesser(l, a, b);
    let nan = l.fne(a, a);
    l.fselect(nan, a, m)
}

/// The magnitude of `a` with the sign of `x`, also for zeros and NaN. Exact.
pub fn copysign<L: Lanes>(l: &mut L, a: L::F, x: L::F) -> L::F {
    let a = l.fabs(a);
    signed(l, a, x)
}

/// `x / (1 + |x|)`.
///
/// Largest error: 1.5 ulp in f32, 1.5 in f64. `softsign(-0) = -0`, `softsign(±inf) = ±1`.
pub fn softsign<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let a = l.fabs(x);
    let d = addc(l, a, 1.0);
    let y = l.fdiv(x, d);
    let inf = eqc(l, a, f64::INFINITY);
    let one = l.fconst(1.0);
    let end = signed(l, one, x);
    l.fselect(inf, end, y)
}

/// -1, 0 or 1 as `x` is below, at or above zero. Exact; `sign(-0) = 0`, NaN for NaN.
pub fn sign<L: Lanes>(l: &mut L, x: L::F) -> L::F {
    let zero = l.fconst(0.0);
    let one = l.fconst(1.0);
    let unit = signed(l, one, x);
    let least = l.fconst(f64::INFINITY);
    let abs = l.fabs(x);
    let some = l.flt(zero, abs);
    let y = l.fselect(some, unit, zero);
    let number = l.fle(abs, least);
    l.fselect(number, y, x)
}

/// `a` where `a > b`, else `b`: so NaN in `b` stays, NaN in `a` goes. One instruction on x86 (`maxps a, b`).
fn greater<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> L::F {
    let m = l.flt(b, a);
    l.fselect(m, a, b)
}

/// `a` where `a < b`, else `b`: so NaN in `b` stays, NaN in `a` goes. One instruction on x86 (`minps a, b`).
fn lesser<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> L::F {
    let m = l.flt(a, b);
    l.fselect(m, a, b)
}

/// `x` held between two constants; NaN stays.
fn clamp<L: Lanes>(l: &mut L, x: L::F, lo: f64, hi: f64) -> L::F {
    let hi = l.fconst(hi);
    let x = lesser(l, hi, x);
    let lo = l.fconst(lo);
    greater(l, lo, x)
}

/// The value that belongs to the format of the lanes.
fn pick<L: Lanes, T>(l: &L, f32: T, f64: T) -> T {
    if l.bits() == 32 { f32 } else { f64 }
}

/// `p(x)` by Horner's rule.
fn horner<L: Lanes>(l: &mut L, x: L::F, p: &Poly) -> L::F {
    let (&last, rest) = pick(l, p.f32, p.f64).split_last().expect("a polynomial has coefficients");
    let mut y = l.fconst(last);
    for &c in rest.iter().rev() {
        let c = l.fconst(c);
        y = l.fma(y, x, c);
    }
    y
}

/// `a + c`.
fn addc<L: Lanes>(l: &mut L, a: L::F, c: f64) -> L::F {
    let c = l.fconst(c);
    l.fadd(a, c)
}

/// `a * c`.
fn mulc<L: Lanes>(l: &mut L, a: L::F, c: f64) -> L::F {
    let c = l.fconst(c);
    l.fmul(a, c)
}

/// `a * b + c` with a constant addend.
fn fma_add<L: Lanes>(l: &mut L, a: L::F, b: L::F, c: f64) -> L::F {
    let c = l.fconst(c);
    l.fma(a, b, c)
}

/// `a * b + c` with a constant factor.
fn fma_by<L: Lanes>(l: &mut L, a: L::F, b: f64, c: L::F) -> L::F {
    let b = l.fconst(b);
    l.fma(a, b, c)
}

/// `c - a * b`.
fn fnma<L: Lanes>(l: &mut L, a: L::F, b: L::F, c: L::F) -> L::F {
    let a = l.fneg(a);
    l.fma(a, b, c)
}

/// `a < c`.
fn ltc<L: Lanes>(l: &mut L, a: L::F, c: f64) -> L::M {
    let c = l.fconst(c);
    l.flt(a, c)
}

/// `a == c`.
fn eqc<L: Lanes>(l: &mut L, a: L::F, c: f64) -> L::M {
    let c = l.fconst(c);
    l.feq(a, c)
}

/// `c` where `m`, else `a`.
fn put<L: Lanes>(l: &mut L, m: L::M, c: f64, a: L::F) -> L::F {
    let c = l.fconst(c);
    l.fselect(m, c, a)
}

/// The sign bit of `x` alone.
fn sign_bit<L: Lanes>(l: &mut L, x: L::F) -> L::I {
    let bits = l.to_bits(x);
    let mask = l.iconst(pick(l, i64::from(i32::MIN), i64::MIN));
    l.iand(bits, mask)
}

/// `a`, which must not be negative, with the sign of `x`.
fn signed<L: Lanes>(l: &mut L, a: L::F, x: L::F) -> L::F {
    let s = sign_bit(l, x);
    let a = l.to_bits(a);
    let y = l.ior(a, s);
    l.from_bits(y)
}

/// Bits of the fraction: 23 or 52.
fn fraction_bits<L: Lanes>(l: &L) -> u32 {
    pick(l, 23, 52)
}

/// 127 or 1023.
fn bias<L: Lanes>(l: &L) -> f64 {
    pick(l, 127.0, 1023.0)
}

/// The number whose addition rounds a small number to an integer and leaves that integer in the low bits of the result:
/// 1.5 * 2^23 or 2^52.
fn magic<L: Lanes>(l: &L) -> f64 {
    pick(l, 12_582_912.0, 6_755_399_441_055_744.0)
}

/// Bits of the constant `c` in the format of the lanes.
fn const_bits<L: Lanes>(l: &L, c: f64) -> i64 {
    pick(l, i64::from((c as f32).to_bits() as i32), c.to_bits() as i64)
}

/// `log(2)` in two words.
fn ln2<L: Lanes>(l: &L) -> (f64, f64) {
    use std::f64::consts::LN_2;
    pick(l, (f64::from(LN_2 as f32), LN_2 - f64::from(LN_2 as f32)), (LN_2, 2.319_046_813_846_299_6e-17))
}
