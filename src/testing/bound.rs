//! How far two correct engines may differ.
//!
//! Engines add in different orders, fuse multiplications with additions and rewrite expressions, so their floats differ by roundings, and an operation
//! with a jump (a comparison, `floor`, a conversion to an integer, the place of a maximum) may turn a rounding into another answer. [`evaluate`] carries
//! a bound for each element through one operation:
//!
//! - what the operation rounds by itself: nothing where every partial result is exactly representable in any order (small integers and halves), which
//!   [`Op::eval`] in double precision and the grid of the operands' values tell; else some units in the last place of the terms that are added;
//! - what it makes of its operands' bounds: the largest change among evaluations with all operands moved by their bounds, with equal signs, opposite
//!   signs and random ones.
//!
//! It knows nothing of scalar functions but which are exact, so a new one is handled (as rounding). A result that jumps is refused: an ill-conditioned
//! node is no basis for a comparison.

use crate::array::Array;
use crate::graph::{DType, TensorType};
use crate::prim::{Cast, Combine, Op, Primitive, Reduction};
use crate::scalar::{Cost, ScalarFn, Signature};

use super::draw::array_of;

/// A value and how far, at each element, a correct engine's may be from it.
#[derive(Clone, Debug)]
pub struct Bounded {
    /// The reference value.
    pub value: Array,
    /// The distances; all 0 for values that every engine must find exactly.
    pub error: Vec<f64>,
}

impl Bounded {
    /// A value that every engine is given or must find exactly.
    pub fn exact(value: Array) -> Bounded {
        let error = vec![0.0; value.shape().numel()];
        Bounded { value, error }
    }

    /// True if every engine must find exactly this.
    pub fn is_exact(&self) -> bool {
        self.error.iter().all(|&e| e == 0.0)
    }
}

/// Why a node is no basis for a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllConditioned {
    /// A small change of the operands changes an integer or truth value, or a float beyond proportion.
    #[error("a rounding of the operands makes another result")]
    Jump,
    /// Finite operands give an infinity or a NaN, or numbers so large or small that another order of evaluation would.
    #[error("the result leaves the numbers")]
    NotFinite,
    /// The result depends on the sign of a zero.
    #[error("the result depends on the sign of a zero")]
    ZeroSign,
}

/// Which results are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// Those that are infinite or NaN although the operands are not.
    Refuse,
    /// Only those that are ill-conditioned.
    Accept,
}

/// The largest bound, as a share of the element's magnitude or of 1, of a well-conditioned result.
const TOO_FAR: f64 = 1e-3;

/// The patterns by which operands are moved at random: so many that terms of a short sum seldom cancel in all of them.
const COINS: std::ops::Range<u32> = 4..10;

/// Evaluates one operation on bounded operands. `repeated` says that both operands of a two-operand operation are the same node.
///
/// # Errors
/// If the result is ill-conditioned.
///
/// # Panics
/// If the operands do not fit, or the operation is an input or parameter.
pub fn evaluate(
    op: &Op,
    operands: &[&Bounded],
    ty: &TensorType,
    repeated: bool,
    specials: Specials,
) -> Result<Bounded, IllConditioned> {
    if let Op::Loop(l) = op {
        return super::loops::evaluate(l, operands, specials);
    }
    let values: Vec<&Array> = operands.iter().map(|o| &o.value).collect();
    let value = op.eval(&values, ty);
    if !ty.dtype.is_float() && operands.iter().all(|o| o.is_exact()) {
        return Ok(Bounded::exact(value));
    }
    check_range(op, &values, &value, specials)?;

    if let Op::Cast(cast) = op
        && cast.dtype.is_half()
    {
        return rounded_to_half(cast.dtype, operands[0], value);
    }
    let shadow_ty = shadow_type(ty);
    let shadow_op = shadow_op(op);
    let shadows: Vec<Array> = values.iter().map(|v| shadow(v)).collect();
    let refs: Vec<&Array> = shadows.iter().collect();
    let base = shadow_op.eval(&refs, &shadow_ty);
    check_zero_signs(&shadow_op, &shadows, &base, &shadow_ty)?;

    let change = change(&shadow_op, operands, &shadows, &base, &shadow_ty, repeated)?;
    if !ty.dtype.is_float() {
        // The reference in single precision must have found what double precision finds.
        let same = (0..value.shape().numel()).all(|i| value.get_f64(i) == base.get_f64(i));
        return if same { Ok(Bounded::exact(value)) } else { Err(IllConditioned::Jump) };
    }
    let rounding = rounding(op, operands, ty, repeated);
    let mut error = vec![0.0; change.len()];
    for (i, error) in error.iter_mut().enumerate() {
        let (v, b) = (value.get_f64(i), base.get_f64(i));
        if v.is_nan() && b.is_nan() || v == b && !v.is_finite() {
            continue;
        }
        if !(v - b).is_finite() {
            return Err(IllConditioned::NotFinite);
        }
        let own = match &rounding {
            Rounding::None => 0.0,
            Rounding::OfResult(share) => share * v.abs() + smallest(ty.dtype),
            Rounding::OfTerms(terms, share) => share * terms.get_f64(i).abs() + smallest(ty.dtype),
        };
        *error = change[i] + own + 2.0 * (v - b).abs();
        if *error > TOO_FAR * v.abs().max(1.0) {
            return Err(IllConditioned::Jump);
        }
    }
    Ok(Bounded { value, error })
}

