//! Models from files, to run and to differentiate by names.
//!
//! ```text
//!   ONNX file, text form --Model::read--> Model { program } --compile--> Executable
//!                                           |--run(inputs)--> results by name
//!                                           |--grad(loss, wrt, inputs)--> results and gradients by name
//!   ONNX file, text form --describe--> Description: inputs, outputs, parameters, operations, memory
//! ```
//!
//! Everything is given and returned by name, and every name that is not there, array that does not fit and number that is missing is an error that tells
//! which names, types and numbers there are.

mod agreement;
mod bench;
mod check;
mod convert;
mod describe;
mod error;
mod load;
#[cfg(feature = "onnx")]
mod onnx;
mod role;
#[cfg(test)]
mod tests;
mod train;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::array::Array;
use crate::build::Program;
use crate::compile::Options;
use crate::grad::{self, GradError};
use crate::graph::{Graph, Name, NodeId, TensorType};
use crate::prim::Op;
use crate::runtime::Executable;

use super::{ArrayType, ElementType, TypedView};

pub use bench::{Bench, Rates, Work, bench};
pub use check::{Check, Verdict};
pub use describe::{Declaration, Description, Memory, describe};
pub use error::{LoadError, ModelError, OpenExtents};
pub use load::{Fitting, Format, Known, Leaf, leaves, read_fitting};
pub use role::{Hold, Role};
pub use train::{LearnError, Learner, LossKind, Objective};

/// Arrays by name, in an order that means something, such as that of a model's outputs.
pub type Named = Vec<(Name, Array)>;

/// A model: a program whose inputs, parameters and outputs are known by name.
///
/// ```
/// use std::collections::BTreeMap;
/// use cotangent::io::Model;
/// use cotangent::{Array, Options};
///
/// let mut model = Model::from_text(
///     r#"
///     %x = input {name="x"} : f32[3]
///     %w = param {name="w", kind=trainable} : f32[3]
///     %p = mul %x, %w : f32[3]
///     %s = reduce %p {kind=sum, axes=[0]} : f32[]
///     output "score" = %s
///     "#,
/// )?;
/// let arrays = BTreeMap::from([
///     ("x".to_owned(), Array::from([1.0f32, 2.0, 3.0])),
///     ("w".to_owned(), Array::from([1.0f32, 0.0, -1.0])),
/// ]);
/// let results = model.grad(&Options::default(), "score", &["w"], &arrays)?;
/// assert_eq!(results.outputs[0].1, Array::scalar(-2.0f32));
/// assert_eq!(results.gradients[0].1, arrays["x"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    program: Program,
    format: Format,
    /// Inputs and initializers that decided shapes at the import and are no leaves of the program any more, with the values given for them.
    fixed: BTreeMap<String, Option<Array>>,
    /// Parameters that have no value yet.
    unset: BTreeSet<Name>,
    /// The element types of the inputs and outputs that are held in wider ones.
    held: BTreeMap<Name, ElementType>,
}

/// What [`Model::grad`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// The model's outputs, in their order.
    pub outputs: Named,
    /// The gradient by each name, in the order in which they were asked for.
    pub gradients: Named,
}

impl Model {
    /// The program: the graph, with outputs and updates, and the parameters' values.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Of which format the file was.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Names and types of the inputs, in the order of their declaration.
    pub fn inputs(&self) -> Vec<(Name, TensorType)> {
        self.leaves(|op| matches!(op, Op::Input(_)))
    }

    /// Names and types of the parameters, in the order of their declaration.
    pub fn params(&self) -> Vec<(Name, TensorType)> {
        self.leaves(|op| matches!(op, Op::Param(_)))
    }

    /// Names and types of the outputs, in order.
    pub fn outputs(&self) -> Vec<(Name, TensorType)> {
        let graph = &self.program.graph;
        graph.outputs().iter().map(|o| (o.name.clone(), graph.ty(o.node).clone())).collect()
    }

    /// The element type that the model has for an input, parameter or output of its, where that is another than its tensor's: integers that arrays hold in a
    /// [wider type](ElementType).
    pub fn held(&self, name: &str) -> Option<ElementType> {
        self.held.get(name).copied()
    }

    /// The type of an input, parameter or output whose tensor is of this type.
    fn own(&self, name: &str, ty: TensorType) -> ArrayType {
        ArrayType::new(self.held(name).unwrap_or(ty.dtype.into()), ty.shape)
    }

