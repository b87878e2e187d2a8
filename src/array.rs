//! Arrays of concrete numbers: what goes into a program and what comes out.
//!
//! [`Array`] owns its elements, [`ArrayView`] borrows them. Both are row-major and without gaps.

mod convert;
mod display;

use crate::graph::{DType, Element, Shape, TensorType};
use crate::scalar::math;

/// Why numbers do not make an array.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// The count of elements is not the product of the extents.
    #[error("{given} elements do not fill the shape {shape}, which holds {}", .shape.checked_numel().map_or("too many to count".to_owned(), |n| n.to_string()))]
    Length {
        /// Elements given.
        given: usize,
        /// The shape asked for.
        shape: Shape,
    },
    /// The elements are of another type.
    #[error("the array holds {actual} elements, not {asked}")]
    DType {
        /// The array's element type.
        actual: DType,
        /// The type asked for.
        asked: DType,
    },
    /// The elements do not follow each other in memory.
    #[error("the elements do not lie row-major and without gaps")]
    Order,
}

crate::error::debug_as_display!(ArrayError);

/// The storage behind arrays: public only to the trait that seals the element types.
mod storage {
    use half::{bf16, f16};

    use super::{DType, Element};

    macro_rules! storage {
        ($($variant:ident $rust:ident),*) => {
            /// Elements whose type is known at run time.
            #[derive(Clone, Debug)]
            pub enum Storage {
                $($variant(Vec<$rust>),)*
            }

            /// Borrowed elements whose type is known at run time.
            #[derive(Clone, Copy, Debug)]
            pub enum StorageRef<'a> {
                $($variant(&'a [$rust]),)*
            }

            /// Borrowed elements that may be written, whose type is known at run time.
            #[derive(Debug)]
            pub enum StorageMut<'a> {
                $($variant(&'a mut [$rust]),)*
            }

            impl Storage {
                pub fn zeros(dtype: DType, n: usize) -> Storage {
                    match dtype { $(DType::$variant => Storage::$variant(vec![Default::default(); n]),)* }
                }

                pub fn as_ref(&self) -> StorageRef<'_> {
                    match self { $(Storage::$variant(v) => StorageRef::$variant(v),)* }
                }

                pub fn as_mut(&mut self) -> StorageMut<'_> {
                    match self { $(Storage::$variant(v) => StorageMut::$variant(v),)* }
                }

                pub fn as_mut_ptr(&mut self) -> *mut u8 {
                    match self { $(Storage::$variant(v) => v.as_mut_ptr().cast(),)* }
                }
            }

            impl StorageRef<'_> {
                pub fn dtype(&self) -> DType {
                    match self { $(StorageRef::$variant(_) => DType::$variant,)* }
                }

                pub fn len(&self) -> usize {
                    match self { $(StorageRef::$variant(v) => v.len(),)* }
                }

                /// A copy. `prepare` is told the address and the bytes of its memory before there is anything in it.
                pub fn to_storage(self, prepare: impl FnOnce(*mut u8, usize)) -> Storage {
                    match self {
                        $(StorageRef::$variant(v) => {
                            let mut copy: Vec<$rust> = Vec::with_capacity(v.len());
                            prepare(copy.as_mut_ptr().cast(), size_of_val(v));
                            copy.extend_from_slice(v);
                            Storage::$variant(copy)
                        })*
                    }
                }

                pub fn as_ptr(&self) -> *const u8 {
                    match self { $(StorageRef::$variant(v) => v.as_ptr().cast(),)* }
                }
            }

            $(impl Stored for $rust {
                fn wrap(elements: Vec<$rust>) -> Storage {
                    Storage::$variant(elements)
                }

                fn wrap_ref(elements: &[$rust]) -> StorageRef<'_> {
                    StorageRef::$variant(elements)
                }

                fn wrap_mut(elements: &mut [$rust]) -> StorageMut<'_> {
                    StorageMut::$variant(elements)
                }

                fn unwrap(storage: Storage) -> Option<Vec<$rust>> {
                    match storage {
                        Storage::$variant(v) => Some(v),
                        _ => None,
                    }
                }

                fn slice(storage: StorageRef<'_>) -> Option<&[$rust]> {
                    match storage {
                        StorageRef::$variant(v) => Some(v),
                        _ => None,
                    }
                }

                fn slice_mut(storage: StorageMut<'_>) -> Option<&mut [$rust]> {
                    match storage {
                        StorageMut::$variant(v) => Some(v),
                        _ => None,
                    }
                }
            })*
        };
    }
    storage!(Bool bool, U8 u8, I32 i32, U32 u32, I64 i64, F16 f16, BF16 bf16, F32 f32, F64 f64);

    /// The way between a Rust type and the storage.
    pub trait Stored: Element + Default {
        fn wrap(elements: Vec<Self>) -> Storage;
        fn wrap_ref(elements: &[Self]) -> StorageRef<'_>;
        fn unwrap(storage: Storage) -> Option<Vec<Self>>;
        fn slice(storage: StorageRef<'_>) -> Option<&[Self]>;
        fn slice_mut(storage: StorageMut<'_>) -> Option<&mut [Self]>;
        fn wrap_mut(elements: &mut [Self]) -> StorageMut<'_>;
    }
}
use storage::{Storage, Stored};
pub(crate) use storage::{StorageMut, StorageRef};

/// A Rust type that arrays can hold: `bool`, `u8`, `i32`, `u32`, `i64`, [`f16`](half::f16), [`bf16`](half::bf16),
/// `f32`, `f64`. Sealed.
pub trait ArrayElement: Stored {}

impl<T: Stored> ArrayElement for T {}

/// An owned row-major array. It is made from a shape and elements, or from a number, a vector, or arrays nested up to four deep.
///
/// ```
/// use cotangent::Array;
/// let a = Array::new([2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(a, Array::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]));
/// assert_eq!(a.shape()[..], [2, 3]);
/// assert_eq!(a.as_slice::<f32>()?[4], 5.0);
/// println!("{a}");
/// # Ok::<(), cotangent::ArrayError>(())
/// ```
#[derive(Clone)]
pub struct Array {
    shape: Shape,
    data: Storage,
}

impl Array {
    /// The array of the given shape with these elements in row-major order.
    ///
    /// # Errors
    /// [`ArrayError::Length`] if the count of elements does not fit the shape.
    pub fn new<T: ArrayElement>(shape: impl Into<Shape>, elements: Vec<T>) -> Result<Array, ArrayError> {
        let shape = shape.into();
        if shape.checked_numel() != Some(elements.len()) {
            return Err(ArrayError::Length { given: elements.len(), shape });
        }
        Ok(Array { shape, data: T::wrap(elements) })
    }

    /// A scalar, an array without axes.
    pub fn scalar<T: ArrayElement>(value: T) -> Array {
        Array { shape: Shape::scalar(), data: T::wrap(vec![value]) }
    }

    /// Zeros (false for truth values).
    ///
    /// # Panics
    /// If the element count of the shape overflows.
    pub fn zeros(ty: &TensorType) -> Array {
        let n = ty.shape.checked_numel().unwrap_or_else(|| panic!("{ty} has too many elements"));
        Array { shape: ty.shape.clone(), data: Storage::zeros(ty.dtype, n) }
    }

    /// An array whose every element is `value`, converted to `ty.dtype` by Rust's `as`, for truth values by `!= 0`.
    ///
    /// # Panics
    /// If the element count of the shape overflows.
    pub fn full(ty: &TensorType, value: f64) -> Array {
        let mut array = Array::zeros(ty);
        match &mut array.data {
            Storage::Bool(v) => v.fill(value != 0.0),
            Storage::U8(v) => v.fill(value as u8),
            Storage::I32(v) => v.fill(value as i32),
            Storage::U32(v) => v.fill(value as u32),
            Storage::I64(v) => v.fill(value as i64),
            Storage::F16(v) => v.fill(math::half::f16_of(value as f32)),
            Storage::BF16(v) => v.fill(math::half::bf16_of(value as f32)),
            Storage::F32(v) => v.fill(value as f32),
            Storage::F64(v) => v.fill(value),
        }
        array
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.as_ref().dtype()
    }

    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Element type and shape.
    pub fn ty(&self) -> TensorType {
        TensorType { dtype: self.dtype(), shape: self.shape.clone() }
    }

    /// Borrows the array.
    pub fn view(&self) -> ArrayView<'_> {
        ArrayView { shape: self.shape.clone(), data: self.data.as_ref() }
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the elements are not of type `T`.
    pub fn as_slice<T: ArrayElement>(&self) -> Result<&[T], ArrayError> {
        T::slice(self.data.as_ref()).ok_or(ArrayError::DType { actual: self.dtype(), asked: T::DTYPE })
    }

    /// The elements in row-major order, to be changed in place.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the elements are not of type `T`.
    pub fn as_mut_slice<T: ArrayElement>(&mut self) -> Result<&mut [T], ArrayError> {
        let actual = self.dtype();
        T::slice_mut(self.data.as_mut()).ok_or(ArrayError::DType { actual, asked: T::DTYPE })
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the elements are not of type `T`.
    pub fn into_vec<T: ArrayElement>(self) -> Result<Vec<T>, ArrayError> {
        let actual = self.dtype();
        T::unwrap(self.data).ok_or(ArrayError::DType { actual, asked: T::DTYPE })
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// [`ArrayError::Length`] if the element counts differ.
    pub fn reshaped(self, shape: impl Into<Shape>) -> Result<Array, ArrayError> {
        let shape = shape.into();
        if shape.checked_numel() != Some(self.shape.numel()) {
            return Err(ArrayError::Length { given: self.shape.numel(), shape });
        }
        Ok(Array { shape, data: self.data })
    }

    /// Element `index` in row-major order as `f64`; truth values give 0 and 1.
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn get_f64(&self, index: usize) -> f64 {
        match &self.data {
            Storage::Bool(v) => f64::from(u8::from(v[index])),
            Storage::U8(v) => f64::from(v[index]),
            Storage::I32(v) => f64::from(v[index]),
            Storage::U32(v) => f64::from(v[index]),
            Storage::I64(v) => v[index] as f64,
            Storage::F16(v) => v[index].to_f64(),
            Storage::BF16(v) => v[index].to_f64(),
            Storage::F32(v) => f64::from(v[index]),
            Storage::F64(v) => v[index],
        }
    }

    /// All elements as `f64`; truth values give 0 and 1.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        (0..self.shape.numel()).map(|i| self.get_f64(i)).collect()
    }

    /// Overwrites the elements in place; the types are equal.
    pub(crate) fn copy_from(&mut self, other: &ArrayView<'_>) {
        match (&mut self.data, other.data) {
            (Storage::Bool(to), StorageRef::Bool(from)) => to.copy_from_slice(from),
            (Storage::U8(to), StorageRef::U8(from)) => to.copy_from_slice(from),
            (Storage::I32(to), StorageRef::I32(from)) => to.copy_from_slice(from),
            (Storage::U32(to), StorageRef::U32(from)) => to.copy_from_slice(from),
            (Storage::I64(to), StorageRef::I64(from)) => to.copy_from_slice(from),
            (Storage::F16(to), StorageRef::F16(from)) => to.copy_from_slice(from),
            (Storage::BF16(to), StorageRef::BF16(from)) => to.copy_from_slice(from),
            (Storage::F32(to), StorageRef::F32(from)) => to.copy_from_slice(from),
            (Storage::F64(to), StorageRef::F64(from)) => to.copy_from_slice(from),
            _ => panic!("copy of {} elements to {}", other.dtype(), self.dtype()),
        }
    }

    pub(crate) fn storage(&self) -> StorageRef<'_> {
        self.data.as_ref()
    }

    pub(crate) fn storage_mut(&mut self) -> StorageMut<'_> {
        self.data.as_mut()
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.data.as_ref().as_ptr()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.data.as_mut_ptr()
    }
}

