//! Transformations and how they compose: forward mode, batches, Hessian-vector products, Jacobians. Each operation's own rules are tested over the table in
//! `gradients/`.

mod engines;

use cotangent::prelude::*;
use cotangent::prim::{Op, OpKind};
use cotangent::testing::{Draw, Tolerance, compare};
use engines::engines;

fn array(shape: &[usize], values: &[f64]) -> Array {
    Array::new(shape, values.to_vec()).unwrap()
}

fn drawn(shape: &[usize], seed: u64) -> Array {
    Draw::new(seed).uniform(&f64(shape), -1.0, 1.0)
}

/// Values of tensors on every engine, which agree.
fn values(g: &Builder, tensors: &[Tensor<'_>], inputs: &[(&str, &Array)]) -> Vec<Array> {
    let names: Vec<String> = (0..tensors.len()).map(|i| i.to_string()).collect();
    let outputs: Vec<(&str, Tensor<'_>)> = names.iter().zip(tensors).map(|(n, t)| (n.as_str(), *t)).collect();
    let program = g.program(&outputs);
    let of = |engine| -> Vec<Array> {
        let mut run = program.compile(&Options::engine(engine)).unwrap();
        run.run(inputs).unwrap().iter().map(|(_, a)| a.clone()).collect()
    };
    let [first, second] = engines().map(of);
    for (a, b) in first.iter().zip(&second) {
        assert_close(a, b);
    }
    first
}

#[track_caller]
fn assert_close(expected: &Array, actual: &Array) {
    let tolerance = Tolerance { absolute: 1e-12, ..Tolerance::of(DType::F64).times(100.0) };
    compare(expected, actual, tolerance).unwrap_or_else(|e| panic!("{e}"));
}

/// A two-layer net on one example, and its loss.
fn loss<'g>(x: Tensor<'g>, w: Tensor<'g>, v: Tensor<'g>) -> Tensor<'g> {
    (x.dot(w).tanh().dot(v)).square().sum()
}

#[test]
fn jacobians_of_known_functions() {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let (a, b) = (x.slice(0, 0..1).reshape([]), x.slice(0, 1..2).reshape([]));
    // f = (a b, a^2, sin b), whose Jacobian is ((b, a), (2a, 0), (0, cos b)).
    let f = g.stack(&[a * b, a.square(), b.sin()], 0);
    let (at, expected) = (array(&[2], &[0.5, 0.25]), array(&[3, 2], &[0.25, 0.5, 1.0, 0.0, 0.0, 0.25f64.cos()]));
    for jacobian in [g.jacobian(f, x), g.jacobian_forward(f, x), g.jacobian_reverse(f, x)] {
        assert_close(&expected, &values(&g, &[jacobian], &[("x", &at)])[0]);
    }
    // a^3 b^2 has the Hessian ((6 a b^2, 6 a^2 b), (6 a^2 b, 2 a^3)).
    let hessian = g.hessian(a.pow(3.0) * b.square(), x);
    let (p, q) = (0.5, 0.25);
    let expected = array(&[2, 2], &[6.0 * p * q * q, 6.0 * p * p * q, 6.0 * p * p * q, 2.0 * p * p * p]);
    assert_close(&expected, &values(&g, &[hessian], &[("x", &at)])[0]);
}

#[test]
fn a_jacobian_has_the_result_shape_and_then_the_inputs() {
    let g = Builder::new();
    let (x, w) = (g.input("x", f64([2, 3])), g.input("w", f64([3, 4])));
    let y = x.dot(w);
    assert_eq!(g.jacobian(y, w).shape()[..], [2, 4, 3, 4]);
    assert_eq!(g.jacobian(y.sum(), w).shape()[..], [3, 4]);
    assert_eq!(g.jacobian(y, g.input("unused", f64([]))).shape()[..], [2, 4]);
    assert_eq!(g.jacobian(y.slice(0, 0..0), w).shape()[..], [0, 4, 3, 4]);
    assert_eq!(g.jacobian(y, g.input("empty", f64([0, 5]))).shape()[..], [2, 4, 0, 5]);
    assert_eq!(g.hessian(y.square().sum(), x).shape()[..], [2, 3, 2, 3]);
}

