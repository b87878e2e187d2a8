//! Losses of pairs and triples of vectors: cosine similarity and distance, triplet margin.

use super::super::Tensor;

impl<'g> Tensor<'g> {
    /// The cosine of the angle between vectors along `axis`, which the result lacks: `x . y / (max(|x|, eps) max(|y|, eps))`. A vector of zeros gives 0, with a
    /// finite gradient. `eps` is usually 1e-8.
    ///
    /// # Panics
    /// If the shapes or element types differ, there is no such axis, or the element type is not a float type.
    #[track_caller]
    pub fn cosine_similarity(self, other: Tensor<'g>, axis: isize, eps: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("cosine_similarity", &[self, other]);
        self.expect_float("cosine_similarity");
        self.expect_shape_of("cosine_similarity", other);
        (self.unit(axis, eps) * other.unit(axis, eps)).sum_over(axis)
    }

    /// The cosine loss of pairs of vectors along the last axis, with targets 1 for pairs that belong together and -1 for others: `1 - cos` for the former,
    /// `max(0, cos - margin)` for the latter. `self` and `other` have shape `[.., features]`, `target` `[..]`.
    ///
    /// # Panics
    /// If the shapes or element types do not fit, or the element type is not a float type.
    #[track_caller]
    pub fn cosine_loss(self, other: Tensor<'g>, target: Tensor<'g>, margin: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("cosine_loss", &[self, other, target]);
        let cosine = self.cosine_similarity(other, -1, 1e-8);
        cosine.expect_shape_of("cosine_loss", target);
        target.gt(0.0).select(1.0 - cosine, (cosine - margin).relu())
    }

    /// The triplet margin loss of anchors, with vectors along the last axis: `max(0, |a - positive| - |a - negative| + margin)` with Euclidean distances
    /// (Balntas et al. 2016), one for each triple. The gradient of a distance of 0 is 0.
    ///
    /// # Panics
    /// If the shapes or element types differ, or the element type is not a float type.
    #[track_caller]
    pub fn triplet_margin(self, positive: Tensor<'g>, negative: Tensor<'g>, margin: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("triplet_margin", &[self, positive, negative]);
        self.expect_float("triplet_margin");
        self.expect_shape_of("triplet_margin", positive);
        self.expect_shape_of("triplet_margin", negative);
        ((self - positive).norm_over(-1, 2.0) - (self - negative).norm_over(-1, 2.0) + margin).relu()
    }

    /// The vectors along `axis`, divided by their length or by `eps`, whichever is larger.
    #[track_caller]
    fn unit(self, axis: isize, eps: f64) -> Tensor<'g> {
        self / self.norm_keep(axis, 2.0).maximum(eps)
    }
}
