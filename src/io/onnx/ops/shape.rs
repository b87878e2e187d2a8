//! Operators that move elements or make them: shapes, slices, joints, constants.

use smallvec::SmallVec;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Dims, Shape, TensorType};
use crate::prim::Iota;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, concat, whole};
use super::super::dtype::OnnxType;
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{
    Node, Results, Value, axes_of, axis_of, constant_ints, count_of, counts_of, one, tensor_type,
};
use super::{Held, Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("Shape", 1, shape).held(Held::Asks),
    op("Size", 1, |node| {
        let n = node.element(0)?.0.shape().numel() as i64;
        one(constant_ints(node.g(), DType::I64, &[], vec![n]))
    })
    .held(Held::Asks),
    op("Reshape", 1, reshape).held(Held::Moves),
    op("Flatten", 1, flatten).held(Held::Moves),
    op("Squeeze", 1, squeeze).held(Held::Moves),
    op("Unsqueeze", 1, unsqueeze).held(Held::Moves),
    op("Transpose", 1, transpose).held(Held::Moves),
    op("Concat", 1, |node| {
        let tensors = node.inputs()?;
        let rank = tensors.first().map_or(0, |t| t.rank());
        one(concat(&tensors, node.axis("axis", 1, rank)?))
    })
    .held(Held::Moves),
    op("Split", 1, split).held(Held::MovesAll),
    op("Slice", 1, slice).held(Held::Moves),
    op("Expand", 8, expand).held(Held::Moves),
    op("Tile", 1, tile).held(Held::Moves),
    op("Constant", 1, constant).held(Held::Asks),
    op("ConstantOfShape", 9, constant_of_shape).held(Held::Asks),
    op("Range", 11, range).held(Held::Orders),
    op("EyeLike", 9, eye_like),
    op("Trilu", 14, trilu).held(Held::Fills),
    op("DepthToSpace", 1, depth_to_space).held(Held::Moves),
    op("SpaceToDepth", 1, space_to_depth).held(Held::Moves),
    op("ReverseSequence", 10, reverse_sequence).held(Held::Moves),
    op("CenterCropPad", 18, center_crop_pad).held(Held::Fills),
];

/// The extents, from axis `start` to before axis `end`.
fn shape<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let shape = node.element(0)?.0.shape();
    let rank = shape.rank() as i64;
    let clamp = |axis: i64| if axis < 0 { axis.saturating_add(rank) } else { axis }.clamp(0, rank) as usize;
    let (start, end) = match node.version {
        15.. => (clamp(node.int("start", 0)?), node.int_optional("end")?.map_or(shape.rank(), clamp)),
        _ => (0, shape.rank()),
    };
    let extents: Vec<i64> = shape[start..end.max(start)].iter().map(|&d| d as i64).collect();
    one(constant_ints(node.g(), DType::I64, &[extents.len()], extents))
}

/// A target of 0 keeps the extent, unless zeros are allowed; -1 stands for what is left.
fn reshape<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let target = match node.version {
        ..5 => node.ints("shape")?.unwrap_or_default(),
        _ => node.known_ints(1)?,
    };
    let keeps = node.version < 14 || !node.flag("allowzero", false)?;
    let shape = x.shape();
    let mut open = None;
    let mut extents: Dims = SmallVec::new();
    for (axis, &extent) in target.iter().enumerate() {
        extents.push(match extent {
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            -1 => return invalid("two extents are to be inferred"),
            0 if keeps => match shape.get(axis) {
                Some(&extent) => extent,
                None => return invalid(format!("there is no axis {axis} in {shape} whose extent could be kept")),
            },
            n => count_of(n)?,
        });
    }
    if let Some(axis) = open {
        let others = Shape::from(&extents[..]).checked_numel();
        let Some(others) = others.filter(|&n| n > 0 && shape.numel() % n == 0) else {
            return invalid(format!("no extent of axis {axis} makes {target:?} of {shape}"));
        };
        extents[axis] = shape.numel() / others;
    }
    one(x.shaped(&extents[..]))
}

