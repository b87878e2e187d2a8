//! Reductions.

use smallvec::SmallVec;

use crate::graph::{Dims, OpError, OpErrorKind, Shape};
use crate::prim::{ArgReduce, Extremum, Reduce, Reduction, Reshape};

use super::Tensor;

/// Axis numbers: one, an array or a slice of them. Negative ones count from the last axis.
pub trait IntoAxes {
    /// The numbers as given.
    fn into_axes(self) -> Dims<isize>;
}

impl IntoAxes for isize {
    fn into_axes(self) -> Dims<isize> {
        SmallVec::from_slice(&[self])
    }
}

impl<const N: usize> IntoAxes for [isize; N] {
    fn into_axes(self) -> Dims<isize> {
        SmallVec::from_slice(&self)
    }
}

impl IntoAxes for &[isize] {
    fn into_axes(self) -> Dims<isize> {
        SmallVec::from_slice(self)
    }
}

impl<'g> Tensor<'g> {
    /// Axis numbers from 0, in the order given.
    #[track_caller]
    pub(super) fn axes(self, op: &'static str, axes: impl IntoAxes) -> Dims {
        let rank = self.rank();
        let resolve = |axis: isize| {
            let from_front = if axis < 0 { axis + rank as isize } else { axis };
            usize::try_from(from_front).ok().filter(|&a| a < rank).ok_or(OpErrorKind::Axis { axis, rank })
        };
        let resolved: Result<Dims, OpErrorKind> = axes.into_axes().into_iter().map(resolve).collect();
        self.builder.check(resolved.map_err(|kind| OpError::new(op, &[&self.ty()], kind)), &[self])
    }

    #[track_caller]
    pub(super) fn axis(self, op: &'static str, axis: isize) -> usize {
        self.axes(op, axis)[0]
    }

    #[track_caller]
    fn fold(self, reduction: Reduction, axes: impl IntoAxes) -> Tensor<'g> {
        let mut axes = self.axes(reduction.name(), axes);
        axes.sort_unstable();
        if axes.is_empty() {
            return self;
        }
        self.builder.push_as(reduction.name(), Reduce { reduction, axes }, &[self])
    }

    #[track_caller]
    fn fold_all(self, reduction: Reduction) -> Tensor<'g> {
        let axes: Vec<isize> = (0..self.rank() as isize).collect();
        self.fold(reduction, &axes[..])
    }

    /// A reduced tensor with its axes put back with extent 1, so that it broadcasts against `self`.
    #[track_caller]
    pub(super) fn keep_axes(self, reduced: Tensor<'g>, axes: impl IntoAxes) -> Tensor<'g> {
        let axes = self.axes("keep", axes);
        let shape: Shape =
            self.shape().iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
        if reduced.shape() == shape { reduced } else { self.builder.push(Reshape { shape }, &[reduced]) }
    }

    /// Count of elements along the axes.
    #[track_caller]
    fn count(self, axes: impl IntoAxes) -> usize {
        let shape = self.shape();
        self.axes("mean", axes).iter().map(|&a| shape[a]).product()
    }
}

macro_rules! reductions {
    ($($reduction:ident $word:literal $all:ident $over:ident $keep:ident $extra:literal;)*) => {
        /// Folds over all axes (`sum`), over some, which the result lacks (`sum_over`), or over some, which stay with extent 1 (`sum_keep`). An axis may be
        /// negative, to count from the last. Without axes, or over an empty list, nothing is folded.
        impl<'g> Tensor<'g> {$(
            #[doc = concat!("The ", $word, " of all elements, a scalar.", $extra)]
            ///
            /// # Panics
            /// If the element type does not fit.
            #[track_caller]
            pub fn $all(self) -> Tensor<'g> {
                self.fold_all(Reduction::$reduction)
            }

            #[doc = concat!("The ", $word, " over the given axes, which the result lacks.", $extra)]
            ///
            /// # Panics
            /// If there is no such axis, an axis is given twice, or the element type does not fit.
            #[track_caller]
            pub fn $over(self, axes: impl IntoAxes) -> Tensor<'g> {
                self.fold(Reduction::$reduction, axes)
            }

            #[doc = concat!("The ", $word, " over the given axes, which stay with extent 1.", $extra)]
            ///
            /// # Panics
            /// If there is no such axis, an axis is given twice, or the element type does not fit.
            #[track_caller]
            pub fn $keep(self, axes: impl IntoAxes) -> Tensor<'g> {
                let axes = axes.into_axes();
                self.keep_axes(self.fold(Reduction::$reduction, &axes[..]), &axes[..])
            }
        )*}
    };
}
reductions! {
    Sum "sum" sum sum_over sum_keep "";
    Prod "product" prod prod_over prod_keep "";
    Max "largest element" max max_over max_keep " NaN if there is one. For `bool`, whether any holds. Equal elements share the cotangent.";
    Min "smallest element" min min_over min_keep " NaN if there is one. For `bool`, whether all hold. Equal elements share the cotangent.";
}

impl<'g> Tensor<'g> {
    /// The mean of all elements, a scalar; NaN if there are none.
    ///
    /// # Panics
    /// If the element type is not a float type.
    #[track_caller]
    pub fn mean(self) -> Tensor<'g> {
        let _scope = self.builder.scope("mean", &[self]);
        let axes: Vec<isize> = (0..self.rank() as isize).collect();
        self.mean_over(&axes[..])
    }

    /// The mean over the given axes, which the result lacks.
    ///
    /// # Panics
    /// If there is no such axis, an axis is given twice, or the element type is not a float type.
    #[track_caller]
    pub fn mean_over(self, axes: impl IntoAxes) -> Tensor<'g> {
        let _scope = self.builder.scope("mean_over", &[self]);
        self.expect_float("mean");
        let axes = axes.into_axes();
        let count = self.count(&axes[..]);
        let sum = self.fold(Reduction::Sum, &axes[..]);
        sum / count as f64
    }

    /// The mean over the given axes, which stay with extent 1.
    ///
    /// # Panics
    /// As [`Tensor::mean_over`].
    #[track_caller]
    pub fn mean_keep(self, axes: impl IntoAxes) -> Tensor<'g> {
        let _scope = self.builder.scope("mean_keep", &[self]);
        let axes = axes.into_axes();
        self.keep_axes(self.mean_over(&axes[..]), &axes[..])
    }

    /// Position, as `i32`, of the first largest element along `axis`, which the result lacks. A NaN counts as the largest.
    ///
    /// # Panics
    /// If there is no such axis or it has no elements.
    #[track_caller]
    pub fn argmax(self, axis: isize) -> Tensor<'g> {
        let axis = self.axis("argmax", axis);
        self.builder.push_as("argmax", ArgReduce { extremum: Extremum::Max, axis }, &[self])
    }

    /// Position, as `i32`, of the first smallest element along `axis`, which the result lacks. A NaN counts as the smallest.
    ///
    /// # Panics
    /// If there is no such axis or it has no elements.
    #[track_caller]
    pub fn argmin(self, axis: isize) -> Tensor<'g> {
        let axis = self.axis("argmin", axis);
        self.builder.push_as("argmin", ArgReduce { extremum: Extremum::Min, axis }, &[self])
    }

    /// Panics unless the element type is a float type.
    #[track_caller]
    pub(super) fn expect_float(self, op: &'static str) {
        let dtype = self.dtype();
        if !dtype.is_float() {
            let kind = OpErrorKind::DType { position: 0, expected: "a float type".to_owned(), actual: dtype };
            self.builder.check(Err(OpError::new(op, &[&self.ty()], kind)), &[self])
        }
    }
}
