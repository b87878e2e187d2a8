//! Building that refuses: operations on tensors that give an error where the methods of [`Tensor`] panic, because what they are applied to comes from a file.
//!
//! All of them go through [`Builder::try_push`](crate::Builder::try_push), whose shape rules are the graph's own.

use smallvec::SmallVec;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Dims, Shape, TensorType};
use crate::prim::{Broadcast, Cast, Concat, Dot, Gather, Map, Op, Pad, Reduce, Reduction, Reshape, Slice, Transpose};
use crate::scalar::ScalarFn;

use super::error::{Fault, invalid};

/// A tensor, or why there is none.
pub(super) type Made<'g> = Result<Tensor<'g>, Fault>;

/// Fallible operations.
pub(super) trait Checked<'g>: Sized {
    /// Any operation with this tensor as its only operand.
    fn push1(self, op: impl Into<Op>) -> Made<'g>;
    /// A scalar function of each element.
    fn f(self, f: ScalarFn) -> Made<'g>;
    /// A scalar function of two tensors that broadcast.
    fn f2(self, f: ScalarFn, other: Tensor<'g>) -> Made<'g>;
    /// A scalar function of the tensor and a number, of its type, or of single precision where that has 16 bits.
    fn with(self, f: ScalarFn, number: f64) -> Made<'g>;
    /// Where this holds, `a`, elsewhere `b`; all broadcast.
    fn choose(self, a: Tensor<'g>, b: Tensor<'g>) -> Made<'g>;
    /// The elements in another type.
    fn to(self, dtype: DType) -> Made<'g>;
    /// Repeated to this shape.
    fn broadcast(self, shape: &Shape) -> Made<'g>;
    /// In another shape of as many elements.
    fn shaped(self, shape: impl Into<Shape>) -> Made<'g>;
    /// With axis `permutation[i]` as the `i`-th.
    fn permute(self, permutation: &[usize]) -> Made<'g>;
    /// Axis `from` moved to place `to`.
    fn moved(self, from: usize, to: usize) -> Made<'g>;
    /// Folded over axes, in any order.
    fn fold(self, reduction: Reduction, axes: &[usize], keep: bool) -> Made<'g>;
    /// `len` elements along an axis.
    fn part(self, axis: usize, start: usize, len: usize) -> Made<'g>;
    /// Element `place` along an axis, which the result lacks.
    fn at(self, axis: usize, place: usize) -> Made<'g>;
    /// The elements of an axis in reverse order.
    fn reversed(self, axis: usize) -> Made<'g>;
    /// A new axis of extent 1 before axis `axis`.
    fn unsqueezed(self, axis: usize) -> Made<'g>;
    /// An axis of extent 1 taken away.
    fn squeezed(self, axis: usize) -> Made<'g>;
    /// Slices along `axis` by indices that are in range or whose results are not used.
    fn gathered(self, index: Tensor<'g>, axis: usize) -> Made<'g>;
    /// A number around the elements.
    fn padded(self, widths: &[(usize, usize)], value: f64) -> Made<'g>;
    /// The product of matrices, with leading axes that broadcast; vectors are rows on the left and columns on the right.
    fn product(self, other: Tensor<'g>) -> Made<'g>;
    /// The elements in single precision at least: within a node, those that were not rounded yet.
    fn wide(self) -> Made<'g>;
    /// A number of this tensor's element type.
    fn number(self, value: f64) -> Tensor<'g>;
    /// A tensor of this type with one number in it.
    fn filled(self, value: f64) -> Made<'g>;
}

impl<'g> Checked<'g> for Tensor<'g> {
    fn push1(self, op: impl Into<Op>) -> Made<'g> {
        Ok(self.builder().try_push(op, &[self])?)
    }

    fn f(self, f: ScalarFn) -> Made<'g> {
        Ok(self.push1(Map { f })?.stabilized())
    }

    fn f2(self, f: ScalarFn, other: Tensor<'g>) -> Made<'g> {
        let shape = joined(&[self.shape(), other.shape()])?;
        let operands = [self.broadcast(&shape)?, other.broadcast(&shape)?];
        Ok(self.builder().try_push(Map { f }, &operands)?.stabilized())
    }

    fn with(self, f: ScalarFn, number: f64) -> Made<'g> {
        let dtype = if self.dtype().is_half() { DType::F32 } else { self.dtype() };
        self.f2(f, self.builder().constant(Array::full(&TensorType::new(dtype, []), number)))
    }

    fn choose(self, a: Tensor<'g>, b: Tensor<'g>) -> Made<'g> {
        let shape = joined(&[self.shape(), a.shape(), b.shape()])?;
        let operands = [self.broadcast(&shape)?, a.broadcast(&shape)?, b.broadcast(&shape)?];
        Ok(self.builder().try_push(Map { f: ScalarFn::Select }, &operands)?)
    }

    fn to(self, dtype: DType) -> Made<'g> {
        if self.dtype() == dtype { Ok(self) } else { self.push1(Cast { dtype }) }
    }

    fn broadcast(self, to: &Shape) -> Made<'g> {
        let from = self.shape();
        if from == *to {
            return Ok(self);
        }
        let fits = from.rank() <= to.rank() && from.iter().rev().zip(to.iter().rev()).all(|(&f, &t)| f == t || f == 1);
        if !fits {
            return invalid(format!("shape {from} does not broadcast to {to}"));
        }
        let new = to.rank() - from.rank();
        let axes: Dims = (0..to.rank()).filter(|&a| a < new || from[a - new] != to[a]).collect();
        let kept = self.shaped(to.without(&axes))?;
        if axes.is_empty() { Ok(kept) } else { kept.push1(Broadcast { shape: to.clone(), axes }) }
    }

    fn shaped(self, shape: impl Into<Shape>) -> Made<'g> {
        let shape = shape.into();
        if self.shape() == shape { Ok(self) } else { self.push1(Reshape { shape }) }
    }

    fn permute(self, permutation: &[usize]) -> Made<'g> {
        if permutation.len() == self.rank() && permutation.iter().enumerate().all(|(i, &p)| i == p) {
            return Ok(self);
        }
        self.push1(Transpose { permutation: permutation.iter().copied().collect() })
    }

    fn moved(self, from: usize, to: usize) -> Made<'g> {
        if from.max(to) >= self.rank() {
            return invalid(format!("there is no axis {} in {}", from.max(to), self.ty()));
        }
        let mut permutation: Dims = (0..self.rank()).filter(|&a| a != from).collect();
        permutation.insert(to, from);
        self.permute(&permutation)
    }

    fn fold(self, reduction: Reduction, axes: &[usize], keep: bool) -> Made<'g> {
        let mut axes: Dims = axes.iter().copied().collect();
        axes.sort_unstable();
        let kept = keep.then(|| {
            let shape = self.shape();
            let extents = shape.iter().enumerate();
            extents.map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect::<Shape>()
        });
        let folded = if axes.is_empty() { self } else { self.push1(Reduce { reduction, axes })? };
        kept.map_or(Ok(folded), |shape| folded.shaped(shape))
    }

    fn part(self, axis: usize, start: usize, len: usize) -> Made<'g> {
        let shape = self.shape();
        let mut slice = whole(&shape);
        if axis >= shape.rank() {
            return invalid(format!("there is no axis {axis} in {}", self.ty()));
        }
        (slice.start[axis], slice.len[axis]) = (start, len);
        if start == 0 && len == shape[axis] { Ok(self) } else { self.push1(slice) }
    }

    fn at(self, axis: usize, place: usize) -> Made<'g> {
        self.part(axis, place, 1)?.squeezed(axis)
    }

    fn reversed(self, axis: usize) -> Made<'g> {
        let shape = self.shape();
        if axis >= shape.rank() {
            return invalid(format!("there is no axis {axis} in {}", self.ty()));
        }
        if shape[axis] < 2 {
            return Ok(self);
        }
        let mut slice = whole(&shape);
        (slice.start[axis], slice.step[axis]) = (shape[axis] - 1, -1);
        self.push1(slice)
    }

    fn unsqueezed(self, axis: usize) -> Made<'g> {
        let mut shape: Dims = self.shape().iter().copied().collect();
        if axis > shape.len() {
            return invalid(format!("there is no place {axis} for an axis in {}", self.ty()));
        }
        shape.insert(axis, 1);
        self.shaped(&shape[..])
    }

    fn squeezed(self, axis: usize) -> Made<'g> {
        let mut shape: Dims = self.shape().iter().copied().collect();
        if shape.get(axis) != Some(&1) {
            return invalid(format!("axis {axis} of {} has not extent 1", self.ty()));
        }
        shape.remove(axis);
        self.shaped(&shape[..])
    }

    fn gathered(self, index: Tensor<'g>, axis: usize) -> Made<'g> {
        let first = self.moved(axis, 0)?;
        let taken = self.builder().try_push(Gather::new(0), &[first, index])?;
        // The axes of the index stand first; those that were before the axis come before them.
        let (rank, chosen) = (taken.rank(), index.rank());
        let order: Dims = (chosen..chosen + axis).chain(0..chosen).chain(chosen + axis..rank).collect();
        taken.permute(&order)
    }

    fn padded(self, widths: &[(usize, usize)], value: f64) -> Made<'g> {
        if widths.iter().all(|&w| w == (0, 0)) {
            return Ok(self);
        }
        let interior = SmallVec::from_elem(0, widths.len());
        let (low, high) = (widths.iter().map(|w| w.0).collect(), widths.iter().map(|w| w.1).collect());
        self.push1(Pad { low, high, interior, value: value.to_bits() })
    }

    fn product(self, other: Tensor<'g>) -> Made<'g> {
        let (a, b) = (self.shape(), other.shape());
        if a.rank() == 0 || b.rank() == 0 {
            return invalid("a scalar is no matrix");
        }
        let left = if a.rank() == 1 { self.unsqueezed(0)? } else { self };
        let right = if b.rank() == 1 { other.unsqueezed(1)? } else { other };
        let (l, r) = (left.shape(), right.shape());
        let (lb, rb) = (Shape::from(&l[..l.rank() - 2]), Shape::from(&r[..r.rank() - 2]));
        let batch = joined(&[lb, rb])?;
        let n = batch.rank();
        let shape_of = |s: &Shape| -> Shape { batch.iter().chain(&s[s.rank() - 2..]).copied().collect() };
        let whole = n == 0 || r.rank() == 2;
        let (left, right) =
            if whole { (left, right) } else { (left.broadcast(&shape_of(&l))?, right.broadcast(&shape_of(&r))?) };
        let batched: Dims = if whole { Dims::new() } else { (0..n).collect() };
        let dot = Dot {
            lhs_batch: batched.clone(),
            lhs_contract: SmallVec::from_elem(left.rank() - 1, 1),
            rhs_contract: SmallVec::from_elem(batched.len(), 1),
            rhs_batch: batched,
        };
        let mut result = self.builder().try_push(dot, &[left, right])?;
        if b.rank() == 1 {
            result = result.squeezed(result.rank() - 1)?;
        }
        if a.rank() == 1 {
            result = result.squeezed(result.rank() - if b.rank() == 1 { 1 } else { 2 })?;
        }
        Ok(result)
    }

    fn wide(self) -> Made<'g> {
        if self.dtype() == DType::F64 { Ok(self) } else { self.to(DType::F32) }
    }

    fn number(self, value: f64) -> Tensor<'g> {
        self.builder().constant(Array::full(&TensorType::new(self.dtype(), []), value))
    }

    fn filled(self, value: f64) -> Made<'g> {
        self.number(value).broadcast(&self.shape())
    }
}

