//! A kernel as a function `(slots.., begin, end)` that does the rows `begin..end` of the outermost row loop. `begin` is a multiple of 64, and so is `end`
//! unless it is the loop's end, so that vectors of rows do not straddle two ranges.
//!
//! One loop is run by vectors: the last inner loop, whose folds are then combined across lanes, or the last row loop, so that each lane is a row of its
//! own. The one is chosen along which most memory is contiguous. Along it code is emitted up to three times: for several vectors at a time, for single
//! vectors, and for single elements; which of them are needed is known from the extents.
//!
//! Every value is computed at the depth of the deepest loop that it depends on.

use cranelift_codegen::ir::{Function, InstBuilder, Value as Clif};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::Module;

use crate::graph::DType;
use crate::plan::kernel::{Access, FoldKind, Index, Inst, Kernel, StoreMode, ValueId};
use crate::scalar::Cost;

use super::Symbols;
use super::emit::Emitter;
use super::lanes::Calls;
use super::loops::{Width, counting};

/// Vectors worked on at a time in the main loop, if the body is light.
const PARTS: u32 = 4;
/// Bodies with more operations than this are not done several vectors at a time.
const LIGHT: usize = 12;
/// Float sums over more turns than this keep partial sums of at most so many terms.
const BLOCK: usize = 128;

/// The loop that is run by vectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector {
    /// The loop.
    pub(super) dim: usize,
    /// Lanes of a vector.
    pub(super) lanes: u32,
    /// Bits of a lane.
    pub(super) bits: u32,
    /// Vectors at a time in the main loop.
    pub(super) parts: u32,
}

/// Builds the function of a kernel.
pub(super) fn build(
    kernel: &Kernel,
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
    let (slots, range) = params.split_at(kernel.slots.len());
    let target = module.target_config();
    let mut calls = Calls::new(module, symbols);
    let dependencies = Dependencies::of(kernel);
    let vector = choose(kernel, &dependencies);
    let mut emitter = Emitter::new(kernel, &dependencies, vector, builder, &mut calls, slots.to_vec());
    rows(&mut emitter, 0, (range[0], range[1]));
    let mut builder = emitter.b;
    builder.ins().return_(&[]);
    builder.seal_all_blocks();
    builder.finalize(target);
}

/// Chooses the loop that is run by vectors, if one is worth it.
fn choose(kernel: &Kernel, dependencies: &Dependencies) -> Option<Vector> {
    let positions = kernel.phases.iter().flat_map(|p| &p.folds).any(|f| matches!(f.kind, FoldKind::Position(_)));
    let mut candidates: Vec<usize> = Vec::new();
    if kernel.rows < kernel.loops.len() {
        candidates.push(kernel.loops.len() - 1);
    }
    if kernel.rows > 0 {
        candidates.push(kernel.rows - 1);
    }
    let best = candidates
        .into_iter()
        .filter_map(|dim| Some((score(kernel, dependencies, dim)?, dim)))
        .max_by_key(|&(s, dim)| (s, dim))?;
    let dim = best.1;
    let bits = lane_bits(kernel, dependencies, dim)?;
    let lanes = 128 / bits;
    if positions || best.0 <= 0 || kernel.loops[dim] < lanes as usize {
        return None;
    }
    let varying = kernel.values.iter().enumerate().filter(|(i, _)| dependencies.varies(ValueId(*i as u32), dim));
    let weight: usize = varying
        .map(|(_, v)| match &v.inst {
            Inst::Map(f, _) if f.record().cost == Cost::Dear => 8,
            _ => 1,
        })
        .sum();
    let parts = if weight <= LIGHT {
        PARTS
    } else if weight <= 2 * LIGHT {
        2
    } else {
        1
    };
    Some(Vector { dim, lanes, bits, parts })
}

/// Contiguous accesses along a loop against others; `None` if the loop cannot be run by vectors.
fn score(kernel: &Kernel, dependencies: &Dependencies, dim: usize) -> Option<i64> {
    let mut score = 0;
    let mut possible = true;
    let mut count = |index: &Index, store: bool, mode: StoreMode| {
        let chosen = index.choice.is_some_and(|c| dependencies.varies(c.value, dim));
        match index.affine.coefs[dim] {
            1 if !chosen => score += 4,
            0 if !chosen && !store => {}
            _ => {
                score -= 1;
                // Elements that meet must be combined one after the other.
                possible &= !(store && (kernel.serial || mode == StoreMode::Add));
            }
        }
    };
    for value in &kernel.values {
        if let Inst::Load { index, .. } = &value.inst {
            count(index, false, StoreMode::Set);
        }
    }
    for phase in &kernel.phases {
        for store in &phase.row_stores {
            if dim < kernel.rows {
                count(&store.index, true, store.mode);
            }
        }
        for store in &phase.stores {
            // Scratch memory keeps the rows of a vector side by side.
            if dim < kernel.rows && kernel.slots[store.slot.index()].access == Access::Scratch {
                continue;
            }
            count(&store.index, true, store.mode);
        }
    }
    // Work on several rows at a time needs no combination across lanes, but only memory decides.
    let computes = kernel.values.iter().any(|v| matches!(v.inst, Inst::Map(..) | Inst::Counter(_)));
    possible.then_some(if score == 0 && computes { 1 } else { score })
}

