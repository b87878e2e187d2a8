//! Sums keep their digits: a million equal or random numbers in single precision, along contiguous, strided and several axes, alone, in means, variances,
//! norms and logarithms of sums, as a fold of products and as scattered updates, on every engine. Each test prints the worst error that it measures.

mod engines;

use cotangent::opt::Level;
use cotangent::prelude::*;
use cotangent::testing::Draw;
use engines::engines;

const MILLION: usize = 1 << 20;

/// What is allowed of a sum: blocks of a few dozen terms are added up in single precision, which all tenths round in one direction.
const SUM: f64 = 8.0;

/// Units in the last place of single precision, as a share of the result.
const ULP: f64 = f32::EPSILON as f64;

/// The result of `f` of one input, on every engine and level, is within `allowed` units in the last place of `expected`, element by element. Returns the
/// worst distance, in these units.
fn within(what: &str, x: &Array, f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>, expected: &[f64], allowed: f64) -> f64 {
    let g = Builder::new();
    let program = g.program(&[("y", f(g.input("x", x.ty())))]);
    let mut worst = 0.0f64;
    for engine in engines() {
        for level in [Level::O0, Level::O2] {
            let mut executable = program.compile(&Options { engine, level, ..Options::default() }).unwrap();
            let y = executable.run(&[("x", x)]).unwrap().first().to_f64_vec();
            assert_eq!(y.len(), expected.len());
            for (y, e) in y.iter().zip(expected) {
                let error = (y - e).abs() / (e.abs() * ULP);
                assert!(error <= allowed, "{what}, {engine:?} {level:?}: {y} instead of {e}, {error:.1} ulp away");
                worst = worst.max(error);
            }
        }
    }
    println!("{what}: at most {worst:.2} ulp away");
    worst
}

fn tenths(shape: &[usize]) -> Array {
    Array::new(shape, vec![0.1f32; shape.iter().product()]).unwrap()
}

/// The sum of a million tenths, as they are in single precision.
fn tenth() -> f64 {
    f64::from(0.1f32)
}

#[test]
fn a_million_tenths_along_any_axes() {
    let (n, m) = (MILLION as f64, 1024.0);
    let sum = n * tenth();
    within("a vector", &tenths(&[MILLION]), |x| x.sum(), &[sum], SUM);
    within("an odd count", &tenths(&[MILLION - 3]), |x| x.sum(), &[sum - 3.0 * tenth()], SUM);
    within("rows", &tenths(&[3, MILLION / 4]), |x| x.sum_over(1), &[sum / 4.0; 3], SUM);
    within("columns", &tenths(&[MILLION / 4, 3]), |x| x.sum_over(0), &[sum / 4.0; 3], SUM);
    within("wide columns", &tenths(&[MILLION / 64, 64]), |x| x.sum_over(0), &[sum / 64.0; 64], SUM);
    within("outer axes", &tenths(&[1024, 5, 205]), |x| x.sum_over([0, 2]), &[m * 205.0 * tenth(); 5], SUM);
    within("a transpose", &tenths(&[1024, 1024]), |x| x.t().sum_over(0), &[m * tenth(); 1024], SUM);
    within("every second", &tenths(&[MILLION]), |x| x.slice_step(0, .., -2).sum(), &[sum / 2.0], SUM);
    within("a mean", &tenths(&[MILLION]), |x| x.mean(), &[tenth()], SUM);
    within("a mean of columns", &tenths(&[MILLION / 4, 2]), |x| x.mean_over(0), &[tenth(); 2], SUM);
    within("ones", &Array::new([MILLION], vec![1.0f32; MILLION]).unwrap(), |x| x.sum(), &[n], 0.0);
}

#[test]
fn a_million_terms_in_other_reductions() {
    let n = MILLION as f64;
    within("a norm", &tenths(&[MILLION]), |x| x.norm(2.0), &[n.sqrt() * tenth()], 3.0);
    within("magnitudes", &tenths(&[MILLION]), |x| (-x).norm(1.0), &[n * tenth()], SUM);
    within("exponentials", &tenths(&[MILLION]), |x| x.logsumexp(), &[tenth() + n.ln()], 2.0);
    within(
        "a fold of products",
        &tenths(&[2, MILLION / 4]),
        |x| (x * x).sum_over(1),
        &[n / 4.0 * tenth() * tenth(); 2],
        SUM,
    );
}

#[test]
fn variance_of_numbers_with_a_large_offset() {
    for offset in [0.0, 1e2, 1e4] {
        let x = Draw::new(3).uniform(&f32([2, MILLION / 8]), offset - 0.5, offset + 0.5);
        let expected: Vec<f64> = x
            .to_f64_vec()
            .chunks(MILLION / 8)
            .map(|row| {
                let mean = row.iter().sum::<f64>() / row.len() as f64;
                row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / row.len() as f64
            })
            .collect();
        within(&format!("variance around {offset}"), &x, |x| x.variance_over(1, 0), &expected, 8.0);
        let roots: Vec<f64> = expected.iter().map(|v| v.sqrt()).collect();
        within(&format!("standard deviation around {offset}"), &x, |x| x.std_over(1, 0), &roots, 8.0);
    }
}

