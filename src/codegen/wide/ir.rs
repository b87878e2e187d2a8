//! The code of a wide kernel before registers are assigned: a list of instructions on virtual registers, with loops.
//!
//! A register holds numbers or truth values. Most are defined once; accumulators are defined before a loop and again inside it. Constants are registers that
//! no instruction defines. Memory is named by slot and *pattern*, a linear function of the loop counters that is kept up to date as they change.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::graph::Dims;

use super::asm::{Length, Opcode};
use super::isa::Isa;

/// Number of a virtual register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Reg(pub(super) u32);

impl Reg {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a register is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Lanes of numbers.
    Vector,
    /// Truth values.
    Mask,
    /// An element of this many bytes, in all lanes.
    Element(u64, u8),
    /// A constant vector.
    Constant(Vec<u8>),
    /// Constant truth values, a bit a lane.
    Truths(u16),
}

/// Number of a pattern: the counters' coefficients, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pattern(pub(super) u32);

/// Number of an offset that a value has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Chosen(pub(super) u32);

/// Place of elements in memory, in bytes: `slot + pattern * size + disp`, and what was chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) slot: u32,
    /// `None` if no counter moves it.
    pub(super) pattern: Option<Pattern>,
    /// Bytes of an element.
    pub(super) size: u8,
    pub(super) disp: i32,
    pub(super) chosen: Option<Chosen>,
}

/// Where an instruction has its operands, for those that are no special cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `dst = op(a)`, `a` in the field that may be memory.
    Unary,
    /// `dst = op(a, b)`, `b` in the field that may be memory.
    Binary,
    /// `dst = op(a)`, `dst` in the field that `vvvv` encodes; the number extends the opcode.
    Shift(u8),
    /// `dst = op(a)`, `dst` in the field that may be memory.
    Reversed,
    /// `dst = op(a, b)`, and the result is truth values.
    Compare,
}

/// What an instruction on truth values does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logic {
    And,
    Or,
    Xor,
    Not,
    /// All lanes as the first.
    First,
    /// All lanes set if any is.
    Any,
    /// All lanes set if all are.
    All,
}

/// How elements in memory become lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lay {
    /// One element for all lanes; of a vector that is stored, the first.
    One,
    /// One element a lane, side by side.
    Run,
}

/// A function of this program, of one or two floats to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codegen) struct Function {
    pub(in crate::codegen) name: &'static str,
    pub(in crate::codegen) address: usize,
    /// Bits of the floats.
    pub(in crate::codegen) bits: u32,
    pub(in crate::codegen) arity: usize,
}

