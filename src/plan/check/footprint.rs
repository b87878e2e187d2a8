//! Which places an index reaches, and whether two indices meet.
//!
//! All questions are about linear numbers of bounded counters. They are answered exactly where the effort is bounded, else on the safe side.

use smallvec::SmallVec;

use crate::plan::kernel::{Index, Kernel};

/// A bounded counter: `coef * n` for `lo <= n <= hi`. It has no value if `lo > hi`.
#[derive(Clone, Copy, Debug)]
struct Term {
    coef: i128,
    lo: i128,
    hi: i128,
}

impl Term {
    /// A counter from 0 to `extent - 1`.
    fn upto(coef: isize, extent: usize) -> Term {
        Term { coef: coef as i128, lo: 0, hi: extent as i128 - 1 }
    }
}

type Terms = SmallVec<[Term; 12]>;

/// Multiples of one stride: `stride * n` for `0 <= n < extent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    stride: i128,
    extent: i128,
}

/// A set of places: the sums of one multiple from each axis and an offset. Strides are positive and grow, extents are 2 at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    offset: i128,
    axes: SmallVec<[Axis; 4]>,
}

impl Region {
    /// The values of `offset + sum(terms)`; `None` if there are none.
    fn new(offset: i128, terms: impl IntoIterator<Item = Term>) -> Option<Region> {
        let mut region = Region { offset, axes: SmallVec::new() };
        for Term { coef, lo, hi } in terms {
            if lo > hi {
                return None;
            }
            region.offset += coef * if coef < 0 { hi } else { lo };
            if coef != 0 && hi > lo {
                region.axes.push(Axis { stride: coef.abs(), extent: hi - lo + 1 });
            }
        }
        region.axes.sort_unstable_by_key(|a| (a.stride, a.extent));
        // An axis that steps within or right behind the one below it makes that one longer.
        let mut merged: SmallVec<[Axis; 4]> = SmallVec::new();
        for axis in region.axes {
            match merged.last_mut() {
                Some(below) if axis.stride % below.stride == 0 && axis.stride / below.stride <= below.extent => {
                    below.extent += axis.stride / below.stride * (axis.extent - 1);
                }
                _ => merged.push(axis),
            }
        }
        Some(Region { axes: merged, ..region })
    }

    /// The places of a matrix or the like: `(stride, extent)` for each axis.
    pub(super) fn strided(offset: isize, axes: impl IntoIterator<Item = (isize, usize)>) -> Option<Region> {
        Region::new(offset as i128, axes.into_iter().map(|(s, n)| Term::upto(s, n)))
    }

    /// The places that an index reaches in all turns of all loops.
    pub(super) fn of_index(kernel: &Kernel, index: &Index) -> Option<Region> {
        let loops = index.affine.coefs.iter().zip(&kernel.loops);
        let choice = index.choice.map(|c| (c.stride, c.extent));
        Region::strided(index.affine.offset, loops.map(|(&c, &n)| (c, n)).chain(choice))
    }

    /// The places that an index reaches in the row whose counters are 0.
    pub(super) fn of_row(kernel: &Kernel, index: &Index) -> Option<Region> {
        let loops = index.affine.coefs.iter().zip(&kernel.loops).skip(kernel.rows);
        let choice = index.choice.map(|c| (c.stride, c.extent));
        Region::strided(index.affine.offset, loops.map(|(&c, &n)| (c, n)).chain(choice))
    }

    /// The smallest place.
    pub(super) fn min(&self) -> i128 {
        self.offset
    }

    /// The largest place.
    pub(super) fn max(&self) -> i128 {
        self.offset + self.axes.iter().map(|a| a.stride * (a.extent - 1)).sum::<i128>()
    }

    /// True if the region has no gaps.
    pub(super) fn is_run(&self) -> bool {
        matches!(self.axes[..], [] | [Axis { stride: 1, .. }])
    }

    /// How many sums there are, counting a place once for each way to reach it.
    fn ways(&self) -> i128 {
        self.axes.iter().map(|a| a.extent).product()
    }

    /// True if no place is reached in two ways, as far as the sizes of strides tell.
    fn is_injective(&self) -> bool {
        let mut below = 0;
        self.axes.iter().all(|a| {
            let apart = a.stride > below;
            below += a.stride * (a.extent - 1);
            apart
        })
    }

    /// True if the two share a place; also where that is too hard to tell.
    pub(super) fn meets(&self, other: &Region) -> bool {
        if self.max() < other.min() || other.max() < self.min() {
            return false;
        }
        let axes = |r: &Region, sign: i128| -> Terms {
            let term = |a: &Axis| Term { coef: sign * a.stride, lo: 0, hi: a.extent - 1 };
            r.axes.iter().map(term).collect()
        };
        let terms = axes(self, 1).into_iter().chain(axes(other, -1));
        solvable(terms, other.offset - self.offset)
    }

