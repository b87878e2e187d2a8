//! Reads the text form, files `.cot`: the inverse of [`print`](mod@super::print).
//!
//! A line is a node, an output, an update of a parameter, or a part of a loop's body. A node has a name, an operation, operands that lines above define, attributes,
//! and the type of its result:
//!
//! ```text
//! %x = input {name="x"} : f32[2, 3]  ; a comment
//! %w = param {name="w", kind=trainable} : f32[3]
//! %y = dot %x, %w {lhs_contract=[1], rhs_contract=[0]} : f32[2]
//! output "y" = %y
//! ```
//!
//! # Grammar
//!
//! ```text
//! text      = { line "\n" }
//! line      = [ node | output | update | "body" body "{" | "}" ] [ ";" comment ]
//! node      = name "=" operation [ name { "," name } ] [ attributes ] ":" type
//! output    = "output" string "=" name
//! update    = "update" ( string | name ) "=" name
//! attributes= "{" [ key "=" value { "," key "=" value } ] "}"
//! value     = word | string | body | "[" [ word { "," word } ] "]"
//! type      = dtype "[" [ extent { "," extent } ] "]"
//! dtype     = "bool" | "u8" | "i32" | "u32" | "i64" | "f16" | "bf16" | "f32" | "f64"
//! name      = "%" word
//! body      = "@" word
//! word      = characters of A-Z, a-z, 0-9, "_", ".", "+", "-"; operations, keys and extents are words too
//! string    = text in double quotes, with the escapes of Rust
//! comment   = [ file ":" line ] [ "in(" composite ")" ] { ( "vjp(" | "jvp(" | "vmap(" | "rewrite(" ) rule "%" number ")" }, in this order
//! ```
//!
//! Names need not be numbers, nor ascend: nodes are numbered in the order of their lines. A comment of another form is ignored. Operations, their
//! attributes and their types are checked by [`Graph::push`], like everything that enters a graph; the stated type must be the one that it infers. Any
//! text is either a graph or an error with its place: nothing here panics, and the lines between `body @0 {` and `}`, which are a graph of their own, wait on
//! a list rather than on the stack. Time is linear in the text.
//!
//! # Operations
//!
//! Functions of elements take operands of one shape and no attributes. They are called as [`ScalarFn`](crate::scalar::ScalarFn) has them: `add`, `mul`, `max`, `exp`,
//! `log`, `lt`, `select` and so on. These are the others that graphs are written with; what they mean is told by [`prim`](crate::prim):
//!
//! ```
//! # let graph: cotangent::Graph = r#"
//! %x = input {name="x"} : f32[4, 6]
//! %w = param {name="w", kind=trainable} : f32[6, 2]
//! %n = param {name="n", kind=state} : i64[]
//! %i = input {name="i"} : i32[3]
//! %c = const {value=[1.5, -0.0]} : f32[2]
//! %count = iota {axis=1} : i64[4, 6]
//! %float = cast %count : f32[4, 6]
//! %d = dot %x, %w {lhs_contract=[1], rhs_contract=[0]} : f32[4, 2]
//! %rows = dot %x, %x {lhs_batch=[0], rhs_batch=[0], lhs_contract=[1], rhs_contract=[1]} : f32[4]
//! %b = broadcast %c {axes=[0]} : f32[4, 2]
//! %sum = reduce %x {kind=sum, axes=[0, 1]} : f32[]
//! %best = arg_reduce %x {kind=max, axis=1} : i32[4]
//! %running = cumulative %x {kind=sum, axis=1, reverse=false} : f32[4, 6]
//! %order = argsort %x {axis=1, descending=false} : i32[4, 6]
//! %flat = reshape %x : f32[24]
//! %t = transpose %x {permutation=[1, 0]} : f32[6, 4]
//! %part = slice %x {start=[3, 1], step=[-1, 2]} : f32[4, 3]
//! %wide = pad %part {low=[0, 1], high=[0, 0], interior=[0, 1], value=-inf} : f32[4, 6]
//! %both = concat %x, %wide {axis=0} : f32[8, 6]
//! %chosen = gather %x, %i {batch=0, fill=NaN} : f32[3, 6]
//! %added = scatter %x, %i, %chosen {combine=add, batch=0} : f32[4, 6]
//! %windows = window %x {axes=[1], sizes=[3], strides=[1], dilations=[1]} : f32[4, 4, 3]
//! output "d" = %d
//! output "part" = %part
//! update "w" = %w
//! # "#.parse()?;
//! # assert_eq!(graph.outputs().len(), 2);
//! # Ok::<(), cotangent::ParseError>(())
//! ```
//!
//! `dot` may leave out the axes of a batch. `broadcast` names the axes of its result that are new. A loop has a body and its trips:
//!
//! ```
//! # let graph: cotangent::Graph = r#"
//! %x = input {name="x"} : f32[4, 6]
//! %zero = const {value=[0.0]} : f32[]
//! %start = broadcast %zero {axes=[0]} : f32[6]
//! body @add {
//!   %carry = param {name="c", kind=state} : f32[6]
//!   %row = input {name="x"} : f32[6]
//!   %sum = add %carry, %row : f32[6]
//!   update "c" = %sum
//! }
//! %y = loop %start, %x {body=@add, trips=4, sequences=1, carry=0} : f32[6]
//! output "y" = %y
//! # "#.parse()?;
//! # assert_eq!(graph.outputs().len(), 1);
//! # Ok::<(), cotangent::ParseError>(())
//! ```

