//! The shortest way to a trained network: layers, a trainer, and the digits or a table of one's own.
//!
//! ```text
//! cargo run --release --example train
//! cargo run --release --example train -- --width 128 --epochs 50
//! cargo run --release --features csv --example train -- --data rings.csv --target kind
//! ```
//!
//! The model is the closure in `run`; everything else is a setting of the trainer. A table has the names of its columns in the first line; one of them is to be told from the
//! others, which are numbers. The README makes one of two rings.
//!
//! On the digits the loss on those to validate with is least, 0.142, after the 29th of 30 epochs, whose parameters are kept; they classify 0.969 of the test
//! digits rightly.

#[path = "shared/flags.rs"]
mod flags;

use std::error::Error;
use std::ops::ControlFlow;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use cotangent::data::{self, Examples, Normalizer};
use cotangent::nn::{Dropout, Linear, Module};
use cotangent::prelude::*;
use cotangent::train::{EarlyStopping, Trainer};

fn main() -> ExitCode {
    flags::exit(|| run(&command().get_matches()))
}

fn run(args: &ArgMatches) -> Result<(), Box<dyn Error>> {
    let width = flags::extent_of(args, "width");
    let Data { parts: [train, validation, test], classes } = load(args)?;
    let features = train.column("x")?.shape()[1];

    let mut trainer = Trainer::new(
        |task| {
            let (x, y) = (task.input("x"), task.input("y"));
            let hidden = Linear::new(&task.at("fc1"), features, width).forward(x, task.context()).relu();
            let hidden = Dropout::new(0.1).forward(hidden, task.context());
            let logits = Linear::new(&task.at("fc2"), width, classes.len()).forward(hidden, task.context());
            task.accuracy(logits, y);
            task.output("class", logits.argmax(-1));
            logits.cross_entropy(y).mean()
        },
        |loss| AdamW::new(3e-3).clip_by_global_norm(1.0).minimize(loss),
    )
    .batch(flags::extent_of(args, "batch"))
    .epochs(if args.get_flag("quick") { 2 } else { flags::count_of(args, "epochs") })
    .early_stopping("loss", EarlyStopping::new(5).restore_best())
    .on_epoch(|report| {
        let validation = report.validation.map(ToString::to_string).unwrap_or_default();
        println!("epoch {:2}  {}  |  validation: {validation}", report.epoch + 1, report.train);
        ControlFlow::Continue(())
    });
    trainer.fit_validated(&train, &validation)?;

    println!("test      {}", trainer.evaluate(&test)?);
    let first = trainer.predict("class", test.subset(&[0]))?.get_f64(0) as usize;
    println!("the first test example is taken for {}", classes[first]);
    Ok(())
}

/// Examples to train with, to validate and to test, and the names of the classes.
struct Data {
    parts: [Examples; 3],
    classes: Vec<String>,
}

fn load(args: &ArgMatches) -> Result<Data, Box<dyn Error>> {
    let Some(path) = args.get_one::<String>("data") else {
        let digits = data::digits();
        let [train, validation] = Examples::from(&digits.train.flattened()).split([0.9, 0.1], 0);
        let test = Examples::from(&digits.test.flattened());
        return Ok(Data { parts: [train, validation, test], classes: (0..10).map(|i| i.to_string()).collect() });
    };
    let (examples, classes) = read(path, args.get_one::<String>("target").expect("--data requires it"))?;
    if examples.len() < 10 {
        return Err(format!(
            "{path}: {} rows are too few to train, validate and test with; 10 are the least",
            examples.len()
        )
        .into());
    }
    // The test and validation parts are measured by the mean and deviation of the training part.
    let parts = examples.split([0.8, 0.1, 0.1], 0);
    let normalizer = Normalizer::fit(&parts[0], "x")?;
    let [train, validation, test] = parts.each_ref().map(|part| normalizer.apply(part));
    Ok(Data { parts: [train?, validation?, test?], classes })
}

#[cfg(feature = "csv")]
fn read(path: &str, target: &str) -> Result<(Examples, Vec<String>), Box<dyn Error>> {
    let table = data::Table::classes(path, target)?;
    println!(
        "{path}: {} rows, features {}, classes {}",
        table.examples.len(),
        table.features.join(", "),
        table.classes.join(", ")
    );
    Ok((table.examples, table.classes))
}

#[cfg(not(feature = "csv"))]
fn read(path: &str, _: &str) -> Result<(Examples, Vec<String>), Box<dyn Error>> {
    Err(format!(
        "{path}: tables are read by the feature `csv`: cargo run --release --features csv --example train -- .."
    )
    .into())
}

fn command() -> Command {
    let file = Arg::new("data").long("data").value_name("FILE").requires("target");
    let column = Arg::new("target").long("target").value_name("COLUMN").requires("data");
    Command::new("train")
        .about("Trains a network with one hidden layer, and tells how it goes")
        .arg(flags::count("width", "64", "Units of the hidden layer"))
        .arg(flags::count("epochs", "30", "Passes over the training part, at most"))
        .arg(flags::count("batch", "32", "Examples in a step"))
        .arg(file.help("A CSV file in place of the digits"))
        .arg(column.help("The column with the classes"))
        .arg(flags::quick("Two epochs"))
}
