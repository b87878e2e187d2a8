//! Copies of parameters: of old values that products are added to elsewhere, and of new ones to where they belong.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::plan::build::{At, KernelBuilder};
use crate::plan::group::{Loops, address};
use crate::plan::kernel::{Access, Affine, Index, StoreMode};
use crate::plan::pending::{CopyBack, Lowered, PendingBuffer, PendingStep, Want};
use crate::plan::{Action, BufferId, Place};

/// Lets the buffers of these updates, which are not their parameters' memory any more, begin as copies where a product is added to the old value.
pub(in crate::plan) fn copy_before_accumulation(lowered: &mut Lowered, updates: &[CopyBack]) {
    let accumulated = |s: &PendingStep| match &s.action {
        Action::Product(p) if p.accumulate => Some((p.c.buffer, s.level)),
        _ => None,
    };
    let levels: FxHashMap<BufferId, u32> = lowered.steps.iter().filter_map(accumulated).collect();
    for update in updates {
        if let Some(level) = levels.get(&update.from) {
            let old = lowered.param_buffers[&update.param];
            push_copy(lowered, old, update.from, level - 1);
        }
    }
}

/// Adds a step that copies a buffer.
fn push_copy(lowered: &mut Lowered, from: BufferId, to: BufferId, level: u32) {
    let PendingBuffer { dtype, len, .. } = lowered.buffers[from.index()];
    let (loops, coords) = Loops::over(&[len].into(), &[]);
    let rows = loops.dims.len();
    let mut b = KernelBuilder::new(loops.dims, rows, 1);
    let affine = Affine { offset: 0, coefs: address(&[1], &coords, rows) };
    let value = b.load(from, dtype, affine.clone(), At::Row(0));
    let slot = b.slot(to, dtype, Access::Write);
    b.store(slot, Index { affine, choice: None }, value, StoreMode::Set, At::Row(0));
    let (kernel, args) = b.finish(false);
    let kernel = lowered.kernels.number(kernel);
    lowered.steps.push(PendingStep {
        action: Action::Kernel { kernel, args },
        origins: Vec::new(),
        reads: SmallVec::from_slice(&[from]),
        writes: SmallVec::from_slice(&[to]),
        waits: Vec::new(),
        level,
    });
}

/// Adds the copies of new parameter values behind all other steps; returns the extended order.
pub(in crate::plan) fn append_copies(lowered: &mut Lowered, mut order: Vec<usize>) -> Vec<usize> {
    for copy in lowered.copies.clone() {
        let PendingBuffer { dtype, len, node, .. } = lowered.buffers[copy.from.index()];
        let to = BufferId(lowered.buffers.len() as u32);
        lowered.buffers.push(PendingBuffer::new(dtype, len, Want::At(Place::Param(copy.param)), node));
        order.push(lowered.steps.len());
        push_copy(lowered, copy.from, to, u32::MAX);
    }
    order
}
