//! Which elements of a cotangent can differ from 0.
//!
//! A `select` sends no cotangent to the branch that it does not take. But a zero alone does not stop what lies behind: the derivative there may be infinite
//! or NaN, as that of `log(x)` at 0 in `select(x > 0, log(x), 0)`, and 0 times that is NaN. So the reverse walk hands on, with the cotangent, the condition
//! under which it counts, and zeros are put elsewhere after each rule that multiplies. The walk cannot ask the cotangent itself whether it is 0: one
//! that happens to be 0 still has a derivative, which second orders need.
//!
//! ```text
//!   scalar functions              hand the condition on: their operands have one shape
//!   movement, indexing, sums      the operand's elements that have a share in an element that counts, by the operation's own VJP of ones and zeros
//!   other folds, recurrences      as the sum would
//!   factors and solutions         whole matrices
//!   loops, rules of one's own     everything, if anything counts
//!   products of tensors           end the condition: each of their sums mixes rows, and taking rows out would cost a pass over both factors
//! ```
//!
//! Conditions are kept as steps and become nodes where a rule multiplies, which most never reach.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::graph::{DType, NodeId, Operands, TensorType};
use crate::scalar::ScalarFn;

use super::{Combine, Cumulative, Emit, Op, Reduce, Reduction, Scatter, Vjp};

/// The most literals of a conjunction, and conjunctions of a [`Taken`].
const MOST: usize = 4;

/// The most steps of a condition: one with more becomes a node.
const DEEPEST: usize = 4;

/// A condition and whether it holds.
#[derive(Clone, Debug, PartialEq)]
enum Literal {
    /// A node of truth values.
    Node(NodeId, bool),
    /// The elements of an operation's operand that have a share in elements of its result.
    Share(Rc<Share>),
}

#[derive(Clone, Debug, PartialEq)]
struct Share {
    taken: Taken,
    op: Op,
    operands: Operands,
    output: NodeId,
    /// Which operand.
    operand: usize,
}

/// The elements that a cotangent can differ from 0 at: those where all conditions of one of these lists are as stated. Each has the cotangent's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    any: SmallVec<[SmallVec<[Literal; MOST]>; 1]>,
    /// Steps, one behind the other, until the condition is a node.
    depth: usize,
}

/// How a condition passes an operation that is no scalar function.
enum Passage {
    /// As it is, to the first operand.
    Same,
    /// By the VJP of this operation, whose cotangents are sums of some of the result's; zeros stay zeros.
    Linear(Op),
    /// By the VJP of this operation, which reaches the same elements; the rule itself multiplies.
    Like(Op),
    /// By whole matrices along the last two axes.
    Matrices,
    /// Everything has a share in everything.
    Whole,
    /// Not at all.
    Ends,
}

impl Passage {
    fn of(op: &Op) -> Passage {
        match op {
            Op::Broadcast(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Concat(_)
            | Op::Gather(_)
            | Op::Window(_)
            | Op::Unwindow(_) => Passage::Linear(op.clone()),
            Op::Cast(_) | Op::Barrier(_) => Passage::Same,
            Op::Reduce(r) if r.reduction == Reduction::Sum => Passage::Linear(op.clone()),
            Op::Reduce(r) => Passage::Like(Reduce { reduction: Reduction::Sum, axes: r.axes.clone() }.into()),
            Op::Cumulative(c) => Passage::Like(Cumulative { reduction: Reduction::Sum, ..c.clone() }.into()),
            Op::Recurrence(r) => {
                Passage::Like(Cumulative { reduction: Reduction::Sum, axis: r.axis, reverse: r.reverse }.into())
            }
            Op::Scatter(s) if matches!(s.combine, Combine::Add | Combine::Set) => Passage::Linear(op.clone()),
            Op::Scatter(s) => Passage::Like(Scatter { combine: Combine::Add, ..s.clone() }.into()),
            Op::Cholesky(_) | Op::Lu(_) | Op::TriangularSolve(_) => Passage::Matrices,
            Op::Custom(_) => Passage::Whole,
            _ => Passage::Ends,
        }
    }
}

impl Taken {
    fn literal(literal: Literal, depth: usize) -> Taken {
        Taken { any: SmallVec::from_elem(SmallVec::from_elem(literal, 1), 1), depth }
    }

