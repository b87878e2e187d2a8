//! Reductions: one element from many, over any axes.

use smallvec::SmallVec;

use crate::graph::{DType, Dims, OpError, OpErrorKind, Shape, TensorType};
use crate::prim::{ArgReduce, Extremum, Reduce, Reduction, Reshape};
use crate::scalar::ScalarFn;

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

/// The axes, which stand for these numbers of a tensor of this rank, if none is there twice.
pub(super) fn distinct(given: &[isize], axes: Dims, rank: usize) -> Result<Dims, OpErrorKind> {
    match (1..axes.len()).find(|&i| axes[..i].contains(&axes[i])) {
        Some(i) => {
            let text = format!("axes {given:?} of rank {rank} are not distinct: axis {} is given twice", axes[i]);
            Err(OpErrorKind::Other(text))
        }
        None => Ok(axes),
    }
}

impl<'g> Tensor<'g> {
    /// Axis numbers from 0, in the order given. They are distinct.
    #[track_caller]
    pub(super) fn axes(self, op: &'static str, axes: impl IntoAxes) -> Dims {
        let (rank, given) = (self.rank(), axes.into_axes());
        let resolve = |&axis: &isize| {
            let from_front = if axis < 0 { axis + rank as isize } else { axis };
            usize::try_from(from_front).ok().filter(|&a| a < rank).ok_or(OpErrorKind::Axis { axis, rank })
        };
        let resolved = given.iter().map(resolve).collect::<Result<Dims, OpErrorKind>>();
        let resolved = resolved.and_then(|axes| distinct(&given, axes, rank));
        self.builder.check(resolved.map_err(|kind| OpError::new(op, &[&self.ty()], kind)), &[self])
    }

    #[track_caller]
    pub(super) fn axis(self, op: &'static str, axis: isize) -> usize {
        self.axes(op, axis)[0]
    }

    #[track_caller]
    pub(super) fn fold(self, reduction: Reduction, axes: impl IntoAxes) -> Tensor<'g> {
        let mut axes = self.axes(reduction.name(), axes);
        axes.sort_unstable();
        if axes.is_empty() {
            return self;
        }
        self.builder.push_as(reduction.name(), Reduce { reduction, axes }, &[self])
    }

    /// A reduced tensor with its axes put back with extent 1, so that it broadcasts against `self`.
    #[track_caller]
    pub(super) fn keep_axes(self, reduced: Tensor<'g>, axes: impl IntoAxes) -> Tensor<'g> {
        let axes = self.axes("keep", axes);
        let shape: Shape =
            self.shape().iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
        if reduced.shape() == shape { reduced } else { self.builder.push(Reshape { shape }, &[reduced]) }
    }

    /// Numbers of all axes.
    fn all_axes(self) -> Dims<isize> {
        (0..self.rank() as isize).collect()
    }

    /// Count of elements along the axes.
    #[track_caller]
    fn count(self, op: &'static str, axes: &[isize]) -> usize {
        let shape = self.shape();
        self.axes(op, axes).iter().map(|&a| shape[a]).product()
    }

    /// `value` in the shape that is left without the axes.
    #[track_caller]
    fn filled(self, dtype: DType, axes: &[isize], value: f64) -> Tensor<'g> {
        let shape = self.shape().without(&self.axes("fill", axes));
        self.builder.number(TensorType::new(dtype, shape), value)
    }
}