use std::str::FromStr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::prim::{AttrError, AttrValue, Attrs, Body, MAX_DEPTH, Op};

use super::{DType, Derivation, Graph, GraphError, NodeId, OpError, Operands, Origin, Shape, Source, TensorType};

/// A text that is no graph: the fault of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

/// The ways in which a text is no graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// The grammar wants something else.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What may stand here.
        expected: &'static str,
        /// What stands here.
        found: String,
    },
    /// A name without a node.
    #[error("no line above defines {name}")]
    UnknownNode {
        /// The name, with its percent sign.
        name: String,
    },
    /// Two nodes of one name.
    #[error("{name} is defined already")]
    DuplicateNode {
        /// The name, with its percent sign.
        name: String,
    },
    /// A name without a body.
    #[error("no line above defines the body {name}")]
    UnknownBody {
        /// The name, with its mark.
        name: String,
    },
    /// A line that only stands in a body, or does not.
    #[error("{0}")]
    Place(&'static str),
    /// An update of a parameter that is not there.
    #[error("no line above declares a parameter called {name:?}")]
    UnknownParam {
        /// The name.
        name: String,
    },
    /// The stated type is not the operation's.
    #[error("the stated type is {stated}, but the result is {inferred}")]
    Type {
        /// The type in the text.
        stated: TensorType,
        /// The type that the operation gives.
        inferred: TensorType,
    },
    /// No such operation, or not its attributes.
    #[error(transparent)]
    Attr(#[from] AttrError),
    /// The operands do not fit the operation.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The output or update does not fit the graph.
    #[error(transparent)]
    Graph(Box<GraphError>),
}

/// Reads a graph in the text form.
///
/// ```
/// use cotangent::graph::parse;
///
/// let graph = parse(
///     r#"
///     %x = input {name="x"} : f32[2, 3]
///     %y = reduce %x {kind=sum, axes=[1]} : f32[2]  ; model.rs:7
///     output "y" = %y
///     "#,
/// )?;
/// assert_eq!(
///     graph.to_string(),
///     "%0 = input {name=\"x\"} : f32[2, 3]\n\
///      %1 = reduce %0 {kind=sum, axes=[1]} : f32[2]  ; model.rs:7\n\
///      output \"y\" = %1\n"
/// );
/// # Ok::<(), cotangent::graph::ParseError>(())
/// ```
///
/// # Errors
/// At the first place that is no part of a graph.
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    let mut parser = Parser::default();
    let mut lines = 0;
    for (index, line) in text.lines().enumerate() {
        let mut cursor = Cursor { line, at: 0 };
        if let Err((at, kind)) = parser.line(&mut cursor) {
            return Err(ParseError { line: index + 1, column: line[..at].chars().count() + 1, kind });
        }
        lines = index + 1;
    }
    if !parser.around.is_empty() {
        let found = "the end of the text".to_owned();
        let kind = ParseErrorKind::Expected { expected: "`}` at the end of the body", found };
        return Err(ParseError { line: lines, column: 1, kind });
    }
    Ok(parser.here.graph)
}

