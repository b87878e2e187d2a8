//! Strips: random programs whose steps are done piece by piece wherever they can be.

use crate::codegen::{Settings, Sharing};
use crate::interp::Results;
use crate::opt::{OptOptions, optimize};
use crate::plan::strip::Strips;
use crate::plan::{check, plan_with};
use crate::prim::Op;
use crate::testing::{Case, generate};
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
