//! The text form of a graph: one line a node, then outputs, then updates.
//!
//! ```text
//! %0 = input {name="x"} : f32[32, 10]  ; mlp.rs:14
//! %1 = param {name="b", kind=trainable} : f32[32]
//! %2 = reduce %0 {kind=sum, axes=[1]} : f32[32]  ; mlp.rs:15
//! %3 = mul %2, %1 : f32[32]  ; mlp.rs:15 in(softmax) vjp(div %2) rewrite(recip %9)
//! output "y" = %2
//! update "b" = %3
//! ```
//!
//! A line is node, operation, operands, attributes, type and, behind a semicolon, origin. What is empty is left out. Constants are printed whole, and
//! numbers so that reading them gives the same bits, so that [`parse`](mod@super::parse) is the exact inverse.

use std::fmt;

use crate::prim::Op;

use super::{Graph, NodeId, Output, Update};

/// The text form of a graph, made by [`Graph::text`].
#[derive(Clone, Copy, Debug)]
pub struct GraphText<'g> {
    graph: &'g Graph,
    origins: bool,
}

/// The text form of one node without its origin, made by [`Graph::node_text`].
#[derive(Clone, Copy, Debug)]
pub struct NodeText<'g> {
    graph: &'g Graph,
    id: NodeId,
}

impl Graph {
    /// The text form, with the nodes' origins.
    pub fn text(&self) -> GraphText<'_> {
        GraphText { graph: self, origins: true }
    }

    /// The text form of one node without its origin: `%3 = reduce %2 {kind=sum, axes=[1]} : f32[32]`.
    ///
    /// Printing panics if the graph has no such node.
    pub fn node_text(&self, id: NodeId) -> NodeText<'_> {
        NodeText { graph: self, id }
    }
}

impl GraphText<'_> {
    /// The text form with or without the nodes' origins.
    pub fn origins(self, origins: bool) -> Self {
        Self { origins, ..self }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.text(), f)
    }
}

impl fmt::Display for GraphText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for id in self.graph.ids() {
            fmt::Display::fmt(&self.graph.node_text(id), f)?;
            let origin = &self.graph.node(id).origin;
            if self.origins && !origin.is_unknown() {
                write!(f, "  ; {origin}")?;
            }
            f.write_str("\n")?;
        }
        for output in self.graph.outputs() {
            write_output(f, output)?;
            f.write_str("\n")?;
        }
        for update in self.graph.updates() {
            write_update(f, self.graph, update)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

impl fmt::Display for NodeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.graph.node(self.id);
        write!(f, "{} = {}", self.id, node.op.name())?;
        for (i, operand) in self.graph.operands(self.id).iter().enumerate() {
            write!(f, "{}{operand}", if i == 0 { " " } else { ", " })?;
        }
        let attrs = node.op.attrs();
        if !attrs.is_empty() {
            write!(f, " {attrs}")?;
        }
        write!(f, " : {}", node.ty)
    }
}

/// Writes `output "y" = %2`.
pub(super) fn write_output(f: &mut impl fmt::Write, output: &Output) -> fmt::Result {
    write!(f, "output {:?} = {}", &*output.name, output.node)
}

/// Writes `update "w" = %3`. What is no parameter is written by its number.
pub(super) fn write_update(f: &mut impl fmt::Write, graph: &Graph, update: &Update) -> fmt::Result {
    f.write_str("update ")?;
    match graph.contains(update.param).then(|| graph.op(update.param)) {
        Some(Op::Param(p)) => write!(f, "{:?}", &*p.name)?,
        _ => write!(f, "{}", update.param)?,
    }
    write!(f, " = {}", update.value)
}
