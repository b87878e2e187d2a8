//! What a call costs beside its arithmetic: steps of a few elements, with inputs given by name at each run and bound once.

use std::hint::black_box;

use cotangent::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};

/// A logistic regression of 4 features on a batch of 16: about 200 multiplications.
fn regression(g: &Builder) -> Program {
    let (x, y) = (g.input("x", f32([16, 4])), g.input("y", f32([16])));
    let (w, b) = (g.param("w", init::normal([4], 0.0, 0.5, 0)), g.param("b", init::zeros([1])));
    Sgd::new(0.1).minimize((x.dot(w) + b).bce_with_logits(y).mean()).program()
}

/// One addition.
fn addition(g: &Builder) -> Program {
    let (x, y) = (g.input("x", f32([])), g.input("y", f32([])));
    g.program(&[("sum", x + y)])
}

fn dispatch(c: &mut Criterion) {
    let mut group = c.benchmark_group("dispatch");
    for (name, build) in [("addition", addition as fn(&Builder) -> Program), ("regression", regression)] {
        let g = Builder::new();
        let mut step = build(&g).compile(&Options::default()).expect("the program compiles");
        let arrays: Vec<(String, Array)> =
            step.inputs().map(|(name, ty)| (name.to_string(), Array::full(ty, 0.5))).collect();
        let inputs: Vec<(&str, &Array)> = arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
        group.bench_function(format!("{name}, by name"), |b| {
            b.iter(|| black_box(step.run(&inputs).expect("the inputs fit").first().get_f64(0)));
        });
        let mut bound = step.bind(&inputs).expect("the inputs fit");
        group.bench_function(format!("{name}, bound"), |b| b.iter(|| black_box(bound.run().first().get_f64(0))));
    }
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
