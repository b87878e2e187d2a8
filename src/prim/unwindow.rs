//! Windows added up where they lie: the transpose of [`Window`], known as overlap-add or col2im. The VJP of one is the other.

use crate::array::{Array, ArrayElement};
use crate::graph::{DType, Dims, NodeId, OpErrorKind, Shape, TensorType};

use super::{
    AttrError, Attrs, Batch, Cotangents, Emit, Jvp, Lowering, Pad, Primitive, Vjp, Window, Windows, arity, array,
    elements,
};

/// The sum of overlapping windows. The operand is shaped like the result of a [`Window`], with an axis of windows in the place of each axis and an axis of
/// elements at the end. For one axis, `in[.., o, .., k]` is added to `out[.., o * stride + k * dilation - low, ..]`; what falls outside is dropped, and
/// elements in no window are 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unwindow {
    /// How the windows lie.
    pub windows: Windows,
    /// Elements dropped before the first, on each of the axes.
    pub low: Dims,
    /// Extents of the axes in the result.
    pub extents: Dims,
}

impl Unwindow {
    /// The operation on an operand of this shape that drops nothing and has no elements behind the last window.
    pub(crate) fn whole(&self, operand: &Shape) -> Unwindow {
        let axes = self.windows.axes.iter().enumerate();
        Unwindow {
            windows: self.windows.clone(),
            low: Dims::from_elem(0, self.low.len()),
            extents: axes.map(|(i, &axis)| self.windows.covered(i, operand[axis])).collect(),
        }
    }

    /// The result's shape for an operand of this shape.
    pub(crate) fn shape(&self, operand: &Shape) -> Shape {
        let mut shape: Dims = operand[..operand.rank() - self.windows.axes.len()].iter().copied().collect();
        self.windows.axes.iter().zip(&self.extents).for_each(|(&axis, &extent)| shape[axis] = extent);
        shape.iter().copied().collect()
    }
}

