//! How gradients came about: each node of the forward pass, what its VJP rule added, what the optimizer made simpler, and the formulas that are left.

use std::fmt;

use crate::graph::{DType, Graph, NodeId};
use crate::opt::{OptOptions, optimize};
use crate::prim::Op;
use crate::scalar::ScalarFn;

use super::Math;
use super::naming::Naming;
use super::read::Reader;
use super::write::{Style, Writer};

/// One step: a node of the graph as written, as a formula of the nodes before it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The node.
    pub node: NodeId,
    /// Its formula: `%8 = relu(%4)`. Conditions and constants are written out, other nodes are called by their numbers.
    pub formula: String,
    /// The VJP rule and the forward node that it was applied to, for nodes that differentiation added.
    pub vjp: Option<(String, NodeId)>,
}

/// The steps from a program to its formulas, made by [`Graph::derivation`]. Prints as text.
#[derive(Clone, Debug)]
pub struct Derivation {
    /// The nodes as the program wrote them.
    pub forward: Vec<Step>,
    /// The nodes that differentiation added, from the loss back to the leaves.
    pub backward: Vec<Step>,
    /// The rewrites of each pass of the optimizer with how often each was made.
    pub rewrites: Vec<(&'static str, Vec<(&'static str, usize)>)>,
    /// The formulas after optimization.
    pub result: Math,
}

impl Graph {
    /// The steps by which the gradients among the results and updates of this graph, which is not optimized yet, were found.
    pub fn derivation(&self) -> Derivation {
        let graph = self;
        let live = graph.live();
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        for node in graph.ids().filter(|id| live[id.index()] && is_step(graph, *id)) {
            let vjp = graph.node(node).origin.vjp.as_ref().map(|d| (d.rule.to_string(), d.of));
            let steps = if vjp.is_some() { &mut backward } else { &mut forward };
            steps.push(Step { node, formula: formula(graph, node), vjp });
        }
        let optimized = optimize(graph, &OptOptions::default());
        let passes = optimized.report.passes.into_iter().filter(|p| !p.fired.is_empty());
        let rewrites = passes.map(|p| (p.name, p.fired)).collect();
        Derivation { forward, backward, rewrites, result: optimized.graph.to_math() }
    }
}

/// True for nodes that get a line: those that are neither leaves, nor the same number everywhere, nor conditions.
fn is_step(graph: &Graph, id: NodeId) -> bool {
    let leaf = matches!(graph.op(id), Op::Input(_) | Op::Param(_));
    !leaf && !is_number(graph, id) && graph.ty(id).dtype != DType::Bool
}

/// True for numbers that are known, for repetitions of them, and for `a - a`, by which softmax asks whether `a` is finite.
fn is_number(graph: &Graph, mut id: NodeId) -> bool {
    if matches!(graph.op(id), Op::Map(m) if m.f == ScalarFn::Sub) && graph.operands(id)[0] == graph.operands(id)[1] {
        return true;
    }
    while matches!(graph.op(id), Op::Broadcast(_)) {
        id = graph.operands(id)[0];
    }
    matches!(graph.op(id), Op::Const(c) if c.as_scalar().is_some())
}

/// The node as a formula of the nodes that have lines of their own, and of leaves.
fn formula(graph: &Graph, node: NodeId) -> String {
    let mut reader = Reader::new(graph);
    let mut walk = graph.operands(node).to_vec();
    while let Some(id) = walk.pop() {
        if is_step(graph, id) {
            reader.call(id, &id.to_string());
        } else {
            walk.extend(graph.operands(id));
        }
    }
    let form = reader.form(node);
    let naming = Naming { names: Default::default(), order: Vec::new() };
    let single = graph.ty(node).dtype != DType::F64;
    let writer =
        Writer { forms: &reader.forms, naming: &naming, style: Style::Text, extents: &[], counts: &[], single };
    format!("{node} = {}", writer.define(form))
}

impl fmt::Display for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "forward")?;
        for step in &self.forward {
            writeln!(f, "  {}", step.formula)?;
        }
        let mut before = None;
        writeln!(f, "backward")?;
        for step in &self.backward {
            if step.vjp != before {
                let (rule, of) = step.vjp.as_ref().expect("steps back have rules");
                match self.forward.iter().chain(&self.backward).find(|s| s.node == *of) {
                    Some(of) => writeln!(f, "  {rule}: {}", of.formula)?,
                    None => writeln!(f, "  {rule}: {of}")?,
                }
            }
            writeln!(f, "    {}", step.formula)?;
            before = step.vjp.clone();
        }
        writeln!(f, "simplified")?;
        for (pass, rules) in &self.rewrites {
            let rules: Vec<String> = rules.iter().map(|(rule, n)| format!("{rule} {n}")).collect();
            writeln!(f, "  {pass}: {}", rules.join(", "))?;
        }
        writeln!(f, "result")?;
        self.result.to_string().lines().try_for_each(|line| writeln!(f, "  {line}"))
    }
}