/// The third derivative of a sum of cubes, as a Jacobian of a Jacobian of a gradient: 6 where all three indices are one, else 0.
#[test]
fn jacobian_of_jacobian_of_gradient() {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let [gradient] = g.grad(x.pow(3.0).sum(), [x]);
    let third = g.jacobian(g.jacobian(gradient, x), x);
    assert_eq!(third.shape()[..], [2, 2, 2]);
    let mut expected = vec![0.0; 8];
    (expected[0], expected[7]) = (6.0, 6.0);
    let at = array(&[2], &[0.3, -0.7]);
    let mixed = g.jacobian_reverse(g.jacobian_forward(gradient, x), x);
    for third in [third, mixed] {
        assert_close(&array(&[2, 2, 2], &expected), &values(&g, &[third], &[("x", &at)])[0]);
    }
}

#[test]
fn a_hessian_vector_product_is_the_hessian_times_the_vector() {
    let g = Builder::new();
    let (x, w, v) = (g.input("x", f64([3])), g.input("w", f64([3, 4])), g.input("v", f64([4, 2])));
    let direction = g.input("d", f64([3, 4]));
    let loss = loss(x, w, v);
    let product = g.hvp(loss, &[(w, direction)])[0];
    let hessian = g.hessian(loss, w).reshape([12, 12]);
    let expected = hessian.dot(direction.reshape([12])).reshape([3, 4]);
    let (xs, ws, vs, ds) = (drawn(&[3], 1), drawn(&[3, 4], 2), drawn(&[4, 2], 3), drawn(&[3, 4], 4));
    let results = values(&g, &[expected, product], &[("x", &xs), ("w", &ws), ("v", &vs), ("d", &ds)]);
    assert_close(&results[0], &results[1]);
    // All parameters at once: the product has the mixed terms too.
    let other = g.input("e", f64([4, 2]));
    let both = g.hvp(loss, &[(w, direction), (v, other)]);
    let [by_w] = g.grad(loss, [w]);
    let mixed = g.jacobian(by_w, v).reshape([12, 8]).dot(other.reshape([8])).reshape([3, 4]) + expected;
    let es = drawn(&[4, 2], 5);
    let inputs = [("x", &xs), ("w", &ws), ("v", &vs), ("d", &ds), ("e", &es)];
    let results = values(&g, &[mixed, both[0]], &inputs);
    assert_close(&results[0], &results[1]);
}

#[test]
fn tangents_of_tensors_that_depend_on_each_other_add_up() {
    let g = Builder::new();
    let x = g.input("x", f64([]));
    let y = x.square();
    let z = y * x;
    // dz/dx = 3 x^2, dz/dy = x.
    let [dx, dy] = g.grad(z, [x, y]);
    let (u, v) = (g.full(f64([]), 2.0), g.full(f64([]), 5.0));
    let forward = g.jvp(&[z], &[(x, u), (y, v)])[0];
    let results = values(&g, &[dx * u + dy * v, forward], &[("x", &array(&[], &[0.5]))]);
    assert_eq!(results[0].get_f64(0), 1.5 + 2.5);
    assert_close(&results[0], &results[1]);
}

#[test]
fn gradients_for_each_example_are_those_of_single_examples() {
    let (examples, xs) = (4, drawn(&[4, 3], 1));
    let (ws, vs) = (drawn(&[3, 5], 2), drawn(&[5, 2], 3));
    let g = Builder::new();
    let (x, w, v) = (g.input("x", f64([examples, 3])), g.input("w", f64([3, 5])), g.input("v", f64([5, 2])));
    let [losses, each] = g.vmap([x], |[x]| {
        let loss = loss(x, w, v);
        [loss, g.grad(loss, [w])[0]]
    });
    let [of_all] = g.grad(losses.sum(), [w]);
    let mut outputs = vec![losses, each, each.sum_over(0), of_all];
    for n in 0..examples {
        let one = x.slice(0, n..n + 1).reshape([3]);
        let loss = loss(one, w, v);
        outputs.extend([loss, g.grad(loss, [w])[0]]);
    }
    let results = values(&g, &outputs, &[("x", &xs), ("w", &ws), ("v", &vs)]);
    assert_close(&results[2], &results[3]);
    for n in 0..examples {
        assert_eq!(results[0].get_f64(n), results[4 + 2 * n].get_f64(0), "example {n}");
        let part = &results[1].as_slice::<f64>().unwrap()[n * 15..(n + 1) * 15];
        assert_close(&results[5 + 2 * n], &array(&[3, 5], part));
    }
}

