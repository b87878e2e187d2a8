//! Normalization: layer, RMS, group, instance and batch norm, local response norm.
//!
//! The methods normalize only; gain and bias are put on with [`Tensor::affine`] or an operator:
//!
//! ```
//! # use cotangent::prelude::*;
//! # let g = Builder::new();
//! # let x = g.input("x", f32([8, 16, 5, 5]));
//! # let (gain, bias) = (g.param("gain", init::ones([16])), g.param("bias", init::zeros([16])));
//! let y = x.group_norm(4, 1e-5).affine(gain, bias, 1);
//! ```
//!
//! All variances are divided by the count, and the mean is subtracted before squaring, so that a large offset costs no digits. Where all elements are equal,
//! the result and its gradient are finite as long as `eps` is positive.

use crate::graph::{Dims, OpError, OpErrorKind, Shape, TensorType};

use super::{Builder, Init, IntoAxes, Tensor, init};

impl<'g> Tensor<'g> {
    /// Rows along the last axis shifted and scaled to mean 0 and variance 1: `(x - mean) / sqrt(variance + eps)` (Ba, Kiros and Hinton 2016).
    ///
    /// # Panics
    /// If the tensor is a scalar or the element type is not a float type.
    #[track_caller]
    pub fn layer_norm(self, eps: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("layer_norm", &[self]);
        self.standardized(-1, eps)
    }

    /// [`Tensor::layer_norm`] over any axes together.
    ///
    /// # Panics
    /// If there is no such axis, an axis is given twice, or the element type is not a float type.
    #[track_caller]
    pub fn layer_norm_over(self, axes: impl IntoAxes, eps: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("layer_norm_over", &[self]);
        self.standardized(axes, eps)
    }

    /// Elements divided by the root of their mean square over the given axes together: `x / sqrt(mean(x^2) + eps)` (Zhang and Sennrich 2019).
    ///
    /// # Panics
    /// If there is no such axis, an axis is given twice, or the element type is not a float type.
    #[track_caller]
    pub fn rms_norm(self, axes: impl IntoAxes, eps: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("rms_norm", &[self]);
        self * (self.square().mean_keep(axes) + eps).rsqrt()
    }

    /// Channels normalized in `groups` of neighbours, for each example by itself (Wu and He 2018). The first axis is the examples, the second the channels,
    /// and the mean and variance are over a group's channels and all further axes.
    ///
    /// # Panics
    /// If there are fewer than two axes, the groups do not divide the channels, or the element type is not a float type.
    #[track_caller]
    pub fn group_norm(self, groups: usize, eps: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("group_norm", &[self]);
        let shape = self.shape();
        let channels = shape[self.axis("group_norm", 1)];
        if groups == 0 || !channels.is_multiple_of(groups) {
            self.refuse_because("group_norm", format!("{groups} groups do not divide {channels} channels"));
        }
        let group = channels / groups * shape[2..].iter().product::<usize>();
        self.reshape([shape[0], groups, group]).standardized(-1, eps).reshape(shape)
    }

    /// Each channel of each example normalized by itself over all axes behind the second (Ulyanov, Vedaldi and Lempitsky 2016).
    ///
    /// # Panics
    /// If there are fewer than three axes or the element type is not a float type.
    #[track_caller]
    pub fn instance_norm(self, eps: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("instance_norm", &[self]);
        self.axis("instance_norm", 2);
        let axes: Dims<isize> = (2..self.rank() as isize).collect();
        self.standardized(&axes[..], eps)
    }

    /// Elements divided by a power of the mean square over neighbouring channels, `x / (k + alpha / size * sum(x^2))^beta` (Krizhevsky, Sutskever and
    /// Hinton 2012, section 3.3, with `alpha` divided by `size` as in PyTorch). Channels are the second axis; the sum is over `size` of them around each,
    /// those before the first and behind the last count as 0.
    ///
    /// # Panics
    /// If there are fewer than two axes, `size` is 0, or the element type is not a float type.
    #[track_caller]
    pub fn local_response_norm(self, size: usize, alpha: f64, beta: f64, k: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("local_response_norm", &[self]);
        let channels = self.shape()[self.axis("local_response_norm", 1)];
        if size == 0 {
            self.refuse_because("local_response_norm", "a window holds at least one channel".to_owned());
        }
        let mut widths = vec![(0, 0); self.rank()];
        widths[1] = (size / 2, (size - 1) / 2);
        let squares = self.square().pad(&widths, 0.0);
        let mut sum = squares.slice(1, 0..channels);
        for first in 1..size {
            sum = sum + squares.slice(1, first..first + channels);
        }
        self / (sum * (alpha / size as f64) + k).pow(beta)
    }

