//! Windows that slide over axes. A view that overlaps itself, so it costs nothing: convolutions and pooling are this, followed by a product or a fold.

use crate::array::Array;
use crate::graph::{Dims, NodeId, OpErrorKind, Shape, TensorType};

use super::rules::behind_batch;
use super::{AttrError, Attrs, Batch, Cotangents, Jvp, Lowering, Primitive, Strided, Unwindow, Vjp, arity, ascending};

/// How windows lie on axes: on axis `axes[i]`, window `o` has the elements `o * strides[i] + k * dilations[i]` for `k` below `sizes[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// The axes, ascending.
    pub axes: Dims,
    /// Elements of a window along each of them; not 0.
    pub sizes: Dims,
    /// From one window to the next; not 0.
    pub strides: Dims,
    /// From one element of a window to the next; not 0.
    pub dilations: Dims,
}

impl Windows {
    /// From the first to the last element of a window along axis `axes[i]`, both counted.
    pub fn span(&self, i: usize) -> usize {
        (self.sizes[i] - 1).saturating_mul(self.dilation(i)).saturating_add(1)
    }

    /// How many windows fit on `extent` elements of axis `axes[i]`.
    pub fn count(&self, i: usize, extent: usize) -> usize {
        extent.checked_sub(self.span(i)).map_or(0, |rest| rest / self.strides[i] + 1)
    }

    /// How many windows a pooling has on `padded` elements of axis `axes[i]`: those that fit and, if `ceil`, one that reaches beyond the elements, should it begin
    /// before element `inside`. A first window that does not fit reaches beyond by less than a stride.
    pub(crate) fn pooled(&self, i: usize, padded: usize, inside: usize, ceil: bool) -> usize {
        let (whole, stride) = (self.count(i, padded), self.strides[i]);
        let reaches = match padded.checked_sub(self.span(i)) {
            Some(rest) => rest % stride != 0,
            None => self.span(i) - padded < stride,
        };
        let begins_inside = whole.checked_mul(stride).is_some_and(|begin| begin < inside);
        whole + usize::from(ceil && reaches && begins_inside)
    }

    /// Elements from the first to the last of `count` windows on axis `axes[i]`, both counted.
    pub fn covered(&self, i: usize, count: usize) -> usize {
        match count.checked_sub(1) {
            Some(last) => last.saturating_mul(self.strides[i]).saturating_add(self.span(i)),
            None => 0,
        }
    }

    /// The dilation; 1 where windows have one element, so that places do not overflow.
    pub(crate) fn dilation(&self, i: usize) -> usize {
        if self.sizes[i] == 1 { 1 } else { self.dilations[i] }
    }

    /// The windows of one example as windows behind a batch axis.
    pub(super) fn behind_batch(&self) -> Windows {
        Windows { axes: behind_batch(&self.axes), ..self.clone() }
    }

    pub(super) fn attrs(&self) -> Attrs {
        Attrs::new()
            .list("axes", &self.axes)
            .list("sizes", &self.sizes)
            .list("strides", &self.strides)
            .list("dilations", &self.dilations)
    }

    pub(super) fn parse(attrs: &mut Attrs) -> Result<Windows, AttrError> {
        Ok(Windows {
            axes: attrs.take_list("axes", "a list of axis numbers")?,
            sizes: attrs.take_list("sizes", "a list of counts")?,
            strides: attrs.take_list("strides", "a list of counts")?,
            dilations: attrs.take_list("dilations", "a list of counts")?,
        })
    }

    /// Fails unless the axes are ascending and below `rank`, and there is a number other than 0 of each kind for each.
    pub(super) fn check(&self, rank: usize) -> Result<(), OpErrorKind> {
        ascending(&self.axes, rank)?;
        for (attribute, list) in [("sizes", &self.sizes), ("strides", &self.strides), ("dilations", &self.dilations)] {
            if list.len() != self.axes.len() {
                let (expected, given) = (self.axes.len(), list.len());
                return Err(OpErrorKind::AttributeLength { attribute, expected, given });
            }
            if list.contains(&0) {
                return Err(OpErrorKind::Other(format!("`{attribute}` {list:?} has a 0")));
            }
        }
        Ok(())
    }
}

/// The windows of the operand: axis `axes[i]` becomes the count of windows along it, and a last axis is added for each, of `sizes[i]` elements, in
/// the order of the axes. For one axis, `out[.., o, .., k] = in[.., o * stride + k * dilation, ..]`. Elements behind the last whole window are left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// How the windows lie.
    pub windows: Windows,
}

impl Primitive for Window {
    fn name(&self) -> &'static str {
        "window"
    }

    fn accepts(name: &str) -> bool {
        name == "window"
    }

    fn attrs(&self) -> Attrs {
        self.windows.attrs()
    }

    fn parse(_: &str, attrs: &mut Attrs, _: &TensorType) -> Result<Self, AttrError> {
        Ok(Window { windows: Windows::parse(attrs)? })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let shape = &operands[0].shape;
        self.windows.check(shape.rank())?;
        let mut extents: Dims = shape.iter().copied().collect();
        for (i, &axis) in self.windows.axes.iter().enumerate() {
            let (span, extent) = (self.windows.span(i), shape[axis]);
            if span > extent {
                return Err(OpErrorKind::Window { axis, span, extent });
            }
            extents[axis] = self.windows.count(i, extent);
        }
        extents.extend(self.windows.sizes.iter().copied());
        Ok(TensorType { dtype: operands[0].dtype, shape: extents.iter().copied().collect() })
    }

    /// Each element gets the sum of the cotangents of the windows that it is in.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let ty = cx.operand_ty(0);
        if !ty.dtype.is_float() {
            return Cotangents::from_slice(&[None]);
        }
        let windows = self.windows.clone();
        let low = Dims::from_elem(0, windows.axes.len());
        let extents = windows.axes.iter().map(|&a| ty.shape[a]).collect();
        let g = cx.emit.emit(Unwindow { windows, low, extents }.into(), &[cx.cotangent]);
        Cotangents::from_slice(&[Some(g)])
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        cx.linear(self.clone())
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Window { windows: self.windows.behind_batch() })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        let view = self.view(&Strided::contiguous(operands[0].shape())).expect("windows are a view");
        view.materialize_array(operands[0], ty)
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::View
    }

    fn view(&self, operand: &Strided) -> Option<Strided> {
        let w = &self.windows;
        let mut extents: Dims = operand.shape.iter().copied().collect();
        let mut strides = operand.strides.clone();
        for (i, &axis) in w.axes.iter().enumerate() {
            let along = operand.strides[axis];
            extents[axis] = w.count(i, operand.shape[axis]);
            strides[axis] = if extents[axis] <= 1 { along } else { along * w.strides[i] as isize };
            extents.push(w.sizes[i]);
            strides.push(along * w.dilation(i) as isize);
        }
        Some(Strided { shape: Shape::from(&extents[..]), strides, offset: operand.offset })
    }
}
