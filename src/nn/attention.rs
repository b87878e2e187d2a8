//! Attention with several heads, and the encoder layer of a transformer.

use crate::build::{Attention, Tensor, init};
use crate::graph::Shape;

use super::{Context, Dropout, LayerNorm, Linear, Module, Path};

/// Attention with several heads (Vaswani et al. 2017, section 3.2.2), PyTorch's `MultiheadAttention` with `batch_first`.
#[derive(Clone, Copy, Debug)]
pub struct MultiHeadAttention<'g> {
    /// `<path>.in_proj_weight`, `[3 * features, features]`: those of queries, keys and values one behind the other.
    pub projections: Tensor<'g>,
    /// `<path>.in_proj_bias`, `[3 * features]`.
    pub biases: Tensor<'g>,
    /// `<path>.out_proj.weight` and `<path>.out_proj.bias`.
    pub output: Linear<'g>,
    heads: usize,
    dropout: f64,
}

impl<'g> MultiHeadAttention<'g> {
    /// Attention over `features` features in `heads` heads. The projections are Xavier's uniform ones at first, the biases 0.
    ///
    /// # Panics
    /// If a name is taken or the heads do not divide the features.
    #[track_caller]
    pub fn new(path: &Path<'g>, features: usize, heads: usize) -> MultiHeadAttention<'g> {
        assert!(
            heads > 0 && features.is_multiple_of(heads),
            "MultiHeadAttention: {heads} heads do not divide {features} features"
        );
        let bound = (6.0 / (4 * features) as f64).sqrt();
        let output = path.at("out_proj");
        let weight = Linear::without_bias(&output, features, features);
        MultiHeadAttention {
            projections: path.uniform("in_proj_weight", [3 * features, features], bound),
            biases: path.param("in_proj_bias", init::zeros([3 * features]).dtype(path.element())),
            output: Linear { bias: Some(output.full_of("bias", [features], 0.0)), ..weight },
            heads,
            dropout: 0.0,
        }
    }

    /// Dropout of the attention's weights, in training; 0 unless set.
    pub fn dropout(self, rate: f64) -> MultiHeadAttention<'g> {
        MultiHeadAttention { dropout: rate, ..self }
    }

    /// Attention of queries `[.., queries, features]` to keys and values `[.., keys, features]`; the result is shaped like the queries. A mask of the options
    /// broadcasts to `[.., heads, queries, keys]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn forward(
        &self,
        queries: Tensor<'g>,
        keys: Tensor<'g>,
        values: Tensor<'g>,
        options: Attention<'g>,
        cx: &mut Context<'g>,
    ) -> Tensor<'g> {
        let features = self.output.weight.shape()[0];
        let same = queries.id() == keys.id() && keys.id() == values.id();
        let [q, k, v] = if same {
            // One product is faster than three.
            let all = queries.linear(self.projections.t(), self.biases);
            [0, 1, 2].map(|i| all.slice(-1, i * features..(i + 1) * features))
        } else {
            let mut projected = [queries, keys, values];
            for (i, x) in projected.iter_mut().enumerate() {
                let rows = i * features..(i + 1) * features;
                *x = x.linear(self.projections.slice(0, rows.clone()).t(), self.biases.slice(0, rows));
            }
            projected
        };
        let options = match cx.is_training() && self.dropout > 0.0 {
            true => options.dropout(self.dropout, cx.key().expect("there are keys in training")),
            false => options,
        };
        let attended = self.split(q).attention(self.split(k), self.split(v), options);
        let merged = attended.swap_axes(-3, -2).reshape(queries.shape());
        self.output.forward(merged, cx)
    }

    /// `[.., n, features]` as `[.., heads, n, features / heads]`.
    #[track_caller]
    fn split(&self, x: Tensor<'g>) -> Tensor<'g> {
        let shape = x.shape();
        let features = shape[shape.rank() - 1];
        let parts = [self.heads, features / self.heads];
        let split: Shape = shape[..shape.rank() - 1].iter().chain(&parts).copied().collect();
        x.reshape(split).swap_axes(-3, -2)
    }
}

