//! The program `cotangent`: runs, differentiates, trains and inspects models from files.
//!
//! ```text
//!   args      what the command line may say
//!   model     from those words to a loaded model and its arrays
//!   run, info ...   a file for each command, which calls the library and prints
//!   resume    what a training run is made with, for one that goes on with it
//!   failure   errors, and the exit status of each
//! ```
//!
//! It has no logic of its own beyond arguments and printing: what it does, `cotangent::io` offers to Rust programs.

mod args;
mod bench;
mod check;
mod dump;
mod failure;
mod info;
mod model;
mod resume;
mod run;
mod train;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = std::panic::catch_unwind(|| command(&args.command));
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.report(args.command.name()),
        // The panic has been told on the standard error by now.
        Err(_) => Failure::new("this is a mistake in cotangent, not in your model; please report it")
            .report(args.command.name()),
    }
}

fn command(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Grad(args) => run::grad(args),
        Command::Train(args) => train::train(args),
        Command::Info(args) => info::info(args),
        Command::Dump(args) => dump::dump(args),
        Command::Bench(args) => bench::bench(args),
        Command::Check(args) => check::check(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "cotangent", &mut script);
            Ok(std::io::stdout().write_all(&script)?)
        }
    }
}
