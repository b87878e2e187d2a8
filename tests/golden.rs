//! Every engine against NumPy and SciPy: values of each operation and the losses of a short training; against PyTorch: derivatives.
//!
//! The files are written by the scripts beside them; `golden/cases.py` says what their format is.

#[path = "golden/derivatives.rs"]
mod derivatives;
mod engines;
#[path = "golden/routines.rs"]
mod routines;
#[path = "golden/shape.rs"]
mod shape;
#[path = "golden/text.rs"]
mod text;

use std::collections::{BTreeMap, BTreeSet};

use cotangent::graph::Dims;
use cotangent::interp;
use cotangent::prelude::*;
use cotangent::prim::{Map, Op, OpKind, Pad};
use cotangent::scalar::ScalarFn;
use cotangent::testing::{Tolerance, compare};
use engines::engines;
use text::array;

/// One operation on given inputs, and what it should give.
struct Case {
    name: String,
    inputs: Vec<Array>,
    output: Array,
    tolerance: Tolerance,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let files = [
        include_str!("golden/ops.txt"),
        include_str!("golden/scalar.txt"),
        include_str!("golden/routines.txt"),
        include_str!("golden/shape.txt"),
        include_str!("golden/integers.txt"),
    ];
    for line in files.into_iter().flat_map(str::lines) {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        match word {
            "#" => {}
            "case" => cases.push(Case {
                name: rest.to_owned(),
                inputs: Vec::new(),
                output: Array::scalar(0.0f32),
                tolerance: Tolerance::EXACT,
            }),
            _ => {
                let case = cases.last_mut().expect("a case comes first");
                match word {
                    "in" => case.inputs.push(array(rest)),
                    "out" => case.output = array(rest),
                    "tol" => {
                        let (relative, scaled) = rest.split_once(' ').unwrap();
                        let (relative, scaled) = (relative.parse().unwrap(), scaled.parse().unwrap());
                        case.tolerance = Tolerance { relative, scaled, absolute: 0.0 };
                    }
                    _ => panic!("`{line}` is no line of a case"),
                }
            }
        }
    }
    cases
}

