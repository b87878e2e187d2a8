//! The import: a walk over a model's nodes that builds the graph.
//!
//! ```text
//!   Model, Bindings          the types of the inputs are known
//!     names                  inputs, initializers: what each name stands for
//!     nodes, in order        the operator's import function makes the results of the operands
//!     results                Imported
//! ```
//!
//! A node whose operator, attribute or type is not supported is noted, what follows from it is passed over, and the walk goes on, so that one error lists
//! all. A malformed node ends it. If an input or a trainable initializer [turned out](super::known) to decide shapes, the walk is made again with it as a
//! constant.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::array::Array;
use crate::build::{Builder, Init, Tensor};
use crate::graph::NodeId;

use super::bindings::{Bindings, InputType};
use super::dtype::OnnxType;
use super::error::{Fault, ImportError, Reason, Unsupported, invalid, unsupported};
use super::held::to_held;
use super::imported::Imported;
use super::known::{self, Known};
use super::model::{Model, domain, operator_name};
use super::node::{Node, Results, Value};
use super::ops;
use super::proto;
use super::random::Random;
use super::roles::special;
use super::tensor::{Budget, TensorFault};

/// The most nodes that are imported, those of functions and unrolled loops counted each time.
const MAX_NODES: usize = 1 << 18;

/// The most elements of one tensor: 64 Gi. Shapes beyond it are mistakes, and products of a few such numbers do not overflow.
const MAX_ELEMENTS: usize = 1 << 36;

/// The most axes.
const MAX_RANK: usize = 32;

/// How deep functions and graphs may be inside each other.
const MAX_DEPTH: usize = 32;

pub(super) fn import(model: &Model, bindings: &Bindings) -> Result<Imported, ImportError> {
    let mut fixed = BTreeSet::new();
    loop {
        let builder = Builder::new();
        let importer = Importer::new(&builder, model, bindings, &fixed);
        let walked = importer.walk()?;
        let decisive = importer.decisive.take();
        let random = importer.random.take().map(|random| (random.state, random.next));
        drop(importer);
        if decisive.is_subset(&fixed) {
            let Walked { inputs, params, outputs, values, held } = walked;
            let fixed = fixed.into_iter().collect();
            return Ok(Imported { builder, inputs, params, outputs, values, fixed, held, random });
        }
        fixed.extend(decisive);
    }
}

/// The nodes of an imported graph's names.
struct Walked {
    inputs: Vec<(String, NodeId)>,
    params: Vec<(String, NodeId)>,
    outputs: Vec<(String, NodeId)>,
    values: HashMap<String, NodeId>,
    held: Vec<(String, OnnxType)>,
}

pub(super) struct Importer<'n, 'g> {
    pub g: &'g Builder,
    pub model: &'n Model,
    pub bindings: &'n Bindings,
    /// Inputs and initializers that are constants.
    fixed: &'n BTreeSet<String>,
    functions: HashMap<(&'n str, &'n str, &'n str), &'n proto::Function>,
    opsets: BTreeMap<String, i64>,
    /// Leaves whose values have been asked for.
    decisive: RefCell<BTreeSet<String>>,
    /// The values of leaves, as far as they are known.
    leaves: RefCell<HashMap<String, Arc<Array>>>,
    known: RefCell<Known>,
    /// What is known without the values of leaves.
    constants: RefCell<Known>,
    pub budget: RefCell<Budget>,
    faults: RefCell<Vec<Unsupported>>,
    nodes: Cell<usize>,
    pub random: RefCell<Option<Random<'g>>>,
}

/// The names that a node may use.
pub(super) struct Scope<'n, 'g> {
    names: RefCell<HashMap<String, Value<'g>>>,
    parent: Option<&'n Scope<'n, 'g>>,
    opsets: &'n BTreeMap<String, i64>,
    /// The attributes of the function that the nodes are of.
    pub attributes: HashMap<&'n str, &'n proto::Attribute>,
    depth: usize,
    /// How many bodies of loops are around.
    pub loops: usize,
}

impl<'n, 'g> Scope<'n, 'g> {
    fn find(&self, name: &str) -> Option<Value<'g>> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some(value) = here.names.borrow().get(name) {
                return Some(value.clone());
            }
            scope = here.parent;
        }
        None
    }

    fn bind(&self, name: &str, value: Value<'g>) -> Result<(), ImportError> {
        match self.names.borrow_mut().insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(ImportError::Graph(format!("there are two values called `{name}`"))),
        }
    }
}

