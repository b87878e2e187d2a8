//! Checks a graph's invariants.
//!
//! [`Graph::push`], [`Graph::add_output`] and [`Graph::add_update`] keep them; the verifier is the second pair of eyes that the pass driver asks after
//! each pass, and that tests ask. It reports every violation, each with the line of the text form that it is about. Time is linear in the graph.
//!
//! Of each node:
//!
//! 1. every operand has a smaller number than its user, so that the order of numbers is a topological order;
//! 2. the operands' edges carry the positions 0, 1, 2 ..., in this order;
//! 3. the operation accepts the operands: their count, element types and shapes;
//! 4. the type that it infers from them is the stored one;
//! 5. the result's size in bytes fits `isize`;
//! 6. the name of an input or parameter is its own, and [`Graph::find`] leads from it to the node.
//!
//! Of the whole:
//!
//! 7. every name that can be found is declared by an input or parameter;
//! 8. every output is a node of the graph, and its name differs from the other outputs' names;
//! 9. every update gives a parameter of the graph the value of a node of the graph, of the same type;
//! 10. no parameter has two updates.

use std::fmt;

use petgraph::Direction;
use petgraph::graph::NodeIndex;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::prim::Op;

use super::print::{write_output, write_update};
use super::{Graph, Name, NodeId, OpError, Operands, TensorType, Update};

/// One broken invariant: the fault of the pass that made the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The line of the text form that is wrong.
    pub line: String,
    /// What is wrong with it.
    pub kind: ViolationKind,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {}", self.line, self.kind)
    }
}

/// The ways in which a graph can break its invariants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViolationKind {
    /// An operand is not computed before its user.
    #[error("operand {operand} does not come before its user")]
    Order {
        /// The operand.
        operand: NodeId,
    },
    /// The edges from the operands are not numbered one by one.
    #[error("the operands have the positions {positions:?}")]
    Positions {
        /// The positions, in the order of the edges.
        positions: Vec<u32>,
    },
    /// The operation does not accept its operands.
    #[error(transparent)]
    Op(OpError),
    /// The stored type is not the inferred one.
    #[error("the stored type is {stored}, but the result is {inferred}")]
    Type {
        /// The type in the node.
        stored: TensorType,
        /// The type that the operation gives.
        inferred: TensorType,
    },
    /// The result has more bytes than memory has addresses.
    #[error("the result has too many elements")]
    TooLarge,
    /// Two inputs or parameters have one name.
    #[error("{other} has the name `{name}` too")]
    LeafName {
        /// The name.
        name: Name,
        /// The first node of that name.
        other: NodeId,
    },
    /// The name of an input or parameter leads elsewhere.
    #[error("the name `{name}` leads to {}", .found.map_or("no node".to_owned(), |n| n.to_string()))]
    LeafIndex {
        /// The name.
        name: Name,
        /// The node that [`Graph::find`] gives.
        found: Option<NodeId>,
    },
    /// A name leads to a node that does not declare it.
    #[error("the name `{name}` leads here, but is not declared here")]
    StrayName {
        /// The name.
        name: Name,
    },
    /// An output or update refers to a node that is not in the graph.
    #[error("there is no node {node}")]
    NoSuchNode {
        /// The number.
        node: NodeId,
    },
    /// Two outputs have one name.
    #[error("another output is called `{name}`")]
    OutputName {
        /// The name.
        name: Name,
    },
    /// What is updated is not a parameter.
    #[error("{node} is not a parameter")]
    UpdateOfNonParam {
        /// The node.
        node: NodeId,
    },
    /// A parameter's new value is typed unlike it.
    #[error("the parameter is {param}, its new value {value}")]
    UpdateType {
        /// Type of the parameter.
        param: TensorType,
        /// Type of the new value.
        value: TensorType,
    },
    /// A parameter has two updates.
    #[error("{param} has another update")]
    UpdateTwice {
        /// The parameter.
        param: NodeId,
    },
}

/// All violations that [`verify`] found; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// The violations: nodes, names, outputs, updates.
    pub violations: Vec<Violation>,
}

impl std::error::Error for VerifyError {}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the graph breaks its invariants:")?;
        self.violations.iter().try_for_each(|v| write!(f, "\n{v}"))
    }
}

/// Checks the invariants listed in the [module](self).
///
/// # Errors
/// All violations.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    let mut violations = Vec::new();
    let mut leaves = FxHashMap::default();
    for id in graph.ids() {
        let mut report = |kind| {
            let line = graph.node_text(id).to_string();
            violations.push(Violation { line, kind });
        };
        check_node(graph, id, &mut report);
        check_leaf_name(graph, id, &mut leaves, &mut report);
    }
    check_stray_names(graph, &mut violations);
    check_outputs(graph, &mut violations);
    check_updates(graph, &mut violations);
    if violations.is_empty() { Ok(()) } else { Err(VerifyError { violations }) }
}

