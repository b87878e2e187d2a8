//! The closed forms of a lecture on deep-learning systems: softmax regression, the two-layer net, the backward iteration of a deep net and the step of
//! gradient descent, in plain loops over `f64`, against what differentiation derives.
//!
//! Rows are examples: `X` is `[m, n]`, `y` the labels, `S` the rows' softmax, `I_y` the labels as one-hot rows.

mod engines;

use cotangent::prelude::*;
use cotangent::testing::{Draw, Tolerance, compare};
use engines::engines;

/// A matrix of plain numbers.
#[derive(Clone, Debug)]
struct Mat {
    rows: usize,
    cols: usize,
    at: Vec<f64>,
}

impl Mat {
    fn new(rows: usize, cols: usize, f: impl Fn(usize, usize) -> f64) -> Mat {
        Mat { rows, cols, at: (0..rows * cols).map(|k| f(k / cols, k % cols)).collect() }
    }

    fn random(rows: usize, cols: usize, seed: u64) -> Mat {
        let drawn = Draw::new(seed).uniform(&f64([rows, cols]), -1.0, 1.0);
        Mat { rows, cols, at: drawn.to_f64_vec() }
    }

    fn get(&self, i: usize, j: usize) -> f64 {
        self.at[i * self.cols + j]
    }

    fn t(&self) -> Mat {
        Mat::new(self.cols, self.rows, |i, j| self.get(j, i))
    }

