//! Threads that share the work of one call at a time.
//!
//! ```text
//!   caller:  publish the job, open the gate ── claim chunks ── close the gate ── wait for those inside
//!   worker:  spin a while, then sleep ──────── enter ── claim chunks ── leave
//! ```
//!
//! Work is cut into numbered chunks by whoever asks; threads claim one or a few at a time, so a thread that another program has pushed aside, or that comes
//! late, holds up no more than what it is at. The caller takes part, and waits only for threads that have entered: those that sleep through a short job do not matter. What
//! a chunk computes does not depend on who computes it, so results do not depend on the number of threads.
//!
//! There is one pool in a process. It starts threads when they are first asked for. While one caller uses it, others do their work alone.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How long a worker without work watches for more before it sleeps. Waking it takes some microseconds; steps follow each other faster.
const WATCH: Duration = Duration::from_micros(100);

/// Most threads of a pool.
pub(crate) const MAX_THREADS: usize = 64;

/// The gate's bit that lets workers enter. The bits below count those inside, the bits above the jobs so far.
const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;

/// What a job does with a range of chunks, as thread `thread`.
type Work<'a> = dyn Fn(usize, Range<usize>) + Sync + 'a;

/// How many chunks a thread claims at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many.
    Even(usize),
    /// Half of a thread's share of what is left, so that first claims are long and last ones short, but no fewer than `least`; whole multiples of `unit` as
    /// long as there are any in it.
    Guided {
        /// At least 1.
        least: usize,
        /// At least 1.
        unit: usize,
    },
}

impl Pace {
    fn claim(self, left: usize, threads: usize) -> usize {
        let count = match self {
            Pace::Even(count) => count,
            Pace::Guided { least, unit } => {
                let share = left.div_ceil(2 * threads).max(least);
                if share < unit { share } else { (share / unit * unit).max(least) }
            }
        };
        count.clamp(1, left)
    }
}

/// The job that workers may enter.
struct Job {
    work: *const Work<'static>,
    chunks: usize,
    pace: Pace,
    /// Threads with smaller numbers take part.
    threads: usize,
}

struct Pool {
    gate: AtomicU64,
    job: UnsafeCell<Job>,
    /// The next chunk that nobody has claimed.
    next: AtomicUsize,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    /// Held by the caller whose job it is; counts the workers that have been started.
    started: Mutex<usize>,
}

// SAFETY: `job` is written only by the caller that holds `started`, while the gate is closed and nobody is inside; it is read only by workers that entered
// through the open gate, before they leave.
unsafe impl Sync for Pool {}
// SAFETY: as above; the pool is made by one thread and used by all.
unsafe impl Send for Pool {}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool {
        gate: AtomicU64::new(0),
        job: UnsafeCell::new(Job { work: &|_, _| {}, chunks: 0, pace: Pace::Even(1), threads: 0 }),
        next: AtomicUsize::new(0),
        sleepers: AtomicUsize::new(0),
        sleep: Mutex::new(()),
        wake: Condvar::new(),
        started: Mutex::new(0),
    })
}

/// Does all chunks, on up to `threads` threads, of which the caller is number 0.
///
/// A panic in a worker ends the process, since its chunk will never be done; the work of compiled code does not panic.
pub(crate) fn share(threads: usize, chunks: usize, pace: Pace, work: &Work<'_>) {
    let alone = || {
        if chunks > 0 {
            work(0, 0..chunks);
        }
    };
    let threads = threads.min(MAX_THREADS).min(chunks);
    if threads < 2 {
        return alone();
    }
    let pool = pool();
    let mut started = match pool.started.try_lock() {
        Ok(started) => started,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return alone(),
    };
    while *started + 1 < threads {
        let number = *started + 1;
        let thread = std::thread::Builder::new().name(format!("cotangent-{number}"));
        if thread.spawn(move || worker(number)).is_err() {
            break;
        }
        *started += 1;
    }
    // SAFETY: only the lifetime changes; the job is used until this function returns and no longer, as it waits for all who entered.
    let work: *const Work<'static> = unsafe { std::mem::transmute::<&Work<'_>, &Work<'static>>(work) };
    // SAFETY: the lock is held, and the gate has been closed and empty since the last job.
    unsafe { *pool.job.get() = Job { work, chunks, pace, threads } };
    pool.next.store(0, Ordering::Relaxed);
    let jobs = (pool.gate.load(Ordering::Relaxed) >> 32).wrapping_add(1);
    pool.gate.store(jobs << 32 | OPEN, Ordering::SeqCst);
    if pool.sleepers.load(Ordering::SeqCst) > 0 {
        drop(pool.sleep.lock().unwrap_or_else(PoisonError::into_inner));
        pool.wake.notify_all();
    }
    // Closes the gate and waits, also if the caller's own chunk panics.
    struct Closing(&'static Pool);
    impl Drop for Closing {
        fn drop(&mut self) {
            self.0.gate.fetch_and(!OPEN, Ordering::AcqRel);
            let mut turns = 0u32;
            while self.0.gate.load(Ordering::Acquire) & INSIDE != 0 {
                turns += 1;
                // A worker that has been pushed aside needs a processor.
                if turns.is_multiple_of(1024) { std::thread::yield_now() } else { std::hint::spin_loop() }
            }
        }
    }
    let closing = Closing(pool);
    claim(pool, 0, (chunks, pace, threads), work);
    drop(closing);
}

/// Does chunks until none is left.
fn claim(pool: &Pool, thread: usize, (chunks, pace, threads): (usize, Pace, usize), work: *const Work<'static>) {
    let end = |next: usize| (next < chunks).then(|| next + pace.claim(chunks - next, threads));
    while let Ok(first) = pool.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, end) {
        // SAFETY: the job's caller waits for everyone inside, so what it lent still lives.
        unsafe { (*work)(thread, first..first + pace.claim(chunks - first, threads)) };
    }
}

