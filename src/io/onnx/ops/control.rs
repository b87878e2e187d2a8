//! Control flow: `If`, `Loop` and `Scan`.
//!
//! Shapes are static, so a branch is chosen at import where its condition is constant, or where the branches differ in type and the condition is
//! [known](super::super::known); otherwise both are compiled, as a `cond`. A `Loop` becomes a `scan` if its count of trips is known and nothing ends it
//! earlier, a bounded `while_loop` if something may, and where a body changes the types of what it carries, the trips are written one after the other.

use std::cell::RefCell;

use crate::array::Array;
use crate::build::{Builder, Scan, Tensor};
use crate::graph::{DType, TensorType};
use crate::prim::MAX_DEPTH;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, concat};
use super::super::error::{Fault, Reason, invalid, unsupported};
use super::super::node::{Node, Results, Value, axis_of, count_of};
use super::super::proto;
use super::shape::places;
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[op("If", 1, if_), op("Loop", 1, loop_), op("Scan", 8, scan)];

/// The most trips that are written one after the other.
const MAX_UNROLLED: usize = 1 << 12;

/// The bound of a loop that gives none.
const UNBOUNDED: usize = i32::MAX as usize;

/// A condition as `bool[]`.
fn truth(condition: Tensor<'_>) -> Made<'_> {
    if condition.shape().numel() != 1 {
        return invalid(format!("the condition is {}", condition.ty()));
    }
    condition.shaped([])?.to(DType::Bool)
}

fn holds(value: &Array) -> bool {
    value.shape().numel() > 0 && value.get_f64(0) != 0.0
}

/// The tensors that these values are.
fn tensors<'g>(values: Vec<Value<'g>>) -> Result<Vec<Tensor<'g>>, Fault> {
    let tensor = |value: Value<'g>| match value {
        Value::Tensor(tensor) => Ok(tensor),
        Value::Failed => Err(Fault::Follows),
        _ => unsupported("values of branches or loops that are no tensors"),
    };
    values.into_iter().map(tensor).collect()
}

fn values(tensors: Vec<Tensor<'_>>) -> Vec<Value<'_>> {
    tensors.into_iter().map(Value::Tensor).collect()
}

fn types(tensors: &[Tensor<'_>]) -> Vec<TensorType> {
    tensors.iter().map(|t| t.ty()).collect()
}

/// Fails where a loop would be too deep inside others.
fn expect_room(node: &Node<'_, '_>) -> Result<(), Fault> {
    if node.scope.loops + 1 >= MAX_DEPTH {
        unsupported("loops or branches that deep inside each other")
    } else {
        Ok(())
    }
}

fn if_<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let condition = truth(node.input(0)?)?;
    let graphs = (node.graph("then_branch")?, node.graph("else_branch")?);
    let importer = node.importer;
    let chosen = |value: &Array| {
        let graph = if holds(value) { graphs.0 } else { graphs.1 };
        importer.inner_graph(graph, Vec::new(), node.scope, false)
    };
    if let Some(value) = importer.constant(condition) {
        return chosen(&value);
    }
    importer
        .attempt(|| both_branches(node, condition, graphs), || importer.known(condition).map(|value| chosen(&value)))
}

/// Both branches, of which a run computes one.
fn both_branches<'g>(
    node: &Node<'_, 'g>,
    condition: Tensor<'g>,
    (then, otherwise): (&proto::Graph, &proto::Graph),
) -> Results<'g> {
    expect_room(node)?;
    let g = node.g();
    let (fault, expected) = (RefCell::new(None), RefCell::new(Vec::new()));
    let branch = |graph: &proto::Graph| match node.importer.inner_graph(graph, Vec::new(), node.scope, true) {
        Ok(list) if list.is_empty() => invalid("a branch gives nothing"),
        Ok(list) => tensors(list),
        Err(error) => Err(error),
    };
    // What stands for the results of a branch that failed.
    let failed = |error: Fault| {
        *fault.borrow_mut() = Some(error);
        vec![g.constant(Array::scalar(false))]
    };
    let results = g.cond(
        condition,
        || match branch(then) {
            Ok(list) => {
                *expected.borrow_mut() = types(&list);
                list
            }
            Err(error) => failed(error),
        },
        || {
            if fault.borrow().is_some() {
                return vec![g.constant(Array::scalar(false))];
            }
            let error = match branch(otherwise) {
                Ok(list) if types(&list) == *expected.borrow() => return list,
                Ok(_) => Fault::Unsupported(
                    "branches of different types, of which the input chooses".to_owned(),
                    Reason::Never,
                ),
                Err(error) => error,
            };
            *fault.borrow_mut() = Some(error);
            expected.borrow().iter().map(|ty| g.zeros(ty.clone())).collect()
        },
    );
    match fault.into_inner() {
        Some(fault) => Err(fault),
        None => Ok(values(results)),
    }
}

