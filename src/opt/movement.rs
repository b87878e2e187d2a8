//! Movements: those that do nothing go, neighbours merge, and they move towards each other where that lets them meet.
//!
//! Normal forms, so that no two rules undo each other: axes of extent 1 are added by the broadcast that is there anyway, else by a reshape; transposes that
//! only move such axes are reshapes; of a reshape, transpose or slice and a broadcast, the broadcast comes last.

use smallvec::SmallVec;

use crate::graph::{Dims, NodeId, Operands, Shape};
use crate::prim::{Broadcast, Concat, Emit, Gather, Op, Pad, Reshape, Slice, Transpose};

use super::matchers::{is_identity, without_units};
use super::reduce::renumber;
use super::rewrite::{Law, Rewriter, Rule};

/// The rules of this family.
pub const RULES: &[Rule] = &[
    Rule {
        name: "identity-movement",
        law: Law::Exact,
        doc: "A reshape to the same shape, a transpose in order, a slice of everything, a pad of nothing, a concat of one: the operand.",
        on: &["reshape", "transpose", "slice", "pad", "concat", "broadcast", "reduce"],
        apply: identity_movement,
    },
    Rule {
        name: "reshape-of-reshape",
        law: Law::Exact,
        doc: "Two reshapes are one.",
        on: &["reshape"],
        apply: |r, op, x| r.as_reshape(x[0]).map(|source| r.reshape(source, shape_of_reshape(op))),
    },
    Rule {
        name: "transpose-of-transpose",
        law: Law::Exact,
        doc: "Two transposes are one.",
        on: &["transpose"],
        apply: transpose_of_transpose,
    },
    Rule {
        name: "transpose-of-units",
        law: Law::Exact,
        doc: "A transpose that leaves the axes of other extents than 1 in order is a reshape.",
        on: &["transpose"],
        apply: transpose_of_units,
    },
    Rule {
        name: "broadcast-of-broadcast",
        law: Law::Exact,
        doc: "Two broadcasts are one.",
        on: &["broadcast"],
        apply: broadcast_of_broadcast,
    },
    Rule {
        name: "broadcast-of-units",
        law: Law::Exact,
        doc: "A broadcast along new axes of extent 1 only is a reshape.",
        on: &["broadcast"],
        apply: |r, op, x| match op {
            Op::Broadcast(b) if b.axes.iter().all(|&a| b.shape[a] == 1) && r.splat_source(x[0]).is_none() => {
                Some(r.reshape(x[0], b.shape.clone()))
            }
            _ => None,
        },
    },
    Rule {
        name: "broadcast-of-reshape",
        law: Law::Exact,
        doc: "Axes of extent 1 that a reshape adds are added by the broadcast that follows.",
        on: &["broadcast"],
        apply: broadcast_of_reshape,
    },
    Rule {
        name: "reshape-of-broadcast",
        law: Law::Exact,
        doc: "A reshape that adds or drops axes of extent 1 after a broadcast does so before it, and any reshape of a repeated scalar is a repeated scalar.",
        on: &["reshape"],
        apply: reshape_of_broadcast,
    },
    Rule {
        name: "transpose-of-broadcast",
        law: Law::Exact,
        doc: "A transpose of a broadcast is a broadcast of the smaller transpose.",
        on: &["transpose"],
        apply: transpose_of_broadcast,
    },
    Rule {
        name: "slice-of-broadcast",
        law: Law::Exact,
        doc: "A slice of a broadcast is a broadcast of the smaller slice.",
        on: &["slice"],
        apply: slice_of_broadcast,
    },
    Rule { name: "slice-of-slice", law: Law::Exact, doc: "Two slices are one.", on: &["slice"], apply: slice_of_slice },
    Rule {
        name: "slice-of-concat",
        law: Law::Exact,
        doc: "A slice that lies within one part of a concatenation is a slice of that part.",
        on: &["slice"],
        apply: slice_of_concat,
    },
    Rule {
        name: "slice-of-pad",
        law: Law::Exact,
        doc: "A slice that takes only elements of a pad's operand is a slice of the operand; one that takes only padding is a constant.",
        on: &["slice"],
        apply: slice_of_pad,
    },
    Rule {
        name: "pad-of-pad",
        law: Law::Exact,
        doc: "Two pads without interior by the same number are one.",
        on: &["pad"],
        apply: pad_of_pad,
    },
    Rule {
        name: "concat-of-concat",
        law: Law::Exact,
        doc: "A concatenation within one along the same axis gives its parts; parts without elements go.",
        on: &["concat"],
        apply: concat_of_concat,
    },
    Rule {
        name: "concat-of-slices",
        law: Law::Exact,
        doc: "Neighbouring slices of one tensor, one behind the other, are one slice.",
        on: &["concat"],
        apply: concat_of_slices,
    },
    Rule {
        name: "gather-of-iota",
        law: Law::Exact,
        doc: "Choosing the places 0, 1, 2 ... in order is a slice.",
        on: &["gather"],
        apply: gather_of_iota,
    },
    Rule {
        name: "sum-of-pads",
        law: Law::ZeroSign,
        doc: "The sum of tensors padded with zeros to lie side by side is the padded concatenation.",
        on: &["add"],
        apply: sum_of_pads,
    },
    Rule {
        name: "map-of-transposes",
        law: Law::Exact,
        doc: "A function of two or more tensors transposed alike is transposed itself, if their transposes have no other users.",
        on: &[],
        apply: map_of_transposes,
    },
];

