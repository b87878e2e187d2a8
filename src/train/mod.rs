//! Training: optimizers as graph nodes inside the step, and the loop around it, [`Trainer`].
//!
//! ```text
//!   loss --grad--> gradients --Optimizer::update--> new values of parameters and optimizer state
//!                                  |
//!                              TrainStep    outputs and updates; compiles to one Executable
//! ```
//!
//! An [`Optimizer`] appends nodes that compute each parameter's new value from its gradient. They are ordinary nodes: the compiler fuses them with the
//! rest of the step, and everything that can be printed, printed with them. What an optimizer remembers from step to step (momentum, moments, the step
//! count) are [state parameters](crate::Builder::state), readable and settable by name through [`Params`]:
//!
//! | optimizer | state of parameter `w` | state of its own |
//! |---|---|---|
//! | [`Sgd`] | none | |
//! | [`Sgd`] with momentum | `w.momentum` | |
//! | [`Adam`], [`AdamW`] | `w.adam_m`, `w.adam_v`, with AMSGrad `w.adam_max` | `adam.t`, the count of steps taken, an `i64` |
//! | [`RmsProp`] | `w.rmsprop_v`, centered `w.rmsprop_m`, with momentum `w.momentum` | |
//! | [`Adagrad`] | `w.adagrad_sum` | with a decay of the rate `adagrad.t`, the count of steps taken, an `i64` |
//! | [`Lion`] | `w.lion_m` | |
//! | [`Lbfgs`] | none | `lbfgs.s`, `lbfgs.y`, `lbfgs.rho`, `lbfgs.scale`, `lbfgs.gradient`, `lbfgs.move`, `lbfgs.t` |
//! | any with [`Optimizer::accumulate`] | `w.accumulated` | `accumulate.t`, the count of steps taken, an `i64` |
//! | with [`Rate::adjustable`] | | `learning_rate` |
//! | with [`Rate::schedule`] or a [`Schedule`] | | `schedule.t`, the count of steps taken, an `i64` |
//! | with a schedule of the momentum, of Adam's first beta | | `momentum.t`, `beta1.t`, the same |
//!
//! Two optimizers in one builder need different names for their own state: see [`Sgd::prefix`] and its like. [`Groups`], which gives parameters different
//! optimizers in one step, sees to that by itself.

mod adagrad;
mod adam;
pub mod clip;
mod groups;
mod lbfgs;
mod lion;
pub mod log;
pub mod metrics;
mod plateau;
mod rate;
mod rmsprop;
mod schedule;
mod sgd;
mod trainer;

use crate::build::{Builder, Program, Tensor, init};
use crate::compile::{CompileError, Options};
use crate::graph::{DType, Name, TensorType};
use crate::prim::Op;
use crate::runtime::{Executable, Params};
use crate::{Array, Init};

pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use clip::{Accumulated, Clipped};
pub use groups::Groups;
pub use lbfgs::Lbfgs;
pub use lion::Lion;
pub use metrics::Metrics;
pub use plateau::{EarlyStopping, Goal, ReduceOnPlateau};
pub use rate::Rate;
pub use rmsprop::RmsProp;
pub use schedule::{OneCycle, Schedule};
pub use sgd::Sgd;
pub use trainer::{Checkpoint, EpochRecord, EpochReport, Fit, Observer, StepReport, Stop, Task, TrainError, Trainer};

