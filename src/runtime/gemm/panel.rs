//! Panels of columns: how `b` gets to the tiles, and where their results go.

use super::blocks::{Scratch, blocks, pack_panel, step_table};
use super::isa::{Isa, VECTORS};
use super::pack::{Panel, TOGETHER};
use super::shape::{Axes, Offsets, Side, extent};
use super::simd::Element;
use super::tile::{Scatter, Tiles};
use super::{KC, MAX_COLUMNS, MAX_ROWS};

/// The panels of `b`: read where they lie, or packed before the first rows read them.
pub(super) struct Panels<'a, T: 'static> {
    pub(super) isa: &'a Isa<T>,
    pub(super) b: *const T,
    pub(super) columns: Offsets<'a>,
    pub(super) steps: Offsets<'a>,
    /// The steps of the whole contraction, if `b` is what [`pack_whole`] made. Columns are counted from a multiple of a panel's then.
    pub(super) given: Option<usize>,
    /// Whether they are packed and stay so while the rows go by. Else one is packed for the rows of a block, if the tiles cannot read it where it lies.
    pub(super) stay: bool,
    /// Memory for the columns that stay packed, or for one panel.
    pub(super) packed: *mut T,
    /// Columns that stay packed.
    pub(super) kept: usize,
    /// The first tiles pack what they read, if they can read it where it lies.
    pub(super) by_tiles: bool,
}

/// Steps and columns of `b`.
pub(super) struct Block<'a> {
    /// The first step, and how many there are.
    pub(super) start: usize,
    pub(super) steps: usize,
    pub(super) first_column: usize,
    /// The columns, from the first on, whose panels are packed together.
    pub(super) joint: usize,
    /// See [`super::blocks::step_table`]; there if panels are packed by anything but tiles.
    pub(super) table: Option<(&'a [isize], &'a [u16])>,
}

/// Packs all of `b`: panel after panel, each with all steps of the contraction, block after block.
///
/// # Safety
/// `b` can be read at all columns and steps of the axes. As many elements as whole panels of all columns have can be written from `to` on, and are nobody
/// else's; the processor has the instructions of `isa`.
pub(super) unsafe fn pack_whole<T: Element>(isa: &Isa<T>, axes: &Axes, b: *const T, to: *mut T) {
    let (n, k, wide) = (extent(&axes.columns), extent(&axes.contracted), isa.tile_columns());
    let (columns, of_steps) = (Offsets::new(&axes.columns, Side::B), Offsets::new(&axes.contracted, Side::B));
    let (mut memory, mut runs) = (Scratch::<isize, KC>::new(), Scratch::<u16, KC>::new());
    for (start, steps) in blocks(k) {
        let table = step_table(&of_steps, start, steps, &mut memory, &mut runs);
        for column in (0..n).step_by(wide) {
            let count = wide.min(n - column);
            let mut lanes = Scratch::<isize, MAX_COLUMNS>::new();
            let lanes = lanes.fill(&columns, column, count);
            // SAFETY: these columns and steps are in range; the panel of these columns has `k` steps from `column * k` on, of which these begin at `start`.
            unsafe { pack_panel(isa, b, lanes, table, to.add(column * k + start * wide), wide) };
        }
    }
}

