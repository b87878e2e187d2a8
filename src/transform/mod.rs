//! Transformations: functions into other functions, as graphs into graphs.
//!
//! A transformation reads the nodes between some inputs and some results and appends others. What it appends are ordinary nodes, so transformations
//! compose in any order and to any depth: a gradient of a batch, a batch of gradients, a derivative of a derivative. None knows an operation; each asks
//! the operation's own rule, which is in the operation's file under [`prim`](crate::prim).
//!
//! # Reverse mode
//!
//! Let `y = f(x)`, and let `J` be the Jacobian, `J[i, j] = dy[i] / dx[j]`. Reverse mode computes, for a *cotangent* `u` that is typed like `y`, the
//! vector-Jacobian product
//!
//! ```text
//!   vjp(f, x)(u)[j] = sum over i of u[i] J[i, j]          (u J, or J^T u)
//! ```
//!
//! For `y = f2(f1(x))` the Jacobian is `J2 J1`, and `u (J2 J1) = (u J2) J1`: the walk goes backward. One walk gives the derivatives of *one* scalar by
//! everything, so this is the way to gradients. [`Builder::grad`](crate::Builder::grad) is `vjp` with the cotangent 1.
//!
//! # Forward mode
//!
//! For a *tangent* `v` that is typed like `x`, forward mode computes the Jacobian-vector product, the derivative in the direction `v`:
//!
//! ```text
//!   jvp(f, x)(v)[i] = sum over j of J[i, j] v[j]          (J v)
//! ```
//!
//! `(J2 J1) v = J2 (J1 v)`: the walk goes forward. One walk gives the derivatives of everything by *one* scalar. The two agree in
//! `u (J v) = (u J) v`, whatever `u` and `v` are:
//!
//! ```
//! use cotangent::prelude::*;
//!
//! let g = Builder::new();
//! let (x, v, u) = (g.input("x", f64([3])), g.input("v", f64([3])), g.input("u", f64([2])));
//! let w = g.constant(Array::new([3, 2], vec![1.0, -2.0, 0.5, 3.0, 1.5, -1.0])?);
//! let y = x.dot(w).tanh();
//!
//! let forward = (u * g.jvp(&[y], &[(x, v)])[0]).sum();
//! let reverse = (g.vjp(&[(y, u)], &[x])[0] * v).sum();
//!
//! let program = g.program(&[("forward", forward), ("reverse", reverse)]);
//! let mut run = program.compile(&Options::default())?;
//! let (xs, vs) = (Array::new([3], vec![0.1, -0.2, 0.3])?, Array::new([3], vec![1.0, 2.0, 3.0])?);
//! let us = Array::new([2], vec![0.5, -1.0])?;
//! let results = run.run(&[("x", &xs), ("v", &vs), ("u", &us)])?;
//! let (forward, reverse) = (results.get("forward")?.get_f64(0), results.get("reverse")?.get_f64(0));
//! assert!((forward - reverse).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Batching
//!
//! [`Builder::vmap`](crate::Builder::vmap) takes a function of one example and gives the function of a batch, `vmap(f)(X)[n] = f(X[n])`, without a loop:
//! each operation becomes one operation on all examples. What does not depend on the examples is computed once.
//!
//! # Composition
//!
//! | function | is | shape |
//! |---|---|---|
//! | [`hvp`](crate::Builder::hvp) | `jvp` of `grad`: `H v`, forward over reverse | that of `v` |
//! | [`jacobian`](crate::Builder::jacobian) | `vmap` of `jvp` or `vjp` over unit vectors | that of `y`, then that of `x` |
//! | [`hessian`](crate::Builder::hessian) | `jacobian` of `grad` | that of `x`, twice |
//! | a gradient for each example | `vmap` of `grad` | the batch, then that of the parameter |
//!
//! ```
//! use cotangent::prelude::*;
//!
//! let g = Builder::new();
//! let (x, w) = (g.input("x", f64([4, 3])), g.param("w", Array::new([3], vec![1.0, 2.0, 3.0])?));
//! // The gradient of each of four losses by the parameter that all of them share.
//! let [each] = g.vmap([x], |[x]| g.grad((x * w).sum().square(), [w]));
//! assert_eq!(each.shape()[..], [4, 3]);
//! // d2/dw2 (x . w)^2 = 2 x x^T, for each example.
//! let [curvature] = g.vmap([x], |[x]| [g.hessian((x * w).sum().square(), w)]);
//! assert_eq!(curvature.shape()[..], [4, 3, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Derivatives of one's own
//!
//! [`Builder::custom_vjp`](crate::Builder::custom_vjp) replaces `u -> u J` by a rule `u -> R(u)`. Its nodes are traced when the function is built and kept
//! in the graph as a [`SubGraph`], so every transformation sees them: second derivatives differentiate `R`, batches batch it, and forward mode takes its
//! transpose. If `R(u) = u A` for some matrix `A`, that is
//!
//! ```text
//!   v -> A v,  the vector-Jacobian product of u -> u A with the cotangent v
//! ```
//!
//! which does not depend on `u`; that is also how a rule that is not linear is found out. With the true `A = J` forward and reverse mode agree.
//!
//! # Computing again
//!
//! Reverse mode reads the forward pass's values backward, so they wait in memory. [`Builder::checkpoint`](crate::Builder::checkpoint) is a rule, too:
//!
//! ```text
//!   R(u) = vjp(f, x')(u),  where x' is x behind a barrier that waits for u
//! ```
//!
//! It has the gradient's value and keeps `x` only; the values of `f` are computed again when `u` is there. The [`Barrier`](crate::prim::Barrier) keeps the
//! two computations apart and the second one late; the plan has nothing of it but an order of steps.
//! [`Options::memory_budget`](crate::Options::memory_budget) does the same to single values of a finished program, for which the planner sees that they
//! wait through the step of the largest demand.

mod jvp;
mod subgraph;
mod vmap;

use crate::grad::Instead;
use crate::graph::{Graph, NodeId};

pub use jvp::jvp;
pub(crate) use jvp::jvp_as;
pub use subgraph::SubGraph;
pub use vmap::vmap;
pub(crate) use vmap::vmap_beside;

/// Takes out of a mask over the first nodes all that `results` do not need.
fn keep_needed(graph: &Graph, results: &[NodeId], mask: &mut [bool], instead: &Instead) {
    let mut needed = vec![false; mask.len()];
    results.iter().for_each(|r| needed[r.index()] = true);
    for index in (0..mask.len()).rev() {
        mask[index] &= needed[index];
        if mask[index] {
            instead.operands(graph, NodeId::new(index)).iter().for_each(|o| needed[o.index()] = true);
        }
    }
}
