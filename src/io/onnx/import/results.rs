//! The results of a model, once all nodes are walked.

use super::super::error::ImportError;
use super::super::node::Value;
use super::{Importer, Scope, Walked};

impl<'g> Importer<'_, 'g> {
    /// Notes the nodes that are results, and those that have names.
    pub(super) fn outputs(&self, scope: Scope<'_, 'g>, walked: &mut Walked) -> Result<(), ImportError> {
        let mut failed = None;
        for output in &self.model.graph().output {
            let name = output.name.as_deref().unwrap_or("");
            if walked.outputs.iter().any(|(other, _)| other == name) {
                return Err(ImportError::Graph(format!("there are two results called `{name}`")));
            }
            match scope.find(name) {
                Some(Value::Tensor(tensor)) => walked.outputs.push((name.to_owned(), tensor.id())),
                Some(Value::Held(tensor, own)) if self.bindings.boundary(own).is_some() => {
                    walked.held.push((name.to_owned(), own));
                    walked.outputs.push((name.to_owned(), tensor.id()));
                }
                Some(Value::Held(_, own)) => self.fault(name, "output", format!("type {own}")),
                Some(Value::Failed) => failed = Some(name),
                Some(Value::Sequence(_)) => self.fault(name, "output", "a sequence as a result".to_owned()),
                Some(Value::Nothing) => self.fault(name, "output", "a result that may be missing".to_owned()),
                None => return Err(ImportError::Graph(format!("no node gives the result `{name}`"))),
            }
        }
        let faults = self.faults.take();
        if !faults.is_empty() {
            return Err(ImportError::Unsupported(faults));
        }
        if let Some(name) = failed {
            return Err(ImportError::Graph(format!("the result `{name}` cannot be computed")));
        }
        let names = scope.names.into_inner();
        let tensors = names.into_iter().filter_map(|(name, value)| match value {
            Value::Tensor(tensor) => Some((name, tensor.id())),
            _ => None,
        });
        walked.values = tensors.collect();
        Ok(())
    }
}
