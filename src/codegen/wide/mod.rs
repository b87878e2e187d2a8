//! Kernels as code for vectors of 256 or 512 bits, for x86-64 machines that have AVX2 and FMA, or AVX-512 (F, DQ, VL): an [`Isa`].
//!
//! ```text
//!   Kernel --nest, body, folds--> Code: virtual registers, loops --alloc--> homes --emit, asm--> bytes
//!                 |
//!                 +-- lanes: the scalar mathematics, written once over the lane trait
//!                       +-- lacking: operations that the machine has not, made of others
//! ```
//!
//! Cranelift has vectors of 128 bits only. Here a whole kernel is compiled, loops included: calling wide code from a loop of Cranelift's for each row would
//! cost as much as a short row. What a kernel does is decided before ([`choose`](super::choose), [`kernel`](super::kernel)) and is the same for both;
//! elementwise results are equal bit for bit, since both run the same lane operations.
//!
//! Everything is a vector. What does not vary along the loop that is run by vectors stands in all lanes of one register. Integers shorter than 32 bits are
//! kept in 32. Truth values are mask registers, or vectors with lanes as wide as the widest number. In the rest of a loop only the lanes that are elements
//! are loaded and stored. A kernel that these instructions cannot express (numbers of 16 bits, integer division, stores at places that a varying value chooses, bytes that do
//! not lie side by side) is left to Cranelift.

mod alloc;
mod asm;
mod body;
mod convert;
mod emit;
mod folds;
mod ir;
mod isa;
mod lacking;
mod lanes;
mod near;
mod nest;
mod opcodes;
#[cfg(test)]
mod tests;

use crate::graph::DType;
use crate::plan::kernel::Kernel;

pub(crate) use isa::Isa;

use super::choose::{Choice, Dependencies};

/// A kernel's machine code: position-independent, with the calling convention of other kernels.
pub(super) struct WideCode {
    pub(super) bytes: Vec<u8>,
    /// Places in the code for the address of a function, 8 bytes each.
    pub(super) calls: Vec<(usize, ir::Function)>,
    /// The instructions as text, if that was asked for.
    pub(super) listing: String,
}

/// Compiles a kernel whose loops are run as chosen for these vectors, unless it is one for Cranelift.
pub(super) fn compile(
    kernel: &Kernel,
    dependencies: &Dependencies,
    choice: Choice,
    isa: Isa,
    listing: bool,
) -> Option<WideCode> {
    let dtypes = kernel.values.iter().map(|v| v.dtype).chain(kernel.slots.iter().map(|s| s.dtype));
    if dtypes.into_iter().any(DType::is_half) {
        return None;
    }
    let mut body = body::Body::new(kernel, dependencies, choice.vector?, isa);
    nest::rows(&mut body, 0);
    let mut code = body.code;
    if code.unsupported {
        return None;
    }
    code.remove_dead();
    let homes = alloc::allocate(&code);
    Some(emit::emit(kernel, &code, &homes, listing))
}
