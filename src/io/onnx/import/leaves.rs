//! What the names of inputs and initializers stand for.

use std::collections::HashSet;
use std::sync::Arc;

use crate::array::Array;
use crate::build::{Init, Tensor};
use crate::graph::TensorType;

use super::super::bindings::InputType;
use super::super::dtype::OnnxType;
use super::super::error::ImportError;
use super::super::held::to_held;
use super::super::node::Value;
use super::super::proto;
use super::super::roles::special;
use super::super::tensor::TensorFault;
use super::{Importer, Scope, Walked};

impl<'g> Importer<'_, 'g> {
    /// Binds the names of inputs.
    pub(super) fn inputs(&self, scope: &Scope<'_, 'g>, walked: &mut Walked) -> Result<(), ImportError> {
        let used = used_names(self.model.graph());
        for InputType { name, ty, own } in self.bindings.resolve(self.model)? {
            let value = match ty {
                Err(text) => {
                    if used.contains(&*name) {
                        self.fault(&name, "input", format!("type {text}"));
                    }
                    Value::Failed
                }
                Ok(ty) => self.input(&name, ty, own, walked)?,
            };
            scope.bind(&name, value)?;
        }
        Ok(())
    }

    fn input(
        &self,
        name: &str,
        ty: TensorType,
        own: Option<OnnxType>,
        walked: &mut Walked,
    ) -> Result<Value<'g>, ImportError> {
        let _source = self.g.for_node("input", name);
        self.expect_size(&ty.shape).map_err(|what| ImportError::Graph(format!("input `{name}`: {what}")))?;
        let bound = self.bindings.value_of(name);
        if let Some(value) = bound {
            self.leaves.borrow_mut().insert(name.to_owned(), Arc::new(value.clone()));
        }
        let tensor = match bound.filter(|_| self.fixed.contains(name)) {
            Some(value) => self.g.constant(value.clone()),
            None => {
                self.expect_free(name)?;
                let input = self.g.input(name, ty);
                walked.inputs.push((name.to_owned(), input.id()));
                input
            }
        };
        let Some(own) = own.filter(|own| own.dtype().is_none()) else { return Ok(tensor.into()) };
        walked.held.push((name.to_owned(), own));
        let fitted = own.fitted(tensor);
        Ok(own.value(fitted.map_err(|_| ImportError::Graph(format!("input `{name}` is of type {own}")))?))
    }

    /// Binds the names of initializers that are used.
    pub(super) fn initializers(&self, scope: &Scope<'_, 'g>, walked: &mut Walked) -> Result<(), ImportError> {
        let graph = self.model.graph();
        let (used, special) = (used_names(graph), special(graph));
        for tensor in &graph.initializer {
            let name = tensor.name.as_deref().unwrap_or("");
            if !used.contains(name) {
                continue;
            }
            let (array, own) = match to_held(tensor, &self.model.external, &mut self.budget.borrow_mut()) {
                Ok(read) => read,
                Err(TensorFault::ElementType(code)) => {
                    self.fault(name, "initializer", format!("element type {code}"));
                    scope.bind(name, Value::Failed)?;
                    continue;
                }
                Err(fault) => return Err(fault.into_error(name).into()),
            };
            self.expect_size(array.shape())
                .map_err(|what| ImportError::Graph(format!("initializer `{name}`: {what}")))?;
            let learned = !special.contains_key(name);
            let tensor = match own.dtype() {
                Some(_) => self.initializer(name, array, learned, walked)?,
                None => self.g.constant(array),
            };
            scope.bind(name, own.value(tensor))?;
        }
        for tensor in &graph.sparse_initializer {
            let name = tensor.values.as_ref().and_then(|v| v.name.as_deref()).unwrap_or("");
            self.fault(name, "initializer", "sparse tensor".to_owned());
            scope.bind(name, Value::Failed)?;
        }
        Ok(())
    }

    fn initializer(
        &self,
        name: &str,
        array: Array,
        learned: bool,
        walked: &mut Walked,
    ) -> Result<Tensor<'g>, ImportError> {
        let _source = self.g.for_node("initializer", name);
        if !array.dtype().is_float() || self.fixed.contains(name) {
            return Ok(self.g.constant(array));
        }
        self.expect_free(name)?;
        let initial = Init::from(array);
        self.leaves.borrow_mut().insert(name.to_owned(), initial.shared());
        // Exporters lift numbers out of expressions: a scalar is none that is learned.
        let learned = learned && initial.ty().shape.rank() > 0;
        let param = if learned { self.g.param(name, initial) } else { self.g.state(name, initial) };
        walked.params.push((name.to_owned(), param.id()));
        Ok(param)
    }

    fn expect_free(&self, name: &str) -> Result<(), ImportError> {
        match self.g.graph().find(name) {
            None => Ok(()),
            Some(_) => Err(ImportError::Graph(format!("there are two values called `{name}`"))),
        }
    }
}

/// All names that nodes use, in graphs inside nodes too, and the results.
fn used_names(graph: &proto::Graph) -> HashSet<&str> {
    let (mut names, mut graphs) = (HashSet::new(), vec![graph]);
    while let Some(graph) = graphs.pop() {
        names.extend(graph.output.iter().filter_map(|o| o.name.as_deref()));
        for node in &graph.node {
            names.extend(node.input.iter().map(|name| &**name));
            graphs.extend(node.attribute.iter().filter_map(|a| a.g.as_deref()));
        }
    }
    names
}