/// Two axes: those before `axis` and those from it on.
fn flatten<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let shape = x.shape();
    let axis = node.int("axis", 1)?;
    let at = if axis == shape.rank() as i64 { shape.rank() } else { axis_of(axis, shape.rank())? };
    one(x.shaped([shape[..at].iter().product(), shape[at..].iter().product()]))
}

/// The axes of `Squeeze` and `Unsqueeze`: an attribute before version 13, an operand from then on.
fn axes<'g>(node: &Node<'_, 'g>) -> Result<Option<Vec<i64>>, Fault> {
    if node.version < 13 { node.ints("axes") } else { node.known_ints_optional(1) }
}

fn squeeze<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let shape = x.shape();
    let axes: Dims = match axes(node)? {
        Some(axes) => axes_of(&axes, shape.rank())?,
        None => (0..shape.rank()).filter(|&a| shape[a] == 1).collect(),
    };
    match axes.iter().find(|&&a| shape[a] != 1) {
        Some(axis) => invalid(format!("axis {axis} of {shape} has not extent 1")),
        None => one(x.shaped(shape.without(&axes))),
    }
}

fn unsqueeze<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let Some(axes) = axes(node)? else { return invalid("the axes are missing") };
    let shape = x.shape();
    let new = axes_of(&axes, shape.rank() + axes.len())?;
    let mut own = shape.iter().copied();
    let extent = |axis: usize| if new.contains(&axis) { 1 } else { own.next().unwrap_or(1) };
    one(x.shaped((0..shape.rank() + axes.len()).map(extent).collect::<Shape>()))
}

fn transpose<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let permutation = match node.ints("perm")? {
        Some(list) => counts_of(&list)?,
        None => (0..x.rank()).rev().collect(),
    };
    one(x.permute(&permutation))
}

fn split<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let axis = node.axis("axis", 0, x.rank())?;
    let extent = x.shape()[axis];
    let sizes = match node.version {
        1 => node.known_ints_optional(1)?.or(node.ints("split")?),
        2..13 => node.ints("split")?,
        _ => node.known_ints_optional(1)?,
    };
    let sizes = match sizes {
        Some(sizes) => counts_of(&sizes)?,
        None => {
            let parts = match node.version {
                18.. => count_of(node.int("num_outputs", 0)?)?,
                _ => node.proto.output.len(),
            };
            if parts == 0 || parts > node.proto.output.len() {
                return invalid(format!("{parts} parts for {} results", node.proto.output.len()));
            }
            // The last part is the smaller one.
            let size = extent.div_ceil(parts);
            (0..parts).map(|i| size.min(extent.saturating_sub(i * size))).collect()
        }
    };
    let mut from = 0usize;
    let mut parts = Vec::with_capacity(sizes.len());
    for &size in &sizes {
        parts.push(Value::Tensor(x.part(axis, from, size)?));
        from = from.saturating_add(size);
    }
    if from == extent { Ok(parts) } else { invalid(format!("parts {sizes:?} do not add up to the extent {extent}")) }
}

fn slice<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let shape = x.shape();
    let (starts, ends, axes, steps) = match node.version {
        ..10 => {
            let given = |list: Option<Vec<i64>>| list.unwrap_or_default();
            (given(node.ints("starts")?), given(node.ints("ends")?), node.ints("axes")?, None)
        }
        _ => {
            let (axes, steps) = (node.known_ints_optional(3)?, node.known_ints_optional(4)?);
            (node.known_ints(1)?, node.known_ints(2)?, axes, steps)
        }
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return invalid("starts, ends, axes and steps differ in count");
    }
    let mut slice = whole(&shape);
    for (i, axis) in axes_of(&axes, shape.rank())?.into_iter().enumerate() {
        let (extent, step) = (shape[axis] as i64, steps[i]);
        if step == 0 {
            return invalid("a step is 0");
        }
        let from_front = |at: i64| if at < 0 { at.saturating_add(extent) } else { at };
        // A step back may begin with the last element and end before the first.
        let (low, high) = if step > 0 { (0, extent) } else { (-1, extent - 1) };
        let start = from_front(starts[i]).clamp(low.max(0), high.max(0));
        let end = from_front(ends[i]).clamp(low, high);
        let distance = if step > 0 { end - start } else { start - end };
        let len = if extent == 0 || distance <= 0 { 0 } else { (distance as u64).div_ceil(step.unsigned_abs()) };
        slice.len[axis] = len as usize;
        (slice.start[axis], slice.step[axis]) = if len == 0 { (0, 1) } else { (start as usize, step as isize) };
    }
    one(if slice == whole(&shape) { Ok(x) } else { x.push1(slice) })
}

