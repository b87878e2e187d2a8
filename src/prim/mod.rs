//! The structural primitives: a closed set of operations, one file each.
//!
//! A file holds all facts of its operation, behind the trait [`Primitive`]: the shape rule, the rules of differentiation in reverse (VJP) and
//! forward mode (JVP), the batching rule, the reference evaluation, what it means to the
//! planner (its [`Lowering`]) and its attributes in the text form. Everything else in the system matches on [`Lowering`], which has fewer kinds than
//! there are operations. To add an operation, write its file and add one line to the list of [`Op`] below.
//!
//! What acts on each element by itself is not here but in the table of scalar functions, [`crate::scalar`]; [`Map`] applies one.

mod arg_reduce;
mod argsort;
mod attrs;
mod barrier;
mod broadcast;
mod cast;
mod cholesky;
mod concat;
mod constant;
mod cumulative;
mod custom;
mod dot;
mod emit;
mod gather;
mod iota;
mod leaf;
mod loops;
mod lu;
mod map;
mod matrices;
mod pad;
mod recurrence;
mod reduce;
mod reshape;
mod routine;
mod rules;
mod scatter;
mod slice;
mod strided;
mod taken;
mod transpose;
mod triangular_solve;
mod unwindow;
mod window;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{Name, NodeId, OpErrorKind, TensorType};
use crate::scalar::ScalarFn;

pub use arg_reduce::{ArgReduce, Extremum};
pub use argsort::Argsort;
pub use attrs::{AttrError, AttrValue, Attrs};
pub use barrier::Barrier;
pub use broadcast::Broadcast;
pub use cast::Cast;
pub(crate) use cast::cast_number;
pub use cholesky::Cholesky;
pub use concat::Concat;
pub use constant::Const;
pub use cumulative::Cumulative;
pub use custom::{Custom, CustomKind, CustomRule};
pub use dot::Dot;
pub use emit::{Emit, Vjp};
pub use gather::Gather;
pub use iota::Iota;
pub use leaf::{Input, Param, ParamKind};
pub use loops::{Body, Keep, Loop, LoopResult, LoopSpec, MAX_DEPTH, Order, Roles};
pub(crate) use loops::{free_name, guard_graph, run_loop, vjp_of_loop};
pub use lu::Lu;
pub use map::Map;
pub use pad::Pad;
pub use recurrence::Recurrence;
pub use reduce::{Reduce, Reduction};
pub use reshape::Reshape;
pub use routine::{Call, Routine, Workspace};
pub(crate) use rules::moved_axis;
pub use rules::{Batch, Jvp, Mode, Tangents};
pub use scatter::{Combine, Scatter};
pub use slice::Slice;
pub use strided::Strided;
pub use taken::Taken;
pub use transpose::Transpose;
pub use triangular_solve::TriangularSolve;
pub use unwindow::Unwindow;
pub use window::{Window, Windows};

/// One cotangent for each operand; `None` where the operand has none (an integer, or no influence).
pub type Cotangents = SmallVec<[Option<NodeId>; 3]>;

/// All facts of one structural operation.
pub trait Primitive: Sized {
    /// The mnemonic in the text form.
    fn name(&self) -> &'static str;

    /// True if `name` is a mnemonic of this operation.
    fn accepts(name: &str) -> bool;

    /// The attributes in the text form, in the order in which they are printed.
    fn attrs(&self) -> Attrs;

