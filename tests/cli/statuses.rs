//! The exit status of every kind of mistake, command by command: 2 is of who asked, 3 of a model that is not supported, 1 of files and the rest.

use std::path::Path;

use super::proto::{batched, declared, initializer, message, model, node, node_with, number};
use super::{Folder, with_model};

/// A folder with models, arrays for them, and files that are none.
fn with_all(name: &str) -> Folder {
    let folder = with_model(name);
    let graph = |op: Vec<u8>| {
        model(&[
            (1, op),
            (2, b"graph".to_vec()),
            (5, initializer("w", &[1.0, 1.0])),
            (11, batched("x", &[2])),
            (12, batched("y", &[2])),
        ])
    };
    folder.write("mul.onnx", graph(node("Mul", &["x", "w"], "y")));
    folder.write("odd.onnx", graph(node_with("Quirk", &["x", "w"], &["y"], &[])));
    folder.npy("rows.npy", [[1.0f32, 2.0], [3.0, 4.0]]).npy("t.npy", [[0.0f32, 0.0], [0.0, 0.0]]);
    folder.npy("short.npy", [[0.0f32, 0.0]]).npy("odd.npy", [1.0f32, 2.0]).npy("far.npy", [[0i64], [7]]);
    folder.write("table.csv", "a,b\n1,2\n3,4\n").write("bad.csv", "a,b\n1,two\n").write("bad.npy", "\u{93}NUMPY");
    folder.write("bad.safetensors", "{").write("bad.cot", "%0 = input {name=\"x\"} : f32[2\n");
    std::fs::create_dir(folder.path("folder")).unwrap();
    let arrays = [("a", cotangent::Array::scalar(1.0f32)), ("b", cotangent::Array::scalar(2.0f32))];
    cotangent::io::npz::write(folder.path("several.npz"), arrays.iter().map(|(name, a)| (*name, a))).unwrap();
    folder
}

const TRAIN: &str = "train mul.onnx --epochs 1 --quiet";
const DATA: &str = "--loss-of y=mse --data x=rows.npy --data t=t.npy";

