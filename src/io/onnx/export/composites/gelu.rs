//! The Gaussian error linear unit, exact or by its approximation, of which large elements may be held apart.
//!
//! ```text
//!   h (1/2 + 1/2 erf(h / sqrt 2))                             with h the element,
//!   h (1/2 + 1/2 tanh(sqrt(2/pi) (h + 0.044715 h^3)))         or the element held within bounds, and the element itself above them
//! ```

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use crate::graph::{DType, Graph, NodeId};
use crate::prim::Op;
use crate::scalar::ScalarFn;

use super::super::writer::{Writer, text};
use super::of_map;

pub(super) struct Gelu {
    pub x: NodeId,
    approximate: bool,
}

/// The unit that a choice or a product ends.
pub(super) fn find(graph: &Graph, id: NodeId) -> Option<Gelu> {
    // onnxruntime has the operator for these floats.
    if graph.ty(id).dtype != DType::F32 {
        return None;
    }
    let Some(operands) = of_map(graph, id, ScalarFn::Select) else { return ungated(graph, id) };
    let &[above, x, product] = &operands[..] else { return None };
    let gelu = ungated(graph, product)?;
    (held(graph, gelu.x, above)? == x).then_some(Gelu { x, ..gelu })
}

/// The element that is held within bounds from which on a gate has all of its digits.
fn held(graph: &Graph, id: NodeId, above: NodeId) -> Option<NodeId> {
    let &[over, high, rest] = &of_map(graph, id, ScalarFn::Select)?[..] else { return None };
    let &[under, low, x] = &of_map(graph, rest, ScalarFn::Select)?[..] else { return None };
    let beyond = |id: NodeId, f: ScalarFn, bound: NodeId| {
        of_map(graph, id, f).is_some_and(|o| o[0] == x && number(graph, o[1]) == number(graph, bound))
    };
    let (low_value, high_value) = (number(graph, low)?, number(graph, high)?);
    let bounded = low_value <= -20.0 && high_value >= 20.0;
    let fits = over == above && beyond(over, ScalarFn::Gt, high) && beyond(under, ScalarFn::Lt, low);
    (bounded && fits).then_some(x)
}

/// An element times its gate.
fn ungated(graph: &Graph, id: NodeId) -> Option<Gelu> {
    let mut product = Product::default();
    product.take(graph, id, 0);
    let &[first, second] = &product.factors[..] else { return None };
    [(first, second), (second, first)].into_iter().find_map(|(x, gate)| {
        let terms = of_map(graph, gate, ScalarFn::Add)?;
        [(terms[0], terms[1]), (terms[1], terms[0])].into_iter().find_map(|(constant, function)| {
            let mut scaled = Product::default();
            scaled.take(graph, function, 0);
            let &[inner] = &scaled.factors[..] else { return None };
            let is_half = |v: f64| close(v * product.number, 0.5);
            if !is_half(number(graph, constant)?) || !is_half(scaled.number) {
                return None;
            }
            if let Some(operands) = of_map(graph, inner, ScalarFn::Erf) {
                return is_power(graph, operands[0], x, 1, FRAC_1_SQRT_2).then_some(Gelu { x, approximate: false });
            }
            let operands = of_map(graph, inner, ScalarFn::Tanh)?;
            let mut outer = Product::default();
            outer.take(graph, operands[0], 0);
            let &[sum] = &outer.factors[..] else { return None };
            let terms = of_map(graph, sum, ScalarFn::Add)?;
            let cubic = |a: NodeId, b: NodeId| is_power(graph, a, x, 1, 1.0) && is_power(graph, b, x, 3, 0.044715);
            let fits =
                close(outer.number, FRAC_2_PI.sqrt()) && (cubic(terms[0], terms[1]) || cubic(terms[1], terms[0]));
            fits.then_some(Gelu { x, approximate: true })
        })
    })
}

/// Factors, of which numbers are multiplied.
struct Product {
    number: f64,
    factors: Vec<NodeId>,
}

impl Default for Product {
    fn default() -> Product {
        Product { number: 1.0, factors: Vec::new() }
    }
}

impl Product {
    fn take(&mut self, graph: &Graph, id: NodeId, depth: usize) {
        if let Some(value) = number(graph, id) {
            self.number *= value;
            return;
        }
        if depth < 4
            && let Some(factors) = of_map(graph, id, ScalarFn::Mul)
        {
            factors.iter().for_each(|&factor| self.take(graph, factor, depth + 1));
            return;
        }
        match of_map(graph, id, ScalarFn::Div).map(|o| (o[0], number(graph, o[1]))) {
            Some((dividend, Some(divisor))) if depth < 4 => {
                self.number /= divisor;
                self.take(graph, dividend, depth + 1);
            }
            _ => self.factors.push(id),
        }
    }
}

/// True for `factor x^n`.
fn is_power(graph: &Graph, id: NodeId, x: NodeId, n: usize, factor: f64) -> bool {
    let mut product = Product::default();
    product.take(graph, id, 0);
    close(product.number, factor) && product.factors.len() == n && product.factors.iter().all(|&f| f == x)
}

/// The number that is repeated in a tensor.
fn number(graph: &Graph, mut id: NodeId) -> Option<f64> {
    while matches!(graph.op(id), Op::Broadcast(_) | Op::Reshape(_)) {
        id = graph.operands(id)[0];
    }
    match graph.op(id) {
        Op::Const(constant) if constant.value.shape().numel() == 1 => Some(constant.value.get_f64(0)),
        _ => None,
    }
}

/// True for the same number in single precision.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}

impl Gelu {
    pub fn write(&self, w: &mut Writer, x: &str) -> String {
        w.need(20);
        w.emit("Gelu", &[x], vec![text("approximate", if self.approximate { "tanh" } else { "none" })])
    }
}
