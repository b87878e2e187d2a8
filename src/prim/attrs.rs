//! Attributes of operations in the text form: `{axis=1, name="x", low=[0, 2]}`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use half::{bf16, f16};

use crate::graph::TensorType;

use crate::spelling;

use super::Body;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttrValue {
    /// A bare word or number.
    Word(String),
    /// A list of bare words or numbers in brackets.
    List(Vec<String>),
    /// A string in quotes.
    Str(String),
    /// The body of a loop. The text form of a graph calls it by a number and has its nodes above; by itself it is `@`.
    Body(Arc<Body>),
}

impl fmt::Display for AttrValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttrValue::Word(w) => f.write_str(w),
            AttrValue::List(l) => write!(f, "[{}]", l.join(", ")),
            AttrValue::Str(s) => write!(f, "{s:?}"),
            AttrValue::Body(_) => f.write_str("@"),
        }
    }
}

/// Attributes by name, in the order of printing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attrs(Vec<(String, AttrValue)>);

impl fmt::Display for Attrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

impl Attrs {
    /// The attributes as text, a body called by this number.
    pub fn numbered(&self, body: usize) -> impl fmt::Display {
        fmt::from_fn(move |f| self.write(f, &body.to_string()))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, body: &str) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { "" } else { ", " })?;
            if matches!(value, AttrValue::Body(_)) {
                f.write_str(body)?;
            }
        }
        f.write_str("}")
    }
}

/// Attributes that an operation does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttrError {
    /// No operation is called so.
    #[error("there is no operation called `{name}`{}", spelling::hint(.name, super::mnemonics()))]
    UnknownOp {
        /// The name.
        name: String,
    },
    /// An attribute is missing.
    #[error("the attribute `{name}` is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// An attribute has a value that cannot be read.
    #[error("the attribute `{name}` is `{value}`, expected {expected}")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// The value given.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
    /// A list with an entry that cannot be read.
    #[error("the attribute `{name}` holds `{entry}`, expected {expected}")]
    Entry {
        /// Its name.
        name: &'static str,
        /// The first such entry.
        entry: String,
        /// What is expected.
        expected: &'static str,
    },
    /// A list that does not fill the type.
    #[error("the attribute `{name}` has {given} entries, which do not fill {ty}")]
    Count {
        /// Its name.
        name: &'static str,
        /// Entries given.
        given: usize,
        /// The type that they should fill.
        ty: TensorType,
    },
    /// An attribute that the operation does not have.
    #[error("there is no attribute `{name}` here")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// An attribute given twice.
    #[error("the attribute `{name}` is given twice")]
    Duplicate {
        /// Its name.
        name: String,
    },
}

impl Attrs {
    /// No attributes.
    pub fn new() -> Attrs {
        Attrs::default()
    }

    /// Adds a bare word or number.
    pub fn word(mut self, name: &str, value: impl fmt::Display) -> Attrs {
        self.0.push((name.to_owned(), AttrValue::Word(value.to_string())));
        self
    }

    /// Adds a list of words or numbers.
    pub fn list<T: fmt::Display>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Attrs {
        let values = values.into_iter().map(|v| v.to_string()).collect();
        self.0.push((name.to_owned(), AttrValue::List(values)));
        self
    }

    /// Adds a string.
    pub fn string(mut self, name: &str, value: &str) -> Attrs {
        self.0.push((name.to_owned(), AttrValue::Str(value.to_owned())));
        self
    }

    /// Adds an attribute.
    pub fn with(mut self, name: &str, value: AttrValue) -> Attrs {
        self.0.push((name.to_owned(), value));
        self
    }

    /// Takes out the body of a loop.
    pub fn take_body(&mut self, name: &'static str) -> Result<Arc<Body>, AttrError> {
        match self.take(name)? {
            AttrValue::Body(body) => Ok(body),
            value => Err(AttrError::Invalid { name, value: value.to_string(), expected: "a body such as `@0`" }),
        }
    }

