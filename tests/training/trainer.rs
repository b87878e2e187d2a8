//! The training loop: measures, ragged batches, stopping, and runs that go on exactly.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;

use cotangent::data::{self, Examples, Loader, Normalizer};
use cotangent::nn::{BatchNorm, Dropout, Linear, Module};
use cotangent::prelude::*;
use cotangent::train::{
    Checkpoint, EarlyStopping, EpochRecord, Fit, Goal, ReduceOnPlateau, StepReport, Stop, Task, TrainError, TrainStep,
    Trainer,
};

use crate::engines::engines;

/// 230 digits, so that batches of 50 leave 30.
fn digits() -> Examples {
    Examples::from(&data::digits().train.flattened()).subset(&(0..230).collect::<Vec<u32>>())
}

/// A net with all that a step can remember: moments, running statistics, random keys.
fn net<'g>(task: &mut Task<'g>) -> Tensor<'g> {
    let (x, y) = (task.input("x"), task.input("y"));
    let x = Linear::new(&task.at("fc1"), 64, 16).forward(x, task.context());
    let x = BatchNorm::new(&task.at("norm"), 16).forward(x, task.context()).relu();
    let x = Dropout::new(0.2).forward(x, task.context());
    let logits = Linear::new(&task.at("fc2"), 16, 10).forward(x, task.context());
    task.accuracy(logits, y);
    task.top_k(3, logits, y);
    task.confusion(logits, y);
    task.output("class", logits.argmax(-1));
    let loss = logits.cross_entropy(y).mean();
    task.perplexity(loss);
    loss
}

fn adam<'g>(loss: Tensor<'g>) -> TrainStep<'g> {
    Adam::new(Schedule::cosine(0.01, 0.0, 20)).clip_by_global_norm(1.0).minimize(loss)
}

/// Steps of a whole run.
const END: u64 = 15;

/// Losses of all steps, told as they are made, and measures of all epochs that ended.
type Told = (Vec<u64>, Vec<EpochRecord>);