/// A rule that turns gradients into new parameter values.
///
/// ```
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let w = g.param("w", init::full([2], 3.0));
/// let loss = w.square().sum();
///
/// let mut step = Sgd::new(0.25).minimize(loss).compile(&Options::engine(Engine::Interp))?;
/// let before: f32 = step.run(&[])?.scalar()?;
/// assert_eq!(before, 18.0);
/// assert_eq!(step.params().get("w")?.as_slice::<f32>()?, [1.5, 1.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Optimizer<'g>: Sized {
    /// Appends the nodes of one update: for each parameter with its gradient, [`StepBuilder::update`] is called with the new value.
    fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]);

    /// This optimizer, given gradients whose elements are limited to `-limit ..= limit`. NaN stays NaN.
    ///
    /// # Panics
    /// If `limit` is negative or NaN.
    #[track_caller]
    fn clip_by_value(self, limit: f64) -> Clipped<Self> {
        Clipped::by_value(self, limit)
    }

    /// This optimizer, given gradients that are scaled down together, where the square root of the sum of the squares of all their elements is above
    /// `limit`, to make it `limit`. See [`clip_by_global_norm`](clip::clip_by_global_norm).
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let w = g.param("w", init::full([4], 10.0));
    /// let step = Sgd::new(0.1).momentum(0.9).clip_by_global_norm(1.0).minimize(w.square().sum());
    /// # let _ = step;
    /// ```
    ///
    /// # Panics
    /// If `limit` is not above 0.
    #[track_caller]
    fn clip_by_global_norm(self, limit: f64) -> Clipped<Self> {
        Clipped::by_global_norm(self, limit)
    }

    /// This optimizer, applied in every `steps`-th step, to the mean of the gradients of the last `steps` steps: the gradient of a batch that is `steps`
    /// times as large, in the memory of a small one. In the other steps parameters and the optimizer's state stay as they are.
    ///
    /// # Panics
    /// If `steps` is 0.
    #[track_caller]
    fn accumulate(self, steps: u32) -> Accumulated<Self> {
        Accumulated::new(self, steps)
    }

    /// The step that lowers `loss` by all trainable parameters that it depends on. Its first output is the loss, called `loss`: the value at the
    /// parameters before the update.
    ///
    /// # Panics
    /// If `loss` is not a float scalar or depends on no trainable parameter.
    #[track_caller]
    fn minimize(self, loss: Tensor<'g>) -> TrainStep<'g> {
        let params = trainable(loss);
        assert!(!params.is_empty(), "minimize: {loss:?} depends on no trainable parameter");
        self.minimize_wrt(loss, &params)
    }

    /// [`Optimizer::minimize`] that updates these parameters only.
    ///
    /// # Panics
    /// If `loss` is not a float scalar, or one of `params` is not a float parameter, is listed twice or belongs to another builder.
    #[track_caller]
    fn minimize_wrt(self, loss: Tensor<'g>, params: &[Tensor<'g>]) -> TrainStep<'g> {
        minimize_wrt(self, loss, params)
    }

    /// The step that updates parameters by gradients of the caller's making, such as clipped ones. It has no outputs until
    /// [`TrainStep::output`] adds them.
    ///
    /// # Panics
    /// If the first of a pair is not a float parameter, or is listed twice, or the second is typed unlike it.
    #[track_caller]
    fn apply(self, builder: &'g Builder, gradients: &[(Tensor<'g>, Tensor<'g>)]) -> TrainStep<'g> {
        for &(param, gradient) in gradients {
            assert!(param_name(param).is_some(), "apply: {param:?} is not a parameter and cannot be updated");
            assert!(
                param.ty() == gradient.ty() && param.dtype().is_float(),
                "apply: {param:?} and its gradient {gradient:?} have one float type"
            );
        }
        let mut step = StepBuilder { builder, updates: Vec::new(), group: String::new() };
        self.update(&mut step, gradients);
        TrainStep { builder, outputs: Vec::new(), updates: step.updates }
    }
}

/// [`Optimizer::minimize_wrt`] of optimizers that do not look at the loss.
#[track_caller]
fn minimize_wrt<'g>(optimizer: impl Optimizer<'g>, loss: Tensor<'g>, params: &[Tensor<'g>]) -> TrainStep<'g> {
    let gradients = loss.builder().grad_all(loss, params);
    let pairs: Vec<_> = params.iter().copied().zip(gradients).collect();
    let mut step = optimizer.apply(loss.builder(), &pairs);
    step.outputs.insert(0, ("loss".to_owned(), loss));
    step
}