/// A `Loop`'s parts.
struct Loop<'n, 'g> {
    node: &'n Node<'n, 'g>,
    body: &'n proto::Graph,
    /// The count of trips as given, and if it is known.
    limit: Option<Tensor<'g>>,
    trips: Option<usize>,
    condition: Option<Tensor<'g>>,
    initial: Vec<Value<'g>>,
    /// How many results are stacks of what each trip gives.
    stacks: usize,
}

/// What a trip gives: whether there is another, what it carries on, and what is stacked.
struct Trip<'g> {
    more: Tensor<'g>,
    next: Vec<Value<'g>>,
    stacked: Vec<Tensor<'g>>,
}

fn loop_<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let body = node.graph("body")?;
    let limit = node.optional(0)?;
    let condition = node.optional(1)?.map(truth).transpose()?;
    let count = match limit {
        Some(limit) if limit.shape().numel() == 1 && limit.dtype().is_int() => node.importer.known(limit),
        Some(limit) => return invalid(format!("the count of trips is {}", limit.ty())),
        None => None,
    };
    let trips = count.map(|n| (n.get_f64(0).max(0.0) as usize).min(UNBOUNDED));
    let initial: Option<Vec<Value<'g>>> = node.operands.get(2..).unwrap_or_default().iter().cloned().collect();
    let Some(initial) = initial else { return invalid("a value that is carried is missing") };
    let carried = initial.len();
    let Some(stacks) = body.output.len().checked_sub(1 + carried) else {
        return invalid(format!("the body gives {} values for {carried} that are carried", body.output.len()));
    };
    if body.input.len() != 2 + carried {
        return invalid(format!("the body takes {} values, {} are given", body.input.len(), 2 + carried));
    }
    let parts = Loop { node, body, limit, trips, condition, initial, stacks };
    let importer = node.importer;
    importer.attempt(|| parts.scanned(), || Some(importer.attempt(|| parts.guarded(), || Some(parts.unrolled()))))
}

