//! How VJP rules and rewrites make nodes.
//!
//! [`Emit`] is a graph under construction with short names for the operations. Who implements it decides what making a node means: differentiation
//! appends with the origin of the rule that runs, the optimizer looks for an equal node first and tries its rules.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{DType, Dims, Graph, NodeId, Operands, Shape, TensorType};
use crate::scalar::ScalarFn;

use super::{Broadcast, Cast, Const, Dot, Map, Op, Pad, Reduce, Reduction, Reshape, Slice, Taken, Transpose};

/// A graph under construction.
///
/// All methods expect operands that fit; they serve rules, which know the types of what they work on.
pub trait Emit {
    /// The graph so far.
    fn graph(&self) -> &Graph;

    /// Makes a node, or finds one that computes the same.
    ///
    /// # Panics
    /// If the operands do not fit, which is an error in the rule that emits.
    fn append(&mut self, op: Op, operands: &[NodeId]) -> NodeId;

    /// [`Emit::append`] for operands of any type: an operation that computes is given those of the [types for storage](DType::is_half) as `f32`, and its
    /// result, if it is of that type, is rounded back.
    fn emit(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        let half = operands.iter().map(|&o| self.graph().ty(o).dtype).find(|d| d.is_half());
        let Some(half) = half.filter(|_| !op.takes_halves()) else { return self.append(op, operands) };
        let mut widened = Operands::new();
        for &operand in operands {
            let is_half = self.graph().ty(operand).dtype == half;
            widened.push(if is_half { self.cast(operand, DType::F32) } else { operand });
        }
        let result = self.append(op, &widened);
        if self.graph().ty(result).dtype == DType::F32 { self.cast(result, half) } else { result }
    }

    /// Type of a node.
    fn ty(&self, id: NodeId) -> TensorType {
        self.graph().ty(id).clone()
    }

    /// A scalar function of each element.
    fn map(&mut self, f: ScalarFn, operands: &[NodeId]) -> NodeId {
        self.emit(Map { f }.into(), operands)
    }

    /// `a + b`.
    fn add(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.map(ScalarFn::Add, &[a, b])
    }

    /// `a - b`.
    fn sub(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.map(ScalarFn::Sub, &[a, b])
    }

    /// `a * b`.
    fn mul(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.map(ScalarFn::Mul, &[a, b])
    }

    /// `a / b`.
    fn div(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.map(ScalarFn::Div, &[a, b])
    }

    /// `-a`.
    fn neg(&mut self, a: NodeId) -> NodeId {
        self.map(ScalarFn::Neg, &[a])
    }

    /// `a` where `condition`, else `b`.
    fn select(&mut self, condition: NodeId, a: NodeId, b: NodeId) -> NodeId {
        self.map(ScalarFn::Select, &[condition, a, b])
    }

    /// `value` in every element of the type.
    fn full(&mut self, ty: &TensorType, value: f64) -> NodeId {
        let scalar = Array::full(&TensorType::new(ty.dtype, Shape::scalar()), value);
        let scalar = self.emit(Const { value: Arc::new(scalar) }.into(), &[]);
        self.broadcast_new(scalar, &ty.shape)
    }

    /// `value` in every element, typed like node `like`.
    fn full_like(&mut self, like: NodeId, value: f64) -> NodeId {
        let ty = self.ty(like);
        self.full(&ty, value)
    }

    /// `a * number`.
    fn scale(&mut self, a: NodeId, number: f64) -> NodeId {
        let k = self.full_like(a, number);
        self.mul(a, k)
    }

    /// Scalar `a` repeated over `shape`.
    fn broadcast_new(&mut self, a: NodeId, shape: &Shape) -> NodeId {
        let axes = (0..shape.rank()).collect();
        self.broadcast(a, shape.clone(), axes)
    }

