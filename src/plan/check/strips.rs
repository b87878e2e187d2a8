//! Strips: doing them piece by piece is as good as doing one step after the other.
//!
//! It is if no piece of one step meets another piece of another step, where one of both writes. So of memory that two steps touch and one writes, each
//! piece must stay within a part of its own, and the parts must be the same for both steps.

use smallvec::SmallVec;

use crate::plan::kernel::{Access, Kernel, SlotId};
use crate::plan::strip::{Cut, Family, Strip};
use crate::plan::{Action, Alpha, Axis, BufferId, Matrix, Place, Plan, Product};

use super::footprint::Region;
use super::memory::overlap;
use super::structure::accesses;
use super::{Fault, FaultKind, Site};

/// What a step of a strip does with a buffer.
struct Touch {
    step: usize,
    buffer: BufferId,
    written: bool,
    reach: Reach,
}

/// Where a piece stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// In memory of the thread, whose contents it forgets.
    Own,
    /// In its part of the buffer: `part` elements in every `part * pieces`.
    Part(i128),
    /// Perhaps anywhere.
    Anywhere,
}

/// Checks the strips of a plan whose kernels, buffers and steps are sound.
pub(super) fn check(plan: &Plan, faults: &mut Vec<Fault>) {
    let mut end = 0;
    let mut strip_of: Vec<Option<usize>> = vec![None; plan.steps.len()];
    for (number, strip) in plan.strips.iter().enumerate() {
        let steps = strip.steps.clone();
        let in_order = end <= steps.start && steps.start < steps.end && steps.end <= plan.steps.len();
        if !in_order || strip.pieces == 0 || strip.cuts.len() != steps.len() {
            let step = steps.start.min(plan.steps.len().saturating_sub(1));
            faults.push(at_step(plan, step, FaultKind::Strip));
            return;
        }
        end = steps.end;
        strip_of[steps].fill(Some(number));
        one(plan, strip, faults);
    }
    by_pieces(plan, &strip_of, faults);
}

fn at_step(plan: &Plan, step: usize, kind: FaultKind) -> Fault {
    let text = plan.steps.get(step).map_or(String::new(), |s| s.action.to_string());
    Fault { site: Site::Step { step, text }, kind }
}

fn one(plan: &Plan, strip: &Strip, faults: &mut Vec<Fault>) {
    let mut touches: Vec<Touch> = Vec::new();
    for (step, &cut) in strip.steps.clone().zip(&strip.cuts) {
        match (&plan.steps[step].action, cut) {
            (Action::Kernel { kernel, args }, Cut::Rows) => {
                let kernel = plan.kernel(*kernel);
                // Where there is one row loop, code may do several of its turns at a time.
                if kernel.serial || kernel.rows < 2 || kernel.loops[0] != strip.pieces {
                    faults.push(at_step(plan, step, FaultKind::Cut { pieces: strip.pieces }));
                    return;
                }
                for (i, (slot, &buffer)) in kernel.slots.iter().zip(args).enumerate() {
                    let reach = match slot.access {
                        Access::Scratch => Reach::Own,
                        _ => of_slot(kernel, SlotId(i as u32), plan.buffer(buffer).len, strip.pieces),
                    };
                    touches.push(Touch { step, buffer, written: slot.access != Access::Read, reach });
                }
            }
            (Action::Product(p), Cut::Axis(family))
                if family.of(&p.axes).first().is_some_and(|axis| axis.extent == strip.pieces) =>
            {
                let needed = p.table(&p.piece(family, 0).axes).workspace_len();
                let given = p.workspace.map_or(0, |w| plan.buffer(w).len);
                if given < needed {
                    faults.push(at_step(plan, step, FaultKind::WorkspaceSize { needed, given }));
                }
                let of = |m: Matrix, stride| of_matrix(p, family, m, stride, plan.buffer(m.buffer).len);
                let touch = |buffer, written, reach| Touch { step, buffer, written, reach };
                touches.push(touch(p.a.buffer, false, of(p.a, |x| x.a)));
                touches.push(touch(p.b.buffer, false, of(p.b, |x| x.b)));
                touches.push(touch(p.c.buffer, true, of(p.c, |x| x.c)));
                if let Alpha::Buffer { buffer, .. } = p.alpha {
                    touches.push(touch(buffer, false, Reach::Anywhere));
                }
                touches.extend(p.workspace.map(|w| touch(w, true, Reach::Own)));
            }
            _ => {
                faults.push(at_step(plan, step, FaultKind::Cut { pieces: strip.pieces }));
                return;
            }
        }
    }
    for (i, touch) in touches.iter().enumerate() {
        let buffer = plan.buffer(touch.buffer);
        if buffer.pieces > 1 {
            let inside = matches!(touch.reach, Reach::Part(part) if part * strip.pieces as i128 == buffer.len as i128);
            if buffer.pieces != strip.pieces || !inside {
                faults.push(at_step(plan, touch.step, FaultKind::OutsidePiece(touch.buffer)));
            }
        }
        for other in &touches[..i] {
            if (touch.written || other.written) && meets(plan, touch, other) {
                let kind = FaultKind::PiecesMeet { buffer: touch.buffer, other: other.buffer };
                faults.push(at_step(plan, touch.step, kind));
            }
        }
    }
}

