//! Convolution whose kernel looks at places that offsets move.

use smallvec::SmallVec;

use crate::build::Tensor;
use crate::graph::{DType, Dims};
use crate::prim::Dot;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made};
use super::super::error::{Fault, invalid};
use super::super::node::{Node, Results, count_of, one, tensor_type};
use super::norm::by_channel;
use super::sample::{Tap, sampled};
use super::shape::places;
use super::window::{Geometry, MAX_WINDOWS, geometry, kernel_shape};
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[op("DeformConv", 19, deform_conv)];

/// The neighbours of places along an axis, for linear interpolation: floats and their weights.
fn neighbours<'g>(place: Tensor<'g>) -> Result<Vec<Tap<'g>>, Fault> {
    let first = place.f(ScalarFn::Floor)?;
    let ratio = place.f2(ScalarFn::Sub, first)?;
    let rest = ratio.number(1.0).f2(ScalarFn::Sub, ratio)?;
    let next = first.with(ScalarFn::Add, 1.0)?;
    Ok(vec![(first.to(DType::I64)?, Some(rest)), (next.to(DType::I64)?, Some(ratio))])
}

/// Where a kernel without offsets looks along axis `i`: `[kernel, places]`, both flat.
fn regular<'g>(node: &Node<'_, 'g>, geometry: &Geometry, i: usize, dtype: DType) -> Made<'g> {
    let Geometry { windows, padding, counts, .. } = geometry;
    let along = |extents: &[usize], step: usize| {
        let flat: usize = extents.iter().product();
        places(node, tensor_type(dtype, extents)?, i)?.with(ScalarFn::Mul, step as f64)?.shaped([flat])
    };
    let in_kernel = along(&windows.sizes, windows.dilations[i])?.unsqueezed(1)?;
    let of_place = along(counts, windows.strides[i])?.with(ScalarFn::Sub, padding[i].0 as f64)?;
    in_kernel.f2(ScalarFn::Add, of_place)
}

fn deform_conv<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, w, offset) = (node.float_input(0)?, node.float_input(1)?, node.float_input(2)?);
    if x.dtype() != w.dtype() || x.dtype() != offset.dtype() {
        return invalid(format!("{}, {} and {} are not of one type", x.ty(), w.ty(), offset.ty()));
    }
    let kernel = kernel_shape(node, &w.shape())?;
    let (shape, of_weight) = (x.shape(), w.shape());
    let geometry = geometry(node, &shape, &kernel, false)?;
    let (groups, offset_groups) = (count_of(node.int("group", 1)?)?, count_of(node.int("offset_group", 1)?)?);
    let (batch, channels, filters) = (shape[0], shape[1], of_weight[0]);
    let divides = |n: usize, of: usize| n > 0 && of.is_multiple_of(n);
    if !divides(groups, channels) || !divides(groups, filters) || of_weight[1] != channels / groups {
        return invalid(format!("{channels} channels, a weight of shape {of_weight} and {groups} groups do not fit"));
    }
    if !divides(offset_groups, channels) {
        return invalid(format!("{channels} channels do not fall into {offset_groups} groups of offsets"));
    }
    if shape[2..].contains(&0) {
        return invalid(format!("{} has no elements to look at", x.ty()));
    }
    let axes = kernel.len();
    let (taken, points) = (kernel.iter().product::<usize>(), geometry.counts.iter().product::<usize>());
    let corners = 1usize.checked_shl(axes as u32).unwrap_or(usize::MAX);
    let all = [batch, channels.max(filters), taken, points, corners].into_iter().fold(1, usize::saturating_mul);
    if axes > 4 || all > MAX_WINDOWS {
        return invalid(format!("{axes} axes, or all places of the kernel together, are too many"));
    }
    let expect = |what: &str, given: Tensor<'g>, each: usize| {
        let wanted: Dims = [batch, offset_groups * taken * each].into_iter().chain(geometry.counts.clone()).collect();
        if given.shape()[..] == wanted[..] {
            return given.wide()?.shaped([batch * offset_groups, taken, each, points]);
        }
        invalid(format!("{what} of {} where {wanted:?} is expected", given.ty()))
    };
    let offset = expect("offsets", offset, axes)?;
    let mut taps = Vec::new();
    for i in 0..axes {
        let place = offset.at(2, i)?.f2(ScalarFn::Add, regular(node, &geometry, i, offset.dtype())?)?;
        taps.push(neighbours(place.shaped([batch * offset_groups, taken * points])?)?);
    }
    let (own, inner) = (channels / offset_groups, shape[2..].iter().product::<usize>());
    let rows = x.shaped([batch * offset_groups, own, inner])?.permute(&[0, 2, 1])?;
    let mut seen = sampled(rows, &taps, &geometry.extents)?;
    if let Some(mask) = node.optional(4)? {
        let mask = expect("a mask", mask, 1)?.shaped([batch * offset_groups, taken * points, 1])?;
        seen = seen.f2(ScalarFn::Mul, mask.to(x.dtype())?)?;
    }
    // [groups, channels of a group, kernel] by [batch, groups, channels of a group, kernel, places].
    let seen = seen.shaped([batch * offset_groups, taken, points, own])?.permute(&[0, 3, 1, 2])?;
    let seen = seen.shaped([batch, groups, channels / groups * taken, points])?;
    let weight = w.shaped([groups, filters / groups, channels / groups * taken])?;
    let axis = |axis: usize| SmallVec::from_elem(axis, 1);
    let dot = Dot { lhs_batch: axis(0), rhs_batch: axis(1), lhs_contract: axis(2), rhs_contract: axis(2) };
    // [groups, filters of a group, batch, places].
    let y = node.g().try_push(dot, &[weight, seen])?.permute(&[2, 0, 1, 3])?;
    let result: Dims = [batch, filters].into_iter().chain(geometry.counts.clone()).collect();
    let y = y.shaped(&result[..])?;
    match node.optional(3)? {
        Some(bias) => one(y.f2(ScalarFn::Add, by_channel(bias, y)?)),
        None => one(Ok(y)),
    }
}
