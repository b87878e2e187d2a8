//! Numbers of types that there are none of here, held in wider ones.
//!
//! Which integers are held, and in what, [`ElementType`](crate::io::ElementType) says; [narrow floats](super::narrow) are held in single precision.
//!
//! A held tensor's elements are always numbers of its own type: what computes with integers [wraps](OnnxType::fitted) its result, and nothing computes with
//! narrow floats, which are moved and converted only. Operators take held operands only if their [record](super::ops) says how.

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Shape, TensorType};
use crate::io::ElementType;
use crate::io::element::Bits;
use crate::scalar::ScalarFn;

use super::checked::{Checked, Made};
use super::dtype::OnnxType;
use super::error::Fault;
use super::narrow::{Format, Rounding};
use super::node::Value;
use super::proto;
use super::tensor::{Budget, External, TensorFault, extents, from_array, read_external, to_array};

impl OnnxType {
    pub(super) const INT8: OnnxType = OnnxType(3);
    pub(super) const UINT16: OnnxType = OnnxType(4);
    pub(super) const INT16: OnnxType = OnnxType(5);
    pub(super) const UINT64: OnnxType = OnnxType(13);

    fn bits(self) -> Option<Bits> {
        self.element_type()?.bits()
    }

    /// The element type that holds this one: itself, or a wider one.
    pub(super) fn holder(self) -> Option<DType> {
        match self.format() {
            Some(_) => Some(DType::F32),
            None => self.element_type().map(ElementType::holder),
        }
    }

    /// The smallest and the largest number of an integer type of at most 32 bits.
    pub(super) fn range(self) -> Option<(f64, f64)> {
        let bits = match self.dtype() {
            Some(DType::U8) => Bits { count: 8, signed: false },
            Some(DType::I32) => Bits { count: 32, signed: true },
            Some(DType::U32) => Bits { count: 32, signed: false },
            _ => self.bits().filter(|bits| bits.count < 64)?,
        };
        let (low, high) = bits.range();
        Some((low as f64, high as f64))
    }

    /// A tensor of the holder, all numbers of this type, as a value of this type.
    pub(super) fn value(self, tensor: Tensor<'_>) -> Value<'_> {
        if self.dtype().is_some() { Value::Tensor(tensor) } else { Value::Held(tensor, self) }
    }

    /// Numbers whose order with a sign is that of these; and back. Those of 64 bits without a sign get their highest bit flipped.
    pub(super) fn ordered<'g>(self, x: Tensor<'g>) -> Made<'g> {
        if self != OnnxType::UINT64 {
            return Ok(x);
        }
        x.f2(ScalarFn::Xor, x.builder().constant(Array::scalar(i64::MIN)))
    }

    /// Numbers of the holder as numbers of this type: integers modulo 2^n, floats rounded, where what is too large becomes infinite or NaN as far as there is
    /// such.
    pub(super) fn fitted<'g>(self, x: Tensor<'g>) -> Made<'g> {
        if let Some(format) = self.format() {
            return format.rounded(x, Rounding { saturate: false, ..Rounding::default() });
        }
        let Some(Bits { count: count @ ..32, signed }) = self.bits() else { return Ok(x) };
        let low = x.with(ScalarFn::And, f64::from((1u32 << count) - 1))?;
        if !signed {
            return Ok(low);
        }
        let half = f64::from(1u32 << (count - 1));
        low.with(ScalarFn::Xor, half)?.with(ScalarFn::Sub, half)
    }
}

/// Numbers of one type in another. Integers wrap; narrow floats are rounded as told.
pub(super) fn convert<'g>(x: Tensor<'g>, from: OnnxType, to: OnnxType, how: Rounding) -> Result<Value<'g>, Fault> {
    let Some(holder) = to.holder() else { return super::error::unsupported(format!("element type {to}")) };
    let converted = match (from, to) {
        (OnnxType::UINT64, _) if holder.is_float() => unsigned_to_float(x, holder)?,
        (_, OnnxType::UINT64) if x.dtype().is_float() => float_to_unsigned(x)?,
        _ => x.to(holder)?,
    };
    Ok(to.value(match to.format() {
        _ if from == to => converted,
        Some(format) => format.rounded(converted, how)?,
        None => to.fitted(converted)?,
    }))
}