#[test]
fn every_mistake_has_the_status_of_whose_it_is() {
    let folder = with_all("statuses");
    let given = "--input x=x.npy --input y=y.npy --input fc.weight=w.npy";
    for (status, words, telling) in [
        // Names that are not there.
        (2, format!("run model.cot {given} --input wish=x.npy"), "no input or parameter called `wish`"),
        (2, format!("grad model.cot {given} --loss wish --wrt x"), "no output called `wish`"),
        (2, format!("grad model.cot {given} --loss loss --wrt wish"), "no float input or parameter called `wish`"),
        (2, "check model.cot --loss wish".into(), "no output called `wish`"),
        (2, "bench model.cot --loss wish".into(), "no output called `wish`"),
        (2, "dump model.cot --loss wish".into(), "no output called `wish`"),
        (2, "info mul.onnx --dim wish=2".into(), "no symbolic extent called `wish`"),
        (2, "run model.cot --input x=several.npz:wish".into(), "no array called `wish`"),
        (2, "run model.cot --input x=table.csv:wish".into(), "no array called `wish`; there are: a, b"),
        (2, "run model.cot --params several.npz".into(), "no parameter called `a`"),
        (2, format!("{TRAIN} {DATA} --freeze wish"), "no float parameter called `wish`"),
        (2, format!("{TRAIN} {DATA} --train-only wish"), "no float parameter called `wish`"),
        (2, format!("{TRAIN} --loss-of wish=mse --data x=rows.npy --data t=t.npy"), "no output called `wish`"),
        // What is needed and not given.
        (2, "run model.cot".into(), "missing inputs: x (f32[2, 3]), y (i32[2])"),
        (2, "run mul.onnx".into(), "missing input: x"),
        (2, "run model.cot --input x=x.npy --input y=y.npy".into(), "parameters without a value"),
        (2, "bench mul.onnx".into(), "--dim n=EXTENT"),
        (2, "check mul.onnx".into(), "--dim n=EXTENT"),
        (2, "dump mul.onnx".into(), "--dim n=EXTENT"),
        (2, "run model.cot --input x=several.npz".into(), "choose one by FILE:NAME"),
        (2, format!("{TRAIN} --loss-of y=mse --data x=rows.npy"), "expected one array, the target,"),
        (2, format!("{TRAIN} --loss-of y=mse --data t=t.npy"), "no data for the inputs: x"),
        (2, format!("{TRAIN} --data x=rows.npy"), "--loss"),
        (2, "dump model.cot --stage grad".into(), "--stage grad needs --loss"),
        // What cannot be asked.
        (2, format!("grad model.cot {given} --loss layer/logits --wrt x"), "the loss must be a scalar"),
        (2, "check model.cot --loss labels".into(), "the loss must be a scalar"),
        (2, format!("grad model.cot {given} --loss loss --wrt y"), "only f32 and f64 have derivatives"),
        (2, format!("{TRAIN} --loss y --data x=rows.npy"), "--loss-of OUTPUT=LOSS makes a loss"),
        (2, format!("{TRAIN} {DATA} --freeze *"), "the loss depends on no parameter that is trained"),
        (2, format!("{TRAIN} {DATA} --validate 0.001"), "--validate 0.001 is of 2 examples"),
        (2, format!("{TRAIN} {DATA} --validate 0.9999"), "--validate 0.9999 is of 2 examples"),
        (2, format!("{TRAIN} {DATA} --momentum 0.9"), "--momentum is for"),
        (2, format!("{TRAIN} {DATA} --output out.txt"), "--output out.txt: an ONNX model is written as ONNX"),
        (2, format!("{TRAIN} {DATA} --data t=t.npy"), "--data gives `t` twice"),
        (2, "run model.cot --dim n=2".into(), "`n` cannot be bound"),
        (2, "dump model.cot --output a.foo".into(), "the extension .foo tells no format"),
        (2, "dump model.cot --stage asm --format dot".into(), "written as text only"),
        // What is not supported.
        (3, "run odd.onnx --input x=rows.npy".into(), "Quirk"),
        (3, "info odd.onnx".into(), "Quirk"),
        (3, "check odd.onnx --dim n=2".into(), "Quirk"),
        (3, "train odd.onnx --loss-of y=mse --data x=rows.npy --data t=t.npy".into(), "Quirk"),
        // Files.
        (1, "run model.cot --input x=bad.npy".into(), "bad.npy: "),
        (1, "run model.cot --input x=bad.csv".into(), "`two` is not a number"),
        (1, "run model.cot --params bad.safetensors".into(), "bad.safetensors: not a well-formed"),
        (1, "info bad.cot".into(), "bad.cot: line 1"),
        (1, format!("run model.cot {given} --output-dir x.npy"), "--output-dir x.npy: cannot write: it is a file"),
        (1, format!("{TRAIN} {DATA} --output folder"), "--output folder: cannot write: it is a folder"),
        (1, format!("{TRAIN} {DATA} --metrics no/m.csv"), "--metrics no/m.csv: cannot write: there is no folder no"),
        (1, format!("{TRAIN} {DATA} --checkpoint folder"), "--checkpoint folder: cannot write: it is a folder"),
        (1, "dump model.cot --output folder --format dot".into(), "--output folder: cannot write: it is a folder"),
        // Data that does not fit.
        (1, "run model.cot --input x=odd.npy --input y=y.npy".into(), "`x` is f32[2, 3], the array given is f32[2]"),
        (1, format!("{TRAIN} --loss-of y=mse --data x=rows.npy --data t=short.npy"), "rows"),
        (1, format!("{TRAIN} --loss-of y=cross_entropy --data x=rows.npy --data t=far.npy"), "label 7 is none of"),
    ] {
        folder.cotangent(&words).fails(status, &[telling]);
    }
}