impl FromStr for Graph {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Graph, ParseError> {
        parse(text)
    }
}

/// The byte in the line at which something is wrong, and what.
type Fault = (usize, ParseErrorKind);

/// A graph so far.
#[derive(Default)]
struct Part<'t> {
    graph: Graph,
    nodes: FxHashMap<&'t str, NodeId>,
    bodies: FxHashMap<&'t str, Arc<Body>>,
}

/// The graph to which the next line belongs, and those around it.
#[derive(Default)]
struct Parser<'t> {
    here: Part<'t>,
    /// What is around the body that is being read, outermost first, with the name of the body inside it.
    around: Vec<(Part<'t>, &'t str)>,
}

impl<'t> Parser<'t> {
    fn line(&mut self, c: &mut Cursor<'t>) -> Result<(), Fault> {
        c.skip_space();
        if c.at_end() {
            return Ok(());
        }
        let start = c.at;
        match c.peek() {
            Some('%') => return self.node(c),
            Some('}') => return self.end_of_body(c),
            _ => {}
        }
        match c.word() {
            Some("output") => self.output(c),
            Some("update") => self.update(c),
            Some("body") => self.body(c),
            _ => {
                c.at = start;
                Err(c.expected("a node such as `%0 = ...`, `output`, `update` or `body`"))
            }
        }
    }

    fn body(&mut self, c: &mut Cursor<'t>) -> Result<(), Fault> {
        let at = c.skip_space();
        let name = c.body_name()?;
        if self.here.bodies.contains_key(name) {
            let name = format!("@{name}");
            return Err((at, ParseErrorKind::DuplicateNode { name }));
        }
        c.expect('{', "`{`")?;
        c.end()?;
        if self.around.len() == MAX_DEPTH {
            return Err((at, ParseErrorKind::Place("bodies lie too deep in each other")));
        }
        self.around.push((std::mem::take(&mut self.here), name));
        Ok(())
    }

    fn end_of_body(&mut self, c: &mut Cursor<'t>) -> Result<(), Fault> {
        let at = c.at;
        c.expect('}', "`}`")?;
        c.end()?;
        let (outer, name) = self.around.pop().ok_or((at, ParseErrorKind::Place("no body begins above")))?;
        let inner = std::mem::replace(&mut self.here, outer);
        let body = Body::new(&inner.graph).map_err(|kind| (at, OpError::new("body", &[], kind).into()))?;
        self.here.bodies.insert(name, Arc::new(body));
        Ok(())
    }

    fn node(&mut self, c: &mut Cursor<'t>) -> Result<(), Fault> {
        let name_at = c.at;
        let name = c.node_name()?;
        if self.here.nodes.contains_key(name) {
            let name = format!("%{name}");
            return Err((name_at, ParseErrorKind::DuplicateNode { name }));
        }
        c.expect('=', "`=`")?;
        let op_at = c.skip_space();
        let mnemonic = c.word().ok_or_else(|| c.expected("the name of an operation"))?;
        let operands = self.operands(c)?;
        let attrs_at = c.skip_space();
        let attrs = c.attrs(&self.here.bodies)?;
        c.expect(':', "`:` and the type")?;
        let ty_at = c.skip_space();
        let stated = c.ty()?;
        let origin = c.end_of_node()?;

        let op = Op::parse(mnemonic, attrs, &stated).map_err(|error| match error {
            AttrError::UnknownOp { .. } => (op_at, error.into()),
            _ => (attrs_at, error.into()),
        })?;
        let id = self.here.graph.push(op, &operands, origin).map_err(|error| (op_at, error.into()))?;
        let inferred = self.here.graph.ty(id);
        if *inferred != stated {
            let inferred = inferred.clone();
            return Err((ty_at, ParseErrorKind::Type { stated, inferred }));
        }
        self.here.nodes.insert(name, id);
        Ok(())
    }

