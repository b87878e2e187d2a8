//! Operators of the domain `com.microsoft`, which onnxruntime's optimizer and quantizer leave in models.

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Dims, Shape};
use crate::prim::Reduction;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, concat};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, Value, count_of, one, tensor_type};
use super::activation::{hard_sigmoid, relu};
use super::attention::{heads, soft_rows};
use super::norm::{affine, moments};
use super::shape::places;
use super::{Held, Operator, op, product, quantize, window};

/// The record of an operator of this domain.
const fn ms(name: &'static str, import: super::Import) -> Operator {
    Operator { domain: "com.microsoft", until: 1, ..op(name, 1, import) }
}

pub(super) const OPERATORS: &[Operator] = &[
    ms("FusedMatMul", fused_matmul),
    ms("FusedGemm", |node| activated(node, product::gemm(node)?, Parameters::Named)),
    ms("FusedConv", fused_conv),
    ms("Gelu", |node| one(Ok(node.float_input(0)?.gelu()))),
    ms("FastGelu", |node| one(Ok(biased(node, 0, 1)?.gelu_tanh()))),
    ms("QuickGelu", |node| {
        let (x, alpha) = (node.float_input(0)?, node.float("alpha", 1.702f32 as f64)?);
        one(x.with(ScalarFn::Mul, alpha)?.f(ScalarFn::Sigmoid)?.f2(ScalarFn::Mul, x))
    }),
    ms("BiasGelu", |node| one(Ok(biased(node, 0, 1)?.gelu()))),
    ms("SkipLayerNormalization", |node| skip_normalization(node, true)),
    ms("SkipSimplifiedLayerNormalization", |node| skip_normalization(node, false)),
    ms("EmbedLayerNormalization", embed_normalization),
    ms("Attention", attention).ignoring(&["past_present_share_buffer"]),
    ms("MultiHeadAttention", multi_head_attention),
    ms("QuantizeLinear", quantize::quantize_linear).held(Held::Asks),
    ms("DequantizeLinear", quantize::dequantize_linear).held(Held::Asks),
    ms("QLinearAdd", |node| quantized_pair(node, ScalarFn::Add)).held(Held::Asks),
    ms("QLinearMul", |node| quantized_pair(node, ScalarFn::Mul)).held(Held::Asks),
    ms("QLinearSigmoid", |node| quantized_map(node, |x| x.f(ScalarFn::Sigmoid))).held(Held::Asks),
    ms("QLinearLeakyRelu", |node| {
        let alpha = node.float("alpha", 0.01f32 as f64)?;
        quantized_map(node, |x| Ok(x.leaky_relu(alpha)))
    })
    .held(Held::Asks),
    ms("QLinearGlobalAveragePool", |node| {
        let last = node.flag("channels_last", false)?;
        quantized_map(node, |x| {
            let axes: Dims = if last { (1..x.rank().saturating_sub(1)).collect() } else { (2..x.rank()).collect() };
            let count: usize = axes.iter().map(|&axis| x.shape()[axis]).product();
            x.fold(Reduction::Sum, &axes, true)?.with(ScalarFn::Div, count as f64)
        })
    })
    .held(Held::Asks),
    ms("QGemm", quantize::qgemm).held(Held::Asks),
    ms("MatMulNBits", matmul_n_bits).ignoring(&["accuracy_level"]),
];

/// Operand `i` plus operand `bias`, if that is there, which has the shape of its last axes.
fn biased<'g>(node: &Node<'_, 'g>, i: usize, bias: usize) -> Made<'g> {
    let x = node.float_input(i)?;
    let Some(bias) = node.optional(bias)? else { return Ok(x) };
    let y = x.f2(ScalarFn::Add, bias)?;
    if y.shape() == x.shape() { Ok(y) } else { invalid(format!("{} does not broadcast to {}", bias.ty(), x.ty())) }
}

/// Where an activation has its parameters.
#[derive(Clone, Copy)]
enum Parameters {
    /// `activation_alpha`, `activation_beta`
    Named,
    /// `activation_params`
    Listed,
}