/// An encoder layer of a transformer (Vaswani et al. 2017, section 3.1), PyTorch's `TransformerEncoderLayer` with `batch_first`: attention of a sequence to
/// itself and two linear layers with ReLU between them, each added to its operand and normalized.
///
/// The parameters are `self_attn.*`, `linear1.*`, `linear2.*`, `norm1.*` and `norm2.*`.
#[derive(Clone, Copy, Debug)]
pub struct TransformerEncoderLayer<'g> {
    attention: MultiHeadAttention<'g>,
    linear1: Linear<'g>,
    linear2: Linear<'g>,
    norm1: LayerNorm<'g>,
    norm2: LayerNorm<'g>,
    dropout: f64,
    norm_first: bool,
    gelu: bool,
}

impl<'g> TransformerEncoderLayer<'g> {
    /// A layer over `features` features with `heads` heads and `inner` units between the linear layers; a dropout of 0.1, as in PyTorch.
    ///
    /// # Panics
    /// If a name is taken or the heads do not divide the features.
    #[track_caller]
    pub fn new(path: &Path<'g>, features: usize, heads: usize, inner: usize) -> TransformerEncoderLayer<'g> {
        let layer = TransformerEncoderLayer {
            attention: MultiHeadAttention::new(&path.at("self_attn"), features, heads),
            linear1: Linear::new(&path.at("linear1"), features, inner),
            linear2: Linear::new(&path.at("linear2"), inner, features),
            norm1: LayerNorm::new(&path.at("norm1"), [features]),
            norm2: LayerNorm::new(&path.at("norm2"), [features]),
            dropout: 0.0,
            norm_first: false,
            gelu: false,
        };
        layer.dropout(0.1)
    }

    /// The rate of dropout: of the attention's weights, between the linear layers, and of what is added; 0.1 unless set.
    pub fn dropout(self, rate: f64) -> TransformerEncoderLayer<'g> {
        TransformerEncoderLayer { attention: self.attention.dropout(rate), dropout: rate, ..self }
    }

    /// Normalizes the operands of attention and linear layers in place of the sums.
    pub fn norm_first(self) -> TransformerEncoderLayer<'g> {
        TransformerEncoderLayer { norm_first: true, ..self }
    }

    /// GELU in place of ReLU.
    pub fn gelu(self) -> TransformerEncoderLayer<'g> {
        TransformerEncoderLayer { gelu: true, ..self }
    }

    /// What is added to the variances of both norms; 1e-5 unless set.
    pub fn eps(self, eps: f64) -> TransformerEncoderLayer<'g> {
        TransformerEncoderLayer { norm1: self.norm1.eps(eps), norm2: self.norm2.eps(eps), ..self }
    }

    /// `[.., n, features]` gives the same shape. The options say what each place may see.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn forward_with(&self, x: Tensor<'g>, options: Attention<'g>, cx: &mut Context<'g>) -> Tensor<'g> {
        let dropout = Dropout::new(self.dropout);
        let attended = |x: Tensor<'g>, cx: &mut Context<'g>| {
            let y = self.attention.forward(x, x, x, options, cx);
            dropout.forward(y, cx)
        };
        let fed = |x: Tensor<'g>, cx: &mut Context<'g>| {
            let inner = self.linear1.forward(x, cx);
            let inner = if self.gelu { inner.gelu() } else { inner.relu() };
            let inner = dropout.forward(inner, cx);
            let y = self.linear2.forward(inner, cx);
            dropout.forward(y, cx)
        };
        if self.norm_first {
            let x = x + attended(self.norm1.forward(x, cx), cx);
            x + fed(self.norm2.forward(x, cx), cx)
        } else {
            let x = self.norm1.forward(x + attended(x, cx), cx);
            self.norm2.forward(x + fed(x, cx), cx)
        }
    }
}

impl<'g> Module<'g> for TransformerEncoderLayer<'g> {
    /// [`TransformerEncoderLayer::forward_with`] where every place sees all.
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, cx: &mut Context<'g>) -> Tensor<'g> {
        self.forward_with(x, Attention::new(), cx)
    }
}
