//! Broken and hostile files give errors: no panic, no memory beyond what the file is worth, nothing read outside of the model's folder.

use cotangent::io::onnx::{Bindings, ImportError, Model, read_held_tensor};
use cotangent::{Engine, Options};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::archive;
use super::models::{Sample, folder, samples};
use super::wire::{Graph, Message, graph, input, node, tensor};

impl Graph {
    fn import_error(&self) -> ImportError {
        let model = Model::from_bytes(self.model()).expect("the file itself is whole");
        model.import(&Bindings::new()).expect_err("the graph is broken")
    }
}

#[test]
fn the_hand_written_models_are_sound() {
    let sound = graph(vec![node("Relu", &["x"], &["y"])], vec![input("x", &[2, 3])], "y");
    let imported = Model::from_bytes(sound.model()).expect("a model").import(&Bindings::new()).expect("it is sound");
    assert_eq!(imported.outputs()[0].1.shape()[..], [2, 3]);
}

#[test]
fn cycles_and_missing_values_are_errors() {
    let cycle = graph(vec![node("Relu", &["b"], &["a"]), node("Relu", &["a"], &["b"])], Vec::new(), "b");
    assert!(cycle.import_error().to_string().contains("`b` is no value that came before"));
    let itself = graph(vec![node("Relu", &["a"], &["a"])], Vec::new(), "a");
    assert!(matches!(itself.import_error(), ImportError::Node { .. }));
    let nowhere = graph(Vec::new(), Vec::new(), "y");
    assert!(nowhere.import_error().to_string().contains("no node gives the result `y`"));
}

#[test]
fn names_that_are_taken_are_errors() {
    let twice = graph(vec![node("Relu", &["x"], &["y"]), node("Exp", &["x"], &["y"])], vec![input("x", &[2])], "y");
    assert!(twice.import_error().to_string().contains("two values called `y`"));
    let inputs = graph(vec![node("Relu", &["x"], &["y"])], vec![input("x", &[2]), input("x", &[2])], "y");
    assert!(inputs.import_error().to_string().contains("two values called `x`"));
    let mut results = graph(vec![node("Relu", &["x"], &["y"])], vec![input("x", &[2])], "y");
    results.outputs.push("y");
    assert!(results.import_error().to_string().contains("two results called `y`"));
}

#[test]
fn extents_without_data_take_no_memory() {
    let mut huge = graph(vec![node("Relu", &["w"], &["y"])], Vec::new(), "y");
    for dims in [&[1i64 << 40][..], &[1 << 31, 1 << 31, 1 << 31], &[-1], &[i64::MAX, 2]] {
        huge.initializers = vec![tensor("w", dims, &[0, 0, 0, 0])];
        assert!(matches!(huge.import_error(), ImportError::Model(_)), "{dims:?}");
    }
    // Inputs may be large, but not so large that products of extents overflow.
    let inputs = graph(vec![node("MatMul", &["x", "x"], &["y"])], vec![input("x", &[1 << 40, 1 << 40])], "y");
    assert!(matches!(inputs.import_error(), ImportError::Graph(_)));
    let product = graph(
        vec![node("MatMul", &["a", "b"], &["y"])],
        vec![input("a", &[1 << 34, 1]), input("b", &[1, 1 << 34])],
        "y",
    );
    assert!(matches!(product.import_error(), ImportError::Node { .. }));
}

#[test]
fn functions_that_call_themselves_are_errors() {
    let body = node("F", &["x"], &["y"]).text(7, "mine");
    let function = Message::default().text(1, "F").text(4, "x").text(5, "y").message(7, &body).text(10, "mine");
    let call = graph(vec![body], vec![input("x", &[2])], "y");
    let opset = |domain: &str| Message::default().text(1, domain).int(2, 18);
    let model =
        Message::default().int(1, 8).message(7, &call.message()).message(8, &opset("")).message(8, &opset("mine"));
    let model = Model::from_bytes(model.message(25, &function).0).expect("a model");
    let error = model.import(&Bindings::new()).expect_err("it has no end");
    assert!(error.to_string().contains("deep"), "{error}");
}

/// Each function calls the one before it twice: 2^30 nodes in a small file.
#[test]
fn functions_that_grow_without_bound_are_errors() {
    let opset = |domain: &str| Message::default().text(1, domain).int(2, 18);
    let mut model = Message::default().int(1, 8).message(8, &opset("")).message(8, &opset("mine"));
    for i in 0..30 {
        let name = |i: usize| format!("F{i}");
        let inner = |x: &str, y: &str| match i {
            0 => node("Relu", &[x], &[y]),
            _ => node(&name(i - 1), &[x], &[y]).text(7, "mine"),
        };
        let function = Message::default().text(1, &name(i)).text(4, "x").text(5, "y").text(10, "mine");
        let function = function.message(7, &inner("x", "m")).message(7, &inner("m", "y"));
        model = model.message(25, &function.message(9, &opset("")).message(9, &opset("mine")));
    }
    let call = graph(vec![node("F29", &["x"], &["y"]).text(7, "mine")], vec![input("x", &[2])], "y");
    let model = Model::from_bytes(model.message(7, &call.message()).0).expect("a model");
    assert!(model.import(&Bindings::new()).expect_err("it has too many").to_string().contains("more than"));
}

