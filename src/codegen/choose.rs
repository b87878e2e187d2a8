//! What is known of a kernel before code is emitted: which loops each value depends on, and which loop is run by vectors.

use crate::graph::DType;
use crate::plan::kernel::{Access, FoldKind, Index, Inst, Kernel, Store, StoreMode, ValueId};
use crate::scalar::{Cost, ScalarFn};

use super::emit::lane_bits;

/// Bits of Cranelift's vectors.
pub(super) const VECTOR_BITS: u32 = 128;

/// The loop that is run by vectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector {
    /// The loop.
    pub(super) dim: usize,
    /// Bits of a vector register.
    bits: u32,
    /// Lanes of a truth value's vector: 32 bits, or 64 if nothing narrower varies along the loop.
    pub(super) mask_bits: u32,
    /// True if wider numbers vary along the loop too.
    mixed: bool,
    /// Elements worked on at a time: a multiple of the lanes of a mask.
    pub(super) lanes: u32,
}

impl Vector {
    /// The least count of elements that fills vectors of every type: the lanes of a mask.
    pub(super) fn least_lanes(self) -> u32 {
        self.bits / self.mask_bits
    }

    /// The loop as a phase runs it: along an inner loop each phase works on as many elements as suits it.
    pub(super) fn of_phase(self, kernel: &Kernel, p: usize) -> Vector {
        if self.along_rows(kernel) { self } else { Vector { lanes: self.lanes_of(kernel, &[p]), ..self } }
    }

    /// How many elements these phases work on at a time. Light bodies take several vectors, for want of other work while one waits.
    fn lanes_of(self, kernel: &Kernel, phases: &[usize]) -> u32 {
        let phases = || phases.iter().map(|&p| &kernel.phases[p]);
        let values = phases().flat_map(|p| p.row.iter().filter(|_| self.along_rows(kernel)).chain(&p.inner));
        let work: f64 = values.map(|&v| weight(&kernel.value(v).inst)).sum();
        let folds = phases().any(|p| !p.folds.is_empty());
        let scratch = kernel.slots.iter().any(|s| s.access == Access::Scratch);
        let vectors = match work {
            // Scratch memory has room for so many rows.
            _ if scratch && self.along_rows(kernel) && self.bits > VECTOR_BITS => 1,
            // Whole cache lines of several rows at a time.
            w if w <= 4.0 && folds && self.along_rows(kernel) && !scratch && !self.mixed && self.bits < 512 => 8,
            w if w <= 8.0 && folds => 4,
            w if w <= 32.0 => 2,
            // The operations of a long body wait for each other, so that two vectors take little more time than one.
            _ if self.bits > VECTOR_BITS => 2,
            _ => 1,
        };
        let least = self.least_lanes();
        let mut lanes = least * if self.mixed { vectors.min(2) } else { vectors };
        while lanes > least && lanes as usize > kernel.loops[self.dim] {
            lanes /= 2;
        }
        lanes
    }

    /// True if elements so far from each other are best loaded as the whole vectors that they lie in: vectors of 512 bits can be permuted, and those of 256 bits
    /// with lanes of 32.
    pub(super) fn loads_near(self, dtype: DType, step: isize) -> bool {
        let permutes = self.bits == 512 || self.bits == 256 && self.mask_bits == 32;
        permutes && dtype.size() >= 4 && matches!(step, -4..=-1 | 2..=4)
    }

    /// True if they are best stored so: under masks, for which vectors of 512 bits have registers.
    pub(super) fn stores_near(self, dtype: DType, step: isize) -> bool {
        self.bits == 512 && self.loads_near(dtype, step)
    }

    /// True if the lanes are rows rather than points of an inner loop.
    pub(super) fn along_rows(self, kernel: &Kernel) -> bool {
        self.dim < kernel.rows
    }
}

/// Which loops each value depends on.
#[derive(Debug)]
pub(super) struct Dependencies {
    /// A bit for each loop.
    loops: Vec<u64>,
    /// True for values that must not be computed before their phase begins.
    anchored: Vec<bool>,
}

