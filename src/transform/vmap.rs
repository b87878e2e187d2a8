//! Batching: a function of one example becomes a function of many.
//!
//! The function is written as nodes on *prototypes*, which stand for one example. The walk goes over the nodes between the prototypes and the results and
//! makes each again for all examples, by the operation's own batching rule. It knows no operation. Nodes that do not depend on a prototype stay as they
//! are, and are not repeated for every example unless a rule needs it. The nodes on prototypes are left behind, used by nothing.
//!
//! Cost: time and new nodes are linear in the nodes walked over. The walk is a loop, not a recursion.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::grad::{Appender, Instead};
use crate::graph::{Dims, Graph, NodeId, Operands};
use crate::prim::{Batch, Emit, Reshape};

/// Appends `results` for a batch of examples: for each prototype, the tensor that holds its examples along a new first axis of extent `size`. A result
/// has the examples along its first axis too; one that depends on no prototype is repeated.
///
/// # Panics
/// If a batch's type is not that of its prototype with an axis of extent `size` before it.
pub fn vmap(graph: &mut Graph, prototypes: &[(NodeId, NodeId)], size: usize, results: &[NodeId]) -> Vec<NodeId> {
    vmap_beside(graph, prototypes, size, results, &FxHashMap::default()).0
}

/// [`vmap`] that makes, for some nodes, an older node of the same value too, and gives besides the results what each node has become. What has become of the
/// older one is older.
pub(crate) fn vmap_beside(
    graph: &mut Graph,
    prototypes: &[(NodeId, NodeId)],
    size: usize,
    results: &[NodeId],
    beside: &FxHashMap<NodeId, NodeId>,
) -> (Vec<NodeId>, Vec<Option<NodeId>>) {
    let end = results.iter().map(|r| r.index() + 1).max().unwrap_or(0);
    let mut batches: Vec<Option<NodeId>> = vec![None; end];
    let mut between = vec![false; end];
    for &(prototype, batch) in prototypes {
        let (one, many) = (graph.ty(prototype), graph.ty(batch));
        let fits = many.dtype == one.dtype && many.shape.first() == Some(&size) && many.shape[1..] == one.shape[..];
        assert!(fits, "{size} examples of {one} are not {many}");
        if prototype.index() < end {
            batches[prototype.index()] = Some(batch);
            between[prototype.index()] = true;
        }
    }
    for index in 0..end {
        if !between[index] {
            between[index] = graph.operands(NodeId::new(index)).iter().any(|o| between[o.index()]);
        }
    }
    let all: Vec<NodeId> = results.iter().chain(beside.values()).copied().collect();
    super::keep_needed(graph, &all, &mut between, &Instead::default());

    for index in (0..end).filter(|&i| between[i]) {
        if batches[index].is_some() {
            continue;
        }
        let node = NodeId::new(index);
        let op = graph.op(node).clone();
        let origin = graph.node(node).origin.with_vmap(op.name(), node);
        let originals = graph.operands(node);
        let operands: Operands = originals.iter().map(|o| batches[o.index()].unwrap_or(*o)).collect();
        let batched: SmallVec<[bool; 3]> = originals.iter().map(|o| batches[o.index()].is_some()).collect();
        let mut emit = Appender::new(graph, origin);
        let mut batch = op.batch(&mut Batch { emit: &mut emit, operands, batched, size });
        let older = beside.get(&node).and_then(|o| batches[o.index()]);
        if older.is_some_and(|o| o >= batch) {
            let shape = emit.graph().shape(batch).clone();
            batch = emit.append(Reshape { shape }.into(), &[batch]);
        }
        debug_assert!(
            graph.shape(batch).first() == Some(&size) && graph.shape(batch)[1..] == graph.shape(node)[..],
            "the batching rule of {} puts the batch axis first",
            op.name()
        );
        batches[index] = Some(batch);
    }

    let result = |&node: &NodeId| match batches[node.index()] {
        Some(batch) => batch,
        None => {
            let origin = graph.node(node).origin.with_vmap("repeat", node);
            let shape = std::iter::once(size).chain(graph.shape(node).iter().copied()).collect();
            Appender::new(graph, origin).broadcast(node, shape, Dims::from_slice(&[0]))
        }
    };
    (results.iter().map(result).collect(), batches)
}
