//! How a product is computed: which factor plays the left one, and what is packed.
//!
//! The choice is a function of the axes alone. It compares estimates of what packing takes, in units of the time in which a tile multiplies one element of
//! `a` with a vector of 16 columns. Nothing here changes the bits of a result but the choice of [`Path::Dots`], which adds in an order of its own.

use super::shape::{Axes, Axis, Offsets, Side, extent};
use super::{KC, MAX_COLUMNS};

/// How a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Path {
    /// By tiles. An operand that is not packed steps through memory by one stride for each of its families.
    Tiles {
        /// Whether `a` is packed.
        pack_a: bool,
        /// Whether `b` is packed. If not, its columns are side by side.
        pack_b: bool,
    },
    /// By tiles that read `a` through lists of offsets.
    Free {
        /// Whether `b` is packed. If not, its columns, and those of `c`, are [runs](super::free) of neighbours, and `b` is read through lists as well.
        pack_b: bool,
    },
    /// By tiles, of a `b` that has been packed before the call.
    Given {
        /// Whether `a` is packed.
        pack_a: bool,
    },
    /// A single row; the columns of `b` are side by side.
    Rows,
    /// A single row; the rows of `b` are side by side.
    Dots,
}

impl Path {
    pub(super) fn code(self) -> usize {
        match self {
            Path::Tiles { pack_a, pack_b } => usize::from(pack_a) + 2 * usize::from(pack_b),
            Path::Rows => 4,
            Path::Dots => 5,
            Path::Free { pack_b } => 6 + usize::from(pack_b),
            Path::Given { pack_a } => 8 + usize::from(pack_a),
        }
    }

    pub(super) fn of_code(code: usize) -> Path {
        match code {
            0..4 => Path::Tiles { pack_a: code & 1 != 0, pack_b: code & 2 != 0 },
            4 => Path::Rows,
            5 => Path::Dots,
            6..8 => Path::Free { pack_b: code == 7 },
            _ => Path::Given { pack_a: code == 9 },
        }
    }
}

/// From so many rows and columns on, `a` is packed if its rows are not read straight on.
const PACK_A_ROWS: usize = 8;
const PACK_A_COLUMNS: usize = 256;
/// From so many columns on, `a` is packed if it does not step by one stride.
const GATHER_A_COLUMNS: usize = 128;
/// From so many rows on, `b` is packed, unless it is as narrow as this.
const PACK_B_ROWS: usize = 36;
const NARROW: usize = 64;
/// Elements of a factor that a second-level cache may hold.
pub(super) const NEAR: usize = 1 << 19;
/// The shortest run of columns that is read where it lies.
pub(super) const MIN_RUN: usize = 4;

/// The estimated time of packing an element with its neighbours in a vector, by blocks that are transposed, in a short run, by itself.
const PACK_RUN: f64 = 0.3;
const PACK_BLOCK: f64 = 0.6;
const PACK_SHORT: f64 = 1.3;
const PACK_SINGLE: f64 = 1.5;
/// That of putting an element of the result to a place of its own.
const SCATTER: f64 = 2.5;
/// How much longer products take if many rows read windows again and again where they lie, which are spread over more memory than a panel.
const READ_AGAIN: f64 = 1.2;

/// Whether the roles of `a` and `b` are exchanged, and the path of the product that comes of it.
pub(super) fn choose(axes: &Axes) -> (bool, Path) {
    let (m, n) = (extent(&axes.rows), extent(&axes.columns));
    let other = axes.clone().exchanged();
    if m == 1 || n == 1 {
        let exchanged = m != 1;
        return (exchanged, path(if exchanged { &other } else { axes }).1);
    }
    let ((cost, path), (other_cost, other_path)) = (path(axes), path(&other));
    if other_cost < cost { (true, other_path) } else { (false, path) }
}

