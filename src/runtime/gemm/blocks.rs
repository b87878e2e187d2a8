//! The loops around the tile.
//!
//! ```text
//!   for the columns, NC at a time
//!     for the contraction, at most KC at a time               sums of one block are exact to a few roundings; blocks add up in c
//!       for the rows, MC at a time                            a: packed, or read where it lies
//!         for the columns, a tile's at a time                 b: packed when the first rows need it, or read where it lies
//!           for the rows, a tile's at a time: the tile
//! ```
//!
//! A packed block of `b` is as large as half of a second-level cache, one of `a` a quarter; a panel of `b` stays in the first-level cache while the rows go by.
//! If there is one block of rows, a few panels of `b` are kept instead.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::isa::{Hosted, Isa};
use super::pack::{Panel, TOGETHER};
use super::panel::{self, Block, Left, Panels, Target};
use super::path::NEAR;
use super::shape::{Axis, Offsets, Side, extent};
use super::tile::Scatter;
use super::vector::{Dots, Rows};
use super::{KC, MAX_COLUMNS, MAX_ROWS, MC, NC, Path, ROW_COLUMNS, free};

/// One of the products of a batch: its axes and where its matrices begin.
#[derive(Clone, Copy)]
pub(super) struct Problem<'a, T> {
    pub(super) rows: &'a [Axis],
    pub(super) columns: &'a [Axis],
    pub(super) contracted: &'a [Axis],
    pub(super) path: Path,
    pub(super) a: *const T,
    pub(super) b: *const T,
    pub(super) c: *mut T,
    pub(super) alpha: T,
    pub(super) accumulate: bool,
    /// Memory for packed panels: see [`super::workspace_len`].
    pub(super) workspace: *mut T,
}

/// Memory for offsets that is not cleared.
pub(super) struct Scratch<T, const N: usize>([MaybeUninit<T>; N]);

impl<T: Copy, const N: usize> Scratch<T, N> {
    pub(super) fn new() -> Self {
        Scratch([const { MaybeUninit::uninit() }; N])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }
}

impl<const N: usize> Scratch<isize, N> {
    /// The offsets of `count` indices from `start` on.
    pub(super) fn fill(&mut self, of: &Offsets<'_>, start: usize, count: usize) -> &[isize] {
        of.fill(start, &mut self.0[..count])
    }
}

/// Lengths of the blocks of a contraction: as few as keep to [`KC`], and about equally long. A function of `k` alone, so every split of the result adds
/// in the same order.
pub(super) fn block_len(k: usize) -> usize {
    k.div_ceil(k.div_ceil(KC).max(1)).next_multiple_of(8).max(1)
}

/// Computes some rows and columns of a product.
///
/// # Safety
/// For all indices of the families, the elements of `a` and `b` can be read and those of `c`, which are distinct, lie nowhere in `a` and `b`, and are
/// touched by nobody else if they are of these rows and columns, can be read and written; all memory of `b` between two elements can be read; `workspace` has the length that [`super::workspace_len`] tells for
/// the axes and is nobody else's; the processor has the instructions of `isa`.
pub(super) unsafe fn compute<T: Hosted>(isa: &Isa<T>, p: &Problem<'_, T>, rows: Range<usize>, columns: Range<usize>) {
    if rows.is_empty() || columns.is_empty() {
        return;
    }
    // SAFETY (all calls): the caller's promise.
    match p.path {
        Path::Tiles { pack_a, pack_b } => unsafe { tiles(isa, p, rows, columns, pack_a, pack_b) },
        Path::Given { pack_a } => unsafe { tiles(isa, p, rows, columns, pack_a, false) },
        Path::Free { pack_b } => unsafe { free::compute(isa, p, rows, columns, pack_b) },
        Path::Rows => unsafe { single_row(isa, p, columns, false) },
        Path::Dots => unsafe { single_row(isa, p, columns, true) },
    }
}

/// Blocks of a contraction: start and length. One empty block if there is nothing to sum, which sets `c` to 0.
pub(super) fn blocks(k: usize) -> impl Iterator<Item = (usize, usize)> {
    let block = block_len(k);
    (0..k.max(1)).step_by(block).map(move |start| (start, block.min(k - start)))
}

/// Rows of the tiles of so many rows: as few tiles as can be, of about equal height.
pub(super) fn tile_height(rows: usize, most: usize) -> usize {
    rows.div_ceil(rows.div_ceil(most))
}

/// Rows as tiles: counts of tiles, and the rows of each. As few tiles as can be, whose heights differ by at most one.
fn by_height(rows: usize, most: usize) -> [(usize, usize); 2] {
    let (count, high) = (rows.div_ceil(most), tile_height(rows, most));
    let lower = high * count - rows;
    [(count - lower, high), (lower, high - 1)]
}

