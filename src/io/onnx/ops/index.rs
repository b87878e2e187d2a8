//! Operators that choose elements by integers or by conditions.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Dims, Shape};
use crate::prim::{Argsort, Combine, Gather, Scatter};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, axis_of, constant_ints, count_of, ints_of, one, tensor_type};
use super::shape::places;
use super::{Held, Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("Gather", 1, gather).held(Held::Moves),
    op("GatherElements", 11, gather_elements).held(Held::Moves),
    op("GatherND", 11, gather_nd).held(Held::Moves),
    op("Scatter", 9, scatter_elements).held(Held::Orders),
    op("ScatterElements", 11, scatter_elements).held(Held::Orders),
    op("ScatterND", 11, scatter_nd).held(Held::Orders),
    op("OneHot", 9, one_hot),
    op("TopK", 1, top_k).held(Held::Chooses),
    op("NonZero", 9, non_zero).held(Held::Reads),
    op("Compress", 9, compress).held(Held::Moves),
    op("Unique", 11, unique).held(Held::Chooses),
];

/// Indices in `i64`, in which negative ones count from the end.
pub(super) fn from_front<'g>(index: Tensor<'g>, extent: usize) -> Made<'g> {
    if !index.dtype().is_int() {
        return invalid(format!("the indices are {}", index.ty()));
    }
    let unsigned = index.dtype().is_unsigned();
    let index = index.to(DType::I64)?;
    if unsigned {
        return Ok(index);
    }
    let moved = index.with(ScalarFn::Add, extent as f64)?;
    index.with(ScalarFn::Lt, 0.0)?.choose(moved, index)
}

/// Fails if indices that follow from constants choose what is not there. Their last axis counts `extents`; a single one is that of all indices.
///
/// Those that the program computes or is given are not looked at here: a run holds the inputs among them to the same ranges.
pub(super) fn expect_inside<'g>(node: &Node<'_, 'g>, index: Tensor<'g>, extents: &[usize]) -> Result<(), Fault> {
    let Some(known) = node.importer.constant(index) else { return Ok(()) };
    for (&place, &extent) in ints_of(&known)?.iter().zip(extents.iter().cycle()) {
        let inside = if place < 0 { place.unsigned_abs() <= extent as u64 } else { (place as u64) < extent as u64 };
        if !inside {
            return invalid(format!("index {place} is out of range for an axis of {extent} elements"));
        }
    }
    Ok(())
}

/// Operand `i` as indices into an axis of this extent.
pub(super) fn indices<'g>(node: &Node<'_, 'g>, i: usize, extent: usize) -> Made<'g> {
    let index = node.input(i)?;
    let places = from_front(index, extent)?;
    expect_inside(node, index, &[extent])?;
    Ok(places)
}

fn gather<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let axis = node.axis("axis", 0, x.rank())?;
    one(x.gathered(indices(node, 1, x.shape()[axis])?, axis))
}

fn gather_elements<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let axis = node.axis("axis", 0, x.rank())?;
    let index = indices(node, 1, x.shape()[axis])?;
    let (x, index) = lines(x, index, axis)?;
    let last = x.rank() - 1;
    one(node.g().try_push(Gather::new(last), &[x, index])?.moved(last, axis))
}

/// A tensor and one that chooses from its lines along `axis`, that axis last, and of the others as many elements as the choice has.
fn lines<'g>(x: Tensor<'g>, index: Tensor<'g>, axis: usize) -> Result<(Tensor<'g>, Tensor<'g>), Fault> {
    if x.rank() != index.rank() {
        return invalid(format!("{} and {} differ in rank", x.ty(), index.ty()));
    }
    let mut x = x;
    for (other, &extent) in index.shape().iter().enumerate() {
        if other != axis {
            x = x.part(other, 0, extent)?;
        }
    }
    let last = x.rank() - 1;
    Ok((x.moved(axis, last)?, index.moved(axis, last)?))
}

/// Numbers of the elements that lists of indices choose among the first axes of a tensor, made one.
fn numbered<'g>(index: Tensor<'g>, extents: &[usize]) -> Made<'g> {
    let last = index.rank() - 1;
    let mut number: Option<Tensor<'g>> = None;
    let mut outside: Option<Tensor<'g>> = None;
    for (i, &extent) in extents.iter().enumerate() {
        let place = from_front(index.at(last, i)?, extent)?;
        let out = place.with(ScalarFn::Lt, 0.0)?.f2(ScalarFn::Or, place.with(ScalarFn::Ge, extent as f64)?)?;
        outside = Some(outside.map_or(Ok(out), |o| o.f2(ScalarFn::Or, out))?);
        number = Some(match number {
            None => place,
            Some(n) => n.with(ScalarFn::Mul, extent as f64)?.f2(ScalarFn::Add, place)?,
        });
    }
    match (number, outside) {
        (Some(number), Some(outside)) => outside.choose(number.number(-1.0), number),
        // Lists of no indices choose everything.
        _ => index.fold(crate::prim::Reduction::Sum, &[last], false),
    }
}

