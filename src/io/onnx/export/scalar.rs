//! Scalar functions as elementwise operators.

use std::f64::consts::{LN_2, LN_10};

use crate::graph::DType;
use crate::scalar::ScalarFn;

use super::plain;
use super::writer::{Writer, named, text};

/// Writes a function of operands of these names; `first` and `last` are the element types of the first and the last of them.
pub(super) fn write(w: &mut Writer, f: ScalarFn, x: &[&str], first: DType, last: DType) -> Result<String, String> {
    use ScalarFn as S;
    let float = last.is_float();
    let direct = match f {
        S::Add => "Add",
        S::Sub => "Sub",
        S::Mul => "Mul",
        S::Div => "Div",
        S::Neg => "Neg",
        S::Abs => "Abs",
        S::Sign => "Sign",
        S::Softsign => "Softsign",
        S::Max => "Max",
        S::Min => "Min",
        S::Floor => "Floor",
        S::Ceil => "Ceil",
        S::Round => "Round",
        S::StopGradient => "Identity",
        S::And if first == DType::Bool => "And",
        S::Or if first == DType::Bool => "Or",
        S::Xor if first == DType::Bool => "Xor",
        S::Not if first == DType::Bool => "Not",
        S::And => "BitwiseAnd",
        S::Or => "BitwiseOr",
        S::Xor => "BitwiseXor",
        S::Not => "BitwiseNot",
        S::Eq => "Equal",
        S::Lt => "Less",
        S::Le => "LessOrEqual",
        S::Gt => "Greater",
        S::Ge => "GreaterOrEqual",
        S::IsNan => "IsNaN",
        S::IsInf => "IsInf",
        S::Exp => "Exp",
        S::Log => "Log",
        S::Softplus => "Softplus",
        S::Sigmoid => "Sigmoid",
        S::Sinh => "Sinh",
        S::Cosh => "Cosh",
        S::Tanh => "Tanh",
        S::Asinh => "Asinh",
        S::Acosh => "Acosh",
        S::Atanh => "Atanh",
        S::Pow => "Pow",
        S::Sqrt => "Sqrt",
        S::Erf => "Erf",
        S::Sin => "Sin",
        S::Cos => "Cos",
        S::Tan => "Tan",
        S::Asin => "Asin",
        S::Acos => "Acos",
        S::Atan => "Atan",
        _ => "",
    };
    if !direct.is_empty() {
        // Truth values have no order in ONNX: they are compared as numbers.
        let ordered = matches!(f, S::Lt | S::Le | S::Gt | S::Ge) && first == DType::Bool;
        let numbers: Vec<String> = if ordered { x.iter().map(|v| w.cast(v, DType::I32)).collect() } else { Vec::new() };
        let numbers: Vec<&str> = numbers.iter().map(|v| &**v).collect();
        return Ok(w.emit(direct, if ordered { &numbers } else { x }, plain()));
    }
    let number = |w: &mut Writer, value: f64| w.number(last, value);
    Ok(match f {
        S::Select => w.select(x[0], x[1], x[2], last),
        S::Rem => w.emit("Mod", x, vec![named("fmod", 1)]),
        S::Mod if !float => w.emit("Mod", x, plain()),
        S::Mod => {
            let quotient = w.emit("Div", x, plain());
            let whole = w.emit("Floor", &[&quotient], plain());
            let product = w.emit("Mul", &[&whole, x[1]], plain());
            w.emit("Sub", &[x[0], &product], plain())
        }
        S::Trunc => {
            let (sign, size) = (w.emit("Sign", x, plain()), w.emit("Abs", x, plain()));
            let whole = w.emit("Floor", &[&size], plain());
            w.emit("Mul", &[&sign, &whole], plain())
        }
        S::Ne => {
            let equal = w.emit("Equal", x, plain());
            w.emit("Not", &[&equal], plain())
        }
        S::IsFinite => {
            let (nan, inf) = (w.emit("IsNaN", x, plain()), w.emit("IsInf", x, plain()));
            let either = w.emit("Or", &[&nan, &inf], plain());
            w.emit("Not", &[&either], plain())
        }
        S::Shl | S::Shr if last.is_unsigned() => {
            let direction = if f == S::Shl { "LEFT" } else { "RIGHT" };
            w.emit("BitShift", x, vec![text("direction", direction)])
        }
        S::Exp2 => {
            let two = number(w, 2.0);
            w.emit("Pow", &[&two, x[0]], plain())
        }
        S::Expm1 => {
            let (e, one) = (w.emit("Exp", x, plain()), number(w, 1.0));
            w.emit("Sub", &[&e, &one], plain())
        }
        S::Log2 | S::Log10 => {
            let (log, base) = (w.emit("Log", x, plain()), number(w, if f == S::Log2 { LN_2 } else { LN_10 }));
            w.emit("Div", &[&log, &base], plain())
        }
        S::Log1p => {
            let one = number(w, 1.0);
            let sum = w.emit("Add", &[x[0], &one], plain());
            w.emit("Log", &[&sum], plain())
        }
        S::Rsqrt => {
            let root = w.emit("Sqrt", x, plain());
            w.emit("Reciprocal", &[&root], plain())
        }
        S::Cbrt => {
            let (sign, size) = (w.emit("Sign", x, plain()), w.emit("Abs", x, plain()));
            let third = number(w, 1.0 / 3.0);
            let root = w.emit("Pow", &[&size, &third], plain());
            w.emit("Mul", &[&sign, &root], plain())
        }
        S::Erfc => {
            let (erf, one) = (w.emit("Erf", x, plain()), number(w, 1.0));
            w.emit("Sub", &[&one, &erf], plain())
        }
        S::Hypot => {
            let (a, b) = (w.emit("Mul", &[x[0], x[0]], plain()), w.emit("Mul", &[x[1], x[1]], plain()));
            let sum = w.emit("Add", &[&a, &b], plain());
            w.emit("Sqrt", &[&sum], plain())
        }
        S::Logaddexp => {
            let (largest, difference) = (w.emit("Max", x, plain()), w.emit("Sub", x, plain()));
            let size = w.emit("Abs", &[&difference], plain());
            let negative = w.emit("Neg", &[&size], plain());
            let rest = w.emit("Softplus", &[&negative], plain());
            w.emit("Add", &[&largest, &rest], plain())
        }
        _ => return Err("there is no such operator".to_owned()),
    })
}
