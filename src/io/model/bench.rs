//! How long a model takes, and how near that is to what the machine can do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::array::Array;
use crate::build::{Builder, Program};
use crate::compile::{Engine, Options};
use crate::graph::{Graph, types};
use crate::prim::Op;
use crate::runtime::Report;

use super::{ModelError, inputs_of};

/// What a benchmark measured.
#[derive(Clone, Debug)]
pub struct Bench {
    /// What the compilation did and how long it took.
    pub report: Report,
    /// The middle of the times of all runs.
    pub step: Duration,
    /// The shortest time.
    pub fastest: Duration,
    /// How many runs were measured.
    pub runs: usize,
    /// The time of a run by the interpreter, the shortest of a few, if asked for.
    pub interpreter: Option<Duration>,
    /// What a run computes and moves.
    pub work: Work,
    /// What the machine does in a second.
    pub rates: Rates,
}

/// What a run has to do, whoever does it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Multiplications and additions of matrix products.
    pub flops: f64,
    /// Bytes of inputs, parameters, constants and outputs, each counted once.
    pub bytes: f64,
}

/// What this machine does in a second, as measured by native code of this crate, with as many threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Multiplications and additions in a product of `f32` matrices of 768 rows and columns.
    pub flops: f64,
    /// Bytes that an addition of two long `f32` vectors reads and writes.
    pub bytes: f64,
}

impl Bench {
    /// The least time in which a machine of these rates could do the work.
    pub fn limit(&self) -> Duration {
        let seconds = (self.work.flops / self.rates.flops).max(self.work.bytes / self.rates.bytes);
        Duration::from_secs_f64(seconds)
    }

    /// The least time as a share of the time that a run takes. Above 1 if the work fits in a cache that is faster than memory.
    pub fn fraction_of_limit(&self) -> f64 {
        self.limit().as_secs_f64() / self.step.as_secs_f64()
    }
}

/// Measures runs of a program for about this long, and the interpreter too if asked.
///
/// # Errors
/// If an input is missing or does not fit, or the program cannot be compiled.
pub fn bench(
    program: &Program,
    options: &Options,
    arrays: &BTreeMap<String, Array>,
    time: Duration,
    interpreter: bool,
) -> Result<Bench, ModelError> {
    let times = measure(program, options, arrays, time, 5)?;
    let report = program.compile(options)?.report().clone();
    let interpreter = match interpreter {
        true => Some(measure(program, &Options::engine(Engine::Interp), arrays, time, 1)?[0]),
        false => None,
    };
    let outputs = program.graph.outputs().iter().map(|o| program.graph.ty(o.node).bytes()).sum::<usize>();
    let leaves = leaf_bytes(&program.graph);
    Ok(Bench {
        report,
        step: times[times.len() / 2],
        fastest: times[0],
        runs: times.len(),
        interpreter,
        work: Work { flops: flops(&program.graph), bytes: (leaves + outputs) as f64 },
        rates: rates(options)?,
    })
}

/// The times of runs, ascending. The first runs, in which memory is touched for the first time, are not among them.
fn measure(
    program: &Program,
    options: &Options,
    arrays: &BTreeMap<String, Array>,
    time: Duration,
    least: usize,
) -> Result<Vec<Duration>, ModelError> {
    const MOST: usize = 100_000;
    let mut executable = program.compile(options)?;
    let inputs = inputs_of(&executable, arrays)?;
    executable.run(&inputs)?;
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.len() < least || begin.elapsed() < time && times.len() < MOST {
        let start = Instant::now();
        executable.run(&inputs)?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times)
}

/// What this machine does in a second under these options.
fn rates(options: &Options) -> Result<Rates, ModelError> {
    const SIDE: usize = 768;
    const LENGTH: usize = 1 << 23;
    let options = Options { threads: options.threads, ..Options::default() };
    let fastest = |program: &Program, names: [&str; 2], array: &Array| {
        let arrays = names.map(|name| (name.to_owned(), array.clone())).into();
        measure(program, &options, &arrays, Duration::from_millis(100), 3).map(|times| times[0].as_secs_f64())
    };
    let g = Builder::new();
    let (a, b) = (g.input("a", types::f32([SIDE, SIDE])), g.input("b", types::f32([SIDE, SIDE])));
    let product = g.program(&[("c", a.dot(b))]);
    let (x, y) = (g.input("x", types::f32([LENGTH])), g.input("y", types::f32([LENGTH])));
    let sum = g.program(&[("z", x + y)]);
    let cube = 2.0 * (SIDE * SIDE * SIDE) as f64;
    Ok(Rates {
        flops: cube / fastest(&product, ["a", "b"], &Array::full(&types::f32([SIDE, SIDE]), 1.0))?,
        bytes: (3 * 4 * LENGTH) as f64 / fastest(&sum, ["x", "y"], &Array::full(&types::f32([LENGTH]), 1.0))?,
    })
}

/// Bytes of the inputs, parameters and constants that outputs and updates need.
fn leaf_bytes(graph: &Graph) -> usize {
    let live = graph.live();
    let is_leaf = |op: &Op| op.leaf_name().is_some() || matches!(op, Op::Const(_));
    graph.ids().filter(|&id| live[id.index()] && is_leaf(graph.op(id))).map(|id| graph.ty(id).bytes()).sum()
}

/// Multiplications and additions in the matrix products of a graph and of the bodies of its loops. Recursion is bounded by the depth of bodies.
fn flops(graph: &Graph) -> f64 {
    let live = graph.live();
    let loops = graph.loops(graph.ids().filter(|id| live[id.index()]));
    let of = |id| match graph.op(id) {
        Op::Dot(dot) => {
            let lhs = graph.shape(graph.operands(id)[0]);
            let terms: usize = dot.lhs_contract.iter().map(|&axis| lhs[axis]).product();
            2.0 * terms as f64 * graph.shape(id).numel() as f64
        }
        // All results of a loop are computed together.
        Op::Loop(l) if loops.contains_key(&id) => l.spec.trips as f64 * flops(l.spec.body.graph()),
        _ => 0.0,
    };
    // The sum of no floats is -0.
    graph.ids().filter(|id| live[id.index()]).map(of).fold(0.0, |sum, flops| sum + flops)
}
