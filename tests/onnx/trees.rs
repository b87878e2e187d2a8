//! Ensembles of trees whose lists are in unusual orders, and lists of tensors.

use cotangent::io::onnx::{Bindings, ImportError, Model};
use cotangent::{Array, Engine, Options};

use super::wire::{Graph, Message, Value, graph, input, node, with};

fn run(graph: &Graph, x: &Array) -> Result<Vec<f64>, ImportError> {
    let imported = Model::from_bytes(graph.model_of(18)).expect("the file is whole").import(&Bindings::new())?;
    let [first, second] = [Engine::Interp, Engine::Jit].map(|engine| {
        let mut compiled = imported.program().compile(&Options::engine(engine)).expect("it compiles");
        compiled.run(&[("x", x)]).expect("it runs").first().to_f64_vec()
    });
    assert_eq!(first, second);
    Ok(first)
}

/// Two trees of one question each, `x <= 0.5` and `x <= 1.5`, whose leaves give 1 or 2, and 10 or 20. Their nodes come in this order: first those of the first tree.
fn stumps(order: [usize; 6]) -> Graph {
    let all = |list: [i64; 6]| order.map(|i| list[i]);
    let (trees, own) = (all([0, 0, 0, 1, 1, 1]), all([0, 1, 2, 0, 1, 2]));
    let (yes, no) = (all([1, 0, 0, 1, 0, 0]), all([2, 0, 0, 2, 0, 0]));
    let values = order.map(|i| [0.5, 0.0, 0.0, 1.5, 0.0, 0.0][i]);
    let modes = order.map(|i| if i % 3 == 0 { "BRANCH_LEQ" } else { "LEAF" });
    let attributes = [
        ("nodes_treeids", Value::Ints(&trees)),
        ("nodes_nodeids", Value::Ints(&own)),
        ("nodes_featureids", Value::Ints(&[0; 6])),
        ("nodes_truenodeids", Value::Ints(&yes)),
        ("nodes_falsenodeids", Value::Ints(&no)),
        ("nodes_values", Value::Floats(&values)),
        ("nodes_modes", Value::Texts(&modes)),
        ("target_treeids", Value::Ints(&[0, 0, 1, 1])),
        ("target_nodeids", Value::Ints(&[1, 2, 1, 2])),
        ("target_ids", Value::Ints(&[0; 4])),
        ("target_weights", Value::Floats(&[1.0, 2.0, 10.0, 20.0])),
    ];
    let node = with(node("TreeEnsembleRegressor", &["x"], &["y"]).text(7, "ai.onnx.ml"), &attributes);
    graph(vec![node], vec![input("x", &[3, 1])], "y")
}

#[test]
fn nodes_of_several_trees_may_be_mixed() {
    let x = Array::new([3, 1], vec![0.0f32, 1.0, 2.0]).expect("it fits");
    for order in [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [3, 0, 5, 2, 4, 1], [0, 2, 1, 3, 5, 4]] {
        assert_eq!(run(&stumps(order), &x).expect("it is supported"), [11.0, 12.0, 22.0], "{order:?}");
    }
}

#[test]
fn the_first_node_of_a_tree_is_its_root() {
    let x = Array::new([3, 1], vec![0.0f32, 1.0, 2.0]).expect("it fits");
    let error = run(&stumps([1, 0, 2, 3, 4, 5]), &x).expect_err("a leaf comes first");
    assert!(
        error.is_unsupported() && error.to_string().contains("tree 0, whose first node is below another"),
        "{error}"
    );
}

#[test]
fn graphs_are_mapped_over_lists() {
    let x = Array::new([3, 2], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("it fits");
    let declared = |name: &str| Message::default().text(1, name);
    let body = Message::default()
        .message(1, &node("Mul", &["a", "b"], &["p"]))
        .message(1, &node("Add", &["p", "w"], &["r"]))
        .message(11, &declared("a"))
        .message(11, &declared("b"))
        .message(11, &declared("w"))
        .message(12, &declared("r"));
    let nodes = vec![
        with(node("SplitToSequence", &["x"], &["rows"]), &[("axis", Value::Int(0))]),
        node("Neg", &["x"], &["n"]),
        with(node("SplitToSequence", &["n"], &["negative"]), &[("axis", Value::Int(0))]),
        node("ReduceMax", &["x"], &["most"]),
        with(node("SequenceMap", &["rows", "negative", "most"], &["mapped"]), &[("body", Value::Graph(body))]),
        with(node("ConcatFromSequence", &["mapped"], &["y"]), &[("axis", Value::Int(0))]),
    ];
    let y = run(&graph(nodes, vec![input("x", &[3, 2])], "y"), &x).expect("it is supported");
    assert_eq!(y, [5.0, 2.0, -3.0, -10.0, -19.0, -30.0]);
}
