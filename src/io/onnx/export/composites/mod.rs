//! What several operations of the graph are as one operator of ONNX: found again by their structure, wherever they came from.
//!
//! ```text
//!   dot(w, window(pad(x))) + bias               Conv
//!   unwindow(dot(w, x)) + bias                  ConvTranspose
//!   dot(transpose(a), transpose(b)) + bias      Gemm
//!   (x - mean) rsqrt(variance + eps) g + b      LayerNormalization
//!   reduce max (window(pad(x)))                 MaxPool
//!   reduce sum (window(pad(x))) / counts        AveragePool
//!   x (1/2 + 1/2 erf(x / sqrt 2))               Gelu
//!   exp(x - shift) / sum                        Softmax
//!   (x - shift) - log(sum)                      LogSoftmax
//! ```
//!
//! The node that an operator gives is written as it, and what only led there is not needed any more. Where something else needs an operation inside, it is
//! written too.

mod conv;
mod deconv;
mod gelu;
mod gemm;
mod norm;
mod pool;
mod softmax;

use std::collections::HashMap;

use smallvec::{SmallVec, smallvec};

use crate::array::Array;
use crate::graph::{Dims, Graph, NodeId, Operands, Shape};
use crate::prim::{Broadcast, Map, Op, OpKind, Pad};
use crate::scalar::ScalarFn;

use super::movement::LARGEST;
use super::writer::Writer;

/// An operator in the place of a node.
enum Composite {
    Conv(conv::Conv),
    ConvTranspose(deconv::ConvTranspose),
    Gelu(gelu::Gelu),
    Gemm(gemm::Gemm),
    LayerNorm(norm::LayerNorm),
    Pool(pool::Pool),
    Softmax(softmax::Softmax),
}

impl Composite {
    fn operands(&self) -> SmallVec<[NodeId; 3]> {
        match self {
            Composite::Conv(conv) => [conv.x, conv.w].into_iter().chain(conv.bias).collect(),
            Composite::ConvTranspose(conv) => [conv.x, conv.w].into_iter().chain(conv.bias).collect(),
            Composite::Gelu(gelu) => smallvec![gelu.x],
            Composite::Gemm(gemm) => [gemm.a, gemm.b].into_iter().chain(gemm.bias).collect(),
            Composite::LayerNorm(norm) => [norm.x].into_iter().chain(norm.gain).chain(norm.bias).collect(),
            Composite::Pool(pool) => smallvec![pool.x],
            Composite::Softmax(softmax) => smallvec![softmax.x],
        }
    }
}

/// What has to be written of a graph.
pub(super) struct Needed {
    live: Vec<bool>,
    composites: HashMap<NodeId, Composite>,
}

impl Needed {
    /// What these nodes need.
    pub fn of(graph: &Graph, roots: &[NodeId]) -> Needed {
        let none = HashMap::new();
        let live = reached(graph, roots, &none);
        let users = Users::of(graph, &live, roots);
        let mut composites = HashMap::new();
        for id in graph.ids().filter(|id| live[id.index()]) {
            if let Some((root, composite)) = find(graph, id, &users) {
                composites.insert(root, composite);
            }
        }
        Needed { live: reached(graph, roots, &composites), composites }
    }

    pub fn has(&self, id: NodeId) -> bool {
        self.live[id.index()]
    }

    /// Writes the operator that stands for a node, if there is one. `name` gives the names of its operands.
    pub fn write<'a>(
        &self,
        w: &mut Writer,
        graph: &Graph,
        id: NodeId,
        name: impl Fn(NodeId) -> &'a str,
    ) -> Option<String> {
        Some(match self.composites.get(&id)? {
            Composite::Conv(conv) => conv.write(w, graph, name(conv.x), name(conv.w), conv.bias.map(name)),
            Composite::ConvTranspose(conv) => conv.write(w, graph, name(conv.x), name(conv.w), conv.bias.map(name)),
            Composite::Gelu(gelu) => gelu.write(w, name(gelu.x)),
            Composite::Gemm(gemm) => gemm.write(w, name(gemm.a), name(gemm.b), gemm.bias.map(name)),
            Composite::LayerNorm(norm) => norm.write(w, name(norm.x), norm.gain.map(&name), norm.bias.map(name)),
            Composite::Pool(pool) => pool.write(w, graph, name(pool.x)),
            Composite::Softmax(softmax) => softmax.write(w, name(softmax.x)),
        })
    }
}

