//! Which elements of a cotangent can differ from 0.
//!
//! A `select` sends no cotangent to the branch that it does not take. But a zero alone does not stop what lies behind: the derivative there may be infinite
//! or NaN, as that of `log(x)` at 0 in `select(x > 0, log(x), 0)`, and 0 times that is NaN. So the reverse walk hands on, with the cotangent, the condition
//! under which it counts; [`Map`](super::Map) puts zeros elsewhere after each rule that multiplies. It cannot ask the cotangent itself whether it is 0: one
//! that happens to be 0 still has a derivative, which second orders need.
//!
//! Conditions follow scalar functions, whose operands have one shape; other operations end them.

use smallvec::SmallVec;

use crate::graph::NodeId;
use crate::scalar::ScalarFn;

use super::Emit;

/// A condition and whether it holds.
type Literal = (NodeId, bool);

/// The most literals of a conjunction, and conjunctions of a [`Taken`].
const MOST: usize = 4;

/// The elements that a cotangent can differ from 0 at: those where all conditions of one of these lists are as stated. Each has the cotangent's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken(SmallVec<[SmallVec<[Literal; MOST]>; 1]>);

impl Taken {
    /// What of `outer` (`None`: everything) is left where the condition is as stated. Conditions beyond a few are left out, which leaves more.
    pub(super) fn and(outer: &Option<Taken>, condition: NodeId, holds: bool) -> Taken {
        let literal = (condition, holds);
        let mut taken = outer.clone().unwrap_or(Taken(SmallVec::from_elem(SmallVec::new(), 1)));
        for all in taken.0.iter_mut().filter(|all| all.len() < MOST && !all.contains(&literal)) {
            all.push(literal);
        }
        taken
    }

    /// Where one of two cotangents, which are added, can differ from 0; `None` for everywhere.
    pub(crate) fn or(a: Option<Taken>, b: Option<Taken>) -> Option<Taken> {
        let (mut a, b) = (a?, b?);
        for all in b.0 {
            if !a.0.contains(&all) {
                a.0.push(all);
            }
        }
        (a.0.len() <= MOST).then_some(a)
    }

    /// The condition as a node.
    pub(super) fn emit(&self, e: &mut dyn Emit) -> NodeId {
        let mut any: Option<NodeId> = None;
        for all in &self.0 {
            let mut every: Option<NodeId> = None;
            for &(condition, holds) in all {
                let literal = if holds { condition } else { e.map(ScalarFn::Not, &[condition]) };
                every = Some(every.map_or(literal, |so_far| e.map(ScalarFn::And, &[so_far, literal])));
            }
            let every = every.expect("a conjunction has a literal");
            any = Some(any.map_or(every, |so_far| e.map(ScalarFn::Or, &[so_far, every])));
        }
        any.expect("there is a conjunction")
    }
}
