//! Normalizations, attention, losses.

use crate::build::Tensor;
use crate::graph::Dims;
use crate::prim::Reduction;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, count_of, one};
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("BatchNormalization", 1, batch_normalization).ignoring(&["is_test", "momentum"]),
    op("InstanceNormalization", 1, instance_normalization),
    op("LayerNormalization", 17, layer_normalization),
    op("GroupNormalization", 18, group_normalization),
    op("RMSNormalization", 23, rms_normalization),
    // As onnxruntime writes it, in ONNX's own domain.
    op("SimplifiedLayerNormalization", 1, rms_normalization),
    op("MeanVarianceNormalization", 9, mean_variance_normalization),
    op("LpNormalization", 1, lp_normalization),
    op("LRN", 1, lrn),
];

/// One number for each channel, along axis 1.
pub(super) fn by_channel<'g>(v: Tensor<'g>, x: Tensor<'g>) -> Made<'g> {
    let shape = x.shape();
    let channels = if shape.rank() < 2 { 1 } else { shape[1] };
    if v.shape()[..] != [channels] {
        return invalid(format!("{} is not one number for each of {channels} channels", v.ty()));
    }
    if shape.rank() < 2 {
        return Ok(v);
    }
    let mut extents = vec![1; shape.rank() - 1];
    extents[0] = channels;
    v.shaped(extents)
}

/// `(x - mean) / sqrt(variance + eps)`.
fn standardize<'g>(x: Tensor<'g>, mean: Tensor<'g>, variance: Tensor<'g>, eps: f64) -> Made<'g> {
    x.f2(ScalarFn::Sub, mean)?.f2(ScalarFn::Mul, variance.with(ScalarFn::Add, eps)?.f(ScalarFn::Rsqrt)?)
}

/// The mean over axes, which are kept.
fn mean<'g>(x: Tensor<'g>, axes: &[usize]) -> Made<'g> {
    let shape = x.shape();
    let count: usize = axes.iter().map(|&a| shape[a]).product();
    x.fold(Reduction::Sum, axes, true)?.with(ScalarFn::Div, count as f64)
}

/// Mean and variance over axes, which are kept.
pub(super) fn moments<'g>(x: Tensor<'g>, axes: &[usize]) -> Result<(Tensor<'g>, Tensor<'g>), Fault> {
    let signed: Dims<isize> = axes.iter().map(|&a| a as isize).collect();
    Ok((mean(x, axes)?, x.variance_keep(&signed[..], 0)))
}

fn batch_normalization<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    if x.rank() < 1 {
        return invalid("the operand is a scalar");
    }
    let eps = node.float("epsilon", 1e-5f32 as f64)?;
    let momentum = node.float("momentum", 0.9f32 as f64)?;
    // Before version 9, there may be one of each number for each place, instead of for each channel.
    let each = node.version < 9 && !node.flag("spatial", true)?;
    if node.version < 7 && !node.flag("is_test", false)? {
        return unsupported("training mode of versions before 14");
    }
    let training = node.version >= 14 && node.flag("training_mode", false)?;
    // The statistics may have more precision than what they scale.
    let (dtype, x) = (x.dtype(), x.wide()?);
    let numbers = |i: usize| match node.float_input(i)? {
        v if each && v.shape()[..] == x.shape()[1..] => v.to(x.dtype()),
        v if each => invalid(format!("{} is not one number for each place of {}", v.ty(), x.ty())),
        v => by_channel(v, x)?.to(x.dtype()),
    };
    let vectors: Result<Vec<Tensor<'g>>, Fault> = (1..5).map(numbers).collect();
    let [gain, bias, mean, variance] = vectors?[..] else { return invalid("takes five operands") };
    let scaled = |x: Tensor<'g>| x.f2(ScalarFn::Mul, gain)?.f2(ScalarFn::Add, bias)?.to(dtype);
    if !training {
        let y = scaled(standardize(x, mean, variance, eps)?)?;
        // Results of training, which older versions list, are not used in inference.
        if (1..5).any(|i| node.wants(i)) {
            return unsupported("training mode of versions before 14");
        }
        return one(Ok(y));
    }
    let axes: Dims = (0..x.rank()).filter(|&a| a != 1).collect();
    let (batch_mean, batch_variance) = moments(x, &axes)?;
    let y = scaled(standardize(x, batch_mean, batch_variance, eps)?)?;
    let running = |old: usize, new: Tensor<'g>| {
        let old = node.input(old)?;
        let new = new.shaped(old.shape())?.to(old.dtype())?.with(ScalarFn::Mul, 1.0 - momentum)?;
        old.with(ScalarFn::Mul, momentum)?.f2(ScalarFn::Add, new)
    };
    Ok(vec![y.into(), running(3, batch_mean)?.into(), running(4, batch_variance)?.into()])
}

fn instance_normalization<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    if x.rank() < 3 {
        return invalid(format!("{} has no spatial axes", x.ty()));
    }
    let axes: Dims = (2..x.rank()).collect();
    let (mean, variance) = moments(x, &axes)?;
    let y = standardize(x, mean, variance, node.float("epsilon", 1e-5f32 as f64)?)?;
    let (gain, bias) = (by_channel(node.input(1)?, x)?, by_channel(node.input(2)?, x)?);
    one(y.f2(ScalarFn::Mul, gain)?.f2(ScalarFn::Add, bias))
}

