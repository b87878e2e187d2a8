//! Activations.

use crate::build::Tensor;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, joined};
use super::super::error::{invalid, unsupported};
use super::super::node::{Node, Results, one};
use super::{Held, Operator, op};

/// The record of an activation that is a method of tensors of floats.
macro_rules! method {
    ($name:literal, $since:literal, $method:ident $(, $attribute:literal = $default:expr)*) => {
        op($name, $since, |node| {
            let x = node.float_input(0)?;
            one(Ok(x.$method($(node.float($attribute, $default)?),*)))
        })
    };
}

pub(super) const OPERATORS: &[Operator] = &[
    op("Relu", 1, |node| one(relu(node.input(0)?))).held(Held::Orders),
    method!("LeakyRelu", 1, leaky_relu, "alpha" = 0.01f32 as f64),
    method!("Elu", 1, elu, "alpha" = 1.0),
    method!("Celu", 12, celu, "alpha" = 1.0),
    op("Selu", 1, selu),
    op("ThresholdedRelu", 10, |node| {
        let (x, alpha) = (node.float_input(0)?, node.float("alpha", 1.0)?);
        one(x.with(ScalarFn::Gt, alpha)?.choose(x, x.number(0.0)))
    }),
    op("PRelu", 1, prelu),
    method!("Sigmoid", 1, sigmoid),
    op("HardSigmoid", 1, |node| {
        one(hard_sigmoid(node.float_input(0)?, node.float("alpha", 0.2f32 as f64)?, node.float("beta", 0.5)?))
    }),
    method!("HardSwish", 14, hard_swish),
    method!("Softplus", 1, softplus),
    method!("Softsign", 1, softsign),
    method!("Mish", 18, mish),
    op("Swish", 24, |node| {
        let (x, alpha) = (node.float_input(0)?, node.float("alpha", 1.0)?);
        one(x.with(ScalarFn::Mul, alpha)?.f(ScalarFn::Sigmoid)?.f2(ScalarFn::Mul, x))
    }),
    op("SwiGLU", 28, |node| {
        let (gate, value, alpha) = (node.float_input(0)?, node.input(1)?, node.float("alpha", 1.0)?);
        let swish = gate.with(ScalarFn::Mul, alpha)?.f(ScalarFn::Sigmoid)?.f2(ScalarFn::Mul, gate)?;
        one(swish.f2(ScalarFn::Mul, value))
    }),
    op("Gelu", 20, |node| {
        let x = node.float_input(0)?;
        match node.text("approximate", "none")? {
            "none" => one(Ok(x.gelu())),
            "tanh" => one(Ok(x.gelu_tanh())),
            other => invalid(format!("approximate `{other}` is neither none nor tanh")),
        }
    }),
    op("Shrink", 9, shrink),
];

/// The larger of the element and 0.
pub(super) fn relu<'g>(x: Tensor<'g>) -> Made<'g> {
    x.with(ScalarFn::Le, 0.0)?.choose(x.number(0.0), x)
}

/// `alpha x + beta`, held between 0 and 1.
pub(super) fn hard_sigmoid<'g>(x: Tensor<'g>, alpha: f64, beta: f64) -> Made<'g> {
    Ok(x.with(ScalarFn::Mul, alpha)?.with(ScalarFn::Add, beta)?.clamp(0.0, 1.0))
}

fn selu<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.float_input(0)?;
    // The defaults of version 1 have fewer digits.
    let (alpha, gamma) = match node.version {
        ..6 => (1.6732f32, 1.0507f32),
        _ => (1.673_263_2_f32, 1.050_701_f32),
    };
    let (alpha, gamma) = (node.float("alpha", alpha.into())?, node.float("gamma", gamma.into())?);
    one(x.elu(alpha).with(ScalarFn::Mul, gamma))
}

fn prelu<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, slope) = (node.input(0)?, node.input(1)?);
    let (shape, of_slope) = (x.shape(), slope.shape());
    // Before version 7 a vector is one slope for each channel.
    let by_channel = node.version < 7 && of_slope.rank() == 1 && shape.rank() > 2 && of_slope[0] != 1;
    let slope = if by_channel {
        let mut extents = vec![1; shape.rank() - 1];
        extents[0] = of_slope[0];
        slope.shaped(extents)?
    } else {
        slope
    };
    if joined(&[slope.shape(), x.shape()])? != x.shape() {
        return invalid(format!("the slope {} does not broadcast to {}", slope.ty(), x.ty()));
    }
    one(x.with(ScalarFn::Lt, 0.0)?.choose(x.f2(ScalarFn::Mul, slope)?, x))
}

/// Elements beyond `lambd` are moved toward 0 by `bias`, the others are 0.
fn shrink<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let x = node.input(0)?;
    let (bias, lambd) = (node.float("bias", 0.0)?, node.float("lambd", 0.5)?);
    if !x.dtype().is_float() && (bias.fract() != 0.0 || lambd.fract() != 0.0) {
        return unsupported("fractions for integers");
    }
    let (low, high) = (x.with(ScalarFn::Add, bias)?, x.with(ScalarFn::Sub, bias)?);
    let beyond = x.with(ScalarFn::Gt, lambd)?.choose(high, x.number(0.0))?;
    one(x.with(ScalarFn::Lt, -lambd)?.choose(low, beyond))
}
