//! Derivatives by tensors inside of formulas, by twins, in batches and in rules of one's own: those of the formulas as they are written.

use super::*;

/// Batches of two arguments of one type, against the formula of each.
#[test]
fn batches_of_two_arguments_are_of_both() {
    type OfTwo = (for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>, fn(f64, f64) -> f64);
    let cases: [OfTwo; 6] = [
        (|a, b| (a * b).sqrt(), |a, b| (a * b).sqrt()),
        (|a, b| a.exp() / (1.0 + b.exp()), |a, b| a.exp() / (1.0 + b.exp())),
        (|a, b| a.exp() / b.exp().reshape([1]).sum(), |a, b| (a - b).exp()),
        (|a, b| (a.exp() + b.exp()).log(), |a, b| (a.exp() + b.exp()).ln()),
        (|a, b| (a.exp() / b.exp()).log(), |a, b| a - b),
        (|a, b| (a * a).reshape([1]).mean() - (b.reshape([1]).mean()).square(), |a, b| a * a - b * b),
    ];
    let (a, b) = ([1.0, 2.0, 3.0], [9.0, 8.0, 3.0]);
    for options in configurations() {
        for (f, expected) in cases {
            let g = Builder::new();
            let (x, y) = (g.input("a", f64([3])), g.input("b", f64([3])));
            let [z] = g.vmap([x, y], |[x, y]| [f(x, y)]);
            let mut run = g.program(&[("z", z)]).compile(&options).unwrap();
            let outputs = run.run(&[("a", &Array::from(a)), ("b", &Array::from(b))]).unwrap();
            let expected: Vec<f64> = a.iter().zip(b).map(|(&a, b)| expected(a, b)).collect();
            compare(&Array::from(expected), &outputs["z"], Tolerance::of(DType::F64)).unwrap();
        }
    }
}

/// By a tensor that is computed twice, a gradient is by one of the two.
#[test]
fn gradients_by_twins_are_of_each() {
    type OfTwo = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;
    // Of two twins of x: heads, and chains up to one head.
    let cases: &[OfTwo] = &[
        |x, y| x.exp() / y.exp().sum(),
        |x, y| (x * y).sqrt(),
        |x, y| (x * y).sum().sqrt(),
        |x, y| x.exp() / (1.0 + y.exp()),
        |x, y| (x.exp() + y.exp()).log(),
        |x, y| x.square().mean() - y.mean().square(),
        |x, y| (x.exp() / y.exp().sum()).log(),
    ];
    let at = [0.5f64, 0.25];
    for f in cases {
        let gradients = |twins: bool| {
            let g = Builder::new();
            let x = g.input("x", f64([2]));
            let other = g.input("y", f64([2]));
            let (a, b) = if twins { (x * 2.0, x * 2.0) } else { (x * 2.0, other * 2.0) };
            let weights = g.constant(Array::from([1.0, 0.25]));
            let loss = (f(a, b) * weights).sum();
            let [by_a] = g.grad(loss, [a]);
            let [by_b] = g.grad(loss, [b]);
            let mut run = g
                .program(&[("a", by_a), ("b", by_b), ("x", x), ("y", other)])
                .compile(&Options::engine(Engine::Interp))
                .unwrap();
            let outputs = run.run(&[("x", &Array::from(at)), ("y", &Array::from(at))]).unwrap();
            (outputs["a"].clone(), outputs["b"].clone())
        };
        let ((a, b), (of_a, of_b)) = (gradients(true), gradients(false));
        compare(&of_a, &a, Tolerance::of(DType::F64)).unwrap();
        compare(&of_b, &b, Tolerance::of(DType::F64)).unwrap();
    }
    // Twin exponentials of one tensor.
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let (above, below) = (x.exp(), x.exp());
    let p = above / below.sum();
    assert!(p.stable_form().is_some());
    let [by_above] = g.grad(p.sum(), [above]);
    let [by_below] = g.grad(p.sum(), [below]);
    let mut run = g.program(&[("above", by_above), ("below", by_below)]).compile(&Options::default()).unwrap();
    let outputs = run.run(&[("x", &Array::from(at))]).unwrap();
    let sum: f64 = at.iter().map(|x| x.exp()).sum();
    compare(&Array::from([1.0 / sum; 2]), &outputs["above"], Tolerance::of(DType::F64)).unwrap();
    compare(&Array::from([-1.0 / sum; 2]), &outputs["below"], Tolerance::of(DType::F64)).unwrap();
}

