//! Lecture 6: backpropagation by hand, beside what the library derives.
//!
//! The lecture states: for two layers `dW1 = X^T((S - I_y) W2^T o sigma'(X W1))`. For `L` layers, with `G_L = S - I_y` and
//! `local_i = G_{i+1} o sigma'(Z_i W_i)`, the backward iteration is `G_i = local_i W_i^T` and `dW_i = Z_i^T local_i`: it needs the `Z_i` of the forward pass,
//! which are kept, and costs two products for each one of the forward pass.
//!
//! The run shows: both written in the builder's own operations, the largest difference to `grad`, whether the two programs are one after optimization, and
//! how much of the forward pass the backward pass reads. Expected: values that differ by 1e-7 to 3e-7 of the largest; and for `L` layers `L` products
//! forward and `2 L - 1` backward, none of the forward pass a second time: of its matrices the backward pass reads 3 for 2 layers of relus and 7 for 4, as a
//! relu's slope is told by what goes into it, and 2 and 4 of tanh, whose slope is told by what comes out. The formulas are the same; the graphs differ in
//! how they divide by `m`: by hand after the softmax, derived inside it.
//!
//! ```text
//! cargo run --release --example lecture6_backprop
//! ```

mod lecture;

use cotangent::Graph;
use cotangent::data;
use cotangent::opt::{OptOptions, optimize};
use cotangent::prelude::*;
use lecture::{Args, Outcome};

/// Examples in a batch.
const M: usize = 50;

/// What `grad` is compared with: `sigma` and its derivative, given `sigma(z)` and `z`.
type Sigma = (&'static str, for<'g> fn(Tensor<'g>) -> Tensor<'g>, for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>);

const SIGMAS: [Sigma; 2] =
    [("relu", |z| z.relu(), |_, z| z.gt(0.0).cast(DType::F32)), ("tanh", |z| z.tanh(), |h, _| 1.0 - h.square())];

/// Points of a curve.
type Curve = Vec<(f64, f64)>;

fn main() -> Outcome {
    let args = Args::parse("Backpropagation by hand");
    for (name, sigma, slope) in SIGMAS {
        for widths in [&[64, 100, 10][..], &[64, 80, 60, 40, 10]] {
            compare(name, sigma, slope, widths)?;
        }
    }
    lecture::curves(&args, vec![("Products of matrices", ["layers", "products in one step"], products()?)])
}

/// `[Z_1 = X, .., Z_{L+1}]` and `[Z_i W_i]`.
fn forward<'g>(
    x: Tensor<'g>,
    weights: &[Tensor<'g>],
    sigma: for<'a> fn(Tensor<'a>) -> Tensor<'a>,
) -> (Vec<Tensor<'g>>, Vec<Tensor<'g>>) {
    let (mut z, mut products) = (vec![x], Vec::new());
    for (i, &w) in weights.iter().enumerate() {
        products.push(z[i].dot(w));
        z.push(if i + 1 < weights.len() { sigma(products[i]) } else { products[i] });
    }
    (z, products)
}

/// The lecture's backward iteration.
fn backward<'g>(
    (z, products): &(Vec<Tensor<'g>>, Vec<Tensor<'g>>),
    y: Tensor<'g>,
    weights: &[Tensor<'g>],
    slope: for<'a> fn(Tensor<'a>, Tensor<'a>) -> Tensor<'a>,
) -> Vec<Tensor<'g>> {
    let (last, classes) = (weights.len() - 1, z[weights.len()].shape()[1]);
    let mut g = (z[last + 1].softmax(-1) - y.one_hot(classes, DType::F32)) / M as f64;
    let mut gradients = Vec::new();
    for i in (0..=last).rev() {
        let local = if i < last { g * slope(z[i + 1], products[i]) } else { g };
        gradients.insert(0, z[i].t().dot(local));
        g = local.dot(weights[i].t());
    }
    gradients
}

