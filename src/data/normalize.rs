//! Normalization of features by the mean and standard deviation of the training part.

use crate::array::Array;
use crate::graph::Shape;

use super::{DataError, DataErrorKind, Examples};

/// Mean and standard deviation of each feature of a column, taken from the examples to learn from and applied to all.
///
/// ```
/// use cotangent::Array;
/// use cotangent::data::{Examples, Normalizer};
///
/// let train = Examples::new([("x", Array::from([[1.0f32, 5.0], [3.0, 5.0]]))])?;
/// let test = Examples::new([("x", Array::from([[5.0f32, 6.0]]))])?;
/// let normalizer = Normalizer::fit(&train, "x")?;
/// assert_eq!(normalizer.apply(&train)?.column("x")?, &Array::from([[-1.0f32, 0.0], [1.0, 0.0]]));
/// assert_eq!(normalizer.apply(&test)?.column("x")?, &Array::from([[3.0f32, 1.0]]));
/// # Ok::<(), cotangent::data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizer {
    column: String,
    example: Shape,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Normalizer {
    /// The statistics of each feature over these examples. The standard deviation is divided by the count; where a feature does not vary, or there are no
    /// examples, 1 stands for it.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn fit(train: &Examples, column: &str) -> Result<Normalizer, DataError> {
        Normalizer::of(train, column, false)
    }

    /// [`Normalizer::fit`] with one mean and one standard deviation for all features together, as for the pixels of images.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn fit_together(train: &Examples, column: &str) -> Result<Normalizer, DataError> {
        Normalizer::of(train, column, true)
    }

    fn of(train: &Examples, column: &str, together: bool) -> Result<Normalizer, DataError> {
        let array = train.column(column)?;
        let example = Shape::from(&array.shape()[1..]);
        let width = if together { 1 } else { example.numel() };
        let values = array.to_f64_vec();
        let count = (values.len() / width.max(1)).max(1) as f64;
        let mut mean = vec![0.0; width];
        values.chunks_exact(width.max(1)).for_each(|row| row.iter().zip(&mut mean).for_each(|(x, m)| *m += x / count));
        let mut square = vec![0.0; width];
        for row in values.chunks_exact(width.max(1)) {
            for ((x, m), s) in row.iter().zip(&mean).zip(&mut square) {
                *s += (x - m) * (x - m) / count;
            }
        }
        let deviation = square.iter().map(|s| if *s > 0.0 { s.sqrt() } else { 1.0 }).collect();
        Ok(Normalizer { column: column.to_owned(), example, mean, deviation })
    }

    /// What is subtracted: a number for each feature, or one for all.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// What is divided by: a number for each feature, or one for all.
    pub fn deviation(&self) -> &[f64] {
        &self.deviation
    }

    /// The examples with the column normalized; it becomes `f32` unless it is `f64`.
    ///
    /// # Errors
    /// If there is no such column, or its examples have another shape.
    pub fn apply(&self, examples: &Examples) -> Result<Examples, DataError> {
        let array = examples.column(&self.column)?;
        if array.shape()[1..] != self.example[..] {
            let kind = DataErrorKind::Shapes {
                given: array.shape()[1..].to_vec(),
                other: "the normalizer".to_owned(),
                expected: self.example.to_vec(),
            };
            return Err(DataError::new(format!("column `{}`", self.column), kind));
        }
        let width = self.mean.len().max(1);
        let scaled = array
            .to_f64_vec()
            .into_iter()
            .enumerate()
            .map(|(i, x)| (x - self.mean[i % width]) / self.deviation[i % width]);
        let shape = array.shape().clone();
        let normalized = match array.as_slice::<f64>() {
            Ok(_) => Array::new(shape, scaled.collect::<Vec<f64>>()),
            Err(_) => Array::new(shape, scaled.map(|x| x as f32).collect()),
        };
        examples.with(&self.column, normalized.expect("as many elements as before"))
    }
}
