//! Training from files and to files: tables, archives, checkpoints, state dicts.

use cotangent::data::Table;
use cotangent::nn::{Linear, Module};
use cotangent::prelude::*;
use cotangent::train::{Checkpoint, Task, TrainStep, Trainer};

use crate::logs::Folder;

fn write(folder: &Folder, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.0.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_table_has_classes_or_numbers() {
    let folder = Folder::new("table");
    let path = write(&folder, "iris.csv", "length, kind ,width\n1.5,setosa,2\n-3,virginica,4e-1\n\n0,setosa,6\n");
    let table = Table::classes(&path, "kind").unwrap();
    assert_eq!(
        (table.features, table.classes),
        (vec!["length".into(), "width".into()], vec!["setosa".to_owned(), "virginica".into()])
    );
    assert_eq!(table.examples.column("x").unwrap(), &Array::from([[1.5f32, 2.0], [-3.0, 0.4], [0.0, 6.0]]));
    assert_eq!(table.examples.column("y").unwrap(), &Array::from([0, 1, 0]));

    let path = write(&folder, "house.csv", "rooms,price\n3,100.5\n4,250\n");
    let table = Table::numbers(&path, "price").unwrap();
    assert_eq!(table.examples.column("y").unwrap(), &Array::from([[100.5f32], [250.0]]));
    // Class numbers go by size, not by letters.
    let path = write(&folder, "digits.csv", "a,label\n1,10\n2,9\n3,10\n");
    let table = Table::classes(&path, "label").unwrap();
    assert_eq!(
        (table.classes, table.examples.column("y").unwrap().clone()),
        (vec!["9".into(), "10".to_owned()], Array::from([1, 0, 1]))
    );
}

#[test]
fn what_is_wrong_with_a_table_is_told() {
    let folder = Folder::new("wrong-table");
    let cases = [
        ("", "y", "the file is empty"),
        ("a,b\n1,2\n", "y", "there is no column `y`; there are: a, b"),
        ("y\n1\n", "y", "there is no column beside `y`"),
        ("a;y\n1;2\n", "y", "the first line, `a;y`, has no commas: fields are separated by commas, not by ';'"),
        ("a,y\n", "y", "there are no rows behind the names of the columns"),
        ("a,y\n1,2\n3\n", "y", "line 3 has 1 fields, the first line has 2"),
        ("a,y\n1,2\nmany,2\n", "y", "row 2, column `a`: `many` is not a number"),
        ("a,y\n1,2\n,2\n", "y", "row 2, column `a`: `` is not a number"),
        ("a,y\n1,2\n3,low\n", "y", "row 2, column `y`: `low` is not a number"),
    ];
    for (text, target, want) in cases {
        let path = write(&folder, "table.csv", text);
        let error = Table::numbers(&path, target).unwrap_err().to_string();
        assert_eq!(error, format!("{}: {want}", path.display()), "{text:?}");
    }
    std::fs::write(folder.0.join("bytes.csv"), b"a,y\n\xff,1\n").unwrap();
    let error = Table::classes(folder.0.join("bytes.csv"), "y").unwrap_err().to_string();
    assert!(error.ends_with("line 2 is not UTF-8 text"), "{error}");
    let error = Table::classes(folder.0.join("absent.csv"), "y").unwrap_err().to_string();
    assert!(error.contains("absent.csv: cannot read: "), "{error}");
}

#[test]
fn an_archive_of_numpy_is_a_set_of_examples() {
    use cotangent::data::Examples;
    let folder = Folder::new("npz");
    let path = folder.0.join("data.npz");
    let (x, y) = (Array::from([[1.0f32, 2.0], [3.0, 4.0]]), Array::from([0i64, 1]));
    cotangent::io::npz::write(&path, [("x", &x), ("y", &y)]).unwrap();
    let examples = Examples::read_npz(&path).unwrap();
    assert_eq!((examples.len(), examples.column("x").unwrap(), examples.column("y").unwrap()), (2, &x, &y));
    cotangent::io::npz::write(&path, [("x", &x), ("y", &Array::from([1]))]).unwrap();
    let error = Examples::read_npz(&path).unwrap_err().to_string();
    assert!(error.ends_with("data.npz: column `y`: 1 rows, but column `x` has 2"), "{error}");
}

fn model<'g>(task: &mut Task<'g>) -> Tensor<'g> {
    let (x, y) = (task.input("x"), task.input("y"));
    let prediction = Linear::new(&task.at("fc"), 2, 1).forward(x, task.context());
    task.output("prediction", prediction);
    prediction.mse(y).mean()
}

fn adam<'g>(loss: Tensor<'g>) -> TrainStep<'g> {
    Adam::new(0.05).minimize(loss)
}

fn data() -> cotangent::data::Examples {
    let x: Vec<f32> = (0..46).map(|i| (i as f32 * 0.7).sin()).collect();
    let y: Vec<f32> = x.chunks(2).map(|x| x[0] - 2.0 * x[1]).collect();
    let (x, y) = (Array::new([23, 2], x).unwrap(), Array::new([23, 1], y).unwrap());
    cotangent::data::Examples::new([("x", x), ("y", y)]).unwrap()
}