fn shape_of_reshape(op: &Op) -> Shape {
    match op {
        Op::Reshape(Reshape { shape }) => shape.clone(),
        _ => panic!("the rule is for reshapes"),
    }
}

fn identity_movement(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let shape = r.graph().shape(x[0]);
    let nothing = match op {
        Op::Reshape(reshape) => reshape.shape == *shape,
        Op::Transpose(transpose) => is_identity(&transpose.permutation),
        Op::Slice(s) => s.len[..] == shape[..] && s.step.iter().zip(&s.len).all(|(&step, &len)| step == 1 || len <= 1),
        Op::Pad(p) => {
            let zero = |list: &Dims| list.iter().all(|&n| n == 0);
            let inside = p.interior.iter().zip(shape.iter()).all(|(&i, &d)| i == 0 || d <= 1);
            zero(&p.low) && zero(&p.high) && inside
        }
        Op::Concat(_) => x.len() == 1,
        Op::Broadcast(b) => b.axes.is_empty(),
        Op::Reduce(fold) => fold.axes.is_empty(),
        _ => false,
    };
    nothing.then_some(x[0])
}

fn transpose_of_transpose(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Transpose(outer) = op else { return None };
    let (source, inner) = r.as_transpose(x[0])?;
    let permutation = outer.permutation.iter().map(|&p| inner.permutation[p]).collect();
    Some(r.transpose(source, permutation))
}

fn transpose_of_units(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Transpose(Transpose { permutation }) = op else {
        return None;
    };
    let shape = r.graph().shape(x[0]);
    let wide: Dims = permutation.iter().copied().filter(|&a| shape[a] != 1).collect();
    if wide.windows(2).any(|w| w[0] > w[1]) {
        return None;
    }
    let to = permutation.iter().map(|&p| shape[p]).collect();
    Some(r.reshape(x[0], to))
}

fn broadcast_of_broadcast(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Broadcast(broadcast) = op else { return None };
    let Broadcast { shape, axes } = &**broadcast;
    let (source, inner) = r.as_broadcast(x[0])?;
    // The inner broadcast's axes, as the outer one numbers them.
    let kept: Dims = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
    let mut all: Dims = inner.axes.iter().map(|&a| kept[a]).chain(axes.iter().copied()).collect();
    all.sort_unstable();
    Some(r.broadcast(source, shape.clone(), all))
}

