//! The tile: a few rows and columns of the result, in registers.
//!
//! Every element has one accumulator, to which the products are added in the order of the contraction. So its value does not depend on the tile in which it
//! is computed, nor on the width of the vectors.

use std::mem::MaybeUninit;

use super::simd::{Element, Parts, Simd};
use super::{MAX_COLUMNS, MAX_ROWS};

/// What tiles of the same columns and of the same count of rows are computed of. Steps are distances in elements.
///
/// Functions that take tiles of `R` rows need, for `t < tiles`, `i < R` and `p < k`: `a[i / 3][t * a_tile + i % 3 * a_row + p * a_step]` can be read; so can the
/// `columns` elements from `b[p * b_step]` on, and all lanes of the last vector, unless the function packs; the `columns` elements
/// from `c[c_rows[t * R + i]]` on can be written, and read if `add`, and nobody else touches them. For functions that pack, `k` times the lanes of all vectors
/// can be written from `packed` on.
pub(super) struct Tiles<T> {
    pub(super) k: usize,
    /// Every third row of the left factor: rows between are one register's distance away, which is an address of one instruction.
    pub(super) a: [*const T; MAX_ROWS / 3],
    pub(super) a_row: isize,
    pub(super) a_step: isize,
    pub(super) a_tile: isize,
    pub(super) b: *const T,
    pub(super) b_step: isize,
    pub(super) packed: *mut T,
    pub(super) c: *mut T,
    pub(super) c_rows: *const isize,
    pub(super) tiles: usize,
    /// More than fill all vectors of the tile but one, and no more than fill all.
    pub(super) columns: usize,
    pub(super) alpha: T,
    /// Whether `alpha * a b` is added to `c`, rather than replacing it.
    pub(super) add: bool,
}

/// Computes tiles of `R` rows and `V` vectors. If `PACK`, copies what it reads of `b` to `packed`, the vectors of a step side by side and steps one behind the
/// other, which costs next to nothing while the processor multiplies.
///
/// # Safety
/// What [`Tiles`] says, and the processor has the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn compute<S: Simd, const R: usize, const V: usize, const PACK: bool>(t: &Tiles<S::T>) {
    for tile in 0..t.tiles {
        // SAFETY: the loops read and write just what `Tiles` says. Pointers that go on behind the last step are not read.
        unsafe {
            let (a_row, last) = (t.a_row, t.columns - (V - 1) * S::LANES);
            let c_rows = t.c_rows.add(tile * R);
            let mut acc = [[S::zero(); V]; R];
            let mut a = t.a.map(|a| a.wrapping_offset(tile as isize * t.a_tile));
            let (mut b, mut packed) = (t.b, t.packed);
            if t.add {
                for i in 0..R {
                    let c = t.c.wrapping_offset(*c_rows.add(i));
                    S::prefetch(c);
                    S::prefetch(c.wrapping_add(t.columns - 1));
                }
            }
            for _ in 0..t.k {
                let mut row = [S::zero(); V];
                for (v, row) in row.iter_mut().enumerate() {
                    let from = b.add(v * S::LANES);
                    let masked = v + 1 == V && PACK;
                    *row = if masked { S::load_first(from, last) } else { S::load(from) };
                    if PACK {
                        S::store(packed.add(v * S::LANES), *row);
                    }
                }
                if PACK {
                    // The next columns are packed next, and rows of a large matrix are too far apart for a processor to foresee.
                    S::prefetch(b.wrapping_add(V * S::LANES));
                    packed = packed.wrapping_add(V * S::LANES);
                }
                for i in 0..R {
                    let x = S::splat(*a[i / 3].offset((i % 3) as isize * a_row));
                    for v in 0..V {
                        acc[i][v] = S::fma(x, row[v], acc[i][v]);
                    }
                }
                for a in a.iter_mut().take(R.div_ceil(3)) {
                    *a = a.wrapping_offset(t.a_step);
                }
                b = b.wrapping_offset(t.b_step);
            }
            let alpha = S::splat(t.alpha);
            for (i, acc) in acc.iter().enumerate() {
                let c = t.c.offset(*c_rows.add(i));
                for (v, &sum) in acc.iter().enumerate() {
                    let to = c.add(v * S::LANES);
                    let whole = v + 1 < V || last == S::LANES;
                    let new = match (t.add, whole) {
                        (false, _) => S::mul(alpha, sum),
                        (true, true) => S::fma(alpha, sum, S::load(to)),
                        (true, false) => S::fma(alpha, sum, S::load_first(to, last)),
                    };
                    if whole { S::store(to, new) } else { S::store_first(to, last, new) }
                }
            }
        }
    }
}

