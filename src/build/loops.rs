//! Loops: `scan`, `while_loop` and `cond`, whose bodies are closures that run once, while the graph is built.
//!
//! What a closure takes from outside becomes an operand of the loop by itself (see [`frames`](super::frames)). All three are [`Loop`]s: a `while` has a
//! guard, and a `cond` is two loops of at most one trip.

use std::sync::Arc;

use crate::graph::{DType, Graph, NodeId, OpError, Shape, TensorType};
use crate::prim::{Body, Input, Keep, Loop, LoopResult, LoopSpec, Map, Order, Param, ParamKind, free_name};
use crate::scalar::ScalarFn;

use super::frames::Frame;
use super::{Builder, Tensor, Tensors};

/// How [`Builder::scan_with`] goes through its sequences.
///
/// ```
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let xs = g.input("xs", f32([5, 3]));
/// // From the last row to the first; gradients compute the inside of each trip again.
/// let options = Scan::new().reverse().keep(Keep::Carries);
/// let (sum, sums) = g.scan_with(options, g.zeros(f32([3])), xs, |sum, x| (sum + x, sum + x));
/// assert_eq!((sum.shape()[..].to_vec(), sums.shape()[..].to_vec()), (vec![3], vec![5, 3]));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    trips: Option<usize>,
    order: Order,
    keep: Keep,
}

impl Scan {
    /// From the first slice to the last; gradients keep all that they use.
    pub fn new() -> Scan {
        Scan::default()
    }

    /// The count of trips, which sequences tell if there are any.
    pub fn trips(self, trips: usize) -> Scan {
        Scan { trips: Some(trips), ..self }
    }

    /// From the last slice to the first. Stacked results keep the order of the sequences.
    pub fn reverse(self) -> Scan {
        Scan { order: Order::Reverse, ..self }
    }

    /// What gradients keep of the trips: all that they use, which is the default, or only the carries.
    pub fn keep(self, keep: Keep) -> Scan {
        Scan { keep, ..self }
    }
}

/// Lines that tell what a branch gives.
fn listed(branch: &str, texts: impl IntoIterator<Item = String>) -> String {
    texts.into_iter().map(|text| format!("\n  {branch}: {text}")).collect()
}

/// What a closure has made of a frame.
struct Written {
    body: Arc<Body>,
    /// Nodes of the frame around for which the body's last inputs stand.
    captured: Vec<NodeId>,
}

impl Builder {
    /// Runs `body` once for each slice of `xs` along axis 0, from the first to the last: it is given the carry and the slices, and gives the next carry and
    /// what is stacked along a new axis 0. Returns the last carry and the stacks.
    ///
    /// It compiles to a loop, whose code is no longer for more trips. The closure runs once, while the graph is built; tensors that it takes from outside are
    /// the same in all trips. Without slices (`xs` of extent 0) the last carry is the first, and the stacks are empty. A gradient is a loop in the other order;
    /// [`Builder::scan_with`] chooses what it keeps.
    ///
    /// # Panics
    /// If `xs` has no tensors (see [`Scan::trips`]), or such of different extents along axis 0, or scalars, or the body gives a carry that is typed unlike
    /// the one that it was given.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let w = g.param("w", init::uniform([4, 4], -0.5, 0.5, 0));
    /// let xs = g.input("xs", f32([10, 2, 4])); // 10 steps of a batch of 2
    /// let (last, all) = g.scan(g.zeros(f32([2, 4])), xs, |h, x| {
    ///     let h = (h.dot(w) + x).tanh();
    ///     (h, h)
    /// });
    /// assert_eq!((last.shape()[..].to_vec(), all.shape()[..].to_vec()), (vec![2, 4], vec![10, 2, 4]));
    /// let [dw] = g.grad((last * last).sum(), [w]);
    /// assert_eq!(dw.shape()[..], [4, 4]);
    /// ```
    #[track_caller]
    pub fn scan<'g, C: Tensors<'g>, X: Tensors<'g>, Y: Tensors<'g>>(
        &'g self,
        init: C,
        xs: X,
        body: impl FnOnce(C, X) -> (C, Y),
    ) -> (C, Y) {
        self.scan_with(Scan::new(), init, xs, body)
    }

    /// [`Builder::scan`] in another way.
    ///
    /// # Panics
    /// As [`Builder::scan`], or if the count of trips is given and is not the extent of the sequences.
    #[track_caller]
    pub fn scan_with<'g, C: Tensors<'g>, X: Tensors<'g>, Y: Tensors<'g>>(
        &'g self,
        scan: Scan,
        init: C,
        xs: X,
        body: impl FnOnce(C, X) -> (C, Y),
    ) -> (C, Y) {
        let (inits, sequences) = (init.list(), xs.list());
        let trips = self.trips_of(scan.trips, &sequences);

        let frame = self.enter();
        let carries = self.carries(&inits);
        let slices = self.slices(&sequences);
        let carry = init.rearrange(&mut carries.iter().copied());
        let slice = xs.rearrange(&mut slices.iter().copied());
        let (next, ys) = body(carry, slice);
        let stacked = self.nodes(&ys.list());
        self.set_carries("scan", &carries, &next.list());
        let written = self.body(frame.close(), "scan");

        let spec = LoopSpec {
            body: written.body.clone(),
            trips,
            sequences: sequences.len(),
            order: scan.order,
            guard: None,
            keep: scan.keep,
        };
        let results = self.results("scan", spec, &[&inits[..], &sequences].concat(), &written, &stacked);
        let mut results = results.into_iter();
        (next.rearrange(&mut results), ys.rearrange(&mut results))
    }

