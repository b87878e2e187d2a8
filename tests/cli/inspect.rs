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
    let asked = folder.cotangent("dump model.cot --loss loss --format math").succeeds().out();
    assert!(asked.contains("grad_fc.weight = "), "--loss asks for the stage with the gradient: {asked}");
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
    assert!(out.contains("6 of 6 entries are not 0") && !out.contains("SKIP"), "{out}");
    folder.cotangent("check model.cot --loss labels").fails(2, &["the loss must be a scalar"]);
}

/// Differences of numbers of 16 bits would be nothing but rounding.
#[test]
fn gradients_through_short_floats_are_checked_without_their_rounding() {
    let folder = Folder::new("halves");
    for short in ["f16", "bf16"] {
        let all_short = format!(
            "%x = input {{name=\"x\"}} : {short}[4]\n%c = cast %x : f32[4]\n%e = exp %c : f32[4]\n\
             %l = reduce %e {{kind=sum, axes=[0]}} : f32[]\noutput \"loss\" = %l\n"
        );
        let between = format!(
            "%x = input {{name=\"x\"}} : f32[4]\n%h = cast %x : {short}[4]\n%c = cast %h : f32[4]\n%e = exp %c : f32[4]\n\
             %l = reduce %e {{kind=sum, axes=[0]}} : f32[]\noutput \"loss\" = %l\n"
        );
        for text in [all_short, between] {
            folder.write("model.cot", &text);
            let out = folder.cotangent("check model.cot").succeeds().out();
            assert!(out.contains("PASS  gradient by x: ") && out.contains("4 of 4 entries are not 0"), "{out}");
        }
    }
}

/// What is added before a mean is taken off has the gradient 0, which engines give as the rounding of terms that cancel.
#[test]
fn results_that_are_rounding_of_what_cancels_agree() {
    let folder = Folder::new("cancels");
    let centred = "%x = input {name=\"x\"} : f32[64, 8]\n%w = input {name=\"w\"} : f32[64, 8]\n%b = param {name=\"b\", kind=trainable} : f32[8]\n\
         %bb = broadcast %b {axes=[0]} : f32[64, 8]\n%z = add %x, %bb : f32[64, 8]\n%e = exp %z : f32[64, 8]\n\
         %m = reduce %e {kind=sum, axes=[0]} : f32[8]\n%mb = broadcast %m {axes=[0]} : f32[64, 8]\n\
         %n = div %e, %mb : f32[64, 8]\n%p = mul %n, %w : f32[64, 8]\n%l = reduce %p {kind=sum, axes=[0, 1]} : f32[]\noutput \"loss\" = %l\n";
    folder.write("model.cot", centred);
    let out = folder.cotangent("check model.cot").succeeds().out();
    assert!(out.contains("`grad_b` within what rounding the arrays moves it by"), "{out}");
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

#[test]
fn a_graph_without_outputs_has_nothing_to_run() {
    let folder = Folder::new("no_outputs");
    folder.write("model.cot", "%x = input {name=\"x\"} : f32[2]\n");
    for command in ["run", "check", "bench"] {
        folder.cotangent(&format!("{command} model.cot")).fails(1, &["the model has no outputs", "output \"NAME\""]);
    }
    let info = folder.cotangent("info model.cot").succeeds().out();
    assert!(info.contains("outputs     none"), "{info}");
    let svg = folder.cotangent("dump model.cot --format svg").succeeds().out();
    assert!(svg.starts_with("<svg"), "{svg}");
    folder.write("neg.cot", "%x = input {name=\"x\"} : f32[2]\n%y = neg %x : f32[2]\noutput \"y\" = %y\n");
    let bench = folder.cotangent("bench neg.cot --time 0.01").succeeds().out();
    assert!(bench.contains("work      0.000 GFLOP"), "{bench}");
}

#[test]
fn what_gives_nothing_to_compare_is_skipped_and_said() {
    let folder = Folder::new("check_skips");
    let summed = |function: &str| {
        format!(
            "%x = input {{name=\"x\"}} : f32[8]\n%unused = input {{name=\"unused\"}} : f32[8]\n%c = const {{value=[-2.0]}} : f32[]\n\
             %b = broadcast %c {{axes=[0]}} : f32[8]\n%m = {function} : f32[8]\n%z = sub %b, %b : f32[8]\n\
             %y = max %m, %z : f32[8]\n%l = log %m : f32[8]\n"
        )
    };
    let sum = |of: &str| format!("%s = reduce {of} {{kind=sum, axes=[0]}} : f32[]\noutput \"loss\" = %s\n");
    // The logarithm of negative numbers.
    folder.write("log.cot", summed("add %x, %b") + &sum("%l"));
    let out = folder.cotangent("check log.cot").succeeds().out();
    for part in [
        "SKIP  jit O2: all elements of all outputs are NaN",
        "SKIP  gradient by x: the loss is NaN",
        "SKIP  gradient by unused: the loss does not depend on it",
        "--input NAME=FILE",
    ] {
        assert!(out.contains(part), "{part:?} is in {out}");
    }
    folder.npy("x.npy", [3.0f32, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]);
    let out = folder.cotangent("check log.cot --input x=x.npy").succeeds().out();
    assert!(out.contains("PASS  gradient by x: ") && out.contains("8 of 8 entries are not 0"), "{out}");
    // A rectifier of negative numbers only.
    folder.write("relu.cot", summed("add %x, %b") + &sum("%y"));
    let out = folder.cotangent("check relu.cot").succeeds().out();
    assert!(out.contains("SKIP  gradient by x: all 8 entries are 0") && !out.contains("PASS  gradient"), "{out}");
    // The gradient is told to be 0 and is not.
    folder.write(
        "wrong.cot",
        "%x = input {name=\"x\"} : f32[8]\n%c = stop_gradient %x : f32[8]\n%s = reduce %c {kind=sum, axes=[0]} : f32[]\noutput \"loss\" = %s\n",
    );
    let done = folder.cotangent("check wrong.cot").fails(1, &["checks failed"]);
    assert!(done.out().contains("FAIL  gradient by x: "), "{}", done.out());
}
