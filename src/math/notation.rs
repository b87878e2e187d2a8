//! How scalar functions and folds are written.
//!
//! A function that is not in [`scalar`] is written by its name in the text form, as `name(x)`, so a record that is added to the table of scalar functions
//! needs no entry here.

use crate::scalar::ScalarFn;

use super::form::Fold;

/// Where a form needs brackets: as a part of what binds more strongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Binding {
    /// `a ∨ b`
    Or,
    /// `a ∧ b`
    And,
    /// `a < b`
    Compare,
    /// `a + b`, `−a`
    Sum,
    /// `a ∘ b`, `a / b`
    Product,
    /// `A B`
    MatMul,
    /// The right side of a product of matrices.
    Right,
    /// `Aᵀ`, `a²`, `a[i]`
    Postfix,
    /// Names, numbers, calls.
    Atom,
}

/// A notation as text and in LaTeX.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notation {
    /// `f(x, y)`
    Call(&'static str, &'static str),
    /// `a f b`
    Infix(Binding, &'static str, &'static str),
    /// `f a`
    Prefix(&'static str, &'static str),
    /// The bars of `|a|`.
    Bars,
    /// `a^b`
    Power,
}

/// The notation of a scalar function; `None` for those that are called by their names.
pub(super) fn scalar(f: ScalarFn) -> Option<Notation> {
    use Binding as B;
    use Notation::{Bars, Call, Infix, Power, Prefix};
    use ScalarFn as S;
    Some(match f {
        S::Eq => Infix(B::Compare, "=", "="),
        S::Ne => Infix(B::Compare, "≠", r"\neq"),
        S::Lt => Infix(B::Compare, "<", "<"),
        S::Le => Infix(B::Compare, "≤", r"\leq"),
        S::Gt => Infix(B::Compare, ">", ">"),
        S::Ge => Infix(B::Compare, "≥", r"\geq"),
        S::And => Infix(B::And, "∧", r"\land"),
        S::Or => Infix(B::Or, "∨", r"\lor"),
        S::Not => Prefix("¬", r"\lnot "),
        S::Abs => Bars,
        S::Pow => Power,
        S::Select => Call("where", r"\operatorname{where}"),
        S::Sigmoid => Call("σ", r"\sigma"),
        S::Sqrt => Call("√", r"\sqrt"),
        S::Exp => Call("exp", r"\exp"),
        S::Log => Call("log", r"\log"),
        S::Sin => Call("sin", r"\sin"),
        S::Cos => Call("cos", r"\cos"),
        S::Tan => Call("tan", r"\tan"),
        S::Asin => Call("arcsin", r"\arcsin"),
        S::Acos => Call("arccos", r"\arccos"),
        S::Atan => Call("arctan", r"\arctan"),
        S::Sinh => Call("sinh", r"\sinh"),
        S::Cosh => Call("cosh", r"\cosh"),
        S::Tanh => Call("tanh", r"\tanh"),
        S::Max => Call("max", r"\max"),
        S::Min => Call("min", r"\min"),
        _ => return None,
    })
}

/// The name of a fold as text and in LaTeX.
pub(super) fn fold(fold: Fold) -> (&'static str, &'static str) {
    match fold {
        Fold::Sum => ("Σ", r"\sum"),
        Fold::Mean => ("mean", r"\operatorname{mean}"),
        Fold::Var => ("var", r"\operatorname{var}"),
        Fold::Prod => ("Π", r"\prod"),
        Fold::Max => ("max", r"\max"),
        Fold::Min => ("min", r"\min"),
        Fold::Any => ("any", r"\operatorname{any}"),
        Fold::All => ("all", r"\operatorname{all}"),
        Fold::ArgMax => ("argmax", r"\operatorname{argmax}"),
        Fold::ArgMin => ("argmin", r"\operatorname{argmin}"),
        Fold::LogSumExp => ("logsumexp", r"\operatorname{logsumexp}"),
        Fold::Softmax => ("softmax", r"\operatorname{softmax}"),
        Fold::LogSoftmax => ("logsoftmax", r"\operatorname{logsoftmax}"),
    }
}

/// Words that a name of a leaf may not be, or it would read as a function.
pub(super) fn is_reserved(name: &str) -> bool {
    let folds = ["Σ", "Π", "mean", "var", "any", "all", "argmax", "argmin", "logsumexp", "softmax", "logsoftmax"];
    let others = ["relu", "where", "repeat", "ones", "onehot", "σ", "true", "false", "einsum", "reshape"];
    let axes = ["i", "j", "k", "l"];
    ScalarFn::from_name(name).is_some() || axes.contains(&name) || folds.contains(&name) || others.contains(&name)
}
