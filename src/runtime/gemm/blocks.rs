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

use std::mem::MaybeUninit;
use std::ops::Range;

use super::isa::{Hosted, Isa, VECTORS};
use super::pack::{Panel, TOGETHER};
use super::shape::{Axis, Offsets, Side, extent};
use super::simd::Element;
use super::tile::{Scatter, Tile};
use super::vector::{Dots, Rows};
use super::{KC, MAX_COLUMNS, MAX_ROWS, MC, NC, Path, free};

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
        let to = &mut self.0[..count];
        // SAFETY: uninitialized memory is written before it is read: `fill` writes all of it and reads none.
        let to = unsafe { std::slice::from_raw_parts_mut(to.as_mut_ptr().cast::<isize>(), count) };
        of.fill(start, to);
        to
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
    let (high, wide) = (tile_height(rows.len(), isa.tile_rows()), isa.tile_columns());
    let block_height = MC / high * high;
    let packed_a = p.workspace;
    let packed_b = if pack_a { p.workspace.wrapping_add(MC * block_len(k)) } else { p.workspace };
    let mut row_memory = Scratch::<isize, MC>::new();
    let (mut a_memory, mut a_runs) = (Scratch::<isize, KC>::new(), Scratch::<u16, KC>::new());
    let (mut b_memory, mut b_runs) = (Scratch::<isize, KC>::new(), Scratch::<u16, KC>::new());

    for first_column in columns.clone().step_by(NC) {
        let block_columns = NC.min(columns.end - first_column);
        // Columns whose panels are packed together.
        let joint = match pack_b && b_columns.is_run() {
            true => block_columns / (TOGETHER * wide) * TOGETHER * wide,
            false => 0,
        };
        for (start, steps) in blocks(k) {
            let add = p.accumulate || start > 0;
            // SAFETY: packed blocks have room for MC rows and NC columns, in whole panels, of a block's steps; offsets are those of indices in range.
            unsafe {
                let b_table = step_table(&b_steps, start, steps, &mut b_memory, &mut b_runs);
                let a_table = pack_a.then(|| step_table(&a_steps, start, steps, &mut a_memory, &mut a_runs));
                for first_row in rows.clone().step_by(block_height) {
                    let block_rows = block_height.min(rows.end - first_row);
                    if let Some(table) = a_table {
                        for row in (0..block_rows).step_by(high) {
                            let mut lanes = Scratch::<isize, MAX_ROWS>::new();
                            let lanes = lanes.fill(&a_rows, first_row + row, high.min(block_rows - row));
                            pack_panel(isa, p.a, lanes, table, packed_a.add(row * steps), high);
                        }
                    }
                    let c_offsets = row_memory.fill(&c_rows, first_row, block_rows);
                    for column in (0..block_columns).step_by(wide) {
                        let count = wide.min(block_columns - column);
                        let at = first_column + column;
                        let whole = count.is_multiple_of(isa.lanes) || isa.free_masks;
                        let (b, b_step) = if pack_b || !whole {
                            let to = if pack_b { packed_b.add(column * steps) } else { packed_b };
                            let fresh = !pack_b || first_row == rows.start;
                            if fresh && column < joint {
                                if column.is_multiple_of(TOGETHER * wide) {
                                    let (from, (steps, runs)) = (p.b.wrapping_offset(b_columns.at(at)), b_table);
                                    (isa.pack_together)(&Panel { from, lanes: &[], steps, runs, to, width: wide });
                                }
                            } else if fresh {
                                let mut lanes = Scratch::<isize, MAX_COLUMNS>::new();
                                pack_panel(isa, p.b, lanes.fill(&b_columns, at, count), b_table, to, wide);
                            }
                            (to.cast_const(), wide as isize)
                        } else {
                            (p.b.wrapping_offset(b_columns.at(at) + b_steps.at(start)), b_steps.line.stride)
                        };
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
                        let mut row = 0;
                        while row < block_rows {
                            let tile_rows = high.min(block_rows - row);
                            let (a, a_row, a_step) = if pack_a {
                                (packed_a.add(row * steps).cast_const(), 1, high as isize)
                            } else {
                                let from = a_rows.at(first_row + row) + a_steps.at(start);
                                (p.a.wrapping_offset(from), a_rows.line.stride, a_steps.line.stride)
                            };
                            let source = Source { k: steps, a, a_row, a_step, b, b_step };
                            tile(isa, &source, &target, row, tile_rows);
                            row += tile_rows;
                        }
                    }
                }
            }
        }
    }
}

/// What a tile is computed of.
struct Source<T> {
    k: usize,
    a: *const T,
    a_row: isize,
    a_step: isize,
    b: *const T,
    b_step: isize,
}

/// Where the tiles of a panel of columns go.
struct Target<'a, T> {
    c: *mut T,
    rows: &'a [isize],
    /// Offsets of the columns, unless they are a run from `c` on.
    columns: Option<&'a [isize]>,
    count: usize,
    alpha: T,
    add: bool,
}

