//! Instruction sets: the functions over vectors, compiled for each.

use super::pack::{self, Panel};
use super::simd::{Element, Portable, Simd};
use super::tile::{self, FreeTile, Scatter, Tiles};
use super::vector::{self, Dots, Rows};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// Vectors side by side in the widest tile.
pub(super) const VECTORS: usize = 2;

/// Functions for tiles of one count of rows, by their vectors less one.
pub(super) type ByVectors<T> = [unsafe fn(&Tiles<T>); VECTORS];

/// A function for tiles that read where their operands lie.
pub(super) type Free<T> = unsafe fn(&FreeTile<T>);

/// Such functions for one count of rows: most vectors first, each with its count of vectors.
pub(super) type FreeRow<T> = &'static [(usize, Free<T>)];

/// Functions for one instruction set. Calling one needs a processor that has the instructions, and what its generic original asks for.
pub(super) struct Isa<T: 'static> {
    pub(super) name: &'static str,
    pub(super) lanes: usize,
    /// The next narrower instruction set with the same rounding, for runs that leave much of their last vector empty.
    pub(super) narrower: Option<Narrower<T>>,
    /// From the largest count of rows down to 1.
    pub(super) tiles: &'static [ByVectors<T>],
    /// The same, for tiles that pack what they read of the right factor.
    pub(super) packing: &'static [ByVectors<T>],
    /// Tiles that read where their operands lie, from one row to the largest count.
    pub(super) free: &'static [FreeRow<T>],
    pub(super) pack: unsafe fn(&Panel<'_, T>),
    pub(super) pack_together: unsafe fn(&Panel<'_, T>),
    pub(super) scatter: unsafe fn(&Scatter<'_, T>),
    pub(super) spin: unsafe fn(usize, [T; 2]) -> T,
    pub(super) rows: unsafe fn(&Rows<'_, T>),
    pub(super) dots: unsafe fn(&Dots<T>),
}

/// An instruction set with vectors of half the width, and with tiles whose vectors are two of these.
pub(super) struct Narrower<T: 'static> {
    pub(super) isa: &'static Isa<T>,
    /// As [`Isa::free`], for tiles that take twice as many narrow vectors.
    pub(super) halves: &'static [FreeRow<T>],
}

impl<T> Isa<T> {
    /// The narrower instruction set, if its vectors save a fifth of the lanes that runs of this length take: they cost twice as many loads.
    pub(super) fn narrower_for(&self, run: usize) -> Option<&Narrower<T>> {
        let saves = |n: &&Narrower<T>| 4 * run.next_multiple_of(self.lanes) >= 5 * run.next_multiple_of(n.isa.lanes);
        self.narrower.as_ref().filter(saves)
    }

    /// Rows of the largest tile, and of a packed panel.
    pub(super) fn tile_rows(&self) -> usize {
        self.tiles.len()
    }

    /// Columns of the largest tile, and of a packed panel.
    pub(super) fn tile_columns(&self) -> usize {
        VECTORS * self.lanes
    }
}

/// An element type with the instruction sets that this host has for it.
pub(super) trait Hosted: Element {
    /// All, the widest first.
    fn isas() -> impl Iterator<Item = &'static Isa<Self>>;

    /// The widest.
    fn isa() -> &'static Isa<Self> {
        Self::isas().next().expect("one instruction set is portable")
    }
}

/// Functions over rows and vectors, as [`Isa::free`] has them. A row alone may have more vectors than the others.
macro_rules! by_rows {
    ($f:ident $(, $most:literal)?) => {
        &[
            &[$(($most, $f::<1, $most>),)? (4, $f::<1, 4>), (2, $f::<1, 2>), (1, $f::<1, 1>)],
            &[(4, $f::<2, 4>), (2, $f::<2, 2>), (1, $f::<2, 1>)],
            &[(2, $f::<3, 2>), (1, $f::<3, 1>)],
            &[(2, $f::<4, 2>), (1, $f::<4, 1>)],
            &[(2, $f::<5, 2>), (1, $f::<5, 1>)],
            &[(1, $f::<6, 1>)],
            &[(1, $f::<7, 1>)],
            &[(1, $f::<8, 1>)],
        ]
    };
}

macro_rules! narrower {
    ($(#[$attribute:meta])? $simd:ident, $t:ident,) => {
        None
    };
    (#[$attribute:meta] $simd:ident, $t:ident, $narrower:ident) => {{
        #[$attribute]
        unsafe fn halves<const R: usize, const V: usize>(t: &FreeTile<$t>) {
            // SAFETY: the caller's promise; the function is called only where the processor has the instructions.
            unsafe { tile::compute_free::<$simd<$t>, R, V, 2>(t) }
        }
        Some(Narrower { isa: &$narrower, halves: by_rows!(halves) })
    }};
}

macro_rules! isa {
    ($name:ident, $text:literal, $simd:ident, $t:ident, $(#[$attribute:meta])? $(narrower $narrower:ident)? rows $($rows:literal)*) => {
        static $name: Isa<$t> = {
            type S = $simd<$t>;
            $(#[$attribute])?
            unsafe fn compute<const R: usize, const V: usize, const PACK: bool>(t: &Tiles<$t>) {
                // SAFETY (this and the next): the caller's promise; the function is called only where the processor has the instructions.
                unsafe { tile::compute::<S, R, V, PACK>(t) }
            }
            $(#[$attribute])?
            unsafe fn free<const R: usize, const V: usize>(t: &FreeTile<$t>) {
                unsafe { tile::compute_free::<S, R, V, 1>(t) }
            }
            $(#[$attribute])?
            unsafe fn pack(panel: &Panel<'_, $t>) {
                unsafe { pack::pack::<S>(panel) }
            }
            $(#[$attribute])?
            unsafe fn pack_together(panel: &Panel<'_, $t>) {
                unsafe { pack::pack_together::<S>(panel) }
            }
            $(#[$attribute])?
            unsafe fn scatter(s: &Scatter<'_, $t>) {
                unsafe { tile::scatter::<S>(s) }
            }
            $(#[$attribute])?
            unsafe fn spin(turns: usize, factors: [$t; 2]) -> $t {
                unsafe { tile::spin::<S>(turns, factors) }
            }
            $(#[$attribute])?
            unsafe fn rows(r: &Rows<'_, $t>) {
                unsafe { vector::rows::<S>(r) }
            }
            $(#[$attribute])?
            unsafe fn dots(d: &Dots<$t>) {
                unsafe { vector::dots::<S>(d) }
            }
            Isa {
                name: $text,
                lanes: S::LANES,
                narrower: narrower!($(#[$attribute])? $simd, $t, $($narrower)?),
                tiles: &[$([compute::<$rows, 1, false>, compute::<$rows, 2, false>]),*],
                packing: &[$([compute::<$rows, 1, true>, compute::<$rows, 2, true>]),*],
                free: by_rows!(free, 8),
                pack,
                pack_together,
                scatter,
                spin,
                rows,
                dots,
            }
        };
    };
}

macro_rules! hosted {
    ($t:ident, $avx512:ident, $avx2:ident, $portable:ident) => {
        #[cfg(target_arch = "x86_64")]
        isa!($avx512, "avx512", Avx512, $t, #[target_feature(enable = "avx512f,avx2,fma")] narrower $avx2 rows 12 11 10 9 8 7 6 5 4 3 2 1);
        #[cfg(target_arch = "x86_64")]
        isa!($avx2, "avx2", Avx2, $t, #[target_feature(enable = "avx2,fma")] rows 6 5 4 3 2 1);
        #[cfg(target_arch = "aarch64")]
        isa!($portable, "portable", Portable, $t, rows 8 7 6 5 4 3 2 1);
        #[cfg(not(target_arch = "aarch64"))]
        isa!($portable, "portable", Portable, $t, rows 4 3 2 1);

        impl Hosted for $t {
            fn isas() -> impl Iterator<Item = &'static Isa<$t>> {
                #[cfg(target_arch = "x86_64")]
                let wide = {
                    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                    let avx512 = avx2 && is_x86_feature_detected!("avx512f");
                    [avx512.then_some(&$avx512), avx2.then_some(&$avx2)]
                };
                #[cfg(not(target_arch = "x86_64"))]
                let wide: [Option<&'static Isa<$t>>; 0] = [];
                wide.into_iter().flatten().chain([&$portable])
            }
        }
    };
}
hosted!(f32, AVX512_F32, AVX2_F32, PORTABLE_F32);
hosted!(f64, AVX512_F64, AVX2_F64, PORTABLE_F64);
