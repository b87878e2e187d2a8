//! Lowering: groups become kernels and products on buffers.

mod copies;
mod loops;
mod nest;
mod overlap;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::graph::{DType, Dims, NodeId, Origin, Shape};
use crate::prim::{Op, Routine, Strided, Workspace};

use super::build::{At, KernelBuilder, Read};
use super::expr::{Expr, ExprId};
use super::fuse::{Accumulate, Fused, Home, Kind, Scale};
use super::group::{Coords, GroupId, Loops, address};
use super::kernel::{Access, Affine, Choice, Index, Inst, Kernel, StoreMode, ValueId};
use super::pending::{CopyBack, Kernels, Lowered, PendingBuffer, PendingStep, Want};
use super::product;
use super::strip::Strips;
use super::{Action, BufferId, Place, RoutineCall};
pub(super) use copies::{append_copies, copy_before_accumulation};

struct Lowerer<'a, 'g> {
    fused: &'a Fused<'g>,
    /// The strips that the plans of loops are given.
    strips: Strips,
    out: Lowered,
    buffer_of: FxHashMap<NodeId, BufferId>,
    /// Number of each input and parameter among those of its kind.
    number_of: FxHashMap<NodeId, usize>,
    /// Placed nodes whose values are needed in memory.
    stored: FxHashSet<NodeId>,
    /// The parameter that a node's value may be computed into.
    target: FxHashMap<NodeId, usize>,
    /// The products that compute parts of a node's value, beside the node's own group.
    parts: FxHashMap<NodeId, SmallVec<[GroupId; 2]>>,
}

/// Lowers all groups, the bodies of loops to plans with strips as asked for.
pub(super) fn lower(fused: &Fused<'_>, strips: Strips) -> Lowered {
    let graph = fused.graph;
    let mut inputs = Vec::new();
    let mut params = Vec::new();
    let mut number_of = FxHashMap::default();
    for id in graph.ids() {
        match graph.op(id) {
            Op::Input(_) => {
                number_of.insert(id, inputs.len());
                inputs.push(id);
            }
            Op::Param(_) => {
                number_of.insert(id, params.len());
                params.push(id);
            }
            _ => {}
        }
    }
    let out = Lowered {
        buffers: Vec::new(),
        kernels: Kernels::default(),
        steps: Vec::new(),
        params,
        inputs,
        constants: Vec::new(),
        param_buffers: FxHashMap::default(),
        in_place: Vec::new(),
        copies: Vec::new(),
        steps_of: FxHashMap::default(),
    };
    let mut lowerer = Lowerer {
        fused,
        strips,
        out,
        buffer_of: FxHashMap::default(),
        number_of,
        stored: FxHashSet::default(),
        target: FxHashMap::default(),
        parts: FxHashMap::default(),
    };
    lowerer.find_stored();
    lowerer.find_parts();
    let copies = lowerer.bind_results();

    let mut order: Vec<GroupId> = (0..fused.groups.len() as u32).map(GroupId).collect();
    order.sort_by_key(|g| fused.groups[g.index()].level);
    for id in order {
        let first = lowerer.out.steps.len();
        lowerer.group(id);
        let steps = first..lowerer.out.steps.len();
        let waits: Vec<usize> = lowerer.awaited(id).iter().flat_map(|g| lowerer.out.steps_of[g].clone()).collect();
        lowerer.out.steps[steps.clone()].iter_mut().for_each(|step| step.waits.clone_from(&waits));
        lowerer.out.steps_of.insert(id, steps);
    }
    for copy in copies {
        lowerer.result_copy(copy);
    }
    lowerer.out
}

/// A result that is a copy of what is computed or given elsewhere.
struct ResultCopy {
    node: NodeId,
    to: Want,
    /// The parameter that it goes to in the end.
    param: Option<usize>,
}

