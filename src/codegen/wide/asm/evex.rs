//! Instructions of AVX-512: vectors in the EVEX encoding, with write masks, elements in memory for all lanes and 32 registers; and mask registers.

use super::{Assembler, Gpr, Length, Mask, Mem, Opcode, Rm, Simd, Under, base_bit, index_bit};

impl Assembler {
    /// The bytes of a vector instruction.
    #[allow(clippy::too_many_arguments, reason = "these are the fields of the encoding")]
    pub(super) fn evex(
        &mut self,
        op: Opcode,
        length: Length,
        under: Under,
        reg: u8,
        vvvv: u8,
        rm: Rm,
        imm: Option<u8>,
    ) {
        let (b, x, broadcast) = match rm {
            Rm::Reg(r) => (r.0 >> 3 & 1, r.0 >> 4 & 1, false),
            Rm::Gpr(r) => (r.0 >> 3 & 1, 0, false),
            Rm::Mem(m) => (base_bit(m), index_bit(m), false),
            Rm::Broadcast(m) => (base_bit(m), index_bit(m), true),
        };
        let (mask, zeroing) = match under {
            Under::All => (0, 0),
            Under::Merge(k) => (k.0, 0),
            Under::Zero(k) => (k.0, 1),
        };
        let (r, r2, v2) = (reg >> 3 & 1, reg >> 4 & 1, vvvv >> 4 & 1);
        self.code.extend_from_slice(&[
            0x62,
            (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | (r2 ^ 1) << 4 | op.map as u8,
            u8::from(op.wide) << 7 | (!vvvv & 15) << 3 | 1 << 2 | op.prefix as u8,
            zeroing << 7 | (length as u8) << 5 | u8::from(broadcast) << 4 | (v2 ^ 1) << 3 | mask,
            op.byte,
        ]);
        match rm {
            Rm::Reg(Simd(n)) | Rm::Gpr(Gpr(n)) => self.code.push(0b11_000_000 | (reg & 7) << 3 | n & 7),
            Rm::Mem(m) | Rm::Broadcast(m) => self.address(reg, m, usize::from(imm.is_some()), true),
        }
        self.code.extend(imm);
    }

    /// A gather or scatter of lanes at `base + index * scale + disp`, the index a vector of `i32`. The upper bit of the index register goes where `vvvv` has
    /// its own.
    #[allow(clippy::too_many_arguments, reason = "these are the fields of the encoding")]
    pub(in crate::codegen::wide) fn indexed(
        &mut self,
        op: Opcode,
        length: Length,
        mask: Mask,
        reg: Simd,
        base: Gpr,
        index: Simd,
        scale: u8,
        disp: i32,
    ) {
        self.note(|| {
            format!("{} zmm{}{{k{}}}, [{} + zmm{}*{scale} + {disp}]", op.name, reg.0, mask.0, base.name(), index.0)
        });
        let bit = |n: u8, at: u8| (n >> at & 1) ^ 1;
        self.code.extend_from_slice(&[
            0x62,
            bit(reg.0, 3) << 7 | bit(index.0, 3) << 6 | bit(base.0, 3) << 5 | bit(reg.0, 4) << 4 | op.map as u8,
            u8::from(op.wide) << 7 | 15 << 3 | 1 << 2 | op.prefix as u8,
            (length as u8) << 5 | bit(index.0, 4) << 3 | mask.0,
            op.byte,
            0b10_000_000 | (reg.0 & 7) << 3 | 0b100,
            (scale.trailing_zeros() as u8) << 6 | (index.0 & 7) << 3 | base.0 & 7,
        ]);
        self.code.extend_from_slice(&disp.to_le_bytes());
    }

    /// An instruction on masks of 16 bits: `a = op(b, c)`, or with one source `a = op(c)` and `b` 0.
    fn masks(&mut self, name: &str, byte: u8, two: bool, a: u8, b: u8, c: u8) {
        self.note(|| if two { format!("{name} k{a}, k{b}, k{c}") } else { format!("{name} k{a}, k{c}") });
        self.code.extend_from_slice(&[0xc5, 1 << 7 | (!b & 15) << 3 | u8::from(two) << 2, byte]);
        self.code.push(0b11_000_000 | a << 3 | c);
    }

    pub(in crate::codegen::wide) fn kand(&mut self, a: Mask, b: Mask, c: Mask) {
        self.masks("kandw", 0x41, true, a.0, b.0, c.0);
    }

    pub(in crate::codegen::wide) fn kor(&mut self, a: Mask, b: Mask, c: Mask) {
        self.masks("korw", 0x45, true, a.0, b.0, c.0);
    }

    pub(in crate::codegen::wide) fn kxor(&mut self, a: Mask, b: Mask, c: Mask) {
        self.masks("kxorw", 0x47, true, a.0, b.0, c.0);
    }

    pub(in crate::codegen::wide) fn knot(&mut self, a: Mask, b: Mask) {
        self.masks("knotw", 0x44, false, a.0, 0, b.0);
    }

    pub(in crate::codegen::wide) fn kmov(&mut self, a: Mask, b: Mask) {
        self.masks("kmovw", 0x90, false, a.0, 0, b.0);
    }

    /// `k = r`, 16 bits. The register is one of the first eight.
    pub(in crate::codegen::wide) fn kmov_from(&mut self, k: Mask, r: Gpr) {
        self.note(|| format!("kmovw k{}, {}", k.0, r.name()));
        self.code.extend_from_slice(&[0xc5, 0xf8, 0x92, 0b11_000_000 | k.0 << 3 | r.0]);
    }

    /// `r = k`, 16 bits zero-extended. The register is one of the first eight.
    pub(in crate::codegen::wide) fn kmov_to(&mut self, r: Gpr, k: Mask) {
        self.note(|| format!("kmovw {}, k{}", r.name(), k.0));
        self.code.extend_from_slice(&[0xc5, 0xf8, 0x93, 0b11_000_000 | r.0 << 3 | k.0]);
    }

    /// Loads or stores a mask in the frame.
    pub(in crate::codegen::wide) fn kmov_frame(&mut self, k: Mask, disp: i32, store: bool) {
        self.note(|| format!("kmovw k{}, [rsp + {disp}]{}", k.0, if store { " (store)" } else { "" }));
        self.code.extend_from_slice(&[0xc5, 0xf8, if store { 0x91 } else { 0x90 }]);
        self.address(k.0, Mem::base(Gpr::RSP, disp), 0, false);
    }
}
