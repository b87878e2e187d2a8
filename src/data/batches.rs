//! Minibatches of one size, in order or shuffled.

use crate::array::ArrayView;

use super::Dataset;
use super::examples::shuffle;

/// Batches of one size: pairs of views, features and labels. See [`Dataset::batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    data: &'a Dataset,
    size: usize,
    /// First example of the next batch.
    next: usize,
}

impl<'a> Batches<'a> {
    #[track_caller]
    pub(super) fn new(data: &'a Dataset, size: usize) -> Batches<'a> {
        assert!(size > 0, "batches: a batch has at least one example");
        Batches { data, size, next: 0 }
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = (ArrayView<'a>, ArrayView<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.data.len() - self.next < self.size {
            return None;
        }
        let start = self.next;
        self.next += self.size;
        Some(self.data.view(start, self.size).expect("a data set has an example for each label"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.data.len() - self.next) / self.size;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches<'_> {}

/// Batches in a new order each epoch. See [`Dataset::shuffled`].
///
/// It holds a second copy of the data set, in the order of the epoch. An epoch overwrites it and allocates nothing, and its batches are views of it.
#[derive(Clone, Debug)]
pub struct Shuffled<'a> {
    data: &'a Dataset,
    size: usize,
    seed: u64,
    order: Vec<u32>,
    copy: Dataset,
}

impl<'a> Shuffled<'a> {
    #[track_caller]
    pub(super) fn new(data: &'a Dataset, size: usize, seed: u64) -> Shuffled<'a> {
        assert!(size > 0, "shuffled: a batch has at least one example");
        let len = u32::try_from(data.len()).expect("a data set has fewer than 2^32 examples");
        Shuffled { data, size, seed, order: (0..len).collect(), copy: data.clone() }
    }

    /// Number of batches in an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.data.len() / self.size
    }

    /// The batches of epoch `number`. The order depends on the seed and the number alone, and is the same on every machine and in every version.
    /// Examples that do not fill a last batch are left out; which ones differs from epoch to epoch.
    ///
    /// ```
    /// # let digits = cotangent::data::digits();
    /// let mut batches = digits.train.shuffled(50, 0);
    /// for epoch in 0..3 {
    ///     assert_eq!(batches.epoch(epoch).len(), 28);
    /// }
    /// ```
    pub fn epoch(&mut self, number: u64) -> Batches<'_> {
        for (i, o) in self.order.iter_mut().enumerate() {
            *o = i as u32;
        }
        shuffle(&mut self.order, self.seed, number);
        self.copy.reorder(self.data, &self.order);
        Batches::new(&self.copy, self.size)
    }
}
