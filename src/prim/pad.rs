//! Elements around and between those of the operand.

use crate::array::Array;
use crate::graph::{Dims, NodeId, OpErrorKind, TensorType};

use super::attrs::TextNumber;
use super::rules::with_batch;
use super::{
    AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Slice, Strided, Vjp, arity, array, elements,
    with_element,
};

/// The operand with `low` elements before, `high` behind and `interior` between its elements on each axis, all equal to one number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Elements before the first.
    pub low: Dims,
    /// Elements behind the last.
    pub high: Dims,
    /// Elements between two neighbours.
    pub interior: Dims,
    /// Bits of the number, as `f64`.
    pub value: u64,
}

impl Pad {
    /// The places of the operand's elements in the result's memory.
    fn region(&self, operand: &TensorType, ty: &TensorType) -> Strided {
        let strides = ty.shape.strides();
        Strided {
            shape: operand.shape.clone(),
            offset: strides.iter().zip(&self.low).map(|(&s, &l)| s * l as isize).sum(),
            strides: strides.iter().enumerate().map(|(axis, &s)| s * self.step(operand, axis)).collect(),
        }
    }

    /// From one element of the operand to the next in the result; 1 where there is at most one, so that places do not overflow.
    fn step(&self, operand: &TensorType, axis: usize) -> isize {
        if operand.shape[axis] <= 1 { 1 } else { self.interior[axis] as isize + 1 }
    }
}

impl Primitive for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn accepts(name: &str) -> bool {
        name == "pad"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .list("low", &self.low)
            .list("high", &self.high)
            .list("interior", &self.interior)
            .word("value", f64::from_bits(self.value).to_word())
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Pad {
            low: attrs.take_list("low", "a list of counts")?,
            high: attrs.take_list("high", "a list of counts")?,
            interior: attrs.take_list("interior", "a list of counts")?,
            value: attrs.take_number::<f64>("value")?.to_bits(),
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let shape = &operands[0].shape;
        for (attribute, list) in [("low", &self.low), ("high", &self.high), ("interior", &self.interior)] {
            if list.len() != shape.rank() {
                return Err(OpErrorKind::AttributeLength { attribute, expected: shape.rank(), given: list.len() });
            }
        }
        // Saturation ends in an element count that the graph refuses.
        let extent = |axis: usize| {
            let gaps = shape[axis].saturating_sub(1).saturating_mul(self.interior[axis]);
            shape[axis].saturating_add(gaps).saturating_add(self.low[axis]).saturating_add(self.high[axis])
        };
        Ok(TensorType { dtype: operands[0].dtype, shape: (0..shape.rank()).map(extent).collect() })
    }

    /// The cotangent at the operand's places.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let operand = cx.operand_ty(0);
        let len = operand.shape.iter().copied().collect();
        let step = (0..operand.shape.rank()).map(|axis| self.step(&operand, axis)).collect();
        let g = cx.emit.emit(Slice { start: self.low.clone(), len, step }.into(), &[cx.cotangent]);
        Cotangents::from_slice(&[Some(g)])
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        cx.linear(Pad { value: 0.0f64.to_bits(), ..self.clone() })
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Pad {
            low: with_batch(0, &self.low),
            high: with_batch(0, &self.high),
            interior: with_batch(0, &self.interior),
            value: self.value,
        })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let region = self.region(&operands[0].ty(), ty);
        with_element!(ty.dtype, T => {
            let filled = Array::full(ty, f64::from_bits(self.value));
            let mut out = elements::<T>(&filled).to_vec();
            for (place, &x) in region.places().zip(elements::<T>(operands[0])) {
                out[place as usize] = x;
            }
            array(ty, out)
        })
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, operands: &[&TensorType], ty: &TensorType) -> Lowering {
        let covered = operands[0].shape == ty.shape;
        Lowering::Assemble {
            fill: (!covered).then(|| f64::from_bits(self.value)),
            regions: vec![self.region(operands[0], ty)],
        }
    }
}
