//! Part of a graph as a value: nodes that can be made again with other operands.
//!
//! Rules that a program brings along are kept so, and the regions that a backward pass computes again.

use rustc_hash::FxHashMap;

use crate::grad::{Appender, vjp};
use crate::graph::{Dims, Graph, NodeId, Operands, Origin, TensorType};
use crate::prim::{Emit, Input};

/// Nodes with arguments and results.
#[derive(Clone, Debug)]
pub struct SubGraph {
    /// The nodes. The arguments are inputs, named by their numbers.
    graph: Graph,
    arguments: Vec<NodeId>,
    results: Vec<NodeId>,
}

impl SubGraph {
    /// Cuts out of a graph the nodes that `results` need and that are `inside`. Inputs and parameters never are. Gives the sub-graph and the nodes outside
    /// that it uses besides `arguments`: they are further arguments, behind those.
    pub fn cut(
        graph: &Graph,
        arguments: &[NodeId],
        results: &[NodeId],
        inside: impl Fn(NodeId) -> bool,
    ) -> (SubGraph, Vec<NodeId>) {
        let mut part = SubGraph { graph: Graph::new(), arguments: Vec::new(), results: Vec::new() };
        let mut copies: FxHashMap<NodeId, NodeId> = FxHashMap::default();
        for &argument in arguments {
            let copy = part.argument(graph.ty(argument).clone());
            copies.entry(argument).or_insert(copy);
        }
        let end = results.iter().map(|r| r.index() + 1).max().unwrap_or(0);
        let mut needed = vec![false; end];
        results.iter().for_each(|r| needed[r.index()] = true);
        let is_inside = |id: NodeId| graph.op(id).leaf_name().is_none() && inside(id);
        let mut captured = Vec::new();
        for index in (0..end).rev() {
            let id = NodeId::new(index);
            if !needed[index] || copies.contains_key(&id) {
                needed[index] = false;
            } else if is_inside(id) {
                graph.operands(id).iter().for_each(|o| needed[o.index()] = true);
            } else {
                needed[index] = false;
                captured.push(id);
            }
        }
        captured.reverse();
        for &id in &captured {
            let copy = part.argument(graph.ty(id).clone());
            copies.insert(id, copy);
        }
        for index in (0..end).filter(|&i| needed[i]) {
            let id = NodeId::new(index);
            let operands: Operands = graph.operands(id).iter().map(|o| copies[o]).collect();
            let node = graph.node(id);
            let copy = part.graph.push(node.op.clone(), &operands, node.origin.clone());
            copies.insert(id, copy.expect("the node was well typed before"));
        }
        part.results = results.iter().map(|r| copies[r]).collect();
        (part, captured)
    }

    /// Adds an argument.
    fn argument(&mut self, ty: TensorType) -> NodeId {
        let name = self.graph.len().to_string().into();
        let input = self.graph.push(Input { name, ty }, &[], Origin::default());
        let input = input.expect("the names of arguments differ");
        self.arguments.push(input);
        input
    }

    /// Types of the arguments.
    pub fn argument_types(&self) -> impl Iterator<Item = &TensorType> {
        self.arguments.iter().map(|&a| self.graph.ty(a))
    }

    /// Makes the nodes again, for these arguments; gives the results.
    ///
    /// # Panics
    /// If there is not one argument of each type.
    pub fn emit(&self, e: &mut dyn Emit, arguments: &[NodeId]) -> Vec<NodeId> {
        assert_eq!(arguments.len(), self.arguments.len(), "a sub-graph is given all its arguments");
        let mut copies: Vec<Option<NodeId>> = vec![None; self.graph.len()];
        for (&input, &argument) in self.arguments.iter().zip(arguments) {
            assert_eq!(self.graph.ty(input), e.graph().ty(argument), "an argument of a sub-graph is of its type");
            copies[input.index()] = Some(argument);
        }
        let of = |copies: &[Option<NodeId>], id: NodeId| copies[id.index()].expect("operands come before their users");
        for id in self.graph.ids() {
            if copies[id.index()].is_none() {
                let operands: Operands = self.graph.operands(id).iter().map(|&o| of(&copies, o)).collect();
                copies[id.index()] = Some(e.emit(self.graph.op(id).clone(), &operands));
            }
        }
        self.results.iter().map(|&r| of(&copies, r)).collect()
    }

