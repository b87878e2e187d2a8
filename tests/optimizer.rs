//! The optimizer keeps what graphs compute: each rule by itself, all of them together, at the ends of the number range, and in linear time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cotangent::graph::{Origin, parse};
use cotangent::interp::{self, Results};
use cotangent::opt::{self, Law, Level, OptOptions, PassRecord, optimize};
use cotangent::prelude::*;
use cotangent::prim::{Input, LoopResult, Map, Op};
use cotangent::scalar::{Cost, ScalarFn};
use cotangent::testing::{Config, Draw, Tolerance, compare, generate, generate_with};
use cotangent::{Graph, NodeId, Program};

/// The file in which a rule fires.
fn file_of(rule: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/filetests/optimize/{rule}.txt"))
}

/// The graph in a rule's file, and the graph that the rule makes of it.
fn before_and_after(rule: &str) -> (Graph, Graph) {
    let path = file_of(rule);
    let file = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (text, _) = file.split_once("\n----\n").expect("a file test has a line `----`");
    let graph = parse(text).unwrap_or_else(|e| panic!("{rule}: {e}"));
    let optimized = optimize(&graph, &OptOptions { only: Some(&[rule]), ..OptOptions::default() });
    assert!(optimized.report.fired(rule) > 0, "{rule} does not fire in its own file");
    (graph, optimized.graph)
}

/// Values of all inputs and parameters.
type Leaves = Vec<(NodeId, Array)>;

fn leaves(graph: &Graph, mut value: impl FnMut(&TensorType) -> Array) -> Leaves {
    let declared = graph.ids().filter(|&id| graph.op(id).leaf_name().is_some());
    declared.map(|id| (id, value(graph.ty(id)))).collect()
}

/// Runs `graph`, whose inputs and parameters have the names and the order of those in `leaves`.
fn run(graph: &Graph, leaves: &Leaves) -> Results {
    let own: Vec<NodeId> = graph.ids().filter(|&id| graph.op(id).leaf_name().is_some()).collect();
    assert_eq!(own.len(), leaves.len(), "the optimizer keeps inputs and parameters");
    interp::run(graph, |id, _| &leaves[own.iter().position(|&o| o == id).unwrap()].1)
}

/// Equal bits, any NaN for any NaN; with `zeros_alike`, -0 for +0.
fn same_bits(a: &Array, b: &Array, zeros_alike: bool) -> bool {
    let same = |x: f64, y: f64| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()) || (zeros_alike && x == y);
    a.ty() == b.ty() && a.to_f64_vec().iter().zip(b.to_f64_vec()).all(|(&x, y)| same(x, y))
}

