//! IDX, the file format of MNIST.
//!
//! ```text
//!   00 00          two zero bytes
//!   08             element type: 08 u8, 09 i8, 0b i16, 0c i32, 0d f32, 0e f64
//!   03             count of axes
//!   00 00 07 05    the extents, outermost first: big-endian, four bytes each
//!   ...            the elements: row-major, big-endian
//! ```
//!
//! After Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits", "File formats for the MNIST database".

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::graph::Shape;

use super::{DataError, DataErrorKind};

/// The contents of an IDX file.
#[derive(Clone, Debug, PartialEq)]
pub struct Idx {
    shape: Shape,
    elements: Elements,
}

macro_rules! elements {
    ($($code:literal $variant:ident $rust:ident;)*) => {
        /// Elements of an IDX file, row-major.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Elements {
            $(#[doc = concat!("Type code ", stringify!($code), ": `", stringify!($rust), "`.")]
            $variant(Vec<$rust>),)*
        }

        impl Elements {
            /// Name of the element type: `u8`, `f32` ...
            pub fn type_name(&self) -> &'static str {
                match self { $(Elements::$variant(_) => stringify!($rust),)* }
            }

            /// Bytes of one element of this type code, if there is such a type.
            fn size(code: u8) -> Option<usize> {
                match code {
                    $($code => Some(size_of::<$rust>()),)*
                    _ => None,
                }
            }

            /// Elements from their big-endian bytes.
            fn decode(code: u8, bytes: &[u8]) -> Option<Elements> {
                match code {
                    $($code => {
                        let chunks = bytes.as_chunks::<{ size_of::<$rust>() }>().0.iter();
                        Some(Elements::$variant(chunks.map(|&b| $rust::from_be_bytes(b)).collect()))
                    })*
                    _ => None,
                }
            }
        }
    };
}
elements! {
    0x08 U8 u8;
    0x09 I8 i8;
    0x0b I16 i16;
    0x0c I32 i32;
    0x0d F32 f32;
    0x0e F64 f64;
}

impl Idx {
    /// The extents, outermost first.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The elements, row-major.
    pub fn elements(&self) -> &Elements {
        &self.elements
    }

    /// The elements, row-major.
    pub fn into_elements(self) -> Elements {
        self.elements
    }

    /// The elements if they are bytes.
    ///
    /// # Errors
    /// [`DataErrorKind::Elements`] if they are of another type.
    pub fn bytes(&self) -> Result<&[u8], DataErrorKind> {
        match &self.elements {
            Elements::U8(bytes) => Ok(bytes),
            other => Err(DataErrorKind::Elements { expected: "u8", given: other.type_name() }),
        }
    }

    /// Reads an IDX file from memory.
    ///
    /// # Errors
    /// If the header is none, or more or fewer bytes follow than it announces.
    pub fn parse(bytes: &[u8]) -> Result<Idx, DataErrorKind> {
        Idx::read_from(bytes)
    }

    /// Reads an IDX file, which must end where its header says. Memory is taken as bytes arrive, so a header that announces more than there is costs none.
    ///
    /// # Errors
    /// As [`Idx::parse`], and if reading fails.
    pub fn read_from(mut source: impl Read) -> Result<Idx, DataErrorKind> {
        let magic = take(&mut source, 4)?;
        let (code, rank, size) = match magic[..] {
            [0, 0, code, rank] if Elements::size(code).is_some() => (code, usize::from(rank), Elements::size(code)),
            [] => return Err(DataErrorKind::Empty),
            _ => return Err(DataErrorKind::Magic { given: magic }),
        };
        let size = size.unwrap_or(1);

        let header = 4 + 4 * rank;
        let extents = take(&mut source, 4 * rank)?;
        if extents.len() < 4 * rank {
            return Err(DataErrorKind::Truncated { shape: None, expected: header, given: 4 + extents.len() });
        }
        let extents = extents.as_chunks::<4>().0.iter();
        let shape: Vec<usize> = extents.map(|&b| u32::from_be_bytes(b) as usize).collect();
        let total = Shape::from(&shape[..])
            .checked_numel()
            .and_then(|n| n.checked_mul(size))
            .and_then(|n| n.checked_add(header))
            .filter(|&n| n < isize::MAX as usize);
        let Some(total) = total else {
            return Err(DataErrorKind::TooLarge { shape });
        };

        let body = take(&mut source, total - header + 1)?;
        let given = header + body.len();
        if given < total {
            return Err(DataErrorKind::Truncated { shape: Some(shape), expected: total, given });
        }
        if given > total {
            return Err(DataErrorKind::Trailing { shape: Some(shape), expected: total });
        }
        match Elements::decode(code, &body) {
            Some(elements) => Ok(Idx { shape: Shape::from(shape), elements }),
            None => Err(DataErrorKind::Magic { given: magic }),
        }
    }
}

/// Up to `count` bytes, fewer at the end of the source.
fn take(source: &mut impl Read, count: usize) -> Result<Vec<u8>, DataErrorKind> {
    let mut bytes = Vec::new();
    let read = source.by_ref().take(count as u64).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(DataErrorKind::Read)
}

/// Reads an IDX file, plain or gzipped, as its first bytes say.
///
/// # Errors
/// If the file cannot be read or is malformed.
pub fn read(path: impl AsRef<Path>) -> Result<Idx, DataError> {
    let path = path.as_ref();
    let open = || File::open(path).map_err(DataErrorKind::Read);
    let parse = || {
        let magic = take(&mut open()?, 2)?;
        let file = BufReader::new(open()?);
        if magic == [0x1f, 0x8b] { gunzip(file) } else { Idx::read_from(file) }
    };
    parse().map_err(|kind| DataError::new(path.display(), kind))
}

#[cfg(feature = "gzip")]
fn gunzip(file: impl Read) -> Result<Idx, DataErrorKind> {
    Idx::read_from(flate2::read::MultiGzDecoder::new(file))
}

#[cfg(not(feature = "gzip"))]
fn gunzip(_: impl Read) -> Result<Idx, DataErrorKind> {
    Err(DataErrorKind::Gzip)
}