impl<'n, 'g> Importer<'n, 'g> {
    fn new(g: &'g Builder, model: &'n Model, bindings: &'n Bindings, fixed: &'n BTreeSet<String>) -> Self {
        let text = |t: &'n Option<String>| t.as_deref().unwrap_or("");
        let functions = model.proto.functions.iter();
        let keyed = functions.map(|f| ((domain(f.domain.as_deref()), text(&f.name), text(&f.overload)), f));
        Importer {
            g,
            model,
            bindings,
            fixed,
            functions: keyed.collect(),
            opsets: model.opsets(),
            decisive: RefCell::default(),
            leaves: RefCell::default(),
            known: RefCell::default(),
            constants: RefCell::default(),
            budget: RefCell::default(),
            faults: RefCell::default(),
            nodes: Cell::new(0),
            random: RefCell::default(),
        }
    }

    fn walk(&self) -> Result<Walked, ImportError> {
        let graph = self.model.graph();
        if self.opsets.is_empty() {
            return Err(ImportError::Graph("the model does not say which operator sets it uses".to_owned()));
        }
        let scope = Scope {
            names: RefCell::default(),
            parent: None,
            opsets: &self.opsets,
            attributes: HashMap::new(),
            depth: 0,
            loops: 0,
        };
        let (mut inputs, mut params) = (Vec::new(), Vec::new());
        let mut held = Vec::new();
        let used = used_names(graph);
        for InputType { name, ty, own } in self.bindings.resolve(self.model)? {
            let value = match ty {
                Err(text) => {
                    if used.contains(&*name) {
                        self.fault(&name, "input", format!("type {text}"));
                    }
                    Value::Failed
                }
                Ok(ty) => {
                    self.expect_size(&ty.shape)
                        .map_err(|what| ImportError::Graph(format!("input `{name}`: {what}")))?;
                    let bound = self.bindings.value_of(&name);
                    if let Some(value) = bound {
                        self.leaves.borrow_mut().insert(name.clone(), Arc::new(value.clone()));
                    }
                    let tensor = match bound.filter(|_| self.fixed.contains(&name)) {
                        Some(value) => self.g.constant(value.clone()),
                        None => {
                            self.expect_free(&name)?;
                            let input = self.g.input(&name, ty);
                            inputs.push((name.clone(), input.id()));
                            input
                        }
                    };
                    match own.filter(|own| own.dtype().is_none()) {
                        Some(own) => {
                            held.push((name.clone(), own));
                            let wrapped = own.wrapped(tensor);
                            own.value(
                                wrapped.map_err(|_| ImportError::Graph(format!("input `{name}` is of type {own}")))?,
                            )
                        }
                        None => tensor.into(),
                    }
                }
            };
            scope.bind(&name, value)?;
        }
        let special = special(graph);
        for tensor in &graph.initializer {
            let name = tensor.name.as_deref().unwrap_or("");
            if !used.contains(name) {
                continue;
            }
            let (array, own) = match to_held(tensor, &self.model.external, &mut self.budget.borrow_mut()) {
                Ok(read) => read,
                Err(TensorFault::ElementType(code)) => {
                    self.fault(name, "initializer", format!("element type {code}"));
                    scope.bind(name, Value::Failed)?;
                    continue;
                }
                Err(fault) => return Err(fault.into_error(name).into()),
            };
            self.expect_size(array.shape())
                .map_err(|what| ImportError::Graph(format!("initializer `{name}`: {what}")))?;
            let value = if array.dtype().is_float() && !self.fixed.contains(name) {
                self.expect_free(name)?;
                let initial = Init::from(array);
                self.leaves.borrow_mut().insert(name.to_owned(), initial.shared());
                // Exporters lift numbers out of expressions: a scalar is none that is learned.
                let learned = initial.ty().shape.rank() > 0 && !special.contains_key(name);
                let param = if learned { self.g.param(name, initial) } else { self.g.state(name, initial) };
                params.push((name.to_owned(), param.id()));
                param
            } else {
                self.g.constant(array)
            };
            scope.bind(name, own.value(value))?;
        }
        for tensor in &graph.sparse_initializer {
            let name = tensor.values.as_ref().and_then(|v| v.name.as_deref()).unwrap_or("");
            self.fault(name, "initializer", "sparse tensor".to_owned());
            scope.bind(name, Value::Failed)?;
        }
        self.run(&graph.node, &scope)?;

        let mut outputs: Vec<(String, NodeId)> = Vec::new();
        let mut failed = None;
        for output in &graph.output {
            let name = output.name.as_deref().unwrap_or("");
            if outputs.iter().any(|(other, _)| other == name) {
                return Err(ImportError::Graph(format!("there are two results called `{name}`")));
            }
            match scope.find(name) {
                Some(Value::Tensor(tensor)) => outputs.push((name.to_owned(), tensor.id())),
                Some(Value::Held(tensor, own)) if self.bindings.boundary(own).is_some() => {
                    held.push((name.to_owned(), own));
                    outputs.push((name.to_owned(), tensor.id()));
                }
                Some(Value::Held(_, own)) => self.fault(name, "output", format!("type {own}")),
                Some(Value::Failed) => failed = Some(name),
                Some(Value::Sequence(_)) => self.fault(name, "output", "a sequence as a result".to_owned()),
                Some(Value::Nothing) => self.fault(name, "output", "a result that may be missing".to_owned()),
                None => return Err(ImportError::Graph(format!("no node gives the result `{name}`"))),
            }
        }
        let faults = self.faults.take();
        if !faults.is_empty() {
            return Err(ImportError::Unsupported(faults));
        }
        if let Some(name) = failed {
            return Err(ImportError::Graph(format!("the result `{name}` cannot be computed")));
        }
        let names = scope.names.into_inner();
        let tensors = names.into_iter().filter_map(|(name, value)| match value {
            Value::Tensor(tensor) => Some((name, tensor.id())),
            _ => None,
        });
        Ok(Walked { inputs, params, outputs, values: tensors.collect(), held })
    }