/// Both the operand and the shape broadcast.
fn expand<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let target = Shape::from(&counts_of(&node.known_ints(1)?)?[..]);
    one(x.broadcast(&super::super::checked::joined(&[x.shape(), target])?))
}

fn tile<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let shape = x.shape();
    let repeats = if node.version < 6 {
        // One count, for one axis.
        let number = |i: usize| match &node.known(i)?.to_f64_vec()[..] {
            // Both have the type of the operand.
            &[number] if number.fract() == 0.0 => Ok(number as i64),
            _ => invalid("takes one count and one axis"),
        };
        let (count, axis) = (number(1)?, number(2)?);
        let mut repeats: Dims = SmallVec::from_elem(1, shape.rank());
        repeats[axis_of(axis, shape.rank())?] = count_of(count)?;
        repeats
    } else {
        counts_of(&node.known_ints(1)?)?
    };
    one(repeated(x, &repeats))
}

/// The whole tensor `repeats[i]` times along axis `i`.
pub(super) fn repeated<'g>(x: Tensor<'g>, repeats: &[usize]) -> Made<'g> {
    let shape = x.shape();
    if repeats.len() != shape.rank() {
        return invalid(format!("{} counts for {} axes", repeats.len(), shape.rank()));
    }
    let pairs = |f: &dyn Fn(usize) -> [usize; 2]| -> Shape { (0..shape.rank()).flat_map(f).collect() };
    let apart = x.shaped(pairs(&|a| [1, shape[a]]))?;
    let apart = apart.broadcast(&pairs(&|a| [repeats[a], shape[a]]))?;
    apart.shaped((0..shape.rank()).map(|a| repeats[a].saturating_mul(shape[a])).collect::<Shape>())
}

fn constant<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let g = node.g();
    if let Some((array, own)) = node.array("value")? {
        return Ok(vec![own.value(g.constant(array))]);
    }
    if let Some(v) = node.float_optional("value_float")? {
        return one(Ok(g.constant(Array::scalar(v as f32))));
    }
    if let Some(list) = node.floats("value_floats")? {
        return one(Ok(g.constant(Array::from(list))));
    }
    if let Some(v) = node.int_optional("value_int")? {
        return one(Ok(g.constant(Array::scalar(v))));
    }
    if let Some(list) = node.ints("value_ints")? {
        return one(Ok(g.constant(Array::from(list))));
    }
    let given = node.proto.attribute.iter().find_map(|a| a.name.as_deref());
    match given {
        Some(name @ ("sparse_value" | "value_string" | "value_strings")) => unsupported(format!("attribute `{name}`")),
        _ => invalid("the value is missing"),
    }
}

fn constant_of_shape<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let shape = Shape::from(&counts_of(&node.known_ints(0)?)?[..]);
    let (value, own) = node.array("value")?.unwrap_or_else(|| (Array::scalar(0.0f32), OnnxType::of(DType::F32)));
    match value.reshaped(Shape::scalar()) {
        Ok(value) => Ok(vec![own.value(node.g().constant(value).broadcast(&shape)?)]),
        Err(error) => invalid(error.to_string()),
    }
}

