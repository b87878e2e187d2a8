//! What the rules of forward mode and of batching work with.
//!
//! A JVP rule is given the tangents of the operands and makes the tangent of the result. A batching rule is given operands of which some have one more
//! axis, the first, along which examples lie, and makes the results of all examples, in the same form.

use smallvec::SmallVec;

use crate::graph::{Dims, NodeId, Operands, Shape, TensorType};

use super::{Emit, Op};

/// The modes of differentiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From a result's cotangent to the operands'.
    Reverse,
    /// From the operands' tangents to the result's.
    Forward,
}

/// One tangent for each operand; `None` where it is zero.
pub type Tangents = SmallVec<[Option<NodeId>; 3]>;

/// What a JVP rule works with: the graph under construction, the node and the tangents of its operands, one of which at least is there.
pub struct Jvp<'a> {
    /// Where the rule makes its nodes.
    pub emit: &'a mut dyn Emit,
    /// The operands of the node.
    pub operands: Operands,
    /// The node itself, so that a rule may reuse its result. Of a float type.
    pub output: NodeId,
    /// The tangents of the operands, each of its operand's type.
    pub tangents: Tangents,
}

impl Jvp<'_> {
    /// Type of operand `i`.
    pub fn operand_ty(&self, i: usize) -> TensorType {
        self.emit.ty(self.operands[i])
    }

    /// The tangent of operand `i`, as zeros if it is zero.
    pub fn tangent(&mut self, i: usize) -> NodeId {
        match self.tangents[i] {
            Some(tangent) => tangent,
            None => self.emit.full_like(self.operands[i], 0.0),
        }
    }

    /// The rule of an operation of one operand that is linear: `op` of the tangent.
    pub fn linear(&mut self, op: impl Into<Op>) -> Option<NodeId> {
        let tangent = self.tangents[0]?;
        Some(self.emit.emit(op.into(), &[tangent]))
    }
}

/// What a batching rule works with: the graph under construction and the operands, of which at least one has a batch axis.
///
/// The rule's result has the batch axis first. Of `self` it knows the operation on one example.
pub struct Batch<'a> {
    /// Where the rule makes its nodes.
    pub emit: &'a mut dyn Emit,
    /// The operands; a batched one has the batch axis before the axes of one example.
    pub operands: Operands,
    /// Whether each operand is batched. One that is not is the same for all examples.
    pub batched: SmallVec<[bool; 3]>,
    /// Count of examples.
    pub size: usize,
}

impl Batch<'_> {
    /// Type of operand `i` of one example.
    pub fn operand_ty(&self, i: usize) -> TensorType {
        let ty = self.emit.ty(self.operands[i]);
        if self.batched[i] { TensorType::new(ty.dtype, &ty.shape[1..]) } else { ty }
    }

    /// Operand `i` with a batch axis, repeated if it has none of its own.
    pub fn with_batch_axis(&mut self, i: usize) -> NodeId {
        if self.batched[i] { self.operands[i] } else { self.repeat(self.operands[i]) }
    }

    /// `node`, which is the same for all examples, repeated along a batch axis.
    pub fn repeat(&mut self, node: NodeId) -> NodeId {
        let shape = self.shape(self.emit.graph().shape(node));
        self.emit.broadcast(node, shape, Dims::from_slice(&[0]))
    }

    /// The shape of a batch of tensors of this shape.
    pub fn shape(&self, one: &Shape) -> Shape {
        std::iter::once(self.size).chain(one.iter().copied()).collect()
    }

    /// `op` applied to the operands, the unbatched ones repeated.
    pub fn apply(&mut self, op: impl Into<Op>) -> NodeId {
        let operands: Operands = (0..self.operands.len()).map(|i| self.with_batch_axis(i)).collect();
        self.emit.emit(op.into(), &operands)
    }

    /// `node` with axis `from` moved to place `to`.
    pub fn move_axis(&mut self, node: NodeId, from: usize, to: usize) -> NodeId {
        let rank = self.emit.graph().shape(node).rank();
        self.emit.transpose(node, moved_axis(rank, from, to))
    }
}

/// The permutation that moves axis `from` to place `to` and keeps the order of the others.
pub(crate) fn moved_axis(rank: usize, from: usize, to: usize) -> Dims {
    let mut permutation: Dims = (0..rank).filter(|&a| a != from).collect();
    permutation.insert(to, from);
    permutation
}

/// The axes of one example as axes behind a batch axis.
pub(super) fn behind_batch(axes: &[usize]) -> Dims {
    axes.iter().map(|a| a + 1).collect()
}

/// A list with one entry for each axis, with `entry` for a batch axis before them.
pub(super) fn with_batch<T: Copy>(entry: T, list: &[T]) -> Dims<T>
where
    [T; 4]: smallvec::Array<Item = T>,
{
    std::iter::once(entry).chain(list.iter().copied()).collect()
}
