//! The tensor-level graph: an append-only DAG of operations in static single assignment form.
//!
//! [`Graph::push`] is the one way in. It checks arity, element types and shapes and infers the result's type, so every graph is well typed, and since
//! operands must exist before their users, the order of node numbers is a topological order. Passes read one graph and build another; nothing is ever
//! changed in place.
//!
//! ```text
//!   nodes  --operands (ordered)-->  nodes          petgraph holds the edges; it stays private
//!   outputs: name -> node                          what a run returns
//!   updates: parameter -> node                     what a run writes back, after everything has been read
//! ```

mod error;
pub mod graphviz;
#[cfg(feature = "json")]
mod json;
mod origin;
pub mod parse;
pub mod print;
#[cfg(feature = "svg")]
mod svg;
mod ty;
pub mod verify;

use std::fmt;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::prim::{LoopSpec, Op};

pub use error::{GraphError, OpError, OpErrorKind};
pub use graphviz::Graphviz;
pub use origin::{Derivation, Origin, Source};
pub use parse::{ParseError, ParseErrorKind, parse, parse_file};
pub use print::{GraphText, NodeText};
#[cfg(feature = "svg")]
pub use svg::SvgError;
pub use ty::{DType, Dims, Element, Shape, TensorType, UnknownDType, types};
pub use verify::{VerifyError, Violation, ViolationKind, verify};

/// Number of a node in its graph. Operands have smaller numbers than their users.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// The position in the graph's node list.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The node at this position.
    ///
    /// # Panics
    /// If the position does not fit 32 bits.
    pub fn new(index: usize) -> NodeId {
        NodeId(u32::try_from(index).expect("a graph has fewer than 2^32 nodes"))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A name of an input, parameter or output.
pub type Name = Arc<str>;

/// The operands of a node, in order.
pub type Operands = SmallVec<[NodeId; 3]>;

/// One operation of the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Type of the result.
    pub ty: TensorType,
    /// Where the node comes from. Shared by the nodes of one rule or line, and by copies in other graphs.
    pub origin: Arc<Origin>,
}

/// A named result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The name by which a run returns it.
    pub name: Name,
    /// The node whose value it is.
    pub node: NodeId,
}

/// A parameter's new value, stored when every node has been computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// The parameter's node.
    pub param: NodeId,
    /// The node whose value it takes.
    pub value: NodeId,
}