/// What a run tells, and the state at the end; stops after `stop` steps.
fn run(engine: Engine, from: Option<&Checkpoint>, stop: u64) -> (Told, Checkpoint) {
    let losses = Rc::new(RefCell::new(Vec::new()));
    let told = losses.clone();
    let mut trainer = Trainer::new(net, adam)
        .options(Options::engine(engine))
        .batch(50)
        .epochs(3)
        .seed(7)
        .prefetch(2)
        .early_stopping("loss", EarlyStopping::new(5))
        .on_step(move |report| {
            told.borrow_mut().push(report.loss.to_bits());
            if report.step + 1 == stop && stop < END { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    if let Some(checkpoint) = from {
        trainer.restore(checkpoint).unwrap();
    }
    let fit = trainer.fit_validated(digits(), digits()).unwrap();
    assert_eq!(fit.stop, if stop < END { Stop::Observer } else { Stop::Done });
    ((losses.take(), fit.epochs), trainer.checkpoint())
}

/// What parts of a run tell, one behind the other.
fn joined(parts: impl IntoIterator<Item = Told>) -> Told {
    let (losses, epochs): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    (losses.concat(), epochs.concat())
}

#[test]
fn a_run_that_stopped_goes_on_to_the_bit() {
    for engine in engines() {
        let (whole, end) = run(engine, None, END);
        assert_eq!((whole.0.len(), whole.1.len()), (15, 3));
        assert!(whole.1.iter().all(|epoch| epoch.train.confusion().unwrap().to_f64_vec().iter().sum::<f64>() == 230.0));
        // In the middle of an epoch, behind its last batch, behind the ragged one, and twice.
        for stop in [1, 4, 5, 8] {
            let (first, checkpoint) = run(engine, None, stop);
            let (second, resumed) = run(engine, Some(&checkpoint), END);
            assert_eq!(joined([first, second]), whole, "{engine:?}, stopped after {stop}");
            assert_eq!(resumed, end, "{engine:?}, stopped after {stop}");
        }
        let (first, checkpoint) = run(engine, None, 3);
        let (second, checkpoint) = run(engine, Some(&checkpoint), 9);
        let (third, resumed) = run(engine, Some(&checkpoint), END);
        assert_eq!(joined([first, second, third]), whole);
        assert_eq!(resumed, end);
    }
}

#[test]
fn engines_train_alike() {
    let losses = engines().map(|engine| run(engine, None, END).0.0);
    for (a, b) in losses[0].iter().zip(&losses[1]) {
        let (a, b) = (f64::from_bits(*a), f64::from_bits(*b));
        assert!((a - b).abs() < 1e-4 * b, "{a} and {b}");
    }
}

#[test]
fn measures_are_means_over_all_examples() {
    for engine in engines() {
        let examples = digits();
        let trained = |batch: usize| {
            let mut trainer = Trainer::new(net, adam).options(Options::engine(engine)).batch(batch).epochs(0);
            trainer.evaluate(&examples).unwrap()
        };
        let (ragged, whole) = (trained(50), trained(230));
        for (name, value) in whole.iter() {
            let other = ragged.get(name).unwrap();
            assert!((value - other).abs() < 1e-5 * value.abs().max(1.0), "{name}: {value} and {other}");
        }
        assert!((whole.get("perplexity").unwrap() - whole.loss().exp()).abs() < 1e-6);
        let counts = ragged.confusion().unwrap();
        assert_eq!(counts, whole.confusion().unwrap());
        let counts = counts.to_f64_vec();
        assert_eq!(counts.iter().sum::<f64>(), 230.0);
        let right: f64 = (0..10).map(|i| counts[11 * i]).sum();
        assert!((right / 230.0 - whole.get("accuracy").unwrap()).abs() < 1e-6);
        let labels = examples.column("y").unwrap().to_f64_vec();
        for class in 0..10 {
            let row: f64 = counts[10 * class..10 * class + 10].iter().sum();
            assert_eq!(row, labels.iter().filter(|&&y| y == class as f64).count() as f64);
        }
        assert!(whole.get("top3") >= whole.get("accuracy"));
    }
}

#[test]
fn steps_and_evaluations_may_measure_different_things() {
    fn model<'g>(task: &mut Task<'g>) -> Tensor<'g> {
        let (x, y) = (task.input("x"), task.input("y"));
        let logits = Linear::new(&task.at("fc"), 64, 10).forward(x, task.context());
        if task.is_training() {
            task.top_k(3, logits, y);
        } else {
            task.accuracy(logits, y);
        }
        logits.cross_entropy(y).mean()
    }
    for engine in engines() {
        let mut trainer = Trainer::new(model, adam).options(Options::engine(engine)).batch(50).epochs(2);
        let fit = trainer.fit_validated(digits(), digits()).unwrap();
        for epoch in &fit.epochs {
            let validation = epoch.validation.as_ref().unwrap();
            assert!(epoch.train.get("top3").is_some() && epoch.train.get("accuracy").is_none(), "{}", epoch.train);
            assert!(validation.get("accuracy").is_some() && validation.get("top3").is_none(), "{validation}");
        }
    }
}

#[test]
fn predictions_come_in_order_and_need_no_labels() {
    let examples = digits();
    let mut trainer = Trainer::new(net, adam).batch(50).epochs(6);
    trainer.fit(&examples).unwrap();
    let accuracy = trainer.evaluate(&examples).unwrap().get("accuracy").unwrap();
    let unlabelled = Examples::new([("x", examples.column("x").unwrap().clone())]).unwrap();
    let classes = trainer.predict("class", &unlabelled).unwrap();
    assert_eq!(classes.shape()[..], [230]);
    let labels = examples.column("y").unwrap().to_f64_vec();
    let right = classes.to_f64_vec().iter().zip(&labels).filter(|(a, b)| a == b).count();
    assert!((right as f64 / 230.0 - accuracy).abs() < 1e-6);

    // What a checkpoint holds predicts in another trainer too, without a fit.
    let mut other = Trainer::new(net, adam).batch(50);
    other.restore(&trainer.checkpoint()).unwrap();
    assert_eq!(other.predict("class", &unlabelled).unwrap(), classes);
    let error = other.predict("classes", &unlabelled).unwrap_err().to_string();
    assert_eq!(error, "the model has no result called `classes`; there are: class");
}

/// A line through points.
fn line<'g>(task: &mut Task<'g>) -> Tensor<'g> {
    let (x, y) = (task.input("x"), task.input("y"));
    let prediction = Linear::new(&task.at("fc"), 1, 1).forward(x, task.context());
    task.mean_absolute_error(prediction, y);
    prediction.mse(y).mean()
}

