//! Losses of scores over classes: cross-entropy with its options, negative log-likelihood, multi-class margin.

use crate::graph::{DType, OpError, OpErrorKind, TensorType};

use super::super::Tensor;

/// What becomes of the losses of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossReduction {
    /// Their mean, by the weights of the labels' classes if there are any. Rows with the ignored label do not count; if no row counts, the mean is 0.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// They stay one number for each row.
    None,
}

/// Options of [`Tensor::cross_entropy_with`], [`Tensor::cross_entropy_soft`] and [`Tensor::nll_with`]: the mean over all rows without weights, smoothing or
/// an ignored label unless set.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropy<'g> {
    weights: Option<Tensor<'g>>,
    ignored: Option<i64>,
    smoothing: f64,
    reduction: LossReduction,
}

impl<'g> CrossEntropy<'g> {
    /// The mean over all rows.
    pub fn new() -> CrossEntropy<'g> {
        CrossEntropy::default()
    }

    /// A factor for each class, of shape `[classes]` and the scores' element type.
    pub fn class_weights(self, weights: Tensor<'g>) -> CrossEntropy<'g> {
        CrossEntropy { weights: Some(weights), ..self }
    }

    /// The label of rows that do not count. It need not be a class; -100 is usual.
    pub fn ignore_index(self, label: i64) -> CrossEntropy<'g> {
        CrossEntropy { ignored: Some(label), ..self }
    }

    /// The share of the target's probability that is spread evenly over all classes (Szegedy et al. 2016, section 7), between 0 and 1.
    ///
    /// # Panics
    /// If it is not between 0 and 1.
    #[track_caller]
    pub fn label_smoothing(self, smoothing: f64) -> CrossEntropy<'g> {
        assert!((0.0..=1.0).contains(&smoothing), "label_smoothing: {smoothing} is not between 0 and 1");
        CrossEntropy { smoothing, ..self }
    }

    /// What becomes of the losses of rows.
    pub fn reduction(self, reduction: LossReduction) -> CrossEntropy<'g> {
        CrossEntropy { reduction, ..self }
    }

    fn operands(&self, scores: Tensor<'g>, target: Tensor<'g>) -> Vec<Tensor<'g>> {
        [scores, target].into_iter().chain(self.weights).collect()
    }
}

impl<'g> Tensor<'g> {
    /// Softmax cross-entropy of rows of logits with integer labels: `logsumexp(z) - z[label]`, one loss for each row. `self` has shape `[.., classes]`,
    /// `labels` `[..]`. Where a label is negative or too large, or all logits of a row are -inf, the loss is NaN.
    ///
    /// # Panics
    /// If the shapes do not fit, the logits are not floats or the labels not integers.
    #[track_caller]
    #[doc(alias = "softmax_cross_entropy")]
    pub fn cross_entropy(self, labels: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("cross_entropy", &[self, labels]);
        let labels = self.expect_labels("cross_entropy", labels);
        self.logsumexp_of_logits() - self.pick(labels)
    }

    /// [`Tensor::cross_entropy`] with class weights, label smoothing, an ignored label and a reduction. Formulas, and means under weights, are PyTorch's; but
    /// the mean is 0, not NaN, where no row counts. Ignored rows have no influence and the gradient 0, even if they hold NaN.
    ///
    /// # Panics
    /// As [`Tensor::cross_entropy`], and if the weights' shape is not `[classes]`.
    #[track_caller]
    pub fn cross_entropy_with(self, labels: Tensor<'g>, options: CrossEntropy<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("cross_entropy_with", &options.operands(self, labels));
        let labels = self.expect_labels("cross_entropy_with", labels);
        let (logits, labels, counted) = self.without_ignored(labels, &options);
        logits.log_softmax(-1).class_losses(labels, counted, &options)
    }

    /// The negative log-likelihood of integer labels under rows of logarithms of probabilities, `-x[label]`, one loss for each row. `self` has shape
    /// `[.., classes]`, `labels` `[..]`. Where a label is negative or too large, the loss is NaN.
    ///
    /// # Panics
    /// As [`Tensor::cross_entropy`].
    #[track_caller]
    pub fn nll(self, labels: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("nll", &[self, labels]);
        self.expect_float("nll");
        let labels = self.expect_labels("nll", labels);
        -self.pick(labels)
    }

    /// [`Tensor::nll`] with options, as [`Tensor::cross_entropy_with`].
    ///
    /// # Panics
    /// As [`Tensor::cross_entropy_with`].
    #[track_caller]
    pub fn nll_with(self, labels: Tensor<'g>, options: CrossEntropy<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("nll_with", &options.operands(self, labels));
        self.expect_float("nll_with");
        let labels = self.expect_labels("nll_with", labels);
        let (scores, labels, counted) = self.without_ignored(labels, &options);
        scores.class_losses(labels, counted, &options)
    }

