//! Kernels under construction: expressions become instructions.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use crate::graph::{DType, Dims, NodeId};

use super::BufferId;
use super::expr::{Expr, ExprId, Exprs};
use super::group::{Coords, address};
use super::kernel::{
    Access, Affine, Choice, Fold, FoldKind, Index, Inst, Kernel, Phase, Slot, SlotId, Store, StoreMode, Value, ValueId,
};

/// Where an instruction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Once for the row, in this phase.
    Row(usize),
    /// At each point of the inner loops of this phase.
    Inner(usize),
}

impl At {
    /// The phase.
    pub(super) fn phase(self) -> usize {
        match self {
            At::Row(p) | At::Inner(p) => p,
        }
    }
}

/// How a leaf is read.
pub(super) enum Read {
    /// It is a value of the kernel.
    Value(ValueId),
    /// It is in memory.
    Memory(BufferId),
}

/// A kernel under construction.
#[derive(Debug, Default)]
pub(super) struct KernelBuilder {
    loops: Dims,
    rows: usize,
    slots: Vec<Slot>,
    /// The buffer of each slot.
    pub(super) args: Vec<BufferId>,
    slot_of: FxHashMap<BufferId, SlotId>,
    values: Vec<Value>,
    phases: Vec<Phase>,
    /// Row values with the phase from which on they are visible.
    row_values: HashTable<(ValueId, usize)>,
    /// Inner values of each phase.
    inner_values: Vec<HashTable<ValueId>>,
}

impl KernelBuilder {
    /// A kernel with these loops and this many phases.
    pub(super) fn new(loops: Dims, rows: usize, phases: usize) -> KernelBuilder {
        KernelBuilder {
            loops,
            rows,
            phases: vec![Phase::default(); phases],
            inner_values: vec![HashTable::new(); phases],
            ..KernelBuilder::default()
        }
    }

    /// Extents of all loops, and how many of them are row loops.
    pub(super) fn loops(&self) -> (&[usize], usize) {
        (&self.loops, self.rows)
    }

    /// The slot of a buffer, with at least this access.
    pub(super) fn slot(&mut self, buffer: BufferId, dtype: DType, access: Access) -> SlotId {
        let slots = &mut self.slots;
        let args = &mut self.args;
        *self.slot_of.entry(buffer).or_insert_with(|| {
            slots.push(Slot { dtype, access });
            args.push(buffer);
            SlotId(slots.len() as u32 - 1)
        })
    }

    fn affine(&self, strides: &[isize], coords: &Coords, offset: isize) -> Affine {
        Affine { offset, coefs: address(strides, coords, self.loops.len()) }
    }

    /// The value of an instruction, made at `at` unless an equal one is visible there.
    pub(super) fn inst(&mut self, inst: Inst, dtype: DType, at: At) -> ValueId {
        let new = Value { inst, dtype };
        let hash = FxBuildHasher.hash_one(&new);
        let is_new = |id: ValueId| self.values[id.index()] == new;
        if let Some(&(id, from)) = self.row_values.find(hash, |&(id, _)| is_new(id))
            && from <= at.phase()
        {
            return id;
        }
        if let At::Inner(p) = at
            && let Some(&id) = self.inner_values[p].find(hash, |&id| is_new(id))
        {
            return id;
        }
        let id = ValueId(self.values.len() as u32);
        self.values.push(new);
        let hash_of = |id: ValueId| FxBuildHasher.hash_one(&self.values[id.index()]);
        match at {
            At::Row(p) => {
                self.phases[p].row.push(id);
                let same = |&(known, _): &(ValueId, usize)| self.values[known.index()] == self.values[id.index()];
                self.row_values.entry(hash, same, |&(id, _)| hash_of(id)).insert((id, p));
            }
            At::Inner(p) => {
                self.phases[p].inner.push(id);
                self.inner_values[p].insert_unique(hash, id, |&id| hash_of(id));
            }
        }
        id
    }