/// `vmap` of `hessian`, of `jvp`, and `grad` through `vmap`, against the formulas of `f(x) = sum(exp(x))`.
#[test]
fn transformations_compose() {
    let g = Builder::new();
    let x = g.input("x", f64([2, 3]));
    let [hessians] = g.vmap([x], |[x]| [g.hessian(x.exp().sum(), x)]);
    let [slopes] = g.vmap([x], |[x]| [g.jvp(&[x.exp().sum()], &[(x, x)])[0]]);
    let [gradient] = g.grad(x.vmap(|x| x.exp().sum()).square().sum(), [x]);
    let eye = g.iota(i64([3, 3]), 0).eq(g.iota(i64([3, 3]), 1)).cast(DType::F64);
    let expected = [
        x.exp().expand(-1) * eye,
        (x.exp() * x).sum_over(1),
        2.0 * x.exp() * x.exp().sum_keep(1),
        // The gradient of the slopes: e^x (1 + x).
        x.exp() * (x + 1.0),
    ];
    let [of_slopes] = g.grad(slopes.sum(), [x]);
    let all = [&[hessians, slopes, gradient, of_slopes][..], &expected].concat();
    let results = values(&g, &all, &[("x", &drawn(&[2, 3], 9))]);
    for i in 0..4 {
        assert_close(&results[4 + i], &results[i]);
    }
}

#[test]
fn batches_nest() {
    let g = Builder::new();
    let (x, y) = (g.input("x", f64([2, 3])), g.input("y", f64([4, 3])));
    // All pairs: an outer product of batches.
    let [pairs] = g.vmap([x], |[x]| [y.vmap(|y| (x * y).sum())]);
    // Within one example, over its own elements and over a shared tensor.
    let [deep] = g.vmap([x], |[x]| [x.vmap(|e| (e * y).sum_over(0).max())]);
    assert_eq!(deep.shape()[..], [2, 3]);
    let expected = (x.expand(-1) * y.sum_over(0)).max_over(2);
    let results =
        values(&g, &[x.dot(y.t()), pairs, expected, deep], &[("x", &drawn(&[2, 3], 1)), ("y", &drawn(&[4, 3], 2))]);
    assert_close(&results[0], &results[1]);
    assert_close(&results[2], &results[3]);
}

#[test]
fn axes_of_inputs_and_results_are_free() {
    let g = Builder::new();
    let (x, y, s) = (g.input("x", f64([3, 2])), g.input("y", f64([4, 2, 5])), g.input("s", f64([3])));
    let inputs = [(x, Some(1)), (y, Some(-2)), (s, None)];
    let actual = g.vmap_axes(&inputs, &[0, -1, 0], |t| {
        assert_eq!((&t[0].shape()[..], &t[1].shape()[..], &t[2].shape()[..]), (&[3][..], &[4, 5][..], &[3][..]));
        vec![t[0] * t[2], t[1], (t[0] * t[2]).sum()]
    });
    let expected = [x.t() * s, y.transpose([0, 2, 1]), (x.t() * s).sum_over(1)];
    let (xs, ys, ss) = (drawn(&[3, 2], 1), drawn(&[4, 2, 5], 2), drawn(&[3], 3));
    let results = values(&g, &[&actual[..], &expected].concat(), &[("x", &xs), ("y", &ys), ("s", &ss)]);
    for i in 0..3 {
        assert_close(&results[3 + i], &results[i]);
    }
}