    /// What of `outer` (`None`: everything) is left where the condition is as stated. Many conditions become one node.
    pub(super) fn and(e: &mut dyn Emit, outer: &Option<Taken>, condition: NodeId, holds: bool) -> Taken {
        let literal = Literal::Node(condition, holds);
        let Some(mut taken) = outer.clone() else { return Taken::literal(literal, 0) };
        if taken.any.iter().any(|all| all.len() >= MOST && !all.contains(&literal)) {
            taken = Taken::literal(Literal::Node(taken.emit(e), true), 0);
        }
        for all in taken.any.iter_mut().filter(|all| !all.contains(&literal)) {
            all.push(literal.clone());
        }
        taken
    }

    /// Where one of two cotangents, which are added, can differ from 0; `None` for everywhere. Many conditions become one node.
    pub(crate) fn or(e: &mut dyn Emit, a: Option<Taken>, b: Option<Taken>) -> Option<Taken> {
        let (mut a, b) = (a?, b?);
        for all in b.any {
            if !a.any.contains(&all) {
                a.any.push(all);
            }
        }
        a.depth = a.depth.max(b.depth);
        Some(if a.any.len() <= MOST { a } else { Taken::literal(Literal::Node(a.emit(e), true), 0) })
    }

    /// The condition as a node.
    pub(crate) fn emit(&self, e: &mut dyn Emit) -> NodeId {
        let mut any: Option<NodeId> = None;
        for all in &self.any {
            let mut every: Option<NodeId> = None;
            for literal in all {
                let literal = match literal {
                    Literal::Node(condition, true) => *condition,
                    Literal::Node(condition, false) => e.map(ScalarFn::Not, &[*condition]),
                    Literal::Share(share) => share.emit(e),
                };
                every = Some(every.map_or(literal, |so_far| e.map(ScalarFn::And, &[so_far, literal])));
            }
            let every = every.expect("a conjunction has a literal");
            any = Some(any.map_or(every, |so_far| e.map(ScalarFn::Or, &[so_far, every])));
        }
        any.expect("there is a conjunction")
    }

    /// Hands the condition of the cotangent of `op` on to its operands, and puts zeros where the rule has multiplied: `parts` are what it gave. For all
    /// operations but scalar functions, which do so themselves.
    pub(crate) fn pass(
        taken: Taken,
        op: &Op,
        (e, operands, output): (&mut dyn Emit, &Operands, NodeId),
        parts: &mut [Option<NodeId>],
    ) -> SmallVec<[Option<Taken>; 3]> {
        let passage = Passage::of(op);
        let (op, multiplies) = match passage {
            Passage::Ends => return SmallVec::from_elem(None, parts.len()),
            Passage::Same => {
                let mut conditions = SmallVec::from_elem(None, parts.len());
                conditions[0] = Some(taken);
                return conditions;
            }
            Passage::Linear(op) => (op, false),
            Passage::Like(op) => (op, true),
            Passage::Matrices | Passage::Whole => {
                let whole = matches!(passage, Passage::Whole);
                let mut conditions = SmallVec::new();
                for part in parts.iter_mut() {
                    conditions.push(part.as_mut().map(|part| {
                        // The leading axes are a batch, in the result too.
                        let kept = if whole { 0 } else { e.ty(*part).shape.rank() - 2 };
                        let any = any(e, &taken, kept);
                        Taken::hide(e, any, part)
                    }));
                }
                return conditions;
            }
        };
        let taken = match taken.depth < DEEPEST {
            true => taken,
            false => Taken::literal(Literal::Node(taken.emit(e), true), 0),
        };
        // A recurrence is like a sum of its second operand, and its first has the same shape.
        let of = |i: usize| if matches!(op, Op::Cumulative(_)) { 0 } else { i };
        let mut conditions = SmallVec::new();
        for (i, part) in parts.iter_mut().enumerate() {
            conditions.push(part.as_mut().map(|part| {
                let operands = if matches!(op, Op::Cumulative(_)) {
                    Operands::from_slice(&[operands[i]])
                } else {
                    operands.clone()
                };
                let share = Share { taken: taken.clone(), op: op.clone(), operands, output, operand: of(i) };
                if !multiplies {
                    return Taken::literal(Literal::Share(Rc::new(share)), taken.depth + 1);
                }
                let condition = share.emit(e);
                Taken::hide(e, condition, part)
            }));
        }
        conditions
    }

