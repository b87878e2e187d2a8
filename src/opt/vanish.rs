//! What is zero anyway where a condition holds.
//!
//! Differentiation puts zeros wherever a cotangent does not count after each rule that multiplies, since the other factor may be infinite there
//! ([`prim::taken`](crate::prim)). Where formulas show that it is not, as for a gate of an argument that is held between bounds, once is enough.

use crate::graph::NodeId;
use crate::prim::Op;
use crate::scalar::ScalarFn::{Abs, Add, Cos, Erf, Max, Min, Mul, Neg, Select, Sigmoid, Sin, Sub, Tanh};

use super::rewrite::Rewriter;

/// How many nodes are looked at for an answer.
const NODES: u32 = 48;

/// Far below what overflows in any type that is computed with.
const LARGEST: f64 = 1e30;

/// Elements of a tensor: those where the node of truth values is as stated.
#[derive(Clone, Copy)]
struct Where {
    condition: NodeId,
    holds: bool,
}

impl Where {
    /// The branches of a selection that these elements may take.
    fn branches(self, condition: NodeId, [yes, no]: [NodeId; 2]) -> [NodeId; 2] {
        match (condition == self.condition, self.holds) {
            (true, true) => [yes, yes],
            (true, false) => [no, no],
            (false, _) => [yes, no],
        }
    }
}

/// `select(c, 0, x)`, or `select(c, x, 0)`, is `x` if that is zero in any case where the zeros are.
pub(super) fn select_of_vanishing(r: &mut Rewriter<'_>, _: &Op, x: &[NodeId]) -> Option<NodeId> {
    let (branch, holds) = match (r.is_zero(x[1]), r.is_zero(x[2])) {
        (true, false) => (x[2], true),
        (false, true) => (x[1], false),
        _ => return None,
    };
    // A selection itself is another rule's.
    if r.as_select(branch).is_some() {
        return None;
    }
    vanishes(r, branch, Where { condition: x[0], holds }, &mut { NODES }).then_some(branch)
}

/// True if the formula shows that all these elements are zero, of either sign.
fn vanishes(r: &Rewriter<'_>, id: NodeId, at: Where, fuel: &mut u32) -> bool {
    if r.is_zero(id) {
        return true;
    }
    let (Op::Map(m), true) = (r.op(id), burn(fuel)) else { return false };
    let x = r.operands(id);
    let mut zero = |id| vanishes(r, id, at, fuel);
    match m.f {
        Neg | Abs => zero(x[0]),
        Add | Sub => zero(x[0]) && zero(x[1]),
        Select => at.branches(x[0], [x[1], x[2]]).into_iter().all(zero),
        Mul => {
            let mut by = |a, b| vanishes(r, a, at, fuel) && bound(r, b, at, fuel).is_some();
            by(x[0], x[1]) || by(x[1], x[0])
        }
        _ => false,
    }
}

/// What none of these elements exceeds in magnitude, if the formula shows it. Then none of them is NaN.
fn bound(r: &Rewriter<'_>, id: NodeId, at: Where, fuel: &mut u32) -> Option<f64> {
    if let Some(value) = r.splat(id) {
        return Some(value.abs()).filter(|&v| v < LARGEST);
    }
    let (Op::Map(m), true) = (r.op(id), burn(fuel)) else { return None };
    let x = r.operands(id);
    let mut of = |id| bound(r, id, at, fuel);
    let most = match m.f {
        Neg | Abs => of(x[0])?,
        Add | Sub => of(x[0])? + of(x[1])?,
        Mul => of(x[0])? * of(x[1])?,
        Max | Min => of(x[0])?.max(of(x[1])?),
        Tanh | Erf | Sigmoid | Sin | Cos => of(x[0]).map(|_| 1.0)?,
        Select => {
            let [a, b] = at.branches(x[0], [x[1], x[2]]);
            of(a)?.max(of(b)?)
        }
        _ => return None,
    };
    Some(most).filter(|&v| v < LARGEST)
}

/// Takes a node of the fuel, if there is one.
fn burn(fuel: &mut u32) -> bool {
    let left = fuel.checked_sub(1);
    *fuel = left.unwrap_or(0);
    left.is_some()
}
