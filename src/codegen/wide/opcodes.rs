//! The vector instructions that kernels use. Those that both instruction sets have are encoded alike in both but for the prefix; names end in the width of
//! a lane.

use super::asm::{Map, Opcode, Prefix};
use super::isa::Isa;

/// An instruction of map 0F3A or 0F38, or of 0F with prefix 66, that takes integers of 32 or 64 bits.
pub(super) const fn int(name: &'static str, map: Map, wide: bool, byte: u8) -> Opcode {
    Opcode { name, prefix: Prefix::P66, map, wide, byte }
}

/// An instruction of map 0F with any prefix.
pub(super) const fn plain(name: &'static str, prefix: Prefix, wide: bool, byte: u8) -> Opcode {
    Opcode { name, prefix, map: Map::M0f, wide, byte }
}

pub(super) const MOVE: Opcode = plain("vmovaps", Prefix::None, false, 0x28);
pub(super) const MOVE_FROM_VECTOR_32: Opcode = plain("vmovd", Prefix::P66, false, 0x7e);
pub(super) const MOVE_FROM_VECTOR_64: Opcode = plain("vmovq", Prefix::P66, true, 0x7e);
pub(super) const BROADCAST_32: Opcode = int("vbroadcastss", Map::M0f38, false, 0x18);
pub(super) const BROADCAST_64: Opcode = int("vbroadcastsd", Map::M0f38, true, 0x19);
pub(super) const BROADCAST_GPR_32: Opcode = int("vpbroadcastd", Map::M0f38, false, 0x7c);
pub(super) const BROADCAST_GPR_64: Opcode = int("vpbroadcastq", Map::M0f38, true, 0x7c);
pub(super) const BYTES_TO_32: Opcode = int("vpmovzxbd", Map::M0f38, false, 0x31);
pub(super) const BYTES_FROM_32: Opcode =
    Opcode { name: "vpmovdb", prefix: Prefix::Pf3, map: Map::M0f38, wide: false, byte: 0x31 };
pub(super) const WORDS_FROM_64: Opcode =
    Opcode { name: "vpmovqd", prefix: Prefix::Pf3, map: Map::M0f38, wide: false, byte: 0x35 };
pub(super) const EXTEND: Opcode = int("vpmovsxdq", Map::M0f38, false, 0x25);
pub(super) const EXTEND_UNSIGNED: Opcode = int("vpmovzxdq", Map::M0f38, false, 0x35);
pub(super) const UPPER_HALF: Opcode = int("vextractf64x4", Map::M0f3a, true, 0x1b);
pub(super) const INSERT_HALF: Opcode = int("vinsertf64x4", Map::M0f3a, true, 0x1a);
pub(super) const PROMOTE: Opcode = plain("vcvtps2pd", Prefix::None, false, 0x5a);
pub(super) const DEMOTE: Opcode = plain("vcvtpd2ps", Prefix::P66, true, 0x5a);
pub(super) const I32_TO_F32: Opcode = plain("vcvtdq2ps", Prefix::None, false, 0x5b);
pub(super) const I64_TO_F32: Opcode = plain("vcvtqq2ps", Prefix::None, true, 0x5b);
pub(super) const I32_TO_F64: Opcode = plain("vcvtdq2pd", Prefix::Pf3, false, 0xe6);
pub(super) const I64_TO_F64: Opcode = plain("vcvtqq2pd", Prefix::Pf3, true, 0xe6);
pub(super) const F32_TO_I32: Opcode = plain("vcvttps2dq", Prefix::Pf3, false, 0x5b);
pub(super) const F64_TO_I64: Opcode = plain("vcvttpd2qq", Prefix::P66, true, 0x7a);
pub(super) const F64_TO_I32: Opcode = plain("vcvttpd2dq", Prefix::P66, true, 0xe6);
pub(super) const TEST_32: Opcode = int("vptestmd", Map::M0f38, false, 0x27);
pub(super) const GATHER_32: Opcode = int("vgatherdps", Map::M0f38, false, 0x92);
pub(super) const GATHER_64: Opcode = int("vgatherdpd", Map::M0f38, true, 0x92);
pub(super) const SCATTER_32: Opcode = int("vscatterdps", Map::M0f38, false, 0xa2);
pub(super) const SCATTER_64: Opcode = int("vscatterdpd", Map::M0f38, true, 0xa2);

/// An instruction on floats: of 32 bits without a prefix, of 64 bits with 66 and W.
pub(super) const fn float(wide: bool, name: &'static str, byte: u8) -> Opcode {
    plain(name, if wide { Prefix::P66 } else { Prefix::None }, wide, byte)
}

/// Rotates lanes of 32 or 64 bits by `imm` places.
pub(super) const fn rotate(wide: bool) -> Opcode {
    int(if wide { "valignq" } else { "valignd" }, Map::M0f3a, wide, 0x03)
}