impl Dependencies {
    pub(super) fn of(kernel: &Kernel) -> Dependencies {
        assert!(kernel.loops.len() <= 64, "a kernel has at most 64 loops");
        let rows = (0..kernel.rows).fold(0u64, |m, d| m | 1 << d);
        let moving = |coefs: &[isize]| {
            let real = coefs.iter().zip(&kernel.loops).enumerate().filter(|(_, (c, n))| **c != 0 && **n > 1);
            real.fold(0u64, |m, (d, _)| m | 1 << d)
        };
        let stores = || kernel.phases.iter().flat_map(|p| p.row_stores.iter().chain(&p.stores));
        let written: Vec<bool> = (0..kernel.slots.len()).map(|slot| stores().any(|s| s.slot.index() == slot)).collect();
        // Later rows may replace what earlier ones stored, so that each must load it anew.
        let plain = |s: &Store| {
            s.mode == StoreMode::Set
                && s.index.choice.is_none()
                && kernel.slots[s.slot.index()].access != Access::Scratch
        };
        let replaces = kernel.serial && stores().any(plain);
        let mut all = Dependencies { loops: Vec::new(), anchored: Vec::new() };
        for value in &kernel.values {
            let (own, mut anchored) = match &value.inst {
                Inst::Const(_) | Inst::Map(..) | Inst::Cast(_) => (0, false),
                Inst::Counter(affine) => (moving(&affine.coefs), false),
                // Each row has folds and scratch memory of its own.
                Inst::Fold { .. } => (rows, true),
                Inst::Load { slot, index, .. } => {
                    let moves = moving(&index.affine.coefs);
                    let scratch = kernel.slots[slot.index()].access == Access::Scratch;
                    (if scratch { rows | moves } else { moves }, written[slot.index()])
                }
            };
            let operands = Kernel::operands(&value.inst);
            let loops = operands.iter().fold(own, |m, o| m | all.loops[o.index()]);
            anchored |= operands.iter().any(|o| all.anchored[o.index()]);
            if matches!(value.inst, Inst::Load { .. }) {
                // A slot that is written may lie in the same memory, with the same index. Rows write different elements, so nothing is written to this
                // element if the index is the same for several rows, and only then may it be loaded before all of them.
                let depth = 64 - loops.leading_zeros();
                anchored |= replaces || kernel.loops[..kernel.rows].iter().skip(depth as usize).all(|&n| n == 1);
            }
            all.loops.push(loops);
            all.anchored.push(anchored);
        }
        all
    }

    /// True if a value varies along a loop.
    pub(super) fn varies(&self, value: ValueId, dim: usize) -> bool {
        self.loops[value.index()] >> dim & 1 != 0
    }

    /// How many loops must be open for a value to be known.
    pub(super) fn depth(&self, value: ValueId) -> usize {
        (64 - self.loops[value.index()].leading_zeros()) as usize
    }

    /// True if a value may be computed before its phase begins.
    pub(super) fn is_free(&self, value: ValueId) -> bool {
        !self.anchored[value.index()]
    }
}

/// How a kernel is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// The loop that is run by vectors, if there is one.
    pub(super) vector: Option<Vector>,
    /// An estimate of the instructions that it takes.
    pub(super) work: f64,
}

/// Chooses the loop that is run by vectors of `bits` bits, if one is worth it: the one by which the kernel has least to do.
pub(super) fn choose(kernel: &Kernel, dependencies: &Dependencies, bits: u32) -> Choice {
    let inner = (kernel.rows < kernel.loops.len()).then(|| kernel.loops.len() - 1);
    let rows = kernel.rows.checked_sub(1);
    let scalar = Estimate { kernel, dependencies, vector: None }.work();
    let candidates = inner.into_iter().chain(rows).filter_map(|dim| {
        let vector = candidate(kernel, dependencies, dim, bits)?;
        let work = Estimate { kernel, dependencies, vector: Some(vector) }.work();
        (work < scalar).then_some(Choice { vector: Some(vector), work })
    });
    candidates.min_by(|a, b| a.work.total_cmp(&b.work)).unwrap_or(Choice { vector: None, work: scalar })
}

