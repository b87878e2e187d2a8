//! Loops: all results of one loop are one group.

use std::sync::Arc;

use crate::graph::{NodeId, Operands, Shape};
use crate::plan::expr::{Expr, ExprId};
use crate::plan::group::GroupId;
use crate::prim::{LoopResult, LoopSpec, Strided};

use super::{Fused, Home, Kind};

/// A loop with its results so far.
#[derive(Clone, Debug)]
pub(in crate::plan) struct LoopGroup {
    pub(in crate::plan) spec: Arc<LoopSpec>,
    /// The results that somebody needs, all different.
    pub(in crate::plan) results: Vec<(NodeId, LoopResult)>,
    /// First values of the carries.
    pub(in crate::plan) inits: Vec<ExprId>,
    /// Sequences and invariants in memory; `None` for those without elements. All axes of an invariant, and all but the first of a sequence, are as in a
    /// row-major array.
    pub(in crate::plan) inputs: Vec<Option<(NodeId, Strided)>>,
}

impl Fused<'_> {
    /// The value of a result of a loop.
    pub(super) fn place_loop(&mut self, id: NodeId, operands: &Operands) -> ExprId {
        let of = self.graph.op(id).looped().expect("only loops lower to loops");
        let (spec, result) = (of.spec.clone(), of.result);
        if let (0, LoopResult::Carry(i)) = (spec.trips, result) {
            return self.def(operands[i]);
        }
        let key = (spec, operands.clone());
        let group = match self.loops.get(&key) {
            Some(&group) => group,
            None => {
                let group = self.begin_loop(&key.0, operands);
                self.loops.insert(key, group);
                group
            }
        };
        let Kind::Loop(looped) = &mut self.groups[group.index()].kind else { panic!("the group is a loop") };
        if let Some(&(same, _)) = looped.results.iter().find(|r| r.1 == result) {
            return self.def(same);
        }
        looped.results.push((id, result));
        self.homes[id.index()] = Some(Home::Group(group));
        self.leaf(id)
    }

    fn begin_loop(&mut self, spec: &Arc<LoopSpec>, operands: &[NodeId]) -> GroupId {
        let roles = spec.roles(operands);
        let mut inputs = Vec::new();
        for (i, &operand) in roles.sequences.iter().chain(roles.invariants).enumerate() {
            let sliced = usize::from(i < spec.sequences);
            let empty = self.graph.shape(operand).numel() == 0;
            inputs.push((!empty).then(|| self.in_rows(operand, sliced)));
        }
        let inits: Vec<ExprId> = roles.inits.iter().map(|&o| self.def(o)).collect();
        let mut read: Vec<ExprId> = inits.clone();
        read.extend(roles.sequences.iter().chain(roles.invariants).map(|&o| self.def(o)));
        let level = self.level_above(&read);
        self.add_group(
            level,
            Kind::Loop(Box::new(LoopGroup { spec: spec.clone(), results: Vec::new(), inits, inputs })),
        )
    }

    /// The memory that holds a node's value, all axes but the first `free` as in a row-major array.
    fn in_rows(&mut self, id: NodeId, free: usize) -> (NodeId, Strided) {
        let (source, view) = self.in_memory(id);
        let rows: Shape = view.shape[free..].iter().copied().collect();
        // An axis of one element has no stride to speak of.
        let fits = |((&n, &stride), &expected): ((&usize, &isize), &isize)| n == 1 || stride == expected;
        let in_order = view.shape[free..].iter().zip(&view.strides[free..]).zip(&rows.strides()).all(fits);
        if in_order && view.strides[..free].iter().all(|&s| s >= 0) {
            return (source, view);
        }
        let copy = self.place_map(id, self.def(id));
        self.defs[id.index()] = Some(copy);
        match &self.exprs.get(copy).expr {
            Expr::Leaf { source, view } => (*source, view.clone()),
            _ => panic!("a placed node is a leaf"),
        }
    }
}
