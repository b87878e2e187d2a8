//! Random kernels. Everything that they compute is exact, whatever the order of the folds, so that results are compared bit by bit.

use crate::graph::{DType, Dims, TensorType};
use crate::plan::kernel::*;
use crate::plan::testing::{Body, affine, at};
use crate::prim::Extremum;
use crate::scalar::ScalarFn;
use crate::testing::Draw;

use super::Single;

struct Maker<'a> {
    d: &'a mut Draw,
    k: Body,
    single: Single,
    /// Values that can be used, with the first inner value of the phase.
    rows: Vec<ValueId>,
    inner: Vec<ValueId>,
    /// Types to choose from: many kernels have lanes of one width.
    types: Vec<DType>,
    /// Memory stored to in earlier phases that can be loaded again: the slot, the index, and whether the index uses inner loops.
    stored: Vec<(SlotId, Index, bool)>,
    /// The same of this phase.
    storing: Vec<(SlotId, Index, bool)>,
    /// Folds of this phase: their positions and types.
    folding: Vec<(usize, DType)>,
}

/// A random kernel with its memory.
pub(super) fn make(d: &mut Draw) -> (Body, Single) {
    let extents = [1, 1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 20, 33, 40, 70];
    let (rows, inner) = (d.below(3), d.below(3));
    let mut loops: Vec<usize> = Vec::new();
    for _ in 0..rows + inner {
        let extent = d.of(&extents);
        let points: usize = loops.iter().product();
        loops.push(if points * extent > 3000 { d.between(1, 4) } else { extent });
    }
    let types = match d.below(6) {
        0 | 1 => vec![DType::F32, DType::F32, DType::Bool, DType::I32, DType::U8, DType::U32],
        2 => vec![DType::F64, DType::I64, DType::Bool],
        3 => vec![d.of(&DType::ALL), DType::F32],
        4 => vec![DType::F32],
        _ => DType::ALL.to_vec(),
    };
    let mut k = Body::new(&loops, rows);
    k.0.serial = rows > 0 && d.chance(0.15);
    let mut m = Maker {
        d,
        k,
        single: Single::new(),
        rows: Vec::new(),
        inner: Vec::new(),
        types,
        stored: Vec::new(),
        storing: Vec::new(),
        folding: Vec::new(),
    };
    let phases = if inner > 0 { m.d.between(1, 3) } else { 1 };
    for phase in 0..phases {
        if phase > 0 {
            m.next_phase(phase - 1);
        }
        m.phase(inner > 0, phase + 1 == phases);
    }
    (m.k, m.single)
}

/// The random kernel of this number.
pub(in crate::codegen) fn random_kernel(seed: u64) -> Kernel {
    make(&mut Draw::new(seed)).0.0
}

#[test]
fn random_kernels() {
    let count = std::env::var("COTANGENT_KERNELS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let first = std::env::var("COTANGENT_KERNEL").ok().and_then(|n| n.parse().ok());
    for seed in first.map_or(0..count, |s: u64| s..s + 1) {
        let (kernel, mut single) = make(&mut Draw::new(seed));
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| single.check(kernel)));
        assert!(run.is_ok(), "seed {seed}: COTANGENT_KERNEL={seed} tries it alone");
    }
}

