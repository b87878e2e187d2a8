//! Softmax cross-entropy of rows of logits with integer labels: the mean loss and its gradient by the logits.

mod engines;

use cotangent::build::init;
use cotangent::prelude::*;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn softmax_cross_entropy(c: &mut Criterion) {
    let mut group = c.benchmark_group("softmax_cross_entropy");
    for (rows, classes) in [(50, 10), (128, 1000), (1024, 1024)] {
        let g = Builder::new();
        let z = g.input("z", f32([rows, classes]));
        let y = g.input("y", i32([rows]));
        let loss = z.cross_entropy(y).mean();
        let [dz] = g.grad(loss, [z]);
        let program = g.program(&[("loss", loss), ("dz", dz)]);
        let z = init::normal([rows, classes], 0.0, 1.0, 0).array();
        let labels = (0..rows).map(|i| (i * 7 % classes) as i32).collect();
        let y = Array::new([rows], labels).expect("a label for each row");
        group.throughput(Throughput::Elements((rows * classes) as u64));
        engines::bench(&mut group, format!("{rows}x{classes}"), &program, &[("z", &z), ("y", &y)]);
    }
    group.finish();
}

criterion_group!(benches, softmax_cross_entropy);
criterion_main!(benches);
