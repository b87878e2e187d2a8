//! A kernel as a function `(slots, begin, end)` that does the rows `begin..end` of the outermost row loop; `slots` leads to a pointer for each slot. A range
//! begins at a multiple of 64 and ends at one, or at the loop's end, so that what full vectors leave is known when the code is made.
//!
//! One loop is run by vectors ([`choose`]): the last inner loop, whose folds are then combined across lanes, or the last row loop, so that each lane is a
//! row of its own. Along it code is emitted twice at most: a loop that does full vectors, and straight-line code for what is left, in which the lanes
//! beyond the end are dead.
//!
//! Every value is computed at the depth of the deepest loop that it depends on.

use cranelift_codegen::ir::{Function, InstBuilder, MemFlagsData, Value as Clif, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::Module;

use crate::graph::DType;
use crate::plan::kernel::{FoldKind, Kernel, Phase};
use crate::scalar::ScalarFn;

use super::Symbols;
use super::choose::{Dependencies, Vector};
use super::emit::Emitter;
use super::lanes::Calls;
use super::loops::{Width, counting};

/// Sums of `f32` of more terms in an accumulator than this are summed by blocks, and the sums of the blocks in `f64`.
const BLOCK: usize = 64;

/// Builds the function of a kernel.
pub(super) fn build(
    kernel: &Kernel,
    dependencies: &Dependencies,
    vector: Option<Vector>,
    function: &mut Function,
    context: &mut FunctionBuilderContext,
    module: &mut dyn Module,
    symbols: &mut Symbols,
) {
    let mut builder = FunctionBuilder::new(function, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let params = builder.block_params(entry).to_vec();
    // The pointers stay as they are while the kernel runs.
    let read = MemFlagsData::trusted().with_readonly();
    let slots =
        (0..kernel.slots.len()).map(|s| builder.ins().load(types::I64, read, params[0], (s * 8) as i32)).collect();
    let target = module.target_config();
    let mut calls = Calls::new(module, symbols);
    let mut emitter = Emitter::new(kernel, dependencies, vector, builder, &mut calls, slots);
    rows(&mut emitter, 0, (params[1], params[2]));
    let mut builder = emitter.b;
    builder.ins().return_(&[]);
    builder.seal_all_blocks();
    builder.finalize(target);
}

/// How a loop is run: turns of `step` elements, then a rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    /// Elements of a turn.
    pub(super) width: Width,
    pub(super) step: usize,
    /// Elements that the turns do; a multiple of `step`.
    pub(super) whole: usize,
    /// What is left.
    pub(super) rest: Option<Width>,
}

impl Turns {
    /// Turns of a loop within code that works on `outer` elements.
    pub(super) fn of(extent: usize, vector: Option<Vector>, outer: Width) -> Turns {
        let Some(vector) = vector else { return Turns { width: outer, step: 1, whole: extent, rest: None } };
        let step = vector.lanes as usize;
        let whole = extent / step * step;
        let live = (extent - whole) as u32;
        let lanes = live.next_multiple_of(vector.least_lanes());
        let rest = (live > 0).then_some(Width { lanes, live });
        Turns { width: Width::full(vector.lanes), step, whole, rest }
    }

    /// How many turns of full width there are.
    pub(super) fn count(self) -> usize {
        self.whole / self.step
    }
}

type Body<'b, 'k, 'f, 'm> = &'b mut dyn FnMut(&mut Emitter<'k, 'f, 'm>);

/// Emits row loop `d` and what is inside; `range` bounds the outermost loop.
fn rows<'k>(e: &mut Emitter<'k, '_, '_>, d: usize, range: (Clif, Clif)) {
    if d == e.kernel.rows {
        return row(e);
    }
    e.hoisted_rows(d);
    let extent = e.kernel.loops[d];
    let turns = Turns::of(extent, e.vector.filter(|v| v.dim == d), e.width);
    let body: Body<'_, 'k, '_, '_> = &mut |e| rows(e, d + 1, range);
    if d > 0 {
        return whole_loop(e, d, turns, None, body);
    }
    let (start, end) = range;
    let mut from = start;
    if turns.whole > 0 {
        let to = if turns.rest.is_none() { end } else { e.b.ins().band_imm_s(end, -(turns.step as i64)) };
        one_loop(e, d, turns.width, (from, to, turns.step as i64), false, body);
        from = to;
    }
    if let Some(rest) = turns.rest {
        one_loop(e, d, rest, (from, end, turns.step as i64), false, body);
    }
}

