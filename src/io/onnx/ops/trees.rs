//! Ensembles of decision trees, of the domain `ai.onnx.ml`.
//!
//! All nodes of all trees stand in one table. An example is at one node of each tree; a step moves it to a child, and from a leaf to the leaf itself. After as
//! many steps as the deepest tree has levels, the weights of the leaves are added.

use std::collections::HashMap;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::DType;
use crate::prim::{ArgReduce, Extremum, Gather, Reduction};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, concat};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, constant_ints, count_of, one};
use super::{Operator, op};

/// The record of an operator of this domain.
const fn ml(name: &'static str, import: super::Import) -> Operator {
    Operator { domain: "ai.onnx.ml", until: 5, ..op(name, 1, import) }
}

pub(super) const OPERATORS: &[Operator] =
    &[ml("TreeEnsembleRegressor", regressor), ml("TreeEnsembleClassifier", classifier)];

/// The most levels of a tree.
const DEEPEST: usize = 1 << 10;

/// The most weights of all nodes and classes.
const MOST_WEIGHTS: usize = 1 << 26;

/// Trees as a table of nodes.
struct Trees {
    roots: Vec<i64>,
    features: Vec<i64>,
    thresholds: Vec<f64>,
    /// The comparison with which a node's true branch is taken.
    comparisons: Vec<ScalarFn>,
    /// The nodes of the branches; a leaf's own number.
    branches: [Vec<i64>; 2],
    /// Whether NaN takes the true branch.
    missing: Vec<bool>,
    levels: usize,
    /// The number of a node by its tree and its number there.
    numbers: HashMap<(i64, i64), usize>,
}