/// # Safety
/// That of [`compute`].
unsafe fn tiles<T: Hosted>(
    isa: &Isa<T>,
    p: &Problem<'_, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    pack_a: bool,
    pack_b: bool,
) {
    let k = extent(p.contracted);
    let (a_rows, c_rows) = (Offsets::new(p.rows, Side::A), Offsets::new(p.rows, Side::C));
    let (b_columns, c_columns) = (Offsets::new(p.columns, Side::B), Offsets::new(p.columns, Side::C));
    let (a_steps, b_steps) = (Offsets::new(p.contracted, Side::A), Offsets::new(p.contracted, Side::B));
    let wide = isa.tile_columns();
    let block_height = tile_height(rows.len(), MC).next_multiple_of(isa.tile_rows());
    let packed_a = p.workspace;
    let given = matches!(p.path, Path::Given { .. }).then_some(k);
    let panels = Panels {
        isa,
        b: p.b,
        columns: b_columns,
        steps: b_steps,
        given,
        stay: pack_b,
        packed: if pack_a { p.workspace.wrapping_add(MC * block_len(k)) } else { p.workspace },
        // All columns of a block if more rows come, else they make room for the next.
        kept: if rows.len() <= block_height { TOGETHER * wide } else { NC },
        by_tiles: given.is_some() || (b_columns.is_run() && b_steps.line.single),
    };
    let far = k * extent(p.columns) > NEAR;
    let mut row_memory = Scratch::<isize, MC>::new();
    let (mut a_memory, mut a_runs) = (Scratch::<isize, KC>::new(), Scratch::<u16, KC>::new());
    let (mut b_memory, mut b_runs) = (Scratch::<isize, KC>::new(), Scratch::<u16, KC>::new());

    for first_column in columns.clone().step_by(NC) {
        let block_columns = NC.min(columns.end - first_column);
        // Columns whose panels are packed together, which pays where they come from afar.
        let joint = match pack_b && b_columns.is_run() && far {
            true => block_columns / (TOGETHER * wide) * TOGETHER * wide,
            false => 0,
        };
        for (start, steps) in blocks(k) {
            let add = p.accumulate || start > 0;
            let b_table =
                (joint > 0 || !panels.by_tiles).then(|| step_table(&b_steps, start, steps, &mut b_memory, &mut b_runs));
            let a_table = pack_a.then(|| step_table(&a_steps, start, steps, &mut a_memory, &mut a_runs));
            let block = Block { start, steps, first_column, joint, table: b_table };
            for first_row in rows.clone().step_by(block_height) {
                let block_rows = block_height.min(rows.end - first_row);
                let heights = by_height(block_rows, isa.tile_rows());
                if let Some(table) = a_table {
                    each_tile(heights, |row, high| {
                        let mut lanes = Scratch::<isize, MAX_ROWS>::new();
                        let lanes = lanes.fill(&a_rows, first_row + row, high);
                        let to = packed_a.wrapping_add(row * steps);
                        // SAFETY: `a` can be read at rows and steps in range. The workspace begins with room for the MC rows of a block, of which the tile's are
                        // `high` from `row` on.
                        unsafe { pack_panel(isa, p.a, lanes, table, to, high) };
                    });
                }
                let left = match pack_a {
                    true => Left { a: packed_a, row: 1, step: None, tile: steps as isize },
                    false => {
                        let a = p.a.wrapping_offset(a_rows.at(first_row) + a_steps.at(start));
                        let [row, step] = [a_rows.line.stride, a_steps.line.stride];
                        Left { a, row, step: Some(step), tile: row }
                    }
                };
                let c_offsets = row_memory.fill(&c_rows, first_row, block_rows);
                for column in (0..block_columns).step_by(wide) {
                    let (count, at) = (wide.min(block_columns - column), first_column + column);
                    // SAFETY: columns and steps are in range, and the workspace has room for the columns that are kept, or for one panel, in whole vectors.
                    let right = unsafe { panels.of(&block, column, count, first_row == rows.start) };
                    let mut memory = Scratch::<isize, MAX_COLUMNS>::new();
                    let run = c_columns.is_run();
                    let target = Target {
                        c: if run { p.c.wrapping_add(at) } else { p.c },
                        rows: c_offsets,
                        columns: if run { None } else { Some(memory.fill(&c_columns, at, count)) },
                        count,
                        alpha: p.alpha,
                        add,
                    };
                    // SAFETY: `left` and `right` have the rows and columns of the target, which are in range, and the steps of the block: packed, or where they lie.
                    unsafe { panel::compute(isa, steps, &left, right, &target, heights) };
                }
            }
        }
    }
}

