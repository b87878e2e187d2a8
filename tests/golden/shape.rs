//! The operations of `shape.txt`.

use cotangent::Tensor;
use cotangent::prelude::*;

/// The operation of a case, if it is one of these.
pub fn apply<'g>(g: &'g Builder, name: &str, x: &[Tensor<'g>], arrays: &[Array]) -> Option<Tensor<'g>> {
    let (word, rest) = name.split_once('_').unwrap_or((name, ""));
    if let Some(y) = reduction(word, rest, x[0]) {
        return Some(y);
    }
    let number = || rest.rsplit('_').next().unwrap().parse::<isize>().unwrap();
    let combine = || rest.rsplit('_').next().unwrap().parse::<Combine>().unwrap();
    Some(match name {
        "infer" => x[0].reshape([2, INFER, 6]),
        "flatten" => x[0].flatten(1..),
        "flatten_none" => x[0].flatten(1..1),
        "swap_axes" => x[0].swap_axes(0, -1),
        "move_axis" => x[0].move_axis(0, -1),
        "move_axis_back" => x[0].move_axis(-1, 1),
        "expand_dims" => x[0].expand_dims([0, -2]),
        "slice_from" => x[0].slice(1, 1..),
        "slice_to" => x[0].slice(1, ..2),
        "slice_through" => x[0].slice(-1, 1..=2),
        "slice_backwards" => x[0].slice_step(-1, .., -3),
        "tile" => x[0].tile(&[2, 1, 3]),
        "tile_more" => x[0].tile(&[2, 2]),
        "tile_fewer" => x[0].tile(&[2]),
        "repeat" => x[0].repeat(3, 1),
        "repeat_none" => x[0].repeat(0, 1),
        "space_to_depth" => x[0].space_to_depth(2),
        "depth_to_space" => x[0].depth_to_space(2),
        "pixel_shuffle" => x[0].pixel_shuffle(2),
        "diagonal_axes" => x[0].diagonal(1, 0, 2),
        "trace" => x[0].trace(),
        "dynamic_update_slice" => x[0].dynamic_update_slice(x[1], &x[2..]),
        "gather_nd" => x[0].gather_nd(x[1]),
        "embedding" => x[0].embedding(x[1]),
        "masked_fill" => x[0].masked_fill(x[1], 7.0),
        "index_add" => x[0].index_add(x[1], x[2], 1),
        _ => match word {
            "roll" => x[0].roll(number(), -1),
            "chunk" => x[0].chunk(3, 0)[number() as usize],
            "split" => x[0].split(&[2, 0, 3], 1)[number() as usize],
            "meshgrid" => {
                let grid = g.meshgrid(x);
                grid[number() as usize] + (grid[0] + grid[1] + grid[2]) * 0.0
            }
            "tril" => x[0].tril(number()),
            "triu" => x[0].triu(number()),
            "diag" => x[0].diag(number()),
            "diagonal" => x[0].diagonal(number(), -2, -1),
            "eye" => g.eye(x[0].ty(), number()) + x[0] * 0.0,
            "pad" => {
                let mode = mode(rest)?;
                let widths: Vec<isize> = arrays[1].to_f64_vec().iter().map(|&w| w as isize).collect();
                let widths: Vec<(isize, isize)> = widths.chunks(2).map(|w| (w[0], w[1])).collect();
                x[0].pad_with(&widths, mode)
            }
            "dynamic" => {
                let sizes: Vec<usize> = rest.split('_').skip(1).map(|s| s.parse().unwrap()).collect();
                x[0].dynamic_slice(&x[1..], &sizes)
            }
            "take" => x[0].take_along_axis(x[1], rest.strip_prefix("along_axis_")?.parse().unwrap()),
            "scatter" => match rest.rsplit_once('_') {
                None => x[0].scatter(combine(), x[1], x[2], 0),
                Some(("1", _)) => x[0].scatter(combine(), x[1], x[2], 1),
                Some(("along_1", _)) => x[0].scatter_along_axis(combine(), x[1], x[2], 1),
                Some(("nd", _)) => x[0].scatter_nd(combine(), x[1], x[2]),
                _ => return None,
            },
            _ => return None,
        },
    })
}

fn mode(name: &str) -> Option<PadMode> {
    match name {
        "constant" => Some(PadMode::Constant(1.5)),
        "edge" => Some(PadMode::Edge),
        "reflect" => Some(PadMode::Reflect),
        "wrap" => Some(PadMode::Wrap),
        _ => None,
    }
}

/// Each over its axes; the kept form must be the same in another shape.
fn reduction<'g>(fold: &str, axes: &str, x: Tensor<'g>) -> Option<Tensor<'g>> {
    let axes: &[isize] = match axes {
        "all" => &[0, 1, 2],
        "first" => &[0],
        "last" => &[2],
        "outer" => &[0, 2],
        _ => return None,
    };
    let all = axes.len() == 3;
    let (over, kept) = match fold {
        "any" if all => (x.any(), x.any_keep(axes)),
        "any" => (x.any_over(axes), x.any_keep(axes)),
        "all" => (x.all_over(axes), x.all_keep(axes)),
        "count" => (x.count_nonzero_over(axes), x.count_nonzero_keep(axes)),
        "lse" if all => (x.logsumexp(), x.logsumexp_keep(axes)),
        "lse" => (x.logsumexp_over(axes), x.logsumexp_keep(axes)),
        _ => match fold.split_at(fold.len().min(if fold.starts_with("norm") { 4 } else { 3 })) {
            ("var", ddof) => {
                let ddof = ddof.parse().ok()?;
                (if all { x.variance(ddof) } else { x.variance_over(axes, ddof) }, x.variance_keep(axes, ddof))
            }
            ("std", ddof) => {
                let ddof = ddof.parse().ok()?;
                (if all { x.std(ddof) } else { x.std_over(axes, ddof) }, x.std_keep(axes, ddof))
            }
            ("norm", p) => {
                let p = p.parse().ok()?;
                (if all { x.norm(p) } else { x.norm_over(axes, p) }, x.norm_keep(axes, p))
            }
            _ => return None,
        },
    };
    // Where they differ the result is wrong.
    let shape = over.shape();
    let same = kept.reshape(shape);
    Some(match over.dtype() {
        DType::Bool => (over ^ same).select(!over, over),
        dtype => over.eq(same).select(over, if dtype.is_float() { f64::NAN } else { -1.0 }),
    })
}
