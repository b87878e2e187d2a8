//! The element types of files and models, among them integers that arrays have no type of and hold in a wider one.
//!
//! ```text
//!   int2 uint2 int4 uint4 int8 int16 uint16   in i32
//!   uint64                                    in i64, modulo 2^64
//! ```

use std::fmt;

use crate::array::{Array, ArrayView};
use crate::graph::{DType, Shape, TensorType};

use super::FileErrorKind;

/// An element type of a file or a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// A type of arrays.
    Plain(DType),
    /// Integers of -2 to 1, held in `i32`.
    I2,
    /// Integers of 0 to 3, held in `i32`.
    U2,
    /// Integers of -8 to 7, held in `i32`.
    I4,
    /// Integers of 0 to 15, held in `i32`.
    U4,
    /// Integers of 8 bits with a sign, held in `i32`.
    I8,
    /// Integers of 16 bits with a sign, held in `i32`.
    I16,
    /// Integers of 16 bits without a sign, held in `i32`.
    U16,
    /// Integers of 64 bits without a sign, held in `i64`: where that is negative, it stands for the number that is larger by 2^64.
    U64,
}

/// The bits of a type that is held in a wider one.
#[derive(Clone, Copy)]
pub(crate) struct Bits {
    pub(crate) count: u32,
    pub(crate) signed: bool,
}

impl Bits {
    /// The smallest and the largest number.
    pub(crate) fn range(self) -> (i128, i128) {
        let numbers = 1i128 << self.count;
        if self.signed { (-numbers / 2, numbers / 2 - 1) } else { (0, numbers - 1) }
    }
}

impl ElementType {
    /// The bits of a type that is held in a wider one.
    pub(crate) const fn bits(self) -> Option<Bits> {
        let (count, signed) = match self {
            ElementType::Plain(_) => return None,
            ElementType::I2 => (2, true),
            ElementType::U2 => (2, false),
            ElementType::I4 => (4, true),
            ElementType::U4 => (4, false),
            ElementType::I8 => (8, true),
            ElementType::I16 => (16, true),
            ElementType::U16 => (16, false),
            ElementType::U64 => (64, false),
        };
        Some(Bits { count, signed })
    }

    /// The element type of arrays that holds this one: itself, or a wider one.
    pub const fn holder(self) -> DType {
        match self {
            ElementType::Plain(dtype) => dtype,
            ElementType::U64 => DType::I64,
            _ => DType::I32,
        }
    }

    /// Bytes of one element in a file of arrays, which has no less than one for each.
    pub(crate) const fn size(self) -> usize {
        match self {
            ElementType::Plain(dtype) => dtype.size(),
            ElementType::I16 | ElementType::U16 => 2,
            ElementType::U64 => 8,
            _ => 1,
        }
    }

    /// NumPy's and ONNX's name: `float32`, `int8`.
    pub const fn numpy_name(self) -> &'static str {
        match self {
            ElementType::Plain(dtype) => match dtype {
                DType::Bool => "bool",
                DType::U8 => "uint8",
                DType::I32 => "int32",
                DType::U32 => "uint32",
                DType::I64 => "int64",
                DType::F16 => "float16",
                DType::BF16 => "bfloat16",
                DType::F32 => "float32",
                DType::F64 => "float64",
            },
            ElementType::I2 => "int2",
            ElementType::U2 => "uint2",
            ElementType::I4 => "int4",
            ElementType::U4 => "uint4",
            ElementType::I8 => "int8",
            ElementType::I16 => "int16",
            ElementType::U16 => "uint16",
            ElementType::U64 => "uint64",
        }
    }

    /// The first element of an array of the holder that is no number of this type.
    pub(crate) fn outside(self, array: &ArrayView<'_>) -> Option<usize> {
        let (low, high) = self.bits().filter(|bits| bits.count < 32)?.range();
        let elements: &[i32] = array.as_slice().ok()?;
        elements.iter().position(|&v| !(low..=high).contains(&v.into()))
    }
}

impl From<DType> for ElementType {
    fn from(dtype: DType) -> ElementType {
        ElementType::Plain(dtype)
    }
}