/// What a tile is computed of whose rows, vectors and steps lie anywhere: windows of an operand, read where they are. A vector has `H` parts, which follow each
/// other in the lists.
///
/// Functions that take a tile of `R` rows and `V` vectors need, for `i < R`, `v < V * H` and `p < k`: `a[a_rows[i] + a_steps[p]]` can be read; so can all lanes of a
/// part from `b[b_vectors[v] + b_steps[p]]` on; the first `lanes[v]` elements from `c[c_rows[i] + c_vectors[v]]` on can be written, and read if `add`, and
/// nobody else touches them.
pub(super) struct FreeTile<T> {
    pub(super) k: usize,
    pub(super) a: *const T,
    pub(super) a_rows: *const isize,
    pub(super) a_steps: *const isize,
    pub(super) b: *const T,
    pub(super) b_vectors: *const isize,
    pub(super) b_steps: *const isize,
    pub(super) c: *mut T,
    pub(super) c_rows: *const isize,
    pub(super) c_vectors: *const isize,
    pub(super) lanes: *const usize,
    pub(super) alpha: T,
    pub(super) add: bool,
}

/// Computes a tile of `R` rows and `V` vectors of `H` parts, with the order of sums of [`compute`].
///
/// # Safety
/// What [`FreeTile`] says, and the processor has the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn compute_free<S: Parts<H>, const R: usize, const V: usize, const H: usize>(t: &FreeTile<S::T>) {
    // SAFETY: the loops read and write just what `FreeTile` says.
    unsafe {
        let a: [*const S::T; R] = std::array::from_fn(|i| t.a.wrapping_offset(*t.a_rows.add(i)));
        let b: [[*const S::T; H]; V] =
            std::array::from_fn(|v| std::array::from_fn(|h| t.b.wrapping_offset(*t.b_vectors.add(v * H + h))));
        let mut acc = [[S::zero(); V]; R];
        for p in 0..t.k {
            let (a_step, b_step) = (*t.a_steps.add(p), *t.b_steps.add(p));
            let mut row = [S::zero(); V];
            for (row, parts) in row.iter_mut().zip(b) {
                *row = S::load_parts(parts.map(|b| b.wrapping_offset(b_step)));
            }
            for i in 0..R {
                let x = S::splat(*a[i].wrapping_offset(a_step));
                for v in 0..V {
                    acc[i][v] = S::fma(x, row[v], acc[i][v]);
                }
            }
        }
        let alpha = S::splat(t.alpha);
        for (i, acc) in acc.iter().enumerate() {
            let c = t.c.wrapping_offset(*t.c_rows.add(i));
            let to = |v: usize| -> [*mut S::T; H] {
                std::array::from_fn(|h| c.wrapping_offset(*t.c_vectors.add(v * H + h)))
            };
            let lanes = |v: usize| -> [usize; H] { std::array::from_fn(|h| *t.lanes.add(v * H + h)) };
            // All of a row is read before any of it is written: a load behind a store with a mask waits until memory has it, even if they do not meet.
            let mut new = *acc;
            for (v, new) in new.iter_mut().enumerate() {
                *new = if t.add {
                    S::fma(alpha, *new, S::load_first_parts(to(v).map(|c| c.cast_const()), lanes(v)))
                } else {
                    S::mul(alpha, *new)
                };
            }
            for (v, new) in new.into_iter().enumerate() {
                S::store_first_parts(to(v), lanes(v), new);
            }
        }
    }
}

/// Sums of [`spin`]: more than the instructions that a processor has under way.
pub(super) const SUMS: usize = 12;

