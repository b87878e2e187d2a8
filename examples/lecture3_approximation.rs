//! Lecture 3: the universal approximation theorem in one dimension.
//!
//! The lecture states: for any continuous `f` on an interval and any `e > 0` there is a net with one hidden layer of relus that is nowhere further than `e`
//! from `f`. The proof builds it: through samples of `f` goes a chain of straight pieces, and each kink of the chain is one relu,
//! `f(x_0) + sum over i of (s_i - s_(i-1)) relu(x - x_i)` with the slopes `s_i` of the pieces.
//!
//! The run shows: the largest error of the proof's net, and of a net of that width trained by 4,000 steps of Adam on the mean square of the error, against the
//! width. For a smooth `f` the first falls by four when the width doubles. The second is larger: descent leaves kinks where no gradient reaches them, and
//! does not lower the largest error but the mean. Expected, the trained ones about so:
//!
//! ```text
//! width        4      8     16      32      64     128
//! built    1.438  0.429  0.143  0.0366  0.0092  0.0022
//! trained  1.671  0.696  0.697  0.1705  0.2969  0.0892
//! ```
//!
//! ```text
//! cargo run --release --example lecture3_approximation
//! ```
//!
//! For another function, change [`f`].

mod lecture;

use cotangent::prelude::*;
use lecture::{Args, Outcome};

/// The function to approximate, on -1 to 1.
fn f(x: f64) -> f64 {
    (5.0 * x).sin() * (1.0 - 0.5 * x) + 0.4 * (11.0 * x).cos()
}

/// Points on which nets are trained and measured.
const POINTS: usize = 512;

/// Inner weights, kinks, outer weights and constant of `c + sum of v_i relu(w_i x + b_i)`.
struct Net {
    w: Vec<f64>,
    b: Vec<f64>,
    v: Vec<f64>,
    c: f64,
}

/// The net of the proof: a kink at each of `width` samples.
fn built(width: usize) -> Net {
    let at = |i: usize| -1.0 + 2.0 * i as f64 / width as f64;
    let slope = |i: usize| (f(at(i + 1)) - f(at(i))) / (at(i + 1) - at(i));
    let v = (0..width).map(|i| if i == 0 { slope(0) } else { slope(i) - slope(i - 1) }).collect();
    Net { w: vec![1.0; width], b: (0..width).map(|i| -at(i)).collect(), v, c: f(-1.0) }
}

fn main() -> Outcome {
    let args = Args::parse("The universal approximation theorem in one dimension");
    let xs: Vec<f64> = (0..POINTS).map(|i| -1.0 + 2.0 * i as f64 / (POINTS - 1) as f64).collect();
    let target: Vec<f64> = xs.iter().map(|&x| f(x)).collect();
    let column = |v: &[f64]| Array::new([POINTS, 1], v.iter().map(|&x| x as f32).collect::<Vec<_>>());
    let (x_values, y_values) = (column(&xs)?, column(&target)?);
    let widths = [4usize, 8, 16, 32, 64, 128];
    let (mut of_built, mut of_trained, mut fits) =
        (Vec::new(), Vec::new(), vec![("f".to_owned(), points(&xs, &target))]);
    println!("width   largest error: built by the proof   trained");
    for width in widths {
        let g = Builder::new();
        let (x, y) = (g.input("x", f32([POINTS, 1])), g.input("y", f32([POINTS, 1])));
        // At first kinks are spread over the interval, as no gradient tells a relu that is 0 everywhere where to go.
        let kinks: Vec<f32> = (0..width).map(|i| 1.0 - 2.0 * (i as f32 + 0.5) / width as f32).collect();
        let signs: Vec<f32> = (0..width).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let bias: Vec<f32> = kinks.iter().zip(&signs).map(|(k, s)| k * s).collect();
        let w = g.param("w", Array::new([1, width], signs)?);
        let b = g.param("b", Array::from(bias));
        let v = g.param("v", init::he([width, 1], 1));
        let c = g.param("c", init::zeros([1]));
        let net = (x.dot(w) + b).relu().dot(v) + c;
        let steps = args.or(4000, 100);
        let rate = Rate::cosine(0.02, steps);
        let mut step = Adam::new(rate).minimize(net.mse(y)).compile(&Options::default())?;
        let mut outputs = step.forward(net)?;

        // The same program runs the proof's net: only the numbers differ.
        let proof = built(width);
        for (name, numbers, shape) in [("w", proof.w, [1, width]), ("v", proof.v, [width, 1])] {
            step.params().set(name, &Array::new(shape, numbers.iter().map(|&x| x as f32).collect::<Vec<_>>())?)?;
        }
        let trained_start =
            (step.params().get("b")?, Array::from(proof.b.iter().map(|&x| x as f32).collect::<Vec<_>>()));
        step.params().set("b", &trained_start.1)?;
        step.params().set("c", &Array::from(vec![proof.c as f32]))?;
        let by_proof = outputs.run(&[("x", &x_values)])?.first().to_f64_vec();

        for (name, init) in g.program(&[("net", net)]).initial.iter() {
            step.params().set(name, &**init)?;
        }
        for _ in 0..steps {
            step.run(&[("x", &x_values), ("y", &y_values)])?;
        }
        let by_training = outputs.run(&[("x", &x_values)])?.first().to_f64_vec();
        let error = |values: &[f64]| values.iter().zip(&target).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("{width:5}   {:32.4}   {:7.4}", error(&by_proof), error(&by_training));
        of_built.push((width as f64, error(&by_proof)));
        of_trained.push((width as f64, error(&by_training)));
        if width == 16 {
            fits.push(("16 relus, built".to_owned(), points(&xs, &by_proof)));
            fits.push(("16 relus, trained".to_owned(), points(&xs, &by_training)));
        }
    }
    let errors = vec![("built by the proof".to_owned(), of_built), ("trained".to_owned(), of_trained)];
    lecture::curves(
        &args,
        vec![
            ("A function and two nets", ["x", "y"], fits),
            ("Error against width", ["log width", "log largest error"], errors),
        ],
    )
}

/// Every fourth point, which is enough to draw.
fn points(xs: &[f64], ys: &[f64]) -> Vec<(f64, f64)> {
    xs.iter().copied().zip(ys.iter().copied()).step_by(4).collect()
}
