//! Measures of epochs as a table.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::train::{EpochReport, Observer, TrainError};

use super::failed;

/// Writes a line for each epoch to a CSV file: `epoch,steps,rate,steps_per_second,train_loss,..,validation_loss,..`, measures in alphabetical order. The rate is
/// empty unless it is adjustable.
#[derive(Debug)]
pub struct CsvLog {
    path: PathBuf,
    file: File,
    begun: bool,
}

impl CsvLog {
    /// A new file, in place of one that is there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: impl AsRef<Path>) -> Result<CsvLog, TrainError> {
        let path = path.as_ref();
        let file = File::create(path).map_err(|e| failed(path, e))?;
        Ok(CsvLog { path: path.to_owned(), file, begun: false })
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
        Ok(CsvLog { path: path.to_owned(), file, begun })
    }
}

impl Observer for CsvLog {
    fn on_epoch(&mut self, report: &EpochReport<'_>) -> Result<ControlFlow<()>, TrainError> {
        let measures = |prefix: &'static str, metrics: &'_ crate::train::Metrics| -> Vec<(String, String)> {
            metrics.iter().map(|(name, value)| (quoted(&format!("{prefix}_{name}")), value.to_string())).collect()
        };
        let mut fields = vec![
            ("epoch".to_owned(), report.epoch.to_string()),
            ("steps".to_owned(), report.steps.to_string()),
            ("rate".to_owned(), report.rate.map_or_else(String::new, |rate| rate.to_string())),
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
