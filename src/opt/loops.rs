//! Loops: bodies are optimized by themselves, and freed of what nothing needs.
//!
//! One walk over the graph makes each loop anew, with all of its results at once:
//!
//! - `loop-prune`: carries that no result depends on, and inputs that the body does not use, go. A carry that never changes becomes an invariant; invariants
//!   that are one operand become one input; numbers known now move into the body.
//! - The body is optimized like a graph of its own, with the same options.
//! - `loop-hoist`: what is dear and the same in all trips is computed once, before the loop. Not from a loop with a guard, which may have no trips.
//! - `loop-inline`: a loop of one trip without a guard becomes the trip. A loop without trips becomes its first values.
//!
//! None of it changes a bit of any result.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::graph::{Graph, NodeId, Operands, TensorType};
use crate::prim::{Body, Input, Loop, LoopResult, LoopSpec, Lowering, Op, Reshape, free_name};
use crate::scalar::Cost;

use super::{OptOptions, PassReport, optimize};

/// Names of what the pass does, as reports have them.
const NAMES: [&str; 3] = ["loop-prune", "loop-hoist", "loop-inline"];
const PRUNE: usize = 0;
const HOIST: usize = 1;
const INLINE: usize = 2;

/// A graph whose loops have been made anew.
pub(super) struct Remade {
    pub(super) graph: Graph,
    /// How often each thing was done.
    pub(super) done: Vec<(&'static str, usize)>,
    /// The passes over bodies.
    pub(super) passes: Vec<PassReport>,
}

/// Makes the loops of the graph anew. `None` if there are none.
pub(super) fn optimize_loops(graph: &Graph, options: &OptOptions<'_>) -> Option<Remade> {
    let live = graph.live();
    let loops = graph.loops(graph.ids().filter(|id| live[id.index()]));
    if loops.is_empty() {
        return None;
    }
    let mut pass =
        Pass { old: graph, new: Graph::new(), map: vec![None; graph.len()], done: [0; 3], options, passes: Vec::new() };
    for id in graph.ids() {
        let node = graph.node(id);
        if !live[id.index()] && node.op.leaf_name().is_none() || pass.map[id.index()].is_some() {
            continue;
        }
        if let Some(results) = loops.get(&id) {
            pass.remake(results);
            continue;
        }
        let operands: Operands = graph.operands(id).iter().map(|o| pass.mapped(*o)).collect();
        let copy = pass.new.push(node.op.clone(), &operands, node.origin.clone());
        pass.map[id.index()] = Some(copy.expect("a copy is as well typed as the node"));
    }
    let mut new = std::mem::take(&mut pass.new);
    for output in graph.outputs() {
        new.add_output(output.name.clone(), pass.mapped(output.node)).expect("the names of a graph's outputs differ");
    }
    for update in graph.updates() {
        let (param, value) = (pass.mapped(update.param), pass.mapped(update.value));
        new.add_update(param, value).expect("the update fitted before");
    }
    let done = NAMES.into_iter().zip(pass.done).filter(|d| d.1 > 0).collect();
    Some(Remade { graph: new, done, passes: pass.passes })
}

struct Pass<'a> {
    old: &'a Graph,
    new: Graph,
    map: Vec<Option<NodeId>>,
    done: [usize; 3],
    options: &'a OptOptions<'a>,
    passes: Vec<PassReport>,
}

/// A loop in pieces: a body whose outputs are the nodes to stack, and behind those the guard if there is one; and where its operands come from.
struct Pieces {
    graph: Graph,
    /// For each input and carry of the body its operand, a node of the new graph.
    operands: FxHashMap<NodeId, NodeId>,
    /// The inputs that are slices.
    sliced: Vec<NodeId>,
    /// For each carry of the body, its number in the old loop.
    carries: Vec<usize>,
}

