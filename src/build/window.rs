//! Windows over spatial axes: what convolution and pooling have in common.

use smallvec::SmallVec;

use crate::graph::{Dims, OpErrorKind, Shape};
use crate::prim::{Window, Windows};

use super::Tensor;

/// Which axis holds the channels. The first axis counts the examples, and the others are spatial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[examples, channels, spatial ..]`, as in PyTorch and ONNX.
    #[default]
    ChannelsFirst,
    /// `[examples, spatial .., channels]`, as in TensorFlow.
    ChannelsLast,
}

impl Layout {
    /// The spatial axes of a tensor of this rank.
    pub(super) fn spatial(self, rank: usize) -> std::ops::Range<usize> {
        match self {
            Layout::ChannelsFirst => 2..rank.max(2),
            Layout::ChannelsLast => 1..rank.saturating_sub(1).max(1),
        }
    }
}

/// A number for each spatial axis, or one for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PerAxis {
    /// One for all.
    All(usize),
    /// One for each, in the order of the axes.
    Each(Dims),
}

impl PerAxis {
    /// A number for each of `axes` axes.
    pub(super) fn resolve(&self, what: &str, axes: usize) -> Result<Dims, OpErrorKind> {
        match self {
            PerAxis::All(n) => Ok(SmallVec::from_elem(*n, axes)),
            PerAxis::Each(list) if list.len() == axes => Ok(list.clone()),
            PerAxis::Each(list) => Err(wrong_count(what, list.len(), axes)),
        }
    }
}

fn wrong_count(what: &str, given: usize, axes: usize) -> OpErrorKind {
    OpErrorKind::Other(format!("{given} {what} given for {axes} spatial axes"))
}

impl From<usize> for PerAxis {
    fn from(n: usize) -> PerAxis {
        PerAxis::All(n)
    }
}

impl<const N: usize> From<[usize; N]> for PerAxis {
    fn from(list: [usize; N]) -> PerAxis {
        PerAxis::Each(SmallVec::from_slice(&list))
    }
}

impl From<&[usize]> for PerAxis {
    fn from(list: &[usize]) -> PerAxis {
        PerAxis::Each(SmallVec::from_slice(list))
    }
}

/// What is put around the spatial axes before windows slide over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Padding {
    /// Nothing: all windows lie inside.
    #[default]
    Valid,
    /// As much as gives `ceil(extent / stride)` windows, half of it on each side and the odd one behind.
    Same,
    /// As much on both sides of an axis.
    Both(PerAxis),
    /// So much before and behind, for each axis.
    Sides(Dims<(usize, usize)>),
}

impl From<usize> for Padding {
    fn from(n: usize) -> Padding {
        Padding::Both(n.into())
    }
}

impl<const N: usize> From<[usize; N]> for Padding {
    fn from(list: [usize; N]) -> Padding {
        Padding::Both(list.into())
    }
}

impl From<&[usize]> for Padding {
    fn from(list: &[usize]) -> Padding {
        Padding::Both(list.into())
    }
}

impl<const N: usize> From<[(usize, usize); N]> for Padding {
    fn from(list: [(usize, usize); N]) -> Padding {
        Padding::Sides(list.into_iter().collect())
    }
}

impl From<&[(usize, usize)]> for Padding {
    fn from(list: &[(usize, usize)]) -> Padding {
        Padding::Sides(list.iter().copied().collect())
    }
}

impl Padding {
    /// The widths on both sides of each axis, for axes of these extents under these windows.
    pub(super) fn resolve(&self, windows: &Windows, extents: &[usize]) -> Result<Dims<(usize, usize)>, OpErrorKind> {
        let axes = extents.len();
        match self {
            Padding::Valid => Ok(SmallVec::from_elem((0, 0), axes)),
            Padding::Same => {
                let total = |i: usize| {
                    let windows_wanted = extents[i].div_ceil(windows.strides[i]);
                    windows.covered(i, windows_wanted).saturating_sub(extents[i])
                };
                Ok((0..axes).map(|i| (total(i) / 2, total(i) - total(i) / 2)).collect())
            }
            Padding::Both(widths) => Ok(widths.resolve("padding widths", axes)?.iter().map(|&w| (w, w)).collect()),
            Padding::Sides(widths) if widths.len() == axes => Ok(widths.clone()),
            Padding::Sides(widths) => Err(wrong_count("pairs of padding widths", widths.len(), axes)),
        }
    }
}

/// Windows on `axes`; strides and dilations are one number for all axes or as many as there are. None may be 0.
pub(super) fn windows(
    axes: std::ops::Range<usize>,
    sizes: &[usize],
    strides: &PerAxis,
    dilation: &PerAxis,
) -> Result<Windows, OpErrorKind> {
    let count = axes.len();
    if count == 0 {
        return Err(OpErrorKind::Other("takes an axis of examples, one of channels and at least one more".to_owned()));
    }
    let windows = Windows {
        axes: axes.collect(),
        sizes: SmallVec::from_slice(sizes),
        strides: strides.resolve("strides", count)?,
        dilations: dilation.resolve("dilations", count)?,
    };
    let lists = [("window", &windows.sizes), ("stride", &windows.strides), ("dilation", &windows.dilations)];
    match lists.iter().find(|(_, list)| list.contains(&0)) {
        Some((what, _)) => Err(OpErrorKind::Other(format!("a {what} of 0"))),
        None => Ok(windows),
    }
}

impl<'g> Tensor<'g> {
    /// The windows of `size` elements, `step` apart, along `axis`: the axis counts the windows, and their elements are a new last axis, as in PyTorch's
    /// `Tensor.unfold`. Elements behind the last whole window are left out. Windows are a view: nothing is copied.
    ///
    /// # Panics
    /// If there is no such axis, a window does not fit it, or the size or the step is 0.
    #[track_caller]
    pub fn unfold(self, axis: isize, size: usize, step: usize) -> Tensor<'g> {
        let axis = self.axis("unfold", axis);
        let one = |n| SmallVec::from_elem(n, 1);
        let windows = Windows { axes: one(axis), sizes: one(size), strides: one(step), dilations: one(1) };
        self.windows("unfold", windows)
    }

    /// The windows, with errors in the name of `op`.
    #[track_caller]
    pub(super) fn windows(self, op: &'static str, windows: Windows) -> Tensor<'g> {
        self.builder.push_as(op, Window { windows }, &[self])
    }

    /// The tensor with these widths of `value` around its spatial axes, which begin at axis `first`.
    #[track_caller]
    pub(super) fn pad_spatial(self, first: usize, widths: &[(usize, usize)], value: f64) -> Tensor<'g> {
        if widths.iter().all(|&w| w == (0, 0)) {
            return self;
        }
        let mut all: Dims<(usize, usize)> = SmallVec::from_elem((0, 0), self.rank());
        all[first..first + widths.len()].copy_from_slice(widths);
        self.pad(&all, value)
    }
}

/// Extents of some axes.
pub(super) fn extents(shape: &Shape, axes: std::ops::Range<usize>) -> Dims {
    shape[axes].iter().copied().collect()
}
