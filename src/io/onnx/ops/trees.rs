//! Ensembles of decision trees, of the domain `ai.onnx.ml`.
//!
//! All nodes of all trees stand in one table. An example is at one node of each tree; a step moves it to a child, and from a leaf to the leaf itself. After as
//! many steps as the deepest tree has levels, the weights of the leaves are added.
//!
//! A class or target to which no leaf of an example gives a weight has the sum 0, and a transformation is made of any number of sums. onnxruntime leaves the one
//! sum of a single target as it is where the transformation is `LOGISTIC` or one of the `SOFTMAX` kinds; leaves base values out where there are no weights;
//! chooses the label among the classes that have weights; where one of two classes has none, makes its score of the other's; and takes the numbers of `SOFTMAX` and
//! `LOGISTIC` in `TreeEnsemble` for each other.

use std::collections::{HashMap, HashSet};

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

pub(super) const OPERATORS: &[Operator] = &[
    ml("TreeEnsembleRegressor", regressor),
    ml("TreeEnsembleClassifier", classifier),
    Operator { since: 5, ..ml("TreeEnsemble", ensemble) },
];

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
    /// The number of a node by its tree and its number there, where nodes are named so.
    numbers: HashMap<(i64, i64), usize>,
}

/// A node of the table.
struct Branch {
    feature: i64,
    threshold: f64,
    comparison: ScalarFn,
    branches: [i64; 2],
    missing: bool,
}

/// The numbers of an attribute that is a list, or of one that is a tensor; none if both are missing.
fn numbers(node: &Node<'_, '_>, list: &'static str, tensor: &'static str) -> Result<Vec<f64>, Fault> {
    match node.floats(list)? {
        Some(list) => Ok(list.into_iter().map(f64::from).collect()),
        None => tensor_numbers(node, tensor),
    }
}

/// The numbers of an attribute that is a tensor; none if it is missing.
fn tensor_numbers(node: &Node<'_, '_>, name: &'static str) -> Result<Vec<f64>, Fault> {
    match node.array(name)? {
        Some((array, _)) if array.dtype().is_float() => Ok(array.to_f64_vec()),
        Some((array, _)) => invalid(format!("attribute `{name}` is {}, expected floats", array.ty())),
        None => Ok(Vec::new()),
    }
}

/// A feature that examples have.
fn feature_of(number: i64, features: usize) -> Result<i64, Fault> {
    match usize::try_from(number) {
        Ok(feature) if feature < features => Ok(number),
        _ => invalid(format!("feature {number} of {features}")),
    }
}

impl Trees {
    fn empty() -> Trees {
        Trees {
            roots: Vec::new(),
            features: Vec::new(),
            thresholds: Vec::new(),
            comparisons: Vec::new(),
            branches: [Vec::new(), Vec::new()],
            missing: Vec::new(),
            levels: 0,
            numbers: HashMap::new(),
        }
    }

    /// Adds a node; gives its number.
    fn push(&mut self, node: Branch) -> i64 {
        self.features.push(node.feature);
        self.thresholds.push(node.threshold);
        self.comparisons.push(node.comparison);
        self.missing.push(node.missing);
        self.branches.iter_mut().zip(node.branches).for_each(|(list, to)| list.push(to));
        self.features.len() as i64 - 1
    }

    fn push_leaf(&mut self) -> i64 {
        let own = self.features.len() as i64;
        self.push(Branch { feature: 0, threshold: 0.0, comparison: ScalarFn::Le, branches: [own; 2], missing: false })
    }

