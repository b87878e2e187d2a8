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
//! So gradients, forward mode, the interpreter and every level of the optimizer see the stable form. A form has the value of the formula in exact arithmetic,
//! for infinite elements too where the formula gives a number there, and is at least as accurate, up to what the rounding of its arguments costs. The
//! [record](record) of what stands for what makes derivatives by tensors inside a formula right.
//!
//! What is built from text, or by [`Builder::try_push`], stays as it is written. A search ends at the graph that is being written: a loop's body does not look
//! into what it takes from outside, nor does a [`checkpoint`](Builder::checkpoint) or a [rule of one's own](Builder::custom_vjp).
//!
//! The forms are those of Higham, "Accuracy and Stability of Numerical Algorithms" (2002), chapter 1; of Blanchard, Higham and Higham, "Accurately computing
//! the log-sum-exp and softmax functions" (2021); and of Mächler, "Accurately computing log(1 - exp(-|a|))" (2012).

mod differences;
mod form;
mod logarithms;
mod quotients;
mod record;
mod roots;
mod sight;

use crate::graph::NodeId;
use crate::prim::{Op, Reshape};
use crate::scalar::ScalarFn::{self, Add, Div, Log, Log1p, Mul, Pow, Sqrt, Sub};

use super::{Builder, Tensor};
use form::Form;
use sight::Sight;

pub(super) use record::Records;

/// A family of formulas that end with the same function.
struct Entry {
    /// The functions with which the formulas end.
    on: &'static [ScalarFn],
    /// What is replaced by what.
    #[allow(dead_code, reason = "the table is its own documentation")]
    doc: &'static str,
    /// The form for a function of these operands.
    find: fn(&mut Sight<'_>, ScalarFn, &[NodeId]) -> Option<Form>,
}

/// The forms, in the order in which they are tried.
const FORMS: &[Entry] = &[
    Entry {
        on: &[Log],
        doc: "The logarithm of exponentials, sigmoids, softmaxes, their products, quotients, sums and folds: sums of logarithms, logsumexp, softplus.",
        find: logarithms::of_positive,
    },
    Entry {
        on: &[Log],
        doc: "log(1 - exp(x)) is log(-expm1(x)) above -ln 2 and log1p(-exp(x)) below.",
        find: logarithms::of_one_minus_exp,
    },
    Entry { on: &[Log], doc: "log(1 + x) is log1p(x), and log(1 - x) is log1p(-x).", find: logarithms::of_one_plus },
    Entry {
        on: &[Log1p],
        doc: "log1p(exp(x)) is softplus(x), and log1p(-sigmoid(x)) is -softplus(x).",
        find: logarithms::log1p,
    },
    Entry {
        on: &[Sub, Add],
        doc: "exp(x) - 1 is expm1(x), and 1 - exp(x) is -expm1(x).",
        find: differences::of_exp_and_one,
    },
    Entry {
        on: &[Sub],
        doc: "1 - sigmoid(x) is sigmoid(-x), 1 - erf(x) is erfc(x), 1 - erfc(x) is erf(x), 1 - cos(x) is 2 sin(x / 2)^2.",
        find: differences::from_one,
    },
    Entry { on: &[Sub], doc: "exp(x) - exp(-x) is 2 sinh(x).", find: differences::of_exponentials },
    Entry { on: &[Sub], doc: "mean(x^2) - mean(x)^2 is variance(x).", find: differences::of_moments },
    Entry {
        on: &[Div],
        doc: "(exp(x) - exp(y)) / (exp(x) + exp(y)) is tanh((x - y) / 2), also where one of them is 1.",
        find: quotients::tanh,
    },
    Entry {
        on: &[Div],
        doc: "1 / (1 + exp(-x)), exp(x) / (1 + exp(x)) and exp(x) / (exp(x) + exp(y)) are sigmoids.",
        find: quotients::sigmoid,
    },
    Entry {
        on: &[Div],
        doc: "exp(x) / sum(exp(x)) is softmax(x), w exp(x) / sum(exp(x)) is w softmax(x), and sum(w exp(x)) / sum(exp(x)) is sum(w softmax(x)).",
        find: quotients::softmax,
    },
    Entry { on: &[Mul], doc: "exp(x) * (1 / sum(exp(x))) is softmax(x).", find: quotients::softmax_by_reciprocal },
    Entry {
        on: &[Sqrt, Pow],
        doc: "sqrt(x^2) is abs(x), sqrt(x^2 + y^2) is hypot(x, y), sqrt(sum(x^2)) is norm(x), sqrt(mean(x^2) - mean(x)^2) is std(x).",
        find: roots::of_squares,
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
        let Some((f, form, inside)) = builder.find_form(self.id) else { return self };
        let _scope = builder.scope(f.name(), &[self]);
        let mut stable = form.build(builder).cast(self.dtype());
        if stable.id <= self.id {
            // A node of its own for the record.
            stable = builder.push(Reshape { shape: self.shape() }, &[stable]);
        }
        debug_assert_eq!(stable.ty(), self.ty(), "a form is typed like the formula that ends with {}", f.name());
        builder.records.borrow_mut().add(builder.frame(), stable.id, self.id, inside);
        stable
    }
}

impl Builder {
    /// The form for a node, with the function with which the formula ends and the nodes inside.
    fn find_form(&self, id: NodeId) -> Option<(ScalarFn, Form, Vec<NodeId>)> {
        let (graph, records) = (self.graph.borrow(), self.records.borrow());
        let id = if matches!(graph.op(id), Op::Cast(_)) { graph.operands(id)[0] } else { id };
        let Op::Map(map) = graph.op(id) else { return None };
        let mut entries = FORMS.iter().filter(|e| e.on.contains(&map.f)).peekable();
        entries.peek()?;
        let operands = graph.operands(id);
        if !graph.ty(id).dtype.is_float() {
            return None;
        }
        let mut sight = Sight::new(&graph, &records, self.frame());
        let form = entries.find_map(|e| sight.attempt(|s| (e.find)(s, map.f, &operands)))?;
        Some((map.f, form, sight.inside))
    }
}
