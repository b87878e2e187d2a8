//! Loops: against the same computation written out, on every engine; their size when compiled; their memory; and what is said of mistakes.

mod engines;

use std::sync::Arc;

use cotangent::array::ArrayElement;
use cotangent::graph::{parse, verify};
use cotangent::opt::Level;
use cotangent::plan::nested::{LoopStep, Part};
use cotangent::plan::{Action, Plan, check, eval, plan};
use cotangent::prelude::*;
use cotangent::prim::Op;
use cotangent::testing::{Draw, Tolerance, compare};
use cotangent::{Graph, interp};
use engines::engines;

/// Outputs of the program on every engine at every level, and on the evaluator of plans; all must agree with the interpreter.
fn run_everywhere(program: &Program, inputs: &[(&str, Array)]) -> Vec<Array> {
    let leaf = |name: &str| match inputs.iter().find(|i| i.0 == name) {
        Some((_, value)) => value,
        None => program.initial.get(name).expect("no parameter begins as zeros"),
    };
    let expected = interp::run(&program.graph, |_, name| leaf(name)).outputs;
    let views: Vec<(&str, &Array)> = inputs.iter().map(|(n, a)| (*n, a)).collect();
    let same = |what: &str, actual: &[Array]| {
        for (i, (e, a)) in expected.iter().zip(actual).enumerate() {
            let tolerance = Tolerance::of(e.dtype()).times(20.0);
            compare(e, a, tolerance).unwrap_or_else(|m| panic!("{what}, output {i}: {m}"));
        }
    };
    for engine in engines() {
        for level in [Level::O0, Level::O1, Level::O2] {
            let mut run = program.compile(&Options { engine, level, ..Options::default() }).expect("it compiles");
            let outputs: Vec<Array> = run.run(&views).expect("it runs").iter().map(|o| o.1.clone()).collect();
            same(&format!("{engine:?} {level:?}"), &outputs);
        }
    }
    let plan = plan(&program.graph);
    if let Err(faults) = check::check(&plan) {
        panic!("{faults:?}\n{plan}");
    }
    let given: Vec<_> = plan.inputs.iter().map(|n| leaf(n).view()).collect();
    let mut params: Vec<Array> = plan.params.iter().map(|n| leaf(n).clone()).collect();
    same("plan", &eval::run(&plan, &given, &mut params));
    expected
}

fn numbers(shape: &[usize], seed: u64) -> Array {
    Draw::new(seed).uniform(&f32(shape), -0.9, 0.9)
}

fn array<T: ArrayElement, const N: usize>(elements: [T; N]) -> Array {
    Array::new([N], elements.to_vec()).expect("as many elements as the shape says")
}

/// One step of an LSTM: gates in the order input, forget, cell, output.
fn lstm<'g>((h, c): (Tensor<'g>, Tensor<'g>), x: Tensor<'g>, w: Tensor<'g>, b: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
    let n = h.shape()[1];
    let gates = h.builder().concat(&[x, h], 1).dot(w) + b;
    let gate = |i: usize| gates.slice(1, i * n..(i + 1) * n);
    let c = gate(1).sigmoid() * c + gate(0).sigmoid() * gate(2).tanh();
    (gate(3).sigmoid() * c.tanh(), c)
}

/// A training step of an LSTM over this many steps, with the order in which slices are taken.
fn lstm_training(trips: usize, keep: Keep, unrolled: bool) -> Program {
    let (batch, input, hidden) = (4, 3, 5);
    let g = Builder::new();
    let xs = g.input("xs", f32([trips, batch, input]));
    let w = g.param("w", init::uniform([input + hidden, 4 * hidden], -0.5, 0.5, 1));
    let b = g.param("b", init::uniform([4 * hidden], -0.5, 0.5, 2));
    let zeros = g.zeros(f32([batch, hidden]));
    let (last, all) = if unrolled {
        let (mut state, mut all) = ((zeros, zeros), Vec::new());
        for t in 0..trips {
            state = lstm(state, xs.slice(0, t..t + 1).squeeze([0]), w, b);
            all.push(state.0);
        }
        (state, g.stack(&all, 0))
    } else {
        g.scan_with(Scan::new().keep(keep), (zeros, zeros), xs, |state, x| {
            let state = lstm(state, x, w, b);
            (state, state.0)
        })
    };
    let loss = all.square().sum() + (last.0 * last.1).sum();
    let [dw, db, dx] = g.grad(loss, [w, b, xs]);
    let updates = [(w, w - dw * 0.1), (b, b - db * 0.1)];
    g.program_with_updates(&[("loss", loss), ("all", all), ("dw", dw), ("db", db), ("dx", dx)], &updates)
}

