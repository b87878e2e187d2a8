//! The walk over nodes: those of the model, of the functions that it calls and of the graphs inside nodes.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use crate::array::Array;

use super::super::error::{Fault, ImportError, invalid, unsupported};
use super::super::held::to_held;
use super::super::model::{domain, operator_name};
use super::super::node::{Node, Results, Value};
use super::super::ops;
use super::super::proto;
use super::super::tensor::TensorFault;
use super::values::written;
use super::{Importer, MAX_DEPTH, MAX_NODES, Scope};

impl<'g> Importer<'_, 'g> {
    /// Imports nodes in order.
    pub(super) fn run(&self, nodes: &[proto::Node], scope: &Scope<'_, 'g>) -> Result<(), ImportError> {
        for node in nodes {
            self.node(node, scope)?;
        }
        Ok(())
    }

    fn node(&self, proto: &proto::Node, scope: &Scope<'_, 'g>) -> Result<(), ImportError> {
        let source = self.g.for_node(&operator_name(proto), &format!("{}{}", scope.call, node_name(proto)));
        let results = self.results(proto, scope);
        drop(source);
        let failed = || std::iter::repeat_n(Value::Failed, proto.output.len()).collect();
        let values: Vec<Value<'g>> = match results {
            Ok(values) => values,
            Err(Fault::Unsupported(what, reason)) => {
                self.note(node_name(proto), &operator_name(proto), what, reason);
                failed()
            }
            Err(Fault::Follows) => failed(),
            Err(Fault::Invalid(what)) => return Err(node_error(proto, what)),
            Err(Fault::Inside(error)) => return Err(*error),
        };
        for (i, name) in proto.output.iter().enumerate() {
            if name.is_empty() {
                continue;
            }
            match values.get(i) {
                Some(value) => {
                    if let Value::Tensor(tensor) | Value::Held(tensor, _) = value {
                        self.expect_size(&tensor.shape()).map_err(|what| node_error(proto, what))?;
                    }
                    scope.bind(name, value.clone())?;
                }
                None => return Err(node_error(proto, format!("has {} results, not {}", values.len(), i + 1))),
            }
        }
        Ok(())
    }

    fn results(&self, proto: &proto::Node, scope: &Scope<'_, 'g>) -> Results<'g> {
        self.nodes.set(self.nodes.get() + 1);
        if self.nodes.get() > MAX_NODES {
            return invalid(format!("the model has more than {MAX_NODES} nodes, those of functions counted each time"));
        }
        let (domain, name) = (domain(proto.domain.as_deref()), proto.op_type.as_deref().unwrap_or(""));
        let mut operands = Vec::with_capacity(proto.input.len());
        for name in &proto.input {
            operands.push(match name.is_empty() {
                true => None,
                false => match scope.find(name) {
                    Some(value) => Some(self.here(value)),
                    None => return invalid(format!("operand `{name}` is no value that came before")),
                },
            });
        }
        let overload = proto.overload.as_deref().unwrap_or("");
        if let Some(function) = self.functions.get(&(domain, name, overload)) {
            return self.call(function, proto, operands, scope);
        }
        let Some(operator) = ops::find(domain, name) else {
            return unsupported(ops::missing(domain, name));
        };
        let version = match scope.opsets.get(domain) {
            Some(&version) => version,
            None if domain.is_empty() => {
                return invalid("the model does not say which version of ONNX's operators it uses");
            }
            None => 1,
        };
        if version < operator.since {
            return invalid(format!("the operator is new in version {}, the model uses {version}", operator.since));
        }
        if version > operator.until {
            return unsupported(format!(
                "version {version} of the operator set: the newest known is {}",
                operator.until
            ));
        }
        let (operands, own) = operator.held.given(operands)?;
        let seen = RefCell::default();
        let node = Node { importer: self, scope, proto, version, operands, own, seen };
        // What is computed within a node is rounded to 16 bits at its end only. The nodes of a graph inside it round each.
        let holds_graph = proto.attribute.iter().any(|a| a.g.is_some());
        let scope = (!holds_graph).then(|| self.g.scope(operator.name, &[]));
        let results = operator.held.taken((operator.import)(&node)?, own)?;
        drop(scope);
        let seen = node.seen.borrow();
        let ignored = |name: &str| name == "consumed_inputs" || operator.ignores.contains(&name);
        let names = proto.attribute.iter().filter_map(|a| a.name.as_deref());
        match names.into_iter().find(|name| !seen.contains(name) && !ignored(name)) {
            Some(attribute) => unsupported(format!("attribute `{attribute}`")),
            None => Ok(results),
        }
    }

    /// A value of a frame around as one of this frame, if it is a constant.
    fn here(&self, value: Value<'g>) -> Value<'g> {
        let Value::Tensor(tensor) = &value else { return value };
        if tensor.key().0 == self.g.frame() {
            return value;
        }
        match written(*tensor) {
            Some(array) if array.shape().numel() <= 64 => self.g.constant(Array::clone(&array)).into(),
            _ => value,
        }
    }

    /// Imports the nodes of a function's body in the place of its call.
    fn call(
        &self,
        function: &proto::Function,
        call: &proto::Node,
        operands: Vec<Option<Value<'g>>>,
        scope: &Scope<'_, 'g>,
    ) -> Results<'g> {
        if scope.depth >= MAX_DEPTH {
            return invalid(format!("functions and graphs are more than {MAX_DEPTH} deep"));
        }
        let opsets: BTreeMap<String, i64> = function
            .opset_import
            .iter()
            .map(|o| (domain(o.domain.as_deref()).to_owned(), o.version.unwrap_or(0)))
            .collect();
        let opsets = if opsets.is_empty() { scope.opsets.clone() } else { opsets };
        let mut attributes: HashMap<&str, &proto::Attribute> = HashMap::new();
        for default in &function.attribute_proto {
            attributes.insert(default.name.as_deref().unwrap_or(""), default);
        }
        for given in &call.attribute {
            let of_caller = given.ref_attr_name.as_deref().filter(|name| !name.is_empty());
            let resolved = match of_caller {
                None => Some(given),
                Some(name) => scope.attributes.get(name).copied(),
            };
            if let Some(resolved) = resolved {
                attributes.insert(given.name.as_deref().unwrap_or(""), resolved);
            }
        }
        let inner = Scope {
            names: RefCell::default(),
            parent: None,
            opsets: &opsets,
            attributes,
            call: format!("{}{}/", scope.call, node_name(call)),
            depth: scope.depth + 1,
            loops: scope.loops,
        };
        for (i, name) in function.input.iter().enumerate() {
            let value = operands.get(i).cloned().flatten().unwrap_or(Value::Nothing);
            inner.bind(name, value)?;
        }
        self.run(&function.node, &inner)?;
        let result = |name: &String| inner.find(name).ok_or_else(|| Fault::Invalid(format!("no node gives `{name}`")));
        function.output.iter().map(result).collect()
    }

    /// Imports a graph inside a node, such as a branch, with values for its inputs; gives its results.
    pub fn inner_graph(
        &self,
        graph: &proto::Graph,
        inputs: Vec<Value<'g>>,
        around: &Scope<'_, 'g>,
        in_loop: bool,
    ) -> Results<'g> {
        if around.depth >= MAX_DEPTH {
            return invalid(format!("functions and graphs are more than {MAX_DEPTH} deep"));
        }
        let scope = Scope {
            names: RefCell::default(),
            parent: Some(around),
            opsets: around.opsets,
            attributes: around.attributes.clone(),
            call: around.call.clone(),
            depth: around.depth + 1,
            loops: around.loops + usize::from(in_loop),
        };
        if graph.input.len() != inputs.len() {
            return invalid(format!("the graph takes {} values, {} are given", graph.input.len(), inputs.len()));
        }
        for (info, value) in graph.input.iter().zip(inputs) {
            scope.bind(info.name.as_deref().unwrap_or(""), value)?;
        }
        for tensor in &graph.initializer {
            let name = tensor.name.as_deref().unwrap_or("");
            let value = match to_held(tensor, &self.model.external, &mut self.budget.borrow_mut()) {
                Ok((array, own)) => own.value(self.g.constant(array)),
                Err(TensorFault::ElementType(code)) => {
                    self.fault(name, "initializer", format!("element type {code}"));
                    Value::Failed
                }
                Err(fault) => return invalid(fault.into_error(name).to_string()),
            };
            scope.bind(name, value)?;
        }
        self.run(&graph.node, &scope)?;
        let result = |info: &proto::ValueInfo| {
            let name = info.name.as_deref().unwrap_or("");
            scope.find(name).ok_or_else(|| Fault::Invalid(format!("no node gives `{name}`")))
        };
        graph.output.iter().map(result).collect()
    }
}

fn node_name(node: &proto::Node) -> &str {
    let name = node.name.as_deref().filter(|name| !name.is_empty());
    name.or(node.output.first().map(|name| &**name)).unwrap_or("")
}

fn node_error(node: &proto::Node, what: String) -> ImportError {
    ImportError::Node { node: node_name(node).to_owned(), operator: operator_name(node), what }
}
