//! Square roots of squares and of their sums and means.

use crate::graph::NodeId;
use crate::prim::Reduction;
use crate::scalar::ScalarFn::{self, Abs, Div, Pow};

use super::form::{Form, Move, Over, map1};
use super::sight::Sight;

/// What is below the root, and the movements around it.
fn radicand(s: &mut Sight<'_>, f: ScalarFn, x: &[NodeId]) -> Option<(NodeId, Vec<Move>)> {
    (f != Pow || s.is_number(x[1], 0.5)).then(|| s.through(x[0]))
}

pub(super) fn of_square(s: &mut Sight<'_>, f: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let (square, moves) = radicand(s, f, x)?;
    let x = s.squared(square)?;
    Some(map1(Abs, Form::Leaf(x)).moved(moves))
}

pub(super) fn of_sum_of_squares(s: &mut Sight<'_>, f: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let (sum, moves) = radicand(s, f, x)?;
    Some(norm(s, sum)?.moved(moves))
}

pub(super) fn of_mean_of_squares(s: &mut Sight<'_>, f: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let (mean, moves) = radicand(s, f, x)?;
    let quotient = s.map_of(Div, mean)?;
    let (sum, inner) = s.through(quotient[0]);
    let norm = norm(s, sum)?;
    let count = s.number(quotient[1]).filter(|&n| n > 0.0 && n.is_finite())?;
    Some(norm.moved(inner).times(1.0 / count.sqrt()).moved(moves))
}

/// The root of a sum of squares.
fn norm(s: &mut Sight<'_>, sum: NodeId) -> Option<Form> {
    let (of, axes) = s.reduction(Reduction::Sum, sum)?;
    let (square, moves) = s.through(of);
    let x = s.squared(square)?;
    Some(Form::Leaf(x).moved(moves).over(Over::Norm, &axes))
}
