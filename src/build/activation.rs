//! Activations: composites of elementwise functions.
//!
//! Values and gradients are finite for every finite element whose limit is, however large: exponentials are taken of what is not positive only. Infinite
//! elements give the limits. A kink has the derivative that its method states. The branch not taken hands on no NaN.

use super::Tensor;
use super::arith::Operand;

impl<'g> Tensor<'g> {
    /// The rectified linear unit `max(x, 0)`. NaN stays NaN; the derivative at 0 is 0, so the gradient is `1[x > 0]` times the cotangent.
    #[track_caller]
    pub fn relu(self) -> Tensor<'g> {
        let _scope = self.builder.scope("relu", &[self]);
        let zero = self.builder.number(self.ty(), 0.0);
        self.le(zero).select(zero, self)
    }

    /// The Gaussian error linear unit `x/2 (1 + erf(x / sqrt 2))` (Hendrycks and Gimpel 2016).
    #[track_caller]
    pub fn gelu(self) -> Tensor<'g> {
        let _scope = self.builder.scope("gelu", &[self]);
        let (above, x) = self.held(30.0);
        above.select(self, x * (0.5 + 0.5 * (x * std::f64::consts::FRAC_1_SQRT_2).erf()))
    }

    /// The approximation `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))` of [`Tensor::gelu`] (Hendrycks and Gimpel 2016).
    #[track_caller]
    pub fn gelu_tanh(self) -> Tensor<'g> {
        let _scope = self.builder.scope("gelu_tanh", &[self]);
        let (above, x) = self.held(30.0);
        let inner = std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x);
        above.select(self, x * (0.5 + 0.5 * inner.tanh()))
    }

    /// The element where it is positive, elsewhere `slope` times it (Maas, Hannun and Ng 2013). The derivative at 0 is `slope`.
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("leaky_relu", &[self]);
        self.gt(0.0).select(self, self * slope)
    }

    /// [`Tensor::leaky_relu`] with slopes that are learned and broadcast to this tensor (He et al. 2015). The derivative by a slope is the element where it
    /// is not positive.
    ///
    /// # Panics
    /// If shapes or element types do not fit.
    #[track_caller]
    pub fn prelu(self, slope: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("prelu", &[self, slope]);
        let (positive, negative) = self.parts();
        positive.select(self, negative * slope)
    }

    /// The exponential linear unit: the element where it is positive, elsewhere `alpha (e^x - 1)` (Clevert, Unterthiner and Hochreiter 2015). The derivative
    /// at 0 is `alpha`.
    #[track_caller]
    pub fn elu(self, alpha: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("elu", &[self]);
        let (positive, negative) = self.parts();
        positive.select(self, negative.expm1() * alpha)
    }

    /// The exponential linear unit with a continuous derivative: the element where it is positive, elsewhere `alpha (e^(x / alpha) - 1)` (Barron 2017).
    #[track_caller]
    pub fn celu(self, alpha: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("celu", &[self]);
        let (positive, negative) = self.parts();
        positive.select(self, (negative / alpha).expm1() * alpha)
    }

    /// The scaled exponential linear unit: 1.0507 times [`Tensor::elu`] with 1.6733, so that means and variances keep to 0 and 1 (Klambauer et al. 2017). The
    /// derivative at 0 is 1.7581, the limit from the left.
    #[track_caller]
    pub fn selu(self) -> Tensor<'g> {
        const ALPHA: f64 = 1.673_263_242_354_377_2;
        const SCALE: f64 = 1.050_700_987_355_480_5;
        let _scope = self.builder.scope("selu", &[self]);
        let (positive, negative) = self.parts();
        positive.select(self * SCALE, negative.expm1() * (ALPHA * SCALE))
    }

    /// `x sigmoid(x)` (Hendrycks and Gimpel 2016; Ramachandran, Zoph and Le 2017).
    #[doc(alias = "swish")]
    #[track_caller]
    pub fn silu(self) -> Tensor<'g> {
        let _scope = self.builder.scope("silu", &[self]);
        let (above, x) = self.held(800.0);
        above.select(self, x * x.sigmoid())
    }

    /// `x tanh(softplus(x))` (Misra 2019).
    #[track_caller]
    pub fn mish(self) -> Tensor<'g> {
        let _scope = self.builder.scope("mish", &[self]);
        let (above, x) = self.held(800.0);
        above.select(self, x * x.softplus().tanh())
    }

    /// `x / 6 + 1/2`, held between 0 and 1. The derivative at -3 and 3, where that begins, is 1/6.
    #[track_caller]
    pub fn hard_sigmoid(self) -> Tensor<'g> {
        let _scope = self.builder.scope("hard_sigmoid", &[self]);
        (self * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)
    }

    /// `x (x + 3) / 6` between -3 and 3, 0 below and the element above (Howard et al. 2019). The derivative at -3 is 0, at 3 it is 1.
    #[track_caller]
    pub fn hard_swish(self) -> Tensor<'g> {
        let _scope = self.builder.scope("hard_swish", &[self]);
        let zero = self.builder.number(self.ty(), 0.0);
        let (low, high) = (self.le(-3.0), self.ge(3.0));
        let inside = (low | high).select(zero, self);
        low.select(zero, high.select(self, inside * (inside + 3.0) * (1.0 / 6.0)))
    }

    /// The logarithm of [`Tensor::sigmoid`], without overflow: `-softplus(-x)`.
    #[track_caller]
    pub fn log_sigmoid(self) -> Tensor<'g> {
        let _scope = self.builder.scope("log_sigmoid", &[self]);
        -(-self).softplus()
    }

    /// The element held between `low` and `high`, numbers or tensors that broadcast; `high` where `low` exceeds it. NaN stays. At its bounds the element
    /// itself receives the cotangent.
    ///
    /// # Panics
    /// If shapes or element types do not fit.
    #[doc(alias = "clip")]
    #[track_caller]
    pub fn clamp(self, low: impl Operand<'g>, high: impl Operand<'g>) -> Tensor<'g> {
        let (low, high) = (low.beside(self), high.beside(self));
        let _scope = self.builder.scope("clamp", &[self, low, high]);
        let held = self.lt(low).select(low, self);
        held.gt(high).select(high, held)
    }

    /// For the element times a gate of it that goes from 0 to 1 and has reached both, in all of its digits, at `bound` from 0: where the element exceeds
    /// the bound, and so is the result itself, and the element held within the bound, of which the product is taken elsewhere. Gate and derivatives are
    /// finite then, and infinite elements give the limits.
    #[track_caller]
    fn held(self, bound: f64) -> (Tensor<'g>, Tensor<'g>) {
        let (low, high) = (self.builder.number(self.ty(), -bound), self.builder.number(self.ty(), bound));
        let above = self.gt(high);
        (above, above.select(high, self.lt(low).select(low, self)))
    }

    /// Where the element is positive, and the element where it is not, elsewhere 0.
    #[track_caller]
    fn parts(self) -> (Tensor<'g>, Tensor<'g>) {
        let positive = self.gt(0.0);
        let zero = self.builder.number(self.ty(), 0.0);
        (positive, positive.select(zero, self))
    }
}
