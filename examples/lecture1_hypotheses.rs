//! Lecture 1: linear against nonlinear hypothesis classes.
//!
//! The lecture states: a linear classifier `h(x) = x W` divides the space by planes, which is enough for handwritten digits and hopeless for one circle
//! inside another. Features `phi(x)` make the nonlinear problem a linear one; they can be chosen by hand, drawn at random, or learned, `sigma(x W1)`.
//!
//! The run shows: the accuracy of softmax regression on digits, and of all four on circles, on examples that were not learned from. Expected:
//!
//! ```text
//! digits   linear 0.949
//! circles  linear 0.470   polynomial 1.000   random features 1.000   learned features 1.000
//! ```
//!
//! ```text
//! cargo run --release --example lecture1_hypotheses
//! cargo run --release --features plot --example lecture1_hypotheses -- --picture circles.svg
//! ```

mod lecture;

use cotangent::data::{self, Dataset};
use cotangent::prelude::*;
use cotangent::testing::Draw;
use lecture::{Args, Outcome, Region};

fn main() -> Outcome {
    let args = Args::parse("Linear against nonlinear hypothesis classes");
    let digits = data::digits();
    let accuracy = softmax_regression(&digits.train, &digits.test, args.or(30, 2))?;
    println!("digits    linear h(x) = x W              accuracy {accuracy:.3}\n");

    let (train, test) = (circles(200, 1), circles(200, 2));
    let mut regions = Vec::new();
    for (name, hypothesis) in HYPOTHESES {
        let (accuracy, region) = learn(name, hypothesis, &train, &test, args.or(2000, 100))?;
        println!("circles   {name:30} accuracy {accuracy:.3}");
        regions.push(region);
    }
    lecture::regions(&args, 4, regions)
}

/// Softmax regression: `x W` with cross-entropy, by minibatches. Returns the accuracy on `test`.
fn softmax_regression(train: &Dataset, test: &Dataset, epochs: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let g = Builder::new();
    let (x, y) = (g.input("X", f32([50, 8, 8])), g.input("y", i32([50])));
    let w = g.param("W", init::zeros([64, 10]));
    let logits = x.reshape([50, 64]).dot(w);
    let mut step = Sgd::new(0.2).minimize(logits.cross_entropy(y).mean()).compile(&Options::default())?;
    let mut batches = train.shuffled(50, 0);
    for epoch in 0..epochs {
        for (xs, ys) in batches.epoch(epoch) {
            step.run(&[("X", xs), ("y", ys)])?;
        }
    }
    let mut right = step.forward(logits.argmax(-1).eq(y).cast(DType::F32).mean())?;
    let mut sum = 0.0;
    let batches = test.batches(50);
    let count = batches.len();
    for (xs, ys) in batches {
        sum += f64::from(right.run(&[("X", xs), ("y", ys)])?.scalar::<f32>()?);
    }
    Ok(sum / count as f64)
}

/// Points of the plane as logits of two classes.
type Hypothesis = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

const HYPOTHESES: [(&str, Hypothesis); 4] = [
    ("linear, x W", |x| linear(x, "W")),
    ("polynomial, phi(x) W", |x| linear(polynomial(x), "W")),
    ("random features, cos(x R + b) W", |x| linear(random_features(x, 100), "W")),
    ("learned, relu(x W1 + b) W2", |x| linear(linear(x, "W1").relu(), "W2")),
];

/// `x W + b`, to 16 features in `W1` and to two classes in all others.
fn linear<'g>(x: Tensor<'g>, name: &str) -> Tensor<'g> {
    let (g, n, k) = (x.builder(), x.shape()[1], if name == "W1" { 16 } else { 2 });
    x.dot(g.param(name, init::he([n, k], 3))) + g.param(&format!("b_{name}"), init::zeros([k]))
}

/// `phi(x) = (x1, x2, x1^2, x1 x2, x2^2)`.
fn polynomial(x: Tensor<'_>) -> Tensor<'_> {
    let (x1, x2) = (x.slice(1, 0..1), x.slice(1, 1..2));
    x.builder().concat(&[x1, x2, x1 * x1, x1 * x2, x2 * x2], 1)
}

/// `phi(x) = cos(x R + b)` with `R` and `b` drawn once: A. Rahimi and B. Recht, "Random features for large-scale kernel machines", 2007.
fn random_features(x: Tensor<'_>, count: usize) -> Tensor<'_> {
    let g = x.builder();
    let r = g.constant(init::normal([2, count], 0.0, 1.5, 7).array());
    let b = g.constant(init::uniform([count], 0.0, std::f64::consts::TAU, 8).array());
    (x.dot(r) + b).cos()
}

/// Two concentric circles with some noise: points and classes.
fn circles(count: usize, seed: u64) -> (Array, Array) {
    let mut draw = Draw::new(seed);
    let (mut points, mut classes) = (Vec::new(), Vec::new());
    for i in 0..count {
        let (angle, class) = (std::f64::consts::TAU * draw.unit(), (i % 2) as i32);
        let radius = if class == 0 { 0.6 } else { 1.3 } + 0.4 * (draw.unit() - 0.5);
        points.extend([(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]);
        classes.push(class);
    }
    (Array::new([count, 2], points).expect("two numbers a point"), Array::from(classes))
}

/// Learns the hypothesis by full-batch descent. Returns its accuracy on `test`, and its classes over the plane.
fn learn(
    name: &str,
    hypothesis: Hypothesis,
    train: &(Array, Array),
    test: &(Array, Array),
    steps: usize,
) -> Result<(f64, Region), Box<dyn std::error::Error>> {
    let g = Builder::new();
    let (x, y) = (g.input("X", train.0.ty()), g.input("y", train.1.ty()));
    let logits = hypothesis(x);
    let mut step = Adam::new(0.01).minimize(logits.cross_entropy(y).mean()).compile(&Options::default())?;
    for _ in 0..steps {
        step.run(&[("X", &train.0), ("y", &train.1)])?;
    }
    let mut right = step.forward(logits.argmax(-1).eq(y).cast(DType::F32).mean())?;
    let accuracy = right.run(&[("X", &test.0), ("y", &test.1)])?.scalar::<f32>()?;

    // The same parameters over the middles of the plane's cells, as many at a time as there are examples.
    let mut classify = step.forward(logits.argmax(-1))?;
    let middles = lecture::middles(1.8);
    let mut classes = Vec::new();
    for part in middles.chunks(train.0.shape()[0]) {
        let array = Array::new([part.len(), 2], part.concat())?;
        classes.extend(classify.run(&[("X", &array)])?.first().to_f64_vec().iter().map(|&c| c as usize));
    }
    let points = train.0.to_f64_vec();
    let points = points.chunks(2).zip(train.1.to_f64_vec()).step_by(3).map(|(p, c)| (p[0], p[1], c as usize)).collect();
    Ok((
        f64::from(accuracy),
        Region { title: name.split(',').next().unwrap_or(name).to_owned(), reach: 1.8, classes, points },
    ))
}
