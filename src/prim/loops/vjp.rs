//! The reverse of a loop is a loop in the other order.
//!
//! ```text
//!   forward    c[t+1], y[t] = body(c[t], x[t], w)                     c[0] given
//!   reverse    dc[t] , dx[t], dw_t = VJP of the body at trip t        dc[T] given, dy[t] given
//!              its carries: dc, and dw = sum of dw_t                  its sequences: x, dy, and what is kept of the forward trips
//! ```
//!
//! The reverse body is made by differentiating a copy of the forward body, in which the carries have become inputs. What the gradient's nodes use of the
//! copy is then cut off: with [`Keep::All`] each value becomes a slice of a new stacked result of the forward loop, with [`Keep::Carries`] the copy stays
//! and only the carries become slices. Reshapes and repetitions are always done again, since what they move is smaller.
//!
//! Trips that the guard leaves out are left out on the way back, too: the guard's values are stacked, and their slices guard the reverse loop.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::grad;
use crate::graph::{Graph, Name, NodeId, Operands, Origin, TensorType};
use crate::prim::{Body, Emit, Input, Lowering, Op, Param, ParamKind};

use super::{Keep, Loop, LoopResult, LoopSpec, Order};

/// The cotangents of a loop's operands, those that are `wanted` and have one. `given` are the cotangents of its results.
pub(crate) fn vjp(
    e: &mut dyn Emit,
    spec: &Arc<LoopSpec>,
    operands: &[NodeId],
    given: &[(LoopResult, NodeId)],
    wanted: &[bool],
) -> Vec<Option<NodeId>> {
    let body = spec.body.graph();
    let carries = spec.body.carries();
    let is_float = |node: NodeId| body.ty(node).dtype.is_float();
    let wanted = spec.roles(wanted);
    let inputs = spec.body.inputs();
    let (slices, invariants) = inputs.split_at(spec.sequences);
    let chosen = |nodes: &[NodeId], wanted: &[bool]| -> Vec<(usize, NodeId)> {
        let pairs = nodes.iter().copied().enumerate().zip(wanted);
        pairs.filter(|((_, node), wanted)| **wanted && is_float(*node)).map(|(pair, _)| pair).collect()
    };
    let slices_wanted = chosen(slices, wanted.sequences);
    let invariants_wanted = chosen(invariants, wanted.invariants);
    let varying = varying_carries(spec, wanted.inits, slices_wanted.iter().chain(&invariants_wanted).map(|x| x.1));

    // The copy of the body, its carries inputs.
    let mut way = Reverse { graph: Graph::new(), from: vec![None; body.len()], sources: FxHashMap::default() };
    for (i, &input) in inputs.iter().enumerate() {
        let source =
            if i < spec.sequences { Source::Sequence(carries.len() + i) } else { Source::Invariant(carries.len() + i) };
        way.input(body, input, source);
    }
    for &(carry, _) in carries {
        way.input(body, carry, Source::Kept(carry));
    }
    for id in body.ids() {
        if way.from[id.index()].is_none() {
            let operands: Operands = body.operands(id).iter().map(|o| way.copy_of(*o)).collect();
            let node = body.node(id);
            let copy = way.graph.push(node.op.clone(), &operands, node.origin.clone());
            way.from[id.index()] = Some(copy.expect("a copy is as well typed as the node"));
        }
    }
    let copied = way.graph.len();

    // Its derivative, by cotangents that are carried and such that are slices.
    let mut results: Vec<(NodeId, NodeId)> = Vec::new();
    let mut carried: Vec<NodeId> = Vec::new();
    for &i in &varying {
        let (carry, next) = carries[i];
        let cotangent = way.carry(&format!("d_{}", name_of(body, carry)), body.ty(carry));
        carried.push(cotangent);
        results.push((way.copy_of(next), cotangent));
    }
    for &(result, cotangent) in given {
        if let LoopResult::Stack(node) = result {
            let slice = way.slice(&format!("d_stack{}", node.index()), body.ty(node), Source::Cotangent(cotangent));
            results.push((way.copy_of(node), slice));
        }
    }
    let mut wrt: Vec<NodeId> = varying.iter().map(|&i| way.copy_of(carries[i].0)).collect();
    wrt.extend(invariants_wanted.iter().chain(&slices_wanted).map(|x| way.copy_of(x.1)));
    let gradients =
        grad::vjp(&mut way.graph, &results, &wrt).expect("cotangents are typed like the floats that they belong to");
    let (to_carries, gradients) = gradients.split_at(varying.len());
    let (to_invariants, to_slices) = gradients.split_at(invariants_wanted.len());
    for (&carry, &gradient) in carried.iter().zip(to_carries) {
        way.graph.add_update(carry, gradient).expect("a gradient is typed like what it belongs to");
    }
    for (&(_, invariant), &gradient) in invariants_wanted.iter().zip(to_invariants) {
        let sum = way.carry(&format!("sum_d_{}", name_of(body, invariant)), body.ty(invariant));
        let origin = way.graph.node(gradient).origin.clone();
        let mut appender = grad::Appender::new(&mut way.graph, origin);
        let next = appender.add(sum, gradient);
        way.graph.add_update(sum, next).expect("a sum is typed like its terms");
    }
    let guard = spec.guard.map(|guard| {
        let ty = body.ty(guard).clone();
        way.slice("guard", &ty, Source::Kept(guard))
    });

    // Cut off what is kept, and make the loop.
    let mut roots: Vec<NodeId> = to_slices.to_vec();
    roots.extend(guard);
    let cut = way.cut(copied, spec.keep, roots);
    let sources = |sequences: bool| cut.sources.iter().filter(move |s| s.is_sequence() == sequences);
    let mut reverse_operands: Vec<NodeId> = Vec::new();
    for &i in &varying {
        // A result may be there twice, where nobody has merged equal nodes.
        let cotangents: Vec<NodeId> = given.iter().filter(|g| g.0 == LoopResult::Carry(i)).map(|g| g.1).collect();
        let sum = cotangents.into_iter().reduce(|a, b| e.add(a, b));
        reverse_operands.push(sum.unwrap_or_else(|| e.full(body.ty(carries[i].0), 0.0)));
    }
    for &(_, invariant) in &invariants_wanted {
        reverse_operands.push(e.full(body.ty(invariant), 0.0));
    }
    for source in sources(true).chain(sources(false)) {
        reverse_operands.push(match *source {
            Source::Sequence(i) | Source::Invariant(i) => operands[i],
            Source::Cotangent(node) => node,
            Source::Kept(node) => {
                let kept = Loop { spec: spec.clone(), result: LoopResult::Stack(node) };
                e.emit(kept.into(), operands)
            }
        });
    }
    let reverse = Arc::new(LoopSpec {
        body: Arc::new(Body::new(&cut.graph).expect("the reverse body is no deeper than the forward body allows")),
        trips: spec.trips,
        sequences: sources(true).count(),
        order: match spec.order {
            Order::Forward => Order::Reverse,
            Order::Reverse => Order::Forward,
        },
        guard: guard.map(|guard| cut.copy_of(guard)),
        keep: spec.keep,
    });
    let mut result = |result| e.emit(Loop { spec: reverse.clone(), result }.into(), &reverse_operands);
    let mut cotangents = vec![None; operands.len()];
    for (number, &i) in varying.iter().enumerate() {
        cotangents[i] = Some(result(LoopResult::Carry(number)));
    }
    for (number, &(i, _)) in invariants_wanted.iter().enumerate() {
        let at = carries.len() + spec.sequences + i;
        cotangents[at] = Some(result(LoopResult::Carry(varying.len() + number)));
    }
    for (&(i, _), &gradient) in slices_wanted.iter().zip(to_slices) {
        cotangents[carries.len() + i] = Some(result(LoopResult::Stack(cut.copy_of(gradient))));
    }
    cotangents
}

