//! Numbers of two words: `hi + lo` with `|lo|` at most half an ulp of `hi`, for intermediate results that need about
//! twice the format's digits. Handbook of Floating-Point Arithmetic, 2nd ed., chapter 14.

use crate::scalar::lanes::Lanes;

/// An unevaluated sum `hi + lo`.
#[derive(Clone, Copy)]
pub(super) struct Double<F> {
    pub hi: F,
    pub lo: F,
}

/// `a + b` exactly, for `|a| >= |b|` or `a = 0`.
pub(super) fn sum_ordered<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> Double<L::F> {
    let hi = l.fadd(a, b);
    let lo = l.fsub(hi, a);
    let lo = l.fsub(b, lo);
    Double { hi, lo }
}

/// `a + b` exactly.
pub(super) fn sum<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> Double<L::F> {
    let hi = l.fadd(a, b);
    let bb = l.fsub(hi, a);
    let aa = l.fsub(hi, bb);
    let db = l.fsub(b, bb);
    let da = l.fsub(a, aa);
    Double { hi, lo: l.fadd(da, db) }
}

/// `a * b` exactly.
pub(super) fn product<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> Double<L::F> {
    let hi = l.fmul(a, b);
    let minus = l.fneg(hi);
    Double { hi, lo: l.fma(a, b, minus) }
}

/// `a * b`.
pub(super) fn mul<L: Lanes>(l: &mut L, a: Double<L::F>, b: Double<L::F>) -> Double<L::F> {
    let p = product(l, a.hi, b.hi);
    let lo = l.fma(a.hi, b.lo, p.lo);
    let lo = l.fma(a.lo, b.hi, lo);
    sum_ordered(l, p.hi, lo)
}

/// `a + b` for `|a| >= |b|`.
pub(super) fn add_ordered<L: Lanes>(l: &mut L, a: Double<L::F>, b: Double<L::F>) -> Double<L::F> {
    let s = sum_ordered(l, a.hi, b.hi);
    let lo = l.fadd(a.lo, b.lo);
    let lo = l.fadd(s.lo, lo);
    sum_ordered(l, s.hi, lo)
}

/// A constant given to four words of f32 or two of f64: `hi + lo` in the format of the lanes.
pub(super) fn constant<L: Lanes>(l: &mut L, hi: f64, lo: f64) -> Double<L::F> {
    if l.bits() == 32 {
        let head = f64::from(hi as f32);
        Double { hi: l.fconst(head), lo: l.fconst(hi - head) }
    } else {
        Double { hi: l.fconst(hi), lo: l.fconst(lo) }
    }
}
