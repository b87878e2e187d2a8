//! What the benches share: the engines, and how a program is measured under each.

use cotangent::prelude::*;
use criterion::{BenchmarkGroup, BenchmarkId, measurement::WallTime};

/// All engines, with their names.
pub const ENGINES: [(&str, Engine); 2] = [("jit", Engine::Jit), ("interp", Engine::Interp)];

#[allow(dead_code, reason = "the bench of compilation runs nothing")]
/// Measures a run of `program` under each engine that can compile it.
pub fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    size: impl ToString,
    program: &Program,
    inputs: &[(&str, &Array)],
) {
    for (name, engine) in ENGINES {
        match program.compile(&Options::engine(engine)) {
            Ok(mut executable) => {
                group.bench_function(BenchmarkId::new(name, size.to_string()), |b| {
                    b.iter(|| executable.run(inputs).map(drop).expect("the inputs fit"))
                });
            }
            Err(error) => eprintln!("{name} left out: {error}"),
        }
    }
}
