//! Which composite is being built, so that errors name the method that the user called and origins the composite that a node belongs to.
//!
//! ```text
//!   attention          opens the scope "attention" with the user's operands
//!     softmax          inside it, "attention/softmax"
//!       sub, exp ...   nodes with this path in their origins; a mistake is told as one of attention(..)
//! ```
//!
//! A method that pushes more than one node opens a scope first and keeps the guard until it returns. A method that pushes one node under another name than
//! the operation's needs none: [`Builder::push_as`] names it in errors.
//!
//! The import of a model tells which of the model's nodes it builds, which is what origins name then in place of a line, and opens a scope for each that adds nothing to the paths.

use std::panic::Location;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::graph::{Graph, Name, NodeId, OpError, OpErrorKind, Operands, Origin, Source};

use super::{Builder, Tensor, describe_node};

/// The call of a composite by the user, and where inside it the builder is.
pub(super) struct Call {
    method: &'static str,
    operands: Operands,
    /// The frame whose nodes they are.
    pub(super) frame: u32,
    /// How many nodes that frame had before.
    pub(super) start: usize,
    /// Nodes of the types for storage that have been widened, and their `f32`.
    pub(super) widened: FxHashMap<NodeId, NodeId>,
    /// The names of the open scopes, the user's first; empty for a node of a model.
    path: Name,
}

/// An open scope. Dropping it closes the scope.
#[must_use = "a scope closes when its guard is dropped"]
pub(crate) struct Scope<'g> {
    builder: &'g Builder,
    /// The path before, `None` if the scope is the outermost.
    outer: Option<Name>,
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        let mut call = self.builder.call.borrow_mut();
        match (&mut *call, self.outer.take()) {
            (Some(call), Some(outer)) => call.path = outer,
            (call, _) => *call = None,
        }
    }
}

/// What nodes are built for a node of a model. Dropping it goes back to what was built for before.
#[cfg(feature = "onnx")]
#[must_use = "dropping the guard ends it"]
pub(crate) struct ForNode<'g> {
    builder: &'g Builder,
    before: Option<Source>,
}

#[cfg(feature = "onnx")]
impl Drop for ForNode<'_> {
    fn drop(&mut self) {
        self.builder.source.replace(self.before.take());
    }
}

impl Builder {
    /// Tells that what is built comes from a node of a model, until the guard is dropped.
    #[cfg(feature = "onnx")]
    pub(crate) fn for_node(&self, operator: &str, name: &str) -> ForNode<'_> {
        let source = Source::Node { operator: operator.into(), name: name.into() };
        ForNode { builder: self, before: self.source.replace(Some(source)) }
    }

    /// The origin of a node that is appended now. The nodes of one line, one after the other, share theirs.
    #[track_caller]
    pub(super) fn origin(&self) -> Arc<Origin> {
        let source = match &*self.source.borrow() {
            Some(source) => source.clone(),
            None => Source::Caller(Location::caller()),
        };
        let call = self.call.borrow();
        let composite = call.as_ref().map(|call| &call.path).filter(|path| !path.is_empty());
        let mut origin = self.origin.borrow_mut();
        if !origin.source.is(&source) || origin.composite.as_ref() != composite {
            *origin = Arc::new(Origin { source, composite: composite.cloned(), ..Origin::default() });
        }
        origin.clone()
    }

    /// Opens the scope of a method.
    ///
    /// # Panics
    /// If an operand belongs to another builder.
    #[track_caller]
    pub(crate) fn scope(&self, method: &'static str, operands: &[Tensor<'_>]) -> Scope<'_> {
        let operands = self.own_all(operands);
        let mut call = self.call.borrow_mut();
        let outer = call.as_mut().map(|call| {
            let path = if call.path.is_empty() { method.into() } else { format!("{}/{method}", call.path).into() };
            std::mem::replace(&mut call.path, path)
        });
        if outer.is_none() {
            let start = self.graph.borrow().len();
            let widened = FxHashMap::default();
            // What a node of a model is, its source says.
            let path = if self.source.borrow().is_some() { "" } else { method };
            *call = Some(Call { method, operands, frame: self.frame(), start, widened, path: path.into() });
        }
        Scope { builder: self, outer }
    }

    /// The error as one of the method that the user called, with what each operand is and where it was built. The operands may belong to several builders.
    pub(super) fn describe(&self, error: &OpError, operands: &[Tensor<'_>]) -> String {
        let mut text = String::new();
        let mut nodes = Vec::new();
        match &*self.call.borrow() {
            Some(call) => {
                let kind =
                    if error.op == call.method { (*error.kind).clone() } else { OpErrorKind::Other(error.to_string()) };
                let tell = |graph: &Graph| {
                    let types: Vec<_> = call.operands.iter().map(|&o| graph.ty(o)).collect();
                    text = OpError::new(call.method, &types, kind).to_string();
                    nodes.extend(call.operands.iter().map(|&o| describe_node(graph, o)));
                };
                self.with_graph(call.frame, tell).expect("a scope closes before its frame");
            }
            None => {
                text = error.to_string();
                nodes.extend(operands.iter().map(|o| o.describe()));
            }
        }
        for (i, node) in nodes.iter().enumerate() {
            text += &format!("\n  operand {i}: {node}");
        }
        text
    }
}
