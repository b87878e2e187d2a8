//! Stochastic gradient descent.

use crate::build::Tensor;

use super::rate::expect_from_zero;
use super::{Optimizer, Rate, StepBuilder};

/// Stochastic gradient descent, plain, with momentum, or with Nesterov's momentum.
///
/// With parameter `p`, gradient `g`, learning rate `lr`, momentum `m`, weight decay `d` and velocity `u`, which is zero at first, each step computes
///
/// ```text
///   g' = g + d p                     weight decay, the gradient of d/2 |p|^2
///   u  = m u + g'                    with momentum (Polyak 1964)
///   p  = p - lr g'                   plain
///   p  = p - lr u                    with momentum
///   p  = p - lr (g' + m u)           with Nesterov's momentum
/// ```
///
/// The rate multiplies the velocity and is no part of it, and there is no dampening: the convention of PyTorch's `SGD`, after Sutskever et al. 2013.
/// The velocity is the state `<parameter>.momentum`. The momentum may change from step to step, as in [`OneCycle::momentum`](super::OneCycle::momentum).
#[derive(Clone, Debug)]
pub struct Sgd<'g> {
    rate: Rate<'g>,
    momentum: Option<Rate<'g>>,
    nesterov: bool,
    weight_decay: f64,
    prefix: String,
}

impl<'g> Sgd<'g> {
    /// Plain descent with this learning rate.
    ///
    /// # Panics
    /// If it is a number that is negative or not finite.
    #[track_caller]
    pub fn new(rate: impl Into<Rate<'g>>) -> Sgd<'g> {
        let rate = rate.into().checked("Sgd");
        Sgd { rate, momentum: None, nesterov: false, weight_decay: 0.0, prefix: String::new() }
    }

    /// Momentum, usually 0.9; or a schedule of it, whose count of steps is the state `momentum.t`.
    ///
    /// # Panics
    /// If it is a number that is not in `0 <= momentum < 1`.
    #[track_caller]
    pub fn momentum(self, momentum: impl Into<Rate<'g>>) -> Sgd<'g> {
        Sgd { momentum: Some(momentum.into().checked_share("Sgd", "momentum")), ..self }
    }

    /// Nesterov's form of momentum.
    ///
    /// # Panics
    /// The update panics if there is no momentum.
    pub fn nesterov(self) -> Sgd<'g> {
        Sgd { nesterov: true, ..self }
    }

    /// Weight decay as a term of the gradient (L2 regularization).
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn weight_decay(self, weight_decay: f64) -> Sgd<'g> {
        expect_from_zero("Sgd: the weight decay", weight_decay);
        Sgd { weight_decay, ..self }
    }

    /// Puts `prefix` and a dot before the names of the optimizer's state: `<prefix>.learning_rate`, `<parameter>.<prefix>.momentum`.
    pub fn prefix(self, prefix: &str) -> Sgd<'g> {
        Sgd { prefix: format!("{prefix}."), ..self }
    }
}

impl<'g> Optimizer<'g> for Sgd<'g> {
    #[track_caller]
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
        assert!(!self.nesterov || self.momentum.is_some(), "Sgd: Nesterov's form needs a momentum");
        let rate = self.rate.resolve(step, &self.prefix);
        let momentum = self.momentum.map(|momentum| momentum.resolve_number(step, &self.prefix, "momentum"));
        for &(param, gradient) in gradients {
            let gradient = if self.weight_decay == 0.0 { gradient } else { gradient + self.weight_decay * param };
            let direction = match momentum {
                None => gradient,
                Some(momentum) => {
                    let velocity = step.state_of(param, &self.prefix, "momentum");
                    let new = momentum.times(velocity) + gradient;
                    step.update(velocity, new);
                    if self.nesterov { gradient + momentum.times(new) } else { new }
                }
            };
            step.update(param, param - rate.like(step, param) * direction);
        }
    }
}
