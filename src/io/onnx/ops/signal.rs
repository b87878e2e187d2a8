//! Signals: windows and Fourier transforms.

use std::f64::consts::TAU;

use crate::array::Array;
use crate::build::Tensor;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, concat};
use super::super::error::{Fault, invalid};
use super::super::node::{Node, Results, axis_of, count_of, dtype_of, one};
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("HannWindow", 17, |node| window(node, &[0.5, -0.5])),
    op("HammingWindow", 17, |node| window(node, &[25.0 / 46.0, -21.0 / 46.0])),
    op("BlackmanWindow", 17, |node| window(node, &[0.42, -0.5, 0.08])),
    op("DFT", 17, dft),
    op("STFT", 17, stft),
    op("MelWeightMatrix", 17, mel_weight_matrix),
];

/// The longest window and the longest transform.
const LONGEST: usize = 1 << 12;

fn length(n: i64) -> Result<usize, Fault> {
    match count_of(n)? {
        n if n <= LONGEST => Ok(n),
        n => invalid(format!("a length of {n} is too large")),
    }
}

/// A sum of cosines over a period. A symmetric window of one element is 1, as in NumPy and PyTorch: the formula has no value for it.
fn window<'g>(node: &Node<'_, 'g>, weights: &[f64]) -> Results<'g> {
    let size = node.known_ints(0)?;
    let [size] = size[..] else { return invalid("takes one length") };
    let n = length(size)?;
    let dtype = dtype_of(node.int("output_datatype", 1)?)?;
    let period = if node.flag("periodic", true)? { n as f64 } else { n as f64 - 1.0 };
    let at = |i: usize| -> f64 {
        if period == 0.0 {
            return 1.0;
        }
        let cosine = |(k, w): (usize, &f64)| w * (TAU * k as f64 * i as f64 / period).cos();
        weights.iter().enumerate().map(cosine).sum()
    };
    one(node.g().constant(Array::from((0..n).map(at).collect::<Vec<f64>>())).to(dtype))
}

/// The transforms of frames of a signal, `[batch, length]` or with a last axis of real numbers or pairs, each times a window.
fn stft<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let x = if x.rank() == 2 { x.unsqueezed(2)? } else { x };
    let &[batch, extent, parts] = &x.shape()[..] else { return invalid(format!("{} is no signal", x.ty())) };
    let number = |i: usize| -> Result<Option<usize>, Fault> {
        match node.known_ints_optional(i)?.as_deref() {
            None => Ok(None),
            Some(&[n]) => Ok(Some(length(n)?)),
            Some(_) => invalid(format!("operand {i} is no number")),
        }
    };
    let Some(step) = number(1)?.filter(|&step| step > 0) else { return invalid("the step of frames is missing or 0") };
    let window = node.optional(2)?;
    let own = window.map(|window| window.shape().numel());
    let Some(n) = number(3)?.or(own).filter(|&n| n > 0) else { return invalid("the length of frames is missing or 0") };
    if extent < n || !(1..=2).contains(&parts) || n > LONGEST {
        return invalid(format!("frames of {n} elements do not fit {}", x.ty()));
    }
    let one_of = |n| crate::graph::Dims::from_elem(n, 1);
    let windows =
        crate::prim::Windows { axes: one_of(1), sizes: one_of(n), strides: one_of(step), dilations: one_of(1) };
    // [batch, frames, parts, n]
    let mut frames = x.push1(crate::prim::Window { windows })?;
    if let Some(window) = window {
        if window.shape()[..] != [n] {
            return invalid(format!("the window {} is not as long as a frame, {n}", window.ty()));
        }
        frames = frames.f2(ScalarFn::Mul, window.to(x.dtype())?)?;
    }
    let one_sided = node.flag("onesided", true)?;
    if one_sided && parts == 2 {
        return invalid("one side of a transform of complex numbers");
    }
    let results = if one_sided { n / 2 + 1 } else { n };
    let matrix = |f: fn(f64) -> f64| -> Made<'g> {
        let entry = |i: usize, k: usize| f(-TAU * ((i * k) % n) as f64 / n as f64);
        let entries = (0..n).flat_map(|i| (0..results).map(move |k| (i, k))).map(|(i, k)| entry(i, k));
        let matrix = Array::new([n, results], entries.collect::<Vec<f64>>());
        node.g().constant(matrix.map_err(|e| Fault::Invalid(e.to_string()))?).to(x.dtype())
    };
    let (cos, sin) = (matrix(f64::cos)?, matrix(f64::sin)?);
    let re = frames.at(2, 0)?;
    let (mut real, mut imaginary) = (re.product(cos)?, re.product(sin)?);
    if parts == 2 {
        let im = frames.at(2, 1)?;
        real = real.f2(ScalarFn::Sub, im.product(sin)?)?;
        imaginary = imaginary.f2(ScalarFn::Add, im.product(cos)?)?;
    }
    let count = real.shape()[1];
    let y = concat(&[real.unsqueezed(3)?, imaginary.unsqueezed(3)?], 3)?;
    one(y.shaped([batch, count, results, 2]))
}

