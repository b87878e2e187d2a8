//! Optimizers against plain loops in f64, and the state of a training step: names, sharing, schedules, determinism.

use crate::engines::engines;
use cotangent::build::init;
use cotangent::data;
use cotangent::prelude::*;
use cotangent::train::clip::clip_by_global_norm;
use cotangent::train::{StepBuilder, TrainStep};

/// Minimum of the test function, one for each element.
const TARGET: [f64; 4] = [1.0, -2.0, 0.5, 3.0];
const START: [f64; 4] = [0.0, 1.0, -1.5, 2.0];
/// Curvatures, so that the elements move at different speeds.
const CURVATURE: [f64; 4] = [1.0, 0.3, 2.0, 0.05];

/// `sum of c/2 (w - target)^2`, in this element type.
fn quadratic(g: &Builder, dtype: DType) -> Tensor<'_> {
    let vector = |v: [f64; 4]| Init::from(Array::new([4], v.to_vec()).unwrap()).dtype(dtype);
    let w = g.param("w", vector(START));
    let target = g.constant(vector(TARGET).array());
    let curvature = g.constant(vector(CURVATURE).array());
    (0.5 * curvature * (w - target).square()).sum()
}

/// The gradient of [`quadratic`].
fn slope(w: [f64; 4]) -> [f64; 4] {
    std::array::from_fn(|i| CURVATURE[i] * (w[i] - TARGET[i]))
}

/// Runs 12 steps of `optimizer` on the quadratic in both float types under every engine and compares the parameters after each with those that `reference`
/// makes of parameters, gradient and step number.
fn check<F>(optimizer: impl for<'g> Fn(Tensor<'g>) -> TrainStep<'g>, reference: impl Fn() -> F)
where
    F: FnMut([f64; 4], [f64; 4], i32) -> [f64; 4],
{
    for engine in engines() {
        for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 2e-6)] {
            let g = Builder::new();
            let mut step = optimizer(quadratic(&g, dtype)).compile(&Options::engine(engine)).unwrap();
            let (mut w, mut reference) = (START, reference());
            for t in 1..=12 {
                step.run(&[]).unwrap();
                w = reference(w, slope(w), t);
                let got = step.params().get("w").unwrap().to_f64_vec();
                for (got, want) in got.iter().zip(w) {
                    let error = (got - want).abs() / want.abs().max(1.0);
                    assert!(error <= tolerance, "{engine:?} {dtype} step {t}: {got} instead of {want}");
                }
            }
        }
    }
}

/// Applies a rule for one element to all four.
fn each(f: impl FnMut(usize) -> f64) -> [f64; 4] {
    std::array::from_fn(f)
}

#[test]
fn sgd_is_a_step_down_the_slope() {
    check(|loss| Sgd::new(0.3).minimize(loss), || |w, g, _| each(|i| w[i] - 0.3 * g[i]));
}

#[test]
fn sgd_decays_weights_through_the_gradient() {
    check(
        |loss| Sgd::new(0.3).weight_decay(0.1).minimize(loss),
        || |w, g, _| each(|i| w[i] - 0.3 * (g[i] + 0.1 * w[i])),
    );
}

#[test]
fn momentum_is_a_running_sum_of_gradients() {
    check(
        |loss| Sgd::new(0.1).momentum(0.9).minimize(loss),
        || {
            let mut u = [0.0; 4];
            move |w, g, _| {
                u = each(|i| 0.9 * u[i] + g[i]);
                each(|i| w[i] - 0.1 * u[i])
            }
        },
    );
}

#[test]
fn nesterov_looks_one_step_ahead() {
    check(
        |loss| Sgd::new(0.1).momentum(0.8).nesterov().weight_decay(0.05).minimize(loss),
        || {
            let mut u = [0.0; 4];
            move |w, g, _| {
                let g = each(|i| g[i] + 0.05 * w[i]);
                u = each(|i| 0.8 * u[i] + g[i]);
                each(|i| w[i] - 0.1 * (g[i] + 0.8 * u[i]))
            }
        },
    );
}