/// Numbers of 64 bits without sign as floats. Those with the highest bit set are halved first, with the bit that is lost kept in the lowest, so that they are rounded once.
fn unsigned_to_float<'g>(x: Tensor<'g>, dtype: DType) -> Made<'g> {
    let number = |v: i64| x.builder().constant(Array::scalar(v));
    let halved = halved(x)?.f2(ScalarFn::Or, x.f2(ScalarFn::And, number(1))?)?;
    let high = halved.to(dtype)?.with(ScalarFn::Mul, 2.0)?.to(dtype)?;
    x.f2(ScalarFn::Lt, number(0))?.choose(high, x.to(dtype)?)
}

/// The halves of numbers of 64 bits without sign, rounded down.
fn halved<'g>(x: Tensor<'g>) -> Made<'g> {
    let number = |v: i64| x.builder().constant(Array::scalar(v));
    x.f2(ScalarFn::Shr, number(1))?.f2(ScalarFn::And, number(i64::MAX))
}

/// Quotients of numbers of 64 bits without sign, 0 where the divisor is 0.
pub(super) fn unsigned_quotient<'g>(a: Tensor<'g>, b: Tensor<'g>) -> Made<'g> {
    let number = |v: i64| a.builder().constant(Array::scalar(v));
    let at_least =
        |a: Tensor<'g>, b: Tensor<'g>| OnnxType::UINT64.ordered(a)?.f2(ScalarFn::Ge, OnnxType::UINT64.ordered(b)?);
    // By a divisor below 2^63: twice the quotient of the half, which is at most 1 too small.
    let even = halved(a)?.f2(ScalarFn::Div, b)?.f2(ScalarFn::Shl, number(1))?;
    let rest = a.f2(ScalarFn::Sub, even.f2(ScalarFn::Mul, b)?)?;
    let small = even.f2(ScalarFn::Add, at_least(rest, b)?.to(DType::I64)?)?;
    let large = at_least(a, b)?.to(DType::I64)?;
    let quotient = b.f2(ScalarFn::Lt, number(0))?.choose(large, small)?;
    b.f2(ScalarFn::Eq, number(0))?.choose(number(0), quotient)
}

/// Numbers of 64 bits without sign shifted to the right.
pub(super) fn unsigned_shift<'g>(x: Tensor<'g>, by: Tensor<'g>) -> Made<'g> {
    let number = |v: i64| x.builder().constant(Array::scalar(v));
    let shifted = halved(x)?.f2(ScalarFn::Shr, by.f2(ScalarFn::Sub, number(1))?)?;
    by.f2(ScalarFn::Eq, number(0))?.choose(x, shifted)
}

/// Floats as numbers of 64 bits without sign.
fn float_to_unsigned<'g>(x: Tensor<'g>) -> Made<'g> {
    let x = x.wide()?;
    let (half, highest) = (9_223_372_036_854_775_808.0, x.builder().constant(Array::scalar(i64::MIN)));
    let above = x.with(ScalarFn::Sub, half)?.to(DType::I64)?.f2(ScalarFn::Xor, highest)?;
    x.with(ScalarFn::Ge, half)?.choose(above, x.to(DType::I64)?)
}

/// How the elements of a held type are stored.
#[derive(Clone, Copy)]
enum Stored {
    Integer(Bits),
    Float(&'static Format),
}

impl Stored {
    fn of(code: OnnxType) -> Option<Stored> {
        code.format().map(Stored::Float).or_else(|| code.bits().map(Stored::Integer))
    }

