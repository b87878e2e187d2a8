//! The tables of `cotangent::stability`: values and gradients at the ends of the number range, on every engine, at every level, in both float types.

use cotangent::prelude::*;
use cotangent::testing::{Tolerance, compare};

use super::formulas::{differences, exponentials};
use super::{configurations, value_and_gradients};

pub const NAN: f64 = f64::NAN;
pub const INF: f64 = f64::INFINITY;

/// Far out, and what a gated unit gives there.
const ENDS: [f64; 5] = [-INF, INF, -1e30, 1e30, 0.0];
const GATED: ([f64; 5], [f64; 5]) = ([0.0, INF, 0.0, 1e30, 0.0], [0.0, 1.0, 0.0, 1.0, 0.5]);

/// A value and the gradient of its sum.
pub type Outcome = (Vec<f64>, Vec<f64>);

/// A function of one vector.
pub struct Row {
    /// The formula, as the documentation has it.
    pub formula: &'static str,
    pub at: Vec<f64>,
    pub f: Box<dyn for<'g> Fn(Tensor<'g>) -> Tensor<'g>>,
    pub expected: Outcome,
}

pub fn row(
    formula: &'static str,
    at: &[f64],
    f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g> + 'static,
    value: &[f64],
    gradient: &[f64],
) -> Row {
    Row { formula, at: at.to_vec(), f: Box::new(f), expected: (value.to_vec(), gradient.to_vec()) }
}

/// A vector beside `x`.
pub fn beside<'g>(x: Tensor<'g>, values: &[f64]) -> Tensor<'g> {
    x.builder().constant(Init::from(values.to_vec()).dtype(x.dtype()).array())
}

