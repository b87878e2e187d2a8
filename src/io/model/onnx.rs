//! ONNX models as models: what the command line gives becomes bindings, and errors get the file's name.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::build::Program;
use crate::graph::{DType, Name, Origin, Shape};
use crate::io::ElementType;
use crate::io::onnx::{self, Bindings, Dim, ImportError, Purpose, Reason};
use crate::prim::{Param, ParamKind};

use super::describe::compiled_memory;
use super::error::OpenExtents;
use super::load::Leaf;
use super::role::{Hold, Role};
use super::train::Following;
use super::{Declaration, Description, Format, Known, LoadError, Model, ModelError};

/// Reads and imports a model.
pub(super) fn read(path: &Path, known: &Known) -> Result<Model, LoadError> {
    let source = source(path)?;
    import(&source, path, known)
}

/// Reads a model.
pub(super) fn source(path: &Path) -> Result<onnx::Model, LoadError> {
    let file = || path.display().to_string();
    onnx::Model::read(path).map_err(|error| LoadError::Onnx { file: file(), error: Box::new(error) })
}

/// Imports a model for inputs of the shapes that are known.
fn import(source: &onnx::Model, path: &Path, known: &Known) -> Result<Model, LoadError> {
    let file = path.display().to_string();
    expect_names(source, known).map_err(|error| LoadError::Given(Box::new(error)))?;
    for leaf in source.inputs().into_iter().chain(float_initializers(source)) {
        let Some(element) = leaf.element.and_then(|element| element.element_type()) else { continue };
        known.expect_numbers(&leaf.name, element).map_err(|error| LoadError::Given(Box::new(error)))?;
    }
    let imported = bound(source, &file, &bindings(source, known)).map_err(|error| opened(source, known, error))?;
    let is_input = |name: &String| source.inputs().iter().any(|input| input.name == *name);
    let value = |name| if is_input(name) { known.arrays.get(name).cloned() } else { source.initializer(name).ok() };
    let fixed = imported.fixed().iter().map(|name| (name.clone(), value(name))).collect();
    let mut program = imported.program();
    add_unused(source, &imported, &mut program);
    let held = held(&imported);
    Ok(Model { program, format: Format::Onnx, fixed, unset: Default::default(), held })
}

fn bound(source: &onnx::Model, file: &str, bindings: &Bindings) -> Result<onnx::Imported, LoadError> {
    let fail = |error| LoadError::Import { file: file.to_owned(), error: Box::new(error) };
    source.import(bindings).map_err(fail)
}

/// The element types of the inputs and outputs that are held in wider ones.
fn held(imported: &onnx::Imported) -> BTreeMap<Name, ElementType> {
    let ends = imported.inputs().into_iter().chain(imported.outputs());
    let held = ends.filter_map(|(name, tensor)| {
        let element = imported.element_type(name)?.element_type()?;
        (element != tensor.dtype().into()).then(|| (Name::from(name), element))
    });
    held.collect()
}

/// Adds the floating-point initializers that no node uses as parameters on which nothing depends. Those that cannot be read are left out, as the import does.
fn add_unused(source: &onnx::Model, imported: &onnx::Imported, program: &mut Program) {
    for onnx::Declared { name, .. } in float_initializers(source) {
        if program.graph.find(&name).is_some() || imported.fixed().contains(&name) {
            continue;
        }
        let Ok(value) = source.initializer(&name) else { continue };
        let kind = if value.shape().rank() > 0 { ParamKind::Trainable } else { ParamKind::State };
        let param = Param { name: Name::from(&*name), ty: value.ty(), kind };
        if program.graph.push(param, &[], Origin::default()).is_ok() {
            program.initial.insert(Name::from(name), Arc::new(value));
        }
    }
}

/// The inputs and the floating-point initializers.
pub(super) fn leaves(path: &Path) -> Result<Vec<Leaf>, LoadError> {
    let source = source(path)?;
    let leaf = |is_param| {
        move |declared: onnx::Declared| {
            let extent = |dim: &Dim| if let Dim::Extent(n) = dim { Some(*n) } else { None };
            Leaf {
                element: declared.element.and_then(|element| element.element_type()),
                dims: declared.dims.map(|dims| dims.iter().map(extent).collect()),
                name: declared.name,
                is_param,
            }
        }
    };
    let params = float_initializers(&source).map(leaf(true));
    Ok(source.inputs().into_iter().map(leaf(false)).chain(params).collect())
}

