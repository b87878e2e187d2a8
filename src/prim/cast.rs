//! Conversion to another element type.
//!
//! Between numbers it is Rust's `as`: floats round to nearest, a float becomes an integer by dropping its fraction, values out of range become the
//! nearest integer, NaN becomes 0; `f16` and `bf16` are converted from and to other types through `f32`; integers wrap to types that do not hold them. A truth value is 0 or 1; a number is true unless it equals 0, so NaN is true.

use half::{bf16, f16};

use crate::array::{Array, ArrayElement};
use crate::graph::{DType, NodeId, OpErrorKind, TensorType};
use crate::scalar::{Number, math};

use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Vjp, arity, array, elements, with_element};

/// Conversion to another element type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// The element type of the result.
    pub dtype: DType,
}

/// Element types that convert to each other.
trait Convert: ArrayElement + Into<Number> {
    fn to<T: Convert>(self) -> T;
    fn from_i64(v: i64) -> Self;
    fn from_f64(v: f64) -> Self;
}

macro_rules! convert {
    ($t:ident, $to:ident) => {
        impl Convert for $t {
            fn to<T: Convert>(self) -> T {
                T::$to(self.into())
            }
            fn from_i64(v: i64) -> $t {
                v as $t
            }
            fn from_f64(v: f64) -> $t {
                v as $t
            }
        }
    };
}
convert!(u8, from_i64);
convert!(i32, from_i64);
convert!(u32, from_i64);
convert!(i64, from_i64);
convert!(f32, from_f64);
convert!(f64, from_f64);

macro_rules! convert_half {
    ($t:ident, $of:ident) => {
        impl Convert for $t {
            fn to<T: Convert>(self) -> T {
                T::from_f64(self.into())
            }
            fn from_i64(v: i64) -> $t {
                math::half::$of(v as f32)
            }
            fn from_f64(v: f64) -> $t {
                math::half::$of(v as f32)
            }
        }
    };
}
convert_half!(f16, f16_of);
convert_half!(bf16, bf16_of);

impl Convert for bool {
    fn to<T: Convert>(self) -> T {
        T::from_i64(self.into())
    }
    fn from_i64(v: i64) -> bool {
        v != 0
    }
    fn from_f64(v: f64) -> bool {
        v != 0.0
    }
}

/// The conversion of one number.
pub(crate) fn cast_number(x: Number, to: DType) -> Number {
    fn convert<A: Convert>(x: A, to: DType) -> Number {
        with_element!(to, B => x.to::<B>().into())
    }
    match x {
        Number::Bool(x) => convert(x, to),
        Number::U8(x) => convert(x, to),
        Number::I32(x) => convert(x, to),
        Number::U32(x) => convert(x, to),
        Number::I64(x) => convert(x, to),
        Number::F16(x) => convert(x, to),
        Number::BF16(x) => convert(x, to),
        Number::F32(x) => convert(x, to),
        Number::F64(x) => convert(x, to),
    }
}

impl Primitive for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn accepts(name: &str) -> bool {
        name == "cast"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn parse(_: &str, _: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError> {
        Ok(Cast { dtype: ty.dtype })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        Ok(operands[0].with_dtype(self.dtype))
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let from = cx.operand_ty(0).dtype;
        let g = (from.is_float() && self.dtype.is_float()).then(|| cx.emit.cast(cx.cotangent, from));
        Cotangents::from_slice(&[g])
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        cx.linear(self.clone())
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(self.clone())
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        fn convert<A: Convert, B: Convert>(a: &Array, ty: &TensorType) -> Array {
            array(ty, elements::<A>(a).iter().map(|&x| x.to::<B>()).collect())
        }
        let a = operands[0];
        with_element!(a.dtype(), A => with_element!(ty.dtype, B => convert::<A, B>(a, ty)))
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Cast
    }
}
