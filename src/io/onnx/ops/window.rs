//! Operators with windows: convolution and pooling.

use smallvec::SmallVec;

use crate::array::Array;
use crate::build::{Conv, Tensor};
use crate::graph::{DType, Dims, Shape};
use crate::prim::{ArgReduce, Extremum, Reduction, Unwindow, Window, Windows};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, constant_ints, count_of, counts_of, one};
use super::norm::by_channel;
use super::shape::places;
use super::{Held, Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("Conv", 1, conv),
    op("ConvTranspose", 1, conv_transpose),
    op("MaxPool", 1, max_pool).held(Held::Chooses),
    op("AveragePool", 1, average_pool),
    op("LpPool", 1, lp_pool),
    op("GlobalMaxPool", 1, |node| one(spatial(node.input(0)?)?.fold_all(Reduction::Max))),
    op("GlobalAveragePool", 1, |node| {
        let global = spatial(node.float_input(0)?)?;
        one(global.fold_all(Reduction::Sum)?.with(ScalarFn::Div, global.count() as f64))
    }),
    op("GlobalLpPool", 1, global_lp_pool),
    op("Col2Im", 18, col2im),
    op("MaxUnpool", 9, max_unpool),
    op("ConvInteger", 10, conv_integer).held(Held::Asks),
    op("QLinearConv", 10, qlinear_conv).held(Held::Asks),
];

/// The most elements that all windows together may have.
pub(super) const MAX_WINDOWS: usize = 1 << 44;

/// How windows lie over spatial axes, with padding resolved.
pub(super) struct Geometry {
    pub windows: Windows,
    pub padding: Dims<(usize, usize)>,
    /// What the last windows have beyond the padding.
    beyond: Dims,
    pub counts: Dims,
    pub extents: Dims,
}

/// A list attribute with one entry for each spatial axis.
fn each(node: &Node<'_, '_>, name: &'static str, axes: usize, default: usize) -> Result<Dims, Fault> {
    let Some(list) = node.ints(name)? else { return Ok(SmallVec::from_elem(default, axes)) };
    if list.len() != axes {
        return invalid(format!("`{name}` has {} entries for {axes} spatial axes", list.len()));
    }
    counts_of(&list)
}

/// The padding that attributes give: by numbers, or by what the result's extents are to be.
fn padding(node: &Node<'_, '_>, extents: &[usize], windows: &Windows) -> Result<Dims<(usize, usize)>, Fault> {
    let axes = extents.len();
    let given = node.ints("pads")?;
    match node.text("auto_pad", "NOTSET")? {
        "NOTSET" => {
            let list = counts_of(&given.unwrap_or_else(|| vec![0; 2 * axes]))?;
            if list.len() != 2 * axes {
                return invalid(format!("`pads` has {} entries for {axes} spatial axes", list.len()));
            }
            Ok((0..axes).map(|i| (list[i], list[i + axes])).collect())
        }
        "VALID" => Ok(SmallVec::from_elem((0, 0), axes)),
        side @ ("SAME_UPPER" | "SAME_LOWER") => Ok((0..axes)
            .map(|i| {
                let count = extents[i].div_ceil(windows.strides[i]);
                let covered =
                    count.saturating_sub(1).saturating_mul(windows.strides[i]).saturating_add(windows.span(i));
                let total = covered.saturating_sub(extents[i]);
                let (less, more) = (total / 2, total - total / 2);
                if side == "SAME_UPPER" { (less, more) } else { (more, less) }
            })
            .collect()),
        other => invalid(format!("auto_pad `{other}` is not known")),
    }
}

