//! Learns to write like Shakespeare, letter by letter: an LSTM over the text of "Coriolanus", trained inside one compiled function.
//!
//! ```text
//! cargo run --release --example lstm
//! cargo run --release --example lstm -- --engine interp --epochs 2
//! cargo run --release --example lstm -- --hidden 256 --length 200 --keep carries
//! ```
//!
//! The loop over the letters is a `scan`: the function is no longer for longer windows. With its defaults it goes
//! from 2.91 nats a letter in the first epoch to 1.73 in the tenth, 1.84 on the last tenth of the play; letters drawn evenly would be 4.11. The mean of the ten steps
//! of `--quick` is 3.99, on both engines.

#[path = "shared/flags.rs"]
mod flags;
#[path = "shared/letters.rs"]
mod letters;

use std::error::Error;
use std::process::ExitCode;

use clap::{ArgMatches, Command};
use cotangent::data::{self, Text};
use cotangent::prelude::*;
use letters::{Draw, Settings};

/// The settings of a run, and of the network.
struct Args {
    run: Settings,
    hidden: usize,
    keep: Keep,
}

fn main() -> ExitCode {
    flags::exit(|| run(&Args::of(&command().get_matches())))
}

/// What an LSTM knows: output and cell.
type State<'g> = (Tensor<'g>, Tensor<'g>);

/// One step: `gates` are the input's share of the input, forget, cell and output gates, `w` the weights of the last output's share.
/// S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", 1997, with the forget gate of F. Gers et al., 2000.
fn lstm<'g>((h, c): State<'g>, gates: Tensor<'g>, w: Tensor<'g>) -> State<'g> {
    let hidden = h.shape()[1];
    let gates = gates + h.dot(w);
    let gate = |i: usize| gates.slice(1, i * hidden..(i + 1) * hidden);
    let c = gate(1).sigmoid() * c + gate(0).sigmoid() * gate(2).tanh();
    (gate(3).sigmoid() * c.tanh(), c)
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let text = data::coriolanus();
    let letters = text.vocabulary().len();
    let (train, test) = text.split_at(text.len() * 9 / 10);
    println!("data      {} letters to learn from, {} to test, {letters} different ones", train.len(), test.len());
    println!("network   LSTM of {} units, windows of {}, batches of {}", args.hidden, args.run.length, args.run.batch);

    let g = Builder::new();
    let (batch, length, hidden) = (args.run.batch, args.run.length, args.hidden);
    let bound = 1.0 / (hidden as f64).sqrt();
    let seed = args.run.seed.wrapping_mul(4);
    let wx = g.param("wx", init::uniform([letters, 4 * hidden], -bound, bound, seed));
    let wh = g.param("wh", init::uniform([hidden, 4 * hidden], -bound, bound, seed + 1));
    let wy = g.param("wy", init::uniform([hidden, letters], -bound, bound, seed + 2));
    let by = g.param("by", init::zeros([letters]));

    // All windows of a batch, letter by letter.
    let x = g.input("x", i32([batch, length]));
    let y = g.input("y", i32([batch, length]));
    let start = g.zeros(f32([batch, hidden]));
    let scan = Scan::new().keep(args.keep);
    let (_, outputs) = g.scan_with(scan, (start, start), wx.take(x.t(), 0), |state, gates| {
        let state = lstm(state, gates, wh);
        (state, state.0)
    });
    let loss = (outputs.dot(wy) + by).cross_entropy(y.t()).mean();

    let mut step = Adam::new(args.run.lr).minimize(loss).compile(&Options::engine(args.run.engine))?;
    let mut measure = step.forward(loss)?;
    println!("{}\n", step.report());

    letters::learn((&mut step, &mut measure), (&train, &test), &args.run)?;

    // The same cell, one letter at a time.
    let letter = g.input("letter", i32([1]));
    let (h, c) = (g.input("h", f32([1, hidden])), g.input("c", f32([1, hidden])));
    let (h, c) = lstm((h, c), wx.take(letter, 0), wh);
    let mut write = step.function(&[("h", h), ("c", c), ("odds", (h.dot(wy) + by).softmax(-1))])?;
    println!("\n{}", written(&mut write, &text, args)?);
    Ok(())
}

/// A text drawn letter by letter.
fn written(write: &mut Executable, text: &Text, args: &Args) -> Result<String, Box<dyn Error>> {
    let mut letters = text.encode("\n").map_err(|c| format!("the text has no {c:?}"))?;
    let mut h = Array::zeros(&f32([1, args.hidden]));
    let mut c = h.clone();
    let mut draw = Draw::new(args.run.seed);
    for _ in 0..if args.run.quick { 40 } else { 400 } {
        let letter = Array::new([1], vec![letters[letters.len() - 1]])?;
        let outputs = write.run(&[("letter", &letter), ("h", &h), ("c", &c)])?;
        letters.push(draw.letter(outputs.get("odds")?.as_slice::<f32>()?));
        (h, c) = (outputs.get("h")?.clone(), outputs.get("c")?.clone());
    }
    Ok(text.decode(&letters[1..]))
}

impl Args {
    fn of(m: &ArgMatches) -> Args {
        let keep = if flags::word_of(m, "keep") == "carries" { Keep::Carries } else { Keep::All };
        Args { run: Settings::of(m), hidden: flags::extent_of(m, "hidden"), keep }
    }
}

fn command() -> Command {
    let extent = |name, default, help| flags::count_in(1..=1 << 12, name, default, help);
    Command::new("lstm")
        .about("Trains an LSTM on a play, letter by letter, in one compiled function")
        .arg(flags::engine())
        .arg(extent("hidden", "64", "Units of the LSTM"))
        .arg(extent("length", "50", "Letters of a window"))
        .arg(extent("batch", "16", "Windows in a step; the test text has 300 windows of 50 letters"))
        .arg(extent("epochs", "10", "Passes over the training text"))
        .arg(flags::rate("0.005", "Learning rate of Adam"))
        .arg(flags::seed("Seed of the initial weights, of the order of the windows and of the text that is written"))
        .arg(flags::word(
            "keep",
            ["all", "carries"],
            "What the gradient keeps of each letter rather than computing it again",
        ))
        .arg(flags::quick("Ten steps and a line of text"))
}