impl PartialEq for Array {
    /// Same element type, same shape and equal bits, so that NaN equals itself and -0 differs from +0.
    fn eq(&self, other: &Array) -> bool {
        let same = match (&self.data, &other.data) {
            (Storage::Bool(a), Storage::Bool(b)) => a == b,
            (Storage::U8(a), Storage::U8(b)) => a == b,
            (Storage::I32(a), Storage::I32(b)) => a == b,
            (Storage::U32(a), Storage::U32(b)) => a == b,
            (Storage::I64(a), Storage::I64(b)) => a == b,
            (Storage::F16(a), Storage::F16(b)) => a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits())),
            (Storage::BF16(a), Storage::BF16(b)) => a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits())),
            (Storage::F32(a), Storage::F32(b)) => a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits())),
            (Storage::F64(a), Storage::F64(b)) => a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits())),
            _ => false,
        };
        same && self.shape == other.shape
    }
}

impl Eq for Array {}

impl std::hash::Hash for Array {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.shape.hash(state);
        match &self.data {
            Storage::Bool(v) => v.hash(state),
            Storage::U8(v) => v.hash(state),
            Storage::I32(v) => v.hash(state),
            Storage::U32(v) => v.hash(state),
            Storage::I64(v) => v.hash(state),
            Storage::F16(v) => v.iter().for_each(|x| x.to_bits().hash(state)),
            Storage::BF16(v) => v.iter().for_each(|x| x.to_bits().hash(state)),
            Storage::F32(v) => v.iter().for_each(|x| x.to_bits().hash(state)),
            Storage::F64(v) => v.iter().for_each(|x| x.to_bits().hash(state)),
        }
    }
}