#[test]
fn a_run_goes_on_from_a_file_to_the_bit() {
    use std::ops::ControlFlow;
    for engine in crate::engines::engines() {
        let folder = Folder::new(&format!("checkpoint-{engine:?}"));
        let (path, other) = (folder.0.join("whole.safetensors"), folder.0.join("cut.safetensors"));
        let trainer = || Trainer::new(model, adam).options(Options::engine(engine)).batch(5).epochs(3).seed(1);
        let mut whole = trainer().save_to(&path);
        whole.fit(data()).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap(), whole.checkpoint());

        // Killed after 8 steps, of which the checkpoint knows 6.
        let stop = |report: &cotangent::train::StepReport<'_>| match report.step {
            7 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        trainer().save_every(3, &other).on_step(stop).fit(data()).unwrap();
        let mut resumed = trainer();
        resumed.restore(&Checkpoint::read(&other).unwrap()).unwrap();
        resumed.fit(data()).unwrap();
        assert_eq!(resumed.checkpoint(), whole.checkpoint(), "{engine:?}");

        // What was learned is there without a fit.
        let mut loaded = trainer();
        loaded.restore(&Checkpoint::read(&path).unwrap()).unwrap();
        assert_eq!(loaded.predict("prediction", data()).unwrap(), whole.predict("prediction", data()).unwrap());
    }
}

#[test]
fn what_is_no_checkpoint_is_told() {
    let folder = Folder::new("no-checkpoint");
    let error = Checkpoint::read(folder.0.join("absent")).unwrap_err().to_string();
    assert!(error.contains("absent: "), "{error}");
    let path = write(&folder, "text", "hello, this is no checkpoint");
    let error = Checkpoint::read(&path).unwrap_err().to_string();
    assert!(error.contains("text: "), "{error}");
    cotangent::io::safetensors::write(&path, [("w", &Array::from([1.0f32]))]).unwrap();
    let error = Checkpoint::read(&path).unwrap_err().to_string();
    let told = format!("not a checkpoint of a trainer: {}: it has no entry `cotangent.checkpoint`", path.display());
    assert!(error.starts_with(&told), "{error}");
}

/// Numbers in a checkpoint's file that no run wrote are errors of the restore, not of the steps after it.
#[test]
fn a_position_that_no_run_is_at_is_told() {
    use cotangent::io::safetensors;
    use std::ops::ControlFlow;
    fn counted<'g>(task: &mut Task<'g>) -> Tensor<'g> {
        let (x, y) = (task.input("x"), task.input("y"));
        let logits = Linear::new(&task.at("fc"), 2, 3).forward(x, task.context());
        task.confusion(logits, y);
        logits.cross_entropy(y).mean()
    }
    let y = Array::from((0..23).map(|i| i % 3).collect::<Vec<i32>>());
    let x = data().column("x").unwrap().clone();
    let examples = || cotangent::data::Examples::new([("x", x.clone()), ("y", y.clone())]).unwrap();
    let trainer = || Trainer::new(counted, adam).batch(5).epochs(2);
    let folder = Folder::new("no-position");
    let (ended, middle) = (folder.0.join("ended.safetensors"), folder.0.join("middle.safetensors"));
    trainer().epochs(1).save_to(&ended).fit(examples()).unwrap();
    trainer().save_every(1, &middle).on_step(|_| ControlFlow::Break(())).fit(examples()).unwrap();

    type Texts = [(&'static str, &'static str)];
    // The file with other entries and, if there are such, other counts; what is made of it.
    let changed = |from: &std::path::Path, texts: &Texts, counts: Option<Array>| {
        let bytes = std::fs::read(from).unwrap();
        let (mut arrays, mut entries) = (safetensors::parse(&bytes).unwrap(), safetensors::metadata(&bytes).unwrap());
        entries.extend(texts.iter().map(|(key, text)| (key.to_string(), text.to_string())));
        if let Some(counts) = counts {
            let name = "sum.counts.confusion".to_owned();
            entries.insert(name.clone(), name.clone());
            arrays.insert(name, counts);
        }
        let bytes = safetensors::to_bytes(arrays.iter().map(|(n, a)| (&**n, a)), &entries).unwrap();
        let path = folder.0.join("changed.safetensors");
        std::fs::write(&path, bytes).unwrap();
        let mut trainer = trainer();
        let checkpoint = Checkpoint::read(&path).map_err(|error| error.to_string())?;
        trainer.restore(&checkpoint).map_err(|error| error.to_string())?;
        trainer.fit(examples()).map_err(|error| error.to_string())
    };
    assert!(changed(&ended, &[], None).is_ok());
    assert!(changed(&middle, &[], None).is_ok());

    let sums = "not a checkpoint of a trainer: it is before the first batch of an epoch, and holds sums over batches";
    let cases: [(&std::path::Path, &Texts, Option<Array>, &str); 9] = [
        (&ended, &[], Some(Array::from([[1.0f64, 2.0]])), sums),
        (&ended, &[], Some(Array::from([1i32])), sums),
        (&ended, &[("sum.value.loss", "3ff0000000000000")], None, sums),
        (&ended, &[("sum.examples", "3ff0000000000000")], None, sums),
        (
            &middle,
            &[],
            Some(Array::from([1i32])),
            "not a checkpoint of a trainer: the counts of `confusion` are i32[1], not f64",
        ),
        (
            &middle,
            &[("sum.examples", "3ff0000000000000")],
            None,
            "not a checkpoint of a trainer: it holds sums over 1 examples after 1 batches of 5",
        ),
        (&middle, &[("batch", "6")], None, "not a checkpoint of a trainer: it is after batch 6 of an epoch of 5"),
        (&middle, &[("batch_size", "0")], None, "not a checkpoint of a trainer: it is after batch 1 of an epoch of 0"),
        (
            &ended,
            &[("step", "18446744073709551615")],
            None,
            "not a checkpoint of a trainer: it has made as many steps as can be counted",
        ),
    ];
    for (from, texts, counts, told) in cases {
        let error = changed(from, texts, counts).unwrap_err();
        assert!(error.starts_with(told), "{texts:?}: {error}");
    }
    let shape = changed(&middle, &[], Some(Array::from([[1.0f64, 2.0]]))).unwrap_err();
    assert!(shape.contains("confusion f64[1, 2]") && shape.contains("confusion f64[3, 3]"), "{shape}");
}