fn broadcast_of_reshape(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Broadcast(broadcast) = op else { return None };
    let Broadcast { shape, axes } = &**broadcast;
    let source = r.as_reshape(x[0])?;
    let (from, to) = (r.graph().shape(source).clone(), r.graph().shape(x[0]).clone());
    if without_units(&from) != without_units(&to) || from.rank() >= to.rank() {
        return None;
    }
    // Of the axes of extent 1, as many as the source has are kept: the first of each run between wide axes.
    let kept: Dims = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
    let mut added = Dims::new();
    let mut next = 0;
    for (place, &extent) in to.iter().enumerate() {
        if next < from.rank() && from[next] == extent {
            next += 1;
        } else {
            added.push(kept[place]);
        }
    }
    // A source with units in other places does not fit one by one.
    if next < from.rank() {
        return None;
    }
    let mut all: Dims = axes.iter().copied().chain(added).collect();
    all.sort_unstable();
    Some(r.broadcast(source, shape.clone(), all))
}

fn reshape_of_broadcast(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let to = shape_of_reshape(op);
    let (source, broadcast) = r.as_broadcast(x[0])?;
    if r.graph().shape(source).rank() == 0 {
        return Some(r.broadcast_new(source, &to));
    }
    let (from, axes) = (broadcast.shape.clone(), broadcast.axes.clone());
    if without_units(&from) != without_units(&to) {
        return None;
    }
    // Wide axes correspond one by one; units of the result are new axes.
    let mut wide = (0..from.rank()).filter(|&a| from[a] != 1);
    let repeated = |a: &usize| to[*a] == 1 || wide.next().is_some_and(|w| axes.contains(&w));
    let new_axes: Dims = (0..to.rank()).filter(repeated).collect();
    let kept = to.without(&new_axes);
    let source = r.reshape(source, kept);
    Some(r.broadcast(source, to, new_axes))
}

fn transpose_of_broadcast(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Transpose(Transpose { permutation }) = op else {
        return None;
    };
    let (source, broadcast) = r.as_broadcast(x[0])?;
    let (shape, repeated) = (broadcast.shape.clone(), broadcast.axes.clone());
    let to = permutation.iter().map(|&p| shape[p]).collect();
    let axes = (0..permutation.len()).filter(|&i| repeated.contains(&permutation[i])).collect();
    let of_source = permutation.iter().filter(|p| !repeated.contains(p)).map(|&p| renumber(p, &repeated)).collect();
    let source = r.transpose(source, of_source);
    Some(r.broadcast(source, to, axes))
}

/// The slice on those axes only that `kept` says.
fn slice_on(slice: &Slice, kept: impl Fn(usize) -> bool) -> Slice {
    let axes: Dims = (0..slice.start.len()).filter(|&a| kept(a)).collect();
    Slice {
        start: axes.iter().map(|&a| slice.start[a]).collect(),
        len: axes.iter().map(|&a| slice.len[a]).collect(),
        step: axes.iter().map(|&a| slice.step[a]).collect(),
    }
}

fn slice_of_broadcast(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Slice(slice) = op else { return None };
    let (source, broadcast) = r.as_broadcast(x[0])?;
    let axes = broadcast.axes.clone();
    let shape: Shape = slice.len.iter().copied().collect();
    let smaller = slice_on(slice, |a| !axes.contains(&a));
    let source = if smaller.len.is_empty() { source } else { r.emit(smaller.into(), &[source]) };
    Some(r.broadcast(source, shape, axes))
}

fn slice_of_slice(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Slice(outer) = op else { return None };
    let Op::Slice(inner) = r.op(x[0]) else { return None };
    let source = r.operands(x[0])[0];
    let mut merged = Slice { start: Dims::new(), len: outer.len.clone(), step: Dims::new() };
    for axis in 0..outer.len.len() {
        let empty = outer.len[axis] == 0;
        let start = inner.start[axis] as isize + outer.start[axis] as isize * inner.step[axis];
        merged.start.push(if empty { 0 } else { start as usize });
        merged.step.push(if empty { 1 } else { inner.step[axis] * outer.step[axis] });
    }
    Some(r.emit(merged.into(), &[source]))
}

