//! Layer normalization: what is left of the last axes, taken together, without its mean and divided by its deviation, times a gain, plus a bias.
//!
//! ```text
//!   (x - mean(x)) * rsqrt(v + eps)      v = mean((x - mean(x))^2)
//!                                   or  v = (sum (x - mean(x))^2 - (sum (x - mean(x)))^2 / n) / n, or 0 where that is less
//! ```

use crate::array::Array;
use crate::graph::{DType, Graph, NodeId, Shape, TensorType};
use crate::prim::{Broadcast, Op, Reduce, Reduction};
use crate::scalar::ScalarFn;

use super::super::writer::{Writer, named, number};
use super::{Users, constant, of_map};

pub(super) struct LayerNorm {
    pub x: NodeId,
    pub gain: Option<NodeId>,
    pub bias: Option<NodeId>,
    eps: f64,
    /// The type of the gain.
    ty: TensorType,
    /// The first axis that is normalized.
    from: usize,
}

/// The normalization that a product ends, and the node that is its result with gain and bias.
pub(super) fn find(graph: &Graph, id: NodeId, users: &Users) -> Option<(NodeId, LayerNorm)> {
    let ty = graph.ty(id);
    if ty.dtype != DType::F32 || ty.shape.numel() == 0 {
        return None;
    }
    let factors = of_map(graph, id, ScalarFn::Mul)?;
    let (x, from, eps) = [(0, 1), (1, 0)].into_iter().find_map(|(i, j)| standardized(graph, factors[i], factors[j]))?;
    let ty = TensorType::new(ty.dtype, &ty.shape[from..]);
    let (mut root, mut norm) = (id, LayerNorm { x, gain: None, bias: None, eps, ty, from });
    if let Some((scaled, gain)) = norm.behind(graph, root, ScalarFn::Mul, users) {
        (root, norm.gain) = (scaled, Some(gain));
    }
    if let Some((moved, bias)) = norm.behind(graph, root, ScalarFn::Add, users) {
        (root, norm.bias) = (moved, Some(bias));
    }
    Some((root, norm))
}

/// What is normalized, from which axis on, and the number that is added to the variance.
fn standardized(graph: &Graph, centred: NodeId, scale: NodeId) -> Option<(NodeId, usize, f64)> {
    let (root, from) = spread(graph, scale)?;
    let x = centred_on(graph, centred, from)?;
    let sum = of_map(graph, root, ScalarFn::Rsqrt)?[0];
    let terms = of_map(graph, sum, ScalarFn::Add)?;
    let eps = every(graph, terms[1])?;
    (variance_of(graph, terms[0], from)? == x).then_some((x, from, eps))
}

/// What is repeated along the last axes, all from one on, and that axis.
fn spread(graph: &Graph, id: NodeId) -> Option<(NodeId, usize)> {
    let Op::Broadcast(broadcast) = graph.op(id) else { return None };
    let Broadcast { axes, shape } = &**broadcast;
    let &from = axes.first()?;
    (axes.iter().copied().eq(from..shape.rank())).then(|| (kept(graph, graph.operands(id)[0]), from))
}

/// A tensor without the axes of extent 1 that were put in or taken out.
fn kept(graph: &Graph, mut id: NodeId) -> NodeId {
    let extents = |id: NodeId| graph.shape(id).iter().filter(|&&n| n != 1);
    while matches!(graph.op(id), Op::Reshape(_)) && extents(id).eq(extents(graph.operands(id)[0])) {
        id = graph.operands(id)[0];
    }
    id
}

/// The number that all elements are.
fn every(graph: &Graph, id: NodeId) -> Option<f64> {
    let values = constant(graph, id)?.to_f64_vec();
    let &first = values.first()?;
    values.iter().all(|&v| v == first).then_some(first)
}

/// What is summed over all axes from one on.
fn summed(graph: &Graph, id: NodeId, from: usize) -> Option<NodeId> {
    let id = kept(graph, id);
    let Op::Reduce(Reduce { reduction: Reduction::Sum, axes }) = graph.op(id) else { return None };
    let of = graph.operands(id)[0];
    axes.iter().copied().eq(from..graph.shape(of).rank()).then_some(of)
}

