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
//! The body of a loop is a graph of its own, numbered from 0 and printed before the first loop that has it:
//!
//! ```text
//! body @0 {
//!   %0 = param {name="h", kind=state} : f32[4]
//!   %1 = input {name="x"} : f32[4]
//!   %2 = add %0, %1 : f32[4]
//!   update "h" = %2
//! }
//! %2 = loop %0, %1 {body=@0, trips=10, sequences=1, carry=0} : f32[4]
//! ```
//!
//! A line is node, operation, operands, attributes, type and, behind a semicolon, origin: a line of a program as here, or a node of a model that was
//! imported, `Gather "/embed/Gather"`. What is empty is left out. Constants are printed whole, and
//! numbers so that reading them gives the same bits, so that [`parse`](mod@super::parse) is the exact inverse.

use std::fmt;

use rustc_hash::FxHashMap;

use crate::prim::{Body, Op};

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
        self.write(f, 0)
    }
}

impl GraphText<'_> {
    /// Writes the lines of the graph, which lies in `depth` others. Recursion is bounded by the depth of bodies.
    #[allow(clippy::mutable_key_type, reason = "what a rule caches is no part of its equality")]
    fn write(self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = 2 * depth;
        let mut bodies: FxHashMap<&Body, usize> = FxHashMap::default();
        for id in self.graph.ids() {
            let node = self.graph.node(id);
            let mut number = 0;
            if let Some(l) = node.op.looped() {
                let next = bodies.len();
                number = *bodies.entry(&l.spec.body).or_insert(next);
                if number == next {
                    writeln!(f, "{:indent$}body @{number} {{", "")?;
                    GraphText { graph: l.spec.body.graph(), ..self }.write(f, depth + 1)?;
                    writeln!(f, "{:indent$}}}", "")?;
                }
            }
            write!(f, "{:indent$}", "")?;
            write_node(f, self.graph, id, number)?;
            if self.origins && !node.origin.is_unknown() {
                write!(f, "  ; {}", node.origin)?;
            }
            f.write_str("\n")?;
        }
        for output in self.graph.outputs() {
            write!(f, "{:indent$}", "")?;
            write_output(f, output)?;
            f.write_str("\n")?;
        }
        for update in self.graph.updates() {
            write!(f, "{:indent$}", "")?;
            write_update(f, self.graph, update)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

impl fmt::Display for NodeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_node(f, self.graph, self.id, self.graph.body_number(self.id))
    }
}

impl Graph {
    /// The number of the node's body in the text form; 0 for nodes without one.
    pub(super) fn body_number(&self, id: NodeId) -> usize {
        let Some(of) = self.op(id).looped() else { return 0 };
        let mut bodies: Vec<&Body> = Vec::new();
        for l in (0..id.index()).filter_map(|i| self.op(NodeId::new(i)).looped()) {
            if l.spec.body == of.spec.body {
                break;
            }
            if !bodies.contains(&&*l.spec.body) {
                bodies.push(&l.spec.body);
            }
        }
        bodies.iter().position(|&b| *b == *of.spec.body).unwrap_or(bodies.len())
    }
}

/// Writes a node's line without its origin. `body` is the number of its body.
fn write_node(f: &mut impl fmt::Write, graph: &Graph, id: NodeId, body: usize) -> fmt::Result {
    let node = graph.node(id);
    write!(f, "{id} = {}", node.op.name())?;
    for (i, operand) in graph.operands(id).iter().enumerate() {
        write!(f, "{}{operand}", if i == 0 { " " } else { ", " })?;
    }
    let attrs = node.op.attrs();
    if !attrs.is_empty() {
        write!(f, " {}", attrs.numbered(body))?;
    }
    write!(f, " : {}", node.ty)
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