#[test]
fn every_rule_fires_in_its_file_and_names_are_unique() {
    let mut names: Vec<&str> = opt::rules().map(|r| r.name).collect();
    for name in &names {
        before_and_after(name);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn rules_keep_values_as_their_laws_say() {
    let special = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-39, 3e38, -1e-3];
    for rule in opt::rules() {
        let (before, after) = before_and_after(rule.name);
        for seed in 0..40 {
            let mut draw = Draw::new(seed);
            let bits = matches!(rule.law, Law::Exact | Law::ZeroSign);
            let values = leaves(&before, |ty| {
                draw.fill(ty, |d| match ty.dtype {
                    DType::Bool => d.below(2) as f64,
                    DType::U8 | DType::U32 => d.between(0, 7) as f64,
                    DType::I32 | DType::I64 => d.between(0, 7) as f64 - 2.0,
                    _ if bits && d.chance(0.5) => d.of(&special),
                    // Where all functions are defined; 1 - x is as well.
                    _ => 0.05 + 0.9 * d.unit(),
                })
            });
            let (expected, actual) = (run(&before, &values), run(&after, &values));
            for (i, (e, a)) in expected.outputs.iter().zip(&actual.outputs).enumerate() {
                if bits {
                    let alike = rule.law == Law::ZeroSign;
                    assert!(same_bits(e, a, alike), "{}: output {i}: {e:?} became {a:?} for {values:?}", rule.name);
                } else {
                    let tolerance = Tolerance { relative: 1e-5, scaled: 1e-6, ..Tolerance::EXACT };
                    compare(e, a, tolerance)
                        .unwrap_or_else(|m| panic!("{}: output {i}: {m} for {values:?}", rule.name));
                }
            }
        }
    }
}

/// Random programs to try; `FUZZ=n` asks for more.
fn programs() -> u64 {
    std::env::var("FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(600)
}

#[test]
fn random_programs_keep_their_values() {
    for seed in 0..programs() {
        let case = generate(seed);
        for assume_finite in [false, true] {
            let options = OptOptions { assume_finite, ..OptOptions::default() };
            let optimized = optimize(&case.program.graph, &options);
            let results = interp::run(&optimized.graph, |_, name| case.leaf(name));
            if let Err(mismatch) = case.check(&results) {
                panic!("{mismatch}\n{}\nbecame\n{}", case.program.graph, optimized.graph);
            }
        }
    }
}

#[test]
fn exact_rules_keep_the_bits_of_random_programs_with_specials() {
    for seed in 0..programs() {
        let case = generate_with(seed, &Config { specials: true, ..Config::default() });
        let optimized = optimize(&case.program.graph, &OptOptions { level: Level::O1, ..OptOptions::default() });
        let results = interp::run(&optimized.graph, |_, name| case.leaf(name));
        let pairs = case.expected.outputs.iter().zip(&results.outputs);
        for (i, (e, a)) in pairs.chain(case.expected.updates.iter().zip(&results.updates)).enumerate() {
            let graph = &case.program.graph;
            assert!(
                same_bits(e, a, false),
                "seed {seed}, result {i}: {e:?} became {a:?}\n{}\n{graph}\nbecame\n{}",
                optimized.report,
                optimized.graph
            );
        }
    }
}

/// Work that a graph is, in elements: the measure that no rule makes worse. Movements, indices and constants are free. Recursion is as deep as bodies are.
fn work(graph: &Graph) -> usize {
    let elements = |id: NodeId| graph.shape(id).numel().max(1);
    let of = |id: NodeId| match graph.op(id) {
        Op::Map(m) if m.f.record().cost == Cost::Dear => 8 * elements(id),
        Op::Map(_) | Op::Cast(_) | Op::Gather(_) | Op::Concat(_) | Op::Pad(_) => elements(id),
        Op::Reduce(_) | Op::ArgReduce(_) => elements(graph.operands(id)[0]),
        Op::Dot(d) => {
            let lhs = graph.shape(graph.operands(id)[0]);
            2 * elements(id) * d.lhs_contract.iter().map(|&a| lhs[a]).product::<usize>()
        }
        // Writing, padding and reading the windows.
        Op::Unwindow(_) => 32 * elements(graph.operands(id)[0]),
        // Filling, and finding the places.
        Op::Scatter(_) => 3 * elements(id),
        _ => 0,
    };
    let live = graph.live();
    let needed = || graph.ids().filter(|id| live[id.index()]);
    let loops = graph.loops(needed()).into_values().map(|results| {
        let spec = graph.op(results[0]).looped().expect("a result of a loop").spec.clone();
        let mut trip = spec.body.graph().clone();
        let stacked = results.iter().filter_map(|&r| match graph.op(r).looped()?.result {
            LoopResult::Stack(node) => Some(node),
            LoopResult::Carry(_) => None,
        });
        for (i, node) in stacked.chain(spec.guard).enumerate() {
            trip.add_output(i.to_string(), node).expect("the names are different numbers");
        }
        spec.trips * work(&trip)
    });
    let loops: usize = loops.sum();
    needed().map(of).sum::<usize>() + loops
}

#[test]
fn no_pass_adds_work_but_for_stability() {
    for seed in 0..programs() / 2 {
        let case = generate(seed);
        let check = |record: &PassRecord<'_>| {
            let largest = record.before.ids().map(|id| record.before.shape(id).numel()).max().unwrap_or(0);
            let masks: usize = record.pass.fired.iter().filter(|f| f.0 == "relu-mask").map(|f| f.1).sum();
            let (before, after) = (work(record.before), work(record.after).saturating_sub(masks * largest));
            let PassRecord { pass, before: old, after: new } = record;
            let (name, fired) = (pass.name, &pass.fired);
            assert!(
                // Bodies are stabilized by the pass over loops, whose own passes are seen here one by one.
                name == "stabilize" || name == "loops" || after <= before,
                "seed {seed}, {name}: {before} became {after}, {fired:?}\n{old}\nbecame\n{new}"
            );
        };
        optimize(&case.program.graph, &OptOptions { on_pass: Some(&check), ..OptOptions::default() });
    }
}

/// `f` of the input `x` and its derivative, both after optimization.
fn value_and_slope(f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>, x: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let g = Builder::new();
    let input = g.input("x", f32([x.len()]));
    let y = f(input);
    let [dx] = g.grad(y.sum(), [input]);
    let program = g.program(&[("y", y), ("dx", dx)]);
    let optimized = optimize(&program.graph, &OptOptions::default());
    let x = Array::new([x.len()], x.to_vec()).unwrap();
    let results = interp::run(&optimized.graph, |_, _| &x);
    (results.outputs[0].to_f64_vec(), results.outputs[1].to_f64_vec())
}

#[track_caller]
fn check_stable(f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>, x: &[f32], y: &[f64], dx: &[f64]) {
    let (value, slope) = value_and_slope(f, x);
    let close = |a: &f64, b: &f64| a == b || (a - b).abs() <= 2e-6 * b.abs() + 1e-12;
    assert!(value.len() == y.len() && value.iter().zip(y).all(|(a, b)| close(a, b)), "value {value:?}, expected {y:?}");
    assert!(slope.iter().zip(dx).all(|(a, b)| close(a, b)), "slope {slope:?}, expected {dx:?}");
}

/// A function of each element as a text has it: methods of tensors build the stable form of a formula themselves.
fn literal<'g>(f: ScalarFn, operands: &[Tensor<'g>]) -> Tensor<'g> {
    let shape = operands[0].shape();
    let repeated: Vec<Tensor<'g>> = operands.iter().map(|x| x.broadcast_to(shape.clone())).collect();
    operands[0].builder().try_push(Map { f }, &repeated).unwrap()
}