impl Lowerer<'_, '_> {
    /// Finds the placed nodes whose values must be in memory.
    fn find_stored(&mut self) {
        let fused = self.fused;
        let mut stored = FxHashSet::default();
        for (i, group) in fused.groups.iter().enumerate() {
            let id = GroupId(i as u32);
            let mut need = |body: ExprId, own: Option<GroupId>| {
                fused.exprs.leaves(body, &mut |source, _, chosen| {
                    if chosen || own.is_none() || fused.group_of(source) != own {
                        stored.insert(fused.memory_of(source));
                    }
                });
            };
            match &group.kind {
                Kind::Loops(loops) => loops.members.iter().for_each(|m| need(m.body, Some(id))),
                Kind::Assemble { regions, .. } => regions.iter().for_each(|r| need(r.0, None)),
                Kind::Scatter { base, index, update, .. } => [base, index, update].iter().for_each(|&&b| need(b, None)),
                Kind::Product(p) => {
                    stored.extend([p.lhs.0, p.rhs.0].map(|n| fused.memory_of(n)));
                    if let Some(Accumulate { scale: Scale::Node(n), .. }) = &p.accumulate {
                        stored.insert(fused.memory_of(*n));
                    }
                }
                Kind::Routine { operands, .. } => stored.extend(operands.iter().map(|&n| fused.memory_of(n))),
                Kind::Loop(l) => {
                    l.inits.iter().for_each(|&init| need(init, None));
                    stored.extend(l.inputs.iter().flatten().map(|i| fused.memory_of(i.0)));
                }
                Kind::Merged(_) => {}
            }
        }
        self.stored = stored;
    }

    /// Finds the products that store their results in a part of another node's memory.
    fn find_parts(&mut self) {
        for (i, group) in self.fused.groups.iter().enumerate() {
            if let Kind::Product(p) = &group.kind
                && p.memory() != p.node
            {
                self.parts.entry(p.memory()).or_default().push(GroupId(i as u32));
            }
        }
    }

    /// Gives outputs and updates their memory; returns those that have to be copied.
    fn bind_results(&mut self) -> Vec<ResultCopy> {
        let graph = self.fused.graph;
        let mut copies = Vec::new();
        for (i, output) in graph.outputs().iter().enumerate() {
            if graph.ty(output.node).shape.numel() == 0 {
                continue;
            }
            let place = Want::At(Place::Output(i));
            // What is added to a parameter lies there.
            let free = |n: &NodeId| !self.buffer_of.contains_key(n) && self.accumulated_into(*n).is_none();
            match self.whole_value(output.node).filter(free) {
                Some(node) => {
                    self.stored.insert(node);
                    self.new_buffer(node, place);
                }
                None => copies.push(ResultCopy { node: output.node, to: place, param: None }),
            }
        }
        for update in graph.updates() {
            if graph.ty(update.value).shape.numel() == 0 || update.param == update.value {
                continue;
            }
            let param = self.param_number(update.param);
            let whole = self.whole_value(update.value);
            if let Some(sum) = whole.and_then(|n| self.accumulated_into(n)) {
                // The product adds itself to one parameter; others that take the sum too copy it.
                if sum != update.param {
                    copies.push(ResultCopy { node: update.value, to: Want::Arena, param: Some(param) });
                }
                continue;
            }
            match whole {
                // An output is computed into the output's memory and copied from there.
                Some(node) if self.buffer_of.contains_key(&node) => {
                    let from = self.buffer_of[&node];
                    self.out.copies.push(CopyBack { from, param });
                }
                Some(node) if !self.target.contains_key(&node) => {
                    self.stored.insert(node);
                    self.target.insert(node, param);
                }
                _ => copies.push(ResultCopy { node: update.value, to: Want::Arena, param: Some(param) }),
            }
        }
        for copy in &copies {
            let (fused, stored) = (self.fused, &mut self.stored);
            fused.exprs.leaves(fused.def(copy.node), &mut |source, _, _| {
                stored.insert(fused.memory_of(source));
            });
        }
        copies
    }

    /// The placed node of some group whose value, as it lies in memory, is the node's.
    fn whole_value(&self, node: NodeId) -> Option<NodeId> {
        match &self.fused.exprs.get(self.fused.def(node)).expr {
            Expr::Leaf { source, view } if view.is_contiguous() => {
                let in_group = self.fused.group_of(*source).is_some();
                let whole = || self.fused.graph.shape(*source).numel() == view.shape.numel();
                (in_group && whole()).then_some(*source)
            }
            _ => None,
        }
    }

