//! What is known of a tensor's sign from the formula that makes it.
//!
//! A factor may cancel against itself only if it is not 0, and no rule knows numbers. It knows formulas: an exponential is positive whatever its argument,
//! and so are sums and products of positive numbers. "Positive" is meant of exact arithmetic: an exponential that underflows to 0, or overflows, is positive,
//! and it is for the sake of those that rules cancel.

use crate::graph::NodeId;
use crate::prim::{Emit, Op, Reduction};
use crate::scalar::ScalarFn;

use super::rewrite::Rewriter;

/// How deep formulas are looked into.
const DEPTH: u32 = 8;

impl Rewriter<'_> {
    /// True if all elements are positive in exact arithmetic, by the form of the formula, for arguments that are numbers. False if it does not show.
    pub fn is_positive(&self, id: NodeId) -> bool {
        self.has_sign(id, true, DEPTH)
    }

    /// `strict` asks for positive numbers, otherwise zeros are allowed.
    fn has_sign(&self, id: NodeId, strict: bool, depth: u32) -> bool {
        use ScalarFn::{Abs, Add, Div, Exp, Mul, Rsqrt, Select, Sigmoid, Softplus, Sqrt, StopGradient};
        let Some(depth) = depth.checked_sub(1) else { return false };
        if let Some(value) = self.splat(id) {
            return value.is_finite() && if strict { value > 0.0 } else { value >= 0.0 };
        }
        let x = self.operands(id);
        let all = |operands: &[NodeId]| operands.iter().all(|&o| self.has_sign(o, strict, depth));
        match self.op(id) {
            Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) => all(x),
            Op::Reduce(r) => {
                let shape = self.graph().shape(x[0]);
                let terms: usize = r.axes.iter().map(|&a| shape[a]).product();
                match r.reduction {
                    Reduction::Sum => all(x) && (!strict || terms > 0),
                    Reduction::Prod | Reduction::Max | Reduction::Min => all(x),
                }
            }
            Op::Map(m) => match m.f {
                Exp | Sigmoid | Softplus => true,
                Abs => !strict,
                Mul if !strict && x[0] == x[1] => true,
                // One positive addend is enough beside one that is not negative.
                Add => {
                    let [a, b] = [x[0], x[1]];
                    let sign = |id, strict| self.has_sign(id, strict, depth);
                    sign(a, strict) && sign(b, false) || strict && sign(a, false) && sign(b, true)
                }
                // A root is positive where its operand is, and NaN where that is negative.
                Sqrt => !strict || all(x),
                Rsqrt => all(x),
                Mul | Div => all(x),
                Select => all(&x[1..]),
                StopGradient => all(x),
                _ => false,
            },
            _ => false,
        }
    }
}
