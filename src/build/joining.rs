//! Several tensors made one, and one made several: concatenation, stacks, splits, repetition, grids.

use crate::graph::{Dims, OpErrorKind, Shape};
use crate::prim::Concat;

use super::{Builder, Tensor};

impl<'g> Tensor<'g> {
    /// The parts of these extents along `axis`, one behind the other.
    ///
    /// # Panics
    /// If there is no such axis, or the sizes do not add up to its extent.
    #[track_caller]
    pub fn split(self, sizes: &[usize], axis: isize) -> Vec<Tensor<'g>> {
        let _scope = self.builder.scope("split", &[self]);
        let extent = self.shape()[self.axis("split", axis)];
        let sum = sizes.iter().try_fold(0usize, |sum, &s| sum.checked_add(s));
        if sum != Some(extent) {
            let why = format!("sizes {sizes:?} do not add up to the extent {extent}");
            self.refuse("split", &[], OpErrorKind::Other(why))
        }
        let mut from = 0;
        let mut parts = Vec::with_capacity(sizes.len());
        for &size in sizes {
            parts.push(self.slice(axis, from..from + size));
            from += size;
        }
        parts
    }

    /// `count` parts along `axis`, as equal as can be: the first ones have one element more if the count does not divide the extent, as in NumPy's
    /// `array_split`.
    ///
    /// # Panics
    /// If there is no such axis or the count is 0.
    #[doc(alias = "array_split")]
    #[track_caller]
    pub fn chunk(self, count: usize, axis: isize) -> Vec<Tensor<'g>> {
        let _scope = self.builder.scope("chunk", &[self]);
        let extent = self.shape()[self.axis("chunk", axis)];
        if count == 0 {
            self.refuse("chunk", &[], OpErrorKind::Other("takes at least one part".to_owned()))
        }
        let sizes: Vec<usize> = (0..count).map(|i| extent / count + usize::from(i < extent % count)).collect();
        self.split(&sizes, axis)
    }

    /// The whole tensor `repeats[i]` times along axis `i`. As in NumPy, missing axes of the tensor or missing repeats, on the left, count as 1.
    #[track_caller]
    pub fn tile(self, repeats: &[usize]) -> Tensor<'g> {
        let _scope = self.builder.scope("tile", &[self]);
        let shape = self.shape();
        let rank = shape.rank().max(repeats.len());
        let padded = |list: &[usize]| -> Dims {
            std::iter::repeat_n(1, rank - list.len()).chain(list.iter().copied()).collect()
        };
        let (extents, repeats) = (padded(&shape), padded(repeats));
        let pairs = |f: &dyn Fn(usize) -> [usize; 2]| -> Shape { (0..rank).flat_map(f).collect() };
        let apart = self.reshape(pairs(&|a| [1, extents[a]]));
        let repeated = apart.broadcast_to(pairs(&|a| [repeats[a], extents[a]]));
        repeated.reshape((0..rank).map(|a| repeats[a] * extents[a]).collect::<Shape>())
    }

    /// Each element `count` times in a row along `axis`.
    ///
    /// # Panics
    /// If there is no such axis.
    #[doc(alias = "repeat_interleave")]
    #[track_caller]
    pub fn repeat(self, count: usize, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("repeat", &[self]);
        let axis = self.axis("repeat", axis);
        let mut shape: Dims = self.shape().iter().copied().collect();
        shape.insert(axis + 1, 1);
        let apart = self.reshape(&shape[..]);
        shape[axis + 1] = count;
        let repeated = apart.broadcast_to(&shape[..]);
        shape[axis] *= count;
        shape.remove(axis + 1);
        repeated.reshape(&shape[..])
    }
}

impl Builder {
    /// Tensors one behind the other along `axis`. They agree in all other extents.
    ///
    /// # Panics
    /// If the list is empty, there is no such axis, or shapes or element types differ.
    #[doc(alias = "cat")]
    #[doc(alias = "concatenate")]
    #[track_caller]
    pub fn concat<'g>(&'g self, tensors: &[Tensor<'g>], axis: isize) -> Tensor<'g> {
        let Some(first) = tensors.first() else { panic!("concat: takes at least one tensor") };
        let axis = first.axis("concat", axis);
        self.push(Concat { axis }, tensors)
    }

    /// Tensors of one shape put side by side along a new axis at place `axis` of the result.
    ///
    /// # Panics
    /// If the list is empty, the place is out of range, or shapes or element types differ.
    #[track_caller]
    pub fn stack<'g>(&'g self, tensors: &[Tensor<'g>], axis: isize) -> Tensor<'g> {
        let Some(first) = tensors.first() else { panic!("stack: takes at least one tensor") };
        let _scope = self.scope("stack", tensors);
        let places = first.rank() + 1;
        let from_front = if axis < 0 { axis + places as isize } else { axis };
        let Some(at) = usize::try_from(from_front).ok().filter(|&a| a < places) else {
            first.refuse("stack", &[], OpErrorKind::Axis { axis, rank: places })
        };
        let mut expanded = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let mut shape: Dims = tensor.shape().iter().copied().collect();
            shape.insert(at.min(shape.len()), 1);
            expanded.push(tensor.reshape(&shape[..]));
        }
        self.push(Concat { axis: at }, &expanded)
    }

    /// The coordinates of a grid: for vectors of extents `n0, n1, ..` as many tensors of shape `[n0, n1, ..]`, the `i`-th of which repeats the `i`-th vector
    /// along axis `i`. This is NumPy's `indexing="ij"`.
    ///
    /// # Panics
    /// If one of them is not a vector or belongs to another builder.
    #[track_caller]
    pub fn meshgrid<'g>(&'g self, vectors: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        let _scope = self.scope("meshgrid", vectors);
        let mut grid = Dims::new();
        for vector in vectors {
            match vector.shape()[..] {
                [extent] => grid.push(extent),
                _ => vector.refuse("meshgrid", &[], OpErrorKind::Other("takes vectors".to_owned())),
            }
        }
        let mut coordinates = Vec::with_capacity(vectors.len());
        for (axis, vector) in vectors.iter().enumerate() {
            let along: Dims = (0..grid.len()).map(|a| if a == axis { grid[a] } else { 1 }).collect();
            coordinates.push(vector.reshape(&along[..]).broadcast_to(&grid[..]));
        }
        coordinates
    }
}