/// Kingma and Ba's algorithm 1, with decoupled decay.
fn adam(lr: f64, b1: f64, b2: f64, eps: f64, decay: f64) -> impl FnMut([f64; 4], [f64; 4], i32) -> [f64; 4] {
    let (mut m, mut v) = ([0.0; 4], [0.0; 4]);
    move |w, g, t| {
        m = each(|i| b1 * m[i] + (1.0 - b1) * g[i]);
        v = each(|i| b2 * v[i] + (1.0 - b2) * g[i] * g[i]);
        let (c1, c2) = (1.0 - b1.powi(t), 1.0 - b2.powi(t));
        each(|i| w[i] - lr * decay * w[i] - lr * (m[i] / c1) / ((v[i] / c2).sqrt() + eps))
    }
}

#[test]
fn adam_is_kingma_and_bas_algorithm() {
    check(|loss| Adam::new(0.1).minimize(loss), || adam(0.1, 0.9, 0.999, 1e-8, 0.0));
    check(|loss| Adam::new(0.05).betas(0.5, 0.9).eps(1e-3).minimize(loss), || adam(0.05, 0.5, 0.9, 1e-3, 0.0));
    check(|loss| Adam::new(0.05).betas(0.0, 0.0).minimize(loss), || adam(0.05, 0.0, 0.0, 1e-8, 0.0));
}

#[test]
fn adamw_shrinks_parameters_apart_from_the_gradient() {
    check(|loss| AdamW::new(0.1).minimize(loss), || adam(0.1, 0.9, 0.999, 1e-8, 0.01));
    check(|loss| AdamW::new(0.1).weight_decay(0.3).minimize(loss), || adam(0.1, 0.9, 0.999, 1e-8, 0.3));
}

#[test]
fn schedules_follow_their_formulas() {
    let pi = std::f64::consts::PI;
    let sgd = |rate: fn(f64) -> f64| {
        move || move |w: [f64; 4], g: [f64; 4], t| each(|i| w[i] - rate(f64::from(t - 1)) * g[i])
    };
    let rate: fn(f64) -> f64 = |t| 0.1 / (1.0 + t);
    check_f32_rate(|loss| Sgd::new(Rate::schedule(|t| 0.1 / (1.0 + t))).minimize(loss), sgd(rate));
    let rate: fn(f64) -> f64 = |t| 0.25 * (1.0 + (t.min(8.0) * std::f64::consts::PI / 8.0).cos());
    assert!((rate(4.0) - 0.25 * (1.0 + (pi / 2.0).cos())).abs() < 1e-15);
    check_f32_rate(|loss| Sgd::new(Rate::cosine(0.5, 8)).minimize(loss), sgd(rate));
    let rate: fn(f64) -> f64 = |t| 0.5 * 0.5f64.powf((t / 3.0).floor());
    check_f32_rate(|loss| Sgd::new(Rate::decay(0.5, 0.5, 3)).minimize(loss), sgd(rate));
}

/// [`check`] for rates that are computed in `f32`.
fn check_f32_rate<F>(optimizer: impl for<'g> Fn(Tensor<'g>) -> TrainStep<'g>, reference: impl Fn() -> F)
where
    F: FnMut([f64; 4], [f64; 4], i32) -> [f64; 4],
{
    for engine in engines() {
        let g = Builder::new();
        let step = optimizer(quadratic(&g, DType::F32));
        let mut step = step.compile(&Options::engine(engine)).unwrap();
        let (mut w, mut reference) = (START, reference());
        for t in 1..=12 {
            step.run(&[]).unwrap();
            w = reference(w, slope(w), t);
            for (got, want) in step.params().get("w").unwrap().to_f64_vec().iter().zip(w) {
                assert!((got - want).abs() <= 1e-6 * want.abs().max(1.0), "step {t}: {got} instead of {want}");
            }
        }
        assert_eq!(step.params().get("schedule.t").unwrap(), Array::scalar(12i64));
    }
}

#[test]
fn an_adjustable_rate_is_set_between_steps() {
    for engine in engines() {
        let g = Builder::new();
        let w = g.param("w", init::full([2], 1.0));
        let step = Adam::new(Rate::adjustable(0.5)).minimize(w.sum());
        let mut step = step.compile(&Options::engine(engine)).unwrap();
        step.params().set("learning_rate", &Array::scalar(0.0f32)).unwrap();
        step.run(&[]).unwrap();
        assert_eq!(step.params().get("w").unwrap().as_slice::<f32>().unwrap(), [1.0, 1.0]);
        step.params().set("learning_rate", &Array::scalar(0.25f32)).unwrap();
        step.run(&[]).unwrap();
        let w = step.params().get("w").unwrap().to_f64_vec();
        assert!(w.iter().all(|w| (w - 0.75).abs() < 1e-6), "{w:?}");
    }
}

