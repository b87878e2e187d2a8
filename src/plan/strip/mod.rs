//! Strips: consecutive steps that are done together, piece by piece.
//!
//! ```text
//!   step by step                        as a strip of four pieces
//!     scores = q k^T      all heads       for each head, or each picture of a batch
//!     p = softmax(scores)                   its scores, their softmax, its output
//!     o = p v
//! ```
//!
//! What one step of a strip hands to the next is used while it is in the cache; if nobody else wants it, it has memory for one piece only, one for each
//! thread. And threads share the pieces, so that steps too short to be shared one by one are shared together.
//!
//! A piece of a kernel is one turn of its outermost loop; a piece of a product is one index of an axis of its result. Pieces do not depend on each
//! other: where one step of the strip writes what another touches, each piece stays within its own part of that buffer. `find` cuts kernels and
//! products so, and the [checker](super::check) proves it.

mod find;

use std::ops::Range;

use super::{Axes, Axis, Matrix, Product};

pub(super) use find::{Found, find};

/// Which steps become strips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strips {
    /// None.
    Never,
    /// Those that gain by it.
    WherePaid,
    /// All that can be, even in two pieces: for tests.
    WhereverPossible,
}

/// Consecutive steps that are done together, piece by piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    /// Positions in [`Plan::steps`](super::Plan::steps).
    pub steps: Range<usize>,
    /// How many pieces there are.
    pub pieces: usize,
    /// How each step is cut.
    pub cuts: Vec<Cut>,
}

/// What a piece of a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// One turn of a kernel's outermost loop, which is a row loop and has a turn for each piece.
    Rows,
    /// One index of the first axis of this family of a product's axes, whose extent is the count of pieces.
    Axis(Family),
}

/// A family of the axes of a product's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Independent products.
    Batch,
    /// Rows.
    Rows,
    /// Columns.
    Columns,
}

impl Family {
    /// All of them.
    const ALL: [Family; 3] = [Family::Batch, Family::Rows, Family::Columns];

    /// The axes of the family.
    pub fn of(self, axes: &Axes) -> &[Axis] {
        match self {
            Family::Batch => &axes.batch,
            Family::Rows => &axes.rows,
            Family::Columns => &axes.columns,
        }
    }

    fn of_mut(self, axes: &mut Axes) -> &mut Vec<Axis> {
        match self {
            Family::Batch => &mut axes.batch,
            Family::Rows => &mut axes.rows,
            Family::Columns => &mut axes.columns,
        }
    }
}

impl Product {
    /// Piece number `piece` of a product that is cut along the first axis of a family.
    ///
    /// # Panics
    /// If the family has no axis.
    pub fn piece(&self, family: Family, piece: usize) -> Product {
        let mut product = self.clone();
        let axis = family.of_mut(&mut product.axes).remove(0);
        let moved = |m: Matrix, stride: isize| Matrix { offset: m.offset + stride * piece as isize, ..m };
        product.a = moved(product.a, axis.a);
        product.b = moved(product.b, axis.b);
        product.c = moved(product.c, axis.c);
        product
    }
}
