//! Products of tensors by other names: composites of contractions and multiplications.

use crate::graph::{Dims, OpError, OpErrorKind, Shape};

use super::Tensor;

impl<'g> Tensor<'g> {
    /// NumPy's `matmul`, another name of [`Tensor::dot`]: vectors count as a row on the left and a column on the right, axes before the last two broadcast.
    ///
    /// # Panics
    /// As [`Tensor::dot`].
    #[track_caller]
    pub fn matmul(self, other: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("matmul", &[self, other]);
        self.dot(other)
    }

    /// The products of each element with each of `other`, as a matrix `[elements, other elements]`; NumPy's `outer`.
    ///
    /// # Panics
    /// If the element types differ.
    #[track_caller]
    pub fn outer(self, other: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("outer", &[self, other]);
        self.reshape([self.shape().numel(), 1]) * other.reshape([1, other.shape().numel()])
    }

    /// The sums of products over the last axes of both; the result has the other axes of `self`, then those of `other`. With a scalar, the product. NumPy's
    /// `inner`.
    ///
    /// # Panics
    /// If the last extents or the element types differ.
    #[track_caller]
    pub fn inner(self, other: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("inner", &[self, other]);
        match (self.rank(), other.rank()) {
            (0, _) | (_, 0) => self * other,
            (a, b) => self.contract(other, &[(a - 1, b - 1)], &[]),
        }
    }

    /// The sum of the products of all elements, a scalar; NumPy's `vdot`.
    ///
    /// # Panics
    /// If the counts of elements or the element types differ.
    #[track_caller]
    pub fn vdot(self, other: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("vdot", &[self, other]);
        let (a, b) = (self.reshape([self.shape().numel()]), other.reshape([other.shape().numel()]));
        a.contract(b, &[(0, 0)], &[])
    }

    /// The sums of products over pairs of axes, of `self` and of `other`; the result has the other axes of `self`, then those of `other`. NumPy's `tensordot`.
    ///
    /// # Panics
    /// If the lists differ in length, an axis is out of range or twice in a list, or paired extents or element types differ.
    #[track_caller]
    pub fn tensordot(self, other: Tensor<'g>, axes: &[(isize, isize)]) -> Tensor<'g> {
        let _scope = self.builder.scope("tensordot", &[self, other]);
        let (left, right): (Vec<isize>, Vec<isize>) = axes.iter().copied().unzip();
        let (left, right) = (self.axes("tensordot", &left[..]), other.axes("tensordot", &right[..]));
        let pairs: Vec<(usize, usize)> = left.into_iter().zip(right).collect();
        self.contract(other, &pairs, &[])
    }

    /// The Kronecker product: each element of `self` times all of `other`, as blocks. The tensor with fewer axes has axes of extent 1 put in front. NumPy's
    /// `kron`.
    ///
    /// # Panics
    /// If the element types differ.
    #[track_caller]
    pub fn kron(self, other: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("kron", &[self, other]);
        let rank = self.rank().max(other.rank());
        let padded = |s: Shape| -> Dims { std::iter::repeat_n(1, rank - s.rank()).chain(s.iter().copied()).collect() };
        let (a, b) = (padded(self.shape()), padded(other.shape()));
        let numel = a.iter().chain(&b).try_fold(1usize, |n, &d| n.checked_mul(d));
        if numel.is_none() {
            let kind = OpErrorKind::Other("the result has too many elements".to_owned());
            self.builder.check(Err(OpError::new("kron", &[&self.ty(), &other.ty()], kind)), &[self, other])
        }
        let blocks: Shape = a.iter().flat_map(|&d| [d, 1]).collect();
        let within: Shape = b.iter().flat_map(|&d| [1, d]).collect();
        let joined: Shape = a.iter().zip(&b).map(|(x, y)| x * y).collect();
        (self.reshape(blocks) * other.reshape(within)).reshape(joined)
    }
}
