//! Sums and extrema over the last axis, the first and all, of matrices that lie in L1, in L2 and in memory.

mod engines;

use cotangent::build::init;
use cotangent::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};

/// A reduction of a matrix.
type Reduction = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

const REDUCTIONS: [(&str, Reduction); 6] = [
    ("sum over all", |x| x.sum()),
    ("sum over the last axis", |x| x.sum_over(-1)),
    ("sum over the first axis", |x| x.sum_over(0)),
    ("max over the last axis", |x| x.max_over(-1)),
    ("argmax over the last axis", |x| x.argmax(-1)),
    ("mean of squares", |x| (x * x).mean()),
];

fn reductions(c: &mut Criterion) {
    let mut group = c.benchmark_group("reductions");
    for [rows, columns] in [[50, 100], [256, 300], [2048, 1024]] {
        let x = init::normal([rows, columns], 0.0, 1.0, 0).array();
        for (name, reduction) in REDUCTIONS {
            let g = Builder::new();
            let result = reduction(g.input("x", f32([rows, columns])));
            let program = g.program(&[("result", result)]);
            let name = format!("{name}, {rows}x{columns}");
            engines::bench_moving(&mut group, &name, 4 * rows * columns, &program, &[("x", &x)]);
        }
    }
    group.finish();
}

criterion_group!(benches, reductions);
criterion_main!(benches);