/// Multiplies and adds in registers alone, `turns` times into each of [`SUMS`] vectors: the processor's limit. Returns a number that depends on all.
///
/// # Safety
/// The processor has the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn spin<S: Simd>(turns: usize, [x, y]: [S::T; 2]) -> S::T {
    // SAFETY: the processor has the instructions; the array holds a vector.
    unsafe {
        let (x, y) = (S::splat(x), S::splat(y));
        let mut sums = [S::zero(); SUMS];
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = S::splat(S::T::from_f64(i as f64));
        }
        for _ in 0..turns {
            for sum in &mut sums {
                *sum = S::fma(*sum, x, y);
            }
        }
        let mut sum = S::zero();
        for part in sums {
            sum = S::add(sum, part);
        }
        let mut lanes = [S::T::ZERO; MAX_COLUMNS];
        S::store(lanes.as_mut_ptr(), sum);
        lanes[0]
    }
}

/// Finishes a tile that lies in `sums`, row after row of `width`: for `i < rows` and `j < columns`, puts `alpha` times its element at
/// `c[c_rows[i] + c_columns[j]]`, or adds it there, with the rounding of [`compute`].
///
/// # Safety
/// Those elements of `sums` and the offsets can be read, those of `c` read and written, there are at most [`MAX_ROWS`] rows and [`MAX_COLUMNS`] columns, or one
/// row, and the processor has the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn scatter<S: Simd>(s: &Scatter<'_, S::T>) {
    let rows = s.c_rows.len();
    // SAFETY (both): the caller's promise.
    if rows >= 4 && s.c_rows.windows(2).all(|w| w[1] == w[0] + 1) {
        return unsafe { scatter_columns::<S>(s) };
    }
    for (i, row) in s.c_rows.iter().enumerate() {
        for (j, column) in s.c_columns.iter().enumerate() {
            unsafe { finish::<S>(s, s.c.offset(row + column), 1, S::splat(*s.sums.add(i * s.width + j))) };
        }
    }
}

/// [`scatter`] if the rows lie side by side: the tile is transposed first.
#[inline(always)]
unsafe fn scatter_columns<S: Simd>(s: &Scatter<'_, S::T>) {
    let (rows, columns) = (s.c_rows.len(), s.c_columns.len());
    let mut turned = [MaybeUninit::<S::T>::uninit(); MAX_COLUMNS * MAX_ROWS];
    let turned: *mut S::T = turned.as_mut_ptr().cast();
    // SAFETY: the caller's promise. Rows below `rows` are read only, and of each column the elements of these rows are written before they are read.
    unsafe {
        for i in (0..rows / 4 * 4).step_by(4) {
            let four = |j: usize| std::array::from_fn(|n| s.sums.add((i + n) * s.width + j));
            for j in (0..columns).step_by(S::STEP) {
                let to = turned.add(j * MAX_ROWS + i);
                match columns - j {
                    whole if whole >= S::STEP => S::transpose(four(j), S::STEP, to, MAX_ROWS),
                    n => S::transpose(four(j), n, to, MAX_ROWS),
                }
            }
        }
        for i in rows / 4 * 4..rows {
            for j in 0..columns {
                *turned.add(j * MAX_ROWS + i) = *s.sums.add(i * s.width + j);
            }
        }
        for (j, &column) in s.c_columns.iter().enumerate() {
            for i in (0..rows).step_by(S::LANES) {
                let n = S::LANES.min(rows - i);
                let sum = S::load_first(turned.add(j * MAX_ROWS + i), n);
                finish::<S>(s, s.c.offset(s.c_rows[i] + column), n, sum);
            }
        }
    }
}

/// Puts `alpha` times the first `n` sums to `to`, or adds it there.
#[inline(always)]
unsafe fn finish<S: Simd>(s: &Scatter<'_, S::T>, to: *mut S::T, n: usize, sum: S::V) {
    // SAFETY: the elements can be read and written.
    unsafe {
        let alpha = S::splat(s.alpha);
        let new = if s.add { S::fma(alpha, sum, S::load_first(to, n)) } else { S::mul(alpha, sum) };
        S::store_first(to, n, new);
    }
}

/// What [`scatter`] finishes.
pub(super) struct Scatter<'a, T> {
    pub(super) sums: *const T,
    pub(super) width: usize,
    pub(super) c: *mut T,
    pub(super) c_rows: &'a [isize],
    pub(super) c_columns: &'a [isize],
    pub(super) alpha: T,
    pub(super) add: bool,
}