    /// The same for a batch of `size` examples. `batched` says which arguments have a batch axis, `summed` which results are added up over all examples;
    /// the others have a batch axis.
    pub fn batched(&self, size: usize, batched: &[bool], summed: &[bool]) -> SubGraph {
        let mut work = self.clone();
        let mut arguments = Vec::with_capacity(batched.len());
        let mut prototypes = Vec::new();
        for (&one, &is_batched) in self.arguments.iter().zip(batched) {
            if is_batched {
                let ty = self.graph.ty(one);
                let shape = std::iter::once(size).chain(ty.shape.iter().copied());
                let batch = work.argument(TensorType { dtype: ty.dtype, shape: shape.collect() });
                prototypes.push((one, batch));
                arguments.push(batch);
            } else {
                arguments.push(one);
            }
        }
        let mut results = super::vmap(&mut work.graph, &prototypes, size, &self.results);
        for (result, _) in results.iter_mut().zip(summed).filter(|(_, summed)| **summed) {
            *result = Appender::new(&mut work.graph, Origin::default()).sum(*result, Dims::from_slice(&[0]));
        }
        SubGraph::cut(&work.graph, &arguments, &results, |_| true).0
    }

    /// The transpose by argument number `at`, in which the results are linear: from the other arguments, and then a tangent for each result, to the sum over
    /// the results of tangent times derivative. `None` if the derivative depends on that argument, so that the results are not linear in it, or if there
    /// is no derivative.
    pub fn transposed(&self, at: usize) -> Option<SubGraph> {
        let mut work = self.clone();
        let tangents: Vec<NodeId> = self.results.iter().map(|&r| work.argument(self.graph.ty(r).clone())).collect();
        let pairs: Vec<(NodeId, NodeId)> = self.results.iter().copied().zip(tangents.iter().copied()).collect();
        let linear = self.arguments[at];
        let transposed = vjp(&mut work.graph, &pairs, &[linear]).ok()?;
        let others = self.arguments.iter().copied().filter(|&a| a != linear);
        let arguments: Vec<NodeId> = others.chain(tangents).collect();
        let (transposed, captured) = SubGraph::cut(&work.graph, &arguments, &transposed, |_| true);
        captured.is_empty().then_some(transposed)
    }

    /// The rule by which a backward pass computes these nodes again: from the arguments, the only result and its cotangent to the cotangents of the
    /// arguments of float types. The nodes are computed from the arguments when the cotangent is there.
    pub fn recomputing(&self) -> Result<SubGraph, crate::grad::GradError> {
        let mut rule = SubGraph { graph: Graph::new(), arguments: Vec::new(), results: Vec::new() };
        let arguments: Vec<NodeId> = self.argument_types().map(|ty| rule.argument(ty.clone())).collect();
        let [result] = self.results[..] else { panic!("a region that is computed again has one result") };
        let result_ty = self.graph.ty(result).clone();
        rule.argument(result_ty.clone());
        let cotangent = rule.argument(result_ty);
        let mut e = Appender::new(&mut rule.graph, Origin::default());
        let late: Vec<NodeId> =
            arguments.iter().map(|&a| e.emit(crate::prim::Barrier.into(), &[a, cotangent])).collect();
        let again = self.emit(&mut e, &late)[0];
        let wrt: Vec<NodeId> = late.iter().copied().filter(|&b| rule.graph.ty(b).dtype.is_float()).collect();
        rule.results = vjp(&mut rule.graph, &[(again, cotangent)], &wrt)?;
        Ok(SubGraph::cut(&rule.graph, &rule.arguments, &rule.results, |_| true).0)
    }
}
