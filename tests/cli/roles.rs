//! Which parameters `cotangent train` trains, and what becomes of the others.

use cotangent::Array;
use cotangent::io::onnx;

use super::Folder;
use super::proto::{batched, initializer, message, model, node, node_with, number, scalar};

/// `y = x * weight * scale + offset`, with a scale that has no axes.
fn scaled(folder: &Folder) {
    let graph = [
        (1, node("Mul", &["x", "layer.weight"], "a")),
        (1, node("Mul", &["a", "scale"], "b")),
        (1, node("Add", &["b", "layer.offset"], "y")),
        (2, b"scaled".to_vec()),
        (5, initializer("layer.weight", &[1.0, 2.0])),
        (5, scalar("scale", 3.0)),
        (5, initializer("layer.offset", &[0.5, 0.5])),
        (5, initializer("apart", &[0.5])),
        (11, batched("x", &[2])),
        (12, batched("y", &[2])),
    ];
    folder.write("scaled.onnx", model(&graph));
    folder.npy("x.npy", [[1.0f32, 2.0], [3.0, 4.0]]).npy("t.npy", [[0.0f32, 0.0], [0.0, 0.0]]);
}

const WORDS: &str =
    "train scaled.onnx --loss-of y=mse --data x=x.npy --data t=t.npy --epochs 1 --quiet --output out.onnx";

#[test]
fn what_is_trained_is_told_and_chosen() {
    let folder = Folder::new("roles");
    scaled(&folder);
    let before = onnx::Model::read(folder.path("scaled.onnx")).unwrap();
    let all = ["layer.weight", "scale", "layer.offset", "apart"];
    for (words, trained, told) in [
        (
            "",
            &["layer.weight", "layer.offset"][..],
            &["held\tscale (a scalar)\n", "held\tapart (the loss does not depend on it)\n"][..],
        ),
        ("--train-only scale", &["scale"], &["held\tlayer.weight, layer.offset (not chosen)\n"]),
        ("--train-only scale,layer.*", &["layer.weight", "scale", "layer.offset"], &[]),
        ("--freeze *weight", &["layer.offset"], &["held\tlayer.weight (frozen)\n", "held\tscale (a scalar)\n"]),
        ("--train-only layer.* --freeze layer.offset", &["layer.weight"], &["held\tlayer.offset (frozen)\n"]),
    ] {
        let out = folder.cotangent(&format!("{WORDS} {words}")).succeeds().out();
        assert!(out.contains(&format!("trained\t{}\n", trained.join(", "))), "{words}: {out}");
        for part in told {
            assert!(out.contains(part), "{words}: {part:?} is in {out}");
        }
        let after = onnx::Model::read(folder.path("out.onnx")).unwrap();
        for name in all {
            let changed = before.initializer(name).unwrap() != after.initializer(name).unwrap();
            assert_eq!(changed, trained.contains(&name), "{words}: {name}");
        }
    }
    folder
        .cotangent(&format!("{WORDS} --train-only scal"))
        .fails(2, &["no float parameter called `scal`", "did you mean `scale`?", "Usage: cotangent train"]);
    folder.cotangent(&format!("{WORDS} --freeze other.*")).fails(2, &["no float parameter called `other.*`"]);
    folder.cotangent(&format!("{WORDS} --freeze layer.*")).fails(
        2,
        &[
            "the loss depends on no parameter that is trained; held are: ",
            "scale (held: a scalar)",
            "layer.weight (held: frozen)",
        ],
    );
    let info = folder.cotangent("info scaled.onnx").succeeds().out();
    assert!(info.contains("layer.weight : float32[2]  trained\n") && info.contains("  held: a scalar\n"), "{info}");
    let json = folder.cotangent("info scaled.onnx --format json").succeeds().out();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["training"]["layer.weight"], "trained");
}

/// What belongs to every graph of a batch normalization of `x`: its name, its parameters, `x` and `y`.
fn statistics() -> [(u64, Vec<u8>); 7] {
    [
        (2, b"normalized".to_vec()),
        (5, initializer("gain", &[1.0, 1.0])),
        (5, initializer("bias", &[0.0, 0.0])),
        (5, initializer("mean", &[10.0, 20.0])),
        (5, initializer("variance", &[2.0, 3.0])),
        (11, batched("x", &[2])),
        (12, batched("y", &[2])),
    ]
}

