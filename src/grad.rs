//! Reverse-mode differentiation: gradient nodes appended by VJP rules.
//!
//! The walk goes once over the nodes from the result back to the leaves. For each node that lies between `wrt` and the result it asks the operation's
//! own rule for the operands' cotangents and adds up those that meet at one node. It knows no operation, only that the results of a loop go together. What
//! it appends are ordinary nodes, so the result can be differentiated again.
//!
//! Cost: time and new nodes are linear in the nodes walked over. The walk is a loop, not a recursion.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::graph::{DType, Graph, NodeId, Operands, Origin, TensorType};
use crate::prim::{Emit, Mode, Op, Taken, Vjp, vjp_of_loop};

/// Why a gradient cannot be taken.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum GradError {
    /// Only a scalar has a gradient; for other results, give a cotangent.
    #[error("the gradient is of a scalar, but {node} is {ty}; sum or average it first")]
    NotScalar {
        /// The node.
        node: NodeId,
        /// Its type.
        ty: TensorType,
    },
    /// Integers and truth values have no derivatives.
    #[error("{node} is {dtype}, and only floats have derivatives")]
    NotFloat {
        /// The node.
        node: NodeId,
        /// Its element type.
        dtype: DType,
    },
    /// A tangent that does not go with its node.
    #[error("the tangent of {node}, which is {expected}, is {given}")]
    Tangent {
        /// The node.
        node: NodeId,
        /// Its type.
        expected: TensorType,
        /// The tangent's type.
        given: TensorType,
    },
    /// An operation without a rule.
    #[error("{node} has no derivative: {reason}")]
    NoRule {
        /// The node.
        node: NodeId,
        /// Why there is no rule.
        reason: String,
    },
    /// A cotangent that does not go with its result.
    #[error("the cotangent of {node}, which is {expected}, is {given}")]
    Cotangent {
        /// The result's node.
        node: NodeId,
        /// Its type.
        expected: TensorType,
        /// The cotangent's type.
        given: TensorType,
    },
}

crate::error::debug_as_display!(GradError);

impl GradError {
    /// The node that the error is about.
    pub fn node(&self) -> NodeId {
        match self {
            GradError::NotScalar { node, .. }
            | GradError::NotFloat { node, .. }
            | GradError::Tangent { node, .. }
            | GradError::NoRule { node, .. }
            | GradError::Cotangent { node, .. } => *node,
        }
    }
}

/// Appends the gradient of scalar `loss` by each of `wrt` and returns its nodes, typed like `wrt`. What `loss` does not depend on gets zeros.
///
/// The graph is differentiated as it stands. A node that a method of [`Tensor`](crate::Tensor) built
/// [in place of a formula](crate::stability#formulas-as-mathematicians-write-them) is not made of what was inside the formula, so a derivative by a tensor of
/// that inside is zero here; the methods of [`Builder`](crate::Builder) know the formula, and give its derivative.
///
/// # Errors
/// If `loss` is not a float scalar, one of `wrt` is not of a float type, or an operation in between has no rule, as a
/// [`Custom`](crate::prim::Custom) one that was read from text.
pub fn grad(graph: &mut Graph, loss: NodeId, wrt: &[NodeId]) -> Result<Vec<NodeId>, GradError> {
    grad_as(graph, loss, wrt, &Instead::default())
}

/// Nodes in place of which the walks differentiate another, older node of the same value.
#[derive(Default)]
pub(crate) struct Instead(pub(crate) FxHashMap<NodeId, NodeId>);

impl Instead {
    /// What a node is differentiated by: its operands, or the node in its place.
    pub(crate) fn operands(&self, graph: &Graph, node: NodeId) -> Operands {
        match self.0.get(&node) {
            Some(&other) => Operands::from_slice(&[other]),
            None => graph.operands(node),
        }
    }
}

/// [`grad`] with other nodes in place of some.
pub(crate) fn grad_as(
    graph: &mut Graph,
    loss: NodeId,
    wrt: &[NodeId],
    instead: &Instead,
) -> Result<Vec<NodeId>, GradError> {
    let ty = graph.ty(loss).clone();
    if ty.shape.numel() != 1 {
        return Err(GradError::NotScalar { node: loss, ty });
    }
    if !ty.dtype.is_float() {
        return Err(GradError::NotFloat { node: loss, dtype: ty.dtype });
    }
    let origin = graph.node(loss).origin.with_vjp("seed", loss);
    let one = Appender::new(graph, origin).full(&ty, 1.0);
    vjp_as(graph, &[(loss, one)], wrt, instead)
}

