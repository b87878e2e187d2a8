//! Loops as formulas: a formula calls a loop by a name, and what a trip does is told below.
//!
//! ```text
//! scan₁.carry₀(h0, xs, W)
//! scan₁(carry₀, slice₀, W): 10 trips, each with the next slice₀
//!   carry₀ ← tanh(carry₀ W + slice₀)
//! ```

use std::sync::Arc;

use crate::graph::{Graph, NodeId};
use crate::prim::{Loop, LoopResult, LoopSpec, Order};

use super::form::Function;
use super::write::{Style, Writer};
use super::{Left, Math};

/// The loops of a graph, each with the nodes of its body that formulas ask for in all trips.
#[derive(Clone, Debug, Default)]
pub(super) struct Loops(Vec<(Arc<LoopSpec>, Vec<NodeId>)>);

impl Loops {
    /// The function that a result of a loop is.
    pub(super) fn function(&mut self, result: &Loop) -> Function {
        let spec = &result.spec;
        let at = self.0.iter().position(|(known, _)| known == spec).unwrap_or_else(|| {
            self.0.push((spec.clone(), Vec::new()));
            self.0.len() - 1
        });
        let result = match result.result {
            LoopResult::Carry(i) => leaf(spec.body.graph(), spec.body.carries()[i].0),
            LoopResult::Stack(node) => {
                let stacks = &mut self.0[at].1;
                let number = stacks.iter().position(|&n| n == node).unwrap_or_else(|| {
                    stacks.push(node);
                    stacks.len() - 1
                });
                format!("y{number}")
            }
        };
        Function::Loop { name: name(spec, at), result }
    }

    /// What their trips do.
    pub(super) fn told(self) -> Vec<Told> {
        self.0.into_iter().enumerate().map(|(at, (spec, stacks))| Told::of(&spec, at, &stacks)).collect()
    }
}

/// `scan1`, `while2`, `if3`.
fn name(spec: &LoopSpec, at: usize) -> String {
    let word = match (spec.guard, spec.trips) {
        (None, _) => "scan",
        (Some(_), 1) => "if",
        (Some(_), _) => "while",
    };
    format!("{word}{}", at + 1)
}

fn leaf(graph: &Graph, id: NodeId) -> String {
    graph.op(id).leaf_name().map_or_else(|| id.to_string(), |name| name.to_string())
}

/// What the trips of a loop do.
#[derive(Clone, Debug)]
pub(super) struct Told {
    name: String,
    /// Names of the operands in the body: carries, slices, and what is the same in all trips.
    arguments: Vec<String>,
    /// Which of them are slices.
    slices: std::ops::Range<usize>,
    trips: usize,
    order: Order,
    /// True for a branch, which is a loop of one trip.
    is_branch: bool,
    body: Math,
}

impl Told {
    fn of(spec: &LoopSpec, at: usize, stacks: &[NodeId]) -> Told {
        let (graph, carries) = (spec.body.graph(), spec.body.carries());
        let leaves = carries.iter().map(|c| c.0).chain(spec.body.inputs().iter().copied());
        let is_branch = spec.guard.is_some() && spec.trips == 1;
        let guard = spec.guard.map(|guard| (Left::Condition(if is_branch { "if" } else { "as long as" }), guard));
        let next = carries.iter().map(|&(carry, next)| (Left::Update(leaf(graph, carry)), next));
        let stacked = stacks.iter().enumerate().map(|(i, &node)| (Left::Name(format!("y{i}")), node));
        Told {
            name: name(spec, at),
            arguments: leaves.map(|id| leaf(graph, id)).collect(),
            slices: carries.len()..carries.len() + spec.sequences,
            trips: spec.trips,
            order: spec.order,
            is_branch,
            body: Math::of(graph, guard.into_iter().chain(next).chain(stacked)),
        }
    }

    /// A line for the loop, and those of a trip.
    pub(super) fn lines(&self, writer: &Writer<'_>) -> Vec<String> {
        let named = |names: &[String]| names.iter().map(|n| writer.name(n)).collect::<Vec<_>>().join(", ");
        let trips = match (self.is_branch, self.trips) {
            (true, _) => String::new(),
            (false, 1) => ": 1 trip".to_owned(),
            (false, trips) => format!(": {trips} trips"),
        };
        let (each, from) = match (self.slices.is_empty(), self.order) {
            (true, _) => ("", ""),
            (false, Order::Forward) => (", each with the next ", ""),
            (false, Order::Reverse) => (", each with the next ", ", from the last on"),
        };
        let (name, arguments) = (writer.name(&self.name), named(&self.arguments));
        let slices = named(&self.arguments[self.slices.clone()]);
        let mut lines = vec![match writer.style {
            Style::Text => format!("{name}({arguments}){trips}{each}{slices}{from}"),
            Style::Latex => {
                format!(r"& {name}\left({arguments}\right)\text{{{trips}{each}}}{slices}\text{{{from}}}")
            }
        }];
        let body = Math { extents: writer.extents.to_vec(), ..self.body.clone() };
        let indent = if writer.style == Style::Text { "  " } else { r"\quad " };
        lines.extend(body.lines(writer.style).into_iter().map(|line| format!("{indent}{line}")));
        lines
    }
}
