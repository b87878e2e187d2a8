//! Training of models from files, by the [`Trainer`](crate::train::Trainer).
//!
//! ```text
//!   Learner::read(file, objective)
//!     examples(arrays by name)      converted to what the model's inputs are
//!     check(examples, batch)        everything that could go wrong while it trains
//!     Trainer::new(|task| learner.loss(task), optimizer).fit(examples)
//!     write(params, file)           the trained model
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use crate::array::Array;
use crate::build::{Builder, Tensor};
use crate::data::{DataError, Examples};
use crate::grad;
use crate::graph::{DType, Name, NodeId, Shape, TensorType};
use crate::prim::{Op, ParamKind};
use crate::runtime::Params;
use crate::train::Task;

use super::super::FileError;
use super::load::read_bytes;
use super::{Format, Known, LoadError, Model, ModelError};

/// A loss of an output and a target, the mean over the examples of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossKind {
    /// The output holds logits `[batch, .., classes]`, the target numbers of classes, or probabilities of them.
    CrossEntropy,
    /// The mean of squared differences.
    Mse,
    /// The output holds probabilities, the target probabilities or 0 and 1.
    Bce,
    /// The output holds logits, the target probabilities or 0 and 1.
    BceWithLogits,
}

impl LossKind {
    /// Every kind.
    pub const ALL: [LossKind; 4] = [LossKind::CrossEntropy, LossKind::Mse, LossKind::Bce, LossKind::BceWithLogits];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            LossKind::CrossEntropy => "cross_entropy",
            LossKind::Mse => "mse",
            LossKind::Bce => "bce",
            LossKind::BceWithLogits => "bce_with_logits",
        }
    }
}

/// What is to become small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objective {
    /// An output of the model, a float scalar that is a mean over the batch.
    Output(String),
    /// A loss of an output; the target is the array of the data that is no input of the model.
    Of {
        /// The output.
        output: String,
        /// The loss.
        loss: LossKind,
    },
}

impl Objective {
    fn output(&self) -> &str {
        match self {
            Objective::Output(output) | Objective::Of { output, .. } => output,
        }
    }
}

/// Why a model cannot be trained on these arrays.
#[derive(thiserror::Error)]
pub enum LearnError {
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A name that the model lacks, or a loss without gradient.
    #[error(transparent)]
    Model(Box<ModelError>),
    /// The arrays are no examples.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// An array that does not fit the model.
    #[error("data `{name}`: {what}")]
    Array {
        /// The array's name.
        name: String,
        /// What was found, and what was expected.
        what: String,
    },
    /// Inputs without data.
    #[error("no data for the inputs: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// More or fewer arrays than one that are no inputs of the model.
    #[error(
        "expected {expected} that is no input of the model, found {}; the inputs are: {}",
        if .found.is_empty() { "none".to_owned() } else { .found.join(", ") },
        .inputs.join(", ")
    )]
    Target {
        /// `one array, the target,` or `no array`.
        expected: &'static str,
        /// The arrays.
        found: Vec<String>,
        /// The names of the inputs.
        inputs: Vec<String>,
    },
    /// A model for batches of one size.
    #[error(
        "the model is made for batches of {fixed} examples, not {given}: train with that, or export it with a symbolic first axis"
    )]
    Batch {
        /// The size that it is made for.
        fixed: usize,
        /// The size asked for.
        given: usize,
    },
    /// The loss depends on nothing that can be trained.
    #[error("the loss depends on no parameter")]
    NoParameters,
    /// The trained model cannot be written as asked.
    #[error("{0}")]
    Output(String),
}

crate::error::debug_as_display!(LearnError);

impl From<ModelError> for LearnError {
    fn from(error: ModelError) -> LearnError {
        LearnError::Model(Box::new(error))
    }
}

fn misfit(name: &str, what: impl Into<String>) -> LearnError {
    LearnError::Array { name: name.to_owned(), what: what.into() }
}

/// An input as the file declares it.
#[derive(Clone, Debug)]
struct Declared {
    name: String,
    dtype: Option<DType>,
    /// The extents, as far as they are known.
    dims: Option<Vec<Option<usize>>>,
}