/// The windows of a convolution or pooling with this kernel over axes 2 and on.
pub(super) fn geometry(node: &Node<'_, '_>, shape: &Shape, kernel: &[usize], ceil: bool) -> Result<Geometry, Fault> {
    let axes = kernel.len();
    if shape.rank() != axes + 2 || axes == 0 {
        return invalid(format!("a kernel of {axes} axes does not fit the shape {shape}"));
    }
    let windows = Windows {
        axes: (2..shape.rank()).collect(),
        sizes: kernel.iter().copied().collect(),
        strides: each(node, "strides", axes, 1)?,
        dilations: each(node, "dilations", axes, 1)?,
    };
    for (what, list) in [("size", &windows.sizes), ("stride", &windows.strides), ("dilation", &windows.dilations)] {
        if list.contains(&0) {
            return invalid(format!("a {what} of the windows {list:?} is 0"));
        }
    }
    let extents: Dims = shape[2..].iter().copied().collect();
    let padding = padding(node, &extents, &windows)?;
    let (mut counts, mut beyond) = (Dims::new(), Dims::new());
    let mut elements = shape[0].saturating_mul(shape[1]);
    for i in 0..axes {
        let ((low, high), span) = (padding[i], windows.span(i));
        let padded = extents[i].saturating_add(low).saturating_add(high);
        // A last window that reaches beyond the padding must begin before it.
        let count = windows.pooled(i, padded, extents[i].saturating_add(low), ceil);
        if count == 0 {
            let axis = i + 2;
            return invalid(format!(
                "a window that spans {span} elements does not fit axis {axis} of {padded} with padding"
            ));
        }
        counts.push(count);
        beyond.push(windows.covered(i, count).saturating_sub(padded));
        elements = elements.saturating_mul(count).saturating_mul(windows.sizes[i]);
    }
    if elements > MAX_WINDOWS {
        return invalid("the windows have too many elements");
    }
    Ok(Geometry { windows, padding, beyond, counts, extents })
}

impl Geometry {
    /// The windows of a tensor with `fill` around it, their elements on the last axes.
    fn slide<'g>(&self, x: Tensor<'g>, fill: f64) -> Made<'g> {
        let mut widths: Dims<(usize, usize)> = SmallVec::from_elem((0, 0), 2);
        widths.extend(self.padding.iter().zip(&self.beyond).map(|(&(low, high), &beyond)| (low, high + beyond)));
        x.padded(&widths, fill)?.push1(Window { windows: self.windows.clone() })
    }

    /// True if there is anything around the tensor.
    fn pads(&self) -> bool {
        self.padding.iter().zip(&self.beyond).any(|(&(low, high), &beyond)| low + high + beyond > 0)
    }

    /// The axes of the windows' elements.
    fn inner(&self) -> Dims {
        let axes = self.extents.len();
        (2 + axes..2 + 2 * axes).collect()
    }

    /// For each window of axis `i`, how many of its elements are there, or in the padding too.
    fn sizes(&self, i: usize, with_padding: bool) -> Vec<usize> {
        let (low, high) = self.padding[i];
        let inside = if with_padding { 0..low + self.extents[i] + high } else { low..low + self.extents[i] };
        let (stride, dilation) = (self.windows.strides[i], self.windows.dilations[i]);
        let there = |o: usize| {
            let places = (0..self.windows.sizes[i]).map(move |k| o * stride + k * dilation);
            places.filter(|at| inside.contains(at)).count()
        };
        (0..self.counts[i]).map(there).collect()
    }
}

/// The kernel that an attribute gives or the weight has.
pub(super) fn kernel_shape(node: &Node<'_, '_>, weight: &Shape) -> Result<Dims, Fault> {
    if weight.rank() < 3 {
        return invalid(format!("a weight of shape {weight} has no spatial axes"));
    }
    let of_weight: Dims = weight[2..].iter().copied().collect();
    match node.ints("kernel_shape")? {
        Some(list) if counts_of(&list)? != of_weight => invalid(format!("the kernel is {list:?}, the weight {weight}")),
        _ => Ok(of_weight),
    }
}

fn convolve<'g>(node: &Node<'_, 'g>, x: Tensor<'g>, w: Tensor<'g>) -> Made<'g> {
    let kernel = kernel_shape(node, &w.shape())?;
    let (shape, of_weight) = (x.shape(), w.shape());
    let geometry = geometry(node, &shape, &kernel, false)?;
    let groups = count_of(node.int("group", 1)?)?;
    let (channels, filters) = (shape[1], of_weight[0]);
    if groups == 0 || channels % groups != 0 || filters % groups != 0 || of_weight[1] != channels / groups {
        return invalid(format!("{} channels, a weight of shape {of_weight} and {groups} groups do not fit", channels));
    }
    if x.dtype() != w.dtype() || !x.dtype().is_float() {
        return invalid(format!("{} and {} are not floats of one type", x.ty(), w.ty()));
    }
    let elements = geometry.counts.iter().fold(filters.saturating_mul(shape[0]), |n, &c| n.saturating_mul(c));
    if elements > MAX_WINDOWS {
        return invalid("the result has too many elements");
    }
    let options = Conv::new()
        .strides(&geometry.windows.strides[..])
        .dilation(&geometry.windows.dilations[..])
        .padding(&geometry.padding[..])
        .groups(groups);
    Ok(x.conv(w, &options))
}