/// An instruction.
#[derive(Clone, Debug)]
pub(super) enum Inst {
    /// An instruction in one of the common forms.
    Vector { op: Opcode, form: Form, length: Length, dst: Reg, args: SmallVec<[Reg; 2]>, imm: Option<u8> },
    /// `a * b + c`, or `c - a * b` if `negated`, rounded once.
    Fma { negated: bool, wide: bool, length: Length, dst: Reg, args: [Reg; 3] },
    /// `yes` where the mask is set, else `no`.
    Blend { wide: bool, length: Length, dst: Reg, mask: Reg, yes: Reg, no: Reg },
    /// The lanes of two vectors that an index names, those of the second counted behind those of the first, and [marked](Isa::permutes_two) where it takes several
    /// instructions.
    Permute { wide: bool, length: Length, dst: Reg, index: Reg, args: [Reg; 2] },
    /// An instruction on truth values.
    Logic { op: Logic, dst: Reg, args: SmallVec<[Reg; 2]> },
    /// A copy.
    Move { dst: Reg, src: Reg },
    /// Loads lanes; those that the mask leaves out are 0.
    Load { lay: Lay, dst: Reg, at: Address, length: Length, mask: Option<Reg> },
    /// Stores lanes that the mask does not leave out.
    Store { lay: Lay, src: Reg, at: Address, length: Length, mask: Option<Reg> },
    /// Loads the element at `at + index * scale` bytes into each lane of the mask, and `fill` into the others.
    Gather { dst: Reg, at: Address, index: Reg, scale: u8, length: Length, mask: Reg, fill: Reg },
    /// Stores each lane of the mask at `at + index * scale` bytes. Without [scatters](Isa::has_scatters) the index and the mask are constants.
    Scatter { src: Reg, at: Address, index: Reg, scale: u8, length: Length, mask: Reg },
    /// `offset` plus a pattern, in every lane.
    Counter { dst: Reg, pattern: Option<Pattern>, offset: i64, wide: bool, length: Length },
    /// Whether the value in the first lane is in `0..extent`, in all lanes; if so `value * stride` bytes are chosen, else 0.
    Choose { dst: Reg, value: Reg, wide: bool, extent: i32, stride: i32, chosen: Chosen },
    /// The function's results in the lanes where `rare` holds, `fast` in the others.
    Call { dst: Reg, rare: Reg, args: SmallVec<[Reg; 2]>, fast: Reg, function: Function, length: Length },
    /// The beginning of a loop.
    Loop(LoopId),
    /// The end of a loop.
    End(LoopId),
    /// What follows, up to `EndRest`, is done if the range of the outermost loop has a rest.
    Rest,
    /// See `Rest`.
    EndRest,
    /// The counter of a loop of the kernel has grown by this much.
    Advance { dim: usize, by: i64 },
}

/// Number of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LoopId(pub(super) u32);

/// How often a loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trips {
    /// So often, at least twice.
    Fixed(i64),
    /// Until the range's end, or as long as so many rows are left of it.
    Range { step: i64 },
}

/// The code of a kernel.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) isa: Isa,
    /// Bits of a truth value's lane: a vector of these has as many lanes as are worked on at a time.
    pub(super) truth_bits: u32,
    pub(super) insts: Vec<Inst>,
    pub(super) kinds: Vec<Kind>,
    /// Coefficients of the loop counters.
    pub(super) patterns: Vec<Dims<isize>>,
    pub(super) loops: Vec<Trips>,
    pub(super) chosen: u32,
    /// Set when something cannot be said in these instructions.
    pub(super) unsupported: bool,
    constants: FxHashMap<Kind, Reg>,
    /// For masks that compare: what they compare, so that a select may become a minimum or maximum.
    pub(super) less: FxHashMap<Reg, (Reg, Reg)>,
    /// For values that are negated: of what.
    pub(super) negated: FxHashMap<Reg, Reg>,
    /// For truth values in vectors that were made of narrower lanes: of which.
    pub(super) narrower: FxHashMap<Reg, Reg>,
}

impl Code {
    pub(super) fn new(isa: Isa, truth_bits: u32) -> Code {
        Code {
            isa,
            truth_bits,
            insts: Vec::new(),
            kinds: Vec::new(),
            patterns: Vec::new(),
            loops: Vec::new(),
            chosen: 0,
            unsupported: false,
            constants: FxHashMap::default(),
            less: FxHashMap::default(),
            negated: FxHashMap::default(),
            narrower: FxHashMap::default(),
        }
    }

    /// Lanes that are worked on at a time.
    pub(super) fn lanes(&self) -> u32 {
        self.isa.vector_bits() / self.truth_bits
    }

    fn reg(&mut self, kind: Kind) -> Reg {
        self.kinds.push(kind);
        Reg(self.kinds.len() as u32 - 1)
    }

    pub(super) fn vector(&mut self) -> Reg {
        self.reg(Kind::Vector)
    }

    pub(super) fn mask(&mut self) -> Reg {
        self.reg(Kind::Mask)
    }

    fn interned(&mut self, kind: Kind) -> Reg {
        if let Some(&reg) = self.constants.get(&kind) {
            return reg;
        }
        let reg = self.reg(kind.clone());
        self.constants.insert(kind, reg);
        reg
    }