/// Calls `f` with the first row and the rows of each tile.
fn each_tile(heights: [(usize, usize); 2], mut f: impl FnMut(usize, usize)) {
    let mut row = 0;
    for (count, high) in heights {
        for _ in 0..count {
            f(row, high);
            row += high;
        }
    }
}

/// Offsets of the steps of a block, and how many next ones follow each at distance 1.
pub(super) fn step_table<'m>(
    of: &Offsets<'_>,
    start: usize,
    count: usize,
    offsets: &'m mut Scratch<isize, KC>,
    runs: &'m mut Scratch<u16, KC>,
) -> (&'m [isize], &'m [u16]) {
    let offsets = offsets.fill(of, start, count);
    (offsets, runs_of(offsets, runs))
}

/// For the offsets of steps, how many next ones follow each at distance 1.
pub(super) fn runs_of<'m>(offsets: &[isize], runs: &'m mut Scratch<u16, KC>) -> &'m [u16] {
    let runs = &mut runs.0[..offsets.len()];
    let mut run = 0;
    for i in (0..offsets.len()).rev() {
        run = if i + 1 < offsets.len() && offsets[i + 1] == offsets[i] + 1 { run + 1 } else { 0 };
        runs[i].write(run);
    }
    // SAFETY: each has been written.
    unsafe { runs.assume_init_ref() }
}

/// Packs a panel.
///
/// # Safety
/// For every lane and step, `from[lane + step]` can be read; `steps.len() * width` elements from `to` on can be written and are nobody else's.
#[inline]
pub(super) unsafe fn pack_panel<T>(
    isa: &Isa<T>,
    from: *const T,
    lanes: &[isize],
    (steps, runs): (&[isize], &[u16]),
    to: *mut T,
    width: usize,
) {
    // SAFETY: the caller's promise; an `Isa` is of instructions that the processor has.
    unsafe { (isa.pack)(&Panel { from, lanes, steps, runs, to, width }) }
}

/// A product whose only row is a run or a strided vector. `dots` says that the steps of `b` are a run, else its columns are.
///
/// # Safety
/// That of [`compute`].
unsafe fn single_row<T: Hosted>(isa: &Isa<T>, p: &Problem<'_, T>, columns: Range<usize>, dots: bool) {
    let k = extent(p.contracted);
    let c_columns = Offsets::new(p.columns, Side::C);
    let b_columns = Offsets::new(p.columns, Side::B);
    let (a_steps, b_steps) = (Offsets::new(p.contracted, Side::A), Offsets::new(p.contracted, Side::B));
    // Room for the columns of a block; for dots, for ROW_COLUMNS and for a block of `a` behind them.
    let sums = p.workspace;
    for first in columns.clone().step_by(ROW_COLUMNS) {
        let n = ROW_COLUMNS.min(columns.end - first);
        for (start, steps) in blocks(k) {
            let add = p.accumulate || start > 0;
            let b = p.b.wrapping_offset(b_columns.at(first) + b_steps.at(start));
            if dots {
                let x = if a_steps.is_run() {
                    p.a.wrapping_offset(a_steps.at(start))
                } else {
                    let copy = sums.wrapping_add(ROW_COLUMNS);
                    for i in 0..steps {
                        // SAFETY: steps of `a` are in range, and `copy` has room for a block of them.
                        unsafe { *copy.add(i) = *p.a.offset(a_steps.at(start + i)) };
                    }
                    copy.cast_const()
                };
                // SAFETY: `x` has the steps, `b` the steps and columns, and `sums` room for the columns.
                unsafe { (isa.dots)(&Dots { k: steps, n, x, rows: b, step: b_columns.line.stride, sums }) };
            } else {
                for j in 0..n {
                    // SAFETY: there is room for the columns.
                    unsafe { sums.add(j).write(T::ZERO) };
                }
                // SAFETY: these have been written, and are nobody else's.
                let sums = unsafe { std::slice::from_raw_parts_mut(sums, n) };
                let (x, x_step) = (p.a.wrapping_offset(a_steps.at(start)), a_steps.line.stride);
                // SAFETY: `x` has the steps, and `b` the steps and columns.
                unsafe { (isa.rows)(&Rows { k: steps, x, x_step, rows: b, step: b_steps.line.stride, sums }) };
            }
            let mut memory = Scratch::<isize, ROW_COLUMNS>::new();
            let c_columns = memory.fill(&c_columns, first, n);
            let scatter = Scatter { sums, width: n, c: p.c, c_rows: &[0], c_columns, alpha: p.alpha, add };
            // SAFETY: the sums of all columns have been written, and `c` can be at these columns.
            unsafe { (isa.scatter)(&scatter) };
        }
    }
}
