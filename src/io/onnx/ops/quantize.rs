//! Quantization: floats as small integers with a scale and a zero point, and products of such.

use smallvec::SmallVec;

use crate::build::Tensor;
use crate::graph::{DType, Dims, Shape};
use crate::prim::Reduction;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, joined};
use super::super::dtype::OnnxType;
use super::super::error::{Fault, invalid, unsupported};
use super::super::narrow::Rounding;
use super::super::node::{Node, Results, Value, axis_of, count_of, dtype_of, element_of, one};
use super::shape::repeated;
use super::{Held, Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("QuantizeLinear", 10, quantize_linear).held(Held::Asks),
    op("DequantizeLinear", 10, dequantize_linear).held(Held::Asks),
    op("DynamicQuantizeLinear", 11, dynamic_quantize_linear),
    op("QLinearMatMul", 10, qlinear_matmul).held(Held::Asks),
];

/// A scale or zero point as a tensor that broadcasts to `x`: one for all, one for each place of an axis, or one for each block of it.
fn spread<'g>(v: Tensor<'g>, x: Tensor<'g>, axis: i64, block: usize) -> Made<'g> {
    let shape = x.shape();
    match v.rank() {
        _ if v.shape().numel() == 1 && block == 0 => v.shaped(Shape::scalar()),
        1 if block == 0 => {
            let axis = axis_of(axis, shape.rank())?;
            let mut extents: Dims = SmallVec::from_elem(1, shape.rank());
            extents[axis] = v.shape().numel();
            let v = v.shaped(&extents[..])?;
            if extents[axis] == shape[axis] { Ok(v) } else { invalid(format!("{} does not fit axis {axis}", v.ty())) }
        }
        rank if block > 0 && rank == shape.rank() => {
            let axis = axis_of(axis, rank)?;
            if v.shape()[axis] != shape[axis].div_ceil(block) {
                return invalid(format!("{} is not one for each {block} elements of {}", v.ty(), x.ty()));
            }
            let mut extents: Dims = shape.iter().copied().collect();
            extents.clone_from_slice(&v.shape());
            // Each `block` times, less what is too much at the end.
            let apart = v.unsqueezed(axis + 1)?;
            let mut repeats: Dims = SmallVec::from_elem(1, rank + 1);
            repeats[axis + 1] = block;
            let apart = repeated(apart, &repeats)?;
            extents[axis] = extents[axis].saturating_mul(block);
            apart.shaped(&extents[..])?.part(axis, 0, shape[axis])
        }
        _ => invalid(format!("{} does not fit {}", v.ty(), x.ty())),
    }
}

/// `round(x / scale) + zero`, held in the range of the type.
pub(super) fn quantized<'g>(
    x: Tensor<'g>,
    scale: Tensor<'g>,
    zero: Option<Tensor<'g>>,
    to: OnnxType,
) -> Result<Value<'g>, Fault> {
    let small = to.range().zip(to.holder()).filter(|&((_, high), _)| high <= 65535.0);
    let Some(((low, high), holder)) = small else { return unsupported(format!("quantization to {to}")) };
    let rounded = x.f2(ScalarFn::Div, scale)?.f(ScalarFn::Round)?;
    let moved = match zero {
        Some(zero) => rounded.f2(ScalarFn::Add, zero.to(x.dtype())?)?,
        None => rounded,
    };
    let moved = if moved.dtype().is_float() { moved } else { return invalid("the operand is no float") };
    Ok(to.value(moved.clamp(low, high).to(holder)?))
}

pub(super) fn quantize_linear<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let x = if x.dtype().is_float() { x } else { x.to(DType::F32)? };
    let (axis, block) = (node.int("axis", 1)?, count_of(node.int("block_size", 0)?)?);
    node.int("precision", 0)?;
    let scale = spread(node.input(1)?.to(x.dtype())?, x, axis, block)?;
    let zero = node.element_optional(2)?;
    let to = match (zero, node.int("output_dtype", 0)?) {
        (Some((_, own)), _) => own,
        (None, 0) => OnnxType::of(DType::U8),
        (None, code) => element_of(code)?,
    };
    let how = Rounding { saturate: node.flag("saturate", true)?, ..Rounding::default() };
    let zero = zero.map(|(zero, _)| spread(zero, x, axis, block)).transpose()?;
    if let Some(format) = to.format() {
        let scaled = x.f2(ScalarFn::Div, scale)?;
        let moved = match zero.filter(|_| !is_zero(node, zero)) {
            Some(zero) => scaled.f2(ScalarFn::Add, zero.to(x.dtype())?)?,
            None => scaled,
        };
        return Ok(vec![to.value(format.rounded(moved, how)?)]);
    }
    Ok(vec![quantized(x, scale, zero, to)?])
}

/// True if this is known to be 0.
fn is_zero<'g>(node: &Node<'_, 'g>, zero: Option<Tensor<'g>>) -> bool {
    let known = zero.and_then(|zero| node.importer.constant(zero));
    known.is_some_and(|zero| zero.to_f64_vec().into_iter().all(|v| v == 0.0))
}

pub(super) fn dequantize_linear<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let ((x, from), scale) = (node.element(0)?, node.input(1)?);
    let (axis, block) = (node.int("axis", 1)?, count_of(node.int("block_size", 0)?)?);
    let dtype = match node.int("output_dtype", 0)? {
        0 => scale.dtype(),
        code => dtype_of(code)?,
    };
    let wide = if from.format().is_some() { DType::F32 } else { DType::I32 };
    let mut value = x.to(wide)?;
    if let Some((zero, of_zero)) = node.element_optional(2)? {
        if of_zero != from {
            return invalid(format!("elements of type {from} with a zero point of type {of_zero}"));
        }
        if !(wide.is_float() && is_zero(node, Some(zero))) {
            value = value.f2(ScalarFn::Sub, spread(zero.to(wide)?, x, axis, block)?)?;
        }
    }
    let scale = spread(scale, x, axis, block)?;
    one(value.to(scale.dtype())?.f2(ScalarFn::Mul, scale)?.to(dtype))
}

