//! Fusion: which nodes are computed together.
//!
//! One walk over the graph in topological order. Every node first becomes an expression ([`expr`](super::expr)); those that are dear, folded or needed in
//! memory are placed in a group. A placed node joins the group of an operand if, in the same turn of that group's loops, it touches just the elements
//! that are computed there; otherwise it begins a group.
//!
//! Groups have levels: a group uses values of lower levels and of itself only. So joining never makes a circle, and groups of one level may be merged.
//! Choosing by level alone forgoes some fusion that a search for paths would find, and keeps the walk linear.

mod layout;
mod loops;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::graph::{DType, Dims, Graph, NodeId, Operands, Shape, TensorType};
use crate::prim::{Broadcast, Combine, Dot, LoopSpec, Lowering, Op, Reduction, Reshape, Strided, Transpose, Workspace};
use crate::scalar::ScalarFn;

use super::expr::{Expr, ExprId, Exprs};
use super::group::{Coords, GroupId, Loops, Member, Reach, Role, address};
use super::kernel::FoldKind;
use super::overlap::{self, Overlap};

pub(super) use layout::Layout;
pub(super) use loops::LoopGroup;

/// A group grows no heavier than this, so that compile time stays linear in the size of the graph.
const MAX_WEIGHT: u32 = 1500;
/// A group has no more members than this, for the same reason.
const MAX_MEMBERS: usize = 96;
/// Products of at most this many multiplications are folds, which fuse, rather than calls of the runtime.
pub(super) const SMALL_PRODUCT: usize = 1024;

/// Where a placed node's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The caller's memory.
    Leaf,
    /// A group.
    Group(GroupId),
}

/// A value behind a barrier.
#[derive(Clone, Debug)]
pub(super) struct Late {
    /// The placed node whose memory holds it.
    pub(super) source: NodeId,
    /// The placed nodes that must be computed before it is read.
    pub(super) after: Vec<NodeId>,
    /// The highest level among those and the source.
    level: u32,
}

/// What a group does.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A loop nest.
    Loops(Loops),
    /// A matrix product.
    Product(Box<ProductGroup>),
    /// Operands copied into regions.
    Assemble { node: NodeId, fill: Option<f64>, regions: Vec<(ExprId, Strided)> },
    /// Elements combined in at chosen places.
    Scatter {
        node: NodeId,
        combine: Combine,
        base: ExprId,
        index: ExprId,
        update: ExprId,
        /// Leading axes that all operands share.
        batch: usize,
        /// Axes of the index behind those.
        choices: usize,
        /// Whether sums are kept in double precision until all updates are in.
        wide: bool,
    },
    /// A call of a routine, its operands whole in memory.
    Routine { node: NodeId, operands: SmallVec<[NodeId; 4]>, workspace: Workspace },
    /// A loop over a body.
    Loop(Box<LoopGroup>),
    /// Members have moved to another group.
    Merged(GroupId),
}

/// A matrix product, its operands in memory.
#[derive(Clone, Debug)]
pub(super) struct ProductGroup {
    /// The node whose value is computed: the product, or the parameter update that it is added to.
    pub(super) node: NodeId,
    pub(super) dot: Dot,
    pub(super) lhs: (NodeId, Strided),
    pub(super) rhs: (NodeId, Strided),
    /// Where the result is stored, if not in row-major order of the product's own axes.
    pub(super) layout: Option<Layout>,
    /// The parameter that the product is added to, and the factor.
    pub(super) accumulate: Option<Accumulate>,
    /// Where the product's elements are added up, if the result is not their matrix. The node is that sum then.
    pub(super) overlap: Option<(NodeId, Overlap)>,
}

/// `param + sign * scale * product`.
#[derive(Clone, Debug)]
pub(super) struct Accumulate {
    pub(super) param: NodeId,
    pub(super) sign: f64,
    pub(super) scale: Scale,
}

/// The factor of an accumulated product.
#[derive(Clone, Debug)]
pub(super) enum Scale {
    /// A number.
    Const(f64),
    /// A scalar in memory.
    Node(NodeId),
}

/// A group with its level.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) level: u32,
    pub(super) kind: Kind,
}

/// The result of fusion.
pub(super) struct Fused<'g> {
    pub(super) graph: &'g Graph,
    pub(super) exprs: Exprs,
    pub(super) groups: Vec<Group>,
    /// Where each placed node's value comes from.
    pub(super) homes: Vec<Option<Home>>,
    /// The values behind barriers, by numbers above those of the graph's nodes: leaves of expressions that stand for another node's memory.
    pub(super) late: FxHashMap<NodeId, Late>,
    /// What each node is.
    pub(super) defs: Vec<Option<ExprId>>,
    /// The group of each loop.
    loops: FxHashMap<(Arc<LoopSpec>, Operands), GroupId>,
    /// The nodes that outputs and updates need.
    live: Vec<bool>,
    /// The nodes whose values must be in memory, whoever else uses them.
    stored: Vec<bool>,
    /// The nodes that are outputs.
    outputs: FxHashSet<NodeId>,
    /// The parameters whose new values nodes are.
    updated: FxHashMap<NodeId, SmallVec<[NodeId; 1]>>,
}

