//! The reference evaluation: the interpreter runs the body, trip by trip.

use rustc_hash::FxHashMap;

use crate::array::Array;
use crate::graph::{Graph, NodeId, TensorType};
use crate::interp;
use crate::prim::{array, elements, with_element};

use super::{LoopResult, LoopSpec};

/// The values of these results.
pub(crate) fn run(spec: &LoopSpec, results: &[LoopResult], operands: &[&Array]) -> Vec<Array> {
    let body = &spec.body;
    let roles = spec.roles(operands);
    let stacked: Vec<NodeId> = results.iter().filter_map(|r| stacked(*r)).collect();
    let trip = spec.graph_of(&stacked);
    let guard = spec.guard.map(|guard| guard_graph(body.graph(), guard));
    let mut carries: Vec<Array> = roles.inits.iter().map(|&init| init.clone()).collect();
    let slice_types = stacked.iter().map(|&n| body.graph().ty(n));
    // Without stacks there may be more trips than memory.
    let mut stacks: Vec<Vec<Option<Array>>> = stacked.iter().map(|_| vec![None; spec.trips]).collect();

    for n in 0..spec.trips {
        let t = spec.slice_of(n);
        let slices = body.inputs()[..spec.sequences].iter().zip(roles.sequences);
        let slices: Vec<Array> = slices.map(|(&input, of)| slice(of, body.graph().ty(input), t)).collect();
        let inputs = slices.iter().chain(roles.invariants.iter().copied());
        let mut bound: FxHashMap<NodeId, &Array> = body.inputs().iter().copied().zip(inputs).collect();
        bound.extend(body.carries().iter().map(|c| c.0).zip(&carries));
        let holds = |graph: &Graph| interp::run(graph, |id, _| bound[&id]).outputs[0].get_f64(0) != 0.0;
        if guard.as_ref().is_some_and(|guard| !holds(guard)) {
            continue;
        }
        let done = interp::run(&trip, |id, _| bound[&id]);
        drop(bound);
        carries = done.updates;
        for (stack, value) in stacks.iter_mut().zip(done.outputs) {
            stack[t] = Some(value);
        }
    }

    let mut stacks = stacks.into_iter().zip(slice_types).map(|(values, ty)| stack(values, ty));
    let result = |r: &LoopResult| match *r {
        LoopResult::Carry(i) => carries[i].clone(),
        LoopResult::Stack(_) => stacks.next().expect("one stack for each"),
    };
    results.iter().map(result).collect()
}

fn stacked(result: LoopResult) -> Option<NodeId> {
    match result {
        LoopResult::Carry(_) => None,
        LoopResult::Stack(node) => Some(node),
    }
}

impl LoopSpec {
    /// What a trip computes: the updates of all carries, and these nodes of the body as outputs `0`, `1` ...
    pub(crate) fn graph_of(&self, stacked: &[NodeId]) -> Graph {
        let mut graph = self.body.graph().clone();
        for (i, &node) in stacked.iter().enumerate() {
            graph.add_output(i.to_string(), node).expect("the names are different numbers");
        }
        graph
    }
}

/// The graph that computes the guard of a body.
pub(crate) fn guard_graph(body: &Graph, guard: NodeId) -> Graph {
    let mut graph = body.without_results();
    graph.add_output("guard", guard).expect("there is no other output");
    graph
}

/// Slice `t` along axis 0, of this type.
fn slice(of: &Array, ty: &TensorType, t: usize) -> Array {
    let n = ty.shape.numel();
    with_element!(ty.dtype, T => array(ty, elements::<T>(of)[t * n..(t + 1) * n].to_vec()))
}

/// Arrays of one type along a new axis 0, zeros for those that are not there.
fn stack(values: Vec<Option<Array>>, ty: &TensorType) -> Array {
    let shape = std::iter::once(values.len()).chain(ty.shape.iter().copied()).collect();
    let whole = TensorType { dtype: ty.dtype, shape };
    with_element!(ty.dtype, T => {
        let mut all: Vec<T> = Vec::with_capacity(whole.shape.numel());
        for value in &values {
            match value {
                Some(value) => all.extend_from_slice(elements::<T>(value)),
                None => all.resize(all.len() + ty.shape.numel(), T::default()),
            }
        }
        array(&whole, all)
    })
}
