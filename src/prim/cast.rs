//! Conversion to another element type.
//!
//! Between numbers it is Rust's `as`: floats round to nearest, a float becomes an integer by dropping its fraction, values out of range become the
//! nearest integer, NaN becomes 0; wider integers wrap to narrower. A truth value is 0 or 1; a number is true unless it equals 0, so NaN is true.

use crate::array::{Array, ArrayElement};
use crate::graph::{DType, OpErrorKind, TensorType};

use super::{AttrError, Attrs, Cotangents, Lowering, Primitive, Vjp, arity, array, elements};

/// Conversion to another element type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// The element type of the result.
    pub dtype: DType,
}

/// Element types that convert to each other.
trait Convert: ArrayElement {
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
convert!(i32, from_i64);
convert!(i64, from_i64);
convert!(f32, from_f64);
convert!(f64, from_f64);

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

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        fn convert<A: Convert, B: Convert>(a: &Array, ty: &TensorType) -> Array {
            array(ty, elements::<A>(a).iter().map(|&x| x.to::<B>()).collect())
        }
        fn convert_from<A: Convert>(a: &Array, ty: &TensorType) -> Array {
            match ty.dtype {
                DType::Bool => convert::<A, bool>(a, ty),
                DType::I32 => convert::<A, i32>(a, ty),
                DType::I64 => convert::<A, i64>(a, ty),
                DType::F32 => convert::<A, f32>(a, ty),
                DType::F64 => convert::<A, f64>(a, ty),
            }
        }
        match operands[0].dtype() {
            DType::Bool => convert_from::<bool>(operands[0], ty),
            DType::I32 => convert_from::<i32>(operands[0], ty),
            DType::I64 => convert_from::<i64>(operands[0], ty),
            DType::F32 => convert_from::<f32>(operands[0], ty),
            DType::F64 => convert_from::<f64>(operands[0], ty),
        }
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Cast
    }
}
