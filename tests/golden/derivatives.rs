//! Gradients and products of Hessians with vectors against PyTorch. The file is written by `make_derivatives.py`, which also says what its format is.

use cotangent::opt::Level;
use cotangent::prelude::*;
use cotangent::testing::{Tolerance, compare};

use super::engines::engines;
use super::text::{self, array};

/// A function at a point, and its derivatives there.
#[derive(Default)]
struct Case {
    name: String,
    inputs: Vec<Array>,
    output: Option<Array>,
    weights: Option<Array>,
    gradients: Vec<Array>,
    directions: Vec<Array>,
    products: Vec<Array>,
}

fn cases() -> Vec<Case> {
    let case = |(name, lines): (&str, Vec<(&str, &str)>)| {
        let mut case = Case { name: name.to_owned(), ..Case::default() };
        for (word, rest) in lines {
            let value = array(rest);
            match word {
                "in" => case.inputs.push(value),
                "out" => case.output = Some(value),
                "cot" => case.weights = Some(value),
                "grad" => case.gradients.push(value),
                "dir" => case.directions.push(value),
                "hvp" => case.products.push(value),
                _ => panic!("`{word}` begins no line of a case"),
            }
        }
        case
    };
    text::cases(include_str!("derivatives.txt")).into_iter().map(case).collect()
}

/// A net of PyTorch's over a sequence: weights of the input and of the state, and a bias for either.
fn recurrent<'g>(kind: &str, keep: Keep, x: &[Tensor<'g>]) -> Tensor<'g> {
    let (g, weights) = (x[0].builder(), x[2].shape());
    let [sequence, w, u, b, c] = [x[0], x[1].t(), x[2].t(), x[3], x[4]];
    let n = weights[1];
    let zeros = g.zeros(f64([x[0].shape()[1], n]));
    let part = |t: Tensor<'g>, i: usize| t.slice(1, i * n..(i + 1) * n);
    let scan = Scan::new().keep(keep);
    match kind {
        "rnn" => {
            g.scan_with(scan, zeros, sequence, |h, x| {
                let h = (x.dot(w) + b + h.dot(u) + c).tanh();
                (h, h)
            })
            .1
        }
        "lstm" => {
            g.scan_with(scan, (zeros, zeros), sequence, |(h, cell), x| {
                let gates = x.dot(w) + b + h.dot(u) + c;
                let cell = part(gates, 1).sigmoid() * cell + part(gates, 0).sigmoid() * part(gates, 2).tanh();
                let h = part(gates, 3).sigmoid() * cell.tanh();
                ((h, cell), h)
            })
            .1
        }
        "gru" => {
            g.scan_with(scan, zeros, sequence, |h, x| {
                let (new, old) = (x.dot(w) + b, h.dot(u) + c);
                let [r, z] = [0, 1].map(|i| (part(new, i) + part(old, i)).sigmoid());
                let made = (part(new, 2) + r * part(old, 2)).tanh();
                let h = (1.0 - z) * made + z * h;
                (h, h)
            })
            .1
        }
        _ => panic!("there is no net called `{kind}`"),
    }
}

