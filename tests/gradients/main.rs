//! The gradient table: differentiation of every operation, scalar function and composite against finite differences, in double precision, first and
//! second order; and the documented choices where a function has no derivative.

#[path = "../engines/mod.rs"]
mod engines;
mod extents;
mod known;
mod rows;
mod shape;

use std::collections::BTreeSet;

use cotangent::build::{CumulativeOptions, TriangularOptions};
use cotangent::graph::{Dims, parse, verify};
use cotangent::interp;
use cotangent::prelude::*;
use cotangent::prim::{Barrier, Combine, Gather, Map, Op, OpKind, Pad, Reduction, Scatter, Unwindow, Window, Windows};
use cotangent::scalar::{ScalarFn, Signature};
use cotangent::testing::{Draw, Tolerance, check_gradient, compare};
use engines::engines;
use rows::*;

type Function = Box<dyn for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Tensor<'g>>;

/// A differentiable function at a point.
struct Row {
    name: String,
    inputs: Vec<Array>,
    f: Function,
}

fn row(name: &str, inputs: &[Array], f: impl for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Tensor<'g> + 'static) -> Row {
    Row { name: name.to_owned(), inputs: inputs.to_vec(), f: Box::new(f) }
}

/// A row of one input.
fn unary(name: &str, x: &Array, f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g> + 'static) -> Row {
    row(name, std::slice::from_ref(x), move |_, x| f(x[0]))
}

/// Numbers between -2 and 2, other ones for each shape.
fn x(shape: &[usize]) -> Array {
    between(shape, -2.0, 2.0)
}

fn between(shape: &[usize], low: f64, high: f64) -> Array {
    let seed = shape.iter().fold(17, |s, &d| s * 31 + d as u64);
    Draw::new(seed).uniform(&f64(shape), low, high)
}

/// Numbers that lie at least 0.1 apart, in random order.
fn apart(shape: &[usize]) -> Array {
    let n = shape.iter().product::<usize>();
    let order = Draw::new(n as u64).shuffled((0..n).collect());
    Array::new(shape, order.iter().map(|&i| 0.1 * i as f64 - 0.05 * n as f64).collect()).unwrap()
}

fn integers(shape: &[usize], values: &[i64]) -> Array {
    Array::new(shape, values.to_vec()).unwrap()
}

fn labels(values: &[i32]) -> Array {
    Array::new([values.len()], values.to_vec()).unwrap()
}

fn table() -> Vec<Row> {
    let groups = [
        scalar_functions(),
        movement(),
        reductions(),
        products(),
        indexing(),
        sorting(),
        cumulative(),
        linear_algebra(),
        einsums(),
        composites(),
        rules(),
        windows(),
        loops(),
    ];
    let more = [shape::shapes(), shape::indexing(), shape::reductions(), extents::extents(), extents::narrow_indices()];
    groups.into_iter().chain(more).flatten().collect()
}

