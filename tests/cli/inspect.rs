//! `cotangent dump`, `cotangent bench` and `cotangent check`.

use cotangent::Graph;

use super::{Folder, with_model};

#[test]
fn every_stage_is_written() {
    let folder = with_model("stages");
    let graph = folder.cotangent("dump model.cot").succeeds().out();
    assert_eq!(graph.parse::<Graph>().unwrap().outputs().len(), 3);
    let gradient = folder.cotangent("dump model.cot --stage grad --loss loss --wrt x").succeeds().out();
    let gradient: Graph = gradient.parse().unwrap();
    assert_eq!(&*gradient.outputs()[3].name, "grad_x");
    let all = folder.cotangent("dump model.cot --stage opt --loss loss").succeeds().out();
    assert!(all.contains("output \"grad_fc.weight\""), "the gradient is by all parameters: {all}");
    for (stage, part) in [("plan", "buffers"), ("clif", "function"), ("asm", "ret")] {
        let text = folder.cotangent(&format!("dump model.cot --stage {stage}")).succeeds().out();
        assert!(text.contains(part), "{part:?} is in {text}");
    }
}

#[test]
fn graphs_are_written_in_every_format() {
    let folder = with_model("formats");
    for stage in ["--stage graph", "--stage grad --loss loss", "--stage opt"] {
        let dot = folder.cotangent(&format!("dump model.cot {stage} --format dot")).succeeds().out();
        assert!(dot.starts_with("digraph"), "{dot}");
        let svg = folder.cotangent(&format!("dump model.cot {stage} --format svg")).succeeds().out();
        assert!(svg.contains("<svg") && svg.contains("fc.weight"), "{svg}");
        let json = folder.cotangent(&format!("dump model.cot {stage} --format json")).succeeds().out();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["nodes"][0]["name"], "x");
        let math = folder.cotangent(&format!("dump model.cot {stage} --format math")).succeeds().out();
        assert!(math.contains("loss = ") && math.contains("fc.weight"), "{math}");
        let latex = folder.cotangent(&format!("dump model.cot {stage} --format latex")).succeeds().out();
        assert!(latex.starts_with("\\begin{align*}"), "{latex}");
    }
    folder.cotangent("dump model.cot --stage plan --format svg").fails(2, &["written as text only"]);
    folder.cotangent("dump model.cot --stage grad").fails(2, &["--stage grad needs --loss"]);
    folder.cotangent("dump model.cot --stage wish").fails(2, &["graph, grad, opt, plan, clif, asm"]);
}

#[test]
fn a_sound_model_passes_all_checks() {
    let folder = with_model("check");
    let out = folder.cotangent("check model.cot").succeeds().out();
    for part in [
        "PASS  plan: ",
        "PASS  plan evaluated: ",
        "PASS  jit O2: 3 outputs",
        "PASS  gradient by x: ",
        "PASS  gradient by fc.weight: ",
    ] {
        assert!(out.contains(part), "{part:?} is in {out}");
    }
    assert!(!out.contains("FAIL") && out.contains("in double precision"), "{out}");
    folder.cotangent("check model.cot --loss labels").fails(1, &["the loss must be a scalar"]);
}

#[test]
fn a_wrong_gradient_fails() {
    // The derivative that the graph is told for `x` is that of 0, whatever the function.
    let folder = Folder::new("wrong_gradient");
    folder.write(
        "model.cot",
        "%0 = input {name=\"x\"} : f32[2]\n%1 = stop_gradient %0 : f32[2]\n%2 = mul %1, %0 : f32[2]\n\
         %3 = reduce %2 {kind=sum, axes=[0]} : f32[]\noutput \"loss\" = %3\n",
    );
    let done = folder.cotangent("check model.cot").fails(1, &["1 of 11 checks failed"]);
    assert!(done.out().contains("FAIL  gradient by x: "), "{}", done.out());
}

#[test]
fn a_benchmark_tells_times_and_limits() {
    let folder = with_model("bench");
    let out = folder.cotangent("bench model.cot --time 0.01 --compare-interp --loss loss").succeeds().out();
    for part in ["step ", "interp ", "work ", "GFLOP/s", "limit ", "kernels ", "compiled "] {
        assert!(out.contains(part), "{part:?} is in {out}");
    }
    folder.cotangent("bench model.cot --time soon").fails(2, &["`soon` is not a time in seconds"]);
}