/// A number of few digits, `value`, to which all that `operand` may be is rounded: it is exact, or the operand lies too near to where rounding jumps.
fn rounded_to_half(half: DType, operand: &Bounded, value: Array) -> Result<Bounded, IllConditioned> {
    let ty = TensorType::new(DType::F64, value.shape().clone());
    let wide = operand.value.to_f64_vec();
    for sign in [-1.0, 1.0] {
        let moved: Vec<f64> = wide.iter().zip(&operand.error).map(|(v, e)| v + sign * 2.0 * e).collect();
        let rounded = Cast { dtype: half }.eval(&[&array_of(&ty, &moved)], &ty.with_dtype(half));
        // Which sign a zero has is left open too.
        let same = |i: usize| {
            let (a, b) = (rounded.get_f64(i), value.get_f64(i));
            a == b && (a != 0.0 || operand.error[i] == 0.0) || a.is_nan() && b.is_nan()
        };
        if !(0..wide.len()).all(same) {
            return Err(IllConditioned::Jump);
        }
    }
    Ok(Bounded::exact(value))
}

/// What an operation rounds by itself.
enum Rounding {
    None,
    /// This share of the result's magnitude.
    OfResult(f64),
    /// This share of the sum of the terms' magnitudes, which are the elements of the array.
    OfTerms(Array, f64),
}

