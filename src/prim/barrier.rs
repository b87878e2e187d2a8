//! A value that is wanted late.
//!
//! Recomputation saves memory only if it happens late, and only if it is not recognised as what has been computed before. A barrier says both: behind it a
//! value is another value to common-subexpression elimination, and what uses it is computed after the barrier's other operands. It costs nothing; in the
//! plan nothing is left of it but an order of steps.

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{NodeId, OpErrorKind, TensorType};

use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Vjp};

/// The first operand, available when the other operands are. Those may be of any type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Barrier;

impl Primitive for Barrier {
    fn name(&self) -> &'static str {
        "barrier"
    }

    fn accepts(name: &str) -> bool {
        name == "barrier"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn parse(_: &str, _: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Barrier)
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        let first = operands.first().ok_or(OpErrorKind::Arity { expected: 1, given: 0 })?;
        Ok((*first).clone())
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let mut cotangents: Cotangents = SmallVec::from_elem(None, cx.operands.len());
        cotangents[0] = Some(cx.cotangent);
        cotangents
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        cx.tangents[0]
    }

    /// What it waits for may have a batch axis or not.
    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        let late = cx.emit.emit(self.clone().into(), &cx.operands);
        if cx.batched[0] { late } else { cx.repeat(late) }
    }

    fn eval(&self, operands: &[&Array], _: &TensorType) -> Array {
        operands[0].clone()
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Barrier
    }
}
