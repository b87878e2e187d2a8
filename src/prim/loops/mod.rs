//! Loops over a body: `scan`, bounded `while` and `cond` are all of this one kind.
//!
//! ```text
//!   operands   inits..       one for each carry (parameter of the body), of its type
//!              sequences..   for the first inputs of the body: slice t along axis 0 is the input of trip t
//!              invariants..  for the other inputs of the body, the same in all trips
//!   trip t     if the guard holds: stacked node [t] = its value, carry = its update; else nothing
//!   results    carry=i       the carry behind the last trip
//!              stack=n       the values of body node n in all trips, along a new axis 0; zeros for trips that the guard left out
//! ```
//!
//! The graph has one result for each node, so a loop with several results is several nodes of equal [`LoopSpec`]s and operands, which every engine computes
//! together ([`Op::looped`]). Any node of the body can be asked for as a result; so what differentiation keeps for the way back are just more results of the
//! loop as it stands.
//!
//! A guard that does not look at the slices cannot hold again once it fails, so the loop ends there: a bounded `while`. A loop of one trip with a guard is
//! an `if`, and `cond` is two of them, the second beginning with the results of the first.

mod batch;
mod body;
mod eval;
mod jvp;
mod vjp;

use std::sync::Arc;

use crate::array::Array;
use crate::graph::{DType, NodeId, OpErrorKind, Shape, TensorType};

use super::attrs::named_variants;
use super::{AttrError, AttrValue, Attrs, Batch, Cotangents, Jvp, Lowering, Op, Primitive, Vjp, arity};

pub use body::{Body, MAX_DEPTH};
pub(crate) use eval::{guard_graph, run as run_loop};
pub(crate) use vjp::{free_name, vjp as vjp_of_loop};

/// What differentiation keeps of a loop's trips for the way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Keep {
    /// Every value that the gradient uses: no trip is computed twice.
    #[default]
    All,
    /// The carries before each trip: the inside of a trip is computed again on the way back.
    Carries,
}
named_variants!(Keep { All = "all", Carries = "carries" });

/// The order of trips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// From the first slice to the last.
    #[default]
    Forward,
    /// From the last slice to the first. Stacked results keep the order of the sequences.
    Reverse,
}
named_variants!(Order { Forward = "forward", Reverse = "reverse" });

/// A loop, apart from its operands and from which of its results is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoopSpec {
    /// What a trip does.
    pub body: Arc<Body>,
    /// Count of trips.
    pub trips: usize,
    /// How many of the body's inputs are slices of sequences, the first ones.
    pub sequences: usize,
    /// The order of the trips.
    pub order: Order,
    /// The node of the body, a truth value, that says whether a trip takes place. It is computed before the trip.
    pub guard: Option<NodeId>,
    /// What differentiation keeps.
    pub keep: Keep,
}

/// Which result of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoopResult {
    /// Carry number `i` behind the last trip.
    Carry(usize),
    /// The values of a node of the body in all trips.
    Stack(NodeId),
}

/// One result of a loop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Loop {
    /// The loop.
    pub spec: Arc<LoopSpec>,
    /// Which of its results.
    pub result: LoopResult,
}

/// The operands of a loop by their roles.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a, T> {
    /// First values of the carries.
    pub inits: &'a [T],
    /// What is sliced along axis 0.
    pub sequences: &'a [T],
    /// What all trips see.
    pub invariants: &'a [T],
}

impl LoopSpec {
    /// Splits operands, or what goes with them one by one.
    ///
    /// # Panics
    /// If there are fewer than the loop has.
    pub fn roles<'a, T>(&self, operands: &'a [T]) -> Roles<'a, T> {
        let (inits, inputs) = operands.split_at(self.body.carries().len());
        let (sequences, invariants) = inputs.split_at(self.sequences);
        Roles { inits, sequences, invariants }
    }

    /// The slice number that trip `n` works on.
    pub fn slice_of(&self, n: usize) -> usize {
        match self.order {
            Order::Forward => n,
            Order::Reverse => self.trips - 1 - n,
        }
    }

    /// True if the guard, once it fails, fails in all later trips, because it sees no slices.
    pub fn guard_ends(&self) -> bool {
        let Some(guard) = self.guard else { return false };
        let graph = self.body.graph();
        let mut seen = vec![false; guard.index() + 1];
        seen[guard.index()] = true;
        for index in (0..=guard.index()).rev() {
            if seen[index] {
                graph.operands(NodeId::new(index)).iter().for_each(|o| seen[o.index()] = true);
            }
        }
        !self.body.inputs()[..self.sequences].iter().any(|i| seen.get(i.index()) == Some(&true))
    }

    /// The type of a result.
    pub fn result_type(&self, result: LoopResult) -> TensorType {
        let graph = self.body.graph();
        match result {
            LoopResult::Carry(i) => graph.ty(self.body.carries()[i].0).clone(),
            LoopResult::Stack(node) => {
                let ty = graph.ty(node);
                let shape: Shape = std::iter::once(self.trips).chain(ty.shape.iter().copied()).collect();
                TensorType::new(ty.dtype, shape)
            }
        }
    }
}