#[test]
fn an_lstm_is_what_it_is_written_out() {
    for trips in [1, 2, 7] {
        let xs = [("xs", numbers(&[trips, 4, 3], 3))];
        let expected = run_everywhere(&lstm_training(trips, Keep::All, true), &xs);
        for keep in [Keep::All, Keep::Carries] {
            let actual = run_everywhere(&lstm_training(trips, keep, false), &xs);
            for (e, a) in expected.iter().zip(&actual) {
                compare(e, a, Tolerance::of(DType::F32).times(20.0)).unwrap_or_else(|m| panic!("{trips} {keep}: {m}"));
            }
        }
    }
}

#[test]
fn parameters_are_updated_behind_the_loops() {
    let xs = numbers(&[7, 4, 3], 3);
    let mut trained = Vec::new();
    for (keep, unrolled) in [(Keep::All, true), (Keep::All, false), (Keep::Carries, false)] {
        for engine in engines() {
            let mut step = lstm_training(7, keep, unrolled).compile(&Options::engine(engine)).unwrap();
            let losses: Vec<f32> = (0..5).map(|_| step.run(&[("xs", &xs)]).unwrap().scalar().unwrap()).collect();
            assert!(losses[4] < losses[0], "{losses:?}");
            trained.push((losses, step.params().get("w").unwrap()));
        }
    }
    for (losses, w) in &trained {
        compare(&trained[0].1, w, Tolerance::of(DType::F32).times(50.0)).unwrap();
        assert!(losses.iter().zip(&trained[0].0).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs()));
    }
}

/// Steps and kernels of the plan and all nested ones.
fn size(plan: &Plan) -> (usize, usize) {
    let plans = plan.all();
    (plans.iter().map(|p| p.steps.len()).sum(), plans.iter().map(|p| p.kernels.len()).sum())
}

fn optimized(program: &Program) -> Graph {
    cotangent::opt::optimize(&program.graph, &cotangent::opt::OptOptions::default()).graph
}

#[test]
fn code_is_no_longer_for_more_trips() {
    for keep in [Keep::All, Keep::Carries] {
        let [short, long] = [10, 1000].map(|trips| {
            let program = lstm_training(trips, keep, false);
            let graph = optimized(&program);
            let report = program.compile(&Options::default()).unwrap().report().clone();
            (graph.len(), size(&plan(&graph)), report.kernels, report.distinct_kernels, report.code_bytes)
        });
        assert_eq!((short.0, short.1, short.2, short.3), (long.0, long.1, long.2, long.3));
        // Only numbers in the code differ in length.
        assert!(long.4.abs_diff(short.4) < short.4 / 20, "{} and {} bytes of code", short.4, long.4);
    }
}

#[test]
fn memory_is_what_is_kept() {
    let arena = |trips, keep| {
        let plan = plan(&optimized(&lstm_training(trips, keep, false)));
        check::check(&plan).expect("the plan is sound");
        plan.arena_bytes as f64
    };
    let of_a_trip = |keep| (arena(1100, keep) - arena(100, keep)) / 1000.0;
    let (all, carries) = (of_a_trip(Keep::All), of_a_trip(Keep::Carries));
    // Two carries of 4 x 5 numbers; those that are results are outputs already. The cotangent of the output is of that size, too.
    assert!(carries <= 4.0 * 4.0 * 20.0, "{carries} bytes are kept of a trip");
    assert!(
        carries < all && all < 4.0 * 14.0 * 20.0,
        "{all} bytes are kept of a trip, {carries} if the rest is computed again"
    );
}

