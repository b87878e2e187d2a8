//! Which nodes stand for formulas as they were written, so that a derivative by a tensor inside such a formula is that of the formula.
//!
//! ```text
//!   p = softmax(x)             a node
//!   l = log(p)                 literal: log of p                 form: log_softmax(x), which is not made of p
//!   g.grad(l.sum(), [x])       differentiates the form
//!   g.grad(l.sum(), [p])       differentiates the literal, since p is inside the formula: 1 / p
//!   g.grad(l.sum(), [x, p])    walks once for each, so that each is what it is alone
//! ```
//!
//! [`Builder::vmap`] makes the literals of a batch too, and hands the records on.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::grad::Instead;
use crate::graph::NodeId;

use super::super::Builder;
use super::Entry;

/// The nodes by frame.
#[derive(Default)]
pub(in crate::build) struct Records {
    nodes: FxHashMap<(u32, NodeId), Record>,
    /// A frame, and the node of it from which on formulas may be looked into.
    floor: (u32, usize),
}

/// A node that stands for a formula.
pub(super) struct Record {
    /// The form that it is.
    pub(super) entry: &'static Entry,
    /// The formula as it was written: an older node.
    pub(super) literal: NodeId,
    /// The nodes inside it.
    pub(super) inside: Vec<NodeId>,
}

impl Records {
    pub(super) fn add(&mut self, frame: u32, node: NodeId, record: Record) {
        self.nodes.insert((frame, node), record);
    }

    /// The form that a node is.
    pub(super) fn entry(&self, frame: u32, node: NodeId) -> Option<&'static Entry> {
        self.nodes.get(&(frame, node)).map(|r| r.entry)
    }

    /// The records of a frame, operands first: a formula may have another inside.
    fn of_frame(&self, frame: u32) -> Vec<(NodeId, &Record)> {
        let mut all: Vec<(NodeId, &Record)> =
            self.nodes.iter().filter(|(key, _)| key.0 == frame).map(|(key, record)| (key.1, record)).collect();
        all.sort_unstable_by_key(|r| r.0);
        all
    }

    /// The node of a frame from which on formulas may be looked into.
    pub(super) fn floor(&self, frame: u32) -> usize {
        if self.floor.0 == frame { self.floor.1 } else { 0 }
    }
}

/// While it lives, formulas are looked into only as far as they were written since it was made. Rules of a program's own and regions take what is older
/// for their arguments.
pub(in crate::build) struct Floor<'g> {
    builder: &'g Builder,
    before: (u32, usize),
}

impl Drop for Floor<'_> {
    fn drop(&mut self) {
        self.builder.records.borrow_mut().floor = self.before;
    }
}

impl Builder {
    /// Closes what has been built to the search for formulas.
    pub(in crate::build) fn floor(&self) -> Floor<'_> {
        let here = (self.frame(), self.graph.borrow().len());
        let before = std::mem::replace(&mut self.records.borrow_mut().floor, here);
        Floor { builder: self, before }
    }

    /// The records of the innermost frame that results depend on, literals included.
    fn needed_by<'r>(&self, records: &'r Records, results: &[NodeId]) -> Vec<(NodeId, &'r Record)> {
        let mut all = records.of_frame(self.frame());
        if all.is_empty() {
            return all;
        }
        let graph = self.graph.borrow();
        let end = results.iter().map(|r| r.index() + 1).max().unwrap_or(0);
        let mut needed = vec![false; end];
        results.iter().for_each(|r| needed[r.index()] = true);
        let mut literals = all.iter().rev().peekable();
        for index in (0..end).rev() {
            let node = NodeId::new(index);
            while literals.next_if(|r| r.0 > node).is_some() {}
            let record = literals.next_if(|r| r.0 == node);
            if needed[index] {
                graph.operands(node).iter().for_each(|o| needed[o.index()] = true);
                record.iter().for_each(|r| needed[r.1.literal.index()] = true);
            }
        }
        all.retain(|r| r.0.index() < end && needed[r.0.index()]);
        all
    }

    /// The walks that differentiate `results` by `wrt`: one by the tensors that are inside of no formula, which takes the forms, and one by those inside of
    /// the same formulas, which takes these as they were written. So a derivative does not depend on what else it is asked for beside.
    pub(in crate::build) fn walks(&self, results: &[NodeId], wrt: &[NodeId]) -> Vec<Walk> {
        let records = self.records.borrow();
        let needed = self.needed_by(&records, results);
        let inside: FxHashSet<NodeId> = needed.iter().flat_map(|(_, r)| &r.inside).copied().collect();
        let (inner, outer): (Vec<usize>, Vec<usize>) = (0..wrt.len()).partition(|&i| inside.contains(&wrt[i]));
        let mut walks = Vec::new();
        if !outer.is_empty() || inner.is_empty() {
            walks.push(Walk { wrt: outer, instead: Instead::default() });
        }
        for i in inner {
            let mut passed = FxHashSet::from_iter([wrt[i]]);
            let mut written = FxHashMap::default();
            for (node, record) in &needed {
                if record.inside.iter().any(|id| passed.contains(id)) {
                    passed.insert(*node);
                    written.insert(*node, record.literal);
                }
            }
            match walks.iter_mut().find(|walk| walk.instead.0 == written) {
                Some(walk) => walk.wrt.push(i),
                None => walks.push(Walk { wrt: vec![i], instead: Instead(written) }),
            }
        }
        walks
    }

    /// The nodes for formulas that results depend on, each with the formula as it was written.
    pub(in crate::build) fn literals(&self, results: &[NodeId]) -> FxHashMap<NodeId, NodeId> {
        let records = self.records.borrow();
        self.needed_by(&records, results).into_iter().map(|(node, record)| (node, record.literal)).collect()
    }

    /// Hands records on to the nodes that were made of others for a batch.
    pub(in crate::build) fn hand_on(&self, literals: &FxHashMap<NodeId, NodeId>, batches: &[Option<NodeId>]) {
        let frame = self.frame();
        let mut records = self.records.borrow_mut();
        let batch = |id: NodeId| batches.get(id.index()).copied().flatten();
        for (&node, &literal) in literals {
            let (Some(to), Some(literal), Some(record)) =
                (batch(node), batch(literal), records.nodes.get(&(frame, node)))
            else {
                continue;
            };
            let inside = record.inside.iter().map(|&id| batch(id).unwrap_or(id)).collect();
            let record = Record { entry: record.entry, literal, inside };
            records.add(frame, to, record);
        }
    }
}

/// A walk of differentiation.
pub(in crate::build) struct Walk {
    /// The places of the tensors by which it differentiates.
    pub(in crate::build) wrt: Vec<usize>,
    /// The formulas that it takes as they were written.
    pub(in crate::build) instead: Instead,
}
