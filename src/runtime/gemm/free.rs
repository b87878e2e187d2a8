//! Products whose operands are read where they lie, windows above all: nothing is packed but a `b` that is small or whose neighbours are not columns.
//!
//! The rows and steps of `a` are lists of offsets. The columns of `b` and `c` are cut into *runs*, the elements of the last axis, and these into vectors. Vectors
//! of one tile may belong to different runs, so short runs cost no more than the lanes that their last vectors leave empty.
//!
//! ```text
//!   for the columns, NC at a time
//!     for the contraction, at most KC at a time
//!       for the rows, MC at a time
//!         for the vectors of columns, a tile's at a time
//!           for the rows, a tile's at a time: the tile
//! ```

use std::ops::Range;

use super::blocks::{Problem, Scratch, blocks, pack_panel, runs_of, tile_height};
use super::isa::{FreeRow, Hosted, Isa, VECTORS};
use super::path::MIN_RUN;
use super::shape::{Axis, Offsets, Side, extent};
use super::simd::Element;
use super::tile::{FreeTile, Scatter};
use super::{KC, MAX_COLUMNS, MC, NC};

/// Most runs in a block of columns.
const RUNS: usize = NC / MIN_RUN + 2;
/// Most vectors of a tile.
const MOST: usize = 8;
/// Most rows of a tile, if it has several vectors, and if it has one. With more, addresses and sums do not fit into the registers of every instruction set.
const ROWS: usize = 5;
const ROWS_OF_ONE: usize = 8;

/// Computes some rows and columns of a product.
///
/// # Safety
/// That of [`super::blocks::compute`]. Besides, all memory of `b` between two of its elements can be read.
pub(super) unsafe fn compute<T: Hosted>(
    isa: &Isa<T>,
    p: &Problem<'_, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    pack_b: bool,
) {
    let run = p.columns.last().map_or(0, |x| x.extent);
    let narrower = if pack_b { None } else { isa.narrower_for(run) };
    let (isa, halves) = narrower.map_or((isa, None), |n| (n.isa, Some(n.halves)));
    let k = extent(p.contracted);
    let (a_rows, c_rows) = (Offsets::new(p.rows, Side::A), Offsets::new(p.rows, Side::C));
    let (a_steps, b_steps) = (Offsets::new(p.contracted, Side::A), Offsets::new(p.contracted, Side::B));
    let (mut a_memory, mut c_memory) = (Scratch::<isize, MC>::new(), Scratch::<isize, MC>::new());
    let (mut a_step_memory, mut b_step_memory) = (Scratch::<isize, KC>::new(), Scratch::<isize, KC>::new());
    let mut packed_memory = Scratch::<isize, KC>::new();

    for first_column in columns.clone().step_by(NC) {
        let columns = first_column..columns.end.min(first_column + NC);
        for (start, steps) in blocks(k) {
            let a_table = a_step_memory.fill(&a_steps, start, steps);
            let b_table = b_step_memory.fill(&b_steps, start, steps);
            let wide = if pack_b { panel_width(isa, columns.len()) } else { isa.lanes };
            let of_panel = [Axis { extent: steps, a: 0, b: wide as isize, c: 0 }];
            let packed_table = packed_memory.fill(&Offsets::new(&of_panel, Side::B), 0, steps);
            for first_row in rows.clone().step_by(MC) {
                let count = MC.min(rows.end - first_row);
                let block = Block {
                    isa,
                    halves,
                    k: steps,
                    a: p.a,
                    a_rows: a_memory.fill(&a_rows, first_row, count),
                    a_steps: a_table,
                    c: p.c,
                    c_rows: c_memory.fill(&c_rows, first_row, count),
                    alpha: p.alpha,
                    add: p.accumulate || start > 0,
                    high: tile_height(count, if columns.len() > isa.lanes { ROWS } else { ROWS_OF_ONE }),
                };
                let b = Right { of: p, columns: columns.clone(), steps: b_table, packed: packed_table };
                // SAFETY: the caller's promise. The workspace has room for all panels of a block of columns, or for a vector.
                unsafe { if pack_b { packed(&block, &b, first_row == rows.start) } else { in_runs(&block, &b) } }
            }
        }
    }
}

