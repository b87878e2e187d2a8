//! Matrix products for compiled code: `c = alpha * a b` or `c += alpha * a b`, in `f32` and `f64`, over any axes with any strides.
//!
//! ```text
//!   Axes --Table::new--> Table (path, packing)    at compile time; workspace_len tells the planner what memory it takes
//!   Table + pointers --multiply_f32--> blocks --> pack, tile        blocks: loops; pack: panels side by side; tile: registers
//!                                  free   --> tile                  windows, read where they lie
//!                                             --> vector            a single row
//! ```
//!
//! - A right factor that many calls have in common can be packed once, by `Table::pack_f32`, for products of `Table::with_packed`.
//! - Nothing is allocated: packed panels lie in memory that the caller gives.
//! - Axes that do not join into one stride, and windows that overlap, are read through lists of offsets while they are packed. So a transpose costs
//!   nothing, and a convolution is a product whose window matrix is never in memory.
//! - Results do not depend on how the result is split: the order in which an element's products are added is a function of the contraction's extent and of
//!   the strides. The parts of a product are its *chunks*, any range of which can be computed by itself, with a workspace of its own.
//! - Nor do they depend on the width of vectors, as each element has one accumulator and every multiplication is fused with its addition; but on x86-64 without FMA
//!   it is not, and results differ there by rounding.
//! - Zeros are multiplied like other numbers: 0 times infinity is NaN.

pub(crate) mod alone;
mod blocks;
mod free;
mod isa;
mod pack;
mod panel;
mod path;
mod shape;
mod simd;
#[cfg(test)]
mod tests;
mod tile;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use crate::graph::DType;

use blocks::Problem;
use isa::{Hosted, Isa};
use pack::TOGETHER;
pub(crate) use path::gains_if_packed;
use path::{Path, choose};
pub use shape::{Axes, Axis};
use shape::{Offsets, Side, extent};

/// Most steps of the contraction in a block. A panel of `b` for 512-bit vectors, 128 bytes wide, takes 40 KiB.
const KC: usize = 384;
/// Rows of a block; a multiple of each count of rows in a packed panel.
const MC: usize = 240;
/// Columns of a block; a multiple of each count of columns in a packed panel.
const NC: usize = 512;
/// Columns of a block of a single row: their sums stay in the first-level cache.
const ROW_COLUMNS: usize = 2048;
/// Most rows of a tile.
const MAX_ROWS: usize = 12;
/// Most columns of a tile.
const MAX_COLUMNS: usize = 32;

/// Elements of workspace that a call takes.
pub(crate) fn workspace_len(axes: &Axes) -> usize {
    Table::new(axes, false).workspace_len()
}

/// A product, described for [`multiply_f32`] and [`multiply_f64`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    axes: Axes,
    exchanged: bool,
    accumulate: bool,
    path: Path,
}

impl Table {
    /// Describes a product over these axes, which is added to the result if `accumulate`.
    pub(crate) fn new(axes: &Axes, accumulate: bool) -> Table {
        let (exchanged, path) = choose(axes);
        let axes = if exchanged { axes.clone().exchanged() } else { axes.clone() };
        Table { axes, exchanged, accumulate, path }
    }

    /// Describes a product that is given its right factor as [`Table::pack_f32`] leaves it.
    pub(crate) fn with_packed(axes: &Axes, accumulate: bool) -> Table {
        Table { axes: axes.clone(), exchanged: false, accumulate, path: path::given(axes) }
    }

    /// Elements of the packed right factor.
    pub(crate) fn packed_len(&self) -> usize {
        extent(&self.axes.columns).next_multiple_of(MAX_COLUMNS) * extent(&self.axes.contracted)
    }

    /// Packs the right factor, which begins at `from`, for products that are given it packed.
    ///
    /// # Safety
    /// For all indices of the axes, the factor's elements can be read; [`Table::packed_len`] elements from `to` on can be written and are nobody else's.
    pub(crate) unsafe fn pack_f32(&self, from: *const f32, to: *mut f32) {
        // SAFETY: the caller's promise; the host has the instruction sets that it lists.
        unsafe { panel::pack_whole(f32::isa(), &self.axes, from, to) }
    }

    /// [`Table::pack_f32`] for `f64`.
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn pack_f64(&self, from: *const f64, to: *mut f64) {
        // SAFETY: as there.
        unsafe { panel::pack_whole(f64::isa(), &self.axes, from, to) }
    }

