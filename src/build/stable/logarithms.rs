//! Logarithms of formulas that are positive by their form.
//!
//! ```text
//!   log(exp(x))        x                       log(a b), log(a / b)    log(a) + log(b), log(a) - log(b)
//!   log(sigmoid(x))    -softplus(-x)           log(exp(a) + exp(b))    logaddexp(a, b)
//!   log(sum(exp(x)))   logsumexp(x)            log(1 + exp(x))         softplus(x)
//! ```
//!
//! The logarithm takes the numbers from 0 to infinity to those from -infinity to infinity, products to sums and quotients to differences. That holds at the
//! ends too: `0 * inf` is as undefined as `-inf + inf`. So where the formula is evaluated without rounding, the form has its value, NaN included. A factor
//! of a product has to be positive by its form, or a positive number: another one would have a logarithm of its own, which may be NaN or large.

use crate::graph::NodeId;
use crate::prim::Reduction;
use crate::scalar::ScalarFn::{self, Add, Div, Exp, Log, Log1p, Logaddexp, Mul, Neg, Sigmoid, Softplus};

use super::form::{Form, Over, map1, map2};
use super::sight::Sight;

pub(super) fn of_positive(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let form = positive(s, x[0])?;
    // A sum whose exponentials are shifted stays as it is, and so does a number.
    (!matches!(&form, Form::Map(Log, _) | Form::Number(_))).then_some(form)
}

/// The logarithm of what is positive by its form.
fn positive(s: &mut Sight<'_>, id: NodeId) -> Option<Form> {
    if let Some(number) = s.number(id) {
        return (number > 0.0 && number.is_finite()).then(|| Form::Number(number.ln()));
    }
    let (source, moves) = s.through(id);
    let form = match s.map(source) {
        Some((f, x)) => positive_map(s, f, &x)?,
        None => positive_sum(s, source)?,
    };
    Some(form.moved(moves))
}

fn positive_map(s: &mut Sight<'_>, f: ScalarFn, x: &[NodeId]) -> Option<Form> {
    match f {
        Exp => Some(s.leaf(x[0])),
        Sigmoid => Some(map1(Softplus, s.leaf(x[0]).negated()).negated()),
        Mul | Div => {
            if !s.one_more_factor() {
                return None;
            }
            let (a, b) = (positive(s, x[0])?, positive(s, x[1])?);
            match (f, a, b) {
                (_, Form::Number(_), Form::Number(_)) => None,
                (Mul, Form::Number(0.0), form) | (Mul, form, Form::Number(0.0)) => Some(form),
                (Mul, a, b) => Some(map2(Add, a, b)),
                (_, a, b) => Some(a.minus(b)),
            }
        }
        Add => match (exponent(s, x[0])?, exponent(s, x[1])?) {
            (Form::Number(_), Form::Number(_)) => None,
            (Form::Number(_), x) | (x, Form::Number(_)) => Some(map1(Softplus, x)),
            (a, b) => Some(map2(Logaddexp, a, b)),
        },
        _ => None,
    }
}

/// The exponent of an exponential that may have been moved; 0 of the number 1.
fn exponent(s: &mut Sight<'_>, id: NodeId) -> Option<Form> {
    if s.is_number(id, 1.0) {
        return Some(Form::Number(0.0));
    }
    s.argument(Exp, id)
}

fn positive_sum(s: &mut Sight<'_>, id: NodeId) -> Option<Form> {
    let (of, axes) = s.reduction(Reduction::Sum, id)?;
    let exponent = s.argument(Exp, of)?;
    Some(match exponent {
        Form::Leaf(x) if s.is_shifted(x) => map1(Log, Form::Leaf(id)),
        form => form.over(Over::Logsumexp, &axes),
    })
}

pub(super) fn of_one_plus(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let terms = s.map_of(Add, x[0])?;
    Some(map1(Log1p, Form::Leaf(s.beside_number(1.0, &terms)?)))
}

pub(super) fn log1p_of_exp(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    Some(map1(Softplus, s.argument(Exp, x[0])?))
}

pub(super) fn log1p_of_sigmoid(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let (negative, moves) = s.moved_map_of(Neg, x[0])?;
    let x = s.argument(Sigmoid, negative[0])?;
    Some(map1(Softplus, x).negated().moved(moves))
}
