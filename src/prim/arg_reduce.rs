//! The position of an extreme element along an axis.

use crate::array::Array;
use crate::graph::{DType, Dims, NodeId, OpErrorKind, TensorType};

use super::attrs::named_variants;
use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Vjp, arity, array, elements, with_element};

/// Which extreme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extremum {
    /// The largest element.
    Max,
    /// The smallest element.
    Min,
}
named_variants!(Extremum { Max = "max", Min = "min" });

/// The position, as `i32`, of the first extreme element along an axis, which the result lacks. A NaN counts as the most extreme, as in NumPy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgReduce {
    /// Which extreme.
    pub extremum: Extremum,
    /// The axis.
    pub axis: usize,
}

impl Primitive for ArgReduce {
    fn name(&self) -> &'static str {
        "arg_reduce"
    }

    fn accepts(name: &str) -> bool {
        name == "arg_reduce"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("kind", self.extremum).word("axis", self.axis)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(ArgReduce {
            extremum: attrs.take_word("kind", "max or min")?,
            axis: attrs.take_word("axis", "an axis number")?,
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let shape = &operands[0].shape;
        if self.axis >= shape.rank() {
            return Err(OpErrorKind::Axis { axis: self.axis as isize, rank: shape.rank() });
        }
        if shape[self.axis] == 0 {
            let (reduction, axes) = (self.extremum.name(), Dims::from_slice(&[self.axis]));
            return Err(OpErrorKind::EmptyReduction { reduction, axes, shape: shape.clone() });
        }
        if i32::try_from(shape[self.axis]).is_err() {
            return Err(OpErrorKind::Other(format!("axis {} has more elements than i32 can number", self.axis)));
        }
        Ok(TensorType { dtype: DType::I32, shape: shape.without(&[self.axis]) })
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Cotangents {
        Cotangents::from_slice(&[None])
    }

    fn jvp(&self, _: &mut Jvp<'_>) -> Option<NodeId> {
        None
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(ArgReduce { extremum: self.extremum, axis: self.axis + 1 })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let shape = operands[0].shape();
        let (extent, inner): (usize, usize) = (shape[self.axis], shape[self.axis + 1..].iter().product());
        with_element!(operands[0].dtype(), T => {
            let x = elements::<T>(operands[0]);
            let is_nan = |v: T| v.partial_cmp(&v).is_none();
            let position = |i: usize| {
                let at = |k: usize| x[(i / inner * extent + k) * inner + i % inner];
                (1..extent).fold(0, |best, k| {
                    let (a, b) = (at(best), at(k));
                    #[allow(clippy::bool_comparison, reason = "one expression for all element types")]
                    let better = match self.extremum {
                        Extremum::Max => b > a,
                        Extremum::Min => b < a,
                    };
                    if !is_nan(a) && (is_nan(b) || better) { k } else { best }
                }) as i32
            };
            array(ty, (0..ty.shape.numel()).map(position).collect())
        })
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::ArgReduce { extremum: self.extremum, axis: self.axis }
    }
}
