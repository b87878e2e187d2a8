//! What must hold of a kernel, whoever runs it.

use crate::graph::DType;
use crate::plan::kernel::*;
use crate::plan::print::{show_store, show_value};
use crate::plan::{KernelId, Plan};
use crate::scalar::ScalarFn;

use super::footprint::{Pairs, Region, covers, meet};
use super::{Fault, FaultKind, Site};

/// Checks a kernel; true if its indices can be understood.
pub(super) fn check(plan: &Plan, id: KernelId, faults: &mut Vec<Fault>) -> bool {
    let mut checker =
        Checker { id, kernel: plan.kernel(id), faults, seen: vec![None; plan.kernel(id).values.len()], phase: 0 };
    let before = checker.faults.len();
    checker.loops();
    if checker.faults.len() == before {
        checker.phases();
    }
    if checker.faults.len() > before {
        return false;
    }
    checker.slots();
    true
}

/// Where a value is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// From its place on.
    Row,
    /// From its place on to the end of this phase.
    Inner(usize),
}

/// When in a row an access happens: even for the row's own part of phase `time / 2`, odd for the inner loops.
type Time = usize;

/// A load or store with the slot, the index and when it happens.
pub(super) struct AccessAt<'a> {
    /// When.
    pub(super) time: Time,
    /// Where.
    pub(super) index: &'a Index,
    /// The store, for stores.
    pub(super) store: Option<&'a Store>,
    /// The value, for loads.
    value: Option<ValueId>,
}

/// All loads and stores of a slot: loads first, each in the order in which they happen at a point.
pub(super) fn accesses(kernel: &Kernel, slot: SlotId) -> Vec<AccessAt<'_>> {
    let mut found = Vec::new();
    for (p, phase) in kernel.phases.iter().enumerate() {
        for (time, values) in [(2 * p, &phase.row), (2 * p + 1, &phase.inner)] {
            for &value in values {
                if let Inst::Load { slot: s, index, .. } = &kernel.value(value).inst
                    && *s == slot
                {
                    found.push(AccessAt { time, index, store: None, value: Some(value) });
                }
            }
        }
    }
    for (p, phase) in kernel.phases.iter().enumerate() {
        for (time, stores) in [(2 * p, &phase.row_stores), (2 * p + 1, &phase.stores)] {
            let of_slot = stores.iter().filter(|s| s.slot == slot);
            found.extend(of_slot.map(|s| AccessAt { time, index: &s.index, store: Some(s), value: None }));
        }
    }
    found
}

/// True if a load finds an element that a store of the same row has replaced before, both of which may be of different slots at one place.
pub(super) fn loaded_after_store(kernel: &Kernel, load: &AccessAt<'_>, store: &AccessAt<'_>) -> bool {
    let pairs = match load.time.cmp(&store.time) {
        std::cmp::Ordering::Less => return false,
        // At one point loads come before stores; so do a row's own.
        std::cmp::Ordering::Equal if load.time.is_multiple_of(2) => return false,
        std::cmp::Ordering::Equal => Pairs::OtherPoint,
        std::cmp::Ordering::Greater => Pairs::SameRow,
    };
    meet(kernel, load.index, store.index, pairs)
}

struct Checker<'a> {
    id: KernelId,
    kernel: &'a Kernel,
    faults: &'a mut Vec<Fault>,
    seen: Vec<Option<Seen>>,
    phase: usize,
}