/// Defines the three forms of a reduction: over all axes, over some, and over some that are kept.
macro_rules! reductions {
    ($($all:ident $over:ident $keep:ident by $fold:ident($($arg:ident: $ty:ty),*) $what:literal $more:literal;)*) => {
        /// Reductions over all axes (`sum`), over some, which the result lacks (`sum_over`), or over some, which stay with extent 1 (`sum_keep`). An axis
        /// may be negative, to count from the last. Over an empty list of axes, each element is reduced by itself.
        impl<'g> Tensor<'g> {$(
            #[doc = concat!($what, " of all elements, a scalar.", $more)]
            ///
            /// # Panics
            /// If the element type does not fit.
            #[track_caller]
            pub fn $all(self $(, $arg: $ty)*) -> Tensor<'g> {
                let axes = self.all_axes();
                self.$fold(&axes $(, $arg)*)
            }

            #[doc = concat!($what, " over the given axes, which the result lacks.", $more)]
            ///
            /// # Panics
            /// If there is no such axis, an axis is given twice, or the element type does not fit.
            #[track_caller]
            pub fn $over(self, axes: impl IntoAxes $(, $arg: $ty)*) -> Tensor<'g> {
                self.$fold(&axes.into_axes() $(, $arg)*)
            }

            #[doc = concat!($what, " over the given axes, which stay with extent 1.", $more)]
            ///
            /// # Panics
            /// If there is no such axis, an axis is given twice, or the element type does not fit.
            #[track_caller]
            pub fn $keep(self, axes: impl IntoAxes $(, $arg: $ty)*) -> Tensor<'g> {
                let axes = axes.into_axes();
                self.keep_axes(self.$fold(&axes $(, $arg)*), &axes[..])
            }
        )*}
    };
}
reductions! {
    sum sum_over sum_keep by fold_sum() "The sum" " 0 of no elements. `f32` are added up in double precision, or in short blocks whose sums are.";
    prod prod_over prod_keep by fold_prod() "The product" " 1 of no elements. The gradient holds where elements are 0 too.";
    max max_over max_keep by fold_max() "The largest element" " NaN if there is one; for `bool`, whether any holds. Equal elements share the cotangent. No elements have no largest: a panic.";
    min min_over min_keep by fold_min() "The smallest element" " NaN if there is one; for `bool`, whether all hold. Equal elements share the cotangent. No elements have no smallest: a panic.";
    any any_over any_keep by fold_any() "Whether one holds, or differs from 0 (as NaN does)," " False of no elements.";
    all all_over all_keep by fold_all() "Whether all hold, or differ from 0 (as NaN does)," " True of no elements.";
    count_nonzero count_nonzero_over count_nonzero_keep by fold_count() "How many hold, or differ from 0 (as NaN does), as `i64`," "";
    mean mean_over mean_keep by fold_mean() "The mean" " NaN of no elements. Floats only.";
    variance variance_over variance_keep by fold_variance(ddof: usize) "The variance" " It is the sum of the square distances from the mean, divided by the count less `ddof` (0 for a whole population, 1 for a sample). The mean is subtracted first, and once more what is left of it, so that a large offset costs no digits. NaN if there are no more elements than `ddof`. Floats only.";
    std std_over std_keep by fold_std(ddof: usize) "The standard deviation" " It is the square root of the [variance](Tensor::variance). Where that is 0 the gradient is 0. Floats only.";
    logsumexp logsumexp_over logsumexp_keep by fold_logsumexp() "`ln` of the sum of `e^x`" " Shifted by the largest element, so that it neither overflows nor loses small terms. It is -inf if all elements are (or there are none), inf if one is; in both cases the gradient is 0. Floats only.";
    norm norm_over norm_keep by fold_norm(p: f64) "The `p`-norm" " That is `(sum |x|^p)^(1/p)` for a positive `p`; the largest magnitude for infinity; 0 of no elements. Norms 1, 2 and infinity take no powers. The largest magnitude is divided out first, so that squares neither overflow nor vanish. Where the norm is 0 the gradient is 0; by an infinite element it is NaN. Floats only; `p` must be positive.";
}

