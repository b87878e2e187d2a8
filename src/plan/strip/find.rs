//! Which steps become strips, and of how many pieces.
//!
//! One walk over the schedule. From each step on, for each count of pieces into which it can be cut, the strip is made as long as its pieces stay
//! independent; the longest is taken if what passes between its steps is too much for a cache, or if its steps are too short to be shared one by one.
//! All of this follows from shapes, so results do not depend on the machine or the number of threads.

use std::collections::hash_map::Entry;
use std::ops::{Range, RangeInclusive};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::plan::kernel::{Access, Affine, Index, Inst, Kernel};
use crate::plan::pending::{Lowered, PendingBuffer, PendingStep, Want};
use crate::plan::{Action, Axis, BufferId, Matrix, Place, Product};
use crate::runtime::gemm::workspace_len;

use super::{Cut, Family, Strip, Strips};

/// So many pieces there are at least, so that threads find enough, and at most.
const PIECES: RangeInclusive<usize> = 8..=128;
/// A strip has at most this many steps, which keeps the search linear.
const STEPS: usize = 64;
/// From so many bytes on, what passes between steps does not stay in a second-level cache with all else.
const TRAFFIC: usize = 512 << 10;
/// Nanoseconds of a multiplication of a product, and of an instruction of a kernel at one point, by vectors of eight elements.
const MULTIPLICATION: f64 = 0.02;
const INSTRUCTION: f64 = 0.04;
/// Nanoseconds in which an element of a factor is packed.
const PACKING: f64 = 0.3;
/// The share of a product's time that packing a factor again for each piece may take.
const AGAIN: f64 = 0.1;
/// The least time of a piece in nanoseconds, and of one step of it on average.
const PIECE: f64 = 3_000.0;
const PIECE_OF_STEP: f64 = 400.0;
/// A step that takes less is not shared by itself, and so much of those is worth sharing together.
const SHORT: f64 = 8_000.0;
const SHORT_TOGETHER: f64 = 16_000.0;

/// A strip, and what the placement of memory needs of it.
pub(in crate::plan) struct Found {
    pub(in crate::plan) strip: Strip,
    /// The buffers of which each piece touches its own part only, whichever step: the [`Use::part`] of each.
    pub(in crate::plan) parts: FxHashMap<BufferId, isize>,
}

/// Finds strips in the schedule and cuts their steps. A buffer that only one strip touches has memory for a piece.
pub(in crate::plan) fn find(lowered: &mut Lowered, order: &[usize], strips: Strips) -> Vec<Found> {
    if strips == Strips::Never {
        return Vec::new();
    }
    let mut users: Vec<u32> = vec![0; lowered.buffers.len()];
    for &i in order {
        touched(&lowered.steps[i]).into_iter().for_each(|b| users[b.index()] += 1);
    }
    // What is copied in the end is read once more.
    lowered.copies.iter().for_each(|copy| users[copy.from.index()] += 1);
    let schedule = Schedule::of(lowered, order);
    let (mut found, mut turn) = (Vec::new(), 0);
    while turn < order.len() {
        match Candidate::best(lowered, &schedule, turn, strips) {
            None => turn += 1,
            Some(candidate) => {
                turn = candidate.steps.end;
                found.push(candidate.apply(lowered, order, &users));
            }
        }
    }
    if !found.is_empty() {
        let named = lowered.steps.iter_mut().filter_map(|step| match &mut step.action {
            Action::Kernel { kernel, .. } => Some(kernel),
            _ => None,
        });
        lowered.kernels.keep(named);
    }
    found
}

/// The buffers of a step, each once.
fn touched(step: &PendingStep) -> SmallVec<[BufferId; 8]> {
    let mut touched: SmallVec<[BufferId; 8]> = step.reads.iter().chain(&step.writes).copied().collect();
    touched.sort_unstable();
    touched.dedup();
    touched
}

/// The steps in their order, with what the search asks again and again.
struct Schedule<'o> {
    order: &'o [usize],
    /// For each buffer the memory that it is in, as the first buffer there: buffers at one place outside the arena are the same.
    memory: Vec<BufferId>,
    /// The loops of each turn's step that can be cut, with their extents, which are not 0, outermost first.
    loops: Vec<Loops>,
    /// For each turn, the next one whose step hands something on to that of this turn, or is given something.
    meetings: Vec<Option<usize>>,
}

