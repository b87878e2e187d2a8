//! LeNet on handwritten digits: two convolutions with pooling, three layers, forward, backward and update in one compiled function.
//!
//! ```text
//! cargo run --release --example lenet
//! cargo run --release --example lenet -- --engine interp --quick
//! cargo run --release --example lenet -- --data path/to/mnist
//! ```
//!
//! The arrangement is that of LeNet-5 (LeCun et al. 1998), with ReLU, maximum pooling, and padding that keeps the extents, because the digits that come
//! with the library have only 8 x 8 pixels. On these, 20 epochs bring the mean loss from 2.37 to 0.05 and classify 0.96 of the test digits rightly; two
//! epochs (`--quick`) reach a loss of 1.54 and 0.747, on both engines.

#[path = "shared/flags.rs"]
mod flags;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{ArgMatches, Command};
use cotangent::data::{self, Dataset, Split};
use cotangent::prelude::*;

fn main() -> ExitCode {
    flags::exit(|| run(&command().get_matches()))
}

fn command() -> Command {
    Command::new("lenet")
        .about("Trains LeNet on handwritten digits in one compiled function")
        .arg(flags::engine())
        .arg(flags::count("epochs", "20", "Passes over the training set"))
        .arg(flags::count("batch", "50", "Examples in a step"))
        .arg(flags::images())
        .arg(flags::quick("At most two epochs"))
}

/// The logits of images `[examples, height, width]`.
fn lenet<'g>(g: &'g Builder, images: Tensor<'g>, classes: usize) -> Tensor<'g> {
    let (batch, height, width) = (images.shape()[0], images.shape()[1], images.shape()[2]);
    let window = if height.min(width) >= 16 { 5 } else { 3 };
    let same = Conv::new().padding(Padding::Same);
    let conv = |x: Tensor<'g>, name: &str, filters: usize, seed| {
        let channels = x.shape()[1];
        let w = g.param(&format!("{name}.weight"), init::he_conv([filters, channels, window, window], seed));
        let b = g.param(&format!("{name}.bias"), init::zeros([filters, 1, 1]));
        (x.conv(w, &same) + b).relu().max_pool(&Pool::new(2))
    };
    let linear = |x: Tensor<'g>, name: &str, features: usize, seed| {
        let w = g.param(&format!("{name}.weight"), init::he([x.shape()[1], features], seed));
        let b = g.param(&format!("{name}.bias"), init::zeros([features]));
        x.linear(w, b)
    };
    let x = images.reshape([batch, 1, height, width]);
    let x = conv(x, "conv1", 6, 0);
    let x = conv(x, "conv2", 16, 1);
    let features = x.shape()[1..].iter().product();
    let x = x.reshape([batch, features]);
    let x = linear(x, "linear1", 120, 2).relu();
    let x = linear(x, "linear2", 84, 3).relu();
    linear(x, "linear3", classes, 4)
}

fn run(args: &ArgMatches) -> Result<(), Box<dyn Error>> {
    let Split { train, test } = match flags::folder_of(args) {
        Some(dir) => data::mnist(dir)?,
        None => data::digits(),
    };
    let batch = flags::extent_of(args, "batch");
    if batch > train.len() {
        return Err(format!("--batch {batch}: there are only {} training examples", train.len()).into());
    }
    let epochs = flags::count_of(args, "epochs").min(if args.get_flag("quick") { 2 } else { u64::MAX });
    let pixels = train.example_shape();

    let g = Builder::new();
    let x = g.input("x", f32([batch, pixels[0], pixels[1]]));
    let y = g.input("y", i32([batch]));
    let logits = lenet(&g, x, train.classes());
    let loss = logits.cross_entropy(y).mean();
    let mut step = Adam::new(2e-3).minimize(loss).compile(&Options::engine(flags::engine_of(args)))?;
    let mut predict = step.forward(logits.argmax(-1))?;
    println!("{}\n", step.report());

    println!("epoch    mean loss   test accuracy");
    let mut batches = train.shuffled(batch, 0);
    let mut times: Vec<Duration> = Vec::new();
    for epoch in 0..epochs {
        let mut sum = 0.0;
        for (xs, ys) in batches.epoch(epoch) {
            let start = Instant::now();
            let loss: f32 = step.run(&[("x", xs), ("y", ys)])?.scalar()?;
            times.push(start.elapsed());
            sum += f64::from(loss);
        }
        let mean = sum / batches.batches_per_epoch() as f64;
        println!("{:5}  {mean:.9}          {:.3}", epoch + 1, accuracy(&mut predict, &test, batch)?);
    }
    times.sort_unstable();
    println!("\n{:.1} us a step (median)", times[times.len() / 2].as_secs_f64() * 1e6);
    Ok(())
}

/// The share of examples that are classified rightly.
fn accuracy(predict: &mut Executable, test: &Dataset, batch: usize) -> Result<f64, Box<dyn Error>> {
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