fn rounding(op: &Op, operands: &[&Bounded], ty: &TensorType, repeated: bool) -> Rounding {
    let unit = epsilon(ty.dtype);
    let exact = operands.iter().all(|o| o.is_exact());
    let grids: Vec<Grid> = operands.iter().map(|o| Grid::of(&o.value)).collect();
    let digits = if ty.dtype == DType::F32 { 23 } else { 52 };
    // True if no partial result needs more digits than the type has.
    let fits = |magnitude: f64, exponent: i32| exact && magnitude < 2f64.powi((digits + exponent).clamp(-1000, 1000));
    let magnitudes = |op: &Op| {
        let absolute: Vec<Array> = operands.iter().map(|o| absolute(&o.value)).collect();
        op.eval(&absolute.iter().collect::<Vec<_>>(), &shadow_type(ty))
    };
    // The error of a sum of n terms in any order grows about as the square root of n.
    let of_sum = |terms: Array, count: usize, exponent: i32| {
        if fits(largest(&terms), exponent) {
            Rounding::None
        } else {
            Rounding::OfTerms(terms, unit * (4.0 + 2.0 * (count as f64).sqrt()))
        }
    };
    match op {
        Op::Input(_) | Op::Param(_) | Op::Const(_) | Op::Iota(_) => Rounding::None,
        Op::Broadcast(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Concat(_)
        | Op::Window(_) => Rounding::None,
        Op::Gather(_) | Op::ArgReduce(_) | Op::Barrier(_) | Op::Custom(_) => Rounding::None,
        // All engines run the one function.
        Op::Argsort(_) | Op::Cumulative(_) | Op::Recurrence(_) => Rounding::None,
        Op::Cholesky(_) | Op::Lu(_) | Op::TriangularSolve(_) => Rounding::None,
        Op::Cast(_) if operands[0].value.dtype() == DType::F64 || !operands[0].value.dtype().is_float() => {
            if fits(grids[0].largest, grids[0].exponent) { Rounding::None } else { Rounding::OfResult(unit) }
        }
        Op::Cast(_) => Rounding::None,
        Op::Map(map) => match map.f {
            ScalarFn::Sub if repeated => Rounding::None,
            ScalarFn::Add | ScalarFn::Sub | ScalarFn::Rem | ScalarFn::Mod => {
                let terms = magnitudes(&Op::Map(crate::prim::Map { f: ScalarFn::Add }));
                of_sum(terms, 2, grids[0].exponent.min(grids[1].exponent))
            }
            ScalarFn::Mul if fits(grids[0].largest * grids[1].largest, grids[0].exponent + grids[1].exponent) => {
                Rounding::None
            }
            ScalarFn::Neg | ScalarFn::Abs | ScalarFn::Sign | ScalarFn::Max | ScalarFn::Min | ScalarFn::StopGradient => {
                Rounding::None
            }
            f => match (f.record().signature, f.record().cost) {
                (Signature::Select, _) | (Signature::Float, Cost::Cheap) => Rounding::None,
                (_, Cost::Cheap) => Rounding::OfResult(2.0 * unit),
                (_, Cost::Dear) => Rounding::OfResult(8.0 * unit),
            },
        },
        Op::Reduce(reduce) => {
            let count = operands[0].value.shape().numel() / ty.shape.numel().max(1);
            match reduce.reduction {
                Reduction::Sum => of_sum(magnitudes(op), count, grids[0].exponent),
                Reduction::Prod => {
                    let magnitude = grids[0].largest.max(1.0).powi(count as i32);
                    if fits(magnitude, grids[0].exponent.min(0).saturating_mul(count as i32)) {
                        Rounding::None
                    } else {
                        Rounding::OfResult(2.0 * unit * count as f64)
                    }
                }
                Reduction::Max | Reduction::Min => Rounding::None,
            }
        }
        Op::Dot(dot) => {
            let shape = operands[0].value.shape();
            let count = dot.lhs_contract.iter().map(|&a| shape[a]).product();
            of_sum(magnitudes(op), count, grids[0].exponent + grids[1].exponent)
        }
        Op::Unwindow(unwindow) => {
            let count = unwindow.windows.sizes.iter().product();
            of_sum(magnitudes(op), count, grids[0].exponent)
        }
        Op::Loop(_) => panic!("loops are evaluated operation by operation"),
        Op::Scatter(scatter) => match scatter.combine {
            Combine::Set | Combine::Max | Combine::Min => Rounding::None,
            Combine::Mul => {
                let factors = operands[1].value.shape().numel() as f64;
                Rounding::OfResult(unit * (1.0 + factors))
            }
            Combine::Add => {
                let absolute = [absolute(&operands[0].value), operands[1].value.clone(), absolute(&operands[2].value)];
                let terms = op.eval(&absolute.iter().collect::<Vec<_>>(), &shadow_type(ty));
                of_sum(terms, operands[1].value.shape().numel(), grids[0].exponent.min(grids[2].exponent))
            }
        },
    }
}

/// The largest change of each element when the operands move by their bounds.
fn change(
    op: &Op,
    operands: &[&Bounded],
    shadows: &[Array],
    base: &Array,
    ty: &TensorType,
    repeated: bool,
) -> Result<Vec<f64>, IllConditioned> {
    let mut change = vec![0.0f64; base.shape().numel()];
    if operands.iter().all(|o| o.is_exact()) {
        return Ok(change);
    }
    // Moves are larger than the bounds, by less for single precision: its bounds are large enough to be seen beside the values.
    let single = operands.iter().any(|o| o.value.dtype() == DType::F32);
    let factor = if single { 4.0 } else { 65536.0 };
    let elements = operands.iter().map(|o| o.error.len()).max().unwrap_or(0);
    check_points(op, operands, shadows, factor)?;
    // The place of an extreme hangs on each pair of elements: two places differ in a bit.
    let places = if matches!(op, Op::ArgReduce(_) | Op::Argsort(_)) { elements.max(1).ilog2() + 1 } else { 0 };
    for pattern in 0..COINS.end + 2 * places {
        let up = |operand: u64, element: u64| match pattern {
            0 => true,
            1 => false,
            2 | 3 => (operand + u64::from(pattern)).is_multiple_of(2),
            _ if COINS.contains(&pattern) => coin(pattern.into(), operand, element),
            _ => (element >> ((pattern - COINS.end) / 2)) % 2 == u64::from(pattern % 2),
        };
        let moved: Vec<Array> = shadows
            .iter()
            .zip(operands)
            .enumerate()
            .map(|(k, (shadow, operand))| {
                let k = if repeated { 0 } else { k as u64 };
                moved(shadow, &operand.error, factor, |i| up(k, i as u64))
            })
            .collect();
        let result = op.eval(&moved.iter().collect::<Vec<_>>(), ty);
        for (i, change) in change.iter_mut().enumerate() {
            let (a, b) = (base.get_f64(i), result.get_f64(i));
            if a == b || a.is_nan() && b.is_nan() {
                continue;
            }
            // A jump counts as it is, not as a share of the move.
            let near = (a - b).abs() <= 4.0 * TOO_FAR * a.abs().max(1.0);
            if !ty.dtype.is_float() || !near {
                return Err(IllConditioned::Jump);
            }
            *change = change.max((a - b).abs() / factor);
        }
    }
    // The patterns are few; the worst case of a long sum is not among them.
    change.iter_mut().for_each(|c| *c *= 1.5);
    Ok(change)
}

/// Refuses operands that may lie on a point at which the operation jumps, and that moves up and down would step over.
fn check_points(op: &Op, operands: &[&Bounded], shadows: &[Array], factor: f64) -> Result<(), IllConditioned> {
    let apart = |i: usize| match op {
        // Zero is false and no divisor.
        Op::Cast(_) => Some((shadows[0].get_f64(i), operands[0].error[i])),
        Op::Map(m) if matches!(m.f, ScalarFn::Rem | ScalarFn::Mod | ScalarFn::Div) => {
            Some((shadows[1].get_f64(i), operands[1].error[i]))
        }
        Op::Map(m) if matches!(m.f, ScalarFn::Eq | ScalarFn::Ne) => {
            let error = operands[0].error[i] + operands[1].error[i];
            Some((shadows[0].get_f64(i) - shadows[1].get_f64(i), error))
        }
        _ => None,
    };
    let jumps = |i: usize| apart(i).is_some_and(|(distance, error)| error != 0.0 && distance.abs() <= factor * error);
    let to_number = matches!(op, Op::Cast(c) if c.dtype != DType::Bool);
    let count = operands.first().map_or(0, |o| o.error.len());
    if !to_number && (0..count).any(jumps) { Err(IllConditioned::Jump) } else { Ok(()) }
}

/// `array` with its floats moved up or down by `factor` times their bounds; what is not finite stays.
fn moved(array: &Array, error: &[f64], factor: f64, up: impl Fn(usize) -> bool) -> Array {
    let mut array = array.clone();
    if let Ok(x) = array.as_mut_slice::<f64>() {
        for (i, x) in x.iter_mut().enumerate() {
            if x.is_finite() && error[i] != 0.0 {
                *x += if up(i) { factor * error[i] } else { -factor * error[i] };
            }
        }
    }
    array
}

/// Refuses what leaves the numbers.
fn check_range(op: &Op, operands: &[&Array], value: &Array, specials: Specials) -> Result<(), IllConditioned> {
    if !value.dtype().is_float() {
        return Ok(());
    }
    let limit = if value.dtype() == DType::F32 { 1e12 } else { 1e100 };
    let numbers = value.to_f64_vec();
    if numbers.iter().any(|v| v.is_finite() && v.abs() > limit) {
        return Err(IllConditioned::NotFinite);
    }
    let finite = |a: &&Array| a.to_f64_vec().iter().all(|v| v.is_finite());
    let chooses = matches!(op, Op::Gather(_) | Op::Pad(_));
    if specials == Specials::Refuse && !chooses && numbers.iter().any(|v| !v.is_finite()) && operands.iter().all(finite)
    {
        return Err(IllConditioned::NotFinite);
    }
    // Which sign a NaN has is left open.
    let takes_sign = matches!(op, Op::Map(map) if map.f == ScalarFn::Copysign);
    if takes_sign && operands[1].to_f64_vec().iter().any(|v| v.is_nan()) {
        return Err(IllConditioned::NotFinite);
    }
    // A product's partial results must stay in range in any order.
    if matches!(op, Op::Reduce(r) if r.reduction == Reduction::Prod) {
        let (mut up, mut down) = (1.0f64, 1.0f64);
        for v in operands[0].to_f64_vec().into_iter().map(f64::abs).filter(|&v| v != 0.0 && v.is_finite()) {
            (up, down) = (up * v.max(1.0), down * v.min(1.0));
        }
        if up > 1e30 || down < 1e-30 {
            return Err(IllConditioned::NotFinite);
        }
    }
    Ok(())
}

/// Refuses results, infinite ones most likely, that change with the sign of a zero operand: rewrites may lose it.
fn check_zero_signs(op: &Op, shadows: &[Array], base: &Array, ty: &TensorType) -> Result<(), IllConditioned> {
    if base.to_f64_vec().iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    let turned: Vec<Array> = shadows
        .iter()
        .map(|shadow| {
            let mut shadow = shadow.clone();
            if let Ok(x) = shadow.as_mut_slice::<f64>() {
                x.iter_mut().filter(|x| **x == 0.0).for_each(|x| *x = -*x);
            }
            shadow
        })
        .collect();
    let result = op.eval(&turned.iter().collect::<Vec<_>>(), ty);
    let same = |i: usize| {
        let (a, b) = (base.get_f64(i), result.get_f64(i));
        a == b || a.is_nan() && b.is_nan()
    };
    if (0..base.shape().numel()).all(same) { Ok(()) } else { Err(IllConditioned::ZeroSign) }
}

/// The values' common grid: all are multiples of `2^exponent`.
struct Grid {
    exponent: i32,
    largest: f64,
}

impl Grid {
    fn of(array: &Array) -> Grid {
        let mut grid = Grid { exponent: 0, largest: 0.0 };
        for v in array.to_f64_vec().into_iter().filter(|v| v.is_finite() && *v != 0.0) {
            let bits = v.to_bits();
            let exponent = (bits >> 52 & 0x7ff) as i32 - 1075;
            let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
            grid.exponent = grid.exponent.min(exponent + mantissa.trailing_zeros() as i32);
            grid.largest = grid.largest.max(v.abs());
        }
        grid
    }
}

/// Distance from 1 to the next number.
fn epsilon(dtype: DType) -> f64 {
    if dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON }
}

