//! npy, NumPy's format of one array.
//!
//! ```text
//!   93 "NUMPY"     magic
//!   01 00          version of the format: 1, 2 or 3
//!   76 00          length of the header, little-endian: two bytes in version 1, four in the others
//!   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
//!   ...            the elements, in the order and of the type that the header tells
//! ```
//!
//! After the documentation of `numpy.lib.format`. The header is a literal of Python's; what NumPy and its imitators write of that grammar is read here: a
//! dictionary of strings, truth values and tuples of numbers. The crates that read npy evaluate any literal, with a parser that needs a C compiler to build.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::array::Array;
use crate::graph::{DType, Dims};

use super::element::{ElementType, TypedView, plain};
use super::elements;
use super::{FileError, FileErrorKind};

/// The first bytes of an npy file.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read, which is the longest that version 1 can write.
const MAX_HEADER: usize = 1 << 16;

/// The element types of npy files, as NumPy writes them. `V2` is how it writes bfloat16 of the package ml_dtypes, which `.view(ml_dtypes.bfloat16)`
/// makes of it again. It has no integers of fewer than eight bits: they are written, and read again, as those of eight.
const TYPES: [(ElementType, &str); 17] = [
    (ElementType::Plain(DType::Bool), "|b1"),
    (ElementType::Plain(DType::U8), "|u1"),
    (ElementType::Plain(DType::I32), "<i4"),
    (ElementType::Plain(DType::U32), "<u4"),
    (ElementType::Plain(DType::I64), "<i8"),
    (ElementType::Plain(DType::F16), "<f2"),
    (ElementType::Plain(DType::F32), "<f4"),
    (ElementType::Plain(DType::F64), "<f8"),
    (ElementType::I8, "|i1"),
    (ElementType::I16, "<i2"),
    (ElementType::U16, "<u2"),
    (ElementType::U64, "<u8"),
    (ElementType::Plain(DType::BF16), "<V2"),
    (ElementType::I2, "|i1"),
    (ElementType::U2, "|i1"),
    (ElementType::I4, "|i1"),
    (ElementType::U4, "|i1"),
];

/// Reads an npy file: any byte order, row-major or Fortran's order, any shape. Elements of `i8`, `i16` and `u16` become `i32`.
///
/// # Errors
/// If the file cannot be read, is malformed, cut short or longer than its header tells, or holds elements that arrays cannot.
///
/// ```no_run
/// let x = cotangent::io::npy::read("x.npy")?;
/// println!("{}", x.ty());
/// # Ok::<(), cotangent::io::FileError>(())
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<Array, FileError> {
    let path = path.as_ref();
    read_typed(path).and_then(|read| plain(read).map_err(|kind| FileError::new(path, kind)))
}

/// [`read`] with the type that the elements have in the file. Those of `u64` are read too, and held in `i64`: see [`ElementType`].
///
/// # Errors
/// As [`read`].
pub fn read_typed(path: impl AsRef<Path>) -> Result<(Array, ElementType), FileError> {
    let path = path.as_ref();
    let open = || super::expect_file(path).and_then(|()| File::open(path)).map_err(FileErrorKind::Read);
    open().and_then(|file| read_typed_from(BufReader::new(file))).map_err(|kind| FileError::new(path, kind))
}

/// Reads an npy file that is the whole of a source.
///
/// # Errors
/// As [`read`].
pub fn read_from(source: impl Read) -> Result<Array, FileErrorKind> {
    read_typed_from(source).and_then(plain)
}

/// Reads an npy file that is the whole of a source, with the type of its elements.
///
/// # Errors
/// As [`read`].
pub fn read_typed_from(mut source: impl Read) -> Result<(Array, ElementType), FileErrorKind> {
    let header = Header::read(&mut source)?;
    let array = elements::read(&mut source, header.element, header.big_endian, &header.shape)?;
    elements::expect_end(&mut source, array.shape().numel() * header.element.size())?;
    Ok((if header.fortran_order { elements::from_fortran(array) } else { array }, header.element))
}

/// Writes an npy file, as `numpy.save` does: row-major, little-endian. A scalar is an array without axes. A [`TypedView`] is written with its own element type,
/// where NumPy has it: integers of two and four bits as `int8`.
///
/// # Errors
/// If the file cannot be written.
pub fn write<'a>(path: impl AsRef<Path>, array: impl Into<TypedView<'a>>) -> Result<(), FileError> {
    let path = path.as_ref();
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        write_to(&mut file, array)?;
        file.flush()
    };
    write().map_err(|e| FileError::new(path, FileErrorKind::Write(e)))
}

