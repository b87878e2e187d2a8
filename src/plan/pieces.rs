//! Long folds in two steps: of pieces, then of their results.
//!
//! A fold of a whole tensor into one number, or into few, is one loop that nothing runs beside. Cut into pieces it is rows of a loop nest: threads share
//! them, and the fold joins the kernel that computes its operand if that has the same rows, so the operand is never stored. Pieces follow from shapes
//! alone, so results do not depend on the number of threads. Sums of `f32` pass from piece to piece in double precision, as they do within a long loop;
//! products of floats stay whole, as one piece may overflow where another vanishes.

use crate::graph::{DType, Dims, NodeId, Shape};
use crate::prim::{Emit, Op, Reduce, Reduction};

/// A piece folds at least this many elements into one.
const PIECE: usize = 2048;
/// Whole axes are a piece from this many elements on, rather than part of an axis before them.
const ROW: usize = 256;
/// With this many results, threads and kernels have rows enough.
const RESULTS: usize = 64;
/// Fewer pieces than this are not worth a second step.
const PIECES: usize = 4;

/// A fold in two steps.
pub(super) struct Pieces {
    /// The operand's shape with the axis that is cut as two.
    shape: Shape,
    /// What is folded within a piece.
    within: Dims,
    /// What is folded afterwards, as axes of the result of the first step.
    across: Dims,
}

impl Pieces {
    /// How to fold `axes` of a tensor of this type in two steps, if that pays.
    pub(super) fn of(reduction: Reduction, dtype: DType, shape: &Shape, axes: &[usize]) -> Option<Pieces> {
        let folded: usize = axes.iter().map(|&a| shape[a]).product();
        let results: usize = (0..shape.rank()).filter(|a| !axes.contains(a)).map(|a| shape[a]).product();
        let grows = reduction == Reduction::Prod && dtype.is_float();
        if folded < PIECES * ROW || results == 0 || results >= RESULTS || grows {
            return None;
        }
        let (mut count, mut first) = (1, axes.len());
        while first > 0 && count * shape[axes[first - 1]] <= PIECE {
            first -= 1;
            count *= shape[axes[first]];
        }
        // The axis in front of the piece is cut, unless the piece is a row already.
        let cut = match first.checked_sub(1) {
            Some(_) if count >= ROW => None,
            Some(i) => Some((i, divisor(shape[axes[i]], PIECE.div_ceil(count))?)),
            None => None,
        };
        let part = cut.map_or(1, |(_, part)| part);
        if folded / (count * part) < PIECES {
            return None;
        }
        let mut dims: Dims = Dims::new();
        let (mut within, mut across) = (Dims::new(), Dims::new());
        let mut kept = 0;
        for axis in 0..shape.rank() {
            let place = axes.iter().position(|&a| a == axis);
            let split = place.and_then(|place| cut.filter(|&(i, _)| i == place));
            match (place, split) {
                (_, Some((_, part))) => {
                    across.push(kept);
                    dims.push(shape[axis] / part);
                    within.push(dims.len());
                    dims.push(part);
                    kept += 1;
                    continue;
                }
                (Some(place), None) if place >= first => within.push(dims.len()),
                (Some(_), None) => {
                    across.push(kept);
                    kept += 1;
                }
                (None, _) => kept += 1,
            }
            dims.push(shape[axis]);
        }
        Some(Pieces { shape: dims.into_iter().collect(), within, across })
    }

    /// Emits both steps. The folds are handed to `keep`, which does not take them apart again.
    pub(super) fn emit<E: Emit>(
        self,
        e: &mut E,
        reduction: Reduction,
        x: NodeId,
        keep: impl Fn(&mut E, Op, NodeId) -> NodeId,
    ) -> NodeId {
        let dtype = e.ty(x).dtype;
        let wide = if reduction == Reduction::Sum && dtype == DType::F32 { DType::F64 } else { dtype };
        let x = e.reshape(x, self.shape);
        let x = e.cast(x, wide);
        let parts = keep(e, Reduce { reduction, axes: self.within }.into(), x);
        let result = keep(e, Reduce { reduction, axes: self.across }.into(), parts);
        e.cast(result, dtype)
    }
}

/// The least divisor of `extent` that is at least `least` and at most four times that, if there is one.
fn divisor(extent: usize, least: usize) -> Option<usize> {
    (least..=least * 4).take_while(|&d| d < extent).find(|&d| extent.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(shape: &[usize], axes: &[usize]) -> Option<(Vec<usize>, Vec<usize>, Vec<usize>)> {
        let pieces = Pieces::of(Reduction::Sum, DType::F32, &Shape::from(shape), axes)?;
        Some((pieces.shape.to_vec(), pieces.within.to_vec(), pieces.across.to_vec()))
    }

    #[test]
    fn whole_tensors_are_cut_between_axes_or_within_one() {
        assert_eq!(cut(&[1024, 1024], &[0, 1]), Some((vec![1024, 1024], vec![1], vec![0])));
        assert_eq!(cut(&[1 << 20], &[0]), Some((vec![512, 2048], vec![1], vec![0])));
        assert_eq!(cut(&[100_000, 10], &[0, 1]), Some((vec![400, 250, 10], vec![1, 2], vec![0])));
    }

    #[test]
    fn kept_axes_stay_where_they_are() {
        // Statistics of a batch of pictures by channel.
        assert_eq!(cut(&[32, 16, 28, 28], &[0, 2, 3]), Some((vec![32, 16, 28, 28], vec![2, 3], vec![0])));
        // Few columns.
        assert_eq!(cut(&[100_000, 10], &[0]), Some((vec![40, 2500, 10], vec![1], vec![0])));
        // Few rows.
        assert_eq!(cut(&[3, 5, 8192], &[1, 2]), Some((vec![3, 5, 4, 2048], vec![3], vec![1, 2])));
    }

    #[test]
    fn short_folds_and_folds_of_many_results_stay_whole() {
        assert_eq!(cut(&[4096], &[0]), None);
        assert_eq!(cut(&[1024, 1024], &[1]), None);
        assert_eq!(cut(&[128, 1000, 1000], &[1, 2]), None);
        assert_eq!(cut(&[65_536, 256], &[0]), None);
        assert_eq!(cut(&[32, 100_000], &[0]), None);
        assert_eq!(cut(&[0, 5], &[0]), None);
        assert_eq!(cut(&[5, 0], &[0]), None);
        // A prime number of elements has no pieces.
        assert_eq!(cut(&[1_000_003], &[0]), None);
    }

    #[test]
    fn products_of_floats_stay_whole() {
        let shape = Shape::from(vec![1 << 20]);
        let of = |reduction, dtype| Pieces::of(reduction, dtype, &shape, &[0]).is_some();
        assert!(!of(Reduction::Prod, DType::F32) && !of(Reduction::Prod, DType::F64));
        assert!(of(Reduction::Prod, DType::I32) && of(Reduction::Max, DType::F32));
    }
}