    /// `a` repeated along the new `axes` of `shape`.
    fn broadcast(&mut self, a: NodeId, shape: Shape, axes: Dims) -> NodeId {
        if axes.is_empty() { a } else { self.emit(Broadcast { shape, axes }.into(), &[a]) }
    }

    /// Folds `axes`.
    fn reduce(&mut self, reduction: Reduction, a: NodeId, axes: Dims) -> NodeId {
        if axes.is_empty() { a } else { self.emit(Reduce { reduction, axes }.into(), &[a]) }
    }

    /// Sum over `axes`.
    fn sum(&mut self, a: NodeId, axes: Dims) -> NodeId {
        self.reduce(Reduction::Sum, a, axes)
    }

    /// `a` in another shape.
    fn reshape(&mut self, a: NodeId, shape: Shape) -> NodeId {
        if *self.graph().shape(a) == shape { a } else { self.emit(Reshape { shape }.into(), &[a]) }
    }

    /// `a` with axis `permutation[i]` as its `i`-th.
    fn transpose(&mut self, a: NodeId, permutation: Dims) -> NodeId {
        if permutation.iter().enumerate().all(|(i, &p)| i == p) {
            a
        } else {
            self.emit(Transpose { permutation }.into(), &[a])
        }
    }

    /// Elements `from[axis]..from[axis] + len[axis]` of `a` on each axis, with zeros where `a` has none.
    fn frame(&mut self, a: NodeId, from: &[isize], len: &[usize]) -> NodeId {
        let shape = self.graph().shape(a).clone();
        let rank = shape.rank();
        // The part of each axis that lies in both.
        let part = |axis: usize| {
            let extent = shape[axis] as isize;
            let start = from[axis].clamp(0, extent);
            let end = (from[axis] + len[axis] as isize).clamp(start, extent);
            (start as usize, (end - start) as usize)
        };
        let slice = Slice {
            start: (0..rank).map(|axis| part(axis).0).collect(),
            len: (0..rank).map(|axis| part(axis).1).collect(),
            step: Dims::from_elem(1, rank),
        };
        let low = |axis: usize| (-from[axis]).clamp(0, len[axis] as isize) as usize;
        let pad = Pad {
            low: (0..rank).map(low).collect(),
            high: (0..rank).map(|axis| len[axis] - low(axis) - slice.len[axis]).collect(),
            interior: Dims::from_elem(0, rank),
            value: 0.0f64.to_bits(),
        };
        let a = if slice.len[..] == shape[..] { a } else { self.emit(slice.into(), &[a]) };
        if pad.low.iter().chain(&pad.high).all(|&n| n == 0) { a } else { self.emit(pad.into(), &[a]) }
    }

    /// `a` converted to `dtype`.
    fn cast(&mut self, a: NodeId, dtype: DType) -> NodeId {
        if self.graph().ty(a).dtype == dtype { a } else { self.emit(Cast { dtype }.into(), &[a]) }
    }

    /// A sum of products.
    fn dot(&mut self, dot: Dot, a: NodeId, b: NodeId) -> NodeId {
        self.emit(dot.into(), &[a, b])
    }
}

/// What a VJP rule works with: the graph under construction, the node and the cotangent of its result.
pub struct Vjp<'a> {
    /// Where the rule makes its nodes.
    pub emit: &'a mut dyn Emit,
    /// The operands of the node.
    pub operands: Operands,
    /// The node itself, so that a rule may reuse its result.
    pub output: NodeId,
    /// The cotangent of the result: the derivative of the final scalar by each of its elements. Of the result's type.
    pub cotangent: NodeId,
    /// Where the cotangent can differ from 0; `None` for everywhere.
    pub taken: Option<Taken>,
    /// The same for the operands' cotangents, if the rule knows it.
    pub operands_taken: SmallVec<[Option<Taken>; 3]>,
}

impl Vjp<'_> {
    /// Type of operand `i`.
    pub fn operand_ty(&self, i: usize) -> TensorType {
        self.emit.ty(self.operands[i])
    }
}
