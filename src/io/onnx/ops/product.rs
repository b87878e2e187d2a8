//! Sums of products: matrices, Einstein sums, determinants.

use crate::build::Tensor;
use crate::graph::{DType, Shape};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, joined};
use super::super::error::{Fault, invalid};
use super::super::node::{Node, Results, one};
use super::{Held, Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("MatMul", 1, |node| one(node.input(0)?.product(node.input(1)?))),
    op("Gemm", 1, gemm),
    op("Einsum", 12, einsum),
    op("Det", 11, det),
    op("MatMulInteger", 10, matmul_integer).held(Held::Asks),
];

/// `alpha A B + beta C`, with A and B transposed if asked for.
pub(super) fn gemm<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let operand = |i: usize, flag: &'static str| {
        let x = node.input(i)?;
        if x.rank() != 2 {
            return invalid(format!("operand {i} is {}, expected a matrix", x.ty()));
        }
        if node.flag(flag, false)? { x.permute(&[1, 0]) } else { Ok(x) }
    };
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    // Before version 7 an attribute says whether C broadcasts; if it need not, it does no harm.
    node.flag("broadcast", false)?;
    let mut result = operand(0, "transA")?.product(operand(1, "transB")?)?;
    if alpha != 1.0 {
        result = scaled(result, alpha)?;
    }
    let Some(mut c) = node.optional(2)? else { return one(Ok(result)) };
    if joined(&[c.shape(), result.shape()])? != result.shape() {
        return invalid(format!("operand 2, {}, does not broadcast to {}", c.ty(), result.ty()));
    }
    if beta != 1.0 {
        c = scaled(c, beta)?;
    }
    one(result.f2(ScalarFn::Add, c))
}

/// The tensor times a number; integers are multiplied in floats, as the number may be a fraction.
fn scaled<'g>(x: Tensor<'g>, factor: f64) -> Result<Tensor<'g>, Fault> {
    let dtype = x.dtype();
    let wide = if dtype.is_float() { dtype } else { DType::F64 };
    x.to(wide)?.with(ScalarFn::Mul, factor)?.to(dtype)
}

fn einsum<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let equation: String = node.text("equation", "")?.chars().filter(|c| !c.is_whitespace()).collect();
    let operands = node.inputs()?;
    // What the sum ranges over must be countable, as each pair of operands is multiplied out.
    let elements = operands.iter().fold(1usize, |n, t| n.saturating_mul(t.shape().numel().max(1)));
    if elements > 1 << 62 {
        return invalid("the operands have too many elements");
    }
    one(Ok(node.g().try_einsum(&equation, &operands)?))
}

fn det<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    match x.shape()[..] {
        [.., rows, columns] if rows == columns => one(Ok(x.det())),
        _ => invalid(format!("{} is no square matrix", x.ty())),
    }
}

/// A product of bytes in 32-bit integers, each less its zero point.
fn matmul_integer<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let side = |i: usize, zero: usize, per_row: bool| {
        let x = node.held(i)?.0.to(DType::I32)?;
        let Some((zero, _)) = node.held_optional(zero)? else { return Ok(x) };
        let zero = zero.to(DType::I32)?;
        // One for each row of the left operand, or each column of the right.
        let zero = if per_row && zero.rank() == 1 { zero.unsqueezed(1)? } else { zero };
        let zero = if zero.shape().numel() == 1 { zero.shaped(Shape::scalar())? } else { zero };
        x.f2(ScalarFn::Sub, zero)
    };
    one(side(0, 2, true)?.product(side(1, 3, false)?))
}
