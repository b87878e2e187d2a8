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

mod cursor;

use std::str::FromStr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::prim::{AttrError, Body, MAX_DEPTH, Op};

use super::{Graph, GraphError, NodeId, OpError, Operands, Origin, Source, TensorType};

use cursor::Cursor;

/// A text that is no graph: the fault of whoever wrote it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

crate::error::debug_as_display!(ParseError);

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
    parse_with(text, None)
}

/// Reads a graph as [`parse`] does, from a file of this name: nodes whose comments tell no origin come from their lines in it.
///
/// # Errors
/// As [`parse`].
pub fn parse_file(text: &str, file: &str) -> Result<Graph, ParseError> {
    parse_with(text, Some(file.into()))
}

fn parse_with(text: &str, file: Option<Arc<str>>) -> Result<Graph, ParseError> {
    let mut parser = Parser { file, ..Parser::default() };
    let mut lines = 0;
    for (index, line) in text.lines().enumerate() {
        parser.number = u32::try_from(index + 1).unwrap_or(u32::MAX);
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
    /// The file that the text is of, if it is of one.
    file: Option<Arc<str>>,
    /// The number of the line, from 1.
    number: u32,
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
        let origin = match (c.end_of_node()?, &self.file) {
            (origin, Some(file)) if origin.is_unknown() => {
                Origin { source: Source::Text(file.clone(), self.number), ..origin }
            }
            (origin, _) => origin,
        };

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

#[cfg(test)]
mod tests;
