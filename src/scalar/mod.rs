//! The table of scalar functions.
//!
//! One record holds everything that is known of a function: its name, the types it takes, its cost, its derivative and its meaning over lanes. The same
//! [`ScalarFn`] serves the nodes of the graph ([`Map`](crate::prim::Map)) and the bodies of compiled kernels, so the interpreter and the compiled code
//! cannot differ in what a function is. All fields of a record are required: a forgotten rule does not compile. To add a function, add its record.

mod eval;
mod lanes;
pub mod math;
mod number;

use crate::graph::{DType, NodeId, OpErrorKind, Operands};
use crate::prim::{Cotangents, Emit, Jvp, Vjp};

pub use lanes::{Lanes, Plain, Slow};
pub(crate) use number::Number;

/// Lanes of some kind: an argument or result of a scalar function.
pub enum Value<L: Lanes + ?Sized> {
    /// Floats.
    F(L::F),
    /// Integers.
    I(L::I),
    /// Truth values.
    M(L::M),
}

impl<L: Lanes + ?Sized> Clone for Value<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: Lanes + ?Sized> Copy for Value<L> {}

impl<L: Lanes + ?Sized> Value<L> {
    /// The floats.
    ///
    /// # Panics
    /// If these are other lanes; well-typed graphs have no such call.
    pub fn f(self) -> L::F {
        match self {
            Value::F(v) => v,
            _ => panic!("expected floating-point lanes"),
        }
    }

    /// The integers.
    ///
    /// # Panics
    /// If these are other lanes.
    pub fn i(self) -> L::I {
        match self {
            Value::I(v) => v,
            _ => panic!("expected integer lanes"),
        }
    }

    /// The truth values.
    ///
    /// # Panics
    /// If these are other lanes.
    pub fn m(self) -> L::M {
        match self {
            Value::M(v) => v,
            _ => panic!("expected lanes of truth values"),
        }
    }
}

/// The types that a scalar function takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Numbers of one type to a number of it.
    Number,
    /// Floats of one type to a float of it.
    Float,
    /// Two values of one type to a truth value.
    Compare,
    /// Floats of one type to a truth value.
    Test,
    /// Truth values to a truth value.
    Logic,
    /// A truth value and two values of one type to a value of it.
    Select,
}

/// How much work a function is, for choices between computing again and storing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// An instruction or a few.
    Cheap,
    /// A division, a square root, or a polynomial.
    Dear,
}

/// The derivative rule of a scalar function: from the emitter, the cotangent, the result and the operands to the cotangents of the operands.
type DerivativeRule = fn(&mut dyn Emit, NodeId, NodeId, &Operands) -> Cotangents;

/// What is known of a scalar function apart from its meaning, which is [`ScalarFn::apply`].
pub struct Record {
    /// The mnemonic in the text form.
    pub name: &'static str,
    /// Count of operands.
    pub arity: usize,
    /// The types.
    pub signature: Signature,
    /// True if the two operands may be exchanged.
    pub commutative: bool,
    /// How much work it is.
    pub cost: Cost,
    /// An interval of operands in which the function is defined and smooth, from which tests draw.
    pub domain: (f64, f64),
    derivative: DerivativeRule,
}