#[test]
fn data_outside_of_the_folder_are_not_read() {
    let secret = std::env::temp_dir().join(format!("cotangent-{}", std::process::id()));
    let inside = secret.join("model");
    std::fs::create_dir_all(&inside).expect("a folder");
    std::fs::write(secret.join("secret"), [0; 8]).expect("a file");
    std::fs::write(inside.join("weights"), [0; 8]).expect("a file");
    let entry = |key: &str, value: &str| Message::default().text(1, key).text(2, value);
    let import = |location: &str, offset: &str| {
        let mut graph = graph(vec![node("Relu", &["w"], &["y"])], Vec::new(), "y");
        let external = tensor("w", &[2], &[]).int(14, 1);
        let external = external.message(13, &entry("location", location)).message(13, &entry("offset", offset));
        graph.initializers = vec![external];
        let path = inside.join("model.onnx");
        std::fs::write(&path, graph.model()).expect("a file");
        Model::read(&path).expect("a model").import(&Bindings::new())
    };
    assert!(import("weights", "0").is_ok());
    let absolute = secret.join("secret");
    for location in ["../secret", "a/../../secret", absolute.to_str().expect("text"), "..", "", "none"] {
        assert!(import(location, "0").is_err(), "{location}");
    }
    for offset in ["1", "8", "18446744073709551615", "-1", "x"] {
        assert!(import("weights", offset).is_err(), "{offset}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&absolute, inside.join("link")).expect("a link");
        let error = import("link", "0").expect_err("the link leads outside");
        assert!(error.to_string().contains("leaves the model's folder"), "{error}");
        // A pipe that nobody writes to would be waited for.
        let pipe = |path: &std::path::Path| std::process::Command::new("mkfifo").arg(path).status().expect("it runs");
        assert!(pipe(&inside.join("pipe")).success() && pipe(&inside.join("model.pipe")).success());
        let error = import("pipe", "0").expect_err("there is nothing to read").to_string();
        assert!(error.contains("it is a pipe or a device"), "{error}");
        let error = Model::read(inside.join("model.pipe")).expect_err("there is nothing to read").to_string();
        assert!(error.contains("it is a pipe or a device"), "{error}");
    }
    std::fs::remove_dir_all(&secret).expect("the folder was made");
}

/// Imports bytes, which may be anything; what can be imported and is small is run.
fn try_import(bytes: Vec<u8>, bindings: &Bindings) {
    let Ok(model) = Model::from_bytes(bytes) else { return };
    let Ok(imported) = model.import(bindings) else { return };
    let program = imported.program();
    let small = program.graph.ids().all(|id| program.graph.ty(id).shape.numel() < 1 << 16);
    if small && program.graph.len() < 2000 {
        let _ = program.compile(&Options::engine(Engine::Interp));
    }
}

fn bindings(sample: &Sample) -> Bindings {
    sample.inputs().into_iter().fold(Bindings::new(), |b, (name, value)| b.shape(name, value.shape()))
}

#[test]
fn files_cut_short_are_errors() {
    for sample in samples() {
        let bytes = std::fs::read(folder().join(format!("{}.onnx", sample.name))).expect("a file");
        let bindings = bindings(&sample);
        let step = (bytes.len() / 400).max(1);
        for length in (0..bytes.len()).step_by(step) {
            try_import(bytes[..length].to_vec(), &bindings);
        }
    }
}

/// A number below `n`.
fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// A few changed bytes: numbers, lengths, names and operators that are not what they were.
fn mutated(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + below(rng, 3) {
        let at = below(rng, bytes.len());
        match below(rng, 5) {
            0 => bytes[at] = rng.next_u64() as u8,
            1 => bytes[at] ^= 1 << below(rng, 8),
            2 => bytes[at] = [0, 1, 2, 3, 127, 128, 255][below(rng, 7)],
            3 => bytes[at] = bytes[at].wrapping_add([1, 255][below(rng, 2)]),
            _ => {
                let (from, length) = (below(rng, bytes.len()), 1 + below(rng, 8));
                let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

fn rounds() -> usize {
    std::env::var("FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

#[test]
fn changed_models_do_not_panic() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for sample in samples() {
        let bytes = std::fs::read(folder().join(format!("{}.onnx", sample.name))).expect("a file");
        let bindings = bindings(&sample);
        for _ in 0..rounds() {
            try_import(mutated(&bytes, &mut rng), &bindings);
        }
    }
}

/// The node tests have every operator, and their bytes are nearly all structure.
#[test]
fn changed_node_tests_do_not_panic() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let path = |file: &str| folder().parent().expect("a folder").join(file);
    let records = archive::read(&path("nodes.gz")).into_iter().chain(archive::read(&path("contrib.gz")));
    let mut inputs: Vec<(String, cotangent::Array)> = Vec::new();
    for (name, data) in records.collect::<Vec<_>>().into_iter().rev() {
        // In reverse, the inputs of a case come before its model.
        if name.contains("/0/input_") {
            inputs.extend(read_held_tensor(&data).map(|(name, value, _)| (name, value)));
        } else if name.ends_with("/model") {
            let bindings =
                inputs.drain(..).fold(Bindings::new().hold_integers(), |b, (name, value)| b.value(&name, value));
            for _ in 0..rounds() / 6 {
                try_import(mutated(&data, &mut rng), &bindings);
            }
        }
    }
}
