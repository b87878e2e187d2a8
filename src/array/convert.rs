//! Arrays from numbers, vectors and nested Rust arrays.

use crate::graph::Shape;

use super::storage::Stored;
use super::{Array, ArrayElement};

impl<T: ArrayElement> From<T> for Array {
    /// An array without axes.
    fn from(value: T) -> Array {
        Array::scalar(value)
    }
}

impl<T: ArrayElement> From<Vec<T>> for Array {
    /// One axis.
    fn from(elements: Vec<T>) -> Array {
        Array { shape: Shape::from([elements.len()]), data: T::wrap(elements) }
    }
}

impl<T: ArrayElement> From<&[T]> for Array {
    /// One axis.
    fn from(elements: &[T]) -> Array {
        elements.to_vec().into()
    }
}

impl<T: ArrayElement, const A: usize> From<[T; A]> for Array {
    /// One axis.
    fn from(elements: [T; A]) -> Array {
        filled([A], elements)
    }
}

impl<T: ArrayElement, const A: usize, const B: usize> From<[[T; B]; A]> for Array {
    /// Two axes, the outer first.
    fn from(elements: [[T; B]; A]) -> Array {
        filled([A, B], elements.into_iter().flatten())
    }
}

impl<T: ArrayElement, const A: usize, const B: usize, const C: usize> From<[[[T; C]; B]; A]> for Array {
    /// Three axes, the outermost first.
    fn from(elements: [[[T; C]; B]; A]) -> Array {
        filled([A, B, C], elements.into_iter().flatten().flatten())
    }
}

impl<T: ArrayElement, const A: usize, const B: usize, const C: usize, const D: usize> From<[[[[T; D]; C]; B]; A]>
    for Array
{
    /// Four axes, the outermost first.
    fn from(elements: [[[[T; D]; C]; B]; A]) -> Array {
        filled([A, B, C, D], elements.into_iter().flatten().flatten().flatten())
    }
}

/// The array of a shape with as many elements as it holds.
fn filled<T: Stored>(shape: impl Into<Shape>, elements: impl IntoIterator<Item = T>) -> Array {
    Array { shape: shape.into(), data: T::wrap(elements.into_iter().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_gives_the_axes() {
        assert_eq!(Array::from(2.5f32), Array::scalar(2.5f32));
        assert_eq!(Array::from(vec![1i64, 2]), Array::new([2], vec![1i64, 2]).unwrap());
        assert_eq!(Array::from(&[true, false][..]), Array::new([2], vec![true, false]).unwrap());
        assert_eq!(Array::from([[1, 2, 3], [4, 5, 6]]), Array::new([2, 3], vec![1, 2, 3, 4, 5, 6]).unwrap());
        let deep = Array::from([[[[1.0f32], [2.0]]], [[[3.0], [4.0]]], [[[5.0], [6.0]]]]);
        assert_eq!(deep, Array::new([3, 1, 2, 1], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap());
        assert_eq!(Array::from([[[0.5f64; 0]; 4]; 2]), Array::new([2, 4, 0], Vec::<f64>::new()).unwrap());
    }
}