pub(super) fn name_of(body: &Graph, node: NodeId) -> Name {
    body.op(node).leaf_name().expect("inputs and carries have names").clone()
}

/// The float carries that depend on something wanted.
pub(super) fn varying_carries(spec: &LoopSpec, wanted: &[bool], inputs: impl Iterator<Item = NodeId>) -> Vec<usize> {
    let (body, carries) = (spec.body.graph(), spec.body.carries());
    let is_float = |i: usize| body.ty(carries[i].0).dtype.is_float();
    let mut varies: Vec<bool> = wanted.iter().enumerate().map(|(i, &w)| w && is_float(i)).collect();
    let mut sources: Vec<NodeId> = inputs.collect();
    sources.extend((0..carries.len()).filter(|&i| varies[i]).map(|i| carries[i].0));
    loop {
        let depends = grad::dependents(body, &sources, body.len());
        let new = |&i: &usize| !varies[i] && is_float(i) && depends[carries[i].1.index()];
        let new: Vec<usize> = (0..carries.len()).filter(new).collect();
        if new.is_empty() {
            return (0..carries.len()).filter(|&i| varies[i]).collect();
        }
        for i in new {
            varies[i] = true;
            sources.push(carries[i].0);
        }
    }
}

/// What an input of the reverse body stands for.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A sequence of the forward loop, by the operand's position.
    Sequence(usize),
    /// An invariant of the forward loop, by the operand's position.
    Invariant(usize),
    /// The cotangent of a stacked result.
    Cotangent(NodeId),
    /// The value of a node of the forward body in each trip.
    Kept(NodeId),
}