    /// The inverse of [`Primitive::attrs`]. `ty` is the type that the text states for the result.
    fn parse(name: &str, attrs: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError>;

    /// The result's type, or why the operands do not fit.
    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind>;

    /// Emits the vector-Jacobian product: the cotangent of each operand, given the result's.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents;

    /// Emits the Jacobian-vector product: the tangent of the result, given the operands'. `None` if it is zero whatever they are. The result is a float
    /// tensor.
    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId>;

    /// Emits the operation applied to every example of a batch; the result has the batch axis first. Operands without a batch axis should not be repeated
    /// where the operation can do without.
    fn batch(&self, cx: &mut Batch<'_>) -> NodeId;

    /// The value for these operands; `ty` is the result's type. Operands are as [`Primitive::infer`] accepts them.
    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array;

    /// What the operation is to the planner.
    fn lowering(&self, operands: &[&TensorType], ty: &TensorType) -> Lowering;

    /// Why the operation has no rule of differentiation in this mode, though another of its kind has. The walks ask before they ask for the rule.
    fn underivable(&self, mode: Mode) -> Option<String> {
        let _ = mode;
        None
    }

    /// True if the operation does not compute with its operands, and so takes those of the [types for storage](crate::DType::is_half) as they are.
    fn takes_halves(&self) -> bool {
        false
    }

    /// The result as a strided view of the operand's memory, if it is one. Only for [`Lowering::View`].
    fn view(&self, operand: &Strided) -> Option<Strided> {
        let _ = operand;
        None
    }

    /// Computes the result. Only for [`Lowering::Routine`], whose results have elements.
    fn run(&self, call: Call<'_>) {
        let _ = call;
        panic!("{} is no routine", self.name());
    }

    /// Emits the operations that the planner is given in the place of this one. Only for [`Lowering::Expand`].
    fn expand(&self, emit: &mut dyn Emit, operands: &[NodeId]) -> NodeId {
        let _ = (emit, operands);
        panic!("{} is an operation of the planner's own", self.name())
    }

    /// The name that the operation declares, for inputs and parameters.
    fn leaf_name(&self) -> Option<&Name> {
        None
    }
}

/// The kinds of operation that the planner knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Lowering {
    /// Memory that the caller provides.
    Leaf,
    /// Numbers known now.
    Const,
    /// The index along an axis.
    Iota {
        /// The axis.
        axis: usize,
    },
    /// The first operand's value.
    Same,
    /// The first operand's value, for uses that come after the other operands.
    Barrier,
    /// A scalar function of each element.
    Map(ScalarFn),
    /// A conversion of each element to the result's type.
    Cast,
    /// The operand's elements in another order: [`Primitive::view`] tells which.
    View,
    /// A fold over axes.
    Reduce {
        /// How two elements combine.
        reduction: Reduction,
        /// The axes folded, ascending.
        axes: crate::graph::Dims,
    },
    /// The position of an extreme element along an axis.
    ArgReduce {
        /// Which extreme.
        extremum: Extremum,
        /// The axis.
        axis: usize,
    },
    /// Operands copied into regions of the result.
    Assemble {
        /// What the elements outside all regions are, if there are any.
        fill: Option<f64>,
        /// For each operand, the strides and offset that lead from its element to the place in the result.
        regions: Vec<Strided>,
    },
    /// A sum of products.
    Dot,
    /// Elements of the first operand, chosen by the second.
    Gather {
        /// Leading axes that both operands share.
        batch: usize,
        /// What stands for elements out of range.
        fill: f64,
    },
    /// The first operand with elements of the third combined in at places chosen by the second.
    Scatter {
        /// Leading axes that all operands share.
        batch: usize,
        /// How they are combined.
        combine: Combine,
        /// Whether sums are kept in double precision until all updates are in.
        wide: bool,
    },
    /// A function of this library on whole tensors: [`Primitive::run`].
    Routine {
        /// The memory that it wants beside its operands and its result.
        workspace: Workspace,
    },
    /// Other operations: [`Primitive::expand`] emits them before the graph is planned. For what the optimizer and the rules of differentiation are to see as
    /// one. An `unwindow` of a product alone is not expanded: the planner adds the product up where its windows overlap.
    Expand,
    /// A result of a loop over a body: [`Op::looped`] tells which.
    Loop,
}

/// What the text form calls the operations. Those of one name are called like their kinds.
pub fn mnemonics() -> impl Iterator<Item = String> {
    let kinds = OpKind::ALL.iter().map(|kind| {
        let mut name = String::new();
        for c in format!("{kind:?}").chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.extend(c.to_lowercase());
        }
        name
    });
    let functions = ScalarFn::ALL.iter().map(|f| f.name().to_owned());
    let several = ["custom_vjp", "checkpoint"].map(str::to_owned);
    kinds.filter(|name| Op::accepts(name)).chain(functions).chain(several)
}

