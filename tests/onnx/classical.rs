//! Classical machine learning where onnxruntime and the specification differ, and quantized products that do not fit.

use cotangent::io::onnx::{Bindings, ImportError, Model};
use cotangent::{Array, DType, Engine, Options};

use super::wire::{Graph, Message, Value, graph, input, node, typed_input, with};

fn import_error(graph: &Graph) -> ImportError {
    match Model::from_bytes(graph.model()).expect("the file is whole").import(&Bindings::new()) {
        Ok(_) => panic!("it is refused"),
        Err(error) => error,
    }
}

/// The results of a node of one operand on both engines.
fn run(node: Message, outputs: Vec<&'static str>, operand: Message, x: &Array) -> Vec<Vec<f64>> {
    let graph = Graph { outputs, ..graph(vec![node.text(7, "ai.onnx.ml")], vec![operand], "y") };
    let model = Model::from_bytes(graph.model()).expect("the file is whole");
    let imported = model.import(&Bindings::new()).expect("it is supported");
    let [first, second] = [Engine::Interp, Engine::Jit].map(|engine| {
        let mut compiled = imported.program().compile(&Options::engine(engine)).expect("it compiles");
        let results = compiled.run(&[("x", x)]).expect("it runs");
        graph.outputs.iter().map(|name| results.get(name).expect("it is there").to_f64_vec()).collect::<Vec<_>>()
    });
    assert_eq!(first, second);
    first
}

/// The specification says so from version 4 on, and the reference evaluator computes it; onnxruntime takes the first.
#[test]
fn of_equal_keys_the_last_counts() {
    let attributes = [
        ("keys_floats", Value::Floats(&[1.0, 2.0, 1.0])),
        ("values_floats", Value::Floats(&[10.0, 20.0, 30.0])),
        ("default_float", Value::Float(-7.0)),
    ];
    let x = Array::from(vec![1.0f32, 2.0, 3.0]);
    let encoder = with(node("LabelEncoder", &["x"], &["y"]), &attributes);
    assert_eq!(run(encoder, vec!["y"], input("x", &[3]), &x), [[30.0, 20.0, -7.0]]);
}

/// One row of coefficients with `SOFTMAX`: what the reference evaluator gives. onnxruntime leaves these two scores as they are.
#[test]
fn softmax_of_one_row_of_coefficients() {
    let attributes = [
        ("coefficients", Value::Floats(&[1.0])),
        ("intercepts", Value::Floats(&[0.0])),
        ("classlabels_ints", Value::Ints(&[5, 9])),
        ("post_transform", Value::Text("SOFTMAX")),
    ];
    let x = Array::new([4, 1], vec![-2.0f32, 0.0, 0.2, 2.0]).expect("it fits");
    let classifier = with(node("LinearClassifier", &["x"], &["y", "z"]), &attributes);
    let results = run(classifier, vec!["y", "z"], input("x", &[4, 1]), &x);
    assert_eq!(results[0], [5.0, 5.0, 9.0, 9.0]);
    let expected = [0.98201376, 0.01798621, 0.5, 0.5, 0.40131232, 0.59868765, 0.01798621, 0.98201376];
    assert_eq!(results[1].len(), expected.len());
    assert!(results[1].iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-6), "{:?}", results[1]);
}

#[test]
fn an_export_without_dictionaries_is_proposed() {
    let attributes = [("classlabels_int64s", Value::Ints(&[0, 1]))];
    let map = with(node("ZipMap", &["x"], &["y"]).text(7, "ai.onnx.ml"), &attributes);
    let error = import_error(&graph(vec![map], vec![input("x", &[3, 2])], "y"));
    assert!(error.is_unsupported() && error.to_string().contains("options={'zipmap': False}"), "{error}");
}

#[test]
fn quantized_products_that_do_not_fit() {
    let inputs = || {
        [
            ("a", DType::U8, &[4, 6][..]),
            ("b", DType::U8, &[6, 5]),
            ("scale", DType::F32, &[]),
            ("zero", DType::U8, &[]),
            ("scales", DType::F32, &[3]),
            ("c", DType::I32, &[3]),
            ("f", DType::F32, &[5]),
        ]
        .map(|(name, dtype, dims)| typed_input(name, dtype, dims))
        .to_vec()
    };
    let (s, z) = ("scale", "zero");
    let cases: [(&[&str], &str); 6] = [
        (&["a", s, z, "b", "scales", z], "operand 4 is f32[3], expected one number, or 5 for the columns"),
        (&["a", "scales", z, "b", s, z], "operand 1 is f32[3], expected one number"),
        (&["a", s, z, "b", s, z, "f"], "operand 6 is f32[5], expected i32"),
        (&["a", s, z, "b", s, z, "", s], "operand 7, the scale of the result, without operand 8"),
        (&["a", s, z, "b", s, z, "", "", z], "operand 8, the zero point of the result, without operand 7"),
        (&["a", s, z, s, s, z], "operand 3 has the shape [], expected a matrix"),
    ];
    for (operands, expected) in cases {
        let product = node("QGemm", operands, &["y"]).text(7, "com.microsoft");
        let error = import_error(&graph(vec![product], inputs(), "y")).to_string();
        assert!(error.contains(expected), "{operands:?}: {error}");
    }
    let product = node("QGemm", &["a", s, z, "b", s, z, "c"], &["y"]).text(7, "com.microsoft");
    assert!(!import_error(&graph(vec![product], inputs(), "y")).is_unsupported());
}
