//! Regions of images, as detectors choose them and look into them.

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Dims};
use crate::prim::{Gather, Reduction};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, constant_ints, count_of, one};
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] =
    &[op("NonMaxSuppression", 10, non_max_suppression), op("RoiAlign", 10, roi_align)];

/// The most pairs of boxes that are compared.
const MOST_PAIRS: usize = 1 << 26;

/// The boxes of known numbers that no better one of the same class overlaps, as `[batch, class, box]` by class and score. How many they are, the numbers say.
fn non_max_suppression<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (boxes, scores) = (node.known(0)?, node.known(1)?);
    let (&[batch, count, 4], &[of_scores, classes, each]) = (&boxes.shape()[..], &scores.shape()[..]) else {
        return invalid(format!("{} are no boxes with scores {}", boxes.ty(), scores.ty()));
    };
    let number = |i: usize| -> Result<Option<f64>, Fault> {
        match node.known_optional(i)? {
            Some(array) if array.shape().numel() == 1 => Ok(Some(array.get_f64(0))),
            Some(array) => invalid(format!("operand {i} is {}, expected one number", array.ty())),
            None => Ok(None),
        }
    };
    let (most, overlap, least) = (number(2)?.unwrap_or(0.0), number(3)?.unwrap_or(0.0), number(4)?);
    let pairs = batch.saturating_mul(classes).saturating_mul(count.saturating_mul(count));
    if of_scores != batch || each != count || pairs > MOST_PAIRS {
        return invalid(format!("{} are no boxes with scores {}", boxes.ty(), scores.ty()));
    }
    let centred = node.flag("center_point_box", false)?;
    // Two corners, the smaller coordinates first.
    let corners = |b: usize, i: usize| -> [f64; 4] {
        let at = |k: usize| boxes.get_f64((b * count + i) * 4 + k);
        if centred {
            let (x, y, width, height) = (at(0), at(1), at(2), at(3));
            return [y - height / 2.0, x - width / 2.0, y + height / 2.0, x + width / 2.0];
        }
        [at(0).min(at(2)), at(1).min(at(3)), at(0).max(at(2)), at(1).max(at(3))]
    };
    let area = |c: &[f64; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let ratio = |a: &[f64; 4], b: &[f64; 4]| {
        let sides = [a[2].min(b[2]) - a[0].max(b[0]), a[3].min(b[3]) - a[1].max(b[1])];
        let common = sides[0].max(0.0) * sides[1].max(0.0);
        let whole = area(a) + area(b) - common;
        if common <= 0.0 || whole <= 0.0 { 0.0 } else { common / whole }
    };
    let mut chosen: Vec<i64> = Vec::new();
    for b in 0..batch {
        for class in 0..classes {
            let score = |i: usize| scores.get_f64((b * classes + class) * count + i);
            let mut order: Vec<usize> = (0..count).filter(|&i| least.is_none_or(|least| score(i) > least)).collect();
            order.sort_by(|&i, &j| score(j).total_cmp(&score(i)));
            let mut kept: Vec<[f64; 4]> = Vec::new();
            for i in order {
                if kept.len() as f64 >= most {
                    break;
                }
                let own = corners(b, i);
                if kept.iter().all(|other| ratio(other, &own) <= overlap) {
                    kept.push(own);
                    chosen.extend([b as i64, class as i64, i as i64]);
                }
            }
        }
    }
    one(constant_ints(node.g(), DType::I64, &[chosen.len() / 3, 3], chosen))
}

