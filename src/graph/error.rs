//! What can be wrong with an operation or with a graph's outputs.

use std::fmt;

use super::{DType, Dims, Name, NodeId, Shape, TensorType};

/// An operation that does not fit its operands: the fault of whoever builds the graph.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{op}{}: {kind}", OperandTypes(.operands))]
pub struct OpError {
    /// Name of the operation in the text form.
    pub op: &'static str,
    /// The operands' types.
    pub operands: Vec<TensorType>,
    /// What is wrong. Boxed, because results with this error are returned everywhere.
    pub kind: Box<OpErrorKind>,
}

crate::error::debug_as_display!(OpError);

impl OpError {
    /// An error of operation `op` applied to operands of the given types.
    pub fn new(op: &'static str, operands: &[&TensorType], kind: OpErrorKind) -> OpError {
        OpError { op, operands: operands.iter().map(|&t| t.clone()).collect(), kind: Box::new(kind) }
    }
}

/// Prints `(f32[2, 3], f32[4])`, and nothing for no operands.
struct OperandTypes<'a>(&'a [TensorType]);

impl fmt::Display for OperandTypes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str("(")?;
        for (i, t) in self.0.iter().enumerate() {
            write!(f, "{}{t}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}

/// The ways in which an operation does not fit its operands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpErrorKind {
    /// Wrong count of operands.
    #[error("takes {expected} operand(s), {given} given")]
    Arity {
        /// Operands that the operation takes.
        expected: usize,
        /// Operands given.
        given: usize,
    },
    /// Two operands must have one element type.
    #[error("operand {position} is {actual}, expected {expected}")]
    DType {
        /// Which operand.
        position: usize,
        /// The element type, or class of them, that the operation takes there.
        expected: String,
        /// Its element type.
        actual: DType,
    },
    /// Two operands must have one shape.
    #[error("operand {position} has shape {actual}, expected {expected}")]
    Shape {
        /// Which operand.
        position: usize,
        /// The shape that it should have.
        expected: Shape,
        /// The shape that it has.
        actual: Shape,
    },
    /// Two shapes that NumPy's rules do not broadcast together.
    #[error("shapes {a} and {b} do not broadcast: axis {axis} from the right has extents {} and {}", .a[.a.rank() - 1 - .axis], .b[.b.rank() - 1 - .axis])]
    Broadcast {
        /// The one shape.
        a: Shape,
        /// The other.
        b: Shape,
        /// The axis, counted from the right, whose extents differ and are both not 1.
        axis: usize,
    },
    /// An axis number beyond the rank.
    #[error("axis {axis} is out of range for rank {rank}")]
    Axis {
        /// The axis number given.
        axis: isize,
        /// The rank of the operand.
        rank: usize,
    },
    /// Axes that must be ascending and distinct.
    #[error("axes {axes:?} are not distinct and ascending")]
    AxisOrder {
        /// The axes given.
        axes: Dims,
    },
    /// A permutation that is none.
    #[error("{permutation:?} is not a permutation of the axes 0..{rank}")]
    Permutation {
        /// The list given.
        permutation: Dims,
        /// The rank of the operand.
        rank: usize,
    },
    /// A reshape that changes the count of elements.
    #[error("cannot reshape {from} ({} elements) to {to} ({} elements)", .from.numel(), .to.checked_numel().map_or("too many".to_owned(), |n| n.to_string()))]
    Reshape {
        /// The operand's shape.
        from: Shape,
        /// The shape asked for.
        to: Shape,
    },
    /// Contracted or batch axes of different extents.
    #[error("axis {lhs_axis} of the left operand has extent {lhs}, axis {rhs_axis} of the right {rhs}")]
    Contraction {
        /// Axis of the left operand.
        lhs_axis: usize,
        /// Its extent.
        lhs: usize,
        /// Axis of the right operand.
        rhs_axis: usize,
        /// Its extent.
        rhs: usize,
    },
    /// A slice that leaves its operand.
    #[error("slice {start}..{end} with step {step} does not fit axis {axis} of extent {extent}")]
    Slice {
        /// The axis.
        axis: usize,
        /// First element.
        start: usize,
        /// End, exclusive.
        end: usize,
        /// Step.
        step: isize,
        /// Extent of the axis.
        extent: usize,
    },
    /// A window that is longer than its axis.
    #[error("a window that spans {span} elements does not fit axis {axis} of extent {extent}")]
    Window {
        /// The axis.
        axis: usize,
        /// Elements from the first to the last of a window.
        span: usize,
        /// Extent of the axis, padding included.
        extent: usize,
    },
    /// A reduction without neutral element over no elements.
    #[error("{reduction} over axes {axes:?} of {shape} has no elements to choose from")]
    EmptyReduction {
        /// `max`, `min` ...
        reduction: &'static str,
        /// The axes.
        axes: Dims,
        /// The operand's shape.
        shape: Shape,
    },
    /// An attribute list of the wrong length.
    #[error("`{attribute}` has {given} entries, expected {expected}")]
    AttributeLength {
        /// Name of the attribute.
        attribute: &'static str,
        /// Entries expected.
        expected: usize,
        /// Entries given.
        given: usize,
    },
    /// A number that the element type cannot hold exactly enough to be meant.
    #[error("the number {number} is not an element of type {dtype}")]
    Number {
        /// The number, as written.
        number: String,
        /// The tensor's element type.
        dtype: DType,
    },
    /// A name that is in use.
    #[error("there is an input or parameter called `{name}` already")]
    DuplicateName {
        /// The name.
        name: Name,
    },
    /// More elements than memory has addresses.
    #[error("the result {ty} has too many elements")]
    TooLarge {
        /// Type of the result.
        ty: TensorType,
    },
    /// A rule special to one operation.
    #[error("{0}")]
    Other(String),
}

/// Outputs or updates that do not fit their graph.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two outputs of one name.
    #[error("there is an output called `{name}` already")]
    DuplicateOutput {
        /// The name.
        name: Name,
    },
    /// Two updates of one parameter.
    #[error("parameter `{name}` has an update already")]
    DuplicateUpdate {
        /// The parameter's name.
        name: Name,
    },
    /// An update of something that is not a parameter.
    #[error("{node} is not a parameter and cannot be updated")]
    UpdateOfNonParam {
        /// The node.
        node: NodeId,
    },
    /// An update of another type than its parameter.
    #[error("parameter `{name}` is {param}, its update {value}")]
    UpdateType {
        /// The parameter's name.
        name: Name,
        /// Its type.
        param: TensorType,
        /// Type of the new value.
        value: TensorType,
    },
}

crate::error::debug_as_display!(GraphError);
