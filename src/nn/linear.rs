//! Linear layers, embeddings and dropout.

use crate::build::Tensor;

use super::{Context, Module, Path};

/// `x W^T + b` for rows of features, PyTorch's `Linear`.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'g> {
    /// `<path>.weight`, `[outputs, inputs]`.
    pub weight: Tensor<'g>,
    /// `<path>.bias`, `[outputs]`.
    pub bias: Option<Tensor<'g>>,
}

impl<'g> Linear<'g> {
    /// A layer with a bias. Both are spread evenly over `+-1 / sqrt(inputs)` at first.
    ///
    /// # Panics
    /// If a name is taken.
    #[track_caller]
    pub fn new(path: &Path<'g>, inputs: usize, outputs: usize) -> Linear<'g> {
        let layer = Linear::without_bias(path, inputs, outputs);
        Linear { bias: Some(path.uniform("bias", [outputs], bound(inputs))), ..layer }
    }

    /// A layer without a bias.
    ///
    /// # Panics
    /// If a name is taken.
    #[track_caller]
    pub fn without_bias(path: &Path<'g>, inputs: usize, outputs: usize) -> Linear<'g> {
        Linear { weight: path.uniform("weight", [outputs, inputs], bound(inputs)), bias: None }
    }
}

/// `1 / sqrt(inputs)`.
pub(super) fn bound(inputs: usize) -> f64 {
    1.0 / (inputs.max(1) as f64).sqrt()
}

impl<'g> Module<'g> for Linear<'g> {
    /// `[.., inputs]` gives `[.., outputs]`.
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, _: &mut Context<'g>) -> Tensor<'g> {
        match self.bias {
            Some(bias) => x.linear(self.weight.t(), bias),
            None => x.dot(self.weight.t()),
        }
    }
}

/// Rows of a table, chosen by integers, PyTorch's `Embedding`.
#[derive(Clone, Copy, Debug)]
pub struct Embedding<'g> {
    /// `<path>.weight`, `[rows, features]`.
    pub weight: Tensor<'g>,
}

impl<'g> Embedding<'g> {
    /// A table of normal numbers of mean 0 and variance 1 at first.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn new(path: &Path<'g>, rows: usize, features: usize) -> Embedding<'g> {
        Embedding { weight: path.normal("weight", [rows, features]) }
    }
}

impl<'g> Module<'g> for Embedding<'g> {
    /// Integers of any shape give `[.., features]`.
    #[track_caller]
    fn forward(&self, ids: Tensor<'g>, _: &mut Context<'g>) -> Tensor<'g> {
        self.weight.embedding(ids)
    }
}

/// In training, elements that are 0 with a probability and scaled up otherwise; in inference, nothing. See [`Tensor::dropout`].
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    rate: f64,
}

impl Dropout {
    /// Dropout with this probability.
    ///
    /// # Panics
    /// If it is not from 0 to 1.
    #[track_caller]
    pub fn new(rate: f64) -> Dropout {
        assert!((0.0..=1.0).contains(&rate), "Dropout: {rate} is not a probability");
        Dropout { rate }
    }
}

impl<'g> Module<'g> for Dropout {
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, cx: &mut Context<'g>) -> Tensor<'g> {
        cx.dropout(x, self.rate)
    }
}
