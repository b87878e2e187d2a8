//! The structural operations but for loops.

use crate::array::Array;
use crate::graph::{DType, Dims, Shape, TensorType};
use crate::prim::{Combine, Dot, Extremum, Gather, Op, Pad, Reduction, Scatter, Slice, Unwindow, Window};

use super::writer::{Writer, named, text};
use super::{dropping, plain, reduction};

/// The most elements that a table of places may have.
pub(super) const LARGEST: usize = 1 << 22;

/// Writes an operation on operands of these names and types, with a result of type `ty`.
pub(super) fn write(
    w: &mut Writer,
    op: &Op,
    x: &[&str],
    types: &[&TensorType],
    ty: &TensorType,
) -> Result<String, String> {
    Ok(match op {
        Op::Iota(iota) => {
            let extents: Dims = (0..ty.shape.rank()).map(|a| if a == iota.axis { ty.shape[a] } else { 1 }).collect();
            if ty.shape[iota.axis] > LARGEST {
                return Err(format!("{} places are too many", ty.shape[iota.axis]));
            }
            let small = TensorType::new(ty.dtype, &extents[..]);
            let line = crate::prim::Iota { ty: small.clone(), axis: iota.axis };
            let places = w.constant(Op::from(line).eval(&[], &small));
            expand(w, &places, &ty.shape)
        }
        Op::Cast(_) => w.cast(x[0], ty.dtype),
        Op::Reduce(reduce) => {
            let axes: Vec<i64> = reduce.axes.iter().map(|&a| a as i64).collect();
            let axes = w.ints(&axes);
            let narrow = matches!(ty.dtype, DType::Bool | DType::U8 | DType::U32);
            let operand = if narrow { w.cast(x[0], DType::I64) } else { x[0].to_owned() };
            let folded = w.emit(reduction(reduce.reduction), &[&operand, &axes], dropping());
            if narrow { w.cast(&folded, ty.dtype) } else { folded }
        }
        Op::ArgReduce(arg) => {
            let operator = if arg.extremum == Extremum::Max { "ArgMax" } else { "ArgMin" };
            let operand = if types[0].dtype == DType::Bool { w.cast(x[0], DType::I32) } else { x[0].to_owned() };
            let attributes = vec![named("axis", arg.axis as i64), named("keepdims", 0)];
            let place = w.emit(operator, &[&operand], attributes);
            w.cast(&place, ty.dtype)
        }
        Op::Argsort(sort) => {
            let count = w.ints(&[ty.shape[sort.axis] as i64]);
            let attributes = vec![named("axis", sort.axis as i64), named("largest", i64::from(sort.descending))];
            let (values, places) = (w.fresh(), w.fresh());
            w.node("TopK", &[x[0], &count], &[&values, &places], attributes);
            w.cast(&places, ty.dtype)
        }
        Op::Cumulative(fold) if fold.reduction == Reduction::Sum => {
            let axis = w.constant(Array::scalar(fold.axis as i64));
            w.emit("CumSum", &[x[0], &axis], vec![named("reverse", i64::from(fold.reverse))])
        }
        Op::Broadcast(broadcast) => {
            let kept = |a: usize| if broadcast.axes.contains(&a) { 1 } else { ty.shape[a] };
            let shape: Dims = (0..ty.shape.rank()).map(kept).collect();
            let apart = w.reshape(x[0], &shape);
            expand(w, &apart, &ty.shape)
        }
        Op::Reshape(_) => w.reshape(x[0], &ty.shape),
        Op::Transpose(transpose) => w.transpose(x[0], &transpose.permutation),
        Op::Slice(slice) => write_slice(w, slice, x[0]),
        Op::Pad(pad) => write_pad(w, pad, x[0], ty)?,
        Op::Concat(concat) => w.emit("Concat", x, vec![named("axis", concat.axis as i64)]),
        Op::Dot(dot) => write_dot(w, dot, x, types, ty),
        Op::Gather(gather) => write_gather(w, gather, x, types, ty),
        Op::Scatter(scatter) => write_scatter(w, scatter, x, types, ty)?,
        Op::Window(window) => write_window(w, window, x[0], types[0])?,
        Op::Unwindow(unwindow) => write_unwindow(w, unwindow, x[0], types[0], ty)?,
        _ => return Err("there is no such operator".to_owned()),
    })
}

