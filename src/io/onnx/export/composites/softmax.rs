//! Softmax and its logarithm, over one axis.

use crate::graph::{DType, Graph, NodeId};
use crate::prim::{Op, Reduce, Reduction};
use crate::scalar::ScalarFn;

use super::super::writer::{Writer, named};
use super::{constant, of_map};

pub(super) struct Softmax {
    pub x: NodeId,
    axis: usize,
    operator: &'static str,
}

impl Softmax {
    pub fn write(&self, w: &mut Writer, x: &str) -> String {
        w.emit(self.operator, &[x], vec![named("axis", self.axis as i64)])
    }
}

/// What is repeated along just one axis, and that axis.
fn repeated(graph: &Graph, id: NodeId) -> Option<(NodeId, usize)> {
    let Op::Broadcast(broadcast) = graph.op(id) else { return None };
    let axes = &broadcast.axes;
    let &[axis] = &axes[..] else { return None };
    Some((kept(graph, graph.operands(id)[0]), axis))
}

/// A tensor without the axis of extent 1 that a fold kept.
fn kept(graph: &Graph, mut id: NodeId) -> NodeId {
    while matches!(graph.op(id), Op::Reshape(_)) {
        id = graph.operands(id)[0];
    }
    id
}

/// What is folded over this axis alone.
fn folded(graph: &Graph, id: NodeId, reduction: Reduction, axis: usize) -> Option<NodeId> {
    let Op::Reduce(Reduce { reduction: own, axes }) = graph.op(id) else { return None };
    (*own == reduction && axes[..] == [axis]).then(|| graph.operands(id)[0])
}

/// The tensor whose largest elements along an axis are taken from it: `x` of `x - shift(x)`.
fn shifted(graph: &Graph, id: NodeId, axis: usize) -> Option<NodeId> {
    let &[x, shift] = &of_map(graph, id, ScalarFn::Sub)?[..] else { return None };
    let (shift, own) = repeated(graph, shift)?;
    if own != axis {
        return None;
    }
    // Where the largest is infinite or NaN, nothing is taken away.
    let largest = match &of_map(graph, shift, ScalarFn::Select) {
        Some(operands) => {
            let &[finite, largest, zero] = &operands[..] else { return None };
            let &[difference, other] = &of_map(graph, finite, ScalarFn::Eq)?[..] else { return None };
            let same = of_map(graph, difference, ScalarFn::Sub)?[..] == [largest, largest];
            (same && is_zero(graph, zero) && is_zero(graph, other)).then_some(largest)?
        }
        None => shift,
    };
    let of = folded(graph, kept(graph, largest), Reduction::Max, axis)?;
    let of = of_map(graph, of, ScalarFn::StopGradient).map_or(of, |operands| operands[0]);
    (of == x).then_some(x)
}

fn is_zero(graph: &Graph, id: NodeId) -> bool {
    constant(graph, id).is_some_and(|value| value.to_f64_vec().iter().all(|&v| v == 0.0))
}

/// `exp(x - shift) / sum`.
pub(super) fn find(graph: &Graph, id: NodeId) -> Option<Softmax> {
    let &[e, sum] = &of_map(graph, id, ScalarFn::Div)?[..] else { return None };
    let (sum, axis) = repeated(graph, sum)?;
    if folded(graph, sum, Reduction::Sum, axis)? != e || !is_possible(graph, id) {
        return None;
    }
    let x = shifted(graph, of_map(graph, e, ScalarFn::Exp)?[0], axis)?;
    Some(Softmax { x, axis, operator: "Softmax" })
}

/// `(x - shift) - log(sum(exp(x - shift)))`.
pub(super) fn log(graph: &Graph, id: NodeId) -> Option<Softmax> {
    let &[difference, logarithm] = &of_map(graph, id, ScalarFn::Sub)?[..] else { return None };
    let (logarithm, axis) = repeated(graph, logarithm).or_else(|| {
        // The logarithm of sums that are repeated already.
        let sum = of_map(graph, logarithm, ScalarFn::Log)?[0];
        repeated(graph, sum).map(|(_, axis)| (logarithm, axis))
    })?;
    let sum = of_map(graph, logarithm, ScalarFn::Log)?[0];
    let sum = repeated(graph, sum).map_or(kept(graph, sum), |(sum, _)| sum);
    let e = folded(graph, sum, Reduction::Sum, axis)?;
    if of_map(graph, e, ScalarFn::Exp)?[0] != difference || !is_possible(graph, id) {
        return None;
    }
    let x = shifted(graph, difference, axis)?;
    Some(Softmax { x, axis, operator: "LogSoftmax" })
}

/// True where runtimes have the operator.
fn is_possible(graph: &Graph, id: NodeId) -> bool {
    matches!(graph.ty(id).dtype, DType::F32 | DType::F64) && graph.shape(id).numel() > 0
}
