//! Registers for virtual registers: a linear scan over live intervals.
//!
//! An interval reaches from the first definition to the last use, and to the end of every loop that it enters from outside. When registers run out, the
//! interval that is used least for its length, loops counted, lives in the frame instead. Constants that are used most take the registers that remain.

use std::cmp::Ordering;
use std::ops::Range;

use super::ir::{Code, Inst, Kind, LoopId, Reg};

/// The first mask register that intervals may have; those before it are for operands on their way, and `k0` cannot be a write mask.
const FIRST_MASK: u8 = 3;
const MASKS: u8 = 8 - FIRST_MASK;

/// Where a virtual register lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Nowhere: nothing uses it.
    None,
    /// In a vector or mask register.
    Register(u8),
    /// In the frame, in this slot of a vector's bytes, or of 8 for mask registers.
    Frame(u32),
    /// In the pool: a constant.
    Pool,
}

/// Where everything lives.
#[derive(Debug)]
pub(super) struct Homes {
    pub(super) of: Vec<Home>,
    /// Constants to load at the beginning, with their registers.
    pub(super) constants: Vec<(Reg, u8)>,
    /// Vectors and masks in the frame.
    pub(super) spilled_vectors: u32,
    pub(super) spilled_masks: u32,
}

#[derive(Clone, Copy)]
struct Interval {
    reg: Reg,
    start: u32,
    end: u32,
    weight: u64,
}

impl Interval {
    /// Compares by uses for each instruction that a register is taken.
    fn cheaper(&self, other: &Interval) -> Ordering {
        let length = |i: &Interval| u128::from(i.end - i.start) + 1;
        (u128::from(self.weight) * length(other)).cmp(&(u128::from(other.weight) * length(self)))
    }
}

/// Assigns homes.
pub(super) fn allocate(code: &Code) -> Homes {
    let n = code.kinds.len();
    let mut start = vec![u32::MAX; n];
    let mut end = vec![0u32; n];
    let mut weight = vec![0u64; n];
    let mut open: Vec<(LoopId, u32)> = Vec::new();
    let mut loops: Vec<(u32, u32)> = Vec::new();
    for (at, inst) in code.insts.iter().enumerate() {
        let at = at as u32;
        match inst {
            Inst::Loop(id) => open.push((*id, at)),
            Inst::End(_) => {
                let (_, begin) = open.pop().expect("loops nest");
                loops.push((begin, at));
            }
            _ => {}
        }
        let price = 8u64.pow((open.len() as u32).min(12));
        let mut touch = |r: Reg| {
            start[r.index()] = start[r.index()].min(at);
            end[r.index()] = at;
            weight[r.index()] += price;
        };
        inst.uses(&mut touch);
        inst.dst().into_iter().for_each(&mut touch);
    }
    // Inner loops come first in the list, so that what is extended to their ends is seen to be inside the outer ones.
    let touched = touched_in_loops(code, &loops);
    for (&(begin, finish), regs) in loops.iter().zip(&touched) {
        for &r in regs.iter().filter(|r| start[r.index()] < begin) {
            end[r.index()] = end[r.index()].max(finish);
        }
    }
    let has_masks = code.isa.has_mask_registers();
    let registers = code.isa.scratch()[0].0;
    let mut homes = vec![Home::None; n];
    let (mut vectors, mut masks) = (Vec::new(), Vec::new());
    let (mut constants, mut truths) = (Vec::new(), Vec::new());
    for (i, kind) in code.kinds.iter().enumerate().filter(|(i, _)| start[*i] != u32::MAX) {
        let interval = Interval { reg: Reg(i as u32), start: start[i], end: end[i], weight: weight[i] };
        match kind {
            Kind::Vector => vectors.push(interval),
            Kind::Mask if has_masks => masks.push(interval),
            Kind::Mask => vectors.push(interval),
            Kind::Truths(_) if has_masks => {
                homes[i] = Home::Pool;
                truths.push(interval);
            }
            Kind::Element(..) | Kind::Constant(_) | Kind::Truths(_) => {
                homes[i] = Home::Pool;
                constants.push(interval);
            }
        }
    }
    let (spilled_vectors, used) = scan(vectors, registers, &mut homes);
    let (spilled_masks, used_masks) = scan(masks, MASKS, &mut homes);
    let masks = homes.iter_mut().zip(&code.kinds).filter(|(_, k)| has_masks && **k == Kind::Mask);
    for home in masks.map(|(h, _)| h) {
        if let Home::Register(r) = home {
            *r += FIRST_MASK;
        }
    }
    let mut constants = remaining(constants, used..registers);
    constants.extend(remaining(truths, FIRST_MASK + used_masks..FIRST_MASK + MASKS));
    for &(reg, r) in &constants {
        homes[reg.index()] = Home::Register(r);
    }
    Homes { of: homes, constants, spilled_vectors, spilled_masks }
}

/// The constants that registers are left for, those used most first. Only constants of loops are worth one.
fn remaining(mut constants: Vec<Interval>, registers: Range<u8>) -> Vec<(Reg, u8)> {
    constants.retain(|c| c.weight >= 8);
    constants.sort_by_key(|c| (std::cmp::Reverse(c.weight), c.reg));
    constants.iter().map(|c| c.reg).zip(registers).collect()
}

/// For each loop, the registers that occur in it.
fn touched_in_loops(code: &Code, loops: &[(u32, u32)]) -> Vec<Vec<Reg>> {
    let mut all = Vec::with_capacity(loops.len());
    for &(begin, end) in loops {
        let mut regs = Vec::new();
        for inst in &code.insts[begin as usize..=end as usize] {
            inst.uses(|r| regs.push(r));
            regs.extend(inst.dst());
        }
        regs.sort_unstable();
        regs.dedup();
        all.push(regs);
    }
    all
}

/// Gives each interval one of `count` registers or a place in the frame. Returns how many places, and a bound of the registers used.
fn scan(mut intervals: Vec<Interval>, count: u8, homes: &mut [Home]) -> (u32, u8) {
    intervals.sort_by_key(|i| (i.start, i.reg));
    let mut active: Vec<(Interval, u8)> = Vec::new();
    let mut free: u32 = (1 << count) - 1;
    let (mut spilled, mut used) = (0, 0);
    for interval in intervals {
        // A register that is read for the last time may be written by the same instruction.
        active.retain(|(old, r)| {
            let lives = old.end > interval.start;
            if !lives {
                free |= 1 << r;
            }
            lives
        });
        let mut frame = |reg: Reg, homes: &mut [Home]| {
            homes[reg.index()] = Home::Frame(spilled);
            spilled += 1;
        };
        let r = if free != 0 {
            free.trailing_zeros() as u8
        } else {
            let (at, &(cheapest, r)) = active
                .iter()
                .enumerate()
                .min_by(|(_, (a, _)), (_, (b, _))| a.cheaper(b))
                .expect("all registers are taken");
            if cheapest.cheaper(&interval).is_ge() {
                frame(interval.reg, homes);
                continue;
            }
            frame(cheapest.reg, homes);
            active.swap_remove(at);
            r
        };
        free &= !(1 << r);
        used = used.max(r + 1);
        homes[interval.reg.index()] = Home::Register(r);
        active.push((interval, r));
    }
    (spilled, used)
}
