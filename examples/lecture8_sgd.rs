//! Lecture 8: stochastic gradient descent.
//!
//! The lecture states: the gradient of a minibatch is the whole gradient plus noise of mean zero, at the cost of `m` examples instead of all; so many small
//! steps get further with as many examples than few exact ones. Too large a rate diverges, and momentum does as a larger rate would, but more steadily.
//!
//! The run shows: the loss over all digits that are learned from, after each pass over them, of a two-layer relu net by minibatch size, by learning rate, and
//! with momentum, each run the same up to that. Expected after 10 passes, from 2.419 before the first:
//!
//! ```text
//! batch  10      50      250     all       rate  0.01    0.1     0.5     2          momentum  0       0.5     0.9
//! loss   0.068   0.236   1.170   2.082     loss  1.637   0.236   0.070   about 2    loss      1.063   0.545   0.143
//! ```
//!
//! With rate 2 the loss jumps between 2 and 3 and the net learns nothing.
//!
//! ```text
//! cargo run --release --example lecture8_sgd
//! ```

mod lecture;

use cotangent::data::{self, Dataset};
use cotangent::prelude::*;
use lecture::{Args, Curve, Outcome};

fn main() -> Outcome {
    let args = Args::parse("Stochastic gradient descent");
    let train = data::digits().train;
    let (all, passes) = (train.len(), args.or(10, 2));
    println!("loss over all {all} examples, pass by pass\n");
    let one = |name: String, batch: usize, rate: f64, momentum: f64| -> Result<Curve, Box<dyn std::error::Error>> {
        let curve = descend(&train, batch, rate, momentum, passes)?;
        let losses: String = curve.iter().map(|p| format!("{:8.4}", p.1)).collect();
        println!("{name:18}{losses}");
        Ok((name, curve))
    };
    let batches = [10, 50, 250, all].map(|m| {
        if m == all { one("all examples".to_owned(), m, 0.1, 0.0) } else { one(format!("batches of {m}"), m, 0.1, 0.0) }
    });
    println!();
    let rates = [0.01, 0.1, 0.5, 2.0].map(|rate| one(format!("rate {rate}"), 50, rate, 0.0));
    println!();
    let momenta = [0.0, 0.5, 0.9].map(|momentum| one(format!("momentum {momentum}"), 50, 0.02, momentum));
    let curves = |c: Vec<Result<Curve, _>>| c.into_iter().collect::<Result<Vec<Curve>, Box<dyn std::error::Error>>>();
    let axes = ["passes over the data", "log loss"];
    lecture::curves(
        &args,
        vec![
            ("Minibatch size, rate 0.1", axes, curves(batches.into())?),
            ("Learning rate, batches of 50", axes, curves(rates.into())?),
            ("Momentum, rate 0.02", axes, curves(momenta.into())?),
        ],
    )
}

/// The loss over all examples before the first pass and after each.
fn descend(
    train: &Dataset,
    batch: usize,
    rate: f64,
    momentum: f64,
    passes: u64,
) -> Result<Vec<(f64, f64)>, Box<dyn std::error::Error>> {
    let g = Builder::new();
    let (w1, w2) = (g.param("W1", init::he([64, 64], 0)), g.param("W2", init::he([64, 10], 1)));
    let loss = |name: &str, m: usize| {
        let (x, y) = (g.input(&format!("X{name}"), f32([m, 8, 8])), g.input(&format!("y{name}"), i32([m])));
        x.reshape([m, 64]).dot(w1).relu().dot(w2).cross_entropy(y).mean()
    };
    // Two programs over the same parameters: a step on a batch, and the loss on all.
    let sgd = Sgd::new(rate);
    let sgd = if momentum > 0.0 { sgd.momentum(momentum) } else { sgd };
    let mut step = sgd.minimize(loss("", batch)).compile(&Options::default())?;
    let mut whole = step.forward(loss("_all", train.len()))?;
    let mut measure = || -> Result<f64, Box<dyn std::error::Error>> {
        let (xs, ys) = train.batches(train.len()).next().ok_or("there are examples")?;
        Ok(f64::from(whole.run(&[("X_all", xs), ("y_all", ys)])?.scalar::<f32>()?))
    };
    let mut curve = vec![(0.0, measure()?)];
    let mut batches = train.shuffled(batch, 0);
    for pass in 0..passes {
        for (xs, ys) in batches.epoch(pass) {
            step.run(&[("X", xs), ("y", ys)])?;
        }
        curve.push((pass as f64 + 1.0, measure()?));
    }
    Ok(curve)
}
