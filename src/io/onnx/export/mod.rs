//! The export: a program's graph as ONNX nodes, in version 18 of the operator set, or 20 if there is a `Gelu` among them.
//!
//! Every operation of the graph becomes one node or a few, and some that belong together one [operator](composites); parameters and constants become initializers, inputs and outputs keep their names. What training
//! appends, updates of parameters, is left out: an ONNX model computes results. An imported model that was trained is better written by
//! [`Model::with_initializers`], which keeps the nodes of its file.

mod composites;
mod loops;
mod movement;
mod scalar;
mod writer;

use crate::build::Program;
use crate::graph::NodeId;
use crate::prim::{Op, Reduction};
use crate::runtime::Params;

use super::dtype::OnnxType;
use super::model::Model;
use super::proto::{self, dimension, type_value};
use composites::Needed;
use writer::{Attribute, Scope, Writer, named};

/// The version of the operator set that exported models use, unless an operator needs a newer one: `Gelu` needs 20.
pub const EXPORTED: i64 = 18;

/// Why a program cannot be exported.
#[derive(thiserror::Error)]
pub enum ExportError {
    /// An operation that ONNX has no operators for.
    #[error("{node}, {operation}, has no counterpart in ONNX: {what}")]
    Unsupported {
        /// The node in the text form.
        node: String,
        /// The operation.
        operation: String,
        /// What of it.
        what: String,
    },
    /// Two values that would have one name.
    #[error("an input, parameter or output called `{0}` is not the only one")]
    Name(String),
}

crate::error::debug_as_display!(ExportError);

impl Model {
    /// The model that computes a program's results, with the values that `params` holds; parameters that are not there have their initial values.
    ///
    /// ```
    /// use cotangent::io::onnx::Model;
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let x = g.input("x", f32([4, 3]));
    /// let w = g.param("w", init::xavier([3, 2], 0));
    /// let program = g.program(&[("y", x.dot(w).relu())]);
    /// let model = Model::of_program(&program, &Params::new())?;
    /// assert_eq!(model.inputs()[0].to_string(), "x: float32[4, 3]");
    /// # Ok::<(), cotangent::io::onnx::ExportError>(())
    /// ```
    ///
    /// # Errors
    /// If an operation has no counterpart in ONNX.
    pub fn of_program(program: &Program, params: &Params) -> Result<Model, ExportError> {
        let graph = &program.graph;
        let results: Vec<NodeId> = graph.outputs().iter().map(|output| output.node).collect();
        let needed = Needed::of(graph, &results);
        let mut writer = Writer::default();
        let mut scope = Scope::new(graph);
        for id in graph.ids().filter(|&id| needed.has(id)) {
            let node = graph.node(id);
            let name = match &node.op {
                Op::Input(input) => {
                    writer.inputs.push(value_info(&input.name, &node.ty));
                    writer.claim(&input.name)?
                }
                Op::Param(param) => {
                    let value = params.get(&param.name).ok().filter(|value| value.ty() == node.ty);
                    match (value, program.initial.get(&param.name)) {
                        (Some(value), _) => writer.parameter(&param.name, &value)?,
                        (None, Some(value)) => writer.parameter(&param.name, value)?,
                        (None, None) => writer.parameter(&param.name, &crate::Array::zeros(&node.ty))?,
                    }
                }
                _ => continue,
            };
            scope.bind(id, name);
        }
        for output in graph.outputs() {
            writer.claim_output(&output.name)?;
        }
        writer.write_nodes(graph, &needed, &mut scope)?;
        let version = writer.version();
        let mut outputs = Vec::new();
        for output in graph.outputs() {
            let name = scope.name(output.node).to_owned();
            writer.node("Identity", &[&name], &[&output.name], Vec::new());
            outputs.push(value_info(&output.name, graph.ty(output.node)));
        }
        let graph = proto::Graph {
            name: Some("cotangent".to_owned()),
            node: writer.take_nodes(),
            initializer: writer.initializers,
            input: writer.inputs,
            output: outputs,
            ..proto::Graph::default()
        };
        let proto = proto::Model {
            // The versions of the format that came with those of the operator set.
            ir_version: Some(if version > EXPORTED { 9 } else { 8 }),
            opset_import: vec![proto::OperatorSetId { domain: Some(String::new()), version: Some(version) }],
            producer_name: Some("cotangent".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            graph: Some(graph),
            ..proto::Model::default()
        };
        Ok(Model { proto, external: Default::default() })
    }
}

/// The declaration of a tensor.
fn value_info(name: &str, ty: &crate::TensorType) -> proto::ValueInfo {
    let dim = |&n: &usize| proto::Dimension { value: Some(dimension::Value::Extent(n as i64)), denotation: None };
    let tensor = proto::TensorType {
        elem_type: Some(OnnxType::of(ty.dtype).0),
        shape: Some(proto::TensorShape { dim: ty.shape.iter().map(dim).collect() }),
    };
    proto::ValueInfo {
        name: Some(name.to_owned()),
        r#type: Some(proto::Type { value: Some(type_value::Value::Tensor(tensor)), denotation: None }),
        ..proto::ValueInfo::default()
    }
}

/// The operator of a reduction.
fn reduction(reduction: Reduction) -> &'static str {
    match reduction {
        Reduction::Sum => "ReduceSum",
        Reduction::Prod => "ReduceProd",
        Reduction::Max => "ReduceMax",
        Reduction::Min => "ReduceMin",
    }
}

/// No attributes.
fn plain() -> Vec<Attribute> {
    Vec::new()
}

/// The attribute that reductions have to drop their axes.
fn dropping() -> Vec<Attribute> {
    vec![named("keepdims", 0)]
}
