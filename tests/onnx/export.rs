//! Export: what was imported or built here, written and imported again, computes the same. That onnxruntime agrees, `tests/scripts/check_onnx_export.py` checks.

use cotangent::io::onnx::{Bindings, Model};
use cotangent::prelude::*;
use cotangent::{Engine, Program};

use super::models::{distance, import, samples};

/// Where models are left for the script, if it asks for them.
fn leave(name: &str, model: &Model, inputs: &[(&str, &Array)], outputs: &[(String, Array)]) {
    let Some(folder) = std::env::var_os("ONNX_EXPORTS") else { return };
    let folder = std::path::Path::new(&folder).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    model.write(folder.join("model.onnx")).expect("the model can be written");
    let write = |kind: &str, name: &str, array: &Array| {
        let text: Vec<String> = array.to_f64_vec().iter().map(|v| format!("{v:?}")).collect();
        let text = format!("{}\n{}\n{}", array.dtype(), array.shape(), text.join(" "));
        std::fs::write(folder.join(format!("{kind}.{name}.txt")), text).expect("the array can be written");
    };
    inputs.iter().for_each(|(name, array)| write("input", name, array));
    outputs.iter().for_each(|(name, array)| write("output", name, array));
}

fn run(program: &Program, inputs: &[(&str, &Array)]) -> Vec<(String, Array)> {
    let mut compiled = program.compile(&Options::engine(Engine::Jit)).expect("it compiles");
    let results = compiled.run(&inputs.to_vec()).expect("it runs");
    let names = program.graph.outputs().iter().map(|o| o.name.to_string());
    names.map(|name| (name.clone(), results.get(&name).expect("a result").clone())).collect()
}

/// Exports a program, imports it again and compares the results.
fn round_trip(name: &str, program: &Program, inputs: &[(&str, &Array)]) {
    let model = Model::of_program(program, &Params::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let before = run(program, inputs);
    leave(name, &model, inputs, &before);
    let read = Model::from_bytes(model.to_bytes()).expect("a model");
    let again = read.import(&Bindings::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
    for ((result, before), (_, after)) in before.iter().zip(run(&again.program(), inputs)) {
        let d = distance(&after, before);
        assert!(d < 1e-5, "{name}: {result} is {d} from what it was");
    }
}

#[test]
fn imported_models_are_the_same_after_export() {
    for sample in samples() {
        round_trip(&sample.name, &sample.import().program(), &sample.inputs());
    }
}

#[test]
fn composites_are_the_same_after_export() {
    let ramp = |shape: &[usize]| {
        let n: usize = shape.iter().product();
        Array::new(shape, (0..n).map(|i| ((i * 37 % 23) as f32 - 11.0) / 7.0).collect()).expect("it fits")
    };
    let g = Builder::new();
    let x = g.input("x", f32([2, 4, 6]));
    let image = g.input("image", f32([2, 3, 8, 8]));
    let ids = g.input("ids", i32([2, 5]));
    let w = g.param("w", ramp(&[6, 6]));
    let kernel = g.param("kernel", ramp(&[4, 3, 3, 3]));
    let back = g.param("back", ramp(&[3, 2, 3, 3]));
    let table = g.param("table", ramp(&[7, 4]));
    let h0 = g.zeros(f32([4, 6]));
    let (last, all) = g.scan(h0, x, |h, x| {
        let h = (h + x).tanh();
        (h, h)
    });
    let (_, backwards) = g.scan_with(Scan::new().reverse(), h0, x, |h, x| (h + x, h + x));
    let outputs = [
        ("product", x.dot(w)),
        ("softmax", x.softmax(-1)),
        ("norm", x.layer_norm(1e-5)),
        ("gelu", x.gelu()),
        ("conv", image.conv(kernel, &Conv::new().strides(2).padding(1))),
        ("transposed", image.conv_transpose(back, &Conv::new().strides(2).padding(1))),
        ("max_pool", image.max_pool(&Pool::new(3).strides(2).padding(1))),
        ("avg_pool", image.avg_pool(&Pool::new(3).strides(2).padding(1).count_include_pad(false))),
        ("embedding", table.embedding(ids)),
        ("one_hot", ids.one_hot(7, DType::F32)),
        ("argmax", x.argmax(1)),
        ("sort", x.sort(-1, true)),
        ("cumsum", x.cumsum(1)),
        ("flip", x.flip([0, 2])),
        ("mean", x.mean()),
        ("std", x.std_over(1, 0)),
        ("logsumexp", x.logsumexp_over(2)),
        ("power", (x.abs() + 0.5).pow(x)),
        ("where", x.gt(0.0).select(x, x * 0.1)),
        ("scatter", table.index_add(g.constant([1i64, 1, 3]), g.constant(ramp(&[3, 4])), 0)),
        ("scan", all),
        ("last", last),
        ("backwards", backwards),
        ("chosen", g.cond(x.mean().gt(0.0), || x.exp(), || x * 2.0)),
    ];
    let program = g.program(&outputs);
    let ids = Array::from([[0i32, 3, 6, 1, 2], [5, 5, 4, 0, 6]]);
    round_trip("composites", &program, &[("x", &ramp(&[2, 4, 6])), ("image", &ramp(&[2, 3, 8, 8])), ("ids", &ids)]);
}

/// A vector of numbers of its own.
fn bias<'g>(x: Tensor<'g>, n: usize) -> Tensor<'g> {
    let values: Vec<f32> = (0..n).map(|i| i as f32 * 0.3 - 0.7).collect();
    x.builder().param("bias", Array::from(values))
}

