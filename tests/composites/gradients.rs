//! First and second derivatives against finite differences, in several shapes.

use cotangent::interp;
use cotangent::prelude::*;
use cotangent::testing::{Draw, Tolerance, check_gradient, compare};

type Function = Box<dyn for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Tensor<'g>>;

/// A differentiable function at a point.
struct Row {
    name: &'static str,
    inputs: Vec<Array>,
    f: Function,
}

fn row(
    name: &'static str,
    inputs: &[Array],
    f: impl for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Tensor<'g> + 'static,
) -> Row {
    Row { name, inputs: inputs.to_vec(), f: Box::new(f) }
}

/// Numbers between -2 and 2, other ones for each shape.
fn x(shape: &[usize]) -> Array {
    between(shape, -2.0, 2.0)
}

fn between(shape: &[usize], low: f64, high: f64) -> Array {
    let seed = shape.iter().fold(23, |s, &d| s * 31 + d as u64);
    Draw::new(seed).uniform(&f64(shape), low, high)
}

fn labels(values: &[i64]) -> Array {
    Array::new([values.len()], values.to_vec()).unwrap()
}

fn normalization() -> Vec<Row> {
    let mut rows = vec![
        row("layer_norm_over", &[x(&[2, 3, 4])], |_, x| x[0].layer_norm_over([0, 2], 1e-3)),
        row("layer_norm_over all axes", &[x(&[2, 3])], |_, x| x[0].layer_norm_over([0, 1], 1e-3)),
        row("layer_norm of no rows", &[x(&[0, 3])], |_, x| x[0].layer_norm(1e-3)),
        row("layer_norm of one feature", &[x(&[3, 1])], |_, x| x[0].layer_norm(1e-1)),
        row("rms_norm", &[x(&[3, 4])], |_, x| x[0].rms_norm(-1, 1e-3)),
        row("rms_norm of the first axis, with gain", &[x(&[3, 4]), x(&[4])], |_, x| x[0].rms_norm(0, 1e-3) * x[1]),
        row("rms_norm of one element", &[between(&[2, 1], 0.5, 1.0)], |_, x| x[0].rms_norm([0, 1], 1e-3)),
        row("group_norm", &[x(&[2, 4, 3])], |_, x| x[0].group_norm(2, 1e-3)),
        row("group_norm of no examples", &[x(&[0, 4, 3])], |_, x| x[0].group_norm(2, 1e-3)),
        row("instance_norm", &[x(&[2, 2, 5])], |_, x| x[0].instance_norm(1e-3)),
        row("affine", &[x(&[2, 3, 4]), x(&[2, 4]), between(&[2, 4], 0.0, 1.0)], |_, x| {
            x[0].affine(x[1], x[2], [0, 2]).tanh()
        }),
        row("local_response_norm", &[x(&[2, 5, 2])], |_, x| x[0].local_response_norm(3, 0.5, 0.75, 1.0)),
        row("local_response_norm wider than the channels", &[x(&[2, 2])], |_, x| {
            x[0].local_response_norm(6, 0.5, 0.75, 1.0)
        }),
    ];
    for (name, axis, shape) in [
        ("batch_norm", 1, &[4, 3][..]),
        ("batch_norm of images", 1, &[2, 3, 2, 2]),
        ("batch_norm of the last axis", -1, &[2, 2, 3]),
        ("batch_norm of one channel", 0, &[1, 4]),
    ] {
        let channels = shape[if axis < 0 { shape.len() - 1 } else { axis as usize }];
        let inputs = [x(shape), x(&[channels]), between(&[channels], 0.0, 1.0)];
        rows.push(row(name, &inputs, move |g, x| {
            let mut norm = BatchNorm::new(g, "norm", x[1].ty(), axis).eps(1e-3);
            [norm.gain, norm.bias] = [x[1], x[2]];
            norm.train(x[0]).0.tanh()
        }));
    }
    rows
}

