//! Batching: the loop whose body works on all examples.
//!
//! A carry has examples if its first value has, or its next value depends on something that has. If the guard has examples, the loop goes on as long as one
//! of them holds, and a trip leaves the carries of the examples whose guards fail as they are; all carries have examples then.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::grad::Appender;
use crate::graph::{Dims, Graph, NodeId, Operands, Origin, TensorType};
use crate::prim::{Batch, Body, Emit, Input, Op, Param, ParamKind, Reduction, moved_axis};
use crate::transform;

use super::jvp::copy_nodes;
use super::vjp::{free_name, name_of};
use super::{Loop, LoopResult, LoopSpec};

/// One result of a loop, for all examples.
pub(super) fn batch(looped: &Loop, cx: &mut Batch<'_>) -> NodeId {
    let spec = &looped.spec;
    let (body, carries, inputs) = (spec.body.graph(), spec.body.carries(), spec.body.inputs());
    let has = examples(spec, &cx.batched);
    let with_axis = |ty: &TensorType| {
        let shape = std::iter::once(cx.size).chain(ty.shape.iter().copied()).collect();
        TensorType { dtype: ty.dtype, shape }
    };

    // Leaves with examples have a prototype, on which the nodes are copied.
    let mut graph = Graph::new();
    let mut map: Vec<Option<NodeId>> = vec![None; body.len()];
    let mut leaves: Vec<NodeId> = Vec::new();
    for &node in inputs.iter().chain(carries.iter().map(|c| &c.0)) {
        let ty = if has[node.index()] { with_axis(body.ty(node)) } else { body.ty(node).clone() };
        let name = free_name(&graph, &name_of(body, node));
        let origin = body.node(node).origin.clone();
        let leaf = match body.op(node) {
            Op::Input(_) => graph.push(Input { name, ty }, &[], origin),
            _ => graph.push(Param { name, ty, kind: ParamKind::State }, &[], origin),
        };
        leaves.push(leaf.expect("the name is free"));
        map[node.index()] = leaves.last().copied();
    }
    let mut prototypes: Vec<(NodeId, NodeId)> = Vec::new();
    for node in body.ids().filter(|n| body.op(*n).leaf_name().is_some() && has[n.index()]) {
        let prototype = Appender::new(&mut graph, Origin::default()).full(body.ty(node), 0.0);
        let leaf = map[node.index()].replace(prototype).expect("leaves have been made");
        prototypes.push((prototype, leaf));
    }
    copy_nodes(body, &mut graph, &mut map);
    let at = |node: NodeId| map[node.index()].expect("every node is copied");
    let varied: Vec<NodeId> = body.ids().filter(|n| has[n.index()]).collect();
    let results: Vec<NodeId> = varied.iter().map(|&n| at(n)).collect();
    let batches = transform::vmap(&mut graph, &prototypes, cx.size, &results);
    let mut of: FxHashMap<NodeId, NodeId> = varied.into_iter().zip(batches).collect();
    // A carry with examples may take a value without.
    for &(node, next) in carries.iter().filter(|c| has[c.0.index()] && !has[c.1.index()]) {
        let shape = graph.shape(leaves[position(inputs, carries, node)]).clone();
        let repeated = Appender::new(&mut graph, Origin::default()).broadcast(at(next), shape, Dims::from_slice(&[0]));
        of.insert(next, repeated);
    }
    let mut next: Vec<NodeId> =
        carries.iter().map(|&(node, next)| if has[node.index()] { of[&next] } else { at(next) }).collect();
    let mut stacked = of.clone();
    let mut guard = spec.guard.map(at);
    if let Some(of_examples) = spec.guard.filter(|g| has[g.index()]).map(|g| of[&g]) {
        let mut e = Appender::new(&mut graph, Origin::default());
        guard = Some(e.reduce(Reduction::Max, of_examples, Dims::from_slice(&[0])));
        for (i, next) in next.iter_mut().enumerate() {
            *next = choose(&mut e, of_examples, *next, leaves[inputs.len() + i]);
        }
        for node in body.ids() {
            let value = match stacked.get(&node) {
                Some(&value) => value,
                None => {
                    let ty = with_axis(body.ty(node));
                    e.broadcast(at(node), ty.shape, Dims::from_slice(&[0]))
                }
            };
            let zero = e.full_like(value, 0.0);
            stacked.insert(node, choose(&mut e, of_examples, value, zero));
        }
    }
    for (i, &value) in next.iter().enumerate() {
        graph.add_update(leaves[inputs.len() + i], value).expect("a carry takes what has its type");
    }

    let mut operands = Operands::new();
    for (i, &(node, _)) in carries.iter().enumerate() {
        operands.push(if has[node.index()] { cx.with_batch_axis(i) } else { cx.operands[i] });
    }
    for i in carries.len()..cx.operands.len() {
        let sliced = i < carries.len() + spec.sequences;
        let operand = cx.operands[i];
        operands.push(if sliced && cx.batched[i] { cx.move_axis(operand, 0, 1) } else { operand });
    }
    let new_spec = LoopSpec {
        body: Arc::new(Body::new(&graph).expect("the body is no deeper than before")),
        guard,
        ..(**spec).clone()
    };
    let (result, batched) = match looped.result {
        LoopResult::Carry(i) => (LoopResult::Carry(i), has[carries[i].0.index()]),
        LoopResult::Stack(node) => match stacked.get(&node) {
            Some(&of_examples) => (LoopResult::Stack(of_examples), true),
            None => (LoopResult::Stack(at(node)), false),
        },
    };
    let value = cx.emit.emit(Loop { spec: Arc::new(new_spec), result }.into(), &operands);
    match (looped.result, batched) {
        (LoopResult::Carry(_), true) => value,
        (LoopResult::Stack(_), true) => {
            let rank = cx.emit.graph().shape(value).rank();
            cx.emit.transpose(value, moved_axis(rank, 1, 0))
        }
        (_, false) => cx.repeat(value),
    }
}

/// `value` for the examples for which `holds` does, else `other`.
fn choose(e: &mut dyn Emit, holds: NodeId, value: NodeId, other: NodeId) -> NodeId {
    let shape = e.ty(value).shape;
    let axes = (1..shape.rank()).collect();
    let holds = e.broadcast(holds, shape, axes);
    e.select(holds, value, other)
}

fn position(inputs: &[NodeId], carries: &[(NodeId, NodeId)], carry: NodeId) -> usize {
    inputs.len() + carries.iter().position(|c| c.0 == carry).expect("a carry")
}

/// Marks the nodes of the body that have examples.
fn examples(spec: &LoopSpec, batched: &[bool]) -> Vec<bool> {
    let (body, carries, inputs) = (spec.body.graph(), spec.body.carries(), spec.body.inputs());
    let mut has = vec![false; body.len()];
    carries.iter().map(|c| c.0).chain(inputs.iter().copied()).zip(batched).for_each(|(n, &b)| has[n.index()] = b);
    loop {
        for id in body.ids() {
            has[id.index()] |= body.operands(id).iter().any(|o| has[o.index()]);
        }
        let all = spec.guard.is_some_and(|g| has[g.index()]);
        let new: Vec<NodeId> =
            carries.iter().filter(|c| !has[c.0.index()] && (all || has[c.1.index()])).map(|c| c.0).collect();
        if new.is_empty() {
            return has;
        }
        new.iter().for_each(|n| has[n.index()] = true);
    }
}