/// The loop as one that is run by vectors, unless that is impossible.
fn candidate(kernel: &Kernel, dependencies: &Dependencies, dim: usize, vector_bits: u32) -> Option<Vector> {
    let extent = kernel.loops[dim];
    let by_rows = dim < kernel.rows;
    let phases = || kernel.phases.iter();
    let has_inner = kernel.rows < kernel.loops.len();
    for store in phases().flat_map(|p| p.row_stores.iter().filter(|_| by_rows).chain(&p.stores)) {
        let scratch = kernel.slots[store.slot.index()].access == Access::Scratch;
        let chosen = store.index.choice.is_some_and(|c| dependencies.varies(c.value, dim));
        // Elements that may meet are written one after the other. Apart they are if the loop moves the store by one element at a time.
        let meets = kernel.serial || store.mode != StoreMode::Set || store.index.affine.coefs[dim] == 0;
        if meets && !(scratch && by_rows) && (store.index.affine.coefs[dim] != 1 || chosen) {
            return None;
        }
    }
    if kernel.serial && by_rows && has_inner {
        return None;
    }
    // Two stores that may meet take turns, point by point.
    let take_turns = |stores: &[Store]| {
        let chosen = |s: &&Store| s.index.choice.is_some();
        let mut slots: Vec<u32> = stores.iter().filter(chosen).map(|s| s.slot.0).collect();
        slots.sort_unstable();
        slots.windows(2).any(|pair| pair[0] == pair[1])
    };
    if (kernel.serial || !by_rows) && phases().any(|p| take_turns(&p.stores) || take_turns(&p.row_stores)) {
        return None;
    }
    // Cranelift's lanes are as wide as the narrowest number that varies along the loop, and wider numbers take several vectors. Those of wider vectors are
    // as wide as the widest number, and narrower ones fill half of a vector.
    let varying = kernel.values.iter().enumerate().filter(|&(i, _)| dependencies.varies(ValueId(i as u32), dim));
    let stored =
        phases().flat_map(|p| p.row_stores.iter().chain(&p.stores)).map(|s| kernel.slots[s.slot.index()].dtype);
    // Wide accumulators have as many lanes as everything else, also those of values that do not vary.
    let by_lanes = !by_rows || vector_bits != VECTOR_BITS;
    let folded = phases().flat_map(|p| &p.folds).filter(|_| by_lanes).map(|f| kernel.value(f.value).dtype);
    let mut widths: Vec<u32> = varying.map(|(_, v)| v.dtype).chain(stored).chain(folded).filter_map(bits).collect();
    widths.sort_unstable();
    let (narrowest, widest) = (widths.first().copied().unwrap_or(32), widths.last().copied().unwrap_or(32));
    let mask_bits = if vector_bits == VECTOR_BITS { narrowest } else { widest.max(32) };
    let mixed = widest != narrowest;
    let least = vector_bits / mask_bits;
    if extent < 2 {
        return None;
    }
    let vector = Vector { dim, bits: vector_bits, mask_bits, mixed, lanes: least };
    let all: Vec<usize> = (0..kernel.phases.len()).collect();
    Some(Vector { lanes: vector.lanes_of(kernel, &all), ..vector })
}

/// Bits of a number's lane; truth values adapt to others.
fn bits(dtype: DType) -> Option<u32> {
    (dtype != DType::Bool).then(|| lane_bits(dtype))
}

/// Instructions of one vector, or of one number, of an instruction that is no memory access.
pub(super) fn weight(inst: &Inst) -> f64 {
    match inst {
        Inst::Const(_) | Inst::Fold { .. } => 0.0,
        Inst::Load { .. } | Inst::Counter(_) | Inst::Cast(_) => 1.0,
        Inst::Map(ScalarFn::Div | ScalarFn::Sqrt | ScalarFn::Rsqrt | ScalarFn::Rem | ScalarFn::Mod, _) => 4.0,
        Inst::Map(f, _) if f.record().cost == Cost::Dear => 20.0,
        Inst::Map(..) => 1.0,
    }
}

/// An estimate of the instructions that a kernel runs.
struct Estimate<'a> {
    kernel: &'a Kernel,
    dependencies: &'a Dependencies,
    vector: Option<Vector>,
}

