//! Operations on rows, forward and backward: softmax, log-softmax, layer norm, softmax cross-entropy.

mod engines;

use cotangent::build::init;
use cotangent::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};

/// An operation on rows, each by itself.
type Rows = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

const OPERATIONS: [(&str, Rows); 3] =
    [("softmax", |x| x.softmax(-1)), ("log-softmax", |x| x.log_softmax(-1)), ("layer norm", |x| x.layer_norm(1e-5))];

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("rows");
    for [rows, columns] in [[50, 10], [128, 300], [1024, 1024]] {
        let n = rows * columns;
        let x = init::normal([rows, columns], 0.0, 1.0, 0).array();
        let dy = init::normal([rows, columns], 0.0, 1.0, 1).array();
        for (name, operation) in OPERATIONS {
            let g = Builder::new();
            let (x_in, dy_in) = (g.input("x", f32([rows, columns])), g.input("dy", f32([rows, columns])));
            let y = operation(x_in);
            let forward = g.program(&[("y", y)]);
            let dx = g.vjp(&[(y, dy_in)], &[x_in])[0];
            let backward = g.program(&[("dx", dx)]);
            let size = format!("{rows}x{columns}");
            engines::bench_moving(&mut group, &format!("{name}, {size}"), 8 * n, &forward, &[("x", &x)]);
            let inputs = [("x", &x), ("dy", &dy)];
            engines::bench_moving(&mut group, &format!("{name} backward, {size}"), 12 * n, &backward, &inputs);
        }
        let g = Builder::new();
        let (z, labels) = (g.input("z", f32([rows, columns])), g.input("labels", i32([rows])));
        let loss = z.cross_entropy(labels).mean();
        let [dz] = g.grad(loss, [z]);
        let program = g.program(&[("loss", loss), ("dz", dz)]);
        let labels = (0..rows).map(|i| (i * 7 % columns) as i32).collect();
        let labels = Array::new([rows], labels).expect("a label for each row");
        let name = format!("cross-entropy with gradient, {rows}x{columns}");
        engines::bench_moving(&mut group, &name, 8 * n, &program, &[("z", &x), ("labels", &labels)]);
    }
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
