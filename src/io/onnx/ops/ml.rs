//! Operators of the domain `ai.onnx.ml`, as scikit-learn's converters write them.

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::DType;
use crate::prim::Reduction;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, concat};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, count_of, one};
use super::{Operator, op};

/// The record of an operator of this domain.
const fn ml(name: &'static str, import: super::Import) -> Operator {
    Operator { domain: "ai.onnx.ml", until: 5, ..op(name, 1, import) }
}

pub(super) const OPERATORS: &[Operator] = &[
    ml("ArrayFeatureExtractor", |node| {
        let x = node.input(0)?;
        let Some(last) = x.rank().checked_sub(1) else { return invalid("a scalar has no features") };
        let index = super::index::indices(node, 1, x.shape()[last])?;
        // A list is one row.
        let x = if last == 0 { x.unsqueezed(0)? } else { x };
        one(x.gathered(index.shaped([index.shape().numel()])?, x.rank() - 1))
    }),
    ml("Binarizer", |node| {
        let x = node.input(0)?;
        one(x.with(ScalarFn::Gt, node.float("threshold", 0.0)?)?.to(x.dtype()))
    }),
    ml("Scaler", scaler),
    ml("Normalizer", normalizer),
    ml("Imputer", imputer),
    ml("FeatureVectorizer", |node| {
        node.ints("inputdimensions")?;
        let parts: Vec<Tensor<'_>> =
            node.inputs()?.into_iter().map(|t| t.to(DType::F32)).collect::<Result<_, Fault>>()?;
        one(concat(&parts, 1))
    }),
    ml("LabelEncoder", label_encoder),
    ml("OneHotEncoder", one_hot_encoder),
    ml("LinearRegressor", linear_regressor),
    ml("LinearClassifier", linear_classifier),
];

fn vector<'g>(node: &Node<'_, 'g>, numbers: Vec<f32>) -> Tensor<'g> {
    node.g().constant(Array::from(numbers))
}

/// `(x - offset) * scale`, in single precision.
fn scaler<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let mut x = node.input(0)?.to(DType::F32)?;
    if let Some(offset) = node.floats("offset")? {
        x = x.f2(ScalarFn::Sub, vector(node, offset))?;
    }
    if let Some(scale) = node.floats("scale")? {
        x = x.f2(ScalarFn::Mul, vector(node, scale))?;
    }
    one(Ok(x))
}

fn normalizer<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?.to(DType::F32)?;
    let Some(last) = x.rank().checked_sub(1) else { return invalid("a scalar has no features") };
    if x.shape()[last] == 0 {
        return one(Ok(x));
    }
    let size = x.f(ScalarFn::Abs)?;
    let norm = match node.text("norm", "MAX")? {
        "MAX" => size.fold(Reduction::Max, &[last], true)?,
        "L1" => size.fold(Reduction::Sum, &[last], true)?,
        "L2" => x.norm_keep(last as isize, 2.0),
        other => return invalid(format!("norm `{other}` is not known")),
    };
    let zero = norm.with(ScalarFn::Eq, 0.0)?;
    one(x.f2(ScalarFn::Div, zero.choose(norm.number(1.0), norm)?))
}

/// What is missing replaced.
fn imputer<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let values = match (node.floats("imputed_value_floats")?, node.ints("imputed_value_int64s")?) {
        (Some(values), _) => vector(node, values).to(x.dtype())?,
        (None, Some(values)) => node.g().constant(Array::from(values)).to(x.dtype())?,
        (None, None) => return invalid("the values are missing"),
    };
    let missing = if x.dtype().is_float() {
        match node.float("replaced_value_float", f64::NAN)? {
            value if value.is_nan() => x.f(ScalarFn::IsNan)?,
            value => x.with(ScalarFn::Eq, value)?,
        }
    } else {
        let value = node.g().constant(Array::scalar(node.int("replaced_value_int64", 0)?));
        x.f2(ScalarFn::Eq, value.to(x.dtype())?)?
    };
    one(missing.choose(values, x))
}

