//! Differences that lose their digits.

use crate::graph::NodeId;
use crate::scalar::ScalarFn::{self, Add, Cos, Erf, Erfc, Exp, Expm1, Mul, Sigmoid, Sin, Sinh};

use super::form::{Form, Over, map1, map2};
use super::sight::{Sight, Sum};

pub(super) fn of_exp_and_one(s: &mut Sight<'_>, f: ScalarFn, x: &[NodeId]) -> Option<Form> {
    if f == Add {
        let exp = s.beside_number(-1.0, x)?;
        return Some(map1(Expm1, s.argument(Exp, exp)?));
    }
    if s.is_number(x[0], 1.0) {
        return Some(map1(Expm1, s.argument(Exp, x[1])?).negated());
    }
    let form = s.argument(Exp, x[0])?;
    s.is_number(x[1], 1.0).then(|| map1(Expm1, form))
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
        Erfc => map1(Erf, Form::Leaf(x[0])),
        Cos => {
            let sine = map1(Sin, Form::Leaf(x[0]).times(0.5));
            map2(Mul, sine.clone(), sine).times(2.0)
        }
        _ => return None,
    };
    Some(form.moved(moves))
}

pub(super) fn of_exponentials(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let (a, b) = (s.argument(Exp, x[0])?, s.argument(Exp, x[1])?);
    s.same_form(&a, &b.negated()).then(|| map1(Sinh, a).times(2.0))
}

pub(super) fn of_moments(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let squares = s.moved_mean(x[0])?;
    let of = s.squared(squares.of)?;
    let (square, mut outer) = s.through(x[1]);
    let mean = s.squared(square)?;
    let mut mean: Sum = s.moved_mean(mean)?;
    mean.moves.append(&mut outer);
    let fits = mean.axes == squares.axes && mean.moves == squares.moves && s.same(mean.of, of);
    fits.then(|| Form::Leaf(of).over(Over::Variance, &squares.axes).moved(squares.moves))
}
