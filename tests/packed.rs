//! Factors of products that are packed once: which they are, and that no result tells.

use cotangent::plan::{Action, check, plan};
use cotangent::prelude::*;

fn numbers(shape: &[usize], seed: u64) -> Array {
    init::normal(shape.to_vec(), 0.0, 1.0, seed).array()
}

/// Whether the right factor of each product of a program is packed once, in order.
fn packed(program: &cotangent::Program) -> Vec<bool> {
    let plan = plan(&program.graph);
    check::check(&plan).unwrap_or_else(|faults| panic!("{faults:?} in\n{plan}"));
    let products = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Product(p) => Some(p.packed.is_some()),
        _ => None,
    });
    products.collect()
}

#[test]
fn weights_that_a_program_does_not_change_are_packed_once() {
    let g = Builder::new();
    let x = g.input("x", f32([40, 70]));
    let (w, v) = (g.param("w", init::he([70, 50], 0)), g.param("v", init::he([40, 50], 1)));
    let y = x.dot(w).relu().dot(v.t());
    assert_eq!(packed(&g.program(&[("y", y)])), [true; 2]);
    // Its step changes what it multiplies with, so nothing is packed before.
    let step = Sgd::new(0.1).minimize(y.square().mean()).program();
    assert!(packed(&step).len() >= 4 && packed(&step).iter().all(|packed| !packed), "{:?}", packed(&step));
    // Nor what would take more than twice as much memory.
    let narrow = g.param("narrow", init::he([70, 3], 2));
    assert_eq!(packed(&g.program(&[("y", x.dot(narrow))])), [false]);
    // A single row is read where it lies, and what is given to a run is not known before.
    let row = g.input("row", f32([1, 70]));
    assert_eq!(packed(&g.program(&[("y", row.dot(w))])), [false]);
    let z = g.input("z", f32([70, 90]));
    assert_eq!(packed(&g.program(&[("y", x.dot(z))])), [false]);
}

#[test]
fn what_is_set_is_what_is_multiplied_with() {
    let g = Builder::new();
    let x = g.input("x", f32([33, 65]));
    let w = g.param("w", init::he([65, 47], 0));
    let y = x.dot(w);
    let mut f = g.program(&[("y", y)]).compile(&Options::default()).expect("it compiles");
    let mut plain = g.program(&[("y", y)]).compile(&Options::engine(Engine::Interp)).expect("it compiles");
    assert!(f.report().packed_bytes >= 65 * 47 * 4);
    let xs = numbers(&[33, 65], 1);
    let mut seen = Vec::new();
    for seed in 0..3 {
        let new = numbers(&[65, 47], seed);
        f.params().set("w", &new).expect("there is a `w`");
        plain.params().set("w", &new).expect("there is a `w`");
        for _ in 0..2 {
            let (got, expected) = (f.run(&[("x", &xs)]).expect("it runs").first().clone(), plain.run(&[("x", &xs)]));
            let expected = expected.expect("it runs").first().clone();
            cotangent::testing::compare(&expected, &got, cotangent::testing::Tolerance::of(DType::F32).times(100.0))
                .unwrap_or_else(|mismatch| panic!("{mismatch}"));
            seen.push(got);
        }
    }
    assert!(seen[0] == seen[1] && seen[1] != seen[2] && seen[3] != seen[4]);
}

#[test]
fn a_predictor_follows_the_step_that_trains_its_weights() {
    let g = Builder::new();
    let (x, t) = (g.input("x", f32([64, 48])), g.input("t", f32([64, 32])));
    let w = g.param("w", init::he([48, 32], 0));
    let y = x.dot(w);
    let mut step = Sgd::new(0.1).minimize((y - t).square().mean()).compile(&Options::default()).expect("it compiles");
    let mut predict = step.forward(y).expect("it compiles");
    assert!(predict.report().packed_bytes > 0);
    let (xs, ts) = (numbers(&[64, 48], 2), numbers(&[64, 32], 3));
    let mut before = predict.run(&[("x", &xs)]).expect("it runs").first().clone();
    for _ in 0..3 {
        step.run(&[("x", &xs), ("t", &ts)]).expect("it runs");
        let after = predict.run(&[("x", &xs)]).expect("it runs").first().clone();
        assert_ne!(before, after);
        let mut fresh = step.forward(y).expect("it compiles");
        assert_eq!(after, *fresh.run(&[("x", &xs)]).expect("it runs").first());
        before = after;
    }
}

#[test]
fn frozen_weights_are_packed_in_a_step_that_trains_others() {
    let g = Builder::new();
    let (x, t) = (g.input("x", f32([64, 48])), g.input("t", f32([64, 8])));
    let (frozen, head) = (g.param("frozen", init::he([48, 40], 0)), g.param("head", init::he([40, 8], 1)));
    let loss = (x.dot(frozen).tanh().dot(head) - t).square().mean();
    let program = Sgd::new(0.1).minimize_wrt(loss, &[head]).program();
    assert!(packed(&program)[0]);
    let (xs, ts) = (numbers(&[64, 48], 2), numbers(&[64, 8], 3));
    let losses = |options: &Options| -> Vec<f32> {
        let mut step = program.compile(options).expect("it compiles");
        let mut losses = Vec::new();
        for i in 0..6 {
            if i == 3 {
                step.params().set("frozen", &numbers(&[48, 40], 9)).expect("there is a `frozen`");
            }
            losses.push(step.run(&[("x", &xs), ("t", &ts)]).expect("it runs").scalar().expect("a number"));
        }
        losses
    };
    let (jit, interp) = (losses(&Options::default()), losses(&Options::engine(Engine::Interp)));
    for (a, b) in jit.iter().zip(&interp) {
        assert!((a - b).abs() <= 1e-4 * b.abs(), "{jit:?} {interp:?}");
    }
    assert!(jit[3] > 1.2 * jit[2], "{jit:?}");
}
