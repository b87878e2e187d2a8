//! Random numbers of nodes that are random in training. All are drawn with keys from one parameter, which is another after each step.

use crate::array::Array;
use crate::build::{Key, OUTERMOST};
use crate::graph::NodeId;

use super::import::Importer;

/// The random numbers of a step.
pub(super) struct Random<'g> {
    /// The parameter that holds the key.
    pub state: String,
    key: Key<'g>,
    /// The key that it holds after the step.
    pub next: NodeId,
    /// Keys that were taken from it.
    draws: i32,
}

impl<'g> Importer<'_, 'g> {
    /// A random key that no other node of the step has, if the bindings allow for randomness. Bodies of loops and branches have none.
    pub fn random_key(&self) -> Option<Key<'g>> {
        let seed = self.bindings.seed()?;
        if self.g.frame() != OUTERMOST {
            return None;
        }
        let mut random = self.random.borrow_mut();
        let random = random.get_or_insert_with(|| {
            let mut state = "dropout_key".to_owned();
            while self.g.graph().find(&state).is_some() {
                state.push('_');
            }
            let words = Array::from([(seed >> 32) as u32, seed as u32]);
            let [key, next] = Key::new(self.g.state(&state, words)).split();
            Random { state, key, next: next.tensor().id(), draws: 0 }
        });
        let number = self.g.constant(Array::scalar(random.draws));
        random.draws += 1;
        Some(random.key.fold_in(number))
    }
}
