//! Recurrent layers: LSTM and GRU, as loops over time.
//!
//! The share of the inputs in the gates is one product for all times; the loop adds the share of the last output.

use crate::build::{Scan, Tensor};
use crate::graph::TensorType;

use super::linear::bound;
use super::{Context, Path};

/// Parameters of one direction of a layer.
#[derive(Clone, Copy, Debug)]
struct Direction<'g> {
    /// `weight_ih_l<n>`, `[gates * hidden, inputs]`.
    inputs: Tensor<'g>,
    /// `weight_hh_l<n>`, `[gates * hidden, hidden]`.
    hidden: Tensor<'g>,
    /// `bias_ih_l<n>` and `bias_hh_l<n>`, `[gates * hidden]`.
    biases: [Tensor<'g>; 2],
    reverse: bool,
}

/// What LSTM and GRU have in common.
#[derive(Clone, Debug)]
struct Layers<'g> {
    path: Path<'g>,
    directions: Vec<Vec<Direction<'g>>>,
    gates: usize,
    hidden: usize,
    batch_first: bool,
    dropout: f64,
}

impl<'g> Layers<'g> {
    #[track_caller]
    fn new(path: &Path<'g>, gates: usize, inputs: usize, hidden: usize, layers: usize, both: bool) -> Layers<'g> {
        assert!(layers > 0, "a recurrent network has at least one layer");
        let count = if both { 2 } else { 1 };
        let mut directions = Vec::new();
        for layer in 0..layers {
            let width = if layer == 0 { inputs } else { hidden * count };
            let mut of_layer = Vec::new();
            for reverse in [false, true].into_iter().take(count) {
                let suffix = if reverse { "_reverse" } else { "" };
                let name = |what: &str| format!("{what}_l{layer}{suffix}");
                let (rows, bound) = (gates * hidden, bound(hidden));
                of_layer.push(Direction {
                    inputs: path.uniform(&name("weight_ih"), [rows, width], bound),
                    hidden: path.uniform(&name("weight_hh"), [rows, hidden], bound),
                    biases: [
                        path.uniform(&name("bias_ih"), [rows], bound),
                        path.uniform(&name("bias_hh"), [rows], bound),
                    ],
                    reverse,
                });
            }
            directions.push(of_layer);
        }
        Layers { path: path.clone(), directions, gates, hidden, batch_first: false, dropout: 0.0 }
    }

    /// Directions of all layers.
    fn count(&self) -> usize {
        self.directions.len() * self.directions[0].len()
    }

    /// The zero state of a batch, `[layers * directions, batch, hidden]`.
    #[track_caller]
    fn zeros(&self, x: Tensor<'g>) -> Tensor<'g> {
        let shape = x.shape();
        assert!(shape.rank() == 3, "a recurrent layer takes a tensor of three axes, not {}", x.ty());
        let batch = shape[if self.batch_first { 0 } else { 1 }];
        self.path.builder().zeros(TensorType::new(x.dtype(), [self.count(), batch, self.hidden]))
    }

    /// Runs all layers. `run` takes a direction, its inputs' share in the gates for all times, and its number, and gives the outputs of all times.
    #[track_caller]
    fn forward(
        &self,
        x: Tensor<'g>,
        cx: &mut Context<'g>,
        mut run: impl FnMut(&Direction<'g>, Tensor<'g>, usize) -> Tensor<'g>,
    ) -> Tensor<'g> {
        let mut x = if self.batch_first { x.swap_axes(0, 1) } else { x };
        for (layer, directions) in self.directions.iter().enumerate() {
            if layer > 0 {
                x = cx.dropout(x, self.dropout);
            }
            let mut outputs = Vec::new();
            for (i, direction) in directions.iter().enumerate() {
                let gates = x.dot(direction.inputs.t()) + direction.biases[0];
                outputs.push(run(direction, gates, layer * directions.len() + i));
            }
            x = if let [only] = outputs[..] { only } else { self.path.builder().concat(&outputs, -1) };
        }
        if self.batch_first { x.swap_axes(0, 1) } else { x }
    }
}

impl<'g> Direction<'g> {
    fn scan(&self) -> Scan {
        if self.reverse { Scan::new().reverse() } else { Scan::new() }
    }
}

/// Part `i` of `count` of the last axis.
#[track_caller]
fn part<'g>(gates: Tensor<'g>, i: usize, count: usize) -> Tensor<'g> {
    let width = gates.shape()[gates.rank() - 1] / count;
    gates.slice(-1, i * width..(i + 1) * width)
}

