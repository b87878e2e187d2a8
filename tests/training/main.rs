//! Training: optimizers, schedules, layers and the loop, against plain loops and against PyTorch.

mod curves;
#[path = "../engines/mod.rs"]
mod engines;
#[cfg(all(feature = "csv", feature = "npz", feature = "safetensors"))]
mod files;
mod logs;
mod nn;
mod optimizers;
mod rules;
mod trainer;