/// The activation that an attribute names.
fn activated<'g>(node: &Node<'_, 'g>, values: Vec<Value<'g>>, parameters: Parameters) -> Results<'g> {
    let Some(Value::Tensor(x)) = values.into_iter().next() else { return invalid("there is no result") };
    let [alpha, beta] = match parameters {
        Parameters::Named => {
            node.float("activation_gamma", 0.0)?;
            [node.float_optional("activation_alpha")?, node.float_optional("activation_beta")?]
        }
        Parameters::Listed => {
            let list = node.floats("activation_params")?.unwrap_or_default();
            [0, 1].map(|i| list.get(i).map(|&v| f64::from(v)))
        }
    };
    one(match node.text("activation", "")? {
        "" => Ok(x),
        "Relu" => relu(x),
        "Tanh" => x.f(ScalarFn::Tanh),
        "Sigmoid" => x.f(ScalarFn::Sigmoid),
        "LeakyRelu" => Ok(x.leaky_relu(alpha.unwrap_or(0.01f32 as f64))),
        "Clip" => Ok(x.clamp(alpha.unwrap_or(f64::from(f32::MIN)), beta.unwrap_or(f64::from(f32::MAX)))),
        "HardSigmoid" => hard_sigmoid(x, alpha.unwrap_or(0.2f32 as f64), beta.unwrap_or(0.5)),
        other => unsupported(format!("attribute `activation` = {other}")),
    })
}

/// `alpha A B`, with axes of A and B moved first if asked for.
fn fused_matmul<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let side = |i: usize, transposed: &'static str, batch: &'static str| -> Made<'g> {
        let x = node.float_input(i)?;
        let (transposed, batch) = (node.flag(transposed, false)?, node.flag(batch, false)?);
        let rank = x.rank();
        if rank < 2 || (batch && rank < 3) {
            return Ok(x);
        }
        // The first axis becomes the last but one.
        let x = if batch { x.moved(0, rank - 2)? } else { x };
        if transposed { x.moved(rank - 1, rank - 2) } else { Ok(x) }
    };
    let y = side(0, "transA", "transBatchA")?.product(side(1, "transB", "transBatchB")?)?;
    one(match node.float("alpha", 1.0)? {
        1.0 => Ok(y),
        alpha => y.with(ScalarFn::Mul, alpha),
    })
}

fn fused_conv<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let mut values = window::conv(node)?;
    if let (Some(more), Some(Value::Tensor(y))) = (node.optional(3)?, values.first()) {
        if more.shape() != y.shape() {
            return invalid(format!("{} is not of the result's shape {}", more.ty(), y.shape()));
        }
        values = one(y.f2(ScalarFn::Add, more))?;
    }
    activated(node, values, Parameters::Listed)
}

/// The last axis of a sum normalized, and the sum as the last of four results.
fn skip_normalization<'g>(node: &Node<'_, 'g>, centred: bool) -> Results<'g> {
    let (x, skip) = (node.float_input(0)?, node.float_input(1)?);
    let bias = node.optional(if centred { 4 } else { 3 })?;
    let mut sum = x.f2(ScalarFn::Add, skip)?;
    if let Some(bias) = bias {
        sum = sum.f2(ScalarFn::Add, bias)?;
    }
    if sum.shape() != x.shape() || x.rank() == 0 {
        return invalid(format!("{} does not broadcast to {}", skip.ty(), x.ty()));
    }
    let offset = if centred { node.optional(3)? } else { None };
    let eps = node.float("epsilon", if centred { 1e-12f32 as f64 } else { 1e-6f32 as f64 })?;
    let [y, mean, inverse] = normalized(sum, node.input(2)?, offset, eps, centred)?;
    Ok(vec![y.into(), mean.into(), inverse.into(), sum.into()])
}

/// The last axis normalized, and the mean and the inverse deviation that did it.
fn normalized<'g>(
    x: Tensor<'g>,
    gain: Tensor<'g>,
    offset: Option<Tensor<'g>>,
    eps: f64,
    centred: bool,
) -> Result<[Tensor<'g>; 3], Fault> {
    let wide = x.wide()?;
    let axis = x.rank() - 1;
    let (mean, variance) = if centred {
        moments(wide, &[axis])?
    } else {
        let squares = wide.f2(ScalarFn::Mul, wide)?.fold(Reduction::Sum, &[axis], true)?;
        let variance = squares.with(ScalarFn::Div, x.shape()[axis] as f64)?;
        (variance.filled(0.0)?, variance)
    };
    let inverse = variance.with(ScalarFn::Add, eps)?.f(ScalarFn::Rsqrt)?;
    let y = wide.f2(ScalarFn::Sub, mean)?.f2(ScalarFn::Mul, inverse)?.to(x.dtype())?;
    Ok([affine(y, gain, offset)?, mean, inverse])
}