impl Source {
    fn is_sequence(self) -> bool {
        !matches!(self, Source::Invariant(_))
    }
}

/// The reverse body under construction.
struct Reverse {
    graph: Graph,
    /// The copy of each node of the forward body.
    from: Vec<Option<NodeId>>,
    sources: FxHashMap<NodeId, Source>,
}

impl Reverse {
    fn copy_of(&self, node: NodeId) -> NodeId {
        self.from[node.index()].expect("operands are copied before their users")
    }

    /// A name that is free, as near to the one given as can be.
    fn free_name(&self, wish: &str) -> Name {
        free_name(&self.graph, wish)
    }

    fn input(&mut self, body: &Graph, node: NodeId, source: Source) {
        let (name, ty) = (self.free_name(&name_of(body, node)), body.ty(node).clone());
        let copy = self.graph.push(Input { name, ty }, &[], body.node(node).origin.clone()).expect("the name is free");
        self.from[node.index()] = Some(copy);
        self.sources.insert(copy, source);
    }

    fn slice(&mut self, wish: &str, ty: &TensorType, source: Source) -> NodeId {
        let op = Input { name: self.free_name(wish), ty: ty.clone() };
        let node = self.graph.push(op, &[], Origin::default()).expect("the name is free");
        self.sources.insert(node, source);
        node
    }

    fn carry(&mut self, wish: &str, ty: &TensorType) -> NodeId {
        let op = Param { name: self.free_name(wish), ty: ty.clone(), kind: ParamKind::State };
        self.graph.push(op, &[], Origin::default()).expect("the name is free")
    }