#[test]
fn what_is_the_same_for_all_examples_is_computed_once() {
    let g = Builder::new();
    let (x, w) = (g.input("x", f64([6, 3])), g.input("w", f64([3, 4])));
    let [y, shared] = g.vmap([x], |[x]| [x.dot(w.exp()), w.sum()]);
    assert_eq!(shared.shape()[..], [6]);
    let program = g.program(&[("y", y)]);
    let (graph, live) = (&program.graph, program.graph.live());
    let ops: Vec<OpKind> = graph.ids().filter(|id| live[id.index()]).map(|id| graph.op(id).kind()).collect();
    // No operand of the product is repeated, and the exponential is that of one matrix.
    assert_eq!(ops, [OpKind::Input, OpKind::Input, OpKind::Map, OpKind::Dot]);
    let exp = graph.ids().find(|&id| live[id.index()] && matches!(graph.op(id), Op::Map(_))).unwrap();
    assert_eq!(graph.shape(exp)[..], [3, 4]);
}

#[test]
fn a_batch_without_examples_is_empty() {
    let g = Builder::new();
    let (x, w) = (g.input("x", f64([0, 3])), g.input("w", f64([3])));
    let [y, dw] = g.vmap([x], |[x]| [(x * w).sum(), g.grad((x * w).sum(), [w])[0]]);
    let results = values(&g, &[y, dw], &[("x", &array(&[0, 3], &[])), ("w", &drawn(&[3], 1))]);
    assert_eq!((&results[0].shape()[..], &results[1].shape()[..]), (&[0][..], &[0, 3][..]));
}

#[test]
fn origins_tell_of_tangents_and_batches() {
    let g = Builder::new();
    let (x, v) = (g.input("x", f64([2, 3])), g.input("v", f64([2, 3])));
    let [y] = g.vmap([x, v], |[x, v]| [g.jvp(&[x.sin()], &[(x, v)])[0]]);
    let graph = g.graph();
    let origin = graph.node(y.id()).origin.to_string();
    assert!(
        origin.starts_with("transforms.rs:") && origin.contains(" jvp(sin %") && origin.contains(" vmap(mul %"),
        "{origin}"
    );
    let text = format!("{}output \"y\" = {}\n", graph.text(), y.id());
    let parsed = cotangent::graph::parse(&text).unwrap();
    let tail = origin.split_once(' ').unwrap().1;
    assert!(parsed.node(y.id()).origin.to_string().ends_with(tail), "{}", parsed.node(y.id()).origin);
}

/// Derivatives of a small net and their batches, against JAX.
#[test]
fn derivatives_are_those_of_jax() {
    let g = Builder::new();
    let constant = |shape: &[usize], values: &[f64]| g.constant(array(shape, values));
    let w = g.input("w", f64([3, 2]));
    let xs = constant(&[4, 3], &[1.0, -0.5, 0.25, 0.1, 0.2, 0.3, -1.0, 2.0, 0.5, 0.0, 0.0, 0.0]);
    let v = constant(&[3, 2], &[0.5, 1.0, -1.0, 0.25, 0.75, -0.5]);
    let s = constant(&[2], &[0.5, -1.5]);
    let f = |x| (Tensor::dot(x, w).tanh().square() * s).sum();
    let [value, gradient, jvp, hvp, hessian, mixed] = g.vmap([xs], |[x]| {
        let y = f(x);
        let [dw] = g.grad(y, [w]);
        [y, dw, g.jvp(&[y], &[(w, v)])[0], g.hvp(y, &[(w, v)])[0], g.hessian(y, w), g.jacobian(dw, x)]
    });
    let first = xs.slice(0, 0..1).reshape([3]);
    let third = g.jacobian(g.hessian(f(first), first), first);
    let tensors = [value, gradient, jvp, hvp, hessian, g.jacobian(value, w), mixed, third];
    let actual = values(&g, &tensors, &[("w", &array(&[3, 2], &[0.3, -0.2, 0.7, 0.1, -0.4, 0.9]))]);
    let golden = include_str!("golden/transforms.txt").lines().filter(|l| !l.starts_with('#'));
    let mut count = 0;
    for (line, actual) in golden.zip(&actual) {
        let words: Vec<&str> = line.split(' ').collect();
        let shape: Vec<usize> = words[1].trim_matches(['[', ']']).split(',').map(|d| d.parse().unwrap()).collect();
        let elements: Vec<f64> = words[2..].iter().map(|x| x.parse().unwrap()).collect();
        assert_close(&array(&shape, &elements), actual);
        count += 1;
    }
    assert_eq!(count, tensors.len());
}