#[test]
fn scattered_sums() {
    let expected = [MILLION as f64 / 2.0 * tenth(); 2];
    within(
        "updates at two places",
        &tenths(&[MILLION]),
        |x| {
            let g = x.builder();
            let index: Vec<i32> = (0..MILLION as i32).map(|i| i % 2).collect();
            let index = g.constant(Array::new([MILLION], index).unwrap());
            g.zeros(cotangent::prelude::f32([2])).scatter_add(index, x)
        },
        &expected,
        1.0,
    );
    // The gradient of a lookup is such a sum.
    within(
        "the gradient of an embedding",
        &tenths(&[3]),
        |x| {
            let g = x.builder();
            let ids = g.constant(Array::new([MILLION], vec![1i32; MILLION]).unwrap());
            let [d] = g.grad(x.embedding(ids).square().sum() * 0.5, [x]);
            d.slice(0, 1..2)
        },
        &[MILLION as f64 * tenth()],
        1.0,
    );
}

#[test]
fn what_cancels_leaves_what_is_left() {
    for size in [1e4f32, 1e36] {
        let half = MILLION / 2;
        let mut values = vec![size; MILLION];
        values[half..].fill(-size);
        values[7] = 0.0;
        let x = Array::new([MILLION], values).unwrap();
        within(&format!("{size:e} and -{size:e}"), &x, |x| x.sum(), &[-f64::from(size)], 4096.0);
    }
}

/// A number of a type.
trait Number: cotangent::ArrayElement + std::fmt::Display {
    const NAME: &'static str;
    fn of(v: f64) -> Self;
}

macro_rules! number {
    ($($t:ident)*) => {$(
        impl Number for $t {
            const NAME: &'static str = stringify!($t);
            fn of(v: f64) -> $t {
                v as $t
            }
        }
    )*};
}
number!(f32 f64 i32 i64 u8 u32);

/// Long folds of every kind agree with the interpreter's, in all digits: their elements are small integers, or there is a NaN in one place or another.
fn folds<T: Number>() {
    type Fold = for<'g> fn(Tensor<'g>, &[isize]) -> Tensor<'g>;
    let kinds: [(&str, Fold); 4] = [
        ("sum", |x, axes| x.sum_over(axes)),
        ("max", |x, axes| x.max_over(axes)),
        ("min", |x, axes| x.min_over(axes)),
        ("prod", |x, axes| x.prod_over(axes)),
    ];
    let shapes: [(&[usize], &[isize]); 7] = [
        (&[16_384], &[0]),
        (&[128, 128], &[0, 1]),
        (&[8, 6, 32, 32], &[0, 2, 3]),
        (&[20_000, 3], &[0]),
        (&[3, 5, 4096], &[1, 2]),
        (&[2, 96, 2, 128], &[1, 3]),
        (&[9973], &[0]),
    ];
    let is_float = matches!(T::NAME, "f32" | "f64");
    for (shape, axes) in shapes {
        let count: usize = shape.iter().product();
        let nans: &[Option<usize>] =
            if is_float { &[None, Some(0), Some(count / 2), Some(count - 1)] } else { &[None] };
        for nan in nans {
            for (kind, fold) in kinds {
                // Products of ones and few twos are exact.
                let value = |i: usize| match kind {
                    "prod" => T::of(if i.is_multiple_of(1237) { 2.0 } else { 1.0 }),
                    _ => T::of((i * 40_503 % 61) as f64),
                };
                let mut values: Vec<T> = (0..count).map(value).collect();
                if let Some(nan) = *nan {
                    values[nan] = T::of(f64::NAN);
                }
                let x = Array::new(shape, values).unwrap();
                let g = Builder::new();
                let y = fold(g.input("x", x.ty()), axes);
                let program = g.program(&[("y", y)]);
                let run = |engine, level| {
                    let mut run = program.compile(&Options { engine, level, ..Options::default() }).unwrap();
                    run.run(&[("x", &x)]).unwrap().first().to_f64_vec()
                };
                let expected = run(Engine::Interp, Level::O0);
                for level in [Level::O0, Level::O2] {
                    let actual = run(Engine::Jit, level);
                    let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
                    assert!(
                        expected.iter().zip(&actual).all(same),
                        "{kind} of {} {shape:?} over {axes:?}, NaN at {nan:?}: {actual:?} instead of {expected:?}",
                        T::NAME
                    );
                }
            }
        }
    }
}

#[test]
fn long_folds_are_what_short_ones_are() {
    folds::<f32>();
    folds::<f64>();
    folds::<i32>();
    folds::<i64>();
    folds::<u8>();
    folds::<u32>();
}

#[test]
fn long_folds_of_truth_values() {
    for place in [None, Some(0), Some(9000), Some(16_383)] {
        let mut values = vec![false; 16_384];
        if let Some(place) = place {
            values[place] = true;
        }
        let x = Array::new([128, 128], values).unwrap();
        let g = Builder::new();
        let t = g.input("x", x.ty());
        let program = g.program(&[("any", t.any()), ("none", (!t).all())]);
        for engine in engines() {
            let mut run = program.compile(&Options::engine(engine)).unwrap();
            let outputs = run.run(&[("x", &x)]).unwrap();
            let [any, none] = ["any", "none"].map(|name| outputs.get(name).unwrap().as_slice::<bool>().unwrap()[0]);
            assert_eq!((any, none), (place.is_some(), place.is_none()), "{engine:?}");
        }
    }
}