impl Trees {
    fn read(node: &Node<'_, '_>, features: usize) -> Result<Trees, Fault> {
        let list = |name| -> Result<Vec<i64>, Fault> { Ok(node.ints(name)?.unwrap_or_default()) };
        let (trees, own) = (list("nodes_treeids")?, list("nodes_nodeids")?);
        let (yes, no, of) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?, list("nodes_featureids")?);
        let modes = node.texts("nodes_modes")?.unwrap_or_default();
        let thresholds: Vec<f64> = match node.floats("nodes_values")? {
            Some(list) => list.into_iter().map(f64::from).collect(),
            None => return unsupported("thresholds that are not in `nodes_values`"),
        };
        // How often each node was reached in training.
        node.floats("nodes_hitrates")?;
        let missing = list("nodes_missing_value_tracks_true")?;
        let n = trees.len();
        let lengths = [own.len(), yes.len(), no.len(), of.len(), modes.len(), thresholds.len()];
        if n == 0 || lengths.iter().any(|&length| length != n) || !(missing.is_empty() || missing.len() == n) {
            return invalid("the lists of nodes differ in length, or are empty");
        }
        let mut numbers = HashMap::new();
        let mut roots: Vec<(i64, usize)> = Vec::new();
        for i in 0..n {
            if numbers.insert((trees[i], own[i]), i).is_some() {
                return invalid(format!("tree {} has two nodes {}", trees[i], own[i]));
            }
            if roots.last().is_none_or(|root| root.0 != trees[i]) {
                roots.push((trees[i], i));
            }
        }
        let mut table = Trees {
            roots: roots.iter().map(|root| root.1 as i64).collect(),
            features: Vec::new(),
            thresholds,
            comparisons: Vec::new(),
            branches: [Vec::new(), Vec::new()],
            missing: (0..n).map(|i| missing.get(i).is_some_and(|&flag| flag != 0)).collect(),
            levels: 0,
            numbers,
        };
        for i in 0..n {
            let leaf = modes[i] == "LEAF";
            table.comparisons.push(match modes[i] {
                "BRANCH_LEQ" | "LEAF" => ScalarFn::Le,
                "BRANCH_LT" => ScalarFn::Lt,
                "BRANCH_GTE" => ScalarFn::Ge,
                "BRANCH_GT" => ScalarFn::Gt,
                "BRANCH_EQ" => ScalarFn::Eq,
                "BRANCH_NEQ" => ScalarFn::Ne,
                other => return unsupported(format!("nodes of mode {other}")),
            });
            table.features.push(match usize::try_from(of[i]) {
                _ if leaf => 0,
                Ok(feature) if feature < features => feature as i64,
                _ => return invalid(format!("feature {} of {features}", of[i])),
            });
            for (branch, child) in table.branches.iter_mut().zip([yes[i], no[i]]) {
                branch.push(match table.numbers.get(&(trees[i], child)) {
                    _ if leaf => i as i64,
                    Some(&child) => child as i64,
                    None => return invalid(format!("tree {} has no node {child}", trees[i])),
                });
            }
        }
        table.levels = table.count_levels()?;
        Ok(table)
    }

    /// How many steps lead from the roots to leaves only.
    fn count_levels(&self) -> Result<usize, Fault> {
        let is_leaf = |i: usize| self.branches[0][i] == i as i64 && self.branches[1][i] == i as i64;
        let mut level: Vec<usize> = self.roots.iter().map(|&root| root as usize).collect();
        for steps in 0..=DEEPEST {
            let mut next: Vec<usize> = level
                .iter()
                .filter(|&&i| !is_leaf(i))
                .flat_map(|&i| [self.branches[0][i] as usize, self.branches[1][i] as usize])
                .collect();
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                return Ok(steps);
            }
            level = next;
        }
        invalid(format!("a tree has more than {DEEPEST} levels, or a node is above itself"))
    }

    /// The leaf of each tree for each row of features: `[rows, trees]`.
    fn leaves<'g>(&self, node: &Node<'_, 'g>, x: Tensor<'g>) -> Made<'g> {
        let g = node.g();
        let ints = |list: &[i64]| constant_ints(g, DType::I64, &[list.len()], list.to_vec());
        let rows = x.shape()[0];
        let thresholds = g.constant(Array::from(self.thresholds.clone())).to(x.dtype())?;
        let (features, yes, no) = (ints(&self.features)?, ints(&self.branches[0])?, ints(&self.branches[1])?);
        let missing = self.missing.contains(&true).then(|| g.constant(Array::from(self.missing.clone())));
        let mut kinds: Vec<ScalarFn> = Vec::new();
        self.comparisons.iter().for_each(|f| {
            if !kinds.contains(f) {
                kinds.push(*f);
            }
        });
        let kind = |f: &ScalarFn| kinds.iter().position(|other| other == f).unwrap_or(0) as i64;
        let of_kind = ints(&self.comparisons.iter().map(kind).collect::<Vec<i64>>())?;
        let mut at = ints(&self.roots)?.broadcast(&[rows, self.roots.len()].into())?;
        for _ in 0..self.levels {
            let value = g.try_push(Gather::new(1), &[x, features.gathered(at, 0)?])?;
            let threshold = thresholds.gathered(at, 0)?;
            let mut holds = value.f2(kinds[0], threshold)?;
            for (i, &f) in kinds.iter().enumerate().skip(1) {
                let own = of_kind.gathered(at, 0)?.with(ScalarFn::Eq, i as f64)?;
                holds = own.choose(value.f2(f, threshold)?, holds)?;
            }
            if let Some(missing) = missing {
                let tracked = value.f(ScalarFn::IsNan)?.f2(ScalarFn::And, missing.gathered(at, 0)?)?;
                holds = holds.f2(ScalarFn::Or, tracked)?;
            }
            at = holds.choose(yes.gathered(at, 0)?, no.gathered(at, 0)?)?;
        }
        Ok(at)
    }

    /// The weights that leaves have for classes, added over the trees, with the numbers that all begin with: `[rows, classes]`.
    fn sums<'g>(&self, node: &Node<'_, 'g>, x: Tensor<'g>, classes: usize, of: &Weights) -> Made<'g> {
        let n = self.features.len();
        if classes == 0 || n.saturating_mul(classes) > MOST_WEIGHTS {
            return invalid(format!("{classes} classes and {n} nodes are too many or none"));
        }
        let mut weights = vec![0f32; n * classes];
        for i in 0..of.ids.len() {
            let (Some(&leaf), Ok(class)) = (self.numbers.get(&(of.trees[i], of.nodes[i])), usize::try_from(of.ids[i]))
            else {
                return invalid(format!("a weight of node {} of tree {}", of.nodes[i], of.trees[i]));
            };
            match weights.get_mut(leaf * classes + class).filter(|_| class < classes) {
                Some(weight) => *weight += of.weights[i],
                None => return invalid(format!("class {class} of {classes}")),
            }
        }
        let weights = Array::new([n, classes], weights).map_err(|e| Fault::Invalid(e.to_string()))?;
        let taken = node.g().constant(weights).gathered(self.leaves(node, x)?, 0)?;
        let mut sum = taken.fold(Reduction::Sum, &[1], false)?;
        if of.average {
            sum = sum.with(ScalarFn::Div, self.roots.len() as f64)?;
        }
        match &of.base[..] {
            [] => Ok(sum),
            base if base.len() == classes => sum.f2(ScalarFn::Add, node.g().constant(Array::from(base.to_vec()))),
            base => invalid(format!("{} base values for {classes} classes", base.len())),
        }
    }
}

