//! Schedules: learning rates as functions of the count of steps.
//!
//! Each formula is written once, over [`Real`], and computed in the step on an `f64` scalar and by [`Schedule::at`] on a number.

use std::f64::consts::PI;
use std::ops::{Add, Mul};

use crate::build::Tensor;

use super::rate::expect_from_zero;

/// A learning rate, or a momentum, as a function of the count `t` of steps taken before, which is 0 in the first.
///
/// ```
/// use cotangent::prelude::*;
/// use cotangent::train::Schedule;
///
/// // From 0.01 to 0.1 in 100 steps, then down to 0 on a cosine.
/// let schedule = Schedule::cosine(0.1, 0.0, 1000).warm_up(100, 0.1);
/// assert_eq!(schedule.at(0), 0.1 * 0.1);
/// assert_eq!(schedule.at(100), 0.1);
/// let optimizer = Adam::new(schedule);
/// ```
///
/// In terms of epochs rather than steps: [`Schedule::in_units_of`]. A rate that reacts to what is learned: [`ReduceOnPlateau`](super::ReduceOnPlateau).
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(Curve);

#[derive(Clone, Debug, PartialEq)]
enum Curve {
    Constant(f64),
    Step { initial: f64, factor: f64, every: u64 },
    Milestones { initial: f64, factor: f64, milestones: Vec<u64> },
    Exponential { initial: f64, factor: f64 },
    Cosine { initial: f64, last: f64, steps: u64, restarts: bool },
    Polynomial { initial: f64, last: f64, steps: u64, power: f64 },
    OneCycle(OneCycle),
    Momentum { cycle: OneCycle, base: f64, max: f64 },
    WarmUp { steps: u64, from: f64, then: Box<Curve> },
    Units { steps: u64, of: Box<Curve> },
}

/// The one-cycle policy (Smith and Topin 2018), as PyTorch's `OneCycleLR`: up to the largest rate, then down to nearly 0, both on half a cosine wave unless
/// [`OneCycle::linear`].
#[derive(Clone, Debug, PartialEq)]
pub struct OneCycle {
    max: f64,
    steps: u64,
    rise: f64,
    divisor: f64,
    last_divisor: f64,
    linear: bool,
}

impl OneCycle {
    /// The cycle of `steps` steps with the largest rate `max`: it rises for 0.3 of them from `max / 25` and falls to `max / 250,000`.
    ///
    /// # Panics
    /// If `max` is not a finite number from 0 up, or there are fewer than 4 steps.
    #[track_caller]
    pub fn new(max: f64, steps: u64) -> OneCycle {
        expect_rate(max);
        assert!(steps >= 4, "OneCycle: a rise and a fall take at least 4 steps, not {steps}");
        OneCycle { max, steps, rise: 0.3, divisor: 25.0, last_divisor: 1e4, linear: false }
    }

    /// The share of the steps in which the rate rises; 0.3 unless set.
    ///
    /// # Panics
    /// If the rise or the fall takes no more than one step.
    #[track_caller]
    pub fn rise(self, share: f64) -> OneCycle {
        let rise = share * self.steps as f64;
        assert!(
            rise > 1.0 && rise < self.steps as f64,
            "OneCycle: a share of {share} of {} steps leaves no rise or no fall",
            self.steps
        );
        OneCycle { rise: share, ..self }
    }

    /// By what the largest rate is divided at the beginning, and that again at the end; 25 and 10,000 unless set.
    ///
    /// # Panics
    /// If one of them is not positive.
    #[track_caller]
    pub fn divisors(self, divisor: f64, last_divisor: f64) -> OneCycle {
        assert!(
            divisor > 0.0 && last_divisor > 0.0,
            "OneCycle: the divisors are positive, not {divisor} and {last_divisor}"
        );
        OneCycle { divisor, last_divisor, ..self }
    }

    /// Straight lines in place of half cosine waves.
    pub fn linear(self) -> OneCycle {
        OneCycle { linear: true, ..self }
    }

