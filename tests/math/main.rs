//! Formulas mean what their graphs compute: they are read back, evaluated over `f64`, and compared with the interpreter on the graph as written.

mod reader;

use std::collections::BTreeMap;

use cotangent::opt::{OptOptions, optimize};
use cotangent::prelude::*;
use cotangent::testing::{Draw, Tolerance, compare};
use cotangent::{Graph, interp};
use reader::{Value, evaluate};

/// Asserts that the formulas of all outputs of the graph, as it is and optimized, give what it computes. `ones` is as for [`evaluate`].
fn check(what: &str, graph: &Graph, leaves: &BTreeMap<String, Array>, ones: usize) {
    let results = interp::run(graph, |id, _| &leaves[&**graph.op(id).leaf_name().unwrap()]);
    let values: BTreeMap<String, Value> = leaves.iter().map(|(n, a)| (n.clone(), Value::of(a))).collect();
    let optimized = optimize(graph, &OptOptions::default()).graph;
    for (level, graph) in [("as written", graph), ("optimized", &optimized)] {
        let text = graph.to_math().extent("m", 4).to_string();
        let found = evaluate(&text, &values, ones).unwrap_or_else(|e| panic!("{what}, {level}: {e}\n{text}"));
        for (output, expected) in graph.outputs().iter().zip(&results.outputs) {
            let actual = &found[&*output.name];
            let actual = actual.array(expected.shape()).unwrap_or_else(|e| panic!("{what}, {level}: {e}\n{text}"));
            let tolerance = Tolerance { scaled: 1e-9, absolute: 1e-12, ..Tolerance::EXACT };
            compare(expected, &actual, tolerance).unwrap_or_else(|e| panic!("{what}, {level}: {e}\n{text}"));
        }
    }
}

/// The values of all inputs and parameters: labels below 3, floats of magnitude 1.
fn leaves(graph: &Graph, seed: u64) -> BTreeMap<String, Array> {
    let mut draw = Draw::new(seed);
    let leaf =
        |id| graph.op(id).leaf_name().map(|name: &cotangent::graph::Name| (name.to_string(), graph.ty(id).clone()));
    let all: Vec<_> = graph.ids().filter_map(leaf).collect();
    let mut value = |ty: &TensorType| match ty.dtype {
        DType::I32 => {
            Array::new(ty.shape.clone(), (0..ty.shape.numel()).map(|i| (i as i32 * 2) % 3).collect()).unwrap()
        }
        _ => draw.uniform(ty, -1.0, 1.0),
    };
    all.iter().map(|(name, ty)| (name.clone(), value(ty))).collect()
}

/// A layer's function.
type Activation = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

#[test]
fn losses_of_nets_and_their_gradients() {
    let activations: [(&str, Activation); 9] = [
        ("relu", |z| z.relu()),
        ("tanh", |z| z.tanh()),
        ("sigmoid", |z| z.sigmoid()),
        ("softplus", |z| z.softplus()),
        ("silu", |z| z.silu()),
        ("layer norm", |z| z.layer_norm(1e-5)),
        ("softmax", |z| z.softmax(-1)),
        ("softmax of columns", |z| z.softmax(0)),
        ("log softmax", |z| z.log_softmax(-1)),
    ];
    type Loss = for<'g> fn(Tensor<'g>, Tensor<'g>, Tensor<'g>) -> Tensor<'g>;
    let losses: [(&str, Loss); 4] = [
        ("cross-entropy", |z, y, _| z.cross_entropy(y).mean()),
        ("sum of cross-entropies", |z, y, _| z.cross_entropy(y).sum()),
        ("squares", |z, _, t| z.mse(t)),
        ("logistic", |z, _, t| z.bce_with_logits(t.sigmoid()).mean()),
    ];
    for (name, activation) in activations {
        for (loss_name, loss) in losses {
            for bias in [false, true] {
                let g = Builder::new();
                let (x, y, t) = (g.input("X", f64([4, 5])), g.input("y", i32([4])), g.input("T", f64([4, 3])));
                let (w1, w2) = (g.param("W1", f64([5, 6])), g.param("W2", f64([6, 3])));
                let (b1, b2) = (g.param("b1", f64([6])), g.param("b2", f64([3])));
                let z = if bias { x.dot(w1) + b1 } else { x.dot(w1) };
                let z = activation(z).dot(w2);
                let loss = loss(if bias { z + b2 } else { z }, y, t);
                let wrt = if bias { vec![w1, w2, x, b1, b2] } else { vec![w1, w2, x] };
                let gradients = g.grad_all(loss, &wrt);
                let names: Vec<String> = (0..wrt.len()).map(|i| format!("out{i}")).collect();
                let mut outputs: Vec<_> = names.iter().map(String::as_str).zip(gradients).collect();
                outputs.push(("loss", loss));
                let program = g.program(&outputs);
                check(&format!("{loss_name} of {name}, bias {bias}"), &program.graph, &leaves(&program.graph, 1), 1);
            }
        }
    }
}

