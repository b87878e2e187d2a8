//! How formulas are looked at: from a node to the nodes that it is made of, as far as the search may go, with a list of what was passed.
//!
//! Every node that a search looks at counts against [`VISITS`], so a node costs a bounded time to build, however long the chain behind it is. Two parts of a
//! formula are the same if they are made of the same nodes: a tensor that was computed twice is two tensors, whatever it is computed from.

use crate::graph::{Dims, Graph, NodeId, Operands, Shape};
use crate::opt::matchers::without_units;
use crate::opt::shift::is_maximum_of;
use crate::prim::{Op, Reduction};
use crate::scalar::ScalarFn::{self, Mul, Neg, Pow, StopGradient, Sub};

use super::form::{Form, Move, map1};

/// Nodes that one search may look at.
const VISITS: u32 = 128;

/// Movements in a row that are looked through.
const MOVES: usize = 16;

/// Factors that a product may have.
const FACTORS: u32 = 8;

/// A search in the graph of the innermost frame.
pub(super) struct Sight<'a> {
    pub(super) graph: &'a Graph,
    /// Nodes before this one are not looked into: an open region or rule of the program's own takes them for its arguments.
    floor: usize,
    /// The nodes inside the formula: those that were looked through, so that the form is not made of them.
    pub(super) inside: Vec<NodeId>,
    visits: u32,
    factors: u32,
}

impl<'a> Sight<'a> {
    pub(super) fn new(graph: &'a Graph, floor: usize) -> Sight<'a> {
        Sight { graph, floor, inside: Vec::new(), visits: VISITS, factors: FACTORS }
    }

    /// How many nodes the search has looked at.
    #[cfg(test)]
    pub(super) fn looked_at(&self) -> u32 {
        VISITS - self.visits
    }

    /// What `f` finds. What it passed counts only if it finds something.
    pub(super) fn attempt<T>(&mut self, f: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let passed = self.inside.len();
        let found = f(self);
        if found.is_none() {
            self.inside.truncate(passed);
        }
        found
    }

    /// The operation of a node that may be looked into.
    fn op(&mut self, id: NodeId) -> Option<&'a Op> {
        self.visits = self.visits.checked_sub(1)?;
        (id.index() >= self.floor).then(|| self.graph.op(id))
    }

    /// True as long as a product has no more factors than are looked for.
    pub(super) fn one_more_factor(&mut self) -> bool {
        self.factors = self.factors.saturating_sub(1);
        self.factors > 0
    }

    /// True for a conversion between `f32` and a type for storage, which numbers go through to be stored.
    fn stores(&mut self, id: NodeId) -> bool {
        let Some(Op::Cast(cast)) = self.op(id) else { return false };
        let from = self.graph.ty(self.graph.operands(id)[0]).dtype;
        let wide = |d: crate::graph::DType| d == crate::graph::DType::F32;
        cast.dtype.is_half() && wide(from) || wide(cast.dtype) && from.is_half()
    }

    /// The node behind conversions for storage.
    fn unstored(&mut self, mut id: NodeId) -> NodeId {
        while self.stores(id) {
            self.inside.push(id);
            id = self.graph.operands(id)[0];
        }
        id
    }

    /// The function and the operands of a map.
    pub(super) fn map(&mut self, id: NodeId) -> Option<(ScalarFn, Operands)> {
        let id = self.unstored(id);
        match self.op(id)? {
            Op::Map(map) => {
                self.inside.push(id);
                Some((map.f, self.graph.operands(id)))
            }
            _ => None,
        }
    }

    /// The operands of a map of `f`.
    pub(super) fn map_of(&mut self, f: ScalarFn, id: NodeId) -> Option<Operands> {
        self.attempt(|s| s.map(id).filter(|m| m.0 == f).map(|m| m.1))
    }

    /// The operand of a map of `f` that may have been moved, and the movements.
    pub(super) fn moved_map_of(&mut self, f: ScalarFn, id: NodeId) -> Option<(Operands, Vec<Move>)> {
        self.attempt(|s| {
            let (source, moves) = s.through(id);
            Some((s.map_of(f, source)?, moves))
        })
    }

    /// The node whose elements these are, and the movements from there.
    pub(super) fn through(&mut self, mut id: NodeId) -> (NodeId, Vec<Move>) {
        let mut moves = Vec::new();
        loop {
            id = self.unstored(id);
            let moved = match self.op(id) {
                Some(Op::Reshape(_) | Op::Broadcast(_) | Op::Transpose(_) | Op::Slice(_)) => true,
                Some(Op::Gather(gather)) => f64::from_bits(gather.fill).is_nan(),
                Some(Op::Map(map)) => map.f == StopGradient,
                _ => false,
            };
            if !moved || moves.len() == MOVES {
                moves.reverse();
                return (id, moves);
            }
            let operands = self.graph.operands(id);
            self.inside.push(id);
            moves.push((self.graph.op(id).clone(), Operands::from_slice(&operands[1..])));
            id = operands[0];
        }
    }

    /// The number that every element is.
    pub(super) fn number(&mut self, id: NodeId) -> Option<f64> {
        self.attempt(|s| {
            let mut at = id;
            for _ in 0..MOVES {
                s.inside.push(at);
                match s.op(at)? {
                    Op::Broadcast(_) | Op::Reshape(_) => at = s.graph.operands(at)[0],
                    Op::Const(constant) => return constant.as_scalar(),
                    _ => return None,
                }
            }
            None
        })
    }

    pub(super) fn is_number(&mut self, id: NodeId, number: f64) -> bool {
        self.attempt(|s| s.number(id).filter(|&n| n == number)).is_some()
    }