    /// Trees whose nodes have names: that of the tree, and a number. They may stand in any order, but the first of each tree is its root.
    fn read(node: &Node<'_, '_>, features: usize) -> Result<Trees, Fault> {
        let list = |name| -> Result<Vec<i64>, Fault> { Ok(node.ints(name)?.unwrap_or_default()) };
        let (trees, own) = (list("nodes_treeids")?, list("nodes_nodeids")?);
        let (yes, no, of) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?, list("nodes_featureids")?);
        let modes = node.texts("nodes_modes")?.unwrap_or_default();
        let thresholds = numbers(node, "nodes_values", "nodes_values_as_tensor")?;
        // How often each node was reached in training.
        numbers(node, "nodes_hitrates", "nodes_hitrates_as_tensor")?;
        let missing = list("nodes_missing_value_tracks_true")?;
        let n = trees.len();
        let lengths = [own.len(), yes.len(), no.len(), of.len(), modes.len(), thresholds.len()];
        if n == 0 || lengths.iter().any(|&length| length != n) || !(missing.is_empty() || missing.len() == n) {
            return invalid("the lists of nodes differ in length, or are empty");
        }
        let mut table = Trees::empty();
        let (mut rooted, mut rooted_at) = (HashSet::new(), HashSet::new());
        for i in 0..n {
            if table.numbers.insert((trees[i], own[i]), i).is_some() {
                return invalid(format!("tree {} has two nodes {}", trees[i], own[i]));
            }
            if rooted.insert(trees[i]) {
                table.roots.push(i as i64);
                rooted_at.insert(i);
            }
        }
        for i in 0..n {
            if modes[i] == "LEAF" {
                table.push_leaf();
                continue;
            }
            let comparison = match modes[i] {
                "BRANCH_LEQ" => ScalarFn::Le,
                "BRANCH_LT" => ScalarFn::Lt,
                "BRANCH_GTE" => ScalarFn::Ge,
                "BRANCH_GT" => ScalarFn::Gt,
                "BRANCH_EQ" => ScalarFn::Eq,
                "BRANCH_NEQ" => ScalarFn::Ne,
                other => return unsupported(format!("nodes of mode {other}")),
            };
            let mut branches = [0; 2];
            for (branch, child) in branches.iter_mut().zip([yes[i], no[i]]) {
                *branch = match table.numbers.get(&(trees[i], child)) {
                    Some(&at) if rooted_at.contains(&at) => {
                        return unsupported(format!("tree {}, whose first node is below another", trees[i]));
                    }
                    Some(&at) => at as i64,
                    None => return invalid(format!("tree {} has no node {child}", trees[i])),
                };
            }
            let (feature, threshold) = (feature_of(of[i], features)?, thresholds[i]);
            let missing = missing.get(i).is_some_and(|&flag| flag != 0);
            table.push(Branch { feature, threshold, comparison, branches, missing });
        }
        table.levels = table.count_levels()?;
        Ok(table)
    }

    /// Trees whose inner nodes and leaves are in lists of their own, with the numbers of the leaves in the table.
    fn read_apart(node: &Node<'_, '_>, features: usize, leaves: usize) -> Result<(Trees, Vec<usize>), Fault> {
        let list = |name| -> Result<Vec<i64>, Fault> { Ok(node.ints(name)?.unwrap_or_default()) };
        let (yes, no, of) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?, list("nodes_featureids")?);
        let (yes_leaf, no_leaf) = (list("nodes_trueleafs")?, list("nodes_falseleafs")?);
        let (missing, roots) = (list("nodes_missing_value_tracks_true")?, list("tree_roots")?);
        let modes = match node.array("nodes_modes")? {
            Some((modes, _)) if modes.dtype() == DType::U8 => modes.to_f64_vec(),
            _ => return invalid("attribute `nodes_modes` is no tensor of uint8"),
        };
        let thresholds = tensor_numbers(node, "nodes_splits")?;
        tensor_numbers(node, "nodes_hitrates")?;
        let members = tensor_numbers(node, "membership_values")?;
        let n = modes.len();
        let lengths = [yes.len(), no.len(), of.len(), yes_leaf.len(), no_leaf.len(), thresholds.len()];
        if n == 0 || lengths.iter().any(|&length| length != n) || !(missing.is_empty() || missing.len() == n) {
            return invalid("the lists of nodes differ in length, or are empty");
        }
        // Each set ends with NaN, the last perhaps without.
        let mut sets = members.split(|v| v.is_nan());
        let mut table = Trees::empty();
        let numbers: Vec<usize> = (0..leaves).map(|_| table.push_leaf() as usize).collect();
        // A node that asks for the members of a set is one for each member, of which the last stands for all.
        let mut asked: Vec<Vec<(ScalarFn, f64)>> = Vec::new();
        for i in 0..n {
            let comparison = match modes[i] as u8 {
                0 => ScalarFn::Le,
                1 => ScalarFn::Lt,
                2 => ScalarFn::Ge,
                3 => ScalarFn::Gt,
                4 => ScalarFn::Eq,
                5 => ScalarFn::Ne,
                6 => {
                    let Some(set) = sets.next() else {
                        return invalid("there are fewer sets than nodes that ask for one");
                    };
                    let set = if set.is_empty() { &[f64::NAN] } else { set };
                    asked.push(set.iter().map(|&member| (ScalarFn::Eq, member)).collect());
                    continue;
                }
                other => return invalid(format!("mode {other} of a node is not known")),
            };
            asked.push(vec![(comparison, thresholds[i])]);
        }
        let mut firsts = Vec::with_capacity(n);
        let mut next = leaves;
        for questions in &asked {
            firsts.push(next as i64);
            next += questions.len();
        }
        for i in 0..n {
            let mut ends = [0; 2];
            for (end, (to, is_leaf)) in ends.iter_mut().zip([(yes[i], yes_leaf[i]), (no[i], no_leaf[i])]) {
                let at = usize::try_from(to).ok();
                let found = match is_leaf {
                    0 => at.and_then(|at| firsts.get(at).copied()),
                    _ => at.filter(|&at| at < leaves).map(|at| at as i64),
                };
                *end = match found {
                    Some(at) => at,
                    None => return invalid(format!("node {i} leads to {to}, which is not there")),
                };
            }
            let feature = feature_of(of[i], features)?;
            let missing = missing.get(i).is_some_and(|&flag| flag != 0);
            for (k, &(comparison, threshold)) in asked[i].iter().enumerate() {
                let other = if k + 1 < asked[i].len() { firsts[i] + k as i64 + 1 } else { ends[1] };
                table.push(Branch { feature, threshold, comparison, branches: [ends[0], other], missing });
            }
        }
        for root in roots {
            match usize::try_from(root).ok().and_then(|root| firsts.get(root)) {
                Some(&first) => table.roots.push(first),
                None => return invalid(format!("the root {root} is none of {n} nodes")),
            }
        }
        if table.roots.is_empty() {
            return invalid("there are no roots");
        }
        table.levels = table.count_levels()?;
        Ok((table, numbers))
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

    /// The weights that leaves have for classes, taken together over the trees, with the numbers that all begin with: `[rows, classes]`.
    fn sums<'g>(&self, node: &Node<'_, 'g>, x: Tensor<'g>, classes: usize, of: &Weights) -> Made<'g> {
        let n = self.features.len();
        if classes == 0 || n.saturating_mul(classes) > MOST_WEIGHTS {
            return invalid(format!("{classes} classes and {n} nodes are too many or none"));
        }
        let mut weights = vec![0f64; n * classes];
        let mut there = vec![false; n * classes];
        for i in 0..of.ids.len() {
            let Some(class) = usize::try_from(of.ids[i]).ok().filter(|&class| class < classes) else {
                return invalid(format!("class {} of {classes}", of.ids[i]));
            };
            weights[of.leaves[i] * classes + class] += of.weights[i];
            there[of.leaves[i] * classes + class] = true;
        }
        let g = node.g();
        let (fold, empty) = match of.aggregate {
            Aggregate::Sum | Aggregate::Average => (Reduction::Sum, 0.0),
            Aggregate::Min => (Reduction::Min, f64::INFINITY),
            Aggregate::Max => (Reduction::Max, f64::NEG_INFINITY),
        };
        weights.iter_mut().zip(&there).filter(|(_, there)| !**there).for_each(|(weight, _)| *weight = empty);
        let table = Array::new([n, classes], weights).map_err(|e| Fault::Invalid(e.to_string()))?;
        let taken = g.constant(table).to(of.dtype)?.gathered(self.leaves(node, x)?, 0)?;
        let mut sum = taken.fold(fold, &[1], false)?;
        match of.aggregate {
            Aggregate::Sum => {}
            Aggregate::Average => sum = sum.with(ScalarFn::Div, self.roots.len() as f64)?,
            Aggregate::Min | Aggregate::Max => {
                sum = sum.with(ScalarFn::Eq, empty)?.choose(sum.number(0.0), sum)?;
            }
        }
        match &of.base[..] {
            [] => Ok(sum),
            base if base.len() == classes => {
                sum.f2(ScalarFn::Add, g.constant(Array::from(base.to_vec())).to(of.dtype)?)
            }
            base => invalid(format!("{} base values for {classes} classes", base.len())),
        }
    }
}

