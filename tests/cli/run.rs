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
    folder.cotangent("run model.cot --input x=given.npz").fails(2, &["expected one array, the file holds 2: x, y"]);
    folder.cotangent("run model.cot --input x=given.npz:z").fails(2, &["no array called `z`; there are: x, y"]);
    folder.cotangent("run model.cot --params given.npz").fails(2, &["no parameter called `x`; there are: fc.weight"]);
    let _: BTreeMap<String, Array> = npz::read(folder.path("given.npz")).unwrap();
}

#[test]
fn what_does_not_fit_is_told_with_the_names_there_are() {
    let folder = with_model("misfits");
    folder.write("short.npy", &std::fs::read(folder.path("x.npy")).unwrap()[..130]).npy("d.npy", [[1.0f64; 3]; 2]);
    for (words, telling) in [
        (
            "run model.cot",
            &["missing inputs: x (f32[2, 3]), y (i32[2]); parameters without a value: fc.weight (f32[3, 2])"][..],
        ),
        ("run model.cot --input x=x.npy --input y=y.npy", &["parameters without a value: fc.weight"]),
    ] {
        folder.cotangent(&format!("{words} --output-dir out")).fails(2, telling);
    }
    for (words, telling) in [
        ("run model.cot --input x=w.npy", &["`x` is f32[2, 3], the array given is f32[3, 2]"][..]),
        ("run model.cot --input x=d.npy", &["`x` is f32[2, 3], the array given is f64[2, 3]", ".astype(np.float32)"]),
        ("run model.cot --input x=nowhere.npy", &["nowhere.npy: cannot read"]),
        ("run model.cot --input x=model.cot", &["model.cot: expected npy, npz"]),
        ("run model.cot --input x=short.npy", &["short.npy: truncated: 24 bytes of elements expected, 2 found"]),
    ] {
        folder.cotangent(&format!("{words} --output-dir out")).fails(1, telling);
    }
    for (words, telling) in [
        ("--loss layer/logits --wrt x", &["the loss must be a scalar", "`layer/logits` is f32[2, 2]"][..]),
        ("--loss labels --wrt x", &["the loss must be a scalar", "i32[2]"]),
        ("--loss loss --wrt y", &["`y` is i32[2], and only f32 and f64 have derivatives"]),
    ] {
        folder.cotangent(&format!("grad {GIVEN} {words} --output-dir out")).fails(2, telling);
    }
    // Names that the model does not have are wrong usage.
    let grad = format!("grad {GIVEN} --output-dir out");
    for (words, telling) in [
        (
            "run model.cot --input z=x.npy",
            &["no input or parameter called `z`; there are: x, y, fc.weight", "Usage: cotangent run"][..],
        ),
        (
            "info model.cot --input z=x.npy",
            &["no input or parameter called `z`; there are: x, y, fc.weight", "Usage: cotangent info"],
        ),
        (
            &format!("{grad} --loss nothing --wrt x"),
            &["no output called `nothing`; there are: layer/logits, loss, labels", "Usage: cotangent grad"],
        ),
        (&format!("{grad} --loss los --wrt x"), &["did you mean `loss`?"]),
        (
            &format!("{grad} --loss loss --wrt x,v"),
            &["no float input or parameter called `v`; there are: x, fc.weight"],
        ),
    ] {
        folder.cotangent(words).fails(2, telling);
    }
    for command in ["info", "bench", "check"] {
        let words = format!("{command} model.cot --input x=w.npy");
        folder.cotangent(&words).fails(1, &["`x` is f32[2, 3], the array given is f32[3, 2]"]);
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

#[test]
fn a_run_that_no_memory_holds_is_told_before_it_begins() {
    let folder = Folder::new("memory");
    folder.npy("x.npy", 1.0f32);
    folder.write(
        "given.cot",
        "%x = input {name=\"x\"} : f32[99999999999999]\n%y = exp %x : f32[99999999999999]\noutput \"y\" = %y\n",
    );
    folder.write(
        "made.cot",
        "%x = input {name=\"x\"} : f32[]\n%b = broadcast %x {axes=[0]} : f32[99999999999999]\noutput \"y\" = %b\n",
    );
    // The second runs backwards over all that the first gives.
    folder.write(
        "inside.cot",
        "%x = input {name=\"x\"} : f32[]\n%b = broadcast %x {axes=[0]} : f32[99999999999999]\n\
         %c = cumulative %b {kind=sum, axis=0, reverse=false} : f32[99999999999999]\n\
         %d = cumulative %c {kind=sum, axis=0, reverse=true} : f32[99999999999999]\n\
         %s = slice %d {start=[0], step=[99999999999999]} : f32[1]\noutput \"y\" = %s\n",
    );
    let (ty, bytes) = ("f32[99999999999999]", "takes 399999999999996 bytes (363.8 TiB)");
    for command in ["bench", "check"] {
        folder.cotangent(&format!("{command} given.cot")).fails(1, &["a random array for `x` : ", ty, bytes]);
        folder.cotangent(&format!("{command} made.cot")).fails(1, &[ty, bytes]);
    }
    for engine in ["jit", "interp"] {
        let words = format!("run made.cot --input x=x.npy --engine {engine}");
        folder.cotangent(&words).fails(1, &["output `y` : ", ty, bytes]);
    }
    folder.cotangent("run inside.cot --input x=x.npy").fails(1, &["the arena of intermediate values", "TiB"]);
    folder.cotangent("run inside.cot --input x=x.npy --engine interp").fails(1, &[ty, bytes]);
    // What needs no memory of a run says how much one would take.
    let info = folder.cotangent("info given.cot").succeeds().out();
    assert!(info.contains("727.6 TiB inputs, outputs"), "{info}");
    for stage in ["graph", "opt", "plan", "clif", "asm"] {
        folder.cotangent(&format!("dump given.cot --stage {stage}")).succeeds();
    }
    folder.write(
        "beyond.cot",
        "%x = input {name=\"x\"} : f32[900000000000000000]\n%y = exp %x : f32[900000000000000000]\noutput \"y\" = %y\n",
    );
    for command in ["info", "dump --stage plan"] {
        folder.cotangent(&format!("{command} beyond.cot")).fails(1, &["f32[900000000000000000]", "addresses"]);
    }
}

#[test]
fn archives_of_one_array_are_called_like_their_files() {
    let folder = with_model("stems");
    let words = "run model.cot --inputs x.npy --inputs y.npy --input fc.weight=w.npy";
    folder.cotangent(words).succeeds();
}
