//! Models and arrays from and to the outside.
//!
//! Whatever a file holds, reading it gives a value or an error and never a panic, and takes memory in proportion to the file.

#[cfg(feature = "onnx")]
pub mod onnx;