/// The operation of a case.
fn apply<'g>(g: &'g Builder, name: &str, x: &[Tensor<'g>], arrays: &[Array]) -> Tensor<'g> {
    let name = name.split(':').next().unwrap();
    if let Some(y) = routines::apply(name, x) {
        return y;
    }
    if let Some(y) = shape::apply(g, name, x, arrays) {
        return y;
    }
    if let Some(f) = ScalarFn::from_name(name) {
        return g.try_push(Map { f }, x).unwrap_or_else(|e| panic!("{e}"));
    }
    if let Some(name) = name.strip_prefix("grad_of_") {
        return g.grad(apply(g, name, x, arrays).sum(), [x[0]])[0];
    }
    if let Some(dtype) = name.strip_prefix("cast_") {
        return x[0].cast(dtype.parse().unwrap());
    }
    if let Some((fold, axes)) = name.split_once('_')
        && let Some(folded) = reduce(x[0], fold, axes)
    {
        return folded;
    }
    match name {
        "broadcast" => x[0].broadcast_to([3, 4]),
        "broadcast_column" => x[0].broadcast_to([2, 3, 4]),
        "broadcast_none" => x[0].broadcast_to([0, 3]),
        "reshape" => x[0].reshape([4, 6]),
        "transpose_reshape" => x[0].transpose([2, 0, 1]).reshape([8, 3]),
        "transpose" => x[0].transpose([2, 0, 1]),
        "t" => x[0].t(),
        "slice" => x[0].slice(1, 1..3),
        "slice_step" => x[0].slice_step(2, 0..4, 3),
        "slice_reversed" => x[0].slice_step(2, 0..4, -2),
        "flip" => x[0].flip([0, 2]),
        "flip_reshape" => x[0].flip([0, 2]).reshape([6, 4]),
        "pad" => x[0].pad(&[(1, 0), (2, 3)], -1.5),
        "pad_interior" => {
            let dims = |v: [usize; 2]| Dims::from_slice(&v);
            let (low, high, interior) = (dims([1, 0]), dims([0, 1]), dims([2, 1]));
            g.try_push(Pad { low, high, interior, value: 0.25f64.to_bits() }, x).unwrap()
        }
        "concat" => g.concat(x, 0),
        "concat_last" => g.concat(x, -1),
        "stack" => g.stack(x, 1),
        "iota" => g.iota(x[0].ty(), 1) + x[0],
        "dot" => x[0].dot(x[1]),
        "dot_transposed" => x[0].t().dot(x[1]),
        "dot_transposed_right" => x[0].dot(x[1].t()),
        "contract_crossed" => x[0].contract(x[1], &[(0, 2), (2, 0)], &[]),
        "contract_batch" => x[0].contract(x[1], &[(2, 0)], &[(1, 2)]),
        "contract_outer" => x[0].contract(x[1], &[], &[]),
        "linear" => x[0].linear(x[1], x[2]),
        "take_0" => x[0].take(x[1], 0),
        "take_1" => x[0].take(x[1], 1),
        "pick" => x[0].pick(x[1]),
        "scatter_add" => x[0].scatter_add(x[1], x[2]),
        "scatter_set" => x[0].scatter_set(x[1], x[2]),
        "one_hot" => x[0].one_hot(4, DType::F32),
        "relu" => x[0].relu(),
        "leaky_relu" => x[0].leaky_relu(0.1),
        "prelu" => x[0].prelu(x[1]),
        "elu" => x[0].elu(1.5),
        "celu" => x[0].celu(1.5),
        "selu" => x[0].selu(),
        "silu" => x[0].silu(),
        "mish" => x[0].mish(),
        "hard_sigmoid" => x[0].hard_sigmoid(),
        "hard_swish" => x[0].hard_swish(),
        "log_sigmoid" => x[0].log_sigmoid(),
        "clamp" => x[0].clamp(-1.0, 2.0),
        "clamp_numbers" => x[0].clamp(3.0, 50.0),
        "square" => x[0].square(),
        "gelu" => x[0].gelu(),
        "gelu_tanh" => x[0].gelu_tanh(),
        "softmax" => x[0].softmax(-1),
        "softmax_0" => x[0].softmax(0),
        "log_softmax" => x[0].log_softmax(-1),
        "logsumexp" => x[0].logsumexp_over(-1),
        "cross_entropy" => x[0].cross_entropy(x[1]),
        "mse" => x[0].mse(x[1]),
        "bce_with_logits" => x[0].bce_with_logits(x[1]),
        "layer_norm" => x[0].layer_norm(1e-5),
        "attention" => (x[0].dot(x[1].t()) * 0.5).softmax(-1).dot(x[2]),
        _ => panic!("there is no operation called `{name}`"),
    }
}

fn reduce<'g>(x: Tensor<'g>, fold: &str, axes: &str) -> Option<Tensor<'g>> {
    let axes: &[isize] = match axes {
        "all" => &[0, 1, 2],
        "first" => &[0],
        "middle" => &[1],
        "last" => &[2],
        "outer" => &[0, 2],
        "0" if fold.starts_with("arg") => &[0],
        "1" if fold.starts_with("arg") => &[1],
        "2" if fold.starts_with("arg") => &[2],
        _ => return None,
    };
    Some(match fold {
        "sum" => x.sum_over(axes),
        "prod" => x.prod_over(axes),
        "max" => x.max_over(axes),
        "min" => x.min_over(axes),
        "mean" => x.mean_over(axes),
        "variance" => x.variance_over(axes, 0),
        "argmax" => x.argmax(axes[0]),
        "argmin" => x.argmin(axes[0]),
        _ => return None,
    })
}

/// Compiles and runs a program of one output on unnamed inputs `x0`, `x1` ...
fn run(engine: Engine, program: &Program, inputs: &[Array]) -> Array {
    let mut executable = program.compile(&Options::engine(engine)).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
    // Inputs that the result does not depend on are no inputs of the program.
    let known: Vec<String> = executable.inputs().map(|(name, _)| name.to_string()).collect();
    let inputs = names.iter().map(String::as_str).zip(inputs).filter(|(name, _)| known.iter().any(|k| k == name));
    let inputs: Vec<(&str, &Array)> = inputs.collect();
    executable.run(&inputs).unwrap_or_else(|e| panic!("{e}")).first().clone()
}

/// The program of a case. Indices out of range are refused in inputs, so integers are constants in `constant_integers`.
fn program(case: &Case, constant_integers: bool) -> (Program, Vec<Array>) {
    let g = Builder::new();
    let mut inputs = Vec::new();
    let mut tensors = Vec::new();
    for array in &case.inputs {
        if constant_integers && array.dtype().is_int() {
            tensors.push(g.constant(array.clone()));
        } else {
            tensors.push(g.input(&format!("x{}", inputs.len()), array.ty()));
            inputs.push(array.clone());
        }
    }
    (g.program(&[("y", apply(&g, &case.name, &tensors, &case.inputs))]), inputs)
}

