//! `cotangent run`, `cotangent grad` and `cotangent info`.

use std::collections::BTreeMap;

use cotangent::io::{npz, safetensors};
use cotangent::{Array, DType};

use super::{Folder, GIVEN, with_model};

#[test]
fn outputs_are_files_of_their_type_and_shape() {
    let folder = with_model("outputs");
    for engine in ["jit", "interp"] {
        let dir = format!("made/{engine}");
        let listed = folder.cotangent(&format!("run {GIVEN} --output-dir {dir} --engine {engine}")).succeeds().out();
        let lines = [
            format!("layer/logits\tf32[2, 2]\t{dir}/layer_logits.npy"),
            format!("loss\tf32[]\t{dir}/loss.npy"),
            format!("labels\ti32[2]\t{dir}/labels.npy"),
        ];
        assert_eq!(listed.lines().collect::<Vec<_>>(), lines);
        assert_eq!(folder.read(&format!("{dir}/layer_logits.npy")), Array::from([[4.0f32, -1.0], [10.0, -1.0]]));
        assert_eq!(folder.read(&format!("{dir}/loss.npy")), Array::scalar(12.0f32));
        assert_eq!(folder.read(&format!("{dir}/labels.npy")), Array::from([0i32, 1]));
        assert_eq!(std::fs::read_dir(folder.path(&dir)).unwrap().count(), 3, "nothing else is written");
    }
    // Only what a scalar is tells a 0-d array from one of one element.
    let bytes = std::fs::read(folder.path("made/jit/loss.npy")).unwrap();
    assert!(bytes.windows(11).any(|w| w == b"'shape': ()"));
}

#[test]
fn gradients_are_files_beside_the_outputs() {
    let folder = with_model("gradients");
    let words = format!("grad {GIVEN} --loss loss --wrt fc.weight,x --output-dir out");
    let listed = folder.cotangent(&words).succeeds().out();
    assert_eq!(listed.lines().count(), 5);
    assert!(
        listed.starts_with("grad_fc.weight\tf32[3, 2]\tout/grad_fc.weight.npy\ngrad_x\tf32[2, 3]\tout/grad_x.npy\n")
    );
    assert_eq!(folder.read("out/grad_fc.weight.npy"), Array::from([[5.0f32, 5.0], [7.0, 7.0], [9.0, 9.0]]));
    assert_eq!(folder.read("out/grad_x.npy"), Array::from([[1.0f32, 1.0, 0.0], [1.0, 1.0, 0.0]]));
    assert_eq!(folder.read("out/loss.npy"), Array::scalar(12.0f32));
    folder
        .cotangent(&format!("grad {GIVEN} --loss loss --wrt x --wrt fc.weight --output-dir again --engine interp"))
        .succeeds();
    for file in ["grad_x.npy", "grad_fc.weight.npy"] {
        assert_eq!(folder.read(&format!("again/{file}")), folder.read(&format!("out/{file}")));
    }
}

#[test]
fn without_a_folder_results_are_printed() {
    let folder = with_model("printed");
    let printed = folder.cotangent(&format!("run {GIVEN}")).succeeds().out();
    assert!(printed.contains("loss : f32[]\n12"), "{printed}");
    assert!(printed.contains("labels : i32[2]\n[0 1]"), "{printed}");
}

#[test]
fn names_that_are_no_file_names_stay_in_the_folder() {
    let folder = Folder::new("names");
    folder.write(
        "model.cot",
        "%0 = input {name=\"../x\"} : f32[]\n%1 = neg %0 : f32[]\n\
         output \"../y\" = %1\noutput \"..\" = %0\noutput \"a/b\" = %0\noutput \"a_b\" = %1\noutput \"grad_../x\" = %0\n",
    );
    folder.npy("x.npy", 2.0f32);
    folder.cotangent("grad model.cot --input ../x=x.npy --loss ../y --wrt ../x --output-dir out").succeeds();
    assert_eq!(folder.read("out/.._y.npy"), Array::scalar(-2.0f32));
    assert_eq!(folder.read("out/...npy"), Array::scalar(2.0f32));
    assert_eq!(folder.read("out/a_b.npy"), Array::scalar(2.0f32));
    assert_eq!(folder.read("out/a_b_2.npy"), Array::scalar(-2.0f32));
    assert_eq!(folder.read("out/grad_.._x.npy"), Array::scalar(-1.0f32), "the gradient has its own name");
    assert_eq!(folder.read("out/grad_.._x_2.npy"), Array::scalar(2.0f32));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 3, "nothing left the folder");
}