/// Emits all of loop `d`. With a block, the main turns are done in blocks of so many, after each of which the phase's sums are put by.
fn whole_loop<'k, 'f, 'm>(
    e: &mut Emitter<'k, 'f, 'm>,
    d: usize,
    turns: Turns,
    block: Option<(usize, usize)>,
    body: Body<'_, 'k, 'f, 'm>,
) {
    let (zero, end) = (e.int(0), e.int(turns.whole as i64));
    let step = turns.step as i64;
    match block {
        Some((p, block)) if turns.count() > block => {
            let block = (block * turns.step) as i64;
            let scope = e.enter(e.width);
            counting(
                e,
                |e| &mut e.b,
                (zero, end, block),
                true,
                |e, from| {
                    let to = e.b.ins().iadd_imm_s(from, block);
                    let to = if turns.whole as i64 % block == 0 { to } else { e.b.ins().smin(to, end) };
                    one_loop(e, d, turns.width, (from, to, step), true, body);
                    e.flush(p);
                },
            );
            e.leave(scope);
        }
        _ if turns.count() == 1 => straight(e, d, turns.width, zero, body),
        _ if turns.count() > 1 => one_loop(e, d, turns.width, (zero, end, step), true, body),
        _ => {}
    }
    if let Some(rest) = turns.rest {
        straight(e, d, rest, end, body);
    }
    if let Some((p, _)) = block.filter(|_| turns.rest.is_some() || turns.count() <= 1) {
        e.flush(p);
    }
}

/// Emits a loop whose turns all have one width.
fn one_loop<'k, 'f, 'm>(
    e: &mut Emitter<'k, 'f, 'm>,
    d: usize,
    width: Width,
    range: (Clif, Clif, i64),
    runs: bool,
    body: Body<'_, 'k, 'f, 'm>,
) {
    let scope = e.enter(width);
    counting(
        e,
        |e| &mut e.b,
        range,
        runs,
        |e, counter| {
            e.counters[d] = counter;
            body(e);
        },
    );
    e.leave(scope);
}

/// Emits one turn of a loop.
fn straight<'k, 'f, 'm>(
    e: &mut Emitter<'k, 'f, 'm>,
    d: usize,
    width: Width,
    counter: Clif,
    body: Body<'_, 'k, 'f, 'm>,
) {
    let scope = e.enter(width);
    e.counters[d] = counter;
    body(e);
    e.leave(scope);
}

/// Emits the phases of a row.
fn row(e: &mut Emitter<'_, '_, '_>) {
    let kernel = e.kernel;
    for (p, phase) in kernel.phases.iter().enumerate() {
        e.row_values(p);
        for store in &phase.row_stores {
            e.store(store);
        }
        if !phase.folds.is_empty() || !phase.stores.is_empty() {
            e.vector = e.vector.map(|v| v.of_phase(kernel, p));
            let block = Blocks::of(kernel, phase, e.vector);
            e.begin_folds(p, block.is_some());
            inner(e, p, kernel.rows, block);
            e.end_folds(p);
        }
    }
}

/// How the inner loops of a phase are cut into blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// The loop that is cut.
    pub(super) dim: usize,
    /// Its turns in a block.
    pub(super) turns: usize,
}

impl Blocks {
    /// The blocks of a phase that has a sum of many `f32`.
    pub(super) fn of(kernel: &Kernel, phase: &Phase, vector: Option<Vector>) -> Option<Blocks> {
        let sums = phase.folds.iter().any(|f| {
            kernel.value(f.value).dtype == DType::F32 && matches!(f.kind, FoldKind::Combine(ScalarFn::Add, _))
        });
        let mut terms = 1;
        for dim in (kernel.rows..kernel.loops.len()).rev().filter(|_| sums) {
            let turns = Turns::of(kernel.loops[dim], vector.filter(|v| v.dim == dim), Width::SCALAR);
            let count = turns.count() + usize::from(turns.rest.is_some());
            if terms * count > 2 * BLOCK {
                return Some(Blocks { dim, turns: (BLOCK / terms).max(1) });
            }
            terms *= count;
        }
        None
    }
}

/// Emits inner loop `d` of a phase and what is inside.
fn inner<'k>(e: &mut Emitter<'k, '_, '_>, p: usize, d: usize, blocks: Option<Blocks>) {
    let kernel = e.kernel;
    e.inner_values(p, d);
    if d == kernel.loops.len() {
        for store in &kernel.phases[p].stores {
            e.store(store);
        }
        return e.fold(p);
    }
    let turns = Turns::of(kernel.loops[d], e.vector.filter(|v| v.dim == d), e.width);
    let block = blocks.filter(|b| b.dim == d).map(|b| (p, b.turns));
    let body: Body<'_, 'k, '_, '_> = &mut |e| inner(e, p, d + 1, blocks);
    whole_loop(e, d, turns, block, body);
}
