//! Machine code for the instructions of a kernel.
//!
//! The frame, from the stack pointer up: the counter of the outermost loop, its bound and its end; counters of loops; pointers and patterns that have no
//! register; chosen offsets; masks; vectors; and, if functions are called, all registers that they may change, and lanes on their way.

use crate::plan::kernel::Kernel;

use super::WideCode;
use super::alloc::{Home, Homes};
use super::asm::{Assembler, Condition, Gpr, Label, Length, Mask, Mem, Opcode, Rm, Under, Zmm};
use super::ir::{Address, Chosen, Code, Form, Function, Inst, Kind, Lay, Logic, LoopId, Reg, Trips};
use super::lanes::{self, element_of};

/// Vector registers for operands on their way.
const SCRATCH: [Zmm; 3] = [Zmm(29), Zmm(30), Zmm(31)];
/// Mask registers for operands on their way.
const K_SCRATCH: [Mask; 2] = [Mask(1), Mask(2)];
/// Registers for slots and patterns. `rax` and `rdx` are for addresses on their way, `rcx` counts innermost loops.
const HOMES: [Gpr; 11] =
    [Gpr::RSI, Gpr::RDI, Gpr(8), Gpr(9), Gpr(10), Gpr(11), Gpr::RBX, Gpr(12), Gpr(13), Gpr(14), Gpr(15)];
/// Of these, those that the caller wants back.
const SAVED: [Gpr; 5] = [Gpr::RBX, Gpr(12), Gpr(13), Gpr(14), Gpr(15)];

const COUNTER: i32 = 0;
const BOUND: i32 = 8;
const END: i32 = 16;

/// Where a pointer or a pattern lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    Unused,
    Register(Gpr),
    Frame(i32),
}

struct Emit<'a> {
    kernel: &'a Kernel,
    code: &'a Code,
    homes: &'a Homes,
    asm: Assembler,
    slots: Vec<Scalar>,
    patterns: Vec<Scalar>,
    /// The frame's place for each loop's counter; `None` for the register of innermost loops.
    counters: Vec<Option<i32>>,
    chosen: i32,
    masks: i32,
    vectors: i32,
    /// Where registers are kept during calls.
    kept: i32,
    /// The functions that are called.
    functions: Vec<Function>,
    open: Vec<(Label, Label)>,
}

/// Bytes of the frame for calls: vector registers, masks, general registers, and the lanes of two arguments and of the results.
const KEPT_MASKS: i32 = 32 * 64;
const KEPT_REGISTERS: i32 = KEPT_MASKS + 8 * 8;
const CALL_LANES: i32 = KEPT_REGISTERS + 16 * 8;
const CALL_BYTES: i32 = CALL_LANES + 3 * 64;

/// The machine code of a kernel, with a listing if one is asked for.
pub(super) fn emit(kernel: &Kernel, code: &Code, homes: &Homes, listing: bool) -> WideCode {
    let mut frame = 24;
    let mut take = |bytes: i32| {
        frame += bytes;
        frame - bytes
    };
    let counters = counters(code, &mut take);
    let (slots, patterns) = scalars(kernel, code, &mut take);
    let chosen = take(8 * code.chosen as i32);
    let masks = take(8 * homes.spilled_masks as i32);
    let vectors = (take(0) + 63) & !63;
    let kept = vectors + 64 * homes.spilled_vectors as i32;
    let calls = code.insts.iter().any(|i| matches!(i, Inst::Call { .. }));
    let bytes = kept + if calls { CALL_BYTES } else { 0 };
    let asm = Assembler::new(listing);
    let mut e = Emit {
        kernel,
        code,
        homes,
        asm,
        slots,
        patterns,
        counters,
        chosen,
        masks,
        vectors,
        kept,
        functions: Vec::new(),
        open: Vec::new(),
    };
    e.prologue(bytes);
    for inst in &code.insts {
        e.inst(inst);
    }
    e.epilogue();
    let (bytes, calls, listing) = e.asm.finish();
    let calls = calls.into_iter().map(|(at, function)| (at, e.functions[function])).collect();
    WideCode { bytes, calls, listing }
}

