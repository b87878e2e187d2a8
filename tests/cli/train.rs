//! `cotangent train`.

use std::path::Path;

use cotangent::data::digits;
use cotangent::io::{npy, safetensors};
use cotangent::{Array, ArrayElement};

use super::Folder;
use super::proto::{batched, initializer, matrix, message, model, node};

/// A folder with an untrained model of digits for batches of 8, one of any batch, and the digits.
pub(super) fn with_digits(name: &str) -> Folder {
    let folder = Folder::new(name);
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/models");
    for file in ["fixed.onnx", "digits.onnx"] {
        std::fs::copy(models.join(file), folder.path(file)).unwrap();
    }
    let digits = digits();
    let count = digits.train.len();
    let array = |x: Array, name: &str| npy::write(folder.path(name), &x).unwrap();
    // As images, which become the rows that the model takes, and as labels of several types.
    array(Array::new([count, 8, 8], digits.train.features().to_vec()).unwrap(), "x.npy");
    array(Array::from(digits.train.labels()), "y.npy");
    fn labels<T: ArrayElement>(labels: &[i32], to: fn(i32) -> T) -> Array {
        Array::new([labels.len()], labels.iter().map(|&l| to(l)).collect()).unwrap()
    }
    array(labels(digits.train.labels(), i64::from), "y64.npy");
    array(labels(digits.train.labels(), |l| l as u8), "y8.npy");
    let csv: String = digits.train.labels().iter().map(|l| format!("{l}\n")).collect();
    folder.write("y.csv", format!("label\n{csv}"));
    folder
}

/// The last measure of this name in the line of `validation` or `training`.
fn measure(out: &str, line: &str, name: &str) -> f64 {
    let line = out.lines().rfind(|l| l.starts_with(line)).unwrap_or_else(|| panic!("{line} is in {out}"));
    let (_, rest) = line.split_once(&format!("{name} ")).unwrap_or_else(|| panic!("{name} is in {line}"));
    rest.split([',', ' ', '\t']).next().unwrap().parse().unwrap()
}

const WORDS: &str = "--loss-of logits=cross_entropy --data x=x.npy --optimizer adam --lr 5e-3 --quiet";

#[test]
fn a_model_learns_the_digits_and_is_written_back() {
    let folder = with_digits("train_digits");
    let words = format!(
        "train digits.onnx {WORDS} --data y=y.npy --batch 64 --epochs 12 --validate 0.1 --metrics m.csv --output trained.onnx --schedule cosine"
    );
    let out = folder.cotangent(&words).succeeds().out();
    assert!(measure(&out, "validation", "accuracy") > 0.93, "{out}");
    let table = std::fs::read_to_string(folder.path("m.csv")).unwrap();
    assert_eq!(table.lines().count(), 13, "{table}");
    assert!(table.starts_with("epoch,") && table.contains("validation_accuracy"), "{table}");
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let rates: Vec<f64> = rows.iter().map(|row| row[2].parse().unwrap()).collect();
    assert!(rates.is_sorted_by(|a, b| a > b) && rates[0] < 5e-3 && rates[11] > 0.0, "a cosine falls: {rates:?}");
    assert_eq!((rows[0][0], rows[11][0]), ("1", "12"), "epochs are counted from 1");
    // Accuracies are shares of counts: of 144 of the 1438 digits, and of the others.
    let names: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    for (measure, count) in [("train_accuracy", 1294.0), ("validation_accuracy", 144.0)] {
        let column = names.iter().position(|name| *name == measure).unwrap();
        for row in &rows {
            let right = row[column].parse::<f64>().unwrap() * count;
            assert!((right - right.round()).abs() < 1e-9, "{measure}: {right} of {count}");
        }
    }
    // The model that comes out has learned: its loss under another objective is as small.
    let words =
        "train trained.onnx --loss-of logits=cross_entropy --data x=x.npy --data y=y64.npy --lr 0 --epochs 1 --quiet";
    let again = folder.cotangent(words).succeeds().out();
    assert!(measure(&again, "training", "accuracy") > 0.95, "{again}");
}

