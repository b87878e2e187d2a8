//! ONNX models in and out.
//!
//! ```text
//!   file ──Model::read──▶ Model ──import(Bindings)──▶ Imported: a Builder with the graph, parameters and names
//!                           ▲                             │ program(), or losses, gradients and updates appended
//!                           └──with_initializers──────────┘ trained values
//! ```
//!
//! A [`Model`] is what the file says. [`Model::import`] builds its graph for inputs of known shapes: [`Bindings`] say what symbolic extents are. Shape
//! computations are evaluated on the way. Floating-point initializers become parameters, so that an [`Imported`] model can be differentiated and trained.
//!
//! Which operators an import supports, [`operators`] says. [`Model::of_program`] writes the forward graph of a program as a model.
//!
//! What is wrong with a model is told apart: a file that is none ([`ModelError`]), a graph that is malformed, and one that uses what is not supported
//! ([`ImportError::Unsupported`], which lists all of it).

mod bindings;
mod checked;
mod dtype;
mod error;
mod export;
mod held;
mod import;
mod imported;
mod known;
mod model;
mod narrow;
mod node;
mod ops;
#[doc = include_str!("operators.md")]
pub mod operators {}
mod proto;
mod random;
mod roles;
mod tensor;

pub use bindings::Bindings;
pub use dtype::OnnxType;
pub use error::{ImportError, ModelError, Reason, Unsupported};
pub use export::{EXPORTED, ExportError};
pub use imported::Imported;
pub use model::{Declared, Dim, Model};
pub use ops::{NEWEST, Supported, supported};
pub use roles::{BatchNormalization, Purpose};
pub use tensor::{read_held_tensor, read_tensor};
