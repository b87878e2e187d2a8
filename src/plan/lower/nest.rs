//! Loop nests as kernels: the order of the loops, the phases of a row, and what waits in memory from one phase to another.

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::graph::{DType, Dims, NodeId, Shape};
use crate::plan::Place;
use crate::plan::build::{At, KernelBuilder, Read, may_alias, renumber, renumber_address};
use crate::plan::fuse::Fused;
use crate::plan::group::{GroupId, Loops, Member, Reach, Role, address};
use crate::plan::kernel::{Access, Affine, Index, Inst, SCRATCH_ROWS, SlotId, StoreMode, ValueId};

use crate::plan::pending::{CopyBack, Want};

use super::Lowerer;

/// A row of a kernel's scratch memory is at most this many bytes, so that it stays in the first-level cache. Longer rows are kept in full buffers.
const MAX_SCRATCH_ROW: usize = 16 << 10;

/// A phase of its own is worth the loop for rows of at least this many elements.
const LEAST_PHASE: usize = 64;

/// A kernel has at most this many such phases: each needs memory for a row.
const MOST_PHASES: usize = 4;

impl Lowerer<'_, '_> {
    /// Lowers a loop nest to a kernel.
    pub(super) fn loops(&mut self, id: GroupId, loops: &Loops, level: u32) {
        if loops.dims.contains(&0) {
            return;
        }
        let (place_of, rows) = loop_order(loops, &self.stored);
        let mut extents: Dims = SmallVec::from_elem(0, loops.dims.len());
        loops.dims.iter().enumerate().for_each(|(d, &e)| extents[place_of[d]] = e);

        let mut members: Vec<&Member> = loops.members.iter().collect();
        members.sort_by_key(|m| m.node);
        let position: FxHashMap<NodeId, usize> = members.iter().enumerate().map(|(i, m)| (m.node, i)).collect();
        let phases = phases(self.fused, id, loops, &members, &position);
        let count = phases.iter().map(|p| p.last + 1).max().unwrap_or(1);

        let mut b = KernelBuilder::new(extents, rows, count);
        let mut emitted: Vec<Emitted> = Vec::with_capacity(members.len());
        // Memory in which inner values wait for a later phase.
        let mut waiting: FxHashMap<usize, (SlotId, Affine)> = FxHashMap::default();
        for (i, member) in members.iter().enumerate() {
            let at = phases[i].at;
            let coords = renumber(&member.coords, &place_of);
            let fused = self.fused;
            let mut read = |b: &mut KernelBuilder, source: NodeId| {
                let Some(&s) = position.get(&source) else {
                    return Read::Memory(self.buffer(source));
                };
                let dtype = fused.graph.ty(source).dtype;
                match (emitted[s], phases[s].at) {
                    (Emitted::Fold(fold), from) => {
                        let p = from.phase();
                        Read::Value(b.fold_result(p, fold, dtype, p + 1))
                    }
                    (Emitted::Value(value), At::Inner(p)) if at != At::Inner(p) => {
                        let (slot, affine) =
                            waiting.entry(s).or_insert_with(|| self.park(b, members[s], &place_of, value, p)).clone();
                        let index = Index { affine, choice: None };
                        Read::Value(b.inst(Inst::Load { slot, index, fill: 0 }, dtype, at))
                    }
                    (Emitted::Value(value), _) => Read::Value(value),
                }
            };
            let value = b.expr(&fused.exprs, member.body, &coords, at, &mut read);
            let dtype = fused.graph.ty(member.node).dtype;
            let (done, value, at) = match member.role {
                Role::Map => (Emitted::Value(value), value, at),
                Role::Fold(kind) => {
                    let p = at.phase();
                    let fold = b.fold(p, kind, value);
                    (Emitted::Fold(fold), b.fold_result(p, fold, dtype, p + 1), At::Row(p + 1))
                }
            };
            emitted.push(done);
            if self.stored.contains(&member.node) && !waiting.contains_key(&i) {
                let buffer = self.buffer(member.node);
                let slot = b.slot(buffer, dtype, Access::Write);
                let affine = Affine { offset: 0, coefs: renumber_address(&member.address, &place_of) };
                b.store(slot, Index { affine, choice: None }, value, StoreMode::Set, at);
            }
        }
        // New values of parameters are computed in place where nothing of the old value is wanted any more.
        let origins = members.iter().map(|m| self.origin(m.node)).collect();
        let (kernel, args) = b.finish(false);
        for member in &members {
            let Some(&param) = self.target.get(&member.node) else {
                continue;
            };
            let buffer = self.buffer_of[&member.node];
            let written = SlotId(args.iter().position(|&a| a == buffer).expect("a stored member has a slot") as u32);
            let old = self.out.param_buffers.get(&param).and_then(|o| args.iter().position(|a| a == o));
            let fits = old.is_none_or(|old| may_alias(&kernel, SlotId(old as u32), written));
            if fits {
                self.out.buffers[buffer.index()].want = Want::At(Place::Param(param));
                self.out.in_place.push(CopyBack { from: buffer, param });
            } else {
                self.out.copies.push(CopyBack { from: buffer, param });
            }
        }
        self.push_kernel(kernel, args, level, origins);
    }