#[test]
fn a_rate_may_be_an_input() {
    for engine in engines() {
        let g = Builder::new();
        let w = g.param("w", init::full([2], 1.0));
        let rate = g.input("rate", f32([]));
        let mut step = Sgd::new(rate).minimize(w.sum()).compile(&Options::engine(engine)).unwrap();
        step.run(&[("rate", &Array::scalar(0.5f32))]).unwrap();
        step.run(&[("rate", &Array::scalar(0.25f32))]).unwrap();
        assert_eq!(step.params().get("w").unwrap().as_slice::<f32>().unwrap(), [0.25, 0.25]);
    }
}

#[test]
fn state_has_names_and_can_be_read_and_set() {
    for engine in engines() {
        let g = Builder::new();
        let loss = quadratic(&g, DType::F32);
        let mut step = Adam::new(0.1).minimize(loss).compile(&Options::engine(engine)).unwrap();
        let names = step.params().names();
        assert_eq!(names.iter().map(|n| &**n).collect::<Vec<_>>(), ["adam.t", "w", "w.adam_m", "w.adam_v"]);
        assert_eq!(step.params().get("adam.t").unwrap(), Array::scalar(0i64));
        for _ in 0..3 {
            step.run(&[]).unwrap();
        }
        assert_eq!(step.params().get("adam.t").unwrap(), Array::scalar(3i64));

        // A saved state continues as the original does.
        let saved: Vec<(_, Array)> = names.iter().map(|n| (n, step.params().get(n).unwrap())).collect();
        let on =
            |step: &mut Executable| (0..4).map(|_| step.run(&[]).unwrap().scalar::<f32>().unwrap()).collect::<Vec<_>>();
        let first = on(&mut step);
        for (name, value) in &saved {
            step.params().set(name, value).unwrap();
        }
        assert_eq!(on(&mut step), first);

        let error = step.params().set("w", &Array::scalar(1.0f32)).unwrap_err();
        assert_eq!(error.to_string(), "parameter `w` is f32[4], the array given is f32[]");
        let error = step.params().get("w2").unwrap_err();
        assert_eq!(error.to_string(), "there is no parameter called `w2`; there are: adam.t, w, w.adam_m, w.adam_v");
    }
}

#[test]
fn prefixes_keep_two_optimizers_apart() {
    let g = Builder::new();
    let (a, b) = (g.param("a", init::ones([2])), g.param("b", init::ones([2])));
    let first = Adam::new(Rate::adjustable(0.1)).minimize(a.sum());
    let second = Adam::new(Rate::adjustable(0.1)).prefix("critic").minimize((a * b).sum());
    let params = first.compile(&Options::engine(Engine::Interp)).unwrap().params().clone();
    second.compile_with(&Options::engine(Engine::Interp), &params).unwrap();
    let names = params.names().join(" ");
    assert!(
        names.contains("critic.adam.t") && names.contains("a.critic.adam_m") && names.contains("critic.learning_rate")
    );
}

#[test]
#[should_panic(
    expected = "a state or parameter called `adam.t` already; a second optimizer in one builder needs names of its own, see `.prefix"
)]
fn a_second_optimizer_without_a_prefix_is_told_of_it() {
    let g = Builder::new();
    let (a, b) = (g.param("a", init::ones([2])), g.param("b", init::ones([2])));
    let _first = Adam::new(0.1).minimize(a.sum());
    let _second = Adam::new(0.1).minimize(b.sum());
}

