//! Optimizers and schedules against PyTorch. `make_optimizers.py` writes the file that is read here.

use std::collections::BTreeMap;

use cotangent::prelude::*;
use cotangent::train::{Adagrad, Goal, Groups, Lbfgs, Lion, OneCycle, ReduceOnPlateau, RmsProp, Schedule, TrainStep};

use crate::engines::engines;

fn golden() -> BTreeMap<String, Vec<f64>> {
    let number = |word: &str| word.parse::<f64>().unwrap();
    let line = |line: &str| {
        let (name, numbers) = line.split_once(": ").unwrap();
        (name.to_owned(), numbers.split(' ').map(number).collect())
    };
    include_str!("optimizers.txt").lines().map(line).collect()
}

/// The function of the script, at the script's start.
fn loss(g: &Builder) -> Tensor<'_> {
    let w = g.param("w", Array::from([-1.2f64, 1.0, 0.5, -0.5]));
    let b = g.param("b", Array::from([[1.5f64, -2.0, 0.25]]));
    let (first, second) = (w.slice(0, 0..3), w.slice(0, 1..4));
    let valley = (10.0 * (second - first.square()).square() + (1.0 - first).square()).sum();
    valley + (b - w.mean()).cosh().log().sum() + 0.1 * b.square().sum()
}

/// The script's other function.
fn far(g: &Builder) -> Tensor<'_> {
    let w = g.param("w", Array::from([-1.2f64, 1.0, 0.5, -0.5]));
    let b = g.param("b", Array::from([[1.5f64, -2.0, 0.25]]));
    let steep = 20.0 * (b - 5.0).square().square() + (b - w.slice(0, 0..1)).square();
    ((w - 30.0).square() + 1.0).log().sum() + steep.sqrt().sum()
}

fn optimizer<'g>(name: &str, loss: Tensor<'g>) -> TrainStep<'g> {
    let cycle = |max| OneCycle::new(max, 50);
    match name {
        "sgd" => Sgd::new(0.002).minimize(loss),
        "sgd_momentum" => Sgd::new(0.001).momentum(0.9).weight_decay(0.01).minimize(loss),
        "sgd_nesterov" => Sgd::new(0.001).momentum(0.9).nesterov().weight_decay(0.01).minimize(loss),
        "adam" => Adam::new(0.05).minimize(loss),
        "adam_decay" => Adam::new(0.05).betas(0.8, 0.95).eps(1e-4).weight_decay(0.1).minimize(loss),
        "adam_amsgrad" => Adam::new(0.1).betas(0.5, 0.6).amsgrad().minimize(loss),
        "adamw" => AdamW::new(0.05).weight_decay(0.1).minimize(loss),
        "adamw_amsgrad" => AdamW::new(0.1).betas(0.5, 0.6).amsgrad().minimize(loss),
        "rmsprop" => RmsProp::new(0.01).minimize(loss),
        "rmsprop_momentum" => RmsProp::new(0.005).smoothing(0.9).momentum(0.8).weight_decay(0.01).minimize(loss),
        "rmsprop_centered" => RmsProp::new(0.01).smoothing(0.95).eps(1e-3).centered().minimize(loss),
        "rmsprop_all" => {
            let rmsprop = RmsProp::new(0.002).smoothing(0.95).eps(1e-3).centered();
            rmsprop.momentum(0.9).weight_decay(0.01).minimize(loss)
        }
        "adagrad" => Adagrad::new(0.1).minimize(loss),
        "adagrad_all" => {
            let adagrad = Adagrad::new(0.2).rate_decay(0.01).weight_decay(0.05);
            adagrad.initial_sum(0.5).eps(1e-6).minimize(loss)
        }
        "lbfgs" => Lbfgs::new(0.5).minimize(loss),
        "lbfgs_short" => Lbfgs::new(0.3).history(3).minimize(loss),
        "lbfgs_wolfe" | "lbfgs_wolfe_far" => Lbfgs::new(1.0).strong_wolfe().minimize(loss),
        "lbfgs_wolfe_long" => Lbfgs::new(20.0).history(4).strong_wolfe().minimize(loss),
        "lbfgs_wolfe_small" => Lbfgs::new(0.02).history(6).strong_wolfe().minimize(loss),
        "sgd_cycle" => Sgd::new(cycle(0.001)).momentum(cycle(0.001).momentum(0.85, 0.95)).minimize(loss),
        "sgd_cycle_nesterov" => {
            Sgd::new(cycle(0.001)).momentum(cycle(0.001).momentum(0.5, 0.9)).nesterov().minimize(loss)
        }
        "adam_cycle" => Adam::new(cycle(0.05)).beta1(cycle(0.05).momentum(0.85, 0.95)).minimize(loss),
        "adamw_cycle" => {
            let cycle = cycle(0.05).linear();
            AdamW::new(cycle.clone()).weight_decay(0.1).beta1(cycle.momentum(0.0, 0.95)).minimize(loss)
        }
        "rmsprop_cycle" => RmsProp::new(cycle(0.005)).momentum(cycle(0.005).momentum(0.85, 0.95)).minimize(loss),
        "clip_norm" => Sgd::new(0.05).momentum(0.5).clip_by_global_norm(1.0).minimize(loss),
        "clip_value" => Sgd::new(0.05).momentum(0.5).clip_by_value(0.5).minimize(loss),
        "groups" => {
            let of_b = Adam::new(0.2).weight_decay(0.1);
            Groups::new(Adam::new(0.05)).group("other", |name| name == "b", of_b).minimize(loss)
        }
        "lion" => Lion::new(0.02).minimize(loss),
        "lion_all" => Lion::new(0.01).betas(0.8, 0.95).weight_decay(0.3).minimize(loss),
        _ => panic!("`{name}` is no optimizer"),
    }
}

