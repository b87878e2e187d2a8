//! Learning rates: a number, a number that can be changed between steps, or a function of the step count.

use std::fmt;

use crate::build::Tensor;

use super::{OneCycle, Schedule, StepBuilder};

/// A learning rate, or a momentum.
///
/// A plain number is part of the compiled step, and a [`Schedule`] is computed in it. A rate that is set is a scalar of the graph and costs no recompilation:
///
/// ```
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let w = g.param("w", init::full([1], 1.0));
/// let loss = w.sum();
///
/// let mut step = Sgd::new(Rate::adjustable(0.5)).minimize(loss).compile(&Options::engine(Engine::Interp))?;
/// step.run(&[])?;
/// step.params().set("learning_rate", &Array::scalar(0.25f32))?;
/// step.run(&[])?;
/// assert_eq!(step.params().get("w")?.as_slice::<f32>()?, [0.25]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Rate<'g>(Kind<'g>);

#[derive(Clone)]
enum Kind<'g> {
    Number(f64),
    Adjustable(f32),
    Tensor(Tensor<'g>),
    Function(Function),
}

/// The rate at a step, as a tensor of the steps taken before it.
type Function = std::rc::Rc<dyn for<'a> Fn(Tensor<'a>) -> Tensor<'a>>;

impl<'g> Rate<'g> {
    /// A rate in the `f32` state `learning_rate`, to be changed between steps through [`Params::set`](crate::Params::set).
    ///
    /// # Panics
    /// If `initial` is not a finite number from 0 up.
    #[track_caller]
    pub fn adjustable(initial: f64) -> Rate<'g> {
        expect_from_zero("a learning rate", initial);
        Rate(Kind::Adjustable(initial as f32))
    }

    /// A rate computed inside the step from the count of steps taken before it, an `f64` scalar that is 0 in the first. The count is the state `schedule.t`.
    ///
    /// ```
    /// use cotangent::prelude::*;
    /// // 0.1 / sqrt(1 + t)
    /// let rate = Rate::schedule(|t| 0.1 / (1.0 + t).sqrt());
    /// ```
    pub fn schedule(rate: impl for<'a> Fn(Tensor<'a>) -> Tensor<'a> + 'static) -> Rate<'g> {
        Rate(Kind::Function(std::rc::Rc::new(rate)))
    }

    /// [`Schedule::cosine`] from `initial` to 0.
    ///
    /// # Panics
    /// If `initial` is not a finite number from 0 up or `steps` is 0.
    #[track_caller]
    pub fn cosine(initial: f64, steps: u64) -> Rate<'g> {
        Schedule::cosine(initial, 0.0, steps).into()
    }

    /// [`Schedule::step`]: `initial` times `factor` for every `every` steps taken.
    ///
    /// # Panics
    /// If `initial` is not a finite number from 0 up, the factor is not positive, or `every` is 0.
    #[track_caller]
    pub fn decay(initial: f64, factor: f64, every: u64) -> Rate<'g> {
        Schedule::step(initial, factor, every).into()
    }

    /// The number of which this is known to be one; that of an adjustable rate is its first.
    fn number(&self) -> Option<f64> {
        match self.0 {
            Kind::Number(number) => Some(number),
            Kind::Adjustable(initial) => Some(initial.into()),
            Kind::Tensor(_) | Kind::Function(_) => None,
        }
    }

    /// This learning rate of an optimizer. Panics at the caller's line if it is a number that is none.
    #[track_caller]
    pub(super) fn checked(self, optimizer: &str) -> Rate<'g> {
        if let Some(number) = self.number() {
            expect_from_zero(&format!("{optimizer}: the learning rate"), number);
        }
        self
    }

    /// This momentum, or other share that a step keeps, of an optimizer. Panics at the caller's line if it is a number that is none.
    #[track_caller]
    pub(super) fn checked_share(self, optimizer: &str, name: &str) -> Rate<'g> {
        if let Some(number) = self.number() {
            expect_share(&format!("{optimizer}: the {name}"), number);
        }
        self
    }

    /// The scalar tensor that holds the rate of this step.
    #[track_caller]
    pub(super) fn resolve(self, step: &mut StepBuilder<'g>, prefix: &str) -> Resolved<'g> {
        self.resolve_as(step, "a learning rate", &format!("{prefix}learning_rate"), &format!("{prefix}schedule.t"))
    }

    /// The scalar tensor that holds another number of the optimizer, such as the momentum. Its states are called `<name>` if it is adjustable, and
    /// `<name>.t` if it has a schedule.
    #[track_caller]
    pub(super) fn resolve_number(self, step: &mut StepBuilder<'g>, prefix: &str, name: &str) -> Resolved<'g> {
        self.resolve_as(step, name, &format!("{prefix}{name}"), &format!("{prefix}{name}.t"))
    }

    #[track_caller]
    fn resolve_as(self, step: &mut StepBuilder<'g>, what: &str, state: &str, count: &str) -> Resolved<'g> {
        match self.0 {
            Kind::Number(number) => Resolved::Number(number),
            Kind::Tensor(tensor) => {
                assert!(tensor.rank() == 0 && tensor.dtype().is_float(), "{what} is a float scalar, not {tensor:?}");
                Resolved::Tensor(tensor)
            }
            Kind::Adjustable(initial) => Resolved::Tensor(step.scalar_state(state, initial)),
            Kind::Function(rate) => {
                let taken = step.count_steps(count);
                let rate = rate(taken.cast(crate::DType::F64));
                assert!(rate.rank() == 0 && rate.dtype().is_float(), "a schedule gives a float scalar, not {rate:?}");
                Resolved::Tensor(rate)
            }
        }
    }
}

/// Panics at the caller's line unless the number is finite and not negative.
#[track_caller]
pub(super) fn expect_from_zero(what: &str, number: f64) {
    assert!(number.is_finite() && number >= 0.0, "{what} is a finite number from 0 up, not {number}");
}

/// Panics at the caller's line unless the number is in `0 <= number < 1`.
#[track_caller]
pub(super) fn expect_share(what: &str, number: f64) {
    assert!((0.0..1.0).contains(&number), "{what} is a number from 0 up and below 1, not {number}");
}

/// A learning rate as the nodes of an update use it.
#[derive(Clone, Copy)]
pub(super) enum Resolved<'g> {
    Number(f64),
    Tensor(Tensor<'g>),
}

impl<'g> Resolved<'g> {
    /// The rate as a scalar of the element type of `like`.
    #[track_caller]
    pub(super) fn like(self, step: &StepBuilder<'g>, like: Tensor<'g>) -> Tensor<'g> {
        match self {
            Resolved::Number(number) => step.number(like.dtype(), number),
            Resolved::Tensor(tensor) => tensor.cast(like.dtype()),
        }
    }

    /// The rate as a scalar of the element type that it has; numbers are `f64`.
    #[track_caller]
    pub(super) fn scalar(self, step: &StepBuilder<'g>) -> Tensor<'g> {
        match self {
            Resolved::Number(number) => step.number(crate::DType::F64, number),
            Resolved::Tensor(tensor) => tensor,
        }
    }

    /// The number times a tensor.
    #[track_caller]
    pub(super) fn times(self, tensor: Tensor<'g>) -> Tensor<'g> {
        match self {
            Resolved::Number(number) => number * tensor,
            Resolved::Tensor(factor) => factor.cast(tensor.dtype()) * tensor,
        }
    }

    /// What the number lacks to 1, times a tensor.
    #[track_caller]
    pub(super) fn rest_times(self, tensor: Tensor<'g>) -> Tensor<'g> {
        match self {
            Resolved::Number(number) => (1.0 - number) * tensor,
            Resolved::Tensor(factor) => (1.0 - factor).cast(tensor.dtype()) * tensor,
        }
    }
}

impl From<f64> for Rate<'_> {
    /// A number that never changes. Optimizers refuse one that is negative or not finite.
    fn from(rate: f64) -> Self {
        Rate(Kind::Number(rate))
    }
}

impl From<Schedule> for Rate<'_> {
    /// A function of the count of steps.
    fn from(schedule: Schedule) -> Self {
        Rate::schedule(move |t| schedule.of(t))
    }
}

impl From<OneCycle> for Rate<'_> {
    /// The cycle of the learning rate.
    fn from(cycle: OneCycle) -> Self {
        Schedule::from(cycle).into()
    }
}

impl<'g> From<Tensor<'g>> for Rate<'g> {
    /// A float scalar of the graph: an input, a state, or computed from them.
    fn from(rate: Tensor<'g>) -> Self {
        Rate(Kind::Tensor(rate))
    }
}

impl fmt::Debug for Rate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Number(number) => write!(f, "{number}"),
            Kind::Adjustable(initial) => write!(f, "adjustable({initial})"),
            Kind::Tensor(tensor) => write!(f, "{tensor:?}"),
            Kind::Function(_) => f.write_str("schedule"),
        }
    }
}
