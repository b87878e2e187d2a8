//! Two convolutions, each with bias, ReLU and maximum pooling, and a linear layer.

use std::error::Error;

use cotangent::prelude::*;

use crate::data::Data;

/// The mean cross-entropy of the network's logits.
pub fn classifier<'g>(g: &'g Builder, data: &Data) -> Result<Tensor<'g>, Box<dyn Error>> {
    let (x, y) = (data.input_x(g), data.input_y(g)?);
    let stage = |h: Tensor<'g>, weight: &str, bias: &str| -> Result<Tensor<'g>, Box<dyn Error>> {
        let (w, b) = (data.param(g, weight)?, data.param(g, bias)?);
        let b = b.reshape([1, b.shape()[0], 1, 1]);
        Ok((h.conv(w, &Conv::new()) + b).relu().max_pool(&Pool::new(2)))
    };
    let h = stage(x, "c1", "cb1")?;
    let h = stage(h, "c2", "cb2")?;
    let logits = h.flatten(1..).dot(data.param(g, "W")?) + data.param(g, "b")?;
    Ok(logits.cross_entropy(y).mean())
}