    /// The momentum that goes with this cycle of the rate: from `max` down to `base` while the rate rises, and up again while it falls, usually between 0.85
    /// and 0.95 (PyTorch's `cycle_momentum`).
    ///
    /// ```
    /// use cotangent::prelude::*;
    /// use cotangent::train::OneCycle;
    ///
    /// let cycle = OneCycle::new(0.1, 1000);
    /// let optimizer = Sgd::new(cycle.clone()).momentum(cycle.momentum(0.85, 0.95));
    /// let optimizer = AdamW::new(cycle.clone()).beta1(cycle.momentum(0.85, 0.95));
    /// ```
    ///
    /// # Panics
    /// Unless `0 <= base <= max < 1`.
    #[track_caller]
    pub fn momentum(&self, base: f64, max: f64) -> Schedule {
        assert!(
            0.0 <= base && base <= max && max < 1.0,
            "OneCycle: a momentum goes from 0 <= base to max < 1, not from {base} to {max}"
        );
        Schedule(Curve::Momentum { cycle: self.clone(), base, max })
    }

    fn rate<R: Real>(&self, t: R) -> R {
        let first = self.max / self.divisor;
        self.through([first, self.max, first / self.last_divisor], t)
    }

    /// From the first number to the second in the time of the rise, and to the third in the time of the fall.
    fn through<R: Real>(&self, [first, middle, last]: [f64; 3], t: R) -> R {
        let (top, end) = (self.rise * self.steps as f64 - 1.0, self.steps as f64 - 1.0);
        let between = |from: f64, to: f64, share: R| {
            let share = share.at_least(0.0).at_most(1.0);
            if self.linear { share * (to - from) + from } else { half_wave(from, to, share) }
        };
        let rising = between(first, middle, t * (1.0 / top));
        let falling = between(middle, last, (t + -top) * (1.0 / (end - top)));
        t.if_at_most(top, rising, falling)
    }
}

impl From<OneCycle> for Schedule {
    fn from(cycle: OneCycle) -> Schedule {
        Schedule(Curve::OneCycle(cycle))
    }
}

impl Schedule {
    /// One rate.
    ///
    /// # Panics
    /// If it is not a finite number from 0 up.
    #[track_caller]
    pub fn constant(rate: f64) -> Schedule {
        expect_rate(rate);
        Schedule(Curve::Constant(rate))
    }

    /// `initial` times `factor` for every `every` steps taken: `initial factor^floor(t / every)`.
    ///
    /// # Panics
    /// If `initial` is not a finite number from 0 up, the factor is not positive, or `every` is 0.
    #[track_caller]
    pub fn step(initial: f64, factor: f64, every: u64) -> Schedule {
        expect_rate(initial);
        expect_factor(factor);
        assert!(every > 0, "Schedule::step: the rate falls after at least one step, not 0");
        Schedule(Curve::Step { initial, factor, every })
    }

    /// `initial` times `factor` for each of these counts of steps that is reached.
    ///
    /// # Panics
    /// If `initial` is not a finite number from 0 up or the factor is not positive.
    #[track_caller]
    pub fn milestones(initial: f64, factor: f64, milestones: impl Into<Vec<u64>>) -> Schedule {
        expect_rate(initial);
        expect_factor(factor);
        Schedule(Curve::Milestones { initial, factor, milestones: milestones.into() })
    }

    /// `initial factor^t`.
    ///
    /// # Panics
    /// If `initial` is not a finite number from 0 up or the factor is not positive.
    #[track_caller]
    pub fn exponential(initial: f64, factor: f64) -> Schedule {
        expect_rate(initial);
        expect_factor(factor);
        Schedule(Curve::Exponential { initial, factor })
    }

