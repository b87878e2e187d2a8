//! Measures as a TensorBoard event file.
//!
//! ```text
//!   file    TFRecord: for each event its length (u64), the masked CRC-32C of that (u32), the event, the masked CRC-32C of that (u32); little-endian
//!   event   protocol buffer: wall_time = 1 (double), step = 2 (int64), file_version = 3 (string) or summary = 5
//!   summary value = 1, repeated: tag = 1 (string), simple_value = 2 (float)
//! ```
//!
//! After TensorFlow's `lib/io/record_writer.h`, `util/event.proto` and `framework/summary.proto`.

use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::train::{EpochReport, Observer, StepReport, TrainError};

use super::failed;

/// Writes scalars for TensorBoard: `step/loss` after each step, and after each epoch `train/<measure>`, `validation/<measure>` and `learning_rate`.
///
/// ```no_run
/// use cotangent::train::log::EventFile;
/// let mut events = EventFile::create("runs/first")?;
/// events.scalar("loss", 0, 2.3)?;
/// # Ok::<(), cotangent::train::TrainError>(())
/// ```
///
/// `tensorboard --logdir runs` shows it.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file `events.out.tfevents.<seconds>.<process>.cotangent` in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(folder: impl AsRef<Path>) -> Result<EventFile, TrainError> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        let process = std::process::id();
        // Two files of one second are told apart by a number.
        let mut number = 0;
        let (path, file) = loop {
            let name = format!("events.out.tfevents.{:010}.{process}.{number}.cotangent", now() as u64);
            let path = folder.join(name);
            match File::create_new(&path) {
                Ok(file) => break (path, file),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(failed(&path, e)),
            }
        };
        let mut events = EventFile { path, file };
        let mut event = Vec::new();
        put_double(&mut event, 1, now());
        put_bytes(&mut event, 3, b"brain.Event:2");
        events.record(&event)?;
        Ok(events)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one value.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), TrainError> {
        self.scalars(step, &[(tag.to_owned(), value)])
    }

    fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> Result<(), TrainError> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut field = Vec::new();
            put_bytes(&mut field, 1, tag.as_bytes());
            put_key(&mut field, 2, 5);
            field.extend((*value as f32).to_le_bytes());
            put_bytes(&mut summary, 1, &field);
        }
        let mut event = Vec::new();
        put_double(&mut event, 1, now());
        put_key(&mut event, 2, 0);
        put_varint(&mut event, step);
        put_bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, event: &[u8]) -> Result<(), TrainError> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(event);
        record.extend(masked_crc(event).to_le_bytes());
        self.file.write_all(&record).map_err(|e| failed(&self.path, e))
    }
}

impl Observer for EventFile {
    fn on_step(&mut self, report: &StepReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        self.scalar("step/loss", report.step, report.loss)?;
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch(&mut self, report: &EpochReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        let mut values: Vec<(String, f64)> = Vec::new();
        values.extend(report.train.iter().map(|(name, value)| (format!("train/{name}"), value)));
        let validation = report.validation.iter().flat_map(|metrics| metrics.iter());
        values.extend(validation.map(|(name, value)| (format!("validation/{name}"), value)));
        values.extend(report.rate.map(|rate| ("learning_rate".to_owned(), rate)));
        self.scalars(report.steps, &values)?;
        Ok(ControlFlow::Continue(()))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn put_key(to: &mut Vec<u8>, field: u64, wire: u64) {
    put_varint(to, field << 3 | wire);
}

fn put_bytes(to: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_key(to, field, 2);
    put_varint(to, bytes.len() as u64);
    to.extend(bytes);
}

fn put_double(to: &mut Vec<u8>, field: u64, value: f64) {
    put_key(to, field, 1);
    to.extend(value.to_le_bytes());
}

/// The remainders of all bytes by Castagnoli's polynomial, bits reversed.
const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// CRC-32C (RFC 3720, appendix B.4).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| crc >> 8 ^ CRC[usize::from(crc as u8 ^ byte)])
}

/// TensorFlow's mask keeps a checksum of what contains checksums from being a special one.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // The check value of CRC-32C, and the examples of RFC 3720, appendix B.4.
        assert_eq!(crc(b"123456789"), 0xe306_9283);
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc(&[0xff; 32]), 0x62a8_ab43);
    }
}
