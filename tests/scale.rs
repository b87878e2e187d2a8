//! Large graphs: every stage up to the plan takes time linear in the graph and little stack, and small graphs of the same form give right results.

use std::fmt::Write;
use std::time::{Duration, Instant};

use cotangent::array::ArrayView;
use cotangent::opt::{OptOptions, optimize};
use cotangent::plan::{self, Plan};
use cotangent::prelude::*;
use cotangent::prim::Op;
use cotangent::{Graph, grad, interp};

/// A program with about as many nodes as it is asked for.
type Form = fn(usize) -> Program;

/// The programs.
pub const FORMS: &[(&str, Form)] = &[
    ("elementwise chain", elementwise_chain),
    ("recurrence", recurrence),
    ("movement chain", movement_chain),
    ("chain of dots", dot_chain),
    ("chain of small dots", small_dot_chain),
    ("chain of folds", fold_chain),
    ("chain of layer norms", norm_chain),
    ("chain of gathers and scatters", gather_chain),
    ("sum by a chain", wide_chain),
    ("sum by a tree", wide_tree),
    ("concatenation", wide_concat),
    ("fold of a concatenation", reduced_concat),
    ("one input with many users", fan_out),
    ("many inputs", many_inputs),
    ("many outputs", many_outputs),
    ("many constants", many_constants),
    ("dead nodes", dead_nodes),
    ("many parameters", many_params),
    ("many products", many_products),
    ("parameters updated from each other", exchanged_params),
    ("outer products that cross", crossed_products),
];

/// Appends the gradient of the sum of `result` and makes a program of both.
fn with_gradient(g: &Builder, result: Tensor<'_>, wrt: Tensor<'_>) -> Program {
    let [gradient] = g.grad(result.sum(), [wrt]);
    g.program(&[("result", result), ("gradient", gradient)])
}

/// Applies `step` until the graph with its gradient has about `nodes` nodes, `ratio` of them for each forward one.
fn chain(nodes: usize, ratio: f64, ty: TensorType, step: impl for<'g> Fn(Tensor<'g>, usize) -> Tensor<'g>) -> Program {
    let g = Builder::new();
    let x = g.input("x", ty);
    let mut h = x;
    let mut turn = 0;
    while (g.graph().len() as f64) < nodes as f64 / ratio {
        h = step(h, turn);
        turn += 1;
    }
    with_gradient(&g, h, x)
}

fn elementwise_chain(nodes: usize) -> Program {
    chain(nodes, 2.5, f32([6]), |x, _| x.tanh() * 0.5 + x)
}

/// Cheap functions only, each used twice.
fn recurrence(nodes: usize) -> Program {
    chain(nodes, 2.5, f64([3]), |x, i| {
        let y = (x - 0.25).maximum(x * (0.5 + i as f64 / 1e6));
        y - x * 0.5
    })
}

fn movement_chain(nodes: usize) -> Program {
    chain(nodes, 2.5, f32([4, 6]), |x, i| match i % 7 {
        0 => x.t(),
        1 => x.reshape([3, 8]),
        2 => x.flip(0),
        3 => x.pad(&[(1, 0), (0, 0)], 0.5).slice(0, 0..3),
        4 => x.reshape([2, 2, 6]).transpose([1, 0, 2]),
        5 => x.reshape([24]),
        _ => x.reshape([4, 6]) * 2.0,
    })
}

fn dot_chain(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([16, 16]));
    let w = g.param("w", init::xavier([16, 16], 1));
    let mut h = x;
    while g.graph().len() < nodes / 5 {
        h = h.dot(w).tanh();
    }
    let loss = h.square().sum();
    let [dx, dw] = g.grad(loss, [x, w]);
    g.program_with_updates(&[("loss", loss), ("dx", dx)], &[(w, w - 0.01 * dw)])
}

fn small_dot_chain(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f64([3, 3]));
    let w = g.param("w", init::xavier([3, 3], 1).dtype(DType::F64));
    let mut h = x;
    while g.graph().len() < nodes / 5 {
        h = h.dot(w).tanh();
    }
    with_gradient(&g, h, x)
}