    /// Half a cosine wave from `initial` to `last` in `steps` steps, `last` from then on: `last + (initial - last) (1 + cos(pi t / steps)) / 2` (Loshchilov
    /// and Hutter 2017, SGDR, equation 5).
    ///
    /// # Panics
    /// If a rate is not a finite number from 0 up or `steps` is 0.
    #[track_caller]
    pub fn cosine(initial: f64, last: f64, steps: u64) -> Schedule {
        expect_rate(initial);
        expect_rate(last);
        assert!(steps > 0, "Schedule::cosine: the rate falls in at least one step, not 0");
        Schedule(Curve::Cosine { initial, last, steps, restarts: false })
    }

    /// [`Schedule::cosine`], begun anew after every `steps` steps.
    ///
    /// # Panics
    /// If a rate is not a finite number from 0 up or `steps` is 0.
    #[track_caller]
    pub fn cosine_restarts(initial: f64, last: f64, steps: u64) -> Schedule {
        let Schedule(curve) = Schedule::cosine(initial, last, steps);
        let Curve::Cosine { initial, last, steps, .. } = curve else { unreachable!("a cosine is one") };
        Schedule(Curve::Cosine { initial, last, steps, restarts: true })
    }

    /// A straight line from `initial` to `last` in `steps` steps, `last` from then on.
    ///
    /// # Panics
    /// If a rate is not a finite number from 0 up or `steps` is 0.
    #[track_caller]
    pub fn linear(initial: f64, last: f64, steps: u64) -> Schedule {
        Schedule::polynomial(initial, last, steps, 1.0)
    }

    /// `last + (initial - last) (1 - t / steps)^power`, `last` after `steps` steps.
    ///
    /// # Panics
    /// If a rate is not a finite number from 0 up, the power is not positive or `steps` is 0.
    #[track_caller]
    pub fn polynomial(initial: f64, last: f64, steps: u64, power: f64) -> Schedule {
        expect_rate(initial);
        expect_rate(last);
        assert!(power > 0.0, "Schedule::polynomial: the power is positive, not {power}");
        assert!(steps > 0, "Schedule::polynomial: the rate falls in at least one step, not 0");
        Schedule(Curve::Polynomial { initial, last, steps, power })
    }

    /// `steps` steps on a straight line from `from` times this schedule's first rate to it, then this schedule from its beginning.
    ///
    /// # Panics
    /// If `from` is not a finite number from 0 up or `steps` is 0.
    #[track_caller]
    pub fn warm_up(self, steps: u64, from: f64) -> Schedule {
        expect_rate(from);
        assert!(steps > 0, "Schedule::warm_up: it takes at least one step, not 0");
        Schedule(Curve::WarmUp { steps, from, then: Box::new(self.0) })
    }

    /// This schedule with `steps` steps for one, such as those of an epoch: the rate at `floor(t / steps)`.
    ///
    /// # Panics
    /// If `steps` is 0.
    #[track_caller]
    pub fn in_units_of(self, steps: u64) -> Schedule {
        assert!(steps > 0, "Schedule::in_units_of: a unit has at least one step");
        Schedule(Curve::Units { steps, of: Box::new(self.0) })
    }

    /// The rate after `taken` steps.
    pub fn at(&self, taken: u64) -> f64 {
        self.0.of(taken as f64)
    }

    /// The rate after a count of steps, an `f64` scalar.
    #[track_caller]
    pub(super) fn of<'g>(&self, taken: Tensor<'g>) -> Tensor<'g> {
        self.0.of(taken)
    }
}

