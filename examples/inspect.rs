//! Shows the two-layer network at each stage of the compiler.
//!
//! ```text
//! cargo run --release --example inspect                       all stages
//! cargo run --release --example inspect -- graph plan         some of them
//! ```

use std::process::ExitCode;

use cotangent::prelude::*;

fn main() -> ExitCode {
    let mut stages = Vec::new();
    for name in std::env::args().skip(1) {
        if name == "--help" || name == "-h" {
            let names: Vec<&str> = Stage::ALL.iter().map(|stage| stage.name()).collect();
            println!("Shows a two-layer network at each stage of the compiler, or at those named.\n");
            println!("Usage: inspect [STAGE]...\n\nStages: {}", names.join(", "));
            return ExitCode::SUCCESS;
        }
        match name.parse::<Stage>() {
            Ok(stage) => stages.push(stage),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
        }
    }
    if stages.is_empty() {
        stages = Stage::ALL.to_vec();
    }

    // relu(X W1) W2 with softmax cross-entropy, for a batch of four.
    let g = Builder::new();
    let x = g.input("x", f32([4, 64]));
    let y = g.input("y", i32([4]));
    let w1 = g.param("w1", init::he([64, 100], 0));
    let w2 = g.param("w2", init::he([100, 10], 1));
    let logits = x.dot(w1).relu().dot(w2);
    let loss = logits.cross_entropy(y).mean();

    // Differentiation and the optimizer append to the same graph. A node of the backward pass names the rule and the forward node that made it.
    let step = match Sgd::new(0.2).minimize(loss).compile(&Options::default()) {
        Ok(step) => step,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    for stage in stages {
        println!("\n== {}", stage.name());
        match step.dump(stage) {
            Ok(text) => println!("{}", text.trim_end()),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("\n== report\n{}", step.report());
    ExitCode::SUCCESS
}
