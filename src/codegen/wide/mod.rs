//! Kernels as code for vectors of 512 bits, for x86-64 machines that have AVX-512 (F, DQ, VL).
//!
//! ```text
//!   Kernel --nest, body, folds--> Code: virtual registers, loops --alloc--> homes --emit, asm--> bytes
//!                 |
//!                 +-- lanes: the scalar mathematics, written once over the lane trait
//! ```
//!
//! Cranelift has vectors of 128 bits only. Here a whole kernel is compiled, loops included: calling wide code from a loop of Cranelift's for each row would
//! cost as much as a short row. What a kernel does is decided before ([`choose`](super::choose), [`kernel`](super::kernel)) and is the same for both;
//! elementwise results are equal bit for bit, since both run the same lane operations.
//!
//! Everything is a vector. What does not vary along the loop that is run by vectors stands in all lanes of one register. Truth values are mask registers,
//! and the rest of a loop is done under a mask. A kernel that these instructions cannot express (unsigned integers, integer division,
//! stores at places that a varying value chooses) is left to Cranelift.

mod alloc;
mod asm;
mod body;
mod emit;
mod folds;
mod ir;
mod lanes;
mod nest;

use cranelift_codegen::isa::TargetIsa;

use crate::graph::DType;
use crate::plan::kernel::Kernel;

use super::choose::{Choice, Dependencies};

/// Bits of a vector.
pub(super) const VECTOR_BITS: u32 = 512;

/// A kernel's machine code: position-independent, with the calling convention of other kernels.
pub(super) struct WideCode {
    pub(super) bytes: Vec<u8>,
    /// Places in the code for the address of a function, 8 bytes each.
    pub(super) calls: Vec<(usize, ir::Function)>,
    /// The instructions as text, if that was asked for.
    pub(super) listing: String,
}

/// True if the machine has the instructions, and the calling convention is the one that the code is written for.
pub(super) fn is_supported(isa: &dyn TargetIsa) -> bool {
    let has = |name: &str| isa.isa_flags().iter().any(|f| f.name == name && f.as_bool() == Some(true));
    let triple = isa.triple();
    triple.architecture == target_lexicon::Architecture::X86_64
        && isa.default_call_conv() == cranelift_codegen::isa::CallConv::SystemV
        && ["has_avx512f", "has_avx512dq", "has_avx512vl"].into_iter().all(has)
}

/// Compiles a kernel whose loops are run as chosen for these vectors, unless it is one for Cranelift.
pub(super) fn compile(kernel: &Kernel, dependencies: &Dependencies, choice: Choice, listing: bool) -> Option<WideCode> {
    let known = |d: DType| matches!(d, DType::Bool | DType::I32 | DType::I64 | DType::F32 | DType::F64);
    let dtypes = kernel.values.iter().map(|v| v.dtype).chain(kernel.slots.iter().map(|s| s.dtype));
    if !dtypes.into_iter().all(known) {
        return None;
    }
    let mut body = body::Body::new(kernel, dependencies, choice.vector?);
    nest::rows(&mut body, 0);
    let mut code = body.code;
    if code.unsupported {
        return None;
    }
    code.remove_dead();
    let homes = alloc::allocate(&code);
    Some(emit::emit(kernel, &code, &homes, listing))
}
