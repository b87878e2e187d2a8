//! Resizing: each axis by itself, as a sum over a few neighbours with weights, and padding.
//!
//! The places and weights are those of the specification's reference: which neighbours of a place in the operand an element of the result is made of, and
//! with which weights, depends on the extents only and is computed here.

use smallvec::SmallVec;

use crate::array::Array;
use crate::build::{PadMode, Tensor};
use crate::graph::{DType, Dims};
use crate::prim::Reduction;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, axes_of, constant_ints, count_of, counts_of, one};
use super::{Held, Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("Resize", 10, resize),
    Operator { until: 9, ..op("Upsample", 1, upsample) },
    op("Pad", 1, pad).held(Held::Fills),
];

/// How an axis is resized.
struct Axis {
    axis: usize,
    from: usize,
    to: usize,
    /// The extent of the result by that of the operand, before rounding.
    scale: f64,
    /// The part of the operand that the result shows, as shares of its extent.
    region: (f64, f64),
}

/// What attributes say.
struct Options<'n> {
    coordinates: &'n str,
    mode: &'n str,
    nearest: &'n str,
    cubic: f64,
    antialias: bool,
    exclude_outside: bool,
    extrapolation: f64,
}

impl Axis {
    /// The place in the operand that element `at` of the result stands for; `None` outside of the region's operand.
    fn place(&self, at: usize, options: &Options<'_>) -> Result<Option<f64>, Fault> {
        let (x, from, to) = (at as f64, self.from as f64, self.scale * self.from as f64);
        let half_pixel = (x + 0.5) / self.scale - 0.5;
        Ok(Some(match options.coordinates {
            "half_pixel" => half_pixel,
            "pytorch_half_pixel" => {
                if to == 1.0 {
                    -0.5
                } else {
                    half_pixel
                }
            }
            "half_pixel_symmetric" => from / 2.0 * (1.0 - self.to as f64 / to) + half_pixel,
            "align_corners" => {
                if to == 1.0 {
                    0.0
                } else {
                    x * (from - 1.0) / (to - 1.0)
                }
            }
            "asymmetric" => x / self.scale,
            "tf_crop_and_resize" => {
                let (start, end) = self.region;
                let inside = match to == 1.0 {
                    true => (end - start) * (from - 1.0) / 2.0,
                    false => x * (end - start) * (from - 1.0) / (to - 1.0),
                };
                let place = inside + start * (from - 1.0);
                return Ok((0.0..=from - 1.0).contains(&place).then_some(place));
            }
            other => return unsupported(format!("attribute `coordinate_transformation_mode` = {other}")),
        }))
    }

    /// The first neighbour of a place, and the weights of those from it on.
    fn neighbours(&self, place: f64, options: &Options<'_>) -> Result<(i64, Vec<f64>), Fault> {
        // Of a place that is an element, the neighbour behind it counts for the right one.
        let ratio = if place.fract() == 0.0 { 1.0 } else { place - place.floor() };
        let weights = match options.mode {
            "nearest" => nearest(ratio, options.nearest)?,
            "linear" if options.antialias => {
                let scale = self.scale.min(1.0);
                spread(1.0, scale, |i| (1.0 - ((i - ratio) * scale).abs()).clamp(0.0, 1.0))
            }
            "linear" => vec![1.0 - ratio, ratio],
            "cubic" if options.antialias => {
                let scale = self.scale.min(1.0);
                spread(2.0, scale, |i| cubic((i - ratio) * scale, options.cubic))
            }
            "cubic" => (0..4).map(|i| cubic(f64::from(i) - 1.0 - ratio, options.cubic)).collect(),
            other => return unsupported(format!("attribute `mode` = {other}")),
        };
        let first = place.floor() as i64 - weights.len() as i64 / 2 + i64::from(place.fract() != 0.0);
        Ok((first, weights))
    }

