//! Cholesky factors.

use crate::array::Array;
use crate::graph::{NodeId, OpErrorKind, TensorType};

use super::matrices::{Real, Triangle, dot, half, matmul, solve, square, transpose, triangle, with_real};
use super::routine::evaluate;
use super::{
    AttrError, Attrs, Batch, Call, Cotangents, Jvp, Lowering, Primitive, TriangularSolve, Vjp, Workspace, arity,
};

/// The lower triangular `L` with `A = L L^T`, for symmetric positive definite matrices, the last two axes.
///
/// Only the lower triangle of `A` is read, and the derivative is by it: cotangents are lower triangular. The factor of a matrix that is not positive
/// definite, as far as rounding tells, is NaN in the lower triangle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cholesky;

/// Factors one matrix. The sums of row `i` run along rows that are done.
fn factor<T: Real>(a: &[T], l: &mut [T], n: usize) {
    let mut definite = true;
    for i in 0..n {
        let (done, rest) = l.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &done[j * n..(j + 1) * n];
            row[j] = (a[i * n + j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let square = a[i * n + i] - dot(&row[..i], &row[..i]);
        definite &= square > T::ZERO;
        row[i] = square.sqrt();
        row[i + 1..].fill(T::ZERO);
    }
    if !definite {
        (0..n).for_each(|i| l[i * n..i * n + i + 1].fill(T::NAN));
    }
}

/// `L^T x = b`.
const TRANSPOSED: TriangularSolve = TriangularSolve { lower: true, transpose: true, unit: false };
/// `L x = b`.
const PLAIN: TriangularSolve = TriangularSolve { lower: true, transpose: false, unit: false };

impl Primitive for Cholesky {
    fn name(&self) -> &'static str {
        "cholesky"
    }

    fn accepts(name: &str) -> bool {
        name == "cholesky"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn parse(_: &str, _: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Cholesky)
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        square(0, operands[0])?;
        Ok(operands[0].clone())
    }

    /// `S = L^-T half(L^T dL) L^-1`; the symmetric cotangent is half of `S + S^T`, and the lower triangle stands for the upper one too (Murray 2016, "Differentiation
    /// of the Cholesky decomposition").
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let (l, g, e) = (cx.output, cx.cotangent, &mut *cx.emit);
        let g = triangle(e, g, Triangle::Lower);
        let lt = transpose(e, l);
        let product = matmul(e, lt, g);
        let product = half(e, product);
        let left = solve(e, TRANSPOSED, l, product);
        let left = transpose(e, left);
        let s = solve(e, TRANSPOSED, l, left);
        let st = transpose(e, s);
        let both = e.add(s, st);
        Cotangents::from_slice(&[Some(half(e, both))])
    }

    /// `dL = L half(L^-1 dA L^-T)`, with `dA` symmetric.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let (l, tangent, e) = (cx.output, cx.tangents[0]?, &mut *cx.emit);
        let lower = triangle(e, tangent, Triangle::Lower);
        let below = triangle(e, tangent, Triangle::StrictlyLower);
        let above = transpose(e, below);
        let da = e.add(lower, above);
        let left = solve(e, PLAIN, l, da);
        let left = transpose(e, left);
        let both = solve(e, PLAIN, l, left);
        let both = half(e, both);
        Some(matmul(e, l, both))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Cholesky)
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        evaluate(self, operands, ty)
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Routine { workspace: Workspace::NONE }
    }

    fn run(&self, call: Call<'_>) {
        let ty = call.ty();
        let n = ty.shape[ty.shape.rank() - 1];
        with_real!(ty.dtype, T => {
            let matrices = call.operand::<T>(0).chunks_exact(n * n);
            matrices.zip(call.result::<T>().chunks_exact_mut(n * n)).for_each(|(a, l)| factor(a, l, n));
        });
    }
}
