//! Loops in random programs: bodies are grown like programs, and bounds are carried through trip by trip.

use std::sync::Arc;

use crate::array::Array;
use crate::graph::{DType, Graph, NodeId, Origin, Shape, TensorType};
use crate::prim::{Body, Input, Keep, Loop, LoopResult, LoopSpec, Order, Param, ParamKind, guard_graph, with_element};
use crate::prim::{array, elements};

use super::bound::{self, Bounded, IllConditioned, Specials};
use super::generate::{Config, Generator};

/// Bodies lie in each other no deeper.
const DEPTH: usize = 2;

/// The result of a loop, its body evaluated operation by operation in each trip.
pub(super) fn evaluate(l: &Loop, operands: &[&Bounded], specials: Specials) -> Result<Bounded, IllConditioned> {
    let spec = &l.spec;
    let (body, roles) = (&spec.body, spec.roles(operands));
    let stacked: Vec<NodeId> = match l.result {
        LoopResult::Carry(_) => Vec::new(),
        LoopResult::Stack(node) => vec![node],
    };
    let trip = spec.graph_of(&stacked);
    let guard = spec.guard.map(|guard| (guard, guard_graph(body.graph(), guard)));
    let mut carries: Vec<Bounded> = roles.inits.iter().map(|&b| b.clone()).collect();
    let empty = spec.result_type(l.result);
    let mut stack: Vec<Option<Bounded>> = vec![None; spec.trips];
    for n in 0..spec.trips {
        let t = spec.slice_of(n);
        let mut leaves: Vec<Option<Bounded>> = vec![None; body.graph().len()];
        for (i, &input) in body.inputs().iter().enumerate() {
            leaves[input.index()] = Some(match roles.sequences.get(i) {
                Some(of) => slice(of, body.graph().ty(input), t),
                None => roles.invariants[i - spec.sequences].clone(),
            });
        }
        body.carries().iter().zip(&carries).for_each(|(c, value)| leaves[c.0.index()] = Some(value.clone()));
        if let Some((node, graph)) = &guard {
            let values = run(graph, leaves.clone(), specials)?;
            if values[node.index()].as_ref().is_some_and(|v| v.value.get_f64(0) == 0.0) {
                continue;
            }
        }
        let values = run(&trip, leaves, specials)?;
        let value = |id: NodeId| values[id.index()].clone().expect("what a trip gives has been computed");
        carries = body.carries().iter().map(|c| value(c.1)).collect();
        stack[t] = stacked.first().map(|&node| value(node));
    }
    Ok(match l.result {
        LoopResult::Carry(i) => carries.swap_remove(i),
        LoopResult::Stack(_) => {
            let rows = stack.iter().flatten().next().map_or(0, |row| row.error.len());
            let mut error = Vec::new();
            let value = with_element!(empty.dtype, T => {
                let mut all: Vec<T> = Vec::new();
                for row in &stack {
                    match row {
                        Some(row) => {
                            all.extend_from_slice(elements::<T>(&row.value));
                            error.extend_from_slice(&row.error);
                        }
                        None => {
                            all.resize(all.len() + rows, T::default());
                            error.resize(error.len() + rows, 0.0);
                        }
                    }
                }
                all.resize(empty.shape.numel(), T::default());
                error.resize(empty.shape.numel(), 0.0);
                array(&empty, all)
            });
            Bounded { value, error }
        }
    })
}

/// The values of all live nodes.
fn run(
    graph: &Graph,
    mut values: Vec<Option<Bounded>>,
    specials: Specials,
) -> Result<Vec<Option<Bounded>>, IllConditioned> {
    let live = graph.live();
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        if node.op.leaf_name().is_some() {
            continue;
        }
        let operands = graph.operands(id);
        let repeated = matches!(&operands[..], [a, b] if a == b);
        let refs: Vec<&Bounded> = operands.iter().filter_map(|o| values[o.index()].as_ref()).collect();
        values[id.index()] = Some(bound::evaluate(&node.op, &refs, &node.ty, repeated, specials)?);
    }
    Ok(values)
}

/// Slice `t` along axis 0.
fn slice(of: &Bounded, ty: &TensorType, t: usize) -> Bounded {
    let n = ty.shape.numel();
    let value = with_element!(ty.dtype, T => array(ty, elements::<T>(&of.value)[t * n..(t + 1) * n].to_vec()));
    Bounded { value, error: of.error[t * n..(t + 1) * n].to_vec() }
}