    /// Imports nodes in order.
    fn run(&self, nodes: &[proto::Node], scope: &Scope<'_, 'g>) -> Result<(), ImportError> {
        for node in nodes {
            self.node(node, scope)?;
        }
        Ok(())
    }

    fn node(&self, proto: &proto::Node, scope: &Scope<'_, 'g>) -> Result<(), ImportError> {
        let results = self.results(proto, scope);
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
            return unsupported("the operator is not supported");
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
        let (operands, own) = operator.integers.given(operands)?;
        let seen = RefCell::default();
        let node = Node { importer: self, scope, proto, version, operands, seen };
        // What is computed within a node is rounded to 16 bits at its end only. The nodes of a graph inside it round each.
        let holds_graph = proto.attribute.iter().any(|a| a.g.is_some());
        let scope = (!holds_graph).then(|| self.g.scope(operator.name, &[]));
        let results = operator.integers.taken((operator.import)(&node)?, own)?;
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

    /// The value of a tensor, if it is known. The leaves that it depends on become constants.
    pub fn known(&self, tensor: Tensor<'g>) -> Option<Arc<Array>> {
        let leaf = |name: &str| {
            let value = self.leaves.borrow().get(name).cloned();
            if value.is_some() {
                self.decisive.borrow_mut().insert(name.to_owned());
            }
            value
        };
        self.known.borrow_mut().value(tensor, &leaf)
    }

    /// The value of a tensor, if it follows from constants alone.
    pub fn constant(&self, tensor: Tensor<'g>) -> Option<Arc<Array>> {
        written(tensor).or_else(|| self.constants.borrow_mut().value(tensor, &|_| None))
    }

    /// The number of the node that is being imported.
    pub fn number(&self) -> usize {
        self.nodes.get()
    }

    /// One way to import something and, if it fails, another; what was not supported on the first way is forgotten then. If there is no other way, the
    /// first failure counts.
    pub fn attempt(
        &self,
        first: impl FnOnce() -> Results<'g>,
        second: impl FnOnce() -> Option<Results<'g>>,
    ) -> Results<'g> {
        let before = self.faults.borrow().len();
        let result = first();
        let hides_fault = self.faults.borrow().len() > before;
        if result.is_ok() && !hides_fault {
            return result;
        }
        let faults = self.faults.borrow_mut().split_off(before);
        match second() {
            Some(Ok(values)) if self.faults.borrow().len() == before => Ok(values),
            Some(Err(fault)) if result.is_ok() || self.nodes.get() > MAX_NODES => Err(fault),
            Some(second) if faults.is_empty() => second,
            _ => {
                self.faults.borrow_mut().truncate(before);
                self.faults.borrow_mut().extend(faults);
                result
            }
        }
    }

