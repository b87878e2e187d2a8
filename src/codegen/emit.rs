//! The instructions of a kernel's body.
//!
//! A value is a few CLIF values: one if it is scalar, one for each vector if it varies along the loop that is run by vectors. Scalars are spread over
//! vectors where they meet them.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value as Clif, types};
use cranelift_frontend::{FunctionBuilder, Variable};
use smallvec::SmallVec;

use crate::graph::{DType, Dims};
use crate::plan::kernel::{Access, Affine, FoldKind, Index, Inst, Kernel, SlotId, Store, StoreMode, ValueId};
use crate::prim::Extremum;
use crate::scalar::{Lanes, ScalarFn, Value as Lane};

use super::kernel::{Dependencies, Vector};
use super::lanes::{Calls, Clif as ClifLanes, REINTERPRET};
use super::loops::Width;

/// The CLIF values of a value.
pub(super) type Parts = SmallVec<[Clif; 4]>;

/// The accumulators of a fold.
#[derive(Clone, Debug, Default)]
struct Accumulators {
    /// One for each vector.
    wide: SmallVec<[Variable; 4]>,
    /// For single elements.
    scalar: Option<Variable>,
    /// Sums of finished blocks, as above.
    wide_totals: SmallVec<[Variable; 4]>,
    scalar_total: Option<Variable>,
    /// The position of the best element so far, for folds that find one.
    position: Option<Variable>,
    /// The result, when the loops are done.
    result: Parts,
}

/// A place in the log of emitted values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(usize);

/// A function body under construction.
pub(super) struct Emitter<'k, 'f, 'm> {
    pub(super) kernel: &'k Kernel,
    pub(super) vector: Option<Vector>,
    pub(super) b: FunctionBuilder<'f>,
    /// The counter of each open loop.
    pub(super) counters: Vec<Clif>,
    /// Elements worked on at a time.
    pub(super) width: Width,
    calls: &'k mut Calls<'m>,
    slots: Vec<Clif>,
    dependencies: &'k Dependencies,
    values: Vec<Option<Parts>>,
    /// Values emitted since the beginning, so that those of a closed loop can be forgotten.
    log: Vec<ValueId>,
    folds: Vec<Vec<Accumulators>>,
}

/// Memory accesses do not trap: the plan has been made for the slots.
fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

fn scalar_type(dtype: DType) -> Type {
    match dtype {
        DType::Bool => types::I8,
        DType::I32 => types::I32,
        DType::I64 => types::I64,
        DType::F32 => types::F32,
        DType::F64 => types::F64,
    }
}