fn fold_chain(nodes: usize) -> Program {
    chain(nodes, 2.5, f32([3, 10]), |x, i| match i % 3 {
        0 => x - x.mean_keep(1),
        1 => x * 0.5 + x.max_keep(0),
        _ => (x.sum_keep(1) * 0.125).sin() + x,
    })
}

fn norm_chain(nodes: usize) -> Program {
    chain(nodes, 4.0, f32([2, 8]), |x, i| if i % 2 == 0 { x.layer_norm(1e-5) } else { x.softmax(1) + x })
}

fn gather_chain(nodes: usize) -> Program {
    chain(nodes, 2.5, f32([5, 2]), |x, _| {
        let index = x.builder().constant(Array::new([3], vec![4i32, 0, 2]).expect("three numbers"));
        x.scatter_add(index, x.take(index, 0) * 0.5)
    })
}

/// Terms that do not depend on each other.
fn terms<'g>(x: Tensor<'g>, count: usize) -> Vec<Tensor<'g>> {
    (0..count).map(|i| (x + i as f64 / 64.0).sin()).collect()
}

fn wide_chain(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([4]));
    let sum = terms(x, nodes / 12).into_iter().reduce(|a, b| a + b).expect("there are terms");
    with_gradient(&g, sum, x)
}

fn wide_tree(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([4]));
    let mut level = terms(x, nodes / 12);
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| pair.iter().copied().reduce(|a, b| a + b).expect("not empty")).collect();
    }
    with_gradient(&g, level[0], x)
}

fn wide_concat(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([4]));
    let all = g.concat(&terms(x, nodes / 12), 0);
    with_gradient(&g, all, x)
}

fn reduced_concat(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([4]));
    let all = g.stack(&terms(x, nodes / 12), 0);
    let deviation = all - all.mean_keep(0);
    with_gradient(&g, deviation.square().sum_over(0), x)
}

fn fan_out(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([4]));
    let mut sum = x;
    while g.graph().len() < nodes / 7 {
        sum = (sum * x).maximum(x) - x;
    }
    with_gradient(&g, sum, x)
}

fn many_inputs(nodes: usize) -> Program {
    let g = Builder::new();
    let inputs: Vec<Tensor<'_>> = (0..nodes / 8).map(|i| g.input(&format!("x{i}"), f32([3]))).collect();
    let sum = inputs.iter().map(|x| x.exp() * 0.5).reduce(|a, b| a + b).expect("there are inputs");
    with_gradient(&g, sum, inputs[inputs.len() / 2])
}

fn many_outputs(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([3]));
    let mut h = x;
    let mut outputs = Vec::new();
    for i in 0..nodes / 6 {
        let y = (x + (i + 1) as f64).sqrt();
        h = h.maximum(y) * 0.5;
        outputs.extend([(format!("y{i}"), y), (format!("h{i}"), h), (format!("again{i}"), h)]);
    }
    let outputs: Vec<_> = outputs.iter().map(|(n, t)| (n.as_str(), *t)).collect();
    g.program(&outputs)
}

fn many_constants(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let mut h = x;
    for i in 0..nodes / 7 {
        h = h * 0.5 + g.constant(Array::new([2], vec![i as f64, 1.0]).expect("two numbers"));
    }
    with_gradient(&g, h, x)
}

fn dead_nodes(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([3]));
    let dead = terms(x, nodes / 4);
    let _ = dead.into_iter().reduce(|a, b| a * b);
    g.program(&[("y", x.exp())])
}

/// A parameter for each ten nodes, each with its update.
fn many_params(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([3]));
    let params: Vec<Tensor<'_>> = (0..nodes / 12).map(|i| g.param(&format!("w{i}"), init::he([3], i as u64))).collect();
    let loss = params.iter().map(|&w| (w * x).sin()).reduce(|a, b| a + b).expect("there are parameters").sum();
    Sgd::new(0.1).momentum(0.9).minimize(loss).program()
}

/// Products that are added to their parameters.
fn many_products(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([12, 12]));
    let mut h = x;
    for i in 0..nodes / 16 {
        h = h.dot(g.param(&format!("w{i}"), init::xavier([12, 12], i as u64))).relu();
    }
    Sgd::new(0.1).minimize(h.square().mean()).output("h", h).program()
}

