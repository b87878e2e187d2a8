//! Forward-mode differentiation: tangents appended by JVP rules.
//!
//! The walk goes once over the nodes between `wrt` and the results, from the operands to their users, and asks each operation's own rule for the tangent
//! of its result. It knows no operation. Nodes that do not lie between the two are not looked at, and a tangent that is zero is not computed.
//!
//! Cost: time and new nodes are linear in the nodes walked over. The walk is a loop, not a recursion.

use crate::grad::{Appender, GradError, Instead, dependents_as};
use crate::graph::{Graph, NodeId};
use crate::prim::{Emit, Jvp, Mode, Tangents};

/// Appends the Jacobian-vector product: the derivative of each result in the direction in which each of `wrt` moves along its tangent. What does not
/// depend on `wrt` gets zeros.
///
/// If one of `wrt` depends on another, its own tangent is added to the one that follows from the other; so for scalar results the product is the sum of
/// gradient times tangent, with the gradient of [`grad`](crate::grad::grad()).
///
/// The graph is differentiated as it stands. A node that a method of [`Tensor`](crate::Tensor) built
/// [in place of a formula](crate::stability#formulas-as-mathematicians-write-them) is not made of what was inside the formula, so a derivative by a tensor of
/// that inside is zero here; the methods of [`Builder`](crate::Builder) know the formula, and give its derivative.
///
/// # Errors
/// If a tangent is not typed like its node, a result or one of `wrt` is not of a float type, or an operation in between has no derivative in forward mode.
pub fn jvp(graph: &mut Graph, results: &[NodeId], wrt: &[(NodeId, NodeId)]) -> Result<Vec<NodeId>, GradError> {
    jvp_as(graph, results, wrt, &Instead::default())
}

/// [`jvp`] with other nodes in place of some.
pub(crate) fn jvp_as(
    graph: &mut Graph,
    results: &[NodeId],
    wrt: &[(NodeId, NodeId)],
    instead: &Instead,
) -> Result<Vec<NodeId>, GradError> {
    for node in results.iter().copied().chain(wrt.iter().map(|w| w.0)) {
        let dtype = graph.ty(node).dtype;
        if !dtype.is_float() {
            return Err(GradError::NotFloat { node, dtype });
        }
    }
    let end = results.iter().map(|r| r.index() + 1).max().unwrap_or(0);
    let mut tangents: Vec<Option<NodeId>> = vec![None; end];
    for &(node, tangent) in wrt {
        if graph.ty(node) != graph.ty(tangent) {
            let (expected, given) = (graph.ty(node).clone(), graph.ty(tangent).clone());
            return Err(GradError::Tangent { node, expected, given });
        }
        if node.index() < end {
            accumulate(graph, &mut tangents, node, tangent);
        }
    }

    let sources: Vec<NodeId> = wrt.iter().map(|w| w.0).collect();
    let mut between = dependents_as(graph, &sources, end, instead);
    super::keep_needed(graph, results, &mut between, instead);
    for index in (0..end).filter(|&i| between[i]) {
        let node = NodeId::new(index);
        if let Some(&other) = instead.0.get(&node) {
            if let Some(tangent) = tangents[other.index()] {
                accumulate(graph, &mut tangents, node, tangent);
            }
            continue;
        }
        let operands = graph.operands(node);
        let of_operands: Tangents = operands.iter().map(|o| tangents[o.index()]).collect();
        if of_operands.iter().all(Option::is_none) {
            continue;
        }
        let op = graph.op(node).clone();
        if let Some(reason) = op.underivable(Mode::Forward) {
            return Err(GradError::NoRule { node, reason });
        }
        let origin = graph.node(node).origin.with_jvp(op.name(), node);
        let mut emit = Appender::new(graph, origin);
        let tangent = op.jvp(&mut Jvp { emit: &mut emit, operands, output: node, tangents: of_operands });
        if let Some(tangent) = tangent {
            accumulate(graph, &mut tangents, node, tangent);
        }
    }

    let tangent = |&node: &NodeId| match tangents[node.index()] {
        Some(tangent) => tangent,
        None => {
            let origin = graph.node(node).origin.with_jvp("zero", node);
            Appender::new(graph, origin).full_like(node, 0.0)
        }
    };
    Ok(results.iter().map(tangent).collect())
}

/// Adds `part` to the tangent of `node`.
fn accumulate(graph: &mut Graph, tangents: &mut [Option<NodeId>], node: NodeId, part: NodeId) {
    debug_assert_eq!(
        graph.ty(node),
        graph.ty(part),
        "a tangent is typed like its node {node} ({})",
        graph.op(node).name()
    );
    let sum = match tangents[node.index()] {
        None => part,
        Some(so_far) => {
            let origin = graph.node(node).origin.with_jvp("sum", node);
            Appender::new(graph, origin).add(so_far, part)
        }
    };
    tangents[node.index()] = Some(sum);
}