    /// The bits of an element.
    fn count(self) -> usize {
        match self {
            Stored::Integer(bits) => bits.count as usize,
            Stored::Float(format) => format.bits as usize,
        }
    }
}

/// The array that a tensor of a file is, of the type that holds its own.
pub(super) fn to_held(
    tensor: &proto::Tensor,
    external: &External,
    budget: &mut Budget,
) -> Result<(Array, OnnxType), TensorFault> {
    let code = OnnxType(tensor.data_type.unwrap_or(0));
    let Some((shape, stored, size)) = layout(tensor)? else {
        return to_array(tensor, external, budget).map(|array| (array, code));
    };
    let named = format!("{code}{shape}");
    let given;
    let bytes: &[u8] = if tensor.data_location == Some(proto::EXTERNAL) {
        given = read_external(tensor, size, &named, external, budget)?;
        &given
    } else if let Some(raw) = tensor.raw_data.as_deref().filter(|raw| !raw.is_empty()) {
        raw
    } else {
        given = field_bytes(tensor, code, stored).map_err(TensorFault::Malformed)?;
        &given
    };
    if bytes.len() != size {
        return Err(TensorFault::Malformed(format!("{} bytes of data for {named}, which has {size}", bytes.len())));
    }
    elements(&shape, stored, bytes).map(|array| (array, code)).map_err(TensorFault::Malformed)
}

/// A tensor of a file with its data in itself, where they were in another file.
pub(super) fn inlined(
    tensor: &proto::Tensor,
    external: &External,
    budget: &mut Budget,
) -> Result<proto::Tensor, TensorFault> {
    let name = tensor.name.as_deref().unwrap_or("");
    let Some((shape, _, size)) = layout(tensor)? else {
        return to_array(tensor, external, budget).map(|array| from_array(name, &array));
    };
    let code = OnnxType(tensor.data_type.unwrap_or(0));
    let bytes = read_external(tensor, size, &format!("{code}{shape}"), external, budget)?;
    Ok(proto::Tensor { raw_data: Some(bytes.into()), external_data: Vec::new(), data_location: None, ..tensor.clone() })
}

/// The shape, the bits of an element and the count of bytes of a tensor whose type is held in a wider one.
fn layout(tensor: &proto::Tensor) -> Result<Option<(Shape, Stored, usize)>, TensorFault> {
    let code = OnnxType(tensor.data_type.unwrap_or(0));
    let (Some(stored), Some(holder)) = (Stored::of(code), code.holder()) else { return Ok(None) };
    let shape = extents(&tensor.dims).map_err(TensorFault::Malformed)?;
    let size = shape.checked_numel().and_then(|n| n.checked_mul(stored.count())).map(|n| n.div_ceil(8));
    match size.filter(|_| TensorType::new(holder, shape.clone()).fits_memory()) {
        Some(size) => Ok(Some((shape, stored, size))),
        None => Err(TensorFault::Malformed(format!("{code}{shape} has too many elements"))),
    }
}

/// The bytes that the typed fields stand for. A number of the field is an element of 6, 8 or 16 bits, or a byte of several smaller ones.
fn field_bytes(tensor: &proto::Tensor, code: OnnxType, stored: Stored) -> Result<Vec<u8>, String> {
    let given = &tensor.int32_data;
    let wrong = |v: i32| format!("the number {v} is out of the range of {code}");
    let bytes = |of: fn(i32) -> Option<u8>| given.iter().map(|&v| of(v).ok_or_else(|| wrong(v))).collect();
    let words = |of: fn(i32) -> Option<[u8; 2]>| {
        let words: Result<Vec<[u8; 2]>, String> = given.iter().map(|&v| of(v).ok_or_else(|| wrong(v))).collect();
        words.map(|words| words.concat())
    };
    match stored {
        Stored::Integer(Bits { count: 64, .. }) => {
            Ok(tensor.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        Stored::Integer(Bits { count: 16, signed: true }) => words(|v| i16::try_from(v).ok().map(i16::to_le_bytes)),
        Stored::Integer(Bits { count: 16, signed: false }) => words(|v| u16::try_from(v).ok().map(u16::to_le_bytes)),
        Stored::Integer(Bits { count: 8, signed: true }) => bytes(|v| i8::try_from(v).ok().map(|v| v as u8)),
        Stored::Float(Format { bits: 6, .. }) => {
            let codes: Vec<u8> = bytes(|v| u8::try_from(v).ok().filter(|v| *v < 64))?;
            // Four to three bytes, from the lowest bits on.
            let packed = codes.chunks(4).flat_map(|four| {
                let word = four.iter().rev().fold(0u32, |word, &code| word << 6 | u32::from(code));
                word.to_le_bytes().into_iter().take((four.len() * 6).div_ceil(8))
            });
            Ok(packed.collect())
        }
        _ => bytes(|v| u8::try_from(v).ok()),
    }
}

/// Little-endian bytes as elements of the holder; elements of fewer than 8 bits begin with the lowest bits.
fn elements(shape: &Shape, stored: Stored, bytes: &[u8]) -> Result<Array, String> {
    let integers = |numbers: Vec<i32>| Array::new(shape.clone(), numbers).map_err(|e| e.to_string());
    let words = bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    let each = stored.count();
    // The bits of an element of at most 8, which may lie in two bytes.
    let code = |i: usize| {
        let (at, from) = (i * each / 8, i * each % 8);
        let both = u16::from_le_bytes([bytes[at], bytes.get(at + 1).copied().unwrap_or(0)]);
        u32::from(both >> from) & ((1 << each) - 1)
    };
    match stored {
        Stored::Integer(Bits { count: 64, .. }) => {
            let words =
                bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("chunks have this length")));
            Array::new(shape.clone(), words.collect()).map_err(|e| e.to_string())
        }
        Stored::Integer(Bits { count: 16, signed: true }) => {
            integers(words.map(|b| i16::from_le_bytes(b).into()).collect())
        }
        Stored::Integer(Bits { count: 16, signed: false }) => {
            integers(words.map(|b| u16::from_le_bytes(b).into()).collect())
        }
        Stored::Integer(Bits { count, signed }) => {
            let up = 32 - count;
            let number = |i: usize| {
                let own = code(i) << up;
                if signed { own as i32 >> up } else { (own >> up) as i32 }
            };
            integers((0..shape.numel()).map(number).collect())
        }
        Stored::Float(format) => {
            let number = |i: usize| format.decode(code(i) as u8);
            Array::new(shape.clone(), (0..shape.numel()).map(number).collect()).map_err(|e| e.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: i32, dims: &[i64], bytes: &[u8]) -> Result<(Array, OnnxType), TensorFault> {
        let raw_data = Some(bytes.to_vec().into());
        let tensor = proto::Tensor { dims: dims.to_vec(), data_type: Some(code), raw_data, ..proto::Tensor::default() };
        to_held(&tensor, &External::default(), &mut Budget::default())
    }

    #[test]
    fn numbers_keep_their_sign_and_order() {
        let numbers = |code, dims: &[i64], bytes: &[u8]| read(code, dims, bytes).expect("an array").0.to_f64_vec();
        assert_eq!(numbers(3, &[2], &[0x80, 0x7f]), [-128.0, 127.0]);
        assert_eq!(numbers(4, &[1], &[0xff, 0xff]), [65535.0]);
        assert_eq!(numbers(5, &[1], &[0xff, 0xff]), [-1.0]);
        assert_eq!(numbers(21, &[3], &[0x2f, 0x01]), [15.0, 2.0, 1.0]);
        assert_eq!(numbers(22, &[3], &[0x2f, 0x01]), [-1.0, 2.0, 1.0]);
        assert_eq!(numbers(26, &[4], &[0b11_10_01_00]), [0.0, 1.0, -2.0, -1.0]);
        assert_eq!(numbers(13, &[1], &[0xff; 8]), [-1.0]);
    }

    #[test]
    fn data_that_do_not_fit_are_errors() {
        for (code, dims, bytes) in
            [(3, &[2][..], &[0; 3][..]), (22, &[3], &[0; 3]), (13, &[1 << 62, 1 << 62], &[]), (3, &[-1], &[])]
        {
            assert!(read(code, dims, bytes).is_err(), "{code} {dims:?}");
        }
    }

    #[test]
    fn every_range_is_that_of_its_type() {
        assert_eq!(OnnxType::INT8.range(), Some((-128.0, 127.0)));
        assert_eq!(OnnxType::UINT16.range(), Some((0.0, 65535.0)));
        assert_eq!(OnnxType(22).range(), Some((-8.0, 7.0)));
        assert_eq!(OnnxType::UINT64.range(), None);
    }
}
