//! Normalization with gain and bias.

use crate::array::Array;
use crate::build::{self, Tensor};
use crate::graph::{DType, Shape, TensorType};

use super::context::COUNT;
use super::{Context, Module, Path};

/// Layer norm over the last axes, with a gain and a bias for each element, PyTorch's `LayerNorm`.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'g> {
    /// `<path>.weight`, of the normalized shape, 1 at first.
    pub weight: Tensor<'g>,
    /// `<path>.bias`, of the normalized shape, 0 at first.
    pub bias: Tensor<'g>,
    eps: f64,
}

impl<'g> LayerNorm<'g> {
    /// Normalizes the last axes, which have this shape, usually `[features]`.
    ///
    /// # Panics
    /// If a name is taken.
    #[track_caller]
    pub fn new(path: &Path<'g>, shape: impl Into<Shape>) -> LayerNorm<'g> {
        let shape = shape.into();
        LayerNorm { weight: path.full_of("weight", &shape, 1.0), bias: path.full_of("bias", shape, 0.0), eps: 1e-5 }
    }

    /// What is added to variances; 1e-5 unless set.
    pub fn eps(self, eps: f64) -> LayerNorm<'g> {
        LayerNorm { eps, ..self }
    }
}

/// The last `count` axes.
fn last_axes(count: usize) -> Vec<isize> {
    (1..=count as isize).rev().map(|a| -a).collect()
}

impl<'g> Module<'g> for LayerNorm<'g> {
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, _: &mut Context<'g>) -> Tensor<'g> {
        x.layer_norm_over(&last_axes(self.weight.rank())[..], self.eps) * self.weight + self.bias
    }
}

/// RMS norm over the last axes, with a gain for each element, PyTorch's `RMSNorm`.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<'g> {
    /// `<path>.weight`, of the normalized shape, 1 at first.
    pub weight: Tensor<'g>,
    eps: f64,
}

impl<'g> RmsNorm<'g> {
    /// Normalizes the last axes, which have this shape, usually `[features]`. To mean squares the difference from 1 to the next number of the path's element
    /// type is added.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn new(path: &Path<'g>, shape: impl Into<Shape>) -> RmsNorm<'g> {
        let eps = if path.element() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
        RmsNorm { weight: path.full_of("weight", shape, 1.0), eps }
    }

    /// What is added to mean squares.
    pub fn eps(self, eps: f64) -> RmsNorm<'g> {
        RmsNorm { eps, ..self }
    }
}

impl<'g> Module<'g> for RmsNorm<'g> {
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, _: &mut Context<'g>) -> Tensor<'g> {
        x.rms_norm(&last_axes(self.weight.rank())[..], self.eps) * self.weight
    }
}

/// Group norm with a gain and a bias for each channel, PyTorch's `GroupNorm`. Channels are the second axis.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm<'g> {
    /// `<path>.weight`, `[channels]`, 1 at first.
    pub weight: Tensor<'g>,
    /// `<path>.bias`, `[channels]`, 0 at first.
    pub bias: Tensor<'g>,
    groups: usize,
    eps: f64,
}

impl<'g> GroupNorm<'g> {
    /// Normalizes channels in groups.
    ///
    /// # Panics
    /// If a name is taken.
    #[track_caller]
    pub fn new(path: &Path<'g>, groups: usize, channels: usize) -> GroupNorm<'g> {
        let (weight, bias) = (path.full_of("weight", [channels], 1.0), path.full_of("bias", [channels], 0.0));
        GroupNorm { weight, bias, groups, eps: 1e-5 }
    }

    /// What is added to variances; 1e-5 unless set.
    pub fn eps(self, eps: f64) -> GroupNorm<'g> {
        GroupNorm { eps, ..self }
    }
}

impl<'g> Module<'g> for GroupNorm<'g> {
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, _: &mut Context<'g>) -> Tensor<'g> {
        x.group_norm(self.groups, self.eps).affine(self.weight, self.bias, 1)
    }
}

/// Batch norm, PyTorch's `BatchNorm1d`, `BatchNorm2d` and `BatchNorm3d`. Channels are the second axis.
///
/// In training, `x` is normalized by its own statistics, and the running ones are among [`Context::updates`]; so a layer can be applied once in a step. In
/// inference, it is normalized by the running ones.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'g> {
    /// `<path>.weight` and `<path>.bias`, `[channels]`, 1 and 0 at first, and the states `<path>.running_mean` and `<path>.running_var`, 0 and 1 at first.
    pub norm: build::BatchNorm<'g>,
    /// The state `<path>.num_batches_tracked`, `i64`.
    pub batches: Tensor<'g>,
}

impl<'g> BatchNorm<'g> {
    /// Normalizes channels.
    ///
    /// # Panics
    /// If a name is taken.
    #[track_caller]
    pub fn new(path: &Path<'g>, channels: usize) -> BatchNorm<'g> {
        let filled = |value: f64| build::init::full([channels], value).dtype(path.element());
        let affine = [path.full_of("weight", [channels], 1.0), path.full_of("bias", [channels], 0.0)];
        let running = [path.state("running_mean", filled(0.0)), path.state("running_var", filled(1.0))];
        let batches = path.state("num_batches_tracked", Array::zeros(&TensorType::new(COUNT, [])));
        BatchNorm { norm: build::BatchNorm::of(affine, running, 1), batches }
    }

    /// The share of a batch's statistics in the running ones; 0.1 unless set.
    pub fn momentum(self, momentum: f64) -> BatchNorm<'g> {
        BatchNorm { norm: self.norm.momentum(momentum), ..self }
    }

    /// What is added to variances; 1e-5 unless set.
    pub fn eps(self, eps: f64) -> BatchNorm<'g> {
        BatchNorm { norm: self.norm.eps(eps), ..self }
    }
}

impl<'g> Module<'g> for BatchNorm<'g> {
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, cx: &mut Context<'g>) -> Tensor<'g> {
        if !cx.is_training() {
            return self.norm.infer(x);
        }
        let (y, updates) = self.norm.train(x);
        for (state, value) in updates {
            cx.update(state, value);
        }
        cx.update(self.batches, self.batches + 1);
        y
    }
}
