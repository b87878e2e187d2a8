//! Reductions, extremes and their places, cumulative folds, softmax and its kin.

use crate::build::Tensor;
use crate::graph::{DType, Dims};
use crate::prim::{ArgReduce, Cumulative, Extremum, Reduction};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made};
use super::super::error::{Fault, invalid};
use super::super::node::{Node, Results, axes_of, axis_of, one};
use super::{Held, Operator, op};

/// The record of a reduction, whose axes are an operand from a version on.
macro_rules! reduction {
    ($name:literal, $by_operand:literal, $fold:expr) => {
        op($name, 1, |node| {
            let over = over(node, $by_operand)?;
            let fold: fn(Over<'_>) -> Made<'_> = $fold;
            one(fold(over))
        })
    };
}

pub(super) const OPERATORS: &[Operator] = &[
    reduction!("ReduceSum", 13, |o| o.fold(Reduction::Sum)),
    reduction!("ReduceProd", 18, |o| o.fold(Reduction::Prod)),
    reduction!("ReduceMax", 18, |o| o.extreme(Reduction::Max)).held(Held::Chooses),
    reduction!("ReduceMin", 18, |o| o.extreme(Reduction::Min)).held(Held::Chooses),
    reduction!("ReduceMean", 18, |o| o.mean()),
    reduction!("ReduceSumSquare", 18, |o| o.squared()?.fold(Reduction::Sum)),
    reduction!("ReduceL1", 18, |o| Over { x: o.x.f(ScalarFn::Abs)?, ..o }.fold(Reduction::Sum)),
    reduction!("ReduceL2", 18, |o| {
        let dtype = o.x.dtype();
        let x = if dtype.is_float() { o.x } else { o.x.to(DType::F64)? };
        Over { x, ..o }.squared()?.fold(Reduction::Sum)?.f(ScalarFn::Sqrt)?.to(dtype)
    }),
    reduction!("ReduceLogSum", 18, |o| {
        let dtype = o.x.dtype();
        let sum = o.fold(Reduction::Sum)?;
        if dtype.is_float() { sum.f(ScalarFn::Log) } else { sum.to(DType::F64)?.f(ScalarFn::Log)?.to(dtype) }
    }),
    reduction!("ReduceLogSumExp", 18, |o| o.logsumexp()),
    op("ArgMax", 1, |node| arg_reduce(node, Extremum::Max)).held(Held::Compares),
    op("ArgMin", 1, |node| arg_reduce(node, Extremum::Min)).held(Held::Compares),
    op("CumSum", 11, |node| cumulative(node, Reduction::Sum)),
    op("CumProd", 26, |node| cumulative(node, Reduction::Prod)),
    op("Softmax", 1, |node| softmax(node, |x, axis| Ok(x.softmax(axis as isize)))),
    op("LogSoftmax", 1, |node| softmax(node, |x, axis| Ok(x.log_softmax(axis as isize)))),
    op("Hardmax", 1, |node| softmax(node, hardmax)),
];

/// An operand and the axes to fold.
struct Over<'g> {
    x: Tensor<'g>,
    axes: Dims,
    keep: bool,
}

fn over<'g>(node: &Node<'_, 'g>, by_operand: i64) -> Result<Over<'g>, Fault> {
    let x = node.input(0)?;
    let given = if node.version < by_operand { node.ints("axes")? } else { node.known_ints_optional(1)? };
    let given = given.filter(|axes| !axes.is_empty());
    // What is not the fold itself, such as squares and logarithms, is done without axes too.
    let none = node.flag("noop_with_empty_axes", false)?;
    let axes = match given {
        Some(axes) => axes_of(&axes, x.rank())?,
        None if none => Dims::new(),
        None => (0..x.rank()).collect(),
    };
    Ok(Over { x, axes, keep: node.flag("keepdims", true)? })
}