    /// Stores an inner value of phase `p` where later phases can read it; returns the slot and the place. It is the value's own buffer if it has one or
    /// if rows are long, else scratch memory of one row.
    fn park(
        &mut self,
        b: &mut KernelBuilder,
        member: &Member,
        place_of: &[usize],
        value: ValueId,
        p: usize,
    ) -> (SlotId, Affine) {
        let dtype = self.fused.graph.ty(member.node).dtype;
        let (loops, rows) = b.loops();
        let inner: usize = loops[rows..].iter().product();
        let in_own = self.stored.contains(&member.node) || inner * dtype.size() > MAX_SCRATCH_ROW;
        let (slot, affine) = if in_own {
            let buffer = self.buffer(member.node);
            let affine = Affine { offset: 0, coefs: renumber_address(&member.address, place_of) };
            (b.slot(buffer, dtype, Access::Write), affine)
        } else {
            let mut coefs: Dims<isize> = SmallVec::from_elem(0, loops.len());
            let mut stride = 1;
            for d in (rows..loops.len()).rev() {
                coefs[d] = stride;
                stride *= loops[d] as isize;
            }
            let buffer = self.add_buffer(dtype, inner * SCRATCH_ROWS, Want::Arena, None);
            (b.slot(buffer, dtype, Access::Scratch), Affine { offset: 0, coefs })
        };
        let stored = self.stored.contains(&member.node);
        if !stored {
            b.store(slot, Index { affine: affine.clone(), choice: None }, value, StoreMode::Set, At::Inner(p));
        }
        (slot, affine)
    }
}

/// What a member's emission left.
#[derive(Clone, Copy, Debug)]
enum Emitted {
    /// A value.
    Value(ValueId),
    /// A fold, by its position in its phase.
    Fold(usize),
}

/// When a member is computed.
#[derive(Clone, Copy, Debug)]
struct When {
    at: At,
    /// The last phase that has to be there: that of the result.
    last: usize,
}

/// When each member is computed: an inner value or fold in the first phase in which all that it reads is there, a row value likewise.
///
/// The first few dear functions of another's result wait for the next phase if rows are short: the processor has one such function of several elements at
/// hand then, rather than several of one, which wait for each other.
fn phases(
    fused: &Fused<'_>,
    id: GroupId,
    loops: &Loops,
    members: &[&Member],
    position: &FxHashMap<NodeId, usize>,
) -> Vec<When> {
    let mut when: Vec<When> = Vec::with_capacity(members.len());
    let inner: usize = loops.dims.iter().zip(&loops.inner).filter(|(_, inner)| **inner).map(|(&d, _)| d).product();
    let parts = loops.has_inner() && (LEAST_PHASE..=MAX_SCRATCH_ROW / DType::F64.size()).contains(&inner);
    let mut phases_left = MOST_PHASES;
    // Whether a member's value is, in its phase, of a dear function or computed from one.
    let mut dear: Vec<bool> = Vec::with_capacity(members.len());
    for member in members {
        let mut phase = 0;
        fused.exprs.leaves(member.body, &mut |source, _, _| {
            let Some(&s) = position.get(&source).filter(|_| fused.group_of(source) == Some(id)) else {
                return;
            };
            phase = phase.max(when[s].last);
        });
        let own = fused.exprs.is_dear(member.body);
        let mut follows = false;
        fused.exprs.leaves(member.body, &mut |source, _, _| {
            follows |= position.get(&source).is_some_and(|&s| dear[s] && when[s].at == At::Inner(phase));
        });
        if own && follows && parts && phases_left > 0 {
            phases_left -= 1;
            phase += 1;
            follows = false;
        }
        dear.push(own || follows);
        let reach = loops.extent_of(&member.address);
        when.push(match (member.role, reach) {
            (Role::Fold(_), _) => When { at: At::Inner(phase), last: phase + 1 },
            (Role::Map, Some(Reach::Full)) => When { at: At::Inner(phase), last: phase },
            (Role::Map, _) => When { at: At::Row(phase), last: phase },
        });
    }
    when
}

/// The place of each dimension in the loop nest, and the count of row loops: rows outside, and among rows and among inner loops those outside that take the
/// longest steps through the memory that is stored or, for inner loops, through the folded axes in row-major order.
fn loop_order(loops: &Loops, stored: &FxHashSet<NodeId>) -> (Dims, usize) {
    let count = loops.dims.len();
    let moving = |m: &&Member| m.address.iter().filter(|&&f| f != 0).count();
    let by_rows = loops.members.iter().filter(|m| stored.contains(&m.node)).max_by_key(moving);
    let by_rows = by_rows.or_else(|| loops.members.iter().max_by_key(moving));
    let row_steps: Dims<isize> = by_rows.map(|m| m.address.clone()).unwrap_or_default();
    let fold = loops.members.iter().find(|m| matches!(m.role, Role::Fold(_)));
    let inner_steps = match fold {
        Some(fold) => {
            // The body's axes in row-major order of its own shape.
            let extents: Shape =
                fold.coords.iter().map(|t| t.iter().map(|&(d, _)| loops.dims[d]).product::<usize>()).collect();
            address(&extents.strides(), &fold.coords, count)
        }
        None => row_steps.clone(),
    };
    let step = |d: usize| {
        let steps = if loops.inner[d] { &inner_steps } else { &row_steps };
        steps.get(d).copied().unwrap_or(0)
    };
    let mut order: Dims = (0..count).collect();
    order.sort_by_key(|&d| (loops.inner[d], std::cmp::Reverse(step(d)), d));
    let mut place_of: Dims = SmallVec::from_elem(0, count);
    order.iter().enumerate().for_each(|(place, &d)| place_of[d] = place);
    (place_of, loops.inner.iter().filter(|&&i| !i).count())
}
