//! `cotangent train`.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;

use cotangent::build::Tensor;
use cotangent::data::Examples;
use cotangent::io::expect_writable;
use cotangent::io::model::{LearnError, Learner, LossKind, ModelError, Objective, Role};
use cotangent::train::log::{CsvLog, Progress};
use cotangent::train::{
    Adagrad, Adam, AdamW, Checkpoint, EarlyStopping, EpochReport, Lion, Observer, Optimizer, RmsProp, Schedule, Sgd,
    Stop, TrainError, TrainStep, Trainer,
};
use cotangent::{Array, Options};

use crate::args::{Optimizers, Schedules, TrainArgs};
use crate::failure::Failure;
use crate::model;
use crate::resume::{differences, tags};

pub(crate) fn train(args: &TrainArgs) -> Result<(), Failure> {
    let written = [("--output", &args.output), ("--metrics", &args.metrics), ("--checkpoint", &args.checkpoint)];
    for (flag, path) in written {
        if let Some(path) = path {
            expect_writable(path).map_err(|error| Failure::from(error).of(flag))?;
        }
    }
    let checkpoint = match &args.resume {
        Some(path) => Some(Checkpoint::read(path).map_err(|error| Failure::from(error).of("--resume"))?),
        None => None,
    };
    for (flag, list) in [("--data", &args.data), ("--validate-data", &args.validate_data)] {
        if let Some(name) = model::twice(list) {
            return Err(Failure::usage(format_args!("{flag} gives `{name}` twice")));
        }
    }
    let momentum = matches!(args.optimizer, Optimizers::Sgd | Optimizers::Nesterov | Optimizers::Rmsprop);
    if args.momentum != 0.0 && !momentum {
        return Err(Failure::usage("--momentum is for the optimizers sgd, nesterov and rmsprop"));
    }
    if args.weight_decay != 0.0 && args.optimizer == Optimizers::Adam {
        return Err(Failure::usage("--weight-decay is not for adam; adamw is adam with it"));
    }
    let objective = objective(args)?;
    let model::Given { mut known, params, notes } = model::given(&args.model)?;
    known.arrays.extend(params);
    let mut learner = Learner::read(&args.model.model, &known, objective)?;
    if !args.train_only.is_empty() {
        learner = learner.train_only(&args.train_only)?;
    }
    if !args.freeze.is_empty() {
        learner = learner.freeze(&args.freeze)?;
    }
    let batch = args.batch.map(|b| b.get()).or(learner.fixed_batch()).unwrap_or(32);
    learner.expect_batch(batch)?;
    if let Some(path) = &args.output {
        learner.expect_output(path).map_err(|error| Failure::from(error).of("--output"))?;
    }
    let mut out = std::io::stdout().lock();

    let Data { train, validation, fingerprint } = data(args, &learner, batch, &mut out)?;
    learner.check_all(&train, batch).map_err(|error| with_loss_of(args, error))?;
    if let Some(validation) = &validation {
        learner.check_all(validation, batch)?;
    }
    let roles = learner.roles(&train, batch.min(train.len()))?;
    let tags = tags(args, batch, &fingerprint, &roles);
    let resumed = match (&args.resume, &checkpoint) {
        (Some(path), Some(checkpoint)) => differences(path, checkpoint, &tags)?,
        _ => Vec::new(),
    };
    for note in notes.iter().chain(&learner.remarks()).chain(&resumed) {
        writeln!(out, "note\t{note}")?;
    }
    tell_roles(&roles, &mut out)?;
    let steps = if learner.fixed_batch().is_some() { train.len() / batch } else { train.len().div_ceil(batch) };
    let schedule = schedule(args, steps as u64);

    let columns = train.clone();
    let options = Options { threads: args.engine.threads, ..Options::engine(args.engine.engine.into()) };
    let mut trainer = Trainer::new(|task| learner.loss(task, &columns), |loss| step(args, &schedule, loss))
        .options(options)
        .batch(batch)
        .epochs(args.epochs)
        .seed(args.seed);
    for (key, value) in &tags {
        trainer = trainer.tag(*key, value);
    }
    if let Some(path) = &args.checkpoint {
        trainer = trainer.save_to(path);
    }
    if learner.fixed_batch().is_some() {
        trainer = trainer.whole_batches();
    }
    if let Some(patience) = args.early_stop {
        trainer = trainer.early_stopping("loss", EarlyStopping::new(patience.get() as u64).restore_best());
    }
    let done = match &checkpoint {
        Some(checkpoint) => checkpoint.epochs()?,
        None => 0,
    };
    let is_done = checkpoint.is_some() && done >= args.epochs;
    if let Some(path) = args.metrics.as_ref().filter(|_| !is_done) {
        let log = match &checkpoint {
            Some(_) => CsvLog::resume(path, done),
            None => CsvLog::create(path),
        };
        let log = log.map_err(|error| Failure::from(error).of("--metrics"))?;
        trainer = trainer.observe(log.schedule(schedule.clone()));
    }
    if args.quiet {
        trainer = trainer.observe(FirstRemark::default());
    } else {
        trainer = trainer.observe(Progress::new());
    }
    if let Some(checkpoint) = &checkpoint {
        trainer.restore(checkpoint)?;
    }
    let fit = match &validation {
        Some(validation) => trainer.fit_validated(&train, validation),
        None => trainer.fit(&train),
    };
    let fit = fit.map_err(|error| with_logits(args, error))?;
    // The model comes first: what is printed may find its reader gone.
    if let Some(path) = &args.output {
        learner.write(trainer.params(), path)?;
    }
    if is_done {
        let epochs = args.epochs;
        writeln!(
            out,
            "note\tthe checkpoint has {done} epochs behind it, which --epochs {epochs} counts: nothing was trained"
        )?;
    }
    if fit.stop == Stop::Early {
        writeln!(out, "stopped\tthe loss did not improve any more")?;
    }
    for (name, examples) in [("training", Some(&train)), ("validation", validation.as_ref())] {
        if let Some(examples) = examples {
            let whole = whole(examples, learner.fixed_batch());
            let metrics = trainer.evaluate(&whole)?;
            writeln!(out, "{name}\t{} examples\t{metrics}", whole.len())?;
        }
    }
    if let Some(path) = &args.output {
        writeln!(out, "written\t{}", path.display())?;
        if roles.iter().any(|(_, role)| *role == Role::Followed) {
            let model = args.model.model.display();
            writeln!(
                out,
                "note\twhat is written is for inference, with the running statistics; training goes on from {model}, with --resume or --params of a checkpoint"
            )?;
        }
    }
    Ok(())
}

