//! Movement of elements: other shapes and other orders of the axes; and products.

use std::ops::RangeBounds;

use smallvec::SmallVec;

use crate::graph::{Dims, OpError, OpErrorKind, Shape};
use crate::prim::{Dot, Reshape, Transpose};

use super::reduce::distinct;
use super::slicing::resolve_range;
use super::tensor::join;
use super::{IntoAxes, Tensor};

/// The extent, in a call of [`Tensor::reshape`], that follows from the count of elements. NumPy and PyTorch write -1.
pub const INFER: usize = usize::MAX;

impl<'g> Tensor<'g> {
    /// The same elements, in row-major order, in another shape. One extent may be [`INFER`]: it becomes what the count of elements and the other extents
    /// leave.
    ///
    /// ```
    /// # use cotangent::prelude::*;
    /// # let g = Builder::new();
    /// # let x = g.input("x", f32([4, 6]));
    /// assert_eq!(x.reshape([2, INFER, 3]).shape()[..], [2, 4, 3]);
    /// ```
    ///
    /// # Panics
    /// If the element counts differ, more than one extent is to be inferred, or no extent fits.
    #[doc(alias = "view")]
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Tensor<'g> {
        let (from, mut shape) = (self.shape(), shape.into());
        let open: Dims = (0..shape.rank()).filter(|&a| shape[a] == INFER).collect();
        if let [axis] = open[..] {
            let others = shape.without(&[axis]);
            match from.numel().checked_div(others.checked_numel().unwrap_or(0)) {
                Some(extent) if extent * others.numel() == from.numel() => {
                    shape = shape.iter().map(|&d| if d == INFER { extent } else { d }).collect();
                }
                _ => {
                    let why = format!("no extent in place {axis} gives the {} elements of {from}", from.numel());
                    self.refuse("reshape", &[], OpErrorKind::Other(why))
                }
            }
        } else if open.len() > 1 {
            self.refuse("reshape", &[], OpErrorKind::Other(format!("axes {open:?} are all to be inferred")))
        }
        if from == shape { self } else { self.builder.push(Reshape { shape }, &[self]) }
    }

    /// The axes of the range made one; of all axes (`..`), a vector. A range of no axes makes a new axis of extent 1.
    ///
    /// # Panics
    /// If the range leaves the axes.
    #[doc(alias = "ravel")]
    #[track_caller]
    pub fn flatten(self, axes: impl RangeBounds<usize>) -> Tensor<'g> {
        let shape = self.shape();
        let range = resolve_range(&axes, shape.rank());
        if range.start > range.end || range.end > shape.rank() {
            let why = format!("axes {}..{} do not fit rank {}", range.start, range.end, shape.rank());
            self.refuse("flatten", &[], OpErrorKind::Other(why))
        }
        let one = shape[range.clone()].iter().product();
        let dims = shape[..range.start].iter().copied().chain([one]).chain(shape[range.end..].iter().copied());
        self.reshape(dims.collect::<Shape>())
    }

    /// The tensor with axis `permutation[i]` as its `i`-th. Negative axes count from the last.
    ///
    /// # Panics
    /// If the list is not a permutation of the axes.
    #[doc(alias = "permute")]
    #[track_caller]
    pub fn transpose(self, permutation: impl IntoAxes) -> Tensor<'g> {
        let permutation = self.axes("transpose", permutation);
        self.builder.push(Transpose { permutation }, &[self])
    }

    /// The matrix transpose: the last two axes exchanged.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[doc(alias = "matrix_transpose")]
    #[track_caller]
    pub fn t(self) -> Tensor<'g> {
        let (last, before) = (self.axis("t", -1), self.axis("t", -2));
        self.exchanged(last, before)
    }

    /// The tensor with two axes exchanged. Negative axes count from the last.
    ///
    /// # Panics
    /// If there is no such axis.
    #[doc(alias = "swapaxes")]
    #[track_caller]
    pub fn swap_axes(self, a: isize, b: isize) -> Tensor<'g> {
        let (a, b) = (self.axis("swap_axes", a), self.axis("swap_axes", b));
        self.exchanged(a, b)
    }

    #[track_caller]
    fn exchanged(self, a: usize, b: usize) -> Tensor<'g> {
        let mut permutation: Dims = (0..self.rank()).collect();
        permutation.swap(a, b);
        self.permuted(permutation)
    }

    /// The tensor with axis `from` put at place `to` of the result, the others in their order. Negative numbers count from the last.
    ///
    /// # Panics
    /// If there is no such axis or place.
    #[doc(alias = "moveaxis")]
    #[doc(alias = "movedim")]
    #[track_caller]
    pub fn move_axis(self, from: isize, to: isize) -> Tensor<'g> {
        let (from, to) = (self.axis("move_axis", from), self.axis("move_axis", to));
        let mut permutation: Dims = (0..self.rank()).filter(|&a| a != from).collect();
        permutation.insert(to, from);
        self.permuted(permutation)
    }

    /// The transpose by a known permutation; the tensor itself if that changes nothing.
    #[track_caller]
    pub(super) fn permuted(self, permutation: Dims) -> Tensor<'g> {
        if permutation.iter().enumerate().all(|(i, &p)| i == p) {
            return self;
        }
        self.builder.push(Transpose { permutation }, &[self])
    }

    /// A new axis of extent 1 at place `axis` of the result. A negative place counts from the end of the result.
    ///
    /// # Panics
    /// If the place is out of range.
    #[doc(alias = "unsqueeze")]
    #[track_caller]
    pub fn expand(self, axis: isize) -> Tensor<'g> {
        self.with_new_axes("expand", &[axis])
    }

    /// New axes of extent 1 at the given places of the result. Negative places count from the end of the result.
    ///
    /// # Panics
    /// If a place is out of range or given twice.
    #[doc(alias = "unsqueeze")]
    #[track_caller]
    pub fn expand_dims(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.with_new_axes("expand_dims", &axes.into_axes())
    }

    #[track_caller]
    fn with_new_axes(self, op: &'static str, axes: &[isize]) -> Tensor<'g> {
        let rank = self.rank() + axes.len();
        let mut places = Dims::new();
        for &axis in axes {
            let at = if axis < 0 { axis + rank as isize } else { axis };
            match usize::try_from(at).ok().filter(|&a| a < rank) {
                Some(at) => places.push(at),
                None => self.refuse(op, &[], OpErrorKind::Axis { axis, rank }),
            }
        }
        let mut places = match distinct(axes, places, rank) {
            Ok(places) => places,
            Err(kind) => self.refuse(op, &[], kind),
        };
        places.sort_unstable();
        let mut shape: Dims = self.shape().iter().copied().collect();
        places.into_iter().for_each(|at| shape.insert(at, 1));
        self.reshape(&shape[..])
    }

    /// The tensor without the given axes, which must have extent 1.
    ///
    /// # Panics
    /// If there is no such axis, an axis is given twice, or its extent is not 1.
    #[track_caller]
    pub fn squeeze(self, axes: impl IntoAxes) -> Tensor<'g> {
        let _scope = self.builder.scope("squeeze", &[self]);
        let axes = self.axes("squeeze", axes);
        let shape = self.shape();
        if let Some(&axis) = axes.iter().find(|&&a| shape[a] != 1) {
            let why = format!("axis {axis} has extent {}, not 1", shape[axis]);
            self.refuse("squeeze", &[], OpErrorKind::Other(why))
        }
        self.reshape(shape.without(&axes))
    }

    /// Blocks of `block` by `block` pixels made channels: `[n, c, h, w]` becomes `[n, block * block * c, h / block, w / block]`. The place in the block is
    /// the outer part of the channel number, as in ONNX's `SpaceToDepth`.
    ///
    /// # Panics
    /// If the tensor has not four axes, or `block` is 0 or does not divide the last two extents.
    #[track_caller]
    pub fn space_to_depth(self, block: usize) -> Tensor<'g> {
        let _scope = self.builder.scope("space_to_depth", &[self]);
        let [n, c, h, w] = self.images("space_to_depth", block, |[_, _, h, w]| [h, w]);
        let cut =
            self.reshape([n, c, h / block, block, w / block, block]).permuted([0, 3, 5, 1, 2, 4].into_iter().collect());
        cut.reshape([n, block * block * c, h / block, w / block])
    }

    /// The inverse of [`Tensor::space_to_depth`], ONNX's `DepthToSpace` in mode `DCR`.
    ///
    /// # Panics
    /// If the tensor has not four axes, or `block` is 0 or its square does not divide the second extent.
    #[track_caller]
    pub fn depth_to_space(self, block: usize) -> Tensor<'g> {
        let _scope = self.builder.scope("depth_to_space", &[self]);
        let [n, c, h, w] = self.images("depth_to_space", block, |[_, c, _, _]| [c, c / block]);
        let c = c / block / block;
        let spread = self.reshape([n, block, block, c, h, w]).permuted([0, 3, 4, 1, 5, 2].into_iter().collect());
        spread.reshape([n, c, h * block, w * block])
    }

    /// As [`Tensor::depth_to_space`], but with the place in the block as the inner part of the channel number, as in PyTorch and in ONNX's mode `CRD` (Shi et
    /// al. 2016).
    ///
    /// # Panics
    /// As [`Tensor::depth_to_space`].
    #[track_caller]
    pub fn pixel_shuffle(self, block: usize) -> Tensor<'g> {
        let _scope = self.builder.scope("pixel_shuffle", &[self]);
        let [n, c, h, w] = self.images("pixel_shuffle", block, |[_, c, _, _]| [c, c / block]);
        let c = c / block / block;
        let spread = self.reshape([n, c, block, block, h, w]).permuted([0, 1, 4, 2, 5, 3].into_iter().collect());
        spread.reshape([n, c, h * block, w * block])
    }

    /// The extents of a batch of images, of which those that `cut` names are multiples of `block`.
    #[track_caller]
    fn images(self, op: &'static str, block: usize, cut: impl Fn([usize; 4]) -> [usize; 2]) -> [usize; 4] {
        let shape = self.shape();
        let extents = <[usize; 4]>::try_from(&shape[..]).ok();
        match extents.filter(|&e| block > 0 && cut(e).iter().all(|d| d.is_multiple_of(block))) {
            Some(extents) => extents,
            None => {
                let why = format!("{shape} is no [n, c, h, w] that blocks of {block} by {block} divide");
                self.refuse(op, &[], OpErrorKind::Other(why))
            }
        }
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
}