/// A tensor and lists of indices into it: the axes that they count made one, and the numbers of the choices.
fn by_lists<'g>(node: &Node<'_, 'g>, batch: usize) -> Result<(Tensor<'g>, Tensor<'g>), Fault> {
    let (x, index) = (node.input(0)?, node.input(1)?);
    let (shape, chosen) = (x.shape(), index.shape());
    let Some(&count) = chosen.last() else { return invalid("the indices are a scalar") };
    if batch >= chosen.rank() || batch > shape.rank() || chosen[..batch] != shape[..batch] {
        return invalid(format!("{} and {} do not share {batch} axes", x.ty(), index.ty()));
    }
    if count > shape.rank() - batch {
        return invalid(format!("lists of {count} indices are too long for {}", x.ty()));
    }
    let end = batch + count;
    if !index.dtype().is_int() {
        return invalid("the indices are no integers");
    }
    expect_inside(node, index, &shape[batch..end])?;
    let number = numbered(index, &shape[batch..end])?;
    let counted: usize = shape[batch..end].iter().product();
    let flat: Shape = shape[..batch].iter().chain([&counted]).chain(&shape[end..]).copied().collect();
    Ok((x.shaped(flat)?, number))
}

fn gather_nd<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let batch = count_of(node.int("batch_dims", 0)?)?;
    let (x, index) = by_lists(node, batch)?;
    one(Ok(node.g().try_push(Gather::new(batch), &[x, index])?))
}

/// How updates meet elements.
fn combine(node: &Node<'_, '_>) -> Result<Combine, Fault> {
    match node.text("reduction", "none")? {
        "none" => Ok(Combine::Set),
        "add" => Ok(Combine::Add),
        "mul" => Ok(Combine::Mul),
        "max" => Ok(Combine::Max),
        "min" => Ok(Combine::Min),
        other => unsupported(format!("attribute `reduction` = {other}")),
    }
}

fn scatter_elements<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, index, updates) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let axis = node.axis("axis", 0, x.rank())?;
    let combine = combine(node)?;
    let (shape, chosen) = (x.shape(), index.shape());
    if chosen != updates.shape() || chosen.rank() != shape.rank() {
        return invalid(format!("{}, {} and {} do not fit", x.ty(), index.ty(), updates.ty()));
    }
    let index = indices(node, 1, shape[axis])?;
    let last = shape.rank() - 1;
    let fits = (0..shape.rank()).all(|a| a == axis || chosen[a] == shape[a]);
    if fits {
        let operands = [x.moved(axis, last)?, index.moved(axis, last)?, updates.moved(axis, last)?];
        return one(node.g().try_push(Scatter { batch: last, combine }, &operands)?.moved(last, axis));
    }
    // The choice has fewer lines than the tensor: the lists of all places, and the tensor as one line.
    let mut number: Option<Tensor<'g>> = None;
    for (a, &extent) in shape.iter().enumerate() {
        let ty = tensor_type(DType::I64, &chosen)?;
        let place = if a == axis { index } else { places(node, ty, a)? };
        number = Some(match number {
            None => place,
            Some(n) => n.with(ScalarFn::Mul, extent as f64)?.f2(ScalarFn::Add, place)?,
        });
    }
    let Some(number) = number else { return invalid("a scalar has no lines") };
    let out = index.with(ScalarFn::Lt, 0.0)?.f2(ScalarFn::Or, index.with(ScalarFn::Ge, shape[axis] as f64)?)?;
    let number = out.choose(number.number(-1.0), number)?;
    let line = x.shaped([shape.numel()])?;
    one(node.g().try_push(Scatter { batch: 0, combine }, &[line, number, updates])?.shaped(shape))
}

fn scatter_nd<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, updates) = (node.input(0)?, node.input(2)?);
    let combine = combine(node)?;
    let (flat, index) = by_lists(node, 0)?;
    one(node.g().try_push(Scatter { batch: 0, combine }, &[flat, index, updates])?.shaped(x.shape()))
}

/// The second of two values where the index is the place along a new axis, elsewhere the first.
fn one_hot<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (index, values) = (node.input(0)?, node.input(2)?);
    let depth = node.known(1)?;
    if depth.shape().numel() != 1 || values.shape()[..] != [2] {
        return invalid("takes one depth and two values");
    }
    let depth = depth.get_f64(0);
    if !(0.0..1e12).contains(&depth) {
        return invalid(format!("{depth} is no extent"));
    }
    let classes = depth as usize;
    let rank = index.rank();
    let axis = axis_of(node.int("axis", -1)?, rank + 1)?;
    let index = index.to(DType::I64)?;
    let negative = index.with(ScalarFn::Lt, 0.0)?;
    let index = negative.choose(index.with(ScalarFn::Add, classes as f64)?, index)?.unsqueezed(axis)?;
    let mut extents: Dims = SmallVec::from_elem(1, rank + 1);
    extents[axis] = classes;
    let place = places(node, tensor_type(DType::I64, &extents)?, axis)?;
    one(index.f2(ScalarFn::Eq, place)?.choose(values.at(0, 1)?, values.at(0, 0)?))
}

