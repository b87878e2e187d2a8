//! Square roots of squares, of their sums, and of variances.

use crate::graph::NodeId;
use crate::prim::Reduction;
use crate::scalar::ScalarFn::{self, Abs, Add, Div, Hypot, Mul, Pow, Sub};

use super::differences;
use super::form::{Form, Over, map1, map2};
use super::sight::Sight;

/// A formula whose square is the one looked at.
struct Root {
    form: Form,
    /// Whether it may be negative.
    signed: bool,
}

pub(super) fn of_squares(s: &mut Sight<'_>, f: ScalarFn, x: &[NodeId]) -> Option<Form> {
    if f == Pow && !s.is_number(x[1], 0.5) {
        return None;
    }
    let root = root(s, x[0])?;
    Some(if root.signed { map1(Abs, root.form) } else { root.form })
}

fn root(s: &mut Sight<'_>, id: NodeId) -> Option<Root> {
    let (source, moves) = s.through(id);
    let root = s.attempt(|s| root_of_source(s, source))?;
    Some(Root { form: root.form.moved(moves), ..root })
}

fn root_of_source(s: &mut Sight<'_>, id: NodeId) -> Option<Root> {
    let positive = |form| Some(Root { form, signed: false });
    if let Some((of, axes)) = s.attempt(|s| s.reduction(Reduction::Sum, id)) {
        return positive(root(s, of)?.form.over(Over::Norm, &axes));
    }
    if let Some(x) = s.squared(id) {
        return Some(Root { form: Form::Leaf(x), signed: true });
    }
    if let Some(deviation) = s.attempt(|s| standard_deviation(s, id)) {
        return positive(deviation);
    }
    let (f, x) = s.map(id)?;
    match f {
        Add => {
            let (a, b) = (root(s, x[0])?, root(s, x[1])?);
            positive(map2(Hypot, a.form, b.form))
        }
        Mul | Div => {
            let (x, factor) = match s.number(x[1]) {
                Some(number) => (x[0], if f == Div { 1.0 / number } else { number }),
                None if f == Mul => (x[1], s.number(x[0])?),
                None => return None,
            };
            let root = root(s, x).filter(|_| factor > 0.0 && factor.is_finite())?;
            Some(Root { form: root.form.times(factor.sqrt()), ..root })
        }
        _ => None,
    }
}

/// `mean(x^2) - mean(x)^2` has been built as the variance.
fn standard_deviation(s: &mut Sight<'_>, id: NodeId) -> Option<Form> {
    let terms = s.written(Sub, id)?;
    let variance = differences::of_moments(s, Sub, &terms)?;
    let deviation = |form| match form {
        Form::Over(Over::Variance, axes, x) => Form::Over(Over::Std, axes, x),
        form => form,
    };
    Some(match variance {
        Form::Moved(form, moves) => deviation(*form).moved(moves),
        form => deviation(form),
    })
}
