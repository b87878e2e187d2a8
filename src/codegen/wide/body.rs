//! The values of a kernel's body, as wide code.
//!
//! A value is a few registers, its parts: as many vectors as its lanes fill if it varies along the loop that is run by vectors, one otherwise, in all of
//! whose lanes it stands. Numbers of 32 and of 64 bits have equally many lanes: where the two meet, those of 32 bits fill half a register.

use smallvec::SmallVec;

use crate::codegen::choose::{Dependencies, Vector};
use crate::codegen::loops::Width;
use crate::graph::{DType, Dims};
use crate::plan::kernel::{Access, Affine, Index, Inst as Instruction, Kernel, SlotId, Store, StoreMode, ValueId};
use crate::scalar::{Lanes, ScalarFn, Value as Lane};

use super::asm::Length;
use super::convert::byte;
use super::folds::Accumulators;
use super::ir::{Address, Code, Inst, Lay, Logic, Reg};
use super::isa::Isa;
use super::lanes::Wide;

/// The registers of a value.
pub(super) type Parts = SmallVec<[Reg; 4]>;

/// A kernel's code under construction.
pub(super) struct Body<'k> {
    pub(super) kernel: &'k Kernel,
    pub(super) vector: Vector,
    pub(super) code: Code,
    /// Elements worked on at a time.
    pub(super) width: Width,
    /// The counters that are known: those of loops whose turns are written out.
    pub(super) known: Dims<Option<isize>>,
    dependencies: &'k Dependencies,
    values: Vec<Option<Parts>>,
    /// Values emitted since the beginning, so that those of a closed loop can be forgotten.
    log: Vec<ValueId>,
    /// The folds of each phase.
    pub(super) folds: Vec<Vec<Accumulators>>,
}

/// What was worked on before a scope was opened.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    log: usize,
    width: Width,
}

/// Bits of a lane, for numbers. Those shorter than 32 bits are kept in 32.
pub(super) fn bits(dtype: DType) -> u32 {
    (dtype.size() as u32 * 8).max(32)
}

