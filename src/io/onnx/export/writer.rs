//! Nodes, names and initializers of a model that is being written.

use std::collections::{HashMap, HashSet};

use crate::array::Array;
use crate::graph::{DType, Graph, NodeId, TensorType};
use crate::prim::Op;

use super::super::dtype::OnnxType;
use super::super::proto::{self, kind};
use super::super::tensor::from_array;
use super::composites::Needed;
use super::{EXPORTED, ExportError, loops, movement, scalar};

pub(super) type Attribute = proto::Attribute;

/// An integer attribute.
pub(super) fn named(name: &str, value: i64) -> Attribute {
    Attribute { name: Some(name.to_owned()), r#type: Some(kind::INT), i: Some(value), ..Attribute::default() }
}

/// A number as an attribute.
pub(super) fn number(name: &str, value: f32) -> Attribute {
    Attribute { name: Some(name.to_owned()), r#type: Some(kind::FLOAT), f: Some(value), ..Attribute::default() }
}

/// A list of integers as an attribute.
pub(super) fn list(name: &str, ints: Vec<i64>) -> Attribute {
    Attribute { name: Some(name.to_owned()), r#type: Some(kind::INTS), ints, ..Attribute::default() }
}

/// A text as an attribute.
pub(super) fn text(name: &str, value: &'static str) -> Attribute {
    let s = Some(value.as_bytes().into());
    Attribute { name: Some(name.to_owned()), r#type: Some(kind::STRING), s, ..Attribute::default() }
}

/// The names of a graph's nodes.
pub(super) struct Scope {
    names: HashMap<NodeId, String>,
}

impl Scope {
    pub fn new(_: &Graph) -> Scope {
        Scope { names: HashMap::new() }
    }

    pub fn bind(&mut self, node: NodeId, name: String) {
        self.names.insert(node, name);
    }

    pub fn has(&self, node: NodeId) -> bool {
        self.names.contains_key(&node)
    }

    /// The name of a node that has been written.
    pub fn name(&self, node: NodeId) -> &str {
        &self.names[&node]
    }
}

#[derive(Default)]
pub(super) struct Writer {
    nodes: Vec<proto::Node>,
    pub initializers: Vec<proto::Tensor>,
    pub inputs: Vec<proto::ValueInfo>,
    taken: HashSet<String>,
    constants: HashMap<Array, String>,
    count: usize,
    /// The version of the operator set in which the newest operator is new, if that is after [`EXPORTED`].
    newest: i64,
}

impl Writer {
    /// A name given by the program.
    pub fn claim(&mut self, name: &str) -> Result<String, ExportError> {
        if self.taken.insert(name.to_owned()) { Ok(name.to_owned()) } else { Err(ExportError::Name(name.to_owned())) }
    }

    /// The name of an output, which may not be an input's.
    pub fn claim_output(&mut self, name: &str) -> Result<(), ExportError> {
        self.claim(name).map(|_| ())
    }

    /// An initializer under the program's name.
    pub fn parameter(&mut self, name: &str, value: &Array) -> Result<String, ExportError> {
        self.initializers.push(from_array(name, value));
        self.claim(name)
    }

    /// Notes that an operator is new in this version of the operator set.
    pub fn need(&mut self, version: i64) {
        self.newest = self.newest.max(version);
    }

    /// The version of the operator set that the nodes need.
    pub fn version(&self) -> i64 {
        self.newest.max(EXPORTED)
    }

    /// A name that nothing has yet.
    pub fn fresh(&mut self) -> String {
        loop {
            let name = format!("v{}", self.count);
            self.count += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// An initializer of these numbers.
    pub fn constant(&mut self, value: Array) -> String {
        if let Some(name) = self.constants.get(&value) {
            return name.clone();
        }
        let name = self.fresh();
        self.initializers.push(from_array(&name, &value));
        self.constants.insert(value, name.clone());
        name
    }

    /// A vector of integers.
    pub fn ints(&mut self, ints: &[i64]) -> String {
        self.constant(Array::from(ints.to_vec()))
    }

    /// A number of this type.
    pub fn number(&mut self, dtype: DType, value: f64) -> String {
        self.constant(Array::full(&TensorType::new(dtype, []), value))
    }

    /// Appends a node.
    pub fn node(&mut self, operator: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<Attribute>) {
        let owned = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        self.nodes.push(proto::Node {
            input: owned(inputs),
            output: owned(outputs),
            name: Some(format!("{operator}_{}", self.nodes.len())),
            op_type: Some(operator.to_owned()),
            attribute,
            ..proto::Node::default()
        });
    }

    /// Appends a node with one result, whose name it gives.
    pub fn emit(&mut self, operator: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let name = self.fresh();
        self.node(operator, inputs, &[&name], attributes);
        name
    }

    /// A conversion.
    pub fn cast(&mut self, x: &str, dtype: DType) -> String {
        self.emit("Cast", &[x], vec![named("to", OnnxType::of(dtype).0.into())])
    }

    /// Where `mask` holds, `a`, elsewhere `b`. Runtimes choose among few element types: others go through logic or wider integers.
    pub fn select(&mut self, mask: &str, a: &str, b: &str, dtype: DType) -> String {
        match dtype {
            DType::Bool => {
                let rest = self.emit("Not", &[mask], Vec::new());
                let (a, b) = (self.emit("And", &[mask, a], Vec::new()), self.emit("And", &[&rest, b], Vec::new()));
                self.emit("Or", &[&a, &b], Vec::new())
            }
            DType::U32 => {
                let (a, b) = (self.cast(a, DType::I64), self.cast(b, DType::I64));
                let chosen = self.emit("Where", &[mask, &a, &b], Vec::new());
                self.cast(&chosen, dtype)
            }
            _ => self.emit("Where", &[mask, a, b], Vec::new()),
        }
    }

    /// The elements in another shape.
    pub fn reshape(&mut self, x: &str, shape: &[usize]) -> String {
        let extents: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
        let target = self.ints(&extents);
        self.emit("Reshape", &[x, &target], vec![named("allowzero", i64::from(shape.contains(&0)))])
    }

    /// The axes in another order.
    pub fn transpose(&mut self, x: &str, permutation: &[usize]) -> String {
        let list_of: Vec<i64> = permutation.iter().map(|&p| p as i64).collect();
        self.emit("Transpose", &[x], vec![list("perm", list_of)])
    }

    /// The nodes so far, which are taken away: those of a graph inside a node.
    pub fn take_nodes(&mut self) -> Vec<proto::Node> {
        std::mem::take(&mut self.nodes)
    }

    /// Puts nodes before those to come.
    pub fn put_nodes(&mut self, nodes: Vec<proto::Node>) {
        self.nodes = nodes;
    }

    /// Writes the nodes of a graph that are needed and have no names yet.
    pub fn write_nodes(&mut self, graph: &Graph, needed: &Needed, scope: &mut Scope) -> Result<(), ExportError> {
        let loops = graph.loops(graph.ids().filter(|&id| needed.has(id)));
        for id in graph.ids().filter(|&id| needed.has(id)) {
            if scope.has(id) {
                continue;
            }
            if graph.op(id).looped().is_some() {
                // All results of a loop are written with the first.
                if let Some(results) = loops.get(&id) {
                    loops::write(self, graph, results, scope)?;
                }
                continue;
            }
            if let Some(name) = needed.write(self, graph, id, |node| scope.name(node)) {
                scope.bind(id, name);
                continue;
            }
            let operands: Vec<String> = graph.operands(id).iter().map(|&o| scope.name(o).to_owned()).collect();
            let operands: Vec<&str> = operands.iter().map(|name| &**name).collect();
            let name = self.write_node(graph, id, &operands)?;
            scope.bind(id, name);
        }
        Ok(())
    }

    fn write_node(&mut self, graph: &Graph, id: NodeId, x: &[&str]) -> Result<String, ExportError> {
        let node = graph.node(id);
        let types: Vec<&TensorType> = graph.operands(id).iter().map(|&o| graph.ty(o)).collect();
        let written = match &node.op {
            Op::Const(constant) => Ok(self.constant(Array::clone(&constant.value))),
            Op::Map(map) => scalar::write(self, map.f, x, types[0].dtype, types[x.len() - 1].dtype),
            Op::Barrier(_) | Op::Custom(_) => Ok(self.emit("Identity", &x[..1], Vec::new())),
            op => movement::write(self, op, x, &types, &node.ty),
        };
        written.map_err(|what| unsupported(graph, id, what))
    }
}

/// The error of a node that ONNX has no operator for.
pub(super) fn unsupported(graph: &Graph, id: NodeId, what: String) -> ExportError {
    ExportError::Unsupported { node: id.to_string(), operation: graph.op(id).name().to_owned(), what }
}
