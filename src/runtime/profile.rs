//! Where the time of a run goes: the calls of a step by a clock.
//!
//! A profile is made by a second compilation of the same plan, whose step reads the clock between its calls, so that ordinary steps carry nothing of it.

use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, Instant};

use crate::plan::{Action, Plan, Step};

/// Where the time of some runs went, by [`Bound::profile`](super::Bound::profile).
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// How many runs were measured.
    pub runs: usize,
    /// Time from the first to the last call of a run, on average.
    pub time: Duration,
    /// The calls of a run, in order.
    pub calls: Vec<CallProfile>,
}

/// Time and work of one call.
#[derive(Clone, Debug)]
pub struct CallProfile {
    /// The number of the step in the plan; of a strip, the first.
    pub step: usize,
    /// The kernel by its number in the plan, the extents of a product, the name of a routine, the steps of a strip.
    pub name: String,
    /// Lines and composites that it comes from.
    pub origin: String,
    /// Time of the call, on average.
    pub time: Duration,
    /// Multiplications and additions of products; 0 for other calls.
    pub flops: f64,
    /// Bytes of the buffers that are read and written, each counted once as such, whether or not all of it is touched.
    pub bytes: f64,
}

impl Profile {
    /// The profile of a plan whose calls took these times together.
    pub(crate) fn new(plan: &Plan, runs: usize, times: &[Duration]) -> Profile {
        let mut calls = Vec::with_capacity(plan.steps.len());
        let (mut number, mut strips) = (0, plan.strips.iter().peekable());
        while number < plan.steps.len() {
            let strip = strips.next_if(|strip| strip.steps.start == number);
            let range = strip.map_or(number..number + 1, |strip| strip.steps.clone());
            let steps = &plan.steps[range.clone()];
            calls.push(CallProfile {
                step: number,
                name: match strip {
                    None => name(&steps[0]),
                    Some(strip) => format!("steps {} to {} in {} pieces", number, range.end - 1, strip.pieces),
                },
                origin: origin(steps),
                time: mean(times[range.clone()].iter().sum(), runs),
                flops: steps.iter().map(flops).sum(),
                bytes: steps.iter().map(|step| step.bytes(plan) as f64).sum(),
            });
            number = range.end;
        }
        Profile { runs, time: mean(times.iter().sum(), runs), calls }
    }
}

/// The time of one of so many runs, which together took `time`.
pub(crate) fn mean(time: Duration, runs: usize) -> Duration {
    Duration::from_nanos_u128(time.as_nanos() / runs as u128)
}

/// Multiplications and additions of products.
fn flops(step: &Step) -> f64 {
    match &step.action {
        Action::Product(p) => 2.0 * p.multiplications() as f64,
        _ => 0.0,
    }
}

/// What a call is.
fn name(step: &Step) -> String {
    match &step.action {
        Action::Kernel { kernel, .. } => kernel.to_string(),
        Action::Product(p) => {
            let extent = |axes: &[crate::plan::Axis]| axes.iter().map(|a| a.extent).product::<usize>();
            let batch = match extent(&p.axes.batch) {
                1 => String::new(),
                n => format!("{n} of "),
            };
            let [rows, sums, columns] = [&p.axes.rows, &p.axes.contracted, &p.axes.columns].map(|axes| extent(axes));
            format!("{batch}{rows}x{sums}x{columns}")
        }
        Action::Routine(call) => call.routine.op.name().to_owned(),
        Action::Loop(_) => "loop".to_owned(),
    }
}

/// The lines and composites of a call, each once.
fn origin(steps: &[Step]) -> String {
    let mut seen: Vec<String> = Vec::new();
    for origin in steps.iter().flat_map(|step| &step.origins) {
        let composite = origin.composite.as_ref().map_or(String::new(), |name| format!(" {name}"));
        let backward = if origin.vjp.is_some() { " backward" } else { "" };
        let text = format!("{}{composite}{backward}", origin.source);
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen.join(", ")
}

impl fmt::Display for Profile {
    /// A table of the calls, the longest first, with the rate of arithmetic of products, and of strips that have some, and of memory of all others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        let products = self.calls.iter().filter(|c| c.flops > 0.0);
        let (time, flops) = products.fold((0.0, 0.0), |(t, n), c| (t + c.time.as_secs_f64(), n + c.flops));
        writeln!(
            f,
            "{:.1} us a run on average of {}: {} calls; products {:.1} us at {:.1} GFLOP/s, all else {:.1} us",
            us(self.time),
            self.runs,
            self.calls.len(),
            time * 1e6,
            if time > 0.0 { flops / time / 1e9 } else { 0.0 },
            us(self.time) - time * 1e6,
        )?;
        let mut calls: Vec<&CallProfile> = self.calls.iter().collect();
        calls.sort_by_key(|c| std::cmp::Reverse(c.time));
        write!(f, "        us   share       rate           call")?;
        for c in calls {
            let seconds = c.time.as_secs_f64().max(1e-9);
            let share = 100.0 * seconds / self.time.as_secs_f64().max(1e-9);
            let (rate, unit) =
                if c.flops > 0.0 { (c.flops / seconds / 1e9, "GFLOP/s") } else { (c.bytes / seconds / 1e9, "GB/s") };
            write!(f, "\n{:10.2} {share:5.1} % {rate:8.1} {unit:7}  {:>3} {}", us(c.time), c.step, c.name)?;
            if !c.origin.is_empty() {
                write!(f, "  ; {}", c.origin)?;
            }
        }
        Ok(())
    }
}

/// The clock of a profiled step.
struct Clock {
    last: Instant,
    /// The time of each call, of all runs together.
    times: Vec<Duration>,
}

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Adds the times of the calls that `run` makes to those measured before, for a plan of so many calls.
pub(crate) fn measure(calls: usize, runs: usize, mut run: impl FnMut()) -> Vec<Duration> {
    CLOCK.set(Some(Clock { last: Instant::now(), times: vec![Duration::ZERO; calls] }));
    for _ in 0..runs {
        run();
    }
    CLOCK.take().map_or(Vec::new(), |clock| clock.times)
}

/// Reads the clock before call number `next` of a step, or behind the last one. What has passed since the last reading is the time of the call before.
pub(crate) extern "C" fn mark(next: usize) {
    CLOCK.with_borrow_mut(|clock| {
        let Some(clock) = clock else { return };
        let now = Instant::now();
        if let Some(time) = next.checked_sub(1).and_then(|call| clock.times.get_mut(call)) {
            *time += now - clock.last;
        }
        clock.last = now;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_any_count_of_runs() {
        assert_eq!(mean(Duration::from_nanos(7), 2), Duration::from_nanos(3));
        assert_eq!(mean(Duration::from_secs(1 << 33), 1 << 32), Duration::from_secs(2));
        assert_eq!(mean(Duration::from_secs(1 << 33), (1 << 32) + 1).as_secs(), 1);
    }
}