/// Appends the vector-Jacobian product of several results, each with its cotangent, by each of `wrt`: the gradient of the sum of
/// `cotangent * result` over all their elements.
///
/// The graph is differentiated as it stands. A node that a method of [`Tensor`](crate::Tensor) built
/// [in place of a formula](crate::stability#formulas-as-mathematicians-write-them) is not made of what was inside the formula, so a derivative by a tensor of
/// that inside is zero here; the methods of [`Builder`](crate::Builder) know the formula, and give its derivative.
///
/// # Errors
/// If a cotangent is not typed like its result, a result or one of `wrt` is not of a float type, or an operation in between has no rule.
pub fn vjp(graph: &mut Graph, results: &[(NodeId, NodeId)], wrt: &[NodeId]) -> Result<Vec<NodeId>, GradError> {
    vjp_as(graph, results, wrt, &Instead::default())
}

/// [`vjp`] with other nodes in place of some.
pub(crate) fn vjp_as(
    graph: &mut Graph,
    results: &[(NodeId, NodeId)],
    wrt: &[NodeId],
    instead: &Instead,
) -> Result<Vec<NodeId>, GradError> {
    for node in results.iter().map(|r| r.0).chain(wrt.iter().copied()) {
        let dtype = graph.ty(node).dtype;
        if !dtype.is_float() {
            return Err(GradError::NotFloat { node, dtype });
        }
    }
    let end = results.iter().map(|r| r.0.index() + 1).max().unwrap_or(0);
    let mut cotangents: Vec<Option<NodeId>> = vec![None; end];
    let mut taken: Vec<Option<Taken>> = vec![None; end];
    for &(node, cotangent) in results {
        if graph.ty(node) != graph.ty(cotangent) {
            let (expected, given) = (graph.ty(node).clone(), graph.ty(cotangent).clone());
            return Err(GradError::Cotangent { node, expected, given });
        }
        accumulate(graph, &mut cotangents, node, cotangent, "sum");
    }

    let depends = dependents_as(graph, wrt, end, instead);
    // A loop's operands come before its first result. So when the walk arrives there, the cotangents of all results are complete, and those of the
    // operands are not asked for yet: one reverse loop serves all results.
    let loops = graph.loops((0..end).map(NodeId::new));
    for index in (0..end).rev() {
        let node = NodeId::new(index);
        if graph.op(node).looped().is_some() {
            if let Some(results) = loops.get(&node) {
                reverse_loop(graph, (&mut cotangents, &mut taken), &depends, node, results);
            }
            continue;
        }
        let Some(cotangent) = cotangents[index].filter(|_| depends[index]) else {
            continue;
        };
        if let Some(&other) = instead.0.get(&node) {
            let of_part = taken[index].take();
            receive(graph, (&mut cotangents, &mut taken), other, (cotangent, of_part));
            continue;
        }
        let operands = graph.operands(node);
        if !operands.iter().any(|o| depends[o.index()]) {
            continue;
        }
        let op = graph.op(node).clone();
        if let Some(reason) = op.underivable(Mode::Reverse) {
            return Err(GradError::NoRule { node, reason });
        }
        let origin = graph.node(node).origin.with_vjp(op.name(), node);
        let mut emit = Appender::new(graph, origin);
        let mut cx = Vjp {
            emit: &mut emit,
            operands: operands.clone(),
            output: node,
            cotangent,
            taken: taken[index].take(),
            operands_taken: SmallVec::new(),
        };
        let condition = cx.taken.clone().filter(|_| !matches!(op, Op::Map(_)));
        if let Some(condition) = &condition {
            condition.shelter(&op, cx.emit, &mut cx.operands, &mut cx.output);
        }
        let mut parts = op.vjp(&mut cx);
        let mut operands_taken = cx.operands_taken;
        if let Some(condition) = condition {
            operands_taken = Taken::pass(condition, &op, (&mut emit, &operands, node), &mut parts);
        }
        debug_assert_eq!(parts.len(), operands.len(), "{} gives one cotangent for each operand", op.name());
        for (i, (&operand, part)) in operands.iter().zip(parts).enumerate() {
            if let Some(part) = part.filter(|_| depends[operand.index()]) {
                let of_part = operands_taken.get(i).cloned().flatten();
                receive(graph, (&mut cotangents, &mut taken), operand, (part, of_part));
            }
        }
    }

    let gradient = |&node: &NodeId| match cotangents.get(node.index()).copied().flatten() {
        Some(gradient) => gradient,
        None => {
            let ty = graph.ty(node).clone();
            let origin = graph.node(node).origin.with_vjp("zero", node);
            Appender::new(graph, origin).full(&ty, 0.0)
        }
    };
    Ok(wrt.iter().map(gradient).collect())
}

