//! Lecture 4: fully connected networks of `L` layers, `Z_{i+1} = sigma(Z_i W_i)`.
//!
//! The lecture states: depth is a hyperparameter, and more of it is not better by itself; what a deep net needs is an initialisation with which the sizes of
//! activations and gradients neither vanish nor explode on their way, for relu weights of variance `2 / n` (He et al. 2015).
//!
//! The run shows: accuracy on unseen digits of nets of about 8,000 parameters, shallow and wide to deep and narrow, after 20 epochs of Adam; and the root mean
//! square of `Z_i` and of the loss's gradient by `Z_i` in a net of 20 layers, for weights half as large, as large and twice as large as He's. Each layer
//! halves, keeps or doubles the first; the second goes the other way through the layers. Expected:
//!
//! ```text
//! layers        2      3      5      9     17
//! accuracy  0.971  0.966  0.963  0.926  0.923
//!
//! weights     Z_1      Z_19     gradient by Z_1      Z_19
//! 0.5 He     0.21    3.5e-7              3.4e-9    0.0014
//! 1 He       0.43      0.18              0.0018    0.0028
//! 2 He       0.86    96,000               1,600    0.0076
//! ```
//!
//! ```text
//! cargo run --release --example lecture4_depth
//! ```

mod lecture;

use cotangent::data;
use cotangent::prelude::*;
use lecture::{Args, Curve, Outcome};

/// Examples in a batch.
const M: usize = 50;

/// The activations `Z_1 ..` of a net whose layers have these widths; the last has no `sigma`. Weights are `scale` times He's.
fn net<'g>(x: Tensor<'g>, widths: &[usize], scale: f64) -> Vec<Tensor<'g>> {
    let g = x.builder();
    let mut z = vec![x];
    for (i, pair) in widths.windows(2).enumerate() {
        let std = scale * (2.0 / pair[0] as f64).sqrt();
        let w = g.param(&format!("W{}", i + 1), init::normal([pair[0], pair[1]], 0.0, std, i as u64));
        let product = z[i].dot(w);
        z.push(if i + 2 < widths.len() { product.relu() } else { product });
    }
    z
}

/// Sizes by layer.
type Sizes = Vec<(f64, f64)>;

fn main() -> Outcome {
    let args = Args::parse("Networks of L layers");
    println!("layers   width   parameters   accuracy on unseen digits");
    let mut accuracies = Vec::new();
    for (layers, width) in [(2, 108), (3, 60), (5, 41), (9, 29), (17, 21)] {
        let widths: Vec<usize> =
            std::iter::once(64).chain(std::iter::repeat_n(width, layers - 1)).chain([10]).collect();
        let count: usize = widths.windows(2).map(|p| p[0] * p[1]).sum();
        let accuracy = train(&widths, args.or(20, 1))?;
        println!("{layers:6}   {width:5}   {count:10}   {accuracy:.3}");
        accuracies.push((layers as f64, accuracy));
    }

    let mut sizes: [Vec<Curve>; 2] = Default::default();
    println!("\nroot mean squares in a net of 20 layers of 100");
    println!("scale   of Z_1      of Z_19     of the gradient by Z_1   by Z_19");
    for scale in [0.5, 1.0, 2.0] {
        let widths: Vec<usize> = std::iter::once(64).chain([100; 19]).chain([10]).collect();
        let [of_z, of_g] = sizes_by_layer(&widths, scale)?;
        let (last, first) = (of_z.len() - 1, 0);
        println!(
            "{scale:5}   {:8.1e}    {:8.1e}    {:8.1e}                 {:8.1e}",
            of_z[first].1, of_z[last].1, of_g[first].1, of_g[last].1
        );
        for (sizes, of) in sizes.iter_mut().zip([of_z, of_g]) {
            sizes.push((format!("{scale} × He"), of));
        }
    }
    let [of_z, of_g] = sizes;
    lecture::curves(
        &args,
        vec![
            ("Size of activations", ["layer", "log root mean square of Z"], of_z),
            ("Size of gradients", ["layer", "log root mean square of the gradient"], of_g),
        ],
    )
}

/// Trains by Adam and returns the accuracy on unseen digits.
fn train(widths: &[usize], epochs: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let digits = data::digits();
    let g = Builder::new();
    let (x, y) = (g.input("X", f32([M, 8, 8])), g.input("y", i32([M])));
    let z = net(x.reshape([M, 64]), widths, 1.0);
    let logits = z[z.len() - 1];
    let mut step = Adam::new(0.002).minimize(logits.cross_entropy(y).mean()).compile(&Options::default())?;
    let mut right = step.forward(logits.argmax(-1).eq(y).cast(DType::F32).mean())?;
    let mut batches = digits.train.shuffled(M, 0);
    for epoch in 0..epochs {
        for (xs, ys) in batches.epoch(epoch) {
            step.run(&[("X", xs), ("y", ys)])?;
        }
    }
    let test = digits.test.batches(M);
    let (count, mut sum) = (test.len(), 0.0);
    for (xs, ys) in test {
        sum += f64::from(right.run(&[("X", xs), ("y", ys)])?.scalar::<f32>()?);
    }
    Ok(sum / count as f64)
}

/// Root mean squares of the hidden `Z_i` and of the gradients by them, with random weights on a batch of digits.
fn sizes_by_layer(widths: &[usize], scale: f64) -> Result<[Sizes; 2], Box<dyn std::error::Error>> {
    let g = Builder::new();
    let (x, y) = (g.input("X", f32([M, 8, 8])), g.input("y", i32([M])));
    let z = net(x.reshape([M, 64]), widths, scale);
    let hidden = &z[1..z.len() - 1];
    let gradients = g.grad_all(z[z.len() - 1].cross_entropy(y).mean(), hidden);
    let sizes: Vec<_> = hidden.iter().chain(&gradients).map(|t| t.square().mean().sqrt()).collect();
    let names: Vec<String> = (0..sizes.len()).map(|i| i.to_string()).collect();
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(sizes).collect();
    let mut measure = g.program(&outputs).compile(&Options::default())?;
    let digits = data::digits();
    let (xs, ys) = digits.train.batches(M).next().ok_or("there are digits")?;
    let values: Vec<f64> = measure.run(&[("X", xs), ("y", ys)])?.iter().map(|(_, a)| a.get_f64(0)).collect();
    let numbered = |v: &[f64]| v.iter().enumerate().map(|(i, &s)| (i as f64 + 1.0, s)).collect();
    let (of_z, of_g) = values.split_at(hidden.len());
    Ok([numbered(of_z), numbered(of_g)])
}
