//! Constants: numbers known when the graph is built.

use std::sync::Arc;

use crate::array::{Array, ArrayElement};
use crate::graph::{NodeId, OpErrorKind, TensorType};

use super::attrs::TextNumber;
use super::{
    AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Vjp, arity, elements, no_operands, with_element,
};

/// Numbers known when the graph is built. Equal constants have equal bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Const {
    /// The numbers.
    pub value: Arc<Array>,
}

impl Const {
    /// The value of the only element, if there is one element.
    pub fn as_scalar(&self) -> Option<f64> {
        (self.value.shape().numel() == 1).then(|| self.value.get_f64(0))
    }
}

fn words<T: ArrayElement + TextNumber>(value: &Array) -> Vec<String> {
    elements::<T>(value).iter().map(|&x| x.to_word()).collect()
}

impl Primitive for Const {
    fn name(&self) -> &'static str {
        "const"
    }

    fn accepts(name: &str) -> bool {
        name == "const"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().list("value", with_element!(self.value.dtype(), T => words::<T>(&self.value)))
    }

    fn parse(_: &str, attrs: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError> {
        let value = with_element!(ty.dtype, T => {
            let elements: Vec<T> = attrs.take_list_with("value", "elements of the result's type", T::from_word)?;
            let given = elements.len();
            Array::new(ty.shape.clone(), elements).map_err(|_| AttrError::Count {
                name: "value",
                given,
                ty: ty.clone(),
            })?
        });
        Ok(Const { value: Arc::new(value) })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 0)?;
        Ok(self.value.ty())
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

    fn eval(&self, _: &[&Array], _: &TensorType) -> Array {
        (*self.value).clone()
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Const
    }
}
