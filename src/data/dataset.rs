//! Labelled examples in memory.

use std::fmt;

use crate::array::{ArrayError, ArrayView};
use crate::graph::Shape;

use super::{Batches, DataError, DataErrorKind, Idx, Shuffled};

/// Labelled examples: `f32` features of one shape, and for each example the number of its class.
#[derive(Clone, PartialEq)]
pub struct Dataset {
    features: Vec<f32>,
    labels: Vec<i32>,
    example: Shape,
    classes: usize,
}

impl fmt::Debug for Dataset {
    /// `Dataset(1500 examples of f32[8, 8], 10 classes)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dataset({} examples of f32{}, {} classes)", self.labels.len(), self.example, self.classes)
    }
}

/// A data set in two parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// To learn from.
    pub train: Dataset,
    /// To test with.
    pub test: Dataset,
}

impl Dataset {
    /// The data set of these examples: `features` holds one example of shape `example` for each label, one behind the other.
    ///
    /// # Errors
    /// If a label is not one of `0..classes`, or there is not an example for each label; `name` stands for the file in these errors.
    pub fn new(
        name: &str,
        features: Vec<f32>,
        example: impl Into<Shape>,
        labels: Vec<i32>,
        classes: usize,
    ) -> Result<Dataset, DataError> {
        let example = example.into();
        let fail = |kind| Err(DataError::new(name, kind));
        let needed = example.checked_numel().and_then(|n| n.checked_mul(labels.len()));
        if needed != Some(features.len()) {
            let kind = DataErrorKind::Counts {
                labels: labels.len(),
                examples: features.len().checked_div(example.checked_numel().unwrap_or(0)).unwrap_or(0),
                other: format!("{} features in examples of shape {example}", features.len()),
            };
            return fail(kind);
        }
        let outside = |&l: &i32| usize::try_from(l).map_or(true, |l| l >= classes);
        if let Some(position) = labels.iter().position(outside) {
            let value = labels[position].into();
            return fail(DataErrorKind::Label { value, position, classes });
        }
        Ok(Dataset { features, labels, example, classes })
    }

    /// The data set of an IDX file of bytes, whose first axis counts the examples, and one of labels; each comes with its name. Bytes are multiplied by
    /// `scale`.
    ///
    /// # Errors
    /// If the elements are not bytes, the axes do not fit, the counts differ, or a label is not one of `0..classes`.
    pub fn from_idx(
        (images_name, images): (&str, &Idx),
        (labels_name, labels): (&str, &Idx),
        classes: usize,
        scale: f32,
    ) -> Result<Dataset, DataError> {
        let pixels = images.bytes().map_err(|kind| DataError::new(images_name, kind))?;
        let bytes = labels.bytes().map_err(|kind| DataError::new(labels_name, kind))?;
        let [count, ref example @ ..] = images.shape()[..] else {
            let kind = DataErrorKind::Axes {
                what: "examples",
                expected: "one axis or more, the first of which counts them",
                given: Vec::new(),
            };
            return Err(DataError::new(images_name, kind));
        };
        if labels.shape().rank() != 1 {
            let kind = DataErrorKind::Axes { what: "labels", expected: "one axis", given: labels.shape().to_vec() };
            return Err(DataError::new(labels_name, kind));
        }
        if bytes.len() != count {
            let kind = DataErrorKind::Counts { labels: bytes.len(), examples: count, other: images_name.to_owned() };
            return Err(DataError::new(labels_name, kind));
        }
        let features = pixels.iter().map(|&p| f32::from(p) * scale).collect();
        let labels = bytes.iter().map(|&l| i32::from(l)).collect();
        Dataset::new(labels_name, features, example, labels, classes)
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True if there are no examples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Shape of one example.
    pub fn example_shape(&self) -> &Shape {
        &self.example
    }

    /// Number of classes; labels are smaller.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The labels, in order.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    /// The features of all examples, one behind the other.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// The same examples as rows of features, without further axes.
    pub fn flattened(self) -> Dataset {
        let example = Shape::from([self.example.numel()]);
        Dataset { example, ..self }
    }

    /// Every `n`-th example (those with `index % n == n - 1`) to test with, all others to learn from.
    ///
    /// # Panics
    /// If `n` is 0.
    #[track_caller]
    pub fn split_every(&self, n: usize) -> Split {
        assert!(n > 0, "split_every: n is at least 1");
        let (test, train): (Vec<usize>, Vec<usize>) = (0..self.len()).partition(|i| i % n == n - 1);
        Split { train: self.subset(&train), test: self.subset(&test) }
    }

    /// The examples with these indices, in this order.
    ///
    /// # Panics
    /// If an index is out of range.
    #[track_caller]
    pub fn subset(&self, indices: &[usize]) -> Dataset {
        let width = self.example.numel();
        let mut subset = Dataset {
            features: Vec::with_capacity(indices.len() * width),
            labels: Vec::with_capacity(indices.len()),
            example: self.example.clone(),
            classes: self.classes,
        };
        for &i in indices {
            subset.features.extend_from_slice(&self.features[i * width..(i + 1) * width]);
            subset.labels.push(self.labels[i]);
        }
        subset
    }

    /// The examples followed by as many zeros with label 0 as make the count a multiple of `size`, so that batches of that size leave no example out.
    /// [`Dataset::labels`] of the data set before padding tells how many results count.
    ///
    /// # Panics
    /// If `size` is 0.
    #[track_caller]
    pub fn padded(&self, size: usize) -> Dataset {
        assert!(size > 0, "padded: a batch has at least one example");
        let len = self.len().next_multiple_of(size);
        let mut padded = self.clone();
        padded.features.resize(len * self.example.numel(), 0.0);
        padded.labels.resize(len, 0);
        padded
    }

    /// Batches of `size` examples in order: pairs of views, features `f32[size, ..]` and labels `i32[size]`. Nothing is copied. Examples that do not fill
    /// a last batch are left out; see [`Dataset::padded`].
    ///
    /// # Panics
    /// If `size` is 0.
    ///
    /// ```
    /// let test = cotangent::data::digits().test;
    /// for (xs, ys) in test.batches(50) {
    ///     assert_eq!((xs.shape()[..].to_vec(), ys.shape()[..].to_vec()), (vec![50, 8, 8], vec![50]));
    /// }
    /// ```
    #[track_caller]
    pub fn batches(&self, size: usize) -> Batches<'_> {
        Batches::new(self, size)
    }

    /// Batches of `size` examples in a new order each epoch, drawn from `seed`.
    ///
    /// # Panics
    /// If `size` is 0.
    #[track_caller]
    pub fn shuffled(&self, size: usize, seed: u64) -> Shuffled<'_> {
        Shuffled::new(self, size, seed)
    }

    /// A batch of examples as views.
    pub(super) fn view(&self, start: usize, size: usize) -> Result<(ArrayView<'_>, ArrayView<'_>), ArrayError> {
        let width = self.example.numel();
        let shape: Shape = std::iter::once(size).chain(self.example.iter().copied()).collect();
        let features = ArrayView::new(shape, &self.features[start * width..(start + size) * width])?;
        let labels = ArrayView::new([size], &self.labels[start..start + size])?;
        Ok((features, labels))
    }

    /// Overwrites this data set, of equal length, with the examples of another in the given order.
    pub(super) fn reorder(&mut self, from: &Dataset, order: &[u32]) {
        let width = self.example.numel();
        for (to, &i) in order.iter().enumerate() {
            let i = i as usize;
            self.labels[to] = from.labels[i];
            self.features[to * width..(to + 1) * width].copy_from_slice(&from.features[i * width..(i + 1) * width]);
        }
    }
}
