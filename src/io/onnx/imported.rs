//! What an import makes.

use std::collections::HashMap;

use crate::build::{Builder, Program, Tensor};
use crate::graph::NodeId;

use super::dtype::OnnxType;

/// A model as a graph of this crate, for inputs of known shapes.
///
/// Floating-point initializers are parameters under their ONNX names, so that the graph can be differentiated by them and trained. Those that are scalars
/// (exporters lift the numbers of expressions out), running means and variances of batch normalizations, and first states of recurrent layers are
/// parameters that are not trained, as [`Builder::state`] makes them. All other initializers are constants.
#[derive(Debug)]
pub struct Imported {
    pub(super) builder: Builder,
    pub(super) inputs: Vec<(String, NodeId)>,
    pub(super) params: Vec<(String, NodeId)>,
    pub(super) outputs: Vec<(String, NodeId)>,
    pub(super) values: HashMap<String, NodeId>,
    pub(super) fixed: Vec<String>,
    /// Inputs and results of types that are held in wider ones.
    pub(super) held: Vec<(String, OnnxType)>,
    /// The state with the random key, and the next key.
    pub(super) random: Option<(String, NodeId)>,
}

impl Imported {
    /// The builder, to which more can be appended: losses, gradients, updates.
    pub fn builder(&self) -> &Builder {
        &self.builder
    }

    /// The inputs of the model but for those that are [fixed](Imported::fixed), in order. A program is given those of them that its results depend on.
    pub fn inputs(&self) -> Vec<(&str, Tensor<'_>)> {
        self.handles(&self.inputs)
    }

    /// The initializers that are parameters, in the order of the file.
    pub fn params(&self) -> Vec<(&str, Tensor<'_>)> {
        self.handles(&self.params)
    }

    /// The results, in order.
    pub fn outputs(&self) -> Vec<(&str, Tensor<'_>)> {
        self.handles(&self.outputs)
    }

    /// The value of this name: an input, an initializer that is a parameter, a result, or any value between them.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        self.values.get(name).map(|&id| self.builder.outermost(id))
    }

    /// Inputs and floating-point initializers whose values decided shapes or the course of the program. They have become constants: the program has no such
    /// input or parameter, and holds for the value that was bound only.
    pub fn fixed(&self) -> &[String] {
        &self.fixed
    }

    /// The element type that the model has for an input or result: that of its tensor, or one that is held in it, as [integers](super::Bindings::hold_integers) and
    /// [floats](super::Bindings::hold_floats) are.
    pub fn element_type(&self, name: &str) -> Option<OnnxType> {
        let held = self.held.iter().find(|(held, _)| held == name).map(|(_, own)| *own);
        let ids = || self.inputs.iter().chain(&self.outputs).find(|(own, _)| own == name).map(|(_, id)| *id);
        held.or_else(|| ids().map(|id| OnnxType::of(self.builder.outermost(id).dtype())))
    }

    /// The state that holds the random key of a step and the key of the next, if nodes are random, as dropout is in training.
    pub fn random(&self) -> Option<(&str, Tensor<'_>)> {
        self.random.as_ref().map(|(name, next)| (&**name, self.builder.outermost(*next)))
    }

    /// The program that computes all results.
    pub fn program(&self) -> Program {
        self.builder.program(&self.outputs())
    }

    fn handles<'a>(&'a self, list: &'a [(String, NodeId)]) -> Vec<(&'a str, Tensor<'a>)> {
        list.iter().map(|(name, id)| (&**name, self.builder.outermost(*id))).collect()
    }
}
