//! A decoder-only transformer in the arrangement of GPT-2: learned positions, layer norm before each block, one matrix for queries, keys and values.

use std::error::Error;

use cotangent::prelude::*;

use crate::data::Data;

/// Features of a head.
const HEAD: usize = 32;

/// The mean cross-entropy of the next token, over all positions of all texts.
pub fn language_model<'g>(g: &'g Builder, data: &Data) -> Result<Tensor<'g>, Box<dyn Error>> {
    let (tokens, targets) = (data.input_x(g), data.input_y(g)?);
    let param = |name: &str| data.param(g, name);
    let mut h = param("wte")?.embedding(tokens) + param("wpe")?;
    for layer in (0..).take_while(|l| data.has(&format!("l{l}_qkv"))) {
        let param = |name: &str| data.param(g, &format!("l{layer}_{name}"));
        let a = h.layer_norm(1e-5).affine(param("ln1g")?, param("ln1b")?, -1);
        let qkv = a.dot(param("qkv")?) + param("qkvb")?;
        h = h + attention(qkv).dot(param("prj")?) + param("prjb")?;
        let a = h.layer_norm(1e-5).affine(param("ln2g")?, param("ln2b")?, -1);
        let a = (a.dot(param("fc")?) + param("fcb")?).gelu_tanh();
        h = h + a.dot(param("fc2")?) + param("fc2b")?;
    }
    let h = h.layer_norm(1e-5).affine(param("lnfg")?, param("lnfb")?, -1);
    Ok(h.dot(param("head")?).cross_entropy(targets).mean())
}

/// Causal attention of `[batch, positions, 3 features]`, which holds queries, keys and values, each with its heads side by side.
fn attention(qkv: Tensor<'_>) -> Tensor<'_> {
    let shape = qkv.shape();
    let (batch, positions, features) = (shape[0], shape[1], shape[2] / 3);
    let heads = |part: usize| {
        let part = qkv.slice(-1, part * features..(part + 1) * features);
        part.reshape([batch, positions, features / HEAD, HEAD]).swap_axes(1, 2)
    };
    let seen = heads(0).attention(heads(1), heads(2), Attention::new().causal());
    seen.swap_axes(1, 2).reshape([batch, positions, features])
}
