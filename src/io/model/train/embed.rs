//! The nodes of a model as part of a step: those that the loss needs, with parameters of the same names.

use std::collections::{BTreeMap, BTreeSet};

use crate::build::{Builder, Tensor};
use crate::graph::{NodeId, TensorType};
use crate::io::model::role::Role;
use crate::io::model::{Model, ModelError};
use crate::prim::Op;

use super::error::{LearnError, misfit};

/// A value that a parameter takes after a step, if the loss depends on the result, or without one, on the parameter itself.
#[derive(Clone, Debug)]
pub(crate) struct Following {
    pub(crate) param: String,
    pub(crate) result: Option<NodeId>,
    pub(crate) value: NodeId,
}

/// An output of a model in a step, and what follows from it: parameters with their values after the step.
pub(super) struct Embedded<'g> {
    pub(super) output: Tensor<'g>,
    pub(super) updates: Vec<(Tensor<'g>, Tensor<'g>)>,
    /// The floating-point parameters on which the output depends or that follow the batches.
    pub(super) params: BTreeSet<String>,
}

/// Appends the nodes of a model that an output needs, and those of the values that parameters take with it.
pub(super) fn embed<'g>(
    model: &Model,
    output: NodeId,
    following: &[Following],
    role: &dyn Fn(&str) -> Role,
    g: &'g Builder,
    types: &BTreeMap<String, TensorType>,
    input: &mut dyn FnMut(&str) -> Tensor<'g>,
) -> Result<Embedded<'g>, LearnError> {
    let graph = &model.program().graph;
    let of_output = graph.ancestors([output]);
    let update = |f: &Following| {
        let param = graph.find(&f.param)?;
        let follows = of_output[f.result.unwrap_or(param).index()] && role(&f.param) == Role::Followed;
        follows.then_some((param, f.value))
    };
    let updates: Vec<(NodeId, NodeId)> = following.iter().filter_map(update).collect();
    let needed = graph.ancestors(updates.iter().flat_map(|&(param, value)| [param, value]).chain([output]));
    let mut tensors: BTreeMap<NodeId, Tensor<'g>> = BTreeMap::new();
    let (mut missing, mut params) = (Vec::new(), BTreeSet::new());
    for id in graph.ids().filter(|id| needed[id.index()]) {
        let ty = graph.ty(id);
        let tensor = match graph.op(id) {
            Op::Input(i) if types.contains_key(&*i.name) => {
                let tensor = input(&i.name);
                if tensor.ty() != *ty {
                    return Err(misfit(&i.name, format!("a batch is {}, the model takes {ty}", tensor.ty())));
                }
                tensor
            }
            Op::Input(i) => {
                missing.push(format!("{} ({})", i.name, model.own(&i.name, ty.clone())));
                g.zeros(ty.clone())
            }
            Op::Param(p) => {
                let value = model.program().initial.get(&p.name).cloned();
                let Some(value) = value.filter(|_| !model.unset.contains(&p.name)) else {
                    return Err(ModelError::Unset { params: vec![(p.name.to_string(), ty.clone().into())] }.into());
                };
                if ty.dtype.is_float() {
                    params.insert(p.name.to_string());
                }
                match role(&p.name) {
                    Role::Trained if ty.dtype.is_float() => g.param(&p.name, value),
                    _ => g.state(&p.name, value),
                }
            }
            op => {
                let operands: Vec<Tensor<'g>> = graph.operands(id).iter().map(|o| tensors[o]).collect();
                g.try_push(op.clone(), &operands).expect("the model's graph holds the same operation")
            }
        };
        tensors.insert(id, tensor);
    }
    if !missing.is_empty() {
        return Err(LearnError::Missing(missing));
    }
    let updates = updates.iter().map(|(param, value)| (tensors[param], tensors[value])).collect();
    Ok(Embedded { output: tensors[&output], updates, params })
}