fn points() -> Examples {
    let x: Vec<f32> = (0..20).map(|i| i as f32 / 10.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 3.0 * x - 1.0).collect();
    let column = |v: Vec<f32>| Array::new([20, 1], v).unwrap();
    Examples::new([("x", column(x)), ("y", column(y))]).unwrap()
}

#[test]
fn training_stops_where_nothing_improves() {
    let stop = EarlyStopping::new(2).goal(Goal::Min).min_delta(1e-3);
    let trainer = Trainer::new(line, |loss| Sgd::new(0.3).minimize(loss)).batch(8).epochs(500);
    let mut trainer = trainer.early_stopping("mae", stop);
    let fit = trainer.fit_validated(points(), points()).unwrap();
    assert_eq!(fit.stop, Stop::Early);
    assert!(fit.epochs.len() < 100, "{}", fit.epochs.len());
    assert!(fit.epochs.last().unwrap().validation.as_ref().unwrap().get("mae").unwrap() < 0.01);
}

/// A trainer whose loss rises again after some epochs: the parameter goes past the data's mean at a steady pace.
fn overshooting(
    epochs: u64,
    stop: EarlyStopping,
) -> Trainer<impl for<'g> Fn(&mut Task<'g>) -> Tensor<'g>, impl for<'g> Fn(Tensor<'g>) -> TrainStep<'g>> {
    fn model<'g>(task: &mut Task<'g>) -> Tensor<'g> {
        let y = task.input("y");
        let w = task.builder().param("w", Array::scalar(0.0f32));
        task.output("w", w.broadcast_to([task.batch()]));
        (y - w).abs().mean()
    }
    Trainer::new(model, |loss| Sgd::new(0.25).momentum(0.9).minimize(loss))
        .batch(4)
        .epochs(epochs)
        .early_stopping("loss", stop)
}

/// Four times 2.
fn twos() -> Examples {
    Examples::new([("y", Array::from([2.0f32; 4]))]).unwrap()
}

#[test]
fn a_run_that_stopped_early_stays_stopped() {
    let mut trainer = overshooting(50, EarlyStopping::new(2));
    let fit = trainer.fit_validated(twos(), twos()).unwrap();
    assert_eq!(fit.stop, Stop::Early);
    let end = trainer.checkpoint();
    let again = trainer.fit_validated(twos(), twos()).unwrap();
    assert_eq!((again.epochs.len(), again.stop), (0, Stop::Early));
    assert_eq!(trainer.checkpoint(), end);

    // So does a resumed one, unless it is more patient.
    let mut resumed = overshooting(50, EarlyStopping::new(2));
    resumed.restore(&end).unwrap();
    let again = resumed.fit_validated(twos(), twos()).unwrap();
    assert_eq!((again.epochs.len(), again.stop), (0, Stop::Early));
    assert_eq!(resumed.checkpoint(), end);
    let mut patient = overshooting(50, EarlyStopping::new(4));
    patient.restore(&end).unwrap();
    let more = patient.fit_validated(twos(), twos()).unwrap();
    let mut whole = overshooting(50, EarlyStopping::new(4));
    let all = whole.fit_validated(twos(), twos()).unwrap();
    assert_eq!([fit.epochs, more.epochs].concat(), all.epochs);
}

#[test]
fn the_best_epoch_is_restored() {
    let loss = |epoch: &EpochRecord| epoch.validation.as_ref().unwrap().loss();
    let least = |fit: &Fit| fit.epochs.iter().map(loss).fold(f64::INFINITY, f64::min);
    // Both where nothing improves any more and where the epochs are over.
    for (epochs, stop) in [(50, Stop::Early), (6, Stop::Done)] {
        let mut plain = overshooting(epochs, EarlyStopping::new(3));
        let want = plain.fit_validated(twos(), twos()).unwrap();
        assert_eq!(want.stop, stop);
        assert!(plain.evaluate(twos()).unwrap().loss() > least(&want), "the last epoch is not the best one");

        let mut trainer = overshooting(epochs, EarlyStopping::new(3).restore_best());
        let fit = trainer.fit_validated(twos(), twos()).unwrap();
        assert_eq!(fit, want);
        assert_eq!(trainer.evaluate(twos()).unwrap().loss(), least(&fit));
        // The momentum is of the same epoch.
        let best = fit.epochs.iter().position(|epoch| loss(epoch) == least(&fit)).unwrap() as u64;
        let mut until = overshooting(best + 1, EarlyStopping::new(3));
        until.fit_validated(twos(), twos()).unwrap();
        assert_eq!(trainer.params().values(), until.params().values());
    }
}