/// Defines [`ScalarFn`], its records and its meaning.
macro_rules! scalar_functions {
    ($(
        $(#[$doc:meta])*
        $f:ident {
            name: $name:literal,
            arity: $arity:literal,
            signature: $signature:ident,
            commutative: $commutative:literal,
            cost: $cost:ident,
            domain: $domain:expr,
            vjp: $vjp:expr,
            lanes: $lanes:expr,
        }
    )*) => {
        /// A scalar function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ScalarFn {
            $($(#[$doc])* $f,)*
        }

        impl ScalarFn {
            /// Every scalar function.
            pub const ALL: &'static [ScalarFn] = &[$(ScalarFn::$f,)*];

            /// The function's record.
            pub fn record(self) -> &'static Record {
                match self {
                    $(ScalarFn::$f => {
                        const RECORD: Record = Record {
                            name: $name,
                            arity: $arity,
                            signature: Signature::$signature,
                            commutative: $commutative,
                            cost: Cost::$cost,
                            domain: $domain,
                            derivative: $vjp,
                        };
                        &RECORD
                    })*
                }
            }

            /// The function that the text form calls `name`.
            pub fn from_name(name: &str) -> Option<ScalarFn> {
                match name {
                    $($name => Some(ScalarFn::$f),)*
                    _ => None,
                }
            }

            /// The function itself, over lanes of any kind.
            ///
            /// # Panics
            /// If the arguments are not of the kinds that the signature says.
            #[inline]
            pub fn apply<L: Lanes>(self, l: &mut L, a: &[Value<L>]) -> Value<L> {
                match self {
                    $(ScalarFn::$f => {
                        let f: fn(&mut L, &[Value<L>]) -> Value<L> = $lanes;
                        f(l, a)
                    })*
                }
            }
        }
    };
}

use Value::{F, I, M};

scalar_functions! {
    /// `a + b`; integers wrap.
    Add {
        name: "add", arity: 2, signature: Number, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, g, _, _| all(&[g, g]),
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(l.fadd(x, y)),
            (x, y) => I(l.iadd(x.i(), y.i())),
        },
    }
    /// `a - b`; integers wrap.
    Sub {
        name: "sub", arity: 2, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, _| { let n = e.neg(g); all(&[g, n]) },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(l.fsub(x, y)),
            (x, y) => I(l.isub(x.i(), y.i())),
        },
    }
    /// `a * b`; integers wrap.
    Mul {
        name: "mul", arity: 2, signature: Number, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| { let (a, b) = (e.mul(g, x[1]), e.mul(g, x[0])); all(&[a, b]) },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(l.fmul(x, y)),
            (x, y) => I(l.imul(x.i(), y.i())),
        },
    }
    /// `a / b`; for integers rounded toward zero, and 0 where `b` is 0.
    Div {
        name: "div", arity: 2, signature: Number, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, x| {
            let a = e.div(g, x[1]);
            let b = e.mul(a, y);
            let b = e.neg(b);
            all(&[a, b])
        },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(l.fdiv(x, y)),
            (x, y) => I(l.idiv(x.i(), y.i())),
        },
    }
    /// `-a`; integers wrap.
    Neg {
        name: "neg", arity: 1, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, _| { let n = e.neg(g); all(&[n]) },
        lanes: |l, a| match a[0] {
            F(x) => F(l.fneg(x)),
            x => {
                let zero = l.iconst(0);
                I(l.isub(zero, x.i()))
            }
        },
    }
    /// `|a|`; the derivative at 0 is 0.
    Abs {
        name: "abs", arity: 1, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let s = e.map(ScalarFn::Sign, &[x[0]]);
            let d = e.mul(g, s);
            all(&[d])
        },
        lanes: |l, a| match a[0] {
            F(x) => F(l.fabs(x)),
            x => {
                let (x, zero) = (x.i(), l.iconst(0));
                let (n, m) = (l.isub(zero, x), l.ilt(x, zero));
                I(l.iselect(m, n, x))
            }
        },
    }
    /// -1, 0 or 1 as `a` is negative, zero or positive; NaN for NaN. The derivative is 0 everywhere.
    Sign {
        name: "sign", arity: 1, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| match a[0] {
            F(x) => {
                let (zero, one, minus) = (l.fconst(0.0), l.fconst(1.0), l.fconst(-1.0));
                let (above, below, same) = (l.flt(zero, x), l.flt(x, zero), l.feq(x, zero));
                let s = l.fselect(below, minus, x);
                let s = l.fselect(above, one, s);
                F(l.fselect(same, zero, s))
            }
            x => {
                let (x, zero, one, minus) = (x.i(), l.iconst(0), l.iconst(1), l.iconst(-1));
                let (above, below) = (l.ilt(zero, x), l.ilt(x, zero));
                let s = l.iselect(below, minus, zero);
                I(l.iselect(above, one, s))
            }
        },
    }
    /// The larger of `a` and `b`; NaN if either is. Where they are equal each gets half of the cotangent.
    Max {
        name: "max", arity: 2, signature: Number, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| extreme_vjp(e, g, x, ScalarFn::Gt),
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(math::fmax(l, x, y)),
            (x, y) => {
                let (x, y) = (x.i(), y.i());
                let m = l.ilt(x, y);
                I(l.iselect(m, y, x))
            }
        },
    }
    /// The smaller of `a` and `b`; NaN if either is. Where they are equal each gets half of the cotangent.
    Min {
        name: "min", arity: 2, signature: Number, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| extreme_vjp(e, g, x, ScalarFn::Lt),
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => F(math::fmin(l, x, y)),
            (x, y) => {
                let (x, y) = (x.i(), y.i());
                let m = l.ilt(y, x);
                I(l.iselect(m, y, x))
            }
        },
    }
    /// The remainder `a - trunc(a / b) * b` of integers, with the sign of `a`; `a` where `b` is 0. Floats have `a - trunc(a / b) * b` rounded once
    /// at each step.
    Rem {
        name: "rem", arity: 2, signature: Number, commutative: false, cost: Dear, domain: (0.6, 0.9),
        vjp: |e, g, _, x| {
            let q = e.div(x[0], x[1]);
            let q = e.map(ScalarFn::Trunc, &[q]);
            let b = e.mul(g, q);
            let b = e.neg(b);
            all(&[g, b])
        },
        lanes: |l, a| match (a[0], a[1]) {
            (F(x), F(y)) => {
                let q = l.fdiv(x, y);
                let q = l.ftrunc(q);
                let n = l.fneg(q);
                F(l.fma(n, y, x))
            }
            (x, y) => I(l.irem(x.i(), y.i())),
        },
    }
    /// `a` to the power `b`, with the special cases of C99. The derivative by `b` is 0 where `a` is 0 and `b` is positive; where `a` is negative it is
    /// NaN, and it costs nothing if `b` does not depend on a parameter.
    Pow {
        name: "pow", arity: 2, signature: Float, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, x| {
            let one = e.full_like(x[1], 1.0);
            let zero = e.full_like(x[1], 0.0);
            // b * a^(b - 1), and 0 rather than 0 * inf where b is 0. The exponent is made harmless there too, for the sake of the second derivative.
            let flat = e.map(ScalarFn::Eq, &[x[1], zero]);
            let less = e.sub(x[1], one);
            let less = e.select(flat, one, less);
            let p = e.map(ScalarFn::Pow, &[x[0], less]);
            let slope = e.mul(x[1], p);
            let slope = e.select(flat, zero, slope);
            let da = e.mul(g, slope);
            // y * ln a, and 0 rather than 0 * -inf where a is 0.
            let at_zero = e.map(ScalarFn::Eq, &[x[0], zero]);
            let safe = e.select(at_zero, one, x[0]);
            let ln = e.map(ScalarFn::Log, &[safe]);
            let db = e.mul(y, ln);
            let db = e.mul(g, db);
            all(&[da, db])
        },
        lanes: |l, a| F(math::pow(l, a[0].f(), a[1].f())),
    }
    /// `a == b`; NaN equals nothing.
    Eq {
        name: "eq", arity: 2, signature: Compare, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(match (a[0], a[1]) {
            (F(x), F(y)) => l.feq(x, y),
            (I(x), I(y)) => l.ieq(x, y),
            (x, y) => {
                let differ = l.mxor(x.m(), y.m());
                l.mnot(differ)
            }
        }),
    }
    /// `a != b`; NaN differs from everything.
    Ne {
        name: "ne", arity: 2, signature: Compare, commutative: true, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(match (a[0], a[1]) {
            (F(x), F(y)) => l.fne(x, y),
            (I(x), I(y)) => {
                let same = l.ieq(x, y);
                l.mnot(same)
            }
            (x, y) => l.mxor(x.m(), y.m()),
        }),
    }
    /// `a < b`; false for NaN.
    Lt {
        name: "lt", arity: 2, signature: Compare, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(less(l, a[0], a[1])),
    }
    /// `a <= b`; false for NaN.
    Le {
        name: "le", arity: 2, signature: Compare, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(less_or_equal(l, a[0], a[1])),
    }
    /// `a > b`; false for NaN.
    Gt {
        name: "gt", arity: 2, signature: Compare, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(less(l, a[1], a[0])),
    }
    /// `a >= b`; false for NaN.
    Ge {
        name: "ge", arity: 2, signature: Compare, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(less_or_equal(l, a[1], a[0])),
    }
    /// `a` itself, with the derivative 0: differentiation does not look behind it.
    StopGradient {
        name: "stop_gradient", arity: 1, signature: Number, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |_, a| a[0],
    }
    /// Whether `a` is NaN.
    IsNan {
        name: "is_nan", arity: 1, signature: Test, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| M(l.fne(a[0].f(), a[0].f())),
    }
    /// Logical and.
    And {
        name: "and", arity: 2, signature: Logic, commutative: true, cost: Cheap, domain: (0.0, 1.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(l.mand(a[0].m(), a[1].m())),
    }
    /// Logical or.
    Or {
        name: "or", arity: 2, signature: Logic, commutative: true, cost: Cheap, domain: (0.0, 1.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(l.mor(a[0].m(), a[1].m())),
    }
    /// Logical exclusive or.
    Xor {
        name: "xor", arity: 2, signature: Logic, commutative: true, cost: Cheap, domain: (0.0, 1.0),
        vjp: |_, _, _, _| none(2),
        lanes: |l, a| M(l.mxor(a[0].m(), a[1].m())),
    }
    /// Logical not.
    Not {
        name: "not", arity: 1, signature: Logic, commutative: false, cost: Cheap, domain: (0.0, 1.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| M(l.mnot(a[0].m())),
    }
    /// `a` where the condition holds, else `b`. The branch not taken gets the cotangent 0, whatever it holds.
    Select {
        name: "select", arity: 3, signature: Select, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let zero = e.full_like(g, 0.0);
            let (a, b) = (e.select(x[0], g, zero), e.select(x[0], zero, g));
            Cotangents::from_slice(&[None, Some(a), Some(b)])
        },
        lanes: |l, a| {
            let c = a[0].m();
            match (a[1], a[2]) {
                (F(x), F(y)) => F(l.fselect(c, x, y)),
                (I(x), I(y)) => I(l.iselect(c, x, y)),
                (x, y) => {
                    let (x, y) = (x.m(), y.m());
                    let n = l.mnot(c);
                    let (x, y) = (l.mand(c, x), l.mand(n, y));
                    M(l.mor(x, y))
                }
            }
        },
    }
    /// `e^a`.
    Exp {
        name: "exp", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, y, _| { let d = e.mul(g, y); all(&[d]) },
        lanes: |l, a| F(math::exp(l, a[0].f())),
    }
    /// `e^a - 1`, accurate near 0.
    Expm1 {
        name: "expm1", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let p = e.map(ScalarFn::Exp, &[x[0]]);
            let d = e.mul(g, p);
            all(&[d])
        },
        lanes: |l, a| F(math::expm1(l, a[0].f())),
    }
    /// The natural logarithm: -inf at 0, NaN below.
    Log {
        name: "log", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 3.0),
        vjp: |e, g, _, x| { let d = e.div(g, x[0]); all(&[d]) },
        lanes: |l, a| F(math::log(l, a[0].f())),
    }
    /// `ln(1 + a)`, accurate near 0.
    Log1p {
        name: "log1p", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-0.5, 2.0),
        vjp: |e, g, _, x| {
            let one = e.full_like(x[0], 1.0);
            let s = e.add(x[0], one);
            let d = e.div(g, s);
            all(&[d])
        },
        lanes: |l, a| F(math::log1p(l, a[0].f())),
    }
    /// `ln(1 + e^a)`, without overflow.
    Softplus {
        name: "softplus", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, _, x| {
            let s = e.map(ScalarFn::Sigmoid, &[x[0]]);
            let d = e.mul(g, s);
            all(&[d])
        },
        lanes: |l, a| F(math::softplus(l, a[0].f())),
    }
    /// The hyperbolic tangent.
    Tanh {
        name: "tanh", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, y, _| {
            let one = e.full_like(y, 1.0);
            let square = e.mul(y, y);
            let slope = e.sub(one, square);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::tanh(l, a[0].f())),
    }
    /// `1 / (1 + e^-a)`.
    Sigmoid {
        name: "sigmoid", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, y, x| {
            // sigmoid(-a) rather than 1 - sigmoid(a), which loses its digits for large a.
            let n = e.neg(x[0]);
            let other = e.map(ScalarFn::Sigmoid, &[n]);
            let slope = e.mul(y, other);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::sigmoid(l, a[0].f())),
    }
    /// The square root; NaN below 0.
    Sqrt {
        name: "sqrt", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, _| {
            let half = e.scale(g, 0.5);
            let d = e.div(half, y);
            all(&[d])
        },
        lanes: |l, a| F(l.fsqrt(a[0].f())),
    }
    /// `1 / sqrt(a)`.
    Rsqrt {
        name: "rsqrt", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (0.5, 2.0),
        vjp: |e, g, y, x| {
            let slope = e.div(y, x[0]);
            let slope = e.scale(slope, -0.5);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::rsqrt(l, a[0].f())),
    }
    /// The error function `2/sqrt(pi)` times the integral of `e^(-t^2)` from 0 to `a`.
    Erf {
        name: "erf", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-2.0, 2.0),
        vjp: |e, g, _, x| {
            let square = e.mul(x[0], x[0]);
            let square = e.neg(square);
            let slope = e.map(ScalarFn::Exp, &[square]);
            let slope = e.scale(slope, std::f64::consts::FRAC_2_SQRT_PI);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::erf(l, a[0].f())),
    }
    /// The sine; the angle is in radians.
    Sin {
        name: "sin", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, _, x| {
            let slope = e.map(ScalarFn::Cos, &[x[0]]);
            let d = e.mul(g, slope);
            all(&[d])
        },
        lanes: |l, a| F(math::sin(l, a[0].f())),
    }
    /// The cosine; the angle is in radians.
    Cos {
        name: "cos", arity: 1, signature: Float, commutative: false, cost: Dear, domain: (-3.0, 3.0),
        vjp: |e, g, _, x| {
            let slope = e.map(ScalarFn::Sin, &[x[0]]);
            let d = e.mul(g, slope);
            let d = e.neg(d);
            all(&[d])
        },
        lanes: |l, a| F(math::cos(l, a[0].f())),
    }
    /// The largest integer not above `a`. The derivative is 0 everywhere.
    Floor {
        name: "floor", arity: 1, signature: Float, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| F(l.ffloor(a[0].f())),
    }
    /// The smallest integer not below `a`. The derivative is 0 everywhere.
    Ceil {
        name: "ceil", arity: 1, signature: Float, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| F(l.fceil(a[0].f())),
    }
    /// The nearest integer, ties to even. The derivative is 0 everywhere.
    Round {
        name: "round", arity: 1, signature: Float, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| F(l.fround(a[0].f())),
    }
    /// `a` without its fraction. The derivative is 0 everywhere.
    Trunc {
        name: "trunc", arity: 1, signature: Float, commutative: false, cost: Cheap, domain: (-2.0, 2.0),
        vjp: |_, _, _, _| none(1),
        lanes: |l, a| F(l.ftrunc(a[0].f())),
    }
}

