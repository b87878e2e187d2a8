//! Loops in a plan: a nested plan that runs once in each trip, on memory of the plan around it.
//!
//! The body of a loop is planned as a program is, its carries being parameters, and so are updated in place where the order of its steps allows that. Its
//! arrays lie in buffers of the plan around it: an input or output that moves from trip to trip is a part of its buffer, further on by `stride` elements in
//! each trip; carries and invariants stand still. Its arena is a buffer, too, so all memory of all trips is part of one arena.

use std::sync::Arc;

use crate::prim::Order;

use super::{BufferId, Plan};

/// A loop over a nested plan.
#[derive(Clone, Debug)]
pub struct LoopStep {
    /// Count of trips, at least 1.
    pub trips: usize,
    /// The order of trips: in which order the parts of buffers are come to.
    pub order: Order,
    /// What a trip does.
    pub body: Nested,
    /// What tells whether a trip takes place.
    pub guard: Option<Guard>,
}

/// A plan whose one output is a truth value: whether the trip takes place.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The plan, which writes no parameters.
    pub nested: Nested,
    /// The buffer of the truth value.
    pub flag: BufferId,
    /// True if no trip takes place after one that did not.
    pub ends: bool,
}

/// A nested plan with the buffers of the plan around it that are its arrays. What it has no buffers for may be missing.
#[derive(Clone, Debug)]
pub struct Nested {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Its inputs.
    pub inputs: Vec<Option<Part>>,
    /// Its parameters, in whole buffers.
    pub params: Vec<Option<BufferId>>,
    /// Its constants, in whole buffers.
    pub constants: Vec<Option<BufferId>>,
    /// Its outputs.
    pub outputs: Vec<Option<Part>>,
    /// Its arena, in bytes, if it needs one.
    pub arena: Option<BufferId>,
}

/// A part of a buffer that moves from trip to trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The buffer.
    pub buffer: BufferId,
    /// The element at which slice 0 begins.
    pub offset: usize,
    /// Elements between two slices.
    pub stride: usize,
    /// Count of elements of a slice.
    pub len: usize,
}

impl LoopStep {
    /// The nested plans: that of the guard, then that of the body.
    pub fn nested(&self) -> impl Iterator<Item = &Nested> {
        self.guard.iter().map(|g| &g.nested).chain([&self.body])
    }

    /// The buffers that the loop writes: carries, outputs, arenas and the guard's flag.
    pub fn written(&self) -> impl Iterator<Item = BufferId> + '_ {
        let carries = self.body.params.iter().flatten().copied();
        let outputs = self.body.outputs.iter().flatten().map(|p| p.buffer);
        carries.chain(outputs).chain(self.nested().filter_map(|n| n.arena)).chain(self.guard.iter().map(|g| g.flag))
    }

    /// The buffers that the loop reads: inputs, constants, and carries as they were before.
    pub fn read(&self) -> impl Iterator<Item = BufferId> + '_ {
        self.nested().flat_map(|n| {
            let inputs = n.inputs.iter().flatten().map(|p| p.buffer);
            inputs.chain(n.params.iter().chain(&n.constants).flatten().copied())
        })
    }

    /// The slice number of trip `n`.
    pub fn slice_of(&self, n: usize) -> usize {
        match self.order {
            Order::Forward => n,
            Order::Reverse => self.trips - 1 - n,
        }
    }
}

impl Plan {
    /// The plan and all nested ones, each before those in it.
    pub fn all(&self) -> Vec<&Plan> {
        let mut plans = vec![self];
        let mut next = 0;
        while let Some(&plan) = plans.get(next) {
            let loops = plan.steps.iter().filter_map(|s| match &s.action {
                super::Action::Loop(l) => Some(l),
                _ => None,
            });
            plans.extend(loops.flat_map(|l| l.nested()).map(|n| &*n.plan));
            next += 1;
        }
        plans
    }
}
