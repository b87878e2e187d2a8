//! What a training run is made with, and whether it can go on with other words than it began with.

use std::collections::BTreeMap;
use std::path::Path;

use cotangent::io::model::Role;
use cotangent::train::Checkpoint;

use crate::args::{Schedules, TrainArgs};
use crate::failure::Failure;

/// Words without which a run cannot go on as it began: those of these keys.
const FIXED: [&str; 7] = ["data", "loss", "trained", "optimizer", "batch", "seed", "validate"];

/// What the run is made with, by key.
pub(crate) fn tags(
    args: &TrainArgs,
    batch: usize,
    data: &str,
    roles: &[(String, Role)],
) -> BTreeMap<&'static str, String> {
    let loss = match (&args.loss, &args.loss_of) {
        (Some(output), _) => output.clone(),
        (None, Some((output, kind))) => format!("{output}={}", kind.name()),
        (None, None) => String::new(),
    };
    let trained: Vec<&str> = roles.iter().filter(|(_, role)| *role == Role::Trained).map(|(name, _)| &**name).collect();
    let option = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let word = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let mut tags = BTreeMap::from([
        ("data", data.to_owned()),
        ("loss", loss),
        ("trained", trained.join(", ")),
        ("batch", batch.to_string()),
        ("seed", args.seed.to_string()),
        ("validate", option(args.validate.map(|share| share.to_string()))),
        ("optimizer", word(&args.optimizer)),
        ("lr", args.lr.to_string()),
        ("schedule", word(&args.schedule)),
        ("warmup", args.warmup.to_string()),
        ("momentum", args.momentum.to_string()),
        ("weight-decay", args.weight_decay.to_string()),
        ("clip-norm", option(args.clip_norm.map(|norm| norm.to_string()))),
        ("early-stop", option(args.early_stop.map(|epochs| epochs.to_string()))),
    ]);
    if args.schedule != Schedules::Constant {
        tags.insert("epochs", args.epochs.to_string());
    }
    tags
}

/// What is to be said where a run goes on with other words than it began with.
///
/// # Errors
/// If it cannot go on with them.
pub(crate) fn differences(
    path: &Path,
    checkpoint: &Checkpoint,
    tags: &BTreeMap<&'static str, String>,
) -> Result<Vec<String>, Failure> {
    let saved = checkpoint.tags();
    let mut notes = Vec::new();
    for (&key, given) in tags {
        let Some(&was) = saved.get(key).filter(|was| **was != given) else { continue };
        let what = match key {
            "data" => "the data".to_owned(),
            "trained" => "the trained parameters".to_owned(),
            "loss" => "the loss".to_owned(),
            _ => format!("--{key}"),
        };
        let path = path.display();
        if FIXED.contains(&key) {
            return Err(Failure::usage(format_args!(
                "--resume {path}: the run began with {what} {was}, and is to go on with {given}; its parameters alone begin a new run by --params {path}"
            )));
        }
        notes.push(format!("the run began with {what} {was}, and goes on with {given}"));
    }
    Ok(notes)
}