/// Whether a product gains if it is given `b` packed: if it has several rows and enough columns for a panel, `a` is read by one stride, and the columns of the
/// result are side by side.
pub(crate) fn gains_if_packed(axes: &Axes) -> bool {
    let a = [Offsets::new(&axes.rows, Side::A), Offsets::new(&axes.contracted, Side::A)];
    let [m, n, k] = [&axes.rows, &axes.columns, &axes.contracted].map(|family| extent(family));
    m > 1
        && n >= MAX_COLUMNS
        && k > 0
        && a.iter().all(|o| o.line.single)
        && Offsets::new(&axes.columns, Side::C).is_run()
}

/// The path of a product that is given `b` packed.
pub(super) fn given(axes: &Axes) -> Path {
    // The axes of all pieces of a strip may be read by several strides, those of one by a single one.
    let a = [Offsets::new(&axes.rows, Side::A), Offsets::new(&axes.contracted, Side::A)];
    let many = extent(&axes.rows) >= PACK_A_ROWS && extent(&axes.columns) >= PACK_A_COLUMNS;
    Path::Given { pack_a: a.iter().any(|o| !o.line.single) || (many && !a[1].is_run()) }
}

/// The best path for these roles, and an estimate of its time.
fn path(axes: &Axes) -> (f64, Path) {
    let [m, n, k] = [&axes.rows, &axes.columns, &axes.contracted].map(|family| extent(family));
    let a = [Offsets::new(&axes.rows, Side::A), Offsets::new(&axes.contracted, Side::A)];
    let b = [Offsets::new(&axes.columns, Side::B), Offsets::new(&axes.contracted, Side::B)];
    let single = |lines: &[Offsets<'_>; 2]| lines.iter().all(|l| l.line.single);
    if m == 1 && single(&b) && b[1].is_run() && !b[0].is_run() {
        return (0.0, Path::Dots);
    }
    if m == 1 && single(&b) && b[0].is_run() && a[1].line.single {
        return (0.0, Path::Rows);
    }
    let [rows, columns, steps] = [m, n, k].map(|x| x as f64);
    let products = |vectors: usize| rows * steps * vectors as f64 * 0.5;
    // Elements of the result that are not neighbours are put to their places after each block of the contraction.
    let c_is_run = Offsets::new(&axes.columns, Side::C).is_run();
    let scatter = if c_is_run { 0.0 } else { rows * columns * k.div_ceil(KC) as f64 * SCATTER };
    let pack = |lanes: &[Axis], side: Side| {
        let run = |axes: &[Axis]| axes.last().filter(|x| x.stride(side) == 1).map_or(1, |x| x.extent);
        match (run(lanes), run(&axes.contracted)) {
            (8.., _) => PACK_RUN,
            (4.., _) => PACK_SHORT,
            (_, 4..) => PACK_BLOCK,
            _ => PACK_SINGLE,
        }
    };
    let packed_b = columns * steps * pack(&axes.columns, Side::B);

    let run = axes.columns.last().filter(|x| x.b == 1 && x.c == 1).map_or(0, |x| x.extent);
    let mut best = (f64::INFINITY, Path::Free { pack_b: false });
    if run >= MIN_RUN && !(single(&b) && b[0].is_run() && c_is_run) {
        let again = if m < PACK_B_ROWS { 1.0 } else { READ_AGAIN };
        best.0 = again * products(n / run * run.div_ceil(8));
    }
    let pack_b = !single(&b) || !b[0].is_run() || (m >= PACK_B_ROWS && n > NARROW);
    let time = products(n.div_ceil(8)) + scatter + if pack_b { packed_b } else { 0.0 };
    if !single(&a) && n < GATHER_A_COLUMNS && pack_b {
        return if time < best.0 { (time, Path::Free { pack_b: true }) } else { best };
    }
    // Rows of `b` that come from afar, each from a page of its own, leave no room for pages of `a`.
    let scattered = !a[1].is_run() || (!pack_b && n * k > NEAR);
    let pack_a = !single(&a) || (m >= PACK_A_ROWS && n >= PACK_A_COLUMNS && scattered);
    let packed_a = if pack_a { rows * steps * pack(&axes.rows, Side::A) } else { 0.0 };
    if time + packed_a < best.0 { (time + packed_a, Path::Tiles { pack_a, pack_b }) } else { best }
}