/// Windows and what is computed of them become the operators that ONNX has for them, in any layout, and nothing else is left of them.
#[test]
fn composites_become_operators() {
    let ramp = |shape: &[usize]| {
        let n: usize = shape.iter().product();
        Array::new(shape, (0..n).map(|i| ((i * 37 % 23) as f32 - 11.0) / 7.0).collect()).expect("it fits")
    };
    type Build = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;
    // A name, the shapes of operand and weight, the operator.
    type Case<'a> = (&'a str, &'a [usize], &'a [usize], &'a str, Build);
    let cases: &[Case<'_>] = &[
        ("line", &[2, 3, 9], &[4, 3, 3], "Conv", |x, w| x.conv(w, &Conv::new().strides(2).padding([(1, 2)]))),
        ("plain", &[2, 3, 8, 7], &[4, 3, 3, 2], "Conv", |x, w| x.conv(w, &Conv::new())),
        ("spread", &[1, 3, 9, 9], &[4, 3, 3, 3], "Conv", |x, w| {
            x.conv(w, &Conv::new().dilation([2, 1]).padding([2, 1]))
        }),
        ("groups", &[2, 4, 6, 6], &[6, 2, 3, 3], "Conv", |x, w| {
            x.conv(w, &Conv::new().groups(2).padding(1).strides([1, 2]))
        }),
        ("depthwise", &[2, 4, 6, 6], &[4, 1, 3, 3], "Conv", |x, w| x.conv(w, &Conv::new().groups(4))),
        ("volume", &[1, 2, 5, 4, 6], &[3, 2, 2, 3, 3], "Conv", |x, w| x.conv(w, &Conv::new().padding([1, 0, 1]))),
        ("point", &[2, 3, 4, 4], &[5, 3, 1, 1], "Conv", |x, w| x.conv(w, &Conv::new())),
        ("last", &[2, 8, 7, 3], &[3, 3, 3, 4], "Conv", |x, w| {
            x.conv(w, &Conv::new().channels_last().strides(2).padding(Padding::Same))
        }),
        ("last_groups", &[2, 8, 7, 4], &[3, 3, 2, 6], "Conv", |x, w| x.conv(w, &Conv::new().channels_last().groups(2))),
        ("max", &[2, 3, 8, 8], &[1], "MaxPool", |x, _| x.max_pool(&Pool::new(3).strides(2).padding(1))),
        ("max_spread", &[2, 3, 9], &[1], "MaxPool", |x, _| x.max_pool(&Pool::new(2).strides(1).dilation(3))),
        ("max_ceil", &[1, 2, 7, 7], &[1], "MaxPool", |x, _| x.max_pool(&Pool::new(2).ceil_mode(true))),
        ("max_last", &[2, 8, 8, 3], &[1], "MaxPool", |x, _| x.max_pool(&Pool::new(2).channels_last())),
        ("average", &[2, 3, 8, 8], &[1], "AveragePool", |x, _| x.avg_pool(&Pool::new(2))),
        ("average_padded", &[2, 3, 8, 8], &[1], "AveragePool", |x, _| x.avg_pool(&Pool::new(3).padding(1))),
        ("average_own", &[2, 3, 8, 7], &[1], "AveragePool", |x, _| {
            x.avg_pool(&Pool::new([3, 2]).strides(2).padding(1).count_include_pad(false))
        }),
        ("average_volume", &[1, 2, 4, 6, 4], &[1], "AveragePool", |x, _| x.avg_pool(&Pool::new(2))),
        ("line_bias", &[2, 3, 9], &[4, 3, 3], "Conv", |x, w| x.conv(w, &Conv::new()) + bias(x, 4).reshape([4, 1])),
        ("back", &[2, 4, 5, 6], &[4, 2, 3, 3], "ConvTranspose", |x, w| {
            x.conv_transpose(w, &Conv::new().strides(2).padding(1))
        }),
        ("back_line", &[2, 4, 5], &[4, 3, 4], "ConvTranspose", |x, w| {
            x.conv_transpose(w, &Conv::new().strides(2).padding([(1, 0)])) + bias(x, 3).reshape([3, 1])
        }),
        ("back_spread", &[1, 2, 4, 5], &[2, 3, 3, 2], "ConvTranspose", |x, w| {
            x.conv_transpose(w, &Conv::new().dilation([2, 3]).strides([1, 3]))
        }),
        ("back_groups", &[2, 4, 5, 6], &[4, 3, 3, 3], "ConvTranspose", |x, w| {
            let y = x.conv_transpose(w, &Conv::new().groups(2).padding(1));
            y + bias(x, 6).reshape([6, 1, 1])
        }),
        ("back_last", &[2, 5, 6, 4], &[3, 3, 4, 2], "ConvTranspose", |x, w| {
            x.conv_transpose(w, &Conv::new().channels_last().strides(2))
        }),
        ("gemm", &[4, 3], &[3, 5], "Gemm", |x, w| x.linear(w, bias(x, 5))),
        ("gemm_right", &[4, 3], &[5, 3], "Gemm", |x, w| x.dot(w.t()) + bias(x, 5)),
        ("gemm_left", &[3, 4], &[3, 5], "Gemm", |x, w| x.t().dot(w)),
        ("gemm_both", &[3, 4], &[5, 3], "Gemm", |x, w| x.t().dot(w.t()) + bias(x, 5)),
        ("rows", &[2, 4, 3], &[3, 5], "MatMul", |x, w| x.dot(w)),
        ("norm", &[2, 3, 5], &[5], "LayerNormalization", |x, w| x.layer_norm(1e-5).affine(w, bias(x, 5), -1)),
        ("norm_alone", &[2, 3, 5], &[1], "LayerNormalization", |x, _| x.layer_norm(0.01)),
        ("norm_gain", &[3, 5], &[5], "LayerNormalization", |x, w| x.layer_norm(0.01) * w),
        ("norm_of_all", &[3, 5], &[3, 5], "LayerNormalization", |x, w| x.layer_norm_over([0, 1], 1e-3) * w),
        ("norm_of_two", &[2, 3, 5], &[3, 5], "LayerNormalization", |x, w| {
            x.layer_norm_over([1, 2], 1e-3).affine(w, w, [1, 2])
        }),
        ("norm_of_variance", &[4, 5], &[5], "LayerNormalization", |x, w| {
            (x - x.mean_keep(-1)) * (x.variance_keep(-1, 0) + 1e-3).rsqrt() * w
        }),
        ("softmax", &[3, 5], &[1], "Softmax", |x, _| x.softmax(-1)),
        ("softmax_first", &[3, 5], &[1], "Softmax", |x, _| x.softmax(0)),
        ("log_softmax", &[3, 5], &[1], "LogSoftmax", |x, _| x.log_softmax(-1)),
        ("gelu", &[3, 5], &[1], "Gelu", |x, _| x.gelu()),
        ("gelu_tanh", &[3, 5], &[1], "Gelu", |x, _| x.gelu_tanh()),
        ("gelu_formula", &[3, 5], &[1], "Gelu", |x, _| x * 0.5 * ((x / 2f64.sqrt()).erf() + 1.0)),
        ("gelu_of_many", &[70, 1000], &[1], "Gelu", |x, _| x.gelu()),
    ];
    for &(name, of_x, of_w, operator, build) in cases {
        let g = Builder::new();
        let (x, w) = (g.input("x", f32(of_x)), g.param("w", ramp(of_w)));
        let program = g.program(&[("y", build(x, w))]);
        let operators = Model::of_program(&program, &Params::new()).expect("a model").operators();
        assert_eq!(operators.get(operator), Some(&1), "{name}: {operators:?}");
        let moves = ["Transpose", "Reshape", "Identity"];
        assert!(operators.keys().all(|o| o == operator || moves.contains(&&**o)), "{name}: {operators:?}");
        if !name.contains("last") {
            assert!(
                !operators.contains_key("Transpose") && !operators.contains_key("Reshape"),
                "{name}: {operators:?}"
            );
        }
        round_trip(name, &program, &[("x", &ramp(of_x))]);
    }
}

