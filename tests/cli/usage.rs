//! Help, completions, wrong usage, and models that are none.

use super::{Folder, GIVEN, with_model};

#[test]
fn help_tells_commands_formats_and_exit_statuses() {
    let folder = Folder::new("help");
    let help = folder.cotangent("--help").succeeds().out();
    for part in ["run ", "grad ", "info ", "completions ", "Exit status:", "3  the model uses", "Examples:"] {
        assert!(help.contains(part), "{part:?} is in {help}");
    }
    for command in ["run", "grad", "info"] {
        let help = folder.cotangent(&format!("{command} --help")).succeeds().out();
        assert!(help.contains(&format!("\n  cotangent {command} ")), "an example is in {help}");
        assert!(!help.contains('\x1b'), "no colours where there is no terminal");
    }
    assert!(folder.cotangent("--version").succeeds().out().starts_with("cotangent "));
}

#[test]
fn completions_are_written_for_every_shell() {
    let folder = Folder::new("completions");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = folder.cotangent(&format!("completions {shell}")).succeeds().out();
        assert!(script.contains("cotangent") && script.contains("grad"), "{shell}");
    }
}

#[test]
fn wrong_usage_has_status_2() {
    let folder = with_model("wrong_usage");
    folder.npy("odd.npy", [1.0f32, 2.0]);
    let arrays = [("a", cotangent::Array::scalar(1.0f32)), ("b", cotangent::Array::scalar(2.0f32))];
    cotangent::io::npz::write(folder.path("several.npz"), arrays.iter().map(|(name, a)| (*name, a))).unwrap();
    assert_eq!(folder.cotangent("").status(), 2);
    for (words, telling) in [
        ("walk", "walk"),
        ("run", "<MODEL>"),
        ("run model.cot --wind 3", "--wind"),
        ("run model.cot --input x", "expected NAME=FILE"),
        ("run model.cot --dim batch=many", "`many` is not an extent"),
        ("run model.cot --dim batch=-1", "`-1` is not an extent"),
        ("run model.cot --engine gpu", "possible values: jit, interp"),
        ("run model.cot --threads 0", "`0` is not a whole number from 1 on"),
        ("run model.cot --threads -2", "`-2` is not a whole number from 1 on"),
        ("bench model.cot --time -1", "`-1` is not a time in seconds"),
        ("run model.cot --input x=x.npy --input x=y.npy", "--input gives `x` twice"),
        ("run model.cot --dim n=1 --dim n=2", "--dim gives `n` two extents"),
        ("grad model.cot --loss loss", "--wrt"),
        ("grad model.cot --wrt x", "--loss"),
        ("info model.cot --format yaml", "possible values: text, json"),
        ("run model.cot", "missing input"),
        ("run model.cot --input wish=x.npy", "no input or parameter called `wish`"),
        ("run model.cot --inputs odd.npy", "--input NAME=odd.npy tells whose array it is"),
        ("run model.cot --input x=several.npz", "choose one by FILE:NAME"),
        ("run model.cot --input x=several.npz:wish", "there is no array called `wish`"),
        ("grad model.cot --loss labels --wrt x", "the loss must be a scalar"),
        ("check model.cot --loss labels", "the loss must be a scalar"),
        ("dump model.cot -o drawing.foo", "the extension .foo tells no format; there are .cot, "),
    ] {
        folder.cotangent(words).fails(2, &[telling]);
    }
    for (words, usage) in [
        ("run model.cot --input x=x.npy --input x=y.npy", "Usage: cotangent run [OPTIONS] <MODEL>"),
        ("dump model.cot --stage grad", "Usage: cotangent dump [OPTIONS] <MODEL>"),
    ] {
        folder.cotangent(words).fails(2, &[usage]);
    }
}

#[test]
fn help_is_wrapped_to_the_width_of_the_terminal() {
    let folder = Folder::new("help_width");
    let commands = ["", "run", "grad", "train", "info", "dump", "bench", "check", "completions"];
    for (columns, command) in [80, 100].into_iter().flat_map(|columns| commands.map(|command| (columns, command))) {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_cotangent"));
        let words = command.split_whitespace().chain(["--help"]);
        let output = program.args(words).env("COLUMNS", columns.to_string()).current_dir(&folder.0).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = help.lines().filter(|line| !line.starts_with("Usage: ")).collect();
        for (line, next) in lines.iter().zip(&lines[1..]) {
            let length = line.chars().count();
            assert!(length <= columns, "{command}, {columns} columns: {line}");
            // A line of prose ends where the first word of the next does not fit.
            let is_prose = |line: &str| line.starts_with(|c: char| c.is_alphanumeric() || "`(-".contains(c));
            if is_prose(line) && is_prose(next) && length > 40 {
                let word = next.split(' ').next().unwrap().chars().count();
                assert!(length + 1 + word > columns, "{command}, {columns} columns, ragged: {line}\n{next}");
            }
        }
    }
    let help = folder.cotangent("run --help").succeeds().out();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("a file of one array without a name, such as x.npy, is called like itself: x"), "{help}");
}

#[test]
fn files_that_are_no_models_have_status_1() {
    let folder = with_model("no_models");
    folder.write("empty.onnx", "").write("broken.cot", "%0 = input {name=\"x\"} : f32[2\n");
    folder.cotangent("run missing.onnx").fails(1, &["missing.onnx: cannot read"]);
    folder.cotangent("run .").fails(1, &["cannot read"]);
    folder.write("model.pt", b"PK\x03\x04rest");
    folder.cotangent("info model.pt").fails(1, &["model.pt", "a zip archive", "export the model as ONNX"]);
    folder.cotangent("info x.npy").fails(1, &["x.npy", "this is an array, npy"]);
    folder.cotangent("run empty.onnx").fails(1, &["empty.onnx", "the file is empty"]);
    folder.cotangent("info broken.cot").fails(1, &["broken.cot: line 1, column", "expected"]);
    for command in ["run", "info"] {
        folder.cotangent(&format!("{command} model.cot --dim batch=3")).fails(2, &["`batch` cannot be bound"]);
    }
}

#[test]
fn operations_that_the_text_form_lacks_are_misspelt() {
    let folder = Folder::new("misspelt");
    for (operation, telling) in [
        ("warp", "no operation called `warp`"),
        ("transpsoe", "did you mean `transpose`?"),
        ("Exp", "did you mean `exp`?"),
    ] {
        folder.write(
            "model.cot",
            format!("%0 = input {{name=\"x\"}} : f32[2]\n%1 = {operation} %0 : f32[2]\noutput \"y\" = %1\n"),
        );
        for command in ["run", "info", "check"] {
            folder.cotangent(&format!("{command} model.cot")).fails(1, &["line 2, column 6", telling]);
        }
    }
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    use std::process::{Command, Stdio};
    let folder = with_model("nobody_reads");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cotangent"));
    command.args(["run"]).args(GIVEN.split(' ')).current_dir(&folder.0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}
