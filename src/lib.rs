//! Cotangent: a symbolic computation-graph compiler for differentiable programs on the CPU.
#![deny(missing_docs)]

pub mod array;
pub mod build;
pub mod grad;
pub mod graph;
pub mod interp;
pub mod prim;
pub mod scalar;

pub use array::{Array, ArrayElement, ArrayError, ArrayView};
pub use build::{Builder, Init, Program, Tensor, init};
pub use graph::{DType, Graph, NodeId, Shape, TensorType, types};

/// What most programs import.
pub mod prelude {
    pub use crate::build::{Builder, Init, Program, Tensor, init};
    pub use crate::graph::types::{bool, f32, f64, i32, i64};
    pub use crate::{Array, ArrayView, DType, Shape, TensorType};
}