fn log(x: Tensor<'_>) -> Tensor<'_> {
    literal(ScalarFn::Log, &[x])
}

fn sub<'g>(a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    literal(ScalarFn::Sub, &[a, b])
}

fn div<'g>(a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    literal(ScalarFn::Div, &[a, b])
}

fn one(like: Tensor<'_>) -> Tensor<'_> {
    like.builder().ones(like.ty())
}

const FAR: [f32; 3] = [-1e4, 0.0, 1e4];
const LN_2: f64 = std::f64::consts::LN_2;

#[test]
fn logarithms_of_exponentials_are_stable() {
    check_stable(|x| log(x.exp()), &FAR, &[-1e4, 0.0, 1e4], &[1.0, 1.0, 1.0]);
    check_stable(|x| log(1.0 + x.exp()), &FAR, &[0.0, LN_2, 1e4], &[0.0, 0.5, 1.0]);
    check_stable(|x| literal(ScalarFn::Log1p, &[x.exp()]), &FAR, &[0.0, LN_2, 1e4], &[0.0, 0.5, 1.0]);
}

#[test]
fn sigmoids_are_stable() {
    check_stable(|x| div(one(x), 1.0 + (-x).exp()), &FAR, &[0.0, 0.5, 1.0], &[0.0, 0.25, 0.0]);
    check_stable(|x| log(x.sigmoid()), &FAR, &[-1e4, -LN_2, 0.0], &[1.0, 0.5, 0.0]);
    check_stable(|x| log(sub(one(x), x.sigmoid())), &FAR, &[0.0, -LN_2, -1e4], &[0.0, -0.5, -1.0]);
    check_stable(|x| sub(one(x), x.sigmoid()), &[20.0], &[2.0611536e-9], &[-2.0611536e-9]);
    // The same from a logistic function written out.
    check_stable(|x| log(div(one(x), 1.0 + (-x).exp())), &FAR, &[-1e4, -LN_2, 0.0], &[1.0, 0.5, 0.0]);
}

#[test]
fn differences_from_one_keep_their_digits() {
    let tiny = 1e-10f32;
    let exact = f64::from(tiny);
    check_stable(|x| sub(x.exp(), one(x)), &[tiny], &[exact], &[1.0]);
    check_stable(|x| sub(one(x), x.exp()), &[tiny], &[-exact], &[-1.0]);
    check_stable(|x| log(1.0 + x), &[tiny], &[exact], &[1.0]);
    check_stable(|x| log(sub(one(x), x)), &[tiny], &[-exact], &[-1.0]);
}

#[test]
fn naive_softmax_family_is_stable() {
    let far = [1e4f32, -1e4, 1e4];
    let half = [0.5, 0.0, 0.5];
    check_stable(|x| log(x.exp().sum()), &far, &[1e4 + LN_2], &half);
    // Only the first element of the softmax, so that the slope is not zero.
    check_stable(|x| div(x.exp(), x.exp().sum()).slice(0, 0..1), &far, &[0.5], &[0.25, 0.0, -0.25]);
    check_stable(|x| log(div(x.exp(), x.exp().sum())).slice(0, 1..2), &far, &[-2e4 - LN_2], &[-0.5, 1.0, -0.5]);
    check_stable(|x| log(x.softmax(0)).slice(0, 1..2), &far, &[-2e4 - LN_2], &[-0.5, 1.0, -0.5]);
    check_stable(|x| x.log_softmax(0).slice(0, 1..2), &far, &[-2e4 - LN_2], &[-0.5, 1.0, -0.5]);
    check_stable(|x| x.logsumexp_over(0), &far, &[1e4 + LN_2], &half);
}

#[test]
fn naive_losses_have_gradients_everywhere() {
    // Cross-entropy and logistic loss as textbooks write them, far on the wrong side.
    check_stable(|z| -(log(z.softmax(0)).slice(0, 0..1)), &[-1e4, 1e4], &[2e4], &[-1.0, 1.0]);
    fn logistic<'g>(z: Tensor<'g>) -> Tensor<'g> {
        -(0.25 * log(z.sigmoid()) + 0.75 * log(sub(one(z), z.sigmoid())))
    }
    check_stable(logistic, &FAR, &[2500.0, LN_2, 7500.0], &[-0.25, 0.25, 0.75]);
}