#[test]
fn labels_of_every_type_give_the_same_model() {
    let folder = with_digits("train_labels");
    let mut models = Vec::new();
    for (i, labels) in ["y.npy", "y64.npy", "y8.npy", "y.csv"].into_iter().enumerate() {
        let words = format!("train digits.onnx {WORDS} --data y={labels} --epochs 1 --output {i}.onnx");
        folder.cotangent(&words).succeeds();
        models.push(std::fs::read(folder.path(&format!("{i}.onnx"))).unwrap());
    }
    assert!(models.iter().all(|model| *model == models[0]));
    assert_ne!(models[0], std::fs::read(folder.path("digits.onnx")).unwrap());
}

#[test]
fn a_run_that_is_resumed_goes_on_to_the_bit() {
    let folder = with_digits("train_resume");
    let words = format!("train digits.onnx {WORDS} --data y=y.npy --batch 50 --validate 0.2 --clip-norm 1 --metrics");
    folder
        .cotangent(&format!("{words} whole.csv --epochs 4 --checkpoint whole.safetensors --output whole.onnx"))
        .succeeds();
    folder.cotangent(&format!("{words} parts.csv --epochs 2 --checkpoint part.safetensors")).succeeds();
    folder
        .cotangent(&format!(
            "{words} parts.csv --epochs 4 --resume part.safetensors --checkpoint part.safetensors --output parts.onnx"
        ))
        .succeeds();
    let read = |file: &str| std::fs::read(folder.path(file)).unwrap();
    assert_eq!(read("whole.onnx"), read("parts.onnx"));
    assert_eq!(
        safetensors::read(folder.path("whole.safetensors")).unwrap(),
        safetensors::read(folder.path("part.safetensors")).unwrap()
    );
    let epochs = |file: &str| -> Vec<String> {
        let text = String::from_utf8(read(file)).unwrap();
        text.lines().map(|line| line.split(',').take(3).collect::<Vec<_>>().join(",")).collect()
    };
    assert_eq!(epochs("whole.csv"), epochs("parts.csv"));
    assert_eq!(epochs("whole.csv")[1..], ["1,23,0.005", "2,46,0.005", "3,69,0.005", "4,92,0.005"]);
    let out = folder.cotangent(&format!("{words} more.csv --epochs 2 --resume part.safetensors")).succeeds().out();
    assert!(out.contains("note\tthe checkpoint has 4 epochs behind it, which --epochs 2 counts"), "{out}");
    folder.write("broken.safetensors", "{");
    folder
        .cotangent(&format!("{words} x.csv --epochs 4 --resume broken.safetensors"))
        .fails(1, &["--resume broken.safetensors"]);
}

#[test]
fn a_model_of_one_size_of_batch_is_trained_with_that_or_told() {
    let folder = with_digits("train_fixed");
    let words = format!("train fixed.onnx {WORDS} --data y=y.npy --epochs 2 --validate 0.1");
    let out = folder.cotangent(&format!("{words} --output fixed_trained.onnx")).succeeds().out();
    assert!(out.contains("note\tthe model is made for batches of 8"), "{out}");
    assert!(measure(&out, "validation", "accuracy") > 0.8, "{out}");
    let done = folder.cotangent(&format!("{words} --batch 32")).fails(2, &["made for batches of 8 examples, not 32"]);
    assert_eq!(done.out(), "", "nothing is said of batches that are not taken");
    let words = format!("train fixed.onnx {WORDS} --data y=y.npy --epochs 1 --validate 0.002");
    folder.cotangent(&words).fails(2, &["less to validate with than a batch of 8 examples"]);
}

