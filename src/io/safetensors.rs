//! safetensors, a format of named arrays, and parameters in it.
//!
//! Names are kept as they are, so that what a PyTorch user calls `fc1.weight` is the parameter `fc1.weight`. Elements of `i8`, `i16` and `u16` are read as
//! `i32`; a [`TypedView`] is written with its own element type. Integers of two and four bits, which the format lacks, are written as `i8`.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use crate::array::Array;
use crate::graph::{DType, TensorType};
use crate::runtime::Params;

use super::element::{ElementType, TypedView, plain};
use super::elements;
use super::{FileError, FileErrorKind, read_file, write_file};

/// Reads all arrays of a safetensors file, by name.
///
/// # Errors
/// If the file cannot be read or is malformed, or holds elements that arrays cannot.
pub fn read(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>, FileError> {
    let path = path.as_ref();
    read_file(path).and_then(|bytes| parse(&bytes)).map_err(|kind| FileError::new(path, kind))
}

/// [`read`] with the types that the elements have in the file. Those of `u64` are read too, and held in `i64`: see [`ElementType`].
///
/// # Errors
/// As [`read`].
pub fn read_typed(path: impl AsRef<Path>) -> Result<BTreeMap<String, (Array, ElementType)>, FileError> {
    let path = path.as_ref();
    read_file(path).and_then(|bytes| parse_typed(&bytes)).map_err(|kind| FileError::new(path, kind))
}

/// Reads the arrays of a safetensors file in memory.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Array>, FileErrorKind> {
    parse_typed(bytes)?.into_iter().map(|(name, read)| Ok((name, plain(read)?))).collect()
}

pub(crate) fn parse_typed(bytes: &[u8]) -> Result<BTreeMap<String, (Array, ElementType)>, FileErrorKind> {
    let tensors = SafeTensors::deserialize(bytes).map_err(malformed)?;
    tensors.iter().map(|(name, tensor)| Ok((name.to_owned(), array(&tensor)?))).collect()
}

/// The texts by key that a safetensors file in memory holds beside its arrays; none if it has none.
///
/// # Errors
/// If the bytes are no safetensors file.
pub fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, FileErrorKind> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    Ok(metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// Writes arrays by name as a safetensors file. A file that is there is replaced as a whole or stays as it is.
///
/// # Errors
/// If the file cannot be written.
pub fn write<'a, V: Into<TypedView<'a>>>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (&'a str, V)>,
) -> Result<(), FileError> {
    let path = path.as_ref();
    let bytes = to_bytes(arrays, &BTreeMap::new()).map_err(|kind| FileError::new(path, kind))?;
    write_file(path, &bytes).map_err(|e| FileError::new(path, FileErrorKind::Write(e)))
}

/// A safetensors file in memory: arrays and texts by name.
///
/// # Errors
/// If the names are too long for the format.
pub fn to_bytes<'a, V: Into<TypedView<'a>>>(
    arrays: impl IntoIterator<Item = (&'a str, V)>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, FileErrorKind> {
    let encoded: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = arrays
        .into_iter()
        .map(|(name, view)| {
            let view = view.into();
            let mut bytes = Vec::new();
            elements::write_typed(&mut bytes, &view).expect("memory takes all that is written");
            (name, dtype(view.ty().element), view.view().shape().to_vec(), bytes)
        })
        .collect();
    let views = encoded.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("the bytes are those of the elements");
        (*name, view)
    });
    let metadata = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect());
    safetensors::serialize(views, metadata).map_err(malformed)
}

/// Why parameters cannot be taken from a file. Nothing is changed then.
#[derive(thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file's arrays are not the parameters.
    #[error("{file} does not hold the program's parameters:{}", Differences { missing, unexpected, types })]
    Parameters {
        /// The file.
        file: String,
        /// Parameters that the file lacks.
        missing: Vec<String>,
        /// Arrays that no parameter is called like.
        unexpected: Vec<String>,
        /// Parameters that are typed otherwise: their type, then that in the file.
        types: Vec<(String, TensorType, TensorType)>,
    },
}

crate::error::debug_as_display!(LoadError);

/// Prints what differs, a line each.
struct Differences<'a> {
    missing: &'a [String],
    unexpected: &'a [String],
    types: &'a [(String, TensorType, TensorType)],
}

impl std::fmt::Display for Differences<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (what, names) in [("missing", self.missing), ("not a parameter", self.unexpected)] {
            if !names.is_empty() {
                write!(f, "\n  {what}: {}", names.join(", "))?;
            }
        }
        self.types
            .iter()
            .try_for_each(|(name, ty, given)| write!(f, "\n  `{name}` is {ty}, the file holds {given}"))?;
        if self.missing.is_empty() && self.types.is_empty() {
            f.write_str("\n`load_safetensors_subset` takes the parameters and leaves the rest")?;
        }
        Ok(())
    }
}