impl<'g> Loop<'_, 'g> {
    fn trip(
        &self,
        iteration: Tensor<'g>,
        more: Tensor<'g>,
        carried: Vec<Value<'g>>,
        inside: bool,
    ) -> Result<Trip<'g>, Fault> {
        let inputs = [Value::Tensor(iteration), Value::Tensor(more)].into_iter().chain(carried);
        let mut results = self.node.importer.inner_graph(self.body, inputs.collect(), self.node.scope, inside)?;
        let stacked = results.split_off(1 + self.initial.len());
        let next = results.split_off(1);
        let [more] = tensors(results)?[..] else { return invalid("the body gives no condition") };
        Ok(Trip { more: truth(more)?, next, stacked: tensors(stacked)? })
    }

    fn truth(&self) -> Tensor<'g> {
        self.node.g().constant(Array::scalar(true))
    }

    /// A scan: nothing ends the loop before its last trip.
    fn scanned(&self) -> Results<'g> {
        expect_room(self.node)?;
        let (g, importer) = (self.node.g(), self.node.importer);
        let Some(trips) = self.trips else { return unsupported("a count of trips that is not known") };
        if let Some(condition) = self.condition
            && !importer.constant(condition).is_some_and(|c| holds(&c))
        {
            return unsupported("a condition that is not known");
        }
        let carry = tensors(self.initial.clone())?;
        let numbers = places(self.node, TensorType::new(DType::I64, [trips]), 0)?;
        scan_body(g, Scan::new(), trips, carry, vec![numbers], |state, slice| {
            let trip = self.trip(slice[0], self.truth(), values(state), true)?;
            match importer.constant(trip.more) {
                Some(more) if holds(&more) => Ok((tensors(trip.next)?, trip.stacked)),
                _ => unsupported("a condition that is not known"),
            }
        })
        .map(|(last, stacks)| values(last.into_iter().chain(stacks).collect()))
    }

    /// A bounded `while`: the condition is asked before each trip.
    fn guarded(&self) -> Results<'g> {
        expect_room(self.node)?;
        if self.stacks > 0 {
            return unsupported("results of a loop whose count of trips is not known");
        }
        let g = self.node.g();
        let state = [g.constant(Array::scalar(0i64)), self.condition.unwrap_or_else(|| self.truth())];
        let state: Vec<Tensor<'g>> = state.into_iter().chain(tensors(self.initial.clone())?).collect();
        let fault = RefCell::new(None);
        let limit = match (self.trips, self.limit) {
            (None, Some(limit)) => Some(limit.shaped([])?.to(DType::I64)?),
            _ => None,
        };
        let holds = |state: &[Tensor<'g>]| match limit {
            Some(limit) => state[0].f2(ScalarFn::Lt, limit)?.f2(ScalarFn::And, state[1]),
            None => Ok(state[1]),
        };
        let next = |state: &[Tensor<'g>]| -> Result<Vec<Tensor<'g>>, Fault> {
            let trip = self.trip(state[0], state[1], values(state[2..].to_vec()), true)?;
            let number = state[0].with(ScalarFn::Add, 1.0)?;
            let next: Vec<Tensor<'g>> = [number, trip.more].into_iter().chain(tensors(trip.next)?).collect();
            if types(&next) == types(state) { Ok(next) } else { unsupported("a loop that changes types") }
        };
        let last = g.while_loop(
            state,
            self.trips.unwrap_or(UNBOUNDED),
            |state: Vec<Tensor<'g>>| {
                holds(&state).unwrap_or_else(|error| {
                    *fault.borrow_mut() = Some(error);
                    self.truth()
                })
            },
            |state| {
                next(&state).unwrap_or_else(|error| {
                    *fault.borrow_mut() = Some(error);
                    state
                })
            },
        );
        match fault.into_inner() {
            Some(fault) => Err(fault),
            None => Ok(values(last[2..].to_vec())),
        }
    }

    /// All trips, one after the other.
    fn unrolled(&self) -> Results<'g> {
        let (g, importer) = (self.node.g(), self.node.importer);
        let known = |condition: Tensor<'g>| match importer.known(condition) {
            Some(value) => Ok(holds(&value)),
            None => unsupported("a loop that changes types or gives stacks, and whose count of trips is not known"),
        };
        let mut more = match self.condition {
            Some(condition) => known(condition)?,
            None => true,
        };
        if self.trips.is_none() && self.limit.is_some() {
            return unsupported("a count of trips that is not known");
        }
        let mut state = self.initial.clone();
        let mut stacks: Vec<Vec<Tensor<'g>>> = vec![Vec::new(); self.stacks];
        let mut number = 0usize;
        while more && self.trips.is_none_or(|trips| number < trips) {
            if number == MAX_UNROLLED {
                return unsupported(format!("more than {MAX_UNROLLED} trips of a loop that changes types"));
            }
            let iteration = g.constant(Array::scalar(number as i64));
            let trip = self.trip(iteration, self.truth(), state, false)?;
            more = known(trip.more)?;
            state = trip.next;
            for (stack, y) in stacks.iter_mut().zip(trip.stacked) {
                stack.push(y.unsqueezed(0)?);
            }
            number += 1;
        }
        for stack in stacks {
            if stack.is_empty() {
                return unsupported("results of a loop without trips");
            }
            state.push(concat(&stack, 0)?.into());
        }
        Ok(state)
    }
}