/// First and last index that a slice takes on an axis, the smaller first. `None` if it takes none.
fn span(slice: &Slice, axis: usize) -> Option<(usize, usize)> {
    let steps = slice.len[axis].checked_sub(1)? as isize;
    let (first, last) = (slice.start[axis], (slice.start[axis] as isize + steps * slice.step[axis]) as usize);
    Some((first.min(last), first.max(last)))
}

fn slice_of_concat(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Slice(slice) = op else { return None };
    let &Op::Concat(Concat { axis }) = r.op(x[0]) else {
        return None;
    };
    let (first, last) = span(slice, axis)?;
    let mut before = 0;
    for &part in r.operands(x[0]) {
        let extent = r.graph().shape(part)[axis];
        if before <= first && last < before + extent {
            let mut inner = Slice::clone(slice);
            inner.start[axis] -= before;
            return Some(r.emit(inner.into(), &[part]));
        }
        before += extent;
    }
    None
}

fn slice_of_pad(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Slice(slice) = op else { return None };
    let Op::Pad(pad) = r.op(x[0]) else { return None };
    let source = r.operands(x[0])[0];
    let extents = r.graph().shape(source).clone();
    let mut inner = Slice::clone(slice);
    let mut only_operand = true;
    let mut only_padding = false;
    for axis in 0..extents.rank() {
        let (first, last) = span(slice, axis)?;
        let (low, pitch) = (pad.low[axis], pad.interior[axis] + 1);
        let end = low + extents[axis].saturating_sub(1) * pitch;
        only_padding |= extents[axis] == 0 || last < low || first > end;
        let step = slice.step[axis];
        let single = slice.len[axis] == 1;
        let on_elements = extents[axis] > 0
            && first >= low
            && last <= end
            && (slice.start[axis] - low) % pitch == 0
            && (single || step % pitch as isize == 0);
        only_operand &= on_elements;
        if on_elements {
            inner.start[axis] = (slice.start[axis] - low) / pitch;
            inner.step[axis] = if single { 1 } else { step / pitch as isize };
        }
    }
    if only_padding {
        let value = f64::from_bits(pad.value);
        let ty = r.graph().ty(x[0]).dtype;
        let ty = crate::graph::TensorType::new(ty, &slice.len[..]);
        return Some(r.full(&ty, value));
    }
    only_operand.then(|| r.emit(inner.into(), &[source]))
}

fn pad_of_pad(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let Op::Pad(outer) = op else { return None };
    let Op::Pad(inner) = r.op(x[0]) else { return None };
    let plain = |p: &Pad| p.interior.iter().all(|&i| i == 0);
    if !plain(outer) || !plain(inner) || outer.value != inner.value {
        return None;
    }
    let source = r.operands(x[0])[0];
    let add = |a: &Dims, b: &Dims| a.iter().zip(b).map(|(a, b)| a + b).collect();
    let merged = Pad { low: add(&outer.low, &inner.low), high: add(&outer.high, &inner.high), ..Pad::clone(outer) };
    Some(r.emit(merged.into(), &[source]))
}

fn concat_of_concat(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let &Op::Concat(Concat { axis }) = op else { return None };
    let nested = |id: NodeId| matches!(r.op(id), Op::Concat(c) if c.axis == axis);
    let empty = |id: NodeId| r.graph().shape(id)[axis] == 0;
    if !x.iter().any(|&id| nested(id) || empty(id)) || x.iter().all(|&id| empty(id)) {
        return None;
    }
    let mut parts = Operands::new();
    for &id in x.iter().filter(|&&id| !empty(id)) {
        if nested(id) {
            parts.extend_from_slice(r.operands(id));
        } else {
            parts.push(id);
        }
    }
    Some(r.emit(Concat { axis }.into(), &parts))
}

fn concat_of_slices(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let &Op::Concat(Concat { axis }) = op else { return None };
    let mut parts: SmallVec<[NodeId; 3]> = SmallVec::new();
    let mut merged = false;
    for &part in x {
        if let Some(last) = parts.last_mut()
            && let Some((source, joined)) = join_slices(r, *last, part, axis)
        {
            *last = r.emit(joined.into(), &[source]);
            merged = true;
            continue;
        }
        parts.push(part);
    }
    merged.then(|| r.emit(Concat { axis }.into(), &parts))
}

