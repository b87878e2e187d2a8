//! Folds of all beginnings of an axis, and linear recurrences.

use crate::prim::{Cumulative, Recurrence, Reduction};

use super::Tensor;

/// Which elements a cumulative fold takes at each place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CumulativeOptions {
    /// Whether the element at the place itself is left out: the fold begins with the neutral element (0, 1, or the smallest or largest number).
    pub exclusive: bool,
    /// Whether the elements from the place on are taken, rather than those up to it.
    pub reverse: bool,
}

impl<'g> Tensor<'g> {
    /// At each place along `axis` the fold of the elements up to it, or as the options say. The shape stays.
    ///
    /// Sums and products of `f32` are accumulated in double precision, sums of `f64` with compensation, so that long sums lose no digits; integers wrap. A
    /// NaN counts as the most extreme element. Of equal extremes, the first in the direction of the fold receives the cotangent; the gradient of a product
    /// divides by nothing and is exact where elements are 0.
    ///
    /// # Panics
    /// If there is no such axis, or for sums and products of truth values.
    #[track_caller]
    pub fn cumulative(self, reduction: Reduction, axis: isize, options: CumulativeOptions) -> Tensor<'g> {
        let _scope = self.builder.scope("cumulative", &[self]);
        let axis = self.axis("cumulative", axis);
        let CumulativeOptions { exclusive, reverse } = options;
        let folded = self.builder.push(Cumulative { reduction, axis, reverse }, &[self]);
        if exclusive { folded.shift_along(axis, !reverse, reduction.neutral(self.dtype())) } else { folded }
    }

    /// The sum of the elements up to each place along `axis`; see [`Tensor::cumulative`].
    ///
    /// # Panics
    /// If there is no such axis or the tensor holds truth values.
    #[track_caller]
    pub fn cumsum(self, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("cumsum", &[self]);
        self.cumulative(Reduction::Sum, axis, CumulativeOptions::default())
    }

    /// The product of the elements up to each place along `axis`; see [`Tensor::cumulative`].
    ///
    /// # Panics
    /// If there is no such axis or the tensor holds truth values.
    #[track_caller]
    pub fn cumprod(self, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("cumprod", &[self]);
        self.cumulative(Reduction::Prod, axis, CumulativeOptions::default())
    }

    /// The largest of the elements up to each place along `axis`; see [`Tensor::cumulative`].
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn cummax(self, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("cummax", &[self]);
        self.cumulative(Reduction::Max, axis, CumulativeOptions::default())
    }

    /// The smallest of the elements up to each place along `axis`; see [`Tensor::cumulative`].
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn cummin(self, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("cummin", &[self]);
        self.cumulative(Reduction::Min, axis, CumulativeOptions::default())
    }

    /// `ln` of the sum of `e^x` of the elements up to each place along `axis`, shifted by the largest of them, so that it neither overflows nor loses small
    /// terms; -inf where all of them are -inf.
    ///
    /// # Panics
    /// If there is no such axis or the element type is not a float type.
    #[track_caller]
    pub fn logcumsumexp(self, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("logcumsumexp", &[self]);
        self.expect_float("logcumsumexp");
        let axis = self.axis("logcumsumexp", axis);
        let zero = self.builder.number(self.ty(), 0.0);
        let largest = self.stop_gradient().cummax(axis as isize);
        #[allow(clippy::eq_op, reason = "the difference of an infinity or NaN with itself is NaN")]
        let shift = (largest - largest).eq(zero).select(largest, zero);
        // The sum, divided by e^shift, is divided anew where the shift grows. Nothing has been added yet where the largest element was -inf.
        let lowest = f64::NEG_INFINITY;
        let nothing = largest.shift_along(axis, true, lowest).eq(lowest);
        let decay = nothing.select(zero, (shift.shift_along(axis, true, 0.0) - shift).exp());
        let sum = (self - shift).exp().recurrence(decay, axis as isize, false);
        sum.log() + shift
    }

    /// The linear recurrence `y[k] = factor[k] y[k - 1] + x[k]` along `axis`, where `x` is this tensor, beginning with `y[0] = x[0]`; if `reverse`, it runs
    /// from the end: `y[k] = factor[k] y[k + 1] + x[k]`. Discounted returns, exponential averages and linear filters are of this form.
    ///
    /// Single precision is accumulated in double precision. The first factor is not used.
    ///
    /// # Panics
    /// If there is no such axis, shapes or element types differ, or the element type is not a float type.
    #[track_caller]
    pub fn recurrence(self, factor: Tensor<'g>, axis: isize, reverse: bool) -> Tensor<'g> {
        let axis = self.axis("recurrence", axis);
        self.builder.push(Recurrence { axis, reverse }, &[factor, self])
    }

    /// The tensor moved by one place along an axis; `fill` takes the place that is left free. `up` moves elements to higher indices.
    #[track_caller]
    fn shift_along(self, axis: usize, up: bool, fill: f64) -> Tensor<'g> {
        let shape = self.shape();
        let extent = shape[axis];
        if extent == 0 {
            return self;
        }
        let mut widths = vec![(0, 0); shape.rank()];
        widths[axis] = (usize::from(up), usize::from(!up));
        let kept = if up { 0..extent - 1 } else { 1..extent };
        self.slice(axis as isize, kept).pad(&widths, fill)
    }
}
