//! Calls of functions of this program, for the lanes that a straight line cannot serve.
//!
//! All registers that the function may change are kept in the frame meanwhile; lanes are handed over one after the other, through the frame too. Such calls
//! are rare, so their price is in the code that jumps over them: one test.

use super::super::asm::{Condition, Gpr, Length, Mask, Mem, Rm, Under};
use super::super::ir::{Function, Reg};
use super::super::opcodes::{self, avx2};
use super::avx512::K_SCRATCH;
use super::{Emit, Isa, frame};

/// Bytes of the frame for calls: vector registers, masks, general registers, and the lanes of two arguments and of the results.
const KEPT_MASKS: i32 = 32 * 64;
const KEPT_REGISTERS: i32 = KEPT_MASKS + 8 * 8;
const CALL_LANES: i32 = KEPT_REGISTERS + 16 * 8;
pub(super) const FRAME_BYTES: i32 = CALL_LANES + 3 * 64;

/// General registers that are kept: those that the function may change, and two that count lanes.
const SAVED: [Gpr; 9] = [Gpr::RCX, Gpr::RSI, Gpr::RDI, Gpr(8), Gpr(9), Gpr(10), Gpr(11), Gpr::RBX, Gpr(12)];

impl Emit<'_> {
    /// Calls a function for each lane where `rare` holds, if there is one.
    pub(super) fn call(&mut self, dst: Reg, rare: Reg, args: &[Reg], fast: Reg, function: Function, length: Length) {
        let (result, done, top, skip) = (self.scratch[2], self.asm.label(), self.asm.label(), self.asm.label());
        let from = self.in_register(fast, result);
        self.copy(result, from);
        let wide = function.bits == 64;
        self.truth_bits(rare, wide, length);
        self.asm.jump_if(Condition::Zero, done);
        // The lanes of two arguments, one of which may stand for both, and of results.
        for (i, reg) in [args[0], args[args.len() - 1], fast].into_iter().enumerate() {
            let v = self.in_register(reg, self.scratch[0]);
            let to = frame(self.kept + CALL_LANES + 64 * i as i32);
            self.asm.vector(opcodes::store(false), self.full, Under::All, v.0, 0, Rm::Mem(to), None);
        }
        self.keep(true);
        self.asm.mov(Gpr::RBX, Gpr::RAX);
        self.asm.imm(Gpr(12), 0);
        self.asm.bind(top);
        self.asm.mov(Gpr::RAX, Gpr::RBX);
        self.asm.and(Rm::Gpr(Gpr::RAX), 1);
        self.asm.jump_if(Condition::Zero, skip);
        let size = if wide { 8u8 } else { 4 };
        let one = |e: &Self, i: i32| Mem::At {
            base: Gpr::RSP,
            index: Some((Gpr(12), size)),
            disp: e.kept + CALL_LANES + 64 * i,
        };
        for i in 0..2u8 {
            let from = one(self, i32::from(i));
            self.asm.vector(opcodes::load_one(wide), Length::L128, Under::All, i, 0, Rm::Mem(from), None);
        }
        let symbol = self.functions.iter().position(|f| *f == function).unwrap_or(self.functions.len());
        if symbol == self.functions.len() {
            self.functions.push(function);
        }
        self.asm.clear_upper();
        self.asm.call(symbol, function.name);
        let to = one(self, 2);
        self.asm.vector(opcodes::store_one(wide), Length::L128, Under::All, 0, 0, Rm::Mem(to), None);
        self.asm.bind(skip);
        self.asm.add(Rm::Gpr(Gpr(12)), 1);
        self.asm.halve(Gpr::RBX);
        self.asm.jump_if(Condition::NotZero, top);
        self.keep(false);
        let from = frame(self.kept + CALL_LANES + 64 * 2);
        self.asm.vector(opcodes::load(false), self.full, Under::All, result.0, 0, Rm::Mem(from), None);
        self.asm.bind(done);
        let own = self.target(dst, result);
        self.copy(own, result);
        self.put(dst, own);
    }

    /// The bits of the lanes where truth values hold, in `rax`, and the flags for them.
    fn truth_bits(&mut self, truth: Reg, wide: bool, length: Length) {
        let mut lanes = length.bytes() / if wide { 8 } else { 4 };
        match self.isa {
            Isa::Avx512 => {
                let k = self.mask(truth, K_SCRATCH[0]);
                self.asm.kmov_to(Gpr::RAX, k);
                lanes = lanes.min(self.code.lanes() as i32);
            }
            Isa::Avx2 => {
                let v = self.in_register(truth, self.scratch[0]);
                let op = if wide { avx2::SIGNS_64 } else { avx2::SIGNS_32 };
                self.asm.vector(op, length, Under::All, Gpr::RAX.0, 0, Rm::Reg(v), None);
            }
        }
        self.asm.and(Rm::Gpr(Gpr::RAX), (1 << lanes) - 1);
    }

    /// Puts all registers that the function may change into the frame, or takes them back.
    fn keep(&mut self, store: bool) {
        let vector = if store { opcodes::store(false) } else { opcodes::load(false) };
        for v in 0..self.isa.registers() {
            let at = frame(self.kept + self.bytes * i32::from(v));
            self.asm.vector(vector, self.full, Under::All, v, 0, Rm::Mem(at), None);
        }
        if self.isa.has_mask_registers() {
            for k in 1..8 {
                self.asm.kmov_frame(Mask(k), self.kept + KEPT_MASKS + 8 * i32::from(k), store);
            }
        }
        for (i, r) in SAVED.into_iter().enumerate() {
            let at = frame(self.kept + KEPT_REGISTERS + 8 * i as i32);
            if store { self.asm.store(at, r) } else { self.asm.load(r, at) }
        }
    }
}