#[test]
fn second_derivatives_agree_with_the_graph_written_out() {
    let program = |unrolled: bool| {
        let g = Builder::new();
        let (x, w) = (g.input("x", f32([5, 3])), g.input("w", f32([3])));
        let h = if unrolled {
            (0..5).fold(w, |h, t| (h * w + x.slice(0, t..t + 1).squeeze([0])).tanh())
        } else {
            g.scan(w, x, |h, s| ((h * w + s).tanh(), ())).0
        };
        let [dw, dx] = g.grad(h.square().sum(), [w, x]);
        let [ddw, ddx] = g.grad((dw.square()).sum() + dx.square().sum(), [w, x]);
        g.program(&[("dw", dw), ("dx", dx), ("ddw", ddw), ("ddx", ddx)])
    };
    let inputs = [("x", numbers(&[5, 3], 1)), ("w", numbers(&[3], 2))];
    let (a, b) = (run_everywhere(&program(true), &inputs), run_everywhere(&program(false), &inputs));
    for (a, b) in a.iter().zip(&b) {
        compare(a, b, Tolerance::of(DType::F32).times(50.0)).unwrap();
    }
}

#[test]
fn equal_loops_are_one_loop_with_all_of_their_cotangents() {
    let g = Builder::new();
    let (x, h) = (g.input("x", f32([4, 2])), g.input("h", f32([2])));
    let scan = || g.scan(h, x, |h, x| ((h * x).sin(), (h, h)));
    let ((a, (b, c)), (d, (e, _))) = (scan(), scan());
    let once = a.sum() + b.sum();
    let all = a.sum() + d.sum() * 2.0 + b.sum() + c.sum() + e.sum();
    let ([one], [three]) = (g.grad(once, [h]), g.grad(all, [h]));
    let program = g.program(&[("one", one), ("three", three)]);
    let out = run_everywhere(&program, &[("x", numbers(&[4, 2], 1)), ("h", numbers(&[2], 2))]);
    for i in 0..2 {
        assert!((out[1].get_f64(i) - 3.0 * out[0].get_f64(i)).abs() < 1e-5, "{out:?}");
    }
    let loops = |graph: &Graph| graph.loops(graph.ids()).len();
    assert_eq!(loops(&optimized(&g.program(&[("all", all)]))), 1);
}

#[test]
fn stacks_keep_the_order_of_the_sequences() {
    let g = Builder::new();
    let x = g.input("x", i32([4]));
    let zero = g.zeros(i32([]));
    let (forward, up) = g.scan(zero, x, |c, x| (c + x, c + x));
    let (reverse, down) = g.scan_with(Scan::new().reverse(), zero, x, |c, x| (c + x, c + x));
    let (count, steps) = g.scan_with(Scan::new().trips(3), zero, (), |c, ()| (c + 1, c * c));
    let program = g.program(&[("a", forward), ("b", up), ("c", reverse), ("d", down), ("e", count), ("f", steps)]);
    let out = run_everywhere(&program, &[("x", array([1, 2, 3, 4]))]);
    let out: Vec<&[i32]> = out.iter().map(|o| o.as_slice().unwrap()).collect();
    assert_eq!(out, [&[10][..], &[1, 3, 6, 10], &[10], &[10, 9, 7, 4], &[3], &[0, 1, 4]]);
}

