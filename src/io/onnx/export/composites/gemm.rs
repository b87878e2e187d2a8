//! Products of two matrices that are transposed first, or to whose rows something is added.

use crate::graph::{DType, Graph, NodeId};
use crate::prim::Op;

use super::super::writer::{Writer, named};
use super::{Users, added_along};

pub(super) struct Gemm {
    pub a: NodeId,
    pub b: NodeId,
    pub bias: Option<NodeId>,
    transposes: [bool; 2],
}

/// The product, and the node that is its result; `None` where it is just a product.
pub(super) fn find(graph: &Graph, id: NodeId, users: &Users) -> Option<(NodeId, Gemm)> {
    let Op::Dot(dot) = graph.op(id) else { return None };
    let operands = graph.operands(id);
    let matrices = operands.iter().all(|&o| graph.shape(o).rank() == 2 && graph.shape(o).numel() > 0);
    let (&[l], &[r]) = (&dot.lhs_contract[..], &dot.rhs_contract[..]) else { return None };
    if !matrices || !dot.lhs_batch.is_empty() || !matches!(graph.ty(id).dtype, DType::F32 | DType::F64) {
        return None;
    }
    let ((a, a_turned), (b, b_turned)) = (straight(graph, operands[0]), straight(graph, operands[1]));
    let transposes = [(l == 0) != a_turned, (r == 1) != b_turned];
    let (root, bias) = match added_along(graph, id, 1, users) {
        Some((sum, bias)) => (sum, Some(bias)),
        None => (id, None),
    };
    (bias.is_some() || transposes != [false; 2]).then_some((root, Gemm { a, b, bias, transposes }))
}

/// The matrix before it was transposed, if it was.
fn straight(graph: &Graph, id: NodeId) -> (NodeId, bool) {
    match graph.op(id) {
        Op::Transpose(transpose) if transpose.permutation[..] == [1, 0] => (graph.operands(id)[0], true),
        _ => (id, false),
    }
}

impl Gemm {
    pub fn write(&self, w: &mut Writer, a: &str, b: &str, bias: Option<&str>) -> String {
        let attributes =
            ["transA", "transB"].iter().zip(self.transposes).filter(|(_, on)| *on).map(|(name, _)| named(name, 1));
        let operands: Vec<&str> = [a, b].into_iter().chain(bias).collect();
        w.emit("Gemm", &operands, attributes.collect())
    }
}