impl Primitive for Unwindow {
    fn name(&self) -> &'static str {
        "unwindow"
    }

    fn accepts(name: &str) -> bool {
        name == "unwindow"
    }

    fn attrs(&self) -> Attrs {
        self.windows.attrs().list("low", &self.low)
    }

    fn parse(_: &str, attrs: &mut Attrs, ty: &TensorType) -> Result<Self, AttrError> {
        let windows = Windows::parse(attrs)?;
        let low = attrs.take_list("low", "a list of counts")?;
        // An axis that the result lacks is refused by the shape rule.
        let extents = windows.axes.iter().map(|&a| ty.shape.get(a).copied().unwrap_or(0)).collect();
        Ok(Unwindow { windows, low, extents })
    }

    fn infer(&self, operands: &[&TensorType]) -> Result<TensorType, OpErrorKind> {
        arity(operands, 1)?;
        let TensorType { dtype, shape } = operands[0];
        if *dtype == DType::Bool {
            return Err(OpErrorKind::DType { position: 0, expected: "a number type".to_owned(), actual: *dtype });
        }
        let w = &self.windows;
        let axes = w.axes.len();
        w.check(shape.rank().saturating_sub(axes))?;
        for (attribute, list) in [("low", &self.low), ("extents", &self.extents)] {
            if list.len() != axes {
                return Err(OpErrorKind::AttributeLength { attribute, expected: axes, given: list.len() });
            }
        }
        let rank = shape.rank() - axes;
        if shape[rank..] != w.sizes[..] {
            let expected: Dims = shape[..rank].iter().chain(&w.sizes).copied().collect();
            let expected = expected.iter().copied().collect();
            return Err(OpErrorKind::Shape { position: 0, expected, actual: shape.clone() });
        }
        // Places are computed with numbers of this size.
        let whole = Unwindow {
            windows: w.clone(),
            low: self.low.clone(),
            extents: (0..axes).map(|i| self.windows.covered(i, shape[w.axes[i]]).saturating_add(self.low[i])).collect(),
        };
        let ty = TensorType { dtype: *dtype, shape: whole.shape(shape) };
        if !ty.fits_memory() {
            return Err(OpErrorKind::TooLarge { ty });
        }
        Ok(TensorType { dtype: *dtype, shape: self.shape(shape) })
    }

    /// The windows of the cotangent, with zeros for what was dropped.
    fn vjp(&self, cx: &mut Vjp<'_>) -> Cotangents {
        let ty = cx.operand_ty(0);
        if !ty.dtype.is_float() {
            return Cotangents::from_slice(&[None]);
        }
        if ty.shape.numel() == 0 {
            return Cotangents::from_slice(&[Some(cx.emit.full(&ty, 0.0))]);
        }
        let shape = self.shape(&ty.shape);
        let mut from: Dims<isize> = Dims::from_elem(0, shape.rank());
        let mut len: Dims = shape.iter().copied().collect();
        for (i, &axis) in self.windows.axes.iter().enumerate() {
            from[axis] = -(self.low[i] as isize);
            len[axis] = self.windows.covered(i, ty.shape[axis]);
        }
        let framed = cx.emit.frame(cx.cotangent, &from, &len);
        let g = cx.emit.emit(Window { windows: self.windows.clone() }.into(), &[framed]);
        Cotangents::from_slice(&[Some(g)])
    }

    fn jvp(&self, cx: &mut Jvp<'_>) -> Option<NodeId> {
        cx.linear(self.clone())
    }

    fn batch(&self, cx: &mut Batch<'_>) -> NodeId {
        cx.apply(Unwindow { windows: self.windows.behind_batch(), ..self.clone() })
    }

    fn eval(&self, operands: &[&Array], ty: &TensorType) -> Array {
        /// Adds in `A`.
        fn sum<T: ArrayElement, A: Copy>(
            (op, operand, ty): (&Unwindow, &Array, &TensorType),
            zero: A,
            add: impl Fn(A, T) -> A,
            round: impl Fn(A) -> T,
        ) -> Array {
            // Each axis of windows and each axis of elements leads along one axis of the result.
            let from = operand.shape();
            let strides = ty.shape.strides();
            let mut index: Dims = Dims::from_elem(0, from.rank());
            let mut out = vec![zero; ty.shape.numel()];
            let rank = ty.shape.rank();
            for &x in elements::<T>(operand) {
                let mut place = Some(0);
                for axis in 0..rank {
                    let at = match op.windows.axes.iter().position(|&a| a == axis) {
                        None => Some(index[axis]),
                        Some(i) => {
                            let first = if index[axis] == 0 { 0 } else { index[axis] * op.windows.strides[i] };
                            let at = first + index[rank + i] * op.windows.dilation(i);
                            at.checked_sub(op.low[i]).filter(|&at| at < op.extents[i])
                        }
                    };
                    place = place.zip(at).map(|(place, at)| place + at * strides[axis] as usize);
                }
                if let Some(place) = place {
                    out[place] = add(out[place], x);
                }
                for axis in (0..index.len()).rev() {
                    index[axis] += 1;
                    if index[axis] < from[axis] {
                        break;
                    }
                    index[axis] = 0;
                }
            }
            array(ty, out.into_iter().map(round).collect())
        }
        let this = (self, operands[0], ty);
        match ty.dtype {
            DType::F32 => sum(this, 0.0f64, |s, x: f32| s + f64::from(x), |s| s as f32),
            DType::F64 => sum(this, 0.0f64, |s, x: f64| s + x, |s| s),
            DType::U8 => sum(this, 0u8, |s, x: u8| s.wrapping_add(x), |s| s),
            DType::U32 => sum(this, 0u32, |s, x: u32| s.wrapping_add(x), |s| s),
            DType::I32 => sum(this, 0i32, |s, x: i32| s.wrapping_add(x), |s| s),
            DType::I64 => sum(this, 0i64, |s, x: i64| s.wrapping_add(x), |s| s),
            DType::Bool | DType::F16 | DType::BF16 => panic!("the shape rule refuses {}", ty.dtype),
        }
    }

    fn lowering(&self, _: &[&TensorType], _: &TensorType) -> Lowering {
        Lowering::Expand
    }

    /// Every element of the result gathers its terms: a sum over a view of the padded operand.
    ///
    /// On one axis, with windows `o` of elements `k` a stride `s` apart, write `k * dilation = s (t j) + p`: a window's elements are `steps` of `j` for each
    /// of `phases` of `p`. Then `out[s q + p] = sum over j of in[q - t j, (j, p)]`. With the operand laid out as rows `[(j, p), o]`, each padded with zeros
    /// to the count of `q`, the term is at place `j (phases rows - t) + p rows + q`: where `q - t j` is negative, that is in the zeros of the row before.
    /// Steps of `j` are therefore windows of the flattened rows, and what is summed is a view.
    fn expand(&self, e: &mut dyn Emit, operands: &[NodeId]) -> NodeId {
        let ty = e.ty(operands[0]);
        let result = TensorType { dtype: ty.dtype, shape: self.shape(&ty.shape) };
        if ty.shape.numel() == 0 || result.shape.numel() == 0 {
            return e.full(&result, 0.0);
        }
        let rank = result.shape.rank();
        let apart: Vec<Axis> = (0..self.windows.axes.len()).map(|i| Axis::new(self, i, &ty.shape)).collect();
        // For each axis of the result, its place among the axes of elements and how it is taken apart; `None` for axes without windows.
        let axes: Vec<Option<(usize, &Axis)>> =
            (0..rank).map(|axis| self.windows.axes.iter().position(|&a| a == axis).map(|i| (i, &apart[i]))).collect();
        let padding = |rank: usize| Pad {
            low: Dims::from_elem(0, rank),
            high: Dims::from_elem(0, rank),
            interior: Dims::from_elem(0, rank),
            value: 0.0f64.to_bits(),
        };

        // Rows [(j, p), o], padded to [(j, p), q]; flat where there are steps.
        let mut order = Dims::new();
        let mut pad = padding(ty.shape.rank());
        let mut flat = Dims::new();
        let mut steps = Windows { axes: Dims::new(), sizes: Dims::new(), strides: Dims::new(), dilations: Dims::new() };
        for (axis, x) in axes.iter().enumerate() {
            let Some((i, x)) = x else {
                order.push(axis);
                flat.push(ty.shape[axis]);
                continue;
            };
            pad.interior[order.len()] = x.between;
            pad.high[order.len()] = x.steps * x.phases - x.spread;
            pad.high[order.len() + 1] = x.rows - ty.shape[axis];
            order.extend([rank + i, axis]);
            if x.steps == 1 {
                flat.extend([x.phases, x.rows]);
            } else {
                steps.axes.push(flat.len());
                steps.sizes.push(x.steps);
                steps.strides.push(1);
                steps.dilations.push(x.phases * x.rows - x.skew);
                flat.push(x.steps * x.phases * x.rows);
            }
        }
        let mut y = e.transpose(operands[0], order);
        if pad.high.iter().chain(&pad.interior).any(|&n| n != 0) {
            y = e.emit(pad.into(), &[y]);
        }
        y = e.reshape(y, flat.iter().copied().collect());
        let folded = steps.axes.len();
        if folded > 0 {
            y = e.emit(Window { windows: steps.clone() }.into(), &[y]);
        }

        // Axes [p, q] again, of which only the places that the result has are summed.
        let mut whole = Dims::from_slice(e.graph().shape(y));
        let (mut split, mut from, mut len) = (Dims::new(), Dims::new(), Dims::new());
        let mut at = 0;
        for (axis, x) in axes.iter().enumerate() {
            match x {
                None => {
                    split.push(ty.shape[axis]);
                    from.push(0);
                    len.push(ty.shape[axis]);
                }
                Some((_, x)) => {
                    if x.steps > 1 {
                        whole[at] = x.phases * x.rows;
                    } else {
                        at += 1;
                    }
                    split.extend([x.phases, x.rows]);
                    from.extend([0, x.first as isize]);
                    len.extend([x.phases, x.count]);
                }
            }
            at += 1;
        }
        let places = split.len();
        split.extend(steps.sizes.iter().copied());
        from.extend(std::iter::repeat_n(0, folded));
        len.extend(steps.sizes.iter().copied());
        y = e.frame(y, &Dims::from_elem(0isize, whole.len()), &whole);
        y = e.reshape(y, split.iter().copied().collect());
        y = e.frame(y, &from, &len);
        y = e.sum(y, (places..places + folded).collect());

        // Places [q, p], joined, and put where they belong.
        let (mut order, mut joined) = (Dims::new(), Dims::new());
        let mut spread = padding(rank);
        let mut from: Dims<isize> = Dims::from_elem(0, rank);
        for (axis, x) in axes.iter().enumerate() {
            let at = order.len();
            match x {
                None => {
                    order.push(at);
                    joined.push(ty.shape[axis]);
                }
                Some((_, x)) => {
                    order.extend([at + 1, at]);
                    joined.push(x.count * x.phases);
                    spread.interior[axis] = x.apart - 1;
                    from[axis] = x.low;
                }
            }
        }
        y = e.transpose(y, order);
        y = e.reshape(y, joined.iter().copied().collect());
        if spread.interior.iter().any(|&n| n != 0) {
            y = e.emit(spread.into(), &[y]);
        }
        e.frame(y, &from, &result.shape)
    }
}

