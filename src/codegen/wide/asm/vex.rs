//! Instructions of AVX2 and FMA, in the VEX encoding.

use super::{Assembler, Gpr, Length, Map, Opcode, Rm, Simd, base_bit, index_bit};

impl Assembler {
    /// The bytes of a vector instruction.
    pub(super) fn vex(&mut self, op: Opcode, length: Length, reg: u8, vvvv: u8, rm: Rm, imm: Option<u8>) {
        let (b, x) = match rm {
            Rm::Reg(Simd(n)) | Rm::Gpr(Gpr(n)) => (n >> 3 & 1, 0),
            Rm::Mem(m) => (base_bit(m), index_bit(m)),
            Rm::Broadcast(_) => panic!("AVX2 has no elements in memory for all lanes"),
        };
        self.vex_prefix(op, length, reg, vvvv, x, b);
        match rm {
            Rm::Reg(Simd(n)) | Rm::Gpr(Gpr(n)) => self.code.push(0b11_000_000 | (reg & 7) << 3 | n & 7),
            Rm::Mem(m) | Rm::Broadcast(m) => self.address(reg, m, usize::from(imm.is_some()), false),
        }
        self.code.extend(imm);
    }

    /// A gather of the lanes whose sign is set in `mask`, which is cleared, at `base + index * scale + disp`; the index is a vector of `i32`. The three
    /// registers differ.
    #[allow(clippy::too_many_arguments, reason = "these are the fields of the encoding")]
    pub(in crate::codegen::wide) fn gather(
        &mut self,
        op: Opcode,
        length: Length,
        reg: Simd,
        base: Gpr,
        index: Simd,
        scale: u8,
        disp: i32,
        mask: Simd,
    ) {
        self.note(|| {
            let (name, reg, base, index, mask) = (op.name, reg.0, base.name(), index.0, mask.0);
            format!("{name} ymm{reg}, [{base} + ymm{index}*{scale} + {disp}], ymm{mask}")
        });
        self.vex_prefix(op, length, reg.0, mask.0, index.0 >> 3, base.0 >> 3);
        self.code.push(0b10_000_000 | (reg.0 & 7) << 3 | 0b100);
        self.code.push((scale.trailing_zeros() as u8) << 6 | (index.0 & 7) << 3 | base.0 & 7);
        self.code.extend_from_slice(&disp.to_le_bytes());
    }

    /// The prefix and the opcode: of two bytes where they say enough, else of three.
    fn vex_prefix(&mut self, op: Opcode, length: Length, reg: u8, vvvv: u8, x: u8, b: u8) {
        debug_assert!(length != Length::L512 && reg < 16 && vvvv < 16, "VEX has 16 registers of 256 bits");
        let r = (reg >> 3 & 1) ^ 1;
        let last = (!vvvv & 15) << 3 | (length as u8) << 2 | op.prefix as u8;
        if op.map == Map::M0f && !op.wide && x == 0 && b == 0 {
            self.code.extend_from_slice(&[0xc5, r << 7 | last, op.byte]);
        } else {
            let first = r << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | op.map as u8;
            self.code.extend_from_slice(&[0xc4, first, u8::from(op.wide) << 7 | last, op.byte]);
        }
    }
}
