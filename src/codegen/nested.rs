//! Loops over nested plans: each is a function like the step, called once a trip with a table of its own.

use cranelift_codegen::ir::{FuncRef, InstBuilder, MemFlagsData, StackSlot, StackSlotData, StackSlotKind};
use cranelift_codegen::ir::{Value as Clif, types};

use crate::plan::nested::{LoopStep, Nested, Part};
use crate::plan::{BufferId, Place};
use crate::prim::Order;

use super::loops::counting;
use super::step::Step;
use super::{first_routine, table_index, table_len};

/// A nested plan, ready to be called.
struct Callee<'a> {
    nested: &'a Nested,
    function: FuncRef,
    /// Its table of pointers.
    table: StackSlot,
    /// Entries of the table that move: where the part of slice 0 begins, and the bytes between two slices.
    moving: Vec<(i32, Clif, i64)>,
}

impl Step<'_, '_> {
    /// Emits a loop. `functions` are those of its nested plans, in their order; `routine` is the entry of the first routine that they call.
    pub(super) fn repeat(&mut self, l: &LoopStep, functions: &[FuncRef], mut routine: usize) {
        let mut callees: Vec<Callee<'_>> = Vec::new();
        for (nested, &function) in l.nested().zip(functions) {
            callees.push(self.bind(nested, function, routine));
            routine += nested.plan.routine_calls().len();
        }
        let body = callees.pop().expect("a loop has a body");
        let guard = l.guard.as_ref().zip(callees.pop());
        let flag = guard.as_ref().map(|(g, _)| self.pointer(g.flag));
        let end = self.b.create_block();
        let (begin, trips) = (self.int(0), self.int(l.trips as i64));
        counting(
            self,
            |s| &mut s.b,
            (begin, trips, 1),
            true,
            |s, n| {
                let t = match l.order {
                    Order::Forward => n,
                    Order::Reverse => {
                        let last = s.int(l.trips as i64 - 1);
                        s.b.ins().isub(last, n)
                    }
                };
                let after = s.b.create_block();
                if let (Some((guard, callee)), Some(flag)) = (&guard, flag) {
                    s.call(callee, t);
                    let holds = s.b.ins().load(types::I8, MemFlagsData::trusted(), flag, 0);
                    let inside = s.b.create_block();
                    s.b.ins().brif(holds, inside, &[], if guard.ends { end } else { after }, &[]);
                    s.b.switch_to_block(inside);
                }
                s.call(&body, t);
                s.b.ins().jump(after, &[]);
                s.b.switch_to_block(after);
            },
        );
        self.b.ins().jump(end, &[]);
        self.b.switch_to_block(end);
    }

    /// Fills the table of a nested plan, but for what moves.
    fn bind<'a>(&mut self, nested: &'a Nested, function: FuncRef, routine: usize) -> Callee<'a> {
        let plan = &*nested.plan;
        let bytes = table_len(plan) as u32 * 8;
        let table = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3));
        let mut callee = Callee { nested, function, table, moving: Vec::new() };
        if let Some(arena) = nested.arena {
            self.set_entry(&callee, Place::Arena(0), arena);
        }
        for (i, param) in nested.params.iter().enumerate() {
            param.iter().for_each(|&p| self.set_entry(&callee, Place::Param(i), p));
        }
        for (i, constant) in nested.constants.iter().enumerate() {
            constant.iter().for_each(|&c| self.set_entry(&callee, Place::Const(i), c));
        }
        for i in 0..plan.routine_calls().len() {
            let description = self.entry(routine + i);
            let entry = (first_routine(plan) + i) as i32 * 8;
            self.b.ins().stack_store(types::I64, description, callee.table, entry);
        }
        let inputs = nested.inputs.iter().enumerate().map(|(i, part)| (Place::Input(i), part));
        let outputs = nested.outputs.iter().enumerate().map(|(i, part)| (Place::Output(i), part));
        for (place, part) in inputs.chain(outputs) {
            let &Some(Part { buffer, offset, stride, .. }) = part else { continue };
            let size = self.plan.buffer(buffer).dtype.size() as i64;
            let base = self.pointer(buffer);
            let base = if offset == 0 { base } else { self.b.ins().iadd_imm_s(base, offset as i64 * size) };
            let entry = table_index(plan, place).0 as i32 * 8;
            if stride == 0 {
                self.b.ins().stack_store(types::I64, base, callee.table, entry);
            } else {
                callee.moving.push((entry, base, stride as i64 * size));
            }
        }
        callee
    }

    fn set_entry(&mut self, callee: &Callee<'_>, place: Place, buffer: BufferId) {
        let pointer = self.pointer(buffer);
        let entry = table_index(&callee.nested.plan, place).0 as i32 * 8;
        self.b.ins().stack_store(types::I64, pointer, callee.table, entry);
    }

    /// Calls a nested plan on slice `t`.
    fn call(&mut self, callee: &Callee<'_>, t: Clif) {
        for &(entry, base, bytes) in &callee.moving {
            let distance = self.b.ins().imul_imm_s(t, bytes);
            let pointer = self.b.ins().iadd(base, distance);
            self.b.ins().stack_store(types::I64, pointer, callee.table, entry);
        }
        let table = self.b.ins().stack_addr(types::I64, callee.table, 0);
        self.b.ins().call(callee.function, &[table]);
    }
}