/// Pairs of parameters that take each other's values, and rings of them.
fn exchanged_params(nodes: usize) -> Program {
    let g = Builder::new();
    let count = nodes / 3 / 6 * 6;
    let params: Vec<Tensor<'_>> = (0..count).map(|i| g.param(&format!("w{i}"), init::he([3], i as u64))).collect();
    let mut updates = Vec::new();
    for (i, ring) in params.chunks(6).enumerate() {
        let size = [2, 3, 6][i % 3];
        for ring in ring.chunks(size) {
            for (j, &w) in ring.iter().enumerate() {
                let next = ring[(j + 1) % size];
                updates.push((w, if i % 2 == 0 { next.exp() } else { next + w }));
            }
        }
    }
    g.program_with_updates(&[("w0", params[0])], &updates)
}

/// Pairs of parameters to which products of each other are added.
fn crossed_products(nodes: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([12, 12]));
    let mut updates = Vec::new();
    for i in 0..nodes / 12 {
        let [a, b] = ["a", "b"].map(|n| g.param(&format!("{n}{i}"), init::xavier([12, 12], i as u64)));
        updates.extend([(a, a + b.dot(x) * 0.5), (b, b - a.dot(x) * 0.25)]);
    }
    g.program_with_updates(&[], &updates)
}

