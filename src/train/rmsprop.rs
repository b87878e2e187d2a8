//! RMSProp.

use crate::build::Tensor;

use super::rate::{expect_from_zero, expect_share};
use super::{Optimizer, Rate, StepBuilder};

/// RMSProp (Tieleman and Hinton 2012, lecture 6.5), in PyTorch's form.
///
/// With parameter `p`, gradient `g`, learning rate `lr`, smoothing `a`, momentum `m` and weight decay `d`, each step computes
///
/// ```text
///   g' = g + d p
///   v  = a v + (1 - a) g'^2
///   r  = g' / (sqrt(v) + eps)              plain
///   r  = g' / (sqrt(v - c^2) + eps)        centered (Graves 2013, equation 40), with c = a c + (1 - a) g'
///   p  = p - lr r                          without momentum
///   p  = p - lr u                          with momentum, u = m u + r
/// ```
///
/// The states are `<parameter>.rmsprop_v`, if centered `<parameter>.rmsprop_m`, and with momentum `<parameter>.momentum`; all are zero at first.
#[derive(Clone, Debug)]
pub struct RmsProp<'g> {
    rate: Rate<'g>,
    smoothing: f64,
    eps: f64,
    momentum: Option<Rate<'g>>,
    centered: bool,
    weight_decay: f64,
    prefix: String,
}

impl<'g> RmsProp<'g> {
    /// RMSProp with this learning rate, usually 0.01.
    ///
    /// # Panics
    /// If it is a number that is negative or not finite.
    #[track_caller]
    pub fn new(rate: impl Into<Rate<'g>>) -> RmsProp<'g> {
        RmsProp {
            rate: rate.into().checked("RmsProp"),
            smoothing: 0.99,
            eps: 1e-8,
            momentum: None,
            centered: false,
            weight_decay: 0.0,
            prefix: String::new(),
        }
    }

    /// The share of the running mean square that a step keeps; 0.99 unless set.
    ///
    /// # Panics
    /// If it is not in `0 <= smoothing < 1`.
    #[track_caller]
    pub fn smoothing(self, smoothing: f64) -> RmsProp<'g> {
        expect_share("RmsProp: the smoothing", smoothing);
        RmsProp { smoothing, ..self }
    }

    /// What keeps the denominator from 0; 1e-8 unless set.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn eps(self, eps: f64) -> RmsProp<'g> {
        expect_from_zero("RmsProp: eps", eps);
        RmsProp { eps, ..self }
    }

    /// Momentum; none unless set. A schedule of it counts steps in the state `momentum.t`.
    ///
    /// # Panics
    /// If it is a number that is not in `0 <= momentum < 1`.
    #[track_caller]
    pub fn momentum(self, momentum: impl Into<Rate<'g>>) -> RmsProp<'g> {
        RmsProp { momentum: Some(momentum.into().checked_share("RmsProp", "momentum")), ..self }
    }

    /// Divides by the running variance in place of the running mean square.
    pub fn centered(self) -> RmsProp<'g> {
        RmsProp { centered: true, ..self }
    }

    /// Weight decay as a term of the gradient; 0 unless set.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn weight_decay(self, weight_decay: f64) -> RmsProp<'g> {
        expect_from_zero("RmsProp: the weight decay", weight_decay);
        RmsProp { weight_decay, ..self }
    }

    /// Puts `prefix` and a dot before the names of the optimizer's state.
    pub fn prefix(self, prefix: &str) -> RmsProp<'g> {
        RmsProp { prefix: format!("{prefix}."), ..self }
    }
}

impl<'g> Optimizer<'g> for RmsProp<'g> {
    #[track_caller]
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
        let rate = self.rate.resolve(step, &self.prefix);
        let momentum = self.momentum.map(|momentum| momentum.resolve_number(step, &self.prefix, "momentum"));
        for &(p, g) in gradients {
            let g = if self.weight_decay == 0.0 { g } else { g + self.weight_decay * p };
            let v = step.state_of(p, &self.prefix, "rmsprop_v");
            let new_v = self.smoothing * v + (1.0 - self.smoothing) * g.square();
            step.update(v, new_v);
            let power = if self.centered {
                let m = step.state_of(p, &self.prefix, "rmsprop_m");
                let new_m = self.smoothing * m + (1.0 - self.smoothing) * g;
                step.update(m, new_m);
                // The difference of two rounded numbers may be a little below 0.
                (new_v - new_m.square()).maximum(0.0)
            } else {
                new_v
            };
            let scaled = g / (power.sqrt() + self.eps);
            let direction = match momentum {
                None => scaled,
                Some(momentum) => {
                    let u = step.state_of(p, &self.prefix, "momentum");
                    let new_u = momentum.times(u) + scaled;
                    step.update(u, new_u);
                    new_u
                }
            };
            step.update(p, p - rate.like(step, p) * direction);
        }
    }
}