fn attention() -> Vec<Row> {
    let qkv = |q: &[usize], k: &[usize]| [x(q), x(k), between(k, 0.0, 1.0)];
    vec![
        row("attention", &qkv(&[3, 4], &[5, 4]), |_, x| x[0].attention(x[1], x[2], Attention::new())),
        row("attention of heads", &qkv(&[2, 2, 3, 2], &[2, 2, 4, 2]), |_, x| {
            x[0].attention(x[1], x[2], Attention::new().scale(0.5))
        }),
        row("causal attention", &qkv(&[2, 4, 3], &[2, 4, 3]), |_, x| {
            x[0].attention(x[1], x[2], Attention::new().causal())
        }),
        row("grouped attention", &qkv(&[4, 3, 2], &[2, 3, 2]), |_, x| {
            x[0].attention(x[1], x[2], Attention::new().causal())
        }),
        row("attention with a query that sees nothing", &qkv(&[3, 2], &[4, 2]), |g, x| {
            let mask = g.iota(i32([3, 1]), 0).ne(1);
            x[0].attention(x[1], x[2], Attention::new().mask(mask))
        }),
        row("attention with one mask for each head", &qkv(&[2, 3, 2], &[2, 3, 2]), |g, x| {
            let mask = g.iota(i32([2, 1, 3]), 2).le(g.iota(i32([2, 1, 3]), 0));
            x[0].attention(x[1], x[2], Attention::new().mask(mask).causal())
        }),
        row("attention with biases", &[x(&[3, 2]), x(&[4, 2]), between(&[4, 2], 0.0, 1.0), x(&[3, 4])], |_, x| {
            x[0].attention(x[1], x[2], Attention::new().mask(x[3]))
        }),
        row("attention of no queries", &qkv(&[0, 2], &[4, 2]), |_, x| x[0].attention(x[1], x[2], Attention::new())),
        row("softmax_where", &[x(&[3, 4])], |g, x| {
            x[0].softmax_where(g.iota(i32([3, 4]), 1).lt(g.iota(i32([3, 4]), 0)), -1)
        }),
        row("rotary", &[x(&[2, 3, 4])], |_, x| x[0].rotary(100.0).exp()),
        row("rotary of no features", &[x(&[3, 0])], |_, x| x[0].rotary(100.0)),
    ]
}

