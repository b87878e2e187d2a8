//! Convolution, pooling and resizing on every engine: against PyTorch, values and gradients, and the choices where systems differ.
//!
//! The file is written by `golden/make_windows.py`, which also says what its format is.

mod engines;

use std::collections::BTreeMap;

use cotangent::prelude::*;
use cotangent::testing::{Tolerance, compare};
use engines::engines;

/// An operation on given operands, its result, a cotangent of that and what the operands' then are.
#[derive(Default)]
struct Case {
    text: String,
    name: String,
    options: BTreeMap<String, String>,
    inputs: Vec<Array>,
    output: Option<Array>,
    cotangent: Option<Array>,
    gradients: Vec<Array>,
}

fn array(text: &str) -> Array {
    let (ty, words) = text.split_once(']').unwrap();
    let (dtype, dims) = ty.split_once('[').unwrap();
    let shape: Vec<usize> = dims.split(',').map(|d| d.parse().unwrap()).collect();
    let numbers: Vec<f64> = words.split_whitespace().map(|w| w.parse().unwrap()).collect();
    Init::from(Array::new(shape, numbers).unwrap()).dtype(dtype.parse().unwrap()).array()
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("golden/windows.txt").lines().skip(1) {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        if word == "case" {
            let mut words = rest.split(' ');
            let name = words.next().unwrap().to_owned();
            let options =
                words.map(|w| w.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            cases.push(Case { text: rest.to_owned(), name, options, ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case comes first");
        match word {
            "in" => case.inputs.push(array(rest)),
            "out" => case.output = Some(array(rest)),
            "by" => case.cotangent = Some(array(rest)),
            "grad" => case.gradients.push(array(rest)),
            _ => panic!("`{line}` is no line of a case"),
        }
    }
    cases
}

impl Case {
    fn get(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    /// A number for all axes or one for each.
    fn list(&self, key: &str, default: usize) -> Vec<usize> {
        let axes = self.inputs[0].shape().rank() - 2;
        let Some(text) = self.get(key) else { return vec![default; axes] };
        let list: Vec<usize> = text.split(',').map(|w| w.parse().unwrap()).collect();
        if list.len() == axes { list } else { vec![list[0]; axes] }
    }

    fn padding(&self) -> Padding {
        match self.get("padding") {
            Some("same") => Padding::Same,
            Some(text) if text.contains(':') => {
                let pair = |w: &str| w.split_once(':').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).unwrap();
                Padding::from(&text.split(',').map(pair).collect::<Vec<(usize, usize)>>()[..])
            }
            _ => Padding::from(&self.list("padding", 0)[..]),
        }
    }

    fn layout(&self) -> Layout {
        if self.get("last").is_some() { Layout::ChannelsLast } else { Layout::ChannelsFirst }
    }

    fn apply<'g>(&self, x: &[Tensor<'g>]) -> Tensor<'g> {
        let conv = || {
            let groups = self.get("groups").unwrap().parse().unwrap();
            let conv = Conv::new().strides(&self.list("strides", 1)[..]).dilation(&self.list("dilation", 1)[..]);
            conv.padding(self.padding()).groups(groups).layout(self.layout())
        };
        let pool = || {
            let pool = Pool::new(&self.list("size", 0)[..]).dilation(&self.list("dilation", 1)[..]);
            let pool = pool.padding(self.padding()).ceil_mode(self.get("ceil").is_some()).layout(self.layout());
            let pool = pool.count_include_pad(self.get("exclude").is_none());
            if self.get("strides").is_some() { pool.strides(&self.list("strides", 1)[..]) } else { pool }
        };
        match self.name.as_str() {
            "conv" => x[0].conv(x[1], &conv()),
            "conv_transpose" => x[0].conv_transpose(x[1], &conv().output_padding(&self.list("output_padding", 0)[..])),
            "max_pool" => x[0].max_pool(&pool()),
            "avg_pool" => x[0].avg_pool(&pool()),
            "lp_pool" => x[0].lp_pool(self.get("p").unwrap().parse().unwrap(), &pool()),
            "adaptive_avg_pool" => x[0].adaptive_avg_pool(&self.list("size", 0)[..], self.layout()),
            "resize" => {
                let interpolation = match self.get("mode").unwrap() {
                    "nearest" => Interpolation::Nearest,
                    "nearest_exact" => Interpolation::NearestExact,
                    "linear" => Interpolation::Linear,
                    "linear_aligned" => Interpolation::LinearAligned,
                    mode => panic!("there is no interpolation `{mode}`"),
                };
                x[0].resize(&self.list("size", 0)[..], interpolation, self.layout())
            }
            name => panic!("there is no operation called `{name}`"),
        }
    }
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let cases = cases();
    let mut failures = Vec::new();
    let mut elements = 0;
    for engine in engines() {
        for case in &cases {
            let g = Builder::new();
            let names: Vec<String> = (0..case.inputs.len()).map(|i| format!("x{i}")).collect();
            let x: Vec<Tensor<'_>> = names.iter().zip(&case.inputs).map(|(n, a)| g.input(n, a.ty())).collect();
            let y = case.apply(&x);
            let cotangent = case.cotangent.as_ref().expect("a case has a cotangent");
            let by = g.input("by", cotangent.ty());
            if y.shape() != *cotangent.shape() {
                failures.push(format!(
                    "{engine:?} {}: shape {} instead of {}",
                    case.text,
                    y.shape(),
                    cotangent.shape()
                ));
                continue;
            }
            let gradients = g.vjp(&[(y, by)], &x);
            let gradient_names: Vec<String> = names.iter().map(|n| format!("d{n}")).collect();
            let mut outputs = vec![("y", y)];
            outputs.extend(gradient_names.iter().map(String::as_str).zip(gradients));
            let mut executable = g.program(&outputs).compile(&Options::engine(engine)).unwrap();
            let mut inputs: Vec<(&str, &Array)> = names.iter().map(String::as_str).zip(&case.inputs).collect();
            // Gradients of no elements do not depend on it.
            if executable.inputs().any(|(name, _)| &**name == "by") {
                inputs.push(("by", cotangent));
            }
            let results = executable.run(&inputs).unwrap();
            let expected = case.output.iter().chain(&case.gradients);
            for ((what, actual), expected) in results.iter().zip(expected) {
                elements += actual.shape().numel();
                let share = if actual.dtype() == DType::F32 { 2e-6 } else { 1e-12 };
                let tolerance = Tolerance { relative: share, scaled: share, absolute: 0.0 };
                if let Err(mismatch) = compare(expected, actual, tolerance) {
                    failures.push(format!("{engine:?} {}: {what}: {mismatch}", case.text));
                }
            }
        }
    }
    println!("{} cases on {} engines, {elements} elements", cases.len(), engines().len());
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

/// The result of a program of one input, and its gradient by it under a cotangent of ones.
fn with_gradient(engine: Engine, x: &Array, f: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>) -> (Vec<f64>, Vec<f64>) {
    let g = Builder::new();
    let input = g.input("x", x.ty());
    let y = f(input);
    let [dx] = g.grad(y.sum(), [input]);
    let mut executable = g.program(&[("y", y), ("dx", dx)]).compile(&Options::engine(engine)).unwrap();
    let results = executable.run(&[("x", x)]).unwrap();
    (results.get("y").unwrap().to_f64_vec(), results.get("dx").unwrap().to_f64_vec())
}

fn line(values: &[f32]) -> Array {
    Array::new([1, 1, values.len()], values.to_vec()).unwrap()
}

#[test]
fn equal_elements_of_a_window_share_the_cotangent() {
    for engine in engines() {
        let third = f64::from(1.0f32 / 3.0);
        let (y, dx) = with_gradient(engine, &line(&[1.0, 1.0, 0.0, 3.0, 3.0, 3.0]), |x| x.max_pool(&Pool::new(3)));
        assert_eq!((y, dx), (vec![1.0, 3.0], vec![0.5, 0.5, 0.0, third, third, third]));
        let (y, dx) = with_gradient(engine, &line(&[2.0, 2.0, 2.0]), |x| x.max_pool(&Pool::new(2).strides(1)));
        assert_eq!((y, dx), (vec![2.0, 2.0], vec![0.5, 1.0, 0.5]));
    }
}

#[test]
fn a_nan_wins_in_its_windows_only() {
    for engine in engines() {
        let x = line(&[1.0, f32::NAN, 2.0, 3.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
        let (y, dx) = with_gradient(engine, &x, |x| x.max_pool(&Pool::new(2)));
        assert!(y[0].is_nan());
        assert_eq!((&y[1..], dx), (&[3.0, f64::NEG_INFINITY][..], vec![0.0, 1.0, 0.0, 1.0, 0.5, 0.5]));
        let (y, _) = with_gradient(engine, &x, |x| x.avg_pool(&Pool::new(2)));
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [2.5, f64::NEG_INFINITY]);
    }
}

/// As in PyTorch and onnxruntime.
#[test]
fn a_window_longer_than_the_axis_counts_where_counts_are_rounded_up() {
    for engine in engines() {
        let x = line(&[1.0, 5.0, 2.0]);
        let (y, dx) = with_gradient(engine, &x, |x| x.max_pool(&Pool::new(5).ceil_mode(true)));
        assert_eq!((y, dx), (vec![5.0], vec![0.0, 1.0, 0.0]));
        let (y, _) = with_gradient(engine, &x, |x| x.max_pool(&Pool::new(5).strides(3).ceil_mode(true)));
        assert_eq!(y, [5.0]);
        let mean = f64::from(8.0f32 / 3.0);
        let average = || Pool::new(5).ceil_mode(true);
        for (pool, mean) in [
            (average(), mean),
            (average().count_include_pad(false), mean),
            (Pool::new(6).padding(1).ceil_mode(true).count_include_pad(false), mean),
            (average().padding(1), f64::from(8.0f32 / 5.0)),
        ] {
            let (y, _) = with_gradient(engine, &x, |x| x.avg_pool(&pool));
            assert_eq!(y, [mean]);
        }
    }
}

#[test]
fn pools_of_other_types() {
    for engine in engines() {
        let g = Builder::new();
        let (i, b) = (g.input("i", i32([1, 1, 4])), g.input("b", bool([1, 1, 4])));
        let pool = Pool::new(2).padding(1);
        let program = g.program(&[("i", i.max_pool(&pool)), ("b", b.max_pool(&pool))]);
        let mut executable = program.compile(&Options::engine(engine)).unwrap();
        let ints = Array::new([1, 1, 4], vec![-5, -7, -9, i32::MIN]).unwrap();
        let truths = Array::new([1, 1, 4], vec![false, false, true, false]).unwrap();
        let results = executable.run(&[("i", &ints), ("b", &truths)]).unwrap();
        assert_eq!(results.get("i").unwrap().as_slice::<i32>().unwrap(), [-5, -7, i32::MIN]);
        assert_eq!(results.get("b").unwrap().as_slice::<bool>().unwrap(), [false, true, false]);
    }
}

#[test]
fn norms_of_zeros_and_of_infinite_order() {
    for engine in engines() {
        for p in [1.0, 2.0, 3.0] {
            let (y, dx) = with_gradient(engine, &line(&[0.0, 0.0, -2.0, 0.0]), |x| x.lp_pool(p, &Pool::new(2)));
            let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs());
            assert!(near(&y, &[0.0, 2.0]) && near(&dx, &[0.0, 0.0, -1.0, 0.0]), "order {p}: {y:?}, {dx:?}");
        }
        let (y, dx) = with_gradient(engine, &line(&[1.0, -3.0, 2.0, 0.5]), |x| x.lp_pool(f64::INFINITY, &Pool::new(2)));
        assert_eq!((y, dx), (vec![3.0, 2.0], vec![0.0, -1.0, 1.0, 0.0]));
        let (y, _) = with_gradient(engine, &line(&[1.0, f32::NAN, 2.0, 0.5]), |x| x.lp_pool(2.0, &Pool::new(2)));
        assert!(y[0].is_nan() && y[1].is_finite());
    }
}

#[test]
fn an_element_without_weight_does_no_harm() {
    for engine in engines() {
        let x = line(&[1.0, f32::INFINITY, 2.0]);
        let (y, _) = with_gradient(engine, &x, |x| x.resize(5, Interpolation::LinearAligned, Layout::ChannelsFirst));
        assert_eq!(y, [1.0, f64::INFINITY, f64::INFINITY, f64::INFINITY, 2.0]);
        let (y, _) = with_gradient(engine, &x, |x| x.adaptive_avg_pool(2, Layout::ChannelsFirst));
        assert_eq!(y, [f64::INFINITY, f64::INFINITY]);
    }
}

/// Transposed convolution is what a convolution's gradient is: `<conv(x, w), y> = <x, conv_transpose(y, w)>`.
#[test]
fn transposed_convolution_is_the_transpose() {
    for engine in engines() {
        for options in [
            Conv::new().strides(2).padding(Padding::Same),
            Conv::new().strides([3, 2]).padding([(1, 0), (2, 1)]).dilation([1, 2]),
            Conv::new().padding(Padding::Same).groups(2).channels_last(),
        ] {
            let last = options == options.clone().channels_last();
            let g = Builder::new();
            let (x_ty, w_ty) = if last { ([2, 6, 8, 4], [3, 2, 2, 6]) } else { ([2, 4, 6, 8], [6, 4, 3, 2]) };
            let (x, w) = (
                g.param("x", init::normal(x_ty, 0.0, 1.0, 1).dtype(DType::F64)),
                g.param("w", init::normal(w_ty, 0.0, 1.0, 2).dtype(DType::F64)),
            );
            let y = x.conv(w, &options);
            let by = g.param("by", init::normal(y.shape(), 0.0, 1.0, 3).dtype(DType::F64));
            // In groups, the transposed convolution has the two axes of channels the other way round.
            let turned =
                if last { w.reshape([3, 2, 2, 2, 3]).transpose([0, 1, 3, 4, 2]).reshape([3, 2, 6, 2]) } else { w };
            let back = by.conv_transpose(turned, &options);
            // Windows that do not fill the operand leave a rest.
            let shape = back.shape();
            let mut part = x;
            for axis in 0..4 {
                part = part.slice(axis, 0..shape[axis as usize]);
            }
            let program = g.program(&[("there", (y * by).sum()), ("back", (part * back).sum())]);
            let mut executable = program.compile(&Options::engine(engine)).unwrap();
            let results = executable.run(&[]).unwrap();
            let (there, back) = (results.get("there").unwrap().get_f64(0), results.get("back").unwrap().get_f64(0));
            assert!((there - back).abs() <= 1e-11 * there.abs().max(1.0), "{options:?}: {there} and {back}");
        }
    }
}

/// Sums of the windows of a product, which are large enough to be products themselves: strides, padding that cuts, groups, both layouts, one to three spatial
/// axes, on each number of threads; and a product that is wanted besides.
#[test]
fn sums_of_windows_of_products_agree() {
    let three = |o: Conv| (o, vec![2, 8, 5, 4, 9], vec![8, 6, 2, 3, 3]);
    let cases = [
        (Conv::new(), vec![2, 8, 11], vec![8, 6, 4]),
        (Conv::new().strides([2, 1]).padding([(1, 0), (1, 2)]), vec![3, 8, 7, 9], vec![8, 6, 3, 4]),
        (Conv::new().strides([1, 2]).dilation([2, 1]), vec![3, 8, 7, 9], vec![8, 6, 3, 4]),
        (Conv::new().strides([2, 1]).groups(2), vec![3, 8, 7, 9], vec![8, 6, 3, 4]),
        (Conv::new().strides(2).channels_last(), vec![3, 7, 9, 8], vec![3, 4, 8, 6]),
        three(Conv::new().strides([2, 2, 1])),
        (Conv::new().strides([2, 1]), vec![2, 60, 7, 9], vec![60, 50, 2, 2]),
    ];
    for (options, x_shape, w_shape) in cases {
        let run = |engine: Engine, threads: usize| {
            let g = Builder::new();
            let x = g.param("x", init::normal(x_shape.clone(), 0.0, 1.0, 1));
            let w = g.param("w", init::normal(w_shape.clone(), 0.0, 1.0, 2));
            let y = x.conv_transpose(w, &options);
            let [dx, dw] = g.grad((y * y).sum(), [x, w]);
            let options = Options { threads: std::num::NonZero::new(threads), ..Options::engine(engine) };
            let mut executable = g.program(&[("y", y), ("dx", dx), ("dw", dw)]).compile(&options).unwrap();
            let results = executable.run(&[]).unwrap();
            ["y", "dx", "dw"].map(|name| results.get(name).unwrap().clone())
        };
        let expected = run(Engine::Interp, 1);
        for engine in engines() {
            let one = run(engine, 1);
            for (a, b) in one.iter().zip(&expected) {
                let tolerance = Tolerance { scaled: 1e-5, ..Tolerance::EXACT };
                compare(b, a, tolerance).unwrap_or_else(|e| panic!("{options:?}: {e}"));
            }
            for (a, b) in run(engine, 3).iter().zip(&one) {
                compare(b, a, Tolerance::EXACT).unwrap_or_else(|e| panic!("{options:?} on three threads: {e}"));
            }
        }
    }
}
