//! Conversions between types, as wide code. Each is what Rust's `as` does.

use crate::graph::DType;
use crate::scalar::Lanes;

use super::asm::Opcode;
use super::body::{Body, bits};
use super::ir::{Form, Reg};
use super::lanes::Wide;
use super::opcodes;

impl Body<'_> {
    /// Lanes of 64 bits made of those of 32, or the other way round.
    fn op(&mut self, op: Opcode, a: Reg) -> Reg {
        let length = self.full();
        self.code.op(op, Form::Unary, length, &[a], None)
    }

    /// Numbers of 32 bits that an instruction has made of a vector of 64-bit ones; in all lanes, if there are more.
    fn shortened(&mut self, short: Reg) -> Reg {
        if self.has_narrow_lanes() { self.op(opcodes::BROADCAST_32, short) } else { short }
    }

    /// Conversion to another type.
    pub(super) fn cast(&mut self, a: Reg, from: DType, to: DType) -> Reg {
        use DType::{BF16, Bool, F16, F32, F64, I32, I64, U8, U32};
        match (from, to) {
            _ if from == to => a,
            (Bool, _) => {
                let (one, zero) = (self.constant(to, 1.0), self.constant(to, 0.0));
                self.group(to).iselect(a, one, zero)
            }
            (_, Bool) => {
                let zero = self.constant(from, 0.0);
                let mut l = self.group(from);
                let truth = if from.is_float() {
                    l.fne(a, zero)
                } else {
                    let same = l.ieq(a, zero);
                    l.mnot(same)
                };
                self.in_all_lanes(truth, bits(from))
            }
            (F32, F64) => self.op(opcodes::PROMOTE, a),
            (F64, F32) => {
                let short = self.op(opcodes::DEMOTE, a);
                self.shortened(short)
            }
            // Shorter integers are kept as they are in 32 bits.
            (U8, I32 | U32) | (I32, U32) | (U32, I32) => a,
            (I32 | U32, U8) => byte(&mut self.group(to), a),
            (I32, I64) => self.op(opcodes::EXTEND, a),
            (U8 | U32, I64) => self.op(opcodes::EXTEND_UNSIGNED, a),
            (I64, I32 | U32) => {
                let short = self.group(I64).low_words(a);
                self.shortened(short)
            }
            (U8 | I32, F32) => self.group(I32).i_to_f(a),
            (U8 | I32, F64) => self.op(opcodes::I32_TO_F64, a),
            (I64, F64) => self.group(I64).i_to_f(a),
            (U32, F32) => {
                // The sum of the halves is rounded once.
                let mut l = self.group(U32);
                let (mask, scale) = (l.iconst(0xffff), l.fconst(65536.0));
                let (high, low) = (l.iushr(a, 16), l.iand(a, mask));
                let (high, low) = (l.i_to_f(high), l.i_to_f(low));
                l.fma(high, scale, low)
            }
            (U32, F64) => {
                let shifted = self.group(U32).signed_order(a);
                let double = self.op(opcodes::I32_TO_F64, shifted);
                let offset = self.constant(F64, 2f64.powi(31));
                self.group(F64).fadd(double, offset)
            }
            (I64, F32) if self.code.isa.has_long_integers() => {
                let short = self.op(opcodes::I64_TO_F32, a);
                self.shortened(short)
            }
            (I64, F32) => {
                let marked = self.group(I64).long_rounding_once(a);
                let double = self.cast(marked, I64, F64);
                self.cast(double, F64, F32)
            }
            (F32, I32) | (F64, I64) => self.group(from).f_to_i(a),
            (F32, U32) => {
                // Numbers from 2^31 on are converted less 2^31.
                let mut l = self.group(F32);
                let (half, zero, top) = (l.fconst(2f64.powi(31)), l.iconst(0), l.iconst(1 << 31));
                let large = l.fle(half, a);
                let less = l.fsub(a, half);
                let near = l.fselect(large, less, a);
                let int = l.f_to_i(near);
                let (moved, negative) = (l.ixor(int, top), l.ilt(int, zero));
                let int = l.iselect(negative, zero, int);
                l.iselect(large, moved, int)
            }
            (F64, I32) => {
                let whole = self.limited(a, i32::MIN.into(), i32::MAX.into());
                let short = self.op(opcodes::F64_TO_I32, whole);
                self.shortened(short)
            }
            (F64, U32) => {
                let whole = self.limited(a, 0.0, u32::MAX.into());
                let offset = self.constant(F64, 2f64.powi(31));
                let moved = self.group(F64).fsub(whole, offset);
                let short = self.op(opcodes::F64_TO_I32, moved);
                let short = self.shortened(short);
                self.group(U32).signed_order(short)
            }
            (F32 | F64, U8) => {
                let int = self.cast(a, from, I32);
                let mut l = self.group(I32);
                let (zero, most) = (l.iconst(0), l.iconst(255));
                let (under, over) = (l.ilt(int, zero), l.ilt(most, int));
                let int = l.iselect(under, zero, int);
                l.iselect(over, most, int)
            }
            // By way of a type between.
            (F32, I64) => {
                let double = self.cast(a, F32, F64);
                self.cast(double, F64, I64)
            }
            (I64, U8) => {
                let short = self.cast(a, I64, I32);
                self.cast(short, I32, U8)
            }
            (F16 | BF16, _) | (_, F16 | BF16) => panic!("kernels with numbers of 16 bits are left to Cranelift"),
            (U8 | I32 | U32 | I64 | F32 | F64, _) => a,
        }
    }

    /// A number of 64 bits without its fraction, held between two bounds; 0 for NaN.
    fn limited(&mut self, a: Reg, least: f64, most: f64) -> Reg {
        let mut l = self.group(DType::F64);
        let (least, most, zero) = (l.fconst(least), l.fconst(most), l.fconst(0.0));
        let number = l.feq(a, a);
        let a = l.fselect(number, a, zero);
        let under = l.flt(a, least);
        let a = l.fselect(under, least, a);
        let over = l.flt(most, a);
        let a = l.fselect(over, most, a);
        l.ftrunc(a)
    }
}

/// Integers of 32 bits that wrap to 8.
pub(super) fn byte(l: &mut Wide<'_>, v: Reg) -> Reg {
    let mask = l.iconst(0xff);
    l.iand(v, mask)
}