/// True if a piece of one step may meet another piece of another step, or memory that is not each thread's alone.
fn meets(plan: &Plan, a: &Touch, b: &Touch) -> bool {
    let (of_a, of_b) = (plan.buffer(a.buffer), plan.buffer(b.buffer));
    if !overlap(of_a, of_b) {
        return false;
    }
    match (a.reach, b.reach) {
        // What is forgotten may lie where something else is forgotten.
        (Reach::Own, Reach::Own) => a.step == b.step,
        (Reach::Part(x), Reach::Part(y)) => {
            let bytes = |part: i128, size: usize| part * size as i128;
            let same = bytes(x, of_a.dtype.size()) == bytes(y, of_b.dtype.size());
            !(same && of_a.place == of_b.place && of_a.pieces == of_b.pieces && of_a.bytes() == of_b.bytes())
        }
        // Pieces of one step are apart by themselves.
        _ => a.step != b.step || of_a.pieces != of_b.pieces,
    }
}

/// Where piece `n` of an access stays: it begins at `offset + n * part` and moves by these strides and extents.
fn reach(
    offset: isize,
    part: isize,
    terms: impl IntoIterator<Item = (isize, usize)>,
    len: usize,
    pieces: usize,
) -> Reach {
    let period = part as i128 * pieces as i128;
    if part <= 0 || len as i128 % period != 0 {
        return Reach::Anywhere;
    }
    let within: SmallVec<[(isize, usize); 8]> =
        terms.into_iter().filter(|&(stride, _)| stride as i128 % period != 0).collect();
    let start = (offset as i128).rem_euclid(period) as isize;
    match Region::strided(start, within) {
        Some(region) if region.min() < 0 || region.max() >= part as i128 => Reach::Anywhere,
        _ => Reach::Part(part as i128),
    }
}

fn of_slot(kernel: &Kernel, slot: SlotId, len: usize, pieces: usize) -> Reach {
    let mut all: Option<Reach> = None;
    for at in accesses(kernel, slot) {
        let coefs = &at.index.affine.coefs;
        let loops = coefs.iter().copied().zip(kernel.loops.iter().copied()).skip(1);
        let terms = loops.chain(at.index.choice.map(|c| (c.stride, c.extent)));
        let own = reach(at.index.affine.offset, coefs[0], terms, len, pieces);
        all = Some(if all.is_none_or(|known| known == own) { own } else { Reach::Anywhere });
    }
    all.unwrap_or(Reach::Anywhere)
}

fn of_matrix(p: &Product, family: Family, m: Matrix, stride: fn(&Axis) -> isize, len: usize) -> Reach {
    let piece = p.piece(family, 0);
    let axis = family.of(&p.axes)[0];
    let axes = [piece.axes.batch, piece.axes.rows, piece.axes.columns, piece.axes.contracted].concat();
    reach(m.offset, stride(&axis), axes.iter().map(|x| (stride(x), x.extent)), len, axis.extent)
}

/// A buffer of which a piece is in memory lies in the arena, and one strip alone touches it.
fn by_pieces(plan: &Plan, strip_of: &[Option<usize>], faults: &mut Vec<Fault>) {
    let mut strips: Vec<Option<usize>> = vec![None; plan.buffers.len()];
    for (step, s) in plan.steps.iter().enumerate() {
        for b in s.touched(plan).into_iter().filter(|&b| plan.buffer(b).pieces > 1) {
            let known = &mut strips[b.index()];
            let alone = strip_of[step].filter(|&own| known.is_none_or(|k| k == own));
            if alone.is_none() || !matches!(plan.buffer(b).place, Place::Arena(_)) {
                faults.push(at_step(plan, step, FaultKind::OutsidePiece(b)));
            }
            *known = alone.or(*known);
        }
    }
}
