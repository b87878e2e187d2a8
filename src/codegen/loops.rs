//! Counting loops in CLIF, and how one dimension is cut for vectors.

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

/// How many lanes are worked on at a time: `parts` vectors of `lanes` lanes. One of one lane is scalar code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    pub(super) parts: u32,
    pub(super) lanes: u32,
}

impl Width {
    pub(super) const SCALAR: Width = Width { parts: 1, lanes: 1 };

    /// Elements at a time.
    pub(super) fn count(self) -> usize {
        (self.parts * self.lanes) as usize
    }
}
