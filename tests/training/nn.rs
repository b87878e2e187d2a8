//! Layers against PyTorch: with the same weights, under the same names, the same outputs and gradients. `make_nn.py` writes the file that is read here.

use std::collections::BTreeMap;

use cotangent::build;
use cotangent::nn::{
    BatchNorm, Context, Conv, ConvTranspose, Dropout, Embedding, GroupNorm, Gru, LayerNorm, Linear, Lstm, Module,
    MultiHeadAttention, Path, RmsNorm, Sequential, TransformerEncoderLayer, load_state_dict,
};
use cotangent::prelude::*;

use crate::engines::engines;

#[derive(Default)]
struct Case {
    name: String,
    /// Lines by their words: `in 0`, `param weight`, `grad weight` ...
    arrays: BTreeMap<String, Array>,
}

impl Case {
    /// The arrays of lines with this word, by name.
    fn of(&self, word: &str) -> impl Iterator<Item = (&str, &Array)> {
        let prefix = format!("{word} ");
        self.arrays.iter().filter_map(move |(key, array)| Some((key.strip_prefix(&prefix)?, array)))
    }
}

fn array(text: &str) -> Array {
    let (ty, words) = text.split_once(']').unwrap();
    let (dtype, dims) = ty.split_once('[').unwrap();
    let shape: Vec<usize> = dims.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect();
    let words = words.split_whitespace();
    match dtype {
        "i64" => Array::new(shape, words.map(|w| w.parse::<i64>().unwrap()).collect()).unwrap(),
        _ => Array::new(shape, words.map(|w| w.parse::<f64>().unwrap()).collect()).unwrap(),
    }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("nn.txt").lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "case" {
            cases.push(Case { name: rest.to_owned(), ..Case::default() });
            continue;
        }
        let (name, elements) = rest.split_once(' ').unwrap();
        cases.last_mut().unwrap().arrays.insert(format!("{word} {name}"), array(elements));
    }
    cases
}

/// The results of a case's layer.
fn apply<'g>(name: &str, path: &Path<'g>, x: &[Tensor<'g>], cx: &mut Context<'g>) -> Vec<Tensor<'g>> {
    let options = build::Conv::new;
    let encoder = || TransformerEncoderLayer::new(path, 4, 2, 6).dropout(0.0);
    let result = match name {
        "linear" => Linear::new(path, 5, 3).forward(x[0], cx),
        "linear_without_bias" => Linear::without_bias(path, 5, 3).forward(x[0], cx),
        "embedding" => Embedding::new(path, 6, 3).forward(x[0], cx),
        "conv1" => Conv::new(path, 2, 4, [3], options().strides(2).padding(1)).forward(x[0], cx),
        "conv2" => Conv::new(path, 2, 3, [3, 2], options().padding([1, 0]).dilation([1, 2])).forward(x[0], cx),
        "conv2_groups" => Conv::without_bias(path, 4, 2, [3, 3], options().groups(2)).forward(x[0], cx),
        "conv3" => Conv::new(path, 1, 2, [2, 2, 2], options()).forward(x[0], cx),
        "conv_transpose" => ConvTranspose::new(path, 2, 3, [3, 3], options().strides(2).padding(1)).forward(x[0], cx),
        "layer_norm" => LayerNorm::new(path, [3, 4]).forward(x[0], cx),
        "rms_norm" => RmsNorm::new(path, [6]).forward(x[0], cx),
        "group_norm" => GroupNorm::new(path, 2, 4).forward(x[0], cx),
        "batch_norm_infer" | "batch_norm_train" => BatchNorm::new(path, 3).forward(x[0], cx),
        "batch_norm_2_train" => BatchNorm::new(path, 2).momentum(0.3).eps(1e-3).forward(x[0], cx),
        "lstm" | "lstm_stacked" => {
            let lstm = match name {
                "lstm" => Lstm::new(path, 3, 4),
                _ => Lstm::stacked(path, 3, 2, 2, true).batch_first(),
            };
            let (outputs, [h, c]) = lstm.forward(x[0], None, cx);
            return vec![outputs, h, c];
        }
        "gru" | "gru_stacked" => {
            let gru = match name {
                "gru" => Gru::new(path, 3, 4),
                _ => Gru::stacked(path, 3, 2, 2, true).batch_first(),
            };
            let (outputs, h) = gru.forward(x[0], None, cx);
            return vec![outputs, h];
        }
        "attention" => MultiHeadAttention::new(path, 6, 2).forward(x[0], x[1], x[2], Attention::new(), cx),
        "attention_causal" => {
            MultiHeadAttention::new(path, 4, 2).forward(x[0], x[0], x[0], Attention::new().causal(), cx)
        }
        "encoder" => encoder().forward(x[0], cx),
        "encoder_norm_first" => {
            encoder().norm_first().gelu().eps(1e-3).forward_with(x[0], Attention::new().causal(), cx)
        }
        "sequential" => {
            let inner = |path: &Path<'g>| Sequential::new(path).add(|path| Linear::new(path, 4, 4)).then(|x| x.tanh());
            let net = Sequential::new(path).add(|path| Linear::new(path, 3, 4)).then(|x| x.relu());
            net.add(inner).add(|path| Linear::new(path, 4, 2)).forward(x[0], cx)
        }
        _ => panic!("`{name}` is no layer"),
    };
    vec![result]
}

