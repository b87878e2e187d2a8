//! Parts of tensors and tensors with more around them: slices, reversal, rotation, padding.

use std::ops::{Bound, Range, RangeBounds};

use smallvec::SmallVec;

use crate::graph::{DType, Dims, OpErrorKind, Shape, TensorType};
use crate::prim::{Combine, Concat, Gather, Iota, Pad, Scatter, Slice};

use super::{IntoAxes, Tensor};

/// What [`Tensor::pad_with`] puts around the elements. The names and the numbers are those of NumPy's `pad`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This number.
    Constant(f64),
    /// The nearest element: `a a | a b c | c c`.
    Edge,
    /// The elements mirrored at the outermost ones, which are not repeated: `c b | a b c | b a`.
    Reflect,
    /// The elements from the other end: `b c | a b c | a b`.
    Wrap,
}

impl PadMode {
    /// The element that stands at place `at` of an axis, counted from its first element; `None` for the constant. There are elements.
    fn source(self, at: isize, extent: usize) -> Option<usize> {
        let n = extent as isize;
        let source = match self {
            PadMode::Constant(_) => return (0..n).contains(&at).then_some(at as usize),
            PadMode::Edge => at.clamp(0, n - 1),
            PadMode::Wrap => at.rem_euclid(n),
            PadMode::Reflect => {
                let period = (2 * (n - 1)).max(1);
                let at = at.rem_euclid(period);
                at.min(period - at)
            }
        };
        Some(source.min(n - 1) as usize)
    }
}

/// A run of places whose sources are in equal steps.
struct Run {
    start: usize,
    len: usize,
    step: isize,
}

/// The sources as runs of steps -1, 0 or 1.
fn runs(sources: impl Iterator<Item = usize>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for source in sources {
        if let Some(run) = runs.last_mut() {
            let step = source as isize - (run.start as isize + (run.len as isize - 1) * run.step);
            if run.len == 1 && step.abs() <= 1 || run.len > 1 && step == run.step {
                *run = Run { step, len: run.len + 1, ..*run };
                continue;
            }
        }
        runs.push(Run { start: source, len: 1, step: 1 });
    }
    runs
}

/// The range with its open ends filled in, for `extent` elements.
pub(super) fn resolve_range(range: &impl RangeBounds<usize>, extent: usize) -> Range<usize> {
    let start = match range.start_bound() {
        Bound::Included(&s) => s,
        Bound::Excluded(&s) => s.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&e) => e.saturating_add(1),
        Bound::Excluded(&e) => e,
        Bound::Unbounded => extent,
    };
    start..end
}

/// A slice that takes everything.
fn whole(shape: &Shape) -> Slice {
    Slice {
        start: SmallVec::from_elem(0, shape.rank()),
        len: shape.iter().copied().collect(),
        step: SmallVec::from_elem(1, shape.rank()),
    }
}