/// The slice that two slices of one tensor, one behind the other along `axis`, are together.
fn join_slices(r: &Rewriter<'_>, a: NodeId, b: NodeId, axis: usize) -> Option<(NodeId, Slice)> {
    let (Op::Slice(first), Op::Slice(second)) = (r.op(a), r.op(b)) else {
        return None;
    };
    let source = r.operands(a)[0];
    if source != r.operands(b)[0] || first.step != second.step {
        return None;
    }
    let next = first.start[axis] as isize + first.len[axis] as isize * first.step[axis];
    let follows = |i: usize| {
        if i == axis {
            next == second.start[axis] as isize
        } else {
            first.start[i] == second.start[i] && first.len[i] == second.len[i]
        }
    };
    if !(0..first.len.len()).all(follows) {
        return None;
    }
    let mut joined = Slice::clone(first);
    joined.len[axis] += second.len[axis];
    Some((source, joined))
}

fn gather_of_iota(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    let &Op::Gather(Gather { batch, .. }) = op else {
        return None;
    };
    let Op::Iota(iota) = r.op(x[1]) else { return None };
    let shape = r.graph().shape(x[0]);
    let count = *iota.ty.shape.get(batch)?;
    if iota.axis != batch || iota.ty.shape.rank() != batch + 1 || count > shape[batch] {
        return None;
    }
    let mut slice = Slice {
        start: Dims::from_elem(0, shape.rank()),
        len: shape.iter().copied().collect(),
        step: Dims::from_elem(1, shape.rank()),
    };
    slice.len[batch] = count;
    Some(r.emit(slice.into(), &x[..1]))
}

fn sum_of_pads(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let (Op::Pad(a), Op::Pad(b)) = (r.op(x[0]), r.op(x[1])) else {
        return None;
    };
    let zeros = |p: &Pad| f64::from_bits(p.value) == 0.0 && p.interior.iter().all(|&i| i == 0);
    if !zeros(a) || !zeros(b) {
        return None;
    }
    // They lie side by side along the one axis on which their places differ.
    let rank = a.low.len();
    let mut different = (0..rank).filter(|&i| a.low[i] != b.low[i] || a.high[i] != b.high[i]);
    let axis = different.next()?;
    if different.next().is_some() {
        return None;
    }
    let (first, second) = if a.low[axis] <= b.low[axis] { (0, 1) } else { (1, 0) };
    let pads = [a, b];
    let parts = [r.operands(x[first])[0], r.operands(x[second])[0]];
    if pads[first].low[axis] + r.graph().shape(parts[0])[axis] != pads[second].low[axis] {
        return None;
    }
    let mut joined = Pad::clone(pads[first]);
    joined.high[axis] = pads[second].high[axis];
    let together = r.emit(Concat { axis }.into(), &parts);
    Some(r.emit(joined.into(), &[together]))
}

fn map_of_transposes(r: &mut Rewriter<'_>, op: &Op, x: &[NodeId]) -> Option<NodeId> {
    if !matches!(op, Op::Map(_)) {
        return None;
    }
    let mut permutation: Option<&Dims> = None;
    let mut count = 0;
    for &operand in x {
        if r.splat_source(operand).is_some() {
            continue;
        }
        let (_, transpose) = r.as_transpose(operand)?;
        if permutation.is_some_and(|p| *p != transpose.permutation) || !r.sole_use(operand) {
            return None;
        }
        permutation = Some(&transpose.permutation);
        count += 1;
    }
    let permutation = permutation.filter(|_| count > 1)?.clone();
    let shape = x.iter().find_map(|&o| r.as_transpose(o)).map(|(source, _)| r.graph().shape(source).clone())?;
    let mut inner = Operands::new();
    for &operand in x {
        inner.push(match r.splat_source(operand) {
            Some(scalar) => r.broadcast_new(scalar, &shape),
            None => r.operands(operand)[0],
        });
    }
    let value = r.emit(op.clone(), &inner);
    Some(r.transpose(value, permutation))
}
