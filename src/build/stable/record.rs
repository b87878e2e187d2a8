//! Which nodes stand for formulas as they were written, so that a derivative by a tensor inside such a formula is that of the formula.
//!
//! ```text
//!   p = softmax(x)             a node
//!   l = log(p)                 literal: log of p                 form: log_softmax(x), which is not made of p
//!   g.grad(l.sum(), [x])       differentiates the form
//!   g.grad(l.sum(), [p])       differentiates the literal, since p is inside the formula: 1 / p
//! ```

use rustc_hash::{FxHashMap, FxHashSet};

use crate::grad::Instead;
use crate::graph::NodeId;

use super::super::Builder;

/// The nodes by frame.
#[derive(Default)]
pub(in crate::build) struct Records {
    nodes: FxHashMap<(u32, NodeId), Record>,
    /// A frame, and the node of it from which on formulas may be looked into.
    floor: (u32, usize),
}

/// A node that stands for a formula.
struct Record {
    /// The formula as it was written.
    literal: NodeId,
    /// The nodes inside it.
    inside: Vec<NodeId>,
}

impl Records {
    pub(super) fn add(&mut self, frame: u32, node: NodeId, literal: NodeId, inside: Vec<NodeId>) {
        self.nodes.insert((frame, node), Record { literal, inside });
    }

    /// The formula as it was written for which a node stands.
    pub(super) fn literal(&self, frame: u32, node: NodeId) -> Option<NodeId> {
        self.nodes.get(&(frame, node)).map(|r| r.literal)
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

    /// The nodes of the innermost frame that differentiation by `wrt` has to take for the formulas as they were written, because one of `wrt` is inside of
    /// them; and these formulas.
    pub(in crate::build) fn written_for(&self, wrt: &[NodeId]) -> Instead {
        let (records, frame) = (self.records.borrow(), self.frame());
        let mut of_frame: Vec<(NodeId, &Record)> =
            records.nodes.iter().filter(|(key, _)| key.0 == frame).map(|(key, record)| (key.1, record)).collect();
        // Operands first: a formula may have another inside.
        of_frame.sort_unstable_by_key(|r| r.0);
        let mut passed: FxHashSet<NodeId> = wrt.iter().copied().collect();
        let mut written = FxHashMap::default();
        for (node, record) in of_frame {
            if record.inside.iter().any(|id| passed.contains(id)) {
                passed.insert(node);
                written.insert(node, record.literal);
            }
        }
        Instead(written)
    }
}