/// Defines [`Op`] and [`OpKind`] and hands each call on to the operation's own file.
macro_rules! ops {
    ($($(#[$doc:meta])* $op:ident($held:ty),)*) => {
        /// An operation of the graph. Two equal operations on equal operands compute the same.
        ///
        /// Passes copy operations from graph to graph, so those with long attributes are shared by their copies.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Op {
            $($(#[$doc])* $op($held),)*
        }

        /// An operation without its attributes: what tables of tests and reports are keyed by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum OpKind {
            $($(#[$doc])* $op,)*
        }

        impl OpKind {
            /// Every kind of operation.
            pub const ALL: &'static [OpKind] = &[$(OpKind::$op,)*];
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Op {
                Op::$op(op.into())
            }
        })*

        /// Hands each call on to the operation's own implementation.
        impl Op {
            /// The operation without its attributes.
            pub fn kind(&self) -> OpKind {
                match self { $(Op::$op(_) => OpKind::$op,)* }
            }

            /// The mnemonic in the text form.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$op(p) => p.name(),)* }
            }

            /// The attributes in the text form.
            pub fn attrs(&self) -> Attrs {
                match self { $(Op::$op(p) => p.attrs(),)* }
            }

            /// The operation that the text form calls `name`.
            ///
            /// # Errors
            /// If there is none of that name, or the attributes are not the ones that it has.
            pub fn parse(name: &str, mut attrs: Attrs, ty: &TensorType) -> Result<Op, AttrError> {
                $(if $op::accepts(name) {
                    let op = $op::parse(name, &mut attrs, ty)?;
                    attrs.finish()?;
                    return Ok(op.into());
                })*
                Err(AttrError::UnknownOp { name: name.to_owned() })
            }

            /// True if the text form calls an operation `name`.
            pub fn accepts(name: &str) -> bool {
                $($op::accepts(name))||*
            }

            /// The result's type.
            ///
            /// # Errors
            /// If the operands do not fit.
            pub fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
                if !self.takes_halves() {
                    refuse_halves(operands)?;
                }
                match self { $(Op::$op(p) => p.infer(operands),)* }
            }

            /// True if the operation takes operands of the types for storage as they are.
            pub fn takes_halves(&self) -> bool {
                match self { $(Op::$op(p) => p.takes_halves(),)* }
            }

            /// Emits the vector-Jacobian product.
            pub fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
                match self { $(Op::$op(p) => p.vjp(cx),)* }
            }

            /// Emits the Jacobian-vector product; `None` if it is zero.
            pub fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
                match self { $(Op::$op(p) => p.jvp(cx),)* }
            }

            /// Emits the operation applied to every example of a batch.
            ///
            /// # Panics
            /// For operations without operands.
            pub fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
                match self { $(Op::$op(p) => p.batch(cx),)* }
            }

            /// The value for these operands.
            ///
            /// # Panics
            /// For inputs and parameters, whose values the engines bind.
            pub fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
                match self { $(Op::$op(p) => p.eval(operands, ty),)* }
            }

            /// What the operation is to the planner.
            pub fn lowering(&self, operands: &[&TensorType], ty: &TensorType) -> Lowering {
                match self { $(Op::$op(p) => p.lowering(operands, ty),)* }
            }

            /// Why there is no rule of differentiation in this mode, if there is none.
            pub fn underivable(&self, mode: Mode) -> Option<String> {
                match self { $(Op::$op(p) => p.underivable(mode),)* }
            }

            /// The result as a strided view of the operand's memory, if it is one.
            pub fn view(&self, operand: &Strided) -> Option<Strided> {
                match self { $(Op::$op(p) => p.view(operand),)* }
            }

            /// Computes the result of a routine.
            pub fn run(&self, call: Call<'_>) {
                match self { $(Op::$op(p) => p.run(call),)* }
            }

            /// Emits the operations that the planner is given in the place of this one. Only for [`Lowering::Expand`].
            ///
            /// # Panics
            /// For operations of another kind.
            pub fn expand(&self, emit: &mut dyn Emit, operands: &[NodeId]) -> NodeId {
                match self { $(Op::$op(p) => p.expand(emit, operands),)* }
            }

            /// The name that the operation declares, for inputs and parameters.
            pub fn leaf_name(&self) -> Option<&Name> {
                match self { $(Op::$op(p) => p.leaf_name(),)* }
            }
        }
    };
}