/// Where the counter of each loop is.
fn counters(code: &Code, take: &mut impl FnMut(i32) -> i32) -> Vec<Option<i32>> {
    let mut innermost = vec![true; code.loops.len()];
    let mut open: Vec<LoopId> = Vec::new();
    for inst in &code.insts {
        match inst {
            Inst::Loop(id) => {
                open.iter().for_each(|o| innermost[o.0 as usize] = false);
                open.push(*id);
            }
            Inst::End(_) => {
                open.pop();
            }
            _ => {}
        }
    }
    let ranged = |t: &Trips| matches!(t, Trips::Range { .. });
    innermost.iter().zip(&code.loops).map(|(inner, t)| (!inner && !ranged(t)).then(|| take(8))).collect()
}

/// Where slots and patterns live: those used most, loops counted, in registers.
fn scalars(kernel: &Kernel, code: &Code, take: &mut impl FnMut(i32) -> i32) -> (Vec<Scalar>, Vec<Scalar>) {
    let mut weights = vec![0u64; kernel.slots.len() + code.patterns.len()];
    let mut depth = 0u32;
    for inst in &code.insts {
        match inst {
            Inst::Loop(_) => depth += 1,
            Inst::End(_) => depth -= 1,
            _ => {}
        }
        let price = 8u64.pow(depth.min(12));
        if let Some(at) = inst.address() {
            weights[at.slot as usize] += price;
            at.pattern.iter().for_each(|p| weights[kernel.slots.len() + p.0 as usize] += price);
        }
        if let Inst::Counter { pattern: Some(p), .. } = inst {
            weights[kernel.slots.len() + p.0 as usize] += price;
        }
    }
    let mut order: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] > 0).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(weights[i]), i));
    let mut all = vec![Scalar::Unused; weights.len()];
    for (rank, &i) in order.iter().enumerate() {
        all[i] = HOMES.get(rank).map_or_else(|| Scalar::Frame(take(8)), |&r| Scalar::Register(r));
    }
    let patterns = all.split_off(kernel.slots.len());
    (all, patterns)
}

fn frame(at: i32) -> Mem {
    Mem::base(Gpr::RSP, at)
}

