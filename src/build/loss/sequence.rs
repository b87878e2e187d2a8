//! The loss of label sequences whose alignment with the scores is not known: connectionist temporal classification.

use crate::graph::{DType, OpError, OpErrorKind, Shape, TensorType};

use super::super::Tensor;

impl<'g> Tensor<'g> {
    /// Connectionist temporal classification (Graves et al. 2006): minus the logarithm of the probability that a sequence of labels has under all its
    /// alignments with the time steps, one loss for each example. An alignment gives each step a label or the blank; it means the sequence that is left when
    /// repetitions are joined and blanks taken out.
    ///
    /// `self` holds logarithms of probabilities (from [`Tensor::log_softmax`]) of shape `[steps, batch, classes]`, `targets` labels other than `blank` of
    /// shape `[batch, longest]`; the two lengths, of shape `[batch]`, say how many steps and labels of each example count, and are held between 0 and what
    /// there is. Labels beyond an example's length may be anything. A target that has no alignment, because it has too many labels or their probability
    /// is 0, has the loss inf and the gradient 0.
    ///
    /// It is computed by the forward recurrence over the labels with blanks between (equations 6 to 8 there) on logarithms, as a [`scan`](crate::Builder::scan)
    /// over the steps.
    ///
    /// # Panics
    /// If the shapes do not fit, `blank` is no class, `self` is not of a float type or the others not of integer types.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let logits = g.input("logits", f32([50, 16, 20])); // 50 steps, 16 examples, 20 classes
    /// let (targets, lengths) = (g.input("targets", i32([16, 30])), g.input("lengths", i32([16])));
    /// let steps = g.full(i32([16]), 50.0);
    /// let loss = logits.log_softmax(-1).ctc(targets, steps, lengths, 0).mean();
    /// # assert_eq!(loss.rank(), 0);
    /// ```
    #[doc(alias = "ctc_loss")]
    #[track_caller]
    pub fn ctc(self, targets: Tensor<'g>, steps: Tensor<'g>, lengths: Tensor<'g>, blank: usize) -> Tensor<'g> {
        let _scope = self.builder.scope("ctc", &[self, targets, steps, lengths]);
        self.expect_float("ctc");
        if self.dtype().is_half() {
            return self.cast(DType::F32).ctc(targets, steps, lengths, blank).cast(self.dtype());
        }
        let [count, batch, longest] = self.ctc_extents(targets, steps, lengths, blank);
        let g = self.builder;
        let held =
            |t: Tensor<'g>, most: usize| t.cast(DType::I64).maximum(0.0).minimum(most as f64).reshape([batch, 1]);
        let (steps, lengths) = (held(steps, count), held(lengths, longest));

        // The labels with a blank before, between and behind them; what is beyond the length is blank.
        let states = 2 * longest + 1;
        let place = g.iota(TensorType::new(DType::I64, [batch, states]), 1);
        let end = lengths * 2;
        let is_label = place.modulo(2).eq(1) & place.lt(end);
        let blanks = g.full(TensorType::new(DType::I64, [batch, states]), blank as f64);
        let labels = match longest {
            0 => blanks,
            _ => {
                let spread = targets.cast(DType::I64).repeat(2, 1);
                let spread = g.concat(&[blanks.slice(1, 0..1), spread], 1);
                is_label.select(spread, blanks)
            }
        };
        // A label may follow the one before it at once if they differ.
        let before = |t: Tensor<'g>, by: usize, fill: f64| t.pad(&[(0, 0), (by, 0)], fill).slice(1, 0..states);
        let may_skip = is_label & labels.ne(before(labels, 2, blank as f64));
        let scores = self.take_along_axis(labels.reshape([1, batch, states]).broadcast_to([count, batch, states]), 2);

        let never = f64::NEG_INFINITY;
        let nothing = g.full(TensorType::new(self.dtype(), [batch, states]), never);
        let first = place.lt(2);
        let ((final_scores, _), ()) =
            g.scan((nothing, g.zeros(TensorType::new(DType::I64, []))), scores, |(alpha, t), score| {
                let begins = t.eq(0);
                let initial = first.select(score, nothing);
                let one = before(alpha, 1, never);
                let two = may_skip.select(before(alpha, 2, never), nothing);
                let reached = g.stack(&[alpha, one, two], 0).logsumexp_over(0) + score;
                let next = begins.select(initial, reached);
                // Examples whose steps are over stay as they are.
                let next = t.lt(steps).select(next, alpha);
                ((next, t + 1), ())
            });
        // Without steps the empty sequence is certain.
        let at_end = place.eq(end) | place.eq(end - 1);
        let none = steps.eq(0);
        let empty = (none & place.eq(0)).select(g.number(nothing.ty(), 0.0), nothing);
        let final_scores = none.select(empty, final_scores);
        -at_end.select(final_scores, nothing).logsumexp_over(1)
    }

    /// Steps, examples and the longest target.
    #[track_caller]
    fn ctc_extents(self, targets: Tensor<'g>, steps: Tensor<'g>, lengths: Tensor<'g>, blank: usize) -> [usize; 3] {
        let operands = [self, targets, steps, lengths];
        let refuse = |kind: OpErrorKind| {
            let types: Vec<TensorType> = operands.iter().map(|t| t.ty()).collect();
            OpError::new("ctc", &types.iter().collect::<Vec<_>>(), kind)
        };
        let shape = self.shape();
        if shape.rank() != 3 {
            let kind = OpErrorKind::Other("scores have the axes steps, batch and classes".to_owned());
            self.builder.check(Err(refuse(kind)), &operands)
        }
        if blank >= shape[2] {
            let kind = OpErrorKind::Other(format!("the blank {blank} is none of {} classes", shape[2]));
            self.builder.check(Err(refuse(kind)), &operands)
        }
        for (position, operand) in operands.iter().enumerate().skip(1) {
            let dtype = operand.dtype();
            if !dtype.is_int() {
                let kind = OpErrorKind::DType { position, expected: "an integer type".to_owned(), actual: dtype };
                self.builder.check(Err(refuse(kind)), &operands)
            }
            let actual = operand.shape();
            let expected: Shape = match position {
                1 => Shape::from([shape[1], actual.get(1).copied().unwrap_or(0)]),
                _ => Shape::from([shape[1]]),
            };
            if actual != expected {
                self.builder.check(Err(refuse(OpErrorKind::Shape { position, expected, actual })), &operands)
            }
        }
        [shape[0], shape[1], targets.shape()[1]]
    }
}