#[test]
fn files_that_are_not_there_and_folders_are_told_by_every_command() {
    let folder = with_all("no_files");
    for (what, told) in [("none.onnx", "there is no such file"), ("folder", "it is a folder, and a file is needed")] {
        let told = format!("{what}: cannot read: {told}");
        for words in [
            format!("run {what}"),
            format!("grad {what} --loss loss --wrt x"),
            format!("train {what} {DATA}"),
            format!("info {what}"),
            format!("dump {what}"),
            format!("bench {what}"),
            format!("check {what}"),
            format!("run model.cot --input x={what}"),
            format!("run model.cot --inputs {what}"),
            format!("run model.cot --params {what}"),
            format!("{TRAIN} --loss-of y=mse --data x={what} --data t=t.npy"),
            format!("{TRAIN} {DATA} --validate-data x={what} --validate-data t=t.npy"),
            format!("{TRAIN} {DATA} --resume {what}"),
        ] {
            folder.cotangent(&words).fails(1, &[&told]);
        }
    }
}

#[test]
fn what_is_given_in_the_place_of_a_model_is_told() {
    let folder = with_all("no_model");
    folder.cotangent(&format!("{TRAIN} {DATA} --checkpoint run.safetensors --output out.onnx")).succeeds();
    let w = cotangent::Array::from([1.0f32, 2.0]);
    cotangent::io::safetensors::write(folder.path("w.safetensors"), [("w", &w)]).unwrap();
    for command in ["info", "run", "check"] {
        let resume =
            "this is a checkpoint of a training run: with the model that was trained, `cotangent train --resume`";
        folder.cotangent(&format!("{command} run.safetensors")).fails(1, &["run.safetensors: ", resume]);
        folder
            .cotangent(&format!("{command} w.safetensors"))
            .fails(1, &["w.safetensors: ", "this is arrays, safetensors: with a model they are taken by --params"]);
    }
    assert!(Path::new(&folder.path("out.onnx")).exists());
}

/// Everything that needs texts, or floats of fewer bits at the ends of a model, is told at once.
#[test]
fn models_with_texts_and_narrow_ends_are_not_supported() {
    let folder = with_all("texts");
    let words = [number(1, 1), number(2, 8), message(&[(6, b"word".to_vec()), (8, b"words".to_vec())])].concat();
    let nodes = [
        node("StringNormalizer", &["names"], "a"),
        node("Identity", &["words"], "b"),
        node_with("Cast", &["x"], &["c"], &[("to", 8)]),
        node("StringConcat", &["names", "names"], "d"),
        node("Mul", &["x", "x"], "y"),
    ];
    let ends = [(5, words), (11, batched("x", &[2])), (11, declared("names", 8, 2)), (12, batched("y", &[2]))];
    let ends = ends.into_iter().chain(["a", "b", "c", "d"].map(|name| (12, declared(name, 8, 2))));
    folder.write("texts.onnx", model(&nodes.map(|node| (1, node)).into_iter().chain(ends).collect::<Vec<_>>()));
    let told = ["names", "string", "StringNormalizer", "`words`", "Cast", "StringConcat"];
    for command in ["run texts.onnx --input x=rows.npy", "info texts.onnx", "check texts.onnx --dim n=2"] {
        folder.cotangent(command).fails(3, &told);
    }
    for (element, name) in [(17, "float8e4m3fn"), (23, "float4e2m1"), (24, "float8e8m0")] {
        let cast = node_with("Cast", &["x"], &["q"], &[("to", element)]);
        let narrow = [(1, cast), (11, batched("x", &[2])), (12, declared("q", element, 2))];
        folder.write("narrow.onnx", model(&narrow));
        folder.cotangent("run narrow.onnx --input x=rows.npy").fails(3, &["output", name]);
        let taken =
            [(1, node("Identity", &["q"], "y")), (11, declared("q", element, 2)), (12, declared("y", element, 2))];
        folder.write("narrow.onnx", model(&taken));
        folder.cotangent("run narrow.onnx --input q=odd.npy").fails(3, &["input", name]);
    }
}
