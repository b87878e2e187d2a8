//! Slices chosen by integers.

use crate::array::Array;
use crate::graph::{DType, NodeId, OpErrorKind, Shape, TensorType};

use super::attrs::TextNumber;
use super::{
    AttrError, Attrs, Batch, Combine, Cotangents, Jvp, Lowering, Primitive, Scatter, Vjp, arity, array, elements,
    with_element,
};

/// `out[b, i, r] = x[b, index[b, i], r]`, where each letter stands for any number of axes: the first `batch` axes are shared, the next axis of `x` is
/// chosen from, the rest is taken whole.
///
/// The operands are `x` and the integer indices. Where an index is negative or too large, the result is `fill`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// Count of leading axes that both operands share.
    pub batch: usize,
    /// Bits, as `f64`, of the number that stands for elements out of range.
    pub fill: u64,
}

impl Gather {
    /// A gather that answers NaN out of range, or 0 for integers and truth values.
    pub fn new(batch: usize) -> Gather {
        Gather { batch, fill: f64::NAN.to_bits() }
    }

    /// What stands for elements out of range in a tensor of this type: NaN becomes 0 where there is no NaN.
    fn fill(&self, dtype: DType) -> f64 {
        let fill = f64::from_bits(self.fill);
        if fill.is_nan() && !dtype.is_float() { 0.0 } else { fill }
    }
}

/// The split of `x`'s and the indices' axes.
pub(super) struct GatherDims {
    /// Count of batches.
    pub(super) batch: usize,
    /// Extent of the axis chosen from.
    pub(super) extent: usize,
    /// Elements of one choice.
    pub(super) rest: usize,
    /// Choices in a batch.
    pub(super) choices: usize,
}

impl GatherDims {
    pub(super) fn new(batch: usize, x: &Shape, index: &Shape) -> GatherDims {
        GatherDims {
            batch: x[..batch].iter().product(),
            extent: x[batch],
            rest: x[batch + 1..].iter().product(),
            choices: index[batch..].iter().product(),
        }
    }
}

/// Checks that `index` goes with `x` and returns the shape of the choices.
pub(super) fn infer_choices(batch: usize, x: &TensorType, index: &TensorType) -> Result<Shape, OpErrorKind> {
    let rank = x.shape.rank();
    if batch >= rank {
        return Err(OpErrorKind::Axis { axis: batch as isize, rank });
    }
    if !index.dtype.is_int() {
        return Err(OpErrorKind::DType { position: 1, expected: "an integer type".to_owned(), actual: index.dtype });
    }
    if index.shape.rank() < batch || index.shape[..batch] != x.shape[..batch] {
        let expected = x.shape[..batch].iter().chain(index.shape.iter().skip(batch)).copied().collect();
        return Err(OpErrorKind::Shape { position: 1, expected, actual: index.shape.clone() });
    }
    Ok(index.shape.iter().chain(&x.shape[batch + 1..]).copied().collect())
}

/// Indices as `usize`, `None` where they are not below `extent`.
pub(super) fn indices(index: &Array, extent: usize) -> Vec<Option<usize>> {
    let valid = |i: i64| usize::try_from(i).ok().filter(|&i| i < extent);
    match index.dtype() {
        DType::U8 => elements::<u8>(index).iter().map(|&i| valid(i.into())).collect(),
        DType::U32 => elements::<u32>(index).iter().map(|&i| valid(i.into())).collect(),
        DType::I32 => elements::<i32>(index).iter().map(|&i| valid(i.into())).collect(),
        _ => elements::<i64>(index).iter().map(|&i| valid(i)).collect(),
    }
}

impl Primitive for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn accepts(name: &str) -> bool {
        name == "gather"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().word("batch", self.batch).word("fill", f64::from_bits(self.fill).to_word())
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Gather {
            batch: attrs.take_word("batch", "a count of axes")?,
            fill: attrs.take_number::<f64>("fill")?.to_bits(),
        })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 2)?;
        let shape = infer_choices(self.batch, operands[0], operands[1])?;
        Ok(TensorType { dtype: operands[0].dtype, shape })
    }

    /// Adds each cotangent to the place that the element came from.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let ty = cx.operand_ty(0);
        if !ty.dtype.is_float() {
            return Cotangents::from_slice(&[None, None]);
        }
        let zeros = cx.emit.full(&ty, 0.0);
        let scatter = Scatter { batch: self.batch, combine: Combine::Add };
        let dx = cx.emit.emit(scatter.into(), &[zeros, cx.operands[1], cx.cotangent]);
        Cotangents::from_slice(&[Some(dx), None])
    }

    /// What is out of range is a constant.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        let (tangent, index) = (cx.tangents[0]?, cx.operands[1]);
        let gather = Gather { batch: self.batch, fill: 0.0f64.to_bits() };
        Some(cx.emit.emit(gather.into(), &[tangent, index]))
    }

    /// With both operands batched there is one more shared axis. The batch axis of `x` alone goes along with what is taken whole, that of the indices
    /// alone with the choices, so the other operand is not repeated.
    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        let (x, index) = (cx.operands[0], cx.operands[1]);
        let choices_end = cx.operand_ty(1).shape.rank();
        match (cx.batched[0], cx.batched[1]) {
            (true, true) => cx.apply(Gather { batch: self.batch + 1, ..self.clone() }),
            (true, false) => {
                let x = cx.move_axis(x, 0, self.batch + 1);
                let chosen = cx.emit.emit(self.clone().into(), &[x, index]);
                cx.move_axis(chosen, choices_end, 0)
            }
            (false, _) => {
                let index = cx.move_axis(index, 0, self.batch);
                let chosen = cx.emit.emit(self.clone().into(), &[x, index]);
                cx.move_axis(chosen, self.batch, 0)
            }
        }
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let dims = GatherDims::new(self.batch, operands[0].shape(), operands[1].shape());
        let index = indices(operands[1], dims.extent);
        let fill = Array::full(&TensorType::new(ty.dtype, []), self.fill(ty.dtype));
        with_element!(ty.dtype, T => {
            let (x, fill) = (elements::<T>(operands[0]), elements::<T>(&fill)[0]);
            let mut out = Vec::with_capacity(ty.shape.numel());
            for (i, choice) in index.into_iter().enumerate() {
                match choice {
                    Some(k) => {
                        let from = (i / dims.choices * dims.extent + k) * dims.rest;
                        out.extend_from_slice(&x[from..from + dims.rest]);
                    }
                    None => out.extend(std::iter::repeat_n(fill, dims.rest)),
                }
            }
            array(ty, out)
        })
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], ty: &TensorType) -> Lowering {
        Lowering::Gather { batch: self.batch, fill: self.fill(ty.dtype) }
    }
}
