//! Losses.
//!
//! Unless their documentation says otherwise, losses are one number for each element or row; take the mean, the sum or a weighted sum of them. They do not
//! broadcast: a column of predictions against a row of targets would be a matrix of losses, and no mistake is more common.
//!
//! Logarithms of probabilities, and products with them, follow the limit `0 ln 0 = 0`: a target of 0 costs nothing, whatever is predicted for it, and gives
//! no NaN in gradients.

mod classes;
mod distance;
mod sequence;

use crate::graph::{OpError, OpErrorKind};

use super::Tensor;

pub use classes::{CrossEntropy, LossReduction};

impl<'g> Tensor<'g> {
    /// The mean of the squared differences over all elements.
    ///
    /// # Panics
    /// If the shapes or element types differ.
    #[track_caller]
    #[doc(alias = "mean_squared_error")]
    pub fn mse(self, target: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("mse", &[self, target]);
        self.expect_shape_of("mse", target);
        (self - target).square().mean()
    }

    /// Huber's loss for each element: with `d` the distance to the target, `d^2 / 2` up to `delta` and `delta (d - delta / 2)` beyond (Huber 1964). An
    /// infinite distance has the gradient `+-delta`.
    ///
    /// # Panics
    /// If the shapes or element types differ, or `delta` is not positive.
    #[track_caller]
    pub fn huber(self, target: Tensor<'g>, delta: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("huber", &[self, target]);
        self.expect_shape_of("huber", target);
        if delta.is_nan() || delta <= 0.0 {
            self.refuse_because("huber", format!("delta is {delta}, expected a positive number"));
        }
        let distance = (self - target).abs();
        let near = distance.minimum(delta);
        near * (distance - 0.5 * near)
    }

    /// The smooth L1 loss for each element: with `d` the distance to the target, `d^2 / (2 beta)` up to `beta` and `d - beta / 2` beyond (Girshick 2015);
    /// the distance itself if `beta` is 0.
    ///
    /// # Panics
    /// If the shapes or element types differ, or `beta` is negative.
    #[track_caller]
    pub fn smooth_l1(self, target: Tensor<'g>, beta: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("smooth_l1", &[self, target]);
        self.expect_shape_of("smooth_l1", target);
        if beta.is_nan() || beta < 0.0 {
            self.refuse_because("smooth_l1", format!("beta is {beta}, expected a number that is not negative"));
        }
        if beta == 0.0 { (self - target).abs() } else { self.huber(target, beta) / beta }
    }

    /// Binary cross-entropy of probabilities with targets between 0 and 1, for each element: `-t ln p - (1 - t) ln(1 - p)`. Infinite where a target of 1 meets
    /// a probability of 0 or the other way round (PyTorch cuts it at 100). With logits, [`Tensor::bce_with_logits`] is more accurate.
    ///
    /// # Panics
    /// If the shapes or element types differ.
    #[track_caller]
    #[doc(alias = "binary_cross_entropy")]
    pub fn bce(self, target: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("bce", &[self, target]);
        self.expect_shape_of("bce", target);
        let other = 1.0 - target;
        let edge = other.eq(0.0) & self.eq(1.0);
        let zero = self.builder.number(self.ty(), 0.0);
        -(target.xlogy(self) + other * edge.select(zero, -self).log1p())
    }

    /// Binary cross-entropy of logits with targets between 0 and 1, for each element: `t softplus(-z) + (1 - t) softplus(z)`, which is
    /// `-t ln(sigmoid(z)) - (1 - t) ln(1 - sigmoid(z))` without overflow and without cancellation: small losses keep their digits.
    ///
    /// # Panics
    /// If the shapes or element types differ.
    #[track_caller]
    #[doc(alias = "sigmoid_cross_entropy")]
    pub fn bce_with_logits(self, target: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("bce_with_logits", &[self, target]);
        self.expect_shape_of("bce_with_logits", target);
        target.times_finite((-self).softplus()) + (1.0 - target).times_finite(self.softplus())
    }