impl Curve {
    fn of<R: Real>(&self, t: R) -> R {
        match *self {
            Curve::Constant(rate) => t.constant(rate),
            Curve::Step { initial, factor, every } => power_of(factor, (t * (1.0 / every as f64)).floored()) * initial,
            Curve::Milestones { initial, factor, ref milestones } => {
                let mut reached = t.constant(0.0);
                for &milestone in milestones {
                    let next = reached + 1.0;
                    reached = t.if_at_most(milestone as f64 - 0.5, reached, next);
                }
                power_of(factor, reached) * initial
            }
            Curve::Exponential { initial, factor } => power_of(factor, t) * initial,
            Curve::Cosine { initial, last, steps, restarts } => {
                let share = t * (1.0 / steps as f64);
                let share = if restarts { share + share.floored() * -1.0 } else { share.at_most(1.0) };
                half_wave(initial, last, share)
            }
            Curve::Polynomial { initial, last, steps, power } => {
                let left = (t * (-1.0 / steps as f64) + 1.0).at_least(0.0);
                left.power(power) * (initial - last) + last
            }
            Curve::OneCycle(ref cycle) => cycle.rate(t),
            Curve::Momentum { ref cycle, base, max } => cycle.through([max, base, max], t),
            Curve::WarmUp { steps, from, ref then } => {
                let first = then.of(0.0);
                let warming = (t * ((1.0 - from) / steps as f64) + from) * first;
                let after = then.of((t + -(steps as f64)).at_least(0.0));
                t.if_at_most(steps as f64 - 0.5, warming, after)
            }
            Curve::Units { steps, ref of } => of.of((t * (1.0 / steps as f64)).floored()),
        }
    }
}

/// Half a cosine wave: `from` where the share is 0, `to` where it is 1.
fn half_wave<R: Real>(from: f64, to: f64, share: R) -> R {
    ((share * PI).cosine() + 1.0) * ((from - to) / 2.0) + to
}

fn power_of<R: Real>(factor: f64, exponent: R) -> R {
    (exponent * factor.ln()).exponential()
}

/// A number, or a scalar of a graph that stands for one.
trait Real: Copy + Add<f64, Output = Self> + Add<Output = Self> + Mul<f64, Output = Self> {
    fn constant(self, value: f64) -> Self;
    fn at_least(self, bound: f64) -> Self;
    fn at_most(self, bound: f64) -> Self;
    /// Rounded down, where a whole number that division has made a little too small counts as whole.
    fn floored(self) -> Self;
    fn cosine(self) -> Self;
    fn exponential(self) -> Self;
    fn power(self, exponent: f64) -> Self;
    fn if_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self;
}

/// Counts are whole, so quotients of them lie a share of this or more apart from the next whole number.
const GUARD: f64 = 1e-9;

impl Real for f64 {
    fn constant(self, value: f64) -> f64 {
        value
    }
    fn at_least(self, bound: f64) -> f64 {
        self.max(bound)
    }
    fn at_most(self, bound: f64) -> f64 {
        self.min(bound)
    }
    fn floored(self) -> f64 {
        (self + GUARD).floor()
    }
    fn cosine(self) -> f64 {
        self.cos()
    }
    fn exponential(self) -> f64 {
        self.exp()
    }
    fn power(self, exponent: f64) -> f64 {
        self.powf(exponent)
    }
    fn if_at_most(self, bound: f64, then: f64, otherwise: f64) -> f64 {
        if self <= bound { then } else { otherwise }
    }
}

impl Real for Tensor<'_> {
    fn constant(self, value: f64) -> Self {
        self.builder().full(self.ty(), value)
    }
    fn at_least(self, bound: f64) -> Self {
        self.maximum(bound)
    }
    fn at_most(self, bound: f64) -> Self {
        self.minimum(bound)
    }
    fn floored(self) -> Self {
        (self + GUARD).floor()
    }
    fn cosine(self) -> Self {
        self.cos()
    }
    fn exponential(self) -> Self {
        self.exp()
    }
    fn power(self, exponent: f64) -> Self {
        self.pow(exponent)
    }
    fn if_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self {
        self.le(bound).select(then, otherwise)
    }
}

/// Panics unless a rate of a schedule is a finite number from 0 up.
#[track_caller]
fn expect_rate(rate: f64) {
    expect_from_zero("a learning rate", rate);
}

#[track_caller]
fn expect_factor(factor: f64) {
    assert!(factor > 0.0 && factor.is_finite(), "the factor of a schedule is a positive number, not {factor}");
}
