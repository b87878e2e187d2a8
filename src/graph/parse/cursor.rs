//! The marks, words, strings, attributes, types and comments of a line.

use std::str::FromStr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::graph::{DType, Derivation, NodeId, Origin, Shape, Source, TensorType};
use crate::prim::{AttrValue, Attrs, Body};

use super::{Fault, ParseErrorKind};

/// A place in a line. Tokens are read from here; those that are marks or strings skip the space before them.
pub(super) struct Cursor<'t> {
    pub(super) line: &'t str,
    /// A byte at which a character begins, or the end.
    pub(super) at: usize,
}

/// True for the characters of bare words: names, numbers, mnemonics.
fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-')
}

impl<'t> Cursor<'t> {
    pub(super) fn rest(&self) -> &'t str {
        &self.line[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Skips space and tells where it ends.
    pub(super) fn skip_space(&mut self) -> usize {
        self.at = self.line.len() - self.rest().trim_start_matches([' ', '\t']).len();
        self.at
    }

    /// True before a comment and at the end of the line.
    pub(super) fn at_end(&self) -> bool {
        matches!(self.peek(), None | Some(';'))
    }

    pub(super) fn expected(&self, expected: &'static str) -> Fault {
        let word = self.rest().find(|c| !in_word(c)).unwrap_or(self.rest().len());
        let found = match self.peek() {
            None => "the end of the line".to_owned(),
            Some(_) if word > 0 => format!("`{}`", &self.rest()[..word]),
            Some(c) => format!("`{}`", c.escape_debug()),
        };
        (self.at, ParseErrorKind::Expected { expected, found })
    }

    pub(super) fn eat(&mut self, mark: char) -> bool {
        self.skip_space();
        let here = self.peek() == Some(mark);
        if here {
            self.at += mark.len_utf8();
        }
        here
    }

    pub(super) fn expect(&mut self, mark: char, expected: &'static str) -> Result<(), Fault> {
        if self.eat(mark) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// A bare word, if one begins right here.
    pub(super) fn word(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        let len = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        self.at += len;
        (len > 0).then(|| &rest[..len])
    }

    /// A node's name, without its percent sign.
    pub(super) fn node_name(&mut self) -> Result<&'t str, Fault> {
        self.expect('%', "a node such as `%0`")?;
        self.word().ok_or_else(|| self.expected("the name of a node behind `%`"))
    }

    /// A body's name, without its mark.
    pub(super) fn body_name(&mut self) -> Result<&'t str, Fault> {
        self.expect('@', "a body such as `@0`")?;
        self.word().ok_or_else(|| self.expected("the name of a body behind `@`"))
    }

