//! Which numbers an input may hold where they choose elements.
//!
//! ```text
//!   gather(x, index)                     index in 0..n
//!   index = select(lt(i, 0), i + n, i)   i in -n..n       what an imported model makes of indices that may count from the end
//!   index = select(eq(i, -100), 0, i)    i in 0..n or i = -100
//!   i     = cast(reshape(labels))        the input `labels`, each of whose numbers is held to that
//!   i     = slice(lists)                 of the input `lists`, the numbers in that part
//! ```
//!
//! The walk goes from the index back to inputs, through movement, conversions and selections, with the set of numbers that lead into the range. In the body of
//! a loop it ends at slices and invariants, and goes on from the loop's operands. Where it does not know an operation, or a guard may leave trips out, all
//! numbers are let through, so a run refuses nothing that is in range.

use std::collections::BTreeMap;
use std::fmt;

use smallvec::SmallVec;

use crate::graph::{DType, Graph, NodeId, Origin, Shape};
use crate::prim::{Gather, LoopResult, LoopSpec, Map, Op, Slice};
use crate::scalar::ScalarFn;

/// How many nodes are looked at for one selection.
const BUDGET: usize = 256;

/// How many are for one choice. What lies behind them is let through.
const WALK: usize = 1 << 14;

/// Numbers that an input may hold for one of the choices that it makes.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) allowed: Set,
    /// The part of the input that chooses; `None` for all of it.
    pub(super) part: Option<Slice>,
    /// Extent of the axis chosen from.
    pub(super) extent: usize,
    /// The choice.
    pub(super) origin: Origin,
}

impl Choice {
    /// True if an input of this shape that keeps this choice keeps the other one too.
    pub(super) fn covers(&self, other: &Choice) -> bool {
        self.allowed.within(&other.allowed) && (self.part.is_none() || self.part == other.part)
    }

    /// True if the element at this position, in row-major order, of an input of this shape is one that chooses.
    pub(super) fn looks_at(&self, shape: &Shape, position: usize) -> bool {
        let Some(part) = &self.part else { return true };
        let mut rest = position;
        (0..shape.rank()).rev().all(|axis| {
            let at = (rest % shape[axis]) as i128 - part.start[axis] as i128;
            rest /= shape[axis];
            let step = if part.len[axis] > 1 { part.step[axis] as i128 } else { 1 };
            at % step == 0 && (0..part.len[axis] as i128).contains(&(at / step))
        })
    }
}

/// The inputs whose numbers choose elements in one of these nodes, each with what it may hold.
pub(super) fn choices(graph: &Graph, nodes: &[NodeId]) -> Vec<(NodeId, Choice)> {
    let mut found = Vec::new();
    for &id in nodes {
        let Op::Gather(gather) = graph.op(id) else { continue };
        // A number to stand for elements out of range says that they are meant to occur, as in the gradient of a scatter.
        if f64::from_bits(gather.fill).is_nan() {
            found.extend(of_gather(graph, gather, id));
        }
    }
    for (first, results) in graph.loops(nodes.iter().copied()) {
        let spec = &graph.op(first).looped().expect("a result of a loop").spec;
        if spec.guard.is_none() && spec.trips > 0 {
            found.extend(of_loop(graph, first, spec, &results));
        }
    }
    found
}

