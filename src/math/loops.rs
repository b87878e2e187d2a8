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

/// What a loop is for who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scan,
    While,
    /// A loop of one trip with a guard.
    Branch,
}

impl Kind {
    fn of(spec: &LoopSpec) -> Kind {
        match (spec.guard, spec.trips) {
            (None, _) => Kind::Scan,
            (Some(_), 1) => Kind::Branch,
            (Some(_), _) => Kind::While,
        }
    }
}

/// `scan1`, `while2`, `if3`.
fn name(spec: &LoopSpec, at: usize) -> String {
    let word = match Kind::of(spec) {
        Kind::Scan => "scan",
        Kind::While => "while",
        Kind::Branch => "if",
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
    kind: Kind,
    body: Math,
}

impl Told {
    fn of(spec: &LoopSpec, at: usize, stacks: &[NodeId]) -> Told {
        let (graph, carries) = (spec.body.graph(), spec.body.carries());
        let leaves = carries.iter().map(|c| c.0).chain(spec.body.inputs().iter().copied());
        let kind = Kind::of(spec);
        let word = if kind == Kind::Branch { "if" } else { "as long as" };
        let guard = spec.guard.map(|guard| (Left::Condition(word), guard));
        let next = carries.iter().map(|&(carry, next)| (Left::Update(leaf(graph, carry)), next));
        let stacked = stacks.iter().enumerate().map(|(i, &node)| (Left::Name(format!("y{i}")), node));
        Told {
            name: name(spec, at),
            arguments: leaves.map(|id| leaf(graph, id)).collect(),
            slices: carries.len()..carries.len() + spec.sequences,
            trips: spec.trips,
            order: spec.order,
            kind,
            body: Math::of(graph, guard.into_iter().chain(next).chain(stacked)),
        }
    }

    /// A line for the loop, and those of a trip.
    pub(super) fn lines(&self, writer: &Writer<'_>) -> Vec<String> {
        let named = |names: &[String]| names.iter().map(|n| writer.name(n)).collect::<Vec<_>>().join(", ");
        let trips = match (self.kind, self.trips) {
            (Kind::Branch, _) => String::new(),
            (Kind::Scan, 1) => ": 1 trip".to_owned(),
            (Kind::Scan, trips) => format!(": {trips} trips"),
            (Kind::While, trips) => format!(": at most {trips} trips"),
        };
        let plain = |text: &str| match (writer.style, text) {
            (_, "") => String::new(),
            (Style::Text, text) => text.to_owned(),
            (Style::Latex, text) => format!(r"\text{{{text}}}"),
        };
        let slices = match (&self.arguments[self.slices.clone()], self.order) {
            ([], _) => String::new(),
            (slices, Order::Forward) => format!("{}{}", plain(", each with the next "), named(slices)),
            (slices, Order::Reverse) => {
                format!("{}{}{}", plain(", each with the next "), named(slices), plain(", from the last on"))
            }
        };
        let (name, arguments) = (writer.name(&self.name), named(&self.arguments));
        let mut lines = vec![match writer.style {
            Style::Text => format!("{name}({arguments}){trips}{slices}"),
            Style::Latex => format!(r"& {name}\left({arguments}\right){}{slices}", plain(&trips)),
        }];
        let body = Math { extents: writer.extents.to_vec(), ..self.body.clone() };
        let indent = if writer.style == Style::Text { "  " } else { r"\quad " };
        lines.extend(body.lines(writer.style).into_iter().map(|line| format!("{indent}{line}")));
        lines
    }
}
