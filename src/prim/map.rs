//! A scalar function applied to each element. The functions themselves are in the table [`crate::scalar`].

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{NodeId, OpErrorKind, TensorType};
use crate::scalar::ScalarFn;

use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Taken, Vjp, arity};

/// A scalar function of each element. All operands have one shape; broadcasting is a node of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Map {
    /// The function.
    pub f: ScalarFn,
}

impl Primitive for Map {
    fn name(&self) -> &'static str {
        self.f.name()
    }

    fn accepts(name: &str) -> bool {
        ScalarFn::from_name(name).is_some()
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn parse(name: &str, _: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        let f = ScalarFn::from_name(name).ok_or_else(|| AttrError::UnknownOp { name: name.to_owned() })?;
        Ok(Map { f })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, self.f.arity())?;
        for (position, o) in operands.iter().enumerate() {
            if o.shape != operands[0].shape {
                let expected = operands[0].shape.clone();
                return Err(OpErrorKind::Shape { position, expected, actual: o.shape.clone() });
            }
        }
        let dtypes: crate::graph::Dims<_> = operands.iter().map(|o| o.dtype).collect();
        Ok(operands[0].with_dtype(self.f.result_dtype(&dtypes)?))
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let mut parts = self.f.vjp(cx);
        if self.f == ScalarFn::Select {
            let (condition, outer) = (cx.operands[0], &cx.taken);
            let mut branch = |holds: bool| Some(Taken::and(cx.emit, outer, condition, holds));
            cx.operands_taken = [None, branch(true), branch(false)].into_iter().collect();
            return parts;
        }
        let Some(taken) = &cx.taken else { return parts };
        cx.operands_taken = SmallVec::from_elem(Some(taken.clone()), parts.len());
        if !self.f.passes_zeros() && parts.iter().any(Option::is_some) {
            let taken = taken.emit(cx.emit);
            for part in parts.iter_mut().flatten() {
                let zero = cx.emit.full_like(*part, 0.0);
                *part = cx.emit.select(taken, *part, zero);
            }
        }
        parts
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        self.f.jvp(cx)
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(self.clone())
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        self.f.eval(operands, ty)
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Map(self.f)
    }
}
