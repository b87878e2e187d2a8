//! Arrays as people read them: nested brackets, columns aligned, the middle of large arrays left out.
//!
//! ```text
//! [[  1.0    -2.5 ]
//!  [100.0     0.25]]
//! ```
//!
//! Debugging prints the type and the elements in row-major order, each with all its digits: `f32[2, 2] [1.0, -2.5, 100.0, 0.25]`.

use std::fmt;

use super::storage::StorageRef;
use super::{Array, ArrayView};

/// Arrays with more elements than this are shown by the first and last [`EDGE`] entries of each axis.
const WHOLE: usize = 1000;
const EDGE: usize = 3;

/// Characters of a line after which a row of numbers is broken.
const WIDTH: usize = 100;

impl fmt::Display for Array {
    /// Prints the elements as NumPy does, without the element type. Floats have at most 6 digits behind the point, or as many as the format's precision
    /// says (`{:.2}`), and are in scientific notation if their magnitudes ask for it. Arrays of more than 1,000 elements are cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().print(f, false)
    }
}

impl fmt::Debug for Array {
    /// As [`ArrayView`]'s.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.view(), f)
    }
}

impl fmt::Debug for ArrayView<'_> {
    /// Prints the type and the elements in row-major order; of more than 1,000 elements, the first three and the last three:
    /// `i32[2000] [0, 1, 2, ..., 1997, 1998, 1999]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.ty())?;
        match self.data {
            StorageRef::Bool(v) => debug_elements(f, v),
            StorageRef::U8(v) => debug_elements(f, v),
            StorageRef::I32(v) => debug_elements(f, v),
            StorageRef::U32(v) => debug_elements(f, v),
            StorageRef::I64(v) => debug_elements(f, v),
            StorageRef::F16(v) => debug_elements(f, v),
            StorageRef::BF16(v) => debug_elements(f, v),
            StorageRef::F32(v) => debug_elements(f, v),
            StorageRef::F64(v) => debug_elements(f, v),
        }
    }
}

fn debug_elements(f: &mut fmt::Formatter<'_>, elements: &[impl fmt::Debug]) -> fmt::Result {
    let mut list = f.debug_list();
    if elements.len() <= WHOLE {
        return list.entries(elements).finish();
    }
    let (first, last) = (&elements[..EDGE], &elements[elements.len() - EDGE..]);
    list.entries(first).entry(&format_args!("...")).entries(last).finish()
}

impl ArrayView<'_> {
    /// Prints the elements; `i64` as numbers without a sign if asked.
    pub(crate) fn print(&self, f: &mut fmt::Formatter<'_>, unsigned: bool) -> fmt::Result {
        let cut = self.shape.numel() > WHOLE;
        let words = self.words(&self.shown(cut), f.precision().unwrap_or(6), unsigned);
        if self.shape.rank() == 0 {
            return f.write_str(words[0].trim());
        }
        let width = words.iter().map(|w| w.len()).max().unwrap_or(0);
        Printer { shape: &self.shape, cut, width, words: words.iter() }.axis(f, 0)
    }

    /// The positions of the elements that are shown, in order.
    fn shown(&self, cut: bool) -> Vec<usize> {
        let mut positions = vec![0];
        for &extent in self.shape.iter() {
            let kept: Vec<usize> = (0..extent).filter(|&i| !is_cut(cut, extent, i)).collect();
            positions = positions.iter().flat_map(|p| kept.iter().map(move |i| p * extent + i)).collect();
        }
        positions
    }

    /// The elements as words; floats of one array are aligned at the point.
    fn words(&self, positions: &[usize], precision: usize, unsigned: bool) -> Vec<String> {
        match self.data {
            StorageRef::F32(v) => {
                // The shortest digits that mean the number, not those of its conversion to double precision.
                let floats: Vec<(f64, String)> = positions.iter().map(|&p| (v[p].into(), v[p].to_string())).collect();
                floats_as_words(&floats, precision)
            }
            StorageRef::F16(v) => {
                let floats: Vec<(f64, String)> = positions.iter().map(|&p| (v[p].into(), v[p].to_string())).collect();
                floats_as_words(&floats, precision)
            }
            StorageRef::BF16(v) => {
                let floats: Vec<(f64, String)> = positions.iter().map(|&p| (v[p].into(), v[p].to_string())).collect();
                floats_as_words(&floats, precision)
            }
            StorageRef::F64(v) => {
                let floats: Vec<(f64, String)> = positions.iter().map(|&p| (v[p], v[p].to_string())).collect();
                floats_as_words(&floats, precision)
            }
            StorageRef::I32(v) => positions.iter().map(|&p| v[p].to_string()).collect(),
            StorageRef::I64(v) if unsigned => positions.iter().map(|&p| v[p].cast_unsigned().to_string()).collect(),
            StorageRef::I64(v) => positions.iter().map(|&p| v[p].to_string()).collect(),
            StorageRef::U8(v) => positions.iter().map(|&p| v[p].to_string()).collect(),
            StorageRef::U32(v) => positions.iter().map(|&p| v[p].to_string()).collect(),
            StorageRef::Bool(v) => positions.iter().map(|&p| v[p].to_string()).collect(),
        }
    }
}

