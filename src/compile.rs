//! The driver: from a program to an executable, one stage after the other.
//!
//! ```text
//!   Program { graph, initial values }
//!     | optimize     opt::optimize       the same results from fewer and stabler nodes
//!     | plan         plan::plan          kernels, their order, the places of all values
//!     | setup        jit                 the module and its memory
//!     | build        codegen             wide kernels, and the others and the step in Cranelift's form
//!     | compile      codegen             their machine code
//!     | link         jit                 addresses
//!     | memory       jit, runtime        the arena, parameters
//!   Executable
//! ```

use std::num::NonZero;

use rustc_hash::FxHashSet;

use crate::build::Program;
use crate::codegen;
use crate::dump;
use crate::graph::{Graph, NodeId};
use crate::jit::{self, Compiled};
use crate::opt::{Level, OptOptions, Optimized, optimize};
use crate::plan::strip::Strips;
use crate::plan::{self, Action, Place};
use crate::prim::Op;
use crate::runtime::room::{self, Needs};
use crate::runtime::{Backend, Declaration, Executable, ParamError, Params, Report, Shortage, Stages, inputs_of};

/// What runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Engine {
    /// Native code: optimize, plan, compile. Kernels use the widest vectors that the machine has, unless `COTANGENT_ISA` names others: `clif128`, `avx2` or
    /// `avx512`. It is an error to name what the machine has not got.
    #[default]
    Jit,
    /// The reference interpreter on the graph as written.
    Interp,
}

/// How to compile.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What runs the program.
    pub engine: Engine,
    /// Which rewrites the optimizer may make.
    pub level: Level,
    /// The most bytes that the arena of intermediate values may take. Where a plan needs more, values that wait long for their last use are computed
    /// again instead of kept: elementwise chains first, matrix products last. Results stay the same up to rounding. Factors of
    /// products are packed in each run then, as copies of them would take more. Of no effect on the interpreter.
    pub memory_budget: Option<usize>,
    /// How many threads a run may use, the caller's included. If it is not given, `COTANGENT_THREADS` tells, or else the processors that this process may
    /// use, of which affinity and control groups are a part. Results do not depend on it. The interpreter uses one.
    pub threads: Option<NonZero<usize>>,
}

impl Options {
    /// Options with this engine.
    pub fn engine(engine: Engine) -> Options {
        Options { engine, ..Options::default() }
    }
}

