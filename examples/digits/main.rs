//! Trains a two-layer network on handwritten digits, all of it inside one compiled function.
//!
//! ```text
//! cargo run --release --example digits
//! cargo run --release --example digits -- --engine interp --epochs 5
//! cargo run --release --example digits -- --data path/to/mnist --hidden 500
//! ```

mod args;
#[path = "../shared/flags.rs"]
mod flags;
mod show;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use cotangent::data::{self, Dataset, Split};
use cotangent::prelude::*;

use args::Args;

fn main() -> ExitCode {
    flags::exit(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let Split { train, test } = match &args.data {
        Some(dir) => data::mnist(dir)?,
        None => data::digits(),
    };
    let (train, test) = (train.flattened(), test.flattened());
    args.check_batch(train.len());
    let (batch, pixels, classes) = (args.batch, train.example_shape()[0], train.classes());
    println!("data      {} digits to train with, {} to test, {pixels} pixels each", train.len(), test.len());
    println!("network   {pixels} - {} - {classes}, ReLU, batches of {batch}", args.hidden);

    // The network: softmax cross-entropy of relu(X W1) W2.
    let g = Builder::new();
    let x = g.input("x", f32([batch, pixels]));
    let y = g.input("y", i32([batch]));
    let w1 = g.param("w1", init::he([pixels, args.hidden], args.seed));
    let w2 = g.param("w2", init::he([args.hidden, classes], args.seed.wrapping_add(1)));
    let logits = x.dot(w1).relu().dot(w2);
    let loss = logits.cross_entropy(y).mean();

    // Forward, backward and update: one function.
    let training = Sgd::new(args.lr).minimize(loss);
    let mut step = training.compile(&Options::engine(args.engine))?;
    let mut predict = step.forward(logits.argmax(-1))?;
    println!("{}\n", step.report());

    // Train, and test after each epoch.
    let mut batches = train.shuffled(batch, args.seed);
    let mut accuracy = correct(&mut predict, &test, batch)?;
    let mut curve = show::Curve::new(args.epochs, batches.batches_per_epoch());
    for epoch in 0..args.epochs {
        let mut sum = 0.0;
        for (xs, ys) in batches.epoch(epoch) {
            let loss: f32 = step.run(&[("x", xs), ("y", ys)])?.scalar()?;
            sum += f64::from(loss);
            curve.tick();
        }
        let mean = sum / batches.batches_per_epoch() as f64;
        accuracy = correct(&mut predict, &test, batch)?;
        curve.epoch(epoch + 1, mean, accuracy);
        if !mean.is_finite() {
            return Err(format!(
                "the loss is {mean} in epoch {}: a learning rate of {:?} is too high",
                epoch + 1,
                args.lr
            )
            .into());
        }
    }
    curve.finish();

    // The same step under both engines, on the same batch, with parameters of its own.
    let (xs, ys) = train.batches(batch).next().expect("there is a batch");
    let mut timed = [(Engine::Jit, 100), (Engine::Interp, 5)].map(|(engine, runs)| {
        let mut step = training.compile(&Options::engine(engine))?;
        let (xs, ys) = (xs.clone(), ys.clone());
        let call = move || Ok(step.run(&[("x", xs.clone()), ("y", ys.clone())]).map(drop)?);
        Ok::<_, Box<dyn Error>>(Timed::new(runs, call))
    });
    // They take short turns, so that a machine that changes its speed changes it for both.
    for _ in 0..if args.quick { 4 } else { 40 } {
        for timed in timed.iter_mut().flatten() {
            timed.turn()?;
        }
    }
    show::times(timed.map(|timed| timed.map(|timed| timed.turns)));

    println!("test accuracy {accuracy:.3}");
    Ok(())
}

/// The share of examples that are classified rightly.
fn correct(predict: &mut Executable, test: &Dataset, batch: usize) -> Result<f64, Box<dyn Error>> {
    let mut correct = 0;
    // Padding fills the last batch; its results have no label to be compared with.
    let padded = test.padded(batch);
    for ((xs, _), labels) in padded.batches(batch).zip(test.labels().chunks(batch)) {
        let outputs = predict.run(&[("x", xs)])?;
        let classes = outputs.first().as_slice::<i32>()?;
        correct += classes.iter().zip(labels).filter(|(class, label)| class == label).count();
    }
    Ok(correct as f64 / test.len() as f64)
}

/// A call whose time is measured in several turns.
struct Timed<'a> {
    call: Box<dyn FnMut() -> Result<(), Box<dyn Error>> + 'a>,
    runs: usize,
    /// The median time of each turn, in seconds.
    turns: Vec<f64>,
}

impl<'a> Timed<'a> {
    /// The call, made `runs` times in a turn after one call to warm up.
    fn new(runs: usize, call: impl FnMut() -> Result<(), Box<dyn Error>> + 'a) -> Timed<'a> {
        Timed { call: Box::new(call), runs, turns: Vec::new() }
    }

    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        (self.call)()?;
        let mut times = Vec::with_capacity(self.runs);
        for _ in 0..self.runs {
            let start = Instant::now();
            (self.call)()?;
            times.push(start.elapsed().as_secs_f64());
        }
        self.turns.push(show::median(&times));
        Ok(())
    }
}
