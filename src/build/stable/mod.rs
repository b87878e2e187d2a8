//! Numerical stability: a formula as mathematicians write it is recognised when its last operation is called, and the form that keeps its digits and does not
//! overflow is built in its place.
//!
//! ```text
//!   x.softmax(-1).log()        the literal node, log of the quotient, is appended; the methods of arith call `stabilized` with it
//!     find                     the table of forms is asked for that function: log of a positive formula
//!     build                    x - m - log(sum(exp(x - m))) is appended, in the scope `log`, and returned
//!                              the literal, which nothing uses, is dead
//! ```
//!
//! So gradients, forward mode, the interpreter and every level of the optimizer see the stable form. A form is sound at all inputs: where the formula, evaluated
//! without rounding, has a value, infinite or not, the form has that value, and where it is NaN, so is the form, but for `inf / inf` in a sigmoid; a zero may
//! have the other sign. It is at least as accurate, up to a few units in the last place and to what the rounding of its arguments costs. What cannot promise
//! that is no form. The [record](record) of what stands for what makes derivatives by tensors inside a formula right.
//!
//! What is built from text, or by [`Builder::try_push`], stays as it is written. A search ends at the graph that is being written: a loop's body does not look
//! into what it takes from outside, nor does a [`checkpoint`](Builder::checkpoint) or a [rule of one's own](Builder::custom_vjp).
//!
//! The forms are those of Higham, "Accuracy and Stability of Numerical Algorithms" (2002), chapter 1; and of Blanchard, Higham and Higham, "Accurately computing
//! the log-sum-exp and softmax functions" (2021).

mod differences;
mod form;
mod logarithms;
mod quotients;
mod record;
mod roots;
mod sight;
#[cfg(test)]
mod tests;

use crate::graph::NodeId;
use crate::prim::{Op, Reshape};
use crate::scalar::ScalarFn::{self, Add, Div, Log, Log1p, Pow, Sqrt, Sub};

use super::{Builder, Tensor};
use form::Form;
use sight::Sight;

use record::Record;
pub(super) use record::Records;