/// A cotangent for every operand.
fn all(cotangents: &[NodeId]) -> Cotangents {
    cotangents.iter().map(|&c| Some(c)).collect()
}

/// No cotangents: the function is flat, or its operands have none.
fn none(arity: usize) -> Cotangents {
    Cotangents::from_elem(None, arity)
}

/// The cotangent goes to the operand that wins `beats` against the other, and in halves to both where they are equal. A NaN wins, as it does in the value.
fn extreme_vjp(e: &mut dyn Emit, g: NodeId, x: &Operands, beats: ScalarFn) -> Cotangents {
    let zero = e.full_like(g, 0.0);
    let half = e.scale(g, 0.5);
    let nan = [x[0], x[1]].map(|a| e.map(ScalarFn::IsNan, &[a]));
    let equal = e.map(ScalarFn::Eq, &[x[0], x[1]]);
    let both = e.map(ScalarFn::And, &nan);
    let same = e.map(ScalarFn::Or, &[equal, both]);
    let mut share = |a: NodeId, b: NodeId, a_is_nan: NodeId| {
        let wins = e.map(beats, &[a, b]);
        let wins = e.map(ScalarFn::Or, &[wins, a_is_nan]);
        let d = e.select(wins, g, zero);
        e.select(same, half, d)
    };
    let (a, b) = (share(x[0], x[1], nan[0]), share(x[1], x[0], nan[1]));
    all(&[a, b])
}

