//! The kernel IR: a loop nest with straight-line bodies.
//!
//! A kernel runs over *rows*, the points of its row loops, each of which may be done at any time and by any thread. A row is a list of *phases*. A phase
//! first computes values once for the row, then runs over the *inner* loops, where it computes values at each point, stores some and folds others. The
//! results of the folds are row values of the next phases. So a softmax is one kernel of three phases:
//!
//! ```text
//! kernel rows [50] inner [10] slots %0: read f32, %1: write f32
//!   phase 0  inner:  v0 = load s0 [r0*10 + i0]               r0 = fold max v0
//!   phase 1  inner:  v1 = load s0 [..]; v2 = sub v1 r0; v3 = exp v2; store s2 v3     r1 = fold add v3
//!   phase 2  inner:  v4 = load s2; v5 = div v4 r1; store s1 v5
//! ```
//!
//! Without inner loops a kernel is an elementwise map over its rows. Values are numbered through the whole kernel; an inner value is visible in its own
//! phase only, a row value in its own and all later ones. Kernels name memory by slots, so equal kernels on different buffers are equal.
//!
//! What happens in which order, for memory:
//!
//! - Rows may be done in any order and side by side, so no row stores where another loads or stores. A serial kernel does its rows in row-major order, and
//!   later rows find what earlier ones stored.
//! - Within a row, phases follow each other. What is done once for the row comes before the inner loops: first values, then stores.
//! - At a point of the inner loops all loads come before all stores, and stores happen in the order in which they are listed. Points may be done in any order
//!   and side by side, so no point stores where another one of the row loads or stores in the same phase. Stores whose index has a choice may meet each
//!   other; they are done in row-major order of the points.
//! - Two slots may be given the same memory if one is read and the other written, elements are of the same size, and no element is loaded through the one
//!   after its place was stored to through the other.
//!
//! The [checker](super::check) proves what these rules ask for.

use crate::graph::{DType, Dims};
use crate::prim::{Combine, Extremum};
use crate::scalar::ScalarFn;

/// Number of a value in its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Number of a slot in its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u32);

impl ValueId {
    /// The position in [`Kernel::values`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl SlotId {
    /// The position in [`Kernel::slots`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a kernel does with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// It only reads.
    Read,
    /// It writes; every element that it loads, or combines with, the same row has stored before. What it does not store to stays as it was.
    Write,
    /// It writes and needs what was there: it loads it, combines with it, or leaves some of it by a store whose choice may be out of range.
    ReadWrite,
    /// Memory of one row's own: written and read again within the row, its contents forgotten afterwards. Its indices use the inner loops only. Code that
    /// does several rows at a time keeps their elements side by side: the buffer has room for [`SCRATCH_ROWS`] rows.
    Scratch,
}

/// How many rows a scratch buffer has room for.
pub const SCRATCH_ROWS: usize = 16;

/// Memory that a kernel is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Type of the elements.
    pub dtype: DType,
    /// What the kernel does with it.
    pub access: Access,
}

/// A number that depends linearly on the loop counters: `offset + sum(coefs[d] * counter[d])`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Affine {
    /// The number where all counters are 0.
    pub offset: isize,
    /// What each counter adds, rows first, then inner loops. As long as [`Kernel::loops`].
    pub coefs: Dims<isize>,
}

/// An index chosen by a value: adds `value * stride` to an affine index, if `0 <= value < extent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The integer value.
    pub value: ValueId,
    /// Elements between two choices.
    pub stride: isize,
    /// Count of choices.
    pub extent: usize,
}

/// Place of an element in a slot, in elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Index {
    /// The part that the loop counters give.
    pub affine: Affine,
    /// The part that a value gives.
    pub choice: Option<Choice>,
}

