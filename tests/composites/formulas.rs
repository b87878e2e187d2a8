//! The third table of `cotangent::stability`: formulas as mathematicians write them are built in their stable form, so that value, gradient and second
//! derivatives are those of the method, on every engine, at every level, in both float types.

mod inside;
mod special;

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