/// Bits of the lanes along a loop: those of all values that vary along it, or `None` if they differ.
fn lane_bits(kernel: &Kernel, dependencies: &Dependencies, dim: usize) -> Option<u32> {
    let mut bits = None;
    for (i, value) in kernel.values.iter().enumerate() {
        if value.dtype != DType::Bool && dependencies.varies(ValueId(i as u32), dim) {
            let own = value.dtype.size() as u32 * 8;
            if *bits.get_or_insert(own) != own {
                return None;
            }
        }
    }
    for store in kernel.phases.iter().flat_map(|p| p.row_stores.iter().chain(&p.stores)) {
        let dtype = kernel.slots[store.slot.index()].dtype;
        if dtype != DType::Bool {
            let own = dtype.size() as u32 * 8;
            if *bits.get_or_insert(own) != own {
                return None;
            }
        }
    }
    // What is folded along the loop is spread over its vectors.
    let folds = kernel.phases.iter().flat_map(|p| &p.folds).filter(|_| dim >= kernel.rows);
    for dtype in folds.map(|f| kernel.value(f.value).dtype).filter(|&d| d != DType::Bool) {
        let own = dtype.size() as u32 * 8;
        if *bits.get_or_insert(own) != own {
            return None;
        }
    }
    // Truth values alone have lanes of any width.
    Some(bits.unwrap_or(32))
}

/// Which loops each value depends on.
#[derive(Debug)]
pub(super) struct Dependencies {
    /// A bit for each loop.
    loops: Vec<u64>,
    on_fold: Vec<bool>,
}

impl Dependencies {
    fn of(kernel: &Kernel) -> Dependencies {
        assert!(kernel.loops.len() <= 64, "a kernel has at most 64 loops");
        let rows = (0..kernel.rows).fold(0u64, |m, d| m | 1 << d);
        let moving =
            |coefs: &[isize]| coefs.iter().enumerate().filter(|(_, c)| **c != 0).fold(0u64, |m, (d, _)| m | 1 << d);
        let mut all = Dependencies { loops: Vec::new(), on_fold: Vec::new() };
        for value in &kernel.values {
            let own = match &value.inst {
                Inst::Const(_) | Inst::Map(..) | Inst::Cast(_) => 0,
                // Each row has scratch memory of its own.
                Inst::Load { slot, index, .. } if kernel.slots[slot.index()].access == Access::Scratch => {
                    rows | moving(&index.affine.coefs)
                }
                Inst::Load { index, .. } => moving(&index.affine.coefs),
                Inst::Counter(affine) => moving(&affine.coefs),
                Inst::Fold { .. } => rows,
            };
            let operands = Kernel::operands(&value.inst);
            all.loops.push(operands.iter().fold(own, |m, o| m | all.loops[o.index()]));
            let folded = matches!(value.inst, Inst::Fold { .. }) || operands.iter().any(|o| all.on_fold[o.index()]);
            all.on_fold.push(folded);
        }
        all
    }

    /// True if a value varies along a loop.
    pub(super) fn varies(&self, value: ValueId, dim: usize) -> bool {
        self.loops[value.index()] >> dim & 1 != 0
    }

    /// How many loops must be open for a value to be known.
    pub(super) fn depth(&self, value: ValueId) -> usize {
        (64 - self.loops[value.index()].leading_zeros()) as usize
    }

    /// True if a value depends on the result of a fold.
    pub(super) fn on_fold(&self, value: ValueId) -> bool {
        self.on_fold[value.index()]
    }
}

/// Emits row loop `d` and what is inside; `range` bounds the outermost loop.
fn rows(e: &mut Emitter<'_, '_, '_>, d: usize, range: (Clif, Clif)) {
    e.hoisted_rows(d);
    if d == e.kernel.rows {
        return row(e);
    }
    let extent = e.kernel.loops[d];
    let vector = e.vector.filter(|v| v.dim == d);
    if d == 0 {
        return part_of_loop(e, d, range, extent, vector, &mut |e| rows(e, d + 1, range));
    }
    let (start, end) = (e.int(0), e.int(extent as i64));
    range_segments(e, d, (start, end), extent, vector, &mut |e| rows(e, d + 1, range));
}