fn methods() -> Vec<Row> {
    let ln2 = 2f64.ln();
    let (small, tiny) = (2.061_153_620_314_381e-9, 9.357_622_968_839_299e-14);
    let wide = [1e4, -1e4, 0.0];
    vec![
        row("log_softmax(x)", &wide, |x| x.log_softmax(-1), &[0.0, -2e4, -1e4], &[-2.0, 1.0, 1.0]),
        row("softmax(x)", &wide, |x| x.softmax(-1), &[1.0, 0.0, 0.0], &[0.0; 3]),
        row("logsumexp(x)", &[-INF, -INF], |x| x.logsumexp(), &[-INF], &[0.0, 0.0]),
        row("logsumexp(x)", &[1e4, 1e4], |x| x.logsumexp(), &[1e4 + ln2], &[0.5, 0.5]),
        row("logsumexp(x)", &[-INF, 3.0], |x| x.logsumexp(), &[3.0], &[0.0, 1.0]),
        row("softmax_where(x, mask)", &[NAN, 1.0], |x| x.softmax_where(x.lt(0.0), 0), &[0.0, 0.0], &[0.0, 0.0]),
        row("softplus(x)", &wide, |x| x.softplus(), &[1e4, 0.0, ln2], &[1.0, 0.0, 0.5]),
        row("sigmoid(x)", &[1e4, -1e4, -30.0], |x| x.sigmoid(), &[1.0, 0.0, tiny], &[0.0, 0.0, tiny]),
        row("-softplus(-x)", &[1e4, -1e4], |x| -(-x).softplus(), &[0.0, -1e4], &[0.0, 1.0]),
        row(
            "bce_with_logits(x, 1)",
            &[1e4, -1e4, 20.0, INF],
            |x| x.bce_with_logits(beside(x, &[1.0; 4])),
            &[0.0, 1e4, small, 0.0],
            &[0.0, -1.0, -2.061_153_618_190_203_7e-9, 0.0],
        ),
        row("tanh(x)", &[1e4, -1e4, 0.0], |x| x.tanh(), &[1.0, -1.0, 0.0], &[0.0, 0.0, 1.0]),
        row("expm1(x)", &[1e-20, -1e4], |x| x.expm1(), &[1e-20, -1.0], &[1.0, 0.0]),
        row("log1p(x)", &[1e-20], |x| x.log1p(), &[1e-20], &[1.0]),
        row("variance(x)", &[4096.0, 4097.0, 4098.0, 4099.0], |x| x.variance(0), &[1.25], &[-0.75, -0.25, 0.25, 0.75]),
        row("layer_norm(x)", &[7.0, 7.0], |x| x.layer_norm(1e-5), &[0.0, 0.0], &[0.0, 0.0]),
        row("xlogy(x, x)", &[0.0, 1.0], |x| x.xlogy(x), &[0.0, 0.0], &[0.0, 1.0]),
        row(
            "cosine_similarity(x, y)",
            &[0.0, 0.0],
            |x| x.cosine_similarity(beside(x, &[3.0, 4.0]), 0, 1e-8),
            &[0.0],
            &[0.6e8, 0.8e8],
        ),
        row("triplet_margin", &[2.0, 3.0], |x| x.triplet_margin(x, x, 0.5), &[0.5], &[0.0, 0.0]),
        row("silu(x)", &ENDS, |x| x.silu(), &GATED.0, &GATED.1),
        row("mish(x)", &ENDS[..4], |x| x.mish(), &GATED.0[..4], &GATED.1[..4]),
        row("gelu(x)", &ENDS, |x| x.gelu(), &GATED.0, &GATED.1),
        row("gelu_tanh(x)", &ENDS, |x| x.gelu_tanh(), &GATED.0, &GATED.1),
        row("abs(x)", &[0.0, -1e30], |x| x.abs(), &[0.0, 1e30], &[0.0, -1.0]),
        row("relu(x)", &[0.0, -1e30], |x| x.relu(), &[0.0, 0.0], &[0.0, 0.0]),
        row("norm(x)", &[0.0, 0.0], |x| x.norm(1.0), &[0.0], &[0.0, 0.0]),
        row("norm(x)", &[0.0, 0.0], |x| x.norm(1.5), &[0.0], &[0.0, 0.0]),
        row("norm(x)", &[0.0, 0.0], |x| x.norm(2.0), &[0.0], &[0.0, 0.0]),
        row("norm(x)", &[0.0, 0.0], |x| x.norm(INF), &[0.0], &[0.0, 0.0]),
        row("norm(x)", &[3e30, -4e30], |x| x.norm(2.0), &[5e30], &[0.6, -0.8]),
        row("norm(x)", &[3e-30, -4e-30], |x| x.norm(2.0), &[5e-30], &[0.6, -0.8]),
    ]
}

fn hidden() -> Vec<Row> {
    vec![
        row(
            "select(x > 0, sqrt(x), 0)",
            &[0.0, 4.0, -1.0],
            |x| x.gt(0.0).select(x.sqrt(), 0.0),
            &[0.0, 2.0, 0.0],
            &[0.0, 0.25, 0.0],
        ),
        row(
            "select(x > 0, log(x), 0)",
            &[0.0, 1.0, -1.0],
            |x| x.gt(0.0).select(2.0 * x.log() + 1.0, 0.0),
            &[0.0, 1.0, 0.0],
            &[0.0, 2.0, 0.0],
        ),
        row("select(x > 0, 1 / x, 0)", &[0.0, 2.0], |x| x.gt(0.0).select(1.0 / x, 0.0), &[0.0, 0.5], &[0.0, -0.25]),
        row(
            "select(x < 10, exp(x), 0)",
            &[1e4, 0.0],
            |x| x.ge(10.0).select(x.builder().zeros(x.ty()), x.exp()),
            &[0.0, 1.0],
            &[0.0, 1.0],
        ),
        row(
            "select(x > 0, x log(x), 0)",
            &[0.0, 1.0],
            |x| x.gt(0.0).select(x * x.log(), 0.0),
            &[0.0, 0.0],
            &[0.0, 1.0],
        ),
        row("select(mask, x, 1)", &[NAN, 3.0], |x| x.lt(5.0).select(x * x, 1.0), &[1.0, 9.0], &[0.0, 6.0]),
        // Selections inside selections, and a function in a branch that is used outside it too.
        row(
            "select(x > 0, sqrt(x), 0)",
            &[0.0, 4.0, 9.0],
            |x| x.lt(5.0).select(x.gt(0.0).select(x.sqrt(), 0.0).exp(), x),
            &[1.0, 4f64.sqrt().exp(), 9.0],
            &[0.0, 0.25 * 2f64.exp(), 1.0],
        ),
        row(
            "select(x > 0, sqrt(x), 0)",
            &[0.0, 4.0],
            |x| x.gt(0.0).select(x.sqrt(), 0.0) + 3.0 * x,
            &[0.0, 14.0],
            &[3.0, 3.25],
        ),
    ]
}

