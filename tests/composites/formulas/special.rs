//! The forms of formulas at infinities, NaN and zeros of both signs: as the formulas are, node by node.

use super::*;

const SPECIAL: [f64; 7] = [INF, -INF, NAN, 0.0, -0.0, 1.0, -1.0];

/// A formula of two vectors, and how it is evaluated node by node; whether the form may give the value of exact arithmetic where that is NaN.
type OfPairs = (&'static str, for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>, fn(f64, f64) -> f64, bool);

fn row_of<'g>(x: Tensor<'g>, y: Tensor<'g>) -> Tensor<'g> {
    x.builder().stack(&[x, y], 1)
}

fn of_pairs() -> Vec<OfPairs> {
    vec![
        (
            "exp(x) / sum(exp(x))",
            |x, y| first(exps(x, y) / exps(x, y).sum_keep(1)),
            |x, y| x.exp() / (x.exp() + y.exp()),
            false,
        ),
        (
            "log(softmax(x))",
            |x, y| first(row_of(x, y).softmax(1)).log(),
            |x, y| (x.exp() / (x.exp() + y.exp())).ln(),
            false,
        ),
        ("log(sum(exp(x)))", |x, y| exps(x, y).sum_over(1).log(), |x, y| (x.exp() + y.exp()).ln(), false),
        ("log(mean(exp(x)))", |x, y| exps(x, y).mean_over(1).log(), |x, y| ((x.exp() + y.exp()) / 2.0).ln(), false),
        ("log(exp(x) + exp(y))", |x, y| (x.exp() + y.exp()).log(), |x, y| (x.exp() + y.exp()).ln(), false),
        ("log(exp(x) exp(y))", |x, y| (x.exp() * y.exp()).log(), |x, y| (x.exp() * y.exp()).ln(), false),
        ("log(exp(x) / exp(y))", |x, y| (x.exp() / y.exp()).log(), |x, y| (x.exp() / y.exp()).ln(), false),
        (
            "log(exp(x) / (exp(x) + exp(y)))",
            |x, y| (x.exp() / (x.exp() + y.exp())).log(),
            |x, y| (x.exp() / (x.exp() + y.exp())).ln(),
            false,
        ),
        ("mean(x^2) - mean(x)^2", moments, |x, y| (x * x + y * y) / 2.0 - ((x + y) / 2.0) * ((x + y) / 2.0), false),
        ("sqrt(sum(x^2))", |x, y| root(x, y, false), |x, y| (x * x + y * y).sqrt(), false),
        ("sqrt(mean(x^2))", |x, y| root(x, y, true), |x, y| ((x * x + y * y) / 2.0).sqrt(), false),
        ("log(exp(x))", |x, _| x.exp().log(), |x, _| x.exp().ln(), false),
        ("log(c exp(x))", |x, _| (2.0 * x.exp()).log(), |x, _| (2.0 * x.exp()).ln(), false),
        ("log(1 + exp(x))", |x, _| (1.0 + x.exp()).log(), |x, _| (1.0 + x.exp()).ln(), false),
        ("log1p(exp(x))", |x, _| x.exp().log1p(), |x, _| x.exp().ln_1p(), false),
        ("1 / (1 + exp(-x))", |x, _| 1.0 / (1.0 + (-x).exp()), |x, _| 1.0 / (1.0 + (-x).exp()), false),
        ("exp(x) / (1 + exp(x))", |x, _| x.exp() / (1.0 + x.exp()), |x, _| x.exp() / (1.0 + x.exp()), true),
        ("log(sigmoid(x))", |x, _| x.sigmoid().log(), |x, _| (1.0 / (1.0 + (-x).exp())).ln(), false),
        ("log(1 - sigmoid(x))", |x, _| (1.0 - x.sigmoid()).log(), |x, _| (1.0 - 1.0 / (1.0 + (-x).exp())).ln(), false),
        ("log(1 - sigmoid(x))", |x, _| (-x.sigmoid()).log1p(), |x, _| (-1.0 / (1.0 + (-x).exp())).ln_1p(), false),
        ("1 - sigmoid(x)", |x, _| 1.0 - x.sigmoid(), |x, _| 1.0 - 1.0 / (1.0 + (-x).exp()), false),
        ("exp(x) - 1", |x, _| x.exp() - 1.0, |x, _| x.exp() - 1.0, false),
        ("log(1 + x)", |x, _| (1.0 + x).log(), |x, _| (1.0 + x).ln(), false),
        ("1 - erf(x)", |x, _| 1.0 - x.erf(), one_minus_erf, false),
        ("sqrt(x^2)", |x, _| (x * x).sqrt(), |x, _| (x * x).sqrt(), false),
    ]
}

fn exps<'g>(x: Tensor<'g>, y: Tensor<'g>) -> Tensor<'g> {
    row_of(x, y).exp()
}

/// The first column.
fn first(x: Tensor<'_>) -> Tensor<'_> {
    x.slice(1, 0..1).squeeze(1)
}

fn moments<'g>(x: Tensor<'g>, y: Tensor<'g>) -> Tensor<'g> {
    let row = row_of(x, y);
    row.square().mean_over(1) - row.mean_over(1).square()
}

fn root<'g>(x: Tensor<'g>, y: Tensor<'g>, mean: bool) -> Tensor<'g> {
    let squares = row_of(x, y).square();
    if mean { squares.mean_over(1).sqrt() } else { squares.sum_over(1).sqrt() }
}

fn one_minus_erf(x: f64, _: f64) -> f64 {
    match x {
        1.0 => 0.157_299_207_050_285_13,
        -1.0 => 1.842_700_792_949_714_8,
        x if x.is_infinite() => 1.0 - x.signum(),
        x => 1.0 - x,
    }
}

/// At all pairs of infinities, NaN, zeros and ones a form gives what its formula gives, evaluated node by node.
#[test]
fn forms_of_special_numbers_are_as_written() {
    let pairs: Vec<(f64, f64)> = SPECIAL.iter().flat_map(|&x| SPECIAL.map(|y| (x, y))).collect();
    let column = |i: usize| Array::from(pairs.iter().map(|p| [p.0, p.1][i]).collect::<Vec<f64>>());
    let mut failures = Vec::new();
    for options in configurations() {
        for (name, f, literal, may_be_exact) in of_pairs() {
            let g = Builder::new();
            let (x, y) = (g.input("x", f64([pairs.len()])), g.input("y", f64([pairs.len()])));
            let value = f(x, y);
            let mut run = g.program(&[("value", value), ("x", x), ("y", y)]).compile(&options).unwrap();
            let outputs = run.run(&[("x", &column(0)), ("y", &column(1))]).unwrap();
            for (&(x, y), value) in pairs.iter().zip(outputs["value"].to_f64_vec()) {
                let expected = literal(x, y);
                let same =
                    (value - expected).abs() <= 1e-14 || value == expected || value.is_nan() && expected.is_nan();
                if !(same || may_be_exact && expected.is_nan()) {
                    let (engine, level) = (options.engine, options.level);
                    failures.push(format!("{engine:?} {level:?} {name} at {x}, {y}: {value} for {expected}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

/// The table of special numbers has a row for every formula that becomes a form, and its rows are forms.
#[test]
fn every_form_is_asked_for_special_numbers() {
    let of_special: Vec<&str> = of_pairs().iter().map(|f| f.0).collect();
    for Formula { row, .. } in exponentials().iter().chain(&differences()) {
        assert!(of_special.contains(&row.formula), "{}", row.formula);
    }
}