    /// The value of an expression whose axes have these coordinates. `read` says how each leaf is read, given its source and the address.
    ///
    /// Recursion is bounded by the weight of an expression.
    pub(super) fn expr(
        &mut self,
        exprs: &Exprs,
        id: ExprId,
        coords: &Coords,
        at: At,
        read: &mut dyn FnMut(&mut KernelBuilder, NodeId) -> Read,
    ) -> ValueId {
        let data = exprs.get(id);
        let dtype = data.dtype;
        let inst = match &data.expr {
            Expr::Const(bits) => Inst::Const(*bits),
            Expr::Counter(view) => Inst::Counter(self.affine(&view.strides, coords, view.offset)),
            Expr::Leaf { source, view } => match read(self, *source) {
                Read::Value(value) => return value,
                Read::Memory(buffer) => {
                    let affine = self.affine(&view.strides, coords, view.offset);
                    return self.load(buffer, dtype, affine, at);
                }
            },
            Expr::Map(f, args) => {
                let args: Dims<ValueId> = args.iter().map(|&a| self.expr(exprs, a, coords, at, read)).collect();
                Inst::Map(*f, args)
            }
            Expr::Cast(arg) => {
                let arg = self.expr(exprs, *arg, coords, at, read);
                if self.values[arg.index()].dtype == dtype {
                    return arg;
                }
                Inst::Cast(arg)
            }
            Expr::Gather { source, view, index, stride, extent, fill } => {
                let value = self.expr(exprs, *index, coords, at, read);
                let Read::Memory(buffer) = read(self, *source) else { panic!("what is chosen from is in memory") };
                let slot = self.slot(buffer, dtype, Access::Read);
                let affine = self.affine(&view.strides, coords, view.offset);
                let choice = Some(Choice { value, stride: *stride, extent: *extent });
                Inst::Load { slot, index: Index { affine, choice }, fill: *fill }
            }
        };
        self.inst(inst, dtype, at)
    }

    /// Loads an element.
    pub(super) fn load(&mut self, buffer: BufferId, dtype: DType, affine: Affine, at: At) -> ValueId {
        let slot = self.slot(buffer, dtype, Access::Read);
        self.inst(Inst::Load { slot, index: Index { affine, choice: None }, fill: 0 }, dtype, at)
    }

    /// The result of a fold, as a row value of this phase.
    pub(super) fn fold_result(&mut self, phase: usize, fold: usize, dtype: DType, at: usize) -> ValueId {
        self.inst(Inst::Fold { phase, fold }, dtype, At::Row(at))
    }

    /// Folds a value; returns the fold's position in its phase.
    pub(super) fn fold(&mut self, phase: usize, kind: FoldKind, value: ValueId) -> usize {
        let folds = &mut self.phases[phase].folds;
        folds.push(Fold { kind, value });
        folds.len() - 1
    }

    /// Stores a value.
    pub(super) fn store(&mut self, slot: SlotId, index: Index, value: ValueId, mode: StoreMode, at: At) {
        let store = Store { slot, index, value, mode };
        match at {
            At::Row(p) => self.phases[p].row_stores.push(store),
            At::Inner(p) => self.phases[p].stores.push(store),
        }
    }

    /// The finished kernel, with neighbouring loops joined where all indices allow.
    pub(super) fn finish(mut self, serial: bool) -> (Kernel, Vec<BufferId>) {
        self.join_loops();
        if !serial {
            self.longer_last();
        }
        let KernelBuilder { loops, rows, slots, args, values, phases, .. } = self;
        (Kernel { loops, rows, serial, slots, values, phases }, args)
    }

    /// Joins loop `d` and `d + 1` if every index steps through both as through one.
    fn join_loops(&mut self) {
        let mut d = 0;
        while d + 1 < self.loops.len() {
            let extent = self.loops[d + 1] as isize;
            let joins = d + 1 != self.rows && {
                let mut all = true;
                self.for_each_affine(&mut |a| all &= a.coefs[d] == a.coefs[d + 1] * extent);
                all
            };
            if joins {
                self.loops[d + 1] *= self.loops[d];
                self.loops.remove(d);
                self.rows -= usize::from(d < self.rows);
                self.for_each_affine(&mut |a| {
                    a.coefs.remove(d);
                });
            } else {
                d += 1;
            }
        }
    }

