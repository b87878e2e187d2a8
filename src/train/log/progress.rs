//! A progress bar.

use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::train::{EpochReport, Observer, StepReport, TrainError};

/// A bar for each epoch with the loss and steps a second, and a line for each epoch that has ended, on standard error. Where that is no terminal, only the lines.
/// The first epoch with something [to be said](EpochReport::remark) has a note behind it.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    epoch: Option<u64>,
    noted: bool,
}

impl Progress {
    /// A bar on standard error.
    pub fn new() -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Progress { bar, epoch: None, noted: false }
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Observer for Progress {
    fn on_step(&mut self, report: &StepReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        if self.epoch != Some(report.epoch) {
            self.epoch = Some(report.epoch);
            let template = "{prefix} {wide_bar} {pos}/{len}  loss {msg}  {per_sec}  {eta}";
            self.bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
            self.bar.reset();
            self.bar.set_length(report.batches as u64);
            self.bar.set_prefix(format!("epoch {}", report.epoch + 1));
        }
        self.bar.set_position(report.batch as u64 + 1);
        self.bar.set_message(format!("{:.4}", report.loss));
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch(&mut self, report: &EpochReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        self.bar.finish_and_clear();
        let validation = report.validation.map_or_else(String::new, |v| format!("  validation: {v}"));
        let speed = report.steps_per_second;
        eprintln!("epoch {}: {}{validation}  ({speed:.0} steps/s)", report.epoch + 1, report.train);
        if let Some(remark) = report.remark().filter(|_| !self.noted) {
            eprintln!("note: {remark}");
            self.noted = true;
        }
        Ok(ControlFlow::Continue(()))
    }
}
