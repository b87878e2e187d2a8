//! Pooling: windows and a fold.

use crate::array::Array;
use crate::graph::{Dims, OpErrorKind};
use crate::prim::{Reduce, Reduction, Windows};

use super::Tensor;
use super::window::{Layout, Padding, PerAxis, extents, windows};

/// How a pooling goes. The default is windows side by side, no padding, dilation 1, only whole windows and channels first.
///
/// ```
/// use cotangent::prelude::*;
///
/// let g = Builder::new();
/// let x = g.input("x", f32([8, 16, 28, 28]));
/// assert_eq!(x.max_pool(&Pool::new(2)).shape()[..], [8, 16, 14, 14]);
/// assert_eq!(x.avg_pool(&Pool::new([3, 3]).strides(2).padding(1)).shape()[..], [8, 16, 14, 14]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    sizes: PerAxis,
    strides: Option<PerAxis>,
    padding: Padding,
    dilation: PerAxis,
    ceil: bool,
    count_padding: bool,
    layout: Layout,
}

impl Pool {
    /// Windows of this size: a number, or one for each spatial axis.
    pub fn new(sizes: impl Into<PerAxis>) -> Pool {
        Pool {
            sizes: sizes.into(),
            strides: None,
            padding: Padding::Valid,
            dilation: PerAxis::All(1),
            ceil: false,
            count_padding: true,
            layout: Layout::ChannelsFirst,
        }
    }

    /// From one window to the next: a number, or one for each spatial axis. Otherwise the windows' size.
    pub fn strides(self, strides: impl Into<PerAxis>) -> Pool {
        Pool { strides: Some(strides.into()), ..self }
    }

    /// What is around the spatial axes: [`Padding::Same`], a width, or widths or pairs of widths for each spatial axis. Padding never wins a maximum, and
    /// counts as zeros in averages and norms.
    pub fn padding(self, padding: impl Into<Padding>) -> Pool {
        Pool { padding: padding.into(), ..self }
    }

    /// From one element of a window to the next: a number, or one for each spatial axis.
    pub fn dilation(self, dilation: impl Into<PerAxis>) -> Pool {
        Pool { dilation: dilation.into(), ..self }
    }

    /// Whether a last window that reaches beyond the padding is taken too, if it begins before the padding behind: the count of windows is rounded up. So a window
    /// longer than the padded axis is taken if it is so by less than a stride.
    pub fn ceil_mode(self, ceil: bool) -> Pool {
        Pool { ceil, ..self }
    }

    /// Whether averages divide by a count that includes padding, as they do otherwise. What a last window has beyond the padding is never counted.
    pub fn count_include_pad(self, count_padding: bool) -> Pool {
        Pool { count_padding, ..self }
    }

    /// Which axis holds the channels.
    pub fn layout(self, layout: Layout) -> Pool {
        Pool { layout, ..self }
    }

    /// Channels last, [`Layout::ChannelsLast`].
    pub fn channels_last(self) -> Pool {
        self.layout(Layout::ChannelsLast)
    }

    fn geometry(&self, shape: &crate::graph::Shape) -> Result<Geometry, OpErrorKind> {
        let spatial = self.layout.spatial(shape.rank());
        let first = spatial.start;
        let sizes = self.sizes.resolve("window sizes", spatial.len())?;
        let windows = windows(spatial.clone(), &sizes, self.strides.as_ref().unwrap_or(&self.sizes), &self.dilation)?;
        let extents = extents(shape, spatial);
        let padding = self.padding.resolve(&windows, &extents)?;
        let mut counts = Dims::new();
        let mut beyond = Dims::new();
        for (i, &n) in extents.iter().enumerate() {
            let (span, (low, high)) = (windows.span(i), padding[i]);
            if low >= span || high >= span {
                let text = format!("padding {:?} makes windows of {span} elements that hold nothing else", padding[i]);
                return Err(OpErrorKind::Other(text));
            }
            let padded = n.saturating_add(low).saturating_add(high);
            let count = windows.pooled(i, padded, n.saturating_add(low), self.ceil);
            if count == 0 {
                return Err(OpErrorKind::Window { axis: windows.axes[i], span, extent: padded });
            }
            counts.push(count);
            beyond.push(windows.covered(i, count).saturating_sub(padded));
        }
        Ok(Geometry { first, windows, extents, padding, counts, beyond })
    }
}

/// A pooling whose shapes fit.
struct Geometry {
    /// The first spatial axis.
    first: usize,
    windows: Windows,
    /// Extents of the spatial axes, and what is put around them.
    extents: Dims,
    padding: Dims<(usize, usize)>,
    /// Counts of windows.
    counts: Dims,
    /// What the last windows have beyond the padding.
    beyond: Dims,
}

