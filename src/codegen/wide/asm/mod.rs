//! An assembler for what the wide backend emits: vector instructions in the [EVEX](evex) encoding for AVX-512 and in [VEX](vex) for AVX2, and the few scalar
//! ones of loops and addresses. Encodings are those of the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, sections 2.1, 2.3 and 2.7.
//!
//! A label is patched where it is bound. Constants are gathered in a pool behind the code and addressed relative to the instruction pointer.

mod evex;
mod text;
mod vex;

use std::fmt::Write;

use rustc_hash::FxHashMap;

use super::isa::Isa;

/// A vector register: `zmm0` to `zmm31`, or `ymm0` to `ymm15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Simd(pub(super) u8);

/// A mask register, `k0` to `k7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mask(pub(super) u8);

/// A general register of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Gpr(pub(super) u8);

impl Gpr {
    pub(super) const RAX: Gpr = Gpr(0);
    pub(super) const RCX: Gpr = Gpr(1);
    pub(super) const RDX: Gpr = Gpr(2);
    pub(super) const RBX: Gpr = Gpr(3);
    pub(super) const RSP: Gpr = Gpr(4);
    pub(super) const RBP: Gpr = Gpr(5);
    pub(super) const RSI: Gpr = Gpr(6);
    pub(super) const RDI: Gpr = Gpr(7);

    fn name(self) -> String {
        match ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"].get(self.0 as usize) {
            Some(name) => (*name).to_owned(),
            None => format!("r{}", self.0),
        }
    }
}

/// Place of an operand in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mem {
    /// `base + index * scale + disp`.
    At { base: Gpr, index: Option<(Gpr, u8)>, disp: i32 },
    /// The constant at this byte of the pool.
    Pool(u32),
}

impl Mem {
    pub(super) fn base(base: Gpr, disp: i32) -> Mem {
        Mem::At { base, index: None, disp }
    }
}

/// The last operand of a vector instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rm {
    /// A vector register.
    Reg(Simd),
    /// A general register.
    Gpr(Gpr),
    /// Memory.
    Mem(Mem),
    /// One element in memory, for all lanes: in EVEX only.
    Broadcast(Mem),
}

/// Bits of a vector: what the encodings call the vector length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Length {
    /// 128 bits, and instructions on one element.
    L128 = 0,
    /// 256 bits.
    L256 = 1,
    /// 512 bits.
    L512 = 2,
}

impl Length {
    pub(super) const fn bytes(self) -> i32 {
        16 << self as i32
    }
}

/// The opcode map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    M0f = 1,
    M0f38 = 2,
    M0f3a = 3,
}

/// The mandatory prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    None = 0,
    P66 = 1,
    Pf3 = 2,
    Pf2 = 3,
}

/// What the encoding of an instruction says besides its operands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opcode {
    pub(super) name: &'static str,
    pub(super) prefix: Prefix,
    pub(super) map: Map,
    /// The bit W: elements of 64 bits, for most. In VEX most instructions ignore it.
    pub(super) wide: bool,
    pub(super) byte: u8,
}

/// The write mask of an instruction. There is none in VEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Under {
    /// All lanes are written.
    All,
    /// Lanes that are not set keep what they held, or are not stored.
    Merge(Mask),
    /// Lanes that are not set become zero.
    Zero(Mask),
}

/// A place in the code to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Conditions of jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Less = 0xc,
    GreaterOrEqual = 0xd,
    Zero = 0x4,
    NotZero = 0x5,
}

/// Code under construction.
#[derive(Debug)]
pub(super) struct Assembler {
    isa: Isa,
    code: Vec<u8>,
    /// Where each label is, once it is bound.
    labels: Vec<Option<usize>>,
    /// Displacements to patch: where, and the label.
    jumps: Vec<(usize, Label)>,
    /// Displacements to patch: where, the end of the instruction, and the byte of the pool.
    pooled: Vec<(usize, usize, u32)>,
    /// Addresses to put in: where, and of which function.
    calls: Vec<(usize, usize)>,
    pool: Vec<u8>,
    known: FxHashMap<Vec<u8>, u32>,
    /// The listing, if one is kept.
    text: Option<String>,
}

