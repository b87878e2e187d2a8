//! Attention: softmax with a mask, scaled dot-product attention, rotary position embedding.

use crate::array::Array;
use crate::graph::{DType, OpError, OpErrorKind, Shape, TensorType};

use super::{Init, Key, Tensor};

/// What [`Tensor::attention`] may look at, and the scale of its scores. Everything may be seen unless set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention<'g> {
    mask: Option<Tensor<'g>>,
    causal: bool,
    scale: Option<f64>,
    dropout: Option<(f64, Key<'g>)>,
}

impl<'g> Attention<'g> {
    /// No mask.
    pub fn new() -> Attention<'g> {
        Attention::default()
    }

    /// Query `i` sees the keys `0..=i` only. The first query is aligned with the first key, also where there are more keys than queries.
    pub fn causal(self) -> Attention<'g> {
        Attention { causal: true, ..self }
    }

    /// A mask that broadcasts to `[.., queries, keys]`: of `bool`, true where a query sees a key; of floats, added to the scores, -inf where it does not.
    pub fn mask(self, mask: Tensor<'g>) -> Attention<'g> {
        Attention { mask: Some(mask), ..self }
    }

    /// The factor of the scores; `1 / sqrt(features)` unless set.
    pub fn scale(self, scale: f64) -> Attention<'g> {
        Attention { scale: Some(scale), ..self }
    }

    /// [`Tensor::dropout`] of the weights, the results of the softmax.
    pub fn dropout(self, rate: f64, key: Key<'g>) -> Attention<'g> {
        Attention { dropout: Some((rate, key)), ..self }
    }
}

