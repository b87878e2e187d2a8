//! Derivatives of the program's own, and regions that the backward pass computes again. That they are right where they should be is in the gradient table.

mod engines;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cotangent::CompileError;
use cotangent::graph::parse;
use cotangent::prelude::*;
use cotangent::prim::OpKind;
use cotangent::testing::{Draw, Tolerance, compare};
use cotangent::transform;
use engines::engines;

fn array(shape: &[usize], values: &[f64]) -> Array {
    Array::new(shape, values.to_vec()).unwrap()
}

/// Values of tensors on every engine, which agree.
fn values(g: &Builder, tensors: &[Tensor<'_>], inputs: &[(&str, &Array)]) -> Vec<Array> {
    let names: Vec<String> = (0..tensors.len()).map(|i| i.to_string()).collect();
    let outputs: Vec<(&str, Tensor<'_>)> = names.iter().zip(tensors).map(|(n, t)| (n.as_str(), *t)).collect();
    let program = g.program(&outputs);
    let of = |engine| -> Vec<Array> {
        let mut run = program.compile(&Options::engine(engine)).unwrap();
        run.run(inputs).unwrap().iter().map(|(_, a)| a.clone()).collect()
    };
    let [first, second] = engines().map(of);
    for (a, b) in first.iter().zip(&second) {
        let tolerance = Tolerance { absolute: 1e-12, ..Tolerance::of(a.dtype()).times(100.0) };
        compare(a, b, tolerance).unwrap_or_else(|e| panic!("{e}"));
    }
    first
}

fn message(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap()
}

#[test]
fn a_straight_through_estimator_hands_cotangents_on() {
    let g = Builder::new();
    let x = g.input("x", f64([4]));
    let y = g.custom_vjp("straight_through", &[x], |x| x[0].round(), |_, _, u| vec![u]);
    let [dx] = g.grad((y * y).sum(), [x]);
    let forward = g.jvp(&[y], &[(x, x)])[0];
    let results = values(&g, &[y, dx, forward], &[("x", &array(&[4], &[0.4, 0.6, -1.7, 3.0]))]);
    assert_eq!(results[0].to_f64_vec(), [0.0, 1.0, -2.0, 3.0]);
    assert_eq!(results[1].to_f64_vec(), [0.0, 2.0, -4.0, 6.0]);
    assert_eq!(results[2].to_f64_vec(), [0.4, 0.6, -1.7, 3.0]);
}

/// `log(1 + e^x)` as written is inf for large x with the derivative inf / inf; the rule makes it 1.
#[test]
fn a_rule_makes_a_derivative_stable() {
    let g = Builder::new();
    let x = g.input("x", f64([3]));
    let y = (1.0 + x.minimum(700.0).exp()).log() + (x - 700.0).relu();
    let y = g.custom_vjp("log1pexp", &[x], |_| y, |x, _, u| vec![u * x[0].sigmoid()]);
    let [dx] = g.grad(y.sum(), [x]);
    let [ddx] = g.grad(dx.sum(), [x]);
    let results = values(&g, &[y, dx, ddx], &[("x", &array(&[3], &[0.0, 800.0, -800.0]))]);
    assert_eq!(results[0].get_f64(1), 800.0);
    assert_eq!(results[1].to_f64_vec(), [0.5, 1.0, 0.0]);
    assert_eq!(results[2].to_f64_vec(), [0.25, 0.0, 0.0]);
}

/// A rule that is not the derivative: what it says counts, in batches too, and what is captured gets nothing.
#[test]
fn the_rule_counts_and_not_the_nodes() {
    let g = Builder::new();
    let (x, w) = (g.input("x", f64([2, 3])), g.input("w", f64([3])));
    fn f<'g>(x: Tensor<'g>, w: Tensor<'g>) -> Tensor<'g> {
        x.builder().custom_vjp("seven", &[x], |x| x[0] * w, |_, _, u| vec![7.0 * u])
    }
    let [dx, dw] = g.grad(f(x, w).sum(), [x, w]);
    let [each] = g.vmap([x], |[x]| [g.grad(f(x, w).sum(), [x])[0]]);
    let [through] = g.grad(x.vmap(|x| f(x, w)).sum(), [x]);
    let (xs, ws) = (array(&[2, 3], &[1.0; 6]), array(&[3], &[2.0; 3]));
    let results = values(&g, &[dx, dw, each, through, x, w], &[("x", &xs), ("w", &ws)]);
    assert_eq!(results[0].to_f64_vec(), [7.0; 6]);
    assert_eq!(results[1].to_f64_vec(), [0.0; 3]);
    assert_eq!(results[2].to_f64_vec(), [7.0; 6]);
    assert_eq!(results[3].to_f64_vec(), [7.0; 6]);
}

#[test]
fn rules_that_are_not_linear_have_no_forward_mode() {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let y = g.custom_vjp("clip", &[x], |x| x[0] * 1.0, |_, _, u| vec![u.minimum(1.0).maximum(-1.0)]);
    let [dx] = g.grad((y * 5.0).sum(), [x]);
    assert_eq!(values(&g, &[dx, x], &[("x", &array(&[2], &[1.0, 2.0]))])[0].to_f64_vec(), [1.0, 1.0]);
    let error = message(|| {
        g.jvp(&[y], &[(x, x)]);
    });
    assert!(error.contains("`clip` is not linear in the cotangent") && error.contains("custom_vjp"), "{error}");
}

#[test]
fn rules_that_do_not_fit_are_refused() {
    let g = Builder::new();
    let (x, i) = (g.input("x", f64([2])), g.input("i", i32([2])));
    let error = message(|| {
        g.custom_vjp("none", &[x, i], |x| x[0], |_, _, _| vec![]);
    });
    assert!(error.contains("the rule of `none` gives 0 cotangent(s) for 1 float input(s)"), "{error}");
    let error = message(|| {
        g.custom_vjp("sum", &[x], |x| x[0], |_, _, u| vec![u.sum()]);
    });
    assert!(error.contains("a cotangent f64[] for input \"x\" : f64[2]"), "{error}");
    let error = message(|| {
        g.custom_vjp("labels", &[i], |x| x[0], |_, _, _| vec![]);
    });
    assert!(error.contains("the result of `labels` is i32[2]"), "{error}");
}

#[test]
fn a_rule_that_was_read_from_text_is_not_known() {
    let text = "%0 = input {name=\"x\"} : f32[2]\n%1 = exp %0 : f32[2]\n\
                %2 = custom_vjp %1, %0 {rule=\"mine\", inputs=1} : f32[2]\n\
                %3 = reduce %2 {kind=sum, axes=[0]} : f32[]\noutput \"y\" = %3\n";
    let mut graph = parse(text).unwrap();
    assert_eq!(graph.to_string(), text);
    let (x, y) = (graph.find("x").unwrap(), graph.outputs()[0].node);
    let error = cotangent::grad::grad(&mut graph, y, &[x]).unwrap_err().to_string();
    assert_eq!(
        error,
        "%2 has no derivative: the rule `mine` of this custom_vjp is not known: the text form does not hold it"
    );
    let error = transform::jvp(&mut graph, &[y], &[(x, x)]).unwrap_err().to_string();
    assert!(error.contains("`mine`"), "{error}");
    // A checkpoint has the derivative of its result in any case.
    let text = text.replace("custom_vjp", "checkpoint");
    let mut graph = parse(&text).unwrap();
    let (x, y) = (graph.find("x").unwrap(), graph.outputs()[0].node);
    assert!(cotangent::grad::grad(&mut graph, y, &[x]).is_ok());
}

#[test]
fn rules_vanish_when_differentiation_is_over() {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let y = g.custom_vjp("straight_through", &[x], |x| x[0].round(), |_, _, u| vec![u]);
    let program = g.program(&[("y", y)]);
    assert!(program.graph.ids().any(|id| program.graph.op(id).kind() == OpKind::Custom));
    let optimized = cotangent::opt::optimize(&program.graph, &Default::default()).graph;
    let kinds: Vec<OpKind> = optimized.ids().map(|id| optimized.op(id).kind()).collect();
    assert_eq!(kinds, [OpKind::Input, OpKind::Map]);
}

/// A deep net on 128 examples, and the gradients of its mean square by all weights.
fn deep<'g>(g: &'g Builder, layers: usize, region: Option<usize>) -> Vec<(String, Tensor<'g>)> {
    let x = g.input("x", f32([128, 64]));
    let weights: Vec<Tensor<'g>> =
        (0..layers).map(|i| g.param(&format!("w{i}"), init::xavier([64, 64], i as u64))).collect();
    let layer = |x: Tensor<'g>, w: &Tensor<'g>| x.dot(*w).gelu();
    let y = match region {
        None => weights.iter().fold(x, layer),
        Some(n) => weights.chunks(n).fold(x, |x, part| g.checkpoint(|| part.iter().fold(x, layer))),
    };
    let loss = y.square().mean();
    let mut outputs = vec![("loss".to_owned(), loss)];
    let gradients = g.grad_all(loss, &weights);
    outputs.extend(gradients.into_iter().enumerate().map(|(i, d)| (format!("d{i}"), d)));
    outputs
}

fn run(outputs: &[(String, Tensor<'_>)], options: &Options) -> (Vec<Array>, usize) {
    let g = outputs[0].1.builder();
    let outputs: Vec<(&str, Tensor<'_>)> = outputs.iter().map(|(n, t)| (n.as_str(), *t)).collect();
    let mut step = g.program(&outputs).compile(options).unwrap();
    let x = Draw::new(3).uniform(&f32([128, 64]), -1.0, 1.0);
    let arrays = step.run(&[("x", &x)]).unwrap().iter().map(|(_, a)| a.clone()).collect();
    (arrays, step.report().arena_bytes)
}

#[test]
fn checkpoints_lower_the_peak_and_keep_the_gradients() {
    const LAYERS: usize = 16;
    let g = Builder::new();
    let (kept, peak) = run(&deep(&g, LAYERS, None), &Options::default());
    let mut peaks = vec![peak];
    for region in [1, 2, 4, 8] {
        let g = Builder::new();
        let (again, lower) = run(&deep(&g, LAYERS, Some(region)), &Options::default());
        for (a, b) in kept.iter().zip(&again) {
            compare(a, b, Tolerance::of(DType::F32).times(20.0)).unwrap_or_else(|e| panic!("regions of {region}: {e}"));
        }
        peaks.push(lower);
    }
    println!("arena bytes without regions, and with regions of 1, 2, 4 and 8 layers: {peaks:?}");
    // Without regions each layer keeps four values, but for two of the last one's; with them, its input. Larger regions keep fewer inputs, and all values of
    // one region at a time: of two regions half of the 62 values, one of which is the input of the first.
    let values: Vec<usize> = peaks.iter().map(|p| p.div_ceil(128 * 64 * 4)).collect();
    assert!(values.iter().zip([62, 17, 13, 17, 31]).all(|(&values, most)| values <= most), "{peaks:?}");
    assert!(peaks[2] < peaks[1] && peaks[2] < peaks[4], "{peaks:?}");
}

/// A budget is kept, whatever has to be computed again, and the results stay the same.
#[test]
fn a_memory_budget_is_kept() {
    const LAYERS: usize = 16;
    let g = Builder::new();
    let outputs = deep(&g, LAYERS, None);
    let (kept, peak) = run(&outputs, &Options::default());
    let mut reached = Vec::new();
    for share in [0.9, 0.6, 0.4, 0.25] {
        let budget = (peak as f64 * share) as usize;
        let (again, bytes) = run(&outputs, &Options { memory_budget: Some(budget), ..Options::default() });
        assert!(bytes <= budget, "{bytes} bytes of {budget}");
        for (a, b) in kept.iter().zip(&again) {
            compare(a, b, Tolerance::of(DType::F32).times(20.0)).unwrap_or_else(|e| panic!("{budget} bytes: {e}"));
        }
        reached.push((share, bytes));
    }
    println!("of {peak} bytes: {reached:?}");
    // A budget that is large enough changes nothing.
    assert_eq!(run(&outputs, &Options { memory_budget: Some(peak), ..Options::default() }), (kept, peak));
}

#[test]
fn a_budget_that_cannot_be_kept_is_an_error_that_says_what_can() {
    let g = Builder::new();
    let outputs = deep(&g, 6, None);
    let outputs: Vec<(&str, Tensor<'_>)> = outputs.iter().map(|(n, t)| (n.as_str(), *t)).collect();
    let program = g.program(&outputs);
    let compile = |budget| program.compile(&Options { memory_budget: Some(budget), ..Options::default() });
    let Err(CompileError::Memory(error)) = compile(1) else { panic!("one byte is too little") };
    assert_eq!(error.budget, 1);
    assert!(error.to_string().contains(&format!("{} bytes", error.least)), "{error}");
    // What it says can be reached is reached.
    let step = compile(error.least).unwrap();
    assert!(step.report().arena_bytes <= error.least);
    assert!(step.report().recomputed > 0 && step.report().to_string().contains("computed again"));
}

/// Parameters are updated in place in a step whose late part reads them again.
#[test]
fn training_within_a_budget_learns_the_same() {
    let net = |g: &Builder| -> Program {
        let x = g.input("x", f32([128, 64]));
        let layer = |x, i: u64| {
            let (w, b) =
                (g.param(&format!("w{i}"), init::xavier([64, 64], i)), g.param(&format!("b{i}"), init::zeros([64])));
            Tensor::linear(x, w, b).gelu()
        };
        let y = (0..8).fold(x, layer);
        Sgd::new(0.1).momentum(0.9).minimize((y - x).square().mean()).program()
    };
    let x = Draw::new(3).uniform(&f32([128, 64]), -1.0, 1.0);
    let g = Builder::new();
    let program = net(&g);
    let mut kept = program.compile(&Options::default()).unwrap();
    let budget = kept.report().arena_bytes / 2;
    let mut again = program.compile(&Options { memory_budget: Some(budget), ..Options::default() }).unwrap();
    assert!(again.report().arena_bytes <= budget);
    for _ in 0..3 {
        kept.run(&[("x", &x)]).unwrap();
        again.run(&[("x", &x)]).unwrap();
    }
    for i in 0..8 {
        for name in [format!("w{i}"), format!("b{i}"), format!("w{i}.momentum")] {
            let (a, b) = (kept.params().get(&name).unwrap(), again.params().get(&name).unwrap());
            let tolerance = Tolerance { absolute: 1e-7, ..Tolerance::of(DType::F32).times(50.0) };
            compare(&a, &b, tolerance).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
