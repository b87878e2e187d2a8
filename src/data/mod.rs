//! Data sets: reading them, splitting them, and handing them out in minibatches.
//!
//! ```text
//!   IDX files --idx::read--> Idx --Dataset::from_idx--> Dataset --batches--> (examples, labels) views of one size
//!   arrays, npz, CSV, Dataset --Examples--> columns by name --split, Normalizer, Loader--> batches, the last of which may be smaller
//!   text      --Text::new--> Text --windows--> (characters, next characters) views of one size
//! ```
//!
//! Nothing in a file makes these functions panic: what is wrong with one is a [`DataError`] that names the file, what was expected and what is there.

mod batches;
mod dataset;
mod examples;
pub mod idx;
mod loader;
mod normalize;
#[cfg(feature = "csv")]
mod table;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

pub use batches::{Batches, Shuffled};
pub use dataset::{Dataset, Split};
pub use examples::Examples;
#[cfg(feature = "npz")]
pub use examples::ReadError;
pub(crate) use examples::joined;
pub use idx::Idx;
pub use loader::{Batch, Loader};
pub use normalize::Normalizer;
#[cfg(feature = "csv")]
pub use table::Table;
pub use text::{Text, Windows};

/// A file that does not hold the data it should.
#[derive(thiserror::Error)]
#[error("{file}: {kind}")]
pub struct DataError {
    /// The file, or another name of the data.
    pub file: String,
    /// What is wrong.
    pub kind: DataErrorKind,
}

crate::error::debug_as_display!(DataError);

impl DataError {
    pub(crate) fn new(file: impl fmt::Display, kind: DataErrorKind) -> DataError {
        DataError { file: file.to_string(), kind }
    }
}

/// The ways in which data can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum DataErrorKind {
    /// The file cannot be opened, read or decompressed.
    #[error("cannot read: {}", crate::io::unread(.0))]
    Read(#[source] std::io::Error),
    /// A file where a folder is needed.
    #[error("expected a folder, and this is a file")]
    NoFolder,
    /// There is nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// Neither the file nor its gzipped form is there.
    #[error("there is no such file, nor one with .gz behind the name")]
    NotFound,
    /// A gzipped file, in a build without the feature `gzip`.
    #[error("the file is gzipped, and cotangent was built without its feature `gzip`")]
    Gzip,
    /// The first bytes are not those of an IDX file.
    #[error(
        "not an IDX file: it begins with the bytes {given:02x?}, expected 00 00, an element type (08, 09, 0b, 0c, 0d or 0e) and a count of axes"
    )]
    Magic {
        /// The bytes, four unless the file is shorter.
        given: Vec<u8>,
    },
    /// Fewer bytes than the header announces.
    #[error("truncated: {expected} bytes expected{}, {given} found", OfShape(.shape))]
    Truncated {
        /// Extents in the header, if it is complete.
        shape: Option<Vec<usize>>,
        /// Bytes expected, header included.
        expected: usize,
        /// Bytes found.
        given: usize,
    },
    /// More bytes than the header announces.
    #[error("bytes behind the end: {expected} bytes expected{}, more found", OfShape(.shape))]
    Trailing {
        /// Extents in the header.
        shape: Option<Vec<usize>>,
        /// Bytes expected, header included.
        expected: usize,
    },
    /// Extents whose product no memory can hold.
    #[error("the header announces {shape:?} elements, more than memory has addresses")]
    TooLarge {
        /// Extents in the header.
        shape: Vec<usize>,
    },
    /// Elements of another type than needed.
    #[error("the elements are {given}, expected {expected}")]
    Elements {
        /// Type needed.
        expected: &'static str,
        /// Type in the file.
        given: &'static str,
    },
    /// Another count of axes than needed.
    #[error("{what} have {expected}, but the shape is {given:?}")]
    Axes {
        /// `images`, `labels` ...
        what: &'static str,
        /// The axes needed.
        expected: &'static str,
        /// The extents.
        given: Vec<usize>,
    },
    /// Examples without columns.
    #[error("there are no columns")]
    NoColumns,
    /// A name that two columns have.
    #[error("there is another column of this name")]
    ColumnTwice,
    /// A name that no column has.
    #[error("there is no column `{name}`; there are: {}", .known.join(", "))]
    NoColumn {
        /// The name.
        name: String,
        /// The columns' names.
        known: Vec<String>,
    },
    /// A table whose fields something else than commas separates.
    #[error("the first line, `{line}`, has no commas: fields are separated by commas, not by {separator:?}")]
    Separator {
        /// The first line.
        line: String,
        /// What seems to separate them.
        separator: char,
    },
    /// A table that has only the column to predict.
    #[error("there is no column beside `{target}`")]
    NoFeatures {
        /// That column.
        target: String,
    },
    /// A table without rows.
    #[error("there are no rows behind the names of the columns")]
    NoRows,
    /// A field that is no number.
    #[error("row {row}, column `{column}`: `{field}` is not a number")]
    NotANumber {
        /// The row, from 1, the names of the columns not counted.
        row: usize,
        /// The column's name.
        column: String,
        /// The field.
        field: String,
    },
    /// A line with more or fewer fields than the first.
    #[error("line {line} has {given} fields, the first line has {expected}")]
    Fields {
        /// The line, from 1.
        line: u64,
        /// Its fields.
        given: u64,
        /// Those of the first line.
        expected: u64,
    },
    /// Bytes that are no text.
    #[error("line {line} is not UTF-8 text")]
    NotText {
        /// The line, from 1.
        line: u64,
    },
    /// Columns of different lengths.
    #[error("{given} rows, but column `{other}` has {expected}")]
    Rows {
        /// Rows of this column.
        given: usize,
        /// Another column.
        other: String,
        /// Its rows.
        expected: usize,
    },
    /// Images and labels that do not pair up.
    #[error("{labels} labels for the {examples} examples of {other}")]
    Counts {
        /// Count of labels.
        labels: usize,
        /// Count of examples.
        examples: usize,
        /// Where the examples are.
        other: String,
    },
    /// A label that is no class.
    #[error("label {value} at position {position} is out of range: there are {classes} classes, 0 to {}", .classes.saturating_sub(1))]
    Label {
        /// The label.
        value: i64,
        /// Its position.
        position: usize,
        /// Count of classes.
        classes: usize,
    },
    /// Training and test examples of different shapes.
    #[error("examples have shape {given:?}, those of {other} {expected:?}")]
    Shapes {
        /// Shape of these examples.
        given: Vec<usize>,
        /// Where the other examples are.
        other: String,
        /// Their shape.
        expected: Vec<usize>,
    },
}

