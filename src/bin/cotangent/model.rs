//! From the words of the command line to a loaded model and its arrays.

use std::collections::BTreeMap;

use clap::CommandFactory;
use clap::error::ErrorKind;
use cotangent::io::model::Known;
use cotangent::io::{Model, read_array, read_arrays};
use cotangent::{Array, Options};

use crate::args::{Args, EngineArgs, ModelArgs};
use crate::failure::Failure;

/// Ends the program because the words of the command line contradict each other.
pub(crate) fn wrong_usage(text: &str) -> ! {
    Args::command().error(ErrorKind::ArgumentConflict, text).exit()
}

/// The arrays and extents that the command line gives.
pub(crate) fn known(args: &ModelArgs) -> Result<Known, Failure> {
    let mut dims = BTreeMap::new();
    for (name, extent) in &args.dims {
        if dims.insert(name.clone(), *extent).is_some_and(|other| other != *extent) {
            wrong_usage(&format!("--dim gives `{name}` two extents"));
        }
    }
    let mut arrays: BTreeMap<String, Array> = BTreeMap::new();
    for archive in &args.archives {
        arrays.extend(read_arrays(archive)?);
    }
    for (at, (name, _)) in args.inputs.iter().enumerate() {
        if args.inputs[..at].iter().any(|(other, _)| other == name) {
            wrong_usage(&format!("--input gives `{name}` twice"));
        }
    }
    for (name, file) in &args.inputs {
        arrays.insert(name.clone(), read_array(file)?);
    }
    Ok(Known { dims, arrays })
}

/// The model, with the values of parameters that the command line gives.
pub(crate) fn load(args: &ModelArgs, known: &Known) -> Result<Model, Failure> {
    let mut model = Model::read(&args.model, known)?;
    for file in &args.params {
        model.set_params(read_arrays(file)?)?;
    }
    Ok(model)
}

/// How to compile.
pub(crate) fn options(args: &EngineArgs) -> Options {
    Options { threads: args.threads, ..Options::engine(args.engine.into()) }
}
