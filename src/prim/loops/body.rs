//! What a loop does in each trip: a graph of its own.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use crate::graph::{Graph, NodeId, OpErrorKind};
use crate::prim::Op;

/// How deep bodies may lie in each other. It bounds all recursion over bodies.
pub const MAX_DEPTH: usize = 16;

/// What a loop does in each trip: a graph whose inputs are slices and invariants, and whose parameters are the carries.
///
/// A carry keeps its value from trip to trip as a parameter does from run to run: all nodes of a trip see the value before it, and the update is the value
/// behind it. Bodies are equal if their nodes and updates are, wherever those come from. A body has no outputs: loops name the nodes that they stack.
#[derive(Clone, Debug)]
pub struct Body {
    graph: Graph,
    inputs: Vec<NodeId>,
    /// Carries with their next values.
    carries: Vec<(NodeId, NodeId)>,
    depth: usize,
    hash: u64,
}

impl Body {
    /// The body of these nodes and updates. Outputs of the graph are forgotten.
    ///
    /// # Errors
    /// If a parameter has no update, or bodies lie in each other more than [`MAX_DEPTH`] deep.
    pub fn new(graph: &Graph) -> Result<Body, OpErrorKind> {
        let mut body =
            Body { graph: graph.without_results(), inputs: Vec::new(), carries: Vec::new(), depth: 1, hash: 0 };
        let mut next = vec![None; graph.len()];
        graph.updates().iter().for_each(|u| next[u.param.index()] = Some(u.value));
        let mut hasher = FxHasher::default();
        for id in graph.ids() {
            let op = graph.op(id);
            match op {
                Op::Input(_) => body.inputs.push(id),
                Op::Param(p) => {
                    let value = next[id.index()].ok_or_else(|| {
                        OpErrorKind::Other(format!("the carry `{}` of the body has no update", p.name))
                    })?;
                    body.carries.push((id, value));
                    body.graph.add_update(id, value).expect("the update fits the graph that it is from");
                }
                _ => {}
            }
            if let Some(inner) = op.looped() {
                body.depth = body.depth.max(inner.spec.body.depth + 1);
            }
            (op, graph.operands(id)).hash(&mut hasher);
        }
        if body.depth > MAX_DEPTH {
            return Err(OpErrorKind::Other(format!("bodies lie in each other more than {MAX_DEPTH} deep")));
        }
        body.carries.hash(&mut hasher);
        body.hash = hasher.finish();
        Ok(body)
    }

    /// The nodes, with the carries' updates and without outputs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The inputs, in the order of the nodes.
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The carries with their values behind a trip, in the order of the nodes.
    pub fn carries(&self) -> &[(NodeId, NodeId)] {
        &self.carries
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        let (a, b) = (&self.graph, &other.graph);
        let equal = |id: NodeId| a.op(id) == b.op(id) && a.operands(id) == b.operands(id);
        self.hash == other.hash && a.len() == b.len() && self.carries == other.carries && a.ids().all(equal)
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}
