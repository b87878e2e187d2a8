//! Elements chosen by integers, and elements combined in at places chosen by integers.
//!
//! # Indices out of range
//!
//! One rule holds for all methods, all integer element types and all engines. An index counts from 0; a negative one does not count from the end, it is
//! out of range, as is one that is not below the extent of the axis.
//!
//! | | where the index is out of range |
//! |---|---|
//! | [`take`](Tensor::take), [`take_along_axis`](Tensor::take_along_axis), [`gather_nd`](Tensor::gather_nd), [`pick`](Tensor::pick), [`embedding`](Tensor::embedding) | the result is NaN, 0 for integers, false for `bool`; nothing gets a gradient |
//! | one of these, run by an executable, where the index is an input, or is computed from one as told below | the run is refused, also where the result is masked afterwards; `index.maximum(0)` before the choice lets -1 through |
//! | [`scatter`](Tensor::scatter), [`scatter_along_axis`](Tensor::scatter_along_axis), [`scatter_nd`](Tensor::scatter_nd), [`index_add`](Tensor::index_add) and their shorthands | the update is dropped and its gradient is 0 |
//! | [`one_hot`](Tensor::one_hot) | all places are 0 |
//! | [`dynamic_slice`](Tensor::dynamic_slice), [`dynamic_update_slice`](Tensor::dynamic_update_slice) | the start is moved to the nearest that fits |
//! | [`slice`](Tensor::slice) and what else is given when the graph is built | a panic at the caller's line |
//!
//! An executable refuses an input that is the index of a choice and holds numbers out of range: these are labels, and mistakes in the data. Between the two
//! there may be movement, conversions of integers, and selections that put a number in the place of some, as where negative indices count from the end or a
//! label is ignored. Indices that are computed otherwise are not looked at. What becomes of the result does not count: labels of -1 are refused by
//! `y.ge(0).select(table.take(y, 0), 0)`, which masks too late, and taken by `y.ge(0).select(table.take(y.maximum(0), 0), 0)`.

use crate::graph::{DType, Dims, OpErrorKind, Shape, TensorType};
use crate::prim::{Combine, Gather, Iota, Scatter};

use super::tensor::join;
use super::{Operand, Tensor};

impl<'g> Tensor<'g> {
    /// Slices along `axis`, chosen by integers: `out[.., i.., ..] = self[.., index[i..], ..]`. The index's axes take the place of `axis`. Indices out of range
    /// give NaN ([the rule](crate::build::indexing)).
    ///
    /// # Panics
    /// If there is no such axis, or the indices are no integers.
    #[doc(alias = "index_select")]
    #[doc(alias = "gather")]
    #[track_caller]
    pub fn take(self, index: Tensor<'g>, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("take", &[self, index]);
        let axis = self.axis("take", axis);
        index.expect_int("take", 1);
        // The gather chooses from the first axis; the axes before it are put behind and back again.
        let moved = self.permuted(turned(self.rank(), axis));
        let taken = self.builder.push(Gather::new(0), &[moved, index]);
        taken.permuted(turned(taken.rank(), taken.rank() - axis))
    }

