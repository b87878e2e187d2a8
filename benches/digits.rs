//! A training step of the digits network, 64-h-10 with batches of 50: forward, backward and update.

mod engines;

use cotangent::build::init;
use cotangent::data;
use cotangent::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};

fn digits(c: &mut Criterion) {
    let train = data::digits().train.flattened();
    let (xs, ys) = train.batches(50).next().expect("there is a batch");
    let (xs, ys) = (xs.to_array(), ys.to_array());
    let mut group = c.benchmark_group("digits_step");
    for hidden in [32, 100, 500] {
        let g = Builder::new();
        let x = g.input("x", f32([50, 64]));
        let y = g.input("y", i32([50]));
        let w1 = g.param("w1", init::he([64, hidden], 0));
        let w2 = g.param("w2", init::he([hidden, 10], 1));
        let loss = x.dot(w1).relu().dot(w2).cross_entropy(y).mean();
        let program = Sgd::new(0.2).minimize(loss).program();
        let inputs = [("x", &xs), ("y", &ys)];
        engines::bench(&mut group, hidden, &program, &inputs);
        println!(
            "64-{hidden}-10: the interpreter takes {:.1} times as long, by turns",
            engines::ratio_by_turns(&program, &inputs)
        );
    }
    group.finish();
}

criterion_group!(benches, digits);
criterion_main!(benches);