/// One training step of a two-layer net on batches of 50.
fn two_layer_step() -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([50, 64]));
    let y = g.input("y", i32([50]));
    let w1 = g.param("w1", init::he([64, 100], 0));
    let w2 = g.param("w2", init::he([100, 10], 1));
    let loss = x.dot(w1).relu().dot(w2).cross_entropy(y).mean();
    let [d1, d2] = g.grad(loss, [w1, w2]);
    g.program_with_updates(&[("loss", loss)], &[(w1, w1 - 0.2 * d1), (w2, w2 - 0.2 * d2)])
}

#[test]
fn training_step_is_minimal() {
    let program = two_layer_step();
    let optimized = optimize(&program.graph, &OptOptions::default());
    let count = |f: &dyn Fn(&Op) -> bool| optimized.graph.ids().filter(|&id| f(optimized.graph.op(id))).count();
    assert_eq!(count(&|op| matches!(op, Op::Dot(_))), 5, "two forward, three backward\n{}", optimized.graph);
    assert_eq!(count(&|op| matches!(op, Op::Transpose(_) | Op::Scatter(_) | Op::Reshape(_))), 0, "{}", optimized.graph);
    assert_eq!(count(&|op| matches!(op, Op::Map(m) if m.f == ScalarFn::Exp)), 1, "the gradient shares it");
    println!("{} nodes became {}\n{}", program.graph.len(), optimized.graph.len(), optimized.report);
    assert!(optimized.graph.len() <= 50, "{}", optimized.graph);
}

#[test]
fn inputs_and_parameters_stay() {
    let g = Builder::new();
    let x = g.input("x", f32([3]));
    g.input("unused", f32([2]));
    g.param("idle", init::zeros([4]));
    let program = g.program(&[("y", x * 1.0)]);
    for level in [Level::O0, Level::O1, Level::O2] {
        let graph = optimize(&program.graph, &OptOptions { level, ..OptOptions::default() }).graph;
        for name in ["x", "unused", "idle"] {
            assert!(graph.find(name).is_some(), "{name} at {level:?}");
        }
    }
}