/// Invariants 1 to 5.
fn check_node(graph: &Graph, id: NodeId, report: &mut impl FnMut(ViolationKind)) {
    let node = graph.node(id);
    if !node.ty.fits_memory() {
        report(ViolationKind::TooLarge);
    }
    let operands: Operands = graph.operands(id);
    operands.iter().filter(|&&operand| operand >= id).for_each(|&operand| report(ViolationKind::Order { operand }));

    let edges = graph.dag.edges_directed(NodeIndex::new(id.index()), Direction::Incoming);
    // petgraph lists the newest edge first.
    let mut positions: Vec<u32> = edges.map(|e| *e.weight()).collect();
    positions.reverse();
    if !positions.iter().copied().eq(0..positions.len() as u32) {
        report(ViolationKind::Positions { positions });
    }

    let types: SmallVec<[&TensorType; 3]> = operands.iter().map(|&o| graph.ty(o)).collect();
    // Inference counts elements, which overflows for operands that are reported already.
    if !types.iter().all(|ty| ty.fits_memory()) {
        return;
    }
    match node.op.infer(&types) {
        Err(kind) => report(ViolationKind::Op(OpError::new(node.op.name(), &types, kind))),
        Ok(inferred) if inferred != node.ty => {
            let stored = node.ty.clone();
            report(ViolationKind::Type { stored, inferred });
        }
        Ok(_) => {}
    }
}

/// Invariant 6. `leaves` holds the names so far.
fn check_leaf_name<'g>(
    graph: &'g Graph,
    id: NodeId,
    leaves: &mut FxHashMap<&'g Name, NodeId>,
    report: &mut impl FnMut(ViolationKind),
) {
    let Some(name) = graph.op(id).leaf_name() else {
        return;
    };
    let first = *leaves.entry(name).or_insert(id);
    let found = graph.find(name);
    if first != id {
        let (name, other) = (name.clone(), first);
        report(ViolationKind::LeafName { name, other });
    } else if found != Some(id) {
        let name = name.clone();
        report(ViolationKind::LeafIndex { name, found });
    }
}

/// Invariant 7.
fn check_stray_names(graph: &Graph, violations: &mut Vec<Violation>) {
    let declares = |id: NodeId, name: &Name| graph.contains(id) && graph.op(id).leaf_name() == Some(name);
    let mut stray: Vec<(&Name, NodeId)> = graph.named.iter().map(|(name, &id)| (name, id)).collect();
    stray.retain(|&(name, id)| !declares(id, name));
    stray.sort_unstable();
    for (name, node) in stray {
        let name = name.clone();
        violations.push(if graph.contains(node) {
            let line = graph.node_text(node).to_string();
            let kind = ViolationKind::StrayName { name };
            Violation { line, kind }
        } else {
            let line = format!("name {name:?} = {node}");
            let kind = ViolationKind::NoSuchNode { node };
            Violation { line, kind }
        });
    }
}

/// Invariant 8.
fn check_outputs(graph: &Graph, violations: &mut Vec<Violation>) {
    let mut names = FxHashSet::default();
    for output in graph.outputs() {
        let mut report = |kind| {
            let mut line = String::new();
            write_output(&mut line, output).expect("writing to a string succeeds");
            violations.push(Violation { line, kind });
        };
        if !graph.contains(output.node) {
            report(ViolationKind::NoSuchNode { node: output.node });
        }
        if !names.insert(&output.name) {
            let name = output.name.clone();
            report(ViolationKind::OutputName { name });
        }
    }
}