ops! {
    /// A tensor that every run is given.
    Input(Arc<Input>),
    /// A tensor that lives from run to run and may be updated.
    Param(Arc<Param>),
    /// Numbers known when the graph is built.
    Const(Const),
    /// The index along an axis.
    Iota(Arc<Iota>),
    /// A scalar function of each element.
    Map(Map),
    /// Conversion to another element type.
    Cast(Cast),
    /// A fold over axes.
    Reduce(Reduce),
    /// The position of an extreme element along an axis.
    ArgReduce(ArgReduce),
    /// The order of elements along an axis.
    Argsort(Argsort),
    /// Folds of all beginnings of an axis.
    Cumulative(Cumulative),
    /// A linear recurrence along an axis.
    Recurrence(Recurrence),
    /// Cholesky factors.
    Cholesky(Cholesky),
    /// LU factors with row exchanges.
    Lu(Lu),
    /// Solutions of triangular systems.
    TriangularSolve(TriangularSolve),
    /// Repetition along new axes.
    Broadcast(Arc<Broadcast>),
    /// The same elements, in row-major order, in another shape.
    Reshape(Reshape),
    /// A permutation of the axes.
    Transpose(Transpose),
    /// A rectangular part, with steps.
    Slice(Arc<Slice>),
    /// Elements around and between those of the operand.
    Pad(Arc<Pad>),
    /// Tensors one behind the other along an axis.
    Concat(Concat),
    /// Sum of products over any axes, with batch axes.
    Dot(Arc<Dot>),
    /// Slices chosen by integers.
    Gather(Gather),
    /// Slices combined in at places chosen by integers.
    Scatter(Scatter),
    /// A value that is wanted late.
    Barrier(Barrier),
    /// A value with a derivative of the program's own.
    Custom(Custom),
    /// Windows that slide over axes.
    Window(Arc<Window>),
    /// The sum of overlapping windows.
    Unwindow(Arc<Unwindow>),
    /// A result of a loop over a body.
    Loop(Loop),
}

/// The batching rule of operations without operands: there is none, because no operand can have a batch axis.
pub(crate) fn no_operands() -> ! {
    panic!("an operation without operands is the same for all examples of a batch")
}

/// Fails if an operand is of a type for storage.
fn refuse_halves(operands: &[&TensorType]) -> Result<(), OpErrorKind> {
    match operands.iter().position(|t| t.dtype.is_half()) {
        None => Ok(()),
        Some(position) => {
            let expected = "a type to compute with (f16 and bf16 store; `cast` to f32 first)".to_owned();
            Err(OpErrorKind::DType { position, expected, actual: operands[position].dtype })
        }
    }
}

/// Fails unless there are `expected` operands.
pub(crate) fn arity(operands: &[&TensorType], expected: usize) -> Result<(), OpErrorKind> {
    if operands.len() == expected { Ok(()) } else { Err(OpErrorKind::Arity { expected, given: operands.len() }) }
}

/// Fails unless the axes are ascending, distinct and below `rank`.
pub(crate) fn ascending(axes: &[usize], rank: usize) -> Result<(), OpErrorKind> {
    if let Some(&axis) = axes.iter().find(|&&a| a >= rank) {
        return Err(OpErrorKind::Axis { axis: axis as isize, rank });
    }
    if axes.windows(2).any(|w| w[0] >= w[1]) {
        return Err(OpErrorKind::AxisOrder { axes: SmallVec::from_slice(axes) });
    }
    Ok(())
}

/// Runs `$body` with `$T` an alias of the Rust type of elements of type `$dtype`, which is not one for storage.
macro_rules! with_computed {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            crate::graph::DType::Bool => {
                type $T = bool;
                $body
            }
            crate::graph::DType::U8 => {
                type $T = u8;
                $body
            }
            crate::graph::DType::I32 => {
                type $T = i32;
                $body
            }
            crate::graph::DType::U32 => {
                type $T = u32;
                $body
            }
            crate::graph::DType::I64 => {
                type $T = i64;
                $body
            }
            crate::graph::DType::F32 => {
                type $T = f32;
                $body
            }
            crate::graph::DType::F64 => {
                type $T = f64;
                $body
            }
            half @ (crate::graph::DType::F16 | crate::graph::DType::BF16) => {
                panic!("the shape rule refuses {half}, which is for storage")
            }
        }
    };
}
pub(crate) use with_computed;

/// Evaluates an expression with `$T` standing for the Rust type of a run-time element type.
macro_rules! with_element {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            crate::graph::DType::F16 => {
                type $T = half::f16;
                $body
            }
            crate::graph::DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            other => crate::prim::with_computed!(other, $T => $body),
        }
    };
}
pub(crate) use with_element;

/// The elements of `array`, whose type is known to be `T`.
pub(crate) fn elements<T: crate::array::ArrayElement>(array: &Array) -> &[T] {
    array.as_slice().expect("the graph is well typed")
}

/// An array whose element count is known to fit.
pub(crate) fn array<T: crate::array::ArrayElement>(ty: &TensorType, elements: Vec<T>) -> Array {
    Array::new(ty.shape.clone(), elements).expect("an evaluation yields as many elements as its type has")
}