/// A model's file.
#[derive(Clone, Debug)]
enum Source {
    Text(Box<Model>),
    #[cfg(feature = "onnx")]
    Onnx {
        model: Box<crate::io::onnx::Model>,
        file: String,
        dims: BTreeMap<String, usize>,
    },
}

/// A model that is to be trained.
#[derive(Clone, Debug)]
pub struct Learner {
    source: Source,
    objective: Objective,
    inputs: Vec<Declared>,
    /// Values that parameters begin with in place of those of the file.
    initial: BTreeMap<String, Array>,
}

/// A loss, and for a classifier its logits with the labels.
struct Loss<'g> {
    loss: Tensor<'g>,
    classes: Option<(Tensor<'g>, Tensor<'g>)>,
}

impl Learner {
    /// Reads a model. `known` gives symbolic extents other than that of the batch, and first values of parameters.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(path: impl AsRef<Path>, known: &Known, objective: Objective) -> Result<Learner, LearnError> {
        let path = path.as_ref();
        let (source, inputs) = open(path, known)?;
        let initial = known.arrays.clone();
        Ok(Learner { source, objective, inputs, initial })
    }

    /// The only size of batch that the model takes, if there is one.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.inputs.iter().find_map(|input| *input.dims.as_ref()?.first()?)
    }

    /// The examples of these arrays, whose first axes count them: converted to the element types of the model's inputs, and reshaped where the shape of an example
    /// differs from the input's only in its axes. Integers may become floats; floats may become integers if they are whole.
    ///
    /// # Errors
    /// If an input has no array, there is not one target for a loss that needs one, or an array does not fit.
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
                    let converted = convert(&name, array, input.dtype, example.as_ref())?;
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
        if let (Objective::Of { output, loss }, Some((name, array))) = (&self.objective, targets.pop()) {
            let types = columns.iter().map(|(n, a)| (n.clone(), TensorType::new(a.dtype(), &a.shape()[1..]))).collect();
            let batch = self.fixed_batch().unwrap_or(1);
            let model = self.model(batch, &types)?;
            let ty = model.program().graph.ty(model.output(output)?).clone();
            let target = target(&name, array, &ty, batch, *loss, output)?;
            columns.push((name, target));
        }
        Ok(Examples::new(columns)?)
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
        let g = Builder::new();
        let types: BTreeMap<String, TensorType> = examples.types().map(|(name, ty)| (name.to_owned(), ty)).collect();
        let Loss { loss, .. } = self.build(&g, batch, &types, &mut |name| {
            let ty = &types[name];
            g.input(name, TensorType::new(ty.dtype, with_batch(batch, &ty.shape)))
        })?;
        let params: Vec<NodeId> = g.params().into_iter().filter(|p| p.dtype().is_float()).map(|p| p.id()).collect();
        if params.is_empty() {
            return Err(LearnError::NoParameters);
        }
        let mut graph = g.graph().clone();
        grad::grad(&mut graph, loss.id(), &params).map_err(|error| {
            let node = g.graph().node_text(error.node()).to_string();
            LearnError::from(ModelError::Grad { node, error: Box::new(error) })
        })?;
        Ok(())
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

    /// The loss for a trainer's task; of a classifier, the accuracy is measured too.
    ///
    /// # Panics
    /// If [`Learner::check`] would fail for the size of the task's batches.
    #[track_caller]
    pub fn loss<'g>(&self, task: &mut Task<'g>, examples: &Examples) -> Tensor<'g> {
        let types = examples.types().map(|(name, ty)| (name.to_owned(), ty)).collect();
        let (builder, batch) = (task.builder(), task.batch());
        let built = self.build(builder, batch, &types, &mut |name| task.input(name));
        let Loss { loss, classes } = built.unwrap_or_else(|error| panic!("Learner::loss: {error}"));
        if let Some((logits, labels)) = classes {
            task.accuracy(logits, labels);
        }
        loss
    }

    /// Checks that a file of this name is called like what [`Learner::write`] writes.
    ///
    /// # Errors
    /// If it ends in `.onnx` and is to hold parameters, or in `.safetensors` and is to hold a model.
    pub fn expect_output(&self, path: impl AsRef<Path>) -> Result<(), LearnError> {
        let path = path.as_ref();
        let (other, what) = match &self.source {
            Source::Text(_) => ("onnx", "of a graph in the text form the parameters are written, as safetensors"),
            #[cfg(feature = "onnx")]
            Source::Onnx { .. } => ("safetensors", "an ONNX model is written as ONNX"),
        };
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case(other) => {
                Err(LearnError::Output(format!("{}: {what}", path.display())))
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
            Source::Onnx { model, .. } => {
                let values = values.iter().map(|(name, value)| (&**name, value.clone()));
                let trained = model.with_initializers(values).map_err(|e| LearnError::Output(e.to_string()))?;
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

    /// The model for a size of batch.
    fn model(&self, batch: usize, types: &BTreeMap<String, TensorType>) -> Result<Model, LearnError> {
        let mut model = match &self.source {
            // It is made for one size of batch.
            Source::Text(model) => {
                let _ = (batch, types);
                Model::clone(model)
            }
            #[cfg(feature = "onnx")]
            Source::Onnx { model, file, dims } => {
                let shapes = types.iter().map(|(name, ty)| (name.clone(), with_batch(batch, &ty.shape))).collect();
                super::onnx::for_shapes(model, file, dims, &shapes)?
            }
        };
        for (name, value) in &self.initial {
            model.set_param(name, value.clone())?;
        }
        Ok(model)
    }

    /// Builds the loss for a size of batch, with inputs and target from `input`.
    fn build<'g>(
        &self,
        g: &'g Builder,
        batch: usize,
        types: &BTreeMap<String, TensorType>,
        input: &mut dyn FnMut(&str) -> Tensor<'g>,
    ) -> Result<Loss<'g>, LearnError> {
        let model = self.model(batch, types)?;
        let node = model.output(self.objective.output())?;
        let output = embed(&model, node, g, types, input)?;
        let Objective::Of { loss, .. } = &self.objective else {
            if output.shape().numel() != 1 {
                let (name, ty) = (self.objective.output().to_owned(), output.ty());
                return Err(ModelError::NotScalar { name, ty }.into());
            }
            return Ok(Loss { loss: output.reshape(Shape::scalar()), classes: None });
        };
        let is_input = |name: &&String| self.inputs.iter().any(|i| i.name == **name);
        let name = types.keys().find(|name| !is_input(name)).expect("examples have a target");
        let target = input(name);
        Ok(match loss {
            LossKind::CrossEntropy if target.dtype().is_float() => {
                Loss { loss: output.cross_entropy_soft(target, Default::default()).mean(), classes: None }
            }
            LossKind::CrossEntropy => {
                Loss { loss: output.cross_entropy(target).mean(), classes: Some((output, target)) }
            }
            LossKind::Mse => Loss { loss: output.mse(target), classes: None },
            LossKind::Bce => Loss { loss: output.bce(target).mean(), classes: None },
            LossKind::BceWithLogits => Loss { loss: output.bce_with_logits(target).mean(), classes: None },
        })
    }
}

