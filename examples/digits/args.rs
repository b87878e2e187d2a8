//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, value_parser};
use cotangent::Engine;

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
        let engine = match m.get_one::<String>("engine").map(String::as_str) {
            Some("interp") => Engine::Interp,
            _ => Engine::Jit,
        };
        let count = |name: &str| *m.get_one::<u64>(name).expect("has a default");
        let quick = m.get_flag("quick");
        Args {
            engine,
            hidden: count("hidden") as usize,
            epochs: if quick { count("epochs").min(2) } else { count("epochs") },
            batch: count("batch") as usize,
            lr: *m.get_one::<f64>("lr").expect("has a default"),
            seed: count("seed"),
            data: m.get_one::<PathBuf>("data").cloned(),
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
    let count = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .default_value(default)
            .allow_negative_numbers(true)
            .value_parser(value_parser!(u64).range(1..=1 << 20))
            .help(help)
    };
    Command::new("digits")
        .about("Trains relu(X W1) W2 on handwritten digits in one compiled function")
        .arg(
            Arg::new("engine")
                .long("engine")
                .default_value("jit")
                .value_parser(PossibleValuesParser::new(["jit", "interp"]))
                .help("What runs the step"),
        )
        .arg(count("hidden", "100", "Hidden units"))
        .arg(count("epochs", "20", "Passes over the training set"))
        .arg(count("batch", "50", "Examples in a step"))
        .arg(
            Arg::new("lr")
                .long("lr")
                .value_name("RATE")
                .default_value("0.2")
                .allow_negative_numbers(true)
                .value_parser(rate)
                .help("Learning rate"),
        )
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("N")
                .default_value("0")
                .allow_negative_numbers(true)
                .value_parser(seed)
                .help("Seed of the initial weights and of the order of the examples"),
        )
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Folder with MNIST's four files, plain or .gz; otherwise the digits that come with the library"),
        )
        .arg(Arg::new("quick").long("quick").action(ArgAction::SetTrue).help("At most two epochs and fewer timed runs"))
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a seed is a whole number from 0 to 2^64 - 1".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("a learning rate is a positive number".to_owned()),
    }
}
