//! Every entry of the table finds what its law says, and a search has an end.

use std::time::Instant;

use super::FORMS;
use crate::prelude::*;

type Formula = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

/// A formula for each entry.
const EXAMPLES: &[(&str, Formula)] = &[
    ("log-of-exponentials", |x| x.exp().log()),
    ("log-of-one-plus", |x| (1.0 + x).log()),
    ("log1p-of-exp", |x| x.exp().log1p()),
    ("log1p-of-sigmoid", |x| (-x.sigmoid()).log1p()),
    ("exp-minus-one", |x| x.exp() - 1.0),
    ("one-minus", |x| 1.0 - x.sigmoid()),
    ("difference-of-moments", |x| x.square().mean() - x.mean().square()),
    ("sigmoid", |x| 1.0 / (1.0 + (-x).exp())),
    ("softmax", |x| x.exp() / x.exp().sum()),
    ("root-of-square", |x| (x * x).sqrt()),
    ("root-of-sum-of-squares", |x| x.square().sum().sqrt()),
    ("root-of-mean-of-squares", |x| x.square().mean().sqrt()),
];

#[test]
fn every_entry_finds_its_formula() {
    let names: Vec<&str> = FORMS.iter().map(|e| e.name).collect();
    assert_eq!(names, EXAMPLES.iter().map(|e| e.0).collect::<Vec<_>>());
    for ty in [f32([3]), f64([2, 2]), TensorType::new(DType::F16, [3])] {
        for (name, f) in EXAMPLES {
            let g = Builder::new();
            let y = f(g.input("x", ty.clone()));
            assert_eq!(y.stable_form().map(|e| e.0), Some(*name), "{ty}");
        }
    }
}

/// How many movements and factors are looked through.
#[test]
fn searches_have_a_limit() {
    let g = Builder::new();
    let x = g.input("x", f32([4]));
    let moved = |n: usize| (0..n).fold(x.exp(), |e, i| if i % 2 == 0 { e.reshape([2, 2]) } else { e.reshape([4]) });
    assert!(moved(16).log().stable_form().is_some());
    assert!(moved(18).log().stable_form().is_none());
    let product = |n: usize| (1..n).fold(x.exp(), |p, i| p * (x * i as f64).exp());
    assert!(product(8).log().stable_form().is_some());
    assert!(product(9).log().stable_form().is_none());
}

/// The time to build a node does not grow with the chain behind it.
#[test]
fn long_chains_are_built_in_linear_time() {
    let seconds = |n: usize, step: for<'g> fn(Tensor<'g>, usize) -> Tensor<'g>| {
        let run = || {
            let g = Builder::new();
            let x = g.input("x", f32([4]));
            let start = Instant::now();
            (0..n).fold(x, |y, i| {
                let y = step(y, i);
                y.log();
                y
            });
            start.elapsed().as_secs_f64()
        };
        (0..3).map(|_| run()).fold(f64::INFINITY, f64::min)
    };
    let steps: [for<'g> fn(Tensor<'g>, usize) -> Tensor<'g>; 2] =
        [|y, i| if i % 2 == 0 { y.reshape([2, 2]) } else { y.reshape([4]) }, |y, _| y * y.exp()];
    for step in steps {
        let (short, long) = (seconds(500, step), seconds(4_000, step));
        assert!(long < 24.0 * short + 0.01, "{long} s for 4,000 steps, {short} s for 500");
    }
}
