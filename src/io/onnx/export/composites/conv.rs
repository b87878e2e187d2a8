//! Convolutions: products of windows and a weight.

use crate::graph::{DType, Dims, Graph, NodeId, Shape};
use crate::prim::{Dot, Op, Window, Windows};

use super::super::writer::{Writer, list, named};
use super::{Arranged, Users, added_along, ints, is_sorted, pads, unpadded};

/// The most spatial axes. Runtimes have no more.
pub(super) const MAX_AXES: usize = 3;

pub(super) struct Conv {
    pub x: NodeId,
    pub w: NodeId,
    pub bias: Option<NodeId>,
    /// `[examples, channels, spatial ..]`
    image: Arranged,
    /// `[filters, channels / groups, window ..]`
    weight: Arranged,
    windows: Windows,
    padding: Dims<(usize, usize)>,
    groups: usize,
    /// The result with an axis of its own for the groups, and the order of its axes in which the node has them; `None` where it is the node already.
    after: Option<(Shape, Dims)>,
}

/// What an axis of the product is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    Example,
    Group,
    Filter,
    Spatial(usize),
}

/// The axes of a product's operand that are neither of its batch nor contracted.
pub(super) fn free(rank: usize, batch: &Dims, contract: &Dims) -> Dims {
    (0..rank).filter(|axis| !batch.contains(axis) && !contract.contains(axis)).collect()
}

/// The convolution that a product is, and the node that is its result.
pub(super) fn find(graph: &Graph, id: NodeId, users: &Users) -> Option<(NodeId, Conv)> {
    let Op::Dot(dot) = graph.op(id) else { return None };
    if graph.ty(id).dtype != DType::F32 {
        return None;
    }
    [false, true].into_iter().find_map(|windows_first| of_sides(graph, id, dot, windows_first, users))
}

