//! Quotients of exponentials and their sums.

use crate::graph::NodeId;
use crate::scalar::ScalarFn::{self, Add, Div, Exp, Mul, Sigmoid, Sub, Tanh};

use super::form::{Form, Move, Over, map1, map2};
use super::sight::{Sight, Sum};

/// The exponents of two exponentials that are added, one of which may be 1.
fn sum_of_two(s: &mut Sight<'_>, id: NodeId) -> Option<([Form; 2], Vec<Move>)> {
    let (terms, moves) = s.moved_map_of(Add, id)?;
    let exponents = [s.exponent(terms[0])?, s.exponent(terms[1])?];
    let numbers = exponents.iter().filter(|e| matches!(e, Form::Number(_))).count();
    (numbers < 2).then_some((exponents, moves))
}

pub(super) fn sigmoid(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let ([a, b], moves) = sum_of_two(s, x[1])?;
    let above = if moves.is_empty() { s.exponent(x[0]) } else { None };
    if let Some(above) = &above {
        if s.same_form(above, &a) {
            return Some(map1(Sigmoid, a.minus(b)));
        }
        if s.same_form(above, &b) {
            return Some(map1(Sigmoid, b.minus(a)));
        }
    }
    if let [Form::Leaf(z), Form::Number(_)] | [Form::Number(_), Form::Leaf(z)] = [&a, &b]
        && moves.is_empty()
        && let Some(Some(weight)) = s.attempt(|s| factor(s, x[0], *z))
    {
        return Some(map2(Mul, Form::Leaf(weight), map1(Sigmoid, Form::Leaf(*z))));
    }
    // Of another number above the bar, a share: where the exponential is not beside 1, the quotient has no such form.
    let share = match (a, b) {
        (Form::Number(_), z) | (z, Form::Number(_)) => map1(Sigmoid, z.negated()).moved(moves),
        _ => return None,
    };
    Some(if s.is_number(x[0], 1.0) { share } else { map2(Mul, Form::Leaf(x[0]), share) })
}

pub(super) fn tanh(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let ([c, d], moves) = sum_of_two(s, x[1])?;
    let terms = s.written(Sub, x[0]).filter(|_| moves.is_empty())?;
    let (a, b) = (s.exponent(terms[0])?, s.exponent(terms[1])?);
    let same = |u: &Form, v: &Form| s.same_form(&a, u) && s.same_form(&b, v);
    if !same(&c, &d) && !same(&d, &c) {
        return None;
    }
    let half = if s.same_form(&a, &b.clone().negated()) { a } else { a.minus(b).times(0.5) };
    Some(map1(Tanh, half))
}

/// A sum of exponentials that are not shifted, and their argument.
fn sum_of_exponentials(s: &mut Sight<'_>, id: NodeId) -> Option<(Sum, NodeId)> {
    let sum = s.moved_sum(id)?;
    let x = s.map_of(Exp, sum.of)?[0];
    (s.terms(&sum) > 0 && !s.is_shifted(x)).then_some((sum, x))
}

/// The factor beside the exponential of `x` in a product: nothing, if the node is the exponential itself.
fn factor(s: &mut Sight<'_>, id: NodeId, x: NodeId) -> Option<Option<NodeId>> {
    let mut is_exp = |id| s.attempt(|s| s.map_of(Exp, id).filter(|e| s.same(e[0], x))).is_some();
    if is_exp(id) {
        return Some(None);
    }
    let product = s.map_of(Mul, id)?;
    let mut is_exp = |id| s.attempt(|s| s.map_of(Exp, id).filter(|e| s.same(e[0], x))).is_some();
    if is_exp(product[0]) {
        return Some(Some(product[1]));
    }
    is_exp(product[1]).then_some(Some(product[0]))
}

fn weighted(softmax: Form, weight: Option<NodeId>) -> Form {
    match weight {
        Some(weight) => map2(Mul, Form::Leaf(weight), softmax),
        None => softmax,
    }
}

pub(super) fn softmax(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let (below, exponent) = sum_of_exponentials(s, x[1])?;
    let softmax = Form::Leaf(exponent).over(Over::Softmax, &below.axes);
    let by_element = s.attempt(|s| {
        let weight = factor(s, x[0], exponent)?;
        let shape = s.graph.shape(x[0]).clone();
        s.restores(&below, &shape).then_some(weight)
    });
    if let Some(weight) = by_element {
        return Some(weighted(softmax, weight));
    }
    let above = s.moved_sum(x[0])?;
    let weight = factor(s, above.of, exponent)??;
    let fits = above.axes == below.axes && above.moves == below.moves;
    fits.then(|| weighted(softmax, Some(weight)).over(Over::Sum, &above.axes).moved(above.moves))
}

pub(super) fn softmax_by_reciprocal(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    for (exp, reciprocal) in [(x[0], x[1]), (x[1], x[0])] {
        let found = s.attempt(|s| {
            let (quotient, mut outer) = s.moved_map_of(Div, reciprocal)?;
            if !s.is_number(quotient[0], 1.0) {
                return None;
            }
            let (mut sum, exponent) = sum_of_exponentials(s, quotient[1])?;
            sum.moves.append(&mut outer);
            let weight = factor(s, exp, exponent)?;
            let shape = s.graph.shape(exp).clone();
            let softmax = Form::Leaf(exponent).over(Over::Softmax, &sum.axes);
            s.restores(&sum, &shape).then(|| weighted(softmax, weight))
        });
        if found.is_some() {
            return found;
        }
    }
    None
}
