//! Products of few results and many terms, as several products and their sum.
//!
//! The gradient of a convolution by its filters, or of narrow layers over a large batch, has a result of a few hundred numbers, each a sum of thousands of
//! products. There is little of the result to share among threads, so the sum is: an axis that is summed over is cut, its parts are a batch, and what they
//! give is added up. The parts follow from shapes alone, so results do not depend on the number of threads; and sums of parts round less than one long sum.

use crate::graph::{Dims, Graph, NodeId, Shape};
use crate::prim::{Dot, Emit, Op};

/// With more results than this, threads find enough in the result.
const RESULTS: usize = 4096;
/// With as many along one free axis of an operand, they do too: a product is shared by its columns.
const SIDE: usize = 1024;
/// Terms of a part: so many hide that its result is stored and read again.
const TERMS: usize = 512;
/// Multiplications of a part, about as many as are worth a thread's while.
const MULTIPLICATIONS: usize = 1 << 17;
/// As many parts keep threads busy, even if one is pushed aside.
const PARTS: usize = 16;

/// A product in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// The operands' shapes, with the axis that is cut as two.
    shapes: [Shape; 2],
    /// The product with a batch axis more, the first.
    dot: Dot,
}

impl Split {
    /// How to compute node `id` in parts, if it is a product and that pays.
    pub(super) fn of(graph: &Graph, id: NodeId) -> Option<Split> {
        let Op::Dot(dot) = graph.op(id) else { return None };
        let operands = graph.operands(id);
        let [lhs, rhs] = [graph.shape(operands[0]), graph.shape(operands[1])];
        let results = graph.shape(id).numel();
        let terms: usize = dot.lhs_contract.iter().map(|&axis| lhs[axis]).product();
        let batch: usize = dot.lhs_batch.iter().map(|&axis| lhs[axis]).product();
        let side = [lhs, rhs].map(|shape| shape.numel().checked_div(batch * terms).unwrap_or(0)).into_iter().max();
        if !graph.ty(id).dtype.is_float() || results == 0 || results > RESULTS || side >= Some(SIDE) {
            return None;
        }
        let most = PARTS.min(terms / TERMS).min(results.saturating_mul(terms) / MULTIPLICATIONS);
        // The axis that is the outermost of the left operand: its parts lie one behind the other.
        let cut = (0..dot.lhs_contract.len()).min_by_key(|&i| dot.lhs_contract[i])?;
        let (of_lhs, of_rhs) = (dot.lhs_contract[cut], dot.rhs_contract[cut]);
        let parts = (2..=most).rev().find(|&parts| lhs[of_lhs].is_multiple_of(parts))?;
        let shape = |shape: &Shape, axis: usize| -> Shape {
            let halves = [parts, shape[axis] / parts];
            shape[..axis].iter().copied().chain(halves).chain(shape[axis + 1..].iter().copied()).collect()
        };
        // Axes behind the one that is cut have moved by one, and so has what is left of that.
        let batch = |axes: &Dims, axis: usize| -> Dims {
            std::iter::once(axis).chain(axes.iter().map(|&x| x + usize::from(x > axis))).collect()
        };
        let contract =
            |axes: &Dims, axis: usize| -> Dims { axes.iter().map(|&x| x + usize::from(x >= axis)).collect() };
        Some(Split {
            shapes: [shape(lhs, of_lhs), shape(rhs, of_rhs)],
            dot: Dot {
                lhs_batch: batch(&dot.lhs_batch, of_lhs),
                rhs_batch: batch(&dot.rhs_batch, of_rhs),
                lhs_contract: contract(&dot.lhs_contract, of_lhs),
                rhs_contract: contract(&dot.rhs_contract, of_rhs),
            },
        })
    }

    /// Emits the products and their sum.
    pub(super) fn emit(self, e: &mut impl Emit, operands: &[NodeId]) -> NodeId {
        let [lhs, rhs] = self.shapes;
        let (lhs, rhs) = (e.reshape(operands[0], lhs), e.reshape(operands[1], rhs));
        let parts = e.dot(self.dot, lhs, rhs);
        e.sum(parts, Dims::from_slice(&[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::parse;

    /// The operands' shapes and the axes of the product in parts.
    fn split(lhs: &str, rhs: &str, attributes: &str, result: &str) -> Option<([Vec<usize>; 2], Dot)> {
        let text = format!(
            "%a = input {{name=\"a\"}} : {lhs}\n%b = input {{name=\"b\"}} : {rhs}\n%c = dot %a, %b {{{attributes}}} : {result}\noutput \"c\" = %c\n"
        );
        let graph = parse(&text).expect("a graph");
        let Split { shapes, dot } = Split::of(&graph, graph.outputs()[0].node)?;
        Some((shapes.map(|shape| shape.to_vec()), dot))
    }

    #[test]
    fn the_outermost_axis_of_the_sum_is_cut() {
        let dims = Dims::from_slice;
        // The gradient of a convolution by its filters: pictures, rows and columns are summed over.
        let attributes = "lhs_contract=[0, 2, 3], rhs_contract=[0, 1, 2]";
        let (shapes, dot) =
            split("f32[32, 8, 24, 24]", "f32[32, 24, 24, 25]", attributes, "f32[8, 25]").expect("parts");
        assert_eq!(shapes, [vec![16, 2, 8, 24, 24], vec![16, 2, 24, 24, 25]]);
        assert_eq!((dot.lhs_batch, dot.rhs_batch), (dims(&[0]), dims(&[0])));
        assert_eq!((dot.lhs_contract, dot.rhs_contract), (dims(&[1, 3, 4]), dims(&[1, 2, 3])));
        // A batch axis stays one.
        let attributes = "lhs_batch=[1], rhs_batch=[0], lhs_contract=[0], rhs_contract=[1]";
        let (shapes, dot) = split("f64[6000, 2, 20]", "f64[2, 6000, 30]", attributes, "f64[2, 20, 30]").expect("parts");
        assert_eq!(shapes, [vec![10, 600, 2, 20], vec![2, 10, 600, 30]]);
        assert_eq!((dot.lhs_batch, dot.rhs_batch), (dims(&[0, 2]), dims(&[1, 0])));
        assert_eq!((dot.lhs_contract, dot.rhs_contract), (dims(&[1]), dims(&[2])));
    }

    #[test]
    fn many_results_few_terms_and_integers_stay_whole() {
        let matrices = "lhs_contract=[1], rhs_contract=[0]";
        assert!(split("f32[2, 8192]", "f32[8192, 1024]", matrices, "f32[2, 1024]").is_none());
        assert!(split("f32[2, 8192]", "f32[8192, 1000]", matrices, "f32[2, 1000]").is_some());
        assert!(split("f32[100, 8192]", "f32[8192, 100]", matrices, "f32[100, 100]").is_none());
        assert!(split("f32[60, 1000]", "f32[1000, 60]", matrices, "f32[60, 60]").is_none());
        assert!(split("f32[1, 8192]", "f32[8192, 8]", matrices, "f32[1, 8]").is_none());
        assert!(split("i32[60, 8192]", "i32[8192, 60]", matrices, "i32[60, 60]").is_none());
        // No part of a prime number of terms is as long as another.
        assert!(split("f32[60, 8191]", "f32[8191, 60]", matrices, "f32[60, 60]").is_none());
        assert!(split("f32[60, 8192]", "f32[8192, 60]", matrices, "f32[60, 60]").is_some());
    }
}
