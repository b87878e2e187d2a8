//! What the factorizations and solutions of matrices have in common: their shapes, inner loops, and pieces of their derivatives.
//!
//! Matrices are the last two axes, row-major; all axes before them count matrices. The loops run along rows, in the element type. They are written here
//! rather than taken from a library because the one that works without allocating, `faer`, would take three quarters of the time that this crate needs to
//! build.

use smallvec::SmallVec;

use crate::graph::{DType, Dims, NodeId, OpErrorKind, Shape, TensorType};
use crate::scalar::ScalarFn;

use super::{Dot, Emit, Iota, TriangularSolve, moved_axis};

/// A float type in which matrices are factored.
pub(super) trait Real:
    crate::array::ArrayElement
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
{
    const ZERO: Self;
    const NAN: Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn from_index(index: usize) -> Self;
}

macro_rules! real {
    ($($t:ident)*) => {$(
        impl Real for $t {
            const ZERO: $t = 0.0;
            const NAN: $t = $t::NAN;
            fn sqrt(self) -> $t {
                $t::sqrt(self)
            }
            fn abs(self) -> $t {
                $t::abs(self)
            }
            fn from_index(index: usize) -> $t {
                index as $t
            }
        }
    )*};
}
real!(f32 f64);

/// Evaluates an expression with `$T` standing for the Rust type of a float element type.
macro_rules! with_real {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            crate::graph::DType::F32 => {
                type $T = f32;
                $body
            }
            crate::graph::DType::F64 => {
                type $T = f64;
                $body
            }
            _ => {}
        }
    };
}
pub(super) use with_real;

/// The sum of products, in several sums side by side so that vectors can be used.
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    const WIDTH: usize = 16;
    let mut sums = [T::ZERO; WIDTH];
    let (a_blocks, b_blocks) = (a.chunks_exact(WIDTH), b.chunks_exact(WIDTH));
    let rest = a_blocks.remainder().iter().zip(b_blocks.remainder()).fold(T::ZERO, |sum, (&x, &y)| sum + x * y);
    for (x, y) in a_blocks.zip(b_blocks) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (&x, &y))| *sum = *sum + x * y);
    }
    let mut width = WIDTH / 2;
    while width > 0 {
        (0..width).for_each(|i| sums[i] = sums[i] + sums[i + width]);
        width /= 2;
    }
    sums[0] + rest
}

/// `y -= factor * x`.
pub(super) fn subtract<T: Real>(y: &mut [T], factor: T, x: &[T]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = *y - factor * x);
}

/// Checks that an operand holds square matrices of floats and returns the count of their rows.
pub(super) fn square(position: usize, ty: &TensorType) -> Result<usize, OpErrorKind> {
    if !ty.dtype.is_float() {
        return Err(OpErrorKind::DType { position, expected: "a float type".to_owned(), actual: ty.dtype });
    }
    match ty.shape[..] {
        [.., m, n] if m == n => Ok(n),
        _ => Err(OpErrorKind::Other(format!(
            "operand {position} has shape {}, which is not one of square matrices",
            ty.shape
        ))),
    }
}

/// The transpose of matrices.
pub(super) fn transpose(e: &mut dyn Emit, x: NodeId) -> NodeId {
    let rank = e.graph().shape(x).rank();
    e.transpose(x, moved_axis(rank, rank - 1, rank - 2))
}

/// The product of matrices, one by one.
pub(super) fn matmul(e: &mut dyn Emit, a: NodeId, b: NodeId) -> NodeId {
    let rank = e.graph().shape(a).rank();
    let batch: Dims = (0..rank - 2).collect();
    let dot = Dot {
        lhs_batch: batch.clone(),
        rhs_batch: batch,
        lhs_contract: SmallVec::from_slice(&[rank - 1]),
        rhs_contract: SmallVec::from_slice(&[rank - 2]),
    };
    e.dot(dot, a, b)
}

/// Which part of square matrices is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Triangle {
    /// On and below the diagonal.
    Lower,
    /// Below the diagonal.
    StrictlyLower,
    /// On and above the diagonal.
    Upper,
    /// Above the diagonal.
    StrictlyUpper,
    /// On the diagonal.
    Diagonal,
}

/// The matrices with zeros outside a part.
pub(super) fn triangle(e: &mut dyn Emit, x: NodeId, part: Triangle) -> NodeId {
    let ty = e.ty(x);
    let rank = ty.shape.rank();
    let matrix = TensorType::new(DType::I32, &ty.shape[rank - 2..]);
    let row = e.emit(Iota { ty: matrix.clone(), axis: 0 }.into(), &[]);
    let column = e.emit(Iota { ty: matrix, axis: 1 }.into(), &[]);
    let f = match part {
        Triangle::Lower => ScalarFn::Ge,
        Triangle::StrictlyLower => ScalarFn::Gt,
        Triangle::Upper => ScalarFn::Le,
        Triangle::StrictlyUpper => ScalarFn::Lt,
        Triangle::Diagonal => ScalarFn::Eq,
    };
    let kept = e.map(f, &[row, column]);
    let kept = e.broadcast(kept, ty.shape.clone(), (0..rank - 2).collect());
    let zero = e.full(&ty, 0.0);
    e.select(kept, x, zero)
}

/// The lower triangle with the diagonal halved: the half of a symmetric matrix, which adds up to it with its transpose.
pub(super) fn half(e: &mut dyn Emit, x: NodeId) -> NodeId {
    let below = triangle(e, x, Triangle::StrictlyLower);
    let diagonal = triangle(e, x, Triangle::Diagonal);
    let diagonal = e.scale(diagonal, 0.5);
    e.add(below, diagonal)
}

/// `op(a)^-1 b` for triangular matrices.
pub(super) fn solve(e: &mut dyn Emit, op: TriangularSolve, a: NodeId, b: NodeId) -> NodeId {
    e.emit(op.into(), &[a, b])
}

/// Matrices of `rows` rows in the shape of `like`.
pub(super) fn with_rows(like: &Shape, rows: usize) -> Shape {
    let mut shape: Dims = like.iter().copied().collect();
    let at = shape.len() - 2;
    shape[at] = rows;
    shape.into_iter().collect()
}