#[test]
fn trajectories_are_pytorchs() {
    let golden = golden();
    let names: Vec<&String> = golden.keys().filter(|name| !name.contains(' ')).collect();
    assert_eq!(names.len(), 30);
    for name in names {
        for engine in engines() {
            let g = Builder::new();
            let loss = if name.ends_with("_far") { far(&g) } else { loss(&g) };
            let mut step = optimizer(name, loss).compile(&Options::engine(engine)).unwrap();
            let mut got: Vec<f64> = (0..50).map(|_| step.run(&[]).unwrap().scalar().unwrap()).collect();
            for param in ["w", "b"] {
                got.extend(step.params().get(param).unwrap().to_f64_vec());
            }
            assert_eq!(got.len(), golden[name].len());
            for (i, (got, want)) in got.iter().zip(&golden[name]).enumerate() {
                let error = (got - want).abs() / want.abs().max(1e-2);
                // Curvatures from differences of gradients magnify what rounding leaves: PyTorch's own numbers change so when the start moves by 1e-15.
                let tolerance = match name.as_str() {
                    "lbfgs_wolfe_far" if i >= 30 => 1e-3,
                    name if name.starts_with("lbfgs") => 1e-6,
                    _ => 1e-8,
                };
                assert!(error <= tolerance, "{name} {engine:?}, number {i}: {got} instead of {want}");
            }
        }
    }
}

fn schedule(name: &str) -> Schedule {
    match name {
        "constant" => Schedule::constant(0.1),
        "step" => Schedule::step(0.1, 0.3, 7),
        "milestones" => Schedule::milestones(0.1, 0.5, [5, 6, 30]),
        "exponential" => Schedule::exponential(0.1, 0.9),
        "cosine" => Schedule::cosine(0.1, 0.01, 39),
        "restarts" => Schedule::cosine_restarts(0.1, 0.02, 7),
        "linear" => Schedule::linear(0.1, 0.02, 25),
        "polynomial" => Schedule::polynomial(0.1, 0.0, 30, 2.5),
        "one_cycle" => OneCycle::new(0.5, 40).into(),
        "one_cycle_linear" => OneCycle::new(0.5, 40).rise(0.45).divisors(10.0, 100.0).linear().into(),
        "momentum" => OneCycle::new(0.5, 40).momentum(0.85, 0.95),
        "momentum_linear" => OneCycle::new(0.5, 40).rise(0.45).linear().momentum(0.2, 0.9),
        "warm_up" => Schedule::exponential(0.1, 0.95).warm_up(8, 0.25),
        "units" => Schedule::exponential(0.1, 0.7).in_units_of(6),
        _ => panic!("`{name}` is no schedule"),
    }
}

#[test]
fn schedules_are_pytorchs_inside_and_outside_of_a_step() {
    let golden = golden();
    let mut seen = 0;
    for (name, want) in golden.iter().filter_map(|(name, want)| Some((name.strip_prefix("schedule ")?, want))) {
        seen += 1;
        let close = |got: f64, want: f64| (got - want).abs() <= 1e-12 * want.abs() + 1e-15;
        for (t, &want) in want.iter().enumerate() {
            let got = schedule(name).at(t as u64);
            assert!(close(got, want), "{name} at {t}: {got} instead of {want}");
        }
        for engine in engines() {
            // With a gradient of -1, a parameter is the sum of all rates.
            let g = Builder::new();
            let w = g.param("w", init::zeros([]).dtype(DType::F64));
            let mut step = Sgd::new(schedule(name)).minimize(-w).compile(&Options::engine(engine)).unwrap();
            let mut sum = 0.0;
            for (t, rate) in want.iter().enumerate() {
                step.run(&[]).unwrap();
                sum += rate;
                let got = step.params().get("w").unwrap().get_f64(0);
                assert!(close(got, sum), "{name} {engine:?} after {t}: {got} instead of {sum}");
            }
        }
    }
    assert_eq!(seen, 14);
}

