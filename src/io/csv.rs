//! Tables of numbers: CSV, read and written by rows.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use crate::array::{Array, ArrayView};

use super::{FileError, FileErrorKind};

/// A table of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The columns' names; numbers from 0 if the file has none.
    pub columns: Vec<String>,
    /// One row for each line: `i64[rows, columns]` if all fields are whole numbers that fit, `f64[rows, columns]` otherwise.
    pub values: Array,
}

impl Table {
    /// The named columns, in this order.
    ///
    /// # Errors
    /// If there is no column of a name.
    pub fn select(&self, names: &[&str]) -> Result<Table, FileErrorKind> {
        let known = || self.columns.iter().map(String::as_str);
        let at: Vec<usize> = names
            .iter()
            .map(|&name| {
                known().position(|c| c == name).ok_or_else(|| FileErrorKind::UnknownName {
                    name: name.to_owned(),
                    known: known().map(str::to_owned).collect(),
                })
            })
            .collect::<Result<_, _>>()?;
        fn pick<T: Copy>(values: &[T], width: usize, at: &[usize]) -> Vec<T> {
            values.chunks_exact(width.max(1)).flat_map(|row| at.iter().map(|&a| row[a])).collect()
        }
        let (rows, width) = (self.values.shape()[0], self.columns.len());
        let values = match self.values.as_slice::<i64>() {
            Ok(v) => Array::new([rows, at.len()], pick(v, width, &at)),
            Err(_) => {
                let values = self.values.as_slice::<f64>().expect("a table holds i64 or f64");
                Array::new([rows, at.len()], pick(values, width, &at))
            }
        };
        let columns = names.iter().map(|&n| n.to_owned()).collect();
        Ok(Table { columns, values: values.expect("every row has every column") })
    }

    /// The numbers as an array: `[rows]` if there is one column, `[rows, columns]` otherwise.
    pub fn into_array(self) -> Array {
        let rows = self.values.shape()[0];
        if self.columns.len() == 1 { self.values.reshaped([rows]).expect("one column") } else { self.values }
    }
}

/// Reads a table of numbers with commas between fields. The first line is the columns' names if one of its fields is no number. Space around fields and
/// empty lines do not count; `nan` and `inf` are numbers.
///
/// # Errors
/// If the file cannot be read, a field behind the first line is no number, or lines have different counts of fields.
pub fn read(path: impl AsRef<Path>) -> Result<Table, FileError> {
    let path = path.as_ref();
    let open = || File::open(path).map_err(FileErrorKind::Read);
    open().and_then(read_from).map_err(|kind| FileError::new(path, kind))
}

/// Reads a table from a source. See [`read`].
///
/// # Errors
/// As [`read`].
pub fn read_from(source: impl Read) -> Result<Table, FileErrorKind> {
    let malformed = |e: ::csv::Error| match e.into_kind() {
        ::csv::ErrorKind::Io(e) => FileErrorKind::Read(e),
        ::csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.map_or(0, |p| p.line());
            FileErrorKind::format("csv", format!("line {line} has {len} fields, expected {expected_len}"))
        }
        other => {
            FileErrorKind::format("csv", ::csv::Error::from(std::io::Error::other(format!("{other:?}"))).to_string())
        }
    };
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).trim(::csv::Trim::All).from_reader(source);
    let mut columns: Option<Vec<String>> = None;
    let (mut whole, mut values, mut rows) = (Some(Vec::new()), Vec::new(), 0);
    let mut record = ::csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(malformed)? {
        if columns.is_none() {
            let named = record.iter().any(|f| f.parse::<f64>().is_err());
            columns = Some(
                record.iter().enumerate().map(|(i, f)| if named { f.to_owned() } else { i.to_string() }).collect(),
            );
            if named {
                continue;
            }
        }
        for (column, field) in record.iter().enumerate() {
            let value = field.parse::<f64>().map_err(|_| {
                let line = record.position().map_or(0, |p| p.line());
                let name = columns.as_ref().map_or("", |c| &c[column]);
                FileErrorKind::format("csv", format!("line {line}, column {name}: `{field}` is not a number"))
            })?;
            values.push(value);
            whole = match (whole, field.parse::<i64>()) {
                (Some(mut w), Ok(v)) => {
                    w.push(v);
                    Some(w)
                }
                _ => None,
            };
        }
        rows += 1;
    }
    let columns = columns.unwrap_or_default();
    let shape = [rows, columns.len()];
    let values = match whole {
        Some(whole) if rows > 0 => Array::new(shape, whole),
        _ => Array::new(shape, values),
    };
    Ok(Table { columns, values: values.expect("all lines have as many fields") })
}

/// Writes an array of one or two axes as a table, a line for each element of the first axis, with the columns' names if there are any.
///
/// # Errors
/// If the file cannot be written, or the array has other than one or two axes or other than as many columns as names.
pub fn write<'a>(path: impl AsRef<Path>, columns: &[&str], array: impl Into<ArrayView<'a>>) -> Result<(), FileError> {
    let (path, array) = (path.as_ref(), array.into().to_array());
    let fail = |e| FileError::new(path, FileErrorKind::Write(e));
    let width = match array.shape()[..] {
        [_] => 1,
        [_, width] => width,
        _ => {
            return Err(fail(std::io::Error::other(format!(
                "a table has one axis or two, the array is {}",
                array.ty()
            ))));
        }
    };
    if !columns.is_empty() && columns.len() != width {
        return Err(fail(std::io::Error::other(format!("{} names for {width} columns", columns.len()))));
    }
    let write = || -> std::io::Result<()> {
        let mut writer = ::csv::Writer::from_writer(BufWriter::new(File::create(path)?));
        if !columns.is_empty() {
            writer.write_record(columns)?;
        }
        for row in 0..array.shape()[0] {
            let field = |column: usize| match (array.as_slice::<i64>(), array.as_slice::<f32>()) {
                (Ok(v), _) => v[row * width + column].to_string(),
                (_, Ok(v)) => v[row * width + column].to_string(),
                _ => array.get_f64(row * width + column).to_string(),
            };
            writer.write_record((0..width).map(field))?;
        }
        writer.flush()?;
        writer.into_inner().map_err(|e| e.into_error())?.flush()
    };
    write().map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_with_and_without_names() {
        let named = read_from("a, b\n1,2\n\n3, 4\n".as_bytes()).unwrap();
        assert_eq!(named.columns, ["a", "b"]);
        assert_eq!(named.values, Array::from([[1i64, 2], [3, 4]]));
        let plain = read_from("1,2.5\r\n-3e2,nan\r\n".as_bytes()).unwrap();
        assert_eq!(plain.columns, ["0", "1"]);
        assert_eq!(plain.values, Array::from([[1.0, 2.5], [-300.0, f64::NAN]]));
        assert_eq!(named.select(&["b"]).unwrap().into_array(), Array::from([2i64, 4]));
        assert!(named.select(&["c"]).unwrap_err().to_string().contains("there are: a, b"));
        assert_eq!(read_from("".as_bytes()).unwrap().values.shape()[..], [0, 0]);
    }

    #[test]
    fn what_is_no_table_is_an_error() {
        for (text, expected) in [
            ("a,b\n1,2\n3\n", "line 3 has 1 fields, expected 2"),
            ("a,b\n1,2\n3,x\n", "line 3, column b: `x` is not a number"),
            ("1,2\n,3\n", "`` is not a number"),
        ] {
            let error = read_from(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(read_from(&b"\xff\xfe,1\n"[..]).is_err());
    }
}
