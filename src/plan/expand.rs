//! Expansion: operations that the planner does not know become others that it does.
//!
//! Some operations are one to the rules of differentiation and of the optimizer, which would not recognize their parts, but need nothing of the planner
//! that others have not taught it. Their lowering is [`Lowering::Expand`], and [`Op::expand`] emits the parts. Equal parts are one node.
//!
//! Long folds become two steps, and so do products of few results and many terms: see [`pieces`](super::pieces) and [`split`](super::split).
//!
//! An `unwindow` of a product stays one operation, which the planner knows: see [`overlap`].

use std::borrow::Cow;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::graph::{Dims, Graph, NodeId, Operands, Origin, TensorType};
use crate::prim::{Emit, Lowering, Op, Reduction, Unwindow};

use super::overlap;
use super::pieces::Pieces;
use super::split::Split;

/// The graph with what is live, inputs and parameters; the same graph if there is nothing to expand.
pub(super) fn expand(graph: &Graph) -> Cow<'_, Graph> {
    let live = graph.live();
    let stays = |id: &NodeId| live[id.index()] || graph.op(*id).leaf_name().is_some();
    // Products that are added up in windows stay as they are.
    let windowed: FxHashSet<NodeId> =
        graph.ids().filter(stays).filter_map(|id| overlap::matched(graph, id)).map(|(dot, _)| dot).collect();
    let split = |id: NodeId| if windowed.contains(&id) { None } else { Split::of(graph, id) };
    let expands = |id: NodeId| {
        let operands = graph.operands(id);
        let types: SmallVec<[&TensorType; 3]> = operands.iter().map(|&o| graph.ty(o)).collect();
        expansion(graph.op(id), &types, graph.ty(id)).is_some() || split(id).is_some()
    };
    if !graph.ids().filter(stays).any(expands) {
        return Cow::Borrowed(graph);
    }
    let mut new = Expander { graph: Graph::new(), origin: Arc::default(), parts: FxHashMap::default() };
    let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
    let mapped = |map: &[Option<NodeId>], id: NodeId| map[id.index()].expect("what a live node needs is live");
    for id in graph.ids().filter(stays) {
        let node = graph.node(id);
        let operands: Operands = graph.operands(id).iter().map(|&o| mapped(&map, o)).collect();
        new.origin = node.origin.clone();
        map[id.index()] = Some(match (overlap::whole(graph, id), split(id)) {
            (Some(whole), _) => new.cut(whole, &operands, id, graph),
            (None, Some(split)) => split.emit(&mut new, &operands),
            (None, None) => new.emit(node.op.clone(), &operands),
        });
    }
    for output in graph.outputs() {
        let added = new.graph.add_output(output.name.clone(), mapped(&map, output.node));
        added.expect("the names of a graph's outputs differ");
    }
    for update in graph.updates() {
        let added = new.graph.add_update(mapped(&map, update.param), mapped(&map, update.value));
        added.expect("an expansion keeps parameters and types");
    }
    Cow::Owned(new.graph)
}

/// Into what an operation is expanded.
enum Expansion {
    /// Its own parts.
    Own,
    /// A fold in two steps.
    Pieces(Reduction, Pieces),
}

/// How the operation is expanded, if the planner does not know it or knows a better way.
fn expansion(op: &Op, types: &[&TensorType], ty: &TensorType) -> Option<Expansion> {
    match op.lowering(types, ty) {
        Lowering::Expand => Some(Expansion::Own),
        Lowering::Reduce { reduction, axes } => {
            let TensorType { dtype, shape } = types[0];
            Some(Expansion::Pieces(reduction, Pieces::of(reduction, *dtype, shape, &axes)?))
        }
        _ => None,
    }
}

/// The graph under construction.
struct Expander {
    graph: Graph,
    /// Where the node comes from that is copied or expanded.
    origin: Arc<Origin>,
    parts: FxHashMap<(Op, Operands), NodeId>,
}

impl Expander {
    /// An `unwindow` of a product, which the planner knows if it drops nothing; what node `id` of `old` drops of it is cut off then.
    fn cut(&mut self, whole: Unwindow, operands: &[NodeId], id: NodeId, old: &Graph) -> NodeId {
        let Op::Unwindow(op) = old.op(id) else { panic!("{id} adds windows up") };
        let shape = old.shape(id);
        let mut from: Dims<isize> = Dims::from_elem(0, shape.rank());
        op.windows.axes.iter().zip(&op.low).for_each(|(&axis, &low)| from[axis] = low as isize);
        let sum = self.keep(whole.into(), operands);
        self.frame(sum, &from, shape)
    }

    /// The operation as it is.
    fn keep(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        let key = (op, Operands::from_slice(operands));
        if let Some(&id) = self.parts.get(&key) {
            return id;
        }
        let pushed = self.graph.push(key.0.clone(), operands, self.origin.clone());
        let id = pushed.unwrap_or_else(|error| panic!("an expansion is well typed: {error}"));
        self.parts.insert(key, id);
        id
    }
}

impl Emit for Expander {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn append(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        let key = (op, Operands::from_slice(operands));
        if let Some(&id) = self.parts.get(&key) {
            return id;
        }
        let types: SmallVec<[&TensorType; 3]> = operands.iter().map(|&o| self.graph.ty(o)).collect();
        let expansion = key.0.infer(&types).ok().and_then(|ty| expansion(&key.0, &types, &ty));
        drop(types);
        let id = match expansion {
            Some(Expansion::Own) => key.0.expand(self, operands),
            Some(Expansion::Pieces(reduction, pieces)) => {
                pieces.emit(self, reduction, operands[0], |this, op, x| this.keep(op, &[x]))
            }
            None => return self.keep(key.0, operands),
        };
        self.parts.insert(key, id);
        id
    }
}
