//! The third table of `cotangent::stability`: formulas as mathematicians write them are built in their stable form, so that value, gradient and second
//! derivatives are those of the method, on every engine, at every level, in both float types.

use cotangent::opt::Level;
use cotangent::prelude::*;
use cotangent::testing::{Tolerance, compare};

use super::configurations;
use super::stability::{INF, NAN, Row, beside, row};

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
    let small = 1e-20;
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
        formula(
            "exp(x) / sum(exp(x))",
            &[1e4, -1e4, -1e4, 1e4],
            |x| {
                let e = x.reshape([1, 2, 2]).exp();
                (beside(x, &[2.0; 4]).reshape([1, 2, 2]) * e * (1.0 / e.sum_keep([0, 2, 1]))).reshape([4])
            },
            |x| 2.0 * x.softmax(0),
            &[1.0, 0.0, 0.0, 1.0],
            &[0.0; 4],
        ),
        formula(
            "sum(w exp(x)) / sum(exp(x))",
            &[1e4, 1e4, -1e4],
            |x| {
                let e = x.exp();
                (e * beside(x, &[1.0, 3.0, 5.0])).sum() / e.sum()
            },
            |x| (x.softmax(0) * beside(x, &[1.0, 3.0, 5.0])).sum(),
            &[2.0],
            &[-0.5, 0.5, 0.0],
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
        formula(
            "log(sum(w exp(x)))",
            &[1e4, 1e4, -1e4],
            |x| (beside(x, &[0.0, 0.0, 1e4]).softmax(0) * x.exp()).sum().log(),
            |x| (beside(x, &[0.0, 0.0, 1e4]).log_softmax(0) + x).logsumexp(),
            &[ln2],
            &[0.5, 0.5, 0.0],
        ),
        formula("log(exp(x))", &wide, |x| x.exp().log(), |x| x * 1.0, &wide, &[1.0; 3]),
        formula(
            "log(c exp(x))",
            &wide,
            |x| (beside(x, &[2.0; 3]) * x.exp() / 2.0).log(),
            |x| x * 1.0,
            &wide,
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
            "log(c + exp(x))",
            &wide,
            |x| (x.exp() + 2.0).log(),
            |x| x.logaddexp(2f64.ln()),
            &[1e4, ln2, 3f64.ln()],
            &[1.0, 0.0, 1.0 / 3.0],
        ),
        formula(
            "log(exp(x) + exp(y))",
            &[1e4, -1e4],
            |x| (x.exp() + (x - 1.0).exp()).log(),
            |x| x.logaddexp(x - 1.0),
            &[1e4 + (1.0 + (-1f64).exp()).ln(), -1e4 + (1.0 + (-1f64).exp()).ln()],
            &[1.0, 1.0],
        ),
        formula(
            "log(cosh(x))",
            &wide,
            |x| x.cosh().log(),
            |x| x.logaddexp(-x) - 2f64.ln(),
            &[1e4 - ln2, 1e4 - ln2, 0.0],
            &[1.0, -1.0, 0.0],
        ),
        formula(
            "log(1 - exp(x))",
            &[-small, -50.0],
            |x| (1.0 - x.exp()).log(),
            |x| (-x.expm1()).log(),
            &[small.ln(), -(-50f64).exp()],
            &[-1.0 / small, -(-50f64).exp()],
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
            "c / (1 + exp(-x))",
            &[-1e4, 1e4, 0.0],
            |x| 3.0 / ((-2.0 * x).exp() + 1.0),
            |x| 3.0 * (2.0 * x).sigmoid(),
            &[0.0, 3.0, 1.5],
            &[0.0, 0.0, 1.5],
        ),
        formula(
            "c exp(x) / (1 + exp(x))",
            &[-1e4, 1e4, 0.0],
            |x| 2.0 * x.exp() / (1.0 + x.exp()),
            |x| 2.0 * x.sigmoid(),
            &[0.0, 2.0, 1.0],
            &[0.0, 0.0, 0.5],
        ),
        formula(
            "exp(x) / (1 + exp(x))",
            &[-1e4, 1e4, 0.0],
            |x| x.exp() / (1.0 + x.exp()),
            |x| x.sigmoid(),
            &[0.0, 1.0, 0.5],
            &[0.0, 0.0, 0.25],
        ),
        formula(
            "exp(x) / (exp(x) + exp(y))",
            &[-1e4, 1e4, 0.0],
            |x| (2.0 * x).exp() / (x.exp() + (2.0 * x).exp()),
            |x| (2.0 * x - x).sigmoid(),
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
        formula(
            "(exp(x) - exp(-x)) / (exp(x) + exp(-x))",
            &[1e4, -1e4, 0.0],
            |x| (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
            |x| x.tanh(),
            &[1.0, -1.0, 0.0],
            &[0.0, 0.0, 1.0],
        ),
        formula(
            "(exp(2 x) - 1) / (exp(2 x) + 1)",
            &[1e4, -1e4, 0.0],
            |x| ((2.0 * x).exp() - 1.0) / ((2.0 * x).exp() + 1.0),
            |x| (2.0 * x * 0.5).tanh(),
            &[1.0, -1.0, 0.0],
            &[0.0, 0.0, 1.0],
        ),
    ]
}

/// Differences and roots.
pub fn differences() -> Vec<Formula> {
    let tiny = 1e-20;
    vec![
        formula("exp(x) - 1", &[tiny, -1e4], |x| x.exp() - 1.0, |x| x.expm1(), &[tiny, -1.0], &[1.0, 0.0]),
        formula("exp(x) - 1", &[tiny, -1e4], |x| -1.0 + x.exp(), |x| x.expm1(), &[tiny, -1.0], &[1.0, 0.0]),
        formula("1 - exp(x)", &[tiny, -1e4], |x| 1.0 - x.exp(), |x| -x.expm1(), &[-tiny, 1.0], &[-1.0, 0.0]),
        formula("log(1 + x)", &[tiny], |x| (x + 1.0).log(), |x| x.log1p(), &[tiny], &[1.0]),
        formula("log(1 - x)", &[tiny], |x| (1.0 - x).log(), |x| (-x).log1p(), &[-tiny], &[-1.0]),
        formula("exp(x) - exp(-x)", &[tiny], |x| x.exp() - (-x).exp(), |x| 2.0 * x.sinh(), &[2.0 * tiny], &[2.0]),
        formula(
            "1 - erf(x)",
            &[6.0],
            |x| 1.0 - x.erf(),
            |x| x.erfc(),
            &[2.151_973_671_249_891_3e-17],
            &[-2.617_301_239_249_265e-16],
        ),
        formula("1 - cos(x)", &[1e-12], |x| 1.0 - x.cos(), |x| 2.0 * (0.5 * x).sin().square(), &[5e-25], &[1e-12]),
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
        formula(
            "sqrt(mean(x^2) - mean(x)^2)",
            &[3.0, 3.0],
            |x| ((x * x).mean() - x.mean() * x.mean()).sqrt(),
            |x| x.std(0),
            &[0.0],
            &[0.0, 0.0],
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
        formula(
            "sqrt(x^2 + y^2)",
            &[0.0, 3e30],
            |x| (x * x + (2.0 * x).square()).sqrt(),
            |x| x.hypot(2.0 * x),
            &[0.0, 3e30 * 5f64.sqrt()],
            &[0.0, 5f64.sqrt()],
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

/// Infinite elements and NaN give what the formula gives, evaluated node by node.
#[test]
fn formulas_of_infinities_are_as_written() {
    type Literal = (Function, fn(f64) -> f64);
    let functions: [Literal; 9] = [
        (|x| (1.0 + x.exp()).log(), |x| x.exp().ln_1p()),
        (|x| x.exp().log(), |x| x),
        (|x| 1.0 / (1.0 + (-x).exp()), |x| 1.0 / (1.0 + (-x).exp())),
        (|x| x.sigmoid().log(), |x| -(-x).exp().ln_1p()),
        (|x| x.exp() - 1.0, f64::exp_m1),
        (|x| (1.0 - x.exp()).log(), |x| (1.0 - x.exp()).ln()),
        (|x| (x * x).sqrt(), f64::abs),
        (|x| (x * x + 2.0 * x * x * 2.0).sqrt(), |x| (5.0 * x * x).sqrt()),
        (|x| x.cosh().log(), |x| x.cosh().ln()),
    ];
    for options in configurations() {
        for (f, expected) in functions {
            for at in [INF, -INF, NAN] {
                let [value, ..] = derivatives(&options, &Array::from([at]), f);
                let (value, expected) = (value.get_f64(0), expected(at));
                assert!(value == expected || value.is_nan() && expected.is_nan(), "{value} for {expected} at {at}");
            }
        }
        for (row, expected) in [([-INF, -INF], [NAN; 2]), ([INF, 0.0], [NAN, 0.0]), ([NAN, 0.0], [NAN; 2])] {
            let [value, ..] = derivatives(&options, &Array::from(row), |x| x.exp() / x.exp().sum());
            compare(&Array::from(expected), &value, Tolerance::EXACT).unwrap();
        }
    }
}

/// What resembles a formula and is another.
#[test]
fn other_formulas_stay_as_they_are() {
    let (a, b) = (2f64.exp(), 3f64.exp());
    let cases: [(Function, [f64; 2]); 7] = [
        // Rows are divided by the sums of columns.
        (
            |x| {
                let e = x.reshape([2, 1]).broadcast_to([2, 2]).exp();
                (e / e.sum_over(1)).slice(1, 0..1).reshape([2])
            },
            [0.5, 0.5 * b / a],
        ),
        (|x| x.exp() / x.exp().sum().stop_gradient(), [a / (a + b), b / (a + b)]),
        (|x| x.exp() / (2.0 * x).exp().sum(), [a / (a * a + b * b), b / (a * a + b * b)]),
        (|x| (x * -x).abs().log(), [4f64.ln(), 9f64.ln()]),
        (|x| (-x * -1.0 * x).log(), [4f64.ln(), 9f64.ln()]),
        (|x| x.square().mean() - x.sum().square() + 0.0 * x, [6.5 - 25.0; 2]),
        (|x| (-2.0 * x.exp() + 3.0 * x.exp()).log(), [2.0, 3.0]),
    ];
    for options in configurations() {
        for (i, (f, expected)) in cases.iter().enumerate() {
            let [value, ..] = derivatives(&options, &Array::from([2.0, 3.0]), f);
            if let Err(e) = compare(&Array::from(*expected), &value, Tolerance::of(DType::F64)) {
                panic!("case {i}: {e}");
            }
        }
    }
    // A constant sum hands on no gradient.
    let [_, gradient, _] = derivatives(&Options::engine(Engine::Interp), &Array::from([2.0, 3.0]), |x| {
        x.exp() / x.exp().sum().stop_gradient()
    });
    compare(&Array::from([a / (a + b), b / (a + b)]), &gradient, Tolerance::of(DType::F64)).unwrap();
}

/// A derivative by a tensor inside a formula is that of the formula as it was written, in both modes and of second order.
#[test]
fn derivatives_by_what_is_inside_are_of_the_formula() {
    let g = Builder::new();
    let x = g.input("x", f64([2]));
    let e = x.exp();
    let p = e / e.sum();
    let q = p.log();
    let loss = q.sum();
    let [by_p, by_e] = g.grad(loss, [p, e]);
    let [by_x] = g.grad(loss, [x]);
    let ones = g.ones(p.ty());
    let tangent = g.jvp(&[q], &[(p, ones)])[0];
    let of_e = g.jvp(&[q], &[(e, ones)])[0];
    let curvature = g.hvp(loss, &[(p, ones)])[0];
    // One formula inside another, and what follows from it.
    let r = 1.0 - (2.0 * x).exp();
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
            ("by_r", x.map(|x| 1.0 / (1.0 - (2.0 * x).exp()))),
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
    let y = g.custom_vjp("entropy", &[p], |p| p[0] * -p[0].log(), |p, _, c| vec![c * (-p[0].log() - 1.0)]);
    let [first] = g.grad(y.sum(), [p]);
    let [second] = g.grad(first.sum(), [p]);
    let region = g.checkpoint(|| p.log());
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