/// How the weights of several trees become one.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// What leaves give to classes or targets.
struct Weights {
    /// The leaves' numbers in the table.
    leaves: Vec<usize>,
    ids: Vec<i64>,
    weights: Vec<f64>,
    base: Vec<f64>,
    aggregate: Aggregate,
    /// The type in which they are added.
    dtype: DType,
}

impl Weights {
    fn read(
        node: &Node<'_, '_>,
        table: &Trees,
        [trees, nodes, ids, weights, tensor]: [&'static str; 5],
    ) -> Result<Weights, Fault> {
        let list = |name| -> Result<Vec<i64>, Fault> { Ok(node.ints(name)?.unwrap_or_default()) };
        let (trees, nodes, ids) = (list(trees)?, list(nodes)?, list(ids)?);
        let weights = numbers(node, weights, tensor)?;
        let n = ids.len();
        if n == 0 || [trees.len(), nodes.len(), weights.len()].iter().any(|&length| length != n) {
            return invalid("the lists of weights differ in length, or are empty");
        }
        let leaf = |(&tree, &number)| match table.numbers.get(&(tree, number)) {
            Some(&leaf) => Ok(leaf),
            None => invalid(format!("a weight of node {number} of tree {tree}")),
        };
        Ok(Weights {
            leaves: trees.iter().zip(&nodes).map(leaf).collect::<Result<_, Fault>>()?,
            ids,
            weights,
            base: numbers(node, "base_values", "base_values_as_tensor")?,
            aggregate: Aggregate::Sum,
            dtype: DType::F32,
        })
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
    transform(node.text("post_transform", "NONE")?, scores)
}

fn transform<'g>(name: &str, scores: Tensor<'g>) -> Made<'g> {
    match name {
        "NONE" => Ok(scores),
        "LOGISTIC" => scores.f(ScalarFn::Sigmoid),
        "SOFTMAX" => Ok(scores.softmax(-1)),
        // What is near 0 is scaled, as onnxruntime has it.
        "SOFTMAX_ZERO" => {
            let last = scores.rank() - 1;
            let most = scores.fold(Reduction::Max, &[last], true)?;
            let exponential = scores.f2(ScalarFn::Sub, most)?.f(ScalarFn::Exp)?;
            let rest = scores.f2(ScalarFn::Mul, most.f(ScalarFn::Neg)?.f(ScalarFn::Exp)?)?;
            let counts = scores.f(ScalarFn::Abs)?.with(ScalarFn::Gt, 1e-7)?;
            let parts = counts.choose(exponential, rest)?;
            let sum = parts.fold(Reduction::Sum, &[last], true)?;
            let sum = sum.with(ScalarFn::Eq, 0.0)?.choose(sum.number(1.0), sum)?;
            parts.f2(ScalarFn::Div, sum)
        }
        "PROBIT" => {
            let doubled = scores.with(ScalarFn::Mul, 2.0)?.with(ScalarFn::Sub, 1.0)?;
            doubled.f(ScalarFn::ErfInv)?.with(ScalarFn::Mul, std::f64::consts::SQRT_2)
        }
        other => unsupported(format!("attribute `post_transform` = {other}")),
    }
}