#[test]
fn a_resumed_run_knows_the_best_epoch() {
    let stop = || EarlyStopping::new(3).restore_best();
    let mut whole = overshooting(50, stop());
    let all = whole.fit_validated(twos(), twos()).unwrap();
    // Behind the best epoch, where the copy is all that is left of it.
    let behind = all.epochs.len() as u64 - 1;
    let mut first = overshooting(50, stop()).on_epoch(move |report| {
        if report.epoch + 1 == behind { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(first.fit_validated(twos(), twos()).unwrap().stop, Stop::Observer);
    let checkpoint = first.checkpoint();
    #[cfg(feature = "safetensors")]
    let checkpoint = {
        let folder = crate::logs::Folder::new("best");
        let path = folder.0.join("run.safetensors");
        checkpoint.write(&path).unwrap();
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!(read, checkpoint);
        read
    };
    let mut second = overshooting(50, stop());
    second.restore(&checkpoint).unwrap();
    let rest = second.fit_validated(twos(), twos()).unwrap();
    assert_eq!((rest.epochs.len(), rest.stop), (1, Stop::Early));
    assert_eq!(second.checkpoint(), whole.checkpoint());
}

#[test]
fn a_plateau_lowers_the_adjustable_rate() {
    let rates = Rc::new(RefCell::new(Vec::new()));
    let told = rates.clone();
    let plateau = ReduceOnPlateau::new(0.3).factor(0.5).patience(0).threshold(0.5);
    let mut trainer = Trainer::new(line, |loss| Sgd::new(Rate::adjustable(9.0)).minimize(loss))
        .epochs(30)
        .reduce_on_plateau("loss", plateau)
        .on_epoch(move |report| {
            told.borrow_mut().push(report.rate.unwrap());
            ControlFlow::Continue(())
        });
    trainer.fit(points()).unwrap();
    let rates = rates.take();
    assert!((rates[0] - 0.3).abs() < 1e-6, "{rates:?}");
    assert!(rates.windows(2).all(|r| r[1] == r[0] || (r[1] / r[0] - 0.5).abs() < 1e-6), "{rates:?}");
    assert!(rates[29] < 0.3);

    let fixed = Trainer::new(line, |loss| Sgd::new(0.1).minimize(loss));
    let error = fixed.reduce_on_plateau("loss", ReduceOnPlateau::new(0.1)).fit(points()).unwrap_err();
    assert!(matches!(error, TrainError::NoRate), "{error}");
}

#[test]
fn what_goes_wrong_is_told() {
    let error = |result: Result<Fit, TrainError>| result.unwrap_err().to_string();
    let mut wild = Trainer::new(line, |loss| Sgd::new(1e6).minimize(loss)).epochs(100);
    let text = error(wild.fit(points()));
    assert!(text.starts_with("the loss is "), "{text}");
    assert!(text.contains("a smaller learning rate or clipped gradients may help"), "{text}");

    let empty = points().subset(&[]);
    assert_eq!(error(Trainer::new(line, adam).fit(&empty)), "there are no examples");

    // A checkpoint of another model.
    let mut other = Trainer::new(net, adam);
    other.restore(&Trainer::new(line, adam).checkpoint()).unwrap();
    let mut lines = Trainer::new(line, adam).epochs(1);
    lines.fit(points()).unwrap();
    other.restore(&lines.checkpoint()).unwrap();
    // What is wrong stays wrong.
    for _ in 0..2 {
        let text = error(other.fit(digits()));
        let start = "the checkpoint does not fit the model and its optimizer:\n  missing: dropout_key, fc1.bias";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("\n  not a parameter: fc.bias"), "{text}");
        assert!(other.evaluate(digits()).unwrap_err().to_string().starts_with(start));
    }

    // A checkpoint from the middle of an epoch, with other batches.
    let (_, middle) = run(Engine::Jit, None, 2);
    let mut larger = Trainer::new(net, adam).batch(64).seed(7);
    larger.restore(&middle).unwrap();
    for _ in 0..2 {
        assert_eq!(
            error(larger.fit(digits())),
            "the run stopped in the middle of an epoch with batches of 50, this one has 64: it cannot go on exactly"
        );
    }
}

#[test]
fn the_rest_of_an_epoch_is_of_the_same_data() {
    let cut = |report: &StepReport<'_>| match report.step {
        1 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let mut trainer = Trainer::new(line, adam).batch(8).epochs(1).on_step(cut);
    assert_eq!(trainer.fit(points()).unwrap().stop, Stop::Observer);
    let fewer = points().subset(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let wide = points().with("z", Array::zeros(&f32([20]))).unwrap();
    for (other, what) in
        [(fewer, "examples: 20, this one has 10"), (wide, "columns x f32[1], y f32[1], this one has x ")]
    {
        for _ in 0..2 {
            let text = trainer.fit(&other).unwrap_err().to_string();
            assert!(
                text.starts_with("the run stopped in the middle of an epoch with ") && text.contains(what),
                "{text}"
            );
        }
    }
    let fit = trainer.fit(points()).unwrap();
    assert_eq!((fit.stop, fit.epochs.len()), (Stop::Done, 1));
}

/// A measure that there is not is told before anything is learned.
#[test]
fn what_is_watched_is_there_from_the_beginning() {
    let steps = Rc::new(RefCell::new(0));
    fn counted<O: for<'g> Fn(Tensor<'g>) -> TrainStep<'g>>(
        trainer: Trainer<impl for<'g> Fn(&mut Task<'g>) -> Tensor<'g>, O>,
        steps: &Rc<RefCell<usize>>,
    ) -> Trainer<impl for<'g> Fn(&mut Task<'g>) -> Tensor<'g>, O> {
        let steps = steps.clone();
        trainer.on_step(move |_| {
            *steps.borrow_mut() += 1;
            ControlFlow::Continue(())
        })
    }
    let told = "there is no measure called `accuracy`; there are: loss, mae";
    let mut early = counted(Trainer::new(line, adam), &steps).early_stopping("accuracy", EarlyStopping::new(1));
    assert_eq!(early.fit(points()).unwrap_err().to_string(), told);
    let falling = Trainer::new(line, |loss| Sgd::new(Rate::adjustable(0.1)).minimize(loss));
    let mut plateau = counted(falling, &steps).reduce_on_plateau("accuracy", ReduceOnPlateau::new(0.1));
    assert_eq!(plateau.fit_validated(points(), points()).unwrap_err().to_string(), told);
    assert_eq!(*steps.borrow(), 0);

    // Counts are no number that could be watched, and what only training measures is none of the validation data.
    fn uneven<'g>(task: &mut Task<'g>) -> Tensor<'g> {
        let (x, y) = (task.input("x"), task.input("y"));
        let logits = Linear::new(&task.at("fc"), 64, 10).forward(x, task.context());
        task.confusion(logits, y);
        if task.is_training() {
            task.accuracy(logits, y);
        }
        logits.cross_entropy(y).mean()
    }
    let uneven = |measure: &str| Trainer::new(uneven, adam).epochs(1).early_stopping(measure, EarlyStopping::new(1));
    assert!(uneven("accuracy").fit(digits()).is_ok());
    let error = uneven("accuracy").fit_validated(digits(), digits()).unwrap_err().to_string();
    assert_eq!(error, "there is no measure called `accuracy`; there are: loss");
    let error = uneven("confusion").fit(digits()).unwrap_err().to_string();
    assert_eq!(error, "there is no measure called `confusion`; there are: accuracy, loss");
}

