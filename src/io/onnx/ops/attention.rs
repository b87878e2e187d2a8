//! Attention and rotary embeddings.

use smallvec::SmallVec;

use crate::array::Array;
use crate::build::Tensor;
use crate::graph::{DType, Dims, Shape};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, concat, joined};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, Value, count_of, one, tensor_type};
use super::shape::{places, repeated};
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] =
    &[op("Attention", 23, attention).ignoring(&["softmax_precision"]), op("RotaryEmbedding", 23, rotary_embedding)];

/// Heads apart: `[batch, heads, length, size]` of a tensor that is that, or has the heads in its last axis.
pub(super) fn heads<'g>(x: Tensor<'g>, count: usize) -> Made<'g> {
    match x.shape()[..] {
        [_, _, _, _] => Ok(x),
        [batch, length, features] if count > 0 && features % count == 0 => {
            x.shaped([batch, length, count, features / count])?.permute(&[0, 2, 1, 3])
        }
        _ => invalid(format!("{} does not fall into {count} heads", x.ty())),
    }
}

/// Each head `times` in a row, for groups of queries that share keys.
fn shared<'g>(x: Tensor<'g>, times: usize) -> Made<'g> {
    let &[batch, heads, length, size] = &x.shape()[..] else { return invalid("there are four axes") };
    let apart = repeated(x.unsqueezed(2)?, &[1, 1, times, 1, 1])?;
    apart.shaped([batch, heads.saturating_mul(times), length, size])
}

fn attention<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (q, k, v) = (node.float_input(0)?, node.float_input(1)?, node.float_input(2)?);
    let flat = q.rank() == 3;
    let (q_heads, kv_heads) = (count_of(node.int("q_num_heads", 0)?)?, count_of(node.int("kv_num_heads", 0)?)?);
    let (q, mut k, mut v) = (heads(q, q_heads)?, heads(k, kv_heads)?, heads(v, kv_heads)?);
    let mut results_kv: Vec<Value<'g>> = Vec::new();
    let mut past = 0;
    if let (Some(past_k), Some(past_v)) = (node.optional(4)?, node.optional(5)?) {
        past = past_k.shape().get(2).copied().unwrap_or(0);
        k = concat(&[past_k, k], 2)?;
        v = concat(&[past_v, v], 2)?;
    }
    results_kv.extend([k.into(), v.into()]);
    let &[batch, query_heads, length, size] = &q.shape()[..] else { return invalid("queries have four axes") };
    let &[_, key_heads, total, _] = &k.shape()[..] else { return invalid("keys have four axes") };
    if key_heads == 0 || query_heads % key_heads != 0 || v.rank() != 4 || v.shape()[1] != key_heads {
        return invalid(format!("{query_heads} heads of queries and {key_heads} of keys do not fit"));
    }
    if total == 0 {
        return invalid("there are no keys");
    }
    if query_heads != key_heads {
        (k, v) = (shared(k, query_heads / key_heads)?, shared(v, query_heads / key_heads)?);
    }
    let scale = node.float("scale", 1.0 / (size as f64).sqrt())?;
    // Half of the scale on either side, as the specification has it.
    let root = scale.abs().sqrt();
    let keys = k.permute(&[0, 1, 3, 2])?.with(ScalarFn::Mul, if scale < 0.0 { -root } else { root })?;
    let raw = q.with(ScalarFn::Mul, root)?.product(keys)?;
    let shape = raw.shape();
    let hidden = |mask: Tensor<'g>, scores: Tensor<'g>| mask.choose(scores, scores.number(f64::NEG_INFINITY));
    let mut bias: Option<Tensor<'g>> = None;
    let add = |bias: Option<Tensor<'g>>, more: Tensor<'g>| bias.map_or(Ok(more), |b| b.f2(ScalarFn::Add, more));
    let zero = raw.number(0.0);
    if let Some(mask) = node.optional(3)? {
        let mask = if mask.dtype() == DType::Bool { hidden(mask, zero)? } else { mask.to(raw.dtype())? };
        // A mask may be shorter than the keys: those behind it are hidden.
        let own = mask.shape();
        let mask = match own.last() {
            Some(&n) if n < total && n > 1 => {
                let mut widths: Dims<(usize, usize)> = SmallVec::from_elem((0, 0), own.rank());
                widths[own.rank() - 1] = (0, total - n);
                mask.padded(&widths, f64::NEG_INFINITY)?
            }
            _ => mask,
        };
        bias = Some(add(bias, mask)?);
    }
    if node.optional(6)?.is_some() {
        let counts = node.input(6)?;
        if counts.shape()[..] != [batch] {
            return invalid(format!("the counts of keys are {}", counts.ty()));
        }
        let ty = tensor_type(DType::I64, &[batch, 1, 1, total])?;
        let inside = places(node, ty, 3)?.f2(ScalarFn::Lt, counts.to(DType::I64)?.shaped([batch, 1, 1, 1])?)?;
        bias = Some(add(bias, hidden(inside, zero)?)?);
    }
    let causal = node.flag("is_causal", false)?;
    let (left, right) = (node.int("left_window_size", -1)?, node.int("right_window_size", -1)?);
    if causal || left >= 0 || right >= 0 {
        // How far each key is behind its query; queries are the last of the positions so far.
        let ty = tensor_type(DType::I64, &[length, total])?;
        let (row, column) = (places(node, ty.clone(), 0)?, places(node, ty, 1)?);
        let offset = match node.optional(6)? {
            Some(counts) if past == 0 => {
                counts.to(DType::I64)?.shaped([batch, 1, 1, 1])?.with(ScalarFn::Sub, length as f64)?
            }
            _ => node.g().constant(Array::scalar(past as i64)),
        };
        let behind = row.f2(ScalarFn::Add, offset)?.f2(ScalarFn::Sub, column)?;
        let bounds = [(causal, ScalarFn::Ge, 0), (left >= 0, ScalarFn::Le, left), (right >= 0, ScalarFn::Ge, -right)];
        for (_, f, bound) in bounds.into_iter().filter(|b| b.0) {
            let seen = behind.f2(f, node.g().constant(Array::scalar(bound)))?;
            bias = Some(add(bias, hidden(seen, zero)?)?);
        }
    }
    let masked = |scores: Tensor<'g>| match bias {
        Some(bias) if joined(&[bias.shape(), shape.clone()])? == shape => scores.f2(ScalarFn::Add, bias),
        Some(bias) => invalid(format!("the mask {} does not broadcast to {shape}", bias.ty())),
        None => Ok(scores),
    };
    let cap = node.float("softcap", 0.0)?;
    let capped = |scores: Tensor<'g>| match cap {
        0.0 => Ok(scores),
        _ => scores.with(ScalarFn::Div, cap)?.f(ScalarFn::Tanh)?.with(ScalarFn::Mul, cap),
    };
    let mode = node.int("qk_matmul_output_mode", 0)?;
    let with_cap = capped(raw)?;
    let with_mask = masked(with_cap)?;
    // A row whose keys are all hidden gives zeros.
    let shares = soft_rows(with_mask)?;
    let inner = match mode {
        0 => raw,
        1 => with_cap,
        2 => with_mask,
        3 => shares,
        other => return unsupported(format!("attribute `qk_matmul_output_mode` = {other}")),
    };
    let mut y = shares.product(v)?;
    if flat {
        let size = y.shape()[3];
        y = y.permute(&[0, 2, 1, 3])?.shaped([batch, length, query_heads.saturating_mul(size)])?;
    }
    let mut results: Vec<Value<'g>> = vec![y.into()];
    results.extend(results_kv);
    results.push(inner.into());
    Ok(results)
}