    /// The last row loop or the last inner loop is the one that is run by vectors. If it has only a few turns, the one around it takes its place, should that
    /// have more, take short steps everywhere, and stay within what a first-level cache holds.
    fn longer_last(&mut self) {
        const FEW: usize = 4;
        const NEAR: isize = 4;
        const CACHED: usize = 4096;
        // The outermost loop is the one that threads share, and a position counts through the inner loops.
        let counts = self.phases.iter().flat_map(|p| &p.folds).any(|f| matches!(f.kind, FoldKind::Position(_)));
        let (rows, inner) = (1..self.rows, self.rows..self.loops.len());
        for range in [Some(rows), (!counts).then_some(inner)].into_iter().flatten().filter(|r| r.len() >= 2) {
            let (before, last) = (range.end - 2, range.end - 1);
            let (few, more) = (self.loops[last], self.loops[before]);
            let mut near = few <= FEW && more > FEW && few.saturating_mul(more) <= CACHED;
            self.for_each_affine(&mut |a| near &= a.coefs[before].abs() <= NEAR);
            if near {
                self.loops.swap(before, last);
                self.for_each_affine(&mut |a| a.coefs.swap(before, last));
            }
        }
    }

    fn for_each_affine(&mut self, f: &mut dyn FnMut(&mut Affine)) {
        for value in &mut self.values {
            match &mut value.inst {
                Inst::Load { index, .. } => f(&mut index.affine),
                Inst::Counter(affine) => f(affine),
                _ => {}
            }
        }
        for phase in &mut self.phases {
            phase.row_stores.iter_mut().chain(&mut phase.stores).for_each(|s| f(&mut s.index.affine));
        }
    }
}

/// True if two slots may lie at one place: no element of the read slot is wanted after an element was stored at its place. That holds if all indices of
/// both are the same and no load comes behind the phase of the store.
pub(super) fn may_alias(kernel: &Kernel, read: SlotId, written: SlotId) -> bool {
    let mut index: Option<&Index> = None;
    let mut stored_at: Option<usize> = None;
    for (p, phase) in kernel.phases.iter().enumerate() {
        let places = [(2 * p, &phase.row_stores), (2 * p + 1, &phase.stores)];
        for (place, stores) in places {
            for store in stores.iter().filter(|s| s.slot == written) {
                if store.index.choice.is_some() || index.is_some_and(|i| *i != store.index) {
                    return false;
                }
                index = Some(&store.index);
                stored_at = Some(stored_at.map_or(place, |s: usize| s.min(place)));
            }
        }
    }
    let (Some(index), Some(stored_at)) = (index, stored_at) else {
        return false;
    };
    for (p, phase) in kernel.phases.iter().enumerate() {
        let places = [(2 * p, &phase.row), (2 * p + 1, &phase.inner)];
        for (place, values) in places {
            for &value in values {
                if let Inst::Load { slot, index: loaded, .. } = &kernel.value(value).inst
                    && (*slot == read || *slot == written)
                    && (loaded != index || place > stored_at)
                    && !(*slot == written && loaded == index)
                {
                    return false;
                }
            }
        }
    }
    // Each element is stored by one turn of the loops: every loop moves the index.
    (0..kernel.loops.len()).all(|d| index.affine.coefs[d] != 0 || d >= kernel.rows)
}

/// Coordinates with their dimensions renumbered.
pub(super) fn renumber(coords: &Coords, place_of: &[usize]) -> Coords {
    coords.iter().map(|terms| terms.iter().map(|&(d, k)| (place_of[d], k)).collect()).collect()
}

/// An address with its dimensions renumbered.
pub(super) fn renumber_address(from: &[isize], place_of: &[usize]) -> Dims<isize> {
    let mut to: Dims<isize> = SmallVec::from_elem(0, place_of.len());
    from.iter().enumerate().for_each(|(d, &f)| to[place_of[d]] = f);
    to
}
