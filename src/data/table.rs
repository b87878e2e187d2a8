//! Tables: a CSV file with a column to predict.

use std::path::Path;

use crate::array::Array;

use super::{DataError, DataErrorKind, Examples};

/// A table with one column that is to be predicted from the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The columns `x`, `f32[rows, features]`, and `y`: class numbers `i32[rows]`, or numbers `f32[rows, 1]`.
    pub examples: Examples,
    /// Names of the columns of `x`.
    pub features: Vec<String>,
    /// Names of the classes, by number; none if `y` holds numbers.
    pub classes: Vec<String>,
}

impl Table {
    /// Reads a CSV file with the names of its columns in the first line, to tell the class that column `target` holds from the numbers in all others. Classes are
    /// words or numbers, and are numbered in ascending order: as numbers if all are, else as texts.
    ///
    /// # Errors
    /// If the file cannot be read, has no such column, no rows or no other columns, lines have different counts of fields, or a field of another column is no
    /// number.
    pub fn classes(path: impl AsRef<Path>, target: &str) -> Result<Table, DataError> {
        let Raw { examples, features, target } = read(path.as_ref(), target)?;
        let mut classes = target.clone();
        let numbers = classes.iter().all(|class| class.parse::<f64>().is_ok_and(|n| !n.is_nan()));
        if numbers {
            let value = |class: &String| class.parse::<f64>().expect("it was parsed before");
            classes.sort_by(|a, b| value(a).total_cmp(&value(b)).then_with(|| a.cmp(b)));
        } else {
            classes.sort_unstable();
        }
        classes.dedup();
        let number =
            |class: &String| classes.iter().position(|c| c == class).expect("the classes are all of them") as i32;
        let labels: Vec<i32> = target.iter().map(number).collect();
        Ok(Table { examples: examples.with("y", labels)?, features, classes })
    }

    /// Reads a CSV file with the names of its columns in the first line, to tell the number that column `target` holds from the numbers in all others.
    ///
    /// # Errors
    /// As [`Table::classes`], and if a field of the column is no number.
    pub fn numbers(path: impl AsRef<Path>, target: &str) -> Result<Table, DataError> {
        let path = path.as_ref();
        let Raw { examples, features, target: fields } = read(path, target)?;
        let mut numbers = Vec::with_capacity(fields.len());
        for (row, field) in fields.iter().enumerate() {
            let value = field.parse::<f32>().map_err(|_| {
                let kind = DataErrorKind::NotANumber { row: row + 1, column: target.to_owned(), field: field.clone() };
                DataError::new(path.display(), kind)
            })?;
            numbers.push(value);
        }
        let y = Array::new([numbers.len(), 1], numbers).expect("one column");
        Ok(Table { examples: examples.with("y", y)?, features, classes: Vec::new() })
    }
}

/// The numbers of a table, and the fields of its target.
struct Raw {
    examples: Examples,
    features: Vec<String>,
    target: Vec<String>,
}

fn read(path: &Path, target: &str) -> Result<Raw, DataError> {
    let fail = |kind| DataError::new(path.display(), kind);
    let malformed = |error: csv::Error| {
        fail(match error.into_kind() {
            csv::ErrorKind::Io(error) => DataErrorKind::Read(error),
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                DataErrorKind::Fields { line: pos.map_or(0, |p| p.line()), given: len, expected: expected_len }
            }
            csv::ErrorKind::Utf8 { pos, .. } => DataErrorKind::NotText { line: pos.map_or(0, |p| p.line()) },
            other => DataErrorKind::Read(std::io::Error::other(format!("{other:?}"))),
        })
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(malformed)?;
    let names: Vec<String> = reader.headers().map_err(malformed)?.iter().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(fail(DataErrorKind::Empty));
    }
    if let [line] = &names[..]
        && line != target
        && let Some(separator) = [';', '\t', '|'].into_iter().find(|&c| line.contains(c))
    {
        return Err(fail(DataErrorKind::Separator { line: line.clone(), separator }));
    }
    let Some(at) = names.iter().position(|name| name == target) else {
        return Err(fail(DataErrorKind::NoColumn { name: target.to_owned(), known: names }));
    };
    let features: Vec<String> = names.iter().enumerate().filter(|&(i, _)| i != at).map(|(_, n)| n.clone()).collect();
    if features.is_empty() {
        return Err(fail(DataErrorKind::NoFeatures { target: target.to_owned() }));
    }
    let (mut numbers, mut targets) = (Vec::new(), Vec::new());
    let mut record = csv::StringRecord::new();
    let mut row = 0;
    while reader.read_record(&mut record).map_err(malformed)? {
        row += 1;
        for (i, field) in record.iter().enumerate() {
            if i == at {
                targets.push(field.to_owned());
                continue;
            }
            let number = field.parse::<f32>().map_err(|_| {
                let column = names[i].clone();
                fail(DataErrorKind::NotANumber { row, column, field: field.to_owned() })
            })?;
            numbers.push(number);
        }
    }
    if targets.is_empty() {
        return Err(fail(DataErrorKind::NoRows));
    }
    let x = Array::new([targets.len(), features.len()], numbers).expect("every row has every column");
    Ok(Raw { examples: Examples::new([("x", x)])?, features, target: targets })
}
