//! Losses of an output and a target, and the targets that they take.

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Shape, TensorType};
use crate::io::model::convert::{convert, place};

use super::error::{LearnError, misfit};

/// A loss of an output and a target, the mean over the examples of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossKind {
    /// The output holds logits `[batch, .., classes]`, the target numbers of classes `[batch, ..]`, or probabilities of them. Numbers whose shape fits
    /// `[batch, classes, ..]` only, PyTorch's order, are those of the second axis.
    CrossEntropy,
    /// The mean of squared differences.
    Mse,
    /// The output holds probabilities, the target probabilities or 0 and 1.
    Bce,
    /// The output holds logits, the target probabilities or 0 and 1.
    BceWithLogits,
}

impl LossKind {
    /// Every kind.
    pub const ALL: [LossKind; 4] = [LossKind::CrossEntropy, LossKind::Mse, LossKind::Bce, LossKind::BceWithLogits];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            LossKind::CrossEntropy => "cross_entropy",
            LossKind::Mse => "mse",
            LossKind::Bce => "bce",
            LossKind::BceWithLogits => "bce_with_logits",
        }
    }
}

/// What is to become small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objective {
    /// An output of the model, a float scalar that is a mean over the batch.
    Output(String),
    /// A loss of an output; the target is the array of the data that is no input of the model.
    Of {
        /// The output.
        output: String,
        /// The loss.
        loss: LossKind,
    },
}

impl Objective {
    pub(super) fn output(&self) -> &str {
        match self {
            Objective::Output(output) | Objective::Of { output, .. } => output,
        }
    }
}

/// A loss, and for a classifier its logits with the labels.
pub(super) struct Loss<'g> {
    pub(super) loss: Tensor<'g>,
    pub(super) classes: Option<(Tensor<'g>, Tensor<'g>)>,
}

impl LossKind {
    /// The loss of an output and a target that [`target`] has made.
    pub(super) fn of<'g>(self, output: Tensor<'g>, target: Tensor<'g>) -> Loss<'g> {
        let plain = |loss| Loss { loss, classes: None };
        match self {
            LossKind::CrossEntropy if target.dtype().is_float() => Loss {
                loss: output.cross_entropy_soft(target, Default::default()).mean(),
                classes: Some((output, target.argmax(-1))),
            },
            LossKind::CrossEntropy => {
                let (shape, labels) = (output.shape(), target.shape());
                let last = labels[..] == shape[..shape.rank() - 1];
                let logits = if last { output } else { output.move_axis(1, -1) };
                Loss { loss: logits.cross_entropy(target).mean(), classes: Some((logits, target)) }
            }
            LossKind::Mse => plain(output.mse(target)),
            LossKind::Bce => plain(output.bce(target).mean()),
            LossKind::BceWithLogits => plain(output.bce_with_logits(target).mean()),
        }
    }
}

/// How far the probabilities of an example may be from 1 in sum: those of half precision are.
const SUM: f64 = 1e-2;

/// The target of a loss of an output that is `ty` for batches of `batch`.
pub(super) fn target(
    name: &str,
    array: Array,
    ty: &TensorType,
    batch: usize,
    loss: LossKind,
    output: &str,
) -> Result<Array, LearnError> {
    let fail = |what: String| misfit(name, what);
    let from = array.dtype().into();
    if ty.shape.first() != Some(&batch) {
        return Err(fail(format!("output `{output}` is {ty}, whose first axis does not count examples")));
    }
    let example = Shape::from(&ty.shape[1..]);
    let per_example: usize = array.shape()[1..].iter().product();
    if loss != LossKind::CrossEntropy {
        if per_example != example.numel() {
            let given = Shape::from(&array.shape()[1..]);
            return Err(fail(format!("an example has shape {given}, output `{output}` has {example}")));
        }
        let target = convert(array, from, Some(ty.dtype.into()), Some(&example)).map_err(fail)?;
        return match loss {
            LossKind::Mse => Ok(target),
            _ => expect_probabilities(&target).map(|()| target).map_err(fail),
        };
    }
    let Some((&last, places)) = ty.shape[1..].split_last() else {
        return Err(fail(format!("output `{output}` is {ty}, expected logits [batch, .., classes]")));
    };
    let (classes, places) = match &ty.shape[1..] {
        [second, others @ ..] if array.shape()[1..] == *others && others != places => (*second, others),
        _ => (last, places),
    };
    let labelled: usize = places.iter().product();
    if per_example == example.numel() && classes > 1 && (array.dtype().is_float() || per_example != labelled) {
        let target = convert(array, from, Some(ty.dtype.into()), Some(&example)).map_err(fail)?;
        expect_probabilities(&target).and_then(|()| expect_sums(&target, classes)).map_err(fail)?;
        return Ok(target);
    }
    if per_example != labelled {
        let (given, places) = (Shape::from(&array.shape()[1..]), Shape::from(places));
        return Err(fail(format!(
            "an example has shape {given}, expected numbers of classes, of shape {places}, or probabilities, of shape {example}"
        )));
    }
    // One type for all labels: what is trained does not depend on the type in the file.
    let labels = convert(array, from, Some(DType::I32.into()), Some(&Shape::from(places))).map_err(fail)?;
    let outside = |&i: &usize| !(0.0..classes as f64).contains(&labels.get_f64(i));
    match (0..labels.shape().numel()).find(outside) {
        None => Ok(labels),
        Some(i) => {
            let (place, label) = (place(labels.shape(), i), labels.get_f64(i));
            Err(fail(format!("{place}: label {label} is none of the {classes} classes of output `{output}`")))
        }
    }
}

/// Every number is from 0 to 1.
fn expect_probabilities(target: &Array) -> Result<(), String> {
    let outside = |i: &usize| !(0.0..=1.0).contains(&target.get_f64(*i));
    match (0..target.shape().numel()).find(outside) {
        None => Ok(()),
        Some(i) => Err(format!(
            "{} holds {}, which is no probability, from 0 to 1",
            place(target.shape(), i),
            target.get_f64(i)
        )),
    }
}

/// The probabilities of the classes add up to 1.
fn expect_sums(target: &Array, classes: usize) -> Result<(), String> {
    let sum = |row: usize| (row * classes..(row + 1) * classes).map(|i| target.get_f64(i)).sum::<f64>();
    let rows = target.shape().numel() / classes;
    match (0..rows).find(|&row| (sum(row) - 1.0).abs() > SUM) {
        None => Ok(()),
        Some(row) => {
            let (shape, sum) = (target.shape(), sum(row));
            let at = place(&Shape::from(&shape[..shape.rank() - 1]), row);
            Err(format!("{at}: the probabilities of the {classes} classes add up to {sum}, not to 1"))
        }
    }
}
