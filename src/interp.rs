//! The reference interpreter: runs a graph as it was written, node by node.
//!
//! It is the meaning of a graph, against which everything else is tested, and the baseline of the benches. Each node is evaluated by its operation's own
//! [`eval`](crate::prim::Primitive::eval); a value is dropped after its last use.

use rustc_hash::FxHashMap;

use crate::array::Array;
use crate::graph::{Graph, Name, NodeId};
use crate::prim::{Op, run_loop};

/// What a run gives: results by position in [`Graph::outputs`], new parameter values by position in [`Graph::updates`].
#[derive(Clone, Debug)]
pub struct Results {
    /// The outputs' values.
    pub outputs: Vec<Array>,
    /// The updates' values.
    pub updates: Vec<Array>,
}

/// Evaluates the graph. `leaf` gives the value of each input and parameter; its type must be the node's.
///
/// # Panics
/// If a leaf's value is typed unlike its node.
pub fn run<'a>(graph: &Graph, mut leaf: impl FnMut(NodeId, &Name) -> &'a Array) -> Results {
    let live = graph.live();
    let mut uses = vec![0u32; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        graph.operands(id).iter().for_each(|o| uses[o.index()] += 1);
    }
    graph.outputs().iter().for_each(|o| uses[o.node.index()] += 1);
    graph.updates().iter().for_each(|u| uses[u.value.index()] += 1);

    let loops = graph.loops(graph.ids().filter(|id| live[id.index()]));
    let mut values: FxHashMap<NodeId, Array> = FxHashMap::default();
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let operands = graph.operands(id);
        let value = match &node.op {
            Op::Input(_) | Op::Param(_) => {
                let name = node.op.leaf_name().expect("inputs and parameters have names");
                let value = leaf(id, name);
                assert_eq!(value.ty(), node.ty, "`{name}` is bound to an array of its type");
                value.clone()
            }
            Op::Loop(l) => {
                // All results of a loop are computed with the first.
                if let Some(results) = loops.get(&id) {
                    let of: Vec<_> = results.iter().filter_map(|&r| graph.op(r).looped()).map(|l| l.result).collect();
                    let operands: Vec<&Array> = operands.iter().map(|o| &values[o]).collect();
                    let computed = run_loop(&l.spec, &of, &operands);
                    values.extend(results.iter().copied().zip(computed));
                }
                values.remove(&id).expect("the first result comes first")
            }
            op => op.eval(&operands.iter().map(|o| &values[o]).collect::<Vec<_>>(), &node.ty),
        };
        values.insert(id, value);
        for operand in operands {
            uses[operand.index()] -= 1;
            if uses[operand.index()] == 0 {
                values.remove(&operand);
            }
        }
    }
    Results {
        outputs: graph.outputs().iter().map(|o| values[&o.node].clone()).collect(),
        updates: graph.updates().iter().map(|u| values[&u.value].clone()).collect(),
    }
}