    /// The other operand of two, one of which is this number.
    pub(super) fn beside_number(&mut self, number: f64, pair: &[NodeId]) -> Option<NodeId> {
        let &[a, b] = pair else { return None };
        if self.is_number(a, number) {
            return Some(b);
        }
        self.is_number(b, number).then_some(a)
    }

    /// The node as a leaf; of a negative, the sign of its operand.
    pub(super) fn leaf(&mut self, id: NodeId) -> Form {
        match self.map_of(Neg, id) {
            Some(x) => map1(Neg, Form::Leaf(x[0])),
            None => Form::Leaf(id),
        }
    }

    /// The argument of a function of one operand that may have been moved.
    pub(super) fn argument(&mut self, f: ScalarFn, id: NodeId) -> Option<Form> {
        let (x, moves) = self.moved_map_of(f, id)?;
        Some(self.leaf(x[0]).moved(moves))
    }

    /// A sum over axes that may have been moved: what is added up, the axes and the movements.
    pub(super) fn moved_sum(&mut self, id: NodeId) -> Option<Sum> {
        self.attempt(|s| {
            let (node, moves) = s.through(id);
            let (of, axes) = s.reduction(Reduction::Sum, node)?;
            Some(Sum { of, axes, moves })
        })
    }

    /// What is folded, and the axes.
    pub(super) fn reduction(&mut self, reduction: Reduction, id: NodeId) -> Option<(NodeId, Dims)> {
        match self.op(id)? {
            Op::Reduce(reduce) if reduce.reduction == reduction => {
                self.inside.push(id);
                Some((self.graph.operands(id)[0], reduce.axes.clone()))
            }
            _ => None,
        }
    }

    /// A mean over axes that may have been moved: a sum divided by the count of its terms.
    pub(super) fn moved_mean(&mut self, id: NodeId) -> Option<Sum> {
        self.attempt(|s| {
            let (quotient, mut outer) = s.moved_map_of(ScalarFn::Div, id)?;
            let mut sum = s.moved_sum(quotient[0])?;
            let count = s.terms(&sum) as f64;
            if !s.is_number(quotient[1], count) {
                return None;
            }
            sum.moves.append(&mut outer);
            Some(sum)
        })
    }

    /// How many terms a sum has for each of its elements.
    pub(super) fn terms(&self, sum: &Sum) -> usize {
        let shape = self.graph.shape(sum.of);
        sum.axes.iter().map(|&a| shape[a]).product()
    }

    /// What is squared.
    pub(super) fn squared(&mut self, id: NodeId) -> Option<NodeId> {
        self.attempt(|s| match s.map(id)? {
            (Mul, x) => s.same(x[0], x[1]).then_some(x[0]),
            (Pow, x) => s.is_number(x[1], 2.0).then_some(x[0]),
            _ => None,
        })
    }

    /// True if `x` is what is left of a tensor when its largest elements are subtracted.
    pub(super) fn is_shifted(&mut self, x: NodeId) -> bool {
        let passed = self.inside.len();
        let parts = self.map_of(Sub, x);
        self.inside.truncate(passed);
        parts.is_some_and(|x| is_maximum_of(self.graph, x[1], x[0]))
    }

    /// True if the movements put the axes of a sum back, so that each element of a tensor of this shape meets the sum that it is in.
    pub(super) fn restores(&self, sum: &Sum, shape: &Shape) -> bool {
        let long = |axes: &Dims| -> Dims { axes.iter().copied().filter(|&a| shape[a] != 1).collect() };
        if self.graph.shape(sum.of) != shape {
            return false;
        }
        let (last, before) = match sum.moves.split_last() {
            Some(((op, _), before)) => (Some(op), before),
            None => (None, &[][..]),
        };
        let reshaped = |moves: &[Move]| moves.iter().all(|(op, _)| matches!(op, Op::Reshape(_)));
        let left = shape.without(&sum.axes);
        match last {
            Some(Op::Broadcast(b)) => {
                let of = shape.without(&b.axes);
                b.shape == *shape
                    && reshaped(before)
                    && long(&b.axes) == long(&sum.axes)
                    && without_units(&of) == without_units(&left)
            }
            Some(Op::Reshape(r)) => r.shape == *shape && reshaped(before) && long(&sum.axes).is_empty(),
            _ => false,
        }
    }

    /// True if two tensors are the same node, or `f32` of the same node of 16 bits.
    pub(super) fn same(&mut self, a: NodeId, b: NodeId) -> bool {
        if a == b {
            return true;
        }
        let (of_a, of_b) = (self.graph.operands(a), self.graph.operands(b));
        let same = self.stores(a) && self.stores(b) && of_a == of_b && self.graph.ty(of_a[0]).dtype.is_half();
        if same {
            self.inside.extend([a, b]);
        }
        same
    }

    /// True if two forms are the same.
    pub(super) fn same_form(&mut self, a: &Form, b: &Form) -> bool {
        match (a, b) {
            (Form::Leaf(a), Form::Leaf(b)) => self.same(*a, *b),
            (Form::Number(a), Form::Number(b)) => a == b,
            (Form::Map(f, x), Form::Map(g, y)) => {
                f == g && x.len() == y.len() && x.iter().zip(y).all(|(a, b)| self.same_form(a, b))
            }
            (Form::Moved(a, x), Form::Moved(b, y)) => x == y && self.same_form(a, b),
            _ => false,
        }
    }
}

/// A sum over axes, and how it was moved.
pub(super) struct Sum {
    /// What is added up.
    pub(super) of: NodeId,
    pub(super) axes: Dims,
    pub(super) moves: Vec<Move>,
}
