//! The table of scalar functions.
//!
//! One record holds everything that is known of a function: its name, the types it takes, its cost, its derivative and its meaning over lanes. The same
//! [`ScalarFn`] serves the nodes of the graph ([`Map`](crate::prim::Map)) and the bodies of compiled kernels, so the interpreter and the compiled code
//! cannot differ in what a function is. All fields of a record are required: a forgotten rule does not compile. To add a function, add its record to its
//! family in `table/`.

mod eval;
mod lanes;
pub mod math;
mod number;
mod table;

use crate::graph::{DType, Dims, NodeId, OpErrorKind, Operands};
use crate::prim::{Cotangents, Emit, Jvp, Vjp};

pub use lanes::{Lanes, Plain, Slow, Slow2};
pub(crate) use number::Number;
pub use table::ScalarFn;

/// Lanes of some kind: an argument or result of a scalar function.
pub enum Value<L: Lanes + ?Sized> {
    /// Floats.
    F(L::F),
    /// Signed integers.
    I(L::I),
    /// Unsigned integers.
    U(L::I),
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

    /// The integers, signed or not.
    ///
    /// # Panics
    /// If these are other lanes.
    pub fn i(self) -> L::I {
        match self {
            Value::I(v) | Value::U(v) => v,
            _ => panic!("expected integer lanes"),
        }
    }

    /// Integers, unsigned if these are.
    pub fn like(self, v: L::I) -> Value<L> {
        match self {
            Value::U(_) => Value::U(v),
            _ => Value::I(v),
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
    /// Integers of one type to an integer of it.
    Int,
    /// Two values of one type to a truth value.
    Compare,
    /// Floats of one type to a truth value.
    Test,
    /// Truth values to a truth value, or integers of one type to an integer of it.
    Logic,
    /// A truth value and two values of one type to a value of it.
    Select,
    /// Three words of type `u32` to one of it.
    Words,
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

impl ScalarFn {
    /// The mnemonic in the text form.
    pub fn name(self) -> &'static str {
        self.record().name
    }

    /// Count of operands.
    pub fn arity(self) -> usize {
        self.record().arity
    }

    /// The element types of the operands, if the last is of this type.
    pub fn operand_dtypes(self, last: DType) -> Dims<DType> {
        let mut types = Dims::from_elem(last, self.arity());
        if self.record().signature == Signature::Select {
            types[0] = DType::Bool;
        }
        types
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
        if let Some(position) = operands.iter().position(|d| d.is_half()) {
            expect(position, false, "a type to compute with (f16 and bf16 store; `cast` to f32 first)")?;
        }
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
            Signature::Int => {
                expect(0, operands[0].is_int(), "an integer type")?;
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
                expect(0, operands[0] == DType::Bool || operands[0].is_int(), "bool or an integer type")?;
                same(0)?;
                Ok(operands[0])
            }
            Signature::Words => {
                expect(0, operands[0] == DType::U32, "u32")?;
                same(0)?;
                Ok(DType::U32)
            }
            Signature::Select => {
                expect(0, operands[0] == DType::Bool, "bool")?;
                same(1)?;
                Ok(operands[1])
            }
        }
    }

    /// True if a cotangent of 0 gives cotangents of 0, whatever the operands are: the derivative does not multiply by anything that they could make infinite.
    pub(crate) fn passes_zeros(self) -> bool {
        use ScalarFn::{Add, Max, Min, Neg, Select, StopGradient, Sub};
        matches!(self, Add | Sub | Neg | Max | Min | Select | StopGradient)
    }

    /// Emits the cotangents of the operands.
    pub fn vjp(self, cx: &mut Vjp<'_>) -> Cotangents {
        if !cx.emit.ty(cx.output).dtype.is_float() {
            return table::none(self.arity());
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
