//! Sorting, and what is chosen by order.

use crate::graph::{Dims, OpError, OpErrorKind};
use crate::prim::{Argsort, Gather, Transpose};

use super::Tensor;

impl<'g> Tensor<'g> {
    /// The positions, as `i32`, at which the elements along `axis` stand in ascending (or descending) order. The shape stays.
    ///
    /// Equal elements keep their order, also when descending, and zeros of both signs are equal. A NaN counts as larger than all numbers: it comes last in
    /// ascending order, as in NumPy, and first in descending order, as in PyTorch.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn argsort(self, axis: isize, descending: bool) -> Tensor<'g> {
        let axis = self.axis("argsort", axis);
        self.builder.push(Argsort { axis, descending }, &[self])
    }

    /// The elements along `axis` in ascending (or descending) order, as [`Tensor::argsort`] orders them. The derivative of each goes to the element that
    /// was moved there.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn sort(self, axis: isize, descending: bool) -> Tensor<'g> {
        let _scope = self.builder.scope("sort", &[self]);
        let axis = self.axis("sort", axis) as isize;
        let order = self.argsort(axis, descending);
        self.choose_along(order, axis as usize)
    }

    /// The `k` largest elements along `axis`, the largest first, and their positions as `i32`. Of equal elements the first is chosen; NaN counts as larger
    /// than all numbers. For the smallest elements, see [`Tensor::sort`].
    ///
    /// # Panics
    /// If there is no such axis or it has fewer than `k` elements.
    #[track_caller]
    pub fn top_k(self, k: usize, axis: isize) -> (Tensor<'g>, Tensor<'g>) {
        let _scope = self.builder.scope("top_k", &[self]);
        let axis = self.axis("top_k", axis);
        let extent = self.shape()[axis];
        if k > extent {
            let kind = OpErrorKind::Other(format!("there are no {k} largest of the {extent} elements of axis {axis}"));
            self.builder.check(Err(OpError::new("top_k", &[&self.ty()], kind)), &[self])
        }
        let positions = self.argsort(axis as isize, true).slice(axis as isize, 0..k);
        (self.choose_along(positions, axis), positions)
    }

    /// The value below which the share `q` of the elements along `axis` lies, by linear interpolation between its neighbours (NumPy's default). The result
    /// lacks the axis. NaN if an element is NaN.
    ///
    /// # Panics
    /// If there is no such axis, it has no elements, `q` is not between 0 and 1, or the element type is not a float type.
    #[track_caller]
    pub fn quantile(self, q: f64, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("quantile", &[self]);
        self.expect_float("quantile");
        let axis = self.axis("quantile", axis);
        let extent = self.shape()[axis];
        if !(0.0..=1.0).contains(&q) || extent == 0 {
            let kind = OpErrorKind::Other(format!("the quantile {q} of {extent} elements does not exist"));
            self.builder.check(Err(OpError::new("quantile", &[&self.ty()], kind)), &[self])
        }
        let sorted = self.sort(axis as isize, false);
        let place = q * (extent - 1) as f64;
        let below = place.floor() as usize;
        let share = place - below as f64;
        let at = |i: usize| sorted.slice(axis as isize, i..i + 1).squeeze(axis as isize);
        let value = at(below);
        let value = if share == 0.0 { value } else { value + (at(below + 1) - value) * share };
        // A NaN is sorted to the end.
        let last = at(extent - 1);
        last.is_nan().select(last, value)
    }

    /// The middle element along `axis`, or the mean of the two middle ones: [`Tensor::quantile`] of 0.5. The result lacks the axis.
    ///
    /// # Panics
    /// As [`Tensor::quantile`].
    #[track_caller]
    pub fn median(self, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("median", &[self]);
        self.quantile(0.5, axis)
    }

    /// `out[.., i, ..] = self[.., index[.., i, ..], ..]` along `axis`.
    #[track_caller]
    pub(super) fn choose_along(self, index: Tensor<'g>, axis: usize) -> Tensor<'g> {
        let last = self.rank() - 1;
        let order: Dims = (0..last + 1).filter(|&a| a != axis).chain([axis]).collect();
        let order = Transpose { permutation: order };
        let back = Transpose { permutation: order.inverse() };
        let gather = Gather::new(last);
        if axis == last {
            return self.builder.push(gather, &[self, index]);
        }
        let (x, index) = (self.builder.push(order.clone(), &[self]), self.builder.push(order, &[index]));
        let chosen = self.builder.push(gather, &[x, index]);
        self.builder.push(back, &[chosen])
    }
}