/// `y` is the batch normalization of `x`, times a factor.
fn normalized(folder: &Folder, training: bool, others: &[(u64, Vec<u8>)]) {
    let results: &[&str] = if training { &["z", "mean_after", "variance_after"] } else { &["z"] };
    let operands = ["x", "gain", "bias", "mean", "variance"];
    let norm = node_with("BatchNormalization", &operands, results, &[("training_mode", u8::from(training))]);
    let factor = initializer("factor", &[1.0, 1.0]);
    let mut graph = vec![(1, norm), (1, node("Mul", &["z", "factor"], "y")), (5, factor)];
    graph.extend(statistics());
    graph.extend(others.iter().cloned());
    folder.write("norm.onnx", model(&graph));
    folder.npy("x.npy", [[1.0f32, 2.0], [3.0, 8.0]]).npy("t.npy", [[0.0f32, 0.0], [0.0, 0.0]]);
}

const NORM: &str = "train norm.onnx --loss-of y=mse --data x=x.npy --data t=t.npy --lr 0 --quiet --output out.onnx";

#[test]
fn running_statistics_follow_the_batches_and_are_written_for_inference() {
    let folder = Folder::new("running_statistics");
    // The statistics may be results of the model too.
    for others in [vec![], vec![(12, batched("mean_after", &[])), (12, batched("variance_after", &[]))]] {
        normalized(&folder, true, &others);
        for (epochs, kept) in [(1, 0.9f64), (2, 0.81)] {
            let out = folder.cotangent(&format!("{NORM} --epochs {epochs}")).succeeds().out();
            assert!(
                out.contains("note\ta batch normalization is in training mode: the running statistics follow"),
                "{out}"
            );
            assert!(out.contains("followed\tmean, variance (running statistics)\n"), "{out}");
            assert!(out.contains("note\twhat is written is for inference, with the running statistics; training goes on from norm.onnx"), "{out}");
            let after = onnx::Model::read(folder.path("out.onnx")).unwrap();
            // The means of the columns are 2 and 5, the variances 1 and 9.
            let expected = |old: f64, batch: f64| old * kept + batch * (1.0 - kept);
            for (name, values) in [
                ("mean", [expected(10.0, 2.0), expected(20.0, 5.0)]),
                ("variance", [expected(2.0, 1.0), expected(3.0, 9.0)]),
            ] {
                let got = after.initializer(name).unwrap().to_f64_vec();
                assert!(got.iter().zip(values).all(|(g, v)| (g - v).abs() < 1e-5), "{name}: {got:?}, {values:?}");
            }
            // The model that comes out is for inference, as it was measured.
            assert!(!after.batch_normalizations()[0].training);
            folder.cotangent("run out.onnx --input x=x.npy --output-dir out").succeeds();
            assert_eq!(std::fs::read_dir(folder.path("out")).unwrap().count(), 1);
            let y = folder.read("out/y.npy").to_f64_vec();
            let first = (1.0 - expected(10.0, 2.0)) / (expected(2.0, 1.0) + 1e-5).sqrt();
            assert!((y[0] - first).abs() < 1e-4, "{y:?}, {first}");
            let loss = y.iter().map(|y| y * y).sum::<f64>() / 4.0;
            let line = out.lines().find(|line| line.starts_with("training\t")).unwrap();
            let told: f64 = line.split("loss ").nth(1).unwrap().parse().unwrap();
            assert!((told - loss).abs() < 1e-3, "{told}, {loss}");
        }
    }
}

#[test]
fn statistics_that_cannot_follow_are_told() {
    let folder = Folder::new("stuck_statistics");
    normalized(&folder, false, &[]);
    let out = folder.cotangent(&format!("{NORM} --epochs 1")).succeeds().out();
    assert!(!out.contains("what is written is for inference"), "{out}");
    assert!(out.contains("note\ta batch normalization is in inference mode: the running statistics stay"), "{out}");
    assert!(out.contains("held\tmean, variance (statistics of a batch normalization)\n"), "{out}");
    let after = onnx::Model::read(folder.path("out.onnx")).unwrap();
    assert_eq!(after.initializer("mean").unwrap(), Array::from([10.0f32, 20.0]));

    // Two that share their statistics have no one value after a step.
    let operands = ["y", "gain", "bias", "mean", "variance"];
    let second = node_with("BatchNormalization", &operands, &["w", "m", "v"], &[("training_mode", 1)]);
    normalized(&folder, true, &[(1, second), (12, batched("w", &[2]))]);
    let words = NORM.replace("y=mse", "w=mse");
    let out = folder.cotangent(&format!("{words} --epochs 1")).succeeds().out();
    assert!(out.contains("note\t2 batch normalizations are in training mode (`z`, `w`), whose running"), "{out}");
}