/// Each region's grid of cells, of samples of the image that it lies in: their mean or the largest.
fn roi_align<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, regions, batches) = (node.float_input(0)?, node.float_input(1)?, node.input(2)?);
    let (&[n, channels, height, width], &[count, 4]) = (&x.shape()[..], &regions.shape()[..]) else {
        return invalid(format!("{} and {} do not fit", x.ty(), regions.ty()));
    };
    if batches.shape()[..] != [count] || height == 0 || width == 0 {
        return invalid(format!("{} does not tell the image of each of {count} regions", batches.ty()));
    }
    let size = |name| match count_of(node.int(name, 1)?)? {
        0 => invalid(format!("attribute `{name}` is 0")),
        n if n > 1 << 12 => invalid(format!("attribute `{name}` = {n} is too large")),
        n => Ok(n),
    };
    let (rows, columns) = (size("output_height")?, size("output_width")?);
    let samples = count_of(node.int("sampling_ratio", 0)?)?;
    if samples == 0 || samples > 1 << 8 {
        // The number of samples would follow from each region's size.
        return unsupported("attribute `sampling_ratio` = 0");
    }
    let scale = node.float("spatial_scale", 1.0)?;
    let half = match (node.version, node.text("coordinate_transformation_mode", "half_pixel")?) {
        (16.., "half_pixel") => true,
        (..16, _) | (_, "output_half_pixel") => false,
        (_, other) => return invalid(format!("coordinate_transformation_mode `{other}` is not known")),
    };
    let mean = match node.text("mode", "avg")? {
        "avg" => true,
        "max" => false,
        other => return invalid(format!("mode `{other}` is neither avg nor max")),
    };
    let batches = super::index::indices(node, 2, n)?;
    let regions = regions.to(x.dtype())?.with(ScalarFn::Mul, scale)?;
    let regions = if half { regions.with(ScalarFn::Sub, 0.5)? } else { regions };
    // For each region and sample along one axis: two places with their weights, both 0 outside of the image.
    let along = |begin: usize, cells: usize, extent: usize| -> Result<[(Tensor<'g>, Tensor<'g>); 2], Fault> {
        let (from, to) = (regions.at(1, begin)?.unsqueezed(1)?, regions.at(1, begin + 2)?.unsqueezed(1)?);
        let length = to.f2(ScalarFn::Sub, from)?;
        let length = if half { length } else { length.with(ScalarFn::Max, 1.0)? };
        let points = cells * samples;
        let steps: Vec<f64> = (0..points).map(|i| (i as f64 + 0.5) / points as f64).collect();
        let steps = Array::new([1, points], steps).map_err(|e| Fault::Invalid(e.to_string()))?;
        let place = length.f2(ScalarFn::Mul, node.g().constant(steps).to(x.dtype())?)?.f2(ScalarFn::Add, from)?;
        let (low, high) = (place.with(ScalarFn::Ge, -1.0)?, place.with(ScalarFn::Le, extent as f64)?);
        let inside = low.f2(ScalarFn::And, high)?;
        let place = place.clamp(0.0, extent as f64 - 1.0);
        let first = place.f(ScalarFn::Floor)?;
        let ratio = place.f2(ScalarFn::Sub, first)?;
        let rest = ratio.number(1.0).f2(ScalarFn::Sub, ratio)?;
        let second = first.with(ScalarFn::Add, 1.0)?.with(ScalarFn::Min, extent as f64 - 1.0)?;
        let weight = |w: Tensor<'g>| inside.choose(w, w.number(0.0));
        Ok([(first.to(DType::I64)?, weight(rest)?), (second.to(DType::I64)?, weight(ratio)?)])
    };
    let (ys, xs) = (along(1, rows, height)?, along(0, columns, width)?);
    let points: Dims = [count, rows * samples, columns * samples].into_iter().collect();
    let image = x.permute(&[0, 2, 3, 1])?.shaped([n * height * width, channels])?;
    let begin = batches.with(ScalarFn::Mul, (height * width) as f64)?.shaped([count, 1, 1])?;
    let term = |(y, wy): (Tensor<'g>, Tensor<'g>), (x, wx): (Tensor<'g>, Tensor<'g>)| -> Made<'g> {
        let row = y.with(ScalarFn::Mul, width as f64)?.unsqueezed(2)?.f2(ScalarFn::Add, x.unsqueezed(1)?)?;
        let number = row.f2(ScalarFn::Add, begin)?;
        let weight = wy.unsqueezed(2)?.f2(ScalarFn::Mul, wx.unsqueezed(1)?)?;
        let taken = node.g().try_push(Gather::new(0), &[image, number])?;
        taken.f2(ScalarFn::Mul, weight.shaped(&points[..])?.unsqueezed(3)?)
    };
    let terms = [term(ys[0], xs[0])?, term(ys[0], xs[1])?, term(ys[1], xs[0])?, term(ys[1], xs[1])?];
    let f = if mean { ScalarFn::Add } else { ScalarFn::Max };
    let all = terms[1..].iter().try_fold(terms[0], |all, &term| all.f2(f, term))?;
    let cells = all.shaped([count, rows, samples, columns, samples, channels])?;
    let folded = if mean {
        cells.fold(Reduction::Sum, &[2, 4], false)?.with(ScalarFn::Div, (samples * samples) as f64)?
    } else {
        cells.fold(Reduction::Max, &[2, 4], false)?
    };
    one(folded.permute(&[0, 3, 1, 2]))
}
