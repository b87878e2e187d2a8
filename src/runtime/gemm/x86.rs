//! Vectors of x86-64: AVX2 with FMA, and AVX-512.

use std::arch::x86_64::*;

use super::simd::{Parts, Simd};

/// 256 bits: AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2<T>(std::marker::PhantomData<T>);

/// 512 bits: AVX-512F, with AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx512<T>(std::marker::PhantomData<T>);

/// A mask of the first `n` of 8 lanes is at `8 - n`.
static FIRST_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
/// A mask of the first `n` of 4 lanes is at `4 - n`.
static FIRST_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

#[inline(always)]
unsafe fn mask_32(n: usize) -> __m256i {
    // SAFETY: `n <= 8`, so 8 elements from `8 - n` on are inside.
    unsafe { _mm256_loadu_si256(FIRST_32.as_ptr().add(8 - n).cast()) }
}

#[inline(always)]
unsafe fn mask_64(n: usize) -> __m256i {
    // SAFETY: `n <= 4`, so 4 elements from `4 - n` on are inside.
    unsafe { _mm256_loadu_si256(FIRST_64.as_ptr().add(4 - n).cast()) }
}

/// Stores the first `n` lanes. A store with a mask takes many times longer on some processors.
#[inline(always)]
unsafe fn store_first_f32(mut to: *mut f32, n: usize, v: __m256) {
    // SAFETY: the first `n` elements can be written; each store writes those that are left of them.
    unsafe {
        if n == 8 {
            return _mm256_storeu_ps(to, v);
        }
        let mut rest = _mm256_castps256_ps128(v);
        if n & 4 != 0 {
            _mm_storeu_ps(to, rest);
            (to, rest) = (to.add(4), _mm256_extractf128_ps::<1>(v));
        }
        if n & 2 != 0 {
            _mm_storel_pd(to.cast(), _mm_castps_pd(rest));
            (to, rest) = (to.add(2), _mm_movehl_ps(rest, rest));
        }
        if n & 1 != 0 {
            _mm_store_ss(to, rest);
        }
    }
}

/// Stores the first `n` lanes.
#[inline(always)]
unsafe fn store_first_f64(mut to: *mut f64, n: usize, v: __m256d) {
    // SAFETY: as above.
    unsafe {
        if n == 4 {
            return _mm256_storeu_pd(to, v);
        }
        let mut rest = _mm256_castpd256_pd128(v);
        if n & 2 != 0 {
            _mm_storeu_pd(to, rest);
            (to, rest) = (to.add(2), _mm256_extractf128_pd::<1>(v));
        }
        if n & 1 != 0 {
            _mm_store_sd(to, rest);
        }
    }
}

/// Moves up to eight neighbours of each of four rows.
#[inline(always)]
unsafe fn transpose_f32(rows: [*const f32; 4], n: usize, to: *mut f32, width: usize) {
    // SAFETY: the caller's promise for `Simd::transpose`.
    unsafe {
        let columns = transpose_lanes(match n {
            8 => {
                [_mm256_loadu_ps(rows[0]), _mm256_loadu_ps(rows[1]), _mm256_loadu_ps(rows[2]), _mm256_loadu_ps(rows[3])]
            }
            _ => {
                let mask = mask_32(n);
                let (a, b) = (_mm256_maskload_ps(rows[0], mask), _mm256_maskload_ps(rows[1], mask));
                [a, b, _mm256_maskload_ps(rows[2], mask), _mm256_maskload_ps(rows[3], mask)]
            }
        });
        for (p, column) in columns.into_iter().enumerate() {
            if p < n {
                _mm_storeu_ps(to.add(p * width), _mm256_castps256_ps128(column));
            }
            if p + 4 < n {
                _mm_storeu_ps(to.add((p + 4) * width), _mm256_extractf128_ps::<1>(column));
            }
        }
    }
}

/// Moves eight neighbours of each of eight rows. Rows four apart share a vector, which is made while it is loaded.
#[inline(always)]
unsafe fn transpose_eight_f32(rows: [*const f32; 8], to: *mut f32, width: usize) {
    // SAFETY: the caller's promise for `Simd::transpose_eight`.
    unsafe {
        for half in [0, 4] {
            let mut pairs = [_mm256_setzero_ps(); 4];
            for (i, pair) in pairs.iter_mut().enumerate() {
                let low = _mm256_castps128_ps256(_mm_loadu_ps(rows[i].add(half)));
                *pair = _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(rows[i + 4].add(half)));
            }
            let columns = transpose_lanes(pairs);
            for (p, column) in columns.into_iter().enumerate() {
                _mm256_storeu_ps(to.add((half + p) * width), column);
            }
        }
    }
}

