//! What runs: executables, the parameters that they share, and what a run can refuse.
//!
//! ```text
//!   Program --compile--> Executable --run(inputs)--> Outputs
//!                            |
//!                         Params      shared by every executable compiled with them: a training step and its predictor
//! ```

mod choice;
mod executable;
pub(crate) mod gemm;
mod inputs;
pub(crate) mod pages;
mod params;
mod pool;
pub(crate) mod profile;
mod report;
pub(crate) mod room;
pub(crate) mod routine;
pub(crate) mod team;

pub(crate) use executable::{Backend, inputs_of, outside_choices};
pub use executable::{Bound, Executable, Outputs, RunError};
pub use inputs::Inputs;
pub(crate) use params::{Declaration, Store};
pub use params::{ParamError, Params};
pub use profile::{CallProfile, Profile};
pub(crate) use report::Stages;
pub use report::{Report, StageTime};
pub use room::{Bytes, Limit, Shortage};