fn regressor<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = rows(node)?;
    let trees = Trees::read(node, x.shape()[1])?;
    let names = ["target_treeids", "target_nodeids", "target_ids", "target_weights", "target_weights_as_tensor"];
    let weights = Weights::read(node, &trees, names)?;
    let aggregate = match node.text("aggregate_function", "SUM")? {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => return invalid(format!("aggregate_function `{other}` is not known")),
    };
    let sums = trees.sums(node, x, count_of(node.int("n_targets", 1)?)?, &Weights { aggregate, ..weights })?;
    one(transformed(node, sums))
}

/// The operator of version 5, whose leaves have one weight each.
fn ensemble<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let own = node.float_input(0)?.dtype();
    let x = rows(node)?;
    let weights = tensor_numbers(node, "leaf_weights")?;
    let ids = node.ints("leaf_targetids")?.unwrap_or_default();
    if weights.is_empty() || weights.len() != ids.len() || weights.len() > MOST_WEIGHTS {
        return invalid(format!("{} weights of leaves and {} targets of leaves", weights.len(), ids.len()));
    }
    let (trees, leaves) = Trees::read_apart(node, x.shape()[1], weights.len())?;
    let aggregate = match node.int("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return invalid(format!("aggregate_function {other} is not known")),
    };
    let targets = match node.int_optional("n_targets")? {
        Some(n) => count_of(n)?,
        None => return invalid("attribute `n_targets` is missing"),
    };
    let weights = Weights { leaves, ids, weights, base: Vec::new(), aggregate, dtype: x.dtype() };
    let sums = trees.sums(node, x, targets, &weights)?;
    let post = match node.int("post_transform", 0)? {
        0 => "NONE",
        1 => "SOFTMAX",
        2 => "LOGISTIC",
        3 => "SOFTMAX_ZERO",
        4 => "PROBIT",
        other => return invalid(format!("post_transform {other} is not known")),
    };
    one(transform(post, sums)?.to(own))
}

/// The label of the largest sum, and the sums of all classes, transformed. Two classes may be given as one sum, for or against the second, which has number 0.
fn classifier<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = rows(node)?;
    let trees = Trees::read(node, x.shape()[1])?;
    let Some(labels) = node.ints("classlabels_int64s")? else { return unsupported("labels that are texts") };
    let names = ["class_treeids", "class_nodeids", "class_ids", "class_weights", "class_weights_as_tensor"];
    let weights = Weights::read(node, &trees, names)?;
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