/// What leaves give to classes or targets.
struct Weights {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    ids: Vec<i64>,
    weights: Vec<f32>,
    base: Vec<f32>,
    average: bool,
}

impl Weights {
    fn read(node: &Node<'_, '_>, [trees, nodes, ids, weights]: [&'static str; 4]) -> Result<Weights, Fault> {
        let list = |name| -> Result<Vec<i64>, Fault> { Ok(node.ints(name)?.unwrap_or_default()) };
        let all = Weights {
            trees: list(trees)?,
            nodes: list(nodes)?,
            ids: list(ids)?,
            weights: node.floats(weights)?.unwrap_or_default(),
            base: node.floats("base_values")?.unwrap_or_default(),
            average: false,
        };
        let n = all.ids.len();
        if n == 0 || [all.trees.len(), all.nodes.len(), all.weights.len()].iter().any(|&length| length != n) {
            return invalid("the lists of weights differ in length, or are empty");
        }
        Ok(all)
    }
}

/// The operand as rows of floats.
fn rows<'g>(node: &Node<'_, 'g>) -> Made<'g> {
    let x = node.input(0)?;
    let x = if x.dtype() == DType::F64 { x } else { x.to(DType::F32)? };
    match x.rank() {
        1 => x.unsqueezed(0),
        2 => Ok(x),
        _ => invalid(format!("{} are no rows of features", x.ty())),
    }
}

fn transformed<'g>(node: &Node<'_, 'g>, scores: Tensor<'g>) -> Made<'g> {
    match node.text("post_transform", "NONE")? {
        "NONE" => Ok(scores),
        "LOGISTIC" => scores.f(ScalarFn::Sigmoid),
        "SOFTMAX" => Ok(scores.softmax(-1)),
        other => unsupported(format!("attribute `post_transform` = {other}")),
    }
}

fn regressor<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = rows(node)?;
    let trees = Trees::read(node, x.shape()[1])?;
    let weights = Weights::read(node, ["target_treeids", "target_nodeids", "target_ids", "target_weights"])?;
    let average = match node.text("aggregate_function", "SUM")? {
        "SUM" => false,
        "AVERAGE" => true,
        other => return unsupported(format!("attribute `aggregate_function` = {other}")),
    };
    let sums = trees.sums(node, x, count_of(node.int("n_targets", 1)?)?, &Weights { average, ..weights })?;
    one(transformed(node, sums))
}

/// The label of the largest sum, and the sums of all classes, transformed. Two classes may be given as one sum, for or against the second, which has number 0.
fn classifier<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = rows(node)?;
    let trees = Trees::read(node, x.shape()[1])?;
    let Some(labels) = node.ints("classlabels_int64s")? else { return unsupported("labels that are texts") };
    let weights = Weights::read(node, ["class_treeids", "class_nodeids", "class_ids", "class_weights"])?;
    let classes = labels.len();
    let g = node.g();
    let of_labels = constant_ints(g, DType::I64, &[classes], labels)?;
    let only = |id: i64| weights.ids.iter().all(|&other| other == id);
    if classes == 2 && only(1) {
        return unsupported("weights of the second class alone");
    }
    if classes == 2 && only(0) {
        let positive = weights.weights.iter().all(|&w| w >= 0.0);
        let score = trees.sums(node, x, 1, &weights)?;
        let place = score.with(ScalarFn::Gt, if positive { 0.5 } else { 0.0 })?.to(DType::I64)?;
        let label = of_labels.gathered(place, 0)?.squeezed(1)?;
        let logistic = node.text("post_transform", "NONE")? == "LOGISTIC";
        let pair = match (positive, logistic) {
            (true, _) => [score.number(1.0).f2(ScalarFn::Sub, score)?, score],
            (false, true) => [score.f(ScalarFn::Neg)?.f(ScalarFn::Sigmoid)?, score.f(ScalarFn::Sigmoid)?],
            (false, false) => [score.f(ScalarFn::Neg)?, score],
        };
        if !logistic {
            transformed(node, score)?;
        }
        return Ok(vec![label.into(), concat(&pair, 1)?.into()]);
    }
    let sums = trees.sums(node, x, classes, &weights)?;
    let place = sums.push1(ArgReduce { extremum: Extremum::Max, axis: 1 })?;
    let label = of_labels.gathered(place.to(DType::I64)?, 0)?;
    Ok(vec![label.into(), transformed(node, sums)?.into()])
}
