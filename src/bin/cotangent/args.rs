//! What the command line may say.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{ArgGroup, Args as Group, Parser, Subcommand, ValueEnum, ValueHint};
use cotangent::Engine as Runs;
use cotangent::io::model::LossKind;

/// Runs, differentiates, trains and inspects models on the CPU.
#[derive(Parser, Debug)]
#[command(name = "cotangent", version, arg_required_else_help = true, max_term_width = 100, after_help = STATUS)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const STATUS: &str = "\
MODEL is an ONNX file or a graph in Cotangent's text form; the content tells which. The grammar of the text form is in the documentation of the library's \
module `graph::parse`.

FILE is npy, npz, safetensors, CSV or IDX; FILE:NAME is one array of an archive, FILE:COLUMN,COLUMN are columns of a table. Arrays must have the element types \
that the model declares, but for numbers of tables, which are converted: floats are rounded to shorter ones, what is no integer is refused for integers. \
Of the types of ONNX, int8, int16, uint16 and uint64 are among those; where a model has them, files are read and written with exactly these.

Exit status:
  0  done
  1  any failure that is not one of the others
  2  wrong usage, such as names that the model does not have, or missing inputs
  3  the model uses operators, attributes or types that are not supported

Examples:
  cotangent info mlp.onnx
  cotangent run mlp.onnx --input x=x.npy --output-dir results
  cotangent grad mlp.onnx --loss loss --wrt fc1.weight --input x=x.npy";

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Computes the outputs of a model.
    #[command(after_help = RUN)]
    Run(RunArgs),
    /// Computes gradients of an output, and the outputs.
    #[command(after_help = GRAD)]
    Grad(GradArgs),
    /// Trains a model on arrays.
    #[command(after_help = TRAIN)]
    Train(Box<TrainArgs>),
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

impl Command {
    /// The word that asks for it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Command::Run(_) => "run",
            Command::Grad(_) => "grad",
            Command::Train(_) => "train",
            Command::Info(_) => "info",
            Command::Dump(_) => "dump",
            Command::Bench(_) => "bench",
            Command::Check(_) => "check",
            Command::Completions { .. } => "completions",
        }
    }
}

const RUN: &str = "\
Writes every output as DIR/NAME.npy, with its element type and shape; a scalar is an array without axes. In file names `/`, `\\` and control characters of \
NAME become `_`; if that makes two names one, the later gets _2 behind it. The files are listed on the standard output, a line each: name, type and path, with \
tabs between.

Examples:
  cotangent run mlp.onnx --input x=x.npy --output-dir results
  cotangent run mlp.onnx --input x=batch.npz:images --engine interp
  cotangent run graph.cot --params weights.safetensors --inputs x.npy";

const GRAD: &str = "\
Writes d LOSS / d NAME as DIR/grad_NAME.npy for each name of --wrt, an input or a parameter (an initializer, in ONNX) of type f32 or f64, and every output as \
DIR/NAME.npy. File names and the list on the standard output are as those of `cotangent run`.

Examples:
  cotangent grad mlp.onnx --loss loss --wrt fc1.weight,fc1.bias \\
    --input x=x.npy --input y=y.npy --output-dir gradients
  cotangent grad mlp.onnx --loss loss --wrt x --input x=x.npy --input y=y.npy";

const INFO: &str = "\
Constants are initializers of an ONNX model that are no floats; they are part of the model, and no --input or --params sets them. What is not supported is \
listed, and the exit status is 3 then. The memory that a run takes is known once all shapes are: bind symbolic extents by --dim, or \
give the inputs. None is taken.

Examples:
  cotangent info mlp.onnx
  cotangent info mlp.onnx --dim batch=64 --format json";

const TRAIN: &str = "\
The first axis of every array of --data counts the examples. Arrays called like inputs of the model are those; for --loss-of there is one more, the target, \
under any other name. Losses: cross_entropy (OUTPUT holds logits; the target numbers of classes, or probabilities), mse, bce (OUTPUT holds probabilities), \
bce_with_logits. Probabilities are from 0 to 1, those of the classes of an example add up to 1. Numbers are converted to the element types that the model \
takes: floats are rounded to shorter floats, f64 to f32 say, and integers to the nearest float; what is no integer, or out of range, is refused where the model \
takes integers. Pixels are not scaled. Rows are counted from 0.

