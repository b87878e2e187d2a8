//! npz, NumPy's archive of named arrays: a zip file of npy files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};

use crate::array::Array;

use super::element::{ElementType, TypedView, plain};
use super::{FileError, FileErrorKind, npy, read_file};

/// Reads all arrays of an npz file, as `numpy.savez` and `numpy.savez_compressed` write it, by name. A name that occurs twice is the last one's, as in
/// NumPy.
///
/// # Errors
/// If the file cannot be read or is malformed, a checksum is wrong, or an array is as [`npy::read`] refuses it.
pub fn read(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>, FileError> {
    let path = path.as_ref();
    read_file(path).and_then(|bytes| parse(&bytes)).map_err(|kind| FileError::new(path, kind))
}

/// [`read`] with the types that the elements have in the file, as [`npy::read_typed`] gives them.
///
/// # Errors
/// As [`read`].
pub fn read_typed(path: impl AsRef<Path>) -> Result<BTreeMap<String, (Array, ElementType)>, FileError> {
    let path = path.as_ref();
    read_file(path).and_then(|bytes| parse_typed(&bytes)).map_err(|kind| FileError::new(path, kind))
}

/// Reads the arrays of an npz file in memory.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Array>, FileErrorKind> {
    parse_typed(bytes)?.into_iter().map(|(name, read)| Ok((name, plain(read)?))).collect()
}

fn parse_typed(bytes: &[u8]) -> Result<BTreeMap<String, (Array, ElementType)>, FileErrorKind> {
    let malformed = |e: rawzip::Error| FileErrorKind::format("npz", e.to_string());
    let archive = ZipArchive::from_slice(bytes).map_err(malformed)?;
    let mut arrays = BTreeMap::new();
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().map_err(malformed)? {
        let file = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
        let Some(name) = file.strip_suffix(".npy") else { continue };
        let data = archive.get_entry(entry.wayfinder()).map_err(malformed)?;
        let array = match entry.compression_method() {
            CompressionMethod::STORE => npy::read_typed_from(data.verifying_reader(data.data())),
            CompressionMethod::DEFLATE => {
                npy::read_typed_from(data.verifying_reader(flate2::bufread::DeflateDecoder::new(data.data())))
            }
            other => Err(FileErrorKind::format("npz", format!("it is compressed by method {other:?}"))),
        };
        let of_entry = |kind| match kind {
            FileErrorKind::Elements { .. } => kind,
            kind => FileErrorKind::format("npz", format!("array `{name}`: {kind}")),
        };
        arrays.insert(name.to_owned(), array.map_err(of_entry)?);
    }
    Ok(arrays)
}

/// Writes arrays by name as an npz file without compression, as `numpy.savez` does.
///
/// # Errors
/// If the file cannot be written, or a name is no file name of a zip archive.
pub fn write<'a, V: Into<TypedView<'a>>>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (&'a str, V)>,
) -> Result<(), FileError> {
    let path = path.as_ref();
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        write_to(&mut file, arrays)?;
        file.flush()
    };
    write().map_err(|e| FileError::new(path, FileErrorKind::Write(e)))
}

/// Writes an npz file to a sink.
///
/// # Errors
/// As [`write()`].
pub fn write_to<'a, V: Into<TypedView<'a>>>(
    to: &mut impl Write,
    arrays: impl IntoIterator<Item = (&'a str, V)>,
) -> std::io::Result<()> {
    let mut archive = ZipArchiveWriter::new(to);
    for (name, array) in arrays {
        let file = format!("{name}.npy");
        let start = archive.new_file(&file).compression_method(CompressionMethod::STORE).start();
        let (mut entry, config) = start.map_err(std::io::Error::other)?;
        let mut writer = config.wrap(&mut entry);
        npy::write_to(&mut writer, array)?;
        let (_, descriptor) = writer.finish().map_err(std::io::Error::other)?;
        entry.finish(descriptor).map_err(std::io::Error::other)?;
    }
    archive.finish().map_err(std::io::Error::other)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrays() -> Vec<(&'static str, Array)> {
        vec![
            ("w", Array::from([[1.0f32, 2.0]])),
            ("layer/b", Array::scalar(7i64)),
            ("empty", Array::zeros(&crate::types::bool([0, 2]))),
        ]
    }

    fn archive() -> Vec<u8> {
        let mut file = Vec::new();
        write_to(&mut file, arrays().iter().map(|(n, a)| (*n, a))).unwrap();
        file
    }

    #[test]
    fn what_is_written_is_read_again() {
        let read = parse(&archive()).unwrap();
        assert_eq!(read, arrays().into_iter().map(|(n, a)| (n.to_owned(), a)).collect());
    }

    #[test]
    fn files_cut_short_or_changed_are_errors() {
        let file = archive();
        for length in 0..file.len() {
            assert!(parse(&file[..length]).is_err(), "{length} of {} bytes", file.len());
        }
        let at = file.windows(4).position(|w| w == 1.0f32.to_le_bytes()).unwrap();
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(parse(&changed).unwrap_err().to_string().contains("array `w`"));
    }

    #[test]
    fn compressed_arrays_are_read() {
        let mut npy = Vec::new();
        npy::write_to(&mut npy, &Array::zeros(&crate::types::f32([1000]))).unwrap();
        let mut file = Vec::new();
        let mut archive = ZipArchiveWriter::new(&mut file);
        let (mut entry, config) =
            archive.new_file("x.npy").compression_method(CompressionMethod::DEFLATE).start().unwrap();
        let mut writer = config.wrap(flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default()));
        writer.write_all(&npy).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
        archive.finish().unwrap();
        assert!(file.len() < 1000);
        assert_eq!(parse(&file).unwrap()["x"], Array::zeros(&crate::types::f32([1000])));
    }
}
