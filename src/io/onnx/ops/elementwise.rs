//! Operators on each element: arithmetic, comparisons, logic, bits, elementary functions, conversion.

use crate::build::Tensor;
use crate::graph::DType;
use crate::io::ElementType;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, joined};
use super::super::dtype::OnnxType;
use super::super::error::{Fault, invalid, unsupported};
use super::super::held::{convert, unsigned_quotient, unsigned_shift};
use super::super::narrow::{Rounding, Toward};
use super::super::node::{Node, Results, Value, axis_of, element_of, one};
use super::{Held, Operator, op};

/// The record of an operator that is a scalar function of each element.
macro_rules! unary {
    ($name:literal, $since:literal, $f:ident) => {
        op($name, $since, |node| one(node.input(0)?.f(ScalarFn::$f)))
    };
}

/// The record of an operator that is a scalar function of two tensors that broadcast.
macro_rules! binary {
    ($name:literal, $since:literal, $f:ident) => {
        op($name, $since, |node| {
            let (a, b) = operands(node)?;
            one(a.f2(ScalarFn::$f, b))
        })
    };
}

/// The record of an operator that folds any number of tensors that broadcast.
macro_rules! variadic {
    ($name:literal, $since:literal, $f:ident) => {
        op($name, $since, |node| one(fold_all(node, ScalarFn::$f)))
    };
}

pub(super) const OPERATORS: &[Operator] = &[
    binary!("Add", 1, Add).held(Held::Wraps),
    binary!("Sub", 1, Sub).held(Held::Wraps),
    binary!("Mul", 1, Mul).held(Held::Wraps),
    op("Div", 1, |node| {
        let (a, b) = operands(node)?;
        one(if is_unsigned(node) { unsigned_quotient(a, b) } else { a.f2(ScalarFn::Div, b) })
    })
    .held(Held::Divides),
    op("Pow", 1, pow).held(Held::Asks),
    op("Mod", 10, modulo).held(Held::Divides),
    variadic!("Max", 1, Max).held(Held::ChoosesAmong),
    variadic!("Min", 1, Min).held(Held::ChoosesAmong),
    variadic!("Sum", 1, Add).held(Held::Wraps),
    op("Mean", 1, mean),
    unary!("Abs", 1, Abs).held(Held::Orders),
    unary!("Neg", 1, Neg).held(Held::Wraps),
    unary!("Sign", 9, Sign).held(Held::Orders),
    unary!("Ceil", 1, Ceil),
    unary!("Floor", 1, Floor),
    unary!("Round", 11, Round),
    unary!("Exp", 1, Exp),
    unary!("Log", 1, Log),
    unary!("Sqrt", 1, Sqrt),
    op("Reciprocal", 1, |node| {
        let x = node.float_input(0)?;
        one(x.number(1.0).f2(ScalarFn::Div, x))
    }),
    unary!("Erf", 9, Erf),
    unary!("Sin", 7, Sin),
    unary!("Cos", 7, Cos),
    unary!("Tan", 7, Tan),
    unary!("Asin", 7, Asin),
    unary!("Acos", 7, Acos),
    unary!("Atan", 7, Atan),
    unary!("Sinh", 9, Sinh),
    unary!("Cosh", 9, Cosh),
    unary!("Tanh", 1, Tanh),
    unary!("Asinh", 9, Asinh),
    unary!("Acosh", 9, Acosh),
    unary!("Atanh", 9, Atanh),
    unary!("IsNaN", 9, IsNan),
    op("IsInf", 10, is_inf),
    unary!("Not", 1, Not),
    binary!("And", 1, And),
    binary!("Or", 1, Or),
    binary!("Xor", 1, Xor),
    binary!("Equal", 1, Eq).held(Held::Reads),
    binary!("Less", 1, Lt).held(Held::Compares),
    binary!("Greater", 1, Gt).held(Held::Compares),
    binary!("LessOrEqual", 12, Le).held(Held::Compares),
    binary!("GreaterOrEqual", 12, Ge).held(Held::Compares),
    op("BitShift", 11, bit_shift).held(Held::Divides),
    binary!("BitwiseAnd", 18, And).held(Held::Wraps),
    binary!("BitwiseOr", 18, Or).held(Held::Wraps),
    binary!("BitwiseXor", 18, Xor).held(Held::Wraps),
    unary!("BitwiseNot", 18, Not).held(Held::Wraps),
    op("Where", 9, |node| one(node.input(0)?.choose(node.input(1)?, node.input(2)?))).held(Held::Moves),
    op("Clip", 1, clip).held(Held::ChoosesAmong),
    op("Cast", 1, cast).held(Held::Asks),
    op("CastLike", 15, |node| {
        let ((x, from), (_, to)) = (node.element(0)?, node.element(1)?);
        Ok(vec![convert(x, from, to, rounding(node)?)?])
    })
    .held(Held::Asks),
    op("BitCast", 26, bit_cast).held(Held::Asks),
    op("Identity", 1, |node| match node.operands.first() {
        Some(Some(value)) => Ok(vec![value.clone()]),
        _ => invalid("operand 0 is missing"),
    })
    .held(Held::Asks),
    op("Dropout", 1, dropout),
];

