//! What initializers are for, as far as a model's file tells, and the batch normalizations, whose statistics are either fixed or follow the batches.

use std::collections::{HashMap, HashSet};

use super::dtype::OnnxType;
use super::import::used_names;
use super::model::{Model, domain};
use super::proto;

/// What a floating-point initializer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A parameter that is learned.
    Learned,
    /// A scalar: exporters lift the numbers of expressions out.
    Number,
    /// A running mean or variance of a batch normalization.
    Statistics,
    /// The first state of a recurrent layer.
    FirstState,
}

/// A batch normalization of the outermost graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchNormalization {
    /// The name of its result.
    pub result: String,
    /// True if it normalizes by the statistics of the batch.
    pub training: bool,
    /// The names of the running mean and the running variance.
    pub statistics: [String; 2],
    /// The names of their values after the batch, in training.
    pub updated: Option<[String; 2]>,
}

impl Model {
    /// The floating-point initializers, in the order of the file.
    pub fn purposes(&self) -> Vec<(String, Purpose)> {
        let special = special(self.graph());
        let tensors = self.graph().initializer.iter();
        let floats = tensors.filter(|t| OnnxType(t.data_type.unwrap_or(0)).dtype().is_some_and(|d| d.is_float()));
        let purpose = |tensor: &proto::Tensor| {
            let name = tensor.name.as_deref().unwrap_or("");
            let purpose = match special.get(name) {
                Some(&purpose) => purpose,
                None if tensor.dims.is_empty() => Purpose::Number,
                None => Purpose::Learned,
            };
            (name.to_owned(), purpose)
        };
        floats.map(purpose).collect()
    }

    /// The batch normalizations of the outermost graph.
    pub fn batch_normalizations(&self) -> Vec<BatchNormalization> {
        let may_train = self.opsets().get("").is_some_and(|&version| version >= 14);
        let nodes = self.graph().node.iter().filter(|node| is_batch_normalization(node));
        let described = nodes.filter_map(|node| {
            let training = may_train && trains(node);
            let updated = match &node.output[..] {
                [_, mean, variance, ..] if training && !mean.is_empty() && !variance.is_empty() => {
                    Some([mean.clone(), variance.clone()])
                }
                _ => None,
            };
            let statistics = [node.input.get(3)?.clone(), node.input.get(4)?.clone()];
            Some(BatchNormalization { result: node.output.first()?.clone(), training, statistics, updated })
        });
        described.collect()
    }

    /// True if a batch normalization or a dropout may be in training mode: [`Model::for_inference`] is another model then.
    pub fn may_train(&self) -> bool {
        self.batch_normalizations().iter().any(|norm| norm.training) || self.graph().node.iter().any(is_flagged_dropout)
    }

    /// The model with its batch normalizations by running statistics, and without results that are updates of those, and without dropout. A batch normalization
    /// whose updates other nodes use stays as it is.
    pub fn for_inference(&self) -> Model {
        let training: Vec<_> = self.batch_normalizations().into_iter().filter(|norm| norm.training).collect();
        let mut model = self.clone();
        let graph = model.proto.graph.as_mut().expect("a model has a graph");
        let updates: HashSet<&String> = training.iter().flat_map(|norm| norm.updated.iter().flatten()).collect();
        graph.output.retain(|output| output.name.as_ref().is_none_or(|name| !updates.contains(name)));
        let used: HashSet<String> = used_names(graph).into_iter().map(str::to_owned).collect();
        for norm in &training {
            if norm.updated.iter().flatten().any(|name| used.contains(name)) {
                continue;
            }
            let is_it =
                |node: &&mut proto::Node| is_batch_normalization(node) && node.output.first() == Some(&norm.result);
            if let Some(node) = graph.node.iter_mut().find(is_it) {
                node.output.truncate(1);
                node.attribute.retain(|a| a.name.as_deref() != Some("training_mode"));
            }
        }
        // The third operand tells whether it is training, which is not so without it.
        graph.node.iter_mut().filter(|node| is_flagged_dropout(node)).for_each(|node| node.input.truncate(2));
        model
    }
}

fn is_flagged_dropout(node: &proto::Node) -> bool {
    let is_dropout = domain(node.domain.as_deref()).is_empty() && node.op_type.as_deref() == Some("Dropout");
    is_dropout && node.input.get(2).is_some_and(|flag| !flag.is_empty())
}

fn is_batch_normalization(node: &proto::Node) -> bool {
    domain(node.domain.as_deref()).is_empty() && node.op_type.as_deref() == Some("BatchNormalization")
}

fn trains(node: &proto::Node) -> bool {
    node.attribute.iter().any(|a| a.name.as_deref() == Some("training_mode") && a.i.unwrap_or(0) != 0)
}

/// The initializers that are running means and variances, or first states of recurrent layers.
pub(super) fn special(graph: &proto::Graph) -> HashMap<&str, Purpose> {
    let of = |node: &proto::Node| match node.op_type.as_deref() {
        Some("BatchNormalization") => (3, 2, Purpose::Statistics),
        Some("RNN" | "GRU" | "LSTM") => (5, 2, Purpose::FirstState),
        _ => (0, 0, Purpose::Learned),
    };
    let named = graph.node.iter().flat_map(|node| {
        let (from, count, purpose) = of(node);
        node.input.iter().skip(from).take(count).map(move |name| (&**name, purpose))
    });
    named.filter(|(name, _)| !name.is_empty()).collect()
}