/// Appends the reverse of the loop with these results, if there are cotangents and operands that want them.
fn reverse_loop(
    graph: &mut Graph,
    (cotangents, taken): (&mut [Option<NodeId>], &mut [Option<Taken>]),
    depends: &[bool],
    first: NodeId,
    results: &[NodeId],
) {
    let looped = |node: NodeId| graph.op(node).looped().expect("a result of a loop");
    let with_cotangents = results.iter().filter(|r| depends[r.index()] && cotangents[r.index()].is_some());
    let given: Vec<_> =
        with_cotangents.clone().filter_map(|&r| cotangents[r.index()].map(|c| (looped(r).result, c))).collect();
    let conditions: Option<Vec<Taken>> = with_cotangents.map(|r| taken[r.index()].take()).collect();
    let operands = graph.operands(first);
    let wanted: Vec<bool> = operands.iter().map(|o| depends[o.index()]).collect();
    if given.is_empty() || !wanted.contains(&true) {
        return;
    }
    let spec = looped(first).spec.clone();
    let origin = Arc::new(graph.node(first).origin.with_vjp("loop", first));
    let parts = vjp_of_loop(&mut Appender { graph, origin: origin.clone() }, &spec, &operands, &given, &wanted);
    let anything = conditions.map(|all| Taken::anything(&mut Appender { graph, origin: origin.clone() }, &all));
    for (&operand, part) in operands.iter().zip(parts) {
        if let Some(mut part) = part.filter(|_| depends[operand.index()]) {
            let of_part =
                anything.map(|any| Taken::hide(&mut Appender { graph, origin: origin.clone() }, any, &mut part));
            receive(graph, (cotangents, taken), operand, (part, of_part));
        }
    }
}

/// Adds to the cotangent of `node`, and to the condition under which it counts.
fn receive(
    graph: &mut Graph,
    (cotangents, taken): (&mut [Option<NodeId>], &mut [Option<Taken>]),
    node: NodeId,
    (part, of_part): (NodeId, Option<Taken>),
) {
    let so_far = taken[node.index()].take();
    let is_first = cotangents[node.index()].is_none();
    taken[node.index()] = if is_first {
        of_part
    } else {
        let origin = graph.node(node).origin.with_vjp("sum", node);
        Taken::or(&mut Appender::new(graph, origin), so_far, of_part)
    };
    accumulate(graph, cotangents, node, part, "sum");
}

/// Marks, among the first `end` nodes, `wrt` and what depends on them through float operands.
pub(crate) fn dependents(graph: &Graph, wrt: &[NodeId], end: usize) -> Vec<bool> {
    dependents_as(graph, wrt, end, &Instead::default())
}

/// [`dependents`] with other nodes in place of some.
pub(crate) fn dependents_as(graph: &Graph, wrt: &[NodeId], end: usize, instead: &Instead) -> Vec<bool> {
    let mut depends = vec![false; end];
    wrt.iter().filter(|w| w.index() < end).for_each(|w| depends[w.index()] = true);
    for index in 0..end {
        let node = NodeId::new(index);
        if !depends[index] && graph.ty(node).dtype.is_float() {
            depends[index] = instead.operands(graph, node).iter().any(|o| depends[o.index()]);
        }
    }
    depends
}

/// Adds `part` to the cotangent of `node`.
fn accumulate(graph: &mut Graph, cotangents: &mut [Option<NodeId>], node: NodeId, part: NodeId, rule: &'static str) {
    debug_assert_eq!(
        graph.ty(node),
        graph.ty(part),
        "a cotangent is typed like its node {node} ({})",
        graph.op(node).name()
    );
    let sum = match cotangents[node.index()] {
        None => part,
        Some(so_far) => {
            let origin = graph.node(node).origin.with_vjp(rule, node);
            Appender::new(graph, origin).add(so_far, part)
        }
    };
    cotangents[node.index()] = Some(sum);
}

/// Appends nodes with the origin of the rule that runs.
pub(crate) struct Appender<'g> {
    graph: &'g mut Graph,
    origin: Arc<Origin>,
}

impl<'g> Appender<'g> {
    /// Appends to `graph` with this origin.
    pub(crate) fn new(graph: &'g mut Graph, origin: impl Into<Arc<Origin>>) -> Appender<'g> {
        Appender { graph, origin: origin.into() }
    }
}

impl Emit for Appender<'_> {
    fn graph(&self) -> &Graph {
        self.graph
    }

    fn append(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        match self.graph.push(op, operands, self.origin.clone()) {
            Ok(id) => id,
            Err(error) => panic!("a rule made an ill-typed node ({}): {error}", self.origin),
        }
    }
}
