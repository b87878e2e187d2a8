//! L-BFGS.

mod search;

use crate::build::{Init, Scan, Tensor, init};
use crate::graph::TensorType;

use super::rate::expect_from_zero;
use super::{Optimizer, Rate, StepBuilder, TrainStep, minimize_wrt};
use search::LineSearch;

/// L-BFGS (Nocedal 1980; Nocedal and Wright 2006, algorithm 7.4): the direction is the gradient times an estimate of the inverse Hessian, made of how the last
/// gradients changed with the last moves.
///
/// With gradient `g`, each step computes
///
/// ```text
///   y = g - g of the step before        s = what that step moved
///   if y.s > 1e-10: (s, y, 1 / y.s) joins the history, the oldest leaves; h = y.s / y.y
///   q = -g;  from the newest pair to the oldest: a_i = (s_i.q) / (y_i.s_i), q = q - a_i y_i
///   q = h q; from the oldest to the newest:      q = q + (a_i - (y_i.q) / (y_i.s_i)) s_i
///   p = p + lr q                        in the first step lr min(1, 1 / |g|_1)
/// ```
///
/// Without a line search there is one evaluation of the loss in a step; [`Lbfgs::strong_wolfe`] searches along `q` in place of the fixed `lr q`. This is
/// PyTorch's `LBFGS`, of which a step of `max_iter` iterations is as many steps here. As there, nothing moves where no element of the gradient is above
/// [`Lbfgs::tolerance`] in magnitude, or the direction does not go down.
///
/// It is for full batches: a pair from gradients of different examples says little of the curvature. All parameters have one element type. The history is in the
/// states `lbfgs.s` and `lbfgs.y`, `[history, elements]`, and takes twice `history` times the memory of the parameters.
#[derive(Clone, Debug)]
pub struct Lbfgs<'g> {
    rate: Rate<'g>,
    history: usize,
    tolerance: f64,
    search: bool,
    /// What the line search evaluates.
    loss: Option<Tensor<'g>>,
    prefix: String,
}

/// The least curvature `y.s` of a pair, and the least descent of a direction.
const CURVATURE: f64 = 1e-10;
const DESCENT: f64 = 1e-9;

impl<'g> Lbfgs<'g> {
    /// L-BFGS with this learning rate, usually 1, and a history of 100.
    ///
    /// # Panics
    /// If it is a number that is negative or not finite.
    #[track_caller]
    pub fn new(rate: impl Into<Rate<'g>>) -> Lbfgs<'g> {
        let rate = rate.into().checked("Lbfgs");
        Lbfgs { rate, history: 100, tolerance: 1e-7, search: false, loss: None, prefix: String::new() }
    }

    /// How many pairs are kept; 100 unless set.
    ///
    /// # Panics
    /// If it is 0.
    #[track_caller]
    pub fn history(self, history: usize) -> Lbfgs<'g> {
        assert!(history > 0, "Lbfgs: the history has at least one pair");
        Lbfgs { history, ..self }
    }

    /// Where no element of the gradient is larger in magnitude, nothing moves; 1e-7 unless set.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn tolerance(self, tolerance: f64) -> Lbfgs<'g> {
        expect_from_zero("Lbfgs: the tolerance", tolerance);
        Lbfgs { tolerance, ..self }
    }

    /// Searches along each direction for a step that meets the strong Wolfe conditions, beginning with the rate: with the loss `f` and its slope `f'`, both
    /// along the direction,
    ///
    /// ```text
    ///   f(t) <= f(0) + 1e-4 t f'(0)        |f'(t)| <= 0.9 |f'(0)|
    /// ```
    ///
    /// The search is a loop inside the step and evaluates the loss and its gradient once a trip, up to 26 times, most often once or twice, after the step's
    /// own evaluation: PyTorch's `line_search_fn="strong_wolfe"`, each step with `max_iter=1, max_eval=26`. A loss that is not a number counts as infinite. Random keys are those of the step, so that all evaluations see the
    /// same numbers.
    ///
    /// Only [`Optimizer::minimize`] and [`Optimizer::minimize_wrt`] know the loss: the search goes with neither clipping, accumulation, groups nor
    /// [`Optimizer::apply`].
    pub fn strong_wolfe(self) -> Lbfgs<'g> {
        Lbfgs { search: true, ..self }
    }

    /// Puts `prefix` and a dot before the names of the optimizer's state.
    pub fn prefix(self, prefix: &str) -> Lbfgs<'g> {
        Lbfgs { prefix: format!("{prefix}."), ..self }
    }
}

