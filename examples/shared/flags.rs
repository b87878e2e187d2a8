//! Flags and their values, as the examples share them. On a wrong one, clap prints what is wrong and the process ends with code 2.
#![allow(dead_code, reason = "each example uses a part")]

use std::error::Error;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use cotangent::Engine;

/// Runs an example, prints its error, and says how the process ends. One whose output nobody reads any more ends as one that failed, without a word.
pub fn exit(run: impl FnOnce() -> Result<(), Box<dyn Error>>) -> ExitCode {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str().is_some_and(|text| text.starts_with("failed printing to stdout")) {
            std::process::exit(1);
        }
        default(panic);
    }));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A flag with a value that has a default.
fn valued(name: &'static str, value: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).default_value(default).allow_negative_numbers(true).help(help)
}

/// One of some words, the first if it is not given.
pub fn word<const N: usize>(name: &'static str, words: [&'static str; N], help: &'static str) -> Arg {
    Arg::new(name).long(name).default_value(words[0]).value_parser(PossibleValuesParser::new(words)).help(help)
}

/// `--engine`, which [`engine_of`] reads.
pub fn engine() -> Arg {
    word("engine", ["jit", "interp"], "What runs the step")
}

/// A number from 1 on.
pub fn count(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    count_in(1..=1 << 20, name, default, help)
}

/// A number from a range.
pub fn count_in(range: RangeInclusive<u64>, name: &'static str, default: &'static str, help: &'static str) -> Arg {
    valued(name, "N", default, help).value_parser(value_parser!(u64).range(range))
}

/// `--lr`, a positive number.
pub fn rate(default: &'static str, help: &'static str) -> Arg {
    valued("lr", "RATE", default, help).value_parser(|text: &str| match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("a learning rate is a positive number"),
    })
}

/// `--seed`, any number of 64 bits.
pub fn seed(help: &'static str) -> Arg {
    valued("seed", "N", "0", help)
        .value_parser(|text: &str| text.parse::<u64>().map_err(|_| "a seed is a whole number from 0 to 2^64 - 1"))
}

/// `--data`, a folder.
pub fn folder(help: &'static str) -> Arg {
    Arg::new("data").long("data").value_name("DIR").value_parser(value_parser!(PathBuf)).help(help)
}

/// `--data`, a folder with images as MNIST has them.
pub fn images() -> Arg {
    folder("Folder with MNIST's four files, plain or .gz; otherwise the digits that come with the library")
}

/// `--quick`, a switch.
pub fn quick(help: &'static str) -> Arg {
    switch("quick", help)
}

/// A flag without a value.
pub fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// Which engine [`engine`] says.
pub fn engine_of(m: &ArgMatches) -> Engine {
    if word_of(m, "engine") == "interp" { Engine::Interp } else { Engine::Jit }
}

/// The word that [`word`] says.
pub fn word_of<'m>(m: &'m ArgMatches, name: &str) -> &'m str {
    m.get_one::<String>(name).expect("has a default")
}

/// The number of [`count`] or [`seed`].
pub fn count_of(m: &ArgMatches, name: &str) -> u64 {
    *m.get_one::<u64>(name).expect("has a default")
}

/// The same as an extent.
pub fn extent_of(m: &ArgMatches, name: &str) -> usize {
    count_of(m, name) as usize
}

/// The number of [`rate`].
pub fn rate_of(m: &ArgMatches) -> f64 {
    *m.get_one::<f64>("lr").expect("has a default")
}

/// The folder of [`folder`], if there is one.
pub fn folder_of(m: &ArgMatches) -> Option<&PathBuf> {
    m.get_one::<PathBuf>("data")
}
