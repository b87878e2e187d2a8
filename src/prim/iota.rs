//! The index along an axis: `iota([2, 3], axis 1) = [[0, 1, 2], [0, 1, 2]]`.

use crate::array::Array;
use crate::graph::{DType, NodeId, OpErrorKind, TensorType};

use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Vjp, arity, array, no_operands};

/// Each element's index along one axis, which wraps in integer types too narrow for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// Type of the result; not `bool`.
    pub ty: TensorType,
    /// The axis.
    pub axis: usize,
}

impl Primitive for Iota {
    fn name(&self) -> &'static str {
        "iota"
    }

    fn accepts(name: &str) -> bool {
        name == "iota"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("axis", self.axis)
    }

    fn parse(_: &str, attrs: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError> {
        Ok(Iota { ty: ty.clone(), axis: attrs.take_word("axis", "an axis number")? })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 0)?;
        let rank = self.ty.shape.rank();
        if self.axis >= rank {
            return Err(OpErrorKind::Axis { axis: self.axis as isize, rank });
        }
        if self.ty.dtype.is_half() {
            return Err(OpErrorKind::Other(format!("{} is a type for storage: count in another", self.ty.dtype)));
        }
        if self.ty.dtype == DType::Bool {
            return Err(OpErrorKind::Other("an index is not a truth value: the type cannot be bool".to_owned()));
        }
        Ok(self.ty.clone())
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Cotangents {
        Cotangents::new()
    }

    fn jvp(&self, _: &mut Jvp<'_>) -> Option<NodeId> {
        None
    }

    fn batch(&self, _: &mut Batch<'_>) -> NodeId {
        no_operands()
    }

    fn eval(&self, _: &[&Array], ty: &TensorType) -> Array {
        let inner: usize = ty.shape[self.axis + 1..].iter().product();
        let extent = ty.shape[self.axis];
        let index = (0..ty.shape.numel()).map(|i| i / inner % extent);
        match ty.dtype {
            DType::U8 => array(ty, index.map(|i| i as u8).collect()),
            DType::U32 => array(ty, index.map(|i| i as u32).collect()),
            DType::I32 => array(ty, index.map(|i| i as i32).collect()),
            DType::I64 => array(ty, index.map(|i| i as i64).collect()),
            DType::F32 => array(ty, index.map(|i| i as f32).collect()),
            DType::F64 => array(ty, index.map(|i| i as f64).collect()),
            DType::Bool | DType::F16 | DType::BF16 => panic!("the shape rule refuses {}", ty.dtype),
        }
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Iota { axis: self.axis }
    }
}
