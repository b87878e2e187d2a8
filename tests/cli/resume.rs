//! Runs of `cotangent train` that go on, and those that cannot.

use super::Folder;

/// A model of a line, points of it, and a checkpoint after two epochs.
fn with_checkpoint(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write(
        "line.cot",
        "%x = input {name=\"x\"} : f32[4, 2]\n%w = param {name=\"w\", kind=trainable} : f32[2]\n\
         %y = dot %x, %w {lhs_contract=[1], rhs_contract=[0]} : f32[4]\noutput \"y\" = %y\n",
    );
    let points: Vec<[f32; 2]> = (0..40).map(|i| [(i % 7) as f32 / 7.0, (i % 3) as f32 / 3.0]).collect();
    let x: Vec<[f32; 2]> = points.clone();
    let t: Vec<f32> = points.iter().map(|p| 2.0 * p[0] - p[1]).collect();
    let rows = |values: &[[f32; 2]]| cotangent::Array::new([values.len(), 2], values.concat()).unwrap();
    folder.npy("w.npy", [0.0f32, 0.0]).npy("x.npy", rows(&x)).npy("t.npy", t.clone());
    folder.npy("x_other.npy", rows(&x[..36])).npy("t_other.npy", t[..36].to_vec());
    folder.npy("t_near.npy", t.iter().map(|v| v + 0.25).collect::<Vec<f32>>());
    folder.cotangent(&format!("{TRAIN} {GIVEN} --epochs 2 --checkpoint run.safetensors --metrics m.csv")).succeeds();
    folder
}

const TRAIN: &str = "train line.cot --input w=w.npy --loss-of y=mse --quiet";
const GIVEN: &str = "--data x=x.npy --data t=t.npy --validate 0.2 --seed 3";

#[test]
fn a_run_goes_on_with_what_it_began_with_or_not_at_all() {
    let folder = with_checkpoint("resume_words");
    let resume = "--epochs 3 --resume run.safetensors --output w.safetensors";
    for (words, telling) in [
        (
            "--data x=x.npy --data t=t.npy --validate 0.2 --seed 4",
            "the run began with --seed 3, and is to go on with 4",
        ),
        (
            "--data x=x.npy --data t=t.npy --validate 0.3 --seed 3",
            "began with --validate 0.2, and is to go on with 0.3",
        ),
        ("--data x=x.npy --data t=t.npy --seed 3", "began with --validate 0.2, and is to go on with none"),
        ("--data x=x_other.npy --data t=t_other.npy --validate 0.2 --seed 3", "began with the data 40 examples "),
        ("--data x=x.npy --data t=t_near.npy --validate 0.2 --seed 3", "began with the data 40 examples "),
        (
            "--data x=x.npy --data t=t.npy --validate 0.2 --seed 3 --optimizer lion",
            "began with --optimizer adam, and is to go on with lion",
        ),
    ] {
        folder
            .cotangent(&format!("{TRAIN} {words} {resume}"))
            .fails(2, &["--resume run.safetensors: ", telling, "--params run.safetensors"]);
    }
    assert!(!folder.has("w.safetensors"), "what is refused writes nothing");
    let other_loss = TRAIN.replace("y=mse", "y=bce_with_logits");
    let halves = GIVEN.replace("t=t.npy", "t=halves.npy");
    folder.npy("halves.npy", vec![0.5f32; 40]);
    folder.cotangent(&format!("{other_loss} {halves} {resume}")).fails(2, &["--resume run.safetensors: the run began"]);
    let out = folder.cotangent(&format!("{TRAIN} {GIVEN} {resume} --lr 0.5")).succeeds().out();
    assert!(out.contains("note\tthe run began with --lr 0.001, and goes on with 0.5\n"), "{out}");
    let out = folder.cotangent(&format!("{TRAIN} {GIVEN} {resume}")).succeeds().out();
    assert!(!out.contains("the run began with"), "{out}");
}

#[test]
fn a_run_that_is_done_already_says_so_and_leaves_its_log_alone() {
    let folder = with_checkpoint("resume_done");
    let log = std::fs::read(folder.path("m.csv")).unwrap();
    for (epochs, metrics) in [(1, "m.csv"), (2, "m.csv"), (1, "new.csv")] {
        let words = format!("--epochs {epochs} --resume run.safetensors --metrics {metrics}");
        let out = folder.cotangent(&format!("{TRAIN} {GIVEN} {words}")).succeeds().out();
        let told = format!(
            "note\tthe checkpoint has 2 epochs behind it, which --epochs {epochs} counts: nothing was trained\n"
        );
        assert!(out.contains(&told), "{out}");
    }
    assert_eq!(std::fs::read(folder.path("m.csv")).unwrap(), log);
    assert!(!folder.has("new.csv"), "there are no epochs to log");
}

#[test]
fn a_checkpoint_that_cannot_be_read_gives_no_parameters() {
    let folder = with_checkpoint("resume_damaged");
    let bytes = std::fs::read(folder.path("run.safetensors")).unwrap();
    let words = "run line.cot --input x=rows.npy --output-dir out";
    folder.npy("rows.npy", [[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]);
    let mark = b"\"cotangent.checkpoint\":\"1\"";
    let at = bytes.windows(mark.len()).position(|window| window == mark).expect("the mark of a checkpoint");
    let mut later = bytes.clone();
    later[at + mark.len() - 2] = b'2';
    folder.write("later.safetensors", later);
    for from in ["--params", "--inputs"] {
        let told = "later.safetensors: its format is version 2, this is version 1";
        folder.cotangent(&format!("{words} {from} later.safetensors")).fails(1, &[told]);
    }
    folder.write("cut.safetensors", &bytes[..bytes.len() - 3]);
    folder.cotangent(&format!("{words} --params cut.safetensors")).fails(1, &["cut.safetensors: "]);
}

#[test]
fn batches_of_another_size_are_no_way_to_go_on() {
    let folder = super::train::with_digits("resume_batch");
    let words = "train digits.onnx --loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --quiet";
    folder.cotangent(&format!("{words} --batch 100 --epochs 1 --checkpoint run.safetensors")).succeeds();
    let resume = "--resume run.safetensors --epochs 2";
    folder
        .cotangent(&format!("{words} --batch 50 {resume}"))
        .fails(2, &["the run began with --batch 100, and is to go on with 50"]);
    folder
        .cotangent(&format!("{words} --batch 100 --freeze fc1.* {resume}"))
        .fails(2, &["the run began with the trained parameters fc1.weight, "]);
    folder.cotangent(&format!("{words} --batch 100 {resume}")).succeeds();
}

#[test]
fn the_lines_of_epochs_that_are_made_again_are_not_kept_twice() {
    let folder = with_checkpoint("resume_metrics");
    let path = folder.path("m.csv");
    let table = std::fs::read_to_string(&path).unwrap();
    // Killed after it had measured the third epoch and before the checkpoint was written, in the middle of a line.
    let third = table.lines().last().unwrap().replacen('2', "3", 1);
    assert!(third.starts_with("3,"));
    for killed in [format!("{table}{third}\n"), format!("{table}{third}\n4,2"), format!("{table}3"), table] {
        std::fs::write(&path, killed).unwrap();
        folder.cotangent(&format!("{TRAIN} {GIVEN} --epochs 4 --resume run.safetensors --metrics m.csv")).succeeds();
        let text = std::fs::read_to_string(&path).unwrap();
        let epochs: Vec<&str> = text.lines().map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(epochs, ["epoch", "1", "2", "3", "4"], "{text}");
    }
}
