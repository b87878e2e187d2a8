//! What is known of values before the program runs.

use std::collections::HashSet;
use std::sync::Arc;

use crate::array::Array;
use crate::build::Tensor;

use super::super::known;
use super::Importer;

impl<'g> Importer<'_, 'g> {
    /// The value of a tensor, if it is known. The leaves that it depends on become constants.
    pub fn known(&self, tensor: Tensor<'g>) -> Option<Arc<Array>> {
        let leaf = |name: &str| {
            let value = self.leaves.borrow().get(name).cloned();
            if value.is_some() {
                self.decisive.borrow_mut().insert(name.to_owned());
            }
            value
        };
        self.known.borrow_mut().value(tensor, &leaf)
    }

    /// The value of a tensor, if it follows from constants alone.
    pub fn constant(&self, tensor: Tensor<'g>) -> Option<Arc<Array>> {
        written(tensor).or_else(|| self.constants.borrow_mut().value(tensor, &|_| None))
    }

    /// The number of the node that is being imported.
    pub fn number(&self) -> usize {
        self.nodes.get()
    }

    /// The inputs without a value that a tensor depends on, if it can be evaluated where they have one.
    pub fn unbound(&self, tensor: Tensor<'g>) -> Vec<String> {
        let mut names = known::leaves(tensor).unwrap_or_default();
        names.retain(|name| !self.leaves.borrow().contains_key(name));
        // In the bodies of loops there are inputs that are none of the model.
        let inputs: HashSet<String> = self.model.inputs().into_iter().map(|input| input.name).collect();
        names.retain(|name| self.g.frame() == tensor.key().0 && inputs.contains(name));
        names
    }
}

/// The value of a tensor that is a constant itself.
pub(super) fn written(tensor: Tensor<'_>) -> Option<Arc<Array>> {
    tensor.in_graph(|graph| match graph.op(tensor.id()) {
        crate::prim::Op::Const(c) => Some(c.value.clone()),
        _ => None,
    })
}
