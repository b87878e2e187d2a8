//! Matrix products: any contraction as axes of a product.
//!
//! The axes of a dot fall into four families: batch, rows (free axes of the left operand), columns (free axes of the right one) and contracted. Within a
//! family, neighbouring axes that step through memory like one axis are joined. Transposes are strides, so nothing is copied.

use crate::graph::{Dims, Graph, Shape};
use crate::prim::Strided;
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

/// The axes of a group's product, whose result has these strides.
fn axes(group: &ProductGroup, c: &[isize]) -> Axes {
    let (dot, a, b) = (&group.dot, &group.lhs.1, &group.rhs.1);
    let (lhs_free, rhs_free) = (dot.lhs_free(a.shape.rank()), dot.rhs_free(b.shape.rank()));
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

/// A factor of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    Lhs,
    Rhs,
}

/// Lets the factor, if it has taps of the group, lie tap by tap, with the axes of sums last: returns the view of where it lies now, and that of
/// memory of its own.
pub(super) fn by_taps(group: &mut ProductGroup, factor: Factor) -> Option<(Strided, Strided)> {
    let (_, overlap) = group.overlap.as_ref()?;
    let dot = &group.dot;
    let batches = dot.lhs_batch.len();
    let (lhs_free, rhs_free) = (dot.lhs_free(group.lhs.1.shape.rank()), dot.rhs_free(group.rhs.1.shape.rank()));
    let split = batches + lhs_free.len();
    let (batch, free, contracted, first) = match factor {
        Factor::Lhs => (&dot.lhs_batch, &lhs_free, &dot.lhs_contract, batches),
        Factor::Rhs => (&dot.rhs_batch, &rhs_free, &dot.rhs_contract, split),
    };
    let is_tap = |i: usize| overlap.taps[first + i];
    if !(0..free.len()).any(is_tap) {
        return None;
    }
    let taps = (0..free.len()).filter(|&i| is_tap(i)).map(|i| free[i]);
    let others = (0..free.len()).filter(|&i| !is_tap(i)).map(|i| free[i]);
    let order: Dims = taps.chain(batch.iter().copied()).chain(others).chain(contracted.iter().copied()).collect();
    let view = match factor {
        Factor::Lhs => &mut group.lhs.1,
        Factor::Rhs => &mut group.rhs.1,
    };
    let from = Strided {
        shape: order.iter().map(|&x| view.shape[x]).collect(),
        strides: order.iter().map(|&x| view.strides[x]).collect(),
        offset: view.offset,
    };
    let to = Strided::contiguous(&from.shape);
    order.iter().zip(&to.strides).for_each(|(&x, &stride)| view.strides[x] = stride);
    view.offset = 0;
    Some((from, to))
}

/// The products that are added up to the sum of a group's windows, one for each element of a window.
pub(super) fn taps(
    graph: &Graph,
    group: &ProductGroup,
    [lhs, rhs, result]: [BufferId; 3],
    scratch: impl FnOnce(usize) -> BufferId,
) -> Vec<Product> {
    let Some((_, overlap)) = &group.overlap else { return Vec::new() };
    let (dot, shape) = (&group.dot, group.extents().into_iter().collect::<Shape>());
    // The axis of each factor that an axis of the product is.
    let (lhs_free, rhs_free) = (dot.lhs_free(group.lhs.1.shape.rank()), dot.rhs_free(group.rhs.1.shape.rank()));
    let none = |count: usize| std::iter::repeat_n(None, count);
    let lhs_axes: Dims<Option<usize>> =
        dot.lhs_batch.iter().chain(&lhs_free).map(|&x| Some(x)).chain(none(rhs_free.len())).collect();
    let rhs_axes = dot.rhs_batch.iter().map(|&x| Some(x)).chain(none(lhs_free.len()));
    let rhs_axes: Dims<Option<usize>> = rhs_axes.chain(rhs_free.iter().map(|&x| Some(x))).collect();
    // A product of one tap: its axes have one index.
    let mut one = ProductGroup { overlap: None, accumulate: None, ..group.clone() };
    for x in (0..shape.rank()).filter(|&x| overlap.taps[x]) {
        let (of_lhs, of_rhs) = (&mut one.lhs.1, &mut one.rhs.1);
        [(of_lhs, lhs_axes[x]), (of_rhs, rhs_axes[x])].into_iter().for_each(|(view, axis)| {
            axis.into_iter().for_each(|axis| {
                let extents = view.shape.iter().enumerate().map(|(i, &n)| if i == axis { 1 } else { n });
                view.shape = extents.collect();
            });
        });
    }
    let axes = axes(&one, &overlap.steps);
    let workspace = Some(workspace_len(&axes)).filter(|&len| len > 0).map(scratch);
    let offset = |view: &Strided, axes: &[Option<usize>], index: &[usize]| {
        let moves = axes.iter().zip(index).filter_map(|(axis, &i)| axis.map(|axis| view.strides[axis] * i as isize));
        view.offset + moves.sum::<isize>()
    };
    let tap = |index: Dims| {
        let c: isize = overlap.steps.iter().zip(&index).map(|(&step, &i)| step * i as isize).sum();
        Product {
            dtype: graph.ty(group.node).dtype,
            a: Matrix { buffer: lhs, offset: offset(&group.lhs.1, &lhs_axes, &index) },
            b: Matrix { buffer: rhs, offset: offset(&group.rhs.1, &rhs_axes, &index) },
            c: Matrix { buffer: result, offset: c },
            axes: axes.clone(),
            alpha: Alpha::Const(1.0),
            accumulate: true,
            workspace,
            packed: None,
        }
    };
    overlap.indices(&shape).into_iter().map(tap).collect()
}

/// The product of a group, whose operands and result lie in these buffers. `scratch` makes a buffer of so many elements.
pub(super) fn lower(
    graph: &Graph,
    group: &ProductGroup,
    [lhs, rhs, result]: [BufferId; 3],
    scale: Option<BufferId>,
    scratch: impl FnOnce(usize) -> BufferId,
) -> Product {
    let axes = axes(group, &group.strides());
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
        packed: None,
    }
}
