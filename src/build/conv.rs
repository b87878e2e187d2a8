//! Convolution in any number of dimensions: padding, windows and a product.

use smallvec::SmallVec;

use crate::graph::{Dims, OpErrorKind, Shape, TensorType};
use crate::prim::{Dot, Unwindow, Windows};

use super::Tensor;
use super::window::{Layout, Padding, PerAxis, extents, windows};

/// How a convolution goes. The default is stride 1, no padding, dilation 1, one group and channels first.
///
/// ```
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let x = g.input("x", f32([8, 3, 32, 32]));
/// let w = g.param("w", init::he_conv([16, 3, 5, 5], 0));
/// let y = x.conv(w, &Conv::new().strides(2).padding(Padding::Same));
/// assert_eq!(y.shape()[..], [8, 16, 16, 16]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    strides: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    pub(crate) groups: usize,
    output_padding: PerAxis,
    layout: Layout,
}

impl Default for Conv {
    fn default() -> Conv {
        Conv {
            strides: PerAxis::All(1),
            padding: Padding::Valid,
            dilation: PerAxis::All(1),
            groups: 1,
            output_padding: PerAxis::All(0),
            layout: Layout::ChannelsFirst,
        }
    }
}

impl Conv {
    /// The default.
    pub fn new() -> Conv {
        Conv::default()
    }

    /// From one window to the next: a number, or one for each spatial axis.
    pub fn strides(self, strides: impl Into<PerAxis>) -> Conv {
        Conv { strides: strides.into(), ..self }
    }

    /// Zeros around the spatial axes: [`Padding::Same`], a width, or widths or pairs of widths for each spatial axis.
    pub fn padding(self, padding: impl Into<Padding>) -> Conv {
        Conv { padding: padding.into(), ..self }
    }

    /// From one element of a window to the next: a number, or one for each spatial axis.
    pub fn dilation(self, dilation: impl Into<PerAxis>) -> Conv {
        Conv { dilation: dilation.into(), ..self }
    }

    /// Parts into which the channels fall: each part of the result is computed from one part of the operand. As many groups as channels make a depthwise
    /// convolution.
    pub fn groups(self, groups: usize) -> Conv {
        Conv { groups, ..self }
    }

    /// Elements that the result of a transposed convolution has more at its end, a number, or one for each spatial axis: of the extents that the
    /// convolution would bring to the operand's, it chooses one.
    pub fn output_padding(self, output_padding: impl Into<PerAxis>) -> Conv {
        Conv { output_padding: output_padding.into(), ..self }
    }

    /// Which axis holds the channels.
    pub fn layout(self, layout: Layout) -> Conv {
        Conv { layout, ..self }
    }

    /// Channels last, [`Layout::ChannelsLast`].
    pub fn channels_last(self) -> Conv {
        self.layout(Layout::ChannelsLast)
    }
}

/// A convolution whose shapes fit.
struct Geometry {
    /// Windows on the spatial axes of the operand as given.
    windows: Windows,
    /// Extents of those axes.
    extents: Dims,
    padding: Dims<(usize, usize)>,
    /// Examples; channels of the operand and of the result in one group.
    examples: usize,
    channels: usize,
    filters: usize,
}

