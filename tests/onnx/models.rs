//! Models as PyTorch's two exporters and scikit-learn's converter write them: outputs as onnxruntime has them, gradients as PyTorch has them.

use std::path::{Path, PathBuf};

use cotangent::io::onnx::{Bindings, Imported, Model, read_tensor};
use cotangent::{Array, Engine, Options, Tensor};

use super::archive;

/// A model and arrays: `input/X`, `output/Y`, `grad/P`.
pub struct Sample {
    pub name: String,
    pub model: Model,
    pub arrays: Vec<(String, Array)>,
}

impl Sample {
    /// The arrays of a kind, by the rest of their names.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Array)> {
        self.arrays.iter().filter_map(move |(name, array)| Some((name.strip_prefix(kind)?.strip_prefix('/')?, array)))
    }

    pub fn inputs(&self) -> Vec<(&str, &Array)> {
        self.of("input").collect()
    }

    /// The import for the shapes of the inputs.
    pub fn import(&self) -> Imported {
        import(&self.model, &self.inputs())
    }
}

pub fn import(model: &Model, inputs: &[(&str, &Array)]) -> Imported {
    let bindings = inputs.iter().fold(Bindings::new(), |b, (name, value)| b.shape(name, value.shape()));
    model.import(&bindings).unwrap_or_else(|e| panic!("{e}"))
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/models")
}

/// All models beside this file.
pub fn samples() -> Vec<Sample> {
    let files = std::fs::read_dir(folder()).expect("there is the folder").map(|entry| entry.expect("a file").path());
    let mut models: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "onnx")).collect();
    models.sort();
    assert!(models.len() > 15, "{} models", models.len());
    let sample = |path: &PathBuf| Sample {
        name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
        model: Model::read(path).unwrap_or_else(|e| panic!("{e}")),
        arrays: archive::read(&path.with_extension("gz"))
            .into_iter()
            .map(|(name, data)| (name, read_tensor(&data).expect("a tensor").1))
            .collect(),
    };
    models.iter().map(sample).collect()
}

/// The largest difference of two arrays of one type, by the larger of 1 and the number expected.
pub fn distance(actual: &Array, expected: &Array) -> f64 {
    assert_eq!(actual.ty(), expected.ty());
    let pairs = actual.to_f64_vec().into_iter().zip(expected.to_f64_vec());
    pairs
        .map(|(a, e)| (a - e).abs() / e.abs().max(1.0))
        .fold(0.0, |most, d| if d.is_nan() { f64::NAN } else { d.max(most) })
}

fn engines() -> [Options; 2] {
    [Engine::Interp, Engine::Jit].map(Options::engine)
}

#[test]
fn outputs_are_those_of_onnxruntime() {
    for sample in samples() {
        let imported = sample.import();
        for options in engines() {
            let mut program = imported.program().compile(&options).expect("it compiles");
            let results = program.run(&sample.inputs()).expect("it runs");
            let mut compared = 0;
            for (name, expected) in sample.of("output") {
                let d = distance(results.get(name).expect("the result"), expected);
                assert!(d < 1e-4, "{}: {name} is {d} from what onnxruntime has ({:?})", sample.name, options.engine);
                compared += 1;
            }
            assert!(compared > 0, "{}: there is nothing to compare", sample.name);
        }
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    let mut compared = 0;
    for sample in samples() {
        let imported = sample.import();
        let wrt: Vec<(&str, &Array)> = sample.of("grad").collect();
        if wrt.is_empty() {
            continue;
        }
        let g = imported.builder();
        let loss = imported.tensor("loss").expect("the model has a loss");
        let tensors: Vec<Tensor<'_>> =
            wrt.iter().map(|(name, _)| imported.tensor(name).expect("the parameter")).collect();
        let gradients = g.grad_all(loss, &tensors);
        let outputs: Vec<(&str, Tensor<'_>)> = wrt.iter().map(|w| w.0).zip(gradients).collect();
        let program = g.program(&outputs);
        for options in engines() {
            let mut compiled = program.compile(&options).expect("it compiles");
            let results = compiled.run(&sample.inputs()).expect("it runs");
            for (name, expected) in &wrt {
                let d = distance(results.get(name).expect("the gradient"), expected);
                assert!(d < 1e-4, "{}: d loss / d {name} is {d} from PyTorch's ({:?})", sample.name, options.engine);
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared} gradients are compared");
}

/// What is learned are the parameters of the module, not the constants that exporters store beside them.
#[test]
fn constants_that_exporters_store_are_not_trained() {
    for sample in samples().iter().filter(|s| s.of("grad").count() > 0) {
        let imported = sample.import();
        let trained = imported.builder().params();
        assert!(trained.iter().all(|p| p.rank() > 0), "{}: a scalar is trained", sample.name);
        let known: Vec<_> = sample.of("grad").filter_map(|(name, _)| imported.tensor(name)).map(|t| t.id()).collect();
        let inputs: Vec<_> = imported.inputs().iter().map(|(_, t)| t.id()).collect();
        for id in known.iter().filter(|id| !inputs.contains(id)) {
            assert!(trained.iter().any(|p| p.id() == *id), "{}: a weight is not trained", sample.name);
        }
    }
}
