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