fn float_initializers(source: &onnx::Model) -> impl Iterator<Item = onnx::Declared> {
    source.initializers().into_iter().filter(is_float)
}

fn is_float(declared: &onnx::Declared) -> bool {
    declared.element.and_then(|e| e.dtype()).is_some_and(DType::is_float)
}

/// Checks that all that is known is called like something in the model.
fn expect_names(source: &onnx::Model, known: &Known) -> Result<(), ModelError> {
    let inputs = source.inputs();
    let leaves: Vec<String> =
        inputs.iter().map(|input| input.name.clone()).chain(float_initializers(source).map(|d| d.name)).collect();
    if let Some(name) = known.arrays.keys().find(|name| !leaves.contains(name)) {
        return Err(ModelError::Unknown { what: "input or parameter", name: name.clone(), known: leaves });
    }
    expect_dims(source, known)
}

/// Checks that all extents that are known are called like some of the model's inputs.
pub(super) fn expect_dims(source: &onnx::Model, known: &Known) -> Result<(), ModelError> {
    let mut symbols = Vec::new();
    for symbol in source.inputs().iter().flat_map(symbols_of) {
        if !symbols.contains(&symbol) {
            symbols.push(symbol);
        }
    }
    match known.dims.keys().find(|name| !symbols.contains(name)) {
        Some(name) => Err(ModelError::Unknown { what: "symbolic extent", name: name.clone(), known: symbols }),
        None => Ok(()),
    }
}

fn symbols_of(input: &onnx::Declared) -> Vec<String> {
    let dims = input.dims.iter().flatten();
    dims.filter_map(|dim| if let Dim::Symbol(symbol) = dim { Some(symbol.clone()) } else { None }).collect()
}

/// An error of the import that is one of what is known of the inputs, as that.
fn opened(source: &onnx::Model, known: &Known, error: LoadError) -> LoadError {
    let LoadError::Import { file, error } = error else { return error };
    match &*error {
        ImportError::Unbound { .. } => {
            let missing: Vec<_> =
                source.inputs().into_iter().filter(|input| !known.arrays.contains_key(&input.name)).collect();
            let inputs = missing.iter().map(typed).collect();
            LoadError::Open { file, inputs, open: open_extents(&missing, source, known) }
        }
        ImportError::Unsupported(list) if list.iter().all(|item| item.reason != Reason::Never) => {
            let decides = |name: &String| {
                list.iter().any(|item| matches!(&item.reason, Reason::Unbound(inputs) if inputs.contains(name)))
            };
            let inputs = source.inputs();
            let missing = inputs.iter().filter(|input| !known.arrays.contains_key(&input.name));
            let values = inputs.iter().map(|input| input.name.clone()).filter(decides).collect();
            let open = OpenExtents { values, ..OpenExtents::default() };
            LoadError::Open { file, inputs: missing.map(typed).collect(), open }
        }
        ImportError::Symbol { symbol, .. } if known.dims.contains_key(symbol) => LoadError::Extents { file, error },
        _ => LoadError::Import { file, error },
    }
}

/// What is not supported whatever the extents that have names are.
fn unsupported_anyway(source: &onnx::Model, known: &Known, open: &OpenExtents) -> Vec<String> {
    let bindings = open.symbols.iter().fold(bindings(source, known), |bindings, symbol| bindings.dim(symbol, 2));
    match source.import(&bindings) {
        Err(ImportError::Unsupported(list)) => {
            list.iter().filter(|u| u.reason == Reason::Never).map(|u| u.to_string()).collect()
        }
        _ => Vec::new(),
    }
}

fn typed(input: &onnx::Declared) -> String {
    format!("{} ({})", input.name, input.type_text())
}

