//! What is built in place of a formula: a small tree over nodes that exist.

use smallvec::SmallVec;

use crate::graph::{Dims, NodeId, Operands};
use crate::prim::Op;
use crate::scalar::ScalarFn::{self, Mul, Neg, Sub};

use super::super::{Builder, Operand, Tensor};

/// A movement of elements, or another operation that commutes with functions of elements, and its operands behind the first.
pub(super) type Move = (Op, Operands);

/// A formula to be built.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// A node that exists.
    Leaf(NodeId),
    /// A number, in every element.
    Number(f64),
    /// A scalar function. One operand at least is no number.
    Map(ScalarFn, Vec<Form>),
    /// A method over axes.
    Over(Over, Dims, Box<Form>),
    /// Movements, the innermost first.
    Moved(Box<Form>, Vec<Move>),
}

/// The methods over axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Softmax,
    Logsumexp,
    /// The norm of order 2.
    Norm,
    /// The variance of a whole population.
    Variance,
}

pub(super) fn map1(f: ScalarFn, a: Form) -> Form {
    Form::Map(f, vec![a])
}

pub(super) fn map2(f: ScalarFn, a: Form, b: Form) -> Form {
    Form::Map(f, vec![a, b])
}

impl Form {
    pub(super) fn over(self, method: Over, axes: &Dims) -> Form {
        Form::Over(method, axes.clone(), Box::new(self))
    }

    pub(super) fn moved(self, moves: Vec<Move>) -> Form {
        if moves.is_empty() || matches!(self, Form::Number(_)) { self } else { Form::Moved(Box::new(self), moves) }
    }

    /// The form with the other sign.
    pub(super) fn negated(self) -> Form {
        match self {
            Form::Number(n) => Form::Number(-n),
            Form::Map(Neg, mut x) => x.remove(0),
            Form::Moved(form, moves) => form.negated().moved(moves),
            form => map1(Neg, form),
        }
    }

    /// The difference; that from the number 0 is a sign.
    pub(super) fn minus(self, other: Form) -> Form {
        match (self, other) {
            (a, Form::Number(0.0)) => a,
            (Form::Number(0.0), b) => b.negated(),
            (a, b) => map2(Sub, a, b),
        }
    }

    /// The product with a number.
    pub(super) fn times(self, number: f64) -> Form {
        if number == 1.0 { self } else { map2(Mul, self, Form::Number(number)) }
    }

    /// Builds the formula.
    #[track_caller]
    pub(super) fn build<'g>(&self, builder: &'g Builder) -> Tensor<'g> {
        match self {
            Form::Leaf(id) => builder.handle(*id),
            Form::Number(_) => unreachable!("a number stands beside a tensor"),
            Form::Map(f, operands) => {
                let mut tensors: SmallVec<[Option<Tensor<'g>>; 3]> = SmallVec::new();
                for operand in operands {
                    let is_number = matches!(operand, Form::Number(_));
                    tensors.push(if is_number { None } else { Some(operand.build(builder)) });
                }
                let beside = tensors.iter().copied().flatten().next().expect("one operand is no number");
                let mut all: SmallVec<[Tensor<'g>; 3]> = SmallVec::new();
                for (operand, tensor) in operands.iter().zip(&tensors) {
                    all.push(match (operand, tensor) {
                        (Form::Number(n), _) => n.beside(beside),
                        (_, tensor) => tensor.expect("what is no number is built"),
                    });
                }
                Tensor::map(*f, &all)
            }
            Form::Over(method, axes, form) => {
                let x = form.build(builder);
                let axes: Dims<isize> = axes.iter().map(|&a| a as isize).collect();
                match method {
                    Over::Softmax => x.softmax_over(&axes[..]),
                    Over::Logsumexp => x.logsumexp_over(&axes[..]),
                    Over::Norm => x.norm_over(&axes[..], 2.0),
                    Over::Variance => x.variance_over(&axes[..], 0),
                }
            }
            Form::Moved(form, moves) => {
                let mut x = form.build(builder);
                for (op, others) in moves {
                    let mut operands: SmallVec<[Tensor<'g>; 3]> = SmallVec::from_slice(&[x]);
                    operands.extend(others.iter().map(|&id| builder.handle(id)));
                    x = builder.push(op.clone(), &operands);
                }
                x
            }
        }
    }
}
