//! Random numbers. A program draws the same ones in every run: those of the attribute `seed`, or, without it, of the node's number in the model.

use crate::array::Array;
use crate::build::{Key, Tensor};
use crate::graph::{DType, TensorType};
use crate::prim::{ArgReduce, Extremum};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made};
use super::super::dtype::OnnxType;
use super::super::error::{Fault, invalid, unsupported};
use super::super::held::convert;
use super::super::narrow::Rounding;
use super::super::node::{Node, Results, count_of, counts_of, dtype_of, element_of, one, tensor_type};
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("RandomNormal", 1, |node| {
        let ty = declared(node)?;
        one(normal(node, &ty))
    }),
    op("RandomNormalLike", 1, |node| {
        let x = node.input(0)?;
        let dtype = node.dtype("dtype")?.unwrap_or(x.dtype());
        one(normal(node, &x.ty().with_dtype(dtype)))
    }),
    op("RandomUniform", 1, |node| {
        let ty = declared(node)?;
        one(uniform(node, &ty))
    }),
    op("RandomUniformLike", 1, |node| {
        let x = node.input(0)?;
        let dtype = node.dtype("dtype")?.unwrap_or(x.dtype());
        one(uniform(node, &x.ty().with_dtype(dtype)))
    }),
    op("Bernoulli", 15, bernoulli),
    op("Multinomial", 7, multinomial),
];

/// The key of a node's numbers.
fn key<'g>(node: &Node<'_, 'g>) -> Result<Key<'g>, Fault> {
    Ok(match node.float_optional("seed")? {
        Some(seed) => node.g().key(seed.to_bits()),
        None => {
            let number = node.g().constant(Array::scalar(node.importer.number() as i64));
            node.g().key(0).fold_in(number)
        }
    })
}

/// The type that attributes give.
fn declared(node: &Node<'_, '_>) -> Result<TensorType, Fault> {
    let Some(shape) = node.ints("shape")? else { return invalid("attribute `shape` is missing") };
    let dtype = node.dtype("dtype")?.unwrap_or(DType::F32);
    tensor_type(dtype, &counts_of(&shape)?)
}

/// The type in which numbers are drawn.
fn wide(ty: &TensorType) -> Result<TensorType, Fault> {
    match ty.dtype {
        DType::F64 => Ok(ty.clone()),
        DType::F32 | DType::F16 | DType::BF16 => Ok(ty.with_dtype(DType::F32)),
        other => unsupported(format!("random numbers of type {other}")),
    }
}

fn normal<'g>(node: &Node<'_, 'g>, ty: &TensorType) -> Made<'g> {
    let (mean, scale) = (node.float("mean", 0.0)?, node.float("scale", 1.0)?);
    let drawn = key(node)?.normal(wide(ty)?);
    drawn.with(ScalarFn::Mul, scale)?.with(ScalarFn::Add, mean)?.to(ty.dtype)
}

fn uniform<'g>(node: &Node<'_, 'g>, ty: &TensorType) -> Made<'g> {
    let (low, high) = (node.float("low", 0.0)?, node.float("high", 1.0)?);
    let unit = key(node)?.uniform(wide(ty)?, 0.0, 1.0);
    unit.with(ScalarFn::Mul, high - low)?.with(ScalarFn::Add, low)?.to(ty.dtype)
}

/// 1 with the probabilities that the operand has, 0 otherwise.
fn bernoulli<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let p = node.float_input(0)?;
    let to = match node.int_optional("dtype")? {
        Some(code) => element_of(code)?,
        None => OnnxType::of(p.dtype()),
    };
    let p = p.wide()?;
    let drawn = key(node)?.uniform(p.ty(), 0.0, 1.0).f2(ScalarFn::Lt, p)?;
    Ok(vec![convert(drawn, OnnxType::of(DType::Bool), to, Rounding::default())?])
}

/// Classes drawn by the logarithms of their weights: the largest of these with Gumbel's noise.
fn multinomial<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let &[batch, classes] = &x.shape()[..] else { return invalid(format!("{} are no rows of classes", x.ty())) };
    let count = count_of(node.int("sample_size", 1)?)?;
    if classes == 0 {
        return invalid("there are no classes");
    }
    let dtype = dtype_of(node.int("dtype", 6)?)?;
    let x: Tensor<'g> = x.wide()?.unsqueezed(1)?;
    let noise = key(node)?.gumbel(tensor_type(x.dtype(), &[batch, count, classes])?);
    let best = noise.f2(ScalarFn::Add, x)?.push1(ArgReduce { extremum: Extremum::Max, axis: 2 })?;
    one(best.to(dtype))
}