    /// [`Tensor::bce_with_logits`] with the part of positive targets multiplied by `weight`, which broadcasts.
    ///
    /// # Panics
    /// If the shapes do not fit or the element types differ.
    #[track_caller]
    pub fn bce_with_logits_weighted(self, target: Tensor<'g>, weight: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("bce_with_logits_weighted", &[self, target, weight]);
        self.expect_shape_of("bce_with_logits_weighted", target);
        let positive = target * weight.broadcast_to(self.shape());
        positive.times_finite((-self).softplus()) + (1.0 - target).times_finite(self.softplus())
    }

    /// The Kullback-Leibler divergence of logarithms of probabilities from target probabilities, for each element: `t (ln t - x)`, 0 where the target is 0.
    /// Its sum over the classes is the divergence `D(t || e^x)`.
    ///
    /// # Panics
    /// If the shapes or element types differ.
    #[track_caller]
    pub fn kl_div(self, target: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("kl_div", &[self, target]);
        self.expect_shape_of("kl_div", target);
        target.xlogy(target) - target.times_finite(self)
    }

    /// The hinge loss of scores with targets -1 and 1, for each element: `max(0, 1 - t x)`. The derivative at the kink is 0.
    ///
    /// # Panics
    /// If the shapes or element types differ.
    #[track_caller]
    pub fn hinge(self, target: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("hinge", &[self, target]);
        self.expect_shape_of("hinge", target);
        (1.0 - self * target).relu()
    }

    /// The negative logarithm of a Poisson distribution's probability of counts, for each element, where `self` is the logarithm of the rate:
    /// `e^x - t x`, without the term `ln(t!)`, which does not depend on `x`.
    ///
    /// # Panics
    /// If the shapes or element types differ.
    #[track_caller]
    pub fn poisson_nll(self, target: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("poisson_nll", &[self, target]);
        self.expect_shape_of("poisson_nll", target);
        self.exp() - target * self
    }

    /// The negative logarithm of a normal distribution's density at the target, for each element, where `self` is the mean:
    /// `(ln v + (x - t)^2 / v) / 2` with `v` the variance, `eps` at least; without the constant `ln(2 pi) / 2`. A variance below `eps` gets the gradient that
    /// `eps` would, so that it can grow again.
    ///
    /// # Panics
    /// If the shapes or element types differ.
    #[track_caller]
    pub fn gaussian_nll(self, target: Tensor<'g>, variance: Tensor<'g>, eps: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("gaussian_nll", &[self, target, variance]);
        self.expect_shape_of("gaussian_nll", target);
        self.expect_shape_of("gaussian_nll", variance);
        let raise = (variance.maximum(eps) - variance).stop_gradient();
        let variance = variance + raise;
        0.5 * (variance.log() + (self - target).square() / variance)
    }

    /// `x ln y` for each element, and 0 where `x` is 0, unless `y` is NaN. There the derivative by `y` is 0, and that by `x` is 0 if the logarithm is not finite.
    /// The operands broadcast.
    ///
    /// # Panics
    /// If shapes or element types do not fit.
    #[track_caller]
    pub fn xlogy(self, y: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("xlogy", &[self, y]);
        let edge = y.le(0.0) | y.eq(f64::INFINITY);
        let edge = edge & self.eq(0.0);
        let one = self.builder.ones(y.ty());
        self * edge.select(one, y).log()
    }

    /// `x y` for each element, and 0 where `x` is 0 and `y` infinite: the product of a weight with a logarithm.
    #[track_caller]
    fn times_finite(self, y: Tensor<'g>) -> Tensor<'g> {
        let zero = self.builder.number(y.ty(), 0.0);
        let edge = self.eq(0.0) & y.abs().eq(f64::INFINITY);
        self * edge.select(zero, y)
    }

    /// Panics unless the target has this tensor's shape.
    #[track_caller]
    fn expect_shape_of(self, loss: &'static str, target: Tensor<'g>) {
        if self.shape() != target.shape() {
            let kind = OpErrorKind::Shape { position: 1, expected: self.shape(), actual: target.shape() };
            self.builder.check(Err(OpError::new(loss, &[&self.ty(), &target.ty()], kind)), &[self, target])
        }
    }
}
