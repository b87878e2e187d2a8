//! Pages of memory that will be used whole: large ones where the system has them, and all at once.
//!
//! Memory of many megabytes takes thousands of ordinary pages. Touching it for the first time costs a fault for each, and reading it misses the
//! processor's table of addresses all the time. Linux has pages of 2 MiB, for memory of which a program says that it would like them; and it can be told to
//! give all pages of a piece of memory in one call, which takes half as long as their faults do.

/// Bytes of a large page.
#[cfg(target_os = "linux")]
const LARGE: usize = 2 << 20;

/// Memory that has just been allocated will be written whole, soon. Memory of few large pages is given none: it would take more than it needs. The bytes
/// stay as they are.
#[cfg(target_os = "linux")]
pub(crate) fn prepare(memory: *mut u8, bytes: usize) {
    if bytes >= 2 * LARGE {
        advise(memory, bytes, LARGE, libc::MADV_HUGEPAGE);
    }
    // SAFETY: this only asks.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    if let Ok(page) = usize::try_from(page) {
        advise(memory, bytes, page, libc::MADV_POPULATE_WRITE);
    }
}

/// Gives the system an advice about the whole pages, of so many bytes, that lie within memory that the caller owns.
#[cfg(target_os = "linux")]
fn advise(memory: *mut u8, bytes: usize, page: usize, advice: libc::c_int) {
    let skipped = memory.addr().next_multiple_of(page) - memory.addr();
    let whole = bytes.saturating_sub(skipped) / page * page;
    if whole > 0 {
        // SAFETY: the advice is about pages that lie within the caller's memory, changes no byte of them, and may be ignored.
        unsafe { libc::madvise(memory.wrapping_add(skipped).cast(), whole, advice) };
    }
}

/// Other systems are not told.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prepare(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::prepare;

    /// Whatever part of an allocation it is, and however short.
    #[test]
    fn bytes_stay_as_they_are() {
        let whole = 5 << 20;
        let byte = |i: usize| (i % 251) as u8;
        let mut memory: Vec<u8> = (0..whole).map(byte).collect();
        for (from, bytes) in [(0, whole), (1, 0), (3, 100), (4097, 3 << 12), (1000, whole - 1000)] {
            prepare(memory[from..][..bytes].as_mut_ptr(), bytes);
        }
        assert!(memory.iter().enumerate().all(|(i, &b)| b == byte(i)));
    }
}