/// The two operands, where those of versions before 7 broadcast only as attributes say.
fn operands<'g>(node: &Node<'_, 'g>) -> Result<(Tensor<'g>, Tensor<'g>), Fault> {
    let (a, b) = (node.input(0)?, node.input(1)?);
    if node.version >= 7 {
        return Ok((a, b));
    }
    let axis = node.int_optional("axis")?;
    if !node.flag("broadcast", false)? {
        return Ok((a, b));
    }
    // The second operand's axes stand at `axis` and behind it, otherwise at the end.
    let Some(axis) = axis else { return Ok((a, b)) };
    let (rank, own) = (a.rank(), b.rank());
    let axis = axis_of(axis, rank)?;
    if axis + own > rank {
        return invalid(format!("{} does not fit {} from axis {axis} on", b.ty(), a.ty()));
    }
    let mut shape = b.shape().to_vec();
    shape.extend(std::iter::repeat_n(1, rank - axis - own));
    Ok((a, b.shaped(shape)?))
}

fn fold_all<'g>(node: &Node<'_, 'g>, f: ScalarFn) -> Made<'g> {
    let tensors = node.inputs()?;
    let Some((first, rest)) = tensors.split_first() else { return invalid("there are no operands") };
    rest.iter().try_fold(*first, |sum, &next| sum.f2(f, next))
}

fn mean<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    node.float_input(0)?;
    one(fold_all(node, ScalarFn::Add)?.with(ScalarFn::Div, node.operands.len() as f64))
}

/// True if the operands are numbers of 64 bits without a sign.
fn is_unsigned(node: &Node<'_, '_>) -> bool {
    node.own == Some(OnnxType::UINT64)
}

/// The result has the type of the base. An integer base with a float exponent is computed in floats and truncated.
fn pow<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let is_held = |operand: &Option<Value<'g>>| matches!(operand, Some(Value::Held(..)));
    let ((base, own), (exponent, of_exponent)) = if node.operands.iter().any(is_held) {
        (node.held(0)?, node.held(1)?)
    } else {
        let (base, exponent) = operands(node)?;
        ((base, OnnxType::of(base.dtype())), (exponent, OnnxType::of(exponent.dtype())))
    };
    let dtype = base.dtype();
    if own == OnnxType::UINT64 || (of_exponent == OnnxType::UINT64 && !dtype.is_float()) {
        return unsupported(format!("powers of {own} to {of_exponent}"));
    }
    let wide = if dtype.is_float() || exponent.dtype().is_int() { dtype } else { DType::F64 };
    // An exponent that the base's type does not hold keeps its sign.
    let exponent = match convert(exponent, of_exponent, OnnxType::of(wide), Rounding::default())? {
        Value::Tensor(exponent) => exponent,
        _ => return unsupported(format!("an exponent of type {of_exponent}")),
    };
    let power = base.to(wide)?.f2(ScalarFn::Pow, exponent)?.to(dtype)?;
    Ok(vec![own.value(if own.dtype().is_some() { power } else { own.fitted(power)? })])
}

fn modulo<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let f = if node.flag("fmod", false)? { ScalarFn::Rem } else { ScalarFn::Mod };
    if is_unsigned(node) {
        let (a, b) = (node.input(0)?, node.input(1)?);
        return one(a.f2(ScalarFn::Sub, unsigned_quotient(a, b)?.f2(ScalarFn::Mul, b)?));
    }
    one(node.input(0)?.f2(f, node.input(1)?))
}

fn is_inf<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let (positive, negative) = (node.flag("detect_positive", true)?, node.flag("detect_negative", true)?);
    one(match (positive, negative) {
        (true, true) => x.f(ScalarFn::IsInf),
        (true, false) => x.with(ScalarFn::Eq, f64::INFINITY),
        (false, true) => x.with(ScalarFn::Eq, f64::NEG_INFINITY),
        (false, false) => x.to(DType::Bool)?.filled(0.0),
    })
}

fn bit_shift<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let f = match node.text("direction", "")? {
        "LEFT" => ScalarFn::Shl,
        "RIGHT" => ScalarFn::Shr,
        other => return invalid(format!("direction `{other}` is neither LEFT nor RIGHT")),
    };
    if is_unsigned(node) && f == ScalarFn::Shr {
        return one(unsigned_shift(node.input(0)?, node.input(1)?));
    }
    one(node.input(0)?.f2(f, node.input(1)?))
}

