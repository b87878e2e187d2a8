//! The loop level: which kernels run, in which order, and where every value lies.
//!
//! ```text
//!   Graph --expand--> Graph --fuse--> groups of nodes --lower--> kernels, products, routines --schedule--> order --strip--> pieces --place--> Plan
//! ```
//!
//! A [`Plan`] says everything about a run but the instructions: code generation translates it, [`eval`](eval::run) runs it in plain Rust, and
//! a checker proves that each read sees the value that was meant.

mod build;
pub mod check;
pub mod eval;
mod expand;
mod expr;
mod fuse;
mod group;
pub mod kernel;
mod lower;
mod memory;
pub mod nested;
mod overlap;
mod packed;
mod pending;
mod pieces;
mod print;
mod product;
mod remat;
mod schedule;
mod split;
pub mod strip;
#[cfg(test)]
pub(crate) mod testing;
mod timeline;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{DType, Graph, Name, NodeId, Origin, TensorType};
use crate::prim::Routine;

pub use crate::runtime::gemm::{Axes, Axis};
use kernel::Kernel;
use nested::LoopStep;
use strip::{Strip, Strips};
use timeline::Timeline;

pub use packed::Packed;
pub use remat::{Fitted, OverBudget, fit};

/// Number of a buffer in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// Number of a kernel in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelId(pub u32);

impl BufferId {
    /// The position in [`Plan::buffers`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl KernelId {
    /// The position in [`Plan::kernels`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At this byte of the arena, a multiple of [`ARENA_ALIGN`].
    Arena(usize),
    /// In the array given for input number `i` of [`Plan::inputs`].
    Input(usize),
    /// In the memory of parameter number `i` of [`Plan::params`].
    Param(usize),
    /// In constant number `i` of [`Plan::constants`].
    Const(usize),
    /// In the array of output number `i` of [`Plan::outputs`].
    Output(usize),
}

/// Alignment of buffers in the arena, in bytes: a cache line, and the widest vector.
pub const ARENA_ALIGN: usize = 64;

/// Memory that holds one value, row-major and without gaps. Several buffers may share a place one after the other.
///
/// Steps write the value, whole or in parts, before any reads it, and none writes it afterwards. A step that changes a value in place writes another buffer at
/// the same place, of the same type and length: with [`Access::ReadWrite`](kernel::Access::ReadWrite), or accumulating, it finds the old value there. A
/// buffer of an input, a constant, or a parameter that no step writes is given to the run.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Type of the elements.
    pub dtype: DType,
    /// Count of elements.
    pub len: usize,
    /// How many pieces it has, one of which is in memory at a time: 1, or those of the [`Strip`] that alone touches it. The place is then that of the piece
    /// that is worked on, one for each thread.
    pub pieces: usize,
    /// Where it lies.
    pub place: Place,
    /// The graph node whose value it holds; `None` for the scratch memory of a kernel and for copies of results.
    pub node: Option<NodeId>,
}

impl Buffer {
    /// Bytes of the memory that the buffer takes: of one piece, if it has several.
    pub fn bytes(&self) -> usize {
        self.len / self.pieces * self.dtype.size()
    }

    /// Bytes of all its elements.
    pub fn value_bytes(&self) -> usize {
        self.len * self.dtype.size()
    }
}

/// One thing that a run does.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Origins of the nodes that it computes.
    pub origins: Vec<Arc<Origin>>,
}

impl Step {
    /// The buffers that the step writes.
    pub fn written(&self, plan: &Plan) -> impl Iterator<Item = BufferId> + use<> {
        let written: SmallVec<[BufferId; 4]> = match &self.action {
            Action::Kernel { kernel, args } => {
                let slots = plan.kernel(*kernel).slots.iter().zip(args);
                slots.filter(|(s, _)| s.access != kernel::Access::Read).map(|(_, &b)| b).collect()
            }
            Action::Product(p) => p.workspace.into_iter().chain([p.c.buffer]).collect(),
            Action::Loop(l) => l.written().collect(),
            Action::Routine(call) => call.workspace.into_iter().chain([call.result]).collect(),
        };
        written.into_iter()
    }

    /// The buffers that the step reads or writes. Some may be named twice.
    pub fn touched(&self, plan: &Plan) -> SmallVec<[BufferId; 8]> {
        match &self.action {
            Action::Kernel { args, .. } => args.iter().copied().collect(),
            Action::Product(p) => {
                let scale = match p.alpha {
                    Alpha::Buffer { buffer, .. } => Some(buffer),
                    Alpha::Const(_) => None,
                };
                [p.a.buffer, p.b.buffer, p.c.buffer].into_iter().chain(scale).chain(p.workspace).collect()
            }
            Action::Routine(call) => call.buffers().collect(),
            Action::Loop(l) => l.read().chain(self.written(plan)).collect(),
        }
    }

