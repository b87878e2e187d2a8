//! The loops of a kernel, as wide code: the same turns, rests and blocks as in [`kernel`](crate::codegen::kernel), with the counters kept in patterns.
//!
//! Inner loops of a few turns with light bodies, such as those over a window or a short row, are written out: their counters are numbers then, and no loop keeps
//! the processor waiting.

use crate::codegen::choose::weight;
use crate::codegen::kernel::{Blocks, Turns};
use crate::codegen::loops::Width;

use super::body::Body;
use super::ir::{Inst, Trips};

/// Turns of inner loops that are written out: three by three.
const MOST_TURNS: usize = 9;
/// Instructions in all of these turns.
const MOST_WORK: f64 = 128.0;

type Inner<'b, 'k> = &'b mut dyn FnMut(&mut Body<'k>);

/// Emits row loop `d` and what is inside.
pub(super) fn rows(e: &mut Body<'_>, d: usize) {
    if d == e.kernel.rows {
        return row(e);
    }
    e.hoisted_rows(d);
    let turns = Turns::of(e.kernel.loops[d], Some(e.vector).filter(|v| v.dim == d), e.width);
    let body: Inner<'_, '_> = &mut |e| rows(e, d + 1);
    if d > 0 {
        return whole_loop(e, d, turns, None, body);
    }
    // The outermost loop runs over a range that is known when the kernel is called.
    if turns.whole > 0 {
        let scope = e.enter(turns.width);
        let id = e.code.begin(Trips::Range { step: turns.step as i64 });
        body(e);
        e.code.push(Inst::Advance { dim: d, by: turns.step as i64 });
        e.code.push(Inst::End(id));
        e.leave(scope);
    }
    if let Some(rest) = turns.rest {
        let scope = e.enter(rest);
        // Without whole turns the rest is the range.
        e.code.push(Inst::Rest);
        body(e);
        e.code.push(Inst::EndRest);
        e.leave(scope);
    }
}

/// Emits all of loop `d`. With a block, the main turns are done in blocks of so many, after each of which the phase's sums are put by.
fn whole_loop<'k>(e: &mut Body<'k>, d: usize, turns: Turns, block: Option<(usize, usize)>, body: Inner<'_, 'k>) {
    let (count, step) = (turns.count(), turns.step as i64);
    match block {
        Some((p, block)) if count > block => {
            repeat(e, turns.width, count / block, None, &mut |e| {
                repeat(e, turns.width, block, Some((d, step)), body);
                e.flush(p);
            });
            repeat(e, turns.width, count % block, Some((d, step)), body);
            if count % block > 0 {
                e.flush(p);
            }
        }
        _ => repeat(e, turns.width, count, Some((d, step)), body),
    }
    if let Some(rest) = turns.rest {
        let scope = e.enter(rest);
        body(e);
        e.leave(scope);
    }
    if turns.whole > 0 {
        e.code.push(Inst::Advance { dim: d, by: -(turns.whole as i64) });
    }
    if let Some((p, _)) = block.filter(|_| turns.rest.is_some() || count <= 1) {
        e.flush(p);
    }
}

/// Emits a body for each turn of a loop that is written out.
fn unrolled<'k>(e: &mut Body<'k>, d: usize, turns: Turns, body: Inner<'_, 'k>) {
    let starts = (0..turns.whole).step_by(turns.step).map(|start| (start, turns.width));
    for (start, width) in starts.chain(turns.rest.map(|rest| (turns.whole, rest))) {
        let scope = e.enter(width);
        e.known[d] = Some(start as isize);
        body(e);
        e.leave(scope);
    }
    e.known[d] = None;
}

/// True if loop `d` of a phase and those inside are written out.
fn is_short(e: &Body<'_>, p: usize, d: usize) -> bool {
    let (kernel, phase) = (e.kernel, &e.kernel.phases[p]);
    let turns = (d..kernel.loops.len()).map(|d| {
        let turns = Turns::of(kernel.loops[d], Some(e.vector).filter(|v| v.dim == d), e.width);
        turns.count() + usize::from(turns.rest.is_some())
    });
    let turns = turns.fold(1usize, usize::saturating_mul);
    let work: f64 = phase.inner.iter().map(|&v| weight(&kernel.value(v).inst)).sum();
    turns <= MOST_TURNS && turns as f64 * (work + phase.folds.len() as f64) <= MOST_WORK
}

/// Emits a body that is run so often; after each time the counter of a loop grows by a step.
fn repeat<'k>(e: &mut Body<'k>, width: Width, count: usize, advance: Option<(usize, i64)>, body: Inner<'_, 'k>) {
    if count == 0 {
        return;
    }
    let scope = e.enter(width);
    let id = (count > 1).then(|| e.code.begin(Trips::Fixed(count as i64)));
    body(e);
    if let Some((dim, by)) = advance {
        e.code.push(Inst::Advance { dim, by });
    }
    if let Some(id) = id {
        e.code.push(Inst::End(id));
    }
    e.leave(scope);
}

/// Emits the phases of a row.
fn row(e: &mut Body<'_>) {
    let kernel = e.kernel;
    for (p, phase) in kernel.phases.iter().enumerate() {
        e.row_values(p);
        for store in &phase.row_stores {
            e.store(store);
        }
        if !phase.folds.is_empty() || !phase.stores.is_empty() {
            e.vector = e.vector.of_phase(kernel, p);
            let blocks = Blocks::of(kernel, phase, Some(e.vector));
            e.begin_folds(p, blocks.is_some());
            inner(e, p, kernel.rows, blocks);
            e.end_folds(p);
        }
    }
}

/// Emits inner loop `d` of a phase and what is inside.
fn inner(e: &mut Body<'_>, p: usize, d: usize, blocks: Option<Blocks>) {
    let kernel = e.kernel;
    e.inner_values(p, d);
    if d == kernel.loops.len() {
        for store in &kernel.phases[p].stores {
            e.store(store);
        }
        return e.fold(p);
    }
    let turns = Turns::of(kernel.loops[d], Some(e.vector).filter(|v| v.dim == d), e.width);
    let block = blocks.filter(|b| b.dim == d).map(|b| (p, b.turns));
    if block.is_none() && is_short(e, p, d) {
        return unrolled(e, d, turns, &mut |e| inner(e, p, d + 1, blocks));
    }
    whole_loop(e, d, turns, block, &mut |e| inner(e, p, d + 1, blocks));
}
