//! Quotients of exponentials and their sums.

use crate::graph::NodeId;
use crate::scalar::ScalarFn::{self, Add, Exp, Sigmoid};

use super::form::{Form, Over, map1};
use super::sight::Sight;

pub(super) fn sigmoid(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let (terms, moves) = s.moved_map_of(Add, x[1])?;
    let exp = s.beside_number(1.0, &terms)?;
    let z = s.argument(Exp, exp)?;
    if s.is_number(x[0], 1.0) {
        return Some(map1(Sigmoid, z.negated()).moved(moves));
    }
    let above = s.argument(Exp, x[0]).filter(|_| moves.is_empty())?;
    s.same_form(&above, &z).then(|| map1(Sigmoid, z))
}

pub(super) fn softmax(s: &mut Sight<'_>, _: ScalarFn, x: &[NodeId]) -> Option<Form> {
    let above = s.map_of(Exp, x[0])?[0];
    let sum = s.moved_sum(x[1])?;
    let below = s.map_of(Exp, sum.of)?[0];
    let shape = s.graph.shape(x[0]).clone();
    // Without terms there is no largest one to subtract.
    if s.terms(&sum) == 0 || s.is_shifted(below) || !s.same(above, below) || !s.restores(&sum, &shape) {
        return None;
    }
    Some(Form::Leaf(below).over(Over::Softmax, &sum.axes))
}