/// Columns of a packed panel, if there are so many in all.
fn panel_width<T>(isa: &Isa<T>, columns: usize) -> usize {
    if columns > isa.lanes { VECTORS * isa.lanes } else { isa.lanes }
}

/// A block of rows and steps.
struct Block<'a, T: 'static> {
    isa: &'a Isa<T>,
    /// Tiles whose vectors are two of the instruction set's, where there are such.
    halves: Option<&'static [FreeRow<T>]>,
    k: usize,
    a: *const T,
    a_rows: &'a [isize],
    a_steps: &'a [isize],
    c: *mut T,
    c_rows: &'a [isize],
    alpha: T,
    add: bool,
    /// Rows of a tile.
    high: usize,
}

/// The columns and steps of the right factor.
struct Right<'a, T> {
    of: &'a Problem<'a, T>,
    columns: Range<usize>,
    steps: &'a [isize],
    /// Offsets of the steps in a packed panel.
    packed: &'a [isize],
}

/// Vectors of columns: where they begin in `b` and in `c`, and their lanes.
struct Vectors {
    count: usize,
    b: [isize; MOST],
    c: [isize; MOST],
    lanes: [usize; MOST],
}

impl Vectors {
    fn new() -> Vectors {
        Vectors { count: 0, b: [0; MOST], c: [0; MOST], lanes: [0; MOST] }
    }

    fn push(&mut self, b: isize, c: isize, lanes: usize) {
        (self.b[self.count], self.c[self.count], self.lanes[self.count]) = (b, c, lanes);
        self.count += 1;
    }
}

/// Columns in runs, each vector read where it lies.
unsafe fn in_runs<T: Hosted>(block: &Block<'_, T>, right: &Right<'_, T>) {
    let Right { of, ref columns, steps, packed } = *right;
    let Some((&Axis { extent: run, .. }, outer)) = of.columns.split_last() else { return };
    let lanes = block.isa.lanes;
    let (first, count) = (columns.start / run, columns.end.div_ceil(run) - columns.start / run);
    let (mut b_memory, mut c_memory) = (Scratch::<isize, RUNS>::new(), Scratch::<isize, RUNS>::new());
    let b_runs = b_memory.fill(&Offsets::new(outer, Side::B), first, count);
    let c_runs = c_memory.fill(&Offsets::new(outer, Side::C), first, count);
    // From the first to the last column in memory: what is between can be read.
    let last: isize = of.columns.iter().map(|x| ((x.extent as isize - 1) * x.b).max(0)).sum();
    let most = match block.halves {
        Some(halves) => 2 * halves[block.high - 1][0].0,
        None => block.isa.free[block.high - 1][0].0,
    };
    let mut vectors = Vectors::new();
    for (i, (&b, &c)) in b_runs.iter().zip(c_runs).enumerate() {
        let begin = (first + i) * run;
        let (from, to) = (columns.start.max(begin) - begin, columns.end.min(begin + run) - begin);
        for at in (from..to).step_by(lanes) {
            let (b, c, used) = (b + at as isize, c + at as isize, lanes.min(to - at));
            // SAFETY (all calls): the caller's promise; all lanes of a vector of `b` can be read, as it ends before the last column or has been packed.
            unsafe {
                if b + lanes as isize - 1 > last {
                    let mut offsets = Scratch::<isize, MAX_COLUMNS>::new();
                    let columns = [Axis { extent: used, a: 0, b: 1, c: 0 }];
                    let offsets = offsets.fill(&Offsets::new(&columns, Side::B), 0, used);
                    let (from, mut runs) = (of.b.wrapping_offset(b), Scratch::<u16, KC>::new());
                    let runs = runs_of(steps, &mut runs);
                    pack_panel(block.isa, from, offsets, (steps, runs), of.workspace, lanes);
                    let mut alone = Vectors::new();
                    alone.push(0, c, used);
                    tiles(block, of.workspace, packed, &alone);
                    continue;
                }
                vectors.push(b, c, used);
                if vectors.count == most {
                    tiles(block, of.b, steps, &vectors);
                    vectors.count = 0;
                }
            }
        }
    }
    // SAFETY: as above.
    unsafe { tiles(block, of.b, steps, &vectors) };
}

