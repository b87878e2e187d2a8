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
];

/// The longest window and the longest transform.
const LONGEST: usize = 1 << 12;

fn length(n: i64) -> Result<usize, Fault> {
    match count_of(n)? {
        n if n <= LONGEST => Ok(n),
        n => invalid(format!("a length of {n} is too large")),
    }
}

/// A sum of cosines over a period.
fn window<'g>(node: &Node<'_, 'g>, weights: &[f64]) -> Results<'g> {
    let size = node.known_ints(0)?;
    let [size] = size[..] else { return invalid("takes one length") };
    let n = length(size)?;
    let dtype = dtype_of(node.int("output_datatype", 1)?)?;
    let period = if node.flag("periodic", true)? { n as f64 } else { n as f64 - 1.0 };
    let at = |i: usize| -> f64 {
        let cosine = |(k, w): (usize, &f64)| w * (TAU * k as f64 * i as f64 / period).cos();
        weights.iter().enumerate().map(cosine).sum()
    };
    one(node.g().constant(Array::from((0..n).map(at).collect::<Vec<f64>>())).to(dtype))
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
