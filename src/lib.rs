//! Cotangent: a symbolic computation-graph compiler for differentiable programs on the CPU.
#![deny(missing_docs)]

pub mod array;
pub mod build;
pub mod compile;
pub mod data;
pub mod grad;
pub mod graph;
pub mod interp;
mod jit;
pub mod opt;
pub mod plan;
pub mod prim;
pub mod runtime;
pub mod scalar;
pub mod testing;
pub mod train;

pub use array::{Array, ArrayElement, ArrayError, ArrayView};
pub use build::{Builder, Init, Program, Tensor, init};
pub use compile::{CompileError, Engine, Options};
pub use graph::{DType, Graph, NodeId, ParseError, Shape, TensorType, VerifyError, types};
pub use runtime::{Executable, Outputs, ParamError, Params, Report, RunError};

/// What most programs import.
pub mod prelude {
    pub use crate::build::{Builder, Init, Program, Tensor, init};
    pub use crate::graph::types::{bool, f32, f64, i32, i64};
    pub use crate::train::{Adam, AdamW, Optimizer, Rate, Sgd};
    pub use crate::{Array, ArrayView, DType, Engine, Executable, Options, Params, Shape, TensorType};
}
