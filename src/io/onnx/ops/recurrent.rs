//! Recurrent layers, as scans over the steps.
//!
//! What the inputs of all steps contribute to the gates is one product before the scan; each step adds what the state contributes. Of layers of 16 bits, all
//! of it is in single precision; the results are rounded.

use crate::build::{Scan, Tensor};
use crate::graph::DType;
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, Made, concat};
use super::super::error::{Fault, invalid, unsupported};
use super::super::node::{Node, Results, count_of};
use super::activation::{hard_sigmoid, relu};
use super::shape::places;
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("RNN", 1, |node| layer(node, Kind::Rnn)),
    op("GRU", 1, |node| layer(node, Kind::Gru)),
    op("LSTM", 1, |node| layer(node, Kind::Lstm)),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rnn,
    Gru,
    Lstm,
}

impl Kind {
    fn gates(self) -> usize {
        match self {
            Kind::Rnn => 1,
            Kind::Gru => 3,
            Kind::Lstm => 4,
        }
    }

    /// The functions of one direction.
    fn activations(self) -> &'static [&'static str] {
        match self {
            Kind::Rnn => &["Tanh"],
            Kind::Gru => &["Sigmoid", "Tanh"],
            Kind::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

/// An activation function with its parameters.
#[derive(Clone)]
struct Activation {
    name: String,
    alpha: f64,
    beta: f64,
}

impl Activation {
    fn apply<'g>(&self, x: Tensor<'g>) -> Made<'g> {
        let (alpha, beta) = (self.alpha, self.beta);
        match &*self.name {
            "relu" => relu(x),
            "tanh" => x.f(ScalarFn::Tanh),
            "sigmoid" => x.f(ScalarFn::Sigmoid),
            "softsign" => x.f(ScalarFn::Softsign),
            "softplus" => x.f(ScalarFn::Softplus),
            "affine" => x.with(ScalarFn::Mul, alpha)?.with(ScalarFn::Add, beta),
            "leakyrelu" => Ok(x.leaky_relu(alpha)),
            "thresholdedrelu" => x.with(ScalarFn::Gt, alpha)?.choose(x, x.number(0.0)),
            "scaledtanh" => x.with(ScalarFn::Mul, beta)?.f(ScalarFn::Tanh)?.with(ScalarFn::Mul, alpha),
            "hardsigmoid" => hard_sigmoid(x, alpha, beta),
            "elu" => Ok(x.elu(alpha)),
            other => unsupported(format!("activation `{other}`")),
        }
    }
}

/// The activations of all directions, with the parameters that the lists hold for those that take some.
fn activations(node: &Node<'_, '_>, kind: Kind, directions: usize) -> Result<Vec<Activation>, Fault> {
    let names: Vec<String> = match node.texts("activations")? {
        Some(names) => names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        None => kind.activations().repeat(directions).iter().map(|name| name.to_ascii_lowercase()).collect(),
    };
    if names.len() != kind.activations().len() * directions {
        return invalid(format!("{} activations for {directions} directions", names.len()));
    }
    let mut alphas = node.floats("activation_alpha")?.unwrap_or_default().into_iter();
    let mut betas = node.floats("activation_beta")?.unwrap_or_default().into_iter();
    let defaults = |name: &str| match name {
        "leakyrelu" => (Some(0.01), None),
        "thresholdedrelu" | "elu" => (Some(1.0), None),
        "hardsigmoid" => (Some(0.2f32 as f64), Some(0.5)),
        "affine" | "scaledtanh" => (Some(1.0), Some(if name == "affine" { 0.0 } else { 1.0 })),
        _ => (None, None),
    };
    let with_parameters = names.into_iter().map(|name| {
        let (alpha, beta) = defaults(&name);
        let alpha = alpha.map_or(0.0, |default| alphas.next().map_or(default, f64::from));
        let beta = beta.map_or(0.0, |default| betas.next().map_or(default, f64::from));
        Activation { name, alpha, beta }
    });
    Ok(with_parameters.collect())
}