/// `start`, `start + delta` .. before `limit`.
fn range<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    node.int("stash_type", 1)?;
    let parts = [node.known(0)?, node.known(1)?, node.known(2)?];
    let dtype = parts[0].dtype();
    if parts.iter().any(|p| p.shape().numel() != 1 || p.dtype() != dtype) {
        return invalid("takes three numbers of one type");
    }
    let count = if dtype.is_float() {
        let [start, limit, delta] = [0, 1, 2].map(|i| parts[i].get_f64(0));
        ((limit - start) / delta).ceil()
    } else {
        let mut numbers = Vec::new();
        for part in &parts {
            numbers.extend(super::super::node::ints_of(part)?.into_iter().map(i128::from));
        }
        let (distance, delta) = (numbers[1] - numbers[0], numbers[2]);
        match delta {
            0 => f64::NAN,
            // Both rounded up: the magnitudes are when the signs agree, and otherwise there is nothing.
            _ if (distance > 0) != (delta > 0) => 0.0,
            _ => distance.unsigned_abs().div_ceil(delta.unsigned_abs()) as f64,
        }
    };
    if count.is_nan() {
        return invalid("the step is 0 or no number");
    }
    if count > 1e12 {
        return invalid(format!("{count} numbers are too many"));
    }
    let n = count.max(0.0) as usize;
    let g = node.g();
    let [start, _, delta] = parts;
    let scalar = |a: &Array| a.clone().reshaped(Shape::scalar()).map_err(|e| Fault::Invalid(e.to_string()));
    // Floats of 16 bits are counted in single precision.
    let wide = if dtype.is_float() && dtype.size() < 4 { DType::F32 } else { dtype };
    let (start, delta) = (g.constant(scalar(&start)?).to(wide)?, g.constant(scalar(&delta)?).to(wide)?);
    let places = g.try_push(Iota { ty: tensor_type(wide, &[n])?, axis: 0 }, &[])?;
    one(places.f2(ScalarFn::Mul, delta)?.f2(ScalarFn::Add, start)?.to(dtype))
}

/// For each element of a matrix, its column less its row, as `i64`.
fn diagonals<'g>(node: &Node<'_, 'g>, rows: usize, columns: usize) -> Made<'g> {
    let ty = tensor_type(DType::I64, &[rows, columns])?;
    let place = |axis: usize| node.g().try_push(Iota { ty: ty.clone(), axis }, &[]);
    place(1)?.f2(ScalarFn::Sub, place(0)?)
}

fn eye_like<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let &[rows, columns] = &x.shape()[..] else { return invalid(format!("{} is no matrix", x.ty())) };
    let dtype = node.dtype("dtype")?.unwrap_or(x.dtype());
    let k = node.int("k", 0)?;
    let diagonals = diagonals(node, rows, columns)?;
    let k = node.g().constant(Array::scalar(k));
    one(diagonals.f2(ScalarFn::Eq, k)?.to(dtype))
}

fn trilu<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let shape = x.shape();
    let [.., rows, columns] = shape[..] else { return invalid(format!("{} has fewer than two axes", x.ty())) };
    let k = match node.optional(1)? {
        Some(k) if k.shape().numel() == 1 => k.shaped(Shape::scalar())?.to(DType::I64)?,
        Some(k) => return invalid(format!("the diagonal is {}", k.ty())),
        None => node.g().constant(Array::scalar(0i64)),
    };
    let f = if node.flag("upper", true)? { ScalarFn::Ge } else { ScalarFn::Le };
    one(diagonals(node, rows, columns)?.f2(f, k)?.choose(x, x.number(0.0)))
}

/// The extents of a batch of images.
fn images<'g>(x: Tensor<'g>) -> Result<[usize; 4], Fault> {
    <[usize; 4]>::try_from(&x.shape()[..]).or_else(|_| invalid(format!("{} is no batch of images", x.ty())))
}

fn block(node: &Node<'_, '_>) -> Result<usize, Fault> {
    match count_of(node.int("blocksize", 0)?)? {
        0 => invalid("the block size is 0"),
        block if block > 1 << 16 => invalid(format!("the block size {block} is too large")),
        block => Ok(block),
    }
}

