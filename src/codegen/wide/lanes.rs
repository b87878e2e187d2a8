//! Lanes made of virtual registers: each operation becomes an instruction of the machine.

use smallvec::SmallVec;

use super::asm::{Length, Map, Opcode, Prefix};
use super::ir::{Code, Form, Function, Inst, Kind, Logic, Reg};
use crate::scalar::{Lanes, Slow, Slow2};

/// A group of lanes of `bits` bits.
pub(super) struct Wide<'c> {
    pub(super) code: &'c mut Code,
    pub(super) bits: u32,
    pub(super) length: Length,
}

/// An instruction of map 0F3A or 0F38, or of 0F with prefix 66, that takes integers of 32 or 64 bits.
const fn int(name: &'static str, map: Map, wide: bool, byte: u8) -> Opcode {
    Opcode { name, prefix: Prefix::P66, map, wide, byte }
}

/// An instruction of map 0F with any prefix.
const fn plain(name: &'static str, prefix: Prefix, wide: bool, byte: u8) -> Opcode {
    Opcode { name, prefix, map: Map::M0f, wide, byte }
}

pub(super) const MOVE: Opcode = plain("vmovaps", Prefix::None, false, 0x28);
pub(super) const MOVE_FROM_VECTOR_32: Opcode = plain("vmovd", Prefix::P66, false, 0x7e);
pub(super) const MOVE_FROM_VECTOR_64: Opcode = plain("vmovq", Prefix::P66, true, 0x7e);
pub(super) const BROADCAST_32: Opcode = int("vbroadcastss", Map::M0f38, false, 0x18);
pub(super) const BROADCAST_64: Opcode = int("vbroadcastsd", Map::M0f38, true, 0x19);
pub(super) const BROADCAST_GPR_32: Opcode = int("vpbroadcastd", Map::M0f38, false, 0x7c);
pub(super) const BROADCAST_GPR_64: Opcode = int("vpbroadcastq", Map::M0f38, true, 0x7c);
pub(super) const BYTES_TO_32: Opcode = int("vpmovzxbd", Map::M0f38, false, 0x31);
pub(super) const BYTES_FROM_32: Opcode =
    Opcode { name: "vpmovdb", prefix: Prefix::Pf3, map: Map::M0f38, wide: false, byte: 0x31 };
pub(super) const WORDS_FROM_64: Opcode =
    Opcode { name: "vpmovqd", prefix: Prefix::Pf3, map: Map::M0f38, wide: false, byte: 0x35 };
pub(super) const EXTEND: Opcode = int("vpmovsxdq", Map::M0f38, false, 0x25);
pub(super) const UPPER_HALF: Opcode = int("vextractf64x4", Map::M0f3a, true, 0x1b);
pub(super) const INSERT_HALF: Opcode = int("vinsertf64x4", Map::M0f3a, true, 0x1a);
pub(super) const PROMOTE: Opcode = plain("vcvtps2pd", Prefix::None, false, 0x5a);
pub(super) const DEMOTE: Opcode = plain("vcvtpd2ps", Prefix::P66, true, 0x5a);
pub(super) const I32_TO_F32: Opcode = plain("vcvtdq2ps", Prefix::None, false, 0x5b);
pub(super) const I64_TO_F32: Opcode = plain("vcvtqq2ps", Prefix::None, true, 0x5b);
pub(super) const I32_TO_F64: Opcode = plain("vcvtdq2pd", Prefix::Pf3, false, 0xe6);
pub(super) const I64_TO_F64: Opcode = plain("vcvtqq2pd", Prefix::Pf3, true, 0xe6);
pub(super) const F32_TO_I32: Opcode = plain("vcvttps2dq", Prefix::Pf3, false, 0x5b);
pub(super) const F64_TO_I64: Opcode = plain("vcvttpd2qq", Prefix::P66, true, 0x7a);
pub(super) const TEST_32: Opcode = int("vptestmd", Map::M0f38, false, 0x27);
pub(super) const GATHER_32: Opcode = int("vgatherdps", Map::M0f38, false, 0x92);
pub(super) const GATHER_64: Opcode = int("vgatherdpd", Map::M0f38, true, 0x92);
pub(super) const SCATTER_32: Opcode = int("vscatterdps", Map::M0f38, false, 0xa2);
pub(super) const SCATTER_64: Opcode = int("vscatterdpd", Map::M0f38, true, 0xa2);