#[test]
fn operations_give_what_numpy_gives() {
    let cases = cases();
    let mut failures = Vec::new();
    let mut elements = 0;
    for engine in engines() {
        for case in &cases {
            let (program, inputs) = program(case, case.name.contains("out of range") || case.name == "pick");
            let actual = run(engine, &program, &inputs);
            elements += actual.shape().numel();
            if let Err(mismatch) = compare(&case.output, &actual, case.tolerance) {
                failures.push(format!("{engine:?} {}: {mismatch}", case.name));
            }
        }
    }
    println!("{} cases on {} engines, {elements} elements", cases.len(), engines().len());
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_golden_file_has_every_operation_and_scalar_function_in_every_type() {
    let mut kinds: BTreeSet<OpKind> = BTreeSet::new();
    let mut functions: BTreeMap<ScalarFn, BTreeSet<DType>> = BTreeMap::new();
    for case in cases() {
        let (program, _) = program(&case, true);
        let graph = &program.graph;
        for id in graph.ids() {
            kinds.insert(graph.op(id).kind());
            if let Op::Map(map) = graph.op(id) {
                let operands = graph.operands(id);
                functions.entry(map.f).or_default().insert(graph.ty(operands[operands.len() - 1]).dtype);
            }
        }
    }
    // A parameter is a leaf as an input is; barriers and rules are their first operand; windows are compared with PyTorch in windows.rs, loops in
    // golden/derivatives.rs.
    kinds.extend([OpKind::Param, OpKind::Barrier, OpKind::Custom, OpKind::Window, OpKind::Unwindow, OpKind::Loop]);
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), OpKind::ALL);
    for &f in ScalarFn::ALL {
        for dtype in DType::ALL {
            let operands = f.operand_dtypes(dtype);
            let tested = functions.get(&f).is_some_and(|types| types.contains(&dtype));
            assert!(tested || f.result_dtype(&operands).is_err(), "no case has {} of {dtype}", f.name());
        }
    }
}

/// `-1..1` from the top bits of a linear congruential generator, as `golden/make.py` draws them.
fn sequence(seed: u64, shape: &[usize], dtype: DType) -> Array {
    let mut seed = seed;
    let mut next = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| next()).collect();
    Init::from(Array::new(shape, values).unwrap()).dtype(dtype).array()
}

/// The numbers of the line that begins with these words.
fn recorded(words: &str) -> Vec<f64> {
    let lines = include_str!("golden/sgd.txt").lines();
    let line = lines.filter_map(|l| l.strip_prefix(words)).next().expect("the line is in the file");
    line.split_whitespace().map(|w| w.parse().unwrap()).collect()
}

#[test]
fn twenty_steps_of_gradient_descent_go_as_in_numpy() {
    const ROWS: usize = 32;
    const CLASSES: i32 = 5;
    for engine in engines() {
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-12)] {
            let g = Builder::new();
            let x = g.input("x", TensorType::new(dtype, [ROWS, 8]));
            let y = g.input("y", i32([ROWS]));
            let param = |name, seed, shape: &[usize]| g.param(name, sequence(seed, shape, dtype));
            let (w1, b1) = (param("w1", 2, &[8, 16]), param("b1", 3, &[16]));
            let (w2, b2) = (param("w2", 4, &[16, 5]), g.param("b2", init::zeros([5]).dtype(dtype)));
            let loss = x.linear(w1, b1).relu().linear(w2, b2).cross_entropy(y).mean();
            let mut step = Sgd::new(0.5).minimize(loss).compile(&Options::engine(engine)).unwrap();
            let xs = sequence(1, &[ROWS, 8], dtype);
            let ys = Array::new([ROWS], (0..ROWS as i32).map(|i| (i * 7 + 3) % CLASSES).collect()).unwrap();
            let mut worst = 0.0f64;
            let mut agree = |what: &str, expected: f64, actual: f64| {
                let error = (actual - expected).abs() / expected.abs();
                worst = worst.max(error);
                assert!(error <= tolerance, "{engine:?} {dtype} {what}: {actual} instead of {expected}");
            };
            let losses = recorded(&format!("losses {dtype}"));
            assert_eq!(losses.len(), 20);
            for (i, &expected) in losses.iter().enumerate() {
                let loss = step.run(&[("x", &xs), ("y", &ys)]).unwrap().first().get_f64(0);
                agree(&format!("loss {i}"), expected, loss);
            }
            let norms = recorded(&format!("norms {dtype}"));
            for (name, &expected) in ["w1", "b1", "w2", "b2"].iter().zip(&norms) {
                let values = step.params().get(name).unwrap().to_f64_vec();
                agree(name, expected, values.iter().map(|v| v.abs()).sum());
            }
            println!("{engine:?} {dtype}: 20 losses and 4 parameters, the worst off by {worst:.1e}");
        }
    }
}

/// The interpreter without an executable around it agrees too: the file checks operations, not the runtime.
#[test]
fn the_interpreter_by_itself_agrees() {
    for case in cases() {
        let (program, inputs) = program(&case, false);
        let at = |name: &str| &inputs[name[1..].parse::<usize>().unwrap()];
        let results = interp::run(&program.graph, |_, name| at(name));
        compare(&case.output, &results.outputs[0], case.tolerance).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    }
}