impl<'g> Optimizer<'g> for Lbfgs<'g> {
    #[track_caller]
    fn minimize_wrt(self, loss: Tensor<'g>, params: &[Tensor<'g>]) -> TrainStep<'g> {
        minimize_wrt(Lbfgs { loss: Some(loss), ..self }, loss, params)
    }

    /// # Panics
    /// If the parameters are not all of one element type, or a line search is not told the loss.
    #[track_caller]
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
        let Some(&(first, _)) = gradients.first() else { return };
        let dtype = first.dtype();
        let mut parts = Vec::with_capacity(gradients.len());
        for &(param, gradient) in gradients {
            assert!(
                param.dtype() == dtype,
                "Lbfgs: the parameters are of one element type, not {dtype} and {}",
                param.dtype()
            );
            parts.push(gradient.reshape([gradient.shape().numel()]));
        }
        let builder = step.builder();
        let gradient = builder.concat(&parts, 0);
        let (elements, history) = (gradient.shape()[0], self.history);

        let zeros = |shape: &[usize]| -> Init { TensorType::new(dtype, shape).into() };
        let name = |name: &str| format!("{}lbfgs.{name}", self.prefix);
        let old_s = step.own_state(&name("s"), zeros(&[history, elements]));
        let old_y = step.own_state(&name("y"), zeros(&[history, elements]));
        let old_rho = step.own_state(&name("rho"), zeros(&[history]));
        let old_scale = step.own_state(&name("scale"), init::ones([]).dtype(dtype));
        let last_gradient = step.own_state(&name("gradient"), zeros(&[elements]));
        let last_move = step.own_state(&name("move"), zeros(&[elements]));
        let taken = step.count_steps(&name("t"));

        // Pairs that are not there yet are zero and change nothing.
        let change = gradient - last_gradient;
        let curvature = change.vdot(last_move);
        let joins = curvature.gt(CURVATURE);
        let push = |old: Tensor<'g>, new: Tensor<'g>| {
            let new = builder.concat(&[old.slice(0, 1..), new.expand(0)], 0);
            joins.select(new, old)
        };
        let s = push(old_s, last_move);
        let y = push(old_y, change);
        let rho = push(old_rho, 1.0 / curvature);
        let scale = joins.select(curvature / change.vdot(change), old_scale);

        let (q, shares) = builder.scan_with(Scan::new().reverse(), -gradient, (s, y, rho), |q, (s, y, rho)| {
            let share = rho * s.vdot(q);
            (q - share * y, share)
        });
        let (direction, ()) = builder
            .scan(q * scale, (s, y, rho, shares), |q, (s, y, rho, share)| (q + s * (share - rho * y.vdot(q)), ()));

        let rate = self.rate.resolve(step, &self.prefix).like(step, gradient);
        let shortened = rate * (1.0 / gradient.abs().sum()).minimum(1.0);
        let rate = taken.eq(0).select(shortened, rate);
        let slope = gradient.vdot(direction);
        let moves = gradient.abs().max().gt(self.tolerance) & slope.le(-DESCENT);
        let length = match self.loss.filter(|_| self.search) {
            Some(loss) => {
                let params: Vec<Tensor<'g>> = gradients.iter().map(|pair| pair.0).collect();
                LineSearch::new(loss, &params, direction, slope).run(rate, moves)
            }
            None => {
                assert!(
                    !self.search,
                    "Lbfgs: a line search evaluates the loss, which only `minimize` of the optimizer itself knows, without clipping, accumulation or groups"
                );
                rate
            }
        };
        let still = builder.zeros(gradient.ty());
        let moved = moves.select(length * direction, still);

        for (state, value) in
            [(old_s, s), (old_y, y), (old_rho, rho), (old_scale, scale), (last_gradient, gradient), (last_move, moved)]
        {
            step.update(state, value);
        }
        let mut at = 0;
        for &(param, _) in gradients {
            let count = param.shape().numel();
            step.update(param, param + moved.slice(0, at..at + count).reshape(param.shape()));
            at += count;
        }
    }
}
