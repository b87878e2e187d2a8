//! The lane trait: the machine that scalar mathematics is written for.
//!
//! A scalar function (`exp`, `tanh`, `select` ...) is written once, generically over [`Lanes`], and so means the same thing, bit for bit, wherever it
//! runs:
//!
//! ```text
//!                      +-- Plain<f32>, Plain<f64>   plain numbers: the interpreter and constant folding
//!  math::exp<L: Lanes> +-- codegen's CLIF lanes     Cranelift values, one lane or a 128-bit vector of them
//!                      +-- (wider vectors)          a recorder of straight-line code for one target
//! ```
//!
//! One value of a `Lanes` type stands for a group of lanes of one floating-point format (`F`), the integers of the same width (`I`) and
//! truth values (`M`). Every operation acts on each lane by itself. All of them are exactly defined: IEEE 754 round-to-nearest for floats, wrapping
//! arithmetic for integers, so two implementations cannot differ.

use super::math::by_two_powers;

/// A group of lanes and the exactly defined operations on it.
///
/// Methods that begin with `f` act on floats, with `i` on integers of the same width, with `m` on truth values.
pub trait Lanes {
    /// Floating-point lanes.
    type F: Copy;
    /// Integer lanes, as wide as the floats, signed unless an operation says otherwise.
    type I: Copy;
    /// Truth values, one for each lane.
    type M: Copy;

    /// Width of one lane: 32 (`f32`, `i32`) or 64 (`f64`, `i64`).
    fn bits(&self) -> u32;