#[test]
fn minimize_moves_only_what_the_loss_depends_on() {
    for engine in engines() {
        let g = Builder::new();
        let (a, b) = (g.param("a", init::ones([2])), g.param("b", init::ones([2])));
        let frozen = g.state("frozen", init::ones([2]));
        let loss = (a * frozen).sum();
        let all = Sgd::new(0.5).minimize(loss).program();
        assert_eq!(all.graph.updates().len(), 1);
        let mut step = Sgd::new(0.5).minimize_wrt((a * b).sum(), &[b]).compile(&Options::engine(engine)).unwrap();
        step.run(&[]).unwrap();
        let get = |name| step.params().get(name).unwrap().to_f64_vec();
        assert_eq!((get("a"), get("b")), (vec![1.0, 1.0], vec![0.5, 0.5]));
    }
}

#[test]
#[should_panic(expected = "depends on no trainable parameter")]
fn a_loss_without_parameters_is_refused() {
    let g = Builder::new();
    let x = g.input("x", f32([]));
    let _ = Sgd::new(0.1).minimize(x.square());
}

#[test]
#[should_panic(expected = "a learning rate is a float scalar")]
fn a_rate_with_axes_is_refused() {
    let g = Builder::new();
    let w = g.param("w", init::ones([2]));
    let _ = Sgd::new(w).minimize(w.sum());
}

#[test]
#[should_panic(expected = "needs a momentum")]
fn nesterov_without_momentum_is_refused() {
    let g = Builder::new();
    let w = g.param("w", init::ones([2]));
    let _ = Sgd::new(0.1).nesterov().minimize(w.sum());
}

#[test]
fn results_and_updates_of_ones_own_go_into_the_step() {
    for engine in engines() {
        let g = Builder::new();
        let x = g.input("x", f32([3]));
        let (w, mean) = (g.param("w", init::ones([])), g.state("mean", init::zeros([])));
        let loss = (w * x).square().mean();
        let step = Sgd::new(0.1).minimize(loss).output("sum", x.sum()).update(mean, 0.9 * mean + 0.1 * x.mean());
        let mut step = step.compile(&Options::engine(engine)).unwrap();
        let x = Array::new([3], vec![1.0f32, 2.0, 3.0]).unwrap();
        let outputs = step.run(&[("x", &x)]).unwrap();
        assert_eq!(outputs.get("sum").unwrap(), &Array::scalar(6.0f32));
        // 0.9 * 0 + 0.1 * 2, in whichever order the engine rounds.
        let mean = step.params().get("mean").unwrap().get_f64(0);
        assert!((mean - 0.2).abs() <= 2.0 * f64::from(f32::EPSILON) * 0.2, "{mean}");
    }
}

#[test]
fn clipped_gradients_are_applied_as_given() {
    for engine in engines() {
        let g = Builder::new();
        let w = g.param("w", init::full([2], 3.0));
        let loss = w.square().sum();
        let [dw] = g.grad(loss, [w]);
        let step = Sgd::new(0.5).apply(&g, &[(w, dw.minimum(1.0))]).output("loss", loss);
        let mut step = step.compile(&Options::engine(engine)).unwrap();
        assert_eq!(step.run(&[]).unwrap().scalar::<f32>().unwrap(), 18.0);
        assert_eq!(step.params().get("w").unwrap().as_slice::<f32>().unwrap(), [2.5, 2.5]);
    }
}

#[test]
fn an_optimizer_of_ones_own_is_a_few_lines() {
    /// Sign descent: `p = p - lr sign(g)`.
    struct SignSgd(f64);
    impl<'g> Optimizer<'g> for SignSgd {
        fn update(self, step: &mut StepBuilder<'g>, gradients: &[(Tensor<'g>, Tensor<'g>)]) {
            for &(param, gradient) in gradients {
                step.update(param, param - self.0 * gradient.sign());
            }
        }
    }
    check(
        |loss| SignSgd(0.125).minimize(loss),
        || |w, g, _| each(|i| w[i] - 0.125 * if g[i] == 0.0 { 0.0 } else { g[i].signum() }),
    );
}

/// The network of the digits example with 16 hidden units, and its logits.
fn net<'g>(g: &'g Builder, batch: usize, seed: u64) -> (Tensor<'g>, Tensor<'g>) {
    let x = g.input("x", f32([batch, 64]));
    let y = g.input("y", i32([batch]));
    let w1 = g.param("w1", init::he([64, 16], seed));
    let w2 = g.param("w2", init::he([16, 10], seed + 1));
    let logits = x.dot(w1).relu().dot(w2);
    (logits, logits.cross_entropy(y).mean())
}

