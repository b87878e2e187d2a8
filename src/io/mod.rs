//! Files: models to run, arrays and parameters in and out.
//!
//! ```text
//!   npy, npz, safetensors, csv, IDX --read--> Array, or arrays by name --write--> npy, npz, safetensors, csv
//!   safetensors <--save, load--> Params
//!   ONNX, text form --Model::read--> Model --run, grad--> arrays by name --folder::write--> a folder of npy files
//! ```
//!
//! | format | module | feature |
//! |---|---|---|
//! | npy, one array of NumPy | [`npy`] | always there |
//! | npz, arrays of NumPy by name | `npz` | `npz` |
//! | safetensors, arrays by name | `safetensors` | `safetensors` |
//! | ONNX models | `onnx` | `onnx` |
//! | CSV, tables of numbers | `csv` | `csv` |
//! | IDX, the format of MNIST | [`data::idx`](crate::data::idx) | always there; gzipped ones by `gzip` |
//!
//! Element types and shapes come in and go out exactly. Where a format has narrower numbers than arrays (`i8`, `i16`, `u16`), they are read
//! as the next wider type, which holds the same values; an [`ElementType`] tells them apart, for models that have such types, and `u64` too. [`read_arrays`] tells formats apart by their first bytes.
//!
//! Nothing in a file makes these functions panic or take more memory than the file has bytes for, up to a factor, which for compressed files is that of the
//! compression: what is wrong with one is a [`FileError`] that names the file, what was expected and what is there.

#[cfg(feature = "csv")]
pub mod csv;
mod element;
mod elements;
mod error;
pub mod folder;
pub mod model;
#[cfg(feature = "ndarray")]
mod ndarray;
pub mod npy;
#[cfg(feature = "npz")]
pub mod npz;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "safetensors")]
pub mod safetensors;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::array::Array;
use crate::data::idx::Idx;

pub use element::{ArrayType, ElementType, TypedView};
pub(crate) use error::unread;
pub use error::{FileError, FileErrorKind};
pub use model::{LoadError, Model, ModelError};

/// Reads all arrays of a file of any format, by name. What holds one array without a name gives it the name of the file, without folder and extension.
///
/// # Errors
/// If the file cannot be read or is malformed, or its format is unknown or not built in.
pub fn read_arrays(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>, FileError> {
    let path = path.as_ref();
    let plain = |read| element::plain(read).map_err(|kind| FileError::new(path, kind));
    read_typed_arrays(path)?.into_iter().map(|(name, read)| Ok((name, plain(read)?))).collect()
}

/// [`read_arrays`] with the types that the elements have in the file. Those of `u64` are read too, and held in `i64`: see [`ElementType`].
///
/// # Errors
/// As [`read_arrays`].
pub fn read_typed_arrays(path: impl AsRef<Path>) -> Result<BTreeMap<String, (Array, ElementType)>, FileError> {
    let path = path.as_ref();
    let fail = |kind| FileError::new(path, kind);
    let start = first_bytes(path).map_err(fail)?;
    let named = |array| {
        let name = path.file_stem().map_or_else(|| "array".into(), |s| s.to_string_lossy().into_owned());
        BTreeMap::from([(name, array)])
    };
    match format_of(path, &start) {
        Some(ArrayFormat::Npy) => npy::read_typed(path).map(named),
        Some(ArrayFormat::Npz) => read_npz(path),
        Some(ArrayFormat::Idx) => {
            crate::data::idx::read(path).map(|idx| named(untyped(idx.into_array()))).map_err(|e| fail(e.kind.into()))
        }
        Some(ArrayFormat::Safetensors) => read_safetensors(path),
        Some(ArrayFormat::Table) => read_csv(path, None).map(|array| named(untyped(array))),
        None => Err(fail(FileErrorKind::UnknownFormat { given: start })),
    }
}

/// An array with its own element type as that of the file.
fn untyped(array: Array) -> (Array, ElementType) {
    let element = array.dtype().into();
    (array, element)
}

/// A format of arrays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ArrayFormat {
    Npy,
    Npz,
    Idx,
    Safetensors,
    Table,
}

/// The format of a file that begins with these bytes.
fn format_of(path: &Path, start: &[u8]) -> Option<ArrayFormat> {
    let is = |extension: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
    match start {
        _ if start.starts_with(npy::MAGIC) => Some(ArrayFormat::Npy),
        [b'P', b'K', ..] => Some(ArrayFormat::Npz),
        [0x1f, 0x8b, ..] | [0, 0, 8..=14, _, ..] => Some(ArrayFormat::Idx),
        // A length of eight bytes, then an object.
        [_, _, _, _, _, _, _, _, b'{'] => Some(ArrayFormat::Safetensors),
        _ if is("safetensors") => Some(ArrayFormat::Safetensors),
        _ if is("csv") || is("txt") => Some(ArrayFormat::Table),
        _ => None,
    }
}

/// True if [`read_arrays`] reads this file as safetensors.
#[cfg(feature = "safetensors")]
pub(crate) fn is_safetensors(path: &Path) -> Result<bool, FileError> {
    let start = first_bytes(path).map_err(|kind| FileError::new(path, kind))?;
    Ok(format_of(path, &start) == Some(ArrayFormat::Safetensors))
}

/// Reads one array from a file of any format. `FILE:NAME` is the array called NAME of an npz or safetensors file, `FILE:COLUMN,COLUMN` are columns of a
/// table; a file of the whole name comes first.
///
/// # Errors
/// As [`read_arrays`], and if the file holds several arrays and no name is given, or none of that name.
pub fn read_array(source: &str) -> Result<Array, FileError> {
    element::plain(read_typed_array(source)?).map_err(|kind| FileError::new(source, kind))
}

