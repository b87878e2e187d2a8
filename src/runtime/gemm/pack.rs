//! Packing: a panel of an operand, copied so that the tile reads it straight on.
//!
//! A panel has *lanes* (rows of the left operand or columns of the right one) and *steps* of the contraction. Both are lists of offsets, so axes that do not
//! join, and windows that overlap, are read where they lie. The copy has the lanes of a step side by side.

use super::simd::{Simd, line};

/// A panel of an operand and where its copy goes.
pub(super) struct Panel<'a, T> {
    pub(super) from: *const T,
    /// Offsets of the lanes.
    pub(super) lanes: &'a [isize],
    /// Offsets of the steps, and for each how many next ones follow at distance 1.
    pub(super) steps: &'a [isize],
    pub(super) runs: &'a [u16],
    pub(super) to: *mut T,
    /// Lanes of the copy, no fewer than `lanes`; those left over are 0.
    pub(super) width: usize,
}

/// Bytes of a copy that take most of a first-level cache.
const LARGE: usize = 24 * 1024;

/// Lanes, or steps, side by side that are worth vectors.
const RUN: usize = 4;

/// Packs a panel.
///
/// # Safety
/// For every lane and step, `from[lane + step]` can be read; `steps.len() * width` elements from `to` on can be written; the processor has the instructions
/// of `S`.
#[inline(always)]
pub(super) unsafe fn pack<S: Simd>(panel: &Panel<'_, S::T>) {
    let Panel { from, lanes, steps, runs, to, width } = *panel;
    // Where steps run on, a line of each lane is moved before the next if the copy is large, so that its lines are written while they are near.
    let large = steps.len() * width * size_of::<S::T>() > LARGE;
    let block = if large && has_runs(runs) { line::<S::T>() } else { steps.len().max(1) };
    for start in (0..steps.len()).step_by(block) {
        let end = steps.len().min(start + block);
        let part = Panel {
            from,
            lanes,
            steps: &steps[start..end],
            runs: &runs[start..end],
            to: to.wrapping_add(start * width),
            width,
        };
        // SAFETY: these steps are the panel's.
        unsafe { pack_steps::<S>(&part) };
    }
}

/// Packs some steps of a panel.
#[inline(always)]
unsafe fn pack_steps<S: Simd>(panel: &Panel<'_, S::T>) {
    let Panel { from, lanes, steps, runs, to, width } = *panel;
    let mut lane = 0;
    while lane < lanes.len() {
        let run = 1 + lanes[lane..].windows(2).take_while(|w| w[1] == w[0] + 1).count();
        // SAFETY (all calls): lanes and steps are the panel's, so reads and writes are as promised.
        if run >= RUN {
            unsafe { copy::<S>(from.offset(lanes[lane]), steps, run, to.add(lane), width) };
            lane += run;
        } else if lane + 8 <= lanes.len() && has_runs(runs) {
            unsafe { transpose::<S, 8>(from, &lanes[lane..], steps, runs, to.add(lane), width) };
            lane += 8;
        } else if lane + 4 <= lanes.len() && has_runs(runs) {
            unsafe { transpose::<S, 4>(from, &lanes[lane..], steps, runs, to.add(lane), width) };
            lane += 4;
        } else {
            unsafe { copy::<S>(from.offset(lanes[lane]), steps, run, to.add(lane), width) };
            lane += run;
        }
    }
    while lane < width {
        let count = (width - lane).min(S::LANES);
        for p in 0..steps.len() {
            // SAFETY: inside the copy.
            unsafe { S::store_first(to.add(p * width + lane), count, S::zero()) };
        }
        lane += count;
    }
}

/// Panels side by side that are packed together if their lanes run on.
pub(super) const TOGETHER: usize = 8;

/// So many steps ahead memory is asked for.
const AHEAD: usize = 4;

/// Packs [`TOGETHER`] panels of `width` lanes each, all of which run on from `from`, one behind the other.
///
/// The rows of a large matrix are far apart, so reading one panel is all waiting for lines that no processor foresees. Several together are runs of lines.
///
/// # Safety
/// For every step, as many elements from `from[step]` on can be read as the panels have lanes; they can be written; the processor has the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn pack_together<S: Simd>(panel: &Panel<'_, S::T>) {
    let Panel { from, steps, to, width, .. } = *panel;
    for (p, &step) in steps.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let ahead = from.wrapping_offset(steps[(p + AHEAD).min(steps.len() - 1)]);
            let from = from.offset(step);
            for i in 0..TOGETHER {
                for line in (0..width).step_by(line::<S::T>()) {
                    S::prefetch(ahead.wrapping_add(i * width + line));
                }
                let to = to.add((i * steps.len() + p) * width);
                for lane in (0..width).step_by(S::LANES) {
                    S::store(to.add(lane), S::load(from.add(i * width + lane)));
                }
            }
        }
    }
}

/// True if the first steps run on long enough for blocks.
#[inline(always)]
fn has_runs(runs: &[u16]) -> bool {
    runs.first().is_some_and(|&r| r as usize + 1 >= RUN)
}

/// Copies `n` lanes side by side.
#[inline(always)]
unsafe fn copy<S: Simd>(from: *const S::T, steps: &[isize], n: usize, to: *mut S::T, width: usize) {
    // SAFETY: `pack`'s.
    unsafe {
        let mut lane = 0;
        while lane + 2 * S::LANES <= n {
            for (p, &step) in steps.iter().enumerate() {
                let (from, to) = (from.offset(step).add(lane), to.add(p * width + lane));
                let (low, high) = (S::load(from), S::load(from.add(S::LANES)));
                S::store(to, low);
                S::store(to.add(S::LANES), high);
            }
            lane += 2 * S::LANES;
        }
        while lane < n {
            let count = (n - lane).min(S::LANES);
            for (p, &step) in steps.iter().enumerate() {
                let (from, to) = (from.offset(step).add(lane), to.add(p * width + lane));
                if count == 1 {
                    *to = *from;
                } else if count == S::LANES {
                    S::store(to, S::load(from));
                } else {
                    S::store_first(to, count, S::load_first(from, count));
                }
            }
            lane += count;
        }
    }
}

/// Copies `N` lanes, four or eight, by blocks where steps run on.
#[inline(always)]
unsafe fn transpose<S: Simd, const N: usize>(
    from: *const S::T,
    lanes: &[isize],
    steps: &[isize],
    runs: &[u16],
    to: *mut S::T,
    width: usize,
) {
    let mut p = 0;
    while p < steps.len() {
        let run = (runs[p] as usize + 1).min(S::STEP).min(steps.len() - p);
        let lane = |i: usize| from.wrapping_offset(lanes[i] + steps[p]);
        // SAFETY: `pack`'s; a block reads steps that run on from this one, all of which are the panel's. Whole blocks have code of their own.
        unsafe {
            let to = to.add(p * width);
            if N == 8 && run == S::STEP {
                S::transpose_eight(std::array::from_fn(lane), to, width);
            } else {
                for i in (0..N).step_by(4) {
                    let (four, to) = (std::array::from_fn(|j| lane(i + j)), to.add(i));
                    if run == S::STEP {
                        S::transpose(four, S::STEP, to, width)
                    } else {
                        S::transpose(four, run, to, width)
                    }
                }
            }
        }
        p += run;
    }
}