impl Geometry {
    /// For each window of spatial axis `i`, how many of its elements are there, or in the padding too.
    fn sizes(&self, i: usize, with_padding: bool) -> Vec<usize> {
        let (low, high) = self.padding[i];
        let inside = if with_padding { 0..low + self.extents[i] + high } else { low..low + self.extents[i] };
        let places = |o: usize| {
            let place = move |k: usize| o * self.windows.strides[i] + k * self.windows.dilations[i];
            (0..self.windows.sizes[i]).map(place)
        };
        (0..self.counts[i]).map(|o| places(o).filter(|at| inside.contains(at)).count()).collect()
    }
}

impl<'g> Tensor<'g> {
    /// The windows of a pooling, with `fill` around, their elements on the last axes.
    #[track_caller]
    fn pooled(self, op: &'static str, options: &Pool, fill: f64) -> (Tensor<'g>, Geometry) {
        let geometry = match options.geometry(&self.shape()) {
            Ok(geometry) => geometry,
            Err(kind) => self.refuse(op, &[], kind),
        };
        let widths = geometry.padding.iter().zip(&geometry.beyond).map(|(&(low, high), &beyond)| (low, high + beyond));
        let widths: Dims<(usize, usize)> = widths.collect();
        let padded = self.pad_spatial(geometry.first, &widths, fill);
        (padded.windows(op, geometry.windows.clone()), geometry)
    }

