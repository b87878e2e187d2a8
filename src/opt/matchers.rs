//! What rules ask about nodes, and the small constructions that they share.

use std::sync::Arc;

use crate::array::Array;
use crate::graph::{Dims, NodeId, Operands, Shape, TensorType};
use crate::prim::{Broadcast, Const, Emit, Map, Op, Reduction, Reshape, Transpose};
use crate::scalar::ScalarFn;

use super::rewrite::Rewriter;

impl Rewriter<'_> {
    /// The operand of a one-operand map of `f`.
    pub fn unary(&self, id: NodeId, f: ScalarFn) -> Option<NodeId> {
        self.is_map(id, f).then(|| self.operands(id)[0])
    }

    /// The operands of a two-operand map of `f`.
    pub fn binary(&self, id: NodeId, f: ScalarFn) -> Option<(NodeId, NodeId)> {
        self.is_map(id, f).then(|| (self.operands(id)[0], self.operands(id)[1]))
    }

    /// The operands of a select.
    pub fn as_select(&self, id: NodeId) -> Option<(NodeId, NodeId, NodeId)> {
        let o = self.operands(id);
        self.is_map(id, ScalarFn::Select).then(|| (o[0], o[1], o[2]))
    }

    /// True if the node is a map of `f`.
    pub fn is_map(&self, id: NodeId, f: ScalarFn) -> bool {
        matches!(self.op(id), Op::Map(m) if m.f == f)
    }

    /// True if the node's elements are floats.
    pub fn is_float(&self, id: NodeId) -> bool {
        self.graph().ty(id).dtype.is_float()
    }

    /// The operand and the attributes of a broadcast.
    pub fn as_broadcast(&self, id: NodeId) -> Option<(NodeId, &Broadcast)> {
        match self.op(id) {
            Op::Broadcast(b) => Some((self.operands(id)[0], b)),
            _ => None,
        }
    }

    /// The operand of a reshape.
    pub fn as_reshape(&self, id: NodeId) -> Option<NodeId> {
        matches!(self.op(id), Op::Reshape(Reshape { .. })).then(|| self.operands(id)[0])
    }

    /// The operand and the permutation of a transpose.
    pub fn as_transpose(&self, id: NodeId) -> Option<(NodeId, &Transpose)> {
        match self.op(id) {
            Op::Transpose(t) => Some((self.operands(id)[0], t)),
            _ => None,
        }
    }

    /// The operand and the axes of a reduction of this kind.
    pub fn as_reduce(&self, id: NodeId, reduction: Reduction) -> Option<(NodeId, &Dims)> {
        match self.op(id) {
            Op::Reduce(r) if r.reduction == reduction => Some((self.operands(id)[0], &r.axes)),
            _ => None,
        }
    }

    /// The scalar constant of which every element of the node is a copy.
    pub fn splat_source(&self, id: NodeId) -> Option<NodeId> {
        match self.op(id) {
            Op::Const(c) if c.value.shape().rank() == 0 => Some(id),
            Op::Broadcast(_) => self.splat_source_below(self.operands(id)[0]),
            _ => None,
        }
    }

    /// Broadcasts of broadcasts are merged wherever rules run, so one level below is deep enough.
    fn splat_source_below(&self, id: NodeId) -> Option<NodeId> {
        matches!(self.op(id), Op::Const(c) if c.value.shape().rank() == 0).then_some(id)
    }

    /// The number that every element of the node is, known now. An `i64` beyond 2^53 comes out rounded.
    pub fn splat(&self, id: NodeId) -> Option<f64> {
        match self.op(self.splat_source(id)?) {
            Op::Const(c) => c.as_scalar(),
            _ => None,
        }
    }

    /// True if every element is `value`; the sign of zero counts.
    pub fn is_splat(&self, id: NodeId, value: f64) -> bool {
        self.splat(id).is_some_and(|v| v.to_bits() == value.to_bits())
    }

    /// True if every element is a zero of either sign.
    pub fn is_zero(&self, id: NodeId) -> bool {
        self.splat(id) == Some(0.0)
    }

    /// `x` first and the splat constant second, if one of the two operands is one. Two constants do not count.
    pub fn with_splat(&self, a: NodeId, b: NodeId) -> Option<(NodeId, NodeId)> {
        match (self.splat_source(a).is_some(), self.splat_source(b).is_some()) {
            (false, true) => Some((a, b)),
            (true, false) => Some((b, a)),
            _ => None,
        }
    }

    /// A constant.
    pub fn constant(&mut self, value: Array) -> NodeId {
        self.emit(Const { value: Arc::new(value) }.into(), &[])
    }

    /// `f` of splat constants, computed now, as a splat of the given shape.
    ///
    /// # Panics
    /// If an operand is not a splat constant.
    pub fn fold_splats(&mut self, f: ScalarFn, operands: &[NodeId], shape: &Shape) -> NodeId {
        let value = self.eval_splats(f, operands);
        let scalar = self.constant(value);
        self.broadcast_new(scalar, shape)
    }

    /// `f` of splat constants as a scalar, computed now.
    ///
    /// # Panics
    /// If an operand is not a splat constant.
    pub fn eval_splats(&self, f: ScalarFn, operands: &[NodeId]) -> Array {
        let scalars: Operands = operands
            .iter()
            .map(|&o| self.splat_source(o).expect("the rule has seen that the operand is a splat"))
            .collect();
        let op = Op::from(Map { f });
        self.eval_constants(&op, &scalars).expect("splats are constants")
    }

    /// The operation on constants, computed now. `None` if an operand is not a constant.
    pub fn eval_constants(&self, op: &Op, operands: &[NodeId]) -> Option<Array> {
        let values: Option<Vec<&Array>> = operands
            .iter()
            .map(|&o| match self.op(o) {
                Op::Const(c) => Some(&*c.value),
                _ => None,
            })
            .collect();
        let values = values?;
        let types: Vec<TensorType> = values.iter().map(|v| v.ty()).collect();
        let ty = op.infer(&types.iter().collect::<Vec<_>>()).ok()?;
        Some(op.eval(&values, &ty))
    }
}

/// The permutation that leaves axes where they are.
pub fn is_identity(permutation: &[usize]) -> bool {
    permutation.iter().enumerate().all(|(i, &p)| i == p)
}

/// The extents other than 1.
pub fn without_units(shape: &[usize]) -> Dims {
    shape.iter().copied().filter(|&d| d != 1).collect()
}