/// One random operation on square matrices, among them all that bindings could confuse.
fn grow<'g>(draw: &mut Draw, a: Tensor<'g>, b: Tensor<'g>, y: Tensor<'g>) -> Tensor<'g> {
    match draw.below(30) {
        0 | 1 => a + b,
        2 | 3 => a - b,
        4 | 5 => a * b,
        6 => a / (b * b + 1.0),
        7 | 8 => a.dot(b) * 0.5,
        9 => a.t(),
        10 => a.relu(),
        11 => a.tanh(),
        12 => a * 0.25,
        13 => -a,
        14 => a.softmax(-1),
        15 => a.softmax(0),
        16 => a - a.mean_over(0),
        17 => a * a.sum_keep(1),
        18 => a + 1.5,
        19 => a.sigmoid() - b.tanh().square(),
        20 => a.log_softmax(1),
        21 => a.gt(b).select(a, b),
        22 => a.le(0.0).select(g_zeros(a), b),
        23 => a - a.logsumexp_keep(1),
        24 => a.layer_norm(0.5),
        25 => a + b.pick(y),
        26 => a.dot(b.sum_over(0)).tanh() + a,
        27 => a.sum() * 0.1 * b,
        28 => (a.lt(b) & b.lt(1.0)).select(a, g_zeros(a)) + b.dot(a).tanh(),
        _ => (a * a + 1.0).sqrt() / (b.exp() + 1.0),
    }
}

fn g_zeros(like: Tensor<'_>) -> Tensor<'_> {
    like.builder().zeros(like.ty())
}

#[test]
fn random_formulas_of_square_matrices() {
    for seed in 0..400 {
        let mut draw = Draw::new(seed);
        let g = Builder::new();
        let y = g.input("y", i32([3]));
        let mut pool = vec![g.input("X", f64([3, 3])), g.input("A1", f64([3, 3])), g.param("A2", f64([3, 3]))];
        for _ in 0..draw.between(3, 9) {
            // Often the newest, so that formulas nest.
            let newest = *pool.last().unwrap();
            let any = pool[draw.below(pool.len())];
            let (a, b) = if draw.chance(0.5) { (newest, any) } else { (any, newest) };
            pool.push(grow(&mut draw, a, b, y));
        }
        let last = *pool.last().unwrap();
        let [by] = g.grad((last * pool[1]).sum(), [pool[0]]);
        let program = g.program(&[("value", last), ("gradient", by)]);
        check(&format!("seed {seed}"), &program.graph, &leaves(&program.graph, seed), 3);
    }
}

#[test]
fn a_long_chain_is_cut_into_definitions() {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let mut t = x;
    for _ in 0..20_000 {
        t = t.sin();
    }
    let text = g.program(&[("t", t)]).graph.to_math().to_string();
    assert!(text.lines().count() > 1000 && text.lines().all(|l| l.chars().count() < 200), "lines stay short");
}

#[test]
fn loops_are_called_by_names_and_their_trips_told_below() {
    let g = Builder::new();
    let (xs, w) = (g.input("xs", f64([12, 8, 4])), g.param("W", f64([4, 4])));
    let h0 = g.input("h0", f64([8, 4]));
    let (h, _) = g.scan(h0, xs, |h, x| ((h.dot(w) + x).tanh(), ()));
    let loss = h.square().mean();
    assert_eq!(
        h.to_math().to_string(),
        "\
scan₁.carry₀(h₀, xs, W)
scan₁(carry₀, slice₀, W): 12 trips, each with the next slice₀
  carry₀ ← tanh(carry₀ W + slice₀)
"
    );
    // The gradient goes back through what the trips have kept.
    let gradient = loss.gradients_to_math(&[w]).to_string();
    for line in [
        "  y₀ = carry₀",
        "scan₂(d_carry₀, sum_d_W, carry₀, kept₅, W): 12 trips, each with the next carry₀, kept₅, from the last on",
        "  sum_d_W ← sum_d_W + carry₀ᵀ (d_carry₀ ∘ (1 − kept₅²))",
    ] {
        assert!(gradient.lines().any(|l| l == line), "{line} is not in\n{gradient}");
    }
    let latex = h.to_math().latex().to_string();
    let lines: Vec<&str> = latex.lines().collect();
    assert_eq!(
        lines[2..4],
        [
            r"& \mathrm{scan}_{1}\left(\mathrm{carry}_{0}, \mathrm{slice}_{0}, W\right)\text{: 12 trips}\text{, each with the next }\mathrm{slice}_{0} \\",
            r"\quad \mathrm{carry}_{0} &\leftarrow \tanh\left(\mathrm{carry}_{0} W + \mathrm{slice}_{0}\right)",
        ]
    );

    let (q, up) = (g.input("q", f64([3])), g.input("up", bool([])));
    let doubled = g.while_loop(q, 20, |q| q.sum().lt(100.0), |q| q * 2.0);
    assert_eq!(
        doubled.to_math().to_string(),
        "\
while₁.carry₀(q)
while₁(carry₀): at most 20 trips
  as long as Σᵢ(carry₀) < 100
  carry₀ ← 2 · carry₀
"
    );
    let chosen = g.cond(up, || q.exp(), || q * 2.0);
    assert_eq!(
        chosen.to_math().to_string(),
        "\
if₂.carry₀(if₁.carry₀(0 · ones[3], q, up), q, up)
if₁(carry₀, q, up)
  if up
  carry₀ ← exp(q)
if₂(carry₀, q, up)
  if ¬up
  carry₀ ← 2 · q
"
    );
    // In both: a loop inside of another.
    let nested =
        g.scan(q, g.zeros(f64([2, 3])), |q, x| (g.while_loop(q + x, 5, |q| q.sum().lt(9.0), |q| q * 3.0), ())).0;
    let text = nested.to_math().to_string();
    assert!(text.contains("\n  while₁(carry₀): at most 5 trips\n    as long as Σᵢ(carry₀) < 9\n"), "{text}");
}
