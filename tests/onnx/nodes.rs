//! The node tests of the ONNX project on both engines, and the table of what is supported.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use cotangent::io::onnx::{Bindings, Model, ModelError, NEWEST, OnnxType, read_held_tensor, supported};
use cotangent::{Array, DType, Engine, Options};

use super::archive;

/// A model with lists of inputs and expected results.
#[derive(Default)]
struct Case {
    tolerance: (f64, f64),
    model: Vec<u8>,
    inputs: BTreeMap<String, Vec<u8>>,
    outputs: BTreeMap<String, Vec<u8>>,
}

fn cases(path: &Path) -> BTreeMap<String, Case> {
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    for (name, data) in archive::read(path) {
        let (case, part) = name.split_once('/').expect("a case and a part of it");
        let case = cases.entry(case.to_owned()).or_default();
        if part == "model" {
            case.model = data;
        } else if part == "tolerance" {
            let text = String::from_utf8(data).expect("text");
            let (relative, absolute) = text.split_once(' ').expect("two numbers");
            case.tolerance = (relative.parse().expect("a number"), absolute.parse().expect("a number"));
        } else {
            let list = if part.contains("input") { &mut case.inputs } else { &mut case.outputs };
            list.insert(part.to_owned(), data);
        }
    }
    cases
}

/// How a case ends.
enum Outcome {
    Passed,
    Failed(String),
    Unsupported(String),
}

/// The arrays of records; `Err` with the outcome if one has an element type that there is not.
fn arrays(records: &BTreeMap<String, Vec<u8>>) -> Result<Vec<(String, Array, OnnxType)>, Outcome> {
    let read = |data: &Vec<u8>| match read_held_tensor(data) {
        Ok(read) => Ok(read),
        Err(ModelError::Tensor { what, .. }) if what.contains("not supported") => Err(Outcome::Unsupported(what)),
        Err(error) => Err(Outcome::Failed(error.to_string())),
    };
    records.values().map(read).collect()
}

fn run(name: &str, case: &Case) -> Outcome {
    match try_run(name, case) {
        Ok(()) => Outcome::Passed,
        Err(outcome) => outcome,
    }
}

fn try_run(name: &str, case: &Case) -> Result<(), Outcome> {
    let failed = |error: String| Outcome::Failed(error);
    if case.outputs.is_empty() {
        return Err(Outcome::Unsupported("values that are no tensors".to_owned()));
    }
    let model = Model::from_bytes(case.model.clone()).map_err(|e| failed(e.to_string()))?;
    let (inputs, expected) = (arrays(&case.inputs)?, arrays(&case.outputs)?);
    let bindings = Bindings::new().hold_integers().hold_floats();
    let bindings = inputs.iter().fold(bindings, |b, (name, value, _)| b.value(name, value.clone()));
    let imported = model.import(&bindings).map_err(|error| {
        if error.is_unsupported() { Outcome::Unsupported(error.to_string()) } else { failed(error.to_string()) }
    })?;
    // Inputs that no result depends on are no inputs of the program.
    let program = imported.program();
    let live = program.graph.live();
    let given: Vec<(&str, &Array)> = imported
        .inputs()
        .iter()
        .filter(|(_, tensor)| live[tensor.id().index()])
        .map(|(name, _)| *name)
        .map(|name| (name, &inputs.iter().find(|(n, ..)| n == name).expect("the input has a value").1))
        .collect();
    // What is drawn at random is anything of its type.
    let is_random = model.operators().contains_key("Bernoulli") || name.starts_with("bernoulli");
    for engine in [Engine::Interp, Engine::Jit] {
        let options = Options { threads: std::num::NonZero::new(1), ..Options::engine(engine) };
        let mut compiled = program.compile(&options).map_err(|e| failed(e.to_string()))?;
        let results = compiled.run(&given).map_err(|e| failed(e.to_string()))?;
        for (name, expected, own) in &expected {
            if imported.element_type(name) != Some(*own) {
                return Err(failed(format!("{name} is {:?} instead of {own}", imported.element_type(name))));
            }
            let actual = results.get(name).map_err(|e| failed(e.to_string()))?;
            if is_random && actual.ty() == expected.ty() {
                continue;
            }
            if let Some(what) = differs(actual, expected, case.tolerance) {
                return Err(failed(format!("{engine:?}: {name}: {what}")));
            }
        }
    }
    Ok(())
}

