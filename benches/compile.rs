//! Compile time by number of nodes: a deep network of small layers, forward and backward, of about so many nodes before optimization.

mod engines;

use cotangent::build::init;
use cotangent::prelude::*;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// The training step of a network with this many hidden layers.
fn network(layers: usize) -> Program {
    let g = Builder::new();
    let x = g.input("x", f32([32, 32]));
    let y = g.input("y", i32([32]));
    let mut h = x;
    for layer in 0..layers {
        let w = g.param(&format!("w{layer}"), init::he([32, 32], layer as u64));
        h = h.dot(w).relu();
    }
    Sgd::new(0.1).minimize(h.cross_entropy(y).mean()).program()
}

fn live(program: &Program) -> usize {
    program.graph.live().iter().filter(|&&l| l).count()
}

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    let (one, two) = (live(&network(1)), live(&network(2)));
    for nodes in [100usize, 1_000, 10_000] {
        let layers = 1 + nodes.saturating_sub(one) / (two - one);
        let program = network(layers);
        group.throughput(Throughput::Elements(live(&program) as u64));
        for (name, engine) in engines::ENGINES {
            let options = Options::engine(engine);
            if let Err(error) = program.compile(&options) {
                eprintln!("{name} left out: {error}");
                continue;
            }
            group.bench_function(BenchmarkId::new(name, live(&program)), |b| {
                b.iter(|| program.compile(&options).expect("it compiled before"))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, compile);
criterion_main!(benches);