/// A slice that takes everything.
pub(super) fn whole(shape: &Shape) -> Slice {
    Slice {
        start: SmallVec::from_elem(0, shape.rank()),
        len: shape.iter().copied().collect(),
        step: SmallVec::from_elem(1, shape.rank()),
    }
}

/// The shape to which all of these broadcast.
pub(super) fn joined(shapes: &[Shape]) -> Result<Shape, Fault> {
    let rank = shapes.iter().map(Shape::rank).max().unwrap_or(0);
    let mut extents: Dims = SmallVec::from_elem(1, rank);
    for shape in shapes {
        for (axis, &n) in shape.iter().enumerate() {
            let to = &mut extents[rank - shape.rank() + axis];
            match (*to, n) {
                (a, b) if a == b || b == 1 => {}
                (1, b) => *to = b,
                _ => {
                    let shapes: Vec<String> = shapes.iter().map(Shape::to_string).collect();
                    return invalid(format!("shapes {} do not broadcast", shapes.join(" and ")));
                }
            }
        }
    }
    Ok(extents.iter().copied().collect())
}

/// Tensors one behind the other along an axis.
pub(super) fn concat<'g>(tensors: &[Tensor<'g>], axis: usize) -> Made<'g> {
    match tensors {
        [] => invalid("there is nothing to concatenate"),
        [only] if axis < only.rank() => Ok(*only),
        [first, ..] => Ok(first.builder().try_push(Concat { axis }, tensors)?),
    }
}