/// A tensor divided by how many elements it has from an axis of `like` on.
fn divided(graph: &Graph, id: NodeId, like: &Shape, from: usize) -> Option<NodeId> {
    let quotient = of_map(graph, kept(graph, id), ScalarFn::Div)?;
    let count: usize = like[from..].iter().product();
    (every(graph, quotient[1])? == count as f64).then_some(quotient[0])
}

/// `x` of `mean(x)`.
fn mean_of(graph: &Graph, id: NodeId, like: &Shape, from: usize) -> Option<NodeId> {
    summed(graph, divided(graph, id, like, from)?, from)
}

/// `x` of `x - mean(x)`.
fn centred_on(graph: &Graph, id: NodeId, from: usize) -> Option<NodeId> {
    let &[x, mean] = &of_map(graph, id, ScalarFn::Sub)?[..] else { return None };
    let (mean, own) = spread(graph, mean)?;
    let of = mean_of(graph, mean, graph.shape(x), from)?;
    let of = of_map(graph, of, ScalarFn::StopGradient).map_or(of, |operands| operands[0]);
    (own == from && of == x).then_some(x)
}

/// The tensor whose variance this is, in either form.
fn variance_of(graph: &Graph, id: NodeId, from: usize) -> Option<NodeId> {
    let id = kept(graph, id);
    let Some(operands) = of_map(graph, id, ScalarFn::Select) else {
        let quotient = of_map(graph, id, ScalarFn::Div)?;
        let squares = summed(graph, quotient[0], from)?;
        let centred = squared(graph, squares)?;
        divided(graph, id, graph.shape(centred), from)?;
        return centred_on(graph, centred, from);
    };
    let &[negative, zero, own] = &operands[..] else { return None };
    let compared = of_map(graph, negative, ScalarFn::Lt)?;
    if compared[0] != own || every(graph, compared[1])? != 0.0 || every(graph, zero)? != 0.0 {
        return None;
    }
    let terms = of_map(graph, of_map(graph, own, ScalarFn::Div)?[0], ScalarFn::Sub)?;
    let centred = squared(graph, summed(graph, terms[0], from)?)?;
    let like = graph.shape(centred);
    divided(graph, own, like, from)?;
    let sum = squared(graph, divided(graph, terms[1], like, from)?)?;
    if summed(graph, sum, from)? != centred {
        return None;
    }
    centred_on(graph, centred, from)
}

/// `x` of `x x`.
fn squared(graph: &Graph, id: NodeId) -> Option<NodeId> {
    let factors = of_map(graph, id, ScalarFn::Mul)?;
    (factors[0] == factors[1]).then_some(factors[0])
}

impl LayerNorm {
    /// The only use of a node, if it is this function of it and a tensor that has the normalized axes and is repeated along the others.
    fn behind(&self, graph: &Graph, id: NodeId, f: ScalarFn, users: &Users) -> Option<(NodeId, NodeId)> {
        let user = users.only(id)?;
        let operands = of_map(graph, user, f)?;
        let other = if operands[0] == id { operands[1] } else { operands[0] };
        let own = match graph.op(other) {
            Op::Broadcast(b) if b.axes.iter().copied().eq(0..self.from) => graph.operands(other)[0],
            _ => other,
        };
        let straight = kept(graph, own);
        let own = if graph.shape(straight) == &self.ty.shape { straight } else { own };
        (*graph.shape(own) == self.ty.shape).then_some((user, own))
    }

    pub fn write(&self, w: &mut Writer, x: &str, gain: Option<&str>, bias: Option<&str>) -> String {
        let gain = gain.map_or_else(|| w.constant(Array::full(&self.ty, 1.0)), str::to_owned);
        let operands: Vec<&str> = [x, &gain].into_iter().chain(bias).collect();
        w.emit(
            "LayerNormalization",
            &operands,
            vec![named("axis", self.from as i64), number("epsilon", self.eps as f32)],
        )
    }
}
