//! What is told of a run, and to whom.

use std::ops::ControlFlow;

use crate::runtime::Params;
use crate::train::Metrics;

use super::TrainError;

/// A step that was made.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The batch in the epoch, from 0.
    pub batch: usize,
    /// How many batches the epoch has.
    pub batches: usize,
    /// Steps made before this one, in all epochs.
    pub step: u64,
    /// The loss of the batch, before the update.
    pub loss: f64,
    /// The parameters after the update.
    pub params: &'a Params,
}

/// An epoch that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EpochReport<'a> {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Steps made so far, in all epochs.
    pub steps: u64,
    /// Means over the batches of the epoch, each with the parameters before its update.
    pub train: &'a Metrics,
    /// Measures on the validation data, if there is any.
    pub validation: Option<&'a Metrics>,
    /// The adjustable learning rate that the epoch had, if the optimizer has one.
    pub rate: Option<f64>,
    /// Wall-clock time of the epoch, validation included.
    pub seconds: f64,
    /// Training steps a second.
    pub steps_per_second: f64,
    /// The trained parameters that the epoch has left as they were, bit for bit, while it has changed others.
    pub unchanged: &'a [String],
    /// The parameters.
    pub params: &'a Params,
}

impl EpochReport<'_> {
    /// What is to be said of [`unchanged`](EpochReport::unchanged) parameters, if there are any.
    pub fn remark(&self) -> Option<String> {
        const MOST: usize = 10;
        let names = &self.unchanged[..self.unchanged.len().min(MOST)];
        let more = match self.unchanged.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!names.is_empty()).then(|| {
            format!(
                "epoch {} has not changed {}{more}: the loss does not depend on them there, as where all units of a rectifier are dead, or steps are smaller than their rounding",
                self.epoch + 1,
                names.join(", ")
            )
        })
    }
}

/// Somebody who is told how training goes, and may stop it: a log, a progress bar, a closure (see [`Trainer::on_epoch`](super::Trainer::on_epoch)).
pub trait Observer {
    /// After each step. Breaking stops the run before the next.
    ///
    /// # Errors
    /// If it cannot do its work; the run ends with the error, after all observers were told and a checkpoint that is due was written.
    fn on_step(&mut self, report: &StepReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        let _ = report;
        Ok(ControlFlow::Continue(()))
    }

    /// After each epoch. Breaking stops the run.
    ///
    /// # Errors
    /// If it cannot do its work; the run ends with the error, after all observers were told and a checkpoint that is due was written.
    fn on_epoch(&mut self, report: &EpochReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        let _ = report;
        Ok(ControlFlow::Continue(()))
    }
}

/// A closure that is called after each step.
pub(super) struct OnStep<F>(pub(super) F);

impl<F: FnMut(&StepReport<'_>) -> ControlFlow<()>> Observer for OnStep<F> {
    fn on_step(&mut self, report: &StepReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        Ok((self.0)(report))
    }
}

/// A closure that is called after each epoch.
pub(super) struct OnEpoch<F>(pub(super) F);

impl<F: FnMut(&EpochReport<'_>) -> ControlFlow<()>> Observer for OnEpoch<F> {
    fn on_epoch(&mut self, report: &EpochReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        Ok((self.0)(report))
    }
}
