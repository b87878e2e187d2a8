//! Loops: nested plans are proved by themselves, and their arrays to be apart from what the loop writes.

use crate::graph::DType;
use crate::plan::kernel::Access;
use crate::plan::nested::{LoopStep, Nested, Part};
use crate::plan::{Action, BufferId, Place, Plan};

use super::footprint::Region;
use super::memory::{SlotFacts, Use, Walk, overlap};
use super::{Fault, FaultKind, Site, check};

/// Checks the nested plans of all loops.
pub(super) fn nested_plans(plan: &Plan, faults: &mut Vec<Fault>) {
    for (number, step) in plan.steps.iter().enumerate() {
        let Action::Loop(l) = &step.action else { continue };
        for nested in l.nested() {
            let Err(inner) = check(&nested.plan) else { continue };
            let within =
                |fault: Fault| Fault { site: Site::Nested { step: number, site: Box::new(fault.site) }, ..fault };
            faults.extend(inner.into_iter().map(within));
        }
    }
}

impl Walk<'_> {
    /// What a loop does to each buffer, unless too much is wrong to tell.
    pub(super) fn loop_uses(&mut self, l: &LoopStep) -> Option<Vec<Use>> {
        if self.unknown(l.read().chain(l.written())) {
            return None;
        }
        if l.trips == 0 {
            self.fault(FaultKind::NoTrips);
            return None;
        }
        let mut uses: Vec<Use> = Vec::new();
        for nested in l.nested() {
            self.bindings(nested);
            for part in nested.inputs.iter().flatten() {
                uses.push(self.part_use(l, part, Access::Read));
            }
            for &constant in nested.constants.iter().flatten() {
                uses.push(self.whole_use(constant, Access::Read));
            }
            if let Some(arena) = nested.arena {
                let (dtype, len) = (self.plan.buffer(arena).dtype, self.plan.buffer(arena).len);
                if dtype != DType::Bool || len < nested.plan.arena_bytes {
                    self.fault(FaultKind::NestedArena { buffer: arena, bytes: nested.plan.arena_bytes });
                }
                uses.push(self.whole_use(arena, Access::Scratch));
            }
        }
        for &carry in l.body.params.iter().flatten() {
            uses.push(self.whole_use(carry, Access::ReadWrite));
        }
        for part in l.body.outputs.iter().flatten() {
            if l.trips > 1 && part.stride < part.len {
                self.fault(FaultKind::PartsMeet(part.buffer));
            }
            let mut written = self.part_use(l, part, Access::Write);
            if l.guard.is_some() {
                // Some trips may not take place.
                written.facts.stores.clear();
            }
            uses.push(written);
        }
        if let Some(guard) = &l.guard {
            let carries: Vec<BufferId> = l.body.params.iter().flatten().copied().collect();
            for &carry in guard.nested.params.iter().flatten().filter(|c| !carries.contains(c)) {
                uses.push(self.whole_use(carry, Access::Read));
            }
            let plan = &guard.nested.plan;
            let writes = plan.steps.iter().flat_map(|s| s.written(plan)).map(|b| plan.buffer(b).place);
            if writes.into_iter().any(|place| matches!(place, Place::Param(_))) {
                self.fault(FaultKind::GuardWrites);
            }
            let flag = self.plan.buffer(guard.flag);
            if plan.outputs.len() != 1 || flag.dtype != DType::Bool || flag.len != 1 {
                self.fault(FaultKind::GuardFlag(guard.flag));
            }
            uses.push(self.whole_use(guard.flag, Access::Scratch));
        }
        self.overlaps_of_loop(&uses);
        Some(uses)
    }

    /// Every array of a nested plan is bound to a buffer of its type and size.
    fn bindings(&mut self, nested: &Nested) {
        let plan = &nested.plan;
        let whole = |this: &Self, id: Option<&Option<BufferId>>| {
            let id = id.copied().flatten()?;
            Some((id, this.plan.buffer(id).len))
        };
        let part = |part: Option<&Option<Part>>| part.copied().flatten().map(|p| (p.buffer, p.len));
        for inner in &plan.buffers {
            let bound = match inner.place {
                Place::Arena(_) => continue,
                Place::Input(i) => part(nested.inputs.get(i)),
                Place::Output(i) => part(nested.outputs.get(i)),
                Place::Param(i) => whole(self, nested.params.get(i)),
                Place::Const(i) => whole(self, nested.constants.get(i)),
            };
            let Some((buffer, len)) = bound else {
                self.fault(FaultKind::Unbound(inner.place));
                continue;
            };
            let dtype = self.plan.buffer(buffer).dtype;
            if dtype != inner.dtype || len != inner.len {
                self.fault(FaultKind::Binding { buffer, dtype, len, expected: (inner.dtype, inner.len) });
            }
        }
        for (i, constant) in nested.constants.iter().enumerate() {
            let Some(id) = *constant else { continue };
            let same = match self.plan.buffer(id).place {
                Place::Const(at) => self.plan.constants.get(at) == plan.constants.get(i),
                _ => false,
            };
            if !same {
                self.fault(FaultKind::NestedConstant(id));
            }
        }
    }

    fn part_use(&mut self, l: &LoopStep, part: &Part, access: Access) -> Use {
        let loops = [(part.stride as isize, l.trips), (1, part.len)];
        let region = Region::strided(part.offset as isize, loops);
        let range = region.as_ref().map(|r| (r.min(), r.max()));
        self.inside(part.buffer, range);
        let region: Vec<Region> = region.into_iter().collect();
        let (needs, stores) = if access == Access::Read { (region, Vec::new()) } else { (Vec::new(), region) };
        Use { buffer: part.buffer, access, facts: SlotFacts { needs, stores, range } }
    }

    fn whole_use(&mut self, buffer: BufferId, access: Access) -> Use {
        let region: Vec<Region> = Region::strided(0, [(1, self.plan.buffer(buffer).len)]).into_iter().collect();
        let range = region.first().map(|r| (r.min(), r.max()));
        let needs = if matches!(access, Access::Read | Access::ReadWrite) { region.clone() } else { Vec::new() };
        let stores = if matches!(access, Access::Write | Access::ReadWrite) { region } else { Vec::new() };
        Use { buffer, access, facts: SlotFacts { needs, stores, range } }
    }

    /// What a loop writes lies apart from all else that it touches.
    fn overlaps_of_loop(&mut self, uses: &[Use]) {
        let plan = self.plan;
        for (i, written) in uses.iter().enumerate().filter(|u| u.1.access != Access::Read) {
            for (j, other) in uses.iter().enumerate() {
                let twice = other.access != Access::Read && j < i;
                if i != j && !twice && overlap(plan.buffer(written.buffer), plan.buffer(other.buffer)) {
                    self.fault(FaultKind::Overlap { written: written.buffer, other: other.buffer });
                }
            }
        }
    }
}