    /// The parameter in whose memory a product accumulates this node's value.
    fn accumulated_into(&self, node: NodeId) -> Option<NodeId> {
        match &self.fused.groups[self.fused.group_of(node)?.index()].kind {
            Kind::Product(p) if p.node == node => p.accumulate.as_ref().map(|a| a.param),
            _ => None,
        }
    }

    fn param_number(&self, param: NodeId) -> usize {
        self.number_of[&param]
    }

    fn add_buffer(&mut self, dtype: DType, len: usize, want: Want, node: Option<NodeId>) -> BufferId {
        self.out.buffers.push(PendingBuffer::new(dtype, len, want, node));
        BufferId(u32::try_from(self.out.buffers.len() - 1).expect("a plan has fewer than 2^32 buffers"))
    }

    fn new_buffer(&mut self, node: NodeId, want: Want) -> BufferId {
        let ty = self.fused.graph.ty(node);
        let id = self.add_buffer(ty.dtype, ty.shape.numel(), want, Some(node));
        self.buffer_of.insert(node, id);
        id
    }

    /// The buffer of a placed node's value.
    fn buffer(&mut self, node: NodeId) -> BufferId {
        let node = self.fused.memory_of(node);
        if let Some(&id) = self.buffer_of.get(&node) {
            return id;
        }
        let want = match self.fused.graph.op(node) {
            _ if self.fused.homes[node.index()] != Some(Home::Leaf) => Want::Arena,
            Op::Input(_) => Want::At(Place::Input(self.number_of[&node])),
            Op::Param(_) => Want::At(Place::Param(self.param_number(node))),
            Op::Const(c) => {
                self.out.constants.push(c.value.clone());
                Want::At(Place::Const(self.out.constants.len() - 1))
            }
            _ => Want::Arena,
        };
        let id = self.new_buffer(node, want);
        if let Want::At(Place::Param(p)) = want {
            self.out.param_buffers.insert(p, id);
        }
        id
    }

    /// The groups that must have been computed before a group reads values behind barriers.
    fn awaited(&self, id: GroupId) -> Vec<GroupId> {
        let fused = self.fused;
        let mut awaited = Vec::new();
        let mut late = |source: NodeId| {
            let mut open = vec![source];
            while let Some(behind) = open.pop().and_then(|node| fused.late.get(&node)) {
                for &node in &behind.after {
                    let memory = fused.memory_of(node);
                    awaited.extend(fused.group_of(memory));
                    awaited.extend(self.parts.get(&memory).into_iter().flatten());
                    open.push(node);
                }
            }
        };
        let of_body = |body: ExprId, late: &mut dyn FnMut(NodeId)| {
            fused.exprs.leaves(body, &mut |source, _, _| late(source));
        };
        match &fused.groups[id.index()].kind {
            Kind::Loops(loops) => loops.members.iter().for_each(|m| of_body(m.body, &mut late)),
            Kind::Assemble { regions, .. } => regions.iter().for_each(|r| of_body(r.0, &mut late)),
            Kind::Scatter { base, index, update, .. } => {
                [base, index, update].iter().for_each(|&&b| of_body(b, &mut late));
            }
            Kind::Product(p) => {
                [p.lhs.0, p.rhs.0].into_iter().for_each(&mut late);
                if let Some(Accumulate { scale: Scale::Node(n), .. }) = &p.accumulate {
                    late(*n);
                }
            }
            Kind::Routine { operands, .. } => operands.iter().for_each(|&n| late(n)),
            Kind::Loop(l) => {
                l.inits.iter().for_each(|&init| of_body(init, &mut late));
                l.inputs.iter().flatten().for_each(|i| late(i.0));
            }
            Kind::Merged(_) => {}
        }
        awaited.sort_unstable();
        awaited.dedup();
        awaited
    }

    fn origin(&self, node: NodeId) -> Arc<Origin> {
        self.fused.graph.node(node).origin.clone()
    }

    /// Adds a step that runs a kernel; equal kernels are one.
    fn add_kernel(&mut self, builder: KernelBuilder, serial: bool, level: u32, origins: Vec<Arc<Origin>>) {
        let (kernel, args) = builder.finish(serial);
        self.push_kernel(kernel, args, level, origins);
    }