fn compare(
    name: &str,
    sigma: for<'g> fn(Tensor<'g>) -> Tensor<'g>,
    slope: for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>,
    widths: &[usize],
) -> Outcome {
    let g = Builder::new();
    let (x, y) = (g.input("X", f32([M, 64])), g.input("y", i32([M])));
    let weights: Vec<Tensor<'_>> =
        (1..widths.len()).map(|i| g.param(&format!("W{i}"), init::he([widths[i - 1], widths[i]], i as u64))).collect();
    let net = forward(x, &weights, sigma);
    let loss = net.0[weights.len()].cross_entropy(y).mean();
    let derived = g.grad_all(loss, &weights);
    let by_hand = backward(&net, y, &weights, slope);

    println!("{name}, {} layers: derived", weights.len());
    let names: Vec<String> = (1..=weights.len()).map(|i| format!("dW{i}")).collect();
    let program = |gradients: &[Tensor<'_>]| {
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(gradients.iter().copied()).collect();
        g.program(&outputs)
    };
    let (derived, by_hand) = (program(&derived), program(&by_hand));
    let formulas = derived.to_math().extent("m", M).to_string();
    formulas.lines().for_each(|line| println!("  {line}"));

    let digits = data::digits();
    let (xs, ys) = digits.train.batches(M).next().ok_or("there are digits")?;
    let xs = xs.to_array().reshaped([M, 64])?;
    let mut worst = 0f64;
    let (mut a, mut b) = (derived.compile(&Options::default())?, by_hand.compile(&Options::default())?);
    let (a, b) = (a.run(&[("X", (&xs).into()), ("y", ys.clone())])?, b.run(&[("X", (&xs).into()), ("y", ys)])?);
    for ((_, a), (_, b)) in a.iter().zip(b.iter()) {
        let (a, b) = (a.to_f64_vec(), b.to_f64_vec());
        let largest = a.iter().fold(0f64, |m, v| m.max(v.abs()));
        worst = a.iter().zip(&b).fold(worst, |w, (a, b)| w.max((a - b).abs() / largest));
    }
    println!("  largest difference to the gradients by hand: {worst:.1e} of the largest element");

    let optimized = |p: &Program| optimize(&p.graph, &OptOptions::default()).graph;
    let (da, db) = (optimized(&derived), optimized(&by_hand));
    let same_graph = da.text().origins(false).to_string() == db.text().origins(false).to_string();
    let same_formulas = by_hand.to_math().extent("m", M).to_string() == formulas;
    println!("  by hand: the same optimized graph {same_graph}, the same formulas {same_formulas}");
    if !same_formulas {
        by_hand.to_math().extent("m", M).to_string().lines().for_each(|line| println!("    {line}"));
    }
    println!("  nodes: {} derived, {} by hand", da.len(), db.len());
    reuse(&da, weights.len());
    Ok(())
}

/// Prints what the backward pass reads of the forward pass. Gradient nodes are known by their origin.
fn reuse(graph: &Graph, layers: usize) {
    let live = graph.live();
    let backward = |id| graph.node(id).origin.vjp.is_some();
    let dots = |b: bool| {
        graph.ids().filter(|&id| live[id.index()] && graph.op(id).name() == "dot" && backward(id) == b).count()
    };
    let read: Vec<_> = graph
        .ids()
        .filter(|&id| {
            live[id.index()] && !backward(id) && graph.shape(id).rank() == 2 && graph.op(id).leaf_name().is_none()
        })
        .filter(|&id| {
            graph.ty(id).dtype.is_float() && graph.users(id).any(|(user, _)| backward(user) && live[user.index()])
        })
        .collect();
    println!(
        "  products: {} forward, {} backward; the backward pass reads {} matrices of the forward pass, for {} layers\n",
        dots(false),
        dots(true),
        read.len(),
        layers
    );
}

/// Products of matrices against layers, forward and with the backward pass, counted in optimized graphs.
fn products() -> Result<Vec<(String, Curve)>, Box<dyn std::error::Error>> {
    let mut curves = vec![("forward".to_owned(), Vec::new()), ("forward and backward".to_owned(), Vec::new())];
    for layers in 2..=8 {
        let g = Builder::new();
        let (x, y) = (g.input("X", f32([M, 32])), g.input("y", i32([M])));
        let weights: Vec<_> = (1..=layers).map(|i| g.param(&format!("W{i}"), init::he([32, 32], i))).collect();
        let (z, _) = forward(x, &weights, |z| z.tanh());
        let loss = z[weights.len()].cross_entropy(y).mean();
        let gradients = g.grad_all(loss, &weights);
        let names: Vec<String> = (0..gradients.len()).map(|i| i.to_string()).collect();
        let mut outputs = vec![("loss", loss)];
        let dots = |outputs: &[(&str, Tensor<'_>)]| {
            let graph = optimize(&g.program(outputs).graph, &OptOptions::default()).graph;
            graph.ids().filter(|&id| graph.op(id).name() == "dot").count() as f64
        };
        curves[0].1.push((layers as f64, dots(&outputs)));
        outputs.extend(names.iter().map(String::as_str).zip(gradients));
        curves[1].1.push((layers as f64, dots(&outputs)));
    }
    Ok(curves)
}