impl<'k, 'f, 'm> Emitter<'k, 'f, 'm> {
    pub(super) fn new(
        kernel: &'k Kernel,
        dependencies: &'k Dependencies,
        vector: Option<Vector>,
        mut b: FunctionBuilder<'f>,
        calls: &'k mut Calls<'m>,
        slots: Vec<Clif>,
    ) -> Emitter<'k, 'f, 'm> {
        let zero = b.ins().iconst(types::I64, 0);
        Emitter {
            kernel,
            vector,
            b,
            counters: vec![zero; kernel.loops.len()],
            width: Width::SCALAR,
            calls,
            slots,
            dependencies,
            values: vec![None; kernel.values.len()],
            log: Vec::new(),
            folds: vec![Vec::new(); kernel.phases.len()],
        }
    }

    /// A loop counter's constant.
    pub(super) fn int(&mut self, v: i64) -> Clif {
        self.b.ins().iconst(types::I64, v)
    }

    /// Opens a scope in which this many elements are worked on at a time.
    pub(super) fn enter(&mut self, width: Width) -> Mark {
        self.width = width;
        Mark(self.log.len())
    }

    /// Closes a scope: forgets its values.
    pub(super) fn leave(&mut self, mark: Mark, width: Width) {
        self.width = width;
        for value in self.log.drain(mark.0..) {
            self.values[value.index()] = None;
        }
    }

    /// Emits the values of all phases that depend on the first `d` loops only and on no fold.
    pub(super) fn hoisted_rows(&mut self, d: usize) {
        if d == self.kernel.rows && d > 0 {
            // The rest is emitted phase by phase.
            return;
        }
        for phase in &self.kernel.phases {
            for &value in phase.row.iter().chain(&phase.inner) {
                if self.dependencies.depth(value) == d && !self.dependencies.on_fold(value) {
                    self.emit(value);
                }
            }
        }
    }

    /// Emits the values of a phase that are the same for a whole row.
    pub(super) fn row_values(&mut self, p: usize) {
        let rows = self.kernel.rows;
        let phase = &self.kernel.phases[p];
        phase.row.iter().for_each(|&value| self.emit(value));
        for &value in phase.inner.iter().filter(|&&v| self.dependencies.depth(v) <= rows) {
            self.emit(value);
        }
    }

    /// Emits the inner values of a phase that depend on the first `d` loops.
    pub(super) fn inner_values(&mut self, p: usize, d: usize) {
        for &value in self.kernel.phases[p].inner.iter().filter(|&&v| self.dependencies.depth(v) == d) {
            self.emit(value);
        }
    }

    /// True if a value varies along the loop that is run by vectors, and vectors are being worked on.
    fn is_wide(&self, value: ValueId) -> bool {
        self.width.lanes > 1 && self.vector.is_some_and(|v| self.dependencies.varies(value, v.dim))
    }

    fn emit(&mut self, id: ValueId) {
        if self.values[id.index()].is_some() {
            return;
        }
        let value = self.kernel.value(id);
        let wide = self.is_wide(id);
        let parts = match &value.inst {
            Inst::Const(bits) => Parts::from_elem(self.constant(value.dtype, f64::from_bits(*bits), false), 1),
            Inst::Counter(affine) => self.counter(affine, value.dtype, wide),
            Inst::Load { slot, index, fill } => self.load(value.dtype, *slot, index, f64::from_bits(*fill), wide),
            Inst::Fold { phase, fold } => self.folds[*phase][*fold].result.clone(),
            Inst::Cast(arg) => {
                let (from, arg) = (self.kernel.value(*arg).dtype, self.parts(*arg, wide));
                arg.into_iter().map(|a| self.cast(a, from, value.dtype, wide)).collect()
            }
            Inst::Map(f, args) => {
                let operands: SmallVec<[(DType, Parts); 3]> =
                    args.iter().map(|&a| (self.kernel.value(a).dtype, self.parts(a, wide))).collect();
                let count = operands[0].1.len();
                (0..count)
                    .map(|i| {
                        let operands: SmallVec<[(DType, Clif); 3]> = operands.iter().map(|(t, p)| (*t, p[i])).collect();
                        self.apply(*f, &operands, wide)
                    })
                    .collect()
            }
        };
        self.values[id.index()] = Some(parts);
        self.log.push(id);
    }

    /// A value, spread over vectors if that is asked for.
    fn parts(&mut self, id: ValueId, wide: bool) -> Parts {
        let value = self.kernel.value(id);
        if wide && !self.is_wide(id) {
            let single = match &value.inst {
                Inst::Const(bits) => self.constant(value.dtype, f64::from_bits(*bits), true),
                _ => {
                    let scalar = self.emitted(id)[0];
                    self.splat(scalar, value.dtype)
                }
            };
            return Parts::from_elem(single, self.width.parts as usize);
        }
        self.emitted(id)
    }

    fn emitted(&self, id: ValueId) -> Parts {
        self.values[id.index()].clone().unwrap_or_else(|| panic!("v{} is used before it is computed", id.0))
    }

    fn lanes(&mut self, bits: u32, wide: bool) -> ClifLanes<'_, 'f, 'm> {
        let count = if wide { self.width.lanes } else { 1 };
        ClifLanes { b: &mut self.b, calls: self.calls, bits, count }
    }

    /// Bits of the lanes in which a value of this type is computed.
    fn bits(&self, dtype: DType, wide: bool) -> u32 {
        match (dtype, wide, self.vector) {
            (DType::Bool, true, Some(v)) => v.bits,
            (DType::Bool, ..) => 32,
            _ => dtype.size() as u32 * 8,
        }
    }

    /// The vector type of lanes of this type.
    fn vector_type(&self, dtype: DType) -> Type {
        let lane = match (dtype, self.bits(dtype, true)) {
            (DType::Bool, 64) => types::I64,
            (DType::Bool, _) => types::I32,
            _ => scalar_type(dtype),
        };
        lane.by(self.width.lanes).expect("128 bits of lanes are a vector type")
    }

    fn constant(&mut self, dtype: DType, v: f64, wide: bool) -> Clif {
        let bits = self.bits(dtype, wide);
        let mut l = self.lanes(bits, wide);
        match dtype {
            DType::F32 | DType::F64 => l.fconst(v),
            DType::I32 => l.iconst(i64::from(v as i32)),
            DType::I64 => l.iconst(v as i64),
            DType::Bool => l.mconst(v != 0.0),
        }
    }

    /// A scalar in every lane.
    fn splat(&mut self, v: Clif, dtype: DType) -> Clif {
        let ty = self.vector_type(dtype);
        let lane = if dtype == DType::Bool {
            let wide = self.b.ins().uextend(ty.lane_type(), v);
            self.b.ins().ineg(wide)
        } else {
            v
        };
        self.b.ins().splat(ty, lane)
    }

    fn apply(&mut self, f: ScalarFn, operands: &[(DType, Clif)], wide: bool) -> Clif {
        // The condition of a select adapts to what it selects.
        let bits = self.bits(operands[operands.len() - 1].0, wide);
        let mut l = self.lanes(bits, wide);
        let args: SmallVec<[Lane<ClifLanes<'_, 'f, 'm>>; 3]> = operands
            .iter()
            .map(|&(dtype, v)| match dtype {
                DType::F32 | DType::F64 => Lane::F(v),
                DType::I32 | DType::I64 => Lane::I(v),
                DType::Bool => Lane::M(v),
            })
            .collect();
        match f.apply(&mut l, &args) {
            Lane::F(v) | Lane::I(v) | Lane::M(v) => v,
        }
    }

    fn cast(&mut self, v: Clif, from: DType, to: DType, wide: bool) -> Clif {
        if wide {
            // Lanes have one width, so only the kind changes.
            let bits = self.bits(if from == DType::Bool { to } else { from }, true);
            let mut l = self.lanes(bits, true);
            return match (from, to) {
                (DType::F32 | DType::F64, DType::I32 | DType::I64) => l.f_to_i(v),
                (DType::I32 | DType::I64, DType::F32 | DType::F64) => l.i_to_f(v),
                (DType::F32 | DType::F64, DType::Bool) => {
                    let zero = l.fconst(0.0);
                    l.fne(v, zero)
                }
                (DType::I32 | DType::I64, DType::Bool) => {
                    let zero = l.iconst(0);
                    let equal = l.ieq(v, zero);
                    l.mnot(equal)
                }
                (DType::Bool, DType::F32 | DType::F64) => {
                    let (one, zero) = (l.fconst(1.0), l.fconst(0.0));
                    l.fselect(v, one, zero)
                }
                (DType::Bool, DType::I32 | DType::I64) => {
                    let (one, zero) = (l.iconst(1), l.iconst(0));
                    l.iselect(v, one, zero)
                }
                _ => v,
            };
        }
        let ty = scalar_type(to);
        let ins = self.b.ins();
        match (from, to) {
            (DType::Bool, DType::I32 | DType::I64) => ins.uextend(ty, v),
            (DType::Bool, DType::F32 | DType::F64) => {
                let int = ins.uextend(types::I32, v);
                self.b.ins().fcvt_from_sint(ty, int)
            }
            (DType::I32 | DType::I64, DType::Bool) => ins.icmp_imm_s(IntCC::NotEqual, v, 0),
            (DType::F32 | DType::F64, DType::Bool) => {
                let bits = self.bits(from, false);
                let mut l = self.lanes(bits, false);
                let zero = l.fconst(0.0);
                l.fne(v, zero)
            }
            (DType::I32, DType::I64) => ins.sextend(ty, v),
            (DType::I64, DType::I32) => ins.ireduce(ty, v),
            (DType::I32 | DType::I64, DType::F32 | DType::F64) => ins.fcvt_from_sint(ty, v),
            (DType::F32 | DType::F64, DType::I32 | DType::I64) => ins.fcvt_to_sint_sat(ty, v),
            (DType::F32, DType::F64) => ins.fpromote(ty, v),
            (DType::F64, DType::F32) => ins.fdemote(ty, v),
            _ => v,
        }
    }

    /// A linear function of the counters, as a number.
    fn counter(&mut self, affine: &Affine, dtype: DType, wide: bool) -> Parts {
        let mut base = self.int(affine.offset as i64);
        for (d, &coef) in affine.coefs.iter().enumerate().filter(|(_, c)| **c != 0) {
            let term = self.b.ins().imul_imm_s(self.counters[d], coef as i64);
            base = self.b.ins().iadd(base, term);
        }
        let number = |this: &mut Self, at: Clif| this.cast(at, DType::I64, dtype, false);
        if !wide {
            return Parts::from_elem(number(self, base), 1);
        }
        let step = self.vector.map_or(0, |v| affine.coefs[v.dim]) as i64;
        let (parts, lanes) = (self.width.parts, self.width.lanes);
        (0..parts)
            .map(|p| {
                let singles: SmallVec<[Clif; 4]> = (0..lanes)
                    .map(|l| {
                        let at = self.b.ins().iadd_imm_s(base, step * i64::from(p * lanes + l));
                        number(self, at)
                    })
                    .collect();
                self.join(&singles, dtype)
            })
            .collect()
    }

    /// Single numbers as the lanes of a vector. Truth values are bytes of 0 or 1.
    fn join(&mut self, singles: &[Clif], dtype: DType) -> Clif {
        let ty = self.vector_type(dtype);
        let mut vector = None;
        for (l, &single) in singles.iter().enumerate() {
            let lane = if dtype == DType::Bool {
                let wide = self.b.ins().uextend(ty.lane_type(), single);
                self.b.ins().ineg(wide)
            } else {
                single
            };
            vector = Some(match vector {
                None => self.b.ins().scalar_to_vector(ty, lane),
                Some(v) => self.b.ins().insertlane(v, lane, l as u8),
            });
        }
        vector.expect("a vector has lanes")
    }

    /// One lane of a vector as a single number; truth values as a byte of 0 or 1.
    fn lane(&mut self, vector: Clif, lane: u32, dtype: DType) -> Clif {
        let single = self.b.ins().extractlane(vector, lane as u8);
        if dtype == DType::Bool {
            let byte = self.b.ins().ireduce(types::I8, single);
            self.b.ins().band_imm_u(byte, 1)
        } else {
            single
        }
    }

    /// How many rows of a scratch slot lie side by side: 1, or as many as are worked on at a time.
    fn rows_in_scratch(&self, slot: SlotId) -> usize {
        let by_rows = self.vector.is_some_and(|v| v.dim < self.kernel.rows);
        if by_rows && self.kernel.slots[slot.index()].access == Access::Scratch { self.width.count() } else { 1 }
    }

    /// Address of the element at an index for the counters as they are, its choice left aside, and the bytes to add.
    fn address(&mut self, slot: SlotId, affine: &Affine) -> (Clif, i64) {
        let size = self.kernel.slots[slot.index()].dtype.size() as i64;
        let rows = self.rows_in_scratch(slot) as i64;
        let mut address = self.slots[slot.index()];
        for (d, &coef) in affine.coefs.iter().enumerate().filter(|(_, c)| **c != 0) {
            let bytes = coef as i64 * size * rows;
            let counter = self.counters[d];
            let term = if bytes > 0 && bytes.count_ones() == 1 {
                self.b.ins().ishl_imm_u(counter, i64::from(bytes.trailing_zeros()))
            } else {
                self.b.ins().imul_imm_s(counter, bytes)
            };
            address = self.b.ins().iadd(address, term);
        }
        (address, affine.offset as i64 * size * rows)
    }

    /// An address and a displacement that fits an instruction.
    fn displaced(&mut self, address: Clif, bytes: i64) -> (Clif, i32) {
        match i32::try_from(bytes) {
            Ok(bytes) => (address, bytes),
            Err(_) => (self.b.ins().iadd_imm_s(address, bytes), 0),
        }
    }

    /// Whether a choice is in range, and the bytes that it adds, 0 if it is not.
    fn chosen(&mut self, value: Clif, dtype: DType, stride: i64, extent: usize) -> (Clif, Clif) {
        let value = self.cast(value, dtype, DType::I64, false);
        let extent = self.int(extent as i64);
        let valid = self.b.ins().icmp(IntCC::UnsignedLessThan, value, extent);
        let zero = self.int(0);
        let safe = self.b.ins().select(valid, value, zero);
        (valid, self.b.ins().imul_imm_s(safe, stride))
    }

    fn load(&mut self, dtype: DType, slot: SlotId, index: &Index, fill: f64, wide: bool) -> Parts {
        let size = dtype.size() as i64;
        let (address, bytes) = self.address(slot, &index.affine);
        let choice_is_wide = index.choice.is_some_and(|c| self.is_wide(c.value));
        if !choice_is_wide {
            // One choice for all that is loaded.
            let (address, valid) = match index.choice {
                None => (address, None),
                Some(c) => {
                    let (choice, from) = (self.emitted(c.value)[0], self.kernel.value(c.value).dtype);
                    let (valid, added) = self.chosen(choice, from, c.stride as i64 * size, c.extent);
                    (self.b.ins().iadd(address, added), Some(valid))
                }
            };
            let mut parts = if wide {
                self.load_vectors(dtype, slot, address, bytes, &index.affine.coefs)
            } else {
                let (address, bytes) = self.displaced(address, bytes);
                Parts::from_elem(self.b.ins().load(scalar_type(dtype), flags(), address, bytes), 1)
            };
            if let Some(valid) = valid {
                let fill = self.constant(dtype, fill, wide);
                for part in &mut parts {
                    *part = self.b.ins().select(valid, *part, fill);
                }
            }
            return parts;
        }
        // A choice for each lane.
        let Some(choice) = index.choice else { panic!("a wide choice is a choice") };
        let (from, choices) = (self.kernel.value(choice.value).dtype, self.emitted(choice.value));
        let step = self.vector.map_or(0, |v| index.affine.coefs[v.dim]) as i64 * size;
        let fill = self.constant(dtype, fill, false);
        let lanes = self.width.lanes;
        let load_part = |this: &mut Self, p: usize, vector: Clif| {
            let singles: SmallVec<[Clif; 4]> = (0..lanes)
                .map(|l| {
                    let single = this.lane(vector, l, from);
                    let (valid, added) = this.chosen(single, from, choice.stride as i64 * size, choice.extent);
                    let at = this.b.ins().iadd(address, added);
                    let (at, bytes) = this.displaced(at, bytes + step * (p as i64 * i64::from(lanes) + i64::from(l)));
                    let loaded = this.b.ins().load(scalar_type(dtype), flags(), at, bytes);
                    this.b.ins().select(valid, loaded, fill)
                })
                .collect();
            this.join(&singles, dtype)
        };
        choices.iter().enumerate().map(|(p, &vector)| load_part(self, p, vector)).collect()
    }

    /// Loads a vector for each part, contiguous or lane by lane.
    fn load_vectors(&mut self, dtype: DType, slot: SlotId, address: Clif, bytes: i64, coefs: &Dims<isize>) -> Parts {
        let size = dtype.size() as i64;
        let (parts, lanes) = (i64::from(self.width.parts), i64::from(self.width.lanes));
        let step = if self.rows_in_scratch(slot) > 1 { 1 } else { self.vector.map_or(0, |v| coefs[v.dim]) as i64 };
        (0..parts)
            .map(|p| {
                let from = bytes + p * lanes * step * size;
                if step == 1 {
                    let (address, from) = self.displaced(address, from);
                    return self.load_vector(dtype, address, from);
                }
                let singles: SmallVec<[Clif; 4]> = (0..lanes)
                    .map(|l| {
                        let (address, from) = self.displaced(address, from + l * step * size);
                        self.b.ins().load(scalar_type(dtype), flags(), address, from)
                    })
                    .collect();
                self.join(&singles, dtype)
            })
            .collect()
    }

    fn load_vector(&mut self, dtype: DType, address: Clif, bytes: i32) -> Clif {
        let ty = self.vector_type(dtype);
        if dtype != DType::Bool {
            return self.b.ins().load(ty, flags(), address, bytes);
        }
        // Bytes of 0 or 1 are widened to lanes.
        let packed = if self.width.lanes == 4 {
            self.b.ins().load(types::I32, flags(), address, bytes)
        } else {
            let packed = self.b.ins().load(types::I16, flags(), address, bytes);
            self.b.ins().uextend(types::I32, packed)
        };
        let vector = self.b.ins().scalar_to_vector(types::I32X4, packed);
        let vector = self.b.ins().bitcast(types::I8X16, REINTERPRET, vector);
        let vector = self.b.ins().uwiden_low(vector);
        let mut vector = self.b.ins().uwiden_low(vector);
        if self.width.lanes == 2 {
            vector = self.b.ins().uwiden_low(vector);
        }
        self.b.ins().ineg(vector)
    }

    pub(super) fn store(&mut self, store: &Store) {
        let Store { slot, index, value, mode } = store;
        let dtype = self.kernel.slots[slot.index()].dtype;
        let size = dtype.size() as i64;
        let along = self.vector.filter(|_| self.width.lanes > 1);
        let parked = self.rows_in_scratch(*slot) > 1;
        let wide = along.is_some_and(|v| {
            parked
                || index.affine.coefs[v.dim] != 0
                || self.is_wide(*value)
                || index.choice.is_some_and(|c| self.is_wide(c.value))
        });
        let (address, bytes) = self.address(*slot, &index.affine);
        let values = self.parts(*value, wide);
        let choice_is_wide = index.choice.is_some_and(|c| self.is_wide(c.value));
        let step = if parked { 1 } else { along.map_or(0, |v| index.affine.coefs[v.dim]) as i64 };
        if !choice_is_wide {
            let valid = index.choice.map(|c| {
                let (choice, from) = (self.emitted(c.value)[0], self.kernel.value(c.value).dtype);
                self.chosen(choice, from, c.stride as i64 * size, c.extent)
            });
            return self.guarded(valid, address, |this, address| {
                for (p, &part) in values.iter().enumerate() {
                    let from = bytes + p as i64 * i64::from(this.width.lanes) * step * size;
                    this.store_part(part, dtype, address, from, step, *mode, wide);
                }
            });
        }
        let Some(choice) = index.choice else { panic!("a wide choice is a choice") };
        let (from, choices) = (self.kernel.value(choice.value).dtype, self.emitted(choice.value));
        for (p, (&part, &vector)) in values.iter().zip(&choices).enumerate() {
            for l in 0..self.width.lanes {
                let single = self.lane(vector, l, from);
                let chosen = self.chosen(single, from, choice.stride as i64 * size, choice.extent);
                let number = self.lane(part, l, dtype);
                let at = bytes + (p as i64 * i64::from(self.width.lanes) + i64::from(l)) * step * size;
                self.guarded(Some(chosen), address, |this, address| {
                    this.store_part(number, dtype, address, at, 0, *mode, false);
                });
            }
        }
    }

    /// Runs `body` at the chosen address, if there is no choice or it is valid.
    fn guarded(&mut self, choice: Option<(Clif, Clif)>, address: Clif, body: impl FnOnce(&mut Self, Clif)) {
        let Some((valid, added)) = choice else { return body(self, address) };
        let (inside, after) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(valid, inside, &[], after, &[]);
        self.b.switch_to_block(inside);
        let address = self.b.ins().iadd(address, added);
        body(self, address);
        self.b.ins().jump(after, &[]);
        self.b.switch_to_block(after);
    }

    #[allow(clippy::too_many_arguments, reason = "one store is all of these facts")]
    fn store_part(&mut self, v: Clif, dtype: DType, address: Clif, bytes: i64, step: i64, mode: StoreMode, wide: bool) {
        let size = dtype.size() as i64;
        if wide && step != 1 {
            for l in 0..self.width.lanes {
                let single = self.lane(v, l, dtype);
                self.store_part(single, dtype, address, bytes + i64::from(l) * step * size, 0, mode, false);
            }
            return;
        }
        let (address, bytes) = self.displaced(address, bytes);
        let v = match mode {
            StoreMode::Set => v,
            StoreMode::Add => {
                let old = if wide {
                    self.load_vector(dtype, address, bytes)
                } else {
                    self.b.ins().load(scalar_type(dtype), flags(), address, bytes)
                };
                self.apply(ScalarFn::Add, &[(dtype, old), (dtype, v)], wide)
            }
        };
        if !(wide && dtype == DType::Bool) {
            self.b.ins().store(flags(), v, address, bytes);
        } else if self.width.lanes == 4 {
            let narrow = self.b.ins().snarrow(v, v);
            let narrow = self.b.ins().snarrow(narrow, narrow);
            let packed = self.b.ins().bitcast(types::I32X4, REINTERPRET, narrow);
            let packed = self.b.ins().extractlane(packed, 0);
            let packed = self.b.ins().band_imm_u(packed, 0x0101_0101);
            self.b.ins().store(flags(), packed, address, bytes);
        } else {
            for l in 0..self.width.lanes {
                let byte = self.lane(v, l, dtype);
                self.b.ins().store(flags(), byte, address, bytes + l as i32);
            }
        }
    }

    /// Makes the accumulators of a phase's folds.
    pub(super) fn begin_folds(&mut self, p: usize, blocked: bool) {
        let along_inner = self.vector.filter(|v| v.dim >= self.kernel.rows);
        let saved = self.width;
        let (wide, scalar) = match along_inner {
            Some(v) => {
                self.width = Width { parts: v.parts, lanes: v.lanes };
                (v.parts as usize, true)
            }
            None if saved.lanes > 1 => (saved.parts as usize, false),
            None => (0, true),
        };
        let folds = &self.kernel.phases[p].folds;
        let mut all = Vec::with_capacity(folds.len());
        for fold in folds {
            let dtype = self.kernel.value(fold.value).dtype;
            let mut a = Accumulators::default();
            match fold.kind {
                FoldKind::Combine(f, neutral) => {
                    let neutral = f64::from_bits(neutral);
                    let totals = blocked && f == ScalarFn::Add && dtype.is_float();
                    for _ in 0..wide {
                        let zero = self.constant(dtype, neutral, true);
                        a.wide.push(self.variable(zero));
                        if totals {
                            a.wide_totals.push(self.variable(zero));
                        }
                    }
                    if scalar {
                        let zero = self.constant(dtype, neutral, false);
                        a.scalar = Some(self.variable(zero));
                        a.scalar_total = totals.then(|| self.variable(zero));
                    }
                }
                FoldKind::Position(extremum) => {
                    let worst = match (extremum, dtype) {
                        (Extremum::Max, DType::Bool) => 0.0,
                        (Extremum::Min, DType::Bool) => 1.0,
                        (Extremum::Max, _) => f64::NEG_INFINITY,
                        (Extremum::Min, _) => f64::INFINITY,
                    };
                    let worst = self.constant(dtype, worst, false);
                    a.scalar = Some(self.variable(worst));
                    let first = self.b.ins().iconst(types::I32, 0);
                    a.position = Some(self.variable(first));
                }
            }
            all.push(a);
        }
        self.width = saved;
        self.folds[p] = all;
    }

    fn variable(&mut self, initial: Clif) -> Variable {
        let ty = self.b.func.dfg.value_type(initial);
        let variable = self.b.declare_var(ty);
        self.b.def_var(variable, initial);
        variable
    }

    /// Combines the values at one point, or at the points of the vectors, into the accumulators.
    pub(super) fn fold(&mut self, p: usize) {
        for (i, fold) in self.kernel.phases[p].folds.iter().enumerate() {
            let dtype = self.kernel.value(fold.value).dtype;
            let wide = self.width.lanes > 1;
            let parts = self.parts(fold.value, wide);
            match fold.kind {
                FoldKind::Combine(f, _) => {
                    let accumulators = &self.folds[p][i];
                    let variables: SmallVec<[Variable; 4]> = if wide {
                        accumulators.wide[..parts.len()].iter().copied().collect()
                    } else {
                        accumulators.scalar.into_iter().collect()
                    };
                    for (&variable, &part) in variables.iter().zip(&parts) {
                        self.combine(f, dtype, variable, part, wide);
                    }
                }
                FoldKind::Position(extremum) => self.fold_position(p, i, extremum, dtype, parts[0]),
            }
        }
    }

    fn combine(&mut self, f: ScalarFn, dtype: DType, variable: Variable, v: Clif, wide: bool) {
        let so_far = self.b.use_var(variable);
        let next = self.apply(f, &[(dtype, so_far), (dtype, v)], wide);
        self.b.def_var(variable, next);
    }

    fn fold_position(&mut self, p: usize, i: usize, extremum: Extremum, dtype: DType, v: Clif) {
        let Accumulators { scalar: Some(best), position: Some(position), .. } = self.folds[p][i] else {
            panic!("a position has a best element")
        };
        let (so_far, at) = (self.b.use_var(best), self.b.use_var(position));
        let beats = match extremum {
            Extremum::Max => ScalarFn::Gt,
            Extremum::Min => ScalarFn::Lt,
        };
        let mut better = self.apply(beats, &[(dtype, v), (dtype, so_far)], false);
        if dtype.is_float() {
            let nan = self.apply(ScalarFn::IsNan, &[(dtype, v)], false);
            let was_nan = self.apply(ScalarFn::IsNan, &[(dtype, so_far)], false);
            let either = self.b.ins().bor(better, nan);
            let still = self.b.ins().bxor_imm_u(was_nan, 1);
            better = self.b.ins().band(either, still);
        }
        let (rows, loops) = (self.kernel.rows, &self.kernel.loops);
        let mut flat = self.int(0);
        for (d, &extent) in loops.iter().enumerate().skip(rows) {
            let scaled = self.b.ins().imul_imm_s(flat, extent as i64);
            flat = self.b.ins().iadd(scaled, self.counters[d]);
        }
        let here = self.b.ins().ireduce(types::I32, flat);
        let next = self.b.ins().select(better, here, at);
        let value = self.b.ins().select(better, v, so_far);
        self.b.def_var(position, next);
        self.b.def_var(best, value);
    }

    /// Adds the sums of a block to the totals and begins a new block.
    pub(super) fn flush(&mut self, p: usize) {
        let along_inner = self.vector.filter(|v| v.dim >= self.kernel.rows);
        let saved = self.width;
        if let Some(v) = along_inner {
            self.width = Width { parts: v.parts, lanes: v.lanes };
        }
        for (i, fold) in self.kernel.phases[p].folds.iter().enumerate() {
            let dtype = self.kernel.value(fold.value).dtype;
            let a = self.folds[p][i].clone();
            let pairs = a.wide.iter().zip(&a.wide_totals).map(|(&x, &t)| (x, t, true));
            let single = a.scalar.zip(a.scalar_total).map(|(x, t)| (x, t, false));
            for (block, total, wide) in pairs.chain(single) {
                let sum = self.b.use_var(block);
                self.combine(ScalarFn::Add, dtype, total, sum, wide);
                let zero = self.constant(dtype, 0.0, wide);
                self.b.def_var(block, zero);
            }
        }
        self.width = saved;
    }

    /// Combines what the accumulators hold into the results of the folds.
    pub(super) fn end_folds(&mut self, p: usize) {
        let along_inner = self.vector.filter(|v| v.dim >= self.kernel.rows);
        for (i, fold) in self.kernel.phases[p].folds.iter().enumerate() {
            let dtype = self.kernel.value(fold.value).dtype;
            let a = self.folds[p][i].clone();
            let wide = if a.wide_totals.is_empty() { &a.wide } else { &a.wide_totals };
            let scalar = a.scalar_total.or(a.scalar);
            let result = match (fold.kind, a.position) {
                (_, Some(position)) => Parts::from_elem(self.b.use_var(position), 1),
                (FoldKind::Combine(f, _), _) if !wide.is_empty() => {
                    let vectors: Parts = wide.iter().map(|&v| self.b.use_var(v)).collect();
                    match (along_inner, scalar) {
                        (Some(v), Some(scalar)) => {
                            let saved = self.width;
                            self.width = Width { parts: v.parts, lanes: v.lanes };
                            let single = self.across(f, dtype, &vectors);
                            self.width = saved;
                            let rest = self.b.use_var(scalar);
                            Parts::from_elem(self.apply(f, &[(dtype, single), (dtype, rest)], false), 1)
                        }
                        _ => vectors,
                    }
                }
                _ => {
                    let scalar = scalar.expect("a fold has an accumulator");
                    Parts::from_elem(self.b.use_var(scalar), 1)
                }
            };
            self.folds[p][i].result = result;
        }
    }

    /// Combines all lanes of all vectors, by halves.
    fn across(&mut self, f: ScalarFn, dtype: DType, vectors: &[Clif]) -> Clif {
        let mut vectors: Parts = vectors.iter().copied().collect();
        while vectors.len() > 1 {
            vectors = vectors
                .chunks(2)
                .map(|pair| match *pair {
                    [a, b] => self.apply(f, &[(dtype, a), (dtype, b)], true),
                    _ => pair[0],
                })
                .collect();
        }
        let mut singles: Parts = (0..self.width.lanes).map(|l| self.lane(vectors[0], l, dtype)).collect();
        while singles.len() > 1 {
            singles =
                singles.chunks(2).map(|pair| self.apply(f, &[(dtype, pair[0]), (dtype, pair[1])], false)).collect();
        }
        singles[0]
    }
}
