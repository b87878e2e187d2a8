//! Diagonals and triangles of matrices.

use smallvec::SmallVec;

use crate::graph::{DType, Dims, OpErrorKind, TensorType};
use crate::prim::{Iota, Pad};

use super::{Builder, Tensor};

impl<'g> Tensor<'g> {
    /// The lower triangles of matrices in the last two axes: the elements on and below diagonal number `diagonal` (0 is the main one, positive ones lie above
    /// it), zeros elsewhere, whatever was there.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[track_caller]
    pub fn tril(self, diagonal: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("tril", &[self]);
        let above = self.above("tril", diagonal);
        above.select(self.builder.number(TensorType::new(self.dtype(), []), 0.0), self)
    }

    /// The upper triangles of matrices in the last two axes: the elements on and above diagonal number `diagonal`, zeros elsewhere, whatever was there.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[track_caller]
    pub fn triu(self, diagonal: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("triu", &[self]);
        let above = self.above("triu", diagonal.saturating_sub(1));
        above.select(self, self.builder.number(TensorType::new(self.dtype(), []), 0.0))
    }

    /// For the last two axes, whether a place lies above a diagonal.
    #[track_caller]
    fn above(self, op: &'static str, diagonal: isize) -> Tensor<'g> {
        let (rows, columns) = (self.axis(op, -2), self.axis(op, -1));
        let (row, column, diagonal) = self.builder.places([self.shape()[rows], self.shape()[columns]], diagonal);
        column.gt(row + diagonal)
    }

    /// Matrices with the vectors of the last axis on diagonal number `diagonal` (0 is the main one, positive ones lie above it) and zeros elsewhere: `[.., n]`
    /// becomes `[.., n + |diagonal|, n + |diagonal|]`. [`Tensor::diagonal`] is the inverse.
    ///
    /// # Panics
    /// If the tensor is a scalar.
    #[doc(alias = "diag_embed")]
    #[track_caller]
    pub fn diag(self, diagonal: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("diag", &[self]);
        let shape = self.shape();
        let last = self.axis("diag", -1);
        let (n, away) = (shape[last], diagonal.unsigned_abs());
        let Some((side, count)) = n.checked_add(away).and_then(|s| Some((s, s.checked_mul(s)?))) else {
            self.refuse("diag", &[], OpErrorKind::Other(format!("diagonal {diagonal} is too far away")))
        };
        // The elements lie `side + 1` places apart in the matrix.
        let first = if diagonal < 0 { away * side } else { away };
        let span = if n == 0 { 0 } else { (n - 1) * (side + 1) + 1 };
        let low = first.min(count - span);
        let mut pad = Pad {
            low: SmallVec::from_elem(0, shape.rank()),
            high: SmallVec::from_elem(0, shape.rank()),
            interior: SmallVec::from_elem(0, shape.rank()),
            value: 0.0f64.to_bits(),
        };
        (pad.low[last], pad.interior[last], pad.high[last]) = (low, side, count - span - low);
        let matrices: Dims = shape[..last].iter().copied().chain([side, side]).collect();
        self.builder.push(pad, &[self]).reshape(&matrices[..])
    }

    /// The elements on diagonal number `diagonal` of the matrices in axes `rows` and `columns`, which the result lacks; they are its last axis. Number 0 is
    /// the main diagonal, positive ones lie above it.
    ///
    /// # Panics
    /// If there is no such axis or both are the same.
    #[doc(alias = "diag")]
    #[track_caller]
    pub fn diagonal(self, diagonal: isize, rows: isize, columns: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("diagonal", &[self]);
        let axes = self.axes("diagonal", [rows, columns]);
        let (r, c) = (axes[0], axes[1]);
        let order: Dims = (0..self.rank()).filter(|&a| a != r && a != c).chain([r, c]).collect();
        let matrices = self.permuted(order);
        let shape = matrices.shape();
        let last = shape.rank() - 1;
        let (n, m) = (shape[last - 1], shape[last]);
        let away = diagonal.unsigned_abs();
        let (skipped_rows, skipped_columns) = if diagonal < 0 { (away, 0) } else { (0, away) };
        let len = n.saturating_sub(skipped_rows).min(m.saturating_sub(skipped_columns));
        let flat = matrices.flatten(last - 1..);
        if len == 0 {
            return flat.slice(-1, ..0);
        }
        let first = skipped_rows * m + skipped_columns;
        flat.slice_step(-1, first..first + (len - 1) * (m + 1) + 1, m as isize + 1)
    }

    /// The sum of the main diagonal of the matrices in the last two axes, which the result lacks.
    ///
    /// # Panics
    /// If there are fewer than two axes or the element type is `bool`.
    #[track_caller]
    pub fn trace(self) -> Tensor<'g> {
        let _scope = self.builder.scope("trace", &[self]);
        let (rows, columns) = (self.axis("trace", -2), self.axis("trace", -1));
        self.diagonal(0, rows as isize, columns as isize).sum_over(-1)
    }
}

impl Builder {
    /// Ones on diagonal number `diagonal` (0 is the main one, positive ones lie above it) of matrices in the last two axes, zeros elsewhere.
    ///
    /// # Panics
    /// If the type has fewer than two axes.
    #[doc(alias = "identity")]
    #[track_caller]
    pub fn eye(&self, ty: TensorType, diagonal: isize) -> Tensor<'_> {
        let _scope = self.scope("eye", &[]);
        let [.., rows, columns] = ty.shape[..] else { panic!("eye: {ty} has fewer than two axes") };
        let (row, column, diagonal) = self.places([rows, columns], diagonal);
        column.eq(row + diagonal).cast(ty.dtype).broadcast_to(ty.shape)
    }

    /// The numbers of a matrix's rows, as a column, and of its columns, and of a diagonal, brought into a range in which nothing overflows.
    fn places(&self, [rows, columns]: [usize; 2], diagonal: isize) -> (Tensor<'_>, Tensor<'_>, Tensor<'_>) {
        let row = self.push(Iota { ty: TensorType::new(DType::I64, [rows, 1]), axis: 0 }, &[]);
        let column = self.push(Iota { ty: TensorType::new(DType::I64, [columns]), axis: 0 }, &[]);
        let (rows, columns) = (rows as isize, columns as isize);
        let diagonal = diagonal.clamp(-rows - 1, columns + 1);
        (row, column, self.number(TensorType::new(DType::I64, []), diagonal as f64))
    }
}
