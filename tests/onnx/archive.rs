//! Gzipped lists of named bytes, as the scripts beside the tests write them.

use std::io::Read;
use std::path::Path;

/// The records of an archive, in order.
pub fn read(path: &Path) -> Vec<(String, Vec<u8>)> {
    let packed = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).expect("the archive is whole");
    let (mut at, mut parts) = (0, Vec::new());
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        parts.push(bytes[at + 4..at + 4 + length].to_vec());
        at += 4 + length;
    }
    let mut records = Vec::new();
    let mut parts = parts.into_iter();
    while let (Some(name), Some(data)) = (parts.next(), parts.next()) {
        records.push((String::from_utf8(name).expect("names are text"), data));
    }
    records
}
