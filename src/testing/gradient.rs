//! Differentiation against finite differences.

use std::collections::BTreeMap;

use crate::array::Array;
use crate::build::{Builder, Program, Tensor};
use crate::grad::{grad, vjp};
use crate::graph::{DType, Graph, Name, NodeId, Origin};
use crate::interp;
use crate::prim::Const;

use super::Draw;

/// What a gradient check looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GradientReport {
    /// Elements of first derivatives compared.
    pub first: usize,
    /// Elements of second derivatives compared.
    pub second: usize,
    /// The largest difference seen, as a share of what is allowed.
    pub worst: f64,
}

/// The element in which a derivative and the finite difference disagree most.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "derivative of order {order} by `{name}`, element {element}: {derivative:?} by differentiation, {difference:?} by finite differences"
)]
pub struct GradientMismatch {
    /// 1, or 2 for the product of the second derivative with a random direction.
    pub order: usize,
    /// The input.
    pub name: Name,
    /// Its element, in row-major order.
    pub element: usize,
    /// What differentiation says.
    pub derivative: f64,
    /// What finite differences say.
    pub difference: f64,
}

/// Checks first and second derivatives of `f` at `inputs`. `f` is given one tensor for each input and returns an `f64` tensor of any shape; its sum with
/// fixed random weights is differentiated by the `f64` inputs. Inputs of other types are passed along.
///
/// The function must be smooth within 0.002 of the inputs.
///
/// # Errors
/// If they differ by more than `1e-7`, as a share of the derivative's largest magnitude: where they differ most.
///
/// # Panics
/// If `f` panics or its result is not `f64`.
pub fn check_gradient(
    inputs: &[Array],
    f: impl for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Tensor<'g>,
) -> Result<GradientReport, GradientMismatch> {
    let g = Builder::new();
    let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
    let tensors: Vec<Tensor<'_>> = names.iter().zip(inputs).map(|(n, a)| g.input(n, a.ty())).collect();
    let result = f(&g, &tensors);
    let weights = Draw::new(7).uniform(&result.ty(), 0.5, 1.5);
    let loss = (result * g.constant(weights)).sum();
    let wrt: Vec<NodeId> = tensors.iter().filter(|t| t.dtype() == DType::F64).map(|t| t.id()).collect();
    let Program { graph, .. } = g.program(&[]);
    let leaves = names.iter().zip(inputs).map(|(n, a)| (n.as_str().into(), a.clone())).collect();
    check_gradient_of(&graph, loss.id(), &wrt, &leaves)
}

/// Checks first and second derivatives of the `f64` scalar `loss` by the leaves `wrt`, all of them `f64`. The graph's outputs and updates do not matter.
///
/// # Errors
/// As [`check_gradient`].
///
/// # Panics
/// If `loss` is not an `f64` scalar, one of `wrt` is not an `f64` input or parameter, or a leaf that is needed has no value.
pub fn check_gradient_of(
    graph: &Graph,
    loss: NodeId,
    wrt: &[NodeId],
    leaves: &BTreeMap<Name, Array>,
) -> Result<GradientReport, GradientMismatch> {
    let mut graph = graph.clone();
    let mut report = GradientReport::default();
    let names: Vec<Name> = wrt
        .iter()
        .map(|&w| graph.op(w).leaf_name().expect("derivatives are by inputs and parameters").clone())
        .collect();
    let gradients = grad(&mut graph, loss, wrt).unwrap_or_else(|e| panic!("{e}"));

    // First order: each element's own central difference of the loss.
    let derivatives = evaluate(&graph, &gradients, leaves);
    let mut differences = Vec::new();
    for (name, derivative) in names.iter().zip(&derivatives) {
        let mut column = vec![0.0; derivative.len()];
        for (element, difference) in column.iter_mut().enumerate() {
            let mut direction: Vec<f64> = vec![0.0; derivative.len()];
            direction[element] = 1.0;
            let along = [(name.clone(), direction)];
            *difference = central(|t| evaluate(&graph, &[loss], &moved(leaves, &along, t))[0].clone())[0];
        }
        differences.push(column);
    }
    report.first = agree(1, &names, &derivatives, &differences, &mut report.worst)?;

    // Second order: the gradient of <gradient, direction> against the central difference of the gradient along the direction, equal by symmetry.
    let mut draw = Draw::new(11);
    let along: Vec<(Name, Vec<f64>)> = names
        .iter()
        .zip(&derivatives)
        .map(|(n, d)| (n.clone(), d.iter().map(|_| 2.0 * draw.unit() - 1.0).collect()))
        .collect();
    let mut results = Vec::new();
    for (&gradient, (_, direction)) in gradients.iter().zip(&along) {
        let shape = graph.shape(gradient).clone();
        let value = Array::new(shape, direction.clone()).expect("a direction is shaped like its input");
        let op = Const { value: value.into() };
        let cotangent = graph.push(op, &[], Origin::default()).expect("constants take no operands");
        results.push((gradient, cotangent));
    }
    let second = vjp(&mut graph, &results, wrt).unwrap_or_else(|e| panic!("{e}"));
    let derivatives = evaluate(&graph, &second, leaves);
    let split: Vec<usize> = derivatives.iter().map(Vec::len).collect();
    let mut difference = central(|t| evaluate(&graph, &gradients, &moved(leaves, &along, t)).concat());
    let differences: Vec<Vec<f64>> = split.iter().map(|&n| difference.drain(..n).collect()).collect();
    report.second = agree(2, &names, &derivatives, &differences, &mut report.worst)?;
    Ok(report)
}

