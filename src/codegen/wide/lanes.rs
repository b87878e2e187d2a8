//! Lanes made of virtual registers: each operation becomes an instruction of the machine, or [several](super::lacking) where it has none.

use smallvec::SmallVec;

use super::asm::{Length, Map, Opcode};
use super::ir::{Code, Form, Function, Inst, Logic, Reg};
use super::isa::Isa;
use super::opcodes::{self, avx2, float, int};
use crate::scalar::math::by_two_powers;
use crate::scalar::{Lanes, Slow, Slow2};

/// A group of lanes of `bits` bits.
pub(super) struct Wide<'c> {
    pub(super) code: &'c mut Code,
    pub(super) bits: u32,
    pub(super) length: Length,
}

/// Predicates of comparisons.
const EQ: u8 = 0;
const LT: u8 = 1;
const LE: u8 = 2;
const NE: u8 = 4;

impl Wide<'_> {
    pub(super) fn wide(&self) -> bool {
        self.bits == 64
    }

    /// True for numbers of 64 bits on machines that cannot do all with integers of 64 bits.
    fn is_lacking(&self) -> bool {
        self.wide() && !self.code.isa.has_long_integers()
    }

    pub(super) fn binary(&mut self, op: Opcode, a: Reg, b: Reg) -> Reg {
        self.code.op(op, Form::Binary, self.length, &[a, b], None)
    }

    /// An operation whose operands may change places: constants go where they can be read from memory.
    fn symmetric(&mut self, op: Opcode, a: Reg, b: Reg) -> Reg {
        if self.code.is_constant(a) { self.binary(op, b, a) } else { self.binary(op, a, b) }
    }

    pub(super) fn unary(&mut self, op: Opcode, a: Reg, imm: Option<u8>) -> Reg {
        self.code.op(op, Form::Unary, self.length, &[a], imm)
    }

    fn float(&self, name: &'static str, byte: u8) -> Opcode {
        float(self.wide(), name, byte)
    }

    fn int(&self, name: &'static str, byte: u8) -> Opcode {
        int(name, Map::M0f, self.wide(), byte)
    }

    fn round(&mut self, a: Reg, how: u8) -> Reg {
        // The same encoding is another instruction, which does the same.
        let name = match self.code.isa {
            Isa::Avx2 => "vround",
            Isa::Avx512 => "vrndscale",
        };
        let byte = if self.wide() { 0x09 } else { 0x08 };
        self.unary(int(name, Map::M0f3a, self.wide(), byte), a, Some(how | 8))
    }

    fn compare(&mut self, predicate: u8, a: Reg, b: Reg) -> Reg {
        self.truth(self.float("vcmp", 0xc2), a, b, Some(predicate))
    }

    /// An instruction that compares.
    fn truth(&mut self, op: Opcode, a: Reg, b: Reg, imm: Option<u8>) -> Reg {
        if self.is_narrow() {
            // Truth values stand in lanes as wide as the widest numbers.
            let narrow = self.code.op(op, Form::Binary, self.length, &[a, b], imm);
            let truth = self.code.mask();
            let (op, form, length) = (opcodes::EXTEND, Form::Unary, self.code.isa.full());
            self.code.push(Inst::Vector {
                op,
                form,
                length,
                dst: truth,
                args: SmallVec::from_slice(&[narrow]),
                imm: None,
            });
            self.code.narrower.insert(truth, narrow);
            return truth;
        }
        self.code.op(op, Form::Compare, self.length, &[a, b], imm)
    }

    /// True if truth values are vectors, and of wider lanes than these numbers.
    fn is_narrow(&self) -> bool {
        !self.code.isa.has_mask_registers() && self.bits < self.code.truth_bits
    }

    /// Truth values as they are wanted by instructions on these numbers.
    pub(super) fn condition(&mut self, truth: Reg) -> Reg {
        if !self.is_narrow() {
            return truth;
        }
        match self.code.narrower.get(&truth) {
            Some(&narrow) => narrow,
            None => self.low_words(truth),
        }
    }

    fn shift(&mut self, name: &'static str, narrow: (u8, u8), wide: (u8, u8), a: Reg, by: u32) -> Reg {
        let (byte, extension) = if self.wide() { wide } else { narrow };
        self.code.op(self.int(name, byte), Form::Shift(extension), self.length, &[a], Some(by as u8))
    }

    pub(super) fn sign(&mut self) -> Reg {
        self.code.element(1 << (self.bits - 1), self.bits)
    }

    fn logic(&mut self, op: Logic, args: &[Reg]) -> Reg {
        self.code.logic(op, args)
    }

    pub(super) fn blend(&mut self, mask: Reg, yes: Reg, no: Reg) -> Reg {
        let mask = self.condition(mask);
        let dst = self.code.vector();
        self.code.push(Inst::Blend { wide: self.bits == 64, length: self.length, dst, mask, yes, no });
        dst
    }
}

