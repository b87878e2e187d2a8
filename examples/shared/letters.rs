//! What the examples that learn to write letter by letter share: the settings of a run, its epochs, and letters drawn by their odds.

use std::error::Error;
use std::time::Instant;

use clap::ArgMatches;
use cotangent::data::Text;
use cotangent::prelude::*;

use super::flags;

/// The settings of a run.
pub struct Settings {
    pub engine: Engine,
    /// Letters of a window.
    pub length: usize,
    /// Windows in a step.
    pub batch: usize,
    pub epochs: u64,
    pub lr: f64,
    pub seed: u64,
    /// One epoch of ten steps.
    pub quick: bool,
}

impl Settings {
    pub fn of(m: &ArgMatches) -> Settings {
        let quick = m.get_flag("quick");
        Settings {
            engine: flags::engine_of(m),
            length: flags::extent_of(m, "length"),
            batch: flags::extent_of(m, "batch"),
            epochs: if quick { 1 } else { flags::count_of(m, "epochs") },
            lr: flags::rate_of(m),
            seed: flags::count_of(m, "seed"),
            quick,
        }
    }
}

/// Trains `step` on windows of a text and prints the mean loss of each epoch, and that which `measure` gives on windows of another text.
pub fn learn(
    (step, measure): (&mut Executable, &mut Executable),
    (train, test): (&Text, &Text),
    settings: &Settings,
) -> Result<(), Box<dyn Error>> {
    println!("epoch   mean loss   test loss   seconds");
    let mut windows = train.windows(settings.length, settings.batch, settings.seed);
    for epoch in 0..settings.epochs {
        let begin = Instant::now();
        let steps = if settings.quick { 10 } else { windows.batches_per_epoch() };
        let mut sum = 0.0;
        for (xs, ys) in windows.epoch(epoch).take(steps) {
            sum += f64::from(step.run(&[("x", xs), ("y", ys)])?.scalar::<f32>()?);
        }
        let time = begin.elapsed().as_secs_f64();
        let on_test = mean(measure, test, settings)?;
        println!("{:5}   {:.6}    {on_test:.6}    {time:.2}", epoch + 1, sum / steps as f64);
    }
    Ok(())
}

/// The mean loss over windows of a text; a few of them if the run is to be quick.
fn mean(measure: &mut Executable, text: &Text, settings: &Settings) -> Result<f64, Box<dyn Error>> {
    let mut windows = text.windows(settings.length, settings.batch, 0);
    let count = if settings.quick { 2 } else { windows.batches_per_epoch() };
    let mut sum = 0.0;
    for (xs, ys) in windows.epoch(0).take(count) {
        sum += f64::from(measure.run(&[("x", xs), ("y", ys)])?.scalar::<f32>()?);
    }
    Ok(sum / count as f64)
}

/// Draws letters. A linear congruential generator (D. Knuth's MMIX) is random enough for this.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(seed | 1)
    }

    /// A letter by the odds of each.
    pub fn letter(&mut self, odds: &[f32]) -> i32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mut left = (self.0 >> 40) as f32 / (1 << 24) as f32;
        let drawn = odds.iter().position(|&p| {
            left -= p;
            left < 0.0
        });
        drawn.unwrap_or(odds.len() - 1) as i32
    }
}
