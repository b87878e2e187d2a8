//! The loop: epochs of steps, with measures, observers and what watches them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use crate::array::Array;
use crate::build::{Builder, Tensor};
use crate::data::{Batch, Examples, Loader};
use crate::runtime::Params;
use crate::train::metrics::{Fold, Sums};
use crate::train::{Metrics, TrainStep};

use super::checkpoint::Position;
use super::programs::{folds_of, inputs_of, output_name};
use super::unchanged::{prints, unchanged};
use super::{EpochRecord, EpochReport, Fit, Observer, StepReport, Stop, Task, TrainError, Trainer};

impl<M, O> Trainer<M, O>
where
    M: for<'g> Fn(&mut Task<'g>) -> Tensor<'g>,
    O: for<'g> Fn(Tensor<'g>) -> TrainStep<'g>,
{
    #[track_caller]
    pub(super) fn run(&mut self, train: Examples, validation: Option<Examples>) -> Result<Fit, TrainError> {
        if train.is_empty() {
            return Err(TrainError::NoExamples);
        }
        self.take_course(&train)?;
        self.take_types(&train);
        let loader = Loader::new(&train, self.batch).prefetch(self.prefetch);
        let loader = if self.whole_batches && train.len() >= self.batch { loader.whole_batches() } else { loader };
        let loader = if self.shuffle { loader.shuffle(self.seed) } else { loader };
        self.prepare_step(loader.len_of(0))?;
        self.expect_complete()?;
        self.expect_sums(loader.len_of(0))?;
        self.expect_measures(validation.is_some())?;
        self.set_rate()?;

        let mut fit = Fit { epochs: Vec::new(), stop: Stop::Done };
        if self.position.batch == 0 && self.early.as_ref().is_some_and(|(_, stop)| stop.stops()) {
            fit.stop = Stop::Early;
            return Ok(fit);
        }
        while self.position.epoch < self.epochs {
            let begin = Instant::now();
            let first = self.position.batch;
            let before = (first == 0).then(|| prints(&self.params, &self.trained));
            for batch in loader.epoch_from(self.position.epoch, first) {
                if self.step_with(&batch, loader.batches_per_epoch())?.is_break() {
                    fit.stop = Stop::Observer;
                    if self.position.batch < loader.batches_per_epoch() {
                        return Ok(fit);
                    }
                }
            }
            let steps = (self.position.batch - first) as f64;
            let stepping = begin.elapsed().as_secs_f64();
            let unchanged = before.map_or_else(Vec::new, |before| unchanged(&self.params, &self.trained, &before));
            let train = self.position.sums.finish(&self.step_folds);
            let validation = validation.as_ref().map(|v| self.measure(v)).transpose()?;
            let epoch = self.position.epoch;
            self.position = Position { epoch: epoch + 1, batch: 0, step: self.position.step, sums: Sums::default() };

            let report = EpochReport {
                epoch,
                steps: self.position.step,
                train: &train,
                validation: validation.as_ref(),
                rate: self.params.get("learning_rate").ok().map(|rate| rate.get_f64(0)),
                seconds: begin.elapsed().as_secs_f64(),
                steps_per_second: steps / stepping.max(1e-9),
                unchanged: &unchanged,
                params: &self.params,
            };
            let watched = validation.as_ref().unwrap_or(&train);
            if let Some((measure, plateau)) = &mut self.plateau {
                plateau.observe(value_of(watched, measure)?);
            }
            if let Some((measure, stop)) = &mut self.early {
                if stop.observe(value_of(watched, measure)?) {
                    fit.stop = Stop::Early;
                }
                if stop.restores && stop.bad == 0 {
                    self.best = all_of(&self.params);
                }
            }
            let told = told(&mut self.observers, |observer| observer.on_epoch(&report));
            self.set_rate()?;
            if fit.stop == Stop::Early || self.position.epoch == self.epochs {
                self.restore_best()?;
            }
            self.save(true)?;
            if told?.is_break() {
                fit.stop = Stop::Observer;
            }
            fit.epochs.push(EpochRecord { epoch, train, validation });
            if fit.stop != Stop::Done {
                break;
            }
        }
        Ok(fit)
    }

    /// Takes back what the parameters were after the best epoch, if that is wanted and known.
    pub(super) fn restore_best(&self) -> Result<(), TrainError> {
        if self.early.as_ref().is_some_and(|(_, stop)| stop.restores) {
            for (name, value) in &self.best {
                self.params.set(name, value)?;
            }
        }
        Ok(())
    }

    /// One step, and what observers say to it.
    #[track_caller]
    pub(super) fn step_with(&mut self, batch: &Batch, batches: usize) -> Result<ControlFlow<()>, TrainError> {
        self.prepare_step(batch.len())?;
        let most = || TrainError::Checkpoint("it has made as many steps as can be counted".to_owned());
        let next = self.position.step.checked_add(1).ok_or_else(most)?;
        let step = self.steps.get_mut(&batch.len()).expect("it is prepared");
        let inputs = inputs_of(step, batch);
        let outputs = step.run(&inputs)?;
        let result = |name: &str| outputs.get(&output_name(name)).expect("every measure is an output");
        let loss = result("loss").get_f64(0);
        let Position { epoch, batch: number, step: taken, .. } = self.position;
        self.position.sums.add(batch.len(), &self.step_folds, result);
        self.position.batch += 1;
        self.position.step = next;
        if !loss.is_finite() {
            return Err(TrainError::Diverged { epoch, batch: number, loss });
        }
        let report = StepReport { epoch, batch: number, batches, step: taken, loss, params: &self.params };
        let told = told(&mut self.observers, |observer| observer.on_step(&report));
        self.save(false)?;
        told
    }

    /// The measures that are watched are there.
    pub(super) fn expect_measures(&self, validated: bool) -> Result<(), TrainError> {
        let watched = self.early.iter().map(|e| &e.0).chain(self.plateau.iter().map(|p| &p.0));
        let watched: Vec<&String> = watched.filter(|name| *name != "loss").collect();
        if watched.is_empty() {
            return Ok(());
        }
        let folds = if validated {
            let g = Builder::new();
            let mut task = Task::new(&g, self.types.clone(), self.batch, false, self.seed);
            (self.model)(&mut task);
            folds_of(&task)
        } else {
            self.step_folds.clone()
        };
        let mut known: Vec<String> = folds.into_iter().filter(|f| f.1 != Fold::Sum).map(|f| f.0).collect();
        known.sort_unstable();
        match watched.into_iter().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(TrainError::NoMeasure { name: name.clone(), known }),
        }
    }

    /// Sets the rate that is lowered on plateaus.
    pub(super) fn set_rate(&self) -> Result<(), TrainError> {
        let Some((_, plateau)) = &self.plateau else { return Ok(()) };
        let rate = Array::scalar(plateau.rate() as f32);
        self.params.set("learning_rate", &rate).map_err(|_| TrainError::NoRate)
    }
}

/// Copies of all parameters and states.
pub(super) fn all_of(params: &Params) -> BTreeMap<String, Array> {
    params.values().into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// Tells all observers, and whether one of them stops the run or fails.
pub(super) fn told(
    observers: &mut [Box<dyn Observer>],
    mut tell: impl FnMut(&mut dyn Observer) -> Result<ControlFlow<()>, TrainError>,
) -> Result<ControlFlow<()>, TrainError> {
    let mut flow = Ok(ControlFlow::Continue(()));
    for observer in observers {
        match tell(&mut **observer) {
            Ok(ControlFlow::Break(())) if flow.is_ok() => flow = Ok(ControlFlow::Break(())),
            Err(error) if flow.is_ok() => flow = Err(error),
            _ => {}
        }
    }
    flow
}

pub(super) fn value_of(metrics: &Metrics, name: &str) -> Result<f64, TrainError> {
    metrics.get(name).ok_or_else(|| TrainError::NoMeasure {
        name: name.to_owned(),
        known: metrics.iter().map(|(name, _)| name.to_owned()).collect(),
    })
}
