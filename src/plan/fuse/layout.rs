//! Where products store their results.
//!
//! A product reads and writes memory by any strides, so what only puts its result in another order costs nothing: the product stores it in that order, and
//! the copy is left out. So the heads of an attention are stored side by side, and the gradients of queries, keys and values in their parts of one tensor.
//!
//! This is done as long as nobody has read the value where it would have been: the path from the product to the movement has no other users.

use crate::graph::{Dims, NodeId};
use crate::prim::Strided;

use super::super::expr::{Expr, ExprId};
use super::super::group::GroupId;
use super::{Fused, Home, Kind, ProductGroup};

/// Where a product stores its result.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Layout {
    /// The node in whose memory it does. If that is not the product's own node, it is a part of it.
    pub(in crate::plan) memory: NodeId,
    /// Strides of the axes of the result: batch axes, free axes of the left operand, free axes of the right one.
    pub(in crate::plan) strides: Dims<isize>,
    /// Place of the first element.
    pub(in crate::plan) offset: isize,
}

impl Fused<'_> {
    /// If `operand` is a product's result in another order, and `user` is the first to read it, has the product store it in row-major order of `operand`.
    /// Returns the leaf.
    pub(super) fn store_in_order(&mut self, operand: NodeId, user: NodeId) -> Option<ExprId> {
        let first_use = self.graph.users(operand).all(|(u, _)| u >= user || !self.live[u.index()]);
        if !first_use || self.is_wanted(operand) {
            return None;
        }
        let whole = Strided::contiguous(self.graph.shape(operand));
        let (group, layout) = self.moved_product(self.def(operand), operand, &whole)?;
        let product = self.product_mut(group);
        product.layout = Some(layout);
        product.node = operand;
        self.homes[operand.index()] = Some(Home::Group(group));
        let leaf = self.leaf(operand);
        self.defs[operand.index()] = Some(leaf);
        Some(leaf)
    }

    /// If `body`, which goes to a region of `node`, is the result of a product that serves nothing else, has the product store it there.
    pub(super) fn store_in_region(&mut self, body: ExprId, region: &Strided, node: NodeId) -> bool {
        let Some((group, layout)) = self.moved_product(body, node, region) else {
            return false;
        };
        self.product_mut(group).layout = Some(layout);
        true
    }

    /// If `body` is the result of a product, moved on a path without other uses to `to`: the group, and the layout in which it is stored where `place`, which
    /// has the shape of `body`, says for the memory of `to`.
    fn moved_product(&self, body: ExprId, to: NodeId, place: &Strided) -> Option<(GroupId, Layout)> {
        let Expr::Leaf { source, view } = &self.exprs.get(body).expr else {
            return None;
        };
        let group = self.group_of(*source)?;
        let Kind::Product(product) = &self.groups[group.index()].kind else {
            return None;
        };
        let own = product.node == *source && product.memory() == *source;
        if !own
            || product.accumulate.is_some()
            || product.overlap.is_some()
            || *source == to
            || !self.serves_only(*source, to)
        {
            return None;
        }
        let extents = product.extents();
        let strides = rearranged(&extents, &product.strides(), view, place)?;
        let layout = Layout { memory: to, strides, offset: place.offset };
        layout.has_runs(&extents, product.dot.lhs_batch.len()).then_some((group, layout))
    }

    fn product_mut(&mut self, group: GroupId) -> &mut ProductGroup {
        match &mut self.groups[group.index()].kind {
            Kind::Product(product) => product,
            _ => panic!("the group is a product"),
        }
    }
}

impl ProductGroup {
    /// Extents of the result's axes: batch axes, free axes of the left operand, free axes of the right one.
    pub(in crate::plan) fn extents(&self) -> Dims {
        let (dot, a, b) = (&self.dot, &self.lhs.1.shape, &self.rhs.1.shape);
        let batch = dot.lhs_batch.iter().map(|&x| a[x]);
        let rows = dot.lhs_free(a.rank()).into_iter().map(|x| a[x]);
        let columns = dot.rhs_free(b.rank()).into_iter().map(|x| b[x]);
        batch.chain(rows).chain(columns).collect()
    }

