//! Products that are added up in windows: see [`overlap`](super::super::overlap).

use smallvec::SmallVec;

use crate::graph::NodeId;
use crate::prim::Strided;

use super::super::build::{At, KernelBuilder};
use super::super::fuse::ProductGroup;
use super::super::group::{Loops, address};
use super::super::kernel::{Affine, Inst};
use super::super::pending::{PendingStep, Want};
use super::super::product::{self, Factor};
use super::super::{Action, BufferId};
use super::Lowerer;

impl Lowerer<'_, '_> {
    /// Zeros, and for each tap a product that is added to them. A factor that has the taps is laid out tap by tap first: it is the small one, and each tap
    /// takes few of the elements that lie side by side.
    pub(super) fn overlapping(&mut self, p: &ProductGroup, [mut lhs, mut rhs, c]: [BufferId; 3], level: u32) {
        let graph = self.fused.graph;
        let mut p = p.clone();
        for (buffer, factor) in [(&mut lhs, Factor::Lhs), (&mut rhs, Factor::Rhs)] {
            if let Some((from, to)) = product::by_taps(&mut p, factor) {
                let packed = self.add_buffer(graph.ty(p.node).dtype, to.shape.numel(), Want::Arena, None);
                self.copy(*buffer, packed, &from, &to, level, p.node);
                *buffer = packed;
            }
        }
        let p = &p;
        let (shape, dtype) = (graph.shape(p.node).clone(), graph.ty(p.node).dtype);
        let zero = |b: &mut KernelBuilder, _: &mut Self| b.inst(Inst::Const(0.0f64.to_bits()), dtype, At::Row(0));
        self.elementwise(&shape, c, dtype, Strided::contiguous(&shape), level, p.node, zero);
        let scratch = |len| self.add_buffer(dtype, len, Want::Arena, None);
        for product in product::taps(graph, p, [lhs, rhs, c], scratch) {
            let writes = [c].into_iter().chain(product.workspace).collect();
            self.out.steps.push(PendingStep {
                action: Action::Product(Box::new(product)),
                origins: vec![self.origin(p.node)],
                reads: SmallVec::from_slice(&[lhs, rhs, c]),
                writes,
                waits: Vec::new(),
                level,
            });
        }
    }

    /// A kernel that copies what one view shows of a buffer to what another of the same shape shows of another buffer.
    fn copy(&mut self, source: BufferId, to: BufferId, from: &Strided, region: &Strided, level: u32, node: NodeId) {
        let dtype = self.out.buffers[source.index()].dtype;
        let from = from.clone();
        let value = move |b: &mut KernelBuilder, _: &mut Self| {
            let (loops, coords) = Loops::over(&from.shape, &[]);
            let affine = Affine { offset: from.offset, coefs: address(&from.strides, &coords, loops.dims.len()) };
            b.load(source, dtype, affine, At::Row(0))
        };
        self.elementwise(&region.shape, to, dtype, region.clone(), level, node, value);
    }
}
