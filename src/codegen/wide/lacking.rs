//! What AVX2 has no instruction for, made of those that it has: arithmetic and conversions of integers of 64 bits, and the order of unsigned ones.

use super::ir::{Form, Reg};
use super::lanes::Wide;
use super::opcodes::{self, avx2};
use crate::scalar::Lanes;

/// 2^52: the low bits of 2^52 + n are n, for n from 0 to below 2^52.
const MAGIC: f64 = 4_503_599_627_370_496.0;

impl Wide<'_> {
    /// The low words of vectors of 64-bit lanes, as half a vector.
    pub(super) fn low_words(&mut self, a: Reg) -> Reg {
        let isa = self.code.isa;
        if isa.has_long_integers() {
            return self.code.op(opcodes::WORDS_FROM_64, Form::Reversed, isa.full(), &[a], None);
        }
        let upper = self.code.op(avx2::UPPER_HALF, Form::Reversed, isa.full(), &[a], Some(1));
        self.code.op(avx2::SHUFFLE_32, Form::Binary, isa.half(), &[a, upper], Some(0b10_00_10_00))
    }

    /// Integers whose order as signed ones is that of `a` as unsigned ones.
    pub(super) fn signed_order(&mut self, a: Reg) -> Reg {
        if let Some(v) = self.code.constant_element(a) {
            return self.code.element(v ^ 1 << (self.bits - 1), self.bits);
        }
        let sign = self.sign();
        self.ixor(a, sign)
    }

    /// `a * b` of 64 bits, wrapping: by halves.
    pub(super) fn long_product(&mut self, a: Reg, b: Reg) -> Reg {
        let low = self.binary(avx2::MULTIPLY_LOW_HALVES, a, b);
        let (a_high, b_high) = (self.iushr(a, 32), self.iushr(b, 32));
        let (left, right) =
            (self.binary(avx2::MULTIPLY_LOW_HALVES, a_high, b), self.binary(avx2::MULTIPLY_LOW_HALVES, b_high, a));
        let cross = self.iadd(left, right);
        let cross = self.ishl(cross, 32);
        self.iadd(low, cross)
    }

    /// `a` shifted right with its sign, by a shift that puts in zeros.
    pub(super) fn long_shift(&mut self, a: Reg, shift: impl Fn(&mut Self, Reg) -> Reg) -> Reg {
        let sign = self.sign();
        let (shifted, sign) = (shift(self, a), shift(self, sign));
        let flipped = self.ixor(shifted, sign);
        self.isub(flipped, sign)
    }

    /// `a` of 64 bits as a float, rounded once: the low half as 2^52 + low, the upper one as 2^84 + (high + 2^31) 2^32.
    pub(super) fn long_to_float(&mut self, a: Reg) -> Reg {
        let magic = self.fconst(MAGIC);
        let low = self.code.op(avx2::BLEND_32, Form::Binary, self.length, &[a, magic], Some(0b1010_1010));
        let high = self.iushr(a, 32);
        let over = self.iconst(0x4530_0000_8000_0000);
        let high = self.ixor(high, over);
        let both = self.fconst(2f64.powi(84) + 2f64.powi(63) + MAGIC);
        let high = self.fsub(high, both);
        self.fadd(high, low)
    }

    /// `a` without its fraction as an integer of 64 bits; the smallest one for numbers below all. For numbers above and NaN it is anything.
    pub(super) fn float_to_long(&mut self, a: Reg) -> Reg {
        let whole = self.ftrunc(a);
        let scale = self.fconst(2f64.powi(-32));
        let high = self.fmul(whole, scale);
        let high = self.ffloor(high);
        let back = self.fconst(-2f64.powi(32));
        let low = self.fma(high, back, whole);
        let (magic, signed) = (self.fconst(MAGIC), self.fconst(1.5 * MAGIC));
        let low = self.fadd(low, magic);
        let low = self.ixor(low, magic);
        let high = self.fadd(high, signed);
        let high = self.isub(high, signed);
        let high = self.ishl(high, 32);
        let long = self.iadd(high, low);
        let (least, smallest) = (self.fconst(-2f64.powi(63)), self.iconst(i64::MIN));
        let below = self.flt(a, least);
        self.blend(below, smallest, long)
    }

    /// `a` of 64 bits as a float of 32 bits, as a float of 64 bits that rounds to it: beyond 2^53 the bits that a float of 64 bits has no room for are
    /// kept as one.
    pub(super) fn long_rounding_once(&mut self, a: Reg) -> Reg {
        let few = self.iconst(2047);
        let lost = self.iand(a, few);
        let (zero, room) = (self.iconst(0), self.iconst(2048));
        let exact = self.ieq(lost, zero);
        let kept = self.isub(a, lost);
        let marked = self.ior(kept, room);
        let kept = self.blend(exact, kept, marked);
        let (offset, reach) = (self.iconst(1 << 53), self.iconst(1 << 54));
        let moved = self.iadd(a, offset);
        let small = self.iult(moved, reach);
        self.blend(small, a, kept)
    }
}