/// Writes an npy file to a sink.
///
/// # Errors
/// If the sink fails.
pub fn write_to<'a>(to: &mut impl Write, array: impl Into<TypedView<'a>>) -> std::io::Result<()> {
    let array = array.into();
    let element = array.ty().element;
    let descr = TYPES.iter().find(|(written, _)| *written == element).expect("every type is in the list").1;
    let extents: Vec<String> = array.view().shape().iter().map(|d| d.to_string()).collect();
    let comma = if extents.len() == 1 { "," } else { "" };
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", extents.join(", "));
    // Elements begin at a multiple of 64 bytes, and the header ends with a new line.
    let wide = header.len() + 64 > usize::from(u16::MAX);
    let before = MAGIC.len() + 2 + if wide { 4 } else { 2 };
    let length = (before + header.len() + 1).next_multiple_of(64) - before;
    header.extend(std::iter::repeat_n(' ', length - 1 - header.len()));
    header.push('\n');
    to.write_all(MAGIC)?;
    to.write_all(&[if wide { 2 } else { 1 }, 0])?;
    to.write_all(&(length as u32).to_le_bytes()[..if wide { 4 } else { 2 }])?;
    to.write_all(header.as_bytes())?;
    elements::write_typed(to, &array)
}

/// What stands before the elements.
#[derive(Debug, PartialEq)]
struct Header {
    element: ElementType,
    big_endian: bool,
    fortran_order: bool,
    shape: Dims<u64>,
}

impl Header {
    fn read(source: &mut impl Read) -> Result<Header, FileErrorKind> {
        let malformed = |what: String| FileErrorKind::format("npy", what);
        let start = take(source, MAGIC.len() + 2)?;
        if !start.starts_with(MAGIC) {
            return Err(malformed(format!("it begins with the bytes {start:02x?}, expected {MAGIC:02x?}")));
        }
        let width = match start[MAGIC.len()..] {
            [1, _] => 2,
            [2 | 3, _] => 4,
            [version, ..] => return Err(malformed(format!("its version is {version}, expected 1, 2 or 3"))),
            [] => return Err(malformed("it ends in the magic".to_owned())),
        };
        let mut length = take(source, width)?;
        if length.len() < width {
            return Err(malformed("it ends in the length of the header".to_owned()));
        }
        length.resize(4, 0);
        let length = length.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b));
        if length > MAX_HEADER {
            return Err(malformed(format!("the header is {length} bytes long, expected {MAX_HEADER} at most")));
        }
        let header = take(source, length)?;
        if header.len() < length {
            return Err(malformed(format!("the header is {length} bytes long, {} found", header.len())));
        }
        Header::parse(&header)
    }

    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
    fn parse(text: &[u8]) -> Result<Header, FileErrorKind> {
        let mut p = Parser { text, at: 0 };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        p.expect(b'{')?;
        while !p.eat(b'}') {
            let key = p.string()?;
            p.expect(b':')?;
            match key {
                b"descr" => descr = Some(p.descr()?),
                b"fortran_order" => fortran_order = Some(p.truth()?),
                b"shape" => shape = Some(p.tuple()?),
                other => {
                    let key = String::from_utf8_lossy(other);
                    return Err(p.fail(&format!("the key '{key}', expected descr, fortran_order or shape")));
                }
            }
            if !p.eat(b',') {
                p.expect(b'}')?;
                break;
            }
        }
        p.skip_space();
        if p.at < text.len() {
            return Err(p.fail("more behind the header's end"));
        }
        let (Some((element, big_endian)), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
            return Err(FileErrorKind::format("npy", "the header lacks one of descr, fortran_order and shape"));
        };
        Ok(Header { element, big_endian, fortran_order, shape })
    }
}

/// Up to `count` bytes, fewer at the end of the source.
fn take(source: &mut impl Read, count: usize) -> Result<Vec<u8>, FileErrorKind> {
    let mut bytes = Vec::new();
    source.take(count as u64).read_to_end(&mut bytes).map_err(FileErrorKind::Read)?;
    Ok(bytes)
}

