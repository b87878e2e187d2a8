//! Sampling at computed places: `GridSample`, `AffineGrid` and caches that are written in part.

use smallvec::SmallVec;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Dims, Shape};
use crate::prim::{Combine, Gather, Scatter};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, concat};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, counts_of, one, tensor_type};
use super::shape::places;
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] =
    &[op("GridSample", 16, grid_sample), op("AffineGrid", 20, affine_grid), op("TensorScatter", 24, tensor_scatter)];

/// What stands for elements outside of the operand.
#[derive(Clone, Copy, PartialEq)]
enum Outside {
    Zeros,
    Border,
    Reflection,
}

/// Neighbours of places along an axis, by number, and their weights; `None` where they count whole.
pub(super) type Tap<'g> = (Tensor<'g>, Option<Tensor<'g>>);

/// A spatial axis under sampling.
struct Axis {
    extent: usize,
    aligned: bool,
    outside: Outside,
}

impl Axis {
    /// The ends between which places are mirrored.
    fn ends(&self) -> (f64, f64) {
        if self.aligned { (0.0, self.extent as f64 - 1.0) } else { (-0.5, self.extent as f64 - 0.5) }
    }

    /// A coordinate from -1 to 1 as a place.
    fn place<'g>(&self, x: Tensor<'g>) -> Made<'g> {
        let n = self.extent as f64;
        let moved = x.with(ScalarFn::Add, 1.0)?;
        if self.aligned {
            moved.with(ScalarFn::Mul, (n - 1.0) / 2.0)
        } else {
            moved.with(ScalarFn::Mul, n)?.with(ScalarFn::Sub, 1.0)?.with(ScalarFn::Div, 2.0)
        }
    }

    /// A place brought inside, as far as the padding says so.
    fn inside<'g>(&self, x: Tensor<'g>) -> Made<'g> {
        match self.outside {
            Outside::Zeros => Ok(x),
            Outside::Border => Ok(x.clamp(0.0, (self.extent as f64 - 1.0).max(0.0))),
            Outside::Reflection => {
                let (low, high) = self.ends();
                let range = high - low;
                if range <= 0.0 {
                    return x.filled(low.max(0.0));
                }
                let period = x.with(ScalarFn::Sub, low)?.with(ScalarFn::Mod, 2.0 * range)?;
                let back = period.number(2.0 * range).f2(ScalarFn::Sub, period)?;
                period.f2(ScalarFn::Min, back)?.with(ScalarFn::Add, low)
            }
        }
    }

    /// The neighbours of a place that take part, and their weights.
    fn taps<'g>(&self, coordinate: Tensor<'g>, mode: &str) -> Result<Vec<Tap<'g>>, Fault> {
        use ScalarFn::{Add, Floor, Mul, Round, Sub};
        let place = self.place(coordinate)?;
        let index = |x: Tensor<'g>| self.inside(x)?.f(Round)?.to(DType::I64);
        if matches!(mode, "nearest") {
            return Ok(vec![(index(place.f(Round)?)?, None)]);
        }
        let place = if mode == "cubic" { place } else { self.inside(place)? };
        let first = place.f(Floor)?;
        let ratio = place.f2(Sub, first)?;
        if mode == "linear" {
            let rest = ratio.number(1.0).f2(Sub, ratio)?;
            return Ok(vec![(index(first)?, Some(rest)), (index(first.with(Add, 1.0)?)?, Some(ratio))]);
        }
        // Keys's kernel with parameter -3/4, by the distance from the neighbour.
        const A: f64 = -0.75;
        let polynomial = |x: Tensor<'g>, [a, b, c, d]: [f64; 4]| {
            x.with(Mul, a)?.with(Add, b)?.f2(Mul, x)?.with(Add, c)?.f2(Mul, x)?.with(Add, d)
        };
        let (near, far) = ([A + 2.0, -(A + 3.0), 0.0, 1.0], [A, -5.0 * A, 8.0 * A, -4.0 * A]);
        let rest = ratio.number(1.0).f2(Sub, ratio)?;
        let weights = [
            polynomial(ratio.with(Add, 1.0)?, far)?,
            polynomial(ratio, near)?,
            polynomial(rest, near)?,
            polynomial(rest.with(Add, 1.0)?, far)?,
        ];
        let tap = |(i, weight): (usize, Tensor<'g>)| Ok((index(first.with(Add, i as f64 - 1.0)?)?, Some(weight)));
        weights.into_iter().enumerate().map(tap).collect()
    }
}