fn biased<'g>(node: &Node<'_, 'g>, y: Tensor<'g>) -> Results<'g> {
    match node.optional(2)? {
        Some(bias) => one(y.f2(ScalarFn::Add, by_channel(bias, y)?)),
        None => one(Ok(y)),
    }
}

pub(super) fn conv<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    biased(node, convolve(node, node.input(0)?, node.input(1)?)?)
}

fn conv_transpose<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, w) = (node.float_input(0)?, node.float_input(1)?);
    let (shape, of_weight) = (x.shape(), w.shape());
    let kernel = kernel_shape(node, &of_weight)?;
    let axes = kernel.len();
    let groups = count_of(node.int("group", 1)?)?;
    if shape.rank() != axes + 2 || groups == 0 || of_weight[0] != shape[1] || shape[1] % groups != 0 {
        return invalid(format!("{shape}, a weight of shape {of_weight} and {groups} groups do not fit"));
    }
    if x.dtype() != w.dtype() {
        return invalid(format!("{} and {} are not of one type", x.ty(), w.ty()));
    }
    let (strides, dilations) = (each(node, "strides", axes, 1)?, each(node, "dilations", axes, 1)?);
    if [&kernel, &strides, &dilations].iter().any(|list| list.contains(&0)) {
        return invalid("a size, stride or dilation of windows is 0");
    }
    let more = each(node, "output_padding", axes, 0)?;
    let auto = node.text("auto_pad", "NOTSET")?;
    let given = node.ints("pads")?;
    let output = node.ints("output_shape")?.map(|list| counts_of(&list)).transpose()?;
    // Some files give the extents of examples and channels too.
    let output: Option<Dims> = output.map(|list| list[list.len().saturating_sub(axes)..].iter().copied().collect());
    let (mut low, mut extents) = (Dims::new(), Dims::new());
    let mut elements = shape[0].saturating_mul(of_weight[1]).saturating_mul(groups).max(1);
    for i in 0..axes {
        let span = (kernel[i] - 1).saturating_mul(dilations[i]).saturating_add(1);
        let covered = shape[i + 2].saturating_sub(1).saturating_mul(strides[i]).saturating_add(span);
        let whole = covered.saturating_add(more[i]);
        let same = matches!(auto, "SAME_UPPER" | "SAME_LOWER");
        let target = match &output {
            Some(list) if list.len() == axes => Some(list[i]),
            Some(list) => return invalid(format!("`output_shape` has {} entries", list.len())),
            None if same => Some(shape[i + 2].saturating_mul(strides[i])),
            None => None,
        };
        let (before, extent) = match (target, &given) {
            (Some(target), _) => {
                let total = whole.saturating_sub(target);
                let less = total / 2;
                (if auto == "SAME_UPPER" { less } else { total - less }, target)
            }
            (None, Some(list)) if auto == "NOTSET" => {
                let list = counts_of(list)?;
                if list.len() != 2 * axes {
                    return invalid(format!("`pads` has {} entries for {axes} spatial axes", list.len()));
                }
                let extent = whole.checked_sub(list[i].saturating_add(list[i + axes]));
                (list[i], extent.ok_or_else(|| Fault::Invalid("the padding leaves nothing".to_owned()))?)
            }
            (None, _) => (0, whole),
        };
        low.push(before);
        extents.push(extent);
        elements = elements.saturating_mul(extent.max(1)).saturating_mul(kernel[i]).saturating_mul(shape[i + 2].max(1));
    }
    if elements > 1 << 60 {
        return invalid("the result has too many elements");
    }
    let (channels, filters) = (shape[1] / groups, of_weight[1]);
    let g = node.g();
    let spatial = &shape[2..];
    let of = |parts: &[&[usize]]| -> Shape { parts.iter().copied().flatten().copied().collect() };
    // The terms of each place: [groups, filters, window .., examples, spatial ..].
    let xs = x.shaped(of(&[&[shape[0], groups, channels], spatial]))?;
    let ws = w.shaped(of(&[&[groups, channels, filters], &kernel]))?;
    let one_axis = |axis| SmallVec::from_elem(axis, 1);
    let dot = crate::prim::Dot {
        lhs_batch: one_axis(0),
        rhs_batch: one_axis(1),
        lhs_contract: one_axis(1),
        rhs_contract: one_axis(2),
    };
    let terms = g.try_push(dot, &[ws, xs])?;
    let example = 2 + axes;
    let order: Dims = [example, 0, 1].into_iter().chain(example + 1..example + 1 + axes).chain(2..example).collect();
    let terms = terms.permute(&order)?;
    let windows = Windows { axes: (3..3 + axes).collect(), sizes: kernel, strides, dilations };
    // Where the padding asked for is more than there is, the result has zeros at its end.
    let y = terms.push1(Unwindow { windows, low, extents: extents.clone() })?;
    biased(node, y.shaped(of(&[&[shape[0], groups * filters], &extents]))?)
}