#[test]
fn what_cannot_be_trained_is_told() {
    let folder = with_digits("train_errors");
    folder.npy("few.npy", [[0.0f32; 64]; 3]).npy("odd.npy", [[0.0f32; 7]; 1438]).npy("eleven.npy", vec![10i32; 1438]);
    let train = "train digits.onnx --quiet --epochs 1";
    for (words, status, telling) in [
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --output a.safetensors",
            2,
            &["--output a.safetensors: an ONNX model is written as ONNX, .onnx"][..],
        ),
        ("--data x=x.npy", 2, &["--loss <OUTPUT>|--loss-of <OUTPUT=LOSS>"][..]),
        ("--loss-of logits=mse --data x=x.npy --lr -1", 2, &["`-1` is not a finite number from 0 on"]),
        ("--loss-of logits=mse --data x=x.npy --batch 0", 2, &["`0` is not a whole number from 1 on"]),
        ("--loss-of logits=mse --data x=x.npy --early-stop 0", 2, &["`0` is not a whole number from 1 on"]),
        ("--loss-of logits=mse --data x=x.npy --seed -3", 2, &["`-3` is not a whole number from 0 on"]),
        (
            "--loss-of logits=mse --data x=x.npy --data x=y.npy",
            2,
            &["--data gives `x` twice", "Usage: cotangent train"],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --validate 1e-6",
            2,
            &["less to validate with than one example; --validate 0.000001 is of 1438 examples"],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --validate 0.99999",
            2,
            &["less to train with than one example; --validate 0.99999 is of 1438 examples"],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --validate 0",
            2,
            &["`0` is not a share above 0 and below 1; without the flag, none is kept"],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --output a.txt",
            2,
            &["--output a.txt: an ONNX model is written as ONNX, .onnx"],
        ),
        ("--loss a --loss-of b=mse --data x=x.npy", 2, &["--loss"]),
        ("--loss-of logits=hope --data x=x.npy", 2, &["cross_entropy, mse, bce, bce_with_logits"]),
        ("--loss-of logits=mse", 2, &["--data"]),
        ("--loss-of logits=mse --data x=x.npy --data y=y.npy --validate 2", 2, &["2"]),
        ("--loss-of logits=cross_entropy --data x=x.npy", 2, &["expected one array, the target,", "found none"]),
        ("--loss-of logits=cross_entropy --data z=x.npy --data y=y.npy", 2, &["y, z"]),
        ("--loss-of logits=cross_entropy --data y=y.npy", 2, &["no data for the inputs: x (f32)"]),
        ("--loss-of nothing=cross_entropy --data x=x.npy --data y=y.npy", 2, &["no output called `nothing`", "logits"]),
        (
            "--loss-of logits=mse --data x=x.npy --data y=y.npy --dim btach=4",
            2,
            &["there are: batch; did you mean `batch`?"],
        ),
        ("--loss logits --data x=x.npy --data z=y.npy", 2, &["found z; the inputs are: x"]),
        ("--loss logits --data x=x.npy", 2, &["the loss must be a scalar", "--loss-of OUTPUT=LOSS"]),
        (
            "--loss-of logits=cross_entropy --data x=odd.npy --data y=y.npy",
            1,
            &["an example has shape [7], the model takes [64]"],
        ),
        ("--loss-of logits=cross_entropy --data x=few.npy --data y=y.npy", 1, &["1438", "3"]),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=eleven.npy",
            1,
            &["data `y`: row 0: label 10 is none of the 10 classes"],
        ),
        (
            "--loss-of logits=mse --data x=x.npy --data y=y.npy",
            1,
            &["an example has shape [], output `logits` has [10]"],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=odd.npy",
            1,
            &["an example has shape [7], expected numbers of classes, of shape [], or probabilities, of shape [10]"],
        ),
        (
            "--loss-of logits=mse --data x=x.npy --data y=y.npy --momentum 0.9",
            2,
            &["--momentum is for the optimizers sgd"],
        ),
        (
            "--loss-of logits=mse --data x=x.npy --data y=y.npy --weight-decay 0.1",
            2,
            &["--weight-decay is not for adam"],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --output nowhere/a.onnx",
            1,
            &["--output nowhere/a.onnx: cannot write: there is no folder nowhere"],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --metrics nowhere/a.csv",
            1,
            &["--metrics nowhere/a.csv: cannot write: there is no folder nowhere"],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --checkpoint nowhere/a.safetensors",
            1,
            &["--checkpoint nowhere/a.safetensors: cannot write: there is no folder nowhere"],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --resume nowhere.safetensors",
            1,
            &["--resume nowhere.safetensors: "],
        ),
        (
            "--loss-of logits=cross_entropy --data x=x.npy --data y=y.npy --optimizer sgd --lr 1e30",
            1,
            &["in epoch 1, batch 2"],
        ),
    ] {
        folder.cotangent(&format!("{train} {words}")).fails(status, telling);
    }
}