/// Sums over neighbours of places: of `rows`, `[batch, elements of all axes, features]`, those that `taps` tell for each axis, `[batch, places]`. Neighbours that
/// are outside count as 0. The result is `[batch, places, features]`.
pub(super) fn sampled<'g>(rows: Tensor<'g>, taps: &[Vec<Tap<'g>>], extents: &[usize]) -> Made<'g> {
    // Numbers and weights of all combinations of neighbours, one axis after the other.
    let mut combinations: Vec<(Option<Tensor<'g>>, Option<Tensor<'g>>)> = vec![(None, None)];
    for (taps, &extent) in taps.iter().zip(extents) {
        let mut next = Vec::new();
        for &(number, weight) in &combinations {
            for &(index, own) in taps {
                let out = index.with(ScalarFn::Lt, 0.0)?;
                let out = out.f2(ScalarFn::Or, index.with(ScalarFn::Ge, extent as f64)?)?;
                let combined = match number {
                    None => index,
                    Some(n) => {
                        let lost = n.with(ScalarFn::Lt, 0.0)?;
                        let sum = n.with(ScalarFn::Mul, extent as f64)?.f2(ScalarFn::Add, index)?;
                        lost.choose(n.number(-1.0), sum)?
                    }
                };
                let combined = out.choose(combined.number(-1.0), combined)?;
                let weight = match (weight, own) {
                    (Some(a), Some(b)) => Some(a.f2(ScalarFn::Mul, b)?),
                    (a, b) => a.or(b),
                };
                next.push((Some(combined), weight));
            }
        }
        combinations = next;
    }
    let mut sum: Option<Tensor<'g>> = None;
    for (number, weight) in combinations {
        let Some(number) = number else { continue };
        let mut taken = rows.builder().try_push(Gather { batch: 1, fill: 0.0f64.to_bits() }, &[rows, number])?;
        if let Some(weight) = weight {
            taken = taken.f2(ScalarFn::Mul, weight.to(rows.dtype())?.unsqueezed(2)?)?;
        }
        sum = Some(sum.map_or(Ok(taken), |sum| sum.f2(ScalarFn::Add, taken))?);
    }
    sum.map_or_else(|| invalid("there is nothing to sample"), Ok)
}

fn grid_sample<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, grid) = (node.input(0)?, node.float_input(1)?);
    let (shape, of_grid) = (x.shape(), grid.shape());
    let axes = shape.rank().saturating_sub(2);
    let fits = axes > 0 && of_grid.rank() == axes + 2 && of_grid[0] == shape[0] && of_grid[axes + 1] == axes;
    if !fits || shape[2..].contains(&0) || axes > 3 {
        return invalid(format!("{} is no grid over {}", grid.ty(), x.ty()));
    }
    let mode = match node.text("mode", "linear")? {
        "bilinear" | "linear" => "linear",
        "bicubic" | "cubic" => "cubic",
        "nearest" => "nearest",
        other => return unsupported(format!("attribute `mode` = {other}")),
    };
    let outside = match node.text("padding_mode", "zeros")? {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        other => return unsupported(format!("attribute `padding_mode` = {other}")),
    };
    if mode != "nearest" && !x.dtype().is_float() {
        return unsupported(format!("interpolation of {}", x.dtype()));
    }
    let aligned = node.flag("align_corners", false)?;
    let points: usize = of_grid[1..=axes].iter().product();
    let grid = grid.shaped([of_grid[0], points, axes])?;
    // The last coordinate is that of the first axis.
    let taps = (0..axes)
        .map(|axis| Axis { extent: shape[axis + 2], aligned, outside }.taps(grid.at(2, axes - 1 - axis)?, mode));
    let taps: Vec<Vec<Tap<'g>>> = taps.collect::<Result<_, Fault>>()?;
    let inner: usize = shape[2..].iter().product();
    let rows = x.shaped([shape[0], shape[1], inner])?.permute(&[0, 2, 1])?;
    let sum = sampled(rows, &taps, &shape[2..])?;
    let result: Shape = shape[..2].iter().chain(&of_grid[1..=axes]).copied().collect();
    one(sum.permute(&[0, 2, 1])?.shaped(result))
}