/// A typed, append-only graph of tensor operations.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Edge weights are operand positions. Edges are added with their user, in operand order.
    dag: DiGraph<Node, u32, u32>,
    /// Inputs and parameters by name.
    named: FxHashMap<Name, NodeId>,
    outputs: Vec<Output>,
    /// Names of the outputs.
    output_names: FxHashSet<Name>,
    updates: Vec<Update>,
    /// Parameters of the updates.
    updated: FxHashSet<NodeId>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// A graph without nodes that has room for so many.
    pub(crate) fn with_capacity(nodes: usize) -> Graph {
        Graph { dag: DiGraph::with_capacity(nodes, 2 * nodes), ..Graph::default() }
    }

    /// The nodes for which `kept` is true, renumbered, with the outputs and updates. They need none of the others. Nodes are moved, not made again.
    pub(crate) fn retain(self, kept: &[bool]) -> Graph {
        let count = kept.iter().filter(|&&k| k).count();
        let mut dag = DiGraph::with_capacity(count, self.dag.edge_count());
        let (nodes, edges) = self.dag.into_nodes_edges();
        let moved: Vec<Option<NodeIndex<u32>>> =
            nodes.into_iter().zip(kept).map(|(node, &kept)| kept.then(|| dag.add_node(node.weight))).collect();
        let new = |old: NodeIndex<u32>| moved[old.index()].expect("what is kept needs nothing else");
        for edge in edges {
            if kept[edge.target().index()] {
                dag.add_edge(new(edge.source()), new(edge.target()), edge.weight);
            }
        }
        let id = |old: NodeId| NodeId::new(new(NodeIndex::new(old.index())).index());
        let named = self.named.into_iter().filter(|(_, old)| kept[old.index()]);
        let named = named.map(|(name, old)| (name, id(old))).collect();
        let outputs = self.outputs.into_iter().map(|o| Output { node: id(o.node), ..o }).collect();
        let updates: Vec<Update> =
            self.updates.iter().map(|u| Update { param: id(u.param), value: id(u.value) }).collect();
        let updated = updates.iter().map(|u| u.param).collect();
        Graph { dag, named, outputs, output_names: self.output_names, updates, updated }
    }

    /// Appends a node and returns its number.
    ///
    /// # Errors
    /// If the count of operands, their element types or their shapes do not fit `op`, or a name is taken.
    ///
    /// # Panics
    /// If an operand is not a node of this graph.
    pub fn push(
        &mut self,
        op: impl Into<Op>,
        operands: &[NodeId],
        origin: impl Into<Arc<Origin>>,
    ) -> Result<NodeId, OpError> {
        let op = op.into();
        let ty = {
            let types: SmallVec<[&TensorType; 3]> = operands.iter().map(|&o| self.ty(o)).collect();
            let fail = |kind| OpError::new(op.name(), &types, kind);
            let ty = op.infer(&types).map_err(fail)?;
            if !ty.fits_memory() {
                return Err(fail(OpErrorKind::TooLarge { ty }));
            }
            ty
        };
        if let Some(name) = op.leaf_name() {
            if self.named.contains_key(name) {
                return Err(OpError::new(op.name(), &[], OpErrorKind::DuplicateName { name: name.clone() }));
            }
            self.named.insert(name.clone(), NodeId::new(self.len()));
        }
        Ok(self.add(Node { op, ty, origin: origin.into() }, operands))
    }

    /// Appends a copy of a node of another graph, whose operands are typed as its own were. A name that it declares is free.
    pub(crate) fn push_copy(&mut self, node: &Node, operands: &[NodeId]) -> NodeId {
        debug_assert_eq!(
            node.op.infer(&operands.iter().map(|&o| self.ty(o)).collect::<SmallVec<[&TensorType; 3]>>()).as_ref(),
            Ok(&node.ty),
            "the operands of a copy are typed as those of {}",
            node.op.name()
        );
        if let Some(name) = node.op.leaf_name() {
            let known = self.named.insert(name.clone(), NodeId::new(self.len()));
            debug_assert_eq!(known, None, "{name:?} is free");
        }
        self.add(node.clone(), operands)
    }

    fn add(&mut self, node: Node, operands: &[NodeId]) -> NodeId {
        let id = self.dag.add_node(node);
        for (position, operand) in operands.iter().enumerate() {
            self.dag.add_edge(NodeIndex::new(operand.index()), id, position as u32);
        }
        NodeId::new(id.index())
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.dag.node_count()
    }

    /// True if there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if `id` is a node of this graph.
    pub fn contains(&self, id: NodeId) -> bool {
        id.index() < self.len()
    }

    /// All nodes in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.len() as u32).map(NodeId)
    }

    /// The node with this number.
    ///
    /// # Panics
    /// If the graph has no such node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[NodeIndex::new(id.index())]
    }

    /// The node's operation.
    pub fn op(&self, id: NodeId) -> &Op {
        &self.node(id).op
    }

    /// The type of the node's result.
    pub fn ty(&self, id: NodeId) -> &TensorType {
        &self.node(id).ty
    }

    /// The shape of the node's result.
    pub fn shape(&self, id: NodeId) -> &Shape {
        &self.ty(id).shape
    }

    /// The node's operands, in order.
    pub fn operands(&self, id: NodeId) -> Operands {
        let mut operands = Operands::new();
        self.operands_from_last(id).for_each(|operand| operands.push(operand));
        operands.reverse();
        operands
    }

    /// The node's operands, the last one first, as petgraph lists edges: for walks that do not care.
    pub(crate) fn operands_from_last(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let (nodes, edges) = (self.dag.raw_nodes(), self.dag.raw_edges());
        let mut next = nodes[id.index()].next_edge(Direction::Incoming);
        std::iter::from_fn(move || {
            let edge = edges.get(next.index())?;
            next = edge.next_edge(Direction::Incoming);
            Some(NodeId(edge.source().index() as u32))
        })
    }

    /// The node's users with the operand position of each use, newest first. Outputs and updates are not among them.
    pub fn users(&self, id: NodeId) -> impl Iterator<Item = (NodeId, usize)> + '_ {
        use petgraph::visit::EdgeRef;
        self.dag
            .edges_directed(NodeIndex::new(id.index()), Direction::Outgoing)
            .map(|e| (NodeId::new(e.target().index()), *e.weight() as usize))
    }

    /// The input or parameter of this name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.named.get(name).copied()
    }

    /// The results, in the order in which they were added.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The parameter updates, in the order in which they were added.
    pub fn updates(&self) -> &[Update] {
        &self.updates
    }

    /// Makes `node` a result called `name`.
    ///
    /// # Errors
    /// If there is a result of that name.
    pub fn add_output(&mut self, name: impl Into<Name>, node: NodeId) -> Result<(), GraphError> {
        let name = name.into();
        assert!(self.contains(node), "output {name}: no node {node} in a graph of {} nodes", self.len());
        if !self.output_names.insert(name.clone()) {
            return Err(GraphError::DuplicateOutput { name });
        }
        self.outputs.push(Output { name, node });
        Ok(())
    }

    /// Lets parameter `param` take the value of `value` at the end of a run.
    ///
    /// # Errors
    /// If `param` is not a parameter, has an update already, or is of another type than `value`.
    pub fn add_update(&mut self, param: NodeId, value: NodeId) -> Result<(), GraphError> {
        let Op::Param(p) = self.op(param) else {
            return Err(GraphError::UpdateOfNonParam { node: param });
        };
        let name = p.name.clone();
        if self.updated.contains(&param) {
            return Err(GraphError::DuplicateUpdate { name });
        }
        if self.ty(param) != self.ty(value) {
            return Err(GraphError::UpdateType { name, param: self.ty(param).clone(), value: self.ty(value).clone() });
        }
        self.updated.insert(param);
        self.updates.push(Update { param, value });
        Ok(())
    }

    /// The loops among these nodes: the results of each, by the first of them. The nodes come in ascending order.
    #[allow(clippy::mutable_key_type, reason = "what a rule caches is no part of its equality")]
    pub fn loops(&self, nodes: impl Iterator<Item = NodeId>) -> FxHashMap<NodeId, Vec<NodeId>> {
        let mut first: FxHashMap<(&LoopSpec, Operands), NodeId> = FxHashMap::default();
        let mut loops: FxHashMap<NodeId, Vec<NodeId>> = FxHashMap::default();
        for node in nodes {
            if let Some(l) = self.op(node).looped() {
                let first = *first.entry((&l.spec, self.operands(node))).or_insert(node);
                loops.entry(first).or_default().push(node);
            }
        }
        loops
    }

    /// The same nodes without outputs and updates.
    pub fn without_results(&self) -> Graph {
        Graph { dag: self.dag.clone(), named: self.named.clone(), ..Graph::default() }
    }

    /// The nodes that outputs and updates need, as a mask over node numbers. Every update's parameter counts as needed.
    pub fn live(&self) -> Vec<bool> {
        let outputs = self.outputs.iter().map(|output| output.node);
        self.ancestors(outputs.chain(self.updates.iter().flat_map(|update| [update.value, update.param])))
    }

    /// These nodes and those that they depend on, as a mask over node numbers.
    pub(crate) fn ancestors(&self, of: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        let mut marked = vec![false; self.len()];
        of.into_iter().for_each(|id| marked[id.index()] = true);
        for id in self.ids().rev() {
            if marked[id.index()] {
                self.operands_from_last(id).for_each(|o| marked[o.index()] = true);
            }
        }
        marked
    }
}