/// Rows of two of the root of `[0, 4, 1, 9]`, by an operation that makes each row a number: the first row is hidden, because it has a 0.
fn hidden_row(f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g> + 'static, value: f64, gradient: [f64; 2]) -> Row {
    row(
        "select(x > 0, f(sqrt(x)), 0)",
        &[0.0, 4.0, 1.0, 9.0],
        move |x| {
            let rows = x.reshape([2, 2]);
            rows.min_over(1).gt(0.0).select(f(rows.sqrt()).reshape([2]), 0.0)
        },
        &[0.0, value],
        &[0.0, 0.0, gradient[0], gradient[1]],
    )
}

/// A number made of the root of `[0, 4]` by an operation that has no parts: it is hidden.
fn hidden_whole(f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g> + 'static) -> Row {
    row(
        "select(x > 0, f(sqrt(x)), 0)",
        &[0.0, 4.0],
        move |x| x.min().gt(0.0).select(f(x.sqrt()), 0.0),
        &[0.0],
        &[0.0, 0.0],
    )
}

fn places<'g>(x: Tensor<'g>, places: [i32; 2]) -> Tensor<'g> {
    x.builder().constant(Array::from(places))
}

fn hidden_behind_operations() -> Vec<Row> {
    let third = 1.0 / 6.0;
    let mut rows = vec![
        hidden_row(|x| x.sum_over(1), 4.0, [0.5, third]),
        hidden_row(|x| x.mean_over(1), 2.0, [0.25, third / 2.0]),
        hidden_row(|x| x.max_over(1), 3.0, [0.0, third]),
        hidden_row(|x| x.prod_over(1), 3.0, [1.5, third]),
        hidden_row(|x| x.norm_over(1, 2.0), 10f64.sqrt(), [0.5 / 10f64.sqrt(), 0.5 / 10f64.sqrt()]),
        hidden_row(|x| x.logsumexp_over(1), (1f64.exp() + 3f64.exp()).ln(), {
            let share = 1.0 / (1.0 + 2f64.exp());
            [0.5 * share, third * (1.0 - share)]
        }),
        hidden_row(|x| x.cumsum(1).slice(1, 1..2), 4.0, [0.5, third]),
        hidden_row(|x| x.transpose([1, 0]).sum_over(0), 4.0, [0.5, third]),
        hidden_row(
            |x| x.flip([0, 1]).pad(&[(1, 0), (0, 1)], 5.0).slice(0, 1..3).flip([0]).slice(1, 0..1),
            3.0,
            [0.0, third],
        ),
        hidden_row(|x| x.builder().concat(&[x, x * x], 1).sum_over(1), 14.0, [1.5, 7.0 * third]),
        hidden_row(|x| x.take(places(x, [1, 0]), 0).take(places(x, [1, 0]), 0).sum_over(1), 4.0, [0.5, third]),
        hidden_row(|x| x.scatter(Combine::Add, places(x, [0, 1]), x, 0).sum_over(1), 8.0, [1.0, 2.0 * third]),
        hidden_row(|x| x.scatter(Combine::Mul, places(x, [0, 1]), x, 0).sum_over(1), 10.0, [1.0, 1.0]),
        hidden_row(|x| x.reshape([2, 1, 2]).avg_pool(&Pool::new([2])), 2.0, [0.25, third / 2.0]),
        hidden_row(|x| x.reshape([2, 1, 2]).max_pool(&Pool::new([2])), 3.0, [0.0, third]),
        hidden_whole(|x| {
            x.builder().scan(x.builder().zeros(x.ty()), x.reshape([1, 2]), |h, x| (h + x.sqrt(), ())).0.sum()
        }),
        hidden_whole(|x| x.builder().checkpoint(|| x.sqrt().sum())),
        row(
            "select(x > 0, f(sqrt(x)), 0)",
            &[0.0, 4.0],
            |x| {
                x.gt(0.0)
                    .reshape([2, 1])
                    .broadcast_to([2, 3])
                    .select(x.sqrt().reshape([2, 1]).broadcast_to([2, 3]), 0.0)
            },
            &[0.0, 0.0, 0.0, 2.0, 2.0, 2.0],
            &[0.0, 0.75],
        ),
        row(
            "select(x > 0, inverse(x), 0)",
            &[0.0; 4],
            |x| x.max().gt(0.0).select(x.reshape([2, 2]).inverse().sum(), 0.0),
            &[0.0],
            &[0.0; 4],
        ),
        row(
            "select(x > 0, inverse(x), 0)",
            &[0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 4.0],
            |x| x.reshape([2, 4]).max_over(1).gt(0.0).select(x.reshape([2, 2, 2]).inverse().sum_over([1, 2]), 0.0),
            &[0.0, 0.75],
            &[0.0, 0.0, 0.0, 0.0, -0.25, -0.125, -0.125, -0.0625],
        ),
    ];
    type Function = for<'g> fn(Tensor<'g>) -> Tensor<'g>;
    let of_matrices: [Function; 6] = [
        |m| m.det(),
        |m| m.slogdet().1,
        |m| m.logdet(),
        |m| m.cholesky().sum(),
        |m| m.solve(m + 1.0).sum(),
        |m| m.triangular_solve(m + 1.0, Default::default()).sum(),
    ];
    for f in of_matrices {
        rows.push(row(
            "select(x > 0, inverse(x), 0)",
            &[0.0; 4],
            move |x| x.max().gt(0.0).select(f(x.reshape([2, 2])), 0.0),
            &[0.0],
            &[0.0; 4],
        ));
    }
    // Several of two inputs: conditions of many paths become one node.
    rows.push(row(
        "select(x > 0, f(sqrt(x)), 0)",
        &[0.0, 0.0, 1.0, 4.0],
        |x| {
            let rows = x.reshape([2, 2]);
            rows.min_over(1).gt(0.0).select((rows.sqrt().softmax(-1) * rows.sqrt()).sum_over(1), 0.0)
        },
        &[0.0, (1.0 + 2.0 * 1f64.exp()) / (1.0 + 1f64.exp())],
        &{
            let share = 1.0 / (1.0 + 1f64.exp());
            let slope = share * (1.0 - share);
            [0.0, 0.0, 0.5 * (share - slope), 0.25 * (1.0 - share + slope)]
        },
    ));
    // Far behind many selections.
    rows.push(row(
        "select(x > 0, sqrt(x), 0)",
        &[0.0, 4.0],
        |x| {
            let inner = x.gt(0.0).select(x.sqrt(), 0.0);
            (5..12).fold(inner, |y, bound| x.lt(f64::from(bound)).select(y, x))
        },
        &[0.0, 2.0],
        &[0.0, 0.25],
    ));
    // Far behind: steps become nodes.
    rows.push(hidden_row(
        |x| {
            let turned = (0..9).fold(x, |x, _| x.transpose([1, 0]).reshape([4]).flip([0]).reshape([2, 2]) * 1.0);
            let back = (0..9).fold(turned, |x, _| (x * 1.0).reshape([4]).flip([0]).reshape([2, 2]).transpose([1, 0]));
            back.sum_over(1)
        },
        4.0,
        [0.5, third],
    ));
    rows
}

