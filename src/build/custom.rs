//! Derivatives of the program's own, and regions that the backward pass computes again.

use crate::graph::NodeId;
use crate::prim::{Custom, CustomKind, CustomRule};
use crate::transform::SubGraph;

use super::{Builder, Tensor};

impl Builder {
    /// The function `f` of `inputs` with a derivative of the program's own. `backward` is given the inputs, the result and the cotangent of the result, and
    /// gives the cotangent of each input that is of a float type, in order and typed like it.
    ///
    /// Both are called once, now. They may use other tensors of the builder, which get no cotangent through this function. Everything composes: the rule
    /// is differentiated for second derivatives and batched by [`Builder::vmap`]. Forward mode is the transpose of the rule, which for this has to be
    /// linear in the cotangent; if it is not, as when it clips, [`Builder::jvp`] panics. `name` stands for the rule in texts and errors; a graph that is
    /// read from text has no rules, and differentiating it is an error.
    ///
    /// A straight-through estimator rounds, and hands cotangents on as if it did not:
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let x = g.input("x", f32([3]));
    /// let y = g.custom_vjp("straight_through", &[x], |x| x[0].round(), |_, _, cotangent| vec![cotangent]);
    /// let [dx] = g.grad((y * y).sum(), [x]); // 2 round(x)
    ///
    /// let mut run = g.program(&[("dx", dx)]).compile(&Options::default())?;
    /// let x = Array::new([3], vec![0.4f32, 0.6, -1.7])?;
    /// let results = run.run(&[("x", &x)])?;
    /// assert_eq!(results.first().as_slice::<f32>()?, [0.0, 2.0, -4.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If the result is not of a float type, or there is not one cotangent for each float input, typed like it.
    #[track_caller]
    pub fn custom_vjp<'g>(
        &'g self,
        name: &str,
        inputs: &[Tensor<'g>],
        f: impl FnOnce(&[Tensor<'g>]) -> Tensor<'g>,
        backward: impl FnOnce(&[Tensor<'g>], Tensor<'g>, Tensor<'g>) -> Vec<Tensor<'g>>,
    ) -> Tensor<'g> {
        let mut arguments: Vec<NodeId> = self.own_all(inputs).to_vec();
        let floor = self.floor();
        let result = f(inputs);
        drop(floor);
        arguments.push(self.own(result));
        assert!(
            result.dtype().is_float(),
            "custom_vjp: the result of `{name}` is {}, and only floats have derivatives",
            result.ty()
        );
        let cotangent = self.prototype(result.ty());
        arguments.push(cotangent.id);
        let start = self.graph.borrow().len();
        let floor = self.floor();
        let cotangents = backward(inputs, result, cotangent);
        drop(floor);
        let floats: Vec<Tensor<'g>> = inputs.iter().copied().filter(|x| x.dtype().is_float()).collect();
        assert!(
            cotangents.len() == floats.len(),
            "custom_vjp: the rule of `{name}` gives {} cotangent(s) for {} float input(s)",
            cotangents.len(),
            floats.len()
        );
        for (&input, &cotangent) in floats.iter().zip(&cotangents) {
            if input.ty() != cotangent.ty() {
                panic!(
                    "custom_vjp: the rule of `{name}` gives a cotangent {} for {}",
                    cotangent.ty(),
                    input.describe()
                );
            }
        }
        let results = self.own_all(&cotangents);
        let cut = SubGraph::cut(&self.graph.borrow(), &arguments, &results, |id| id.index() >= start);
        let (rule, captured) = cut;
        let custom = Custom {
            kind: CustomKind::Vjp,
            name: name.into(),
            inputs: inputs.len(),
            rule: Some(CustomRule::new(rule)),
        };
        let captured = captured.into_iter().map(|id| self.handle(id));
        let operands: Vec<Tensor<'g>> = std::iter::once(result).chain(inputs.iter().copied()).chain(captured).collect();
        self.push(custom, &operands)
    }

    /// The tensor that `f` computes, none of whose intermediate values are kept for the backward pass: it computes them again, from the tensors that `f`
    /// takes from outside. Gradients are the same; memory is traded for time. A deep net of `n` layers in regions of `k` keeps about `n / k + k` layers'
    /// values rather than `n` (Chen et al. 2016), for one more forward pass.
    ///
    /// ```
    /// use cotangent::prelude::*;
    ///
    /// let g = Builder::new();
    /// let (x, w) = (g.input("x", f32([8, 16])), g.param("w", init::he([16, 16], 0)));
    /// let y = g.checkpoint(|| x.dot(w).tanh().dot(w).tanh()); // keeps x and y
    /// let [dw] = g.grad(y.square().sum(), [w]);
    /// assert_eq!(dw.shape()[..], [16, 16]);
    /// ```
    ///
    /// A region has one result; of several, each is a region of its own. Regions nest.
    /// [`Options::memory_budget`](crate::Options::memory_budget) lets the compiler choose by itself what to compute again.
    ///
    /// # Panics
    /// If something in the region has no derivative in reverse mode, such as a node of a parsed text whose rule is not known.
    #[track_caller]
    pub fn checkpoint<'g>(&'g self, f: impl FnOnce() -> Tensor<'g>) -> Tensor<'g> {
        let start = self.graph.borrow().len();
        let floor = self.floor();
        let result = f();
        drop(floor);
        let id = self.own(result);
        if id.index() < start || !result.dtype().is_float() {
            return result;
        }
        let cut = SubGraph::cut(&self.graph.borrow(), &[], &[id], |id| id.index() >= start);
        let (region, outside) = cut;
        let rule = match region.recomputing() {
            Ok(rule) => rule,
            Err(error) => panic!("checkpoint: {error}"),
        };
        let custom = Custom {
            kind: CustomKind::Checkpoint,
            name: "recompute".into(),
            inputs: outside.len(),
            rule: Some(CustomRule::new(rule)),
        };
        let outside = outside.into_iter().map(|id| self.handle(id));
        let operands: Vec<Tensor<'g>> = std::iter::once(result).chain(outside).collect();
        self.push(custom, &operands)
    }
}