    fn push_kernel(&mut self, kernel: Kernel, args: Vec<BufferId>, level: u32, origins: Vec<Arc<Origin>>) {
        let mut reads = SmallVec::new();
        let mut writes = SmallVec::new();
        for (slot, &buffer) in kernel.slots.iter().zip(&args) {
            match slot.access {
                Access::Read => reads.push(buffer),
                Access::Write | Access::Scratch => writes.push(buffer),
                Access::ReadWrite => {
                    reads.push(buffer);
                    writes.push(buffer);
                }
            }
        }
        let kernel = self.out.kernels.number(kernel);
        self.out.steps.push(PendingStep {
            action: Action::Kernel { kernel, args },
            origins,
            reads,
            writes,
            waits: Vec::new(),
            level,
        });
    }

    fn group(&mut self, id: GroupId) {
        let group = &self.fused.groups[id.index()];
        match &group.kind {
            Kind::Merged(_) => {}
            Kind::Loops(loops) => self.loops(id, loops, group.level),
            Kind::Product(p) => {
                let lhs = self.buffer(p.lhs.0);
                let rhs = self.buffer(p.rhs.0);
                let scale = match &p.accumulate {
                    Some(Accumulate { scale: Scale::Node(n), .. }) => Some(self.buffer(*n)),
                    _ => None,
                };
                let c = match &p.accumulate {
                    Some(a) => self.in_parameter(p.node, self.param_number(a.param)),
                    None if p.memory() != p.node => self.buffer(p.memory()),
                    None if p.overlap.is_some() => self.copied_buffer(p.node),
                    None => self.result_of_call(p.node, &[p.lhs.0, p.rhs.0]),
                };
                let dtype = self.fused.graph.ty(p.node).dtype;
                let graph = self.fused.graph;
                if p.overlap.is_some() {
                    return self.overlapping(p, [lhs, rhs, c], group.level);
                }
                let scratch = |len| self.add_buffer(dtype, len, Want::Arena, None);
                let product = product::lower(graph, p, [lhs, rhs, c], scale, scratch);
                let mut reads: SmallVec<[BufferId; 4]> = SmallVec::from_slice(&[lhs, rhs]);
                reads.extend(scale);
                if let Some(a) = &p.accumulate {
                    reads.push(self.buffer(a.param));
                }
                let writes = [c].into_iter().chain(product.workspace).collect();
                self.out.steps.push(PendingStep {
                    action: Action::Product(Box::new(product)),
                    origins: vec![self.origin(p.node)],
                    reads,
                    writes,
                    waits: Vec::new(),
                    level: group.level,
                });
            }
            Kind::Routine { node, operands, workspace } => {
                let graph = self.fused.graph;
                let reads: SmallVec<[BufferId; 4]> = operands.iter().map(|&o| self.buffer(o)).collect();
                let result = self.result_of_call(*node, operands);
                let routine = Arc::new(Routine {
                    op: graph.op(*node).clone(),
                    operands: graph.operands(*node).iter().map(|&o| graph.ty(o).clone()).collect(),
                    ty: graph.ty(*node).clone(),
                    workspace: *workspace,
                });
                let Workspace { dtype, len } = *workspace;
                let workspace = (len > 0).then(|| self.add_buffer(dtype, len, Want::Arena, None));
                let writes = [result].into_iter().chain(workspace).collect();
                let call = RoutineCall { routine, operands: reads.clone(), result, workspace };
                self.out.steps.push(PendingStep {
                    action: Action::Routine(Box::new(call)),
                    origins: vec![self.origin(*node)],
                    reads,
                    writes,
                    waits: Vec::new(),
                    level: group.level,
                });
            }
            Kind::Loop(l) => self.looped(l, group.level),
            Kind::Assemble { node, fill, regions } => {
                let shape = self.fused.graph.shape(*node).clone();
                let dtype = self.fused.graph.ty(*node).dtype;
                let to = self.copied_buffer(*node);
                if let Some(fill) = fill {
                    let value =
                        |b: &mut KernelBuilder, _: &mut Self| b.inst(Inst::Const(fill.to_bits()), dtype, At::Row(0));
                    self.elementwise(&shape, to, dtype, Strided::contiguous(&shape), group.level, *node, value);
                }
                for (body, region) in regions {
                    let (coords_shape, body) = (region.shape.clone(), *body);
                    let value = move |b: &mut KernelBuilder, this: &mut Self| {
                        let (_, coords) = Loops::over(&coords_shape, &[]);
                        this.read_memory(b, body, &coords, At::Row(0))
                    };
                    self.elementwise(&region.shape, to, dtype, region.clone(), group.level, *node, value);
                }
            }
            Kind::Scatter { .. } => self.scatter(&group.kind, group.level),
        }
    }