/// Why two arrays are not the same, within a tolerance for floats. Without one, they have the same bits.
fn differs(actual: &Array, expected: &Array, (relative, absolute): (f64, f64)) -> Option<String> {
    if actual.ty() != expected.ty() {
        return Some(format!("{} instead of {}", actual.ty(), expected.ty()));
    }
    let exact = (relative, absolute) == (0.0, 0.0);
    // What is expected was computed in single precision, in which the largest element leaves this much open of the others.
    let largest = expected.to_f64_vec().into_iter().map(f64::abs).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let absolute = absolute + largest * f64::from(f32::EPSILON) * 4.0;
    // The reference rounds to 16 bits after each step, the composites here at their end.
    let relative = match actual.dtype() {
        DType::F16 => 1.0 / 512.0,
        DType::BF16 => 1.0 / 64.0,
        _ => relative,
    };
    let close = |a: f64, e: f64| {
        a == e || (a.is_nan() && e.is_nan()) || (e.is_finite() && (a - e).abs() <= absolute + relative * e.abs())
    };
    let wrong = |&i: &usize| {
        let (a, e) = (actual.get_f64(i), expected.get_f64(i));
        match (actual.dtype().is_float(), exact) {
            (true, true) => a.to_bits() != e.to_bits() && !(a.is_nan() && e.is_nan()),
            (true, false) => !close(a, e),
            (false, _) => a != e,
        }
    };
    let i = (0..actual.shape().numel()).find(wrong)?;
    Some(format!("element {i} is {} instead of {}", actual.get_f64(i), expected.get_f64(i)))
}

/// Counts of passed, failed and unsupported cases.
type Counts = [usize; 3];

#[test]
fn node_tests() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/nodes.gz");
    let given = std::env::var_os("ONNX_NODES").map(PathBuf::from);
    let only = std::env::var("ONNX_ONLY").unwrap_or_default();
    let mut by_operator: BTreeMap<String, Counts> = BTreeMap::new();
    let (mut failures, mut refused) = (String::new(), String::new());
    // A panic is a failure like others, told with its case.
    std::panic::set_hook(Box::new(|_| {}));
    for (name, case) in cases(given.as_deref().unwrap_or(&committed)) {
        if !name.contains(&only) {
            continue;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&name, &case))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or(panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
            Outcome::Failed(format!("panic: {}", text.unwrap_or_default()))
        });
        let operators = Model::from_bytes(case.model).map(|m| m.operators()).unwrap_or_default();
        let operator = if name.ends_with("_expanded") || operators.len() != 1 {
            "several".to_owned()
        } else {
            operators.into_keys().next().unwrap_or_default()
        };
        let counts = by_operator.entry(operator).or_default();
        match outcome {
            Outcome::Passed => counts[0] += 1,
            Outcome::Failed(what) => {
                counts[1] += 1;
                writeln!(failures, "{name}: {what}").expect("text");
            }
            Outcome::Unsupported(what) => {
                counts[2] += 1;
                writeln!(refused, "{name}: {}", what.replace('\n', " ")).expect("text");
            }
        }
    }
    let _ = std::panic::take_hook();
    if std::env::var_os("ONNX_VERBOSE").is_some() {
        println!("{refused}");
    }
    println!("{:<32}{:>8}{:>8}{:>13}", "operator", "passed", "failed", "unsupported");
    let mut sum: Counts = [0; 3];
    for (operator, counts) in &by_operator {
        println!("{operator:<32}{:>8}{:>8}{:>13}", counts[0], counts[1], counts[2]);
        (0..3).for_each(|i| sum[i] += counts[i]);
    }
    println!("{:<32}{:>8}{:>8}{:>13}", "all", sum[0], sum[1], sum[2]);
    assert!(failures.is_empty(), "{} cases fail:\n{failures}", sum[1]);
    if given.is_none() && only.is_empty() {
        check_page(&by_operator);
    }
}

