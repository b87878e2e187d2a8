//! Whether two engines agree on a result, which they round in different orders.
//!
//! Results are near if they differ by some roundings of theirs. A sum whose terms cancel is small beside them, and its error is one of theirs: the gradient by a
//! bias in front of a normalization is 0, and engines find roundings of its terms. How large those are is measured by the reference interpreter alone, by how far
//! the result moves when all arrays are moved by a rounding: the engine that is judged has no say in it.

use std::collections::BTreeMap;

use crate::array::Array;
use crate::graph::{DType, Graph, Name};
use crate::interp;
use crate::prim::{Cast, Op};
use crate::testing::{Draw, Mismatch, Tolerance, compare};

/// How far results of two engines may lie apart, as a multiple of [`Tolerance::of`], or of what the results move by when all arrays move by a rounding: sums of
/// many terms in another order.
const ROUNDINGS: f64 = 32.0;

/// How near two results are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// As near as roundings of them are.
    Near,
    /// As near as roundings of terms are that cancelled.
    Cancelled,
}

/// Compares two results. `noise` tells how far each element of the expected one moves by rounding the arrays.
///
/// An element may move little by chance, so each is excused as much as half of the others are; one that jumps, as where rounding breaks a tie, excuses itself
/// alone.
///
/// # Errors
/// If they differ by more.
pub(super) fn agreement<'n>(
    expected: &Array,
    actual: &Array,
    noise: impl FnOnce() -> &'n [f64],
) -> Result<Agreement, Mismatch> {
    let tolerance = Tolerance::of(expected.dtype()).times(ROUNDINGS);
    let Err(mismatch) = compare(expected, actual, tolerance) else { return Ok(Agreement::Near) };
    if !expected.dtype().is_float() || expected.ty() != actual.ty() {
        return Err(mismatch);
    }
    let noise = noise();
    let mut sorted = noise.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let usual = sorted[sorted.len() / 2];
    let excused = |((e, a), &n): ((f64, f64), &f64)| if (e - a).abs() <= ROUNDINGS * n.max(usual) { e } else { a };
    let pairs = expected.to_f64_vec().into_iter().zip(actual.to_f64_vec()).zip(noise);
    compare(expected, &of_type(expected, pairs.map(excused)), tolerance).map(|()| Agreement::Cancelled)
}

/// Numbers as an array of the type of `like`, which has as many elements.
pub(super) fn of_type(like: &Array, numbers: impl Iterator<Item = f64>) -> Array {
    let array = Array::new(like.shape(), numbers.collect::<Vec<f64>>()).expect("as many elements as before");
    Op::from(Cast { dtype: like.dtype() }).eval(&[&array], &like.ty())
}

/// How far each element of each output moves, at most, when each element of the leaves is moved by a rounding up or down: what results are worth whose terms
/// cancel.
pub(super) fn noise_of<'a>(
    graph: &Graph,
    leaves: &[&Name],
    leaf: impl Fn(&Name) -> &'a Array,
    outputs: &[Array],
) -> Vec<Vec<f64>> {
    let mut draw = Draw::new(2);
    let mut noise: Vec<Vec<f64>> = outputs.iter().map(|output| vec![0.0; output.shape().numel()]).collect();
    for _ in 0..4 {
        let moved: BTreeMap<&Name, Array> = leaves.iter().map(|&name| (name, rounded(leaf(name), &mut draw))).collect();
        let results = interp::run(graph, |_, name| &moved[name]).outputs;
        for ((noise, expected), actual) in noise.iter_mut().zip(outputs).zip(&results) {
            let distances = expected.to_f64_vec().into_iter().zip(actual.to_f64_vec()).map(|(a, b)| (a - b).abs());
            noise.iter_mut().zip(distances).filter(|(_, d)| d.is_finite()).for_each(|(n, d)| *n = n.max(d));
        }
    }
    noise
}

/// The array with each element of a float moved by a rounding, up or down.
fn rounded(array: &Array, draw: &mut Draw) -> Array {
    let epsilon = match array.dtype() {
        DType::F64 => f64::EPSILON,
        DType::F32 => f64::from(f32::EPSILON),
        _ => return array.clone(),
    };
    let moved = array
        .to_f64_vec()
        .into_iter()
        .map(|v| if draw.chance(0.5) { v * (1.0 + epsilon) } else { v * (1.0 - epsilon) });
    of_type(array, moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Builder;
    use crate::graph::types;

    #[test]
    fn roundings_of_terms_excuse_no_more_than_some_of_them() {
        let agree = |expected: [f32; 2], actual: [f32; 2]| {
            agreement(&Array::from(expected), &Array::from(actual), || &[1e-8, 1e-8]).ok()
        };
        assert_eq!(agree([1e-9, 0.5], [1e-9, 0.5]), Some(Agreement::Near));
        assert_eq!(agree([1e-9, -2e-9], [1e-9, 1e-7]), Some(Agreement::Cancelled));
        assert_eq!(agree([1e-9, -2e-9], [1e-9, 1e-6]), None);
        assert_eq!(agree([1e-9, 0.5], [1e-9, 0.501]), None);
        assert_eq!(agree([1e-9, 0.5], [1e-9, f32::NAN]), None);
        // One that jumps excuses itself alone.
        let jumps =
            |actual: [f32; 3]| agreement(&Array::from([0.0f32; 3]), &Array::from(actual), || &[0.0, 1e-8, 1.0]).ok();
        assert_eq!(jumps([1e-7, 1e-7, 1.0]), Some(Agreement::Cancelled));
        assert_eq!(jumps([1e-7, 0.5, 0.0]), None);
    }

    /// The sum of what the mean was taken off is 0, found as roundings of terms of the size of `y`; the sum of squares has no terms that cancel.
    #[test]
    fn what_cancels_moves_by_roundings_of_its_terms() {
        let g = Builder::new();
        let x = g.input("x", types::f32([1000]));
        let y = x.sin() * 100.0;
        let centred = y - y.mean().expand(0).broadcast_to([1000]);
        let program = g.program(&[("cancelled", centred.sum()), ("squares", y.square().sum())]);
        let x = Draw::new(7).uniform(&types::f32([1000]), -1.0, 1.0);
        let expected = interp::run(&program.graph, |_, _| &x).outputs;
        let noise = noise_of(&program.graph, &[&Name::from("x")], |_| &x, &expected).concat();
        let unit = f64::from(f32::EPSILON);
        let terms = expected[1].get_f64(0).sqrt() * 1000f64.sqrt();
        assert!(noise[0] > 0.0 && noise[0] < unit * terms, "{noise:?}, {terms}");
        assert!(noise[1] < 10.0 * unit * expected[1].get_f64(0), "{noise:?}");
    }
}