fn expect_close(what: &str, got: &Array, want: &Array) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    let scale = want.to_f64_vec().iter().fold(1e-3f64, |m, x| m.max(x.abs()));
    for (got, want) in got.to_f64_vec().iter().zip(want.to_f64_vec()) {
        assert!((got - want).abs() <= 1e-12 * scale, "{what}: {got} instead of {want}");
    }
}

#[test]
fn outputs_and_gradients_are_pytorchs() {
    let cases = cases();
    assert_eq!(cases.len(), 23);
    for case in &cases {
        for engine in engines() {
            let g = Builder::new();
            let path = Path::root(&g).dtype(DType::F64);
            let inputs: Vec<(String, &Array)> = case.of("in").map(|(i, array)| (format!("x{i}"), array)).collect();
            let x: Vec<Tensor> = inputs.iter().map(|(name, array)| g.input(name, array.ty())).collect();
            let trains = case.of("after").next().is_some() || case.name.starts_with("encoder");
            let mut cx = if trains { Context::train(&path) } else { Context::infer() };
            let results = apply(&case.name, &path, &x, &mut cx);

            let mut loss = g.zeros(f64([]));
            for (&result, (_, cot)) in results.iter().zip(case.of("cot")) {
                loss = loss + (result * g.constant(cot.clone())).sum();
            }
            let params = g.params();
            let floats: Vec<Tensor> = x.iter().copied().filter(|x| x.dtype() == DType::F64).collect();
            let wrt: Vec<Tensor> = params.iter().chain(&floats).copied().collect();
            let gradients = g.grad_all(loss, &wrt);
            let mut outputs = Vec::new();
            for (i, &result) in results.iter().enumerate() {
                outputs.push((format!("out {i}"), result));
            }
            let declared: Vec<String> = case.of("grad").map(|(name, _)| name.to_owned()).collect();
            assert_eq!(params.len(), declared.len(), "{}", case.name);
            for (param, gradient) in params.iter().zip(&gradients) {
                let text = format!("{param:?}");
                let name = declared.iter().filter(|d| text.contains(&format!("{d:?}"))).max_by_key(|d| d.len());
                outputs.push((
                    format!("grad {}", name.unwrap_or_else(|| panic!("{text} is none of {declared:?}"))),
                    *gradient,
                ));
            }
            for (i, gradient) in gradients[params.len()..].iter().enumerate() {
                outputs.push((format!("din {i}"), *gradient));
            }
            let outputs: Vec<(&str, Tensor)> = outputs.iter().map(|(name, t)| (&**name, *t)).collect();
            let program = g.program_with_updates(&outputs, &cx.updates());
            let mut step = program.compile(&Options::engine(engine)).unwrap();
            // The count of batches is no part of inference, and PyTorch's state dict has it all the same.
            let state = case.of("param").filter(|(name, _)| trains || *name != "num_batches_tracked");
            let state: BTreeMap<String, Array> = state.map(|(name, array)| (name.to_owned(), array.clone())).collect();
            assert!(load_state_dict(step.params(), &state).unwrap().is_empty(), "{}", case.name);
            let given: Vec<(&str, &Array)> = inputs.iter().map(|(name, array)| (&**name, *array)).collect();
            let results = step.run(&given).unwrap();
            for (name, got) in results.iter() {
                let want = case.arrays.get(&**name).unwrap_or_else(|| panic!("{}: no {name}", case.name));
                expect_close(&format!("{} {engine:?} {name}", case.name), got, want);
            }
            for (name, want) in case.of("after") {
                let got = step.params().get(name).unwrap();
                expect_close(&format!("{} {engine:?} {name} after", case.name), &got, want);
            }
        }
    }
}

