//! Tensors one behind the other along an axis.

use crate::array::Array;
use crate::graph::{Dims, NodeId, OpErrorKind, Operands, TensorType};

use super::{
    AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Slice, Strided, Vjp, array, elements, with_element,
};

/// The operands one behind the other along an axis. They agree in all other extents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Concat {
    /// The places of each operand's elements in the result's memory.
    fn regions(&self, operands: &[&TensorType], ty: &TensorType) -> Vec<Strided> {
        let strides = ty.shape.strides();
        let mut start = 0;
        let region = |o: &&TensorType| {
            let offset = start * strides[self.axis];
            start += o.shape[self.axis] as isize;
            Strided { shape: o.shape.clone(), strides: strides.clone(), offset }
        };
        operands.iter().map(region).collect()
    }
}

impl Primitive for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn accepts(name: &str) -> bool {
        name == "concat"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("axis", self.axis)
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Concat { axis: attrs.take_word("axis", "an axis number")? })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        let Some(first) = operands.first() else {
            return Err(OpErrorKind::Arity { expected: 1, given: 0 });
        };
        let rank = first.shape.rank();
        if self.axis >= rank {
            return Err(OpErrorKind::Axis { axis: self.axis as isize, rank });
        }
        let mut extents: Dims = first.shape.iter().copied().collect();
        for (position, o) in operands.iter().enumerate().skip(1) {
            if o.dtype != first.dtype {
                let expected = first.dtype.name().to_owned();
                return Err(OpErrorKind::DType { position, expected, actual: o.dtype });
            }
            let agree = o.shape.rank() == rank && (0..rank).all(|a| a == self.axis || o.shape[a] == first.shape[a]);
            if !agree {
                let mut expected: Dims = first.shape.iter().copied().collect();
                if o.shape.rank() == rank {
                    expected[self.axis] = o.shape[self.axis];
                }
                let expected = expected.iter().copied().collect();
                return Err(OpErrorKind::Shape { position, expected, actual: o.shape.clone() });
            }
            extents[self.axis] = extents[self.axis].saturating_add(o.shape[self.axis]);
        }
        Ok(TensorType { dtype: first.dtype, shape: extents.iter().copied().collect() })
    }

    /// To each operand its part of the cotangent.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let mut at = 0;
        let mut cotangents = Cotangents::new();
        for i in 0..cx.operands.len() {
            let shape = cx.operand_ty(i).shape;
            let mut start: Dims = Dims::from_elem(0, shape.rank());
            start[self.axis] = at;
            at += shape[self.axis];
            let step = Dims::from_elem(1, shape.rank());
            let part = Slice { start, len: shape.iter().copied().collect(), step };
            cotangents.push(Some(cx.emit.emit(part.into(), &[cx.cotangent])));
        }
        cotangents
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let tangents: Operands = (0..cx.operands.len()).map(|i| cx.tangent(i)).collect();
        Some(cx.emit.emit(self.clone().into(), &tangents))
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Concat { axis: self.axis + 1 })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let types: Vec<TensorType> = operands.iter().map(|o| o.ty()).collect();
        let regions = self.regions(&types.iter().collect::<Vec<_>>(), ty);
        with_element!(ty.dtype, T => {
            let mut out = vec![T::default(); ty.shape.numel()];
            for (region, operand) in regions.iter().zip(operands) {
                for (place, &x) in region.places().zip(elements::<T>(operand)) {
                    out[place as usize] = x;
                }
            }
            array(ty, out)
        })
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, operands: &[&TensorType], ty: &TensorType) -> Lowering {
        Lowering::Assemble { fill: None, regions: self.regions(operands, ty) }
    }
}