/// The inputs whose numbers choose elements in each trip of a loop of which these results are asked for.
fn of_loop(graph: &Graph, first: NodeId, spec: &LoopSpec, results: &[NodeId]) -> Vec<(NodeId, Choice)> {
    let (body, operands) = (spec.body.graph(), graph.operands(first));
    let carries = spec.body.carries();
    let asked = results.iter().filter_map(|&result| match graph.op(result).looped()?.result {
        LoopResult::Carry(i) => Some(carries[i].1),
        LoopResult::Stack(node) => Some(node),
    });
    let mut needed = body.ancestors(asked);
    // What a trip needs of a carry, the trip before has computed.
    loop {
        let handed_on = |&(carry, next): &(NodeId, NodeId)| needed[carry.index()] && !needed[next.index()];
        let more: Vec<NodeId> = carries.iter().filter(|c| handed_on(c)).map(|c| c.1).collect();
        if more.is_empty() {
            break;
        }
        body.ancestors(more).into_iter().zip(&mut needed).for_each(|(more, needed)| *needed |= more);
    }
    let nodes: Vec<NodeId> = body.ids().filter(|id| needed[id.index()]).collect();
    let mut found = Vec::new();
    // What the last trip computes for a carry that nobody asks for is checked with the rest, though its value is not used: all trips are one body, which makes
    // the choice, and to tell the last trip's numbers from the others' would excuse only mistakes.
    // A part of what a trip is given is not followed.
    for (input, choice) in choices(body, &nodes).into_iter().filter(|(_, choice)| choice.part.is_none()) {
        let position = spec.body.inputs().iter().position(|&i| i == input).expect("an input of the body");
        found.extend(walk(graph, operands[spec.body.carries().len() + position], choice));
    }
    found
}

/// The inputs whose numbers choose elements of `gather`'s operand.
fn of_gather(graph: &Graph, gather: &Gather, id: NodeId) -> Vec<(NodeId, Choice)> {
    let operands = graph.operands(id);
    // Without indices nothing is chosen, whatever numbers they were repeated from.
    if graph.shape(operands[1]).numel() == 0 {
        return Vec::new();
    }
    let extent = graph.shape(operands[0])[gather.batch];
    let allowed = Set::range(0, extent as i64 - 1);
    walk(graph, operands[1], Choice { allowed, part: None, extent, origin: Origin::clone(&graph.node(id).origin) })
}

