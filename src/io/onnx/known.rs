//! Values that are known when a model is imported.
//!
//! Shapes are static here, but ONNX computes them: `Reshape` takes its target from a tensor that other nodes made of `Shape`, `Gather` and `Concat`. So an
//! operator that needs the numbers of an operand asks for them, and the part of the graph that computes them is evaluated, by the operations' own
//! [`eval`](crate::prim::Primitive::eval), as far as it has not been yet. Nothing is evaluated that nobody asks for.
//!
//! What such a value depends on decides the program: inputs and initializers that are reached on the way are noted, and become constants of the program in
//! another pass of the import.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{Graph, NodeId};
use crate::prim::Op;

/// The most elements that one value may have.
const LARGEST: usize = 1 << 20;

/// The most elements of all values together, and the most multiplications of a product.
const ALL: usize = 1 << 24;

/// True for what is evaluated where the operands are known.
fn is_possible(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    !matches!(&node.op, Op::Loop(_) | Op::Custom(_)) && node.ty.shape.numel() <= LARGEST
}

/// The names of the inputs and parameters that a tensor depends on; none if it also depends on what is never evaluated.
pub(super) fn leaves(tensor: Tensor<'_>) -> Option<Vec<String>> {
    tensor.in_graph(|graph| {
        let (mut seen, mut stack) = (BTreeSet::new(), vec![tensor.id()]);
        while let Some(id) = stack.pop() {
            if !is_possible(graph, id) {
                return None;
            }
            if seen.insert(id) {
                stack.extend(graph.operands(id));
            }
        }
        Some(seen.into_iter().filter_map(|id| graph.op(id).leaf_name().map(|name| name.to_string())).collect())
    })
}

/// What has been evaluated.
#[derive(Default)]
pub(super) struct Known {
    values: FxHashMap<(u32, NodeId), Option<Arc<Array>>>,
    elements: usize,
}

impl Known {
    /// The value of a tensor, if it follows from constants and from leaves that `leaf` knows.
    pub fn value(&mut self, tensor: Tensor<'_>, leaf: &dyn Fn(&str) -> Option<Arc<Array>>) -> Option<Arc<Array>> {
        let (frame, id) = tensor.key();
        if let Some(found) = self.values.get(&(frame, id)) {
            return found.clone();
        }
        tensor.in_graph(|graph| self.evaluate(graph, frame, id, leaf))
    }

    fn evaluate(
        &mut self,
        graph: &Graph,
        frame: u32,
        of: NodeId,
        leaf: &dyn Fn(&str) -> Option<Arc<Array>>,
    ) -> Option<Arc<Array>> {
        // What it needs, operands before users because their numbers are smaller.
        let (mut needed, mut stack) = (BTreeSet::new(), vec![of]);
        while let Some(id) = stack.pop() {
            match self.values.get(&(frame, id)) {
                Some(Some(_)) => continue,
                Some(None) => return self.unknown(frame, of),
                None => {}
            }
            if !is_possible(graph, id) {
                self.unknown(frame, id);
                return self.unknown(frame, of);
            }
            if needed.insert(id) {
                stack.extend(graph.operands(id));
            }
        }
        for id in needed {
            let node = graph.node(id);
            let value = match &node.op {
                Op::Input(_) | Op::Param(_) => node.op.leaf_name().and_then(|name| leaf(name)),
                Op::Const(constant) => Some(constant.value.clone()),
                op => {
                    let operands: Vec<Arc<Array>> =
                        graph.operands(id).iter().filter_map(|&o| self.values[&(frame, o)].clone()).collect();
                    let work = operands.iter().fold(1usize, |n, o| n.saturating_mul(o.shape().numel().max(1)));
                    let dear = matches!(op, Op::Dot(_) | Op::Lu(_) | Op::Cholesky(_) | Op::TriangularSolve(_));
                    if operands.len() < graph.operands(id).len() || (dear && work > ALL) {
                        None
                    } else {
                        let operands: Vec<&Array> = operands.iter().map(|o| &**o).collect();
                        Some(Arc::new(op.eval(&operands, &node.ty)))
                    }
                }
            };
            self.elements += value.as_ref().map_or(0, |v| v.shape().numel());
            let value = value.filter(|_| self.elements <= ALL);
            self.values.insert((frame, id), value);
        }
        self.values.get(&(frame, of)).cloned().flatten()
    }

    fn unknown(&mut self, frame: u32, id: NodeId) -> Option<Arc<Array>> {
        self.values.insert((frame, id), None);
        None
    }
}
