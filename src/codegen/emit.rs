//! The values of a kernel's body.
//!
//! A value is a few CLIF values, its parts: one if it is scalar, as many vectors as its lanes fill if it varies along the loop that is run by vectors.
//! Scalars are spread over vectors where they meet them.

use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value as Clif, types};
use cranelift_frontend::FunctionBuilder;
use smallvec::SmallVec;

use crate::graph::DType;
use crate::plan::kernel::{Affine, Inst, Kernel, ValueId};
use crate::scalar::{ScalarFn, Value as Lane};

use super::choose::{Dependencies, VECTOR_BITS, Vector};
use super::fold::Accumulators;
use super::lanes::{Calls, Clif as ClifLanes};
use super::loops::Width;

/// The CLIF values of a value.
pub(super) type Parts = SmallVec<[Clif; 4]>;

/// What was worked on before a scope was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    log: usize,
    width: Width,
}

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
    pub(super) slots: Vec<Clif>,
    dependencies: &'k Dependencies,
    values: Vec<Option<Parts>>,
    /// Values emitted since the beginning, so that those of a closed loop can be forgotten.
    log: Vec<ValueId>,
    /// The folds of each phase.
    pub(super) folds: Vec<Vec<Accumulators>>,
}

/// Memory accesses do not trap: the plan has been made for the slots.
pub(super) fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Bits of the lane in which a number is kept.
pub(super) fn lane_bits(dtype: DType) -> u32 {
    (dtype.size() as u32 * 8).max(32)
}

/// The type of one element in a register. What is narrower than a lane in memory is extended with zeros to one.
pub(super) fn scalar_type(dtype: DType) -> Type {
    match dtype {
        DType::Bool => types::I8,
        DType::U8 | DType::I32 | DType::U32 | DType::F16 | DType::BF16 => types::I32,
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

    /// A number for counters and addresses.
    pub(super) fn int(&mut self, v: i64) -> Clif {
        self.b.ins().iconst(types::I64, v)
    }

    /// The coefficients of an affine number with the counters that they multiply; those of loops of one turn left aside.
    pub(super) fn terms(&self, affine: &Affine) -> SmallVec<[(i64, Clif); 4]> {
        let all = affine.coefs.iter().zip(&self.counters).zip(&self.kernel.loops);
        all.filter(|((c, _), n)| **c != 0 && **n > 1).map(|((&c, &counter), _)| (c as i64, counter)).collect()
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

    /// Emits the values of all phases that depend on the first `d` loops and may be computed before their phase.
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

    /// True if a value varies along the loop that is run by vectors, and vectors are being worked on.
    pub(super) fn is_wide(&self, value: ValueId) -> bool {
        self.width.is_wide() && self.vector.is_some_and(|v| self.dependencies.varies(value, v.dim))
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
                self.cast(&arg, from, value.dtype, wide)
            }
            Inst::Map(f, args) => {
                let operands: SmallVec<[(DType, Parts); 3]> =
                    args.iter().map(|&a| (self.kernel.value(a).dtype, self.parts(a, wide))).collect();
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

    /// A value, spread over vectors if that is asked for.
    pub(super) fn parts(&mut self, id: ValueId, wide: bool) -> Parts {
        if !wide || self.is_wide(id) {
            return self.emitted(id);
        }
        let value = self.kernel.value(id);
        let single = match &value.inst {
            Inst::Const(bits) => self.constant(value.dtype, f64::from_bits(*bits), true),
            _ => {
                let scalar = self.emitted(id)[0];
                self.splat(scalar, value.dtype)
            }
        };
        Parts::from_elem(single, self.vectors(self.bits(value.dtype, true)))
    }

    /// Bits of the lanes in which a value of this type is kept.
    pub(super) fn bits(&self, dtype: DType, wide: bool) -> u32 {
        match (dtype, self.vector) {
            (DType::Bool, Some(v)) if wide => v.mask_bits,
            (DType::Bool, _) => 32,
            _ => lane_bits(dtype),
        }
    }

    /// How many vectors the lanes worked on fill.
    pub(super) fn vectors(&self, bits: u32) -> usize {
        (self.width.lanes * bits / VECTOR_BITS) as usize
    }

    /// The vector type of lanes of this type.
    pub(super) fn vector_type(&self, dtype: DType) -> Type {
        let bits = self.bits(dtype, true);
        let lane = match (dtype, bits) {
            (DType::Bool, 64) => types::I64,
            (DType::Bool, _) => types::I32,
            _ => scalar_type(dtype),
        };
        lane.by(VECTOR_BITS / bits).expect("128 bits of lanes are a vector type")
    }

    /// Lanes of this width to compute with: a vector or one number.
    pub(super) fn lanes(&mut self, bits: u32, wide: bool) -> ClifLanes<'_, 'f, 'm> {
        let count = if wide { VECTOR_BITS / bits } else { 1 };
        ClifLanes { b: &mut self.b, calls: self.calls, bits, count }
    }

    /// A scalar function of operands that are all wide or all scalar.
    pub(super) fn apply(&mut self, f: ScalarFn, operands: &[(DType, Parts)], wide: bool) -> Parts {
        // The condition of a select has lanes as wide as what it selects.
        let dtype = operands[operands.len() - 1].0;
        let bits = self.bits(dtype, wide);
        let mask_bits = self.bits(DType::Bool, wide);
        let operands: SmallVec<[(DType, Parts); 3]> = operands
            .iter()
            .map(|(dtype, parts)| match dtype {
                DType::Bool if wide => (*dtype, self.mask_lanes(parts, mask_bits, bits)),
                _ => (*dtype, parts.clone()),
            })
            .collect();
        let mut is_mask = false;
        let results: Parts = (0..operands[0].1.len())
            .map(|i| {
                let mut l = self.lanes(bits, wide);
                let args: SmallVec<[Lane<ClifLanes<'_, 'f, 'm>>; 3]> = operands
                    .iter()
                    .map(|(dtype, parts)| match dtype {
                        DType::F32 | DType::F64 => Lane::F(parts[i]),
                        DType::I32 | DType::I64 => Lane::I(parts[i]),
                        DType::U8 | DType::U32 => Lane::U(parts[i]),
                        DType::Bool => Lane::M(parts[i]),
                        DType::F16 | DType::BF16 => panic!("{} of {dtype}, which is for storage", f.name()),
                    })
                    .collect();
                match f.apply(&mut l, &args) {
                    Lane::U(v) if dtype == DType::U8 => l.wrap(v, u8::MAX.into()),
                    Lane::F(v) | Lane::I(v) | Lane::U(v) => v,
                    Lane::M(v) => {
                        is_mask = true;
                        v
                    }
                }
            })
            .collect();
        if wide && is_mask { self.mask_lanes(&results, bits, mask_bits) } else { results }
    }
}
