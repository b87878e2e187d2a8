//! Eight small and middle-sized workloads, from a logistic regression to a transformer: how long a step takes, how long it takes to compile, and what it
//! computes. The last line printed is a JSON object with the figures.
//!
//! ```text
//! cargo run --release --example workloads -- W1 --threads 2 --seconds 1 --data DIR
//! cargo run --release --example workloads -- W6 --engine interp --quick
//! ```
//!
//! | | model | step |
//! |---|---|---|
//! | W1 | 784-500-10, ReLU, no biases, batch 100 | cross-entropy, SGD |
//! | W2 | 64-32-10, ReLU, batch 32 | cross-entropy, SGD |
//! | W3 | 784-1024-1024-1024-10, ReLU, batch 128 | cross-entropy, Adam |
//! | W4 | tanh, gelu, layer norm and softmax of 1024 x 1024 elements | SGD |
//! | W5 | two convolutions with pooling and a linear layer, batch 32 | cross-entropy, SGD |
//! | W6 | a transformer of two layers, 128 features, 64 positions, batch 8 | cross-entropy, Adam |
//! | W7 | logistic regression of 4 features, batch 16 | binary cross-entropy, SGD |
//! | W8 | the network of W3 on one example | forward only |
//!
//! Inputs and initial parameters are read from `DIR/W1.npz` and so on, which hold `x`, `y` and the parameters as `p00_NAME`, `p01_NAME`, ...; without
//! `--data` they are drawn. Every size is taken from the arrays. What is measured:
//!
//! - `compile_ms`: from arrays in memory to the end of the first step: building the graph, differentiation, compilation, one run;
//! - `loss_after_20` and `dparam_l2_20`: the loss after 20 updates, and how far they moved the parameters. For W8, the sum of the outputs;
//! - `median_us`, `min_us` and `p90_us`: steps timed one by one for so many seconds after a warm-up of 0.3 s, at most 400 under Adam, whose moments
//!   would fade to denormal numbers in longer runs on one batch.

mod args;
mod data;
#[path = "../shared/flags.rs"]
mod flags;
mod measure;
mod models;
mod npz;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use args::Args;
use data::Data;

fn main() -> ExitCode {
    flags::exit(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let data = match &args.data {
        Some(dir) => Data::read(&dir.join(format!("{}.npz", args.workload)))?,
        None => Data::drawn(&args.workload),
    };
    let start = Instant::now();
    let mut step = models::compile(&args.workload, &data, &args.options)?;
    let first = models::value(step.run(&data.inputs())?)?;
    let compile = start.elapsed();

    let figures = measure::Figures::of(&mut step, &data, first, args)?;
    println!("{}\n", step.report());
    if let Some(profile) = &figures.profile {
        println!("{profile}\n");
    }
    println!("{}", figures.json(args, compile, step.report()));
    Ok(())
}