    /// Elements of workspace that a call takes.
    pub(crate) fn workspace_len(&self) -> usize {
        let Axes { rows, columns, contracted, .. } = &self.axes;
        let (n, steps) = (extent(columns), blocks::block_len(extent(contracted)));
        if n == 0 || extent(rows) == 0 {
            return 0;
        }
        match self.path {
            Path::Tiles { pack_a, pack_b } => {
                let a = if pack_a { MC * steps } else { 0 };
                // A panel whose last vector is not whole is packed all the same.
                let kept = if extent(rows) <= MC { TOGETHER * MAX_COLUMNS } else { NC };
                let b = match n {
                    _ if pack_b => n.min(kept).next_multiple_of(MAX_COLUMNS) * steps,
                    n if n.is_multiple_of(MAX_COLUMNS) => 0,
                    _ => MAX_COLUMNS * steps,
                };
                a + b
            }
            Path::Free { pack_b: true } => n.min(NC).next_multiple_of(MAX_COLUMNS) * steps,
            // A vector that reaches behind the operand is packed.
            Path::Free { pack_b: false } => MAX_COLUMNS * steps,
            Path::Given { pack_a } => {
                if pack_a {
                    MC * steps
                } else {
                    0
                }
            }
            Path::Rows => ROW_COLUMNS.min(n),
            Path::Dots => ROW_COLUMNS + steps,
        }
    }

    /// The table in memory, as [`View::read`] finds it.
    pub(crate) fn words(&self) -> Vec<usize> {
        let families = self.families();
        let mut words: Vec<usize> = families.iter().map(|f| f.len()).collect();
        words.extend([self.exchanged.into(), self.accumulate.into(), self.path.code()]);
        for &Axis { extent, a, b, c } in families.into_iter().flatten() {
            words.extend([extent, a as usize, b as usize, c as usize]);
        }
        words
    }

    fn families(&self) -> [&[Axis]; 4] {
        let Axes { batch, rows, columns, contracted } = &self.axes;
        [batch, rows, columns, contracted]
    }

    /// Count of the chunks into which the product may be split.
    pub(crate) fn chunks(&self) -> usize {
        self.view().chunks()
    }

    /// An estimate of the time that one thread takes, in nanoseconds: what multiplying takes, or what bringing the matrices from memory does, if that is more.
    pub(crate) fn time(&self, dtype: DType) -> f64 {
        /// Of a multiplication, by vectors of one element.
        const MULTIPLICATION: f64 = 0.16;
        /// Of an element that comes from the last cache.
        const ELEMENT: f64 = 0.08;
        let lanes = if dtype == DType::F64 { f64::isa().lanes } else { f32::isa().lanes };
        let [batch, m, n, k] = self.families().map(|family| extent(family) as f64);
        let multiplying = m * n * k * MULTIPLICATION / lanes as f64;
        batch * multiplying.max((m * k + k * n + m * n) * ELEMENT)
    }

    fn view(&self) -> View<'_> {
        let Table { exchanged, accumulate, path, .. } = *self;
        View { families: self.families(), exchanged, accumulate, path }
    }
}

/// Words of a table before its axes.
const HEADER: usize = 7;

/// A table that lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct View<'a> {
    /// Batch, rows, columns, contracted.
    families: [&'a [Axis]; 4],
    exchanged: bool,
    accumulate: bool,
    path: Path,
}

impl<'a> View<'a> {
    /// Reads a table.
    ///
    /// # Safety
    /// At `words` lies what [`Table::words`] returns, and it stays for the lifetime.
    unsafe fn read(words: *const usize) -> View<'a> {
        // SAFETY: the header comes first, and behind it the axes of all families, each of four words in the order of `Axis`, which is laid out as in C.
        unsafe {
            let header = std::slice::from_raw_parts(words, HEADER);
            let mut at = words.add(HEADER).cast::<Axis>();
            let families = std::array::from_fn(|i| {
                let axes = std::slice::from_raw_parts(at, header[i]);
                at = at.add(header[i]);
                axes
            });
            View { families, exchanged: header[4] != 0, accumulate: header[5] != 0, path: Path::of_code(header[6]) }
        }
    }

    fn chunks(&self) -> usize {
        let [batch, rows, columns, _] = self.families;
        extent(batch) * Grid::of(rows, columns).count()
    }
}

/// Most rows of a chunk.
const CHUNK_ROWS: usize = 128;
/// Most columns of a chunk.
const CHUNK_COLUMNS: usize = 128;
/// So many chunks there are at least, if there are rows and columns for them.
const CHUNKS: usize = 8;
/// Fewest rows of a chunk.
const LEAST_ROWS: usize = 4;

/// The chunks of one product of a batch: those with the same columns follow one another.
#[derive(Clone, Copy, Debug)]
struct Grid {
    m: usize,
    n: usize,
    /// Rows and columns of a chunk.
    height: usize,
    width: usize,
    down: usize,
    across: usize,
}

impl Grid {
    /// Chunks of about equal size, in whole panels of columns. Those of a small product are nearly square, as what is packed is packed for each.
    fn of(rows: &[Axis], columns: &[Axis]) -> Grid {
        let (m, n) = (extent(rows), extent(columns));
        let even =
            |size: usize, parts: usize, unit: usize| size.div_ceil(parts.max(1)).next_multiple_of(unit).max(unit);
        let mut height = even(m, m.div_ceil(CHUNK_ROWS), LEAST_ROWS);
        let mut width = even(n, n.div_ceil(CHUNK_COLUMNS), MAX_COLUMNS);
        while m.div_ceil(height) * n.div_ceil(width) < CHUNKS {
            if height > LEAST_ROWS && (height > width || width == MAX_COLUMNS) {
                height = even(height, 2, LEAST_ROWS);
            } else if width > MAX_COLUMNS {
                width = even(width, 2, MAX_COLUMNS);
            } else {
                break;
            }
        }
        Grid { m, n, height, width, down: m.div_ceil(height), across: n.div_ceil(width) }
    }

