//! Pseudo-random choices from a seed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::array::Array;
use crate::graph::{DType, TensorType};
use crate::scalar::math;

/// A stream of choices. The same seed gives the same choices on every machine.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Draw {
        Draw(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `n`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "there is no number below 0");
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// A number of `low..=high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `1 / probability` times.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number of `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// One of the entries.
    ///
    /// # Panics
    /// If there are none.
    pub fn of<T: Copy>(&mut self, entries: &[T]) -> T {
        entries[self.below(entries.len())]
    }

    /// The entries in random order.
    pub fn shuffled<T>(&mut self, mut entries: Vec<T>) -> Vec<T> {
        for i in (1..entries.len()).rev() {
            let j = self.below(i + 1);
            entries.swap(i, j);
        }
        entries
    }

    /// An array of numbers spread evenly over `low..high`, rounded to the element type; truth values are fair coins.
    pub fn uniform(&mut self, ty: &TensorType, low: f64, high: f64) -> Array {
        let (low, high) = if ty.dtype == DType::Bool { (-1.0, 1.0) } else { (low, high) };
        self.fill(ty, |d| {
            let v = low + (high - low) * d.unit();
            if ty.dtype == DType::Bool { f64::from(v > 0.0) } else { v }
        })
    }

    /// An array each element of which is drawn by `f` and converted to the element type by Rust's `as`.
    pub fn fill(&mut self, ty: &TensorType, mut f: impl FnMut(&mut Draw) -> f64) -> Array {
        let values: Vec<f64> = (0..ty.shape.numel()).map(|_| f(self)).collect();
        array_of(ty, &values)
    }
}

/// The array of these numbers, converted to the element type by Rust's `as`, for truth values by `!= 0`.
pub(super) fn array_of(ty: &TensorType, values: &[f64]) -> Array {
    let shape = ty.shape.clone();
    let array = match ty.dtype {
        DType::Bool => Array::new(shape, values.iter().map(|&v| v != 0.0).collect()),
        DType::U8 => Array::new(shape, values.iter().map(|&v| v as u8).collect()),
        DType::U32 => Array::new(shape, values.iter().map(|&v| v as u32).collect()),
        DType::I32 => Array::new(shape, values.iter().map(|&v| v as i32).collect()),
        DType::I64 => Array::new(shape, values.iter().map(|&v| v as i64).collect()),
        DType::F16 => Array::new(shape, values.iter().map(|&v| math::half::f16_of(v as f32)).collect()),
        DType::BF16 => Array::new(shape, values.iter().map(|&v| math::half::bf16_of(v as f32)).collect()),
        DType::F32 => Array::new(shape, values.iter().map(|&v| v as f32).collect()),
        DType::F64 => Array::new(shape, values.to_vec()),
    };
    array.expect("as many values as elements")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_stay_in_range_and_repeat() {
        let draw = |seed| {
            let mut d = Draw::new(seed);
            (0..100).map(|_| d.between(3, 7)).collect::<Vec<_>>()
        };
        assert!(draw(1).iter().all(|v| (3..=7).contains(v)));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