    /// The operands and the result of `op` as its rule shall see them: if it is about whole matrices, with ones in place of those that do not count. The
    /// rule multiplies them with each other, and products end the condition: so nothing of a matrix that is hidden is in derivatives of higher orders either.
    pub(crate) fn shelter(&self, op: &Op, e: &mut dyn Emit, operands: &mut Operands, output: &mut NodeId) {
        if !matches!(Passage::of(op), Passage::Matrices) {
            return;
        }
        let kept = e.ty(*output).shape.rank() - 2;
        let condition = any(e, self, kept);
        for matrices in operands.iter_mut().chain([output]) {
            let (ty, rank) = (e.ty(*matrices), e.ty(condition).shape.rank());
            let counts = e.broadcast(condition, ty.shape.clone(), (rank..ty.shape.rank()).collect());
            let one = e.full(&ty, 1.0);
            *matrices = e.select(counts, *matrices, one);
        }
    }

    /// Whether anything counts of several cotangents: a scalar.
    pub(crate) fn anything(e: &mut dyn Emit, of: &[Taken]) -> NodeId {
        let mut all = of.iter();
        let first = any(e, all.next().expect("there is a cotangent"), 0);
        all.fold(first, |so_far, taken| {
            let next = any(e, taken, 0);
            e.map(ScalarFn::Or, &[so_far, next])
        })
    }

    /// Puts zeros in a cotangent where a condition, which has its leading axes, does not hold.
    pub(crate) fn hide(e: &mut dyn Emit, condition: NodeId, part: &mut NodeId) -> Taken {
        let (ty, rank) = (e.ty(*part), e.ty(condition).shape.rank());
        let condition = e.broadcast(condition, ty.shape.clone(), (rank..ty.shape.rank()).collect());
        let zero = e.full(&ty, 0.0);
        *part = e.select(condition, *part, zero);
        Taken::literal(Literal::Node(condition, true), 0)
    }
}

impl Share {
    /// The condition as a node of the operand's shape: where the VJP of ones, where the result counts, and zeros is not 0.
    fn emit(&self, e: &mut dyn Emit) -> NodeId {
        let dtype = e.graph().ty(self.output).dtype;
        let counts = ones(e, &self.taken, dtype);
        let mut cx = Vjp {
            emit: e,
            operands: self.operands.clone(),
            output: self.output,
            cotangent: counts,
            taken: None,
            operands_taken: SmallVec::new(),
        };
        let share = self.op.vjp(&mut cx)[self.operand].expect("the operand has a cotangent");
        let zero = e.full_like(share, 0.0);
        e.map(ScalarFn::Ne, &[share, zero])
    }
}

/// 1 where the condition holds, else 0.
fn ones(e: &mut dyn Emit, taken: &Taken, dtype: DType) -> NodeId {
    let condition = taken.emit(e);
    let ty = e.ty(condition).with_dtype(dtype);
    let (one, zero) = (e.full(&ty, 1.0), e.full(&ty, 0.0));
    e.select(condition, one, zero)
}

/// Whether the condition holds anywhere along the axes behind the first `kept`.
fn any(e: &mut dyn Emit, taken: &Taken, kept: usize) -> NodeId {
    let condition = taken.emit(e);
    let shape = e.ty(condition).shape;
    if shape.numel() == 0 {
        return e.full(&TensorType::new(DType::Bool, &shape[..kept]), 0.0);
    }
    e.reduce(Reduction::Max, condition, (kept..shape.rank()).collect())
}