/// A checkpoint that is refused changes nothing.
#[test]
fn a_checkpoint_is_restored_as_a_whole_or_not_at_all() {
    let (_, good) = run(Engine::Jit, None, 3);
    let trainer = || Trainer::new(net, adam).batch(50).epochs(3).seed(7).early_stopping("loss", EarlyStopping::new(5));
    let mut trained = trainer();
    trained.restore(&good).unwrap();
    trained.evaluate(digits()).unwrap();
    let before = trained.checkpoint();

    // Of another model on the same data: its first parameters fit, others do not.
    fn wider<'g>(task: &mut Task<'g>) -> Tensor<'g> {
        let (x, y) = (task.input("x"), task.input("y"));
        let x = Linear::new(&task.at("fc1"), 64, 16).forward(x, task.context());
        let x = BatchNorm::new(&task.at("norm"), 16).forward(x, task.context());
        let x = Dropout::new(0.2).forward(x, task.context());
        let logits = Linear::new(&task.at("fc2"), 16, 12).forward(x, task.context());
        logits.cross_entropy(y).mean()
    }
    let mut other = Trainer::new(wider, adam).batch(50).epochs(1).early_stopping("loss", EarlyStopping::new(5));
    other.fit(digits()).unwrap();
    let error = trained.restore(&other.checkpoint()).unwrap_err();
    assert!(matches!(&error, TrainError::Parameters { types, .. } if !types.is_empty()), "{error}");
    assert_eq!(trained.checkpoint(), before);
    let whole = run(Engine::Jit, None, END).1;
    trained.fit_validated(digits(), digits()).unwrap();
    assert_eq!(trained.checkpoint(), whole);
}

