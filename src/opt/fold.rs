//! Constant folding.
//!
//! A node whose operands are all constants is evaluated by its own reference evaluation, so the result has the bits that a run would have had from the
//! interpreter. A constant all of whose elements are equal is kept as one number and a broadcast, which costs nothing and is what the other rules look
//! for; broadcasts are therefore never folded.

use crate::array::Array;
use crate::graph::NodeId;
use crate::prim::{Const, Emit, Op, elements, with_element};

use super::rewrite::{Law, Rewriter, Rule};

/// The rules of this family.
pub const RULES: &[Rule] = &[
    Rule {
        name: "fold-constants",
        law: Law::Exact,
        doc: "An operation on constants becomes its value, if that has no more elements than the operands together or is small.",
        on: &[],
        apply: fold_constants,
    },
    Rule {
        name: "splat-constant",
        law: Law::Exact,
        doc: "A constant of equal elements becomes a broadcast of one number.",
        on: &["const"],
        apply: splat_constant,
    },
    Rule {
        name: "iota-of-extent-one",
        law: Law::Exact,
        doc: "An index along an axis of extent 1 becomes 0.",
        on: &["iota"],
        apply: iota_of_extent_one,
    },
];

/// Elements that a folded constant may have whatever its operands have.
const SMALL: usize = 64;

/// Elements that the operands may have together: beyond that, the machine code is faster than the reference evaluation.
const LARGE: usize = 1 << 16;

fn fold_constants(r: &mut Rewriter<'_>, op: &Op, operands: &[NodeId]) -> Option<NodeId> {
    // A loop may take long.
    if operands.is_empty() || matches!(op, Op::Broadcast(_) | Op::Loop(_)) {
        return None;
    }
    let elements = |id: &NodeId| r.graph().shape(*id).numel();
    if !operands.iter().all(|&o| matches!(r.op(o), Op::Const(_))) {
        return None;
    }
    let types: Vec<_> = operands.iter().map(|&o| r.graph().ty(o)).collect();
    let size = op.infer(&types).ok()?.shape.numel();
    let given: usize = operands.iter().map(elements).sum();
    if size > SMALL.max(given) || given > LARGE {
        return None;
    }
    let value = r.eval_constants(op, operands)?;
    Some(r.constant(value))
}

fn splat_constant(r: &mut Rewriter<'_>, op: &Op, _: &[NodeId]) -> Option<NodeId> {
    let Op::Const(Const { value }) = op else { return None };
    if value.shape().rank() == 0 {
        return None;
    }
    let scalar = common_element(value)?;
    let shape = value.shape().clone();
    let scalar = r.constant(scalar);
    Some(r.broadcast_new(scalar, &shape))
}

/// The element that all elements are equal to, bit by bit, as a scalar.
fn common_element(value: &Array) -> Option<Array> {
    with_element!(value.dtype(), T => {
        let all = elements::<T>(value);
        let first = *all.first()?;
        // Cheap to refute, which is the usual case; NaN may be equal though it differs from itself.
        let differs = |x: &T| *x != first && x.partial_cmp(x).is_some();
        if all.iter().any(differs) {
            return None;
        }
        let scalar = Array::scalar(first);
        let repeated = Array::new(value.shape().clone(), vec![first; all.len()]).ok()?;
        (repeated == *value).then_some(scalar)
    })
}

fn iota_of_extent_one(r: &mut Rewriter<'_>, op: &Op, _: &[NodeId]) -> Option<NodeId> {
    let Op::Iota(iota) = op else { return None };
    (iota.ty.shape[iota.axis] == 1).then(|| r.full(&iota.ty, 0.0))
}