    /// `x gain + bias`, where gain and bias have the extents of the given axes and are repeated along the others.
    ///
    /// # Panics
    /// If the shapes or element types do not fit, there is no such axis, or an axis is given twice.
    #[track_caller]
    pub fn affine(self, gain: Tensor<'g>, bias: Tensor<'g>, axes: impl IntoAxes) -> Tensor<'g> {
        let _scope = self.builder.scope("affine", &[self, gain, bias]);
        let axes = self.axes("affine", axes);
        self * self.along(gain, 1, &axes) + self.along(bias, 2, &axes)
    }

    /// `other`, which has the extents of the given axes of `self` and is operand `position` of a composite, with extent 1 along the others.
    #[track_caller]
    fn along(self, other: Tensor<'g>, position: usize, axes: &[usize]) -> Tensor<'g> {
        let shape = self.shape();
        let expected: Shape = axes.iter().map(|&a| shape[a]).collect();
        if !axes.is_sorted() || other.shape() != expected {
            let kind = OpErrorKind::Shape { position, expected, actual: other.shape() };
            self.builder.check(Err(OpError::new("affine", &[&self.ty(), &other.ty()], kind)), &[self, other])
        }
        let kept: Shape = shape.iter().enumerate().map(|(a, &d)| if axes.contains(&a) { d } else { 1 }).collect();
        other.reshape(kept)
    }

    #[track_caller]
    fn standardized(self, axes: impl IntoAxes, eps: f64) -> Tensor<'g> {
        let axes = axes.into_axes();
        let centred = self - self.mean_keep(&axes[..]);
        let variance = centred.square().mean_keep(&axes[..]);
        centred * (variance + eps).rsqrt()
    }

    /// Panics with a rule special to a method.
    #[track_caller]
    pub(super) fn refuse_because(self, method: &'static str, why: String) -> ! {
        self.refuse(method, &[], OpErrorKind::Other(why))
    }
}

/// Batch norm (Ioffe and Szegedy 2015): each channel shifted and scaled by the mean and variance of the batch in training, by running ones in inference.
///
/// The running statistics are states that a training step updates, given the updates of [`BatchNorm::train`]:
///
/// ```
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let x = g.input("x", f32([32, 8]));
/// let norm = BatchNorm::new(&g, "norm", f32([8]), 1);
/// let (y, updates) = norm.train(x);
/// let mut step = Sgd::new(0.1).minimize(y.square().mean()).update_all(updates).compile(&Options::default())?;
/// let mut predict = step.forward(norm.infer(x))?;
/// # let xs = Array::zeros(&f32([32, 8]));
/// # step.run(&[("x", &xs)])?;
/// # predict.run(&[("x", &xs)])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'g> {
    /// The factor of each channel, 1 at first: the parameter `<name>.gain`.
    pub gain: Tensor<'g>,
    /// What is added to each channel, 0 at first: the parameter `<name>.bias`.
    pub bias: Tensor<'g>,
    /// The running mean of each channel, 0 at first: the state `<name>.mean`.
    pub mean: Tensor<'g>,
    /// The running variance of each channel, 1 at first: the state `<name>.variance`.
    pub variance: Tensor<'g>,
    axis: isize,
    momentum: f64,
    eps: f64,
}

