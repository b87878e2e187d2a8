//! What stands between gradients and an optimizer: clipping, and accumulation over several steps.
//!
//! Both are optimizers around an optimizer, made by methods of [`Optimizer`]: `Adam::new(1e-3).clip_by_global_norm(1.0).minimize(loss)`.

use crate::build::Tensor;
use crate::graph::DType;
use crate::scalar::ScalarFn;

use super::{Optimizer, StepBuilder};

/// How gradients are limited.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Value(f64),
    GlobalNorm(f64),
}

/// An optimizer that is given limited gradients: see [`Optimizer::clip_by_value`] and [`Optimizer::clip_by_global_norm`].
#[derive(Clone, Debug)]
pub struct Clipped<O> {
    optimizer: O,
    limit: Limit,
}

impl<O> Clipped<O> {
    #[track_caller]
    pub(super) fn by_value(optimizer: O, limit: f64) -> Clipped<O> {
        assert!(limit >= 0.0, "clip_by_value: the limit {limit} is not a number from 0 up");
        Clipped { optimizer, limit: Limit::Value(limit) }
    }

    #[track_caller]
    pub(super) fn by_global_norm(optimizer: O, limit: f64) -> Clipped<O> {
        assert!(limit > 0.0, "clip_by_global_norm: the limit {limit} is not a number above 0");
        Clipped { optimizer, limit: Limit::GlobalNorm(limit) }
    }
}

impl<'g, O: Optimizer<'g>> Optimizer<'g> for Clipped<O> {
    #[track_caller]
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
        let (params, gradients): (Vec<_>, Vec<_>) = gradients.iter().copied().unzip();
        let clipped = match self.limit {
            Limit::Value(limit) => clip_by_value(&gradients, limit),
            Limit::GlobalNorm(_) if gradients.is_empty() => Vec::new(),
            Limit::GlobalNorm(limit) => clip_by_global_norm(&gradients, limit).0,
        };
        let pairs: Vec<_> = params.into_iter().zip(clipped).collect();
        self.optimizer.update(step, &pairs);
    }
}

/// Each element `g` as `min(max(g, -limit), limit)`. NaN stays NaN.
#[track_caller]
pub fn clip_by_value<'g>(gradients: &[Tensor<'g>], limit: f64) -> Vec<Tensor<'g>> {
    let mut clipped = Vec::with_capacity(gradients.len());
    for &gradient in gradients {
        clipped.push(gradient.maximum(-limit).minimum(limit));
    }
    clipped
}

/// All elements multiplied with `limit / max(norm, limit)`, where `norm` is the square root of the sum of the squares of all elements of all gradients
/// (Pascanu et al. 2013); and the norm, a scalar, before clipping. Gradients within the limit keep their bits, and a norm of 0 does no harm.
///
/// The norm is an `f64` if one of the gradients is, else an `f32`, which an `f32` gradient of magnitude above about `1e19` overflows. If the norm is
/// infinite, finite elements become 0 and infinite ones NaN; if it is NaN, all become NaN.
///
/// # Panics
/// If there are no gradients.
#[track_caller]
pub fn clip_by_global_norm<'g>(gradients: &[Tensor<'g>], limit: f64) -> (Vec<Tensor<'g>>, Tensor<'g>) {
    assert!(!gradients.is_empty(), "clip_by_global_norm: there are no gradients");
    let dtype = if gradients.iter().any(|g| g.dtype() == DType::F64) { DType::F64 } else { DType::F32 };
    let mut squares: Option<Tensor<'g>> = None;
    for &gradient in gradients {
        let sum = gradient.square().sum().cast(dtype);
        squares = Some(squares.map_or(sum, |squares| squares + sum));
    }
    // As written: a norm in stable form would read every gradient twice.
    let norm = Tensor::map(ScalarFn::Sqrt, &[squares.expect("there are gradients")]);
    let scale = limit / norm.maximum(limit);
    let mut clipped = Vec::with_capacity(gradients.len());
    for &gradient in gradients {
        clipped.push(gradient * scale.cast(gradient.dtype()));
    }
    (clipped, norm)
}

/// An optimizer that updates once in several steps, by the mean of their gradients: see [`Optimizer::accumulate`].
#[derive(Clone, Debug)]
pub struct Accumulated<O> {
    optimizer: O,
    steps: u32,
}

impl<O> Accumulated<O> {
    #[track_caller]
    pub(super) fn new(optimizer: O, steps: u32) -> Accumulated<O> {
        assert!(steps > 0, "accumulate: over 0 steps");
        Accumulated { optimizer, steps }
    }
}

impl<'g, O: Optimizer<'g>> Optimizer<'g> for Accumulated<O> {
    #[track_caller]
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
        let taken = step.count_steps("accumulate.t");
        let last = (taken % i64::from(self.steps)).eq(i64::from(self.steps) - 1);
        let mut means = Vec::with_capacity(gradients.len());
        for &(param, gradient) in gradients {
            let sum = step.state_of(param, "", "accumulated");
            let new = sum + gradient;
            let none = step.builder().zeros(param.ty());
            step.update(sum, last.select(none, new));
            means.push((param, new / f64::from(self.steps)));
        }
        let first = step.updates.len();
        self.optimizer.update(step, &means);
        for (param, value) in &mut step.updates[first..] {
            *value = last.select(*value, *param);
        }
    }
}
