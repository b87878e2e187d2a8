//! Matrix products: any contraction as loops around a library call.
//!
//! The axes of a dot fall into four families: batch, rows (free axes of the left operand), columns (free axes of the right one) and contracted. Within a
//! family, neighbouring axes that step through memory like one axis are joined. Of each of the last three families the longest axis is the library's m, n
//! or k; all other axes become loops. Transposes are strides, so nothing is copied.

use smallvec::SmallVec;

use crate::graph::{Dims, Graph};

use super::fuse::{ProductGroup, Scale};
use super::{Alpha, BufferId, Matrix, Product};

/// An axis of a contraction: its extent and the steps that it takes through the three matrices.
#[derive(Clone, Copy, Debug)]
struct Axis {
    extent: usize,
    a: isize,
    b: isize,
    c: isize,
}

/// Drops axes of extent 1 and joins neighbours that step like one axis through all three matrices.
fn join(axes: impl IntoIterator<Item = Axis>) -> SmallVec<[Axis; 4]> {
    let mut joined: SmallVec<[Axis; 4]> = SmallVec::new();
    for axis in axes.into_iter().filter(|x| x.extent != 1) {
        let n = axis.extent as isize;
        match joined.last_mut() {
            Some(last) if last.a == axis.a * n && last.b == axis.b * n && last.c == axis.c * n => {
                *last = Axis { extent: last.extent * axis.extent, ..axis };
            }
            _ => joined.push(axis),
        }
    }
    joined
}

/// Takes the longest axis out of a family.
fn take_longest(axes: &mut SmallVec<[Axis; 4]>) -> Axis {
    match (0..axes.len()).max_by_key(|&i| axes[i].extent) {
        Some(i) => axes.remove(i),
        None => Axis { extent: 1, a: 0, b: 0, c: 0 },
    }
}

/// The product of a group, whose operands and result lie in these buffers.
pub(super) fn lower(
    graph: &Graph,
    group: &ProductGroup,
    lhs: BufferId,
    rhs: BufferId,
    result: BufferId,
    scale: Option<BufferId>,
) -> Product {
    let (dot, a, b) = (&group.dot, &group.lhs.1, &group.rhs.1);
    let (lhs_free, rhs_free) = (dot.lhs_free(a.shape.rank()), dot.rhs_free(b.shape.rank()));
    let batch_extents = dot.lhs_batch.iter().map(|&x| a.shape[x]);
    let free = lhs_free.iter().map(|&x| a.shape[x]).chain(rhs_free.iter().map(|&x| b.shape[x]));
    let c: Dims<isize> = batch_extents.chain(free).collect::<crate::graph::Shape>().strides();

    let batches = dot.lhs_batch.len();
    let batch = dot.lhs_batch.iter().zip(&dot.rhs_batch).enumerate();
    let batch = join(batch.map(|(i, (&x, &y))| Axis { extent: a.shape[x], a: a.strides[x], b: b.strides[y], c: c[i] }));
    let rows = lhs_free.iter().enumerate();
    let mut rows = join(rows.map(|(i, &x)| Axis { extent: a.shape[x], a: a.strides[x], b: 0, c: c[batches + i] }));
    let columns = rhs_free.iter().enumerate();
    let first = batches + lhs_free.len();
    let mut columns = join(columns.map(|(i, &x)| Axis { extent: b.shape[x], a: 0, b: b.strides[x], c: c[first + i] }));
    let contracted = dot.lhs_contract.iter().zip(&dot.rhs_contract);
    let mut contracted =
        join(contracted.map(|(&x, &y)| Axis { extent: a.shape[x], a: a.strides[x], b: b.strides[y], c: 0 }));

    let m = take_longest(&mut rows);
    let n = take_longest(&mut columns);
    let k = take_longest(&mut contracted);
    let loops: SmallVec<[Axis; 4]> = batch.into_iter().chain(rows).chain(columns).chain(contracted).collect();
    let matrix = |buffer, offset, row, column, step: fn(&Axis) -> isize| Matrix {
        buffer,
        offset,
        row,
        column,
        loops: loops.iter().map(step).collect(),
    };
    let (accumulate, alpha) = match &group.accumulate {
        None => (false, Alpha::Const(1.0)),
        Some(x) => (
            true,
            match (&x.scale, scale) {
                (Scale::Node(_), Some(buffer)) => Alpha::Buffer { buffer, sign: x.sign },
                (Scale::Const(v), _) => Alpha::Const(x.sign * v),
                (Scale::Node(n), None) => panic!("the scale {n} of an accumulated product has a buffer"),
            },
        ),
    };
    Product {
        dtype: graph.ty(group.node).dtype,
        m: m.extent,
        n: n.extent,
        k: k.extent,
        a: matrix(lhs, a.offset, m.a, k.a, |x| x.a),
        b: matrix(rhs, b.offset, k.b, n.b, |x| x.b),
        c: matrix(result, 0, m.c, n.c, |x| x.c),
        loops: loops.iter().map(|x| x.extent).collect(),
        alpha,
        accumulate,
    }
}