/// The kernel of a pooling.
fn pool<'g>(node: &Node<'_, 'g>, x: Tensor<'g>) -> Result<Geometry, Fault> {
    let Some(kernel) = node.ints("kernel_shape")? else { return invalid("attribute `kernel_shape` is missing") };
    let ceil = node.flag("ceil_mode", false)?;
    let geometry = geometry(node, &x.shape(), &counts_of(&kernel)?, ceil)?;
    for (i, &(low, high)) in geometry.padding.iter().enumerate() {
        let span = geometry.windows.span(i);
        if low >= span || high >= span {
            let axis = i + 2;
            return invalid(format!(
                "padding {low} and {high} of axis {axis} makes windows of {span} elements that hold nothing else"
            ));
        }
    }
    Ok(geometry)
}

/// The largest element of each window and, if asked for, its number among all elements of the operand.
fn max_pool<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let geometry = pool(node, x)?;
    let column_major = node.flag("storage_order", false)?;
    let padding = Reduction::Max.neutral(x.dtype());
    let windows = geometry.slide(x, padding)?;
    let y = windows.fold(Reduction::Max, &geometry.inner(), false)?;
    if !node.wants(1) {
        return one(Ok(y));
    }
    // The elements of a window in a row; the place of the largest; the number of the element that is there.
    let first = |windows: Tensor<'g>| {
        let (shape, axis) = (windows.shape(), windows.rank() - geometry.extents.len());
        let row: Dims = shape[..axis].iter().copied().chain([geometry.windows.sizes.iter().product()]).collect();
        windows.shaped(&row[..])?.push1(ArgReduce { extremum: Extremum::Max, axis })
    };
    let mut place = first(windows)?;
    if geometry.pads() {
        let empty = |i: usize| geometry.sizes(i, false).contains(&0);
        if (0..geometry.extents.len()).any(empty) {
            return unsupported("places in windows that lie in the padding");
        }
        // Where the largest is what is in the padding, the first element that is not.
        let mut extents: Dims = SmallVec::from_elem(1, 2);
        extents.extend(geometry.extents.iter().copied());
        let ones = node.g().constant(Array::scalar(1u8)).broadcast(&extents[..].into())?;
        let inside = first(geometry.slide(ones, 0.0)?)?;
        place = y.f2(ScalarFn::Eq, y.number(padding))?.choose(inside, place)?;
    }
    let mut numbers = Vec::new();
    let (axes, extents) = (geometry.extents.len(), &geometry.extents);
    let mut strides: Dims<i64> = SmallVec::from_elem(1, axes);
    if column_major {
        (1..axes).for_each(|a| strides[a] = strides[a - 1] * extents[a - 1] as i64);
    } else {
        (1..axes).rev().for_each(|a| strides[a - 1] = strides[a] * extents[a] as i64);
    }
    let sizes = &geometry.windows.sizes;
    let count: usize = sizes.iter().product();
    if count > 1 << 20 {
        return unsupported("places in windows of more than a million elements");
    }
    for k in 0..count {
        let (mut rest, mut offset) = (k, 0);
        for a in (0..axes).rev() {
            offset += (rest % sizes[a] * geometry.windows.dilations[a]) as i64 * strides[a];
            rest /= sizes[a];
        }
        numbers.push(offset);
    }
    let offsets = constant_ints(node.g(), DType::I64, &[count], numbers)?;
    let mut index = offsets.gathered(place, 0)?;
    let ty = place.ty().with_dtype(DType::I64);
    for a in 0..axes {
        let stride = geometry.windows.strides[a] as f64;
        let begin = places(node, ty.clone(), 2 + a)?.with(ScalarFn::Mul, stride)?;
        let begin = begin.with(ScalarFn::Sub, geometry.padding[a].0 as f64)?.with(ScalarFn::Mul, strides[a] as f64)?;
        index = index.f2(ScalarFn::Add, begin)?;
    }
    // The maps before: examples and channels.
    let map = extents.iter().product::<usize>() as f64;
    let channel = places(node, ty.clone(), 1)?;
    let example = places(node, ty, 0)?.with(ScalarFn::Mul, x.shape()[1] as f64)?;
    let maps = example.f2(ScalarFn::Add, channel)?.with(ScalarFn::Mul, map)?;
    Ok(vec![y.into(), index.f2(ScalarFn::Add, maps)?.into()])
}