/// Prints ` for the shape [2, 3]`, or nothing.
struct OfShape<'a>(&'a Option<Vec<usize>>);

impl fmt::Display for OfShape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(shape) => write!(f, " for the shape {shape:?}"),
            None => f.write_str(" for the header"),
        }
    }
}

/// The digits that come with the library: 1,797 real handwritten digits of 8 x 8 pixels between 0 and 1, in ten classes. Every fifth is a test example:
/// 1,438 to train with, 359 to test.
///
/// "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, licensed CC BY 4.0. The bytes are part of
/// every program that calls this function, and of no other.
///
/// ```
/// let digits = cotangent::data::digits();
/// assert_eq!((digits.train.len(), digits.test.len()), (1438, 359));
/// assert_eq!(digits.train.example_shape()[..], [8, 8]);
/// ```
pub fn digits() -> Split {
    let parse = |bytes: &[u8], name| Idx::parse(bytes).map_err(|kind| DataError::new(name, kind));
    let load = || -> Result<Dataset, DataError> {
        let (images, labels) = ("digits-images-idx3-ubyte", "digits-labels-idx1-ubyte");
        let pixels = parse(include_bytes!("../../data/digits-images-idx3-ubyte"), images)?;
        let classes = parse(include_bytes!("../../data/digits-labels-idx1-ubyte"), labels)?;
        Dataset::from_idx((images, &pixels), (labels, &classes), 10, 1.0 / 16.0)
    };
    load().expect("the shipped files are well formed").split_every(5)
}

/// The text that comes with the library: "The Tragedy of Coriolanus" by William Shakespeare, 154,469 characters, 61 different ones. It is in the public
/// domain; `data/README.md` tells where it is from. The bytes are part of every program that calls this function, and of no other.
///
/// ```
/// let text = cotangent::data::coriolanus();
/// assert_eq!((text.len(), text.vocabulary().len()), (154_469, 61));
/// assert!(text.decode(text.codes()).starts_with("First Citizen:\nBefore we proceed any further, hear me speak.\n"));
/// ```
pub fn coriolanus() -> Text {
    Text::new(include_str!("../../data/coriolanus.txt"))
}

/// Reads a data set in MNIST's layout: the files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte` of one folder, each plain or gzipped with `.gz` behind its name; a dot may be in the place of the hyphen before `idx`. Images are bytes and are scaled by 1/255; labels are bytes from
/// 0 to 9.
///
/// # Errors
/// If `dir` is a file, if a file is missing, cannot be read or is malformed, if images and labels differ in number, a label is above 9, or training and test images differ
/// in size.
pub fn mnist(dir: impl AsRef<Path>) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    if dir.is_file() {
        return Err(DataError::new(dir.display(), DataErrorKind::NoFolder));
    }
    let part = |images: &str, labels: &str| {
        let (images_path, labels_path) = (find(dir, images)?, find(dir, labels)?);
        let (images, labels) = (idx::read(&images_path)?, idx::read(&labels_path)?);
        let (images_name, labels_name) = (images_path.display().to_string(), labels_path.display().to_string());
        let set = Dataset::from_idx((&images_name, &images), (&labels_name, &labels), 10, 1.0 / 255.0)?;
        Ok((images_name, set))
    };
    let (train_name, train) = part("train-images-idx3-ubyte", "train-labels-idx1-ubyte")?;
    let (test_name, test) = part("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")?;
    if train.example_shape() != test.example_shape() {
        let kind = DataErrorKind::Shapes {
            given: test.example_shape().to_vec(),
            other: train_name,
            expected: train.example_shape().to_vec(),
        };
        return Err(DataError::new(test_name, kind));
    }
    Ok(Split { train, test })
}

/// The file of this name, plain or gzipped, or of the name that some archives give it: `train-images.idx3-ubyte`.
fn find(dir: &Path, name: &str) -> Result<PathBuf, DataError> {
    let dotted = name.replace("-idx", ".idx");
    let names = [name, &dotted].into_iter().flat_map(|name| [name.to_owned(), format!("{name}.gz")]);
    let found = names.map(|name| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| DataError::new(dir.join(name).display(), DataErrorKind::NotFound))
}
