//! Logarithms of formulas that are positive by their form.
//!
//! ```text
//!   log(exp(x))        x                       log(a b), log(a / b)    log(a) + log(b), log(a) - log(b)
//!   log(sigmoid(x))    -softplus(-x)           log(exp(a) + exp(b))    logaddexp(a, b)
//!   log(cosh(x))       logaddexp(x, -x) - ln 2 log(1 + exp(x))         softplus(x)
//!   log(sqrt(a))       log(a) / 2              log(sum(a))             logsumexp(log(a))
//!   log(a^c)           c log(a)                log(prod(a))            sum(log(a))
//! ```
//!
//! One factor of a product may be anything: the exponential beside it does not change its sign, so that where the product has a logarithm the factor has one.

use crate::graph::NodeId;
use crate::prim::Reduction;
use crate::scalar::ScalarFn::{
    self, Add, Cosh, Div, Exp, Expm1, Gt, Log, Log1p, Logaddexp, Mul, Neg, Pow, Select, Sigmoid, Softplus, Sqrt, Sub,
};

use super::form::{Form, Over, map1, map2};
use super::sight::Sight;

/// The logarithm of a part of a formula.
struct Part {
    form: Form,
    kind: Kind,
}

/// What is known of a part. The order is that of what a product of two is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Anything; the logarithm is as written.
    Opaque,
    /// A positive number.
    Number,
    /// Positive, and may underflow.
    Bounded,
    /// Positive, and may overflow.
    Grows,
}

pub(super) fn of_positive(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let part = factor(s, x[0], &mut true)?;
    // The logarithm of a sum whose exponentials are shifted stays as it is.
    let as_written = matches!(&part.form, Form::Map(Log, _));
    (part.kind >= Kind::Bounded && !as_written).then_some(part.form)
}

/// The logarithm of a product of which one factor may be anything.
fn factor(s: &mut Sight<'_>, id: NodeId, may_be_opaque: &mut bool) -> Option<Part> {
    if let Some(part) = s.attempt(|s| positive(s, id)) {
        return Some(part);
    }
    let before = *may_be_opaque;
    let product = s.attempt(|s| {
        let (source, moves) = s.through(id);
        let (f, x) = s.map(source).filter(|m| matches!(m.0, Mul | Div))?;
        let (a, b) = (factor(s, x[0], may_be_opaque)?, factor(s, x[1], may_be_opaque)?);
        let part = joined(f, a, b);
        (part.kind >= Kind::Bounded).then(|| Part { form: part.form.moved(moves), ..part })
    });
    if product.is_some() {
        return product;
    }
    *may_be_opaque = false;
    before.then(|| Part { form: map1(Log, Form::Leaf(id)), kind: Kind::Opaque })
}

/// The logarithm of a product or quotient.
fn joined(f: ScalarFn, a: Part, b: Part) -> Part {
    let kind = a.kind.max(b.kind);
    let form = match (f, a.form, b.form) {
        (Mul, Form::Number(0.0), form) | (Mul, form, Form::Number(0.0)) => form,
        (Mul, a, b) => map2(Add, a, b),
        (_, a, b) => a.minus(b),
    };
    Part { form, kind }
}

/// The logarithm of what is positive by its form.
fn positive(s: &mut Sight<'_>, id: NodeId) -> Option<Part> {
    if let Some(number) = s.number(id) {
        let form = Form::Number(number.ln());
        return (number > 0.0 && number.is_finite()).then_some(Part { form, kind: Kind::Number });
    }
    let (source, moves) = s.through(id);
    let part = match s.attempt(|s| s.map(source)) {
        Some((f, x)) => positive_map(s, f, &x)?,
        None => positive_fold(s, source)?,
    };
    Some(Part { form: part.form.moved(moves), ..part })
}