impl fmt::Display for ElementType {
    /// `f32`, and of what is held in a wider type the name of NumPy and ONNX: `int8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElementType::Plain(dtype) => dtype.fmt(f),
            held => f.write_str(held.numpy_name()),
        }
    }
}

/// Element type and shape of an array in a file or of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArrayType {
    /// The element type.
    pub element: ElementType,
    /// The extents.
    pub shape: Shape,
}

impl ArrayType {
    /// The type of these elements and of this shape.
    pub fn new(element: impl Into<ElementType>, shape: impl Into<Shape>) -> ArrayType {
        ArrayType { element: element.into(), shape: shape.into() }
    }
}

impl From<TensorType> for ArrayType {
    fn from(ty: TensorType) -> ArrayType {
        ArrayType { element: ty.dtype.into(), shape: ty.shape }
    }
}

impl fmt::Display for ArrayType {
    /// `f32[2, 3]`, `int8[4]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.element, self.shape)
    }
}

/// An array to be written, with the element type that its numbers are of.
///
/// ```
/// use cotangent::Array;
/// use cotangent::io::{ElementType, TypedView, npy};
///
/// let numbers = Array::from([-1i32, 7]);
/// let bytes = TypedView::new(&numbers, ElementType::I8).expect("both are numbers of 8 bits");
/// let mut file = Vec::new();
/// npy::write_to(&mut file, bytes)?;
/// assert_eq!(npy::read_typed_from(&file[..])?, (numbers, ElementType::I8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TypedView<'a> {
    view: ArrayView<'a>,
    element: ElementType,
}

impl<'a> TypedView<'a> {
    /// The array as one of this element type; none if that is not held in the array's, or an element is no number of it.
    pub fn new(array: impl Into<ArrayView<'a>>, element: impl Into<ElementType>) -> Option<TypedView<'a>> {
        let (view, element) = (array.into(), element.into());
        let fits = view.dtype() == element.holder() && element.outside(&view).is_none();
        fits.then_some(TypedView { view, element })
    }

    /// The array that holds the numbers.
    pub fn view(&self) -> &ArrayView<'a> {
        &self.view
    }

    /// Element type and shape.
    pub fn ty(&self) -> ArrayType {
        ArrayType::new(self.element, self.view.shape().clone())
    }
}

impl<'a, A: Into<ArrayView<'a>>> From<A> for TypedView<'a> {
    fn from(array: A) -> TypedView<'a> {
        let view = array.into();
        TypedView { element: view.dtype().into(), view }
    }
}

impl fmt::Display for TypedView<'_> {
    /// Prints the elements as an [`Array`] does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view.print(f, self.element == ElementType::U64)
    }
}

/// An array that is read for whoever knows the types of arrays only: narrow integers as the next wider type.
///
/// # Errors
/// If it is of a type that has numbers which no type of arrays has.
pub(super) fn plain((array, element): (Array, ElementType)) -> Result<Array, FileErrorKind> {
    match element {
        ElementType::U64 => Err(FileErrorKind::Elements { given: element.to_string() }),
        _ => Ok(array),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_has_only_numbers_of_its_type() {
        let of = |numbers: [i32; 2], element| TypedView::new(&Array::from(numbers), element).is_some();
        for (element, low, high) in [
            (ElementType::I2, -2, 1),
            (ElementType::U2, 0, 3),
            (ElementType::I4, -8, 7),
            (ElementType::U4, 0, 15),
            (ElementType::I8, -128, 127),
            (ElementType::I16, -32768, 32767),
            (ElementType::U16, 0, 65535),
        ] {
            assert!(of([low, high], element), "{element}");
            assert!(!of([low - 1, 0], element) && !of([0, high + 1], element), "{element}");
        }
        assert!(!of([0, 0], ElementType::U64) && of([0, 0], ElementType::Plain(DType::I32)));
    }

    #[test]
    fn numbers_without_a_sign_are_printed_so() {
        let held = Array::from([-1i64, 5]);
        let view = TypedView::new(&held, ElementType::U64).unwrap();
        assert_eq!(format!("{} {view}", view.ty()), "uint64[2] [18446744073709551615                    5]");
    }
}
