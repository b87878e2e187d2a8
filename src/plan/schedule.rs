//! The order of steps.
//!
//! A step comes after the steps that write what it reads, and a step that overwrites a parameter after all that read the old value. Where these demands
//! run in a circle, an update within it is computed beside its parameter and copied in the end. Among the steps that may come next, the one that leaves the
//! least memory in use is taken; ties fall to the lowest level. Only the first few of a long list of ready steps are compared, and circles are broken
//! within one walk, so the time stays linear.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use super::BufferId;
use super::lower;
use super::pending::{CopyBack, Lowered, PendingBuffer, PendingStep, Want};

/// How many ready steps are compared.
const WINDOW: usize = 16;

/// The order in which steps run, as positions in [`Lowered::steps`]. Parameters whose update in place would have to come before a step that still reads the
/// old value are moved from `in_place` to `copies`.
pub(super) fn schedule(lowered: &mut Lowered) -> Vec<usize> {
    let demands = Demands::of(lowered);
    let copied = demands.circular(lowered.in_place.len());
    if copied.is_empty() {
        return order(lowered, demands);
    }
    let (mut kept, mut moved): (Vec<CopyBack>, Vec<CopyBack>) = (Vec::new(), Vec::new());
    for (i, &update) in lowered.in_place.iter().enumerate() {
        if copied.contains(&i) { moved.push(update) } else { kept.push(update) }
    }
    lowered.in_place = kept;
    moved.iter().for_each(|u| lowered.buffers[u.from.index()].want = Want::Arena);
    lower::copy_before_accumulation(lowered, &moved);
    lowered.copies.extend(moved);
    let demands = Demands::of(lowered);
    order(lowered, demands)
}

/// What comes before what.
struct Demands {
    /// For each step those that wait for it, with the update in place for whose sake they do, if that is the reason.
    after: Vec<Vec<(usize, Option<usize>)>>,
    /// How many steps each waits for.
    waits: Vec<u32>,
    /// For each update in place the step that overwrites the parameter, with the steps that read the old value.
    overwrites: Vec<Option<(usize, Vec<usize>)>>,
}

impl Demands {
    fn of(lowered: &Lowered) -> Demands {
        let steps = &lowered.steps;
        let mut writers: Vec<Vec<usize>> = vec![Vec::new(); lowered.buffers.len()];
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); lowered.buffers.len()];
        for (i, step) in steps.iter().enumerate() {
            step.writes.iter().for_each(|b| writers[b.index()].push(i));
            step.reads.iter().for_each(|b| readers[b.index()].push(i));
        }
        let mut demands = Demands {
            after: vec![Vec::new(); steps.len()],
            waits: vec![0; steps.len()],
            overwrites: Vec::with_capacity(lowered.in_place.len()),
        };
        for (writers, readers) in writers.iter_mut().zip(&readers) {
            writers.sort_by_key(|&w| (steps[w].level, w));
            // Steps that write one buffer keep their order; readers that write nothing of it come after all.
            writers.windows(2).for_each(|w| demands.add(w[0], w[1], None));
            if let Some(&last) = writers.last() {
                let writers: FxHashSet<usize> = writers.iter().copied().collect();
                readers.iter().filter(|r| !writers.contains(r)).for_each(|&r| demands.add(last, r, None));
            }
        }
        for (i, step) in steps.iter().enumerate() {
            step.waits.iter().for_each(|&earlier| demands.add(earlier, i, None));
        }
        for (i, update) in lowered.in_place.iter().enumerate() {
            let old = lowered.param_buffers.get(&update.param).map(|old| &readers[old.index()]);
            let overwrite = match (old, writers[update.from.index()].first()) {
                (Some(old), Some(&writer)) => {
                    let old: Vec<usize> = old.iter().copied().filter(|&r| r != writer).collect();
                    old.iter().for_each(|&reader| demands.add(reader, writer, Some(i)));
                    Some((writer, old))
                }
                _ => None,
            };
            demands.overwrites.push(overwrite);
        }
        demands
    }

    fn add(&mut self, from: usize, to: usize, update: Option<usize>) {
        if from != to {
            self.after[from].push((to, update));
            self.waits[to] += 1;
        }
    }

    /// Updates in place without which there are no circles: whenever no step can go on, the first whose step waits.
    fn circular(&self, updates: usize) -> FxHashSet<usize> {
        let mut dropped = FxHashSet::default();
        let mut waits = self.waits.clone();
        let mut done = vec![false; waits.len()];
        let mut ready: Vec<usize> = (0..waits.len()).filter(|&i| waits[i] == 0).collect();
        let mut left = waits.len();
        let mut next = 0..updates;
        loop {
            while let Some(step) = ready.pop() {
                done[step] = true;
                left -= 1;
                for &(to, _) in self.after[step].iter().filter(|(_, u)| u.is_none_or(|u| !dropped.contains(&u))) {
                    waits[to] -= 1;
                    if waits[to] == 0 {
                        ready.push(to);
                    }
                }
            }
            if left == 0 {
                return dropped;
            }
            let waiting = |update: usize| {
                let (writer, old) = self.overwrites[update].as_ref()?;
                let open = old.iter().filter(|r| !done[**r]).count() as u32;
                (open > 0).then_some((update, *writer, open))
            };
            let first = next.by_ref().find_map(waiting);
            let (update, writer, open) = first.expect("only updates make steps depend on each other in a circle");
            dropped.insert(update);
            waits[writer] -= open;
            if waits[writer] == 0 {
                ready.push(writer);
            }
        }
    }
}

/// The buffers that a step reads or writes, each once.
fn touched(step: &PendingStep) -> Vec<BufferId> {
    let mut touched: Vec<BufferId> = step.reads.iter().chain(&step.writes).copied().collect();
    touched.sort_unstable();
    touched.dedup();
    touched
}

/// The order of steps whose demands have no circles.
fn order(lowered: &Lowered, Demands { after, mut waits, .. }: Demands) -> Vec<usize> {
    let steps = &lowered.steps;
    // Uses of a buffer that are still to come.
    let mut uses: Vec<u32> = vec![0; lowered.buffers.len()];
    steps.iter().flat_map(touched).for_each(|b| uses[b.index()] += 1);
    let bytes = |b: &BufferId| {
        let buffer: &PendingBuffer = &lowered.buffers[b.index()];
        if buffer.want == Want::Arena { buffer.bytes() as isize } else { 0 }
    };
    let mut begun: Vec<bool> = vec![false; lowered.buffers.len()];
    let mut ready: BTreeSet<(u32, usize)> =
        (0..steps.len()).filter(|&i| waits[i] == 0).map(|i| (steps[i].level, i)).collect();
    let mut order = Vec::with_capacity(steps.len());
    while !ready.is_empty() {
        let growth = |i: usize| {
            let step = &steps[i];
            let begins: isize = step.writes.iter().filter(|b| !begun[b.index()]).map(bytes).sum();
            let ends: isize = step.reads.iter().chain(&step.writes).filter(|b| uses[b.index()] == 1).map(bytes).sum();
            begins - ends
        };
        let &(level, i) =
            ready.iter().take(WINDOW).min_by_key(|(level, i)| (growth(*i), *level, *i)).expect("not empty");
        ready.remove(&(level, i));
        order.push(i);
        for b in touched(&steps[i]) {
            begun[b.index()] = true;
            uses[b.index()] -= 1;
        }
        for &(next, _) in &after[i] {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.insert((steps[next].level, next));
            }
        }
    }
    assert_eq!(order.len(), steps.len(), "every step has its turn");
    order
}
