//! The proof about memory: steps are walked in order, knowing which buffer's value lies where, and which parts of it.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::graph::{DType, TensorType};
use crate::plan::kernel::{Access, Kernel, SCRATCH_ROWS, SlotId, StoreMode};
use crate::plan::print::show_buffer;
use crate::plan::{
    ARENA_ALIGN, Action, Alpha, Axes, Axis, Buffer, BufferId, KernelId, Matrix, Packed, Place, Plan, Product,
    RoutineCall,
};
use crate::prim::Workspace;

use super::footprint::{Pairs, Region, covers, meet};
use super::structure::{accesses, loaded_after_store, needs_old};
use super::{Fault, FaultKind, Site};

/// Checks buffers, steps and the state at the end. `sound` tells of each kernel whether its indices can be understood.
pub(super) fn check(plan: &Plan, sound: &[bool], faults: &mut Vec<Fault>) {
    let before = faults.len();
    buffers(plan, faults);
    if faults.len() > before {
        // What lies where would be a guess.
        return;
    }
    let mut walk = Walk {
        plan,
        sound,
        faults,
        facts: vec![None; plan.kernels.len()],
        aliases: FxHashMap::default(),
        states: vec![State::default(); plan.buffers.len()],
        holders: FxHashMap::default(),
        step: 0,
    };
    walk.begin();
    for step in 0..plan.steps.len() {
        walk.step = step;
        walk.run(&plan.steps[step].action);
    }
    walk.end();
}

/// An address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Space {
    Arena,
    Input(usize),
    Param(usize),
    Const(usize),
    Output(usize),
}

/// The space of a buffer and its first byte there.
fn address(buffer: &Buffer) -> (Space, usize) {
    match buffer.place {
        Place::Arena(at) => (Space::Arena, at),
        Place::Input(i) => (Space::Input(i), 0),
        Place::Param(i) => (Space::Param(i), 0),
        Place::Const(i) => (Space::Const(i), 0),
        Place::Output(i) => (Space::Output(i), 0),
    }
}

/// True if two buffers share bytes.
pub(super) fn overlap(a: &Buffer, b: &Buffer) -> bool {
    let ((a_space, a_at), (b_space, b_at)) = (address(a), address(b));
    a.len > 0 && b.len > 0 && a_space == b_space && a_at < b_at + b.bytes() && b_at < a_at + a.bytes()
}

/// Checks the places of buffers.
fn buffers(plan: &Plan, faults: &mut Vec<Fault>) {
    let mut first: FxHashMap<Space, BufferId> = FxHashMap::default();
    for (i, buffer) in plan.buffers.iter().enumerate() {
        let id = BufferId(i as u32);
        if buffer.pieces == 0 || !buffer.len.is_multiple_of(buffer.pieces) {
            faults.push(at_buffer(plan, id, FaultKind::Pieces(buffer.pieces)));
            continue;
        }
        let array: Option<(DType, usize)> = match buffer.place {
            Place::Arena(at) => {
                let end = at.saturating_add(buffer.bytes());
                if at % ARENA_ALIGN != 0 {
                    faults.push(at_buffer(plan, id, FaultKind::Misaligned));
                }
                if end > plan.arena_bytes {
                    let kind = FaultKind::OutsideArena { end, arena: plan.arena_bytes };
                    faults.push(at_buffer(plan, id, kind));
                }
                continue;
            }
            Place::Const(n) => plan.constants.get(n).map(|c| (c.dtype(), c.shape().numel())),
            Place::Output(n) => plan.outputs.get(n).map(|(_, ty)| (ty.dtype, ty.shape.numel())),
            Place::Input(n) if n >= plan.inputs.len() => None,
            Place::Param(n) if n >= plan.params.len() => None,
            // The plan does not tell the types of inputs and parameters: all their buffers must agree.
            Place::Input(_) | Place::Param(_) => {
                let known = first.get(&address(buffer).0).map(|&b| plan.buffer(b));
                Some(known.map_or((buffer.dtype, buffer.len), |b| (b.dtype, b.len)))
            }
        };
        match array {
            None => faults.push(at_buffer(plan, id, FaultKind::UnknownArray)),
            Some((dtype, len)) if (dtype, len) != (buffer.dtype, buffer.len) => {
                faults.push(at_buffer(plan, id, FaultKind::ArraySize { dtype, len }));
            }
            Some(_) => {
                first.entry(address(buffer).0).or_insert(id);
            }
        }
    }
}