#[test]
fn statistics_that_other_nodes_use_keep_their_batch_normalization_as_it_is() {
    let folder = Folder::new("used_statistics");
    let others = [
        (1, node("Neg", &["mean_after"], "less")),
        (12, batched("less", &[])),
        (12, batched("mean_after", &[])),
        (12, batched("variance_after", &[])),
    ];
    normalized(&folder, true, &others);
    let out = folder.cotangent(&format!("{NORM} --epochs 1")).succeeds().out();
    let told =
        "note\ta batch normalization is in training mode (`z`), whose updated statistics other nodes use: by the";
    assert!(out.contains(told) && !out.contains("written with those"), "{out}");
    let after = onnx::Model::read(folder.path("out.onnx")).unwrap();
    assert!(after.batch_normalizations()[0].training);
    folder.cotangent("run out.onnx --input x=x.npy --output-dir out").succeeds();
    for name in ["y", "less", "mean_after", "variance_after"] {
        assert!(folder.has(&format!("out/{name}.npy")), "{name} is a result as before");
    }
}

/// A model with this graph, and a function `f` of the domain `own`.
fn with_function(graph: &[(u64, Vec<u8>)], function: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let opset = |domain: &str, version: u8| [message(&[(1, domain.into())]), number(2, version)].concat();
    let mut function = function.to_vec();
    function.extend([(1, b"f".to_vec()), (9, opset("", 17)), (10, b"own".to_vec())]);
    [model(graph), message(&[(8, opset("own", 1)), (25, message(&function))])].concat()
}

/// A node that calls the function `f`.
fn call(operands: &[&str], result: &str) -> Vec<u8> {
    [node("f", operands, result), message(&[(7, b"own".to_vec())])].concat()
}

/// `y` is `d w`, where `drop` makes `d` of `x`, a ratio of a half and a flag that is true; `t` is what `x` is.
fn dropped(folder: &Folder, drop: Vec<u8>) -> Vec<(u64, Vec<u8>)> {
    let x: Vec<[f32; 2]> = (0..64).map(|i| [1.0 + i as f32 / 64.0, 1.0]).collect();
    let rows = Array::new([64, 2], x.concat()).unwrap();
    folder.npy("x.npy", rows.clone()).npy("t.npy", rows);
    let flag = [number(2, 9), message(&[(8, b"flag".to_vec()), (9, vec![1])])].concat();
    vec![
        (1, drop),
        (1, node("Mul", &["d", "w"], "y")),
        (2, b"dropped".to_vec()),
        (5, scalar("ratio", 0.5)),
        (5, flag),
        (5, initializer("w", &[1.0, 1.0])),
        (11, batched("x", &[2])),
        (12, batched("y", &[2])),
    ]
}

const DROPPED: &str = "train model.onnx --loss-of y=mse --data x=x.npy --data t=t.npy --quiet --metrics m.csv";

#[test]
fn dropout_of_a_function_is_random_in_steps_only() {
    let folder = Folder::new("function_dropout");
    let graph = dropped(&folder, call(&["x", "ratio", "flag"], "d"));
    let name = |field: u64, name: &str| (field, name.as_bytes().to_vec());
    let function =
        [(7, node("Dropout", &["a", "b", "c"], "r")), name(4, "a"), name(4, "b"), name(4, "c"), name(5, "r")];
    folder.write("model.onnx", with_function(&graph, &function));
    let out = folder.cotangent(&format!("{DROPPED} --lr 0 --epochs 1 --output out.onnx")).succeeds().out();
    assert!(out.contains("training\t64 examples\tloss 0.0000\n"), "measured without it: {out}");
    let table = std::fs::read_to_string(folder.path("m.csv")).unwrap();
    let loss: f64 = table.lines().nth(1).unwrap().split(',').nth(4).unwrap().parse().unwrap();
    assert!((1.4..1.8).contains(&loss), "random in steps: {table}");
    folder.cotangent("run out.onnx --input x=x.npy --output-dir out").succeeds();
    assert_eq!(folder.read("out/y.npy"), folder.read("x.npy"), "the model that is written drops nothing");
}