    /// The inputs without a value that a tensor depends on, if it can be evaluated where they have one.
    pub fn unbound(&self, tensor: Tensor<'g>) -> Vec<String> {
        let mut names = known::leaves(tensor).unwrap_or_default();
        names.retain(|name| !self.leaves.borrow().contains_key(name));
        // In the bodies of loops there are inputs that are none of the model.
        let inputs: HashSet<String> = self.model.inputs().into_iter().map(|input| input.name).collect();
        names.retain(|name| self.g.frame() == tensor.key().0 && inputs.contains(name));
        names
    }

    fn fault(&self, node: &str, operator: &str, what: String) {
        self.note(node, operator, what, Reason::Never);
    }

    fn note(&self, node: &str, operator: &str, what: String, reason: Reason) {
        let fault = Unsupported { node: node.to_owned(), operator: operator.to_owned(), what, reason };
        let mut faults = self.faults.borrow_mut();
        if faults.len() < 1000 && !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    fn expect_size(&self, shape: &crate::graph::Shape) -> Result<(), String> {
        if shape.rank() > MAX_RANK {
            return Err(format!("{} axes are more than {MAX_RANK}", shape.rank()));
        }
        match shape.checked_numel() {
            Some(n) if n <= MAX_ELEMENTS => Ok(()),
            _ => Err(format!("{shape} has too many elements")),
        }
    }

    fn expect_free(&self, name: &str) -> Result<(), ImportError> {
        match self.g.graph().find(name) {
            None => Ok(()),
            Some(_) => Err(ImportError::Graph(format!("there are two values called `{name}`"))),
        }
    }
}

/// The value of a tensor that is a constant itself.
fn written(tensor: Tensor<'_>) -> Option<Arc<Array>> {
    tensor.in_graph(|graph| match graph.op(tensor.id()) {
        crate::prim::Op::Const(c) => Some(c.value.clone()),
        _ => None,
    })
}

fn node_name(node: &proto::Node) -> &str {
    let name = node.name.as_deref().filter(|name| !name.is_empty());
    name.or(node.output.first().map(|name| &**name)).unwrap_or("")
}

fn node_error(node: &proto::Node, what: String) -> ImportError {
    ImportError::Node { node: node_name(node).to_owned(), operator: operator_name(node), what }
}

/// All names that nodes use, in graphs inside nodes too, and the results.
pub(super) fn used_names(graph: &proto::Graph) -> HashSet<&str> {
    let (mut names, mut graphs) = (HashSet::new(), vec![graph]);
    while let Some(graph) = graphs.pop() {
        names.extend(graph.output.iter().filter_map(|o| o.name.as_deref()));
        for node in &graph.node {
            names.extend(node.input.iter().map(|name| &**name));
            graphs.extend(node.attribute.iter().filter_map(|a| a.g.as_deref()));
        }
    }
    names
}