#[cfg(feature = "safetensors")]
#[test]
fn an_observer_that_fails_costs_no_checkpoint() {
    use cotangent::train::{EpochReport, Observer};

    /// Fails when told of a step, or of the end of an epoch.
    struct Failing {
        at_step: bool,
    }

    impl Observer for Failing {
        fn on_step(&mut self, _: &StepReport<'_>) -> Result<ControlFlow<()>, TrainError> {
            if self.at_step { Err(full()) } else { Ok(ControlFlow::Continue(())) }
        }

        fn on_epoch(&mut self, _: &EpochReport<'_>) -> Result<ControlFlow<()>, TrainError> {
            if self.at_step { Ok(ControlFlow::Continue(())) } else { Err(full()) }
        }
    }

    fn full() -> TrainError {
        TrainError::Checkpoint("the disk is full".to_owned())
    }

    for at_step in [true, false] {
        let folder = crate::logs::Folder::new(&format!("failing-{at_step}"));
        let path = folder.0.join("checkpoint.safetensors");
        let others = Rc::new(RefCell::new(0));
        let told = others.clone();
        let mut trainer = Trainer::new(net, adam).batch(50).epochs(1).save_every(1, &path);
        trainer = trainer.observe(Failing { at_step }).on_step(move |_| {
            *told.borrow_mut() += 1;
            ControlFlow::Continue(())
        });
        let error = trainer.fit(digits()).unwrap_err().to_string();
        assert!(error.contains("the disk is full"), "{error}");
        assert_eq!(*others.borrow(), if at_step { 1 } else { 5 });
        assert_eq!(Checkpoint::read(&path).unwrap(), trainer.checkpoint());
    }
}

#[test]
fn the_rest_of_an_epoch_has_the_same_measures() {
    let (_, middle) = run(Engine::Jit, None, 2);
    fn more<'g>(task: &mut Task<'g>) -> Tensor<'g> {
        let loss = net(task);
        task.metric("square", loss.square());
        loss
    }
    let mut other = Trainer::new(more, adam).batch(50).epochs(3).seed(7);
    other.restore(&middle).unwrap();
    assert_eq!(
        other.fit(digits()).unwrap_err().to_string(),
        "the run stopped in the middle of an epoch with the measures accuracy, confusion f64[10, 10], loss, perplexity, top3, this one has accuracy, \
         confusion f64[10, 10], loss, perplexity, square, top3: it cannot go on exactly"
    );
}

/// What is restored and not yet compared with a model is what a checkpoint holds, whatever was compiled before.
#[test]
fn a_checkpoint_after_a_restore_is_the_one_restored() {
    let points = |wide: bool| {
        let x: Vec<f32> = (0..20).map(|i| i as f32 / 10.0).collect();
        let y = x.iter().map(|x| 3.0 * x).collect();
        let shape = if wide { vec![20, 1, 1] } else { vec![20, 1] };
        Examples::new([("x", Array::new(&shape[..], x).unwrap()), ("y", Array::new(&shape[..], y).unwrap())]).unwrap()
    };
    let trainer = || Trainer::new(slope, adam).batch(5).epochs(1);
    let mut wide = trainer().seed(3);
    wide.fit(points(true)).unwrap();
    let saved = wide.checkpoint();
    let mut other = trainer().seed(4).epochs(2);
    other.fit(points(false)).unwrap();
    assert_ne!(other.checkpoint(), saved);
    other.restore(&saved).unwrap();
    assert_eq!(other.checkpoint(), saved);
    other.evaluate(points(true)).unwrap();
    assert_eq!(other.checkpoint(), saved);
}

fn slope<'g>(task: &mut Task<'g>) -> Tensor<'g> {
    let (x, y) = (task.input("x"), task.input("y"));
    let w = Linear::new(&task.at("w"), 1, 1);
    (w.forward(x.flatten(1..), task.context()) - y.flatten(1..)).square().mean()
}