/// [`read_array`] with the type that the elements have in the file, as [`read_typed_arrays`] gives it.
///
/// # Errors
/// As [`read_array`].
pub fn read_typed_array(source: &str) -> Result<(Array, ElementType), FileError> {
    let (path, name) = match source.rsplit_once(':') {
        Some((path, name)) if !Path::new(source).exists() && Path::new(path).exists() => (path, Some(name)),
        _ => (source, None),
    };
    if let Some(name) = name
        && Path::new(path).extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"))
    {
        return read_csv(Path::new(path), Some(name)).map(untyped);
    }
    let mut arrays = read_typed_arrays(path)?;
    let names = |arrays: BTreeMap<String, _>| arrays.into_keys().collect::<Vec<_>>();
    match name {
        Some(name) => arrays.remove(name).ok_or_else(|| {
            FileError::new(path, FileErrorKind::UnknownName { name: name.to_owned(), known: names(arrays) })
        }),
        None if arrays.len() == 1 => Ok(arrays.pop_first().expect("there is one").1),
        None => Err(FileError::new(path, FileErrorKind::Several { names: names(arrays) })),
    }
}

/// True if [`read_array`] takes this for a table of numbers, whose elements are `i64` or `f64` because it says nothing of them.
pub fn is_table(source: &str) -> bool {
    let path = match source.rsplit_once(':') {
        Some((path, _)) if !Path::new(source).exists() => path,
        _ => source,
    };
    Path::new(path).extension().is_some_and(|e| e.eq_ignore_ascii_case("csv") || e.eq_ignore_ascii_case("txt"))
}

#[cfg(feature = "npz")]
fn read_npz(path: &Path) -> Result<BTreeMap<String, (Array, ElementType)>, FileError> {
    npz::read_typed(path)
}

#[cfg(not(feature = "npz"))]
fn read_npz(path: &Path) -> Result<BTreeMap<String, (Array, ElementType)>, FileError> {
    Err(FileError::new(path, FileErrorKind::Feature { format: "npz" }))
}

#[cfg(feature = "safetensors")]
fn read_safetensors(path: &Path) -> Result<BTreeMap<String, (Array, ElementType)>, FileError> {
    safetensors::read_typed(path)
}

#[cfg(not(feature = "safetensors"))]
fn read_safetensors(path: &Path) -> Result<BTreeMap<String, (Array, ElementType)>, FileError> {
    Err(FileError::new(path, FileErrorKind::Feature { format: "safetensors" }))
}

#[cfg(feature = "csv")]
fn read_csv(path: &Path, columns: Option<&str>) -> Result<Array, FileError> {
    let table = csv::read(path)?;
    let Some(columns) = columns else { return Ok(table.into_array()) };
    let names: Vec<&str> = columns.split(',').collect();
    table.select(&names).map(csv::Table::into_array).map_err(|kind| FileError::new(path, kind))
}

#[cfg(not(feature = "csv"))]
fn read_csv(path: &Path, _: Option<&str>) -> Result<Array, FileError> {
    Err(FileError::new(path, FileErrorKind::Feature { format: "csv" }))
}

/// Checks that a path leads to a file or a folder. A pipe may never give anything, and what it gives can be read once, but files are looked at first.
pub(crate) fn expect_file(path: &Path) -> std::io::Result<()> {
    let kind = std::fs::metadata(path)?.file_type();
    match kind.is_file() || kind.is_dir() {
        true => Ok(()),
        false => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "it is a pipe or a device, and only files on a disk are read",
        )),
    }
}

/// The first nine bytes of a file, or all if there are fewer.
fn first_bytes(path: &Path) -> Result<Vec<u8>, FileErrorKind> {
    let mut start = Vec::new();
    let file = expect_file(path).and_then(|()| File::open(path)).map_err(FileErrorKind::Read)?;
    file.take(9).read_to_end(&mut start).map_err(FileErrorKind::Read)?;
    Ok(start)
}

/// The whole of a file.
#[cfg(any(feature = "npz", feature = "safetensors"))]
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, FileErrorKind> {
    std::fs::read(path).map_err(FileErrorKind::Read)
}

/// Checks that a file can be at this place, before anything is computed that would be lost.
///
/// # Errors
/// If it is a folder, or in none that exists.
pub fn expect_writable(path: impl AsRef<Path>) -> Result<(), FileError> {
    let path = path.as_ref();
    let fail = |kind, what: String| Err(FileError::new(path, FileErrorKind::Write(std::io::Error::new(kind, what))));
    if path.is_dir() {
        return fail(ErrorKind::IsADirectory, "it is a folder".to_owned());
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            fail(ErrorKind::NotFound, format!("there is no folder {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file as a whole: a file that is there is replaced at once or stays as it is.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&beside);
    })
}

impl Idx {
    /// The elements as an array; `i8` and `i16` become `i32`.
    pub fn into_array(self) -> Array {
        use crate::data::idx::Elements;
        let shape = self.shape().clone();
        let array = match self.into_elements() {
            Elements::U8(v) => Array::new(shape, v),
            Elements::I8(v) => Array::new(shape, v.into_iter().map(i32::from).collect()),
            Elements::I16(v) => Array::new(shape, v.into_iter().map(i32::from).collect()),
            Elements::I32(v) => Array::new(shape, v),
            Elements::F32(v) => Array::new(shape, v),
            Elements::F64(v) => Array::new(shape, v),
        };
        array.expect("an IDX file has as many elements as its extents say")
    }
}
