//! The driver: from a program to an executable, one stage after the other.
//!
//! ```text
//!   Program { graph, initial values }
//!     | optimize     opt::optimize       the same results from fewer and stabler nodes
//!     | plan         plan::plan          kernels, their order, the places of all values
//!     | codegen      codegen, jit        machine code
//!   Executable
//! ```

use crate::build::Program;
use crate::prim::Op;
use crate::runtime::{Backend, Executable, ParamError, Params, Report};

/// What runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Engine {
    /// Native code: optimize, plan, compile.
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
}

impl Options {
    /// Options with this engine.
    pub fn engine(engine: Engine) -> Options {
        Options { engine }
    }
}

/// Why a program cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A parameter's initial or shared value does not fit.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// The code generator failed, or does not serve this machine.
    #[error("code generation: {0}")]
    Codegen(String),
}

impl Program {
    /// Compiles the program, with parameters of its own.
    ///
    /// # Errors
    /// If an initial value is typed unlike its parameter, or code generation fails.
    pub fn compile(&self, options: &Options) -> Result<Executable, CompileError> {
        self.compile_with(options, &Params::new())
    }

    /// Compiles the program to share `params`: those that it names and that are there keep their values, the others are added with their initial values.
    ///
    /// # Errors
    /// If a parameter is typed unlike the one that is there, or code generation fails.
    pub fn compile_with(&self, options: &Options, params: &Params) -> Result<Executable, CompileError> {
        for id in self.graph.ids() {
            if let Op::Param(p) = self.graph.op(id) {
                params.declare(&p.name, &p.ty, self.initial.get(&p.name))?;
            }
        }
        let nodes = self.graph.live().iter().filter(|&&l| l).count();
        let mut report = Report {
            nodes_before: nodes,
            nodes_after: nodes,
            ..Report::default()
        };
        let backend = match options.engine {
            Engine::Interp => {
                report.engine = "interp";
                Backend::Interp
            }
            Engine::Jit => {
                report.engine = "jit";
                return Err(CompileError::Codegen("not there yet".to_owned()));
            }
        };
        Ok(Executable::new(
            self.graph.clone(),
            backend,
            params.clone(),
            self.builder,
            options.clone(),
            report,
        ))
    }
}