/// Runs `work` on a thread whose stack has room for this many KiB.
fn on_stack<T: Send>(kib: usize, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(kib << 10).spawn_scoped(scope, work);
        thread.expect("a thread starts").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// All stages on a graph of about `nodes` nodes, with the time that they took. What is built is given up within the time.
fn all_stages(form: fn(usize) -> Program, nodes: usize) -> (Duration, usize, usize) {
    let start = Instant::now();
    let program = form(nodes);
    let optimized = optimize(&program.graph, &OptOptions::default());
    let plan: Plan = plan::plan(&optimized.graph);
    let counts = (program.graph.len(), plan.steps.len());
    drop((program, optimized, plan));
    (start.elapsed(), counts.0, counts.1)
}

/// Nodes of the large graphs.
const LARGE: usize = 100_000;
/// How many times smaller the graphs are that they are compared with.
const FACTOR: usize = 4;
/// KiB of stack. A main thread has 8 MiB, others 2 MiB: this is enough for bounded recursion, but not for a frame of three bytes a node.
const STACK: usize = 256;

#[test]
fn large_graphs_take_linear_time_and_little_stack() {
    let mut report = String::new();
    let mut slow = Vec::new();
    for &(name, form) in FORMS {
        let (time, nodes, steps) = on_stack(STACK, || all_stages(form, LARGE));
        // The best of several, since the other tests run at the same time.
        let mut small = (0..2).map(|_| all_stages(form, LARGE / FACTOR).0).min().expect("two runs");
        let mut large = time;
        // A quadratic stage would take 16 times as long. Memory caches and a busy machine account for the rest.
        let is_slow = |large: Duration, small: Duration| large > small * (2 * FACTOR as u32 + 2);
        for _ in 0..3 {
            if is_slow(large, small) {
                large = large.min(all_stages(form, LARGE).0);
                small = small.max(all_stages(form, LARGE / FACTOR).0);
            }
        }
        let line = format!("{name}: {nodes} nodes, {steps} steps, {large:.0?}; a quarter of it {small:.0?}");
        let _ = writeln!(report, "{line}");
        if is_slow(large, small) {
            slow.push(line);
        }
    }
    println!("{report}");
    assert!(slow.is_empty(), "more than linear time:\n{}", slow.join("\n"));
}

/// What the JIT computes from small graphs of each form agrees with the reference interpreter.
#[test]
fn small_graphs_of_each_form_are_right() {
    for &(name, form) in FORMS {
        for nodes in [60, 700] {
            let program = form(nodes);
            let graph = &program.graph;
            let value = |name: &str, ty: &TensorType| match program.initial.get(name) {
                Some(value) => Array::clone(value),
                None => ramp(ty),
            };
            let leaf = |id| match graph.op(id) {
                // A parameter without initial value starts at zero.
                Op::Param(p) if !program.initial.contains_key(&p.name) => Some(Array::zeros(&p.ty)),
                op => op.leaf_name().map(|n| value(n, graph.ty(id))),
            };
            let leaves: Vec<Option<Array>> = graph.ids().map(leaf).collect();
            let want = interp::run(graph, |id, _| leaves[id.index()].as_ref().expect("the leaf has a value"));

            let mut executable = program.compile(&Options::default()).expect("the program compiles");
            let inputs: Vec<(String, Array)> =
                executable.inputs().map(|(n, ty)| (n.to_string(), value(n, ty))).collect();
            let inputs: Vec<(&str, ArrayView<'_>)> = inputs.iter().map(|(n, a)| (n.as_str(), a.view())).collect();
            let outputs: Vec<Array> =
                executable.run(&inputs).expect("the inputs fit").iter().map(|(_, a)| a.clone()).collect();
            for ((output, got), want) in graph.outputs().iter().zip(&outputs).zip(&want.outputs) {
                assert_close(&format!("{name}, {nodes} nodes, output {}", output.name), got, want);
            }
            for (update, want) in graph.updates().iter().zip(&want.updates) {
                let param = graph.op(update.param).leaf_name().expect("parameters have names");
                let got = executable.params().get(param).expect("the parameter is declared");
                assert_close(&format!("{name}, {nodes} nodes, parameter {param}"), &got, want);
            }
        }
    }
}

/// Numbers around zero.
fn ramp(ty: &TensorType) -> Array {
    let at = |i: usize| (i * 7 % 11) as f64 / 16.0 - 0.3;
    let count = ty.shape.numel();
    let array = match ty.dtype {
        DType::F64 => Array::new(ty.shape.clone(), (0..count).map(at).collect::<Vec<f64>>()),
        _ => Array::new(ty.shape.clone(), (0..count).map(|i| at(i) as f32).collect::<Vec<f32>>()),
    };
    array.expect("the shape is the count of elements")
}

/// Checks that two results are the same but for rounding errors, which grow along a chain, relative to the largest element.
fn assert_close(what: &str, got: &Array, want: &Array) {
    assert_eq!(got.ty(), want.ty(), "{what}");
    let tolerance = if want.dtype() == DType::F64 { 1e-9 } else { 2e-3 };
    let count = want.ty().shape.numel();
    let scale = (0..count).map(|i| want.get_f64(i).abs()).fold(1e-3, f64::max);
    assert!(scale.is_finite(), "{what}: the expected numbers say nothing: {want:?}");
    for i in 0..count {
        let (a, b) = (got.get_f64(i), want.get_f64(i));
        assert!((a - b).abs() <= tolerance * scale, "{what}, element {i}: {a}, expected {b}");
    }
}

/// A node may have as many users as there are nodes, and gradients of gradients stay linear too.
#[test]
fn differentiating_twice_takes_linear_time_and_little_stack() {
    let count = |steps: usize| {
        let g = Builder::new();
        let x = g.input("x", f64([2]));
        let mut h = x;
        for _ in 0..steps {
            h = (h * x).sin() + x;
        }
        let [first] = g.grad(h.sum(), [x]);
        let [second] = g.grad(first.sum(), [x]);
        g.program(&[("second", second)]).graph.len()
    };
    let (one, four) = on_stack(STACK, || (count(2_000), count(8_000)));
    assert!(four < 5 * one, "{one} nodes, and {four} for a graph four times as large");
}

/// The cotangents of results that are a whole chain.
#[test]
fn many_results_are_differentiated_at_once() {
    let graph: Graph = on_stack(STACK, || {
        let g = Builder::new();
        let x = g.input("x", f32([2]));
        let mut results = vec![x.exp()];
        for i in 1..LARGE / 4 {
            results.push(results[i - 1] * 0.5 + x);
        }
        let cotangents: Vec<_> = results.iter().map(|&r| (r, x)).collect();
        let gradient = g.vjp(&cotangents, &[x])[0];
        g.program(&[("gradient", gradient)]).graph
    });
    assert!(graph.len() < 4 * LARGE, "{}", graph.len());
    let mut copy = graph.without_results();
    let (last, x) = (graph.outputs()[0].node, graph.find("x").expect("there is an x"));
    assert!(grad::vjp(&mut copy, &[(last, last)], &[x]).is_ok());
}