impl<'k> Body<'k> {
    pub(super) fn new(kernel: &'k Kernel, dependencies: &'k Dependencies, vector: Vector, isa: Isa) -> Body<'k> {
        Body {
            kernel,
            vector,
            code: Code::new(isa, isa.vector_bits() / vector.least_lanes()),
            width: Width::SCALAR,
            known: kernel.loops.iter().map(|_| None).collect(),
            dependencies,
            values: vec![None; kernel.values.len()],
            log: Vec::new(),
            folds: vec![Vec::new(); kernel.phases.len()],
        }
    }

    /// Opens a scope in which this many elements are worked on at a time.
    pub(super) fn enter(&mut self, width: Width) -> Scope {
        let scope = Scope { log: self.log.len(), width: self.width };
        self.width = width;
        scope
    }

    /// Closes a scope: forgets its values.
    pub(super) fn leave(&mut self, scope: Scope) {
        self.width = scope.width;
        for value in self.log.drain(scope.log..) {
            self.values[value.index()] = None;
        }
    }

    /// See [`Emitter::hoisted_rows`](crate::codegen::emit::Emitter::hoisted_rows).
    pub(super) fn hoisted_rows(&mut self, d: usize) {
        for phase in &self.kernel.phases {
            for &value in phase.row.iter().chain(&phase.inner) {
                if self.dependencies.depth(value) <= d && self.dependencies.is_free(value) {
                    self.emit(value);
                }
            }
        }
    }

    /// Emits the row values of a phase.
    pub(super) fn row_values(&mut self, p: usize) {
        self.kernel.phases[p].row.iter().for_each(|&value| self.emit(value));
    }

    /// Emits the inner values of a phase that depend on the first `d` loops only.
    pub(super) fn inner_values(&mut self, p: usize, d: usize) {
        for &value in self.kernel.phases[p].inner.iter().filter(|&&v| self.dependencies.depth(v) <= d) {
            self.emit(value);
        }
    }

    /// Lanes of a register.
    pub(super) fn lanes(&self) -> u32 {
        self.code.lanes()
    }

    /// A whole vector.
    pub(super) fn full(&self) -> Length {
        self.code.isa.full()
    }

    /// True if there are more lanes than a vector has of 64-bit numbers, so that no such number varies.
    pub(super) fn has_narrow_lanes(&self) -> bool {
        self.code.truth_bits == 32
    }

    /// How long a vector of all lanes is. What does not vary may have fewer, and needs no more.
    pub(super) fn length(&self, bits: u32) -> Length {
        if bits >= self.code.truth_bits { self.full() } else { self.code.isa.half() }
    }

    /// The lanes of numbers of a type.
    pub(super) fn group(&mut self, dtype: DType) -> Wide<'_> {
        let (bits, length) = (bits(dtype), self.length(bits(dtype)));
        Wide { code: &mut self.code, bits, length }
    }

    /// How many registers the lanes worked on fill.
    pub(super) fn parts_of_width(&self) -> usize {
        (self.width.lanes / self.lanes()) as usize
    }

    /// True if a value varies along the loop that is run by vectors, and vectors are being worked on.
    pub(super) fn is_wide(&self, value: ValueId) -> bool {
        self.width.is_wide() && self.dependencies.varies(value, self.vector.dim)
    }

    fn emit(&mut self, id: ValueId) {
        if self.values[id.index()].is_some() {
            return;
        }
        let value = self.kernel.value(id);
        let wide = self.is_wide(id);
        let parts = match &value.inst {
            Instruction::Const(v) => Parts::from_elem(self.constant(value.dtype, f64::from_bits(*v)), 1),
            Instruction::Counter(affine) => self.counter(affine, value.dtype, wide),
            Instruction::Load { slot, index, fill } => {
                self.load(value.dtype, *slot, index, f64::from_bits(*fill), wide)
            }
            Instruction::Fold { phase, fold } => self.folds[*phase][*fold].result.clone(),
            Instruction::Cast(arg) => {
                let from = self.kernel.value(*arg).dtype;
                let parts = self.emitted(*arg);
                parts.into_iter().map(|part| self.cast(part, from, value.dtype)).collect()
            }
            Instruction::Map(f, args) => {
                let count = if wide { self.parts_of_width() } else { 1 };
                let operands: SmallVec<[(DType, Parts); 3]> =
                    args.iter().map(|&a| (self.kernel.value(a).dtype, self.spread(a, count))).collect();
                self.apply(*f, &operands, wide)
            }
        };
        self.values[id.index()] = Some(parts);
        self.log.push(id);
    }

    /// A value that has been emitted.
    pub(super) fn emitted(&self, id: ValueId) -> Parts {
        self.values[id.index()].clone().unwrap_or_else(|| panic!("v{} is used before it is computed", id.0))
    }

    /// A value as this many parts.
    pub(super) fn spread(&self, id: ValueId, count: usize) -> Parts {
        let parts = self.emitted(id);
        if parts.len() == count { parts } else { Parts::from_elem(parts[0], count) }
    }

    /// A scalar function of operands of equally many parts.
    pub(super) fn apply(&mut self, f: ScalarFn, operands: &[(DType, Parts)], wide: bool) -> Parts {
        // The condition of a select has as many lanes as what it selects.
        let dtype = operands[operands.len() - 1].0;
        (0..operands[0].1.len())
            .map(|i| {
                let mut l = self.group(dtype);
                let args: SmallVec<[Lane<Wide<'_>>; 3]> = operands
                    .iter()
                    .map(|(dtype, parts)| match dtype {
                        DType::F32 | DType::F64 => Lane::F(parts[i]),
                        DType::I32 | DType::I64 => Lane::I(parts[i]),
                        DType::U8 | DType::U32 => Lane::U(parts[i]),
                        DType::Bool => Lane::M(parts[i]),
                        DType::F16 | DType::BF16 => panic!("{} of {dtype}, which is for storage", f.name()),
                    })
                    .collect();
                let (result, is_truth) = match f.apply(&mut l, &args) {
                    Lane::U(v) if dtype == DType::U8 => (byte(&mut l, v), false),
                    Lane::F(v) | Lane::I(v) | Lane::U(v) => (v, false),
                    Lane::M(v) => (v, true),
                };
                drop(args);
                if is_truth && !wide { self.in_all_lanes(result, bits(dtype)) } else { result }
            })
            .collect()
    }

    /// Truth values of a number that does not vary, of which there may be fewer lanes, in all lanes.
    pub(super) fn in_all_lanes(&mut self, truth: Reg, bits: u32) -> Reg {
        let few = bits == 64 && self.has_narrow_lanes();
        // Lanes of ones or zeros are the same in any width.
        if few && self.code.isa.has_mask_registers() { self.code.logic(Logic::First, &[truth]) } else { truth }
    }

    /// A number in every lane.
    pub(super) fn constant(&mut self, dtype: DType, v: f64) -> Reg {
        let mut l = self.group(dtype);
        match dtype {
            DType::F32 | DType::F64 => l.fconst(v),
            DType::U8 => l.iconst((v as u8).into()),
            DType::U32 => l.iconst((v as u32).into()),
            DType::I32 => l.iconst((v as i32).into()),
            DType::I64 => l.iconst(v as i64),
            DType::Bool => l.mconst(v != 0.0),
            DType::F16 | DType::BF16 => panic!("{dtype} in a kernel for wide vectors"),
        }
    }

    /// True for scratch memory in which the rows worked on lie side by side.
    fn is_parked(&self, slot: SlotId) -> bool {
        let scratch = self.kernel.slots[slot.index()].access == Access::Scratch;
        self.width.is_wide() && self.vector.along_rows(self.kernel) && scratch
    }

    /// What the counters that are known add to a linear function.
    pub(super) fn known_part(&self, coefs: &[isize]) -> i128 {
        coefs.iter().zip(&self.known).map(|(&c, known)| c as i128 * known.unwrap_or(0) as i128).sum()
    }

    /// The pattern of coefficients; those of loops of one turn, and of counters that are known, left aside.
    pub(super) fn pattern(&mut self, coefs: &[isize], factor: isize) -> Option<super::ir::Pattern> {
        let moves = |d: usize| self.kernel.loops[d] > 1 && self.known[d].is_none();
        let coefs: Dims<isize> =
            coefs.iter().enumerate().map(|(d, &c)| if moves(d) { c * factor } else { 0 }).collect();
        // Counters and what they advance by are kept in 32 bits.
        let farthest: i128 =
            coefs.iter().zip(&self.kernel.loops).map(|(&c, &n)| (c as i128 * (n as i128 + 64)).abs()).sum();
        self.code.unsupported |= farthest > i128::from(i32::MAX);
        self.code.pattern(coefs)
    }

    /// The place of the elements at an index, its choice left aside, and the elements between two lanes.
    fn address(&mut self, slot: SlotId, affine: &Affine) -> (Address, isize) {
        let size = self.kernel.slots[slot.index()].dtype.size();
        let parked = self.is_parked(slot);
        let factor = if parked { self.lanes() as isize } else { 1 };
        let pattern = self.pattern(&affine.coefs, factor);
        let first = affine.offset as i128 + self.known_part(&affine.coefs);
        let disp = i32::try_from(first * factor as i128 * size as i128);
        // Parts lie behind each other.
        self.code.unsupported |= disp.is_err() || disp.is_ok_and(|d| d.unsigned_abs() > 1 << 30);
        let address = Address { slot: slot.0, pattern, size: size as u8, disp: disp.unwrap_or(0), chosen: None };
        (address, if parked { 1 } else { affine.coefs[self.vector.dim] })
    }

    /// The address of part `p`.
    fn part(&mut self, at: &Address, p: usize, step: isize) -> Address {
        let added = p as i128 * i128::from(self.lanes()) * step as i128 * i128::from(at.size);
        let disp = i32::try_from(i128::from(at.disp) + added);
        self.code.unsupported |= disp.is_err();
        Address { disp: disp.unwrap_or(0), ..*at }
    }

    /// A mask of the lanes of part `p` that are elements, if not all are.
    pub(super) fn live(&mut self, p: usize) -> Option<Reg> {
        let (first, lanes) = (p as u32 * self.lanes(), self.lanes());
        let live = self.width.live.saturating_sub(first);
        (live < lanes).then(|| self.code.truths(((1u32 << live) - 1) as u16))
    }

    /// The bytes between an address and each lane's element, in units of the element.
    fn steps(&mut self, step: isize) -> Reg {
        let lanes = self.lanes() as i64;
        self.code.unsupported |= i32::try_from(step as i64 * lanes).is_err();
        let bytes = (0..lanes).flat_map(|l| (l.wrapping_mul(step as i64) as i32).to_le_bytes());
        self.code.constant(bytes.collect())
    }

    fn load(&mut self, dtype: DType, slot: SlotId, index: &Index, fill: f64, wide: bool) -> Parts {
        let (mut at, step) = self.address(slot, &index.affine);
        let mut valid = None;
        if let Some(choice) = index.choice {
            if choice.extent == 0 {
                return Parts::from_elem(self.constant(dtype, fill), if wide { self.parts_of_width() } else { 1 });
            }
            if self.is_wide(choice.value) {
                return self.chosen_by_lane(dtype, &at, step, index, fill);
            }
            let (mask, chosen) = self.choose(choice.value, choice.stride, choice.extent, at.size);
            at.chosen = Some(chosen);
            valid = Some(mask);
        }
        let count = if wide { self.parts_of_width() } else { 1 };
        let parts: Parts = (0..count)
            .map(|p| {
                let at = self.part(&at, p, step);
                let mask = if wide { self.live(p) } else { None };
                self.load_part(dtype, &at, if wide { step } else { 0 }, mask)
            })
            .collect();
        let Some(valid) = valid else { return parts };
        let fill = self.constant(dtype, fill);
        let fills = Parts::from_elem(fill, parts.len());
        let valid = Parts::from_elem(valid, parts.len());
        self.apply(ScalarFn::Select, &[(DType::Bool, valid), (dtype, parts), (dtype, fills)], wide)
    }

    fn load_part(&mut self, dtype: DType, at: &Address, step: isize, mask: Option<Reg>) -> Reg {
        let length = self.length(bits(dtype));
        let dst = if dtype == DType::Bool { self.code.mask() } else { self.code.vector() };
        match step {
            0 => self.code.push(Inst::Load { lay: Lay::One, dst, at: *at, length, mask: None }),
            1 => self.code.push(Inst::Load { lay: Lay::Run, dst, at: *at, length, mask }),
            _ if self.vector.loads_near(dtype, step) => return self.load_near(dtype, at, step, mask),
            _ => {
                self.code.unsupported |= dtype.size() < 4;
                // Lanes that are stored one by one have their places in the instructions.
                let last = i64::from(at.disp) + step as i64 * 15 * i64::from(at.size);
                self.code.unsupported |= !self.code.isa.has_scatters() && i32::try_from(last).is_err();
                let index = self.steps(step);
                let mask = mask.unwrap_or_else(|| self.code.truths(u16::MAX));
                let fill = self.constant(dtype, 0.0);
                let scale = at.size;
                self.code.push(Inst::Gather { dst, at: *at, index, scale, length, mask, fill });
            }
        }
        dst
    }

    /// Whether a value that does not vary chooses an element, and which.
    fn choose(&mut self, value: ValueId, stride: isize, extent: usize, size: u8) -> (Reg, super::ir::Chosen) {
        let wide = self.kernel.value(value).dtype == DType::I64;
        let chosen = super::ir::Chosen(self.code.chosen);
        self.code.chosen += 1;
        let stride = i32::try_from(stride as i128 * i128::from(size));
        let extent = i32::try_from(extent);
        self.code.unsupported |= stride.is_err() || extent.is_err();
        let (dst, value) = (self.code.mask(), self.emitted(value)[0]);
        let (extent, stride) = (extent.unwrap_or(0), stride.unwrap_or(0));
        self.code.push(Inst::Choose { dst, value, wide, extent, stride, chosen });
        (dst, chosen)
    }

    /// Elements chosen by a value that varies, one for each lane.
    fn chosen_by_lane(&mut self, dtype: DType, at: &Address, step: isize, index: &Index, fill: f64) -> Parts {
        let Some(choice) = index.choice else { return Parts::new() };
        let from = self.kernel.value(choice.value).dtype;
        let reach = choice.extent as i128 * choice.stride as i128 + i128::from(self.width.lanes) * step as i128;
        self.code.unsupported |= dtype.size() < 4 || i32::try_from(reach.abs()).is_err();
        self.code.unsupported |= i32::try_from(choice.extent).is_err();
        let values = self.emitted(choice.value);
        let fill = self.constant(dtype, fill);
        let length = self.length(bits(dtype));
        values
            .iter()
            .enumerate()
            .map(|(p, &value)| {
                let at = self.part(at, p, step);
                let extent = self.code.element(choice.extent as u64, bits(from));
                let mut valid = self.group(from).iult(value, extent);
                if let Some(live) = self.live(p) {
                    valid = self.code.logic(Logic::And, &[valid, live]);
                }
                let value = self.cast(value, from, DType::I32);
                let mut l = self.group(DType::I32);
                let stride = l.iconst(choice.stride as i64);
                let mut offsets = if choice.stride == 1 { value } else { l.imul(value, stride) };
                if step != 0 {
                    let steps = self.steps(step);
                    offsets = self.group(DType::I32).iadd(offsets, steps);
                }
                let mask = self.group(dtype).condition(valid);
                let dst = self.code.vector();
                let scale = at.size;
                self.code.push(Inst::Gather { dst, at, index: offsets, scale, length, mask, fill });
                dst
            })
            .collect()
    }

    /// Stores a value.
    pub(super) fn store(&mut self, store: &Store) {
        let dtype = self.kernel.slots[store.slot.index()].dtype;
        let (mut at, step) = self.address(store.slot, &store.index.affine);
        let wide = self.width.is_wide();
        let count = if wide { self.parts_of_width() } else { 1 };
        let values = self.spread(store.value, count);
        let mut valid = None;
        if let Some(choice) = store.index.choice {
            if choice.extent == 0 {
                return;
            }
            self.code.unsupported |= self.is_wide(choice.value);
            let (mask, chosen) = self.choose(choice.value, choice.stride, choice.extent, at.size);
            at.chosen = Some(chosen);
            valid = Some(mask);
        }
        for (p, &value) in values.iter().enumerate() {
            let at = self.part(&at, p, step);
            let live = if wide { self.live(p) } else { None };
            let mask = match (live, valid) {
                (Some(a), Some(b)) => Some(self.code.logic(Logic::And, &[a, b])),
                (a, b) => a.or(b),
            };
            // The lanes of a store that the loop does not move would meet.
            self.code.unsupported |= wide && step == 0;
            let step = if wide { step } else { 0 };
            let value = match store.mode {
                StoreMode::Set => value,
                StoreMode::Combine(f) => {
                    self.code.unsupported |= wide && step != 1;
                    // If nothing is chosen, this is the element that a 0 would choose.
                    let old = self.load_part(dtype, &at, step, live);
                    let pair = [(dtype, Parts::from_elem(old, 1)), (dtype, Parts::from_elem(value, 1))];
                    self.apply(f, &pair, wide)[0]
                }
            };
            self.store_part(dtype, &at, step, value, mask);
        }
    }

    fn store_part(&mut self, dtype: DType, at: &Address, step: isize, src: Reg, mask: Option<Reg>) {
        let length = self.length(bits(dtype));
        let known = mask.is_none_or(|m| self.code.constant_truths(m).is_some());
        self.code.unsupported |= step == 1 && dtype.size() < 4 && !known && !self.code.isa.has_scatters();
        // The lanes of a constant mask are counted when they are stored.
        let mask = if known { mask } else { mask.map(|m| self.group(dtype).condition(m)) };
        match step {
            0 => self.code.push(Inst::Store { lay: Lay::One, src, at: *at, length, mask }),
            1 => self.code.push(Inst::Store { lay: Lay::Run, src, at: *at, length, mask }),
            _ if known && self.vector.stores_near(dtype, step) => self.store_near(dtype, at, step, src, mask),
            _ => {
                self.code.unsupported |= dtype.size() < 4;
                self.code.unsupported |= mask.is_some() && !known && !self.code.isa.has_scatters();
                let index = self.steps(step);
                let mask = mask.unwrap_or_else(|| self.code.truths(u16::MAX));
                self.code.push(Inst::Scatter { src, at: *at, index, scale: at.size, length, mask });
            }
        }
    }

    /// A linear function of the counters, as a number.
    fn counter(&mut self, affine: &Affine, dtype: DType, wide: bool) -> Parts {
        let pattern = self.pattern(&affine.coefs, 1);
        let offset = i32::try_from(affine.offset as i128 + self.known_part(&affine.coefs));
        self.code.unsupported |= offset.is_err();
        let step = if wide { affine.coefs[self.vector.dim] as i64 } else { 0 };
        // The pattern fits 32 bits, or the kernel is not supported.
        let lane = if dtype == DType::I64 { DType::I64 } else { DType::I32 };
        let (lane_bits, length) = (bits(lane), self.length(bits(lane)));
        let count = if wide { self.parts_of_width() } else { 1 };
        let first = self.code.vector();
        let offset = offset.unwrap_or(0).into();
        self.code.push(Inst::Counter { dst: first, pattern, offset, wide: lane_bits == 64, length });
        (0..count)
            .map(|p| {
                let int = if step == 0 { first } else { self.plus_steps(first, p, step, lane_bits) };
                self.cast(int, lane, dtype)
            })
            .collect()
    }

    /// `first` plus 0, 1, 2 and so on times `step`, counted through all parts.
    pub(super) fn plus_steps(&mut self, first: Reg, p: usize, step: i64, bits: u32) -> Reg {
        let lanes = i64::from(self.lanes());
        let start = p as i64 * lanes;
        let numbers = (start..start + lanes).map(|l| l.wrapping_mul(step));
        let bytes: Vec<u8> = if bits == 64 {
            numbers.flat_map(i64::to_le_bytes).collect()
        } else {
            numbers.flat_map(|v| (v as i32).to_le_bytes()).collect()
        };
        let steps = self.code.constant(bytes);
        self.group(if bits == 64 { DType::I64 } else { DType::I32 }).iadd(first, steps)
    }
}
