//! Movement of elements, products and indexing.

use smallvec::SmallVec;

use crate::graph::{DType, Dims, OpError, OpErrorKind, Shape, TensorType};
use crate::prim::{Combine, Concat, Dot, Gather, Iota, Pad, Reshape, Scatter, Slice, Transpose};

use super::tensor::join;
use super::{Builder, IntoAxes, Tensor};

impl<'g> Tensor<'g> {
    /// The same elements, in row-major order, in another shape.
    ///
    /// # Panics
    /// If the element counts differ.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Tensor<'g> {
        let shape = shape.into();
        if self.shape() == shape { self } else { self.builder.push(Reshape { shape }, &[self]) }
    }

    /// The tensor with axis `permutation[i]` as its `i`-th. Negative axes count from the last.
    ///
    /// # Panics
    /// If the list is not a permutation of the axes.
    #[track_caller]
    pub fn transpose(self, permutation: impl IntoAxes) -> Tensor<'g> {
        let permutation = self.axes("transpose", permutation);
        self.builder.push(Transpose { permutation }, &[self])
    }

    /// The matrix transpose: the last two axes exchanged.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[track_caller]
    pub fn t(self) -> Tensor<'g> {
        let mut permutation: Dims = (0..self.rank()).collect();
        let last = self.axis("t", -1);
        let before = self.axis("t", -2);
        permutation.swap(last, before);
        self.builder.push(Transpose { permutation }, &[self])
    }

    /// A new axis of extent 1 at place `axis` of the result. A negative place counts from the end of the result.
    ///
    /// # Panics
    /// If the place is out of range.
    #[track_caller]
    pub fn expand(self, axis: isize) -> Tensor<'g> {
        let mut shape: Dims = self.shape().iter().copied().collect();
        let rank = shape.len();
        let at = if axis < 0 { axis + rank as isize + 1 } else { axis };
        match usize::try_from(at).ok().filter(|&a| a <= rank) {
            Some(at) => shape.insert(at, 1),
            None => {
                let kind = OpErrorKind::Axis { axis, rank: rank + 1 };
                self.builder.check(Err(OpError::new("expand", &[&self.ty()], kind)), &[self])
            }
        }
        self.reshape(&shape[..])
    }

    /// The tensor without the given axes, which must have extent 1.
    ///
    /// # Panics
    /// If there is no such axis or its extent is not 1.
    #[track_caller]
    pub fn squeeze(self, axes: impl IntoAxes) -> Tensor<'g> {
        let _scope = self.builder.scope("squeeze", &[self]);
        let axes = self.axes("squeeze", axes);
        let shape = self.shape();
        self.reshape(shape.without(&axes))
    }

    /// Elements `start..end` along `axis`.
    ///
    /// # Panics
    /// If there is no such axis or the range leaves it.
    #[track_caller]
    pub fn slice(self, axis: isize, range: std::ops::Range<usize>) -> Tensor<'g> {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th of the elements `start..end` along `axis`. With a negative step they come in reverse order, from `end - 1` downwards.
    ///
    /// # Panics
    /// If there is no such axis, the range leaves it, or the step is 0.
    #[track_caller]
    pub fn slice_step(self, axis: isize, range: std::ops::Range<usize>, step: isize) -> Tensor<'g> {
        let axis = self.axis("slice", axis);
        let shape = self.shape();
        let extent = shape[axis];
        if step == 0 || range.start > range.end || range.end > extent {
            let kind = OpErrorKind::Slice { axis, start: range.start, end: range.end, step, extent };
            self.builder.check(Err(OpError::new("slice", &[&self.ty()], kind)), &[self])
        }
        let mut slice = Slice {
            start: SmallVec::from_elem(0, shape.rank()),
            len: shape.iter().copied().collect(),
            step: SmallVec::from_elem(1, shape.rank()),
        };
        let count = range.len().div_ceil(step.unsigned_abs());
        slice.len[axis] = count;
        slice.step[axis] = step;
        slice.start[axis] = if step < 0 && count > 0 { range.end - 1 } else { range.start };
        self.builder.push(slice, &[self])
    }

    /// The elements along the given axes in reverse order.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn flip(self, axes: impl IntoAxes) -> Tensor<'g> {
        let shape = self.shape();
        let mut slice = Slice {
            start: SmallVec::from_elem(0, shape.rank()),
            len: shape.iter().copied().collect(),
            step: SmallVec::from_elem(1, shape.rank()),
        };
        let axes = self.axes("flip", axes);
        if axes.is_empty() {
            return self;
        }
        for axis in axes {
            slice.start[axis] = shape[axis].saturating_sub(1);
            slice.step[axis] = -1;
        }
        self.builder.push(slice, &[self])
    }

    /// `value` around the elements: on axis `i`, `widths[i].0` times before and `widths[i].1` times behind.
    ///
    /// # Panics
    /// If there is not one pair of widths for each axis.
    #[track_caller]
    pub fn pad(self, widths: &[(usize, usize)], value: f64) -> Tensor<'g> {
        let pad = Pad {
            low: widths.iter().map(|w| w.0).collect(),
            high: widths.iter().map(|w| w.1).collect(),
            interior: SmallVec::from_elem(0, widths.len()),
            value: value.to_bits(),
        };
        self.builder.push(pad, &[self])
    }

    /// The product of matrices: the last axis of `self` with the last but one of `other`, or its only one. With more axes than two, the axes before the
    /// last two of both are batch axes and broadcast, as in NumPy's `matmul`.
    ///
    /// # Panics
    /// If either tensor is a scalar, the contracted extents differ, or the batch axes do not broadcast.
    #[track_caller]
    pub fn dot(self, other: Tensor<'g>) -> Tensor<'g> {
        let (l, r) = (self.rank(), other.rank());
        if l == 0 || r == 0 {
            let kind = OpErrorKind::Other("a scalar has no axis to contract; use `*`".to_owned());
            self.builder.check(Err(OpError::new("dot", &[&self.ty(), &other.ty()], kind)), &[self, other])
        }
        if r <= 2 {
            let dot = Dot { rhs_contract: SmallVec::from_slice(&[r.saturating_sub(2)]), ..Dot::matmul(l) };
            return self.builder.push(dot, &[self, other]);
        }
        let lhs = if l == 1 { self.reshape([1, self.shape()[0]]) } else { self };
        let (lhs_shape, rhs_shape) = (lhs.shape(), other.shape());
        let batch_of = |s: &Shape| Shape::from(&s[..s.rank() - 2]);
        let batch = join(&batch_of(&lhs_shape), &batch_of(&rhs_shape));
        let batch = batch.map_err(|kind| OpError::new("dot", &[&self.ty(), &other.ty()], kind));
        let batch = self.builder.check(batch, &[self, other]);
        let with_batch = |s: &Shape| -> Shape { batch.iter().chain(&s[s.rank() - 2..]).copied().collect() };
        let a = lhs.broadcast_to(with_batch(&lhs_shape));
        let b = other.broadcast_to(with_batch(&rhs_shape));
        let n = batch.rank();
        let dims: Dims = (0..n).collect();
        let dot = Dot {
            lhs_batch: dims.clone(),
            rhs_batch: dims,
            lhs_contract: SmallVec::from_slice(&[n + 1]),
            rhs_contract: SmallVec::from_slice(&[n]),
        };
        let product = self.builder.push(dot, &[a, b]);
        if l == 1 { product.squeeze(n as isize) } else { product }
    }

    /// The sum of products over any pairs of axes, with pairs of batch axes: `contract` and `batch` list an axis of `self` and one of `other` each. The
    /// result has the batch axes, then the other axes of `self`, then those of `other`.
    ///
    /// # Panics
    /// If an axis is out of range or listed twice, or paired extents differ.
    #[track_caller]
    pub fn contract(self, other: Tensor<'g>, contract: &[(usize, usize)], batch: &[(usize, usize)]) -> Tensor<'g> {
        let dot = Dot {
            lhs_batch: batch.iter().map(|p| p.0).collect(),
            rhs_batch: batch.iter().map(|p| p.1).collect(),
            lhs_contract: contract.iter().map(|p| p.0).collect(),
            rhs_contract: contract.iter().map(|p| p.1).collect(),
        };
        self.builder.push_as("contract", dot, &[self, other])
    }

    /// Slices along `axis`, chosen by integers: `out[.., i.., ..] = self[.., index[i..], ..]`. The index's axes take the place of `axis`. Where an index is
    /// negative or too large, the result is NaN (0 for integers, false for `bool`).
    ///
    /// # Panics
    /// If there is no such axis, or the indices are not `i32` or `i64`.
    #[track_caller]
    pub fn take(self, index: Tensor<'g>, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("take", &[self, index]);
        let axis = self.axis("take", axis);
        let rank = self.rank();
        // The gather chooses from the first axis; the axes before it are put behind and back again.
        let forward: Dims = (axis..rank).chain(0..axis).collect();
        let moved = if axis == 0 { self } else { self.builder.push(Transpose { permutation: forward }, &[self]) };
        let taken = self.builder.push(Gather::new(0), &[moved, index]);
        if axis == 0 {
            return taken;
        }
        let first = taken.rank() - axis;
        let back: Dims = (first..taken.rank()).chain(0..first).collect();
        self.builder.push(Transpose { permutation: back }, &[taken])
    }

    /// One element of the last axis for each of the others, chosen by integers: `out[b..] = self[b.., index[b..]]`. Where an index is negative or too
    /// large, the result is NaN (0 for integers, false for `bool`).
    ///
    /// # Panics
    /// If the index's shape is not that of `self` without its last axis, or its element type is not `i32` or `i64`.
    #[track_caller]
    pub fn pick(self, index: Tensor<'g>) -> Tensor<'g> {
        let last = self.axis("pick", -1);
        let shape = self.shape();
        if index.shape()[..] != shape[..last] {
            let kind = OpErrorKind::Shape { position: 1, expected: Shape::from(&shape[..last]), actual: index.shape() };
            self.builder.check(Err(OpError::new("pick", &[&self.ty(), &index.ty()], kind)), &[self, index])
        }
        self.builder.push_as("pick", Gather::new(last), &[self, index])
    }

    /// `self` with each slice of `updates` added to the slice of the first axis that `index` chooses. Repeated indices add up; indices out of range are
    /// dropped.
    ///
    /// # Panics
    /// If the updates' shape is not the index's followed by that of one slice, or element types do not fit.
    #[track_caller]
    pub fn scatter_add(self, index: Tensor<'g>, updates: Tensor<'g>) -> Tensor<'g> {
        self.builder.push_as("scatter_add", Scatter { batch: 0, combine: Combine::Add }, &[self, index, updates])
    }

    /// `self` with each slice of the first axis that `index` chooses replaced by that of `updates`. Of repeated indices the last counts; indices out of
    /// range are dropped.
    ///
    /// # Panics
    /// If the updates' shape is not the index's followed by that of one slice, or element types do not fit.
    #[track_caller]
    pub fn scatter_set(self, index: Tensor<'g>, updates: Tensor<'g>) -> Tensor<'g> {
        self.builder.push_as("scatter_set", Scatter { batch: 0, combine: Combine::Set }, &[self, index, updates])
    }

    /// A new last axis of extent `classes` that holds 1 at the place that this integer tensor says and 0 elsewhere; all 0 for places out of range.
    ///
    /// # Panics
    /// If the tensor does not hold integers.
    #[track_caller]
    pub fn one_hot(self, classes: usize, dtype: DType) -> Tensor<'g> {
        let _scope = self.builder.scope("one_hot", &[self]);
        if !self.dtype().is_int() {
            let kind = OpErrorKind::DType { position: 0, expected: "i32 or i64".to_owned(), actual: self.dtype() };
            self.builder.check(Err(OpError::new("one_hot", &[&self.ty()], kind)), &[self])
        }
        let place = self.builder.push(Iota { ty: TensorType::new(self.dtype(), [classes]), axis: 0 }, &[]);
        self.expand(-1).eq(place).cast(dtype)
    }
}

impl Builder {
    /// Tensors one behind the other along `axis`. They agree in all other extents.
    ///
    /// # Panics
    /// If the list is empty, there is no such axis, or shapes or element types differ.
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
            let kind = OpErrorKind::Axis { axis, rank: places };
            self.check(Err(OpError::new("stack", &[&first.ty()], kind)), &[*first])
        };
        let mut expanded = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let mut shape: Dims = tensor.shape().iter().copied().collect();
            shape.insert(at.min(shape.len()), 1);
            expanded.push(tensor.reshape(&shape[..]));
        }
        self.push(Concat { axis: at }, &expanded)
    }
}