#[allow(clippy::eq_op, reason = "the quotient and the difference of an infinity with itself are NaN")]
fn undefined() -> Vec<Row> {
    vec![
        row("0 * inf", &[INF, 2.0], |x| x * 0.0, &[NAN, 0.0], &[0.0, 0.0]),
        row("inf / inf", &[INF, 2.0], |x| x / x, &[NAN, 1.0], &[NAN, 0.0]),
        row("inf - inf", &[INF, 2.0], |x| x - x, &[NAN, 0.0], &[0.0, 0.0]),
        row("x * b / b", &[0.0, 2.0], |x| 3.0 * x / x, &[NAN, 3.0], &[NAN, 0.0]),
        row("x / b * b", &[0.0, 2.0], |x| beside(x, &[5.0; 2]) / x * x, &[NAN, 5.0], &[NAN, 0.0]),
        row("x log(x)", &[0.0, 1.0], |x| x * x.log(), &[NAN, 0.0], &[NAN, 1.0]),
        row("sqrt(-1)", &[-1.0, 4.0], |x| x.sqrt(), &[NAN, 2.0], &[NAN, 0.25]),
    ]
}

/// What no method of the library can make better without another meaning, and what one writes in its place.
fn as_written() -> Vec<Row> {
    let fifth = 1.0 / 5f64.sqrt();
    vec![
        row("softmax(x)", &[-INF, -INF], |x| x.softmax(0), &[NAN, NAN], &[NAN, NAN]),
        row("softmax(x + mask)", &[1.0, -INF], |x| x.softmax(0), &[1.0, 0.0], &[0.0, 0.0]),
        row("x / sqrt(sum(x^2))", &[0.0, 0.0], |x| x / x.square().sum().sqrt(), &[NAN, NAN], &[INF, INF]),
        row(
            "x / sqrt(sum(x^2))",
            &[3e30, 4e30],
            |x| (x / x.square().sum().sqrt()).slice(0, 0..1) * 1e30,
            &[0.6e30],
            &[0.64 / 5.0, -0.48 / 5.0],
        ),
        row("log(cosh(x))", &[0.5, 1e4], |x| x.cosh().log(), &[0.5f64.cosh().ln(), INF], &[0.5f64.tanh(), NAN]),
        row("log(c exp(x))", &[0.5], |x| (beside(x, &[3.0]) * x.exp()).log(), &[0.5 + 3f64.ln()], &[1.0]),
        row("log(1 - x)", &[0.25], |x| (1.0 - x).log(), &[0.75f64.ln()], &[-4.0 / 3.0]),
        row("1 - exp(x)", &[0.5], |x| 1.0 - x.exp(), &[1.0 - 0.5f64.exp()], &[-0.5f64.exp()]),
        row("1 - cos(x)", &[0.0, 1.0], |x| 1.0 - x.cos(), &[0.0, 1.0 - 1f64.cos()], &[0.0, 1f64.sin()]),
        row("sqrt(x^2 + y^2)", &[3.0], |x| (x * x + (x + 1.0).square()).sqrt(), &[5.0], &[1.4]),
        row(
            "sqrt(mean(x^2) - mean(x)^2)",
            &[3.0, 3.0],
            |x| (x.square().mean() - x.mean().square()).sqrt(),
            &[0.0],
            &[NAN; 2],
        ),
        row("sqrt(variance(x))", &[3.0, 3.0], |x| x.variance(0).sqrt(), &[0.0], &[NAN, NAN]),
        row(
            "sqrt(1 + x^2)",
            &[0.5, 2.0],
            |x| (1.0 + x * x).sqrt(),
            &[1.25f64.sqrt(), 5f64.sqrt()],
            &[fifth, 2.0 * fifth],
        ),
        row("log(prod(x))", &[1e-200; 4], |x| x.prod().log(), &[-INF], &[NAN; 4]),
        row("log(x y)", &[-2.0, 3.0], |x| (x * (x * 1.0)).log(), &[4f64.ln(), 9f64.ln()], &[-1.0, 2.0 / 3.0]),
        row("pow(x, 0)", &[0.0, 2.0], |x| x.pow(0.0), &[1.0, 1.0], &[0.0, 0.0]),
        row("pow(x, 2)", &[0.0, 2.0], |x| x.pow(2.0), &[0.0, 4.0], &[0.0, 4.0]),
        row("pow(x, 0.5)", &[0.0, 4.0], |x| x.pow(0.5), &[0.0, 2.0], &[INF, 0.25]),
        row("pow(0, y)", &[0.0, 2.0], |x| beside(x, &[0.0; 2]).pow(x), &[1.0, 0.0], &[0.0, 0.0]),
        row("(exp(x) - 1) / x", &[0.0, 1e-20], |x| (x.exp() - 1.0) / x, &[NAN, 1.0], &[NAN, 0.0]),
    ]
}

