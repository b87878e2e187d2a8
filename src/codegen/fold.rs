//! Folds: accumulators, carried through the inner loops of a phase.
//!
//! Along the last inner loop each lane has an accumulator of its own, and they are combined when the loops are done. Long sums of `f32` are kept in
//! double precision: each block of terms is summed in single precision and then put by.

use cranelift_codegen::ir::{InstBuilder, Type, Value as Clif, types};
use cranelift_frontend::Variable;
use smallvec::SmallVec;

use crate::graph::DType;
use crate::plan::kernel::{Fold, FoldKind};
use crate::prim::Extremum;
use crate::scalar::{Lanes, ScalarFn};

use super::choose::VECTOR_BITS;
use super::emit::{Emitter, Parts};
use super::loops::Width;

/// The accumulators of a fold.
#[derive(Clone, Debug, Default)]
pub(super) struct Accumulators {
    /// What has been folded so far, or the best element so far.
    best: SmallVec<[Variable; 4]>,
    /// The positions of the best elements.
    positions: SmallVec<[Variable; 4]>,
    /// Sums of the blocks that have been put by, in double precision.
    totals: SmallVec<[Variable; 4]>,
    /// The result, when the loops are done.
    pub(super) result: Parts,
}

/// The element that every other beats or equals.
pub(super) fn worst(extremum: Extremum, dtype: DType) -> f64 {
    match (extremum, dtype) {
        (Extremum::Max, DType::Bool) => 0.0,
        (Extremum::Min, DType::Bool) => 1.0,
        (Extremum::Max, _) => f64::NEG_INFINITY,
        (Extremum::Min, _) => f64::INFINITY,
    }
}

/// The number from which an accumulator begins, so that combining several gives the fold: the neutral element. The fold's own beginning is combined at
/// the end.
pub(super) fn neutral(f: ScalarFn, dtype: DType) -> f64 {
    match f {
        ScalarFn::Mul | ScalarFn::And => 1.0,
        ScalarFn::Max => worst(Extremum::Max, dtype),
        ScalarFn::Min => worst(Extremum::Min, dtype),
        _ => 0.0,
    }
}

