//! `cotangent info`.

use std::io::Write;

use cotangent::io::model::{Declaration, Description, OpenExtents, describe};
use cotangent::runtime::Bytes;
use serde_json::{Value, json};

use crate::args::{InfoArgs, InfoFormat};
use crate::failure::{Failure, extents_hint};
use crate::model;

pub(crate) fn info(args: &InfoArgs) -> Result<(), Failure> {
    let given = model::given(&args.model)?;
    let description = describe(&args.model.model, &given.known)?;
    if description.memory.is_ok() {
        model::load(&args.model, &given)?;
    }
    let mut out = std::io::stdout().lock();
    match args.format {
        InfoFormat::Text => text(&mut out, &description)?,
        InfoFormat::Json => writeln!(out, "{:#}", json(&description))?,
    }
    if description.unsupported.is_empty() {
        return Ok(());
    }
    let list = description.unsupported.join("\n  ");
    Err(Failure::Unsupported(format!("the model uses what is not supported:\n  {list}")))
}

fn text(out: &mut impl Write, d: &Description) -> std::io::Result<()> {
    let by = d.producer.as_ref().map(|p| format!(", written by {p}")).unwrap_or_default();
    let sets: Vec<String> =
        d.opsets.iter().map(|(domain, version)| format!("{domain} {version}").trim().to_owned()).collect();
    let sets = if sets.is_empty() { String::new() } else { format!(", operator sets {}", sets.join(", ")) };
    writeln!(out, "format      {}{by}{sets}", d.format.name())?;
    let lists =
        [("inputs", &d.inputs), ("outputs", &d.outputs), ("parameters", &d.params), ("constants", &d.constants)];
    for (title, list) in lists.into_iter().filter(|(title, list)| *title != "constants" || !list.is_empty()) {
        writeln!(out, "{title:<11} {}", if list.is_empty() { "none".to_owned() } else { list.len().to_string() })?;
        for Declaration { name, ty } in list {
            match d.roles.iter().find(|(n, _)| title == "parameters" && n == name) {
                Some((_, role)) => writeln!(out, "  {name} : {ty}  {role}")?,
                None => writeln!(out, "  {name} : {ty}")?,
            }
        }
    }
    writeln!(out, "elements    {} in all parameters", d.param_elements)?;
    writeln!(out, "operations  {}", d.operations.values().sum::<usize>())?;
    for (name, count) in &d.operations {
        writeln!(out, "  {name} {count}")?;
    }
    match &d.memory {
        Ok(m) => {
            writeln!(out, "memory      {} peak of intermediate values", Bytes(m.arena_bytes))?;
            writeln!(out, "            {} inputs, outputs, parameters and constants", Bytes(m.external_bytes))?;
            writeln!(out, "kernels     {}, {} of code", m.kernels, Bytes(m.code_bytes))
        }
        Err(reason) => {
            let is_open = d.open != OpenExtents::default();
            let hint = if is_open { format!("; {}", extents_hint(&d.open)) } else { String::new() };
            writeln!(out, "memory      not known: {reason}{hint}")
        }
    }
}

fn json(d: &Description) -> Value {
    let list =
        |list: &[Declaration]| -> Value { list.iter().map(|d| json!({ "name": d.name, "type": d.ty })).collect() };
    let roles: serde_json::Map<String, Value> =
        d.roles.iter().map(|(name, role)| (name.clone(), role.to_string().into())).collect();
    let memory = match &d.memory {
        Ok(m) => json!({
            "arena_bytes": m.arena_bytes,
            "external_bytes": m.external_bytes,
            "kernels": m.kernels,
            "code_bytes": m.code_bytes,
        }),
        Err(reason) => json!({
            "unknown": reason,
            "open_extents": d.open.symbols,
            "open_inputs": d.open.inputs,
            "deciding_inputs": d.open.values,
        }),
    };
    json!({
        "format": d.format.name(),
        "producer": d.producer,
        "opsets": d.opsets,
        "inputs": list(&d.inputs),
        "outputs": list(&d.outputs),
        "parameters": list(&d.params),
        "constants": list(&d.constants),
        "training": roles,
        "parameter_elements": d.param_elements,
        "operations": d.operations,
        "unsupported": d.unsupported,
        "memory": memory,
    })
}
