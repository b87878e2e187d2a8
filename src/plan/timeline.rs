//! When each value is computed and read: what is known of a plan in terms of the graph's nodes.

use std::collections::hash_map::Entry;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::graph::NodeId;

use super::ARENA_ALIGN;
use super::expr::ExprId;
use super::fuse::{Fused, Kind};
use super::group::{GroupId, Role};
use super::pending::{Lowered, Want};

/// How dear it is to compute a value again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effort {
    /// An elementwise expression.
    Map,
    /// A fold, or elements put in places.
    Fold,
    /// A matrix product, or a routine.
    Product,
}

/// Work that a routine is taken to do for each element of its operands.
const ROUTINE: usize = 64;

/// What is known of a placed node.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// The turn in which it is computed.
    pub(super) turn: usize,
    /// The placed nodes, inputs, parameters and constants that it is computed from.
    pub(super) sources: SmallVec<[NodeId; 4]>,
    /// How dear it is.
    pub(super) effort: Effort,
    /// Work of computing it, in cheap operations.
    pub(super) work: u64,
}

impl Placed {
    /// Both parts of one node.
    fn join(&mut self, other: Placed) {
        self.turn = self.turn.max(other.turn);
        self.effort = self.effort.max(other.effort);
        self.work = self.work.saturating_add(other.work);
        self.sources.extend(other.sources);
        self.sources.sort_unstable();
        self.sources.dedup();
    }
}

/// A value in the arena.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Bytes that it takes.
    pub(super) bytes: usize,
    /// The first turn that writes it.
    pub(super) written: usize,
    /// The turns that read it, ascending.
    pub(super) reads: Vec<usize>,
}

impl Stored {
    /// The first reading turn behind `turn`, if the value must be there in that turn, which neither writes nor reads it, only because of later ones.
    pub(super) fn waits_through(&self, turn: usize) -> Option<usize> {
        let later = self.reads.iter().copied().find(|&r| r > turn)?;
        (self.written < turn && !self.reads.contains(&turn)).then_some(later)
    }
}

/// When everything happens.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// The placed nodes.
    pub(super) placed: FxHashMap<NodeId, Placed>,
    /// The values in the arena that belong to nodes.
    pub(super) stored: FxHashMap<NodeId, Stored>,
    /// Nodes whose values are in memory to the end: outputs and new values of parameters, and what those are read from.
    pub(super) kept: FxHashSet<NodeId>,
    /// Bytes of the arena that are in use in each turn.
    pub(super) in_use: Vec<usize>,
}

impl Timeline {
    /// The timeline of steps in this order.
    pub(super) fn of(fused: &Fused<'_>, lowered: &Lowered, order: &[usize]) -> Timeline {
        let mut timeline = Timeline { in_use: vec![0; order.len()], ..Timeline::default() };
        let mut turn_of: Vec<usize> = vec![0; lowered.steps.len()];
        order.iter().enumerate().for_each(|(turn, &step)| turn_of[step] = turn);
        for (i, group) in fused.groups.iter().enumerate() {
            let steps = lowered.steps_of.get(&GroupId(i as u32)).cloned().unwrap_or(0..0);
            if let Some(turn) = steps.map(|s| turn_of[s]).max() {
                timeline.add_group(fused, &group.kind, turn);
            }
        }
        timeline.add_buffers(lowered, order);
        let graph = fused.graph;
        for node in graph.outputs().iter().map(|o| o.node).chain(graph.updates().iter().map(|u| u.value)) {
            timeline.kept.extend(sources(fused, &[fused.def(node)]));
        }
        timeline
    }

    fn add_group(&mut self, fused: &Fused<'_>, kind: &Kind, turn: usize) {
        let mut add = |node: NodeId, sources: SmallVec<[NodeId; 4]>, effort: Effort, work: usize| {
            let placed = Placed { turn, sources, effort, work: work as u64 };
            match self.placed.entry(node) {
                Entry::Vacant(entry) => drop(entry.insert(placed)),
                // Several groups may compute parts of a node.
                Entry::Occupied(mut entry) => entry.get_mut().join(placed),
            }
        };
        match kind {
            Kind::Loops(loops) => {
                for member in &loops.members {
                    let weight = fused.exprs.get(member.body).weight as usize + 1;
                    let turns = member.coords.iter().flatten().map(|&(d, _)| loops.dims[d]).product::<usize>();
                    let effort = if member.role == Role::Map { Effort::Map } else { Effort::Fold };
                    add(member.node, sources(fused, &[member.body]), effort, weight.saturating_mul(turns));
                }
            }
            Kind::Product(product) => {
                let (lhs, rhs) = (fused.memory_of(product.lhs.0), fused.memory_of(product.rhs.0));
                let shape = &product.lhs.1.shape;
                let k: usize = product.dot.lhs_contract.iter().map(|&a| shape[a]).product();
                let matrix = product.overlap.as_ref().map_or(product.node, |o| o.0);
                let work = fused.graph.shape(matrix).numel().saturating_mul(k);
                add(product.memory(), SmallVec::from_slice(&[lhs, rhs]), Effort::Product, work);
            }
            Kind::Routine { node, operands, .. } => {
                let operands: SmallVec<[NodeId; 4]> = operands.iter().map(|&n| fused.memory_of(n)).collect();
                let work =
                    operands.iter().map(|&n| fused.graph.shape(n).numel()).sum::<usize>().saturating_mul(ROUTINE);
                add(*node, operands, Effort::Product, work);
            }
            Kind::Loop(l) => {
                let mut read = sources(fused, &l.inits);
                read.extend(l.inputs.iter().flatten().map(|i| fused.memory_of(i.0)));
                // Computing one result again takes all trips again.
                let body = l.spec.body.graph();
                let trip: usize = body.ids().map(|id| body.shape(id).numel()).sum();
                let work = trip.saturating_mul(l.spec.trips).saturating_mul(ROUTINE);
                l.results.iter().for_each(|r| add(r.0, read.clone(), Effort::Product, work));
            }
            Kind::Assemble { node, regions, .. } => {
                let bodies: Vec<ExprId> = regions.iter().map(|r| r.0).collect();
                add(*node, sources(fused, &bodies), Effort::Fold, fused.graph.shape(*node).numel());
            }
            Kind::Scatter { node, base, index, update, .. } => {
                let work = fused.graph.shape(*node).numel();
                add(*node, sources(fused, &[*base, *index, *update]), Effort::Fold, work);
            }
            Kind::Merged(_) => {}
        }
    }