impl Assembler {
    /// An assembler that keeps a listing if that is asked for.
    pub(super) fn new(isa: Isa, listing: bool) -> Assembler {
        Assembler {
            isa,
            code: Vec::new(),
            labels: Vec::new(),
            jumps: Vec::new(),
            pooled: Vec::new(),
            calls: Vec::new(),
            pool: Vec::new(),
            known: FxHashMap::default(),
            text: listing.then(String::new),
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "  {}", line());
        }
    }

    /// Puts bytes into the pool, aligned to their length, and gives their place. Equal ones are put there once.
    pub(super) fn constant(&mut self, bytes: &[u8]) -> Mem {
        if let Some(&at) = self.known.get(bytes) {
            return Mem::Pool(at);
        }
        self.pool.resize(self.pool.len().next_multiple_of(bytes.len()), 0);
        let at = self.pool.len() as u32;
        self.pool.extend_from_slice(bytes);
        self.known.insert(bytes.to_vec(), at);
        Mem::Pool(at)
    }

    /// A label that is not bound yet.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Binds a label to this place.
    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "L{}:", label.0);
        }
    }

    /// The code with its pool, the places of addresses of functions, and the listing.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<(usize, usize)>, String) {
        for (at, label) in std::mem::take(&mut self.jumps) {
            let target = self.labels[label.0].expect("every label that is jumped to is bound");
            self.patch(at, target as i64 - (at as i64 + 4));
        }
        // The pool's longest constants are whole vectors.
        self.code.resize(self.code.len().next_multiple_of(64), 0xcc);
        let pool = self.code.len();
        for (at, end, byte) in std::mem::take(&mut self.pooled) {
            self.patch(at, (pool + byte as usize) as i64 - end as i64);
        }
        self.code.extend_from_slice(&self.pool);
        (self.code, self.calls, self.text.unwrap_or_default())
    }

    fn patch(&mut self, at: usize, displacement: i64) {
        let displacement = i32::try_from(displacement).expect("a kernel's code is shorter than 2 GiB");
        self.code[at..at + 4].copy_from_slice(&displacement.to_le_bytes());
    }

    /// The bytes of ModRM, SIB and displacement. `trailing` bytes of the instruction follow. Short displacements may be `scaled`.
    fn address(&mut self, reg: u8, mem: Mem, trailing: usize, scaled: bool) {
        let reg = (reg & 7) << 3;
        match mem {
            Mem::Pool(byte) => {
                self.code.push(reg | 0b101);
                let at = self.code.len();
                self.code.extend_from_slice(&[0; 4]);
                self.pooled.push((at, at + 4 + trailing, byte));
            }
            Mem::At { base, index, disp } => {
                // Only in EVEX are displacements of 8 bits scaled by what is accessed.
                let short = !scaled && i8::try_from(disp).is_ok();
                let mode = if short { 0b01_000_000 } else { 0b10_000_000 };
                if index.is_none() && base.0 & 7 != 4 {
                    self.code.push(mode | reg | base.0 & 7);
                } else {
                    let (index, scale) = index.map_or((4, 1), |(r, s)| (r.0 & 7, s));
                    self.code.push(mode | reg | 0b100);
                    self.code.push((scale.trailing_zeros() as u8) << 6 | index << 3 | base.0 & 7);
                }
                if short {
                    self.code.push(disp as u8);
                } else {
                    self.code.extend_from_slice(&disp.to_le_bytes());
                }
            }
        }
    }

    /// A vector instruction, in the encoding of the instruction set. `reg` and `vvvv` are the numbers of the first and second register operand.
    #[allow(clippy::too_many_arguments, reason = "these are the fields of the encoding")]
    pub(super) fn vector(
        &mut self,
        op: Opcode,
        length: Length,
        under: Under,
        reg: u8,
        vvvv: u8,
        rm: Rm,
        imm: Option<u8>,
    ) {
        self.note(|| text::vector(op, length, under, reg, vvvv, rm, imm));
        match self.isa {
            Isa::Avx512 => self.evex(op, length, under, reg, vvvv, rm, imm),
            Isa::Avx2 => {
                debug_assert_eq!(under, Under::All, "AVX2 has no write masks");
                self.vex(op, length, reg, vvvv, rm, imm);
            }
        }
    }

    /// A scalar instruction `opcode reg, rm` on 64 bits, or on 32 if not `wide`.
    fn scalar(&mut self, wide: bool, opcode: &[u8], reg: u8, rm: Rm, trailing: usize) {
        let (b, x) = match rm {
            Rm::Gpr(r) => (r.0 >> 3, 0),
            Rm::Mem(m) => (base_bit(m), index_bit(m)),
            Rm::Reg(_) | Rm::Broadcast(_) => panic!("a scalar instruction takes no vectors"),
        };
        let rex = 0x40 | u8::from(wide) << 3 | (reg >> 3) << 2 | x << 1 | b;
        self.code.push(rex);
        self.code.extend_from_slice(opcode);
        match rm {
            Rm::Gpr(r) => self.code.push(0b11_000_000 | (reg & 7) << 3 | r.0 & 7),
            Rm::Mem(m) => self.address(reg, m, trailing, false),
            Rm::Reg(_) | Rm::Broadcast(_) => {}
        }
    }

    pub(super) fn mov(&mut self, a: Gpr, b: Gpr) {
        self.note(|| format!("mov {}, {}", a.name(), b.name()));
        self.scalar(true, &[0x8b], a.0, Rm::Gpr(b), 0);
    }

    pub(super) fn load(&mut self, a: Gpr, mem: Mem) {
        self.note(|| format!("mov {}, {}", a.name(), text::memory(mem)));
        self.scalar(true, &[0x8b], a.0, Rm::Mem(mem), 0);
    }

    pub(super) fn store(&mut self, mem: Mem, a: Gpr) {
        self.note(|| format!("mov {}, {}", text::memory(mem), a.name()));
        self.scalar(true, &[0x89], a.0, Rm::Mem(mem), 0);
    }

    pub(super) fn load_byte(&mut self, a: Gpr, mem: Mem) {
        self.note(|| format!("movzx {}, byte {}", a.name(), text::memory(mem)));
        self.scalar(false, &[0x0f, 0xb6], a.0, Rm::Mem(mem), 0);
    }

    /// `a = address of mem`.
    pub(super) fn lea(&mut self, a: Gpr, mem: Mem) {
        self.note(|| format!("lea {}, {}", a.name(), text::memory(mem)));
        self.scalar(true, &[0x8d], a.0, Rm::Mem(mem), 0);
    }

    /// `a = v`.
    pub(super) fn imm(&mut self, a: Gpr, v: i64) {
        self.note(|| format!("mov {}, {v}", a.name()));
        match i32::try_from(v) {
            Ok(v) => {
                self.scalar(true, &[0xc7], 0, Rm::Gpr(a), 4);
                self.code.extend_from_slice(&v.to_le_bytes());
            }
            Err(_) => {
                self.code.extend_from_slice(&[0x48 | a.0 >> 3, 0xb8 | a.0 & 7]);
                self.code.extend_from_slice(&v.to_le_bytes());
            }
        }
    }

    /// `rm op= v`; the operation is the extension of opcodes 81 and 83.
    fn group(&mut self, name: &str, extension: u8, rm: Rm, v: i32) {
        self.note(|| format!("{name} {}, {v}", text::operand(rm, Length::L128)));
        match i8::try_from(v) {
            Ok(v) => {
                self.scalar(true, &[0x83], extension, rm, 1);
                self.code.push(v as u8);
            }
            Err(_) => {
                self.scalar(true, &[0x81], extension, rm, 4);
                self.code.extend_from_slice(&v.to_le_bytes());
            }
        }
    }

    pub(super) fn add(&mut self, rm: Rm, v: i32) {
        self.group("add", 0, rm, v);
    }

    pub(super) fn and(&mut self, rm: Rm, v: i32) {
        self.group("and", 4, rm, v);
    }

    pub(super) fn compare(&mut self, rm: Rm, v: i32) {
        self.group("cmp", 7, rm, v);
    }

    pub(super) fn compare_registers(&mut self, a: Gpr, b: Gpr) {
        self.note(|| format!("cmp {}, {}", a.name(), b.name()));
        self.scalar(true, &[0x3b], a.0, Rm::Gpr(b), 0);
    }

    /// `a = b * v`.
    pub(super) fn multiply(&mut self, a: Gpr, b: Gpr, v: i32) {
        self.note(|| format!("imul {}, {}, {v}", a.name(), b.name()));
        self.scalar(true, &[0x69], a.0, Rm::Gpr(b), 4);
        self.code.extend_from_slice(&v.to_le_bytes());
    }

    /// `a = a + b`.
    pub(super) fn add_registers(&mut self, a: Gpr, b: Gpr) {
        self.note(|| format!("add {}, {}", a.name(), b.name()));
        self.scalar(true, &[0x03], a.0, Rm::Gpr(b), 0);
    }

    /// `a = a - b`.
    pub(super) fn subtract_registers(&mut self, a: Gpr, b: Gpr) {
        self.note(|| format!("sub {}, {}", a.name(), b.name()));
        self.scalar(true, &[0x2b], a.0, Rm::Gpr(b), 0);
    }

    /// Sets the carry if it is not set, and clears it if it is.
    pub(super) fn complement_carry(&mut self) {
        self.note(|| "cmc".to_owned());
        self.code.push(0xf5);
    }

    /// `a = -1` if the carry is set, else 0.
    pub(super) fn all_if_carry(&mut self, a: Gpr) {
        self.note(|| format!("sbb {}, {}", a.name(), a.name()));
        self.scalar(true, &[0x1b], a.0, Rm::Gpr(a), 0);
    }

    /// `a = a & b`.
    pub(super) fn and_registers(&mut self, a: Gpr, b: Gpr) {
        self.note(|| format!("and {}, {}", a.name(), b.name()));
        self.scalar(true, &[0x23], a.0, Rm::Gpr(b), 0);
    }

    /// `a = -a`; sets the carry unless `a` is 0.
    pub(super) fn negate(&mut self, a: Gpr) {
        self.note(|| format!("neg {}", a.name()));
        self.scalar(true, &[0xf7], 3, Rm::Gpr(a), 0);
    }

    /// `a` sign-extended from its low 32 bits.
    pub(super) fn extend(&mut self, a: Gpr) {
        self.note(|| format!("movsxd {}, {}", a.name(), a.name()));
        self.scalar(true, &[0x63], a.0, Rm::Gpr(a), 0);
    }

    pub(super) fn push(&mut self, a: Gpr) {
        self.note(|| format!("push {}", a.name()));
        self.code.extend_from_slice(&[0x40 | a.0 >> 3, 0x50 | a.0 & 7]);
    }

    pub(super) fn pop(&mut self, a: Gpr) {
        self.note(|| format!("pop {}", a.name()));
        self.code.extend_from_slice(&[0x40 | a.0 >> 3, 0x58 | a.0 & 7]);
    }

    /// Calls a function whose address is put in when the code is linked. Changes `rax`.
    pub(super) fn call(&mut self, symbol: usize, name: &str) {
        self.note(|| format!("mov rax, address of {name}"));
        self.note(|| "call rax".to_owned());
        self.code.extend_from_slice(&[0x48, 0xb8]);
        self.calls.push((self.code.len(), symbol));
        self.code.extend_from_slice(&[0; 8]);
        self.code.extend_from_slice(&[0xff, 0xd0]);
    }

    /// `a = a >> 1`, zeros shifted in.
    pub(super) fn halve(&mut self, a: Gpr) {
        self.note(|| format!("shr {}, 1", a.name()));
        self.scalar(true, &[0xd1], 5, Rm::Gpr(a), 0);
    }

    /// Clears the upper halves of vector registers, so that legacy code after it runs at full speed.
    pub(super) fn clear_upper(&mut self) {
        self.note(|| "vzeroupper".to_owned());
        self.code.extend_from_slice(&[0xc5, 0xf8, 0x77]);
    }

    /// Returns.
    pub(super) fn ret(&mut self) {
        self.note(|| "ret".to_owned());
        self.code.push(0xc3);
    }

    pub(super) fn jump_if(&mut self, condition: Condition, label: Label) {
        self.note(|| format!("j({condition:?}) L{}", label.0));
        self.code.extend_from_slice(&[0x0f, 0x80 | condition as u8]);
        self.jumps.push((self.code.len(), label));
        self.code.extend_from_slice(&[0; 4]);
    }
}

fn base_bit(mem: Mem) -> u8 {
    match mem {
        Mem::At { base, .. } => base.0 >> 3 & 1,
        Mem::Pool(_) => 0,
    }
}

fn index_bit(mem: Mem) -> u8 {
    match mem {
        Mem::At { index: Some((r, _)), .. } => r.0 >> 3 & 1,
        _ => 0,
    }
}
