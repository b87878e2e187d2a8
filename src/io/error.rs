//! What can be wrong with a file of arrays.

use std::io::ErrorKind;
use std::path::Path;

use crate::data::DataErrorKind;

/// A file that cannot be read or written.
#[derive(thiserror::Error)]
#[error("{file}: {kind}")]
pub struct FileError {
    /// The file, or another name of the data.
    pub file: String,
    /// What is wrong.
    pub kind: FileErrorKind,
}

crate::error::debug_as_display!(FileError);

impl FileError {
    /// The error of this kind in this file.
    pub fn new(path: impl AsRef<Path>, kind: impl Into<FileErrorKind>) -> FileError {
        FileError { file: path.as_ref().display().to_string(), kind: kind.into() }
    }

    /// The error of a file that cannot be read.
    pub(crate) fn read(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> FileError {
        move |error| FileError::new(path, FileErrorKind::Read(error))
    }

    /// True if the file is sound, but what was asked of it is not there, or may be one of several.
    pub fn is_usage(&self) -> bool {
        matches!(self.kind, FileErrorKind::UnknownName { .. } | FileErrorKind::Several { .. })
    }
}

/// The ways in which a file can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum FileErrorKind {
    /// The file cannot be opened or read.
    #[error("cannot read: {}", unread(.0))]
    Read(#[source] std::io::Error),
    /// The file cannot be written.
    #[error("cannot write: {}", unwritten(.0))]
    Write(#[source] std::io::Error),
    /// The bytes are not of this format.
    #[error("not a well-formed {format} file: {what}")]
    Format {
        /// `npy`, `npz` ...
        format: &'static str,
        /// What was found, and what was expected.
        what: String,
    },
    /// Nothing in the bytes or the name tells a format.
    #[error("expected npy, npz, safetensors, csv or IDX; the file begins with the bytes {given:02x?}")]
    UnknownFormat {
        /// The first bytes, eight unless the file is shorter.
        given: Vec<u8>,
    },
    /// The elements are of a type that arrays cannot hold.
    #[error(
        "the elements are {given}; there are bool, u8, i32, u32, i64, f16, bf16, f32, f64, i8, i16 and u16 are read as i32, and u64 for inputs of models that are of that type"
    )]
    Elements {
        /// The type as the file names it.
        given: String,
    },
    /// Fewer bytes than the header announces.
    #[error("truncated: {expected} bytes of elements expected, {given} found")]
    Truncated {
        /// Bytes that the elements take.
        expected: u64,
        /// Bytes found.
        given: u64,
    },
    /// More bytes than the header announces.
    #[error("bytes behind the end: {expected} bytes of elements expected, more found")]
    Trailing {
        /// Bytes that the elements take.
        expected: u64,
    },
    /// Extents whose product no memory can hold.
    #[error("the header announces an array of shape {shape:?}, more than memory has addresses")]
    TooLarge {
        /// The extents.
        shape: Vec<u64>,
    },
    /// A name that no array of the file has.
    #[error("there is no array called `{name}`; there are: {}", if .known.is_empty() { "none".to_owned() } else { .known.join(", ") })]
    UnknownName {
        /// The name given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Several arrays where one is needed.
    #[error("expected one array, the file holds {}: {}; choose one by FILE:NAME", .names.len(), .names.join(", "))]
    Several {
        /// The names.
        names: Vec<String>,
    },
    /// A format that this build does not read.
    #[error("a file of the format {format}, and cotangent was built without its feature `{format}`")]
    Feature {
        /// The format, which is also the feature.
        format: &'static str,
    },
    /// What is wrong with an IDX file.
    #[error(transparent)]
    Idx(#[from] DataErrorKind),
}

/// Why a file is not read, in words.
pub(crate) fn unread(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::IsADirectory => "it is a folder, and a file is needed".to_owned(),
        _ => error.to_string(),
    }
}

/// Why a file or folder is not written, in words.
fn unwritten(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => "it is a file, and a folder is needed".to_owned(),
        _ => error.to_string(),
    }
}

impl FileErrorKind {
    /// A malformed file.
    pub(crate) fn format(format: &'static str, what: impl Into<String>) -> FileErrorKind {
        FileErrorKind::Format { format, what: what.into() }
    }
}
