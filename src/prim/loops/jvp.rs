//! Forward mode: the loop that carries tangents beside the values.
//!
//! The body is made again with the tangents of all its nodes, whichever result is asked for; so the tangents of several results are results of one loop.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::graph::{Graph, NodeId, Operands, Origin, TensorType};
use crate::prim::{Body, Emit, Input, Jvp, Param, ParamKind};
use crate::{grad, transform};

use super::vjp::{free_name, name_of, varying_carries};
use super::{Loop, LoopResult, LoopSpec};

/// The tangent of one result of a loop.
pub(super) fn jvp(looped: &Loop, cx: &mut Jvp<'_>) -> Option<NodeId> {
    let spec = &looped.spec;
    let (body, carries, inputs) = (spec.body.graph(), spec.body.carries(), spec.body.inputs());
    let moves: Vec<bool> = cx.tangents.iter().map(Option::is_some).collect();
    let moving = inputs.iter().zip(&moves[carries.len()..]).filter(|m| *m.1).map(|m| *m.0);
    let varying = varying_carries(spec, spec.roles(&moves).inits, moving);

    // Inputs, those that are slices first, each kind with its tangents behind it; then carries.
    let mut graph = Graph::new();
    let mut map: Vec<Option<NodeId>> = vec![None; body.len()];
    let mut directions: Vec<(NodeId, NodeId)> = Vec::new();
    let mut operands: Operands = cx.operands[..carries.len()].into();
    for &i in &varying {
        operands.push(cx.tangent(i));
    }
    let mut sequences = 0;
    for sliced in [true, false] {
        let of_kind = |i: &usize| (*i < spec.sequences) == sliced;
        for i in (0..inputs.len()).filter(of_kind) {
            let op = Input { name: free_name(&graph, &name_of(body, inputs[i])), ty: body.ty(inputs[i]).clone() };
            let copy = graph.push(op, &[], body.node(inputs[i]).origin.clone()).expect("the name is free");
            map[inputs[i].index()] = Some(copy);
            operands.push(cx.operands[carries.len() + i]);
            sequences += usize::from(sliced);
        }
        for i in (0..inputs.len()).filter(of_kind) {
            let Some(tangent) = cx.tangents[carries.len() + i] else { continue };
            let wish = format!("t_{}", name_of(body, inputs[i]));
            let op = Input { name: free_name(&graph, &wish), ty: body.ty(inputs[i]).clone() };
            let input = graph.push(op, &[], Origin::default()).expect("the name is free");
            directions.push((map[inputs[i].index()].expect("it has just been made"), input));
            operands.push(tangent);
            sequences += usize::from(sliced);
        }
    }
    let carry = |graph: &mut Graph, wish: &str, ty: &TensorType| {
        let op = Param { name: free_name(graph, wish), ty: ty.clone(), kind: ParamKind::State };
        graph.push(op, &[], Origin::default()).expect("the name is free")
    };
    for &(node, _) in carries {
        map[node.index()] = Some(carry(&mut graph, &name_of(body, node), body.ty(node)));
    }
    for &i in &varying {
        let node = carries[i].0;
        let tangent = carry(&mut graph, &format!("t_{}", name_of(body, node)), body.ty(node));
        directions.push((map[node.index()].expect("carries have been made"), tangent));
    }
    copy_nodes(body, &mut graph, &mut map);
    let at = |node: NodeId| map[node.index()].expect("every node is copied");

    let sources: Vec<NodeId> = directions.iter().map(|d| d.0).collect();
    let depends = grad::dependents(&graph, &sources, graph.len());
    let moving: Vec<NodeId> = body.ids().map(at).filter(|n| depends[n.index()]).collect();
    let tangents = transform::jvp(&mut graph, &moving, &directions).expect("tangents are typed like their floats");
    let tangent_of: FxHashMap<NodeId, NodeId> = moving.into_iter().zip(tangents).collect();
    for &(node, next) in carries {
        graph.add_update(at(node), at(next)).expect("the update fitted before");
    }
    for &i in &varying {
        let (node, next) = carries[i];
        let carried = directions.iter().find(|d| d.0 == at(node)).expect("varying carries have tangents").1;
        let value = match tangent_of.get(&at(next)) {
            Some(&tangent) => tangent,
            None => grad::Appender::new(&mut graph, Origin::default()).full(body.ty(next), 0.0),
        };
        graph.add_update(carried, value).expect("a tangent is typed like its value");
    }
    let result = match looped.result {
        LoopResult::Carry(i) => LoopResult::Carry(carries.len() + varying.iter().position(|&v| v == i)?),
        LoopResult::Stack(node) => LoopResult::Stack(*tangent_of.get(&at(node))?),
    };
    let spec = LoopSpec {
        body: Arc::new(Body::new(&graph).expect("the body is no deeper than before")),
        sequences,
        guard: spec.guard.map(at),
        ..(**spec).clone()
    };
    Some(cx.emit.emit(Loop { spec: Arc::new(spec), result }.into(), &operands))
}

/// Copies the nodes that are not in the map yet.
pub(super) fn copy_nodes(from: &Graph, to: &mut Graph, map: &mut [Option<NodeId>]) {
    for id in from.ids() {
        if map[id.index()].is_none() {
            let node = from.node(id);
            let operands: Operands =
                from.operands(id).iter().map(|o| map[o.index()].expect("operands come first")).collect();
            let copy = to.push(node.op.clone(), &operands, node.origin.clone());
            map[id.index()] = Some(copy.expect("a copy is as well typed as the node"));
        }
    }
}