fn at_buffer(plan: &Plan, buffer: BufferId, kind: FaultKind) -> Fault {
    let text = show_buffer(plan, buffer).to_string();
    Fault { site: Site::Buffer { buffer, text }, kind }
}

/// What a kernel does with a slot, for all rows together.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotFacts {
    /// Regions of which elements from before are needed.
    pub(super) needs: Vec<Region>,
    /// Regions surely stored to.
    pub(super) stores: Vec<Region>,
    /// Smallest and largest index.
    pub(super) range: Option<(i128, i128)>,
}

fn facts(kernel: &Kernel) -> Vec<SlotFacts> {
    let slot = |i: usize| {
        let access = kernel.slots[i].access;
        let mut facts = SlotFacts::default();
        for at in accesses(kernel, SlotId(i as u32)) {
            let Some(region) = Region::of_index(kernel, at.index) else { continue };
            let (min, max) = facts.range.unwrap_or((region.min(), region.max()));
            facts.range = Some((min.min(region.min()), max.max(region.max())));
            let reads = match at.store {
                None => true,
                Some(store) => store.mode != StoreMode::Set,
            };
            if reads && needs_old(&at) && matches!(access, Access::Read | Access::ReadWrite) {
                facts.needs.push(region);
            } else if at.store.is_some() && at.index.choice.is_none() {
                facts.stores.push(region);
            }
        }
        facts
    };
    (0..kernel.slots.len()).map(slot).collect()
}

/// What is known of a buffer.
#[derive(Clone, Debug, Default)]
struct State {
    /// Regions written, unless all is.
    parts: Vec<Region>,
    whole: bool,
    /// The buffer that was written over it, and in which step.
    lost: Option<(BufferId, usize)>,
    /// Why its value is settled: the run was given it, or a step has read it.
    settled: Option<Option<usize>>,
}

/// A buffer of a step.
pub(super) struct Use {
    pub(super) buffer: BufferId,
    pub(super) access: Access,
    pub(super) facts: SlotFacts,
}

pub(super) struct Walk<'a> {
    pub(super) plan: &'a Plan,
    sound: &'a [bool],
    faults: &'a mut Vec<Fault>,
    facts: Vec<Option<Vec<SlotFacts>>>,
    /// Whether a read slot and a written slot of a kernel may lie at one place.
    aliases: FxHashMap<(KernelId, usize, usize), bool>,
    states: Vec<State>,
    /// The buffers whose values lie in each space: by first byte, the end and the buffer.
    holders: FxHashMap<Space, BTreeMap<usize, (usize, BufferId)>>,
    step: usize,
}

