//! Loops: the body is planned by itself, and bound to buffers of this plan.

use std::sync::Arc;

use crate::graph::{DType, NodeId};
use crate::plan::fuse::LoopGroup;
use crate::plan::group::Loops;
use crate::plan::kernel::Inst;
use crate::plan::nested::{Guard, LoopStep, Nested, Part};
use crate::plan::pending::{PendingStep, Want};
use crate::plan::{Action, BufferId, Place, Plan, plan_with};
use crate::prim::{LoopResult, Strided, guard_graph};

use super::{At, KernelBuilder, Lowerer};

impl Lowerer<'_, '_> {
    /// Lowers a loop: the carries get their first values, then a step runs all trips.
    pub(super) fn looped(&mut self, group: &LoopGroup, level: u32) {
        let (graph, spec) = (self.fused.graph, &group.spec);
        let Some(&(first, _)) = group.results.first() else { return };
        let stacked = |&(node, result): &(NodeId, LoopResult)| match result {
            LoopResult::Carry(_) => None,
            LoopResult::Stack(of) => Some((node, of)),
        };
        let stacks: Vec<(NodeId, NodeId)> = group.results.iter().filter_map(stacked).collect();
        let of: Vec<NodeId> = stacks.iter().map(|s| s.1).collect();
        let body = Arc::new(plan_with(&spec.graph_of(&of), self.strips));
        let guard = spec.guard.map(|guard| Arc::new(plan_with(&guard_graph(spec.body.graph(), guard), self.strips)));

        let used = |place: Place| {
            let plans = guard.iter().chain([&body]);
            plans.flat_map(|p| &p.buffers).any(|b| b.place == place)
        };
        let mut carries: Vec<Option<BufferId>> = Vec::new();
        for (i, &init) in group.inits.iter().enumerate() {
            let ty = spec.result_type(LoopResult::Carry(i));
            let result = group.results.iter().find(|r| r.1 == LoopResult::Carry(i));
            let buffer = match result {
                _ if ty.shape.numel() == 0 => None,
                Some(&(node, _)) => Some(self.copied_buffer(node)),
                None if used(Place::Param(i)) => Some(self.add_buffer(ty.dtype, ty.shape.numel(), Want::Arena, None)),
                None => None,
            };
            if let Some(to) = buffer {
                let shape = ty.shape.clone();
                let value = move |b: &mut KernelBuilder, this: &mut Self| {
                    let (_, coords) = Loops::over(&shape, &[]);
                    this.read_memory(b, init, &coords, At::Row(0))
                };
                self.elementwise(&ty.shape, to, ty.dtype, Strided::contiguous(&ty.shape), level, first, value);
            }
            carries.push(buffer);
        }
        let mut outputs: Vec<Option<Part>> = Vec::new();
        for &(node, _) in &stacks {
            let ty = graph.ty(node).clone();
            let buffer = self.copied_buffer(node);
            if guard.is_some() {
                // Trips that do not take place leave zeros.
                let zero =
                    |b: &mut KernelBuilder, _: &mut Self| b.inst(Inst::Const(0.0f64.to_bits()), ty.dtype, At::Row(0));
                self.elementwise(&ty.shape, buffer, ty.dtype, Strided::contiguous(&ty.shape), level, first, zero);
            }
            let len = ty.shape.numel() / spec.trips;
            outputs.push(Some(Part { buffer, offset: 0, stride: len, len }));
        }
        let inputs: Vec<Option<Part>> = group
            .inputs
            .iter()
            .enumerate()
            .map(|(i, input)| {
                let (source, view) = input.as_ref().filter(|_| used(Place::Input(i)))?;
                let sliced = i < spec.sequences;
                let (len, stride) = match sliced {
                    true => (view.shape.numel() / spec.trips, view.strides[0] as usize),
                    false => (view.shape.numel(), 0),
                };
                Some(Part { buffer: self.buffer(*source), offset: view.offset as usize, stride, len })
            })
            .collect();

        let guard = guard.zip(spec.guard).map(|(plan, _)| {
            let flag = self.add_buffer(DType::Bool, 1, Want::Arena, None);
            let output = Part { buffer: flag, offset: 0, stride: 0, len: 1 };
            let nested = self.nested(plan, &inputs, &carries, vec![Some(output)]);
            Guard { nested, flag, ends: spec.guard_ends() }
        });
        let body = self.nested(body, &inputs, &carries, outputs);
        let step = LoopStep { trips: spec.trips, order: spec.order, body, guard };
        let origins = group.results.iter().map(|r| self.origin(r.0)).collect();
        let (reads, writes) = (step.read().collect(), step.written().collect());
        self.out.steps.push(PendingStep {
            action: Action::Loop(Box::new(step)),
            origins,
            reads,
            writes,
            waits: Vec::new(),
            level,
        });
    }

    /// Binds a nested plan to buffers.
    fn nested(
        &mut self,
        plan: Arc<Plan>,
        inputs: &[Option<Part>],
        carries: &[Option<BufferId>],
        outputs: Vec<Option<Part>>,
    ) -> Nested {
        let used = |place: Place| plan.buffers.iter().any(|b| b.place == place);
        let inputs = inputs.iter().enumerate().map(|(i, part)| part.filter(|_| used(Place::Input(i)))).collect();
        let params = carries.iter().enumerate().map(|(i, &carry)| carry.filter(|_| used(Place::Param(i)))).collect();
        let outputs =
            outputs.into_iter().enumerate().map(|(i, part)| part.filter(|_| used(Place::Output(i)))).collect();
        let constants = plan.constants.iter().map(|constant| {
            self.out.constants.push(constant.clone());
            let place = Place::Const(self.out.constants.len() - 1);
            Some(self.add_buffer(constant.dtype(), constant.shape().numel(), Want::At(place), None))
        });
        let constants = constants.collect();
        let bytes = plan.arena_bytes;
        let arena = (bytes > 0).then(|| self.add_buffer(DType::Bool, bytes, Want::Arena, None));
        Nested { plan, inputs, params, constants, outputs, arena }
    }
}