fn check(rows: &[Row]) {
    let mut failures = Vec::new();
    for options in configurations() {
        for dtype in [DType::F32, DType::F64] {
            for row in rows {
                let array = |v: &[f64]| Init::from(v.to_vec()).dtype(dtype).array();
                let (value, gradients) = value_and_gradients(&options, &[array(&row.at)], None, |_, x| (row.f)(x[0]));
                let expected = &row.expected;
                let value = value.reshaped([expected.0.len()]).unwrap();
                let tolerance = Tolerance { scaled: 0.0, ..Tolerance::of(dtype).times(20.0) };
                for (what, expected, actual) in
                    [("value", &expected.0, &value), ("gradient", &expected.1, &gradients[0])]
                {
                    if let Err(e) = compare(&array(expected), actual, tolerance) {
                        let (engine, level) = (options.engine, options.level);
                        failures
                            .push(format!("{engine:?} {level:?} {dtype} {} at {:?}, {what}: {e}", row.formula, row.at));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn methods_keep_their_digits_and_their_range() {
    check(&methods());
}

#[test]
fn what_is_hidden_has_no_influence() {
    check(&hidden());
    check(&hidden_behind_operations());
}

#[test]
fn what_is_undefined_stays_undefined() {
    check(&undefined());
}

#[test]
fn what_is_not_recognised_is_as_written() {
    check(&as_written());
}

#[test]
fn the_documentation_has_every_formula_and_no_other() {
    let page = include_str!("../../src/stability.md");
    let formulas = exponentials().into_iter().chain(differences()).map(|f| f.row);
    let rows: Vec<Row> = [methods(), hidden(), hidden_behind_operations(), undefined(), as_written()]
        .into_iter()
        .flatten()
        .chain(formulas)
        .collect();
    for row in &rows {
        assert!(page.contains(&format!("`{}`", row.formula)), "{} is not in src/stability.md", row.formula);
    }
    // The formulas in the first column of the tables, and those that stay undefined.
    let tables = page.lines().filter(|l| l.starts_with("| `")).map(|l| l[2..].split(" | ").next().expect("a column"));
    let undefined = page.split("# What is undefined stays undefined").nth(1).expect("the last section");
    let undefined = undefined.split("(use").next().expect("what comes before the advice");
    for text in tables.chain([undefined]) {
        for formula in text.split('`').skip(1).step_by(2) {
            // Names within a sentence are no formulas.
            let is_name = ["f", "b", "c", "w", "x", "x ln x"].contains(&formula);
            let tested = rows.iter().any(|r| r.formula == formula);
            assert!(is_name || tested, "`{formula}` of src/stability.md is not tested");
        }
    }
}

/// Hiding does not change derivatives of second order: a cotangent that happens to be 0 is not hidden.
#[test]
fn second_derivatives_at_a_zero_residual_are_kept() {
    for options in configurations() {
        let g = Builder::new();
        let x = g.input("x", f64([1]));
        let y = x.gt(0.0).select(x.exp(), 0.0);
        let residual = y - 1f64.exp();
        let [slope] = g.grad(0.5 * residual.square().sum(), [x]);
        let [curvature] = g.grad(slope.sum(), [x]);
        let mut run = g.program(&[("slope", slope), ("curvature", curvature)]).compile(&options).unwrap();
        let outputs = run.run(&[("x", &Array::from([1.0f64]))]).unwrap();
        assert!(outputs["slope"].get_f64(0).abs() < 1e-12);
        assert!((outputs["curvature"].get_f64(0) - 2f64.exp()).abs() < 1e-12, "{:?}", outputs["curvature"]);
    }
}

/// Forward mode agrees with the tables where elements are infinite or far out.
#[test]
fn gated_units_have_finite_tangents() {
    let rows = methods();
    let names = ["silu(x)", "mish(x)", "gelu(x)", "gelu_tanh(x)"];
    for options in configurations() {
        for row in rows.iter().filter(|row| names.contains(&row.formula)) {
            let g = Builder::new();
            let (x, ones) = (g.input("x", f64([row.at.len()])), g.full(f64([row.at.len()]), 1.0));
            let y = (row.f)(x);
            let [tangent] = g.jvp(&[y], &[(x, ones)])[..] else { panic!("one result has one tangent") };
            let mut run = g.program(&[("tangent", tangent)]).compile(&options).unwrap();
            let at = Array::new([row.at.len()], row.at.clone()).unwrap();
            let actual = run.run(&[("x", &at)]).unwrap().first().clone();
            let expected = Array::new([row.at.len()], row.expected.1.clone()).unwrap();
            compare(&expected, &actual, Tolerance::of(DType::F64).times(20.0))
                .unwrap_or_else(|e| panic!("{options:?} {}: {e}", row.formula));
        }
    }
}

/// What is hidden stays hidden in forward mode and in second derivatives, forward over reverse and reverse over reverse.
#[test]
fn what_is_hidden_stays_so_in_forward_mode_and_second_order() {
    let mut failures = Vec::new();
    for options in configurations() {
        for row in hidden().into_iter().chain(hidden_behind_operations()) {
            let g = Builder::new();
            let x = g.input("x", f64([row.at.len()]));
            let loss = (row.f)(x).sum();
            let [gradient] = g.grad(loss, [x]);
            let ones = g.ones(x.ty());
            let slope = g.jvp(&[loss], &[(x, ones)])[0];
            let forward = g.hvp(loss, &[(x, ones)])[0];
            let [reverse] = g.grad(gradient.sum(), [x]);
            let outputs = [("slope", slope), ("forward", forward), ("reverse", reverse)];
            let mut run = g.program(&outputs).compile(&options).unwrap();
            let at = Array::from(row.at.clone());
            let given: &[(&str, &Array)] = if run.inputs().next().is_some() { &[("x", &at)] } else { &[] };
            let outputs = run.run(given).unwrap();
            let expected: f64 = row.expected.1.iter().sum();
            let (slope, forward, reverse) = (&outputs["slope"], &outputs["forward"], &outputs["reverse"]);
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * a.abs().max(1.0);
            let finite = forward.to_f64_vec().iter().zip(reverse.to_f64_vec()).all(|(a, b)| near(*a, b));
            if !near(slope.get_f64(0), expected) || !finite {
                let (engine, level) = (options.engine, options.level);
                failures.push(format!(
                    "{engine:?} {level:?} {} at {:?}: {slope:?} instead of {expected}, {forward:?} and {reverse:?}",
                    row.formula, row.at
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}