    fn count(&self) -> usize {
        self.down * self.across
    }

    /// The rows and columns of the longest piece that begins with chunk `from` and ends before `to`, and its count of chunks.
    fn piece(&self, from: usize, to: usize) -> (Range<usize>, Range<usize>, usize) {
        let (column, row) = (from / self.down, from % self.down);
        let (columns, rows) = match (to - from) / self.down {
            whole if row == 0 && whole > 0 => (whole, self.down),
            _ => (1, (self.down - row).min(to - from)),
        };
        let range = |at: usize, count: usize, size: usize, end: usize| at * size..((at + count) * size).min(end);
        (range(row, rows, self.height, self.m), range(column, columns, self.width, self.n), rows * columns)
    }
}

/// The pointers and numbers of a call.
#[derive(Clone, Copy)]
struct Call<T> {
    a: *const T,
    b: *const T,
    c: *mut T,
    alpha: f64,
    workspace: *mut T,
}

/// Computes a range of the chunks of a product.
///
/// # Safety
/// For all indices of the axes, the elements of `a` and `b`, and what is in memory between two elements of one of them, can be read, those of `c` can be read
/// and written; the latter are distinct and none of them is one of `a` or `b`; those of these chunks are used by nobody else. The workspace has [`workspace_len`] elements and is used by nobody else.
/// The processor has the instructions of `isa`.
unsafe fn multiply<T: Hosted>(isa: &Isa<T>, table: View<'_>, call: Call<T>, chunks: Range<usize>) {
    let [batch, rows, columns, contracted] = table.families;
    let grid = Grid::of(rows, columns);
    if grid.count() == 0 {
        return;
    }
    let (a, b) = if table.exchanged { (call.b, call.a) } else { (call.a, call.b) };
    let steps = [Side::A, Side::B, Side::C].map(|side| Offsets::new(batch, side));
    let mut at = chunks.start;
    while at < chunks.end {
        let (index, first) = (at / grid.count(), at % grid.count());
        let (of_rows, of_columns, count) = grid.piece(first, grid.count().min(first + (chunks.end - at)));
        let problem = Problem {
            rows,
            columns,
            contracted,
            path: table.path,
            a: a.wrapping_offset(steps[0].at(index)),
            b: b.wrapping_offset(steps[1].at(index)),
            c: call.c.wrapping_offset(steps[2].at(index)),
            alpha: T::from_f64(call.alpha),
            accumulate: table.accumulate,
            workspace: call.workspace,
        };
        // SAFETY: the caller's promise, for this product of the batch and these rows and columns.
        unsafe { blocks::compute(isa, &problem, of_rows, of_columns) };
        at += count;
    }
}

/// How many chunks of the product that the table describes share what is packed of `b`, and are best computed together: a column of the grid. `None` for a
/// single row, which is bound by memory, and read fastest in long runs.
///
/// # Safety
/// At `table` lies what [`Table::words`] returns.
pub(crate) unsafe fn unit(table: *const usize) -> Option<usize> {
    // SAFETY: the caller's promise.
    let View { families: [_, rows, columns, _], path, .. } = unsafe { View::read(table) };
    (path != Path::Rows).then(|| Grid::of(rows, columns).down.max(1))
}

macro_rules! entry {
    ($name:ident, $t:ident) => {
        /// Computes the chunks from `first` to before `end` of the product that the table describes.
        ///
        /// # Safety
        /// At `table` lies what [`Table::words`] returns. For all indices of the axes, the elements of `a` and `b`, and what is in memory between two elements of
        /// one of them, can be read, those of `c` can be read and written; the latter are distinct and none of them is one of `a` or `b`; those of these chunks are used by nobody else. The workspace has
        /// [`workspace_len`] elements and is used by nobody else.
        #[allow(clippy::too_many_arguments, reason = "the calling convention of compiled code has no structures")]
        pub(crate) unsafe extern "C" fn $name(
            table: *const usize,
            a: *const $t,
            b: *const $t,
            c: *mut $t,
            workspace: *mut $t,
            alpha: f64,
            first: usize,
            end: usize,
        ) {
            // SAFETY: the caller's promise; the host has the instruction sets that it lists.
            unsafe { multiply(<$t>::isa(), View::read(table), Call { a, b, c, alpha, workspace }, first..end) }
        }
    };
}
entry!(multiply_f32, f32);
entry!(multiply_f64, f64);

impl Axes {
    fn exchanged(self) -> Axes {
        let exchange = |axes: Vec<Axis>| axes.into_iter().map(Axis::exchanged).collect();
        Axes {
            batch: exchange(self.batch),
            rows: exchange(self.columns),
            columns: exchange(self.rows),
            contracted: exchange(self.contracted),
        }
    }
}
