//! Strided views: how an index leads to a place in row-major memory.
//!
//! Every movement (transpose, broadcast, slice, reshape) of a tensor in memory is a [`Strided`] as long as one stride for each axis describes it. A
//! reshape that would have to split a stride is none; the planner then copies.

use crate::array::{Array, ArrayElement};
use crate::graph::{Dims, Shape, TensorType};

use super::{array, elements, with_element};

/// Extents, strides and offset, in elements: index `i` is at `offset + sum(i[a] * strides[a])`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Strided {
    /// The extents.
    pub shape: Shape,
    /// Distance of two neighbours along each axis; negative for a reversed axis, 0 for a repeated one.
    pub strides: Dims<isize>,
    /// Place of the element whose indices are all 0.
    pub offset: isize,
}

impl Strided {
    /// The row-major layout without gaps.
    pub fn contiguous(shape: &Shape) -> Strided {
        Strided { shape: shape.clone(), strides: shape.strides(), offset: 0 }
    }

    /// True if the elements lie one behind the other from place 0 in row-major order.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if extent != 1 && stride != expected {
                return false;
            }
            expected *= extent as isize;
        }
        self.offset == 0 || self.shape.numel() == 0
    }

    /// The same elements in row-major order of `shape`, or `None` if no strides say that.
    pub fn reshape(&self, shape: &Shape) -> Option<Strided> {
        debug_assert_eq!(self.shape.numel(), shape.numel());
        if shape.numel() == 0 {
            return Some(Strided::contiguous(shape));
        }
        // Runs of old axes that behave as one axis, outermost first; axes of extent 1 are left out.
        let mut runs: Dims<(usize, isize)> = Dims::new();
        for (&extent, &stride) in self.shape.iter().zip(&self.strides) {
            match runs.last_mut() {
                _ if extent == 1 => {}
                Some((n, s)) if *s == stride * extent as isize => (*n, *s) = (*n * extent, stride),
                _ => runs.push((extent, stride)),
            }
        }
        let mut strides: Dims<isize> = Dims::from_elem(0, shape.rank());
        for axis in (0..shape.rank()).rev().filter(|&a| shape[a] != 1) {
            let (extent, stride) = runs.last_mut()?;
            if *extent % shape[axis] != 0 {
                return None;
            }
            strides[axis] = *stride;
            *stride *= shape[axis] as isize;
            *extent /= shape[axis];
            if *extent == 1 {
                runs.pop();
            }
        }
        Some(Strided { shape: shape.clone(), strides, offset: self.offset })
    }

    /// Places of all elements in row-major order.
    pub fn places(&self) -> Places<'_> {
        Places {
            view: self,
            index: Dims::from_elem(0, self.shape.rank()),
            place: self.offset,
            left: self.shape.numel(),
        }
    }

    /// The elements of `source` in this view's order.
    pub fn materialize<T: ArrayElement>(&self, source: &[T]) -> Vec<T> {
        if self.is_contiguous() {
            return source[..self.shape.numel()].to_vec();
        }
        self.places().map(|p| source[p as usize]).collect()
    }

    /// [`Strided::materialize`] for an array; `ty` is the type of the result.
    pub(crate) fn materialize_array(&self, source: &Array, ty: &TensorType) -> Array {
        with_element!(ty.dtype, T => array(ty, self.materialize(elements::<T>(source))))
    }
}

/// Iterator over the places of a view's elements.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    view: &'a Strided,
    index: Dims,
    place: isize,
    left: usize,
}

impl Iterator for Places<'_> {
    type Item = isize;

    fn next(&mut self) -> Option<isize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place;
        for axis in (0..self.index.len()).rev() {
            self.index[axis] += 1;
            self.place += self.view.strides[axis];
            if self.index[axis] < self.view.shape[axis] {
                break;
            }
            self.place -= self.view.strides[axis] * self.index[axis] as isize;
            self.index[axis] = 0;
        }
        Some(place)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shape: &[usize], strides: &[isize]) -> Strided {
        Strided { shape: shape.into(), strides: Dims::from_slice(strides), offset: 0 }
    }

    #[test]
    fn reshape_splits_and_merges_where_strides_allow() {
        let check = |from: &Strided, to: &[usize], strides: Option<&[isize]>| {
            let shape = Shape::from(to);
            assert_eq!(
                from.reshape(&shape).map(|v| v.strides.to_vec()),
                strides.map(<[isize]>::to_vec),
                "{from:?} to {to:?}"
            );
            if let Some(v) = from.reshape(&shape) {
                assert!(v.places().eq(from.places()));
            }
        };
        let row_major = Strided::contiguous(&[4, 6].into());
        check(&row_major, &[24], Some(&[1]));
        check(&row_major, &[2, 2, 3, 2], Some(&[12, 6, 2, 1]));
        check(&row_major, &[8, 3], Some(&[3, 1]));
        check(&row_major, &[4, 1, 6, 1], Some(&[6, 0, 1, 0]));
        let transposed = view(&[6, 4], &[1, 6]);
        check(&transposed, &[24], None);
        check(&transposed, &[2, 3, 4], Some(&[3, 1, 6]));
        check(&transposed, &[6, 2, 2], Some(&[1, 12, 6]));
        check(&transposed, &[8, 3], None);
        let repeated = view(&[5, 3], &[0, 1]);
        check(&repeated, &[15], None);
        check(&view(&[5, 3], &[0, 0]), &[15], Some(&[0]));
        check(&view(&[1, 1], &[9, 9]), &[], Some(&[]));
        check(&view(&[1, 7], &[9, 2]), &[7, 1], Some(&[2, 0]));
        check(&view(&[0, 7], &[9, 2]), &[7, 0], Some(&[0, 1]));
    }
}