    fn dot(&self, other: &Mat) -> Mat {
        assert_eq!(self.cols, other.rows);
        Mat::new(self.rows, other.cols, |i, j| (0..self.cols).map(|k| self.get(i, k) * other.get(k, j)).sum())
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Mat {
        Mat { at: self.at.iter().map(|&v| f(v)).collect(), ..*self }
    }

    /// The elementwise product.
    fn hadamard(&self, other: &Mat) -> Mat {
        assert_eq!((self.rows, self.cols), (other.rows, other.cols));
        Mat::new(self.rows, self.cols, |i, j| self.get(i, j) * other.get(i, j))
    }

    fn sub(&self, other: &Mat) -> Mat {
        Mat::new(self.rows, self.cols, |i, j| self.get(i, j) - other.get(i, j))
    }

    fn relu(&self) -> Mat {
        self.map(|v| v.max(0.0))
    }

    /// `1[x > 0]`.
    fn step(&self) -> Mat {
        self.map(|v| if v > 0.0 { 1.0 } else { 0.0 })
    }

    /// The softmax of each row.
    fn softmax(&self) -> Mat {
        let row = |i: usize| &self.at[i * self.cols..(i + 1) * self.cols];
        let sum = |i: usize| row(i).iter().map(|v| v.exp()).sum::<f64>();
        Mat::new(self.rows, self.cols, |i, j| self.get(i, j).exp() / sum(i))
    }

    /// `S - I_y` for these logits.
    fn error(&self, labels: &[i32]) -> Mat {
        self.softmax().sub(&Mat::new(self.rows, self.cols, |i, j| f64::from(labels[i] as usize == j)))
    }

    /// The mean of the rows' cross-entropies, from the definition.
    fn loss(&self, labels: &[i32]) -> f64 {
        let s = self.softmax();
        (0..self.rows).map(|i| -s.get(i, labels[i] as usize).ln()).sum::<f64>() / self.rows as f64
    }

    fn array(&self, dtype: DType) -> Array {
        Init::from(Array::new([self.rows, self.cols], self.at.clone()).unwrap()).dtype(dtype).array()
    }
}

fn labels(m: usize, classes: usize) -> Vec<i32> {
    (0..m).map(|i| (i * 5 + 2) as i32 % classes as i32).collect()
}

/// Both float types with what rounding may do to results of magnitude 1.
const TYPES: [(DType, f64); 2] = [(DType::F64, 1e-14), (DType::F32, 3e-6)];

/// Asserts that `actual` is `expected` up to rounding, relative to its largest element.
fn agree(what: &str, expected: &Mat, actual: &Array, rounding: f64) {
    let tolerance = Tolerance { scaled: rounding, ..Tolerance::EXACT };
    compare(&expected.array(actual.dtype()), actual, tolerance).unwrap_or_else(|e| panic!("{what}: {e}"));
}

/// Runs the program of these outputs on the inputs `x` and `y`.
fn run(g: &Builder, engine: Engine, outputs: &[(&str, Tensor<'_>)], x: &Array, y: &[i32]) -> Vec<Array> {
    let mut executable = g.program(outputs).compile(&Options::engine(engine)).unwrap();
    let y = Array::new([y.len()], y.to_vec()).unwrap();
    let results = executable.run(&[("x", x), ("y", &y)]).unwrap();
    results.iter().map(|(_, array)| array.clone()).collect()
}

#[test]
fn the_gradient_of_the_logits_is_softmax_less_one_hot() {
    let (m, k) = (6, 5);
    let (z, y) = (Mat::random(m, k, 1).map(|v| 3.0 * v), labels(m, k));
    for engine in engines() {
        for (dtype, rounding) in TYPES {
            let g = Builder::new();
            let logits = g.input("x", TensorType::new(dtype, [m, k]));
            let loss = logits.cross_entropy(g.input("y", i32([m]))).sum();
            let [gradient] = g.grad(loss, [logits]);
            let results = run(&g, engine, &[("g", gradient), ("loss", loss)], &z.array(dtype), &y);
            agree("S - I_y", &z.error(&y), &results[0], rounding);
            let error = results[1].get_f64(0) / (z.loss(&y) * m as f64) - 1.0;
            assert!(error.abs() < rounding, "loss off by {error:e}");
        }
    }
}

#[test]
fn softmax_regression_has_the_gradient_of_the_lecture() {
    let (m, n, k) = (12, 7, 4);
    let (x, w, y) = (Mat::random(m, n, 2), Mat::random(n, k, 3), labels(m, k));
    let error = x.dot(&w).error(&y);
    let expected = x.t().dot(&error);
    for engine in engines() {
        for (dtype, rounding) in TYPES {
            let g = Builder::new();
            let input = g.input("x", TensorType::new(dtype, [m, n]));
            let theta = g.param("theta", w.array(dtype));
            let losses = input.dot(theta).cross_entropy(g.input("y", i32([m])));
            let [of_sum] = g.grad(losses.sum(), [theta]);
            let [of_mean] = g.grad(losses.mean(), [theta]);
            let results = run(&g, engine, &[("sum", of_sum), ("mean", of_mean)], &x.array(dtype), &y);
            agree("X^T (S - I_y)", &expected, &results[0], rounding);
            agree("X^T (S - I_y) / m", &expected.map(|v| v / m as f64), &results[1], rounding);
        }
    }
}

#[test]
fn the_two_layer_net_has_the_gradients_of_the_lecture() {
    let (m, n, d, k) = (10, 6, 9, 4);
    let (x, y) = (Mat::random(m, n, 4), labels(m, k));
    let (w1, w2) = (Mat::random(n, d, 5), Mat::random(d, k, 6));
    let z1 = x.dot(&w1);
    let error = z1.relu().dot(&w2).error(&y);
    let d_w2 = z1.relu().t().dot(&error);
    let d_w1 = x.t().dot(&error.dot(&w2.t()).hadamard(&z1.step()));
    assert!(z1.step().at.contains(&0.0) && z1.step().at.contains(&1.0), "both sides of the kink occur");
    for engine in engines() {
        for (dtype, rounding) in TYPES {
            let g = Builder::new();
            let input = g.input("x", TensorType::new(dtype, [m, n]));
            let (p1, p2) = (g.param("w1", w1.array(dtype)), g.param("w2", w2.array(dtype)));
            let losses = input.dot(p1).relu().dot(p2).cross_entropy(g.input("y", i32([m])));
            let [g1, g2] = g.grad(losses.sum(), [p1, p2]);
            let [mean1, mean2] = g.grad(losses.mean(), [p1, p2]);
            let outputs = [("g1", g1), ("g2", g2), ("mean1", mean1), ("mean2", mean2)];
            let results = run(&g, engine, &outputs, &x.array(dtype), &y);
            agree("X^T ((S - I_y) W2^T o 1[X W1 > 0])", &d_w1, &results[0], rounding);
            agree("relu(X W1)^T (S - I_y)", &d_w2, &results[1], rounding);
            let mean = |sum: &Mat| sum.map(|v| v / m as f64);
            agree("the first, of the mean", &mean(&d_w1), &results[2], rounding);
            agree("the second, of the mean", &mean(&d_w2), &results[3], rounding);
        }
    }
}

/// An activation in loops, its derivative in loops, and the tensor method.
type Activation = (&'static str, fn(f64) -> f64, fn(f64) -> f64, for<'g> fn(Tensor<'g>) -> Tensor<'g>);

const ACTIVATIONS: [Activation; 3] = [
    ("relu", |z| z.max(0.0), |z| if z > 0.0 { 1.0 } else { 0.0 }, |z| z.relu()),
    ("tanh", f64::tanh, |z| 1.0 - z.tanh().powi(2), |z| z.tanh()),
    ("sigmoid", |z| 1.0 / (1.0 + (-z).exp()), |z| (-z).exp() / (1.0 + (-z).exp()).powi(2), |z| z.sigmoid()),
];

/// A net of `L` layers: forward `Z_{i+1} = sigma(Z_i W_i)`, without activation at the end; backward `G_L = S - I_y`,
/// `G_i = (G_{i+1} o sigma'(Z_i W_i)) W_i^T`, and the gradient of `W_i` is `Z_i^T (G_{i+1} o sigma'(Z_i W_i))`.
#[test]
fn deep_nets_follow_the_backward_iteration() {
    let (m, sizes) = (7, [5, 8, 6, 9, 4]);
    let layers = sizes.len() - 1;
    let (x, y) = (Mat::random(m, sizes[0], 7), labels(m, sizes[layers]));
    let weights: Vec<Mat> = (0..layers).map(|i| Mat::random(sizes[i], sizes[i + 1], 8 + i as u64)).collect();
    for (name, f, slope, tensor_f) in ACTIVATIONS {
        let mut z = vec![x.clone()];
        let mut products = Vec::new();
        for (i, w) in weights.iter().enumerate() {
            products.push(z[i].dot(w));
            z.push(if i + 1 < layers { products[i].map(f) } else { products[i].clone() });
        }
        let mut above = z[layers].error(&y);
        let mut expected = vec![None; layers];
        for i in (0..layers).rev() {
            let local = if i + 1 < layers { above.hadamard(&products[i].map(slope)) } else { above };
            expected[i] = Some(z[i].t().dot(&local));
            above = local.dot(&weights[i].t());
        }
        for engine in engines() {
            for (dtype, rounding) in TYPES {
                let g = Builder::new();
                let input = g.input("x", TensorType::new(dtype, [m, sizes[0]]));
                let mut t = input;
                let mut params = Vec::new();
                for (i, w) in weights.iter().enumerate() {
                    params.push(g.param(&format!("w{i}"), w.array(dtype)));
                    t = t.dot(params[i]);
                    t = if i + 1 < layers { tensor_f(t) } else { t };
                }
                let loss = t.cross_entropy(g.input("y", i32([m]))).sum();
                let mut wrt = params.clone();
                wrt.push(input);
                let gradients = g.grad_all(loss, &wrt);
                let names: Vec<String> = (0..=layers).map(|i| format!("g{i}")).collect();
                let outputs: Vec<_> = names.iter().map(String::as_str).zip(gradients).collect();
                let results = run(&g, engine, &outputs, &x.array(dtype), &y);
                for (i, (expected, actual)) in expected.iter().flatten().zip(&results).enumerate() {
                    agree(&format!("{name}, weights {i} of {layers}"), expected, actual, 3.0 * rounding);
                }
                agree(&format!("{name}, G_1"), &above, &results[layers], 3.0 * rounding);
            }
        }
    }
    println!("{} activations, {layers} layers, {} engines", ACTIVATIONS.len(), engines().len());
}

/// The backward pass reuses what the forward pass has computed: it adds no second product, activation or softmax of its own.
#[test]
fn the_backward_iteration_reuses_the_forward_pass() {
    let g = Builder::new();
    let (x, y) = (g.input("x", f32([7, 5])), g.input("y", i32([7])));
    let (w1, w2) = (g.param("w1", init::he([5, 8], 0)), g.param("w2", init::he([8, 4], 1)));
    let loss = x.dot(w1).tanh().dot(w2).cross_entropy(y).mean();
    let [g1, g2] = g.grad(loss, [w1, w2]);
    let count = |outputs: &[(&str, Tensor<'_>)]| {
        let graph = g.program(outputs).graph;
        let live = graph.live();
        let named = |name: &str| graph.ids().filter(|id| live[id.index()] && graph.op(*id).name() == name).count();
        ["tanh", "exp", "log", "dot"].map(named)
    };
    assert_eq!(count(&[("loss", loss)]), [1, 1, 1, 2]);
    // G W2^T, H^T G and X^T G.
    assert_eq!(count(&[("loss", loss), ("g1", g1), ("g2", g2)]), [1, 1, 1, 5]);
}

#[test]
fn a_step_of_gradient_descent_goes_down_the_gradient() {
    let (m, n, d, k, rate) = (10, 6, 9, 4, 0.25);
    let (x, y) = (Mat::random(m, n, 14), labels(m, k));
    for engine in engines() {
        for (dtype, rounding) in TYPES {
            let (mut w1, mut w2) = (Mat::random(n, d, 15), Mat::random(d, k, 16));
            let g = Builder::new();
            let input = g.input("x", TensorType::new(dtype, [m, n]));
            let (p1, p2) = (g.param("w1", w1.array(dtype)), g.param("w2", w2.array(dtype)));
            let loss = input.dot(p1).relu().dot(p2).cross_entropy(g.input("y", i32([m]))).mean();
            let mut step = Sgd::new(rate).minimize(loss).compile(&Options::engine(engine)).unwrap();
            let (xs, ys) = (x.array(dtype), Array::new([m], y.clone()).unwrap());
            let mut last = f64::INFINITY;
            for t in 0..5 {
                let z1 = x.dot(&w1);
                let logits = z1.relu().dot(&w2);
                let got = step.run(&[("x", &xs), ("y", &ys)]).unwrap().first().get_f64(0);
                let want = logits.loss(&y);
                assert!((got - want).abs() <= 10.0 * rounding * want, "{engine:?} {dtype} loss {t}: {got}, not {want}");
                assert!(got < last, "the loss falls");
                last = got;

                let error = logits.error(&y).map(|v| rate * v / m as f64);
                let next2 = w2.sub(&z1.relu().t().dot(&error));
                let next1 = w1.sub(&x.t().dot(&error.dot(&w2.t()).hadamard(&z1.step())));
                (w1, w2) = (next1, next2);
                agree(&format!("W1 after step {t}"), &w1, &step.params().get("w1").unwrap(), 10.0 * rounding);
                agree(&format!("W2 after step {t}"), &w2, &step.params().get("w2").unwrap(), 10.0 * rounding);
            }
        }
    }
}