/// A borrowed row-major array: what [`run`](crate::Executable::run) takes.
///
/// ```
/// use cotangent::ArrayView;
/// let view = ArrayView::new([2, 2], &[1, 2, 3, 4])?;
/// assert_eq!(format!("{view:?}"), "i32[2, 2] [1, 2, 3, 4]");
/// # Ok::<(), cotangent::ArrayError>(())
/// ```
#[derive(Clone)]
pub struct ArrayView<'a> {
    shape: Shape,
    data: StorageRef<'a>,
}

impl<'a> ArrayView<'a> {
    /// The view of `elements` as an array of the given shape.
    ///
    /// # Errors
    /// [`ArrayError::Length`] if the count of elements does not fit the shape.
    pub fn new<T: ArrayElement>(shape: impl Into<Shape>, elements: &'a [T]) -> Result<ArrayView<'a>, ArrayError> {
        let shape = shape.into();
        if shape.checked_numel() != Some(elements.len()) {
            return Err(ArrayError::Length { given: elements.len(), shape });
        }
        Ok(ArrayView { shape, data: T::wrap_ref(elements) })
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Element type and shape.
    pub fn ty(&self) -> TensorType {
        TensorType { dtype: self.dtype(), shape: self.shape.clone() }
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the elements are not of type `T`.
    pub fn as_slice<T: ArrayElement>(&self) -> Result<&'a [T], ArrayError> {
        T::slice(self.data).ok_or(ArrayError::DType { actual: self.dtype(), asked: T::DTYPE })
    }

    /// A copy that owns its elements.
    pub fn to_array(&self) -> Array {
        self.to_array_in(|_, _| {})
    }

    /// A copy that owns its elements. `prepare` is told the address and the bytes of its memory before there is anything in it.
    pub(crate) fn to_array_in(&self, prepare: impl FnOnce(*mut u8, usize)) -> Array {
        Array { shape: self.shape.clone(), data: self.data.to_storage(prepare) }
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.data.as_ptr()
    }

    pub(crate) fn storage(&self) -> StorageRef<'a> {
        self.data
    }
}

impl<'a> From<&'a Array> for ArrayView<'a> {
    fn from(array: &'a Array) -> ArrayView<'a> {
        array.view()
    }
}
