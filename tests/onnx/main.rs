//! Import and export of ONNX models: the node tests of the ONNX project, models of other exporters with their results and gradients, and files that are broken.
#![cfg(feature = "onnx")]

mod archive;
mod classical;
mod export;
mod gradients;
mod held;
mod hostile;
mod indices;
mod misfits;
mod models;
mod narrow;
mod nodes;
mod numbers;
mod origins;
mod random;
mod trees;
mod wire;
