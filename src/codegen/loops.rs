//! Counting loops in CLIF, and how many elements their turns do.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cranelift_frontend::FunctionBuilder;

/// Emits `for (counter = start; counter < end; counter += step) body`. The loop runs at least once if `runs` says so, and is then tested at its bottom
/// only.
pub(super) fn counting<'f, C>(
    cx: &mut C,
    builder: impl Fn(&mut C) -> &mut FunctionBuilder<'f>,
    (start, end, step): (Value, Value, i64),
    runs: bool,
    body: impl FnOnce(&mut C, Value),
) {
    let b = builder(cx);
    let (inside, after) = (b.create_block(), b.create_block());
    let counter = b.append_block_param(inside, types::I64);
    if runs {
        b.ins().jump(inside, &[start.into()]);
    } else {
        let any = b.ins().icmp(IntCC::SignedLessThan, start, end);
        b.ins().brif(any, inside, &[start.into()], after, &[]);
    }
    b.switch_to_block(inside);
    body(cx, counter);
    let b = builder(cx);
    let next = b.ins().iadd_imm_s(counter, step);
    let more = b.ins().icmp(IntCC::SignedLessThan, next, end);
    b.ins().brif(more, inside, &[next.into()], after, &[]);
    b.switch_to_block(after);
}

/// How many elements of the vector loop are worked on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    /// Lanes that are computed; 1 is scalar code.
    pub(super) lanes: u32,
    /// Lanes that are elements. The others are neither loaded nor stored nor folded, and hold anything.
    pub(super) live: u32,
}

impl Width {
    pub(super) const SCALAR: Width = Width { lanes: 1, live: 1 };

    pub(super) fn full(lanes: u32) -> Width {
        Width { lanes, live: lanes }
    }

    pub(super) fn is_wide(self) -> bool {
        self.lanes > 1
    }
}