    /// [`Tensor::take`] with 0 where an index is out of range.
    #[track_caller]
    pub(super) fn take_or_zero(self, index: Tensor<'g>, axis: usize) -> Tensor<'g> {
        let moved = self.permuted(turned(self.rank(), axis));
        let taken = self.builder.push(Gather { batch: 0, fill: 0.0f64.to_bits() }, &[moved, index]);
        taken.permuted(turned(taken.rank(), taken.rank() - axis))
    }

    /// The rows of this table, of shape `[rows, ..]`, that integers choose: `out[i.., ..] = self[ids[i..], ..]`. Ids out of range give NaN
    /// ([the rule](crate::build::indexing)). The gradient by a row is the sum over its occurrences.
    ///
    /// # Panics
    /// If the table is a scalar or the ids are no integers.
    #[track_caller]
    pub fn embedding(self, ids: Tensor<'g>) -> Tensor<'g> {
        self.axis("embedding", 0);
        ids.expect_int("embedding", 1);
        self.builder.push_as("embedding", Gather::new(0), &[self, ids])
    }

    /// One element of the last axis for each of the others, chosen by integers: `out[b..] = self[b.., index[b..]]`. Indices out of range give NaN
    /// ([the rule](crate::build::indexing)).
    ///
    /// # Panics
    /// If the index's shape is not that of `self` without its last axis, or its element type is no integer type.
    #[track_caller]
    pub fn pick(self, index: Tensor<'g>) -> Tensor<'g> {
        let last = self.axis("pick", -1);
        let shape = self.shape();
        if index.shape()[..] != shape[..last] {
            let kind = OpErrorKind::Shape { position: 1, expected: Shape::from(&shape[..last]), actual: index.shape() };
            self.refuse("pick", &[index], kind)
        }
        self.builder.push_as("pick", Gather::new(last), &[self, index])
    }

    /// Elements along `axis`, chosen for each line of it by integers: for three axes and `axis` 1, `out[a, i, b] = self[a, index[a, i, b], b]`. The other axes
    /// broadcast. Indices out of range give NaN ([the rule](crate::build::indexing)).
    ///
    /// # Panics
    /// If there is no such axis, the ranks differ, the other axes do not broadcast, or the indices are no integers.
    #[doc(alias = "gather")]
    #[doc(alias = "GatherElements")]
    #[track_caller]
    pub fn take_along_axis(self, index: Tensor<'g>, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("take_along_axis", &[self, index]);
        let at = self.axis("take_along_axis", axis);
        index.expect_int("take_along_axis", 1);
        let (x, index) = self.lines("take_along_axis", index, at);
        let last = x.rank() - 1;
        x.builder.push(Gather::new(last), &[x, index]).move_axis(-1, at as isize)
    }

    /// This tensor and another with `axis` last and all other axes broadcast.
    #[track_caller]
    fn lines(self, op: &'static str, other: Tensor<'g>, axis: usize) -> (Tensor<'g>, Tensor<'g>) {
        if self.rank() != other.rank() {
            let why = format!("operand 1 has {} axes, expected {}", other.rank(), self.rank());
            self.refuse(op, &[other], OpErrorKind::Other(why))
        }
        let (a, b) = (self.move_axis(axis as isize, -1), other.move_axis(axis as isize, -1));
        let (a_shape, b_shape) = (a.shape(), b.shape());
        let last = a_shape.rank() - 1;
        match join(&Shape::from(&a_shape[..last]), &Shape::from(&b_shape[..last])) {
            Ok(batch) => {
                let line = |n: usize| -> Shape { batch.iter().copied().chain([n]).collect() };
                (a.broadcast_to(line(a_shape[last])), b.broadcast_to(line(b_shape[last])))
            }
            Err(kind) => self.refuse(op, &[other], kind),
        }
    }

    /// Slices chosen by lists of integers: the last axis of `index` holds an index for each of the first `k` axes of `self`, and
    /// `out[i.., ..] = self[index[i.., 0], .., index[i.., k - 1], ..]`. Where one of them is out of range, the result is NaN
    /// ([the rule](crate::build::indexing)).
    ///
    /// # Panics
    /// If the extent of the index's last axis is 0 or larger than the rank, or the indices are no integers.
    #[doc(alias = "GatherND")]
    #[track_caller]
    pub fn gather_nd(self, index: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("gather_nd", &[self, index]);
        let (flat, index) = self.numbered("gather_nd", index);
        self.builder.push(Gather::new(0), &[flat, index])
    }

    /// The tensor with the leading axes that `index` chooses from made one, and the numbers of the choices in it, -1 where one is out of range.
    #[track_caller]
    fn numbered(self, op: &'static str, index: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
        index.expect_int(op, 1);
        let (g, shape) = (self.builder, self.shape());
        let count = index.shape().last().copied().unwrap_or(0);
        if count == 0 || count > shape.rank() {
            let why = format!("the last axis of the indices has extent {count}, expected 1 to {}", shape.rank());
            self.refuse(op, &[index], OpErrorKind::Other(why))
        }
        let part = |axis: usize| index.slice(-1, axis..=axis).squeeze(-1);
        if count == 1 {
            return (self, part(0));
        }
        let number = |n: f64| g.number(TensorType::new(DType::I64, []), n);
        let (mut place, mut inside) = (number(0.0), None);
        for (axis, &extent) in shape[..count].iter().enumerate() {
            let at = part(axis).cast(DType::I64);
            let fits = at.ge(number(0.0)) & at.lt(number(extent as f64));
            place = place * number(extent as f64) + at;
            inside = Some(inside.map_or(fits, |inside| inside & fits));
        }
        let inside = inside.expect("there is an index at least");
        let leading: usize = shape[..count].iter().product();
        let flat: Shape = [leading].iter().chain(&shape[count..]).copied().collect();
        (self.reshape(flat), inside.select(place, number(-1.0)))
    }

    /// `self` with slices along `axis`, chosen by integers, combined with those of `updates`, which is shaped as [`take`](Tensor::take) with these indices
    /// would be. Where indices repeat, updates are combined in row-major order of the indices, in every engine: of several that replace, the last counts.
    /// Updates with an index out of range are dropped ([the rule](crate::build::indexing)).
    ///
    /// Gradients: a replacing update gets its place's cotangent if it is the one that counts, else 0, and a replaced element gets 0. Equal extremes share
    /// the cotangent. A factor gets it multiplied with the other factors at its place, which holds where factors are 0 too; that takes work that grows with
    /// the square of the count of updates.
    ///
    /// # Panics
    /// If there is no such axis, or shapes or element types do not fit.
    #[doc(alias = "index_put")]
    #[doc(alias = "index_copy")]
    #[doc(alias = "index_reduce")]
    #[track_caller]
    pub fn scatter(self, combine: Combine, index: Tensor<'g>, updates: Tensor<'g>, axis: isize) -> Tensor<'g> {
        let axis = self.axis("scatter", axis);
        self.scatter_named("scatter", combine, index, updates, axis)
    }

    #[track_caller]
    fn scatter_named(
        self,
        op: &'static str,
        combine: Combine,
        index: Tensor<'g>,
        updates: Tensor<'g>,
        axis: usize,
    ) -> Tensor<'g> {
        let _scope = self.builder.scope(op, &[self, index, updates]);
        index.expect_int(op, 1);
        let (shape, chosen) = (self.shape(), index.shape());
        let expected: Shape = shape[..axis].iter().chain(&chosen[..]).chain(&shape[axis + 1..]).copied().collect();
        if updates.shape() != expected {
            let kind = OpErrorKind::Shape { position: 2, expected, actual: updates.shape() };
            self.refuse(op, &[index, updates], kind)
        }
        let moved = self.permuted(turned(self.rank(), axis));
        let moved_updates = updates.permuted(turned(updates.rank(), axis));
        let result = self.builder.push(Scatter { batch: 0, combine }, &[moved, index, moved_updates]);
        result.permuted(turned(shape.rank(), shape.rank() - axis))
    }

    /// `self` with each slice of `updates` added to the slice of `axis` that `index` chooses: [`Tensor::scatter`] with [`Combine::Add`].
    ///
    /// # Panics
    /// As [`Tensor::scatter`].
    #[track_caller]
    pub fn index_add(self, index: Tensor<'g>, updates: Tensor<'g>, axis: isize) -> Tensor<'g> {
        let axis = self.axis("index_add", axis);
        self.scatter_named("index_add", Combine::Add, index, updates, axis)
    }