fn open(path: &Path, known: &Known) -> Result<(Source, Vec<Declared>), LoadError> {
    match Format::of(&read_bytes(path)?) {
        Format::Text => {
            let model = Model::read(path, known)?;
            let declared = |(name, ty): (Name, TensorType)| Declared {
                name: name.to_string(),
                dtype: Some(ty.dtype),
                dims: Some(ty.shape.iter().map(|&d| Some(d)).collect()),
            };
            let inputs = model.inputs().into_iter().map(declared).collect();
            Ok((Source::Text(Box::new(model)), inputs))
        }
        Format::Onnx => open_onnx(path, known),
    }
}

#[cfg(not(feature = "onnx"))]
fn open_onnx(path: &Path, _: &Known) -> Result<(Source, Vec<Declared>), LoadError> {
    Err(LoadError::NoOnnx { file: path.display().to_string() })
}

#[cfg(feature = "onnx")]
fn open_onnx(path: &Path, known: &Known) -> Result<(Source, Vec<Declared>), LoadError> {
    use crate::io::onnx::Dim;
    let model = super::onnx::source(path)?;
    super::onnx::expect_dims(&model, known).map_err(|error| LoadError::Given(Box::new(error)))?;
    let extent = |dim: Dim| match dim {
        Dim::Extent(n) => Some(n),
        Dim::Symbol(name) => known.dims.get(&name).copied(),
        Dim::Unknown => None,
    };
    let declared = |input: crate::io::onnx::Declared| Declared {
        name: input.name,
        dtype: input.element.and_then(|element| element.dtype()),
        dims: input.dims.map(|dims| dims.into_iter().map(extent).collect()),
    };
    let inputs = model.inputs().into_iter().map(declared).collect();
    let (file, dims) = (path.display().to_string(), known.dims.clone());
    Ok((Source::Onnx { model: Box::new(model), file, dims }, inputs))
}

