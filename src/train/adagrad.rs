//! Adagrad.

use crate::build::Tensor;

use super::rate::expect_from_zero;
use super::{Optimizer, Rate, StepBuilder};

/// Adagrad (Duchi, Hazan and Singer 2011), in PyTorch's form.
///
/// With parameter `p`, gradient `g`, learning rate `lr`, its decay `k`, weight decay `d`, the sum `s`, and `t` the number of the step, from 1, each step computes
///
/// ```text
///   g' = g + d p
///   s  = s + g'^2
///   p  = p - lr / (1 + (t - 1) k) g' / (sqrt(s) + eps)
/// ```
///
/// The sum is the state `<parameter>.adagrad_sum`; with a decay of the rate, the count of steps taken is `adagrad.t`, an `i64`.
#[derive(Clone, Debug)]
pub struct Adagrad<'g> {
    rate: Rate<'g>,
    rate_decay: f64,
    eps: f64,
    initial: f64,
    weight_decay: f64,
    prefix: String,
}

impl<'g> Adagrad<'g> {
    /// Adagrad with this learning rate, usually 0.01.
    ///
    /// # Panics
    /// If it is a number that is negative or not finite.
    #[track_caller]
    pub fn new(rate: impl Into<Rate<'g>>) -> Adagrad<'g> {
        let rate = rate.into().checked("Adagrad");
        Adagrad { rate, rate_decay: 0.0, eps: 1e-10, initial: 0.0, weight_decay: 0.0, prefix: String::new() }
    }

    /// How fast the rate falls with the count of steps; 0 unless set.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn rate_decay(self, rate_decay: f64) -> Adagrad<'g> {
        expect_from_zero("Adagrad: the decay of the rate", rate_decay);
        Adagrad { rate_decay, ..self }
    }

    /// What keeps the denominator from 0; 1e-10 unless set.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn eps(self, eps: f64) -> Adagrad<'g> {
        expect_from_zero("Adagrad: eps", eps);
        Adagrad { eps, ..self }
    }

    /// The sum of squares before the first step; 0 unless set.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn initial_sum(self, initial: f64) -> Adagrad<'g> {
        expect_from_zero("Adagrad: the first sum of squares", initial);
        Adagrad { initial, ..self }
    }

    /// Weight decay as a term of the gradient; 0 unless set.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn weight_decay(self, weight_decay: f64) -> Adagrad<'g> {
        expect_from_zero("Adagrad: the weight decay", weight_decay);
        Adagrad { weight_decay, ..self }
    }

    /// Puts `prefix` and a dot before the names of the optimizer's state.
    pub fn prefix(self, prefix: &str) -> Adagrad<'g> {
        Adagrad { prefix: format!("{prefix}."), ..self }
    }
}

impl<'g> Optimizer<'g> for Adagrad<'g> {
    #[track_caller]
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
        let rate = self.rate.resolve(step, &self.prefix);
        let taken = (self.rate_decay != 0.0).then(|| step.count_steps(&format!("{}adagrad.t", self.prefix)));
        for &(p, g) in gradients {
            let g = if self.weight_decay == 0.0 { g } else { g + self.weight_decay * p };
            let sum = step.state_filled(p, &self.prefix, "adagrad_sum", self.initial);
            let new_sum = sum + g.square();
            step.update(sum, new_sum);
            let rate = rate.like(step, p);
            let rate = match taken {
                Some(taken) => rate / (1.0 + taken.cast(p.dtype()) * self.rate_decay),
                None => rate,
            };
            step.update(p, p - rate * (g / (new_sum.sqrt() + self.eps)));
        }
    }
}
