//! Transposed convolutions: products of an image and a weight, added up where their windows overlap.

use crate::graph::{DType, Dims, Graph, NodeId, Shape};
use crate::prim::{Dot, Op, Unwindow};

use super::super::writer::{Writer, list, named};
use super::conv::{MAX_AXES, free};
use super::{Arranged, Users, added_along, ints, is_sorted, pads};

pub(super) struct ConvTranspose {
    pub x: NodeId,
    pub w: NodeId,
    pub bias: Option<NodeId>,
    /// `[examples, channels, spatial ..]`
    image: Arranged,
    /// `[channels, filters / groups, window ..]`
    weight: Arranged,
    unwindow: Unwindow,
    padding: Dims<(usize, usize)>,
    /// Elements behind the last window.
    beyond: Dims,
    groups: usize,
    /// The result with an axis of its own for the groups, and the order of its axes in which the node has them; `None` where it is the node already.
    after: Option<(Shape, Dims)>,
}

/// Where an axis of the product comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Group,
    Image(usize),
    Weight(usize),
}

/// The transposed convolution that ends with an operation, and the node that is its result.
pub(super) fn find(graph: &Graph, id: NodeId, users: &Users) -> Option<(NodeId, ConvTranspose)> {
    let Op::Unwindow(unwindow) = graph.op(id) else { return None };
    if graph.ty(id).dtype != DType::F32 || graph.shape(id).numel() == 0 || unwindow.windows.axes.len() > MAX_AXES {
        return None;
    }
    let (mut at, mut order) = (graph.operands(id)[0], None);
    if let Op::Transpose(transpose) = graph.op(at) {
        (at, order) = (graph.operands(at)[0], Some(&transpose.permutation));
    }
    let Op::Dot(dot) = graph.op(at) else { return None };
    [false, true].into_iter().find_map(|image_first| of_sides(graph, id, unwindow, at, order, dot, image_first, users))
}

