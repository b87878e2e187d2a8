//! What the command line may say.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum, ValueHint};
use cotangent::Engine as Runs;

/// Runs, differentiates, trains and inspects models on the CPU.
#[derive(Parser, Debug)]
#[command(name = "cotangent", version, arg_required_else_help = true, max_term_width = 100, after_help = STATUS)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const STATUS: &str = "\
MODEL is an ONNX file or a graph in Cotangent's text form; the content tells which.
FILE is npy, npz, safetensors, CSV or IDX; FILE:NAME is one array of an archive, FILE:COLUMN,COLUMN are columns of a table.

Exit status:
  0  done
  1  any failure that is not one of the others
  2  wrong usage
  3  the model uses an operator, attribute or type that is not supported; all of them are listed

Examples:
  cotangent info mlp.onnx
  cotangent run mlp.onnx --input x=x.npy --output-dir results
  cotangent grad mlp.onnx --loss loss --wrt fc1.weight --input x=x.npy --output-dir gradients";

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Computes the outputs of a model.
    #[command(after_help = RUN)]
    Run(RunArgs),
    /// Computes gradients of an output, and the outputs.
    #[command(after_help = GRAD)]
    Grad(GradArgs),
    /// Tells inputs, outputs, parameters, operations and memory of a model.
    #[command(after_help = INFO)]
    Info(InfoArgs),
    /// Writes what the compiler makes of a model, stage by stage.
    #[command(after_help = DUMP)]
    Dump(DumpArgs),
    /// Measures how long a run takes, and how near that is to what the machine can do.
    #[command(after_help = BENCH)]
    Bench(BenchArgs),
    /// Checks that all ways to run a model agree and that its gradient is one.
    #[command(after_help = CHECK)]
    Check(CheckArgs),
    /// Writes a script that completes words of the command line.
    #[command(
        after_help = "Example:\n  cotangent completions bash > ~/.local/share/bash-completion/completions/cotangent"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const RUN: &str = "\
Writes every output as DIR/NAME.npy, with its element type and shape; a scalar is an array without axes. In file names `/`, `\\` and control
characters of NAME become `_`; if that makes two names one, the later gets _2 behind it. The files are listed on the standard output, a line each:
name, type and path, with tabs between.

Examples:
  cotangent run mlp.onnx --input x=x.npy --output-dir results
  cotangent run mlp.onnx --dim batch=32 --input x=batch.npz:images --output-dir results --engine interp
  cotangent run graph.cot --params weights.safetensors --input x=x.npy";

const GRAD: &str = "\
Writes d LOSS / d NAME as DIR/grad_NAME.npy for each name of --wrt, an input or a parameter (an initializer, in ONNX) of type f32 or f64, and every
output as DIR/NAME.npy. File names and the list on the standard output are as those of `cotangent run`.

Examples:
  cotangent grad mlp.onnx --loss loss --wrt fc1.weight,fc1.bias --input x=x.npy --input y=y.npy --output-dir gradients
  cotangent grad mlp.onnx --loss loss --wrt x --input x=x.npy --input y=y.npy";

const INFO: &str = "\
What is not supported is listed, and the exit status is 3 then. The memory that a run takes is known once all shapes are: bind symbolic extents by
--dim, or give the inputs.

Examples:
  cotangent info mlp.onnx
  cotangent info mlp.onnx --dim batch=64 --format json";

const DUMP: &str = "\
Stages: graph (as loaded), grad (with the gradient of --loss), opt (optimized), plan (kernels, order, memory), clif (Cranelift's form), asm (machine
code). With --loss, the stages after grad are those of the program with the gradient. Graphs are written in every format, the other stages as text.

Examples:
  cotangent dump mlp.onnx --stage opt
  cotangent dump mlp.onnx --stage grad --loss loss --format svg > gradient.svg";

const BENCH: &str = "\
Inputs that are not given are random. The machine's limit is what a large matrix product and a long addition reach here.

Examples:
  cotangent bench mlp.onnx --dim batch=64
  cotangent bench mlp.onnx --dim batch=64 --loss loss --compare-interp";

const CHECK: &str = "\
Compares the plan, its evaluation and native code at every level of the optimizer with the reference interpreter, proves the memory plan, and compares the
gradient of --loss, or of the only scalar output, with central differences. Inputs that are not given are random. A line for each check says PASS or
FAIL; the exit status is 1 if one fails.