impl<'g> Over<'g> {
    fn fold(&self, reduction: Reduction) -> Made<'g> {
        self.x.fold(reduction, &self.axes, self.keep)
    }

    /// How many elements are folded to one.
    fn count(&self) -> usize {
        let shape = self.x.shape();
        self.axes.iter().map(|&a| shape[a]).product()
    }

    /// What the fold of no elements is: `value` in the shape of the result.
    fn of_nothing(&self, value: f64) -> Made<'g> {
        let shape = self.x.shape();
        let kept = shape.iter().enumerate().filter(|(a, _)| self.keep || !self.axes.contains(a));
        let shape = kept.map(|(a, &d)| if self.axes.contains(&a) { 1 } else { d }).collect();
        self.x.number(value).broadcast(&shape)
    }

    fn extreme(&self, reduction: Reduction) -> Made<'g> {
        match self.count() {
            0 => self.of_nothing(reduction.neutral(self.x.dtype())),
            _ => self.fold(reduction),
        }
    }

    /// Integers are divided toward zero.
    fn mean(&self) -> Made<'g> {
        match self.count() {
            0 if self.x.dtype().is_float() => self.of_nothing(f64::NAN),
            count => self.fold(Reduction::Sum)?.with(ScalarFn::Div, count as f64),
        }
    }

    fn squared(self) -> Result<Over<'g>, Fault> {
        Ok(Over { x: self.x.f2(ScalarFn::Mul, self.x)?, ..self })
    }

    fn logsumexp(self) -> Made<'g> {
        if self.axes.is_empty() {
            return Ok(self.x);
        }
        let dtype = self.x.dtype();
        let x = if dtype.is_float() { self.x } else { self.x.to(DType::F64)? };
        let axes: Vec<isize> = self.axes.iter().map(|&a| a as isize).collect();
        let result = match self.keep {
            true => x.logsumexp_keep(&axes[..]),
            false => x.logsumexp_over(&axes[..]),
        };
        result.to(dtype)
    }
}

/// The place of the first extreme element, or of the last.
fn arg_reduce<'g>(node: &Node<'_, 'g>, extremum: Extremum) -> Results<'g> {
    let x = node.input(0)?;
    let axis = node.axis("axis", 0, x.rank())?;
    let last = node.flag("select_last_index", false)?;
    let keep = node.flag("keepdims", true)?;
    let extent = x.shape()[axis];
    let searched = if last { x.reversed(axis)? } else { x };
    let place = searched.push1(ArgReduce { extremum, axis })?.to(DType::I64)?;
    let place = if last { place.number(extent as f64 - 1.0).f2(ScalarFn::Sub, place)? } else { place };
    one(if keep { place.unsqueezed(axis) } else { Ok(place) })
}

fn cumulative<'g>(node: &Node<'_, 'g>, reduction: Reduction) -> Results<'g> {
    let x = node.input(0)?;
    let axes = node.known_ints(1)?;
    let [axis] = axes[..] else { return invalid("takes one axis") };
    let axis = axis_of(axis, x.rank())?;
    let (reverse, exclusive) = (node.flag("reverse", false)?, node.flag("exclusive", false)?);
    let extent = x.shape()[axis];
    if !exclusive || extent == 0 {
        return one(x.push1(Cumulative { reduction, axis, reverse }));
    }
    // The element itself is left out: a neutral one comes in at the beginning, and the last goes.
    let mut widths: Dims<(usize, usize)> = Dims::from_elem((0, 0), x.rank());
    widths[axis] = if reverse { (0, 1) } else { (1, 0) };
    let rest = x.part(axis, usize::from(reverse), extent - 1)?;
    let moved = rest.padded(&widths, reduction.neutral(x.dtype()))?;
    one(moved.push1(Cumulative { reduction, axis, reverse }))
}

/// Before version 13 the axes from `axis` on are one.
fn softmax<'g>(node: &Node<'_, 'g>, f: impl Fn(Tensor<'g>, usize) -> Made<'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let shape = x.shape();
    if node.version >= 13 {
        let axis = node.axis("axis", -1, shape.rank())?;
        return one(if shape.numel() == 0 { Ok(x) } else { f(x, axis) });
    }
    let axis = node.int("axis", 1)?;
    let axis = if axis == shape.rank() as i64 { shape.rank() } else { axis_of(axis, shape.rank())? };
    if shape.numel() == 0 {
        return one(Ok(x));
    }
    let flat = x.shaped([shape[..axis].iter().product(), shape[axis..].iter().product()])?;
    one(f(flat, 1)?.shaped(shape))
}

/// 1 at the first largest element, 0 elsewhere.
fn hardmax<'g>(x: Tensor<'g>, axis: usize) -> Made<'g> {
    let place = x.push1(ArgReduce { extremum: Extremum::Max, axis })?.unsqueezed(axis)?;
    let ty = x.ty().with_dtype(DType::I32);
    let places = x.builder().try_push(crate::prim::Iota { ty, axis }, &[])?;
    places.f2(ScalarFn::Eq, place)?.to(x.dtype())
}