fn average_pool<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let geometry = pool(node, x)?;
    let with_padding = node.flag("count_include_pad", false)?;
    let mut result = geometry.slide(x, 0.0)?.fold(Reduction::Sum, &geometry.inner(), false)?.wide()?;
    // The count of a window is the product of those of its axes.
    for i in 0..geometry.extents.len() {
        let sizes: Vec<f64> = geometry.sizes(i, with_padding).into_iter().map(|n| n as f64).collect();
        let mut extents: Dims = SmallVec::from_elem(1, x.rank());
        extents[2 + i] = sizes.len();
        let equal = sizes.windows(2).all(|w| w[0] == w[1]);
        result = match (equal, sizes.first()) {
            (true, Some(&size)) => result.with(ScalarFn::Div, size)?,
            _ => {
                let sizes = Array::new(&extents[..], sizes).map_err(|e| Fault::Invalid(e.to_string()))?;
                result.f2(ScalarFn::Div, node.g().constant(sizes).to(result.dtype())?)?
            }
        };
    }
    one(result.to(x.dtype()))
}

/// The `p`-norm of what a fold of powers makes.
fn norm<'g>(x: Tensor<'g>, p: f64, fold: impl FnOnce(Tensor<'g>) -> Made<'g>) -> Made<'g> {
    if p.is_nan() || p <= 0.0 {
        return invalid(format!("there is no {p}-norm"));
    }
    let size = x.f(ScalarFn::Abs)?;
    let powers = if p == 2.0 { x.f2(ScalarFn::Mul, x)? } else { size.with(ScalarFn::Pow, p)? };
    let sum = fold(powers)?;
    // The root is not taken of 0, where its derivative is infinite.
    let positive = sum.with(ScalarFn::Ne, 0.0)?;
    let safe = positive.choose(sum, sum.number(1.0))?;
    let root = if p == 2.0 { safe.f(ScalarFn::Sqrt)? } else { safe.with(ScalarFn::Pow, 1.0 / p)? };
    positive.choose(root, sum.number(0.0))
}

/// The order of a norm: a float in version 1.
fn order(node: &Node<'_, '_>) -> Result<f64, Fault> {
    if node.version < 2 { node.float("p", 2.0) } else { Ok(node.int("p", 2)? as f64) }
}

fn lp_pool<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let geometry = pool(node, x)?;
    one(norm(x, order(node)?, |powers| geometry.slide(powers, 0.0)?.fold(Reduction::Sum, &geometry.inner(), false)))
}

