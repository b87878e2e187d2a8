//! What a model is written with: inputs typed by the data, and a place for measures and results.

use crate::build::{Builder, Tensor};
use crate::graph::{DType, TensorType};
use crate::nn::{Context, Path};
use crate::train::metrics::{self, Fold, Metric};

/// A model under construction for one size of batch, for training or for inference.
///
/// A [`Trainer`](super::Trainer)'s model is a function of it that gives the loss, a scalar that is a mean over the examples of the batch:
///
/// ```
/// use cotangent::nn::{Linear, Module};
/// use cotangent::prelude::*;
/// use cotangent::train::Task;
///
/// fn model<'g>(task: &mut Task<'g>) -> Tensor<'g> {
///     let (x, y) = (task.input("x"), task.input("y"));
///     let logits = Linear::new(&task.at("fc"), 64, 10).forward(x.flatten(1..), task.context());
///     task.accuracy(logits, y);
///     task.output("class", logits.argmax(-1));
///     logits.cross_entropy(y).mean()
/// }
/// ```
#[derive(Debug)]
pub struct Task<'g> {
    builder: &'g Builder,
    path: Path<'g>,
    context: Context<'g>,
    types: Vec<(String, TensorType)>,
    declared: Vec<(String, Tensor<'g>)>,
    batch: usize,
    pub(super) metrics: Vec<Metric<'g>>,
    pub(super) outputs: Vec<(String, Tensor<'g>)>,
}

impl<'g> Task<'g> {
    /// A task for batches of `batch` examples with parts of these types.
    pub(super) fn new(
        builder: &'g Builder,
        types: Vec<(String, TensorType)>,
        batch: usize,
        training: bool,
        seed: u64,
    ) -> Task<'g> {
        let path = Path::root(builder).seed(seed);
        let context = if training { Context::train(&path) } else { Context::infer() };
        Task { builder, path, context, types, declared: Vec::new(), batch, metrics: Vec::new(), outputs: Vec::new() }
    }

    /// The builder.
    pub fn builder(&self) -> &'g Builder {
        self.builder
    }

    /// The root of the parameters' names.
    pub fn path(&self) -> &Path<'g> {
        &self.path
    }

    /// The place `name` for parameters of a layer.
    pub fn at(&self, name: &str) -> Path<'g> {
        self.path.at(name)
    }

    /// What layers are told: training or inference, random keys.
    pub fn context(&mut self) -> &mut Context<'g> {
        &mut self.context
    }

    /// True if the model is built to be trained.
    pub fn is_training(&self) -> bool {
        self.context.is_training()
    }

    /// The number of examples in a batch. The last batch of an epoch may be smaller: the model is built again for it.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The column of the data called `name`, `[batch, ..]`.
    ///
    /// # Panics
    /// If the data has no such column.
    #[track_caller]
    pub fn input(&mut self, name: &str) -> Tensor<'g> {
        if let Some((_, tensor)) = self.declared.iter().find(|(n, _)| n == name) {
            return *tensor;
        }
        let Some((_, ty)) = self.types.iter().find(|(n, _)| n == name) else {
            let known: Vec<&str> = self.types.iter().map(|(n, _)| &**n).collect();
            panic!("Task::input: the data has no column `{name}`; there are: {}", known.join(", "));
        };
        let ty = TensorType::new(
            ty.dtype,
            std::iter::once(self.batch).chain(ty.shape.iter().copied()).collect::<crate::Shape>(),
        );
        let tensor = self.builder.input(name, ty);
        self.declared.push((name.to_owned(), tensor));
        tensor
    }

    /// Measures a scalar that is a mean over the examples of the batch.
    ///
    /// # Panics
    /// If it is no scalar.
    #[track_caller]
    pub fn metric(&mut self, name: &str, tensor: Tensor<'g>) {
        assert!(tensor.rank() == 0, "Task::metric: `{name}` is a scalar, not {}", tensor.ty());
        self.push(name, Fold::Mean, tensor);
    }

    #[track_caller]
    fn push(&mut self, name: &str, fold: Fold, tensor: Tensor<'g>) {
        let taken = name == "loss" || self.metrics.iter().any(|m| m.name == name);
        assert!(!taken, "Task::metric: there is a measure called `{name}` already");
        self.metrics.push(Metric { name: name.to_owned(), fold, tensor });
    }

    /// Measures how many of these are true, in double precision, so that the shares of batches add up to that of the epoch.
    #[track_caller]
    fn share(&mut self, name: &str, holds: Tensor<'g>) {
        self.metric(name, holds.cast(DType::F64).mean());
    }

    /// Measures `accuracy`: see [`metrics::accuracy`].
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn accuracy(&mut self, logits: Tensor<'g>, labels: Tensor<'g>) {
        self.share("accuracy", metrics::hits(logits, labels));
    }

    /// Measures `top<k>`, as `top5`: see [`metrics::top_k`].
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn top_k(&mut self, k: usize, logits: Tensor<'g>, labels: Tensor<'g>) {
        self.share(&format!("top{k}"), metrics::near(logits, labels, k));
    }

    /// Measures `mae`: see [`metrics::mean_absolute_error`].
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn mean_absolute_error(&mut self, prediction: Tensor<'g>, target: Tensor<'g>) {
        self.metric("mae", metrics::mean_absolute_error(prediction, target));
    }

    /// Measures `perplexity`: `e` to the power of the mean over all examples of this scalar, usually a cross-entropy.
    ///
    /// # Panics
    /// If it is no scalar.
    #[track_caller]
    pub fn perplexity(&mut self, cross_entropy: Tensor<'g>) {
        assert!(cross_entropy.rank() == 0, "Task::perplexity: of a scalar, not {}", cross_entropy.ty());
        self.push("perplexity", Fold::ExpOfMean, cross_entropy);
    }

    /// Counts confusions: see [`metrics::confusion`].
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn confusion(&mut self, logits: Tensor<'g>, labels: Tensor<'g>) {
        self.push("confusion", Fold::Sum, metrics::confusion(logits, labels));
    }

    /// A result for [`Trainer::predict`](super::Trainer::predict), whose first axis is the examples.
    ///
    /// # Panics
    /// If the first axis is not the batch, or the name is taken.
    #[track_caller]
    pub fn output(&mut self, name: &str, tensor: Tensor<'g>) {
        assert!(
            tensor.shape().first() == Some(&self.batch),
            "Task::output: the first axis of `{name}` is the {} examples of the batch, but it is {}",
            self.batch,
            tensor.ty()
        );
        assert!(self.outputs.iter().all(|(n, _)| n != name), "Task::output: there is a result called `{name}` already");
        self.outputs.push((name.to_owned(), tensor));
    }
}
