//! Parameters that an epoch leaves as they were though they are trained, as it does where all units of a rectifier are dead.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use crate::array::{Array, StorageRef};
use crate::build::Builder;
use crate::runtime::Params;
use crate::train::{TrainStep, param_name};

/// The parameters that a step trains; states that it updates are not among them.
pub(super) fn trained(builder: &Builder, step: &TrainStep<'_>) -> Vec<String> {
    let trainable = builder.params();
    let trained = step.updates().iter().filter(|(param, _)| trainable.iter().any(|t| t.id() == param.id()));
    trained.filter_map(|&(param, _)| param_name(param)).map(|name| name.to_string()).collect()
}

/// A number for each parameter that is another where one of its elements has changed.
pub(super) fn prints(params: &Params, names: &[String]) -> Vec<Option<u64>> {
    names.iter().map(|name| params.get(name).ok().map(|value| print(&value))).collect()
}

/// Each step of this hash can be undone, so that a change of one element is never missed, and one of several as good as never.
fn print(array: &Array) -> u64 {
    let mut hasher = FxHasher::default();
    match array.storage() {
        StorageRef::F32(v) => v.iter().for_each(|x| hasher.write_u32(x.to_bits())),
        StorageRef::F64(v) => v.iter().for_each(|x| hasher.write_u64(x.to_bits())),
        StorageRef::F16(v) => v.iter().for_each(|x| hasher.write_u16(x.to_bits())),
        StorageRef::BF16(v) => v.iter().for_each(|x| hasher.write_u16(x.to_bits())),
        _ => array.to_f64_vec().iter().for_each(|x| hasher.write_u64(x.to_bits())),
    }
    hasher.finish()
}

/// The parameters whose numbers are the same as before. None where all are: that is a rate of 0, or the end of training.
pub(super) fn unchanged(params: &Params, names: &[String], before: &[Option<u64>]) -> Vec<String> {
    let after = prints(params, names);
    let same: Vec<String> =
        names.iter().zip(before.iter().zip(&after)).filter(|(_, (b, a))| b == a).map(|(n, _)| n.clone()).collect();
    if same.len() == names.len() { Vec::new() } else { same }
}
