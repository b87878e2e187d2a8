//! Layers one after the other.

use std::fmt;

use crate::build::Tensor;

use super::{Context, Module, Path};

/// Modules that are applied one after the other, PyTorch's `Sequential`: names begin with the number of the module, and functions are counted too.
pub struct Sequential<'g> {
    path: Path<'g>,
    modules: Vec<Box<dyn Module<'g> + 'g>>,
}

impl<'g> Sequential<'g> {
    /// No modules; the result is the operand.
    pub fn new(path: &Path<'g>) -> Sequential<'g> {
        Sequential { path: path.clone(), modules: Vec::new() }
    }

    /// Adds the module that `layer` makes at the place of the next number.
    #[expect(clippy::should_implement_trait, reason = "it adds a module, not a number")]
    #[track_caller]
    pub fn add<M: Module<'g> + 'g>(mut self, layer: impl FnOnce(&Path<'g>) -> M) -> Sequential<'g> {
        let module = layer(&self.path.at(self.modules.len()));
        self.modules.push(Box::new(module));
        self
    }

    /// Adds a function, which takes a number as well.
    pub fn then(mut self, f: impl Fn(Tensor<'g>) -> Tensor<'g> + 'g) -> Sequential<'g> {
        self.modules.push(Box::new(f));
        self
    }
}

impl<'g> Module<'g> for Sequential<'g> {
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, cx: &mut Context<'g>) -> Tensor<'g> {
        let mut x = x;
        for module in &self.modules {
            x = module.forward(x, cx);
        }
        x
    }
}

impl fmt::Debug for Sequential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sequential({} modules)", self.modules.len())
    }
}