impl<T: Element> Panels<'_, T> {
    /// The panel of `count` columns from column number `column` of the block on. `first` says that the rows are the first that read it.
    ///
    /// # Safety
    /// `b` can be read at the steps and columns of the block. `packed` has room for the steps of `kept` columns if panels stay, or of all columns if they are fewer, and
    /// else of one panel, each in whole vectors; it is nobody else's.
    #[inline]
    pub(super) unsafe fn of(&self, block: &Block<'_>, column: usize, count: usize, first: bool) -> Right<T> {
        let &Panels { isa, b, columns, steps, given, stay, packed, kept, by_tiles } = self;
        let (wide, at) = (isa.tile_columns(), block.first_column + column);
        if let Some(k) = given {
            let b = b.wrapping_add(at * k + block.start * wide);
            return Right { b, step: wide as isize, packed, pack: false };
        }
        let mut right = Right {
            b: b.wrapping_offset(columns.at(at) + steps.at(block.start)),
            step: steps.line.stride,
            packed: if stay { packed.wrapping_add(column % kept * block.steps) } else { packed },
            pack: false,
        };
        if !stay && count.is_multiple_of(isa.lanes) {
            return right;
        }
        let width = count.next_multiple_of(isa.lanes);
        let fresh = !stay || first;
        match block.table {
            Some((steps, runs)) if fresh && column < block.joint => {
                if column.is_multiple_of(TOGETHER * wide) {
                    let (from, to) = (b.wrapping_offset(columns.at(at)), right.packed);
                    // SAFETY: the columns up to `joint` are whole panels, so many that TOGETHER begin here. They are a run, and `kept` is a multiple of them, so there
                    // is room for all.
                    unsafe { (isa.pack_together)(&Panel { from, lanes: &[], steps, runs, to, width }) };
                }
            }
            Some(table) if fresh && !by_tiles => {
                let mut lanes = Scratch::<isize, MAX_COLUMNS>::new();
                let lanes = lanes.fill(&columns, at, count);
                // SAFETY: these columns are of the block, and there is room for them in whole vectors.
                unsafe { pack_panel(isa, b, lanes, table, right.packed, width) };
            }
            _ => right.pack = fresh,
        }
        if !right.pack {
            (right.b, right.step) = (right.packed.cast_const(), width as isize);
        }
        right
    }
}

/// The left factor's part of a block.
pub(super) struct Left<T> {
    pub(super) a: *const T,
    /// Distance of rows.
    pub(super) row: isize,
    /// That of steps. In packed panels it is the rows of a tile.
    pub(super) step: Option<isize>,
    /// Distance of a tile's first row from that of a tile of one row less, for each row of the tile before.
    pub(super) tile: isize,
}

/// The right factor's part of a block, of one panel of columns.
#[derive(Clone, Copy)]
pub(super) struct Right<T> {
    b: *const T,
    /// Distance of steps.
    step: isize,
    packed: *mut T,
    /// Whether the first tile copies it to `packed`, from where the others read.
    pack: bool,
}

/// Where the tiles of a panel of columns go.
pub(super) struct Target<'a, T> {
    pub(super) c: *mut T,
    pub(super) rows: &'a [isize],
    /// Offsets of the columns, unless they are a run from `c` on.
    pub(super) columns: Option<&'a [isize]>,
    pub(super) count: usize,
    pub(super) alpha: T,
    pub(super) add: bool,
}

/// Computes the tiles of a panel of columns, those of so many rows each.
///
/// # Safety
/// `left` can be read at `k` steps of all rows, and `right` at those of all columns of `to`, to whole vectors unless the first
/// tile packs. If the
/// first tile packs, the panel has room in whole vectors. The rows and columns of `to`, which are distinct, can be read and written and are nobody else's.
pub(super) unsafe fn compute<T: Element>(
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
            match to.columns {
                // SAFETY: the caller's promise for these rows; the columns are a run from `c` on.
                None => unsafe { function(&part) },
                Some(c_columns) => {
                    let mut sums = Scratch::<T, { MAX_ROWS * MAX_COLUMNS }>::new();
                    let width = VECTORS * isa.lanes;
                    let lines: [isize; MAX_ROWS] = std::array::from_fn(|i| (i * width) as isize);
                    let sums = sums.as_mut_ptr();
                    (part.c, part.c_rows) = (sums, lines.as_ptr());
                    (part.alpha, part.add) = (T::from_f64(1.0), false);
                    // SAFETY: the caller's promise for these rows. The sums have room for the largest tile, and are written without being read.
                    unsafe { function(&part) };
                    let &Target { c, alpha, add, rows, .. } = to;
                    let c_rows = &rows[row..row + high];
                    // SAFETY: the tile has written the sums of these rows and columns, where `c` can be read and written.
                    unsafe { (isa.scatter)(&Scatter { sums, width, c, c_rows, c_columns, alpha, add }) };
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