#[test]
fn carries_exchange_their_values() {
    let g = Builder::new();
    let (a, b) = (g.input("a", f32([3])), g.input("b", f32([3])));
    let ([x, y], seen) = g.scan_with(Scan::new().trips(5), [a, b], (), |[x, y], ()| ([y, x], x));
    let out = run_everywhere(
        &g.program(&[("x", x), ("y", y), ("seen", seen)]),
        &[("a", array([1f32, 2.0, 3.0])), ("b", array([4f32, 5.0, 6.0]))],
    );
    assert_eq!(out[0].to_f64_vec(), [4.0, 5.0, 6.0]);
    assert_eq!(out[1].to_f64_vec(), [1.0, 2.0, 3.0]);
    assert_eq!(out[2].to_f64_vec()[..6], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn a_while_leaves_when_its_condition_fails() {
    let g = Builder::new();
    let (x, limit) = (g.input("x", i64([])), g.input("limit", i64([])));
    let (n, steps) = g.while_loop(
        (x, g.zeros(i64([]))),
        1000,
        |(n, _)| n.gt(limit),
        |(n, steps)| ((n % 2).eq(0).select(n / 2, n * 3 + 1), steps + 1),
    );
    let program = g.program(&[("n", n), ("steps", steps)]);
    for (x, limit, expected) in [(27i64, 1i64, [1, 111]), (1, 1, [1, 0]), (27, 100, [27, 0]), (1, 0, [4, 1000])] {
        let out = run_everywhere(&program, &[("x", Array::scalar(x)), ("limit", Array::scalar(limit))]);
        assert_eq!([out[0].get_f64(0) as i64, out[1].get_f64(0) as i64], expected, "from {x} to {limit}");
    }
    // The loop is left, rather than run through without effect: it asks again only after a trip.
    let planned = plan(&optimized(&program));
    let ends =
        planned.steps.iter().any(|s| matches!(&s.action, Action::Loop(l) if l.guard.as_ref().is_some_and(|g| g.ends)));
    assert!(ends, "{planned}");
}

#[test]
fn only_the_branch_taken_is_computed() {
    let g = Builder::new();
    let (x, up) = (g.input("x", f32([3])), g.input("up", bool([])));
    // Far too long for a test, if it were computed.
    let long = || g.while_loop(x, usize::MAX >> 8, |c| c.sum().lt(f64::INFINITY), |c| c.sin()).exp();
    let y = g.cond(up, || x.log(), long);
    let mut run = g.program(&[("y", y)]).compile(&Options::default()).unwrap();
    let inputs = [("x", array([1f32, 2.0, 4.0])), ("up", Array::scalar(true))];
    let views: Vec<(&str, &Array)> = inputs.iter().map(|(n, a)| (*n, a)).collect();
    let y = run.run(&views).unwrap().first().to_f64_vec();
    assert!((y[2] - 4f64.ln()).abs() < 1e-6, "{y:?}");
}

#[test]
fn no_nan_leaks_from_the_branch_not_taken() {
    let g = Builder::new();
    let x = g.input("x", f32([2]));
    let y = g.cond(x.sum().gt(0.0), || x.log().sum(), || (x / (x - x)).sqrt().sum());
    let [dx] = g.grad(y, [x]);
    let out = run_everywhere(&g.program(&[("y", y), ("dx", dx)]), &[("x", array([1f32, 0.5]))]);
    assert!((out[0].get_f64(0) - 0.5f64.ln()).abs() < 1e-6);
    assert_eq!(out[1].to_f64_vec(), [1.0, 2.0]);
    let g = Builder::new();
    let x = g.input("x", f32([]));
    // A trip that does not take place would divide by zero.
    let y = g.while_loop(x, 10, |c| c.gt(1.0), |c| (c - 1.0) / (c - 1.0).sqrt());
    let [dx] = g.grad(y, [x]);
    let out = run_everywhere(&g.program(&[("y", y), ("dx", dx)]), &[("x", Array::scalar(2f32))]);
    assert_eq!((out[0].get_f64(0), out[1].get_f64(0)), (1.0, 0.5));
}

#[test]
fn texts_of_loops_are_read_back() {
    for program in [lstm_training(3, Keep::Carries, false), lstm_training(3, Keep::All, false)] {
        for graph in [&program.graph, &optimized(&program)] {
            let text = graph.to_string();
            let again = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(again.to_string(), text);
            assert_eq!(verify(&again), Ok(()));
            // Equal loops are equal whatever text they come from.
            for id in graph.ids() {
                assert_eq!(graph.op(id), again.op(id));
            }
        }
    }
}

#[test]
fn what_is_the_same_in_all_trips_is_computed_once() {
    let g = Builder::new();
    let (x, w) = (g.input("x", f32([6, 4])), g.input("w", f32([4, 4])));
    let (last, _) = g.scan(g.zeros(f32([4])), x, |h, s| ((h + s).expand(0).dot(w.exp().dot(w)).squeeze([0]), h));
    let program = g.program(&[("last", last)]);
    let graph = optimized(&program);
    let outside = graph.ids().filter(|&id| matches!(graph.op(id), Op::Dot(_))).count();
    assert_eq!(outside, 1, "{graph}");
    run_everywhere(&program, &[("x", numbers(&[6, 4], 1)), ("w", numbers(&[4, 4], 2))]);
}

#[test]
fn what_no_result_needs_is_not_carried() {
    let g = Builder::new();
    let (x, w) = (g.input("x", f32([6, 4])), g.input("w", f32([4])));
    let init = (g.zeros(f32([4])), g.zeros(f32([4])), w);
    let ((sum, _, _), _) = g.scan(init, x, |(a, b, w), s| ((a + s * w, b + s.exp() * a, w), b));
    let program = g.program(&[("sum", sum)]);
    let graph = optimized(&program);
    let spec = graph.ids().find_map(|id| graph.op(id).looped()).expect("there is a loop").spec.clone();
    assert_eq!((spec.body.carries().len(), spec.body.inputs().len()), (1, 2), "{graph}");
    run_everywhere(&program, &[("x", numbers(&[6, 4], 1)), ("w", numbers(&[4], 2))]);
}

/// What a panic says.
fn message(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(f).expect_err("it panics");
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap()
}

#[test]
fn mistakes_are_told() {
    type Mistake = fn(&Builder);
    let cases: [(&str, Mistake); 11] = [
        ("scan: carry 0 is f32[4], but the body gives f32[3]\n  slice : f32[3], built at loops.rs:", |g| {
            g.scan(g.zeros(f32([4])), g.zeros(f32([5, 4])), |c, x| ((c + x).slice(0, 0..3), ()));
        }),
        ("scan: sequence 1 has 6 slices, but sequence 0 has 5\n  sequence 0: ", |g| {
            g.scan(g.zeros(f32([4])), (g.zeros(f32([5])), g.zeros(f32([6]))), |c, _| (c, ()));
        }),
        ("scan: sequence 0 is a scalar, which has no slices\n", |g| {
            g.scan(g.zeros(f32([4])), g.zeros(f32([])), |c, _| (c, ()));
        }),
        ("scan: without sequences, the options say how many trips there are", |g| {
            g.scan(g.zeros(f32([4])), (), |c, ()| (c, ()));
        }),
        ("scan: sequence 0 has 5 slices, but the count of trips is 3\n", |g| {
            g.scan_with(Scan::new().trips(3), g.zeros(f32([4])), g.zeros(f32([5])), |c, _| (c, ()));
        }),
        ("scan: the body is given 2 carries, but gives 1", |g| {
            g.scan(vec![g.zeros(f32([4])); 2], g.zeros(f32([5])), |c, _| (c[..1].to_vec(), ()));
        }),
        ("while_loop: the condition is f32[], not bool[]\n", |g| {
            g.while_loop(g.zeros(f32([])), 3, |c| c, |c| c);
        }),
        ("cond: result 0 is f32[2] in the branch for true and f32[3] in that for false\n  true: ", |g| {
            g.cond(g.zeros(bool([])), || g.zeros(f32([2])), || g.zeros(f32([3])));
        }),
        ("a tensor of the body of a loop is used outside of it: return it from the closure", |g| {
            let mut leaked = None;
            g.scan(g.zeros(f32([4])), g.zeros(f32([5])), |c, x| {
                leaked = Some(x);
                (c, ())
            });
            let _ = leaked.unwrap() + 1.0;
        }),
        ("program: called while the body of a loop is being written", |g| {
            g.scan(g.zeros(f32([4])), g.zeros(f32([5])), |c, x| {
                g.program(&[("x", x)]);
                (c, ())
            });
        }),
        ("add(f32[4], f32[3]): shapes [4] and [3] do not broadcast", |g| {
            g.scan(g.zeros(f32([4])), g.zeros(f32([5, 3])), |c, x| (c + x, ()));
        }),
    ];
    for (expected, mistake) in cases {
        let g = std::panic::AssertUnwindSafe(Builder::new());
        let actual = message(|| mistake(&g));
        assert!(actual.starts_with(expected), "{actual}");
        // The builder can be used further.
        let x = g.input("x", f32([2]));
        assert_eq!(g.program(&[("y", x.exp())]).graph.outputs().len(), 1);
    }
}

#[test]
fn leaves_declared_in_a_body_belong_to_the_program() {
    let g = Builder::new();
    let x = g.input("x", f32([3, 2]));
    let (last, _) = g.scan(g.zeros(f32([2])), x, |h, s| {
        let w = g.param("w", init::full([2], 0.5));
        let shift = g.input("shift", f32([2]));
        ((h * w + s + shift).sin(), ())
    });
    assert_eq!(g.params().len(), 1);
    let [dw] = g.grad(last.sum(), [g.params()[0]]);
    let program = g.program(&[("last", last), ("dw", dw)]);
    run_everywhere(&program, &[("x", numbers(&[3, 2], 1)), ("shift", numbers(&[2], 2))]);
}

/// What the checker says of a plan with one of its loops changed.
fn faults(plan: &Plan, change: impl FnOnce(&mut LoopStep)) -> String {
    let mut plan = plan.clone();
    let looped = plan.steps.iter_mut().find_map(|s| match &mut s.action {
        Action::Loop(l) => Some(l),
        _ => None,
    });
    change(looped.expect("there is a loop"));
    let faults = check::check(&plan).expect_err("the change is a fault");
    faults.iter().map(|f| f.to_string() + "\n").collect()
}

#[test]
fn the_checker_refuses_loops_that_are_wrong() {
    let g = Builder::new();
    let x = g.input("x", f32([5, 3]));
    let ((a, b), ys) = g.scan((x.sum_over([0]), g.zeros(f32([3]))), x, |(a, b), x| {
        let y = (a * x).softmax(-1).exp() * g.constant(array([1f32, 2.0, 3.0]));
        ((a + y.sum(), b + y * a), y)
    });
    let scan = plan(&g.program(&[("a", a), ("b", b), ("ys", ys)]).graph);
    check::check(&scan).expect("the plan is sound");
    type Change = fn(&mut LoopStep);
    let changes: [(&str, Change); 10] = [
        ("the loop has no trips", |l| l.trips = 0),
        ("indices from 0 to 17 into b", |l| l.trips = 6),
        ("indices from 1 to 15 into b", |l| part(&mut l.body.inputs).offset = 1),
        ("trips write to the same parts of b", |l| part(&mut l.body.outputs).stride = 2),
        ("is bound as f32 x 2, the nested plan has f32 x 3", |l| part(&mut l.body.inputs).len = 2),
        ("nothing is bound to Input(0) of the nested plan", |l| l.body.inputs[0] = None),
        ("overlaps it in memory", |l| l.body.params[0] = l.body.params[1]),
        ("is bound as a constant of the nested plan that it does not hold", |l| {
            let input = part(&mut l.body.inputs).buffer;
            l.body.constants[0] = Some(input);
        }),
        ("in the loop of step", |l| {
            Arc::make_mut(&mut l.body.plan).steps.pop();
        }),
        ("is bound as an arena of", |l| {
            let carry = l.body.params[0];
            let plan = Arc::make_mut(&mut l.body.plan);
            plan.arena_bytes = plan.arena_bytes.max(64);
            l.body.arena = carry;
        }),
    ];
    for (expected, change) in changes {
        let said = faults(&scan, change);
        assert!(said.contains(expected), "expected {expected}: {said}\n{scan}");
    }

    let g = Builder::new();
    let x = g.input("x", f32([3]));
    let y = g.while_loop(x, 9, |c| c.sum().lt(100.0), |c| c * 2.0);
    let guarded = plan(&g.program(&[("y", y)]).graph);
    check::check(&guarded).expect("the plan is sound");
    let said = faults(&guarded, |l| {
        let carry = l.body.params[0].expect("it has a buffer");
        l.guard.as_mut().expect("there is a guard").flag = carry;
    });
    assert!(said.contains("is bound as the truth value of the guard"), "{said}");
    let said = faults(&guarded, |l| l.guard.as_mut().expect("there is a guard").nested = l.body.clone());
    assert!(said.contains("the guard writes a carry"), "{said}");
}

/// The first part that there is.
fn part(parts: &mut [Option<Part>]) -> &mut Part {
    parts.iter_mut().flatten().next().expect("there is one")
}

#[test]
fn plans_of_loops_can_be_read() {
    let g = Builder::new();
    let x = g.input("x", f32([5, 3]));
    let (_, ys) = g.scan_with(Scan::new().reverse(), g.zeros(f32([3])), x, |h, x| ((h + x).tanh(), h));
    let program = g.program(&[("ys", ys)]);
    let text = plan(&program.graph).to_string();
    let step = text.lines().find(|l| l.contains("loop 5 trips reverse")).unwrap_or_else(|| panic!("{text}"));
    assert!(step.contains("[t*3..+3]") && step.contains(" carries (b"), "{step}");
    assert!(text.contains("     | kernel k0 "), "{text}");
    let run = program.compile(&Options::default()).unwrap();
    assert!(run.dump(Stage::Clif).unwrap().contains("; trip_1"));
    assert!(run.dump(Stage::Dot).unwrap().contains("label=\"body @0\""));
}
