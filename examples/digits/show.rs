//! What the run prints while and after it trains.

use std::error::Error;
use std::time::Duration;

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

/// Time of a step under both engines, and how many times the one is faster. An engine that cannot run here says why.
pub fn times([jit, interp]: [Result<Duration, Box<dyn Error>>; 2]) {
    let us = |d: &Duration| d.as_secs_f64() * 1e6;
    for (engine, time) in [("jit", &jit), ("interp", &interp)] {
        match time {
            Ok(time) => println!("{engine:<9} {:.1} us a step (median)", us(time)),
            Err(error) => println!("{engine:<9} not available: {error}"),
        }
    }
    if let (Ok(jit), Ok(interp)) = (&jit, &interp) {
        println!("ratio     {:.1}", us(interp) / us(jit));
    }
}
