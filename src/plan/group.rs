//! Groups: nodes that one loop nest computes.
//!
//! A group has loop dimensions and members. The coordinate of each axis of a member is a linear function of the loop counters, so the place of its
//! element in row-major memory is one too: its *address*. Two nodes can exchange values in registers when they touch the same element in the same turn
//! of the loops, that is, when the address of the value written equals the address of the value read. All questions of fusion are this comparison.
//!
//! Some dimensions may be *inner*: a fold runs over them. A member is *full* if its address moves with every dimension, a *row* member if it moves with
//! exactly those that are not inner.

use smallvec::SmallVec;

use crate::graph::{Dims, NodeId, Shape};
use crate::prim::Strided;

use super::expr::ExprId;
use super::kernel::FoldKind;

/// Number of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct GroupId(pub(super) u32);

impl GroupId {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Terms `(dimension, factor)` of a coordinate.
pub(super) type Terms = SmallVec<[(usize, isize); 2]>;

/// The coordinates of a body's axes.
pub(super) type Coords = SmallVec<[Terms; 4]>;

/// What a member does with its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its value is the body.
    Map,
    /// Its value is the fold of the body over the inner dimensions.
    Fold(FoldKind),
}

/// A node computed by a loop nest.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The node.
    pub(super) node: NodeId,
    /// Map or fold.
    pub(super) role: Role,
    /// The expression, over its own axes.
    pub(super) body: ExprId,
    /// The body's coordinates.
    pub(super) coords: Coords,
    /// Factor of each dimension in the address of the node's value. Dimensions added later have factor 0.
    pub(super) address: Dims<isize>,
}

/// A loop nest under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Loops {
    /// Extents; none is 1.
    pub(super) dims: Dims,
    /// Whether a dimension is inner.
    pub(super) inner: Dims<bool>,
    /// The nodes.
    pub(super) members: Vec<Member>,
    /// Sum of the bodies' weights.
    pub(super) weight: u32,
}

/// Factor of dimension `d`, which may be newer than the address.
pub(super) fn factor(address: &[isize], d: usize) -> isize {
    address.get(d).copied().unwrap_or(0)
}

/// The address that a view of memory leads to, for these coordinates of its axes.
pub(super) fn address(strides: &[isize], coords: &Coords, dims: usize) -> Dims<isize> {
    let mut address: Dims<isize> = SmallVec::from_elem(0, dims);
    for (&stride, terms) in strides.iter().zip(coords) {
        for &(d, k) in terms {
            address[d] += stride * k;
        }
    }
    address
}

/// How many elements a new inner dimension must have for a row of work to be worth a loop.
const LEAST_EXTENSION: usize = 8;

impl Loops {
    /// Loops over all axes of a shape, with the coordinates of its axes. `inner` lists axes whose dimensions are inner.
    pub(super) fn over(shape: &Shape, inner: &[usize]) -> (Loops, Coords) {
        let mut loops = Loops::default();
        let mut coords = Coords::new();
        for (axis, &extent) in shape.iter().enumerate() {
            let mut terms = Terms::new();
            if extent != 1 {
                terms.push((loops.dims.len(), 1));
                loops.dims.push(extent);
                loops.inner.push(inner.contains(&axis));
            }
            coords.push(terms);
        }
        (loops, coords)
    }

    /// True if there are inner dimensions.
    pub(super) fn has_inner(&self) -> bool {
        self.inner.contains(&true)
    }

    /// True if a view reads, at these coordinates, the element that a member of this address computes.
    pub(super) fn reads_own(&self, view: &Strided, coords: &Coords, member: &[isize]) -> bool {
        let read = address(&view.strides, coords, self.dims.len());
        view.offset == 0 && (0..self.dims.len()).all(|d| read[d] == factor(member, d))
    }

