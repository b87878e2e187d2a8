//! What a forward pass is for, and what it leaves for the step to update.

use crate::array::Array;
use crate::build::{Key, Tensor};
use crate::graph::DType;

use super::Path;

/// Tells layers whether they are applied for training or for inference. In training, hands out random keys and collects updates of states.
///
/// The step takes the updates by [`TrainStep::update_all`](crate::train::TrainStep::update_all). If there is a draw, the key of the next step is the state
/// `dropout_key`, `u32[2]`, so that each step draws anew, and a saved state goes on with the same numbers.
#[derive(Debug)]
pub struct Context<'g> {
    training: Option<Training<'g>>,
}

#[derive(Debug)]
struct Training<'g> {
    path: Path<'g>,
    key: Option<Key<'g>>,
    draws: i32,
    updates: Vec<(Tensor<'g>, Tensor<'g>)>,
}

/// The state that holds the key of the next step.
const KEY: &str = "dropout_key";

impl<'g> Context<'g> {
    /// For training. The random key is a state below `path`, and begins with the path's seed.
    pub fn train(path: &Path<'g>) -> Context<'g> {
        Context { training: Some(Training { path: path.clone(), key: None, draws: 0, updates: Vec::new() }) }
    }

    /// For inference: no dropout, running statistics.
    pub fn infer() -> Context<'g> {
        Context { training: None }
    }

    /// True in training.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// In training, a random key that no other draw of the step uses; `None` in inference.
    #[track_caller]
    pub fn key(&mut self) -> Option<Key<'g>> {
        let training = self.training.as_mut()?;
        let key = match training.key {
            Some(key) => key,
            None => {
                let seed = training.path.seed_of(KEY);
                let words = Array::from([(seed >> 32) as u32, seed as u32]);
                let state = training.path.state(KEY, words);
                let [key, next] = Key::new(state).split();
                training.updates.push((state, next.tensor()));
                *training.key.insert(key)
            }
        };
        let number = training.path.builder().constant(Array::scalar(training.draws));
        training.draws += 1;
        Some(key.fold_in(number))
    }

    /// In training, lets `state` take the value of `value` at the end of the step; of no effect in inference.
    pub fn update(&mut self, state: Tensor<'g>, value: Tensor<'g>) {
        if let Some(training) = &mut self.training {
            training.updates.push((state, value));
        }
    }

    /// The updates that the layers applied so far ask of the step.
    pub fn updates(&self) -> Vec<(Tensor<'g>, Tensor<'g>)> {
        self.training.as_ref().map_or_else(Vec::new, |t| t.updates.clone())
    }

    /// `x` with dropout in training, `x` itself in inference or if the rate is 0.
    ///
    /// # Panics
    /// If the rate is not from 0 to 1, or the element type is not a float type.
    #[track_caller]
    pub fn dropout(&mut self, x: Tensor<'g>, rate: f64) -> Tensor<'g> {
        if rate == 0.0 {
            return x;
        }
        match self.key() {
            Some(key) => x.dropout(rate, key),
            None => x,
        }
    }
}

/// The element type that layers count in.
pub(super) const COUNT: DType = DType::I64;