Trained are the floating-point initializers that have axes, but for the statistics of batch normalizations and first states of recurrent layers; the text form \
says trainable or state. --train-only and --freeze choose otherwise, and the run tells its choice first. Batch normalizations in training mode \
(training_mode=1) have their running statistics follow the batches, those in inference mode keep them; the variance of a batch is divided by its count, as ONNX \
says, where PyTorch divides by one less. Dropout in training mode is random in steps, and left out \
where the model is measured and written.

The last batch of an epoch holds what is left. A model that is made for batches of one size is trained with that, and what is left is left out.

Parameters that are trained and do not change in an epoch, while others do, are told once: layers behind which all units of a rectifier are dead learn nothing.

--metrics has a line for each epoch, from 1 on: steps so far, the rate of the last of them, steps a second, and measures.

--checkpoint is written after each epoch. A run that is resumed from it, with the same other words, gives the same bits as one that was not interrupted. Other \
data, another --loss, --loss-of, --optimizer, --batch, --seed or --validate, and another choice of what is trained are refused; another rate, schedule or other \
numbers of the optimizer are told. --metrics goes on behind the epochs that the checkpoint knows.

Examples:
  cotangent train mlp.onnx --loss-of logits=cross_entropy \\
    --data x=x.npy --data y=labels.npy --epochs 20 --output trained.onnx
  cotangent train mlp.onnx --loss loss --data x=x.npy --data y=y.npy \\
    --optimizer adamw --lr 1e-3 --schedule cosine --warmup 100 --batch 64 \\
    --validate 0.1 --early-stop 5 --metrics metrics.csv \\
    --checkpoint run.safetensors --output trained.onnx
  cotangent train graph.cot --params w.safetensors --loss-of y=mse \\
    --data x=table.csv:a,b --data t=table.csv:c --output w.safetensors";

const DUMP: &str = "\
Stages: graph (as loaded), grad (with the gradient of --loss), opt (optimized), plan (kernels, order, memory), clif (Cranelift's form), asm (machine code). \
With --loss, the stages after grad are those of the program with the gradient. Graphs are written in every format, the other stages as text. Kernels for vectors \
of more than 128 bits are machine code without a form of Cranelift's; with COTANGENT_ISA=clif128 in the environment there are none.

Examples:
  cotangent dump mlp.onnx --dim batch=64 --stage opt
  cotangent dump mlp.onnx --dim batch=64 --loss loss --output gradient.svg";

const BENCH: &str = "\
Inputs that are not given are random. The machine's limit is what a large matrix product and a long addition reach here.

Examples:
  cotangent bench mlp.onnx --dim batch=64
  cotangent bench mlp.onnx --dim batch=64 --loss loss --compare-interp";