    /// The tensor with this axis resized.
    fn apply<'g>(&self, x: Tensor<'g>, options: &Options<'_>) -> Made<'g> {
        let g = x.builder();
        let (mut places, mut weights, mut outside) = (Vec::new(), Vec::new(), Vec::new());
        let mut taps = 0;
        for at in 0..self.to {
            let place = self.place(at, options)?;
            outside.push(place.is_none());
            let (first, mut own) = self.neighbours(place.unwrap_or(0.0), options)?;
            let there = |i: usize| (0..self.from as i64).contains(&(first + i as i64));
            if options.exclude_outside {
                (0..own.len()).filter(|&i| !there(i)).for_each(|i| own[i] = 0.0);
                let sum: f64 = own.iter().sum();
                own.iter_mut().for_each(|w| *w /= sum);
            }
            taps = own.len();
            if taps.saturating_mul(self.to) > 1 << 26 {
                return invalid(format!("{taps} neighbours of {} elements are too many", self.to));
            }
            places.extend((0..taps).map(|i| (first + i as i64).clamp(0, self.from as i64 - 1)));
            weights.extend(own);
        }
        if options.mode == "nearest" {
            // One neighbour has all the weight.
            let chosen =
                |i: usize| places[i * taps + weights[i * taps..][..taps].iter().position(|&w| w == 1.0).unwrap_or(0)];
            let index = constant_ints(g, DType::I64, &[self.to], (0..self.to).map(chosen).collect())?;
            return self.extrapolated(x.gathered(index, self.axis)?, &outside, options);
        }
        let index = constant_ints(g, DType::I64, &[self.to, taps], places)?;
        let mut extents: Dims = SmallVec::from_elem(1, x.rank() + 1);
        (extents[self.axis], extents[self.axis + 1]) = (self.to, taps);
        let weights = Array::new(&extents[..], weights).map_err(|e| Fault::Invalid(e.to_string()))?;
        let terms = x.gathered(index, self.axis)?.f2(ScalarFn::Mul, g.constant(weights).to(x.dtype())?)?;
        self.extrapolated(terms.fold(Reduction::Sum, &[self.axis + 1], false)?, &outside, options)
    }

    /// The number for places outside, where there are any.
    fn extrapolated<'g>(&self, y: Tensor<'g>, outside: &[bool], options: &Options<'_>) -> Made<'g> {
        if !outside.contains(&true) {
            return Ok(y);
        }
        let mut extents: Dims = SmallVec::from_elem(1, y.rank());
        extents[self.axis] = outside.len();
        let mask = Array::new(&extents[..], outside.to_vec()).map_err(|e| Fault::Invalid(e.to_string()))?;
        y.builder().constant(mask).choose(y.number(options.extrapolation), y)
    }
}

fn nearest(ratio: f64, mode: &str) -> Result<Vec<f64>, Fault> {
    let later = match mode {
        _ if ratio == 1.0 => true,
        "round_prefer_floor" => ratio > 0.5,
        "round_prefer_ceil" => ratio >= 0.5,
        "floor" => false,
        "ceil" => true,
        other => return unsupported(format!("attribute `nearest_mode` = {other}")),
    };
    Ok(if later { vec![0.0, 1.0] } else { vec![1.0, 0.0] })
}

/// Keys's cubic kernel with parameter `a` (Keys 1981).
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    match x {
        _ if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        _ if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        _ => 0.0,
    }
}