impl Maker<'_> {
    fn next_phase(&mut self, last: usize) {
        self.k.phase();
        self.inner.clear();
        self.stored.append(&mut self.storing);
        for (fold, dtype) in std::mem::take(&mut self.folding) {
            self.add(Inst::Fold { phase: last, fold }, dtype, false);
        }
    }

    fn phase(&mut self, has_inner: bool, last: bool) {
        if !has_inner || self.d.chance(0.4) {
            for _ in 0..self.d.below(4) {
                self.compute(false);
            }
            for _ in 0..self.d.below(2) {
                self.store(false);
            }
        }
        let inner = has_inner || self.d.chance(0.5);
        for _ in 0..if inner { self.d.between(1, 8) } else { 0 } {
            self.compute(inner);
        }
        let stores = self.d.below(3).max((last || !has_inner).into());
        for _ in 0..stores {
            self.store(has_inner);
        }
        if has_inner {
            for _ in 0..self.d.below(4) {
                self.fold();
            }
        }
    }

    fn loops(&self) -> &[usize] {
        &self.k.0.loops
    }

    fn dtype(&mut self) -> DType {
        let types = std::mem::take(&mut self.types);
        let dtype = self.d.of(&types);
        self.types = types;
        dtype
    }

    fn numbers(&mut self, dtype: DType, len: usize) -> crate::Array {
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1.0, 0.5, 3.0, -2.5];
        self.d.fill(&TensorType::new(dtype, [len]), |d| {
            if d.chance(0.1) { d.of(&special) } else { d.between(0, 12) as f64 - 6.0 }
        })
    }

    /// An index with random coefficients for the loops below `upto` that stays in a buffer, and the length of that.
    fn read_index(&mut self, upto: usize) -> (Affine, usize) {
        let n = self.loops().len();
        let mut coefs = vec![0isize; n];
        let order = self.d.shuffled((0..upto).collect::<Vec<_>>());
        let by_order = self.d.chance(0.6);
        let mut stride = 1;
        for d in if by_order { (0..upto).rev().collect() } else { order } {
            if self.d.chance(0.25) {
                continue;
            }
            let stretch = if self.d.chance(0.1) { 2 } else { 1 };
            coefs[d] = stride * stretch * if self.d.chance(0.1) { -1 } else { 1 };
            stride *= self.loops()[d] as isize * stretch;
        }
        self.placed(&coefs, 3)
    }

    fn placed(&mut self, coefs: &[isize], spare: usize) -> (Affine, usize) {
        let span = |sign: isize| -> isize {
            coefs.iter().zip(self.loops()).map(|(&c, &n)| (c * sign).max(0) * (n as isize - 1)).sum()
        };
        let (above, below) = (span(1), span(-1));
        let (before, after) = (self.d.below(spare) as isize, self.d.below(spare) as isize);
        (affine(below + before, coefs), (above + below + before + after + 1) as usize)
    }

    /// A value of this type that is visible at row or at inner level; a new one if there is none.
    fn any(&mut self, dtype: Option<DType>, inner: bool) -> ValueId {
        let fits = |&&v: &&ValueId| dtype.is_none_or(|t| self.k.0.value(v).dtype == t);
        let mut all: Vec<ValueId> = self.rows.iter().filter(fits).copied().collect();
        if inner {
            all.extend(self.inner.iter().filter(fits));
        }
        if all.is_empty() || self.d.chance(0.15) {
            let dtype = dtype.unwrap_or_else(|| self.dtype());
            return self.leaf(dtype, inner);
        }
        self.d.of(&all)
    }

    fn add(&mut self, inst: Inst, dtype: DType, inner: bool) -> ValueId {
        if inner {
            let v = self.k.inner(inst, dtype);
            self.inner.push(v);
            v
        } else {
            let v = self.k.row(inst, dtype);
            self.rows.push(v);
            v
        }
    }

    fn leaf(&mut self, dtype: DType, inner: bool) -> ValueId {
        let upto = if inner { self.loops().len() } else { self.k.0.rows };
        let fits = |(slot, _, by_inner): &&(SlotId, Index, bool)| {
            (inner || !by_inner) && self.k.0.slots[slot.index()].dtype == dtype
        };
        let stored: Vec<_> = self.stored.iter().filter(fits).cloned().collect();
        let inst = match self.d.below(6) {
            0 => {
                let v: f64 = self.d.of(&[0.0, 1.0, -1.0, 2.0, 0.5, 3.0]);
                Inst::Const(if dtype == DType::Bool { v.abs().min(1.0).round() } else { v }.to_bits())
            }
            1 if !dtype.is_half() => {
                let (affine, _) = self.read_index(upto);
                Inst::Counter(affine)
            }
            2 | 3 if !stored.is_empty() => {
                let (slot, index, _) = stored[self.d.below(stored.len())].clone();
                Inst::Load { slot, index, fill: 0 }
            }
            _ => {
                let slot = self.k.slot(dtype, Access::Read);
                let (affine, len) = self.read_index(upto);
                let numbers = self.numbers(dtype, len);
                self.single.reads(numbers);
                Inst::Load { slot, index: Index { affine, choice: None }, fill: 0 }
            }
        };
        self.add(inst, dtype, inner)
    }

    fn compute(&mut self, inner: bool) -> ValueId {
        match self.d.below(10) {
            0 => {
                // A choice of an element.
                let dtype = self.dtype();
                let int = self.d.of(&[DType::I32, DType::I64, DType::I32, DType::U8, DType::U32]);
                let choice = self.any(Some(int), inner);
                let upto = if inner { self.loops().len() } else { self.k.0.rows };
                let (affine, len) = self.read_index(upto);
                let (extent, stride) = (self.d.between(1, 5), self.d.between(1, 3));
                let slot = self.k.slot(dtype, Access::Read);
                let numbers = self.numbers(dtype, len + (extent - 1) * stride);
                self.single.reads(numbers);
                let index = Index { affine, choice: Some(Choice { value: choice, stride: stride as isize, extent }) };
                let fill = if dtype == DType::Bool { 1.0f64 } else { -7.0 }.to_bits();
                self.add(Inst::Load { slot, index, fill }, dtype, inner)
            }
            1 => {
                let (to, arg) = (self.dtype(), self.any(None, inner));
                self.add(Inst::Cast(arg), to, inner)
            }
            2 => {
                let dtype = self.dtype();
                self.leaf(dtype, inner)
            }
            _ => loop {
                let f = self.d.of(ScalarFn::ALL);
                let dtype = self.dtype();
                let types: Dims<DType> = match f.arity() {
                    3 => Dims::from_slice(&[DType::Bool, dtype, dtype]),
                    n => Dims::from_elem(dtype, n),
                };
                let Ok(result) = f.result_dtype(&types) else { continue };
                let args = types.iter().map(|&t| self.any(Some(t), inner)).collect();
                return self.add(Inst::Map(f, args), result, inner);
            },
        }
    }

    fn map(&mut self, f: ScalarFn, args: &[ValueId]) -> ValueId {
        let types: Dims<DType> = args.iter().map(|&a| self.k.0.value(a).dtype).collect();
        let dtype = f.result_dtype(&types).expect("well typed");
        self.add(Inst::Map(f, args.iter().copied().collect()), dtype, true)
    }

    fn constant(&mut self, dtype: DType, v: f64) -> ValueId {
        self.add(Inst::Const(v.to_bits()), dtype, true)
    }

    /// A fold whose result does not depend on the order.
    fn fold(&mut self) {
        let mut v = self.any(None, true);
        if self.k.0.value(v).dtype.is_half() {
            v = self.add(Inst::Cast(v), DType::F32, true);
        }
        let dtype = self.k.0.value(v).dtype;
        let number = [ScalarFn::Add, ScalarFn::Max, ScalarFn::Min];
        let f = match dtype {
            DType::Bool => self.d.of(&[ScalarFn::And, ScalarFn::Or]),
            DType::U8 | DType::I32 | DType::U32 | DType::I64 if self.d.chance(0.25) => ScalarFn::Mul,
            _ => self.d.of(&number),
        };
        if self.d.chance(0.25) {
            let extremum = self.d.of(&[Extremum::Max, Extremum::Min]);
            let at = self.k.fold(FoldKind::Position(extremum), v);
            return self.folding.push((at, DType::I32));
        }
        let (v, from) = match f {
            ScalarFn::Add if dtype.is_float() => {
                let (low, high) = (self.constant(dtype, -8.0), self.constant(dtype, 8.0));
                let v = self.map(ScalarFn::Max, &[v, low]);
                let v = self.map(ScalarFn::Min, &[v, high]);
                (self.map(ScalarFn::Round, &[v]), 0.0)
            }
            ScalarFn::Add | ScalarFn::Or => (v, 0.0),
            ScalarFn::Mul | ScalarFn::And => (v, 1.0),
            _ => {
                let from = if f == ScalarFn::Max { f64::NEG_INFINITY } else { f64::INFINITY };
                // One zero only.
                let zero = self.constant(dtype, 0.0);
                (self.map(ScalarFn::Add, &[v, zero]), if self.d.chance(0.2) { 1.0 } else { from })
            }
        };
        let at = self.k.fold(FoldKind::Combine(f, from.to_bits()), v);
        self.folding.push((at, dtype));
    }

    /// Strides that tell all points of the loops `from..upto` apart.
    fn write_strides(&mut self, from: usize, upto: usize) -> Dims<isize> {
        let n = self.loops().len();
        let mut coefs = Dims::from_elem(0, n);
        let mut order: Vec<usize> = (from..upto).rev().collect();
        if self.d.chance(0.3) {
            order = self.d.shuffled(order);
        }
        let mut stride = if self.d.chance(0.1) { 2 } else { 1 };
        for d in order {
            coefs[d] = stride;
            stride *= self.loops()[d] as isize;
        }
        coefs
    }

    fn store(&mut self, inner: bool) {
        let value = self.any(None, inner);
        let dtype = self.k.0.value(value).dtype;
        let n = self.loops().len();
        let rows = self.k.0.rows;
        if inner && n > rows && self.d.chance(0.3) {
            let coefs = self.write_strides(rows, n);
            let len = 1 + coefs.iter().zip(self.loops()).map(|(&c, &n)| c as usize * (n - 1)).sum::<usize>();
            let slot = self.k.slot(dtype, Access::Scratch);
            self.single.scratch(dtype, len);
            let index = at(0, &coefs);
            self.k.store(slot, index.clone(), value);
            return self.storing.push((slot, index, true));
        }
        let coefs = self.write_strides(0, if inner { n } else { rows });
        let (affine, mut len) = self.placed(&coefs, 3);
        let mut index = Index { affine, choice: None };
        let computes = dtype != DType::Bool && !dtype.is_half();
        let add = computes && self.d.chance(0.15);
        let scatter = self.k.0.serial && inner && dtype != DType::Bool && self.d.chance(0.7);
        if scatter {
            // Rows may meet.
            let (extent, stride) = (self.d.between(1, 5), self.d.between(1, 3));
            let choice = self.any(Some(DType::I32), inner);
            if self.d.chance(0.7) {
                index.affine.coefs[0] = 0;
            }
            index.choice = Some(Choice { value: choice, stride: stride as isize, extent });
            len += (extent - 1) * stride;
        }
        let mut value = value;
        if scatter && add && dtype.is_float() {
            // Sums in any order are exact.
            let (low, high) = (self.constant(dtype, -8.0), self.constant(dtype, 8.0));
            value = self.map(ScalarFn::Max, &[value, low]);
            value = self.map(ScalarFn::Min, &[value, high]);
            value = self.map(ScalarFn::Round, &[value]);
        }
        let numbers = self.numbers(dtype, len);
        self.single.changes(numbers);
        let before = !scatter && self.d.chance(0.3);
        let access = if add || before || scatter { Access::ReadWrite } else { Access::Write };
        let combine = self.d.of(&[ScalarFn::Add, ScalarFn::Add, ScalarFn::Max, ScalarFn::Min]);
        let mode = if add { StoreMode::Combine(combine) } else { StoreMode::Set };
        let mut slot = self.k.slot(dtype, access);
        if before && computes {
            // In place: what was there is part of the new value. It is read through the same slot, or through another for the same memory.
            let old = self.add(Inst::Load { slot, index: index.clone(), fill: 0 }, dtype, inner);
            let f = self.d.of(&[ScalarFn::Add, ScalarFn::Max, ScalarFn::Mul]);
            value = self.add(Inst::Map(f, Dims::from_slice(&[old, value])), dtype, inner);
            if self.d.chance(0.5) {
                self.k.0.slots[slot.index()].access = Access::Read;
                let same = self.single.args[slot.index()];
                self.single.args.push(same);
                slot = self.k.slot(dtype, Access::Write);
            }
        }
        if !scatter {
            self.storing.push((slot, index.clone(), inner));
        }
        let store = Store { slot, index, value, mode };
        let phase = self.k.last();
        if inner { phase.stores.push(store) } else { phase.row_stores.push(store) }
    }
}