#[test]
fn passes_are_shown_and_levels_kept() {
    let program = two_layer_step();
    let seen = std::cell::RefCell::new(Vec::new());
    let show = |record: &PassRecord<'_>| {
        assert_eq!(record.pass.nodes_after, record.after.len());
        seen.borrow_mut().push((record.pass.name, record.before.len()));
    };
    let optimized = optimize(&program.graph, &OptOptions { on_pass: Some(&show), ..OptOptions::default() });
    assert_eq!(seen.borrow().len(), optimized.report.passes.len());
    assert_eq!(seen.borrow()[0], ("dedup", program.graph.len()));
    let as_written = optimize(&program.graph, &OptOptions { level: Level::O0, ..OptOptions::default() });
    assert_eq!(as_written.graph.to_string(), program.graph.to_string());
    let exact = optimize(&program.graph, &OptOptions { level: Level::O1, ..OptOptions::default() });
    for (rule, _) in exact.report.passes.iter().flat_map(|p| &p.fired) {
        let law = opt::rules().find(|r| r.name == *rule).unwrap().law;
        assert!(law == Law::Exact || exact.report.fired(rule) > 0);
    }
}

#[test]
fn optimizing_again_changes_nothing() {
    let once = optimize(&two_layer_step().graph, &OptOptions::default());
    let twice = optimize(&once.graph, &OptOptions::default());
    assert_eq!(twice.graph.len(), once.graph.len());
    assert_eq!(twice.report.passes.iter().map(|p| p.fired.len()).sum::<usize>(), 0, "{}", twice.report);
}

/// A graph that `step` lengthens node by node, beginning with the input.
fn chain(length: usize, step: impl Fn(&mut Graph, NodeId, NodeId) -> NodeId) -> Graph {
    let mut graph = Graph::new();
    let x = graph.push(Input { name: "x".into(), ty: f32([4]) }, &[], Origin::default()).unwrap();
    let mut last = x;
    while graph.len() < length {
        last = step(&mut graph, last, x);
    }
    graph.add_output("y", last).unwrap();
    graph
}

fn map(graph: &mut Graph, f: ScalarFn, operands: &[NodeId]) -> NodeId {
    graph.push(Map { f }, operands, Origin::default()).unwrap()
}

#[test]
fn long_chains_take_linear_time_and_no_stack() {
    // About 0.3 s without other load; quadratic time would be minutes.
    let limit = Duration::from_secs(20);
    let graphs = [
        ("negations", chain(100_000, |g, a, _| map(g, ScalarFn::Neg, &[a]))),
        ("sums", chain(100_000, |g, a, x| map(g, ScalarFn::Add, &[a, x]))),
        ("products", chain(100_000, |g, a, x| map(g, ScalarFn::Mul, &[a, x]))),
        (
            "quotients",
            chain(100_000, |g, a, x| {
                let e = map(g, ScalarFn::Exp, &[a]);
                let q = map(g, ScalarFn::Div, &[e, x]);
                let n = map(g, ScalarFn::Neg, &[q]);
                map(g, ScalarFn::Mul, &[n, a])
            }),
        ),
    ];
    // A stack much smaller than the graphs are deep.
    let run = move || {
        for (name, graph) in &graphs {
            let start = Instant::now();
            let optimized = optimize(graph, &OptOptions::default());
            let time = start.elapsed();
            println!("{name}: {} nodes became {} in {time:.0?}", graph.len(), optimized.graph.len());
            assert!(time < limit, "{name}: {time:.0?}\n{}", optimized.report);
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_factor_stays_in_a_sum_of_nothing() {
    let g = Builder::new();
    let (x, s) = (g.input("x", f32([0, 3])), g.input("s", f32([])));
    let program = g.program(&[("product", (x * s).sum_over([0])), ("quotient", (x / s).sum())]);
    let mut executable = program.compile(&Options::default()).expect("the program compiles");
    for scale in [0.0, f32::INFINITY, f32::NAN] {
        let (nothing, scale) = (Array::zeros(&f32([0, 3])), Array::scalar(scale));
        let outputs = executable.run(&[("x", nothing.view()), ("s", scale.view())]).expect("the inputs fit");
        for (name, sum) in outputs.iter() {
            assert!(sum.to_f64_vec().iter().all(|&v| v == 0.0), "{name}: {sum:?}");
        }
    }
}