/// Losses of two epochs on the digits.
fn curve(engine: Engine, seed: u64, optimize: impl for<'g> Fn(Tensor<'g>) -> TrainStep<'g>) -> Vec<f32> {
    let train = data::digits().train.flattened();
    let g = Builder::new();
    let mut step = optimize(net(&g, 50, seed).1).compile(&Options::engine(engine)).unwrap();
    let mut batches = train.shuffled(50, seed);
    let mut losses = Vec::new();
    for epoch in 0..2 {
        for (xs, ys) in batches.epoch(epoch) {
            losses.push(step.run(&[("x", xs), ("y", ys)]).unwrap().scalar().unwrap());
        }
    }
    losses
}

/// The same as [`curve`] for plain SGD, in f64 loops.
fn reference_curve(seed: u64, lr: f64) -> Vec<f64> {
    let train = data::digits().train.flattened();
    let mut w1 = init::he([64, 16], seed).array().to_f64_vec();
    let mut w2 = init::he([16, 10], seed + 1).array().to_f64_vec();
    let mut batches = train.shuffled(50, seed);
    let mut losses = Vec::new();
    for epoch in 0..2 {
        for (xs, ys) in batches.epoch(epoch) {
            let (xs, ys) = (xs.as_slice::<f32>().unwrap(), ys.as_slice::<i32>().unwrap());
            let (mut d1, mut d2, mut loss) = (vec![0.0; w1.len()], vec![0.0; w2.len()], 0.0);
            for (x, &y) in xs.chunks(64).zip(ys) {
                let z: Vec<f64> = (0..16).map(|h| (0..64).map(|i| f64::from(x[i]) * w1[i * 16 + h]).sum()).collect();
                let a: Vec<f64> = z.iter().map(|z: &f64| z.max(0.0)).collect();
                let e: Vec<f64> = (0..10).map(|c| (0..16).map(|h| a[h] * w2[h * 10 + c]).sum::<f64>().exp()).collect();
                let sum: f64 = e.iter().sum();
                loss -= (e[y as usize] / sum).ln() / 50.0;
                // The lecture's closed form: X^T ((S - I_y) W2^T o 1[X W1 > 0]) and relu(X W1)^T (S - I_y).
                let s: Vec<f64> = (0..10).map(|c| (e[c] / sum - f64::from(u8::from(c == y as usize))) / 50.0).collect();
                for h in 0..16 {
                    let back: f64 = (0..10).map(|c| s[c] * w2[h * 10 + c]).sum();
                    (0..10).for_each(|c| d2[h * 10 + c] += a[h] * s[c]);
                    if z[h] > 0.0 {
                        (0..64).for_each(|i| d1[i * 16 + h] += f64::from(x[i]) * back);
                    }
                }
            }
            w1.iter_mut().zip(&d1).for_each(|(w, d)| *w -= lr * d);
            w2.iter_mut().zip(&d2).for_each(|(w, d)| *w -= lr * d);
            losses.push(loss);
        }
    }
    losses
}

#[test]
fn a_network_learns_as_a_plain_loop_does() {
    let want = reference_curve(3, 0.2);
    for engine in engines() {
        let got = curve(engine, 3, |loss| Sgd::new(0.2).minimize(loss));
        for (step, (got, want)) in got.iter().zip(&want).enumerate() {
            let error = (f64::from(*got) - want).abs() / want;
            assert!(error < 1e-5, "{engine:?} step {step}: {got} instead of {want}");
        }
        assert!(want[55] < 0.5 * want[0]);
    }
}

#[test]
fn engines_give_one_loss_curve_and_runs_repeat() {
    type Minimize = for<'g> fn(Tensor<'g>) -> TrainStep<'g>;
    let optimizers: [(&str, Minimize); 3] = [
        ("sgd", |loss| Sgd::new(0.2).minimize(loss)),
        ("momentum", |loss| Sgd::new(0.02).momentum(0.9).nesterov().minimize(loss)),
        ("adamw", |loss| AdamW::new(0.01).minimize(loss)),
    ];
    for (name, optimize) in optimizers {
        let reference = curve(Engine::Interp, 0, optimize);
        for engine in engines() {
            let losses = curve(engine, 0, optimize);
            let bits = |l: &[f32]| l.iter().map(|l| l.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&losses), bits(&curve(engine, 0, optimize)), "{engine:?} {name} repeats bit for bit");
            for (step, (a, b)) in losses.iter().zip(&reference).enumerate() {
                assert!((a - b).abs() <= 1e-4 * b.abs(), "{engine:?} {name} step {step}: {a} and {b}");
            }
            assert!(losses[55] < 0.6 * losses[0], "{name} learns: {} to {}", losses[0], losses[55]);
        }
    }
}