impl Conv {
    /// Checks an operand and a weight, whose axes of the operand's and the result's channels in a group, or of all, are `channels` and `filters`.
    fn geometry(&self, x: &TensorType, w: &TensorType, transposed: bool) -> Result<Geometry, OpErrorKind> {
        let other = |text: String| Err(OpErrorKind::Other(text));
        let rank = x.shape.rank();
        if !x.dtype.is_float() {
            return Err(OpErrorKind::DType { position: 0, expected: "a float type".to_owned(), actual: x.dtype });
        }
        if w.dtype != x.dtype {
            return Err(OpErrorKind::DType { position: 1, expected: x.dtype.name().to_owned(), actual: w.dtype });
        }
        if w.shape.rank() != rank {
            let axes = w.shape.rank();
            let missing = match (axes.checked_sub(3), self.layout) {
                (None, _) => String::new(),
                (Some(more), Layout::ChannelsFirst) => {
                    format!("; the operand is expected as [examples, channels, {}]", spatial_names(more + 1))
                }
                (Some(more), Layout::ChannelsLast) => {
                    format!("; the operand is expected as [examples, {}, channels]", spatial_names(more + 1))
                }
            };
            let single = match rank + 1 == axes && axes >= 3 {
                true => ": a single example gets the first axis by `expand(0)`",
                false => "",
            };
            return other(format!("the weight has {axes} axes, the operand {rank}{missing}{single}"));
        }
        let spatial = self.layout.spatial(rank);
        let kernel = match self.layout {
            Layout::ChannelsFirst => 2.min(rank)..rank,
            Layout::ChannelsLast => 0..rank.saturating_sub(2),
        };
        let windows = windows(spatial.clone(), &w.shape[kernel], &self.strides, &self.dilation)?;
        let extents = extents(&x.shape, spatial);
        let channels = match self.layout {
            Layout::ChannelsFirst => x.shape[1],
            Layout::ChannelsLast => x.shape[rank - 1],
        };
        // The weight's axes of channels: first that of the operand's.
        let [own, others] = match (self.layout, transposed) {
            (Layout::ChannelsFirst, false) => [w.shape[1], w.shape[0]],
            (Layout::ChannelsFirst, true) => [w.shape[0], w.shape[1]],
            (Layout::ChannelsLast, _) => [w.shape[rank - 2], w.shape[rank - 1]],
        };
        let groups = self.groups;
        if groups == 0 || channels % groups != 0 {
            return other(format!("{channels} channels do not fall into {groups} groups"));
        }
        // One of the two counts all channels, the other those of a group.
        let (expected, filters) = if transposed { (channels, others) } else { (channels / groups, others / groups) };
        if own != expected {
            return other(format!("the weight has {own} channels of the operand, expected {expected}"));
        }
        if !transposed && others % groups != 0 {
            return other(format!("{others} channels of the result do not fall into {groups} groups"));
        }
        Ok(Geometry {
            padding: match (&self.padding, transposed) {
                // Of the convolution that this one is the transpose of.
                (Padding::Same, true) => {
                    let whole: Dims =
                        extents.iter().zip(&windows.strides).map(|(&n, &s)| n.saturating_mul(s)).collect();
                    self.padding.resolve(&windows, &whole)?
                }
                _ => self.padding.resolve(&windows, &extents)?,
            },
            windows,
            extents,
            examples: x.shape[0],
            channels: channels / groups,
            filters,
        })
    }
}

/// Names for so many spatial axes.
fn spatial_names(count: usize) -> String {
    match count {
        1 => "length".to_owned(),
        2 => "height, width".to_owned(),
        3 => "depth, height, width".to_owned(),
        _ => format!("{count} spatial axes"),
    }
}

/// A shape from its parts.
fn shape(parts: &[&[usize]]) -> Shape {
    parts.iter().copied().flatten().copied().collect()
}