impl Walk<'_> {
    pub(super) fn fault(&mut self, kind: FaultKind) {
        let text = self.plan.steps[self.step].action.to_string();
        let site = Site::Step { step: self.step, text };
        self.faults.push(Fault { site, kind });
    }

    /// Inputs, constants and old values of parameters are there. A buffer of a parameter that no step writes holds the old value.
    fn begin(&mut self) {
        let plan = self.plan;
        let known = |b: &BufferId| b.index() < plan.buffers.len();
        let known_kernel = |a: &Action| match a {
            Action::Kernel { kernel, .. } => kernel.index() < plan.kernels.len(),
            Action::Product(_) | Action::Routine(_) | Action::Loop(_) => true,
        };
        let steps = plan.steps.iter().filter(|s| known_kernel(&s.action));
        let mut written = vec![false; plan.buffers.len()];
        steps.flat_map(|s| s.written(plan)).filter(known).for_each(|b| written[b.index()] = true);
        for (i, buffer) in plan.buffers.iter().enumerate() {
            let given = match buffer.place {
                Place::Input(_) | Place::Const(_) => true,
                Place::Param(_) => !written[i] && !self.holders.contains_key(&address(buffer).0),
                Place::Arena(_) | Place::Output(_) => buffer.len == 0,
            };
            if given {
                self.hold(BufferId(i as u32));
                self.states[i] = State { whole: true, settled: Some(None), ..State::default() };
            }
        }
        // Inputs and constants are never overwritten, so several buffers may be names of one.
        self.states.iter_mut().for_each(|s| s.lost = None);
    }

    fn run(&mut self, action: &Action) {
        match action {
            Action::Kernel { kernel, args } => {
                if let Some(uses) = self.kernel_uses(*kernel, args) {
                    self.aliases_of_kernel(*kernel, args);
                    self.apply(&uses);
                }
            }
            Action::Product(product) => {
                if let Some(uses) = self.product_uses(product) {
                    self.overlaps_of_product(product);
                    self.apply(&uses);
                }
            }
            Action::Routine(call) => {
                if let Some(uses) = self.routine_uses(call) {
                    self.overlaps_of_routine(call);
                    self.apply(&uses);
                }
            }
            Action::Loop(l) => {
                if let Some(uses) = self.loop_uses(l) {
                    self.apply(&uses);
                }
            }
        }
    }

    /// True if some of the buffers do not exist.
    pub(super) fn unknown(&mut self, ids: impl Iterator<Item = BufferId>) -> bool {
        let unknown: Vec<BufferId> = ids.filter(|b| b.index() >= self.plan.buffers.len()).collect();
        unknown.iter().for_each(|&b| self.fault(FaultKind::UnknownBuffer(b)));
        !unknown.is_empty()
    }

    pub(super) fn inside(&mut self, id: BufferId, range: Option<(i128, i128)>) {
        let len = self.plan.buffer(id).len;
        if let Some((min, max)) = range.filter(|&(min, max)| min < 0 || max >= len as i128) {
            self.fault(FaultKind::Outside { buffer: id, min, max, len });
        }
    }

    /// What a step does to each buffer of a kernel, unless too much is wrong to tell.
    fn kernel_uses(&mut self, id: KernelId, args: &[BufferId]) -> Option<Vec<Use>> {
        let plan = self.plan;
        let Some(kernel) = plan.kernels.get(id.index()) else {
            self.fault(FaultKind::UnknownKernel(id));
            return None;
        };
        if args.len() != kernel.slots.len() {
            self.fault(FaultKind::SlotCount { given: args.len(), slots: kernel.slots.len() });
            return None;
        }
        if self.unknown(args.iter().copied()) {
            return None;
        }
        if !self.sound[id.index()] {
            // The kernel has faults of its own; what it should have written is not held against its readers.
            for (_, &b) in kernel.slots.iter().zip(args).filter(|(s, _)| s.access != Access::Read) {
                self.hold(b);
                self.states[b.index()].whole = true;
            }
            return None;
        }
        if self.facts[id.index()].is_none() {
            self.facts[id.index()] = Some(facts(kernel));
        }
        let facts = self.facts[id.index()].clone().unwrap_or_default();
        for ((slot, &buffer), facts) in kernel.slots.iter().zip(args).zip(&facts) {
            let Buffer { dtype, len, .. } = *plan.buffer(buffer);
            if dtype != slot.dtype {
                self.fault(FaultKind::SlotType { buffer, expected: slot.dtype, actual: dtype });
            }
            self.inside(buffer, facts.range);
            let row = facts.range.map_or(0, |r| r.1 + 1);
            if slot.access == Access::Scratch && row * SCRATCH_ROWS as i128 > len as i128 {
                self.fault(FaultKind::ScratchSize { buffer, row, len });
            }
        }
        let uses = kernel.slots.iter().zip(args).zip(facts);
        Some(uses.map(|((slot, &buffer), facts)| Use { buffer, access: slot.access, facts }).collect())
    }

    fn product_uses(&mut self, p: &Product) -> Option<Vec<Use>> {
        let plan = self.plan;
        if !p.dtype.is_float() {
            self.fault(FaultKind::ProductType(p.dtype));
        }
        let scale = match p.alpha {
            Alpha::Const(_) => None,
            Alpha::Buffer { buffer, .. } => Some(buffer),
        };
        let matrices = [&p.a, &p.b, &p.c];
        let all = matrices.iter().map(|m| m.buffer).chain(scale).chain(p.workspace);
        if self.unknown(all.clone()) {
            return None;
        }
        for buffer in all {
            let actual = plan.buffer(buffer).dtype;
            if actual != p.dtype {
                self.fault(FaultKind::SlotType { buffer, expected: p.dtype, actual });
            }
        }
        let Axes { batch, rows, columns, contracted } = &p.axes;
        let strays = |axes: &[Axis], stride: fn(&Axis) -> isize| axes.iter().any(|x| stride(x) != 0);
        if strays(rows, |x| x.b) || strays(columns, |x| x.a) || strays(contracted, |x| x.c) {
            self.fault(FaultKind::ProductAxis);
            return None;
        }
        let [a, b, c] = regions(p);
        let result = [&batch[..], rows, columns].concat();
        if c.is_some() && Region::meets_itself(result.iter().map(|x| (x.c, x.extent))) {
            self.fault(FaultKind::ResultMeets(p.c.buffer));
        }
        let needed = p.table(&p.axes).workspace_len();
        let given = p.workspace.map_or(0, |w| plan.buffer(w).len);
        if given < needed {
            self.fault(FaultKind::WorkspaceSize { needed, given });
        }
        if let Some(number) = p.packed.filter(|&number| !is_packed_factor(plan, p, number)) {
            self.fault(FaultKind::Packed(number));
        }
        let mut uses = Vec::new();
        let scale = scale.map(|s| (s, Region::strided(0, [])));
        // Without terms, nothing is read but the result is still written.
        for (buffer, region) in [(p.a.buffer, a), (p.b.buffer, b)].into_iter().chain(scale) {
            let range = region.as_ref().map(|r| (r.min(), r.max()));
            self.inside(buffer, range);
            let facts = SlotFacts { needs: region.into_iter().collect(), stores: Vec::new(), range };
            uses.push(Use { buffer, access: Access::Read, facts });
        }
        let range = c.as_ref().map(|r| (r.min(), r.max()));
        self.inside(p.c.buffer, range);
        let stores: Vec<Region> = c.into_iter().collect();
        let (access, needs) = match p.accumulate {
            true => (Access::ReadWrite, stores.clone()),
            false => (Access::Write, Vec::new()),
        };
        uses.push(Use { buffer: p.c.buffer, access, facts: SlotFacts { needs, stores, range } });
        uses.extend(p.workspace.map(|w| Use { buffer: w, access: Access::Scratch, facts: SlotFacts::default() }));
        Some(uses)
    }

    fn routine_uses(&mut self, call: &RoutineCall) -> Option<Vec<Use>> {
        let plan = self.plan;
        let routine = &call.routine;
        if call.operands.len() != routine.operands.len() {
            self.fault(FaultKind::SlotCount { given: call.operands.len(), slots: routine.operands.len() });
            return None;
        }
        if self.unknown(call.buffers()) {
            return None;
        }
        let operands = call.operands.iter().zip(&routine.operands).map(|(&b, ty)| (b, Access::Read, ty.clone()));
        let result = [(call.result, Access::Write, routine.ty.clone())];
        let Workspace { dtype, len } = routine.workspace;
        let workspace = call.workspace.map(|b| (b, Access::Scratch, TensorType::new(dtype, [len])));
        if workspace.is_none() && len > 0 {
            self.fault(FaultKind::NoWorkspace { len });
        }
        let mut uses = Vec::new();
        for (buffer, access, ty) in operands.chain(result).chain(workspace) {
            let Buffer { dtype, len, .. } = *plan.buffer(buffer);
            if dtype != ty.dtype {
                self.fault(FaultKind::SlotType { buffer, expected: ty.dtype, actual: dtype });
            }
            let whole = Region::strided(0, [(1, ty.shape.numel())]);
            if len != ty.shape.numel() {
                self.fault(FaultKind::RoutineBuffer { buffer, len, ty });
            }
            let range = whole.as_ref().map(|r| (r.min(), r.max()));
            let (needs, stores) = if access == Access::Read { (whole, None) } else { (None, whole) };
            let (needs, stores) = (needs.into_iter().collect(), stores.into_iter().collect());
            uses.push(Use { buffer, access, facts: SlotFacts { needs, stores, range } });
        }
        Some(uses)
    }

    /// Buffers of a routine, some of which are written, do not overlap.
    fn overlaps_of_routine(&mut self, call: &RoutineCall) {
        let plan = self.plan;
        let written = || call.workspace.into_iter().chain([call.result]);
        for w in written() {
            let others = call.operands.iter().copied().chain(written().filter(|&o| o < w));
            for other in others {
                if overlap(plan.buffer(w), plan.buffer(other)) {
                    self.fault(FaultKind::Overlap { written: w, other });
                }
            }
        }
    }

    /// Checks buffers of a kernel that overlap.
    fn aliases_of_kernel(&mut self, id: KernelId, args: &[BufferId]) {
        let plan = self.plan;
        let kernel = plan.kernel(id);
        for (w, written) in kernel.slots.iter().enumerate() {
            if written.access == Access::Read {
                continue;
            }
            for (o, other) in kernel.slots.iter().enumerate() {
                let twice = other.access != Access::Read;
                if o == w || (twice && o < w) || !overlap(plan.buffer(args[w]), plan.buffer(args[o])) {
                    continue;
                }
                let same = address(plan.buffer(args[w])) == address(plan.buffer(args[o]));
                if twice || written.access == Access::Scratch || !same || written.dtype.size() != other.dtype.size() {
                    self.fault(FaultKind::Overlap { written: args[w], other: args[o] });
                    continue;
                }
                let may = *self.aliases.entry((id, o, w)).or_insert_with(|| may_alias(kernel, o, w));
                if !may {
                    self.fault(FaultKind::Alias { read: args[o], written: args[w] });
                }
            }
        }
    }

    /// The operands of a product lie elsewhere than its result, and nothing lies in its workspace.
    fn overlaps_of_product(&mut self, p: &Product) {
        let plan = self.plan;
        let [a, b, c] = regions(p);
        let written = p.c.buffer;
        let scale = match p.alpha {
            Alpha::Const(_) => None,
            Alpha::Buffer { buffer, .. } => Some((buffer, Region::strided(0, []))),
        };
        if let Some(workspace) = p.workspace {
            let others = [p.a.buffer, p.b.buffer, written].into_iter().chain(scale.as_ref().map(|s| s.0));
            for other in others.filter(|&other| overlap(plan.buffer(workspace), plan.buffer(other))) {
                self.fault(FaultKind::Overlap { written: workspace, other });
            }
        }
        for (other, region) in [(p.a.buffer, a), (p.b.buffer, b)].into_iter().chain(scale) {
            let (one, two) = (plan.buffer(written), plan.buffer(other));
            let apart = address(one) == address(two)
                && one.dtype.size() == two.dtype.size()
                && !c.as_ref().zip(region.as_ref()).is_some_and(|(c, r)| c.meets(r));
            if overlap(one, two) && !apart {
                self.fault(FaultKind::Overlap { written, other });
            }
        }
    }

    /// Checks the reads of a step against what lies in memory, then lets its writes happen.
    fn apply(&mut self, uses: &[Use]) {
        for u in uses.iter().filter(|u| u.access == Access::Read) {
            self.read(u.buffer, &u.facts.needs);
        }
        for u in uses.iter().filter(|u| u.access == Access::ReadWrite) {
            self.inherit(u.buffer);
            self.read(u.buffer, &u.facts.needs);
        }
        for u in uses.iter().filter(|u| u.access != Access::Read) {
            if matches!(self.plan.buffer(u.buffer).place, Place::Input(_) | Place::Const(_)) {
                self.fault(FaultKind::WriteToInput(u.buffer));
                continue;
            }
            if let Some(reader) = self.states[u.buffer.index()].settled {
                self.fault(FaultKind::WrittenAfterRead { buffer: u.buffer, reader });
            }
            self.hold(u.buffer);
            if u.access == Access::Scratch {
                self.states[u.buffer.index()] = State::default();
            } else {
                self.write(u.buffer, &u.facts.stores);
            }
        }
        for u in uses.iter().filter(|u| u.access == Access::Read) {
            self.states[u.buffer.index()].settled.get_or_insert(Some(self.step));
        }
    }

    /// A value changed in place takes over what lies at its place, if that is a whole value of its type.
    fn inherit(&mut self, id: BufferId) {
        let buffer = self.plan.buffer(id);
        let state = &self.states[id.index()];
        if state.whole || !state.parts.is_empty() || state.lost.is_some() {
            return;
        }
        let (space, at) = address(buffer);
        let held = self.holders.get(&space);
        let whole = match held.and_then(|h| h.get(&at)).map(|h| h.1) {
            Some(old) => {
                let (dtype, len) = (self.plan.buffer(old).dtype, self.plan.buffer(old).len);
                dtype == buffer.dtype && len == buffer.len && self.is_whole(old)
            }
            // A parameter's old value need not have a buffer.
            None => held.is_none() && matches!(space, Space::Param(_)),
        };
        if whole {
            self.hold(id);
            self.states[id.index()].whole = true;
        }
    }

    fn is_whole(&mut self, id: BufferId) -> bool {
        let state = &mut self.states[id.index()];
        if !state.whole && !state.parts.is_empty() {
            let all = Region::strided(0, [(1, self.plan.buffer(id).len)]);
            if all.is_none_or(|all| covers(&state.parts, &all)) {
                state.whole = true;
                state.parts.clear();
            }
        }
        state.whole
    }

    fn read(&mut self, id: BufferId, needs: &[Region]) {
        if needs.is_empty() {
            return;
        }
        if let Some((by, step)) = self.states[id.index()].lost {
            self.fault(FaultKind::Overwritten { buffer: id, by, step });
            return;
        }
        if self.is_whole(id) {
            return;
        }
        let parts = &self.states[id.index()].parts;
        if !needs.iter().all(|n| covers(parts, n)) {
            self.fault(FaultKind::Unwritten(id));
        }
    }

    fn write(&mut self, id: BufferId, stores: &[Region]) {
        let state = &mut self.states[id.index()];
        if state.whole {
            return;
        }
        let len = self.plan.buffer(id).len as i128;
        for region in stores {
            state.whole |= region.is_run() && region.min() <= 0 && region.max() >= len - 1;
            state.parts.push(region.clone());
        }
        if state.whole {
            state.parts.clear();
        }
    }

    /// The value of a buffer lies at its place from now on, and nothing else does.
    fn hold(&mut self, id: BufferId) {
        let buffer = self.plan.buffer(id);
        let (space, at) = address(buffer);
        let end = at + buffer.bytes();
        if end == at {
            return;
        }
        let held = self.holders.entry(space).or_default();
        if held.get(&at).is_some_and(|h| h.1 == id) {
            return;
        }
        // What is held does not overlap, so only the last that begins before the end can reach further back.
        let mut gone: Vec<(usize, BufferId)> = Vec::new();
        for (&start, &(stop, other)) in held.range(..end).rev() {
            if stop <= at {
                break;
            }
            gone.push((start, other));
        }
        for (start, other) in gone {
            held.remove(&start);
            self.states[other.index()].lost = Some((id, self.step));
        }
        held.insert(at, (end, id));
        let state = &mut self.states[id.index()];
        if state.lost.take().is_some() {
            (state.whole, state.parts) = (false, Vec::new());
        }
    }

    /// Checks what outputs and parameters hold.
    fn end(&mut self) {
        for i in 0..self.plan.outputs.len() {
            if self.plan.outputs[i].1.shape.numel() > 0 && !self.holds_whole(Space::Output(i)).unwrap_or(false) {
                self.faults.push(Fault { site: Site::End, kind: FaultKind::Output(i) });
            }
        }
        for i in 0..self.plan.params.len() {
            if !self.holds_whole(Space::Param(i)).unwrap_or(true) {
                self.faults.push(Fault { site: Site::End, kind: FaultKind::Param(i) });
            }
        }
    }

    /// Whether the one value in a space is whole; `None` if nothing was ever there.
    fn holds_whole(&mut self, space: Space) -> Option<bool> {
        let holder = self.holders.get(&space)?.values().next()?.1;
        Some(self.is_whole(holder))
    }
}