/// An instruction on floats: of 32 bits without a prefix, of 64 bits with 66 and W.
pub(super) const fn float(wide: bool, name: &'static str, byte: u8) -> Opcode {
    plain(name, if wide { Prefix::P66 } else { Prefix::None }, wide, byte)
}

/// Rotates lanes of 32 or 64 bits by `imm` places.
pub(super) const fn rotate(wide: bool) -> Opcode {
    int(if wide { "valignq" } else { "valignd" }, Map::M0f3a, wide, 0x03)
}

/// Loads and stores of vectors, the write mask by elements of 32 or 64 bits.
pub(super) const fn load(wide: bool) -> Opcode {
    float(wide, if wide { "vmovupd" } else { "vmovups" }, 0x10)
}

/// See [`load`].
pub(super) const fn store(wide: bool) -> Opcode {
    float(wide, if wide { "vmovupd" } else { "vmovups" }, 0x11)
}

/// Loads the first lane; the others become 0.
pub(super) const fn load_one(wide: bool) -> Opcode {
    plain(if wide { "vmovsd" } else { "vmovss" }, if wide { Prefix::Pf2 } else { Prefix::Pf3 }, wide, 0x10)
}

/// Stores the first lane.
pub(super) const fn store_one(wide: bool) -> Opcode {
    plain(if wide { "vmovsd" } else { "vmovss" }, if wide { Prefix::Pf2 } else { Prefix::Pf3 }, wide, 0x11)
}

/// `a * b + c` (or `c - a * b`); the byte says which operand is overwritten.
pub(super) const fn fused(wide: bool, byte: u8) -> Opcode {
    int("vfma", Map::M0f38, wide, byte)
}

/// Chooses by a mask.
pub(super) const fn blend(wide: bool) -> Opcode {
    int(if wide { "vblendmpd" } else { "vblendmps" }, Map::M0f38, wide, 0x65)
}

/// Compares integers; the immediate says how.
pub(super) const fn compare_ints(wide: bool) -> Opcode {
    int(if wide { "vpcmpq" } else { "vpcmpd" }, Map::M0f3a, wide, 0x1f)
}

/// Compares unsigned integers.
pub(super) const fn compare_unsigned(wide: bool) -> Opcode {
    int(if wide { "vpcmpuq" } else { "vpcmpud" }, Map::M0f3a, wide, 0x1e)
}

/// The low bits of integers multiplied.
pub(super) const fn multiply_ints(wide: bool) -> Opcode {
    int(if wide { "vpmullq" } else { "vpmulld" }, Map::M0f38, wide, 0x40)
}

/// Predicates of comparisons.
const EQ: u8 = 0;
const LT: u8 = 1;
const LE: u8 = 2;
const NE: u8 = 4;