    /// An element of `bits` bits in all lanes.
    pub(super) fn element(&mut self, v: u64, bits: u32) -> Reg {
        let v = if bits == 32 { v & 0xffff_ffff } else { v };
        self.interned(Kind::Element(v, (bits / 8) as u8))
    }

    /// A constant vector.
    pub(super) fn constant(&mut self, bytes: Vec<u8>) -> Reg {
        self.interned(Kind::Constant(bytes))
    }

    /// Constant truth values, a bit a lane.
    pub(super) fn truths(&mut self, bits: u16) -> Reg {
        let all = ((1u32 << self.lanes()) - 1) as u16;
        self.interned(Kind::Truths(bits & all))
    }

    /// The bits of truth values that are constant.
    pub(super) fn constant_truths(&self, reg: Reg) -> Option<u16> {
        match self.kinds[reg.index()] {
            Kind::Truths(bits) => Some(bits),
            _ => None,
        }
    }

    /// The element that stands in all lanes of a constant.
    pub(super) fn constant_element(&self, reg: Reg) -> Option<u64> {
        match self.kinds[reg.index()] {
            Kind::Element(v, _) => Some(v),
            _ => None,
        }
    }

    pub(super) fn is_mask(&self, reg: Reg) -> bool {
        matches!(self.kinds[reg.index()], Kind::Mask | Kind::Truths(_))
    }

    pub(super) fn is_constant(&self, reg: Reg) -> bool {
        !matches!(self.kinds[reg.index()], Kind::Vector | Kind::Mask)
    }

    pub(super) fn push(&mut self, inst: Inst) {
        self.insts.push(inst);
    }

    /// A vector instruction with a new result.
    pub(super) fn op(&mut self, op: Opcode, form: Form, length: Length, args: &[Reg], imm: Option<u8>) -> Reg {
        let dst = if form == Form::Compare { self.mask() } else { self.vector() };
        self.push(Inst::Vector { op, form, length, dst, args: SmallVec::from_slice(args), imm });
        dst
    }

    /// An instruction on truth values with a new result.
    pub(super) fn logic(&mut self, op: Logic, args: &[Reg]) -> Reg {
        let dst = self.mask();
        self.push(Inst::Logic { op, dst, args: SmallVec::from_slice(args) });
        dst
    }

    /// Gives `variable`, which has been defined before, the value of `src`.
    pub(super) fn assign(&mut self, variable: Reg, src: Reg) {
        // A result that was made just now is made in place: nothing else knows of it.
        if let Some(last) = self.insts.last_mut()
            && last.dst() == Some(src)
            && src.0 as usize == self.kinds.len() - 1
        {
            last.set_dst(variable);
        } else {
            self.push(Inst::Move { dst: variable, src });
        }
    }

    /// The pattern of these coefficients; `None` if all are 0.
    pub(super) fn pattern(&mut self, coefs: Dims<isize>) -> Option<Pattern> {
        if coefs.iter().all(|&c| c == 0) {
            return None;
        }
        let at = self.patterns.iter().position(|p| *p == coefs).unwrap_or_else(|| {
            self.patterns.push(coefs);
            self.patterns.len() - 1
        });
        Some(Pattern(at as u32))
    }

    /// A new loop.
    pub(super) fn begin(&mut self, trips: Trips) -> LoopId {
        self.loops.push(trips);
        let id = LoopId(self.loops.len() as u32 - 1);
        self.push(Inst::Loop(id));
        id
    }