/// The softmax of the last axis.
pub(super) fn soft_rows<'g>(scores: Tensor<'g>) -> Made<'g> {
    if scores.shape().numel() == 0 {
        return Ok(scores);
    }
    let shares = scores.softmax(-1);
    let nothing = scores.with(ScalarFn::Eq, f64::NEG_INFINITY)?;
    let all = nothing.fold(crate::prim::Reduction::Min, &[scores.rank() - 1], true)?;
    all.choose(shares.number(0.0), shares)
}

/// Pairs of features turned by angles that depend on their position.
fn rotary_embedding<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    let flat = x.rank() == 3;
    let count = count_of(node.int("num_heads", 0)?)?;
    let interleaved = node.flag("interleaved", false)?;
    // [batch, length, heads, size]
    let by_head = match x.shape()[..] {
        [_, _, _, _] => x.permute(&[0, 2, 1, 3])?,
        [batch, length, features] if count > 0 && features % count == 0 => {
            x.shaped([batch, length, count, features / count])?
        }
        _ => return invalid(format!("{} does not fall into {count} heads", x.ty())),
    };
    let &[batch, length, heads, size] = &by_head.shape()[..] else { return invalid("there are four axes") };
    let turned = match count_of(node.int("rotary_embedding_dim", 0)?)? {
        0 => size,
        n => n,
    };
    if turned > size || turned % 2 != 0 {
        return invalid(format!("{turned} features of {size} cannot be turned in pairs"));
    }
    let half = turned / 2;
    let angles = |i: usize| -> Result<Tensor<'g>, Fault> {
        let table = node.input(i)?;
        let table = match node.optional(3)? {
            Some(_) => {
                let extent = table.shape().first().copied().unwrap_or(0);
                table.gathered(super::index::indices(node, 3, extent)?, 0)?
            }
            None => table,
        };
        if table.shape() != Shape::from([batch, length, half]) {
            return invalid(format!("{} are not {half} angles for each position", table.ty()));
        }
        table.unsqueezed(2)
    };
    let (cos, sin) = (angles(1)?, angles(2)?);
    let own = by_head.part(3, 0, turned)?;
    let (first, second) = if interleaved {
        let pairs = own.shaped([batch, length, heads, half, 2])?;
        (pairs.at(4, 0)?, pairs.at(4, 1)?)
    } else {
        (own.part(3, 0, half)?, own.part(3, half, half)?)
    };
    use ScalarFn::{Add, Mul, Sub};
    let real = cos.f2(Mul, first)?.f2(Sub, sin.f2(Mul, second)?)?;
    let imaginary = sin.f2(Mul, first)?.f2(Add, cos.f2(Mul, second)?)?;
    let own = if interleaved {
        concat(&[real.unsqueezed(4)?, imaginary.unsqueezed(4)?], 4)?.shaped([batch, length, heads, turned])?
    } else {
        concat(&[real, imaginary], 3)?
    };
    let y = concat(&[own, by_head.part(3, turned, size - turned)?], 3)?;
    one(if flat { y.shaped(x.shape()) } else { y.permute(&[0, 2, 1, 3]) })
}