/// A family of formulas that end with the same function.
pub(super) struct Entry {
    /// The name of the form.
    name: &'static str,
    /// What is replaced by what.
    law: &'static str,
    /// The functions with which the formulas end.
    on: &'static [ScalarFn],
    /// The form for a function of these operands.
    find: fn(&mut Sight<'_>, ScalarFn, &[NodeId]) -> Option<Form>,
}

/// The forms, in the order in which they are tried.
static FORMS: &[Entry] = &[
    Entry {
        name: "log-of-exponentials",
        law: "The logarithm of a product or quotient of exp(x), sigmoid(x), sum(exp(x)), exp(x) + exp(y), 1 + exp(x) and positive numbers is the sum or difference of their logarithms: x, -softplus(-x), logsumexp(x), logaddexp(x, y) and softplus(x).",
        on: &[Log],
        find: logarithms::of_positive,
    },
    Entry { name: "log-of-one-plus", law: "log(1 + x) is log1p(x).", on: &[Log], find: logarithms::of_one_plus },
    Entry { name: "log1p-of-exp", law: "log1p(exp(x)) is softplus(x).", on: &[Log1p], find: logarithms::log1p_of_exp },
    Entry {
        name: "log1p-of-sigmoid",
        law: "log1p(-sigmoid(x)) is -softplus(x).",
        on: &[Log1p],
        find: logarithms::log1p_of_sigmoid,
    },
    Entry { name: "exp-minus-one", law: "exp(x) - 1 is expm1(x).", on: &[Sub, Add], find: differences::of_exp_and_one },
    Entry {
        name: "one-minus",
        law: "1 - sigmoid(x) is sigmoid(-x), and 1 - erf(x) is erfc(x).",
        on: &[Sub],
        find: differences::from_one,
    },
    Entry {
        name: "difference-of-moments",
        law: "mean(x^2) - mean(x)^2 is variance(x).",
        on: &[Sub],
        find: differences::of_moments,
    },
    Entry {
        name: "sigmoid",
        law: "1 / (1 + exp(-x)) and exp(x) / (1 + exp(x)) are sigmoid(x).",
        on: &[Div],
        find: quotients::sigmoid,
    },
    Entry { name: "softmax", law: "exp(x) / sum(exp(x)) is softmax(x).", on: &[Div], find: quotients::softmax },
    Entry { name: "root-of-square", law: "sqrt(x^2) is abs(x).", on: &[Sqrt, Pow], find: roots::of_square },
    Entry {
        name: "root-of-sum-of-squares",
        law: "sqrt(sum(x^2)) is norm(x).",
        on: &[Sqrt, Pow],
        find: roots::of_sum_of_squares,
    },
    Entry {
        name: "root-of-mean-of-squares",
        law: "sqrt(sum(x^2) / n) is norm(x) / sqrt(n).",
        on: &[Sqrt, Pow],
        find: roots::of_mean_of_squares,
    },
];

impl<'g> Tensor<'g> {
    /// A scalar function of each element, as methods and operators of tensors have it: in the stable form, if the tensor ends a formula that has one.
    #[track_caller]
    pub(super) fn function(f: ScalarFn, operands: &[Tensor<'g>]) -> Tensor<'g> {
        Tensor::map(f, operands).stabilized()
    }

    /// The stable form of the formula that ends with this node, which has just been appended; the tensor itself, if there is none.
    #[track_caller]
    pub(crate) fn stabilized(self) -> Tensor<'g> {
        let builder = self.builder;
        let Some(Found { f, entry, form, inside }) = builder.find_form(self.id) else { return self };
        let _scope = builder.scope(f.name(), &[self]);
        let mut stable = form.build(builder).cast(self.dtype());
        if stable.id <= self.id {
            // A node of its own for the record.
            stable = builder.push(Reshape { shape: self.shape() }, &[stable]);
        }
        debug_assert_eq!(stable.ty(), self.ty(), "a form is typed like the formula that ends with {}", f.name());
        builder.records.borrow_mut().add(builder.frame(), stable.id, Record { entry, literal: self.id, inside });
        stable
    }

    /// The name and the law of the stable form that a method built for this tensor in place of the formula as it was written; `None` for any other tensor.
    /// The page [`stability`](crate::stability) says which there are.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let x = g.input("x", f32([3]));
    /// assert_eq!(x.exp().log1p().stable_form(), Some(("log1p-of-exp", "log1p(exp(x)) is softplus(x).")));
    /// assert_eq!(x.log1p().stable_form(), None);
    /// ```
    pub fn stable_form(self) -> Option<(&'static str, &'static str)> {
        self.builder.records.borrow().entry(self.frame, self.id).map(|e| (e.name, e.law))
    }
}

/// A form that was found.
struct Found {
    /// The function with which the formula ends.
    f: ScalarFn,
    entry: &'static Entry,
    form: Form,
    /// The nodes inside the formula.
    inside: Vec<NodeId>,
}

impl Builder {
    /// The form for a node.
    fn find_form(&self, id: NodeId) -> Option<Found> {
        let graph = self.graph.borrow();
        let id = if matches!(graph.op(id), Op::Cast(_)) { graph.operands(id)[0] } else { id };
        let Op::Map(map) = graph.op(id) else { return None };
        if !graph.ty(id).dtype.is_float() {
            return None;
        }
        let operands = graph.operands(id);
        let floor = self.records.borrow().floor(self.frame());
        FORMS.iter().filter(|e| e.on.contains(&map.f)).find_map(|entry| {
            let mut sight = Sight::new(&graph, floor);
            let form = (entry.find)(&mut sight, map.f, &operands)?;
            Some(Found { f: map.f, entry, form, inside: sight.inside })
        })
    }
}