/// The trainable parameters that `loss` depends on, in the order of their declaration.
fn trainable(loss: Tensor<'_>) -> Vec<Tensor<'_>> {
    let graph = loss.builder().graph();
    let mut needed = vec![false; loss.id().index() + 1];
    needed[loss.id().index()] = true;
    for id in graph.ids().take(needed.len()).rev() {
        if needed[id.index()] {
            graph.operands(id).iter().for_each(|o| needed[o.index()] = true);
        }
    }
    drop(graph);
    let mut params = loss.builder().params();
    params.retain(|p| needed.get(p.id().index()) == Some(&true) && p.dtype().is_float());
    params
}

/// The name of a parameter, `None` if the tensor is none.
fn param_name(tensor: Tensor<'_>) -> Option<Name> {
    tensor.in_graph(|graph| match graph.op(tensor.id()) {
        Op::Param(p) => Some(p.name.clone()),
        _ => None,
    })
}

/// What an [`Optimizer`] writes its update with.
#[derive(Debug)]
pub struct StepBuilder<'g> {
    builder: &'g Builder,
    updates: Vec<(Tensor<'g>, Tensor<'g>)>,
    /// What the names of states begin with that belong to the optimizer of a group of parameters.
    group: String,
}

impl<'g> StepBuilder<'g> {
    /// The builder of the graph.
    pub fn builder(&self) -> &'g Builder {
        self.builder
    }

    /// Lets `param` take the value of `value` at the end of the step. All values are computed from the parameters before the step.
    pub fn update(&mut self, param: Tensor<'g>, value: Tensor<'g>) {
        self.updates.push((param, value));
    }

    /// State that belongs to a parameter, typed like it and zero at first, called `<parameter>.<prefix><name>`.
    ///
    /// # Panics
    /// If the name is taken, or `param` is not a parameter.
    #[track_caller]
    pub fn state_of(&self, param: Tensor<'g>, prefix: &str, name: &str) -> Tensor<'g> {
        self.state_filled(param, prefix, name, 0.0)
    }

    /// [`StepBuilder::state_of`] that is `value` in every element at first.
    ///
    /// # Panics
    /// As [`StepBuilder::state_of`].
    #[track_caller]
    pub fn state_filled(&self, param: Tensor<'g>, prefix: &str, name: &str, value: f64) -> Tensor<'g> {
        let Some(owner) = param_name(param) else { panic!("state_of: {param:?} is not a parameter") };
        let initial = init::full(param.shape(), value).dtype(param.dtype());
        self.state(&format!("{owner}.{prefix}{name}"), initial)
    }

    /// A count of steps in a state called `name`: an `i64` scalar that is 0 at first. Gives the count before this step.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn count_steps(&mut self, name: &str) -> Tensor<'g> {
        let taken = self.own_state(name, TensorType::new(DType::I64, []).into());
        self.update(taken, taken + 1);
        taken
    }

    /// The learning rate of this step, a float scalar, for a rule of one's own: `rate.cast(param.dtype())` fits a parameter. What a rate that changes needs to
    /// know from step to step are the states `<prefix>learning_rate` and `<prefix>schedule.t`; so this is called once in an update.
    ///
    /// ```
    /// use cotangent::prelude::*;
    /// use cotangent::train::StepBuilder;
    ///
    /// /// Every element moves by the rate.
    /// struct SignDescent<'g>(Rate<'g>);
    ///
    /// impl<'g> Optimizer<'g> for SignDescent<'g> {
    ///     fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
    ///         let rate = step.rate(self.0, "");
    ///         for &(param, gradient) in gradients {
    ///             step.update(param, param - rate.cast(param.dtype()) * gradient.sign());
    ///         }
    ///     }
    /// }
    ///
    /// let g = Builder::new();
    /// let w = g.param("w", [1.0f32, -2.0]);
    /// let mut step = SignDescent(Rate::decay(0.5, 0.5, 1)).minimize(w.square().sum()).compile(&Options::default())?;
    /// step.run(&[])?;
    /// step.run(&[])?;
    /// assert_eq!(step.params().get("w")?, Array::from([0.25f32, -1.25]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If the rate is a number that is negative or not finite, a tensor that is no float scalar, or the name of a state is taken.
    #[track_caller]
    pub fn rate(&mut self, rate: impl Into<Rate<'g>>, prefix: &str) -> Tensor<'g> {
        rate.into().checked("the optimizer").resolve(self, prefix).scalar(self)
    }

    /// A scalar state called `name`.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn scalar_state(&self, name: &str, value: f32) -> Tensor<'g> {
        self.own_state(name, Init::from(Array::scalar(value)))
    }

    /// A state of the optimizer itself, called `name`; that of an optimizer of [`Groups`], `<group>.<name>`.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn own_state(&self, name: &str, initial: Init) -> Tensor<'g> {
        self.state(&format!("{}{name}", self.group), initial)
    }

    /// Declares a state of the optimizer.
    #[track_caller]
    fn state(&self, name: &str, initial: Init) -> Tensor<'g> {
        assert!(
            self.builder.graph().find(name).is_none(),
            "minimize: there is a state or parameter called `{name}` already; a second optimizer in one builder needs names of its own, see `.prefix(\"..\")`"
        );
        self.builder.state(name, initial)
    }

    /// A constant scalar.
    #[track_caller]
    fn number(&self, dtype: DType, value: f64) -> Tensor<'g> {
        self.builder.full(TensorType::new(dtype, []), value)
    }
}

