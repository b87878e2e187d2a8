//! ONNX models, with results of onnxruntime and gradients of PyTorch: `tests/scripts/make_cli_models.py`.

use std::collections::BTreeMap;
use std::path::Path;

use cotangent::Array;
use cotangent::io::npz;
use cotangent::testing::{Tolerance, compare};

use super::Folder;

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
        ("run mlp.onnx --input x=double.npy --input y=y.npy", &["`x`", "float32[batch, 6]", "f64[4, 6]"]),
        ("run mlp.onnx --input x=x.npy --input y=three.npy", &["batch", "4", "3"]),
        ("run mlp.onnx --input x=x.npy", &["missing inputs: y (i64[4])"]),
        ("run mlp.onnx --input y=y.npy --input z=x.npy", &["no input or parameter called `z`", "x, y, fc1.weight"]),
        ("run mlp.onnx", &["`x`", "batch"]),
        ("run mlp.onnx --dim length=3", &["`length`"]),
        ("grad mlp.onnx --loss logits --wrt x --input x=x.npy --input y=y.npy", &["the loss must be a scalar"]),
        ("grad mlp.onnx --loss loss --wrt y --input x=x.npy --input y=y.npy", &["`y` is i64[4]"]),
    ] {
        folder.cotangent(&format!("{words} --output-dir out")).fails(1, telling);
    }
    assert!(!folder.has("out"));
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
        "memory      not known",
    ] {
        assert!(open.contains(part), "{part:?} is in {open}");
    }
    let bound = folder.cotangent("info mlp.onnx --dim batch=32").succeeds().out();
    assert!(bound.contains("peak of intermediate values"), "{bound}");
    let checked = folder.cotangent("check mlp.onnx --dim batch=3").succeeds().out();
    assert!(checked.contains("PASS  gradient by fc1.weight") && !checked.contains("FAIL"), "{checked}");
}