    fn operands(&self, c: &mut Cursor<'t>) -> Result<Operands, Fault> {
        let mut operands = Operands::new();
        c.skip_space();
        if c.peek() != Some('%') {
            return Ok(operands);
        }
        loop {
            operands.push(self.node_ref(c)?);
            if !c.eat(',') {
                return Ok(operands);
            }
        }
    }

    fn output(&mut self, c: &mut Cursor<'t>) -> Result<(), Fault> {
        let name_at = c.skip_space();
        if !self.around.is_empty() {
            return Err((
                name_at,
                ParseErrorKind::Place("a body has no outputs: the loops of it name what they stack"),
            ));
        }
        let name = c.string()?;
        c.expect('=', "`=`")?;
        let node = self.node_ref(c)?;
        c.end()?;
        let added = self.here.graph.add_output(name, node);
        added.map_err(|e| (name_at, ParseErrorKind::Graph(e.into())))
    }

    fn update(&mut self, c: &mut Cursor<'t>) -> Result<(), Fault> {
        let param_at = c.skip_space();
        let param = if c.peek() == Some('%') {
            self.node_ref(c)?
        } else {
            let name = c.string()?;
            let found = self.here.graph.find(&name);
            found.ok_or((param_at, ParseErrorKind::UnknownParam { name }))?
        };
        c.expect('=', "`=`")?;
        let value = self.node_ref(c)?;
        c.end()?;
        let added = self.here.graph.add_update(param, value);
        added.map_err(|e| (param_at, ParseErrorKind::Graph(e.into())))
    }

    /// A name of a node that is defined.
    fn node_ref(&self, c: &mut Cursor<'t>) -> Result<NodeId, Fault> {
        let at = c.skip_space();
        let name = c.node_name()?;
        let unknown = || {
            let name = format!("%{name}");
            (at, ParseErrorKind::UnknownNode { name })
        };
        self.here.nodes.get(name).copied().ok_or_else(unknown)
    }
}

/// A place in a line. Tokens are read from here; those that are marks or strings skip the space before them.
struct Cursor<'t> {
    line: &'t str,
    /// A byte at which a character begins, or the end.
    at: usize,
}