/// A training step before compilation: results to return and parameters to update.
///
/// More results can be added; the whole compiles to one [`Executable`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it is compiled and run"]
pub struct TrainStep<'g> {
    builder: &'g Builder,
    outputs: Vec<(String, Tensor<'g>)>,
    updates: Vec<(Tensor<'g>, Tensor<'g>)>,
}

impl<'g> TrainStep<'g> {
    /// Adds a result. It is computed from the parameters before the update.
    pub fn output(mut self, name: &str, tensor: Tensor<'g>) -> TrainStep<'g> {
        self.outputs.push((name.to_owned(), tensor));
        self
    }

    /// Adds an update: `param` takes the value of `value` at the end of the step. For what no optimizer learns, such as running means.
    pub fn update(mut self, param: Tensor<'g>, value: Tensor<'g>) -> TrainStep<'g> {
        self.updates.push((param, value));
        self
    }

    /// [`TrainStep::update`] for several parameters, such as the running statistics of [`BatchNorm::train`](crate::build::BatchNorm::train).
    pub fn update_all(mut self, updates: impl IntoIterator<Item = (Tensor<'g>, Tensor<'g>)>) -> TrainStep<'g> {
        self.updates.extend(updates);
        self
    }

    /// The updates: each parameter with its new value, state included.
    pub fn updates(&self) -> &[(Tensor<'g>, Tensor<'g>)] {
        &self.updates
    }

    /// The program of the step.
    ///
    /// # Panics
    /// If two results have one name, or a parameter is updated twice or by a value of another type.
    #[track_caller]
    pub fn program(&self) -> Program {
        let outputs: Vec<(&str, Tensor<'_>)> = self.outputs.iter().map(|(n, t)| (&**n, *t)).collect();
        self.builder.program_with_updates(&outputs, &self.updates)
    }

    /// Compiles the step, with parameters of its own.
    ///
    /// # Errors
    /// As [`Program::compile`].
    ///
    /// # Panics
    /// As [`TrainStep::program`].
    #[track_caller]
    pub fn compile(&self, options: &Options) -> Result<Executable, CompileError> {
        self.compile_with(options, &Params::new())
    }

    /// Compiles the step to share `params`.
    ///
    /// # Errors
    /// As [`Program::compile_with`].
    ///
    /// # Panics
    /// As [`TrainStep::program`].
    #[track_caller]
    pub fn compile_with(&self, options: &Options, params: &Params) -> Result<Executable, CompileError> {
        self.program().into_executable(options, params)
    }
}