/// Beside a tensor inside of another formula too: that one's form is finite where its parts are not.
#[test]
fn formulas_of_others_stay_in_their_form() {
    for options in configurations() {
        let g = Builder::new();
        let x = g.input("x", f64([2]));
        let e = x.exp();
        let p = (2.0 * (1.0 + e).log()).softmax(0);
        let l = p.log().slice(0, 0..1).sum();
        let ([alone], [beside, _]) = (g.grad(l, [e]), g.grad(l, [e, p]));
        let mut run = g.program(&[("alone", alone), ("beside", beside)]).compile(&options).unwrap();
        let outputs = run.run(&[("x", &Array::from([0.0, 700.0]))]).unwrap();
        // By a of 2 log(1 + a) - 2 log(1 + b), where a is 1 and b is e^700.
        assert_eq!(outputs["alone"].get_f64(0), 1.0, "{options:?}");
        compare(&outputs["alone"], &outputs["beside"], Tolerance::EXACT).unwrap();
    }
}

/// A derivative by several tensors is, for each, what it is alone.
#[test]
fn derivatives_by_several_are_those_by_each() {
    for options in configurations() {
        let g = Builder::new();
        let x = g.input("x", f32([2]));
        let p = x.softmax(0);
        let l = (p.log() * g.constant(Array::from([0f32, 1.0]))).sum();
        let [by_x] = g.grad(l, [x]);
        let [by_p] = g.grad(l, [p]);
        let [both_x, both_p] = g.grad(l, [x, p]);
        let [swapped_p, swapped_x] = g.grad(l, [p, x]);
        let (dx, dp) = (g.constant(Array::from([1f32, 2.0])), g.constant(Array::from([3f32, 4.0])));
        let tangent = g.jvp(&[l], &[(x, dx), (p, dp)])[0];
        let results = [
            ("by_x", by_x),
            ("by_p", by_p),
            ("both_x", both_x),
            ("both_p", both_p),
            ("swapped_x", swapped_x),
            ("swapped_p", swapped_p),
            ("tangent", tangent),
        ];
        let mut run = g.program(&results).compile(&options).unwrap();
        for (at, by_x, by_p, tangent) in [
            ([1e4f32, -1e4], [-1f32, 1.0], [0f32, f32::INFINITY], f32::INFINITY),
            ([0.0, 0.0], [-0.5, 0.5], [0.0, 2.0], 8.5),
        ] {
            let outputs = run.run(&[("x", &Array::from(at))]).unwrap();
            for (name, expected) in [
                ("by_x", by_x),
                ("both_x", by_x),
                ("swapped_x", by_x),
                ("by_p", by_p),
                ("both_p", by_p),
                ("swapped_p", by_p),
            ] {
                if let Err(e) = compare(&Array::from(expected), &outputs[name], Tolerance::EXACT) {
                    panic!("{options:?} {name} at {at:?}: {e}");
                }
            }
            assert_eq!(outputs["tangent"].get_f64(0), tangent as f64, "{at:?}");
        }
    }
}

/// What a batch gives is known as a formula too.
#[test]
fn derivatives_by_what_a_batch_gives_are_of_the_formula() {
    let g = Builder::new();
    let x = g.input("x", f64([2, 2]));
    let [p, l] = g.vmap([x], |[x]| {
        let p = x.softmax(0);
        [p, p.log()]
    });
    assert!(l.stable_form().is_some());
    let [by_p] = g.grad(l.sum(), [p]);
    let [by_x] = g.grad(l.sum(), [x]);
    // A batch of batches, with one formula inside another.
    let [[q, m]] = [g.vmap([x], |[x]| {
        g.vmap([x], |[x]| {
            let q = 1.0 - x.sigmoid();
            [q, q.log()]
        })
    })];
    let [by_q] = g.grad(m.sum(), [q]);
    // A form that is a tensor of its own formula.
    let [e, y] = g.vmap([x], |[x]| {
        let e = x.exp();
        [e, e.log()]
    });
    let [by_e] = g.grad(y.sum(), [e]);
    let results = [("p", p), ("by_p", by_p), ("by_x", by_x), ("q", q), ("by_q", by_q), ("e", e), ("by_e", by_e)];
    for options in configurations() {
        let mut run = g.program(&results).compile(&options).unwrap();
        let outputs = run.run(&[("x", &Array::from([[0.0, 1.0], [2.0, 0.5]]))]).unwrap();
        for (of, by) in [("p", "by_p"), ("q", "by_q"), ("e", "by_e")] {
            for (value, slope) in outputs[of].to_f64_vec().iter().zip(outputs[by].to_f64_vec()) {
                assert!((slope * value - 1.0).abs() < 1e-12, "{by}: {slope} at {value}");
            }
        }
        for (p, slope) in outputs["p"].to_f64_vec().iter().zip(outputs["by_x"].to_f64_vec()) {
            assert!((slope - (1.0 - 2.0 * p)).abs() < 1e-12, "{slope} at {p}");
        }
    }
}

