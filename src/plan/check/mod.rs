//! The plan's checker: proves from the plan's text alone that a run reads what it should and overwrites nothing that is still wanted.
//!
//! For each kernel, whoever runs it:
//! - No loop is empty, and there are at least as many loops as row loops.
//! - Values, slots, folds and loops that are named exist. A value is computed at one place and used only where it is visible: an inner value behind it in
//!   its phase, a row value from its place on. The result of a fold is used behind the fold's phase.
//! - Types fit: of scalar functions by their signature, of loads and stores with their slots, of folds with their functions; choices are integers.
//! - Row values and row stores stay at one place through the inner loops, scratch indices through the row loops.
//! - A slot is used as it is declared: nothing is stored to a read slot; write, read-write and scratch slots are stored to; a read-write slot needs what was
//!   there, a write or scratch slot nothing that the row has not stored itself at that point.
//! - Rows do not meet: no row stores where another loads or stores, unless the kernel is serial.
//! - Points do not meet: in a phase, no point stores where another point of the row loads or stores. Only stores with a choice may meet, which are done in
//!   order.
//!
//! For the plan:
//! - Buffers lie within the arena, aligned, or fill their external array.
//! - Steps name kernels and buffers that exist, with the types of the slots; every index stays inside its buffer; scratch buffers have room for
//!   [`SCRATCH_ROWS`](super::kernel::SCRATCH_ROWS) rows; the matrices of products lie inside their buffers, and the elements of a result are different
//!   places.
//! - Routines are given buffers of their operands' and result's types and the workspace that they want, none of which overlaps one that is written.
//! - Every read sees the buffer's own value: all elements read have been written, and no other buffer has been written over them since.
//! - A buffer holds one value: no step writes it after another has read it. A step that changes a value in place writes a buffer of its own at the same
//!   place.
//! - Buffers of one step that overlap in memory, one of which is written, lie at the same place and are elements of the same size, and no element of the
//!   one read is loaded after an element of the other was stored in its place.
//! - Inputs and constants are not written. At the end each output, and each parameter, holds one whole value.
//!
//! - Nested plans are proved in the same way. Every array of theirs is bound to a buffer, or parts of one, of its type and size; what a loop writes, and the
//!   arenas of nested plans, lie apart from all else that it touches. A guard writes no carries, and gives one truth value.
//!
//! For strips:
//! - They are of steps in order, kernels and products that are cut into as many pieces as the strip has.
//! - Where one of two steps writes memory that both touch, each piece stays within a part of its own, which is the same for both.
//! - A buffer of which only a piece is in memory is touched by one strip alone, each piece within its part.
//!
//! Not proved:
//! - That a buffer holds the value of its node, which is for the evaluators to tell.
//! - The order of steps that write the same elements of a buffer before anyone reads it, as a fill and what is put on it.
//! - That a buffer changed in place takes over the value that was meant: any whole value of its type at its place is taken.
//! - That parts which are neither runs, nor tile a run, nor lie within four million places make up a region: they are taken to if there are as many places.

mod footprint;
mod loops;
mod memory;
mod strips;
mod structure;

use std::fmt;

use super::kernel::{Access, SlotId, ValueId};
use super::{BufferId, KernelId, Place, Plan};
use crate::graph::{DType, OpErrorKind, TensorType};
use crate::scalar::ScalarFn;