    /// `self` with elements along `axis`, chosen for each line of it by integers, combined with those of `updates`: for three axes and `axis` 1, the element
    /// `[a, index[a, i, b], b]` is combined with `updates[a, i, b]`. The index and the updates broadcast against each other and, but for `axis`, to `self`.
    /// Order, indices out of range and gradients are those of [`Tensor::scatter`].
    ///
    /// # Panics
    /// If there is no such axis, ranks differ, or shapes or element types do not fit.
    #[doc(alias = "put_along_axis")]
    #[doc(alias = "scatter_reduce")]
    #[doc(alias = "ScatterElements")]
    #[track_caller]
    pub fn scatter_along_axis(
        self,
        combine: Combine,
        index: Tensor<'g>,
        updates: Tensor<'g>,
        axis: isize,
    ) -> Tensor<'g> {
        let _scope = self.builder.scope("scatter_along_axis", &[self, index, updates]);
        const OP: &str = "scatter_along_axis";
        let at = self.axis(OP, axis);
        index.expect_int(OP, 1);
        for operand in [index, updates] {
            if operand.rank() != self.rank() {
                let why = format!("takes operands of {} axes", self.rank());
                self.refuse(OP, &[index, updates], OpErrorKind::Other(why))
            }
        }
        let mut lines: Dims = self.shape().iter().copied().collect();
        match (index.shape()[at], updates.shape()[at]) {
            (n, m) if n == m || m == 1 => lines[at] = n,
            (1, m) => lines[at] = m,
            (n, m) => {
                let why = format!("axis {at} has extent {n} in the indices and {m} in the updates");
                self.refuse(OP, &[index, updates], OpErrorKind::Other(why))
            }
        }
        let last = |t: Tensor<'g>| t.broadcast_to(&lines[..]).move_axis(at as isize, -1);
        let op = Scatter { batch: self.rank() - 1, combine };
        let operands = [self.move_axis(at as isize, -1), last(index), last(updates)];
        self.builder.push(op, &operands).move_axis(-1, at as isize)
    }

    /// `self` with slices chosen by lists of integers, as in [`Tensor::gather_nd`], combined with those of `updates`, which is shaped as `gather_nd` with these
    /// indices would be. Order, indices out of range and gradients are those of [`Tensor::scatter`].
    ///
    /// # Panics
    /// If the extent of the index's last axis is 0 or larger than the rank, or shapes or element types do not fit.
    #[doc(alias = "ScatterND")]
    #[track_caller]
    pub fn scatter_nd(self, combine: Combine, index: Tensor<'g>, updates: Tensor<'g>) -> Tensor<'g> {
        let _scope = self.builder.scope("scatter_nd", &[self, index, updates]);
        let (flat, index) = self.numbered("scatter_nd", index);
        self.builder.push(Scatter { batch: 0, combine }, &[flat, index, updates]).reshape(self.shape())
    }

    /// A new last axis of extent `classes` that holds 1 at the place that this integer tensor says and 0 elsewhere; all 0 for places out of range.
    ///
    /// # Panics
    /// If the tensor does not hold integers.
    #[track_caller]
    pub fn one_hot(self, classes: usize, dtype: DType) -> Tensor<'g> {
        let _scope = self.builder.scope("one_hot", &[self]);
        self.expect_int("one_hot", 0);
        // In a type that holds every place.
        let place = self.builder.push(Iota { ty: TensorType::new(DType::I64, [classes]), axis: 0 }, &[]);
        self.cast(DType::I64).expand(-1).eq(place).cast(dtype)
    }

    /// The tensor with `value` where the mask holds; both broadcast. The elements replaced get no gradient, whatever they hold.
    ///
    /// # Panics
    /// If the mask is not `bool`, or shapes or element types do not fit.
    #[track_caller]
    pub fn masked_fill(self, mask: Tensor<'g>, value: impl Operand<'g>) -> Tensor<'g> {
        let value = value.beside(self);
        mask.select(value, self)
    }

    /// Panics unless this operand, of this position, holds integers.
    #[track_caller]
    fn expect_int(self, op: &'static str, position: usize) {
        let dtype = self.dtype();
        if !dtype.is_int() {
            let kind = OpErrorKind::DType { position, expected: "an integer type".to_owned(), actual: dtype };
            self.refuse(op, &[], kind)
        }
    }
}

