//! Linear algebra: factors of matrices, solutions of linear systems, determinants.
//!
//! Matrices are the last two axes; the axes before them count matrices and broadcast. Nothing here panics on numbers: matrices that cannot be factored give
//! NaN and infinities as each method says.

use smallvec::SmallVec;

use crate::graph::{DType, Dims, OpError, OpErrorKind, Shape, TensorType};
use crate::prim::{Cholesky, Gather, Iota, Lu, Slice, TriangularSolve};

use super::Tensor;
use super::tensor::join;

/// What a triangular matrix is in [`Tensor::triangular_solve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TriangularOptions {
    /// Whether the upper triangle is read, rather than the lower one.
    pub upper: bool,
    /// Whether the transpose of the matrix is meant.
    pub transpose: bool,
    /// Whether the diagonal is not read and counts as 1.
    pub unit: bool,
    /// Whether the unknown stands left of the matrix: `X op(A) = B`.
    pub right: bool,
}

impl<'g> Tensor<'g> {
    /// The lower triangular `L` with `A = L L^T` for symmetric positive definite matrices `[.., n, n]`.
    ///
    /// Only the lower triangle of `A` is read, and the gradient is by what is read: lower triangular, with the share of the upper triangle in it. Where `A` is
    /// not positive definite, as far as rounding tells, the lower triangle of the result is NaN.
    ///
    /// # Panics
    /// If these are not square matrices of floats.
    #[track_caller]
    pub fn cholesky(self) -> Tensor<'g> {
        self.builder.push(Cholesky, &[self])
    }

    /// The `X` with `op(A) X = B`, or `X op(A) = B`, where `A`, this tensor of shape `[.., n, n]`, is triangular; `other` is `B`, of shape `[.., n, k]`, or
    /// `[.., k, n]` on the right. Axes before the last two broadcast.
    ///
    /// Only one triangle of `A` is read. A zero on the diagonal divides by zero as IEEE 754 has it.
    ///
    /// # Panics
    /// If these are not square matrices of floats, or `other` does not fit.
    #[track_caller]
    pub fn triangular_solve(self, other: Tensor<'g>, options: TriangularOptions) -> Tensor<'g> {
        let _scope = self.builder.scope("triangular_solve", &[self, other]);
        let TriangularOptions { upper, transpose, unit, right } = options;
        self.expect_square("triangular_solve");
        if other.rank() < 2 {
            let kind =
                OpErrorKind::Other(format!("operand 1 has shape {}, which is not one of matrices", other.shape()));
            let error = OpError::new("triangular_solve", &[&self.ty(), &other.ty()], kind);
            self.builder.check(Err(error), &[self, other])
        }
        let b = if right { other.t() } else { other };
        let (a, b) = self.with_common_batch("triangular_solve", b);
        let x = self.builder.push(TriangularSolve { lower: !upper, transpose: transpose != right, unit }, &[a, b]);
        if right { x.t() } else { x }
    }

    /// The `X` with `A X = B`, where `A`, this tensor, is `[.., n, n]`; `other` is a vector `[n]` or matrices `[.., n, k]`, as in NumPy. Axes before the last two
    /// broadcast. By LU factors with row exchanges; for one product with an inverse this is the better way.
    ///
    /// A singular `A` gives infinities and NaN.
    ///
    /// # Panics
    /// If these are not square matrices of floats, or `other` does not fit.
    #[track_caller]
    pub fn solve(self, other: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("solve", &[self, other]);
        self.expect_square("solve");
        if other.rank() == 0 {
            let kind = OpErrorKind::Other("the right side is a scalar".to_owned());
            let error = OpError::new("solve", &[&self.ty(), &other.ty()], kind);
            self.builder.check(Err(error), &[self, other])
        }
        let is_vector = other.rank() == 1;
        let b = if is_vector { other.expand(1) } else { other };
        let lu = self.builder.push(Lu, &[self]);
        let (factors, order) = (lu.factors(), lu.order());
        let (factors, b) = factors.with_common_batch("solve", b);
        let batch = factors.rank() - 2;
        let order_shape: Shape = factors.shape().iter().take(batch + 1).copied().collect();
        let permuted = self.builder.push(Gather::new(batch), &[b, order.broadcast_to(order_shape)]);
        let lower = TriangularSolve { lower: true, transpose: false, unit: true };
        let upper = TriangularSolve { lower: false, transpose: false, unit: false };
        let y = self.builder.push(lower, &[factors, permuted]);
        let x = self.builder.push(upper, &[factors, y]);
        if is_vector { x.squeeze(-1) } else { x }
    }

    /// The inverses of matrices `[.., n, n]`: [`Tensor::solve`] of the identity. A singular matrix gives infinities and NaN.
    ///
    /// # Panics
    /// If these are not square matrices of floats.
    #[track_caller]
    pub fn inverse(self) -> Tensor<'g> {
        let _scope = self.builder.scope("inverse", &[self]);
        let n = self.expect_square("inverse");
        let ty = TensorType::new(DType::I32, [n, n]);
        let row = self.builder.push(Iota { ty: ty.clone(), axis: 0 }, &[]);
        let column = self.builder.push(Iota { ty, axis: 1 }, &[]);
        self.solve(row.eq(column).cast(self.dtype()))
    }

    /// The determinants of matrices `[.., n, n]`, of shape `[..]`: the product of the pivots; 0 for singular matrices, whose gradient is NaN or infinite, and 1
    /// for matrices without rows. For large matrices, whose determinants overflow, see [`Tensor::slogdet`].
    ///
    /// # Panics
    /// If these are not square matrices of floats.
    #[track_caller]
    pub fn det(self) -> Tensor<'g> {
        let _scope = self.builder.scope("det", &[self]);
        self.expect_square("det");
        let lu = self.builder.push(Lu, &[self]);
        lu.pivots().prod_over(-1) * lu.parity()
    }

    /// Sign (-1, 0 or 1) and logarithm of the magnitude of the determinants of matrices `[.., n, n]`, both of shape `[..]`. A singular matrix gives 0 and -inf.
    ///
    /// # Panics
    /// If these are not square matrices of floats.
    #[track_caller]
    pub fn slogdet(self) -> (Tensor<'g>, Tensor<'g>) {
        let _scope = self.builder.scope("slogdet", &[self]);
        self.expect_square("slogdet");
        let lu = self.builder.push(Lu, &[self]);
        let pivots = lu.pivots();
        (pivots.sign().prod_over(-1) * lu.parity(), pivots.abs().log().sum_over(-1))
    }

    /// The logarithm of the determinants of symmetric positive definite matrices `[.., n, n]`, of shape `[..]`, by their Cholesky factors; NaN where a matrix is
    /// not positive definite.
    ///
    /// # Panics
    /// If these are not square matrices of floats.
    #[track_caller]
    pub fn logdet(self) -> Tensor<'g> {
        let _scope = self.builder.scope("logdet", &[self]);
        self.expect_square("logdet");
        self.cholesky().pivots().log().sum_over(-1) * 2.0
    }

    /// Of LU factors as [`Lu`] gives them, those without the order of rows.
    #[track_caller]
    fn factors(self) -> Tensor<'g> {
        let n = self.shape()[self.rank() - 1];
        self.slice(-2, 0..n)
    }

    /// Of LU factors, the order of the rows, `i32`.
    #[track_caller]
    fn order(self) -> Tensor<'g> {
        let n = self.shape()[self.rank() - 1];
        self.slice(-2, n..n + 1).squeeze(-2).cast(DType::I32)
    }

    /// The diagonal of matrices of at least as many rows as columns, as a strided view.
    #[track_caller]
    fn pivots(self) -> Tensor<'g> {
        let shape = self.shape();
        let rank = shape.rank();
        let (rest, rows, n) = (&shape[..rank - 2], shape[rank - 2], shape[rank - 1]);
        let with_last = |last: usize| -> Dims { rest.iter().copied().chain([last]).collect() };
        let flat = self.reshape(with_last(rows * n).into_iter().collect::<Shape>());
        let step = rest.iter().map(|_| 1).chain([n as isize + 1]).collect();
        let slice = Slice { start: SmallVec::from_elem(0, rank - 1), len: with_last(n), step };
        self.builder.push(slice, &[flat])
    }

    /// Of LU factors, 1 where an even number of exchanges gives the order of rows, else -1: the parity of the pairs that are out of order.
    #[track_caller]
    fn parity(self) -> Tensor<'g> {
        let order = self.order();
        let n = order.shape()[order.rank() - 1];
        let place = TensorType::new(DType::I32, [n, n]);
        let row = self.builder.push(Iota { ty: place.clone(), axis: 0 }, &[]);
        let column = self.builder.push(Iota { ty: place, axis: 1 }, &[]);
        let exchanged = order.expand(-1).gt(order.expand(-2)) & row.lt(column).broadcast_to(square_of(order, n));
        let count = exchanged.cast(DType::I32).sum_over([-1, -2]);
        let odd = count % 2;
        (1 - 2 * odd).cast(self.dtype())
    }

    /// Panics unless these are square matrices of floats; returns the count of rows.
    #[track_caller]
    fn expect_square(self, op: &'static str) -> usize {
        self.expect_float(op);
        match self.shape()[..] {
            [.., m, n] if m == n => n,
            _ => {
                let kind = OpErrorKind::Other(format!("shape {} is not one of square matrices", self.shape()));
                self.builder.check(Err(OpError::new(op, &[&self.ty()], kind)), &[self])
            }
        }
    }

    /// Square matrices and matrices of as many rows, with the axes before the matrices broadcast.
    #[track_caller]
    fn with_common_batch(self, op: &'static str, other: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
        let (a, b) = (self.shape(), other.shape());
        let (n, rows) = (a[a.rank() - 1], b[b.rank() - 2]);
        if rows != n {
            let kind = OpErrorKind::Other(format!("the matrices have {n} rows, the right side has {rows}"));
            self.builder.check(Err(OpError::new(op, &[&self.ty(), &other.ty()], kind)), &[self, other])
        }
        let batch_of = |s: &Shape| Shape::from(&s[..s.rank() - 2]);
        let batch = join(&batch_of(&a), &batch_of(&b));
        let batch = batch.map_err(|kind| OpError::new(op, &[&self.ty(), &other.ty()], kind));
        let batch = self.builder.check(batch, &[self, other]);
        let with_batch = |s: &Shape| -> Shape { batch.iter().chain(&s[s.rank() - 2..]).copied().collect() };
        (self.broadcast_to(with_batch(&a)), other.broadcast_to(with_batch(&b)))
    }
}

/// The shape of a tensor with its last axis twice.
fn square_of(tensor: Tensor<'_>, n: usize) -> Shape {
    tensor.shape().iter().copied().chain([n]).collect()
}