impl Emit<'_> {
    fn prologue(&mut self, bytes: i32) {
        self.asm.push(Gpr::RBP);
        self.asm.mov(Gpr::RBP, Gpr::RSP);
        for r in SAVED {
            self.asm.push(r);
        }
        self.asm.lea(Gpr::RSP, Mem::base(Gpr::RSP, -bytes));
        self.asm.and(Rm::Gpr(Gpr::RSP), -64);
        self.asm.store(frame(COUNTER), Gpr::RSI);
        self.asm.store(frame(END), Gpr::RDX);
        let step = self.code.loops.iter().find_map(|t| match t {
            Trips::Range { step } => Some(*step as i32),
            Trips::Fixed(_) => None,
        });
        self.asm.and(Rm::Gpr(Gpr::RDX), -step.unwrap_or(1));
        self.asm.store(frame(BOUND), Gpr::RDX);
        self.asm.mov(Gpr::RAX, Gpr::RDI);
        self.asm.mov(Gpr::RCX, Gpr::RSI);
        for (i, home) in self.slots.clone().into_iter().enumerate() {
            let from = Mem::base(Gpr::RAX, i as i32 * 8);
            match home {
                Scalar::Unused => {}
                Scalar::Register(r) => self.asm.load(r, from),
                Scalar::Frame(at) => {
                    self.asm.load(Gpr::RDX, from);
                    self.asm.store(frame(at), Gpr::RDX);
                }
            }
        }
        for (i, home) in self.patterns.clone().into_iter().enumerate() {
            let first = if self.kernel.rows > 0 { self.code.patterns[i][0] } else { 0 };
            let to = match home {
                Scalar::Unused => continue,
                Scalar::Register(r) => r,
                Scalar::Frame(_) => Gpr::RDX,
            };
            self.asm.multiply(to, Gpr::RCX, first as i32);
            if let Scalar::Frame(at) = home {
                self.asm.store(frame(at), to);
            }
        }
        for &(reg, r) in &self.homes.constants {
            self.materialize(reg, Zmm(r));
        }
    }

    fn epilogue(&mut self) {
        self.asm.lea(Gpr::RSP, Mem::base(Gpr::RBP, -8 * SAVED.len() as i32));
        for r in SAVED.into_iter().rev() {
            self.asm.pop(r);
        }
        self.asm.pop(Gpr::RBP);
        self.asm.ret();
    }

    /// A constant in the pool.
    fn pooled(&mut self, reg: Reg) -> Rm {
        match &self.code.kinds[reg.index()] {
            Kind::Constant(bytes) => Rm::Mem(self.asm.constant(bytes)),
            kind => {
                let (v, bytes) = element_of(kind).expect("the register is a constant");
                Rm::Broadcast(self.asm.constant(&v.to_le_bytes()[..bytes as usize]))
            }
        }
    }

    /// Loads a constant into a register.
    fn materialize(&mut self, reg: Reg, to: Zmm) {
        let wide = matches!(self.code.kinds[reg.index()], Kind::Element(_, 8));
        match self.pooled(reg) {
            Rm::Broadcast(m) => {
                let op = if wide { lanes::BROADCAST_64 } else { lanes::BROADCAST_32 };
                self.asm.vector(op, Length::L512, Under::All, to.0, 0, Rm::Mem(m), None);
            }
            // Constant vectors may be shorter than a register; loading more of the pool than is needed would run over its end.
            rm => {
                let Kind::Constant(bytes) = &self.code.kinds[reg.index()] else { return };
                let length = length_of(bytes.len());
                self.asm.vector(lanes::load(false), length, Under::All, to.0, 0, rm, None);
            }
        }
    }

    fn spill_at(&self, slot: u32) -> Mem {
        frame(self.vectors + 64 * slot as i32)
    }

    /// An operand that may be memory.
    fn rm(&mut self, reg: Reg) -> Rm {
        match self.homes.of[reg.index()] {
            Home::Register(r) => Rm::Reg(Zmm(r)),
            Home::Frame(slot) => Rm::Mem(self.spill_at(slot)),
            Home::Pool => self.pooled(reg),
            Home::None => panic!("v{} has no home", reg.0),
        }
    }

    /// An operand in a register: its own, or `scratch`.
    fn in_register(&mut self, reg: Reg, scratch: Zmm) -> Zmm {
        match self.homes.of[reg.index()] {
            Home::Register(r) => Zmm(r),
            Home::Pool => {
                self.materialize(reg, scratch);
                scratch
            }
            _ => {
                let rm = self.rm(reg);
                self.asm.vector(lanes::load(false), Length::L512, Under::All, scratch.0, 0, rm, None);
                scratch
            }
        }
    }

    /// Where a result is made: its own register, or `scratch`.
    fn target(&self, reg: Reg, scratch: Zmm) -> Zmm {
        match self.homes.of[reg.index()] {
            Home::Register(r) => Zmm(r),
            _ => scratch,
        }
    }

    /// Puts a result that was made in `from` into the frame if it lives there.
    fn put(&mut self, reg: Reg, from: Zmm) {
        if let Home::Frame(slot) = self.homes.of[reg.index()] {
            let at = self.spill_at(slot);
            self.asm.vector(lanes::store(false), Length::L512, Under::All, from.0, 0, Rm::Mem(at), None);
        }
    }

    fn mask(&mut self, reg: Reg, scratch: Mask) -> Mask {
        match self.homes.of[reg.index()] {
            Home::Register(r) => Mask(r),
            Home::Frame(slot) => {
                self.asm.kmov_frame(scratch, self.masks + 8 * slot as i32, false);
                scratch
            }
            _ => panic!("mask v{} has no home", reg.0),
        }
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

    fn scalar(&mut self, home: Scalar, scratch: Gpr) -> Gpr {
        match home {
            Scalar::Register(r) => r,
            Scalar::Frame(at) => {
                self.asm.load(scratch, frame(at));
                scratch
            }
            Scalar::Unused => panic!("a pointer that is used has a home"),
        }
    }

    /// The place in memory; uses `rax` and `rdx`.
    fn memory(&mut self, at: &Address) -> Mem {
        let mut base = self.scalar(self.slots[at.slot as usize], Gpr::RAX);
        if let Some(Chosen(id)) = at.chosen {
            self.asm.load(Gpr::RDX, frame(self.chosen + 8 * id as i32));
            self.asm.add_registers(Gpr::RDX, base);
            self.asm.mov(Gpr::RAX, Gpr::RDX);
            base = Gpr::RAX;
        }
        let index = at.pattern.map(|p| (self.scalar(self.patterns[p.0 as usize], Gpr::RDX), at.size));
        Mem::At { base, index, disp: at.disp }
    }

    /// A register that holds the place in memory but its displacement; uses `rax` and `rdx`.
    fn pointer(&mut self, at: &Address) -> Gpr {
        let mem = self.memory(&Address { disp: 0, ..*at });
        match mem {
            Mem::At { base, index: None, .. } => base,
            _ => {
                self.asm.lea(Gpr::RAX, mem);
                Gpr::RAX
            }
        }
    }

    fn advance(&mut self, dim: usize, by: i64) {
        for (p, home) in self.patterns.clone().into_iter().enumerate() {
            let amount = self.code.patterns[p][dim] as i64 * by;
            if amount == 0 {
                continue;
            }
            let rm = match home {
                Scalar::Unused => continue,
                Scalar::Register(r) => Rm::Gpr(r),
                Scalar::Frame(at) => Rm::Mem(frame(at)),
            };
            // The body was checked to move no pattern farther than that.
            self.asm.add(rm, i32::try_from(amount).expect("patterns fit 32 bits"));
        }
    }

    fn begin_loop(&mut self, id: LoopId) {
        let (top, out) = (self.asm.label(), self.asm.label());
        match (self.code.loops[id.0 as usize], self.counters[id.0 as usize]) {
            (Trips::Range { .. }, _) => {
                self.asm.load(Gpr::RAX, frame(COUNTER));
                self.asm.load(Gpr::RDX, frame(BOUND));
                self.asm.compare_registers(Gpr::RAX, Gpr::RDX);
                self.asm.jump_if(Condition::GreaterOrEqual, out);
            }
            (Trips::Fixed(n), None) => self.asm.imm(Gpr::RCX, n),
            (Trips::Fixed(n), Some(at)) => {
                self.asm.imm(Gpr::RAX, n);
                self.asm.store(frame(at), Gpr::RAX);
            }
        }
        self.asm.bind(top);
        self.open.push((top, out));
    }

    fn end_loop(&mut self, id: LoopId) {
        let (top, out) = self.open.pop().expect("loops nest");
        match (self.code.loops[id.0 as usize], self.counters[id.0 as usize]) {
            (Trips::Range { step }, _) => {
                self.asm.add(Rm::Mem(frame(COUNTER)), step as i32);
                self.asm.load(Gpr::RAX, frame(COUNTER));
                self.asm.load(Gpr::RDX, frame(BOUND));
                self.asm.compare_registers(Gpr::RAX, Gpr::RDX);
                self.asm.jump_if(Condition::Less, top);
            }
            (Trips::Fixed(_), None) => {
                self.asm.add(Rm::Gpr(Gpr::RCX), -1);
                self.asm.jump_if(Condition::NotZero, top);
            }
            (Trips::Fixed(_), Some(at)) => {
                self.asm.add(Rm::Mem(frame(at)), -1);
                self.asm.jump_if(Condition::NotZero, top);
            }
        }
        self.asm.bind(out);
    }

    fn inst(&mut self, inst: &Inst) {
        match inst {
            Inst::Vector { op, form, length, dst, args, imm } => self.vector(*op, *form, *length, *dst, args, *imm),
            Inst::Fma { negated, wide, length, dst, args } => self.fma(*negated, *wide, *length, *dst, *args),
            Inst::Blend { wide, length, dst, mask, yes, no } => {
                let k = self.mask(*mask, K_SCRATCH[0]);
                let no = self.in_register(*no, SCRATCH[0]);
                let yes = self.rm(*yes);
                let to = self.target(*dst, SCRATCH[2]);
                self.asm.vector(lanes::blend(*wide), *length, Under::Merge(k), to.0, no.0, yes, None);
                self.put(*dst, to);
            }
            Inst::Logic { op, dst, args, lanes } => self.logic(*op, *dst, args, *lanes),
            Inst::MaskBits { dst, bits } => {
                let k = self.mask_target(*dst, K_SCRATCH[0]);
                self.asm.imm(Gpr::RAX, i64::from(*bits));
                self.asm.kmov_from(k, Gpr::RAX);
                self.put_mask(*dst, k);
            }
            Inst::Move { dst, src } if self.code.is_mask(*dst) => {
                let from = self.mask(*src, K_SCRATCH[0]);
                let to = self.mask_target(*dst, from);
                if to != from {
                    self.asm.kmov(to, from);
                }
                self.put_mask(*dst, to);
            }
            Inst::Move { dst, src } => {
                let to = self.target(*dst, SCRATCH[0]);
                let from = self.in_register(*src, to);
                if to != from {
                    self.asm.vector(lanes::MOVE, Length::L512, Under::All, to.0, 0, Rm::Reg(from), None);
                }
                self.put(*dst, to);
            }
            Inst::Load { lay, dst, at, length, mask } => self.load(*lay, *dst, at, *length, *mask),
            Inst::Store { lay, src, at, length, mask } => self.store(*lay, *src, at, *length, *mask),
            Inst::Gather { dst, at, index, scale, length, mask, fill } => {
                let k = self.mask(*mask, K_SCRATCH[1]);
                // The instruction clears the mask as it goes, and its operands must differ.
                self.asm.kmov(K_SCRATCH[0], k);
                let to = SCRATCH[2];
                let fill = self.in_register(*fill, SCRATCH[2]);
                if fill != to {
                    self.asm.vector(lanes::MOVE, Length::L512, Under::All, to.0, 0, Rm::Reg(fill), None);
                }
                let index = self.in_register(*index, SCRATCH[1]);
                let base = self.pointer(at);
                let op = if at.size == 8 { lanes::GATHER_64 } else { lanes::GATHER_32 };
                self.asm.indexed(op, *length, K_SCRATCH[0], to, base, index, *scale, at.disp);
                let own = self.target(*dst, to);
                if own != to {
                    self.asm.vector(lanes::MOVE, Length::L512, Under::All, own.0, 0, Rm::Reg(to), None);
                }
                self.put(*dst, own);
            }
            Inst::Scatter { src, at, index, scale, length, mask } => {
                let k = self.mask(*mask, K_SCRATCH[1]);
                self.asm.kmov(K_SCRATCH[0], k);
                let from = self.in_register(*src, SCRATCH[0]);
                let index = self.in_register(*index, SCRATCH[1]);
                let base = self.pointer(at);
                let op = if at.size == 8 { lanes::SCATTER_64 } else { lanes::SCATTER_32 };
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
                let op = if *wide { lanes::BROADCAST_GPR_64 } else { lanes::BROADCAST_GPR_32 };
                let to = self.target(*dst, SCRATCH[0]);
                self.asm.vector(op, *length, Under::All, to.0, 0, Rm::Gpr(Gpr::RAX), None);
                self.put(*dst, to);
            }
            Inst::Choose { dst, value, wide, extent, stride, chosen } => {
                let value = self.in_register(*value, SCRATCH[0]);
                let op = if *wide { lanes::MOVE_FROM_VECTOR_64 } else { lanes::MOVE_FROM_VECTOR_32 };
                self.asm.vector(op, Length::L128, Under::All, value.0, 0, Rm::Gpr(Gpr::RAX), None);
                if !wide {
                    self.asm.extend(Gpr::RAX);
                }
                // Below as unsigned numbers: the comparison sets the carry.
                self.asm.compare(Rm::Gpr(Gpr::RAX), *extent);
                self.asm.all_if_carry(Gpr::RDX);
                self.asm.and_registers(Gpr::RAX, Gpr::RDX);
                self.asm.multiply(Gpr::RAX, Gpr::RAX, *stride);
                self.asm.store(frame(self.chosen + 8 * chosen.0 as i32), Gpr::RAX);
                let k = self.mask_target(*dst, K_SCRATCH[0]);
                self.asm.kmov_from(k, Gpr::RDX);
                self.put_mask(*dst, k);
            }
            Inst::Call { dst, rare, args, fast, function, length } => {
                self.call(*dst, *rare, args, *fast, *function, *length);
            }
            Inst::Loop(id) => self.begin_loop(*id),
            Inst::End(id) => self.end_loop(*id),
            Inst::Rest => {
                let (top, out) = (self.asm.label(), self.asm.label());
                self.asm.load(Gpr::RAX, frame(COUNTER));
                self.asm.load(Gpr::RDX, frame(END));
                self.asm.compare_registers(Gpr::RAX, Gpr::RDX);
                self.asm.jump_if(Condition::GreaterOrEqual, out);
                self.open.push((top, out));
            }
            Inst::EndRest => {
                let (_, out) = self.open.pop().expect("a rest ends what a rest begins");
                self.asm.bind(out);
            }
            Inst::Advance { dim, by } => self.advance(*dim, *by),
        }
    }

    fn vector(&mut self, op: Opcode, form: Form, length: Length, dst: Reg, args: &[Reg], imm: Option<u8>) {
        match form {
            Form::Unary => {
                // Conversions and the like cannot all read a constant from memory.
                let rm = match self.homes.of[args[0].index()] {
                    Home::Pool => Rm::Reg(self.in_register(args[0], SCRATCH[0])),
                    _ => self.rm(args[0]),
                };
                let to = self.target(dst, SCRATCH[2]);
                self.asm.vector(op, length, Under::All, to.0, 0, rm, imm);
                self.put(dst, to);
            }
            Form::Binary => {
                let a = self.in_register(args[0], SCRATCH[0]);
                let b = self.rm(args[1]);
                let to = self.target(dst, SCRATCH[2]);
                self.asm.vector(op, length, Under::All, to.0, a.0, b, imm);
                self.put(dst, to);
            }
            Form::Shift(extension) => {
                let a = self.rm(args[0]);
                let to = self.target(dst, SCRATCH[2]);
                self.asm.vector(op, length, Under::All, extension, to.0, a, imm);
                self.put(dst, to);
            }
            Form::Reversed => {
                let a = self.in_register(args[0], SCRATCH[0]);
                let to = self.target(dst, SCRATCH[2]);
                self.asm.vector(op, length, Under::All, a.0, 0, Rm::Reg(to), imm);
                self.put(dst, to);
            }
            Form::Compare => {
                let a = self.in_register(args[0], SCRATCH[0]);
                let b = self.rm(args[1]);
                let k = self.mask_target(dst, K_SCRATCH[0]);
                self.asm.vector(op, length, Under::All, k.0, a.0, b, imm);
                self.put_mask(dst, k);
            }
        }
    }

    fn fma(&mut self, negated: bool, wide: bool, length: Length, dst: Reg, [mut a, mut b, c]: [Reg; 3]) {
        const OVER_A: (u8, u8) = (0xa8, 0xac);
        const OVER_C: (u8, u8) = (0xb8, 0xbc);
        const OVER_A_SUM: (u8, u8) = (0x98, 0x9c);
        let op = |(add, subtract): (u8, u8)| lanes::fused(wide, if negated { subtract } else { add });
        let to = self.target(dst, SCRATCH[2]);
        let register = |e: &Self, r: Reg| match e.homes.of[r.index()] {
            Home::Register(n) => Some(Zmm(n)),
            _ => None,
        };
        // The first factor is in a register if either is.
        if register(self, a).is_none() || register(self, b) == Some(to) {
            std::mem::swap(&mut a, &mut b);
        }
        let first = self.in_register(a, SCRATCH[0]);
        let copy = |e: &mut Self, from: Zmm| {
            if from != to {
                e.asm.vector(lanes::MOVE, Length::L512, Under::All, to.0, 0, Rm::Reg(from), None);
            }
        };
        match (register(self, b), register(self, c)) {
            // to = to * b + c
            (Some(second), None) if second != to || first == to => {
                copy(self, first);
                let c = self.rm(c);
                self.asm.vector(op(OVER_A), length, Under::All, to.0, second.0, c, None);
            }
            (Some(second), third) if first == to => {
                let c = third.map_or_else(|| self.rm(c), Rm::Reg);
                self.asm.vector(op(OVER_A), length, Under::All, to.0, second.0, c, None);
            }
            // to = to * [b] + c
            (None, Some(third)) if first == to => {
                let b = self.rm(b);
                self.asm.vector(op(OVER_A_SUM), length, Under::All, to.0, third.0, b, None);
            }
            // to = a * b + to
            (second, third) => {
                let third = third.unwrap_or_else(|| self.in_register(c, SCRATCH[1]));
                // `first` is not `to` here, and neither is a `b` in a register: it would have been exchanged with `a`.
                if first == to {
                    let second = second.map_or_else(|| self.rm(b), Rm::Reg);
                    self.asm.vector(op(OVER_A_SUM), length, Under::All, to.0, third.0, second, None);
                } else {
                    copy(self, third);
                    let second = second.map_or_else(|| self.rm(b), Rm::Reg);
                    self.asm.vector(op(OVER_C), length, Under::All, to.0, first.0, second, None);
                }
            }
        }
        self.put(dst, to);
    }

    /// Calls a function for each lane of a mask, if there is one.
    fn call(&mut self, dst: Reg, rare: Reg, args: &[Reg], fast: Reg, function: Function, length: Length) {
        let (result, done, top, skip) = (SCRATCH[2], self.asm.label(), self.asm.label(), self.asm.label());
        let from = self.in_register(fast, result);
        if from != result {
            self.asm.vector(lanes::MOVE, Length::L512, Under::All, result.0, 0, Rm::Reg(from), None);
        }
        let k = self.mask(rare, K_SCRATCH[0]);
        self.asm.kmov_to(Gpr::RAX, k);
        let wide = function.bits == 64;
        let lanes = if wide || length == Length::L256 { 0xff } else { 0xffff };
        self.asm.and(Rm::Gpr(Gpr::RAX), lanes);
        self.asm.jump_if(Condition::Zero, done);
        let at = |e: &Self, place: i32, i: u8, size: i32| frame(e.kept + place + i32::from(i) * size);
        // The lanes of two arguments, one of which may stand for both, and of results.
        for (i, reg) in [args[0], args[args.len() - 1], fast].into_iter().enumerate() {
            let v = self.in_register(reg, SCRATCH[0]);
            let to = at(self, CALL_LANES, i as u8, 64);
            self.asm.vector(lanes::store(false), Length::L512, Under::All, v.0, 0, Rm::Mem(to), None);
        }
        let saved = [Gpr::RCX, Gpr::RSI, Gpr::RDI, Gpr(8), Gpr(9), Gpr(10), Gpr(11), Gpr::RBX, Gpr(12)];
        for v in 0..32 {
            let to = at(self, 0, v, 64);
            self.asm.vector(lanes::store(false), Length::L512, Under::All, v, 0, Rm::Mem(to), None);
        }
        for k in 1..8 {
            self.asm.kmov_frame(Mask(k), self.kept + KEPT_MASKS + 8 * i32::from(k), true);
        }
        for (i, &r) in saved.iter().enumerate() {
            let to = at(self, KEPT_REGISTERS, i as u8, 8);
            self.asm.store(to, r);
        }
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
            self.asm.vector(lanes::load_one(wide), Length::L128, Under::All, i, 0, Rm::Mem(from), None);
        }
        let symbol = self.functions.iter().position(|f| *f == function).unwrap_or(self.functions.len());
        if symbol == self.functions.len() {
            self.functions.push(function);
        }
        self.asm.call(symbol, function.name);
        let to = one(self, 2);
        self.asm.vector(lanes::store_one(wide), Length::L128, Under::All, 0, 0, Rm::Mem(to), None);
        self.asm.bind(skip);
        self.asm.add(Rm::Gpr(Gpr(12)), 1);
        self.asm.halve(Gpr::RBX);
        self.asm.jump_if(Condition::NotZero, top);
        for (i, &r) in saved.iter().enumerate() {
            let from = at(self, KEPT_REGISTERS, i as u8, 8);
            self.asm.load(r, from);
        }
        for k in 1..8 {
            self.asm.kmov_frame(Mask(k), self.kept + KEPT_MASKS + 8 * i32::from(k), false);
        }
        for v in 0..32 {
            let from = at(self, 0, v, 64);
            self.asm.vector(lanes::load(false), Length::L512, Under::All, v, 0, Rm::Mem(from), None);
        }
        let from = at(self, CALL_LANES, 2, 64);
        self.asm.vector(lanes::load(false), Length::L512, Under::All, result.0, 0, Rm::Mem(from), None);
        self.asm.bind(done);
        let own = self.target(dst, result);
        if own != result {
            self.asm.vector(lanes::MOVE, Length::L512, Under::All, own.0, 0, Rm::Reg(result), None);
        }
        self.put(dst, own);
    }

    fn logic(&mut self, op: Logic, dst: Reg, args: &[Reg], lanes: u16) {
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
                let bits = if op == Logic::First { 1 } else { i32::from(lanes) };
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

    fn load(&mut self, lay: Lay, dst: Reg, at: &Address, length: Length, mask: Option<Reg>) {
        let mem = self.memory(at);
        if self.code.is_mask(dst) {
            let k = self.mask_target(dst, K_SCRATCH[1]);
            if lay == Lay::One {
                self.asm.load_byte(Gpr::RAX, mem);
                self.asm.negate(Gpr::RAX);
                self.asm.all_if_carry(Gpr::RAX);
                self.asm.kmov_from(k, Gpr::RAX);
            } else {
                let under = self.under(mask, true);
                let wide = length == Length::L256;
                let (widen, test) = (lanes::BYTES_TO_32, lanes::TEST_32);
                // Eight lanes take a vector of 256 bits, sixteen one of 512.
                let length = if wide { Length::L256 } else { Length::L512 };
                let tmp = SCRATCH[0];
                self.asm.vector(widen, length, under, tmp.0, 0, Rm::Mem(mem), None);
                self.asm.vector(test, length, Under::All, k.0, tmp.0, Rm::Reg(tmp), None);
            }
            return self.put_mask(dst, k);
        }
        let to = self.target(dst, SCRATCH[0]);
        let wide = at.size == 8;
        match lay {
            Lay::One => {
                let op = if wide { lanes::BROADCAST_64 } else { lanes::BROADCAST_32 };
                let under = self.under(mask, true);
                self.asm.vector(op, length, under, to.0, 0, Rm::Mem(mem), None);
            }
            Lay::Run => {
                let under = self.under(mask, true);
                self.asm.vector(lanes::load(wide), length, under, to.0, 0, Rm::Mem(mem), None);
            }
        }
        self.put(dst, to);
    }

    fn store(&mut self, lay: Lay, src: Reg, at: &Address, length: Length, mask: Option<Reg>) {
        let wide = at.size == 8;
        if self.code.is_mask(src) {
            // Truth values are bytes of 0 or 1.
            let k = self.mask(src, K_SCRATCH[1]);
            let one = self.asm.constant(&1u32.to_le_bytes());
            let tmp = SCRATCH[0];
            self.asm.vector(lanes::BROADCAST_32, length, Under::Zero(k), tmp.0, 0, Rm::Mem(one), None);
            let under = if lay == Lay::One { self.first_of(mask) } else { self.under(mask, false) };
            let mem = self.memory(at);
            self.asm.vector(lanes::BYTES_FROM_32, length, under, tmp.0, 0, Rm::Mem(mem), None);
            return;
        }
        let from = self.in_register(src, SCRATCH[0]);
        let mem = self.memory(at);
        let under = self.under(mask, false);
        let op = if lay == Lay::One { lanes::store_one(wide) } else { lanes::store(wide) };
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

fn length_of(bytes: usize) -> Length {
    match bytes {
        64 => Length::L512,
        32 => Length::L256,
        _ => Length::L128,
    }
}
