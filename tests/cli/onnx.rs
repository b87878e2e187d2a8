//! ONNX models, with results of onnxruntime and gradients of PyTorch: `tests/scripts/make_cli_models.py`.

use std::collections::BTreeMap;
use std::path::Path;

use cotangent::Array;
use cotangent::io::npz;
use cotangent::testing::{Tolerance, compare};

use super::Folder;
use super::proto::{declared, initializer, message, model, node, number};

/// A folder with the models, and the inputs and expected results of one.
fn with_models(name: &str) -> (Folder, BTreeMap<String, Array>) {
    let folder = Folder::new(name);
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/models");
    for file in ["mlp.onnx", "fixed.onnx", "odd.onnx"] {
        std::fs::copy(models.join(file), folder.path(file)).unwrap();
    }
    let arrays = npz::read(models.join("mlp.npz")).unwrap();
    folder.npy("x.npy", arrays["x"].clone()).npy("y.npy", arrays["y"].clone());
    (folder, arrays)
}

const NEAR: Tolerance = Tolerance { relative: 1e-5, scaled: 1e-6, absolute: 1e-7 };

#[test]
fn outputs_are_those_of_onnxruntime_and_gradients_those_of_pytorch() {
    let (folder, expected) = with_models("onnx");
    for engine in ["jit", "interp"] {
        let words = format!("--input x=x.npy --input y=y.npy --engine {engine} --output-dir {engine}");
        folder.cotangent(&format!("run mlp.onnx {words}")).succeeds();
        let wrt = "x,fc1.weight,fc1.bias,fc2.weight,fc2.bias";
        folder.cotangent(&format!("grad mlp.onnx --loss loss --wrt {wrt} {words}")).succeeds();
        for (name, array) in expected.iter().filter(|(name, _)| !["x", "y"].contains(&&***name)) {
            let actual = folder.read(&format!("{engine}/{name}.npy"));
            compare(array, &actual, NEAR).unwrap_or_else(|e| panic!("{engine}, {name}: {e}"));
        }
    }
}

#[test]
fn an_initializer_may_be_given_another_value() {
    let (folder, _) = with_models("onnx_initializer");
    folder.npy("b.npy", [0.0f32; 3]).npy("w.npy", [[0.0f32; 5]; 3]);
    let words =
        "run mlp.onnx --input x=x.npy --input y=y.npy --input fc2.bias=b.npy --input fc2.weight=w.npy --output-dir out";
    folder.cotangent(words).succeeds();
    let loss = folder.read("out/loss.npy").get_f64(0);
    assert!((loss - 3f64.ln()).abs() < 1e-6, "{loss}");
}

