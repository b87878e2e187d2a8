//! The third table of `cotangent::stability`: formulas as mathematicians write them are built in their stable form, so that value, gradient and second
//! derivatives are those of the method, on every engine, at every level, in both float types.

use cotangent::opt::Level;
use cotangent::prelude::*;
use cotangent::testing::{Tolerance, compare};

use super::configurations;
use super::stability::{INF, NAN, Row, row};

type Function = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

/// A formula, and the methods that it is the same as.
pub struct Formula {
    pub row: Row,
    method: Function,
}

fn formula(name: &'static str, at: &[f64], f: Function, method: Function, value: &[f64], gradient: &[f64]) -> Formula {
    Formula { row: row(name, at, f, value, gradient), method }
}

/// `log(2 / (1 + e))` and such.
fn share(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Exponentials, their sums and logarithms.
pub fn exponentials() -> Vec<Formula> {
    let ln2 = 2f64.ln();
    let wide = [1e4, -1e4, 0.0];
    vec![
        formula(
            "log(softmax(x))",
            &wide,
            |x| x.softmax(-1).log(),
            |x| x.log_softmax(-1),
            &[0.0, -2e4, -1e4],
            &[-2.0, 1.0, 1.0],
        ),
        formula(
            "log(softmax(x))",
            &wide,
            |x| x.softmax(-1).slice(0, 1..2).log(),
            |x| x.log_softmax(-1).slice(0, 1..2),
            &[-2e4],
            &[-1.0, 1.0, 0.0],
        ),
        formula(
            "log(softmax(x))",
            &wide,
            |x| x.softmax(-1).take(x.builder().constant(Array::from([2i32, 1])), 0).log(),
            |x| x.log_softmax(-1).take(x.builder().constant(Array::from([2i32, 1])), 0),
            &[-1e4, -2e4],
            &[-2.0, 1.0, 1.0],
        ),
        formula(
            "log(softmax(x))",
            &wide,
            |x| {
                let e = (x - x.max_keep(0)).exp();
                (e / e.sum_keep(0)).log()
            },
            |x| x.log_softmax(-1),
            &[0.0, -2e4, -1e4],
            &[-2.0, 1.0, 1.0],
        ),
        formula(
            "exp(x) / sum(exp(x))",
            &[1e4, 1e4, -1e4],
            |x| x.exp() / x.exp().sum(),
            |x| x.softmax(0),
            &[0.5, 0.5, 0.0],
            &[0.0; 3],
        ),
        formula(
            "exp(x) / sum(exp(x))",
            &[1e4, 1e4, -1e4, -1e4],
            |x| {
                let e = x.reshape([2, 2]).exp();
                (e / e.sum_keep(-1)).reshape([4])
            },
            |x| x.reshape([2, 2]).softmax(-1).reshape([4]),
            &[0.5; 4],
            &[0.0; 4],
        ),
        formula("log(sum(exp(x)))", &[1e4, 1e4], |x| x.exp().sum().log(), |x| x.logsumexp(), &[1e4 + ln2], &[0.5, 0.5]),
        formula(
            "log(sum(exp(x)))",
            &[-1e4, -1e4],
            |x| x.exp().sum().log(),
            |x| x.logsumexp(),
            &[-1e4 + ln2],
            &[0.5, 0.5],
        ),
        formula("log(sum(exp(x)))", &[-INF, -INF], |x| x.exp().sum().log(), |x| x.logsumexp(), &[-INF], &[0.0, 0.0]),
        formula(
            "log(mean(exp(x)))",
            &[1e4, 1e4],
            |x| x.exp().mean().log(),
            |x| x.logsumexp() - 2f64.ln(),
            &[1e4],
            &[0.5, 0.5],
        ),
        formula("log(exp(x))", &wide, |x| x.exp().log(), |x| x * 1.0, &wide, &[1.0; 3]),
        formula(
            "log(c exp(x))",
            &wide,
            |x| (2.0 * x.exp() / 4.0).log(),
            |x| x + 2f64.ln() - 4f64.ln(),
            &[1e4 - ln2, -1e4 - ln2, -ln2],
            &[1.0; 3],
        ),
        formula(
            "log(1 + exp(x))",
            &wide,
            |x| (1.0 + x.exp()).log(),
            |x| x.softplus(),
            &[1e4, 0.0, ln2],
            &[1.0, 0.0, 0.5],
        ),
        formula("log1p(exp(x))", &wide, |x| x.exp().log1p(), |x| x.softplus(), &[1e4, 0.0, ln2], &[1.0, 0.0, 0.5]),
        formula(
            "log(exp(x) + exp(y))",
            &[1e4, -1e4],
            |x| (x.exp() + (x - 1.0).exp()).log(),
            |x| x.logaddexp(x - 1.0),
            &[1e4 + (1.0 + (-1f64).exp()).ln(), -1e4 + (1.0 + (-1f64).exp()).ln()],
            &[1.0, 1.0],
        ),
        formula(
            "log(exp(x) exp(y))",
            &wide,
            |x| (x.exp() * (-0.5 * x).exp()).log(),
            |x| x + -0.5 * x,
            &[5e3, -5e3, 0.0],
            &[0.5; 3],
        ),
        formula(
            "log(exp(x) / exp(y))",
            &wide,
            |x| ((-x).exp() / (0.5 * x).exp()).log(),
            |x| -x - 0.5 * x,
            &[-1.5e4, 1.5e4, 0.0],
            &[-1.5; 3],
        ),
        formula(
            "log(exp(x) / (exp(x) + exp(y)))",
            &wide,
            |x| (x.exp() / (x.exp() + (0.5 * x).exp())).log(),
            |x| x - x.logaddexp(0.5 * x),
            &[0.0, -5e3, -ln2],
            &[0.0, 0.5, 0.25],
        ),
        formula(
            "1 / (1 + exp(-x))",
            &[-1e4, 1e4, -30.0],
            |x| 1.0 / (1.0 + (-x).exp()),
            |x| x.sigmoid(),
            &[0.0, 1.0, share(-30.0)],
            &[0.0, 0.0, share(-30.0)],
        ),
        formula(
            "exp(x) / (1 + exp(x))",
            &[-1e4, 1e4, 0.0],
            |x| x.exp() / (1.0 + x.exp()),
            |x| x.sigmoid(),
            &[0.0, 1.0, 0.5],
            &[0.0, 0.0, 0.25],
        ),
        formula("log(sigmoid(x))", &[-1e4, 1e4], |x| x.sigmoid().log(), |x| x.log_sigmoid(), &[-1e4, 0.0], &[1.0, 0.0]),
        formula(
            "log(1 - sigmoid(x))",
            &[-1e4, 1e4],
            |x| (1.0 - x.sigmoid()).log(),
            |x| (-x).log_sigmoid(),
            &[0.0, -1e4],
            &[0.0, -1.0],
        ),
        formula(
            "log(1 - sigmoid(x))",
            &[-1e4, 1e4],
            |x| (-(1.0 / (1.0 + (-x).exp()))).log1p(),
            |x| (-x).log_sigmoid(),
            &[0.0, -1e4],
            &[0.0, -1.0],
        ),
        formula(
            "1 - sigmoid(x)",
            &[30.0, -1e4],
            |x| 1.0 - x.sigmoid(),
            |x| (-x).sigmoid(),
            &[share(-30.0), 1.0],
            &[-share(-30.0), 0.0],
        ),
    ]
}

/// Differences and roots.
pub fn differences() -> Vec<Formula> {
    let tiny = 1e-20;
    vec![
        formula("exp(x) - 1", &[tiny, -1e4], |x| x.exp() - 1.0, |x| x.expm1(), &[tiny, -1.0], &[1.0, 0.0]),
        formula("exp(x) - 1", &[tiny, -1e4], |x| -1.0 + x.exp(), |x| x.expm1(), &[tiny, -1.0], &[1.0, 0.0]),
        formula("log(1 + x)", &[tiny], |x| (x + 1.0).log(), |x| x.log1p(), &[tiny], &[1.0]),
        formula(
            "1 - erf(x)",
            &[6.0],
            |x| 1.0 - x.erf(),
            |x| x.erfc(),
            &[2.151_973_671_249_891_3e-17],
            &[-2.617_301_239_249_265e-16],
        ),
        formula(
            "mean(x^2) - mean(x)^2",
            &[4096.0, 4097.0, 4098.0, 4099.0],
            |x| x.square().mean() - x.mean().square(),
            |x| x.variance(0),
            &[1.25],
            &[-0.75, -0.25, 0.25, 0.75],
        ),
        formula(
            "mean(x^2) - mean(x)^2",
            &[1e6, 1e6, 1e6, 1e6 + 2.0],
            |x| {
                let x = x.reshape([1, 4]);
                (x.pow(2.0).mean_keep(1) - x.mean_keep(-1).pow(2.0)).reshape([1])
            },
            |x| x.reshape([1, 4]).variance_over(1, 0),
            &[0.75],
            &[-0.25, -0.25, -0.25, 0.75],
        ),
        formula("sqrt(x^2)", &[0.0, -1e30], |x| (x * x).sqrt(), |x| x.abs(), &[0.0, 1e30], &[0.0, -1.0]),
        formula("sqrt(sum(x^2))", &[0.0, 0.0], |x| (x * x).sum().sqrt(), |x| x.norm(2.0), &[0.0], &[0.0, 0.0]),
        formula(
            "sqrt(sum(x^2))",
            &[3e30, -4e30],
            |x| x.pow(2.0).sum().pow(0.5),
            |x| x.norm(2.0),
            &[5e30],
            &[0.6, -0.8],
        ),
        formula(
            "sqrt(mean(x^2))",
            &[0.0, 0.0, 0.0, 0.0],
            |x| x.square().mean().sqrt(),
            |x| x.norm(2.0) * 0.5,
            &[0.0],
            &[0.0; 4],
        ),
    ]
}

/// Value, gradient of the sum, and derivative of the gradient's product with 1, 2 ...
fn derivatives(options: &Options, at: &Array, f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>) -> [Array; 3] {
    let g = Builder::new();
    let x = g.input("x", at.ty());
    let y = f(x);
    let [gradient] = g.grad(y.sum(), [x]);
    let weights = (g.iota(TensorType { dtype: DType::F32, ..x.ty() }, 0) + 1.0).cast(x.dtype());
    let [second] = g.grad((gradient * weights).sum(), [x]);
    let mut run =
        g.program(&[("y", y), ("gradient", gradient), ("second", second), ("x", x)]).compile(options).unwrap();
    let outputs = run.run(&[("x", at)]).unwrap();
    ["y", "gradient", "second"].map(|name| outputs[name].clone())
}

fn check(formulas: &[Formula]) {
    let mut failures = Vec::new();
    for options in configurations() {
        for dtype in [DType::F32, DType::F64] {
            for Formula { row, method } in formulas {
                let array = |v: &[f64]| Init::from(v.to_vec()).dtype(dtype).array();
                let [value, gradient, second] = derivatives(&options, &array(&row.at), &row.f);
                let [_, _, of_method] = derivatives(&options, &array(&row.at), method);
                let value = value.reshaped([row.expected.0.len()]).unwrap();
                let tolerance = Tolerance { scaled: 0.0, ..Tolerance::of(dtype).times(20.0) };
                let expected = [array(&row.expected.0), array(&row.expected.1), of_method];
                let names = ["value", "gradient", "second derivative"];
                for ((what, expected), actual) in names.iter().zip(&expected).zip([value, gradient, second]) {
                    if let Err(e) = compare(expected, &actual, tolerance) {
                        let (engine, level, name, at) = (options.engine, options.level, row.formula, &row.at);
                        failures.push(format!("{engine:?} {level:?} {dtype} {name} at {at:?}, {what}: {e}"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn formulas_of_exponentials_are_stable() {
    check(&exponentials());
}

#[test]
fn differences_and_roots_are_stable() {
    check(&differences());
}

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

/// What resembles a formula and is another, or has no form that is right everywhere.
#[test]
fn other_formulas_stay_as_they_are() {
    type OfTwo = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;
    let cases: &[(&str, OfTwo)] = &[
        ("rows by the sums of columns", |x, _| {
            let e = x.reshape([2, 1]).broadcast_to([2, 2]).exp();
            e / e.sum_over(1)
        }),
        ("a constant sum", |x, _| x.exp() / x.exp().sum().stop_gradient()),
        ("the sum of others", |x, y| x.exp() / y.exp().sum()),
        ("the sum of twins", |x, _| (x * 2.0).exp() / (x * 2.0).exp().sum()),
        ("a shifted sum", |x, _| (x - x.max_keep(0)).exp().sum().log()),
        ("a weighted softmax", |x, y| y * x.exp() / x.exp().sum()),
        ("a weighted mean", |x, y| (y * x.exp()).sum() / x.exp().sum()),
        ("a negative number", |x, _| (-2.0 * x.exp()).log()),
        ("an opaque factor", |x, y| (y * x.exp()).log()),
        ("an opaque divisor", |x, y| (x.exp() / y).log()),
        ("a product of tensors", |x, y| (x * y).log()),
        ("a sum with another number", |x, _| (2.0 + x.exp()).log()),
        ("a hyperbolic cosine", |x, _| x.cosh().log()),
        ("a square of a product", |x, y| (x * y).sqrt()),
        ("a root of one function", |x, _| x.exp().sqrt()),
        ("a norm of two", |x, y| (x * x + y * y).sqrt()),
        ("a sum of products", |x, y| (x * y).sum().sqrt()),
        ("a mean of products", |x, y| (x * y).mean().sqrt()),
        ("the moments of two", |x, y| x.square().mean() - y.mean().square()),
        ("the square of a sum", |x, _| x.square().mean() - x.sum().square()),
        ("a product of means", |x, y| x.square().mean() - x.mean() * y.mean()),
        ("another number above", |x, _| 3.0 / (1.0 + (-x).exp())),
        ("another number below", |x, _| 1.0 / (2.0 + (-x).exp())),
        ("a quotient of two", |x, y| x.exp() / (1.0 + y.exp())),
        ("a share of two", |x, y| x.exp() / (x.exp() + y.exp())),
        ("a hyperbolic sine", |x, _| x.exp() - (-x).exp()),
        ("1 - exp(x)", |x, _| 1.0 - x.exp()),
        ("log(1 - x)", |x, _| (1.0 - x).log()),
        ("1 - cos(x)", |x, _| 1.0 - x.cos()),
        ("1 - erfc(x)", |x, _| 1.0 - x.erfc()),
    ];
    for (name, f) in cases {
        let g = Builder::new();
        let (x, y) = (g.input("x", f64([2])), g.input("y", f64([2])));
        assert_eq!(f(x, y).stable_form(), None, "{name}");
        // Two examples of equal types are two tensors, and no zeros.
        let [_] = g.vmap([g.stack(&[x, x], 0), g.stack(&[y, y], 0)], |[x, y]| {
            let z = f(x, y);
            assert_eq!(z.stable_form(), None, "{name}, in a batch");
            [z.sum()]
        });
    }
}

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

/// Inside regions, bodies of loops and batches formulas are recognised too.
#[test]
fn formulas_inside_closures_are_stable() {
    let far = Array::from([[1e4f32, -1e4], [0.0, 1e4]]);
    let functions: [Function; 3] = [
        |x| x.builder().checkpoint(|| x.softmax(-1).log()),
        |x| x.builder().scan(x.builder().zeros(f32([])), x, |c, row| (c, row.softmax(0).log())).1,
        |x| x.vmap(|row| row.softmax(0).log()),
    ];
    for options in configurations() {
        for f in functions {
            let [value, gradient, _] = derivatives(&options, &far, f);
            compare(&Array::from([[0f32, -2e4], [-1e4, 0.0]]), &value, Tolerance::EXACT).unwrap();
            compare(&Array::from([[-1f32, 1.0], [1.0, -1.0]]), &gradient, Tolerance::EXACT).unwrap();
        }
    }
}

/// Numbers of 16 bits are rounded once, at the end.
#[test]
fn formulas_of_16_bits_are_stable() {
    for dtype in [DType::F16, DType::BF16] {
        let functions: [(Function, [f64; 2], [f64; 2]); 4] = [
            (|x| x.softmax(0).log(), [0.0, -2048.0], [-1.0, 1.0]),
            (|x| (1.0 + x.exp()).log(), [1024.0, 0.0], [1.0, 0.0]),
            (|x| x.exp() / x.exp().sum(), [1.0, 0.0], [0.0, 0.0]),
            (|x| (x * x).sqrt(), [1024.0, 1024.0], [1.0, -1.0]),
        ];
        for options in configurations() {
            for (f, value, gradient) in functions {
                let array = |v: &[f64]| Init::from(v.to_vec()).dtype(dtype).array();
                let [actual, slope, _] = derivatives(&options, &array(&[1024.0, -1024.0]), f);
                compare(&array(&value), &actual, Tolerance::EXACT).unwrap();
                compare(&array(&gradient), &slope, Tolerance::EXACT).unwrap();
            }
        }
    }
}

/// The nodes of a form name the user's call and line, and what the formula is not made of any more is dead.
#[test]
fn forms_have_the_origin_of_the_call() {
    let g = Builder::new();
    let x = g.input("x", f32([4]));
    let (y, line) = (x.softmax(0).log(), line!());
    let program = g.program(&[("y", y)]);
    let live = program.graph.live();
    let names: Vec<&str> =
        program.graph.ids().filter(|id| live[id.index()]).map(|id| program.graph.op(id).name()).collect();
    assert!(!names.contains(&"div"), "{names:?}");
    let origin = &program.graph.node(y.id()).origin;
    assert_eq!(origin.source.file_line(), Some(("formulas.rs", line)));
    assert_eq!(origin.composite.as_deref(), Some("log"));
    // The executable has no more nodes than that of the method, whatever the level.
    for level in [Level::O0, Level::O1, Level::O2] {
        let options = Options { level, ..Options::engine(Engine::Jit) };
        let count = |y: Tensor<'_>| g.program(&[("y", y)]).compile(&options).unwrap().report().nodes_after;
        assert!(count(y) <= count(x.log_softmax(0)) + 1, "{level:?}: {} {}", count(y), count(x.log_softmax(0)));
    }
}
