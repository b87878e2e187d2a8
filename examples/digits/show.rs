//! What the run prints while and after it trains.

use std::error::Error;

use indicatif::{ProgressBar, ProgressStyle};

const WIDTH: f64 = 40.0;

/// The loss curve as a table that grows by a line each epoch, with a progress bar below it on a terminal.
pub struct Curve {
    bar: ProgressBar,
    first: Option<f64>,
}

impl Curve {
    pub fn new(epochs: u64, steps_per_epoch: usize) -> Curve {
        // The bar goes to stderr and hides itself where that is no terminal.
        let bar = ProgressBar::new(epochs * steps_per_epoch as u64);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {eta} left");
        bar.set_style(style.expect("the template is well formed"));
        let curve = Curve { bar, first: None };
        curve.line("epoch    mean loss   test accuracy".to_owned());
        curve
    }

    /// A step is done.
    pub fn tick(&self) {
        self.bar.inc(1);
    }

    /// An epoch is done.
    pub fn epoch(&mut self, number: u64, loss: f64, accuracy: f64) {
        let first = *self.first.get_or_insert(loss);
        let length = (loss / first * WIDTH).clamp(0.0, WIDTH) as usize;
        self.line(format!("{number:5}  {loss:.9}          {accuracy:.3}  {}", "#".repeat(length)));
    }

    fn line(&self, line: String) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// Training is done.
    pub fn finish(self) {
        self.bar.finish_and_clear();
        println!();
    }
}

/// Time of a step under both engines, in seconds by turn, and how many times the one is faster than the other in the same turn. An engine that cannot run
/// here says why.
pub fn times([jit, interp]: [Result<Vec<f64>, Box<dyn Error>>; 2]) {
    for (engine, times) in [("jit", &jit), ("interp", &interp)] {
        match times {
            Ok(times) => println!("{engine:<9} {:.1} us a step (median)", median(times) * 1e6),
            Err(error) => println!("{engine:<9} not available: {error}"),
        }
    }
    if let (Ok(jit), Ok(interp)) = (&jit, &interp) {
        let ratios: Vec<f64> = jit.iter().zip(interp).map(|(jit, interp)| interp / jit).collect();
        println!("ratio     {:.1} (median of turns)", median(&ratios));
    }
}

/// The median of numbers; the upper one of two.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