/// What is like a composite, but is none, stays what it is; a step inside of one that is a result too is written twice.
#[test]
fn what_is_no_composite_is_left_alone() {
    let g = Builder::new();
    let x = g.input("x", f32([1, 2, 4, 4]));
    let windows = x.max_pool(&Pool::new(2));
    let around = x.pad(&[(0, 0), (0, 0), (1, 1), (1, 1)], 1.0);
    let inner = (x - x.max_keep(-1)).exp();
    let outputs = [
        ("filled", around.conv(g.constant(Array::full(&f32([1, 2, 3, 3]), 0.5)), &Conv::new())),
        ("halves", x.avg_pool(&Pool::new(2)) / 2.0),
        ("sums", x.avg_pool(&Pool::new(2)) * 4.0),
        ("inner", inner),
        ("softmax", inner / inner.sum_keep(-1)),
        ("by_another", inner / inner.sum_keep(0)),
        ("windows", windows),
        // Over other axes, with the mean or the count of others, or divided by another root.
        ("norm_of_first", x.layer_norm_over([1, 2], 1e-3)),
        ("norm_by_another", (x - x.mean_keep(-2)) * (x.variance_keep(-1, 0) + 1e-3).rsqrt()),
        ("norm_of_samples", (x - x.mean_keep(-1)) * (x.variance_keep(-1, 1) + 1e-3).rsqrt()),
        ("norm_of_squares", (x - x.mean_keep(-1)) * (x.square().mean_keep(-1) + 1e-3).rsqrt()),
        ("norm_rows", x.layer_norm(1e-3) * x.slice(2, 0..1)),
        // Of another element, with another factor, or another part.
        ("gelu_of_another", x * 0.5 * ((x.exp() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0)),
        ("gelu_scaled", x * 0.5 * ((x * 0.7).erf() + 1.0)),
        ("gelu_doubled", x * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0)),
    ];
    let program = g.program(&outputs);
    let x: Vec<f32> = (0..32).map(|i| (i * 7 % 11) as f32 / 3.0).collect();
    let operators = Model::of_program(&program, &Params::new()).expect("a model").operators();
    // That of the rows, whose gain is none of the axis.
    assert_eq!(operators.get("LayerNormalization"), Some(&1), "{operators:?}");
    assert_eq!(operators.get("Gelu"), None, "{operators:?}");
    round_trip("no_composites", &program, &[("x", &Array::new([1, 2, 4, 4], x).expect("it fits"))]);
}

