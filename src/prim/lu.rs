//! LU factors with row exchanges.

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{DType, Dims, NodeId, OpErrorKind, Shape, TensorType};

use super::matrices::{Real, Triangle, matmul, solve, square, subtract, transpose, triangle, with_real, with_rows};
use super::routine::evaluate;
use super::{
    AttrError, Attrs, Batch, Call, Combine, Cotangents, Emit, Gather, Jvp, Lowering, Pad, Primitive, Scatter, Slice,
    TriangularSolve, Vjp, Workspace, arity,
};

/// The factors of `A[p] = L U` for square matrices, the last two axes, where `p` orders the rows so that the largest element of each column is the pivot.
///
/// A result of `n + 1` rows holds `L` below the diagonal (its own diagonal is 1), `U` on and above it, and in the last row `p`, as floats. In a singular
/// matrix a pivot is 0; the elements of `L` below it are 0 too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lu;

/// The largest count of rows whose numbers every float type holds.
const MAX_ROWS: usize = 1 << 24;

/// Factors one matrix: `out` holds it in its first `n` rows.
fn factor<T: Real>(out: &mut [T], n: usize) {
    let (a, order) = out.split_at_mut(n * n);
    order.iter_mut().enumerate().for_each(|(i, p)| *p = T::from_index(i));
    for k in 0..n {
        let size = |i: usize| a[i * n + k].abs();
        let pivot = (k + 1..n).fold(k, |best, i| if size(i) > size(best) { i } else { best });
        if pivot != k {
            let (front, back) = a.split_at_mut(pivot * n);
            front[k * n..(k + 1) * n].swap_with_slice(&mut back[..n]);
            order.swap(k, pivot);
        }
        let (done, below) = a.split_at_mut((k + 1) * n);
        let row = &done[k * n..];
        if row[k] == T::ZERO {
            // All of the column is 0.
            continue;
        }
        for other in below.chunks_exact_mut(n) {
            let factor = other[k] / row[k];
            other[k] = factor;
            subtract(&mut other[k + 1..], factor, &row[k + 1..]);
        }
    }
}

/// `L x = b`.
const LOWER: TriangularSolve = TriangularSolve { lower: true, transpose: false, unit: true };
/// `U x = b`.
const UPPER: TriangularSolve = TriangularSolve { lower: false, transpose: false, unit: false };

/// Rows `from..to` of matrices.
fn rows(e: &mut dyn Emit, x: NodeId, from: usize, to: usize) -> NodeId {
    let shape = e.graph().shape(x).clone();
    let (rank, mut start) = (shape.rank(), Dims::from_elem(0, shape.rank()));
    start[rank - 2] = from;
    let len = with_rows(&shape, to - from).iter().copied().collect();
    e.emit(Slice { start, len, step: SmallVec::from_elem(1, rank) }.into(), &[x])
}

/// The factors without the order of rows, and the order as integers.
fn parts(e: &mut dyn Emit, lu: NodeId) -> (NodeId, NodeId) {
    let shape = e.graph().shape(lu).clone();
    let (rank, n) = (shape.rank(), shape[shape.rank() - 1]);
    let (factors, order) = (rows(e, lu, 0, n), rows(e, lu, n, n + 1));
    let order_shape: Shape = shape[..rank - 2].iter().copied().chain([n]).collect();
    let order = e.reshape(order, order_shape);
    (factors, e.cast(order, DType::I32))
}

impl Primitive for Lu {
    fn name(&self) -> &'static str {
        "lu"
    }

    fn accepts(name: &str) -> bool {
        name == "lu"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn parse(_: &str, _: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Lu)
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let n = square(0, operands[0])?;
        if n > MAX_ROWS {
            return Err(OpErrorKind::Other(format!("matrices of {n} rows have more than {MAX_ROWS}")));
        }
        Ok(TensorType::new(operands[0].dtype, with_rows(&operands[0].shape, n + 1)))
    }

    /// `dA[p] = L^-T (below(L^T dL) + above(dU U^T)) U^-T`, where `below` is the part below the diagonal and `above` that on and above it.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let (lu, ty, e) = (cx.output, cx.emit.ty(cx.operands[0]), &mut *cx.emit);
        let (rank, n) = (ty.shape.rank(), ty.shape[ty.shape.rank() - 1]);
        let (factors, order) = parts(e, lu);
        let g = rows(e, cx.cotangent, 0, n);
        let (dl, du) = (triangle(e, g, Triangle::StrictlyLower), triangle(e, g, Triangle::Upper));
        // As the part below the diagonal of dL alone is not 0, that of L^T dL needs no diagonal of L but 1.
        let below = triangle(e, factors, Triangle::StrictlyLower);
        let below = transpose(e, below);
        let of_l = matmul(e, below, dl);
        let of_l = e.add(of_l, dl);
        let of_l = triangle(e, of_l, Triangle::StrictlyLower);
        let u = triangle(e, factors, Triangle::Upper);
        let ut = transpose(e, u);
        let of_u = matmul(e, du, ut);
        let of_u = triangle(e, of_u, Triangle::Upper);
        let middle = e.add(of_l, of_u);
        let left = solve(e, TriangularSolve { transpose: true, ..LOWER }, factors, middle);
        let left = transpose(e, left);
        let both = solve(e, UPPER, factors, left);
        let both = transpose(e, both);
        let zeros = e.full(&ty, 0.0);
        let scatter = Scatter { batch: rank - 2, combine: Combine::Add };
        let da = e.emit(scatter.into(), &[zeros, order, both]);
        Cotangents::from_slice(&[Some(da)])
    }

    /// With `M = L^-1 dA[p] U^-1`, `dL = L below(M)` and `dU = above(M) U`.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let (lu, tangent, e) = (cx.output, cx.tangents[0]?, &mut *cx.emit);
        let rank = e.graph().shape(lu).rank();
        let (factors, order) = parts(e, lu);
        let da = e.emit(Gather { batch: rank - 2, fill: 0.0f64.to_bits() }.into(), &[tangent, order]);
        let left = solve(e, LOWER, factors, da);
        let left = transpose(e, left);
        let m = solve(e, TriangularSolve { transpose: true, ..UPPER }, factors, left);
        let m = transpose(e, m);
        let (below, above) = (triangle(e, m, Triangle::StrictlyLower), triangle(e, m, Triangle::Upper));
        let l = triangle(e, factors, Triangle::StrictlyLower);
        let dl = matmul(e, l, below);
        let dl = e.add(dl, below);
        let u = triangle(e, factors, Triangle::Upper);
        let du = matmul(e, above, u);
        let both = e.add(dl, du);
        let zero: Dims = Dims::from_elem(0, rank);
        let mut high = zero.clone();
        high[rank - 2] = 1;
        Some(e.emit(Pad { low: zero.clone(), high, interior: zero, value: 0.0f64.to_bits() }.into(), &[both]))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Lu)
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
            for (a, out) in matrices.zip(call.result::<T>().chunks_exact_mut((n + 1) * n)) {
                out[..n * n].copy_from_slice(a);
                factor(out, n);
            }
        });
    }
}
