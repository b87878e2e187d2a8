//! Tensors of a file as arrays, and arrays as tensors of a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use half::{bf16, f16};
use prost::Message;
use prost::bytes::Bytes;

use crate::array::{Array, ArrayElement};
use crate::graph::{DType, Shape, TensorType};

use super::dtype::OnnxType;
use super::error::ModelError;
use super::held::to_held;
use super::proto;

/// Where tensors may have their data apart from the model's own file.
#[derive(Clone, Debug, Default)]
pub(super) struct External {
    /// The model's folder; `None` if the model does not come from a file.
    pub folder: Option<PathBuf>,
}

/// Bytes that tensors may still take from other files: twice what the files hold, so that tensors may share data, but a small model that names one large
/// file many times does not fill the memory.
#[derive(Default)]
pub(super) struct Budget {
    files: HashMap<PathBuf, u64>,
    taken: u64,
}

impl Budget {
    fn take(&mut self, path: &Path, holds: u64, bytes: u64) -> Result<(), String> {
        self.files.insert(path.to_owned(), holds);
        let all: u64 = self.files.values().fold(0, |sum, &n| sum.saturating_add(n));
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > all.saturating_mul(2) {
            return Err(format!("the tensors take {} bytes from files that hold {all}", self.taken));
        }
        Ok(())
    }
}

/// The type that a tensor declares; `Err(Some(_))` for an element type that is not supported.
pub(super) fn tensor_type(tensor: &proto::Tensor) -> Result<TensorType, TensorFault> {
    let code = OnnxType(tensor.data_type.unwrap_or(0));
    let shape = extents(&tensor.dims).map_err(TensorFault::Malformed)?;
    let Some(dtype) = code.dtype() else { return Err(TensorFault::ElementType(code)) };
    let ty = TensorType::new(dtype, shape);
    if !ty.fits_memory() {
        return Err(TensorFault::Malformed(format!("{ty} has too many elements")));
    }
    Ok(ty)
}

/// Why a tensor is no array.
#[derive(Debug)]
pub(super) enum TensorFault {
    /// There is no such element type here.
    ElementType(OnnxType),
    /// Its parts do not fit each other.
    Malformed(String),
    /// Its file cannot be read.
    Io(PathBuf, std::io::Error),
}

impl TensorFault {
    /// The error, where a type that is not supported is one too.
    pub fn into_error(self, name: &str) -> ModelError {
        let tensor = name.to_owned();
        match self {
            TensorFault::ElementType(code) => {
                ModelError::Tensor { tensor, what: format!("the element type {code} is not supported") }
            }
            TensorFault::Malformed(what) => ModelError::Tensor { tensor, what },
            TensorFault::Io(path, source) => ModelError::Io { path, source },
        }
    }
}

pub(super) fn extents(dims: &[i64]) -> Result<Shape, String> {
    let extent = |&d: &i64| usize::try_from(d).map_err(|_| format!("{d} is no extent"));
    dims.iter().map(extent).collect()
}

/// The array that a tensor of a file is.
pub(super) fn to_array(tensor: &proto::Tensor, external: &External, budget: &mut Budget) -> Result<Array, TensorFault> {
    let ty = tensor_type(tensor)?;
    if tensor.data_location == Some(proto::EXTERNAL) {
        let bytes = read_external(tensor, ty.bytes(), &ty, external, budget)?;
        return from_bytes(&ty, &bytes).map_err(TensorFault::Malformed);
    }
    let array = match &tensor.raw_data {
        Some(bytes) if !(bytes.is_empty() && has_typed_data(tensor)) => from_bytes(&ty, bytes),
        _ => from_fields(&ty, tensor),
    };
    array.map_err(TensorFault::Malformed)
}

fn has_typed_data(tensor: &proto::Tensor) -> bool {
    !tensor.float_data.is_empty()
        || !tensor.int32_data.is_empty()
        || !tensor.int64_data.is_empty()
        || !tensor.double_data.is_empty()
        || !tensor.uint64_data.is_empty()
}

