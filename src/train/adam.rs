//! Adam and AdamW.

use crate::build::Tensor;

use super::rate::{Resolved, expect_from_zero, expect_share};
use super::{Optimizer, Rate, StepBuilder};

/// Adam (Kingma and Ba 2015, algorithm 1).
///
/// With parameter `p`, gradient `g`, learning rate `lr`, moments `m` and `v`, which are zero at first, and `t` the number of the step, from 1, each step
/// computes
///
/// ```text
///   m = b1 m + (1 - b1) g
///   v = b2 v + (1 - b2) g^2
///   p = p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
/// ```
///
/// The bias corrections `1 - b^t` are computed as `-expm1(t ln b)`, which loses no digits in the first steps, where `b^t` is close to 1. The moments are the
/// states `<parameter>.adam_m` and `<parameter>.adam_v`, the count of steps taken is `adam.t`, an `i64`.
///
/// With [AMSGrad](Adam::amsgrad), the denominator has the largest `v` so far in place of `v`.
#[derive(Clone, Debug)]
pub struct Adam<'g>(Settings<'g>);

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2): [`Adam`]'s update, with the parameter shrunk by a factor of its own.
///
/// ```text
///   p = p (1 - lr d) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
/// ```
///
/// The decay `d` is multiplied by the learning rate, as in PyTorch's `AdamW`. State as [`Adam`]'s.
#[derive(Clone, Debug)]
pub struct AdamW<'g>(Settings<'g>);

#[derive(Clone, Debug)]
struct Settings<'g> {
    /// The optimizer, for messages.
    name: &'static str,
    rate: Rate<'g>,
    beta1: Rate<'g>,
    beta2: f64,
    eps: f64,
    /// Weight decay that shrinks parameters.
    decay: f64,
    /// Weight decay that is a term of the gradient.
    penalty: f64,
    amsgrad: bool,
    prefix: String,
}

impl<'g> Settings<'g> {
    #[track_caller]
    fn new(name: &'static str, rate: impl Into<Rate<'g>>, decay: f64) -> Settings<'g> {
        Settings {
            name,
            rate: rate.into().checked(name),
            beta1: 0.9.into(),
            beta2: 0.999,
            eps: 1e-8,
            decay,
            penalty: 0.0,
            amsgrad: false,
            prefix: String::new(),
        }
    }

    #[track_caller]
    fn betas(self, beta1: f64, beta2: f64) -> Settings<'g> {
        let optimizer = self.name;
        expect_share(&format!("{optimizer}: the first beta"), beta1);
        expect_share(&format!("{optimizer}: the second beta"), beta2);
        Settings { beta1: beta1.into(), beta2, ..self }
    }

    /// A number of the optimizer that is not negative.
    #[track_caller]
    fn expect(&self, what: &str, number: f64) -> f64 {
        expect_from_zero(&format!("{}: {what}", self.name), number);
        number
    }

    #[track_caller]
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
        let rate = self.rate.resolve(step, &self.prefix);
        let beta1 = self.beta1.resolve_number(step, &self.prefix, "beta1");
        let t = step.count_steps(&format!("{}adam.t", self.prefix)) + 1;
        for &(p, g) in gradients {
            let g = if self.penalty == 0.0 { g } else { g + self.penalty * p };
            let (m, v) = (step.state_of(p, &self.prefix, "adam_m"), step.state_of(p, &self.prefix, "adam_v"));
            let new_m = beta1.times(m) + beta1.rest_times(g);
            let new_v = self.beta2 * v + (1.0 - self.beta2) * (g * g);
            step.update(m, new_m);
            step.update(v, new_v);
            let second = if self.amsgrad {
                let max = step.state_of(p, &self.prefix, "adam_max");
                let new_max = max.maximum(new_v);
                step.update(max, new_max);
                new_max
            } else {
                new_v
            };

            // The corrections are scalars, so that each element costs one square root and one division.
            let t = t.cast(p.dtype());
            let rate = rate.like(step, p);
            let size = rate / correction(step, beta1, t);
            let root = correction(step, Resolved::Number(self.beta2), t).rsqrt();
            let denominator = second.sqrt() * root + self.eps;
            let shrunk = if self.decay == 0.0 { p } else { p * (1.0 - rate * self.decay) };
            step.update(p, shrunk - size * (new_m / denominator));
        }
    }
}