impl Params {
    /// Writes all parameters and states to a safetensors file, under their names.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_safetensors(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let values = self.values();
        write(path, values.iter().map(|(name, value)| (&**name, value)))
    }

    /// Sets all parameters and states from a safetensors file that holds each of them, under its name, and nothing else.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a parameter, holds others, or one is typed unlike the parameter; the error lists all of these.
    pub fn load_safetensors(&self, path: impl AsRef<Path>) -> Result<(), LoadError> {
        self.load(path.as_ref(), true)
    }

    /// [`Params::load_safetensors`] from a file that may hold other arrays too, such as the optimizer's state beside what a predictor needs: the parameters
    /// of a [`Trainer`](crate::train::Trainer), or its checkpoint.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a parameter, or one is typed unlike the parameter; the error lists all of these.
    pub fn load_safetensors_subset(&self, path: impl AsRef<Path>) -> Result<(), LoadError> {
        self.load(path.as_ref(), false)
    }

    fn load(&self, path: &Path, whole: bool) -> Result<(), LoadError> {
        let mut arrays = read(path)?;
        let (mut missing, mut types, mut fitting) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in self.values() {
            match arrays.remove(&*name) {
                None => missing.push(name.to_string()),
                Some(array) if array.ty() != value.ty() => types.push((name.to_string(), value.ty(), array.ty())),
                Some(array) => fitting.push((name, array)),
            }
        }
        let unexpected: Vec<String> = arrays.into_keys().filter(|_| whole).collect();
        if missing.is_empty() && unexpected.is_empty() && types.is_empty() {
            for (name, array) in &fitting {
                self.set(name, array).expect("the parameter was there and of this type");
            }
            return Ok(());
        }
        Err(LoadError::Parameters { file: path.display().to_string(), missing, unexpected, types })
    }
}

fn malformed(error: SafeTensorError) -> FileErrorKind {
    FileErrorKind::format("safetensors", error.to_string())
}

fn array(tensor: &TensorView<'_>) -> Result<(Array, ElementType), FileErrorKind> {
    let element = match tensor.dtype() {
        Dtype::BOOL => ElementType::Plain(DType::Bool),
        Dtype::U8 => ElementType::Plain(DType::U8),
        Dtype::I8 => ElementType::I8,
        Dtype::I16 => ElementType::I16,
        Dtype::U16 => ElementType::U16,
        Dtype::U64 => ElementType::U64,
        Dtype::F16 => ElementType::Plain(DType::F16),
        Dtype::BF16 => ElementType::Plain(DType::BF16),
        Dtype::I32 => ElementType::Plain(DType::I32),
        Dtype::U32 => ElementType::Plain(DType::U32),
        Dtype::F32 => ElementType::Plain(DType::F32),
        Dtype::F64 => ElementType::Plain(DType::F64),
        Dtype::I64 => ElementType::Plain(DType::I64),
        other => return Err(FileErrorKind::Elements { given: other.to_string() }),
    };
    let shape: Vec<u64> = tensor.shape().iter().map(|&d| d as u64).collect();
    Ok((elements::read(&mut tensor.data(), element, false, &shape)?, element))
}

const fn dtype(element: ElementType) -> Dtype {
    let dtype = match element {
        ElementType::Plain(dtype) => dtype,
        ElementType::I16 => return Dtype::I16,
        ElementType::U16 => return Dtype::U16,
        ElementType::U64 => return Dtype::U64,
        ElementType::I2 | ElementType::U2 | ElementType::I4 | ElementType::U4 | ElementType::I8 => return Dtype::I8,
    };
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::I32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let arrays: BTreeMap<String, Array> = [
            ("fc1.weight", Array::from([[1.0f32, f32::NAN]])),
            ("fc1.bias", Array::from([-0.0f64])),
            ("n", Array::scalar(i64::MIN)),
            ("mask", Array::from([true, false, true])),
            ("empty", Array::zeros(&crate::types::u32([3, 0]))),
            ("bytes", Array::from([0u8, 255])),
        ]
        .map(|(n, a)| (n.to_owned(), a))
        .into();
        let texts = BTreeMap::from([("epoch".to_owned(), "3".to_owned())]);
        let bytes = to_bytes(arrays.iter().map(|(n, a)| (&**n, a)), &texts).unwrap();
        assert_eq!(parse(&bytes).unwrap(), arrays);
        assert_eq!(metadata(&bytes).unwrap(), texts);
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn integers_held_in_wider_types_are_written_as_what_they_are() {
        let arrays = [
            ("i8", Array::from([-128i32, 127]), ElementType::I8),
            ("i16", Array::from([-2i32, 258]), ElementType::I16),
            ("u16", Array::from([65535i32, 1]), ElementType::U16),
            ("u64", Array::from([-2i64]), ElementType::U64),
            ("plain", Array::from([-2i32]), DType::I32.into()),
        ];
        let views = arrays.iter().map(|(name, held, element)| (*name, TypedView::new(held, *element).unwrap()));
        let bytes = to_bytes(views, &BTreeMap::new()).unwrap();
        let header = String::from_utf8_lossy(&bytes);
        for dtype in ["I8", "I16", "U16", "U64", "I32"] {
            assert!(header.contains(&format!(r#""dtype":"{dtype}""#)), "{dtype}: {header}");
        }
        let read = parse_typed(&bytes).unwrap();
        assert!(arrays.into_iter().all(|(name, held, element)| read[name] == (held, element)));
        let (small, large) = (Array::from([-8i32, 7]), Array::from([15i32]));
        let views = [("i4", &small, ElementType::I4), ("u4", &large, ElementType::U4)];
        let views = views.map(|(name, held, element)| (name, TypedView::new(held, element).unwrap()));
        let read = parse_typed(&to_bytes(views, &BTreeMap::new()).unwrap()).unwrap();
        assert_eq!((&read["i4"], &read["u4"]), (&(small, ElementType::I8), &(large, ElementType::I8)));
    }

    #[test]
    fn headers_that_lie_are_errors() {
        for header in [
            r#"{"x":{"dtype":"F32","shape":[1152921504606846976,1024],"data_offsets":[0,4]}}"#,
            r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,400]}}"#,
            r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
            r#"{"x":{"dtype":"Q7","shape":[1],"data_offsets":[0,4]}}"#,
            r#"{"x":"#,
        ] {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend([0; 4]);
            assert!(parse(&bytes).is_err(), "{header}");
        }
        assert!(parse(&u64::MAX.to_le_bytes()).is_err());
    }
}
