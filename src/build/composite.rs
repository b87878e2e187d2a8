//! Composites: softmax and its kin, layers, made of other operations and without rules of their own.

use crate::scalar::ScalarFn;

use super::{IntoAxes, Tensor};

impl<'g> Tensor<'g> {
    /// `e^x` divided by its sum along `axis`. A row of which all elements are -inf gives NaN; [`Tensor::softmax_where`] gives 0.
    ///
    /// # Panics
    /// If there is no such axis, it has no elements, or the element type is not a float type.
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Tensor<'g> {
        self.softmax_over(&[axis])
    }

    /// [`Tensor::softmax`] over several axes together.
    #[track_caller]
    pub(super) fn softmax_over(self, axes: &[isize]) -> Tensor<'g> {
        let _scope = self.builder.scope("softmax", &[self]);
        let shift = self.shift(axes);
        let e = (self - self.keep_axes(shift, axes)).exp();
        Tensor::map(ScalarFn::Div, &[e, e.sum_keep(axes)])
    }

    /// The logarithm of [`Tensor::softmax`], as `x - logsumexp(x)`.
    ///
    /// # Panics
    /// As [`Tensor::softmax`].
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("log_softmax", &[self]);
        let shift = self.shift(axis);
        let shifted = self - self.keep_axes(shift, axis);
        let sum = shifted.exp().sum_keep(axis);
        shifted - Tensor::map(ScalarFn::Log, &[sum])
    }

    /// The largest element over the axes where it is finite, elsewhere 0: what is subtracted before exponentials. It has no gradient, as the results do
    /// not depend on it.
    #[track_caller]
    #[allow(clippy::eq_op, reason = "the difference of an infinity or NaN with itself is NaN")]
    pub(super) fn shift(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.expect_float("softmax");
        let largest = self.stop_gradient().max_over(axes);
        let zero = self.builder.number(largest.ty(), 0.0);
        // x - x is 0 for finite numbers and NaN for infinities and NaN.
        (largest - largest).eq(zero).select(largest, zero)
    }

    /// `self W + b` for rows of features: `self` of shape `[.., in]`, `weight` `[in, out]`, `bias` `[out]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn linear(self, weight: Tensor<'g>, bias: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("linear", &[self, weight, bias]);
        self.dot(weight) + bias
    }
}