/// Where the bounds cross, the upper one holds.
fn clip<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let (low, high) = if node.version < 11 {
        let number = |bound: Option<f64>| bound.map(|v| x.number(v));
        (number(node.float_optional("min")?), number(node.float_optional("max")?))
    } else {
        (node.optional(1)?, node.optional(2)?)
    };
    let mut result = x;
    for (bound, beyond) in [(low, ScalarFn::Lt), (high, ScalarFn::Gt)] {
        let Some(bound) = bound else { continue };
        if joined(&[bound.shape(), x.shape()])? != x.shape() {
            return invalid(format!("the bound {} does not broadcast to {}", bound.ty(), x.ty()));
        }
        result = result.f2(beyond, bound)?.choose(bound, result)?;
    }
    one(Ok(result))
}

/// How attributes say that narrow floats are rounded.
fn rounding(node: &Node<'_, '_>) -> Result<Rounding, Fault> {
    let toward = match node.text("round_mode", "up")? {
        "up" => Toward::Up,
        "down" => Toward::Down,
        "nearest" => Toward::Nearest,
        other => return invalid(format!("attribute `round_mode` = {other}, expected up, down or nearest")),
    };
    Ok(Rounding { saturate: node.flag("saturate", true)?, toward })
}

fn cast<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, from) = node.element(0)?;
    let to = if node.version < 6 {
        match node.text("to", "")? {
            "FLOAT16" => OnnxType::of(DType::F16),
            "FLOAT" => OnnxType::of(DType::F32),
            "DOUBLE" => OnnxType::of(DType::F64),
            "INT8" => OnnxType::INT8,
            "INT16" => OnnxType::INT16,
            "INT32" => OnnxType::of(DType::I32),
            "INT64" => OnnxType::of(DType::I64),
            "UINT8" => OnnxType::of(DType::U8),
            "UINT16" => OnnxType::UINT16,
            "UINT32" => OnnxType::of(DType::U32),
            "UINT64" => OnnxType::UINT64,
            "BOOL" => OnnxType::of(DType::Bool),
            other => return unsupported(format!("element type {other}")),
        }
    } else {
        match node.int_optional("to")? {
            Some(code) => element_of(code)?,
            None => return invalid("attribute `to` is missing"),
        }
    };
    Ok(vec![convert(x, from, to, rounding(node)?)?])
}

/// The bits as those of another type. Of integers only: what is computed here has no operation on the bits of floats.
fn bit_cast<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, from) = node.element(0)?;
    let Some(code) = node.int_optional("to")? else { return invalid("attribute `to` is missing") };
    let to = element_of(code)?;
    let width = |ty: OnnxType| match ty.element_type() {
        Some(ElementType::Plain(DType::Bool)) => Some(8),
        Some(ElementType::Plain(dtype)) if dtype.is_int() => Some(8 * dtype.size()),
        Some(element) => element.bits().map(|bits| bits.count as usize),
        None => None,
    };
    match (width(from), width(to)) {
        _ if from == to => Ok(vec![to.value(x)]),
        // A truth value is a byte of 0 or 1; what others are as one is not said.
        (Some(own), Some(other)) if own == other && to != OnnxType::of(DType::Bool) => {
            Ok(vec![convert(x, from, to, Rounding::default())?])
        }
        (Some(own), Some(other)) if own != other => {
            invalid(format!("bits of {from} as {to}, which has {other}, not {own}"))
        }
        _ => unsupported(format!("bits of {from} as {to}")),
    }
}

/// The tensor itself, but in training, which takes random numbers.
fn dropout<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    node.int_optional("seed")?;
    node.float_optional("ratio")?;
    let training = match node.version {
        ..7 => !node.flag("is_test", false)?,
        7..12 => false,
        _ => match node.known_optional(2)? {
            Some(flag) => flag.shape().numel() == 1 && flag.get_f64(0) != 0.0,
            None => false,
        },
    };
    let rate = match (training, node.version) {
        (false, _) => 0.0,
        (true, ..7) => node.float("ratio", 0.5)?,
        (true, _) => match node.known_optional(1)? {
            Some(rate) if rate.shape().numel() == 1 => rate.get_f64(0),
            _ => 0.5,
        },
    };
    let mask_type = if node.version < 10 { x.dtype() } else { DType::Bool };
    let ones = |dtype: DType| -> Made<'g> { x.to(DType::Bool)?.filled(1.0)?.to(dtype) };
    if rate == 0.0 {
        return Ok(vec![x.into(), ones(mask_type)?.into()]);
    }
    if !(0.0..1.0).contains(&rate) || !x.dtype().is_float() {
        return invalid(format!("drops {rate} of {}", x.ty()));
    }
    let Some(key) = node.importer.random_key() else {
        return unsupported("training mode, with random numbers");
    };
    // What is kept is scaled up, and so not 0.
    let mask = ones(x.dtype())?.dropout(rate, key).to(DType::Bool)?.to(mask_type)?;
    Ok(vec![x.dropout(rate, key).into(), mask.into()])
}
