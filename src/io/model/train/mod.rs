//! Training of models from files, by the [`Trainer`](crate::train::Trainer).
//!
//! ```text
//!   Learner::read(file, objective)
//!     train_only, freeze            which parameters are trained, beside the rule
//!     examples(arrays by name)      converted to what the model's inputs are
//!     check(examples, batch)        everything that could go wrong while it trains
//!     Trainer::new(|task| learner.loss(task), optimizer).fit(examples)
//!     write(params, file)           the trained model
//! ```
//!
//! A model whose batch normalizations and dropouts are in training mode is trained as it is, and their running statistics follow the batches; it is measured and
//! written with those statistics and without dropout.

mod embed;
mod error;
mod loss;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::array::Array;
use crate::build::{Builder, Tensor};
use crate::data::Examples;
use crate::grad;
use crate::graph::{DType, NodeId, Shape, TensorType};
use crate::io::{ElementType, read_array, read_typed_array};
use crate::runtime::{self, Params};
use crate::train::Task;

use super::convert::{convert, place, with_batch};
use super::role::{Hold, Role, Wishes, expand, roles_of};
use super::{Known, Leaf, Model, ModelError};
use embed::{Embedded, embed};
use error::misfit;
use loss::{Loss, target};
use source::{Source, open};

pub(super) use embed::Following;
pub use error::LearnError;
pub use loss::{LossKind, Objective};

/// A model that is to be trained.
#[derive(Clone, Debug)]
pub struct Learner {
    source: Source,
    objective: Objective,
    inputs: Vec<Leaf>,
    /// Values that parameters begin with in place of those of the file.
    initial: BTreeMap<String, Array>,
    /// The roles of the floating-point parameters, in the order of the file, where nothing is asked for.
    roles: Vec<(String, Role)>,
    wishes: Wishes,
}

/// A loss with what a step does beside making it small.
struct Built<'g> {
    loss: Loss<'g>,
    updates: Vec<(Tensor<'g>, Tensor<'g>)>,
    params: BTreeSet<String>,
}

