//! Loops as ONNX's `Loop`, whose body takes slices of sequences by the number of the trip and sees invariants by their names outside.

use crate::array::Array;
use crate::graph::{DType, Graph, NodeId};
use crate::prim::{LoopResult, Order};

use super::super::proto::{self, kind};
use super::composites::Needed;
use super::writer::{Attribute, Scope, Writer, named, unsupported};
use super::{ExportError, plain, value_info};

/// Writes a loop: all its results, which these nodes are.
pub(super) fn write(w: &mut Writer, graph: &Graph, results: &[NodeId], scope: &mut Scope) -> Result<(), ExportError> {
    let of = |&id: &NodeId| graph.op(id).looped().map(|l| l.result);
    let Some(spec) = graph.op(results[0]).looped().map(|l| l.spec.clone()) else { return Ok(()) };
    let operands: Vec<String> = graph.operands(results[0]).iter().map(|&o| scope.name(o).to_owned()).collect();
    let roles = spec.roles(&operands);
    let body = spec.body.graph();
    let stacks: Vec<NodeId> = results
        .iter()
        .filter_map(|id| match of(id) {
            Some(LoopResult::Stack(node)) => Some(node),
            _ => None,
        })
        .collect();
    if spec.guard.is_some() && !stacks.is_empty() {
        return Err(unsupported(graph, results[0], "stacked results of trips that may not take place".to_owned()));
    }
    // The body is written apart; nodes outside wait meanwhile.
    let outside = w.take_nodes();
    let mut inner = Scope::new(body);
    let (trip, more) = (w.fresh(), w.fresh());
    let mut inputs =
        vec![value_info(&trip, &crate::graph::types::i64([])), value_info(&more, &crate::graph::types::bool([]))];
    for &(carry, _) in spec.body.carries() {
        let name = w.fresh();
        inputs.push(value_info(&name, body.ty(carry)));
        inner.bind(carry, name);
    }
    let (of_sequences, of_invariants) = spec.body.inputs().split_at(spec.sequences);
    if !of_sequences.is_empty() {
        let slice = match spec.order {
            Order::Forward => trip.clone(),
            Order::Reverse => {
                let last = w.constant(Array::scalar(spec.trips as i64 - 1));
                w.emit("Sub", &[&last, &trip], plain())
            }
        };
        for (&input, sequence) in of_sequences.iter().zip(roles.sequences) {
            let name = w.emit("Gather", &[sequence, &slice], vec![named("axis", 0)]);
            inner.bind(input, name);
        }
    }
    for (&input, outer) in of_invariants.iter().zip(roles.invariants) {
        inner.bind(input, outer.clone());
    }
    let next = spec.body.carries().iter().map(|&(_, next)| next);
    let ends: Vec<NodeId> = next.chain(stacks.iter().copied()).chain(spec.guard).collect();
    w.write_nodes(body, &Needed::of(body, &ends), &mut inner)?;
    let mut outputs = Vec::new();
    // A graph's result is a node's own: values from outside or inputs get another name.
    let give = |w: &mut Writer, name: &str, ty: &crate::TensorType, outputs: &mut Vec<proto::ValueInfo>| {
        let own = w.emit("Identity", &[name], plain());
        outputs.push(value_info(&own, ty));
    };
    let goes_on = match spec.guard {
        Some(guard) if spec.guard_ends() => inner.name(guard).to_owned(),
        _ => more.clone(),
    };
    give(w, &goes_on, &crate::graph::types::bool([]), &mut outputs);
    for &(carry, next) in spec.body.carries() {
        let next_name = inner.name(next).to_owned();
        let value = match spec.guard {
            Some(guard) => {
                let (guard, old) = (inner.name(guard).to_owned(), inner.name(carry).to_owned());
                w.select(&guard, &next_name, &old, body.ty(carry).dtype)
            }
            None => next_name,
        };
        give(w, &value, body.ty(carry), &mut outputs);
    }
    for &node in &stacks {
        let name = inner.name(node).to_owned();
        give(w, &name, body.ty(node), &mut outputs);
    }
    let inside = proto::Graph {
        name: Some("body".to_owned()),
        node: w.take_nodes(),
        input: inputs,
        output: outputs,
        ..proto::Graph::default()
    };
    w.put_nodes(outside);
    let trips = w.constant(Array::scalar(spec.trips as i64));
    let begins = w.number(DType::Bool, 1.0);
    let mut given: Vec<&str> = vec![&trips, &begins];
    given.extend(roles.inits.iter().map(|name| &**name));
    let carries: Vec<String> = roles.inits.iter().map(|_| w.fresh()).collect();
    let stacked: Vec<String> = stacks.iter().map(|_| w.fresh()).collect();
    let names: Vec<&str> = carries.iter().chain(&stacked).map(|name| &**name).collect();
    let attribute = Attribute {
        name: Some("body".to_owned()),
        r#type: Some(kind::GRAPH),
        g: Some(Box::new(inside)),
        ..Attribute::default()
    };
    w.node("Loop", &given, &names, vec![attribute]);
    let mut next_stack = 0;
    for id in results {
        let name = match of(id) {
            Some(LoopResult::Carry(i)) => carries[i].clone(),
            _ => {
                next_stack += 1;
                let name = stacked[next_stack - 1].clone();
                if spec.order == Order::Reverse { reversed(w, &name, graph.ty(*id).shape.rank()) } else { name }
            }
        };
        scope.bind(*id, name);
    }
    Ok(())
}

/// Stacks of a loop that goes backwards, in the order of its sequences.
fn reversed(w: &mut Writer, x: &str, rank: usize) -> String {
    debug_assert!(rank > 0, "a stack has an axis of trips");
    let lists = [vec![-1], vec![i64::MIN], vec![0], vec![-1]].map(|list| w.ints(&list));
    w.emit("Slice", &[x, &lists[0], &lists[1], &lists[2], &lists[3]], plain())
}