#[test]
fn batch_normalizations_in_functions_are_told() {
    let folder = Folder::new("function_norm");
    let mut graph = vec![(1, call(&["x", "gain", "bias", "mean", "variance"], "y"))];
    graph.extend(statistics());
    folder.npy("x.npy", [[1.0f32, 2.0], [3.0, 8.0]]).npy("t.npy", [[0.0f32, 0.0], [0.0, 0.0]]);
    for training in [false, true] {
        let operands = ["a", "b", "c", "d", "e"];
        let results: &[&str] = if training { &["r", "m", "v"] } else { &["r"] };
        let norm = node_with("BatchNormalization", &operands, results, &[("training_mode", u8::from(training))]);
        let mut function = vec![(7, norm), (5, b"r".to_vec())];
        function.extend(operands.map(|name| (4, name.as_bytes().to_vec())));
        folder.write("norm.onnx", with_function(&graph, &function));
        let out = folder.cotangent(&format!("{NORM} --epochs 1")).succeeds().out();
        let told =
            "note\ta batch normalization is in training mode inside of a function or a branch: by the statistics";
        assert_eq!(out.contains(told), training, "{out}");
        folder.cotangent("run out.onnx --input x=x.npy --output-dir out").succeeds();
        let y = folder.read("out/y.npy").get_f64(0);
        let expected = if training { -1.0 } else { (1.0 - 10.0) / 2f64.sqrt() };
        assert!((y - expected).abs() < 1e-3, "{y}, {expected}");
    }
}

#[test]
fn dropout_in_training_mode_is_random_in_steps_only() {
    let folder = Folder::new("dropout");
    let drop = node_with("Dropout", &["x", "ratio", "flag"], &["d", "mask"], &[]);
    folder.write("model.onnx", model(&dropped(&folder, drop)));
    let out = folder.cotangent(&format!("{DROPPED} --lr 0 --epochs 2 --output out.onnx")).succeeds().out();
    assert!(out.contains("training\t64 examples\tloss 0.0000\n"), "measured without it: {out}");
    let table = std::fs::read_to_string(folder.path("m.csv")).unwrap();
    let losses: Vec<f64> = table.lines().skip(1).map(|line| line.split(',').nth(4).unwrap().parse().unwrap()).collect();
    // Elements are doubled or dropped: either makes the square of the element, of mean 1.6.
    assert!(losses.iter().all(|loss| (1.4..1.8).contains(loss)), "{table}");
    folder.cotangent("run out.onnx --input x=x.npy --output-dir out").succeeds();
    assert_eq!(folder.read("out/y.npy"), folder.read("x.npy"), "the model that is written drops nothing");

    // The random numbers go on where a run goes on, and are others in each step and for each seed.
    let train = |more: &str| folder.cotangent(&format!("{DROPPED} --batch 16 {more}")).succeeds();
    train("--epochs 3 --output whole.onnx");
    train("--epochs 1 --checkpoint run.safetensors");
    train("--epochs 3 --resume run.safetensors --output parts.onnx");
    train("--epochs 3 --seed 1 --output other.onnx");
    let read = |file: &str| onnx::Model::read(folder.path(file)).unwrap().initializer("w").unwrap();
    assert_eq!(read("whole.onnx"), read("parts.onnx"));
    assert_ne!(read("whole.onnx"), read("other.onnx"));
    // What is no training takes no random numbers.
    folder.cotangent("run model.onnx --input x=x.npy").fails(3, &["training mode, with random numbers"]);
}

#[test]
fn dropout_that_drops_nothing_is_told() {
    let folder = Folder::new("idle_dropout");
    for (operands, idle) in [(&["x", "ratio"][..], true), (&["x", "", ""], true), (&["x", "ratio", "flag"], false)] {
        let drop = node_with("Dropout", operands, &["d"], &[]);
        folder.write("model.onnx", model(&dropped(&folder, drop)));
        let out = folder.cotangent(&format!("{DROPPED} --lr 0 --epochs 1")).succeeds().out();
        let told = "note\ta dropout is in inference mode: it drops nothing, in training neither\n";
        assert_eq!(out.contains(told), idle, "{operands:?}: {out}");
        // Steps are on all elements then.
        let table = std::fs::read_to_string(folder.path("m.csv")).unwrap();
        let loss: f64 = table.lines().nth(1).unwrap().split(',').nth(4).unwrap().parse().unwrap();
        assert_eq!(loss == 0.0, idle, "{operands:?}: {table}");
    }
    let drop = node_with("Dropout", &["x", "ratio"], &["d"], &[]);
    let mut graph = dropped(&folder, drop);
    graph.push((1, node_with("Dropout", &["y"], &["z"], &[])));
    graph.push((12, batched("z", &[2])));
    folder.write("model.onnx", model(&graph));
    let words = DROPPED.replace("y=mse", "z=mse");
    let out = folder.cotangent(&format!("{words} --lr 0 --epochs 1")).succeeds().out();
    assert!(out.contains("note\t2 dropouts are in inference mode: they drop nothing, in training neither\n"), "{out}");
}