fn layer_normalization<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let from = node.axis("axis", -1, x.rank())?;
    let eps = node.float("epsilon", 1e-5f32 as f64)?;
    node.int("stash_type", 1)?;
    let axes: Dims = (from..x.rank()).collect();
    let wide = x.wide()?;
    let (mean, variance) = moments(wide, &axes)?;
    let inverse = variance.with(ScalarFn::Add, eps)?.f(ScalarFn::Rsqrt)?;
    let mut y = wide.f2(ScalarFn::Sub, mean)?.f2(ScalarFn::Mul, inverse)?.to(x.dtype())?;
    y = affine(y, node.input(1)?, node.optional(2)?)?;
    Ok(vec![y.into(), mean.into(), inverse.into()])
}

/// Times the gain plus the bias, which broadcast to the tensor.
pub(super) fn affine<'g>(x: Tensor<'g>, gain: Tensor<'g>, bias: Option<Tensor<'g>>) -> Made<'g> {
    let y = x.f2(ScalarFn::Mul, gain)?;
    let y = bias.map_or(Ok(y), |bias| y.f2(ScalarFn::Add, bias))?;
    if y.shape() == x.shape() { Ok(y) } else { invalid(format!("{} does not broadcast to {}", gain.ty(), x.ty())) }
}

/// Gain and bias are one for each group before version 21, from then on one for each channel.
fn group_normalization<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let shape = x.shape();
    if shape.rank() < 2 {
        return invalid(format!("{} has no channels", x.ty()));
    }
    let groups = count_of(node.int("num_groups", 0)?)?;
    if groups == 0 || shape[1] % groups != 0 {
        return invalid(format!("{} channels do not fall into {groups} groups", shape[1]));
    }
    node.int("stash_type", 1)?;
    let grouped: Vec<usize> =
        [shape[0], groups, shape[1] / groups].into_iter().chain(shape[2..].iter().copied()).collect();
    let wide = x.wide()?.shaped(grouped)?;
    let axes: Dims = (2..wide.rank()).collect();
    let (mean, variance) = moments(wide, &axes)?;
    let y = standardize(wide, mean, variance, node.float("epsilon", 1e-5f32 as f64)?)?.to(x.dtype())?;
    let vectors = [node.input(1)?, node.input(2)?];
    if node.version < 21 {
        let [gain, bias] = [by_channel(vectors[0], y)?, by_channel(vectors[1], y)?];
        return one(y.f2(ScalarFn::Mul, gain)?.f2(ScalarFn::Add, bias)?.shaped(shape));
    }
    let y = y.shaped(shape)?;
    one(y.f2(ScalarFn::Mul, by_channel(vectors[0], y)?)?.f2(ScalarFn::Add, by_channel(vectors[1], y)?))
}

fn rms_normalization<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let from = node.axis("axis", -1, x.rank())?;
    let eps = node.float("epsilon", 1e-5f32 as f64)?;
    node.int("stash_type", 1)?;
    let axes: Dims = (from..x.rank()).collect();
    let wide = x.wide()?;
    let square = mean(wide.f2(ScalarFn::Mul, wide)?, &axes)?;
    let inverse = square.with(ScalarFn::Add, eps)?.f(ScalarFn::Rsqrt)?;
    let y = wide.f2(ScalarFn::Mul, inverse)?.to(x.dtype())?;
    Ok(vec![affine(y, node.input(1)?, None)?.into(), inverse.into()])
}

fn mean_variance_normalization<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let axes = node.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    let axes = super::super::node::axes_of(&axes, x.rank())?;
    let (mean, variance) = moments(x, &axes)?;
    // The function's body adds a small number to the deviation.
    let deviation = variance.f(ScalarFn::Sqrt)?.with(ScalarFn::Add, 1e-9)?;
    one(x.f2(ScalarFn::Sub, mean)?.f2(ScalarFn::Div, deviation))
}

fn lp_normalization<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let axis = node.axis("axis", -1, x.rank())?;
    let norm = match node.int("p", 2)? {
        1 => x.f(ScalarFn::Abs)?.fold(Reduction::Sum, &[axis], true)?,
        2 => x.norm_keep(axis as isize, 2.0),
        p => return invalid(format!("the norm is {p}, expected 1 or 2")),
    };
    // A row of zeros stays one.
    let zero = norm.with(ScalarFn::Eq, 0.0)?;
    one(x.f2(ScalarFn::Div, zero.choose(norm.number(1.0), norm)?))
}

/// Each channel is divided by a power of the sum of squares of its neighbours. The window reaches `(size - 1) / 2` before and the rest behind.
fn lrn<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let shape = x.shape();
    let size = count_of(node.int("size", 0)?)?;
    if shape.rank() < 2 || size == 0 || size > 1 << 20 {
        return invalid(format!("a window of {size} channels does not fit {}", x.ty()));
    }
    let (alpha, beta) = (node.float("alpha", 1e-4f32 as f64)?, node.float("beta", 0.75)?);
    let bias = node.float("bias", 1.0)?;
    let mut widths: Dims<(usize, usize)> = Dims::from_elem((0, 0), shape.rank());
    widths[1] = ((size - 1) / 2, size / 2);
    let squares = x.f2(ScalarFn::Mul, x)?.padded(&widths, 0.0)?;
    let one_of = |n| Dims::from_elem(n, 1);
    let windows =
        crate::prim::Windows { axes: one_of(1), sizes: one_of(size), strides: one_of(1), dilations: one_of(1) };
    let sums = squares.push1(crate::prim::Window { windows })?.fold(Reduction::Sum, &[shape.rank()], false)?;
    let scale = sums.with(ScalarFn::Mul, alpha / size as f64)?.with(ScalarFn::Add, bias)?.with(ScalarFn::Pow, beta)?;
    one(x.f2(ScalarFn::Div, scale))
}
