//! Numbers at the ends of what operators are given: half precision, ties, windows that lie in the padding.

use cotangent::half::f16;
use cotangent::io::onnx::{Bindings, Model};
use cotangent::{Array, DType, Engine, Options, RunError, TensorType};

use super::wire::{Graph, Message, Value, graph, input, node, typed_input, with};

fn hf(dims: &[usize], values: impl IntoIterator<Item = f32>) -> Array {
    Array::new(dims, values.into_iter().map(f16::from_f32).collect::<Vec<_>>()).expect("as many as the extents say")
}

/// The results of a model on both engines, which agree.
fn run_graph(graph: &Graph, inputs: &[(&str, &Array)]) -> Result<Vec<Array>, RunError> {
    let model = Model::from_bytes(graph.model()).expect("the file is whole");
    let imported = model.import(&Bindings::new().hold_integers()).unwrap_or_else(|e| panic!("{e}"));
    let [first, second] = [Engine::Interp, Engine::Jit].map(|engine| {
        let mut program = imported.program().compile(&Options::engine(engine)).expect("it compiles");
        let outputs = program.run(inputs)?;
        Ok(outputs.iter().map(|(_, array)| array.clone()).collect::<Vec<Array>>())
    });
    assert_eq!(first, second);
    first
}

/// The results of one node, by as many names as `outputs`.
fn run(node: Message, inputs: &[(&str, &Array)], outputs: &[&'static str]) -> Result<Vec<Array>, RunError> {
    let declared = inputs.iter().map(|(name, array)| {
        let dims: Vec<i64> = array.shape().iter().map(|&d| d as i64).collect();
        typed_input(name, array.dtype(), &dims)
    });
    let mut graph = graph(vec![node], declared.collect(), "y");
    graph.outputs = outputs.to_vec();
    run_graph(&graph, inputs)
}

/// The only result of a node with operands `x`, `a`, `b` ..., in `f64`.
fn result(operator: &str, attributes: &[(&str, Value<'_>)], inputs: &[(&str, &Array)]) -> Vec<f64> {
    let names: Vec<&str> = inputs.iter().map(|i| i.0).collect();
    let node = with(node(operator, &names, &["y"]), attributes);
    let y = run(node, inputs, &["y"]).expect("it runs").swap_remove(0);
    assert_eq!(y.dtype(), inputs[0].1.dtype());
    y.to_f64_vec()
}

/// 40,000 and 60,032 in turn, whose sums are beyond the largest `f16`.
fn large() -> Array {
    hf(&[1, 2, 4, 4], (0..32).map(|i| 40_000.0 + 20_032.0 * (i % 2) as f32))
}

#[test]
fn a_node_rounds_to_half_precision_at_its_end_only() {
    let x = large();
    let ones = hf(&[2], [1.0; 2]);
    let zeros = hf(&[2], [0.0; 2]);
    let kernel = || ("kernel_shape", Value::Ints(&[3, 3]));
    let pads = || ("pads", Value::Ints(&[1, 1, 1, 1]));
    let means = [
        result("GlobalAveragePool", &[], &[("x", &x)]),
        result("ReduceMean", &[], &[("x", &x)]),
        result("AveragePool", &[("kernel_shape", Value::Ints(&[2, 2]))], &[("x", &x)]),
    ];
    for (i, mean) in means.iter().enumerate() {
        assert!(mean.iter().all(|&m| m == 50_016.0), "{i}: {mean:?}");
    }
    // Counts of elements differ at the edges.
    let edges = result("AveragePool", &[kernel(), pads()], &[("x", &x)]);
    assert!(edges.iter().all(|&m| (43_000.0..57_000.0).contains(&m)), "{edges:?}");

    // The squares are beyond the range, the roots of their sums are not.
    let small = hf(&[1, 1, 2, 2], [300.0, 400.0, 0.0, 0.0]);
    assert_eq!(result("GlobalLpPool", &[], &[("x", &small)]), [500.0]);
    assert_eq!(result("LpPool", &[("kernel_shape", Value::Ints(&[2, 2]))], &[("x", &small)]), [500.0]);
    assert_eq!(result("ReduceL2", &[], &[("x", &small)]), [500.0]);
    let unit = result("LpNormalization", &[("axis", Value::Int(3))], &[("x", &small)]);
    assert!((unit[0] - 0.6).abs() < 1e-3 && (unit[1] - 0.8).abs() < 1e-3, "{unit:?}");

    for (operator, operands) in [
        ("InstanceNormalization", vec![("x", &x), ("gain", &ones), ("bias", &zeros)]),
        ("MeanVarianceNormalization", vec![("x", &x)]),
    ] {
        let y = result(operator, &[], &operands);
        let right = |(i, y): (usize, &f64)| *y == if i % 2 == 0 { -1.0 } else { 1.0 };
        assert!(y.iter().enumerate().all(right), "{operator}: {y:?}");
    }
}

/// The count of elements is no number of half precision.
#[test]
fn counts_are_not_rounded_to_half_precision() {
    let x = hf(&[1, 1, 70_000], (0..70_000).map(|i| [1.0, 3.0][i % 2]));
    assert_eq!(result("GlobalAveragePool", &[], &[("x", &x)]), [2.0]);
    assert_eq!(result("ReduceMean", &[], &[("x", &x)]), [2.0]);
}

#[test]
fn the_statistics_of_a_batch_norm_keep_their_precision() {
    let x = hf(&[1, 1, 2], [60_000.0, 2048.0]);
    let one = |v: f32| Array::from([v]);
    // The variance is beyond the largest `f16`, and the mean has more digits than it keeps.
    let (gain, bias, mean, variance) = (one(1.0), one(0.0), one(2049.5), one(1e8));
    let operands = [("x", &x), ("gain", &gain), ("bias", &bias), ("mean", &mean), ("variance", &variance)];
    let y = result("BatchNormalization", &[("epsilon", Value::Float(0.0))], &operands);
    let expected = hf(&[2], [(60_000.0 - 2049.5) / 1e4, (2048.0 - 2049.5) / 1e4]).to_f64_vec();
    assert!(y.iter().zip(&expected).all(|(y, e)| (y - e).abs() <= e.abs() / 1024.0), "{y:?} {expected:?}");
}

#[test]
fn a_recurrent_layer_rounds_at_its_end_only() {
    let (x, w, r) = (hf(&[2, 1, 1], [300.0, 300.0]), hf(&[1, 1, 1], [400.0]), hf(&[1, 1, 1], [400.0]));
    let attributes = [
        ("hidden_size", Value::Int(1)),
        ("activations", Value::Texts(&["Affine"])),
        ("activation_alpha", Value::Floats(&[0.0025])),
        ("activation_beta", Value::Floats(&[0.0])),
    ];
    // The sums are 120,000 and 240,000, the states 300 and 600.
    assert_eq!(result("RNN", &attributes, &[("x", &x), ("w", &w), ("r", &r)]), [300.0, 600.0]);
}

/// The nodes of a branch are nodes of their own: each rounds.
#[test]
fn the_nodes_of_a_branch_round_each() {
    let body = |operator| Graph {
        nodes: vec![node(operator, &["x", "x"], &["twice"]), node("Sub", &["twice", "x"], &["z"])],
        initializers: Vec::new(),
        inputs: Vec::new(),
        outputs: vec!["z"],
    };
    let x = hf(&[1], [60_000.0]);
    let known = Message::default().int(1, 1).int(2, 9).text(8, "c").bytes(9, &[1]);
    for constant in [true, false] {
        let branch = with(
            node("If", &["c"], &["y"]),
            &[
                ("then_branch", Value::Graph(body("Add").message())),
                ("else_branch", Value::Graph(body("Mul").message())),
            ],
        );
        let mut graph = graph(vec![branch], vec![typed_input("x", DType::F16, &[1])], "y");
        let truth = Array::from([true]);
        let mut inputs = vec![("x", &x)];
        if constant {
            graph.initializers.push(known.clone());
        } else {
            graph.inputs.push(typed_input("c", DType::Bool, &[1]));
            inputs.push(("c", &truth));
        }
        let y = run_graph(&graph, &inputs).expect("it runs").swap_remove(0);
        assert_eq!(y.to_f64_vec(), [f64::INFINITY], "constant: {constant}");
    }
}

/// Labels and indices that choose nothing are refused, whatever the import puts between them and the choice.
#[test]
fn labels_of_imported_models_are_checked() {
    let scores = Array::new([2, 3], vec![0.5f32, 1.0, -1.0, 0.0, 0.25, 2.0]).expect("six elements");
    let weights = Array::from([1.0f32, 2.0, 3.0]);
    let ignore = || [("ignore_index", Value::Int(-100))];
    type Case<'a> = (Message, Vec<(&'a str, &'a Array)>, Vec<i64>, Vec<i64>);
    let axis = || [("axis", Value::Int(1))];
    let cases: Vec<Case<'_>> = vec![
        (node("SoftmaxCrossEntropyLoss", &["x", "i"], &["y"]), vec![("x", &scores)], vec![0, 2], vec![3, -1]),
        (node("NegativeLogLikelihoodLoss", &["x", "i"], &["y"]), vec![("x", &scores)], vec![0, 2], vec![3, -1]),
        (
            with(node("NegativeLogLikelihoodLoss", &["x", "i", "w"], &["y"]), &ignore()),
            vec![("x", &scores), ("w", &weights)],
            vec![0, 2, -100],
            vec![3, -1, -99],
        ),
        (
            with(node("SoftmaxCrossEntropyLoss", &["x", "i"], &["y"]), &ignore()),
            vec![("x", &scores)],
            vec![1, -100],
            vec![-101, 7],
        ),
        (with(node("Gather", &["x", "i"], &["y"]), &axis()), vec![("x", &scores)], vec![-3, 2, -1], vec![3, -4]),
        (node("Gather", &["w", "i"], &["y"]), vec![("w", &weights)], vec![-3, 2], vec![3, -4]),
    ];
    for (message, operands, good, bad) in cases {
        for dtype in [DType::I32, DType::I64] {
            let run = |i: i64| {
                let labels = match dtype {
                    DType::I32 => Array::from([1, i as i32]),
                    _ => Array::from([1, i]),
                };
                let inputs: Vec<(&str, &Array)> = operands.iter().copied().chain([("i", &labels)]).collect();
                run(message.clone(), &inputs, &["y"])
            };
            for &i in &good {
                let y = run(i).unwrap_or_else(|e| panic!("{i}: {e}")).swap_remove(0);
                assert!(y.to_f64_vec().iter().all(|y| y.is_finite()), "{i}: {y:?}");
            }
            for &i in &bad {
                let error = run(i).expect_err("it chooses nothing");
                assert!(
                    matches!(error, RunError::Index { value, position: 1, extent: 3, .. } if value == i),
                    "{error}"
                );
            }
        }
    }
    let (x, lists) = (&scores, |i: i64| Array::new([2, 1], vec![1, i]).expect("two lists"));
    let gather = |lists: &Array| run(node("GatherND", &["x", "i"], &["y"]), &[("x", x), ("i", lists)], &["y"]);
    assert!(gather(&lists(-2)).is_ok());
    assert!(matches!(gather(&lists(2)), Err(RunError::Index { value: 2, position: 1, extent: 2, .. })));
    let places = |i: i64| Array::new([2, 1], vec![0, i]).expect("two places");
    let gather =
        |i: &Array| run(with(node("GatherElements", &["x", "i"], &["y"]), &axis()), &[("x", x), ("i", i)], &["y"]);
    assert!(gather(&places(-3)).is_ok());
    assert!(matches!(gather(&places(3)), Err(RunError::Index { value: 3, position: 1, extent: 3, .. })));
}

/// An element that is as small as the padding is found before it, as in onnxruntime.
#[test]
fn the_place_of_a_largest_element_is_never_in_the_padding() {
    let pool = |attributes: &[(&str, Value<'_>)], x: &Array| {
        let node = with(node("MaxPool", &["x"], &["y", "i"]), attributes);
        let results = run(node, &[("x", x)], &["y", "i"]).expect("it runs");
        results[1].as_slice::<i64>().expect("places").to_vec()
    };
    let around = [("kernel_shape", Value::Ints(&[2, 2])), ("pads", Value::Ints(&[1, 1, 1, 1]))];
    let same = |value: f32| Array::full(&TensorType::new(DType::F32, [1, 1, 2, 2]), f64::from(value));
    let bytes = Array::zeros(&TensorType::new(DType::U8, [1, 1, 2, 2]));
    let expected = [0, 0, 1, 0, 0, 1, 2, 2, 3];
    assert_eq!(pool(&around, &same(f32::NEG_INFINITY)), expected);
    assert_eq!(pool(&around, &bytes), expected);
    assert_eq!(pool(&around, &same(1.0)), expected);
    // Two maps of three elements, of which the second window has a row of padding; the last reaches beyond the end.
    let ceil = [
        ("kernel_shape", Value::Ints(&[2])),
        ("pads", Value::Ints(&[1, 0])),
        ("strides", Value::Ints(&[2])),
        ("ceil_mode", Value::Int(1)),
    ];
    let (none, five) = (f32::NEG_INFINITY, 5.0);
    let x = Array::new([1, 2, 4], vec![none, none, none, none, none, five, none, none]).expect("eight elements");
    assert_eq!(pool(&ceil, &x), [0, 1, 3, 4, 5, 7]);
}

#[test]
fn zeros_are_quantized_with_scale_one() {
    for (x, scale, bytes) in
        [([0.0f32, 0.0], 1.0f32, [0u8, 0]), ([-0.0, 0.0], 1.0, [0, 0]), ([0.0, 127.5], 0.5, [0, 255])]
    {
        let x = Array::from(x);
        let node = node("DynamicQuantizeLinear", &["x"], &["y", "scale", "point"]);
        let results = run(node, &[("x", &x)], &["y", "scale", "point"]).expect("it runs");
        assert_eq!(results, [Array::from(bytes), Array::scalar(scale), Array::scalar(0u8)]);
    }
}

/// Nodes that make a formula together are computed in its stable form.
#[test]
fn formulas_over_several_nodes_are_stable() {
    let x = Array::new([1, 2], vec![1e4f32, -1e4]).unwrap();
    let run = |nodes: Vec<Message>| {
        let graph = graph(nodes, vec![typed_input("x", DType::F32, &[1, 2])], "y");
        run_graph(&graph, &[("x", &x)]).expect("it runs").swap_remove(0).to_f64_vec()
    };
    let one = |operator, input, output| node(operator, &[input], &[output]);
    assert_eq!(run(vec![one("Softmax", "x", "p"), one("Log", "p", "y")]), [0.0, -2e4]);
    let divided = vec![
        one("Exp", "x", "e"),
        with(node("ReduceSum", &["e"], &["s"]), &[("keepdims", Value::Int(1))]),
        node("Div", &["e", "s"], &["p"]),
        one("Log", "p", "y"),
    ];
    assert_eq!(run(divided), [0.0, -2e4]);
    assert_eq!(run(vec![one("Sigmoid", "x", "p"), one("Log", "p", "y")]), [0.0, -1e4]);
    let squares = vec![node("Mul", &["x", "x"], &["s"]), one("Sqrt", "s", "y")];
    assert_eq!(run(squares), [1e4, 1e4]);
}

/// `Unique` of a tensor of the file, and how often each number comes.
fn unique(code: i64, extent: i64, bytes: &[u8]) -> Result<Vec<Array>, String> {
    let mut graph = graph(vec![node("Unique", &["c"], &["y", "first", "of", "count"])], vec![], "y");
    graph.outputs = vec!["y", "count"];
    graph.initializers = vec![Message::default().int(1, extent).int(2, code).text(8, "c").bytes(9, bytes)];
    let model = Model::from_bytes(graph.model()).expect("the file is whole");
    model.import(&Bindings::new().hold_integers()).map_err(|e| e.to_string())?;
    Ok(run_graph(&graph, &[]).expect("it runs"))
}

#[test]
fn different_numbers_are_told_apart_as_numbers() {
    let ints: Vec<u8> = [(1i64 << 53) + 1, 1 << 53, -5, (1 << 53) + 1].iter().flat_map(|v| v.to_le_bytes()).collect();
    let found = unique(7, 4, &ints).expect("it is supported");
    assert_eq!(found, [Array::from([-5i64, 1 << 53, (1 << 53) + 1]), Array::from([1i64, 1, 2])]);

    let floats: Vec<u8> =
        [0.0f32, f32::NAN, -0.0, -1.5, -f32::NAN, f32::INFINITY].iter().flat_map(|v| v.to_le_bytes()).collect();
    let found = unique(1, 6, &floats).expect("it is supported");
    assert_eq!(found[0].to_f64_vec()[..3], [-1.5, 0.0, f64::INFINITY]);
    assert!(found[0].shape()[..] == [4] && found[0].get_f64(3).is_nan());
    assert_eq!(found[1], Array::from([1i64, 2, 1, 2]));

    // What is held as a negative number is the largest.
    let unsigned: Vec<u8> = [1u64 << 63, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
    let found = unique(13, 2, &unsigned).expect("it is supported");
    assert_eq!(found, [Array::from([1i64, i64::MIN]), Array::from([1i64, 1])]);
}

#[test]
fn symmetric_windows_of_one_element_are_one() {
    for operator in ["HannWindow", "HammingWindow", "BlackmanWindow"] {
        let window = with(node(operator, &["n"], &["y"]), &[("periodic", Value::Int(0))]);
        let mut graph = graph(vec![window], Vec::new(), "y");
        graph.initializers = vec![Message::default().int(2, 7).text(8, "n").bytes(9, &1i64.to_le_bytes())];
        assert_eq!(run_graph(&graph, &[]).expect("it runs"), [Array::from(vec![1.0f32])], "{operator}");
    }
}

/// As in onnxruntime.
#[test]
fn windows_of_padding_alone_are_refused_and_one_longer_than_the_axis_may_count() {
    let x = Array::new([1, 1, 3], vec![1.0f32, 5.0, 2.0]).expect("three elements");
    let window = |size: i64, stride: i64| {
        let list = |v: i64| {
            Value::Ints(if v == 5 {
                &[5]
            } else if v == 3 {
                &[3]
            } else {
                &[2]
            })
        };
        [("kernel_shape", list(size)), ("strides", list(stride)), ("ceil_mode", Value::Int(1))]
    };
    for stride in [5, 3] {
        assert_eq!(result("MaxPool", &window(5, stride), &[("x", &x)]), [5.0]);
        assert_eq!(result("AveragePool", &window(5, stride), &[("x", &x)]), [f64::from(8.0f32 / 3.0)]);
    }
    let refused = |operator: &'static str, attributes: &[(&str, Value<'_>)]| {
        let graph = graph(vec![with(node(operator, &["x"], &["y"]), attributes)], vec![input("x", &[1, 1, 3])], "y");
        let model = Model::from_bytes(graph.model()).expect("the file is whole");
        model.import(&Bindings::new()).expect_err("it is refused").to_string()
    };
    let text = refused("MaxPool", &window(5, 2));
    assert!(text.contains("a window that spans 5 elements does not fit axis 2 of 3"), "{text}");
    for operator in ["MaxPool", "AveragePool", "LpPool"] {
        for pads in [&[2i64, 0], &[0, 2], &[7, 7]] {
            let text = refused(operator, &[("kernel_shape", Value::Ints(&[2])), ("pads", Value::Ints(pads))]);
            let expected = format!("padding {} and {} of axis 2 makes windows of 2 elements", pads[0], pads[1]);
            assert!(text.contains(&expected), "{text}");
        }
    }
    let text = refused("MaxPool", &[("kernel_shape", Value::Ints(&[2])), ("strides", Value::Ints(&[0]))]);
    assert!(text.contains("a stride of the windows [0] is 0"), "{text}");
}