/// The weights of a kernel of this reach, widened for a scale below 1, with the sum 1.
fn spread(reach: f64, scale: f64, weight: impl Fn(f64) -> f64) -> Vec<f64> {
    let start = ((-reach / scale).floor() + 1.0).max(-1e7) as i64;
    let weights: Vec<f64> = (start..2 - start).map(|i| weight(i as f64)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// The numbers of a known float operand, `None` if it is left out or empty.
fn numbers(node: &Node<'_, '_>, i: usize) -> Result<Option<Vec<f64>>, Fault> {
    let list = node.known_optional(i)?.map(|array| array.to_f64_vec());
    Ok(list.filter(|list| !list.is_empty()))
}

fn resize<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let shape = x.shape();
    if node.version < 11 {
        let scales = numbers(node, 1)?.unwrap_or_default();
        let mode = node.text("mode", "nearest")?;
        return one(by_scales(x, &scales, mode));
    }
    let options = Options {
        coordinates: node.text("coordinate_transformation_mode", "half_pixel")?,
        mode: node.text("mode", "nearest")?,
        nearest: node.text("nearest_mode", "round_prefer_floor")?,
        cubic: node.float("cubic_coeff_a", -0.75)?,
        antialias: node.flag("antialias", false)?,
        exclude_outside: node.flag("exclude_outside", false)?,
        extrapolation: node.float("extrapolation_value", 0.0)?,
    };
    let axes: Dims = match node.ints("axes")? {
        Some(axes) => axes_of(&axes, shape.rank())?,
        None => (0..shape.rank()).collect(),
    };
    let policy = node.text("keep_aspect_ratio_policy", "stretch")?;
    let crops = options.coordinates == "tf_crop_and_resize";
    let regions = if crops { numbers(node, 1)? } else { None };
    let n = axes.len();
    let expect = |given: usize, expected: usize, what: &str| {
        if given == expected { Ok(()) } else { invalid(format!("{given} {what} for {n} axes")) }
    };
    let targets: Vec<(usize, f64)> = match (numbers(node, 2)?, node.known_ints_optional(3)?) {
        (Some(scales), _) => {
            expect(scales.len(), n, "scales")?;
            scales
                .iter()
                .zip(&axes)
                .map(|(&s, &a)| Ok(((s * shape[a] as f64).floor().max(0.0) as usize, s)))
                .collect::<Result<_, Fault>>()?
        }
        (None, Some(sizes)) => {
            expect(sizes.len(), n, "sizes")?;
            let sizes = counts_of(&sizes)?;
            let scales: Vec<f64> = sizes.iter().zip(&axes).map(|(&s, &a)| s as f64 / shape[a] as f64).collect();
            let common = match policy {
                "stretch" => None,
                "not_larger" => scales.iter().copied().reduce(f64::min),
                "not_smaller" => scales.iter().copied().reduce(f64::max),
                other => return unsupported(format!("attribute `keep_aspect_ratio_policy` = {other}")),
            };
            let target = |i: usize| match common {
                Some(scale) => ((scale * shape[axes[i]] as f64 + 0.5).floor() as usize, scale),
                None => (sizes[i], scales[i]),
            };
            (0..n).map(target).collect()
        }
        (None, None) => return invalid("neither scales nor sizes are given"),
    };
    if let Some(regions) = &regions {
        expect(regions.len(), 2 * n, "ends of regions")?;
    }
    let mut y = x;
    for (i, &axis) in axes.iter().enumerate() {
        let region = regions.as_ref().map_or((0.0, 1.0), |r| (r[i], r[i + n]));
        let (to, scale) = targets[i];
        y = resized(y, Axis { axis, from: shape[axis], to, scale, region }, &options)?;
    }
    one(Ok(y))
}

/// A resized axis, if there is something to do.
fn resized<'g>(x: Tensor<'g>, axis: Axis, options: &Options<'_>) -> Made<'g> {
    let finite = axis.scale.is_finite() && axis.scale > 0.0 && axis.region.0.is_finite() && axis.region.1.is_finite();
    if axis.from == axis.to && (axis.scale == 1.0 || axis.from == 0) && axis.region == (0.0, 1.0) {
        return Ok(x);
    }
    if !finite || axis.from == 0 || axis.to > 1 << 24 {
        return invalid(format!("axis {} of extent {} cannot get extent {}", axis.axis, axis.from, axis.to));
    }
    if options.mode != "nearest" && !x.dtype().is_float() {
        return unsupported(format!("interpolation of {}", x.dtype()));
    }
    axis.apply(x, options)
}

/// The resizing of old versions: places are multiples of the scale's inverse, and the nearest is the one before; where there are fewer than there were, the one
/// behind, as ONNX's own tests of these versions have it.
fn by_scales<'g>(x: Tensor<'g>, scales: &[f64], mode: &str) -> Made<'g> {
    let shape = x.shape();
    if scales.len() != shape.rank() {
        return invalid(format!("{} scales for {} axes", scales.len(), shape.rank()));
    }
    let options = |scale: f64| Options {
        coordinates: "asymmetric",
        mode: if mode == "bilinear" { "linear" } else { mode },
        nearest: if scale < 1.0 { "ceil" } else { "floor" },
        cubic: -0.75,
        antialias: false,
        exclude_outside: false,
        extrapolation: 0.0,
    };
    let mut y = x;
    for (axis, &scale) in scales.iter().enumerate() {
        let from = shape[axis];
        let to = (scale * from as f64).floor().max(0.0) as usize;
        y = resized(y, Axis { axis, from, to, scale, region: (0.0, 1.0) }, &options(scale))?;
    }
    Ok(y)
}

fn upsample<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let mode = node.text("mode", "nearest")?;
    let scales = match node.version {
        ..7 => {
            let (h, w) = (node.float("height_scale", 1.0)?, node.float("width_scale", 1.0)?);
            vec![1.0, 1.0, h, w]
        }
        7..9 => node.floats("scales")?.unwrap_or_default().into_iter().map(f64::from).collect(),
        _ => numbers(node, 1)?.unwrap_or_default(),
    };
    one(by_scales(x, &scales, mode))
}