    /// Outputs of a run with the element types that the model has for them: what is to be written.
    ///
    /// # Panics
    /// If the arrays are not those of a run.
    #[track_caller]
    pub fn typed<'a>(&self, outputs: &'a Named) -> Vec<(&'a str, TypedView<'a>)> {
        let typed = |(name, array): &'a (Name, Array)| {
            let element = self.held(name).unwrap_or(array.dtype().into());
            (&**name, TypedView::new(array, element).expect("a run gives numbers of the output's type"))
        };
        outputs.iter().map(typed).collect()
    }

    /// Parameters that have no value yet, as in the text form, which holds none.
    pub fn unset(&self) -> impl Iterator<Item = &Name> {
        self.unset.iter()
    }

    fn leaves(&self, is: impl Fn(&Op) -> bool) -> Vec<(Name, TensorType)> {
        let graph = &self.program.graph;
        let leaves = graph.ids().filter(|&id| is(graph.op(id)));
        leaves.filter_map(|id| Some((graph.op(id).leaf_name()?.clone(), graph.ty(id).clone()))).collect()
    }

    /// Gives a parameter its value.
    ///
    /// # Errors
    /// If there is no parameter of this name, or the array is typed unlike it.
    pub fn set_param(&mut self, name: &str, value: Array) -> Result<(), ModelError> {
        let params = self.params();
        let Some((name, expected)) = params.iter().find(|(n, _)| **n == *name) else {
            return Err(ModelError::unknown("parameter", name, params.into_iter().map(|p| p.0)));
        };
        if *expected != value.ty() {
            let (name, expected, given) = (name.to_string(), expected.clone().into(), value.ty());
            return Err(ModelError::Type { name, expected, given });
        }
        self.unset.remove(name);
        self.program.initial.insert(name.clone(), Arc::new(value));
        Ok(())
    }

    /// Gives parameters their values. Those that are not named keep theirs.
    ///
    /// # Errors
    /// As [`Model::set_param`].
    pub fn set_params(&mut self, values: impl IntoIterator<Item = (String, Array)>) -> Result<(), ModelError> {
        values.into_iter().try_for_each(|(name, value)| self.set_param(&name, value))
    }

    /// Compiles the program and runs it once. An array that is called like a parameter is used as its value.
    ///
    /// # Errors
    /// If an input that the outputs need or a parameter has no array, an array fits no input or parameter, or compilation fails.
    pub fn run(&self, options: &Options, arrays: &BTreeMap<String, Array>) -> Result<Named, ModelError> {
        self.run_program(self.program.clone(), options, arrays)
    }

    /// Compiles the program with the gradient of the output `loss` by each of `wrt`, inputs or parameters, and runs it once. Parameters are not updated.
    ///
    /// # Errors
    /// As [`Model::run`] and [`Model::gradient_program`].
    pub fn grad(
        &self,
        options: &Options,
        loss: &str,
        wrt: &[&str],
        arrays: &BTreeMap<String, Array>,
    ) -> Result<Gradients, ModelError> {
        let count = self.program.graph.outputs().len();
        let program = self.gradient_program(loss, wrt)?;
        let mut outputs = self.run_program(program, options, arrays)?;
        let gradients = outputs.split_off(count);
        let gradients = wrt.iter().map(|&name| Name::from(name)).zip(gradients.into_iter().map(|g| g.1)).collect();
        Ok(Gradients { outputs, gradients })
    }

    /// The program that computes the outputs and, behind them, the gradient of the output `loss` by each of `wrt`, and updates nothing. The gradients are
    /// outputs called `grad_NAME`, or, where that is the name of an output, with underlines behind it.
    ///
    /// # Errors
    /// If there is no output `loss` or it is not a float scalar, one of `wrt` is no input or parameter of a float type, or an operation in between has
    /// no derivative.
    pub fn gradient_program(&self, loss: &str, wrt: &[&str]) -> Result<Program, ModelError> {
        let source = &self.program.graph;
        let loss_node = self.output(loss)?;
        let ty = source.ty(loss_node);
        if ty.shape.numel() != 1 {
            return Err(ModelError::NotScalar { name: loss.to_owned(), ty: self.own(loss, ty.clone()) });
        }
        if !ty.dtype.is_float() {
            return Err(ModelError::NotFloat { what: "loss", name: loss.to_owned(), ty: self.own(loss, ty.clone()) });
        }
        let wrt_nodes = wrt.iter().map(|name| self.differentiable(name)).collect::<Result<Vec<_>, _>>()?;
        let mut graph = source.without_results();
        let gradients = grad::grad(&mut graph, loss_node, &wrt_nodes).map_err(|error| self.no_gradient(error))?;
        for output in source.outputs() {
            graph.add_output(output.name.clone(), output.node).expect("the names were distinct before");
        }
        for (&name, gradient) in wrt.iter().zip(gradients) {
            let mut name = format!("grad_{name}");
            while graph.add_output(name.clone(), gradient).is_err() {
                name.push('_');
            }
        }
        Ok(Program::new(graph, self.program.initial.clone()))
    }

    /// The node of an output.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn output(&self, name: &str) -> Result<NodeId, ModelError> {
        let outputs = self.program.graph.outputs();
        let found = outputs.iter().find(|o| *o.name == *name).map(|o| o.node);
        found.ok_or_else(|| ModelError::unknown("output", name, outputs.iter().map(|o| o.name.clone())))
    }

    /// The input or parameter to differentiate by.
    fn differentiable(&self, name: &str) -> Result<NodeId, ModelError> {
        let graph = &self.program.graph;
        let Some(node) = graph.find(name) else {
            if self.fixed.contains_key(name) {
                return Err(ModelError::Fixed { name: name.to_owned() });
            }
            let floats = self.inputs().into_iter().chain(self.params()).filter(|(_, ty)| ty.dtype.is_float());
            return Err(ModelError::unknown("float input or parameter", name, floats.map(|f| f.0)));
        };
        let ty = graph.ty(node);
        if !ty.dtype.is_float() {
            return Err(ModelError::NotFloat {
                what: "input or parameter",
                name: name.to_owned(),
                ty: self.own(name, ty.clone()),
            });
        }
        Ok(node)
    }

    fn no_gradient(&self, error: GradError) -> ModelError {
        // Nodes of the model keep their numbers when gradients are appended.
        let node = error.node();
        let graph = &self.program.graph;
        let node = if graph.contains(node) { graph.node_text(node).to_string() } else { node.to_string() };
        ModelError::Grad { node, error: Box::new(error) }
    }

    fn run_program(
        &self,
        mut program: Program,
        options: &Options,
        arrays: &BTreeMap<String, Array>,
    ) -> Result<Named, ModelError> {
        self.check_arrays(arrays)?;
        self.expect_outputs()?;
        for (name, _) in self.params() {
            if let Some(value) = arrays.get(&*name) {
                program.initial.insert(name, Arc::new(value.clone()));
            }
        }
        self.expect_values(&program, arrays)?;
        let mut executable = program.compile(options)?;
        let inputs = inputs_of(&executable, arrays)?;
        let outputs = executable.run(&inputs)?;
        Ok(outputs.iter().map(|(name, array)| (name.clone(), array.clone())).collect())
    }

    /// Checks that there is something to compute.
    ///
    /// # Errors
    /// If there are no outputs.
    pub fn expect_outputs(&self) -> Result<(), ModelError> {
        if self.program.graph.outputs().is_empty() { Err(ModelError::NoOutputs) } else { Ok(()) }
    }

    /// Checks that every array is called like an input or parameter and typed like it.
    ///
    /// # Errors
    /// If one is not.
    pub fn check_arrays(&self, arrays: &BTreeMap<String, Array>) -> Result<(), ModelError> {
        for (name, array) in arrays {
            if self.fixed.get(name).is_some_and(|fixed| fixed.as_ref() == Some(array)) {
                continue;
            }
            if self.fixed.contains_key(name) {
                return Err(ModelError::Decided { name: name.clone() });
            }
            let graph = &self.program.graph;
            let Some(node) = graph.find(name) else {
                let known = self.inputs().into_iter().chain(self.params());
                return Err(ModelError::unknown("input or parameter", name, known.map(|k| k.0)));
            };
            if *graph.ty(node) != array.ty() {
                let (expected, given) = (self.own(name, graph.ty(node).clone()), array.ty());
                return Err(ModelError::Type { name: name.clone(), expected, given });
            }
            if let Some(element) = self.held(name) {
                let fail = |what| ModelError::Values { name: name.clone(), what };
                convert::expect_inside(array, element).map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Checks that there is an array for each input and a value for each parameter that a program needs.
    fn expect_values(&self, program: &Program, arrays: &BTreeMap<String, Array>) -> Result<(), ModelError> {
        let live = program.graph.live();
        let needed = |name: &Name| program.graph.find(name).is_some_and(|id| live[id.index()]);
        let missing = self.inputs().into_iter().filter(|(name, _)| needed(name) && !arrays.contains_key(&**name));
        let inputs: Vec<(String, ArrayType)> =
            missing.map(|(name, ty)| (name.to_string(), self.own(&name, ty))).collect();
        let is_unset = |name: &Name| self.unset.contains(name) && !program.initial.contains_key(name);
        let unset = self.params().into_iter().filter(|(name, _)| needed(name) && is_unset(name));
        let params: Vec<(String, ArrayType)> = unset.map(|(name, ty)| (name.to_string(), ty.into())).collect();
        match (inputs.is_empty(), params.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(ModelError::Unset { params }),
            (false, _) => Err(ModelError::Missing { inputs, params }),
        }
    }
}

/// The arrays that a run of the executable is given. Arrays for inputs that its outputs do not need are left out.
///
/// # Errors
/// All inputs that are missing.
pub fn inputs_of<'a>(
    executable: &Executable,
    arrays: &'a BTreeMap<String, Array>,
) -> Result<Vec<(&'a str, &'a Array)>, ModelError> {
    let (mut given, mut missing) = (Vec::new(), Vec::new());
    for (name, ty) in executable.inputs() {
        match arrays.get_key_value(&**name) {
            Some((name, array)) => given.push((&**name, array)),
            None => missing.push((name.to_string(), ty.clone().into())),
        }
    }
    if missing.is_empty() { Ok(given) } else { Err(ModelError::Missing { inputs: missing, params: Vec::new() }) }
}

/// How many nodes of each operation the outputs and updates of a graph need.
pub fn operations(graph: &Graph) -> BTreeMap<&'static str, usize> {
    let live = graph.live();
    let mut counts = BTreeMap::new();
    for id in graph.ids().filter(|id| live[id.index()]) {
        if graph.op(id).leaf_name().is_none() {
            *counts.entry(graph.op(id).name()).or_default() += 1;
        }
    }
    counts
}
