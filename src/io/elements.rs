//! Elements from bytes and to bytes, whatever the file format.
//!
//! Reading takes memory as bytes arrive: a header that announces more than there is costs none.

use std::io::{ErrorKind, Read, Write};

use half::{bf16, f16};

use crate::array::{Array, ArrayElement, StorageRef};
use crate::graph::Shape;
use crate::prim::with_element;

use super::FileErrorKind;
use super::element::{ElementType, TypedView};

/// A Rust type as bytes.
trait Bytes: ArrayElement {
    fn from_le(bytes: &[u8]) -> Vec<Self>;
    fn to_le(elements: &[Self], to: &mut Vec<u8>);
}

macro_rules! bytes {
    ($($rust:ident)*) => {$(
        impl Bytes for $rust {
            fn from_le(bytes: &[u8]) -> Vec<$rust> {
                bytes.as_chunks().0.iter().map(|&b| $rust::from_le_bytes(b)).collect()
            }

            fn to_le(elements: &[$rust], to: &mut Vec<u8>) {
                elements.iter().for_each(|e| to.extend_from_slice(&e.to_le_bytes()));
            }
        }
    )*};
}
bytes!(u8 i32 u32 i64 f16 bf16 f32 f64);

impl Bytes for bool {
    fn from_le(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().map(|&b| b != 0).collect()
    }

    fn to_le(elements: &[bool], to: &mut Vec<u8>) {
        to.extend(elements.iter().map(|&e| u8::from(e)));
    }
}

/// Bytes that are decoded at a time, a multiple of every element's size.
const CHUNK: usize = 1 << 16;

/// Reads the array of this shape whose elements follow in row-major order.
///
/// # Errors
/// If the shape holds too many elements, the source ends too early, or reading fails.
pub(crate) fn read(
    source: &mut impl Read,
    element: ElementType,
    big_endian: bool,
    shape: &[u64],
) -> Result<Array, FileErrorKind> {
    let fit: Option<Vec<usize>> = shape.iter().map(|&d| usize::try_from(d).ok()).collect();
    // Eight bytes an element, as the array may be of a wider type than the file.
    let counted =
        fit.map(Shape::from).and_then(|s| Some((s.checked_numel().filter(|&n| n < isize::MAX as usize / 8)?, s)));
    let Some((count, shape)) = counted else { return Err(FileErrorKind::TooLarge { shape: shape.to_vec() }) };
    let mut stream = Stream { source, left: count * element.size(), size: element.size(), big_endian, given: 0 };
    let widened = |v: Vec<[u8; 2]>, f: fn([u8; 2]) -> i32| v.into_iter().map(f).collect::<Vec<i32>>();
    let pairs = |bytes: &[u8]| bytes.as_chunks::<2>().0.to_vec();
    let array = match element {
        ElementType::Plain(dtype) => with_element!(dtype, T => Array::new(shape, stream.all(<T as Bytes>::from_le)?)),
        ElementType::U64 => Array::new(shape, stream.all(<i64 as Bytes>::from_le)?),
        ElementType::I16 => Array::new(shape, stream.all(|b| widened(pairs(b), |b| i16::from_le_bytes(b).into()))?),
        ElementType::U16 => Array::new(shape, stream.all(|b| widened(pairs(b), |b| u16::from_le_bytes(b).into()))?),
        ElementType::I2 | ElementType::I4 | ElementType::I8 => {
            Array::new(shape, stream.all(|b| b.iter().map(|&b| i32::from(b as i8)).collect::<Vec<i32>>())?)
        }
        ElementType::U2 | ElementType::U4 => {
            Array::new(shape, stream.all(|b| b.iter().map(|&b| i32::from(b)).collect::<Vec<i32>>())?)
        }
    };
    Ok(array.expect("as many elements as the shape holds are read"))
}

/// Elements of one size that follow in a source.
struct Stream<'a, R> {
    source: &'a mut R,
    /// Bytes to come.
    left: usize,
    /// Bytes of one element.
    size: usize,
    big_endian: bool,
    /// Bytes that came.
    given: usize,
}