#[test]
fn trained_values_go_back_into_the_file() {
    let samples = samples();
    let sample = samples.iter().find(|s| s.name == "mlp").expect("the model");
    let imported = sample.import();
    let loss = imported.tensor("loss").expect("a loss");
    let mut step = Sgd::new(0.1).minimize(loss).compile(&Options::default()).expect("it compiles");
    let x = sample.of("input").next().expect("an input").1;
    let first: f32 = step.run(&[("x0", x)]).expect("it runs").scalar().expect("a loss");
    let mut last = first;
    for _ in 0..20 {
        last = step.run(&[("x0", x)]).expect("it runs").scalar().expect("a loss");
    }
    assert!(last < first, "{last} after {first}");
    let mut forward = step.forward(imported.tensor("y").expect("the output")).expect("it compiles");
    let expected = forward.run(&[("x0", x)]).expect("it runs").first().clone();

    let names: Vec<String> = imported.params().iter().map(|(name, _)| name.to_string()).collect();
    let values = names.iter().map(|name| (&**name, step.params().get(name).expect("a parameter")));
    let trained = sample.model.with_initializers(values).expect("the types are the same");
    let trained = Model::from_bytes(trained.to_bytes()).expect("a model");
    let outputs = run(&import(&trained, &[("x0", x)]).program(), &[("x0", x)]);
    leave("trained", &trained, &[("x0", x)], &outputs);
    let y = &outputs.iter().find(|(name, _)| name == "y").expect("the output").1;
    assert!(distance(y, &expected) < 1e-6);
    assert!(trained.with_initializers([("nothing", Array::scalar(1.0f32))]).is_err());
}
