//! Convolutions in any number of dimensions, channels first.

use crate::build::{self, Tensor};
use crate::graph::Shape;

use super::linear::bound;
use super::{Context, Module, Path};

/// A convolution, PyTorch's `Conv1d`, `Conv2d` and `Conv3d`: the length of the window says which.
///
/// ```
/// use cotangent::nn::{Context, Conv, Module, Path};
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let conv = Conv::new(&Path::root(&g).at("conv1"), 1, 6, [5, 5], build::Conv::new().padding(2));
/// # use cotangent::build;
/// let y = conv.forward(g.input("x", f32([50, 1, 28, 28])), &mut Context::infer());
/// assert_eq!(y.shape()[..], [50, 6, 28, 28]);
/// ```
#[derive(Clone, Debug)]
pub struct Conv<'g> {
    /// `<path>.weight`, `[filters, channels / groups, window ..]`.
    pub weight: Tensor<'g>,
    /// `<path>.bias`, `[filters]`.
    pub bias: Option<Tensor<'g>>,
    options: build::Conv,
}

/// What both kinds ask of their arguments.
#[track_caller]
fn expect(layer: &str, channels: usize, filters: usize, options: &build::Conv) {
    let groups = options.groups;
    let divides = |n: usize| groups > 0 && n.is_multiple_of(groups);
    assert!(
        divides(channels) && divides(filters),
        "{layer}: {channels} channels and {filters} filters do not fall into {groups} groups"
    );
}

impl<'g> Conv<'g> {
    /// A convolution with a bias. Both are spread evenly over `+-1 / sqrt(channels / groups * window)` at first.
    ///
    /// # Panics
    /// If a name is taken, or the groups do not divide the channels and filters.
    #[track_caller]
    pub fn new(
        path: &Path<'g>,
        channels: usize,
        filters: usize,
        window: impl AsRef<[usize]>,
        options: build::Conv,
    ) -> Conv<'g> {
        let conv = Conv::without_bias(path, channels, filters, window, options);
        let bound = bound(conv.weight.shape()[1..].iter().product());
        Conv { bias: Some(path.uniform("bias", [filters], bound)), ..conv }
    }

    /// A convolution without a bias.
    ///
    /// # Panics
    /// As [`Conv::new`].
    #[track_caller]
    pub fn without_bias(
        path: &Path<'g>,
        channels: usize,
        filters: usize,
        window: impl AsRef<[usize]>,
        options: build::Conv,
    ) -> Conv<'g> {
        expect("Conv", channels, filters, &options);
        let inner = [channels / options.groups];
        let shape: Shape = [filters].iter().chain(&inner).chain(window.as_ref()).copied().collect();
        let bound = bound(shape[1..].iter().product());
        Conv { weight: path.uniform("weight", shape, bound), bias: None, options }
    }
}

impl<'g> Module<'g> for Conv<'g> {
    /// `[examples, channels, spatial ..]` gives `[examples, filters, spatial ..]`.
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, _: &mut Context<'g>) -> Tensor<'g> {
        with_bias(x.conv(self.weight, &self.options), self.bias)
    }
}

/// A transposed convolution, PyTorch's `ConvTranspose1d` and so on.
#[derive(Clone, Debug)]
pub struct ConvTranspose<'g> {
    /// `<path>.weight`, `[channels, filters / groups, window ..]`.
    pub weight: Tensor<'g>,
    /// `<path>.bias`, `[filters]`.
    pub bias: Option<Tensor<'g>>,
    options: build::Conv,
}

impl<'g> ConvTranspose<'g> {
    /// A transposed convolution with a bias. Both are spread evenly over `+-1 / sqrt(filters / groups * window)` at first.
    ///
    /// # Panics
    /// If a name is taken, or the groups do not divide the channels and filters.
    #[track_caller]
    pub fn new(
        path: &Path<'g>,
        channels: usize,
        filters: usize,
        window: impl AsRef<[usize]>,
        options: build::Conv,
    ) -> ConvTranspose<'g> {
        expect("ConvTranspose", channels, filters, &options);
        let inner = [filters / options.groups];
        let shape: Shape = [channels].iter().chain(&inner).chain(window.as_ref()).copied().collect();
        let bound = bound(shape[1..].iter().product());
        let weight = path.uniform("weight", shape, bound);
        ConvTranspose { weight, bias: Some(path.uniform("bias", [filters], bound)), options }
    }
}

impl<'g> Module<'g> for ConvTranspose<'g> {
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, _: &mut Context<'g>) -> Tensor<'g> {
        with_bias(x.conv_transpose(self.weight, &self.options), self.bias)
    }
}

/// Adds one number to each channel.
#[track_caller]
fn with_bias<'g>(y: Tensor<'g>, bias: Option<Tensor<'g>>) -> Tensor<'g> {
    let Some(bias) = bias else { return y };
    let channels = bias.shape()[0];
    let shape: Shape = std::iter::once(channels).chain(std::iter::repeat_n(1, y.rank() - 2)).collect();
    y + bias.reshape(shape)
}
