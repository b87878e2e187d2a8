//! Layers whose state has one size, however long the sequence is: linear attention and causal convolution.

use smallvec::SmallVec;

use crate::build::{Conv, Tensor};
use crate::graph::{DType, Dims};
use crate::scalar::ScalarFn;

use super::super::checked::{Checked, concat};
use super::super::error::{Fault, invalid};
use super::super::node::{Node, Results, count_of, tensor_type};
use super::attention::heads;
use super::norm::by_channel;
use super::{Operator, op};

pub(super) const OPERATORS: &[Operator] = &[
    op("LinearAttention", 27, linear_attention).ignoring(&["chunk_size"]),
    op("CausalConvWithState", 27, causal_conv),
];

/// The operands of a step, each `[batch, heads, size]`, and how the state follows from them.
struct Step {
    decays: bool,
    corrects: bool,
    /// How many heads of queries read each state.
    group: usize,
    scale: f64,
}

impl Step {
    /// The next state, `[batch, heads, key, value]`, and what the queries read from it.
    fn apply<'g>(&self, mut state: Tensor<'g>, slices: &[Tensor<'g>]) -> Result<(Tensor<'g>, Tensor<'g>), Fault> {
        use ScalarFn::{Add, Mul, Sub};
        let &[q, k, mut v, ref rest @ ..] = slices else { return invalid("a step has queries, keys and values") };
        if let Some(decay) = rest.first().filter(|_| self.decays) {
            state = state.f2(Mul, decay.f(ScalarFn::Exp)?.unsqueezed(3)?)?;
        }
        let row = |k: Tensor<'g>| k.unsqueezed(2);
        if let Some(beta) = rest.last().filter(|_| self.corrects) {
            let retrieved = row(k)?.product(state)?.squeezed(2)?;
            v = v.f2(Sub, retrieved)?.f2(Mul, *beta)?;
        }
        state = state.f2(Add, k.unsqueezed(3)?.f2(Mul, row(v)?)?)?;
        // Each state is read by the queries of its group: [batch, heads, group, key] by [batch, heads, key, value].
        let &[batch, query_heads, size] = &q.shape()[..] else { return invalid("queries have three axes") };
        let read = q.shaped([batch, query_heads / self.group, self.group, size])?.product(state)?;
        let &[_, _, _, value_size] = &read.shape()[..] else { return invalid("what is read has four axes") };
        Ok((state, read.shaped([batch, query_heads, value_size])?.with(Mul, self.scale)?))
    }
}

