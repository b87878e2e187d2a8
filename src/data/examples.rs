//! Examples in memory: arrays by name, whose first axes count the examples.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::array::{Array, ArrayElement, StorageRef};
use crate::graph::{DType, Shape, TensorType};

use super::{DataError, DataErrorKind, Dataset};

/// Examples with any number of columns: images and labels, questions and answers, features and targets. Each column is an array, and row `i` of all columns together
/// is example `i`.
///
/// ```
/// use cotangent::Array;
/// use cotangent::data::Examples;
///
/// let examples = Examples::new([("x", Array::from([[0.0f32, 1.0], [2.0, 3.0], [4.0, 5.0]])), ("y", Array::from([0, 1, 1]))])?;
/// assert_eq!(examples.len(), 3);
/// let [train, test] = examples.split([0.67, 0.33], 0);
/// assert_eq!((train.len(), test.len()), (2, 1));
/// # Ok::<(), cotangent::data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    columns: Arc<Vec<(String, Array)>>,
    len: usize,
}

impl Examples {
    /// The examples of these columns.
    ///
    /// # Errors
    /// If there are none, one is a scalar, a name comes twice, or the counts of rows differ.
    pub fn new<N: Into<String>, A: Into<Array>>(
        columns: impl IntoIterator<Item = (N, A)>,
    ) -> Result<Examples, DataError> {
        let columns: Vec<(String, Array)> = columns.into_iter().map(|(n, a)| (n.into(), a.into())).collect();
        let Some((first, array)) = columns.first() else {
            return Err(DataError::new("examples", DataErrorKind::NoColumns));
        };
        let expected = array.shape().first().copied().unwrap_or(0);
        for (i, (name, array)) in columns.iter().enumerate() {
            let fail = |kind| Err(DataError::new(format!("column `{name}`"), kind));
            let Some(&rows) = array.shape().first() else {
                let expected = "one axis or more, the first of which counts them";
                return fail(DataErrorKind::Axes { what: "examples", expected, given: Vec::new() });
            };
            if columns[..i].iter().any(|(other, _)| other == name) {
                return fail(DataErrorKind::ColumnTwice);
            }
            if rows != expected {
                return fail(DataErrorKind::Rows { given: rows, other: first.clone(), expected });
            }
        }
        Ok(Examples { columns: Arc::new(columns), len: expected })
    }