#[test]
fn a_forward_function_shares_the_parameters_and_asks_for_no_labels() {
    for engine in engines() {
        let g = Builder::new();
        let (logits, loss) = net(&g, 2, 0);
        let mut step = Sgd::new(0.2).minimize(loss).compile(&Options::engine(engine)).unwrap();
        let mut predict = step.forward(logits).unwrap();
        assert_eq!(predict.inputs().map(|(n, _)| n.to_string()).collect::<Vec<_>>(), ["x"]);

        let x = init::uniform([2, 64], 0.0, 1.0, 7).array();
        let y = Array::new([2], vec![3, 4]).unwrap();
        let before = predict.run(&[("x", &x)]).unwrap().first().clone();
        step.run(&[("x", &x), ("y", &y)]).unwrap();
        let after = predict.run(&[("x", &x)]).unwrap().first().clone();
        assert_ne!(before, after);

        predict.params().set("w2", &Array::zeros(&f32([16, 10]))).unwrap();
        assert_eq!(predict.run(&[("x", &x)]).unwrap().first(), &Array::zeros(&f32([2, 10])));
        let loss: f32 = step.run(&[("x", &x), ("y", &y)]).unwrap().scalar().unwrap();
        assert!((loss - 10f32.ln()).abs() < 1e-6);

        // A graph of another batch size shares parameters of the same names and types.
        let wide = Builder::new();
        let program = wide.program(&[("logits", net(&wide, 5, 9).0)]);
        let mut wide = program.compile_with(&Options::engine(engine), step.params()).unwrap();
        let x5 = init::uniform([5, 64], 0.0, 1.0, 7).array();
        let five = wide.run(&[("x", &x5)]).unwrap().first().to_f64_vec();
        let two = predict.run(&[("x", &x)]).unwrap().first().to_f64_vec();
        assert!(two.iter().zip(&five).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn rates_that_are_no_rates_are_refused() {
    let refused: [(&str, fn()); 5] = [
        ("Sgd: the learning rate is a finite number from 0 up, not NaN", || {
            let g = Builder::new();
            let w = g.param("w", init::ones([2]));
            let _ = Sgd::new(f64::NAN).minimize(w.sum());
        }),
        ("not inf", || drop(Rate::adjustable(f64::INFINITY))),
        ("not NaN", || drop(Rate::cosine(f64::NAN, 3))),
        ("at least one step", || drop(Rate::cosine(0.1, 0))),
        ("at least one step", || drop(Rate::decay(0.1, 0.5, 0))),
    ];
    for (message, make) in refused {
        let panic = std::panic::catch_unwind(make).expect_err(message);
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default();
        assert!(text.contains(message), "`{message}` is not in `{text}`");
    }
}

/// The gradient of [`quadratic`] with its elements limited, and scaled to a limited norm.
#[test]
fn clipped_gradients() {
    let rate = 0.1;
    check(
        |loss| Sgd::new(0.1).clip_by_value(0.75).minimize(loss),
        || move |w, g: [f64; 4], _| each(|i| w[i] - rate * g[i].clamp(-0.75, 0.75)),
    );
    check(
        |loss| Sgd::new(0.1).momentum(0.9).clip_by_global_norm(2.5).minimize(loss),
        || {
            let mut velocity = [0.0; 4];
            move |w, g: [f64; 4], _| {
                let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
                velocity = each(|i| 0.9 * velocity[i] + g[i] * (2.5 / norm.max(2.5)));
                each(|i| w[i] - rate * velocity[i])
            }
        },
    );
}

/// One norm over all parameters, of any shapes; below the limit nothing changes a bit, at 0 nothing divides by it.
#[test]
fn the_global_norm_is_that_of_all_gradients() {
    for engine in engines() {
        let g = Builder::new();
        let (a, b) = (g.param("a", init::full([2, 2], 1.0)), g.param("b", init::full([], 1.0)));
        let (p, q) = (g.input("p", f32([2, 2])), g.input("q", f32([])));
        let loss = (a * p).sum() + b * q;
        let gradients = g.grad_all(loss, &[a, b]);
        let (clipped, norm) = clip_by_global_norm(&gradients, 5.0);
        let program = g.program(&[("norm", norm), ("a", clipped[0]), ("b", clipped[1])]);
        let mut run = program.compile(&Options::engine(engine)).unwrap();
        let mut of = |p: f32, q: f32| {
            let p = Array::new([2, 2], vec![p; 4]).unwrap();
            let results = run.run(&[("p", &p), ("q", &Array::scalar(q))]).unwrap();
            let at = |name| results.get(name).unwrap().get_f64(0);
            (at("norm"), at("a"), at("b"))
        };
        // sqrt(4 * 9 + 64) = 10, so all is halved.
        assert_eq!(of(3.0, 8.0), (10.0, 1.5, 4.0));
        assert_eq!(of(1.5, 4.0), (5.0, 1.5, 4.0));
        let (norm, a, b) = of(0.1, -0.3);
        assert_eq!((a, b), (f64::from(0.1f32), f64::from(-0.3f32)));
        assert!((norm - 0.13f64.sqrt()).abs() < 1e-7);
        assert_eq!(of(0.0, 0.0), (0.0, 0.0, 0.0));
        let (norm, a, b) = of(f32::NAN, 1.0);
        assert!(norm.is_nan() && a.is_nan() && b.is_nan());
        let (norm, a, b) = of(f32::INFINITY, 1.0);
        assert!(norm == f64::INFINITY && a.is_nan() && b == 0.0);
    }
}

#[test]
fn limits_that_are_none_are_refused() {
    for limit in [-1.0, f64::NAN] {
        assert!(std::panic::catch_unwind(|| Sgd::new(0.1).clip_by_value(limit)).is_err());
        assert!(std::panic::catch_unwind(|| Sgd::new(0.1).clip_by_global_norm(limit)).is_err());
    }
    assert!(std::panic::catch_unwind(|| Sgd::new(0.1).clip_by_global_norm(0.0)).is_err());
    assert!(std::panic::catch_unwind(|| Sgd::new(0.1).accumulate(0)).is_err());
}

/// Three steps on parts of a batch are one step on the whole, momentum included.
#[test]
fn accumulated_gradients_are_those_of_a_large_batch() {
    fn net<'g>(g: &'g Builder, examples: usize) -> Tensor<'g> {
        let x = g.input("x", f64([examples, 3]));
        let w = g.param("w", Init::from(Array::new([3], vec![0.5, -1.0, 2.0]).unwrap()));
        (x.dot(w) - 1.0).square().mean()
    }
    let data: Vec<f64> = (0..36).map(|i| (f64::from(i) * 0.7).sin()).collect();
    for engine in engines() {
        let (small, large) = (Builder::new(), Builder::new());
        let optimizer = || Sgd::new(0.1).momentum(0.9);
        let options = Options::engine(engine);
        let mut small = optimizer().accumulate(3).minimize(net(&small, 2)).compile(&options).unwrap();
        let mut large = optimizer().minimize(net(&large, 6)).compile(&options).unwrap();
        for batch in data.chunks(18) {
            let before = small.params().get("w").unwrap();
            for (i, part) in batch.chunks(6).enumerate() {
                assert_eq!(small.params().get("w").unwrap(), before, "step {i}");
                small.run(&[("x", &Array::new([2, 3], part.to_vec()).unwrap())]).unwrap();
            }
            large.run(&[("x", &Array::new([6, 3], batch.to_vec()).unwrap())]).unwrap();
            for name in ["w", "w.momentum"] {
                let (a, b) = (small.params().get(name).unwrap(), large.params().get(name).unwrap());
                for (a, b) in a.to_f64_vec().into_iter().zip(b.to_f64_vec()) {
                    assert!((a - b).abs() < 1e-13, "{name}: {a} and {b}");
                }
            }
        }
        assert_eq!(small.params().get("accumulate.t").unwrap().get_f64(0), 6.0);
    }
}
