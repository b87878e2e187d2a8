//! What is hidden has no influence: ignored rows, masked scores, queries that see nothing, targets of 0; and running statistics.

use cotangent::prelude::*;

use super::{configurations, value_and_gradients};

fn array(shape: &[usize], values: &[f64]) -> Array {
    Array::new(shape, values.to_vec()).unwrap()
}

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

#[test]
fn ignored_rows_may_hold_anything() {
    for options in configurations() {
        let logits = array(&[3, 2], &[1.0, 2.0, NAN, INF, 0.5, 0.5]);
        let labels = Array::new([3], vec![0i64, -100, 1]).unwrap();
        let inputs = [logits, labels];
        let run = |loss: CrossEntropy<'static>| {
            value_and_gradients(&options, &inputs, None, |_, x| x[0].cross_entropy_with(x[1], loss))
        };
        let ignoring = CrossEntropy::new().ignore_index(-100);
        let (value, gradients) = run(ignoring);
        let expected = (1f64.exp().ln_1p() + 2f64.ln()) / 2.0;
        assert!((value.get_f64(0) - expected).abs() < 1e-15, "{value:?}");
        let gradient = gradients[0].to_f64_vec();
        assert_eq!(gradient[2..4], [0.0, 0.0]);
        assert!(gradient.iter().all(|v| v.is_finite()), "{gradient:?}");
        let (_, gradients) = run(ignoring.label_smoothing(0.1).reduction(LossReduction::Sum));
        assert_eq!(gradients[0].to_f64_vec()[2..4], [0.0, 0.0]);
    }
}

#[test]
fn a_mean_over_no_rows_is_zero() {
    for options in configurations() {
        let inputs = [array(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), Array::new([2], vec![7i64, 7]).unwrap()];
        let (value, gradients) = value_and_gradients(&options, &inputs, None, |_, x| {
            x[0].cross_entropy_with(x[1], CrossEntropy::new().ignore_index(7))
        });
        assert_eq!((value.get_f64(0), gradients[0].to_f64_vec()), (0.0, vec![0.0; 4]));
    }
}

#[test]
fn labels_of_any_integer_type_choose() {
    for labels in [Array::from([1i32, 0]), Array::from([1i64, 0]), Array::from([1u8, 0]), Array::from([1u32, 0])] {
        for options in configurations() {
            let inputs = [array(&[2, 2], &[0.0; 4]), labels.clone()];
            let (value, _) = value_and_gradients(&options, &inputs, None, |_, x| x[0].cross_entropy(x[1]));
            assert_eq!(value.to_f64_vec(), [2f64.ln(); 2]);
            let ignoring = CrossEntropy::new().ignore_index(-100);
            let (value, _) =
                value_and_gradients(&options, &inputs, None, |_, x| x[0].cross_entropy_with(x[1], ignoring));
            assert_eq!(value.get_f64(0), 2f64.ln());
        }
    }
}

#[test]
fn a_query_that_sees_nothing_gives_zero() {
    let inputs = [
        array(&[2, 2], &[1.0, 2.0, 3.0, 4.0]),
        array(&[3, 2], &[0.5, 1.0, -1.0, 2.0, 0.0, 1.0]),
        array(&[3, 1], &[1.0, 2.0, 3.0]),
    ];
    let hides = [false, false, false, true, false, true];
    for options in configurations() {
        let boolean = value_and_gradients(&options, &inputs, None, |g, x| {
            let mask = g.constant(Array::new([2, 3], hides.to_vec()).unwrap());
            x[0].attention(x[1], x[2], Attention::new().mask(mask))
        });
        let additive = value_and_gradients(&options, &inputs, None, |g, x| {
            let biases: Vec<f64> = hides.iter().map(|&sees| if sees { 0.0 } else { -INF }).collect();
            let mask = g.constant(array(&[2, 3], &biases));
            x[0].attention(x[1], x[2], Attention::new().mask(mask))
        });
        for (value, gradients) in [&boolean, &additive] {
            assert_eq!(value.get_f64(0), 0.0);
            assert_eq!(gradients[0].to_f64_vec()[..2], [0.0, 0.0], "the query's own gradient");
            assert!(gradients.iter().flat_map(Array::to_f64_vec).all(f64::is_finite), "{gradients:?}");
            // The second query sees the first and the third key.
            let scores = [(3.0 * 0.5 + 4.0) / 2f64.sqrt(), 4.0 / 2f64.sqrt()].map(f64::exp);
            let expected = (scores[0] + 3.0 * scores[1]) / (scores[0] + scores[1]);
            assert!((value.get_f64(1) - expected).abs() < 1e-14);
        }
    }
}

#[test]
fn what_softmax_where_hides_may_be_anything() {
    for options in configurations() {
        let x = array(&[3, 3], &[1.0, NAN, 2.0, INF, 1.0, -INF, NAN, NAN, NAN]);
        let (value, gradients) = value_and_gradients(&options, &[x], Some(&array(&[3, 3], &[1.0; 9])), |g, x| {
            let mask = vec![true, false, true, false, true, false, false, false, false];
            x[0].softmax_where(g.constant(Array::new([3, 3], mask).unwrap()), 1)
        });
        let p = 1.0 / (1.0 + 1f64.exp());
        for (i, (v, e)) in value.to_f64_vec().iter().zip([p, 0.0, 1.0 - p, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]).enumerate() {
            assert!((v - e).abs() < 1e-15, "{options:?} {i}: {v} instead of {e}");
        }
        assert!(gradients[0].to_f64_vec().iter().all(|g| g.abs() < 1e-15), "{gradients:?}");
    }
}

