//! What errors and dumps of imported models name: the nodes of the model, not lines of the importer.

use cotangent::io::onnx::{Bindings, Model};
use cotangent::{Array, DType, Engine, Options, RunError};

use super::wire::{Graph, Message, Value, graph, input, node, tensor, typed_input, with};

/// A program that chooses rows of `w` by the input `i`.
fn choosing(named: &str) -> Graph {
    let mut gather = node("Gather", &["w", "i"], &["rows"]);
    if !named.is_empty() {
        gather = gather.text(3, named);
    }
    let norm = with(node("LpNormalization", &["rows"], &["y"]).text(3, "norm"), &[("axis", Value::Int(-1))]);
    let mut graph = graph(vec![gather, norm], vec![typed_input("i", DType::I64, &[2])], "y");
    graph.initializers = vec![tensor("w", &[3, 2], &[0; 24])];
    graph
}

fn import(bytes: Vec<u8>) -> cotangent::io::onnx::Imported {
    let imported = Model::from_bytes(bytes).expect("the file is whole").import(&Bindings::new());
    imported.unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn errors_of_a_run_name_the_node() {
    for (named, told) in [("/embed/Gather", "(Gather \"/embed/Gather\")"), ("", "(Gather \"rows\")")] {
        let program = import(choosing(named).model()).program();
        for engine in [Engine::Interp, Engine::Jit] {
            let mut compiled = program.compile(&Options::engine(engine)).expect("it compiles");
            let error = compiled.run(&[("i", &Array::from([0i64, 7]))]).expect_err("there are three rows");
            assert!(
                matches!(error, RunError::Index { value: 7, extent: 3, .. }) && error.to_string().contains(told),
                "{error}"
            );
        }
    }
}

#[test]
fn errors_of_labels_name_the_loss() {
    let loss = node("SoftmaxCrossEntropyLoss", &["x", "labels"], &["y"]).text(3, "loss");
    let inputs = vec![input("x", &[2, 3]), typed_input("labels", DType::I64, &[2])];
    let program = import(graph(vec![loss], inputs, "y").model()).program();
    let mut compiled = program.compile(&Options::default()).expect("it compiles");
    let x = Array::from([[0.0f32; 3]; 2]);
    let error = compiled.run(&[("x", &x), ("labels", &Array::from([0i64, 3]))]).expect_err("there are three classes");
    assert!(error.to_string().contains("SoftmaxCrossEntropyLoss \"loss\""), "{error}");
}

/// The origins of a text form, behind the semicolons.
fn origins(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_once("  ; ")).map(|(_, origin)| origin).collect()
}

#[test]
fn every_line_of_the_text_form_names_its_node() {
    let imported = import(choosing("/embed/Gather").model());
    let text = imported.program().graph.to_string();
    let told = origins(&text);
    assert_eq!(told.len(), text.lines().filter(|line| line.starts_with('%')).count(), "{text}");
    for whole in ["input \"i\"", "initializer \"w\"", "Gather \"/embed/Gather\"", "LpNormalization \"norm\" in(norm)"] {
        assert!(told.contains(&whole), "{whole} in {text}");
    }
    assert!(!text.contains(".rs:"), "{text}");
    let again = cotangent::graph::parse(&text).expect("the text form is read back").to_string();
    assert_eq!(again, text);
    // What is appended has its own line.
    let g = imported.builder();
    let y = imported.outputs()[0].1;
    let loss = y.sum();
    let [gradient] = g.grad(loss, [imported.tensor("w").expect("it is a parameter")]);
    let text = g.program(&[("loss", loss), ("dw", gradient)]).graph.to_string();
    assert!(text.contains("origins.rs:") && text.contains("Gather \"/embed/Gather\" vjp("), "{text}");
}

#[test]
fn nodes_of_functions_are_named_behind_their_calls() {
    let body = node("Exp", &["a"], &["b"]).text(3, "inner");
    let function = Message::default().text(1, "Grow").text(4, "a").text(5, "b").message(7, &body).text(10, "own");
    let call = node("Grow", &["x"], &["y"]).text(3, "outer").text(7, "own");
    let mut bytes = graph(vec![call], vec![input("x", &[2])], "y").model();
    bytes.extend(Message::default().message(25, &function).0);
    let text = import(bytes).program().graph.to_string();
    assert!(origins(&text).contains(&"Exp \"outer/inner\""), "{text}");
}

#[test]
fn mistakes_with_imported_tensors_name_their_nodes() {
    let imported = import(choosing("/embed/Gather").model());
    let rows = imported.tensor("rows").expect("it is a value");
    let misuse = || rows + imported.builder().zeros(cotangent::graph::types::f32([5]));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(misuse)).expect_err("the shapes differ");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("of Gather \"/embed/Gather\""), "{text}");
}
