//! Errors, and the exit status of each.
//!
//! | status | whose fault | decided by |
//! |---|---|---|
//! | 2 | who asked: names that are not there, what is needed and not given, words that contradict each other | `is_usage` of the library's errors, [`Failure::usage`] for words that only the program knows |
//! | 3 | nobody's: the model uses what is not supported | `is_unsupported` of the library's errors |
//! | 1 | a file's, or anything else's | what is left |
//!
//! Conversions of errors decide; what a command adds to the text of one, by [`Failure::of`] and [`Failure::hint`], leaves the status as it is.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use cotangent::io::FileError;
use cotangent::io::model::{LearnError, LoadError, ModelError, OpenExtents};
use cotangent::train::TrainError;

use crate::args::Args;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Words that contradict each other, or the model: status 2, as where the parser of arguments refuses them.
    Usage(String),
    /// The model uses an operator, attribute or type that is not supported: status 3.
    Unsupported(String),
    /// Whoever reads the output went away: nothing is left to do, and nobody to tell.
    NobodyReads,
    /// Anything else: status 1.
    Other(String),
}

impl Failure {
    pub(crate) fn new(text: impl Display) -> Failure {
        Failure::Other(text.to_string())
    }

    pub(crate) fn usage(text: impl Display) -> Failure {
        Failure::Usage(text.to_string())
    }

    /// The same failure of what a flag names.
    pub(crate) fn of(self, flag: &str) -> Failure {
        self.map(|text| format!("{flag} {text}"))
    }

    /// The same failure with a way out.
    pub(crate) fn hint(self, hint: impl Display) -> Failure {
        self.map(|text| format!("{text}; {hint}"))
    }

    fn map(self, f: impl FnOnce(String) -> String) -> Failure {
        match self {
            Failure::Usage(text) => Failure::Usage(f(text)),
            Failure::Unsupported(text) => Failure::Unsupported(f(text)),
            Failure::Other(text) => Failure::Other(f(text)),
            Failure::NobodyReads => Failure::NobodyReads,
        }
    }

    /// Tells what failed on the standard error. `command` is the word that asked for it.
    pub(crate) fn report(&self, command: &str) -> ExitCode {
        let (text, status) = match self {
            Failure::Usage(text) => {
                let mut args = Args::command();
                args.build();
                let command = args.find_subcommand_mut(command).expect("every command is one of the parser's");
                let _ = command.error(clap::error::ErrorKind::ArgumentConflict, text).print();
                return ExitCode::from(2);
            }
            Failure::Unsupported(text) => (text, 3),
            Failure::Other(text) => (text, 1),
            Failure::NobodyReads => return ExitCode::SUCCESS,
        };
        let mut err = std::io::stderr();
        let bold = err.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let error = if bold { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
        let _ = writeln!(err, "{error} {text}");
        ExitCode::from(status)
    }
}

/// How the command line tells extents.
pub(crate) fn extents_hint(open: &OpenExtents) -> String {
    let words: Vec<String> = open.symbols.iter().map(|symbol| format!("--dim {symbol}=EXTENT")).collect();
    match words.is_empty() {
        true => "give arrays by --input NAME=FILE".to_owned(),
        false => format!("give {}, or arrays by --input NAME=FILE", words.join(" ")),
    }
}

/// What a run says that lacks inputs: only arrays can help it.
pub(crate) fn of_run(error: LoadError) -> Failure {
    match error {
        LoadError::Open { file, inputs, .. } if !inputs.is_empty() => {
            let plural = if inputs.len() == 1 { "" } else { "s" };
            Failure::usage(format_args!(
                "{file}: missing input{plural}: {}; give arrays by --input NAME=FILE",
                inputs.join(", ")
            ))
        }
        error => error.into(),
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        match &error {
            error if error.is_unsupported() => Failure::Unsupported(error.to_string()),
            LoadError::Open { open, .. } => Failure::usage(format_args!("{error}; {}", extents_hint(open))),
            error if error.is_usage() => Failure::usage(error),
            error => Failure::new(error),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Failure {
        if error.is_usage() { Failure::usage(error) } else { Failure::new(error) }
    }
}

impl From<LearnError> for Failure {
    fn from(error: LearnError) -> Failure {
        match error {
            LearnError::Load(error) => error.into(),
            LearnError::Model(error) => (*error).into(),
            error if error.is_usage() => Failure::usage(error),
            error => Failure::new(error),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        if error.is_usage() { Failure::usage(error) } else { Failure::new(error) }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Failure {
        match error {
            TrainError::CheckpointFile(error) => error.into(),
            error => Failure::new(error),
        }
    }
}

impl From<std::io::Error> for Failure {
    /// An error of the standard output.
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            ErrorKind::BrokenPipe => Failure::NobodyReads,
            _ => Failure::new(format_args!("cannot write to the standard output: {error}")),
        }
    }
}