macro_rules! options {
    ($name:ident, $gates:literal) => {
        impl<'g> $name<'g> {
            /// One layer, forward. All parameters are spread evenly over `+-1 / sqrt(hidden)` at first.
            ///
            /// # Panics
            /// If a name is taken.
            #[track_caller]
            pub fn new(path: &Path<'g>, inputs: usize, hidden: usize) -> $name<'g> {
                $name(Layers::new(path, $gates, inputs, hidden, 1, false))
            }

            /// Several layers; with `bidirectional`, each in both directions, whose outputs lie side by side.
            ///
            /// # Panics
            /// If a name is taken, or there are no layers.
            #[track_caller]
            pub fn stacked(
                path: &Path<'g>,
                inputs: usize,
                hidden: usize,
                layers: usize,
                bidirectional: bool,
            ) -> $name<'g> {
                $name(Layers::new(path, $gates, inputs, hidden, layers, bidirectional))
            }

            /// Sequences as `[batch, times, features]`; `[times, batch, features]` unless set.
            pub fn batch_first(self) -> $name<'g> {
                $name(Layers { batch_first: true, ..self.0 })
            }

            /// Dropout between layers, in training; 0 unless set.
            pub fn dropout(self, rate: f64) -> $name<'g> {
                $name(Layers { dropout: rate, ..self.0 })
            }
        }
    };
}
options!(Lstm, 4);
options!(Gru, 3);

/// Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000), PyTorch's `LSTM`.
///
/// ```text
///   i, f, g, o = x W_ih^T + b_ih + h W_hh^T + b_hh, in four parts
///   c = sigmoid(f) c + sigmoid(i) tanh(g)
///   h = sigmoid(o) tanh(c)
/// ```
///
/// The parameters of layer 0 are `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and `bias_hh_l0`; those of its other direction end in `_reverse`.
#[derive(Clone, Debug)]
pub struct Lstm<'g>(Layers<'g>);

impl<'g> Lstm<'g> {
    /// Outputs `h` of the last layer at all times, `[times, batch, hidden]` or, with [`Lstm::batch_first`], `[batch, times, hidden]`, twice as wide if
    /// bidirectional; and the last `h` and `c`, `[layers * directions, batch, hidden]`. The first `h` and `c` are zero unless given.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn forward(
        &self,
        x: Tensor<'g>,
        state: Option<[Tensor<'g>; 2]>,
        cx: &mut Context<'g>,
    ) -> (Tensor<'g>, [Tensor<'g>; 2]) {
        let builder = self.0.path.builder();
        let [h0, c0] = state.unwrap_or_else(|| [self.0.zeros(x); 2]);
        let (mut hs, mut cs) = (Vec::new(), Vec::new());
        let outputs = self.0.forward(x, cx, |direction, gates, number| {
            let first = (h0.slice(0, number..number + 1).squeeze(0), c0.slice(0, number..number + 1).squeeze(0));
            let (weight, bias) = (direction.hidden.t(), direction.biases[1]);
            let ((h, c), outputs) = builder.scan_with(direction.scan(), first, gates, |(h, c), gates| {
                let gates = gates + h.dot(weight) + bias;
                let [i, f, g, o] = std::array::from_fn(|i| part(gates, i, self.0.gates));
                let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
                let h = o.sigmoid() * c.tanh();
                ((h, c), h)
            });
            hs.push(h);
            cs.push(c);
            outputs
        });
        (outputs, [builder.stack(&hs, 0), builder.stack(&cs, 0)])
    }
}

/// Gated recurrent unit (Cho et al. 2014), PyTorch's `GRU`.
///
/// ```text
///   r = sigmoid(x W_ir^T + b_ir + h W_hr^T + b_hr)
///   z = sigmoid(x W_iz^T + b_iz + h W_hz^T + b_hz)
///   n = tanh(x W_in^T + b_in + r (h W_hn^T + b_hn))
///   h = (1 - z) n + z h
/// ```
///
/// The parameters are called as those of [`Lstm`], and hold the parts of `r`, `z` and `n` one behind the other.
#[derive(Clone, Debug)]
pub struct Gru<'g>(Layers<'g>);

impl<'g> Gru<'g> {
    /// Outputs `h` of the last layer at all times, and the last `h`, shaped as those of [`Lstm::forward`]. The first `h` is zero unless given.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>, state: Option<Tensor<'g>>, cx: &mut Context<'g>) -> (Tensor<'g>, Tensor<'g>) {
        let builder = self.0.path.builder();
        let h0 = state.unwrap_or_else(|| self.0.zeros(x));
        let mut hs = Vec::new();
        let outputs = self.0.forward(x, cx, |direction, gates, number| {
            let first = h0.slice(0, number..number + 1).squeeze(0);
            let (weight, bias) = (direction.hidden.t(), direction.biases[1]);
            let (h, outputs) = builder.scan_with(direction.scan(), first, gates, |h, gates| {
                let own = h.dot(weight) + bias;
                let [ri, zi, ni] = std::array::from_fn(|i| part(gates, i, self.0.gates));
                let [rh, zh, nh] = std::array::from_fn(|i| part(own, i, self.0.gates));
                let (r, z) = ((ri + rh).sigmoid(), (zi + zh).sigmoid());
                let n = (ni + r * nh).tanh();
                let h = (1.0 - z) * n + z * h;
                (h, h)
            });
            hs.push(h);
            outputs
        });
        (outputs, builder.stack(&hs, 0))
    }
}