impl<R: Read> Stream<'_, R> {
    /// All elements, of whose little-endian bytes `decode` is given a part at a time.
    fn all<T>(&mut self, decode: impl Fn(&[u8]) -> Vec<T>) -> Result<Vec<T>, FileErrorKind> {
        let mut buffer = vec![0; CHUNK.min(self.left)];
        let mut elements = Vec::new();
        while self.left > 0 {
            let part = CHUNK.min(self.left);
            let buffer = &mut buffer[..part];
            self.fill(buffer)?;
            self.left -= part;
            if self.big_endian {
                buffer.chunks_exact_mut(self.size).for_each(<[u8]>::reverse);
            }
            elements.append(&mut decode(buffer));
        }
        Ok(elements)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), FileErrorKind> {
        let (mut at, expected) = (0, self.given + self.left);
        while at < buffer.len() {
            match self.source.read(&mut buffer[at..]) {
                Ok(0) => {
                    return Err(FileErrorKind::Truncated {
                        expected: expected as u64,
                        given: (self.given + at) as u64,
                    });
                }
                Ok(n) => at += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(FileErrorKind::Read(e)),
            }
        }
        self.given += at;
        Ok(())
    }
}

/// Fails if something follows in the source.
pub(crate) fn expect_end(source: &mut impl Read, expected: usize) -> Result<(), FileErrorKind> {
    let mut one = Vec::new();
    source.take(1).read_to_end(&mut one).map_err(FileErrorKind::Read)?;
    if one.is_empty() { Ok(()) } else { Err(FileErrorKind::Trailing { expected: expected as u64 }) }
}

/// Writes the elements, row-major and little-endian.
pub(crate) fn write(to: &mut impl Write, elements: StorageRef<'_>) -> std::io::Result<()> {
    with_element!(elements.dtype(), T => chunks::<T>(to, elements, <T as Bytes>::to_le))
}

/// Writes the elements as those of their own type, row-major and little-endian.
pub(crate) fn write_typed(to: &mut impl Write, array: &TypedView<'_>) -> std::io::Result<()> {
    let elements = array.view().storage();
    match (array.ty().element, array.ty().element.size()) {
        (ElementType::Plain(_) | ElementType::U64, _) => write(to, elements),
        // The low bytes of a number of 32 bits are the number in fewer.
        (_, size) => chunks::<i32>(to, elements, |part, bytes| {
            part.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()[..size]));
        }),
    }
}

fn chunks<T: Bytes>(
    to: &mut impl Write,
    elements: StorageRef<'_>,
    encode: impl Fn(&[T], &mut Vec<u8>),
) -> std::io::Result<()> {
    let elements = T::slice(elements).expect("the type is that of the elements");
    let mut bytes = Vec::with_capacity(CHUNK);
    for part in elements.chunks(CHUNK / size_of::<T>()) {
        bytes.clear();
        encode(part, &mut bytes);
        to.write_all(&bytes)?;
    }
    Ok(())
}

/// The elements of an array whose first axis moves fastest, as Fortran has it, in row-major order.
pub(crate) fn from_fortran(array: Array) -> Array {
    fn reorder<T: ArrayElement>(array: Array) -> Array {
        let shape = array.shape().clone();
        let from = array.as_slice::<T>().expect("the type is the array's");
        let mut strides: Vec<usize> = Vec::with_capacity(shape.rank());
        let mut stride = 1;
        for &extent in shape.iter() {
            strides.push(stride);
            stride *= extent;
        }
        let mut index = vec![0; shape.rank()];
        let mut at = 0;
        let mut elements = Vec::with_capacity(from.len());
        for _ in 0..from.len() {
            elements.push(from[at]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                at -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }
        Array::new(shape, elements).expect("every element is moved once")
    }
    with_element!(array.dtype(), T => reorder::<T>(array))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fortran_order_is_undone() {
        // The columns of [[1, 2, 3], [4, 5, 6]] one behind the other.
        let columns = Array::new([2, 3], vec![1i32, 4, 2, 5, 3, 6]).unwrap();
        assert_eq!(from_fortran(columns), Array::from([[1i32, 2, 3], [4, 5, 6]]));
        for shape in [vec![], vec![0, 3], vec![1, 1, 2]] {
            let n = Shape::from(shape.clone()).numel();
            let array = Array::new(shape, (0..n as i64).collect::<Vec<_>>()).unwrap();
            assert_eq!(from_fortran(array.clone()), array);
        }
    }
}
