//! Indices out of range: an error of the import where they are known, of the run where an input holds them.

use cotangent::io::onnx::{Bindings, ImportError, Model};
use cotangent::{Array, Engine, Options, RunError};

use super::wire::{Graph, Message, Value, graph, input, node, typed_input, with};

/// A tensor of 64-bit integers.
fn ints(name: &str, dims: &[i64], values: &[i64]) -> Message {
    let message = dims.iter().fold(Message::default(), |m, &d| m.int(1, d)).int(2, 7).text(8, name);
    message.bytes(9, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

fn import(graph: &Graph) -> Result<cotangent::io::onnx::Imported, ImportError> {
    Model::from_bytes(graph.model()).expect("the file is whole").import(&Bindings::new())
}

#[test]
fn known_indices_out_of_range_are_refused_by_name_value_and_extent() {
    let of = |operator: &str, dims: &[i64], values: &[i64], operands: &[&str]| {
        let named = with(node(operator, operands, &["y"]).text(3, "choice"), &[]);
        let inputs = vec![input("x", &[3, 4]), input("u", &[2]), input("rows", &[2, 1])];
        let mut graph = graph(vec![named], inputs, "y");
        graph.initializers = vec![ints("i", dims, values)];
        import(&graph)
    };
    type Case<'a> = (&'a str, &'a [i64], &'a [i64], &'a [&'a str], i64, i64);
    let cases: [Case<'_>; 6] = [
        ("Gather", &[2], &[0, 3], &["x", "i"], 3, 3),
        ("Gather", &[2], &[-4, 2], &["x", "i"], -4, 3),
        ("GatherElements", &[2, 1], &[2, 7], &["x", "i"], 7, 3),
        ("GatherND", &[2, 2], &[2, 3, 1, 4], &["x", "i"], 4, 4),
        ("ScatterND", &[2, 2], &[2, 3, -5, 0], &["x", "i", "u"], -5, 3),
        ("ScatterElements", &[2, 1], &[0, 3], &["x", "i", "rows"], 3, 3),
    ];
    for (operator, dims, values, operands, value, extent) in cases {
        let error = of(operator, dims, values, operands).expect_err(operator);
        let ImportError::Node { node, operator: named, what } = &error else { panic!("{operator}: {error}") };
        assert_eq!((&**node, &**named), ("choice", operator));
        assert!(what.contains(&format!("index {value} ")) && what.contains(&format!("{extent} elements")), "{what}");
    }
    assert!(of("Gather", &[2], &[-3, 2], &["x", "i"]).is_ok());
    assert!(of("GatherND", &[2, 2], &[-3, -4, 2, 3], &["x", "i"]).is_ok());
    assert!(of("ScatterND", &[2, 2], &[-3, -4, 2, 3], &["x", "i", "u"]).is_ok());
}

#[test]
fn indices_that_follow_from_shapes_are_known() {
    let nodes = vec![node("Shape", &["x"], &["s"]), node("Gather", &["s", "i"], &["y"])];
    let mut graph = graph(nodes, vec![input("x", &[3, 4])], "y");
    graph.initializers = vec![ints("i", &[], &[2])];
    assert!(import(&graph).expect_err("there are two extents").to_string().contains("index 2 is out of range"));
}

/// Runs a node that chooses from `x`, `[3, 4]`, by the input `i`.
fn run(operator: &str, attributes: &[(&str, Value<'_>)], index: &Array) -> Result<(), RunError> {
    let dims: Vec<i64> = index.shape().iter().map(|&d| d as i64).collect();
    let chooses = with(node(operator, &["x", "i"], &["y"]), attributes);
    let imported =
        import(&graph(vec![chooses], vec![input("x", &[3, 4]), typed_input("i", index.dtype(), &dims)], "y"));
    let program = imported.unwrap_or_else(|e| panic!("{e}")).program();
    let x = Array::new([3, 4], vec![1.0f32; 12]).expect("it fits");
    let runs = [Engine::Interp, Engine::Jit].map(|engine| {
        let mut compiled = program.compile(&Options::engine(engine)).expect("it compiles");
        compiled.run(&[("x", &x), ("i", index)]).map(|_| ())
    });
    let [first, second] = runs;
    assert_eq!(first.is_ok(), second.is_ok());
    first
}

#[test]
fn given_indices_out_of_range_are_errors_of_the_run() {
    let index = |dims: &[usize], values: Vec<i64>| Array::new(dims, values).expect("it fits");
    let refused = |operator: &str, attributes: &[(&str, Value<'_>)], array: &Array, number: i64| match run(
        operator, attributes, array,
    ) {
        Err(RunError::Index { name, value, .. }) => assert_eq!((&*name, value), ("i", number), "{operator}"),
        other => panic!("{operator}: {other:?}"),
    };
    let last = [("axis", Value::Int(-1))];
    for narrow in [false, true] {
        let of = |dims: &[usize], values: Vec<i64>| {
            if narrow {
                Array::new(dims, values.into_iter().map(|v| v as i32).collect()).expect("it fits")
            } else {
                index(dims, values)
            }
        };
        assert!(run("Gather", &[], &of(&[2], vec![-3, 2])).is_ok());
        refused("Gather", &[], &of(&[2], vec![0, 3]), 3);
        refused("Gather", &[], &of(&[2], vec![-4, 0]), -4);
        assert!(run("Gather", &last, &of(&[2], vec![3, -4])).is_ok());
        refused("Gather", &last, &of(&[2], vec![0, 4]), 4);
        refused("GatherElements", &[], &of(&[1, 4], vec![0, 1, 2, 3]), 3);
        assert!(run("GatherND", &[], &of(&[2, 2], vec![2, 3, -3, -4])).is_ok());
        refused("GatherND", &[], &of(&[2, 1], vec![2, 3]), 3);
        refused("GatherND", &[], &of(&[2, 2], vec![3, 0, 0, 3]), 3);
        refused("GatherND", &[], &of(&[2, 2], vec![0, 3, 0, -5]), -5);
    }
}