/// The life of worker `number`.
fn worker(number: usize) {
    /// A chunk that is never finished would be waited for forever.
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            if std::thread::panicking() {
                std::process::abort();
            }
        }
    }
    let _abort = Abort;
    let pool = pool();
    let mut last = 0;
    loop {
        let gate = next_job(pool, last);
        last = gate >> 32;
        // Another worker may enter or the caller close the gate meanwhile.
        let enter = |g: u64| (g >> 32 == last && g & OPEN != 0).then_some(g + 1);
        if pool.gate.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_err() {
            continue;
        }
        // SAFETY: this worker is inside, so the job is not written.
        let (work, chunks, pace, threads) = unsafe {
            let job = &*pool.job.get();
            (job.work, job.chunks, job.pace, job.threads)
        };
        if number < threads {
            claim(pool, number, (chunks, pace, threads), work);
        }
        pool.gate.fetch_sub(1, Ordering::Release);
    }
}

/// Waits for an open gate of a job other than `last`: watches for a while, then sleeps.
fn next_job(pool: &Pool, last: u64) -> u64 {
    let fresh = |order| {
        let gate = pool.gate.load(order);
        (gate & OPEN != 0 && gate >> 32 != last).then_some(gate)
    };
    let since = Instant::now();
    loop {
        for _ in 0..64 {
            if let Some(gate) = fresh(Ordering::Acquire) {
                return gate;
            }
            std::hint::spin_loop();
        }
        if since.elapsed() > WATCH {
            break;
        }
    }
    let mut guard = pool.sleep.lock().unwrap_or_else(PoisonError::into_inner);
    pool.sleepers.fetch_add(1, Ordering::SeqCst);
    // The caller opens the gate first and looks for sleepers then, so that one of both sees the other.
    let gate = loop {
        if let Some(gate) = fresh(Ordering::SeqCst) {
            break gate;
        }
        guard = pool.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
    };
    pool.sleepers.fetch_sub(1, Ordering::SeqCst);
    gate
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::{Pace, share};

    #[test]
    fn every_chunk_is_done_once_by_whatever_threads() {
        for threads in [1, 2, 3, 8] {
            for chunks in [0, 1, 2, 5, 100] {
                let guided = [(1, 1), (2, 3), (1, 7)].map(|(least, unit)| Pace::Guided { least, unit });
                for pace in [Pace::Even(1), Pace::Even(3)].into_iter().chain(guided) {
                    let done: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
                    share(threads, chunks, pace, &|thread, range| {
                        assert!(thread < threads && !range.is_empty());
                        range.for_each(|chunk| _ = done[chunk].fetch_add(1, Ordering::Relaxed));
                    });
                    let once = done.iter().all(|d| d.load(Ordering::Relaxed) == 1);
                    assert!(once, "{threads} threads, {chunks} chunks, {pace:?}");
                }
            }
        }
    }

    #[test]
    fn claims_shrink_with_what_is_left() {
        let claims = |pace: Pace, threads: usize, mut left: usize| {
            let mut all = Vec::new();
            while left > 0 {
                all.push(pace.claim(left, threads));
                left -= all[all.len() - 1];
            }
            all
        };
        assert_eq!(claims(Pace::Guided { least: 1, unit: 1 }, 2, 15), [4, 3, 2, 2, 1, 1, 1, 1]);
        assert_eq!(claims(Pace::Guided { least: 1, unit: 2 }, 2, 16), [4, 2, 2, 2, 2, 1, 1, 1, 1]);
        assert_eq!(claims(Pace::Guided { least: 3, unit: 1 }, 2, 8), [3, 3, 2]);
        assert_eq!(claims(Pace::Guided { least: 3, unit: 2 }, 2, 12), [3, 3, 3, 3]);
        assert_eq!(claims(Pace::Even(3), 2, 8), [3, 3, 2]);
    }

    #[test]
    fn many_short_jobs_follow_each_other() {
        let sum = AtomicUsize::new(0);
        for _ in 0..2_000 {
            share(2, 4, Pace::Even(1), &|_, range| {
                sum.fetch_add(range.sum(), Ordering::Relaxed);
            });
        }
        assert_eq!(sum.into_inner(), 2_000 * 6);
    }

    #[test]
    fn callers_at_the_same_time_get_their_work_done() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let sum = AtomicUsize::new(0);
                        share(2, 10, Pace::Even(1), &|_, range| {
                            sum.fetch_add(range.sum(), Ordering::Relaxed);
                        });
                        assert_eq!(sum.into_inner(), 45);
                    }
                });
            }
        });
    }

    #[test]
    fn a_worker_that_slept_wakes_for_work() {
        let mut jobs = 0;
        while jobs < 3 {
            std::thread::sleep(std::time::Duration::from_millis(2));
            let threads: Vec<AtomicUsize> = (0..2).map(|_| AtomicUsize::new(0)).collect();
            let alone = AtomicBool::new(false);
            // Every chunk waits until both threads have come, or for long enough that one may be trusted to.
            share(2, 2, Pace::Even(1), &|thread, range| {
                // Another test has the pool.
                if range.len() == 2 {
                    return alone.store(true, Ordering::SeqCst);
                }
                threads[thread].store(1, Ordering::SeqCst);
                let since = std::time::Instant::now();
                while threads.iter().any(|t| t.load(Ordering::SeqCst) == 0) && since.elapsed().as_secs() < 20 {
                    std::thread::yield_now();
                }
            });
            if !alone.into_inner() {
                assert!(threads.iter().all(|t| t.load(Ordering::SeqCst) == 1), "the worker never came");
                jobs += 1;
            }
        }
    }
}