#[test]
fn every_element_type_and_shape_passes_through_unchanged() {
    let folder = Folder::new("types");
    let arrays: Vec<(&str, Array)> = vec![
        ("bool", Array::from([true, false])),
        ("u8", Array::from([[0u8, 255]])),
        ("i32", Array::scalar(i32::MIN)),
        ("u32", Array::scalar(u32::MAX)),
        ("i64", Array::from([i64::MIN, i64::MAX])),
        ("f32", Array::from([f32::NAN, -0.0, f32::INFINITY, 1e-45])),
        ("f64", Array::from([[[f64::MIN_POSITIVE]]])),
        ("none", Array::new([0, 3], Vec::<f32>::new()).unwrap()),
    ];
    let mut text = String::new();
    let mut words = "run model.cot --output-dir out".to_owned();
    for (name, array) in &arrays {
        text += &format!("%{name} = input {{name=\"{name}\"}} : {}\noutput \"{name}\" = %{name}\n", array.ty());
        folder.npy(&format!("{name}.npy"), array.clone());
        words += &format!(" --input {name}={name}.npy");
    }
    folder.write("model.cot", text);
    for engine in ["jit", "interp"] {
        folder.cotangent(&format!("{words} --engine {engine}")).succeeds();
        for (name, array) in &arrays {
            assert_eq!(folder.read(&format!("out/{name}.npy")), *array, "{name}");
        }
    }
    assert_eq!(arrays.iter().map(|(_, a)| a.dtype()).filter(|d| *d == DType::F32).count(), 2);
}

#[test]
fn arrays_come_from_archives_too() {
    let folder = with_model("archives");
    let (x, y, w) = (folder.read("x.npy"), folder.read("y.npy"), folder.read("w.npy"));
    npz::write(folder.path("given.npz"), [("x", &x), ("y", &y)]).unwrap();
    safetensors::write(folder.path("w.safetensors"), [("fc.weight", &w)]).unwrap();
    folder.write("y.csv", "label,other\n0,7\n1,8\n");
    for words in [
        "run model.cot --inputs given.npz --params w.safetensors",
        "run model.cot --input x=given.npz:x --input y=y.npy --inputs w.safetensors",
        "run model.cot --inputs given.npz --params w.safetensors --input x=x.npy",
    ] {
        folder.cotangent(&format!("{words} --output-dir out")).succeeds();
        assert_eq!(folder.read("out/loss.npy"), Array::scalar(12.0f32), "{words}");
    }
    folder.cotangent("run model.cot --input x=given.npz").fails(1, &["expected one array, the file holds 2: x, y"]);
    folder.cotangent("run model.cot --input x=given.npz:z").fails(1, &["no array called `z`; there are: x, y"]);
    folder
        .cotangent(&format!("{} --input y=y.csv:label", "run model.cot --input x=x.npy"))
        .fails(1, &["`y` is i32[2]", "i64[2]"]);
    folder.cotangent("run model.cot --params given.npz").fails(1, &["no parameter called `x`; there are: fc.weight"]);
    let _: BTreeMap<String, Array> = npz::read(folder.path("given.npz")).unwrap();
}

#[test]
fn what_does_not_fit_is_told_with_the_names_there_are() {
    let folder = with_model("misfits");
    folder.write("short.npy", &std::fs::read(folder.path("x.npy")).unwrap()[..130]).npy("d.npy", [[1.0f64; 3]; 2]);
    for (words, telling) in [
        ("run model.cot", &["missing inputs: x (f32[2, 3]), y (i32[2])"][..]),
        ("run model.cot --input x=x.npy --input y=y.npy", &["parameters without a value: fc.weight"]),
        ("run model.cot --input z=x.npy", &["no input or parameter called `z`", "x, y, fc.weight"]),
        ("run model.cot --input x=w.npy", &["`x` is f32[2, 3], the array given is f32[3, 2]"]),
        ("run model.cot --input x=d.npy", &["`x` is f32[2, 3], the array given is f64[2, 3]"]),
        ("run model.cot --input x=nowhere.npy", &["nowhere.npy: cannot read"]),
        ("run model.cot --input x=model.cot", &["model.cot: expected npy, npz"]),
        ("run model.cot --input x=short.npy", &["short.npy: truncated: 24 bytes of elements expected, 2 found"]),
    ] {
        folder.cotangent(&format!("{words} --output-dir out")).fails(1, telling);
    }
    for (words, telling) in [
        ("--loss nothing --wrt x", &["no output called `nothing`", "layer/logits, loss, labels"][..]),
        ("--loss layer/logits --wrt x", &["the loss must be a scalar", "`layer/logits` is f32[2, 2]"]),
        ("--loss labels --wrt x", &["the loss must be a scalar", "i32[2]"]),
        ("--loss loss --wrt y", &["`y` is i32[2], and only f32 and f64 have derivatives"]),
        ("--loss loss --wrt x,v", &["no float input or parameter called `v`; there are: x, fc.weight"]),
    ] {
        folder.cotangent(&format!("grad {GIVEN} {words} --output-dir out")).fails(1, telling);
    }
    assert!(!folder.has("out"), "what fails writes nothing");
    folder.write("file", "");
    folder.cotangent(&format!("run {GIVEN} --output-dir file")).fails(1, &["file: cannot write"]);
}

#[test]
fn info_tells_what_is_in_a_model() {
    let folder = with_model("info");
    let text = folder.cotangent("info model.cot").succeeds().out();
    for part in [
        "format      text",
        "  x : f32[2, 3]",
        "  loss : f32[]",
        "  fc.weight : f32[3, 2]",
        "  dot 1",
        "6 in all parameters",
        "memory ",
    ] {
        assert!(text.contains(part), "{part:?} is in {text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&folder.cotangent("info model.cot --format json").succeeds().out()).unwrap();
    assert_eq!(json["inputs"][1]["type"], "i32[2]");
    assert_eq!(json["operations"]["reduce"], 1);
    assert!(json["memory"]["external_bytes"].as_u64().unwrap() >= 24 + 24 + 8);
}
