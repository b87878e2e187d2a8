//! `cotangent check`.

use std::io::Write;

use cotangent::io::model::Verdict;

use crate::args::CheckArgs;
use crate::failure::Failure;
use crate::model;

pub(crate) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let known = model::known(&args.model)?;
    let model = model::load(&args.model, &known)?;
    let checks = model.check(args.loss.as_deref(), &known.arrays)?;
    let mut out = std::io::stdout().lock();
    for check in &checks {
        writeln!(out, "{check}")?;
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    if count(Verdict::Skip) > 0 {
        writeln!(out, "note: inputs that are not given are random, from -1 to 1; --input NAME=FILE gives one")?;
    }
    let failed = count(Verdict::Fail);
    if failed == 0 { Ok(()) } else { Err(Failure::new(format_args!("{failed} of {} checks failed", checks.len()))) }
}