    /// True if two different points of these `(stride, extent)` are one place; also where that is too hard to tell.
    pub(super) fn meets_itself(axes: impl IntoIterator<Item = (isize, usize)>) -> bool {
        let axes: SmallVec<[(isize, usize); 6]> = axes.into_iter().collect();
        let difference = |(stride, extent): (isize, usize)| Term {
            coef: stride as i128,
            lo: 1 - extent as i128,
            hi: extent as i128 - 1,
        };
        // The first axis in which the points differ; two points can be exchanged, so its difference is positive.
        (0..axes.len()).any(|first| {
            let positive = Term { lo: 1, ..difference(axes[first]) };
            solvable([positive].into_iter().chain(axes[first + 1..].iter().copied().map(difference)), 0)
        })
    }

    /// Calls `f` with every place.
    fn for_each(&self, f: &mut impl FnMut(i128)) {
        fn walk(axes: &[Axis], at: i128, f: &mut impl FnMut(i128)) {
            match axes.split_last() {
                None => f(at),
                Some((axis, below)) => (0..axis.extent).for_each(|n| walk(below, at + n * axis.stride, f)),
            }
        }
        walk(&self.axes, self.offset, f);
    }
}

/// How many places [`covers`] enumerates at most.
pub(super) const MAX_ENUMERATED: i128 = 1 << 22;

/// True if every place of `region` is in one of `parts`.
///
/// Runs, equal regions and regions that tile a run are recognised by arithmetic; other sets are enumerated, if they have at most [`MAX_ENUMERATED`]
/// places. Larger ones are taken to be covered if `parts` reach as far as the region and are as many places, which does not prove it.
pub(super) fn covers(parts: &[Region], region: &Region) -> bool {
    let (first, last) = (region.min(), region.max());
    let has = |p: &Region| p == region || (p.is_run() && p.min() <= first && last <= p.max());
    if parts.iter().any(has) {
        return true;
    }
    if parts.is_empty() {
        return false;
    }
    let inside = |p: &Region| first <= p.min() && p.max() <= last;
    let ways: i128 = parts.iter().map(Region::ways).sum();
    if region.is_run() && parts.len() <= 64 && parts.iter().all(|p| inside(p) && p.is_injective()) {
        let apart = (1..parts.len()).all(|i| parts[..i].iter().all(|p| !p.meets(&parts[i])));
        if apart {
            return ways == last - first + 1;
        }
    }
    if last - first < MAX_ENUMERATED && ways <= 4 * MAX_ENUMERATED && region.ways() <= 4 * MAX_ENUMERATED {
        let mut there = vec![false; (last - first + 1) as usize];
        for part in parts {
            part.for_each(&mut |at| {
                if (first..=last).contains(&at) {
                    there[(at - first) as usize] = true;
                }
            });
        }
        let mut all = true;
        region.for_each(&mut |at| all &= there[(at - first) as usize]);
        return all;
    }
    let (from, to) = (parts.iter().map(Region::min).min(), parts.iter().map(Region::max).max());
    from <= Some(first) && to >= Some(last) && ways >= region.ways()
}

/// Which pairs of points are meant when two indices are asked whether they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pairs {
    /// Points of different rows.
    OtherRow,
    /// Points of one row, not the same.
    OtherPoint,
    /// Points of one row, the same or not.
    SameRow,
}

/// True if index `a` at one point and `b` at another are the same place, for some pair of points of the kind; also where that is too hard to tell.
pub(super) fn meet(kernel: &Kernel, a: &Index, b: &Index, pairs: Pairs) -> bool {
    let (rows, dims) = (kernel.rows, kernel.loops.len());
    let coefs = |d: usize| (a.affine.coefs[d], b.affine.coefs[d]);
    let target = b.affine.offset as i128 - a.affine.offset as i128;
    // Both counters have the same value.
    let shared = |d: usize| Term::upto(coefs(d).0 - coefs(d).1, kernel.loops[d]);
    // Both counters have any values.
    let free = |d: usize, terms: &mut Terms| {
        let ((a, b), n) = (coefs(d), kernel.loops[d]);
        if a == b {
            let far = n as i128 - 1;
            terms.push(Term { coef: a as i128, lo: -far, hi: far });
        } else {
            terms.extend([Term::upto(a, n), Term::upto(-b, n)]);
        }
    };
    let choices = |terms: &mut Terms| {
        terms.extend(a.choice.map(|c| Term::upto(c.stride, c.extent)));
        terms.extend(b.choice.map(|c| Term::upto(-c.stride, c.extent)));
    };
    if pairs == Pairs::SameRow {
        let mut terms: Terms = (0..rows).map(shared).collect();
        (rows..dims).for_each(|d| free(d, &mut terms));
        choices(&mut terms);
        return solvable(terms, target);
    }
    // The points agree in all loops of the range before the first in which they differ.
    let range = if pairs == Pairs::OtherRow { 0..rows } else { rows..dims };
    range.clone().any(|first| {
        [false, true].into_iter().any(|below| {
            let mut terms: Terms = (0..first).map(shared).collect();
            let far = kernel.loops[first] as i128 - 1;
            let (lo, hi) = if below { (-far, -1) } else { (1, far) };
            terms.push(Term { coef: coefs(first).0 as i128, lo, hi });
            terms.push(shared(first));
            (first + 1..dims).for_each(|d| free(d, &mut terms));
            choices(&mut terms);
            solvable(terms, target)
        })
    })
}

