//! The builder: how a program writes a graph.
//!
//! ```text
//!   Builder        owns the graph under construction and the parameters' initial values
//!   Tensor<'g>     a Copy handle on one of its nodes; all operations are its methods
//!   Program        the finished graph, ready to be compiled or interpreted
//! ```
//!
//! A method that is called with shapes or element types that do not fit panics at the caller's line: such a call is a mistake in the program, as an index
//! out of range is. Code that builds graphs from data uses the fallible [`Builder::try_push`], or [`Graph::push`] itself.

mod activation;
mod arith;
mod attention;
mod composite;
mod conv;
mod cumulative;
mod custom;
mod einsum;
mod frames;
mod halves;
pub mod indexing;
pub mod init;
mod joining;
mod linalg;
mod loops;
mod loss;
mod matrix;
mod movement;
mod norm;
mod pool;
mod products;
mod random;
mod reduce;
mod resize;
mod scope;
mod slicing;
mod sort;
mod stable;
mod tensor;
mod tensors;
mod transform;
mod window;

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::array::Array;
use crate::grad;
use crate::graph::{
    Graph, GraphError, Name, NodeId, OpError, OpErrorKind, Operands, Origin, Shape, Source, TensorType,
};
use crate::prim::{Const, Input, Iota, Op, Param, ParamKind};

pub use arith::Operand;
pub use attention::Attention;
pub use conv::Conv;
pub use cumulative::CumulativeOptions;
pub(crate) use frames::OUTERMOST;
pub use init::Init;
pub use linalg::TriangularOptions;
pub use loops::Scan;
pub use loss::{CrossEntropy, LossReduction};
pub use movement::INFER;
pub use norm::BatchNorm;
pub use pool::Pool;
pub use random::Key;
pub use reduce::IntoAxes;
pub use resize::Interpolation;
pub use slicing::PadMode;
pub use tensor::Tensor;
pub use tensors::Tensors;
pub(crate) use transform::Function;
pub use window::{Layout, Padding, PerAxis};

/// A graph under construction.
///
/// ```
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let x = g.input("x", f32([3]));
/// let y = (x * x).sum();
/// let [dx] = g.grad(y, [x]);
/// assert_eq!(dx.shape()[..], [3]);
/// ```
pub struct Builder {
    /// A number that no other builder of the process has.
    token: u64,
    /// The graph under construction, or while the body of a loop is being written, that.
    graph: RefCell<Graph>,
    initial: RefCell<BTreeMap<Name, Arc<Array>>>,
    /// The bodies of loops that are being written.
    frames: RefCell<frames::Frames>,
    /// The composite that is being built.
    call: RefCell<Option<scope::Call>>,
    /// The node of a model that is being imported.
    source: RefCell<Option<Source>>,
    /// The origin of the last node.
    origin: RefCell<Arc<Origin>>,
    /// Which nodes stand for formulas that were recognised.
    records: RefCell<stable::Records>,
}

