//! What the lecture's examples share: the command line, and pictures that are drawn if the library was built with its feature `plot`.
#![allow(dead_code, unused_imports, reason = "each example uses a part")]

use std::error::Error;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

/// What an example returns.
pub type Outcome = Result<(), Box<dyn Error>>;

/// The settings of a run.
pub struct Args {
    /// A second or two instead of the figures in the example's header.
    pub quick: bool,
    /// Where the picture goes.
    picture: Option<PathBuf>,
}

impl Args {
    /// Reads the command line.
    pub fn parse(about: &'static str) -> Args {
        let matches = Command::new("lecture")
            .about(about)
            .arg(Arg::new("quick").long("quick").action(ArgAction::SetTrue).help("Run for a second or two"))
            .arg(
                Arg::new("picture")
                    .long("picture")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("Where to draw (.svg or .png); needs --features plot"),
            )
            .get_matches();
        Args { quick: matches.get_flag("quick"), picture: matches.get_one::<PathBuf>("picture").cloned() }
    }

    /// `full`, or `quick` in a short run.
    pub fn or<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// A named curve.
pub type Curve = (String, Vec<(f64, f64)>);

/// The plane's square from `-reach` to `reach`, cut into cells, the class of each, and examples with their classes.
pub struct Region {
    pub title: String,
    pub reach: f64,
    pub classes: Vec<usize>,
    pub points: Vec<(f64, f64, usize)>,
}

/// Cells along a side of a [`Region`].
pub const CELLS: usize = 40;

/// The middles of a region's cells, row by row from below.
pub fn middles(reach: f64) -> Vec<[f32; 2]> {
    let at = |i: usize| (reach * (2.0 * (i as f64 + 0.5) / CELLS as f64 - 1.0)) as f32;
    (0..CELLS * CELLS).map(|k| [at(k % CELLS), at(k / CELLS)]).collect()
}

#[cfg(feature = "plot")]
mod draw {
    use super::{Args, CELLS, Curve, Outcome, Region};
    use cotangent::plot::{self, Axis, Plot};

    fn save(args: &Args, plot: Plot) -> Outcome {
        let Some(path) = &args.picture else { return Ok(()) };
        plot.save(path)?;
        println!("\npicture   {}", path.display());
        Ok(())
    }

    fn axis(label: &str) -> Axis {
        let (label, log) = label.strip_prefix("log ").map_or((label, false), |l| (l, true));
        if log { Axis::new(label).log() } else { Axis::new(label) }
    }

    /// Curves; the labels of logarithmic axes begin with `log `. Several plots stand beside each other.
    pub fn curves(args: &Args, plots: Vec<(&str, [&str; 2], Vec<Curve>)>) -> Outcome {
        let width = if plots.len() > 2 { 320 } else { 440 };
        let plots: Vec<Plot> = plots
            .into_iter()
            .map(|(title, [x, y], c)| plot::curves(title, axis(x), axis(y), c).size(width, 320))
            .collect();
        save(args, plot::grid(plots.len(), plots))
    }

    /// Regions beside each other.
    pub fn regions(args: &Args, columns: usize, regions: Vec<Region>) -> Outcome {
        let one = |r: Region| {
            let square = [(-r.reach, r.reach); 2];
            plot::boundary(&r.title, square, CELLS, |_| r.classes, r.points).size(210, 230)
        };
        save(args, plot::grid(columns, regions.into_iter().map(one)))
    }
}

#[cfg(not(feature = "plot"))]
mod draw {
    use super::{Args, Curve, Outcome, Region};

    fn without(args: &Args) -> Outcome {
        match args.picture {
            Some(_) => Err("--picture needs the feature: cargo run --release --features plot --example ...".into()),
            None => Ok(()),
        }
    }

    pub fn curves(args: &Args, _: Vec<(&str, [&str; 2], Vec<Curve>)>) -> Outcome {
        without(args)
    }

    pub fn regions(args: &Args, _: usize, _: Vec<Region>) -> Outcome {
        without(args)
    }
}

pub use draw::{curves, regions};
