//! The threads of a run, and the work that compiled code hands to them.
//!
//! A step says how many threads it may use by entering a [`Team`]; the functions that compiled code calls find it there. Memory that belongs to one row at a
//! time, or to one part of a product, exists once for each thread: thread `t` uses the place in its shadow of the arena that the plan names in the arena
//! itself. Only what is touched of a shadow takes memory.

use std::cell::Cell;

use super::gemm;
use super::pool::{self, Pace};

/// The threads that a run may use.
#[derive(Debug)]
pub(crate) struct Team {
    threads: usize,
    /// From the arena to the shadow of each other thread, in bytes.
    shadows: Vec<isize>,
}

thread_local! {
    static CURRENT: Cell<*const Team> = const { Cell::new(std::ptr::null()) };
}

impl Team {
    /// A team of as many threads as there are shadows, and the caller.
    pub(crate) fn new(shadows: Vec<isize>) -> Team {
        Team { threads: shadows.len() + 1, shadows }
    }

    /// Runs `body` with this team.
    pub(crate) fn enter<R>(&self, body: impl FnOnce() -> R) -> R {
        struct Restore(*const Team);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.with(|c| c.set(self.0));
            }
        }
        let _restore = Restore(CURRENT.with(|c| c.replace(self)));
        body()
    }

    /// The team of the run that this thread is in.
    fn current<'a>() -> Option<&'a Team> {
        // SAFETY: the pointer is set only while `enter` borrows the team, and what is made of it here does not outlive the call from compiled code, which
        // runs inside `enter`.
        unsafe { CURRENT.with(Cell::get).as_ref() }
    }

    /// From the arena to thread `t`'s own part of it, in bytes.
    fn shadow(&self, thread: usize) -> isize {
        thread.checked_sub(1).map_or(0, |t| self.shadows[t])
    }
}

/// A compiled kernel.
type Kernel = unsafe extern "C" fn(*const *mut u8, i64, i64);

/// Most slots of a kernel whose rows are shared.
pub(crate) const MAX_SLOTS: usize = 32;

/// Calls a kernel for its `rows` rows, `grain` at a time, on the run's threads. A bit of `scratch` tells which of the `count` slots are a thread's own.
///
/// # Safety
/// `kernel` may be called with these slots for any range of rows that begins at a multiple of `grain`, for several at the same time, if the slots that are
/// a thread's own lie in the arena and are exchanged for its shadow. There are `count` slots, at most [`MAX_SLOTS`].
pub(crate) unsafe extern "C" fn rows(
    kernel: Kernel,
    slots: *const *mut u8,
    count: usize,
    scratch: u64,
    rows: i64,
    grain: i64,
) {
    let team = Team::current().filter(|t| t.threads > 1 && rows > grain);
    let Some(team) = team else {
        // SAFETY: the caller's promise.
        return unsafe { kernel(slots, 0, rows) };
    };
    let bases = Shared(slots);
    let chunks = (rows as usize).div_ceil(grain as usize);
    pool::share(team.threads, chunks, Pace::Even(1), &|thread, range| {
        let shadow = team.shadow(thread);
        let mut own = [std::ptr::null_mut::<u8>(); MAX_SLOTS];
        for (i, slot) in own.iter_mut().enumerate().take(count) {
            // SAFETY: the slots are alive until all chunks are done.
            let base = unsafe { *bases.get().add(i) };
            *slot = if scratch >> i & 1 != 0 { base.wrapping_offset(shadow) } else { base };
        }
        let [begin, end] = [range.start, range.end].map(|chunk| (chunk as i64 * grain).min(rows));
        // SAFETY: the caller's promise; the range begins at a multiple of the grain.
        unsafe { kernel(own.as_ptr(), begin, end) };
    });
}

/// The compiled function of a strip: `(table, shadow, piece)`.
type Strip = unsafe extern "C" fn(*const *mut u8, isize, i64);

/// Does all pieces of a strip, on the run's threads if they are to share them.
///
/// # Safety
/// `strip` may be called with this table and a thread's shadow for each piece, for several at the same time by different threads.
pub(crate) unsafe extern "C" fn pieces(strip: Strip, table: *const *mut u8, pieces: i64, shared: i64) {
    let team = Team::current().filter(|t| t.threads > 1 && shared != 0);
    let Some(team) = team else {
        for piece in 0..pieces {
            // SAFETY: the caller's promise; the first thread's own memory is that of the arena itself.
            unsafe { strip(table, 0, piece) };
        }
        return;
    };
    let table = Shared(table);
    pool::share(team.threads, pieces as usize, Pace::Even(1), &|thread, range| {
        for piece in range {
            // SAFETY: the caller's promise; each piece is done once.
            unsafe { strip(*table.get(), team.shadow(thread), piece as i64) };
        }
    });
}

macro_rules! product {
    ($name:ident, $multiply:path, $t:ident) => {
        /// Computes all `chunks` of a product, at least `least` at a time, on the run's threads.
        ///
        /// # Safety
        /// As for the function of one thread, for all chunks; the workspace lies in the arena.
        #[allow(clippy::too_many_arguments, reason = "the calling convention of compiled code has no structures")]
        pub(crate) unsafe extern "C" fn $name(
            table: *const usize,
            a: *const $t,
            b: *const $t,
            c: *mut $t,
            workspace: *mut $t,
            alpha: f64,
            chunks: usize,
            least: usize,
        ) {
            let Some(team) = Team::current().filter(|t| t.threads > 1 && chunks > least) else {
                // SAFETY: the caller's promise.
                return unsafe { $multiply(table, a, b, c, workspace, alpha, 0, chunks) };
            };
            // SAFETY: the caller's promise.
            let pace = match unsafe { gemm::unit(table) } {
                Some(unit) => Pace::Guided { least, unit },
                None => Pace::Even(chunks.div_ceil(team.threads)),
            };
            let call = Shared((table, a, b, c, workspace));
            pool::share(team.threads, chunks, pace, &|thread, range| {
                let (table, a, b, c, workspace) = *call.get();
                let own =
                    if workspace.is_null() { workspace } else { workspace.wrapping_byte_offset(team.shadow(thread)) };
                // SAFETY: the caller's promise; each chunk is computed once, and each thread has a workspace of its own.
                unsafe { $multiply(table, a, b, c, own, alpha, range.start, range.end) };
            });
        }
    };
}
product!(product_f32, gemm::multiply_f32, f32);
product!(product_f64, gemm::multiply_f64, f64);

/// Pointers shared between threads.
struct Shared<T>(T);

// SAFETY: the pointers are only read; what is done with the memory behind them is what the functions here promise their callers.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn get(&self) -> &T {
        &self.0
    }
}
