//! Random programs.
//!
//! A program grows node by node. Every node is evaluated when it is made, by [`bound::evaluate`], and one that is no basis for a comparison (it would
//! divide by nearly nothing, or compare sums that engines round differently) is not made. So the results of what remains are mostly finite, and the
//! distance at which an engine is wrong is known for each element.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::array::Array;
use crate::build::Program;
use crate::graph::{DType, Dims, Graph, Name, NodeId, Origin, Shape, TensorType};
use crate::interp::{self, Results};
use crate::prim::{Broadcast, Cast, Const, Input, Op, OpKind, Param, ParamKind, Reduce, Reduction, Reshape, Transpose};
use crate::scalar::ScalarFn;

use super::bound::{self, Bounded, IllConditioned, Specials};
use super::compare::{Mismatch, compare_within};
use super::draw::{Draw, array_of};

/// What programs are generated.
#[derive(Clone, Debug)]
pub struct Config {
    /// Count of operations asked for; some bring operands along.
    pub nodes: RangeInclusive<usize>,
    /// The largest count of elements of a node.
    pub max_elements: usize,
    /// Whether gradients are taken and become outputs and updates.
    pub gradients: bool,
    /// Whether NaN, infinities and zeros of both signs occur.
    pub specials: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { nodes: 4..=32, max_elements: 2048, gradients: true, specials: false }
    }
}

/// A program with the data of one run and what a correct engine makes of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The seed that it was generated from.
    pub seed: u64,
    /// The program, with its parameters' initial values.
    pub program: Program,
    /// The inputs' values.
    pub inputs: BTreeMap<Name, Array>,
    /// The reference interpreter's results.
    pub expected: Results,
    /// For each output, how far a correct engine's elements may be away.
    pub output_errors: Vec<Vec<f64>>,
    /// For each update, how far a correct engine's elements may be away.
    pub update_errors: Vec<Vec<f64>>,
}

/// A result that is not what the reference says.
#[derive(Clone, Debug, thiserror::Error)]
#[error("seed {seed}: {what} `{name}`: {mismatch}")]
pub struct CaseMismatch {
    /// The case's seed.
    pub seed: u64,
    /// `output` or `update of`.
    pub what: &'static str,
    /// Name of the output, or of the parameter.
    pub name: Name,
    /// The difference.
    pub mismatch: Mismatch,
}

impl Case {
    /// The value of an input or parameter before the run.
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn leaf(&self, name: &str) -> &Array {
        let value = self.inputs.get(name).or_else(|| self.program.initial.get(name).map(|value| &**value));
        value.unwrap_or_else(|| panic!("there is no input or parameter `{name}`"))
    }

    /// Compares an engine's results with the reference's.
    ///
    /// # Errors
    /// The first output or update with an element too far away.
    ///
    /// # Panics
    /// If there are not as many outputs and updates as the graph has.
    #[allow(clippy::result_large_err, reason = "the error is the report of a failed test, and is built once")]
    pub fn check(&self, actual: &Results) -> Result<(), CaseMismatch> {
        let graph = &self.program.graph;
        let outputs = graph.outputs().iter().map(|o| ("output", &o.name));
        let parameter = |id| graph.op(id).leaf_name().expect("updates are of parameters");
        let updates = graph.updates().iter().map(|u| ("update of", parameter(u.param)));
        assert_eq!(actual.outputs.len(), graph.outputs().len(), "one array for each output");
        assert_eq!(actual.updates.len(), graph.updates().len(), "one array for each update");
        let expected = self.expected.outputs.iter().chain(&self.expected.updates);
        let errors = self.output_errors.iter().chain(&self.update_errors);
        let actual = actual.outputs.iter().chain(&actual.updates);
        for ((((what, name), expected), errors), actual) in outputs.chain(updates).zip(expected).zip(errors).zip(actual)
        {
            compare_within(expected, actual, |i| 8.0 * errors[i]).map_err(|mismatch| CaseMismatch {
                seed: self.seed,
                what,
                name: name.clone(),
                mismatch,
            })?;
        }
        Ok(())
    }
}

/// The program of this seed, of the default kind.
pub fn generate(seed: u64) -> Case {
    generate_with(seed, &Config::default())
}