fn global_lp_pool<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let global = spatial(node.float_input(0)?)?;
    one(norm(global.x, order(node)?, |powers| powers.fold(Reduction::Sum, &global.axes, true)))
}

/// A tensor and its spatial axes.
struct Spatial<'g> {
    x: Tensor<'g>,
    axes: Dims,
}

fn spatial(x: Tensor<'_>) -> Result<Spatial<'_>, Fault> {
    match x.rank() {
        0..2 => invalid(format!("{} has no spatial axes", x.ty())),
        rank => Ok(Spatial { x, axes: (2..rank).collect() }),
    }
}

impl<'g> Spatial<'g> {
    fn fold_all(&self, reduction: Reduction) -> Made<'g> {
        self.x.fold(reduction, &self.axes, true)
    }

    fn count(&self) -> usize {
        self.x.shape()[2..].iter().product()
    }
}

/// Columns of blocks added to the places of an image that they come from.
fn col2im<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let (image, block) = (counts_of(&node.known_ints(1)?)?, counts_of(&node.known_ints(2)?)?);
    let axes = image.len();
    let (&[n, rows, columns], true) = (&x.shape()[..], axes == block.len() && axes > 0) else {
        return invalid(format!("{} does not hold blocks of {axes} axes", x.ty()));
    };
    let windows = Windows {
        axes: (2..2 + axes).collect(),
        sizes: block.clone(),
        strides: each(node, "strides", axes, 1)?,
        dilations: each(node, "dilations", axes, 1)?,
    };
    if [&windows.sizes, &windows.strides, &windows.dilations].iter().any(|list| list.contains(&0)) {
        return invalid("a size, stride or dilation of blocks is 0");
    }
    let pads = counts_of(&node.ints("pads")?.unwrap_or_else(|| vec![0; 2 * axes]))?;
    if pads.len() != 2 * axes {
        return invalid(format!("`pads` has {} entries for {axes} axes", pads.len()));
    }
    let mut counts = Dims::new();
    for i in 0..axes {
        let padded = image[i].saturating_add(pads[i]).saturating_add(pads[i + axes]);
        let Some(rest) = padded.checked_sub(windows.span(i)) else {
            return invalid(format!("a block that spans {} elements does not fit {padded}", windows.span(i)));
        };
        counts.push(rest / windows.strides[i] + 1);
    }
    let product = |list: &[usize]| list.iter().fold(1usize, |n, &d| n.saturating_mul(d));
    let size = product(&block);
    if size == 0 || rows % size != 0 || columns != product(&counts) {
        return invalid(format!("{} does not hold blocks {block:?} of an image {image:?}", x.ty()));
    }
    let channels = rows / size;
    let shape: Shape = [n, channels].iter().chain(&block).chain(&counts).copied().collect();
    let order: Dims = [0, 1].into_iter().chain(2 + axes..2 + 2 * axes).chain(2..2 + axes).collect();
    let terms = x.shaped(shape)?.permute(&order)?;
    one(terms.push1(Unwindow { windows, low: pads[..axes].iter().copied().collect(), extents: image }))
}

