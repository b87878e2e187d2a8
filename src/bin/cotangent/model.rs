//! From the words of the command line to a loaded model and its arrays.

use std::collections::BTreeMap;

use cotangent::io::model::Known;
use cotangent::io::{Model, read_array, read_arrays};
use cotangent::{Array, Options, Program};

use crate::args::{EngineArgs, LossArgs, ModelArgs};
use crate::failure::Failure;

/// The arrays and extents that the command line gives.
pub(crate) fn known(args: &ModelArgs) -> Result<Known, Failure> {
    let mut dims = BTreeMap::new();
    for (name, extent) in &args.dims {
        if dims.insert(name.clone(), *extent).is_some_and(|other| other != *extent) {
            return Err(Failure::usage(format_args!("--dim gives `{name}` two extents")));
        }
    }
    let mut arrays: BTreeMap<String, Array> = BTreeMap::new();
    for archive in &args.archives {
        arrays.extend(read_arrays(archive)?);
    }
    if let Some(name) = twice(&args.inputs) {
        return Err(Failure::usage(format_args!("--input gives `{name}` twice")));
    }
    for (name, file) in &args.inputs {
        arrays.insert(name.clone(), read_array(file)?);
    }
    Ok(Known { dims, arrays })
}

/// A name that a list has twice.
pub(crate) fn twice(list: &[(String, String)]) -> Option<&str> {
    let is_earlier = |at: usize, name: &str| list[..at].iter().any(|(other, _)| other == name);
    list.iter().enumerate().find(|&(at, (name, _))| is_earlier(at, name)).map(|(_, (name, _))| &**name)
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