    /// A copy of the base, a serial kernel that combines the updates into it in row-major order, and for sums kept in double precision the way back.
    fn scatter(&mut self, kind: &Kind, level: u32) {
        let Kind::Scatter { node, combine, base, index, update, batch, choices, wide } = kind else {
            panic!("called for scatters only");
        };
        let (shape, dtype) = (self.fused.graph.shape(*node).clone(), self.fused.graph.ty(*node).dtype);
        let to = self.copied_buffer(*node);
        let kept = if *wide { DType::F64 } else { dtype };
        let sums = if *wide { self.add_buffer(kept, shape.numel(), Want::Arena, None) } else { to };
        let widened = |b: &mut KernelBuilder, value: ValueId| match wide {
            true => b.inst(Inst::Cast(value), kept, At::Row(0)),
            false => value,
        };
        let whole = Strided::contiguous(&shape);
        let (_, places) = Loops::over(&shape, &[]);
        self.elementwise(&shape, sums, kept, whole.clone(), level, *node, |b, this| {
            let value = this.read_memory(b, *base, &places, At::Row(0));
            widened(b, value)
        });
        let operands = self.fused.graph.operands(*node);
        let update_shape = self.fused.graph.shape(operands[2]).clone();
        if update_shape.numel() > 0 {
            let (loops, coords) = Loops::over(&update_shape, &[]);
            let rows = loops.dims.len();
            let mut b = KernelBuilder::new(loops.dims, rows, 1);
            let index_coords: Coords = coords[..batch + choices].iter().cloned().collect();
            let chosen = self.read_memory(&mut b, *index, &index_coords, At::Row(0));
            let value = self.read_memory(&mut b, *update, &coords, At::Row(0));
            let value = widened(&mut b, value);
            let strides = shape.strides();
            let by_axis: Dims<isize> = strides[..*batch]
                .iter()
                .copied()
                .chain(std::iter::repeat_n(0, *choices))
                .chain(strides[batch + 1..].iter().copied())
                .collect();
            let affine = Affine { offset: 0, coefs: address(&by_axis, &coords, rows) };
            let choice = Some(Choice { value: chosen, stride: strides[*batch], extent: shape[*batch] });
            let slot = b.slot(sums, kept, Access::ReadWrite);
            b.store(slot, Index { affine, choice }, value, StoreMode::of(*combine, kept), At::Row(0));
            self.add_kernel(b, true, level, vec![self.origin(*node)]);
        }
        if *wide {
            self.elementwise(&shape, to, dtype, whole.clone(), level, *node, |b, _| {
                let affine = Affine { offset: 0, coefs: address(&whole.strides, &places, b.loops().0.len()) };
                let sum = b.load(sums, kept, affine, At::Row(0));
                b.inst(Inst::Cast(sum), dtype, At::Row(0))
            });
        }
    }

    /// A buffer for a node's value in the memory of a parameter, whose new value it is.
    fn in_parameter(&mut self, node: NodeId, param: usize) -> BufferId {
        let buffer = self.new_buffer(node, Want::At(Place::Param(param)));
        self.out.in_place.push(CopyBack { from: buffer, param });
        buffer
    }

    /// The buffer of a node that one call of the runtime computes from `operands`. A parameter's new value is computed in place unless the old one is an
    /// operand.
    fn result_of_call(&mut self, node: NodeId, operands: &[NodeId]) -> BufferId {
        match self.target.get(&node).copied() {
            Some(param) if operands.iter().all(|&n| self.fused.memory_of(n) != self.out.params[param]) => {
                self.in_parameter(node, param)
            }
            _ => self.copied_buffer(node),
        }
    }

