//! Folds: accumulators in registers, carried through the inner loops of a phase.
//!
//! Along the last inner loop each lane has an accumulator of its own; when the loops are done they are combined by rotations, after which the result
//! stands in all lanes. Long sums of `f32` are kept in double precision: each block of terms is summed in single precision and then put by.

use smallvec::SmallVec;

use crate::codegen::fold::{neutral, worst};
use crate::codegen::loops::Width;
use crate::graph::DType;
use crate::plan::kernel::{Fold, FoldKind};
use crate::prim::Extremum;
use crate::scalar::{Lanes, ScalarFn};

use super::body::{Body, Parts, bits};
use super::ir::{Form, Inst, Logic, Reg};
use super::isa::Isa;
use super::opcodes::{self, avx2};

/// The accumulators of a fold.
#[derive(Clone, Debug, Default)]
pub(super) struct Accumulators {
    /// What has been folded so far, or the best element so far.
    best: Parts,
    /// The positions of the best elements.
    positions: Parts,
    /// Sums of the blocks that have been put by, in double precision: one, or two for each accumulator.
    totals: Parts,
    /// The result, when the loops are done.
    pub(super) result: Parts,
}

impl Body<'_> {
    /// True if the lanes are combined when the loops are done.
    fn folds_across(&self) -> bool {
        !self.vector.along_rows(self.kernel)
    }

    /// Works on as many elements as there are accumulators for.
    fn with_accumulators<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        let width = if self.folds_across() { Width::full(self.vector.lanes) } else { self.width };
        let saved = std::mem::replace(&mut self.width, width);
        let result = body(self);
        self.width = saved;
        result
    }

    fn count(&self) -> usize {
        if self.width.is_wide() { self.parts_of_width() } else { 1 }
    }

    /// Makes the accumulators of a phase's folds. With blocks, sums of `f32` are put by at the end of each.
    pub(super) fn begin_folds(&mut self, p: usize, blocked: bool) {
        let folds = &self.kernel.phases[p].folds;
        self.folds[p] = self.with_accumulators(|e| folds.iter().map(|f| e.begin_fold(f, blocked)).collect());
    }

    fn variables(&mut self, initial: Reg, count: usize) -> Parts {
        (0..count)
            .map(|_| {
                let dst = if self.code.is_mask(initial) { self.code.mask() } else { self.code.vector() };
                self.code.push(Inst::Move { dst, src: initial });
                dst
            })
            .collect()
    }

    fn begin_fold(&mut self, fold: &Fold, blocked: bool) -> Accumulators {
        let dtype = self.kernel.value(fold.value).dtype;
        let count = self.count();
        let mut a = Accumulators::default();
        match fold.kind {
            FoldKind::Combine(f, _) => {
                let start = self.constant(dtype, neutral(f, dtype));
                a.best = self.variables(start, count);
                if blocked && f == ScalarFn::Add && dtype == DType::F32 {
                    let halves = if self.has_narrow_lanes() { 2 } else { 1 };
                    let totals = if self.folds_across() { 1 } else { halves * count };
                    let zero = self.constant(DType::F64, 0.0);
                    a.totals = self.variables(zero, totals);
                }
            }
            FoldKind::Position(extremum) => {
                let start = self.constant(dtype, worst(extremum, dtype));
                a.best = self.variables(start, count);
                let first = self.constant(DType::I32, 0.0);
                a.positions = self.variables(first, count);
            }
        }
        a
    }

    fn assign(&mut self, variables: &[Reg], values: &[Reg]) {
        variables.iter().zip(values).for_each(|(&variable, &v)| self.code.assign(variable, v));
    }

    fn pair(&mut self, f: ScalarFn, dtype: DType, a: Reg, b: Reg) -> Reg {
        let operands = [(dtype, Parts::from_elem(a, 1)), (dtype, Parts::from_elem(b, 1))];
        self.apply(f, &operands, true)[0]
    }

    fn select(&mut self, mask: Reg, dtype: DType, a: Reg, b: Reg) -> Reg {
        let one = |r| Parts::from_elem(r, 1);
        self.apply(ScalarFn::Select, &[(DType::Bool, one(mask)), (dtype, one(a)), (dtype, one(b))], true)[0]
    }

    /// Folds the values at the point that the counters are at, or at the points of the lanes.
    pub(super) fn fold(&mut self, p: usize) {
        for (i, fold) in self.kernel.phases[p].folds.iter().enumerate() {
            let dtype = self.kernel.value(fold.value).dtype;
            let count = self.count();
            let parts = self.spread(fold.value, count);
            let a = self.folds[p][i].clone();
            for (part, &value) in parts.iter().enumerate() {
                match fold.kind {
                    FoldKind::Combine(f, _) => {
                        let value = self.living(part, value, dtype, neutral(f, dtype));
                        let next = self.pair(f, dtype, a.best[part], value);
                        self.code.assign(a.best[part], next);
                    }
                    FoldKind::Position(extremum) => {
                        let value = self.living(part, value, dtype, worst(extremum, dtype));
                        let here = self.here(part);
                        let better = self.beats(extremum, dtype, value, a.best[part]);
                        let best = self.select(better, dtype, value, a.best[part]);
                        self.code.assign(a.best[part], best);
                        let position = self.select(better, DType::I32, here, a.positions[part]);
                        self.code.assign(a.positions[part], position);
                    }
                }
            }
        }
    }

    /// The value, with `dead` in lanes that are no elements and will be combined with others.
    fn living(&mut self, part: usize, value: Reg, dtype: DType, dead: f64) -> Reg {
        if !self.folds_across() || !self.width.is_wide() {
            return value;
        }
        let Some(live) = self.live(part) else { return value };
        let dead = self.constant(dtype, dead);
        self.select(live, dtype, value, dead)
    }

    /// The position of the point in the inner loops, row-major.
    fn here(&mut self, part: usize) -> Reg {
        let (rows, loops) = (self.kernel.rows, &self.kernel.loops);
        let mut coefs = vec![0isize; loops.len()];
        let mut stride = 1;
        for d in (rows..loops.len()).rev() {
            coefs[d] = stride;
            stride *= loops[d] as isize;
        }
        let pattern = self.pattern(&coefs, 1);
        let (dst, length) = (self.code.vector(), self.length(32));
        let offset = i32::try_from(self.known_part(&coefs));
        self.code.unsupported |= offset.is_err();
        let offset = offset.unwrap_or(0).into();
        self.code.push(Inst::Counter { dst, pattern, offset, wide: false, length });
        let step = i64::from(self.folds_across() && self.width.is_wide());
        if step == 0 { dst } else { self.plus_steps(dst, part, step, 32) }
    }

    /// Where `a` is more extreme than `b`. A NaN is the most extreme.
    fn beats(&mut self, extremum: Extremum, dtype: DType, a: Reg, b: Reg) -> Reg {
        let f = match extremum {
            Extremum::Max => ScalarFn::Gt,
            Extremum::Min => ScalarFn::Lt,
        };
        let better = self.pair(f, dtype, a, b);
        if !dtype.is_float() {
            return better;
        }
        let (a_nan, b_number) = (self.pair(ScalarFn::Ne, dtype, a, a), self.pair(ScalarFn::Eq, dtype, b, b));
        let better = self.code.logic(Logic::Or, &[better, a_nan]);
        self.code.logic(Logic::And, &[better, b_number])
    }

    /// The lower and the upper half of a whole vector of `f32`, or all of half a vector, in double precision.
    fn doubles(&mut self, v: Reg) -> Parts {
        let low = self.cast(v, DType::F32, DType::F64);
        if !self.has_narrow_lanes() {
            return Parts::from_elem(low, 1);
        }
        let op = match self.code.isa {
            Isa::Avx2 => avx2::UPPER_HALF,
            Isa::Avx512 => opcodes::UPPER_HALF,
        };
        let length = self.full();
        let upper = self.code.op(op, Form::Reversed, length, &[v], Some(1));
        let high = self.cast(upper, DType::F32, DType::F64);
        Parts::from_slice(&[low, high])
    }

    /// Puts the sums of a block by and begins a new block.
    pub(super) fn flush(&mut self, p: usize) {
        self.with_accumulators(|e| {
            for i in 0..e.folds[p].len() {
                let a = e.folds[p][i].clone();
                if a.totals.is_empty() {
                    continue;
                }
                for (part, &sum) in a.best.iter().enumerate() {
                    let doubles = e.doubles(sum);
                    for (half, &double) in doubles.iter().enumerate() {
                        let at = if e.folds_across() { 0 } else { part * doubles.len() + half };
                        let total = e.group(DType::F64).fadd(a.totals[at], double);
                        e.code.assign(a.totals[at], total);
                    }
                }
                let zero = e.constant(DType::F32, 0.0);
                let zeros = Parts::from_elem(zero, a.best.len());
                e.assign(&a.best, &zeros);
            }
        });
    }

    /// Makes the results of a phase's folds.
    pub(super) fn end_folds(&mut self, p: usize) {
        let folds = &self.kernel.phases[p].folds;
        for (i, fold) in folds.iter().enumerate() {
            let a = self.folds[p][i].clone();
            let dtype = self.kernel.value(fold.value).dtype;
            let result = self.with_accumulators(|e| match fold.kind {
                FoldKind::Combine(f, from) => e.end_combine(&a, f, dtype, f64::from_bits(from)),
                FoldKind::Position(extremum) if e.folds_across() => {
                    Parts::from_elem(e.best_position(&a, extremum, dtype), 1)
                }
                FoldKind::Position(_) => a.positions.clone(),
            });
            self.folds[p][i].result = result;
        }
    }

    fn end_combine(&mut self, a: &Accumulators, f: ScalarFn, dtype: DType, from: f64) -> Parts {
        let mut parts: Parts = if a.totals.is_empty() {
            a.best.clone()
        } else if self.folds_across() {
            let total = self.across(f, DType::F64, a.totals[0]);
            Parts::from_elem(self.cast(total, DType::F64, DType::F32), 1)
        } else {
            let halves = if self.has_narrow_lanes() { 2 } else { 1 };
            a.totals.chunks(halves).map(|chunk| self.joined(chunk)).collect()
        };
        if self.folds_across() && a.totals.is_empty() {
            let mut one = parts[0];
            for &part in &parts[1..] {
                one = self.pair(f, dtype, one, part);
            }
            parts = Parts::from_elem(self.across(f, dtype, one), 1);
        }
        if from == neutral(f, dtype) {
            return parts;
        }
        let from = self.constant(dtype, from);
        parts.iter().map(|&part| self.pair(f, dtype, from, part)).collect()
    }

    /// One or two vectors of `f64` as one of `f32`.
    fn joined(&mut self, halves: &[Reg]) -> Reg {
        let (full, op) = match self.code.isa {
            Isa::Avx2 => (self.full(), avx2::INSERT_HALF),
            Isa::Avx512 => (self.full(), opcodes::INSERT_HALF),
        };
        let short: SmallVec<[Reg; 2]> =
            halves.iter().map(|&h| self.code.op(opcodes::DEMOTE, Form::Unary, full, &[h], None)).collect();
        match short[..] {
            [low, high] => self.code.op(op, Form::Binary, full, &[low, high], Some(1)),
            _ => short[0],
        }
    }

    /// The lanes of `v` combined; the result stands in all lanes.
    fn across(&mut self, f: ScalarFn, dtype: DType, v: Reg) -> Reg {
        if dtype == DType::Bool {
            let op = if f == ScalarFn::And { Logic::All } else { Logic::Any };
            return self.code.logic(op, &[v]);
        }
        let mut v = v;
        let mut by = self.lanes_in(bits(dtype)) / 2;
        while by > 0 {
            let turned = self.rotated(v, bits(dtype), by);
            v = self.pair(f, dtype, v, turned);
            by /= 2;
        }
        v
    }

    /// Lanes in a register of elements of this width.
    fn lanes_in(&self, bits: u32) -> u32 {
        self.lanes().min(self.code.isa.vector_bits() / bits)
    }

    /// The lanes exchanged with those `by` lanes away, `by` a power of two: each with that of a number that differs in this bit, or that is `by` larger.
    fn rotated(&mut self, v: Reg, bits: u32, by: u32) -> Reg {
        let length = self.length(bits);
        match (self.code.isa, by * bits) {
            (Isa::Avx512, _) => {
                self.code.op(opcodes::rotate(bits == 64), Form::Binary, length, &[v, v], Some(by as u8))
            }
            (Isa::Avx2, 128) => self.code.op(avx2::HALVES, Form::Binary, length, &[v, v], Some(1)),
            (Isa::Avx2, 64) if bits == 64 => self.code.op(avx2::PERMUTE_64, Form::Unary, length, &[v], Some(0b0101)),
            (Isa::Avx2, 64) => self.code.op(avx2::PERMUTE_32, Form::Unary, length, &[v], Some(0b01_00_11_10)),
            (Isa::Avx2, _) => self.code.op(avx2::PERMUTE_32, Form::Unary, length, &[v], Some(0b10_11_00_01)),
        }
    }

    /// The position of the best of all lanes; of equal ones, the first.
    fn best_position(&mut self, a: &Accumulators, extremum: Extremum, dtype: DType) -> Reg {
        if dtype == DType::Bool {
            // Truth values have no rotation.
            self.code.unsupported = true;
            return a.positions[0];
        }
        let (mut best, mut at) = (a.best[0], a.positions[0]);
        for (&other, &other_at) in a.best[1..].iter().zip(&a.positions[1..]) {
            (best, at) = self.better_of(extremum, dtype, (best, at), (other, other_at));
        }
        let mut by = self.lanes() / 2;
        while by > 0 {
            let other = self.rotated(best, bits(dtype), by);
            let other_at = self.rotated(at, 32, by);
            (best, at) = self.better_of(extremum, dtype, (best, at), (other, other_at));
            by /= 2;
        }
        at
    }

    fn better_of(&mut self, extremum: Extremum, dtype: DType, a: (Reg, Reg), b: (Reg, Reg)) -> (Reg, Reg) {
        let wins = self.beats(extremum, dtype, b.0, a.0);
        let loses = self.beats(extremum, dtype, a.0, b.0);
        let earlier = self.pair(ScalarFn::Lt, DType::I32, b.1, a.1);
        let equal = self.code.logic(Logic::Not, &[loses]);
        let first = self.code.logic(Logic::And, &[equal, earlier]);
        let wins = self.code.logic(Logic::Or, &[wins, first]);
        (self.select(wins, dtype, b.0, a.0), self.select(wins, DType::I32, b.1, a.1))
    }
}
