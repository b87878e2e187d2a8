//! The command line.

use std::path::PathBuf;

use clap::Command;
use clap::error::ErrorKind;
use cotangent::Engine;

use crate::flags;

/// The settings of a run.
pub struct Args {
    pub engine: Engine,
    pub hidden: usize,
    pub epochs: u64,
    pub batch: usize,
    pub lr: f64,
    pub seed: u64,
    pub data: Option<PathBuf>,
    pub quick: bool,
}

impl Args {
    /// Reads the command line. On a wrong flag or value, prints what is wrong and exits with code 2.
    pub fn parse() -> Args {
        let m = command().get_matches();
        let (quick, epochs) = (m.get_flag("quick"), flags::count_of(&m, "epochs"));
        Args {
            engine: flags::engine_of(&m),
            hidden: flags::extent_of(&m, "hidden"),
            epochs: if quick { epochs.min(2) } else { epochs },
            batch: flags::extent_of(&m, "batch"),
            lr: flags::rate_of(&m),
            seed: flags::count_of(&m, "seed"),
            data: flags::folder_of(&m).cloned(),
            quick,
        }
    }

    /// Exits with code 2 if there are fewer training examples than a batch takes.
    pub fn check_batch(&self, examples: usize) {
        if self.batch > examples {
            let message = format!("--batch {}: there are only {examples} training examples\n", self.batch);
            command().error(ErrorKind::ValueValidation, message).exit()
        }
    }
}

fn command() -> Command {
    Command::new("digits")
        .about("Trains relu(X W1) W2 on handwritten digits in one compiled function")
        .arg(flags::engine())
        .arg(flags::count("hidden", "100", "Hidden units"))
        .arg(flags::count("epochs", "20", "Passes over the training set"))
        .arg(flags::count("batch", "50", "Examples in a step"))
        .arg(flags::rate("0.2", "Learning rate"))
        .arg(flags::seed("Seed of the initial weights and of the order of the examples"))
        .arg(flags::images())
        .arg(flags::quick("At most two epochs and fewer timed runs"))
}
