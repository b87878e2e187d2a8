//! Measures of epochs as a table.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::io::write_file;
use crate::train::{EpochReport, Observer, Schedule, TrainError};

use super::failed;

/// Writes a line for each epoch to a CSV file: `epoch,steps,rate,steps_per_second,train_loss,..,validation_loss,..`, epochs from 1 on, measures in alphabetical
/// order. The rate is that of the epoch's last step; it is empty unless it is adjustable or the log knows the [schedule](CsvLog::schedule).
#[derive(Debug)]
pub struct CsvLog {
    path: PathBuf,
    file: File,
    begun: bool,
    schedule: Option<Schedule>,
}

impl CsvLog {
    /// A new file, in place of one that is there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: impl AsRef<Path>) -> Result<CsvLog, TrainError> {
        let path = path.as_ref();
        let file = File::create(path).map_err(|e| failed(path, e))?;
        Ok(CsvLog { path: path.to_owned(), file, begun: false, schedule: None })
    }

    /// Goes on with a file that is there, as a resumed run does, or begins a new one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(path: impl AsRef<Path>) -> Result<CsvLog, TrainError> {
        let path = path.as_ref();
        let open = || {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            let begun = file.metadata()?.len() > 0;
            Ok((file, begun))
        };
        let (file, begun) = open().map_err(|e| failed(path, e))?;
        Ok(CsvLog { path: path.to_owned(), file, begun, schedule: None })
    }

    /// Goes on with a file that is there after so many epochs, as a run does that is resumed from a checkpoint: lines of later epochs, which the run makes
    /// again, and a last line that was not written to its end are taken away.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn resume(path: impl AsRef<Path>, epochs: u64) -> Result<CsvLog, TrainError> {
        let path = path.as_ref();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return CsvLog::create(path),
            Err(error) => return Err(failed(path, error)),
        };
        let is_later = |line: &str| {
            let epoch = line.split(',').next().and_then(|field| field.parse::<u64>().ok());
            epoch.is_some_and(|epoch| epoch > epochs)
        };
        let lines = text.split_inclusive('\n');
        let kept: String = lines.filter(|line| line.ends_with('\n') && !is_later(line)).collect();
        if kept != text {
            write_file(path, kept.as_bytes()).map_err(|e| failed(path, e))?;
        }
        CsvLog::append(path)
    }

    /// The schedule of the optimizer, whose rates are not to be read from outside the step.
    pub fn schedule(self, schedule: Schedule) -> CsvLog {
        CsvLog { schedule: Some(schedule), ..self }
    }
}

impl Observer for CsvLog {
    fn on_epoch(&mut self, report: &EpochReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        let measures = |prefix: &'static str, metrics: &'_ crate::train::Metrics| -> Vec<(String, String)> {
            metrics.iter().map(|(name, value)| (quoted(&format!("{prefix}_{name}")), value.to_string())).collect()
        };
        let scheduled = || Some(self.schedule.as_ref()?.at(report.steps.saturating_sub(1)));
        let rate = report.rate.or_else(scheduled);
        let mut fields = vec![
            ("epoch".to_owned(), (report.epoch + 1).to_string()),
            ("steps".to_owned(), report.steps.to_string()),
            ("rate".to_owned(), rate.map_or_else(String::new, |rate| rate.to_string())),
            ("steps_per_second".to_owned(), format!("{:.1}", report.steps_per_second)),
        ];
        fields.extend(measures("train", report.train));
        fields.extend(report.validation.iter().flat_map(|validation| measures("validation", validation)));
        let (names, values): (Vec<String>, Vec<String>) = fields.into_iter().unzip();
        let mut text = String::new();
        if !self.begun {
            text = names.join(",") + "\n";
        }
        text += &(values.join(",") + "\n");
        self.begun = true;
        self.file.write_all(text.as_bytes()).map_err(|e| failed(&self.path, e))?;
        Ok(ControlFlow::Continue(()))
    }
}

/// A field with quotes around it if it needs them (RFC 4180).
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
