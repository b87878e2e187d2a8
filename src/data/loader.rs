//! Batches of examples, the last of which may be smaller, made in a thread of their own if asked.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::array::Array;

use super::Examples;
use super::examples::{order, rows};

/// Hands out examples in batches: in order, or shuffled by a seed, in another order in each epoch.
///
/// ```
/// use cotangent::Array;
/// use cotangent::data::{Examples, Loader};
///
/// let examples = Examples::new([("x", Array::from([0, 1, 2, 3, 4, 5, 6]))])?;
/// let loader = Loader::new(&examples, 3).shuffle(0).prefetch(2);
/// let sizes: Vec<usize> = loader.epoch(0).map(|batch| batch.len()).collect();
/// assert_eq!(sizes, [3, 3, 1]);
/// # Ok::<(), cotangent::data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loader {
    examples: Examples,
    size: usize,
    seed: Option<u64>,
    whole: bool,
    ahead: usize,
}

/// Some examples, copied out of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    columns: Vec<(String, Array)>,
    len: usize,
}

impl Batch {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no examples. A [`Loader`] gives no such batch.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Names and arrays, to be given to [`Executable::run`](crate::Executable::run) if it has these inputs.
    pub fn inputs(&self) -> Vec<(&str, &Array)> {
        self.columns.iter().map(|(name, array)| (&**name, array)).collect()
    }

    /// The array called `name`.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, array)| array)
    }
}

impl Loader {
    /// Batches of `size` examples in order. The last one holds what is left.
    ///
    /// # Panics
    /// If `size` is 0.
    #[track_caller]
    pub fn new(examples: impl Into<Examples>, size: usize) -> Loader {
        assert!(size > 0, "Loader: a batch has at least one example");
        Loader { examples: examples.into(), size, seed: None, whole: false, ahead: 0 }
    }

    /// In an order that the seed and the number of the epoch tell, the same on every machine and in every version.
    pub fn shuffle(self, seed: u64) -> Loader {
        Loader { seed: Some(seed), ..self }
    }

    /// Leaves out a last batch that would be smaller.
    pub fn whole_batches(self) -> Loader {
        Loader { whole: true, ..self }
    }

    /// Makes up to `ahead` batches before they are asked for, in a thread.
    pub fn prefetch(self, ahead: usize) -> Loader {
        Loader { ahead, ..self }
    }

    /// Number of batches in an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        if self.whole { self.examples.len() / self.size } else { self.examples.len().div_ceil(self.size) }
    }

    /// Number of examples in batch `number` of an epoch.
    pub fn len_of(&self, number: usize) -> usize {
        self.examples.len().saturating_sub(number * self.size).min(self.size)
    }

    /// The batches of an epoch.
    pub fn epoch(&self, number: u64) -> Batches {
        self.epoch_from(number, 0)
    }

    /// The batches of an epoch from that of number `first` on.
    pub fn epoch_from(&self, number: u64, first: usize) -> Batches {
        let order = order(self.examples.len(), self.seed, number);
        let source = Source {
            examples: self.examples.clone(),
            order,
            size: self.size,
            next: first,
            end: self.batches_per_epoch(),
        };
        if self.ahead == 0 {
            return Batches(Origin::Here(source));
        }
        let (send, receive) = sync_channel(self.ahead);
        // The thread ends when all are sent, or nobody receives any more.
        let make = move || source.map(|batch| send.send(batch)).take_while(Result::is_ok).for_each(drop);
        let thread = std::thread::Builder::new().name("prefetch".to_owned()).spawn(make);
        match thread {
            Ok(thread) => Batches(Origin::Thread { receive: Some(receive), thread: Some(thread) }),
            // Without threads, the batches come a little later.
            Err(_) => Loader { ahead: 0, ..self.clone() }.epoch_from(number, first),
        }
    }
}

/// Makes batches.
#[derive(Debug)]
struct Source {
    examples: Examples,
    order: Vec<u32>,
    size: usize,
    next: usize,
    end: usize,
}

impl Iterator for Source {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.next >= self.end {
            return None;
        }
        let from = self.next * self.size;
        let numbers = &self.order[from..(from + self.size).min(self.order.len())];
        self.next += 1;
        let columns = self.examples.columns().map(|(name, array)| (name.to_owned(), rows(array, numbers))).collect();
        Some(Batch { columns, len: numbers.len() })
    }
}

/// The batches of an epoch. See [`Loader::epoch`].
#[derive(Debug)]
pub struct Batches(Origin);

#[derive(Debug)]
enum Origin {
    Here(Source),
    Thread { receive: Option<Receiver<Batch>>, thread: Option<JoinHandle<()>> },
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        match &mut self.0 {
            Origin::Here(source) => source.next(),
            Origin::Thread { receive, .. } => receive.as_ref()?.recv().ok(),
        }
    }
}

impl Drop for Batches {
    /// Waits for the thread, which stops at once.
    fn drop(&mut self) {
        if let Origin::Thread { receive, thread } = &mut self.0 {
            drop(receive.take());
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}
