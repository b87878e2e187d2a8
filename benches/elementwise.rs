//! A chain of elementwise operations on vectors that lie in L1, in L2 and in memory.

mod engines;

use cotangent::build::init;
use cotangent::prelude::*;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn elementwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("elementwise");
    for n in [1 << 10, 1 << 15, 1 << 20] {
        let g = Builder::new();
        let (a, b) = (g.input("a", f32([n])), g.input("b", f32([n])));
        let result = ((a * b + 1.0).tanh() * a - (b * 0.5).exp()).relu();
        let program = g.program(&[("result", result)]);
        let a = init::uniform([n], -1.0, 1.0, 0).array();
        let b = init::uniform([n], -1.0, 1.0, 1).array();
        group.throughput(Throughput::Elements(n as u64));
        engines::bench(&mut group, n, &program, &[("a", &a), ("b", &b)]);
    }
    group.finish();
}

criterion_group!(benches, elementwise);
criterion_main!(benches);
