//! Arrays from tables, checkpoints and archives that hold more than a model asks for, and what a check finds to compare.

use cotangent::Array;
use cotangent::io::{npz, safetensors};

use super::{Folder, with_model};

#[test]
fn numbers_of_tables_become_what_the_model_takes() {
    let folder = with_model("tables");
    folder.write("t.csv", "a,b,c,label\n1,2,3,0\n4,5,6,1\n").write("half.csv", "label\n0\n0.5\n");
    folder.write("w.csv", "1,0\n0,1\n1,-1\n").write("far.csv", "label\n0\n3000000000\n");
    folder.write("fc.weight.csv", "1,0\n0,1\n1,-1\n");
    for command in ["run", "grad --loss loss --wrt x", "check", "bench --time 0.01", "info", "dump"] {
        let words = "model.cot --input x=t.csv:a,b,c --input y=t.csv:label --input fc.weight=w.csv";
        let folder_word = if command.starts_with(['r', 'g']) { "--output-dir out" } else { "" };
        folder.cotangent(&format!("{command} {words} {folder_word}")).succeeds();
    }
    assert_eq!(folder.read("out/loss.npy"), Array::scalar(12.0f32));
    assert_eq!(folder.read("out/labels.npy"), Array::from([0i32, 1]));
    folder.cotangent("run model.cot --input x=x.npy --inputs y.npy --params fc.weight.csv --output-dir out").succeeds();
    assert_eq!(folder.read("out/loss.npy"), Array::scalar(12.0f32));
    for (file, telling) in [
        ("half.csv", "`y`: row 1 holds 0.5, which is no i32"),
        ("far.csv", "`y`: row 1 holds 3000000000, which is no i32"),
        ("t.csv:a,b", "`y`: an example has shape [2], the model takes []"),
    ] {
        let words = format!("run model.cot --input x=x.npy --input fc.weight=w.npy --input y={file}");
        folder.cotangent(&words).fails(1, &[telling]);
    }
    // Arrays that have an element type keep it.
    folder.npy("wide.npy", [[1.0f64; 3]; 2]);
    folder
        .cotangent("run model.cot --input x=wide.npy --input y=y.npy --input fc.weight=w.npy")
        .fails(1, &["the array given is f64[2, 3]"]);
}

#[test]
fn parameters_are_taken_out_of_a_checkpoint() {
    let folder = Folder::new("checkpoint_params");
    folder.write(
        "line.cot",
        "%x = input {name=\"x\"} : f32[2, 2]\n%w = param {name=\"w\", kind=trainable} : f32[2]\n\
         %y = dot %x, %w {lhs_contract=[1], rhs_contract=[0]} : f32[2]\noutput \"y\" = %y\n",
    );
    folder.npy("w.npy", [1.0f32, 2.0]).npy("x.npy", [[1.0f32, 0.0], [0.0, 1.0]]).npy("t.npy", [3.0f32, -1.0]);
    let train = "train line.cot --loss-of y=mse --data x=x.npy --data t=t.npy --quiet --epochs 3";
    let early = "--early-stop 5 --checkpoint run.safetensors --output w.safetensors";
    folder.cotangent(&format!("{train} --input w=w.npy {early}")).succeeds();
    let note =
        "note: run.safetensors is a checkpoint: its parameters are taken, the state of the optimizer is left out\n";
    let done = folder.cotangent("run line.cot --params run.safetensors --input x=x.npy --output-dir out").notes(note);
    assert_eq!(done.err(), note);
    let w = safetensors::read(folder.path("w.safetensors")).unwrap().remove("w").unwrap();
    assert_eq!(folder.read("out/y.npy"), w, "the rows of x choose the elements");
    let out = folder.cotangent(&format!("{train} --params run.safetensors")).succeeds().out();
    assert!(out.contains("note\trun.safetensors is a checkpoint"), "{out}");
    folder.cotangent("info line.cot --params run.safetensors").notes(note);
    folder.cotangent("info line.cot --params nosuch.safetensors").fails(1, &["nosuch.safetensors: cannot read"]);
}

#[test]
fn a_file_of_parameters_is_read_whatever_is_known_of_the_model() {
    let folder = Folder::new("info_params");
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/models");
    std::fs::copy(models.join("mlp.onnx"), folder.path("mlp.onnx")).unwrap();
    folder.cotangent("info mlp.onnx --params nosuch").fails(1, &["nosuch: cannot read"]);
}