/// The places of the matrices of a product. None if one has no elements, as a factor without terms.
fn regions(p: &Product) -> [Option<Region>; 3] {
    let Axes { batch, rows, columns, contracted } = &p.axes;
    let region = |m: &Matrix, families: [&[Axis]; 3], stride: fn(&Axis) -> isize| {
        let axes = families.into_iter().flatten();
        Region::strided(m.offset, axes.map(|x| (stride(x), x.extent)))
    };
    [
        region(&p.a, [batch, rows, contracted], |x| x.a),
        region(&p.b, [batch, columns, contracted], |x| x.b),
        region(&p.c, [batch, rows, columns], |x| x.c),
    ]
}

/// True if the buffers of a read slot and a written slot may lie at one place: no element is loaded from the one after its place was stored to through the
/// other, in any row.
fn may_alias(kernel: &Kernel, read: usize, written: usize) -> bool {
    let (loads, stores) = (accesses(kernel, SlotId(read as u32)), accesses(kernel, SlotId(written as u32)));
    let stores = || stores.iter().filter(|s| s.store.is_some());
    loads.iter().all(|load| {
        stores().all(|store| {
            !meet(kernel, load.index, store.index, Pairs::OtherRow) && !loaded_after_store(kernel, load, store)
        })
    })
}

/// Whether packed factor `number` of the plan is the right one of this product, and lies in memory that no step writes.
fn is_packed_factor(plan: &Plan, p: &Product, number: usize) -> bool {
    let Some(Packed { product }) = plan.packed.get(number) else { return false };
    let place = |product: &Product| plan.buffer(product.b.buffer).place;
    let strides = |axes: &[Axis]| axes.iter().map(|x| (x.extent, x.b)).collect::<Vec<_>>();
    let lanes = |product: &Product| (strides(&product.axes.columns), strides(&product.axes.contracted));
    let written = |b: BufferId| plan.buffer(b).place == place(p);
    matches!(place(p), Place::Param(_) | Place::Const(_))
        && (place(p), p.b.offset, p.dtype) == (place(product), product.b.offset, product.dtype)
        && lanes(p) == lanes(product)
        && p.axes.batch.iter().all(|x| x.b == 0)
        && !plan.steps.iter().any(|step| step.written(plan).any(written))
}