/// An instruction that makes a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Inst {
    /// A number: the bits of an `f64` that converts to the value's type as by a cast.
    Const(u64),
    /// The element at an index; `fill` (bits of an `f64`) if the index's choice is out of range.
    Load {
        /// The slot.
        slot: SlotId,
        /// Place of the element.
        index: Index,
        /// The value where the choice is out of range. Meaningless without a choice.
        fill: u64,
    },
    /// The linear number itself, converted to the value's type.
    Counter(Affine),
    /// A scalar function.
    Map(ScalarFn, Dims<ValueId>),
    /// Conversion to the value's type.
    Cast(ValueId),
    /// The result of a fold of an earlier phase.
    Fold {
        /// The phase.
        phase: usize,
        /// Position in [`Phase::folds`].
        fold: usize,
    },
}

/// A value: its instruction and its type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// What makes it.
    pub inst: Inst,
    /// Its type.
    pub dtype: DType,
}

/// How a store meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreMode {
    /// It replaces it.
    Set,
    /// A scalar function (`add`, `mul`, `max`, `min`, `or`, `and`) of what is there and the value replaces it.
    Combine(ScalarFn),
}

impl StoreMode {
    /// How a scatter's updates of this type are stored.
    pub fn of(combine: Combine, dtype: DType) -> StoreMode {
        combine.function(dtype).map_or(StoreMode::Set, StoreMode::Combine)
    }
}

/// A store of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// The slot.
    pub slot: SlotId,
    /// Place of the element. If its choice is out of range, nothing is stored.
    pub index: Index,
    /// The value, of the slot's type.
    pub value: ValueId,
    /// How it meets what is there.
    pub mode: StoreMode,
}

/// How a fold combines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FoldKind {
    /// With a scalar function (`add`, `mul`, `max`, `min`, `or`, `and`), beginning from a number (bits of an `f64`). The order is not fixed; the number
    /// counts once.
    Combine(ScalarFn, u64),
    /// Position (`i32`), in row-major order of the inner loops, of the first extreme value; a NaN counts as the most extreme.
    Position(Extremum),
}

/// A fold over the inner loops.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fold {
    /// How it combines.
    pub kind: FoldKind,
    /// The value folded.
    pub value: ValueId,
}

/// A part of the work of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Phase {
    /// Values computed once for the row, in order, before the inner loops.
    pub row: Vec<ValueId>,
    /// Stores done once for the row, after `row`, before the inner loops.
    pub row_stores: Vec<Store>,
    /// Values computed at each point of the inner loops, in order. They may depend on fewer loops than all; code generation hoists them.
    pub inner: Vec<ValueId>,
    /// Stores done at each point, in order, after the values.
    pub stores: Vec<Store>,
    /// Folds over the inner loops.
    pub folds: Vec<Fold>,
}

/// A loop nest. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Extents of all loops, rows first, outermost first. None is 0.
    pub loops: Dims,
    /// How many of the loops are row loops.
    pub rows: usize,
    /// True if rows must be done in order, by one thread, because stores of different rows may meet.
    pub serial: bool,
    /// Memory.
    pub slots: Vec<Slot>,
    /// All values.
    pub values: Vec<Value>,
    /// The phases of a row.
    pub phases: Vec<Phase>,
}

impl Kernel {
    /// The value of this number.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// Count of rows.
    pub fn row_count(&self) -> usize {
        self.loops[..self.rows].iter().product()
    }

    /// Count of points of the inner loops.
    pub fn inner_count(&self) -> usize {
        self.loops[self.rows..].iter().product()
    }

    /// The values that an instruction reads.
    pub fn operands(inst: &Inst) -> Dims<ValueId> {
        match inst {
            Inst::Const(_) | Inst::Counter(_) | Inst::Fold { .. } => Dims::new(),
            Inst::Load { index, .. } => index.choice.iter().map(|c| c.value).collect(),
            Inst::Map(_, args) => args.clone(),
            Inst::Cast(arg) => Dims::from_slice(&[*arg]),
        }
    }
}