impl Learner {
    /// Reads a model. `known` gives symbolic extents other than that of the batch, and first values of parameters.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(path: impl AsRef<Path>, known: &Known, objective: Objective) -> Result<Learner, LearnError> {
        let path = path.as_ref();
        let (source, inputs) = open(path, known)?;
        let roles = match &source {
            Source::Text(model) => roles_of(model),
            #[cfg(feature = "onnx")]
            Source::Onnx { model, .. } => super::onnx::roles(model),
        };
        let initial = known.arrays.clone();
        Ok(Learner { source, objective, inputs, initial, roles, wishes: Wishes::default() })
    }

    /// Trains these parameters and no others. A word is a name or several with commas between, in which `*` stands for any characters.
    ///
    /// # Errors
    /// If a word means no floating-point parameter.
    pub fn train_only(mut self, words: &[String]) -> Result<Learner, LearnError> {
        let names = expand(words, &self.names())?;
        self.wishes.add_only(names);
        Ok(self)
    }

    /// Does not train these parameters; words are as those of [`Learner::train_only`].
    ///
    /// # Errors
    /// As [`Learner::train_only`].
    pub fn freeze(mut self, words: &[String]) -> Result<Learner, LearnError> {
        let names = expand(words, &self.names())?;
        self.wishes.add_frozen(names);
        Ok(self)
    }

    fn names(&self) -> Vec<String> {
        self.roles.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The role of a parameter on which the loss depends. States that are no parameters of the file, such as random keys, follow.
    fn role(&self, name: &str) -> Role {
        let ruled = self.roles.iter().find(|(n, _)| n == name).map_or(Role::Followed, |r| r.1);
        self.wishes.apply(name, ruled)
    }

    /// What training on batches of this size does with each of the floating-point parameters, in the order of the file.
    ///
    /// # Errors
    /// As [`Learner::check`].
    pub fn roles(&self, examples: &Examples, batch: usize) -> Result<Vec<(String, Role)>, LearnError> {
        let g = Builder::new();
        let built = self.build_on(&g, &types_of(examples), batch, Some(0))?;
        let role = |name: &String| if built.params.contains(name) { self.role(name) } else { Role::Held(Hold::Unused) };
        Ok(self.roles.iter().map(|(name, _)| (name.clone(), role(name))).collect())
    }

    /// What is to be said of the model's batch normalizations and dropouts before it is trained, a line each.
    pub fn remarks(&self) -> Vec<String> {
        match &self.source {
            Source::Text(_) => Vec::new(),
            #[cfg(feature = "onnx")]
            Source::Onnx { model, .. } => super::onnx::remarks(model),
        }
    }

    /// The only size of batch that the model takes, if there is one.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.inputs.iter().find_map(|input| *input.dims.as_ref()?.first()?)
    }

    /// Reads an array of data, as [`read_array`](crate::io::read_array) does. For an input of integers of 64 bits without a sign, it is held as those are.
    ///
    /// # Errors
    /// As that, and if a number is none of that type.
    pub fn read_data(&self, name: &str, source: &str) -> Result<Array, LearnError> {
        let is_unsigned = |input: &Leaf| input.name == name && input.element == Some(ElementType::U64);
        if !self.inputs.iter().any(is_unsigned) {
            return Ok(read_array(source)?);
        }
        let (array, from) = read_typed_array(source)?;
        convert(array, from, Some(ElementType::U64), None).map_err(|what| misfit(name, what))
    }

    /// The examples of these arrays, whose first axes count them: converted to the element types of the model's inputs, and reshaped where the shape of an example
    /// differs from the input's only in its axes. Integers may become floats; floats may become integers if they are whole.
    ///
    /// # Errors
    /// If an input has no array, there is not one target for a loss that needs one, or an array does not fit: its shape, a number that the model's element
    /// type does not hold, a label that is no class, or a probability that is none.
    pub fn examples(&self, arrays: BTreeMap<String, Array>) -> Result<Examples, LearnError> {
        let mut columns = Vec::new();
        let mut targets = Vec::new();
        for (name, array) in arrays {
            let declared = self.inputs.iter().find(|input| input.name == name);
            if array.shape().rank() == 0 {
                return Err(misfit(&name, "a scalar holds no examples"));
            }
            match declared {
                None => targets.push((name, array)),
                Some(input) => {
                    let dims = input.dims.as_ref().and_then(|dims| dims.get(1..));
                    let example = dims.and_then(|dims| dims.iter().copied().collect::<Option<Shape>>());
                    // Numbers of 64 bits without a sign come as they are held.
                    let is_held = input.element == Some(ElementType::U64) && array.dtype() == DType::I64;
                    let from = if is_held { ElementType::U64 } else { array.dtype().into() };
                    let converted = convert(array, from, input.element, example.as_ref());
                    let converted = converted.map_err(|what| misfit(&name, what))?;
                    columns.push((name, converted));
                }
            }
        }
        let names = |list: &[(String, Array)]| list.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let inputs = || self.inputs.iter().map(|input| input.name.clone()).collect();
        match (&self.objective, targets.len()) {
            (Objective::Output(_), 0) => {}
            (Objective::Output(_), _) => {
                return Err(LearnError::Target { expected: "no array", found: names(&targets), inputs: inputs() });
            }
            (Objective::Of { .. }, 1) => {}
            (Objective::Of { .. }, _) => {
                return Err(LearnError::Target {
                    expected: "one array, the target,",
                    found: names(&targets),
                    inputs: inputs(),
                });
            }
        }
        self.expect_choices(&columns)?;
        if let (Objective::Of { output, loss }, Some((name, array))) = (&self.objective, targets.pop()) {
            let batch = self.fixed_batch().unwrap_or(1);
            let model = self.model_for(&columns, batch)?;
            let ty = model.program().graph.ty(model.output(output)?).clone();
            let target = target(&name, array, &ty, batch, *loss, output)?;
            columns.push((name, target));
        }
        Ok(Examples::new(columns)?)
    }

    /// Checks that integers of inputs with which the model chooses, such as labels and tokens, choose what there is.
    fn expect_choices(&self, columns: &[(String, Array)]) -> Result<(), LearnError> {
        if !columns.iter().any(|(_, array)| array.dtype().is_int()) {
            return Ok(());
        }
        // What cannot be imported yet is told later, with what is missing.
        let outside = |batch| {
            let model = self.model_for(columns, batch).ok()?;
            let found = runtime::outside_choices(&model.program().graph, columns);
            found.map(|(name, position, extent)| (name.to_string(), position, extent))
        };
        let fixed = self.fixed_batch();
        let Some((name, position, extent)) = outside(fixed.unwrap_or(1)) else { return Ok(()) };
        // What is chosen among the examples of a batch depends on its size.
        if fixed.is_none() && outside(3) != Some((name.clone(), position, extent)) {
            return Ok(());
        }
        let (_, array) = columns.iter().find(|(n, _)| *n == name).expect("it was found in this column");
        let (at, value) = (place(array.shape(), position), array.get_f64(position));
        Err(misfit(&name, format!("{at} holds {value}, with which the model chooses among {extent}")))
    }

    fn model_for(&self, columns: &[(String, Array)], batch: usize) -> Result<Model, LearnError> {
        let types = columns.iter().map(|(n, a)| (n.clone(), TensorType::new(a.dtype(), &a.shape()[1..]))).collect();
        Ok(self.model(batch, &types, Some(0))?.0)
    }

    /// Checks that the model takes batches of this size.
    ///
    /// # Errors
    /// If it is made for another.
    pub fn expect_batch(&self, batch: usize) -> Result<(), LearnError> {
        match self.fixed_batch() {
            Some(fixed) if fixed != batch => Err(LearnError::Batch { fixed, given: batch }),
            _ => Ok(()),
        }
    }

    /// Checks that the model can be trained on batches of this size: that it can be imported for it, and that the loss has a gradient.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self, examples: &Examples, batch: usize) -> Result<(), LearnError> {
        self.expect_batch(batch)?;
        let types = types_of(examples);
        if self.differs_in_inference() {
            self.build_on(&Builder::new(), &types, batch, None)?;
        }
        let g = Builder::new();
        let Built { loss: Loss { loss, .. }, params, .. } = self.build_on(&g, &types, batch, Some(0))?;
        let trained: Vec<NodeId> = g.params().into_iter().filter(|p| p.dtype().is_float()).map(|p| p.id()).collect();
        if trained.is_empty() {
            let held = params.iter().map(|name| format!("{name} ({})", self.role(name))).collect();
            return Err(LearnError::NoParameters { held });
        }
        let mut graph = g.graph().clone();
        grad::grad(&mut graph, loss.id(), &trained).map_err(|error| {
            let node = g.graph().node_text(error.node()).to_string();
            LearnError::from(ModelError::Grad { node, error: Box::new(error) })
        })?;
        Ok(())
    }

    /// True if the model is another where it is not trained.
    fn differs_in_inference(&self) -> bool {
        match &self.source {
            Source::Text(_) => false,
            #[cfg(feature = "onnx")]
            Source::Onnx { inference, .. } => inference.is_some(),
        }
    }

    /// [`Learner::check`] for all batches of the examples: those of this size, or as many as there are, and the last one, which holds what is left.
    ///
    /// # Errors
    /// As [`Learner::check`].
    pub fn check_all(&self, examples: &Examples, batch: usize) -> Result<(), LearnError> {
        let whole = if self.fixed_batch().is_some() { batch } else { batch.min(examples.len()) };
        self.check(examples, whole)?;
        match examples.len() % batch {
            rest if rest > 0 && rest < whole && self.fixed_batch().is_none() => self.check(examples, rest),
            _ => Ok(()),
        }
    }

    /// The loss for a trainer's task; of a classifier, the accuracy is measured too. In training, statistics that follow the batches are updated.
    ///
    /// # Panics
    /// If [`Learner::check`] would fail for the size of the task's batches.
    #[track_caller]
    pub fn loss<'g>(&self, task: &mut Task<'g>, examples: &Examples) -> Tensor<'g> {
        let (builder, batch, training) = (task.builder(), task.batch(), task.is_training());
        let training = training.then(|| task.path().seed_of("dropout_key"));
        let built = self.build(builder, batch, &types_of(examples), training, &mut |name| task.input(name));
        let Built { loss: Loss { loss, classes }, updates, .. } =
            built.unwrap_or_else(|error| panic!("Learner::loss: {error}"));
        for (state, value) in updates {
            task.context().update(state, value);
        }
        if let Some((logits, labels)) = classes {
            task.accuracy(logits, labels);
        }
        loss
    }

    /// Checks that a file of this name is called like what [`Learner::write`] writes.
    ///
    /// # Errors
    /// If it has an extension that is not that of the format.
    pub fn expect_output(&self, path: impl AsRef<Path>) -> Result<(), LearnError> {
        let path = path.as_ref();
        let (expected, what) = match &self.source {
            Source::Text(_) => {
                ("safetensors", "of a graph in the text form the parameters are written, as .safetensors")
            }
            #[cfg(feature = "onnx")]
            Source::Onnx { .. } => ("onnx", "an ONNX model is written as ONNX, .onnx"),
        };
        match path.extension() {
            Some(extension) if !extension.eq_ignore_ascii_case(expected) => {
                Err(LearnError::Extension { file: path.display().to_string(), what })
            }
            _ => Ok(()),
        }
    }

    /// Writes the model with these values of its parameters: as ONNX if it was read from that, else as a safetensors file of the parameters.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, params: &Params, path: impl AsRef<Path>) -> Result<(), LearnError> {
        let path = path.as_ref();
        let values: Vec<(String, Array)> = self.trained(params);
        match &self.source {
            #[cfg(feature = "safetensors")]
            Source::Text(_) => {
                Ok(super::super::safetensors::write(path, values.iter().map(|(name, value)| (&**name, value)))?)
            }
            #[cfg(not(feature = "safetensors"))]
            Source::Text(_) => {
                let _ = (path, values);
                Err(LearnError::Output("parameters are written by the feature `safetensors`".to_owned()))
            }
            #[cfg(feature = "onnx")]
            Source::Onnx { model, inference, .. } => {
                let values = values.iter().map(|(name, value)| (&**name, value.clone()));
                let written = inference.as_ref().unwrap_or(model);
                let trained = written.with_initializers(values).map_err(|e| LearnError::Output(e.to_string()))?;
                trained.write(path).map_err(|e| LearnError::Output(e.to_string()))
            }
        }
    }

    /// The values of the model's own parameters; states of the optimizer are not among them.
    pub fn trained(&self, params: &Params) -> Vec<(String, Array)> {
        let names: Vec<String> = match &self.source {
            Source::Text(model) => model.params().into_iter().map(|(name, _)| name.to_string()).collect(),
            #[cfg(feature = "onnx")]
            Source::Onnx { model, .. } => model.initializers().into_iter().map(|d| d.name).collect(),
        };
        names.into_iter().filter_map(|name| params.get(&name).ok().map(|value| (name, value))).collect()
    }

    /// The model for a size of batch, in training with a seed of random numbers or not, and the parameters that follow the batches.
    fn model(
        &self,
        batch: usize,
        types: &BTreeMap<String, TensorType>,
        training: Option<u64>,
    ) -> Result<(Model, Vec<Following>), LearnError> {
        let (mut model, following) = match &self.source {
            // It is made for one size of batch.
            Source::Text(model) => {
                let _ = (batch, types, training);
                (Model::clone(model), Vec::new())
            }
            #[cfg(feature = "onnx")]
            Source::Onnx { model, inference, file, dims } => {
                let shapes = types.iter().map(|(name, ty)| (name.clone(), with_batch(batch, &ty.shape))).collect();
                let model = inference.as_ref().filter(|_| training.is_none()).unwrap_or(model);
                let missing = self.missing(types);
                match super::onnx::for_shapes(model, file, dims, &shapes, training) {
                    Err(_) if !missing.is_empty() => return Err(LearnError::Missing(missing)),
                    loaded => loaded?,
                }
            }
        };
        let graph = &model.program().graph;
        let is_unused = |name: &String| graph.find(name).is_none() && self.roles.iter().any(|(n, _)| n == name);
        let used: Vec<_> = self.initial.iter().filter(|(name, _)| !is_unused(name)).collect();
        for (name, value) in used {
            model.set_param(name, value.clone())?;
        }
        Ok((model, following))
    }

    /// The inputs whose shapes neither the file nor the data tell.
    #[cfg(feature = "onnx")]
    fn missing(&self, types: &BTreeMap<String, TensorType>) -> Vec<String> {
        let is_open = |input: &&Leaf| input.dims.as_ref().is_none_or(|dims| dims.contains(&None));
        let missing = self.inputs.iter().filter(|input| !types.contains_key(&input.name)).filter(is_open);
        let typed = |input: &Leaf| match input.element {
            Some(element) => format!("{} ({element})", input.name),
            None => input.name.clone(),
        };
        missing.map(typed).collect()
    }

    /// Builds the loss with inputs of its own.
    fn build_on<'g>(
        &self,
        g: &'g Builder,
        types: &BTreeMap<String, TensorType>,
        batch: usize,
        training: Option<u64>,
    ) -> Result<Built<'g>, LearnError> {
        self.build(g, batch, types, training, &mut |name| {
            let ty = &types[name];
            g.input(name, TensorType::new(ty.dtype, with_batch(batch, &ty.shape)))
        })
    }

    /// Builds the loss for a size of batch, with inputs and target from `input`.
    fn build<'g>(
        &self,
        g: &'g Builder,
        batch: usize,
        types: &BTreeMap<String, TensorType>,
        training: Option<u64>,
        input: &mut dyn FnMut(&str) -> Tensor<'g>,
    ) -> Result<Built<'g>, LearnError> {
        let (model, following) = self.model(batch, types, training)?;
        let node = model.output(self.objective.output())?;
        let role = |name: &str| self.role(name);
        let Embedded { output, updates, params } = embed(&model, node, &following, &role, g, types, input)?;
        let Objective::Of { loss, .. } = &self.objective else {
            if output.shape().numel() != 1 {
                let (name, ty) = (self.objective.output().to_owned(), output.ty().into());
                return Err(ModelError::NotScalar { name, ty }.into());
            }
            let loss = Loss { loss: output.reshape(Shape::scalar()), classes: None };
            return Ok(Built { loss, updates, params });
        };
        let is_input = |name: &&String| self.inputs.iter().any(|i| i.name == **name);
        let name = types.keys().find(|name| !is_input(name)).expect("examples have a target");
        let target = input(name);
        Ok(Built { loss: loss.of(output, target), updates, params })
    }
}

/// The types of one example by column.
fn types_of(examples: &Examples) -> BTreeMap<String, TensorType> {
    examples.types().map(|(name, ty)| (name.to_owned(), ty)).collect()
}
