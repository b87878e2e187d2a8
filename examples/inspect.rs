//! Shows the two-layer network at each stage of the compiler.
//!
//! ```text
//! cargo run --release --example inspect                       all stages
//! cargo run --release --example inspect -- gradient plan      some of them
//! ```

use std::process::ExitCode;

use cotangent::opt::{self, OptOptions};
use cotangent::plan;
use cotangent::prelude::*;

/// The stages, in the order in which data goes through them.
const STAGES: [&str; 4] = ["graph", "gradient", "passes", "plan"];

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|a| !STAGES.contains(&a.as_str())) {
        eprintln!("error: there is no stage `{unknown}`; the stages are {}", STAGES.join(", "));
        return ExitCode::from(2);
    }
    let shown = |stage: &str| asked.is_empty() || asked.iter().any(|a| a == stage);

    // relu(X W1) W2 with softmax cross-entropy, for a batch of four.
    let g = Builder::new();
    let x = g.input("x", f32([4, 64]));
    let y = g.input("y", i32([4]));
    let w1 = g.param("w1", init::he([64, 100], 0));
    let w2 = g.param("w2", init::he([100, 10], 1));
    let logits = x.dot(w1).relu().dot(w2);
    let loss = logits.cross_entropy(y).mean();
    if shown("graph") {
        title("graph: what the program says");
        print!("{}", g.program(&[("loss", loss)]).graph.text());
    }

    // Differentiation and the optimizer append to the same graph. A node of the backward pass names the rule and the forward node that made it.
    let program = Sgd::new(0.2).minimize(loss).program();
    if shown("gradient") {
        title("gradient: forward, backward and update");
        print!("{}", program.graph.text());
    }

    let print_pass = |record: &opt::PassRecord<'_>| {
        if shown("passes") {
            let pass = record.pass;
            title(&format!("pass {}: {} -> {} nodes", pass.name, pass.nodes_before, pass.nodes_after));
            for (rule, count) in &pass.fired {
                println!("; {rule} {count}");
            }
            print!("{}", record.after.text());
        }
    };
    let optimized = opt::optimize(&program.graph, &OptOptions { on_pass: Some(&print_pass), ..OptOptions::default() });

    if shown("plan") {
        title("plan: kernels, buffers and their order");
        println!("{}", plan::plan(&optimized.graph));
    }
    ExitCode::SUCCESS
}

fn title(text: &str) {
    println!("\n== {text}");
}
