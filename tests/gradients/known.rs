//! Derivatives that are known exactly: at kinks and ties, of zeros, of what is replaced or dropped; and those of random chains.

use super::*;

/// The activations where their exponentials would overflow: values and gradients are finite and what the limits are.
#[test]
fn activations_do_not_overflow() {
    type Activation = for<'g> fn(Tensor<'g>) -> Tensor<'g>;
    const LARGE: f64 = 1e30;
    // Value and slope at -LARGE and at LARGE.
    let table: &[(&str, Activation, [f64; 4])] = &[
        ("relu", |x| x.relu(), [0.0, 0.0, LARGE, 1.0]),
        ("leaky_relu", |x| x.leaky_relu(0.5), [-0.5 * LARGE, 0.5, LARGE, 1.0]),
        ("elu", |x| x.elu(2.0), [-2.0, 0.0, LARGE, 1.0]),
        ("celu", |x| x.celu(2.0), [-2.0, 0.0, LARGE, 1.0]),
        ("gelu", |x| x.gelu(), [0.0, 0.0, LARGE, 1.0]),
        ("silu", |x| x.silu(), [0.0, 0.0, LARGE, 1.0]),
        ("mish", |x| x.mish(), [0.0, 0.0, LARGE, 1.0]),
        ("softplus", |x| x.softplus(), [0.0, 0.0, LARGE, 1.0]),
        ("log_sigmoid", |x| x.log_sigmoid(), [-LARGE, 1.0, 0.0, 0.0]),
        ("softsign", |x| x.softsign(), [-1.0, 1e-60, 1.0, 1e-60]),
        ("hard_sigmoid", |x| x.hard_sigmoid(), [0.0, 0.0, 1.0, 0.0]),
        ("hard_swish", |x| x.hard_swish(), [0.0, 0.0, LARGE, 1.0]),
        ("tanh", |x| x.tanh(), [-1.0, 0.0, 1.0, 0.0]),
        ("sigmoid", |x| x.sigmoid(), [0.0, 0.0, 1.0, 0.0]),
    ];
    for (name, f, expected) in table {
        let at = [vector(&[-LARGE, LARGE])];
        let g = Builder::new();
        let x = g.input("x0", f64([2]));
        let y = f(x);
        let [slope] = g.grad(y.sum(), [x]);
        let results = values(&g, &[y, slope], &at);
        let actual = [0, 1].map(|i| [results[0].get_f64(i), results[1].get_f64(i)]).concat();
        for (actual, expected) in actual.iter().zip(expected) {
            assert!((actual - expected).abs() <= 1e-15 * expected.abs(), "{name}: {actual:e}, not {expected:e}");
        }
    }
}

/// Random chains of operations, so that rules meet each other's results.
#[test]
fn gradients_of_random_chains() {
    let mut elements = 0;
    for seed in 0..150u64 {
        let input = Draw::new(seed).uniform(&f64([3, 4]), -1.0, 1.0);
        let result = check_gradient(&[input], |g, x| chain(g, x[0], &mut Draw::new(seed + 1000)));
        let report = result.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        elements += report.first + report.second;
    }
    println!("150 chains, {elements} derivatives");
}

fn chain<'g>(g: &'g Builder, x: Tensor<'g>, draw: &mut Draw) -> Tensor<'g> {
    let mut t = x;
    for _ in 0..7 {
        let (rank, shape) = (t.rank(), t.shape());
        let last = *shape.last().unwrap_or(&1);
        t = match draw.below(14) {
            0 if rank >= 2 => t.t(),
            1 => t.reshape([shape.numel()]),
            2 if shape.numel().is_multiple_of(2) => t.reshape([2, shape.numel() / 2]),
            3 if rank >= 1 && last > 1 => t.slice_step(-1, 0..last - 1, -2),
            4 if rank >= 1 => t.flip(0),
            5 if (1..4).contains(&rank) => t.pad(&vec![(1, 1); rank], 0.5),
            6 if rank >= 1 => t - t.mean_keep(-1),
            7 if rank >= 1 && shape.numel() < 40 => g.concat(&[t, t.sin()], 0),
            8 if rank == 2 && shape.numel() < 40 => t.dot(t.t()).tanh(),
            9 if rank >= 1 => t.softmax(0),
            10 if rank >= 1 => t.take(g.constant(integers(&[3], &[0, 0, shape[0] as i64 - 1])), 0),
            11 if rank >= 1 => {
                t.scatter_add(g.constant(integers(&[], &[0])), t.take(g.constant(integers(&[], &[0])), 0).exp())
            }
            12 if rank >= 2 => t.sum_over(0).tanh(),
            _ => (t * x.mean()).sin(),
        };
    }
    t
}

