//! The pointers that kernels, products and routines are given: a list in the module's memory, from which a loop fills the frame of the function that calls
//! them, as many at a time as there is room for. Code for each pointer would be most of the function, and take longer to compile than all the rest.

use std::ops::Range;

use cranelift_codegen::ir::Value as Clif;
use cranelift_codegen::ir::{GlobalValue, InstBuilder, MemFlagsData, StackSlot, StackSlotData, StackSlotKind, types};
use cranelift_module::ModuleError;
use smallvec::SmallVec;

use crate::plan::kernel::Access;
use crate::plan::strip::Family;
use crate::plan::{Action, Axis, BufferId, Matrix, Plan};

use super::loops::counting;
use super::step::{Step, Surroundings, define_words};
use super::table_index;

/// So many pointers are in the frame at a time, if a call does not have more.
const ROOM: usize = 512;

/// A pointer: some bytes behind what an entry of the table leads to. In a strip it is such that the elements of the piece that is worked on lie where the whole
/// buffer has them.
struct Argument {
    entry: usize,
    bytes: isize,
    /// Whether the memory is a thread's own, in its shadow.
    own: bool,
    /// Bytes that are added for each piece before the one that is worked on.
    stride: isize,
}

impl Argument {
    /// So many elements behind the beginning of a buffer, and `stride` elements further for each piece.
    fn of(plan: &Plan, buffer: BufferId, elements: isize, own: bool, stride: isize) -> Argument {
        let buffer = plan.buffer(buffer);
        let (entry, start) = table_index(plan, buffer.place);
        let size = buffer.dtype.size() as isize;
        // Of a buffer in pieces only one is in memory.
        let before = if buffer.pieces > 1 { buffer.bytes() as isize } else { 0 };
        Argument {
            entry,
            bytes: start as isize + elements * size,
            own: own || buffer.pieces > 1,
            stride: stride * size - before,
        }
    }
}

/// The pointers that an action hands over; of a product, those of its matrices and its workspace. A loop hands over tables. `packed` is the entry of the first
/// packed factor.
fn arguments(plan: &Plan, packed: usize, action: &Action, cut: Option<Family>) -> Option<SmallVec<[Argument; 8]>> {
    match action {
        Action::Kernel { kernel, args } => {
            let slots = plan.kernel(*kernel).slots.iter().zip(args);
            Some(slots.map(|(slot, &b)| Argument::of(plan, b, 0, slot.access == Access::Scratch, 0)).collect())
        }
        Action::Product(p) => {
            let axis = cut.map(|family| family.of(&p.axes)[0]);
            let matrix = |m: Matrix, stride: fn(Axis) -> isize| {
                Argument::of(plan, m.buffer, m.offset, false, axis.map_or(0, stride))
            };
            let right = match p.packed {
                Some(number) => Argument { entry: packed + number, bytes: 0, own: false, stride: 0 },
                None => matrix(p.b, |x| x.b),
            };
            let workspace = p.workspace.map(|workspace| Argument::of(plan, workspace, 0, true, 0));
            Some([matrix(p.a, |x| x.a), right, matrix(p.c, |x| x.c)].into_iter().chain(workspace).collect())
        }
        Action::Routine(call) => Some(call.buffers().map(|b| Argument::of(plan, b, 0, false, 0)).collect()),
        Action::Loop(_) => None,
    }
}

/// The pointers of all calls of a function.
pub(super) struct Arguments {
    list: GlobalValue,
    /// Where the pointers of each call end in the list.
    ends: Vec<usize>,
    /// The next call.
    next: usize,
    frame: StackSlot,
    /// The pointers that are in the frame.
    there: Range<usize>,
}