#[test]
fn a_plateau_lowers_the_rate_as_in_pytorch() {
    let golden = golden();
    for name in ["min", "max"] {
        let mut plateau = match name {
            "min" => ReduceOnPlateau::new(0.1).factor(0.5).patience(2),
            _ => ReduceOnPlateau::new(0.1).goal(Goal::Max).patience(3).cooldown(2).min_rate(0.001).threshold(0.01),
        };
        let rates: Vec<f64> = golden[&format!("values {name}")].iter().map(|&v| plateau.observe(v)).collect();
        let want = &golden[&format!("plateau {name}")];
        assert!(rates.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{name}: {rates:?} instead of {want:?}");
        assert!(rates.last() < rates.first());
    }
}

#[test]
#[should_panic(expected = "group `heads` holds no parameter; there are: w, b")]
fn a_group_without_parameters_is_refused() {
    let g = Builder::new();
    let groups = Groups::new(Sgd::new(0.1)).group("heads", |name| name.starts_with("head."), Sgd::new(0.2));
    let _ = groups.minimize(loss(&g));
}

#[test]
fn optimizers_of_groups_have_states_and_rates_of_their_own() {
    let g = Builder::new();
    let loss = loss(&g);
    let adam = || Adam::new(Rate::adjustable(0.1));
    let step = Groups::new(adam()).group("slow", |name| name == "b", adam().clip_by_value(1.0)).minimize(loss);
    let step = step.compile(&Options::engine(Engine::Interp)).unwrap();
    let names: Vec<String> = step.params().names().iter().map(|n| n.to_string()).collect();
    let want =
        ["adam.t", "b", "b.adam_m", "b.adam_v", "learning_rate", "slow.adam.t", "slow.learning_rate", "w", "w.adam_m"];
    assert_eq!(names[..9], want);
}

#[test]
fn lbfgs_stands_still_where_the_gradient_is_zero() {
    for engine in engines() {
        let g = Builder::new();
        let w = g.param("w", Array::from([3.0f64, -1.0]));
        let mut step = Lbfgs::new(1.0).minimize((w - 2.0).square().sum()).compile(&Options::engine(engine)).unwrap();
        for _ in 0..30 {
            step.run(&[]).unwrap();
        }
        let w = step.params().get("w").unwrap().to_f64_vec();
        assert!(w.iter().all(|w| (w - 2.0).abs() < 1e-7), "{w:?}");
    }
}

#[test]
fn a_line_search_comes_back_from_where_there_is_no_number() {
    for engine in engines() {
        // The logarithm has no value beyond 1, where the first steps lead.
        let g = Builder::new();
        let w = g.param("w", Array::from([[0.0f64, -3.0], [0.5, 0.9]]));
        let loss = (w.square() - 0.1 * (1.0 - w).log()).sum();
        let mut step = Lbfgs::new(50.0).strong_wolfe().minimize(loss).compile(&Options::engine(engine)).unwrap();
        let losses: Vec<f64> = (0..20).map(|_| step.run(&[]).unwrap().scalar().unwrap()).collect();
        assert!(losses.windows(2).all(|pair| pair[1] <= pair[0]), "{engine:?}: {losses:?}");
        // 2 w + 0.1 / (1 - w) = 0
        let want = (1.0 - 1.2f64.sqrt()) / 2.0;
        let w = step.params().get("w").unwrap().to_f64_vec();
        assert!(w.iter().all(|w| (w - want).abs() < 1e-6), "{engine:?}: {w:?} instead of {want}");
    }
}

#[test]
fn a_line_search_evaluates_losses_with_loops_labels_and_random_numbers() {
    for engine in engines() {
        let g = Builder::new();
        let (x, y) = (g.input("x", f32([16, 4])), g.input("y", i32([16])));
        let (w, v) = (g.param("w", init::he([4, 8], 0)), g.param("v", init::he([8, 3], 1)));
        let (hidden, ()) = g.scan_with(Scan::new().trips(3), x.dot(w), (), |h, ()| ((h * 0.9).tanh(), ()));
        let key = g.key(5);
        let noise = key.uniform(f32([16, 8]), 0.9, 1.1);
        let loss = (hidden * noise).dot(v).cross_entropy(y).mean() + 1e-3 * w.square().sum();
        let mut step = Lbfgs::new(1.0).strong_wolfe().minimize(loss).compile(&Options::engine(engine)).unwrap();
        let xs = cotangent::testing::Draw::new(3).uniform(&f32([16, 4]), -1.0, 1.0);
        let ys = Array::from((0..16).map(|i| i % 3).collect::<Vec<i32>>());
        let losses: Vec<f32> =
            (0..30).map(|_| step.run(&[("x", &xs), ("y", &ys)]).unwrap().scalar().unwrap()).collect();
        assert!(losses.windows(2).all(|pair| pair[1] <= pair[0]), "{engine:?}: {losses:?}");
        assert!(losses[29] < 0.2 * losses[0], "{engine:?}: {losses:?}");
    }
}

#[test]
#[should_panic(expected = "a line search evaluates the loss, which only `minimize` of the optimizer itself knows")]
fn a_line_search_without_the_loss_is_refused() {
    let g = Builder::new();
    let _ = Lbfgs::new(1.0).strong_wolfe().clip_by_global_norm(1.0).minimize(loss(&g));
}

#[test]
#[should_panic(expected = "a momentum goes from 0 <= base to max < 1, not from 0.95 to 0.85")]
fn a_momentum_cycle_the_wrong_way_round_is_refused() {
    let _ = OneCycle::new(0.1, 50).momentum(0.95, 0.85);
}