    fn add_buffers(&mut self, lowered: &Lowered, order: &[usize]) {
        let mut turns: Vec<Option<(usize, usize)>> = vec![None; lowered.buffers.len()];
        let mut reads: Vec<Vec<usize>> = vec![Vec::new(); lowered.buffers.len()];
        for (turn, &step) in order.iter().enumerate() {
            let step = &lowered.steps[step];
            step.reads.iter().for_each(|b| reads[b.index()].push(turn));
            for b in step.reads.iter().chain(&step.writes) {
                let (_, last) = turns[b.index()].get_or_insert((turn, turn));
                *last = turn;
            }
        }
        for ((buffer, turns), mut reads) in lowered.buffers.iter().zip(turns).zip(reads) {
            let Some((first, last)) = turns else { continue };
            if buffer.want != Want::Arena {
                self.kept.extend(buffer.node);
                continue;
            }
            let bytes = (buffer.len * buffer.dtype.size()).next_multiple_of(ARENA_ALIGN);
            self.in_use[first..=last].iter_mut().for_each(|sum| *sum += bytes);
            if let Some(node) = buffer.node {
                reads.dedup();
                self.stored.insert(node, Stored { bytes, written: first, reads });
            }
        }
    }

    /// The turns, those in which the most memory is in use first, the later one of two equal ones.
    pub(super) fn peaks(&self) -> Vec<usize> {
        let mut turns: Vec<usize> = (0..self.in_use.len()).collect();
        turns.sort_by_key(|&turn| std::cmp::Reverse((self.in_use[turn], turn)));
        turns
    }
}

/// The nodes whose memory these expressions read.
fn sources(fused: &Fused<'_>, bodies: &[ExprId]) -> SmallVec<[NodeId; 4]> {
    let mut sources: SmallVec<[NodeId; 4]> = SmallVec::new();
    for &body in bodies {
        fused.exprs.leaves(body, &mut |source, _, _| sources.push(fused.memory_of(source)));
    }
    sources.sort_unstable();
    sources.dedup();
    sources
}

#[cfg(test)]
mod tests {
    use crate::graph::parse;
    use crate::plan::{Action, planned};

    /// A product that stores its result in another order and adds it to a parameter is the computation of the parameter's new value.
    #[test]
    fn an_accumulated_product_is_the_new_value() {
        let text = r#"
%x = input {name="x"} : f32[32, 64]
%g = input {name="g"} : f32[32, 96]
%w = param {name="w", kind=trainable} : f32[96, 64]
%d = dot %x, %g {lhs_contract=[0], rhs_contract=[0]} : f32[64, 96]
%t = transpose %d {permutation=[1, 0]} : f32[96, 64]
%r = reshape %t : f32[6144]
%b = reshape %r : f32[96, 64]
%n = add %w, %b : f32[96, 64]
%m = reduce %n {kind=max, axes=[0, 1]} : f32[]
output "m" = %m
update %w = %n
"#;
        let graph = parse(text).expect("a graph");
        let (plan, timeline) = planned(&graph);
        let accumulates = |action: &Action| matches!(action, Action::Product(p) if p.accumulate);
        assert!(accumulates(&plan.steps[0].action), "{plan}");
        let new = graph.updates()[0].value;
        assert_eq!(timeline.placed[&new].turn, 0);
        // The sources of what is computed from it are placed, kept, or given.
        for placed in timeline.placed.values() {
            let is_there = |s| timeline.placed.contains_key(s) || graph.op(*s).leaf_name().is_some();
            assert!(placed.sources.iter().all(is_there), "{:?}", timeline.placed);
        }
        assert_eq!(timeline.placed.len(), 2, "the new value and its largest element: {:?}", timeline.placed);
    }
}