impl Wide<'_> {
    /// A shift by distances modulo the lane's width; those of the machine are not.
    fn shift_by(&mut self, name: &'static str, byte: u8, a: Reg, by: Reg) -> Reg {
        let most = self.iconst(i64::from(self.bits) - 1);
        let by = self.iand(by, most);
        self.binary(int(name, Map::M0f38, self.wide(), byte), a, by)
    }

    /// The function at `address` where `rare` holds, elsewhere `fast`; it is called only if `rare` holds anywhere.
    fn call_where(&mut self, rare: Reg, name: &'static str, address: *const u8, args: &[Reg], fast: Reg) -> Reg {
        let dst = self.code.vector();
        let rare = self.condition(rare);
        let function = Function { name, address: address as usize, bits: self.bits, arity: args.len() };
        let (args, length) = (SmallVec::from_slice(args), self.length);
        self.code.push(Inst::Call { dst, rare, args, fast, function, length });
        dst
    }
}

impl Lanes for Wide<'_> {
    type F = Reg;
    type I = Reg;
    type M = Reg;

    fn bits(&self) -> u32 {
        self.bits
    }

    fn fconst(&mut self, v: f64) -> Reg {
        let bits = if self.wide() { v.to_bits() } else { u64::from((v as f32).to_bits()) };
        self.code.element(bits, self.bits)
    }

    fn fadd(&mut self, a: Reg, b: Reg) -> Reg {
        self.symmetric(self.float("vadd", 0x58), a, b)
    }

    fn fsub(&mut self, a: Reg, b: Reg) -> Reg {
        self.binary(self.float("vsub", 0x5c), a, b)
    }

    fn fmul(&mut self, a: Reg, b: Reg) -> Reg {
        self.symmetric(self.float("vmul", 0x59), a, b)
    }

    fn fdiv(&mut self, a: Reg, b: Reg) -> Reg {
        self.binary(self.float("vdiv", 0x5e), a, b)
    }

    fn fscale(&mut self, p: Reg, n: Reg, t: Reg) -> Reg {
        if self.code.isa.has_scaling() {
            self.binary(opcodes::scale(self.wide()), p, n)
        } else {
            by_two_powers(self, p, t)
        }
    }

    fn fma(&mut self, a: Reg, b: Reg, c: Reg) -> Reg {
        let minus = |code: &Code, r: Reg| code.negated.get(&r).copied();
        let (mut args, mut negated) = ([a, b, c], false);
        for factor in &mut args[..2] {
            if let Some(of) = minus(self.code, *factor) {
                *factor = of;
                negated = !negated;
            }
        }
        let dst = self.code.vector();
        self.code.push(Inst::Fma { negated, wide: self.bits == 64, length: self.length, dst, args });
        dst
    }

    fn fneg(&mut self, a: Reg) -> Reg {
        let sign = self.sign();
        let dst = self.binary(self.int("vpxor", 0xef), a, sign);
        self.code.negated.insert(dst, a);
        dst
    }

    fn fabs(&mut self, a: Reg) -> Reg {
        let all = self.code.element((1 << (self.bits - 1)) - 1, self.bits);
        self.binary(self.int("vpand", 0xdb), a, all)
    }

    fn fsqrt(&mut self, a: Reg) -> Reg {
        self.unary(self.float("vsqrt", 0x51), a, None)
    }

    fn ffloor(&mut self, a: Reg) -> Reg {
        self.round(a, 1)
    }

    fn fceil(&mut self, a: Reg) -> Reg {
        self.round(a, 2)
    }

    fn ftrunc(&mut self, a: Reg) -> Reg {
        self.round(a, 3)
    }

    fn fround(&mut self, a: Reg) -> Reg {
        self.round(a, 0)
    }

    fn feq(&mut self, a: Reg, b: Reg) -> Reg {
        self.compare(EQ, a, b)
    }

    fn fne(&mut self, a: Reg, b: Reg) -> Reg {
        self.compare(NE, a, b)
    }

    fn flt(&mut self, a: Reg, b: Reg) -> Reg {
        let dst = self.compare(LT, a, b);
        self.code.less.insert(dst, (a, b));
        dst
    }

    fn fle(&mut self, a: Reg, b: Reg) -> Reg {
        self.compare(LE, a, b)
    }

    fn fselect(&mut self, m: Reg, a: Reg, b: Reg) -> Reg {
        // `a < b ? a : b` is the machine's minimum, and `b < a ? a : b` its maximum, NaN and zeros included.
        match self.code.less.get(&m) {
            Some(&pair) if pair == (a, b) => self.binary(self.float("vmin", 0x5d), a, b),
            Some(&pair) if pair == (b, a) => self.binary(self.float("vmax", 0x5f), a, b),
            _ => self.blend(m, a, b),
        }
    }

    fn to_bits(&mut self, a: Reg) -> Reg {
        a
    }

    fn from_bits(&mut self, a: Reg) -> Reg {
        a
    }

    fn i_to_f(&mut self, a: Reg) -> Reg {
        if self.is_lacking() {
            return self.long_to_float(a);
        }
        self.unary(if self.wide() { opcodes::I64_TO_F64 } else { opcodes::I32_TO_F32 }, a, None)
    }

    fn f_to_i(&mut self, a: Reg) -> Reg {
        let raw = if self.is_lacking() {
            self.float_to_long(a)
        } else {
            self.unary(if self.wide() { opcodes::F64_TO_I64 } else { opcodes::F32_TO_I32 }, a, None)
        };
        self.saturated(a, raw)
    }

    fn iconst(&mut self, v: i64) -> Reg {
        self.code.element(v as u64, self.bits)
    }

    fn iadd(&mut self, a: Reg, b: Reg) -> Reg {
        let byte = if self.wide() { 0xd4 } else { 0xfe };
        self.symmetric(self.int("vpadd", byte), a, b)
    }

    fn isub(&mut self, a: Reg, b: Reg) -> Reg {
        let byte = if self.wide() { 0xfb } else { 0xfa };
        self.binary(self.int("vpsub", byte), a, b)
    }

    fn imul(&mut self, a: Reg, b: Reg) -> Reg {
        if self.is_lacking() {
            return self.long_product(a, b);
        }
        self.symmetric(opcodes::multiply_ints(self.wide()), a, b)
    }

    fn idiv(&mut self, a: Reg, _: Reg) -> Reg {
        // The machine has no such instruction on vectors.
        self.code.unsupported = true;
        a
    }

    fn irem(&mut self, a: Reg, _: Reg) -> Reg {
        self.code.unsupported = true;
        a
    }

    fn iudiv(&mut self, a: Reg, _: Reg) -> Reg {
        self.code.unsupported = true;
        a
    }

    fn iurem(&mut self, a: Reg, _: Reg) -> Reg {
        self.code.unsupported = true;
        a
    }

    fn iand(&mut self, a: Reg, b: Reg) -> Reg {
        self.symmetric(self.int("vpand", 0xdb), a, b)
    }

    fn ior(&mut self, a: Reg, b: Reg) -> Reg {
        self.symmetric(self.int("vpor", 0xeb), a, b)
    }

    fn ixor(&mut self, a: Reg, b: Reg) -> Reg {
        self.symmetric(self.int("vpxor", 0xef), a, b)
    }

    fn ishl(&mut self, a: Reg, by: u32) -> Reg {
        self.shift("vpsll", (0x72, 6), (0x73, 6), a, by)
    }

    fn iushr(&mut self, a: Reg, by: u32) -> Reg {
        if let Some(v) = self.code.constant_element(a) {
            return self.code.element(v >> by, self.bits);
        }
        self.shift("vpsrl", (0x72, 2), (0x73, 2), a, by)
    }

    fn isshr(&mut self, a: Reg, by: u32) -> Reg {
        if self.is_lacking() {
            return self.long_shift(a, |l, v| l.iushr(v, by));
        }
        self.shift("vpsra", (0x72, 4), (0x72, 4), a, by)
    }

    fn ishl_by(&mut self, a: Reg, by: Reg) -> Reg {
        self.shift_by("vpsllv", 0x47, a, by)
    }

    fn iushr_by(&mut self, a: Reg, by: Reg) -> Reg {
        self.shift_by("vpsrlv", 0x45, a, by)
    }

    fn isshr_by(&mut self, a: Reg, by: Reg) -> Reg {
        if self.is_lacking() {
            return self.long_shift(a, |l, v| l.iushr_by(v, by));
        }
        self.shift_by("vpsrav", 0x46, a, by)
    }

    fn ieq(&mut self, a: Reg, b: Reg) -> Reg {
        match self.code.isa {
            Isa::Avx512 => self.truth(opcodes::compare_ints(self.wide()), a, b, Some(EQ)),
            Isa::Avx2 => self.truth(if self.wide() { avx2::EQUAL_64 } else { avx2::EQUAL_32 }, a, b, None),
        }
    }

    fn ilt(&mut self, a: Reg, b: Reg) -> Reg {
        match self.code.isa {
            Isa::Avx512 => self.truth(opcodes::compare_ints(self.wide()), a, b, Some(LT)),
            Isa::Avx2 => self.truth(if self.wide() { avx2::GREATER_64 } else { avx2::GREATER_32 }, b, a, None),
        }
    }

    fn iult(&mut self, a: Reg, b: Reg) -> Reg {
        match self.code.isa {
            Isa::Avx512 => self.truth(opcodes::compare_unsigned(self.wide()), a, b, Some(LT)),
            Isa::Avx2 => {
                let (a, b) = (self.signed_order(a), self.signed_order(b));
                self.ilt(a, b)
            }
        }
    }

    fn iselect(&mut self, m: Reg, a: Reg, b: Reg) -> Reg {
        self.blend(m, a, b)
    }

    fn mconst(&mut self, v: bool) -> Reg {
        self.code.truths(if v { u16::MAX } else { 0 })
    }

    fn mand(&mut self, a: Reg, b: Reg) -> Reg {
        self.logic(Logic::And, &[a, b])
    }

    fn mor(&mut self, a: Reg, b: Reg) -> Reg {
        self.logic(Logic::Or, &[a, b])
    }

    fn mxor(&mut self, a: Reg, b: Reg) -> Reg {
        self.logic(Logic::Xor, &[a, b])
    }

    fn mnot(&mut self, a: Reg) -> Reg {
        self.logic(Logic::Not, &[a])
    }

    fn rare(&mut self, rare: Reg, slow: Slow, x: Reg, fast: Reg) -> Reg {
        let address = if self.wide() { slow.f64 as *const u8 } else { slow.f32 as *const u8 };
        self.call_where(rare, slow.name, address, &[x], fast)
    }

    fn rare2(&mut self, rare: Reg, slow: Slow2, x: Reg, y: Reg, fast: Reg) -> Reg {
        let address = if self.wide() { slow.f64 as *const u8 } else { slow.f32 as *const u8 };
        self.call_where(rare, slow.name, address, &[x, y], fast)
    }
}

impl Wide<'_> {
    /// `raw`, which the machine made of `a`, corrected where `a` is no number or out of range: the machine gives the smallest integer for all of these,
    /// which is right for those below.
    fn saturated(&mut self, a: Reg, raw: Reg) -> Reg {
        let limit = self.fconst(if self.wide() { 2f64.powi(63) } else { 2f64.powi(31) });
        let largest = self.iconst(if self.wide() { i64::MAX } else { i32::MAX.into() });
        let zero = self.iconst(0);
        let (below, number) = (self.flt(a, limit), self.feq(a, a));
        let fitting = self.blend(below, raw, largest);
        self.blend(number, fitting, zero)
    }
}
