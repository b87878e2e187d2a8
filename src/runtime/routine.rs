//! Routines for compiled code: pointers become slices.

use smallvec::SmallVec;

use crate::array::{ArrayElement, StorageMut, StorageRef};
use crate::graph::{DType, TensorType};
use crate::prim::{Call, Routine, Workspace, with_element};

/// Runs a routine. `pointers` leads to the addresses of the operands, then of the result, then of the workspace if the routine wants one.
///
/// # Safety
/// `routine` is valid. The addresses lead to memory that is aligned for its elements and holds as many as the routine's types say; that of the operands
/// holds values of their types and is written by nobody during the call, that of the result and the workspace is used by nobody else.
pub(crate) unsafe extern "C" fn call(routine: *const Routine, pointers: *const *mut u8) {
    // SAFETY: the caller's promise.
    let routine = unsafe { &*routine };
    let count = routine.operands.len();
    let Workspace { dtype, len } = routine.workspace;
    // SAFETY: the caller's promise: there is a pointer for each operand and the result, and for the workspace if it has elements.
    let pointers = unsafe { std::slice::from_raw_parts(pointers, count + 1 + usize::from(len > 0)) };
    let types: SmallVec<[&TensorType; 4]> = routine.operands.iter().collect();
    let operands = types.iter().zip(pointers);
    // SAFETY: the caller's promise about operands.
    let operands: SmallVec<[StorageRef<'_>; 4]> =
        operands.map(|(ty, &at)| unsafe { elements(ty.dtype, at, ty.shape.numel()) }).collect();
    // SAFETY: the caller's promise about the result and the workspace.
    let (result, workspace) = unsafe {
        let result = elements_mut(routine.ty.dtype, pointers[count], routine.ty.shape.numel());
        let nowhere = std::ptr::dangling_mut::<u64>().cast();
        (result, elements_mut(dtype, pointers.get(count + 1).copied().unwrap_or(nowhere), len))
    };
    routine.op.run(Call::new(&types, &routine.ty, &operands, result, workspace));
}

/// # Safety
/// `len` values of the type lie at `at`, aligned, and are not written while the result lives.
unsafe fn elements<'a>(dtype: DType, at: *const u8, len: usize) -> StorageRef<'a> {
    fn wrap<'a, T: ArrayElement>(elements: &'a [T]) -> StorageRef<'a> {
        T::wrap_ref(elements)
    }
    // SAFETY: the caller's promise; `T` is the memory form of the type.
    with_element!(dtype, T => wrap(unsafe { std::slice::from_raw_parts(at.cast::<T>(), len) }))
}

/// # Safety
/// There is room for `len` values of the type at `at`, aligned, which nobody else uses while the result lives.
unsafe fn elements_mut<'a>(dtype: DType, at: *mut u8, len: usize) -> StorageMut<'a> {
    fn wrap<'a, T: ArrayElement>(elements: &'a mut [T]) -> StorageMut<'a> {
        T::wrap_mut(elements)
    }
    if dtype == DType::Bool {
        // Not every byte is a truth value.
        // SAFETY: the caller's promise.
        unsafe { at.write_bytes(0, len) };
    }
    // SAFETY: the caller's promise; `T` is the memory form of the type, and any bytes are numbers.
    with_element!(dtype, T => wrap(unsafe { std::slice::from_raw_parts_mut(at.cast::<T>(), len) }))
}
