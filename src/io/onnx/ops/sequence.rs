//! Lists of tensors, whose lengths and places are known at import, and values that may be missing.

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::DType;

use super::super::checked::{Checked, concat};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, Value, axis_of, constant_ints, counts_of, one};
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("SequenceConstruct", 11, |node| Ok(vec![Value::Sequence(node.inputs()?)])),
    op("SequenceEmpty", 11, |node| {
        node.int("dtype", 1)?;
        Ok(vec![Value::Sequence(Vec::new())])
    }),
    op("SequenceLength", 11, |node| {
        let n = node.sequence(0)?.len() as i64;
        one(constant_ints(node.g(), DType::I64, &[], vec![n]))
    }),
    op("SequenceAt", 11, |node| {
        let list = node.sequence(0)?;
        one(Ok(list[place(node, 1, list.len())?]))
    }),
    op("SequenceInsert", 11, |node| {
        let mut list = node.sequence(0)?;
        let at = match node.optional(2)? {
            Some(_) => place(node, 2, list.len() + 1)?,
            None => list.len(),
        };
        list.insert(at, node.input(1)?);
        Ok(vec![Value::Sequence(list)])
    }),
    op("SequenceErase", 11, |node| {
        let mut list = node.sequence(0)?;
        let at = match node.optional(1)? {
            Some(_) => place(node, 1, list.len())?,
            None if list.is_empty() => return invalid("the sequence is empty"),
            None => list.len() - 1,
        };
        list.remove(at);
        Ok(vec![Value::Sequence(list)])
    }),
    op("SequenceMap", 17, map),
    op("SplitToSequence", 11, split),
    op("ConcatFromSequence", 11, join),
    op("Optional", 15, |node| match node.operands.first() {
        Some(Some(value)) => Ok(vec![value.clone()]),
        _ => Ok(vec![Value::Nothing]),
    })
    .ignoring(&["type"]),
    op("OptionalHasElement", 15, |node| {
        let there = match node.operands.first() {
            Some(Some(Value::Failed)) => return Err(Fault::Follows),
            Some(Some(Value::Nothing) | None) | None => false,
            Some(Some(_)) => true,
        };
        one(Ok(node.g().constant(Array::scalar(there))))
    }),
    op("OptionalGetElement", 15, |node| match node.operands.first() {
        Some(Some(Value::Failed)) => Err(Fault::Follows),
        Some(Some(Value::Nothing) | None) | None => unsupported("a value that is missing"),
        Some(Some(value)) => Ok(vec![value.clone()]),
    }),
];

/// Operand `i` as a place in a list of `count`.
fn place(node: &Node<'_, '_>, i: usize, count: usize) -> Result<usize, Fault> {
    match node.known_ints(i)?[..] {
        [place] => axis_of(place, count),
        _ => invalid("takes one place"),
    }
}

/// The results of a graph for each element of a list, and for those of other lists at the same places; operands that are no lists are given to all.
fn map<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let body = node.graph("body")?;
    let count = node.sequence(0)?.len();
    let mut lists: Vec<Vec<Tensor<'g>>> = vec![Vec::new(); body.output.len()];
    for place in 0..count {
        let given = |(i, operand): (usize, &Option<Value<'g>>)| match operand {
            Some(Value::Sequence(list)) => match list.get(place) {
                Some(&element) if list.len() == count => Ok(element.into()),
                _ => invalid(format!("operand {i} has {} elements, the first has {count}", list.len())),
            },
            Some(value) => Ok(value.clone()),
            None => invalid(format!("operand {i} is missing")),
        };
        let inputs: Result<Vec<Value<'g>>, Fault> = node.operands.iter().enumerate().map(given).collect();
        for (list, result) in lists.iter_mut().zip(node.importer.inner_graph(body, inputs?, node.scope, false)?) {
            match result {
                Value::Tensor(tensor) => list.push(tensor),
                Value::Failed => return Err(Fault::Follows),
                _ => return unsupported("a sequence of what is no tensor"),
            }
        }
    }
    Ok(lists.into_iter().map(Value::Sequence).collect())
}

/// The parts along an axis: of given extents, of one extent, or single slices.
fn split<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let axis = node.axis("axis", 0, x.rank())?;
    let keep = node.flag("keepdims", true)?;
    let extent = x.shape()[axis];
    if extent > 1 << 16 {
        return unsupported(format!("a sequence of the parts of {extent} elements"));
    }
    let by_one = node.optional(1)?.is_none();
    let sizes = match node.optional(1)? {
        None => vec![1; extent],
        Some(sizes) => {
            let scalar = sizes.rank() == 0;
            let sizes = counts_of(&node.known_ints(1)?)?;
            match sizes[..] {
                [0] if scalar => return invalid("parts have no elements"),
                [size] if scalar => (0..extent.div_ceil(size)).map(|i| size.min(extent - i * size)).collect(),
                _ => sizes.to_vec(),
            }
        }
    };
    if sizes.iter().fold(0usize, |sum, &n| sum.saturating_add(n)) != extent {
        return invalid(format!("parts {sizes:?} do not add up to the extent {extent}"));
    }
    let (mut parts, mut from) = (Vec::new(), 0);
    for size in sizes {
        let part = x.part(axis, from, size)?;
        parts.push(if by_one && !keep { part.squeezed(axis)? } else { part });
        from += size;
    }
    Ok(vec![Value::Sequence(parts)])
}

fn join<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let list = node.sequence(0)?;
    let Some(first) = list.first() else { return invalid("the sequence is empty") };
    let new = node.flag("new_axis", false)?;
    let axis = node.axis("axis", 0, first.rank() + usize::from(new))?;
    if !new {
        return one(concat(&list, axis));
    }
    let list: Vec<_> = list.into_iter().map(|t| t.unsqueezed(axis)).collect::<Result<_, Fault>>()?;
    one(concat(&list, axis))
}
