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
mod nest;
mod product;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::graph::{DType, Dims, Graph, NodeId, Operands, TensorType};
use crate::prim::{Broadcast, Combine, LoopSpec, Lowering, Op, Strided, Workspace};
use crate::scalar::ScalarFn;

use super::expr::{Expr, ExprId, Exprs};
use super::group::{GroupId, Loops};
use super::kernel::FoldKind;

pub(super) use layout::Layout;
pub(super) use loops::LoopGroup;
pub(super) use product::{Accumulate, ProductGroup, Scale};

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
            // All else has been expanded.
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
}

/// True if a number stands for a constant's element exactly.
fn representable(array: &crate::array::Array, value: f64) -> bool {
    array.dtype() != DType::I64
        || array.as_slice::<i64>().is_ok_and(|v| v[0] == value as i64 && v[0].unsigned_abs() < 1 << 53)
}