/// Notes on the standard output what is first to be said of an epoch, as [`Progress`] does on the standard error.
#[derive(Default)]
struct FirstRemark {
    noted: bool,
}

impl Observer for FirstRemark {
    fn on_epoch(&mut self, report: &EpochReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        if let Some(remark) = report.remark().filter(|_| !self.noted) {
            // Whoever does not read notes any more does not stop the training.
            let _ = writeln!(std::io::stdout(), "note\t{remark}");
            self.noted = true;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The error, with the way out where the output of --loss is no loss.
fn with_loss_of(args: &TrainArgs, error: LearnError) -> Failure {
    let is_no_loss = |error: &ModelError| matches!(error, ModelError::NotScalar { .. } | ModelError::Unknown { .. });
    let is_of_loss = matches!(&error, LearnError::Model(error) if args.loss.is_some() && is_no_loss(error));
    let failure = Failure::from(error);
    match is_of_loss {
        true => failure.hint("--loss-of OUTPUT=LOSS makes a loss of an output and a target"),
        false => failure,
    }
}

/// The error, with what may have made the loss no number.
fn with_logits(args: &TrainArgs, error: TrainError) -> Failure {
    match (&error, &args.loss_of) {
        (TrainError::Diverged { .. }, Some((output, LossKind::Bce))) => Failure::from(error).hint(format_args!(
            "bce takes probabilities, from 0 to 1: where `{output}` holds logits, the loss is --loss-of {output}=bce_with_logits"
        )),
        _ => error.into(),
    }
}

/// Tells which parameters are trained, and why others are not.
fn tell_roles(roles: &[(String, Role)], out: &mut impl Write) -> std::io::Result<()> {
    const MOST: usize = 40;
    let mut kinds: Vec<Role> = Vec::new();
    for (_, role) in roles {
        if !kinds.contains(role) {
            kinds.push(*role);
        }
    }
    kinds.sort_by_key(|role| *role != Role::Trained);
    for kind in kinds {
        let names: Vec<&str> = roles.iter().filter(|(_, role)| *role == kind).map(|(name, _)| &**name).collect();
        let mut list = names[..names.len().min(MOST)].join(", ");
        if names.len() > MOST {
            list += &format!(" and {} more", names.len() - MOST);
        }
        match kind {
            Role::Trained => writeln!(out, "trained\t{list}")?,
            Role::Followed => writeln!(out, "followed\t{list} (running statistics)")?,
            Role::Held(why) => writeln!(out, "held\t{list} ({why})")?,
        }
    }
    Ok(())
}

/// What is to become small.
fn objective(args: &TrainArgs) -> Result<Objective, Failure> {
    match (&args.loss, &args.loss_of) {
        (Some(output), None) => Ok(Objective::Output(output.clone())),
        (None, Some((output, loss))) => Ok(Objective::Of { output: output.clone(), loss: *loss }),
        _ => Err(Failure::usage("one of --loss and --loss-of is needed")),
    }
}

/// The examples to train with and to validate with.
struct Data {
    train: Examples,
    validation: Option<Examples>,
    /// What tells the files' examples from others.
    fingerprint: String,
}

/// Reads the examples.
fn data(args: &TrainArgs, learner: &Learner, batch: usize, out: &mut impl Write) -> Result<Data, Failure> {
    let read = |list: &[(String, String)]| -> Result<BTreeMap<String, Array>, Failure> {
        let arrays = list.iter().map(|(name, file)| Ok((name.clone(), learner.read_data(name, file)?)));
        arrays.collect()
    };
    let all = learner.examples(read(&args.data)?)?;
    let described = |examples: &Examples| format!("{} examples {:016x}", examples.len(), examples.fingerprint());
    let (mut fingerprint, count) = (described(&all), all.len());
    let (train, validation) = match (args.validate, args.validate_data.is_empty()) {
        (Some(share), _) => {
            let [validation, train] = all.split([share, 1.0 - share], args.seed);
            (train, Some(validation))
        }
        (None, false) => {
            let validation = learner.examples(read(&args.validate_data)?)?;
            fingerprint += &format!(", {} to validate with", described(&validation));
            (all, Some(validation))
        }
        (None, true) => (all, None),
    };
    let too_few = |text: String| match args.validate {
        Some(share) => Failure::usage(text).hint(format_args!("--validate {share} is of {count} examples")),
        None => Failure::new(text),
    };
    if train.is_empty() {
        return Err(too_few("there is less to train with than one example".to_owned()));
    }
    if let Some(fixed) = learner.fixed_batch() {
        if train.len() < fixed {
            return Err(Failure::new(format_args!(
                "the model is made for batches of {fixed} examples, and there are {} to train with",
                train.len()
            )));
        }
        let left = train.len() % batch;
        if left > 0 {
            writeln!(
                out,
                "note\tthe model is made for batches of {fixed}: {left} examples, others in each epoch, are left out"
            )?;
        }
    }
    let validation = validation.map(|v| whole(&v, learner.fixed_batch()));
    if validation.as_ref().is_some_and(Examples::is_empty) {
        let kept =
            learner.fixed_batch().map_or("one example".to_owned(), |fixed| format!("a batch of {fixed} examples"));
        return Err(too_few(format!("there is less to validate with than {kept}")));
    }
    Ok(Data { train, validation, fingerprint })
}

/// As many of the examples as fill batches of a fixed size.
fn whole(examples: &Examples, fixed: Option<usize>) -> Examples {
    let Some(fixed) = fixed else { return examples.clone() };
    let numbers: Vec<u32> = (0..(examples.len() / fixed * fixed) as u32).collect();
    examples.subset(&numbers)
}

/// The rate by the count of steps.
fn schedule(args: &TrainArgs, steps_per_epoch: u64) -> Schedule {
    let steps = (steps_per_epoch * args.epochs).max(1);
    let rest = steps.saturating_sub(args.warmup).max(1);
    let schedule = match args.schedule {
        Schedules::Constant => Schedule::constant(args.lr),
        Schedules::Cosine => Schedule::cosine(args.lr, 0.0, rest),
        Schedules::Linear => Schedule::linear(args.lr, 0.0, rest),
        Schedules::Step => Schedule::step(args.lr, 0.1, (rest / 3).max(1)),
    };
    if args.warmup > 0 { schedule.warm_up(args.warmup, 0.0) } else { schedule }
}

/// A step of the optimizer.
fn step<'g>(args: &TrainArgs, schedule: &Schedule, loss: Tensor<'g>) -> TrainStep<'g> {
    fn minimize<'g>(optimizer: impl Optimizer<'g>, args: &TrainArgs, loss: Tensor<'g>) -> TrainStep<'g> {
        match args.clip_norm {
            Some(limit) => optimizer.clip_by_global_norm(limit).minimize(loss),
            None => optimizer.minimize(loss),
        }
    }
    let rate = schedule.clone();
    let decay = args.weight_decay;
    match args.optimizer {
        Optimizers::Sgd if args.momentum == 0.0 => minimize(Sgd::new(rate).weight_decay(decay), args, loss),
        Optimizers::Sgd => minimize(Sgd::new(rate).momentum(args.momentum).weight_decay(decay), args, loss),
        Optimizers::Nesterov => {
            let momentum = if args.momentum == 0.0 { 0.9 } else { args.momentum };
            minimize(Sgd::new(rate).momentum(momentum).nesterov().weight_decay(decay), args, loss)
        }
        Optimizers::Adam => minimize(Adam::new(rate), args, loss),
        Optimizers::Adamw => minimize(AdamW::new(rate).weight_decay(decay), args, loss),
        Optimizers::Rmsprop => minimize(RmsProp::new(rate).momentum(args.momentum).weight_decay(decay), args, loss),
        Optimizers::Adagrad => minimize(Adagrad::new(rate).weight_decay(decay), args, loss),
        Optimizers::Lion => minimize(Lion::new(rate).weight_decay(decay), args, loss),
    }
}

/// `OUTPUT=cross_entropy`.
pub(crate) fn loss_of(text: &str) -> Result<(String, LossKind), String> {
    let names: Vec<&str> = LossKind::ALL.into_iter().map(LossKind::name).collect();
    let expected = format!("expected OUTPUT=LOSS, LOSS one of {}", names.join(", "));
    let (output, name) = text.rsplit_once('=').ok_or(&expected)?;
    let kind = LossKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or(&expected)?;
    Ok((output.to_owned(), kind))
}
