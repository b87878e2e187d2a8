//! Truth values and memory in AVX2: vectors whose lanes are all ones or all zeros, masked loads, gathers, and pieces of vectors.
//!
//! How many lanes of a rest are elements is known when the code is made. They are moved in pieces of 16, 8, 4, 2 and 1 bytes: stores under a mask take some
//! machines many times as long.

use super::super::asm::{Condition, Gpr, Length, Mem, Opcode, Rm, Simd, Under};
use super::super::ir::{Address, Inst, Kind, Lay, Logic, Reg};
use super::super::opcodes::{self, avx2};
use super::{Emit, length_of};

/// Lanes of this width, all ones where the bit is set.
pub(super) fn truth_bytes(bits: u16, lanes: u32, width: u32) -> Vec<u8> {
    let lane = |l: u32| if bits >> l & 1 == 1 { 0xff } else { 0 };
    (0..lanes).flat_map(|l| vec![lane(l); width as usize / 8]).collect()
}

/// The place `offset` bytes behind another.
fn behind(mem: Mem, offset: usize) -> Mem {
    match mem {
        Mem::At { base, index, disp } => Mem::At { base, index, disp: disp + offset as i32 },
        Mem::Pool(byte) => Mem::Pool(byte + offset as u32),
    }
}

/// The pieces of powers of two that so many bytes, fewer than 16, are made of: where each begins, and its length.
fn pieces(bytes: usize) -> impl Iterator<Item = (usize, usize)> {
    [8, 4, 2, 1].into_iter().filter(move |p| bytes & p != 0).map(move |p| (bytes & !(2 * p - 1), p))
}

