//! The operators, by family. Each has one record: its name, the version of its operator set in which it is new, and its import function.
//!
//! To add one, write its function in its family's file and its record in the list there.

mod activation;
mod attention;
mod control;
mod elementwise;
mod index;
mod loss;
mod ml;
mod norm;
mod product;
mod quantize;
mod recurrent;
mod reduce;
mod resize;
mod sample;
mod sequence;
mod shape;
mod signal;
mod window;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::node::{Node, Results};

/// The newest version of ONNX's operator set that is known.
pub const NEWEST: i64 = 28;

/// Makes a node's results.
type Import = for<'n, 'g> fn(&Node<'n, 'g>) -> Results<'g>;

/// What is known of an operator.
pub(super) struct Operator {
    pub domain: &'static str,
    pub name: &'static str,
    /// The version of the operator set in which it is new.
    pub since: i64,
    /// The newest version of the operator set in which it has the meaning that `import` gives it.
    pub until: i64,
    pub import: Import,
    /// Attributes that have no influence on results.
    pub ignores: &'static [&'static str],
}

/// The record of an operator of ONNX's own set.
const fn op(name: &'static str, since: i64, import: Import) -> Operator {
    Operator { domain: "", name, since, until: NEWEST, import, ignores: &[] }
}

impl Operator {
    /// The record with attributes that have no influence on results.
    const fn ignoring(self, ignores: &'static [&'static str]) -> Operator {
        Operator { ignores, ..self }
    }
}

/// The families.
const FAMILIES: &[(&str, &[Operator])] = &[
    ("Elementwise", elementwise::OPERATORS),
    ("Activations", activation::OPERATORS),
    ("Reductions", reduce::OPERATORS),
    ("Products", product::OPERATORS),
    ("Convolution and pooling", window::OPERATORS),
    ("Resizing and padding", resize::OPERATORS),
    ("Normalization", norm::OPERATORS),
    ("Sampling", sample::OPERATORS),
    ("Signals", signal::OPERATORS),
    ("Attention", attention::OPERATORS),
    ("Recurrence", recurrent::OPERATORS),
    ("Shapes", shape::OPERATORS),
    ("Choices by index", index::OPERATORS),
    ("Control flow", control::OPERATORS),
    ("Losses", loss::OPERATORS),
    ("Quantization", quantize::OPERATORS),
    ("Sequences and optional values", sequence::OPERATORS),
    ("Classical machine learning", ml::OPERATORS),
];

/// An operator that is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supported {
    /// What kind of operator it is, as a heading.
    pub family: &'static str,
    /// Its domain; ONNX's own is the empty one.
    pub domain: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The version of the operator set in which it is new.
    pub since: i64,
    /// The newest version of the operator set in which it is supported.
    pub until: i64,
}

/// All operators that are supported, family by family.
pub fn supported() -> impl Iterator<Item = Supported> {
    FAMILIES.iter().flat_map(|&(family, operators)| {
        operators.iter().map(move |o| Supported {
            family,
            domain: o.domain,
            name: o.name,
            since: o.since,
            until: o.until,
        })
    })
}

static TABLE: LazyLock<HashMap<(&'static str, &'static str), &'static Operator>> = LazyLock::new(|| {
    let all = FAMILIES.iter().flat_map(|family| family.1);
    all.map(|operator| ((operator.domain, operator.name), operator)).collect()
});

/// The operator of this name.
pub(super) fn find(domain: &str, name: &str) -> Option<&'static Operator> {
    TABLE.get(&(domain, name)).copied()
}