/// The operator that ends with an operation, and the node that it gives.
fn find(graph: &Graph, id: NodeId, users: &Users) -> Option<(NodeId, Composite)> {
    match graph.op(id) {
        Op::Dot(_) => conv::find(graph, id, users)
            .map(|(root, conv)| (root, Composite::Conv(conv)))
            .or_else(|| gemm::find(graph, id, users).map(|(root, gemm)| (root, Composite::Gemm(gemm)))),
        Op::Unwindow(_) => deconv::find(graph, id, users).map(|(root, conv)| (root, Composite::ConvTranspose(conv))),
        Op::Map(Map { f: ScalarFn::Mul }) => norm::find(graph, id, users)
            .map(|(root, norm)| (root, Composite::LayerNorm(norm)))
            .or_else(|| gelu::find(graph, id).map(|gelu| (id, Composite::Gelu(gelu)))),
        Op::Map(Map { f: ScalarFn::Select }) => gelu::find(graph, id).map(|gelu| (id, Composite::Gelu(gelu))),
        Op::Reduce(_) => pool::max(graph, id).map(|pool| (id, Composite::Pool(pool))),
        Op::Map(Map { f: ScalarFn::Div }) => pool::average(graph, id)
            .map(Composite::Pool)
            .or_else(|| softmax::find(graph, id).map(Composite::Softmax))
            .map(|composite| (id, composite)),
        Op::Map(Map { f: ScalarFn::Sub }) => softmax::log(graph, id).map(|log| (id, Composite::Softmax(log))),
        _ => None,
    }
}

fn reached(graph: &Graph, roots: &[NodeId], composites: &HashMap<NodeId, Composite>) -> Vec<bool> {
    let mut live = vec![false; graph.len()];
    roots.iter().for_each(|root| live[root.index()] = true);
    for id in graph.ids().rev().filter(|&id| !matches!(graph.op(id).kind(), OpKind::Input)) {
        if live[id.index()] {
            match composites.get(&id) {
                Some(composite) => composite.operands().iter().for_each(|o| live[o.index()] = true),
                None => graph.operands(id).iter().for_each(|o| live[o.index()] = true),
            }
        }
    }
    live
}

/// The only user of each node that has one, and is no result.
struct Users(HashMap<NodeId, Option<NodeId>>);

impl Users {
    fn of(graph: &Graph, live: &[bool], roots: &[NodeId]) -> Users {
        let mut users = HashMap::new();
        for id in graph.ids().filter(|id| live[id.index()]) {
            for operand in graph.operands(id) {
                users.entry(operand).and_modify(|user| *user = None).or_insert(Some(id));
            }
        }
        roots.iter().for_each(|&root| {
            users.insert(root, None);
        });
        Users(users)
    }

    fn only(&self, id: NodeId) -> Option<NodeId> {
        self.0.get(&id).copied().flatten()
    }
}

/// The operands of a scalar function.
fn of_map(graph: &Graph, id: NodeId, f: ScalarFn) -> Option<Operands> {
    matches!(graph.op(id), Op::Map(Map { f: own }) if *own == f).then(|| graph.operands(id))
}