/// A place in a header.
struct Parser<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Parser<'t> {
    fn skip_space(&mut self) {
        let space = |b: &&u8| b.is_ascii_whitespace() || **b == 0;
        self.at += self.text[self.at..].iter().take_while(space).count();
    }

    fn fail(&self, what: &str) -> FileErrorKind {
        FileErrorKind::format("npy", format!("in byte {} of the header: {what}", self.at))
    }

    fn eat(&mut self, mark: u8) -> bool {
        self.skip_space();
        let there = self.text.get(self.at) == Some(&mark);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, mark: u8) -> Result<(), FileErrorKind> {
        if self.eat(mark) { Ok(()) } else { Err(self.fail(&format!("expected `{}`", char::from(mark)))) }
    }

    fn string(&mut self) -> Result<&'t [u8], FileErrorKind> {
        self.skip_space();
        let quote = *self.text.get(self.at).unwrap_or(&0);
        if quote != b'\'' && quote != b'"' {
            return Err(self.fail("expected a string"));
        }
        let start = self.at + 1;
        let Some(length) = self.text[start..].iter().position(|&b| b == quote) else {
            return Err(self.fail("a string without end"));
        };
        self.at = start + length + 1;
        Ok(&self.text[start..start + length])
    }

    fn word(&mut self) -> &'t [u8] {
        self.skip_space();
        let start = self.at;
        self.at += self.text[start..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        &self.text[start..self.at]
    }

    fn truth(&mut self) -> Result<bool, FileErrorKind> {
        match self.word() {
            b"True" => Ok(true),
            b"False" => Ok(false),
            _ => Err(self.fail("expected True or False")),
        }
    }

    fn tuple(&mut self) -> Result<Dims<u64>, FileErrorKind> {
        self.expect(b'(')?;
        let mut extents = Dims::new();
        while !self.eat(b')') {
            let word = self.word();
            // Python 2 writes an L behind some numbers.
            let digits = word.strip_suffix(b"L").unwrap_or(word);
            let number = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
            extents.push(number.ok_or_else(|| self.fail("expected an extent that 64 bits hold"))?);
            if !self.eat(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(extents)
    }

    /// The type of elements, and whether their first byte is the highest.
    fn descr(&mut self) -> Result<(ElementType, bool), FileErrorKind> {
        self.skip_space();
        if self.text.get(self.at) == Some(&b'[') {
            return Err(FileErrorKind::Elements { given: "records of several fields".to_owned() });
        }
        let descr = self.string()?;
        let (order, code) = match descr {
            [order @ (b'<' | b'>' | b'|' | b'='), code @ ..] => (*order, code),
            code => (b'=', code),
        };
        let is_read = |written: &&str| match code {
            b"?" => *written == "|b1",
            b"B" => *written == "|u1",
            b"b" => *written == "|i1",
            // Two bytes without a type have no byte order.
            b"V2" => *written == "<V2" && order != b'|',
            [b'V', ..] => false,
            _ => written.as_bytes()[1..] == *code,
        };
        let Some(&(element, _)) = TYPES.iter().find(|(_, written)| is_read(written)) else {
            return Err(FileErrorKind::Elements { given: format!("`{}`", String::from_utf8_lossy(descr)) });
        };
        Ok((element, order == b'>' || order == b'=' && cfg!(target_endian = "big")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(header: &str, elements: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(elements);
        bytes
    }

    #[test]
    fn what_is_written_is_read_again() {
        let arrays = [
            Array::scalar(2.5f32),
            Array::scalar(true),
            Array::from([[1.0f64, -0.0], [f64::NAN, f64::INFINITY]]),
            Array::from([i64::MIN, i64::MAX]),
            Array::from([u32::MAX]),
            Array::from([[[1u8, 2]], [[3, 255]]]),
            Array::new([0, 3], Vec::<i32>::new()).unwrap(),
            Array::new([1; 30], vec![7u8]).unwrap(),
            Array::new([100_000], (0..100_000).collect::<Vec<i32>>()).unwrap(),
        ];
        for array in arrays {
            let mut file = Vec::new();
            write_to(&mut file, &array).unwrap();
            let elements = array.shape().numel() * array.dtype().size();
            assert_eq!((file.len() - elements) % 64, 0, "elements are aligned");
            assert_eq!(read_from(&file[..]).unwrap(), array);
        }
    }

    #[test]
    fn integers_held_in_wider_types_are_written_as_what_they_are() {
        for (element, held, descr, data) in [
            (ElementType::I8, Array::from([-128i32, 127]), "|i1", &[0x80u8, 0x7f][..]),
            (ElementType::I16, Array::from([-2i32, 258]), "<i2", &[0xfe, 0xff, 2, 1]),
            (ElementType::U16, Array::from([65535i32, 1]), "<u2", &[0xff, 0xff, 1, 0]),
            (ElementType::U64, Array::from([-2i64]), "<u8", &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (DType::BF16.into(), Array::new([1], vec![half::bf16::ONE]).unwrap(), "<V2", &[0x80, 0x3f]),
        ] {
            let mut file = Vec::new();
            write_to(&mut file, TypedView::new(&held, element).unwrap()).unwrap();
            let (header, elements) = file.split_at(file.len() - data.len());
            assert!(String::from_utf8_lossy(header).contains(&format!("'descr': '{descr}'")), "{element}");
            assert_eq!((elements, header.len() % 64), (data, 0), "{element}");
            assert_eq!(read_typed_from(&file[..]).unwrap(), (held, element));
        }
    }

    #[test]
    fn integers_that_numpy_lacks_are_those_of_eight_bits() {
        for (element, held) in [
            (ElementType::I2, Array::from([-2i32, 1])),
            (ElementType::U2, Array::from([0i32, 3])),
            (ElementType::I4, Array::from([-8i32, 7])),
            (ElementType::U4, Array::from([0i32, 15])),
        ] {
            let mut file = Vec::new();
            write_to(&mut file, TypedView::new(&held, element).unwrap()).unwrap();
            assert_eq!(read_typed_from(&file[..]).unwrap(), (held, ElementType::I8), "{element}");
        }
    }

    #[test]
    fn headers_of_many_writers_are_read() {
        for header in [
            "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }          \n",
            "{'shape': (2,), 'fortran_order': False, 'descr': '<i4'}",
            "{\"descr\":\"i4\",\"fortran_order\":False,\"shape\":(2L,)}",
            "{'descr': '=i4', 'fortran_order': True, 'shape': (2), }",
        ] {
            let array = read_from(&bytes(header, &[1, 0, 0, 0, 255, 255, 255, 255])[..]);
            assert_eq!(array.unwrap(), Array::from([1i32, -1]), "{header}");
        }
        let big = bytes("{'descr': '>f4', 'fortran_order': True, 'shape': (1, 2)}", &[0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0]);
        assert_eq!(read_from(&big[..]).unwrap(), Array::from([[1.0f32, -2.0]]));
        let narrow = bytes("{'descr': '|i1', 'fortran_order': False, 'shape': ()}", &[0xfe]);
        assert_eq!(read_from(&narrow[..]).unwrap(), Array::scalar(-2i32));
        let wide = bytes("{'descr': '>u8', 'fortran_order': False, 'shape': (1,)}", &[0xff, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(read_typed_from(&wide[..]).unwrap(), (Array::from([-0x00ff_ffff_ffff_fffei64]), ElementType::U64));
        let half = bytes("{'descr': '>f2', 'fortran_order': False, 'shape': (1,)}", &[0x3c, 0]);
        assert_eq!(read_from(&half[..]).unwrap(), Array::new([1], vec![half::f16::ONE]).unwrap());
    }

    #[test]
    fn malformed_files_are_errors() {
        let of = |shape: &str, elements: &[u8]| {
            bytes(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"), elements)
        };
        let cases = [
            (b"".to_vec(), "begins with the bytes []"),
            (b"PK\x03\x04aaaa".to_vec(), "begins with the bytes [50, 4b"),
            (b"\x93NUMPY\x07\x00".to_vec(), "version is 7"),
            (b"\x93NUMPY\x01\x00\x10".to_vec(), "ends in the length"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "4294967295 bytes long, expected 65536 at most"),
            (b"\x93NUMPY\x01\x00\x10\x00{".to_vec(), "16 bytes long, 1 found"),
            (of("(3,)", &[0; 8]), "truncated: 12 bytes of elements expected, 8 found"),
            (of("(1,)", &[0; 5]), "bytes behind the end: 4 bytes"),
            (of("(1152921504606846976, 1024)", &[]), "more than memory has addresses"),
            (of("(9223372036854775807,)", &[]), "more than memory has addresses"),
            (of("(99999999999999999999999,)", &[]), "64 bits"),
            (of("(-1,)", &[]), "expected an extent"),
            (of("(1099511627776,)", &[0; 4]), "truncated: 4398046511104 bytes"),
            (bytes("{'descr': '<c8', 'fortran_order': False, 'shape': ()}", &[0; 8]), "`<c8`"),
            (bytes("{'descr': '<u8', 'fortran_order': False, 'shape': ()}", &[0; 8]), "uint64"),
            (bytes("{'descr': '|V2', 'fortran_order': False, 'shape': ()}", &[0; 2]), "`|V2`"),
            (bytes("{'descr': '<V1', 'fortran_order': False, 'shape': ()}", &[0]), "`<V1`"),
            (bytes("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", &[0; 8]), "records"),
            (bytes("{'descr': '<f4', 'shape': ()}", &[0; 4]), "lacks one of"),
            (bytes("{'descr': '<f4', 'fortran_order': 1, 'shape': ()}", &[0; 4]), "True or False"),
            (bytes("{'descr': '<f4', 'fortran_order", &[]), "without end"),
            (bytes("{'evil': ()}", &[]), "the key 'evil'"),
            (bytes("{}  x", &[]), "more behind"),
        ];
        for (file, expected) in cases {
            let error = read_from(&file[..]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} tells of {expected:?}");
        }
    }
}