/// True for the characters of bare words: names, numbers, mnemonics.
fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-')
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        &self.line[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Skips space and tells where it ends.
    fn skip_space(&mut self) -> usize {
        self.at = self.line.len() - self.rest().trim_start_matches([' ', '\t']).len();
        self.at
    }

    /// True before a comment and at the end of the line.
    fn at_end(&self) -> bool {
        matches!(self.peek(), None | Some(';'))
    }

    fn expected(&self, expected: &'static str) -> Fault {
        let word = self.rest().find(|c| !in_word(c)).unwrap_or(self.rest().len());
        let found = match self.peek() {
            None => "the end of the line".to_owned(),
            Some(_) if word > 0 => format!("`{}`", &self.rest()[..word]),
            Some(c) => format!("`{}`", c.escape_debug()),
        };
        (self.at, ParseErrorKind::Expected { expected, found })
    }

    fn eat(&mut self, mark: char) -> bool {
        self.skip_space();
        let here = self.peek() == Some(mark);
        if here {
            self.at += mark.len_utf8();
        }
        here
    }

    fn expect(&mut self, mark: char, expected: &'static str) -> Result<(), Fault> {
        if self.eat(mark) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// A bare word, if one begins right here.
    fn word(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        let len = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        self.at += len;
        (len > 0).then(|| &rest[..len])
    }

    /// A node's name, without its percent sign.
    fn node_name(&mut self) -> Result<&'t str, Fault> {
        self.expect('%', "a node such as `%0`")?;
        self.word().ok_or_else(|| self.expected("the name of a node behind `%`"))
    }

    /// A body's name, without its mark.
    fn body_name(&mut self) -> Result<&'t str, Fault> {
        self.expect('@', "a body such as `@0`")?;
        self.word().ok_or_else(|| self.expected("the name of a body behind `@`"))
    }

    /// A string in quotes, with Rust's escapes.
    fn string(&mut self) -> Result<String, Fault> {
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

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// The character that an escape stands for, from behind its backslash on.
    fn escape(&mut self) -> Option<char> {
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
    fn attrs(&mut self, bodies: &FxHashMap<&'t str, Arc<Body>>) -> Result<Attrs, Fault> {
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

    fn attr_value(&mut self, bodies: &FxHashMap<&'t str, Arc<Body>>) -> Result<AttrValue, Fault> {
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
    fn list(&mut self, expected: &'static str, mut entry: impl FnMut(&str) -> bool) -> Result<(), Fault> {
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
    fn ty(&mut self) -> Result<TensorType, Fault> {
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
    fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at_end() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }

    /// The end of a node's line, with the origin that its comment tells.
    fn end_of_node(&mut self) -> Result<Origin, Fault> {
        self.end()?;
        Ok(self.eat(';').then(|| self.origin()).flatten().unwrap_or_default())
    }

    /// The origin that a comment tells, if it is one.
    fn origin(&mut self) -> Option<Origin> {
        let mut origin = Origin::default();
        self.skip_space();
        if !["in(", "vjp(", "jvp(", "vmap(", "rewrite("].iter().any(|word| self.rest().starts_with(word)) {
            let file = self.comment_word()?;
            let line = self.eat(':').then(|| self.word())??;
            origin.source = Source::Text(file.into(), line.parse().ok()?);
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
    fn derivation(&mut self, opening: &str) -> Option<Option<Derivation>> {
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
    fn comment_word(&mut self) -> Option<String> {
        if self.peek() == Some('"') {
            return self.string().ok();
        }
        let rest = self.rest();
        let len = rest.find(|c| !in_word(c) && c != '/').unwrap_or(rest.len());
        self.at += len;
        (len > 0).then(|| rest[..len].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::array::Array;
    use crate::graph::{types, verify};
    use crate::prim::{Const, Input, Map, Param, ParamKind};
    use crate::scalar::{ScalarFn, Signature};

    /// Every operation, as printed.
    const EVERY_OP: &str = r#"%0 = input {name="x"} : f32[4, 6]  ; model.rs:3
%1 = param {name="w", kind=trainable} : f32[6, 2]  ; model.rs:4
%2 = param {name="step \"count\"\n", kind=state} : i64[]
%3 = input {name="i"} : i32[3]
%4 = const {value=[1.5, -0.0]} : f32[2]
%5 = iota {axis=1} : i64[4, 6]
%6 = dot %0, %1 {lhs_contract=[1], rhs_contract=[0]} : f32[4, 2]  ; model.rs:5
%7 = dot %0, %0 {lhs_batch=[0], rhs_batch=[0], lhs_contract=[1], rhs_contract=[1]} : f32[4]
%8 = broadcast %4 {axes=[0]} : f32[4, 2]  ; model.rs:6 vjp(add %6) rewrite(fold %3)
%9 = add %6, %8 : f32[4, 2]  ; vjp("odd rule" %6)
%10 = cast %5 : f32[4, 6]  ; rewrite(narrow %5)
%11 = reduce %0 {kind=sum, axes=[0, 1]} : f32[]  ; "odd file: 1.rs":7
%12 = arg_reduce %0 {kind=max, axis=1} : i32[4]
%13 = reshape %0 : f32[24]
%14 = transpose %0 {permutation=[1, 0]} : f32[6, 4]
%15 = slice %0 {start=[3, 1], step=[-1, 2]} : f32[4, 3]
%16 = pad %15 {low=[0, 1], high=[0, 0], interior=[0, 1], value=-inf} : f32[4, 6]
%17 = concat %0, %16, %0 {axis=0} : f32[12, 6]
%18 = gather %0, %3 {batch=0, fill=NaN} : f32[3, 6]
%19 = scatter %0, %3, %18 {combine=add, batch=0} : f32[4, 6]
%20 = const {value=[]} : bool[0, 3]
%21 = mul %1, %1 : f32[6, 2]
%22 = reduce %0 {kind=sum, axes=[0]} : f32[6]
body @0 {
  %0 = param {name="c", kind=state} : f32[6]  ; model.rs:7
  %1 = input {name="x"} : f32[6]
  body @0 {
    %0 = param {name="c", kind=state} : f32[6]
    %1 = neg %0 : f32[6]
    update "c" = %1
  }
  %2 = loop %1 {body=@0, trips=2, sequences=0, keep=carries, carry=0} : f32[6]
  %3 = const {value=[true]} : bool[]
  update "c" = %2
}
%23 = loop %22, %0 {body=@0, trips=4, sequences=1, order=reverse, guard=3, stack=2} : f32[4, 6]  ; model.rs:8
output "y" = %9
output "the \"second\" one" = %19
update "w" = %21
update "step \"count\"\n" = %2
"#;

    #[track_caller]
    fn round_trip(text: &str) -> Graph {
        let graph = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(graph.to_string(), text);
        graph
    }

    #[test]
    fn every_structural_operation_round_trips() {
        round_trip(EVERY_OP);
    }

    #[test]
    fn every_scalar_function_round_trips() {
        for &f in ScalarFn::ALL {
            let mut graph = Graph::new();
            let mut input = |name: &str, ty| {
                let input = Input { name: name.into(), ty };
                graph.push(input, &[], Origin::default()).unwrap()
            };
            let x = input("x", types::f64([2]));
            let c = input("c", types::bool([2]));
            let i = input("i", types::i64([2]));
            let u = input("u", types::u32([2]));
            let operands = match f.record().signature {
                Signature::Int => vec![i; f.arity()],
                Signature::Words => vec![u; f.arity()],
                Signature::Logic => vec![c; f.arity()],
                Signature::Select => vec![c, x, x],
                _ => vec![x; f.arity()],
            };
            graph.push(Map { f }, &operands, Origin::default()).unwrap();
            round_trip(&graph.to_string());
        }
    }

    #[test]
    fn special_numbers_keep_their_bits() {
        let f32s = vec![
            -f32::NAN,
            f32::from_bits(0x7f80_0001),
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            -0.0,
            1e-45,
            f32::MAX,
            0.1,
        ];
        let f64s = vec![
            -f64::NAN,
            f64::from_bits(0xfff0_0000_0000_0001),
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            5e-324,
            f64::MAX,
            0.1,
        ];
        let arrays = [
            Array::new([9], f32s).unwrap(),
            Array::new([9], f64s).unwrap(),
            Array::new([2], vec![i64::MIN, i64::MAX]).unwrap(),
            Array::new([2], vec![i32::MIN, i32::MAX]).unwrap(),
            Array::new([1, 2], vec![true, false]).unwrap(),
        ];
        for value in arrays.map(Arc::new) {
            let mut graph = Graph::new();
            let id = graph.push(Const { value }, &[], Origin::default()).unwrap();
            let read = round_trip(&graph.to_string());
            assert_eq!(read.op(id), graph.op(id));
        }
    }

    #[test]
    fn names_comments_and_space_are_free() {
        let text = "; a comment\r\n\n  %x=input{name=\"a\"}:f32[ ];no origin\r\n\t%.-+Z = neg %x : f32[] ; vjp(x\noutput\"y\"=%.-+Z ; 7";
        let printed = "%0 = input {name=\"a\"} : f32[]\n%1 = neg %0 : f32[]\noutput \"y\" = %1\n";
        assert_eq!(parse(text).unwrap().to_string(), printed);
    }

    #[test]
    fn origins_are_left_out_on_request() {
        let graph = parse(EVERY_OP).unwrap();
        let text = graph.text().origins(false).to_string();
        assert!(!text.contains(';'));
        round_trip(&text);
    }

    #[test]
    fn the_source_of_a_built_node_is_read_back() {
        let mut graph = Graph::new();
        let w = Param { name: "w".into(), ty: types::f32([]), kind: ParamKind::Trainable };
        let line = line!() + 1;
        let id = graph.push(w, &[], Origin::caller()).unwrap();
        let read = round_trip(&graph.to_string());
        assert_eq!(read.node(id).origin.source.file_line(), Some(("parse.rs", line)));
    }

    #[test]
    fn long_chains_are_walked_by_loops() {
        let mut text = "%0 = input {name=\"x\"} : f32[]\n".to_owned();
        for id in 1..50_000 {
            text += &format!("%{id} = neg %{} : f32[]\n", id - 1);
        }
        assert_eq!(verify(&round_trip(&text)), Ok(()));
    }

    #[test]
    fn errors_name_place_and_cause() {
        let x = "%x = input {name=\"x\"} : f32[2, 3]\n";
        let w = "%w = param {name=\"w\", kind=state} : f32[2]\n";
        let table = [
            ("foo", "line 1, column 1: expected a node such as `%0 = ...`, `output`, `update` or `body`, found `foo`"),
            ("  é", "line 1, column 3: expected a node such as `%0 = ...`, `output`, `update` or `body`, found `é`"),
            ("% = neg", "line 1, column 2: expected the name of a node behind `%`, found ` `"),
            ("%0 iota", "line 1, column 4: expected `=`, found `iota`"),
            ("%0 = ", "line 1, column 6: expected the name of an operation, found the end of the line"),
            ("%0 = frob : f32[]", "line 1, column 6: there is no operation called `frob`"),
            ("%0 = neg %1 : f32[]", "line 1, column 10: no line above defines %1"),
            ("%0 = neg %0 : f32[]", "line 1, column 10: no line above defines %0"),
            ("%0 = iota {axis=0}", "line 1, column 19: expected `:` and the type, found the end of the line"),
            (
                "%0 = iota {axis=0} : u16[2]",
                "line 1, column 22: expected an element type: bool, u8, i32, u32, i64, f16, bf16, f32 or f64, found `u16`",
            ),
            ("%0 = iota {axis=0} : f32", "line 1, column 25: expected `[`, found the end of the line"),
            ("%0 = iota {axis=0} : f32[-1]", "line 1, column 26: expected an extent, found `-1`"),
            (
                "%0 = iota {axis=0} : f32[99999999999999999999]",
                "line 1, column 26: expected an extent, found `99999999999999999999`",
            ),
            ("%0 = iota {axis=0} : f32[1 2]", "line 1, column 28: expected `,` or `]`, found `2`"),
            ("%0 = iota {axis=0} : f32[2] x", "line 1, column 29: expected the end of the line, found `x`"),
            ("%0 = iota {axis=0, axis=0} : f32[2]", "line 1, column 20: the attribute `axis` is given twice"),
            ("%0 = iota {axis} : f32[2]", "line 1, column 16: expected `=`, found `}`"),
            ("%0 = iota {axis=} : f32[2]", "line 1, column 17: expected a word, a list or a string, found `}`"),
            ("%0 = iota {axis=0 : f32[2]", "line 1, column 19: expected `,` or `}`, found `:`"),
            ("%0 = iota {axis=[0} : f32[2]", "line 1, column 19: expected `,` or `]`, found `}`"),
            ("%0 = iota : f32[2]", "line 1, column 11: the attribute `axis` is missing"),
            ("%0 = iota {axis=0, a=b} : f32[2]", "line 1, column 11: there is no attribute `a` here"),
            ("%0 = iota {axis=x} : f32[2]", "line 1, column 11: the attribute `axis` is `x`, expected an axis number"),
            ("%0 = iota {axis=1} : f32[2]", "line 1, column 6: iota: axis 1 is out of range for rank 1"),
            (
                "%0 = input {name=\"x} : f32[2]",
                "line 1, column 30: expected a closing quote, found the end of the line",
            ),
            (
                "%0 = input {name=\"\\q\"} : f32[2]",
                "line 1, column 19: expected an escape of \\n, \\r, \\t, \\0, \\\\, \\', \\\" and \\u{..}, found `\\\\`",
            ),
            (
                "%0 = input {name=\"x\"} : f32[9999999999, 9999999999]",
                "line 1, column 6: input: the result f32[9999999999, 9999999999] has too many elements",
            ),
            (
                "%0 = const {value=[1]} : i32[2]",
                "line 1, column 12: the attribute `value` has 1 entries, which do not fill i32[2]",
            ),
            ("{x}{x}", "line 2, column 1: %x is defined already"),
            (
                "{x}%y = input {name=\"x\"} : f32[]",
                "line 2, column 6: input: there is an input or parameter called `x` already",
            ),
            ("{x}%y = neg %x : f32[2]", "line 2, column 15: the stated type is f32[2], but the result is f32[2, 3]"),
            ("{x}%y = neg %x %x : f32[2, 3]", "line 2, column 13: expected `:` and the type, found `%`"),
            ("{x}%y = add %x : f32[2, 3]", "line 2, column 6: add(f32[2, 3]): takes 2 operand(s), 1 given"),
            ("{x}%y = add %x, : f32[2, 3]", "line 2, column 14: expected a node such as `%0`, found `:`"),
            ("{x}output y = %x", "line 2, column 8: expected a string in quotes, found `y`"),
            ("{x}output \"y\" %x", "line 2, column 12: expected `=`, found `%`"),
            ("{x}output \"y\" = %z", "line 2, column 14: no line above defines %z"),
            ("{x}output \"y\" = %x\noutput \"y\" = %x", "line 3, column 8: there is an output called `y` already"),
            ("{w}update \"v\" = %w", "line 2, column 8: no line above declares a parameter called \"v\""),
            ("{w}update \"w\" = %w\nupdate %w = %w", "line 3, column 8: parameter `w` has an update already"),
            ("{w}{x}update %w = %x", "line 3, column 8: parameter `w` is f32[2], its update f32[2, 3]"),
            ("{x}update \"x\" = %x", "line 2, column 8: %0 is not a parameter and cannot be updated"),
        ];
        for (text, expected) in table {
            let text = text.replace("{x}", x).replace("{w}", w);
            let error = parse(&text).expect_err(&text);
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }

    /// A stream of numbers that is the same in every run (xorshift64).
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % n.max(1) as u64) as usize
        }
    }

    #[test]
    fn garbled_text_is_an_error_or_a_graph() {
        const TOKENS: &[&str] = &[
            "%0",
            "%7",
            "%",
            "=",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            ";",
            "\"",
            "\\",
            "\n",
            " ",
            "-1",
            "0",
            "1",
            "2",
            "3",
            "18446744073709551615",
            "9223372036854775807",
            "-9223372036854775808",
            "f32",
            "bool",
            "i32[3]",
            "NaN",
            "inf",
            "axis",
            "axes",
            "reduce",
            "concat",
            "neg",
            "output",
            "update",
            "vjp(",
            "rewrite(",
            "a.rs:1",
            "\u{1F600}",
            "\0",
        ];
        let random = &mut Random(0x9E37_79B9_7F4A_7C15);
        let mut graphs = 0;
        for _ in 0..20_000 {
            let mut lines: Vec<&str> = EVERY_OP.lines().collect();
            if random.below(8) == 0 {
                let (from, to) = (random.below(lines.len()), random.below(lines.len()));
                lines.swap(from, to);
            }
            let mut text = lines.join("\n").into_bytes();
            for _ in 0..1 + random.below(3) {
                let (at, token) = (random.below(text.len()), TOKENS[random.below(TOKENS.len())]);
                let len = random.below(4).min(text.len() - at);
                match random.below(4) {
                    0 => drop(text.drain(at..at + len)),
                    1 => text[at] ^= 1 << random.below(8),
                    2 => drop(text.splice(at..at + len, token.bytes())),
                    _ => drop(text.splice(at..at, token.bytes())),
                }
            }
            if let Ok(graph) = parse(&String::from_utf8_lossy(&text)) {
                graphs += 1;
                assert_eq!(verify(&graph), Ok(()));
                round_trip(&graph.to_string());
            }
        }
        assert!(graphs > 1000, "many garbled texts are graphs: {graphs}");
    }
}
