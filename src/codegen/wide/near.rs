//! Elements at short even distances, such as every second one, or each before the other: loaded and stored as the whole vectors that they lie in, between
//! which permutations carry lanes. A gather takes an access for each lane.

#[cfg(doc)]
use crate::codegen::choose::Vector;
use crate::graph::DType;

use super::asm::Length;
use super::body::{Body, bits};
use super::ir::{Address, Form, Inst, Lay, Reg};
use super::opcodes;

/// Where the lanes of a register lie among vectors.
struct Layout {
    /// The element of each lane that lives, counted from the first in memory.
    elements: Vec<u32>,
    /// The distance of that first element from the first lane's: 0, or less.
    start: i64,
    /// Elements from the first to behind the last.
    span: u32,
    /// Elements of a vector.
    lanes: u32,
}

impl Layout {
    fn vectors(&self) -> u32 {
        self.span.div_ceil(self.lanes)
    }
}

impl Body<'_> {
    /// The layout of lanes at a distance, of which as many live as a constant mask says.
    fn layout(&self, step: isize, mask: Option<Reg>) -> Layout {
        let lanes = self.lanes();
        let live = mask.map_or(lanes, |m| {
            let bits = self.code.constant_truths(m).expect("the lanes of a rest are known");
            debug_assert!(bits & bits.wrapping_add(1) == 0, "the first lanes of a rest live");
            bits.count_ones()
        });
        let start = i64::from(live.saturating_sub(1)) * (step as i64).min(0);
        let elements: Vec<u32> = (0..i64::from(live)).map(|l| (l * step as i64 - start) as u32).collect();
        let span = elements.iter().max().map_or(0, |last| last + 1);
        Layout { elements, start, span, lanes }
    }

    /// The address of the vector that begins at an element of a layout.
    fn vector_at(&mut self, at: &Address, layout: &Layout, element: u32) -> Address {
        let disp = i32::try_from(i64::from(at.disp) + (layout.start + i64::from(element)) * i64::from(at.size));
        self.code.unsupported |= disp.is_err();
        Address { disp: disp.unwrap_or(0), ..*at }
    }

    /// A constant vector of lane numbers, of the width of the type's lanes.
    fn picks(&mut self, dtype: DType, lanes: Vec<u32>) -> Reg {
        let wide = bits(dtype) == 64;
        let bytes = lanes.into_iter().flat_map(|l| {
            let bytes = u64::from(l).to_le_bytes();
            bytes.into_iter().take(if wide { 8 } else { 4 })
        });
        self.code.constant(bytes.collect())
    }

    /// Loads elements that are [near](Vector::loads_near). Nothing before the first or behind the last is touched.
    pub(super) fn load_near(&mut self, dtype: DType, at: &Address, step: isize, mask: Option<Reg>) -> Reg {
        let (layout, length) = (self.layout(step, mask), self.length(bits(dtype)));
        let (lanes, count) = (layout.lanes, layout.vectors());
        // The last of several vectors ends with the last element.
        let first = |k: u32| if k + 1 == count { layout.span.saturating_sub(lanes) } else { k * lanes };
        let mut all: Option<Reg> = None;
        for k in 0..count {
            let at = self.vector_at(at, &layout, first(k));
            let mask = (layout.span < lanes).then(|| self.code.truths(((1u32 << layout.span) - 1) as u16));
            let dst = self.code.vector();
            self.code.push(Inst::Load { lay: Lay::Run, dst, at, length, mask });
            // Lanes that are at hand stay; those of this vector are numbered behind them.
            let place = |(lane, &element): (usize, &u32)| {
                let own = (element / lanes).min(count - 1);
                let within = element - first(own);
                match (own == k, k) {
                    (true, 0) => within,
                    (true, _) => lanes + within,
                    (false, 1) => within,
                    (false, _) => lane as u32,
                }
            };
            let mut picks: Vec<u32> = layout.elements.iter().enumerate().map(place).collect();
            picks.resize(lanes as usize, 0);
            all = Some(match all {
                // The first of several vectors is a table as it is.
                None if count > 1 => dst,
                None => self.permuted(dtype, length, picks, dst),
                Some(others) => {
                    // Where a permutation has one vector, the sign of a lane's number says that it is of the second.
                    if !self.code.isa.permutes_two() {
                        picks.iter_mut().filter(|l| **l >= lanes).for_each(|l| *l |= 1 << 31);
                    }
                    let index = self.picks(dtype, picks);
                    let (both, wide) = (self.code.vector(), bits(dtype) == 64);
                    self.code.push(Inst::Permute { wide, length, dst: both, index, args: [others, dst] });
                    both
                }
            });
        }
        all.unwrap_or_else(|| self.constant(dtype, 0.0))
    }

    /// The lanes of one vector in another order.
    fn permuted(&mut self, dtype: DType, length: Length, picks: Vec<u32>, v: Reg) -> Reg {
        let index = self.picks(dtype, picks);
        self.code.op(opcodes::permute(bits(dtype) == 64), Form::Binary, length, &[index, v], None)
    }

    /// Stores lanes that are [near](Vector::stores_near), as many as a constant mask says. Nothing between them is touched.
    pub(super) fn store_near(&mut self, dtype: DType, at: &Address, step: isize, src: Reg, mask: Option<Reg>) {
        let (layout, length) = (self.layout(step, mask), self.length(bits(dtype)));
        let lanes = layout.lanes;
        for k in 0..layout.vectors() {
            let mut picks = vec![0; lanes as usize];
            let mut stored = 0u32;
            for (lane, &element) in layout.elements.iter().enumerate().filter(|(_, e)| **e / lanes == k) {
                picks[(element % lanes) as usize] = lane as u32;
                stored |= 1 << (element % lanes);
            }
            let src = self.permuted(dtype, length, picks, src);
            let at = self.vector_at(at, &layout, k * lanes);
            let mask = (stored.count_ones() < lanes).then(|| self.code.truths(stored as u16));
            self.code.push(Inst::Store { lay: Lay::Run, src, at, length, mask });
        }
    }
}
