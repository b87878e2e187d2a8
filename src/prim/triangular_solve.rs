//! Solutions of triangular systems.

use crate::array::Array;
use crate::graph::{NodeId, OpErrorKind, TensorType};

use super::matrices::{
    Real, Triangle, dot, matmul, solve, square, subtract, transpose, triangle, with_real, with_rows,
};
use super::routine::evaluate;
use super::{AttrError, Attrs, Batch, Call, Cotangents, Jvp, Lowering, Primitive, Vjp, Workspace, arity};

/// The `X` with `op(A) X = B`, where `A` is triangular and `op(A)` is `A` or its transpose. Matrices are the last two axes; the axes before are the same in
/// both operands.
///
/// Only one triangle of `A` is read, and with `unit` not its diagonal, which counts as 1. A zero on the diagonal divides by zero as IEEE 754 has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TriangularSolve {
    /// Whether the lower triangle is read, rather than the upper one.
    pub lower: bool,
    /// Whether the transpose of `A` is meant.
    pub transpose: bool,
    /// Whether the diagonal counts as 1.
    pub unit: bool,
}

impl TriangularSolve {
    /// The part of `A` that is read.
    fn part(&self) -> Triangle {
        match (self.lower, self.unit) {
            (true, false) => Triangle::Lower,
            (true, true) => Triangle::StrictlyLower,
            (false, false) => Triangle::Upper,
            (false, true) => Triangle::StrictlyUpper,
        }
    }

    /// Solves one system of `n` rows and `k` columns in place. It reads rows of `A` in order: a row tells what a new element of `X` is made of, or, if `A` is
    /// transposed, where it goes.
    fn solve<T: Real>(&self, a: &[T], x: &mut [T], n: usize, k: usize) {
        let forward = self.lower != self.transpose;
        for step in 0..n {
            let i = if forward { step } else { n - 1 - step };
            let row = &a[i * n..(i + 1) * n];
            // The elements of the row that are read, without the diagonal.
            let others = if self.lower { 0..i } else { i + 1..n };
            if !self.transpose && k == 1 {
                x[i] = x[i] - dot(&row[others.clone()], &x[others.clone()]);
            } else if !self.transpose {
                for j in others.clone() {
                    let (own, other) = two_rows(x, k, i, j);
                    subtract(own, row[j], other);
                }
            }
            if !self.unit {
                x[i * k..(i + 1) * k].iter_mut().for_each(|x| *x = *x / row[i]);
            }
            if self.transpose && k == 1 {
                let own = x[i];
                subtract(&mut x[others.clone()], own, &row[others]);
            } else if self.transpose {
                for j in others {
                    let (other, own) = two_rows(x, k, j, i);
                    subtract(other, row[j], own);
                }
            }
        }
    }
}

/// Row `i`, to be changed, and row `j`, of rows of `k` elements.
fn two_rows<T>(x: &mut [T], k: usize, i: usize, j: usize) -> (&mut [T], &[T]) {
    if i < j {
        let (front, back) = x.split_at_mut(j * k);
        (&mut front[i * k..(i + 1) * k], &back[..k])
    } else {
        let (front, back) = x.split_at_mut(i * k);
        (&mut back[..k], &front[j * k..(j + 1) * k])
    }
}

impl Primitive for TriangularSolve {
    fn name(&self) -> &'static str {
        "triangular_solve"
    }

    fn accepts(name: &str) -> bool {
        name == "triangular_solve"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("lower", self.lower).word("transpose", self.transpose).word("unit", self.unit)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        let expected = "true or false";
        Ok(TriangularSolve {
            lower: attrs.take_word("lower", expected)?,
            transpose: attrs.take_word("transpose", expected)?,
            unit: attrs.take_word("unit", expected)?,
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 2)?;
        let (a, b) = (operands[0], operands[1]);
        let n = square(0, a)?;
        if b.dtype != a.dtype {
            return Err(OpErrorKind::DType { position: 1, expected: a.dtype.name().to_owned(), actual: b.dtype });
        }
        let rank = a.shape.rank();
        let fits = b.shape.rank() == rank && b.shape[..rank - 1] == a.shape[..rank - 1];
        if !fits {
            let columns = b.shape.last().copied().unwrap_or(1);
            let expected = a.shape[..rank - 2].iter().copied().chain([n, columns]).collect();
            return Err(OpErrorKind::Shape { position: 1, expected, actual: b.shape.clone() });
        }
        Ok(b.clone())
    }

    /// `dB = op(A)^-T dX`, and that of `op(A)` is `-dB X^T`.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let (a, x, g, e) = (cx.operands[0], cx.output, cx.cotangent, &mut *cx.emit);
        let db = solve(e, TriangularSolve { transpose: !self.transpose, ..self.clone() }, a, g);
        let (left, right) = if self.transpose { (x, db) } else { (db, x) };
        let right = transpose(e, right);
        let da = matmul(e, left, right);
        let da = e.neg(da);
        let da = triangle(e, da, self.part());
        Cotangents::from_slice(&[Some(da), Some(db)])
    }

    /// `op(A)^-1 (dB - op(dA) X)`.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let (a, x, tangents, e) = (cx.operands[0], cx.output, cx.tangents.clone(), &mut *cx.emit);
        let of_a = tangents[0].map(|da| {
            let da = triangle(e, da, self.part());
            let da = if self.transpose { transpose(e, da) } else { da };
            let product = matmul(e, da, x);
            e.neg(product)
        });
        let right = match (of_a, tangents[1]) {
            (Some(of_a), Some(db)) => e.add(of_a, db),
            (of_a, db) => of_a.or(db)?,
        };
        Some(solve(e, self.clone(), a, right))
    }

    /// Right sides of one matrix are columns side by side.
    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        if cx.batched[0] {
            return cx.apply(self.clone());
        }
        let (one, rank) = (cx.operand_ty(1).shape, cx.operand_ty(1).shape.rank());
        let b = cx.move_axis(cx.operands[1], 0, rank - 1);
        let columns = cx.size * one[rank - 1];
        let wide = with_rows(&one, one[rank - 2]).iter().take(rank - 1).copied().chain([columns]).collect();
        let wide = cx.emit.reshape(b, wide);
        let x = solve(cx.emit, self.clone(), cx.operands[0], wide);
        let apart = one.iter().take(rank - 1).copied().chain([cx.size, one[rank - 1]]).collect();
        let x = cx.emit.reshape(x, apart);
        cx.move_axis(x, rank - 1, 0)
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        evaluate(self, operands, ty)
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Routine { workspace: Workspace::NONE }
    }

    fn run(&self, call: Call<'_>) {
        let ty = call.ty();
        let rank = ty.shape.rank();
        let (n, k) = (ty.shape[rank - 2], ty.shape[rank - 1]);
        with_real!(ty.dtype, T => {
            let (a, b) = (call.operand::<T>(0), call.operand::<T>(1));
            let x = call.result::<T>();
            x.copy_from_slice(b);
            a.chunks_exact(n * n).zip(x.chunks_exact_mut(n * k)).for_each(|(a, x)| self.solve(a, x, n, k));
        });
    }
}
