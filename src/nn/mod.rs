//! Layers as plain structs, with the parameter names, layouts and first values that users of PyTorch know.
//!
//! ```text
//!   Path           a place in the tree of names: `Path::root(&g).at("encoder").at("fc1")`
//!     | Linear::new(&path, 64, 100)      declares `encoder.fc1.weight` f32[100, 64] and `encoder.fc1.bias` f32[100]
//!   Linear { weight, bias }
//!     | forward(x, &mut cx)              appends nodes; the Context tells training from inference
//!   Tensor
//! ```
//!
//! A layer declares its parameters when it is made and may be applied any number of times. What differs between training and inference (dropout, batch norm) is
//! asked of the [`Context`], which also collects what a step has to update beside the optimizer.
//!
//! ```
//! use cotangent::nn::{Context, Linear, Module, Path, Sequential};
//! use cotangent::prelude::*;
//!
//! let g = Builder::new();
//! let path = Path::root(&g);
//! let net = Sequential::new(&path)
//!     .add(|path| Linear::new(path, 64, 100)) // 0.weight, 0.bias
//!     .then(|x| x.relu())                     // takes number 1, as in PyTorch
//!     .add(|path| Linear::new(path, 100, 10)); // 2.weight, 2.bias
//!
//! let (x, y) = (g.input("x", f32([50, 64])), g.input("y", i32([50])));
//! let mut cx = Context::train(&path);
//! let loss = net.forward(x, &mut cx).cross_entropy(y).mean();
//! let mut step = Adam::new(1e-3).minimize(loss).update_all(cx.updates()).compile(&Options::default())?;
//! let mut predict = step.forward(net.forward(x, &mut Context::infer()).argmax(-1))?;
//! # let _ = (step.run(&[("x", &Array::zeros(&f32([50, 64]))), ("y", &Array::zeros(&i32([50])))])?, &mut predict);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! First values are drawn from PyTorch's distributions, by a generator of this library's: each parameter from the seed of the path and its own name, so
//! they depend neither on the order of declaration nor on other layers.

mod attention;
mod context;
mod conv;
mod linear;
mod norm;
mod path;
mod recurrent;
mod sequential;
mod state_dict;

use crate::build::Tensor;

pub use attention::{MultiHeadAttention, TransformerEncoderLayer};
pub use context::Context;
pub use conv::{Conv, ConvTranspose};
pub use linear::{Dropout, Embedding, Linear};
pub use norm::{BatchNorm, GroupNorm, LayerNorm, RmsNorm};
pub use path::Path;
pub use recurrent::{Gru, Lstm};
pub use sequential::Sequential;
pub use state_dict::{StateDictError, load_state_dict};

/// A function of one tensor with parameters of its own. Functions and closures without parameters are modules too.
pub trait Module<'g> {
    /// Appends the nodes that compute the result.
    ///
    /// # Panics
    /// If the tensor does not fit the layer.
    #[track_caller]
    fn forward(&self, x: Tensor<'g>, cx: &mut Context<'g>) -> Tensor<'g>;
}

impl<'g, F: Fn(Tensor<'g>) -> Tensor<'g>> Module<'g> for F {
    fn forward(&self, x: Tensor<'g>, _: &mut Context<'g>) -> Tensor<'g> {
        self(x)
    }
}