/// The sum of embeddings of words, positions and segments, normalized.
fn embed_normalization<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let ids = node.input(0)?;
    let &[batch, length] = &ids.shape()[..] else { return invalid(format!("{} are no rows of words", ids.ty())) };
    let table = |i: usize| -> Result<(Tensor<'g>, usize), Fault> {
        let table = node.float_input(i)?;
        match table.shape()[..] {
            [rows, _] => Ok((table, rows)),
            _ => invalid(format!("{} is no table", table.ty())),
        }
    };
    let (words, count) = table(2)?;
    let mut sum = words.gathered(super::index::indices(node, 0, count)?, 0)?;
    let (of_places, count) = table(3)?;
    let own = match node.optional(8)? {
        Some(_) => of_places.gathered(super::index::indices(node, 8, count)?, 0)?,
        None => of_places.part(0, 0, length)?,
    };
    sum = sum.f2(ScalarFn::Add, own)?;
    if node.optional(1)?.is_some() {
        let (segments, count) = table(4)?;
        sum = sum.f2(ScalarFn::Add, segments.gathered(super::index::indices(node, 1, count)?, 0)?)?;
    }
    if sum.rank() != 3 {
        return invalid(format!("the embeddings are {}", sum.ty()));
    }
    let eps = node.float("epsilon", 1e-12f32 as f64)?;
    let [y, ..] = normalized(sum, node.input(5)?, Some(node.input(6)?), eps, true)?;
    node.expect_int("mask_index_type", 0)?;
    let counts = match node.optional(7)? {
        Some(mask) => mask.to(DType::I32)?.fold(Reduction::Sum, &[1], false)?,
        None => node.g().constant(Array::zeros(&tensor_type(DType::I32, &[batch])?)),
    };
    Ok(vec![y.into(), counts.into(), sum.into()])
}

/// What is hidden from each query, as numbers to add to its scores.
struct Hiding<'g> {
    batch: usize,
    length: usize,
    keys: usize,
    filter: f64,
    like: Tensor<'g>,
}

impl<'g> Hiding<'g> {
    /// What is added to the scores: by the mask and the bias, which are these operands, and by the attribute `unidirectional`.
    fn biases(&self, node: &Node<'_, 'g>, mask: usize, bias: usize) -> Result<Vec<Tensor<'g>>, Fault> {
        let mut biases = Vec::new();
        if let Some(mask) = node.optional(mask)? {
            biases.push(self.masked(node, mask)?);
        }
        if node.flag("unidirectional", false)? {
            biases.push(self.causal(node)?);
        }
        biases.extend(node.optional(bias)?);
        Ok(biases)
    }

    /// A mask of keys: 0 hides. One for each key of an example, or for each pair, or the count of keys that are seen.
    fn masked(&self, node: &Node<'_, 'g>, mask: Tensor<'g>) -> Made<'g> {
        let (batch, keys) = (self.batch, self.keys);
        let seen = match mask.shape()[..] {
            [n] if n == batch => {
                let at = places(node, tensor_type(DType::I64, &[1, 1, 1, keys])?, 3)?;
                at.f2(ScalarFn::Lt, mask.to(DType::I64)?.shaped([batch, 1, 1, 1])?)?
            }
            [b, k] if (b, k) == (batch, keys) => mask.with(ScalarFn::Gt, 0.0)?.shaped([batch, 1, 1, keys])?,
            [b, q, k] if (b, q, k) == (batch, self.length, keys) => {
                mask.with(ScalarFn::Gt, 0.0)?.shaped([batch, 1, self.length, keys])?
            }
            _ => return unsupported(format!("a mask of shape {}", mask.shape())),
        };
        seen.choose(self.like.number(0.0), self.like.number(self.filter))
    }

    /// Keys behind a query are hidden.
    fn causal(&self, node: &Node<'_, 'g>) -> Made<'g> {
        let ty = tensor_type(DType::I64, &[self.length, self.keys])?;
        let (row, column) = (places(node, ty.clone(), 0)?, places(node, ty, 1)?);
        let behind = self.keys as f64 - self.length as f64;
        let seen = column.f2(ScalarFn::Le, row.with(ScalarFn::Add, behind)?)?;
        seen.choose(self.like.number(0.0), self.like.number(f64::NEG_INFINITY))
    }
}