fn positive_map(s: &mut Sight<'_>, f: ScalarFn, x: &[NodeId]) -> Option<Part> {
    let grows = |form| Some(Part { form, kind: Kind::Grows });
    match f {
        Exp => grows(s.leaf(x[0])),
        Cosh => {
            let x = s.leaf(x[0]);
            grows(map2(Sub, map2(Logaddexp, x.clone(), x.negated()), Form::Number(std::f64::consts::LN_2)))
        }
        Sigmoid => {
            let form = map1(Softplus, s.leaf(x[0]).negated()).negated();
            Some(Part { form, kind: Kind::Bounded })
        }
        Mul | Div => {
            let (a, b) = (positive(s, x[0])?, positive(s, x[1])?);
            let part = joined(f, a, b);
            (part.kind >= Kind::Bounded).then_some(part)
        }
        Add => {
            let (a, b) = (positive(s, x[0])?, positive(s, x[1])?);
            match (a.kind, b.kind) {
                (Kind::Grows, Kind::Grows) => grows(map2(Logaddexp, a.form, b.form)),
                (Kind::Grows, Kind::Number) => grows(plus_number(a.form, b.form)),
                (Kind::Number, Kind::Grows) => grows(plus_number(b.form, a.form)),
                _ => None,
            }
        }
        Sqrt => {
            let part = positive(s, x[0]).filter(|p| p.kind >= Kind::Bounded)?;
            Some(Part { form: part.form.times(0.5), ..part })
        }
        Pow => {
            let exponent = s.number(x[1]).filter(|n| n.is_finite() && *n != 0.0)?;
            let part = positive(s, x[0]).filter(|p| p.kind >= Kind::Bounded)?;
            Some(Part { form: part.form.times(exponent), ..part })
        }
        _ => None,
    }
}

/// The logarithm of the sum of an exponential and a number, given the logarithms of both.
fn plus_number(exponent: Form, number: Form) -> Form {
    match number {
        Form::Number(0.0) => map1(Softplus, exponent),
        number => map2(Logaddexp, exponent, number),
    }
}

fn positive_fold(s: &mut Sight<'_>, id: NodeId) -> Option<Part> {
    if let Some((of, axes)) = s.attempt(|s| s.reduction(Reduction::Sum, id)) {
        let part = s.attempt(|s| positive(s, of)).filter(|p| p.kind >= Kind::Bounded)?;
        return Some(match part.form {
            Form::Leaf(x) if s.is_shifted(x) => Part { form: map1(Log, Form::Leaf(id)), kind: Kind::Bounded },
            form => Part { form: form.over(Over::Logsumexp, &axes), ..part },
        });
    }
    let (of, axes) = s.reduction(Reduction::Prod, id)?;
    let part = positive(s, of).filter(|p| p.kind >= Kind::Bounded)?;
    Some(Part { form: part.form.over(Over::Sum, &axes), ..part })
}

/// `1 - exp(x)` has been built as `-expm1(x)`.
pub(super) fn of_one_minus_exp(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let (negative, moves) = s.moved_map_of(Neg, x[0])?;
    let x = s.map_of(Expm1, negative[0])?[0];
    let (x, near) = (Form::Leaf(x), Form::Leaf(negative[0]));
    let above = map2(Gt, x.clone(), Form::Number(-std::f64::consts::LN_2));
    let near = map1(Log, near.negated());
    let far = map1(Log1p, map1(Exp, x).negated());
    Some(Form::Map(Select, vec![above, near, far]).moved(moves))
}

pub(super) fn of_one_plus(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let (f, terms) = s.map(x[0])?;
    match f {
        Add => Some(map1(Log1p, Form::Leaf(s.beside_number(1.0, &terms)?))),
        Sub if s.is_number(terms[0], 1.0) => Some(map1(Log1p, Form::Leaf(terms[1]).negated())),
        _ => None,
    }
}

pub(super) fn log1p(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    if let Some(x) = s.argument(Exp, x[0]) {
        return Some(map1(Softplus, x));
    }
    let (negative, moves) = s.moved_map_of(Neg, x[0])?;
    let x = s.argument(Sigmoid, negative[0])?;
    Some(map1(Softplus, x).negated().moved(moves))
}