fn of_sides(graph: &Graph, id: NodeId, dot: &Dot, windows_first: bool, users: &Users) -> Option<(NodeId, Conv)> {
    let operands = graph.operands(id);
    let ((v, v_batch, v_contract), (w, w_batch, w_contract)) = {
        let left = (operands[0], &dot.lhs_batch, &dot.lhs_contract);
        let right = (operands[1], &dot.rhs_batch, &dot.rhs_contract);
        if windows_first { (left, right) } else { (right, left) }
    };
    let Op::Window(window) = graph.op(v) else { return None };
    let Window { windows } = &**window;
    let (axes, rank) = (windows.axes.len(), graph.shape(v).rank());
    let base_rank = rank - axes;
    if axes > MAX_AXES || axes == 0 || [v, w].iter().any(|&side| graph.shape(side).numel() == 0) {
        return None;
    }
    // All elements of windows are summed over, and the channels.
    let partner = |axis: usize| v_contract.iter().position(|&a| a == axis).map(|i| w_contract[i]);
    let inner: Dims = (base_rank..rank).map(partner).collect::<Option<_>>()?;
    let [channel] = v_contract.iter().copied().filter(|&a| a < base_rank).collect::<Dims>()[..] else { return None };
    let w_channel = partner(channel)?;
    if windows.axes.contains(&channel) || v_batch.iter().any(|a| windows.axes.contains(a)) {
        return None;
    }
    let group = match (&v_batch[..], &w_batch[..]) {
        ([], []) => None,
        (&[of_v], &[of_w]) => Some((of_v, of_w)),
        _ => return None,
    };
    let (v_free, w_free) = (free(rank, v_batch, v_contract), free(graph.shape(w).rank(), w_batch, w_contract));
    let [example] = v_free.iter().copied().filter(|a| !windows.axes.contains(a)).collect::<Dims>()[..] else {
        return None;
    };
    let [filter] = w_free[..] else { return None };

    let (base, padding) = unpadded(graph, graph.operands(v)[0], &windows.axes, 0.0)?;
    let (own, weight) = (graph.shape(base), graph.shape(w));
    let groups = group.map_or(1, |(axis, _)| own[axis]);
    let image_order =
        [example].into_iter().chain(group.map(|g| g.0)).chain([channel]).chain(windows.axes.iter().copied());
    let weight_order = group.map(|g| g.1).into_iter().chain([filter, w_channel]).chain(inner.iter().copied());
    let spatial = windows.axes.iter().map(|&axis| own[axis]);
    let image_shape = [own[example], groups * own[channel]].into_iter().chain(spatial).collect();
    let window = inner.iter().map(|&axis| weight[axis]);
    let weight_shape = [groups * weight[filter], weight[w_channel]].into_iter().chain(window).collect();

    let label = |axis: usize| match windows.axes.iter().position(|&a| a == axis) {
        Some(i) => Axis::Spatial(i),
        None => Axis::Example,
    };
    let of_v = v_free.iter().map(|&axis| label(axis));
    let of_group = group.map(|_| Axis::Group);
    let product: Vec<Axis> = match windows_first {
        true => of_group.into_iter().chain(of_v).chain([Axis::Filter]).collect(),
        false => of_group.into_iter().chain([Axis::Filter]).chain(of_v).collect(),
    };
    let result: Vec<Axis> =
        [Axis::Example].into_iter().chain(of_group).chain([Axis::Filter]).chain((0..axes).map(Axis::Spatial)).collect();
    let counts: Dims = windows.axes.iter().map(|&axis| graph.shape(v)[axis]).collect();
    let together: Shape = [own[example], groups * weight[filter]].into_iter().chain(counts.iter().copied()).collect();
    let group_extent = group.map(|_| groups);
    let apart: Shape =
        [own[example]].into_iter().chain(group_extent).chain([weight[filter]]).chain(counts.iter().copied()).collect();
    let (mut root, after) = match ended(graph, id, &product, &result, &together, users) {
        Some(root) => (root, None),
        None => {
            let order =
                product.iter().map(|axis| result.iter().position(|other| other == axis)).collect::<Option<_>>()?;
            (id, Some((apart, order)))
        }
    };
    let mut bias = None;
    if after.is_none()
        && let Some((sum, added)) = added_along(graph, root, 1, users)
    {
        (root, bias) = (sum, Some(added));
    }
    let image = Arranged::new(graph, base, image_order.collect(), image_shape);
    let weight = Arranged::new(graph, w, weight_order.collect(), weight_shape);
    let (x, w) = (image.node, weight.node);
    Some((root, Conv { x, w, bias, image, weight, windows: windows.clone(), padding, groups, after }))
}

/// The node behind a product that has the result as ONNX's operator gives it: the axes in its order, and groups and filters as one.
fn ended(
    graph: &Graph,
    id: NodeId,
    product: &[Axis],
    result: &[Axis],
    together: &Shape,
    users: &Users,
) -> Option<NodeId> {
    let mut at = id;
    if product != result {
        at = users.only(at)?;
        let Op::Transpose(transpose) = graph.op(at) else { return None };
        let order: Vec<Axis> = transpose.permutation.iter().map(|&axis| product[axis]).collect();
        if order != result {
            return None;
        }
    }
    if graph.shape(at) != together {
        at = users.only(at)?;
        if !matches!(graph.op(at), Op::Reshape(_)) || graph.shape(at) != together {
            return None;
        }
    }
    Some(at)
}

impl Conv {
    pub fn write(&self, w: &mut Writer, graph: &Graph, x: &str, weight: &str, bias: Option<&str>) -> String {
        let (image, weight) = (self.image.write(w, graph, x), self.weight.write(w, graph, weight));
        let windows = &self.windows;
        let attributes = vec![
            list("kernel_shape", ints(&windows.sizes)),
            list("strides", ints(&windows.strides)),
            list("dilations", ints(&windows.dilations)),
            list("pads", pads(&self.padding)),
            named("group", self.groups as i64),
        ];
        let operands: Vec<&str> = [&*image, &weight].into_iter().chain(bias).collect();
        let mut y = w.emit("Conv", &operands, attributes);
        if let Some((apart, order)) = &self.after {
            if apart.rank() > self.image.shape.rank() {
                y = w.reshape(&y, apart);
            }
            if !is_sorted(order) {
                y = w.transpose(&y, order);
            }
        }
        y
    }
}
