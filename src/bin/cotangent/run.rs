//! `cotangent run` and `cotangent grad`.

use std::io::Write;
use std::path::Path;

use cotangent::io::{TypedView, folder};

use crate::args::{GradArgs, RunArgs};
use crate::failure::Failure;
use crate::model;

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    expect_folder(args)?;
    let given = model::given(&args.model)?;
    let model = model::load_to_run(&args.model, &given)?;
    let outputs = model.run(&model::options(&args.engine), &given.known.arrays)?;
    write(args.output_dir.as_deref(), model.typed(&outputs))
}

pub(crate) fn grad(args: &GradArgs) -> Result<(), Failure> {
    expect_folder(&args.run)?;
    let given = model::given(&args.run.model)?;
    let model = model::load_to_run(&args.run.model, &given)?;
    let wrt = model::names(&model, &args.wrt);
    let results = model.grad(&model::options(&args.run.engine), &args.loss, &wrt, &given.known.arrays)?;
    let gradients: Vec<String> = results.gradients.iter().map(|(name, _)| format!("grad_{name}")).collect();
    // Gradients come first, so that an output called `grad_x` does not take the name of a gradient's file.
    let mut arrays: Vec<(&str, TypedView<'_>)> =
        gradients.iter().zip(&results.gradients).map(|(name, (_, array))| (&**name, array.into())).collect();
    arrays.extend(model.typed(&results.outputs));
    write(args.run.output_dir.as_deref(), arrays)
}

/// Checks that results can be written, before there are any.
fn expect_folder(args: &RunArgs) -> Result<(), Failure> {
    let Some(folder) = &args.output_dir else { return Ok(()) };
    folder::expect_folder(folder).map_err(|error| Failure::from(error).of("--output-dir"))
}

/// Writes arrays to the folder and lists the files, or prints the arrays if there is none.
fn write(folder: Option<&Path>, arrays: Vec<(&str, TypedView<'_>)>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let Some(folder) = folder else {
        for (name, array) in arrays {
            writeln!(out, "{name} : {}\n{array}", array.ty())?;
        }
        return Ok(());
    };
    let paths = folder::write(folder, arrays.iter().cloned())?;
    for ((name, array), path) in arrays.iter().zip(paths) {
        writeln!(out, "{name}\t{}\t{}", array.ty(), path.display())?;
    }
    Ok(())
}
