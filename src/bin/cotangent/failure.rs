//! Errors, and the exit status of each.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use cotangent::io::FileError;
use cotangent::io::model::{LearnError, LoadError, ModelError};

/// Why a command failed. Wrong usage is told before, by the parser of arguments, with status 2.
#[derive(Debug)]
pub(crate) enum Failure {
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

    /// Tells what failed on the standard error.
    pub(crate) fn report(&self) -> ExitCode {
        let (text, status) = match self {
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

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        if error.is_unsupported() { Failure::Unsupported(error.to_string()) } else { Failure::new(error) }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Failure {
        Failure::new(error)
    }
}

impl From<LearnError> for Failure {
    fn from(error: LearnError) -> Failure {
        match error {
            LearnError::Load(error) => error.into(),
            error => Failure::new(error),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        Failure::new(error)
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
