//! Normalization, attention and losses: against PyTorch, and where numbers are large, infinite, hidden or not there.

#[path = "../engines/mod.rs"]
mod engines;
mod formulas;
mod golden;
mod gradients;
mod masks;
mod stability;
#[path = "../golden/text.rs"]
mod text;

use cotangent::opt::Level;
use cotangent::prelude::*;
use engines::engines;

/// Every engine at every level of the optimizer.
fn configurations() -> Vec<Options> {
    let mut all = Vec::new();
    for engine in engines() {
        // The interpreter runs the graph as written, whatever the level.
        let levels: &[Level] = if engine == Engine::Interp { &[Level::O0] } else { &[Level::O0, Level::O1, Level::O2] };
        all.extend(levels.iter().map(|&level| Options { level, ..Options::engine(engine) }));
    }
    all
}

/// The value of `f`, and the gradients of its sum (weighted by `cotangent`, if there is one) by all float inputs.
fn value_and_gradients(
    options: &Options,
    inputs: &[Array],
    cotangent: Option<&Array>,
    f: impl for<'g> Fn(&'g Builder, &[Tensor<'g>]) -> Tensor<'g>,
) -> (Array, Vec<Array>) {
    let g = Builder::new();
    let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
    let tensors: Vec<Tensor<'_>> = names.iter().zip(inputs).map(|(n, a)| g.input(n, a.ty())).collect();
    let value = f(&g, &tensors);
    let loss = match cotangent {
        Some(cotangent) => (value * g.constant(cotangent.clone())).sum(),
        None => value.sum(),
    };
    let wrt: Vec<Tensor<'_>> = tensors.iter().copied().filter(|t| t.dtype().is_float()).collect();
    let gradients = g.grad_all(loss, &wrt);
    let labels: Vec<String> = (0..gradients.len()).map(|i| format!("g{i}")).collect();
    let mut outputs = vec![("value", value)];
    outputs.extend(labels.iter().map(String::as_str).zip(gradients));
    let mut executable = g.program(&outputs).compile(options).unwrap_or_else(|e| panic!("{e}"));
    // Only what the results need is asked for.
    let needed: Vec<String> = executable.inputs().map(|(name, _)| name.to_string()).collect();
    let given: Vec<(&str, &Array)> = names.iter().map(String::as_str).zip(inputs).collect();
    let given: Vec<(&str, &Array)> = given.into_iter().filter(|(name, _)| needed.iter().any(|n| n == name)).collect();
    let outputs = executable.run(&given).unwrap_or_else(|e| panic!("{e}"));
    let mut arrays = outputs.iter().map(|(_, a)| a.clone());
    let value = arrays.next().expect("the value is the first output");
    (value, arrays.collect())
}