    /// Folds the elements of windows.
    #[track_caller]
    fn fold_windows(self, reduction: Reduction, geometry: &Geometry) -> Tensor<'g> {
        let axes = (self.rank() - geometry.extents.len()..self.rank()).collect();
        self.builder.push(Reduce { reduction, axes }, &[self])
    }

    /// The largest element of each window over the spatial axes, of which there may be any number; for `bool`, whether any holds. A NaN wins. As in
    /// [`Tensor::max`], equal elements of a window share the cotangent. Padding never wins: it is -inf, the least integer or false.
    ///
    /// # Panics
    /// If there is no spatial axis, a window is longer than the padded axis, padding is as long as a window, or options do not fit the count of axes.
    #[track_caller]
    pub fn max_pool(self, options: &Pool) -> Tensor<'g> {
        let _scope = self.builder.scope("max_pool", &[self]);
        let fill = Reduction::Max.neutral(self.dtype());
        let (windows, geometry) = self.pooled("max_pool", options, fill);
        windows.fold_windows(Reduction::Max, &geometry)
    }

    /// The mean of each window over the spatial axes, of which there may be any number. Whether padding counts, [`Pool::count_include_pad`] says.
    ///
    /// # Panics
    /// As [`Tensor::max_pool`], or if the element type is not a float type.
    #[track_caller]
    pub fn avg_pool(self, options: &Pool) -> Tensor<'g> {
        let _scope = self.builder.scope("avg_pool", &[self]);
        self.expect_float("avg_pool");
        let (windows, geometry) = self.pooled("avg_pool", options, 0.0);
        let sum = windows.fold_windows(Reduction::Sum, &geometry);
        // Windows at the edges may have fewer elements.
        let axes = 0..geometry.extents.len();
        let sizes: Vec<Vec<usize>> = axes.map(|i| geometry.sizes(i, options.count_padding)).collect();
        if sizes.iter().all(|of_axis| of_axis.windows(2).all(|w| w[0] == w[1])) {
            let size: usize = sizes.iter().map(|of_axis| of_axis.first().copied().unwrap_or(1)).product();
            return sum / size as f64;
        }
        let mut product = vec![1.0];
        for of_axis in &sizes {
            product = product.iter().flat_map(|&p| of_axis.iter().map(move |&n| p * n as f64)).collect();
        }
        let mut shape: Dims = Dims::from_elem(1, self.rank());
        shape[geometry.first..geometry.first + sizes.len()].copy_from_slice(&geometry.counts);
        let sizes = Array::new(&shape[..], product).expect("there is a count for each window");
        sum / self.builder.constant(sizes).cast(self.dtype())
    }

    /// The norm `(sum |x|^p)^(1/p)` of each window over the spatial axes, of which there may be any number; the largest magnitude for infinite `p`. The
    /// derivative of the norm of a window of zeros is 0.
    ///
    /// # Panics
    /// As [`Tensor::max_pool`], or if the element type is not a float type, or `p` is less than 1 or NaN.
    #[track_caller]
    pub fn lp_pool(self, p: f64, options: &Pool) -> Tensor<'g> {
        let _scope = self.builder.scope("lp_pool", &[self]);
        self.expect_float("lp_pool");
        if p.is_nan() || p < 1.0 {
            self.refuse("lp_pool", &[], OpErrorKind::Other(format!("the order {p} of a norm is less than 1")));
        }
        let powers = match p {
            1.0 | f64::INFINITY => self.abs(),
            2.0 => self.square(),
            _ => self.abs().pow(p),
        };
        let (windows, geometry) = powers.pooled("lp_pool", options, 0.0);
        if p == f64::INFINITY {
            return windows.fold_windows(Reduction::Max, &geometry);
        }
        let sum = windows.fold_windows(Reduction::Sum, &geometry);
        if p == 1.0 {
            return sum;
        }
        // The root is not taken of 0, where its derivative is infinite.
        let positive = sum.ne(0.0);
        let safe = positive.select(sum, 1.0);
        let root = if p == 2.0 { safe.sqrt() } else { safe.pow(1.0 / p) };
        positive.select(root, 0.0)
    }

    /// The largest element over all spatial axes, which stay with extent 1.
    ///
    /// # Panics
    /// If there is no spatial axis, or one without elements.
    #[track_caller]
    pub fn global_max_pool(self, layout: Layout) -> Tensor<'g> {
        let _scope = self.builder.scope("global_max_pool", &[self]);
        let axes = self.spatial_axes("global_max_pool", layout);
        self.max_keep(&axes[..])
    }

    /// The mean over all spatial axes, which stay with extent 1; NaN if there are no elements.
    ///
    /// # Panics
    /// If there is no spatial axis, or the element type is not a float type.
    #[track_caller]
    pub fn global_avg_pool(self, layout: Layout) -> Tensor<'g> {
        let _scope = self.builder.scope("global_avg_pool", &[self]);
        self.expect_float("global_avg_pool");
        let axes = self.spatial_axes("global_avg_pool", layout);
        self.mean_keep(&axes[..])
    }

    /// Means of as many parts of each spatial axis as asked for: part `i` of `m` of an axis of extent `n` begins at `i n / m`, rounded down, and ends at
    /// `(i + 1) n / m`, rounded up, as in PyTorch. Parts may overlap by one element.
    ///
    /// # Panics
    /// If there is no spatial axis or one without elements, sizes do not fit the count of axes, or the element type is not a float type.
    #[track_caller]
    pub fn adaptive_avg_pool(self, sizes: impl Into<PerAxis>, layout: Layout) -> Tensor<'g> {
        let op = "adaptive_avg_pool";
        let _scope = self.builder.scope(op, &[self]);
        self.expect_float(op);
        let axes = self.spatial_axes(op, layout);
        let sizes = match sizes.into().resolve("sizes", axes.len()) {
            Ok(sizes) => sizes,
            Err(kind) => self.refuse(op, &[], kind),
        };
        let mut y = self;
        for (&axis, &parts) in axes.iter().zip(&sizes) {
            let extent = y.shape()[axis as usize];
            if extent == 0 {
                self.refuse(op, &[], OpErrorKind::Other(format!("axis {axis} has no elements")));
            }
            let part = |i: usize| (i * extent / parts, ((i + 1) * extent).div_ceil(parts));
            let longest = (0..parts).map(|i| part(i).1 - part(i).0).max().unwrap_or(1);
            // Each part as a row of places, those behind its end out of range.
            let mut places = Vec::with_capacity(parts * longest);
            let mut counts = Vec::with_capacity(parts);
            for (begin, end) in (0..parts).map(part) {
                places.extend((begin..begin + longest).map(|at| if at < end { at as i64 } else { -1 }));
                counts.push((end - begin) as f64);
            }
            let places = Array::new([parts, longest], places).expect("each part has a row");
            let taken = y.take_or_zero(self.builder.constant(places), axis as usize);
            let mut shape: Dims = Dims::from_elem(1, self.rank());
            shape[axis as usize] = parts;
            let counts = Array::new(&shape[..], counts).expect("each part has a count");
            y = taken.sum_over(axis + 1) / self.builder.constant(counts).cast(self.dtype());
        }
        y
    }

    /// The spatial axes, of which there must be one.
    #[track_caller]
    pub(super) fn spatial_axes(self, op: &'static str, layout: Layout) -> Dims<isize> {
        let axes: Dims<isize> = layout.spatial(self.rank()).map(|axis| axis as isize).collect();
        if axes.is_empty() {
            let text = "takes an axis of examples, one of channels and at least one more".to_owned();
            self.refuse(op, &[], OpErrorKind::Other(text));
        }
        axes
    }
}