/// Invariants 9 and 10.
fn check_updates(graph: &Graph, violations: &mut Vec<Violation>) {
    let mut params = FxHashSet::default();
    for update in graph.updates() {
        let &Update { param, value } = update;
        let mut report = |kind| {
            let mut line = String::new();
            write_update(&mut line, graph, update).expect("writing to a string succeeds");
            violations.push(Violation { line, kind });
        };
        for node in [param, value].into_iter().filter(|&node| !graph.contains(node)) {
            report(ViolationKind::NoSuchNode { node });
        }
        if !params.insert(param) {
            report(ViolationKind::UpdateTwice { param });
        }
        if graph.contains(param) && !matches!(graph.op(param), Op::Param(_)) {
            report(ViolationKind::UpdateOfNonParam { node: param });
        }
        if graph.contains(param) && graph.contains(value) && graph.ty(param) != graph.ty(value) {
            let (param, value) = (graph.ty(param).clone(), graph.ty(value).clone());
            report(ViolationKind::UpdateType { param, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Output, Shape, parse, types};

    const GOOD: &str = r#"
        %0 = input {name="x"} : f32[2, 3]
        %1 = param {name="w", kind=trainable} : f32[3]
        %2 = broadcast %1 {axes=[0]} : f32[2, 3]
        %3 = sub %0, %2 : f32[2, 3]
        %4 = reduce %3 {kind=sum, axes=[0]} : f32[3]
        output "y" = %3
        update "w" = %4
    "#;

    /// The report on a good graph after `damage`.
    fn report(damage: impl FnOnce(&mut Graph)) -> String {
        let mut graph = parse(GOOD).expect("the text is a graph");
        damage(&mut graph);
        verify(&graph).map_or_else(|e| e.to_string(), |()| "none".to_owned())
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut Graph), expected: &str) {
        let report = report(damage);
        let expected = format!("the graph breaks its invariants:{expected}");
        assert_eq!(report, expected);
    }

    fn node(graph: &mut Graph, index: usize) -> &mut crate::graph::Node {
        &mut graph.dag[NodeIndex::new(index)]
    }

    fn edge(graph: &mut Graph, from: usize, to: usize, position: u32) {
        graph.dag.add_edge(NodeIndex::new(from), NodeIndex::new(to), position);
    }

    fn update(graph: &mut Graph, param: usize, value: usize) {
        let (param, value) = (NodeId::new(param), NodeId::new(value));
        graph.updates.push(Update { param, value });
    }

    #[test]
    fn a_good_graph_has_no_violations() {
        assert_eq!(report(|_| {}), "none");
    }

    #[test]
    fn operands_come_before_users() {
        check(
            |g| {
                let at = g.dag.find_edge(NodeIndex::new(1), NodeIndex::new(2)).unwrap();
                g.dag.remove_edge(at);
                edge(g, 4, 2, 0);
            },
            "\n%2 = broadcast %4 {axes=[0]} : f32[2, 3]\n    operand %4 does not come before its user",
        );
    }

    #[test]
    fn operand_positions_are_consecutive() {
        check(
            |g| {
                let at = g.dag.find_edge(NodeIndex::new(2), NodeIndex::new(3)).unwrap();
                g.dag[at] = 2;
            },
            "\n%3 = sub %0, %2 : f32[2, 3]\n    the operands have the positions [0, 2]",
        );
    }

    #[test]
    fn operations_accept_their_operands() {
        check(
            |g| edge(g, 0, 3, 2),
            "\n%3 = sub %0, %2, %0 : f32[2, 3]\n    sub(f32[2, 3], f32[2, 3], f32[2, 3]): takes 2 operand(s), 3 given",
        );
    }

    #[test]
    fn stored_types_are_the_inferred_ones_and_all_consequences_are_reported() {
        check(
            |g| node(g, 4).ty = types::f64([3]),
            "\n%4 = reduce %3 {kind=sum, axes=[0]} : f64[3]\n    the stored type is f64[3], but the result is f32[3]\
             \nupdate \"w\" = %4\n    the parameter is f32[3], its new value f64[3]",
        );
    }

    #[test]
    fn sizes_fit_memory() {
        check(
            |g| {
                let huge = TensorType::new(crate::graph::DType::F32, Shape::from([usize::MAX, 3]));
                let Op::Input(input) = &mut node(g, 0).op else { panic!("%0 is an input") };
                std::sync::Arc::make_mut(input).ty = huge.clone();
                node(g, 0).ty = huge;
            },
            "\n%0 = input {name=\"x\"} : f32[18446744073709551615, 3]\n    the result has too many elements",
        );
    }

    #[test]
    fn leaf_names_are_unique() {
        check(
            |g| {
                let again = node(g, 0).clone();
                g.dag.add_node(again);
            },
            "\n%5 = input {name=\"x\"} : f32[2, 3]\n    %0 has the name `x` too",
        );
    }

    #[test]
    fn leaf_names_lead_to_their_nodes_and_only_they_do() {
        check(|g| _ = g.named.remove("x"), "\n%0 = input {name=\"x\"} : f32[2, 3]\n    the name `x` leads to no node");
        check(
            |g| _ = g.named.insert("z".into(), NodeId::new(3)),
            "\n%3 = sub %0, %2 : f32[2, 3]\n    the name `z` leads here, but is not declared here",
        );
        check(|g| _ = g.named.insert("z".into(), NodeId::new(9)), "\nname \"z\" = %9\n    there is no node %9");
    }

    #[test]
    fn outputs_are_nodes_of_different_names() {
        let output = |name: &str, node| Output { name: name.into(), node: NodeId::new(node) };
        check(
            |g| g.outputs.extend([output("y", 0), output("z", 7)]),
            "\noutput \"y\" = %0\n    another output is called `y`\noutput \"z\" = %7\n    there is no node %7",
        );
    }

    #[test]
    fn updates_give_parameters_values_once() {
        check(|g| update(g, 1, 4), "\nupdate \"w\" = %4\n    %1 has another update");
        check(|g| update(g, 0, 3), "\nupdate %0 = %3\n    %0 is not a parameter");
        check(
            |g| update(g, 8, 9),
            "\nupdate %8 = %9\n    there is no node %8\nupdate %8 = %9\n    there is no node %9",
        );
        check(
            |g| g.updates[0].value = NodeId::new(3),
            "\nupdate \"w\" = %3\n    the parameter is f32[3], its new value f32[2, 3]",
        );
    }
}