/// The folds behind the three forms.
impl<'g> Tensor<'g> {
    #[track_caller]
    fn fold_sum(self, axes: &[isize]) -> Tensor<'g> {
        self.fold(Reduction::Sum, axes)
    }

    #[track_caller]
    fn fold_prod(self, axes: &[isize]) -> Tensor<'g> {
        self.fold(Reduction::Prod, axes)
    }

    #[track_caller]
    fn fold_max(self, axes: &[isize]) -> Tensor<'g> {
        self.fold(Reduction::Max, axes)
    }

    #[track_caller]
    fn fold_min(self, axes: &[isize]) -> Tensor<'g> {
        self.fold(Reduction::Min, axes)
    }

    #[track_caller]
    fn fold_any(self, axes: &[isize]) -> Tensor<'g> {
        let _scope = self.builder.scope("any", &[self]);
        match self.count("any", axes) {
            0 => self.filled(DType::Bool, axes, 0.0),
            _ => self.cast(DType::Bool).fold(Reduction::Max, axes),
        }
    }

    #[track_caller]
    fn fold_all(self, axes: &[isize]) -> Tensor<'g> {
        let _scope = self.builder.scope("all", &[self]);
        match self.count("all", axes) {
            0 => self.filled(DType::Bool, axes, 1.0),
            _ => self.cast(DType::Bool).fold(Reduction::Min, axes),
        }
    }

    #[track_caller]
    fn fold_count(self, axes: &[isize]) -> Tensor<'g> {
        let _scope = self.builder.scope("count_nonzero", &[self]);
        self.cast(DType::Bool).cast(DType::I64).fold(Reduction::Sum, axes)
    }

    #[track_caller]
    fn fold_mean(self, axes: &[isize]) -> Tensor<'g> {
        let _scope = self.builder.scope("mean", &[self]);
        self.expect_float("mean");
        let count = self.count("mean", axes);
        self.fold(Reduction::Sum, axes) / count as f64
    }

    /// `sum d^2 - (sum d)^2 / n` for the distances `d` from the mean: the second term is what the rounding of the mean costs. No derivative is lost by
    /// taking the mean for a constant, because the difference does not depend on what is subtracted.
    #[track_caller]
    fn fold_variance(self, axes: &[isize], ddof: usize) -> Tensor<'g> {
        let _scope = self.builder.scope("variance", &[self]);
        self.expect_float("variance");
        let count = self.count("variance", axes);
        if count <= ddof {
            return self.fold_mean(axes) * f64::NAN;
        }
        let mean = self.stop_gradient().fold_mean(axes);
        let distance = self - self.keep_axes(mean, axes);
        let sum = distance.fold(Reduction::Sum, axes);
        let squares = distance.square().fold(Reduction::Sum, axes);
        let variance = (squares - sum.square() / count as f64) / (count - ddof) as f64;
        // Rounding may leave less than nothing; NaN stays.
        variance.lt(0.0).select(self.filled(self.dtype(), axes, 0.0), variance)
    }

    #[track_caller]
    fn fold_std(self, axes: &[isize], ddof: usize) -> Tensor<'g> {
        let _scope = self.builder.scope("std", &[self]);
        self.expect_float("std");
        self.fold_variance(axes, ddof).sqrt_flat_at_zero()
    }

    /// The square root, with the derivative 0 at 0.
    #[track_caller]
    fn sqrt_flat_at_zero(self) -> Tensor<'g> {
        let zero = self.eq(0.0);
        let one = self.builder.number(self.ty(), 1.0);
        zero.select(self.builder.number(self.ty(), 0.0), zero.select(one, self).sqrt())
    }

    #[track_caller]
    #[allow(clippy::eq_op, reason = "the difference of an infinity or NaN with itself is NaN")]
    fn fold_logsumexp(self, axes: &[isize]) -> Tensor<'g> {
        let _scope = self.builder.scope("logsumexp", &[self]);
        self.expect_float("logsumexp");
        if self.count("logsumexp", axes) == 0 {
            return self.filled(self.dtype(), axes, f64::NEG_INFINITY);
        }
        let largest = self.stop_gradient().fold(Reduction::Max, axes);
        let zero = self.builder.number(largest.ty(), 0.0);
        let finite = (largest - largest).eq(zero);
        let shift = finite.select(largest, zero);
        // Where the largest is not finite it is the result, and nothing of the rest may reach the gradient.
        let safe = self.keep_axes(finite, axes).select(self, 0.0);
        finite.select(safe.logsumexp_shifted(shift, axes), largest)
    }

    /// [`Tensor::logsumexp_over`] the last axis, of rows whose largest element is finite: losses have no others, and do without the guard.
    #[track_caller]
    pub(super) fn logsumexp_of_logits(self) -> Tensor<'g> {
        let _scope = self.builder.scope("logsumexp", &[self]);
        self.logsumexp_shifted(self.shift(-1), &[-1])
    }

    /// The logarithm of the sum of exponentials, each divided by `e^shift`, which is multiplied again at the end.
    #[track_caller]
    fn logsumexp_shifted(self, shift: Tensor<'g>, axes: &[isize]) -> Tensor<'g> {
        let sum = (self - self.keep_axes(shift, axes)).exp().fold(Reduction::Sum, axes);
        Tensor::map(ScalarFn::Log, &[sum]) + shift
    }

    #[track_caller]
    #[allow(clippy::eq_op, reason = "the difference of an infinity or NaN with itself is NaN")]
    fn fold_norm(self, axes: &[isize], p: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("norm", &[self]);
        self.expect_float("norm");
        if p.is_nan() || p <= 0.0 {
            self.refuse("norm", &[], OpErrorKind::Other(format!("there is no {p}-norm")))
        }
        let magnitude = self.abs();
        if p == 1.0 {
            return magnitude.fold(Reduction::Sum, axes);
        }
        if self.count("norm", axes) == 0 {
            return self.filled(self.dtype(), axes, 0.0);
        }
        if p == f64::INFINITY {
            return magnitude.fold(Reduction::Max, axes);
        }
        // The norm is `scale` times that of the elements divided by it, for any scale: it is a constant to differentiation.
        let largest = magnitude.stop_gradient().fold(Reduction::Max, axes);
        let one = self.builder.number(largest.ty(), 1.0);
        let usable = (largest - largest).eq(0.0) & largest.gt(0.0);
        let scale = usable.select(largest, one);
        let shares = if p == 2.0 { self } else { magnitude } / self.keep_axes(scale, axes);
        if p == 2.0 {
            return shares.square().fold(Reduction::Sum, axes).sqrt_flat_at_zero() * scale;
        }
        let sum = shares.pow(p).fold(Reduction::Sum, axes);
        let zero = sum.eq(0.0);
        zero.select(self.builder.number(sum.ty(), 0.0), zero.select(one, sum).pow(1.0 / p) * scale)
    }
}

impl<'g> Tensor<'g> {
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
