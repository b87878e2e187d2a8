//! Every entry of the table finds what its law says, and a search has an end.

use super::FORMS;
use super::sight::Sight;
use crate::compile::Options;
use crate::prelude::*;
use crate::scalar::ScalarFn;

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

/// Sums without terms have a value too, and quotients of no elements a shape.
#[test]
fn formulas_of_no_elements_are_built() {
    for shape in [[0, 3], [3, 0], [0, 0]] {
        for axis in [0, 1] {
            let g = Builder::new();
            let x = g.input("x", f32(shape));
            let values = [
                x.exp() / x.exp().sum_keep(axis),
                x.exp().sum_keep(axis).log(),
                x.square().sum_keep(axis).sqrt(),
                x.square().mean_keep(axis) - x.mean_keep(axis).square(),
            ];
            let results: Vec<(String, Tensor)> = values.iter().enumerate().map(|(i, &y)| (i.to_string(), y)).collect();
            let results: Vec<(&str, Tensor)> = results.iter().map(|(name, y)| (&**name, *y)).collect();
            let mut executable = g.program(&results).compile(&Options::default()).expect("it compiles");
            let outputs = executable.run(&[("x", &Array::zeros(&f32(shape)))]).expect("it runs");
            assert_eq!(outputs[0].shape()[..], shape);
            let same = |i: usize, value: f64| {
                let all = outputs[i].to_f64_vec();
                // Where the axis is not the empty one, nothing is left.
                all.iter().all(|&v| v == value || v.is_nan() && value.is_nan())
            };
            assert!(same(1, f64::NEG_INFINITY) && same(2, 0.0) && same(3, f64::NAN), "{shape:?} over {axis}");
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

/// How many nodes are looked at to build one does not grow with the chain behind it.
#[test]
fn searches_in_long_chains_are_as_short_as_in_shorter_ones() {
    type Step = for<'g> fn(Tensor<'g>, usize) -> Tensor<'g>;
    let looked_at = |n: usize, step: Step, f: ScalarFn| -> u32 {
        let g = Builder::new();
        let x = g.input("x", f32([4]));
        let end = (0..n).fold(x, step);
        let graph = g.graph();
        let operands = if f == ScalarFn::Sub { vec![end.id(), end.id()] } else { vec![end.id()] };
        let counts = FORMS.iter().filter(|entry| entry.on.contains(&f)).map(|entry| {
            let mut sight = Sight::new(&graph, 0);
            (entry.find)(&mut sight, f, &operands);
            sight.looked_at()
        });
        counts.sum()
    };
    let steps: [(&str, Step); 4] = [
        ("movements", |y, i| if i % 2 == 0 { y.reshape([2, 2]) } else { y.reshape([4]) }),
        ("products", |y, _| y * y.exp()),
        ("sums of exponentials", |y, _| y.exp() + y.exp()),
        ("negatives", |y, _| -y),
    ];
    for f in [ScalarFn::Log, ScalarFn::Sqrt, ScalarFn::Sub] {
        for (what, step) in steps {
            let (short, long) = (looked_at(500, step, f), looked_at(4_000, step, f));
            assert!(0 < short && short == long, "{what}, {f:?}: {long} behind 4,000 steps, {short} behind 500");
        }
    }
}