/// `1 - beta^t`.
#[track_caller]
fn correction<'g>(step: &StepBuilder<'g>, beta: Resolved<'g>, t: Tensor<'g>) -> Tensor<'g> {
    match beta {
        Resolved::Number(0.0) => step.number(t.dtype(), 1.0),
        Resolved::Number(beta) => -(t * beta.ln()).expm1(),
        // Where beta is 0, the logarithm is -inf and the correction 1.
        Resolved::Tensor(beta) => -(t * beta.log().cast(t.dtype())).expm1(),
    }
}

macro_rules! adam {
    ($name:ident) => {
        impl<'g> $name<'g> {
            /// Decay rates of the two moments; 0.9 and 0.999 unless set.
            ///
            /// # Panics
            /// If one of them is not in `0 <= beta < 1`.
            #[track_caller]
            pub fn betas(self, beta1: f64, beta2: f64) -> $name<'g> {
                $name(self.0.betas(beta1, beta2))
            }

            /// The decay rate of the first moment, as the first of the betas, or a schedule of it, such as
            /// [`OneCycle::momentum`](super::OneCycle::momentum), whose count of steps is the state `beta1.t`.
            ///
            /// # Panics
            /// If it is a number that is not in `0 <= beta < 1`.
            #[track_caller]
            pub fn beta1(self, beta1: impl Into<Rate<'g>>) -> $name<'g> {
                let beta1 = beta1.into().checked_share(self.0.name, "first beta");
                $name(Settings { beta1, ..self.0 })
            }

            /// What keeps the denominator from 0; 1e-8 unless set.
            ///
            /// # Panics
            /// If it is negative or not finite.
            #[track_caller]
            pub fn eps(self, eps: f64) -> $name<'g> {
                $name(Settings { eps: self.0.expect("eps", eps), ..self.0 })
            }

            /// Divides by the largest second moment so far in place of the running one (Reddi, Kale and Kumar 2018, algorithm 2, with bias correction as
            /// in PyTorch). It is the state `<parameter>.adam_max`.
            pub fn amsgrad(self) -> $name<'g> {
                $name(Settings { amsgrad: true, ..self.0 })
            }

            /// Puts `prefix` and a dot before the names of the optimizer's state: `<prefix>.adam.t`, `<parameter>.<prefix>.adam_m`.
            pub fn prefix(self, prefix: &str) -> $name<'g> {
                $name(Settings { prefix: format!("{prefix}."), ..self.0 })
            }
        }

        impl<'g> Optimizer<'g> for $name<'g> {
            #[track_caller]
            fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
                self.0.update(step, gradients);
            }
        }
    };
}
adam!(Adam);
adam!(AdamW);

impl<'g> Adam<'g> {
    /// Adam with this learning rate, usually 0.001.
    ///
    /// # Panics
    /// If it is a number that is negative or not finite.
    #[track_caller]
    pub fn new(rate: impl Into<Rate<'g>>) -> Adam<'g> {
        Adam(Settings::new("Adam", rate, 0.0))
    }

    /// Weight decay as a term of the gradient, `g + d p` (L2 regularization); 0 unless set. [`AdamW`] decays apart from the gradient.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn weight_decay(self, weight_decay: f64) -> Adam<'g> {
        Adam(Settings { penalty: self.0.expect("the weight decay", weight_decay), ..self.0 })
    }
}

impl<'g> AdamW<'g> {
    /// AdamW with this learning rate and a weight decay of 0.01.
    ///
    /// # Panics
    /// If it is a number that is negative or not finite.
    #[track_caller]
    pub fn new(rate: impl Into<Rate<'g>>) -> AdamW<'g> {
        AdamW(Settings::new("AdamW", rate, 0.01))
    }

    /// The weight decay; 0.01 unless set.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn weight_decay(self, weight_decay: f64) -> AdamW<'g> {
        AdamW(Settings { decay: self.0.expect("the weight decay", weight_decay), ..self.0 })
    }
}