/// The lanes of a vector that an index names.
pub(super) const fn permute(wide: bool) -> Opcode {
    int(if wide { "vpermpd" } else { "vpermps" }, Map::M0f38, wide, 0x16)
}

/// The lanes of two vectors that an index names; the first is overwritten.
pub(super) const fn permute_two(wide: bool) -> Opcode {
    int(if wide { "vpermt2pd" } else { "vpermt2ps" }, Map::M0f38, wide, 0x7f)
}

/// Loads and stores of vectors, the write mask by elements of 32 or 64 bits.
pub(super) const fn load(wide: bool) -> Opcode {
    float(wide, if wide { "vmovupd" } else { "vmovups" }, 0x10)
}

/// See [`load`].
pub(super) const fn store(wide: bool) -> Opcode {
    float(wide, if wide { "vmovupd" } else { "vmovups" }, 0x11)
}

/// Loads the first lane; the others become 0.
pub(super) const fn load_one(wide: bool) -> Opcode {
    plain(if wide { "vmovsd" } else { "vmovss" }, if wide { Prefix::Pf2 } else { Prefix::Pf3 }, wide, 0x10)
}

/// Stores the first lane.
pub(super) const fn store_one(wide: bool) -> Opcode {
    plain(if wide { "vmovsd" } else { "vmovss" }, if wide { Prefix::Pf2 } else { Prefix::Pf3 }, wide, 0x11)
}

/// `a * b + c` (or `c - a * b`); the byte says which operand is overwritten.
pub(super) const fn fused(wide: bool, byte: u8) -> Opcode {
    int("vfma", Map::M0f38, wide, byte)
}

/// Chooses by a mask.
pub(super) const fn blend(wide: bool) -> Opcode {
    int(if wide { "vblendmpd" } else { "vblendmps" }, Map::M0f38, wide, 0x65)
}

/// The first operand times two to the power of the second.
pub(super) const fn scale(wide: bool) -> Opcode {
    int(if wide { "vscalefpd" } else { "vscalefps" }, Map::M0f38, wide, 0x2c)
}

/// Compares integers; the immediate says how.
pub(super) const fn compare_ints(wide: bool) -> Opcode {
    int(if wide { "vpcmpq" } else { "vpcmpd" }, Map::M0f3a, wide, 0x1f)
}

/// Compares unsigned integers.
pub(super) const fn compare_unsigned(wide: bool) -> Opcode {
    int(if wide { "vpcmpuq" } else { "vpcmpud" }, Map::M0f3a, wide, 0x1e)
}

/// The low bits of integers multiplied.
pub(super) const fn multiply_ints(wide: bool) -> Opcode {
    int(if wide { "vpmullq" } else { "vpmulld" }, Map::M0f38, wide, 0x40)
}

/// The element in the first lane or in memory, in all lanes.
pub(super) const fn broadcast(isa: Isa, wide: bool) -> Opcode {
    match (isa, wide) {
        (_, false) => BROADCAST_32,
        (Isa::Avx512, true) => BROADCAST_64,
        // In VEX the bit W is 0.
        (Isa::Avx2, true) => Opcode { wide: false, ..BROADCAST_64 },
    }
}

/// Instructions that AVX2 has for what AVX-512 does otherwise.
pub(super) mod avx2 {
    use super::{Map, Opcode, Prefix, int, plain};