impl Step<'_, '_> {
    /// Defines the list of the pointers of all calls, under the name of the function. Products of a strip are cut along the first axis of a family.
    pub(super) fn list_arguments<'p>(
        &mut self,
        cx: &mut Surroundings<'_>,
        name: &str,
        calls: impl Iterator<Item = (&'p Action, Option<Family>)>,
    ) -> Result<(), Box<ModuleError>> {
        let (mut words, mut ends): (Vec<usize>, Vec<usize>) = Default::default();
        let (mut count, mut most) = (0, 0);
        for arguments in calls.filter_map(|(action, cut)| arguments(self.plan, cx.packed, action, cut)) {
            count += arguments.len();
            most = most.max(arguments.len());
            ends.push(count);
            for Argument { entry, bytes, own, stride } in arguments {
                words.extend([entry * 8, bytes as usize]);
                if self.piece.is_some() {
                    words.extend([if own { usize::MAX } else { 0 }, stride as usize]);
                }
            }
        }
        if !ends.is_empty() {
            let id = define_words(&format!("{name}_arguments"), &words, cx.module)?;
            let list = cx.module.declare_data_in_func(id, self.b.func);
            let bytes = most.max(ROOM).min(count) as u32 * 8;
            let frame = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3));
            self.arguments = Some(Arguments { list, ends, next: 0, frame, there: 0..0 });
        }
        Ok(())
    }

    /// The address of the next call's pointers, one behind the other in the frame, where those of the calls after it are put too if they are not there yet.
    pub(super) fn next_arguments(&mut self) -> Clif {
        let Some(Arguments { list, ends, next, frame, there }) = &mut self.arguments else {
            panic!("a function that hands over pointers has a list of them");
        };
        let begin = next.checked_sub(1).map_or(0, |before| ends[before]);
        let (list, frame, mut missing) = (*list, *frame, None);
        if there.end < ends[*next] {
            let fit = ends[*next..].partition_point(|end| end - begin <= ROOM).max(1);
            *there = begin..ends[*next + fit - 1];
            missing = Some(there.clone());
        }
        *next += 1;
        let offset = (begin - there.start) as i32 * 8;
        if let Some(range) = missing {
            self.fill(list, frame, range);
        }
        self.b.ins().stack_addr(types::I64, frame, offset)
    }

    /// Emits the loop that puts a part of the list in the frame.
    fn fill(&mut self, list: GlobalValue, frame: StackSlot, range: Range<usize>) {
        let words = if self.piece.is_some() { 4 } else { 2 };
        let list = self.b.ins().symbol_value(types::I64, list);
        let list = self.b.ins().iadd_imm_s(list, (range.start * words * 8) as i64);
        let frame = self.b.ins().stack_addr(types::I64, frame, 0);
        let (begin, end) = (self.int(0), self.int(range.len() as i64));
        counting(
            self,
            |s| &mut s.b,
            (begin, end, 1),
            true,
            |s, n| {
                let constant = MemFlagsData::trusted().with_readonly();
                let (in_list, in_frame) = (s.b.ins().imul_imm_s(n, words as i64 * 8), s.b.ins().imul_imm_s(n, 8));
                let (from, to) = (s.b.ins().iadd(list, in_list), s.b.ins().iadd(frame, in_frame));
                let mut word = |i: i32| s.b.ins().load(types::I64, constant, from, i * 8);
                let (entry, bytes) = (word(0), word(1));
                let of_piece = s.piece.map(|piece| (piece, word(2), word(3)));
                let entry = s.b.ins().iadd(s.table, entry);
                let memory = s.b.ins().load(types::I64, constant, entry, 0);
                let mut pointer = s.b.ins().iadd(memory, bytes);
                if let Some((piece, own, stride)) = of_piece {
                    let shadow = s.b.ins().band(piece.shadow, own);
                    let distance = s.b.ins().imul(piece.number, stride);
                    pointer = s.b.ins().iadd(pointer, shadow);
                    pointer = s.b.ins().iadd(pointer, distance);
                }
                s.b.ins().store(MemFlagsData::trusted(), pointer, to, 0);
            },
        );
    }
}