/// Groups the live nodes of the graph.
pub(super) fn fuse(graph: &Graph) -> Fused<'_> {
    let mut fused = Fused {
        graph,
        exprs: Exprs::default(),
        groups: Vec::new(),
        homes: vec![None; graph.len()],
        defs: vec![None; graph.len()],
        late: FxHashMap::default(),
        loops: FxHashMap::default(),
        live: graph.live(),
        stored: vec![false; graph.len()],
        outputs: graph.outputs().iter().map(|o| o.node).collect(),
        updated: FxHashMap::default(),
    };
    for update in graph.updates() {
        fused.updated.entry(update.value).or_default().push(update.param);
    }
    fused.find_stored();
    for id in graph.ids() {
        if !fused.live[id.index()] {
            continue;
        }
        fused.define(id);
        if fused.is_wanted(id) {
            let params = fused.updated.get(&id).cloned().unwrap_or_default();
            if params.into_iter().any(|param| fused.accumulate_product(id, param)) {
                continue;
            }
            fused.materialize(id);
        }
    }
    fused
}

impl Fused<'_> {
    /// True if the node is an output or the new value of a parameter.
    fn is_wanted(&self, node: NodeId) -> bool {
        self.outputs.contains(&node) || self.updated.contains_key(&node)
    }

    /// Follows merges.
    pub(super) fn find(&self, mut id: GroupId) -> GroupId {
        while let Kind::Merged(into) = self.groups[id.index()].kind {
            id = into;
        }
        id
    }

    /// The group that computes a placed node.
    pub(super) fn group_of(&self, node: NodeId) -> Option<GroupId> {
        match self.homes.get(node.index()) {
            Some(&Some(Home::Group(id))) => Some(self.find(id)),
            _ => None,
        }
    }

    /// The placed node whose memory a leaf reads: the one behind its barriers, or itself.
    pub(super) fn memory_of(&self, mut node: NodeId) -> NodeId {
        while let Some(late) = self.late.get(&node) {
            node = late.source;
        }
        node
    }

    /// What a node is.
    pub(super) fn def(&self, node: NodeId) -> ExprId {
        self.defs[node.index()].expect("operands are defined before their users")
    }

    /// Finds the expression of a node, placing it if it is dear.
    fn define(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let operands = self.graph.operands(id);
        let types: SmallVec<[&TensorType; 3]> = operands.iter().map(|&o| self.graph.ty(o)).collect();
        let ty = &node.ty;
        let lowering = node.op.lowering(&types, ty);
        if ty.shape.numel() == 0 && lowering != Lowering::Leaf {
            // There is nothing to compute.
            let nothing = self.exprs.push(Expr::Const(0.0f64.to_bits()), ty.dtype);
            self.defs[id.index()] = Some(nothing);
            return;
        }
        let expr = match lowering {
            Lowering::Leaf => {
                self.homes[id.index()] = Some(Home::Leaf);
                self.leaf(id)
            }
            Lowering::Const => match &node.op {
                Op::Const(c) if c.as_scalar().is_some_and(|v| representable(&c.value, v)) => {
                    let value = c.as_scalar().unwrap_or_default();
                    self.exprs.push(Expr::Const(value.to_bits()), ty.dtype)
                }
                _ => {
                    self.homes[id.index()] = Some(Home::Leaf);
                    self.leaf(id)
                }
            },
            Lowering::Iota { axis } => {
                let mut strides: Dims<isize> = SmallVec::from_elem(0, ty.shape.rank());
                strides[axis] = 1;
                self.exprs.push(Expr::Counter(Strided { shape: ty.shape.clone(), strides, offset: 0 }), ty.dtype)
            }
            Lowering::Same | Lowering::Map(ScalarFn::StopGradient) => self.def(operands[0]),
            Lowering::Barrier => self.place_late(id, &operands),
            Lowering::Map(f) => {
                let args = operands.iter().map(|&o| self.def(o)).collect();
                let expr = self.exprs.push(Expr::Map(f, args), ty.dtype);
                self.settle(id, expr)
            }
            Lowering::Cast => {
                let arg = self.def(operands[0]);
                let expr = self.exprs.push(Expr::Cast(arg), ty.dtype);
                self.settle(id, expr)
            }
            Lowering::View => self.view_of(id, operands[0]),
            Lowering::Reduce { reduction, axes } => {
                let dtype = ty.dtype;
                let body = self.def(operands[0]);
                let shape = types[0].shape.clone();
                if axes.iter().any(|&a| shape[a] == 0) {
                    self.exprs.push(Expr::Const(reduction.neutral(dtype).to_bits()), dtype)
                } else {
                    let kind = FoldKind::Combine(reduction.combine(dtype), reduction.neutral(dtype).to_bits());
                    self.place_fold(id, body, &shape, &axes, kind)
                }
            }
            Lowering::ArgReduce { extremum, axis } => {
                let body = self.def(operands[0]);
                let shape = types[0].shape.clone();
                self.place_fold(id, body, &shape, &[axis], FoldKind::Position(extremum))
            }
            Lowering::Assemble { fill, regions } => {
                let regions: Vec<(ExprId, Strided)> = operands
                    .iter()
                    .zip(regions)
                    .filter(|(_, region)| region.shape.numel() > 0)
                    .map(|(&o, region)| (self.def(o), region))
                    .collect();
                let bodies: Vec<ExprId> = regions.iter().map(|r| r.0).collect();
                let level = self.level_above(&bodies);
                // What fills the gaps between regions comes first, and a product would not wait for it.
                let mut regions = regions;
                if fill.is_none() {
                    regions.retain(|(body, region)| !self.store_in_region(*body, region, id));
                }
                self.begin(id, level, Kind::Assemble { node: id, fill, regions })
            }
            Lowering::Dot => match &node.op {
                Op::Dot(dot) => self.place_dot(id, &dot.clone(), operands[0], operands[1]),
                _ => panic!("only dots lower to dots"),
            },
            // Nothing can be chosen from an axis without elements.
            Lowering::Gather { fill, .. } if types[0].shape.numel() == 0 => {
                self.exprs.push(Expr::Const(fill.to_bits()), ty.dtype)
            }
            Lowering::Gather { batch, fill } => {
                let (source, view) = self.in_memory(operands[0]);
                let rest: Dims = (types[1].shape.rank()..ty.shape.rank()).collect();
                let over_rest: Op = Broadcast { shape: ty.shape.clone(), axes: rest.clone() }.into();
                let index = match self.exprs.moved(self.def(operands[1]), &over_rest) {
                    Some(index) if !rest.is_empty() => index,
                    _ => self.def(operands[1]),
                };
                let choices = types[1].shape.rank() - batch;
                let strides = view.strides[..batch].iter().copied();
                let strides =
                    strides.chain(std::iter::repeat_n(0, choices)).chain(view.strides[batch + 1..].iter().copied());
                let affine = Strided { shape: ty.shape.clone(), strides: strides.collect(), offset: view.offset };
                let (stride, extent) = (view.strides[batch], view.shape[batch]);
                let expr = Expr::Gather { source, view: affine, index, stride, extent, fill: fill.to_bits() };
                let expr = self.exprs.push(expr, ty.dtype);
                self.settle(id, expr)
            }
            Lowering::Scatter { batch, combine, wide } => {
                let (base, index, update) = (self.def(operands[0]), self.def(operands[1]), self.def(operands[2]));
                let choices = types[1].shape.rank() - batch;
                let level = self.level_above(&[base, index, update]);
                self.begin(id, level, Kind::Scatter { node: id, combine, base, index, update, batch, choices, wide })
            }
            Lowering::Routine { workspace } => {
                let operands: SmallVec<[NodeId; 4]> = operands.iter().map(|&o| self.whole_in_memory(o)).collect();
                let level = operands.iter().map(|&o| self.level_of(o)).max().unwrap_or(0) + 1;
                self.begin(id, level, Kind::Routine { node: id, operands, workspace })
            }
            Lowering::Expand => self.place_overlap(id),
            Lowering::Loop => self.place_loop(id, &operands),
        };
        self.defs[id.index()] = Some(expr);
    }

    /// A placed node's value, as an expression over its own axes.
    fn leaf(&mut self, id: NodeId) -> ExprId {
        let ty = self.graph.ty(id);
        let view = Strided::contiguous(&ty.shape);
        self.exprs.push(Expr::Leaf { source: id, view }, ty.dtype)
    }

    /// A value for uses that come after others. It is read from memory, so that no use of it is joined with what is computed before the barrier.
    fn place_late(&mut self, id: NodeId, operands: &[NodeId]) -> ExprId {
        let mut reads_memory = false;
        self.exprs.leaves(self.def(operands[0]), &mut |_, _, _| reads_memory = true);
        if !reads_memory {
            return self.def(operands[0]);
        }
        let (source, view) = self.in_memory(operands[0]);
        let mut after: Vec<NodeId> = Vec::new();
        for &operand in &operands[1..] {
            self.exprs.leaves(self.def(operand), &mut |leaf, _, _| after.push(leaf));
        }
        after.sort_unstable();
        after.dedup();
        let level = after.iter().chain([&source]).map(|&n| self.level_of(n)).max().unwrap_or(0);
        let leaf = NodeId::new(self.graph.len() + self.late.len());
        self.late.insert(leaf, Late { source, after, level });
        self.exprs.push(Expr::Leaf { source: leaf, view }, self.graph.ty(id).dtype)
    }

    /// Finds the nodes that products read: those have their operands in memory.
    fn find_stored(&mut self) {
        for id in self.graph.ids().filter(|id| self.live[id.index()]) {
            let Op::Dot(_) = self.graph.op(id) else { continue };
            if self.is_folded_product(id) {
                continue;
            }
            for &operand in self.graph.operands(id).iter() {
                let mut base = operand;
                while matches!(self.lowering_of(base), Lowering::View) {
                    base = self.graph.operands(base)[0];
                }
                self.stored[base.index()] = true;
            }
        }
    }

    /// Keeps a cheap elementwise expression, places one that is dear or must be in memory anyway: then it is computed once.
    fn settle(&mut self, id: NodeId, expr: ExprId) -> ExprId {
        if self.exprs.is_cheap(expr) && !self.stored[id.index()] { expr } else { self.place_map(id, expr) }
    }

    /// A movement of `operand`; what no view can say is computed into memory first.
    fn view_of(&mut self, id: NodeId, operand: NodeId) -> ExprId {
        let op = self.graph.op(id).clone();
        let of = self.def(operand);
        if let Some(moved) = self.exprs.moved(of, &op) {
            return moved;
        }
        // An expression whose leaves do not move all alike is placed, and moved in memory if memory has the view.
        if !matches!(&self.exprs.get(of).expr, Expr::Leaf { .. }) && self.memory_has_view(operand, &op) {
            let placed = self.materialize(operand);
            return self.exprs.moved(placed, &op).expect("the placed operand has the view");
        }
        if let Some(stored) = self.store_in_order(operand, id) {
            return self.exprs.moved(stored, &op).expect("memory without gaps has every view");
        }
        // Otherwise the operand's elements are put in order, by whatever computes them or by a copy.
        let copy = self.place_map(operand, self.def(operand));
        self.defs[operand.index()] = Some(copy);
        self.exprs.moved(copy, &op).expect("memory without gaps has every view")
    }

    /// True if movement by `op` of what [`Fused::materialize`] gives for `operand` is a view.
    fn memory_has_view(&self, operand: NodeId, op: &Op) -> bool {
        let mut base = operand;
        let mut path: SmallVec<[&Op; 4]> = SmallVec::new();
        let mut view = loop {
            if let Expr::Leaf { view, .. } = &self.exprs.get(self.def(base)).expr {
                break view.clone();
            }
            if !matches!(self.lowering_of(base), Lowering::View) {
                break Strided::contiguous(self.graph.shape(base));
            }
            path.push(self.graph.op(base));
            base = self.graph.operands(base)[0];
        };
        for step in path.into_iter().rev().chain(std::iter::once(op)) {
            match step.view(&view) {
                Some(next) => view = next,
                // A copy on the way, which is what there would be here.
                None => return false,
            }
        }
        true
    }

    /// Makes sure that the node's value, or what it is a view of, is placed; returns its leaf.
    pub(super) fn materialize(&mut self, id: NodeId) -> ExprId {
        // Movement of an expression: the expression is placed rather than the moved copy of it.
        let mut base = id;
        let mut path: Vec<NodeId> = Vec::new();
        while !matches!(self.exprs.get(self.def(base)).expr, Expr::Leaf { .. }) {
            let is_view = matches!(self.lowering_of(base), Lowering::View);
            if !is_view || self.graph.shape(base).numel() == 0 {
                let placed = self.place_map(base, self.def(base));
                self.defs[base.index()] = Some(placed);
                break;
            }
            path.push(base);
            base = self.graph.operands(base)[0];
        }
        for &node in path.iter().rev() {
            let moved = self.view_of(node, self.graph.operands(node)[0]);
            self.defs[node.index()] = Some(moved);
        }
        self.def(id)
    }

    fn lowering_of(&self, id: NodeId) -> Lowering {
        let operands = self.graph.operands(id);
        let types: SmallVec<[&TensorType; 3]> = operands.iter().map(|&o| self.graph.ty(o)).collect();
        self.graph.op(id).lowering(&types, self.graph.ty(id))
    }

    /// The memory that holds a node's value: the placed node and the view of it.
    fn in_memory(&mut self, id: NodeId) -> (NodeId, Strided) {
        let leaf = self.materialize(id);
        match &self.exprs.get(leaf).expr {
            Expr::Leaf { source, view } => (*source, view.clone()),
            _ => panic!("a materialized node is a leaf"),
        }
    }

    /// The placed node whose memory holds a node's value, and nothing else, in row-major order. A view of another kind is copied.
    fn whole_in_memory(&mut self, id: NodeId) -> NodeId {
        let (source, view) = self.in_memory(id);
        if view.is_contiguous() && self.graph.shape(self.memory_of(source)).numel() == view.shape.numel() {
            return source;
        }
        let copy = self.place_map(id, self.def(id));
        self.defs[id.index()] = Some(copy);
        id
    }

    pub(super) fn level_of(&self, node: NodeId) -> u32 {
        match self.late.get(&node) {
            Some(late) => late.level,
            None => self.group_of(node).map_or(0, |g| self.groups[g.index()].level),
        }
    }

    /// A level above those of all leaves.
    fn level_above(&self, bodies: &[ExprId]) -> u32 {
        let mut level = 0;
        for &body in bodies {
            self.exprs.leaves(body, &mut |source, _, _| level = level.max(self.level_of(source)));
        }
        level + 1
    }

    /// Begins a group that computes `node`.
    fn begin(&mut self, node: NodeId, level: u32, kind: Kind) -> ExprId {
        let id = self.add_group(level, kind);
        self.homes[node.index()] = Some(Home::Group(id));
        self.leaf(node)
    }

    fn add_group(&mut self, level: u32, kind: Kind) -> GroupId {
        self.groups.push(Group { level, kind });
        GroupId(u32::try_from(self.groups.len() - 1).expect("a plan has fewer than 2^32 groups"))
    }

    /// The groups of loops that `body` might join: those of the highest level among its leaves. None if some leaf of that level can only be read from
    /// memory.
    fn candidates(&self, body: ExprId) -> (u32, SmallVec<[GroupId; 2]>) {
        let mut level = 0;
        self.exprs.leaves(body, &mut |source, _, _| level = level.max(self.level_of(source)));
        let mut groups: SmallVec<[GroupId; 2]> = SmallVec::new();
        let mut possible = level > 0;
        self.exprs.leaves(body, &mut |source, _, chosen| {
            if self.late.get(&source).is_some_and(|late| late.level == level) {
                possible = false;
            }
            let Some(group) = self.group_of(source).filter(|g| self.groups[g.index()].level == level) else {
                return;
            };
            if chosen || !matches!(self.groups[group.index()].kind, Kind::Loops(_)) {
                possible = false;
            } else if !groups.contains(&group) {
                groups.push(group);
            }
        });
        if !possible {
            groups.clear();
        }
        (level, groups)
    }

    fn loops(&self, id: GroupId) -> &Loops {
        match &self.groups[id.index()].kind {
            Kind::Loops(loops) => loops,
            _ => panic!("candidates are loop nests"),
        }
    }

    fn loops_mut(&mut self, id: GroupId) -> &mut Loops {
        match &mut self.groups[id.index()].kind {
            Kind::Loops(loops) => loops,
            _ => panic!("candidates are loop nests"),
        }
    }

    /// The address of a member of a group.
    fn address_in(&self, group: GroupId, node: NodeId) -> &[isize] {
        let members = &self.loops(group).members;
        let member = members.iter().rev().find(|m| m.node == node).expect("a node is a member of its home");
        &member.address
    }

    /// The coordinates at which `body` reads the group's values in the turn in which they are computed, with the new inner dimensions that this takes.
    fn fit(&self, group: GroupId, body: ExprId) -> Option<(Coords, Dims)> {
        let loops = self.loops(group);
        let mut leaves: SmallVec<[(NodeId, Strided); 4]> = SmallVec::new();
        self.exprs.leaves(body, &mut |source, view, _| {
            if self.group_of(source) == Some(group) {
                leaves.push((source, view.clone()));
            }
        });
        // A full member fixes all coordinates; row members leave some open.
        let moves = |n: NodeId| self.address_in(group, n).iter().filter(|&&f| f != 0).count();
        let lead = leaves.iter().max_by_key(|(n, _)| moves(*n))?;
        let (coords, new) = loops.coords_reading(&lead.1, self.address_in(group, lead.0))?;
        if new.is_empty() {
            let agree = |(n, view): &(NodeId, Strided)| loops.reads_own(view, &coords, self.address_in(group, *n));
            return leaves.iter().all(agree).then_some((coords, new));
        }
        let mut extended =
            Loops { dims: loops.dims.clone(), inner: loops.inner.clone(), members: Vec::new(), weight: 0 };
        extended.extend(&new);
        let agree = |(n, view): &(NodeId, Strided)| extended.reads_own(view, &coords, self.address_in(group, *n));
        leaves.iter().all(agree).then_some((coords, new))
    }

    /// Merges groups of one level, if the loops of all are the same and `body` ties their dimensions together one to one. Returns the group.
    fn merge(&mut self, groups: &[GroupId], body: ExprId) -> Option<GroupId> {
        let (&first, others) = groups.split_first()?;
        if others.is_empty() {
            return Some(first);
        }
        let (coords, new) = self.fit(first, body)?;
        if !new.is_empty() {
            return None;
        }
        let mut weight = self.loops(first).weight;
        let mut count = self.loops(first).members.len();
        let mut maps: Vec<Dims> = Vec::new();
        for &other in others {
            let (theirs, new) = self.fit(other, body)?;
            let (a, b) = (self.loops(first), self.loops(other));
            if !new.is_empty() || a.dims.len() != b.dims.len() {
                return None;
            }
            let mut map: Dims = SmallVec::from_elem(usize::MAX, b.dims.len());
            for (ours, theirs) in coords.iter().zip(&theirs) {
                if ours.len() != theirs.len() {
                    return None;
                }
                for (&(d, k), &(e, l)) in ours.iter().zip(theirs) {
                    if k != l || a.dims[d] != b.dims[e] || a.inner[d] != b.inner[e] {
                        return None;
                    }
                    map[e] = d;
                }
            }
            if map.contains(&usize::MAX) {
                return None;
            }
            weight += b.weight;
            count += b.members.len();
            maps.push(map);
        }
        if weight > MAX_WEIGHT || count > MAX_MEMBERS {
            return None;
        }
        for (&other, map) in others.iter().zip(&maps) {
            let kind = std::mem::replace(&mut self.groups[other.index()].kind, Kind::Merged(first));
            let Kind::Loops(theirs) = kind else { panic!("candidates are loop nests") };
            let ours = self.loops_mut(first);
            ours.weight += theirs.weight;
            for mut member in theirs.members {
                let old = std::mem::take(&mut member.address);
                member.address = SmallVec::from_elem(0, map.len());
                old.iter().enumerate().for_each(|(e, &f)| member.address[map[e]] = f);
                member.coords.iter_mut().flatten().for_each(|term| term.0 = map[term.0]);
                ours.members.push(member);
            }
        }
        Some(first)
    }

    /// Places a node whose value is `body`.
    fn place_map(&mut self, id: NodeId, body: ExprId) -> ExprId {
        let shape = self.graph.shape(id).clone();
        let (level, groups) = self.candidates(body);
        if let Some(group) = self.merge(&groups, body)
            && let Some((coords, new)) = self.fit(group, body)
            && self.has_room(group, body)
        {
            let dims = self.loops(group).dims.len() + new.len();
            let own = address(&shape.strides(), &coords, dims);
            let loops = self.loops_mut(group);
            // With new dimensions the member is full, and what was there becomes row values.
            let reach = if new.is_empty() { loops.extent_of(&own) } else { Some(Reach::Full) };
            if reach.is_some() {
                loops.extend(&new);
                return self.join(group, Member { node: id, role: Role::Map, body, coords, address: own });
            }
        }
        let (loops, coords) = Loops::over(&shape, &[]);
        let own = address(&shape.strides(), &coords, loops.dims.len());
        self.begin(id, level + 1, Kind::Loops(loops));
        let group = GroupId(self.groups.len() as u32 - 1);
        self.join(group, Member { node: id, role: Role::Map, body, coords, address: own })
    }

    /// Places a node whose value is a fold of `body`, of shape `shape`, over `axes`.
    fn place_fold(&mut self, id: NodeId, body: ExprId, shape: &Shape, axes: &[usize], kind: FoldKind) -> ExprId {
        let result_strides = |coords: &Coords, dims: usize| {
            let kept: Shape = shape.without(axes);
            let kept_coords: Coords =
                coords.iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, t)| t.clone()).collect();
            address(&kept.strides(), &kept_coords, dims)
        };
        if axes.iter().all(|&a| shape[a] == 1) {
            // A fold over one element is the element, and its position 0.
            return match kind {
                FoldKind::Position(_) => self.exprs.push(Expr::Const(0.0f64.to_bits()), DType::I32),
                FoldKind::Combine(..) => {
                    let squeeze: Op = Reshape { shape: shape.without(axes) }.into();
                    self.exprs.moved(body, &squeeze).expect("axes of extent 1 can always be dropped")
                }
            };
        }
        let (level, groups) = self.candidates(body);
        if let Some(group) = self.merge(&groups, body)
            && let Some((coords, new)) = self.fit(group, body)
            && self.has_room(group, body)
        {
            let loops = self.loops(group);
            let dims = loops.dims.len() + new.len();
            let mut folded: Dims<bool> = SmallVec::from_elem(false, dims);
            axes.iter().flat_map(|&a| &coords[a]).for_each(|&(d, _)| folded[d] = true);
            let covered = coords.iter().map(|t| t.len()).sum::<usize>() == dims;
            let inner_now: Dims<bool> = loops.inner.iter().copied().chain(new.iter().map(|_| true)).collect();
            let has_inner = inner_now.contains(&true);
            // Folded dimensions are the inner ones, or become them if they move through memory the fastest.
            let fits = if has_inner { inner_now == folded } else { axes_are_last(shape, axes) };
            // A position counts along its axis, which must not be cut into loops that another fold wants in another order.
            let fits = fits && (matches!(kind, FoldKind::Combine(..)) || folded.iter().filter(|&&f| f).count() == 1);
            if covered && fits && folded.contains(&true) {
                let own = result_strides(&coords, dims);
                let loops = self.loops_mut(group);
                loops.extend(&new);
                loops.inner = folded;
                return self.join(group, Member { node: id, role: Role::Fold(kind), body, coords, address: own });
            }
        }
        let (loops, coords) = Loops::over(shape, axes);
        let own = result_strides(&coords, loops.dims.len());
        self.begin(id, level + 1, Kind::Loops(loops));
        let group = GroupId(self.groups.len() as u32 - 1);
        self.join(group, Member { node: id, role: Role::Fold(kind), body, coords, address: own })
    }

    fn has_room(&self, group: GroupId, body: ExprId) -> bool {
        let loops = self.loops(group);
        loops.members.len() < MAX_MEMBERS && loops.weight.saturating_add(self.exprs.get(body).weight) <= MAX_WEIGHT
    }

    /// Adds a member to a group.
    fn join(&mut self, group: GroupId, member: Member) -> ExprId {
        let (node, weight) = (member.node, self.exprs.get(member.body).weight);
        let loops = self.loops_mut(group);
        loops.weight = loops.weight.saturating_add(weight + 1);
        loops.members.push(member);
        self.homes[node.index()] = Some(Home::Group(group));
        self.leaf(node)
    }

    /// Places a dot: as a matrix product, or, if it is small or of integers, as a fold of the product of its operands.
    fn place_dot(&mut self, id: NodeId, dot: &Dot, lhs: NodeId, rhs: NodeId) -> ExprId {
        let (l, r, ty) = (self.graph.ty(lhs).clone(), self.graph.ty(rhs).clone(), self.graph.ty(id).clone());
        let k: usize = dot.lhs_contract.iter().map(|&a| l.shape[a]).product();
        if k == 0 {
            return self.exprs.push(Expr::Const(0.0f64.to_bits()), ty.dtype);
        }
        if self.is_folded_product(id) {
            return self.place_product_fold(id, dot, (lhs, &l.shape), (rhs, &r.shape));
        }
        let (lhs, rhs) = (self.in_memory(lhs), self.in_memory(rhs));
        let level = self.level_of(lhs.0).max(self.level_of(rhs.0)) + 1;
        let product =
            ProductGroup { node: id, dot: dot.clone(), lhs, rhs, layout: None, accumulate: None, overlap: None };
        self.begin(id, level, Kind::Product(Box::new(product)))
    }

    /// True for dots that are no products of matrices in memory: small ones, and those of integers.
    fn is_folded_product(&self, id: NodeId) -> bool {
        let (ty, operands) = (self.graph.ty(id), self.graph.operands(id));
        let Op::Dot(dot) = self.graph.op(id) else { return false };
        let lhs = self.graph.shape(operands[0]);
        let k: usize = dot.lhs_contract.iter().map(|&a| lhs[a]).product();
        !ty.dtype.is_float() || ty.shape.numel().saturating_mul(k) <= SMALL_PRODUCT
    }

    /// A dot as a fold over the axes `[batch, m, n, k]` of the product of its operands.
    fn place_product_fold(&mut self, id: NodeId, dot: &Dot, lhs: (NodeId, &Shape), rhs: (NodeId, &Shape)) -> ExprId {
        let (lhs_free, rhs_free) = (dot.lhs_free(lhs.1.rank()), dot.rhs_free(rhs.1.rank()));
        let (b, m, n, k) = (dot.lhs_batch.len(), lhs_free.len(), rhs_free.len(), dot.lhs_contract.len());
        let extents = |shape: &Shape, axes: &[usize]| axes.iter().map(|&a| shape[a]).collect::<Vec<_>>();
        let shape: Shape = [
            extents(lhs.1, &dot.lhs_batch),
            extents(lhs.1, &lhs_free),
            extents(rhs.1, &rhs_free),
            extents(lhs.1, &dot.lhs_contract),
        ]
        .concat()
        .into();
        let dtype = self.graph.ty(id).dtype;
        let spread = |this: &mut Self, operand: NodeId, order: Dims, new: Dims| {
            let transpose: Op = Transpose { permutation: order }.into();
            let broadcast: Op = Broadcast { shape: shape.clone(), axes: new }.into();
            let def = this.def(operand);
            let moved = this.exprs.moved(def, &transpose).expect("a transpose is a view");
            this.exprs.moved(moved, &broadcast).expect("a broadcast is a view")
        };
        let order = |parts: [&Dims; 3]| parts.into_iter().flatten().copied().collect::<Dims>();
        let a =
            spread(self, lhs.0, order([&dot.lhs_batch, &lhs_free, &dot.lhs_contract]), (b + m..b + m + n).collect());
        let c = spread(self, rhs.0, order([&dot.rhs_batch, &rhs_free, &dot.rhs_contract]), (b..b + m).collect());
        let body = self.exprs.push(Expr::Map(ScalarFn::Mul, SmallVec::from_slice(&[a, c])), dtype);
        let axes: Dims = (b + m + n..b + m + n + k).collect();
        let kind = FoldKind::Combine(ScalarFn::Add, Reduction::Sum.neutral(dtype).to_bits());
        self.place_fold(id, body, &shape, &axes, kind)
    }

    /// Places the sum of a product's windows. A product that serves nothing else is not computed as a matrix.
    fn place_overlap(&mut self, id: NodeId) -> ExprId {
        let (dot, overlap) = overlap::matched(self.graph, id).expect("other sums of windows have been expanded");
        let group = self.group_of(dot).expect("a product has a group");
        let alone = self.serves_only(dot, id);
        let level = self.groups[group.index()].level;
        let Kind::Product(p) = &mut self.groups[group.index()].kind else { panic!("a large dot is a product") };
        if alone {
            (p.node, p.layout, p.overlap) = (id, None, Some((dot, overlap)));
            self.homes[id.index()] = Some(Home::Group(group));
            return self.leaf(id);
        }
        let overlap = Some((dot, overlap));
        let product = ProductGroup { node: id, layout: None, accumulate: None, overlap, ..(**p).clone() };
        self.begin(id, level, Kind::Product(Box::new(product)))
    }

    /// If the update of `param` is `param +- scale * product`, and the product serves nothing else, lets the product add itself to the parameter.
    fn accumulate_product(&mut self, id: NodeId, param: NodeId) -> bool {
        if self.outputs.contains(&id) {
            return false;
        }
        let Some((product, accumulate)) = self.match_accumulation(id, param) else {
            return false;
        };
        let group = self.group_of(product).expect("a product has a group");
        let Kind::Product(p) = &mut self.groups[group.index()].kind else { panic!("matched a product") };
        p.accumulate = Some(accumulate);
        p.node = id;
        self.homes[id.index()] = Some(Home::Group(group));
        let leaf = self.leaf(id);
        self.defs[id.index()] = Some(leaf);
        true
    }

    fn match_accumulation(&self, id: NodeId, param: NodeId) -> Option<(NodeId, Accumulate)> {
        let whole = |e: ExprId| match &self.exprs.get(e).expr {
            Expr::Leaf { source, view } if view.is_contiguous() => Some(*source),
            _ => None,
        };
        let Expr::Map(f, args) = &self.exprs.get(self.def(id)).expr else {
            return None;
        };
        let (term, sign) = match (f, args.as_slice()) {
            (ScalarFn::Sub, &[p, x]) if whole(p) == Some(param) => (x, -1.0),
            (ScalarFn::Add, &[p, x]) if whole(p) == Some(param) => (x, 1.0),
            (ScalarFn::Add, &[x, p]) if whole(p) == Some(param) => (x, 1.0),
            _ => return None,
        };
        let product_of = |e: ExprId| {
            let node = whole(e)?;
            let group = self.group_of(node)?;
            match &self.groups[group.index()].kind {
                Kind::Product(p) if p.node == node && p.accumulate.is_none() && p.overlap.is_none() => Some(node),
                _ => None,
            }
        };
        let scale_of = |e: ExprId| match &self.exprs.get(e).expr {
            Expr::Const(bits) => Some(Scale::Const(f64::from_bits(*bits))),
            Expr::Leaf { source, view }
                if view.offset == 0 && self.graph.shape(self.memory_of(*source)).numel() == 1 =>
            {
                Some(Scale::Node(*source))
            }
            _ => None,
        };
        let (product, scale) = match &self.exprs.get(term).expr {
            Expr::Leaf { .. } => (product_of(term)?, Scale::Const(1.0)),
            Expr::Map(ScalarFn::Mul, args) => match args.as_slice() {
                &[a, b] => match (product_of(a), product_of(b)) {
                    (Some(p), _) => (p, scale_of(b)?),
                    (_, Some(p)) => (p, scale_of(a)?),
                    _ => return None,
                },
                _ => return None,
            },
            _ => return None,
        };
        let group = self.group_of(product)?;
        let Kind::Product(p) = &self.groups[group.index()].kind else {
            return None;
        };
        // The parameter must not be a factor, and the scale must be there in time.
        let reads_param = [p.lhs.0, p.rhs.0].iter().any(|&n| self.memory_of(n) == param);
        let scale_is_late = match scale {
            Scale::Node(n) => self.level_of(n) >= self.groups[group.index()].level || self.memory_of(n) == param,
            Scale::Const(_) => false,
        };
        let only_use = self.serves_only(product, id) && self.graph.shape(product) == self.graph.shape(id);
        (!reads_param && !scale_is_late && only_use).then_some((product, Accumulate { param, sign, scale }))
    }

    /// True if every path of users from `node` goes through single uses to `to`.
    fn serves_only(&self, mut node: NodeId, to: NodeId) -> bool {
        while node != to {
            let wanted = self.is_wanted(node);
            let mut users = self.graph.users(node).filter(|(u, _)| self.live[u.index()]);
            match (users.next(), users.next()) {
                (Some((user, _)), None) if !wanted && user <= to => node = user,
                _ => return false,
            }
        }
        true
    }
}

/// True if the folded axes are the last ones of the shape, axes of extent 1 left aside.
fn axes_are_last(shape: &Shape, axes: &[usize]) -> bool {
    let folded: Dims<bool> = (0..shape.rank()).filter(|&a| shape[a] != 1).map(|a| axes.contains(&a)).collect();
    folded.windows(2).all(|w| !w[0] || w[1])
}

/// True if a number stands for a constant's element exactly.
fn representable(array: &crate::array::Array, value: f64) -> bool {
    array.dtype() != DType::I64
        || array.as_slice::<i64>().is_ok_and(|v| v[0] == value as i64 && v[0].unsigned_abs() < 1 << 53)
}
