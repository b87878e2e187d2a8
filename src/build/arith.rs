//! Arithmetic, comparisons and elementary functions of tensors.

use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Shl, Shr, Sub};

use crate::graph::{DType, TensorType};
use crate::prim::Cast;
use crate::scalar::ScalarFn;

use super::Tensor;

/// A tensor or a number, as the right operand of an operator or of a method such as [`Tensor::maximum`]. A number takes the tensor's element type.
///
/// Numbers on the right are `f64`, `f32`, `i64` or `i32`, on the left of an operator `f64` or `i32`, so that literals need no suffix. With an `f32` on the
/// left, Rust could not tell which type a literal there has; write `x * k` or `f64::from(k) * x`.
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
                Tensor::function(ScalarFn::$f, &[self, other])
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
                // A number is no more rounded than what it is computed with.
                let dtype = if other.dtype().is_half() { DType::F32 } else { other.dtype() };
                other.builder.number(TensorType::new(dtype, []), self as f64)
            }
        }
    )*};
}
number_operands!(f64 f32 i64 i32);

macro_rules! logic_operators {
    ($($trait:ident $method:ident $f:ident),*) => {$(
        impl<'g, R: Operand<'g>> $trait<R> for Tensor<'g> {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, other: R) -> Tensor<'g> {
                let other = other.beside(self);
                Tensor::function(ScalarFn::$f, &[self, other])
            }
        }
    )*};
}
logic_operators!(BitAnd bitand And, BitOr bitor Or, BitXor bitxor Xor, Shl shl Shl, Shr shr Shr);

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
        /// A formula that ends with one of them, such as `log(1 + exp(x))`, is built in its [stable form](crate::stability), as with operators.
        impl<'g> Tensor<'g> {
            $($(#[$doc])*
            ///
            /// # Panics
            /// If the element type is not one that the function takes.
            #[track_caller]
            pub fn $method(self) -> Tensor<'g> {
                Tensor::function(ScalarFn::$f, &[self])
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
    /// `2^x`.
    exp2 Exp2;
    /// The natural logarithm.
    #[doc(alias = "ln")]
    log Log;
    /// The logarithm to base 2.
    log2 Log2;
    /// The logarithm to base 10.
    log10 Log10;
    /// `ln(1 + x)`, accurate near 0.
    log1p Log1p;
    /// `ln(1 + e^x)`, without overflow.
    softplus Softplus;
    /// The hyperbolic tangent.
    tanh Tanh;
    /// `x / (1 + |x|)`.
    softsign Softsign;
    /// `1 / (1 + e^-x)`.
    sigmoid Sigmoid;
    /// `ln(x / (1 - x))`, the inverse of [`Tensor::sigmoid`], with relative accuracy around 1/2. Largest error: 1.9 ulp in f32, 1.8 in f64.
    logit Logit;
    /// The square root.
    sqrt Sqrt;
    /// `1 / sqrt(x)`.
    rsqrt Rsqrt;
    /// The cube root, of negative numbers too. The derivative at 0 is infinite.
    cbrt Cbrt;
    /// The error function.
    erf Erf;
    /// The complementary error function `1 - erf(x)`, with relative accuracy for large `x`.
    erfc Erfc;
    /// The inverse of the error function.
    #[doc(alias = "erfinv")]
    erf_inv ErfInv;
    /// The logarithm of the magnitude of the gamma function.
    #[doc(alias("gammaln", "loggamma"))]
    lgamma Lgamma;
    /// The derivative of [`Tensor::lgamma`].
    #[doc(alias = "psi")]
    digamma Digamma;
    /// The derivative of [`Tensor::digamma`].
    trigamma Trigamma;
    /// The sine of an angle in radians.
    sin Sin;
    /// The cosine of an angle in radians.
    cos Cos;
    /// The tangent of an angle in radians.
    tan Tan;
    /// The inverse sine, from -pi/2 to pi/2. The derivative at -1 and 1 is infinite.
    #[doc(alias = "arcsin")]
    asin Asin;
    /// The inverse cosine, from 0 to pi. The derivative at -1 and 1 is infinite.
    #[doc(alias = "arccos")]
    acos Acos;
    /// The inverse tangent, from -pi/2 to pi/2.
    #[doc(alias = "arctan")]
    atan Atan;
    /// The hyperbolic sine.
    sinh Sinh;
    /// The hyperbolic cosine.
    cosh Cosh;
    /// The inverse hyperbolic sine.
    #[doc(alias = "arcsinh")]
    asinh Asinh;
    /// The inverse hyperbolic cosine. The derivative at 1 is infinite.
    #[doc(alias = "arccosh")]
    acosh Acosh;
    /// The inverse hyperbolic tangent.
    #[doc(alias = "arctanh")]
    atanh Atanh;
    /// The largest integer not above the element. The derivative is 0.
    floor Floor;
    /// The smallest integer not below the element. The derivative is 0.
    ceil Ceil;
    /// The nearest integer, ties to even. The derivative is 0.
    round Round;
    /// The element without its fraction. The derivative is 0.
    trunc Trunc;
    /// Whether the element is NaN, as `bool`.
    #[doc(alias = "isnan")]
    is_nan IsNan;
    /// Whether the element is infinite, as `bool`.
    #[doc(alias = "isinf")]
    is_inf IsInf;
    /// Whether the element is neither NaN nor infinite, as `bool`.
    #[doc(alias = "isfinite")]
    is_finite IsFinite;
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
                Tensor::function(ScalarFn::$f, &[self, other])
            })*
        }
    };
}
binary_methods! {
    /// The larger element; NaN if either is. Equal elements share the cotangent.
    maximum Max;
    /// The smaller element; NaN if either is. Equal elements share the cotangent.
    minimum Min;
    /// The element to the power of the other: for floats with the special cases of C99's annex F, for integers wrapping; a negative power of an integer is
    /// rounded toward zero, so that it is 0 but for 1 and -1. The derivative by the exponent is 0 where the element is 0.
    #[doc(alias = "power")]
    pow Pow;
    /// The remainder of a division rounded down, with the sign of the divisor, as NumPy's `mod`; the operator `%` rounds toward zero and keeps the sign of
    /// the element. Where the divisor is 0, integers give the element and floats NaN.
    #[doc(alias("mod", "rem_euclid", "floor_mod"))]
    modulo Mod;
    /// The magnitude of the element with the sign of the other, which zeros and NaN have too.
    copysign Copysign;
    /// `sqrt(x^2 + y^2)`, without overflow. The derivatives where both are 0 are 0.
    hypot Hypot;
    /// The angle from -pi to pi of the point with the element as ordinate and the other as abscissa, with C99's special cases. The derivatives at the
    /// origin are 0.
    #[doc(alias = "arctan2")]
    atan2 Atan2;
    /// `ln(e^x + e^y)`, without overflow. Equal infinities share the cotangent.
    logaddexp Logaddexp;
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
    #[doc(alias = "where")]
    #[track_caller]
    pub fn select(self, a: Tensor<'g>, b: impl Operand<'g>) -> Tensor<'g> {
        let b = b.beside(a);
        Tensor::map(ScalarFn::Select, &[self, a, b])
    }

    /// Conversion of each element: between numbers Rust's `as`; truth values are 0 and 1, and a number is true unless it equals 0.
    #[track_caller]
    #[doc(alias = "astype")]
    pub fn cast(self, dtype: DType) -> Tensor<'g> {
        if self.dtype() == dtype { self } else { self.builder.push(Cast { dtype }, &[self]) }
    }

    /// Derivative number `n` of [`Tensor::digamma`]; `n = 0` is that function itself.
    ///
    /// # Panics
    /// If the element type is not a float type.
    #[track_caller]
    pub fn polygamma(self, n: u32) -> Tensor<'g> {
        let n = f64::from(n).beside(self);
        Tensor::map(ScalarFn::Polygamma, &[n, self])
    }

    /// The square of each element.
    #[track_caller]
    pub fn square(self) -> Tensor<'g> {
        self * self
    }
}
