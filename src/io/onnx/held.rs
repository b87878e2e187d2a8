//! Integers of types that there are none of here, held in wider ones.
//!
//! Which are held, and in what, [`ElementType`](crate::io::ElementType) says.
//!
//! A held tensor's elements are always numbers of its own type: what computes with them [wraps](OnnxType::wrapped) its result. Operators take held operands
//! only if their [record](super::ops) says how.

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Shape, TensorType};
use crate::io::ElementType;
use crate::io::element::Bits;
use crate::scalar::ScalarFn;

use super::checked::{Checked, Made};
use super::dtype::OnnxType;
use super::error::Fault;
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
        self.element_type().map(ElementType::holder)
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

    /// Numbers of the holder modulo 2^n, as numbers of this type.
    pub(super) fn wrapped<'g>(self, x: Tensor<'g>) -> Made<'g> {
        let Some(Bits { count: count @ ..32, signed }) = self.bits() else { return Ok(x) };
        let low = x.with(ScalarFn::And, f64::from((1u32 << count) - 1))?;
        if !signed {
            return Ok(low);
        }
        let half = f64::from(1u32 << (count - 1));
        low.with(ScalarFn::Xor, half)?.with(ScalarFn::Sub, half)
    }
}

/// Numbers of one type in another. Integers wrap.
pub(super) fn convert<'g>(x: Tensor<'g>, from: OnnxType, to: OnnxType) -> Result<Value<'g>, Fault> {
    let Some(holder) = to.holder() else { return super::error::unsupported(format!("element type {to}")) };
    let converted = match (from, to) {
        (OnnxType::UINT64, _) if holder.is_float() => unsigned_to_float(x, holder)?,
        (_, OnnxType::UINT64) if x.dtype().is_float() => float_to_unsigned(x)?,
        _ => x.to(holder)?,
    };
    Ok(to.value(if from == to { converted } else { to.wrapped(converted)? }))
}

/// Numbers of 64 bits without sign as floats. Those with the highest bit set are halved first, with the bit that is lost kept in the lowest, so that they are rounded once.
fn unsigned_to_float<'g>(x: Tensor<'g>, dtype: DType) -> Made<'g> {
    let number = |v: i64| x.builder().constant(Array::scalar(v));
    let shifted = x.f2(ScalarFn::Shr, number(1))?.f2(ScalarFn::And, number(i64::MAX))?;
    let halved = shifted.f2(ScalarFn::Or, x.f2(ScalarFn::And, number(1))?)?;
    let high = halved.to(dtype)?.with(ScalarFn::Mul, 2.0)?.to(dtype)?;
    x.f2(ScalarFn::Lt, number(0))?.choose(high, x.to(dtype)?)
}

/// Floats as numbers of 64 bits without sign.
fn float_to_unsigned<'g>(x: Tensor<'g>) -> Made<'g> {
    let x = x.wide()?;
    let (half, highest) = (9_223_372_036_854_775_808.0, x.builder().constant(Array::scalar(i64::MIN)));
    let above = x.with(ScalarFn::Sub, half)?.to(DType::I64)?.f2(ScalarFn::Xor, highest)?;
    x.with(ScalarFn::Ge, half)?.choose(above, x.to(DType::I64)?)
}

/// The array that a tensor of a file is, of the type that holds its own.
pub(super) fn to_held(
    tensor: &proto::Tensor,
    external: &External,
    budget: &mut Budget,
) -> Result<(Array, OnnxType), TensorFault> {
    let code = OnnxType(tensor.data_type.unwrap_or(0));
    let Some((shape, bits, size)) = layout(tensor)? else {
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
        given = field_bytes(tensor, code, bits).map_err(TensorFault::Malformed)?;
        &given
    };
    if bytes.len() != size {
        return Err(TensorFault::Malformed(format!("{} bytes of data for {named}, which has {size}", bytes.len())));
    }
    elements(&shape, bits, bytes).map(|array| (array, code)).map_err(TensorFault::Malformed)
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
fn layout(tensor: &proto::Tensor) -> Result<Option<(Shape, Bits, usize)>, TensorFault> {
    let code = OnnxType(tensor.data_type.unwrap_or(0));
    let (Some(bits), Some(holder)) = (code.bits(), code.holder()) else { return Ok(None) };
    let shape = extents(&tensor.dims).map_err(TensorFault::Malformed)?;
    let size = shape.checked_numel().and_then(|n| n.checked_mul(bits.count as usize)).map(|n| n.div_ceil(8));
    match size.filter(|_| TensorType::new(holder, shape.clone()).fits_memory()) {
        Some(size) => Ok(Some((shape, bits, size))),
        None => Err(TensorFault::Malformed(format!("{code}{shape} has too many elements"))),
    }
}

/// The bytes that the typed fields stand for. Of types of fewer than 8 bits, each number of the field is a byte.
fn field_bytes(tensor: &proto::Tensor, code: OnnxType, bits: Bits) -> Result<Vec<u8>, String> {
    let outside = || format!("a number is out of the range of {code}");
    let given = &tensor.int32_data;
    match (bits.count, bits.signed) {
        (64, _) => Ok(tensor.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect()),
        (16, true) => {
            let numbers: Option<Vec<i16>> = given.iter().map(|&v| i16::try_from(v).ok()).collect();
            Ok(numbers.ok_or_else(outside)?.into_iter().flat_map(i16::to_le_bytes).collect())
        }
        (16, false) => {
            let numbers: Option<Vec<u16>> = given.iter().map(|&v| u16::try_from(v).ok()).collect();
            Ok(numbers.ok_or_else(outside)?.into_iter().flat_map(u16::to_le_bytes).collect())
        }
        _ => {
            // Bytes with a sign or without.
            let byte = |&v: &i32| (-128..256).contains(&v).then_some(v as u8);
            given.iter().map(byte).collect::<Option<Vec<u8>>>().ok_or_else(outside)
        }
    }
}

/// Little-endian bytes as elements of the holder; several to a byte begin with the lowest bits.
fn elements(shape: &Shape, bits: Bits, bytes: &[u8]) -> Result<Array, String> {
    let array = |numbers: Vec<i32>| Array::new(shape.clone(), numbers).map_err(|e| e.to_string());
    let words = bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match (bits.count, bits.signed) {
        (64, _) => {
            let words =
                bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("chunks have this length")));
            Array::new(shape.clone(), words.collect()).map_err(|e| e.to_string())
        }
        (16, true) => array(words.map(|b| i16::from_le_bytes(b).into()).collect()),
        (16, false) => array(words.map(|b| u16::from_le_bytes(b).into()).collect()),
        (count, signed) => {
            let each = 8 / count as usize;
            let up = 32 - count;
            let number = |i: usize| {
                let own = u32::from(bytes[i / each] >> (i % each * count as usize)) << up;
                if signed { own as i32 >> up } else { (own >> up) as i32 }
            };
            array((0..shape.numel()).map(number).collect())
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