#[test]
fn what_does_not_fit_is_told() {
    let (folder, _) = with_models("onnx_misfits");
    folder.npy("wrong.npy", [[0.0f32; 7]; 4]).npy("double.npy", [[0.0f64; 6]; 4]).npy("three.npy", [0i64, 1, 2]);
    for (words, telling) in [
        ("run mlp.onnx --input x=wrong.npy --input y=y.npy", &["`x`", "float32[batch, 6]", "f32[4, 7]"][..]),
        (
            "run mlp.onnx --input x=double.npy --input y=y.npy",
            &["`x`", "float32[batch, 6]", "f64[4, 6]", ".astype(np.float32)"],
        ),
        ("run mlp.onnx --input x=x.npy --input y=three.npy", &["batch", "4", "3"]),
    ] {
        folder.cotangent(&format!("{words} --output-dir out")).fails(1, telling);
    }
    for (words, telling) in [
        ("run mlp.onnx --input x=x.npy", &["missing inputs: y (i64[4])"][..]),
        (
            "run mlp.onnx",
            &["missing inputs: x (float32[batch, 6]), y (int64[batch]); give arrays by --input NAME=FILE"],
        ),
        ("grad mlp.onnx --loss logits --wrt x --input x=x.npy --input y=y.npy", &["the loss must be a scalar"]),
        ("grad mlp.onnx --loss loss --wrt y --input x=x.npy --input y=y.npy", &["`y` is i64[4]"]),
    ] {
        folder.cotangent(&format!("{words} --output-dir out")).fails(2, telling);
    }
    assert!(!folder.has("out"));
    // An extent does not help a run, which takes arrays.
    let error = folder.cotangent("run mlp.onnx --dim batch=4").fails(2, &["missing inputs: x"]).err();
    assert!(!error.contains("--dim") && !folder.cotangent("run mlp.onnx").err().contains("--dim"), "{error}");
    for command in ["run", "info", "dump", "bench", "check"] {
        for (words, telling) in [
            ("--input y=y.npy --input z=x.npy", "no input or parameter called `z`; there are: x, y, fc1.weight"),
            ("--input z=x.npy", "no input or parameter called `z`; there are: x, y, fc1.weight"),
            ("--dim btach=3", "no symbolic extent called `btach`; there are: batch; did you mean `batch`?"),
            ("--dim batch=3 --input x=x.npy", "the extent `batch` is 3 and, by input `x` of shape [4, 6], 4"),
        ] {
            let usage = format!("Usage: cotangent {command} ");
            folder.cotangent(&format!("{command} mlp.onnx {words}")).fails(2, &[telling, &usage]);
        }
    }
    for command in ["dump", "bench", "check"] {
        folder.cotangent(&format!("{command} mlp.onnx")).fails(2, &["extent `batch`", "--dim batch=EXTENT"]);
    }
    folder.cotangent("info mlp.onnx --input x=double.npy").fails(1, &["declared as float32[batch, 6]"]);
    for command in ["info", "dump", "bench", "check"] {
        let huge = format!("{command} mlp.onnx --dim batch=99999999999999");
        folder.cotangent(&huge).fails(1, &["input `x`: ", "[99999999999999, 6] has too many elements"]);
    }
    let bytes = std::fs::read(folder.path("mlp.onnx")).unwrap();
    folder.write("short.onnx", &bytes[..bytes.len() / 2]).write("noise.onnx", [0x08u8, 0xff, 0xff, 0xff]);
    for file in ["short.onnx", "noise.onnx"] {
        folder.cotangent(&format!("run {file}")).fails(1, &[file, "not an ONNX model"]);
    }
}

#[test]
fn all_that_is_not_supported_is_listed_with_status_3() {
    let (folder, _) = with_models("onnx_odd");
    folder.npy("one.npy", [1.0f32]);
    let telling = ["`first`", "Warp", "`second`", "Weft"];
    folder.cotangent("run odd.onnx --input x=one.npy").fails(3, &telling);
    folder.cotangent("grad odd.onnx --loss y --wrt x --input x=one.npy").fails(3, &telling);
    folder.cotangent("info odd.onnx").fails(3, &telling);
    let info = folder.cotangent("info odd.onnx --dim n=2").fails(3, &telling).out();
    assert!(info.contains("x : float32[n]") && info.contains("made.up.Warp 1"), "{info}");
}

#[test]
fn info_tells_extents_by_name_until_they_are_bound() {
    let (folder, _) = with_models("onnx_info");
    let open = folder.cotangent("info mlp.onnx").succeeds().out();
    for part in [
        "ONNX, written by make_cli_models",
        "x : float32[batch, 6]",
        "fc1.weight : float32[5, 6]",
        "Gemm 2",
        "53 in all",
        "memory      not known: the extent `batch` is not known; give --dim batch=EXTENT, or arrays",
    ] {
        assert!(open.contains(part), "{part:?} is in {open}");
    }
    let bound = folder.cotangent("info mlp.onnx --dim batch=32").succeeds().out();
    assert!(bound.contains("peak of intermediate values"), "{bound}");
    let checked = folder.cotangent("check mlp.onnx --dim batch=3").succeeds().out();
    assert!(checked.contains("PASS  gradient by fc1.weight") && !checked.contains("FAIL"), "{checked}");
}