#[test]
fn a_state_dict_of_pytorch_loads_by_name() {
    use cotangent::nn::{BatchNorm, Context, Conv, Path, Sequential, load_state_dict};
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/training/state_dict.safetensors");
    let mut arrays = cotangent::io::safetensors::read(path).unwrap();
    let (x, want) = (arrays.remove("test.x").unwrap(), arrays.remove("test.y").unwrap());
    for engine in crate::engines::engines() {
        let g = Builder::new();
        let net = Sequential::new(&Path::root(&g))
            .add(|path| Conv::new(path, 1, 2, [3, 3], cotangent::build::Conv::new()))
            .add(|path| BatchNorm::new(path, 2))
            .then(|x| x.relu())
            .then(|x| x.flatten(1..))
            .add(|path| Linear::new(path, 32, 3));
        let input = g.input("x", x.ty());
        let mut cx = Context::train(&Path::root(&g));
        let loss = net.forward(input, &mut cx).square().mean();
        let step = Adam::new(1e-3).minimize(loss).update_all(cx.updates()).compile(&Options::engine(engine)).unwrap();
        let others = load_state_dict(step.params(), &arrays).unwrap();
        assert!(others.iter().all(|name| name.contains("adam")), "{others:?}");
        let mut predict = step.forward(net.forward(input, &mut Context::infer())).unwrap();
        let got = predict.run(&[("x", &x)]).unwrap().first().clone();
        for (got, want) in got.to_f64_vec().iter().zip(want.to_f64_vec()) {
            assert!((got - want).abs() < 1e-5, "{engine:?}: {got} instead of {want}");
        }
    }
}

#[test]
fn a_predictor_takes_its_parameters_out_of_those_of_a_training_run() {
    let folder = Folder::new("subset");
    let (path, checkpoint) = (folder.0.join("all.safetensors"), folder.0.join("run.safetensors"));
    let g = Builder::new();
    let (x, w) = (g.input("x", f32([1, 2])), g.param("w", init::he([2, 3], 0)));
    let scores = x.dot(w);
    let mut step = Adam::new(0.1).minimize(scores.square().mean()).compile(&Options::default()).unwrap();
    step.run(&[("x", &Array::from([[1.0f32, 2.0]]))]).unwrap();
    step.params().save_safetensors(&path).unwrap();

    let other = Builder::new();
    let (x, w) = (other.input("x", f32([1, 2])), other.param("w", init::zeros([2, 3])));
    let predictor = other.program(&[("scores", x.dot(w))]).compile(&Options::default()).unwrap();
    let error = predictor.params().load_safetensors(&path).unwrap_err();
    let told = "does not hold the program's parameters:\n  not a parameter: adam.t, w.adam_m, w.adam_v\n\
                `load_safetensors_subset` takes the parameters and leaves the rest";
    assert!(error.to_string().ends_with(told), "{error}");
    // What `main` prints of an error is its text.
    assert_eq!(format!("{error:?}"), error.to_string());
    predictor.params().load_safetensors_subset(&path).unwrap();
    assert_eq!(predictor.params().get("w").unwrap(), step.params().get("w").unwrap());

    // Out of a checkpoint too, but not what it lacks.
    let mut trainer = Trainer::new(model, adam).batch(10).epochs(1).save_to(&checkpoint);
    trainer.fit(data()).unwrap();
    let error = predictor.params().load_safetensors_subset(&checkpoint).unwrap_err().to_string();
    assert!(error.ends_with("run.safetensors does not hold the program's parameters:\n  missing: w"), "{error}");
}