/// Columns in packed panels, which are packed now if `fresh`.
unsafe fn packed<T: Hosted>(block: &Block<'_, T>, right: &Right<'_, T>, fresh: bool) {
    let Right { of, ref columns, steps, packed } = *right;
    let mut runs = Scratch::<u16, KC>::new();
    let runs = if fresh { runs_of(steps, &mut runs) } else { &[] };
    let (b_columns, c_columns) = (Offsets::new(of.columns, Side::B), Offsets::new(of.columns, Side::C));
    let (lanes, wide) = (block.isa.lanes, panel_width(block.isa, columns.len()));
    for first in columns.clone().step_by(wide) {
        let count = wide.min(columns.end - first);
        let panel = of.workspace.wrapping_add((first - columns.start) * block.k);
        let mut memory = Scratch::<isize, MAX_COLUMNS>::new();
        // SAFETY (all calls): the caller's promise; a panel has the lanes of whole vectors.
        unsafe {
            if fresh {
                pack_panel(block.isa, of.b, memory.fill(&b_columns, first, count), (steps, runs), panel, wide);
            }
            let mut vectors = Vectors::new();
            for at in (0..count).step_by(lanes) {
                vectors.push(at as isize, (first + at) as isize, lanes.min(count - at));
            }
            if c_columns.is_run() {
                tiles(block, panel, packed, &vectors);
            } else {
                scattered(block, panel, packed, &mut vectors, memory.fill(&c_columns, first, count));
            }
        }
    }
}

/// Computes the tiles of all rows and these vectors, and puts their elements at these columns.
unsafe fn scattered<T: Hosted>(
    block: &Block<'_, T>,
    b: *const T,
    b_steps: &[isize],
    vectors: &mut Vectors,
    c_columns: &[isize],
) {
    let mut sums = Scratch::<T, { ROWS_OF_ONE * MAX_COLUMNS }>::new();
    let (sums, width) = (sums.as_mut_ptr(), vectors.count * block.isa.lanes);
    let lines: [isize; ROWS_OF_ONE] = std::array::from_fn(|i| (i * width) as isize);
    for v in 0..vectors.count {
        (vectors.c[v], vectors.lanes[v]) = ((v * block.isa.lanes) as isize, block.isa.lanes);
    }
    for row in (0..block.a_rows.len()).step_by(block.high) {
        let rows = row..block.a_rows.len().min(row + block.high);
        let c_rows = &block.c_rows[rows.clone()];
        let part = Block {
            a_rows: &block.a_rows[rows],
            c: sums,
            c_rows: &lines[..c_rows.len()],
            alpha: T::from_f64(1.0),
            add: false,
            ..*block
        };
        // SAFETY: the caller's promise; the sums have room for the highest tile.
        unsafe {
            tiles(&part, b, b_steps, vectors);
            let Block { c, alpha, add, .. } = *block;
            (block.isa.scatter)(&Scatter { sums, width, c, c_rows, c_columns, alpha, add });
        }
    }
}

/// Computes the tiles of all rows and these vectors.
#[inline]
unsafe fn tiles<T: Element>(block: &Block<'_, T>, b: *const T, b_steps: &[isize], vectors: &Vectors) {
    let Block { isa, halves, k, a, a_rows, a_steps, c, c_rows, alpha, add, high } = *block;
    for row in (0..a_rows.len()).step_by(high) {
        let rows = high.min(a_rows.len() - row) - 1;
        let mut at = 0;
        while at < vectors.count {
            let left = vectors.count - at;
            let pairs = halves.and_then(|h| h[rows].iter().find(|f| 2 * f.0 <= left));
            let (width, function) = match pairs {
                Some(&(pairs, function)) => (2 * pairs, function),
                None => *isa.free[rows].iter().find(|f| f.0 <= left).expect("there are tiles of one vector"),
            };
            let tile = FreeTile {
                k,
                a,
                a_rows: a_rows[row..].as_ptr(),
                a_steps: a_steps.as_ptr(),
                b,
                b_vectors: vectors.b[at..].as_ptr(),
                b_steps: b_steps.as_ptr(),
                c,
                c_rows: c_rows[row..].as_ptr(),
                c_vectors: vectors.c[at..].as_ptr(),
                lanes: vectors.lanes[at..].as_ptr(),
                alpha,
                add,
            };
            // SAFETY: the caller's promise for all rows of the block and these vectors.
            unsafe { function(&tile) };
            at += width;
        }
    }
}
