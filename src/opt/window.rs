//! Windows: what a sum of windows is sliced to is not summed, and the gradient of a convolution is a convolution.

use smallvec::SmallVec;

use crate::graph::{Dims, NodeId};
use crate::prim::{Dot, Emit, Op, Slice, Unwindow, Window, Windows};

use super::rewrite::{Law, Rewriter, Rule};

/// Rules that clear movements away, before the others see the graph.
pub const MOVEMENT: &[Rule] = &[Rule {
    name: "slice-of-unwindow",
    law: Law::Exact,
    doc: "A part of a sum of windows is the sum of what lies in that part, if the whole has no other user.",
    on: &["slice"],
    apply: slice_of_unwindow,
}];

/// The other rules of this family.
pub const RULES: &[Rule] = &[Rule {
    name: "unwindow-of-dot",
    law: Law::Rounding,
    doc: "A sum of windows, stride 1, whose windows one factor of a product counts and whose elements the other has, is a product with windows of the padded \
              factor and the other one reversed: the gradient of a convolution is a convolution, and there is no product of the size of all windows. Infinite \
              factors meet the zeros of the padding.",
    on: &["unwindow"],
    apply: unwindow_of_dot,
}];

fn slice_of_unwindow(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Slice(slice) = op else { return None };
    let Op::Unwindow(unwindow) = r.op(x[0]) else { return None };
    if !r.sole_use(x[0]) {
        return None;
    }
    let shape = r.graph().shape(x[0]);
    let mut part = Unwindow::clone(unwindow);
    for axis in 0..shape.rank() {
        let (start, len) = (slice.start[axis], slice.len[axis]);
        let whole = start == 0 && len == shape[axis];
        let in_order = slice.step[axis] == 1 || len <= 1;
        match part.windows.axes.iter().position(|&a| a == axis) {
            Some(i) if in_order => (part.low[i], part.extents[i]) = (part.low[i].checked_add(start)?, len),
            None if whole && in_order => {}
            _ => return None,
        }
    }
    let windows = r.operands(x[0])[0];
    let part = Op::from(part);
    part.infer(&[r.graph().ty(windows)]).ok()?;
    Some(r.emit(part, &[windows]))
}

/// An axis of a product's result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    /// Batch axis of this number.
    Batch(usize),
    /// An axis of the left or right operand.
    Free(usize, usize),
}

/// The axes of a product's result.
fn axes_of(dot: &Dot, ranks: [usize; 2]) -> SmallVec<[Axis; 8]> {
    let batch = (0..dot.lhs_batch.len()).map(Axis::Batch);
    let (left, right) = (dot.lhs_free(ranks[0]), dot.rhs_free(ranks[1]));
    let left = left.iter().map(|&a| Axis::Free(0, a));
    batch.chain(left).chain(right.iter().map(|&a| Axis::Free(1, a))).collect()
}

/// What adding up the elements of windows costs, for each of them, in multiplications of a product: they are written, padded and read again.
const COST_OF_SUM: usize = 16;

fn unwindow_of_dot(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Unwindow(unwindow) = op else { return None };
    let Unwindow { windows, low, extents } = &**unwindow;
    let operand = r.graph().shape(x[0]).clone();
    let count = windows.axes.len();
    let rank = operand.rank() - count;
    let (product, permutation): (NodeId, Dims) = match r.as_transpose(x[0]) {
        Some((source, transpose)) => (source, transpose.permutation.clone()),
        None => (x[0], (0..operand.rank()).collect()),
    };
    let Op::Dot(dot) = r.op(product) else { return None };
    if count == 0 || operand.numel() == 0 || extents.contains(&0) || !r.sole_use(x[0]) || !r.sole_use(product) {
        return None;
    }
    let factors = [r.operands(product)[0], r.operands(product)[1]];
    let shapes = factors.map(|f| r.graph().shape(f).clone());
    let ranks = [shapes[0].rank(), shapes[1].rank()];
    let named = axes_of(dot, ranks);
    let axis = |i: usize| named[permutation[i]];

    // One factor has the elements of the windows, the other counts the windows.
    let Axis::Free(weight, _) = axis(rank) else { return None };
    let places = 1 - weight;
    let free_axis = |i: usize, of: usize| match axis(i) {
        Axis::Free(side, a) if side == of => Some(a),
        _ => None,
    };
    let mut pairs: SmallVec<[(usize, usize, usize); 3]> = SmallVec::new();
    for (i, &window_axis) in windows.axes.iter().enumerate() {
        pairs.push((free_axis(window_axis, places)?, free_axis(rank + i, weight)?, i));
        if windows.strides[i] != 1 && operand[window_axis] != 1 {
            return None;
        }
    }
    pairs.sort_unstable();

    // As many multiplications for each element of the result as the window has elements, instead of one for each element of each window.
    let contracted: usize = dot.lhs_contract.iter().map(|&a| shapes[0][a]).product();
    let windows_before: usize = windows.axes.iter().map(|&a| operand[a]).product();
    let elements: usize = windows.sizes.iter().product();
    let others = operand.numel() / windows_before / elements;
    let after = extents.iter().product::<usize>().checked_mul(others)?.checked_mul(contracted * elements)?;
    if after > operand.numel().checked_mul(contracted + COST_OF_SUM)? {
        return None;
    }

    let mut dot = Dot::clone(dot);
    let (mut from, mut len) = (Dims::from_elem(0isize, ranks[places]), Dims::from_slice(&shapes[places]));
    let mut turned = Slice {
        start: Dims::from_elem(0, ranks[weight]),
        len: Dims::from_slice(&shapes[weight]),
        step: Dims::from_elem(1, ranks[weight]),
    };
    let empty = Dims::new;
    let mut view = Windows { axes: empty(), sizes: empty(), strides: empty(), dilations: empty() };
    for (p, &(place, element, i)) in pairs.iter().enumerate() {
        let (size, reach) = (windows.sizes[i], windows.span(i) - 1);
        from[place] = low[i] as isize - reach as isize;
        len[place] = extents[i] + reach;
        (turned.start[element], turned.step[element]) = (size - 1, -1);
        view.axes.push(place);
        view.sizes.push(size);
        view.strides.push(1);
        view.dilations.push(windows.dilations[i]);
        let (of_left, of_right) = if weight == 0 { (element, ranks[1] + p) } else { (ranks[0] + p, element) };
        dot.lhs_contract.push(of_left);
        dot.rhs_contract.push(of_right);
    }
    let mut new_ranks = ranks;
    new_ranks[places] += count;
    let new_axes = axes_of(&dot, new_ranks);
    let permutation =
        (0..rank).map(|i| new_axes.iter().position(|&a| a == axis(i)).expect("the axis is left")).collect();

    let mut new = factors;
    let framed = r.frame(factors[places], &from, &len);
    new[places] = r.emit(Window { windows: view }.into(), &[framed]);
    new[weight] = r.emit(turned.into(), &[factors[weight]]);
    let y = r.dot(dot, new[0], new[1]);
    Some(r.transpose(y, permutation))
}
