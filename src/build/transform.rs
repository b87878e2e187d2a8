//! Transformations of what has been built: [forward mode](Builder::jvp), [batching](Builder::vmap), [Jacobians](Builder::jacobian) and what they compose
//! to. The formulas are in [`transform`](crate::transform).

use crate::grad::Appender;
use crate::graph::{DType, Dims, NodeId, OpError, OpErrorKind, Shape, TensorType};
use crate::prim::{Barrier, Transpose, moved_axis};
use crate::scalar::ScalarFn;
use crate::transform::{self, SubGraph};

use super::{Builder, Tensor};

/// A result of a graph as a function of some of its tensors, to be called with others, in the bodies of loops too.
pub(crate) struct Function<'g> {
    part: SubGraph,
    /// What the result depends on besides the arguments.
    outside: Vec<Tensor<'g>>,
}

impl<'g> Function<'g> {
    /// Makes the nodes that depend on the arguments again, for these arguments.
    ///
    /// # Panics
    /// If there is not one argument of each type.
    #[track_caller]
    pub(crate) fn call(&self, arguments: &[Tensor<'g>]) -> Tensor<'g> {
        let builder = arguments.first().or(self.outside.first()).expect("a result depends on something").builder();
        let all: Vec<Tensor<'g>> = arguments.iter().chain(&self.outside).copied().collect();
        let ids = builder.own_all(&all);
        let origin = builder.origin();
        let mut graph = builder.graph.borrow_mut();
        let result = self.part.emit(&mut Appender::new(&mut graph, origin), &ids)[0];
        drop(graph);
        builder.handle(result)
    }
}

impl Builder {
    /// `result` as a function of these tensors.
    #[track_caller]
    pub(crate) fn function<'g>(&'g self, arguments: &[Tensor<'g>], result: Tensor<'g>) -> Function<'g> {
        let (arguments, result) = (self.own_all(arguments), self.own(result));
        let graph = self.graph.borrow();
        let mut depends = vec![false; graph.len()];
        arguments.iter().for_each(|a| depends[a.index()] = true);
        for id in graph.ids() {
            depends[id.index()] |= graph.operands(id).iter().any(|o| depends[o.index()]);
        }
        let (part, outside) = SubGraph::cut(&graph, &arguments, &[result], |id| depends[id.index()]);
        drop(graph);
        Function { part, outside: outside.into_iter().map(|id| self.handle(id)).collect() }
    }

    /// Appends the Jacobian-vector product: the derivative of each of `results` in the direction in which each of `wrt` moves along its tangent. Typed
    /// like `results`; zeros for those that do not depend on `wrt`.
    ///
    /// If one of `wrt` depends on another, its tangent is added to the one that follows from the other: the product is always the sum of each derivative
    /// that [`Builder::grad`] gives, times its tangent.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let (x, v) = (g.input("x", f32([3])), g.input("v", f32([3])));
    /// let slope = g.jvp(&[x.square()], &[(x, v)])[0]; // 2 x v
    /// assert_eq!(slope.shape()[..], [3]);
    /// ```
    ///
    /// # Panics
    /// If a tangent is not typed like its tensor, or a result or one of `wrt` is not of a float type.
    #[track_caller]
    pub fn jvp(&self, results: &[Tensor<'_>], wrt: &[(Tensor<'_>, Tensor<'_>)]) -> Vec<Tensor<'_>> {
        let results = self.own_all(results);
        let mut pairs = Vec::with_capacity(wrt.len());
        for &(tensor, tangent) in wrt {
            pairs.push((self.own(tensor), self.own(tangent)));
        }
        let sources: Vec<NodeId> = pairs.iter().map(|p| p.0).collect();
        let mut sums: Vec<Tensor<'_>> = Vec::new();
        for walk in self.walks(&results, &sources) {
            let of_walk: Vec<(NodeId, NodeId)> = walk.wrt.iter().map(|&i| pairs[i]).collect();
            let result = transform::jvp_as(&mut self.graph.borrow_mut(), &results, &of_walk, &walk.instead);
            let products = self.wrap_derivatives("jvp", result);
            // The product is linear in the tangents.
            let add = |(i, p): (usize, Tensor<'_>)| match sums.get(i) {
                Some(&sum) => Tensor::map(ScalarFn::Add, &[sum, self.handle(p.id)]),
                None => self.handle(p.id),
            };
            sums = products.into_iter().enumerate().map(add).collect();
        }
        sums
    }

    /// Appends the product of the Hessian of scalar `loss` by `wrt` with a vector: for each of `wrt` with its vector, typed like it,
    /// `out[i] = sum over j of H[i, j] v[j]`, where `i` and `j` count through the elements of all of `wrt`. Forward mode over reverse mode: it costs a
    /// small multiple of the gradient, and no Hessian is made.
    ///
    /// # Panics
    /// If `loss` is not a float scalar, a vector is not typed like its tensor, or one of `wrt` is not of a float type.
    #[track_caller]
    pub fn hvp(&self, loss: Tensor<'_>, wrt: &[(Tensor<'_>, Tensor<'_>)]) -> Vec<Tensor<'_>> {
        let tensors: Vec<Tensor<'_>> = wrt.iter().map(|w| w.0).collect();
        let gradients = self.grad_all(loss, &tensors);
        self.jvp(&gradients, wrt)
    }

    /// Appends the Jacobian `out[i.., j..] = d result[i..] / d wrt[j..]`, of shape `result.shape + wrt.shape`. By forward mode if `wrt` has at most as
    /// many elements as `result`, else by reverse mode; either is one walk over the graph, done for all unit vectors at once by [`Builder::vmap`].
    ///
    /// # Panics
    /// If one of the tensors is not of a float type.
    #[track_caller]
    pub fn jacobian<'g>(&'g self, result: Tensor<'g>, wrt: Tensor<'g>) -> Tensor<'g> {
        if wrt.shape().numel() <= result.shape().numel() {
            self.jacobian_forward(result, wrt)
        } else {
            self.jacobian_reverse(result, wrt)
        }
    }

    /// [`Builder::jacobian`] by forward mode: the work of a forward walk for each element of `wrt`.
    ///
    /// # Panics
    /// If one of the tensors is not of a float type.
    #[track_caller]
    pub fn jacobian_forward<'g>(&'g self, result: Tensor<'g>, wrt: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.scope("jacobian", &[result, wrt]);
        let shape = joined(result, wrt);
        let unit = self.unit_vectors(wrt.ty());
        let last = result.rank() as isize;
        let columns = self.vmap_axes(&[(unit, Some(0))], &[last], |v| self.jvp(&[result], &[(wrt, v[0])]));
        columns[0].reshape(shape)
    }

    /// [`Builder::jacobian`] by reverse mode: the work of a backward walk for each element of `result`.
    ///
    /// # Panics
    /// If one of the tensors is not of a float type.
    #[track_caller]
    pub fn jacobian_reverse<'g>(&'g self, result: Tensor<'g>, wrt: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.scope("jacobian", &[result, wrt]);
        let shape = joined(result, wrt);
        let unit = self.unit_vectors(result.ty());
        let rows = self.vmap_axes(&[(unit, Some(0))], &[0], |u| self.vjp(&[(result, u[0])], &[wrt]));
        rows[0].reshape(shape)
    }