    /// A string in quotes, with Rust's escapes.
    pub(super) fn string(&mut self) -> Result<String, Fault> {
        self.expect('"', "a string in quotes")?;
        let mut string = String::new();
        loop {
            let escape_at = self.at;
            match self.next() {
                None => return Err(self.expected("a closing quote")),
                Some('"') => return Ok(string),
                Some('\\') => match self.escape() {
                    Some(c) => string.push(c),
                    None => {
                        self.at = escape_at;
                        return Err(self.expected("an escape of \\n, \\r, \\t, \\0, \\\\, \\', \\\" and \\u{..}"));
                    }
                },
                Some(c) => string.push(c),
            }
        }
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// The character that an escape stands for, from behind its backslash on.
    pub(super) fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            c @ ('\\' | '\'' | '"') => c,
            'u' => {
                let (digits, _) = self.rest().strip_prefix('{')?.split_once('}')?;
                self.at += digits.len() + 2;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            _ => return None,
        })
    }

    /// Attributes in braces, or none.
    pub(super) fn attrs(&mut self, bodies: &FxHashMap<&'t str, Arc<Body>>) -> Result<Attrs, Fault> {
        let mut attrs = Attrs::new();
        if !self.eat('{') || self.eat('}') {
            return Ok(attrs);
        }
        loop {
            let key_at = self.skip_space();
            let key = self.word().ok_or_else(|| self.expected("the name of an attribute"))?;
            self.expect('=', "`=`")?;
            let value = self.attr_value(bodies)?;
            attrs.insert(key.to_owned(), value).map_err(|e| (key_at, e.into()))?;
            if self.eat('}') {
                return Ok(attrs);
            }
            self.expect(',', "`,` or `}`")?;
        }
    }

    pub(super) fn attr_value(&mut self, bodies: &FxHashMap<&'t str, Arc<Body>>) -> Result<AttrValue, Fault> {
        let at = self.skip_space();
        match self.peek() {
            Some('@') => {
                let name = self.body_name()?;
                let unknown = || {
                    let name = format!("@{name}");
                    (at, ParseErrorKind::UnknownBody { name })
                };
                bodies.get(name).cloned().map(AttrValue::Body).ok_or_else(unknown)
            }
            Some('"') => Ok(AttrValue::Str(self.string()?)),
            Some('[') => {
                let mut list = Vec::new();
                self.list("a word or number", |word| {
                    list.push(word.to_owned());
                    true
                })?;
                Ok(AttrValue::List(list))
            }
            _ => {
                let word = self.word().ok_or_else(|| self.expected("a word, a list or a string"))?;
                Ok(AttrValue::Word(word.to_owned()))
            }
        }
    }

    /// A list in brackets. `entry` takes each word, and refuses what is not `expected`.
    pub(super) fn list(&mut self, expected: &'static str, mut entry: impl FnMut(&str) -> bool) -> Result<(), Fault> {
        self.expect('[', "`[`")?;
        if self.eat(']') {
            return Ok(());
        }
        loop {
            let at = self.skip_space();
            if !self.word().is_some_and(&mut entry) {
                self.at = at;
                return Err(self.expected(expected));
            }
            if self.eat(']') {
                return Ok(());
            }
            self.expect(',', "`,` or `]`")?;
        }
    }

    /// An element type with extents.
    pub(super) fn ty(&mut self) -> Result<TensorType, Fault> {
        let at = self.at;
        let Some(dtype) = self.word().and_then(|word| DType::from_str(word).ok()) else {
            self.at = at;
            return Err(self.expected("an element type: bool, u8, i32, u32, i64, f16, bf16, f32 or f64"));
        };
        let mut extents = Vec::new();
        self.list("an extent", |word| word.parse().map(|n| extents.push(n)).is_ok())?;
        let shape = Shape::from(extents);
        Ok(TensorType { dtype, shape })
    }

    /// The end of a statement.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at_end() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }

    /// The end of a node's line, with the origin that its comment tells.
    pub(super) fn end_of_node(&mut self) -> Result<Origin, Fault> {
        self.end()?;
        Ok(self.eat(';').then(|| self.origin()).flatten().unwrap_or_default())
    }

    /// The origin that a comment tells, if it is one.
    pub(super) fn origin(&mut self) -> Option<Origin> {
        let mut origin = Origin::default();
        self.skip_space();
        if !["in(", "vjp(", "jvp(", "vmap(", "rewrite("].iter().any(|word| self.rest().starts_with(word)) {
            let first = self.comment_word()?;
            origin.source = if self.eat(':') {
                Source::Text(first.into(), self.word()?.parse().ok()?)
            } else {
                Source::Node { operator: first.into(), name: self.string().ok()?.into() }
            };
        }
        self.skip_space();
        if self.rest().starts_with("in(") {
            self.at += "in(".len();
            origin.composite = Some(self.comment_word()?.into());
            self.eat(')').then_some(())?;
        }
        origin.vjp = self.derivation("vjp(")?;
        origin.jvp = self.derivation("jvp(")?;
        origin.vmap = self.derivation("vmap(")?;
        origin.rewrite = self.derivation("rewrite(")?;
        self.skip_space();
        self.rest().is_empty().then_some(origin)
    }

    /// `Some(None)` if `opening` is not here, `None` if what follows it is no rule and node.
    pub(super) fn derivation(&mut self, opening: &str) -> Option<Option<Derivation>> {
        self.skip_space();
        if !self.rest().starts_with(opening) {
            return Some(None);
        }
        self.at += opening.len();
        let rule = self.comment_word()?.into();
        let of = self.node_name().ok()?.parse::<u32>().ok()?;
        let of = NodeId::new(of as usize);
        self.eat(')').then_some(Some(Derivation { rule, of }))
    }

    /// A file's or rule's name, bare or in quotes.
    pub(super) fn comment_word(&mut self) -> Option<String> {
        if self.peek() == Some('"') {
            return self.string().ok();
        }
        let rest = self.rest();
        let len = rest.find(|c| !in_word(c) && c != '/').unwrap_or(rest.len());
        self.at += len;
        (len > 0).then(|| rest[..len].to_owned())
    }
}