/// The scale and the zero point that hold all elements, and 0, in bytes. Where all elements are 0 the scale is 1, as in onnxruntime.
fn dynamic_quantize_linear<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    if x.shape().numel() == 0 {
        return invalid("there are no elements");
    }
    let all: Dims = (0..x.rank()).collect();
    let zero = x.number(0.0);
    let low = x.fold(Reduction::Min, &all, false)?.f2(ScalarFn::Min, zero)?;
    let high = x.fold(Reduction::Max, &all, false)?.f2(ScalarFn::Max, zero)?;
    let scale = high.f2(ScalarFn::Sub, low)?.with(ScalarFn::Div, 255.0)?;
    let scale = scale.with(ScalarFn::Eq, 0.0)?.choose(x.number(1.0), scale)?;
    let point = zero.f2(ScalarFn::Sub, low.f2(ScalarFn::Div, scale)?)?;
    let point = point.clamp(0.0, 255.0).f(ScalarFn::Round)?.to(DType::U8)?;
    let y = quantized(x, scale, Some(point), OnnxType::of(DType::U8))?;
    Ok(vec![y, scale.into(), point.into()])
}

/// A product of quantized matrices, quantized again.
fn qlinear_matmul<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let side = |at: usize, rows: bool| -> Result<(Tensor<'g>, Tensor<'g>), Fault> {
        let (x, scale, zero) = (node.held(at)?.0, node.input(at + 1)?, node.held(at + 2)?.0);
        // One for each row of the left operand, or each column of the right.
        let along = |v: Tensor<'g>| match v.shape().numel() {
            1 => v.shaped(Shape::scalar()),
            _ if rows && v.rank() == 1 => v.unsqueezed(1),
            _ => Ok(v),
        };
        let value = x.to(DType::I32)?.f2(ScalarFn::Sub, along(zero.to(DType::I32)?)?)?;
        Ok((value, along(scale)?))
    };
    let ((a, a_scale), (b, b_scale)) = (side(0, true)?, side(3, false)?);
    let product = a.product(b)?.to(a_scale.dtype())?.f2(ScalarFn::Mul, a_scale)?.f2(ScalarFn::Mul, b_scale)?;
    let (zero, to) = node.held(7)?;
    let scale = node.input(6)?;
    let along = |v: Tensor<'g>| if v.shape().numel() == 1 { v.shaped(Shape::scalar()) } else { Ok(v) };
    Ok(vec![quantized(product, along(scale)?, Some(along(zero)?), to)?])
}

/// `alpha` times a product of quantized matrices, each transposed if asked for, with a sum to the 32-bit integers that it is of: in floats, or quantized again.
pub(super) fn qgemm<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let one_number = |i: usize, v: Tensor<'g>| match v.shape().numel() {
        1 => v.shaped(Shape::scalar()),
        _ => invalid(format!("operand {i} is {}, expected one number", v.ty())),
    };
    let matrix = |i: usize, flag: &'static str| {
        let x = node.held(i)?.0.to(DType::I32)?;
        if x.rank() != 2 {
            return invalid(format!("operand {i} has the shape {}, expected a matrix", x.shape()));
        }
        if node.flag(flag, false)? { x.permute(&[1, 0]) } else { Ok(x) }
    };
    let (a, b) = (matrix(0, "transA")?, matrix(3, "transB")?);
    let columns = b.shape()[1];
    // One for all columns, or one for each.
    let by_column = |i: usize, v: Tensor<'g>| match v.shape()[..] {
        [count] if count == columns => Ok(v),
        _ if v.shape().numel() == 1 => v.shaped(Shape::scalar()),
        _ => invalid(format!("operand {i} is {}, expected one number, or {columns} for the columns", v.ty())),
    };
    let a = a.f2(ScalarFn::Sub, one_number(2, node.held(2)?.0.to(DType::I32)?)?)?;
    let b = b.f2(ScalarFn::Sub, by_column(5, node.held(5)?.0.to(DType::I32)?)?)?;
    let mut sum = a.product(b)?;
    if let Some(c) = node.optional(6)? {
        if c.dtype() != DType::I32 || joined(&[c.shape(), sum.shape()])? != sum.shape() {
            return invalid(format!("operand 6 is {}, expected i32 that broadcast to {}", c.ty(), sum.shape()));
        }
        sum = sum.f2(ScalarFn::Add, c)?;
    }
    let (a_scale, b_scale) = (one_number(1, node.float_input(1)?)?, by_column(4, node.float_input(4)?)?);
    let scale = a_scale.with(ScalarFn::Mul, node.float("alpha", 1.0)?)?.f2(ScalarFn::Mul, b_scale)?;
    let scaled = |scale: Tensor<'g>| sum.to(scale.dtype())?.f2(ScalarFn::Mul, scale);
    match (node.optional(7)?, node.held_optional(8)?) {
        (None, None) => one(scaled(scale)),
        (Some(y_scale), Some((zero, to))) => {
            // One multiplication, as in onnxruntime: what lies halfway depends on it.
            let y = scaled(scale.f2(ScalarFn::Div, one_number(7, y_scale)?)?)?;
            Ok(vec![quantized(y, y.number(1.0), Some(one_number(8, zero)?), to)?])
        }
        (Some(_), None) => invalid("operand 7, the scale of the result, without operand 8, its zero point"),
        (None, Some(_)) => invalid("operand 8, the zero point of the result, without operand 7, its scale"),
    }
}
