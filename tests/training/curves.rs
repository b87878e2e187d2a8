//! Losses of seven small models in 20 steps, against PyTorch's, from the same first values under the same names. `make_curves.py` writes the file that is read
//! here.

use std::collections::BTreeMap;

use cotangent::build;
use cotangent::data;
use cotangent::nn::{Context, Conv, Embedding, Linear, Module, Path, Sequential, TransformerEncoderLayer};

use cotangent::prelude::*;

use crate::engines::engines;

#[derive(Default)]
struct Model {
    name: String,
    inputs: BTreeMap<String, Array>,
    params: BTreeMap<String, Array>,
    losses: Vec<f64>,
}

fn array(text: &str) -> Array {
    let (ty, words) = text.split_once(']').unwrap();
    let (_, dims) = ty.split_once('[').unwrap();
    let shape: Vec<usize> = dims.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect();
    Array::new(shape, words.split_whitespace().map(|w| w.parse::<f32>().unwrap()).collect()).unwrap()
}

fn models() -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for line in include_str!("curves.txt").lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "model" {
            models.push(Model { name: rest.to_owned(), ..Model::default() });
            continue;
        }
        let model = models.last_mut().unwrap();
        let named = || rest.split_once(' ').map(|(name, text)| (name.to_owned(), array(text))).unwrap();
        match word {
            "in" => model.inputs.extend([named()]),
            "param" => model.params.extend([named()]),
            _ => model.losses = rest.split(' ').map(|w| w.parse().unwrap()).collect(),
        }
    }
    models
}

/// Linear layers of these widths with ReLU between them.
fn dense<'g>(path: &Path<'g>, widths: &[usize]) -> Sequential<'g> {
    let mut net = Sequential::new(path);
    for (i, pair) in widths.windows(2).enumerate() {
        if i > 0 {
            net = net.then(|x| x.relu());
        }
        net = net.add(|path| Linear::new(path, pair[0], pair[1]));
    }
    net
}

fn convnet<'g>(path: &Path<'g>, x: Tensor<'g>, cx: &mut Context<'g>) -> Tensor<'g> {
    let same = build::Conv::new().padding(1);
    let x = x.reshape([50, 1, 8, 8]);
    let x = Conv::new(&path.at("conv1"), 1, 4, [3, 3], same.clone()).forward(x, cx).relu().max_pool(&Pool::new(2));
    let x = Conv::new(&path.at("conv2"), 4, 8, [3, 3], same).forward(x, cx).relu().max_pool(&Pool::new(2));
    Linear::new(&path.at("fc"), 32, 10).forward(x.flatten(1..), cx)
}

fn transformer<'g>(path: &Path<'g>, ids: Tensor<'g>, cx: &mut Context<'g>) -> Tensor<'g> {
    let position = path.param("position", init::zeros([16, 16]));
    let mut x = Embedding::new(&path.at("embedding"), 61, 16).forward(ids, cx) + position;
    for i in 0..2 {
        let layer = TransformerEncoderLayer::new(&path.at("layers").at(i), 16, 2, 32).dropout(0.0);
        x = layer.forward_with(x, Attention::new().causal(), cx);
    }
    Linear::new(&path.at("head"), 16, 61).forward(x, cx)
}

/// The training step of a model.
fn step_of<'g>(g: &'g Builder, name: &str) -> cotangent::train::TrainStep<'g> {
    let path = Path::root(g);
    let cx = &mut Context::train(&path);
    let digits = || (g.input("x", f32([50, 64])), g.input("y", i32([50])));
    match name {
        "softmax" | "relu" | "mlp" | "convnet" => {
            let (x, y) = digits();
            let logits = match name {
                "softmax" => dense(&path, &[64, 10]).forward(x, cx),
                "relu" => dense(&path, &[64, 32, 10]).forward(x, cx),
                "mlp" => dense(&path, &[64, 32, 32, 32, 10]).forward(x, cx),
                _ => convnet(&path, x, cx),
            };
            let loss = logits.cross_entropy(y).mean();
            match name {
                "mlp" => Adam::new(6e-3).minimize(loss),
                "convnet" => Sgd::new(0.15).momentum(0.9).minimize(loss),
                _ => Sgd::new(0.5).minimize(loss),
            }
        }
        "transformer" => {
            let (x, y) = (g.input("x", i32([8, 16])), g.input("y", i32([8, 16])));
            Adam::new(2e-3).minimize(transformer(&path, x, cx).cross_entropy(y).mean())
        }
        "polynomial" => {
            let (x, y) = (g.input("x", f32([40, 5])), g.input("y", f32([40, 1])));
            Sgd::new(0.3).minimize(dense(&path, &[5, 1]).forward(x, cx).mse(y).mean())
        }
        "circles" => {
            let (x, y) = (g.input("x", f32([60, 2])), g.input("y", f32([60, 1])));
            let net = Sequential::new(&path).add(|path| Linear::new(path, 2, 16)).then(|x| x.tanh());
            let logits = net.add(|path| Linear::new(path, 16, 1)).forward(x, cx);
            AdamW::new(0.05).minimize(logits.bce_with_logits(y).mean())
        }
        _ => panic!("`{name}` is no model"),
    }
}

/// The inputs of each of 20 steps.
fn batches(model: &Model) -> Vec<[Array; 2]> {
    match &*model.name {
        "transformer" => {
            let text = data::coriolanus();
            let window = |at: usize| Array::new([8, 16], text.codes()[at..at + 128].to_vec()).unwrap();
            (0..20).map(|i| [window(i * 128), window(i * 128 + 1)]).collect()
        }
        "polynomial" | "circles" => (0..20).map(|_| ["x", "y"].map(|name| model.inputs[name].clone())).collect(),
        _ => {
            let train = data::digits().train.flattened();
            train.batches(50).take(20).map(|(xs, ys)| [xs.to_array(), ys.to_array()]).collect()
        }
    }
}

#[test]
fn losses_are_pytorchs() {
    let models = models();
    assert_eq!(models.len(), 7);
    for model in &models {
        let batches = batches(model);
        for engine in engines() {
            let g = Builder::new();
            let mut step = step_of(&g, &model.name).compile(&Options::engine(engine)).unwrap();
            for (name, value) in &model.params {
                step.params().set(name, value).unwrap();
            }
            for (i, ([x, y], want)) in batches.iter().zip(&model.losses).enumerate() {
                let got: f32 = step.run(&[("x", x), ("y", y)]).unwrap().scalar().unwrap();
                let error = (f64::from(got) - want).abs() / want;
                assert!(error <= 1e-4, "{} {engine:?} step {i}: {got} instead of {want}", model.name);
            }
            assert_eq!((batches.len(), model.losses.len()), (20, 20));
        }
    }
}