    /// Strides of those axes in the memory of the result.
    pub(in crate::plan) fn strides(&self) -> Dims<isize> {
        match &self.layout {
            Some(layout) => layout.strides.clone(),
            None => self.extents().into_iter().collect::<crate::graph::Shape>().strides(),
        }
    }

    /// The node in whose memory the result is stored.
    pub(in crate::plan) fn memory(&self) -> NodeId {
        self.layout.as_ref().map_or(self.node, |layout| layout.memory)
    }
}

impl Layout {
    /// True if a row or a column of the matrices lies side by side in memory, as it does without a layout.
    fn has_runs(&self, extents: &[usize], batch: usize) -> bool {
        let matrix = extents.iter().zip(&self.strides).skip(batch);
        matrix.into_iter().any(|(&extent, &stride)| extent > 1 && stride == 1)
    }
}

/// The strides of axes of these extents and strides after their elements have been moved: what a view of the memory sees goes to `place`, index by index. `None` if
/// the view does not see each element once, or no strides say where the elements go.
fn rearranged(extents: &[usize], strides: &[isize], view: &Strided, place: &Strided) -> Option<Dims<isize>> {
    if view.offset != 0 || view.shape.numel() != extents.iter().product::<usize>() {
        return None;
    }
    // A place in memory is a number whose digits are the indices of the view, the axis of the longest stride first.
    let mut digits: Dims<usize> = (0..view.shape.rank()).filter(|&a| view.shape[a] != 1).collect();
    digits.sort_by_key(|&a| std::cmp::Reverse(view.strides[a]));
    let mut length = 1;
    for &axis in digits.iter().rev() {
        if view.strides[axis] != length {
            return None;
        }
        length *= view.shape[axis] as isize;
    }
    // Along each axis the digits step evenly, as long as none is carried, together neither.
    let mut sums: Dims<usize> = Dims::from_elem(0, view.shape.rank());
    let mut moved: Dims<isize> = Dims::from_elem(0, extents.len());
    for (i, (&extent, &stride)) in extents.iter().zip(strides).enumerate().filter(|(_, (extent, _))| **extent != 1) {
        let mut rest = stride;
        for &axis in &digits {
            let digit = rest / view.strides[axis];
            rest %= view.strides[axis];
            sums[axis] += (extent - 1) * digit as usize;
            moved[i] += digit * place.strides[axis];
        }
    }
    digits.iter().all(|&a| sums[a] < view.shape[a]).then_some(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Shape;

    fn view(shape: &[usize], strides: &[isize]) -> Strided {
        Strided { shape: shape.into(), strides: strides.iter().copied().collect(), offset: 0 }
    }

    fn row_major(shape: &[usize]) -> Strided {
        Strided::contiguous(&Shape::from(shape))
    }

    #[test]
    fn transposes_and_regions() {
        // Batch, heads, positions, features, stored as batch, positions, heads, features.
        let (extents, strides) = ([2, 4, 8, 3], [96, 24, 3, 1]);
        let swapped = view(&[2, 8, 4, 3], &[96, 3, 24, 1]);
        let moved = rearranged(&extents, &strides, &swapped, &row_major(&[2, 8, 4, 3]));
        assert_eq!(moved.expect("a transpose")[..], [96, 3, 12, 1]);
        // From there to the second third of a tensor, heads and features as one axis.
        let joined = row_major(&[2, 8, 12]);
        let third = Strided { strides: [288, 36, 1].into_iter().collect(), offset: 12, ..joined.clone() };
        let moved = rearranged(&extents, &[96, 3, 12, 1], &joined, &third);
        assert_eq!(moved.expect("a region")[..], [288, 3, 36, 1]);
    }

    #[test]
    fn what_no_strides_say() {
        // Half of the elements.
        assert_eq!(rearranged(&[4], &[1], &view(&[2], &[2]), &row_major(&[2])), None);
        // Rows of three over the places of rows of two.
        let columns = view(&[2, 3], &[1, 2]);
        assert_eq!(rearranged(&[2, 3], &[3, 1], &columns, &row_major(&[2, 3])), None);
    }
}