fn losses() -> Vec<Row> {
    let scores = x(&[4, 3]);
    let some = labels(&[2, -1, 0, 1]);
    let pair = [x(&[3, 4]), between(&[3, 4], 0.1, 0.9)];
    vec![
        row("cross_entropy_with", &[scores.clone(), some.clone(), between(&[3], 0.5, 2.0)], |_, x| {
            let options = CrossEntropy::new().ignore_index(-1).label_smoothing(0.2).class_weights(x[2]);
            x[0].cross_entropy_with(x[1], options)
        }),
        row("cross_entropy_with all ignored", &[x(&[2, 3]), labels(&[-1, -1])], |_, x| {
            x[0].cross_entropy_with(x[1], CrossEntropy::new().ignore_index(-1))
        }),
        row("cross_entropy_with no rows", &[x(&[0, 3]), labels(&[])], |_, x| {
            x[0].cross_entropy_with(x[1], CrossEntropy::new())
        }),
        row("cross_entropy_soft", &[x(&[3, 4]), pair[1].clone()], |_, x| {
            x[0].cross_entropy_soft(x[1], CrossEntropy::new().label_smoothing(0.1))
        }),
        row("nll", &[scores.clone(), labels(&[0, 1, 2, 0])], |_, x| x[0].tanh().nll(x[1])),
        row("nll_with", &[scores.clone(), some], |_, x| {
            x[0].tanh().nll_with(x[1], CrossEntropy::new().ignore_index(-1).reduction(LossReduction::Sum))
        }),
        row("multi_margin", &[scores, labels(&[0, 1, 2, 0])], |_, x| x[0].multi_margin(x[1], 2, 0.3)),
        row("huber", &pair, |_, x| x[0].huber(x[1], 0.7)),
        row("smooth_l1", &pair, |_, x| x[0].smooth_l1(x[1], 0.4)),
        row("bce", &pair.clone().map(|p| sigmoid(&p)), |_, x| x[0].bce(x[1])),
        row("bce_with_logits_weighted", &[x(&[3, 4]), pair[1].clone(), x(&[4])], |_, x| {
            x[0].bce_with_logits_weighted(x[1], x[2])
        }),
        row("kl_div", &pair, |_, x| x[0].kl_div(x[1])),
        row("hinge", &pair, |_, x| x[0].hinge(x[1])),
        row("poisson_nll", &pair, |_, x| x[0].poisson_nll(x[1])),
        row("gaussian_nll", &[x(&[3, 4]), pair[1].clone(), between(&[3, 4], 0.4, 1.0)], |_, x| {
            x[0].gaussian_nll(x[1], x[2], 1e-3)
        }),
        row("xlogy", &[x(&[3, 1]), between(&[4], 0.5, 2.0)], |_, x| x[0].xlogy(x[1])),
        row("cosine_similarity", &[x(&[3, 4]), pair[1].clone()], |_, x| x[0].cosine_similarity(x[1], 0, 1e-8)),
        row("cosine_loss", &[x(&[2, 4]), between(&[2, 4], 0.1, 0.9)], |g, x| {
            let target = g.constant(Array::new([2], vec![1.0, -1.0]).unwrap());
            x[0].cosine_loss(x[1], target, -2.0)
        }),
        row("triplet_margin", &[x(&[3, 4]), pair[1].clone(), between(&[3, 4], 1.0, 2.0)], |_, x| {
            x[0].triplet_margin(x[1], x[2], 4.0)
        }),
        row("ctc", &[x(&[5, 2, 3]), Array::new([2, 2], vec![1i64, 2, 2, 2]).unwrap()], |g, x| {
            let lengths = [[5, 4], [2, 1]].map(|l| g.constant(Array::from(l.map(i64::from))));
            x[0].log_softmax(-1).ctc(x[1], lengths[0], lengths[1], 0)
        }),
    ]
}

fn sigmoid(x: &Array) -> Array {
    let values = x.to_f64_vec().into_iter().map(|v| 1.0 / (1.0 + (-v).exp())).collect::<Vec<f64>>();
    Array::new(x.shape().clone(), values).unwrap()
}

fn rows() -> Vec<Row> {
    normalization().into_iter().chain(attention()).chain(losses()).collect()
}

