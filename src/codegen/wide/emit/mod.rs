//! Machine code for the instructions of a kernel: what the instruction sets have in common. Truth values and memory are in [`avx2`] and [`avx512`].
//!
//! The frame, from the stack pointer up: the counter of the outermost loop, its bound and its end; counters of loops; pointers and patterns that have no
//! register; chosen offsets; masks; vectors; and, if functions are called, all registers that they may change, and lanes on their way.

mod avx2;
mod avx512;
mod call;

use crate::plan::kernel::Kernel;

use super::WideCode;
use super::alloc::{Home, Homes};
use super::asm::{Assembler, Condition, Gpr, Label, Length, Mask, Mem, Opcode, Rm, Simd, Under};
use super::ir::{Address, Chosen, Code, Form, Function, Inst, Kind, LoopId, Reg, Trips};
use super::isa::Isa;
use super::opcodes;

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
    isa: Isa,
    /// Vector registers for operands on their way.
    scratch: [Simd; 3],
    /// A whole vector, and its bytes.
    full: Length,
    bytes: i32,
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
    let isa = code.isa;
    let kept = vectors + isa.vector_bytes() * homes.spilled_vectors as i32;
    let calls = code.insts.iter().any(|i| matches!(i, Inst::Call { .. }));
    let bytes = kept + if calls { call::FRAME_BYTES } else { 0 };
    let asm = Assembler::new(isa, listing);
    let mut e = Emit {
        kernel,
        code,
        homes,
        isa,
        scratch: isa.scratch(),
        full: isa.full(),
        bytes: isa.vector_bytes(),
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
    let place = |t: &Trips, take: &mut dyn FnMut(i32) -> i32| match t {
        Trips::Range { .. } => COUNTER,
        Trips::Fixed(_) => take(8),
    };
    innermost.iter().zip(&code.loops).map(|(inner, t)| (!inner).then(|| place(t, take))).collect()
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
            match self.code.constant_truths(reg).filter(|_| self.isa.has_mask_registers()) {
                Some(bits) => self.set_mask(Mask(r), bits),
                None => self.materialize(reg, Simd(r)),
            }
        }
    }

    fn epilogue(&mut self) {
        self.asm.lea(Gpr::RSP, Mem::base(Gpr::RBP, -8 * SAVED.len() as i32));
        for r in SAVED.into_iter().rev() {
            self.asm.pop(r);
        }
        self.asm.pop(Gpr::RBP);
        self.asm.clear_upper();
        self.asm.ret();
    }

    /// The bytes of a constant: of one element for those that stand in all lanes.
    fn constant_bytes(&self, reg: Reg) -> Vec<u8> {
        match &self.code.kinds[reg.index()] {
            Kind::Constant(bytes) => bytes.clone(),
            Kind::Element(v, bytes) => v.to_le_bytes()[..*bytes as usize].to_vec(),
            Kind::Truths(bits) => avx2::truth_bytes(*bits, self.code.lanes(), self.code.truth_bits),
            Kind::Vector | Kind::Mask => panic!("v{} is no constant", reg.0),
        }
    }

    /// A constant in the pool, as an operand.
    fn pooled(&mut self, reg: Reg) -> Rm {
        let bytes = self.constant_bytes(reg);
        let is_element = matches!(self.code.kinds[reg.index()], Kind::Element(..));
        match self.isa {
            Isa::Avx512 if is_element => Rm::Broadcast(self.asm.constant(&bytes)),
            Isa::Avx2 if is_element => Rm::Mem(self.asm.constant(&bytes.repeat(self.bytes as usize / bytes.len()))),
            _ => Rm::Mem(self.asm.constant(&bytes)),
        }
    }

    /// Loads a constant into a register.
    fn materialize(&mut self, reg: Reg, to: Simd) {
        let bytes = self.constant_bytes(reg);
        let from = Rm::Mem(self.asm.constant(&bytes));
        let (op, length) = match self.code.kinds[reg.index()] {
            Kind::Element(..) => (opcodes::broadcast(self.isa, bytes.len() == 8), self.full),
            // Constant vectors may be shorter than a register; loading more of the pool than is needed would run over its end.
            _ => (opcodes::load(false), length_of(bytes.len())),
        };
        self.asm.vector(op, length, Under::All, to.0, 0, from, None);
    }

    fn spill_at(&self, slot: u32) -> Mem {
        frame(self.vectors + self.bytes * slot as i32)
    }

    /// An operand that may be memory.
    fn rm(&mut self, reg: Reg) -> Rm {
        match self.homes.of[reg.index()] {
            Home::Register(r) => Rm::Reg(Simd(r)),
            Home::Frame(slot) => Rm::Mem(self.spill_at(slot)),
            Home::Pool => self.pooled(reg),
            Home::None => panic!("v{} has no home", reg.0),
        }
    }

    /// An operand in a register: its own, or `scratch`.
    fn in_register(&mut self, reg: Reg, scratch: Simd) -> Simd {
        match self.homes.of[reg.index()] {
            Home::Register(r) => Simd(r),
            Home::Pool => {
                self.materialize(reg, scratch);
                scratch
            }
            _ => {
                let rm = self.rm(reg);
                self.asm.vector(opcodes::load(false), self.full, Under::All, scratch.0, 0, rm, None);
                scratch
            }
        }
    }

    /// Where a result is made: its own register, or `scratch`.
    fn target(&self, reg: Reg, scratch: Simd) -> Simd {
        match self.homes.of[reg.index()] {
            Home::Register(r) => Simd(r),
            _ => scratch,
        }
    }

    /// Puts a result that was made in `from` into the frame if it lives there.
    fn put(&mut self, reg: Reg, from: Simd) {
        if let Home::Frame(slot) = self.homes.of[reg.index()] {
            let at = self.spill_at(slot);
            self.asm.vector(opcodes::store(false), self.full, Under::All, from.0, 0, Rm::Mem(at), None);
        }
    }

    /// Copies a vector.
    fn copy(&mut self, to: Simd, from: Simd) {
        if to != from {
            self.asm.vector(opcodes::MOVE, self.full, Under::All, to.0, 0, Rm::Reg(from), None);
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

    /// What [`Inst::Choose`] chooses; whether it is in range is 0 or -1 in `rdx`.
    fn choose(&mut self, value: Reg, wide: bool, extent: i32, stride: i32, chosen: Chosen) {
        let value = self.in_register(value, self.scratch[0]);
        let op = if wide { opcodes::MOVE_FROM_VECTOR_64 } else { opcodes::MOVE_FROM_VECTOR_32 };
        self.asm.vector(op, Length::L128, Under::All, value.0, 0, Rm::Gpr(Gpr::RAX), None);
        if !wide {
            self.asm.extend(Gpr::RAX);
        }
        // Below as unsigned numbers: the comparison sets the carry.
        self.asm.compare(Rm::Gpr(Gpr::RAX), extent);
        self.asm.all_if_carry(Gpr::RDX);
        self.asm.and_registers(Gpr::RAX, Gpr::RDX);
        self.asm.multiply(Gpr::RAX, Gpr::RAX, stride);
        self.asm.store(frame(self.chosen + 8 * chosen.0 as i32), Gpr::RAX);
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
            (Trips::Range { .. }, counter) => {
                self.asm.load(Gpr::RAX, frame(COUNTER));
                self.asm.load(Gpr::RDX, frame(BOUND));
                self.asm.compare_registers(Gpr::RAX, Gpr::RDX);
                self.asm.jump_if(Condition::GreaterOrEqual, out);
                if counter.is_none() {
                    // Nothing inside asks how far the loop is.
                    self.asm.mov(Gpr::RCX, Gpr::RDX);
                    self.asm.subtract_registers(Gpr::RCX, Gpr::RAX);
                    self.asm.store(frame(COUNTER), Gpr::RDX);
                }
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
            (Trips::Range { step }, None) => {
                // A range begins and ends at a multiple of the step.
                self.asm.add(Rm::Gpr(Gpr::RCX), -(step as i32));
                self.asm.jump_if(Condition::NotZero, top);
            }
            (Trips::Range { step }, Some(_)) => {
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
            Inst::Move { dst, src } if !(self.isa.has_mask_registers() && self.code.is_mask(*dst)) => {
                let to = self.target(*dst, self.scratch[0]);
                let from = self.in_register(*src, to);
                self.copy(to, from);
                self.put(*dst, to);
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
            Inst::Blend { .. }
            | Inst::Permute { .. }
            | Inst::Logic { .. }
            | Inst::Move { .. }
            | Inst::Load { .. }
            | Inst::Store { .. }
            | Inst::Gather { .. }
            | Inst::Scatter { .. }
            | Inst::Counter { .. }
            | Inst::Choose { .. } => match self.isa {
                Isa::Avx2 => self.inst_avx2(inst),
                Isa::Avx512 => self.inst_avx512(inst),
            },
        }
    }

    fn vector(&mut self, op: Opcode, form: Form, length: Length, dst: Reg, args: &[Reg], imm: Option<u8>) {
        match form {
            Form::Unary => {
                // Conversions and the like cannot all read a constant from memory.
                let rm = match self.homes.of[args[0].index()] {
                    Home::Pool => Rm::Reg(self.in_register(args[0], self.scratch[0])),
                    _ => self.rm(args[0]),
                };
                let to = self.target(dst, self.scratch[2]);
                self.asm.vector(op, length, Under::All, to.0, 0, rm, imm);
                self.put(dst, to);
            }
            Form::Binary => {
                let a = self.in_register(args[0], self.scratch[0]);
                let b = self.rm(args[1]);
                let to = self.target(dst, self.scratch[2]);
                self.asm.vector(op, length, Under::All, to.0, a.0, b, imm);
                self.put(dst, to);
            }
            Form::Shift(extension) => {
                // In VEX these have no operand in memory.
                let a = match self.isa {
                    Isa::Avx2 => Rm::Reg(self.in_register(args[0], self.scratch[0])),
                    Isa::Avx512 => self.rm(args[0]),
                };
                let to = self.target(dst, self.scratch[2]);
                self.asm.vector(op, length, Under::All, extension, to.0, a, imm);
                self.put(dst, to);
            }
            Form::Reversed => {
                let a = self.in_register(args[0], self.scratch[0]);
                let to = self.target(dst, self.scratch[2]);
                self.asm.vector(op, length, Under::All, a.0, 0, Rm::Reg(to), imm);
                self.put(dst, to);
            }
            Form::Compare => match self.isa {
                Isa::Avx2 => self.vector(op, Form::Binary, length, dst, args, imm),
                Isa::Avx512 => self.compare_avx512(op, length, dst, args, imm),
            },
        }
    }

    fn fma(&mut self, negated: bool, wide: bool, length: Length, dst: Reg, [mut a, mut b, c]: [Reg; 3]) {
        const OVER_A: (u8, u8) = (0xa8, 0xac);
        const OVER_C: (u8, u8) = (0xb8, 0xbc);
        const OVER_A_SUM: (u8, u8) = (0x98, 0x9c);
        let op = |(add, subtract): (u8, u8)| opcodes::fused(wide, if negated { subtract } else { add });
        let to = self.target(dst, self.scratch[2]);
        let register = |e: &Self, r: Reg| match e.homes.of[r.index()] {
            Home::Register(n) => Some(Simd(n)),
            _ => None,
        };
        // The first factor is in a register if either is.
        if register(self, a).is_none() || register(self, b) == Some(to) {
            std::mem::swap(&mut a, &mut b);
        }
        let first = self.in_register(a, self.scratch[0]);
        match (register(self, b), register(self, c)) {
            // to = to * b + c
            (Some(second), None) if second != to || first == to => {
                self.copy(to, first);
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
                // `to` holds no operand that is still wanted unless it holds `first`.
                let own = if first == to { self.scratch[1] } else { to };
                let third = third.unwrap_or_else(|| self.in_register(c, own));
                // `first` is not `to` here, and neither is a `b` in a register: it would have been exchanged with `a`.
                if first == to {
                    let second = second.map_or_else(|| self.rm(b), Rm::Reg);
                    self.asm.vector(op(OVER_A_SUM), length, Under::All, to.0, third.0, second, None);
                } else {
                    self.copy(to, third);
                    let second = second.map_or_else(|| self.rm(b), Rm::Reg);
                    self.asm.vector(op(OVER_C), length, Under::All, to.0, first.0, second, None);
                }
            }
        }
        self.put(dst, to);
    }
}

/// A vector of so many bytes.
fn length_of(bytes: usize) -> Length {
    match bytes {
        64 => Length::L512,
        32 => Length::L256,
        _ => Length::L128,
    }
}
