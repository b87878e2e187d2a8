//! Groups of parameters with optimizers of their own.

use std::fmt;

use crate::build::Tensor;

use super::{Optimizer, StepBuilder, param_name};

/// Several optimizers in one step, each for some of the parameters: another rate for a pretrained part, no decay of biases.
///
/// ```
/// use cotangent::prelude::*;
/// use cotangent::train::Groups;
///
/// let g = Builder::new();
/// let (w, b) = (g.param("fc.weight", init::ones([2])), g.param("fc.bias", init::ones([2])));
/// let loss = (w + b).square().sum();
/// let optimizer = Groups::new(AdamW::new(1e-3)).group("no_decay", |name| name.ends_with(".bias"), AdamW::new(1e-3).weight_decay(0.0));
/// let step = optimizer.minimize(loss);
/// # let names: Vec<String> = step.updates().iter().map(|(p, _)| format!("{p:?}")).collect();
/// # assert!(names.iter().any(|n| n.contains("no_decay.adam.t")), "{names:?}");
/// ```
///
/// States of an optimizer itself, such as `adam.t`, have the name of its group before theirs: `no_decay.adam.t`. Those of a parameter are called as without
/// groups. Clipping by [`Optimizer::clip_by_global_norm`] is over the parameters of all groups if it is put around them.
pub struct Groups<'g> {
    groups: Vec<Group<'g>>,
    rest: Update<'g>,
}

/// The update of an optimizer whose type is forgotten.
type Update<'g> = Box<dyn FnOnce(&mut StepBuilder<'g>, &[(Tensor<'g>, Tensor<'g>)]) + 'g>;

struct Group<'g> {
    name: String,
    holds: Box<dyn Fn(&str) -> bool + 'g>,
    update: Update<'g>,
}

#[track_caller]
fn erased<'g>(optimizer: impl Optimizer<'g> + 'g) -> Update<'g> {
    Box::new(move |step, gradients| optimizer.update(step, gradients))
}

impl<'g> Groups<'g> {
    /// One group, of all parameters.
    pub fn new(optimizer: impl Optimizer<'g> + 'g) -> Groups<'g> {
        Groups { groups: Vec::new(), rest: erased(optimizer) }
    }

    /// Takes out the parameters for whose names `holds` is true, to be updated by this optimizer. A parameter is in the first group that holds it.
    pub fn group(
        mut self,
        name: &str,
        holds: impl Fn(&str) -> bool + 'g,
        optimizer: impl Optimizer<'g> + 'g,
    ) -> Groups<'g> {
        self.groups.push(Group { name: name.to_owned(), holds: Box::new(holds), update: erased(optimizer) });
        self
    }
}

impl<'g> Optimizer<'g> for Groups<'g> {
    /// # Panics
    /// If a group holds no parameter: its condition is likely misspelt.
    #[track_caller]
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
        let mut rest = gradients.to_vec();
        let outer = step.group.clone();
        for Group { name, holds, update } in self.groups {
            let is_in = |&(param, _): &(Tensor<'g>, Tensor<'g>)| param_name(param).is_some_and(|name| holds(&name));
            let (own, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_in);
            rest = others;
            if own.is_empty() {
                let names: Vec<String> =
                    gradients.iter().filter_map(|&(p, _)| param_name(p)).map(|n| n.to_string()).collect();
                panic!("group `{name}` holds no parameter; there are: {}", names.join(", "));
            }
            step.group = format!("{outer}{name}.");
            update(step, &own);
        }
        step.group = outer;
        if !rest.is_empty() {
            (self.rest)(step, &rest);
        }
    }
}

impl fmt::Debug for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.groups.iter().map(|g| &g.name)).finish()
    }
}
