//! Products with a single row: a vector times a matrix.
//!
//! The matrix is read once, so its layout decides. Where its columns lie side by side, whole rows are scaled and added up, which reads memory straight on
//! and adds in the order of the tile. Where its rows lie side by side, each element is the dot product of two runs of memory, in [`LANES`] partial sums
//! that are joined pairwise, the same whatever the width of the vectors.

use super::simd::{Element, Simd, line};

/// Scaled rows of a matrix, to be added up: `sums[j] += sum over p of x[p * x_step] * rows[p * step + j]`.
///
/// Functions that take it need: the elements named can be read, `sums` can be read and written, and nobody else touches it.
pub(super) struct Rows<'a, T> {
    pub(super) k: usize,
    pub(super) x: *const T,
    pub(super) x_step: isize,
    pub(super) rows: *const T,
    pub(super) step: isize,
    pub(super) sums: &'a mut [T],
}

/// Rows that are added at a time.
const AT_ONCE: usize = 8;

/// Adds rows up.
///
/// # Safety
/// What [`Rows`] says, and the processor has the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn rows<S: Simd>(r: &Rows<'_, S::T>) {
    let mut p = 0;
    // SAFETY: rows from `p` on are inside.
    unsafe {
        while p + AT_ONCE <= r.k {
            add_rows::<S, AT_ONCE>(r, p);
            p += AT_ONCE;
        }
        while p < r.k {
            add_rows::<S, 1>(r, p);
            p += 1;
        }
    }
}

/// Adds rows `p .. p + N`.
#[inline(always)]
unsafe fn add_rows<S: Simd, const N: usize>(r: &Rows<'_, S::T>, p: usize) {
    let (sums, n) = (r.sums.as_ptr().cast_mut(), r.sums.len());
    // SAFETY: `Rows`; columns from `j` on are inside.
    unsafe {
        let mut x = [S::zero(); N];
        for (i, x) in x.iter_mut().enumerate() {
            *x = S::splat(*r.x.offset((p + i) as isize * r.x_step));
        }
        let rows: [*const S::T; N] = std::array::from_fn(|i| r.rows.wrapping_offset((p + i) as isize * r.step));
        let mut j = 0;
        while j + 4 * S::LANES <= n {
            let mut sum = [S::zero(); 4];
            for (v, sum) in sum.iter_mut().enumerate() {
                *sum = S::load(sums.add(j + v * S::LANES));
            }
            for i in 0..N {
                for (v, sum) in sum.iter_mut().enumerate() {
                    *sum = S::fma(x[i], S::load(rows[i].add(j + v * S::LANES)), *sum);
                }
            }
            for (v, sum) in sum.into_iter().enumerate() {
                S::store(sums.add(j + v * S::LANES), sum);
            }
            j += 4 * S::LANES;
        }
        while j < n {
            let count = (n - j).min(S::LANES);
            let mut sum = S::load_first(sums.add(j), count);
            for i in 0..N {
                sum = S::fma(x[i], S::load_first(rows[i].add(j), count), sum);
            }
            S::store_first(sums.add(j), count, sum);
            j += count;
        }
    }
}

/// Dot products of a run with the rows of a matrix: `sums[j] = sum over p < k of x[p] * rows[j * step + p]`.
///
/// Functions that take it need: the elements named can be read, `sums` can be written for `j < n`, and nobody else touches it.
pub(super) struct Dots<T> {
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) x: *const T,
    pub(super) rows: *const T,
    pub(super) step: isize,
    pub(super) sums: *mut T,
}

/// Partial sums of a dot product: partial sum `i` is of the products `i`, `i + LANES`, `i + 2 * LANES` and so on.
const LANES: usize = 32;

/// Computes dot products.
///
/// # Safety
/// What [`Dots`] says, and the processor has the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn dots<S: Simd>(d: &Dots<S::T>) {
    let mut j = 0;
    // SAFETY: rows from `j` on are inside.
    unsafe {
        // As many rows at once as there are registers for their partial sums.
        match LANES / S::LANES {
            0..=2 => {
                while j + 4 <= d.n {
                    dot::<S, 4>(d, j);
                    j += 4;
                }
            }
            _ => {
                while j + 2 <= d.n {
                    dot::<S, 2>(d, j);
                    j += 2;
                }
            }
        }
        while j < d.n {
            dot::<S, 1>(d, j);
            j += 1;
        }
    }
}

/// Computes elements `j .. j + N`.
#[inline(always)]
unsafe fn dot<S: Simd, const N: usize>(d: &Dots<S::T>, j: usize) {
    // SAFETY: `Dots`. A store of all vectors of a sum fills `LANES` elements.
    unsafe {
        let vectors = LANES / S::LANES;
        let rows: [*const S::T; N] = std::array::from_fn(|i| d.rows.wrapping_offset((j + i) as isize * d.step));
        // As many vectors as the narrowest implementation needs.
        let mut sums = [[S::zero(); LANES / 2]; N];
        let mut p = 0;
        while p + LANES <= d.k {
            for v in 0..vectors {
                let x = S::load(d.x.add(p + v * S::LANES));
                for (sums, row) in sums.iter_mut().zip(rows) {
                    if v * S::LANES % line::<S::T>() == 0 {
                        S::prefetch(row.wrapping_offset(N as isize * d.step).wrapping_add(p + v * S::LANES));
                    }
                    sums[v] = S::fma(x, S::load(row.add(p + v * S::LANES)), sums[v]);
                }
            }
            p += LANES;
        }
        // The lanes left over take 0 * 0, which changes no sum but -0.
        for v in 0..vectors {
            let count = (d.k - p).saturating_sub(v * S::LANES).min(S::LANES);
            if count > 0 {
                let x = S::load_first(d.x.add(p + v * S::LANES), count);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    sums[v] = S::fma(x, S::load_first(row.add(p + v * S::LANES), count), sums[v]);
                }
            }
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // Pairs of whole vectors first, then of lanes.
            let mut half = vectors / 2;
            while half > 0 {
                for v in 0..half {
                    sums[v] = S::add(sums[v], sums[v + half]);
                }
                half /= 2;
            }
            let mut lanes = [S::T::ZERO; LANES];
            S::store(lanes.as_mut_ptr(), sums[0]);
            let mut half = S::LANES / 2;
            while half > 0 {
                for lane in 0..half {
                    lanes[lane] = lanes[lane].add(lanes[lane + half]);
                }
                half /= 2;
            }
            *d.sums.add(j + i) = lanes[0];
        }
    }
}
