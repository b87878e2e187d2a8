//! Element types, shapes and tensor types.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use half::{bf16, f16};
use smallvec::SmallVec;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// Truth value, one byte in memory, 0 or 1.
    Bool,
    /// 8-bit unsigned integer; arithmetic wraps.
    U8,
    /// 32-bit signed integer; arithmetic wraps.
    I32,
    /// 32-bit unsigned integer; arithmetic wraps.
    U32,
    /// 64-bit signed integer; arithmetic wraps.
    I64,
    /// IEEE 754 half precision, a type of storage: operations compute in `f32` ([`DType::is_half`]).
    F16,
    /// The upper half of a single: its range with 8 bits of precision. A type of storage, as `f16`.
    BF16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
}

impl DType {
    /// Every element type.
    pub const ALL: [DType; 9] =
        [DType::Bool, DType::U8, DType::I32, DType::U32, DType::I64, DType::F16, DType::BF16, DType::F32, DType::F64];

    /// Bytes of one element in memory.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 => 1,
            DType::F16 | DType::BF16 => 2,
            DType::I32 | DType::U32 | DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// True for `f16`, `bf16`, `f32` and `f64`, the types that have gradients.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    /// True for `f16` and `bf16`, in which numbers are stored but not computed with.
    ///
    /// In a graph, an operand of these types may be moved (reshaped, sliced, gathered, carried by a loop ...) and converted; every other operation refuses it. The methods
    /// of [`Tensor`](crate::Tensor) insert the conversions: they compute in `f32` and round the result back, once for a whole composite such as `softmax` or
    /// `mean`.
    pub const fn is_half(self) -> bool {
        matches!(self, DType::F16 | DType::BF16)
    }

    /// True for `u8`, `i32`, `u32` and `i64`.
    pub const fn is_int(self) -> bool {
        matches!(self, DType::U8 | DType::I32 | DType::U32 | DType::I64)
    }

    /// True for the integer types without a sign.
    pub const fn is_unsigned(self) -> bool {
        matches!(self, DType::U8 | DType::U32)
    }

    /// True if an axis of this extent has no more places than the type, an integer type, can number.
    pub(crate) fn numbers(self, extent: usize) -> bool {
        let Some(last) = extent.checked_sub(1) else { return true };
        match self {
            DType::U8 => u8::try_from(last).is_ok(),
            DType::I32 => i32::try_from(last).is_ok(),
            DType::U32 => u32::try_from(last).is_ok(),
            _ => true,
        }
    }

    /// The name in the text form: `f32`, `bool` ...
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "u8",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::I64 => "i64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no element type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an element type; there are bool, u8, i32, u32, i64, f16, bf16, f32, f64")]
pub struct UnknownDType(pub String);

impl FromStr for DType {
    type Err = UnknownDType;

    fn from_str(s: &str) -> Result<Self, UnknownDType> {
        DType::ALL.into_iter().find(|d| d.name() == s).ok_or_else(|| UnknownDType(s.to_owned()))
    }
}

/// A Rust type that is the memory form of a [`DType`].
pub trait Element: Copy + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// The corresponding element type.
    const DTYPE: DType;
}

macro_rules! element {
    ($($rust:ident $dtype:ident),*) => {$(
        impl Element for $rust {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}
element!(bool Bool, u8 U8, i32 I32, u32 U32, i64 I64, f16 F16, bf16 BF16, f32 F32, f64 F64);

/// A short list of axis numbers, extents or strides, kept inline up to four entries.
pub type Dims<T = usize> = SmallVec<[T; 4]>;

/// The extents of a tensor, outermost axis first. A scalar has none.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Dims);

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements: the product of the extents, 1 for a scalar. For shapes of graph nodes this fits in `isize`.
    pub fn numel(&self) -> usize {
        self.0.iter().product()
    }

    /// Number of elements, or `None` if that overflows `isize`.
    pub fn checked_numel(&self) -> Option<usize> {
        let n = self.0.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)))?;
        if n > isize::MAX as usize { None } else { Some(self.numel()) }
    }

    /// Strides of the row-major layout, in elements.
    pub fn strides(&self) -> Dims<isize> {
        let mut strides: Dims<isize> = SmallVec::from_elem(1, self.rank());
        for axis in (1..self.rank()).rev() {
            strides[axis - 1] = strides[axis] * self.0[axis] as isize;
        }
        strides
    }

    /// The shape without the given axes.
    pub fn without(&self, axes: &[usize]) -> Shape {
        self.0.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect()
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Self {
        Shape(iter.into_iter().collect())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        dims.into_iter().collect()
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(SmallVec::from_slice(dims))
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Shape(SmallVec::from_vec(dims))
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Element type and shape of a tensor, written `f32[50, 64]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The element type.
    pub dtype: DType,
    /// The extents.
    pub shape: Shape,
}

impl TensorType {
    /// The type with this element type and shape.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> TensorType {
        TensorType { dtype, shape: shape.into() }
    }

    /// Bytes of the tensor in memory, row-major and without gaps.
    pub fn bytes(&self) -> usize {
        self.shape.numel() * self.dtype.size()
    }

    /// True if the bytes of the tensor can be counted in `isize`, as they can for types of graph nodes.
    pub(crate) fn fits_memory(&self) -> bool {
        let bytes = self.shape.checked_numel().and_then(|n| n.checked_mul(self.dtype.size()));
        bytes.is_some_and(|b| b <= isize::MAX as usize)
    }

    /// The same shape with another element type.
    pub fn with_dtype(&self, dtype: DType) -> TensorType {
        TensorType { dtype, shape: self.shape.clone() }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

impl fmt::Debug for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! type_constructors {
    ($($name:ident $dtype:ident),*) => {$(
        #[doc = concat!("The type of `", stringify!($name), "` tensors of the given shape: `", stringify!($name), "([2, 3])`.")]
        pub fn $name(shape: impl Into<Shape>) -> TensorType {
            TensorType::new(DType::$dtype, shape)
        }
    )*};
}

/// Constructors of tensor types, named like their element types.
pub mod types {
    use super::{DType, Shape, TensorType};
    type_constructors!(bool Bool, u8 U8, i32 I32, u32 U32, i64 I64, f16 F16, bf16 BF16, f32 F32, f64 F64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_count_of_huge_shapes_is_refused() {
        assert_eq!(Shape::from([1 << 40, 1 << 40]).checked_numel(), None);
        assert_eq!(Shape::from([0, 1 << 40, 1 << 40]).checked_numel(), None);
        assert_eq!(Shape::from([0, 7]).checked_numel(), Some(0));
    }

    #[test]
    fn types_print_as_in_the_text_form() {
        assert_eq!(types::f32([50, 64]).to_string(), "f32[50, 64]");
        assert_eq!(types::bool([]).to_string(), "bool[]");
    }
}
