//! From the words of the command line to a loaded model and its arrays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cotangent::io::model::{Fitting, Known, LoadError, ModelError, leaves, read_fitting};
use cotangent::io::{Model, is_table, read_typed_array};
use cotangent::{Array, Options, Program};

use crate::args::{EngineArgs, LossArgs, ModelArgs};
use crate::failure::{Failure, of_run};

/// What the command line gives a model.
pub(crate) struct Given {
    /// Extents, and arrays by the names of inputs and parameters.
    pub(crate) known: Known,
    /// Values of parameters, which come before those of `known`.
    pub(crate) params: BTreeMap<String, Array>,
    /// What is to be said of the files.
    pub(crate) notes: Vec<String>,
}

/// Reads what the command line gives.
pub(crate) fn given(args: &ModelArgs) -> Result<Given, Failure> {
    let mut given = Given { known: Known::default(), params: BTreeMap::new(), notes: Vec::new() };
    for (name, extent) in &args.dims {
        if given.known.dims.insert(name.clone(), *extent).is_some_and(|other| other != *extent) {
            return Err(Failure::usage(format_args!("--dim gives `{name}` two extents")));
        }
    }
    if let Some(name) = twice(&args.inputs) {
        return Err(Failure::usage(format_args!("--input gives `{name}` twice")));
    }
    let is_path_table = |path: &PathBuf| is_table(&path.to_string_lossy());
    let mut tables: Vec<String> =
        args.inputs.iter().filter(|(_, f)| is_table(f)).map(|(name, _)| name.clone()).collect();
    let needs_leaves = !(tables.is_empty() && args.archives.is_empty() && args.params.is_empty());
    let leaves = if needs_leaves { leaves(&args.model)? } else { Vec::new() };
    for file in &args.archives {
        let fitting = read_fitting(file, &leaves, false).map_err(|error| of_archive(file, error))?;
        given.notes.extend(note(file, &fitting));
        if is_path_table(file) {
            tables.extend(fitting.arrays.keys().cloned());
        }
        fitting.arrays.into_iter().for_each(|(name, read)| given.known.insert(&name, read));
    }
    for (name, file) in &args.inputs {
        given.known.insert(name, read_typed_array(file)?);
    }
    given.known.convert(&tables, &leaves)?;
    for file in &args.params {
        let fitting = read_fitting(file, &leaves, true)?;
        given.notes.extend(note(file, &fitting));
        let names: Vec<String> = fitting.arrays.keys().filter(|_| is_path_table(file)).cloned().collect();
        let mut params = Known::default();
        fitting.arrays.into_iter().for_each(|(name, read)| params.insert(&name, read));
        params.convert(&names, &leaves)?;
        given.params.extend(params.arrays);
    }
    Ok(given)
}

/// The error of a file of --inputs, with the way to name an array that has no name in its file.
fn of_archive(file: &Path, error: LoadError) -> Failure {
    let names_arrays = file.extension().is_some_and(|e| e == "npz" || e == "safetensors");
    let is_unknown = matches!(&error, LoadError::Given(error) if matches!(**error, ModelError::Unknown { .. }));
    match is_unknown && !names_arrays {
        true => Failure::from(error).hint(format_args!("--input NAME={} tells whose array it is", file.display())),
        false => error.into(),
    }
}

/// What is to be said of arrays that are left out.
fn note(file: &Path, fitting: &Fitting) -> Option<String> {
    let file = file.display();
    match (fitting.others.len(), fitting.is_checkpoint) {
        (0, _) => None,
        (_, true) => {
            Some(format!("{file} is a checkpoint: its parameters are taken, the state of the optimizer is left out"))
        }
        (1, false) => Some(format!("{file}: nothing in the model is called `{}`: it is left out", fitting.others[0])),
        (n, false) => Some(format!(
            "{file}: {n} arrays that nothing in the model is called like are left out: {}",
            fitting.others.join(", ")
        )),
    }
}

/// A name that a list has twice.
pub(crate) fn twice(list: &[(String, String)]) -> Option<&str> {
    let is_earlier = |at: usize, name: &str| list[..at].iter().any(|(other, _)| other == name);
    list.iter().enumerate().find(|&(at, (name, _))| is_earlier(at, name)).map(|(_, (name, _))| &**name)
}

/// The model, with the values of parameters that the command line gives. What is to be said of those is told on the standard error.
pub(crate) fn load(args: &ModelArgs, given: &Given) -> Result<Model, Failure> {
    finish(Model::read(&args.model, &given.known)?, given)
}

/// [`load`] for a run, which extents without arrays do not help.
pub(crate) fn load_to_run(args: &ModelArgs, given: &Given) -> Result<Model, Failure> {
    finish(Model::read(&args.model, &given.known).map_err(of_run)?, given)
}

fn finish(mut model: Model, given: &Given) -> Result<Model, Failure> {
    model.set_params(given.params.clone())?;
    for note in &given.notes {
        eprintln!("note: {note}");
    }
    Ok(model)
}

/// How to compile.
pub(crate) fn options(args: &EngineArgs) -> Options {
    Options { threads: args.threads, ..Options::engine(args.engine.into()) }
}

/// The names in lists with commas between. A name may hold commas itself. None comes twice.
pub(crate) fn names<'a>(model: &Model, lists: &'a [String]) -> Vec<&'a str> {
    let leaves: Vec<_> = model.inputs().into_iter().chain(model.params()).map(|(name, _)| name).collect();
    let is_name = |name: &str| leaves.iter().any(|leaf| **leaf == *name);
    let mut names: Vec<&str> = Vec::new();
    for list in lists {
        let several = if is_name(list) { vec![&**list] } else { list.split(',').collect() };
        names.extend(several.into_iter().map(|name| if is_name(name) { name } else { name.trim() }));
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    names
}

/// The model's program, with the gradient if a loss is named.
pub(crate) fn program(model: &Model, args: &LossArgs) -> Result<Program, Failure> {
    let Some(loss) = &args.loss else { return Ok(model.program().clone()) };
    if !args.wrt.is_empty() {
        return Ok(model.gradient_program(loss, &names(model, &args.wrt))?);
    }
    let floats = |list: Vec<(_, cotangent::TensorType)>| -> Vec<_> {
        list.into_iter().filter(|(_, ty)| ty.dtype.is_float()).map(|(name, _)| name).collect()
    };
    let mut wrt = floats(model.params());
    if wrt.is_empty() {
        wrt = floats(model.inputs());
    }
    let wrt: Vec<&str> = wrt.iter().map(|name| &**name).collect();
    Ok(model.gradient_program(loss, &wrt)?)
}
