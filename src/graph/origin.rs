//! Where a node comes from: the user's line or the node of his model, the rules of differentiation and batching, the rewrites.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::{Name, NodeId};

/// A place in the user's source.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// Nothing is known.
    #[default]
    Unknown,
    /// The caller of the builder's method.
    Caller(&'static Location<'static>),
    /// A file and line read from the text form.
    Text(Arc<str>, u32),
    /// A node of a model that was imported.
    Node {
        /// What it does: `Gather`, or `input` and `initializer` of what is no node.
        operator: Name,
        /// Its name in the model, or that of its first result.
        name: Name,
    },
}

impl Source {
    /// True for one line, or for one node of a model: the same, not only an equal one.
    pub(crate) fn is(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Caller(a), Source::Caller(b)) => std::ptr::eq(*a, *b),
            (Source::Node { name: a, .. }, Source::Node { name: b, .. }) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// File and line, if known. The file is without its folders.
    pub fn file_line(&self) -> Option<(&str, u32)> {
        let (path, line) = match self {
            Source::Unknown | Source::Node { .. } => return None,
            Source::Caller(l) => (l.file(), l.line()),
            Source::Text(file, line) => (&**file, *line),
        };
        Some((path.rsplit(['/', '\\']).next().unwrap_or(path), line))
    }
}

impl fmt::Display for Source {
    /// Prints `mlp.rs:14`, `Gather "/embed/Gather"`, or `?` if nothing is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.file_line()) {
            (Source::Node { operator, name }, _) => write!(f, "{} {name:?}", Bare(operator)),
            (_, Some((file, line))) => write!(f, "{}:{line}", Bare(file)),
            (_, None) => f.write_str("?"),
        }
    }
}

/// Prints a word bare where the text form allows it, else in quotes.
struct Bare<'a>(&'a str);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'+' | b'-' | b'/');
        if !self.0.is_empty() && self.0.bytes().all(bare) { f.write_str(self.0) } else { write!(f, "{:?}", self.0) }
    }
}

/// "Made by `rule` from node `of`". The node is one of the graph in which the rule ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// Name of the rule.
    pub rule: Cow<'static, str>,
    /// The node that the rule was applied to.
    pub of: NodeId,
}

/// The history of a node. A gradient node keeps the source line of the forward node, a rewritten node the whole history of the node it replaces.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The user's line, or the node of his model.
    pub source: Source,
    /// The composite that the node is a part of, with those inside it: `attention/softmax`.
    pub composite: Option<Name>,
    /// The VJP rule and the forward node, for nodes that differentiation made.
    pub vjp: Option<Derivation>,
    /// The JVP rule and the node whose tangent is taken, for nodes that forward-mode differentiation made.
    pub jvp: Option<Derivation>,
    /// The batching rule and the node for one example, for nodes that work on batches.
    pub vmap: Option<Derivation>,
    /// The last rewrite and the node it replaced, for nodes that the optimizer made.
    pub rewrite: Option<Derivation>,
}

impl Origin {
    /// The caller of the function that calls this one.
    #[track_caller]
    pub fn caller() -> Origin {
        Origin { source: Source::Caller(Location::caller()), ..Origin::default() }
    }

    /// True if there is no line, no composite, no rule and no rewrite to tell of.
    pub fn is_unknown(&self) -> bool {
        let derived = self.derivations().any(|(_, d)| d.is_some());
        matches!(self.source, Source::Unknown) && self.composite.is_none() && !derived
    }

    /// The derivations, in the order of printing.
    fn derivations(&self) -> impl Iterator<Item = (&'static str, &Option<Derivation>)> {
        [("vjp", &self.vjp), ("jvp", &self.jvp), ("vmap", &self.vmap), ("rewrite", &self.rewrite)].into_iter()
    }

    /// The origin of a node that VJP rule `rule` of node `of` made.
    pub fn with_vjp(&self, rule: &'static str, of: NodeId) -> Origin {
        Origin { vjp: Some(Derivation { rule: rule.into(), of }), ..self.clone() }
    }

    /// The origin of a node that JVP rule `rule` of node `of` made.
    pub fn with_jvp(&self, rule: &'static str, of: NodeId) -> Origin {
        Origin { jvp: Some(Derivation { rule: rule.into(), of }), ..self.clone() }
    }

    /// The origin of a node that batching rule `rule` of node `of` made.
    pub fn with_vmap(&self, rule: &'static str, of: NodeId) -> Origin {
        Origin { vmap: Some(Derivation { rule: rule.into(), of }), ..self.clone() }
    }

    /// The origin of a node that rewrite `rule` made in place of node `of`.
    pub fn with_rewrite(&self, rule: &'static str, of: NodeId) -> Origin {
        Origin { rewrite: Some(Derivation { rule: rule.into(), of }), ..self.clone() }
    }
}

impl fmt::Display for Origin {
    /// Prints what is known, as in the text form: `mlp.rs:14 in(softmax) vjp(div %5) rewrite(fuse %7)`, `Gather "/embed/Gather"`; `?` if
    /// nothing is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        if !matches!(self.source, Source::Unknown) || self.is_unknown() {
            write!(f, "{}", self.source)?;
            space = " ";
        }
        if let Some(composite) = &self.composite {
            write!(f, "{space}in({})", Bare(composite))?;
            space = " ";
        }
        for (what, derivation) in self.derivations() {
            if let Some(Derivation { rule, of }) = derivation {
                write!(f, "{space}{what}({} {of})", Bare(rule))?;
                space = " ";
            }
        }
        Ok(())
    }
}