#[test]
fn first_values_are_spread_as_in_pytorch() {
    let g = Builder::new();
    let path = Path::root(&g);
    let linear = Linear::new(&path.at("linear"), 400, 50);
    let table = Embedding::new(&path.at("table"), 100, 50);
    let lstm = Lstm::new(&path.at("lstm"), 10, 64);
    let attention = MultiHeadAttention::new(&path.at("attention"), 32, 4);
    let mut cx = Context::infer();
    let xs = g.zeros(f32([1, 400]));
    let rows = table.forward(g.zeros(i32([1])), &mut cx);
    let (h, _) = lstm.forward(g.zeros(f32([2, 1, 10])), None, &mut cx);
    let q = g.zeros(f32([1, 2, 32]));
    let a = attention.forward(q, q, q, Attention::new(), &mut cx);
    let sum = linear.forward(xs, &mut cx).sum() + rows.sum() + h.sum() + a.sum();
    let step = g.program(&[("sum", sum)]).compile(&Options::engine(Engine::Interp)).unwrap();
    let spread = |name: &str| {
        let values = step.params().get(name).unwrap().to_f64_vec();
        let square = values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64;
        (values.iter().fold(0f64, |m, x| m.max(x.abs())), square.sqrt())
    };
    // An even spread over +-b has the standard deviation b / sqrt(3).
    for (name, bound) in [
        ("linear.weight", 1.0 / 20.0),
        ("lstm.weight_hh_l0", 1.0 / 8.0),
        ("lstm.weight_ih_l0", 1.0 / 8.0),
        ("attention.in_proj_weight", (6.0f64 / 128.0).sqrt()),
        ("attention.out_proj.weight", 1.0 / 32f64.sqrt()),
    ] {
        let (largest, deviation) = spread(name);
        assert!(largest <= bound && largest > 0.99 * bound, "{name}: {largest}, {bound}");
        assert!((deviation / bound * 3f64.sqrt() - 1.0).abs() < 0.05, "{name}: {deviation}");
    }
    let (largest, deviation) = spread("table.weight");
    assert!(largest > 3.0 && (deviation - 1.0).abs() < 0.05, "{largest} {deviation}");
    assert_eq!(spread("attention.out_proj.bias"), (0.0, 0.0));
}

#[test]
fn seeds_and_names_choose_first_values() {
    let value = |seed: u64, name: &str| {
        let g = Builder::new();
        let layer = Linear::new(&Path::root(&g).seed(seed).at(name), 2, 2);
        let step = g.program(&[("w", layer.weight + 0.0)]).compile(&Options::engine(Engine::Interp)).unwrap();
        step.params().get(&format!("{name}.weight")).unwrap().to_f64_vec()
    };
    assert_eq!(value(1, "a"), value(1, "a"));
    assert_ne!(value(1, "a"), value(2, "a"));
    assert_ne!(value(1, "a"), value(1, "b"));
}

#[test]
fn dropout_draws_anew_in_each_step_and_not_in_inference() {
    for engine in engines() {
        let g = Builder::new();
        let path = Path::root(&g).seed(3);
        let x = g.input("x", f32([1000]));
        let mut cx = Context::train(&path);
        let dropout = Dropout::new(0.25);
        let (first, second) = (dropout.forward(x, &mut cx), dropout.forward(x, &mut cx));
        let program = g.program_with_updates(&[("first", first), ("second", second)], &cx.updates());
        let mut step = program.compile(&Options::engine(engine)).unwrap();
        let ones = Array::full(&f32([1000]), 1.0);
        let mut seen = Vec::new();
        for _ in 0..2 {
            for (_, array) in step.run(&[("x", &ones)]).unwrap().iter() {
                let kept = array.to_f64_vec().iter().filter(|&&x| x != 0.0).count();
                assert!((700..800).contains(&kept), "{kept}");
                assert!(array.to_f64_vec().iter().all(|&x| x == 0.0 || (x - 4.0 / 3.0).abs() < 1e-6));
                seen.push(array.clone());
            }
        }
        assert!((0..4).all(|i| (0..i).all(|j| seen[i] != seen[j])), "four different draws");
        assert_eq!(dropout.forward(x, &mut Context::infer()).id(), x.id());
    }
}

#[test]
#[should_panic(expected = "MultiHeadAttention: 5 heads do not divide 12 features")]
fn heads_that_do_not_divide_are_refused() {
    let g = Builder::new();
    let _ = MultiHeadAttention::new(&Path::root(&g), 12, 5);
}

#[test]
#[should_panic(expected = "Conv: 3 channels and 4 filters do not fall into 2 groups")]
fn groups_that_do_not_divide_are_refused() {
    let g = Builder::new();
    let _ = Conv::new(&Path::root(&g), 3, 4, [3], build::Conv::new().groups(2));
}

#[test]
fn a_state_dict_of_another_model_is_refused_as_a_whole() {
    let g = Builder::new();
    let layer = Linear::new(&Path::root(&g).at("fc"), 2, 1);
    let step = g.program(&[("w", layer.weight + 0.0)]).compile(&Options::engine(Engine::Interp)).unwrap();
    let before = step.params().get("fc.weight").unwrap();
    let state = [("fc.weight", Array::from([[1.0f32, 2.0, 3.0]])), ("head.weight", Array::from([1.0f32]))];
    let state: BTreeMap<String, Array> = state.map(|(name, array)| (name.to_owned(), array)).into();
    assert_eq!(
        load_state_dict(step.params(), &state).unwrap_err().to_string(),
        "the state dict does not fit the program's parameters:\n  not a parameter: head.weight\n  the parameters are: fc.weight\n  `fc.weight` is f32[1, 2], the array is f32[1, 3]"
    );
    assert_eq!(step.params().get("fc.weight").unwrap(), before);
}
