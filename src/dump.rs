//! Every stage of a compilation as text.
//!
//! [`Executable::dump`] makes the text of a stage when it is asked for, by running the stages again, so a compilation pays nothing for it. The
//! environment variable `COTANGENT_DUMP` writes texts of every compilation to files: `COTANGENT_DUMP=plan,clif:some/folder` or
//! `COTANGENT_DUMP=all:some/folder`. The files are called `000-plan.txt`, numbered by compilation.

use std::fmt::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::build::Program;
use crate::compile::{CompileError, Options, plan_within};
use crate::graph::Graph;
use crate::jit;
use crate::opt::{OptOptions, PassRecord, optimize};
use crate::runtime::Executable;

/// A stage of compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The graph as written, gradient nodes with the rule and the forward node that made them.
    Graph,
    /// The graph as written, as a Graphviz drawing.
    Dot,
    /// What each pass of the optimizer did, with the graph after it.
    Passes,
    /// The optimized graph.
    Optimized,
    /// The optimized graph as formulas over the inputs and parameters.
    Math,
    /// The same formulas in LaTeX.
    Latex,
    /// How gradients came about: forward nodes, what their VJP rules added, rewrites, and the formulas that are left.
    Derivation,
    /// Kernels, their order and the places of all values.
    Plan,
    /// Cranelift's intermediate form of all functions.
    Clif,
    /// Machine code of all functions.
    Assembly,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Stage; 10] = [
        Stage::Graph,
        Stage::Dot,
        Stage::Passes,
        Stage::Optimized,
        Stage::Math,
        Stage::Latex,
        Stage::Derivation,
        Stage::Plan,
        Stage::Clif,
        Stage::Assembly,
    ];

    /// The name in `COTANGENT_DUMP`.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Graph => "graph",
            Stage::Dot => "dot",
            Stage::Passes => "passes",
            Stage::Optimized => "optimized",
            Stage::Math => "math",
            Stage::Latex => "latex",
            Stage::Derivation => "derivation",
            Stage::Plan => "plan",
            Stage::Clif => "clif",
            Stage::Assembly => "asm",
        }
    }
}

/// A name that no stage has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a stage; there are graph, dot, passes, optimized, math, latex, derivation, plan, clif, asm")]
pub struct UnknownStage(String);

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(s: &str) -> Result<Stage, UnknownStage> {
        Stage::ALL.into_iter().find(|stage| stage.name() == s).ok_or_else(|| UnknownStage(s.to_owned()))
    }
}

/// The text of a stage.
fn text(graph: &Graph, options: &Options, stage: Stage) -> Result<String, CompileError> {
    let optimized = |on_pass: Option<&dyn Fn(&PassRecord<'_>)>| {
        optimize(graph, &OptOptions { level: options.level, on_pass, ..OptOptions::default() }).graph
    };
    let planned = |mut graph: Graph| plan_within(&mut graph, options, &mut 0);
    Ok(match stage {
        Stage::Graph => graph.to_string(),
        Stage::Dot => graph.graphviz().to_string(),
        Stage::Passes => {
            let passes = Mutex::new(String::new());
            optimized(Some(&|record: &PassRecord<'_>| {
                let mut passes = passes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let pass = record.pass;
                let _ = writeln!(passes, "; pass {}: {} -> {} nodes", pass.name, pass.nodes_before, pass.nodes_after);
                for (rule, n) in &pass.fired {
                    let _ = writeln!(passes, ";   {rule} {n}");
                }
                let _ = writeln!(passes, "{}", record.after);
            }));
            passes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
        Stage::Optimized => optimized(None).to_string(),
        Stage::Math => optimized(None).to_math().to_string(),
        Stage::Latex => optimized(None).to_math().latex().to_string(),
        Stage::Derivation => graph.derivation().to_string(),
        Stage::Plan => planned(optimized(None))?.to_string(),
        Stage::Clif => jit::clif_text(&planned(optimized(None))?)?,
        Stage::Assembly => jit::assembly_text(&planned(optimized(None))?)?,
    })
}

impl Program {
    /// The text of a stage of this program's compilation, whatever engine is to run it. No memory is taken for a run.
    ///
    /// # Errors
    /// If code generation fails.
    pub fn dump(&self, options: &Options, stage: Stage) -> Result<String, CompileError> {
        text(&self.graph, options, stage)
    }
}

impl Executable {
    /// The text of a stage of this program's compilation, whatever engine runs it.
    ///
    /// # Errors
    /// If code generation fails.
    pub fn dump(&self, stage: Stage) -> Result<String, CompileError> {
        text(self.graph(), self.options(), stage)
    }
}

/// Writes the texts that `COTANGENT_DUMP` asks for.
pub(crate) fn by_environment(graph: &Graph, options: &Options) -> Result<(), CompileError> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let Some(request) = std::env::var("COTANGENT_DUMP").ok().filter(|r| !r.is_empty()) else { return Ok(()) };
    let (stages, folder) = parse_request(&request)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let failed = |path: &PathBuf, e: std::io::Error| CompileError::Dump(format!("{}: {e}", path.display()));
    std::fs::create_dir_all(&folder).map_err(|e| failed(&folder, e))?;
    for stage in stages {
        let path = folder.join(format!("{number:03}-{}.txt", stage.name()));
        std::fs::write(&path, text(graph, options, stage)?).map_err(|e| failed(&path, e))?;
    }
    Ok(())
}

/// The stages and the folder that a value of `COTANGENT_DUMP` names.
fn parse_request(request: &str) -> Result<(Vec<Stage>, PathBuf), CompileError> {
    let wrong = |what: String| CompileError::Dump(format!("COTANGENT_DUMP is `{request}`: {what}"));
    let (stages, folder) = request.split_once(':').ok_or_else(|| wrong("expected `stages:folder`".to_owned()))?;
    if folder.is_empty() {
        return Err(wrong("the folder is missing".to_owned()));
    }
    let stages = match stages {
        "all" => Stage::ALL.to_vec(),
        list => list
            .split(',')
            .map(|s| s.trim().parse())
            .collect::<Result<_, UnknownStage>>()
            .map_err(|e| wrong(e.to_string()))?,
    };
    Ok((stages, folder.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_name_stages_and_a_folder() {
        assert_eq!(parse_request("plan, clif:a/b").unwrap(), (vec![Stage::Plan, Stage::Clif], "a/b".into()));
        assert_eq!(parse_request("all:x").unwrap().0, Stage::ALL);
        for (request, why) in
            [("plan", "stages:folder"), ("plan:", "folder is missing"), ("plam:x", "`plam` is not a stage")]
        {
            let error = parse_request(request).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(request), "{error}");
        }
    }
}
