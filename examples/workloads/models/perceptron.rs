//! Networks of linear layers with ReLU between them.

use std::error::Error;

use cotangent::prelude::*;

use crate::data::Data;

/// The mean cross-entropy of the network's logits.
pub fn classifier<'g>(g: &'g Builder, data: &Data) -> Result<Tensor<'g>, Box<dyn Error>> {
    let (x, y) = (data.input_x(g), data.input_y(g)?);
    Ok(logits(g, x, data)?.cross_entropy(y).mean())
}

/// The last layer of `x W1 + b1`, ReLU, `W2`, `b2`, and so on, as many as there are parameters.
pub fn logits<'g>(g: &'g Builder, x: Tensor<'g>, data: &Data) -> Result<Tensor<'g>, Box<dyn Error>> {
    let mut h = x;
    for layer in 1.. {
        let (weight, bias) = (format!("W{layer}"), format!("b{layer}"));
        if !data.has(&weight) {
            break;
        }
        if layer > 1 {
            h = h.relu();
        }
        h = h.dot(data.param(g, &weight)?);
        if data.has(&bias) {
            h = h + data.param(g, &bias)?;
        }
    }
    Ok(h)
}
