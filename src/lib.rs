//! A symbolic computation-graph compiler for differentiable programs on the CPU.
//!
//! A program writes a static graph of tensor operations. Differentiation appends the gradient's nodes to it, an optimizer the update's, and the whole
//! training step, forward, backward and update, compiles to one native function. Every stage can be printed, and a reference interpreter runs the same
//! graph.
//!
//! ```
//! use cotangent::data;
//! use cotangent::prelude::*;
//!
//! let digits = data::digits(); // 1,797 handwritten digits of 8 x 8 pixels
//!
//! let g = Builder::new();
//! let x = g.input("x", f32([50, 8, 8]));
//! let y = g.input("y", i32([50]));
//! let w1 = g.param("w1", init::he([64, 100], 0));
//! let w2 = g.param("w2", init::he([100, 10], 1));
//! let logits = x.reshape([50, 64]).dot(w1).relu().dot(w2);
//! let loss = logits.cross_entropy(y).mean();
//!
//! let mut step = Sgd::new(0.2).minimize(loss).compile(&Options::default())?;
//! let mut batches = digits.train.shuffled(50, 0);
//! let mut last = f32::INFINITY;
//! for epoch in 0..5 {
//!     for (xs, ys) in batches.epoch(epoch) {
//!         last = step.run(&[("x", xs), ("y", ys)])?.scalar()?;
//!     }
//! }
//! assert!(last < 0.5);
//!
//! let mut predict = step.forward(logits.argmax(-1))?; // shares the trained parameters
//! let (xs, _) = digits.test.batches(50).next().unwrap();
//! let classes = predict.run(&[("x", xs)])?.first();
//! assert_eq!(classes.shape()[..], [50]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! | to ... | see |
//! |---|---|
//! | write a graph | [`Builder`], [`Tensor`], [`init`], [`Conv`](build::Conv), [`Pool`](build::Pool) |
//! | repeat and choose | [`Builder::scan`], [`Builder::while_loop`], [`Builder::cond`] |
//! | differentiate | [`Builder::grad`], [`Builder::vjp`], [`Builder::jvp`], [`Builder::hvp`], [`Builder::jacobian`], [`Builder::hessian`] |
//! | give a function a derivative of one's own; trade time for memory | [`Builder::custom_vjp`], [`Builder::checkpoint`] |
//! | write for one example, run for many | [`Builder::vmap`] |
//! | know what derivatives mean and how they compose | [`transform`] |
//! | train | [`train`]: [`Sgd`](train::Sgd), [`Adam`](train::Adam), [`AdamW`](train::AdamW), [`Rate`](train::Rate), [`Schedule`](train::Schedule), [`Groups`](train::Groups) |
//! | put layers together | [`nn`] |
//! | run epochs, measure, stop, go on | [`train::Trainer`] |
//! | compile and run | [`Program`], [`Options`], [`Executable`], [`Report`] |
//! | know where the time of a run goes | [`Bound::profile`] |
//! | read and set parameters | [`Params`] |
//! | read data | [`data`] |
//! | take ONNX models | `io::onnx`, with feature `onnx` |
//! | exchange arrays and parameters with other systems | [`io`] |
//! | know the element types, and how they meet | [`dtypes`], [`DType`] |
//! | know what happens at ties, at 0, and out of range | [`choices`] |
//! | know what happens at the ends of the number range | [`stability`] |
//! | know how accurate each scalar function is | [`accuracy`] |
//! | read gradients as formulas, and how they were found | [`Tensor::to_math`], [`Tensor::gradients_to_math`], [`Graph::derivation`], [`math`] |
//! | draw loss curves, decision boundaries and such | `plot`, with the feature of that name |
//! | read what the compiler did | [`Executable::dump`], [`dump`], [`graph`], [`opt`], [`plan`] |
//!
//! # Promises
//!
//! - A mistake in the program, such as shapes that do not fit, panics at the line that makes it. Whatever comes from outside (files, arrays, text) gives an
//!   error and never a panic.
//! - The same program with the same inputs gives the same bits in every run on one machine.
//! - A run checks names, shapes, element types and labels of its inputs before it computes or changes anything.
#![deny(missing_docs)]

pub mod array;
pub mod build;
#[doc = include_str!("accuracy.md")]
pub mod accuracy {}
#[doc = include_str!("choices.md")]
pub mod choices {}
#[doc = include_str!("stability.md")]
pub mod stability {}
mod codegen;
#[doc = include_str!("dtypes.md")]
pub mod dtypes {}
pub mod compile;
pub mod data;
pub mod dump;
mod error;
pub mod grad;
pub mod graph;
pub mod interp;
pub mod io;
mod jit;
pub mod math;
pub mod nn;
pub mod opt;
pub mod plan;
#[cfg(feature = "plot")]
pub mod plot;
pub mod prim;
pub mod runtime;
pub mod scalar;
mod spelling;
pub mod testing;
pub mod train;
pub mod transform;

pub use array::{Array, ArrayElement, ArrayError, ArrayView};
pub use build::{Builder, Init, Key, Program, Scan, Tensor, Tensors, init};
pub use compile::{CompileError, Engine, Options};
pub use dump::Stage;
#[doc(no_inline)]
pub use half;

pub use graph::{DType, Graph, NodeId, ParseError, Shape, TensorType, VerifyError, types};
pub use math::{Derivation, Math};
pub use runtime::{Bound, Executable, Inputs, Outputs, ParamError, Params, Profile, Report, RunError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What most programs import.
pub mod prelude {
    pub use crate::build::{Attention, BatchNorm, CrossEntropy, LossReduction};
    pub use crate::build::{Builder, INFER, Init, Key, PadMode, Program, Scan, Tensor, Tensors, init};
    pub use crate::build::{Conv, Interpolation, Layout, Padding, Pool};
    pub use crate::graph::types::{bf16, bool, f16, f32, f64, i32, i64, u8, u32};
    pub use crate::prim::{Combine, Keep};
    pub use crate::train::{Adam, AdamW, Optimizer, Rate, Schedule, Sgd};
    pub use crate::{Array, ArrayView, DType, Engine, Executable, Options, Params, Shape, Stage, TensorType};
}