/// Operators of onnxruntime give what onnxruntime computes.
#[test]
fn operators_of_onnxruntime() {
    check_archive(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/contrib.gz"));
}

/// Operators of which the ONNX project has few tests give what onnxruntime computes.
#[test]
fn operators_with_few_tests() {
    check_archive(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/layers.gz"));
}

/// Attributes that became operands or changed their meaning have the meaning of their version.
#[test]
fn operators_of_older_versions() {
    let count = check_archive(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/legacy.gz"));
    assert!(count > 200, "{count} cases");
}

/// Checks all cases of an archive; gives their number.
pub fn check_archive(path: &Path) -> usize {
    let cases = cases(path);
    let mut failures = String::new();
    for (name, case) in &cases {
        if let Outcome::Failed(what) | Outcome::Unsupported(what) = run(name, case) {
            writeln!(failures, "{name}: {what}").expect("text");
        }
    }
    assert!(failures.is_empty(), "{failures}");
    cases.len()
}

/// The page that lists the operators is what this test finds. `UPDATE_EXPECT=1` writes it.
fn check_page(by_operator: &BTreeMap<String, Counts>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/io/onnx/operators.md");
    let page = page(by_operator);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, page).expect("the page can be written");
        return;
    }
    let written = std::fs::read_to_string(&path).expect("there is the page");
    assert!(written == page, "src/io/onnx/operators.md is not current: run this test with UPDATE_EXPECT=1");
}

/// The head of a family's table.
const TABLE: &str = "| operator | since | until | passed | refused |\n|---|---|---|---|---|\n";

/// Where classical machine learning differs from onnxruntime.
const LEARNING: &str = "`LabelEncoder` takes the last of equal keys from version 4 on, as specified, where onnxruntime takes the first; before, NaN is no key, as in \
    onnxruntime, though the specification of version 2 says that it is one. `LinearClassifier` with one row of coefficients and `SOFTMAX` gives the softmax of the \
    score and its opposite, where onnxruntime leaves the score and the rest to 1 as they are.\n\n";

/// Where trees differ from onnxruntime.
const TREES: &str = "A class or target to which no leaf gives a weight has the sum 0, to which its base value is added, and a transformation is made of any number \
    of sums. onnxruntime leaves the sum of a single target as it is where the transformation is `LOGISTIC`, `SOFTMAX` or `SOFTMAX_ZERO`; gives 0 without the base \
    value where there are no weights; chooses the label among the classes that have weights; of two classes, where one has none, makes its score of the other's; \
    and takes the numbers of `SOFTMAX` and `LOGISTIC` in `TreeEnsemble` for each other.\n\n";

fn page(by_operator: &BTreeMap<String, Counts>) -> String {
    let mut page = format!(
        "The operators that an import supports, to version {NEWEST} of ONNX's operator set. *Since* is the version in which an operator is new; all versions \
         from it on are supported, with their attributes and defaults, unless *until* says otherwise. *Passed* and *refused* count the ONNX project's own node \
         tests of the operator: those that give the expected results on both engines, and those that use what is not supported, which for most is an element \
         type (strings) or a kind of value (sequences as inputs or results). Integers of 2, 4, 8 and 16 bits, and of 64 without a sign, and floats of 4, 6 and 8 \
         bits are taken inside of models, and as inputs and results where \
         [`Bindings::hold_integers`](crate::io::onnx::Bindings::hold_integers) and \
         [`Bindings::hold_floats`](crate::io::onnx::Bindings::hold_floats) allow it. Such floats are converted, quantized and moved; what rounds to them has the \
         derivative zero.\n"
    );
    let mut family = "";
    for operator in supported() {
        if operator.family != family {
            family = operator.family;
            let remark = match family {
                "Classical machine learning" => LEARNING,
                "Trees" => TREES,
                _ => "",
            };
            write!(page, "\n# {family}\n\n{remark}{TABLE}").expect("text");
        }
        let name = match operator.domain {
            "" => operator.name.to_owned(),
            domain => format!("{domain}.{}", operator.name),
        };
        let [passed, _, refused] = by_operator.get(&name).copied().unwrap_or_default();
        let until = if operator.until < NEWEST { operator.until.to_string() } else { String::new() };
        writeln!(page, "| `{name}` | {} | {until} | {passed} | {refused} |", operator.since).expect("text");
    }
    page
}