    pub(in crate::codegen::wide) const EQUAL_32: Opcode = int("vpcmpeqd", Map::M0f, false, 0x76);
    pub(in crate::codegen::wide) const EQUAL_64: Opcode = int("vpcmpeqq", Map::M0f38, false, 0x29);
    pub(in crate::codegen::wide) const GREATER_32: Opcode = int("vpcmpgtd", Map::M0f, false, 0x66);
    pub(in crate::codegen::wide) const GREATER_64: Opcode = int("vpcmpgtq", Map::M0f38, false, 0x37);
    pub(in crate::codegen::wide) const AND: Opcode = int("vpand", Map::M0f, false, 0xdb);
    pub(in crate::codegen::wide) const OR: Opcode = int("vpor", Map::M0f, false, 0xeb);
    pub(in crate::codegen::wide) const XOR: Opcode = int("vpxor", Map::M0f, false, 0xef);
    pub(in crate::codegen::wide) const SUB_32: Opcode = int("vpsubd", Map::M0f, false, 0xfa);
    pub(in crate::codegen::wide) const SUB_64: Opcode = int("vpsubq", Map::M0f, false, 0xfb);
    pub(in crate::codegen::wide) const MULTIPLY_LOW_HALVES: Opcode = int("vpmuludq", Map::M0f, false, 0xf4);
    pub(in crate::codegen::wide) const BLEND_32: Opcode = int("vpblendd", Map::M0f3a, false, 0x02);
    pub(in crate::codegen::wide) const UPPER_HALF: Opcode = int("vextractf128", Map::M0f3a, false, 0x19);
    pub(in crate::codegen::wide) const INSERT_HALF: Opcode = int("vinsertf128", Map::M0f3a, false, 0x18);
    pub(in crate::codegen::wide) const HALVES: Opcode = int("vperm2f128", Map::M0f3a, false, 0x06);
    pub(in crate::codegen::wide) const SHUFFLE_32: Opcode = plain("vshufps", Prefix::None, false, 0xc6);
    pub(in crate::codegen::wide) const PERMUTE_32: Opcode = int("vpermilps", Map::M0f3a, false, 0x04);
    pub(in crate::codegen::wide) const PERMUTE_64: Opcode = int("vpermilpd", Map::M0f3a, false, 0x05);
    pub(in crate::codegen::wide) const BROADCAST_INT_32: Opcode = int("vpbroadcastd", Map::M0f38, false, 0x58);
    pub(in crate::codegen::wide) const BROADCAST_INT_64: Opcode = int("vpbroadcastq", Map::M0f38, false, 0x59);
    pub(in crate::codegen::wide) const FROM_GPR_32: Opcode = int("vmovd", Map::M0f, false, 0x6e);
    pub(in crate::codegen::wide) const FROM_GPR_64: Opcode = int("vmovq", Map::M0f, true, 0x6e);
    pub(in crate::codegen::wide) const SIGNS_32: Opcode = plain("vmovmskps", Prefix::None, false, 0x50);
    pub(in crate::codegen::wide) const SIGNS_64: Opcode = plain("vmovmskpd", Prefix::P66, false, 0x50);
    pub(in crate::codegen::wide) const BYTES_TO_64: Opcode = int("vpmovzxbq", Map::M0f38, false, 0x32);
    pub(in crate::codegen::wide) const PACK_WORDS: Opcode = int("vpackssdw", Map::M0f, false, 0x6b);
    pub(in crate::codegen::wide) const PACK_UNSIGNED_WORDS: Opcode = int("vpackusdw", Map::M0f38, false, 0x2b);
    pub(in crate::codegen::wide) const PACK_BYTES: Opcode = int("vpacksswb", Map::M0f, false, 0x63);
    pub(in crate::codegen::wide) const PACK_UNSIGNED_BYTES: Opcode = int("vpackuswb", Map::M0f, false, 0x67);
    pub(in crate::codegen::wide) const ABSOLUTE_BYTES: Opcode = int("vpabsb", Map::M0f38, false, 0x1c);

    /// Chooses by the signs of the lanes of a fourth operand.
    pub(in crate::codegen::wide) const fn blend(wide: bool) -> Opcode {
        if wide { int("vblendvpd", Map::M0f3a, false, 0x4b) } else { int("vblendvps", Map::M0f3a, false, 0x4a) }
    }

    /// Loads the lanes whose sign is set in a mask; the others become 0.
    pub(in crate::codegen::wide) const fn masked_load(wide: bool) -> Opcode {
        if wide { int("vmaskmovpd", Map::M0f38, false, 0x2d) } else { int("vmaskmovps", Map::M0f38, false, 0x2c) }
    }

    /// Stores the lanes whose sign is set in a mask.
    pub(in crate::codegen::wide) const fn masked_store(wide: bool) -> Opcode {
        if wide { int("vmaskmovpd", Map::M0f38, false, 0x2f) } else { int("vmaskmovps", Map::M0f38, false, 0x2e) }
    }

    /// Stores the piece of a vector of 128 bits that an immediate names; pieces of 1, 2, 4 or 8 bytes.
    pub(in crate::codegen::wide) const fn extract(bytes: usize) -> Opcode {
        match bytes {
            1 => int("vpextrb", Map::M0f3a, false, 0x14),
            2 => int("vpextrw", Map::M0f3a, false, 0x15),
            4 => int("vpextrd", Map::M0f3a, false, 0x16),
            _ => int("vpextrq", Map::M0f3a, true, 0x16),
        }
    }

    /// Puts a piece in memory into a vector of 128 bits, at the place that an immediate names; pieces of 1, 2, 4 or 8 bytes.
    pub(in crate::codegen::wide) const fn insert(bytes: usize) -> Opcode {
        match bytes {
            1 => int("vpinsrb", Map::M0f3a, false, 0x20),
            2 => int("vpinsrw", Map::M0f, false, 0xc4),
            4 => int("vpinsrd", Map::M0f3a, false, 0x22),
            _ => int("vpinsrq", Map::M0f3a, true, 0x22),
        }
    }
}