/// Fails unless operand `position` is of this type.
fn check_type(position: usize, expected: &TensorType, actual: &TensorType) -> Result<(), OpErrorKind> {
    if expected.dtype != actual.dtype {
        let expected = expected.dtype.name().to_owned();
        return Err(OpErrorKind::DType { position, expected, actual: actual.dtype });
    }
    if expected.shape != actual.shape {
        let (expected, actual) = (expected.shape.clone(), actual.shape.clone());
        return Err(OpErrorKind::Shape { position, expected, actual });
    }
    Ok(())
}

impl Primitive for Loop {
    fn name(&self) -> &'static str {
        "loop"
    }

    fn accepts(name: &str) -> bool {
        name == "loop"
    }

    fn attrs(&self) -> Attrs {
        let LoopSpec { body, trips, sequences, order, guard, keep } = &*self.spec;
        let mut attrs =
            Attrs::new().with("body", AttrValue::Body(body.clone())).word("trips", trips).word("sequences", sequences);
        if *order != Order::default() {
            attrs = attrs.word("order", order);
        }
        if let Some(guard) = guard {
            attrs = attrs.word("guard", guard.index());
        }
        if *keep != Keep::default() {
            attrs = attrs.word("keep", keep);
        }
        match self.result {
            LoopResult::Carry(i) => attrs.word("carry", i),
            LoopResult::Stack(node) => attrs.word("stack", node.index()),
        }
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        fn optional<T>(result: Result<T, AttrError>) -> Result<Option<T>, AttrError> {
            match result {
                Ok(value) => Ok(Some(value)),
                Err(AttrError::Missing { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        }
        let node = |index: u32| NodeId::new(index as usize);
        let spec = LoopSpec {
            body: attrs.take_body("body")?,
            trips: attrs.take_word("trips", "a count")?,
            sequences: attrs.take_word("sequences", "a count")?,
            order: optional(attrs.take_word("order", "forward or reverse"))?.unwrap_or_default(),
            guard: optional(attrs.take_word("guard", "a number of a node"))?.map(node),
            keep: optional(attrs.take_word("keep", "all or carries"))?.unwrap_or_default(),
        };
        let result = match optional(attrs.take_word("carry", "a number of a carry"))? {
            Some(carry) => LoopResult::Carry(carry),
            None => LoopResult::Stack(node(attrs.take_word("stack", "a number of a node")?)),
        };
        Ok(Loop { spec: Arc::new(spec), result })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        let LoopSpec { body, trips, sequences, guard, .. } = &*self.spec;
        let graph = body.graph();
        if *sequences > body.inputs().len() {
            let text = format!("{sequences} sequences, but the body has {} inputs", body.inputs().len());
            return Err(OpErrorKind::Other(text));
        }
        arity(operands, body.carries().len() + body.inputs().len())?;
        let carries = body.carries().iter().map(|c| (c.0, false));
        let inputs = body.inputs().iter().enumerate().map(|(i, &input)| (input, i < *sequences));
        for (position, ((node, sliced), actual)) in carries.chain(inputs).zip(operands).enumerate() {
            let mut expected = graph.ty(node).clone();
            if sliced {
                expected.shape = std::iter::once(*trips).chain(expected.shape.iter().copied()).collect();
            }
            check_type(position, &expected, actual)?;
        }
        let unknown = |node: NodeId| OpErrorKind::Other(format!("the body has no node {node}"));
        if let Some(guard) = *guard {
            let ty = graph.contains(guard).then(|| graph.ty(guard)).ok_or_else(|| unknown(guard))?;
            if ty.dtype != DType::Bool || ty.shape.rank() != 0 {
                return Err(OpErrorKind::Other(format!("the guard is {ty}, not bool[]")));
            }
        }
        match self.result {
            LoopResult::Carry(i) if i >= body.carries().len() => {
                Err(OpErrorKind::Other(format!("there is no carry {i}, only {}", body.carries().len())))
            }
            LoopResult::Stack(node) if !graph.contains(node) => Err(unknown(node)),
            result => Ok(self.spec.result_type(result)),
        }
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let wanted = vec![true; cx.operands.len()];
        let given = [(self.result, cx.cotangent)];
        vjp::vjp(cx.emit, &self.spec, &cx.operands.clone(), &given, &wanted).into()
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        jvp::jvp(self, cx)
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        batch::batch(self, cx)
    }

    fn eval(&self, operands: &[&Array], _: &TensorType) -> Array {
        run_loop(&self.spec, &[self.result], operands).remove(0)
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Loop
    }
}

impl Op {
    /// The loop of which this operation is a result. Nodes of equal loops and equal operands are computed together.
    pub fn looped(&self) -> Option<&Loop> {
        match self {
            Op::Loop(l) => Some(l),
            _ => None,
        }
    }
}
