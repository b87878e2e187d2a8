//! Matrix products: any contraction as axes of a product.
//!
//! The axes of a dot fall into four families: batch, rows (free axes of the left operand), columns (free axes of the right one) and contracted. Within a
//! family, neighbouring axes that step through memory like one axis are joined. Transposes are strides, so nothing is copied.

use crate::graph::{Dims, Graph};
use crate::runtime::gemm::workspace_len;

use super::fuse::{ProductGroup, Scale};
use super::{Alpha, Axes, Axis, BufferId, Matrix, Product};

/// Drops axes of extent 1 and joins neighbours that step like one axis through all three matrices.
fn join(axes: impl IntoIterator<Item = Axis>) -> Vec<Axis> {
    let mut joined: Vec<Axis> = Vec::new();
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

/// The axes of a group's product.
fn axes(group: &ProductGroup) -> Axes {
    let (dot, a, b) = (&group.dot, &group.lhs.1, &group.rhs.1);
    let (lhs_free, rhs_free) = (dot.lhs_free(a.shape.rank()), dot.rhs_free(b.shape.rank()));
    let c: Dims<isize> = group.strides();

    let batches = dot.lhs_batch.len();
    let batch = dot.lhs_batch.iter().zip(&dot.rhs_batch).enumerate();
    let batch = batch.map(|(i, (&x, &y))| Axis { extent: a.shape[x], a: a.strides[x], b: b.strides[y], c: c[i] });
    // A batch axis along which one factor stands still counts rows or columns of the other.
    let (mut rows, mut columns, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for axis in batch {
        match axis {
            Axis { b: 0, .. } => rows.push(axis),
            Axis { a: 0, .. } => columns.push(axis),
            _ => rest.push(axis),
        }
    }
    rows.extend((0..).zip(&lhs_free).map(|(i, &x): (usize, _)| Axis {
        extent: a.shape[x],
        a: a.strides[x],
        b: 0,
        c: c[batches + i],
    }));
    let first = batches + lhs_free.len();
    columns.extend((0..).zip(&rhs_free).map(|(i, &x): (usize, _)| Axis {
        extent: b.shape[x],
        a: 0,
        b: b.strides[x],
        c: c[first + i],
    }));
    let contracted = dot.lhs_contract.iter().zip(&dot.rhs_contract);
    let mut contracted: Vec<Axis> =
        contracted.map(|(&x, &y)| Axis { extent: a.shape[x], a: a.strides[x], b: b.strides[y], c: 0 }).collect();
    // Sums run through memory, as far as one order serves both factors.
    contracted.sort_by_key(|x| {
        std::cmp::Reverse((x.a.unsigned_abs().min(x.b.unsigned_abs()), x.a.unsigned_abs().max(x.b.unsigned_abs())))
    });
    Axes { batch: join(rest), rows: join(rows), columns: join(columns), contracted: join(contracted) }
}

/// The product of a group, whose operands and result lie in these buffers. `scratch` makes a buffer of so many elements.
pub(super) fn lower(
    graph: &Graph,
    group: &ProductGroup,
    [lhs, rhs, result]: [BufferId; 3],
    scale: Option<BufferId>,
    scratch: impl FnOnce(usize) -> BufferId,
) -> Product {
    let axes = axes(group);
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
    let workspace = Some(workspace_len(&axes)).filter(|&len| len > 0).map(scratch);
    Product {
        dtype: graph.ty(group.node).dtype,
        a: Matrix { buffer: lhs, offset: group.lhs.1.offset },
        b: Matrix { buffer: rhs, offset: group.rhs.1.offset },
        c: Matrix { buffer: result, offset: group.layout.as_ref().map_or(0, |layout| layout.offset) },
        axes,
        alpha,
        accumulate,
        workspace,
    }
}
