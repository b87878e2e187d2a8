//! Resizing of spatial axes. Axes are resized one after the other, since the weights of linear interpolation are products.

use crate::array::Array;
use crate::graph::{Dims, OpErrorKind};

use super::Tensor;
use super::window::{Layout, PerAxis};

/// What an element of a resized axis is. With `n` elements before and `m` after, element `o` lies at a place among the old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// The element at `o n / m`, rounded down: PyTorch's `nearest`.
    Nearest,
    /// The element at `(o + 1/2) n / m`, rounded down, which is the nearest if elements are areas: PyTorch's `nearest-exact`.
    NearestExact,
    /// The neighbours of `(o + 1/2) n / m - 1/2`, weighted by nearness: elements are areas. PyTorch's `linear`, `bilinear` and `trilinear`.
    Linear,
    /// The neighbours of `o (n - 1) / (m - 1)`, weighted by nearness: the first and last elements stay. PyTorch's with `align_corners`.
    LinearAligned,
}

impl<'g> Tensor<'g> {
    /// The spatial axes resized: stretched or shrunk to these extents, a number or one for each axis. Shrinking chooses or weights single elements; for
    /// averages over areas, see [`Tensor::adaptive_avg_pool`].
    ///
    /// # Panics
    /// If there is no spatial axis, or one without elements that should get some, sizes do not fit the count of axes, or linear interpolation is
    /// asked of elements that are not floats.
    #[track_caller]
    pub fn resize(self, sizes: impl Into<PerAxis>, interpolation: Interpolation, layout: Layout) -> Tensor<'g> {
        let _scope = self.builder.scope("resize", &[self]);
        let linear = matches!(interpolation, Interpolation::Linear | Interpolation::LinearAligned);
        if linear {
            self.expect_float("resize");
        }
        let axes = self.spatial_axes("resize", layout);
        let sizes = match sizes.into().resolve("sizes", axes.len()) {
            Ok(sizes) => sizes,
            Err(kind) => self.refuse("resize", &[], kind),
        };
        let mut y = self;
        for (&axis, &size) in axes.iter().zip(&sizes) {
            let axis = axis as usize;
            let extent = y.shape()[axis];
            if extent == 0 && size > 0 {
                let text = format!("axis {axis} has no elements to make {size} of");
                self.refuse("resize", &[], OpErrorKind::Other(text));
            }
            y = if linear {
                y.resize_linear(axis, size, interpolation)
            } else {
                y.choose(axis, &nearest(extent, size, interpolation))
            };
        }
        y
    }

    #[track_caller]
    fn resize_linear(self, axis: usize, size: usize, interpolation: Interpolation) -> Tensor<'g> {
        let extent = self.shape()[axis];
        let (mut below, mut above, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for o in 0..size {
            let (o, n, m) = (o as f64, extent as f64, size as f64);
            let place = match interpolation {
                Interpolation::LinearAligned if size == 1 => 0.0,
                Interpolation::LinearAligned => o * (n - 1.0) / (m - 1.0),
                _ => ((o + 0.5) * n / m - 0.5).max(0.0),
            };
            let first = (place as usize).min(extent - 1);
            let share = (place - first as f64).min(1.0);
            below.push(first);
            above.push((first + 1).min(extent - 1));
            shares.push(share);
        }
        if shares.iter().all(|&s| s == 0.0) {
            return self.choose(axis, &below);
        }
        // An element that gets no weight is not looked at, so that an infinity does no harm.
        let above = if shares.contains(&0.0) {
            let places = above.iter().zip(&shares).map(|(&at, &share)| if share == 0.0 { -1 } else { at as i64 });
            let places = Array::new([size], places.collect()).expect("a list has a shape");
            self.take_or_zero(self.builder.constant(places), axis)
        } else {
            self.choose(axis, &above)
        };
        let mut shape: Dims = Dims::from_elem(1, self.rank());
        shape[axis] = size;
        let weights = |of: Vec<f64>| Array::new(&shape[..], of).expect("there is a share for each element");
        let others = weights(shares.iter().map(|s| 1.0 - s).collect());
        let (share, other) = (self.builder.constant(weights(shares)), self.builder.constant(others));
        let (share, other) = (share.cast(self.dtype()), other.cast(self.dtype()));
        other * self.choose(axis, &below) + share * above
    }

    /// Elements of an axis, each at a place that is there: repeated, cut out or gathered, as is cheapest.
    #[track_caller]
    fn choose(self, axis: usize, places: &[usize]) -> Tensor<'g> {
        let shape = self.shape();
        let extent = shape[axis];
        let (count, start) = (places.len(), places.first().copied().unwrap_or(0));
        // All elements, each as often.
        if extent > 0 && count % extent == 0 && places.iter().enumerate().all(|(o, &at)| at == o / (count / extent)) {
            let mut split: Dims = shape.iter().copied().collect();
            split.insert(axis + 1, 1);
            let mut repeated = split.clone();
            repeated[axis + 1] = count / extent;
            let mut result = shape.iter().copied().collect::<Dims>();
            result[axis] = count;
            return self.reshape(&split[..]).broadcast_to(&repeated[..]).reshape(&result[..]);
        }
        let step = if count > 1 { places[1].saturating_sub(start).max(1) } else { 1 };
        if places.iter().enumerate().all(|(o, &at)| at == start + o * step) {
            let end = places.last().map_or(start, |last| last + 1);
            return self.slice_step(axis as isize, start..end, step as isize);
        }
        let places = Array::new([count], places.iter().map(|&at| at as i64).collect()).expect("a list has a shape");
        self.take(self.builder.constant(places), axis as isize)
    }
}

fn nearest(extent: usize, size: usize, interpolation: Interpolation) -> Vec<usize> {
    // Halves are counted, so that places are exact.
    let half = usize::from(interpolation == Interpolation::NearestExact);
    (0..size).map(|o| ((2 * o + half) * extent / (2 * size)).min(extent - 1)).collect()
}
