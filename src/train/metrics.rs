//! What is measured beside the loss, and means over epochs.

use std::collections::BTreeMap;
use std::fmt;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::DType;

/// How the values of batches become that of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// The mean over examples of scalars that are means over a batch.
    Mean,
    /// The sum of arrays that are counts.
    Sum,
    /// The exponential of the mean.
    ExpOfMean,
}

/// A measure that a step or an evaluation computes.
#[derive(Clone, Debug)]
pub(super) struct Metric<'g> {
    pub(super) name: String,
    pub(super) fold: Fold,
    pub(super) tensor: Tensor<'g>,
}

/// The share of rows of `logits` `[.., classes]` whose largest element is in the place that `labels` `[..]` tells, a scalar.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn accuracy<'g>(logits: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
    logits.argmax(-1).cast(labels.dtype()).eq(labels).cast(DType::F32).mean()
}

/// The share of rows of `logits` `[.., classes]` in which fewer than `k` elements are larger than that in the place that `labels` `[..]` tells, a scalar.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn top_k<'g>(logits: Tensor<'g>, labels: Tensor<'g>, k: usize) -> Tensor<'g> {
    let chosen = logits.pick(labels).expand(-1);
    logits.gt(chosen).cast(DType::F32).sum_over(-1).lt(k as f64).cast(DType::F32).mean()
}

/// Counts of pairs of a label (rows) and the place of the largest element of `logits` (columns), `f32[classes, classes]`.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn confusion<'g>(logits: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
    let shape = logits.shape();
    let classes = shape[shape.rank() - 1];
    let rows = shape.numel() / classes.max(1);
    let hot = |numbers: Tensor<'g>| numbers.reshape([rows]).one_hot(classes, DType::F32);
    hot(labels).t().dot(hot(logits.argmax(-1)))
}

/// The mean of the magnitudes of differences, a scalar.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn mean_absolute_error<'g>(prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
    (prediction - target).abs().mean()
}

/// Measures of an epoch or of a data set: means over all examples, whatever the sizes of batches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    values: BTreeMap<String, f64>,
    counts: BTreeMap<String, Array>,
}

impl Metrics {
    /// The mean loss.
    pub fn loss(&self) -> f64 {
        self.get("loss").unwrap_or(f64::NAN)
    }

    /// The measure called `name`, if there is one: `loss`, `accuracy` ...
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// Names and values, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(name, value)| (&**name, *value))
    }

    /// Counts, `f32[classes, classes]`: row `i`, column `j` is how many examples of class `i` were taken for class `j`.
    pub fn confusion(&self) -> Option<&Array> {
        self.counts.get("confusion")
    }
}

impl fmt::Display for Metrics {
    /// `accuracy 0.9412, loss 0.2231`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name} {value:.4}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Sums on the way to [`Metrics`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sums {
    examples: f64,
    values: BTreeMap<String, f64>,
    counts: BTreeMap<String, Array>,
}

impl Sums {
    /// Adds the measures of a batch. `outputs` gives the results by name.
    pub(super) fn add<'a>(
        &mut self,
        examples: usize,
        folds: &[(String, Fold)],
        mut outputs: impl FnMut(&str) -> &'a Array,
    ) {
        self.examples += examples as f64;
        for (name, fold) in folds {
            let result = outputs(name);
            if *fold != Fold::Sum {
                *self.values.entry(name.clone()).or_default() += result.get_f64(0) * examples as f64;
                continue;
            }
            let sum = self.counts.entry(name.clone()).or_insert_with(|| Array::zeros(&result.ty()));
            if let (Ok(sum), Ok(more)) = (sum.as_mut_slice::<f32>(), result.as_slice::<f32>()) {
                sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
    }

    pub(super) fn finish(&self, folds: &[(String, Fold)]) -> Metrics {
        let mut metrics = Metrics { values: BTreeMap::new(), counts: self.counts.clone() };
        for (name, fold) in folds.iter().filter(|(_, fold)| *fold != Fold::Sum) {
            let mean = self.values.get(name).copied().unwrap_or(0.0) / self.examples;
            metrics.values.insert(name.clone(), if *fold == Fold::ExpOfMean { mean.exp() } else { mean });
        }
        metrics
    }

    /// The sums of scalars as texts without loss, for a checkpoint. Counts are not kept.
    pub(super) fn write(&self, to: &mut BTreeMap<String, String>) {
        to.insert("sum.examples".to_owned(), bits(self.examples));
        to.extend(self.values.iter().map(|(name, value)| (format!("sum.value.{name}"), bits(*value))));
    }

    /// What [`Sums::write`] wrote.
    pub(super) fn read(from: &BTreeMap<String, String>) -> Option<Sums> {
        let values =
            from.iter().filter_map(|(key, text)| Some((key.strip_prefix("sum.value.")?.to_owned(), number(text)?)));
        Some(Sums { examples: number(from.get("sum.examples")?)?, values: values.collect(), counts: BTreeMap::new() })
    }
}

/// A number as a text that keeps its bits.
pub(super) fn bits(number: f64) -> String {
    format!("{:016x}", number.to_bits())
}

/// The number of a text that [`bits`] wrote.
pub(super) fn number(text: &str) -> Option<f64> {
    u64::from_str_radix(text, 16).ok().map(f64::from_bits)
}