    /// Softmax cross-entropy of rows of logits with probabilities of the classes: `-sum(t log_softmax(z))`, where a probability of 0 costs nothing. Both have
    /// the shape `[.., classes]`. With class weights, each class's term is multiplied by its weight; the mean is over the rows, without weights.
    ///
    /// # Panics
    /// If the shapes or element types differ, the weights' shape is not `[classes]`, or the options ignore a label.
    #[track_caller]
    pub fn cross_entropy_soft(self, target: Tensor<'g>, options: CrossEntropy<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("cross_entropy_soft", &options.operands(self, target));
        self.expect_shape_of("cross_entropy_soft", target);
        if options.ignored.is_some() {
            self.refuse_because("cross_entropy_soft", "probabilities are no labels, so none can be ignored".to_owned());
        }
        let log_probs = self.log_softmax(-1);
        let target = match options.smoothing {
            0.0 => target,
            s => target * (1.0 - s) + s / log_probs.classes() as f64,
        };
        let terms = target.times_finite(log_probs);
        let terms = match options.weights {
            Some(weights) => terms * self.expect_weights("cross_entropy_soft", weights),
            None => terms,
        };
        let losses = -terms.sum_over(-1);
        match options.reduction {
            LossReduction::None => losses,
            LossReduction::Sum => losses.sum(),
            LossReduction::Mean => losses.sum() / losses.shape().numel().max(1) as f64,
        }
    }

    /// The multi-class margin loss of rows of scores with integer labels: the sum over the other classes of `max(0, margin - x[label] + x[class])`, to the power
    /// `p`, divided by the count of classes (Crammer and Singer 2001, summed as in PyTorch). One loss for each row; where a label is out of range, it is NaN.
    ///
    /// # Panics
    /// If the shapes do not fit, the scores are not floats, the labels not integers, or `p` is neither 1 nor 2.
    #[track_caller]
    pub fn multi_margin(self, labels: Tensor<'g>, p: u32, margin: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("multi_margin", &[self, labels]);
        self.expect_float("multi_margin");
        let labels = self.expect_labels("multi_margin", labels);
        let excess = (self - self.pick(labels).expand(-1) + margin).relu();
        let excess = match p {
            1 => excess,
            2 => excess.square(),
            _ => self.refuse_because("multi_margin", format!("p is {p}, expected 1 or 2")),
        };
        let own = labels.one_hot(self.classes(), DType::Bool);
        own.select(self.builder.zeros(self.ty()), excess).sum_over(-1) / self.classes() as f64
    }

    /// The losses of rows of logarithms of probabilities, reduced. Where `counted` is given and does not hold, the loss is 0 and the row does not count.
    #[track_caller]
    fn class_losses(self, labels: Tensor<'g>, counted: Option<Tensor<'g>>, options: &CrossEntropy<'g>) -> Tensor<'g> {
        let mut losses = -self.pick(labels);
        let mut row_weights = None;
        let mut scores = self;
        if let Some(weights) = options.weights {
            let weights = self.expect_weights("cross_entropy_with", weights);
            scores = self * weights;
            let of_labels = weights.take(labels, 0);
            losses = losses * of_labels;
            row_weights = Some(of_labels);
        }
        if options.smoothing > 0.0 {
            let spread = -scores.sum_over(-1) / self.classes() as f64;
            losses = losses * (1.0 - options.smoothing) + spread * options.smoothing;
        }
        if let Some(counted) = counted {
            let zero = self.builder.zeros(losses.ty());
            losses = counted.select(losses, zero);
            let weights = match row_weights {
                Some(weights) => weights,
                None => self.builder.ones(losses.ty()),
            };
            row_weights = Some(counted.select(weights, zero));
        }
        let count = match row_weights {
            Some(weights) => weights.sum(),
            None => self.builder.full(TensorType::new(self.dtype(), []), losses.shape().numel() as f64),
        };
        match options.reduction {
            LossReduction::None => losses,
            LossReduction::Sum => losses.sum(),
            LossReduction::Mean => {
                let one = self.builder.ones(count.ty());
                losses.sum() / count.eq(0.0).select(one, count)
            }
        }
    }

    /// The scores with rows of zeros in place of ignored ones, so that what they hold cannot reach a gradient; the labels with class 0 there; and which rows
    /// count, if not all do.
    #[track_caller]
    fn without_ignored(
        self,
        labels: Tensor<'g>,
        options: &CrossEntropy<'g>,
    ) -> (Tensor<'g>, Tensor<'g>, Option<Tensor<'g>>) {
        let Some(ignored) = options.ignored else { return (self, labels, None) };
        // A type that cannot hold the ignored label has none of them.
        let labels = labels.cast(DType::I64);
        let counted = labels.ne(ignored);
        let zero = self.builder.zeros(self.ty());
        let scores = counted.expand(-1).select(self, zero);
        (scores, counted.select(labels, 0), Some(counted))
    }

    /// The count of classes, the extent of the last axis.
    fn classes(self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }

    /// The labels. Panics unless they are integers, one for each row of `self`.
    #[track_caller]
    fn expect_labels(self, method: &'static str, labels: Tensor<'g>) -> Tensor<'g> {
        let last = self.axis(method, -1);
        let shape = self.shape();
        let kind = if !labels.dtype().is_int() {
            OpErrorKind::DType { position: 1, expected: "integers".to_owned(), actual: labels.dtype() }
        } else if labels.shape()[..] != shape[..last] {
            OpErrorKind::Shape { position: 1, expected: shape[..last].into(), actual: labels.shape() }
        } else {
            return labels;
        };
        self.builder.check(Err(OpError::new(method, &[&self.ty(), &labels.ty()], kind)), &[self, labels])
    }

    /// Panics unless there is one weight for each class.
    #[track_caller]
    fn expect_weights(self, method: &'static str, weights: Tensor<'g>) -> Tensor<'g> {
        if weights.shape()[..] != [self.classes()] {
            let kind = OpErrorKind::Shape { position: 2, expected: [self.classes()].into(), actual: weights.shape() };
            self.builder.check(Err(OpError::new(method, &[&self.ty(), &weights.ty()], kind)), &[self, weights])
        }
        weights
    }
}