fn with_batch(batch: usize, example: &Shape) -> Shape {
    std::iter::once(batch).chain(example.iter().copied()).collect()
}

/// Appends the nodes of a model that an output needs, with parameters of the same names.
fn embed<'g>(
    model: &Model,
    output: NodeId,
    g: &'g Builder,
    types: &BTreeMap<String, TensorType>,
    input: &mut dyn FnMut(&str) -> Tensor<'g>,
) -> Result<Tensor<'g>, LearnError> {
    let graph = &model.program().graph;
    let mut needed = vec![false; output.index() + 1];
    needed[output.index()] = true;
    for id in graph.ids().take(output.index() + 1).rev() {
        if needed[id.index()] {
            graph.operands(id).iter().for_each(|o| needed[o.index()] = true);
        }
    }
    let mut tensors: BTreeMap<NodeId, Tensor<'g>> = BTreeMap::new();
    let mut missing = Vec::new();
    for id in graph.ids().take(output.index() + 1).filter(|id| needed[id.index()]) {
        let ty = graph.ty(id);
        let tensor = match graph.op(id) {
            Op::Input(i) if types.contains_key(&*i.name) => {
                let tensor = input(&i.name);
                if tensor.ty() != *ty {
                    return Err(misfit(&i.name, format!("a batch is {}, the model takes {ty}", tensor.ty())));
                }
                tensor
            }
            Op::Input(i) => {
                missing.push(format!("{} ({ty})", i.name));
                g.zeros(ty.clone())
            }
            Op::Param(p) => {
                let value = model.program().initial.get(&p.name).cloned();
                let Some(value) = value.filter(|_| !model.unset.contains(&p.name)) else {
                    return Err(ModelError::Unset { params: vec![(p.name.to_string(), ty.clone())] }.into());
                };
                match p.kind {
                    ParamKind::Trainable => g.param(&p.name, Array::clone(&value)),
                    ParamKind::State => g.state(&p.name, Array::clone(&value)),
                }
            }
            op => {
                let operands: Vec<Tensor<'g>> = graph.operands(id).iter().map(|o| tensors[o]).collect();
                g.try_push(op.clone(), &operands).expect("the model's graph holds the same operation")
            }
        };
        tensors.insert(id, tensor);
    }
    if missing.is_empty() { Ok(tensors[&output]) } else { Err(LearnError::Missing(missing)) }
}

