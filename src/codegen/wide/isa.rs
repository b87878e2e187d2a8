//! The instruction sets that wide kernels are made for: what a description can say of how they differ.
//!
//! Three places know one set from the other: this description; the [encoders](super::asm); and, for the instructions of a kernel that touch truth values or
//! memory, a file each in [`emit`](super::emit). What AVX2 has no instruction for at all is made of others while a kernel is [recorded](super::lacking).

use cranelift_codegen::isa::{CallConv, TargetIsa};

use super::asm::{Length, Simd};

/// An instruction set with vectors wider than Cranelift's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Isa {
    /// AVX2 with FMA: 16 registers of 256 bits; truth values are vectors whose lanes are all ones or all zeros.
    Avx2,
    /// AVX-512 F, DQ and VL: 32 registers of 512 bits; truth values are bits of mask registers.
    Avx512,
}

impl Isa {
    /// Bits of a vector.
    pub(crate) const fn vector_bits(self) -> u32 {
        match self {
            Isa::Avx2 => 256,
            Isa::Avx512 => 512,
        }
    }

    /// Bytes of a vector.
    pub(super) const fn vector_bytes(self) -> i32 {
        self.vector_bits() as i32 / 8
    }

    /// True if the target has the instructions, and its calling convention is the one that the code is written for.
    pub(crate) fn is_supported(self, isa: &dyn TargetIsa) -> bool {
        let needed: &[&str] = match self {
            Isa::Avx2 => &["has_avx2", "has_fma"],
            Isa::Avx512 => &["has_avx2", "has_fma", "has_avx512f", "has_avx512dq", "has_avx512vl"],
        };
        let has = |name: &&str| isa.isa_flags().iter().any(|f| f.name == *name && f.as_bool() == Some(true));
        isa.triple().architecture == target_lexicon::Architecture::X86_64
            && isa.default_call_conv() == CallConv::SystemV
            && needed.iter().all(has)
    }

    /// How many vector registers there are.
    pub(super) const fn registers(self) -> u8 {
        match self {
            Isa::Avx2 => 16,
            Isa::Avx512 => 32,
        }
    }

    /// The last of them, for operands on their way. The others may hold values.
    pub(super) const fn scratch(self) -> [Simd; 3] {
        let n = self.registers();
        [Simd(n - 3), Simd(n - 2), Simd(n - 1)]
    }

    /// True if truth values have registers of their own rather than vectors.
    pub(super) const fn has_mask_registers(self) -> bool {
        matches!(self, Isa::Avx512)
    }

    /// True if integers of 64 bits can be multiplied, shifted with their sign, and converted.
    pub(super) const fn has_long_integers(self) -> bool {
        matches!(self, Isa::Avx512)
    }

    /// True if lanes can be stored at distances that are not known, and under masks that are not known if they are shorter than 32 bits.
    pub(super) const fn has_scatters(self) -> bool {
        matches!(self, Isa::Avx512)
    }

    /// True if any lanes of two vectors make up a third, in one instruction. Otherwise the sign of a lane's number says that it is of the second.
    pub(super) const fn permutes_two(self) -> bool {
        matches!(self, Isa::Avx512)
    }

    /// True if numbers are multiplied by powers of two that are given by their exponents.
    pub(super) const fn has_scaling(self) -> bool {
        matches!(self, Isa::Avx512)
    }

    /// A whole vector.
    pub(super) const fn full(self) -> Length {
        match self {
            Isa::Avx2 => Length::L256,
            Isa::Avx512 => Length::L512,
        }
    }

    /// Half a vector.
    pub(super) const fn half(self) -> Length {
        match self {
            Isa::Avx2 => Length::L128,
            Isa::Avx512 => Length::L256,
        }
    }
}
