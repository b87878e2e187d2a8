//! The command line.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};
use cotangent::Options;

use crate::flags;
use crate::models::WORKLOADS;

/// The settings of a run.
pub struct Args {
    pub workload: String,
    pub data: Option<PathBuf>,
    pub options: Options,
    /// Whether to tell where the time of a step goes.
    pub profile: bool,
    /// How long steps are timed.
    pub timed: Duration,
    /// How long steps are run before that.
    pub warm_up: Duration,
}

impl Args {
    /// Reads the command line. On a wrong flag or value, prints what is wrong and exits with code 2.
    pub fn parse() -> Args {
        let m = command().get_matches();
        let quick = m.get_flag("quick");
        let seconds = if quick { 0.0 } else { *m.get_one::<f64>("seconds").expect("has a default") };
        Args {
            workload: m.get_one::<String>("workload").expect("is required").clone(),
            data: flags::folder_of(&m).cloned(),
            options: Options {
                threads: m.get_one::<NonZero<usize>>("threads").copied(),
                ..Options::engine(flags::engine_of(&m))
            },
            profile: m.get_flag("profile"),
            timed: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64(if quick { 0.0 } else { 0.3 }),
        }
    }
}

fn command() -> Command {
    Command::new("workloads")
        .about("Measures one of eight workloads, W1 to W8; the last line is a JSON object")
        .arg(
            Arg::new("workload")
                .required(true)
                .value_name("WORKLOAD")
                .value_parser(PossibleValuesParser::new(WORKLOADS))
                .help("The workload"),
        )
        .arg(
            Arg::new("threads")
                .long("threads")
                .value_name("N")
                .value_parser(threads)
                .help("Threads of a run; otherwise what COTANGENT_THREADS says, or the processors that there are"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("S")
                .default_value("1")
                .value_parser(seconds)
                .help("How long steps are timed"),
        )
        .arg(flags::folder("Folder with W1.npz and so on; otherwise inputs and parameters are drawn"))
        .arg(flags::engine())
        .arg(flags::switch("profile", "Tells where the time of a step goes"))
        .arg(flags::quick("No warm-up and only a few timed steps"))
}

fn threads(text: &str) -> Result<NonZero<usize>, String> {
    text.parse().map_err(|_| "a number of threads is a whole number from 1 on".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a time is a number of seconds from 0 to 3600".to_owned()),
    }
}
