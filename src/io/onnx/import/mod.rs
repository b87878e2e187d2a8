//! The import: a walk over a model's nodes that builds the graph.
//!
//! ```text
//!   Model, Bindings          the types of the inputs are known
//!     leaves                 inputs, initializers: what each name stands for
//!     nodes, in order        the operator's import function makes the results of the operands
//!     results                Imported
//! ```
//!
//! A node whose operator, attribute or type is not supported is noted, what follows from it is passed over, and the walk goes on, so that one error lists
//! all. A malformed node ends it. If an input or a trainable initializer [turned out](super::known) to decide shapes, the walk is made again with it as a
//! constant.

mod faults;
mod leaves;
mod nodes;
mod results;
mod values;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::array::Array;
use crate::build::Builder;
use crate::graph::{NodeId, Shape};

use super::bindings::Bindings;
use super::dtype::OnnxType;
use super::error::{ImportError, Unsupported};
use super::imported::Imported;
use super::known::Known;
use super::model::{Model, domain};
use super::node::Value;
use super::proto;
use super::random::Random;
use super::tensor::Budget;

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
#[derive(Default)]
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
    /// The functions whose nodes these are, by the names of their calls, each with a slash behind.
    call: String,
    depth: usize,
    /// How many bodies of loops are around.
    pub loops: usize,
}

impl<'n, 'g> Scope<'n, 'g> {
    fn outermost(opsets: &'n BTreeMap<String, i64>) -> Self {
        Scope {
            names: RefCell::default(),
            parent: None,
            opsets,
            attributes: HashMap::new(),
            call: String::new(),
            depth: 0,
            loops: 0,
        }
    }

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
        let scope = Scope::outermost(&self.opsets);
        let mut walked = Walked::default();
        self.inputs(&scope, &mut walked)?;
        self.initializers(&scope, &mut walked)?;
        self.run(&graph.node, &scope)?;
        self.outputs(scope, &mut walked)?;
        Ok(walked)
    }

    fn expect_size(&self, shape: &Shape) -> Result<(), String> {
        if shape.rank() > MAX_RANK {
            return Err(format!("{} axes are more than {MAX_RANK}", shape.rank()));
        }
        match shape.checked_numel() {
            Some(n) if n <= MAX_ELEMENTS => Ok(()),
            _ => Err(format!("{shape} has too many elements")),
        }
    }
}
