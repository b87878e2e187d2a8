//! Values and gradients against PyTorch. The file is written by `../golden/make_composites.py`, which also says what its format is.

use cotangent::prelude::*;
use cotangent::testing::{Tolerance, compare};

use super::text::{self, array};
use super::{configurations, value_and_gradients};

/// A composite on given inputs, and what it should give.
#[derive(Default)]
struct Case {
    name: String,
    inputs: Vec<Array>,
    output: Option<Array>,
    cotangent: Option<Array>,
    gradients: Vec<Option<Array>>,
}

fn cases() -> Vec<Case> {
    let case = |(name, lines): (&str, Vec<(&str, &str)>)| {
        let mut case = Case { name: name.to_owned(), ..Case::default() };
        for (word, rest) in lines {
            match word {
                "in" => case.inputs.push(array(rest)),
                "out" => case.output = Some(array(rest)),
                "cot" => case.cotangent = Some(array(rest)),
                "grad" if rest == "none" => case.gradients.push(None),
                "grad" => case.gradients.push(Some(array(rest))),
                _ => panic!("`{word}` begins no line of a case"),
            }
        }
        case
    };
    text::cases(include_str!("../golden/composites.txt")).into_iter().map(case).collect()
}

/// The composite of a case.
fn apply<'g>(g: &'g Builder, name: &str, x: &[Tensor<'g>]) -> Tensor<'g> {
    let name = name.split(':').next().unwrap();
    let batch_norm = || {
        // The golden file gives gain, bias, mean and variance as inputs.
        let mut norm = BatchNorm::new(g, "norm", x[1].ty(), 1).momentum(0.25);
        [norm.gain, norm.bias, norm.mean, norm.variance] = [x[1], x[2], x[3], x[4]];
        norm
    };
    let options = CrossEntropy::new();
    match name {
        "layer_norm" => x[0].layer_norm(1e-5),
        "layer_norm_over_1_2" => x[0].layer_norm_over([1, 2], 1e-3),
        "layer_norm_affine" => x[0].layer_norm_over([1, 2], 1e-5).affine(x[1], x[2], [1, 2]),
        "rms_norm" => x[0].rms_norm(-1, 1e-6),
        "rms_norm_over_1_2" => x[0].rms_norm([1, 2], 1e-6),
        "group_norm_1" => x[0].group_norm(1, 1e-5),
        "group_norm_2" => x[0].group_norm(2, 1e-5),
        "group_norm_affine" => x[0].group_norm(2, 1e-5).affine(x[1], x[2], 1),
        "instance_norm" => x[0].instance_norm(1e-5),
        "batch_norm_train" => batch_norm().train(x[0]).0,
        "batch_norm_mean" => batch_norm().train(x[0]).1[0].1,
        "batch_norm_variance" => batch_norm().train(x[0]).1[1].1,
        "batch_norm_infer" => batch_norm().infer(x[0]),
        "attention" => x[0].attention(x[1], x[2], Attention::new()),
        "attention_scale" => x[0].attention(x[1], x[2], Attention::new().scale(0.7)),
        "attention_causal" => x[0].attention(x[1], x[2], Attention::new().causal()),
        "attention_mask" | "attention_mask_constant" => x[0].attention(x[1], x[2], Attention::new().mask(x[3])),
        "rotary" => x[0].rotary(1e4),
        "cross_entropy" | "cross_entropy_rows" => x[0].cross_entropy(x[1]),
        "cross_entropy_mean" => x[0].cross_entropy_with(x[1], options),
        "cross_entropy_sum" => x[0].cross_entropy_with(x[1], options.reduction(LossReduction::Sum)),
        "cross_entropy_weights" => x[0].cross_entropy_with(x[1], options.class_weights(x[2])),
        "cross_entropy_smoothing" => x[0].cross_entropy_with(x[1], options.label_smoothing(0.1)),
        "cross_entropy_soft" => x[0].cross_entropy_soft(x[1], options),
        "cross_entropy_soft_all" => x[0].cross_entropy_soft(x[1], options.class_weights(x[2]).label_smoothing(0.2)),
        "cross_entropy_soft_sum" => x[0].cross_entropy_soft(x[1], options.reduction(LossReduction::Sum)),
        "ctc_0" => x[0].log_softmax(-1).ctc(x[1], x[2], x[3], 0),
        "ctc_2" => x[0].log_softmax(-1).ctc(x[1], x[2], x[3], 2),
        "nll" => x[0].nll(x[1]),
        "nll_ignore_weights" => x[0].nll_with(x[1], options.ignore_index(-100).class_weights(x[2])),
        "multi_margin_1" => x[0].multi_margin(x[1], 1, 0.75),
        "multi_margin_2" => x[0].multi_margin(x[1], 2, 0.75),
        "mse" => x[0].mse(x[1]),
        "huber" => x[0].huber(x[1], 0.75),
        "smooth_l1" => x[0].smooth_l1(x[1], 0.75),
        "smooth_l1_0" => x[0].smooth_l1(x[1], 0.0),
        "bce" => x[0].bce(x[1]),
        "bce_with_logits" => x[0].bce_with_logits(x[1]),
        "bce_with_logits_weighted" => x[0].bce_with_logits_weighted(x[1], x[2]),
        "kl_div" => x[0].kl_div(x[1]),
        "hinge" => x[0].hinge(x[1]),
        "poisson_nll" => x[0].poisson_nll(x[1]),
        "gaussian_nll" => x[0].gaussian_nll(x[1], x[2], 0.3),
        "cosine_similarity" => x[0].cosine_similarity(x[1], 1, 1e-8),
        "cosine_loss" => x[0].cosine_loss(x[1], x[2], 0.1),
        "triplet_margin" => x[0].triplet_margin(x[1], x[2], 0.5),
        _ => {
            let reduction = |word: &str| match word {
                "mean" => LossReduction::Mean,
                "sum" => LossReduction::Sum,
                "none" => LossReduction::None,
                _ => panic!("there is no reduction called `{word}`"),
            };
            if let Some(size) = name.strip_prefix("local_response_norm_") {
                x[0].local_response_norm(size.parse().unwrap(), 0.1, 0.75, 1.5)
            } else if let Some(word) = name.strip_prefix("cross_entropy_all_") {
                let options = options.ignore_index(-100).class_weights(x[2]).label_smoothing(0.2);
                x[0].cross_entropy_with(x[1], options.reduction(reduction(word)))
            } else if let Some(word) = name.strip_prefix("cross_entropy_ignore") {
                let word = word.strip_prefix('_').unwrap_or("mean");
                x[0].cross_entropy_with(x[1], options.ignore_index(-100).reduction(reduction(word)))
            } else {
                panic!("there is no composite called `{name}`")
            }
        }
    }
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    // Mean and variance of numbers around 1e4 keep four digits fewer, here and there.
    let tolerance = |name: &str| match name {
        "layer_norm:offset" => Tolerance { relative: 1e-9, scaled: 1e-9, absolute: 1e-12 },
        // PyTorch adds 1e-12 to the squares of lengths.
        "cosine_loss" => Tolerance { relative: 1e-11, scaled: 1e-12, absolute: 1e-15 },
        _ => Tolerance { relative: 2e-13, scaled: 2e-14, absolute: 1e-15 },
    };
    let (mut arrays, mut failures) = (0, Vec::new());
    for options in configurations() {
        for case in cases() {
            let (value, gradients) =
                value_and_gradients(&options, &case.inputs, case.cotangent.as_ref(), |g, x| apply(g, &case.name, x));
            let mut check = |what: &str, expected: &Array, actual: &Array| {
                arrays += 1;
                if let Err(e) = compare(expected, actual, tolerance(&case.name)) {
                    failures.push(format!("{:?} {:?} {} {what}: {e}", options.engine, options.level, case.name));
                }
            };
            check("value", case.output.as_ref().unwrap(), &value);
            for (i, (expected, actual)) in case.gradients.iter().zip(&gradients).enumerate() {
                if let Some(expected) = expected {
                    check(&format!("gradient {i}"), expected, actual);
                }
            }
        }
    }
    println!("{} cases, {arrays} values and gradients", cases().len());
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}
