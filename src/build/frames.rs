//! Frames: graphs inside graphs, while the bodies of loops are written.
//!
//! ```text
//!   g.scan(h0, xs, |h, x| ..)      opens a frame: an empty graph, in which the closure's operations go
//!     x.dot(w)                     w is of the frame around: an input of the body stands for it from here on, and the loop passes w on as an invariant
//!   end of the closure             closes the frame: its graph is the body
//! ```
//!
//! Every frame has a number that no other frame of the builder has, and every tensor knows its frame's. A tensor can be used in its frame and in frames
//! inside it; one of a frame that has been closed cannot be used any more.

use rustc_hash::FxHashMap;

use crate::graph::{Graph, Name, NodeId, OpErrorKind};
use crate::prim::{Input, Op, free_name};

use super::{Builder, Tensor, describe_node};

/// The number of the outermost frame.
pub(crate) const OUTERMOST: u32 = 0;

/// The open frames. The innermost frame's graph is [`Builder::graph`](super::Builder).
#[derive(Default)]
pub(super) struct Frames {
    /// The innermost frame.
    here: Captured,
    /// The frames around it, outermost first.
    around: Vec<(Graph, Captured)>,
    /// How many frames have been opened.
    opened: u32,
}

/// A frame's number, and what it has taken from the frame around it.
#[derive(Default)]
struct Captured {
    number: u32,
    /// The tensors taken, in the order of their inputs.
    list: Vec<NodeId>,
    /// The input that stands for each.
    inputs: FxHashMap<NodeId, NodeId>,
}

impl Captured {
    /// The input that stands for a node of the graph around this one.
    fn input(&mut self, graph: &mut Graph, around: &Graph, id: NodeId) -> NodeId {
        if let Some(&input) = self.inputs.get(&id) {
            return input;
        }
        let node = around.node(id);
        let wish: Name = node.op.leaf_name().cloned().unwrap_or_else(|| format!("outer{}", id.index()).into());
        let op = Input { name: free_name(graph, &wish), ty: node.ty.clone() };
        let input = graph.push(op, &[], node.origin.clone()).expect("the name is free");
        self.list.push(id);
        self.inputs.insert(id, input);
        input
    }
}

/// An open frame. Dropping it, as in a panic, closes the frame and forgets what is in it.
pub(super) struct Frame<'g> {
    builder: &'g Builder,
    open: bool,
}

impl Frame<'_> {
    /// Closes the frame: its graph, and the nodes of the frame around it for which its last inputs stand.
    pub(super) fn close(mut self) -> (Graph, Vec<NodeId>) {
        self.open = false;
        self.builder.leave()
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        if self.open {
            self.builder.leave();
        }
    }
}

impl Builder {
    /// Opens a frame.
    pub(super) fn enter(&self) -> Frame<'_> {
        let mut frames = self.frames.borrow_mut();
        let graph = self.graph.take();
        let here = std::mem::take(&mut frames.here);
        frames.around.push((graph, here));
        frames.opened += 1;
        frames.here.number = frames.opened;
        Frame { builder: self, open: true }
    }

    fn leave(&self) -> (Graph, Vec<NodeId>) {
        let mut frames = self.frames.borrow_mut();
        let (graph, captured) = frames.around.pop().expect("the outermost frame stays open");
        let inner = std::mem::replace(&mut frames.here, captured);
        (self.graph.replace(graph), inner.list)
    }

    /// The handle on a node of the innermost frame.
    pub(super) fn handle(&self, id: NodeId) -> Tensor<'_> {
        Tensor { builder: self, id, frame: self.frame() }
    }

    /// The handle on a node of the outermost graph.
    #[cfg(feature = "onnx")]
    pub(crate) fn outermost(&self, id: NodeId) -> Tensor<'_> {
        Tensor { builder: self, id, frame: OUTERMOST }
    }

    /// The number of the innermost frame.
    pub(crate) fn frame(&self) -> u32 {
        self.frames.borrow().here.number
    }

    /// Panics inside the body of a loop, where `method` makes no sense.
    #[track_caller]
    pub(super) fn expect_outermost(&self, method: &str) {
        assert!(self.frames.borrow().around.is_empty(), "{method}: called while the body of a loop is being written");
    }

    /// Appends a leaf to the outermost graph.
    #[track_caller]
    pub(super) fn push_outermost(&self, op: impl Into<Op>) -> Tensor<'_> {
        let mut frames = self.frames.borrow_mut();
        let result = match frames.around.first_mut() {
            Some((outermost, _)) => outermost.push(op, &[], self.origin()),
            None => self.graph.borrow_mut().push(op, &[], self.origin()),
        };
        drop(frames);
        match result {
            Ok(id) => Tensor { builder: self, id, frame: OUTERMOST },
            Err(error) => {
                let first = match &*error.kind {
                    OpErrorKind::DuplicateName { name } => self.with_graph(OUTERMOST, |graph| {
                        graph.find(name).map(|id| format!("\n  the first: {}", describe_node(graph, id)))
                    }),
                    _ => None,
                };
                panic!("{}{}", self.describe(&error, &[]), first.flatten().unwrap_or_default())
            }
        }
    }

    /// Calls `f` with the graph of an open frame; `None` if the frame has been closed.
    pub(super) fn with_graph<R>(&self, frame: u32, f: impl FnOnce(&Graph) -> R) -> Option<R> {
        let frames = self.frames.borrow();
        if frames.here.number == frame {
            return Some(f(&self.graph.borrow()));
        }
        frames.around.iter().find(|a| a.1.number == frame).map(|a| f(&a.0))
    }

    /// The tensor as a node of the innermost frame.
    #[track_caller]
    pub(super) fn own(&self, tensor: Tensor<'_>) -> NodeId {
        if !std::ptr::eq(tensor.builder, self) {
            panic!("{}, belongs to another builder", tensor.describe());
        }
        let mut frames = self.frames.borrow_mut();
        let frames = &mut *frames;
        if tensor.frame == frames.here.number {
            return tensor.id;
        }
        let Some(at) = frames.around.iter().position(|a| a.1.number == tensor.frame) else {
            panic!("a tensor of the body of a loop is used outside of it: return it from the closure");
        };
        let mut id = tensor.id;
        for depth in at + 1..frames.around.len() {
            let (outer, inner) = frames.around.split_at_mut(depth);
            let (graph, captured) = &mut inner[0];
            id = captured.input(graph, &outer[depth - 1].0, id);
        }
        let around = &frames.around[frames.around.len() - 1].0;
        frames.here.input(&mut self.graph.borrow_mut(), around, id)
    }
}

impl Tensor<'_> {
    /// What the tensor is and where it was built.
    pub(super) fn describe(self) -> String {
        let text = self.builder.with_graph(self.frame, |graph| describe_node(graph, self.id));
        text.unwrap_or_else(|| "a tensor of the body of a loop".to_owned())
    }

    /// Calls `f` with the graph that the tensor is a node of.
    #[track_caller]
    pub(crate) fn in_graph<R>(self, f: impl FnOnce(&Graph) -> R) -> R {
        match self.builder.with_graph(self.frame, f) {
            Some(result) => result,
            None => panic!("a tensor of the body of a loop is used outside of it: return it from the closure"),
        }
    }
}