    /// Adds an attribute read from text.
    ///
    /// # Errors
    /// If there is one of that name.
    pub fn insert(&mut self, name: String, value: AttrValue) -> Result<(), AttrError> {
        if self.0.iter().any(|(n, _)| *n == name) {
            return Err(AttrError::Duplicate { name });
        }
        self.0.push((name, value));
        Ok(())
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in the order of printing.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AttrValue)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v))
    }

    fn take(&mut self, name: &'static str) -> Result<AttrValue, AttrError> {
        let at = self.0.iter().position(|(n, _)| n == name).ok_or(AttrError::Missing { name })?;
        Ok(self.0.remove(at).1)
    }

    /// Takes out a word, converted to `T`.
    pub fn take_word<T: FromStr>(&mut self, name: &'static str, expected: &'static str) -> Result<T, AttrError> {
        let value = self.take(name)?;
        let parsed = match &value {
            AttrValue::Word(w) => w.parse().ok(),
            _ => None,
        };
        parsed.ok_or_else(|| AttrError::Invalid { name, value: value.to_string(), expected })
    }

    /// Takes out a number.
    pub(super) fn take_number<T: TextNumber>(&mut self, name: &'static str) -> Result<T, AttrError> {
        let word: String = self.take_word(name, "a number")?;
        T::from_word(&word).ok_or(AttrError::Invalid { name, value: word, expected: "a number" })
    }

    /// Takes out a list, each entry converted to `T`.
    pub fn take_list<T: FromStr, C: FromIterator<T>>(
        &mut self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<C, AttrError> {
        self.take_list_with(name, expected, |word| word.parse().ok())
    }

    /// Takes out a list, each entry converted by `read`.
    pub(super) fn take_list_with<T, C: FromIterator<T>>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<C, AttrError> {
        let list = match self.take(name)? {
            AttrValue::List(list) => list,
            value => {
                let value = value.to_string();
                return Err(AttrError::Invalid { name, value, expected });
            }
        };
        let entry = |word: String| read(&word).ok_or(word);
        let entries: Result<C, String> = list.into_iter().map(entry).collect();
        entries.map_err(|entry| AttrError::Entry { name, entry, expected })
    }

    /// Takes out a string.
    pub fn take_string(&mut self, name: &'static str) -> Result<String, AttrError> {
        match self.take(name)? {
            AttrValue::Str(s) => Ok(s),
            value => Err(AttrError::Invalid { name, value: value.to_string(), expected: "a string in quotes" }),
        }
    }

    /// Fails if attributes are left.
    ///
    /// # Errors
    /// [`AttrError::Unknown`] with the first that is left.
    pub fn finish(&self) -> Result<(), AttrError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(AttrError::Unknown { name: name.clone() }),
        }
    }
}

/// An element that is written as a word so that reading it gives the same bits.
pub(super) trait TextNumber: Sized {
    /// The word.
    fn to_word(self) -> String;

    /// The element that the word stands for.
    fn from_word(word: &str) -> Option<Self>;
}

macro_rules! text_numbers {
    (exact: $($exact:ident),*; float: $($float:ident $bits:ident),*) => {
        $(impl TextNumber for $exact {
            fn to_word(self) -> String {
                self.to_string()
            }

            fn from_word(word: &str) -> Option<$exact> {
                word.parse().ok()
            }
        })*

        /// Numbers are as Rust prints and reads them: the shortest decimals that give the same number (or for 16 bits, the `f32` that equals it), `inf`, `NaN` for the NaN of Rust's constant.
        /// Other NaNs are `-NaN`, for that with the sign bit, and `NaN_` with the bits in hexadecimal.
        $(impl TextNumber for $float {
            fn to_word(self) -> String {
                if !self.is_nan() || self.to_bits() == $float::NAN.to_bits() {
                    format!("{self:?}")
                } else if self.to_bits() == (-$float::NAN).to_bits() {
                    "-NaN".to_owned()
                } else {
                    format!("NaN_{:x}", self.to_bits())
                }
            }

            fn from_word(word: &str) -> Option<$float> {
                match word.strip_prefix("NaN_") {
                    Some(bits) => {
                        let bits = $bits::from_str_radix(bits, 16).ok()?;
                        Some($float::from_bits(bits)).filter(|x| x.is_nan())
                    }
                    None => word.parse().ok(),
                }
            }
        })*
    };
}
text_numbers!(exact: bool, u8, i32, u32, i64; float: f16 u16, bf16 u16, f32 u32, f64 u64);

/// An enum whose variants have names in the text form.
macro_rules! named_variants {
    ($ty:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $ty {
            /// Every variant.
            pub const ALL: &'static [$ty] = &[$($ty::$variant),*];

            /// The name in the text form.
            pub const fn name(self) -> &'static str {
                match self { $($ty::$variant => $name,)* }
            }
        }

        impl std::fmt::Display for $ty {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $ty {
            type Err = ();

            fn from_str(s: &str) -> Result<$ty, ()> {
                match s { $($name => Ok($ty::$variant),)* _ => Err(()) }
            }
        }
    };
}
pub(crate) use named_variants;