/// What may be lost to subnormal numbers.
fn smallest(dtype: DType) -> f64 {
    if dtype == DType::F32 { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE }
}

fn largest(array: &Array) -> f64 {
    array.to_f64_vec().into_iter().filter(|v| v.is_finite()).fold(0.0, f64::max)
}

/// A fair coin for one element of one operand.
fn coin(pattern: u64, operand: u64, element: u64) -> bool {
    // The finalizer of SplitMix64.
    let mut z = pattern << 60 ^ operand << 50 ^ element;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ z >> 31) & 1 == 0
}

fn shadow_type(ty: &TensorType) -> TensorType {
    if ty.dtype.is_float() { ty.with_dtype(DType::F64) } else { ty.clone() }
}

/// The operation with single precision replaced by double.
fn shadow_op(op: &Op) -> Op {
    match op {
        Op::Cast(cast) if cast.dtype.is_float() => Op::Cast(Cast { dtype: DType::F64 }),
        op => op.clone(),
    }
}

/// The array with less than double precision widened to it.
fn shadow(array: &Array) -> Array {
    match array.dtype() {
        DType::F16 | DType::BF16 | DType::F32 => array_of(&shadow_type(&array.ty()), &array.to_f64_vec()),
        _ => array.clone(),
    }
}

/// Magnitudes of the elements as double precision; integers and truth values stay.
fn absolute(array: &Array) -> Array {
    let mut array = shadow(array);
    if let Ok(x) = array.as_mut_slice::<f64>() {
        x.iter_mut().for_each(|x| *x = x.abs());
    }
    array
}