/// The places that affine maps send the elements of an image to.
fn affine_grid<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let theta = node.float_input(0)?;
    let size = counts_of(&node.known_ints(1)?)?;
    let axes = size.len().saturating_sub(2);
    if axes == 0 || theta.shape()[..] != [size[0], axes, axes + 1] {
        return invalid(format!("{} are no maps of images of shape {size:?}", theta.ty()));
    }
    let aligned = node.flag("align_corners", false)?;
    let spatial: Dims = size[2..].iter().copied().collect();
    let extents: Dims = spatial.iter().copied().chain([1]).collect();
    let mut columns = Vec::new();
    for axis in (0..axes).rev() {
        let n = spatial[axis] as f64;
        let at = places(node, tensor_type(DType::F64, &extents)?, axis)?;
        columns.push(if aligned {
            at.with(ScalarFn::Mul, 2.0 / (n - 1.0).max(1.0))?.with(ScalarFn::Sub, 1.0)?
        } else {
            at.with(ScalarFn::Mul, 2.0)?.with(ScalarFn::Add, 1.0)?.with(ScalarFn::Div, n)?.with(ScalarFn::Sub, 1.0)?
        });
    }
    columns.push(columns[0].filled(1.0)?);
    let points: usize = spatial.iter().fold(1usize, |n, &d| n.saturating_mul(d));
    let base = concat(&columns, axes)?.shaped([points, axes + 1])?.to(theta.dtype())?;
    // [points, axes + 1] by [examples, axes + 1, axes].
    let maps = theta.permute(&[0, 2, 1])?;
    let base = base.broadcast(&[size[0], points, axes + 1].into())?;
    let result: Shape = [size[0]].iter().chain(&spatial).chain([&axes]).copied().collect();
    one(base.product(maps)?.shaped(result))
}

/// A cache with slices replaced from a place on, which may begin again at its front.
fn tensor_scatter<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (cache, update) = (node.input(0)?, node.input(1)?);
    let axis = node.axis("axis", -2, cache.rank())?;
    let (shape, of_update) = (cache.shape(), update.shape());
    if axis == 0 || update.rank() != cache.rank() {
        return invalid(format!("{} does not fit {}", update.ty(), cache.ty()));
    }
    let (batch, extent, count) = (shape[0], shape[axis], of_update[axis]);
    let starts = match node.optional(2)? {
        Some(starts) if starts.shape()[..] == [batch] && starts.dtype().is_int() => starts.to(DType::I64)?,
        Some(starts) => return invalid(format!("the places are {}", starts.ty())),
        None => node.g().constant(Array::scalar(0i64)).broadcast(&[batch].into())?,
    };
    let at = places(node, tensor_type(DType::I64, &[batch, count])?, 1)?;
    let mut index = starts.unsqueezed(1)?.f2(ScalarFn::Add, at)?;
    match node.text("mode", "linear")? {
        "linear" => {}
        "circular" if extent > 0 => index = index.with(ScalarFn::Mod, extent as f64)?,
        other => return unsupported(format!("attribute `mode` = {other}")),
    }
    let mut order: Dims = (0..shape.rank()).filter(|&a| a != axis).collect();
    order.insert(1, axis);
    let mut back: Dims = SmallVec::from_elem(0, shape.rank());
    order.iter().enumerate().for_each(|(i, &a)| back[a] = i);
    let operands = [cache.permute(&order)?, index, update.permute(&order)?];
    one(node.g().try_push(Scatter { batch: 1, combine: Combine::Set }, &operands)?.permute(&back))
}
