//! Integers of types that there are none of here: taken inside of models, and at their ends by permission only.

use cotangent::io::onnx::{Bindings, ImportError, Imported, Model, OnnxType};
use cotangent::{Array, Engine, Options};

use super::wire::{Graph, Message, Value, graph, input, node, with};

const INT8: i64 = 3;

/// An input of element type `code`.
fn coded_input(name: &str, code: i64, extent: i64) -> Message {
    let shape = Message::default().message(1, &Message::default().int(1, extent));
    let tensor = Message::default().int(1, code).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

/// A tensor of element type `code` with these bytes.
fn coded(name: &str, code: i64, dims: &[i64], bytes: &[u8]) -> Message {
    dims.iter().fold(Message::default(), |m, &d| m.int(1, d)).int(2, code).text(8, name).bytes(9, bytes)
}

fn cast(from: &str, to: &str, code: i64) -> Message {
    with(node("Cast", &[from], &[to]), &[("to", Value::Int(code))])
}

fn import(graph: &Graph, bindings: &Bindings) -> Result<Imported, ImportError> {
    Model::from_bytes(graph.model()).expect("the file is whole").import(bindings)
}

fn run(imported: &Imported, inputs: &[(&str, &Array)]) -> Array {
    let [first, second] = [Engine::Interp, Engine::Jit].map(|engine| {
        let mut compiled = imported.program().compile(&Options::engine(engine)).expect("it compiles");
        compiled.run(&inputs.to_vec()).expect("it runs").first().clone()
    });
    assert_eq!(first, second);
    first
}

#[test]
fn numbers_wrap_at_casts_and_in_sums() {
    let through = |codes: &[i64], x: Vec<f32>| {
        let names: Vec<String> = (0..=codes.len()).map(|i| format!("v{i}")).collect();
        let mut nodes: Vec<Message> =
            codes.iter().enumerate().map(|(i, &code)| cast(&names[i], &names[i + 1], code)).collect();
        nodes.push(cast(&names[codes.len()], "y", 11));
        let imported = import(&graph(nodes, vec![input("v0", &[x.len() as i64])], "y"), &Bindings::new());
        run(&imported.unwrap_or_else(|e| panic!("{e}")), &[("v0", &Array::from(x))]).to_f64_vec()
    };
    assert_eq!(through(&[7, INT8], vec![127.0, 128.0, -129.0, 255.0, 256.0]), [127.0, -128.0, 127.0, -1.0, 0.0]);
    assert_eq!(through(&[7, 4], vec![-1.0, 65536.0, 65535.0]), [65535.0, 0.0, 65535.0]);
    assert_eq!(through(&[7, 5, 4], vec![-1.0, 32768.0]), [65535.0, 32768.0]);
    assert_eq!(through(&[7, INT8, 13], vec![-1.0, 5.0]), [18446744073709551616.0, 5.0]);
    assert_eq!(through(&[13], vec![1.5e19, 3.0]), [f64::from(1.5e19f32), 3.0]);

    let sum = node("Add", &["a", "a"], &["s"]);
    let imported = import(
        &graph(vec![cast("x", "a", INT8), sum, cast("s", "y", 1)], vec![input("x", &[2])], "y"),
        &Bindings::new(),
    );
    let y = run(&imported.expect("it is supported"), &[("x", &Array::from(vec![100.0f32, -3.0]))]);
    assert_eq!(y, Array::from(vec![-56.0f32, -6.0]));
}

#[test]
fn a_model_with_weights_in_bytes_is_a_model_like_others() {
    let attributes = [("axis", Value::Int(0))];
    let nodes = vec![
        with(node("DequantizeLinear", &["w", "scale", "zero"], &["f"]), &attributes),
        node("Mul", &["x", "f"], &["p"]),
        with(node("QuantizeLinear", &["p", "scale", "zero"], &["q"]), &attributes),
        with(node("DequantizeLinear", &["q", "scale", "zero"], &["y"]), &attributes),
    ];
    let mut graph = graph(nodes, vec![input("x", &[2])], "y");
    let scales: Vec<u8> = [0.5f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    graph.initializers = vec![
        coded("w", INT8, &[2], &[0xfe, 3]),
        coded("scale", 1, &[2], &scales),
        coded("zero", INT8, &[2], &[0, 0xff]),
    ];
    let imported = import(&graph, &Bindings::new()).unwrap_or_else(|e| panic!("{e}"));
    // (-2 - 0) / 2 and (3 + 1) * 2; what is beyond the range of bytes ends at its edge.
    let y = run(&imported, &[("x", &Array::from(vec![3.0f32, 1000.0]))]);
    assert_eq!(y, Array::from(vec![-3.0f32, 256.0]));
}

#[test]
fn ends_of_a_model_need_permission_and_tell_their_type() {
    let sum = graph(vec![node("Add", &["x", "x"], &["y"])], vec![coded_input("x", INT8, 2)], "y");
    assert!(import(&sum, &Bindings::new()).expect_err("the input is of bytes").is_unsupported());
    let made = graph(vec![cast("x", "y", INT8)], vec![input("x", &[2])], "y");
    let error = import(&made, &Bindings::new()).expect_err("the result is of bytes");
    assert!(error.is_unsupported() && error.to_string().contains("int8"), "{error}");

    let imported = import(&sum, &Bindings::new().hold_integers()).expect("it is allowed");
    for name in ["x", "y"] {
        assert_eq!(imported.element_type(name).map(OnnxType::name), Some("int8"));
    }
    // 228 is -28 as a byte.
    let y = run(&imported, &[("x", &Array::from(vec![228i32, 100]))]);
    assert_eq!(y, Array::from(vec![-56i32, -56]));
}

#[test]
fn operators_that_do_not_know_them_refuse_them() {
    let nodes = vec![cast("x", "a", INT8), node("Einsum", &["a"], &["b"]), cast("b", "y", 1)];
    let error = import(&graph(nodes, vec![input("x", &[2])], "y"), &Bindings::new()).expect_err("it is refused");
    assert!(error.is_unsupported() && error.to_string().contains("int8"), "{error}");
    let mixed = vec![cast("x", "a", INT8), node("Add", &["x", "a"], &["b"]), cast("b", "y", 1)];
    assert!(import(&graph(mixed, vec![input("x", &[2])], "y"), &Bindings::new()).is_err());
    // What holds a type in numbers is not of it.
    for operator in ["Add", "Max", "Div", "Less", "Equal"] {
        let nodes =
            vec![cast("x", "a", INT8), cast("x", "w", 6), node(operator, &["a", "w"], &["b"]), cast("b", "y", 1)];
        let error = import(&graph(nodes, vec![input("x", &[2])], "y"), &Bindings::new()).expect_err("two types");
        assert!(error.to_string().contains("int8 and i32"), "{operator}: {error}");
    }
    for operator in ["Max", "Min", "Clip"] {
        let nodes = vec![cast("x", "a", 13), cast("x", "w", 7), node(operator, &["a", "w"], &["b"]), cast("b", "y", 1)];
        let error = import(&graph(nodes, vec![input("x", &[])], "y"), &Bindings::new()).expect_err("two types");
        assert!(error.to_string().contains("uint64 and i64"), "{operator}: {error}");
    }
}

/// What the file kept in another file comes into the new one as it is.
#[test]
fn data_of_bytes_in_other_files_go_into_the_new_one() {
    let folder = std::env::temp_dir().join(format!("cotangent-held-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("weights"), [9, 0xfe, 3]).expect("a file");
    let entry = |key: &str, value: &str| Message::default().text(1, key).text(2, value);
    let elsewhere = Message::default().int(1, 2).int(2, INT8).text(8, "w").int(14, 1);
    let elsewhere = elsewhere.message(13, &entry("location", "weights")).message(13, &entry("offset", "1"));
    let mut graph = graph(vec![cast("w", "f", 1), node("Mul", &["x", "f"], &["y"])], vec![input("x", &[2])], "y");
    graph.initializers = vec![elsewhere];
    std::fs::write(folder.join("model.onnx"), graph.model()).expect("a file");
    let model = Model::read(folder.join("model.onnx")).expect("a model");
    let whole =
        Model::from_bytes(model.with_initializers([]).expect("the data are there").to_bytes()).expect("a model");
    std::fs::remove_dir_all(&folder).expect("the folder was made");
    let imported = whole.import(&Bindings::new()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(run(&imported, &[("x", &Array::from(vec![1.0f32, 2.0]))]), Array::from(vec![-2.0f32, 6.0]));
}

/// Numbers in the field of integers of 32 bits, which the type of the tensor does not have.
#[test]
fn numbers_beyond_their_type_are_errors() {
    let import_of = |code: i64, number: i64| {
        let mut graph = graph(vec![cast("w", "y", 1)], Vec::new(), "y");
        graph.initializers = vec![Message::default().int(1, 1).int(2, code).text(8, "w").int(5, number)];
        Model::from_bytes(graph.model()).expect("the file is whole").import(&Bindings::new())
    };
    for (code, low, high) in
        [(3, -128, 127), (4, 0, 65535), (5, -32768, 32767), (17, 0, 255), (21, 0, 255), (27, 0, 63)]
    {
        for number in [low, high] {
            assert!(import_of(code, number).is_ok(), "{code}: {number}");
        }
        for number in [low - 1, high + 1] {
            let error = import_of(code, number).expect_err("it is out of range").to_string();
            assert!(error.contains(&number.to_string()) && error.contains("out of the range"), "{code}: {error}");
        }
    }
}

/// Numbers with the highest bit set are the largest, in quotients and where numbers are compared and chosen.
#[test]
fn numbers_of_64_bits_have_no_sign() {
    const TOP: u64 = 1 << 63;
    let a = [u64::MAX, TOP, 5, TOP + 3, 7, u64::MAX, TOP + 1, 0];
    let b = [3, TOP + 1, 0, TOP + 3, 2, 1, 63, TOP];
    let result = |operator: &str, attributes: &[(&str, Value<'_>)], whole: bool| {
        let mut graph = graph(vec![with(node(operator, &["a", "b"], &["y"]), attributes)], vec![], "y");
        let bytes = |numbers: [u64; 8]| numbers.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        graph.initializers = vec![coded("a", 13, &[8], &bytes(a)), coded("b", 13, &[8], &bytes(b))];
        let imported = import(&graph, &Bindings::new().hold_integers()).unwrap_or_else(|e| panic!("{operator}: {e}"));
        let expected = if whole { "uint64" } else { "bool" };
        assert_eq!(imported.element_type("y").map(OnnxType::name), Some(expected), "{operator}");
        run(&imported, &[])
    };
    let numbers = |f: fn(u64, u64) -> u64| {
        let numbers: Vec<i64> = a.iter().zip(b).map(|(&a, b)| f(a, b) as i64).collect();
        Array::from(numbers)
    };
    assert_eq!(result("Div", &[], true), numbers(|a, b| a.checked_div(b).unwrap_or(0)));
    assert_eq!(result("Mod", &[], true), numbers(|a, b| a.checked_rem(b).unwrap_or(a)));
    assert_eq!(result("Max", &[], true), numbers(u64::max));
    assert_eq!(result("Min", &[], true), numbers(u64::min));
    let less: Vec<bool> = a.iter().zip(b).map(|(&a, b)| a < b).collect();
    assert_eq!(result("Less", &[], false), Array::from(less));
    let right = [("direction", Value::Text("RIGHT"))];
    assert_eq!(
        result("BitShift", &right, true),
        numbers(|a, b| u32::try_from(b).ok().and_then(|b| a.checked_shr(b)).unwrap_or(0))
    );
}