fn linear_attention<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (q, k, v) = (node.float_input(0)?, node.float_input(1)?, node.float_input(2)?);
    let (query_heads, kv_heads) = (count_of(node.int("q_num_heads", 0)?)?, count_of(node.int("kv_num_heads", 0)?)?);
    if kv_heads == 0 || query_heads == 0 || query_heads % kv_heads != 0 {
        return invalid(format!("{query_heads} heads of queries are no multiple of {kv_heads} heads of keys"));
    }
    let (decays, corrects) = match node.text("update_rule", "gated_delta")? {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return invalid(format!("update_rule `{other}` is not known")),
    };
    let [(q4, _), (k4, _), (v4, value_size)] = [(q, query_heads), (k, kv_heads), (v, kv_heads)].map(|(x, n)| {
        let apart = if x.rank() == 3 { heads(x, n) } else { invalid(format!("{} has not three axes", x.ty())) };
        let size = x.shape().last().map_or(0, |&features| features / n);
        (apart, size)
    });
    let (q4, k4, v4) = (q4?.wide()?, k4?.wide()?, v4?.wide()?);
    let &[batch, _, length, size] = &q4.shape()[..] else { return invalid("queries have four axes") };
    if k4.shape()[..] != [batch, kv_heads, length, size] || v4.shape()[..3] != [batch, kv_heads, length] || size == 0 {
        return invalid(format!("queries {}, keys {} and values {} do not fit", q.ty(), k.ty(), v.ty()));
    }
    // What there is of each step, `[batch, heads, length, ..]`.
    let mut slices = vec![q4, k4, v4];
    for (at, name, wanted, per_key) in [(4, "decay", decays, true), (5, "beta", corrects, false)] {
        let given = node.optional(at)?;
        let x = match (given, wanted) {
            (None, false) => continue,
            (Some(x), true) => x,
            (None, true) => return invalid(format!("the update rule needs {name}")),
            (Some(x), false) => return invalid(format!("the update rule takes no {name}, which is {}", x.ty())),
        };
        let fits = x.rank() == 3 && x.dtype().is_float() && x.shape()[..2] == [batch, length];
        let apart = match x.shape().last() {
            Some(&n) if fits && n == kv_heads => heads(x, kv_heads)?,
            Some(&n) if fits && per_key && n == kv_heads * size => heads(x, kv_heads)?,
            Some(1) if fits && !per_key => heads(x, 1)?,
            _ => return invalid(format!("{name} is {}, which fits no keys {}", x.ty(), k.ty())),
        };
        slices.push(apart.wide()?);
    }
    let dtype = slices.iter().find(|x| x.dtype() == DType::F64).map_or(DType::F32, |x| x.dtype());
    let (initial, own) = match node.optional(3)? {
        Some(past) if past.shape()[..] == [batch, kv_heads, size, value_size] && past.dtype().is_float() => {
            (past.to(dtype)?, past.dtype())
        }
        Some(past) => return invalid(format!("the state is {}", past.ty())),
        None => {
            let ty = tensor_type(dtype, &[batch, kv_heads, size, value_size])?;
            (node.g().constant(crate::array::Array::zeros(&ty)), q.dtype())
        }
    };
    let scale = match node.float("scale", 0.0)? {
        0.0 => 1.0 / (size as f64).sqrt(),
        scale => scale,
    };
    let step = Step { decays, corrects, group: query_heads / kv_heads, scale };
    let steps: Result<Vec<Tensor<'g>>, Fault> =
        slices.into_iter().map(|x| x.to(dtype)?.permute(&[2, 0, 1, 3])).collect();
    let mut fault = None;
    let (last, read) = node.g().scan(initial, steps?, |state: Tensor<'g>, slices: Vec<Tensor<'g>>| {
        step.apply(state, &slices).unwrap_or_else(|error| {
            fault = Some(error);
            (state, state)
        })
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    // [length, batch, heads, value] as [batch, length, heads * value].
    let y = read.permute(&[1, 0, 2, 3])?.shaped([batch, length, query_heads * value_size])?;
    Ok(vec![y.to(q.dtype())?.into(), last.to(own)?.into()])
}

/// Each channel convolved with its own kernel, over the elements before; the last of them are the state.
fn causal_conv<'g>(node: &Node<'_, 'g>) -> Results<'g> {
    let (x, w) = (node.float_input(0)?, node.float_input(1)?);
    let (&[batch, channels, _], &[filters, one, size]) = (&x.shape()[..], &w.shape()[..]) else {
        return invalid(format!("{} and a weight of {} are no channels with a kernel each", x.ty(), w.ty()));
    };
    if filters != channels || one != 1 || size == 0 || x.dtype() != w.dtype() {
        return invalid(format!("a weight of {} does not fit {}", w.ty(), x.ty()));
    }
    let state = [batch, channels, size - 1];
    let padded = match node.optional(3)? {
        Some(past) if past.shape()[..] == state && past.dtype() == x.dtype() => concat(&[past, x], 2)?,
        Some(past) => return invalid(format!("the state is {}, expected {}{state:?}", past.ty(), x.dtype())),
        None => {
            let mut widths: Dims<(usize, usize)> = SmallVec::from_elem((0, 0), 3);
            widths[2].0 = size - 1;
            x.padded(&widths, 0.0)?
        }
    };
    let extent = padded.shape()[2];
    let last = padded.part(2, extent - (size - 1), size - 1)?;
    let mut y = match channels {
        0 => x,
        _ if extent < size => x,
        _ => padded.conv(w, &Conv::new().groups(channels)),
    };
    if let Some(bias) = node.optional(2)? {
        y = y.f2(ScalarFn::Add, by_channel(bias, y)?)?;
    }
    let y = match node.text("activation", "none")? {
        "none" => y,
        "silu" | "swish" => y.f2(ScalarFn::Mul, y.f(ScalarFn::Sigmoid)?)?,
        other => return invalid(format!("activation `{other}` is not known")),
    };
    Ok(vec![y.into(), last.into()])
}