/// The list of an attribute, of integers or of floats, or its tensor.
fn listed(node: &Node<'_, '_>, [ints, floats, texts, tensor]: [&'static str; 4]) -> Result<Option<Array>, Fault> {
    if node.texts(texts)?.is_some() {
        return unsupported(format!("attribute `{texts}`"));
    }
    Ok(match (node.ints(ints)?, node.floats(floats)?, node.array(tensor)?) {
        (Some(list), ..) => Some(Array::from(list)),
        (None, Some(list), _) => Some(Array::from(list)),
        (None, None, Some((array, own))) if own.dtype().is_some() => Some(array),
        (None, None, Some((_, own))) => return unsupported(format!("element type {own}")),
        (None, None, None) => None,
    })
}

/// The value of the key that an element is, or the default. From version 4 on, NaN is a key like others, and of equal keys the last counts; before, NaN is no key,
/// and the first counts, as in onnxruntime.
fn label_encoder<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let keys = listed(node, ["keys_int64s", "keys_floats", "keys_strings", "keys_tensor"])?;
    let values = listed(node, ["values_int64s", "values_floats", "values_strings", "values_tensor"])?;
    let (Some(keys), Some(values)) = (keys, values) else { return invalid("keys or values are missing") };
    if keys.shape().rank() != 1 || keys.shape() != values.shape() || keys.dtype() != x.dtype() {
        return invalid(format!("keys {} and values {} for {}", keys.ty(), values.ty(), x.ty()));
    }
    let g = node.g();
    let default = match node.array("default_tensor")? {
        Some((array, _)) if array.dtype() == values.dtype() && array.shape().numel() == 1 => {
            g.constant(array).shaped([])?
        }
        Some((array, _)) => return invalid(format!("a default of {} for values {}", array.ty(), values.ty())),
        None if values.dtype().is_float() => g.constant(Array::scalar(node.float("default_float", -0.0)?)),
        None => g.constant(Array::scalar(node.int("default_int64", -1)?)),
    };
    node.text_optional("default_string")?;
    node.int_optional("default_int64")?;
    node.float_optional("default_float")?;
    let default = default.to(values.dtype())?;
    if keys.shape().numel() == 0 {
        return one(default.broadcast(&x.shape()));
    }
    let last = x.rank();
    let (mut keys, mut values) = (g.constant(keys), g.constant(values));
    if node.version >= 4 {
        let count = keys.shape().numel() as i64;
        let backwards = g.constant(Array::from((0..count).rev().collect::<Vec<i64>>()));
        (keys, values) = (keys.gathered(backwards, 0)?, values.gathered(backwards, 0)?);
    }
    let apart = x.unsqueezed(last)?;
    let mut same = apart.f2(ScalarFn::Eq, keys)?;
    if x.dtype().is_float() && node.version >= 4 {
        same = same.f2(ScalarFn::Or, apart.f(ScalarFn::IsNan)?.f2(ScalarFn::And, keys.f(ScalarFn::IsNan)?)?)?;
    }
    let same = same.to(DType::I32)?;
    let place = same.push1(crate::prim::ArgReduce { extremum: crate::prim::Extremum::Max, axis: last })?;
    let found = same.fold(Reduction::Max, &[last], false)?.to(DType::Bool)?;
    one(found.choose(values.gathered(place.to(DType::I64)?, 0)?, default))
}

/// For each element, 1 in the place of the category that it is. What is none has zeros.
fn one_hot_encoder<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    if node.texts("cats_strings")?.is_some_and(|list| !list.is_empty()) {
        return unsupported("categories that are texts");
    }
    let Some(categories) = node.ints("cats_int64s")? else { return invalid("the categories are missing") };
    // Without it, other elements are errors of a run.
    node.expect_int("zeros", 1)?;
    let apart = x.to(DType::I64)?.unsqueezed(x.rank())?;
    one(apart.f2(ScalarFn::Eq, node.g().constant(Array::from(categories)))?.to(DType::F32))
}

/// `x W^T + b`, with the coefficients of an attribute.
fn linear<'g>(node: &Node<'_, 'g>, classes: usize) -> Made<'g> {
    let x = node.input(0)?.to(DType::F32)?;
    let features = match x.shape()[..] {
        [_, features] => features,
        _ => return invalid(format!("{} is no matrix", x.ty())),
    };
    let coefficients = node.floats("coefficients")?.unwrap_or_default();
    let Ok(weights) = Array::new([classes, features], coefficients) else {
        return invalid(format!("the coefficients are not {features} for each of {classes}"));
    };
    let y = x.product(node.g().constant(weights).permute(&[1, 0])?)?;
    match node.floats("intercepts")? {
        Some(b) if b.len() == classes => y.f2(ScalarFn::Add, vector(node, b)),
        Some(b) => invalid(format!("{} intercepts for {classes}", b.len())),
        None => Ok(y),
    }
}

/// The function that turns scores to what is given out.
fn transformed<'g>(node: &Node<'_, 'g>, scores: Tensor<'g>) -> Made<'g> {
    match node.text("post_transform", "NONE")? {
        "NONE" => Ok(scores),
        "LOGISTIC" => scores.f(ScalarFn::Sigmoid),
        "SOFTMAX" if scores.shape().numel() > 0 => Ok(scores.softmax(-1)),
        "SOFTMAX" => Ok(scores),
        other => unsupported(format!("attribute `post_transform` = {other}")),
    }
}

fn linear_regressor<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let targets = count_of(node.int("targets", 1)?)?;
    one(transformed(node, linear(node, targets)?))
}

/// The label of the largest score, and the scores. One row of coefficients for two classes gives the score of the second, whose label is that of the scores above
/// 0; the score of the first is the rest, or with `LOGISTIC` and `SOFTMAX` the opposite.
fn linear_classifier<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let Some(labels) = node.ints("classlabels_ints")? else { return unsupported("labels that are no integers") };
    node.int("multi_class", 0)?;
    let coefficients = node.floats("coefficients")?.unwrap_or_default().len();
    let features = node.input(0)?.shape().last().copied().unwrap_or(0);
    let rows = coefficients.checked_div(features).unwrap_or(0);
    let mut scores = linear(node, rows)?;
    let place = if rows == 1 && labels.len() == 2 {
        let second = scores;
        let first = match node.text("post_transform", "NONE")? {
            "LOGISTIC" | "SOFTMAX" => second.f(ScalarFn::Neg)?,
            _ => second.number(1.0).f2(ScalarFn::Sub, second)?,
        };
        scores = concat(&[first, second], 1)?;
        second.with(ScalarFn::Gt, 0.0)?.shaped([scores.shape()[0]])?
    } else {
        if scores.shape()[1] != labels.len() || labels.is_empty() {
            return invalid(format!("{} labels for {}", labels.len(), scores.ty()));
        }
        scores.push1(crate::prim::ArgReduce { extremum: crate::prim::Extremum::Max, axis: 1 })?
    };
    let label = node.g().constant(Array::from(labels)).gathered(place.to(DType::I64)?, 0)?;
    Ok(vec![label.into(), transformed(node, scores)?.into()])
}
