//! Graphs as mathematics: formulas over the named inputs and parameters, as text or in LaTeX, and the steps by which differentiation found them.
//!
//! ```text
//!   Graph --read--> Forms --naming--> parts with names --write--> text, LaTeX
//!   as written      normal form, composites found again (recognize)
//! ```
//!
//! ```
//! use cotangent::prelude::*;
//!
//! let g = Builder::new();
//! let (x, y) = (g.input("X", f32([50, 64])), g.input("y", i32([50])));
//! let (w1, w2) = (g.param("W1", init::he([64, 100], 0)), g.param("W2", init::he([100, 10], 1)));
//! let loss = x.dot(w1).relu().dot(w2).cross_entropy(y).mean();
//!
//! let math = loss.gradients_to_math(&[w1, w2]).extent("m", 50);
//! assert_eq!(math.to_string(), "\
//! ∂/∂W₁ = 1/m · Xᵀ ((S − I_y) W₂ᵀ ∘ 1[X W₁ > 0])
//! ∂/∂W₂ = 1/m · relu(X W₁)ᵀ (S − I_y)
//! where S = softmax(relu(X W₁) W₂)
//!       m = 50
//! ");
//! ```
//!
//! # Notation
//!
//! | written | means |
//! |---|---|
//! | `A B`, `Aᵀ` | the product of matrices, the last two axes exchanged; of stacks of matrices, of each |
//! | `A ∘ B`, `A / B`, `A²`, `f(A)` | of each element |
//! | `c · A` | a number times each element; a number beside a tensor in a sum stands for one in each element |
//! | `Σᵢ(A)`, `meanⱼ(A)`, `maxⱼ(A)`, `varⱼ(A)` | folds over the axes of `A` that the letters `i j k l m n` name in order; the axes are gone |
//! | `softmax(A)`, `logsumexp(A)` | over the last axis, or the one that is named |
//! | `v 𝟏ᵀ`, `𝟏 vᵀ` | a vector in every column, in every row; for other shapes `repeatᵢ[shape](A)` along new axes |
//! | `1[A > 0]` | 1 where the condition holds, else 0; a letter in it is the index along that axis |
//! | `I_y` | the labels as rows that are 1 at the label and else 0 |
//! | `Z[i, y]`, `E[y]`, `A[0:5, 1:3]` | elements chosen by an index; rows; a part |
//! | `where(c, a, b)` | `a` where the condition holds, else `b` |
//! | `scan₁.carry₀(h, xs, W)`, `while₁...`, `if₁...` | what a loop leaves in its first carry; `scan₁.y₀(...)`: what each trip gives, in rows. Below the formulas, `scan₁(carry₀, slice₀, W)` tells by which names a trip calls these arguments, and what it does |
//! | `⟨a b⟩` | a leaf whose name would be read as something else |
//!
//! All other operations are written as functions, by their names and attributes in the text form. Formulas are about real numbers: what computes the
//! same but for rounding, overflow and NaN is written the same, so the number that softmax subtracts from a row is not there, nor what it
//! gives for a row of −∞, and floats of both widths
//! and integers look alike.

mod derivation;
mod form;
mod loops;
mod naming;
mod notation;
mod read;
mod recognize;
mod write;

use std::fmt;

use crate::build::{Program, Tensor};
use crate::graph::{DType, Graph, NodeId};
use crate::opt::{OptOptions, optimize};
use crate::prim::Op;

use form::{FormId, Forms};
use loops::Loops;
use read::Reader;
use write::{Style, Writer};

pub use derivation::{Derivation, Step};

/// The left side of an equation.
#[derive(Clone, Debug)]
enum Left {
    /// Nothing: the formula stands alone.
    Nothing,
    /// A result.
    Name(String),
    /// The derivative of the loss by a leaf.
    Gradient(String),
    /// The new value of a parameter.
    Update(String),
    /// A condition, after this word.
    Condition(&'static str),
}

/// Formulas with the definitions that they share. Prints as text.
#[derive(Clone, Debug)]
pub struct Math {
    forms: Forms,
    equations: Vec<(Left, FormId)>,
    extents: Vec<(String, usize)>,
    counts: Vec<usize>,
    single: bool,
    /// What the trips of loops do.
    loops: Vec<loops::Told>,
}

impl Math {
    fn of(graph: &Graph, equations: impl IntoIterator<Item = (Left, NodeId)>) -> Math {
        let mut reader = Reader::new(graph);
        reader.loops = Some(Loops::default());
        let equations = equations.into_iter().map(|(left, node)| (left, reader.form(node))).collect();
        // How many examples there are.
        let inputs = graph.ids().filter(|&id| matches!(graph.op(id), Op::Input(_)));
        let mut counts: Vec<usize> = inputs.filter_map(|id| graph.shape(id).first().copied()).collect();
        counts.retain(|n| *n > 2);
        counts.sort_unstable();
        counts.dedup();
        let single = graph.ids().all(|id| graph.ty(id).dtype != DType::F64);
        let loops = reader.loops.map_or_else(Vec::new, Loops::told);
        Math { forms: reader.forms, equations, extents: Vec::new(), counts, single, loops }
    }

    /// Calls a count by a name: `1/m` instead of `1/50`. The name is defined below the formulas where it occurs.
    pub fn extent(mut self, name: &str, count: usize) -> Math {
        self.extents.push((name.to_owned(), count));
        self
    }