fn looped<'g>(g: &'g Builder, words: &[&str], x: &[Tensor<'g>]) -> Option<Tensor<'g>> {
    Some(match words[0] {
        "rnn" | "lstm" | "gru" => recurrent(words[0], words[1].parse().unwrap(), x),
        "while" => {
            let most = words[1].parse().unwrap();
            g.while_loop(x[0], most, |c| c.square().sum().lt(50.0), |c| c * x[1] + c.sin())
        }
        "cond" => g.cond(x[0].sum().gt(0.0), || x[0].sin() * x[1], || x[0].exp() + x[1] * x[1]),
        "scan" => {
            g.scan_with(Scan::new().reverse(), x[0], x[1], |h, x| {
                let h = (h * x + 0.3).tanh();
                (h, h)
            })
            .1
        }
        _ => return None,
    })
}

fn windowed<'g>(name: &str, x: &[Tensor<'g>]) -> Option<Tensor<'g>> {
    let conv = |options: Conv| x[0].conv(x[1], &options);
    let back = |options: Conv| x[0].conv_transpose(x[1], &options);
    let resized = |how| x[0].resize([5, 2], how, Layout::ChannelsFirst);
    Some(match name {
        "conv1" => conv(Conv::new().strides(2).padding(1).dilation(2).groups(2)),
        "conv2" => conv(Conv::new().strides([2, 1]).padding([1, 0]).dilation([1, 2])),
        "conv2 depthwise" => conv(Conv::new().groups(2)),
        "conv3" => conv(Conv::new().strides([1, 2, 1])),
        "conv_transpose1" => back(Conv::new().strides(2).padding(1).output_padding(1).dilation(2).groups(2)),
        "conv_transpose2" => back(Conv::new().strides([2, 1])),
        "conv_transpose3" => back(Conv::new().strides(2)),
        "max_pool" => x[0].max_pool(&Pool::new(2).strides(1)),
        "avg_pool" => x[0].avg_pool(&Pool::new(2).padding(1).count_include_pad(false)),
        "lp_pool" => x[0].lp_pool(3.0, &Pool::new(3).strides(2)),
        "global_max_pool" => x[0].global_max_pool(Layout::ChannelsFirst),
        "global_avg_pool" => x[0].global_avg_pool(Layout::ChannelsFirst),
        "resize_linear" => resized(Interpolation::Linear),
        "resize_nearest" => resized(Interpolation::Nearest),
        _ => return None,
    })
}