    /// The bytes of the buffers that the step reads and of those that it writes, scratch memory left aside: about what it moves.
    pub fn bytes(&self, plan: &Plan) -> usize {
        let bytes = |b: BufferId| plan.buffer(b).value_bytes();
        match &self.action {
            Action::Kernel { kernel, args } => {
                let slots = plan.kernel(*kernel).slots.iter().zip(args);
                let times = |access| match access {
                    kernel::Access::Read | kernel::Access::Write => 1,
                    kernel::Access::ReadWrite => 2,
                    kernel::Access::Scratch => 0,
                };
                slots.map(|(slot, &b)| times(slot.access) * bytes(b)).sum()
            }
            Action::Product(p) => {
                let results = if p.accumulate { 2 } else { 1 };
                bytes(p.a.buffer) + bytes(p.b.buffer) + results * bytes(p.c.buffer)
            }
            Action::Routine(call) => call.operands.iter().chain([&call.result]).map(|&b| bytes(b)).sum(),
            // A nested plan runs in buffers of its own, once for each trip.
            Action::Loop(l) => {
                let moved = l.nested().map(|n| l.trips.saturating_mul(n.plan.moved_bytes()));
                moved.fold(0, usize::saturating_add)
            }
        }
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Runs a kernel.
    Kernel {
        /// The kernel.
        kernel: KernelId,
        /// The buffer of each slot.
        args: Vec<BufferId>,
    },
    /// Computes matrix products.
    Product(Box<Product>),
    /// Calls a routine.
    Routine(Box<RoutineCall>),
    /// Runs a nested plan several times.
    Loop(Box<LoopStep>),
}

/// A call of a routine on whole buffers, which do not overlap.
#[derive(Clone, Debug)]
pub struct RoutineCall {
    /// What is computed. Shared, because compiled code is given its address.
    pub routine: Arc<Routine>,
    /// The buffer of each operand.
    pub operands: SmallVec<[BufferId; 4]>,
    /// The buffer of the result.
    pub result: BufferId,
    /// The workspace, if the routine wants one. Its contents before and after the call are nobody's.
    pub workspace: Option<BufferId>,
}

impl RoutineCall {
    /// The buffers in the order in which the routine is given them: operands, result, workspace.
    pub fn buffers(&self) -> impl Iterator<Item = BufferId> {
        self.operands.iter().copied().chain([self.result]).chain(self.workspace)
    }
}

/// Matrix products: for every index of the batch axes, `c = alpha * a b` or `c += alpha * a b`.
///
/// Strides are in elements. The element of a matrix at an index of the axes is at `offset + sum(index[d] * stride[d])`.
#[derive(Clone, Debug)]
pub struct Product {
    /// `f32` or `f64`.
    pub dtype: DType,
    /// The left factor.
    pub a: Matrix,
    /// The right factor.
    pub b: Matrix,
    /// The result. Read too if `accumulate`.
    pub c: Matrix,
    /// The axes with their strides. Rows have stride 0 in `b`, columns in `a` and contracted axes in `c`.
    pub axes: Axes,
    /// What the product is multiplied with.
    pub alpha: Alpha,
    /// Whether the product is added to what `c` holds.
    pub accumulate: bool,
    /// Scratch memory, if the product takes any.
    pub workspace: Option<BufferId>,
    /// The position in [`Plan::packed`] of the right factor, if it is given packed.
    pub packed: Option<usize>,
}

impl Product {
    /// How many numbers are multiplied with each other.
    pub fn multiplications(&self) -> usize {
        let axes = [&self.axes.batch, &self.axes.rows, &self.axes.columns, &self.axes.contracted];
        axes.into_iter().flatten().map(|axis| axis.extent).product()
    }
}

/// A matrix in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// The buffer.
    pub buffer: BufferId,
    /// Place of the first element.
    pub offset: isize,
}

/// The factor of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alpha {
    /// A number known now.
    Const(f64),
    /// `sign` times the first element of a buffer of the product's type.
    Buffer {
        /// The buffer.
        buffer: BufferId,
        /// 1 or -1.
        sign: f64,
    },
}