/// Attention of heads apart, `[batch, heads, length, size]`, with numbers that are added to the scores; the heads together again.
fn attended<'g>([q, k, v]: [Tensor<'g>; 3], scale: Option<f64>, biases: &[Tensor<'g>]) -> Made<'g> {
    let (&[batch, count, length, size], &[.., keys, _], &[.., of_values]) =
        (&q.shape()[..], &k.shape()[..], &v.shape()[..])
    else {
        return invalid("heads have four axes");
    };
    if keys == 0 {
        return invalid("there are no keys");
    }
    let scale = scale.unwrap_or(1.0 / (size as f64).sqrt());
    let mut scores = q.with(ScalarFn::Mul, scale)?.to(q.dtype())?.product(k.permute(&[0, 1, 3, 2])?)?;
    let shape = scores.shape();
    for bias in biases {
        scores = scores.f2(ScalarFn::Add, bias.to(scores.dtype())?)?;
    }
    if scores.shape() != shape {
        return invalid(format!("masks and biases do not broadcast to {shape}"));
    }
    let y = soft_rows(scores)?.product(v)?;
    y.permute(&[0, 2, 1, 3])?.shaped([batch, length, count.saturating_mul(of_values)])
}

/// The scale of scores; 0 stands for none given.
fn scale_of(node: &Node<'_, '_>) -> Result<Option<f64>, Fault> {
    Ok(node.float_optional("scale")?.filter(|&scale| scale != 0.0))
}

fn expect_missing(node: &Node<'_, '_>, operands: &[(usize, &str)]) -> Result<(), Fault> {
    for &(i, what) in operands {
        if node.optional(i)?.is_some() {
            return unsupported(format!("operand {i}, {what}"));
        }
    }
    Ok(())
}

/// Attention whose queries, keys and values are one product of the operand.
fn attention<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, w) = (node.float_input(0)?, node.float_input(1)?);
    expect_missing(node, &[(4, "the past"), (6, "the length of the past")])?;
    node.expect_int("do_rotary", 0)?;
    node.int("rotary_embedding_dim", 0)?;
    let count = count_of(node.int("num_heads", 0)?)?;
    let (&[batch, length, features], &[rows, columns]) = (&x.shape()[..], &w.shape()[..]) else {
        return invalid(format!("{} and {} do not fit", x.ty(), w.ty()));
    };
    let sizes = match node.ints("qkv_hidden_sizes")? {
        Some(list) => super::super::node::counts_of(&list)?,
        None => Dims::from_elem(columns / 3, 3),
    };
    let whole = sizes.iter().fold(0usize, |sum, &n| sum.saturating_add(n));
    if rows != features || sizes.len() != 3 || whole != columns || batch == 0 {
        return invalid(format!("{} and {} do not fit", x.ty(), w.ty()));
    }
    let mut all = x.product(w)?;
    if let Some(bias) = node.optional(2)? {
        all = all.f2(ScalarFn::Add, bias)?;
    }
    let part = |i: usize| heads(all.part(2, sizes[..i].iter().sum(), sizes[i])?, count);
    let parts = [part(0)?, part(1)?, part(2)?];
    let hiding = Hiding { batch, length, keys: length, filter: node.float("mask_filter_value", -10000.0)?, like: all };
    let biases = hiding.biases(node, 3, 5)?;
    if node.wants(1) {
        return unsupported("the result `present`");
    }
    one(attended(parts, scale_of(node)?, &biases))
}

fn multi_head_attention<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    expect_missing(node, &[(6, "the past"), (7, "the past"), (8, "the length of the past"), (9, "an indirection")])?;
    let count = count_of(node.int("num_heads", 0)?)?;
    let [q, k, v] = [node.float_input(0)?, node.float_input(1)?, node.float_input(2)?];
    let (&[batch, length, features], &[_, keys, of_keys]) = (&q.shape()[..], &k.shape()[..]) else {
        return unsupported("queries, keys and values that are packed");
    };
    if v.rank() != 3 || batch == 0 {
        return unsupported("values that are cached");
    }
    let bias = node.optional(3)?;
    let mut from = 0usize;
    let mut side = |x: Tensor<'g>, features: usize| -> Made<'g> {
        let own = bias.map(|bias| bias.part(0, from, features)).transpose()?;
        from = from.saturating_add(features);
        heads(own.map_or(Ok(x), |own| x.f2(ScalarFn::Add, own))?, count)
    };
    let of_values = v.shape()[2];
    let parts = [side(q, features)?, side(k, of_keys)?, side(v, of_values)?];
    let hiding = Hiding { batch, length, keys, filter: node.float("mask_filter_value", -10000.0)?, like: q };
    let biases = hiding.biases(node, 4, 5)?;
    if node.wants(3) {
        return unsupported("the result `qk`");
    }
    let y = attended(parts, scale_of(node)?, &biases)?;
    Ok(vec![y.into(), parts[1].into(), parts[2].into()])
}