fn composite<'g>(g: &'g Builder, name: &str, x: &[Tensor<'g>]) -> Option<Tensor<'g>> {
    let attention = |options| x[0].attention(x[1], x[2], options);
    let options = CrossEntropy::new();
    Some(match name {
        "layer_norm_affine" => x[0].layer_norm(1e-5).affine(x[1], x[2], -1),
        "rms_norm" => x[0].rms_norm(-1, 1e-6),
        "group_norm" => x[0].group_norm(2, 1e-5),
        "instance_norm" => x[0].instance_norm(1e-5),
        "batch_norm" => {
            let running = [0.0, 1.0].map(|v| g.full(x[1].ty(), v));
            BatchNorm::of([x[1], x[2]], running, 1).train(x[0]).0
        }
        "attention" => attention(Attention::new()),
        "attention_causal" => attention(Attention::new().causal()),
        "attention_mask" => attention(Attention::new().mask(x[3])),
        "cross_entropy_all" => {
            // PyTorch takes weights for constants.
            let options = options.ignore_index(-100).class_weights(x[2].stop_gradient()).label_smoothing(0.2);
            x[0].cross_entropy_with(x[1], options)
        }
        "cross_entropy_soft" => x[0].cross_entropy_soft(x[1], options),
        "huber" => x[0].huber(x[1], 0.75),
        "kl_div" => x[0].kl_div(x[1]),
        "poisson_nll" => x[0].poisson_nll(x[1]),
        "gaussian_nll" => x[0].gaussian_nll(x[1], x[2], 0.1),
        "hinge" => x[0].hinge(x[1]),
        "cosine_similarity" => x[0].cosine_similarity(x[1], 1, 1e-8),
        "ctc" => x[0].log_softmax(-1).ctc(x[1], x[2], x[3], 0),
        _ => return None,
    })
}

/// The function of a case.
fn apply<'g>(g: &'g Builder, name: &str, x: &[Tensor<'g>], arrays: &[Array]) -> Tensor<'g> {
    let name = name.split(':').next().unwrap();
    if let Some(name) = name.strip_prefix("square ") {
        return apply(g, name, x, arrays).square();
    }
    let words: Vec<&str> = name.split(' ').collect();
    let found = looped(g, &words, x).or_else(|| windowed(name, x)).or_else(|| composite(g, name, x));
    found.unwrap_or_else(|| match words[0] {
        "power" => x[0].pow(words[1].parse::<f64>().unwrap()),
        "polygamma_2" => x[0].polygamma(2),
        "xlogy" => x[0].xlogy(x[1]),
        "take_along_axis_1" => x[0].take_along_axis(x[1], 1),
        "unfold" => x[0].unfold(1, 3, 2),
        _ => super::apply(g, name, x, arrays),
    })
}

/// What differs between a case and what is computed: values; gradients; their products with the direction by forward mode, of the first order and, over
/// reverse mode, of the second; and those by reverse mode over reverse mode.
fn differences(case: &Case, options: &Options) -> (usize, Vec<String>) {
    let g = Builder::new();
    let (mut tensors, mut inputs) = (Vec::new(), Vec::new());
    for (i, array) in case.inputs.iter().enumerate() {
        if array.dtype() == DType::F64 {
            tensors.push(g.input(&format!("x{i}"), array.ty()));
            inputs.push((format!("x{i}"), array));
        } else {
            tensors.push(g.constant(array.clone()));
        }
    }
    let y = apply(&g, &case.name, &tensors, &case.inputs);
    let weights = g.constant(case.weights.clone().expect("a case has weights"));
    let loss = (y * weights).sum();
    let wrt: Vec<Tensor<'_>> = tensors.iter().copied().filter(|t| t.dtype() == DType::F64).collect();
    let pairs: Vec<_> = wrt.iter().copied().zip(case.directions.iter().map(|d| g.constant(d.clone()))).collect();
    let gradients = g.grad_all(loss, &wrt);
    let slope = (g.jvp(&[y], &pairs)[0] * weights).sum();

    let expected_slope: f64 = case
        .gradients
        .iter()
        .zip(&case.directions)
        .flat_map(|(g, d)| g.to_f64_vec().into_iter().zip(d.to_f64_vec()))
        .map(|(g, d)| g * d)
        .sum();
    let expected_slope = Array::scalar(expected_slope);
    let mut expected: Vec<(&str, &Array, Tensor<'_>)> = vec![("value", case.output.as_ref().unwrap(), y)];
    expected.extend(case.gradients.iter().zip(&gradients).map(|(e, &a)| ("gradient", e, a)));
    expected.push(("slope", &expected_slope, slope));
    if !case.products.is_empty() {
        let forward = g.hvp(loss, &pairs);
        let along = gradients.iter().zip(&pairs).map(|(&a, p)| (a * p.1).sum()).reduce(|a, b| a + b).unwrap();
        let reverse = g.grad_all(along, &wrt);
        expected.extend(case.products.iter().zip(forward).map(|(e, a)| ("forward over reverse", e, a)));
        expected.extend(case.products.iter().zip(reverse).map(|(e, a)| ("reverse over reverse", e, a)));
    }

    let names: Vec<String> = (0..expected.len()).map(|i| format!("r{i}")).collect();
    let outputs: Vec<(&str, Tensor<'_>)> = names.iter().map(String::as_str).zip(expected.iter().map(|e| e.2)).collect();
    let mut executable = g.program(&outputs).compile(options).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    // Only what the results need is asked for.
    let needed: Vec<String> = executable.inputs().map(|(name, _)| name.to_string()).collect();
    let given: Vec<(&str, &Array)> =
        inputs.iter().filter(|(name, _)| needed.contains(name)).map(|(n, a)| (n.as_str(), *a)).collect();
    let results = executable.run(&given).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    // Sums of terms that cancel lose some digits in either system.
    let tolerance = Tolerance { relative: 1e-11, scaled: 1e-12, absolute: 1e-13 };
    let check = |((_, actual), (what, expected, _)): ((_, &Array), &(&str, &Array, Tensor<'_>))| {
        let mismatch = compare(expected, actual, tolerance).err()?;
        Some(format!("{:?} {:?} {}, {what}: {mismatch}", options.engine, options.level, case.name))
    };
    (expected.len(), results.iter().zip(&expected).filter_map(check).collect())
}

#[test]
fn derivatives_are_those_of_pytorch() {
    let cases = cases();
    let (mut arrays, mut failures) = (0, Vec::new());
    for engine in engines() {
        let levels: &[Level] = if engine == Engine::Interp { &[Level::O0] } else { &[Level::O0, Level::O2] };
        for &level in levels {
            for case in &cases {
                let (count, different) = differences(case, &Options { level, ..Options::engine(engine) });
                arrays += count;
                failures.extend(different);
            }
        }
    }
    let second = cases.iter().filter(|c| !c.products.is_empty()).count();
    println!("{} cases, {second} of second order, {arrays} arrays compared", cases.len());
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}