/// The inputs on which an index depends, for a choice that the index makes.
fn walk(graph: &Graph, index: NodeId, choice: Choice) -> Vec<(NodeId, Choice)> {
    let (mut found, mut steps) = (Vec::new(), 0);
    // Operands have smaller numbers than their users, so the largest is reached from all of its users when it is looked at.
    let mut open = BTreeMap::from([(index, choice.allowed.clone())]);
    while let Some((node, allowed)) = open.pop_last() {
        steps += 1;
        if steps > WALK {
            break;
        }
        let mut restrict = |operand: NodeId, numbers: Set| {
            let both = open.get(&operand).map(|other| other.and(&numbers));
            open.insert(operand, both.unwrap_or(numbers));
        };
        match graph.op(node) {
            Op::Input(_) => found.push((node, Choice { allowed, ..choice.clone() })),
            Op::Slice(slice) if matches!(graph.op(graph.operands(node)[0]), Op::Input(_)) => {
                found.push((
                    graph.operands(node)[0],
                    Choice { allowed, part: Some(Slice::clone(slice)), ..choice.clone() },
                ));
            }
            op if is_movement(op) => restrict(graph.operands(node)[0], allowed),
            Op::Cast(_) | Op::Map(Map { f: ScalarFn::Select }) => {
                for leaf in leaves(graph, node, &mut steps) {
                    let mut own = 0;
                    let numbers = preimage(graph, node, leaf, &allowed, &mut own);
                    steps += own;
                    if graph.ty(leaf).dtype.is_int() && !numbers.is_all() {
                        restrict(leaf, numbers);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// True for operations whose result, if it has elements, holds all of the operand's, and no others.
fn is_movement(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_))
}

/// The nodes whose elements a tree of elementwise operations computes with, each element with those in the same place; none if the tree is large.
fn leaves(graph: &Graph, root: NodeId, steps: &mut usize) -> Vec<NodeId> {
    let (mut seen, mut leaves, mut open) = (Vec::new(), Vec::new(), vec![root]);
    while let Some(node) = open.pop() {
        if seen.contains(&node) || constant(graph, node).is_some() {
            continue;
        }
        seen.push(node);
        *steps += 1;
        if seen.len() > BUDGET {
            return Vec::new();
        }
        match graph.op(node) {
            Op::Cast(_) | Op::Map(_) => open.extend(graph.operands(node).iter().copied()),
            _ => leaves.push(node),
        }
    }
    leaves
}

/// The number that every element of a node is, if it is an integer that `f64` tells from its neighbours.
fn constant(graph: &Graph, mut node: NodeId) -> Option<i64> {
    while matches!(graph.op(node), Op::Broadcast(_) | Op::Reshape(_)) {
        node = graph.operands(node)[0];
    }
    let Op::Const(constant) = graph.op(node) else { return None };
    if graph.ty(node).dtype.is_float() {
        return None;
    }
    constant.as_scalar().filter(|c| c.abs() < (1u64 << 53) as f64).map(|c| c as i64)
}

/// The numbers of `leaf` for which `node` may be in `target`; all where that is not known.
fn preimage(graph: &Graph, node: NodeId, leaf: NodeId, target: &Set, steps: &mut usize) -> Set {
    if node == leaf {
        return target.clone();
    }
    if let Some(c) = constant(graph, node) {
        return if target.contains(c) { Set::all() } else { Set::none() };
    }
    *steps += 1;
    if *steps > BUDGET {
        return Set::all();
    }
    let operands = graph.operands(node);
    let mut of = |i: usize, target: &Set| preimage(graph, operands[i], leaf, target, steps);
    // What a comparison or a truth value is to be.
    let (yes, no) = (target.contains(1), target.contains(0));
    let f = match graph.op(node) {
        Op::Cast(cast) => {
            let (Some(from), to) = (span(graph.ty(operands[0]).dtype), cast.dtype) else { return Set::all() };
            return match span(to) {
                _ if to == DType::Bool => {
                    let zero = Set::range(0, 0);
                    let other = if yes { of(0, &zero.complement()) } else { Set::none() };
                    if no { other.or(&of(0, &zero)) } else { other }
                }
                Some(span) => of(0, &wrapped(target, from, span)),
                None => Set::all(),
            };
        }
        Op::Map(Map { f }) => *f,
        _ => return Set::all(),
    };
    match f {
        ScalarFn::Select => {
            let then = of(0, &Set::range(1, 1)).and(&of(1, target));
            let otherwise = of(0, &Set::range(0, 0)).and(&of(2, target));
            return then.or(&otherwise);
        }
        ScalarFn::Not if graph.ty(node).dtype == DType::Bool => {
            let when = if yes { of(0, &Set::range(0, 0)) } else { Set::none() };
            return if no { when.or(&of(0, &Set::range(1, 1))) } else { when };
        }
        ScalarFn::And | ScalarFn::Or if graph.ty(node).dtype == DType::Bool => {
            // Both are what decides nothing alone, or one is what decides.
            let (all, one) = if f == ScalarFn::And { (1, 0) } else { (0, 1) };
            let (all, one) = (Set::range(all, all), Set::range(one, one));
            let both = if all.within(target) { of(0, &all).and(&of(1, &all)) } else { Set::none() };
            return if one.within(target) { both.or(&of(0, &one)).or(&of(1, &one)) } else { both };
        }
        _ => {}
    }
    if operands.len() != 2 {
        return Set::all();
    }
    // What is left has a constant on one side.
    let (i, c, f) = match (constant(graph, operands[0]), constant(graph, operands[1])) {
        (None, Some(c)) => (0, c, f),
        (Some(c), None) => match f {
            ScalarFn::Lt => (1, c, ScalarFn::Gt),
            ScalarFn::Le => (1, c, ScalarFn::Ge),
            ScalarFn::Gt => (1, c, ScalarFn::Lt),
            ScalarFn::Ge => (1, c, ScalarFn::Le),
            ScalarFn::Sub => return Set::all(),
            f => (1, c, f),
        },
        _ => return Set::all(),
    };
    let Some(span) = span(graph.ty(operands[i]).dtype) else { return Set::all() };
    let (below, above) = (Set::range(i64::MIN, c.saturating_sub(1)), Set::range(c.saturating_add(1), i64::MAX));
    let same = Set::range(c, c);
    let holds = match f {
        ScalarFn::Eq => same,
        ScalarFn::Ne => same.complement(),
        ScalarFn::Lt => below,
        ScalarFn::Ge => below.complement(),
        ScalarFn::Gt => above,
        ScalarFn::Le => above.complement(),
        ScalarFn::Add => return of(i, &moved(target, -i128::from(c), span)),
        ScalarFn::Sub => return of(i, &moved(target, i128::from(c), span)),
        ScalarFn::Max | ScalarFn::Min => {
            let own = if f == ScalarFn::Max { below.complement() } else { above.complement() };
            let fixed = if target.contains(c) { own.complement() } else { Set::none() };
            return of(i, &own.and(target).or(&fixed));
        }
        _ => return Set::all(),
    };
    let then = if yes { of(i, &holds) } else { Set::none() };
    if no { then.or(&of(i, &holds.complement())) } else { then }
}

/// The smallest and the largest number of an integer type or of truth values.
fn span(dtype: DType) -> Option<(i64, i64)> {
    Some(match dtype {
        DType::Bool => (0, 1),
        DType::U8 => (0, 255),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::U32 => (0, u32::MAX.into()),
        DType::I64 => (i64::MIN, i64::MAX),
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => return None,
    })
}

/// The numbers between the first bounds that a type of the second bounds, to which others wrap, has in the set; all that wrap more than once.
fn wrapped(target: &Set, from: (i64, i64), to: (i64, i64)) -> Set {
    let period = i128::from(to.1) - i128::from(to.0) + 1;
    let mut result = Set::range(i64::MIN, from.0.saturating_sub(1)).or(&Set::range(from.1.saturating_add(1), i64::MAX));
    if (from.0, from.1) == (i64::MIN, i64::MAX) {
        result = Set::none();
    }
    for turn in [-1, 0, 1] {
        result = result.or(&target.and(&Set::range(to.0, to.1)).shifted(turn * period));
    }
    let near = (i128::from(to.0) - period, i128::from(to.1) + period);
    let clamp = |x: i128| x.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    if i128::from(from.0) < near.0 {
        result = result.or(&Set::range(from.0, clamp(near.0 - 1)));
    }
    if i128::from(from.1) > near.1 {
        result = result.or(&Set::range(clamp(near.1 + 1), from.1));
    }
    result
}

/// The set moved by `by`, where numbers wrap at these bounds.
fn moved(target: &Set, by: i128, (low, high): (i64, i64)) -> Set {
    let period = i128::from(high) - i128::from(low) + 1;
    let within = target.and(&Set::range(low, high));
    let all = [-1, 0, 1].map(|turn| within.shifted(by + turn * period));
    all[0].or(&all[1]).or(&all[2]).and(&Set::range(low, high))
}

/// Integers: ranges with both ends, in order, that neither meet nor touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set(SmallVec<[(i64, i64); 2]>);

impl Set {
    pub(super) fn contains(&self, x: i64) -> bool {
        self.0.iter().any(|&(low, high)| low <= x && x <= high)
    }

    /// True if every number of this set is in the other.
    pub(super) fn within(&self, other: &Set) -> bool {
        self.and(other) == *self
    }

    fn none() -> Set {
        Set(SmallVec::new())
    }

    fn all() -> Set {
        Set::range(i64::MIN, i64::MAX)
    }

    fn is_all(&self) -> bool {
        *self == Set::all()
    }

    /// From `low` to `high`; nothing if they are not in order.
    fn range(low: i64, high: i64) -> Set {
        Set((low <= high).then_some((low, high)).into_iter().collect())
    }

    fn or(&self, other: &Set) -> Set {
        let mut ranges: SmallVec<[(i64, i64); 2]> = self.0.iter().chain(&other.0).copied().collect();
        ranges.sort_unstable();
        let mut joined: SmallVec<[(i64, i64); 2]> = SmallVec::new();
        for (low, high) in ranges {
            match joined.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        Set(joined)
    }

    fn and(&self, other: &Set) -> Set {
        let pairs = self.0.iter().flat_map(|a| other.0.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
        Set(pairs.filter(|(low, high)| low <= high).collect())
    }

    fn complement(&self) -> Set {
        let (mut ranges, mut next) = (SmallVec::new(), Some(i64::MIN));
        for &(low, high) in &self.0 {
            if let Some(from) = next.filter(|&from| from < low) {
                ranges.push((from, low - 1));
            }
            next = high.checked_add(1);
        }
        ranges.extend(next.map(|from| (from, i64::MAX)));
        Set(ranges)
    }

    /// Each number plus `by`, those that `i64` holds.
    fn shifted(&self, by: i128) -> Set {
        let ends = (i128::from(i64::MIN), i128::from(i64::MAX));
        let moved = self.0.iter().map(|r| ((i128::from(r.0) + by).max(ends.0), (i128::from(r.1) + by).min(ends.1)));
        Set(moved.filter(|r| r.0 <= r.1).map(|r| (r.0 as i64, r.1 as i64)).collect())
    }
}

impl fmt::Display for Set {
    /// `0 to 9`, `-100 or 0 to 9`, `up to -1`, `10 and above`, `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, &(low, high)) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { " or " })?;
            match (low, high) {
                (i64::MIN, _) => write!(f, "up to {high}")?,
                (_, i64::MAX) => write!(f, "{low} and above")?,
                _ if low == high => write!(f, "{low}")?,
                _ => write!(f, "{low} to {high}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::array::Array;
    use crate::graph::{Dims, TensorType};
    use crate::prim::{Broadcast, Const, Input, Reshape, Transpose};

    /// A graph with the input `x` of this shape.
    fn with_input(shape: &[usize]) -> (Graph, NodeId) {
        let mut graph = Graph::default();
        let x = push(&mut graph, Input { name: "x".into(), ty: TensorType::new(DType::I32, shape) }, &[]);
        (graph, x)
    }

    fn push(graph: &mut Graph, op: impl Into<Op>, operands: &[NodeId]) -> NodeId {
        graph.push(op, operands, Origin::default()).unwrap()
    }

    /// What is found of an index that chooses among `extent` elements.
    fn found(mut graph: Graph, index: NodeId, extent: usize) -> Vec<(NodeId, Choice)> {
        let table = push(&mut graph, Input { name: "t".into(), ty: TensorType::new(DType::F32, [extent]) }, &[]);
        let gather = Gather::new(0);
        let id = push(&mut graph, gather, &[table, index]);
        choices(&graph, &[id])
    }

    #[test]
    fn what_is_reached_on_many_paths_is_looked_at_once() {
        let (mut graph, x) = with_input(&[2, 2]);
        let filled = |graph: &mut Graph, n: i32| {
            let scalar = push(graph, Const { value: Arc::new(Array::scalar(n)) }, &[]);
            let axes = [0, 1].into_iter().collect();
            push(graph, Broadcast { shape: Shape::from([2, 2]), axes }, &[scalar])
        };
        let (seven, large) = (filled(&mut graph, 7), filled(&mut graph, 1000));
        let mut index = x;
        for _ in 0..14 {
            let mut is_seven = || {
                let permutation: Dims = [1, 0].into_iter().collect();
                let moved = push(&mut graph, Transpose { permutation }, &[index]);
                push(&mut graph, Map { f: ScalarFn::Eq }, &[moved, seven])
            };
            let (a, b) = (is_seven(), is_seven());
            let both = push(&mut graph, Map { f: ScalarFn::And }, &[a, b]);
            index = push(&mut graph, Map { f: ScalarFn::Select }, &[both, seven, large]);
        }
        let found = found(graph, index, 10);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0, &found[0].1.allowed), (x, &Set::range(7, 7)));
    }

    #[test]
    fn a_part_of_an_input_is_held_apart_from_the_rest() {
        let (mut graph, x) = with_input(&[3, 2]);
        let list = |values: [usize; 2]| Dims::from_slice(&values);
        let slice = Slice { start: list([2, 1]), len: list([2, 1]), step: [-2, 5].into_iter().collect() };
        let index = push(&mut graph, slice.clone(), &[x]);
        let found = found(graph, index, 10);
        assert_eq!((found[0].0, &found[0].1.allowed, &found[0].1.part), (x, &Set::range(0, 9), &Some(slice)));
        let looks: Vec<bool> = (0..6).map(|i| found[0].1.looks_at(&Shape::from([3, 2]), i)).collect();
        assert_eq!(looks, [false, true, false, false, false, true]);
        let whole = Choice { part: None, ..found[0].1.clone() };
        assert!(whole.covers(&found[0].1) && !found[0].1.covers(&whole));
    }

    #[test]
    fn a_walk_ends_where_it_is_too_long() {
        for (levels, inputs) in [(100, 1), (WALK, 0)] {
            let (mut graph, mut index) = with_input(&[4]);
            for level in 0..levels {
                let shape = if level % 2 == 0 { Shape::from([2, 2]) } else { Shape::from([4]) };
                index = push(&mut graph, Reshape { shape }, &[index]);
            }
            assert_eq!(found(graph, index, 10).len(), inputs, "{levels} levels");
        }
    }

    #[test]
    fn without_indices_nothing_is_chosen() {
        for rows in [0, 3] {
            let (mut graph, x) = with_input(&[1]);
            let axes = [0].into_iter().collect();
            let index = push(&mut graph, Broadcast { shape: Shape::from([rows, 1]), axes }, &[x]);
            assert_eq!(found(graph, index, 2).len(), rows.min(1), "{rows} rows");
        }
    }

    #[test]
    fn sets_are_what_their_members_say() {
        let sets = [
            Set::none(),
            Set::all(),
            Set::range(3, 5),
            Set::range(i64::MIN, 4),
            Set::range(7, i64::MAX),
            Set::range(-2, 0).or(&Set::range(4, 4)).or(&Set::range(6, 9)),
        ];
        let numbers: Vec<i64> = (-12..12).chain([i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]).collect();
        for a in &sets {
            for &x in &numbers {
                assert_eq!(a.complement().contains(x), !a.contains(x), "{x} in the complement of {a:?}");
                for by in [-3, 0, 5] {
                    let before = i128::from(x) - by;
                    let expected = i64::try_from(before).is_ok_and(|x| a.contains(x));
                    assert_eq!(a.shifted(by).contains(x), expected, "{x} in {a:?} moved by {by}");
                }
            }
            for b in &sets {
                for &x in &numbers {
                    assert_eq!(a.or(b).contains(x), a.contains(x) || b.contains(x), "{x} in {a:?} or {b:?}");
                    assert_eq!(a.and(b).contains(x), a.contains(x) && b.contains(x), "{x} in {a:?} and {b:?}");
                }
                assert_eq!(a.or(b).complement(), a.complement().and(&b.complement()));
            }
        }
    }

    #[test]
    fn sets_as_people_read_them() {
        let set = Set::range(-100, -100).or(&Set::range(0, 9));
        assert_eq!(set.to_string(), "-100 or 0 to 9");
        assert_eq!(set.complement().to_string(), "up to -101 or -99 to -1 or 10 and above");
        assert_eq!(Set::none().to_string(), "none");
    }

    #[test]
    fn numbers_wrap_as_conversions_do() {
        let target = Set::range(0, 9);
        let spans = |dtype| span(dtype).expect("an integer type");
        for x in [-1i64, 0, 9, 10, 1 << 32, (1 << 32) + 9, -(1 << 32), i64::MAX, i64::MIN, u32::MAX.into()] {
            let of = |from, to| wrapped(&target, spans(from), spans(to)).contains(x);
            assert_eq!(of(DType::I64, DType::I64), target.contains(x), "{x}");
            if let Ok(narrow) = i32::try_from(x) {
                assert_eq!(of(DType::I32, DType::U32), target.contains((narrow as u32).into()), "{x}");
                assert_eq!(of(DType::I32, DType::I64), target.contains(x), "{x}");
            }
            if let Ok(narrow) = u32::try_from(x) {
                assert_eq!(of(DType::U32, DType::I32), target.contains((narrow as i32).into()), "{x}");
            }
            // Once around is exact, more may be let through.
            assert!(of(DType::I64, DType::I32) || !target.contains((x as i32).into()), "{x}");
            assert!(of(DType::I64, DType::U8) || !target.contains((x as u8).into()), "{x}");
        }
        assert!(!wrapped(&target, spans(DType::I64), spans(DType::I32)).contains(-1));
    }
}