/// Little-endian bytes as elements.
fn from_bytes(ty: &TensorType, bytes: &[u8]) -> Result<Array, String> {
    if bytes.len() != ty.bytes() {
        return Err(format!("{} bytes of data for {ty}, which has {}", bytes.len(), ty.bytes()));
    }
    fn elements<const N: usize, T: ArrayElement>(
        ty: &TensorType,
        bytes: &[u8],
        element: fn([u8; N]) -> T,
    ) -> Result<Array, String> {
        let chunks = bytes.chunks_exact(N);
        let of = chunks.map(|chunk| element(chunk.try_into().expect("chunks have this length")));
        Array::new(ty.shape.clone(), of.collect()).map_err(|e| e.to_string())
    }
    match ty.dtype {
        DType::Bool => elements(ty, bytes, |b: [u8; 1]| b[0] != 0),
        DType::U8 => elements(ty, bytes, u8::from_le_bytes),
        DType::I32 => elements(ty, bytes, i32::from_le_bytes),
        DType::U32 => elements(ty, bytes, u32::from_le_bytes),
        DType::I64 => elements(ty, bytes, i64::from_le_bytes),
        DType::F16 => elements(ty, bytes, f16::from_le_bytes),
        DType::BF16 => elements(ty, bytes, bf16::from_le_bytes),
        DType::F32 => elements(ty, bytes, f32::from_le_bytes),
        DType::F64 => elements(ty, bytes, f64::from_le_bytes),
    }
}

/// Elements from the typed fields.
fn from_fields(ty: &TensorType, tensor: &proto::Tensor) -> Result<Array, String> {
    fn elements<S: Copy, T: ArrayElement>(
        ty: &TensorType,
        given: &[S],
        element: impl Fn(S) -> Option<T>,
    ) -> Result<Array, String> {
        if given.len() != ty.shape.numel() {
            return Err(format!("{} elements of data for {ty}", given.len()));
        }
        let of: Option<Vec<T>> = given.iter().map(|&v| element(v)).collect();
        let of = of.ok_or_else(|| format!("a number is out of the range of {}", ty.dtype))?;
        Array::new(ty.shape.clone(), of).map_err(|e| e.to_string())
    }
    match ty.dtype {
        DType::Bool => elements(ty, &tensor.int32_data, |v| Some(v != 0)),
        DType::U8 => elements(ty, &tensor.int32_data, |v| u8::try_from(v).ok()),
        DType::I32 => elements(ty, &tensor.int32_data, Some),
        DType::U32 => elements(ty, &tensor.uint64_data, |v| u32::try_from(v).ok()),
        DType::I64 => elements(ty, &tensor.int64_data, Some),
        // The bits, in the low half of a word.
        DType::F16 => elements(ty, &tensor.int32_data, |v| u16::try_from(v).ok().map(f16::from_bits)),
        DType::BF16 => elements(ty, &tensor.int32_data, |v| u16::try_from(v).ok().map(bf16::from_bits)),
        DType::F32 => elements(ty, &tensor.float_data, Some),
        DType::F64 => elements(ty, &tensor.double_data, Some),
    }
}

/// The bytes of a tensor from a file beside the model's: as many as its type `ty` has.
pub(super) fn read_external(
    tensor: &proto::Tensor,
    bytes: usize,
    ty: &dyn std::fmt::Display,
    external: &External,
    budget: &mut Budget,
) -> Result<Vec<u8>, TensorFault> {
    let malformed = |what: String| TensorFault::Malformed(what);
    let entry = |key: &str| {
        let found = tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key));
        found.and_then(|e| e.value.as_deref())
    };
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => {
            text.parse::<u64>().map(Some).map_err(|_| malformed(format!("the {key} `{text}` of its data is no count")))
        }
    };
    let location =
        entry("location").ok_or_else(|| malformed("its data are elsewhere, but not said where".to_owned()))?;
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let path = inside(external, location)?;
    if length.is_some_and(|length| length != bytes as u64) {
        return Err(malformed(format!("{} bytes of data for {ty}, which has {bytes}", length.unwrap_or(0))));
    }
    let io = |error| TensorFault::Io(path.clone(), error);
    let mut file = crate::io::expect_file(&path).and_then(|()| File::open(&path)).map_err(io)?;
    let holds = file.metadata().map_err(io)?.len();
    if offset.checked_add(bytes as u64).is_none_or(|end| end > holds) {
        return Err(malformed(format!("its data are {bytes} bytes from {offset} of `{location}`, which has {holds}")));
    }
    budget.take(&path, holds, bytes as u64).map_err(malformed)?;
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut data = vec![0; bytes];
    file.read_exact(&mut data).map_err(io)?;
    Ok(data)
}