/// Computes one tile, from this row of the target on.
#[inline]
unsafe fn tile<T: Element>(isa: &Isa<T>, s: &Source<T>, to: &Target<'_, T>, row: usize, rows: usize) {
    let function = isa.tiles[isa.tile_rows() - rows][(to.count - 1) / isa.lanes];
    let &Source { k, a, a_row, a_step, b, b_step } = s;
    let a = std::array::from_fn(|i| a.wrapping_offset(3 * i as isize * a_row));
    let c_rows = &to.rows[row..row + rows];
    // SAFETY: `compute`'s; rows and columns are inside the block. The memory for sums holds the largest tile.
    unsafe {
        match to.columns {
            None => {
                let (c_rows, columns) = (c_rows.as_ptr(), to.count);
                function(&Tile {
                    k,
                    a,
                    a_row,
                    a_step,
                    b,
                    b_step,
                    c: to.c,
                    c_rows,
                    columns,
                    alpha: to.alpha,
                    add: to.add,
                });
            }
            Some(c_columns) => {
                let mut sums = Scratch::<T, { MAX_ROWS * MAX_COLUMNS }>::new();
                let width = VECTORS * isa.lanes;
                let lines: [isize; MAX_ROWS] = std::array::from_fn(|i| (i * width) as isize);
                let sums = sums.as_mut_ptr();
                let (columns, alpha) = (to.count, T::from_f64(1.0));
                let tile = Tile {
                    k,
                    a,
                    a_row,
                    a_step,
                    b,
                    b_step,
                    c: sums,
                    c_rows: lines.as_ptr(),
                    columns,
                    alpha,
                    add: false,
                };
                function(&tile);
                let Target { c, alpha, add, .. } = *to;
                (isa.scatter)(&Scatter { sums, width, c, c_rows, c_columns, alpha, add });
            }
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
    let mut run = 0;
    for i in (0..count).rev() {
        run = if i + 1 < count && offsets[i + 1] == offsets[i] + 1 { run + 1 } else { 0 };
        runs.0[i].write(run);
    }
    // SAFETY: the first `count` have been written.
    (offsets, unsafe { std::slice::from_raw_parts(runs.0.as_ptr().cast::<u16>(), count) })
}

#[inline]
pub(super) unsafe fn pack_panel<T>(
    isa: &Isa<T>,
    from: *const T,
    lanes: &[isize],
    (steps, runs): (&[isize], &[u16]),
    to: *mut T,
    width: usize,
) {
    // SAFETY: the caller's offsets are inside the matrix, and `to` has room for the panel.
    unsafe { (isa.pack)(&Panel { from, lanes, steps, runs, to, width }) }
}

/// A product whose only row is a run or a strided vector. `dots` says that the steps of `b` are a run, else its columns are.
unsafe fn single_row<T: Hosted>(isa: &Isa<T>, p: &Problem<'_, T>, columns: Range<usize>, dots: bool) {
    let k = extent(p.contracted);
    let c_columns = Offsets::new(p.columns, Side::C);
    let b_columns = Offsets::new(p.columns, Side::B);
    let (a_steps, b_steps) = (Offsets::new(p.contracted, Side::A), Offsets::new(p.contracted, Side::B));
    let sums = p.workspace;
    for first in columns.clone().step_by(NC) {
        let n = NC.min(columns.end - first);
        for (start, steps) in blocks(k) {
            let add = p.accumulate || start > 0;
            // SAFETY: the workspace has room for NC sums and, for dots, a block of `a` behind them; everything else is `compute`'s promise.
            unsafe {
                let b = p.b.wrapping_offset(b_columns.at(first) + b_steps.at(start));
                if dots {
                    let x = if a_steps.is_run() {
                        p.a.wrapping_offset(a_steps.at(start))
                    } else {
                        let copy = sums.add(NC);
                        (0..steps).for_each(|i| *copy.add(i) = *p.a.offset(a_steps.at(start + i)));
                        copy.cast_const()
                    };
                    (isa.dots)(&Dots { k: steps, n, x, rows: b, step: b_columns.line.stride, sums });
                } else {
                    (0..n).for_each(|j| *sums.add(j) = T::ZERO);
                    let sums = std::slice::from_raw_parts_mut(sums, n);
                    let (x, x_step) = (p.a.wrapping_offset(a_steps.at(start)), a_steps.line.stride);
                    (isa.rows)(&Rows { k: steps, x, x_step, rows: b, step: b_steps.line.stride, sums });
                }
                let mut memory = Scratch::<isize, NC>::new();
                let c_columns = memory.fill(&c_columns, first, n);
                let scatter = Scatter { sums, width: n, c: p.c, c_rows: &[0], c_columns, alpha: p.alpha, add };
                (isa.scatter)(&scatter);
            }
        }
    }
}
