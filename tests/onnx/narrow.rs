//! Floats of 4, 6 and 8 bits: bit for bit as ONNX's reference has them, and where that leaves the specification, as the specification says.

use std::path::Path;

use cotangent::io::onnx::{Bindings, Imported, Model, OnnxType};
use cotangent::{Array, Engine, Options, RunError};

use super::nodes::check_archive;
use super::wire::{Graph, Message, Value, graph, input, node, with};

/// The types' numbers in files.
const TYPES: [i64; 8] = [17, 18, 19, 20, 23, 24, 27, 28];

#[test]
fn conversions_are_those_of_the_reference() {
    let count = check_archive(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/narrow.gz"));
    assert!(count > 70, "{count} cases");
}

fn cast(from: &str, to: &str, code: i64) -> Message {
    with(node("Cast", &[from], &[to]), &[("to", Value::Int(code))])
}

fn import(graph: &Graph, bindings: &Bindings) -> Imported {
    let model = Model::from_bytes(graph.model()).expect("the file is whole");
    model.import(bindings).unwrap_or_else(|e| panic!("{e}"))
}

fn run(imported: &Imported, inputs: &[(&str, &Array)]) -> Result<Vec<f64>, RunError> {
    let [first, second] = [Engine::Interp, Engine::Jit].map(|engine| {
        let mut compiled = imported.program().compile(&Options::engine(engine)).expect("it compiles");
        Ok(compiled.run(&inputs.to_vec())?.first().to_f64_vec())
    });
    let (first, second): (Vec<f64>, Vec<f64>) = (first?, second?);
    let bits = |list: &[f64]| list.iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect::<Vec<u64>>();
    assert_eq!(bits(&first), bits(&second));
    Ok(first)
}

/// What a cast to a type and back makes of numbers.
fn through(code: i64, attributes: &[(&str, Value<'_>)], x: &[f32]) -> Vec<f64> {
    let nodes = vec![with(cast("x", "a", code), attributes), cast("a", "y", 1)];
    let imported = import(&graph(nodes, vec![input("x", &[x.len() as i64])], "y"), &Bindings::new());
    run(&imported, &[("x", &Array::from(x.to_vec()))]).expect("it runs")
}

#[test]
fn powers_of_two_end_where_the_specification_says() {
    let (smallest, largest) = (2f64.powi(-127), 2f64.powi(127));
    let x = [0.0, f32::INFINITY, f32::NAN, f32::MAX, 2f32.powi(-127), 1.1 * 2f32.powi(-127), 2f32.powi(-140), 3.0];
    let kept = through(24, &[], &x);
    assert_eq!([kept[0], kept[1]], [smallest, largest]);
    assert!(kept[2].is_nan());
    assert_eq!(kept[3..], [largest, smallest, 2.0 * smallest, smallest, 4.0]);
    let down = through(24, &[("round_mode", Value::Text("down"))], &x);
    assert_eq!(down[3..], [largest, smallest, smallest, smallest, 2.0]);
    let nearest = [("round_mode", Value::Text("nearest")), ("saturate", Value::Int(0))];
    let lost = through(24, &nearest, &x);
    assert!(lost[..4].iter().all(|v| v.is_nan()), "{lost:?}");
    assert_eq!(lost[4..6], [smallest, smallest]);
    assert!(lost[6].is_nan());
    assert_eq!(lost[7], 4.0);
}

#[test]
fn what_has_no_nan_makes_zero_of_it() {
    for code in [23, 27, 28] {
        for saturate in [0, 1] {
            let y = through(code, &[("saturate", Value::Int(saturate))], &[f32::NAN, -f32::NAN, -0.0]);
            assert_eq!(y.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), [0, 0, (-0.0f64).to_bits()], "{code}");
        }
    }
}

#[test]
fn the_derivative_of_rounding_is_zero() {
    for code in TYPES {
        let nodes = vec![cast("x", "a", code), cast("a", "b", 1), node("Mul", &["b", "x"], &["y"])];
        let imported = import(&graph(nodes, vec![input("x", &[5])], "y"), &Bindings::new());
        let (g, x) = (imported.builder(), imported.tensor("x").expect("the input"));
        let [gradient] = g.grad(imported.tensor("y").expect("the result").sum(), [x]);
        let program = g.program(&[("gradient", gradient)]);
        let x = Array::from(vec![0.3f32, 1.0, -5.3, 1e9, 0.0]);
        // That of the product by its other operand.
        let rounded = through(code, &[], x.as_slice().expect("floats"));
        for engine in [Engine::Interp, Engine::Jit] {
            let mut compiled = program.compile(&Options::engine(engine)).expect("it compiles");
            assert_eq!(compiled.run(&[("x", &x)]).expect("it runs").first().to_f64_vec(), rounded, "{code}");
        }
    }
}

/// Packed, from the lowest bits on.
#[test]
fn constants_are_read_from_attributes() {
    let value = |dims: &[i64], bytes: &[u8]| {
        dims.iter().fold(Message::default(), |m, &d| m.int(1, d)).int(2, 23).bytes(9, bytes)
    };
    let constant = with(node("Constant", &[], &["a"]), &[("value", Value::Tensor(value(&[3], &[0x21, 0x0f])))]);
    let imported = import(&graph(vec![constant, cast("a", "y", 1)], vec![], "y"), &Bindings::new());
    assert_eq!(run(&imported, &[]).expect("it runs"), [0.5, 1.0, -6.0]);

    let filled = with(node("ConstantOfShape", &["n"], &["a"]), &[("value", Value::Tensor(value(&[1], &[0x03])))]);
    let mut filled = graph(vec![filled, node("Flatten", &["a"], &["b"]), cast("b", "y", 1)], vec![], "y");
    filled.initializers = vec![Message::default().int(1, 1).int(2, 7).text(8, "n").bytes(9, &2i64.to_le_bytes())];
    assert_eq!(run(&import(&filled, &Bindings::new()), &[]).expect("it runs"), [1.5, 1.5]);
}

/// An input of one element of type `code`.
fn coded_input(code: i64) -> Message {
    let shape = Message::default().message(1, &Message::default().int(1, 1));
    let tensor = Message::default().int(1, code).message(2, &shape);
    Message::default().text(1, "x").message(2, &Message::default().message(1, &tensor))
}

#[test]
fn ends_of_a_model_need_permission_and_are_rounded() {
    for code in TYPES {
        let graph = graph(vec![node("Identity", &["x"], &["y"])], vec![coded_input(code)], "y");
        let model = Model::from_bytes(graph.model()).expect("the file is whole");
        for bindings in [Bindings::new(), Bindings::new().hold_integers()] {
            let error = model.import(&bindings).expect_err("it is not allowed");
            assert!(error.is_unsupported() && error.to_string().contains("float"), "{error}");
        }
        let imported = import(&graph, &Bindings::new().hold_floats());
        assert_eq!(imported.element_type("y"), Some(OnnxType(code as i32)));
        let y = run(&imported, &[("x", &Array::from(vec![1.01f32]))]).expect("it runs");
        assert_eq!(y, [if code == 24 { 2.0 } else { 1.0 }], "{code}");
    }
}

#[test]
fn nothing_computes_with_them() {
    for operator in ["Add", "Mul", "Max", "Equal", "Less", "MatMul", "Relu", "MatMulInteger", "Einsum"] {
        let nodes = vec![cast("x", "a", 17), node(operator, &["a", "a"], &["b"]), cast("b", "y", 1)];
        let graph = graph(nodes, vec![input("x", &[2, 2])], "y");
        let model = Model::from_bytes(graph.model()).expect("the file is whole");
        let error = model.import(&Bindings::new()).expect_err("it is refused");
        assert!(error.is_unsupported() && error.to_string().contains("float8e4m3fn"), "{operator}: {error}");
    }
    // Powers of two have no zero to fill with, and no other type is mixed in.
    let zeros = vec![cast("x", "a", 24), node("Trilu", &["a"], &["b"]), cast("b", "y", 1)];
    let mixed = vec![cast("x", "a", 17), with(node("Concat", &["a", "x"], &["b"]), &[("axis", Value::Int(0))])];
    for nodes in [zeros, [mixed, vec![cast("b", "y", 1)]].concat()] {
        let model = Model::from_bytes(graph(nodes, vec![input("x", &[2, 2])], "y").model()).expect("it is whole");
        assert!(model.import(&Bindings::new()).expect_err("it is refused").is_unsupported());
    }
}
