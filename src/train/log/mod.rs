//! Who a [`Trainer`](super::Trainer) tells how it goes: a CSV file, a TensorBoard event file, a progress bar.

mod csv;
mod events;
#[cfg(feature = "progress")]
mod progress;

pub use csv::CsvLog;
pub use events::EventFile;
#[cfg(feature = "progress")]
pub use progress::Progress;

use std::path::Path;

use super::TrainError;

/// The error of a file.
fn failed(path: &Path, error: std::io::Error) -> TrainError {
    TrainError::File { path: path.display().to_string(), error }
}