/// `a < b` for numbers; for truth values, false before true.
fn less<L: Lanes>(l: &mut L, a: Value<L>, b: Value<L>) -> L::M {
    match (a, b) {
        (F(x), F(y)) => l.flt(x, y),
        (I(x), I(y)) => l.ilt(x, y),
        (x, y) => {
            let n = l.mnot(x.m());
            l.mand(n, y.m())
        }
    }
}

/// `a <= b` for numbers; for truth values, false before true.
fn less_or_equal<L: Lanes>(l: &mut L, a: Value<L>, b: Value<L>) -> L::M {
    match (a, b) {
        (F(x), F(y)) => l.fle(x, y),
        (I(x), I(y)) => {
            let above = l.ilt(y, x);
            l.mnot(above)
        }
        (x, y) => {
            let n = l.mnot(x.m());
            l.mor(n, y.m())
        }
    }
}

impl ScalarFn {
    /// The mnemonic in the text form.
    pub fn name(self) -> &'static str {
        self.record().name
    }

    /// Count of operands.
    pub fn arity(self) -> usize {
        self.record().arity
    }

    /// The element type of the result for operands of these types, of which there are as many as the arity says.
    ///
    /// # Errors
    /// If the types do not fit the signature.
    pub fn result_dtype(self, operands: &[DType]) -> Result<DType, OpErrorKind> {
        let expect = |position: usize, fits: bool, expected: &str| {
            if fits {
                return Ok(());
            }
            Err(OpErrorKind::DType { position, expected: expected.to_owned(), actual: operands[position] })
        };
        let same = |first: usize| {
            let expected = operands[first];
            (first + 1..operands.len()).try_for_each(|p| expect(p, operands[p] == expected, expected.name()))
        };
        match self.record().signature {
            Signature::Number => {
                expect(0, operands[0] != DType::Bool, "a number type")?;
                same(0)?;
                Ok(operands[0])
            }
            Signature::Float => {
                expect(0, operands[0].is_float(), "a float type")?;
                same(0)?;
                Ok(operands[0])
            }
            Signature::Compare => {
                same(0)?;
                Ok(DType::Bool)
            }
            Signature::Test => {
                expect(0, operands[0].is_float(), "a float type")?;
                Ok(DType::Bool)
            }
            Signature::Logic => {
                expect(0, operands[0] == DType::Bool, "bool")?;
                same(0)?;
                Ok(DType::Bool)
            }
            Signature::Select => {
                expect(0, operands[0] == DType::Bool, "bool")?;
                same(1)?;
                Ok(operands[1])
            }
        }
    }

    /// Emits the cotangents of the operands.
    pub fn vjp(self, cx: &mut Vjp<'_>) -> Cotangents {
        if !cx.emit.ty(cx.output).dtype.is_float() {
            return none(self.arity());
        }
        (self.record().derivative)(cx.emit, cx.cotangent, cx.output, &cx.operands)
    }

    /// Emits the tangent of the result. The Jacobian by each operand is diagonal, so the rule for cotangents is also the one for tangents; what it makes
    /// for the other operands is left unused.
    pub fn jvp(self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let mut sum = None;
        for (i, tangent) in cx.tangents.iter().enumerate() {
            let Some(tangent) = *tangent else { continue };
            let part = (self.record().derivative)(cx.emit, tangent, cx.output, &cx.operands)[i];
            sum = match (sum, part) {
                (Some(sum), Some(part)) => Some(cx.emit.add(sum, part)),
                (one, other) => one.or(other),
            };
        }
        sum
    }
}
