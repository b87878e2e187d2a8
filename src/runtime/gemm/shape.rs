//! Shapes of products, and the table in which compiled code describes one.
//!
//! A product has four families of axes. *Batch* axes step through all three matrices, *rows* through `a` and `c`, *columns* through `b` and `c`, and the
//! *contracted* ones through `a` and `b`. A family may have any number of axes with any strides: axes that do not join into one, as those of a transposed or a
//! windowed operand, are read as they lie.

use std::mem::MaybeUninit;

/// An axis of a product: its extent, and the distance in elements of two neighbours in each matrix.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Count of indices.
    pub extent: usize,
    /// Distance in the left factor; 0 for columns.
    pub a: isize,
    /// Distance in the right factor; 0 for rows.
    pub b: isize,
    /// Distance in the result; 0 for contracted axes.
    pub c: isize,
}

/// The axes of a product. In a family the last axis is the one that counts fastest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Axes {
    /// Axes of independent products.
    pub batch: Vec<Axis>,
    /// Axes of `a` and `c`.
    pub rows: Vec<Axis>,
    /// Axes of `b` and `c`.
    pub columns: Vec<Axis>,
    /// Axes of `a` and `b`, which are summed over.
    pub contracted: Vec<Axis>,
}

/// Count of indices of a family.
pub(super) fn extent(axes: &[Axis]) -> usize {
    axes.iter().map(|x| x.extent).product()
}

/// A matrix of a product, to say which of an axis's distances is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
    C,
}

impl Axis {
    pub(super) fn stride(&self, side: Side) -> isize {
        match side {
            Side::A => self.a,
            Side::B => self.b,
            Side::C => self.c,
        }
    }

    pub(super) fn exchanged(self) -> Axis {
        Axis { a: self.b, b: self.a, ..self }
    }
}

/// How a family steps through one matrix: as one axis of this stride, or as several.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) single: bool,
    pub(super) stride: isize,
}

fn line(axes: &[Axis], side: Side) -> Line {
    let mut moving = axes.iter().rev().filter(|x| x.extent != 1);
    let Some(last) = moving.next() else { return Line { single: true, stride: 1 } };
    let (stride, mut next) = (last.stride(side), last.stride(side) * last.extent as isize);
    for axis in moving {
        if axis.stride(side) != next {
            return Line { single: false, stride: 0 };
        }
        next *= axis.extent as isize;
    }
    Line { single: true, stride }
}

/// One family as one matrix sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offsets<'a> {
    axes: &'a [Axis],
    side: Side,
    pub(super) line: Line,
}

impl<'a> Offsets<'a> {
    pub(super) fn new(axes: &'a [Axis], side: Side) -> Offsets<'a> {
        Offsets { axes, side, line: line(axes, side) }
    }

    /// Whether neighbours are at distance 1.
    pub(super) fn is_run(&self) -> bool {
        self.line.single && self.line.stride == 1
    }

    /// The offset of an index.
    pub(super) fn at(&self, index: usize) -> isize {
        if self.line.single {
            return index as isize * self.line.stride;
        }
        let (mut rest, mut offset) = (index, 0);
        for axis in self.axes.iter().rev() {
            offset += (rest % axis.extent) as isize * axis.stride(self.side);
            rest /= axis.extent;
        }
        offset
    }

    /// Writes the offsets of the indices from `start` on.
    pub(super) fn fill<'m>(&self, start: usize, to: &'m mut [MaybeUninit<isize>]) -> &'m [isize] {
        match self.axes.split_last() {
            Some((last, outer)) if !self.line.single => self.fill_axes(last, outer, start, to),
            _ => write_line(to, start as isize * self.line.stride, self.line.stride),
        }
        // SAFETY: both write all of it.
        unsafe { to.assume_init_ref() }
    }

    /// Writes all of `to`: the offsets of indices along the last axis, then those of the next indices of the others.
    fn fill_axes(&self, last: &Axis, outer: &[Axis], start: usize, to: &mut [MaybeUninit<isize>]) {
        let stride = last.stride(self.side);
        let outer = Offsets { axes: outer, side: self.side, line: Line { single: false, stride: 0 } };
        let (mut line, mut first, mut done) = (start / last.extent, start % last.extent, 0);
        while done < to.len() {
            let count = (last.extent - first).min(to.len() - done);
            write_line(&mut to[done..done + count], outer.at(line) + first as isize * stride, stride);
            (line, first, done) = (line + 1, 0, done + count);
        }
    }
}

/// Writes all of `to`: numbers from `first` on, each `stride` more than the one before.
#[inline]
fn write_line(to: &mut [MaybeUninit<isize>], first: isize, stride: isize) {
    let mut offset = first;
    for to in to {
        to.write(offset);
        offset += stride;
    }
}