    /// Removes instructions whose results nothing uses.
    pub(super) fn remove_dead(&mut self) {
        let mut used = vec![false; self.kinds.len()];
        let mut defined = vec![0u8; self.kinds.len()];
        for inst in &self.insts {
            if let Some(dst) = inst.dst() {
                defined[dst.index()] = defined[dst.index()].saturating_add(1);
            }
        }
        // What a variable is given may be read in the next turn of a loop, by an instruction that stands before.
        for (used, &defined) in used.iter_mut().zip(&defined) {
            *used = defined > 1;
        }
        for inst in self.insts.iter().filter(|i| i.dst().is_none()) {
            inst.uses(|r| used[r.index()] = true);
        }
        let mut keep = vec![true; self.insts.len()];
        for (i, inst) in self.insts.iter().enumerate().rev() {
            let Some(dst) = inst.dst() else { continue };
            // What is chosen is used by addresses, which are no registers.
            if used[dst.index()] || matches!(inst, Inst::Choose { .. }) {
                inst.uses(|r| used[r.index()] = true);
            } else {
                keep[i] = false;
            }
        }
        let mut keep = keep.into_iter();
        self.insts.retain(|_| keep.next() == Some(true));
    }
}

impl Inst {
    /// The register that it defines.
    pub(super) fn dst(&self) -> Option<Reg> {
        match self {
            Inst::Vector { dst, .. }
            | Inst::Fma { dst, .. }
            | Inst::Blend { dst, .. }
            | Inst::Permute { dst, .. }
            | Inst::Logic { dst, .. }
            | Inst::Move { dst, .. }
            | Inst::Load { dst, .. }
            | Inst::Gather { dst, .. }
            | Inst::Counter { dst, .. }
            | Inst::Call { dst, .. }
            | Inst::Choose { dst, .. } => Some(*dst),
            _ => None,
        }
    }

    fn set_dst(&mut self, new: Reg) {
        match self {
            Inst::Vector { dst, .. }
            | Inst::Fma { dst, .. }
            | Inst::Blend { dst, .. }
            | Inst::Permute { dst, .. }
            | Inst::Logic { dst, .. }
            | Inst::Move { dst, .. }
            | Inst::Load { dst, .. }
            | Inst::Gather { dst, .. }
            | Inst::Counter { dst, .. }
            | Inst::Call { dst, .. }
            | Inst::Choose { dst, .. } => *dst = new,
            _ => {}
        }
    }

    /// Calls `f` with each register that it reads.
    pub(super) fn uses(&self, mut f: impl FnMut(Reg)) {
        match self {
            Inst::Vector { args, .. } | Inst::Logic { args, .. } => args.iter().for_each(|&a| f(a)),
            Inst::Fma { args, .. } => args.iter().for_each(|&a| f(a)),
            Inst::Blend { mask, yes, no, .. } => [*mask, *yes, *no].into_iter().for_each(f),
            Inst::Permute { index, args: [a, b], .. } => [*index, *a, *b].into_iter().for_each(f),
            Inst::Move { src, .. } => f(*src),
            Inst::Load { mask, .. } => mask.iter().for_each(|&m| f(m)),
            Inst::Store { src, mask, .. } => {
                f(*src);
                mask.iter().for_each(|&m| f(m));
            }
            Inst::Gather { index, mask, fill, .. } => [*index, *mask, *fill].into_iter().for_each(f),
            Inst::Scatter { src, index, mask, .. } => [*src, *index, *mask].into_iter().for_each(f),
            Inst::Choose { value, .. } => f(*value),
            Inst::Call { rare, args, fast, .. } => {
                f(*rare);
                args.iter().for_each(|&a| f(a));
                f(*fast);
            }
            Inst::Counter { .. } | Inst::Loop(_) | Inst::End(_) | Inst::Rest | Inst::EndRest | Inst::Advance { .. } => {
            }
        }
    }

    /// The memory that it touches.
    pub(super) fn address(&self) -> Option<&Address> {
        match self {
            Inst::Load { at, .. } | Inst::Store { at, .. } | Inst::Gather { at, .. } | Inst::Scatter { at, .. } => {
                Some(at)
            }
            _ => None,
        }
    }
}