impl<'g> Tensor<'g> {
    /// Convolution, as neural networks have it: at each place, the sum of products of the weight and the window there, over the window and the channels
    /// (in mathematics a cross-correlation). Any number of spatial axes.
    ///
    /// Channels first: `self` `[examples, channels, spatial ..]`, `weight` `[filters, channels / groups, window ..]`, result `[examples, filters, ..]`.
    /// Channels last: `self` `[examples, spatial .., channels]`, `weight` `[window .., channels / groups, filters]`, result `[examples, .., filters]`.
    /// A spatial axis of extent `n`, padded by `p` and `q`, with a window that spans `d (k - 1) + 1`, has `(n + p + q - d (k - 1) - 1) / stride + 1`
    /// elements in the result, rounded down.
    ///
    /// # Panics
    /// If the shapes do not fit, a window is longer than the padded axis, an output padding is given, or the element type is not a float type.
    #[track_caller]
    pub fn conv(self, weight: Tensor<'g>, options: &Conv) -> Tensor<'g> {
        let _scope = self.builder.scope("conv", &[self, weight]);
        let geometry = match options.geometry(&self.ty(), &weight.ty(), false) {
            Ok(geometry) => geometry,
            Err(kind) => self.refuse("conv", &[weight], kind),
        };
        if options.output_padding != PerAxis::All(0) {
            let kind = OpErrorKind::Other("output padding is for transposed convolutions".to_owned());
            self.refuse("conv", &[weight], kind);
        }
        let Geometry { mut windows, extents, padding, examples, channels, filters } = geometry;
        for (i, &axis) in windows.axes.iter().enumerate() {
            let extent = extents[i].saturating_add(padding[i].0).saturating_add(padding[i].1);
            if windows.span(i) > extent {
                let kind = OpErrorKind::Window { axis, span: windows.span(i), extent };
                self.refuse("conv", &[weight], kind);
            }
        }
        let (groups, r) = (options.groups, extents.len());
        // With several groups, they are an axis of their own before the channels, and a batch axis of the product.
        let grouped = usize::from(groups > 1);
        let group: &[usize] = if groups > 1 { &[groups] } else { &[] };
        let kernel = windows.sizes.clone();
        match options.layout {
            Layout::ChannelsFirst => {
                let x = self.reshape(shape(&[&[examples], group, &[channels], &extents]));
                let w = weight.reshape(shape(&[group, &[filters, channels], &kernel]));
                let first = 2 + grouped;
                windows.axes = (first..first + r).collect();
                let x = x.pad_spatial(first, &padding, 0.0).windows("conv", windows);
                let counts = extents_of(x, first..first + r);
                let dot = Dot {
                    lhs_batch: (0..grouped).collect(),
                    rhs_batch: (1..1 + grouped).collect(),
                    lhs_contract: (grouped + 1..grouped + 2 + r).collect(),
                    rhs_contract: std::iter::once(grouped + 1).chain(first + r..first + 2 * r).collect(),
                };
                // [groups, filters, examples, ..] to [examples, groups, filters, ..].
                let y = self.builder.push(dot, &[w, x]);
                let order = std::iter::once(grouped + 1).chain(0..grouped + 1).chain(grouped + 2..y.rank());
                let y = y.permuted(order.collect());
                y.reshape(shape(&[&[examples, groups * filters], &counts]))
            }
            Layout::ChannelsLast => {
                let x = self.reshape(shape(&[&[examples], &extents, group, &[channels]]));
                let w = weight.reshape(shape(&[&kernel, &[channels], group, &[filters]]));
                windows.axes = (1..1 + r).collect();
                let x = x.pad_spatial(1, &padding, 0.0).windows("conv", windows);
                let counts = extents_of(x, 1..1 + r);
                let channel_axis = 1 + r + grouped;
                let dot = Dot {
                    lhs_batch: (1 + r..channel_axis).collect(),
                    rhs_batch: (r + 1..r + 1 + grouped).collect(),
                    lhs_contract: (channel_axis..channel_axis + 1 + r).collect(),
                    rhs_contract: std::iter::once(r).chain(0..r).collect(),
                };
                // [groups, examples, .., filters] to [examples, .., groups, filters].
                let y = self.builder.push(dot, &[x, w]);
                let order = (grouped..grouped + 1 + r).chain(0..grouped).chain(std::iter::once(y.rank() - 1));
                let y = y.permuted(order.collect());
                y.reshape(shape(&[&[examples], &counts, &[groups * filters]]))
            }
        }
    }

    /// Transposed convolution: what the gradient of [`Tensor::conv`] by its operand is, with the same options. Each element of `self` adds the weight, times
    /// itself, to a window of the result.
    ///
    /// Channels first: `self` `[examples, channels, spatial ..]`, `weight` `[channels, filters / groups, window ..]`, as in PyTorch, result
    /// `[examples, filters, ..]`. Channels last: `self` `[examples, spatial .., channels]`, `weight` `[window .., channels, filters / groups]`, result
    /// `[examples, .., filters]`. A spatial axis of extent `n` has `stride (n - 1) + d (k - 1) + 1 - p - q` elements in the result, and those that
    /// [`Conv::output_padding`] adds, with padding `p` and `q`; with [`Padding::Same`], `stride n`.
    ///
    /// # Panics
    /// If the shapes do not fit, the padding leaves nothing of an axis, or the element type is not a float type.
    #[track_caller]
    pub fn conv_transpose(self, weight: Tensor<'g>, options: &Conv) -> Tensor<'g> {
        let _scope = self.builder.scope("conv_transpose", &[self, weight]);
        let geometry = match options.geometry(&self.ty(), &weight.ty(), true) {
            Ok(geometry) => geometry,
            Err(kind) => self.refuse("conv_transpose", &[weight], kind),
        };
        let Geometry { mut windows, extents, padding, examples, channels, filters } = geometry;
        let (groups, r) = (options.groups, extents.len());
        let more = match options.output_padding.resolve("output paddings", r) {
            Ok(more) => more,
            Err(kind) => self.refuse("conv_transpose", &[weight], kind),
        };
        let mut low = Dims::new();
        let mut results = Dims::new();
        for i in 0..r {
            let whole = windows.covered(i, extents[i]).saturating_add(more[i]);
            let result = match options.padding {
                Padding::Same => extents[i].saturating_mul(windows.strides[i]).saturating_add(more[i]),
                _ => match whole.checked_sub(padding[i].0.saturating_add(padding[i].1)) {
                    Some(result) => result,
                    None => {
                        let text = format!("padding {:?} leaves nothing of {whole} elements", padding[i]);
                        self.refuse("conv_transpose", &[weight], OpErrorKind::Other(text));
                    }
                },
            };
            low.push(padding[i].0);
            results.push(result);
        }
        let grouped = usize::from(groups > 1);
        let group: &[usize] = if groups > 1 { &[groups] } else { &[] };
        let kernel = windows.sizes.clone();
        match options.layout {
            Layout::ChannelsFirst => {
                let x = self.reshape(shape(&[&[examples], group, &[channels], &extents]));
                let w = weight.reshape(shape(&[group, &[channels, filters], &kernel]));
                let dot = Dot {
                    lhs_batch: (0..grouped).collect(),
                    rhs_batch: (1..1 + grouped).collect(),
                    lhs_contract: SmallVec::from_slice(&[grouped]),
                    rhs_contract: SmallVec::from_slice(&[1 + grouped]),
                };
                // [groups, filters, window .., examples, spatial ..] to [examples, groups, filters, spatial .., window ..].
                let terms = self.builder.push(dot, &[w, x]);
                let (first_window, example) = (grouped + 1, grouped + 1 + r);
                let order = std::iter::once(example)
                    .chain(0..grouped + 1)
                    .chain(example + 1..example + 1 + r)
                    .chain(first_window..example);
                let terms = terms.permuted(order.collect());
                windows.axes = (2 + grouped..2 + grouped + r).collect();
                let y = self.builder.push(Unwindow { windows, low, extents: results.clone() }, &[terms]);
                y.reshape(shape(&[&[examples, groups * filters], &results]))
            }
            Layout::ChannelsLast => {
                let x = self.reshape(shape(&[&[examples], &extents, group, &[channels]]));
                let w = weight.reshape(shape(&[&kernel, group, &[channels, filters]]));
                let dot = Dot {
                    lhs_batch: (1 + r..1 + r + grouped).collect(),
                    rhs_batch: (r..r + grouped).collect(),
                    lhs_contract: SmallVec::from_slice(&[1 + r + grouped]),
                    rhs_contract: SmallVec::from_slice(&[r + grouped]),
                };
                // [groups, examples, spatial .., window .., filters] to [examples, spatial .., groups, filters, window ..].
                let terms = self.builder.push(dot, &[x, w]);
                let first_window = grouped + 1 + r;
                let order = (grouped..first_window)
                    .chain(0..grouped)
                    .chain(std::iter::once(first_window + r))
                    .chain(first_window..first_window + r);
                let terms = terms.permuted(order.collect());
                windows.axes = (1..1 + r).collect();
                let y = self.builder.push(Unwindow { windows, low, extents: results.clone() }, &[terms]);
                y.reshape(shape(&[&[examples], &results, &[groups * filters]]))
            }
        }
    }
}

fn extents_of(x: Tensor<'_>, axes: std::ops::Range<usize>) -> Dims {
    extents(&x.shape(), axes)
}
