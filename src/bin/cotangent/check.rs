//! `cotangent check`.

use std::io::Write;

use cotangent::io::model::{Check, Verdict};

use crate::args::CheckArgs;
use crate::failure::Failure;
use crate::model;

pub(crate) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let given = model::given(&args.model)?;
    let model = model::load(&args.model, &given)?;
    let checks = model.check(args.loss.as_deref(), &given.known.arrays)?;
    let mut out = std::io::stdout().lock();
    for check in &checks {
        writeln!(out, "{check}")?;
    }
    // Where no gradient was to be checked, arrays do not help.
    let is_helped = |check: &Check| check.verdict == Verdict::Skip && check.name != "gradient";
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    if checks.iter().any(is_helped) {
        writeln!(out, "note: inputs that are not given are random, from -1 to 1; --input NAME=FILE gives one")?;
    }
    match count(Verdict::Fail) {
        0 if !checks.iter().any(Check::compares) => {
            Err(Failure::new("nothing was compared: with these arrays and extents no output has a number"))
        }
        0 => Ok(()),
        failed => Err(Failure::new(format_args!("{failed} of {} checks failed", checks.len()))),
    }
}