/// Operands `i` to `i + 2`, a quantized tensor with its scale and zero point, as numbers.
fn numbers<'g>(node: &Node<'_, 'g>, i: usize) -> Made<'g> {
    let (x, scale) = (node.held(i)?.0.to(DType::I32)?, node.float_input(i + 1)?.shaped(Shape::scalar())?);
    let x = match node.held_optional(i + 2)? {
        Some((zero, _)) => x.f2(ScalarFn::Sub, zero.to(DType::I32)?.shaped(Shape::scalar())?)?,
        None => x,
    };
    x.to(scale.dtype())?.f2(ScalarFn::Mul, scale)
}

/// A result quantized by operands `i` and `i + 1`, in the type of operand 0.
fn requantized<'g>(node: &Node<'_, 'g>, y: Tensor<'g>, i: usize) -> Results<'g> {
    let (scale, zero) = (node.float_input(i)?.shaped(Shape::scalar())?, node.held_optional(i + 1)?);
    let zero = zero.map(|(zero, _)| zero.shaped(Shape::scalar())).transpose()?;
    Ok(vec![quantize::quantized(y, scale, zero, node.held(0)?.1)?])
}

fn quantized_pair<'g>(node: &Node<'_, 'g>, f: ScalarFn) -> Results<'g> {
    requantized(node, numbers(node, 0)?.f2(f, numbers(node, 3)?)?, 6)
}

fn quantized_map<'g>(node: &Node<'_, 'g>, f: impl FnOnce(Tensor<'g>) -> Made<'g>) -> Results<'g> {
    requantized(node, f(numbers(node, 0)?)?, 3)
}

/// A product with a matrix in blocks of a few bits for each number, transposed: `[N, blocks, bytes]`, the first number in the lowest bits.
fn matmul_n_bits<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, packed, scales) = (node.float_input(0)?, node.input(1)?, node.float_input(2)?);
    let get = |name| count_of(node.int(name, 0)?);
    let (rows, columns, block) = (get("N")?, get("K")?, get("block_size")?);
    let bits = count_of(node.int("bits", 4)?)?;
    node.expect_int("weight_prepacked", 0)?;
    expect_missing(node, &[(4, "the order of the groups")])?;
    if !matches!(bits, 2 | 4 | 8) || block == 0 || rows == 0 || columns == 0 {
        return unsupported(format!("blocks of {block} numbers of {bits} bits"));
    }
    let each = 8 / bits;
    let (blocks, bytes) = (columns.div_ceil(block), block.div_ceil(each));
    if packed.dtype() != DType::U8 || packed.shape()[..] != [rows, blocks, bytes] {
        return invalid(format!("{} does not hold {rows} x {columns} numbers", packed.ty()));
    }
    let unpacked = |x: Tensor<'g>| -> Made<'g> {
        let x = x.to(DType::I32)?;
        let part = |i: usize| {
            let low = x.with(ScalarFn::Shr, (i * bits) as f64)?.with(ScalarFn::And, ((1 << bits) - 1) as f64)?;
            low.unsqueezed(low.rank())
        };
        let parts: Vec<Tensor<'g>> = (0..each).map(part).collect::<Result<_, Fault>>()?;
        concat(&parts, x.rank())?.shaped([rows, x.shape().numel() / rows * each])
    };
    let by_block = |x: Tensor<'g>| x.part(1, 0, blocks)?.shaped([rows, blocks, 1]);
    let numbers = unpacked(packed)?.to(x.dtype())?.shaped([rows, blocks, bytes * each])?;
    let zero = match node.optional(3)? {
        None => x.number((1 << (bits - 1)) as f64),
        Some(zero) if zero.dtype() == DType::U8 => {
            let own = blocks.div_ceil(each);
            by_block(unpacked(zero.shaped([rows, own])?)?.to(x.dtype())?)?
        }
        Some(zero) => zero.to(x.dtype())?.shaped([rows, blocks, 1])?,
    };
    let weight =
        numbers.f2(ScalarFn::Sub, zero)?.f2(ScalarFn::Mul, scales.to(x.dtype())?.shaped([rows, blocks, 1])?)?;
    let weight = weight.part(2, 0, block)?.shaped([rows, blocks * block])?.part(1, 0, columns)?;
    let y = x.product(weight.permute(&[1, 0])?)?;
    one(match node.optional(5)? {
        Some(bias) => y.f2(ScalarFn::Add, bias),
        None => Ok(y),
    })
}
