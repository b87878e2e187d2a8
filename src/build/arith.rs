//! Arithmetic, comparisons and elementary functions of tensors.

use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Sub};

use crate::graph::{DType, TensorType};
use crate::prim::Cast;
use crate::scalar::ScalarFn;

use super::Tensor;

/// A tensor or a number, as the right operand of an operator or of a method such as [`Tensor::maximum`]. A number takes the tensor's element type.
///
/// Numbers on the right are `f64`, `f32`, `i64` or `i32`, on the left of an operator `f64` or `i32`, so that literals need no suffix:
///
/// ```
/// # use cotangent::prelude::*;
/// # let g = Builder::new();
/// # let x = g.input("x", f32([3]));
/// let y = (2.0 * (x - 1.0).exp() + 1).sqrt();
/// ```
pub trait Operand<'g> {
    /// The operand as a tensor beside `other`.
    #[doc(hidden)]
    fn beside(self, other: Tensor<'g>) -> Tensor<'g>;
}

impl<'g> Operand<'g> for Tensor<'g> {
    fn beside(self, _: Tensor<'g>) -> Tensor<'g> {
        self
    }
}

// One implementation for all right operands tells the compiler that the result is a tensor before it knows which number type a literal has, so that
// `(x - 1.0).exp()` needs no annotation. On the left, one float and one integer type serve the same end.
macro_rules! binary_operators {
    ($($trait:ident $method:ident $f:ident),*) => {$(
        impl<'g, R: Operand<'g>> $trait<R> for Tensor<'g> {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, other: R) -> Tensor<'g> {
                let other = other.beside(self);
                Tensor::map(ScalarFn::$f, &[self, other])
            }
        }
        binary_operators!(@left $trait $method: f64 i32);
    )*};
    (@left $trait:ident $method:ident: $($number:ident)*) => {$(
        impl<'g> $trait<Tensor<'g>> for $number {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, other: Tensor<'g>) -> Tensor<'g> {
                $trait::$method(self.beside(other), other)
            }
        }
    )*};
}
binary_operators!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div, Rem rem Rem);

macro_rules! number_operands {
    ($($number:ident)*) => {$(
        impl<'g> Operand<'g> for $number {
            #[track_caller]
            fn beside(self, other: Tensor<'g>) -> Tensor<'g> {
                other.builder.number(TensorType::new(other.dtype(), []), self as f64)
            }
        }
    )*};
}
number_operands!(f64 f32 i64 i32);

macro_rules! logic_operators {
    ($($trait:ident $method:ident $f:ident),*) => {$(
        impl<'g> $trait for Tensor<'g> {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, other: Tensor<'g>) -> Tensor<'g> {
                Tensor::map(ScalarFn::$f, &[self, other])
            }
        }
    )*};
}
logic_operators!(BitAnd bitand And, BitOr bitor Or, BitXor bitxor Xor);

impl<'g> Neg for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn neg(self) -> Tensor<'g> {
        Tensor::map(ScalarFn::Neg, &[self])
    }
}

impl<'g> Not for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn not(self) -> Tensor<'g> {
        Tensor::map(ScalarFn::Not, &[self])
    }
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $method:ident $f:ident;)*) => {
        /// Functions of each element. Unless said otherwise they take floats; accuracy and special values are documented in [`crate::scalar::math`].
        impl<'g> Tensor<'g> {
            $($(#[$doc])*
            ///
            /// # Panics
            /// If the element type is not one that the function takes.
            #[track_caller]
            pub fn $method(self) -> Tensor<'g> {
                Tensor::map(ScalarFn::$f, &[self])
            })*
        }
    };
}
unary_methods! {
    /// The absolute value. The derivative at 0 is 0.
    abs Abs;
    /// -1, 0 or 1 as the element is negative, zero or positive.
    sign Sign;
    /// `e^x`.
    exp Exp;
    /// `e^x - 1`, accurate near 0.
    expm1 Expm1;
    /// The natural logarithm.
    log Log;
    /// `ln(1 + x)`, accurate near 0.
    log1p Log1p;
    /// `ln(1 + e^x)`, without overflow.
    softplus Softplus;
    /// The hyperbolic tangent.
    tanh Tanh;
    /// `1 / (1 + e^-x)`.
    sigmoid Sigmoid;
    /// The square root.
    sqrt Sqrt;
    /// `1 / sqrt(x)`.
    rsqrt Rsqrt;
    /// The error function.
    erf Erf;
    /// The sine of an angle in radians.
    sin Sin;
    /// The cosine of an angle in radians.
    cos Cos;
    /// The largest integer not above the element. The derivative is 0.
    floor Floor;
    /// The smallest integer not below the element. The derivative is 0.
    ceil Ceil;
    /// The nearest integer, ties to even. The derivative is 0.
    round Round;
    /// The element without its fraction. The derivative is 0.
    trunc Trunc;
    /// Whether the element is NaN, as `bool`.
    is_nan IsNan;
    /// The tensor itself, which differentiation takes for a constant.
    stop_gradient StopGradient;
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $method:ident $f:ident;)*) => {
        /// Functions of two tensors that broadcast, or of a tensor and a number.
        impl<'g> Tensor<'g> {
            $($(#[$doc])*
            ///
            /// # Panics
            /// If shapes or element types do not fit.
            #[track_caller]
            pub fn $method(self, other: impl Operand<'g>) -> Tensor<'g> {
                let other = other.beside(self);
                Tensor::map(ScalarFn::$f, &[self, other])
            })*
        }
    };
}
binary_methods! {
    /// The larger element; NaN if either is. Equal elements share the cotangent.
    maximum Max;
    /// The smaller element; NaN if either is. Equal elements share the cotangent.
    minimum Min;
    /// The element to the power of the other; floats only.
    pow Pow;
    /// `==`, as `bool`.
    eq Eq;
    /// `!=`, as `bool`.
    ne Ne;
    /// `<`, as `bool`.
    lt Lt;
    /// `<=`, as `bool`.
    le Le;
    /// `>`, as `bool`.
    gt Gt;
    /// `>=`, as `bool`.
    ge Ge;
}

impl<'g> Tensor<'g> {
    /// Where this `bool` tensor holds, the element of `a`, elsewhere of `b`. One of them may be a number if the other is a tensor; all broadcast.
    ///
    /// # Panics
    /// If this is not a `bool` tensor, or shapes or element types do not fit.
    #[track_caller]
    pub fn select(self, a: Tensor<'g>, b: impl Operand<'g>) -> Tensor<'g> {
        let b = b.beside(a);
        Tensor::map(ScalarFn::Select, &[self, a, b])
    }

    /// Conversion of each element: between numbers Rust's `as`; truth values are 0 and 1, and a number is true unless it equals 0.
    #[track_caller]
    pub fn cast(self, dtype: DType) -> Tensor<'g> {
        if self.dtype() == dtype { self } else { self.builder.push(Cast { dtype }, &[self]) }
    }

    /// The square of each element.
    #[track_caller]
    pub fn square(self) -> Tensor<'g> {
        self * self
    }
}