fn top_k<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let axis = node.axis("axis", -1, x.rank())?;
    let k = match node.version {
        ..10 => node.int("k", 0)?,
        _ => match node.known_ints(1)?[..] {
            [k] => k,
            _ => return invalid("takes one count"),
        },
    };
    let k = count_of(k)?;
    let descending = node.flag("largest", true)?;
    // Sorted results serve where any order will do.
    node.flag("sorted", true)?;
    if k > x.shape()[axis] {
        return invalid(format!("there are no {k} elements along axis {axis} of {}", x.ty()));
    }
    let order = x.push1(Argsort { axis, descending })?.part(axis, 0, k)?.to(DType::I64)?;
    let (lines, index) = lines(x, order, axis)?;
    let last = lines.rank() - 1;
    let values = node.g().try_push(Gather::new(last), &[lines, index])?.moved(last, axis)?;
    Ok(vec![values.into(), order.into()])
}

/// The places of elements other than 0, in row-major order, as columns.
fn non_zero<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.known(0)?;
    let (shape, strides) = (x.shape().clone(), x.shape().strides());
    let found: Vec<usize> = (0..shape.numel()).filter(|&i| x.get_f64(i) != 0.0).collect();
    let place = |axis: usize, i: usize| (i / strides[axis].unsigned_abs().max(1) % shape[axis].max(1)) as i64;
    let rows = (0..shape.rank()).flat_map(|axis| found.iter().map(move |&i| (axis, i)));
    let places: Vec<i64> = rows.map(|(axis, i)| place(axis, i)).collect();
    one(constant_ints(node.g(), DType::I64, &[shape.rank(), found.len()], places))
}

/// The slices along an axis for which a known condition holds; without an axis, of all elements in a row.
fn compress<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let condition = node.known(1)?;
    let (x, axis) = match node.int_optional("axis")? {
        Some(axis) => (x, axis_of(axis, x.rank())?),
        None => (x.shaped([x.shape().numel()])?, 0),
    };
    let extent = x.shape()[axis];
    let taken = (0..condition.shape().numel().min(extent)).filter(|&i| condition.get_f64(i) != 0.0);
    let taken: Vec<i64> = taken.map(|i| i as i64).collect();
    let index = constant_ints(node.g(), DType::I64, &[taken.len()], taken)?;
    one(x.gathered(index, axis))
}

/// Integers that are ordered, and equal, as the elements are. Zeros of both signs are equal, as are all NaN, which come last.
fn order_keys(array: &Array) -> Result<Vec<i64>, Fault> {
    if array.dtype().is_int() {
        return ints_of(array);
    }
    let key = |x: f64| {
        let x = if x.is_nan() { f64::NAN } else { x + 0.0 };
        let bits = x.to_bits() as i64;
        bits ^ (((bits >> 63) as u64) >> 1) as i64
    };
    Ok(array.to_f64_vec().into_iter().map(key).collect())
}

/// The different slices of a known array, the places where each comes first, for each slice its number, and how often each comes.
fn unique<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let known: Arc<Array> = node.known(0)?;
    let sorted = node.flag("sorted", true)?;
    let (shape, x) = (known.shape().clone(), node.input(0)?);
    let (x, axis) = match node.int_optional("axis")? {
        Some(axis) => (x, axis_of(axis, shape.rank())?),
        None => (x.shaped([shape.numel()])?, 0),
    };
    let shape = x.shape();
    let (extent, inner): (usize, usize) = (shape[axis], shape[axis + 1..].iter().product());
    let outer: usize = shape[..axis].iter().product();
    let keys = order_keys(&known)?;
    let slice = |i: usize| -> Vec<i64> {
        let at = |o: usize, n: usize| keys[(o * extent + i) * inner + n];
        (0..outer).flat_map(|o| (0..inner).map(move |n| (o, n))).map(|(o, n)| at(o, n)).collect()
    };
    let slices: Vec<Vec<i64>> = (0..extent).map(slice).collect();
    let mut order: Vec<usize> = (0..extent).collect();
    order.sort_by_key(|&i| &slices[i]);
    // Groups of equal slices, each with its members in order.
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match groups.last_mut() {
            Some(group) if slices[group[0]] == slices[i] => group.push(i),
            _ => groups.push(vec![i]),
        }
    }
    if !sorted {
        groups.sort_by_key(|group| group[0]);
    }
    let mut inverse = vec![0i64; extent];
    for (n, group) in groups.iter().enumerate() {
        group.iter().for_each(|&i| inverse[i] = n as i64);
    }
    let ints = |list: Vec<i64>| constant_ints(node.g(), DType::I64, &[list.len()], list);
    let first = ints(groups.iter().map(|group| group[0] as i64).collect())?;
    let counts = ints(groups.iter().map(|group| group.len() as i64).collect())?;
    Ok(vec![x.gathered(first, axis)?.into(), first.into(), ints(inverse)?.into(), counts.into()])
}
