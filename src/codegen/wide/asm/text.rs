//! Operands as text.

use super::{Length, Mem, Opcode, Rm, Under};

pub(super) fn memory(mem: Mem) -> String {
    match mem {
        Mem::Pool(byte) => format!("[pool + {byte}]"),
        Mem::At { base, index: None, disp } => format!("[{} + {disp}]", base.name()),
        Mem::At { base, index: Some((index, scale)), disp } => {
            format!("[{} + {}*{scale} + {disp}]", base.name(), index.name())
        }
    }
}

fn register(n: u8, length: Length) -> String {
    let letter = match length {
        Length::L128 => 'x',
        Length::L256 => 'y',
        Length::L512 => 'z',
    };
    format!("{letter}mm{n}")
}

pub(super) fn operand(rm: Rm, length: Length) -> String {
    match rm {
        Rm::Reg(r) => register(r.0, length),
        Rm::Gpr(r) => r.name(),
        Rm::Mem(m) => memory(m),
        Rm::Broadcast(m) => format!("{}{{all}}", memory(m)),
    }
}

pub(super) fn vector(op: Opcode, length: Length, under: Under, reg: u8, vvvv: u8, rm: Rm, imm: Option<u8>) -> String {
    let under = match under {
        Under::All => String::new(),
        Under::Merge(k) => format!("{{k{}}}", k.0),
        Under::Zero(k) => format!("{{k{}}}{{z}}", k.0),
    };
    let imm = imm.map_or(String::new(), |v| format!(", {v}"));
    // Registers are named by number: which operands an instruction has is not known here.
    format!("{}{under} {}, {}, {}{imm}", op.name, register(reg, length), register(vvvv, length), operand(rm, length))
}