/// Runs `body` for the counters `start..end` of loop `d`, as the module's documentation says.
fn part_of_loop(
    e: &mut Emitter<'_, '_, '_>,
    d: usize,
    (start, end): (Clif, Clif),
    extent: usize,
    vector: Option<Vector>,
    body: &mut dyn FnMut(&mut Emitter<'_, '_, '_>),
) {
    let outer = e.width;
    let mut from = start;
    let mut done = 0;
    for width in widths(vector, outer) {
        let step = if vector.is_some() { width.count() } else { 1 };
        let turns = (extent - done) / step;
        if turns == 0 {
            continue;
        }
        done += turns * step;
        let to = if done == extent { end } else { e.b.ins().band_imm_s(end, -(step as i64)) };
        let mark = e.enter(width);
        counting(
            e,
            |e| &mut e.b,
            (from, to, step as i64),
            false,
            |e, counter| {
                e.counters[d] = counter;
                body(e);
            },
        );
        e.leave(mark, outer);
        from = to;
    }
}

/// The widths by which a loop is run, widest first.
fn widths(vector: Option<Vector>, outer: Width) -> smallvec::SmallVec<[Width; 3]> {
    let Some(Vector { parts, lanes, .. }) = vector else { return smallvec::smallvec![outer] };
    let mut widths = smallvec::smallvec![Width { parts, lanes }];
    if parts > 1 {
        widths.push(Width { parts: 1, lanes });
    }
    widths.push(Width::SCALAR);
    widths
}

/// Emits the phases of a row.
fn row(e: &mut Emitter<'_, '_, '_>) {
    let kernel = e.kernel;
    for p in 0..kernel.phases.len() {
        e.row_values(p);
        for store in &kernel.phases[p].row_stores {
            e.store(store);
        }
        if !kernel.phases[p].folds.is_empty() || !kernel.phases[p].stores.is_empty() {
            let blocked = needs_blocks(kernel, p, e);
            e.begin_folds(p, blocked);
            inner(e, p, kernel.rows, blocked);
            e.end_folds(p);
        }
    }
}

/// True if a float sum of the phase has more terms than should be added up in a row.
fn needs_blocks(kernel: &Kernel, phase: usize, e: &Emitter<'_, '_, '_>) -> bool {
    let sums = kernel.phases[phase].folds.iter().any(|f| {
        let dtype = kernel.value(f.value).dtype;
        dtype.is_float() && matches!(f.kind, FoldKind::Combine(crate::scalar::ScalarFn::Add, _))
    });
    let by_lanes = e.vector.filter(|v| v.dim >= kernel.rows).map_or(1, |v| (v.lanes * v.parts) as usize);
    sums && kernel.inner_count() / by_lanes > 2 * BLOCK
}

/// Emits inner loop `d` of a phase and what is inside.
fn inner(e: &mut Emitter<'_, '_, '_>, p: usize, d: usize, blocked: bool) {
    let kernel = e.kernel;
    e.inner_values(p, d);
    if d == kernel.loops.len() {
        for store in &kernel.phases[p].stores {
            e.store(store);
        }
        return e.fold(p);
    }
    let extent = kernel.loops[d];
    let vector = e.vector.filter(|v| v.dim == d);
    let innermost = d + 1 == kernel.loops.len();
    let step = vector.map_or(1, |v| (v.lanes * v.parts) as usize);
    if blocked && innermost && extent / step > 2 * BLOCK {
        // Blocks of equal length, then what is left.
        let block = BLOCK * step;
        let (zero, whole) = (e.int(0), e.int((extent / block * block) as i64));
        counting(
            e,
            |e| &mut e.b,
            (zero, whole, block as i64),
            true,
            |e, from| {
                let to = e.b.ins().iadd_imm_s(from, block as i64);
                let mark = e.enter(e.width);
                range_segments(e, d, (from, to), block, vector, &mut |e| inner(e, p, d + 1, blocked));
                e.flush(p);
                let width = e.width;
                e.leave(mark, width);
            },
        );
        if !extent.is_multiple_of(block) {
            let end = e.int(extent as i64);
            range_segments(e, d, (whole, end), extent % block, vector, &mut |e| inner(e, p, d + 1, blocked));
            e.flush(p);
        }
        return;
    }
    let (start, end) = (e.int(0), e.int(extent as i64));
    range_segments(e, d, (start, end), extent, vector, &mut |e| inner(e, p, d + 1, blocked));
    if blocked && innermost {
        e.flush(p);
    }
}

/// Runs `body` for the counters `start..end` of loop `d`, of which there are `len`.
fn range_segments(
    e: &mut Emitter<'_, '_, '_>,
    d: usize,
    (start, end): (Clif, Clif),
    len: usize,
    vector: Option<Vector>,
    body: &mut dyn FnMut(&mut Emitter<'_, '_, '_>),
) {
    let outer = e.width;
    let mut from = start;
    let mut left = len;
    for width in widths(vector, outer) {
        let step = if vector.is_some() { width.count() } else { 1 };
        let turns = left / step;
        if turns == 0 {
            continue;
        }
        left -= turns * step;
        let to = if left == 0 { end } else { e.b.ins().iadd_imm_s(from, (turns * step) as i64) };
        let mark = e.enter(width);
        if turns == 1 {
            e.counters[d] = from;
            body(e);
        } else {
            counting(
                e,
                |e| &mut e.b,
                (from, to, step as i64),
                true,
                |e, counter| {
                    e.counters[d] = counter;
                    body(e);
                },
            );
        }
        e.leave(mark, outer);
        from = to;
    }
}