impl Builder {
    /// A builder with an empty graph.
    pub fn new() -> Builder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let token = NEXT.fetch_add(1, Ordering::Relaxed);
        Builder {
            token,
            graph: RefCell::default(),
            initial: RefCell::default(),
            call: RefCell::default(),
            source: RefCell::default(),
            origin: RefCell::default(),
            frames: RefCell::default(),
            records: RefCell::default(),
        }
    }

    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// A tensor that every run is given under this name.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn input(&self, name: &str, ty: TensorType) -> Tensor<'_> {
        self.push_outermost(Input { name: name.into(), ty })
    }

    /// A tensor that is learned: it lives from run to run and optimizers update it.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn param(&self, name: &str, initial: impl Into<Init>) -> Tensor<'_> {
        self.declare(name, initial.into(), ParamKind::Trainable)
    }

    /// A tensor that lives from run to run but is not learned, such as a running mean.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn state(&self, name: &str, initial: impl Into<Init>) -> Tensor<'_> {
        self.declare(name, initial.into(), ParamKind::State)
    }

    #[track_caller]
    fn declare(&self, name: &str, initial: Init, kind: ParamKind) -> Tensor<'_> {
        let name: Name = name.into();
        let tensor = self.push_outermost(Param { name: name.clone(), ty: initial.ty().clone(), kind });
        if !initial.is_zero() {
            self.initial.borrow_mut().insert(name, initial.shared());
        }
        tensor
    }

    /// Numbers known now.
    #[track_caller]
    pub fn constant(&self, value: impl Into<Array>) -> Tensor<'_> {
        self.push(Const { value: Arc::new(value.into()) }, &[])
    }

    /// `value` in every element.
    ///
    /// # Panics
    /// If the element type cannot hold `value`: a fraction in an integer tensor, a number other than 0 and 1 as a truth value.
    #[track_caller]
    pub fn full(&self, ty: TensorType, value: f64) -> Tensor<'_> {
        self.number(ty, value)
    }

    /// Zeros.
    #[track_caller]
    pub fn zeros(&self, ty: TensorType) -> Tensor<'_> {
        self.number(ty, 0.0)
    }

    /// Ones.
    #[track_caller]
    pub fn ones(&self, ty: TensorType) -> Tensor<'_> {
        self.number(ty, 1.0)
    }

    /// Each element's index along `axis`: `[0, 1, 2 ...]`.
    ///
    /// # Panics
    /// If there is no such axis, or the element type is `bool`.
    #[track_caller]
    pub fn iota(&self, ty: TensorType, axis: usize) -> Tensor<'_> {
        self.push(Iota { ty, axis }, &[])
    }

    #[track_caller]
    fn number(&self, ty: TensorType, value: f64) -> Tensor<'_> {
        let dtype = ty.dtype;
        let scalar = Array::full(&TensorType::new(dtype, Shape::scalar()), value);
        // A fraction or an overflow in an integer type; floats only round.
        if !dtype.is_float() && scalar.get_f64(0) != value {
            let kind = OpErrorKind::Number { number: value.to_string(), dtype };
            self.check(Err(OpError::new("constant", &[], kind)), &[])
        }
        self.constant(scalar).broadcast_to(ty.shape)
    }

    /// Appends the gradient of the scalar `loss` by each of `wrt`; zeros where `loss` does not depend on it. The gradients are tensors like any other
    /// and can be differentiated again.
    ///
    /// A gradient of what a method built [in place of a formula](crate::stability#formulas-as-mathematicians-write-them) is that of the form. By a tensor
    /// inside the formula it is that of the formula as it was written.
    ///
    /// # Panics
    /// If `loss` is not a float scalar, or one of `wrt` is not of a float type, or one of them belongs to another builder.
    #[track_caller]
    pub fn grad<const N: usize>(&self, loss: Tensor<'_>, wrt: [Tensor<'_>; N]) -> [Tensor<'_>; N] {
        let gradients = self.grad_all(loss, &wrt);
        std::array::from_fn(|i| gradients[i])
    }

    /// [`Builder::grad`] for a list whose length is not known at compile time.
    ///
    /// # Panics
    /// As [`Builder::grad`].
    #[track_caller]
    pub fn grad_all(&self, loss: Tensor<'_>, wrt: &[Tensor<'_>]) -> Vec<Tensor<'_>> {
        let (loss, wrt) = (self.own(loss), self.own_all(wrt));
        self.walk(&[loss], &wrt, |graph, wrt, instead| grad::grad_as(graph, loss, wrt, instead))
    }

    /// Appends the vector-Jacobian product: the gradient of the sum of `cotangent * result` by each of `wrt`.
    ///
    /// # Panics
    /// If a cotangent is not typed like its result, or a result or one of `wrt` is not of a float type.
    #[track_caller]
    pub fn vjp(&self, results: &[(Tensor<'_>, Tensor<'_>)], wrt: &[Tensor<'_>]) -> Vec<Tensor<'_>> {
        let mut pairs = Vec::with_capacity(results.len());
        for &(result, cotangent) in results {
            pairs.push((self.own(result), self.own(cotangent)));
        }
        let wrt = self.own_all(wrt);
        let results: Vec<NodeId> = pairs.iter().map(|p| p.0).collect();
        self.walk(&results, &wrt, |graph, wrt, instead| grad::vjp_as(graph, &pairs, wrt, instead))
    }

    /// Differentiates by tensors inside of formulas and by others, in walks of their own.
    #[track_caller]
    fn walk(
        &self,
        results: &[NodeId],
        wrt: &[NodeId],
        differentiate: impl Fn(&mut Graph, &[NodeId], &grad::Instead) -> Result<Vec<NodeId>, grad::GradError>,
    ) -> Vec<Tensor<'_>> {
        let mut derivatives: Vec<Option<Tensor<'_>>> = vec![None; wrt.len()];
        for walk in self.walks(results, wrt) {
            let of_walk: Vec<NodeId> = walk.wrt.iter().map(|&i| wrt[i]).collect();
            let result = differentiate(&mut self.graph.borrow_mut(), &of_walk, &walk.instead);
            for (&i, tensor) in walk.wrt.iter().zip(self.wrap_derivatives("grad", result)) {
                derivatives[i] = Some(tensor);
            }
        }
        derivatives.into_iter().map(|d| d.expect("every tensor is in a walk")).collect()
    }

    #[track_caller]
    fn wrap_derivatives(&self, op: &str, result: Result<Vec<NodeId>, grad::GradError>) -> Vec<Tensor<'_>> {
        match result {
            Ok(nodes) => nodes.into_iter().map(|id| self.handle(id)).collect(),
            Err(error) => panic!("{op}: {error}\n  {}", describe_node(&self.graph.borrow(), error.node())),
        }
    }

    /// The trainable parameters, in the order of their declaration.
    pub fn params(&self) -> Vec<Tensor<'_>> {
        let trainable = |graph: &Graph| -> Vec<NodeId> {
            let is = |id: &NodeId| matches!(graph.op(*id), Op::Param(p) if p.kind == ParamKind::Trainable);
            graph.ids().filter(is).collect()
        };
        let ids = self.with_graph(OUTERMOST, trainable).expect("the outermost frame stays open");
        ids.into_iter().map(|id| Tensor { builder: self, id, frame: OUTERMOST }).collect()
    }

    /// The graph so far; in the closure of a loop, the graph of its body.
    pub fn graph(&self) -> Ref<'_, Graph> {
        self.graph.borrow()
    }

    /// The program that computes these results, by name. The builder can be used further.
    ///
    /// # Panics
    /// If two results have one name, or a result belongs to another builder.
    #[track_caller]
    pub fn program(&self, outputs: &[(&str, Tensor<'_>)]) -> Program {
        self.program_with_updates(outputs, &[])
    }

    /// The program that computes these results and then gives each listed parameter its new value.
    ///
    /// # Panics
    /// If two results have one name, a parameter is listed twice or is not a parameter, a new value is typed unlike its parameter, or a tensor belongs
    /// to another builder.
    #[track_caller]
    pub fn program_with_updates(
        &self,
        outputs: &[(&str, Tensor<'_>)],
        updates: &[(Tensor<'_>, Tensor<'_>)],
    ) -> Program {
        self.expect_outermost("program");
        let mut graph = self.graph.borrow().clone();
        for &(name, tensor) in outputs {
            expect(graph.add_output(name, self.own(tensor)));
        }
        for &(param, value) in updates {
            let (node, value) = (self.own(param), self.own(value));
            if !matches!(graph.op(node), Op::Param(_)) {
                panic!("{}, is not a parameter or state and cannot be updated", param.describe());
            }
            expect(graph.add_update(node, value));
        }
        Program { graph, initial: self.initial.borrow().clone(), builder: self.token }
    }

    /// Appends an operation. This is the fallible core of all methods of [`Tensor`].
    ///
    /// # Errors
    /// If the operands do not fit the operation.
    ///
    /// # Panics
    /// If an operand belongs to another builder.
    #[track_caller]
    pub fn try_push<'g>(&'g self, op: impl Into<Op>, operands: &[Tensor<'_>]) -> Result<Tensor<'g>, OpError> {
        let ids = self.own_all(operands);
        let id = self.append(op.into(), &ids, self.origin())?;
        Ok(self.handle(id))
    }

    /// Appends an operation.
    ///
    /// # Panics
    /// If the operands do not fit the operation.
    #[track_caller]
    pub(crate) fn push(&self, op: impl Into<Op>, operands: &[Tensor<'_>]) -> Tensor<'_> {
        let result = self.try_push(op, operands);
        self.check(result, operands)
    }

    /// Appends the operation as which `method` acts. Errors name the method.
    ///
    /// # Panics
    /// If the operands do not fit the operation.
    #[track_caller]
    pub(crate) fn push_as(&self, method: &'static str, op: impl Into<Op>, operands: &[Tensor<'_>]) -> Tensor<'_> {
        let result = self.try_push(op, operands);
        self.check(result.map_err(|error| OpError { op: method, ..error }), operands)
    }

    /// The result, or a panic that names the method or operation, the types and where each operand was built.
    #[track_caller]
    pub(crate) fn check<T>(&self, result: Result<T, OpError>, operands: &[Tensor<'_>]) -> T {
        match result {
            Ok(value) => value,
            Err(error) => {
                let text = self.describe(&error, operands);
                panic!("{text}")
            }
        }
    }

    /// The tensors' nodes. A loop, because closures do not hand on the caller's line.
    #[track_caller]
    fn own_all(&self, tensors: &[Tensor<'_>]) -> Operands {
        let mut nodes = Operands::new();
        for &tensor in tensors {
            nodes.push(self.own(tensor));
        }
        nodes
    }
}

/// `dot : f32[50, 10], built at mlp.rs:14`, `div of softmax : f32[50, 10], built at mlp.rs:15`, `dot : f32[50, 10], of Gemm "fc1"`.
fn describe_node(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let name = node.op.leaf_name().map(|n| format!(" {n:?}")).unwrap_or_default();
    let whole = node.origin.composite.as_ref().map(|c| format!(" of {c}")).unwrap_or_default();
    let source = &node.origin.source;
    let of = if matches!(source, Source::Node { .. }) { "of" } else { "built at" };
    format!("{}{name}{whole} : {}, {of} {source}", node.op.name(), node.ty)
}

/// The value, or a panic at the caller's line.
#[track_caller]
fn expect(result: Result<(), GraphError>) {
    if let Err(error) = result {
        panic!("{error}");
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({} nodes)", self.graph.borrow().len())
    }
}

/// A finished graph with its parameters' initial values: what the compiler and the interpreter take.
#[derive(Clone, Debug)]
pub struct Program {
    /// The graph, with its outputs and updates.
    pub graph: Graph,
    /// Initial values of parameters, by name. Parameters that are not listed begin as zeros.
    pub initial: BTreeMap<Name, Arc<Array>>,
    /// The builder's number.
    pub(crate) builder: u64,
}

impl Program {
    /// The program of a graph that no builder made, such as one that was read from text, with the initial values of its parameters.
    pub fn new(graph: Graph, initial: BTreeMap<Name, Arc<Array>>) -> Program {
        Program { graph, initial, builder: Builder::new().token() }
    }
}
