//! What reacts to how learning goes: a rate that falls where a measure stops improving, and a stop.
//!
//! Both watch one number, usually the loss on validation data, and are told it after each epoch.

/// Which way a measure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Goal {
    /// Smaller is better, as for a loss.
    #[default]
    Min,
    /// Larger is better, as for an accuracy.
    Max,
}

impl Goal {
    /// True if `value` is better than `best` by more than the margin.
    fn improves(self, value: f64, best: f64, margin: f64) -> bool {
        match self {
            Goal::Min => value < best - margin,
            Goal::Max => value > best + margin,
        }
    }

    /// What every number is better than.
    fn worst(self) -> f64 {
        match self {
            Goal::Min => f64::INFINITY,
            Goal::Max => f64::NEG_INFINITY,
        }
    }
}

/// Lowers a learning rate where a measure has not improved for some epochs, as PyTorch's `ReduceLROnPlateau`.
///
/// The optimizer has a [`Rate::adjustable`](super::Rate::adjustable), which is set to what [`ReduceOnPlateau::observe`] gives.
///
/// ```
/// use cotangent::train::ReduceOnPlateau;
/// let mut rate = ReduceOnPlateau::new(0.1).factor(0.5).patience(1);
/// let rates: Vec<f64> = [3.0, 2.0, 2.0, 2.0, 2.0].map(|loss| rate.observe(loss)).to_vec();
/// assert_eq!(rates, [0.1, 0.1, 0.1, 0.05, 0.05]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceOnPlateau {
    pub(super) rate: f64,
    factor: f64,
    patience: u64,
    threshold: f64,
    cooldown: u64,
    min_rate: f64,
    goal: Goal,
    pub(super) best: f64,
    pub(super) bad: u64,
    pub(super) cooling: u64,
}

impl ReduceOnPlateau {
    /// Begins with this rate; a tenth of it after more than 10 epochs without an improvement by 1e-4 of the best value.
    pub fn new(rate: f64) -> ReduceOnPlateau {
        ReduceOnPlateau {
            rate,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            cooldown: 0,
            min_rate: 0.0,
            goal: Goal::Min,
            best: Goal::Min.worst(),
            bad: 0,
            cooling: 0,
        }
    }

    /// What the rate is multiplied by; 0.1 unless set.
    ///
    /// # Panics
    /// If it is not between 0 and 1.
    #[track_caller]
    pub fn factor(self, factor: f64) -> ReduceOnPlateau {
        assert!(factor > 0.0 && factor < 1.0, "ReduceOnPlateau: the factor is between 0 and 1, not {factor}");
        ReduceOnPlateau { factor, ..self }
    }

    /// How many epochs without improvement are borne; 10 unless set.
    pub fn patience(self, patience: u64) -> ReduceOnPlateau {
        ReduceOnPlateau { patience, ..self }
    }

    /// By which share of the best value a value must be better to count as an improvement; 1e-4 unless set.
    pub fn threshold(self, threshold: f64) -> ReduceOnPlateau {
        ReduceOnPlateau { threshold, ..self }
    }

    /// For how many epochs after a reduction none is counted as bad; 0 unless set.
    pub fn cooldown(self, cooldown: u64) -> ReduceOnPlateau {
        ReduceOnPlateau { cooldown, ..self }
    }

    /// The least rate; 0 unless set.
    pub fn min_rate(self, min_rate: f64) -> ReduceOnPlateau {
        ReduceOnPlateau { min_rate, ..self }
    }

    /// Which way the measure improves; [`Goal::Min`] unless set.
    pub fn goal(self, goal: Goal) -> ReduceOnPlateau {
        ReduceOnPlateau { goal, best: goal.worst(), ..self }
    }

    /// The rate.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes the value of an epoch and gives the rate for the next.
    pub fn observe(&mut self, value: f64) -> f64 {
        // The margin of a negative best value is negative, as in PyTorch.
        let margin = if self.best.is_finite() { self.threshold * self.best } else { 0.0 };
        if self.goal.improves(value, self.best, margin) {
            (self.best, self.bad) = (value, 0);
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            (self.cooling, self.bad) = (self.cooling - 1, 0);
        }
        if self.bad > self.patience {
            let lower = (self.rate * self.factor).max(self.min_rate);
            // A reduction that no step would notice is none.
            if self.rate - lower > 1e-8 {
                self.rate = lower;
            }
            (self.cooling, self.bad) = (self.cooldown, 0);
        }
        self.rate
    }
}

/// Tells when to stop: where a measure has not improved for some epochs.
///
/// ```
/// use cotangent::train::EarlyStopping;
/// let mut stop = EarlyStopping::new(2);
/// assert_eq!([3.0, 2.0, 2.5, 1.9, 2.0, 2.1].map(|loss| stop.observe(loss)), [false, false, false, false, false, true]);
/// assert_eq!(stop.best(), Some(1.9));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    patience: u64,
    min_delta: f64,
    goal: Goal,
    pub(super) restores: bool,
    pub(super) best: f64,
    pub(super) bad: u64,
}

impl EarlyStopping {
    /// Stops after `patience` epochs in a row without improvement.
    pub fn new(patience: u64) -> EarlyStopping {
        EarlyStopping { patience, min_delta: 0.0, goal: Goal::Min, restores: false, best: Goal::Min.worst(), bad: 0 }
    }

    /// By how much a value must be better to count as an improvement; 0 unless set.
    pub fn min_delta(self, min_delta: f64) -> EarlyStopping {
        EarlyStopping { min_delta, ..self }
    }

    /// Which way the measure improves; [`Goal::Min`] unless set.
    pub fn goal(self, goal: Goal) -> EarlyStopping {
        EarlyStopping { goal, best: goal.worst(), ..self }
    }

    /// Lets a [`Trainer`](super::Trainer) take back all parameters and states as they were after the best epoch, when a fit ends because nothing improves any
    /// more or because all epochs were run; a later fit goes on from there. A copy of them is kept meanwhile, and is part of checkpoints.
    pub fn restore_best(self) -> EarlyStopping {
        EarlyStopping { restores: true, ..self }
    }

    /// The best value so far, `None` before the first.
    pub fn best(&self) -> Option<f64> {
        (self.best != self.goal.worst()).then_some(self.best)
    }

    /// Takes the value of an epoch; true if it is time to stop. NaN is never an improvement.
    pub fn observe(&mut self, value: f64) -> bool {
        if self.goal.improves(value, self.best, self.min_delta) {
            (self.best, self.bad) = (value, 0);
        } else {
            self.bad += 1;
        }
        self.stops()
    }

    /// True if it is time to stop.
    pub fn stops(&self) -> bool {
        self.bad >= self.patience.max(1)
    }
}