fn depth_to_space<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let ([n, c, h, w], b) = (images(x)?, block(node)?);
    if c % (b * b) != 0 {
        return invalid(format!("blocks of {b} do not divide {c} channels"));
    }
    let c = c / (b * b);
    let spread = match node.text("mode", "DCR")? {
        "DCR" => x.shaped([n, b, b, c, h, w])?.permute(&[0, 3, 4, 1, 5, 2])?,
        "CRD" => x.shaped([n, c, b, b, h, w])?.permute(&[0, 1, 4, 2, 5, 3])?,
        other => return invalid(format!("mode `{other}` is neither DCR nor CRD")),
    };
    one(spread.shaped([n, c, h * b, w * b]))
}

fn space_to_depth<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let ([n, c, h, w], b) = (images(x)?, block(node)?);
    if h % b != 0 || w % b != 0 {
        return invalid(format!("blocks of {b} do not divide {h} x {w}"));
    }
    let cut = x.shaped([n, c, h / b, b, w / b, b])?;
    let order = match node.text("mode", "DCR")? {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        other => return invalid(format!("mode `{other}` is neither DCR nor CRD")),
    };
    one(cut.permute(&order)?.shaped([n, c * b * b, h / b, w / b]))
}

/// The first elements of each row turned round, as many as the row's length says.
fn reverse_sequence<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, lengths) = (node.input(0)?, node.input(1)?);
    let rank = x.rank();
    let (time, batch) = (node.axis("time_axis", 0, rank)?, node.axis("batch_axis", 1, rank)?);
    if time == batch {
        return invalid("the axes of time and batch are one");
    }
    let shape = x.shape();
    let (steps, rows) = (shape[time], shape[batch]);
    if lengths.shape()[..] != [rows] {
        return invalid(format!("the lengths are {}, expected {rows} of them", lengths.ty()));
    }
    let places = node.g().try_push(Iota { ty: tensor_type(DType::I64, &[rows, steps])?, axis: 1 }, &[])?;
    let lengths = lengths.to(DType::I64)?.unsqueezed(1)?;
    let turned = lengths.with(ScalarFn::Sub, 1.0)?.f2(ScalarFn::Sub, places)?;
    let index = places.f2(ScalarFn::Lt, lengths)?.choose(turned, places)?;
    // Batch and time first, then every row chooses from its own.
    let order: Dims = [batch, time].into_iter().chain((0..rank).filter(|&a| a != batch && a != time)).collect();
    let gather = crate::prim::Gather::new(1);
    let taken = node.g().try_push(gather, &[x.permute(&order)?, index])?;
    let mut back: Dims = SmallVec::from_elem(0, rank);
    for (i, &axis) in order.iter().enumerate() {
        back[axis] = i;
    }
    one(taken.permute(&back))
}

fn center_crop_pad<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let mut x = node.input(0)?;
    let target = counts_of(&node.known_ints(1)?)?;
    let axes = match node.ints("axes")? {
        Some(axes) => axes_of(&axes, x.rank())?,
        None => (0..x.rank()).collect(),
    };
    if axes.len() != target.len() {
        return invalid(format!("{} extents for {} axes", target.len(), axes.len()));
    }
    for (&axis, &to) in axes.iter().zip(&target) {
        let from = x.shape()[axis];
        if from > to {
            x = x.part(axis, (from - to) / 2, to)?;
        } else {
            let before = (to - from) / 2;
            let mut widths: Dims<(usize, usize)> = SmallVec::from_elem((0, 0), x.rank());
            widths[axis] = (before, to - from - before);
            x = x.padded(&widths, 0.0)?;
        }
    }
    one(Ok(x))
}

/// A tensor of this type with each element its index along an axis.
pub(super) fn places<'g>(node: &Node<'_, 'g>, ty: TensorType, axis: usize) -> Made<'g> {
    Ok(node.g().try_push(Iota { ty, axis }, &[])?)
}