#[test]
fn an_epoch_of_other_batches_does_not_go_on() {
    let trainer = || Trainer::new(net, adam).batch(50).epochs(1);
    let mut whole = trainer().whole_batches().on_step(|_| ControlFlow::Break(()));
    whole.fit(digits()).unwrap();
    let mut other = trainer();
    other.restore(&whole.checkpoint()).unwrap();
    assert_eq!(
        other.fit(digits()).unwrap_err().to_string(),
        "the run stopped in the middle of an epoch with batches per epoch: 4, this one has 5: it cannot go on exactly"
    );
    let mut same = trainer().whole_batches();
    same.restore(&whole.checkpoint()).unwrap();
    assert_eq!(same.fit(digits()).unwrap().epochs.len(), 1);
}

#[test]
#[should_panic(expected = "Task::input: the data has no column `features`; there are: x, y")]
fn a_column_that_there_is_not_is_told() {
    let _ = Trainer::new(|task| task.input("features").mean(), adam).fit(points());
}

#[test]
fn loaders_give_every_example_once() {
    let examples = Examples::new([("i", Array::from((0..103).collect::<Vec<i32>>()))]).unwrap();
    for ahead in [0, 3] {
        let loader = Loader::new(&examples, 10).shuffle(4).prefetch(ahead);
        let numbers = |epoch, first| -> Vec<i32> {
            let batches = loader.epoch_from(epoch, first);
            batches.flat_map(|batch| batch.get("i").unwrap().as_slice::<i32>().unwrap().to_vec()).collect()
        };
        let mut all = numbers(0, 0);
        assert_eq!(numbers(0, 4), all[40..]);
        assert_ne!(numbers(1, 0), all);
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        assert_eq!(loader.batches_per_epoch(), 11);
        assert_eq!(loader.clone().whole_batches().epoch(0).count(), 10);
        // A loader that nobody drains ends its thread.
        drop(loader.epoch(0));
    }
    let direct: Vec<_> = Loader::new(&examples, 10).shuffle(4).epoch(2).collect();
    let ahead: Vec<_> = Loader::new(&examples, 10).shuffle(4).prefetch(2).epoch(2).collect();
    assert_eq!(direct, ahead);
}

#[test]
fn examples_are_split_normalized_and_encoded() {
    let examples = points();
    let [train, validation, test] = examples.split([0.6, 0.2, 0.2], 1);
    assert_eq!([train.len(), validation.len(), test.len()], [12, 4, 4]);
    let mut all: Vec<u32> = Vec::new();
    for part in [&train, &validation, &test] {
        all.extend(part.column("x").unwrap().as_slice::<f32>().unwrap().iter().map(|x| x.to_bits()));
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 20, "every example is in one part");
    assert_ne!(train, examples.split([0.6, 0.2, 0.2], 2)[0]);

    let normalizer = Normalizer::fit(&train, "x").unwrap();
    let scaled = normalizer.apply(&train).unwrap().column("x").unwrap().to_f64_vec();
    let mean = scaled.iter().sum::<f64>() / 12.0;
    let square = scaled.iter().map(|x| x * x).sum::<f64>() / 12.0;
    assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-5, "{mean} {square}");
    // The test part is measured by the training part's numbers.
    let (x, z) = (test.column("x").unwrap().get_f64(0), normalizer.apply(&test).unwrap());
    let want = (x - normalizer.mean()[0]) / normalizer.deviation()[0];
    assert!((z.column("x").unwrap().get_f64(0) - want).abs() < 1e-6);

    let labels = Examples::new([("y", Array::from([2, 0]))]).unwrap();
    let hot = labels.one_hot("y", 3).unwrap();
    assert_eq!(hot.column("y").unwrap(), &Array::from([[0.0f32, 0.0, 1.0], [1.0, 0.0, 0.0]]));
    let error = labels.one_hot("y", 2).unwrap_err().to_string();
    assert_eq!(error, "column `y`: label 2 at position 0 is out of range: there are 2 classes, 0 to 1");
    let error = labels.column("z").unwrap_err().to_string();
    assert_eq!(error, "examples: there is no column `z`; there are: y");
    let error = Examples::new([("a", Array::from([1, 2])), ("b", Array::from([1, 2, 3]))]).unwrap_err().to_string();
    assert_eq!(error, "column `b`: 3 rows, but column `a` has 2");
}
