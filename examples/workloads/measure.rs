//! What is measured of a step, and how it is printed.

use std::error::Error;
use std::time::{Duration, Instant};

use cotangent::{ArrayError, Executable, Params, Profile, Report};
use serde_json::{Value, json};

use crate::args::Args;
use crate::data::Data;
use crate::models;

/// Updates before the loss and the way of the parameters are taken.
const UPDATES: usize = 20;
/// The most steps timed where numbers fade on one batch.
const LIMIT: usize = 400;

/// The figures of a workload.
pub struct Figures {
    first: f64,
    /// The loss after [`UPDATES`] updates.
    loss: f64,
    /// The distance of all parameters from their start, then; none if there are no updates.
    moved: Option<f64>,
    last: f64,
    /// The most memory that the process has had before the timed steps, whose times take memory too; in MiB, where the system tells.
    memory: Option<f64>,
    /// The times of the timed steps, shortest first.
    times: Vec<Duration>,
    /// Where the time goes, if that was asked for.
    pub profile: Option<Profile>,
}

impl Figures {
    /// Runs a compiled step, whose first run gave `first`.
    pub fn of(step: &mut Executable, data: &Data, first: f64, args: &Args) -> Result<Figures, Box<dyn Error>> {
        let updates = !step.graph().updates().is_empty();
        let mut step = step.bind(&data.inputs())?;
        for _ in 1..UPDATES {
            step.run();
        }
        let moved = if updates { Some(distance(step.params(), data)?) } else { None };
        let loss = models::value(step.run())?;

        let start = Instant::now();
        while start.elapsed() < args.warm_up {
            step.run();
        }
        let most = if models::is_unlimited(&args.workload) { usize::MAX } else { LIMIT };
        let memory = peak_memory();
        let (mut times, mut last) = (Vec::new(), loss);
        let begin = Instant::now();
        while times.len() < most && (begin.elapsed() < args.timed || times.len() < 10) {
            let start = Instant::now();
            last = models::value(step.run())?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let profile = if args.profile { Some(step.profile(times.len().clamp(1, LIMIT / 2))?) } else { None };
        Ok(Figures { first, loss, moved, last, memory, times, profile })
    }

    /// The JSON object.
    pub fn json(&self, args: &Args, compile: Duration, report: &Report) -> Value {
        let us = |share: f64| micros(self.times[((self.times.len() - 1) as f64 * share) as usize]);
        let stages: serde_json::Map<String, Value> =
            report.stages.iter().map(|s| (s.stage.to_owned(), round(s.time.as_secs_f64() * 1e3).into())).collect();
        json!({
            "workload": args.workload,
            "engine": report.engine,
            "threads": args.options.threads.map(|n| n.get()),
            "median_us": us(0.5),
            "min_us": us(0.0),
            "p90_us": us(0.9),
            "compile_ms": round(compile.as_secs_f64() * 1e3),
            "stages_ms": stages,
            "steps": self.times.len(),
            "loss_first": self.first,
            "loss_after_20": self.loss,
            "loss_end": self.last,
            "dparam_l2_20": self.moved,
            "rss_peak_mb": self.memory,
            "arena_bytes": report.arena_bytes,
            "live_bytes": report.live_bytes,
            "moved_bytes": report.moved_bytes,
            "kernels": report.kernels,
            "products": report.products,
            "distinct_kernels": report.distinct_kernels,
            "code_bytes": report.code_bytes,
        })
    }
}

/// The distance of all parameters from their initial values.
fn distance(params: &Params, data: &Data) -> Result<f64, Box<dyn Error>> {
    let mut sum = 0.0;
    for (name, initial) in data.params() {
        params.with(name, |now| {
            for (now, then) in now.as_slice::<f32>()?.iter().zip(initial.as_slice::<f32>()?) {
                sum += (f64::from(*now) - f64::from(*then)).powi(2);
            }
            Ok::<(), ArrayError>(())
        })??;
    }
    Ok(sum.sqrt())
}

fn micros(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1e6)
}

/// Three digits behind the point.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// The most memory that the process has had, in MiB, where the system tells.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(round(kib / 1024.0))
}
