//! A plan under way: what lowering makes, before steps have an order and buffers a place.

use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::array::Array;
use crate::graph::{DType, NodeId, Origin};

use super::group::GroupId;
use super::kernel::Kernel;
use super::{Action, BufferId, KernelId, Place, Step};

/// Where a buffer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Somewhere in the arena.
    Arena,
    /// To this place.
    At(Place),
}

/// A buffer whose place may still be open.
#[derive(Clone, Debug)]
pub(super) struct PendingBuffer {
    pub(super) dtype: DType,
    pub(super) len: usize,
    pub(super) want: Want,
    pub(super) node: Option<NodeId>,
    /// How many pieces it has, one of which is in memory at a time.
    pub(super) pieces: usize,
}

impl PendingBuffer {
    /// A buffer that is in memory whole.
    pub(super) fn new(dtype: DType, len: usize, want: Want, node: Option<NodeId>) -> PendingBuffer {
        PendingBuffer { dtype, len, want, node, pieces: 1 }
    }

    /// Bytes of the memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.len / self.pieces * self.dtype.size()
    }
}

/// A step whose turn is still open.
#[derive(Clone, Debug)]
pub(super) struct PendingStep {
    pub(super) action: Action,
    pub(super) origins: Vec<Arc<Origin>>,
    pub(super) reads: SmallVec<[BufferId; 4]>,
    pub(super) writes: SmallVec<[BufferId; 4]>,
    /// Earlier steps, by their positions, that come before this one although it reads nothing of them.
    pub(super) waits: Vec<usize>,
    /// Steps of lower levels need nothing of higher ones.
    pub(super) level: u32,
}

/// A parameter's new value that was not computed in place: it is copied when everything else is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct CopyBack {
    pub(super) from: BufferId,
    pub(super) param: usize,
}

/// Kernels, all different.
#[derive(Debug, Default)]
pub(super) struct Kernels {
    list: Vec<Arc<Kernel>>,
    numbers: FxHashMap<Arc<Kernel>, KernelId>,
}

impl Kernels {
    /// The kernel of this number.
    pub(super) fn get(&self, id: KernelId) -> &Kernel {
        &self.list[id.index()]
    }

    /// The number of a kernel, which is added unless an equal one is there.
    pub(super) fn number(&mut self, kernel: Kernel) -> KernelId {
        match self.numbers.entry(Arc::new(kernel)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let id = KernelId(u32::try_from(self.list.len()).expect("a plan has fewer than 2^32 kernels"));
                self.list.push(new.key().clone());
                *new.insert(id)
            }
        }
    }

    /// Drops the kernels that are not named, and gives those that are new numbers.
    pub(super) fn keep<'n>(&mut self, named: impl Iterator<Item = &'n mut KernelId>) {
        let mut new: Vec<Option<KernelId>> = vec![None; self.list.len()];
        let mut kept: Vec<Arc<Kernel>> = Vec::new();
        for id in named {
            *id = *new[id.index()].get_or_insert_with(|| {
                kept.push(self.list[id.index()].clone());
                KernelId(kept.len() as u32 - 1)
            });
        }
        self.numbers = self.numbers.drain().filter_map(|(kernel, id)| Some((kernel, new[id.index()]?))).collect();
        self.list = kept;
    }

    /// The kernels in the order of their numbers.
    pub(super) fn into_list(self) -> Vec<Kernel> {
        drop(self.numbers);
        self.list.into_iter().map(Arc::unwrap_or_clone).collect()
    }
}

/// The result of lowering.
pub(super) struct Lowered {
    pub(super) buffers: Vec<PendingBuffer>,
    pub(super) kernels: Kernels,
    pub(super) steps: Vec<PendingStep>,
    pub(super) params: Vec<NodeId>,
    pub(super) inputs: Vec<NodeId>,
    pub(super) constants: Vec<Arc<Array>>,
    /// The buffer of each parameter's memory as a run finds it.
    pub(super) param_buffers: FxHashMap<usize, BufferId>,
    /// Parameters that a step updates in place, with the buffer of the new value.
    pub(super) in_place: Vec<CopyBack>,
    pub(super) copies: Vec<CopyBack>,
    /// The steps of each group, by their positions.
    pub(super) steps_of: FxHashMap<GroupId, Range<usize>>,
}

impl From<PendingStep> for Step {
    fn from(step: PendingStep) -> Step {
        Step { action: step.action, origins: step.origins }
    }
}