/// How many partial solutions [`solvable`] tries.
const MAX_TRIES: u32 = 20_000;

/// True if `sum(terms) = target` for some values of the counters; also if [`MAX_TRIES`] do not tell.
fn solvable(terms: impl IntoIterator<Item = Term>, target: i128) -> bool {
    let Some(region) = Region::new(0, terms) else {
        return false;
    };
    /// Whether multiples of `axes` sum up to `target`, largest stride first.
    fn search(axes: &[Axis], target: i128, tries: &mut u32) -> bool {
        let Some((axis, below)) = axes.split_last() else {
            return target == 0;
        };
        if *tries == 0 {
            return true;
        }
        *tries -= 1;
        if target < 0 || target % axes.iter().fold(0, |g, a| gcd(g, a.stride)) != 0 {
            return false;
        }
        let reach: i128 = below.iter().map(|a| a.stride * (a.extent - 1)).sum();
        let from = (target - reach + axis.stride - 1).div_euclid(axis.stride).max(0);
        let to = (target / axis.stride).min(axis.extent - 1);
        (from..=to).any(|n| search(below, target - n * axis.stride, tries))
    }
    search(&region.axes, target - region.offset, &mut MAX_TRIES.clone())
}

fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{Body, at};

    fn region(offset: isize, axes: &[(isize, usize)]) -> Region {
        Region::strided(offset, axes.iter().copied()).expect("not empty")
    }

    #[test]
    fn regions_have_one_form() {
        assert_eq!(region(0, &[(4, 3), (1, 4)]), region(11, &[(-1, 12)]));
        assert_eq!(region(0, &[(1, 5), (1, 3)]), region(0, &[(1, 7)]));
        assert!(!region(0, &[(5, 3), (1, 4)]).is_run());
        assert_eq!(Region::strided(0, [(1, 0)]), None);
    }

    #[test]
    fn covering_by_parts() {
        let whole = region(0, &[(1, 24)]);
        let (left, right) = (region(0, &[(6, 4), (1, 2)]), region(2, &[(6, 4), (1, 4)]));
        assert!(covers(&[left.clone(), right.clone()], &whole));
        assert!(!covers(std::slice::from_ref(&left), &whole));
        assert!(covers(std::slice::from_ref(&left), &left));
        // Parts that overlap are enumerated.
        assert!(covers(&[region(0, &[(1, 20)]), region(10, &[(1, 14)])], &whole));
        assert!(!covers(&[region(0, &[(1, 20)]), region(21, &[(1, 3)])], &whole));
        assert!(!covers(&[left, region(3, &[(6, 4), (1, 4)])], &whole));
        // So large that only tiling is found.
        let half = |o| region(o, &[(2, 1 << 40)]);
        assert!(covers(&[half(0), half(1)], &region(0, &[(1, 1 << 41)])));
    }

    /// Compares [`meet`] with enumeration.
    #[test]
    fn meetings_are_found_exactly() {
        let k = Body::new(&[3, 2, 4], 2).0;
        let coefs = [-4, -1, 0, 1, 3, 8];
        let mut point = [0; 3];
        let mut points = Vec::new();
        for n in 0..24 {
            (point[0], point[1], point[2]) = (n / 8, n / 4 % 2, n % 4);
            points.push(point);
        }
        let place = |i: &Index, p: &[isize; 3]| {
            i.affine.offset + i.affine.coefs.iter().zip(p).map(|(c, n)| c * n).sum::<isize>()
        };
        let mut seed = 1u32;
        let mut pick = || {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            coefs[(seed >> 16) as usize % coefs.len()]
        };
        for _ in 0..3000 {
            let a = at(pick(), &[pick(), pick(), pick()]);
            // Equal steps through the rows, as two indices of one kernel mostly have; then the answer is exact.
            let b = at(pick(), &[a.affine.coefs[0], a.affine.coefs[1], pick()]);
            for pairs in [Pairs::OtherRow, Pairs::OtherPoint, Pairs::SameRow] {
                let meant = |p: &[isize; 3], q: &[isize; 3]| match pairs {
                    Pairs::OtherRow => p[..2] != q[..2],
                    Pairs::OtherPoint => p[..2] == q[..2] && p[2] != q[2],
                    Pairs::SameRow => p[..2] == q[..2],
                };
                let expected =
                    points.iter().any(|p| points.iter().any(|q| meant(p, q) && place(&a, p) == place(&b, q)));
                let found = meet(&k, &a, &b, pairs);
                // In the loop in which points first differ, unlike coefficients are met with too many pairs.
                let exact = pairs != Pairs::OtherPoint || a.affine.coefs[2] == b.affine.coefs[2];
                assert!(if exact { found == expected } else { found || !expected }, "{a:?} {b:?} {pairs:?}");
            }
        }
    }
}