/// The extents that neither names nor arrays tell.
fn open_extents(missing: &[onnx::Declared], source: &onnx::Model, known: &Known) -> OpenExtents {
    let given = source.inputs().into_iter().filter(|input| known.arrays.contains_key(&input.name));
    let told: HashSet<String> = given.flat_map(|input| symbols_of(&input)).chain(known.dims.keys().cloned()).collect();
    let mut open = OpenExtents::default();
    for input in missing {
        for symbol in symbols_of(input) {
            if !told.contains(&symbol) && !open.symbols.contains(&symbol) {
                open.symbols.push(symbol);
            }
        }
        if input.dims.as_ref().is_none_or(|dims| dims.contains(&Dim::Unknown)) {
            open.inputs.push(input.name.clone());
        }
    }
    open
}

/// The roles of the floating-point initializers where nothing is asked for.
pub(super) fn roles(source: &onnx::Model) -> Vec<(String, Role)> {
    let followed: HashSet<String> = followed(source).into_iter().map(|f| f.0).collect();
    let role = |(name, purpose): (String, Purpose)| {
        let role = match purpose {
            Purpose::Learned => Role::Trained,
            Purpose::Number => Role::Held(Hold::Number),
            Purpose::Statistics if followed.contains(&name) => Role::Followed,
            Purpose::Statistics => Role::Held(Hold::Statistics),
            Purpose::FirstState => Role::Held(Hold::FirstState),
        };
        (name, role)
    };
    source.purposes().into_iter().map(role).collect()
}

/// Initializers that follow the batches: each with the result of its batch normalization and the name of its value after a step.
fn followed(source: &onnx::Model) -> Vec<(String, String, String)> {
    let initializers: HashSet<String> = source.initializers().into_iter().map(|d| d.name).collect();
    let norms = source.batch_normalizations();
    let mut uses: BTreeMap<&String, usize> = BTreeMap::new();
    norms.iter().flat_map(|norm| &norm.statistics).for_each(|name| *uses.entry(name).or_default() += 1);
    let mut list = Vec::new();
    for norm in &norms {
        for (name, value) in norm.statistics.iter().zip(norm.updated.iter().flatten()) {
            // What several share has no one value after a step.
            if initializers.contains(name) && uses[name] == 1 {
                list.push((name.clone(), norm.result.clone(), value.clone()));
            }
        }
    }
    list
}

/// What is to be said of a model's batch normalizations before it is trained.
pub(super) fn remarks(source: &onnx::Model) -> Vec<String> {
    let followed: HashSet<String> = followed(source).into_iter().map(|f| f.0).collect();
    let (mut fixed, mut following, mut stuck, mut staying) = (0, 0, Vec::new(), Vec::new());
    for norm in source.batch_normalizations() {
        match norm.training {
            false => fixed += 1,
            true if norm.stays => staying.push(format!("`{}`", norm.result)),
            true if norm.statistics.iter().all(|name| followed.contains(name)) => following += 1,
            true => stuck.push(format!("`{}`", norm.result)),
        }
    }
    let number = |count: usize| match count {
        1 => "a batch normalization is".to_owned(),
        _ => format!("{count} batch normalizations are"),
    };
    let mut remarks = Vec::new();
    if fixed > 0 {
        remarks.push(format!("{} in inference mode: the running statistics stay as the file has them", number(fixed)));
    }
    if following > 0 {
        let what = "the running statistics follow the batches, and the model is measured and written with those";
        remarks.push(format!("{} in training mode: {what}", number(following)));
    }
    if !stuck.is_empty() {
        let what = "whose running statistics are no initializers of their own: they stay as they are";
        remarks.push(format!("{} in training mode ({}), {what}", number(stuck.len()), stuck.join(", ")));
    }
    let by_batches = "by the statistics of the batch where the model is measured and written too";
    if !staying.is_empty() {
        let what = format!("whose updated statistics other nodes use: {by_batches}");
        remarks.push(format!("{} in training mode ({}), {what}", number(staying.len()), staying.join(", ")));
    }
    let inner = source.inner_training();
    if inner > 0 {
        let what =
            format!("inside of a function or a branch: {by_batches}, and the running statistics stay as they are");
        remarks.push(format!("{} in training mode {what}", number(inner)));
    }
    // Before version 7 a dropout told itself in which mode it is. A model that may train is one whose exporter has kept the mode.
    let tells = !source.may_train() && source.opsets().get("").is_some_and(|&version| version >= 7);
    match source.operators().get("Dropout").copied().filter(|_| tells).unwrap_or(0) {
        0 => {}
        1 => remarks.push("a dropout is in inference mode: it drops nothing, in training neither".to_owned()),
        n => remarks.push(format!("{n} dropouts are in inference mode: they drop nothing, in training neither")),
    }
    remarks
}