/// Transposes the four by four elements in each half of four vectors.
#[inline(always)]
unsafe fn transpose_lanes([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    // SAFETY: the processor has the instructions.
    unsafe {
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(ab, cd),
            _mm256_shuffle_ps::<0xee>(ab, cd),
            _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
            _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
        ]
    }
}

/// Moves up to four neighbours of each of four rows.
#[inline(always)]
unsafe fn transpose_f64(rows: [*const f64; 4], n: usize, to: *mut f64, width: usize) {
    // SAFETY: the caller's promise for `Simd::transpose`.
    unsafe {
        let [a, b, c, d] = match n {
            4 => {
                [_mm256_loadu_pd(rows[0]), _mm256_loadu_pd(rows[1]), _mm256_loadu_pd(rows[2]), _mm256_loadu_pd(rows[3])]
            }
            _ => {
                let mask = mask_64(n);
                let (a, b) = (_mm256_maskload_pd(rows[0], mask), _mm256_maskload_pd(rows[1], mask));
                [a, b, _mm256_maskload_pd(rows[2], mask), _mm256_maskload_pd(rows[3], mask)]
            }
        };
        let (ab, cd) = (_mm256_unpacklo_pd(a, b), _mm256_unpacklo_pd(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_pd(a, b), _mm256_unpackhi_pd(c, d));
        let columns = [
            _mm256_permute2f128_pd::<0x20>(ab, cd),
            _mm256_permute2f128_pd::<0x20>(ab_high, cd_high),
            _mm256_permute2f128_pd::<0x31>(ab, cd),
            _mm256_permute2f128_pd::<0x31>(ab_high, cd_high),
        ];
        for (p, column) in columns.into_iter().enumerate().take(n) {
            _mm256_storeu_pd(to.add(p * width), column);
        }
    }
}

macro_rules! simd {
    (
        $name:ident, $t:ident, $v:ident, lanes $lanes:literal, step $step:literal,
        $zero:ident, $splat:ident, $load:ident, $store:ident, $fma:ident, $mul:ident, $add:ident, $transpose:ident, $(eight $eight:ident,)?
        |$from:ident, $n:ident| $load_first:expr,
        |$to:ident, $count:ident, $value:ident| $store_first:expr
    ) => {
        // The methods' promises are those of the instructions that they stand for.
        impl Simd for $name<$t> {
            type T = $t;
            type V = $v;
            const LANES: usize = $lanes;
            const STEP: usize = $step;

            #[inline(always)]
            unsafe fn zero() -> $v {
                // SAFETY: the processor has the instructions.
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn splat(x: $t) -> $v {
                // SAFETY: as above.
                unsafe { $splat(x) }
            }

            #[inline(always)]
            unsafe fn load(from: *const $t) -> $v {
                // SAFETY: as above; the elements can be read.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(to: *mut $t, v: $v) {
                // SAFETY: as above; the elements can be written.
                unsafe { $store(to, v) }
            }

            #[inline(always)]
            unsafe fn load_first($from: *const $t, $n: usize) -> $v {
                // SAFETY: as above; lanes that the mask leaves out are not read.
                unsafe { $load_first }
            }

            #[inline(always)]
            unsafe fn store_first($to: *mut $t, $count: usize, $value: $v) {
                // SAFETY: as above; lanes that the mask leaves out are not written.
                unsafe { $store_first }
            }

            #[inline(always)]
            unsafe fn fma(a: $v, b: $v, c: $v) -> $v {
                // SAFETY: the processor has the instruction.
                unsafe { $fma(a, b, c) }
            }

            #[inline(always)]
            unsafe fn mul(a: $v, b: $v) -> $v {
                // SAFETY: as above.
                unsafe { $mul(a, b) }
            }

            #[inline(always)]
            unsafe fn add(a: $v, b: $v) -> $v {
                // SAFETY: as above.
                unsafe { $add(a, b) }
            }

            #[inline(always)]
            fn prefetch(at: *const $t) {
                // SAFETY: a prefetch of any address is allowed.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }

            #[inline(always)]
            unsafe fn transpose(rows: [*const $t; 4], n: usize, to: *mut $t, width: usize) {
                // SAFETY: the caller's promise.
                unsafe { $transpose(rows, n, to, width) }
            }

            $(
                #[inline(always)]
                unsafe fn transpose_eight(rows: [*const $t; 8], to: *mut $t, width: usize) {
                    // SAFETY: the caller's promise.
                    unsafe { $eight(rows, to, width) }
                }
            )?
        }
    };
}

simd!(
    Avx512, f32, __m512, lanes 16, step 8,
    _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_mul_ps, _mm512_add_ps, transpose_f32, eight transpose_eight_f32,
    |from, n| _mm512_maskz_loadu_ps(((1u32 << n) - 1) as __mmask16, from),
    |to, n, v| _mm512_mask_storeu_ps(to, ((1u32 << n) - 1) as __mmask16, v)
);
simd!(
    Avx512, f64, __m512d, lanes 8, step 4,
    _mm512_setzero_pd, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd, _mm512_mul_pd, _mm512_add_pd, transpose_f64,
    |from, n| _mm512_maskz_loadu_pd(((1u32 << n) - 1) as __mmask8, from),
    |to, n, v| _mm512_mask_storeu_pd(to, ((1u32 << n) - 1) as __mmask8, v)
);
simd!(
    Avx2, f32, __m256, lanes 8, step 8,
    _mm256_setzero_ps, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_mul_ps, _mm256_add_ps, transpose_f32, eight transpose_eight_f32,
    |from, n| _mm256_maskload_ps(from, mask_32(n)),
    |to, n, v| store_first_f32(to, n, v)
);
simd!(
    Avx2, f64, __m256d, lanes 4, step 4,
    _mm256_setzero_pd, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd, _mm256_mul_pd, _mm256_add_pd, transpose_f64,
    |from, n| _mm256_maskload_pd(from, mask_64(n)),
    |to, n, v| store_first_f64(to, n, v)
);

/// A mask of the first `n` lanes.
#[inline(always)]
fn first(n: usize) -> u16 {
    ((1u32 << n) - 1) as u16
}

impl Parts<2> for Avx512<f32> {
    #[inline(always)]
    unsafe fn load_parts([low, high]: [*const f32; 2]) -> __m512 {
        // SAFETY: the processor has the instructions; the elements can be read.
        unsafe {
            let low = _mm512_castpd256_pd512(_mm256_loadu_pd(low.cast()));
            _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, _mm256_loadu_pd(high.cast())))
        }
    }

    #[inline(always)]
    unsafe fn load_first_parts([low, high]: [*const f32; 2], [l, h]: [usize; 2]) -> __m512 {
        // SAFETY: as above; lanes that the masks leave out are not read.
        unsafe {
            let low = _mm512_maskz_loadu_ps(first(l), low);
            _mm512_mask_loadu_ps(low, first(h) << 8, high.wrapping_sub(8))
        }
    }

    #[inline(always)]
    unsafe fn store_first_parts([low, high]: [*mut f32; 2], [l, h]: [usize; 2], v: __m512) {
        // SAFETY: as above; lanes that the masks leave out are not written.
        unsafe {
            _mm512_mask_storeu_ps(low, first(l), v);
            _mm512_mask_storeu_ps(high.wrapping_sub(8), first(h) << 8, v);
        }
    }
}

impl Parts<2> for Avx512<f64> {
    #[inline(always)]
    unsafe fn load_parts([low, high]: [*const f64; 2]) -> __m512d {
        // SAFETY: as above.
        unsafe { _mm512_insertf64x4::<1>(_mm512_castpd256_pd512(_mm256_loadu_pd(low)), _mm256_loadu_pd(high)) }
    }

    #[inline(always)]
    unsafe fn load_first_parts([low, high]: [*const f64; 2], [l, h]: [usize; 2]) -> __m512d {
        // SAFETY: as above.
        unsafe {
            let low = _mm512_maskz_loadu_pd(first(l) as u8, low);
            _mm512_mask_loadu_pd(low, (first(h) << 4) as u8, high.wrapping_sub(4))
        }
    }

    #[inline(always)]
    unsafe fn store_first_parts([low, high]: [*mut f64; 2], [l, h]: [usize; 2], v: __m512d) {
        // SAFETY: as above.
        unsafe {
            _mm512_mask_storeu_pd(low, first(l) as u8, v);
            _mm512_mask_storeu_pd(high.wrapping_sub(4), (first(h) << 4) as u8, v);
        }
    }
}