/// A scan whose body may fail.
fn scan_body<'g>(
    g: &'g Builder,
    scan: Scan,
    trips: usize,
    carry: Vec<Tensor<'g>>,
    sequences: Vec<Tensor<'g>>,
    body: impl FnOnce(Vec<Tensor<'g>>, Vec<Tensor<'g>>) -> Result<(Vec<Tensor<'g>>, Vec<Tensor<'g>>), Fault>,
) -> Result<(Vec<Tensor<'g>>, Vec<Tensor<'g>>), Fault> {
    let mut fault = None;
    let results =
        g.scan_with(scan.trips(trips), carry, sequences, |state: Vec<Tensor<'g>>, slices: Vec<Tensor<'g>>| {
            let made = body(state.clone(), slices).and_then(|(next, stacked)| {
                if types(&next) != types(&state) {
                    return unsupported("a loop that changes types");
                }
                let fits = |y: &Tensor<'g>| y.shape().numel().saturating_mul(trips) < 1 << 40;
                if stacked.iter().all(fits) {
                    Ok((next, stacked))
                } else {
                    invalid("the results of all trips are too large")
                }
            });
            made.unwrap_or_else(|error| {
                fault = Some(error);
                (state, Vec::new())
            })
        });
    match fault {
        Some(fault) => Err(fault),
        None => Ok(results),
    }
}

fn scan<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    if node.version < 9 {
        return unsupported("version 8, which scans each example of a batch");
    }
    expect_room(node)?;
    let body = node.graph("body")?;
    let operands = node.inputs()?;
    let count = count_of(node.int("num_scan_inputs", 0)?)?;
    let Some(carried) = operands.len().checked_sub(count).filter(|_| count > 0) else {
        return invalid(format!("{count} sequences of {} operands", operands.len()));
    };
    let Some(stacks) = body.output.len().checked_sub(carried) else {
        return invalid(format!("the body gives {} values for {carried} that are carried", body.output.len()));
    };
    let list = |name: &'static str, n: usize| match node.ints(name)? {
        Some(list) if list.len() != n => invalid(format!("`{name}` has {} entries, expected {n}", list.len())),
        Some(list) => Ok(list),
        None => Ok(vec![0; n]),
    };
    let (in_axes, in_directions) = (list("scan_input_axes", count)?, list("scan_input_directions", count)?);
    let (out_axes, out_directions) = (list("scan_output_axes", stacks)?, list("scan_output_directions", stacks)?);
    let mut sequences = Vec::new();
    for (i, &x) in operands[carried..].iter().enumerate() {
        let x = x.moved(axis_of(in_axes[i], x.rank())?, 0)?;
        sequences.push(if in_directions[i] == 0 { x } else { x.reversed(0)? });
    }
    let trips = sequences[0].shape()[0];
    if sequences.iter().any(|x| x.shape()[0] != trips) || trips > UNBOUNDED {
        return invalid("the sequences differ in length");
    }
    let (g, importer) = (node.g(), node.importer);
    let (last, mut stacked) =
        scan_body(g, Scan::new(), trips, operands[..carried].to_vec(), sequences, |state, slices| {
            let inputs = state.into_iter().chain(slices).map(Value::Tensor).collect();
            let mut next = tensors(importer.inner_graph(body, inputs, node.scope, true)?)?;
            let stacked = next.split_off(carried.min(next.len()));
            Ok((next, stacked))
        })?;
    for (i, y) in stacked.iter_mut().enumerate() {
        if out_directions[i] != 0 {
            *y = y.reversed(0)?;
        }
        *y = y.moved(0, axis_of(out_axes[i], y.rank())?)?;
    }
    Ok(values(last.into_iter().chain(stacked).collect()))
}