#[test]
fn derivatives_are_those_of_finite_differences() {
    let rows = rows();
    let (mut first, mut second, mut worst) = (0, 0, 0.0f64);
    let mut failures = Vec::new();
    for row in &rows {
        match check_gradient(&row.inputs, &row.f) {
            Ok(report) => {
                (first, second) = (first + report.first, second + report.second);
                worst = worst.max(report.worst);
            }
            Err(mismatch) => failures.push(format!("{}: {mismatch}", row.name)),
        }
    }
    println!("{} rows, {first} first and {second} second derivatives, the worst at {worst:.3}", rows.len());
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

/// Values at these values of the inputs `x0`, `x1` ...
fn values(g: &Builder, tensors: &[Tensor<'_>], inputs: &[Array]) -> Vec<Array> {
    let names: Vec<String> = (0..tensors.len()).map(|i| i.to_string()).collect();
    let outputs: Vec<(&str, Tensor<'_>)> = names.iter().map(String::as_str).zip(tensors.iter().copied()).collect();
    let program = g.program(&outputs);
    // The parameters of a batch norm come with their values.
    let at =
        |name: &str| program.initial.get(name).map_or_else(|| &inputs[name[1..].parse::<usize>().unwrap()], |a| &**a);
    interp::run(&program.graph, |_, name| at(name)).outputs
}

fn declare<'g>(g: &'g Builder, inputs: &[Array]) -> Vec<Tensor<'g>> {
    inputs.iter().enumerate().map(|(i, a)| g.input(&format!("x{i}"), a.ty())).collect()
}

/// `u (J v) = (u J) v`, and the same for the Jacobian of the gradient.
#[test]
fn forward_mode_agrees_with_reverse_mode() {
    let mut failures = Vec::new();
    for row in rows() {
        let g = Builder::new();
        let x = declare(&g, &row.inputs);
        let wrt: Vec<Tensor<'_>> = x.iter().copied().filter(|t| t.dtype().is_float()).collect();
        let draw = |seed: usize, ty: &TensorType| g.constant(Draw::new(seed as u64).uniform(ty, 0.5, 1.5));
        let pairs: Vec<_> = wrt.iter().enumerate().map(|(i, &x)| (x, draw(20 + i, &x.ty()))).collect();
        let y = (row.f)(&g, &x);
        let weights = draw(7, &y.ty());
        let loss = (weights * y).sum();
        let slope = (weights * g.jvp(&[y], &pairs)[0]).sum();
        let along =
            g.grad_all(loss, &wrt).iter().zip(&pairs).map(|(&d, p)| (d * p.1).sum()).reduce(|a, b| a + b).unwrap();
        let forward = values(&g, &[&[slope][..], &g.hvp(loss, &pairs)].concat(), &row.inputs);
        let reverse = values(&g, &[&[along][..], &g.grad_all(along, &wrt)].concat(), &row.inputs);
        let tolerance = Tolerance { absolute: 1e-10, ..Tolerance::of(DType::F64).times(1e4) };
        for (order, (forward, reverse)) in forward.iter().zip(&reverse).enumerate() {
            if let Err(e) = compare(reverse, forward, tolerance) {
                failures.push(format!("{} ({order}): {e}", row.name));
            }
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

/// A batch of three examples, which differ in the first input and share the others, gives what each gives by itself: values and gradients.
#[test]
fn batches_agree_with_single_examples() {
    let mut failures = Vec::new();
    for row in rows() {
        // Example `n` is the first input, made smaller.
        let scaled = |n: usize| -> Array {
            let values = row.inputs[0].to_f64_vec().iter().map(|v| v * (1.0 - 0.05 * n as f64)).collect::<Vec<f64>>();
            Array::new(row.inputs[0].shape().clone(), values).unwrap()
        };
        let all: Vec<Array> = (1..3).map(scaled).chain(row.inputs.iter().cloned()).collect();
        let g = Builder::new();
        let x = declare(&g, &all);
        let stacked = g.stack(&[x[2], x[0], x[1]], 0);
        let batch = g.vmap([stacked], |[first]| {
            let inputs: Vec<Tensor<'_>> = std::iter::once(first).chain(x[3..].iter().copied()).collect();
            let y = (row.f)(&g, &inputs);
            [y, g.grad(y.square().sum(), [first])[0]]
        });
        let actual = values(&g, &batch, &all);
        for n in 0..3 {
            let inputs: Vec<Array> = std::iter::once(scaled(n)).chain(row.inputs[1..].iter().cloned()).collect();
            let one = Builder::new();
            let x = declare(&one, &inputs);
            let y = (row.f)(&one, &x);
            let expected = values(&one, &[y, one.grad(y.square().sum(), [x[0]])[0]], &inputs);
            for (what, (expected, actual)) in ["value", "gradient"].iter().zip(expected.iter().zip(&actual)) {
                let len = expected.shape().numel();
                let part = actual.as_slice::<f64>().unwrap()[n * len..(n + 1) * len].to_vec();
                let part = Array::new(expected.shape().clone(), part).unwrap();
                let tolerance = Tolerance { absolute: 1e-12, ..Tolerance::of(DType::F64).times(100.0) };
                if let Err(e) = compare(expected, &part, tolerance) {
                    failures.push(format!("{} (example {n}, {what}): {e}", row.name));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}