    /// The body without what is kept rather than computed again, and without what nothing needs. `copied` nodes are of the forward body.
    fn cut(&self, copied: usize, keep: Keep, roots: Vec<NodeId>) -> Cut {
        let graph = &self.graph;
        let origin_of: FxHashMap<NodeId, NodeId> =
            self.from.iter().enumerate().filter_map(|(i, c)| c.map(|c| (c, NodeId::new(i)))).collect();
        let moving = moving(graph, |node| self.sources.get(&node).is_some_and(|s| s.is_sequence()));
        let is_kept = |node: NodeId| {
            keep == Keep::All
                && node.index() < copied
                && moving[node.index()]
                && graph.op(node).leaf_name().is_none()
                && !is_movement(graph, node)
        };
        let mut needed = vec![false; graph.len()];
        roots.iter().for_each(|r| needed[r.index()] = true);
        graph.updates().iter().for_each(|u| (needed[u.value.index()], needed[u.param.index()]) = (true, true));
        for id in graph.ids().rev() {
            if needed[id.index()] && !is_kept(id) {
                graph.operands(id).iter().for_each(|o| needed[o.index()] = true);
            }
        }

        let mut cut = Cut { graph: Graph::new(), sources: Vec::new(), map: vec![None; graph.len()] };
        // Sequences come before invariants.
        for sequences in [true, false] {
            for id in graph.ids().filter(|id| needed[id.index()]) {
                let source = match self.sources.get(&id) {
                    Some(&source) => source,
                    None if is_kept(id) => Source::Kept(origin_of[&id]),
                    None => continue,
                };
                if source.is_sequence() != sequences {
                    continue;
                }
                let wish = graph
                    .op(id)
                    .leaf_name()
                    .map_or_else(|| format!("kept{}", origin_of[&id].index()), |n| n.to_string());
                let op = Input { name: free_name(&cut.graph, &wish), ty: graph.ty(id).clone() };
                let copy = cut.graph.push(op, &[], graph.node(id).origin.clone()).expect("the name is free");
                cut.map[id.index()] = Some(copy);
                cut.sources.push(source);
            }
        }
        for id in graph.ids().filter(|id| needed[id.index()]) {
            if cut.map[id.index()].is_none() {
                let operands: Operands = graph.operands(id).iter().map(|o| cut.copy_of(*o)).collect();
                let mut op = graph.op(id).clone();
                if let Op::Param(p) = &mut op {
                    Arc::make_mut(p).name = free_name(&cut.graph, &p.name);
                }
                let mut origin = graph.node(id).origin.clone();
                if id.index() >= copied
                    && origin.vjp.is_some()
                    && let Some(rule) = &mut Arc::make_mut(&mut origin).vjp
                {
                    // Nodes of the forward body are called by their numbers there.
                    rule.of = origin_of.get(&rule.of).copied().unwrap_or(rule.of);
                }
                let copy = cut.graph.push(op, &operands, origin);
                cut.map[id.index()] = Some(copy.expect("a copy is as well typed as the node"));
            }
        }
        for update in graph.updates() {
            let (param, value) = (cut.copy_of(update.param), cut.copy_of(update.value));
            cut.graph.add_update(param, value).expect("the update fitted before");
        }
        cut
    }
}

/// The finished reverse body.
struct Cut {
    graph: Graph,
    /// What each input stands for, in their order: sequences, then invariants.
    sources: Vec<Source>,
    map: Vec<Option<NodeId>>,
}

impl Cut {
    fn copy_of(&self, node: NodeId) -> NodeId {
        self.map[node.index()].expect("what is needed has a copy")
    }
}

/// Marks the nodes that depend on the marked leaves.
fn moving(graph: &Graph, leaf: impl Fn(NodeId) -> bool) -> Vec<bool> {
    let mut moving = vec![false; graph.len()];
    for id in graph.ids() {
        moving[id.index()] = leaf(id) || graph.operands(id).iter().any(|o| moving[o.index()]);
    }
    moving
}

/// True for nodes that hold nothing but elements of their operand.
fn is_movement(graph: &Graph, id: NodeId) -> bool {
    let operands = graph.operands(id);
    let types: Vec<&TensorType> = operands.iter().map(|&o| graph.ty(o)).collect();
    graph.op(id).lowering(&types, graph.ty(id)) == Lowering::View
}

/// A name that no leaf of the graph has: the one wished for, or that with a number.
pub(crate) fn free_name(graph: &Graph, wish: &str) -> Name {
    if graph.find(wish).is_none() {
        return wish.into();
    }
    let numbered = (2..).map(|n| format!("{wish}_{n}"));
    numbered.into_iter().find(|name| graph.find(name).is_none()).expect("some number is free").into()
}