    /// The coordinates, for axes of `view`, at which it reads the element that a member of this address computes in the same turn, with the extents of
    /// new inner dimensions that this takes. `None` if there are no such coordinates.
    pub(super) fn coords_reading(&self, view: &Strided, member: &[isize]) -> Option<(Coords, Dims)> {
        let shape = &view.shape;
        if view.offset != 0 {
            return None;
        }
        let mut coords: Coords = SmallVec::from_elem(Terms::new(), shape.rank());
        let mut unused: Dims = Dims::new();
        for (d, &extent) in self.dims.iter().enumerate() {
            let step = factor(member, d);
            if step == 0 {
                unused.push(d);
                continue;
            }
            // The axis along which this dimension moves: the one of largest stride that fits.
            let fits = |a: &usize| {
                let stride = view.strides[*a];
                shape[*a] > 1
                    && stride > 0
                    && step % stride == 0
                    && step / stride * extent as isize <= shape[*a] as isize
            };
            let axis = (0..shape.rank()).filter(fits).max_by_key(|&a| view.strides[a])?;
            coords[axis].push((d, step / view.strides[axis]));
        }
        let open = unused.len();
        let mut unused = unused.into_iter();
        let mut new: Dims = Dims::new();
        for axis in 0..shape.rank() {
            if shape[axis] == 1 {
                continue;
            }
            if view.strides[axis] == 0 {
                // A repeated axis runs along dimensions that the member does not move with, or along a new one.
                let mut left = shape[axis];
                while left > 1 {
                    match unused.next() {
                        Some(d) if left.is_multiple_of(self.dims[d]) => {
                            left /= self.dims[d];
                            coords[axis].push((d, left as isize));
                        }
                        Some(_) => return None,
                        None if left == shape[axis] => {
                            coords[axis].push((self.dims.len() + new.len(), 1));
                            new.push(left);
                            left = 1;
                        }
                        None => return None,
                    }
                }
            }
            // The dimensions count through the axis without gaps.
            coords[axis].sort_unstable_by_key(|&(_, k)| k);
            let mut next = 1;
            for &(d, k) in &coords[axis] {
                if k != next {
                    return None;
                }
                next *= if d < self.dims.len() { self.dims[d] } else { new[d - self.dims.len()] } as isize;
            }
            if next != shape[axis] as isize {
                return None;
            }
        }
        // A row value leaves all inner dimensions alone, a full value none.
        if (unused.len() != 0 && unused.len() != open) || !self.may_extend(view, &new) {
            return None;
        }
        Some((coords, new))
    }

    /// True if the group may take these new inner dimensions: there are none yet, the repeated axes come last, and they are long enough.
    fn may_extend(&self, view: &Strided, new: &[usize]) -> bool {
        if new.is_empty() {
            return true;
        }
        let repeated = |a: &usize| view.shape[*a] > 1 && view.strides[*a] == 0;
        let moving = |a: &usize| view.shape[*a] > 1 && view.strides[*a] != 0;
        let first_repeated = (0..view.shape.rank()).find(repeated);
        let last_moving = (0..view.shape.rank()).rev().find(moving);
        !self.has_inner()
            && !self.dims.is_empty()
            && last_moving < first_repeated
            && new.iter().product::<usize>() >= LEAST_EXTENSION
    }

    /// Adds inner dimensions.
    pub(super) fn extend(&mut self, new: &[usize]) {
        self.dims.extend(new.iter().copied());
        self.inner.resize(self.dims.len(), true);
    }

    /// Whether a value of this address is full or a row value, if it is either.
    pub(super) fn extent_of(&self, address: &[isize]) -> Option<Reach> {
        let moves = |d: usize| factor(address, d) != 0;
        if (0..self.dims.len()).all(moves) {
            Some(if self.has_inner() { Reach::Full } else { Reach::Row })
        } else if (0..self.dims.len()).all(|d| moves(d) != self.inner[d]) {
            Some(Reach::Row)
        } else {
            None
        }
    }
}

/// With which dimensions a value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// With all, some of which are inner.
    Full,
    /// With those that are not inner.
    Row,
}