impl<'g> Tensor<'g> {
    /// The elements of a range along `axis`: `x.slice(0, 1..3)`, `x.slice(-1, ..n)`, `x.slice(0, 2..)`.
    ///
    /// # Panics
    /// If there is no such axis or the range leaves it.
    #[doc(alias = "narrow")]
    #[track_caller]
    pub fn slice(self, axis: isize, range: impl RangeBounds<usize>) -> Tensor<'g> {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th element of a range along `axis`. With a negative step they come in reverse order, beginning with the last of the range.
    ///
    /// # Panics
    /// If there is no such axis, the range leaves it, or the step is 0.
    #[track_caller]
    pub fn slice_step(self, axis: isize, range: impl RangeBounds<usize>, step: isize) -> Tensor<'g> {
        let axis = self.axis("slice", axis);
        let shape = self.shape();
        let extent = shape[axis];
        let range = resolve_range(&range, extent);
        if step == 0 || range.start > range.end || range.end > extent {
            let kind = OpErrorKind::Slice { axis, start: range.start, end: range.end, step, extent };
            self.refuse("slice", &[], kind)
        }
        let mut slice = whole(&shape);
        let count = range.len().div_ceil(step.unsigned_abs());
        slice.len[axis] = count;
        slice.step[axis] = step;
        slice.start[axis] = if step < 0 && count > 0 { range.end - 1 } else { range.start };
        self.builder.push(slice, &[self])
    }

    /// The elements along the given axes in reverse order.
    ///
    /// # Panics
    /// If there is no such axis, or an axis is given twice.
    #[doc(alias = "reverse")]
    #[track_caller]
    pub fn flip(self, axes: impl IntoAxes) -> Tensor<'g> {
        let shape = self.shape();
        let mut slice = whole(&shape);
        let axes = self.axes("flip", axes);
        if axes.is_empty() {
            return self;
        }
        for axis in axes {
            slice.start[axis] = shape[axis].saturating_sub(1);
            slice.step[axis] = -1;
        }
        self.builder.push(slice, &[self])
    }

    /// The elements moved `shift` places along `axis`; those that leave at the end come in at the other.
    ///
    /// # Panics
    /// If there is no such axis.
    #[doc(alias = "rotate")]
    #[track_caller]
    pub fn roll(self, shift: isize, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("roll", &[self]);
        let at = self.axis("roll", axis);
        let extent = self.shape()[at];
        let shift = if extent == 0 { 0 } else { shift.rem_euclid(extent as isize) as usize };
        if shift == 0 {
            return self;
        }
        let parts = [self.slice(axis, extent - shift..), self.slice(axis, ..extent - shift)];
        self.builder.push(Concat { axis: at }, &parts)
    }

    /// `value` around the elements: on axis `i`, `widths[i].0` times before and `widths[i].1` times behind.
    ///
    /// # Panics
    /// If there is not one pair of widths for each axis.
    #[track_caller]
    pub fn pad(self, widths: &[(usize, usize)], value: f64) -> Tensor<'g> {
        let pad = Pad {
            low: widths.iter().map(|w| w.0).collect(),
            high: widths.iter().map(|w| w.1).collect(),
            interior: SmallVec::from_elem(0, widths.len()),
            value: value.to_bits(),
        };
        self.builder.push(pad, &[self])
    }

    /// Elements around those of the tensor: on axis `i`, `widths[i].0` before and `widths[i].1` behind, as the mode says. A negative width takes elements
    /// away. Element `j` of an axis is what stands at place `j - widths[i].0` of the tensor continued without end, so a width may be larger than the
    /// extent, and one end may take away more than there is if the other adds as much.
    ///
    /// # Panics
    /// If there is not one pair of widths for each axis, an axis would have less than no elements, or there are no elements to repeat.
    #[track_caller]
    pub fn pad_with(self, widths: &[(isize, isize)], mode: PadMode) -> Tensor<'g> {
        let _scope = self.builder.scope("pad_with", &[self]);
        let shape = self.shape();
        if widths.len() != shape.rank() {
            let kind =
                OpErrorKind::AttributeLength { attribute: "widths", expected: shape.rank(), given: widths.len() };
            self.refuse("pad_with", &[], kind)
        }
        let mut result = self;
        for (axis, &(low, high)) in widths.iter().enumerate() {
            let extent = shape[axis];
            let sum = (extent as isize).checked_add(low).and_then(|n| n.checked_add(high));
            let Some(len) = sum.and_then(|n| usize::try_from(n).ok()) else {
                let why = format!("widths ({low}, {high}) do not fit axis {axis} of extent {extent}");
                self.refuse("pad_with", &[], OpErrorKind::Other(why))
            };
            if (low, high) == (0, 0) {
                continue;
            }
            result = match mode {
                PadMode::Constant(value) => result.pad_constant(axis, (low, high), value),
                _ if len == 0 => result.slice(axis as isize, ..0),
                _ if extent == 0 => {
                    let why = format!("axis {axis} has no elements to repeat");
                    self.refuse("pad_with", &[], OpErrorKind::Other(why))
                }
                _ => result.continued(axis, -low..len as isize - low, mode),
            };
        }
        result
    }

    /// The constant mode on one axis.
    #[track_caller]
    fn pad_constant(self, axis: usize, (low, high): (isize, isize), value: f64) -> Tensor<'g> {
        let shape = self.shape();
        let extent = shape[axis] as isize;
        let (start, end) = ((-low).clamp(0, extent), (extent + high).clamp(0, extent));
        let kept = if start < end { start..end } else { 0..0 };
        let len = extent + low + high;
        let before = if kept.is_empty() { len } else { low.max(0) };
        let mut widths: Dims<(usize, usize)> = SmallVec::from_elem((0, 0), shape.rank());
        widths[axis] = (before as usize, (len - before) as usize - kept.len());
        let part = match kept.len() == shape[axis] {
            true => self,
            false => self.slice(axis as isize, kept.start as usize..kept.end as usize),
        };
        if widths[axis] == (0, 0) { part } else { part.pad(&widths, value) }
    }

    /// The elements that stand at these places of an axis continued without end.
    #[track_caller]
    fn continued(self, axis: usize, places: Range<isize>, mode: PadMode) -> Tensor<'g> {
        let shape = self.shape();
        let sources = places.filter_map(|at| mode.source(at, shape[axis]));
        let mut parts = Vec::new();
        for Run { start, len, step } in runs(sources) {
            let mut slice = whole(&shape);
            (slice.start[axis], slice.len[axis], slice.step[axis]) = (start, len, step);
            if step != 0 {
                parts.push(self.builder.push(slice, &[self]));
                continue;
            }
            (slice.len[axis], slice.step[axis]) = (1, 1);
            let repeated: Shape = shape.iter().enumerate().map(|(a, &d)| if a == axis { len } else { d }).collect();
            parts.push(self.builder.push(slice, &[self]).broadcast_to(repeated));
        }
        if let [only] = parts[..] { only } else { self.builder.push(Concat { axis }, &parts) }
    }

    /// The part of shape `sizes` that begins at `starts`, which are integer scalars, one for each axis. A start that would make the part leave the tensor is
    /// moved to the nearest that does not, as in XLA; in particular a negative one is 0.
    ///
    /// # Panics
    /// If there is not one start and one size for each axis, a start is no integer scalar, or a size is larger than its axis.
    #[track_caller]
    pub fn dynamic_slice(self, starts: &[Tensor<'g>], sizes: &[usize]) -> Tensor<'g> {
        let operands: Vec<Tensor<'g>> = [self].into_iter().chain(starts.iter().copied()).collect();
        let _scope = self.builder.scope("dynamic_slice", &operands);
        let shape = self.shape();
        match self.window("dynamic_slice", starts, sizes) {
            Window::Nothing => {
                let slice = Slice { len: sizes.iter().copied().collect(), ..whole(&shape) };
                self.builder.push(slice, &[self])
            }
            Window::Whole => self,
            Window::Axis(axis, index) => self.take(index, axis as isize),
            Window::Flat(count, index) => {
                let flat: Shape = [shape[..count].iter().product()].iter().chain(&shape[count..]).copied().collect();
                self.builder.push(Gather::new(0), &[self.reshape(flat), index])
            }
        }
    }

    /// The tensor with the part of `update`'s shape that begins at `starts` replaced by `update`. Starts are as in [`Tensor::dynamic_slice`].
    ///
    /// # Panics
    /// If there is not one start for each axis, a start is no integer scalar, the update has another rank or element type, or one of its extents is
    /// larger than the tensor's.
    #[track_caller]
    pub fn dynamic_update_slice(self, update: Tensor<'g>, starts: &[Tensor<'g>]) -> Tensor<'g> {
        const OP: &str = "dynamic_update_slice";
        let operands: Vec<Tensor<'g>> = [self, update].into_iter().chain(starts.iter().copied()).collect();
        let _scope = self.builder.scope(OP, &operands);
        let (shape, sizes) = (self.shape(), update.shape());
        if update.dtype() != self.dtype() {
            let kind = OpErrorKind::DType { position: 1, expected: self.dtype().to_string(), actual: update.dtype() };
            self.refuse(OP, &[update], kind)
        }
        let set = Scatter { batch: 0, combine: Combine::Set };
        match self.window(OP, starts, &sizes) {
            Window::Nothing => self,
            Window::Whole => update,
            Window::Axis(axis, index) => self.scatter(Combine::Set, index, update, axis as isize),
            Window::Flat(count, index) => {
                let flat: Shape = [shape[..count].iter().product()].iter().chain(&shape[count..]).copied().collect();
                self.builder.push(set, &[self.reshape(flat), index, update]).reshape(shape)
            }
        }
    }

    /// Which elements a part of shape `sizes` that begins at `starts` is.
    #[track_caller]
    fn window(self, op: &'static str, starts: &[Tensor<'g>], sizes: &[usize]) -> Window<'g> {
        let (g, shape) = (self.builder, self.shape());
        for (attribute, given) in [("starts", starts.len()), ("sizes", sizes.len())] {
            if given != shape.rank() {
                self.refuse(op, &[], OpErrorKind::AttributeLength { attribute, expected: shape.rank(), given })
            }
        }
        for (i, &start) in starts.iter().enumerate() {
            if !start.dtype().is_int() || start.rank() != 0 {
                let why = format!("start {i} is {}, expected an integer scalar", start.ty());
                self.refuse(op, &[start], OpErrorKind::Other(why))
            }
        }
        if let Some(axis) = (0..shape.rank()).find(|&a| sizes[a] > shape[a]) {
            let (end, extent) = (sizes[axis], shape[axis]);
            self.refuse(op, &[], OpErrorKind::Slice { axis, start: 0, end, step: 1, extent })
        }
        if sizes.contains(&0) {
            return Window::Nothing;
        }
        let number = |n: usize| g.number(TensorType::new(DType::I64, []), n as f64);
        let place = |axis: usize| {
            let start = starts[axis].cast(DType::I64).maximum(number(0)).minimum(number(shape[axis] - sizes[axis]));
            start + g.push(Iota { ty: TensorType::new(DType::I64, [sizes[axis]]), axis: 0 }, &[])
        };
        let cut: Dims = (0..shape.rank()).filter(|&a| sizes[a] < shape[a]).collect();
        match cut[..] {
            [] => Window::Whole,
            [axis] => Window::Axis(axis, place(axis)),
            [.., last] => {
                // The number of each element among those of the axes up to the last that is cut.
                let count = last + 1;
                let mut index = number(0);
                for axis in 0..count {
                    let mut along: Dims = SmallVec::from_elem(1, count);
                    along[axis] = sizes[axis];
                    let at = match sizes[axis] == shape[axis] {
                        true => g.push(Iota { ty: TensorType::new(DType::I64, [sizes[axis]]), axis: 0 }, &[]),
                        false => place(axis),
                    };
                    index = index * number(shape[axis]) + at.reshape(&along[..]);
                }
                Window::Flat(count, index)
            }
        }
    }
}

/// The elements of a part whose place is known at run time.
enum Window<'g> {
    /// None.
    Nothing,
    /// All.
    Whole,
    /// Those of these indices along an axis.
    Axis(usize, Tensor<'g>),
    /// Those of these indices in so many leading axes made one.
    Flat(usize, Tensor<'g>),
}