impl<'g> BatchNorm<'g> {
    /// Declares the parameters and states of a batch norm over channels along `axis`. `channels` is the type of each: the count of channels and the element
    /// type of what will be normalized.
    ///
    /// # Panics
    /// If a name is taken, or `channels` has not one axis or is not of a float type.
    #[track_caller]
    pub fn new(g: &'g Builder, name: &str, channels: TensorType, axis: isize) -> BatchNorm<'g> {
        assert!(
            channels.shape.rank() == 1 && channels.dtype.is_float(),
            "BatchNorm: the type of one number for each channel is like f32[16], not {channels}"
        );
        let filled = |value: f64| -> Init { init::full(channels.shape.clone(), value).dtype(channels.dtype) };
        let gain = g.param(&format!("{name}.gain"), filled(1.0));
        let bias = g.param(&format!("{name}.bias"), filled(0.0));
        let mean = g.state(&format!("{name}.mean"), filled(0.0));
        let variance = g.state(&format!("{name}.variance"), filled(1.0));
        BatchNorm::of([gain, bias], [mean, variance], axis)
    }

    /// The batch norm with this gain and bias, and states for the running mean and variance, over channels along `axis`.
    pub fn of([gain, bias]: [Tensor<'g>; 2], [mean, variance]: [Tensor<'g>; 2], axis: isize) -> BatchNorm<'g> {
        BatchNorm { gain, bias, mean, variance, axis, momentum: 0.1, eps: 1e-5 }
    }

    /// The share of a batch's statistics in the running ones: `running = (1 - momentum) running + momentum batch`; 0.1 unless set.
    pub fn momentum(self, momentum: f64) -> BatchNorm<'g> {
        BatchNorm { momentum, ..self }
    }

    /// What is added to variances; 1e-5 unless set.
    pub fn eps(self, eps: f64) -> BatchNorm<'g> {
        BatchNorm { eps, ..self }
    }

    /// `x` normalized by its own mean and variance over all axes but the channels', with gain and bias; and the new values of the running statistics, for
    /// [`TrainStep::update_all`](crate::train::TrainStep::update_all). The running variance takes the unbiased one, divided by the count less one, as in
    /// PyTorch; what normalizes is divided by the count.
    ///
    /// # Panics
    /// If `x` has no such axis, another count of channels or another element type, or fewer than two elements in each channel.
    #[track_caller]
    pub fn train(self, x: Tensor<'g>) -> (Tensor<'g>, [(Tensor<'g>, Tensor<'g>); 2]) {
        let _scope = x.builder.scope("batch_norm", &[x, self.gain, self.bias, self.mean, self.variance]);
        let shape = x.shape();
        let channels = x.axis("batch_norm", self.axis);
        let count = shape.iter().enumerate().filter(|&(a, _)| a != channels).map(|(_, &d)| d).product::<usize>();
        if count < 2 {
            x.refuse_because("batch_norm", format!("a channel of {count} elements has no variance"));
        }
        let others: Dims<isize> = (0..x.rank()).filter(|&a| a != channels).map(|a| a as isize).collect();
        let [gain, bias, _, _] = self.along(x, channels);
        let mean = x.mean_keep(&others[..]);
        let centred = x - mean;
        let variance = centred.square().mean_keep(&others[..]);
        let y = centred * ((variance + self.eps).rsqrt() * gain) + bias;

        let unbiased = variance * (count as f64 / (count - 1) as f64);
        (y, [(self.mean, self.moved(self.mean, mean)), (self.variance, self.moved(self.variance, unbiased))])
    }

    /// The new value of a running statistic.
    #[track_caller]
    fn moved(self, running: Tensor<'g>, batch: Tensor<'g>) -> Tensor<'g> {
        running * (1.0 - self.momentum) + batch.stop_gradient().reshape(running.shape()) * self.momentum
    }

    /// Gain, bias, running mean and variance, laid along the channels of `x`.
    #[track_caller]
    fn along(self, x: Tensor<'g>, channels: usize) -> [Tensor<'g>; 4] {
        let mut tensors = [self.gain, self.bias, self.mean, self.variance];
        for (i, tensor) in tensors.iter_mut().enumerate() {
            *tensor = x.along(*tensor, i + 1, &[channels]);
        }
        tensors
    }

    /// `x` normalized by the running mean and variance, with gain and bias.
    ///
    /// # Panics
    /// If `x` has no such axis, another count of channels or another element type.
    #[track_caller]
    pub fn infer(self, x: Tensor<'g>) -> Tensor<'g> {
        let _scope = x.builder.scope("batch_norm", &[x, self.gain, self.bias, self.mean, self.variance]);
        let channels = x.axis("batch_norm", self.axis);
        let [gain, bias, mean, variance] = self.along(x, channels);
        (x - mean) * ((variance + self.eps).rsqrt() * gain) + bias
    }
}