/// The path of a file in the model's folder. What leaves the folder, by its name or by a link, is refused.
fn inside(external: &External, location: &str) -> Result<PathBuf, TensorFault> {
    let Some(folder) = &external.folder else {
        let what = format!("its data are in the file `{location}`, but the model was not read from a folder");
        return Err(TensorFault::Malformed(what));
    };
    let leaves = || TensorFault::Malformed(format!("its data are in `{location}`, which leaves the model's folder"));
    let name = Path::new(location);
    if !name.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(leaves());
    }
    let path = folder.join(name);
    let io = |error| TensorFault::Io(path.clone(), error);
    let (real, root) = (path.canonicalize().map_err(io)?, folder.canonicalize().map_err(io)?);
    if real.starts_with(&root) { Ok(real) } else { Err(leaves()) }
}

/// The name and the array of a tensor that is a file of its own (`TensorProto`), as the ONNX project's tests keep their data.
///
/// # Errors
/// If the bytes are no such tensor, or its element type is not supported.
pub fn read_tensor(bytes: &[u8]) -> Result<(String, Array), ModelError> {
    let tensor = decoded(bytes)?;
    let name = tensor.name.clone().unwrap_or_default();
    match to_array(&tensor, &External::default(), &mut Budget::default()) {
        Ok(array) => Ok((name, array)),
        Err(fault) => Err(fault.into_error(&name)),
    }
}

/// [`read_tensor`] with the tensor's own element type, where [integers](super::Bindings::hold_integers) and [floats](super::Bindings::hold_floats) of types that
/// there are none of here are held in wider ones.
///
/// # Errors
/// As [`read_tensor`].
pub fn read_held_tensor(bytes: &[u8]) -> Result<(String, Array, OnnxType), ModelError> {
    let tensor = decoded(bytes)?;
    let name = tensor.name.clone().unwrap_or_default();
    match to_held(&tensor, &External::default(), &mut Budget::default()) {
        Ok((array, own)) => Ok((name, array, own)),
        Err(fault) => Err(fault.into_error(&name)),
    }
}

fn decoded(bytes: &[u8]) -> Result<proto::Tensor, ModelError> {
    proto::Tensor::decode(bytes).map_err(|e| ModelError::Decode(e.to_string()))
}

/// The tensor of a file that holds this array.
pub(super) fn from_array(name: &str, array: &Array) -> proto::Tensor {
    fn bytes<T: ArrayElement, const N: usize>(array: &Array, of: fn(T) -> [u8; N]) -> Vec<u8> {
        let elements: &[T] = array.as_slice().expect("the type was asked for");
        elements.iter().flat_map(|&e| of(e)).collect()
    }
    let raw = match array.dtype() {
        DType::Bool => bytes(array, |b: bool| [u8::from(b)]),
        DType::U8 => bytes(array, u8::to_le_bytes),
        DType::I32 => bytes(array, i32::to_le_bytes),
        DType::U32 => bytes(array, u32::to_le_bytes),
        DType::I64 => bytes(array, i64::to_le_bytes),
        DType::F16 => bytes(array, f16::to_le_bytes),
        DType::BF16 => bytes(array, bf16::to_le_bytes),
        DType::F32 => bytes(array, f32::to_le_bytes),
        DType::F64 => bytes(array, f64::to_le_bytes),
    };
    proto::Tensor {
        dims: array.shape().iter().map(|&d| d as i64).collect(),
        data_type: Some(OnnxType::of(array.dtype()).0),
        name: Some(name.to_owned()),
        raw_data: Some(Bytes::from(raw)),
        ..proto::Tensor::default()
    }
}