impl Emit<'_> {
    /// See [`Emit::inst`].
    pub(super) fn inst_avx2(&mut self, inst: &Inst) {
        match inst {
            Inst::Blend { wide, length, dst, mask, yes, no } => {
                let mask = self.in_register(*mask, self.scratch[1]);
                let no = self.in_register(*no, self.scratch[0]);
                let yes = self.rm(*yes);
                let to = self.target(*dst, self.scratch[2]);
                // The fourth operand is in the upper half of the immediate.
                let imm = Some(mask.0 << 4);
                self.asm.vector(avx2::blend(*wide), *length, Under::All, to.0, no.0, yes, imm);
                self.put(*dst, to);
            }
            Inst::Permute { length, dst, index, args: [a, b], .. } => {
                let [first, second, both] = self.scratch;
                let index = self.in_register(*index, both);
                let op = opcodes::permute(false);
                for (from, to) in [(*a, first), (*b, second)] {
                    let from = self.rm(from);
                    self.asm.vector(op, *length, Under::All, to.0, index.0, from, None);
                }
                let own = self.target(*dst, both);
                // The fourth operand, whose signs choose, is in the upper half of the immediate.
                let imm = Some(index.0 << 4);
                self.asm.vector(avx2::blend(false), *length, Under::All, own.0, first.0, Rm::Reg(second), imm);
                self.put(*dst, own);
            }
            Inst::Logic { op, dst, args } => self.logic_avx2(*op, *dst, args),
            Inst::Load { lay, dst, at, length, mask } => self.load_avx2(*lay, *dst, at, *length, *mask),
            Inst::Store { lay: Lay::One, src, at, mask, .. } => self.store_one_avx2(*src, at, *mask),
            Inst::Store { lay: Lay::Run, src, at, length, mask } => self.store_avx2(*src, at, *length, *mask),
            Inst::Gather { dst, at, index, scale, length, mask, fill } => {
                // The instruction clears the mask as it goes, and its operands must differ.
                let (mask_at, to) = (self.scratch[0], self.scratch[2]);
                self.mask_of_lanes(*mask, at.size, *length, mask_at);
                let fill = self.in_register(*fill, to);
                self.copy(to, fill);
                let index = self.in_register(*index, self.scratch[1]);
                let base = self.pointer(at);
                let op = if at.size == 8 { opcodes::GATHER_64 } else { opcodes::GATHER_32 };
                self.asm.gather(op, *length, to, base, index, *scale, at.disp, mask_at);
                let own = self.target(*dst, to);
                self.copy(own, to);
                self.put(*dst, own);
            }
            Inst::Scatter { src, at, index, scale, mask, .. } => {
                let from = self.in_register(*src, self.scratch[0]);
                let live = self.code.constant_truths(*mask).expect("what is stored lane by lane is known");
                let Kind::Constant(steps) = &self.code.kinds[index.index()] else { panic!("the steps are known") };
                let steps: Vec<i32> =
                    steps.chunks_exact(4).map(|s| i32::from_le_bytes([s[0], s[1], s[2], s[3]])).collect();
                let base = self.pointer(at);
                let in_half = 16 / usize::from(at.size);
                let upper = self.scratch[1];
                if live >> in_half != 0 {
                    self.asm.vector(avx2::UPPER_HALF, self.full, Under::All, from.0, 0, Rm::Reg(upper), Some(1));
                }
                for (lane, step) in steps.into_iter().enumerate().filter(|(l, _)| live >> l & 1 == 1) {
                    let to = Mem::base(base, at.disp.wrapping_add(step.wrapping_mul((*scale).into())));
                    let half = if lane < in_half { from } else { upper };
                    self.store_piece(half, at.size.into(), lane % in_half, to);
                }
            }
            Inst::Counter { dst, pattern, offset, wide, length } => {
                match pattern {
                    Some(p) => {
                        let r = self.scalar(self.patterns[p.0 as usize], Gpr::RAX);
                        self.asm.lea(Gpr::RAX, Mem::base(r, *offset as i32));
                    }
                    None => self.asm.imm(Gpr::RAX, *offset),
                }
                let to = self.target(*dst, self.scratch[0]);
                self.spread_rax(to, *wide, *length);
                self.put(*dst, to);
            }
            Inst::Choose { dst, value, wide, extent, stride, chosen } => {
                self.choose(*value, *wide, *extent, *stride, *chosen);
                self.asm.mov(Gpr::RAX, Gpr::RDX);
                self.truth_from_rax(*dst);
            }
            _ => panic!("{inst:?} is the same in every instruction set"),
        }
    }

    /// `rax` in all lanes.
    fn spread_rax(&mut self, to: Simd, wide: bool, length: Length) {
        let (from, spread) = match wide {
            true => (avx2::FROM_GPR_64, avx2::BROADCAST_INT_64),
            false => (avx2::FROM_GPR_32, avx2::BROADCAST_INT_32),
        };
        self.asm.vector(from, Length::L128, Under::All, to.0, 0, Rm::Gpr(Gpr::RAX), None);
        self.asm.vector(spread, length, Under::All, to.0, 0, Rm::Reg(to), None);
    }

    /// `rax`, which is 0 or -1, as truth values.
    fn truth_from_rax(&mut self, dst: Reg) {
        let to = self.target(dst, self.scratch[0]);
        self.spread_rax(to, false, self.full);
        self.put(dst, to);
    }

    /// Truth values, as a mask for elements of this size, in this register.
    fn mask_of_lanes(&mut self, mask: Reg, size: u8, length: Length, to: Simd) {
        match self.code.constant_truths(mask) {
            Some(bits) => {
                let lanes = length.bytes() as u32 / u32::from(size);
                let bytes = self.asm.constant(&truth_bytes(bits, lanes, 8 * u32::from(size)));
                self.asm.vector(opcodes::load(false), length, Under::All, to.0, 0, Rm::Mem(bytes), None);
            }
            None => {
                let from = self.in_register(mask, to);
                self.copy(to, from);
            }
        }
    }

    fn logic_avx2(&mut self, op: Logic, dst: Reg, args: &[Reg]) {
        let a = self.in_register(args[0], self.scratch[0]);
        let to = self.target(dst, self.scratch[2]);
        let (op, b) = match op {
            Logic::And => (avx2::AND, self.rm(args[1])),
            Logic::Or => (avx2::OR, self.rm(args[1])),
            Logic::Xor => (avx2::XOR, self.rm(args[1])),
            Logic::Not => {
                let ones = self.asm.constant(&[0xff; 32]);
                (avx2::XOR, Rm::Mem(ones))
            }
            Logic::First => {
                self.asm.vector(opcodes::BROADCAST_32, self.full, Under::All, to.0, 0, Rm::Reg(a), None);
                return self.put(dst, to);
            }
            Logic::Any | Logic::All => {
                self.asm.vector(avx2::SIGNS_32, self.full, Under::All, Gpr::RAX.0, 0, Rm::Reg(a), None);
                if op == Logic::Any {
                    self.asm.negate(Gpr::RAX);
                } else {
                    // Only all eight signs are not below this number.
                    self.asm.compare(Rm::Gpr(Gpr::RAX), 0xff);
                    self.asm.complement_carry();
                }
                self.asm.all_if_carry(Gpr::RAX);
                return self.truth_from_rax(dst);
            }
        };
        self.asm.vector(op, self.full, Under::All, to.0, a.0, b, None);
        self.put(dst, to);
    }

    fn load_avx2(&mut self, lay: Lay, dst: Reg, at: &Address, length: Length, mask: Option<Reg>) {
        let mem = self.memory(at);
        let live = mask.map(|m| {
            let bits = self.code.constant_truths(m).expect("what is loaded is known");
            bits.count_ones() as usize
        });
        if self.code.is_mask(dst) {
            if lay == Lay::One {
                self.asm.load_byte(Gpr::RAX, mem);
                self.asm.negate(Gpr::RAX);
                self.asm.all_if_carry(Gpr::RAX);
                return self.truth_from_rax(dst);
            }
            let wide = self.code.truth_bits == 64;
            let (widen, subtract) =
                if wide { (avx2::BYTES_TO_64, avx2::SUB_64) } else { (opcodes::BYTES_TO_32, avx2::SUB_32) };
            let (bytes, zero) = (self.scratch[0], self.scratch[1]);
            self.load_bytes(widen, self.full, self.code.lanes() as usize, live, bytes, mem);
            self.zero(zero);
            let to = self.target(dst, self.scratch[2]);
            self.asm.vector(subtract, self.full, Under::All, to.0, zero.0, Rm::Reg(bytes), None);
            return self.put(dst, to);
        }
        let to = self.target(dst, self.scratch[0]);
        let (wide, lanes) = (at.size == 8, self.code.lanes() as usize);
        match (lay, at.size, live) {
            (Lay::One, 1, _) => {
                self.asm.load_byte(Gpr::RAX, mem);
                self.spread_rax(to, false, length);
            }
            (Lay::One, _, _) => {
                let op = opcodes::broadcast(self.isa, wide);
                self.asm.vector(op, length, Under::All, to.0, 0, Rm::Mem(mem), None);
            }
            (Lay::Run, 1, _) => self.load_bytes(opcodes::BYTES_TO_32, length, lanes, live, to, mem),
            (Lay::Run, _, None) => {
                self.asm.vector(opcodes::load(wide), length, Under::All, to.0, 0, Rm::Mem(mem), None);
            }
            (Lay::Run, size, Some(live)) => match live * usize::from(size) {
                4 | 8 => {
                    let op = opcodes::load_one(live * usize::from(size) == 8);
                    self.asm.vector(op, Length::L128, Under::All, to.0, 0, Rm::Mem(mem), None);
                }
                16 => self.asm.vector(opcodes::load(wide), Length::L128, Under::All, to.0, 0, Rm::Mem(mem), None),
                _ => {
                    let mask = mask.expect("there is a mask where not all lanes live");
                    self.mask_of_lanes(mask, size, length, self.scratch[1]);
                    let op = avx2::masked_load(wide);
                    self.asm.vector(op, length, Under::All, to.0, self.scratch[1].0, Rm::Mem(mem), None);
                }
            },
        }
        self.put(dst, to);
    }

    fn zero(&mut self, to: Simd) {
        self.asm.vector(avx2::XOR, Length::L128, Under::All, to.0, to.0, Rm::Reg(to), None);
    }

    /// Loads bytes and widens each to a lane; those of lanes that do not live are 0.
    fn load_bytes(&mut self, widen: Opcode, length: Length, lanes: usize, live: Option<usize>, to: Simd, mem: Mem) {
        let Some(live) = live.filter(|&l| l < lanes) else {
            return self.asm.vector(widen, length, Under::All, to.0, 0, Rm::Mem(mem), None);
        };
        self.zero(to);
        for (from, bytes) in pieces(live) {
            let imm = Some((from / bytes) as u8);
            let from = Rm::Mem(behind(mem, from));
            self.asm.vector(avx2::insert(bytes), Length::L128, Under::All, to.0, to.0, from, imm);
        }
        self.asm.vector(widen, length, Under::All, to.0, 0, Rm::Reg(to), None);
    }

    /// Stores the first lane, if the mask has it.
    fn store_one_avx2(&mut self, src: Reg, at: &Address, mask: Option<Reg>) {
        let skip = mask.map(|m| {
            let mask = self.in_register(m, self.scratch[1]);
            self.asm.vector(avx2::SIGNS_32, Length::L128, Under::All, Gpr::RAX.0, 0, Rm::Reg(mask), None);
            self.asm.and(Rm::Gpr(Gpr::RAX), 1);
            let skip = self.asm.label();
            self.asm.jump_if(Condition::Zero, skip);
            skip
        });
        let (from, size) = self.as_stored(src, at, Length::L128);
        let mem = self.memory(at);
        self.store_bytes(from, size, mem);
        if let Some(skip) = skip {
            self.asm.bind(skip);
        }
    }

    fn store_avx2(&mut self, src: Reg, at: &Address, length: Length, mask: Option<Reg>) {
        let live = mask.map(|m| self.code.constant_truths(m).map(|bits| bits.count_ones() as usize));
        if let (Some(None), Some(mask)) = (live, mask) {
            let from = self.in_register(src, self.scratch[0]);
            let mask = self.in_register(mask, self.scratch[1]);
            let mem = self.memory(at);
            let op = avx2::masked_store(at.size == 8);
            return self.asm.vector(op, length, Under::All, from.0, mask.0, Rm::Mem(mem), None);
        }
        let lanes = live.flatten().unwrap_or(self.code.lanes() as usize);
        let (from, size) = self.as_stored(src, at, length);
        let mem = self.memory(at);
        self.store_bytes(from, lanes * size, mem);
    }

    /// A register with elements as they lie in memory, and the size of one. The elements of `length` are side by side.
    fn as_stored(&mut self, src: Reg, at: &Address, length: Length) -> (Simd, usize) {
        let from = self.in_register(src, self.scratch[0]);
        if at.size > 1 {
            return (from, at.size.into());
        }
        let (is_truth, to) = (self.code.is_mask(src), self.scratch[0]);
        let (words, bytes) = match is_truth {
            true => (avx2::PACK_WORDS, avx2::PACK_BYTES),
            false => (avx2::PACK_UNSIGNED_WORDS, avx2::PACK_UNSIGNED_BYTES),
        };
        let whole = is_truth || length == self.full;
        let upper = self.scratch[1];
        if whole {
            self.asm.vector(avx2::UPPER_HALF, self.full, Under::All, from.0, 0, Rm::Reg(upper), Some(1));
        }
        if is_truth && self.code.truth_bits == 64 {
            let imm = Some(0b10_00_10_00);
            self.asm.vector(avx2::SHUFFLE_32, Length::L128, Under::All, to.0, from.0, Rm::Reg(upper), imm);
            self.asm.vector(words, Length::L128, Under::All, to.0, to.0, Rm::Reg(to), None);
        } else {
            let second = if whole { upper } else { from };
            self.asm.vector(words, Length::L128, Under::All, to.0, from.0, Rm::Reg(second), None);
        }
        self.asm.vector(bytes, Length::L128, Under::All, to.0, to.0, Rm::Reg(to), None);
        if is_truth {
            // Ones are -1.
            self.asm.vector(avx2::ABSOLUTE_BYTES, Length::L128, Under::All, to.0, 0, Rm::Reg(to), None);
        }
        (to, 1)
    }

    /// Stores the first bytes of a vector.
    fn store_bytes(&mut self, from: Simd, bytes: usize, mem: Mem) {
        if bytes >= 16 {
            let length = length_of(bytes & !15);
            self.asm.vector(opcodes::store(false), length, Under::All, from.0, 0, Rm::Mem(mem), None);
        }
        let rest = bytes % 16;
        if rest == 0 {
            return;
        }
        let mut half = from;
        if bytes > 16 {
            half = self.scratch[1];
            self.asm.vector(avx2::UPPER_HALF, Length::L256, Under::All, from.0, 0, Rm::Reg(half), Some(1));
        }
        for (at, length) in pieces(rest) {
            let to = behind(mem, bytes / 16 * 16 + at);
            self.store_piece(half, length, at / length, to);
        }
    }

    /// Stores piece number `at` of 1, 2, 4 or 8 bytes of a vector of 128 bits.
    fn store_piece(&mut self, from: Simd, bytes: usize, at: usize, to: Mem) {
        if at == 0 && bytes >= 4 {
            let op = opcodes::store_one(bytes == 8);
            return self.asm.vector(op, Length::L128, Under::All, from.0, 0, Rm::Mem(to), None);
        }
        let (op, imm) = (avx2::extract(bytes), Some(at as u8));
        self.asm.vector(op, Length::L128, Under::All, from.0, 0, Rm::Mem(to), imm);
    }
}
