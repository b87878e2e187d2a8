//! Losses.

use crate::build::Tensor;
use crate::graph::{DType, Dims};
use crate::prim::{Gather, Reduction};
use crate::scalar::ScalarFn;

use super::super::checked::Checked;
use super::super::error::{Fault, invalid};
use super::super::node::Node;
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("NegativeLogLikelihoodLoss", 12, |node| {
        let loss = picked(node, node.float_input(0)?)?;
        Ok(vec![loss.into()])
    }),
    op("SoftmaxCrossEntropyLoss", 12, |node| {
        let scores = node.float_input(0)?;
        if scores.rank() < 2 || scores.shape().numel() == 0 {
            return invalid(format!("{} are no scores", scores.ty()));
        }
        let logarithms = scores.log_softmax(1);
        Ok(vec![picked(node, logarithms)?.into(), logarithms.into()])
    }),
];

/// The logarithms of probabilities, classes along axis 1, at the labels, negative and weighted, reduced as the attribute says.
fn picked<'g>(node: &Node<'_, 'g>, logarithms: Tensor<'g>) -> Result<Tensor<'g>, Fault> {
    use ScalarFn::{Div, Eq, Mul, Neg};
    let (labels, weights) = (node.input(1)?, node.optional(2)?);
    let shape = logarithms.shape();
    let ignored = node.int_optional("ignore_index")?;
    let reduction = node.text("reduction", "mean")?;
    if shape.rank() < 2 || labels.shape() != shape.without(&[1]) || !labels.dtype().is_int() {
        return invalid(format!("{} and labels {} do not fit", logarithms.ty(), labels.ty()));
    }
    let labels = labels.to(DType::I64)?;
    // A label that is ignored may be no class: in its place stands the first.
    let skip = match ignored {
        Some(label) => Some(labels.f2(Eq, node.g().constant(crate::Array::scalar(label)))?),
        None => None,
    };
    let at = match skip {
        Some(skip) => skip.choose(labels.number(0.0), labels)?,
        None => labels,
    };
    let rank = shape.rank();
    let lines = logarithms.moved(1, rank - 1)?;
    let mut loss = node.g().try_push(Gather::new(rank - 1), &[lines, at])?.f(Neg)?;
    let mut weight = match weights {
        Some(weights) if weights.shape()[..] == [shape[1]] => Some(weights.gathered(at, 0)?),
        Some(weights) => return invalid(format!("{} is not one weight for each class", weights.ty())),
        None => None,
    };
    if let Some(skip) = skip {
        let own = weight.map_or(loss.filled(1.0), Ok)?;
        weight = Some(skip.choose(own.number(0.0), own)?);
        loss = skip.choose(loss.number(0.0), loss)?;
    }
    if let Some(weight) = weight {
        loss = loss.f2(Mul, weight)?;
    }
    let all: Dims = (0..loss.rank()).collect();
    match reduction {
        "none" => Ok(loss),
        "sum" => loss.fold(Reduction::Sum, &all, false),
        "mean" => {
            let count = loss.shape().numel() as f64;
            let sum = loss.fold(Reduction::Sum, &all, false)?;
            match weight {
                Some(weight) => sum.f2(Div, weight.fold(Reduction::Sum, &all, false)?),
                None => sum.with(Div, count),
            }
        }
        other => invalid(format!("reduction `{other}` is not known")),
    }
}