    /// The buffer of a node; if the node is a parameter's new value, that is copied in the end.
    fn copied_buffer(&mut self, node: NodeId) -> BufferId {
        let to = self.buffer(node);
        if let Some(&param) = self.target.get(&node) {
            self.out.copies.push(CopyBack { from: to, param });
        }
        to
    }

    /// A kernel that stores one value for each element of `shape` at the places of `region`.
    #[allow(clippy::too_many_arguments, reason = "a kernel of one store is all of these facts")]
    fn elementwise(
        &mut self,
        shape: &Shape,
        to: BufferId,
        dtype: DType,
        region: Strided,
        level: u32,
        node: NodeId,
        value: impl FnOnce(&mut KernelBuilder, &mut Self) -> ValueId,
    ) {
        let (loops, coords) = Loops::over(shape, &[]);
        let rows = loops.dims.len();
        let mut b = KernelBuilder::new(loops.dims, rows, 1);
        let value = value(&mut b, self);
        let slot = b.slot(to, dtype, Access::Write);
        let affine = Affine { offset: region.offset, coefs: address(&region.strides, &coords, rows) };
        b.store(slot, Index { affine, choice: None }, value, StoreMode::Set, At::Row(0));
        self.add_kernel(b, false, level, vec![self.origin(node)]);
    }

    /// The value of an expression all of whose leaves are in memory.
    fn read_memory(&mut self, b: &mut KernelBuilder, body: ExprId, coords: &Coords, at: At) -> ValueId {
        let fused = self.fused;
        b.expr(&fused.exprs, body, coords, at, &mut |_, source| Read::Memory(self.buffer(source)))
    }

    /// Copies a result that is computed or given elsewhere.
    fn result_copy(&mut self, copy: ResultCopy) {
        let graph = self.fused.graph;
        let ty = graph.ty(copy.node).clone();
        let to = self.add_buffer(ty.dtype, ty.shape.numel(), copy.to, None);
        let body = self.fused.def(copy.node);
        let mut level = 0;
        self.fused.exprs.leaves(body, &mut |source, _, _| {
            level = level.max(self.fused.level_of(source));
        });
        let shape = ty.shape.clone();
        let value = move |b: &mut KernelBuilder, this: &mut Self| {
            let (_, coords) = Loops::over(&shape, &[]);
            this.read_memory(b, body, &coords, At::Row(0))
        };
        self.elementwise(&ty.shape, to, ty.dtype, Strided::contiguous(&ty.shape), level + 1, copy.node, value);
        if let Some(param) = copy.param {
            self.out.copies.push(CopyBack { from: to, param });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::parse;
    use crate::plan::{Action, Place, plan};

    /// Products that store their results in a concatenation are done before what waits for it, although it reads nothing of them.
    #[test]
    fn what_waits_for_a_concatenation_waits_for_its_products() {
        let text = r#"
%x = input {name="x"} : f32[64, 32]
%y = input {name="y"} : f32[64, 32]
%w = input {name="w"} : f32[32, 16]
%z = input {name="z"} : f32[1000]
%p = dot %x, %w {lhs_contract=[1], rhs_contract=[0]} : f32[64, 16]
%q = dot %y, %w {lhs_contract=[1], rhs_contract=[0]} : f32[64, 16]
%c = concat %p, %q {axis=0} : f32[128, 16]
%m = reduce %c {kind=max, axes=[0, 1]} : f32[]
%late = barrier %z, %c : f32[1000]
%s = reduce %late {kind=sum, axes=[0]} : f32[]
output "m" = %m
output "s" = %s
"#;
        let plan = plan(&parse(text).expect("a graph"));
        let products: Vec<usize> =
            (0..plan.steps.len()).filter(|&i| matches!(plan.steps[i].action, Action::Product(_))).collect();
        let reads_late = |i: &usize| match &plan.steps[*i].action {
            Action::Kernel { args, .. } => args.iter().any(|&b| plan.buffer(b).place == Place::Input(3)),
            _ => false,
        };
        let late = (0..plan.steps.len()).find(reads_late).expect("a kernel adds the late values up");
        assert_eq!(products.len(), 2, "{plan}");
        assert!(products.iter().all(|&p| p < late), "{plan}");
        // Nothing but the products computes the concatenation.
        assert_eq!(plan.steps.len(), 4, "{plan}");
    }
}