/// The target of a loss of an output that is `ty` for batches of `batch`.
fn target(
    name: &str,
    array: Array,
    ty: &TensorType,
    batch: usize,
    loss: LossKind,
    output: &str,
) -> Result<Array, LearnError> {
    if ty.shape.first() != Some(&batch) {
        return Err(misfit(name, format!("output `{output}` is {ty}, whose first axis does not count examples")));
    }
    let example = Shape::from(&ty.shape[1..]);
    if loss != LossKind::CrossEntropy {
        let per_example: usize = array.shape()[1..].iter().product();
        if per_example != example.numel() {
            let given = Shape::from(&array.shape()[1..]);
            return Err(misfit(name, format!("an example has shape {given}, output `{output}` has {example}")));
        }
        return convert(name, array, Some(ty.dtype), Some(&example));
    }
    let Some((&classes, places)) = ty.shape[1..].split_last() else {
        return Err(misfit(name, format!("output `{output}` is {ty}, expected logits [batch, .., classes]")));
    };
    let per_example: usize = array.shape()[1..].iter().product();
    if array.dtype().is_float() && per_example == example.numel() && classes > 1 {
        return convert(name, array, Some(ty.dtype), Some(&example));
    }
    if per_example != places.iter().product::<usize>() {
        let (given, places) = (Shape::from(&array.shape()[1..]), Shape::from(places));
        let what = format!(
            "an example has shape {given}, expected numbers of classes, of shape {places}, or probabilities, of shape {example}"
        );
        return Err(misfit(name, what));
    }
    // One type for all labels: what is trained does not depend on the type in the file.
    let labels = convert(name, array, Some(DType::I32), Some(&Shape::from(places)))?;
    let outside = |&i: &usize| !(0.0..classes as f64).contains(&labels.get_f64(i));
    match (0..labels.shape().numel()).find(outside) {
        None => Ok(labels),
        Some(i) => {
            let what = format!(
                "label {} at position {i} is none of the {classes} classes of output `{output}`",
                labels.get_f64(i)
            );
            Err(misfit(name, what))
        }
    }
}

/// The array with another element type and other axes behind the first.
fn convert(name: &str, array: Array, dtype: Option<DType>, example: Option<&Shape>) -> Result<Array, LearnError> {
    let array = match dtype {
        Some(dtype) if dtype != array.dtype() => cast(name, &array, dtype)?,
        _ => array,
    };
    let Some(example) = example.filter(|example| array.shape()[1..] != example[..]) else { return Ok(array) };
    let per_example: usize = array.shape()[1..].iter().product();
    if per_example != example.numel() {
        return Err(misfit(
            name,
            format!("an example has shape {}, the model takes {example}", Shape::from(&array.shape()[1..])),
        ));
    }
    let shape = with_batch(array.shape()[0], example);
    Ok(array.reshaped(shape).expect("the counts of elements are equal"))
}

/// The same numbers in another element type.
fn cast(name: &str, array: &Array, dtype: DType) -> Result<Array, LearnError> {
    let values = array.to_f64_vec();
    let range = match dtype {
        DType::Bool => Some((0.0, 1.0)),
        DType::U8 => Some((0.0, f64::from(u8::MAX))),
        DType::I32 => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
        DType::U32 => Some((0.0, f64::from(u32::MAX))),
        DType::I64 => Some((-9.0e15, 9.0e15)),
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => None,
    };
    let holds = |v: f64| range.is_none_or(|(low, high)| v.fract() == 0.0 && (low..=high).contains(&v));
    if let Some(at) = values.iter().position(|&v| !holds(v)) {
        return Err(misfit(name, format!("{} at position {at} is no {dtype}, which the model takes", values[at])));
    }
    let shape = array.shape();
    let array = match dtype {
        DType::Bool => Array::new(shape, values.into_iter().map(|v| v != 0.0).collect::<Vec<bool>>()),
        DType::U8 => Array::new(shape, values.into_iter().map(|v| v as u8).collect()),
        DType::I32 => Array::new(shape, values.into_iter().map(|v| v as i32).collect()),
        DType::U32 => Array::new(shape, values.into_iter().map(|v| v as u32).collect()),
        DType::I64 => Array::new(shape, values.into_iter().map(|v| v as i64).collect()),
        DType::F16 => Array::new(shape, values.into_iter().map(half::f16::from_f64).collect()),
        DType::BF16 => Array::new(shape, values.into_iter().map(half::bf16::from_f64).collect()),
        DType::F32 => Array::new(shape, values.into_iter().map(|v| v as f32).collect()),
        DType::F64 => Array::new(shape, values),
    };
    Ok(array.expect("as many elements as before"))
}
