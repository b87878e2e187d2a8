//! Pages of large memory: fewer and larger ones, where the system has them.
//!
//! Memory of many megabytes takes thousands of ordinary pages. Touching it for the first time costs a fault for each, and reading it misses the
//! processor's table of addresses all the time. Linux has pages of 2 MiB, for memory of which a program says that it would like them.

/// Bytes of a large page.
const LARGE: usize = 2 << 20;

/// Memory of fewer bytes stays as it is: it would take more than it needs.
const LEAST: usize = 2 * LARGE;

/// Asks for large pages for memory that has just been allocated and will be used whole. Nothing else about it changes.
#[cfg(target_os = "linux")]
pub(crate) fn prefer_large(memory: *mut u8, bytes: usize) {
    if bytes < LEAST {
        return;
    }
    let skipped = memory.addr().next_multiple_of(LARGE) - memory.addr();
    let whole = (bytes - skipped) / LARGE * LARGE;
    // SAFETY: the advice is about pages that lie within the caller's memory, changes no byte of them, and may be ignored.
    unsafe { libc::madvise(memory.wrapping_add(skipped).cast(), whole, libc::MADV_HUGEPAGE) };
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prefer_large(_: *mut u8, _: usize) {}
