//! Losses.

use crate::graph::{OpError, OpErrorKind};

use super::Tensor;

impl<'g> Tensor<'g> {
    /// Softmax cross-entropy of rows of logits with integer labels: `logsumexp(z) - z[label]`, one loss for each row. `self` has shape `[.., classes]`,
    /// `labels` `[..]`. Where a label is negative or too large, the loss is NaN.
    ///
    /// # Panics
    /// If the shapes do not fit, the logits are not floats or the labels not integers.
    #[track_caller]
    pub fn cross_entropy(self, labels: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("cross_entropy", &[self, labels]);
        self.logsumexp_of_logits() - self.pick(labels)
    }

    /// The mean of the squared differences over all elements.
    ///
    /// # Panics
    /// If the shapes or element types differ.
    #[track_caller]
    pub fn mse(self, target: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("mse", &[self, target]);
        self.expect_shape_of("mse", target);
        (self - target).square().mean()
    }

    /// Binary cross-entropy of logits with targets between 0 and 1, for each element: `softplus(z) - z t`, which is
    /// `-t ln(sigmoid(z)) - (1 - t) ln(1 - sigmoid(z))` without overflow.
    ///
    /// # Panics
    /// If the shapes or element types differ.
    #[track_caller]
    pub fn bce_with_logits(self, target: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("bce_with_logits", &[self, target]);
        self.expect_shape_of("bce_with_logits", target);
        self.softplus() - self * target
    }

    /// Panics unless the target has this tensor's shape. Losses do not broadcast: a column against a row would be a matrix of losses, and no mistake more
    /// common.
    #[track_caller]
    fn expect_shape_of(self, loss: &'static str, target: Tensor<'g>) {
        if self.shape() != target.shape() {
            let kind = OpErrorKind::Shape { position: 1, expected: self.shape(), actual: target.shape() };
            self.builder.check(Err(OpError::new(loss, &[&self.ty(), &target.ty()], kind)), &[self, target])
        }
    }
}
