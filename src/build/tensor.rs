//! The handle on a node.

use std::fmt;

use smallvec::SmallVec;

use crate::graph::{DType, Graph, Name, NodeId, OpError, OpErrorKind, Shape, TensorType};
use crate::prim::{Broadcast, Map, Reshape};
use crate::scalar::ScalarFn;

use super::Builder;

/// A node of a graph under construction. A small `Copy` handle that borrows its [`Builder`].
///
/// Arithmetic is by operators, with tensors and with numbers on either side; shapes broadcast by NumPy's rules.
#[derive(Clone, Copy)]
pub struct Tensor<'g> {
    pub(super) builder: &'g Builder,
    pub(super) id: NodeId,
    /// The number of the frame whose node it is.
    pub(super) frame: u32,
}

impl<'g> Tensor<'g> {
    /// Element type and shape.
    #[track_caller]
    pub fn ty(self) -> TensorType {
        self.in_graph(|graph| graph.ty(self.id).clone())
    }

    /// The extents.
    #[track_caller]
    pub fn shape(self) -> Shape {
        self.ty().shape
    }

    /// The element type.
    #[track_caller]
    pub fn dtype(self) -> DType {
        self.in_graph(|graph| graph.ty(self.id).dtype)
    }

    /// Number of axes.
    #[track_caller]
    pub fn rank(self) -> usize {
        self.in_graph(|graph| graph.shape(self.id).rank())
    }

    /// The name of an input or parameter; `None` for what is computed.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let (x, w, b) = (g.input("x", f32([2])), g.param("gen.w", f32([2])), g.param("disc.b", f32([])));
    /// assert_eq!(x.name().as_deref(), Some("x"));
    /// assert_eq!((x * w + b).name(), None);
    /// let named = |p: &Tensor<'_>| p.name().is_some_and(|name| name.starts_with("gen."));
    /// let generator: Vec<Tensor<'_>> = g.params().into_iter().filter(named).collect(); // for `minimize_wrt`
    /// assert_eq!(generator.len(), 1);
    /// ```
    #[track_caller]
    pub fn name(self) -> Option<Name> {
        self.in_graph(|graph| graph.op(self.id).leaf_name().cloned())
    }

    /// The node's number in the builder's graph, or in the body of a loop if it is a tensor of its closure.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The number of the frame whose node it is, and the node: no two values of a builder have the same.
    #[cfg(feature = "onnx")]
    pub(crate) fn key(self) -> (u32, NodeId) {
        (self.frame, self.id)
    }

    /// The builder that owns the node.
    pub fn builder(self) -> &'g Builder {
        self.builder
    }

    /// Panics at the caller's line: operation `op` of this tensor, and of others, does not fit.
    #[track_caller]
    pub(super) fn refuse(self, op: &'static str, others: &[Tensor<'g>], kind: OpErrorKind) -> ! {
        let operands: SmallVec<[Tensor<'g>; 4]> = std::iter::once(self).chain(others.iter().copied()).collect();
        let types: SmallVec<[TensorType; 4]> = operands.iter().map(|t| t.ty()).collect();
        let error = OpError::new(op, &types.iter().collect::<SmallVec<[&TensorType; 4]>>(), kind);
        match self.builder.check::<std::convert::Infallible>(Err(error), &operands) {}
    }

    /// Applies a scalar function to each element, as it is written; the operands broadcast. [`Tensor::function`] has stable forms of formulas.
    #[track_caller]
    pub(crate) fn map(f: ScalarFn, operands: &[Tensor<'g>]) -> Tensor<'g> {
        let builder = operands[0].builder;
        let shape = builder.check(broadcast_shapes(f.name(), operands), operands);
        // A loop, because closures do not hand on the caller's line.
        let mut repeated: SmallVec<[Tensor<'g>; 3]> = SmallVec::new();
        for operand in operands {
            repeated.push(operand.broadcast_to(shape.clone()));
        }
        builder.push(Map { f }, &repeated)
    }

    /// The tensor repeated to `shape`, by NumPy's rules: axes of extent 1 stretch, and new axes come in front.
    ///
    /// # Panics
    /// If the shapes do not broadcast to `shape`.
    #[doc(alias = "expand")]
    #[doc(alias = "expand_as")]
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Tensor<'g> {
        let (from, to) = (self.shape(), shape.into());
        if from == to {
            return self;
        }
        let fits = from.rank() <= to.rank() && from.iter().rev().zip(to.iter().rev()).all(|(&f, &t)| f == t || f == 1);
        if !fits {
            let kind = OpErrorKind::Other(format!("shape {from} does not broadcast to {to}"));
            self.builder.check(Err(OpError::new("broadcast", &[&self.ty()], kind)), &[self])
        }
        let new = to.rank() - from.rank();
        let stretched = |axis: usize| axis < new || from[axis - new] != to[axis];
        let axes: crate::graph::Dims = (0..to.rank()).filter(|&a| stretched(a)).collect();
        let kept = to.without(&axes);
        let squeezed = if kept == from { self } else { self.builder.push(Reshape { shape: kept }, &[self]) };
        if axes.is_empty() { squeezed } else { self.builder.push(Broadcast { shape: to, axes }, &[squeezed]) }
    }
}

/// The shape to which all operands broadcast.
fn broadcast_shapes(op: &'static str, operands: &[Tensor<'_>]) -> Result<Shape, OpError> {
    let types: SmallVec<[TensorType; 3]> = operands.iter().map(|t| t.ty()).collect();
    let joined = types[1..].iter().try_fold(types[0].shape.clone(), |shape, ty| join(&shape, &ty.shape));
    joined.map_err(|kind| OpError::new(op, &types.iter().collect::<SmallVec<[&TensorType; 3]>>(), kind))
}

/// The shape to which two shapes broadcast.
pub(super) fn join(a: &Shape, b: &Shape) -> Result<Shape, OpErrorKind> {
    let extent = |s: &Shape, from_right: usize| {
        if from_right < s.rank() { s[s.rank() - 1 - from_right] } else { 1 }
    };
    let joined = |axis: usize| match (extent(a, axis), extent(b, axis)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        _ => Err(OpErrorKind::Broadcast { a: a.clone(), b: b.clone(), axis }),
    };
    (0..a.rank().max(b.rank())).rev().map(joined).collect()
}

impl fmt::Debug for Tensor<'_> {
    /// Prints the node as in the text form, with its origin: `%2 = add %0, %1 : f32[3]  ; model.rs:14`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |graph: &Graph| {
            let (node, mut text) = (graph.node(self.id), graph.node_text(self.id).to_string());
            // The elements of a large constant are nothing to read.
            if text.len() > 200 {
                text = format!("{} = {} : {}", self.id, node.op.name(), node.ty);
            }
            format!("{text}  ; {}", node.origin)
        };
        let text = self.builder.with_graph(self.frame, text);
        f.write_str(text.as_deref().unwrap_or("a tensor of the body of a loop"))
    }
}