impl Emitter<'_, '_, '_> {
    /// True if the lanes are combined when the loops are done.
    fn folds_across(&self) -> bool {
        self.vector.is_some_and(|v| !v.along_rows(self.kernel))
    }

    /// Works on as many elements as there are accumulators for.
    fn with_accumulators<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        let width = match self.vector {
            Some(v) if self.folds_across() => Width::full(v.lanes),
            _ => self.width,
        };
        let saved = std::mem::replace(&mut self.width, width);
        let result = body(self);
        self.width = saved;
        result
    }

    /// The integer lanes in which positions are kept.
    fn position_type(&self) -> Type {
        match self.bits(DType::Bool, true) {
            64 => types::I64X2,
            _ => types::I32X4,
        }
    }

    /// Makes the accumulators of a phase's folds. With blocks, sums of `f32` are put by at the end of each.
    pub(super) fn begin_folds(&mut self, p: usize, blocked: bool) {
        let folds = &self.kernel.phases[p].folds;
        self.folds[p] = self.with_accumulators(|e| folds.iter().map(|f| e.begin_fold(f, blocked)).collect());
    }

    fn begin_fold(&mut self, fold: &Fold, blocked: bool) -> Accumulators {
        let wide = self.width.is_wide();
        let dtype = self.kernel.value(fold.value).dtype;
        let count = if wide { self.vectors(self.bits(dtype, true)) } else { 1 };
        let mut a = Accumulators::default();
        match fold.kind {
            FoldKind::Combine(f, _) => {
                let start = self.constant(dtype, neutral(f, dtype), wide);
                a.best = (0..count).map(|_| self.variable(start)).collect();
                if blocked && f == ScalarFn::Add && dtype == DType::F32 {
                    let totals = match (wide, self.folds_across()) {
                        (false, _) | (true, true) => 1,
                        (true, false) => 2 * count,
                    };
                    let zero =
                        if wide { self.lanes(64, true).fconst(0.0) } else { self.constant(DType::F64, 0.0, false) };
                    a.totals = (0..totals).map(|_| self.variable(zero)).collect();
                }
            }
            FoldKind::Position(extremum) => {
                let start = self.constant(dtype, worst(extremum, dtype), wide);
                a.best = (0..count).map(|_| self.variable(start)).collect();
                let (first, positions) = if wide {
                    let ty = self.position_type();
                    (self.iota(ty, 0, 0), self.vectors(ty.lane_bits()))
                } else {
                    (self.b.ins().iconst(types::I32, 0), 1)
                };
                a.positions = (0..positions).map(|_| self.variable(first)).collect();
            }
        }
        a
    }

    fn variable(&mut self, initial: Clif) -> Variable {
        let ty = self.b.func.dfg.value_type(initial);
        let variable = self.b.declare_var(ty);
        self.b.def_var(variable, initial);
        variable
    }

    fn uses(&mut self, variables: &[Variable]) -> Parts {
        variables.iter().map(|&v| self.b.use_var(v)).collect()
    }

    fn defines(&mut self, variables: &[Variable], values: &[Clif]) {
        variables.iter().zip(values).for_each(|(&variable, &v)| self.b.def_var(variable, v));
    }

    fn pair(&mut self, f: ScalarFn, dtype: DType, a: &[Clif], b: &[Clif], wide: bool) -> Parts {
        let part = |v: &[Clif]| v.iter().copied().collect::<Parts>();
        self.apply(f, &[(dtype, part(a)), (dtype, part(b))], wide)
    }

    /// Folds the values at the point that the counters are at, or at the points of the lanes.
    pub(super) fn fold(&mut self, p: usize) {
        let wide = self.width.is_wide();
        for (i, fold) in self.kernel.phases[p].folds.iter().enumerate() {
            let dtype = self.kernel.value(fold.value).dtype;
            let mut parts = self.parts(fold.value, wide);
            let start = match fold.kind {
                FoldKind::Combine(f, _) => neutral(f, dtype),
                FoldKind::Position(extremum) => worst(extremum, dtype),
            };
            if self.folds_across() && self.width.live < self.width.lanes {
                self.replace_dead(&mut parts, dtype, start);
            }
            let a = self.folds[p][i].clone();
            let so_far = self.uses(&a.best[..parts.len()]);
            match fold.kind {
                FoldKind::Combine(f, _) => {
                    let next = self.pair(f, dtype, &so_far, &parts, wide);
                    self.defines(&a.best, &next);
                }
                FoldKind::Position(extremum) => {
                    let here = self.here(wide);
                    let there = self.uses(&a.positions[..here.len()]);
                    let better = self.beats(extremum, dtype, &parts, &so_far, wide);
                    let best = self.selected(&better, dtype, &parts, &so_far, wide);
                    let positions = self.selected_positions(&better, &here, &there, wide);
                    self.defines(&a.best, &best);
                    self.defines(&a.positions, &positions);
                }
            }
        }
    }

    /// Sets the dead lanes to a number.
    fn replace_dead(&mut self, parts: &mut Parts, dtype: DType, v: f64) {
        let bits = self.bits(dtype, true);
        let live = self.width.live;
        for (p, part) in parts.iter_mut().enumerate() {
            if (p as u32 + 1) * (VECTOR_BITS / bits) > live {
                let mask = self.live_mask(bits, p, live);
                let neutral = self.constant(dtype, v, true);
                let is_float = dtype.is_float();
                let mut l = self.lanes(bits, true);
                *part = if is_float { l.fselect(mask, *part, neutral) } else { l.iselect(mask, *part, neutral) };
            }
        }
    }

    /// The position of the point in the inner loops, row-major.
    fn here(&mut self, wide: bool) -> Parts {
        let (rows, loops) = (self.kernel.rows, &self.kernel.loops);
        let mut flat = self.int(0);
        for (d, &extent) in loops.iter().enumerate().skip(rows).filter(|(_, n)| **n > 1) {
            let scaled = self.b.ins().imul_imm_s(flat, extent as i64);
            flat = self.b.ins().iadd(scaled, self.counters[d]);
        }
        let ty = self.position_type();
        if !wide || ty.lane_type() == types::I32 {
            flat = self.b.ins().ireduce(types::I32, flat);
        }
        if !wide {
            return Parts::from_elem(flat, 1);
        }
        let first = self.b.ins().splat(ty, flat);
        let step = i64::from(self.folds_across());
        (0..self.vectors(ty.lane_bits()))
            .map(|p| {
                let added = self.iota(ty, p, step);
                self.b.ins().iadd(first, added)
            })
            .collect()
    }

    /// Where `a` is more extreme than `b`. A NaN is the most extreme.
    fn beats(&mut self, extremum: Extremum, dtype: DType, a: &[Clif], b: &[Clif], wide: bool) -> Parts {
        let f = match extremum {
            Extremum::Max => ScalarFn::Gt,
            Extremum::Min => ScalarFn::Lt,
        };
        let better = self.pair(f, dtype, a, b, wide);
        if !dtype.is_float() {
            return better;
        }
        let (a_nan, b_nan) = (self.pair(ScalarFn::Ne, dtype, a, a, wide), self.pair(ScalarFn::Eq, dtype, b, b, wide));
        let better = self.pair(ScalarFn::Or, DType::Bool, &better, &a_nan, wide);
        self.pair(ScalarFn::And, DType::Bool, &better, &b_nan, wide)
    }

    fn selected(&mut self, masks: &[Clif], dtype: DType, a: &[Clif], b: &[Clif], wide: bool) -> Parts {
        let part = |v: &[Clif]| v.iter().copied().collect::<Parts>();
        self.apply(ScalarFn::Select, &[(DType::Bool, part(masks)), (dtype, part(a)), (dtype, part(b))], wide)
    }

    fn selected_positions(&mut self, masks: &[Clif], a: &[Clif], b: &[Clif], wide: bool) -> Parts {
        // Positions have lanes as wide as those of masks.
        let bits = if wide { self.bits(DType::Bool, true) } else { 32 };
        let mut l = self.lanes(bits, wide);
        masks.iter().zip(a).zip(b).map(|((&m, &a), &b)| l.iselect(m, a, b)).collect()
    }

    /// Puts the sums of a block by and begins a new block.
    pub(super) fn flush(&mut self, p: usize) {
        self.with_accumulators(|e| {
            let wide = e.width.is_wide();
            for i in 0..e.folds[p].len() {
                let a = e.folds[p][i].clone();
                if a.totals.is_empty() {
                    continue;
                }
                let sums = e.uses(&a.best);
                let doubles = e.doubles(&sums, wide);
                let totals = e.uses(&a.totals);
                let totals = e.pair(ScalarFn::Add, DType::F64, &totals, &doubles, wide);
                e.defines(&a.totals, &totals);
                let zero = e.constant(DType::F32, 0.0, wide);
                let zeros = Parts::from_elem(zero, a.best.len());
                e.defines(&a.best, &zeros);
            }
        });
    }

    /// Sums in double precision; of lanes that are combined in the end, one vector.
    fn doubles(&mut self, sums: &[Clif], wide: bool) -> Parts {
        if !wide {
            return self.cast(sums, DType::F32, DType::F64, false);
        }
        if !self.folds_across() {
            return self.cast(sums, DType::F32, DType::F64, true);
        }
        let sum = self.halved(ScalarFn::Add, DType::F32, sums);
        let doubles = self.cast(&[sum], DType::F32, DType::F64, true);
        self.pair(ScalarFn::Add, DType::F64, &doubles[..1], &doubles[1..], true)
    }

    /// Combines vectors by halves until there is one.
    fn halved(&mut self, f: ScalarFn, dtype: DType, vectors: &[Clif]) -> Clif {
        let mut vectors: Parts = vectors.iter().copied().collect();
        while vectors.len() > 1 {
            let next = vectors.chunks(2).map(|pair| match *pair {
                [a, b] => self.pair(f, dtype, &[a], &[b], true)[0],
                _ => pair[0],
            });
            vectors = next.collect();
        }
        vectors[0]
    }

    /// Combines scalars by halves until there is one.
    fn halved_scalars(&mut self, f: ScalarFn, dtype: DType, singles: &[Clif]) -> Clif {
        let mut singles: Parts = singles.iter().copied().collect();
        while singles.len() > 1 {
            let next = singles.chunks(2).map(|pair| match *pair {
                [a, b] => self.pair(f, dtype, &[a], &[b], false)[0],
                _ => pair[0],
            });
            singles = next.collect();
        }
        singles[0]
    }

    /// Combines what the accumulators hold into the results of the folds.
    pub(super) fn end_folds(&mut self, p: usize) {
        for (i, fold) in self.kernel.phases[p].folds.iter().enumerate() {
            let dtype = self.kernel.value(fold.value).dtype;
            let a = self.folds[p][i].clone();
            let across = self.folds_across();
            let result = self.with_accumulators(|e| match fold.kind {
                FoldKind::Combine(f, from) => e.end_fold(&a, f, f64::from_bits(from), dtype, across),
                FoldKind::Position(_) if !across => e.uses(&a.positions),
                FoldKind::Position(extremum) => Parts::from_elem(e.position_across(&a, extremum, dtype), 1),
            });
            self.folds[p][i].result = result;
        }
    }

    fn end_fold(&mut self, a: &Accumulators, f: ScalarFn, from: f64, dtype: DType, across: bool) -> Parts {
        let wide = self.width.is_wide();
        let mut parts = self.uses(&a.best);
        if !a.totals.is_empty() {
            let totals = self.uses(&a.totals);
            let doubles = self.doubles(&parts, wide);
            parts = self.pair(ScalarFn::Add, DType::F64, &totals, &doubles, wide);
            if across {
                let lanes = [0, 1].map(|l| self.b.ins().extractlane(parts[0], l));
                parts = self.pair(ScalarFn::Add, DType::F64, &lanes[..1], &lanes[1..], false);
            }
            parts = self.cast(&parts, DType::F64, DType::F32, wide && !across);
        } else if across {
            let vector = self.halved(f, dtype, &parts);
            let count = VECTOR_BITS / self.bits(dtype, true);
            let singles: Parts = (0..count).map(|l| self.element(&[vector], l, dtype)).collect();
            parts = Parts::from_elem(self.halved_scalars(f, dtype, &singles), 1);
        }
        if from == neutral(f, dtype) {
            return parts;
        }
        let from = self.constant(dtype, from, wide && !across);
        let from = Parts::from_elem(from, parts.len());
        self.pair(f, dtype, &from, &parts, wide && !across)
    }

    /// The position of the best of all lanes; of equal ones, the first.
    fn position_across(&mut self, a: &Accumulators, extremum: Extremum, dtype: DType) -> Clif {
        let (best, positions) = (self.uses(&a.best), self.uses(&a.positions));
        let ty = self.position_type();
        let count = VECTOR_BITS / ty.lane_bits();
        let mut winner: Option<(Clif, Clif)> = None;
        for l in 0..self.width.lanes {
            let v = self.element(&best, l, dtype);
            let at = self.b.ins().extractlane(positions[(l / count) as usize], (l % count) as u8);
            let at = if ty.lane_type() == types::I64 { self.b.ins().ireduce(types::I32, at) } else { at };
            winner = Some(match winner {
                None => (v, at),
                Some((w, w_at)) => {
                    let wins = self.beats(extremum, dtype, &[v], &[w], false);
                    let loses = self.beats(extremum, dtype, &[w], &[v], false);
                    let earlier = self.pair(ScalarFn::Lt, DType::I32, &[at], &[w_at], false);
                    let equal = self.apply(ScalarFn::Not, &[(DType::Bool, loses)], false);
                    let first = self.pair(ScalarFn::And, DType::Bool, &equal, &earlier, false);
                    let wins = self.pair(ScalarFn::Or, DType::Bool, &wins, &first, false);
                    let v = self.selected(&wins, dtype, &[v], &[w], false);
                    let at = self.selected_positions(&wins, &[at], &[w_at], false);
                    (v[0], at[0])
                }
            });
        }
        winner.expect("there are lanes").1
    }
}
