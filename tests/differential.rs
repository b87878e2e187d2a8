//! Differential tests: on random programs, every engine gives what the reference interpreter gives.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use cotangent::array::ArrayView;
use cotangent::interp::Results;
use cotangent::opt::{Level, OptOptions, optimize};
use cotangent::plan::strip::Strips;
use cotangent::plan::{self, Place, Plan, check, eval};
use cotangent::prim::Op;
use cotangent::testing::{Case, Config, generate_with};
use cotangent::{Array, Graph, Options};

/// Count of programs; `FUZZ=n` asks for more.
fn programs() -> u64 {
    std::env::var("FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(1500)
}

/// First seed; `FUZZ_SEED=n` begins elsewhere.
fn first_seed() -> u64 {
    std::env::var("FUZZ_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Plans `graph`, checks the plan and runs it in the plan evaluator.
fn evaluate_plan(case: &Case, graph: &Graph) -> Results {
    evaluate(case, plan::plan(graph), graph)
}

/// Checks a plan of `graph` and runs it in the plan evaluator.
fn evaluate(case: &Case, plan: Plan, graph: &Graph) -> Results {
    if let Err(faults) = check::check(&plan) {
        let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("the plan has faults:\n{}\n{plan}", list.join("\n"));
    }
    run_plan(case, &plan, graph)
}

/// Runs a plan of `graph` in the plan evaluator.
fn run_plan(case: &Case, plan: &Plan, graph: &Graph) -> Results {
    let inputs: Vec<ArrayView<'_>> = plan.inputs.iter().map(|n| case.leaf(n).view()).collect();
    let mut params: Vec<Array> = plan.params.iter().map(|n| case.leaf(n).clone()).collect();
    let outputs = eval::run(plan, &inputs, &mut params);
    let updated = graph.updates().iter().map(|u| {
        let Op::Param(p) = graph.op(u.param) else { panic!("updates are of parameters") };
        let at = plan.params.iter().position(|n| *n == p.name).expect("the plan knows every parameter");
        params[at].clone()
    });
    Results { outputs, updates: updated.collect() }
}

fn check_all(what: &str, engine: impl Fn(&Case) -> Results) {
    check_config(what, &Config::default(), engine);
}

fn check_config(what: &str, config: &Config, engine: impl Fn(&Case) -> Results) {
    let mut failures = Vec::new();
    for seed in first_seed()..first_seed() + programs() {
        let case = generate_with(seed, config);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine(&case)));
        match outcome {
            Ok(results) => {
                if let Err(mismatch) = case.check(&results) {
                    failures.push(mismatch.to_string());
                }
            }
            Err(panic) => {
                let message = panic.downcast_ref::<String>().map_or("panicked", String::as_str);
                failures.push(format!("seed {seed}: {message}"));
            }
        }
    }
    // Not captured by the test runner: how much was tried is part of the result.
    let _ = writeln!(std::io::stderr(), "{what}: {} random programs, {} failures", programs(), failures.len());
    assert!(failures.is_empty(), "{what}:\n{}", failures[..failures.len().min(10)].join("\n"));
}

#[test]
fn plan_evaluator_on_graphs_as_written() {
    check_all("plan evaluator, as written", |case| evaluate_plan(case, &case.program.graph));
}

#[test]
fn plan_evaluator_piece_by_piece() {
    let found = AtomicUsize::new(0);
    check_all("plan evaluator, in strips", |case| {
        let graph = &case.program.graph;
        let plan = plan::plan_with(graph, Strips::WhereverPossible);
        found.fetch_add(plan.strips.len(), Ordering::Relaxed);
        evaluate(case, plan, graph)
    });
    let strips = found.into_inner();
    let _ = writeln!(std::io::stderr(), "plan evaluator, in strips: {strips} strips");
    assert!(strips as u64 > programs() / 10, "{strips} strips of {} programs", programs());
}

#[test]
fn plan_evaluator_on_optimized_graphs() {
    check_all("plan evaluator, optimized", |case| {
        let optimized = optimize(&case.program.graph, &OptOptions::default());
        evaluate_plan(case, &optimized.graph)
    });
}

/// Graphs that were rewritten to fit two thirds of the memory that they would take.
#[test]
fn plan_evaluator_within_memory_budgets() {
    let rewritten = std::cell::Cell::new(0);
    check_all("plan evaluator, within a budget", |case| {
        let graph = optimize(&case.program.graph, &OptOptions::default()).graph;
        // What a budget starts from: factors are packed in each run.
        let free = plan::plan_with(&graph, Strips::WherePaid).arena_bytes;
        match plan::fit(&graph, free * 2 / 3) {
            Ok(plan::Fitted { graph: Some(fitted), plan, .. }) => {
                rewritten.set(rewritten.get() + 1);
                assert!(plan.arena_bytes <= free * 2 / 3);
                check::check(&plan).unwrap_or_else(|faults| panic!("the plan has {} faults:\n{plan}", faults.len()));
                run_plan(case, &plan, &fitted)
            }
            Ok(plan::Fitted { graph: None, plan, .. }) => run_plan(case, &plan, &graph),
            Err(error) => {
                assert!(error.least > error.budget && error.least <= free);
                evaluate_plan(case, &graph)
            }
        }
    });
    println!("{} programs were rewritten to fit", rewritten.get());
    assert!(rewritten.get() >= programs() / 150, "budgets can be kept");
}

/// Runs the program in an executable compiled with these options.
fn execute(case: &Case, options: &Options) -> Results {
    let mut executable = case.program.compile(options).expect("random programs compile");
    let known: Vec<String> = executable.inputs().map(|(n, _)| n.to_string()).collect();
    let inputs: Vec<(&str, ArrayView<'_>)> = known.iter().map(|n| (n.as_str(), case.leaf(n).view())).collect();
    let outputs = executable.run(&inputs).expect("the inputs fit").iter().map(|(_, a)| a.clone()).collect();
    let graph = &case.program.graph;
    let updates = graph.updates().iter().map(|u| {
        let Op::Param(p) = graph.op(u.param) else { panic!("updates are of parameters") };
        executable.params().get(&p.name).expect("the parameter is declared")
    });
    Results { outputs, updates: updates.collect() }
}

#[test]
fn jit_on_graphs_as_written() {
    let options = Options { level: Level::O0, ..Options::default() };
    check_all("jit, as written", |case| execute(case, &options));
}

#[test]
fn jit_on_optimized_graphs() {
    check_all("jit, optimized", |case| execute(case, &Options::default()));
}

/// NaN, infinities and zeros of both signs, under the rewrites that keep them.
#[test]
fn jit_on_special_values() {
    let config = Config { specials: true, ..Config::default() };
    let options = Options { level: Level::O1, ..Options::default() };
    check_config("jit, special values", &config, |case| execute(case, &options));
}

/// A generator of numbers below a bound.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// Moves a buffer or a step to where another is. `None` if that changes nothing, or the order in which steps write one buffer, which is for the planner to
/// choose.
fn disturb(plan: &Plan, draw: &mut Draw) -> Option<Plan> {
    let mut changed = plan.clone();
    let arena: Vec<usize> =
        (0..plan.buffers.len()).filter(|&i| matches!(plan.buffers[i].place, Place::Arena(_))).collect();
    if draw.below(2) == 0 && arena.len() > 1 {
        let (a, b) = (arena[draw.below(arena.len())], arena[draw.below(arena.len())]);
        changed.buffers[a].place = plan.buffers[b].place;
        return (plan.buffers[a].place != plan.buffers[b].place).then_some(changed);
    }
    let (from, to) = (draw.below(plan.steps.len().max(1)), draw.below(plan.steps.len().max(1)));
    if from == to {
        return None;
    }
    let step = changed.steps.remove(from);
    changed.steps.insert(to, step);
    let written: Vec<_> = plan.steps[from].written(plan).collect();
    let passed = &plan.steps[from.min(to)..=from.max(to)];
    let others = passed.iter().filter(|s| !std::ptr::eq(*s, &plan.steps[from]));
    let same = others.flat_map(|s| s.written(plan)).any(|b| written.contains(&b));
    (!same).then_some(changed)
}

#[test]
fn disturbed_plans_that_the_checker_accepts_run_the_same() {
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for seed in first_seed()..first_seed() + programs() {
        let case = generate_with(seed, &Config::default());
        let plan = plan::plan(&case.program.graph);
        let expected = run_plan(&case, &plan, &case.program.graph);
        let mut draw = Draw(seed);
        for _ in 0..4 {
            let Some(changed) = disturb(&plan, &mut draw) else { continue };
            if check::check(&changed).is_err() {
                refused += 1;
                continue;
            }
            accepted += 1;
            let results = run_plan(&case, &changed, &case.program.graph);
            if results.outputs != expected.outputs || results.updates != expected.updates {
                wrong.push(format!("seed {seed}:\n{plan}\nbecame\n{changed}"));
            }
        }
    }
    println!("disturbed plans: {accepted} accepted, {refused} refused");
    assert!(wrong.is_empty(), "{} accepted plans run differently; one is {}", wrong.len(), wrong[0]);
    assert!(refused > programs() / 10, "the checker sees disturbed plans");
}