impl<'o> Schedule<'o> {
    fn of(lowered: &Lowered, order: &'o [usize]) -> Schedule<'o> {
        let mut first_at: FxHashMap<Place, BufferId> = FxHashMap::default();
        let ids = (0..lowered.buffers.len() as u32).map(BufferId);
        let memory: Vec<BufferId> = ids
            .map(|b| match lowered.buffers[b.index()].want {
                Want::Arena => b,
                Want::At(place) => *first_at.entry(place).or_insert(b),
            })
            .collect();
        // The next turns that touch and that write each piece of memory.
        let mut touched: Vec<Option<usize>> = vec![None; memory.len()];
        let mut written: Vec<Option<usize>> = vec![None; memory.len()];
        let mut meetings = vec![None; order.len()];
        for (turn, &i) in order.iter().enumerate().rev() {
            let step = &lowered.steps[i];
            let at = |b: &BufferId| memory[b.index()].index();
            let of_reads = step.reads.iter().filter_map(|b| written[at(b)]);
            let of_writes = step.writes.iter().filter_map(|b| touched[at(b)]);
            meetings[turn] = of_reads.chain(of_writes).min();
            step.reads.iter().chain(&step.writes).for_each(|b| touched[at(b)] = Some(turn));
            step.writes.iter().for_each(|b| written[at(b)] = Some(turn));
        }
        let loops = order.iter().map(|&i| loops(lowered, &lowered.steps[i])).collect();
        Schedule { order, memory, loops, meetings }
    }

    fn memory(&self, buffer: BufferId) -> BufferId {
        self.memory[buffer.index()]
    }

    /// True if a strip that begins at a turn may hand on something that the first step touches.
    fn meets(&self, turn: usize) -> bool {
        self.meetings[turn].is_some_and(|next| next < turn + STEPS)
    }
}

/// What the steps of a strip do with memory.
#[derive(Clone, Debug)]
struct Use {
    buffers: SmallVec<[BufferId; 2]>,
    written: bool,
    /// If each piece touches its own part only: `part` elements in every `part * pieces`. Piece `n` has the elements `e` with `e / part % pieces == n`.
    part: Option<isize>,
    /// The steps, by their turns.
    turns: SmallVec<[usize; 4]>,
}

impl Use {
    /// True if pieces stay apart when both are done.
    fn goes_with(&self, other: &Use) -> bool {
        !(self.written || other.written) || (self.part.is_some() && self.part == other.part)
    }

    /// True if the steps hand it on.
    fn passes(&self) -> bool {
        self.written && self.turns.len() > 1
    }

    fn join(&mut self, other: Use) {
        self.written |= other.written;
        self.part = self.part.filter(|_| self.part == other.part);
        self.turns.extend(other.turns);
        other.buffers.into_iter().for_each(|b| {
            if !self.buffers.contains(&b) {
                self.buffers.push(b);
            }
        });
    }
}

/// Which loop of a step is cut: the kernel's row loop of this number, or the product's axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loop {
    Row(usize),
    Axis(Family, usize),
}

/// A strip that may pay.
struct Candidate {
    steps: Range<usize>,
    pieces: usize,
    loops: Vec<Loop>,
    uses: FxHashMap<BufferId, Use>,
}

impl Candidate {
    /// The best strip that begins at a turn, if one pays.
    fn best(lowered: &Lowered, schedule: &Schedule<'_>, turn: usize, strips: Strips) -> Option<Candidate> {
        if !schedule.meets(turn) {
            return None;
        }
        let always = strips == Strips::WhereverPossible;
        let least = if always { 2 } else { *PIECES.start() };
        let mut best: Option<Candidate> = None;
        for &(first, extent) in &schedule.loops[turn] {
            for pieces in (least..=*PIECES.end()).rev().filter(|&pieces| extent.is_multiple_of(pieces)) {
                let Some(candidate) = Candidate::longest(lowered, (schedule, turn, first), pieces, always) else {
                    continue;
                };
                let longer = best.as_ref().is_none_or(|best| candidate.steps.len() > best.steps.len());
                if longer && (always || candidate.pays(lowered, schedule.order)) {
                    best = Some(candidate);
                }
            }
        }
        best
    }