    /// Appends the Hessian of scalar `loss`, `out[i.., j..] = d2 loss / (d wrt[i..] d wrt[j..])`, of shape `wrt.shape + wrt.shape`: the Jacobian of the
    /// gradient, forward mode over reverse mode.
    ///
    /// # Panics
    /// If `loss` is not a float scalar or `wrt` is not of a float type.
    #[track_caller]
    pub fn hessian<'g>(&'g self, loss: Tensor<'g>, wrt: Tensor<'g>) -> Tensor<'g> {
        let [gradient] = self.grad(loss, [wrt]);
        self.jacobian_forward(gradient, wrt)
    }

    /// The unit vectors of a type, along a new first axis.
    #[track_caller]
    fn unit_vectors(&self, ty: TensorType) -> Tensor<'_> {
        if !ty.dtype.is_float() {
            panic!("jacobian: {ty} has no derivatives, only floats have");
        }
        let n = ty.shape.numel();
        let index = TensorType::new(DType::I64, [n, n]);
        let unit = self.iota(index.clone(), 0).eq(self.iota(index, 1)).cast(ty.dtype);
        let shape: Shape = std::iter::once(n).chain(ty.shape.iter().copied()).collect();
        unit.reshape(shape)
    }

    /// Applies a function of one example to all examples of a batch: `out[n] = f(inputs[n])`. The examples lie along the first axis of every input and of
    /// every result. The function is called once, with tensors that stand for one example; it may use any other tensor of the builder, which is then the
    /// same for all examples.
    ///
    /// Everything is allowed inside: gradients, and other batches. The gradient by a tensor that all examples share is a gradient for each example:
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let (x, y) = (g.input("x", f32([32, 10])), g.input("y", i32([32])));
    /// let w = g.param("w", init::he([10, 3], 0));
    /// let [loss, dw] = g.vmap([x, y], |[x, y]| {
    ///     let loss = x.dot(w).expand(0).cross_entropy(y.expand(0)).sum();
    ///     [loss, g.grad(loss, [w])[0]]
    /// });
    /// assert_eq!(loss.shape()[..], [32]);
    /// assert_eq!(dw.shape()[..], [32, 10, 3]);
    /// ```
    ///
    /// # Panics
    /// If there are no inputs, one has no axis, or their first extents differ.
    #[track_caller]
    pub fn vmap<'g, const N: usize, const M: usize>(
        &'g self,
        inputs: [Tensor<'g>; N],
        f: impl FnOnce([Tensor<'g>; N]) -> [Tensor<'g>; M],
    ) -> [Tensor<'g>; M] {
        let along: [(Tensor<'g>, Option<isize>); N] = inputs.map(|x| (x, Some(0)));
        let results = self.vmap_axes(&along, &[0; M], |x| f(std::array::from_fn(|i| x[i])).to_vec());
        std::array::from_fn(|i| results[i])
    }

    /// [`Builder::vmap`] with an axis for each input and each result: the axis of the input along which the examples lie, or `None` for an input that is
    /// given to the function as it is; and the axis of each result along which they shall lie. Negative axes count from the last.
    ///
    /// # Panics
    /// If no input has examples, an axis is out of range, the examples' counts differ, or there is not one axis for each result.
    #[track_caller]
    pub fn vmap_axes<'g>(
        &'g self,
        inputs: &[(Tensor<'g>, Option<isize>)],
        result_axes: &[isize],
        f: impl FnOnce(&[Tensor<'g>]) -> Vec<Tensor<'g>>,
    ) -> Vec<Tensor<'g>> {
        let mut arguments: Vec<Tensor<'g>> = Vec::with_capacity(inputs.len());
        let mut prototypes: Vec<(NodeId, NodeId)> = Vec::new();
        let mut size: Option<(usize, Tensor<'g>)> = None;
        for &(input, axis) in inputs {
            self.own(input);
            let Some(axis) = axis else {
                arguments.push(input);
                continue;
            };
            let from = input.axis("vmap", axis);
            let batch = self.with_axis_moved(input, from, 0);
            let ty = batch.ty();
            match size {
                Some((n, first)) if n != ty.shape[0] => {
                    let kind =
                        OpErrorKind::Other(format!("there are {n} examples of one and {} of the other", ty.shape[0]));
                    self.check(Err(OpError::new("vmap", &[&first.ty(), &input.ty()], kind)), &[first, input])
                }
                _ => size = Some((ty.shape[0], input)),
            }
            let prototype = self.prototype(TensorType::new(ty.dtype, &ty.shape[1..]));
            arguments.push(prototype);
            prototypes.push((self.own(prototype), self.own(batch)));
        }
        let Some((size, _)) = size else { panic!("vmap: no input has examples") };
        let results = f(&arguments);
        assert!(
            results.len() == result_axes.len(),
            "vmap: the function gives {} result(s), and there are axes for {}",
            results.len(),
            result_axes.len()
        );
        let ids = self.own_all(&results);
        let literals = self.literals(&ids);
        let (batches, of_nodes) =
            transform::vmap_beside(&mut self.graph.borrow_mut(), &prototypes, size, &ids, &literals);
        self.hand_on(&literals, &of_nodes);
        let mut moved = Vec::with_capacity(batches.len());
        for (id, &axis) in batches.into_iter().zip(result_axes) {
            let batch = self.handle(id);
            let to = batch.axis("vmap", axis);
            moved.push(self.with_axis_moved(batch, 0, to));
        }
        moved
    }

    /// A tensor that stands for one that is given later. Behind the barrier it is no number, and like no other.
    #[track_caller]
    pub(super) fn prototype(&self, ty: TensorType) -> Tensor<'_> {
        let zeros = self.zeros(ty);
        self.push(Barrier, &[zeros])
    }

    #[track_caller]
    fn with_axis_moved<'g>(&'g self, tensor: Tensor<'g>, from: usize, to: usize) -> Tensor<'g> {
        let permutation: Dims = moved_axis(tensor.rank(), from, to);
        if from == to { tensor } else { self.push(Transpose { permutation }, &[tensor]) }
    }
}

impl<'g> Tensor<'g> {
    /// Applies a function of one example to all examples, which lie along the first axis of `self` and of the result. See [`Builder::vmap`].
    ///
    /// # Panics
    /// If the tensor has no axis.
    #[track_caller]
    pub fn vmap(self, f: impl FnOnce(Tensor<'g>) -> Tensor<'g>) -> Tensor<'g> {
        let [result] = self.builder.vmap([self], |[x]| [f(x)]);
        result
    }
}

/// The shapes one behind the other.
fn joined(a: Tensor<'_>, b: Tensor<'_>) -> Shape {
    a.shape().iter().chain(b.shape().iter()).copied().collect()
}
