//! The order of steps.
//!
//! A step comes after the steps that write what it reads, and a step that overwrites a parameter after all that read the old value. Among the steps that
//! may come next, the one that leaves the least memory in use is taken; ties fall to the lowest level. Only the first few of a long list of ready steps
//! are compared, so the time stays linear.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::BufferId;
use super::lower::{self, Lowered, PendingBuffer, Want};

/// How many ready steps are compared.
const WINDOW: usize = 16;

/// The order in which steps run, as positions in [`Lowered::steps`]. Parameters whose update in place would have to come before a step that still reads the
/// old value are moved from `in_place` to `copies`.
pub(super) fn schedule(lowered: &mut Lowered) -> Vec<usize> {
    loop {
        let (order, stuck) = try_order(lowered);
        if order.len() == lowered.steps.len() {
            return order;
        }
        // A circle: one update within it is computed beside its parameter and copied in the end.
        let stuck_update = lowered.in_place.iter().position(|u| stuck.contains(&u.from));
        let update = lowered.in_place.remove(stuck_update.expect("steps depend on each other in a circle"));
        lowered.buffers[update.from.index()].want = Want::Arena;
        lower::copy_before_accumulation(lowered, update);
        lowered.copies.push(update);
    }
}

/// The steps that can be ordered, and the buffers written by those that cannot.
fn try_order(lowered: &Lowered) -> (Vec<usize>, FxHashSet<BufferId>) {
    let steps = &lowered.steps;
    let mut writers: FxHashMap<BufferId, Vec<usize>> = FxHashMap::default();
    let mut readers: FxHashMap<BufferId, Vec<usize>> = FxHashMap::default();
    for (i, step) in steps.iter().enumerate() {
        step.writes.iter().for_each(|&b| writers.entry(b).or_default().push(i));
        step.reads.iter().for_each(|&b| readers.entry(b).or_default().push(i));
    }
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    let mut waits: Vec<u32> = vec![0; steps.len()];
    let mut edge = |from: usize, to: usize| {
        if from != to {
            after[from].push(to);
            waits[to] += 1;
        }
    };
    for (buffer, writers) in &mut writers {
        writers.sort_by_key(|&w| (steps[w].level, w));
        // Steps that write one buffer keep their order; readers that write nothing of it come after all.
        writers.windows(2).for_each(|w| edge(w[0], w[1]));
        if let Some(&last) = writers.last() {
            let readers = readers.get(buffer).into_iter().flatten();
            readers.filter(|r| !writers.contains(*r)).for_each(|&r| edge(last, r));
        }
    }
    for update in &lowered.in_place {
        let old = lowered.param_buffers.get(&update.param).and_then(|old| readers.get(old));
        let first_writer = writers.get(&update.from).and_then(|w| w.first());
        if let (Some(old), Some(&writer)) = (old, first_writer) {
            old.iter().for_each(|&reader| edge(reader, writer));
        }
    }

    // Uses of a buffer that are still to come.
    let mut uses: FxHashMap<BufferId, u32> = FxHashMap::default();
    for step in steps {
        let mut touched: Vec<BufferId> = step.reads.iter().chain(&step.writes).copied().collect();
        touched.sort_unstable();
        touched.dedup();
        touched.iter().for_each(|&b| *uses.entry(b).or_default() += 1);
    }
    let bytes = |b: &BufferId| {
        let PendingBuffer { dtype, len, want, .. } = &lowered.buffers[b.index()];
        if *want == Want::Arena { (len * dtype.size()) as isize } else { 0 }
    };
    let mut begun: FxHashSet<BufferId> = FxHashSet::default();
    let mut ready: BTreeSet<(u32, usize)> =
        (0..steps.len()).filter(|&i| waits[i] == 0).map(|i| (steps[i].level, i)).collect();
    let mut order = Vec::with_capacity(steps.len());
    while !ready.is_empty() {
        let growth = |i: usize| {
            let step = &steps[i];
            let begins: isize = step.writes.iter().filter(|b| !begun.contains(b)).map(bytes).sum();
            let ends: isize = step.reads.iter().chain(&step.writes).filter(|b| uses[b] == 1).map(bytes).sum();
            begins - ends
        };
        let &(level, i) =
            ready.iter().take(WINDOW).min_by_key(|(level, i)| (growth(*i), *level, *i)).expect("not empty");
        ready.remove(&(level, i));
        order.push(i);
        let mut touched: Vec<BufferId> = steps[i].reads.iter().chain(&steps[i].writes).copied().collect();
        touched.sort_unstable();
        touched.dedup();
        for b in touched {
            begun.insert(b);
            if let Some(n) = uses.get_mut(&b) {
                *n -= 1;
            }
        }
        for &next in &after[i] {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.insert((steps[next].level, next));
            }
        }
    }
    let done: FxHashSet<usize> = order.iter().copied().collect();
    let stuck = (0..steps.len()).filter(|i| !done.contains(i)).flat_map(|i| steps[i].writes.iter().copied()).collect();
    (order, stuck)
}
