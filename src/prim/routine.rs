//! Routines: operations that are no loop nest, computed by a function of this library on whole tensors.
//!
//! ```text
//!   Primitive::eval    arrays of its own     \
//!                                              Call --> Primitive::run
//!   compiled code      buffers of the plan   /
//! ```
//!
//! All engines run the one function of the operation, [`Primitive::run`], so their results are equal bit for bit. It is given typed slices of its
//! operands, its result and a workspace, all of which the plan has placed: a routine allocates nothing, and it never panics, because compiled code calls
//! it.

use crate::array::{Array, ArrayElement, StorageMut, StorageRef};
use crate::graph::{DType, TensorType};

use super::{Lowering, Op, Primitive};

/// Memory that a routine wants beside its operands and its result, with any contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Type of its elements.
    pub dtype: DType,
    /// Count of its elements.
    pub len: usize,
}

impl Workspace {
    /// No memory.
    pub const NONE: Workspace = Workspace { dtype: DType::I64, len: 0 };

    /// This many elements of a type.
    pub fn of<T: ArrayElement>(len: usize) -> Workspace {
        Workspace { dtype: T::DTYPE, len }
    }
}

/// A routine with the types that it is called with: all that a call needs beside memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Routine {
    /// The operation.
    pub op: Op,
    /// Types of the operands.
    pub operands: Vec<TensorType>,
    /// Type of the result.
    pub ty: TensorType,
    /// The memory that it wants beside operands and result.
    pub workspace: Workspace,
}

/// The types and the memory of one call of a routine.
pub struct Call<'a> {
    types: &'a [&'a TensorType],
    ty: &'a TensorType,
    operands: &'a [StorageRef<'a>],
    result: StorageMut<'a>,
    workspace: StorageMut<'a>,
}

impl<'a> Call<'a> {
    /// A call on memory that holds as many elements of these types as the types say.
    pub(crate) fn new(
        types: &'a [&'a TensorType],
        ty: &'a TensorType,
        operands: &'a [StorageRef<'a>],
        result: StorageMut<'a>,
        workspace: StorageMut<'a>,
    ) -> Call<'a> {
        Call { types, ty, operands, result, workspace }
    }

    /// Type of operand `i`.
    pub fn operand_ty(&self, i: usize) -> &'a TensorType {
        self.types[i]
    }

    /// Type of the result.
    pub fn ty(&self) -> &'a TensorType {
        self.ty
    }

    /// The elements of operand `i`, in row-major order.
    ///
    /// # Panics
    /// If they are not of type `T`.
    pub fn operand<T: ArrayElement>(&self, i: usize) -> &'a [T] {
        T::slice(self.operands[i]).expect("asked for the operand's own type")
    }

    /// The elements of the result, in row-major order, with any contents.
    ///
    /// # Panics
    /// If they are not of type `T`.
    pub fn result<T: ArrayElement>(self) -> &'a mut [T] {
        T::slice_mut(self.result).expect("asked for the result's own type")
    }

    /// The elements of the result and of the workspace, both with any contents.
    ///
    /// # Panics
    /// If they are not of types `T` and `W`.
    pub fn result_and_workspace<T: ArrayElement, W: ArrayElement>(self) -> (&'a mut [T], &'a mut [W]) {
        let workspace = W::slice_mut(self.workspace).expect("asked for the workspace's own type");
        (T::slice_mut(self.result).expect("asked for the result's own type"), workspace)
    }
}

/// The value of a routine, in memory of its own.
pub(super) fn evaluate(op: &impl Primitive, operands: &[&Array], ty: &TensorType) -> Array {
    let types: Vec<TensorType> = operands.iter().map(|a| a.ty()).collect();
    let types: Vec<&TensorType> = types.iter().collect();
    let Lowering::Routine { workspace: Workspace { dtype, len } } = op.lowering(&types, ty) else {
        panic!("{} is no routine", op.name());
    };
    let (mut result, mut workspace) = (Array::zeros(ty), Array::zeros(&TensorType::new(dtype, [len])));
    if ty.shape.numel() > 0 {
        let operands: Vec<StorageRef<'_>> = operands.iter().map(|a| a.storage()).collect();
        op.run(Call::new(&types, ty, &operands, result.storage_mut(), workspace.storage_mut()));
    }
    result
}

/// The lanes of a shape along an axis: what is left of it when all other indices are fixed.
pub(super) struct Lanes {
    /// Elements of a lane.
    pub(super) extent: usize,
    /// Distance of two neighbours of a lane, and count of lanes that lie side by side.
    pub(super) stride: usize,
    /// Count of blocks of lanes that lie side by side.
    pub(super) blocks: usize,
}

impl Lanes {
    pub(super) fn new(shape: &[usize], axis: usize) -> Lanes {
        let product = |extents: &[usize]| extents.iter().product();
        Lanes { extent: shape[axis], stride: product(&shape[axis + 1..]), blocks: product(&shape[..axis]) }
    }

    /// The place of each lane's first element.
    pub(super) fn starts(&self) -> impl Iterator<Item = usize> + use<> {
        let (block, stride) = (self.extent * self.stride, self.stride);
        (0..self.blocks).flat_map(move |b| (0..stride).map(move |s| b * block + s))
    }
}
