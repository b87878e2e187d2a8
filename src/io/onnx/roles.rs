//! What initializers are for, as far as a model's file tells, and the batch normalizations, whose statistics are either fixed or follow the batches.

use std::collections::{HashMap, HashSet};

use super::dtype::OnnxType;
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
    /// True if other nodes use those: it is in training mode in [`Model::for_inference`] too.
    pub stays: bool,
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
        let may_train = self.opsets().get("").is_some_and(|&version| version >= TRAINING);
        let used: HashSet<&str> = operands(self.graph()).collect();
        let nodes = self.graph().node.iter().filter(|node| is_batch_normalization(node));
        let described = nodes.filter_map(|node| {
            let training = may_train && trains(node);
            let updated = match &node.output[..] {
                [_, mean, variance, ..] if training && !mean.is_empty() && !variance.is_empty() => {
                    Some([mean.clone(), variance.clone()])
                }
                _ => None,
            };
            let stays = training && node.output.iter().skip(1).any(|name| used.contains(&**name));
            let statistics = [node.input.get(3)?.clone(), node.input.get(4)?.clone()];
            Some(BatchNormalization { result: node.output.first()?.clone(), training, statistics, updated, stays })
        });
        described.collect()
    }

    /// How many batch normalizations inside of functions, or of graphs inside of nodes, are in training mode. Those of a function count once, if it is called.
    pub fn inner_training(&self) -> usize {
        let version = |opsets: &[proto::OperatorSetId]| {
            opsets.iter().find(|o| domain(o.domain.as_deref()).is_empty()).and_then(|o| o.version)
        };
        let outer = version(&self.proto.opset_import);
        let bodies = self.proto.functions.iter().map(|f| &f.node);
        let called: Vec<&proto::Node> = bodies
            .flatten()
            .chain(&self.graph().node)
            .flat_map(|node| std::iter::once(node).chain(inside(node)))
            .collect();
        let is_set = |a: &proto::Attribute, name: &str| a.name.as_deref() == Some(name) && a.i.unwrap_or(0) != 0;
        let of_function = |f: &proto::Function| {
            let of_it: Vec<_> = called.iter().filter(|node| calls(node, f)).collect();
            // An attribute of the function may be what tells the mode.
            let given = |name: &str| {
                let default = f.attribute_proto.iter().any(|a| is_set(a, name));
                default || of_it.iter().any(|call| call.attribute.iter().any(|a| is_set(a, name)))
            };
            let follows = |node: &proto::Node| {
                let mode = node.attribute.iter().find(|a| a.name.as_deref() == Some("training_mode"));
                mode.and_then(|mode| mode.ref_attr_name.as_deref()).is_some_and(given)
            };
            if of_it.is_empty() || version(&f.opset_import).or(outer) < Some(TRAINING) {
                return 0;
            }
            let nodes = f.node.iter().flat_map(|node| std::iter::once(node).chain(inside(node)));
            nodes.filter(|node| is_batch_normalization(node) && (trains(node) || follows(node))).count()
        };
        let in_graphs = self.graph().node.iter().flat_map(inside);
        let in_graphs =
            in_graphs.filter(|node| is_batch_normalization(node) && trains(node) && outer >= Some(TRAINING));
        in_graphs.count() + self.proto.functions.iter().map(of_function).sum::<usize>()
    }

    /// True if a batch normalization or a dropout may be in training mode, and [`Model::for_inference`] is another model.
    pub fn may_train(&self) -> bool {
        let all = self.graph().node.iter().chain(self.proto.functions.iter().flat_map(|f| &f.node));
        self.batch_normalizations().iter().any(|norm| norm.training && !norm.stays)
            || all.flat_map(|node| std::iter::once(node).chain(inside(node))).any(is_flagged_dropout)
    }

    /// The model with its batch normalizations by running statistics, and without results that are updates of those, and without dropout, in functions too. A
    /// batch normalization whose updates other nodes use stays as it is, and so do those [inside of others](Model::inner_training).
    pub fn for_inference(&self) -> Model {
        let fixed = |norm: &BatchNormalization| norm.training && !norm.stays;
        let fixed: HashSet<String> =
            self.batch_normalizations().into_iter().filter(fixed).map(|norm| norm.result).collect();
        let mut model = self.clone();
        let proto::Model { graph, functions, .. } = &mut model.proto;
        let graph = graph.as_mut().expect("a model has a graph");
        let mut dropped: HashSet<String> = HashSet::new();
        for node in graph.node.iter_mut().filter(|node| is_batch_normalization(node)) {
            if node.output.first().is_some_and(|result| fixed.contains(result)) {
                dropped.extend(node.output.drain(1..));
                node.attribute.retain(|a| a.name.as_deref() != Some("training_mode"));
            }
        }
        graph.output.retain(|output| output.name.as_ref().is_none_or(|name| !dropped.contains(name)));
        functions.iter_mut().flat_map(|f| &mut f.node).chain(&mut graph.node).for_each(without_dropout);
        model
    }
}

/// The first version of the operator set in which batch normalizations tell by an attribute whether they train.
const TRAINING: i64 = 14;

/// The nodes of graphs inside of this node.
fn inside(node: &proto::Node) -> impl Iterator<Item = &proto::Node> {
    let (mut open, mut found) = (vec![node], Vec::new());
    while let Some(node) = open.pop() {
        let inner = node.attribute.iter().filter_map(|a| a.g.as_deref()).flat_map(|graph| &graph.node);
        let from = found.len();
        found.extend(inner);
        open.extend(&found[from..]);
    }
    found.into_iter()
}

/// The names of all operands of the nodes of a graph, and of the results of graphs inside of these.
fn operands(graph: &proto::Graph) -> impl Iterator<Item = &str> {
    let (mut names, mut graphs) = (Vec::new(), vec![graph]);
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            names.extend(node.input.iter().map(|name| &**name).filter(|name| !name.is_empty()));
            let inner = || node.attribute.iter().filter_map(|a| a.g.as_deref());
            names.extend(inner().flat_map(|graph| &graph.output).filter_map(|output| output.name.as_deref()));
            graphs.extend(inner());
        }
    }
    names.into_iter()
}

/// True if the node's operator is this function.
fn calls(node: &proto::Node, function: &proto::Function) -> bool {
    node.op_type == function.name && domain(node.domain.as_deref()) == domain(function.domain.as_deref())
}

/// A dropout, and those in graphs inside of a node, without the operand that tells whether it is training, which is not so without it.
fn without_dropout(node: &mut proto::Node) {
    if is_flagged_dropout(node) {
        node.input.truncate(2);
    }
    let graphs = node.attribute.iter_mut().filter_map(|a| a.g.as_deref_mut());
    graphs.flat_map(|graph| &mut graph.node).for_each(without_dropout);
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
