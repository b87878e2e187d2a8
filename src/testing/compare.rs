//! Comparison of arrays.

use crate::array::Array;
use crate::graph::{DType, TensorType};

/// How far floats may lie apart. Integers and truth values must be equal, NaN equals NaN, an infinity only itself, and zeros of both signs are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Distance allowed as a share of the element's magnitude.
    pub relative: f64,
    /// Distance allowed as a share of the largest finite magnitude in the expected array: sums lose digits against their largest terms.
    pub scaled: f64,
    /// Distance allowed whatever the magnitudes.
    pub absolute: f64,
}

impl Tolerance {
    /// No distance at all.
    pub const EXACT: Tolerance = Tolerance { relative: 0.0, scaled: 0.0, absolute: 0.0 };

    /// A few dozen roundings of this element type; none for integers and truth values.
    pub const fn of(dtype: DType) -> Tolerance {
        match dtype {
            DType::F16 => Tolerance { relative: 2e-3, scaled: 1e-3, absolute: 1e-7 },
            DType::BF16 => Tolerance { relative: 1.6e-2, scaled: 8e-3, absolute: 1e-30 },
            DType::F32 => Tolerance { relative: 1e-5, scaled: 1e-6, absolute: 1e-30 },
            DType::F64 => Tolerance { relative: 1e-13, scaled: 1e-14, absolute: 1e-290 },
            DType::Bool | DType::U8 | DType::I32 | DType::U32 | DType::I64 => Tolerance::EXACT,
        }
    }

    /// All distances `factor` times as large.
    pub fn times(self, factor: f64) -> Tolerance {
        Tolerance { relative: self.relative * factor, scaled: self.scaled * factor, absolute: self.absolute * factor }
    }
}

/// How two arrays differ.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// They are of different types.
    #[error("expected {expected}, got {actual}")]
    Type {
        /// Type of the expected array.
        expected: TensorType,
        /// Type of the other.
        actual: TensorType,
    },
    /// Elements lie too far apart.
    #[error("{count} of {} elements of {ty} differ; the worst at {index:?}: expected {expected:?}, got {actual:?}, off by {distance:e}, allowed {allowed:e}", .ty.shape.numel())]
    Elements {
        /// Type of both arrays.
        ty: TensorType,
        /// Count of elements too far apart.
        count: usize,
        /// Where the excess over what is allowed is largest.
        index: Vec<usize>,
        /// The expected element there.
        expected: f64,
        /// The element that is there.
        actual: f64,
        /// Their distance; NaN if one is not finite.
        distance: f64,
        /// The distance allowed there.
        allowed: f64,
    },
}

/// Compares arrays by a tolerance.
///
/// # Errors
/// If the types differ or elements lie too far apart: the worst of them.
pub fn compare(expected: &Array, actual: &Array, tolerance: Tolerance) -> Result<(), Mismatch> {
    let largest = expected.to_f64_vec().into_iter().map(f64::abs).filter(|v| v.is_finite()).fold(0.0, f64::max);
    compare_within(expected, actual, |i| {
        let magnitude = expected.get_f64(i).abs();
        let relative = if magnitude.is_finite() { tolerance.relative * magnitude } else { 0.0 };
        relative + tolerance.scaled * largest + tolerance.absolute
    })
}

/// [`compare`] with the distance that is allowed at each element.
pub(super) fn compare_within(expected: &Array, actual: &Array, allowed: impl Fn(usize) -> f64) -> Result<(), Mismatch> {
    if expected.ty() != actual.ty() {
        return Err(Mismatch::Type { expected: expected.ty(), actual: actual.ty() });
    }
    // As f64, different i64 elements could collide.
    let distance = |i: usize| match (expected.as_slice::<i64>(), actual.as_slice::<i64>()) {
        (Ok(e), Ok(a)) => e[i].abs_diff(a[i]) as f64,
        _ => (expected.get_f64(i) - actual.get_f64(i)).abs(),
    };
    let mut count = 0;
    let mut worst: Option<(f64, usize)> = None;
    for i in 0..expected.shape().numel() {
        let (e, a) = (expected.get_f64(i), actual.get_f64(i));
        let distance = distance(i);
        // Equal infinities have no distance.
        let equal = distance == 0.0 || e.is_infinite() && e == a || e.is_nan() && a.is_nan();
        if equal || distance <= allowed(i) {
            continue;
        }
        count += 1;
        let excess = distance / allowed(i).max(f64::MIN_POSITIVE);
        let excess = if excess.is_nan() { f64::INFINITY } else { excess };
        if worst.is_none_or(|(w, _)| excess > w) {
            worst = Some((excess, i));
        }
    }
    let Some((_, i)) = worst else { return Ok(()) };
    let (e, a) = (expected.get_f64(i), actual.get_f64(i));
    Err(Mismatch::Elements {
        ty: expected.ty(),
        count,
        index: index_of(expected, i),
        expected: e,
        actual: a,
        distance: if distance(i).is_finite() { distance(i) } else { f64::NAN },
        allowed: allowed(i),
    })
}

/// The index, one number for each axis, of the element at `place` in row-major order.
fn index_of(array: &Array, place: usize) -> Vec<usize> {
    let (shape, strides) = (array.shape(), array.shape().strides());
    strides.iter().zip(&shape[..]).map(|(&s, &d)| place / s as usize % d).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(v: &[f64]) -> Array {
        Array::new([v.len()], v.to_vec()).unwrap()
    }

    #[test]
    fn special_values_equal_only_themselves() {
        let special = floats(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0]);
        let same = floats(&[-f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0]);
        assert_eq!(compare(&special, &same, Tolerance::EXACT), Ok(()));
        for other in [[0.0, 1.0], [f64::NAN, f64::NEG_INFINITY], [f64::INFINITY, f64::MAX]] {
            let (a, b) = (floats(&[f64::NAN, f64::INFINITY]), floats(&other));
            assert!(compare(&a, &b, Tolerance::of(DType::F32)).is_err(), "{other:?}");
        }
    }

    #[test]
    fn the_worst_element_is_named() {
        let a = Array::new([2, 2], vec![1.0f64, 2.0, 3.0, 4.0]).unwrap();
        let b = Array::new([2, 2], vec![1.0f64, 2.0, 3.5, 4.1]).unwrap();
        match compare(&a, &b, Tolerance::of(DType::F64)) {
            Err(Mismatch::Elements { count: 2, index, .. }) => assert_eq!(index, [1, 0]),
            other => panic!("{other:?}"),
        }
        assert!(compare(&a, &b, Tolerance { relative: 0.2, ..Tolerance::EXACT }).is_ok());
    }

    #[test]
    fn integers_compare_exactly() {
        let a = Array::new([1], vec![i64::MAX]).unwrap();
        let b = Array::new([1], vec![i64::MAX - 1]).unwrap();
        assert!(compare(&a, &b, Tolerance::EXACT).is_err());
        assert!(matches!(
            compare(&a, &Array::new([1], vec![1i32]).unwrap(), Tolerance::EXACT),
            Err(Mismatch::Type { .. })
        ));
    }
}