/// The only use of a node, if that adds a number for each place along an axis; and the vector of these numbers.
fn added_along(graph: &Graph, id: NodeId, axis: usize, users: &Users) -> Option<(NodeId, NodeId)> {
    let sum = users.only(id)?;
    let terms = of_map(graph, sum, ScalarFn::Add)?;
    let mut bias = if terms[0] == id { terms[1] } else { terms[0] };
    let Op::Broadcast(broadcast) = graph.op(bias) else { return None };
    let Broadcast { axes, shape } = &**broadcast;
    if !axes.iter().copied().eq((0..shape.rank()).filter(|&other| other != axis)) {
        return None;
    }
    bias = graph.operands(bias)[0];
    // The vector may have stood along the axis already.
    let mut straight = bias;
    while matches!(graph.op(straight), Op::Reshape(_)) {
        straight = graph.operands(straight)[0];
    }
    let vector = if graph.shape(straight).rank() == 1 { straight } else { bias };
    Some((sum, vector))
}

/// The tensor that windows slide over, before what is put around some of its axes, and the widths of that for each of them; `None` if there is something around
/// other axes, or other numbers than `fill`.
fn unpadded(graph: &Graph, id: NodeId, axes: &Dims, fill: f64) -> Option<(NodeId, Dims<(usize, usize)>)> {
    let Op::Pad(pad) = graph.op(id) else {
        return Some((id, axes.iter().map(|_| (0, 0)).collect()));
    };
    let Pad { low, high, interior, value } = &**pad;
    let others = (0..low.len()).filter(|axis| !axes.contains(axis)).all(|axis| low[axis] + high[axis] == 0);
    if !others || *value != fill.to_bits() || interior.iter().any(|&n| n > 0) {
        return None;
    }
    Some((graph.operands(id)[0], axes.iter().map(|&axis| (low[axis], high[axis])).collect()))
}

/// The value of a node that is a constant, repeated and moved.
fn constant(graph: &Graph, id: NodeId) -> Option<Array> {
    let (mut way, mut at) = (Vec::new(), id);
    while matches!(graph.op(at), Op::Broadcast(_) | Op::Reshape(_) | Op::Cast(_)) {
        way.push(at);
        at = graph.operands(at)[0];
    }
    let Op::Const(constant) = graph.op(at) else { return None };
    if graph.shape(id).numel() > LARGEST {
        return None;
    }
    let mut value = Array::clone(&constant.value);
    for node in way.into_iter().rev() {
        value = graph.op(node).eval(&[&value], graph.ty(node));
    }
    Some(value)
}

/// A tensor with its axes in another order, in another shape. If it is another view of a tensor of that shape, that one.
struct Arranged {
    node: NodeId,
    order: Dims,
    shape: Shape,
}

impl Arranged {
    fn new(graph: &Graph, node: NodeId, order: Dims, shape: Shape) -> Arranged {
        if is_sorted(&order)
            && matches!(graph.op(node), Op::Reshape(_))
            && *graph.shape(graph.operands(node)[0]) == shape
        {
            return Arranged { node: graph.operands(node)[0], order: (0..shape.rank()).collect(), shape };
        }
        Arranged { node, order, shape }
    }

    fn write(&self, w: &mut Writer, graph: &Graph, name: &str) -> String {
        let own = graph.shape(self.node);
        let moved = if is_sorted(&self.order) { name.to_owned() } else { w.transpose(name, &self.order) };
        let shape: Shape = self.order.iter().map(|&axis| own[axis]).collect();
        if shape == self.shape { moved } else { w.reshape(&moved, &self.shape) }
    }
}

fn is_sorted(order: &Dims) -> bool {
    order.iter().enumerate().all(|(i, &axis)| i == axis)
}

/// The widths as ONNX lists them: first all in front, then all behind.
fn pads(padding: &Dims<(usize, usize)>) -> Vec<i64> {
    padding.iter().map(|p| p.0 as i64).chain(padding.iter().map(|p| p.1 as i64)).collect()
}

fn ints(list: &Dims) -> Vec<i64> {
    list.iter().map(|&n| n as i64).collect()
}
