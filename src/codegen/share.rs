//! Which kernels, products and strips are worth several threads, and in which pieces.
//!
//! Rows and chunks do not depend on each other, so neither the pieces nor the threads show in the results.

use crate::graph::DType;
use crate::plan::kernel::Kernel;
use crate::runtime::gemm::Table;
use crate::runtime::team::MAX_SLOTS;

use super::choose::Choice;

/// Which kernels are handed to several threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Those that take long enough.
    WherePaid,
    /// All that can be, in the smallest pieces: for tests.
    #[cfg_attr(not(test), allow(dead_code, reason = "only tests share everything"))]
    Always,
}

/// Nanoseconds of an instruction of the estimate.
const INSTRUCTION: f64 = 0.3;
/// From so many nanoseconds on a kernel is shared: handing it over takes about half a microsecond.
const WORTH: f64 = 6_000.0;
/// The same of a product, most of whose time is spent in the caches of one processor.
const PRODUCT_WORTH: f64 = 8_000.0;
/// The least time of a piece, in nanoseconds.
const PIECE: f64 = 2_000.0;
/// So many pieces are enough, even if some thread is pushed aside meanwhile.
const PIECES: usize = 16;
/// A range of vectors begins at a multiple of this.
const VECTOR_ROWS: usize = 64;

/// An estimate of the time of a kernel on one thread, in nanoseconds.
pub(super) fn time(choice: Choice) -> f64 {
    choice.work * INSTRUCTION
}

/// True if a strip whose steps take so many nanoseconds is handed to several threads.
pub(super) fn is_worth(time: f64, sharing: Sharing) -> bool {
    sharing == Sharing::Always || time >= WORTH
}

/// How many rows of the outermost loop a thread takes at a time; `None` if one thread is to run the kernel.
pub(super) fn grain(kernel: &Kernel, choice: Choice, sharing: Sharing) -> Option<usize> {
    if kernel.serial || kernel.rows == 0 || kernel.slots.len() > MAX_SLOTS {
        return None;
    }
    let rows = kernel.loops[0];
    let unit = if choice.vector.is_some_and(|v| v.dim == 0) { VECTOR_ROWS } else { 1 };
    let time = time(choice);
    let grain = match sharing {
        Sharing::Always => unit,
        Sharing::WherePaid if time < WORTH => return None,
        Sharing::WherePaid => {
            let least = (rows as f64 * PIECE / time).ceil() as usize;
            least.max(rows.div_ceil(PIECES)).next_multiple_of(unit)
        }
    };
    (grain < rows).then_some(grain)
}

/// How many chunks of a product a thread takes at a time at least; `None` if one thread is to compute it.
pub(super) fn least_chunks(table: &Table, dtype: DType, sharing: Sharing) -> Option<usize> {
    let (chunks, time) = (table.chunks(), table.time(dtype));
    let least = match sharing {
        Sharing::Always => 1,
        Sharing::WherePaid if time < PRODUCT_WORTH => return None,
        Sharing::WherePaid => ((chunks as f64 * PIECE / time).ceil() as usize).max(1),
    };
    (least < chunks).then_some(least)
}