/// The gradients of the sum of `f` by all inputs, by the interpreter.
fn gradients(inputs: &[Array], f: impl for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Tensor<'g>) -> Vec<Vec<f64>> {
    let g = Builder::new();
    let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
    let tensors: Vec<Tensor<'_>> = names.iter().zip(inputs).map(|(n, a)| g.input(n, a.ty())).collect();
    let loss = f(&g, &tensors).sum();
    let wrt: Vec<Tensor<'_>> = tensors.iter().copied().filter(|t| t.dtype().is_float()).collect();
    let gradients = g.grad_all(loss, &wrt);
    let names: Vec<String> = (0..gradients.len()).map(|i| format!("g{i}")).collect();
    let outputs: Vec<(&str, Tensor<'_>)> = names.iter().map(String::as_str).zip(gradients).collect();
    let program = g.program(&outputs);
    let at = |name: &str| &inputs[name[1..].parse::<usize>().unwrap()];
    let results = interp::run(&program.graph, |_, name| at(name));
    results.outputs.iter().map(Array::to_f64_vec).collect()
}

fn vector(values: &[f64]) -> Array {
    Array::new([values.len()], values.to_vec()).unwrap()
}

#[test]
fn equal_elements_share_the_cotangent_of_an_extreme() {
    let ties = vector(&[3.0, 1.0, 3.0, 3.0]);
    let third = 1.0 / 3.0;
    assert_eq!(gradients(std::slice::from_ref(&ties), |_, x| x[0].max()), [[third, 0.0, third, third]]);
    let ties = vector(&[1.0, 1.0, 3.0, 2.0]);
    assert_eq!(gradients(&[ties], |_, x| x[0].min()), [[0.5, 0.5, 0.0, 0.0]]);
    let (a, b) = (vector(&[1.0, 2.0, 3.0]), vector(&[1.0, 3.0, 2.0]));
    let both = [a, b];
    assert_eq!(gradients(&both, |_, x| x[0].maximum(x[1])), [[0.5, 0.0, 1.0], [0.5, 1.0, 0.0]]);
    assert_eq!(gradients(&both, |_, x| x[0].minimum(x[1])), [[0.5, 1.0, 0.0], [0.5, 0.0, 1.0]]);
}

#[test]
fn a_nan_is_the_extreme_and_gets_the_cotangent() {
    let nan = f64::NAN;
    let x = [vector(&[nan, 1.0, nan, 3.0])];
    assert_eq!(gradients(&x, |_, x| x[0].max()), [[0.5, 0.0, 0.5, 0.0]]);
    assert_eq!(gradients(&x, |_, x| x[0].min()), [[0.5, 0.0, 0.5, 0.0]]);
    let both = [vector(&[nan, 1.0, nan, 2.0]), vector(&[1.0, nan, nan, 1.0])];
    assert_eq!(gradients(&both, |_, x| x[0].maximum(x[1])), [[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 0.5, 0.0]]);
    assert_eq!(gradients(&both, |_, x| x[0].minimum(x[1])), [[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.5, 1.0]]);
}

#[test]
fn kinks_and_steps_have_the_documented_derivatives() {
    let at = [vector(&[-1.5, -0.0, 0.0, 1.5])];
    assert_eq!(gradients(&at, |_, x| x[0].relu()), [[0.0, 0.0, 0.0, 1.0]]);
    assert_eq!(gradients(&at, |_, x| x[0].abs()), [[-1.0, 0.0, 0.0, 1.0]]);
    assert_eq!(gradients(&at, |_, x| x[0].leaky_relu(0.25)), [[0.25, 0.25, 0.25, 1.0]]);
    assert_eq!(gradients(&at[..], |_, x| x[0].elu(0.5))[0][1..], [0.5, 0.5, 1.0]);
    assert_eq!(gradients(&at[..], |_, x| x[0].celu(0.5))[0][1..], [1.0, 1.0, 1.0]);
    let ends = [vector(&[-4.0, -3.0, 3.0, 4.0])];
    assert_eq!(gradients(&ends, |_, x| x[0].hard_sigmoid()), [[0.0, 1.0 / 6.0, 1.0 / 6.0, 0.0]]);
    assert_eq!(gradients(&ends, |_, x| x[0].hard_swish()), [[0.0, 0.0, 1.0, 1.0]]);
    assert_eq!(gradients(&ends, |_, x| x[0].clamp(-3.0, 3.0)), [[0.0, 1.0, 1.0, 0.0]]);
    assert_eq!(gradients(&ends, |_, x| x[0].clamp(3.5, -3.5)), [[0.0; 4]]);
    let origin = [vector(&[0.0]), vector(&[0.0])];
    assert_eq!(gradients(&origin, |_, x| x[0].hypot(x[1])), [[0.0], [0.0]]);
    assert_eq!(gradients(&origin, |_, x| x[0].atan2(x[1])), [[0.0], [0.0]]);
    assert_eq!(gradients(&origin, |_, x| x[0].copysign(x[1])), [[0.0], [0.0]]);
    assert_eq!(gradients(&origin[..1], |_, x| x[0].cbrt()), [[f64::INFINITY]]);
    let infinite = [vector(&[f64::NEG_INFINITY, f64::INFINITY]), vector(&[f64::NEG_INFINITY, 1.0])];
    assert_eq!(gradients(&infinite, |_, x| x[0].logaddexp(x[1])), [[0.5, 1.0], [0.5, 0.0]]);
    for f in [ScalarFn::Sign, ScalarFn::Floor, ScalarFn::Ceil, ScalarFn::Round, ScalarFn::Trunc, ScalarFn::StopGradient]
    {
        assert_eq!(gradients(&at, |g, x| g.try_push(Map { f }, x).unwrap()), [[0.0; 4]]);
    }
    assert_eq!(gradients(&at, |_, x| x[0] * x[0].stop_gradient()), [[-1.5, 0.0, 0.0, 1.5]]);
    // The derivative of relu is 1[x > 0], and NaN is not hidden by the forward pass.
    assert_eq!(gradients(&[vector(&[f64::NAN])], |_, x| x[0].relu()), [[1.0]]);
}

#[test]
fn powers_of_zero_have_finite_derivatives() {
    let zero = [vector(&[0.0])];
    for (exponent, slope) in [(0.0, 0.0), (1.0, 1.0), (2.0, 0.0), (2.5, 0.0)] {
        assert_eq!(gradients(&zero, |_, x| x[0].pow(exponent)), [[slope]], "exponent {exponent}");
    }
    // By the exponent: y ln a, and 0 where a is 0.
    let by_exponent = gradients(&[vector(&[0.0, 0.0]), vector(&[2.0, 0.5])], |_, x| x[0].pow(x[1]));
    assert_eq!(by_exponent[1], [0.0, 0.0]);
    // The second derivative of x^0, x^1, x^2 and x^3 at 0.
    for (exponent, curvature) in [(0.0, 0.0), (1.0, 0.0), (2.0, 2.0), (3.0, 0.0)] {
        let second = gradients(&zero, |g, x| g.grad(x[0].pow(exponent).sum(), [x[0]])[0]);
        assert_eq!(second, [[curvature]], "exponent {exponent}");
    }
}

#[test]
fn the_branch_not_taken_gets_nothing() {
    let inputs = [vector(&[1.0, 2.0]), vector(&[f64::NAN, f64::INFINITY])];
    let both = gradients(&inputs, |_, x| x[0].gt(0.0).select(x[0], x[1]));
    assert_eq!(both, [[1.0, 1.0], [0.0, 0.0]]);
}

#[test]
fn products_with_zeros_have_finite_derivatives() {
    let one = [vector(&[0.0, 3.0, 4.0])];
    assert_eq!(gradients(&one, |_, x| x[0].prod()), [[12.0, 0.0, 0.0]]);
    let two = [vector(&[0.0, 3.0, 0.0, 2.0])];
    assert_eq!(gradients(&two, |_, x| x[0].prod()), [[0.0; 4]]);
    // The mixed second derivative by the two zeros is the product of the others.
    let second = gradients(&two, |g, x| g.grad(x[0].prod(), [x[0]])[0].slice(0, 0..1));
    assert_eq!(second, [[0.0, 0.0, 6.0, 0.0]]);
}

#[test]
fn replaced_and_dropped_elements_get_nothing() {
    let index = integers(&[4], &[1, 0, 1, 9]);
    let inputs = [vector(&[1.0, 2.0, 3.0]), index, vector(&[10.0, 20.0, 30.0, 40.0])];
    let set = gradients(&inputs, |_, x| x[0].scatter_set(x[1], x[2]));
    assert_eq!(set, [vec![0.0, 0.0, 1.0], vec![0.0, 1.0, 1.0, 0.0]]);
    let add = gradients(&inputs, |_, x| x[0].scatter_add(x[1], x[2]));
    assert_eq!(add, [vec![1.0, 1.0, 1.0], vec![1.0, 1.0, 1.0, 0.0]]);
    let take = gradients(&inputs, |_, x| x[0].take(x[1], 0).slice(0, 0..3) + 0.0 * x[2].slice(0, 0..3));
    assert_eq!(take[0], [1.0, 2.0, 0.0]);
}

#[test]
fn what_the_loss_does_not_depend_on_gets_zeros() {
    let inputs = [vector(&[1.0, 2.0]), vector(&[3.0])];
    assert_eq!(gradients(&inputs, |_, x| x[0] * 2.0), [vec![2.0, 2.0], vec![0.0]]);
    // Through an integer nothing flows.
    assert_eq!(gradients(&inputs[..1], |_, x| x[0].cast(DType::I64).cast(DType::F64)), [[0.0, 0.0]]);
}