    /// All lanes set to `v`, rounded to the lane's format.
    fn fconst(&mut self, v: f64) -> Self::F;
    /// `a + b`.
    fn fadd(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn fsub(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    fn fmul(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn fdiv(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(&mut self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `p * 2^n` for an integer `n`, rounded once, of `p` that is 0, from 1/2 to 2, or NaN, where `n` may be NaN too; infinite it is never. The low bits of `t` hold
    /// `n` and twice the bias of exponents.
    fn fscale(&mut self, p: Self::F, n: Self::F, t: Self::F) -> Self::F
    where
        Self: Sized,
    {
        let _ = n;
        by_two_powers(self, p, t)
    }
    /// `-a`: flips the sign bit.
    fn fneg(&mut self, a: Self::F) -> Self::F;
    /// `|a|`: clears the sign bit.
    fn fabs(&mut self, a: Self::F) -> Self::F;
    /// The square root, rounded correctly.
    fn fsqrt(&mut self, a: Self::F) -> Self::F;
    /// The largest integer not above `a`.
    fn ffloor(&mut self, a: Self::F) -> Self::F;
    /// The smallest integer not below `a`.
    fn fceil(&mut self, a: Self::F) -> Self::F;
    /// `a` without its fraction.
    fn ftrunc(&mut self, a: Self::F) -> Self::F;
    /// The nearest integer, ties to even.
    fn fround(&mut self, a: Self::F) -> Self::F;
    /// `a == b`; false if either is NaN.
    fn feq(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a != b`; true if either is NaN.
    fn fne(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a < b`; false if either is NaN.
    fn flt(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a <= b`; false if either is NaN.
    fn fle(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a` where `m`, else `b`.
    fn fselect(&mut self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;

    /// The bits of `a`.
    fn to_bits(&mut self, a: Self::F) -> Self::I;
    /// The float whose bits are `a`.
    #[allow(clippy::wrong_self_convention, reason = "`self` emits the operation and is not what is converted")]
    fn from_bits(&mut self, a: Self::I) -> Self::F;
    /// `a` as a float, rounded to nearest.
    fn i_to_f(&mut self, a: Self::I) -> Self::F;
    /// `a` without its fraction as an integer; NaN gives 0, values out of range the nearest integer (Rust's `as`).
    fn f_to_i(&mut self, a: Self::F) -> Self::I;

    /// All lanes set to `v`, wrapped to the lane's width.
    fn iconst(&mut self, v: i64) -> Self::I;
    /// `a + b`, wrapping.
    fn iadd(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, wrapping.
    fn isub(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a * b`, wrapping.
    fn imul(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a / b` rounded toward zero; 0 where `b` is 0; wrapping for the smallest integer by -1.
    fn idiv(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - (a / b) * b` with [`Lanes::idiv`]'s quotient: the sign of `a`; `a` where `b` is 0.
    fn irem(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a / b` of unsigned integers; 0 where `b` is 0.
    fn iudiv(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - (a / b) * b` of unsigned integers; `a` where `b` is 0.
    fn iurem(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise and.
    fn iand(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    fn ior(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    fn ixor(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a << by`, `0 <= by < bits`.
    fn ishl(&mut self, a: Self::I, by: u32) -> Self::I;
    /// `a >> by` with zeros shifted in, `0 <= by < bits`.
    fn iushr(&mut self, a: Self::I, by: u32) -> Self::I;
    /// `a >> by` with the sign shifted in, `0 <= by < bits`.
    fn isshr(&mut self, a: Self::I, by: u32) -> Self::I;
    /// `a << by`, with `by` taken modulo the lane's width.
    fn ishl_by(&mut self, a: Self::I, by: Self::I) -> Self::I;
    /// `a >> by` with zeros shifted in and `by` taken modulo the lane's width.
    fn iushr_by(&mut self, a: Self::I, by: Self::I) -> Self::I;
    /// `a >> by` with the sign shifted in and `by` taken modulo the lane's width.
    fn isshr_by(&mut self, a: Self::I, by: Self::I) -> Self::I;
    /// `a == b`.
    fn ieq(&mut self, a: Self::I, b: Self::I) -> Self::M;
    /// `a < b`, signed.
    fn ilt(&mut self, a: Self::I, b: Self::I) -> Self::M;
    /// `a < b`, unsigned.
    fn iult(&mut self, a: Self::I, b: Self::I) -> Self::M;
    /// `a` where `m`, else `b`.
    fn iselect(&mut self, m: Self::M, a: Self::I, b: Self::I) -> Self::I;

    /// All lanes set to `v`.
    fn mconst(&mut self, v: bool) -> Self::M;
    /// Logical and.
    fn mand(&mut self, a: Self::M, b: Self::M) -> Self::M;
    /// Logical or.
    fn mor(&mut self, a: Self::M, b: Self::M) -> Self::M;
    /// Logical exclusive or.
    fn mxor(&mut self, a: Self::M, b: Self::M) -> Self::M;
    /// Logical not.
    fn mnot(&mut self, a: Self::M) -> Self::M;

    /// `slow(x)` in the lanes where `rare` holds, `fast` in the others. For ranges of the argument that a straight line of code cannot serve, such as
    /// the sine of a huge number; an implementation may branch around the calls when no lane needs them, and may call for all lanes when one does, so `slow`
    /// must take any number.
    fn rare(&mut self, rare: Self::M, slow: Slow, x: Self::F, fast: Self::F) -> Self::F;
    /// [`Lanes::rare`] for a function of two arguments.
    fn rare2(&mut self, rare: Self::M, slow: Slow2, x: Self::F, y: Self::F, fast: Self::F) -> Self::F;
}

/// A function computed one number at a time, by a call, for [`Lanes::rare`]. It takes any number: a call may serve lanes that are not rare.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// A name of its own, by which compiled code imports it.
    pub name: &'static str,
    /// The function in single precision.
    pub f32: extern "C" fn(f32) -> f32,
    /// The function in double precision.
    pub f64: extern "C" fn(f64) -> f64,
}

/// A function of two arguments computed one number at a time, for [`Lanes::rare2`]. It takes any numbers.
#[derive(Clone, Copy, Debug)]
pub struct Slow2 {
    /// A name of its own, by which compiled code imports it.
    pub name: &'static str,
    /// The function in single precision.
    pub f32: extern "C" fn(f32, f32) -> f32,
    /// The function in double precision.
    pub f64: extern "C" fn(f64, f64) -> f64,
}

/// One lane of plain numbers of format `T`: what the interpreter computes with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain<T>(std::marker::PhantomData<T>);

macro_rules! plain {
    ($float:ident, $int:ident, $uint:ident, $bits:literal) => {
        impl Lanes for Plain<$float> {
            type F = $float;
            type I = $int;
            type M = bool;

            fn bits(&self) -> u32 {
                $bits
            }
            #[inline]
            fn fconst(&mut self, v: f64) -> $float {
                v as $float
            }
            #[inline]
            fn fadd(&mut self, a: $float, b: $float) -> $float {
                a + b
            }
            #[inline]
            fn fsub(&mut self, a: $float, b: $float) -> $float {
                a - b
            }
            #[inline]
            fn fmul(&mut self, a: $float, b: $float) -> $float {
                a * b
            }
            #[inline]
            fn fdiv(&mut self, a: $float, b: $float) -> $float {
                a / b
            }
            #[inline]
            fn fma(&mut self, a: $float, b: $float, c: $float) -> $float {
                a.mul_add(b, c)
            }
            #[inline]
            fn fneg(&mut self, a: $float) -> $float {
                -a
            }
            #[inline]
            fn fabs(&mut self, a: $float) -> $float {
                a.abs()
            }
            #[inline]
            fn fsqrt(&mut self, a: $float) -> $float {
                a.sqrt()
            }
            #[inline]
            fn ffloor(&mut self, a: $float) -> $float {
                a.floor()
            }
            #[inline]
            fn fceil(&mut self, a: $float) -> $float {
                a.ceil()
            }
            #[inline]
            fn ftrunc(&mut self, a: $float) -> $float {
                a.trunc()
            }
            #[inline]
            fn fround(&mut self, a: $float) -> $float {
                a.round_ties_even()
            }
            #[inline]
            fn feq(&mut self, a: $float, b: $float) -> bool {
                a == b
            }
            #[inline]
            fn fne(&mut self, a: $float, b: $float) -> bool {
                a != b
            }
            #[inline]
            fn flt(&mut self, a: $float, b: $float) -> bool {
                a < b
            }
            #[inline]
            fn fle(&mut self, a: $float, b: $float) -> bool {
                a <= b
            }
            #[inline]
            fn fselect(&mut self, m: bool, a: $float, b: $float) -> $float {
                if m { a } else { b }
            }
            #[inline]
            fn to_bits(&mut self, a: $float) -> $int {
                a.to_bits() as $int
            }
            #[inline]
            fn from_bits(&mut self, a: $int) -> $float {
                $float::from_bits(a as $uint)
            }
            #[inline]
            fn i_to_f(&mut self, a: $int) -> $float {
                a as $float
            }
            #[inline]
            fn f_to_i(&mut self, a: $float) -> $int {
                a as $int
            }
            #[inline]
            fn iconst(&mut self, v: i64) -> $int {
                v as $int
            }
            #[inline]
            fn iadd(&mut self, a: $int, b: $int) -> $int {
                a.wrapping_add(b)
            }
            #[inline]
            fn isub(&mut self, a: $int, b: $int) -> $int {
                a.wrapping_sub(b)
            }
            #[inline]
            fn imul(&mut self, a: $int, b: $int) -> $int {
                a.wrapping_mul(b)
            }
            #[inline]
            fn idiv(&mut self, a: $int, b: $int) -> $int {
                if b == 0 { 0 } else { a.wrapping_div(b) }
            }
            #[inline]
            fn irem(&mut self, a: $int, b: $int) -> $int {
                if b == 0 { a } else { a.wrapping_rem(b) }
            }
            #[inline]
            fn iudiv(&mut self, a: $int, b: $int) -> $int {
                (a as $uint).checked_div(b as $uint).unwrap_or(0) as $int
            }
            #[inline]
            fn iurem(&mut self, a: $int, b: $int) -> $int {
                (a as $uint).checked_rem(b as $uint).unwrap_or(a as $uint) as $int
            }
            #[inline]
            fn iand(&mut self, a: $int, b: $int) -> $int {
                a & b
            }
            #[inline]
            fn ior(&mut self, a: $int, b: $int) -> $int {
                a | b
            }
            #[inline]
            fn ixor(&mut self, a: $int, b: $int) -> $int {
                a ^ b
            }
            #[inline]
            fn ishl(&mut self, a: $int, by: u32) -> $int {
                a << by
            }
            #[inline]
            fn iushr(&mut self, a: $int, by: u32) -> $int {
                ((a as $uint) >> by) as $int
            }
            #[inline]
            fn isshr(&mut self, a: $int, by: u32) -> $int {
                a >> by
            }
            #[inline]
            fn ishl_by(&mut self, a: $int, by: $int) -> $int {
                a.wrapping_shl(by as u32)
            }
            #[inline]
            fn iushr_by(&mut self, a: $int, by: $int) -> $int {
                (a as $uint).wrapping_shr(by as u32) as $int
            }
            #[inline]
            fn isshr_by(&mut self, a: $int, by: $int) -> $int {
                a.wrapping_shr(by as u32)
            }
            #[inline]
            fn ieq(&mut self, a: $int, b: $int) -> bool {
                a == b
            }
            #[inline]
            fn ilt(&mut self, a: $int, b: $int) -> bool {
                a < b
            }
            #[inline]
            fn iult(&mut self, a: $int, b: $int) -> bool {
                (a as $uint) < b as $uint
            }
            #[inline]
            fn iselect(&mut self, m: bool, a: $int, b: $int) -> $int {
                if m { a } else { b }
            }
            #[inline]
            fn mconst(&mut self, v: bool) -> bool {
                v
            }
            #[inline]
            fn mand(&mut self, a: bool, b: bool) -> bool {
                a & b
            }
            #[inline]
            fn mor(&mut self, a: bool, b: bool) -> bool {
                a | b
            }
            #[inline]
            fn mxor(&mut self, a: bool, b: bool) -> bool {
                a ^ b
            }
            #[inline]
            fn mnot(&mut self, a: bool) -> bool {
                !a
            }
            #[inline]
            fn rare(&mut self, rare: bool, slow: Slow, x: $float, fast: $float) -> $float {
                if rare { (slow.$float)(x) } else { fast }
            }
            #[inline]
            fn rare2(&mut self, rare: bool, slow: Slow2, x: $float, y: $float, fast: $float) -> $float {
                if rare { (slow.$float)(x, y) } else { fast }
            }
        }
    };
}

plain!(f32, i32, u32, 32);
plain!(f64, i64, u64, 64);