/// A model of one layer of a function of each element.
fn activation(folder: &Folder, function: &str) {
    let graph = [
        (1, node("MatMul", &["x", "w"], "z")),
        (1, node(function, &["z"], "y")),
        (2, b"layer".to_vec()),
        (5, matrix("w", [2, 3], &[0.5, 0.1, -0.3, 0.2, 0.4, 0.1])),
        (11, batched("x", &[2])),
        (12, batched("y", &[3])),
    ];
    folder.write("layer.onnx", model(&graph));
}

#[test]
fn targets_that_are_no_probabilities_are_told_with_their_rows() {
    let folder = Folder::new("train_probabilities");
    activation(&folder, "Sigmoid");
    folder.npy("x.npy", [[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0]]);
    folder.npy("hot.npy", [[1.0f32, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]);
    folder.npy("whole.npy", [[1i64, 0, 0], [0, 0, 1], [0, 1, 0]]);
    folder.npy("soft.npy", [[0.5f32, 0.5, 0.0], [0.1, 0.2, 0.7], [0.25, 0.25, 0.5]]);
    folder.npy("large.npy", [[1.0f32, 0.0, 0.0], [0.0, 0.0, 1.5], [0.0, 1.0, 0.0]]);
    folder.npy("nan.npy", [[1.0f32, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, f32::NAN, 0.0]]);
    folder.npy("two.npy", [[1.0f32, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 0.0]]);
    let train = "train layer.onnx --quiet --epochs 1 --data x=x.npy";
    for loss in ["cross_entropy", "bce", "bce_with_logits"] {
        for (file, telling) in [
            ("large.npy", "data `t`: row 1, element 2 of it holds 1.5, which is no probability"),
            ("nan.npy", "data `t`: row 2, element 1 of it holds NaN, which is no probability"),
        ] {
            folder.cotangent(&format!("{train} --data t={file} --loss-of y={loss}")).fails(1, &[telling]);
        }
        let several = folder.cotangent(&format!("{train} --data t=two.npy --loss-of y={loss}"));
        match loss {
            "cross_entropy" => {
                several.fails(1, &["data `t`: row 1: the probabilities of the 3 classes add up to 2, not to 1"])
            }
            _ => several.succeeds(),
        };
    }
    folder.cotangent(&format!("{train} --data t=large.npy --loss-of y=mse")).succeeds();
    // What the model gives is compared with the largest of the probabilities.
    for (file, accuracy) in [("hot.npy", 1.0 / 3.0), ("whole.npy", 1.0 / 3.0), ("soft.npy", 1.0 / 3.0)] {
        let out =
            folder.cotangent(&format!("{train} --lr 0 --data t={file} --loss-of y=cross_entropy")).succeeds().out();
        assert!((measure(&out, "training", "accuracy") - accuracy).abs() < 1e-3, "{file}: {out}");
    }
}

/// Logits of 3 classes in 2 places, with the classes along the last axis or, as PyTorch has them, the second.
#[test]
fn classes_may_lie_along_the_second_axis() {
    let folder = Folder::new("train_second_axis");
    let graph = |permutation: &[u8]| {
        let mut axes = [message(&[(1, b"perm".to_vec())]), vec![0xa0, 0x01, 7]].concat();
        permutation.iter().for_each(|&axis| axes.extend([8 << 3, axis]));
        let turn = [node("Transpose", &["z"], "y"), message(&[(5, axes)])].concat();
        let extents: Vec<u8> = permutation[1..].iter().map(|&axis| [0, 2, 3][usize::from(axis)]).collect();
        model(&[
            (1, node("Mul", &["x", "w"], "z")),
            (1, turn),
            (2, b"places".to_vec()),
            (5, initializer("w", &[1.0, 1.0, 1.0])),
            (11, batched("x", &[2, 3])),
            (12, batched("y", &extents)),
        ])
    };
    folder.write("last.onnx", graph(&[0, 1, 2])).write("second.onnx", graph(&[0, 2, 1]));
    let x: Vec<f32> = (0..24).map(|i| (i * 7 % 5) as f32).collect();
    folder.npy("x.npy", Array::new([4, 2, 3], x).unwrap()).npy("t.npy", [[0i64, 1], [2, 0], [1, 1], [2, 2]]);
    let train = |file: &str| {
        let words = "--loss-of y=cross_entropy --data x=x.npy --data t=t.npy --epochs 3 --batch 2 --quiet";
        let out = folder.cotangent(&format!("train {file} {words}")).succeeds().out();
        out.lines().find(|line| line.starts_with("training")).unwrap().to_owned()
    };
    assert_eq!(train("last.onnx"), train("second.onnx"));
}

#[test]
fn probabilities_of_logits_are_hinted_at() {
    let folder = Folder::new("train_bce_of_logits");
    activation(&folder, "Neg");
    folder.npy("x.npy", [[9.0f32, 9.0], [9.0, 9.0]]).npy("t.npy", [[1.0f32, 0.0, 1.0]; 2]);
    let words = "train layer.onnx --quiet --epochs 1 --data x=x.npy --data t=t.npy --loss-of";
    folder.cotangent(&format!("{words} y=bce")).fails(1, &["the loss is NaN", "--loss-of y=bce_with_logits"]);
    folder.cotangent(&format!("{words} y=bce_with_logits")).succeeds();
}

#[test]
fn a_label_that_the_model_itself_refuses_is_told_by_its_row_in_the_file() {
    let folder = with_digits("train_own_labels");
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/models");
    std::fs::copy(models.join("mlp.onnx"), folder.path("mlp.onnx")).unwrap();
    let rows: Vec<[f32; 6]> = (0..20).map(|i| [i as f32; 6]).collect();
    folder.npy("rows.npy", Array::new([20, 6], rows.concat()).unwrap());
    let labels = |wrong: i64| (0..20i64).map(|i| if i == 13 { wrong } else { i % 3 }).collect::<Vec<_>>();
    folder.npy("good.npy", labels(1)).npy("bad.npy", labels(7));
    let words = "train mlp.onnx --loss loss --quiet --epochs 1 --batch 4 --data x=rows.npy --lr 1e-6 --data";
    let told = ["data `y`: row 13 holds 7, with which the model chooses among 3"];
    for validate in ["", "--validate 0.2"] {
        folder.cotangent(&format!("{words} y=bad.npy {validate}")).fails(1, &told);
        folder.cotangent(&format!("{words} y=good.npy {validate}")).succeeds();
    }
}

#[test]
fn graphs_in_the_text_form_are_trained_too() {
    let folder = Folder::new("train_text");
    folder.write(
        "line.cot",
        "%x = input {name=\"x\"} : f32[4, 2]\n%w = param {name=\"w\", kind=trainable} : f32[2]\n\
         %y = dot %x, %w {lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]} : f32[4]\noutput \"y\" = %y\n",
    );
    folder.npy("w.npy", [0.0f32, 0.0]);
    folder.npy("x.npy", [[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]]).npy("t.npy", [2.0f64, -3.0, -1.0, 7.0]);
    let words = "train line.cot --input w=w.npy --loss-of y=mse --data x=x.npy --data t=t.npy --optimizer sgd --lr 0.3 --epochs 200 --quiet --output w.safetensors";
    folder.cotangent(words).succeeds();
    let w = safetensors::read(folder.path("w.safetensors")).unwrap().remove("w").unwrap();
    assert!((w.get_f64(0) - 2.0).abs() < 1e-3 && (w.get_f64(1) + 3.0).abs() < 1e-3, "{w}");
    let words = words.replace("--output w.safetensors", "--output w.onnx");
    folder.cotangent(&words).fails(2, &["--output w.onnx: of a graph in the text form the parameters are written"]);
    folder
        .cotangent("train line.cot --loss-of y=mse --data x=x.npy --data t=t.npy --quiet")
        .fails(2, &["without a value: w"]);
}

#[test]
fn a_warm_up_longer_than_the_run_stays_as_slow_as_it_is() {
    let folder = with_digits("train_warm_up");
    let words = format!("train digits.onnx {WORDS} --data y=y.npy --batch 100 --epochs 2 --warmup 300 --metrics m.csv");
    folder.cotangent(&words).succeeds();
    let table = std::fs::read_to_string(folder.path("m.csv")).unwrap();
    let rates: Vec<f64> = table.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
    // The last of the 15 and 30 steps follow 14 and 29 others.
    let expected = [14.0, 29.0].map(|taken| 5e-3 * taken / 300.0);
    assert!(rates.iter().zip(expected).all(|(rate, e)| (rate - e).abs() < 1e-12), "{rates:?}");
}

#[test]
fn a_batch_beyond_the_examples_holds_all_of_them() {
    let folder = with_digits("train_large_batch");
    let words = format!("train digits.onnx {WORDS} --data y=y.npy --epochs 1");
    for (batch, file) in [("1438", "all.onnx"), ("99999999999", "more.onnx")] {
        folder.cotangent(&format!("{words} --batch {batch} --output {file}")).succeeds();
    }
    let read = |file: &str| std::fs::read(folder.path(file)).unwrap();
    assert_eq!(read("all.onnx"), read("more.onnx"));
}

/// `y = w2 * max(w1 * x, 0) + b` with its rectifier dead for all `x`, and alive.
#[test]
fn a_layer_that_is_not_trained_any_more_is_told_once() {
    let folder = Folder::new("dead");
    folder.write(
        "net.cot",
        "%x = input {name=\"x\"} : f32[4, 2]\n%w1 = param {name=\"w1\", kind=trainable} : f32[2, 3]\n\
         %w2 = param {name=\"w2\", kind=trainable} : f32[3]\n%b = param {name=\"b\", kind=trainable} : f32[1]\n\
         %h = dot %x, %w1 {lhs_contract=[1], rhs_contract=[0]} : f32[4, 3]\n%c = const {value=[0.0]} : f32[]\n\
         %z = broadcast %c {axes=[0, 1]} : f32[4, 3]\n%r = max %h, %z : f32[4, 3]\n\
         %d = dot %r, %w2 {lhs_contract=[1], rhs_contract=[0]} : f32[4]\n%s = reshape %b : f32[]\n\
         %bb = broadcast %s {axes=[0]} : f32[4]\n%y = add %d, %bb : f32[4]\noutput \"y\" = %y\n",
    );
    let rows: Vec<f32> = (0..40).map(|i| 0.5 + i as f32 / 40.0).collect();
    folder.npy("x.npy", Array::new([20, 2], rows).unwrap()).npy("t.npy", vec![1.0f32; 20]);
    folder.npy("dead.npy", [[-1.0f32; 3]; 2]).npy("alive.npy", [[0.5f32; 3]; 2]);
    folder.npy("w2.npy", [1.0f32, -0.5, 0.5]).npy("b.npy", [0.0f32]);
    let words = "train net.cot --loss-of y=mse --data x=x.npy --data t=t.npy --input w2=w2.npy --input b=b.npy";
    let told = "epoch 1 has not changed w1, w2: the loss does not depend on them there";
    let out = folder.cotangent(&format!("{words} --input w1=dead.npy --epochs 3 --quiet")).succeeds().out();
    assert_eq!(out.matches("note\t").count(), 1, "{out}");
    assert!(out.contains(&format!("note\t{told}")), "{out}");
    let err = folder.cotangent(&format!("{words} --input w1=dead.npy --epochs 3")).err();
    assert_eq!(err.matches("has not changed").count(), 1, "{err}");
    assert!(err.contains(&format!("note: {told}")), "{err}");
    for rest in ["--input w1=alive.npy --epochs 3", "--input w1=alive.npy --lr 0 --epochs 1"] {
        let out = folder.cotangent(&format!("{words} {rest} --quiet")).succeeds().out();
        assert!(!out.contains("has not changed"), "{rest}: {out}");
    }
}
