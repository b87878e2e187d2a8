//! Indexing: scatters that are cheaper as comparisons.

use crate::graph::{Dims, NodeId};
use crate::prim::{Combine, Emit, Iota, Op, Scatter};
use crate::scalar::ScalarFn::Eq;

use super::rewrite::{Law, Rewriter, Rule};

/// The rules of this family.
pub const RULES: &[Rule] = &[Rule {
    name: "scatter-to-select",
    law: Law::ZeroSign,
    doc: "A scatter of one slice for each batch into zeros is a selection by index == place: it fuses with what comes after, as in the gradient of cross-entropy.",
    on: &["scatter"],
    apply: scatter_to_select,
}];

/// An index out of range equals no place, as the scatter drops it. There is no such rule for gathers: an indexed load reads one element of a row, a
/// selection all of them.
fn scatter_to_select(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let &Op::Scatter(Scatter { batch, combine }) = op else {
        return None;
    };
    if !matches!(combine, Combine::Set | Combine::Add) {
        return None;
    }
    let (target, index, update) = (x[0], x[1], x[2]);
    let zeros = r.is_splat(target, 0.0) || (combine == Combine::Add && r.is_zero(target));
    if !zeros || r.graph().shape(index).rank() != batch {
        return None;
    }
    let shape = r.graph().shape(target).clone();
    let ty = r.graph().ty(index).dtype;
    if !ty.numbers(shape[batch]) {
        return None;
    }
    let chosen_from = shape[..=batch].iter().copied().collect::<crate::graph::Shape>();
    let places = crate::graph::TensorType::new(ty, chosen_from.clone());
    let place = r.emit(Iota { ty: places, axis: batch }.into(), &[]);
    let index = r.broadcast(index, chosen_from, Dims::from_slice(&[batch]));
    let chosen = r.map(Eq, &[index, place]);
    let chosen = r.broadcast(chosen, shape.clone(), (batch + 1..shape.rank()).collect());
    let update = r.broadcast(update, shape, Dims::from_slice(&[batch]));
    Some(r.select(chosen, update, target))
}
