//! Loads and stores.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value as Clif, types};
use smallvec::SmallVec;

use crate::graph::DType;
use crate::plan::kernel::{Access, Affine, Index, SlotId, Store, StoreMode};
use crate::scalar::ScalarFn;

use super::choose::VECTOR_BITS;
use super::emit::{Emitter, Parts, flags, scalar_type};
use super::lanes::REINTERPRET;

/// Where elements lie: the first at `address + bytes`, each other `step` elements after the one before.
#[derive(Clone, Copy)]
struct Run {
    dtype: DType,
    address: Clif,
    bytes: i64,
    step: i64,
    /// How many lanes are elements.
    live: u32,
}

impl Run {
    fn at(self, element: u32) -> i64 {
        self.bytes + i64::from(element) * self.step * self.dtype.size() as i64
    }
}

impl Emitter<'_, '_, '_> {
    /// True for scratch memory in which the rows worked on lie side by side.
    fn is_parked(&self, slot: SlotId) -> bool {
        let by_rows = self.vector.is_some_and(|v| v.along_rows(self.kernel));
        self.width.is_wide() && by_rows && self.kernel.slots[slot.index()].access == Access::Scratch
    }

    /// The elements at an index for the counters as they are, its choice left aside.
    fn run(&mut self, slot: SlotId, affine: &Affine) -> Run {
        let dtype = self.kernel.slots[slot.index()].dtype;
        let parked = self.is_parked(slot);
        let size = dtype.size() as i64 * if parked { i64::from(self.width.lanes) } else { 1 };
        let mut address = self.slots[slot.index()];
        for (coef, counter) in self.terms(affine) {
            let bytes = coef * size;
            let term = match u64::try_from(bytes) {
                Ok(bytes) if bytes.is_power_of_two() => {
                    self.b.ins().ishl_imm_u(counter, i64::from(bytes.trailing_zeros()))
                }
                _ => self.b.ins().imul_imm_s(counter, bytes),
            };
            address = self.b.ins().iadd(address, term);
        }
        let bytes = affine.offset as i64 * size;
        if parked {
            return Run { dtype, address, bytes, step: 1, live: self.width.lanes };
        }
        let step = self.vector.map_or(0, |v| affine.coefs[v.dim]) as i64;
        Run { dtype, address, bytes, step, live: self.width.live }
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
        let value = self.as_i64(value, dtype);
        let extent = self.int(extent as i64);
        let valid = self.b.ins().icmp(IntCC::UnsignedLessThan, value, extent);
        let zero = self.int(0);
        let safe = self.b.ins().select(valid, value, zero);
        (valid, self.b.ins().imul_imm_s(safe, stride))
    }

    /// Loads an element, or one for each lane.
    pub(super) fn load(&mut self, dtype: DType, slot: SlotId, index: &Index, fill: f64, wide: bool) -> Parts {
        let mut run = self.run(slot, &index.affine);
        let Some(choice) = index.choice else { return self.load_run(run, wide) };
        let (values, from) = (self.emitted(choice.value), self.kernel.value(choice.value).dtype);
        let stride = choice.stride as i64 * dtype.size() as i64;
        let fill_parts = self.constant(dtype, fill, wide && !self.is_wide(choice.value));
        if choice.extent == 0 {
            let fill = self.constant(dtype, fill, wide);
            return Parts::from_elem(fill, if wide { self.vectors(self.bits(dtype, true)) } else { 1 });
        }
        if !self.is_wide(choice.value) {
            let (valid, added) = self.chosen(values[0], from, stride, choice.extent);
            run.address = self.b.ins().iadd(run.address, added);
            let parts = self.load_run(run, wide);
            return parts.into_iter().map(|part| self.b.ins().select(valid, part, fill_parts)).collect();
        }
        let singles: Vec<Clif> = (0..run.live)
            .map(|l| {
                let single = self.element(&values, l, from);
                let (valid, added) = self.chosen(single, from, stride, choice.extent);
                let at = self.b.ins().iadd(run.address, added);
                let loaded = self.load_single(dtype, at, run.at(l));
                self.b.ins().select(valid, loaded, fill_parts)
            })
            .collect();
        self.joined(&singles, dtype)
    }

    fn load_single(&mut self, dtype: DType, address: Clif, bytes: i64) -> Clif {
        let (address, bytes) = self.displaced(address, bytes);
        match dtype {
            DType::U8 => self.b.ins().uload8(types::I32, flags(), address, bytes),
            DType::F16 | DType::BF16 => self.b.ins().uload16(types::I32, flags(), address, bytes),
            _ => self.b.ins().load(scalar_type(dtype), flags(), address, bytes),
        }
    }

    fn load_run(&mut self, run: Run, wide: bool) -> Parts {
        if !wide {
            return Parts::from_elem(self.load_single(run.dtype, run.address, run.bytes), 1);
        }
        let bits = self.bits(run.dtype, true);
        let count = VECTOR_BITS / bits;
        (0..self.vectors(bits) as u32)
            .map(|p| {
                let first = p * count;
                let live = run.live.saturating_sub(first).min(count);
                if live == 0 {
                    return self.constant(run.dtype, 0.0, true);
                }
                if live == count && run.step == 1 {
                    return self.load_vector(run.dtype, run.address, run.at(first));
                }
                let singles: SmallVec<[Clif; 4]> =
                    (first..first + live).map(|l| self.load_single(run.dtype, run.address, run.at(l))).collect();
                self.join(&singles, run.dtype)
            })
            .collect()
    }

    fn load_vector(&mut self, dtype: DType, address: Clif, bytes: i64) -> Clif {
        let (address, bytes) = self.displaced(address, bytes);
        let ty = self.vector_type(dtype);
        if dtype.size() >= 4 {
            return self.b.ins().load(ty, flags(), address, bytes);
        }
        if dtype.size() == 2 {
            return self.b.ins().uload16x4(flags(), address, bytes);
        }
        // Bytes are widened to lanes.
        let packed = if ty.lane_count() == 4 {
            self.b.ins().load(types::I32, flags(), address, bytes)
        } else {
            let packed = self.b.ins().load(types::I16, flags(), address, bytes);
            self.b.ins().uextend(types::I32, packed)
        };
        let vector = self.b.ins().scalar_to_vector(types::I32X4, packed);
        let vector = self.b.ins().bitcast(types::I8X16, REINTERPRET, vector);
        let vector = self.b.ins().uwiden_low(vector);
        let mut vector = self.b.ins().uwiden_low(vector);
        if ty.lane_count() == 2 {
            vector = self.b.ins().uwiden_low(vector);
        }
        if dtype == DType::Bool { self.b.ins().ineg(vector) } else { vector }
    }

    /// Stores a value, or one for each lane.
    pub(super) fn store(&mut self, store: &Store) {
        let Store { slot, index, value, mode } = store;
        let run = self.run(*slot, &index.affine);
        let choice_is_wide = index.choice.is_some_and(|c| self.is_wide(c.value));
        let moves = self.is_parked(*slot) || run.step != 0 || choice_is_wide || self.is_wide(*value);
        let wide = self.width.is_wide() && moves;
        let parts = self.parts(*value, wide);
        let Some(choice) = index.choice else { return self.store_run(&parts, run, *mode, wide) };
        if choice.extent == 0 {
            return;
        }
        let (values, from) = (self.emitted(choice.value), self.kernel.value(choice.value).dtype);
        let stride = choice.stride as i64 * run.dtype.size() as i64;
        if !choice_is_wide {
            let chosen = self.chosen(values[0], from, stride, choice.extent);
            return self.guarded(chosen, run.address, |e, address| {
                e.store_run(&parts, Run { address, ..run }, *mode, wide);
            });
        }
        for l in 0..run.live {
            let single = self.element(&values, l, from);
            let chosen = self.chosen(single, from, stride, choice.extent);
            let number = self.element(&parts, l, run.dtype);
            self.guarded(chosen, run.address, |e, address| {
                e.store_single(number, run.dtype, address, run.at(l), *mode);
            });
        }
    }

    /// Runs `body` at the chosen address if the choice is valid.
    fn guarded(&mut self, (valid, added): (Clif, Clif), address: Clif, body: impl FnOnce(&mut Self, Clif)) {
        let (inside, after) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(valid, inside, &[], after, &[]);
        self.b.switch_to_block(inside);
        let address = self.b.ins().iadd(address, added);
        body(self, address);
        self.b.ins().jump(after, &[]);
        self.b.switch_to_block(after);
    }

    fn store_run(&mut self, parts: &[Clif], run: Run, mode: StoreMode, wide: bool) {
        if !wide {
            return self.store_single(parts[0], run.dtype, run.address, run.bytes, mode);
        }
        let count = VECTOR_BITS / self.bits(run.dtype, true);
        for (p, &part) in (0..).zip(parts) {
            let first = p * count;
            let live = run.live.saturating_sub(first).min(count);
            if live == count && run.step == 1 {
                self.store_vector(part, run.dtype, run.address, run.at(first), mode);
                continue;
            }
            for l in first..first + live {
                let single = self.element(parts, l, run.dtype);
                self.store_single(single, run.dtype, run.address, run.at(l), mode);
            }
        }
    }

    fn store_single(&mut self, v: Clif, dtype: DType, address: Clif, bytes: i64, mode: StoreMode) {
        let (address, bytes) = self.displaced(address, bytes);
        let v = match mode {
            StoreMode::Set => v,
            StoreMode::Combine(f) => {
                let old = self.load_single(dtype, address, bytes.into());
                self.combined(f, old, v, dtype, false)
            }
        };
        match dtype {
            DType::U8 => self.b.ins().istore8(flags(), v, address, bytes),
            DType::F16 | DType::BF16 => self.b.ins().istore16(flags(), v, address, bytes),
            _ => self.b.ins().store(flags(), v, address, bytes),
        };
    }

    fn store_vector(&mut self, v: Clif, dtype: DType, address: Clif, bytes: i64, mode: StoreMode) {
        let v = match mode {
            StoreMode::Set => v,
            StoreMode::Combine(f) => {
                let old = self.load_vector(dtype, address, bytes);
                self.combined(f, old, v, dtype, true)
            }
        };
        let (address, bytes) = self.displaced(address, bytes);
        if dtype.size() >= 4 {
            self.b.ins().store(flags(), v, address, bytes);
        } else if dtype.size() == 2 {
            // Numbers below 65,536 are not saturated.
            let narrow = self.b.ins().unarrow(v, v);
            let packed = self.b.ins().bitcast(types::I64X2, REINTERPRET, narrow);
            let packed = self.b.ins().extractlane(packed, 0);
            self.b.ins().store(flags(), packed, address, bytes);
        } else if dtype == DType::U8 {
            // Numbers below 256 are not saturated.
            let narrow = self.b.ins().unarrow(v, v);
            let narrow = self.b.ins().unarrow(narrow, narrow);
            let packed = self.b.ins().bitcast(types::I32X4, REINTERPRET, narrow);
            let packed = self.b.ins().extractlane(packed, 0);
            self.b.ins().store(flags(), packed, address, bytes);
        } else if self.vector_type(dtype).lane_count() == 4 {
            let narrow = self.b.ins().snarrow(v, v);
            let narrow = self.b.ins().snarrow(narrow, narrow);
            let packed = self.b.ins().bitcast(types::I32X4, REINTERPRET, narrow);
            let packed = self.b.ins().extractlane(packed, 0);
            let packed = self.b.ins().band_imm_u(packed, 0x0101_0101);
            self.b.ins().store(flags(), packed, address, bytes);
        } else {
            for l in 0..2 {
                let byte = self.element(&[v], l, dtype);
                self.b.ins().store(flags(), byte, address, bytes + l as i32);
            }
        }
    }

    fn combined(&mut self, f: ScalarFn, a: Clif, b: Clif, dtype: DType, wide: bool) -> Clif {
        let operands = [(dtype, Parts::from_elem(a, 1)), (dtype, Parts::from_elem(b, 1))];
        self.apply(f, &operands, wide)[0]
    }
}