impl Checker<'_> {
    fn fault(&mut self, kind: FaultKind) {
        self.faults.push(Fault { site: Site::Kernel(self.id), kind });
    }

    fn fault_at(&mut self, phase: usize, text: String, kind: FaultKind) {
        let site = Site::Line { kernel: self.id, phase, text };
        self.faults.push(Fault { site, kind });
    }

    fn loops(&mut self) {
        let Kernel { loops, rows, .. } = self.kernel;
        if *rows > loops.len() {
            self.fault(FaultKind::RowLoops { rows: *rows, loops: loops.len() });
        }
        for d in (0..loops.len()).filter(|&d| loops[d] == 0) {
            self.fault(FaultKind::EmptyLoop(d));
        }
    }

    fn phases(&mut self) {
        let kernel = self.kernel;
        for (p, phase) in kernel.phases.iter().enumerate() {
            self.phase = p;
            phase.row.iter().for_each(|&v| self.value(v, Seen::Row));
            phase.row_stores.iter().for_each(|s| self.store(s, Seen::Row));
            phase.inner.iter().for_each(|&v| self.value(v, Seen::Inner(p)));
            phase.stores.iter().for_each(|s| self.store(s, Seen::Inner(p)));
            for fold in &phase.folds {
                if let Some(kind) = self.fold(fold) {
                    self.fault_at(p, fold.to_string(), kind);
                }
            }
        }
    }

    fn value(&mut self, id: ValueId, place: Seen) {
        let text = show_value(self.kernel, id).to_string();
        for kind in self.value_faults(id, place) {
            self.fault_at(self.phase, text.clone(), kind);
        }
        if let Some(seen) = self.seen.get_mut(id.index()) {
            *seen = Some(place);
        }
    }

    fn value_faults(&self, id: ValueId, place: Seen) -> Vec<FaultKind> {
        let Some(value) = self.kernel.values.get(id.index()) else {
            return vec![FaultKind::UnknownValue(id)];
        };
        let mut kinds = Vec::new();
        if self.seen[id.index()].is_some() {
            kinds.push(FaultKind::ComputedTwice(id));
        }
        let operands = Kernel::operands(&value.inst);
        kinds.extend(operands.iter().filter_map(|&v| self.visible(v, place)));
        if !kinds.is_empty() {
            return kinds;
        }
        let expect =
            |expected: DType| (expected != value.dtype).then_some(FaultKind::Type { expected, actual: value.dtype });
        match &value.inst {
            Inst::Const(_) | Inst::Cast(_) => {}
            Inst::Counter(affine) => kinds.extend(self.affine(affine, place)),
            Inst::Load { slot, index, .. } => match self.kernel.slots.get(slot.index()) {
                None => kinds.push(FaultKind::UnknownSlot(*slot)),
                Some(s) => {
                    kinds.extend(self.index(index, s.access, place));
                    kinds.extend(expect(s.dtype));
                }
            },
            Inst::Map(function, args) if args.len() != function.arity() => {
                kinds.push(FaultKind::Arity { function: *function, given: args.len() });
            }
            Inst::Map(function, args) => {
                let types: Vec<DType> = args.iter().map(|&a| self.kernel.value(a).dtype).collect();
                match function.result_dtype(&types) {
                    Ok(dtype) => kinds.extend(expect(dtype)),
                    Err(error) => kinds.push(FaultKind::Operands(error)),
                }
            }
            Inst::Fold { phase, fold } => {
                let folds = self.kernel.phases[..self.phase].get(*phase).map(|p| &p.folds);
                match folds.and_then(|f| f.get(*fold)) {
                    None => kinds.push(FaultKind::UnknownFold { phase: *phase, fold: *fold }),
                    Some(Fold { kind: FoldKind::Position(_), .. }) => kinds.extend(expect(DType::I32)),
                    Some(fold) => {
                        // A fold of an unknown value has a fault of its own.
                        let folded = self.kernel.values.get(fold.value.index());
                        kinds.extend(folded.and_then(|v| expect(v.dtype)));
                    }
                }
            }
        }
        kinds
    }

    /// Why a value cannot be used at `place` of the current phase.
    fn visible(&self, id: ValueId, place: Seen) -> Option<FaultKind> {
        match self.seen.get(id.index()) {
            None => Some(FaultKind::UnknownValue(id)),
            Some(Some(Seen::Row)) => None,
            Some(Some(seen)) if *seen == place => None,
            Some(_) => Some(FaultKind::NotVisible(id)),
        }
    }

    fn affine(&self, affine: &Affine, place: Seen) -> Option<FaultKind> {
        let Kernel { loops, rows, .. } = self.kernel;
        if affine.coefs.len() != loops.len() {
            return Some(FaultKind::Coefficients { given: affine.coefs.len(), loops: loops.len() });
        }
        let moves = affine.coefs[*rows..].iter().any(|&c| c != 0);
        (place == Seen::Row && moves).then_some(FaultKind::InnerLoopInRow)
    }

    fn index(&self, index: &Index, access: Access, place: Seen) -> Option<FaultKind> {
        if let Some(kind) = self.affine(&index.affine, place) {
            return Some(kind);
        }
        if access == Access::Scratch && index.affine.coefs[..self.kernel.rows].iter().any(|&c| c != 0) {
            return Some(FaultKind::RowLoopInScratch);
        }
        let choice = index.choice?;
        let is_int = self.kernel.value(choice.value).dtype.is_int();
        (!is_int).then_some(FaultKind::ChoiceType(choice.value))
    }

    fn store(&mut self, store: &Store, place: Seen) {
        if let Some(kind) = self.store_fault(store, place) {
            let text = show_store(self.kernel, store).to_string();
            self.fault_at(self.phase, text, kind);
        }
    }

    fn store_fault(&self, store: &Store, place: Seen) -> Option<FaultKind> {
        let Some(slot) = self.kernel.slots.get(store.slot.index()) else {
            return Some(FaultKind::UnknownSlot(store.slot));
        };
        let used = store.index.choice.iter().map(|c| c.value).chain([store.value]);
        let mut unseen = used.filter_map(|v| self.visible(v, place));
        if let Some(kind) = unseen.next() {
            return Some(kind);
        }
        if let Some(kind) = self.index(&store.index, slot.access, place) {
            return Some(kind);
        }
        let actual = self.kernel.value(store.value).dtype;
        if actual != slot.dtype {
            return Some(FaultKind::Type { expected: slot.dtype, actual });
        }
        if let StoreMode::Combine(function) = store.mode
            && !combines(function, actual)
        {
            return Some(FaultKind::FoldFunction { function, dtype: actual });
        }
        (slot.access == Access::Read).then_some(FaultKind::StoreToRead)
    }

    fn fold(&self, fold: &Fold) -> Option<FaultKind> {
        if let Some(kind) = self.visible(fold.value, Seen::Inner(self.phase)) {
            return Some(kind);
        }
        let dtype = self.kernel.value(fold.value).dtype;
        match fold.kind {
            FoldKind::Combine(function, _) => {
                (!combines(function, dtype)).then_some(FaultKind::FoldFunction { function, dtype })
            }
            FoldKind::Position(_) => {
                let loops = self.kernel.loops[self.kernel.rows..].iter().filter(|&&n| n > 1).count();
                if loops > 1 {
                    return Some(FaultKind::FoldPositionLoops { loops });
                }
                let count = self.kernel.inner_count();
                i32::try_from(count).is_err().then_some(FaultKind::FoldPositions { count })
            }
        }
    }

    /// Checks the use of each slot. All indices are well formed.
    fn slots(&mut self) {
        for i in 0..self.kernel.slots.len() {
            let slot = SlotId(i as u32);
            let access = self.kernel.slots[i].access;
            if access == Access::Read {
                continue;
            }
            let all = accesses(self.kernel, slot);
            if all.iter().all(|a| a.store.is_none()) {
                self.fault(FaultKind::NeverStored { slot, access });
            }
            match access {
                Access::ReadWrite if !all.iter().any(needs_old) => self.fault(FaultKind::NothingRead(slot)),
                Access::Write | Access::Scratch => self.stored_before(&all),
                _ => {}
            }
            self.meetings(&all, access);
        }
    }

    /// Every load, and every store that combines, finds elements that the row has stored.
    fn stored_before(&mut self, all: &[AccessAt<'_>]) {
        let kernel = self.kernel;
        for (i, access) in all.iter().enumerate() {
            if access.store.is_some_and(|s| s.mode == StoreMode::Set) {
                continue;
            }
            let moves = |a: &AccessAt<'_>, b: &AccessAt<'_>| {
                a.index.affine.coefs[..kernel.rows] == b.index.affine.coefs[..kernel.rows]
            };
            let sets = |(j, earlier): &(usize, &AccessAt<'_>)| {
                let set = earlier.store.is_some_and(|s| s.mode == StoreMode::Set) && earlier.index.choice.is_none();
                // Stores of one time happen in order at a point, and meet at that point only.
                let before = earlier.time < access.time
                    || (earlier.time == access.time
                        && access.store.is_some()
                        && *j < i
                        && earlier.index == access.index);
                set && before && moves(earlier, access)
            };
            let earlier = all.iter().enumerate().filter(sets);
            let parts: Vec<Region> = earlier.filter_map(|(_, e)| Region::of_row(kernel, e.index)).collect();
            if Region::of_row(kernel, access.index).is_some_and(|r| !covers(&parts, &r)) {
                self.fault_at(access.time / 2, line(kernel, access), FaultKind::NotStoredYet);
            }
        }
    }

    /// No row, and no point of a row, stores where another loads or stores.
    fn meetings(&mut self, all: &[AccessAt<'_>], access: Access) {
        let kernel = self.kernel;
        let mut found = Vec::new();
        for (i, a) in all.iter().enumerate() {
            for b in all[i..].iter().filter(|b| b.store.is_some()) {
                let other = || line(kernel, b);
                // Each row has scratch memory of its own.
                if !kernel.serial && access != Access::Scratch && meet(kernel, a.index, b.index, Pairs::OtherRow) {
                    found.push((a, FaultKind::RowsMeet { other: other() }));
                }
                let same_loop = a.time == b.time && a.time % 2 == 1;
                let in_order = a.store.is_some() && a.index.choice.is_some() && b.index.choice.is_some();
                if same_loop && !in_order && meet(kernel, a.index, b.index, Pairs::OtherPoint) {
                    found.push((a, FaultKind::PointsMeet { other: other() }));
                }
            }
        }
        for (at, kind) in found {
            self.fault_at(at.time / 2, line(kernel, at), kind);
        }
    }
}

/// True if the access needs what was in the slot before the kernel, as far as it can tell by itself.
pub(super) fn needs_old(access: &AccessAt<'_>) -> bool {
    access.store.is_none_or(|s| s.mode != StoreMode::Set || s.index.choice.is_some())
}

/// True for functions by which folds and stores combine elements of this type.
fn combines(function: ScalarFn, dtype: DType) -> bool {
    use ScalarFn::{Add, And, Max, Min, Mul, Or};
    matches!(function, Add | Mul | Max | Min | Or | And) && function.result_dtype(&[dtype, dtype]) == Ok(dtype)
}

fn line(kernel: &Kernel, access: &AccessAt<'_>) -> String {
    match (access.store, access.value) {
        (Some(store), _) => show_store(kernel, store).to_string(),
        (None, Some(value)) => show_value(kernel, value).to_string(),
        (None, None) => String::new(),
    }
}
