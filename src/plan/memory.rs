//! Places in the arena.
//!
//! Buffers are placed in the order in which steps need them: at the place of an operand that dies in the same step and may be overwritten, else in the
//! smallest gap that fits, else at the end. Gaps are kept by place and by size, so the time is `n log n`.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::build::may_alias;
use super::kernel::{Access, SlotId};
use super::pending::{Lowered, PendingStep, Want};
use super::strip::Found;
use super::{ARENA_ALIGN, Action, Buffer, BufferId, Place};

/// Gaps of an arena that grows at its end.
#[derive(Debug, Default)]
struct Arena {
    /// Length of each gap by its start.
    gaps: BTreeMap<usize, usize>,
    /// The gaps by length, then start.
    by_len: BTreeSet<(usize, usize)>,
    end: usize,
}

impl Arena {
    fn take(&mut self, len: usize) -> usize {
        if let Some(&(gap, start)) = self.by_len.range((len, 0)..).next() {
            self.remove(start, gap);
            if gap > len {
                self.insert(start + len, gap - len);
            }
            return start;
        }
        // A gap at the end grows.
        if let Some((&start, &gap)) = self.gaps.last_key_value()
            && start + gap == self.end
        {
            self.remove(start, gap);
            self.end = start + len;
            return start;
        }
        let start = self.end;
        self.end += len;
        start
    }

    fn give(&mut self, mut start: usize, mut len: usize) {
        if let Some((&before, &gap)) = self.gaps.range(..start).next_back()
            && before + gap == start
        {
            self.remove(before, gap);
            start = before;
            len += gap;
        }
        if let Some(&gap) = self.gaps.get(&(start + len)) {
            self.remove(start + len, gap);
            len += gap;
        }
        self.insert(start, len);
    }

    fn insert(&mut self, start: usize, len: usize) {
        self.gaps.insert(start, len);
        self.by_len.insert((len, start));
    }

    fn remove(&mut self, start: usize, len: usize) {
        self.gaps.remove(&start);
        self.by_len.remove(&(len, start));
    }
}

/// Buffers with their places, the bytes of the arena, and the largest sum of bytes that live at one time.
pub(super) struct Placed {
    pub(super) buffers: Vec<Buffer>,
    pub(super) arena_bytes: usize,
    pub(super) live_bytes: usize,
}

/// Places all buffers for steps that run in this order.
///
/// The steps of a strip are done at one time, piece by piece: what one of them needs lives until all are done, and is overwritten by another value only if
/// both belong to a piece part by part.
pub(super) fn place(lowered: &Lowered, order: &[usize], strips: &[Found]) -> Placed {
    let mut strip_of: Vec<Option<&Found>> = vec![None; order.len()];
    strips.iter().for_each(|f| strip_of[f.strip.steps.clone()].fill(Some(f)));
    let mut last: FxHashMap<BufferId, usize> = FxHashMap::default();
    for (turn, &i) in order.iter().enumerate() {
        let step = &lowered.steps[i];
        step.reads.iter().chain(&step.writes).for_each(|&b| {
            last.insert(b, turn);
        });
    }
    // What is copied to a parameter in the end lives to the end.
    for copy in &lowered.copies {
        last.insert(copy.from, usize::MAX);
    }
    let size = |b: BufferId| lowered.buffers[b.index()].bytes().next_multiple_of(ARENA_ALIGN).max(ARENA_ALIGN);
    let in_arena = |b: &BufferId| lowered.buffers[b.index()].want == Want::Arena;

    let mut arena = Arena::default();
    let mut starts: FxHashMap<BufferId, usize> = FxHashMap::default();
    let (mut live, mut most) = (0usize, 0usize);
    // What dies in the strip that is under way.
    let mut dead: Vec<BufferId> = Vec::new();
    for (turn, &i) in order.iter().enumerate() {
        let step = &lowered.steps[i];
        let dies = |b: &BufferId| last[b] == turn;
        let strip = strip_of[turn];
        let pieces = |b: BufferId| lowered.buffers[b.index()].pieces;
        let same_parts = |a: BufferId, b: BufferId| {
            pieces(a) == pieces(b)
                && strip.is_none_or(|found| found.parts.get(&a).is_some_and(|part| found.parts.get(&b) == Some(part)))
        };
        let mut overwritten: Vec<BufferId> = Vec::new();
        for &buffer in step.writes.iter().filter(|b| in_arena(b)) {
            if starts.contains_key(&buffer) {
                continue;
            }
            let heir = step.reads.iter().copied().find(|r| {
                in_arena(r)
                    && dies(r)
                    && !overwritten.contains(r)
                    && starts.contains_key(r)
                    && size(*r) == size(buffer)
                    && same_parts(*r, buffer)
                    && aliases(lowered, step, *r, buffer)
            });
            let start = match heir {
                Some(read) => {
                    overwritten.push(read);
                    starts[&read]
                }
                None => {
                    live += size(buffer);
                    arena.take(size(buffer))
                }
            };
            starts.insert(buffer, start);
        }
        most = most.max(live);
        let mut touched: Vec<BufferId> = step.reads.iter().chain(&step.writes).copied().filter(in_arena).collect();
        touched.sort_unstable();
        touched.dedup();
        dead.extend(touched.into_iter().filter(|b| dies(b) && !overwritten.contains(b)));
        if strip.is_none_or(|found| found.strip.steps.end == turn + 1) {
            for b in dead.drain(..) {
                live -= size(b);
                arena.give(starts[&b], size(b));
            }
        }
    }
    let buffers = lowered.buffers.iter().enumerate().map(|(i, b)| Buffer {
        dtype: b.dtype,
        len: b.len,
        pieces: b.pieces,
        place: match b.want {
            Want::At(place) => place,
            Want::Arena => Place::Arena(starts.get(&BufferId(i as u32)).copied().unwrap_or(0)),
        },
        node: b.node,
    });
    Placed { buffers: buffers.collect(), arena_bytes: arena.end, live_bytes: most }
}

/// True if the step may write `written` where `read` lies.
fn aliases(lowered: &Lowered, step: &PendingStep, read: BufferId, written: BufferId) -> bool {
    let Action::Kernel { kernel, args } = &step.action else {
        return false;
    };
    let kernel = lowered.kernels.get(*kernel);
    let slot = |b: BufferId| args.iter().position(|&a| a == b).map(|i| SlotId(i as u32));
    let (Some(read), Some(written)) = (slot(read), slot(written)) else {
        return false;
    };
    let (r, w) = (kernel.slots[read.0 as usize], kernel.slots[written.0 as usize]);
    r.dtype.size() == w.dtype.size()
        && r.access == Access::Read
        && w.access == Access::Write
        && may_alias(kernel, read, written)
}
