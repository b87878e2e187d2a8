//! The table of choices where systems differ (`src/choices.md`): each row on every engine, at every level of optimization.

mod engines;
#[cfg(feature = "onnx")]
#[allow(dead_code, reason = "models of other tests take more")]
#[path = "cli/proto.rs"]
mod proto;

use std::panic::catch_unwind;

use cotangent::opt::Level;
use cotangent::prelude::*;
use engines::engines;

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn vector(values: &[f64]) -> Array {
    Array::new([values.len()], values.to_vec()).unwrap()
}

/// Runs what `build` makes of the inputs: its results, then the gradients of the sum of the first by the float inputs.
fn run(
    inputs: &[Array],
    build: impl for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Vec<Tensor<'g>>,
    check: impl Fn(&str, &[Vec<f64>]),
) {
    let g = Builder::new();
    // Integers are constants: executables refuse inputs that choose elements out of range.
    let mut tensors = Vec::new();
    let mut given = Vec::new();
    for (i, array) in inputs.iter().enumerate() {
        if array.dtype().is_float() {
            tensors.push(g.param(&format!("x{i}"), array.clone()));
            given.push(tensors[i]);
        } else {
            tensors.push(g.constant(array.clone()));
        }
    }
    let mut results = build(&g, &tensors);
    if results[0].dtype().is_float() {
        results.extend(g.grad_all(results[0].sum(), &given));
    }
    let names: Vec<String> = (0..results.len()).map(|i| format!("r{i}")).collect();
    let outputs: Vec<(&str, Tensor<'_>)> = names.iter().map(String::as_str).zip(results).collect();
    let program = g.program(&outputs);
    for engine in engines() {
        for level in [Level::O0, Level::O1, Level::O2] {
            let mut executable = program.compile(&Options { engine, level, ..Options::default() }).unwrap();
            let outputs = executable.run(&[]).unwrap();
            let values: Vec<Vec<f64>> = outputs.iter().map(|(_, a)| a.to_f64_vec()).collect();
            check(&format!("{engine:?} {level:?}"), &values);
        }
    }
}

/// `f` of one vector: its values and its gradient must be these.
fn point(x: &[f64], f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>, value: &[f64], gradient: &[f64]) {
    points(&[vector(x)], |_, x| f(x[0]), value, &[gradient]);
}

/// `f` of several arrays: its values and the gradients by those of floats must be these.
fn points(
    inputs: &[Array],
    f: impl for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Tensor<'g>,
    value: &[f64],
    gradients: &[&[f64]],
) {
    run(
        inputs,
        |g, x| vec![f(g, x)],
        |on, results| {
            let expected: Vec<Vec<f64>> = [value].iter().chain(gradients).map(|v| v.to_vec()).collect();
            for (i, (expected, actual)) in expected.iter().zip(results).enumerate() {
                let same = expected.len() == actual.len()
                    && expected
                        .iter()
                        .zip(actual)
                        .all(|(e, a)| e == a || e.is_nan() && a.is_nan() || (e - a).abs() < 1e-14);
                assert!(same, "{on}, result {i}: {actual:?} instead of {expected:?}");
            }
        },
    );
}

fn places(values: &[i32]) -> Array {
    Array::new([values.len()], values.to_vec()).unwrap()
}

#[test]
fn ties_over_axes_share() {
    point(&[2.0, 1.0, 2.0], |x| x.max(), &[2.0], &[0.5, 0.0, 0.5]);
    point(&[2.0, 1.0, 1.0, 1.0], |x| x.min() * 3.0, &[3.0], &[0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn ties_of_two_share() {
    let (a, b) = (vector(&[1.0, 2.0]), vector(&[1.0, 3.0]));
    points(&[a.clone(), b.clone()], |_, x| x[0].maximum(x[1]), &[1.0, 3.0], &[&[0.5, 0.0], &[0.5, 1.0]]);
    points(&[a, b], |_, x| x[0].minimum(x[1]), &[1.0, 2.0], &[&[0.5, 1.0], &[0.5, 0.0]]);
}

#[test]
fn ties_so_far_are_of_the_first() {
    point(&[1.0, 1.0, 0.0, 1.0, 2.0], |x| x.cummax(0), &[1.0, 1.0, 1.0, 1.0, 2.0], &[4.0, 0.0, 0.0, 0.0, 1.0]);
    point(&[1.0, 1.0, 2.0, 1.0], |x| x.cummin(0), &[1.0; 4], &[4.0, 0.0, 0.0, 0.0]);
}

#[test]
fn ties_in_windows_share() {
    let pool = Pool::new(2).strides(1);
    point(&[2.0, 2.0, 1.0], |x| x.reshape([1, 1, 3]).max_pool(&pool).reshape([2]), &[2.0, 2.0], &[0.5, 1.5, 0.0]);
}

#[test]
fn sorting_keeps_the_order_of_equals() {
    run(
        &[vector(&[2.0, NAN, 1.0, 2.0, NAN, 1.0])],
        |_, x| vec![x[0].argsort(0, false), x[0].argsort(0, true), x[0].top_k(3, 0).1],
        |on, r| {
            let (up, down) = ([2.0, 5.0, 0.0, 3.0, 1.0, 4.0], [1.0, 4.0, 0.0, 3.0, 2.0, 5.0]);
            assert_eq!(r, [up.to_vec(), down.to_vec(), down[..3].to_vec()], "{on}");
        },
    );
}

#[test]
fn nan_is_an_extreme() {
    point(&[1.0, NAN, 3.0], |x| x.max(), &[NAN], &[0.0, 1.0, 0.0]);
    point(&[1.0, NAN, 3.0], |x| x.min(), &[NAN], &[0.0, 1.0, 0.0]);
    point(&[1.0, NAN], |x| x.maximum(2.0), &[2.0, NAN], &[0.0, 1.0]);
}

#[test]
fn positions_are_of_the_first() {
    let cases = [([1.0, 3.0, 3.0], 1.0, 0.0), ([2.0, 2.0, 2.0], 0.0, 0.0), ([5.0, NAN, NAN], 1.0, 1.0)];
    for (x, most, least) in cases {
        run(
            &[vector(&x)],
            |_, x| vec![x[0].argmax(0), x[0].argmin(0)],
            |on, r| {
                assert_eq!(r, [vec![most], vec![least]], "{on}");
            },
        );
    }
}

#[test]
fn sign_and_abs_at_zero() {
    point(&[-2.0, 0.0, 3.0], |x| x.sign(), &[-1.0, 0.0, 1.0], &[0.0; 3]);
    point(&[-2.0, 0.0, 3.0], |x| x.abs(), &[2.0, 0.0, 3.0], &[-1.0, 0.0, 1.0]);
}

#[test]
fn relu_at_zero() {
    point(&[-1.0, 0.0, 2.0], |x| x.relu(), &[0.0, 0.0, 2.0], &[0.0, 0.0, 1.0]);
}

#[test]
fn pow_at_zero() {
    let (base, exponent) = (vector(&[0.0, 0.0, 2.0]), vector(&[0.0, 2.0, 0.0]));
    let by_exponent = [0.0, 0.0, std::f64::consts::LN_2];
    points(&[base, exponent], |_, x| x[0].pow(x[1]), &[1.0, 0.0, 1.0], &[&[0.0; 3], &by_exponent]);
}

#[test]
fn norms_at_zero() {
    for p in [1.0, 1.5, 2.0, 3.0, INF] {
        point(&[0.0, 0.0], |x| x.norm(p), &[0.0], &[0.0, 0.0]);
        // Powers below 2 have no second derivative there.
        if p == 1.5 {
            continue;
        }
        // The derivative of the gradient is 0 too.
        point(
            &[0.0, 0.0],
            |x| {
                let [d] = x.builder().grad(x.norm(p).square(), [x]);
                d.sum()
            },
            &[0.0],
            &[0.0, 0.0],
        );
    }
    point(&[3.0, -4.0], |x| x.norm(2.0), &[5.0], &[0.6, -0.8]);
}

#[test]
fn std_of_equal_elements() {
    point(&[0.3, 0.3, 0.3], |x| x.std(0), &[0.0], &[0.0; 3]);
    point(&[7.0], |x| x.std(0), &[0.0], &[0.0]);
    point(&[2.0, 4.0], |x| x.std(0), &[1.0], &[-0.5, 0.5]);
}

#[test]
fn variance_of_too_few() {
    point(&[7.0], |x| x.variance(1), &[NAN], &[NAN]);
    point(&[7.0], |x| x.variance(0), &[0.0], &[0.0]);
}

#[test]
fn running_variances() {
    // The mean is 3, the squares of the distances are 14 together.
    let batch = [1.0f32, 2.0, 3.0, 6.0];
    let check = |program: Program, name: &str, squares: f64| {
        for engine in engines() {
            for level in [Level::O0, Level::O1, Level::O2] {
                let mut step = program.compile(&Options { engine, level, ..Options::default() }).unwrap();
                let x = Array::new([4, 1], batch.to_vec()).unwrap();
                let result = step.run(&[("x", &x)]).unwrap().get(name).cloned();
                let running = result.unwrap_or_else(|_| step.params().get(name).unwrap());
                let expected = 0.9 * 2.0 + 0.1 * squares;
                assert!((running.get_f64(0) - expected).abs() < 1e-6, "{engine:?} {level:?}: {running}, {expected}");
            }
        }
    };
    let g = Builder::new();
    let vectors = ["gain", "bias", "mean"].map(|name| g.state(name, init::zeros([1])));
    let variance = g.state("variance", init::full([1], 2.0));
    let norm = BatchNorm::of([vectors[0], vectors[1]], [vectors[2], variance], 1);
    let (y, updates) = norm.train(g.input("x", f32([4, 1])));
    check(g.program_with_updates(&[("y", y)], &updates), "variance", 14.0 / 3.0);

    #[cfg(feature = "onnx")]
    {
        use cotangent::io::onnx::{Bindings, Model};
        use proto::{batched, initializer, model, node_with};

        let operands = ["x", "gain", "bias", "mean", "variance"];
        let results = ["y", "mean_after", "variance_after"];
        let mut graph = vec![
            (1, node_with("BatchNormalization", &operands, &results, &[("training_mode", 1)])),
            (2, b"norm".to_vec()),
            (11, batched("x", &[1])),
            (12, batched("variance_after", &[])),
        ];
        graph.extend(
            [("gain", 1.0), ("bias", 0.0), ("mean", 0.0), ("variance", 2.0)]
                .map(|(name, value)| (5, initializer(name, &[value]))),
        );
        let imported = Model::from_bytes(model(&graph)).unwrap().import(&Bindings::new().dim("n", 4)).unwrap();
        check(imported.program(), "variance_after", 14.0 / 4.0);
    }
}

#[test]
fn logsumexp_of_infinities() {
    point(&[-INF, -INF], |x| x.logsumexp(), &[-INF], &[0.0, 0.0]);
    point(&[INF, 1.0, -INF], |x| x.logsumexp(), &[INF], &[0.0; 3]);
    point(&[-INF, 5.0], |x| x.logsumexp(), &[5.0], &[0.0, 1.0]);
    point(&[1e4, 1e4], |x| x.logsumexp(), &[1e4 + std::f64::consts::LN_2], &[0.5, 0.5]);
}

#[test]
fn prod_with_zeros() {
    point(&[0.0, 2.0, 3.0], |x| x.prod(), &[0.0], &[6.0, 0.0, 0.0]);
    point(&[0.0, 2.0, 0.0], |x| x.prod(), &[0.0], &[0.0; 3]);
}

#[test]
fn clamped_at_the_bounds() {
    point(
        &[-1.0, 0.0, 0.5, 1.0, 2.0],
        |x| x.maximum(0.0).minimum(1.0),
        &[0.0, 0.0, 0.5, 1.0, 1.0],
        &[0.0, 0.5, 1.0, 0.5, 0.0],
    );
}

#[test]
fn clamp_at_its_bounds() {
    point(&[-1.0, 0.0, 0.5, 1.0, 2.0], |x| x.clamp(0.0, 1.0), &[0.0, 0.0, 0.5, 1.0, 1.0], &[0.0, 1.0, 1.0, 1.0, 0.0]);
    let bounds = [vector(&[0.0, 1.0, 3.0]), vector(&[0.0; 3]), vector(&[1.0; 3])];
    points(&bounds, |_, x| x[0].clamp(x[1], x[2]), &[0.0, 1.0, 1.0], &[&[1.0, 1.0, 0.0], &[0.0; 3], &[0.0, 0.0, 1.0]]);
    point(&[-3.0, 3.0], |x| x.hard_sigmoid() * 6.0, &[0.0, 6.0], &[1.0, 1.0]);
    point(&[-2.0, 0.5, 2.0], |x| x.clamp(1.0, 0.0), &[0.0; 3], &[0.0; 3]);
}

#[test]
fn roots_at_zero() {
    point(&[0.0, 4.0], |x| x.sqrt(), &[0.0, 2.0], &[INF, 0.25]);
    point(&[0.0, -8.0], |x| x.cbrt() * 12.0, &[0.0, -24.0], &[INF, 1.0]);
}

#[test]
fn angles_at_the_origin() {
    let zeros = [vector(&[0.0]), vector(&[0.0])];
    points(&zeros, |_, x| x[0].hypot(x[1]), &[0.0], &[&[0.0], &[0.0]]);
    points(&zeros, |_, x| x[0].atan2(x[1]), &[0.0], &[&[0.0], &[0.0]]);
}

#[test]
fn logaddexp_of_infinities() {
    for end in [-INF, INF] {
        let both = [vector(&[end]), vector(&[end])];
        points(&both, |_, x| x[0].logaddexp(x[1]), &[end], &[&[0.5], &[0.5]]);
    }
}

#[test]
fn the_branch_not_taken() {
    point(&[-1.0, 2.0], |x| x.gt(0.0).select(x * x, x * 0.5), &[-0.5, 4.0], &[0.5, 4.0]);
    // What is not taken may be anything, and have any derivative.
    point(&[0.0, 1.0], |x| x.gt(0.0).select(x.log(), x), &[0.0, 0.0], &[1.0, 1.0]);
    point(&[0.0, 4.0], |x| x.gt(0.0).select(x.sqrt() * 3.0, x), &[0.0, 6.0], &[1.0, 0.75]);
    point(&[-1.0, 2.0], |x| x.gt(0.0).select((x.log() * 2.0).exp(), x * 0.0), &[0.0, 4.0], &[0.0, 4.0]);
    point(&[NAN, 2.0], |x| x.is_nan().select(x * 0.0, x * x).masked_fill(x.is_nan(), 0.0), &[0.0, 4.0], &[0.0, 4.0]);
    // A cotangent that happens to be 0 still has a derivative.
    point(
        &[1.0],
        |x| {
            let [d] = x.builder().grad((x.gt(0.0).select(x.square(), x) - 1.0).square().sum(), [x]);
            d
        },
        &[0.0],
        &[8.0],
    );
    // What has no gradient may be anything.
    point(&[-1.0, 4.0], |x| x.gt(0.0).select(x.stop_gradient().sqrt(), x), &[-1.0, 2.0], &[1.0, 0.0]);
}

#[test]
fn choices_out_of_range() {
    let index = places(&[1, -1, 3, i32::MIN, i32::MAX, 0]);
    let x = vector(&[5.0, 6.0, 7.0]);
    let gradient = [1.0, 1.0, 0.0];
    points(&[x.clone(), index.clone()], |_, x| x[0].take(x[1], 0), &[6.0, NAN, NAN, NAN, NAN, 5.0], &[&gradient]);
    points(
        &[x.clone(), index.clone()],
        |_, x| x[0].take_along_axis(x[1], 0),
        &[6.0, NAN, NAN, NAN, NAN, 5.0],
        &[&gradient],
    );
    points(
        &[x.clone(), index.clone()],
        |_, x| x[0].gather_nd(x[1].expand(-1)),
        &[6.0, NAN, NAN, NAN, NAN, 5.0],
        &[&gradient],
    );
    points(&[x, index.clone()], |_, x| x[0].embedding(x[1]), &[6.0, NAN, NAN, NAN, NAN, 5.0], &[&gradient]);
    let matrix = Array::new([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let pairs = Array::new([4, 2], vec![1i64, 0, 0, 2, -1, 1, i64::MAX, i64::MIN]).unwrap();
    points(&[matrix, pairs], |_, x| x[0].gather_nd(x[1]), &[3.0, NAN, NAN, NAN], &[&[0.0, 0.0, 1.0, 0.0]]);
    for (from, fill) in [
        (Array::new([3], vec![5i64, 6, 7]).unwrap(), [6.0, 0.0, 5.0]),
        (Array::new([3], vec![true; 3]).unwrap(), [1.0, 0.0, 1.0]),
    ] {
        run(
            &[from, places(&[1, 3, 0])],
            |_, x| vec![x[0].take(x[1], 0)],
            |on, r| assert_eq!(r, [fill.to_vec()], "{on}"),
        );
    }
    run(
        &[places(&[2, -1, 3])],
        |_, x| vec![x[0].one_hot(3, DType::I32)],
        |on, r| {
            assert_eq!(r, [vec![0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]], "{on}");
        },
    );
}

#[test]
fn updates_out_of_range() {
    let index = Array::new([5], vec![1i64, -1, 3, i64::MIN, i64::MAX]).unwrap();
    let (x, u) = (vector(&[5.0, 6.0, 7.0]), vector(&[2.0, NAN, INF, NAN, 9.0]));
    for (combine, middle, [by_x, by_u]) in [
        (Combine::Set, 2.0, [0.0, 1.0]),
        (Combine::Add, 8.0, [1.0, 1.0]),
        (Combine::Mul, 12.0, [2.0, 6.0]),
        (Combine::Max, 6.0, [1.0, 0.0]),
        (Combine::Min, 2.0, [0.0, 1.0]),
    ] {
        let gradients: [&[f64]; 2] = [&[1.0, by_x, 1.0], &[by_u, 0.0, 0.0, 0.0, 0.0]];
        let value = [5.0, middle, 7.0];
        let inputs = [x.clone(), index.clone(), u.clone()];
        points(&inputs, |_, x| x[0].scatter(combine, x[1], x[2], 0), &value, &gradients);
        points(&inputs, |_, x| x[0].scatter_along_axis(combine, x[1], x[2], 0), &value, &gradients);
        points(&inputs, |_, x| x[0].scatter_nd(combine, x[1].expand(-1), x[2]), &value, &gradients);
    }
}

#[test]
fn starts_out_of_range() {
    let x = vector(&[1.0, 2.0, 3.0, 4.0]);
    for (start, value, gradient) in [
        (-5i64, [1.0, 2.0], [1.0, 1.0, 0.0, 0.0]),
        (1, [2.0, 3.0], [0.0, 1.0, 1.0, 0.0]),
        (3, [3.0, 4.0], [0.0, 0.0, 1.0, 1.0]),
        (i64::MAX, [3.0, 4.0], [0.0, 0.0, 1.0, 1.0]),
    ] {
        let inputs = [x.clone(), Array::scalar(start)];
        points(&inputs, |_, x| x[0].dynamic_slice(&[x[1]], &[2]), &value, &[&gradient]);
        let kept: Vec<f64> = gradient.iter().map(|g| 1.0 - g).collect();
        let new: Vec<f64> = kept.iter().zip([1.0, 2.0, 3.0, 4.0]).map(|(k, v)| k * v).collect();
        let inputs = [x.clone(), vector(&[0.0, 0.0]), Array::scalar(start)];
        points(&inputs, |_, x| x[0].dynamic_update_slice(x[1], &[x[2]]), &new, &[&kept, &[1.0, 1.0]]);
    }
}

#[test]
fn the_last_replacement_counts() {
    let inputs = [vector(&[1.0, 2.0]), places(&[1, 1, 0, 1]), vector(&[5.0, 6.0, 7.0, 8.0])];
    points(&inputs, |_, x| x[0].scatter_set(x[1], x[2]), &[7.0, 8.0], &[&[0.0, 0.0], &[0.0, 0.0, 1.0, 1.0]]);
}

#[test]
fn scattered_ties_share() {
    let inputs = [vector(&[4.0, 2.0]), places(&[0, 0, 1, 0]), vector(&[4.0, 3.0, 5.0, 4.0])];
    let third = 1.0 / 3.0;
    points(&inputs, |_, x| x[0].scatter_max(x[1], x[2]), &[4.0, 5.0], &[&[third, 0.0], &[third, 0.0, 1.0, third]]);
    points(&inputs, |_, x| -(-x[0]).scatter_min(x[1], -x[2]), &[4.0, 5.0], &[&[third, 0.0], &[third, 0.0, 1.0, third]]);
}

#[test]
fn scattered_factors_of_zero() {
    let inputs = [vector(&[0.0, 2.0]), places(&[0, 1, 1]), vector(&[3.0, 0.0, 5.0])];
    points(&inputs, |_, x| x[0].scatter_mul(x[1], x[2]), &[0.0, 0.0], &[&[3.0, 0.0], &[0.0, 10.0, 0.0]]);
    // The mixed second derivative by two factors that are 0 is the product of the others.
    let inputs = [vector(&[2.0]), places(&[0, 0, 0]), vector(&[0.0, 7.0, 0.0])];
    points(
        &inputs,
        |g, x| {
            let [d] = g.grad(x[0].scatter_mul(x[1], x[2]).sum(), [x[2]]);
            d.slice(0, 0..1)
        },
        &[0.0],
        &[&[0.0], &[0.0, 0.0, 14.0]],
    );
}

#[test]
fn reductions_of_nothing() {
    let none: &[f64] = &[];
    point(&[], |x| x.sum(), &[0.0], none);
    point(&[], |x| x.prod(), &[1.0], none);
    point(&[], |x| x.mean(), &[NAN], none);
    point(&[], |x| x.logsumexp(), &[-INF], none);
    point(&[], |x| x.variance(0), &[NAN], none);
    for p in [1.0, 2.0, 3.0, INF] {
        point(&[], |x| x.norm(p), &[0.0], none);
    }
    run(
        &[vector(&[])],
        |_, x| vec![x[0].any(), x[0].all(), x[0].count_nonzero()],
        |on, r| {
            assert_eq!(r, [vec![0.0], vec![1.0], vec![0.0]], "{on}");
        },
    );
}

#[test]
fn extremes_of_nothing() {
    let folds: [fn(Tensor<'_>); 4] = [
        |x| {
            let _ = x.max();
        },
        |x| {
            let _ = x.min();
        },
        |x| {
            let _ = x.argmax(0);
        },
        |x| {
            let _ = x.argmin(0);
        },
    ];
    for f in folds {
        let outcome = catch_unwind(|| {
            let g = Builder::new();
            f(g.input("x", f32([0])));
        });
        let message = outcome.expect_err("nothing has no extreme");
        assert!(message.downcast_ref::<String>().unwrap().contains("no elements"));
    }
}

#[test]
fn determinants_of_singular_matrices() {
    point(&[1.0, 2.0, 3.0, 4.0], |x| x.reshape([2, 2]).det(), &[-2.0], &[4.0, -3.0, -2.0, 1.0]);
    run(
        &[vector(&[1.0, 2.0, 2.0, 4.0])],
        |_, x| vec![x[0].reshape([2, 2]).det()],
        |on, r| assert!(r[0] == [0.0] && r[1].iter().all(|d| !d.is_finite()), "{on}: {r:?}"),
    );
}

#[test]
fn queries_that_see_nothing() {
    let hidden = Array::new([1, 3], vec![false; 3]).unwrap();
    point(
        &[0.1, 0.2],
        |x| {
            let keys = x.builder().ones(f64([3, 2]));
            let mask = x.builder().constant(hidden.clone());
            x.reshape([1, 2]).attention(keys, keys, Attention::new().mask(mask)).reshape([2])
        },
        &[0.0, 0.0],
        &[0.0, 0.0],
    );
    point(&[0.1, 0.2], |x| x.softmax_where(x.gt(1.0), 0), &[0.0, 0.0], &[0.0, 0.0]);
}

#[test]
fn all_labels_ignored() {
    let options = || CrossEntropy::new().ignore_index(-100);
    let inputs = [Array::new([1, 2], vec![0.1, 0.2]).unwrap(), places(&[-100])];
    points(&inputs, |_, x| x[0].cross_entropy_with(x[1], options()), &[0.0], &[&[0.0, 0.0]]);
}

#[test]
fn targets_without_alignment() {
    // Two labels in one step.
    let inputs = [Array::new([1, 1, 3], vec![0.1, 0.2, 0.3]).unwrap(), Array::new([1, 2], vec![1i32, 2]).unwrap()];
    let lengths = [places(&[1]), places(&[2])];
    points(
        &inputs,
        |g, x| {
            let [steps, labels] = lengths.clone().map(|l| g.constant(l));
            x[0].log_softmax(-1).ctc(x[1], steps, labels, 0)
        },
        &[INF],
        &[&[0.0; 3]],
    );
}

#[test]
fn signs_of_remainders() {
    let (signed, moduli) = ([5.0, -5.0, 5.0, -5.0], [3.0, 3.0, -3.0, -3.0]);
    let integers = |v: &[f64]| places(&v.iter().map(|&v| v as i32).collect::<Vec<i32>>());
    for inputs in [[vector(&signed), vector(&moduli)], [integers(&signed), integers(&moduli)]] {
        run(
            &inputs,
            |_, x| vec![x[0] % x[1], x[0].modulo(x[1])],
            |on, r| assert_eq!(r[..2], [vec![2.0, -2.0, 2.0, -2.0], vec![2.0, 1.0, -1.0, -2.0]], "{on}"),
        );
    }
}

#[test]
fn negative_powers_of_integers() {
    run(
        &[places(&[2, 1, -1, -1]), places(&[-1, -3, -1, -2])],
        |_, x| vec![x[0].pow(x[1])],
        |on, r| assert_eq!(r, [vec![0.0, 1.0, -1.0, 1.0]], "{on}"),
    );
}

#[test]
fn integers_divided_by_zero() {
    let x = Array::new([3], vec![7i32, -7, 0]).unwrap();
    run(
        &[x, places(&[0, 0, 0])],
        |_, x| vec![x[0] / x[1], x[0] % x[1]],
        |on, r| {
            assert_eq!(r, [vec![0.0; 3], vec![7.0, -7.0, 0.0]], "{on}");
        },
    );
}

#[test]
fn halves_round_to_even() {
    point(&[0.5, 1.5, -2.5, 2.6], |x| x.round(), &[0.0, 2.0, -2.0, 3.0], &[0.0; 4]);
}

/// Names of tests in the last column of the table, and in this file.
#[test]
fn every_row_has_a_test_and_every_test_a_row() {
    let rows = include_str!("../src/choices.md").lines().filter(|l| l.starts_with("| ") && !l.starts_with("| point"));
    let mut named: Vec<&str> = rows.map(|l| l.rsplit('`').nth(1).expect("a row names its test")).collect();
    named.sort_unstable();
    named.dedup();
    let source = include_str!("choices.rs");
    let tests = source.split("#[test]\nfn ").skip(1).map(|t| t.split('(').next().unwrap());
    let mut tests: Vec<&str> = tests.filter(|t| !t.starts_with("every_row")).collect();
    tests.sort_unstable();
    assert_eq!(named, tests);
}