fn expand(w: &mut Writer, x: &str, shape: &Shape) -> String {
    let extents: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    let target = w.ints(&extents);
    w.emit("Expand", &[x, &target], plain())
}

fn write_slice(w: &mut Writer, slice: &Slice, x: &str) -> String {
    let rank = slice.start.len();
    let (mut starts, mut ends, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for axis in 0..rank {
        let (start, len) = (slice.start[axis] as i64, slice.len[axis] as i64);
        let step = if len > 1 { slice.step[axis] as i64 } else { 1 };
        let end = start + len * step;
        starts.push(start);
        // Before the first element, in a way that does not count from the last.
        ends.push(if end < 0 { i64::MIN } else { end });
        steps.push(step);
    }
    let axes: Vec<i64> = (0..rank as i64).collect();
    let lists = [starts, ends, axes, steps].map(|list| w.ints(&list));
    w.emit("Slice", &[x, &lists[0], &lists[1], &lists[2], &lists[3]], plain())
}

fn write_pad(w: &mut Writer, pad: &Pad, x: &str, ty: &TensorType) -> Result<String, String> {
    if pad.interior.iter().any(|&n| n > 0) {
        return Err("elements between those of the operand".to_owned());
    }
    let widths: Vec<i64> = pad.low.iter().chain(&pad.high).map(|&n| n as i64).collect();
    let (widths, value) = (w.ints(&widths), w.number(ty.dtype, f64::from_bits(pad.value)));
    Ok(w.emit("Pad", &[x, &widths, &value], plain()))
}

/// A product of matrices: batch axes first, the axes of each kind made one.
fn write_dot(w: &mut Writer, dot: &Dot, x: &[&str], types: &[&TensorType], ty: &TensorType) -> String {
    let (l, r) = (&types[0].shape, &types[1].shape);
    let free = |rank: usize, batch: &Dims, contract: &Dims| -> Dims {
        (0..rank).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
    };
    let (l_free, r_free) =
        (free(l.rank(), &dot.lhs_batch, &dot.lhs_contract), free(r.rank(), &dot.rhs_batch, &dot.rhs_contract));
    let count = |shape: &Shape, axes: &Dims| -> usize { axes.iter().map(|&a| shape[a]).product() };
    let (b, m, n, k) = (count(l, &dot.lhs_batch), count(l, &l_free), count(r, &r_free), count(l, &dot.lhs_contract));
    let arranged = |w: &mut Writer, x: &str, order: Dims, shape: &[usize], own: &Shape| {
        let sorted = order.iter().enumerate().all(|(i, &a)| i == a);
        let x = if sorted { x.to_owned() } else { w.transpose(x, &order) };
        if sorted && own[..] == *shape { x } else { w.reshape(&x, shape) }
    };
    let batched = !dot.lhs_batch.is_empty();
    // Rows of any number of axes, as exporters write them.
    let rows = !batched && dot.lhs_contract[..] == [l.rank() - 1] && r.rank() == 2 && dot.rhs_contract[..] == [0];
    if rows && l.rank() > 1 && ty.dtype.is_float() {
        return w.emit("MatMul", x, plain());
    }
    let dims = |rows: usize, columns: usize| if batched { vec![b, rows, columns] } else { vec![rows, columns] };
    let l_order: Dims = dot.lhs_batch.iter().chain(&l_free).chain(&dot.lhs_contract).copied().collect();
    let r_order: Dims = dot.rhs_batch.iter().chain(&dot.rhs_contract).chain(&r_free).copied().collect();
    let left = arranged(w, x[0], l_order, &dims(m, k), l);
    let right = arranged(w, x[1], r_order, &dims(k, n), r);
    let narrow = matches!(ty.dtype, DType::U8);
    let (left, right) = if narrow { (w.cast(&left, DType::I32), w.cast(&right, DType::I32)) } else { (left, right) };
    let product = w.emit("MatMul", &[&left, &right], plain());
    let product = if narrow { w.cast(&product, ty.dtype) } else { product };
    if ty.shape[..] == dims(m, n)[..] { product } else { w.reshape(&product, &ty.shape) }
}

/// Indices in `i64`, and where they are in range.
fn in_range(w: &mut Writer, index: &str, extent: usize) -> (String, String) {
    let index = w.cast(index, DType::I64);
    let (zero, end) = (w.constant(Array::scalar(0i64)), w.constant(Array::scalar(extent as i64)));
    let (low, high) = (w.emit("GreaterOrEqual", &[&index, &zero], plain()), w.emit("Less", &[&index, &end], plain()));
    let inside = w.emit("And", &[&low, &high], plain());
    (index, inside)
}

/// `GatherND` of rows behind the batch axes, with the fill where an index is out of range.
fn write_gather(w: &mut Writer, gather: &Gather, x: &[&str], types: &[&TensorType], ty: &TensorType) -> String {
    let (shape, chosen, batch) = (&types[0].shape, &types[1].shape, gather.batch);
    let extent = shape[batch];
    let (index, inside) = in_range(w, x[1], extent);
    let zero = w.constant(Array::scalar(0i64));
    let safe = w.emit("Where", &[&inside, &index, &zero], plain());
    let taken = if batch == 0 {
        w.emit("Gather", &[x[0], &safe], vec![named("axis", 0)])
    } else {
        let rows: usize = shape[..batch].iter().product();
        let inner: usize = shape[batch + 1..].iter().product();
        let choices: usize = chosen[batch..].iter().product();
        let table = w.reshape(x[0], &[rows, extent, inner]);
        let lists = w.reshape(&safe, &[rows, choices, 1]);
        let taken = w.emit("GatherND", &[&table, &lists], vec![named("batch_dims", 1)]);
        w.reshape(&taken, &ty.shape)
    };
    // The mask stands at the axes of the index.
    let mut extents: Dims = chosen.iter().copied().collect();
    extents.resize(ty.shape.rank(), 1);
    let mask = w.reshape(&inside, &extents);
    let fill = w.number(ty.dtype, f64::from_bits(gather.fill));
    w.select(&mask, &taken, &fill, ty.dtype)
}

/// `ScatterND` into rows with one more at the end, for indices out of range.
fn write_scatter(
    w: &mut Writer,
    scatter: &Scatter,
    x: &[&str],
    types: &[&TensorType],
    ty: &TensorType,
) -> Result<String, String> {
    let (shape, chosen, batch) = (&types[0].shape, &types[1].shape, scatter.batch);
    let extent = shape[batch];
    let rows: usize = shape[..batch].iter().product();
    let inner: usize = shape[batch + 1..].iter().product();
    let choices: usize = chosen[batch..].iter().product();
    if rows > LARGEST {
        return Err(format!("{rows} rows are too many"));
    }
    let how = match scatter.combine {
        Combine::Set => "none",
        Combine::Add => "add",
        Combine::Mul => "mul",
        Combine::Max => "max",
        Combine::Min => "min",
    };
    let (index, inside) = in_range(w, x[1], extent);
    let begins: Vec<i64> = (0..rows).map(|r| (r * extent) as i64).collect();
    let mut along: Vec<usize> = shape[..batch].to_vec();
    along.resize(chosen.rank(), 1);
    let begins = Array::from(begins).reshaped(along).map_err(|e| e.to_string())?;
    let begins = w.constant(begins);
    let number = w.emit("Add", &[&index, &begins], plain());
    let beyond = w.constant(Array::scalar((rows * extent) as i64));
    let number = w.emit("Where", &[&inside, &number, &beyond], plain());
    let lists = w.reshape(&number, &[rows * choices, 1]);
    let table = w.reshape(x[0], &[rows * extent, inner]);
    let (widths, zero) = (w.ints(&[0, 0, 1, 0]), w.number(ty.dtype, 0.0));
    let table = w.emit("Pad", &[&table, &widths, &zero], plain());
    let updates = w.reshape(x[2], &[rows * choices, inner]);
    let changed = w.emit("ScatterND", &[&table, &lists, &updates], vec![text("reduction", how)]);
    let ends = [w.ints(&[0]), w.ints(&[(rows * extent) as i64])];
    let kept = w.emit("Slice", &[&changed, &ends[0], &ends[1], &ends[0]], plain());
    Ok(w.reshape(&kept, &ty.shape))
}

/// Each axis of windows by a table of places; then the elements of windows behind all other axes.
fn write_window(w: &mut Writer, window: &Window, x: &str, operand: &TensorType) -> Result<String, String> {
    let windows = &window.windows;
    let mut x = x.to_owned();
    let rank = operand.shape.rank();
    // From the last axis on, so that those before keep their numbers.
    for (i, &axis) in windows.axes.iter().enumerate().rev() {
        let (count, size) = (windows.count(i, operand.shape[axis]), windows.sizes[i]);
        if count.saturating_mul(size) > LARGEST {
            return Err(format!("{count} windows of {size} elements are too many"));
        }
        let at = |o: usize, k: usize| (o * windows.strides[i] + k * windows.dilations[i]) as i64;
        let places: Vec<i64> = (0..count).flat_map(|o| (0..size).map(move |k| (o, k))).map(|(o, k)| at(o, k)).collect();
        let places = w.constant(Array::new([count, size], places).map_err(|e| e.to_string())?);
        x = w.emit("Gather", &[&x, &places], vec![named("axis", axis as i64)]);
    }
    let (mut outer, mut inner) = (Vec::new(), Vec::new());
    let mut at = 0;
    for axis in 0..rank {
        outer.push(at);
        at += 1;
        if windows.axes.contains(&axis) {
            inner.push(at);
            at += 1;
        }
    }
    outer.extend(inner);
    Ok(w.transpose(&x, &outer))
}

/// All elements of windows added to the places that they come from, in a line with one more place for those that are dropped.
fn write_unwindow(
    w: &mut Writer,
    unwindow: &Unwindow,
    x: &str,
    operand: &TensorType,
    ty: &TensorType,
) -> Result<String, String> {
    let (windows, shape, n) = (&unwindow.windows, &operand.shape, operand.shape.numel());
    if n > LARGEST {
        return Err(format!("{n} elements of windows are too many"));
    }
    let (strides, axes) = (ty.shape.strides(), windows.axes.len());
    let rank = shape.rank() - axes;
    let total = ty.shape.numel();
    let mut places = Vec::with_capacity(n);
    for element in 0..n {
        let (mut rest, mut at) = (element, vec![0usize; shape.rank()]);
        for axis in (0..shape.rank()).rev() {
            at[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        let place = (0..rank).try_fold(0i64, |sum, axis| {
            let own = match windows.axes.iter().position(|&a| a == axis) {
                None => at[axis] as i64,
                Some(i) => {
                    let place = at[axis] * windows.strides[i] + at[rank + i] * windows.dilations[i];
                    let place = place as i64 - unwindow.low[i] as i64;
                    (0..unwindow.extents[i] as i64).contains(&place).then_some(place)?
                }
            };
            Some(sum + own * strides[axis] as i64)
        });
        places.push(place.unwrap_or(total as i64));
    }
    let places = w.constant(Array::from(places));
    let zeros = w.constant(Array::zeros(&TensorType::new(ty.dtype, [])));
    let line = expand(w, &zeros, &Shape::from([total + 1]));
    let updates = w.reshape(x, &[n]);
    let sum = w.emit("ScatterElements", &[&line, &places, &updates], vec![named("axis", 0), text("reduction", "add")]);
    let ends = [w.ints(&[0]), w.ints(&[total as i64])];
    let kept = w.emit("Slice", &[&sum, &ends[0], &ends[1], &ends[0]], plain());
    Ok(w.reshape(&kept, &ty.shape))
}