    /// Runs `body` on the carry as long as `condition` holds, at most `max_trips` times; returns the last carry.
    ///
    /// The condition is asked before each trip, and gives `bool[]`. The bound makes room for what a gradient keeps, which is the carry before each trip; trips
    /// that did not take place have no part in gradients. With a bound of 0 the result is `init`.
    ///
    /// # Panics
    /// If the condition gives something else than `bool[]`, or the body a carry that is typed unlike the one that it was given.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let x = g.input("x", f64([]));
    /// // Newton's iteration for the square root.
    /// let root = g.while_loop(x, 100, |y| (y * y - x).abs().gt(1e-12), |y| (y + x / y) * 0.5);
    /// let [slope] = g.grad(root, [x]);
    /// let mut f = g.program(&[("root", root), ("slope", slope)]).compile(&Options::default())?;
    /// let out = f.run(&[("x", &Array::scalar(4.0))])?;
    /// assert!((out.get("root")?.get_f64(0) - 2.0).abs() < 1e-12);
    /// assert!((out.get("slope")?.get_f64(0) - 0.25).abs() < 1e-6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn while_loop<'g, C: Tensors<'g>>(
        &'g self,
        init: C,
        max_trips: usize,
        condition: impl FnOnce(C) -> Tensor<'g>,
        body: impl FnOnce(C) -> C,
    ) -> C {
        let inits = init.list();
        let frame = self.enter();
        let carries = self.carries(&inits);
        let holds = condition(init.rearrange(&mut carries.iter().copied()));
        self.expect_truth("while_loop", "condition", holds);
        let guard = self.own(holds);
        let next = body(init.rearrange(&mut carries.iter().copied()));
        self.set_carries("while_loop", &carries, &next.list());
        let written = self.body(frame.close(), "while_loop");

        let spec = LoopSpec {
            body: written.body.clone(),
            trips: max_trips,
            sequences: 0,
            order: Order::Forward,
            guard: Some(guard),
            keep: Keep::Carries,
        };
        let results = self.results("while_loop", spec, &inits, &written, &[]);
        next.rearrange(&mut results.into_iter())
    }

    /// What `then` gives if `condition` holds, else what `otherwise` gives. Only one of them is computed, in the gradient too.
    ///
    /// To choose elements by elements, see [`Tensor::select`].
    ///
    /// # Panics
    /// If the condition is not `bool[]`, or the two give tensors of different types.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let (x, up) = (g.input("x", f32([3])), g.input("up", bool([])));
    /// let y = g.cond(up, || x.exp(), || x * 2.0);
    /// assert_eq!(y.shape()[..], [3]);
    /// ```
    #[track_caller]
    pub fn cond<'g, Y: Tensors<'g>>(
        &'g self,
        condition: Tensor<'g>,
        then: impl FnOnce() -> Y,
        otherwise: impl FnOnce() -> Y,
    ) -> Y {
        self.expect_truth("cond", "condition", condition);
        let branch = |holds: bool, frame: Frame<'g>, ys: Y, inits: Option<&[Tensor<'g>]>| {
            let given = ys.list();
            let carries = self.carries(&given);
            self.set_carries("cond", &carries, &given);
            let mut guard = self.handle(self.own(condition));
            if !holds {
                guard = self.push(Map { f: ScalarFn::Not }, &[guard]);
            }
            let guard = self.own(guard);
            let types: Vec<TensorType> = given.iter().map(|y| y.ty()).collect();
            let texts: Vec<String> = given.iter().map(|y| y.describe()).collect();
            let written = self.body(frame.close(), "cond");
            let inits = match inits {
                Some(inits) => inits.to_vec(),
                None => types.into_iter().map(|ty| self.zeros(ty)).collect(),
            };
            let spec = LoopSpec {
                body: written.body.clone(),
                trips: 1,
                sequences: 0,
                order: Order::Forward,
                guard: Some(guard),
                keep: Keep::All,
            };
            (ys, texts, self.results("cond", spec, &inits, &written, &[]))
        };
        let frame = self.enter();
        let (_, texts, first) = branch(true, frame, then(), None);
        let frame = self.enter();
        let ys = otherwise();
        let (given, expected) = (ys.list(), &first);
        if given.len() != expected.len() {
            panic!(
                "cond: the branch for true gives {} tensors, that for false {}{}{}",
                expected.len(),
                given.len(),
                listed("true", texts),
                listed("false", given.iter().map(|y| y.describe()))
            );
        }
        for (i, (y, expected)) in given.iter().zip(expected).enumerate() {
            if y.ty() != expected.ty() {
                panic!(
                    "cond: result {i} is {} in the branch for true and {} in that for false\n  true: {}\n  false: {}",
                    expected.ty(),
                    y.ty(),
                    texts[i],
                    y.describe()
                );
            }
        }
        let (ys, _, results) = branch(false, frame, ys, Some(&first));
        ys.rearrange(&mut results.into_iter())
    }

    /// The count of trips: the extent of all sequences along axis 0.
    #[track_caller]
    fn trips_of(&self, given: Option<usize>, sequences: &[Tensor<'_>]) -> usize {
        let mut trips = given.map(|n| (n, format!("the count of trips is {n}"), String::new()));
        for (i, x) in sequences.iter().enumerate() {
            let shape = x.shape();
            let Some(&n) = shape.first() else {
                panic!("scan: sequence {i} is a scalar, which has no slices\n  {}", x.describe());
            };
            match &trips {
                Some((trips, what, other)) if *trips != n => {
                    panic!("scan: sequence {i} has {n} slices, but {what}{other}\n  sequence {i}: {}", x.describe())
                }
                Some(_) => {}
                None => {
                    let text = format!("\n  sequence {i}: {}", x.describe());
                    trips = Some((n, format!("sequence {i} has {n}"), text));
                }
            }
        }
        match trips {
            Some((trips, ..)) => trips,
            None => panic!("scan: without sequences, the options say how many trips there are: Scan::new().trips(n)"),
        }
    }

    /// Carries of the innermost frame, typed like these tensors.
    #[track_caller]
    fn carries<'g>(&'g self, like: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        let mut carries = Vec::new();
        for (i, tensor) in like.iter().enumerate() {
            let ty = tensor.ty();
            let name = free_name(&self.graph.borrow(), &format!("carry{i}"));
            carries.push(self.push(Param { name, ty, kind: ParamKind::State }, &[]));
        }
        carries
    }

    /// Inputs of the innermost frame, typed like slices of these sequences.
    #[track_caller]
    fn slices<'g>(&'g self, of: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        let mut slices = Vec::new();
        for (i, tensor) in of.iter().enumerate() {
            let ty = tensor.ty();
            let shape: Shape = ty.shape[1..].iter().copied().collect();
            let ty = TensorType::new(ty.dtype, shape);
            let name = free_name(&self.graph.borrow(), &format!("slice{i}"));
            slices.push(self.push(Input { name, ty }, &[]));
        }
        slices
    }

    #[track_caller]
    fn nodes(&self, tensors: &[Tensor<'_>]) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        for &tensor in tensors {
            nodes.push(self.own(tensor));
        }
        nodes
    }

    /// Gives the carries of the innermost frame their next values.
    #[track_caller]
    fn set_carries(&self, method: &str, carries: &[Tensor<'_>], next: &[Tensor<'_>]) {
        if carries.len() != next.len() {
            panic!("{method}: the body is given {} carries, but gives {}", carries.len(), next.len());
        }
        for (i, (&carry, &value)) in carries.iter().zip(next).enumerate() {
            if carry.ty() != value.ty() {
                panic!(
                    "{method}: carry {i} is {}, but the body gives {}\n  {}",
                    carry.ty(),
                    value.ty(),
                    value.describe()
                );
            }
            let (carry, value) = (self.own(carry), self.own(value));
            self.graph.borrow_mut().add_update(carry, value).expect("a carry has one update, of its type");
        }
    }

    #[track_caller]
    fn expect_truth(&self, method: &str, what: &str, tensor: Tensor<'_>) {
        let ty = tensor.ty();
        if ty.dtype != DType::Bool || ty.shape.rank() != 0 {
            panic!("{method}: the {what} is {ty}, not bool[]\n  {}", tensor.describe());
        }
    }

    #[track_caller]
    fn body(&self, (graph, captured): (Graph, Vec<NodeId>), method: &'static str) -> Written {
        let result = Body::new(&graph).map_err(|kind| OpError::new(method, &[], kind));
        Written { body: Arc::new(self.check(result, &[])), captured }
    }

    /// Appends a loop: the results of all carries, then the stacks of these nodes.
    #[track_caller]
    fn results(
        &self,
        method: &'static str,
        spec: LoopSpec,
        operands: &[Tensor<'_>],
        written: &Written,
        stacked: &[NodeId],
    ) -> Vec<Tensor<'_>> {
        let captured = written.captured.iter().map(|&id| self.handle(id));
        let operands: Vec<Tensor<'_>> = operands.iter().copied().chain(captured).collect();
        let spec = Arc::new(spec);
        let carries = (0..spec.body.carries().len()).map(LoopResult::Carry);
        let mut results = Vec::new();
        for result in carries.chain(stacked.iter().map(|&node| LoopResult::Stack(node))) {
            results.push(self.push_as(method, Loop { spec: spec.clone(), result }, &operands));
        }
        results
    }
}
