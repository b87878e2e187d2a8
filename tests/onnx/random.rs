//! Random numbers: equal in every run and on both engines, others in every node, and distributed as asked for.

use cotangent::io::onnx::{Bindings, Model};
use cotangent::{Array, Engine, Options};

use super::wire::{Message, Value, graph, input, node, with};

/// The results of nodes that draw, on both engines and twice, which agree.
fn drawn(nodes: Vec<Message>, outputs: &[&'static str], x: Option<&Array>) -> Vec<Array> {
    let inputs = x.iter().map(|x| input("x", &x.shape().iter().map(|&d| d as i64).collect::<Vec<i64>>())).collect();
    let mut graph = graph(nodes, inputs, "y");
    graph.outputs = outputs.to_vec();
    let imported = Model::from_bytes(graph.model()).expect("a model").import(&Bindings::new());
    let program = imported.unwrap_or_else(|e| panic!("{e}")).program();
    let given: Vec<(&str, &Array)> = x.map(|x| ("x", x)).into_iter().collect();
    let runs = [Engine::Interp, Engine::Jit, Engine::Jit].map(|engine| {
        let mut compiled = program.compile(&Options::engine(engine)).expect("it compiles");
        let outputs = compiled.run(&given).expect("it runs");
        outputs.iter().map(|(_, array)| array.clone()).collect::<Vec<Array>>()
    });
    assert!(runs[0] == runs[1] && runs[1] == runs[2]);
    runs[0].clone()
}

fn moments(array: &Array) -> (f64, f64) {
    let all = array.to_f64_vec();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    (mean, (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt())
}

#[test]
fn numbers_are_distributed_as_asked_for() {
    let shape = || ("shape", Value::Ints(&[100, 100]));
    let nodes = vec![
        with(node("RandomNormal", &[], &["n"]), &[shape(), ("mean", Value::Float(3.0)), ("scale", Value::Float(0.5))]),
        with(node("RandomUniform", &[], &["u"]), &[shape(), ("low", Value::Float(-2.0)), ("high", Value::Float(4.0))]),
    ];
    let arrays = drawn(nodes, &["n", "u"], None);
    let ((mean, deviation), (middle, spread)) = (moments(&arrays[0]), moments(&arrays[1]));
    assert!((mean - 3.0).abs() < 0.03 && (deviation - 0.5).abs() < 0.02, "{mean} {deviation}");
    assert!((middle - 1.0).abs() < 0.1 && (spread - 6.0 / 12f64.sqrt()).abs() < 0.1, "{middle} {spread}");
    assert!(arrays[1].to_f64_vec().iter().all(|v| (-2.0..4.0).contains(v)));
}

#[test]
fn nodes_draw_apart_unless_their_seeds_are_equal() {
    let normal = |name: &str, seed: Option<f32>| {
        let seed = seed.map(|seed| ("seed", Value::Float(seed)));
        let attributes: Vec<(&str, Value<'_>)> = [("shape", Value::Ints(&[8]))].into_iter().chain(seed).collect();
        with(node("RandomNormal", &[], &[name]), &attributes)
    };
    let nodes = vec![
        normal("a", None),
        normal("b", None),
        normal("c", Some(1.5)),
        normal("d", Some(1.5)),
        normal("e", Some(2.5)),
    ];
    let arrays = drawn(nodes, &["a", "b", "c", "d", "e"], None);
    assert_eq!(arrays[2], arrays[3]);
    assert!(arrays[0] != arrays[1] && arrays[1] != arrays[2] && arrays[3] != arrays[4]);
}

#[test]
fn classes_are_drawn_by_their_weights() {
    let x = Array::from([[0.0f32, f32::NEG_INFINITY, 0.0], [0.25f32.ln(), 0.75f32.ln(), f32::NEG_INFINITY]]);
    let drawing = with(node("Multinomial", &["x"], &["y"]), &[("sample_size", Value::Int(2000))]);
    let y = drawn(vec![drawing], &["y"], Some(&x)).remove(0);
    assert_eq!((y.shape()[..].to_vec(), y.dtype()), (vec![2, 2000], cotangent::DType::I32));
    let share = |row: usize, class: f64| {
        let drawn = &y.to_f64_vec()[row * 2000..][..2000];
        drawn.iter().filter(|&&v| v == class).count() as f64 / 2000.0
    };
    assert_eq!((share(0, 1.0), share(1, 2.0)), (0.0, 0.0));
    assert!((share(0, 2.0) - 0.5).abs() < 0.05 && (share(1, 1.0) - 0.75).abs() < 0.05);
}

#[test]
fn drawn_like_others_and_with_probabilities() {
    let like = [("low", Value::Float(-1.0)), ("high", Value::Float(3.0))];
    let nodes = vec![
        with(node("RandomUniformLike", &["x"], &["u"]), &like),
        with(node("RandomUniformLike", &["x"], &["h"]), &[("dtype", Value::Int(10))]),
        node("Bernoulli", &["x"], &["b"]),
        with(node("Bernoulli", &["x"], &["i"]), &[("dtype", Value::Int(7)), ("seed", Value::Float(3.0))]),
        with(node("Bernoulli", &["x"], &["t"]), &[("dtype", Value::Int(9)), ("seed", Value::Float(3.0))]),
    ];
    // Three probabilities in three thousands of rows each.
    let x = Array::new([3, 3000], (0..9000).map(|i| [0.0f32, 0.3, 1.0][i / 3000]).collect()).expect("it fits");
    let arrays = drawn(nodes, &["u", "h", "b", "i", "t"], Some(&x));
    let (middle, spread) = moments(&arrays[0]);
    assert!((middle - 1.0).abs() < 0.05 && (spread - 4.0 / 12f64.sqrt()).abs() < 0.05, "{middle} {spread}");
    assert_eq!(arrays[1].dtype(), cotangent::DType::F16);
    let kept: Vec<f64> = arrays[2].to_f64_vec().chunks(3000).map(|row| row.iter().sum::<f64>() / 3000.0).collect();
    assert!(kept[0] == 0.0 && (kept[1] - 0.3).abs() < 0.03 && kept[2] == 1.0, "{kept:?}");
    assert_eq!([arrays[3].dtype(), arrays[4].dtype()], [cotangent::DType::I64, cotangent::DType::Bool]);
    assert_eq!(arrays[3].to_f64_vec(), arrays[4].to_f64_vec());
    assert_ne!(arrays[2].to_f64_vec(), arrays[3].to_f64_vec());
}