    /// Reads the arrays of an npz file, each a column.
    ///
    /// # Errors
    /// If the file cannot be read or is malformed, or its arrays do not have one extent along their first axes.
    #[cfg(feature = "npz")]
    pub fn read_npz(path: impl AsRef<std::path::Path>) -> Result<Examples, ReadError> {
        let path = path.as_ref();
        let arrays = crate::io::npz::read(path)?;
        Ok(Examples::new(arrays).map_err(|e| DataError::new(format!("{}: {}", path.display(), e.file), e.kind))?)
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no examples.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Names and arrays of the columns.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (&str, &Array)> {
        self.columns.iter().map(|(name, array)| (&**name, array))
    }

    /// A number that tells these examples from others: of the names, types and elements of the columns in their order. The same on every machine and in every
    /// version. Elements count by their bits, so 0 is another than -0.
    pub fn fingerprint(&self) -> u64 {
        let mut mixed = Mixed(0);
        for (name, array) in self.columns() {
            for text in [name, array.dtype().name()] {
                mixed.add(text.len() as u64);
                text.bytes().for_each(|byte| mixed.add(byte.into()));
            }
            mixed.add(array.shape().rank() as u64);
            array.shape().iter().for_each(|&extent| mixed.add(extent as u64));
            match array.storage() {
                StorageRef::Bool(v) => v.iter().for_each(|&x| mixed.add(x.into())),
                StorageRef::U8(v) => v.iter().for_each(|&x| mixed.add(x.into())),
                StorageRef::I32(v) => v.iter().for_each(|&x| mixed.add(x as u64)),
                StorageRef::U32(v) => v.iter().for_each(|&x| mixed.add(x.into())),
                StorageRef::I64(v) => v.iter().for_each(|&x| mixed.add(x as u64)),
                StorageRef::F16(v) => v.iter().for_each(|&x| mixed.add(x.to_bits().into())),
                StorageRef::BF16(v) => v.iter().for_each(|&x| mixed.add(x.to_bits().into())),
                StorageRef::F32(v) => v.iter().for_each(|&x| mixed.add(x.to_bits().into())),
                StorageRef::F64(v) => v.iter().for_each(|&x| mixed.add(x.to_bits())),
            }
        }
        mixed.0
    }

    /// The column called `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn column(&self, name: &str) -> Result<&Array, DataError> {
        let found = self.columns.iter().find(|(n, _)| n == name);
        found.map(|(_, array)| array).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> DataError {
        let known = self.columns.iter().map(|(n, _)| n.clone()).collect();
        DataError::new("examples", DataErrorKind::NoColumn { name: name.to_owned(), known })
    }

    /// Type of one example's part of each column.
    pub fn types(&self) -> impl Iterator<Item = (&str, TensorType)> {
        self.columns().map(|(name, array)| (name, TensorType::new(array.dtype(), &array.shape()[1..])))
    }

    /// The examples with this column too, in place of one of the same name.
    ///
    /// # Errors
    /// If it has another count of rows.
    pub fn with(&self, name: &str, array: impl Into<Array>) -> Result<Examples, DataError> {
        let others = self.columns.iter().filter(|(n, _)| n != name).cloned();
        Examples::new(others.chain([(name.to_owned(), array.into())]))
    }

    /// The examples with these numbers, in this order.
    ///
    /// # Panics
    /// If a number is out of range.
    #[track_caller]
    pub fn subset(&self, numbers: &[u32]) -> Examples {
        if let Some(outside) = numbers.iter().find(|&&n| n as usize >= self.len) {
            panic!("subset: there are {} examples, none has the number {outside}", self.len);
        }
        let columns = self.columns.iter().map(|(name, array)| (name.clone(), rows(array, numbers))).collect();
        Examples { columns: Arc::new(columns), len: numbers.len() }
    }

    /// The examples in parts of about these shares, at random: `[0.8, 0.1, 0.1]` to train with, to validate and to test. Shares that add up to less than 1
    /// leave examples out. The parts depend on the seed alone.
    ///
    /// # Panics
    /// If a share is negative, or they add up to more than 1.
    #[track_caller]
    pub fn split<const N: usize>(&self, shares: [f64; N], seed: u64) -> [Examples; N] {
        let sum: f64 = shares.iter().sum();
        assert!(
            shares.iter().all(|&s| s >= 0.0) && sum <= 1.0 + 1e-9,
            "split: shares are positive and add up to 1 at most, not {shares:?}"
        );
        let order = order(self.len, Some(seed), u64::MAX);
        let (mut sum, mut from) = (0.0, 0);
        shares.map(|share| {
            sum += share;
            let to = ((sum * self.len as f64).round() as usize).clamp(from, self.len);
            let part = self.subset(&order[from..to]);
            from = to;
            part
        })
    }

    /// The examples with an integer column of class numbers written as rows of zeros with a 1 in the place of the class: `f32[examples, .., classes]`.
    ///
    /// # Errors
    /// If there is no such column, or it holds something else than the integers `0..classes`.
    pub fn one_hot(&self, name: &str, classes: usize) -> Result<Examples, DataError> {
        let column = self.column(name)?;
        if column.dtype().is_float() || column.dtype() == DType::Bool {
            let kind = DataErrorKind::Elements { expected: "integers", given: column.dtype().name() };
            return Err(DataError::new(format!("column `{name}`"), kind));
        }
        let labels = column.to_f64_vec();
        let mut hot = vec![0.0f32; labels.len() * classes];
        for (position, &label) in labels.iter().enumerate() {
            if !(0.0..classes as f64).contains(&label) {
                let kind = DataErrorKind::Label { value: label as i64, position, classes };
                return Err(DataError::new(format!("column `{name}`"), kind));
            }
            hot[position * classes + label as usize] = 1.0;
        }
        let shape: Shape = column.shape().iter().copied().chain([classes]).collect();
        self.with(name, Array::new(shape, hot).expect("a row of classes for each label"))
    }
}

impl From<&Dataset> for Examples {
    /// The columns `x`, the features, and `y`, the labels.
    fn from(data: &Dataset) -> Examples {
        let shape: Shape = std::iter::once(data.len()).chain(data.example_shape().iter().copied()).collect();
        let x = Array::new(shape, data.features().to_vec()).expect("a data set has an example for each label");
        let columns = vec![("x".to_owned(), x), ("y".to_owned(), Array::from(data.labels()))];
        Examples { columns: Arc::new(columns), len: data.len() }
    }
}

impl From<&Examples> for Examples {
    /// The same examples, which are not copied.
    fn from(examples: &Examples) -> Examples {
        examples.clone()
    }
}

/// A hash of words. Each bit of a word changes all bits of the state alike (the steps are those of SplitMix64), so words that differ in a few bits, or are
/// exchanged, do not cancel.
struct Mixed(u64);

impl Mixed {
    fn add(&mut self, word: u64) {
        let mut x = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = x ^ (x >> 31);
    }
}

/// Why a file does not give examples.
#[cfg(feature = "npz")]
#[derive(thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] crate::io::FileError),
    /// What is in it is no set of examples.
    #[error(transparent)]
    Data(#[from] DataError),
}

#[cfg(feature = "npz")]
crate::error::debug_as_display!(ReadError);

/// The numbers `0..len`: in order, or shuffled by a seed and the number of an epoch, the same on every machine and in every version.
pub(crate) fn order(len: usize, seed: Option<u64>, epoch: u64) -> Vec<u32> {
    let len = u32::try_from(len).expect("there are fewer than 2^32 examples");
    let mut order: Vec<u32> = (0..len).collect();
    if let Some(seed) = seed {
        shuffle(&mut order, seed, epoch);
    }
    order
}

/// Fisher and Yates's shuffle. The product of a 64-bit number and the range, without its lower half, is a number in the range; its bias is below 2^-32.
pub(super) fn shuffle(order: &mut [u32], seed: u64, epoch: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch);
    for i in (1..order.len()).rev() {
        let j = (u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64;
        order.swap(i, j as usize);
    }
}

/// Rows of an array, which there are.
pub(crate) fn rows(array: &Array, numbers: &[u32]) -> Array {
    fn pick<T: ArrayElement>(elements: &[T], numbers: &[u32], shape: &Shape) -> Array {
        let width: usize = shape[1..].iter().product();
        let mut picked = Vec::with_capacity(numbers.len() * width);
        for &n in numbers {
            picked.extend_from_slice(&elements[n as usize * width..(n as usize + 1) * width]);
        }
        let shape: Shape = std::iter::once(numbers.len()).chain(shape[1..].iter().copied()).collect();
        Array::new(shape, picked).expect("as many rows as numbers")
    }
    let shape = array.shape();
    match array.storage() {
        StorageRef::Bool(v) => pick(v, numbers, shape),
        StorageRef::U8(v) => pick(v, numbers, shape),
        StorageRef::I32(v) => pick(v, numbers, shape),
        StorageRef::U32(v) => pick(v, numbers, shape),
        StorageRef::I64(v) => pick(v, numbers, shape),
        StorageRef::F16(v) => pick(v, numbers, shape),
        StorageRef::BF16(v) => pick(v, numbers, shape),
        StorageRef::F32(v) => pick(v, numbers, shape),
        StorageRef::F64(v) => pick(v, numbers, shape),
    }
}

/// The rows of all these arrays, which are typed alike but for the first axis; at least one.
pub(crate) fn joined(parts: &[Array]) -> Array {
    fn join<T: ArrayElement>(parts: &[Array]) -> Array {
        let elements: Vec<&[T]> = parts.iter().map(|p| p.as_slice::<T>().expect("the parts are typed alike")).collect();
        let rows = parts.iter().map(|p| p.shape()[0]).sum();
        let shape: Shape = std::iter::once(rows).chain(parts[0].shape()[1..].iter().copied()).collect();
        Array::new(shape, elements.concat()).expect("the parts are typed alike")
    }
    match parts[0].dtype() {
        DType::Bool => join::<bool>(parts),
        DType::U8 => join::<u8>(parts),
        DType::I32 => join::<i32>(parts),
        DType::U32 => join::<u32>(parts),
        DType::I64 => join::<i64>(parts),
        DType::F16 => join::<half::f16>(parts),
        DType::BF16 => join::<half::bf16>(parts),
        DType::F32 => join::<f32>(parts),
        DType::F64 => join::<f64>(parts),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn of(name: &str, array: impl Into<Array>) -> u64 {
        Examples::new([(name, array.into())]).unwrap().fingerprint()
    }

    #[test]
    fn fingerprints_tell_signs_places_and_neighbours_apart() {
        let list = [1.0f32, 2.0, 3.0, 4.0];
        let mut seen = HashSet::new();
        // All signs, all exchanges of two, and neighbours of large integers.
        for signs in 0..16u32 {
            let signed: Vec<f32> = (0..4).map(|i| if signs >> i & 1 == 1 { -list[i] } else { list[i] }).collect();
            assert!(seen.insert(of("x", signed.clone())), "{signed:?}");
        }
        for (i, j) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let mut swapped = list.to_vec();
            swapped.swap(i, j);
            assert!(seen.insert(of("x", swapped)), "{i} and {j}");
        }
        for n in [1i64 << 53, (1 << 53) + 1, (1 << 53) + 2, -(1 << 53) - 1, -(1 << 53)] {
            assert!(seen.insert(of("x", vec![n])), "{n}");
        }
        for zeros in 0..100 {
            assert!(seen.insert(of("x", vec![0i64; zeros])), "{zeros} zeros");
        }
    }

    #[test]
    fn fingerprints_tell_names_types_and_shapes_apart() {
        let all = [
            of("x", vec![1i32, 0]),
            of("x", vec![1i64, 0]),
            of("x", vec![1u32, 0]),
            of("xi", vec![1i32, 0]),
            of("x", Array::from([[1i32, 0]])),
            of("x", Array::from([[1i32], [0]])),
            Examples::new([("x", Array::from([1i32, 0])), ("y", Array::from([1i32, 0]))]).unwrap().fingerprint(),
            Examples::new([("y", Array::from([1i32, 0])), ("x", Array::from([1i32, 0]))]).unwrap().fingerprint(),
        ];
        assert_eq!(HashSet::from(all).len(), all.len());
    }

    #[test]
    fn a_fingerprint_stays_what_checkpoints_hold() {
        assert_eq!(of("x", vec![1.0f32, -2.0]), 367_316_954_887_912_977);
    }
}