impl Estimate<'_> {
    fn work(&self) -> f64 {
        let (kernel, n) = (self.kernel, self.kernel.loops.len());
        let mut work = 0.0;
        for (p, phase) in kernel.phases.iter().enumerate() {
            for &value in phase.row.iter().chain(&phase.inner) {
                work += self.value(value) * self.turns(self.dependencies.depth(value));
            }
            work += phase.row_stores.iter().map(|s| self.store(s)).sum::<f64>() * self.turns(kernel.rows);
            work += phase.stores.iter().map(|s| self.store(s)).sum::<f64>() * self.turns(n);
            for fold in &phase.folds {
                let inst = match fold.kind {
                    FoldKind::Combine(..) => 1.0,
                    FoldKind::Position(_) => 6.0,
                };
                let dtype = kernel.value(fold.value).dtype;
                work += inst * self.vectors(dtype, true) * self.turns(n);
                // What remains after the loops is combined across lanes.
                let across = self.vector.map_or(2.0, |v| if v.along_rows(kernel) { 2.0 } else { 6.0 + 2.0 * inst });
                work += across * self.turns(kernel.rows);
            }
            // A loop has a test and a jump.
            if !phase.stores.is_empty() || !phase.folds.is_empty() || p == 0 {
                work += self.turns(n);
            }
        }
        work
    }

    /// How often the body of the first `depth` loops runs.
    fn turns(&self, depth: usize) -> f64 {
        let turns = self.kernel.loops[..depth].iter().enumerate().map(|(d, &extent)| match self.vector {
            Some(v) if v.dim == d => extent.div_ceil(v.least_lanes() as usize) as f64,
            _ => extent as f64,
        });
        turns.product()
    }

    /// Vectors that a mask's lanes of elements take.
    fn vectors(&self, dtype: DType, wide: bool) -> f64 {
        match (self.vector, bits(dtype)) {
            (Some(v), Some(bits)) if wide => f64::from((bits / v.mask_bits).max(1)),
            _ => 1.0,
        }
    }

    fn varies(&self, value: ValueId) -> bool {
        self.vector.is_some_and(|v| self.dependencies.varies(value, v.dim))
    }

    fn value(&self, id: ValueId) -> f64 {
        let value = self.kernel.value(id);
        let wide = self.varies(id);
        let lanes = self.vector.map_or(1.0, |v| f64::from(v.least_lanes()));
        let own = match &value.inst {
            Inst::Load { slot, index, .. } => {
                return self.access(index, slot.index(), value.dtype, Vector::loads_near);
            }
            Inst::Map(ScalarFn::Div | ScalarFn::Rem | ScalarFn::Mod, _) if value.dtype.is_int() => {
                return 12.0 * if wide { lanes } else { 1.0 };
            }
            // Integers of 64 bits have no vector instructions for these.
            Inst::Cast(from)
                if wide
                    && [value.dtype, self.kernel.value(*from).dtype].contains(&DType::I64)
                    && (value.dtype.is_float() || self.kernel.value(*from).dtype.is_float()) =>
            {
                2.0 * lanes
            }
            inst => weight(inst),
        };
        own * self.vectors(value.dtype, wide)
    }

    fn store(&self, store: &Store) -> f64 {
        let slot = store.slot.index();
        self.access(&store.index, slot, self.kernel.slots[slot].dtype, Vector::stores_near)
    }

    fn access(&self, index: &Index, slot: usize, dtype: DType, near: fn(Vector, DType, isize) -> bool) -> f64 {
        let choice = if index.choice.is_some() { 5.0 } else { 0.0 };
        let Some(v) = self.vector else { return 1.0 + choice };
        let lanes = f64::from(v.least_lanes());
        let parked = v.along_rows(self.kernel) && self.kernel.slots[slot].access == Access::Scratch;
        if index.choice.is_some_and(|c| self.varies(c.value)) {
            return lanes * (2.0 + choice);
        }
        match index.affine.coefs[v.dim] {
            _ if parked => 1.0,
            1 if dtype.size() < 4 => 5.0 + choice,
            1 => self.vectors(dtype, true) + choice,
            0 => 1.0 + choice,
            step if near(v, dtype, step) => (2 * step.unsigned_abs()) as f64 * self.vectors(dtype, true) + choice,
            _ => 2.0 * lanes + choice,
        }
    }
}