#[test]
fn targets_of_zero_cost_nothing() {
    for options in configurations() {
        // A class that cannot be, by the logits and by the target.
        let inputs = [array(&[1, 3], &[-INF, 1.0, 1.0]), array(&[1, 3], &[0.0, 0.5, 0.5])];
        let (value, gradients) =
            value_and_gradients(&options, &inputs, None, |_, x| x[0].cross_entropy_soft(x[1], CrossEntropy::new()));
        assert!((value.get_f64(0) - 2f64.ln()).abs() < 1e-15, "{options:?} {value:?}");
        assert!(gradients[0].to_f64_vec().iter().all(|g| g.abs() < 1e-15), "{gradients:?}");

        let inputs = [array(&[3], &[-INF, -INF, -1.0]), array(&[3], &[0.0, 0.5, 0.0])];
        let (value, gradients) = value_and_gradients(&options, &inputs, None, |_, x| x[0].kl_div(x[1]));
        assert_eq!(value.to_f64_vec(), [0.0, INF, 0.0]);
        assert_eq!(gradients[0].to_f64_vec(), [0.0, -0.5, 0.0]);

        let inputs = [array(&[4], &[0.0, 1.0, 0.0, 1.0]), array(&[4], &[0.0, 1.0, 1.0, 0.0])];
        let (value, gradients) = value_and_gradients(&options, &inputs, None, |_, x| x[0].bce(x[1]));
        assert_eq!(value.to_f64_vec(), [0.0, 0.0, INF, INF]);
        assert_eq!(gradients[0].to_f64_vec(), [1.0, -1.0, -INF, INF]);
    }
}

#[test]
fn distances_of_zero_and_infinity_have_finite_gradients() {
    for options in configurations() {
        let zeros = array(&[1, 2], &[0.0, 0.0]);
        let inputs = [zeros.clone(), array(&[1, 2], &[3.0, 4.0])];
        let (value, gradients) =
            value_and_gradients(&options, &inputs, None, |_, x| x[0].cosine_similarity(x[1], 1, 1e-8));
        assert_eq!(value.get_f64(0), 0.0);
        assert!(gradients.iter().flat_map(Array::to_f64_vec).all(f64::is_finite), "{gradients:?}");
        let same = [zeros.clone(), zeros.clone(), zeros];
        let (value, gradients) =
            value_and_gradients(&options, &same, None, |_, x| x[0].triplet_margin(x[1], x[2], 1.0));
        assert_eq!(value.get_f64(0), 1.0);
        assert_eq!(gradients.iter().flat_map(Array::to_f64_vec).collect::<Vec<_>>(), [0.0; 6]);
        let inputs = [array(&[3], &[INF, -INF, 2.0]), array(&[3], &[0.0; 3])];
        let (value, gradients) = value_and_gradients(&options, &inputs, None, |_, x| x[0].huber(x[1], 2.0));
        assert_eq!(value.to_f64_vec(), [INF, INF, 2.0]);
        assert_eq!(gradients[0].to_f64_vec(), [2.0, -2.0, 2.0]);
    }
}

#[test]
fn running_statistics_follow_the_batches() {
    for options in configurations() {
        let g = Builder::new();
        let x = g.input("x", f64([4, 2]));
        let norm = BatchNorm::new(&g, "norm", f64([2]), 1).momentum(0.5);
        let (y, updates) = norm.train(x);
        let mut step = Sgd::new(0.1).minimize(y.square().mean()).update_all(updates).compile(&options).unwrap();
        let mut infer = step.forward(norm.infer(x)).unwrap();
        let batch = array(&[4, 2], &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0]);
        // Before training, the running statistics are 0 and 1: inference is a copy, but for eps.
        let before = infer.run(&[("x", &batch)]).unwrap().first().get_f64(0);
        assert!((before - 1.0 / (1.0 + 1e-5f64).sqrt()).abs() < 1e-15);
        step.run(&[("x", &batch)]).unwrap();
        assert_eq!(step.params().get("norm.mean").unwrap().to_f64_vec(), [1.25, 12.5]);
        let variance = step.params().get("norm.variance").unwrap().to_f64_vec();
        for (v, unbiased) in variance.iter().zip([5.0 / 3.0, 500.0 / 3.0]) {
            assert!((v - (0.5 + 0.5 * unbiased)).abs() < 1e-13, "{v}");
        }
        for _ in 0..60 {
            step.run(&[("x", &batch)]).unwrap();
        }
        let mean = step.params().get("norm.mean").unwrap().to_f64_vec();
        assert!((mean[0] - 2.5).abs() < 1e-12 && (mean[1] - 25.0).abs() < 1e-12, "{mean:?}");
    }
}