/// Elements put back to the places that a pooling took them from, zeros elsewhere.
fn max_unpool<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, index) = (node.input(0)?, node.input(1)?);
    let shape = x.shape();
    let Some(kernel) = node.ints("kernel_shape")? else { return invalid("attribute `kernel_shape` is missing") };
    let kernel = counts_of(&kernel)?;
    let axes = kernel.len();
    if shape.rank() != axes + 2 || index.shape() != shape || !index.dtype().is_int() {
        return invalid(format!("{} and {} do not fit", x.ty(), index.ty()));
    }
    let (strides, pads) = (each(node, "strides", axes, 1)?, node.ints("pads")?);
    let pads = counts_of(&pads.unwrap_or_else(|| vec![0; 2 * axes]))?;
    if pads.len() != 2 * axes {
        return invalid(format!("`pads` has {} entries for {axes} axes", pads.len()));
    }
    let mut extents: Dims = shape[..2].iter().copied().collect();
    for i in 0..axes {
        let whole = shape[i + 2].saturating_sub(1).saturating_mul(strides[i]).saturating_add(kernel[i]);
        extents.push(whole.saturating_sub(pads[i].saturating_add(pads[i + axes])));
    }
    let inferred = Shape::from(&extents[..]);
    let target = match node.known_ints_optional(2)? {
        Some(given) => Shape::from(&counts_of(&given)?[..]),
        None => inferred.clone(),
    };
    if target.rank() != shape.rank() || target[..2] != shape[..2] {
        return invalid(format!("the result cannot be {target}"));
    }
    // Numbers count in the inferred shape; in a larger one, its elements stand at the beginning of each axis.
    let (Some(n), Some(_)) = (inferred.checked_numel(), target.checked_numel()) else {
        return invalid("the result has too many elements");
    };
    let line = super::super::node::tensor_type(x.dtype(), &[n])?;
    let zeros = x.number(0.0).broadcast(&line.shape)?;
    let scatter = crate::prim::Scatter { batch: 0, combine: crate::prim::Combine::Set };
    let (places, values) = (index.shaped([shape.numel()])?, x.shaped([shape.numel()])?);
    if target.numel() == n || node.optional(2)?.is_none() {
        return one(node.g().try_push(scatter, &[zeros, places, values])?.shaped(target));
    }
    let y = node.g().try_push(scatter, &[zeros, places, values])?.shaped(inferred.clone())?;
    let widths: Option<Dims<(usize, usize)>> =
        target.iter().zip(inferred.iter()).map(|(&t, &i)| t.checked_sub(i).map(|w| (0, w))).collect();
    match widths {
        Some(widths) => one(y.padded(&widths, 0.0)),
        None => invalid(format!("the result cannot be {target}")),
    }
}

/// A convolution of bytes in 32-bit integers, each less its zero point. Products of bytes are exact in double precision, in which it is computed.
fn conv_integer<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let operand = |i: usize| -> Result<Tensor<'g>, Fault> {
        let x = node.held(i)?.0.to(DType::F64)?;
        let Some((zero, _)) = node.held_optional(i + 2)? else { return Ok(x) };
        let zero = zero.to(DType::F64)?;
        // One for all, or one for each filter.
        let zero = match zero.shape().numel() {
            1 => zero.shaped(Shape::scalar())?,
            n if x.rank() > 0 => {
                let mut extents: Dims = SmallVec::from_elem(1, x.rank());
                extents[0] = n;
                zero.shaped(&extents[..])?
            }
            _ => return invalid(format!("{} has no filters", x.ty())),
        };
        x.f2(ScalarFn::Sub, zero)
    };
    one(convolve(node, operand(0)?, operand(1)?)?.to(DType::I32))
}

/// A convolution of quantized numbers, quantized again.
fn qlinear_conv<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let of_filters = |v: Tensor<'g>, rank: usize, place: usize| match v.shape().numel() {
        1 => v.shaped(Shape::scalar()),
        n => {
            let mut extents: Dims = SmallVec::from_elem(1, rank);
            extents[place] = n;
            v.shaped(&extents[..])
        }
    };
    let ((x, _), (w, _)) = (node.held(0)?, node.held(3)?);
    let rank = x.rank();
    if rank < 3 || w.rank() != rank {
        return invalid(format!("{} and {} do not fit", x.ty(), w.ty()));
    }
    let wide = |i: usize| node.held(i)?.0.to(DType::F64);
    let (x, w) = (
        wide(0)?.f2(ScalarFn::Sub, of_filters(wide(2)?, rank, 0)?)?,
        wide(3)?.f2(ScalarFn::Sub, of_filters(wide(5)?, rank, 0)?)?,
    );
    let mut sum = convolve(node, x, w)?;
    if node.optional(8)?.is_some() {
        sum = sum.f2(ScalarFn::Add, by_channel(wide(8)?, sum)?)?;
    }
    let scale = of_filters(wide(1)?, rank, 1)?.f2(ScalarFn::Mul, of_filters(wide(4)?, rank, 1)?)?;
    let (zero, to) = node.held(7)?;
    let y = sum.f2(ScalarFn::Mul, scale)?;
    let scale = wide(6)?.shaped(Shape::scalar())?;
    Ok(vec![super::quantize::quantized(y, scale, Some(zero.shaped(Shape::scalar())?), to)?])
}
