//! The operators, by family. Each has one record: its name, the version of its operator set in which it is new, and its import function.
//!
//! To add one, write its function in its family's file and its record in the list there.

mod activation;
mod attention;
mod control;
mod deform;
mod elementwise;
mod index;
mod linear;
mod loss;
mod microsoft;
mod ml;
mod norm;
mod product;
mod quantize;
mod random;
mod recurrent;
mod reduce;
mod regions;
mod resize;
mod sample;
mod sequence;
mod shape;
mod signal;
mod text;
mod trees;
mod window;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::graph::DType;

use super::dtype::OnnxType;
use super::error::{Fault, invalid, unsupported};
use super::node::{Node, Results, Value};

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
    /// What it makes of numbers that are held in wider types.
    pub held: Held,
}

/// What an operator makes of operands whose element type is [held](super::held) in a wider one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It refuses them.
    Refuses,
    /// Its import function asks for them.
    Asks,
    /// The numbers are moved or chosen: the first result is of their type.
    Moves,
    /// The same with zeros among them.
    Fills,
    /// The numbers are moved or chosen: all results are of their type.
    MovesAll,
    /// Sums, products and bits of integers, the same modulo 2^n: the first result wraps to their type.
    Wraps,
    /// It computes with the sign of integers: the first result wraps to their type.
    Orders,
    /// [`Held::Orders`], where its import function asks for [the type](Node::own), which may be one without a sign.
    Divides,
    /// It chooses among integers by their order: the first result is of their type. Other operands, of 64 bits, are counts or axes.
    Chooses,
    /// It chooses among the integers of several operands by their order: the first result is of their type.
    ChoosesAmong,
    /// It looks at integers: no result is of their type.
    Reads,
    /// It looks at the order of integers: no result is of their type.
    Compares,
}

impl Held {
    /// The operands for the import function, and the type that is held.
    pub fn given<'g>(
        self,
        operands: Vec<Option<Value<'g>>>,
    ) -> Result<(Vec<Option<Value<'g>>>, Option<OnnxType>), Fault> {
        let mut own: Option<OnnxType> = None;
        if matches!(self, Held::Refuses | Held::Asks) {
            return Ok((operands, None));
        }
        for held in operands.iter().flatten() {
            let Value::Held(_, ty) = held else { continue };
            match own {
                Some(other) if other != *ty => return invalid(format!("operands of types {other} and {ty}")),
                _ => own = Some(*ty),
            }
        }
        if let Some((own, format)) = own.and_then(|own| Some((own, own.format()?))) {
            let takes = match self {
                Held::Moves | Held::MovesAll => true,
                Held::Fills => format.has_zero(),
                _ => false,
            };
            let is_wide = |operand: &Value<'g>| matches!(operand, Value::Tensor(t) if t.dtype().is_float());
            if !takes || operands.iter().flatten().any(is_wide) {
                return unsupported(format!("operands of type {own}"));
            }
        }
        // Numbers of the wider type are no numbers of the held one. Where operators choose, operands of 64 bits may be counts and axes.
        let computes = matches!(
            self,
            Held::Wraps | Held::Divides | Held::Reads | Held::Compares | Held::Chooses | Held::ChoosesAmong
        );
        if let Some((own, holder)) = own.and_then(|own| Some((own, own.holder()?))).filter(|_| computes) {
            let is_wider = |operand: &Value<'g>| matches!(operand, Value::Tensor(t) if t.dtype() == holder);
            let may_count = self == Held::Chooses && holder == DType::I64;
            if !may_count && operands.iter().flatten().any(is_wider) {
                return invalid(format!("operands of types {own} and {holder}"));
            }
        }
        // Quotients of numbers of 64 bits without a sign are others than with it.
        if own == Some(OnnxType::UINT64) && self == Held::Orders {
            return unsupported("operands of type uint64");
        }
        let unpack = |value: Value<'g>| {
            match value {
                Value::Held(tensor, own) if matches!(self, Held::Chooses | Held::ChoosesAmong | Held::Compares) => {
                    own.ordered(tensor)
                }
                Value::Held(tensor, _) => Ok(tensor),
                other => return Ok(other),
            }
            .map(Value::Tensor)
        };
        let operands: Result<Vec<_>, Fault> =
            operands.into_iter().map(|operand| operand.map(unpack).transpose()).collect();
        Ok((operands?, own))
    }

    /// The results, where operands were held as `own`.
    pub fn taken<'g>(self, mut results: Vec<Value<'g>>, own: Option<OnnxType>) -> Results<'g> {
        let Some(own) = own else { return Ok(results) };
        let count = match self {
            Held::Moves
            | Held::Fills
            | Held::Wraps
            | Held::Orders
            | Held::Divides
            | Held::Chooses
            | Held::ChoosesAmong => 1,
            Held::MovesAll => results.len(),
            Held::Refuses | Held::Asks | Held::Reads | Held::Compares => 0,
        };
        for result in results.iter_mut().take(count) {
            let Value::Tensor(tensor) = *result else { return unsupported(format!("operands of type {own}")) };
            if Some(tensor.dtype()) != own.holder() {
                return invalid(format!("an operand of type {own} among others of {}", tensor.dtype()));
            }
            *result = own.value(match self {
                Held::Wraps | Held::Orders | Held::Divides => own.fitted(tensor)?,
                Held::Chooses | Held::ChoosesAmong => own.ordered(tensor)?,
                _ => tensor,
            });
        }
        Ok(results)
    }
}

/// The record of an operator of ONNX's own set.
const fn op(name: &'static str, since: i64, import: Import) -> Operator {
    Operator { domain: "", name, since, until: NEWEST, import, ignores: &[], held: Held::Refuses }
}

impl Operator {
    /// The record with attributes that have no influence on results.
    const fn ignoring(self, ignores: &'static [&'static str]) -> Operator {
        Operator { ignores, ..self }
    }

    /// The record with what the operator makes of held numbers.
    const fn held(self, held: Held) -> Operator {
        Operator { held, ..self }
    }
}

/// The families.
const FAMILIES: &[(&str, &[Operator])] = &[
    ("Elementwise", elementwise::OPERATORS),
    ("Activations", activation::OPERATORS),
    ("Reductions", reduce::OPERATORS),
    ("Products", product::OPERATORS),
    ("Convolution and pooling", window::OPERATORS),
    ("Deformable convolution", deform::OPERATORS),
    ("Resizing and padding", resize::OPERATORS),
    ("Normalization", norm::OPERATORS),
    ("Sampling", sample::OPERATORS),
    ("Regions", regions::OPERATORS),
    ("Random numbers", random::OPERATORS),
    ("Signals", signal::OPERATORS),
    ("Attention", attention::OPERATORS),
    ("Layers with a state", linear::OPERATORS),
    ("Recurrence", recurrent::OPERATORS),
    ("Shapes", shape::OPERATORS),
    ("Choices by index", index::OPERATORS),
    ("Texts as numbers", text::OPERATORS),
    ("Control flow", control::OPERATORS),
    ("Losses", loss::OPERATORS),
    ("Quantization", quantize::OPERATORS),
    ("Sequences and optional values", sequence::OPERATORS),
    ("Classical machine learning", ml::OPERATORS),
    ("Trees", trees::OPERATORS),
    ("Of onnxruntime", microsoft::OPERATORS),
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

/// Why there is no operator of this name, with what helps if that is known.
pub(super) fn missing(domain: &str, name: &str) -> &'static str {
    match (domain, name) {
        ("ai.onnx.ml", "ZipMap") => "the operator is not supported: export the model with options={'zipmap': False}",
        _ => "the operator is not supported",
    }
}