/// Proves the properties that the module lists.
///
/// # Errors
/// Everything that is wrong, in the order of kernels, buffers and steps.
pub fn check(plan: &Plan) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    let sound: Vec<bool> =
        (0..plan.kernels.len() as u32).map(|id| structure::check(plan, KernelId(id), &mut faults)).collect();
    memory::check(plan, &sound, &mut faults);
    loops::nested_plans(plan, &mut faults);
    if faults.is_empty() {
        strips::check(plan, &mut faults);
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Something wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{site}: {kind}")]
pub struct Fault {
    /// Where.
    pub site: Site,
    /// What.
    pub kind: FaultKind,
}

/// Where something is wrong, with the thing as it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// A kernel as such.
    Kernel(KernelId),
    /// A line of a kernel.
    Line {
        /// The kernel.
        kernel: KernelId,
        /// The phase.
        phase: usize,
        /// The instruction, store or fold.
        text: String,
    },
    /// A buffer.
    Buffer {
        /// The buffer.
        buffer: BufferId,
        /// Its line in the table.
        text: String,
    },
    /// A step.
    Step {
        /// Its position in the plan.
        step: usize,
        /// The step.
        text: String,
    },
    /// Somewhere in a nested plan.
    Nested {
        /// The position in the plan of the step that runs the nested plan.
        step: usize,
        /// Where in the nested plan.
        site: Box<Site>,
    },
    /// The state at the end of a run.
    End,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Site::Kernel(id) => write!(f, "{id}"),
            Site::Line { kernel, phase, text } => write!(f, "{kernel} phase {phase} `{text}`"),
            Site::Buffer { text, .. } => write!(f, "`{text}`"),
            Site::Step { step, text } => write!(f, "step {step} `{text}`"),
            Site::Nested { step, site } => write!(f, "in the loop of step {step}: {site}"),
            Site::End => write!(f, "at the end"),
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// A loop without turns.
    #[error("loop {0} has no turns")]
    EmptyLoop(usize),
    /// More row loops than loops.
    #[error("{rows} of {loops} loops are row loops")]
    RowLoops {
        /// Row loops.
        rows: usize,
        /// All loops.
        loops: usize,
    },
    /// A value that does not exist.
    #[error("there is no {0}")]
    UnknownValue(ValueId),
    /// A slot that does not exist.
    #[error("there is no slot s{}", .0.0)]
    UnknownSlot(SlotId),
    /// A fold that does not exist or is of no earlier phase.
    #[error("there is no fold {phase}.{fold} of an earlier phase")]
    UnknownFold {
        /// The phase named.
        phase: usize,
        /// The position named.
        fold: usize,
    },
    /// A value computed at two places.
    #[error("{0} is computed twice")]
    ComputedTwice(ValueId),
    /// A value used before it is computed, or out of its phase.
    #[error("{0} is not visible here")]
    NotVisible(ValueId),
    /// A linear number with too few or too many coefficients.
    #[error("{given} coefficients for {loops} loops")]
    Coefficients {
        /// Coefficients.
        given: usize,
        /// Loops.
        loops: usize,
    },
    /// A row value or store that moves with an inner loop.
    #[error("what is done once for a row moves with an inner loop")]
    InnerLoopInRow,
    /// A scratch index that moves with a row loop.
    #[error("an index into scratch memory moves with a row loop")]
    RowLoopInScratch,
    /// The wrong number of operands.
    #[error("{function} takes {} operands, not {given}", .function.arity(), function = .function.name())]
    Arity {
        /// The function.
        function: ScalarFn,
        /// Operands given.
        given: usize,
    },
    /// Operands that do not fit a function.
    #[error("{0}")]
    Operands(OpErrorKind),
    /// A value of another type than its instruction gives.
    #[error("the type is {actual}, it should be {expected}")]
    Type {
        /// The type that fits.
        expected: DType,
        /// The type stated.
        actual: DType,
    },
    /// A choice by something else than an integer.
    #[error("{0} chooses, but is no integer")]
    ChoiceType(ValueId),
    /// A function that cannot fold.
    #[error("{} does not fold values of type {dtype}", .function.name())]
    FoldFunction {
        /// The function.
        function: ScalarFn,
        /// The type folded.
        dtype: DType,
    },
    /// A position that does not fit its type.
    #[error("{count} positions are more than i32 can number")]
    FoldPositions {
        /// Points of the inner loops.
        count: usize,
    },
    /// A position that does not count along one loop, so that its order would depend on how the loops are nested.
    #[error("a position counts along one inner loop, not along {loops}")]
    FoldPositionLoops {
        /// Inner loops of more than one turn.
        loops: usize,
    },
    /// A store to a slot that is declared as read only.
    #[error("a store to a read slot")]
    StoreToRead,
    /// A slot that is declared as written and is not.
    #[error("s{} is declared {access:?} and never stored to", .slot.0)]
    NeverStored {
        /// The slot.
        slot: SlotId,
        /// Its declaration.
        access: Access,
    },
    /// A read-write slot of which nothing old is needed.
    #[error("s{} is declared as read and written, but nothing that was there is needed", .0.0)]
    NothingRead(SlotId),
    /// A write or scratch slot from which something is needed that the row has not stored.
    #[error("needs an element that the row has not stored before")]
    NotStoredYet,
    /// Rows that meet.
    #[error("another row stores to the same element by `{other}`")]
    RowsMeet {
        /// The store.
        other: String,
    },
    /// Points that meet.
    #[error("another point of the row stores to the same element by `{other}`")]
    PointsMeet {
        /// The store.
        other: String,
    },

    /// A buffer that is partly outside the arena.
    #[error("ends at byte {end}, the arena has {arena}")]
    OutsideArena {
        /// Where it ends.
        end: usize,
        /// Bytes of the arena.
        arena: usize,
    },
    /// A buffer that is not of as many equal pieces as it says.
    #[error("is not of {0} equal pieces")]
    Pieces(usize),
    /// A buffer that does not begin at a multiple of the alignment.
    #[error("is not aligned")]
    Misaligned,
    /// A place in an array that the plan does not have.
    #[error("there is no such array")]
    UnknownArray,
    /// A buffer in an external array that is typed or sized otherwise.
    #[error("its array is {dtype} x {len}")]
    ArraySize {
        /// The array's element type.
        dtype: DType,
        /// The array's count of elements.
        len: usize,
    },
    /// A kernel that does not exist.
    #[error("there is no kernel {0}")]
    UnknownKernel(KernelId),
    /// A buffer that does not exist.
    #[error("there is no buffer {0}")]
    UnknownBuffer(BufferId),
    /// More or fewer buffers than slots.
    #[error("{given} buffers for {slots} slots")]
    SlotCount {
        /// Buffers.
        given: usize,
        /// Slots.
        slots: usize,
    },
    /// A buffer whose type is not the slot's.
    #[error("{buffer} is {actual}, its slot is {expected}")]
    SlotType {
        /// The buffer.
        buffer: BufferId,
        /// The slot's type.
        expected: DType,
        /// The buffer's type.
        actual: DType,
    },
    /// An index outside its buffer.
    #[error("indices from {min} to {max} into {buffer}, which has {len} elements")]
    Outside {
        /// The buffer.
        buffer: BufferId,
        /// The smallest index.
        min: i128,
        /// The largest index.
        max: i128,
        /// Elements of the buffer.
        len: usize,
    },
    /// A scratch buffer that is too small for [`SCRATCH_ROWS`](super::kernel::SCRATCH_ROWS) rows.
    #[error("{buffer} has {len} elements, scratch memory for rows of {row} needs {}", .row * super::kernel::SCRATCH_ROWS as i128)]
    ScratchSize {
        /// The buffer.
        buffer: BufferId,
        /// Elements of one row.
        row: i128,
        /// Elements of the buffer.
        len: usize,
    },
    /// A routine without the workspace that it wants.
    #[error("wants a workspace of {len} elements")]
    NoWorkspace {
        /// Elements.
        len: usize,
    },
    /// A buffer that a routine's operand or result does not fill.
    #[error("{buffer} has {len} elements, the routine wants {ty}")]
    RoutineBuffer {
        /// The buffer.
        buffer: BufferId,
        /// Elements of the buffer.
        len: usize,
        /// What lies there.
        ty: TensorType,
    },
    /// A product of something else than floats.
    #[error("products are of floats, not of {0}")]
    ProductType(DType),
    /// A product with an axis that moves through a matrix that it is no axis of.
    #[error("rows move through the right factor, columns through the left one, or contracted axes through the result")]
    ProductAxis,
    /// A product whose workspace is too small.
    #[error("a workspace of {given} elements for a product that takes {needed}")]
    WorkspaceSize {
        /// Elements that it takes.
        needed: usize,
        /// Elements of the buffer.
        given: usize,
    },
    /// A product that is given a packed factor which there is not, which is that of other axes, or which a step writes.
    #[error("the packed factor {0} is not this product's, or a step writes it")]
    Packed(usize),
    /// A product two elements of whose result are one place.
    #[error("elements of the result {0} meet")]
    ResultMeets(BufferId),
    /// A loop without trips.
    #[error("the loop has no trips")]
    NoTrips,
    /// An array of a nested plan that no buffer is bound to.
    #[error("nothing is bound to {0:?} of the nested plan")]
    Unbound(Place),
    /// A binding of another type or size.
    #[error("{buffer} is bound as {dtype} x {len}, the nested plan has {} x {}", .expected.0, .expected.1)]
    Binding {
        /// The buffer.
        buffer: BufferId,
        /// Its type.
        dtype: DType,
        /// Elements bound.
        len: usize,
        /// What the nested plan has.
        expected: (DType, usize),
    },
    /// A constant of a nested plan that is another one, or none, in the plan around it.
    #[error("{0} is bound as a constant of the nested plan that it does not hold")]
    NestedConstant(BufferId),
    /// A buffer that does not hold the arena of a nested plan.
    #[error("{buffer} is bound as an arena of {bytes} bytes")]
    NestedArena {
        /// The buffer.
        buffer: BufferId,
        /// Bytes of the arena.
        bytes: usize,
    },
    /// Parts of an output of which one trip would overwrite another's.
    #[error("trips write to the same parts of {0}")]
    PartsMeet(BufferId),
    /// A guard that writes a carry.
    #[error("the guard writes a carry")]
    GuardWrites,
    /// A guard without a truth value.
    #[error("{0} is bound as the truth value of the guard")]
    GuardFlag(BufferId),
    /// A store to an input or a constant.
    #[error("writes {0}, which is an input or a constant")]
    WriteToInput(BufferId),
    /// A read of a buffer that has been overwritten.
    #[error("reads {buffer}, over which step {step} has written {by}")]
    Overwritten {
        /// The buffer read.
        buffer: BufferId,
        /// The buffer that lies there now.
        by: BufferId,
        /// The step that wrote it.
        step: usize,
    },
    /// A read of elements that have not been written.
    #[error("reads elements of {0} that no step has written")]
    Unwritten(BufferId),
    /// A write to a buffer whose value has been read.
    #[error("writes {buffer}, whose value {} already", .reader.map_or("the run was given".to_owned(), |r| format!("step {r} has read")))]
    WrittenAfterRead {
        /// The buffer.
        buffer: BufferId,
        /// The step that read it; `None` if it is a parameter's old value.
        reader: Option<usize>,
    },
    /// Two buffers of a step that overlap, one of which is written.
    #[error("{written} is written while {other} overlaps it in memory")]
    Overlap {
        /// The buffer written.
        written: BufferId,
        /// The other.
        other: BufferId,
    },
    /// An element of a buffer loaded after its place was stored to.
    #[error(
        "{read} and {written} lie at one place, and an element of {read} is loaded after one of {written} was stored there"
    )]
    Alias {
        /// The buffer read.
        read: BufferId,
        /// The buffer written.
        written: BufferId,
    },
    /// A strip whose steps are not there, not in order, or not cut one by one.
    #[error("the strip that begins here is not of steps in order, each with its cut")]
    Strip,
    /// A step that is not cut as its strip asks.
    #[error("is not cut into {pieces} pieces")]
    Cut {
        /// Pieces of the strip.
        pieces: usize,
    },
    /// A piece of a step of a strip that may meet another piece of another step.
    #[error("a piece that touches {buffer} may meet another piece that touches {other}")]
    PiecesMeet {
        /// The buffer of this step.
        buffer: BufferId,
        /// The buffer of an earlier step, or of this.
        other: BufferId,
    },
    /// A use of elements that are not in memory, as only a piece of their buffer is.
    #[error("touches {0} outside the piece that is in memory")]
    OutsidePiece(BufferId),
    /// An output that holds no value, or part of one.
    #[error("output {0} is not a whole value")]
    Output(usize),
    /// A parameter that holds part of a value.
    #[error("parameter {0} is not a whole value")]
    Param(usize),
}

#[cfg(test)]
mod tests;
