//! Lecture 7: vector-Jacobian products, and what follows from them.
//!
//! The lecture states: reverse-mode differentiation needs no Jacobian, only for each operation the product of a cotangent with it. From these rules come the
//! gradients of any acyclic graph, not of stacks of layers only; and as the rules write graphs, gradients can be differentiated again.
//!
//! The run shows: the rules of one layer's operations and of all scalar functions of one argument, written as formulas by differentiating each entry of the
//! library's table; the gradient of a graph in which values branch and meet; and Newton's method, whose Hessian is a derivative of derivatives. Expected:
//! Rosenbrock's function is 0 after 7 steps of Newton's method, and 5.9e-5 after 10,000 of gradient descent; the second derivatives of the branching graph by
//! `a` and `b`, in either order, are both -0.218819579491.
//!
//! ```text
//! cargo run --release --example lecture7_vjp
//! ```

mod lecture;

use cotangent::prelude::*;
use cotangent::prim::Map;
use cotangent::scalar::{ScalarFn, Signature};
use lecture::{Args, Outcome};

/// Points of a curve.
type Curve = Vec<(f64, f64)>;

fn main() -> Outcome {
    let args = Args::parse("Vector-Jacobian products");
    one_layer();
    table();
    no_stack();
    let curves = newton(args.or(10_000, 500))?;
    lecture::curves(&args, vec![("Rosenbrock's function", ["log step", "log value"], curves)])
}

/// Prints the cotangents of operands, for the cotangent `G` of a result.
fn rule(result: Tensor<'_>, operands: &[(&str, Tensor<'_>)]) {
    let g = result.builder();
    let cotangent = g.input(&format!("G{}", result.id().index()), result.ty());
    let wrt: Vec<Tensor<'_>> = operands.iter().map(|o| o.1).collect();
    let cotangents = g.vjp(&[(result, cotangent)], &wrt);
    let name = format!("G{}", result.id().index());
    let plain = |t: Tensor<'_>| t.to_math().to_string().trim_end().replace(&subscripted(&name), "G");
    let parts: Vec<String> =
        operands.iter().zip(cotangents).map(|((name, _), c)| format!("{name}: {}", plain(c))).collect();
    println!("  {:24} {}", plain(result), parts.join("    "));
}

/// The name as formulas write it.
fn subscripted(name: &str) -> String {
    let digit = |c: char| c.to_digit(10).and_then(|d| char::from_u32('₀' as u32 + d)).unwrap_or(c);
    name.chars().map(digit).collect()
}

/// The operations of `softmax(relu(X W + b))`.
fn one_layer() {
    let g = Builder::new();
    let (x, w) = (g.param("X", f32([8, 5])), g.param("W", f32([5, 3])));
    let (z, b) = (g.param("Z", f32([8, 3])), g.param("b", f32([3])));
    println!("operations of a layer, and for a cotangent G of the result the cotangents of the operands");
    rule(x.dot(w), &[("X", x), ("W", w)]);
    rule(z + b, &[("Z", z), ("b", b)]);
    rule(z.relu(), &[("Z", z)]);
    rule(z.tanh(), &[("Z", z)]);
    rule(z.sum_over(1), &[("Z", z)]);
    rule(z.t(), &[("Z", z)]);
    rule(z.softmax(-1), &[("Z", z)]);
    rule(z.logsumexp_over(1), &[("Z", z)]);
}

/// Every function of one number that the library knows.
fn table() {
    println!("\nscalar functions, from the table of the library");
    for &f in ScalarFn::ALL {
        let record = f.record();
        if record.arity == 1 && record.signature == Signature::Float {
            let g = Builder::new();
            let x = g.param("x", f32([4]));
            rule(g.try_push(Map { f }, &[x]).expect("functions of floats take floats"), &[("x", x)]);
        }
    }
}

/// A graph whose values are used again and again: no chain of layers.
fn no_stack() {
    let g = Builder::new();
    let (a, b) = (g.param("a", f64([])), g.param("b", f64([])));
    let u = a * b;
    let v = u.sin() + a;
    let w = u * v + v * v;
    println!("\na graph that is no stack: u = a b, v = sin u + a, w = u v + v²");
    print!("{}", w.gradients_to_math(&[a, b]));
    let [wa] = g.grad(w, [a]);
    let [waa] = g.grad(wa, [a]);
    print!("∂²/∂a² = {}", waa.to_math());
    let wab = g.grad(wa, [b])[0];
    let wba = g.grad(g.grad(w, [b])[0], [a])[0];
    let both = g.program(&[("ab", wab), ("ba", wba)]).compile(&Options::default()).map(|mut e| {
        e.params().set("a", &Array::scalar(0.7f64)).expect("a is f64");
        e.params().set("b", &Array::scalar(-1.3f64)).expect("b is f64");
        e.run(&[]).map(|o| (o.first().get_f64(0), o.get("ba").map(|a| a.get_f64(0))))
    });
    if let Ok(Ok((ab, Ok(ba)))) = both {
        println!("∂²/∂a∂b and ∂²/∂b∂a at (0.7, -1.3): {ab:.12} and {ba:.12}");
    }
}

/// `100 (x2 - x1^2)^2 + (1 - x1)^2` (H. Rosenbrock 1960), by gradient descent and by Newton's method.
fn newton(steps: usize) -> Result<Vec<(String, Curve)>, Box<dyn std::error::Error>> {
    let start = Array::from(vec![-1.2f64, 1.0]);
    let mut curves = Vec::new();
    println!("\nRosenbrock's function from (-1.2, 1)");
    for by_newton in [false, true] {
        let g = Builder::new();
        let x = g.param("x", start.clone());
        let (x1, x2) = (x.slice(0, 0..1).sum(), x.slice(0, 1..2).sum());
        let value = 100.0 * (x2 - x1 * x1).square() + (1.0 - x1).square();
        let [gradient] = g.grad(value, [x]);
        let next = if by_newton { x - g.hessian(value, x).solve(gradient) } else { x - 1e-3 * gradient };
        let mut step = g.program_with_updates(&[("value", value)], &[(x, next)]).compile(&Options::default())?;
        let (name, count) = if by_newton { ("Newton", 7) } else { ("gradient descent", steps) };
        let mut curve = Vec::new();
        for i in 0..count {
            let value: f64 = step.run(&[])?.scalar()?;
            // Powers of 1.2 are enough to draw.
            if by_newton || (i as f64).ln().div_euclid(0.18) != (i as f64 + 1.0).ln().div_euclid(0.18) {
                curve.push((i as f64 + 1.0, value.max(1e-32)));
            }
        }
        let last = step.run(&[])?.scalar::<f64>()?;
        println!("  {name:18} {count:6} steps   value {last:.1e}   x = {:?}", step.params().get("x")?.to_f64_vec());
        curves.push((name.to_owned(), curve));
    }
    Ok(curves)
}
