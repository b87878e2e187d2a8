//! What is written of a run: a table, and TensorBoard's events, read back by the rules of their formats.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;

use cotangent::data::Examples;
use cotangent::nn::{Linear, Module};
use cotangent::prelude::*;
use cotangent::train::log::{CsvLog, EventFile};
use cotangent::train::{Task, TrainStep, Trainer};

/// A folder that is removed when the test ends.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("cotangent-training-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn points() -> Examples {
    let x: Vec<f32> = (0..20).map(|i| i as f32 / 10.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 3.0 * x - 1.0).collect();
    let column = |v: Vec<f32>| Array::new([20, 1], v).unwrap();
    Examples::new([("x", column(x)), ("y", column(y))]).unwrap()
}

fn line<'g>(task: &mut Task<'g>) -> Tensor<'g> {
    let (x, y) = (task.input("x"), task.input("y"));
    let prediction = Linear::new(&task.at("fc"), 1, 1).forward(x, task.context());
    task.mean_absolute_error(prediction, y);
    prediction.mse(y).mean()
}

fn sgd<'g>(loss: Tensor<'g>) -> TrainStep<'g> {
    Sgd::new(Rate::adjustable(0.125)).minimize(loss)
}

#[test]
fn a_table_has_a_line_for_each_epoch_and_goes_on() {
    let folder = Folder::new("csv");
    let path = folder.0.join("log.csv");
    let mut trainer = Trainer::new(line, sgd).epochs(2).observe(CsvLog::create(&path).unwrap());
    let fit = trainer.fit_validated(points(), points()).unwrap();
    let mut more = Trainer::new(line, sgd).epochs(1).observe(CsvLog::append(&path).unwrap());
    more.fit_validated(points(), points()).unwrap();

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let names = "epoch,steps,rate,steps_per_second,train_loss,train_mae,validation_loss,validation_mae";
    assert_eq!(lines[0].join(","), names);
    assert_eq!(lines.len(), 4);
    for (line, epoch) in lines[1..3].iter().zip(&fit.epochs) {
        assert_eq!((line[0].parse::<u64>().unwrap(), line[2]), (epoch.epoch + 1, "0.125"));
        assert_eq!(line[4].parse::<f64>().unwrap(), epoch.train.loss());
        assert_eq!(line[7].parse::<f64>().unwrap(), epoch.validation.as_ref().unwrap().get("mae").unwrap());
    }
    assert_eq!(lines[3][0], "1");
    // A schedule is computed in the step; the log is told it.
    let (schedule, path) = (Schedule::step(0.5, 0.5, 2), folder.0.join("scheduled.csv"));
    let step = schedule.clone();
    let mut scheduled = Trainer::new(line, move |loss| Sgd::new(step.clone()).minimize(loss))
        .epochs(3)
        .observe(CsvLog::create(&path).unwrap().schedule(schedule.clone()));
    let fit = scheduled.fit(points()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1 + fit.epochs.len());
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let steps: u64 = fields[1].parse().unwrap();
        assert_eq!(fields[2].parse::<f64>().unwrap(), schedule.at(steps - 1));
    }
    let error = CsvLog::create(folder.0.join("absent").join("log.csv")).unwrap_err().to_string();
    assert!(error.contains("log.csv: "), "{error}");
}

/// CRC-32C bit by bit, masked as TensorFlow does.
fn masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A field of a protocol buffer: its number and its bytes, or its number as bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, bytes[..length].to_vec()));
        bytes = &bytes[length..];
    }
    fields
}

#[test]
fn events_are_records_with_checksums() {
    let folder = Folder::new("events");
    let events = EventFile::create(folder.0.join("runs")).unwrap();
    let path = events.path().to_owned();
    let told = Rc::new(RefCell::new(Vec::new()));
    let (of_steps, of_epochs) = (told.clone(), told.clone());
    let mut trainer = Trainer::new(line, sgd)
        .epochs(2)
        .batch(10)
        .observe(events)
        .on_step(move |report| {
            of_steps.borrow_mut().push(("step/loss".to_owned(), report.step, report.loss as f32));
            ControlFlow::Continue(())
        })
        .on_epoch(move |report| {
            let mut told = of_epochs.borrow_mut();
            for (part, metrics) in [("train", report.train), ("validation", report.validation.unwrap())] {
                told.extend(metrics.iter().map(|(name, v)| (format!("{part}/{name}"), report.steps, v as f32)));
            }
            told.push(("learning_rate".to_owned(), report.steps, report.rate.unwrap() as f32));
            ControlFlow::Continue(())
        });
    let fit = trainer.fit_validated(points(), points()).unwrap();
    assert_ne!(EventFile::create(folder.0.join("runs")).unwrap().path(), path, "another run has another file");

    let bytes = std::fs::read(&path).unwrap();
    let mut rest = &bytes[..];
    let mut scalars = Vec::new();
    let mut versions = 0;
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(masked_crc(&rest[..8]).to_le_bytes(), rest[8..12]);
        let event = &rest[12..12 + length];
        assert_eq!(masked_crc(event).to_le_bytes(), rest[12 + length..16 + length]);
        rest = &rest[16 + length..];
        let fields_of_event = fields(event);
        assert!(f64::from_le_bytes(fields_of_event[0].1[..].try_into().unwrap()) > 1.5e9, "seconds since 1970");
        let mut step = 0;
        for (number, bytes) in &fields_of_event[1..] {
            match number {
                2 => step = u64::from_le_bytes(bytes[..].try_into().unwrap()),
                3 => {
                    assert_eq!(bytes, b"brain.Event:2");
                    versions += 1;
                }
                5 => scalars.extend(fields(bytes).iter().map(|(number, value)| {
                    assert_eq!(*number, 1);
                    let value = fields(value);
                    let tag = String::from_utf8(value[0].1.clone()).unwrap();
                    (tag, step, f32::from_le_bytes(value[1].1[..].try_into().unwrap()))
                })),
                other => panic!("field {other}"),
            }
        }
    }
    assert_eq!((versions, scalars.len()), (1, 4 + 2 * 5));
    assert_eq!(scalars, *told.borrow());
    // What `check_events.py` compares TensorBoard's own reading with.
    if let Some(folder) = std::env::var_os("EVENTS").map(PathBuf::from) {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        let lines: String = scalars.iter().map(|(tag, step, value)| format!("{tag} {step} {value:?}\n")).collect();
        std::fs::write(folder.join("scalars.txt"), lines).unwrap();
    }
    let value = |tag: &str, step: u64| scalars.iter().find(|(t, s, _)| t == tag && *s == step).unwrap().2;
    assert_eq!(value("validation/mae", 4), fit.epochs[1].validation.as_ref().unwrap().get("mae").unwrap() as f32);
    assert_eq!(value("learning_rate", 2), 0.125);
    assert!(value("step/loss", 3) > 0.0);
}