/// Why a program cannot be compiled.
#[derive(thiserror::Error)]
pub enum CompileError {
    /// The program computes nothing.
    #[error(
        "the program has neither outputs nor updates, so a run would compute nothing; results are named by `program(&[(\"name\", tensor)])`"
    )]
    Nothing,
    /// A parameter's initial or shared value does not fit.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A dump could not be written, or `COTANGENT_DUMP` cannot be read.
    #[error("dump: {0}")]
    Dump(String),
    /// No plan fits the memory budget.
    #[error(transparent)]
    Memory(#[from] plan::OverBudget),
    /// A run needs more memory than there is.
    #[error(transparent)]
    Room(#[from] Shortage),
    /// `COTANGENT_THREADS` is not a number of threads.
    #[error("COTANGENT_THREADS is `{0}`, not a number of threads from 1 on")]
    Threads(String),
    /// The code generator failed, or does not serve this machine.
    #[error("code generation: {0}")]
    Codegen(String),
}

crate::error::debug_as_display!(CompileError);

impl Program {
    /// Compiles the program, with parameters of its own. A program without outputs is one whose runs only update parameters.
    ///
    /// # Errors
    /// If there are neither outputs nor updates, an initial value is typed unlike its parameter, a run needs more memory than the machine has, or code generation fails.
    pub fn compile(&self, options: &Options) -> Result<Executable, CompileError> {
        self.compile_with(options, &Params::new())
    }

    /// Compiles the program to share `params`: those that its results and updates need and that are there keep their values, the others are added with
    /// their initial values.
    ///
    /// # Errors
    /// If there are neither outputs nor updates, a parameter is typed unlike the one that is there, a run needs more memory than the machine has, or code generation fails. Nothing is added to
    /// `params` then.
    pub fn compile_with(&self, options: &Options, params: &Params) -> Result<Executable, CompileError> {
        self.clone().into_executable(options, params)
    }

    /// [`Program::compile_with`] of a program that is not needed any more: an executable keeps the graph.
    pub(crate) fn into_executable(self, options: &Options, params: &Params) -> Result<Executable, CompileError> {
        self.expect_results()?;
        let declared = self.declarations();
        params.check(&declared)?;
        dump::by_environment(&self.graph, options)?;
        let inputs = inputs_of(&self.graph);
        let mut report = Report::default();
        let mut stages = Stages::default();
        let backend = match options.engine {
            Engine::Interp => {
                let nodes = count_live(&self.graph);
                (report.engine, report.nodes_before, report.nodes_after) = ("interp", nodes, nodes);
                self.needs(params, &declared).expect_room()?;
                room::expect_interpretable(&self.graph)?;
                Backend::Interp
            }
            Engine::Jit => {
                let (optimized, mut plan) = self.planned(options, &mut report, &mut stages)?;
                let beside = self.needs(params, &declared);
                let has_room = |plan: &plan::Plan| {
                    let mut needs = beside.clone();
                    needs.add(plan.arena_bytes, || arena_name(&optimized.graph, plan));
                    needs.add(plan.packed_bytes(), || "the packed copies of factors of products".to_owned());
                    needs.expect_room()
                };
                if plan.packed_bytes() > 0 && has_room(&plan).is_err() {
                    plan = plan::plan_with(&optimized.graph, Strips::WherePaid);
                }
                has_room(&plan)?;
                let (settings, threads) = (jit::settings_by_environment()?, threads(options)?);
                let compiled = Compiled::new(plan, inputs.iter().map(|i| &i.name), settings, threads, &mut stages)?;
                fill(&mut report, &self.graph, &optimized, (compiled.plan(), compiled.code_bytes()));
                Backend::Jit(Box::new(compiled))
            }
        };
        params.declare(&declared)?;
        if options.engine == Engine::Jit {
            stages.lap("memory");
        }
        report.stages = stages.into_times();
        Ok(Executable::new(self.graph, inputs, backend, params.clone(), self.builder, options.clone(), report))
    }

    /// What the report of a compilation by the JIT would say, its memory included. No memory is taken for a run, so it tells of programs that are too large
    /// for this machine too.
    ///
    /// # Errors
    /// If code generation fails.
    pub fn report(&self, options: &Options) -> Result<Report, CompileError> {
        let (mut report, mut stages) = (Report::default(), Stages::default());
        let (optimized, plan) = self.planned(options, &mut report, &mut stages)?;
        let (settings, threads) = (jit::settings_by_environment()?, threads(options)?);
        let code_bytes = jit::code_bytes(&plan, settings, threads, &mut stages)?;
        fill(&mut report, &self.graph, &optimized, (&plan, code_bytes));
        report.stages = stages.into_times();
        Ok(report)
    }

    /// Checks that a run would compute something. A step may have updates alone.
    fn expect_results(&self) -> Result<(), CompileError> {
        let nothing = self.graph.outputs().is_empty() && self.graph.updates().is_empty();
        if nothing { Err(CompileError::Nothing) } else { Ok(()) }
    }

    /// The optimized graph and its plan.
    fn planned(
        &self,
        options: &Options,
        report: &mut Report,
        stages: &mut Stages,
    ) -> Result<(Optimized, plan::Plan), CompileError> {
        let mut optimized = optimize(&self.graph, &OptOptions { level: options.level, ..OptOptions::default() });
        stages.lap("optimize");
        let plan = plan_within(&mut optimized.graph, options, &mut report.recomputed)?;
        stages.lap("plan");
        if cfg!(debug_assertions)
            && let Err(faults) = plan::check::check(&plan)
        {
            let faults: Vec<String> = faults.iter().map(|f| f.to_string()).collect();
            panic!("the planner made a plan that the checker refuses: {}", faults.join("; "));
        }
        Ok((optimized, plan))
    }

    /// The memory of results and of parameters that are not there yet.
    fn needs(&self, params: &Params, declared: &[Declaration<'_>]) -> Needs {
        let mut needs = Needs::default();
        for output in self.graph.outputs() {
            let ty = self.graph.ty(output.node);
            needs.add(ty.bytes(), || format!("output `{}` : {ty}", output.name));
        }
        for param in declared.iter().filter(|param| params.ty(param.name).is_err()) {
            needs.add(param.ty.bytes(), || format!("parameter `{}` : {}", param.name, param.ty));
        }
        needs
    }
}

/// The arena for people: with the largest of its values, as far as the optimized graph knows them.
fn arena_name(graph: &Graph, plan: &plan::Plan) -> String {
    let in_arena = plan.buffers.iter().filter(|b| matches!(b.place, Place::Arena(_)));
    let largest = in_arena.map(plan::Buffer::bytes).max().unwrap_or(0);
    let live = graph.live();
    let is_it =
        |&id: &NodeId| live[id.index()] && graph.op(id).leaf_name().is_none() && graph.ty(id).bytes() == largest;
    match graph.ids().find(is_it) {
        Some(id) => format!("the arena of intermediate values such as {}", room::named(graph, id)),
        None => "the arena of intermediate values".to_owned(),
    }
}

/// Plans a run in the arena that the options allow. The graph is rewritten if it must; `recomputed` says how many values are computed again then.
pub(crate) fn plan_within(
    graph: &mut Graph,
    options: &Options,
    recomputed: &mut usize,
) -> Result<plan::Plan, CompileError> {
    room::expect_addressable(graph)?;
    let Some(budget) = options.memory_budget else {
        return Ok(plan::plan(graph));
    };
    let fitted = plan::fit(graph, budget)?;
    *recomputed = fitted.recomputed;
    if let Some(rewritten) = fitted.graph {
        *graph = rewritten;
    }
    Ok(fitted.plan)
}

impl Program {
    /// The parameters that outputs and updates need. The graph may hold others, those of other programs of the builder.
    fn declarations(&self) -> Vec<Declaration<'_>> {
        let live = self.graph.live();
        let needed = self.graph.ids().filter(|id| live[id.index()]);
        let params = needed.filter_map(|id| match self.graph.op(id) {
            Op::Param(p) => {
                Some(Declaration { name: &p.name, ty: &p.ty, initial: self.initial.get(&p.name).map(|a| &**a) })
            }
            _ => None,
        });
        params.collect()
    }
}

/// How many threads a run may use.
fn threads(options: &Options) -> Result<usize, CompileError> {
    if let Some(threads) = options.threads {
        return Ok(threads.get());
    }
    match std::env::var("COTANGENT_THREADS") {
        Ok(text) if !text.is_empty() => {
            let threads = text.trim().parse::<NonZero<usize>>();
            threads.map(NonZero::get).map_err(|_| CompileError::Threads(text))
        }
        _ => Ok(std::thread::available_parallelism().map_or(1, NonZero::get)),
    }
}

fn count_live(graph: &Graph) -> usize {
    graph.live().iter().filter(|&&l| l).count()
}

/// Tells what the compilation did.
fn fill(report: &mut Report, source: &Graph, optimized: &Optimized, (plan, code_bytes): (&plan::Plan, usize)) {
    report.engine = "jit";
    report.target = target_lexicon::Triple::host().to_string();
    report.nodes_before = count_live(source);
    report.nodes_after = count_live(&optimized.graph);
    let plans = plan.all();
    let steps = || plans.iter().flat_map(|p| &p.steps);
    report.kernels = steps().count();
    report.strips = plans.iter().map(|p| p.strips.len()).sum();
    report.products = steps().filter(|s| matches!(s.action, Action::Product(_))).count();
    report.routines = plan.routine_calls().len();
    report.distinct_kernels = plans.iter().flat_map(|p| &p.kernels).collect::<FxHashSet<_>>().len();
    report.arena_bytes = plan.arena_bytes;
    report.live_bytes = plan.live_bytes;
    report.moved_bytes = plan.moved_bytes();
    let mut places: Vec<_> = plan.buffers.iter().filter(|b| !matches!(b.place, Place::Arena(_))).collect();
    places.sort_by_key(|b| codegen::table_index(plan, b.place));
    places.dedup_by_key(|b| b.place);
    report.packed_bytes = plan.packed_bytes();
    report.external_bytes = places.iter().map(|b| b.bytes()).sum();
    report.code_bytes = code_bytes;
    report.rewrites = optimized.report.fired_rules();
}
