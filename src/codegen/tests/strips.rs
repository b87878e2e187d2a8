//! Strips: random programs whose steps are done piece by piece wherever they can be.

use crate::codegen::{Isa, Settings, Sharing, Vectors};
use crate::interp::Results;
use crate::opt::{OptOptions, optimize};
use crate::plan::strip::Strips;
use crate::plan::{Plan, check, plan_with};
use crate::prelude::*;
use crate::prim::Op;
use crate::testing::{Case, Tolerance, compare, generate};
use crate::{Array, Graph};

use super::{all_settings, run};

/// Runs a program compiled in strips; returns how many there are.
fn compiled(case: &Case, graph: &Graph, settings: Settings) -> (Results, usize) {
    let plan = plan_with(graph, Strips::WhereverPossible);
    check::check(&plan).unwrap_or_else(|faults| panic!("{faults:?} in\n{plan}"));
    let inputs: Vec<Array> = plan.inputs.iter().map(|n| case.leaf(n).clone()).collect();
    let params: Vec<Array> = plan.params.iter().map(|n| case.leaf(n).clone()).collect();
    let mut compiled = run(&plan, &inputs, &params, settings).compiled;
    let new = compiled.split_off(plan.outputs.len());
    let shaped = |a: &Array, shape| a.clone().reshaped(shape).expect("an array of the plan's size");
    let outputs = compiled.iter().zip(&plan.outputs).map(|(a, (_, ty))| shaped(a, ty.shape.clone())).collect();
    let updates = graph.updates().iter().map(|u| {
        let Op::Param(p) = graph.op(u.param) else { panic!("updates are of parameters") };
        new[plan.params.iter().position(|n| *n == p.name).expect("the plan knows every parameter")].clone()
    });
    (Results { outputs, updates: updates.collect() }, plan.strips.len())
}

#[test]
fn programs_done_piece_by_piece_give_what_the_interpreter_gives() {
    let (mut strips, settings) = (0, all_settings().collect::<Vec<_>>());
    for seed in 0..600 {
        let case = generate(seed);
        let settings = settings[seed as usize % settings.len()];
        let optimized = optimize(&case.program.graph, &OptOptions::default());
        let graph = if seed.is_multiple_of(2) { &case.program.graph } else { &optimized.graph };
        let (results, found) = compiled(&case, graph, settings);
        strips += found;
        if let Err(mismatch) = case.check(&results) {
            panic!("seed {seed}, {settings:?}: {mismatch}");
        }
    }
    assert!(strips > 60, "{strips} strips");
    assert!(settings.iter().any(|s| s.sharing == Sharing::Always));
}

/// The scan of attention over its own results.
fn scan() -> Graph {
    let g = Builder::new();
    let (first, xs) = (g.input("first", f32([6, 8, 4])), g.input("xs", f32([5, 6, 8, 4])));
    let (last, all) = g.scan(first, xs, |h, x| {
        let weights = h.dot(x.transpose([0, 2, 1])).softmax(-1);
        let h = weights.dot(x).layer_norm(1e-5) + h;
        (h, h.tanh())
    });
    let loss = last.square().sum() + all.sum();
    let [by_first, by_xs] = g.grad(loss, [first, xs]);
    g.program(&[("loss", loss), ("by_first", by_first), ("by_xs", by_xs)]).graph
}

#[test]
fn bodies_of_loops_are_done_piece_by_piece() {
    let graph = scan();
    let (whole, pieces) = (plan_with(&graph, Strips::Never), plan_with(&graph, Strips::WhereverPossible));
    let in_loops = |plan: &Plan| plan.all()[1..].iter().map(|p| p.strips.len()).sum::<usize>();
    assert!(in_loops(&whole) == 0 && in_loops(&pieces) >= 2, "{pieces}");
    assert_eq!(check::check(&pieces), Ok(()));
    let inputs = [[6, 8, 4].to_vec(), [5, 6, 8, 4].to_vec()].map(|shape| init::normal(shape, 0.0, 1.0, 0).array());
    for settings in all_settings() {
        let [whole, pieces] = [&whole, &pieces].map(|plan| run(plan, &inputs, &[], settings));
        // With 512 bits a kernel of a piece runs another loop by vectors than the whole one, and so adds in another order.
        let exact = settings.vectors != Vectors::Wide(Isa::Avx512);
        for (w, p) in whole.compiled.iter().zip(&pieces.compiled) {
            assert!(!exact || w == p, "{settings:?}");
            compare(w, p, Tolerance::of(DType::F32).times(30.0)).unwrap_or_else(|e| panic!("{settings:?}: {e}"));
        }
        for (e, c) in pieces.evaluated.iter().zip(&pieces.compiled) {
            let e = e.clone().reshaped(c.shape().clone()).expect("as many elements");
            compare(&e, c, Tolerance::of(DType::F32).times(30.0)).unwrap_or_else(|e| panic!("{settings:?}: {e}"));
        }
    }
}

/// Whether the step function of a plan of one strip says that threads share its pieces.
fn says_shared(plan: &Plan) -> bool {
    assert_eq!((plan.strips.len(), plan.strips[0].steps.clone()), (1, 0..plan.steps.len()), "{plan}");
    let text = crate::jit::clif_text(plan).expect("the plan compiles");
    let step = text.split("function").find(|f| f.contains("func_addr")).expect("a call of the strip");
    let call = step.lines().find(|line| line.contains(" call ")).expect("a call");
    let arguments = call.split(['(', ')']).nth(1).expect("arguments");
    let flag = arguments.rsplit(", ").next().expect("four of them");
    let defined = step.lines().find_map(|line| line.trim().strip_prefix(&format!("{flag} = iconst.i64 ")));
    defined.expect("a constant").split_whitespace().next() == Some("1")
}

#[test]
fn kernels_too_short_to_be_shared_one_by_one_are_shared_together() {
    let softmaxes = |count: usize| {
        let g = Builder::new();
        let x = g.input("x", f32([16, 4, 8]));
        let y = (0..count).fold(x, |y, i| y.softmax(if i % 2 == 0 { 1 } else { 2 }));
        plan_with(&g.program(&[("y", y)]).graph, Strips::WhereverPossible)
    };
    assert!(says_shared(&softmaxes(60)));
    assert!(!says_shared(&softmaxes(2)));
}