fn is_cut(cut: bool, extent: usize, index: usize) -> bool {
    cut && extent > 2 * EDGE && (EDGE..extent - EDGE).contains(&index)
}

/// Floats, each with its shortest decimal form, as words of one layout.
fn floats_as_words(floats: &[(f64, String)], precision: usize) -> Vec<String> {
    let magnitudes = floats.iter().map(|f| f.0.abs()).filter(|m| m.is_finite() && *m > 0.0);
    let (low, high) = magnitudes.fold((f64::INFINITY, 0.0f64), |(low, high), m| (low.min(m), high.max(m)));
    let scientific = high >= 1e8 || low < 1e-4 || high / low > 1e7;
    let words: Vec<String> = floats
        .iter()
        .map(|(v, shortest)| {
            if !v.is_finite() || *v == 0.0 && scientific {
                return if *v == 0.0 { format!("{v:.1}") } else { shortest.clone() };
            }
            if scientific {
                // The significant digits: those between the zeros at both ends.
                let digits: String = shortest.chars().filter(char::is_ascii_digit).collect();
                let fraction = digits.trim_matches('0').len().saturating_sub(1).min(precision);
                return format!("{v:.fraction$e}");
            }
            let digits = shortest.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let text = if digits <= precision { shortest.clone() } else { format!("{v:.precision$}") };
            // `{:.0}` asks for no fraction; otherwise there is one digit of it at least.
            match text.split_once('.') {
                None if precision > 0 => format!("{text}.0"),
                None => text,
                Some((whole, fraction)) => {
                    let kept = fraction.trim_end_matches('0');
                    format!("{whole}.{}", if kept.is_empty() { "0" } else { kept })
                }
            }
        })
        .collect();
    if scientific {
        return words;
    }
    let fraction = |w: &str| w.split_once('.').map_or(0, |(_, fraction)| fraction.len() + 1);
    let widest = words.iter().map(|w| fraction(w)).max().unwrap_or(0);
    let aligned = |(w, f): (String, &(f64, String))| match f.0.is_finite() {
        true => format!("{w}{}", " ".repeat(widest - fraction(&w))),
        false => w,
    };
    words.into_iter().zip(floats).map(aligned).collect()
}

/// Writes the words with the brackets of their axes.
struct Printer<'a> {
    shape: &'a [usize],
    cut: bool,
    width: usize,
    words: std::slice::Iter<'a, String>,
}

