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

use super::isa::{Hosted, Isa, VECTORS};
use super::pack::{Panel, TOGETHER};
use super::shape::{Axis, Offsets, Side, extent};
use super::simd::Element;
use super::tile::{Scatter, Tiles};
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

/// Rows as tiles: counts of tiles, and the rows of each. As few tiles as can be, whose heights differ by at most one.
fn by_height(rows: usize, most: usize) -> [(usize, usize); 2] {
    let (count, high) = (rows.div_ceil(most), tile_height(rows, most));
    let lower = high * count - rows;
    [(count - lower, high), (lower, high - 1)]
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
    let wide = isa.tile_columns();
    let block_height = tile_height(rows.len(), MC).next_multiple_of(isa.tile_rows());
    // Columns that stay packed: all of a block if more rows come, else they make room for the next.
    let kept = if rows.len() <= block_height { TOGETHER * wide } else { NC };
    let packed_a = p.workspace;
    let packed_b = if pack_a { p.workspace.wrapping_add(MC * block_len(k)) } else { p.workspace };
    // The first tiles pack what they read, if they can read it where it lies.
    let packs_itself = b_columns.is_run() && b_steps.line.single;
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
            // SAFETY: packed blocks have room for MC rows and the kept columns, in whole vectors, of a block's steps; offsets are those of indices in range.
            unsafe {
                let b_table = (joint > 0 || !packs_itself)
                    .then(|| step_table(&b_steps, start, steps, &mut b_memory, &mut b_runs));
                let a_table = pack_a.then(|| step_table(&a_steps, start, steps, &mut a_memory, &mut a_runs));
                for first_row in rows.clone().step_by(block_height) {
                    let block_rows = block_height.min(rows.end - first_row);
                    let heights = by_height(block_rows, isa.tile_rows());
                    if let Some(table) = a_table {
                        each_tile(heights, |row, high| {
                            let mut lanes = Scratch::<isize, MAX_ROWS>::new();
                            let lanes = lanes.fill(&a_rows, first_row + row, high);
                            pack_panel(isa, p.a, lanes, table, packed_a.add(row * steps), high);
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
                        let count = wide.min(block_columns - column);
                        let at = first_column + column;
                        let mut right = Right {
                            b: p.b.wrapping_offset(b_columns.at(at) + b_steps.at(start)),
                            step: b_steps.line.stride,
                            packed: if pack_b { packed_b.add(column % kept * steps) } else { packed_b },
                            pack: false,
                        };
                        if pack_b || !(count.is_multiple_of(isa.lanes) || isa.free_masks) {
                            let width = count.next_multiple_of(isa.lanes);
                            let fresh = !pack_b || first_row == rows.start;
                            match b_table {
                                Some((steps, runs)) if fresh && column < joint => {
                                    if column.is_multiple_of(TOGETHER * wide) {
                                        let (from, to) = (p.b.wrapping_offset(b_columns.at(at)), right.packed);
                                        (isa.pack_together)(&Panel { from, lanes: &[], steps, runs, to, width });
                                    }
                                }
                                Some(table) if fresh && !packs_itself => {
                                    let mut lanes = Scratch::<isize, MAX_COLUMNS>::new();
                                    let lanes = lanes.fill(&b_columns, at, count);
                                    pack_panel(isa, p.b, lanes, table, right.packed, width);
                                }
                                _ => right.pack = fresh,
                            }
                            if !right.pack {
                                (right.b, right.step) = (right.packed.cast_const(), width as isize);
                            }
                        }
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
                        panel(isa, steps, &left, right, &target, heights);
                    }
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

/// The left factor's part of a block.
struct Left<T> {
    a: *const T,
    /// Distance of rows.
    row: isize,
    /// That of steps. In packed panels it is the rows of a tile.
    step: Option<isize>,
    /// Distance of a tile's first row from that of a tile of one row less, for each row of the tile before.
    tile: isize,
}

/// The right factor's part of a block, of one panel of columns.
#[derive(Clone, Copy)]
struct Right<T> {
    b: *const T,
    /// Distance of steps.
    step: isize,
    packed: *mut T,
    /// Whether the first tile copies it to `packed`, from where the others read.
    pack: bool,
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

/// Computes the tiles of a panel of columns.
unsafe fn panel<T: Element>(
    isa: &Isa<T>,
    k: usize,
    left: &Left<T>,
    mut right: Right<T>,
    to: &Target<'_, T>,
    heights: [(usize, usize); 2],
) {
    let vectors = to.count.div_ceil(isa.lanes);
    let mut row = 0;
    for (mut count, high) in heights {
        while count > 0 {
            // All tiles of this height, but the first alone if it packs, and each alone if its sums have to be put to their places.
            let tiles = if right.pack || to.columns.is_some() { 1 } else { count };
            let a = left.a.wrapping_offset(row as isize * left.tile);
            let functions = if right.pack { isa.packing } else { isa.tiles };
            let mut part = Tiles {
                k,
                a: std::array::from_fn(|i| a.wrapping_offset(3 * i as isize * left.row)),
                a_row: left.row,
                a_step: left.step.unwrap_or(high as isize),
                a_tile: high as isize * left.tile,
                b: right.b,
                b_step: right.step,
                packed: right.packed,
                c: to.c,
                c_rows: to.rows[row..].as_ptr(),
                tiles,
                columns: to.count,
                alpha: to.alpha,
                add: to.add,
            };
            let function = functions[isa.tile_rows() - high][vectors - 1];
            // SAFETY: `compute`'s; rows and columns are inside the block. The memory for sums holds the largest tile.
            unsafe {
                match to.columns {
                    None => function(&part),
                    Some(c_columns) => {
                        let mut sums = Scratch::<T, { MAX_ROWS * MAX_COLUMNS }>::new();
                        let width = VECTORS * isa.lanes;
                        let lines: [isize; MAX_ROWS] = std::array::from_fn(|i| (i * width) as isize);
                        let sums = sums.as_mut_ptr();
                        (part.c, part.c_rows) = (sums, lines.as_ptr());
                        (part.alpha, part.add) = (T::from_f64(1.0), false);
                        function(&part);
                        let &Target { c, alpha, add, rows, .. } = to;
                        let c_rows = &rows[row..row + high];
                        (isa.scatter)(&Scatter { sums, width, c, c_rows, c_columns, alpha, add });
                    }
                }
            }
            if right.pack {
                right =
                    Right { b: right.packed.cast_const(), step: (vectors * isa.lanes) as isize, pack: false, ..right };
            }
            (row, count) = (row + tiles * high, count - tiles);
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
    for first in columns.clone().step_by(ROW_COLUMNS) {
        let n = ROW_COLUMNS.min(columns.end - first);
        for (start, steps) in blocks(k) {
            let add = p.accumulate || start > 0;
            // SAFETY: the workspace has room for ROW_COLUMNS sums and, for dots, a block of `a` behind them; everything else is `compute`'s promise.
            unsafe {
                let b = p.b.wrapping_offset(b_columns.at(first) + b_steps.at(start));
                if dots {
                    let x = if a_steps.is_run() {
                        p.a.wrapping_offset(a_steps.at(start))
                    } else {
                        let copy = sums.add(ROW_COLUMNS);
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
                let mut memory = Scratch::<isize, ROW_COLUMNS>::new();
                let c_columns = memory.fill(&c_columns, first, n);
                let scatter = Scatter { sums, width: n, c: p.c, c_rows: &[0], c_columns, alpha: p.alpha, add };
                (isa.scatter)(&scatter);
            }
        }
    }
}
