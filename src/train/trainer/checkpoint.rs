//! Checkpoints: all that a run needs to go on as if it had not stopped.
//!
//! Arrays are the parameters and states by name: weights, the optimizer's moments and counts, random keys, and counts of the epoch so far. Texts are the
//! position in the data, sums of the epoch so far, what watches measures has seen, and the types of the data.

use std::collections::BTreeMap;

use crate::array::Array;
use crate::graph::{DType, Shape, TensorType};
use crate::train::metrics::{Sums, bits, number};
use crate::train::{EarlyStopping, ReduceOnPlateau};

use super::TrainError;

/// The state of a run between two steps. See [`Trainer::checkpoint`](super::Trainer::checkpoint).
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub(crate) arrays: BTreeMap<String, Array>,
    /// Sums of the epoch so far that are arrays, by measure.
    counts: BTreeMap<String, Array>,
    /// The parameters and states after the best epoch, if early stopping restores them.
    pub(super) best: BTreeMap<String, Array>,
    pub(super) texts: BTreeMap<String, String>,
}

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Position {
    /// Epochs that have ended.
    pub(super) epoch: u64,
    /// Batches of the epoch that were taken.
    pub(super) batch: usize,
    /// Steps made in all epochs.
    pub(super) step: u64,
    /// Sums over those batches.
    pub(super) sums: Sums,
}

/// What has to be the same for the rest of an epoch to be the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Course {
    pub(super) examples: usize,
    pub(super) batch: usize,
    /// `None` if batches come in order.
    pub(super) seed: Option<u64>,
    /// A smaller last batch is left out.
    pub(super) whole_batches: bool,
}

impl Course {
    /// Batches of an epoch, 0 if batches have no examples.
    pub(super) fn batches(&self) -> usize {
        match self.whole_batches && self.examples >= self.batch {
            _ if self.batch == 0 => 0,
            true => self.examples / self.batch,
            false => self.examples.div_ceil(self.batch),
        }
    }
}

const FORMAT: &str = "cotangent.checkpoint";

/// What stands before the keys of a run's tags.
const TAG: &str = "tag.";

/// What stands in a file before the names of measures whose counts it holds. The text of such an entry is the name of the array.
#[cfg(feature = "safetensors")]
const COUNTS: &str = "sum.counts.";

/// The same for the parameters after the best epoch.
#[cfg(feature = "safetensors")]
const BEST: &str = "best.";

impl Checkpoint {
    /// The parameters and states by name.
    pub fn arrays(&self) -> &BTreeMap<String, Array> {
        &self.arrays
    }

    /// What the run that it is of was said to be made with ([`Trainer::tag`](super::Trainer::tag)).
    pub fn tags(&self) -> BTreeMap<&str, &str> {
        self.texts.iter().filter_map(|(key, text)| Some((key.strip_prefix(TAG)?, &**text))).collect()
    }

    /// How many epochs had ended.
    ///
    /// # Errors
    /// If a trainer has not written it.
    pub fn epochs(&self) -> Result<u64, TrainError> {
        self.parsed("epoch")
    }

    /// Writes the checkpoint as a safetensors file, with the position in its metadata. A file that is there is replaced as a whole or stays as it is.
    ///
    /// # Errors
    /// If the file cannot be written.
    #[cfg(feature = "safetensors")]
    pub fn write(&self, path: impl AsRef<std::path::Path>) -> Result<(), TrainError> {
        let path = path.as_ref();
        let (mut arrays, mut texts) = (self.arrays.clone(), self.texts.clone());
        for (prefix, others) in [(COUNTS, &self.counts), (BEST, &self.best)] {
            for (of, array) in others {
                let key = format!("{prefix}{of}");
                let mut name = key.clone();
                while arrays.contains_key(&name) {
                    name.push('\'');
                }
                texts.insert(key, name.clone());
                arrays.insert(name, array.clone());
            }
        }
        let bytes = crate::io::safetensors::to_bytes(arrays.iter().map(|(n, a)| (&**n, a)), &texts)
            .map_err(|kind| crate::io::FileError::new(path, kind))?;
        let failed = |error| TrainError::File { path: path.display().to_string(), error };
        crate::io::write_file(path, &bytes).map_err(failed)
    }