/// Imports a model for inputs of these shapes, in training with a seed of random numbers. The parameters that follow the batches come with it.
pub(super) fn for_shapes(
    source: &onnx::Model,
    file: &str,
    dims: &BTreeMap<String, usize>,
    shapes: &BTreeMap<String, Shape>,
    training: Option<u64>,
) -> Result<(Model, Vec<Following>), LoadError> {
    let bindings = Bindings::new().hold_integers();
    let mut bindings = training.map_or(bindings.clone(), |seed| bindings.random(seed));
    for (name, extent) in dims {
        bindings = bindings.dim(name, *extent);
    }
    for input in source.inputs() {
        if let Some(shape) = shapes.get(&input.name) {
            bindings = bindings.shape(&input.name, shape);
        }
    }
    let imported = bound(source, file, &bindings)?;
    let following = followed(source).into_iter().filter_map(|(param, result, value)| {
        let node = |name: &str| imported.tensor(name).map(|tensor| tensor.id());
        Some(Following { param, result: Some(node(&result)?), value: node(&value)? })
    });
    let random = imported.random();
    let random = random.map(|(name, next)| Following { param: name.to_owned(), result: None, value: next.id() });
    let following = following.chain(random).collect();
    let program = imported.program();
    let held = held(&imported);
    let model = Model { program, format: Format::Onnx, fixed: BTreeMap::new(), unset: Default::default(), held };
    Ok((model, following))
}

/// What is known of the model's inputs. Arrays may be called like initializers too, which are no inputs.
fn bindings(source: &onnx::Model, known: &Known) -> Bindings {
    let mut bindings = Bindings::new().hold_integers();
    for (name, extent) in &known.dims {
        bindings = bindings.dim(name, *extent);
    }
    let inputs: HashSet<String> = source.inputs().into_iter().map(|input| input.name).collect();
    for (name, array) in known.arrays.iter().filter(|(name, _)| inputs.contains(*name)) {
        bindings = bindings.value(name, array.clone());
    }
    bindings
}

/// Describes a model, imported or not.
pub(super) fn describe(path: &Path, known: &Known) -> Result<Description, LoadError> {
    let source = source(path)?;
    let declarations = |list: Vec<onnx::Declared>| -> Vec<Declaration> {
        list.into_iter().map(|d| Declaration { ty: d.type_text(), name: d.name }).collect()
    };
    let (params, constants): (Vec<_>, Vec<_>) = source.initializers().into_iter().partition(is_float);
    let elements = params.iter().map(|declared| {
        let extents = declared.dims.clone().unwrap_or_default().into_iter().map(|dim| match dim {
            onnx::Dim::Extent(n) => n as u64,
            _ => 0,
        });
        extents.fold(1u64, u64::saturating_mul)
    });
    let (memory, unsupported, open) = match import(&source, path, known) {
        Ok(model) => {
            model.check_arrays(&known.arrays).map_err(|error| LoadError::Given(Box::new(error)))?;
            (Ok(compiled_memory(&model, path)?), Vec::new(), OpenExtents::default())
        }
        Err(LoadError::Open { open, .. }) => (Err(open.to_string()), unsupported_anyway(&source, known, &open), open),
        Err(LoadError::Import { error, .. }) if error.is_unsupported() => {
            let list = match &*error {
                ImportError::Unsupported(list) => list.iter().map(|u| u.to_string()).collect(),
                error => vec![error.to_string()],
            };
            (Err("the model cannot be imported".to_owned()), list, OpenExtents::default())
        }
        Err(error) => return Err(error),
    };
    Ok(Description {
        format: Format::Onnx,
        producer: source.producer().map(str::to_owned),
        opsets: source.opsets(),
        inputs: declarations(source.inputs()),
        outputs: declarations(source.outputs()),
        param_elements: elements.fold(0, u64::saturating_add),
        params: declarations(params),
        constants: declarations(constants),
        operations: source.operators(),
        roles: roles(&source),
        unsupported,
        memory,
        open,
    })
}