/// A derivative by a tensor inside a formula is that of the formula as it was written, in both modes and of second order.
#[test]
fn derivatives_by_what_is_inside_are_of_the_formula() {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let e = x.exp();
    let p = e / e.sum();
    let q = p.log();
    assert!(p.stable_form().is_some() && q.stable_form().is_some());
    let loss = q.sum();
    let [by_p, by_e] = g.grad(loss, [p, e]);
    let [by_x] = g.grad(loss, [x]);
    let ones = g.ones(p.ty());
    let tangent = g.jvp(&[q], &[(p, ones)])[0];
    let of_e = g.jvp(&[q], &[(e, ones)])[0];
    let curvature = g.hvp(loss, &[(p, ones)])[0];
    // One formula inside another, and what follows from it.
    let r = 1.0 - (2.0 * x).sigmoid();
    let [by_r] = g.grad(r.log().sum(), [r]);
    let results = [
        ("by_p", by_p),
        ("by_e", by_e),
        ("by_x", by_x),
        ("tangent", tangent),
        ("of_e", of_e),
        ("curvature", curvature),
        ("by_r", by_r),
    ];
    let expected = |x: [f64; 2]| -> [(&str, [f64; 2]); 7] {
        let e = x.map(f64::exp);
        let s = e[0] + e[1];
        let p = e.map(|e| e / s);
        [
            ("by_p", p.map(|p| 1.0 / p)),
            ("by_e", e.map(|e| 1.0 / e - 2.0 / s)),
            ("by_x", p.map(|p| 1.0 - 2.0 * p)),
            ("tangent", p.map(|p| 1.0 / p)),
            ("of_e", e.map(|e| 1.0 / e - 2.0 / s)),
            ("curvature", p.map(|p| -1.0 / (p * p))),
            ("by_r", x.map(|x| 1.0 + (2.0 * x).exp())),
        ]
    };
    for options in configurations() {
        let mut run = g.program(&results).compile(&options).unwrap();
        let outputs = run.run(&[("x", &Array::from([-0.5, -1.5]))]).unwrap();
        for (name, expected) in expected([-0.5, -1.5]) {
            if let Err(error) = compare(&Array::from(expected), &outputs[name], Tolerance::of(DType::F64)) {
                panic!("{name}: {error}");
            }
        }
    }
}

/// Rules of a program's own and checkpoints are functions of their arguments, so that what these are made of is not looked into.
#[test]
fn arguments_of_rules_and_regions_are_not_looked_into() {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let p = x.softmax(0);
    fn entropy<'g>(p: Tensor<'g>) -> Tensor<'g> {
        -(p * p.log()).sum()
    }
    // The rule has the logarithm of its argument, which is a softmax.
    fn log(p: Tensor<'_>) -> Tensor<'_> {
        assert_eq!(p.log().stable_form(), None);
        p.log()
    }
    let y = g.custom_vjp("entropy", &[p], |p| p[0] * -log(p[0]), |p, _, c| vec![c * (-log(p[0]) - 1.0)]);
    let [first] = g.grad(y.sum(), [p]);
    let [second] = g.grad(first.sum(), [p]);
    let region = g.checkpoint(|| log(p));
    let [of_region] = g.grad(region.sum(), [p]);
    let [by_x] = g.grad(y.sum(), [x]);
    let [expected] = g.grad(entropy(x.softmax(0)), [x]);
    let results = [
        ("p", p),
        ("first", first),
        ("second", second),
        ("of_region", of_region),
        ("by_x", by_x),
        ("expected", expected),
    ];
    for options in configurations() {
        let mut run = g.program(&results).compile(&options).unwrap();
        let outputs = run.run(&[("x", &Array::from([0.5, -0.5]))]).unwrap();
        let p = outputs["p"].to_f64_vec();
        let all = [
            ("first", p.iter().map(|p| -p.ln() - 1.0).collect::<Vec<f64>>()),
            ("second", p.iter().map(|p| -1.0 / p).collect()),
            ("of_region", p.iter().map(|p| 1.0 / p).collect()),
            ("by_x", outputs["expected"].to_f64_vec()),
        ];
        for (name, expected) in all {
            let expected = Init::from(expected).dtype(DType::F64).array();
            if let Err(error) = compare(&expected, &outputs[name], Tolerance::of(DType::F64)) {
                panic!("{name}: {error}");
            }
        }
    }
}
