//! Updates and outputs that share memory, and folds that share loops: compiled code gives what the interpreter gives.

mod engines;

use cotangent::opt::Level;
use cotangent::prelude::*;
use cotangent::testing::{Tolerance, compare};
use engines::engines;

/// Rows and columns: large enough for products by library.
const N: usize = 32;

/// Runs a program twice at every level on every engine; outputs and parameters must be the interpreter's.
fn check(what: &str, program: &Program, inputs: &[(&str, Array)]) {
    let inputs: Vec<(&str, ArrayView<'_>)> = inputs.iter().map(|(n, a)| (*n, a.view())).collect();
    let mut expected: Option<Vec<Array>> = None;
    for (engine, level) in engines().into_iter().flat_map(|e| [Level::O0, Level::O1, Level::O2].map(|l| (e, l))) {
        let mut executable =
            program.compile(&Options { engine, level, ..Options::default() }).expect("the program compiles");
        let mut results: Vec<Array> = Vec::new();
        for _ in 0..2 {
            let outputs = executable.run(&inputs).expect("the inputs fit");
            results.extend(outputs.iter().map(|(_, a)| a.clone()));
        }
        let params = executable.params();
        results.extend(params.names().iter().map(|n| params.get(n).expect("the name is listed")));
        let Some(expected) = &expected else {
            expected = Some(results);
            continue;
        };
        for (i, (e, r)) in expected.iter().zip(&results).enumerate() {
            let same = compare(e, r, Tolerance::of(e.dtype()).times(30.0));
            assert!(same.is_ok(), "{what}, {engine:?} {level:?}, result {i}: {}", same.unwrap_err());
        }
    }
}

fn random(shape: &[usize], seed: u64) -> Array {
    init::normal(shape.to_vec(), 0.0, 1.0, seed).array()
}

#[test]
fn a_sum_that_accumulates_in_a_parameter_is_seen_by_all() {
    let g = Builder::new();
    let (x, y) = (g.input("x", f32([N, N])), g.input("y", f32([N, N])));
    let p = g.param("p", init::he([N, N], 0));
    let other = g.param("other", init::he([N, N], 1));
    let flat = g.param("flat", init::he([N * N], 2));
    let new = p - x.dot(y) * 0.1;
    let row = new.reshape([N * N]);
    let inputs = [("x", random(&[N, N], 3)), ("y", random(&[N, N], 4))];

    let check = |what, outputs: &[(&str, Tensor<'_>)], updates: &[(Tensor<'_>, Tensor<'_>)]| {
        check(what, &g.program_with_updates(outputs, updates), &inputs);
    };
    check("as an output", &[("o", new)], &[(p, new)]);
    check("as a reshaped output", &[("o", row)], &[(p, new)]);
    check("as two outputs", &[("o", row), ("q", new.t())], &[(p, new)]);
    check("by another parameter first", &[("o", p + other)], &[(other, new), (p, new)]);
    check("by another parameter last", &[("o", p + other)], &[(p, new), (other, new)]);
    check("reshaped by another parameter first", &[("o", p)], &[(flat, row), (p, new)]);
    check("reshaped by another parameter last", &[("o", p)], &[(p, new), (flat, row)]);
}

#[test]
fn updates_read_old_values() {
    let g = Builder::new();
    let (x, y) = (g.input("x", f32([N, N])), g.input("y", f32([N, N])));
    let (p, q) = (g.param("p", init::he([N, N], 0)), g.param("q", init::he([N, N], 1)));
    let inputs = [("x", random(&[N, N], 3)), ("y", random(&[N, N], 4))];
    let check = |what, updates: &[(Tensor<'_>, Tensor<'_>)]| {
        let outputs = [("x", x.sum()), ("y", y.sum()), ("p", p), ("part", q.slice(0, 3..7))];
        check(what, &g.program_with_updates(&outputs, updates), &inputs);
    };
    check("swap", &[(p, q), (q, p)]);
    check("swap in one kernel", &[(p, q.exp() * 0.01 + p), (q, p.sin() * q)]);
    check("swap of products", &[(p, p - q.dot(x)), (q, q + p.dot(y))]);
    check("transpose", &[(p, p.t())]);
    check("flip", &[(p, p.flip([1]) * 0.5 + p)]);
    check("softmax over the first axis", &[(p, p.softmax(0))]);
    check("softmax over the last axis", &[(p, p.softmax(1))]);
    check("one row for all", &[(p, p.slice(0, 0..1).broadcast_to([N, N]))]);
    check("parts moved", &[(p, g.concat(&[p.slice(0, 5..N), p.slice(0, 0..5)], 0))]);
    check("rows chosen", &[(p, p.take((g.iota(i32([N]), 0) * 7) % N as i32, 0))]);
    check("an input", &[(p, x)]);
    check("its own factor", &[(p, p - p.dot(y) * 0.5)]);
    check("its own scale", &[(p, p - x.dot(y) * p.sum())]);
}

#[test]
fn a_position_counts_along_its_own_axis() {
    let (rows, a, b) = (8, 4, 8);
    let g = Builder::new();
    let x = g.input("x", f32([rows, a, b]));
    let e = x.exp();
    // The sum wants the loops in the other order than the position.
    let sum = e.transpose([0, 2, 1]).sum_over([1, 2]);
    let first = e.reshape([rows, a * b]).argmax(1);
    let program = g.program(&[("sum", sum), ("first", first)]);
    check("argmax", &program, &[("x", random(&[rows, a, b], 5))]);
}

/// One value for two parameters is added in place to the one that it is a sum with, whichever is listed first.
#[test]
fn a_sum_for_two_parameters_accumulates_in_its_own() {
    let g = Builder::new();
    let (x, y) = (g.input("x", f32([N, N])), g.input("y", f32([N, N])));
    let p = g.param("p", init::he([N, N], 0));
    let other = g.param("other", init::he([N, N], 1));
    let new = p + x.dot(y);
    let inputs = [("x", random(&[N, N], 3)), ("y", random(&[N, N], 4))];
    for updates in [[(p, new), (other, new)], [(other, new), (p, new)]] {
        let program = g.program_with_updates(&[("loss", x.sum())], &updates);
        check("a sum for two parameters", &program, &inputs);
        let plan = cotangent::plan::plan(&program.graph);
        let accumulates =
            |s: &cotangent::plan::Step| matches!(&s.action, cotangent::plan::Action::Product(p) if p.accumulate);
        assert_eq!(plan.steps.iter().filter(|s| accumulates(s)).count(), 1, "{plan}");
    }
}
