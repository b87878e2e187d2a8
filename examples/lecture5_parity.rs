//! Lecture 5: parity, which a deep net represents easily and gradient descent does not learn.
//!
//! The lecture states: that a function is in the hypothesis class does not mean that training finds it. Whether the number of ones among `n` bits is odd is
//! computed by `n` relus; but the gradients of any two parities are nearly orthogonal, so from some `n` on descent learns nothing from its steps (S.
//! Shalev-Shwartz, O. Shamir and S. Shammah, "Failures of gradient-based deep learning", 2017).
//!
//! The run shows: accuracy on unseen strings of a net that is built, and of nets trained by 3,000 steps of Adam on 4,000 random strings and on fresh strings in
//! each step, by number of bits and by depth; 0.5 is what guessing gives. The net that is built is right for any number of bits. Neither depth nor more data
//! helps from 20 bits on. Expected:
//!
//! ```text
//! bits                               4     8    12    16    20    30
//! built                           1.00  1.00  1.00  1.00  1.00  1.00
//! 2 layers, 4,000 strings         1.00  1.00  0.82  0.59  0.50  0.50
//! 2 layers, fresh strings         1.00  1.00  0.87  0.68  0.56  0.50
//! 4 layers, 4,000 strings         1.00  1.00  0.81  0.55  0.50  0.50
//! 4 layers, fresh strings         1.00  1.00  0.99  0.54  0.50  0.49
//! ```
//!
//! ```text
//! cargo run --release --example lecture5_parity
//! ```

mod lecture;

use cotangent::prelude::*;
use cotangent::testing::Draw;
use lecture::{Args, Outcome};

/// Examples in a batch.
const M: usize = 128;

fn main() -> Outcome {
    let args = Args::parse("Parity is easy to represent and hard to learn");
    let bits = [4usize, 8, 12, 16, 20, 30];
    let steps = args.or(3000, 100);
    println!("accuracy on unseen strings, by number of bits\n");
    println!("{:34}{}", "", bits.map(|n| format!("{n:6}")).concat());
    let show = |name: &str, accuracies: &[f64]| {
        let figures: String = accuracies.iter().map(|a| format!("{a:6.2}")).collect();
        println!("{name:34}{figures}");
    };

    let built: Vec<f64> = bits.iter().map(|&n| built(n)).collect::<Result<_, _>>()?;
    show("built, 2 layers of n relus", &built);
    let mut curves = vec![("built".to_owned(), built)];
    for (layers, data) in [(2, Some(4000)), (2, None), (4, Some(4000)), (4, None)] {
        let name = format!("{layers} layers, {}", data.map_or("fresh strings".to_owned(), |n| format!("{n} strings")));
        let learned: Vec<f64> = bits.iter().map(|&n| learned(n, layers, data, steps)).collect::<Result<_, _>>()?;
        show(&format!("trained, {name}"), &learned);
        curves.push((name, learned));
    }
    let at = |(name, accuracies): (String, Vec<f64>)| {
        (name, bits.iter().map(|&n| n as f64).zip(accuracies).collect::<Vec<_>>())
    };
    let curves = curves.into_iter().map(at).collect();
    lecture::curves(&args, vec![("Parity", ["bits", "accuracy on unseen strings"], curves)])
}

/// Random strings of bits, as -1 and 1, and whether the count of ones is odd.
fn strings(n: usize, count: usize, draw: &mut Draw) -> (Vec<f32>, Vec<i32>) {
    let bits: Vec<bool> = (0..n * count).map(|_| draw.chance(0.5)).collect();
    let odd = bits.chunks(n).map(|s| (s.iter().filter(|b| **b).count() % 2) as i32).collect();
    (bits.into_iter().map(|b| if b { 1.0 } else { -1.0 }).collect(), odd)
}

/// The accuracy of a net made by hand. With `s` the count of ones, `relu(s) - 2 relu(s - 1) + 2 relu(s - 2) - ..` goes up and down between 0 and 1 and is
/// the parity at whole numbers.
fn built(n: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let g = Builder::new();
    let (x, y) = (g.input("x", f32([M, n])), g.input("y", i32([M])));
    let kinks: Vec<f32> = (0..n).map(|i| n as f32 / 2.0 - i as f32).collect();
    let signs: Vec<f32> =
        (0..n).map(|i| if i == 0 { 1.0 } else { 2.0 } * if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let hidden = x.dot(g.full(f32([n, n]), 0.5)) + g.constant(kinks);
    let parity = hidden.relu().dot(g.constant(Array::new([n, 1], signs)?));
    accuracy(n, parity.reshape([M]).gt(0.5).cast(DType::I32), y, None)
}

/// The accuracy of a net of 64 relus a layer after so many steps of Adam, on so many different strings or on fresh ones.
fn learned(n: usize, layers: usize, data: Option<usize>, steps: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let g = Builder::new();
    let (x, y) = (g.input("x", f32([M, n])), g.input("y", i32([M])));
    let mut z = x;
    for layer in 1..=layers {
        let (from, to) = (z.shape()[1], if layer == layers { 2 } else { 64 });
        let w = g.param(&format!("W{layer}"), init::he([from, to], layer as u64));
        z = z.dot(w) + g.param(&format!("b{layer}"), init::zeros([to]));
        z = if layer < layers { z.relu() } else { z };
    }
    let mut step = Adam::new(0.001).minimize(z.cross_entropy(y).mean()).compile(&Options::default())?;
    let mut draw = Draw::new(1);
    let kept = data.map(|count| strings(n, count, &mut draw));
    for _ in 0..steps {
        let (xs, ys) = match &kept {
            None => strings(n, M, &mut draw),
            Some((all, odd)) => {
                let chosen: Vec<usize> = (0..M).map(|_| draw.below(odd.len())).collect();
                let rows = chosen.iter().flat_map(|&i| &all[i * n..(i + 1) * n]).copied().collect();
                (rows, chosen.iter().map(|&i| odd[i]).collect())
            }
        };
        step.run(&[("x", &Array::new([M, n], xs)?), ("y", &Array::from(ys))])?;
    }
    accuracy(n, z.argmax(-1), y, Some(&step))
}

/// How often `guess` is the parity of strings that were not learned from.
fn accuracy(
    n: usize,
    guess: Tensor<'_>,
    y: Tensor<'_>,
    trained: Option<&Executable>,
) -> Result<f64, Box<dyn std::error::Error>> {
    let right = guess.eq(y).cast(DType::F32).mean();
    let mut right = match trained {
        Some(step) => step.forward(right)?,
        None => guess.builder().program(&[("right", right)]).compile(&Options::default())?,
    };
    let (mut draw, mut sum) = (Draw::new(2), 0.0);
    for _ in 0..20 {
        let (xs, ys) = strings(n, M, &mut draw);
        sum += f64::from(right.run(&[("x", &Array::new([M, n], xs)?), ("y", &Array::from(ys))])?.scalar::<f32>()?);
    }
    Ok(sum / 20.0)
}
