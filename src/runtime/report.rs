//! What a compilation did and how long it took.

use std::fmt;
use std::time::{Duration, Instant};

/// Time spent in one stage of compilation.
#[derive(Clone, Debug)]
pub struct StageTime {
    /// Name of the stage.
    pub stage: &'static str,
    /// Wall-clock time.
    pub time: Duration,
}

/// Measures stages that follow each other.
#[derive(Debug)]
pub(crate) struct Stages {
    times: Vec<StageTime>,
    last: Instant,
}

impl Default for Stages {
    fn default() -> Stages {
        Stages { times: Vec::new(), last: Instant::now() }
    }
}

impl Stages {
    /// A stage has ended, and the next one begins.
    pub(crate) fn lap(&mut self, stage: &'static str) {
        let now = Instant::now();
        self.times.push(StageTime { stage, time: now - self.last });
        self.last = now;
    }

    /// The times of all stages so far.
    pub(crate) fn into_times(self) -> Vec<StageTime> {
        self.times
    }
}

/// What a compilation did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The engine: `jit` or `interp`.
    pub engine: &'static str,
    /// The machine that the code is for; empty for the interpreter.
    pub target: String,
    /// Nodes that the outputs and updates need, before optimization.
    pub nodes_before: usize,
    /// Nodes after optimization.
    pub nodes_after: usize,
    /// Calls in a step: compiled kernels, matrix products and routines.
    pub kernels: usize,
    /// Of these, matrix products.
    pub products: usize,
    /// Of these, calls of routines.
    pub routines: usize,
    /// Strips: groups of calls that are done together, piece by piece.
    pub strips: usize,
    /// Different kernels that were compiled; equal ones are compiled once.
    pub distinct_kernels: usize,
    /// Bytes of the arena that holds all intermediate values: the planned peak.
    pub arena_bytes: usize,
    /// The largest sum of the bytes of intermediate values that are needed at one time: no arena of this plan could be smaller.
    pub live_bytes: usize,
    /// About how many bytes a step reads and writes: the buffers of all its calls.
    pub moved_bytes: usize,
    /// Values that are computed again to fit the memory budget.
    pub recomputed: usize,
    /// Bytes of inputs, parameters and constants, which the arena does not hold.
    pub external_bytes: usize,
    /// Bytes of copies of parameters and constants that are packed for matrix products, once for many runs.
    pub packed_bytes: usize,
    /// Bytes of machine code.
    pub code_bytes: usize,
    /// Time by stage, in order.
    pub stages: Vec<StageTime>,
    /// How often each rewrite rule fired, most often first.
    pub rewrites: Vec<(&'static str, usize)>,
}

impl Report {
    /// Time of the whole compilation.
    pub fn total(&self) -> Duration {
        self.stages.iter().map(|s| s.time).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.target.is_empty() { "" } else { " for " };
        writeln!(f, "engine    {}{space}{}", self.engine, self.target)?;
        if self.stages.is_empty() {
            return write!(f, "nodes     {}, run as written", self.nodes_before);
        }
        writeln!(f, "nodes     {} -> {} after optimization", self.nodes_before, self.nodes_after)?;
        if self.kernels > 0 {
            let strips = match self.strips {
                0 => String::new(),
                n => format!("; {n} strips"),
            };
            writeln!(
                f,
                "kernels   {} ({} matrix products, {} routines; {} compiled, {} bytes of code{strips})",
                self.kernels, self.products, self.routines, self.distinct_kernels, self.code_bytes
            )?;
            let recomputed = match self.recomputed {
                0 => String::new(),
                n => format!(" ({n} values computed again)"),
            };
            let packed = match self.packed_bytes {
                0 => String::new(),
                n => format!(" and {n} bytes of packed copies"),
            };
            writeln!(
                f,
                "memory    {} bytes arena, of which {} live at once{recomputed}; {} bytes inputs, parameters and constants{packed}; {} bytes moved in a step",
                self.arena_bytes, self.live_bytes, self.external_bytes, self.moved_bytes
            )?;
        }
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        write!(f, "compiled  in {:.2} ms:", ms(self.total()))?;
        for StageTime { stage, time } in &self.stages {
            write!(f, " {stage} {:.2}", ms(*time))?;
        }
        if !self.rewrites.is_empty() {
            let list: Vec<String> = self.rewrites.iter().map(|(rule, n)| format!("{rule} {n}")).collect();
            write!(f, "\nrewrites  {}", list.join(", "))?;
        }
        Ok(())
    }
}