impl Wide<'_> {
    fn wide(&self) -> bool {
        self.bits == 64
    }

    fn binary(&mut self, op: Opcode, a: Reg, b: Reg) -> Reg {
        self.code.op(op, Form::Binary, self.length, &[a, b], None)
    }

    /// An operation whose operands may change places: constants go where they can be read from memory.
    fn symmetric(&mut self, op: Opcode, a: Reg, b: Reg) -> Reg {
        if self.code.is_constant(a) { self.binary(op, b, a) } else { self.binary(op, a, b) }
    }

    fn unary(&mut self, op: Opcode, a: Reg, imm: Option<u8>) -> Reg {
        self.code.op(op, Form::Unary, self.length, &[a], imm)
    }

    fn float(&self, name: &'static str, byte: u8) -> Opcode {
        float(self.wide(), name, byte)
    }

    fn int(&self, name: &'static str, byte: u8) -> Opcode {
        int(name, Map::M0f, self.wide(), byte)
    }

    fn round(&mut self, a: Reg, how: u8) -> Reg {
        let (name, byte) = if self.wide() { ("vrndscalepd", 0x09) } else { ("vrndscaleps", 0x08) };
        self.unary(int(name, Map::M0f3a, self.wide(), byte), a, Some(how | 8))
    }

    fn compare(&mut self, predicate: u8, a: Reg, b: Reg) -> Reg {
        self.code.op(self.float("vcmp", 0xc2), Form::Compare, self.length, &[a, b], Some(predicate))
    }

    fn shift(&mut self, name: &'static str, narrow: (u8, u8), wide: (u8, u8), a: Reg, by: u32) -> Reg {
        let (byte, extension) = if self.wide() { wide } else { narrow };
        self.code.op(self.int(name, byte), Form::Shift(extension), self.length, &[a], Some(by as u8))
    }

    fn sign(&mut self) -> Reg {
        self.code.element(1 << (self.bits - 1), self.bits)
    }

    fn logic(&mut self, op: Logic, args: &[Reg]) -> Reg {
        self.code.logic(op, args, 0)
    }

    fn blend(&mut self, mask: Reg, yes: Reg, no: Reg) -> Reg {
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
        self.unary(if self.wide() { I64_TO_F64 } else { I32_TO_F32 }, a, None)
    }

    fn f_to_i(&mut self, a: Reg) -> Reg {
        let raw = self.unary(if self.wide() { F64_TO_I64 } else { F32_TO_I32 }, a, None);
        self.saturated(a, raw, self.bits, self.length)
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
        self.symmetric(multiply_ints(self.wide()), a, b)
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
        self.shift("vpsrl", (0x72, 2), (0x73, 2), a, by)
    }

    fn isshr(&mut self, a: Reg, by: u32) -> Reg {
        self.shift("vpsra", (0x72, 4), (0x72, 4), a, by)
    }

    fn ishl_by(&mut self, a: Reg, by: Reg) -> Reg {
        self.shift_by("vpsllv", 0x47, a, by)
    }

    fn iushr_by(&mut self, a: Reg, by: Reg) -> Reg {
        self.shift_by("vpsrlv", 0x45, a, by)
    }

    fn isshr_by(&mut self, a: Reg, by: Reg) -> Reg {
        self.shift_by("vpsrav", 0x46, a, by)
    }

    fn ieq(&mut self, a: Reg, b: Reg) -> Reg {
        self.code.op(compare_ints(self.wide()), Form::Compare, self.length, &[a, b], Some(EQ))
    }

    fn ilt(&mut self, a: Reg, b: Reg) -> Reg {
        self.code.op(compare_ints(self.wide()), Form::Compare, self.length, &[a, b], Some(LT))
    }

    fn iult(&mut self, a: Reg, b: Reg) -> Reg {
        self.code.op(compare_unsigned(self.wide()), Form::Compare, self.length, &[a, b], Some(LT))
    }

    fn iselect(&mut self, m: Reg, a: Reg, b: Reg) -> Reg {
        self.blend(m, a, b)
    }

    fn mconst(&mut self, v: bool) -> Reg {
        self.code.mask_bits(if v { u16::MAX } else { 0 })
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
    /// `raw`, which the machine made of `a`, corrected where `a` is out of range of integers of `to` bits: the machine gives the smallest integer for all
    /// of these, which is right for those below.
    pub(super) fn saturated(&mut self, a: Reg, raw: Reg, to: u32, length: Length) -> Reg {
        let limit = self.fconst(if to == 64 { 2f64.powi(63) } else { 2f64.powi(31) });
        let largest = self.code.element(if to == 64 { i64::MAX as u64 } else { i32::MAX as u64 }, to);
        let zero = self.code.element(0, to);
        let (below, number) = (self.flt(a, limit), self.feq(a, a));
        let wide = to == 64;
        let mut blend = |mask, yes, no| {
            let dst = self.code.vector();
            self.code.push(Inst::Blend { wide, length, dst, mask, yes, no });
            dst
        };
        let fitting = blend(below, raw, largest);
        blend(number, fitting, zero)
    }
}

/// The value of a constant of one element.
pub(super) fn element_of(kind: &Kind) -> Option<(u64, u8)> {
    match kind {
        Kind::Element(v, bytes) => Some((*v, *bytes)),
        _ => None,
    }
}
