//! Vectors of one width: what the tile, the packing and the vector products are written over.
//!
//! All methods are `unsafe` since an implementation may use instructions that the processor has to have. They are inlined into functions compiled for
//! those instructions. Closures may stay outside of them as functions of their own, so none of these methods is called in one.

/// `f32` or `f64`.
pub(super) trait Element: Copy + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    const ZERO: Self;
    fn from_f64(v: f64) -> Self;
    /// `self * b + c`, rounded once if that is an instruction of every processor of the target.
    fn fma(self, b: Self, c: Self) -> Self;
    fn add(self, b: Self) -> Self;
}

macro_rules! element {
    ($t:ident) => {
        impl Element for $t {
            const ZERO: $t = 0.0;

            fn from_f64(v: f64) -> $t {
                v as $t
            }

            #[inline(always)]
            fn fma(self, b: $t, c: $t) -> $t {
                // Elsewhere `mul_add` is a call of the mathematical library.
                if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                    self.mul_add(b, c)
                } else {
                    self * b + c
                }
            }

            #[inline(always)]
            fn add(self, b: $t) -> $t {
                self + b
            }
        }
    };
}
element!(f32);
element!(f64);

/// Elements of a cache line.
pub(super) const fn line<T>() -> usize {
    64 / size_of::<T>()
}

/// Vector operations.
///
/// # Safety
/// Every method needs a processor with the implementation's instructions. Methods that take pointers read or write the elements that they name, aligned as
/// elements are.
pub(super) trait Simd: Copy {
    type T: Element;
    type V: Copy;
    /// Elements of a vector.
    const LANES: usize;
    /// Most neighbours that [`Simd::transpose`] moves.
    const STEP: usize;

    unsafe fn zero() -> Self::V;
    unsafe fn splat(x: Self::T) -> Self::V;
    unsafe fn load(from: *const Self::T) -> Self::V;
    unsafe fn store(to: *mut Self::T, v: Self::V);
    /// The first `n <= LANES` elements; the other lanes are 0.
    unsafe fn load_first(from: *const Self::T, n: usize) -> Self::V;
    /// Stores the first `n <= LANES` lanes.
    unsafe fn store_first(to: *mut Self::T, n: usize, v: Self::V);
    /// `a * b + c`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// Moves the first `n <= STEP` elements of each of four rows: element `p` of row `i` goes to `to[p * width + i]`.
    unsafe fn transpose(rows: [*const Self::T; 4], n: usize, to: *mut Self::T, width: usize);
    /// Moves the first `STEP` elements of each of eight rows.
    #[inline(always)]
    unsafe fn transpose_eight([a, b, c, d, e, f, g, h]: [*const Self::T; 8], to: *mut Self::T, width: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            Self::transpose([a, b, c, d], Self::STEP, to, width);
            Self::transpose([e, f, g, h], Self::STEP, to.add(4), width);
        }
    }
    /// Asks for the cache line of a place, which need not be readable.
    fn prefetch(at: *const Self::T);
}

/// Vectors of `H` parts of equal length, each of which is loaded and stored by itself: one part, or two halves.
///
/// # Safety
/// As of [`Simd`].
pub(super) trait Parts<const H: usize>: Simd {
    /// A vector of a part from each place.
    unsafe fn load_parts(from: [*const Self::T; H]) -> Self::V;
    /// The first elements of each part, as many as said; the other lanes are 0.
    unsafe fn load_first_parts(from: [*const Self::T; H], counts: [usize; H]) -> Self::V;
    /// Stores the first lanes of each part, as many as said.
    unsafe fn store_first_parts(to: [*mut Self::T; H], counts: [usize; H], v: Self::V);
}

impl<S: Simd> Parts<1> for S {
    #[inline(always)]
    unsafe fn load_parts([from]: [*const S::T; 1]) -> S::V {
        // SAFETY (this and the next): the caller's promise.
        unsafe { S::load(from) }
    }

    #[inline(always)]
    unsafe fn load_first_parts([from]: [*const S::T; 1], [n]: [usize; 1]) -> S::V {
        unsafe { if n == S::LANES { S::load(from) } else { S::load_first(from, n) } }
    }

    #[inline(always)]
    unsafe fn store_first_parts([to]: [*mut S::T; 1], [n]: [usize; 1], v: S::V) {
        unsafe { if n == S::LANES { S::store(to, v) } else { S::store_first(to, n, v) } }
    }
}

/// Vectors of 128 bits in plain Rust, which the compiler makes of what the target has.
#[derive(Clone, Copy)]
pub(super) struct Portable<T>(std::marker::PhantomData<T>);

macro_rules! portable {
    ($t:ident, $lanes:literal) => {
        impl Simd for Portable<$t> {
            type T = $t;
            type V = [$t; $lanes];
            const LANES: usize = $lanes;
            const STEP: usize = 4;

            #[inline(always)]
            unsafe fn zero() -> Self::V {
                [0.0; $lanes]
            }

            #[inline(always)]
            unsafe fn splat(x: $t) -> Self::V {
                [x; $lanes]
            }

            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self::V {
                // SAFETY: the caller's promise; arrays are read as their elements are aligned.
                unsafe { from.cast::<Self::V>().read() }
            }

            #[inline(always)]
            unsafe fn store(to: *mut $t, v: Self::V) {
                // SAFETY: as above.
                unsafe { to.cast::<Self::V>().write(v) }
            }

            #[inline(always)]
            unsafe fn load_first(from: *const $t, n: usize) -> Self::V {
                let mut v = [0.0; $lanes];
                for (i, x) in v.iter_mut().enumerate().take(n) {
                    // SAFETY: the first `n` elements can be read.
                    *x = unsafe { *from.add(i) };
                }
                v
            }

            #[inline(always)]
            unsafe fn store_first(to: *mut $t, n: usize, v: Self::V) {
                for (i, x) in v.into_iter().enumerate().take(n) {
                    // SAFETY: the first `n` elements can be written.
                    unsafe { *to.add(i) = x };
                }
            }

            #[inline(always)]
            unsafe fn fma(a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
                for i in 0..$lanes {
                    c[i] = a[i].fma(b[i], c[i]);
                }
                c
            }

            #[inline(always)]
            unsafe fn mul(mut a: Self::V, b: Self::V) -> Self::V {
                for i in 0..$lanes {
                    a[i] *= b[i];
                }
                a
            }

            #[inline(always)]
            unsafe fn add(mut a: Self::V, b: Self::V) -> Self::V {
                for i in 0..$lanes {
                    a[i] += b[i];
                }
                a
            }

            #[inline(always)]
            fn prefetch(_: *const $t) {}

            #[inline(always)]
            unsafe fn transpose(rows: [*const $t; 4], n: usize, to: *mut $t, width: usize) {
                for p in 0..n {
                    for (i, row) in rows.into_iter().enumerate() {
                        // SAFETY: the caller's promise.
                        unsafe { *to.add(p * width + i) = *row.add(p) };
                    }
                }
            }
        }
    };
}
portable!(f32, 4);
portable!(f64, 2);
