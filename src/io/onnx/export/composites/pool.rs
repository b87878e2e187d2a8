//! Poolings: folds of the elements of windows.

use crate::graph::{DType, Dims, Graph, NodeId, Shape};
use crate::prim::{Map, Op, Reduce, Reduction, Window, Windows};
use crate::scalar::ScalarFn;

use super::super::writer::{Writer, list, named};
use super::conv::MAX_AXES;
use super::{Arranged, constant, ints, is_sorted, pads, unpadded};

pub(super) struct Pool {
    pub x: NodeId,
    /// `[examples, channels, spatial ..]`
    image: Arranged,
    windows: Windows,
    padding: Dims<(usize, usize)>,
    /// Whether padding counts in averages; `None` for the largest element.
    counts_padding: Option<bool>,
    /// The order of the result's axes in which the node has them.
    after: Dims,
}

/// The pooling whose fold this is, with something of this number around the operand.
fn folded(graph: &Graph, id: NodeId, reduction: Reduction, fill: f64) -> Option<Pool> {
    let Op::Reduce(Reduce { reduction: own, axes: over }) = graph.op(id) else { return None };
    let v = graph.operands(id)[0];
    let Op::Window(window) = graph.op(v) else { return None };
    let Window { windows } = &**window;
    let (axes, rank) = (windows.axes.len(), graph.shape(v).rank());
    let elements = (rank - axes..rank).collect::<Dims>();
    if *own != reduction || axes == 0 || axes > MAX_AXES || *over != elements || graph.shape(v).numel() == 0 {
        return None;
    }
    let others: Dims = (0..rank - axes).filter(|axis| !windows.axes.contains(axis)).collect();
    if others.len() != 2 {
        return None;
    }
    let (x, padding) = unpadded(graph, graph.operands(v)[0], &windows.axes, fill)?;
    // Runtimes take no padding as long as a window.
    if padding.iter().zip(&windows.sizes).any(|(&(low, high), &size)| low >= size || high >= size) {
        return None;
    }
    let order: Dims = others.iter().chain(&windows.axes).copied().collect();
    let shape: Shape = order.iter().map(|&axis| graph.shape(x)[axis]).collect();
    let mut after = Dims::from_elem(0, order.len());
    order.iter().enumerate().for_each(|(i, &axis)| after[axis] = i);
    let image = Arranged::new(graph, x, order, shape);
    Some(Pool { x: image.node, image, windows: windows.clone(), padding, counts_padding: None, after })
}

/// The pooling that a fold is.
pub(super) fn max(graph: &Graph, id: NodeId) -> Option<Pool> {
    let dtype = graph.ty(id).dtype;
    matches!(dtype, DType::F32 | DType::F64).then(|| folded(graph, id, Reduction::Max, f64::NEG_INFINITY))?
}

/// The average that a division, or the last of several, is.
pub(super) fn average(graph: &Graph, id: NodeId) -> Option<Pool> {
    let shape = graph.shape(id);
    if graph.ty(id).dtype != DType::F32 || !(3..=2 + MAX_AXES).contains(&shape.rank()) {
        return None;
    }
    let (mut at, mut divisors) = (id, Vec::new());
    while matches!(graph.op(at), Op::Map(Map { f: ScalarFn::Div })) && divisors.len() <= MAX_AXES {
        divisors.push(graph.operands(at)[1]);
        at = graph.operands(at)[0];
    }
    let pool = folded(graph, at, Reduction::Sum, 0.0)?;
    if pool.windows.dilations.iter().zip(&pool.windows.sizes).any(|(&dilation, &size)| dilation > 1 && size > 1) {
        return None;
    }
    let mut counts = vec![1.0; shape.numel()];
    for divisor in divisors {
        let values = constant(graph, divisor)?;
        counts.iter_mut().enumerate().for_each(|(i, count)| *count *= values.get_f64(i));
    }
    let size: usize = pool.windows.sizes.iter().product();
    let counts_padding = if counts.iter().all(|&count| count == size as f64) {
        true
    } else if pool.own_counts(shape) == counts {
        false
    } else {
        return None;
    };
    Some(Pool { counts_padding: Some(counts_padding), ..pool })
}

impl Pool {
    /// For each element of the result, how many elements of its window are there.
    fn own_counts(&self, result: &Shape) -> Vec<f64> {
        let windows = &self.windows;
        let along = |i: usize, o: usize| {
            let (low, extent) = (self.padding[i].0, self.image.shape[2 + i]);
            let begin = o * windows.strides[i];
            (begin..begin + windows.sizes[i]).filter(|at| (low..low + extent).contains(at)).count()
        };
        let strides = result.strides();
        let count = |element: usize| {
            let of = |(i, &axis): (usize, &usize)| along(i, element / strides[axis].unsigned_abs() % result[axis]);
            windows.axes.iter().enumerate().map(of).product::<usize>() as f64
        };
        (0..result.numel()).map(count).collect()
    }

    pub fn write(&self, w: &mut Writer, graph: &Graph, x: &str) -> String {
        let image = self.image.write(w, graph, x);
        let windows = &self.windows;
        let mut attributes = vec![
            list("kernel_shape", ints(&windows.sizes)),
            list("strides", ints(&windows.strides)),
            list("pads", pads(&self.padding)),
        ];
        let operator = match self.counts_padding {
            None => {
                attributes.push(list("dilations", ints(&windows.dilations)));
                "MaxPool"
            }
            Some(counts) => {
                attributes.push(named("count_include_pad", i64::from(counts)));
                "AveragePool"
            }
        };
        let y = w.emit(operator, &[&image], attributes);
        if is_sorted(&self.after) { y } else { w.transpose(&y, &self.after) }
    }
}
