//! Constants, counters, conversions between types, and between scalars and vectors.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{ConstantData, InstBuilder, Type, Value as Clif, types};

use crate::graph::DType;
use crate::plan::kernel::Affine;
use crate::scalar::{Lanes, math};

use super::choose::VECTOR_BITS;
use super::emit::{Emitter, Parts, lane_bits, scalar_type};
use super::lanes::REINTERPRET;

impl Emitter<'_, '_, '_> {
    /// A number, in every lane if it is to be wide.
    pub(super) fn constant(&mut self, dtype: DType, v: f64, wide: bool) -> Clif {
        let bits = self.bits(dtype, wide);
        let mut l = self.lanes(bits, wide);
        match dtype {
            DType::F32 | DType::F64 => l.fconst(v),
            DType::U8 => l.iconst((v as u8).into()),
            DType::I32 => l.iconst(i64::from(v as i32)),
            DType::U32 => l.iconst((v as u32).into()),
            DType::I64 => l.iconst(v as i64),
            DType::Bool => l.mconst(v != 0.0),
            DType::F16 => l.iconst(math::half::f16_of(v as f32).to_bits().into()),
            DType::BF16 => l.iconst(math::half::bf16_of(v as f32).to_bits().into()),
        }
    }

    /// A vector of these lanes.
    fn vector_constant(&mut self, ty: Type, lanes: impl Iterator<Item = u64>) -> Clif {
        let size = ty.lane_type().bytes() as usize;
        let mut bytes = Vec::with_capacity(16);
        lanes.for_each(|l| bytes.extend_from_slice(&l.to_le_bytes()[..size]));
        let handle = self.b.func.dfg.constants.insert(ConstantData::from(bytes));
        self.b.ins().vconst(ty, handle)
    }

    /// 0, 1, 2 and so on times `step`, in integer lanes of vector number `p` of several.
    pub(super) fn iota(&mut self, ty: Type, p: usize, step: i64) -> Clif {
        let count = u64::from(ty.lane_count());
        let first = p as u64 * count;
        self.vector_constant(ty, (first..first + count).map(|l| (l as i64).wrapping_mul(step) as u64))
    }

    /// A mask of the lanes of vector number `p` that are below `live`.
    pub(super) fn live_mask(&mut self, bits: u32, p: usize, live: u32) -> Clif {
        let lane = if bits == 64 { types::I64 } else { types::I32 };
        let count = VECTOR_BITS / bits;
        let first = p as u32 * count;
        let ty = lane.by(count).expect("128 bits of lanes are a vector type");
        self.vector_constant(ty, (first..first + count).map(|l| if l < live { u64::MAX } else { 0 }))
    }

    /// A scalar in every lane.
    pub(super) fn splat(&mut self, v: Clif, dtype: DType) -> Clif {
        let ty = self.vector_type(dtype);
        let lane = self.as_lane(v, dtype);
        self.b.ins().splat(ty, lane)
    }

    /// A scalar as one lane: truth values are bytes of 0 or 1 by themselves, and all zeros or all ones in a lane.
    fn as_lane(&mut self, v: Clif, dtype: DType) -> Clif {
        if dtype != DType::Bool {
            return v;
        }
        let lane = self.vector_type(dtype).lane_type();
        let wide = self.b.ins().uextend(lane, v);
        self.b.ins().ineg(wide)
    }

    /// Scalars as the first lanes of a vector; the others are 0.
    pub(super) fn join(&mut self, singles: &[Clif], dtype: DType) -> Clif {
        let ty = self.vector_type(dtype);
        let mut vector = None;
        for (l, &single) in singles.iter().enumerate() {
            let lane = self.as_lane(single, dtype);
            vector = Some(match vector {
                None => self.b.ins().scalar_to_vector(ty, lane),
                Some(v) => self.b.ins().insertlane(v, lane, l as u8),
            });
        }
        vector.expect("a vector has lanes")
    }

    /// Element number `at` of those worked on.
    pub(super) fn element(&mut self, parts: &[Clif], at: u32, dtype: DType) -> Clif {
        let count = VECTOR_BITS / self.bits(dtype, true);
        let single = self.b.ins().extractlane(parts[(at / count) as usize], (at % count) as u8);
        if dtype == DType::Bool {
            let byte = self.b.ins().ireduce(types::I8, single);
            return self.b.ins().band_imm_u(byte, 1);
        }
        single
    }

    /// Masks with lanes of other width.
    pub(super) fn mask_lanes(&mut self, parts: &[Clif], from: u32, to: u32) -> Parts {
        match (from, to) {
            (32, 64) => parts.iter().flat_map(|&p| [self.b.ins().swiden_low(p), self.b.ins().swiden_high(p)]).collect(),
            (64, 32) => parts.chunks(2).map(|pair| self.low_words(pair[0], pair[1])).collect(),
            _ => parts.iter().copied().collect(),
        }
    }

    /// The low words of the lanes of two vectors of 64-bit lanes.
    fn low_words(&mut self, a: Clif, b: Clif) -> Clif {
        let bytes = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27];
        self.shuffled(a, b, bytes, types::I32X4)
    }

    /// The upper half of a vector in the lower half of another.
    fn upper(&mut self, v: Clif) -> Clif {
        let ty = self.b.func.dfg.value_type(v);
        self.shuffled(v, v, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15], ty)
    }

    /// The bytes of two vectors at these places.
    fn shuffled(&mut self, a: Clif, b: Clif, bytes: [u8; 16], ty: Type) -> Clif {
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(&bytes[..]));
        let a = self.b.ins().bitcast(types::I8X16, REINTERPRET, a);
        let b = self.b.ins().bitcast(types::I8X16, REINTERPRET, b);
        let v = self.b.ins().shuffle(a, b, mask);
        self.b.ins().bitcast(ty, REINTERPRET, v)
    }

    /// Conversion to another type, of vectors or of a scalar.
    pub(super) fn cast(&mut self, parts: &[Clif], from: DType, to: DType, wide: bool) -> Parts {
        if from == to {
            return parts.iter().copied().collect();
        }
        if from.is_half() {
            let mut l = self.lanes(32, wide);
            let singles: Parts = parts.iter().map(|&v| math::half::widen(&mut l, v, from)).collect();
            return self.cast(&singles, DType::F32, to, wide);
        }
        if to.is_half() {
            let singles = self.cast(parts, from, DType::F32, wide);
            let mut l = self.lanes(32, wide);
            return singles.into_iter().map(|v| math::half::narrow(&mut l, v, to)).collect();
        }
        if !wide {
            return Parts::from_elem(self.cast_scalar(parts[0], from, to), 1);
        }
        let mask_bits = self.bits(DType::Bool, true);
        match (from, to) {
            (DType::F32, DType::F64) => parts
                .iter()
                .flat_map(|&v| {
                    let upper = self.upper(v);
                    [self.b.ins().fvpromote_low(v), self.b.ins().fvpromote_low(upper)]
                })
                .collect(),
            (DType::F64, DType::F32) => parts
                .chunks(2)
                .map(|pair| {
                    let (a, b) = (self.b.ins().fvdemote(pair[0]), self.b.ins().fvdemote(pair[1]));
                    let halves = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
                    self.shuffled(a, b, halves, types::F32X4)
                })
                .collect(),
            (DType::I32, DType::I64) => self.mask_lanes(parts, 32, 64),
            (DType::U8 | DType::U32, DType::I64) => {
                parts.iter().flat_map(|&p| [self.b.ins().uwiden_low(p), self.b.ins().uwiden_high(p)]).collect()
            }
            (DType::I64, DType::U8 | DType::I32 | DType::U32) => {
                let low = self.mask_lanes(parts, 64, 32);
                self.cast(&low, DType::I32, to, true)
            }
            (_, DType::U8) if from.is_int() => {
                let mut l = self.lanes(32, true);
                parts.iter().map(|&v| l.wrap(v, u8::MAX.into())).collect()
            }
            (DType::U8, DType::I32 | DType::U32) | (DType::I32, DType::U32) | (DType::U32, DType::I32) => {
                parts.iter().copied().collect()
            }
            (DType::U8 | DType::I32, DType::F64) => parts
                .iter()
                .flat_map(|&v| {
                    let upper = self.upper(v);
                    [v, upper].map(|v| {
                        let long = self.b.ins().swiden_low(v);
                        self.b.ins().fcvt_from_sint(types::F64X2, long)
                    })
                })
                .collect(),
            (DType::U32, DType::F64) => parts
                .iter()
                .flat_map(|&v| {
                    let upper = self.upper(v);
                    [v, upper].map(|v| {
                        let long = self.b.ins().uwiden_low(v);
                        self.b.ins().fcvt_from_uint(types::F64X2, long)
                    })
                })
                .collect(),
            (DType::U32, DType::F32) => parts.iter().map(|&v| self.b.ins().fcvt_from_uint(types::F32X4, v)).collect(),
            (DType::F32, DType::U32) => parts.iter().map(|&v| self.b.ins().fcvt_to_uint_sat(types::I32X4, v)).collect(),
            (DType::F32, DType::U8) => {
                let mut l = self.lanes(32, true);
                parts.iter().map(|&v| l.f_to_u8(v)).collect()
            }
            (DType::Bool, _) => {
                let bits = self.bits(to, true);
                let masks = self.mask_lanes(parts, mask_bits, bits);
                let (one, zero) = (self.constant(to, 1.0, true), self.constant(to, 0.0, true));
                let mut l = self.lanes(bits, true);
                let is_float = to.is_float();
                let select = |m| if is_float { l.fselect(m, one, zero) } else { l.iselect(m, one, zero) };
                masks.into_iter().map(select).collect()
            }
            (_, DType::Bool) => {
                let bits = self.bits(from, true);
                let zero = self.constant(from, 0.0, true);
                let mut l = self.lanes(bits, true);
                let truth = |&v: &Clif| {
                    if from.is_float() {
                        l.fne(v, zero)
                    } else {
                        let same = l.ieq(v, zero);
                        l.mnot(same)
                    }
                };
                let masks: Parts = parts.iter().map(truth).collect();
                self.mask_lanes(&masks, bits, mask_bits)
            }
            (DType::F32, DType::I32) | (DType::F64, DType::I64) => {
                let mut l = self.lanes(self.bits(from, true), true);
                parts.iter().map(|&v| l.f_to_i(v)).collect()
            }
            (DType::U8 | DType::I32, DType::F32) | (DType::I64, DType::F64) => {
                let mut l = self.lanes(self.bits(from, true), true);
                parts.iter().map(|&v| l.i_to_f(v)).collect()
            }
            // Lane by lane, for want of instructions.
            _ => {
                let singles: Vec<Clif> = (0..self.width.lanes)
                    .map(|l| {
                        let single = self.element(parts, l, from);
                        self.cast_scalar(single, from, to)
                    })
                    .collect();
                self.joined(&singles, to)
            }
        }
    }

    /// One scalar for each lane worked on, as vectors. Lanes without one are 0.
    pub(super) fn joined(&mut self, singles: &[Clif], dtype: DType) -> Parts {
        let bits = self.bits(dtype, true);
        let mut parts: Parts =
            singles.chunks((VECTOR_BITS / bits) as usize).map(|some| self.join(some, dtype)).collect();
        while parts.len() < self.vectors(bits) {
            parts.push(self.constant(dtype, 0.0, true));
        }
        parts
    }

    fn cast_scalar(&mut self, v: Clif, from: DType, to: DType) -> Clif {
        let ty = scalar_type(to);
        if to == DType::U8 && from != DType::Bool {
            return match from {
                DType::F32 | DType::F64 => self.lanes(lane_bits(from), false).f_to_u8(v),
                _ => {
                    let low = self.cast_scalar(v, from, DType::U32);
                    self.lanes(32, false).wrap(low, u8::MAX.into())
                }
            };
        }
        let ins = self.b.ins();
        match (from, to) {
            _ if from == to => v,
            (DType::Bool, _) if to.is_int() => ins.uextend(ty, v),
            (DType::Bool, DType::F32 | DType::F64) => {
                let int = ins.uextend(types::I32, v);
                self.b.ins().fcvt_from_sint(ty, int)
            }
            (_, DType::Bool) if from.is_int() => ins.icmp_imm_s(IntCC::NotEqual, v, 0),
            (DType::F32 | DType::F64, DType::Bool) => {
                let zero = self.constant(from, 0.0, false);
                self.lanes(self.bits(from, false), false).fne(v, zero)
            }
            (DType::I32, DType::I64) => ins.sextend(ty, v),
            (DType::U8 | DType::U32, DType::I64) => ins.uextend(ty, v),
            (DType::I64, DType::I32 | DType::U32) => ins.ireduce(ty, v),
            (DType::U32, DType::F32 | DType::F64) => ins.fcvt_from_uint(ty, v),
            (DType::U8 | DType::I32 | DType::I64, DType::F32 | DType::F64) => ins.fcvt_from_sint(ty, v),
            (DType::F32 | DType::F64, DType::U32) => ins.fcvt_to_uint_sat(ty, v),
            (DType::F32 | DType::F64, DType::I32 | DType::I64) => ins.fcvt_to_sint_sat(ty, v),
            (DType::F32, DType::F64) => ins.fpromote(ty, v),
            (DType::F64, DType::F32) => ins.fdemote(ty, v),
            // Integers of 32 bits.
            _ => v,
        }
    }

    /// A choice or a counter as an `i64`.
    pub(super) fn as_i64(&mut self, v: Clif, from: DType) -> Clif {
        self.cast_scalar(v, from, DType::I64)
    }

    /// A linear function of the counters, as a number.
    pub(super) fn counter(&mut self, affine: &Affine, dtype: DType, wide: bool) -> Parts {
        let mut base = self.int(affine.offset as i64);
        for (coef, counter) in self.terms(affine) {
            let term = self.b.ins().imul_imm_s(counter, coef);
            base = self.b.ins().iadd(base, term);
        }
        if !wide {
            return Parts::from_elem(self.cast_scalar(base, DType::I64, dtype), 1);
        }
        let step = self.vector.map_or(0, |v| affine.coefs[v.dim]) as i64;
        // Integers that wrap as the result does, or that hold all numbers there are.
        let lane = match dtype {
            DType::I32 | DType::I64 => dtype,
            _ if self.fits_i32(affine) && self.bits(DType::Bool, true) == 32 => DType::I32,
            _ => DType::I64,
        };
        let ty = self.vector_type(lane);
        let base = self.cast_scalar(base, DType::I64, lane);
        let first = self.b.ins().splat(ty, base);
        let ints: Parts = (0..self.vectors(self.bits(lane, true)))
            .map(|p| {
                let added = self.iota(ty, p, step);
                self.b.ins().iadd(first, added)
            })
            .collect();
        self.cast(&ints, lane, dtype, true)
    }

    /// True if all numbers of an affine number are `i32`.
    fn fits_i32(&self, affine: &Affine) -> bool {
        let span = |sign: i128| -> i128 {
            let terms = affine.coefs.iter().zip(&self.kernel.loops);
            // Dead lanes run beyond the extent.
            terms.map(|(&c, &n)| (c as i128 * sign).max(0) * (n as i128 + 16)).sum()
        };
        let offset = affine.offset as i128;
        offset + span(1) <= i32::MAX.into() && offset - span(-1) >= i32::MIN.into()
    }
}