fn pad<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let rank = x.rank();
    let mode = node.text("mode", "constant")?;
    let (widths, axes, value) = match node.version {
        ..11 => {
            let name = if node.version < 2 { "paddings" } else { "pads" };
            let value = x.number(node.float("value", 0.0)?);
            (node.ints(name)?.unwrap_or_default(), None, value)
        }
        _ => {
            let axes = node.known_ints_optional(3)?;
            let value = node.optional(2)?.filter(|v| v.shape().numel() > 0);
            (node.known_ints(1)?, axes, value.unwrap_or(x.number(0.0)))
        }
    };
    let axes: Dims = match axes {
        Some(axes) => axes_of(&axes, rank)?,
        None => (0..rank).collect(),
    };
    let n = axes.len();
    if widths.len() != 2 * n {
        return invalid(format!("{} widths for {n} axes", widths.len()));
    }
    let mut all: Vec<(isize, isize)> = vec![(0, 0); rank];
    for (i, &axis) in axes.iter().enumerate() {
        all[axis] = (widths[i] as isize, widths[i + n] as isize);
        let extent = x.shape()[axis] as i128 + i128::from(widths[i]) + i128::from(widths[i + n]);
        let limit = 1i128 << 40;
        if extent < 0 || extent > limit || i128::from(widths[i]).abs() > limit {
            return invalid(format!("widths {:?} do not fit axis {axis} of {}", all[axis], x.ty()));
        }
        // What is repeated is written piece by piece.
        if mode != "constant" && extent > 1 << 20 {
            return invalid(format!("an axis of {extent} elements is too long for mode `{mode}`"));
        }
        if mode != "constant" && x.shape()[axis] == 0 && extent > 0 {
            return invalid(format!("axis {axis} of {} has no elements to repeat", x.ty()));
        }
    }
    super::super::node::tensor_type(x.dtype(), &padded_shape(x, &all)?)?;
    let mode = match mode {
        "constant" => return one(pad_constant(node, x, &all, value)),
        "edge" => PadMode::Edge,
        "reflect" => PadMode::Reflect,
        "wrap" => PadMode::Wrap,
        other => return unsupported(format!("attribute `mode` = {other}")),
    };
    one(Ok(x.pad_with(&all, mode)))
}

/// The extents after padding. Every axis is checked by now, but on the way from the first to the last all must fit.
fn padded_shape<'g>(x: Tensor<'g>, widths: &[(isize, isize)]) -> Result<Vec<usize>, Fault> {
    let shape = x.shape();
    let grown = shape.iter().zip(widths).map(|(&n, &(low, high))| count_of((n as i64) + (low + high) as i64));
    let grown: Vec<usize> = grown.collect::<Result<_, Fault>>()?;
    let largest: Vec<usize> = shape.iter().zip(&grown).map(|(&n, &m)| n.max(m).max(1)).collect();
    super::super::node::tensor_type(x.dtype(), &largest)?;
    Ok(grown)
}

/// A number around the elements; what is cut away is cut first.
fn pad_constant<'g>(node: &Node<'_, 'g>, x: Tensor<'g>, widths: &[(isize, isize)], value: Tensor<'g>) -> Made<'g> {
    if value.shape().numel() != 1 || value.dtype() != x.dtype() {
        return invalid(format!("the value is {}, expected one {}", value.ty(), x.dtype()));
    }
    let known = node.importer.known(value);
    let fill = match &known {
        Some(array) if array.get_f64(0).fract() == 0.0 || x.dtype().is_float() => array.get_f64(0),
        Some(_) => 0.0,
        None => return Err(node.unknown(value, "a padding value")),
    };
    let mut y = x;
    let mut around: Vec<(usize, usize)> = Vec::new();
    for (axis, &(low, high)) in widths.iter().enumerate() {
        let extent = y.shape()[axis] as isize;
        let (start, end) = ((-low).clamp(0, extent), (extent + high).clamp(0, extent));
        let kept = (end - start).max(0);
        y = y.part(axis, if kept == 0 { 0 } else { start as usize }, kept as usize)?;
        let before = if kept == 0 { extent + low + high } else { low.max(0) };
        around.push((before as usize, (extent + low + high - before - kept) as usize));
    }
    y.padded(&around, fill)
}
