//! Numbers for people.

/// `1.5 MiB`.
pub(crate) fn bytes(count: usize) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (0..UNITS.len() - 1).take_while(|&u| count >> (10 * u) >= 1024).count();
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{:.1} {}", count as f64 / (1u64 << (10 * unit)) as f64, UNITS[unit])
    }
}