    /// The formulas in LaTeX, as the lines of an `align*`.
    pub fn latex(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            let lines = self.lines(Style::Latex);
            writeln!(f, r"\begin{{align*}}")?;
            for (i, line) in lines.iter().enumerate() {
                writeln!(f, "{line}{}", if i + 1 < lines.len() { r" \\" } else { "" })?;
            }
            writeln!(f, r"\end{{align*}}")
        })
    }

    /// Equations, then definitions.
    fn lines(&self, style: Style) -> Vec<String> {
        let roots: Vec<FormId> = self.equations.iter().map(|e| e.1).collect();
        let naming = naming::name(&self.forms, &roots);
        let (extents, counts) = (&self.extents[..], &self.counts[..]);
        let writer = Writer { forms: &self.forms, naming: &naming, style, extents, counts, single: self.single };
        let equals = if style == Style::Text { " = " } else { " &= " };
        let mut lines: Vec<String> = Vec::new();
        for (left, form) in &self.equations {
            let right = writer.define(*form);
            lines.push(match left {
                Left::Nothing => {
                    if style == Style::Text {
                        right
                    } else {
                        format!("& {right}")
                    }
                }
                Left::Name(name) => format!("{}{equals}{right}", writer.name(name)),
                Left::Gradient(by) if style == Style::Text => format!("∂/∂{}{equals}{right}", writer.name(by)),
                Left::Gradient(by) => format!(r"\frac{{\partial}}{{\partial {}}}{equals}{right}", writer.name(by)),
                Left::Update(name) if style == Style::Text => format!("{} ← {right}", writer.name(name)),
                Left::Update(name) => format!(r"{} &\leftarrow {right}", writer.name(name)),
                Left::Condition(word) if style == Style::Text => format!("{word} {right}"),
                Left::Condition(word) => format!(r"& \text{{{word} }}{right}"),
            });
        }
        let mut definitions: Vec<String> = Vec::new();
        for &id in &naming.order {
            definitions.push(format!("{}{equals}{}", writer.name(&naming.names[&id]), writer.define(id)));
        }
        let used = |name: &str| lines.iter().chain(&definitions).any(|l| mentions(l, &writer.name(name)));
        let counts: Vec<_> = self.extents.iter().filter(|(name, _)| used(name)).collect();
        definitions.extend(counts.iter().map(|(name, n)| format!("{}{equals}{n}", writer.name(name))));
        let first = lines.len();
        lines.extend(definitions);
        for (i, line) in lines.iter_mut().enumerate().skip(first) {
            *line = match style {
                Style::Text => format!("{}{line}", if i == first { "where " } else { "      " }),
                Style::Latex => format!("{}{line}", if i == first { r"\text{where } " } else { "" }),
            };
        }
        lines.extend(self.loops.iter().flat_map(|told| told.lines(&writer)));
        lines
    }
}

/// True if the line divides by this name.
fn mentions(line: &str, name: &str) -> bool {
    let forms = [format!("1/{name} "), format!(" · {name})"), format!("{{{name}}}"), format!(" {name}}}")];
    line.ends_with(&format!("1/{name}")) || forms.iter().any(|form| line.contains(form))
}

impl fmt::Display for Math {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines(Style::Text).iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Graph {
    /// All outputs and updates as formulas of this graph as it is. The formulas of an optimized graph are the shorter ones.
    pub fn to_math(&self) -> Math {
        let outputs = self.outputs().iter().map(|o| (Left::Name(o.name.to_string()), o.node));
        let name = |param| match self.op(param) {
            Op::Param(p) => p.name.to_string(),
            _ => param.to_string(),
        };
        let updates = self.updates().iter().map(|u| (Left::Update(name(u.param)), u.value));
        Math::of(self, outputs.chain(updates))
    }

    /// One node as a formula of the inputs and parameters.
    ///
    /// # Panics
    /// If the graph has no such node.
    pub fn node_to_math(&self, node: NodeId) -> Math {
        assert!(self.contains(node), "there is no node {node} in a graph of {} nodes", self.len());
        Math::of(self, [(Left::Nothing, node)])
    }
}

impl Program {
    /// All results and updates as formulas, after optimization.
    pub fn to_math(&self) -> Math {
        optimize(&self.graph, &OptOptions::default()).graph.to_math()
    }
}

impl<'g> Tensor<'g> {
    /// The tensor as a formula of the inputs and parameters, after optimization.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let (x, w) = (g.input("X", f32([8, 3])), g.param("w", init::zeros([3])));
    /// let y = g.input("y", f32([8]));
    /// assert_eq!(x.dot(w).mse(y).to_math().to_string(), "meanᵢ((X w − y)²)\n");
    /// ```
    ///
    /// # Panics
    /// If the tensor lives in the closure of a loop.
    #[track_caller]
    pub fn to_math(self) -> Math {
        let mut math = self.builder().program(&[("it", self)]).to_math();
        math.equations[0].0 = Left::Nothing;
        math
    }

    /// The gradients of this scalar by each of `wrt` as formulas, after optimization.
    ///
    /// # Panics
    /// As [`Builder::grad`](crate::Builder::grad), and if one of `wrt` occurs twice.
    #[track_caller]
    pub fn gradients_to_math(self, wrt: &[Tensor<'g>]) -> Math {
        let gradients = self.builder().grad_all(self, wrt);
        let name = |t: &Tensor<'_>| {
            let graph = t.builder().graph();
            graph.op(t.id()).leaf_name().map_or_else(|| t.id().to_string(), |n| n.to_string())
        };
        let names: Vec<String> = wrt.iter().map(name).collect();
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(gradients).collect();
        let mut math = self.builder().program(&outputs).to_math();
        for (equation, name) in math.equations.iter_mut().zip(names) {
            equation.0 = Left::Gradient(name);
        }
        math
    }
}