/// How [`Unwindow::expand`] takes an axis apart. Its names are those there.
struct Axis {
    /// Count of `j`.
    steps: usize,
    /// Count of `p`.
    phases: usize,
    /// Windows from one step to the next.
    skew: usize,
    /// Count of `q`, as long as each row.
    rows: usize,
    /// Elements put between two elements of a window, so that a place is a step and a phase.
    between: usize,
    /// Elements of a window with those.
    spread: usize,
    /// Distance of two sums in the result.
    apart: usize,
    /// The `q` that are summed.
    first: usize,
    count: usize,
    /// The place of the result's first element, counted from the first sum.
    low: isize,
}

impl Axis {
    fn new(op: &Unwindow, i: usize, operand: &Shape) -> Axis {
        let w = &op.windows;
        let windows = operand[w.axes[i]];
        let stride = if windows == 1 { 1 } else { w.strides[i] };
        let (size, dilation) = (w.sizes[i], w.dilation(i));
        // Whole steps, or else steps and phases.
        let whole = size == 1 || dilation % stride == 0;
        let (between, spread) = if whole { (0, size) } else { (dilation - 1, w.span(i)) };
        let (phases, skew) = if whole { (1, dilation / stride) } else { (stride, 1) };
        let steps = spread.div_ceil(phases);
        let skew = if steps == 1 { 0 } else { skew };
        let rows = windows + (steps - 1) * skew;
        let (low, extent) = (op.low[i], op.extents[i]);
        let first = (low / stride).min(rows - 1);
        let end = (low + extent).div_ceil(stride).clamp(first + 1, rows);
        Axis {
            steps,
            phases,
            skew,
            rows,
            between,
            spread,
            apart: if phases == 1 { stride } else { 1 },
            first,
            count: end - first,
            low: low as isize - (first * stride) as isize,
        }
    }
}