#[test]
fn what_an_archive_holds_beside_the_model_is_left_out_and_told() {
    let folder = with_model("extras");
    let (x, y, w) = (folder.read("x.npy"), folder.read("y.npy"), folder.read("w.npy"));
    npz::write(folder.path("all.npz"), [("x", &x), ("y", &y), ("fc.weight", &w), ("id", &y)]).unwrap();
    npz::write(folder.path("more.npz"), [("x", &x), ("y", &y), ("fc.weight", &w), ("id", &y), ("z", &y)]).unwrap();
    npz::write(folder.path("none.npz"), [("id", &y)]).unwrap();
    folder
        .cotangent("run model.cot --inputs all.npz --output-dir out")
        .notes("all.npz: nothing in the model is called `id`: it is left out");
    assert_eq!(folder.read("out/loss.npy"), Array::scalar(12.0f32));
    folder
        .cotangent("run model.cot --inputs more.npz --output-dir out")
        .notes("more.npz: 2 arrays that nothing in the model is called like are left out: id, z");
    folder.cotangent("run model.cot --inputs none.npz").fails(2, &["no input or parameter called `id`"]);
    folder.cotangent("run model.cot --inputs x.npy --inputs y.npy --params all.npz").notes("3 arrays");
    folder
        .cotangent("run model.cot --inputs x.npy --inputs y.npy --params none.npz")
        .fails(2, &["no parameter called `id`"]);
}

#[test]
fn a_check_says_what_it_did_not_compare() {
    let folder = with_model("check_nothing");
    folder.write("vector.cot", "%x = input {name=\"x\"} : f32[3]\n%y = exp %x : f32[3]\noutput \"y\" = %y\n");
    let out = folder.cotangent("check vector.cot").succeeds().out();
    assert!(out.contains("SKIP  gradient: not checked (no output is a float scalar)\n"), "{out}");
    assert!(!out.contains("note: inputs"), "{out}");
    folder.write(
        "two.cot",
        "%x = input {name=\"x\"} : f32[]\n%y = exp %x : f32[]\noutput \"y\" = %y\noutput \"x\" = %x\n",
    );
    let out = folder.cotangent("check two.cot").succeeds().out();
    assert!(out.contains("gradient: not checked (several outputs are float scalars, y, x, and none is named"), "{out}");
    let out = folder.cotangent("check two.cot --loss y").succeeds().out();
    assert!(!out.contains("not checked"), "{out}");
    folder.write("none.cot", "%x = input {name=\"x\"} : f32[0, 3]\n%y = exp %x : f32[0, 3]\noutput \"y\" = %y\n");
    let done = folder.cotangent("check none.cot").fails(1, &["nothing was compared"]);
    assert!(done.out().contains("SKIP  jit O2: no output has an element"), "{}", done.out());
    assert!(!done.out().contains("PASS  jit"), "{}", done.out());
}

#[test]
fn a_dump_goes_to_a_file_and_tells_lines_of_the_text_form() {
    let folder = with_model("dump_files");
    let text = folder.cotangent("dump model.cot").succeeds().out();
    assert!(text.contains("%3 = dot %0, %2") && text.contains("  ; model.cot:5\n"), "{text}");
    assert_eq!(folder.cotangent("dump model.cot -o graph.cot").succeeds().out(), "");
    assert_eq!(std::fs::read_to_string(folder.path("graph.cot")).unwrap(), text);
    // What a dump tells is kept where the dump is read again.
    assert_eq!(folder.cotangent("dump graph.cot").succeeds().out(), text);
    folder.cotangent("dump model.cot --output graph.svg").succeeds();
    assert!(std::fs::read_to_string(folder.path("graph.svg")).unwrap().contains("<svg"));
    folder.cotangent("dump model.cot --output graph.svg --format dot").notes("what is written is dot");
    assert!(std::fs::read_to_string(folder.path("graph.svg")).unwrap().starts_with("digraph"));
    folder.cotangent("dump model.cot --output nowhere/a.txt").fails(1, &["--output nowhere/a.txt: cannot write"]);
    for stage in ["graph", "opt", "plan"] {
        let text = folder.cotangent(&format!("dump model.cot --loss loss --stage {stage}")).succeeds().out();
        assert!(!text.contains("; ?") && !text.contains(", ?"), "{stage}: {text}");
    }
}