/// One direction of a layer.
struct Direction<'g> {
    kind: Kind,
    /// What the inputs contribute to the gates, with the bias: `[steps, batch, gates * hidden]`.
    inputs: Tensor<'g>,
    /// What the state contributes: `[hidden, gates * hidden]`.
    recurrent: Tensor<'g>,
    /// The bias that the reset gate of a GRU multiplies, of the last gate.
    reset_bias: Option<Tensor<'g>>,
    /// The weights of an LSTM's peepholes: of the input, output and forget gates.
    peepholes: Option<[Tensor<'g>; 3]>,
    activations: Vec<Activation>,
    clip: Option<f64>,
    hidden: usize,
    input_forget: bool,
    linear_before_reset: bool,
}

impl<'g> Direction<'g> {
    fn clipped(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.clip.map_or(x, |bound| x.clamp(-bound, bound))
    }

    /// Gate `i` of what is added up.
    fn gate(&self, of: Tensor<'g>, i: usize) -> Made<'g> {
        of.part(of.rank() - 1, i * self.hidden, self.hidden)
    }

    fn activate(&self, which: usize, x: Tensor<'g>) -> Made<'g> {
        self.activations[which].apply(self.clipped(x))
    }

    /// The next state, and cell of an LSTM, for the inputs' contribution of a step.
    fn step(
        &self,
        x: Tensor<'g>,
        h: Tensor<'g>,
        c: Option<Tensor<'g>>,
    ) -> Result<(Tensor<'g>, Option<Tensor<'g>>), Fault> {
        use ScalarFn::{Add, Mul, Sub};
        match (self.kind, c) {
            (Kind::Rnn, _) => Ok((self.activate(0, x.f2(Add, h.product(self.recurrent)?)?)?, None)),
            (Kind::Gru, _) => {
                let of_gates = self.recurrent.part(1, 0, 2 * self.hidden)?;
                let of_candidate = self.recurrent.part(1, 2 * self.hidden, self.hidden)?;
                let sum = x.part(1, 0, 2 * self.hidden)?.f2(Add, h.product(of_gates)?)?;
                let (update, reset) = (self.activate(0, self.gate(sum, 0)?)?, self.activate(0, self.gate(sum, 1)?)?);
                let from_state = if self.linear_before_reset {
                    let linear = h.product(of_candidate)?;
                    let linear = self.reset_bias.map_or(Ok(linear), |bias| linear.f2(Add, bias))?;
                    reset.f2(Mul, linear)?
                } else {
                    let linear = reset.f2(Mul, h)?.product(of_candidate)?;
                    self.reset_bias.map_or(Ok(linear), |bias| linear.f2(Add, bias))?
                };
                let candidate = self.activate(1, self.gate(x, 2)?.f2(Add, from_state)?)?;
                let kept = update.f2(Mul, h)?;
                Ok((update.number(1.0).f2(Sub, update)?.f2(Mul, candidate)?.f2(Add, kept)?, None))
            }
            (Kind::Lstm, Some(c)) => {
                let sum = x.f2(Add, h.product(self.recurrent)?)?;
                let gate = |i: usize, peephole: usize, c: Tensor<'g>| {
                    let gate = self.gate(sum, i)?;
                    self.peepholes.map_or(Ok(gate), |p| gate.f2(Add, p[peephole].f2(Mul, c)?))
                };
                let input = self.activate(0, gate(0, 0, c)?)?;
                let forget = match self.input_forget {
                    true => input.number(1.0).f2(Sub, input)?,
                    false => self.activate(0, gate(2, 2, c)?)?,
                };
                let candidate = self.activate(1, self.gate(sum, 3)?)?;
                let next = forget.f2(Mul, c)?.f2(Add, input.f2(Mul, candidate)?)?;
                let output = self.activate(0, gate(1, 1, next)?)?;
                Ok((output.f2(Mul, self.activations[2].apply(next)?)?, Some(next)))
            }
            (Kind::Lstm, None) => invalid("an LSTM has a cell"),
        }
    }

    /// All states, the last state and the last cell. `there` holds for the steps that an example has: `[steps, batch, 1]`.
    fn run(
        &self,
        reverse: bool,
        there: Option<Tensor<'g>>,
        h: Tensor<'g>,
        c: Option<Tensor<'g>>,
    ) -> Result<(Tensor<'g>, Tensor<'g>, Option<Tensor<'g>>), Fault> {
        let g = self.inputs.builder();
        let scan = if reverse { Scan::new().reverse() } else { Scan::new() };
        let carry: Vec<Tensor<'g>> = std::iter::once(h).chain(c).collect();
        let sequences: Vec<Tensor<'g>> = std::iter::once(self.inputs).chain(there).collect();
        let mut fault = None;
        let (last, states) = g.scan_with(scan, carry, sequences, |state: Vec<Tensor<'g>>, slice: Vec<Tensor<'g>>| {
            let made = || -> Result<(Vec<Tensor<'g>>, Tensor<'g>), Fault> {
                let old: Vec<Tensor<'g>> = state.clone();
                let (h, c) = self.step(slice[0], old[0], old.get(1).copied())?;
                let next: Vec<Tensor<'g>> = std::iter::once(h).chain(c).collect();
                let Some(&mask) = slice.get(1) else { return Ok((next, h)) };
                let kept: Result<Vec<Tensor<'g>>, Fault> =
                    next.iter().zip(&old).map(|(&new, &old)| mask.choose(new, old)).collect();
                Ok((kept?, mask.choose(h, h.number(0.0))?))
            };
            match made() {
                Ok((next, y)) if next.iter().zip(&state).all(|(a, b)| a.ty() == b.ty()) => (next, y),
                Ok(_) => {
                    fault = Some(Fault::Invalid("a step changes the type of the state".to_owned()));
                    (state.clone(), state[0])
                }
                Err(error) => {
                    fault = Some(error);
                    (state.clone(), state[0])
                }
            }
        });
        match fault {
            Some(fault) => Err(fault),
            None => Ok((states, last[0], last.get(1).copied())),
        }
    }
}

fn layer<'g>(node: &Node<'_, 'g>, kind: Kind) -> Results<'g> {
    let mut x = node.float_input(0)?;
    let (w, r) = (node.input(1)?, node.input(2)?);
    let by_batch = node.flag("layout", false)?;
    if x.rank() != 3 || w.rank() != 3 || r.rank() != 3 {
        return invalid(format!("{}, {} and {} have not three axes", x.ty(), w.ty(), r.ty()));
    }
    if by_batch {
        x = x.permute(&[1, 0, 2])?;
    }
    let direction = node.text("direction", "forward")?;
    let reverses: &[bool] = match direction {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return invalid(format!("direction `{other}` is not known")),
    };
    let (steps, batch) = (x.shape()[0], x.shape()[1]);
    let hidden = r.shape()[2];
    if let Some(given) = node.int_optional("hidden_size")?
        && count_of(given)? != hidden
    {
        return invalid(format!("the hidden size is {given}, the weight {}", r.ty()));
    }
    let (n, gates) = (reverses.len(), kind.gates());
    let dtype = x.dtype();
    let x = x.wide()?;
    let expect = |t: Tensor<'g>, shape: &[usize], what: &str| {
        if t.shape()[..] == *shape && t.dtype() == dtype {
            return t.wide();
        }
        invalid(format!("{what} is {}, expected {dtype}{shape:?}", t.ty()))
    };
    let rows = gates.saturating_mul(hidden);
    let w = expect(w, &[n, rows, x.shape()[2]], "the weight")?;
    let r = expect(r, &[n, rows, hidden], "the recurrence weight")?;
    let bias = node.optional(3)?.map(|b| expect(b, &[n, rows.saturating_mul(2)], "the bias")).transpose()?;
    let initial = |i: usize| -> Made<'g> {
        match node.optional(i)? {
            Some(state) if by_batch => expect(state.permute(&[1, 0, 2])?, &[n, batch, hidden], "the first state"),
            Some(state) => expect(state, &[n, batch, hidden], "the first state"),
            None => x.number(0.0).broadcast(&[n, batch, hidden].into()),
        }
    };
    let there = match node.optional(4)? {
        None => None,
        Some(lengths) if lengths.shape()[..] == [batch] && lengths.dtype().is_int() => {
            let ty = super::super::node::tensor_type(DType::I64, &[steps, batch, 1])?;
            let lengths = lengths.to(DType::I64)?.shaped([1, batch, 1])?;
            Some(places(node, ty, 0)?.f2(ScalarFn::Lt, lengths)?)
        }
        Some(lengths) => return invalid(format!("the lengths are {}, expected {batch} integers", lengths.ty())),
    };
    let peepholes = match (kind, node.optional(7)?) {
        (Kind::Lstm, Some(p)) => Some(expect(p, &[n, hidden.saturating_mul(3)], "the peephole weight")?),
        _ => None,
    };
    if node.scope.loops + 1 >= crate::prim::MAX_DEPTH {
        return unsupported("loops that deep inside each other");
    }
    let activations = activations(node, kind, n)?;
    let clip = node.float_optional("clip")?;
    let input_forget = kind == Kind::Lstm && node.flag("input_forget", false)?;
    let linear_before_reset = kind == Kind::Gru && node.flag("linear_before_reset", false)?;
    // An attribute of version 1, which says what the results say.
    node.int_optional("output_sequence")?;
    let first = [initial(5)?, if kind == Kind::Lstm { initial(6)? } else { x.number(0.0) }];
    let (mut all, mut last_states, mut last_cells) = (Vec::new(), Vec::new(), Vec::new());
    for (d, &reverse) in reverses.iter().enumerate() {
        let mut inputs = x.product(w.at(0, d)?.permute(&[1, 0])?)?;
        let mut reset_bias = None;
        if let Some(bias) = bias {
            let bias = bias.at(0, d)?;
            let (of_inputs, of_state) = (bias.part(0, 0, rows)?, bias.part(0, rows, rows)?);
            inputs = inputs.f2(ScalarFn::Add, of_inputs)?;
            inputs = if kind == Kind::Gru {
                // What belongs to the candidate is added behind the reset gate.
                reset_bias = Some(of_state.part(0, 2 * hidden, hidden)?);
                let of_gates = of_state.part(0, 0, 2 * hidden)?.padded(&[(0, hidden)], 0.0)?;
                inputs.f2(ScalarFn::Add, of_gates)?
            } else {
                inputs.f2(ScalarFn::Add, of_state)?
            };
        }
        let peepholes = match peepholes {
            None => None,
            Some(p) => {
                let p = p.at(0, d)?;
                let of = |i: usize| p.part(0, i * hidden, hidden);
                Some([of(0)?, of(1)?, of(2)?])
            }
        };
        let per_direction = kind.activations().len();
        let direction = Direction {
            kind,
            inputs,
            recurrent: r.at(0, d)?.permute(&[1, 0])?,
            reset_bias,
            peepholes,
            activations: activations[d * per_direction..][..per_direction].to_vec(),
            clip,
            hidden,
            input_forget,
            linear_before_reset,
        };
        let h = first[0].at(0, d)?;
        let c = if kind == Kind::Lstm { Some(first[1].at(0, d)?) } else { None };
        let (states, h, c) = direction.run(reverse, there, h, c)?;
        all.push(states.unsqueezed(1)?);
        last_states.push(h.unsqueezed(0)?);
        last_cells.extend(c.map(|c| c.unsqueezed(0)).transpose()?);
    }
    let (mut y, mut h) = (concat(&all, 1)?, concat(&last_states, 0)?);
    let mut results = Vec::new();
    if by_batch {
        y = y.permute(&[2, 0, 1, 3])?;
        h = h.permute(&[1, 0, 2])?;
    }
    results.extend([y.to(dtype)?.into(), h.to(dtype)?.into()]);
    if kind == Kind::Lstm {
        let c = concat(&last_cells, 0)?;
        results.push(if by_batch { c.permute(&[1, 0, 2])? } else { c }.to(dtype)?.into());
    }
    Ok(results)
}
