//! One number whose type is known at run time.

use half::{bf16, f16};
use smallvec::SmallVec;

use crate::graph::DType;

use super::{Plain, ScalarFn, Value};

macro_rules! number {
    ($($variant:ident $rust:ident),*) => {
        /// A number of any element type.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) enum Number {
            $($variant($rust),)*
        }

        impl Number {
            /// Its type.
            pub(crate) fn dtype(self) -> DType {
                match self {
                    $(Number::$variant(_) => DType::$variant,)*
                }
            }

            /// The order of two numbers of one type; none with a NaN.
            ///
            /// # Panics
            /// If the types differ.
            pub(crate) fn compare(self, other: Number) -> Option<std::cmp::Ordering> {
                match (self, other) {
                    $((Number::$variant(a), Number::$variant(b)) => a.partial_cmp(&b),)*
                    (a, b) => panic!("comparison of {} with {}", a.dtype(), b.dtype()),
                }
            }
        }

        $(impl From<$rust> for Number {
            fn from(value: $rust) -> Number {
                Number::$variant(value)
            }
        }

        impl TryFrom<Number> for $rust {
            type Error = DType;

            /// The number, or its type if that is another one.
            fn try_from(number: Number) -> Result<$rust, DType> {
                match number {
                    Number::$variant(value) => Ok(value),
                    other => Err(other.dtype()),
                }
            }
        })*
    };
}
number!(Bool bool, U8 u8, I32 i32, U32 u32, I64 i64, F16 f16, BF16 bf16, F32 f32, F64 f64);

impl Number {
    /// The number that these bytes are in memory. A truth value is true unless its byte is 0.
    ///
    /// # Panics
    /// If there are not as many bytes as the type has.
    pub(crate) fn from_memory(dtype: DType, bytes: &[u8]) -> Number {
        const SIZE: &str = "as many bytes as the type has";
        match dtype {
            DType::Bool => Number::Bool(bytes[0] != 0),
            DType::U8 => Number::U8(bytes[0]),
            DType::U32 => Number::U32(u32::from_ne_bytes(bytes.try_into().expect(SIZE))),
            DType::I32 => Number::I32(i32::from_ne_bytes(bytes.try_into().expect(SIZE))),
            DType::I64 => Number::I64(i64::from_ne_bytes(bytes.try_into().expect(SIZE))),
            DType::F16 => Number::F16(f16::from_ne_bytes(bytes.try_into().expect(SIZE))),
            DType::BF16 => Number::BF16(bf16::from_ne_bytes(bytes.try_into().expect(SIZE))),
            DType::F32 => Number::F32(f32::from_ne_bytes(bytes.try_into().expect(SIZE))),
            DType::F64 => Number::F64(f64::from_ne_bytes(bytes.try_into().expect(SIZE))),
        }
    }

    /// Writes the number's bytes.
    ///
    /// # Panics
    /// If there is not room for exactly as many bytes as the type has.
    pub(crate) fn to_memory(self, bytes: &mut [u8]) {
        match self {
            Number::Bool(v) => bytes.copy_from_slice(&[v.into()]),
            Number::U8(v) => bytes.copy_from_slice(&[v]),
            Number::U32(v) => bytes.copy_from_slice(&v.to_ne_bytes()),
            Number::I32(v) => bytes.copy_from_slice(&v.to_ne_bytes()),
            Number::I64(v) => bytes.copy_from_slice(&v.to_ne_bytes()),
            Number::F16(v) => bytes.copy_from_slice(&v.to_ne_bytes()),
            Number::BF16(v) => bytes.copy_from_slice(&v.to_ne_bytes()),
            Number::F32(v) => bytes.copy_from_slice(&v.to_ne_bytes()),
            Number::F64(v) => bytes.copy_from_slice(&v.to_ne_bytes()),
        }
    }

    /// The number as a float of double precision, rounded if need be.
    pub(crate) fn to_f64(self) -> f64 {
        match self {
            Number::Bool(v) => f64::from(u8::from(v)),
            Number::U8(v) => v.into(),
            Number::I32(v) => v.into(),
            Number::U32(v) => v.into(),
            Number::I64(v) => v as f64,
            Number::F16(v) => v.into(),
            Number::BF16(v) => v.into(),
            Number::F32(v) => v.into(),
            Number::F64(v) => v,
        }
    }

    /// The integer, if it is one.
    pub(crate) fn as_int(self) -> Option<i64> {
        match self {
            Number::U8(v) => Some(v.into()),
            Number::I32(v) => Some(v.into()),
            Number::U32(v) => Some(v.into()),
            Number::I64(v) => Some(v),
            _ => None,
        }
    }
}

macro_rules! through_lanes {
    ($name:ident, $lane:ident, $float:ident, $int:ident) => {
        fn $name(f: ScalarFn, args: &[Number], dtype: DType) -> Number {
            let args: SmallVec<[Value<Plain<$lane>>; 3]> = args
                .iter()
                .map(|&a| match a {
                    Number::$float(v) => Value::F(v),
                    Number::$int(v) => Value::I(v),
                    Number::U8(v) => Value::U(v.into()),
                    Number::U32(v) => Value::U(v as _),
                    Number::Bool(v) => Value::M(v),
                    a => panic!("{} of a number of type {}", f.name(), a.dtype()),
                })
                .collect();
            match f.apply(&mut Plain::<$lane>::default(), &args) {
                Value::F(v) => Number::$float(v),
                Value::I(v) => Number::$int(v),
                Value::U(v) if dtype == DType::U8 => Number::U8(v as u8),
                Value::U(v) => Number::U32(v as u32),
                Value::M(v) => Number::Bool(v),
            }
        }
    };
}
through_lanes!(apply_narrow, f32, F32, I32);
through_lanes!(apply_wide, f64, F64, I64);

impl ScalarFn {
    /// The function of single numbers, whose types its signature accepts.
    ///
    /// # Panics
    /// If it does not.
    pub(crate) fn apply_numbers(self, args: &[Number]) -> Number {
        // The last operand has the type that is computed with; the first may be a condition.
        let dtype = args[args.len() - 1].dtype();
        match dtype {
            DType::Bool | DType::U8 | DType::I32 | DType::U32 | DType::F32 => apply_narrow(self, args, dtype),
            DType::I64 | DType::F64 => apply_wide(self, args, dtype),
            DType::F16 | DType::BF16 => panic!("{} of a number of type {dtype}, which is for storage", self.name()),
        }
    }
}