macro_rules! scatters {
    ($($method:ident $combine:ident $doc:literal;)*) => {
        /// [`Tensor::scatter`] along the first axis.
        impl<'g> Tensor<'g> {$(
            #[doc = concat!($doc, " Order, indices out of range and gradients are those of [`Tensor::scatter`].")]
            ///
            /// # Panics
            /// If the updates' shape is not the index's followed by that of one slice, or element types do not fit.
            #[track_caller]
            pub fn $method(self, index: Tensor<'g>, updates: Tensor<'g>) -> Tensor<'g> {
                let axis = self.axis(stringify!($method), 0);
                self.scatter_named(stringify!($method), Combine::$combine, index, updates, axis)
            }
        )*}
    };
}
scatters! {
    scatter_set Set "`self` with each slice of the first axis that `index` chooses replaced by that of `updates`.";
    scatter_add Add "`self` with each slice of `updates` added to the slice of the first axis that `index` chooses.";
    scatter_mul Mul "`self` with each slice of the first axis that `index` chooses multiplied by that of `updates`.";
    scatter_max Max "`self` with each slice of the first axis that `index` chooses raised to that of `updates`, where that is larger.";
    scatter_min Min "`self` with each slice of the first axis that `index` chooses lowered to that of `updates`, where that is smaller.";
}

/// The order of axes that begins with `axis` and goes round.
fn turned(rank: usize, axis: usize) -> Dims {
    (axis..rank).chain(0..axis).collect()
}