/// The central difference of order 4 at `t = 0`, whose error is `h^4 / 30` times the fifth derivative.
fn central(f: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-3;
    let [a, b, c, d] = [-2.0, -1.0, 1.0, 2.0].map(|k| f(k * STEP));
    (0..a.len()).map(|i| (a[i] - 8.0 * b[i] + 8.0 * c[i] - d[i]) / (12.0 * STEP)).collect()
}

/// `leaves` moved by `t` along a direction.
fn moved(leaves: &BTreeMap<Name, Array>, along: &[(Name, Vec<f64>)], t: f64) -> BTreeMap<Name, Array> {
    let mut leaves = leaves.clone();
    for (name, direction) in along {
        let x = leaves.get_mut(name).expect("a leaf has a value");
        let x = x.as_mut_slice::<f64>().expect("derivatives are by f64");
        x.iter_mut().zip(direction).for_each(|(x, d)| *x += t * d);
    }
    leaves
}

/// The elements of these `f64` nodes.
fn evaluate(graph: &Graph, nodes: &[NodeId], leaves: &BTreeMap<Name, Array>) -> Vec<Vec<f64>> {
    let mut graph = graph.without_results();
    for (i, &node) in nodes.iter().enumerate() {
        graph.add_output(format!("{i}"), node).expect("names are distinct");
    }
    let results = interp::run(&graph, |_, name| &leaves[name]);
    results.outputs.iter().map(Array::to_f64_vec).collect()
}

/// Compares derivatives with differences; returns how many.
fn agree(
    order: usize,
    names: &[Name],
    derivatives: &[Vec<f64>],
    differences: &[Vec<f64>],
    worst: &mut f64,
) -> Result<usize, GradientMismatch> {
    let scale = derivatives.iter().flatten().fold(1.0f64, |m, d| m.max(d.abs()));
    let mut count = 0;
    let mut at = (1.0, None);
    for (input, (derivative, difference)) in derivatives.iter().zip(differences).enumerate() {
        assert_eq!(derivative.len(), difference.len(), "a gradient is shaped like its input");
        for (element, (&a, &b)) in derivative.iter().zip(difference).enumerate() {
            count += 1;
            let share = (a - b).abs() / (1e-7 * scale);
            let share = if share.is_nan() { f64::INFINITY } else { share };
            *worst = worst.max(share);
            if share > at.0 {
                at = (share, Some((input, element)));
            }
        }
    }
    match at.1 {
        None => Ok(count),
        Some((input, element)) => Err(GradientMismatch {
            order,
            name: names[input].clone(),
            element,
            derivative: derivatives[input][element],
            difference: differences[input][element],
        }),
    }
}
