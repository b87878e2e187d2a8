//! Arrays as files of a folder, one npy file each, called like the arrays.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::element::TypedView;
use super::{FileError, FileErrorKind, npy, write_file};

/// The longest part of a name that a file is called by, in bytes.
const LONGEST: usize = 200;

/// Names of files, without extension, for arrays of these names, in the same order.
///
/// A name stays as it is, but for what would not name a file of one folder: slashes, backslashes and control characters (on Windows also what that
/// refuses) become `_`, an empty name too, and what is longer than 200 bytes is cut. Where two names become one, the later ones get `_2`, `_3` and so on
/// behind it.
///
/// ```
/// use cotangent::io::folder::file_names;
/// assert_eq!(file_names(["y", "/fc1/Gemm_output_0", "_fc1/Gemm_output_0", ".."]), ["y", "_fc1_Gemm_output_0", "_fc1_Gemm_output_0_2", ".."]);
/// ```
pub fn file_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let refused = |c: char| c.is_control() || matches!(c, '/' | '\\') || cfg!(windows) && r#"<>:"|?*"#.contains(c);
    let mut unique = |name: &str| {
        let mut file: String = name.chars().map(|c| if refused(c) { '_' } else { c }).collect();
        file.truncate(file.floor_char_boundary(LONGEST));
        if file.is_empty() {
            file.push('_');
        }
        let mut candidate = file.clone();
        let mut number = 2;
        while !taken.insert(candidate.clone()) {
            candidate = format!("{file}_{number}");
            number += 1;
        }
        candidate
    };
    names.into_iter().map(&mut unique).collect()
}

/// Checks that there can be a folder at this place, before anything is computed that would be lost.
///
/// # Errors
/// If there is a file.
pub fn expect_folder(folder: impl AsRef<Path>) -> Result<(), FileError> {
    let folder = folder.as_ref();
    match folder.exists() && !folder.is_dir() {
        true => Err(FileError::new(folder, FileErrorKind::Write(std::io::ErrorKind::NotADirectory.into()))),
        false => Ok(()),
    }
}

/// Writes each array as an npy file of the folder, which is made if it is not there, under the name that [`file_names`] gives. Returns the paths, in order.
/// Files that are there are replaced.
///
/// # Errors
/// If the folder cannot be made or a file cannot be written.
pub fn write<'a, V: Into<TypedView<'a>>>(
    folder: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (&'a str, V)>,
) -> Result<Vec<PathBuf>, FileError> {
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder).map_err(|e| FileError::new(folder, FileErrorKind::Write(e)))?;
    let (names, arrays): (Vec<&str>, Vec<V>) = arrays.into_iter().unzip();
    let files = file_names(names.iter().copied());
    let paths = files.into_iter().zip(arrays).map(|(file, array)| {
        let path = folder.join(format!("{file}.npy"));
        let mut bytes = Vec::new();
        npy::write_to(&mut bytes, array).expect("memory takes all that is written");
        write_file(&path, &bytes).map_err(|e| FileError::new(&path, FileErrorKind::Write(e)))?;
        Ok(path)
    });
    paths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_folder_and_apart() {
        let long = "ä".repeat(300);
        let names = ["", "..", "../x", "a/b", "a_b", "a\\b", "a\0b", "onnx::Add_3", &long];
        let files = file_names(names);
        assert_eq!(files[..4], ["_", "..", ".._x", "a_b"]);
        assert_eq!(files[4..8], ["a_b_2", "a_b_3", "a_b_4", "onnx::Add_3"]);
        assert_eq!(files[8].len(), 200);
        let folder = Path::new("folder");
        for file in files {
            assert_eq!(folder.join(format!("{file}.npy")).parent(), Some(folder), "{file}");
        }
    }

    #[test]
    fn a_numbered_name_does_not_meet_one_of_that_name() {
        assert_eq!(file_names(["a", "a_2", "a", "a"]), ["a", "a_2", "a_3", "a_4"]);
    }
}
