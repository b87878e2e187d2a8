//! Lion.

use crate::build::Tensor;

use super::rate::{expect_from_zero, expect_share};
use super::{Optimizer, Rate, StepBuilder};

/// Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2).
///
/// With parameter `p`, gradient `g`, learning rate `lr`, weight decay `d` and momentum `m`, which is zero at first, each step computes
///
/// ```text
///   u = sign(b1 m + (1 - b1) g)
///   p = p - lr (u + d p)
///   m = b2 m + (1 - b2) g
/// ```
///
/// The momentum is the state `<parameter>.lion_m`. Every element moves by the rate, so rates are a third to a tenth of [`AdamW`](super::AdamW)'s, and decays larger by
/// as much.
#[derive(Clone, Debug)]
pub struct Lion<'g> {
    rate: Rate<'g>,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    prefix: String,
}

impl<'g> Lion<'g> {
    /// Lion with this learning rate, usually 1e-4.
    ///
    /// # Panics
    /// If it is a number that is negative or not finite.
    #[track_caller]
    pub fn new(rate: impl Into<Rate<'g>>) -> Lion<'g> {
        let rate = rate.into().checked("Lion");
        Lion { rate, beta1: 0.9, beta2: 0.99, weight_decay: 0.0, prefix: String::new() }
    }

    /// The share of the momentum in the direction, and the share that a step keeps of it; 0.9 and 0.99 unless set.
    ///
    /// # Panics
    /// If one of them is not in `0 <= beta < 1`.
    #[track_caller]
    pub fn betas(self, beta1: f64, beta2: f64) -> Lion<'g> {
        expect_share("Lion: the first beta", beta1);
        expect_share("Lion: the second beta", beta2);
        Lion { beta1, beta2, ..self }
    }

    /// Weight decay, apart from the gradient and multiplied by the rate; 0 unless set.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn weight_decay(self, weight_decay: f64) -> Lion<'g> {
        expect_from_zero("Lion: the weight decay", weight_decay);
        Lion { weight_decay, ..self }
    }

    /// Puts `prefix` and a dot before the names of the optimizer's state.
    pub fn prefix(self, prefix: &str) -> Lion<'g> {
        Lion { prefix: format!("{prefix}."), ..self }
    }
}

impl<'g> Optimizer<'g> for Lion<'g> {
    #[track_caller]
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
        let rate = self.rate.resolve(step, &self.prefix);
        for &(p, g) in gradients {
            let m = step.state_of(p, &self.prefix, "lion_m");
            let direction = (self.beta1 * m + (1.0 - self.beta1) * g).sign();
            step.update(m, self.beta2 * m + (1.0 - self.beta2) * g);
            let rate = rate.like(step, p);
            let shrunk = if self.weight_decay == 0.0 { p } else { p * (1.0 - rate * self.weight_decay) };
            step.update(p, shrunk - rate * direction);
        }
    }
}