    /// Reads a checkpoint that [`Checkpoint::write`] wrote.
    ///
    /// # Errors
    /// If the file cannot be read, or is no checkpoint.
    #[cfg(feature = "safetensors")]
    pub fn read(path: impl AsRef<std::path::Path>) -> Result<Checkpoint, TrainError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(crate::io::FileError::read(path))?;
        Checkpoint::parse(path, &bytes)
    }

    /// True if a safetensors file with this metadata is meant to be a checkpoint.
    #[cfg(feature = "safetensors")]
    pub(crate) fn is_one(metadata: &BTreeMap<String, String>) -> bool {
        metadata.contains_key(FORMAT)
    }

    /// The checkpoint that the bytes of this file are.
    ///
    /// # Errors
    /// If they are none.
    #[cfg(feature = "safetensors")]
    pub(crate) fn parse(path: &std::path::Path, bytes: &[u8]) -> Result<Checkpoint, TrainError> {
        let failed = |error| match error {
            TrainError::Checkpoint(what) => TrainError::Checkpoint(format!("{}: {what}", path.display())),
            other => other,
        };
        Checkpoint::of_bytes(path, bytes).map_err(failed)
    }

    #[cfg(feature = "safetensors")]
    fn of_bytes(path: &std::path::Path, bytes: &[u8]) -> Result<Checkpoint, TrainError> {
        let fail = |kind| crate::io::FileError::new(path, kind);
        let mut arrays = crate::io::safetensors::parse(bytes).map_err(fail)?;
        let mut texts = crate::io::safetensors::metadata(bytes).map_err(fail)?;
        let [mut counts, mut best] = [BTreeMap::new(), BTreeMap::new()];
        for (prefix, others) in [(COUNTS, &mut counts), (BEST, &mut best)] {
            for (key, name) in texts.extract_if(.., |key, _| key.starts_with(prefix)) {
                let lacks = || TrainError::Checkpoint(format!("entry `{key}` is `{name}`, and there is no such array"));
                others.insert(key[prefix.len()..].to_owned(), arrays.remove(&name).ok_or_else(lacks)?);
            }
        }
        let checkpoint = Checkpoint { arrays, counts, best, texts };
        checkpoint.expect_format()?;
        Ok(checkpoint)
    }

    pub(super) fn new(arrays: BTreeMap<String, Array>) -> Checkpoint {
        let texts = BTreeMap::from([(FORMAT.to_owned(), "1".to_owned())]);
        Checkpoint { arrays, counts: BTreeMap::new(), best: BTreeMap::new(), texts }
    }

    fn put(&mut self, key: &str, value: impl ToString) {
        self.texts.insert(key.to_owned(), value.to_string());
    }

    fn text(&self, key: &str) -> Result<&str, TrainError> {
        let text = self.texts.get(key).map(String::as_str);
        text.ok_or_else(|| TrainError::Checkpoint(format!("it has no entry `{key}`")))
    }

    fn parsed<T: std::str::FromStr>(&self, key: &str) -> Result<T, TrainError> {
        let text = self.text(key)?;
        text.parse().map_err(|_| TrainError::Checkpoint(format!("entry `{key}` is `{text}`")))
    }

    fn float(&self, key: &str) -> Result<f64, TrainError> {
        let text = self.text(key)?;
        number(text).ok_or_else(|| TrainError::Checkpoint(format!("entry `{key}` is `{text}`")))
    }

    pub(super) fn expect_format(&self) -> Result<(), TrainError> {
        match self.text(FORMAT)? {
            "1" => Ok(()),
            other => Err(TrainError::Checkpoint(format!("its format is version {other}, this is version 1"))),
        }
    }

    pub(super) fn put_position(&mut self, position: &Position, course: &Course) {
        self.put("epoch", position.epoch);
        self.put("batch", position.batch);
        self.put("step", position.step);
        position.sums.write(&mut self.texts);
        self.counts = position.sums.counts().clone();
        self.put("examples", course.examples);
        self.put("batch_size", course.batch);
        if let Some(seed) = course.seed {
            self.put("seed", seed);
        }
        if course.whole_batches {
            self.put("whole_batches", true);
        }
    }

    pub(super) fn put_tags(&mut self, tags: &BTreeMap<String, String>) {
        for (key, value) in tags {
            self.put(&format!("{TAG}{key}"), value);
        }
    }

    /// The copy of the best epoch is of the same parameters.
    pub(super) fn expect_best(&self) -> Result<(), TrainError> {
        for (name, best) in &self.best {
            match self.arrays.get(name) {
                Some(array) if array.ty() == best.ty() => {}
                Some(array) => {
                    let (ty, best) = (array.ty(), best.ty());
                    return Err(TrainError::Checkpoint(format!(
                        "`{name}` is {ty}, and was {best} after the best epoch"
                    )));
                }
                None => return Err(TrainError::Checkpoint(format!("`{name}` is there of the best epoch only"))),
            }
        }
        Ok(())
    }

    pub(super) fn position(&self) -> Result<(Position, Course), TrainError> {
        let sums = Sums::read(&self.texts, self.counts.clone()).map_err(TrainError::Checkpoint)?;
        let position =
            Position { epoch: self.parsed("epoch")?, batch: self.parsed("batch")?, step: self.parsed("step")?, sums };
        let seed = if self.texts.contains_key("seed") { Some(self.parsed("seed")?) } else { None };
        let whole_batches = self.texts.contains_key("whole_batches") && self.parsed("whole_batches")?;
        let course =
            Course { examples: self.parsed("examples")?, batch: self.parsed("batch_size")?, seed, whole_batches };
        if position.batch > course.batches() {
            let (batch, batches) = (position.batch, course.batches());
            return Err(TrainError::Checkpoint(format!("it is after batch {batch} of an epoch of {batches}")));
        }
        if position.batch == 0 && position.sums != Sums::default() {
            let what = "it is before the first batch of an epoch, and holds sums over batches";
            return Err(TrainError::Checkpoint(what.to_owned()));
        }
        let seen = position.batch.saturating_mul(course.batch).min(course.examples) as f64;
        if position.batch > 0 && position.sums.examples() != seen {
            let (sums, batch, size) = (position.sums.examples(), position.batch, course.batch);
            let what = format!("it holds sums over {sums} examples after {batch} batches of {size}");
            return Err(TrainError::Checkpoint(what));
        }
        if let Some((measure, counts)) = self.counts.iter().find(|(_, counts)| counts.dtype() != DType::F64) {
            return Err(TrainError::Checkpoint(format!("the counts of `{measure}` are {}, not f64", counts.ty())));
        }
        Ok((position, course))
    }

    pub(super) fn put_types(&mut self, types: &[(String, TensorType)]) {
        for (name, ty) in types {
            let extents: Vec<String> = ty.shape.iter().map(usize::to_string).collect();
            self.put(&format!("type.{name}"), format!("{} {}", ty.dtype, extents.join(" ")));
        }
    }

    pub(super) fn types(&self) -> Result<Vec<(String, TensorType)>, TrainError> {
        let typed = self.texts.iter().filter_map(|(key, text)| Some((key.strip_prefix("type.")?, text)));
        let parse = |(name, text): (&str, &String)| {
            let mut words = text.split_whitespace();
            let dtype = words.next().and_then(|word| DType::ALL.into_iter().find(|d| d.name() == word));
            let shape: Option<Shape> =
                words.map(|word| word.parse::<usize>().ok()).collect::<Option<Vec<_>>>().map(Shape::from);
            match (dtype, shape) {
                (Some(dtype), Some(shape)) => Ok((name.to_owned(), TensorType { dtype, shape })),
                _ => Err(TrainError::Checkpoint(format!("entry `type.{name}` is `{text}`"))),
            }
        };
        typed.map(parse).collect()
    }

    pub(super) fn put_early_stopping(&mut self, stop: &EarlyStopping) {
        self.put("early.best", bits(stop.best));
        self.put("early.bad", stop.bad);
    }

    pub(super) fn early_stopping(&self, stop: &mut EarlyStopping) -> Result<(), TrainError> {
        if self.texts.contains_key("early.best") {
            (stop.best, stop.bad) = (self.float("early.best")?, self.parsed("early.bad")?);
        }
        Ok(())
    }

    pub(super) fn put_plateau(&mut self, plateau: &ReduceOnPlateau) {
        self.put("plateau.rate", bits(plateau.rate));
        self.put("plateau.best", bits(plateau.best));
        self.put("plateau.bad", plateau.bad);
        self.put("plateau.cooling", plateau.cooling);
    }

    pub(super) fn plateau(&self, plateau: &mut ReduceOnPlateau) -> Result<(), TrainError> {
        if self.texts.contains_key("plateau.rate") {
            plateau.rate = self.float("plateau.rate")?;
            plateau.best = self.float("plateau.best")?;
            plateau.bad = self.parsed("plateau.bad")?;
            plateau.cooling = self.parsed("plateau.cooling")?;
        }
        Ok(())
    }
}
