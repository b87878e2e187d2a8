//! What is measured beside the loss, and means over epochs.

use std::collections::BTreeMap;
use std::fmt;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, TensorType};

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
    hits(logits, labels).cast(DType::F32).mean()
}

/// Whether the largest element of each row is in the place that `labels` tells.
#[track_caller]
pub(super) fn hits<'g>(logits: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
    logits.argmax(-1).cast(labels.dtype()).eq(labels)
}

/// The share of rows of `logits` `[.., classes]` in which fewer than `k` elements are larger than that in the place that `labels` `[..]` tells, a scalar.
///
/// # Panics
/// If the shapes do not fit.
#[track_caller]
pub fn top_k<'g>(logits: Tensor<'g>, labels: Tensor<'g>, k: usize) -> Tensor<'g> {
    near(logits, labels, k).cast(DType::F32).mean()
}

/// Whether fewer than `k` elements of each row are larger than that in the place that `labels` tells.
#[track_caller]
pub(super) fn near<'g>(logits: Tensor<'g>, labels: Tensor<'g>, k: usize) -> Tensor<'g> {
    let chosen = logits.pick(labels).expand(-1);
    logits.gt(chosen).cast(DType::F32).sum_over(-1).lt(k as f64)
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

    /// Counts, `f64[classes, classes]`: row `i`, column `j` is how many examples of class `i` were taken for class `j`.
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
    /// In `f64`, which counts on where `f32` stays at 2^24.
    counts: BTreeMap<String, Array>,
}

/// What [`Sums::write`] puts before the names of measures.
const VALUE: &str = "sum.value.";

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
            let ty = result.ty().with_dtype(DType::F64);
            let sum = self.counts.entry(name.clone()).or_insert_with(|| Array::zeros(&ty));
            assert!(sum.ty() == ty, "counts of `{name}` are {} in one batch and {ty} in another", sum.ty());
            let sum = sum.as_mut_slice::<f64>().expect("counts are f64");
            sum.iter_mut().enumerate().for_each(|(i, sum)| *sum += result.get_f64(i));
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

    /// The measures that are summed, in alphabetical order, with the types of counts.
    pub(super) fn measures(&self) -> Vec<String> {
        let counts = self.counts.iter().map(|(name, counts)| format!("{name} {}", counts.ty()));
        let mut measures: Vec<String> = self.values.keys().cloned().chain(counts).collect();
        measures.sort_unstable();
        measures
    }

    /// What [`Sums::measures`] is for the sums of a step whose results are of these types.
    pub(super) fn measures_of(folds: &[(String, Fold)], ty: impl Fn(&str) -> TensorType) -> Vec<String> {
        let mut measures: Vec<String> = Vec::new();
        for (name, fold) in folds {
            measures.push(match fold {
                Fold::Sum => format!("{name} {}", ty(name).with_dtype(DType::F64)),
                Fold::Mean | Fold::ExpOfMean => name.clone(),
            });
        }
        measures.sort_unstable();
        measures
    }

    /// The sums of scalars as texts without loss, for a checkpoint.
    pub(super) fn write(&self, to: &mut BTreeMap<String, String>) {
        to.insert("sum.examples".to_owned(), bits(self.examples));
        to.extend(self.values.iter().map(|(name, value)| (format!("{VALUE}{name}"), bits(*value))));
    }

    /// How many examples are summed over.
    pub(super) fn examples(&self) -> f64 {
        self.examples
    }

    /// The sums of counts.
    pub(super) fn counts(&self) -> &BTreeMap<String, Array> {
        &self.counts
    }

    /// What [`Sums::write`] wrote, with counts; the key and text of an entry that it did not write are the error.
    pub(super) fn read(from: &BTreeMap<String, String>, counts: BTreeMap<String, Array>) -> Result<Sums, String> {
        let parsed = |key: &str, text: &str| number(text).ok_or_else(|| format!("entry `{key}` is `{text}`"));
        let mut values = BTreeMap::new();
        for (key, text) in from {
            if let Some(name) = key.strip_prefix(VALUE) {
                values.insert(name.to_owned(), parsed(key, text)?);
            }
        }
        let examples = from.get("sum.examples").ok_or("it has no entry `sum.examples`")?;
        Ok(Sums { examples: parsed("sum.examples", examples)?, values, counts })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_on_beyond_what_single_precision_counts() {
        let folds = [("confusion".to_owned(), Fold::Sum)];
        let mut sums = Sums::default();
        let largest = Array::from([[16_777_216.0f32]]);
        let one = Array::from([[1.0f32]]);
        for batch in [&largest, &one, &one, &one] {
            sums.add(1, &folds, |_| batch);
        }
        assert_eq!(sums.finish(&folds).confusion(), Some(&Array::from([[16_777_219.0f64]])));
    }

    #[test]
    fn sums_that_nobody_wrote_are_errors() {
        let mut texts = BTreeMap::new();
        let folds = [("loss".to_owned(), Fold::Mean)];
        let mut sums = Sums::default();
        let loss = Array::scalar(0.1f32);
        sums.add(3, &folds, |_| &loss);
        sums.write(&mut texts);
        assert_eq!(Sums::read(&texts, BTreeMap::new()), Ok(sums));
        for key in ["sum.value.loss", "sum.examples"] {
            let broken = BTreeMap::from([(key.to_owned(), "0.5".to_owned())]);
            let broken: BTreeMap<_, _> = texts.clone().into_iter().chain(broken).collect();
            assert_eq!(Sums::read(&broken, BTreeMap::new()), Err(format!("entry `{key}` is `0.5`")));
        }
        texts.remove("sum.examples");
        assert!(Sums::read(&texts, BTreeMap::new()).is_err());
    }
}