impl<'g> Tensor<'g> {
    /// Scaled dot-product attention, `softmax(q k^T / sqrt(features)) v` (Vaswani et al. 2017, equation 1).
    ///
    /// `self` are the queries, of shape `[.., heads, queries, features]`, `keys` have `[.., heads, keys, features]` and `values`
    /// `[.., heads, keys, features of values]`; the result has `[.., heads, queries, features of values]`. Two axes are enough. Keys and values may have
    /// fewer heads, if their count divides that of the queries: then as many neighbouring heads of queries share one (grouped-query attention, Ainslie et al.
    /// 2023; with one head, multi-query attention).
    ///
    /// A query that sees no key gives 0, and its gradient is 0. What a mask hides takes no part in the softmax, even NaN among the scores; but hidden keys
    /// and values must be finite, since they are multiplied by 0.
    ///
    /// # Panics
    /// If the shapes do not fit, a `bool` or float mask does not broadcast, or the element types differ or are not float types.
    #[track_caller]
    #[doc(alias = "scaled_dot_product_attention")]
    pub fn attention(self, keys: Tensor<'g>, values: Tensor<'g>, options: Attention<'g>) -> Tensor<'g> {
        let operands = [Some(self), Some(keys), Some(values), options.mask];
        let operands: Vec<Tensor<'g>> = operands.into_iter().flatten().collect();
        let _scope = self.builder.scope("attention", &operands);
        let heads = self.expect_attention(keys, values);
        let (shape, rank) = (self.shape(), self.rank());
        let (queries, features, seen) = (shape[rank - 2], shape[rank - 1], keys.shape()[rank - 2]);
        let batch = &shape[..rank - 2];
        let with = |batch: &[usize], rows: usize, columns: usize| -> Shape {
            batch.iter().copied().chain([rows, columns]).collect()
        };

        // The heads that share keys lie side by side and are more queries of one head.
        let shared = keys.shape();
        let shared = &shared[..rank - 2];
        let rows = queries * heads;
        let scale = options.scale.unwrap_or(1.0 / (features as f64).sqrt());
        let scores = self.reshape(with(shared, rows, features)).dot(keys.t()) * scale;
        let mut scores = scores.reshape(with(batch, queries, seen));

        let mut visible = None;
        if options.causal {
            let pairs = TensorType::new(DType::I32, [queries, seen]);
            visible = Some(self.builder.iota(pairs.clone(), 1).le(self.builder.iota(pairs, 0)));
        }
        if let Some(mask) = options.mask {
            // A mask does not stretch the scores.
            let mask = mask.broadcast_to(scores.shape());
            match visible {
                Some(causal) if mask.dtype() == DType::Bool => visible = Some(causal & mask),
                None if mask.dtype() == DType::Bool => visible = Some(mask),
                _ => scores = scores + mask,
            }
        }
        if let Some(visible) = visible {
            let hidden = self.builder.full(TensorType::new(self.dtype(), []), f64::NEG_INFINITY);
            scores = visible.select(scores, hidden);
        }
        let masked = options.causal || options.mask.is_some();
        let weights = if masked { scores.softmax_or_zero(-1) } else { scores.softmax(-1) };
        let weights = match options.dropout {
            Some((rate, key)) => weights.dropout(rate, key),
            None => weights,
        };
        let width = values.shape()[rank - 1];
        weights.reshape(with(shared, rows, seen)).dot(values).reshape(with(batch, queries, width))
    }

    /// Panics unless keys and values fit the queries. Gives how many heads of queries share one head of keys.
    #[track_caller]
    fn expect_attention(self, keys: Tensor<'g>, values: Tensor<'g>) -> usize {
        let (q, k, v) = (self.shape(), keys.shape(), values.shape());
        let types = [self.ty(), keys.ty(), values.ty()];
        let result = shared_heads(&q, &k, &v).map_err(|kind| OpError::new("attention", &types.each_ref(), kind));
        self.builder.check(result, &[self, keys, values])
    }

    /// [`Tensor::softmax`] along `axis` of the elements where `mask` holds; 0 elsewhere, and in rows in which it holds nowhere. What the mask hides has no
    /// influence and the gradient 0, even if it is NaN or infinite.
    ///
    /// # Panics
    /// If there is no such axis, it has no elements, the mask does not broadcast to the tensor's shape, or the element types are not a float type and
    /// `bool`.
    #[track_caller]
    pub fn softmax_where(self, mask: Tensor<'g>, axis: isize) -> Tensor<'g> {
        let _scope = self.builder.scope("softmax_where", &[self, mask]);
        self.expect_float("softmax_where");
        let mask = mask.broadcast_to(self.shape());
        let hidden = self.builder.full(self.ty(), f64::NEG_INFINITY);
        mask.select(self, hidden).softmax_or_zero(axis)
    }

    /// The softmax, but 0 in rows of which all elements are -inf.
    #[track_caller]
    fn softmax_or_zero(self, axis: isize) -> Tensor<'g> {
        let e = (self - self.keep_axes(self.shift(axis), axis)).exp();
        let sum = e.sum_keep(axis);
        let one = self.builder.ones(sum.ty());
        e / sum.eq(0.0).select(one, sum)
    }

    /// Rotary position embedding (Su et al. 2021, section 3.4.2) of `[.., positions, features]`: feature `i` of the first half and its partner in the second
    /// half are turned, as the coordinates of a point, by the angle `position * base^(-2 i / features)`. The base is usually 10,000. Positions count from 0.
    ///
    /// # Panics
    /// If there are fewer than two axes, the count of features is odd, or the element type is not a float type.
    #[track_caller]
    #[doc(alias = "rope")]
    pub fn rotary(self, base: f64) -> Tensor<'g> {
        let _scope = self.builder.scope("rotary", &[self]);
        self.expect_float("rotary");
        let shape = self.shape();
        let (positions, features) = (shape[self.axis("rotary", -2)], shape[self.axis("rotary", -1)]);
        if !features.is_multiple_of(2) {
            self.refuse_because("rotary", format!("{features} features do not make pairs"));
        }
        let half = features / 2;
        let angle = |at: usize| (at / half) as f64 * base.powf(-2.0 * (at % half) as f64 / features as f64);
        // Computed in double precision here, since an angle of thousands of radians has no digits to spare in single.
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f64> = (0..positions * half).map(|at| f(angle(at))).collect();
            let values = Array::new([positions, half], values).expect("as many values as elements");
            Init::from(values).dtype(self.dtype()).array()
        };
        let (cos, sin) = (self.builder.constant(table(f64::cos)), self.builder.constant(table(f64::sin)));
        let (a, b) = (self.slice(-1, 0..half), self.slice(-1, half..features));
        self.builder.concat(&[a * cos - b * sin, b * cos + a * sin], -1)
    }
}

/// How many heads of queries share one head of keys, or why the shapes do not fit.
fn shared_heads(q: &Shape, k: &Shape, v: &Shape) -> Result<usize, OpErrorKind> {
    let rank = q.rank();
    if rank < 2 {
        return Err(OpErrorKind::Other("the queries need two axes, queries and features".to_owned()));
    }
    if k.rank() != rank || v.rank() != rank {
        return Err(OpErrorKind::Other("queries, keys and values need one count of axes".to_owned()));
    }
    let mut shared = 1;
    let mut expected: Vec<usize> = q.to_vec();
    expected[rank - 2] = k[rank - 2];
    if rank > 2 {
        let (many, few) = (q[rank - 3], k[rank - 3]);
        if few > 0 && many.is_multiple_of(few) {
            expected[rank - 3] = few;
            shared = many / few;
        }
    }
    if k[..] != expected {
        return Err(OpErrorKind::Shape { position: 1, expected: expected.into_iter().collect(), actual: k.clone() });
    }
    expected[rank - 1] = v[rank - 1];
    if v[..] != expected {
        return Err(OpErrorKind::Shape { position: 2, expected: expected.into_iter().collect(), actual: v.clone() });
    }
    Ok(shared)
}
