//! Elementwise operations on arrays that lie in L1, in L2 and in memory.

mod engines;

use cotangent::build::init;
use cotangent::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};

/// An operation on two arrays.
type Operation = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;

/// Operations by what they cost: movement, a few instructions, a polynomial, a chain of several.
const OPERATIONS: [(&str, Operation); 7] = [
    ("add", |a, b| a + b),
    ("relu chain", |a, b| (((a + 0.5).relu() * b + 0.25).relu() - 0.125).relu()),
    ("exp", |a, b| (a * b).exp()),
    ("tanh", |a, b| (a + b).tanh()),
    ("gelu", |a, b| (a + b).gelu_tanh()),
    ("chain", |a, b| ((a * b + 1.0).tanh() * a - (b * 0.5).exp()).relu()),
    ("greater", |a, b| a.gt(b).select(a, b)),
];

fn elementwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("elementwise");
    for n in [1 << 11, 1 << 15, 1 << 21] {
        let a = init::uniform([n], -1.0, 1.0, 0).array();
        let b = init::uniform([n], -1.0, 1.0, 1).array();
        for (name, operation) in OPERATIONS {
            let g = Builder::new();
            let result = operation(g.input("a", f32([n])), g.input("b", f32([n])));
            let program = g.program(&[("result", result)]);
            engines::bench_moving(&mut group, &format!("{name}, {n}"), 12 * n, &program, &[("a", &a), ("b", &b)]);
        }
    }
    group.finish();
}

/// A step of Adam on a parameter whose gradient is given: one pass over four arrays, three of which are written.
fn adam(c: &mut Criterion) {
    let mut group = c.benchmark_group("adam");
    for n in [1 << 11, 1 << 15, 1 << 21] {
        let g = Builder::new();
        let x = g.input("x", f32([n]));
        let w = g.param("w", init::uniform([n], -1.0, 1.0, 0));
        let program = Adam::new(1e-3).minimize((w * x).sum()).program();
        let x = init::uniform([n], -1.0, 1.0, 1).array();
        engines::bench_moving(&mut group, &format!("adam, {n}"), 28 * n, &program, &[("x", &x)]);
    }
    group.finish();
}

criterion_group!(benches, elementwise, adam);
criterion_main!(benches);