    /// The longest strip of so many pieces from a turn on, whose first and last step have to do with others.
    fn longest(
        lowered: &Lowered,
        (schedule, first, first_loop): (&Schedule<'_>, usize, Loop),
        pieces: usize,
        always: bool,
    ) -> Option<Candidate> {
        let mut candidate = Candidate { steps: first..first, pieces, loops: Vec::new(), uses: FxHashMap::default() };
        for (turn, &i) in schedule.order.iter().enumerate().skip(first).take(STEPS) {
            let step = &lowered.steps[i];
            let apart = |uses: &Uses| {
                let known = |memory| candidate.uses.get(memory);
                uses.iter().all(|(memory, new)| known(memory).is_none_or(|old| old.goes_with(new)))
            };
            let fits = |&(cut, extent): &(Loop, usize)| {
                let wanted = turn > first || cut == first_loop;
                if !wanted || !extent.is_multiple_of(pieces) || (!always && packs_again(step, cut, pieces)) {
                    return None;
                }
                Some((cut, uses_of(lowered, schedule, step, (cut, extent), pieces))).filter(|(_, uses)| apart(uses))
            };
            let Some((cut, uses)) = schedule.loops[turn].iter().find_map(fits) else { break };
            for (memory, mut new) in uses {
                new.turns.push(turn);
                match candidate.uses.entry(memory) {
                    Entry::Occupied(mut known) => known.get_mut().join(new),
                    Entry::Vacant(entry) => drop(entry.insert(new)),
                }
            }
            candidate.loops.push(cut);
        }
        let passing = candidate.uses.values().filter(|u| u.passes());
        let begin = passing.clone().map(|u| u.turns[0]).min()?;
        let end = passing.map(|u| u.turns[u.turns.len() - 1]).max()? + 1;
        // A strip of the steps from the first that matters on is found from there.
        if begin > first {
            return None;
        }
        candidate.uses.retain(|_, u| {
            u.turns.retain(|turn| *turn < end);
            !u.turns.is_empty()
        });
        candidate.loops.truncate(end - first);
        candidate.steps = first..end;
        Some(candidate)
    }

    fn pays(&self, lowered: &Lowered, order: &[usize]) -> bool {
        let steps = order[self.steps.clone()].iter().map(|&i| &lowered.steps[i]);
        let times: SmallVec<[f64; 16]> = steps.map(|step| time(lowered, step)).collect();
        let time: f64 = times.iter().sum();
        if time < PIECE * self.pieces as f64 || time < PIECE_OF_STEP * (self.pieces * times.len()) as f64 {
            return false;
        }
        let bytes = |b: &BufferId| lowered.buffers[b.index()].bytes();
        let traffic: usize = self.uses.values().filter(|u| u.passes()).map(|u| bytes(&u.buffers[0])).sum();
        let short: f64 = times.iter().filter(|&&t| t < SHORT).sum();
        traffic >= TRAFFIC || short >= SHORT_TOGETHER
    }

    /// Cuts the steps.
    fn apply(self, lowered: &mut Lowered, order: &[usize], users: &[u32]) -> Found {
        let cuts = order[self.steps.clone()].iter().zip(&self.loops);
        let cuts = cuts.map(|(&step, &at)| cut(lowered, step, at, self.pieces)).collect();
        let mut parts = FxHashMap::default();
        for (&memory, u) in &self.uses {
            let Some(part) = u.part else { continue };
            parts.extend(u.buffers.iter().map(|&b| (b, part)));
            let buffer = &mut lowered.buffers[memory.index()];
            if buffer.want == Want::Arena
                && u.written
                && u.turns.len() == users[memory.index()] as usize
                && part as usize * self.pieces == buffer.len
            {
                buffer.pieces = self.pieces;
            }
        }
        Found { strip: Strip { steps: self.steps, pieces: self.pieces, cuts }, parts }
    }
}

type Loops = SmallVec<[(Loop, usize); 4]>;

/// See [`Schedule::loops`].
fn loops(lowered: &Lowered, step: &PendingStep) -> Loops {
    match &step.action {
        Action::Kernel { kernel, .. } => {
            let kernel = lowered.kernels.get(*kernel);
            let rows = if kernel.serial { 0 } else { kernel.rows };
            (0..rows).map(|d| (Loop::Row(d), kernel.loops[d])).collect()
        }
        Action::Product(p) => {
            let of_family = |f: Family| (0..f.of(&p.axes).len()).map(move |i| (Loop::Axis(f, i), f.of(&p.axes)[i]));
            let mut axes: SmallVec<[(Loop, Axis); 4]> = Family::ALL.into_iter().flat_map(of_family).collect();
            axes.sort_by_key(|(_, axis)| std::cmp::Reverse(axis.c.unsigned_abs()));
            axes.into_iter().map(|(at, axis)| (at, axis.extent)).filter(|&(_, extent)| extent > 0).collect()
        }
        Action::Routine(_) | Action::Loop(_) => SmallVec::new(),
    }
}

type Uses = SmallVec<[(BufferId, Use); 4]>;

/// What a step, one of whose loops is cut, does with memory that outlives it.
fn uses_of(
    lowered: &Lowered,
    schedule: &Schedule<'_>,
    step: &PendingStep,
    (at, extent): (Loop, usize),
    pieces: usize,
) -> Uses {
    let mut uses = Uses::new();
    let mut add = |buffer: BufferId, written: bool, part: Option<isize>| {
        let memory = schedule.memory(buffer);
        let new = Use { buffers: SmallVec::from_slice(&[buffer]), written, part, turns: SmallVec::new() };
        match uses.iter_mut().find(|(m, _)| *m == memory) {
            Some((_, known)) => known.join(new),
            None => uses.push((memory, new)),
        }
    };
    let len = |b: BufferId| lowered.buffers[b.index()].len;
    match (&step.action, at) {
        (Action::Kernel { kernel, args }, Loop::Row(d)) => {
            let kernel = lowered.kernels.get(*kernel);
            let lens: SmallVec<[usize; 8]> = args.iter().map(|&b| len(b)).collect();
            let parts = parts_of_slots(kernel, d, &lens, pieces);
            for ((slot, &buffer), part) in kernel.slots.iter().zip(args).zip(parts) {
                if slot.access != Access::Scratch {
                    add(buffer, slot.access != Access::Read, part);
                }
            }
        }
        (Action::Product(p), Loop::Axis(family, position)) => {
            let axis = family.of(&p.axes)[position];
            let part = |m: Matrix, stride: fn(&Axis) -> isize| {
                let of_result =
                    Family::ALL.into_iter().flat_map(|f| f.of(&p.axes).iter().enumerate().map(move |x| (f, x)));
                let others = of_result.filter(|&(f, (i, _))| (f, i) != (family, position)).map(|(_, (_, x))| x);
                let terms = others.chain(&p.axes.contracted).map(|x| (stride(x), x.extent));
                let rows = extent / pieces;
                part_of(m.offset, (stride(&axis), rows), terms, len(m.buffer), pieces)
            };
            let of_result = part(p.c, |x| x.c);
            add(p.a.buffer, false, part(p.a, |x| x.a));
            add(p.b.buffer, false, part(p.b, |x| x.b));
            add(p.c.buffer, true, of_result);
            // The parameter that is added to is read where it is written, a scale by all pieces.
            for &b in step.reads.iter().filter(|&&b| ![p.a.buffer, p.b.buffer, p.c.buffer].contains(&b)) {
                add(b, false, of_result.filter(|_| schedule.memory(b) == schedule.memory(p.c.buffer)));
            }
        }
        (Action::Kernel { .. } | Action::Product(_) | Action::Routine(_) | Action::Loop(_), _) => {
            panic!("a row loop is of a kernel, an axis of a product")
        }
    }
    uses
}

/// The part of a buffer of `len` elements that a piece stays in (see [`Use::part`]), if it has one: the access begins at `offset`, the loop that is cut has
/// a stride and `rows` turns in a piece, and the other loops have strides and extents.
fn part_of(
    offset: isize,
    (stride, rows): (isize, usize),
    terms: impl IntoIterator<Item = (isize, usize)>,
    len: usize,
    pieces: usize,
) -> Option<isize> {
    let part = stride * rows as isize;
    let period = part * pieces as isize;
    if part <= 0 || len as isize % period != 0 {
        return None;
    }
    let (mut low, mut high) = (offset.rem_euclid(period), offset.rem_euclid(period));
    for (stride, extent) in std::iter::once((stride, rows)).chain(terms).filter(|(stride, _)| stride % period != 0) {
        let reach = stride * (extent as isize - 1);
        low += reach.min(0);
        high += reach.max(0);
    }
    (low >= 0 && high < part).then_some(part)
}

/// For each slot of a kernel whose row loop `d` is cut, the part of its buffer that a piece stays in.
fn parts_of_slots(kernel: &Kernel, d: usize, lens: &[usize], pieces: usize) -> SmallVec<[Option<isize>; 8]> {
    let rows = kernel.loops[d] / pieces;
    let mut parts: SmallVec<[Option<Option<isize>>; 8]> = SmallVec::from_elem(None, kernel.slots.len());
    let mut see = |slot: usize, index: &Index| {
        let coefs = &index.affine.coefs;
        let others = (0..coefs.len()).filter(|&other| other != d).map(|other| (coefs[other], kernel.loops[other]));
        let chosen = index.choice.map(|c| (c.stride, c.extent));
        let part = part_of(index.affine.offset, (coefs[d], rows), others.chain(chosen), lens[slot], pieces);
        parts[slot] = Some(parts[slot].map_or(part, |known| known.filter(|_| known == part)));
    };
    for value in &kernel.values {
        if let Inst::Load { slot, index, .. } = &value.inst {
            see(slot.index(), index);
        }
    }
    for store in kernel.phases.iter().flat_map(|phase| phase.row_stores.iter().chain(&phase.stores)) {
        see(store.slot.index(), &store.index);
    }
    parts.into_iter().map(Option::flatten).collect()
}

/// True if a cut takes more than it may for packing the factor that it leaves whole again in each piece.
fn packs_again(step: &PendingStep, at: Loop, pieces: usize) -> bool {
    let (Action::Product(p), Loop::Axis(family, _)) = (&step.action, at) else { return false };
    let count = |axes: &[Axis]| axes.iter().map(|x| x.extent as f64).product::<f64>();
    let elements = match family {
        Family::Batch => return false,
        Family::Rows => count(&p.axes.columns),
        Family::Columns => count(&p.axes.rows),
    };
    let elements = elements * count(&p.axes.contracted) * count(&p.axes.batch);
    elements * pieces as f64 * PACKING > AGAIN * product_time(p)
}

fn product_time(p: &Product) -> f64 {
    p.multiplications() as f64 * MULTIPLICATION
}

/// An estimate of the time of a step, in nanoseconds.
fn time(lowered: &Lowered, step: &PendingStep) -> f64 {
    match &step.action {
        Action::Kernel { kernel, .. } => {
            let kernel = lowered.kernels.get(*kernel);
            let instructions: usize =
                kernel.phases.iter().map(|p| p.inner.len() + p.stores.len() + p.folds.len()).sum();
            kernel.row_count() as f64 * kernel.inner_count() as f64 * instructions as f64 * INSTRUCTION
        }
        Action::Product(p) => product_time(p),
        Action::Routine(_) | Action::Loop(_) => 0.0,
    }
}

/// Cuts a step into pieces.
fn cut(lowered: &mut Lowered, step: usize, at: Loop, pieces: usize) -> Cut {
    match (&mut lowered.steps[step].action, at) {
        (Action::Kernel { kernel, .. }, Loop::Row(d)) => {
            let cut = cut_kernel(lowered.kernels.get(*kernel), d, pieces);
            *kernel = lowered.kernels.number(cut);
            Cut::Rows
        }
        (Action::Product(p), Loop::Axis(family, position)) => {
            let axes = family.of_mut(&mut p.axes);
            let axis = axes[position];
            let part = axis.extent / pieces;
            if part > 1 {
                axes[position].extent = part;
            } else {
                axes.remove(position);
            }
            let far = |stride: isize| stride * part as isize;
            axes.insert(0, Axis { extent: pieces, a: far(axis.a), b: far(axis.b), c: far(axis.c) });
            let needed = workspace_len(&p.axes).max(workspace_len(&p.piece(family, 0).axes));
            match p.workspace {
                Some(workspace) => {
                    let len = &mut lowered.buffers[workspace.index()].len;
                    *len = needed.max(*len);
                }
                None if needed > 0 => {
                    let workspace = BufferId(lowered.buffers.len() as u32);
                    p.workspace = Some(workspace);
                    lowered.buffers.push(PendingBuffer::new(p.dtype, needed, Want::Arena, None));
                    lowered.steps[step].writes.push(workspace);
                }
                None => {}
            }
            Cut::Axis(family)
        }
        _ => panic!("a row loop is of a kernel, an axis of a product"),
    }
}

/// The kernel with its row loop `d` as two, of which the one of `pieces` turns is the outermost. There are other row loops besides: code may run the last one
/// by vectors, which do not end with a piece.
fn cut_kernel(kernel: &Kernel, d: usize, pieces: usize) -> Kernel {
    let rows = kernel.loops[d] / pieces;
    let mut cut = kernel.clone();
    let gone = rows == 1 && kernel.rows > 1;
    let split = |affine: &mut Affine| {
        let far = affine.coefs[d] * rows as isize;
        if gone {
            affine.coefs.remove(d);
        }
        affine.coefs.insert(0, far);
    };
    cut.loops[d] = rows;
    if gone {
        cut.loops.remove(d);
    } else {
        cut.rows += 1;
    }
    cut.loops.insert(0, pieces);
    for value in &mut cut.values {
        match &mut value.inst {
            Inst::Load { index, .. } => split(&mut index.affine),
            Inst::Counter(affine) => split(affine),
            Inst::Const(_) | Inst::Map(..) | Inst::Cast(_) | Inst::Fold { .. } => {}
        }
    }
    for phase in &mut cut.phases {
        phase.row_stores.iter_mut().chain(&mut phase.stores).for_each(|store| split(&mut store.index.affine));
    }
    cut
}
