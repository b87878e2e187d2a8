//! The order of pairwise contractions.
//!
//! Up to [`EXACT`] operands the cheapest of all orders is found, by dynamic programming over subsets (3^n steps). Beyond, the pair whose result saves the
//! most memory is contracted again and again, the cheaper of two equals first, as in opt_einsum (Smith and Gray 2018).

use super::parse::Label;

/// How many operands are ordered exactly.
const EXACT: usize = 9;

/// A set of labels.
pub(super) type Labels = [u64; 4];

/// The set of these labels.
pub(super) fn set(labels: &[Label]) -> Labels {
    let mut set = [0; 4];
    labels.iter().for_each(|&l| set[usize::from(l) / 64] |= 1 << (l % 64));
    set
}

pub(super) fn union(a: Labels, b: Labels) -> Labels {
    std::array::from_fn(|i| a[i] | b[i])
}

fn intersection(a: Labels, b: Labels) -> Labels {
    std::array::from_fn(|i| a[i] & b[i])
}

pub(super) fn contains(set: Labels, label: Label) -> bool {
    set[usize::from(label) / 64] >> (label % 64) & 1 == 1
}

/// The count of elements that a tensor of these labels has, as a float, which does not overflow.
fn size(labels: Labels, extents: &[usize; 256]) -> f64 {
    (0..=u8::MAX).filter(|&l| contains(labels, l)).map(|l| extents[usize::from(l)] as f64).product()
}

/// Pairs of tensors to contract, in order. Operands are numbered from 0, the results of the pairs behind them.
pub(super) fn path(operands: &[Labels], result: Labels, extents: &[usize; 256]) -> Vec<(usize, usize)> {
    match operands.len() {
        0 | 1 => Vec::new(),
        2..=EXACT => exact(operands, result, extents),
        _ => greedy(operands, result, extents),
    }
}

/// The order with the fewest multiplications.
fn exact(operands: &[Labels], result: Labels, extents: &[usize; 256]) -> Vec<(usize, usize)> {
    let n = operands.len();
    let all = (1usize << n) - 1;
    let within = |s: usize| (0..n).filter(|i| s >> i & 1 == 1).map(|i| operands[i]).fold([0; 4], union);
    // What is left of a subset when it has been contracted: labels that the result or other operands want.
    let left: Vec<Labels> = (0..=all).map(|s| intersection(within(s), union(result, within(all & !s)))).collect();
    let left = |s: usize| if s.is_power_of_two() { operands[s.trailing_zeros() as usize] } else { left[s] };
    let mut best: Vec<(f64, usize)> = vec![(f64::INFINITY, 0); all + 1];
    (0..n).for_each(|i| best[1 << i].0 = 0.0);
    for s in 1..=all {
        if s.is_power_of_two() {
            continue;
        }
        let lowest = s & s.wrapping_neg();
        // All parts that hold the lowest member, so that each split is seen once.
        let mut part = (s - 1) & s;
        while part > 0 {
            if part & lowest != 0 {
                let other = s & !part;
                let cost = best[part].0 + best[other].0 + size(union(left(part), left(other)), extents);
                // A sum that overflows is no worse than the initial one.
                if cost < best[s].0 || best[s].1 == 0 {
                    best[s] = (cost, part);
                }
            }
            part = (part - 1) & s;
        }
    }
    let mut pairs = Vec::new();
    emit(all, &best, n, &mut pairs);
    pairs
}

/// Appends the pairs that contract the subset, and returns the number of its tensor. Recursion is bounded by [`EXACT`].
fn emit(s: usize, best: &[(f64, usize)], n: usize, pairs: &mut Vec<(usize, usize)>) -> usize {
    if s.is_power_of_two() {
        return s.trailing_zeros() as usize;
    }
    let a = emit(best[s].1, best, n, pairs);
    let b = emit(s & !best[s].1, best, n, pairs);
    pairs.push((a, b));
    n + pairs.len() - 1
}

/// A pair that may be contracted next.
struct Candidate {
    /// Elements gained, then multiplications; the smallest wins.
    score: (f64, f64),
    /// Positions among the open tensors.
    pair: (usize, usize),
    /// The labels of the result.
    kept: Labels,
}

fn greedy(operands: &[Labels], result: Labels, extents: &[usize; 256]) -> Vec<(usize, usize)> {
    let mut open: Vec<(usize, Labels)> = operands.iter().copied().enumerate().collect();
    let mut pairs = Vec::new();
    while open.len() > 1 {
        let mut best: Option<Candidate> = None;
        // How many open tensors have each label.
        let mut users = [0usize; 256];
        for label in 0..=u8::MAX {
            users[usize::from(label)] = open.iter().filter(|o| contains(o.1, label)).count();
        }
        for i in 0..open.len() {
            for j in i + 1..open.len() {
                let (a, b) = (open[i].1, open[j].1);
                let both = union(a, b);
                let wanted = |l: &Label| {
                    let own = usize::from(contains(a, *l)) + usize::from(contains(b, *l));
                    contains(both, *l) && (contains(result, *l) || users[usize::from(*l)] > own)
                };
                let kept = set(&(0..=u8::MAX).filter(wanted).collect::<Vec<_>>());
                let saved = size(kept, extents) - size(a, extents) - size(b, extents);
                let score = (saved, size(both, extents));
                if best.as_ref().is_none_or(|b| score < b.score) {
                    best = Some(Candidate { score, pair: (i, j), kept });
                }
            }
        }
        let Candidate { pair: (i, j), kept, .. } = best.expect("there are two tensors at least");
        let b = open.remove(j).0;
        let a = open.remove(i).0;
        pairs.push((a, b));
        open.push((operands.len() + pairs.len() - 1, kept));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(of: &[(u8, usize)]) -> [usize; 256] {
        let mut extents = [1; 256];
        of.iter().for_each(|&(l, n)| extents[usize::from(l)] = n);
        extents
    }

    #[test]
    fn a_chain_of_matrices_is_contracted_from_the_thin_end() {
        let sizes = extents(&[(b'a', 100), (b'b', 100), (b'c', 100), (b'd', 1)]);
        let chain = [set(b"ab"), set(b"bc"), set(b"cd")];
        assert_eq!(path(&chain, set(b"ad"), &sizes), [(1, 2), (0, 3)]);
        assert_eq!(greedy(&chain, set(b"ad"), &sizes), [(1, 2), (0, 3)]);
    }

    #[test]
    fn every_operand_is_used_once() {
        let letters: Vec<u8> = (b'a'..=b'z').collect();
        for n in [2, 5, EXACT, EXACT + 1, 20] {
            let operands: Vec<Labels> = (0..n).map(|i| set(&letters[i..i + 2])).collect();
            let sizes = extents(&letters.iter().map(|&l| (l, 2 + usize::from(l % 3))).collect::<Vec<_>>());
            let pairs = path(&operands, set(&[letters[0], letters[n]]), &sizes);
            assert_eq!(pairs.len(), n - 1);
            let mut used: Vec<usize> = pairs.iter().flat_map(|&(a, b)| [a, b]).collect();
            used.sort_unstable();
            assert_eq!(used, (0..2 * n - 2).collect::<Vec<_>>());
        }
    }
}
