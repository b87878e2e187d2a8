//! Truth values and memory in AVX-512: mask registers, write masks, gathers and scatters.

use super::super::alloc::Home;
use super::super::asm::{Gpr, Length, Mask, Mem, Opcode, Rm, Under};
use super::super::ir::{Address, Inst, Lay, Logic, Reg};
use super::super::opcodes;
use super::Emit;

/// Mask registers for operands on their way.
pub(super) const K_SCRATCH: [Mask; 2] = [Mask(1), Mask(2)];

impl Emit<'_> {
    /// See [`Emit::inst`].
    pub(super) fn inst_avx512(&mut self, inst: &Inst) {
        match inst {
            Inst::Blend { wide, length, dst, mask, yes, no } => {
                let k = self.mask(*mask, K_SCRATCH[0]);
                let no = self.in_register(*no, self.scratch[0]);
                let yes = self.rm(*yes);
                let to = self.target(*dst, self.scratch[2]);
                self.asm.vector(opcodes::blend(*wide), *length, Under::Merge(k), to.0, no.0, yes, None);
                self.put(*dst, to);
            }
            Inst::Permute { wide, length, dst, index, args: [a, b] } => {
                let index = self.in_register(*index, self.scratch[0]);
                let b = self.in_register(*b, self.scratch[1]);
                // The first vector is overwritten. The index is a constant, so its register is not the result's.
                let own = self.target(*dst, self.scratch[2]);
                let to = if own == b { self.scratch[2] } else { own };
                let a = self.in_register(*a, to);
                self.copy(to, a);
                self.asm.vector(opcodes::permute_two(*wide), *length, Under::All, to.0, index.0, Rm::Reg(b), None);
                self.copy(own, to);
                self.put(*dst, own);
            }
            Inst::Logic { op, dst, args } => self.logic_avx512(*op, *dst, args),
            Inst::Move { dst, src } => {
                let from = self.mask(*src, K_SCRATCH[0]);
                let to = self.mask_target(*dst, from);
                if to != from {
                    self.asm.kmov(to, from);
                }
                self.put_mask(*dst, to);
            }
            Inst::Load { lay, dst, at, length, mask } => self.load_avx512(*lay, *dst, at, *length, *mask),
            Inst::Store { lay, src, at, length, mask } => self.store_avx512(*lay, *src, at, *length, *mask),
            Inst::Gather { dst, at, index, scale, length, mask, fill } => {
                let k = self.mask(*mask, K_SCRATCH[1]);
                // The instruction clears the mask as it goes, and its operands must differ.
                self.asm.kmov(K_SCRATCH[0], k);
                let to = self.scratch[2];
                let fill = self.in_register(*fill, self.scratch[2]);
                self.copy(to, fill);
                let index = self.in_register(*index, self.scratch[1]);
                let base = self.pointer(at);
                let op = if at.size == 8 { opcodes::GATHER_64 } else { opcodes::GATHER_32 };
                self.asm.indexed(op, *length, K_SCRATCH[0], to, base, index, *scale, at.disp);
                let own = self.target(*dst, to);
                self.copy(own, to);
                self.put(*dst, own);
            }
            Inst::Scatter { src, at, index, scale, length, mask } => {
                let k = self.mask(*mask, K_SCRATCH[1]);
                self.asm.kmov(K_SCRATCH[0], k);
                let from = self.in_register(*src, self.scratch[0]);
                let index = self.in_register(*index, self.scratch[1]);
                let base = self.pointer(at);
                let op = if at.size == 8 { opcodes::SCATTER_64 } else { opcodes::SCATTER_32 };
                self.asm.indexed(op, *length, K_SCRATCH[0], from, base, index, *scale, at.disp);
            }
            Inst::Counter { dst, pattern, offset, wide, length } => {
                match pattern {
                    Some(p) => {
                        let r = self.scalar(self.patterns[p.0 as usize], Gpr::RAX);
                        self.asm.lea(Gpr::RAX, Mem::base(r, *offset as i32));
                    }
                    None => self.asm.imm(Gpr::RAX, *offset),
                }
                let op = if *wide { opcodes::BROADCAST_GPR_64 } else { opcodes::BROADCAST_GPR_32 };
                let to = self.target(*dst, self.scratch[0]);
                self.asm.vector(op, *length, Under::All, to.0, 0, Rm::Gpr(Gpr::RAX), None);
                self.put(*dst, to);
            }
            Inst::Choose { dst, value, wide, extent, stride, chosen } => {
                self.choose(*value, *wide, *extent, *stride, *chosen);
                let k = self.mask_target(*dst, K_SCRATCH[0]);
                self.asm.kmov_from(k, Gpr::RDX);
                self.put_mask(*dst, k);
            }
            _ => panic!("{inst:?} is the same in every instruction set"),
        }
    }

    /// A comparison: its result is a mask.
    pub(super) fn compare_avx512(&mut self, op: Opcode, length: Length, dst: Reg, args: &[Reg], imm: Option<u8>) {
        let a = self.in_register(args[0], self.scratch[0]);
        let b = self.rm(args[1]);
        let k = self.mask_target(dst, K_SCRATCH[0]);
        self.asm.vector(op, length, Under::All, k.0, a.0, b, imm);
        self.put_mask(dst, k);
    }

    /// Truth values in a mask register: their own, or `scratch`. Those that are constant use `rax`.
    pub(super) fn mask(&mut self, reg: Reg, scratch: Mask) -> Mask {
        match self.homes.of[reg.index()] {
            Home::Register(r) => Mask(r),
            Home::Frame(slot) => {
                self.asm.kmov_frame(scratch, self.masks + 8 * slot as i32, false);
                scratch
            }
            Home::Pool => {
                let bits = self.code.constant_truths(reg).expect("the constant is truth values");
                self.set_mask(scratch, bits);
                scratch
            }
            Home::None => panic!("mask v{} has no home", reg.0),
        }
    }

    /// Gives a mask register these bits; uses `rax`.
    pub(super) fn set_mask(&mut self, to: Mask, bits: u16) {
        self.asm.imm(Gpr::RAX, i64::from(bits));
        self.asm.kmov_from(to, Gpr::RAX);
    }

    fn mask_target(&self, reg: Reg, scratch: Mask) -> Mask {
        match self.homes.of[reg.index()] {
            Home::Register(r) => Mask(r),
            _ => scratch,
        }
    }

    fn put_mask(&mut self, reg: Reg, from: Mask) {
        if let Home::Frame(slot) = self.homes.of[reg.index()] {
            self.asm.kmov_frame(from, self.masks + 8 * slot as i32, true);
        }
    }

    fn under(&mut self, mask: Option<Reg>, zero: bool) -> Under {
        match mask {
            None => Under::All,
            Some(m) => {
                let k = self.mask(m, K_SCRATCH[0]);
                if zero { Under::Zero(k) } else { Under::Merge(k) }
            }
        }
    }

    fn logic_avx512(&mut self, op: Logic, dst: Reg, args: &[Reg]) {
        let a = self.mask(args[0], K_SCRATCH[0]);
        let to = self.mask_target(dst, K_SCRATCH[0]);
        match op {
            Logic::And | Logic::Or | Logic::Xor => {
                let b = self.mask(args[1], K_SCRATCH[1]);
                match op {
                    Logic::And => self.asm.kand(to, a, b),
                    Logic::Or => self.asm.kor(to, a, b),
                    _ => self.asm.kxor(to, a, b),
                }
            }
            Logic::Not => self.asm.knot(to, a),
            Logic::First | Logic::Any | Logic::All => {
                self.asm.kmov_to(Gpr::RAX, a);
                let bits = if op == Logic::First { 1 } else { (1 << self.code.lanes()) - 1 };
                self.asm.and(Rm::Gpr(Gpr::RAX), bits);
                if op == Logic::All {
                    // Only all bits reach this number.
                    self.asm.add(Rm::Gpr(Gpr::RAX), -bits);
                    self.asm.negate(Gpr::RAX);
                    self.asm.all_if_carry(Gpr::RAX);
                    self.asm.add(Rm::Gpr(Gpr::RAX), 1);
                    self.asm.negate(Gpr::RAX);
                } else {
                    self.asm.negate(Gpr::RAX);
                    self.asm.all_if_carry(Gpr::RAX);
                }
                self.asm.kmov_from(to, Gpr::RAX);
            }
        }
        self.put_mask(dst, to);
    }

    fn load_avx512(&mut self, lay: Lay, dst: Reg, at: &Address, length: Length, mask: Option<Reg>) {
        // The mask comes first: it may use the registers for addresses.
        let under = self.under(mask, true);
        let mem = self.memory(at);
        if self.code.is_mask(dst) {
            let k = self.mask_target(dst, K_SCRATCH[1]);
            if lay == Lay::One {
                self.asm.load_byte(Gpr::RAX, mem);
                self.asm.negate(Gpr::RAX);
                self.asm.all_if_carry(Gpr::RAX);
                self.asm.kmov_from(k, Gpr::RAX);
            } else {
                let tmp = self.scratch[0];
                self.asm.vector(opcodes::BYTES_TO_32, length, under, tmp.0, 0, Rm::Mem(mem), None);
                self.asm.vector(opcodes::TEST_32, length, Under::All, k.0, tmp.0, Rm::Reg(tmp), None);
            }
            return self.put_mask(dst, k);
        }
        let to = self.target(dst, self.scratch[0]);
        let wide = at.size == 8;
        match (lay, at.size) {
            (Lay::One, 1) => {
                self.asm.load_byte(Gpr::RAX, mem);
                self.asm.vector(opcodes::BROADCAST_GPR_32, length, Under::All, to.0, 0, Rm::Gpr(Gpr::RAX), None);
            }
            (Lay::One, _) => {
                let op = opcodes::broadcast(self.isa, wide);
                self.asm.vector(op, length, under, to.0, 0, Rm::Mem(mem), None);
            }
            (Lay::Run, 1) => {
                self.asm.vector(opcodes::BYTES_TO_32, length, under, to.0, 0, Rm::Mem(mem), None);
            }
            (Lay::Run, _) => self.asm.vector(opcodes::load(wide), length, under, to.0, 0, Rm::Mem(mem), None),
        }
        self.put(dst, to);
    }

    fn store_avx512(&mut self, lay: Lay, src: Reg, at: &Address, length: Length, mask: Option<Reg>) {
        let wide = at.size == 8;
        if self.code.is_mask(src) {
            // Truth values are bytes of 0 or 1.
            let k = self.mask(src, K_SCRATCH[1]);
            let one = self.asm.constant(&1u32.to_le_bytes());
            let tmp = self.scratch[0];
            self.asm.vector(opcodes::BROADCAST_32, length, Under::Zero(k), tmp.0, 0, Rm::Mem(one), None);
            let under = if lay == Lay::One { self.first_of(mask) } else { self.under(mask, false) };
            let mem = self.memory(at);
            self.asm.vector(opcodes::BYTES_FROM_32, length, under, tmp.0, 0, Rm::Mem(mem), None);
            return;
        }
        let from = self.in_register(src, self.scratch[0]);
        if at.size == 1 {
            let under = if lay == Lay::One { self.first_of(mask) } else { self.under(mask, false) };
            let mem = self.memory(at);
            return self.asm.vector(opcodes::BYTES_FROM_32, length, under, from.0, 0, Rm::Mem(mem), None);
        }
        let under = self.under(mask, false);
        let mem = self.memory(at);
        let op = if lay == Lay::One { opcodes::store_one(wide) } else { opcodes::store(wide) };
        let length = if lay == Lay::One { Length::L128 } else { length };
        self.asm.vector(op, length, under, from.0, 0, Rm::Mem(mem), None);
    }

    /// The first lane, if the mask has it.
    fn first_of(&mut self, mask: Option<Reg>) -> Under {
        let first = K_SCRATCH[1];
        self.asm.imm(Gpr::RAX, 1);
        self.asm.kmov_from(first, Gpr::RAX);
        if let Some(m) = mask {
            let k = self.mask(m, K_SCRATCH[0]);
            self.asm.kand(first, first, k);
        }
        Under::Merge(first)
    }
}
