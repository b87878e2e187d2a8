//! Reading the arrays of an `.npz` file, as `numpy.savez` writes it: a zip archive, not compressed, of `.npy` files
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use cotangent::Array;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive};

/// Bytes that are read at a time; a multiple of four.
const PIECE: u64 = 1 << 16;

/// Names and values of the arrays, which are of `f32` or `i32`.
pub fn read(path: &Path) -> Result<Vec<(String, Array)>, Box<dyn Error>> {
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(File::open(path)?, &mut buffer)?;
    let mut entries = archive.entries(&mut buffer);
    let mut arrays = Vec::new();
    while let Some(entry) = entries.next_entry()? {
        let name = entry.file_path().try_normalize()?.as_ref().trim_end_matches(".npy").to_owned();
        if entry.compression_method() != CompressionMethod::STORE {
            return Err(format!("{name}: compressed arrays are not read; numpy.savez writes them plain").into());
        }
        let entry = archive.get_entry(entry.wayfinder())?;
        let mut reader = entry.verifying_reader(entry.reader());
        arrays.push((name.clone(), array(&mut reader).map_err(|error| format!("{name}: {error}"))?));
    }
    Ok(arrays)
}

/// An array from a `.npy` file.
fn array(file: &mut impl Read) -> Result<Array, Box<dyn Error>> {
    let mut start = [0; 10];
    file.read_exact(&mut start)?;
    if start[..6] != *b"\x93NUMPY" || start[6] != 1 {
        return Err("this is no .npy file of version 1".into());
    }
    let mut header = vec![0; usize::from(u16::from_le_bytes([start[8], start[9]]))];
    file.read_exact(&mut header)?;
    let header = String::from_utf8(header)?;
    if !header.contains("'fortran_order': False") {
        return Err("the array is in Fortran's order; save it in C's".into());
    }
    let between = |open: &str, close: char| {
        let (_, rest) = header.split_once(open)?;
        Some(rest.split_once(close)?.0)
    };
    let extents = between("'shape': (", ')').ok_or("the header names no shape")?;
    let extents = extents.split(',').map(str::trim).filter(|extent| !extent.is_empty());
    let shape: Vec<usize> = extents.map(str::parse).collect::<Result<_, _>>()?;
    Ok(match between("'descr': '", '\'') {
        Some("<f4") => Array::new(shape, numbers(file, f32::from_le_bytes)?)?,
        Some("<i4") => Array::new(shape, numbers(file, i32::from_le_bytes)?)?,
        other => return Err(format!("elements of type {other:?} are not read, only f32 and i32").into()),
    })
}

/// The numbers of four bytes that are left in a file.
fn numbers<T>(file: &mut impl Read, number: fn([u8; 4]) -> T) -> Result<Vec<T>, Box<dyn Error>> {
    let mut numbers = Vec::new();
    let mut bytes = Vec::new();
    while file.take(PIECE).read_to_end(&mut bytes)? > 0 {
        numbers.extend(bytes.chunks_exact(4).map(|w| number([w[0], w[1], w[2], w[3]])));
        bytes.clear();
    }
    Ok(numbers)
}
