//! Long folds in two steps: of pieces, then of their results.
//!
//! A fold of a whole tensor into one number, or into few, is one loop that nothing runs beside. Cut into pieces it is rows of a loop nest: threads share
//! them, and the fold joins the kernel that computes its operand if that has the same rows, so the operand is never stored. Pieces follow from shapes
//! alone, so results do not depend on the number of threads; and sums round less.

use crate::graph::{Dims, NodeId, Shape};
use crate::prim::{Emit, Reduction};

/// A piece folds at least this many elements into one, if the results are few.
const PIECE: usize = 2048;
/// A piece reads at least this many elements, if they are many.
const READ: usize = 131_072;
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
    /// How to fold `axes` of a tensor of this shape in two steps, if that pays.
    pub(super) fn of(shape: &Shape, axes: &[usize]) -> Option<Pieces> {
        let folded: usize = axes.iter().map(|&a| shape[a]).product();
        let results: usize = (0..shape.rank()).filter(|a| !axes.contains(a)).map(|a| shape[a]).product();
        if folded < PIECES * 2 || results == 0 {
            return None;
        }
        let outer: usize = (0..*axes.first()?).map(|a| shape[a]).product();
        let last_kept = axes.last().is_some_and(|&a| a + 1 < shape.rank());
        // Rows of the kernel as it is: what is kept, but for columns that vectors run along.
        if outer >= RESULTS || (!last_kept && results >= RESULTS) {
            return None;
        }
        let piece = if results < RESULTS { PIECE } else { (READ / results).max(2) };
        let (mut count, mut first) = (1, axes.len());
        while first > 0 && count * shape[axes[first - 1]] <= piece {
            first -= 1;
            count *= shape[axes[first]];
        }
        // The axis in front of the piece is cut, unless the piece is a row already.
        let cut = match first.checked_sub(1) {
            Some(_) if count >= ROW.min(piece) => None,
            Some(i) => Some((i, divisor(shape[axes[i]], piece.div_ceil(count))?)),
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

    /// Emits both steps.
    pub(super) fn emit(self, e: &mut dyn Emit, reduction: Reduction, x: NodeId) -> NodeId {
        let x = e.reshape(x, self.shape);
        let parts = e.reduce(reduction, x, self.within);
        e.reduce(reduction, parts, self.across)
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
        let pieces = Pieces::of(&Shape::from(shape), axes)?;
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
        // Many columns, which a loop over rows adds up.
        assert_eq!(cut(&[65_536, 256], &[0]), Some((vec![128, 512, 256], vec![1], vec![0])));
    }

    #[test]
    fn short_folds_and_folds_of_many_rows_stay_whole() {
        assert!(cut(&[4096], &[0]).is_none());
        assert!(cut(&[1024, 1024], &[1]).is_none());
        assert!(cut(&[128, 1000, 1000], &[1, 2]).is_none());
        assert!(cut(&[128, 1024], &[0]).is_none());
        assert!(cut(&[0, 5], &[0]).is_none());
        assert!(cut(&[5, 0], &[0]).is_none());
        // A prime number of elements has no pieces.
        assert!(cut(&[1_000_003], &[0]).is_none());
    }
}