impl Pass<'_> {
    fn mapped(&self, old: NodeId) -> NodeId {
        self.map[old.index()].expect("operands come before their users")
    }

    /// Makes the loop with these results anew.
    fn remake(&mut self, results: &[NodeId]) {
        let of = |&id: &NodeId| (id, self.old.op(id).looped().expect("a result of a loop").result);
        let results: Vec<(NodeId, LoopResult)> = results.iter().map(of).collect();
        let first = results[0].0;
        let spec = self.old.op(first).looped().expect("a result of a loop").spec.clone();
        let operands: Operands = self.old.operands(first).iter().map(|o| self.mapped(*o)).collect();

        let mut stacked: Vec<NodeId> = Vec::new();
        for &(_, result) in &results {
            if let LoopResult::Stack(node) = result
                && !stacked.contains(&node)
            {
                stacked.push(node);
            }
        }
        let finals: Vec<usize> = results
            .iter()
            .filter_map(|r| match r.1 {
                LoopResult::Carry(i) => Some(i),
                LoopResult::Stack(_) => None,
            })
            .collect();
        let mut known: FxHashMap<usize, NodeId> = FxHashMap::default();
        let before = (spec.body.carries().len(), spec.body.inputs().len());
        let mut pieces = take_apart(&spec, &operands, &stacked);
        pieces = self.prune(pieces, &finals, &mut known);
        let optimized = optimize(&pieces.graph, self.options);
        self.passes.extend(optimized.report.passes);
        pieces.replace(optimized.graph);
        pieces = self.prune(pieces, &finals, &mut known);
        let after = (pieces.carries.len(), pieces.operands.len() - pieces.carries.len());
        self.done[PRUNE] += usize::from(before != after);

        let mut outputs: Vec<NodeId> = pieces.graph.outputs().iter().map(|o| o.node).collect();
        let guard = spec.guard.and_then(|_| outputs.pop());
        if spec.trips == 1 && guard.is_none() {
            self.done[INLINE] += 1;
            self.inline(&pieces, &outputs, &stacked, &results, &known);
            return;
        }
        if spec.trips > 1 && guard.is_none() {
            pieces = self.hoist(pieces);
            outputs = pieces.graph.outputs().iter().map(|o| o.node).collect();
        }
        let body = Body::new(&pieces.graph).expect("the body is no deeper than before, and its carries have updates");
        let inits = body.carries().iter().map(|c| pieces.operands[&c.0]);
        let inputs = body.inputs().iter().map(|i| pieces.operands[i]);
        let new_operands: Operands = inits.chain(inputs).collect();
        let new_spec =
            Arc::new(LoopSpec { sequences: pieces.sliced.len(), guard, body: Arc::new(body), ..(*spec).clone() });
        for &(id, result) in &results {
            let result = match result {
                LoopResult::Carry(i) => match known.get(&i) {
                    Some(&value) => {
                        self.map[id.index()] = Some(value);
                        continue;
                    }
                    None => LoopResult::Carry(pieces.number_of(i)),
                },
                LoopResult::Stack(node) => LoopResult::Stack(outputs[position(&stacked, node)]),
            };
            let op = Loop { spec: new_spec.clone(), result };
            let node = self.new.push(op, &new_operands, self.old.node(id).origin.clone());
            self.map[id.index()] = Some(node.expect("the new loop has the types of the old one"));
        }
    }

    /// Drops carries that no result needs, and inputs that nothing uses. Finals whose carries never change are `known` then.
    fn prune(&mut self, pieces: Pieces, finals: &[usize], known: &mut FxHashMap<usize, NodeId>) -> Pieces {
        let graph = &pieces.graph;
        let params: Vec<(NodeId, NodeId)> = graph.updates().iter().map(|u| (u.param, u.value)).collect();
        // What is needed, with the carries that it takes.
        let mut needed = vec![false; graph.len()];
        graph.outputs().iter().for_each(|o| needed[o.node.index()] = true);
        for (number, &(param, value)) in pieces.carries.iter().zip(&params) {
            if param == value && finals.contains(number) {
                known.insert(*number, pieces.operands[&param]);
            } else if finals.contains(number) && !known.contains_key(number) {
                needed[param.index()] = true;
            }
        }
        loop {
            let mut changed = false;
            for id in graph.ids().rev() {
                if needed[id.index()] {
                    graph.operands(id).iter().for_each(|o| needed[o.index()] = true);
                }
            }
            for &(param, value) in &params {
                if needed[param.index()] && !needed[value.index()] {
                    needed[value.index()] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }

        let mut new =
            Pieces { graph: Graph::new(), operands: FxHashMap::default(), sliced: Vec::new(), carries: Vec::new() };
        let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
        // Slices come before invariants.
        for &slice in pieces.sliced.iter().filter(|s| needed[s.index()]) {
            let copy = new.copy_leaf(graph, slice, pieces.operands[&slice]);
            new.sliced.push(copy);
            map[slice.index()] = Some(copy);
        }
        let mut inputs: FxHashMap<NodeId, NodeId> = FxHashMap::default();
        for id in graph.ids().filter(|id| needed[id.index()]) {
            let node = graph.node(id);
            let constant = params.iter().any(|p| p.0 == id && p.1 == id);
            let is_input = matches!(node.op, Op::Input(_));
            let copy = if let Some(copy) = map[id.index()] {
                copy
            } else if is_input || constant {
                let operand = pieces.operands[&id];
                match inputs.get(&operand) {
                    Some(&same) => same,
                    None => {
                        let copy = self.number(&mut new.graph, operand).unwrap_or_else(|| {
                            let (name, ty) = (free_name(&new.graph, leaf_name(graph, id)), node.ty.clone());
                            let op = Input { name, ty };
                            let copy = new.graph.push(op, &[], node.origin.clone()).expect("the name is free");
                            new.operands.insert(copy, operand);
                            copy
                        });
                        inputs.insert(operand, copy);
                        copy
                    }
                }
            } else if node.op.leaf_name().is_some() {
                let copy = new.copy_leaf(graph, id, pieces.operands[&id]);
                let at = position(&params.iter().map(|p| p.0).collect::<Vec<_>>(), id);
                new.carries.push(pieces.carries[at]);
                copy
            } else {
                let operands: Operands =
                    graph.operands(id).iter().map(|o| map[o.index()].expect("operands are needed")).collect();
                let copy = new.graph.push(node.op.clone(), &operands, node.origin.clone());
                copy.expect("a copy is as well typed as the node")
            };
            map[id.index()] = Some(copy);
        }
        let at = |id: NodeId| map[id.index()].expect("what is needed is copied");
        for output in graph.outputs() {
            new.graph.add_output(output.name.clone(), at(output.node)).expect("the names are as different as before");
        }
        for &(param, value) in params.iter().filter(|p| needed[p.0.index()] && p.0 != p.1) {
            new.graph.add_update(at(param), at(value)).expect("the update fitted before");
        }
        new
    }

    /// A copy of a number known now, or of one that is repeated.
    fn number(&self, body: &mut Graph, operand: NodeId) -> Option<NodeId> {
        let constant = |id: NodeId| match self.new.op(id) {
            Op::Const(c) if c.value.shape().numel() == 1 => Some(c.clone()),
            _ => None,
        };
        let node = self.new.node(operand);
        if let Some(c) = constant(operand) {
            return Some(body.push(c, &[], node.origin.clone()).expect("a constant fits everywhere"));
        }
        let Op::Broadcast(_) = &node.op else { return None };
        let c = constant(self.new.operands(operand)[0])?;
        let c = body.push(c, &[], node.origin.clone()).expect("a constant fits everywhere");
        Some(body.push(node.op.clone(), &[c], node.origin.clone()).expect("it fits as it did outside"))
    }

    /// Computes before the loop what is dear and the same in all trips.
    fn hoist(&mut self, pieces: Pieces) -> Pieces {
        let graph = &pieces.graph;
        let mut moving = vec![false; graph.len()];
        for id in graph.ids() {
            moving[id.index()] = matches!(graph.op(id), Op::Param(_))
                || pieces.sliced.contains(&id)
                || graph.operands(id).iter().any(|o| moving[o.index()]);
        }
        let still = |id: NodeId| !moving[id.index()];
        let worth = |id: NodeId| still(id) && is_dear(graph, id) && graph.users(id).any(|(user, _)| !still(user));
        let hoisted: Vec<NodeId> = graph.ids().filter(|&id| worth(id)).collect();
        if hoisted.is_empty() {
            return pieces;
        }
        self.done[HOIST] += hoisted.len();
        let mut needed = vec![false; graph.len()];
        hoisted.iter().for_each(|h| needed[h.index()] = true);
        for id in graph.ids().rev() {
            if needed[id.index()] {
                graph.operands(id).iter().for_each(|o| needed[o.index()] = true);
            }
        }
        let mut outside: Vec<Option<NodeId>> = vec![None; graph.len()];
        for id in graph.ids().filter(|id| needed[id.index()]) {
            let node = graph.node(id);
            outside[id.index()] = Some(match pieces.operands.get(&id) {
                Some(&operand) => operand,
                None => {
                    let operands: Operands =
                        graph.operands(id).iter().map(|o| outside[o.index()].expect("operands are needed")).collect();
                    let copy = self.new.push(node.op.clone(), &operands, node.origin.clone());
                    copy.expect("a copy is as well typed as the node")
                }
            });
        }
        let mut with_inputs = Pieces { graph: Graph::new(), operands: FxHashMap::default(), ..pieces };
        let (graph, operands) = (pieces.graph, pieces.operands);
        let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
        for id in graph.ids() {
            let node = graph.node(id);
            map[id.index()] = Some(if hoisted.contains(&id) {
                let name = free_name(&with_inputs.graph, &format!("once{}", id.index()));
                let op = Input { name, ty: node.ty.clone() };
                let copy = with_inputs.graph.push(op, &[], node.origin.clone()).expect("the name is free");
                with_inputs.operands.insert(copy, outside[id.index()].expect("it has been computed outside"));
                copy
            } else if let Some(&operand) = operands.get(&id) {
                with_inputs.copy_leaf(&graph, id, operand)
            } else {
                let operands: Operands =
                    graph.operands(id).iter().map(|o| map[o.index()].expect("operands come first")).collect();
                let copy = with_inputs.graph.push(node.op.clone(), &operands, node.origin.clone());
                copy.expect("a copy is as well typed as the node")
            });
        }
        let at = |id: NodeId| map[id.index()].expect("every node is copied");
        with_inputs.sliced.iter_mut().for_each(|s| *s = at(*s));
        for output in graph.outputs() {
            let added = with_inputs.graph.add_output(output.name.clone(), at(output.node));
            added.expect("the names are as different as before");
        }
        for update in graph.updates() {
            with_inputs.graph.add_update(at(update.param), at(update.value)).expect("the update fitted before");
        }
        let finals = with_inputs.carries.clone();
        self.prune(with_inputs, &finals, &mut FxHashMap::default())
    }

    /// Puts the only trip of a loop in its place.
    fn inline(
        &mut self,
        pieces: &Pieces,
        outputs: &[NodeId],
        stacked: &[NodeId],
        results: &[(NodeId, LoopResult)],
        known: &FxHashMap<usize, NodeId>,
    ) {
        let graph = &pieces.graph;
        let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
        for id in graph.ids() {
            let node = graph.node(id);
            let new = match pieces.operands.get(&id) {
                Some(&operand) if pieces.sliced.contains(&id) => {
                    let shape = node.ty.shape.clone();
                    self.new.push(Reshape { shape }, &[operand], node.origin.clone())
                }
                Some(&operand) => Ok(operand),
                None => {
                    let operands: Operands =
                        graph.operands(id).iter().map(|o| map[o.index()].expect("operands come first")).collect();
                    self.new.push(node.op.clone(), &operands, node.origin.clone())
                }
            };
            map[id.index()] = Some(new.expect("it fits as it did inside"));
        }
        let at = |id: NodeId| map[id.index()].expect("every node is copied");
        for &(id, result) in results {
            self.map[id.index()] = Some(match result {
                LoopResult::Carry(i) => match known.get(&i) {
                    Some(&value) => value,
                    None => at(graph.updates()[pieces.number_of(i)].value),
                },
                LoopResult::Stack(node) => {
                    let shape = self.old.shape(id).clone();
                    let value = at(outputs[position(stacked, node)]);
                    let op = Reshape { shape };
                    self.new.push(op, &[value], self.old.node(id).origin.clone()).expect("one more axis of one element")
                }
            });
        }
    }
}

impl Pieces {
    /// The number of a carry of the old loop.
    fn number_of(&self, old: usize) -> usize {
        self.carries.iter().position(|&c| c == old).expect("carries that are results stay")
    }

    fn copy_leaf(&mut self, from: &Graph, id: NodeId, operand: NodeId) -> NodeId {
        let mut op = from.op(id).clone();
        let name = free_name(&self.graph, leaf_name(from, id));
        match &mut op {
            Op::Input(input) => Arc::make_mut(input).name = name,
            Op::Param(param) => Arc::make_mut(param).name = name,
            _ => panic!("leaves are inputs and parameters"),
        }
        let copy = self.graph.push(op, &[], from.node(id).origin.clone()).expect("the name is free");
        self.operands.insert(copy, operand);
        copy
    }

    /// The same loop with another graph, which has the leaves of the old one by name.
    fn replace(&mut self, graph: Graph) {
        let leaf = |old: NodeId| graph.find(leaf_name(&self.graph, old)).expect("an optimized graph keeps its leaves");
        let operands = self.operands.iter().map(|(&old, &operand)| (leaf(old), operand)).collect();
        let sliced = self.sliced.iter().map(|&old| leaf(old)).collect();
        // Carries are numbered by their updates, whose order is kept.
        (self.operands, self.sliced) = (operands, sliced);
        self.graph = graph;
    }
}

fn take_apart(spec: &LoopSpec, operands: &[NodeId], stacked: &[NodeId]) -> Pieces {
    let mut graph = spec.graph_of(stacked);
    if let Some(guard) = spec.guard {
        graph.add_output("guard", guard).expect("the other outputs are numbers");
    }
    let body = &spec.body;
    let leaves = body.carries().iter().map(|c| c.0).chain(body.inputs().iter().copied());
    Pieces {
        operands: leaves.zip(operands.iter().copied()).collect(),
        sliced: body.inputs()[..spec.sequences].to_vec(),
        carries: (0..body.carries().len()).collect(),
        graph,
    }
}

fn leaf_name(graph: &Graph, id: NodeId) -> &str {
    graph.op(id).leaf_name().expect("inputs and parameters have names")
}

fn position(list: &[NodeId], id: NodeId) -> usize {
    list.iter().position(|&x| x == id).expect("the list has all of them")
}

/// True for what takes longer to compute than to load.
fn is_dear(graph: &Graph, id: NodeId) -> bool {
    let operands = graph.operands(id);
    let types: Vec<&TensorType> = operands.iter().map(|&o| graph.ty(o)).collect();
    match graph.op(id).lowering(&types, graph.ty(id)) {
        Lowering::Leaf | Lowering::Const | Lowering::Iota { .. } | Lowering::View | Lowering::Cast => false,
        Lowering::Same | Lowering::Barrier => false,
        Lowering::Map(f) => f.record().cost == Cost::Dear,
        Lowering::Assemble { .. }
        | Lowering::Gather { .. }
        | Lowering::Reduce { .. }
        | Lowering::ArgReduce { .. }
        | Lowering::Dot
        | Lowering::Scatter { .. }
        | Lowering::Routine { .. }
        | Lowering::Expand
        | Lowering::Loop => true,
    }
}