Example:
  cotangent check mlp.onnx --dim batch=4 --loss loss";

/// The model, and what is given to it.
#[derive(Group, Debug)]
pub(crate) struct ModelArgs {
    /// An ONNX file or a graph in the text form.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) model: PathBuf,
    /// An input, or a new value of a parameter.
    #[arg(long = "input", short, value_name = "NAME=FILE", value_parser = pair)]
    pub(crate) inputs: Vec<(String, String)>,
    /// Inputs and values of parameters by the names that an npz or safetensors file gives them.
    #[arg(long = "inputs", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) archives: Vec<PathBuf>,
    /// Values of parameters by name, from a safetensors or npz file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) params: Vec<PathBuf>,
    /// The extent that a symbolic one of an ONNX model stands for.
    #[arg(long = "dim", value_name = "NAME=EXTENT", value_parser = extent)]
    pub(crate) dims: Vec<(String, usize)>,
}

/// How to compile.
#[derive(Group, Debug)]
pub(crate) struct EngineArgs {
    /// What runs the model: native code, or the reference interpreter.
    #[arg(long, value_enum, default_value_t = Engine::Jit)]
    pub(crate) engine: Engine,
    /// How many threads native code may use [default: as many as there are processors]. Results do not depend on it.
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<std::num::NonZero<usize>>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Engine {
    Jit,
    Interp,
}

impl From<Engine> for Runs {
    fn from(engine: Engine) -> Runs {
        match engine {
            Engine::Jit => Runs::Jit,
            Engine::Interp => Runs::Interp,
        }
    }
}

#[derive(Group, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// The folder to write to; it is made if it is not there. Without it, results are printed.
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output_dir: Option<PathBuf>,
}

#[derive(Group, Debug)]
pub(crate) struct GradArgs {
    /// The output to differentiate, a float scalar.
    #[arg(long, value_name = "OUTPUT")]
    pub(crate) loss: String,
    /// The inputs and parameters to differentiate by, with commas between.
    #[arg(long, value_name = "NAME,NAME", required = true)]
    pub(crate) wrt: Vec<String>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Group, Debug)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t = InfoFormat::Text)]
    pub(crate) format: InfoFormat,
}

/// An output to differentiate.
#[derive(Group, Debug)]
pub(crate) struct LossArgs {
    /// Includes the gradient of this output, a float scalar.
    #[arg(long, value_name = "OUTPUT")]
    pub(crate) loss: Option<String>,
    /// The inputs and parameters to differentiate by, with commas between [default: all parameters, or without any, all inputs, of a float type].
    #[arg(long, value_name = "NAME,NAME", requires = "loss")]
    pub(crate) wrt: Vec<String>,
}

#[derive(Group, Debug)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
    /// Which stage.
    #[arg(long, value_enum, default_value_t = DumpStage::Graph)]
    pub(crate) stage: DumpStage,
    /// How to write it.
    #[arg(long, value_enum, default_value_t = DumpFormat::Text)]
    pub(crate) format: DumpFormat,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum DumpStage {
    Graph,
    Grad,
    Opt,
    Plan,
    Clif,
    Asm,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum DumpFormat {
    Text,
    /// Formulas over the inputs and parameters.
    Math,
    /// The same in LaTeX.
    Latex,
    Dot,
    Svg,
    Json,
}

#[derive(Group, Debug)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
    /// How long to measure.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) time: std::time::Duration,
    /// Measures the reference interpreter too.
    #[arg(long)]
    pub(crate) compare_interp: bool,
}

#[derive(Group, Debug)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The output to differentiate, a float scalar [default: the only one].
    #[arg(long, value_name = "OUTPUT")]
    pub(crate) loss: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum InfoFormat {
    Text,
    Json,
}

/// `NAME=VALUE`, split at the first sign of equality.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=FILE".to_owned()),
    }
}

/// `NAME=EXTENT`.
fn extent(text: &str) -> Result<(String, usize), String> {
    let (name, extent) = text.split_once('=').ok_or("expected NAME=EXTENT")?;
    let extent = extent.parse().map_err(|_| format!("`{extent}` is not an extent, a whole number from 0 on"))?;
    Ok((name.to_owned(), extent))
}

/// A time in seconds.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse().ok().and_then(|s| std::time::Duration::try_from_secs_f64(s).ok());
    seconds.ok_or_else(|| format!("`{text}` is not a time in seconds"))
}