/// Weights that gather a spectrum's lines into bands that are equally wide on the mel scale, as triangles.
fn mel_weight_matrix<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let number = |i: usize| -> Result<f64, Fault> {
        match &node.known(i)? {
            array if array.shape().numel() == 1 => Ok(array.get_f64(0)),
            array => invalid(format!("operand {i} is {}, expected one number", array.ty())),
        }
    };
    let [bands, size, rate, low, high] = [number(0)?, number(1)?, number(2)?, number(3)?, number(4)?];
    let is_count = |n: f64| (1.0..=(1 << 16) as f64).contains(&n);
    if !is_count(bands) || !is_count(size) || rate.is_nan() || rate <= 0.0 || !(low >= 0.0 && high >= low) {
        return invalid(format!("no {bands} bands from {low} to {high} Hz of a transform of {size} at {rate} Hz"));
    }
    let dtype = dtype_of(node.int("output_datatype", 1)?)?;
    let (bands, size) = (bands as usize, size as usize);
    let lines = size / 2 + 1;
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let step = (mel(high) - mel(low)) / (bands as f64 + 2.0);
    let line = |i: usize| {
        let hertz = 700.0 * (10f64.powf((i as f64 * step + mel(low)) / 2595.0) - 1.0);
        ((size as f64 + 1.0) * hertz / rate).floor().max(0.0) as usize
    };
    let bins: Vec<usize> = (0..bands + 2).map(line).collect();
    let mut weights = vec![0.0f64; lines * bands];
    for band in 0..bands {
        let (from, centre, to) = (bins[band], bins[band + 1], bins[band + 2]);
        let mut set = |at: usize, weight: f64| {
            if at < lines {
                weights[at * bands + band] = weight;
            }
        };
        if from == centre {
            set(centre, 1.0);
        } else {
            (from..=centre.min(lines)).for_each(|at| set(at, (at - from) as f64 / (centre - from) as f64));
        }
        if to > centre {
            (centre..to.min(lines)).for_each(|at| set(at, (to - at) as f64 / (to - centre) as f64));
        }
    }
    let weights = Array::new([lines, bands], weights).map_err(|e| Fault::Invalid(e.to_string()))?;
    one(node.g().constant(weights).to(dtype))
}

/// The discrete Fourier transform of an axis as a product with its matrix; numbers are pairs along the last axis, or real.
fn dft<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let rank = x.rank();
    if rank < 2 {
        return invalid(format!("{} has no axis to transform", x.ty()));
    }
    let axis = match node.version {
        ..20 => node.axis("axis", 1, rank)?,
        _ => match node.known_ints_optional(2)? {
            Some(axis) if axis.len() == 1 => axis_of(axis[0], rank)?,
            Some(_) => return invalid("takes one axis"),
            None => axis_of(-2, rank)?,
        },
    };
    let parts = x.shape()[rank - 1];
    if axis == rank - 1 || !(1..=2).contains(&parts) {
        return invalid(format!("axis {axis} of {} cannot be transformed", x.ty()));
    }
    let (inverse, one_sided) = (node.flag("inverse", false)?, node.flag("onesided", false)?);
    let extent = x.shape()[axis];
    let given = match node.known_ints_optional(1)? {
        Some(n) if n.len() == 1 => Some(length(n[0])?),
        Some(_) => return invalid("takes one length"),
        None => None,
    };
    // From one side only, the inverse makes real numbers of what a transform of real numbers left out.
    let restores = inverse && one_sided;
    let n = given.unwrap_or(if restores { 2 * extent.saturating_sub(1) } else { extent });
    if n == 0 || n > LONGEST {
        return invalid(format!("a transform of {n} elements"));
    }
    let taken = if restores { n / 2 + 1 } else { n };
    let mut x = x;
    if extent > taken {
        x = x.part(axis, 0, taken)?;
    } else {
        let mut widths = vec![(0, 0); rank];
        widths[axis] = (0, taken - extent);
        x = x.padded(&widths, 0.0)?;
    }
    let results = if one_sided && !inverse { n / 2 + 1 } else { n };
    let sign = if inverse { 1.0 } else { -1.0 };
    let scale = if inverse { 1.0 / n as f64 } else { 1.0 };
    let matrix = |f: fn(f64) -> f64| -> Made<'g> {
        let entry = |i: usize, k: usize| {
            // The half that is left out is the conjugate of the other.
            let twice = if restores && i != 0 && 2 * i != n { 2.0 } else { 1.0 };
            twice * scale * f(sign * TAU * ((i * k) % n) as f64 / n as f64)
        };
        let entries: Vec<f64> =
            (0..taken).flat_map(|i| (0..results).map(move |k| (i, k))).map(|(i, k)| entry(i, k)).collect();
        let matrix = Array::new([taken, results], entries).map_err(|e| Fault::Invalid(e.to_string()))?;
        node.g().constant(matrix).to(x.dtype())
    };
    let (cos, sin) = (matrix(f64::cos)?, matrix(f64::sin)?);
    let last = rank - 2;
    let transformed = |x: Tensor<'g>, by: Tensor<'g>| x.moved(axis, last)?.product(by)?.moved(last, axis);
    let re = x.at(rank - 1, 0)?;
    let (mut real, mut imaginary) = (transformed(re, cos)?, transformed(re, sin)?);
    if parts == 2 {
        let im = x.at(rank - 1, 1)?;
        real = real.f2(ScalarFn::Sub, transformed(im, sin)?)?;
        imaginary = imaginary.f2(ScalarFn::Add, transformed(im, cos)?)?;
    }
    if restores {
        return one(real.unsqueezed(rank - 1));
    }
    one(concat(&[real.unsqueezed(rank - 1)?, imaginary.unsqueezed(rank - 1)?], rank - 1))
}
