//! What tests and fuzzers share: random programs, gradient checks and comparisons of arrays.
//!
//! ```text
//!   generate(seed) -> Case     a random program with its inputs, the interpreter's results and how far a correct engine may differ from them
//!   Case::check(results)       compares an engine's results with those
//!   bound::Bounded             a value and, for each of its elements, that distance; bound::evaluate carries it through one operation
//!   check_gradient(f, inputs)  differentiation against finite differences, first and second order
//!   compare(a, b, tolerance)   arrays against arrays
//!   Gemm                       a matrix product by itself, for benches
//! ```
//!
//! The generator reads the operation tables ([`OpKind::ALL`](crate::prim::OpKind::ALL), [`ScalarFn::ALL`](crate::scalar::ScalarFn::ALL)), so that a new
//! scalar function is generated without anyone asking, and a new structural operation does not compile until it has a recipe here.
//!
//! Everything is a function of its seed: a failing seed is a bug report.

pub mod bound;
mod compare;
mod draw;
mod generate;
mod gradient;
mod loops;
mod recipes;

pub use crate::runtime::gemm::alone::Gemm;
pub use compare::{Mismatch, Tolerance, compare};
pub use draw::Draw;
pub use generate::{Case, CaseMismatch, Config, generate, generate_with};
pub use gradient::{GradientMismatch, GradientReport, check_gradient, check_gradient_of};