/// The program of this seed.
pub fn generate_with(seed: u64, config: &Config) -> Case {
    let mut g = Generator::new(seed, config);
    let wanted = g.draw.between(*config.nodes.start(), *config.nodes.end());
    let first = g.draw.between(1, 3);
    for _ in 0..first {
        g.leaf_of_any_type();
    }
    for _ in 0..wanted {
        // A recipe that finds no operands, or makes an ill-conditioned node, is drawn again.
        for _ in 0..8 {
            if g.grow().is_some() {
                break;
            }
        }
    }
    if config.gradients && g.draw.chance(0.6) {
        g.differentiate();
    }
    g.choose_results();
    g.finish()
}

/// The program under construction.
pub(super) struct Generator<'c> {
    pub(super) draw: Draw,
    pub(super) config: &'c Config,
    seed: u64,
    pub(super) graph: Graph,
    /// For each node its value, or `None` if it must not be used.
    pub(super) values: Vec<Option<Bounded>>,
    pub(super) inputs: BTreeMap<Name, Array>,
    pub(super) initial: BTreeMap<Name, Arc<Array>>,
    /// How many bodies the program lies in.
    pub(super) depth: usize,
}

impl<'c> Generator<'c> {
    fn new(seed: u64, config: &'c Config) -> Generator<'c> {
        Generator::inside(seed, config, 0)
    }

    /// A program that lies in `depth` bodies.
    pub(super) fn inside(seed: u64, config: &'c Config, depth: usize) -> Generator<'c> {
        Generator {
            depth,
            draw: Draw::new(seed),
            config,
            seed,
            graph: Graph::new(),
            values: Vec::new(),
            inputs: BTreeMap::new(),
            initial: BTreeMap::new(),
        }
    }

    pub(super) fn ty(&self, id: NodeId) -> TensorType {
        self.graph.ty(id).clone()
    }

    /// Appends an operation, or nothing if it does not fit or is no basis for a comparison.
    pub(super) fn push(&mut self, op: impl Into<Op>, operands: &[NodeId]) -> Option<NodeId> {
        let op = op.into();
        if let Some(half) = operands.iter().map(|&o| self.ty(o).dtype).find(|d| d.is_half() && !op.takes_halves()) {
            let mut widened = Vec::new();
            for &o in operands {
                let is_half = self.ty(o).dtype == half;
                widened.push(if is_half { self.push(Cast { dtype: DType::F32 }, &[o])? } else { o });
            }
            let result = self.push(op, &widened)?;
            let back = self.ty(result).dtype == DType::F32;
            return if back { self.push(Cast { dtype: half }, &[result]) } else { Some(result) };
        }
        let types: Vec<TensorType> = operands.iter().map(|&o| self.ty(o)).collect();
        let ty = op.infer(&types.iter().collect::<Vec<_>>()).ok()?;
        if ty.shape.rank() > 5 || ty.shape.checked_numel()? > self.config.max_elements {
            return None;
        }
        if self.is_index_out_of_range(&op, operands) {
            return None;
        }
        let value = self.evaluate(&op, operands, &ty).ok()?;
        let id = self.graph.push(op, operands, Origin::default()).ok()?;
        self.values.push(Some(value));
        Some(id)
    }

    fn evaluate(&self, op: &Op, operands: &[NodeId], ty: &TensorType) -> Result<Bounded, IllConditioned> {
        let values: Option<Vec<&Bounded>> = operands.iter().map(|o| self.values[o.index()].as_ref()).collect();
        let values = values.ok_or(IllConditioned::Jump)?;
        let repeated = matches!(operands, [a, b] if a == b);
        let specials = if self.config.specials { Specials::Accept } else { Specials::Refuse };
        bound::evaluate(op, &values, ty, repeated, specials)
    }

    /// True for choices by an input's own numbers of which some are out of range, and nothing is there to stand for them: executables refuse such inputs.
    fn is_index_out_of_range(&self, op: &Op, operands: &[NodeId]) -> bool {
        let batch = match op {
            Op::Gather(gather) if f64::from_bits(gather.fill).is_nan() => gather.batch,
            _ => return false,
        };
        let mut index = operands[1];
        while matches!(self.graph.op(index), Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_)) {
            index = self.graph.operands(index)[0];
        }
        let extent = self.graph.shape(operands[0])[batch] as f64;
        let Some(Bounded { value, .. }) = &self.values[index.index()] else {
            return true;
        };
        matches!(self.graph.op(index), Op::Input(_)) && value.to_f64_vec().iter().any(|v| !(0.0..extent).contains(v))
    }

    /// A node that fits, most likely one of the newest.
    pub(super) fn node(&mut self, fits: impl Fn(&TensorType) -> bool) -> Option<NodeId> {
        let usable = |id: &NodeId| self.values[id.index()].is_some() && fits(self.graph.ty(*id));
        let found: Vec<NodeId> = self.graph.ids().filter(usable).collect();
        if found.is_empty() {
            return None;
        }
        let newest = found.len().min(4);
        Some(if self.draw.chance(0.6) {
            found[found.len() - 1 - self.draw.below(newest)]
        } else {
            self.draw.of(&found)
        })
    }

    /// A node of this type: one that is there, one made by a movement, or a new leaf. `None` if it would have too many elements.
    pub(super) fn of_type(&mut self, ty: &TensorType) -> Option<NodeId> {
        if ty.shape.checked_numel()? > self.config.max_elements {
            return None;
        }
        let way = self.draw.unit();
        if way < 0.5
            && let Some(id) = self.node(|t| t == ty)
        {
            return Some(id);
        }
        let rank = ty.shape.rank();
        if way < 0.75 && rank > 0 {
            let axes = self.some_axes(rank);
            let small = TensorType::new(ty.dtype, ty.shape.without(&axes));
            let id = self.of_type(&small)?;
            let shape = ty.shape.clone();
            return self.push(Broadcast { shape, axes }, &[id]);
        }
        if way < 0.85 && rank > 1 {
            let permutation: Dims = self.draw.shuffled((0..rank).collect()).into_iter().collect();
            let turned = Transpose { permutation };
            let shape: Shape = turned.inverse().iter().map(|&p| ty.shape[p]).collect();
            let id = self.leaf(&TensorType::new(ty.dtype, shape));
            return self.push(turned, &[id]);
        }
        Some(self.leaf(ty))
    }

    /// At least one of `0..rank`, ascending.
    pub(super) fn some_axes(&mut self, rank: usize) -> Dims {
        let count = self.draw.between(1, rank);
        let mut axes: Vec<usize> = self.draw.shuffled((0..rank).collect());
        axes.truncate(count);
        axes.sort_unstable();
        axes.into_iter().collect()
    }

    /// An extent: often one that leaves a tail behind the vectors, sometimes 1, seldom 0.
    pub(super) fn extent(&mut self) -> usize {
        if self.draw.chance(0.02) {
            return 0;
        }
        self.draw.of(&[1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 16, 17, 33])
    }

    pub(super) fn shape(&mut self) -> Shape {
        let rank = self.draw.of(&[0, 1, 1, 2, 2, 2, 3, 3, 4]);
        loop {
            let shape: Shape = (0..rank).map(|_| self.extent()).collect();
            if shape.numel() <= self.config.max_elements {
                return shape;
            }
        }
    }

    pub(super) fn dtype(&mut self) -> DType {
        const TYPES: [DType; 12] = [
            DType::F32,
            DType::F32,
            DType::F32,
            DType::F64,
            DType::F64,
            DType::I32,
            DType::I64,
            DType::U8,
            DType::U32,
            DType::F16,
            DType::BF16,
            DType::Bool,
        ];
        self.draw.of(&TYPES)
    }

    pub(super) fn leaf_of_any_type(&mut self) -> NodeId {
        let ty = TensorType::new(self.dtype(), self.shape());
        self.leaf(&ty)
    }

    /// A new input, parameter or constant.
    pub(super) fn leaf(&mut self, ty: &TensorType) -> NodeId {
        let value = self.numbers(ty);
        self.leaf_with(value)
    }

    /// A new input, parameter or constant of this value.
    pub(super) fn leaf_with(&mut self, value: Array) -> NodeId {
        match self.draw.below(8) {
            0..4 => self.input(value),
            4..7 => self.param(value),
            _ => self.constant(value),
        }
    }

    pub(super) fn input(&mut self, value: Array) -> NodeId {
        let name: Name = format!("x{}", self.inputs.len()).into();
        self.inputs.insert(name.clone(), value.clone());
        self.push_leaf(Input { name, ty: value.ty() }, value)
    }

    pub(super) fn param(&mut self, value: Array) -> NodeId {
        let name: Name = format!("p{}", self.initial.len()).into();
        self.initial.insert(name.clone(), Arc::new(value.clone()));
        let kind = if self.draw.chance(0.7) { ParamKind::Trainable } else { ParamKind::State };
        self.push_leaf(Param { name, ty: value.ty(), kind }, value)
    }

    pub(super) fn constant(&mut self, value: Array) -> NodeId {
        self.push_leaf(Const { value: value.clone().into() }, value)
    }

    fn push_leaf(&mut self, op: impl Into<Op>, value: Array) -> NodeId {
        let id = self.graph.push(op, &[], Origin::default()).expect("names are distinct");
        self.values.push(Some(Bounded::exact(value)));
        id
    }

    /// Numbers of this type. Half of the floats lie on a grid on which sums and products are exact, so that comparisons may follow.
    fn numbers(&mut self, ty: &TensorType) -> Array {
        let style = self.draw.below(10);
        let specials = self.config.specials && self.draw.chance(0.3);
        match ty.dtype {
            DType::Bool => self.draw.uniform(ty, 0.0, 1.0),
            DType::U8 | DType::I32 | DType::U32 | DType::I64 if style == 0 => {
                let (low, high) = match ty.dtype {
                    DType::U8 => (0.0, 255.0),
                    DType::I32 => (-2147483648.0, 2147483647.0),
                    DType::U32 => (0.0, 4294967295.0),
                    _ => (-9e18, 9e18),
                };
                self.draw.fill(ty, |d| if d.chance(0.3) { d.of(&[low, high]) } else { low + d.unit() * (high - low) })
            }
            DType::U8 | DType::U32 => self.draw.fill(ty, |d| d.below(12) as f64),
            DType::I32 | DType::I64 => self.draw.fill(ty, |d| d.below(15) as f64 - 5.0),
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => match style {
                _ if specials => self.draw.fill(ty, |d| {
                    let special = d.of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0]);
                    if d.chance(0.1) { special } else { d.below(17) as f64 / 2.0 - 4.0 }
                }),
                0..3 => self.draw.fill(ty, |d| d.below(17) as f64 / 2.0 - 4.0),
                3..5 => self.draw.fill(ty, |d| d.below(7) as f64 - 3.0),
                5 => self.draw.uniform(ty, 0.5, 2.0),
                _ => self.draw.uniform(ty, -2.0, 2.0),
            },
        }
    }

    /// Numbers of the interval from which tests of `f` draw, as a constant, input or parameter.
    pub(super) fn in_domain(&mut self, f: ScalarFn, ty: &TensorType) -> NodeId {
        let (low, high) = f.record().domain;
        let value = self.draw.uniform(ty, low, high);
        self.leaf_with(value)
    }

    pub(super) fn scalar(&mut self, dtype: DType, value: f64) -> NodeId {
        self.constant(array_of(&TensorType::new(dtype, []), &[value]))
    }

    /// Takes gradients of a node by some leaves, and now and then of those again.
    fn differentiate(&mut self) {
        for _ in 0..1 + usize::from(self.draw.chance(0.25)) {
            let Some(node) = self.node(|t| t.dtype.is_float()) else {
                return;
            };
            let Some(loss) = self.weighted_sum(node) else { return };
            let is_wrt = |id: &NodeId| {
                matches!(self.graph.op(*id), Op::Input(_) | Op::Param(_)) && self.graph.ty(*id).dtype.is_float()
            };
            let mut wrt: Vec<NodeId> = self.graph.ids().filter(is_wrt).collect();
            wrt = self.draw.shuffled(wrt);
            wrt.truncate(4);
            let before = self.graph.len();
            let gradients = crate::grad::grad(&mut self.graph, loss, &wrt).expect("a float scalar by floats");
            for id in self.graph.ids().skip(before) {
                let (op, ty) = (self.graph.op(id).clone(), self.ty(id));
                let operands = self.graph.operands(id);
                let value = if self.is_index_out_of_range(&op, &operands) {
                    None
                } else {
                    self.evaluate(&op, &operands, &ty).ok()
                };
                self.values.push(value);
            }
            for (&w, gradient) in wrt.iter().zip(gradients) {
                self.maybe_update(w, gradient);
            }
        }
    }

    fn weighted_sum(&mut self, node: NodeId) -> Option<NodeId> {
        let ty = self.ty(node);
        let weights = self.draw.fill(&ty, |d| d.below(7) as f64 / 2.0 - 1.0);
        let weights = self.constant(weights);
        let product = self.map(ScalarFn::Mul, &[node, weights])?;
        self.sum_all(product)
    }

    pub(super) fn sum_all(&mut self, node: NodeId) -> Option<NodeId> {
        let axes: Dims = (0..self.ty(node).shape.rank()).collect();
        let reduction = Reduction::Sum;
        if axes.is_empty() { Some(node) } else { self.push(Reduce { reduction, axes }, &[node]) }
    }

    /// Gives parameter `p` the new value `p - lr * gradient`, if there is a good gradient and no other update.
    fn maybe_update(&mut self, p: NodeId, gradient: NodeId) {
        if self.values[gradient.index()].is_none() || self.draw.chance(0.2) {
            return;
        }
        if !matches!(self.graph.op(p), Op::Param(_)) || self.graph.updates().iter().any(|u| u.param == p) {
            return;
        }
        let ty = self.ty(p);
        let rate = self.scalar(ty.dtype, 0.125);
        let axes = (0..ty.shape.rank()).collect();
        let rate = self.broadcast(rate, ty.shape.clone(), axes);
        let Some(step) = rate.and_then(|rate| self.map(ScalarFn::Mul, &[gradient, rate])) else {
            return;
        };
        if let Some(value) = self.map(ScalarFn::Sub, &[p, step]) {
            self.graph.add_update(p, value).expect("an update is typed like its parameter");
        }
    }

    /// Gives parameter `p` a new value.
    pub(super) fn update(&mut self, p: NodeId, value: NodeId) {
        self.graph.add_update(p, value).expect("a parameter has one update, typed like it");
    }

    /// Makes some nodes results, and gives some parameters new values.
    fn choose_results(&mut self) {
        let usable: Vec<NodeId> = self.graph.ids().filter(|id| self.values[id.index()].is_some()).collect();
        let ends: Vec<NodeId> = usable.iter().copied().filter(|&id| self.graph.users(id).next().is_none()).collect();
        let mut outputs = self.draw.shuffled(ends);
        outputs.truncate(6);
        for _ in 0..self.draw.below(3) {
            outputs.push(self.draw.of(&usable));
        }
        if outputs.is_empty() {
            outputs.push(usable[usable.len() - 1]);
        }
        for (i, node) in outputs.into_iter().enumerate() {
            self.graph.add_output(format!("out{i}"), node).expect("names are distinct");
        }
        let params: Vec<NodeId> = usable.into_iter().filter(|&id| self.graph.op(id).kind() == OpKind::Param).collect();
        for p in params {
            let free = self.graph.updates().iter().all(|u| u.param != p);
            if free && self.draw.chance(0.4) {
                // Another parameter may be among the candidates: updates are stored after everything has been read.
                let ty = self.ty(p);
                let turned = |t: &TensorType| t.dtype == ty.dtype && t.shape.numel() == ty.shape.numel() && *t != ty;
                let view = if self.draw.chance(0.4) { self.node(turned) } else { None };
                let shape = ty.shape.clone();
                let view = view.and_then(|x| self.push(Reshape { shape }, &[x]));
                let value = view.or_else(|| self.node(|t| *t == ty)).expect("the parameter itself fits");
                self.graph.add_update(p, value).expect("an update is typed like its parameter");
            }
        }
        // New values are seen by outputs too, in other shapes.
        for update in self.graph.updates().to_vec() {
            let shape = Shape::from([self.graph.shape(update.value).numel()]);
            if self.draw.chance(0.2)
                && let Some(view) = self.push(Reshape { shape }, &[update.value])
            {
                self.graph.add_output(format!("view{}", update.param), view).expect("names are distinct");
            }
        }
    }

    fn finish(self) -> Case {
        let errors = |id: NodeId| self.values[id.index()].as_ref().expect("results are usable").error.clone();
        let output_errors = self.graph.outputs().iter().map(|o| errors(o.node)).collect();
        let update_errors = self.graph.updates().iter().map(|u| errors(u.value)).collect();
        let leaf = |_: NodeId, name: &Name| match self.inputs.get(name) {
            Some(value) => value,
            None => &self.initial[name],
        };
        let expected = interp::run(&self.graph, leaf);
        Case {
            seed: self.seed,
            expected,
            output_errors,
            update_errors,
            inputs: self.inputs,
            program: Program { graph: self.graph, initial: self.initial, builder: u64::MAX },
        }
    }
}
