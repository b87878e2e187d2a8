//! Products whose result is added up in windows that overlap: the gradient of a convolution by its operand, and the transposed convolution.
//!
//! `unwindow(dot(w, g))` takes each element of a window from one product, and there are few elements in a window. So instead of the matrix of all windows,
//! which is as many times larger than the result, there is one product for each element of a window, a *tap*, which is added to the result where that
//! element lies. Each place gets its terms in the order of the taps, whatever is shared among threads.

use smallvec::SmallVec;

use crate::graph::{Dims, Graph, NodeId, Shape};
use crate::prim::{Dot, Op, Unwindow};

use super::fuse::SMALL_PRODUCT;

/// More elements in a window than this are added up by a kernel.
const MAX_TAPS: usize = 64;
/// Neighbours in the result that are computed together are at least so many, or products would be of single elements.
const MIN_RUN: usize = 4;

/// Where the elements of a product are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The distance in the result, in elements, of neighbours along each axis of the product.
    pub(super) steps: Dims<isize>,
    /// Axes along which the windows' elements lie. Along all others no two elements of the product are added to one place.
    pub(super) taps: Dims<bool>,
}

/// The product that an `unwindow` adds up, if there is one, and where, if nothing is dropped.
pub(super) fn matched(graph: &Graph, id: NodeId) -> Option<(NodeId, Overlap)> {
    let Op::Unwindow(op) = graph.op(id) else { return None };
    let mut from = graph.operands(id)[0];
    let rank = graph.shape(from).rank();
    // The axis of the node `from` that each axis of the operand is.
    let mut axes: Dims = (0..rank).collect();
    while let Op::Transpose(t) = graph.op(from) {
        axes.iter_mut().for_each(|axis| *axis = t.permutation[*axis]);
        from = graph.operands(from)[0];
    }
    let Op::Dot(dot) = graph.op(from) else { return None };
    let shape = graph.shape(from);
    let k = terms(graph, dot, from);
    if !graph.ty(from).dtype.is_float() || k == 0 || shape.numel().saturating_mul(k) <= SMALL_PRODUCT {
        return None;
    }
    let strides = op.whole(graph.shape(graph.operands(id)[0])).shape(graph.shape(graph.operands(id)[0])).strides();
    let places = rank - op.windows.axes.len();
    let windowed = |axis: usize| op.windows.axes.iter().position(|&a| a == axis);
    let mut overlap = Overlap { steps: SmallVec::from_elem(0, rank), taps: SmallVec::from_elem(false, rank) };
    for (axis, &own) in axes.iter().enumerate() {
        overlap.taps[own] = axis >= places;
        overlap.steps[own] = match axis.checked_sub(places) {
            Some(i) => strides[op.windows.axes[i]] * op.windows.dilation(i) as isize,
            None => strides[axis] * windowed(axis).map_or(1, |i| op.windows.strides[i]) as isize,
        };
    }
    let run = (0..rank).any(|x| !overlap.taps[x] && overlap.steps[x] == 1 && shape[x] >= MIN_RUN);
    (run && overlap.count(shape) <= MAX_TAPS).then_some((from, overlap))
}

/// The count of terms of each element of a dot.
fn terms(graph: &Graph, dot: &Dot, id: NodeId) -> usize {
    let lhs = graph.shape(graph.operands(id)[0]);
    dot.lhs_contract.iter().map(|&x| lhs[x]).product()
}

impl Overlap {
    /// The count of taps of a product of this shape.
    fn count(&self, shape: &Shape) -> usize {
        self.taps.iter().zip(shape.iter()).filter(|(tap, _)| **tap).map(|(_, &extent)| extent).product()
    }

    /// The taps of a product of this shape, by their indices along all its axes, which are 0 along those that are none.
    pub(super) fn indices(&self, shape: &Shape) -> Vec<Dims> {
        let mut indices = Vec::new();
        for mut rest in 0..self.count(shape) {
            let mut index: Dims = SmallVec::from_elem(0, shape.rank());
            for axis in (0..shape.rank()).rev().filter(|&x| self.taps[x]) {
                index[axis] = rest % shape[axis];
                rest /= shape[axis];
            }
            indices.push(index);
        }
        indices
    }
}

/// The operation without what it drops: its result has all elements of all windows.
pub(super) fn whole(graph: &Graph, id: NodeId) -> Option<Unwindow> {
    matched(graph, id)?;
    match graph.op(id) {
        Op::Unwindow(op) => Some(op.whole(graph.shape(graph.operands(id)[0]))),
        _ => None,
    }
}
