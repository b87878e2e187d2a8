//! The models, and the step of each.

mod convnet;
mod perceptron;
mod transformer;

use std::error::Error;

use cotangent::Outputs;
use cotangent::prelude::*;

use crate::data::Data;

/// The names of the workloads.
pub const WORKLOADS: [&str; 8] = ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8"];

/// Builds the graph of a workload's step and compiles it.
pub fn compile(workload: &str, data: &Data, options: &Options) -> Result<Executable, Box<dyn Error>> {
    let g = Builder::new();
    let step = match workload {
        "W1" => Sgd::new(0.2).minimize(perceptron::classifier(&g, data)?),
        "W2" => Sgd::new(0.1).minimize(perceptron::classifier(&g, data)?),
        "W3" => Adam::new(1e-3).minimize(perceptron::classifier(&g, data)?),
        "W4" => Sgd::new(0.1).minimize(elementwise(&g, data)?),
        "W5" => Sgd::new(0.05).minimize(convnet::classifier(&g, data)?),
        "W6" => Adam::new(1e-3).minimize(transformer::language_model(&g, data)?),
        "W7" => Sgd::new(0.1).minimize(logistic_regression(&g, data)?),
        _ => {
            let logits = perceptron::logits(&g, data.input_x(&g), data)?;
            return Ok(g.program(&[("logits", logits)]).compile(options)?);
        }
    };
    Ok(step.compile(options)?)
}

/// True if steps on one batch can go on for ever without numbers that fade to denormal ones.
pub fn is_unlimited(workload: &str) -> bool {
    !matches!(workload, "W3" | "W6")
}

/// The loss of a step, or the sum of the outputs of a network.
pub fn value(outputs: Outputs<'_>) -> Result<f64, Box<dyn Error>> {
    Ok(outputs.first().as_slice::<f32>()?.iter().map(|&v| f64::from(v)).sum())
}

/// Of `h = layer_norm(gelu(x w + tanh(w)))`, the mean over the rows of the sum of `softmax(h) x`.
fn elementwise<'g>(g: &'g Builder, data: &Data) -> Result<Tensor<'g>, Box<dyn Error>> {
    let (x, w) = (data.input_x(g), data.param(g, "w")?);
    let h = (x * w + w.tanh()).gelu_tanh().layer_norm(1e-5);
    Ok((h.softmax(-1) * x).sum_over(-1).mean())
}

/// Binary cross-entropy of `sigmoid(x w + b)`.
fn logistic_regression<'g>(g: &'g Builder, data: &Data) -> Result<Tensor<'g>, Box<dyn Error>> {
    let (x, y) = (data.input_x(g), data.input_y(g)?);
    let logits = x.dot(data.param(g, "w")?) + data.param(g, "b")?;
    Ok(logits.bce_with_logits(y).mean())
}
