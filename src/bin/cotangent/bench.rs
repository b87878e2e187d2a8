//! `cotangent bench`.

use std::io::Write;
use std::time::Duration;

use cotangent::io::model;
use cotangent::runtime::Bytes;

use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::model::{given, load, options, program};

pub(crate) fn bench(args: &BenchArgs) -> Result<(), Failure> {
    let given = given(&args.model)?;
    let (model, arrays) = load(&args.model, &given)?.with_random(&given.known.arrays, 0)?;
    let program = program(&model, &args.loss)?;
    let bench = model::bench(&program, &options(&args.engine), &arrays, args.time, args.compare_interp)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "step      {} (middle of {} runs; the fastest took {})",
        time(bench.step),
        bench.runs,
        time(bench.fastest)
    )?;
    if let Some(interpreter) = bench.interpreter {
        let ratio = interpreter.as_secs_f64() / bench.step.as_secs_f64();
        writeln!(out, "interp    {}, {ratio:.1} times as long", time(interpreter))?;
    }
    writeln!(
        out,
        "work      {:.3} GFLOP in matrix products, {} of inputs, parameters, constants and outputs",
        bench.work.flops / 1e9,
        Bytes(bench.work.bytes as usize)
    )?;
    writeln!(
        out,
        "machine   {:.1} GFLOP/s in a large matrix product, {:.1} GB/s in a long addition",
        bench.rates.flops / 1e9,
        bench.rates.bytes / 1e9
    )?;
    let percent = 100.0 * bench.fraction_of_limit();
    writeln!(out, "limit     {}, of which this is {percent:.0}%", time(bench.limit()))?;
    writeln!(out, "{}", bench.report)?;
    Ok(())
}

/// `12.3 us`.
fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.2} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