impl Generator<'_> {
    /// Appends a loop with a random body; returns one of its results.
    pub(super) fn grow_loop(&mut self) -> Option<NodeId> {
        if self.depth == DEPTH {
            return None;
        }
        let trips = self.draw.of(&[0, 1, 1, 2, 3, 4]);
        let config =
            Config { max_elements: self.config.max_elements.min(128), gradients: false, ..self.config.clone() };
        let small = |t: &TensorType| t.shape.numel() <= 64 && t.shape.rank() < 4;
        let mut inner = Generator::inside(self.draw.below(usize::MAX) as u64, &config, self.depth + 1);

        let mut sequences: Vec<NodeId> = Vec::new();
        for _ in 0..self.draw.below(3) {
            let found = self.node(|t| small(t) && t.shape.first() == Some(&trips));
            sequences.push(match found {
                Some(id) if self.draw.chance(0.7) => id,
                _ => {
                    let dtype = self.dtype();
                    let rest = self.shape();
                    let shape: Shape = std::iter::once(trips).chain(rest.iter().copied().take(2)).collect();
                    self.leaf(&TensorType::new(dtype, shape))
                }
            });
        }
        let guard = self.draw.chance(0.3).then(|| {
            let guard = self.leaf(&TensorType::new(DType::Bool, [trips]));
            sequences.push(guard);
            sequences.len() - 1
        });
        let mut inputs: Vec<NodeId> = Vec::new();
        for (i, &sequence) in sequences.iter().enumerate() {
            let value = self.value(sequence)?;
            let ty = self.ty(sequence);
            let ty = TensorType::new(ty.dtype, ty.shape[1..].iter().copied().collect::<Shape>());
            let first = if trips > 0 { slice(&value, &ty, 0) } else { Bounded::exact(Array::zeros(&ty)) };
            inputs.push(inner.push_bounded(Input { name: format!("s{i}").into(), ty }, first));
        }
        let mut invariants: Vec<NodeId> = Vec::new();
        for i in 0..self.draw.below(3) {
            let outer = self.node(small)?;
            let name = format!("v{i}").into();
            inner.push_bounded(Input { name, ty: self.ty(outer) }, self.value(outer)?);
            invariants.push(outer);
        }
        let mut inits: Vec<NodeId> = Vec::new();
        for i in 0..self.draw.between(1, 2) {
            let outer = self.node(small)?;
            let op = Param { name: format!("c{i}").into(), ty: self.ty(outer), kind: ParamKind::State };
            inner.push_bounded(op, self.value(outer)?);
            inits.push(outer);
        }
        for _ in 0..self.draw.between(1, 6) {
            let _ = inner.grow();
        }

        // Leaves that the body made for itself are given from outside, too.
        for id in inner.graph().ids() {
            let name = inner.graph().op(id).leaf_name().cloned();
            if let Some(value) = name.as_ref().and_then(|n| inner.inputs.get(n)).cloned() {
                invariants.push(self.leaf_with(value));
            } else if let Some(value) = name.as_ref().and_then(|n| inner.initial.get(n)) {
                let value = Array::clone(value);
                inits.push(self.leaf_with(value));
            }
        }
        let mut graph = inner.graph().clone();
        let carries: Vec<NodeId> =
            graph.ids().filter(|&id| matches!(graph.op(id), crate::prim::Op::Param(_))).collect();
        for carry in carries {
            let ty = graph.ty(carry).clone();
            let next = inner.node(|t| *t == ty).expect("the carry itself fits");
            graph.add_update(carry, next).expect("a value typed like the carry");
        }
        let spec = Arc::new(LoopSpec {
            body: Arc::new(Body::new(&graph).ok()?),
            trips,
            sequences: sequences.len(),
            order: self.draw.of(Order::ALL),
            guard: guard.and_then(|at| match graph.ty(inputs[at]).shape.rank() {
                0 => Some(inputs[at]),
                _ => None,
            }),
            keep: self.draw.of(Keep::ALL),
        });
        let operands: Vec<NodeId> = inits.iter().chain(&sequences).chain(&invariants).copied().collect();
        let mut last = None;
        for _ in 0..self.draw.between(1, 3) {
            let result = if self.draw.chance(0.5) {
                LoopResult::Carry(self.draw.below(spec.body.carries().len()))
            } else {
                LoopResult::Stack(inner.node(|_| true)?)
            };
            last = self.push(Loop { spec: spec.clone(), result }, &operands).or(last);
        }
        last
    }

    fn value(&self, id: NodeId) -> Option<Bounded> {
        self.values[id.index()].clone()
    }

    fn push_bounded(&mut self, op: impl Into<crate::prim::Op>, value: Bounded) -> NodeId {
        let id = self.graph.push(op, &[], Origin::default()).expect("names are distinct");
        self.values.push(Some(value));
        id
    }

    fn graph(&self) -> &Graph {
        &self.graph
    }
}