/// Everything about a run but the instructions.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Input names, in the order of the graph's nodes.
    pub inputs: Vec<Name>,
    /// Parameter names, in the order of the graph's nodes.
    pub params: Vec<Name>,
    /// Constants that have more than one element.
    pub constants: Vec<Arc<Array>>,
    /// Names and types of the outputs, in the graph's order.
    pub outputs: Vec<(Name, TensorType)>,
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// All different kernels.
    pub kernels: Vec<Kernel>,
    /// What a run does, in order.
    pub steps: Vec<Step>,
    /// Steps that are done together, piece by piece, in order.
    pub strips: Vec<Strip>,
    /// Factors of products that are packed before a run, if they have changed since the last.
    pub packed: Vec<Packed>,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// The largest sum of the bytes of arena buffers that live at one time: no placement needs less.
    pub live_bytes: usize,
}

impl Plan {
    /// The buffer of this number.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.index()]
    }

    /// The kernel of this number.
    pub fn kernel(&self, id: KernelId) -> &Kernel {
        &self.kernels[id.index()]
    }

    /// About how many bytes a run reads and writes: [`Step::bytes`] of all steps. Recursion is bounded by the depth of bodies.
    pub fn moved_bytes(&self) -> usize {
        self.steps.iter().map(|step| step.bytes(self)).fold(0, usize::saturating_add)
    }

    /// Bytes of the factors that are packed before a run.
    pub fn packed_bytes(&self) -> usize {
        self.packed.iter().map(Packed::bytes).sum()
    }

    /// The calls of routines, those of nested plans too, in order. Recursion is bounded by the depth of bodies.
    pub fn routine_calls(&self) -> Vec<&RoutineCall> {
        let mut calls: Vec<&RoutineCall> = Vec::new();
        for step in &self.steps {
            match &step.action {
                Action::Routine(call) => calls.push(call),
                Action::Loop(l) => l.nested().for_each(|n| calls.extend(n.plan.routine_calls())),
                Action::Kernel { .. } | Action::Product(_) => {}
            }
        }
        calls
    }
}

/// Plans a run of the graph.
pub fn plan(graph: &Graph) -> Plan {
    plan_and(&expand::expand(graph), (Strips::WherePaid, Packing::Once), |_, _, _| ()).0
}

/// Plans a run of the graph, or of a body, with strips as asked for.
pub fn plan_with(graph: &Graph, strips: Strips) -> Plan {
    plan_and(&expand::expand(graph), (strips, Packing::EachRun), |_, _, _| ()).0
}

/// When factors are packed that no run changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    /// When they are new, in memory of their own.
    Once,
    /// In each run, as all others: bodies are given the memory of the program around them, and a budget leaves none.
    EachRun,
}

/// Plans a run of an expanded graph, step by step; tells also when each value is computed and read.
fn planned(graph: &Graph) -> (Plan, Timeline) {
    plan_and(graph, (Strips::Never, Packing::EachRun), Timeline::of)
}

/// Plans a run of an expanded graph, and looks at what the plan is made of.
fn plan_and<T>(
    graph: &Graph,
    (strips, packing): (Strips, Packing),
    look: impl FnOnce(&fuse::Fused<'_>, &pending::Lowered, &[usize]) -> T,
) -> (Plan, T) {
    let fused = fuse::fuse(graph);
    let mut lowered = lower::lower(&fused, strips);
    let order = schedule::schedule(&mut lowered);
    let order = lower::append_copies(&mut lowered, order);
    let strips = strip::find(&mut lowered, &order, strips);
    let packed = match packing {
        Packing::Once => packed::find(&mut lowered, &order, &strips),
        Packing::EachRun => Vec::new(),
    };
    let memory::Placed { buffers, arena_bytes, live_bytes } = memory::place(&lowered, &order, &strips);
    let seen = look(&fused, &lowered, &order);
    let name = |&id: &NodeId| graph.op(id).leaf_name().expect("inputs and parameters have names").clone();
    let plan = Plan {
        inputs: lowered.inputs.iter().map(name).collect(),
        params: lowered.params.iter().map(name).collect(),
        outputs: graph.outputs().iter().map(|o| (o.name.clone(), graph.ty(o.node).clone())).collect(),
        constants: lowered.constants,
        buffers,
        kernels: lowered.kernels.into_list(),
        steps: order.iter().map(|&i| lowered.steps[i].clone().into()).collect(),
        strips: strips.into_iter().map(|found| found.strip).collect(),
        packed,
        arena_bytes,
        live_bytes,
    };
    (plan, seen)
}