impl Printer<'_> {
    fn axis(&mut self, f: &mut fmt::Formatter<'_>, axis: usize) -> fmt::Result {
        let (extent, last) = (self.shape[axis], axis + 1 == self.shape.len());
        let per_line = (WIDTH.saturating_sub(axis + 1) / (self.width + 1)).max(1);
        let mut on_line = 0;
        f.write_str("[")?;
        for i in 0..extent {
            let hidden = is_cut(self.cut, extent, i);
            if hidden && i != EDGE {
                continue;
            }
            if i > 0 && last {
                on_line += 1;
                if on_line == per_line {
                    on_line = 0;
                    write!(f, "\n{}", " ".repeat(axis + 1))?;
                } else {
                    f.write_str(" ")?;
                }
            } else if i > 0 {
                // A blank line for each axis between this one and the rows.
                let lines = "\n".repeat(self.shape.len() - 1 - axis);
                write!(f, "{lines}{}", " ".repeat(axis + 1))?;
            }
            match (hidden, last) {
                (true, _) => f.write_str("...")?,
                (false, true) => {
                    let word = self.words.next().map_or("", String::as_str);
                    write!(f, "{word:>width$}", width = self.width)?;
                }
                (false, false) => self.axis(f, axis + 1)?,
            }
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{DType, TensorType};

    #[track_caller]
    fn check(array: impl Into<Array>, expected: &str) {
        assert_eq!(array.into().to_string(), expected);
    }

    #[test]
    fn columns_are_aligned() {
        check([[1.0f32, -2.5], [100.0, 0.25]], "[[  1.0   -2.5 ]\n [100.0    0.25]]");
        check([[1, -20], [300, 4]], "[[  1 -20]\n [300   4]]");
        check([true, false], "[ true false]");
        check([[[1], [2]], [[3], [4]]], "[[[1]\n  [2]]\n\n [[3]\n  [4]]]");
        check([0.1f32, 1.0 / 3.0], "[0.1      0.333333]");
    }

    #[test]
    fn numbers_out_of_the_ordinary() {
        check(0.5f64, "0.5");
        check(7i64, "7");
        check([f32::NAN, f32::INFINITY, -1.0], "[ NaN  inf -1.0]");
        check([1e-10f64, 1.0, 0.0], "[1e-10   1e0   0.0]");
        check([1.0f64 / 3e20], "[3.333333e-21]");
        check(Vec::<f32>::new(), "[]");
        check([[0.0f32; 0]; 2], "[[]\n []]");
        assert_eq!(format!("{:.2}", Array::from([1.0f64 / 3.0, 2.0])), "[0.33 2.0 ]");
        assert_eq!(format!("{:.0}", Array::from([1.6f64, 2.0])), "[2 2]");
    }

    #[test]
    fn debugging_tells_the_type_and_cuts_large_arrays() {
        let debug = |array: Array| format!("{array:?}");
        assert_eq!(debug([[1.0f32, 0.1], [f32::NAN, -0.0]].into()), "f32[2, 2] [1.0, 0.1, NaN, -0.0]");
        assert_eq!(debug(Array::scalar(true)), "bool[] [true]");
        assert_eq!(debug(Vec::<u8>::new().into()), "u8[0] []");
        // The last that is shown whole, and the first that is not.
        let counted = |n: i32| debug((0..n).collect::<Vec<i32>>().into());
        let all: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
        assert_eq!(counted(1000), format!("i32[1000] [{}]", all.join(", ")));
        assert_eq!(counted(1001), "i32[1001] [0, 1, 2, ..., 998, 999, 1000]");
        // However many axes there are.
        let deep = Array::zeros(&TensorType::new(DType::F32, [2; 16]));
        assert!(format!("{:?}", deep.view()).ends_with("2] [0.0, 0.0, 0.0, ..., 0.0, 0.0, 0.0]"), "{deep:?}");
    }

    #[test]
    fn large_arrays_are_cut_and_long_rows_broken() {
        let rows = Array::new([400, 3], (0..1200).collect::<Vec<i32>>()).unwrap();
        check(
            rows,
            "[[   0    1    2]\n [   3    4    5]\n [   6    7    8]\n ...\n [1191 1192 1193]\n [1194 1195 1196]\n [1197 1198 1199]]",
        );
        check((0..2000).collect::<Vec<i32>>(), "[   0    1    2 ... 1997 1998 1999]");
        let text = Array::from((100..140).collect::<Vec<i32>>()).to_string();
        assert!(text.lines().all(|l| l.len() <= WIDTH + 1) && text.lines().count() == 2, "{text}");
        assert_eq!(text.split_whitespace().count(), 40);
    }
}
