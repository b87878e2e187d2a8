//! Differences that lose their digits.

use crate::graph::NodeId;
use crate::scalar::ScalarFn::{self, Add, Erf, Erfc, Exp, Expm1, Sigmoid};

use super::form::{Form, Over, map1};
use super::sight::Sight;

/// The exponential must be the minuend: of `1 - exp(x)` the negative would be 0 with a sign.
pub(super) fn of_exp_and_one(s: &mut Sight<'_>, f: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let exp = match f {
        Add => s.beside_number(-1.0, x)?,
        _ => s.is_number(x[1], 1.0).then_some(x[0])?,
    };
    Some(map1(Expm1, s.argument(Exp, exp)?))
}

pub(super) fn from_one(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    if !s.is_number(x[0], 1.0) {
        return None;
    }
    let (source, moves) = s.through(x[1]);
    let (f, x) = s.map(source)?;
    let form = match f {
        Sigmoid => map1(Sigmoid, s.leaf(x[0]).negated()),
        Erf => map1(Erfc, Form::Leaf(x[0])),
        _ => return None,
    };
    Some(form.moved(moves))
}

pub(super) fn of_moments(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let squares = s.moved_mean(x[0])?;
    let of = s.squared(squares.of)?;
    let (square, mut outer) = s.through(x[1]);
    let mean = s.squared(square)?;
    let mut mean = s.moved_mean(mean)?;
    mean.moves.append(&mut outer);
    let fits = mean.axes == squares.axes && mean.moves == squares.moves && s.same(mean.of, of);
    fits.then(|| Form::Leaf(of).over(Over::Variance, &squares.axes).moved(squares.moves))
}