fn check(rows: Vec<Row>) {
    let (mut first, mut second, mut worst) = (0, 0, 0.0f64);
    let mut failures = Vec::new();
    let count = rows.len();
    for row in rows {
        match check_gradient(&row.inputs, &row.f) {
            Ok(report) => {
                first += report.first;
                second += report.second;
                worst = worst.max(report.worst);
            }
            Err(mismatch) => failures.push(format!("{}: {mismatch}", row.name)),
        }
    }
    println!(
        "{count} functions, {first} first and {second} second derivatives, the worst at {worst:.3} of what is allowed"
    );
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn scalar_function_gradients() {
    check(scalar_functions());
}

#[test]
fn window_gradients() {
    check(windows());
}

#[test]
fn movement_gradients() {
    check(movement());
}

#[test]
fn reduction_gradients() {
    check(reductions());
}

#[test]
fn product_gradients() {
    check(products());
}

#[test]
fn indexing_gradients() {
    check(indexing());
}

#[test]
fn cumulative_gradients() {
    check(cumulative());
}

#[test]
fn linear_algebra_gradients() {
    check(linear_algebra());
}

#[test]
fn einsum_gradients() {
    check(einsums());
}

#[test]
fn sorting_gradients() {
    check(sorting());
}

#[test]
fn composite_gradients() {
    check(composites());
}

#[test]
fn loop_gradients() {
    check(loops());
}

#[test]
fn shape_gradients() {
    check(shape::shapes());
}

#[test]
fn more_indexing_gradients() {
    check(shape::indexing());
}

#[test]
fn more_reduction_gradients() {
    check(shape::reductions());
}

#[test]
fn gradients_by_rules() {
    check(rules());
}

#[test]
fn gradients_of_none_and_of_one() {
    check(extents::extents());
    check(extents::narrow_indices());
}

/// Every operation that has operands meets a tensor without elements and an axis of extent 1.
#[test]
fn the_table_has_empty_and_unit_extents_for_every_operation() {
    let (mut empty, mut unit): (BTreeSet<OpKind>, BTreeSet<OpKind>) = Default::default();
    for row in table() {
        let g = Builder::new();
        let x = declare(&g, &row.inputs);
        (row.f)(&g, &x);
        let graph = g.graph();
        for id in graph.ids() {
            let operands = graph.operands(id);
            let mut shapes = operands.iter().map(|&o| graph.shape(o));
            if shapes.clone().any(|s| s.numel() == 0) {
                empty.insert(graph.op(id).kind());
            }
            if shapes.any(|s| s.contains(&1)) {
                unit.insert(graph.op(id).kind());
            }
        }
    }
    let leaves = [OpKind::Input, OpKind::Param, OpKind::Const, OpKind::Iota];
    let missing = |met: &BTreeSet<OpKind>| -> Vec<OpKind> {
        OpKind::ALL.iter().copied().filter(|k| !met.contains(k) && !leaves.contains(k)).collect()
    };
    assert!(missing(&empty).is_empty(), "no row has {:?} of no elements", missing(&empty));
    assert!(missing(&unit).is_empty(), "no row has {:?} with an axis of extent 1", missing(&unit));
}

#[test]
fn the_table_covers_every_operation_and_scalar_function() {
    let mut kinds: BTreeSet<OpKind> = BTreeSet::new();
    let mut functions: BTreeSet<ScalarFn> = BTreeSet::new();
    for row in table() {
        let g = Builder::new();
        let names: Vec<String> = (0..row.inputs.len()).map(|i| format!("x{i}")).collect();
        let inputs: Vec<Tensor<'_>> = names.iter().zip(&row.inputs).map(|(n, a)| g.input(n, a.ty())).collect();
        (row.f)(&g, &inputs);
        let graph = g.graph();
        for id in graph.ids() {
            kinds.insert(graph.op(id).kind());
            if let Op::Map(map) = graph.op(id) {
                functions.insert(map.f);
            }
        }
    }
    // Parameters are leaves as inputs are; the stop is tested by what it stops.
    kinds.insert(OpKind::Param);
    functions.insert(ScalarFn::StopGradient);
    let missing: Vec<_> = OpKind::ALL.iter().filter(|k| !kinds.contains(k)).collect();
    assert!(missing.is_empty(), "no row has {missing:?}");
    let missing: Vec<_> = ScalarFn::ALL.iter().filter(|f| !functions.contains(f)).collect();
    assert!(missing.is_empty(), "no row has {missing:?}");
}

/// The text of every function with its first derivatives is read back as the same graph, which gives the same bits.
#[test]
fn texts_of_the_table_are_read_back() {
    for row in table() {
        let g = Builder::new();
        let x = declare(&g, &row.inputs);
        let results = with_gradients(&g, &row.f, &x);
        let names: Vec<String> = (0..results.len()).map(|i| format!("r{i}")).collect();
        let outputs: Vec<(&str, Tensor<'_>)> = names.iter().map(String::as_str).zip(results).collect();
        let graph = g.program(&outputs).graph;
        let text = graph.to_string();
        let again = parse(&text).unwrap_or_else(|e| panic!("{}: {e}\n{text}", row.name));
        assert_eq!(again.to_string(), text, "{}", row.name);
        assert_eq!(verify(&again), Ok(()), "{}", row.name);
        let run = |graph| interp::run(graph, |_, name| &row.inputs[name[1..].parse::<usize>().unwrap()]).outputs;
        for (a, b) in run(&graph).iter().zip(&run(&again)) {
            compare(a, b, Tolerance::EXACT).unwrap_or_else(|e| panic!("{}: {e}", row.name));
        }
    }
}

/// Every function and its first derivatives, on every engine.
#[test]
fn engines_agree_on_the_table() {
    let mut arrays = 0;
    for row in table() {
        let g = Builder::new();
        let names: Vec<String> = (0..row.inputs.len()).map(|i| format!("x{i}")).collect();
        // Integers are constants: executables refuse inputs that choose elements out of range.
        let leaf = |(name, array): (&String, &Array)| match array.dtype().is_float() {
            true => g.input(name, array.ty()),
            false => g.constant(array.clone()),
        };
        let tensors: Vec<Tensor<'_>> = names.iter().zip(&row.inputs).map(leaf).collect();
        let result = (row.f)(&g, &tensors);
        let wrt: Vec<Tensor<'_>> = tensors.into_iter().filter(|t| t.dtype().is_float()).collect();
        let mut outputs = vec![("y".to_owned(), result)];
        for (i, gradient) in g.grad_all(result.sum(), &wrt).into_iter().enumerate() {
            outputs.push((format!("g{i}"), gradient));
        }
        let outputs: Vec<(&str, Tensor<'_>)> = outputs.iter().map(|(n, t)| (n.as_str(), *t)).collect();
        let program = g.program(&outputs);
        let at = |name: &str| &row.inputs[name[1..].parse::<usize>().unwrap()];
        let expected = interp::run(&program.graph, |_, name| at(name));
        let inputs: Vec<(&str, &Array)> = names.iter().zip(&row.inputs).map(|(n, a)| (n.as_str(), a)).collect();
        let inputs: Vec<(&str, &Array)> = inputs.into_iter().filter(|(_, a)| a.dtype().is_float()).collect();
        for engine in engines() {
            let mut executable =
                program.compile(&Options::engine(engine)).unwrap_or_else(|e| panic!("{}: {e}", row.name));
            // Only what the results need is asked for.
            let needed: Vec<String> = executable.inputs().map(|(name, _)| name.to_string()).collect();
            let given: Vec<_> = inputs.iter().copied().filter(|(name, _)| needed.iter().any(|n| n == name)).collect();
            let results = executable.run(&given).unwrap_or_else(|e| panic!("{}: {e}", row.name));
            for ((name, actual), expected) in results.iter().zip(&expected.outputs) {
                let tolerance = Tolerance::of(expected.dtype()).times(10.0);
                let equal = compare(expected, actual, Tolerance { absolute: 1e-14, ..tolerance });
                equal.unwrap_or_else(|e| panic!("{engine:?} {} {name}: {e}", row.name));
                arrays += 1;
            }
        }
    }
    println!("{arrays} values and gradients on {} engines", engines().len());
}

/// The row's function with its derivatives: the result, and the cotangents of the `f64` inputs for one fixed cotangent of the result.
fn with_gradients<'g>(g: &'g Builder, f: &Function, x: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let y = f(g, x);
    let cotangent = g.constant(Draw::new(7).uniform(&y.ty(), 0.5, 1.5));
    let wrt: Vec<Tensor<'g>> = x.iter().copied().filter(|t| t.dtype() == DType::F64).collect();
    let mut all = vec![y];
    all.extend(g.vjp(&[(y, cotangent)], &wrt));
    all
}

/// Values of tensors at these values of the inputs `x0`, `x1` ...
fn values(g: &Builder, tensors: &[Tensor<'_>], inputs: &[Array]) -> Vec<Array> {
    let names: Vec<String> = (0..tensors.len()).map(|i| i.to_string()).collect();
    let outputs: Vec<(&str, Tensor<'_>)> = names.iter().zip(tensors).map(|(n, t)| (n.as_str(), *t)).collect();
    let program = g.program(&outputs);
    interp::run(&program.graph, |_, name| &inputs[name[1..].parse::<usize>().unwrap()]).outputs
}

fn declare<'g>(g: &'g Builder, inputs: &[Array]) -> Vec<Tensor<'g>> {
    inputs.iter().enumerate().map(|(i, a)| g.input(&format!("x{i}"), a.ty())).collect()
}

/// `u (J v) = (u J) v`, and the same for the Jacobian of the gradient.
#[test]
fn forward_mode_agrees_with_reverse_mode_on_the_table() {
    let mut failures = Vec::new();
    let rows = table();
    for row in &rows {
        let g = Builder::new();
        let x = declare(&g, &row.inputs);
        let wrt: Vec<Tensor<'_>> = x.iter().copied().filter(|t| t.dtype() == DType::F64).collect();
        let tangent = |(i, x): (usize, &Tensor<'_>)| g.constant(Draw::new(20 + i as u64).uniform(&x.ty(), -1.5, 1.5));
        let tangents: Vec<Tensor<'_>> = wrt.iter().enumerate().map(tangent).collect();
        let pairs: Vec<_> = wrt.iter().copied().zip(tangents.iter().copied()).collect();
        let y = (row.f)(&g, &x);
        let weights = g.constant(Draw::new(7).uniform(&y.ty(), 0.5, 1.5));
        let forward = (weights * g.jvp(&[y], &pairs)[0]).sum();
        let loss = (weights * y).sum();
        let gradients = g.grad_all(loss, &wrt);
        let products = gradients.iter().zip(&tangents).map(|(&a, &b)| (a * b).sum());
        let reverse = products.reduce(|a, b| a + b).unwrap();
        let forward_over_reverse = g.hvp(loss, &pairs);
        let reverse_over_reverse = g.grad_all(reverse, &wrt);
        let first = values(&g, &[forward, reverse], &row.inputs);
        let second = values(&g, &[forward_over_reverse, reverse_over_reverse].concat(), &row.inputs);
        let tolerance = Tolerance { absolute: 1e-10, ..Tolerance::of(DType::F64).times(1e4) };
        let (a, b) = second.split_at(wrt.len());
        let all = std::iter::once((&first[0], &first[1])).chain(a.iter().zip(b));
        for (order, (forward, reverse)) in all.enumerate() {
            if let Err(e) = compare(reverse, forward, tolerance) {
                failures.push(format!("{} ({order}): {e}", row.name));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

/// Every function and its gradients on a batch, against the same on each example: with all inputs batched, and with each alone.
#[test]
fn batches_agree_with_single_examples_on_the_table() {
    const EXAMPLES: usize = 3;
    /// Example `n` made of an input: other numbers of the same kind.
    fn example(n: usize, input: &Array) -> Array {
        if let Ok(x) = input.as_slice::<f64>() {
            return Array::new(input.shape().clone(), x.iter().map(|x| x * (1.0 - 0.06 * n as f64)).collect()).unwrap();
        }
        let mut order: Vec<usize> = (0..input.shape().numel()).collect();
        let turn = n % order.len().max(1);
        order.rotate_left(turn);
        match input.dtype() {
            DType::I32 => {
                let x = input.as_slice::<i32>().unwrap();
                Array::new(input.shape().clone(), order.iter().map(|&i| x[i]).collect()).unwrap()
            }
            _ => {
                let x = input.as_slice::<i64>().unwrap();
                Array::new(input.shape().clone(), order.iter().map(|&i| x[i]).collect()).unwrap()
            }
        }
    }
    let mut failures = Vec::new();
    let rows = table();
    for row in &rows {
        let count = row.inputs.len();
        let singles = if count > 1 { count } else { 0 };
        for case in 0..=singles {
            let batched = |i: usize| case == singles || case == i;
            let at = |n: usize| -> Vec<Array> {
                row.inputs.iter().enumerate().map(|(i, x)| example(if batched(i) { n } else { 0 }, x)).collect()
            };
            let examples: Vec<Vec<Array>> = (0..EXAMPLES).map(at).collect();
            // The batch is stacked inside the graph, of one input for each example.
            let g = Builder::new();
            let all: Vec<Array> = examples.iter().flatten().cloned().collect();
            let x = declare(&g, &all);
            let inputs: Vec<(Tensor<'_>, Option<isize>)> = (0..count)
                .map(|i| match batched(i) {
                    true => (g.stack(&(0..EXAMPLES).map(|n| x[n * count + i]).collect::<Vec<_>>(), 0), Some(0)),
                    false => (x[i], None),
                })
                .collect();
            let results = 1 + row.inputs.iter().filter(|x| x.dtype() == DType::F64).count();
            let batch = g.vmap_axes(&inputs, &vec![0; results], |x| with_gradients(&g, &row.f, x));
            let actual = values(&g, &batch, &all);
            let tolerance = Tolerance { absolute: 1e-13, ..Tolerance::of(DType::F64).times(100.0) };
            for (n, inputs) in examples.iter().enumerate() {
                let one = Builder::new();
                let x = declare(&one, inputs);
                let expected = values(&one, &with_gradients(&one, &row.f, &x), inputs);
                for (k, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
                    assert_eq!(actual.shape()[0], EXAMPLES, "{}", row.name);
                    let len = expected.shape().numel();
                    let part = actual.as_slice::<f64>().unwrap()[n * len..(n + 1) * len].to_vec();
                    let part = Array::new(expected.shape().clone(), part).unwrap();
                    if let Err(e) = compare(expected, &part, tolerance) {
                        failures.push(format!("{} (case {case}, example {n}, result {k}): {e}", row.name));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "of {} rows fail:\n{}", rows.len(), failures.join("\n"));
}