#[expect(clippy::too_many_arguments, reason = "what was matched so far")]
fn of_sides(
    graph: &Graph,
    id: NodeId,
    unwindow: &Unwindow,
    product: NodeId,
    order: Option<&Dims>,
    dot: &Dot,
    image_first: bool,
    users: &Users,
) -> Option<(NodeId, ConvTranspose)> {
    let operands = graph.operands(product);
    let ((x, x_batch, x_contract), (w, w_batch, w_contract)) = {
        let left = (operands[0], &dot.lhs_batch, &dot.lhs_contract);
        let right = (operands[1], &dot.rhs_batch, &dot.rhs_contract);
        if image_first { (left, right) } else { (right, left) }
    };
    let (own, weight) = (graph.shape(x), graph.shape(w));
    let (&[channel], &[w_channel]) = (&x_contract[..], &w_contract[..]) else { return None };
    let group = match (&x_batch[..], &w_batch[..]) {
        ([], []) => None,
        (&[of_x], &[of_w]) => Some((of_x, of_w)),
        _ => return None,
    };
    let of_x = free(own.rank(), x_batch, x_contract).into_iter().map(From::Image);
    let of_w = free(weight.rank(), w_batch, w_contract).into_iter().map(From::Weight);
    let of_group = group.map(|_| From::Group).into_iter();
    let straight: Vec<From> = if image_first {
        of_group.chain(of_x).chain(of_w).collect()
    } else {
        of_group.chain(of_w).chain(of_x).collect()
    };
    let axes: Vec<From> = match order {
        Some(order) => order.iter().map(|&axis| straight[axis]).collect(),
        None => straight,
    };

    // The axes of windows and their elements, then all others.
    let windows = &unwindow.windows;
    let (base, elements) = axes.split_at(axes.len() - windows.axes.len());
    let image = |from: &From| if let From::Image(axis) = from { Some(*axis) } else { None };
    let of_weight = |from: &From| if let From::Weight(axis) = from { Some(*axis) } else { None };
    let spatial: Dims = windows.axes.iter().map(|&axis| image(&base[axis])).collect::<Option<_>>()?;
    let inner: Dims = elements.iter().map(of_weight).collect::<Option<_>>()?;
    let others: Vec<usize> = (0..base.len()).filter(|axis| !windows.axes.contains(axis)).collect();
    let [example] = others.iter().filter_map(|&axis| image(&base[axis])).collect::<Vec<usize>>()[..] else {
        return None;
    };
    let [filter] = others.iter().filter_map(|&axis| of_weight(&base[axis])).collect::<Vec<usize>>()[..] else {
        return None;
    };

    let groups = group.map_or(1, |(axis, _)| own[axis]);
    let image_order = [example].into_iter().chain(group.map(|g| g.0)).chain([channel]).chain(spatial.iter().copied());
    let weight_order = group.map(|g| g.1).into_iter().chain([w_channel, filter]).chain(inner.iter().copied());
    let extents = spatial.iter().map(|&axis| own[axis]);
    let image_shape = [own[example], groups * own[channel]].into_iter().chain(extents.clone()).collect();
    let window = inner.iter().map(|&axis| weight[axis]);
    let weight_shape = [groups * weight[w_channel], weight[filter]].into_iter().chain(window).collect();

    let (mut padding, mut beyond) = (Dims::new(), Dims::new());
    for (i, extent) in extents.enumerate() {
        let all = (extent - 1) * windows.strides[i] + windows.span(i);
        let (low, end) = (unwindow.low[i], unwindow.low[i] + unwindow.extents[i]);
        padding.push((low, all.saturating_sub(end)));
        beyond.push(end.saturating_sub(all));
        // Runtimes have no longer ones.
        if beyond[i] >= windows.strides[i].max(windows.dilations[i]) {
            return None;
        }
    }

    let result: Vec<From> = [From::Image(example)]
        .into_iter()
        .chain(group.map(|_| From::Group))
        .chain([From::Weight(filter)])
        .chain(spatial.iter().map(|&axis| From::Image(axis)))
        .collect();
    let filters = groups * weight[filter];
    let together: Shape = [own[example], filters].into_iter().chain(unwindow.extents.iter().copied()).collect();
    let (mut root, mut after) = (id, None);
    if *base != result[..] || *graph.shape(id) != together {
        let merged = users.only(id).filter(|&user| {
            *base == result[..] && matches!(graph.op(user), Op::Reshape(_)) && *graph.shape(user) == together
        });
        match merged {
            Some(user) => root = user,
            None => {
                let group = group.map(|_| groups);
                let apart = [own[example]].into_iter().chain(group).chain([weight[filter]]);
                let apart: Shape = apart.chain(unwindow.extents.iter().copied()).collect();
                let order = base.iter().map(|axis| result.iter().position(|other| other == axis));
                after = Some((apart, order.collect::<Option<Dims>>()?));
            }
        }
    }
    let mut bias = None;
    if after.is_none()
        && let Some((sum, added)) = added_along(graph, root, 1, users)
    {
        (root, bias) = (sum, Some(added));
    }
    let image = Arranged::new(graph, x, image_order.collect(), image_shape);
    let weight = Arranged::new(graph, w, weight_order.collect(), weight_shape);
    let (x, w, unwindow) = (image.node, weight.node, unwindow.clone());
    Some((root, ConvTranspose { x, w, bias, image, weight, unwindow, padding, beyond, groups, after }))
}

impl ConvTranspose {
    pub fn write(&self, w: &mut Writer, graph: &Graph, x: &str, weight: &str, bias: Option<&str>) -> String {
        let (image, weight) = (self.image.write(w, graph, x), self.weight.write(w, graph, weight));
        let windows = &self.unwindow.windows;
        let mut attributes = vec![
            list("kernel_shape", ints(&windows.sizes)),
            list("strides", ints(&windows.strides)),
            list("dilations", ints(&windows.dilations)),
            list("pads", pads(&self.padding)),
            named("group", self.groups as i64),
        ];
        if self.beyond.iter().any(|&n| n > 0) {
            attributes.push(list("output_padding", ints(&self.beyond)));
        }
        let operands: Vec<&str> = [&*image, &weight].into_iter().chain(bias).collect();
        let mut y = w.emit("ConvTranspose", &operands, attributes);
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
