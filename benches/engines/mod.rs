//! What the benches share: the engines, how a program is measured under each, and the limit of the machine's memory.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use cotangent::prelude::*;
use criterion::{BenchmarkGroup, BenchmarkId, Throughput, measurement::WallTime};

/// All engines, with their names.
pub const ENGINES: [(&str, Engine); 2] = [("jit", Engine::Jit), ("interp", Engine::Interp)];

#[allow(dead_code, reason = "the bench of compilation runs nothing")]
/// Measures a run of `program` under each engine that can compile it. Returns the least nanoseconds of a run, in the order of [`ENGINES`].
pub fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    size: impl ToString,
    program: &Program,
    inputs: &[(&str, &Array)],
) -> [Option<f64>; 2] {
    ENGINES.map(|(name, engine)| match program.compile(&Options::engine(engine)) {
        Ok(mut executable) => {
            let least = Cell::new(None);
            group.bench_function(BenchmarkId::new(name, size.to_string()), |b| {
                b.iter_custom(|times| {
                    let start = Instant::now();
                    for _ in 0..times {
                        executable.run(inputs).map(drop).expect("the inputs fit");
                    }
                    let taken = start.elapsed();
                    let each = taken.as_nanos() as f64 / times as f64;
                    least.set(Some(least.get().unwrap_or(f64::INFINITY).min(each)));
                    taken
                })
            });
            least.get()
        }
        Err(error) => {
            eprintln!("{name} left out: {error}");
            None
        }
    })
}

#[allow(dead_code, reason = "not every bench compares the engines by turns")]
/// How many times as long the interpreter takes for a run as native code, the median of turns: a clock that changes between turns changes both.
pub fn ratio_by_turns(program: &Program, inputs: &[(&str, &Array)]) -> f64 {
    const TURNS: usize = 41;
    let mut executables =
        ENGINES.map(|(_, engine)| program.compile(&Options::engine(engine)).expect("both engines compile it"));
    let mut ratios: Vec<f64> = (0..TURNS)
        .map(|_| {
            let [jit, interp] = [(0, 40), (1, 4)].map(|(engine, runs)| {
                let start = Instant::now();
                for _ in 0..runs {
                    executables[engine].run(inputs).map(drop).expect("the inputs fit");
                }
                start.elapsed().as_secs_f64() / f64::from(runs)
            });
            interp / jit
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[TURNS / 2]
}

#[allow(dead_code, reason = "not every bench is about memory")]
/// [`bench`] of a program that has to read and write so many bytes. Prints how many it moves in a second, as a fraction of the [limit] too, and how many times
/// as long the interpreter takes.
pub fn bench_moving(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bytes: usize,
    program: &Program,
    inputs: &[(&str, &Array)],
) {
    group.throughput(Throughput::Bytes(bytes as u64));
    let [jit, interp] = bench(group, name, program, inputs);
    let Some(jit) = jit else { return };
    let (speed, limit) = (bytes as f64 / jit, limit(bytes));
    let fraction = speed / limit;
    let ratio = interp.map_or(String::new(), |i| format!(", interpreter {:.1} times as long", i / jit));
    println!("{name:>40}: {jit:9.0} ns, {speed:6.1} GB/s, {fraction:.2} of a copy's {limit:.1} GB/s{ratio}");
}

/// Bytes in a second, in units of 10^9, that a copy reads and writes when it moves so many in all: what the caches or the memory allow.
fn limit(bytes: usize) -> f64 {
    let from = vec![1u8; bytes / 2];
    let mut to = vec![0u8; bytes / 2];
    let mut least = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(40) {
        // Enough at a time for the clock.
        let times = (1 << 20) / bytes.max(1) + 1;
        let start = Instant::now();
        for _ in 0..times {
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
        }
        least = least.min(start.elapsed().as_nanos() as f64 / times as f64);
    }
    (bytes / 2 * 2) as f64 / least
}