const CHECK: &str = "\
Compares the plan, its evaluation and native code at every level of the optimizer with the reference interpreter, proves the memory plan, and compares the \
gradient of --loss, or of the only scalar output, with central differences. Inputs that are not given are random, from -1 to 1. A line for each check says \
PASS, FAIL, or SKIP where these inputs give nothing to compare; the exit status is 1 if one fails.

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
    /// Inputs and values of parameters by the names that an npz or safetensors file gives them, others in it are left out; a file of one array without a name, such
    /// as x.npy, is called like itself: x.
    #[arg(long = "inputs", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) archives: Vec<PathBuf>,
    /// Values of parameters by name, from a safetensors or npz file, or a checkpoint of `cotangent train`; other files as for --inputs.
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
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = count)]
    pub(crate) threads: Option<NonZero<usize>>,
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
#[command(group = ArgGroup::new("objective").required(true).args(["loss", "loss_of"]))]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// The output that is to become small, a float scalar that is a mean over the batch.
    #[arg(long, value_name = "OUTPUT")]
    pub(crate) loss: Option<String>,
    /// A loss of an output and the target.
    #[arg(long, value_name = "OUTPUT=LOSS", value_parser = crate::train::loss_of)]
    pub(crate) loss_of: Option<(String, LossKind)>,
    /// An input of the model, or the target: one row for each example.
    #[arg(long, value_name = "NAME=FILE", value_parser = pair, required = true)]
    pub(crate) data: Vec<(String, String)>,
    /// Examples to validate with, named like those of --data.
    #[arg(long, value_name = "NAME=FILE", value_parser = pair, conflicts_with = "validate")]
    pub(crate) validate_data: Vec<(String, String)>,
    /// The share of the examples that is kept to validate with.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = part)]
    pub(crate) validate: Option<f64>,
    /// Trains these parameters only, with commas between; * stands for any characters.
    #[arg(long, value_name = "NAME,NAME")]
    pub(crate) train_only: Vec<String>,
    /// Does not train these parameters, with commas between; * stands for any characters.
    #[arg(long, value_name = "NAME,NAME")]
    pub(crate) freeze: Vec<String>,
    /// The rule of updates.
    #[arg(long, value_enum, default_value_t = Optimizers::Adam)]
    pub(crate) optimizer: Optimizers,
    /// The learning rate, at its highest.
    #[arg(long, value_name = "RATE", default_value_t = 1e-3, allow_negative_numbers = true, value_parser = not_negative)]
    pub(crate) lr: f64,
    /// How the rate goes: cosine and linear fall to 0 at the end, step falls to a tenth after each third.
    #[arg(long, value_enum, default_value_t = Schedules::Constant)]
    pub(crate) schedule: Schedules,
    /// Steps in which the rate rises from 0.
    #[arg(long, value_name = "STEPS", default_value_t = 0, allow_negative_numbers = true, value_parser = whole)]
    pub(crate) warmup: u64,
    /// Momentum of sgd, nesterov (0.9 if it is 0) and rmsprop.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    pub(crate) momentum: f64,
    /// Weight decay of all rules but adam.
    #[arg(long, value_name = "RATE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = not_negative)]
    pub(crate) weight_decay: f64,
    /// Scales gradients down together where their norm is above this.
    #[arg(long, value_name = "NORM", allow_negative_numbers = true, value_parser = positive)]
    pub(crate) clip_norm: Option<f64>,
    /// Examples in a batch [default: 32, or what the model is made for].
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = count)]
    pub(crate) batch: Option<NonZero<usize>>,
    /// Passes over the examples, those of a resumed run included.
    #[arg(long, value_name = "COUNT", default_value_t = 10, allow_negative_numbers = true, value_parser = whole)]
    pub(crate) epochs: u64,
    /// Stops where the loss, on the examples to validate with if there are any, has not become smaller for so many epochs. The parameters are then those of the
    /// best epoch, as they are where all epochs were run.
    #[arg(long, value_name = "EPOCHS", allow_negative_numbers = true, value_parser = count)]
    pub(crate) early_stop: Option<NonZero<usize>>,
    /// Chooses the order of the examples and those to validate with.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true, value_parser = whole)]
    pub(crate) seed: u64,
    /// The file for the state of the run, as safetensors.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) checkpoint: Option<PathBuf>,
    /// A checkpoint to go on from.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) resume: Option<PathBuf>,
    /// The file for measures of each epoch, as CSV.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) metrics: Option<PathBuf>,
    /// The file for the trained model, as ONNX; of a graph in the text form, its parameters as safetensors.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Optimizers {
    Sgd,
    Nesterov,
    Adam,
    Adamw,
    Rmsprop,
    Adagrad,
    Lion,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Schedules {
    Constant,
    Cosine,
    Linear,
    Step,
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
    /// Which stage [default: grad with --loss, else graph].
    #[arg(long, value_enum)]
    pub(crate) stage: Option<DumpStage>,
    /// How to write it [default: as the extension of --output says, else text].
    #[arg(long, value_enum)]
    pub(crate) format: Option<DumpFormat>,
    /// The file to write to, in place of the standard output.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
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
    #[arg(long, value_name = "SECONDS", default_value = "1", allow_negative_numbers = true, value_parser = seconds)]
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

/// A number from 1 on.
fn count(text: &str) -> Result<NonZero<usize>, String> {
    whole(text)
        .ok()
        .and_then(|n| NonZero::new(usize::try_from(n).ok()?))
        .ok_or_else(|| format!("`{text}` is not a whole number from 1 on"))
}

/// A number from 0 on.
fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number from 0 on"))
}

/// A time in seconds.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse().ok().and_then(|s| std::time::Duration::try_from_secs_f64(s).ok());
    seconds.ok_or_else(|| format!("`{text}` is not a time in seconds"))
}

/// A share, from 0 and below 1.
fn share(text: &str) -> Result<f64, String> {
    number(text, |v| (0.0..1.0).contains(&v), "a share, from 0 on and below 1")
}

/// A share above 0 and below 1.
fn part(text: &str) -> Result<f64, String> {
    number(text, |v| 0.0 < v && v < 1.0, "a share above 0 and below 1; without the flag, none is kept")
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |v| v >= 0.0, "a finite number from 0 on")
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, |v| v > 0.0, "a finite number above 0")
}

fn number(text: &str, fits: impl Fn(f64) -> bool, what: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|v| v.is_finite() && fits(*v));
    number.ok_or_else(|| format!("`{text}` is not {what}"))
}