#[test]
fn the_gradient_by_an_initializer_that_nothing_uses_is_zero() {
    let folder = Folder::new("onnx_unused");
    let graph = [
        (1, node("Mul", &["x", "w"], "p")),
        (1, node("ReduceSum", &["p"], "s")),
        (2, b"unused".to_vec()),
        (5, initializer("w", &[3.0, 4.0])),
        (5, initializer("dead", &[7.0, 8.0, 9.0])),
        (11, declared("x", 1, 2)),
        (12, declared("s", 1, 1)),
    ];
    folder.write("model.onnx", model(&graph)).npy("x.npy", [1.0f32, 2.0]);
    for engine in ["jit", "interp"] {
        let words = format!("grad model.onnx --loss s --wrt dead,w --input x=x.npy --engine {engine} --output-dir out");
        folder.cotangent(&words).succeeds();
        assert_eq!(folder.read("out/grad_dead.npy"), Array::from([0.0f32; 3]));
        assert_eq!(folder.read("out/grad_w.npy"), Array::from([1.0f32, 2.0]));
    }
    let checked = folder.cotangent("check model.onnx").succeeds().out();
    assert!(checked.contains("SKIP  gradient by dead: the loss does not depend on it"), "{checked}");
}

#[test]
fn an_input_whose_value_decides_shapes_is_missing_rather_than_not_supported() {
    let folder = Folder::new("onnx_deciding");
    let graph = [
        (1, node("Reshape", &["x", "target"], "y")),
        (2, b"deciding".to_vec()),
        (11, declared("x", 1, 4)),
        (11, declared("target", 7, 1)),
        (12, declared("y", 1, 4)),
    ];
    folder.write("model.onnx", model(&graph)).npy("x.npy", [1.0f32, 2.0, 3.0, 4.0]).npy("target.npy", [4i64]);
    folder
        .cotangent("run model.onnx --input x=x.npy")
        .fails(2, &["missing input: target (int64[1])", "--input NAME=FILE"]);
    let info = folder.cotangent("info model.onnx").succeeds().out();
    assert!(info.contains("not known: shapes that depend on the value of `target` are not known"), "{info}");
    folder.cotangent("run model.onnx --input x=x.npy --input target=target.npy").succeeds();

    // Of several inputs without an array, those on which the value does not depend are not told to decide.
    let graph = [
        (1, node("Reshape", &["x", "target"], "y")),
        (2, b"deciding".to_vec()),
        (11, declared("x", 1, 4)),
        (11, declared("target", 7, 1)),
        (11, declared("other", 7, 1)),
        (12, declared("y", 1, 4)),
    ];
    folder.write("others.onnx", model(&graph));
    let info = folder.cotangent("info others.onnx").succeeds().out();
    assert!(info.contains("not known: shapes that depend on the value of `target` are not known"), "{info}");
}

/// A value that stays unknown whatever else is given is not supported, also if inputs are missing on which it does not depend.
#[test]
fn a_value_that_no_array_makes_known_is_not_supported() {
    let folder = Folder::new("onnx_never_known");
    // The number of elements that are not 0 of a product too large to be made at import.
    let large = |name: &str| {
        let shape = message(&[(1, number(1, 1)), (1, [vec![1 << 3], vec![0x81, 0x80, 0x40]].concat())]);
        let tensor = [number(1, 7), message(&[(2, shape)])].concat();
        message(&[(1, name.into()), (2, message(&[(1, tensor)]))])
    };
    let graph = [
        (1, node("NonZero", &["wide"], "y")),
        (2, b"never".to_vec()),
        (11, large("wide")),
        (11, declared("missing", 7, 1)),
        (12, declared("y", 7, 1)),
    ];
    folder.write("model.onnx", model(&graph));
    let told = "operand 0, `wide`, is not known before the program runs";
    folder.cotangent("run model.onnx").fails(3, &[told]);
    folder.cotangent("info model.onnx").fails(3, &[told]);
}
