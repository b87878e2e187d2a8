//! Tensors of the types for storage, `f16` and `bf16`, as operands of operations that compute.
//!
//! ```text
//!   a + b, both bf16          cast f32, cast f32, add, cast bf16
//!   a.softmax(-1), a bf16     cast f32, max, sub, exp ... div, cast bf16: inside a composite nothing is rounded
//! ```
//!
//! The operands are widened, and a result of type `f32` is rounded to the operands' type. Inside a composite, an operand that is such a rounded result gives
//! way to the number before rounding, so that a whole composite rounds once, at its end. Its operands are widened once, so that their cotangents are added up
//! in `f32` too.
//!
//! Types do not mix: a `bf16` and an `f32` tensor, or a `bf16` and an `f16` one, meet only after a [`cast`](Tensor::cast). A single constant number of type
//! `f32`, which is what a number beside a tensor becomes, goes with both.

use std::sync::Arc;

use crate::graph::{DType, Graph, NodeId, OpError, Operands, Origin};
use crate::prim::{Cast, Op};

use super::Builder;

#[allow(unused_imports, reason = "the documentation refers to it")]
use super::Tensor;

impl Builder {
    /// Appends an operation, with conversions around it if it computes with operands of types for storage.
    pub(super) fn append(&self, op: Op, operands: &[NodeId], origin: Arc<Origin>) -> Result<NodeId, OpError> {
        let mut graph = self.graph.borrow_mut();
        let graph = &mut *graph;
        let Some(half) = operands.iter().map(|&o| graph.ty(o).dtype).find(|d| d.is_half()) else {
            return graph.push(op, operands, origin);
        };
        let mut call = self.call.borrow_mut();
        let mut call = call.as_mut().filter(|call| call.frame == self.frame());
        let start = call.as_ref().map_or(usize::MAX, |call| call.start);
        let exact = |graph: &Graph, id: NodeId| (id.index() >= start).then(|| before_rounding(graph, id)).flatten();

        let has_exact = operands.iter().any(|&o| exact(graph, o).is_some());
        let typed = matches!(op, Op::Loop(_) | Op::Custom(_));
        let mixes = |&o: &NodeId| {
            let dtype = graph.ty(o).dtype;
            dtype.is_float() && dtype != half && !(dtype == DType::F32 && is_number(graph, o))
        };
        if op.takes_halves() && (typed || !has_exact) || operands.iter().any(mixes) {
            return graph.push(op, operands, origin);
        }
        let mut wide = Operands::new();
        for &operand in operands {
            let known = call.as_ref().and_then(|call| call.widened.get(&operand).copied());
            wide.push(match exact(graph, operand).or(known) {
                Some(id) => id,
                None if graph.ty(operand).dtype != half => operand,
                None => {
                    let id = graph.push(Cast { dtype: DType::F32 }, &[operand], origin.clone())?;
                    if let Some(call) = &mut call {
                        call.widened.insert(operand, id);
                    }
                    id
                }
            });
        }
        if matches!(&op, Op::Cast(_)) {
            return if op == (Cast { dtype: DType::F32 }).into() { Ok(wide[0]) } else { graph.push(op, &wide, origin) };
        }
        let result = graph.push(op, &wide, origin.clone())?;
        if graph.ty(result).dtype != DType::F32 {
            return Ok(result);
        }
        graph.push(Cast { dtype: half }, &[result], origin)
    }
}

/// The `f32` of which a node is the rounded number.
fn before_rounding(graph: &Graph, id: NodeId) -> Option<NodeId> {
    if !matches!(graph.op(id), Op::Cast(_)) || !graph.ty(id).dtype.is_half() {
        return None;
    }
    let wide = graph.operands(id)[0];
    (graph.ty(wide).dtype == DType::F32).then_some(wide)
}

/// True for a single constant number, repeated or not.
fn is_number(graph: &Graph, mut id: NodeId) -> bool {
    while matches!(graph.op(id), Op::Broadcast(_) | Op::Reshape(_)) {
        id = graph.operands(id)[0];
    }
    matches!(graph.op(id), Op::Const(_)) && graph.ty(id).shape.numel() == 1
}
